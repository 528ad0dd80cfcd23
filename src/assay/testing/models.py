"""Conformance suites for architectures and training."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from assay.models.untyped import go_back, named_layers, seed_torch
from assay.plugin import (
    ArchitectureContext,
    Component,
    ComponentKind,
    Interrupted,
    Outputs,
    ProgressReport,
    RecipeSpec,
    Recorder,
    SpecError,
    Task,
    TrainingResult,
    as_network,
    build_network,
    deterministic,
    empty_network,
    fit,
    library_draws,
    load_weights,
    phases_of,
    read_weights,
    save_weights,
)
from assay.testing.data import images_of, spots, squares
from assay.testing.losses import NamedComponent

# Suite of training: killed and resumed, it ends bit for bit the same with any loss and any network.

EPOCHS, ROWS, BATCH = 4, 50, 8
STEPS = EPOCHS * (ROWS // BATCH)
# torch._dynamo: torch imports it with the first optimizer, which takes longer than these trainings.
PRELOADED = ["assay.training.loop", "assay.models.networks", "assay.models.initialization", "torch._dynamo"]


def train(recipe: RecipeSpec, folder: Path, **options: Any) -> TrainingResult:
    """Return a training of some steps on squares."""
    training, validation = squares(ROWS, seed=1), squares(20, seed=2)
    return fit(recipe, training, validation, classes=2, seed=5, folder=folder, **options)


def train_and_keep(recipe: RecipeSpec, folder: Path, pause: float, sender: Connection) -> None:
    """In a process of its own: train with a checkpoint after each step, say each step, keep the weights."""
    steps = 0

    def slowly() -> bool:
        nonlocal steps
        steps += 1
        sender.send(steps)
        time.sleep(pause)
        return False

    fitted = train(recipe, folder, checkpoint_every=0.0, should_stop=slowly)
    save_weights(fitted.network, folder / "weights.safetensors")
    (folder / "curve.json").write_text(json.dumps([dict(row) for row in fitted.curve]))


class TrainingConformance:
    """Set `task`, `loss` and its `params`, `architecture` and its `architecture_params`, `mitigation` and its
    `mitigation_params`, `selection`, where they are not the default.

    For a part with a state of its own (a teacher, a schedule, running statistics, several phases). Proven: killed with
    SIGKILL at a random step and resumed in another process, or asked to stop within an epoch, training ends with the
    same weights and the same curve, bit for bit, as when it was left alone; its progress is reported to the end, and
    the curve is finite. Training is 24 steps on 50 gray images of 16 pixels with masks.
    """

    task: ClassVar[Task] = "classification"
    loss: ClassVar[str] = "cross-entropy"
    params: ClassVar[Mapping[str, Any]] = {}
    architecture: ClassVar[str] = "small-cnn"
    architecture_params: ClassVar[Mapping[str, Any]] = {}
    mitigation: ClassVar[str] = "none"
    mitigation_params: ClassVar[Mapping[str, Any]] = {}
    selection: ClassVar[Literal["last", "best-validation-loss"]] = "best-validation-loss"

    def recipe(self) -> RecipeSpec:
        """Return the recipe that is trained, with as many epochs as make those of all its phases the same number."""
        recipe = RecipeSpec(
            task=self.task,
            architecture=Component(kind="architecture", name=self.architecture, params=self.architecture_params),
            loss=Component(kind="loss", name=self.loss, params=self.params),
            mitigation=Component(kind="mitigation", name=self.mitigation, params=self.mitigation_params),
            groups="mark",
            epochs=EPOCHS,
            batch_size=BATCH,
            selection=self.selection,
        )
        return recipe.model_copy(update={"epochs": 2 * EPOCHS - sum(phases_of(recipe))})

    def test_reported_to_the_end_and_killed_at_a_random_step_and_resumed_it_ends_the_same(self, tmp_path: Path) -> None:
        reports: list[ProgressReport] = []
        uninterrupted = train(self.recipe(), tmp_path / "whole", on_progress=reports.append)
        assert reports[-1].step == reports[-1].steps == uninterrupted.steps == STEPS
        assert reports[-1].epoch == reports[-1].epochs == len(uninterrupted.curve) == EPOCHS
        assert all(np.isfinite(value) for row in uninterrupted.curve for value in row.values())
        step = int(np.random.default_rng().integers(2, STEPS - 1))
        folder = tmp_path / "killed"
        folder.mkdir()
        assert self.in_a_process(folder, kill_after=step) == -signal.SIGKILL, f"killed after step {step}"
        assert (folder / "checkpoint.pt").exists()
        assert self.in_a_process(folder) == 0
        weights = read_weights(folder / "weights.safetensors").tensors
        expected = uninterrupted.network.state_dict()
        differ = [key for key, value in expected.items() if not torch.equal(weights[key], value)]
        assert not differ, f"killed after step {step} and resumed, these ended otherwise: {', '.join(differ)}"
        assert json.loads((folder / "curve.json").read_text()) == [dict(row) for row in uninterrupted.curve]

    def test_asked_to_stop_in_the_middle_of_an_epoch_it_continues(self, tmp_path: Path) -> None:
        uninterrupted = train(self.recipe(), tmp_path / "whole")
        stops = 0
        for stop_after in (3, 5, 9):
            calls = iter(range(1, STEPS + 1))
            try:
                train(self.recipe(), tmp_path / "parts", should_stop=stopping(calls, stop_after))
            except Interrupted:
                stops += 1
        rest = train(self.recipe(), tmp_path / "parts")
        assert stops == 3
        assert same_state(rest.network, uninterrupted.network)
        assert rest.curve == uninterrupted.curve
        assert rest.selected_epoch == uninterrupted.selected_epoch

    def in_a_process(self, folder: Path, kill_after: int | None = None) -> int | None:
        """Train in a process of its own, killed after so many steps or left to end; its exit code."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        receiver, sender = context.Pipe(duplex=False)
        pause = 0.0 if kill_after is None else 0.02
        process = context.Process(target=train_and_keep, args=(self.recipe(), folder, pause, sender))
        process.start()
        sender.close()
        while kill_after is not None and receiver.recv() < kill_after:
            pass
        if kill_after is not None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        while kill_after is None and process.is_alive():
            _drain(receiver)
        process.join(60)
        return process.exitcode


def stopping(calls: Iterator[int], after: int) -> Callable[[], bool]:
    """Says stop when it was asked so many times."""
    return lambda: next(calls) >= after


def same_state(first: nn.Module, second: nn.Module) -> bool:
    """Return the same parameters and buffers, bit for bit."""
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _drain(heard: Connection) -> None:
    """Drain the pipe, so that the sender does not wait for a listener."""
    try:
        while heard.poll(0.05):
            heard.recv()
    except EOFError:
        time.sleep(0.01)


# Suite of architectures.

CLASSES = 3
TINY = (1, 2, 3, 5, 8, 13)
"""Sides in pixels that many networks cannot take."""
MOST_STEPS = 150
"""Steps in which a network must have learned to see a bright square."""


class ArchitectureConformance(NamedComponent):
    """Set `name` and `params`, and declare the promises of the architecture:

    - `sizes`: sides of images in pixels that it takes, the first is used by most tests.
    - `smallest`: every smaller side is refused (1 where it takes any).
    - `channels`: numbers of channels that it takes.
    - `rate`: the learning rate at which Adam teaches it within 150 steps; transformers want a smaller one.
    - `per_pixel`: logits are maps of the images' size (segmentation), made by a convolution.
    - `shapes`: with `per_pixel`, heights and widths of images that a network of the first size takes too.

    Proven: features, logits and probed layers have the shapes that `Network` promises, for gray and color images of
    each size, and features are a layer's pooled output; the same seed gives the same weights, another seed others,
    whatever the global random state, and the trunk does not depend on the number of classes; in evaluation an image's
    answer is repeatable, the same alone as in a batch, and changes nothing; gradients reach every parameter, and at
    most 150 steps teach it to see a bright square; a step repeated is the same bit for bit; weights come back from a
    state dict and from a file; a copy is the same network and shares nothing with it, in float32 and under bfloat16;
    images too small are refused in a sentence.
    """

    kind: ClassVar[ComponentKind] = "architecture"
    sizes: ClassVar[tuple[int, ...]] = (32, 64)
    smallest: ClassVar[int] = 1
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    rate: ClassVar[float] = 3e-3
    per_pixel: ClassVar[bool] = False
    shapes: ClassVar[tuple[tuple[int, int], ...]] = ((37, 50), (64, 33))

    def positional(self) -> tuple[Any, ...]:
        """See `NamedComponent`."""
        return (ArchitectureContext(self.channels[0], self.sizes[0], CLASSES, seed=0),)

    @property
    def recipe(self) -> RecipeSpec:
        """A recipe with this architecture and random weights."""
        return RecipeSpec(architecture=self.component, task="segmentation" if self.per_pixel else "classification")

    def make(self, seed: int = 0, classes: int = CLASSES, channels: int = 0, size: int = 0) -> nn.Module:
        """Build the network as a study does, in training mode; default: its first channels and size."""
        channels, size = channels or self.channels[0], size or self.sizes[0]
        return build_network(self.recipe, channels=channels, size=size, classes=classes, seed=seed)

    def images(self, count: int = 4) -> Tensor:
        """Images of the first number of channels and size."""
        return images_of(count, self.channels[0], self.sizes[0])

    def test_is_a_network(self) -> None:
        network = self.make()
        assert isinstance(network, nn.Module)
        checked = as_network(network)
        assert isinstance(checked.width, int)
        if self.per_pixel:
            assert isinstance(checked.head, nn.Conv2d), "`head` is the convolution that makes the logits"
            assert checked.head.out_channels == CLASSES
        else:
            assert isinstance(checked.head, nn.Linear)
            assert (checked.head.in_features, checked.head.out_features) == (checked.width, CLASSES)
        assert network.training, "a network is built in training mode"

    def test_features_and_logits_have_their_shapes_at_every_size(self) -> None:
        for channels in self.channels:
            for size in self.sizes:
                network = self.make(channels=channels, size=size).eval()
                self.check_outputs(network, images_of(2, channels, size))
        for height, width in self.shapes if self.per_pixel else ():
            images = images_of(2, self.channels[0], max(height, width))[:, :, :height, :width]
            self.check_outputs(self.make().eval(), images)

    def check_outputs(self, network: nn.Module, images: Tensor) -> None:
        """Check shapes and types of its output, and that `forward` returns the same."""
        with torch.no_grad():
            outputs, logits = read(network, images), network(images)
        pixels = tuple(images.shape[2:]) if self.per_pixel else ()
        assert outputs.features.shape == (len(images), as_network(network).width), "features are [b, width]"
        assert outputs.logits.shape == (len(images), CLASSES, *pixels), "logits are [b, classes, *pixels]"
        assert outputs.features.dtype == outputs.logits.dtype == torch.float32
        assert torch.equal(logits, outputs.logits), "forward(images) is not read(images).logits"
        for further in outputs.auxiliary:
            assert further.shape == outputs.logits.shape, "auxiliary logits are not like the logits"
        if not self.per_pixel:
            head = as_network(network).head(outputs.features)
            assert torch.equal(head, outputs.logits), "logits are not what `head` makes of the features"

    def test_layers_run_once_from_shallow_to_deep_and_give_the_features(self) -> None:
        network = self.make().eval()
        layers, order = as_network(network).layers, list[str]()
        modules = dict(named_layers(network))
        assert layers, "`layers` names no module that probes could read"
        assert len(set(layers)) == len(layers)
        for layer in layers:
            assert layer in modules, f"`layers` names '{layer}', which is no module of the network"
            modules[layer].register_forward_hook(noting(order, layer))
        images = self.images()
        with Recorder(network, layers, len(images)) as recorder, torch.no_grad():
            outputs = read(network, images)
            recorder.check()
        assert tuple(order) == layers, f"`layers` says {layers}, they end in the order {tuple(order)}"
        pooled, features = recorder.activations, outputs.features.numpy()
        same = [n for n in layers if pooled[n].shape == features.shape and np.allclose(pooled[n], features, 1e-6, 1e-6)]
        assert same, "the features are not what any of `layers` pools to"
        assert self.per_pixel or same[-1] == layers[-1], "the last of `layers` is not the features"

    def test_the_same_seed_gives_the_same_weights_and_another_seed_others(self) -> None:
        with library_draws(1, "elsewhere"):
            first, before = self.make(seed=3), torch.get_rng_state()
            self.make(seed=4)
            assert torch.equal(torch.get_rng_state(), before), "building it drew from torch's global generator"
        with library_draws(2, "elsewhere"):
            assert same_state(first, self.make(seed=3)), "weights depend on something besides the seed"
        other = self.make(seed=4).state_dict()
        differing = {name for name, value in first.state_dict().items() if not torch.equal(value, other[name])}
        matrices = {name for name, value in first.named_parameters() if value.ndim > 1}
        equal = sorted(name for name in matrices - differing if bool(first.state_dict()[name].any()))
        assert not equal, f"these weights are the same under another seed: {', '.join(equal)}"

    def test_starts_alike_whatever_the_number_of_classes(self) -> None:
        two, five = self.make(classes=2).state_dict(), self.make(classes=5).state_dict()
        common = [name for name in two if two[name].shape == five[name].shape]
        differ = [name for name in common if not torch.equal(two[name], five[name])]
        assert common
        assert not differ, f"these weights depend on the number of classes: {', '.join(differ)}"

    def test_an_answer_is_repeatable_the_same_alone_and_changes_nothing(self) -> None:
        network, images = self.make().eval(), self.images(5)
        before, original_images = copy.deepcopy(network), images.clone()
        with torch.no_grad():
            seed_torch(1)
            first = read(network, images)
            seed_torch(2)
            second = read(network, images)
            alone = torch.cat([read(network, image[None]).logits for image in images])
        assert torch.equal(first.logits, second.logits), "two readings in evaluation mode differ"
        assert torch.equal(first.features, second.features)
        assert same_state(network, before), "reading in evaluation mode changed the network"
        assert torch.equal(images, original_images), "reading changed the images that it was given"
        torch.testing.assert_close(alone, first.logits, rtol=1e-4, atol=1e-5)

    def test_black_and_white_images_have_finite_answers(self) -> None:
        for value, network in product((0.0, 1.0), (self.make(), self.make().eval())):
            outputs = read(network, torch.full_like(self.images(), value))
            assert bool(outputs.features.isfinite().all())
            assert bool(outputs.logits.isfinite().all())

    def test_gradients_reach_every_parameter_and_it_learns(self) -> None:
        network = self.make(classes=2)
        images, target = spots(16, self.channels[0], self.sizes[0], self.per_pixel)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.rate)
        missed = {name for name, value in network.named_parameters() if value.requires_grad}
        share, loss = target.double().mean().item(), np.inf
        chance = -share * np.log(share) - (1 - share) * np.log(1 - share)
        for _ in range(MOST_STEPS):
            loss = self.step(network, optimizer, images, target)
            assert np.isfinite(loss), f"the loss became {loss}"
            named = network.named_parameters()
            missed -= {name for name, value in named if value.grad is not None and bool(value.grad.any())}
            if not missed and loss < chance / 2:
                break
        assert not missed, f"no gradient reached: {', '.join(sorted(missed))}"
        assert loss < chance / 2, (
            f"no bright square is seen after {MOST_STEPS} steps of Adam at rate {self.rate:g}: "
            f"the loss is {loss:.2f}, by chance {chance:.2f}"
        )

    def step(self, network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, target: Tensor) -> float:
        """One step on the cross-entropy of the logits; the loss before it."""
        loss = nn.functional.cross_entropy(read(network, images).logits, target)
        optimizer.zero_grad()
        go_back(loss)
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        return loss.item()

    def test_a_step_repeated_is_the_same_bit_for_bit(self) -> None:
        images, target = spots(8, self.channels[0], self.sizes[0], self.per_pixel)
        networks: list[nn.Module] = []
        for global_seed in (1, 2):
            seed_torch(global_seed)
            network = self.make(classes=2)
            with deterministic(1), library_draws(0, "training"):
                for _ in range(2):
                    self.step(network, torch.optim.SGD(network.parameters(), lr=0.1), images, target)
            networks.append(network)
        assert same_state(*networks), "two trainings from the same start ended with different weights"

    def test_its_weights_come_back_from_a_state_dict_and_from_a_file(self, tmp_path: Path) -> None:
        network, images = self.make(), self.images()
        read(network, images)  # in training mode: running statistics are then not those of a new network
        save_weights(network, tmp_path / "weights.safetensors")
        loaded, filed = self.make(seed=1), self.empty()
        loaded.load_state_dict(network.state_dict())
        load_weights(filed, tmp_path / "weights.safetensors")
        with torch.no_grad():
            expected = read(network.eval(), images).logits
            for again, way in ((loaded, "a state dict"), (filed, "a file")):
                assert torch.equal(read(again.eval(), images).logits, expected), (
                    f"loaded from {way} it answers otherwise"
                )

    def empty(self, size: int = 0) -> nn.Module:
        """Return the network before its initialization: the target for loading kept weights."""
        size = size or self.sizes[0]
        return empty_network(self.recipe, channels=self.channels[0], size=size, classes=CLASSES, seed=2)

    def test_a_copy_is_the_same_network_shares_nothing_and_runs_in_bfloat16(self) -> None:
        network, images = self.make().eval(), self.images()
        clone = copy.deepcopy(network)
        with torch.no_grad():
            exact = read(network, images)
            assert torch.equal(read(clone, images).logits, exact.logits), "a copy answers otherwise"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = read(clone, images)
        assert half.logits.shape == exact.logits.shape
        for rough, fine, what in ((half.features, exact.features, "features"), (half.logits, exact.logits, "logits")):
            error = (rough.float() - fine).abs().max().item()
            assert error <= 0.1 * max(1.0, fine.abs().max().item()), f"{what} are off by {error:.2g} in bfloat16"
        go_back(half.logits.float().sum())
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in clone.parameters())
        with torch.no_grad():
            for value in clone.parameters():
                value.zero_()
            assert torch.equal(read(network, images).logits, exact.logits), "a copy shares parameters with its original"

    def test_images_too_small_are_refused_in_one_sentence(self) -> None:
        for size in sorted({*TINY, max(1, self.smallest - 1), self.smallest}):
            try:
                network = self.empty(size)
            except SpecError as error:
                text = str(error)
                assert size < self.smallest, (
                    f"images of {size} px are refused, and `smallest` is {self.smallest}: {text}"
                )
                assert f"{size} x {size}" in text, f"the refusal does not say which size was given: {text}"
                assert len(text.splitlines()) == 1, f"the refusal is more than one line: {text}"
            else:
                assert size >= self.smallest, f"images of {size} px are taken, and `smallest` is {self.smallest}"
                self.check_outputs(network.eval(), images_of(2, self.channels[0], size))


def noting(order: list[str], layer: str) -> Callable[[nn.Module, object, object], None]:
    """Return a hook that writes down that a layer ended."""
    return lambda _module, _inputs, _output: order.append(layer)


def read(network: nn.Module, images: Tensor) -> Outputs:
    """Features and logits."""
    return as_network(network).read(images)
