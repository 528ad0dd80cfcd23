"""Conformance suites for losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from assay.models.untyped import fork_generators, go_back, named_layers, seed_torch
from assay.plugin import Batch, Component, ComponentKind, LossContext, Objective, Outputs, Progress, build, lookup

# Shared by suites of registered components: which component is tested, and how it is made.


class NamedComponent:
    """Set `name` (registered, or a dotted path `package.module:attribute`) and, where it takes any, `params`."""

    kind: ClassVar[ComponentKind]
    name: ClassVar[str] = ""
    params: ClassVar[Mapping[str, Any]] = {}

    def built(self, *positional: Any) -> Any:
        """Return the component, made as a study makes it: its arguments are checked first."""
        if not self.name:
            pytest.fail(
                f"{type(self).__name__} does not say what it tests; set name = 'package.module:attribute' "
                f"or the name of a registered {self.kind}",
                pytrace=False,
            )
        return build(self.kind, self.name, self.component.params, *positional)

    @property
    def component(self) -> Component:
        """The component as a study names it."""
        return Component(kind=self.kind, name=self.name, params=self.params)

    def test_a_study_can_name_it(self) -> None:
        """It is found by its name, has a one-line summary, and its arguments are checked and written as JSON."""
        self.built(*self.positional())
        entry = lookup(self.kind, self.name)
        assert entry.summary.strip(), f"{self.kind} '{self.name}' has no docstring: `assay list` shows its first line"
        assert entry.version >= 1
        written = self.component.model_dump(mode="json", context={"complete": True})
        assert Component.model_validate(written) == self.component

    def positional(self) -> tuple[Any, ...]:
        """Inputs of the component other than its own arguments."""
        return ()


# Suite of losses.

WIDTH, CLASSES, SIDE = 6, 2, 8
PROGRESS = Progress(step=0, steps=1, epoch=0, epochs=1)


def batch_of(target: Tensor) -> Batch:
    """Return a batch whose images nobody looks at.

    Args:
        target: Labels of images [b], or of their pixels [b, h, w].
    """
    rows, images = torch.arange(len(target)), torch.zeros(len(target), 1, 1, 1)
    if target.ndim == 1:
        return Batch(images=images, target=target, row=rows)
    return Batch(images=images, target=target.amax(dim=(1, 2)).clamp_max(1).long(), row=rows, masks=target[:, None])


def random_outputs(
    rows: int, classes: int = CLASSES, width: int = WIDTH, seed: int = 0, size: tuple[int, ...] = ()
) -> Outputs:
    """Features and logits (of images, or with `size` of pixels) from a normal distribution, which take gradients."""
    draws = torch.Generator().manual_seed(seed)
    return Outputs(
        torch.randn(rows, width, generator=draws, requires_grad=True),
        torch.randn(rows, classes, *size, generator=draws, requires_grad=True),
    )


def lesions(images: int) -> Tensor:
    """Label maps uint8 [images, 8, 8]: a square of side 4 in another place each; every fourth image has none."""
    masks = torch.zeros(images, SIDE, SIDE, dtype=torch.uint8)
    for i in range(images):
        y, x = i % 5, 3 * i % 5
        masks[i, y : y + 4, x : x + 4] = i % 4 != 3
    return masks


class LossConformance(NamedComponent):
    """Set `name` and `params`, and declare the promises of the loss:

    - `needs_positive`, `needs_negative`: it is 0 on a batch without two images of one class, without two classes.
    - `needs_distance`: it is 0 when all features are equal.
    - `permutation_invariant`: the order of a batch does not matter.
    - `differentiable`: autograd's gradient is that of the value (False where a part is held constant in a step).
    - `steps`: in how many it teaches a tiny network two classes.
    - `dense`: it compares logits of pixels with masks (`DenseLossConformance` proves more of such a loss).

    Proven: one finite number and finite gradients on any batch (a single image, a single class, no two of a class, all
    features equal or zero); the gradient is that of the value; the order of a batch does not matter; it is computed in
    float32 under autocast and draws nothing at random; it trains the head just when `trains_head` says so; its
    parameters can be redrawn, and it is rebuilt from its spec and state; it teaches a tiny network two classes.
    """

    kind: ClassVar[ComponentKind] = "loss"
    needs_positive: ClassVar[bool] = False
    needs_negative: ClassVar[bool] = False
    needs_distance: ClassVar[bool] = False
    permutation_invariant: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    steps: ClassVar[int] = 100
    dense: ClassVar[bool] = False

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width of the maps of logits; empty for one row of logits per image."""
        return (SIDE, SIDE) if self.dense else ()

    def positional(self) -> tuple[Any, ...]:
        """See `NamedComponent`."""
        return (LossContext(WIDTH, CLASSES, (30, 20), self.dense),)

    def make(self, counts: tuple[int, ...] = (30, 20)) -> Objective:
        """Return the loss for so many training images (or pixels) per class, the same parameters each time."""
        with fork_generators(()):
            seed_torch(0)
            return self.built(LossContext(WIDTH, len(counts), counts, self.dense))

    def value(self, objective: Objective, outputs: Outputs, target: Tensor) -> Tensor:
        """Return the loss of these outputs."""
        return objective.loss(outputs, batch_of(target), PROGRESS)

    def example(self, objective: Objective, images: int = 12) -> tuple[Outputs, Tensor]:
        """Outputs for a batch of both classes, and its targets, one per view of each image."""
        target = lesions(images) if self.dense else torch.arange(images) % CLASSES
        views = objective.views
        return random_outputs(images * views, size=self.size), target.repeat(views, *(1 for _ in self.size))

    def test_is_an_objective(self) -> None:
        objective = self.make()
        assert isinstance(objective, Objective), f"{self.name} must inherit assay.plugin.Objective"
        assert objective.views >= 1
        assert isinstance(objective.trains_head, bool)

    def test_gives_one_finite_number_and_finite_gradients(self) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        loss = self.value(objective, outputs, target)
        assert loss.shape == (), f"a loss is one number, this one has shape {tuple(loss.shape)}"
        assert loss.dtype == torch.float32
        go_back(loss)
        assert_finite(objective, outputs, loss)

    def test_trains_the_head_just_when_it_says_so(self) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        go_back(self.value(objective, outputs, target))
        reached = outputs.logits.grad is not None and bool(outputs.logits.grad.any())
        assert reached == objective.trains_head, (
            f"trains_head is {objective.trains_head}, and logits {'get' if reached else 'get no'} gradient: "
            f"set trains_head = {reached}"
        )

    def test_draws_nothing_at_random(self) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        before = torch.random.get_rng_state()
        first, second = (self.value(objective, outputs, target) for _ in range(2))
        assert torch.equal(first, second), "two calls on one batch gave two values"
        assert torch.equal(torch.random.get_rng_state(), before), "the loss drew from torch's global generator"

    def test_does_not_depend_on_the_order_of_the_batch(self) -> None:
        if not self.permutation_invariant:
            return
        objective = self.make().double()
        outputs, target = self.example(objective)
        images = len(target) // objective.views
        order = torch.randperm(images, generator=torch.Generator().manual_seed(3))
        stacked = torch.cat([order + view * images for view in range(objective.views)])
        wide = Outputs(outputs.features.double(), outputs.logits.double())
        turned = Outputs(wide.features[stacked], wide.logits[stacked])
        expected = self.value(objective, wide, target)
        torch.testing.assert_close(self.value(objective, turned, target[stacked]), expected, rtol=1e-10, atol=1e-12)

    def test_gradient_is_that_of_the_value(self) -> None:
        if not self.differentiable:
            return
        objective = self.make().double()
        outputs, target = self.example(objective, images=2 if self.dense else 6)

        def value(features: Tensor, logits: Tensor) -> Tensor:
            return self.value(objective, Outputs(features, logits), target)

        wide = (t.detach().double().requires_grad_() for t in (outputs.features, outputs.logits))
        assert torch.autograd.gradcheck(value, tuple(wide))  # pyright: ignore[reportUnknownMemberType]

    @pytest.mark.parametrize("images", [1, 2, 5])
    def test_single_class(self, images: int) -> None:
        objective = self.make()
        rows = images * objective.views
        outputs = random_outputs(rows, size=self.size)
        target = torch.zeros(rows, *self.size, dtype=torch.int64)
        self.check_odd_batch(objective, outputs, target, zero=self.needs_negative)

    @pytest.mark.parametrize("images", [2, 5])
    def test_no_positive_pair(self, images: int) -> None:
        if self.dense:
            return
        objective = self.make(counts=(9,) * images)
        target = torch.arange(images).repeat(objective.views)
        outputs = random_outputs(len(target), classes=images)
        self.check_odd_batch(objective, outputs, target, zero=self.needs_positive)

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_all_features_equal(self, value: float) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        equal = Outputs(torch.full_like(outputs.features, value).requires_grad_(), outputs.logits)
        self.check_odd_batch(objective, equal, target, zero=self.needs_distance)

    def check_odd_batch(self, objective: Objective, outputs: Outputs, target: Tensor, *, zero: bool) -> None:
        """Finite and connected to the graph; where the loss is undefined, exactly 0 with no gradient."""
        loss = self.value(objective, outputs, target)
        assert loss.requires_grad, "the loss is not connected to the outputs: give 0 * features.sum(), not a constant"
        go_back(loss)
        assert_finite(objective, outputs, loss)
        if zero:
            assert loss.item() == 0, "the loss is undefined on this batch and should be 0 there"
            assert outputs.features.grad is not None
            assert not outputs.features.grad.any()

    def test_is_computed_in_float32_under_autocast(self) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        half = Outputs(outputs.features.detach().bfloat16(), outputs.logits.detach().bfloat16())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.value(objective, half, target)
        expected = self.value(objective, Outputs(half.features.float(), half.logits.float()), target)
        assert loss.dtype == torch.float32, "widen bfloat16 outputs with .float() before anything else"
        assert torch.equal(loss, expected), "part of it was computed in bfloat16: widen outputs with .float() first"

    def test_every_parameter_can_be_initialized_anew(self) -> None:
        for path, module in named_layers(self.make()):
            if any(True for _ in module.parameters(recurse=False)):
                assert callable(getattr(module, "reset_parameters", None)), f"'{path}' has no reset_parameters()"

    def test_is_rebuilt_from_its_spec_and_its_state(self) -> None:
        again = build("loss", self.name, self.component.params, *self.positional())
        objective = self.make()
        again.load_state_dict(objective.state_dict())
        outputs, target = self.example(objective)
        assert torch.equal(self.value(again, outputs, target), self.value(objective, outputs, target))

    def test_teaches_a_network_to_separate_two_blobs(self) -> None:
        objective = self.make()
        network = TinyNetwork()
        before = network.accuracy(by_head=objective.trains_head, dense=self.dense)
        optimizer = torch.optim.Adam([*network.parameters(), *objective.parameters()], lr=0.01)
        draws = torch.Generator().manual_seed(1)
        for step in range(self.steps):
            x, target = blobs(16 if self.dense else 64, objective.views, draws, dense=self.dense)
            loss = objective.loss(network.read(x), batch_of(target), Progress(step, self.steps, 0, 1))
            optimizer.zero_grad()
            go_back(loss)
            optimizer.step()  # pyright: ignore[reportUnknownMemberType]
            objective.after_step(network, Progress(step, self.steps, 0, 1))
        after = network.accuracy(by_head=objective.trains_head, dense=self.dense)
        assert before < 0.9
        assert after > 0.95, (
            f"after {self.steps} steps of Adam {after:.2f} of two well separated classes are told apart"
        )


def assert_finite(objective: Objective, outputs: Outputs, loss: Tensor) -> None:
    """The loss is a number, and no gradient is infinite, NaN or absurd."""
    assert loss.isfinite(), f"the loss is {loss.item()}"
    for tensor in (outputs.features, outputs.logits, *objective.parameters()):
        assert tensor.grad is None or tensor.grad.isfinite().all(), "a gradient is infinite or NaN"
        assert tensor.grad is None or tensor.grad.abs().max() < 1e6, "a gradient exceeds a million"


def blobs(images: int, views: int, draws: torch.Generator, *, dense: bool) -> tuple[Tensor, Tensor]:
    """Points 5 standard deviations apart by class, plus a nuisance 10 times as wide that each view draws independently.

    A point is an image, [images * views, 2], or with `dense` each pixel of one, [images * views, 2, 8, 8].
    """
    target = lesions(images) if dense else torch.arange(images) % CLASSES
    signal = torch.randn(target.shape, generator=draws) + 5.0 * target - 2.5
    features_of_views = [
        torch.stack([signal, 10 * torch.randn(target.shape, generator=draws)], dim=1) for _ in range(views)
    ]
    return torch.cat(features_of_views), torch.cat([target] * views)


class TinyNetwork(nn.Module):
    """Two layers of features and a linear head, of each image or each pixel; the same weights each time."""

    def __init__(self) -> None:
        super().__init__()
        with fork_generators(()):
            seed_torch(0)
            self.body = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, WIDTH))
            self.head = nn.Linear(WIDTH, CLASSES)

    def read(self, x: Tensor) -> Outputs:
        """Features and logits of points [n, 2], or pooled features and logits of maps of points [n, 2, h, w]."""
        features = self.body(x.movedim(1, -1))
        pooled = features.flatten(1, 2).mean(dim=1) if x.ndim == 4 else features
        return Outputs(pooled, self.head(features).movedim(-1, 1))

    @torch.no_grad()
    def accuracy(self, *, by_head: bool, dense: bool) -> float:
        """On fresh points: of the logits, or of the nearer class center among feature directions."""
        x, target = blobs(1000, 1, torch.Generator().manual_seed(2), dense=dense)
        outputs = self.read(x)
        if by_head:
            return (outputs.logits.argmax(dim=1) == target).double().mean().item()
        z = nn.functional.normalize(outputs.features)
        centers = torch.stack([z[target == k].mean(dim=0) for k in range(CLASSES)])
        return (torch.cdist(z, centers).argmin(dim=1) == target).double().mean().item()


# Suite of losses for segmentation, in addition to that of losses.


def kinds(images: int) -> Tensor:
    """Label maps of three kinds of lesion, the last of which no image shows."""
    masks = lesions(images)
    masks[:, 4:] *= 2
    return masks


class DenseLossConformance(LossConformance):
    """`LossConformance` for a loss that compares logits [b, k, h, w] with label maps; its context is dense.

    Proven besides: Bool and uint8 masks give the same value; several kinds of lesion, one of them in no image of the
    batch, give a finite one; it stays finite, with finite gradients, where the network is sure of everything, right or
    wrong, whatever the masks show (nothing, all lesion, a single pixel); it asks for masks; where it has a loss of each
    image (`each`), that is the loss of the image alone, and their mean is the loss.
    """

    dense: ClassVar[bool] = True

    def test_asks_for_masks(self) -> None:
        assert self.make().needs_masks, "set needs_masks = True: the loop carries masks only where they are asked for"

    def test_bool_and_uint8_masks_say_the_same(self) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        assert torch.equal(self.value(objective, outputs, target.bool()), self.value(objective, outputs, target))

    def test_several_kinds_of_lesion(self) -> None:
        objective = self.make(counts=(40, 10, 5, 5))
        outputs = random_outputs(5, classes=4, size=self.size)
        loss = self.value(objective, outputs, kinds(5))
        go_back(loss)
        assert_finite(objective, outputs, loss)

    @pytest.mark.parametrize("mask", ["nothing", "all", "one pixel", "squares"])
    @pytest.mark.parametrize("logit", [1e4, 30.0, -30.0, -1e4])
    def test_certainty_of_anything_is_finite(self, mask: str, logit: float) -> None:
        objective = self.make()
        target = {"nothing": torch.zeros, "all": torch.ones}.get(mask, torch.zeros)(3, *self.size, dtype=torch.uint8)
        if mask == "one pixel":
            target[:, 2, 3] = 1
        if mask == "squares":
            target = lesions(3)
        logits = torch.zeros(3, 2, *self.size)
        logits[:, 1] = logit
        outputs = Outputs(random_outputs(3).features, logits.requires_grad_())
        loss = self.value(objective, outputs, target)
        go_back(loss)
        assert_finite(objective, outputs, loss)

    def test_the_loss_of_each_image_is_that_of_the_image_alone(self) -> None:
        objective = self.make().double()
        outputs, target = self.example(objective, images=6)
        wide = Outputs(outputs.features.double(), outputs.logits.double())
        each = objective.each(wide, batch_of(target), PROGRESS)
        if each is None:
            return
        torch.testing.assert_close(each.mean(), self.value(objective, wide, target), rtol=1e-10, atol=1e-12)
        for i in range(len(target)):
            alone = Outputs(wide.features[i : i + 1], wide.logits[i : i + 1])
            expected = self.value(objective, alone, target[i : i + 1])
            torch.testing.assert_close(each[i], expected, rtol=1e-10, atol=1e-12)
