"""Layer-wise relevance propagation: its sum is kept, and it is that of rules written out unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from assay.core.registry import build
from assay.models.networks import ArchitectureContext, as_network
from assay.models.untyped import named_layers
from assay.models.weights import library_draws
from assay.probes.explainers import Explainer, Subject, class_log_odds

OWN = torch.tensor([0, 1, 1])
INSTEAD = "use gradient, integrated-gradients, smoothgrad or occlusion"
WHICH = (
    "LRP has rules for small-cnn, resnet18, the plain ResNets of timm and torchvision, and nn.Sequential of "
    "convolutions (each with its batch norm behind it), ReLU, pooling and linear layers"
)


def images(channels: int = 1, size: int = 12) -> Tensor:
    return torch.rand((3, channels, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def drawn(network: nn.Module) -> nn.Module:
    """In float64, with biases and statistics of norms that are none of those that a network begins with."""
    with library_draws(4, "lrp"):
        for _, layer in named_layers(network.double().eval()):
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                nn.init.normal_(layer.running_mean, std=0.2)
                nn.init.uniform_(layer.running_var, 0.5, 2)
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias, std=0.2)
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.bias)
    return network


def tiny(inplace: bool = False, classes: int = 2) -> nn.Sequential:
    """Every kind of step that has a rule."""
    with library_draws(3, "tiny"):
        network = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.ReLU(inplace=inplace),
            nn.Conv2d(6, 5, 1, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(inplace=inplace),
            nn.AvgPool2d(3),
            nn.Flatten(),
            nn.Linear(5, 7),
            nn.ReLU(inplace=inplace),
            nn.Dropout(0.5),
            nn.Linear(7, classes),
        )
    return drawn(network)  # type: ignore[return-value]


def made(**params: float) -> Explainer:
    return build("explainer", "lrp", params)


def explained(network: nn.Module, pixels: Tensor, own: Tensor = OWN, **params: float) -> Tensor:
    subject = Subject.of(network, pixels[:1])
    assert made(**params).refusal(subject) == ""
    return made(**params).explain(subject, pixels, own[: len(pixels)])


# --- against rules written out ---------------------------------------------------------------------------------------


def dense(layer: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A linear step as a matrix [inputs, outputs] and its bias, from what it makes of every single unit."""
    units = torch.eye(int(torch.tensor(shape).prod()), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        bias = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten(1)
        return layer(units).flatten(1) - bias, bias[0]


def dealt(products: Tensor, over: Tensor, relevance: Tensor) -> tuple[Tensor, float]:
    """R_i = sum_j z_ij / z_j R_j, with 0 of those whose z_j is 0; and what of the sum is lost by these."""
    return (products * torch.where(over == 0, 0.0, relevance / over)).sum(dim=1), float(relevance[over == 0].sum())


def by_hand(network: nn.Sequential, image: Tensor, own: int, epsilon: float) -> tuple[Tensor, float, float]:
    """Unit by unit, back from the difference of the two logits; what biases and epsilon took; what was lost."""
    groups = ([0, 1], [2], [3], [4], [5], [6, 7], [8], [9], [10], [11], [12], [14])
    steps = [nn.Sequential(*(network[i] for i in group)) for group in groups]
    seen = [image[None]]
    for step in steps:
        seen.append(step(seen[-1]).detach())
    relevance = seen[-1][0] * torch.tensor([-1.0, 1.0]) * (1 if own else -1)
    taken, lost = 0.0, 0.0
    for number in reversed(range(len(steps))):
        step, x, shape = steps[number], seen[number].flatten(), tuple(seen[number].shape[1:])
        layer = step[0]
        if isinstance(layer, nn.ReLU | nn.Flatten):
            continue
        if isinstance(layer, nn.MaxPool2d):
            relevance = to_greatest(seen[number][0], relevance.reshape(seen[number + 1].shape[1:])).flatten()
            continue
        weight, bias = dense(step, shape)
        products = x[:, None] * weight
        if isinstance(layer, nn.Linear):
            z = products.sum(dim=0) + bias
            more = bias + epsilon * torch.where(z >= 0, 1.0, -1.0)
            taken += float((relevance * more / (products.sum(dim=0) + more)).sum())
            relevance, gone = dealt(products, products.sum(dim=0) + more, relevance)
        elif isinstance(layer, nn.AvgPool2d):
            relevance, gone = dealt(products, products.sum(dim=0), relevance)
        elif number:
            positive = products.clamp(min=0)
            relevance, gone = dealt(positive, positive.sum(dim=0), relevance)
        else:  # pixels between 0 and 1
            least = products - weight.clamp(max=0)
            relevance, gone = dealt(least, least.sum(dim=0), relevance)
        lost += gone
    return relevance.reshape(image.shape).sum(dim=0), taken, lost


def to_greatest(values: Tensor, relevance: Tensor) -> Tensor:
    """All of a window of 2 x 2 to its greatest value, the first of those that tie."""
    found = torch.zeros_like(values)
    for channel, down, across in torch.cartesian_prod(*(torch.arange(side) for side in relevance.shape)).tolist():
        window = values[channel, 2 * down : 2 * down + 2, 2 * across : 2 * across + 2]
        at = int(window.flatten().argmax())
        found[channel, 2 * down + at // 2, 2 * across + at % 2] += relevance[channel, down, across]
    return found


@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_it_is_that_of_rules_written_out_unit_by_unit(epsilon: float) -> None:
    """And their sum, what biases took and what was lost are together the log-odds."""
    network, pixels = tiny(), images()
    found, whole = explained(network, pixels, epsilon=epsilon), class_log_odds(network(pixels), OWN)
    for i in range(3):
        wanted, taken, lost = by_hand(network, pixels[i], int(OWN[i]), epsilon)
        torch.testing.assert_close(found[i], wanted)
        assert float(found[i].sum()) + taken + lost == pytest.approx(float(whole[i]))


# --- the sum is kept -------------------------------------------------------------------------------------------------


def of_assay(name: str, params: Mapping[str, Any], channels: int, classes: int) -> nn.Module:
    context = ArchitectureContext(channels=channels, size=64, classes=classes, seed=1)
    return build("architecture", name, params, context)


NETWORKS: Mapping[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "small-cnn": lambda: (of_assay("small-cnn", {"width": 8}, 1, 2), images(1, 64)),
    "resnet18": lambda: (of_assay("resnet18", {"stem": "small"}, 3, 3), images(3, 32)),
    "bottlenecks, deep stem, pooled branches": lambda: (
        of_assay("timm", {"model": "resnet26d", "in_chans": 3}, 1, 2),
        images(1, 64),
    ),
    "torchvision": lambda: (torchvision.models.resnet18(num_classes=1), images(3, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_sums_to_the_log_odds_without_the_biases_of_the_linear_layers(name: str) -> None:
    """Of the log-odds' gradient by the logits times what the head makes of its input; of two classes the difference."""
    network, pixels = NETWORKS[name]()
    drawn(network)
    for _, layer in named_layers(network):
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    logits = network(pixels).detach().requires_grad_()
    (slope,) = torch.autograd.grad(class_log_odds(logits, OWN).sum(), logits)
    kept = (slope * logits).sum(dim=1).detach()
    assert kept.abs().min() > 1e-3
    torch.testing.assert_close(explained(network, pixels).sum(dim=(1, 2)), kept, rtol=1e-4, atol=1e-5)
    if logits.shape[1] <= 2:
        torch.testing.assert_close(kept, class_log_odds(logits, OWN).detach())


def test_the_bias_of_the_head_is_not_dealt_out() -> None:
    network, pixels = drawn(of_assay("small-cnn", {"width": 8}, 1, 2)), images(1, 64)
    head = as_network(network).head
    bias = head.bias.detach()  # type: ignore[union-attr]
    own_part = torch.stack([bias[one] - bias[1 - one] for one in OWN.tolist()])
    wanted = class_log_odds(network(pixels), OWN).detach() - own_part  # type: ignore[arg-type]
    torch.testing.assert_close(explained(network, pixels).sum(dim=(1, 2)), wanted, rtol=1e-4, atol=1e-5)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_what_the_network_does_not_see_or_does_not_use_has_nothing() -> None:
    with library_draws(6, "holes"):
        network = nn.Sequential(nn.Conv2d(1, 3, 2, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(27, 2)).double()
    found = explained(network, images())
    seen = torch.zeros(12, 12, dtype=torch.bool)
    for top in (0, 4, 8):
        for left in (0, 4, 8):
            seen[top : top + 2, left : left + 2] = True
    assert not found[:, ~seen].any()
    assert found[:, seen].any()
    nn.init.zeros_(network[3].weight)  # type: ignore[arg-type]
    assert not explained(network, images()).any()


def test_of_two_classes_the_maps_are_each_others_negative() -> None:
    network = tiny()
    torch.testing.assert_close(explained(network, images()), -explained(network, images(), 1 - OWN))


def test_steps_in_place_change_nothing_and_nothing_is_left_on_the_network() -> None:
    network, pixels = tiny(inplace=True), images()
    before, answer = pixels.clone(), network(pixels).detach()
    torch.testing.assert_close(explained(network, pixels), explained(tiny(), pixels))
    assert torch.equal(pixels, before)
    assert torch.equal(network(pixels), answer)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(vars(module)["_forward_hooks"] for _, module in named_layers(network))


# --- refused ---------------------------------------------------------------------------------------------------------

REFUSED: Mapping[str, tuple[Callable[[], nn.Module], str]] = {
    "transformer": (lambda: timm.create_model("test_vit", img_size=64), "the network is VisionTransformer"),
    "gates": (lambda: timm.create_model("seresnet18"), "'layer1.0.se' is SEModule"),
    "groups": (torchvision.models.resnext50_32x4d, "'layer1.0.conv2' convolves in 32 groups"),
    "activation": (lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU()), "'1' is GELU"),
    "dense first": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)),
        "its first step with a rule is '0', no convolution",
    ),
    "norm first": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.BatchNorm2d(2)),
        "'2' follows no convolution",
    ),
    "padding": (
        lambda: nn.Sequential(nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")),
        "'0' pads by reflect",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_without_a_rule_for_every_step_is_refused_with_what_works(name: str) -> None:
    make, what = REFUSED[name]
    network = make().eval()
    with torch.no_grad():
        subject = Subject.of(network, images(3, 64).float())
    assert made().refusal(subject) == f"{WHICH}; {what}: {INSTEAD}"


def test_a_module_that_runs_twice_is_refused() -> None:
    twice = nn.Conv2d(1, 1, 3, padding=1)
    network = nn.Sequential(twice, nn.ReLU(), twice, nn.Flatten(), nn.Linear(144, 2)).double()
    assert made().refusal(Subject.of(network, images())) == f"{WHICH}; '0' runs more than once: {INSTEAD}"
