"""Explainers on networks whose maps can be had in another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.plugin import ExplainedNetwork, Explainer, ExplainerError, build, entries, library_draws
from assay.probes.explainers import class_log_odds
from assay.stats import class_score

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


def explained(name: str, network: nn.Module, images: Tensor = IMAGES) -> Tensor:
    explainer = made(name)
    subject = ExplainedNetwork.of(network, images[:1])
    assert explainer.refusal(subject) == ""
    return explainer.explain(subject, images, OWN[: len(images)])


def made(name: str) -> Explainer:
    return build("explainer", name, {})


# --- known by construction ------------------------------------------------------------------------------------------


def test_of_a_sum_of_weighted_pixels_all_is_known() -> None:
    """The gradient is the weight, and what each pixel adds is its weight times its value."""
    weight = torch.randn((1, 12, 16), generator=torch.Generator().manual_seed(1))
    network, sign = Linear(weight), torch.tensor([-1.0, 1, 1])[:, None, None]
    torch.testing.assert_close(explained("gradient", network), weight.abs().expand(3, -1, -1))
    torch.testing.assert_close(explained("input-x-gradient", network), sign * weight * IMAGES[:, 0])


def test_the_explainer_of_the_page_works(page_modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With windows of a pixel, each falls by its weight times its distance from the mean."""
    monkeypatch.syspath_prepend(page_modules)
    weight = torch.randn((1, 12, 16), generator=torch.Generator().manual_seed(1))
    explainer: Explainer = build("explainer", "my_maps:Occlusion", {"side": 1})
    maps = explainer.explain(ExplainedNetwork.of(Linear(weight), IMAGES), IMAGES, OWN)
    fall = weight * (IMAGES - IMAGES.mean(dim=(2, 3), keepdim=True))[:, 0]
    torch.testing.assert_close(maps, fall * torch.tensor([-1.0, 1, 1])[:, None, None], atol=1e-4, rtol=1e-3)


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
    assert not any(vars(module)["_forward_hooks"] for _, module in network.named_modules())


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_the_images_own_whatever_else_is_in_the_batch(name: str) -> None:
    """Gray or color, wide or tall, of few classes or many; of the size of the image."""
    for shape, outputs in (((2, 1, 12, 16), 1), ((2, 3, 20, 9), 2), ((2, 3, 9, 9), 4)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(4))
        network = small(channels=shape[1], outputs=outputs)
        both = explained(name, network, images)
        assert both.shape == (2, *shape[2:])
        alone = made(name).explain(ExplainedNetwork.of(network, images), images[1:], OWN[1:2])
        torch.testing.assert_close(both[1:], alone, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_additive_is_not_negative_and_a_network_that_ignores_its_image_has_zeros(name: str) -> None:
    network = small()
    assert made(name).additive or (explained(name, network) >= 0).all()
    nn.init.zeros_(network.get_parameter("6.weight"))
    assert not explained(name, network).any()


def test_logits_of_pixels_are_refused() -> None:
    with pytest.raises(ExplainerError, match="Attribution is for networks that classify images"):
        class_log_odds(torch.zeros(1, 2, 4, 4), torch.zeros(1, dtype=torch.long))
