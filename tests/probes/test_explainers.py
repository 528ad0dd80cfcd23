"""Explainers on networks whose maps can be had in another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from assay.core.registry import build, entries
from assay.models.untyped import named_layers
from assay.models.weights import library_draws
from assay.probes.explainers import Explainer, ExplainerError, Subject, class_log_odds, replace_pixels
from assay.stats.metrics import class_score

NAMES = tuple(entry.name for entry in entries("explainer"))
IMAGES = torch.rand((3, 1, 12, 16), generator=torch.Generator().manual_seed(0))
OWN = torch.tensor([0, 1, 1])


def small(inplace: bool = False, channels: int = 1, outputs: int = 2) -> nn.Sequential:
    """Convolution, rectifier, convolution, rectifier, mean over places, linear layer; the same weights at each call."""
    with library_draws(3, "small"):
        return nn.Sequential(
            nn.Conv2d(channels, 5, 3, stride=2, padding=1),
            nn.ReLU(inplace=inplace),
            nn.Conv2d(5, 4, 3, padding=1),
            nn.ReLU(inplace=inplace),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, outputs),
        ).eval()


class Linear(nn.Module):
    """A logit that is a sum of weighted pixels."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        """The logit [b]."""
        return (images * self.weight).sum(dim=(1, 2, 3)) - 1


class Attending(nn.Module):
    """Patches by a convolution, attention over them, a linear layer: a vision transformer in small."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, 2]."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        weights = (tokens @ self.mix(tokens).transpose(1, 2)).softmax(dim=-1)
        return self.head((weights @ tokens).mean(dim=1))


def weight(network: nn.Sequential, layer: int) -> Tensor:
    """A layer's weights."""
    return network.get_parameter(f"{layer}.weight").detach()


def explained(name: str, network: nn.Module, images: Tensor = IMAGES, **params: Any) -> Tensor:
    explainer = made(name, params)
    subject = Subject.of(network, images[:1])
    assert explainer.refusal(subject) == ""
    return explainer.explain(subject, images, OWN[: len(images)])


def made(name: str, params: Mapping[str, Any] | None = None) -> Explainer:
    return build("explainer", name, params or {})


# --- known by construction ------------------------------------------------------------------------------------------


def test_of_a_sum_of_weighted_pixels_all_is_known() -> None:
    """The gradient is the weight, and what each pixel adds is its weight times how far it lies from the baseline."""
    weight = torch.randn((1, 12, 16), generator=torch.Generator().manual_seed(1))
    network, sign = Linear(weight), torch.tensor([-1.0, 1, 1])[:, None, None]
    size = weight.abs().expand(3, -1, -1)
    torch.testing.assert_close(explained("gradient", network), size)
    torch.testing.assert_close(explained("smoothgrad", network), size)
    added = sign * weight * IMAGES[:, 0]
    torch.testing.assert_close(explained("input-x-gradient", network), added)
    torch.testing.assert_close(explained("integrated-gradients", network), added)
    mean = sign * weight * (IMAGES - IMAGES.mean(dim=(2, 3), keepdim=True))[:, 0]
    torch.testing.assert_close(explained("integrated-gradients", network, baseline="mean"), mean, atol=1e-5, rtol=1e-4)
    pixel = explained("occlusion", network, window=1 / 12)
    torch.testing.assert_close(pixel, mean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("baseline", ["black", "mean", "blur"])
def test_integrated_gradients_add_up_to_what_the_image_has_over_its_baseline(baseline: Any) -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 10 * 14, 3)).eval()
    found = explained("integrated-gradients", network, baseline=baseline, steps=200).sum(dim=(1, 2))
    subject = Subject(network, ())
    difference = subject.score(IMAGES, OWN) - subject.score(replace_pixels(IMAGES, baseline), OWN)
    torch.testing.assert_close(found, difference, atol=1e-4, rtol=1e-3)


def test_grad_cam_before_a_mean_and_a_linear_layer_is_cam() -> None:
    """There the gradient of z1 - z0 by a map is the difference of its weights over the number of places (Zhou 2016)."""
    network = small()
    head, maps = weight(network, 6), network[:4](IMAGES).detach()
    each = (head[1] - head[0]) / maps[0, 0].numel()
    sign = torch.tensor([-1.0, 1, 1])[:, None, None]
    cam = (sign * torch.einsum("k,bkhw->bhw", each, maps)).clamp(min=0)
    wanted = nn.functional.interpolate(cam[:, None], size=(12, 16), mode="bilinear")[:, 0]
    torch.testing.assert_close(explained("grad-cam", network), wanted)
    torch.testing.assert_close(explained("grad-cam", network, layer="3"), explained("grad-cam", network))
    assert not torch.equal(explained("grad-cam", network, layer="1"), explained("grad-cam", network))


def test_occlusion_is_that_of_one_window_and_one_image_at_a_time() -> None:
    network, found = small(), explained("occlusion", small(), window=0.4, stride=0.5, replacement="black")
    total, windows = torch.zeros(3, 12, 16), torch.zeros(12, 16)
    for i in range(3):
        for top in (0, 2, 4, 6, 7):  # windows of 5 px, 2 px apart, the last at the end
            for left in (0, 2, 4, 6, 8, 10, 11):
                covered = IMAGES[i : i + 1].clone()
                covered[:, :, top : top + 5, left : left + 5] = 0
                both = (IMAGES[i : i + 1], covered)
                whole, less = (class_log_odds(network(image).detach(), OWN[i : i + 1]) for image in both)
                total[i, top : top + 5, left : left + 5] += float(whole - less) / 25
                windows[top : top + 5, left : left + 5] += i == 0
    torch.testing.assert_close(found, total / windows, atol=1e-6, rtol=1e-4)


def test_log_odds_are_those_of_the_statistics() -> None:
    logits = torch.randn((6, 4), generator=torch.Generator().manual_seed(2))
    own = torch.tensor([0, 1, 2, 3, 3, 0])
    wanted = np.stack([class_score(logits.numpy(), label) for label in range(4)], axis=1)[np.arange(6), own]
    np.testing.assert_allclose(class_log_odds(logits, own).numpy(), wanted, rtol=1e-5)
    two, sides = logits[:, :2], own.clamp(max=1)
    torch.testing.assert_close(class_log_odds(two[:, 1] - two[:, 0], sides), class_log_odds(two, sides))


# --- every explainer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_steps_in_place_change_nothing_and_nothing_is_left_on_the_network(name: str) -> None:
    network = small(inplace=True)
    torch.testing.assert_close(explained(name, network), explained(name, small()))
    first = nn.Sequential(nn.Hardtanh(-9, 9, inplace=True), *small(inplace=True)).eval()
    images = IMAGES.clone()
    torch.testing.assert_close(explained(name, first, images), explained(name, small()))
    assert torch.equal(images, IMAGES)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(vars(module)["_forward_hooks"] for _, module in named_layers(network))


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_the_images_own_whatever_else_is_in_the_batch(name: str) -> None:
    """Gray or color, wide or tall, of few classes or many; of the size of the image."""
    for shape, outputs in (((2, 1, 12, 16), 1), ((2, 3, 20, 9), 2), ((2, 3, 9, 9), 4)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(4))
        network = small(channels=shape[1], outputs=outputs)
        both = explained(name, network, images)
        assert both.shape == (2, *shape[2:])
        alone = made(name).explain(Subject.of(network, images), images[1:], OWN[1:2])
        torch.testing.assert_close(both[1:], alone, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_additive_is_not_negative_and_a_network_that_ignores_its_image_has_zeros(name: str) -> None:
    network = small()
    assert made(name).additive or (explained(name, network) >= 0).all()
    nn.init.zeros_(network.get_parameter("6.weight"))
    assert not explained(name, network).any()


def refused(name: str, network: nn.Module, **params: Any) -> str:
    return made(name, params).refusal(Subject.of(network, IMAGES))


def test_a_network_that_a_method_does_not_support_is_refused_with_what_works() -> None:
    instead = "use gradient, integrated-gradients, smoothgrad or occlusion"
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12 * 16, 2))
    attending = Attending()
    assert refused("grad-cam", flat) == f"no convolution of this network gives maps of several places: {instead}"
    assert refused("grad-cam", attending) == (
        f"the network goes on with tokens ('mix') after its last convolution: {instead}"
    )
    assert refused("grad-cam", attending, layer="patches") == ""
    assert refused("grad-cam", small(), layer="6") == (
        f"layer '6' gives [3, 2], no maps [b, d, h, w] of several places: {instead}"
    )
    assert refused("grad-cam", small(), layer="nosuch") == (
        "no layer 'nosuch' runs in this network; layers that give maps: 0, 1, 2, 3"
    )
    twice = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), rectifier := nn.ReLU(), nn.Sigmoid(), rectifier, *flat)
    said = f"layer '1' runs 2 times in a pass, so its maps are not one: {instead}"
    assert refused("grad-cam", twice, layer="1") == said
    for network in (flat, attending):
        for name in ("gradient", "input-x-gradient", "integrated-gradients", "smoothgrad", "occlusion"):
            assert refused(name, network) == ""
            assert explained(name, network).shape == (3, 12, 16)


def test_logits_of_pixels_are_refused() -> None:
    with pytest.raises(ExplainerError, match="attribution is for networks that classify images"):
        class_log_odds(torch.zeros(1, 2, 4, 4), torch.zeros(1, dtype=torch.long))


@pytest.mark.parametrize(("name", "given"), [("occlusion", {"window": 1.0}), ("integrated-gradients", {"steps": 1})])
def test_wrong_arguments_are_refused(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build("explainer", name, given)
