"""What each loss says, and which way it pushes, on a mask without lesion: the question of the lesion-free study."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.training.losses.masks import Maps, gradient, value

SIDE = 8
PIXELS = SIDE * SIDE
P = 0.1


def empty(p: float = P, peak: float | None = None) -> Maps:
    """One image without lesion, predicted everywhere with probability p, but `peak` at one pixel."""
    probability = torch.full((1, SIDE, SIDE), p, dtype=torch.float64)
    if peak is not None:
        probability[0, 3, 4] = peak
    return torch.stack([torch.zeros_like(probability), probability.logit()], dim=1), torch.zeros(1, SIDE, SIDE).long()


SUM = P * PIXELS
OVERLAP = 1 - 1 / (SUM + 1)
BACKGROUND = 1 - (2 * (PIXELS - SUM) + 1) / (2 * PIXELS - SUM + 1)
VALUES: list[tuple[str, dict[str, Any], float]] = [
    ("cross-entropy", {}, -math.log(1 - P)),
    ("weighted-cross-entropy", {}, -math.log(1 - P)),
    ("focal", {"gamma": 2.0}, -(P**2) * math.log(1 - P)),
    ("label-smoothing", {"smoothing": 0.1}, -0.95 * math.log(1 - P) - 0.05 * math.log(P)),
    ("dice", {"smoothing": 0.0}, 1.0),
    ("dice", {}, OVERLAP),
    ("dice", {"smoothing": 100.0}, 1 - 100 / (SUM + 100)),
    ("dice", {"background": True}, (OVERLAP + BACKGROUND) / 2),
    ("dice", {"reduce": "batch"}, OVERLAP),
    ("tversky", {}, 1 - 0.5 / (0.3 * SUM + 0.5)),
    ("tversky", {"smoothing": 0.0}, 1.0),
    ("tversky", {"exponent": 0.75}, (1 - 0.5 / (0.3 * SUM + 0.5)) ** 0.75),
    ("boundary", {}, 0.0),
    ("boundary", {"background": True}, 0.0),
    ("hausdorff", {}, 0.0),
    ("mcc", {}, 1.0),
    ("mcc", {"background": True}, 1.0),
    ("cross-entropy-dice", {}, (OVERLAP - math.log(1 - P)) / 2),
]
SILENT = {
    ("dice", 0.0), ("tversky", 0.0),
    ("boundary", None), ("hausdorff", None), ("mcc", None),
}  # fmt: skip
"""Loss, and the smoothing, that give a lesion-free image no gradient."""


def is_silent(name: str, params: dict[str, Any]) -> bool:
    return (name, params.get("smoothing")) in SILENT


@pytest.mark.parametrize(("name", "params", "expected"), VALUES, ids=lambda value: str(value)[:40])
def test_value(name: str, params: dict[str, Any], expected: float) -> None:
    assert value(name, empty(), **params).item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("name", "params"), [row[:2] for row in VALUES], ids=lambda value: str(value)[:40])
def test_gradient(name: str, params: dict[str, Any]) -> None:
    """Either none at all, or one that pushes lesions down and no pixel up."""
    slope = gradient(name, empty(peak=0.4), **params)[:, 1]
    assert (slope >= -1e-12).all()
    assert bool(slope.abs().max() < 1e-12) == is_silent(name, params)


def test_which_pixels_are_pushed() -> None:
    """Where one pixel stands out: Dice pushes each by p (1 - p)."""
    slope = gradient("dice", empty(peak=0.4))[0, 1]
    assert (slope[3, 4] / slope[0, 0]).item() == pytest.approx(0.4 * 0.6 / (0.1 * 0.9))


def test_hausdorff_pushes_once_a_region_is_predicted() -> None:
    """One pixel above 1/2: at distance 1 of its surround, others at their distance from it."""
    places = [(y, x) for y in range(SIDE) for x in range(SIDE)]
    far = {at: max(1.0, math.dist(at, (3, 4))) for at in places}
    expected = sum(far[at] ** 2 * (0.7 if at == (3, 4) else P) ** 2 for at in places) / PIXELS
    assert value("hausdorff", empty(peak=0.7)).item() == pytest.approx(expected, rel=1e-6)
    assert (gradient("hausdorff", empty(peak=0.7))[0, 1] > 0).all()


def test_per_batch_an_empty_image_pushes_even_without_smoothing() -> None:
    """Its false positives stand in the denominator of the batch: 1 - 2 TP / (sum p + sum g)."""
    logits, labels = (torch.cat([part, part]) for part in empty())
    labels[0, :4] = 1
    for reduce, pushed in (("image", False), ("batch", True)):
        slope = gradient("dice", (logits, labels), reduce=reduce, smoothing=0.0)[1, 1]
        assert bool((slope > 1e-6).all()) == pushed
        assert bool((slope.abs() < 1e-12).all()) != pushed


@pytest.mark.parametrize(("name", "params"), [("dice", {}), ("tversky", {}), ("mcc", {})])
def test_a_kind_of_lesion_that_no_image_shows_counts_as_an_empty_target(name: str, params: dict[str, Any]) -> None:
    """Three classes, the last in no image: its term is that of a mask without lesion."""
    logits = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.zeros(2, SIDE, SIDE).long()
    labels[:, :3] = 1
    slope = gradient(name, (logits, labels), **params)[:, 2]
    assert slope.abs().max() > 1e-6  # by the other classes at least: probabilities sum to 1
    sure = torch.zeros_like(logits)
    sure[:, 1] = 30.0 * (labels == 1)
    sure[:, 0] = 30.0 * (labels == 0)
    sure[:, 2] = -30.0
    lowest = 0.5 if name == "mcc" else 0.0  # the absent class has no correlation: 1, of which the mean is taken
    assert value(name, (sure, labels), **params).item() == pytest.approx(lowest, abs=1e-6)


@pytest.mark.parametrize("name", ["dice", "mcc"])
def test_an_exactly_silent_network_on_an_empty_target(name: str) -> None:
    """Every probability is exactly 0 in float32: 0 / 0, which is 1 for Dice without smoothing and 0 for MCC."""
    logits = torch.zeros(1, 2, SIDE, SIDE)
    logits[:, 1] = -1e4
    at = logits, torch.zeros(1, SIDE, SIDE).long()
    params = {"smoothing": 0.0} if name == "dice" else {}
    assert value(name, at, **params).item() == (1.0 if name == "dice" else 0.0)
    assert gradient(name, at, **params).abs().max() == 0
