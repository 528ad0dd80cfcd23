"""Several kinds of lesion: each is scored as if it were the only one, and any of them against background besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Model, ModelReading, Request
from assay.report.sentences.reasons import reason_words
from assay.testing.data import squares

KINDS = ("polyp", "instrument")


@dataclass(frozen=True)
class Labels:
    """Label maps in memory."""

    labels: Tensor
    kinds: tuple[str, ...] = KINDS

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: np.ndarray) -> Tensor:
        return self.labels[torch.as_tensor(index)]


class OneScene:
    """A scene of one environment, which is its neutral one."""

    names = ("squares",)

    def __init__(self, only) -> None:
        self.only = only

    def environment(self, name):
        return self.only

    def neutral(self):
        return self.only


class RotatedSquare(nn.Module):
    """Calls bright pixels of the left half a polyp, of the right half an instrument."""

    def forward(self, images: Tensor) -> Tensor:
        bright = (images[:, 0] - 0.6) * 20
        left = torch.arange(images.shape[3]) < images.shape[3] // 2
        low = torch.full_like(bright, -20.0)
        return torch.stack([torch.zeros_like(bright), bright.where(left, low), bright.where(~left, low)], dim=1)


@pytest.fixture
def environment():
    """Each image shows a square of one kind, the kinds in turn."""
    one = squares(70, seed=5)
    masks = one.masks.read(np.arange(70)).to(torch.uint8)
    return replace(one, masks=Labels(masks * (1 + torch.arange(70) % 2)[:, None, None, None].to(torch.uint8)))


def test_each_kind_has_an_overlap_of_its_own(environment) -> None:
    reading = ModelReading(Model(RotatedSquare()), [Request(environment)])
    found = make_probe("segmentation").measure(reading, OneScene(environment))
    called = RotatedSquare()(environment.images.read(np.arange(70))).argmax(1).numpy()
    truth = environment.masks.read(np.arange(70))[:, 0].numpy()
    for label, kind in enumerate(KINDS, start=1):
        of_kind = {row.measure: row for row in found if row.level == kind and not row.factor}
        shown = (truth == label).any((1, 2))
        both = ((truth == label) & (called == label)).sum((1, 2))[shown]
        sizes = (truth == label).sum((1, 2))[shown], (called == label).sum((1, 2))[shown]
        assert shown.sum() == 35
        assert of_kind["dice"].value == pytest.approx(np.mean(2 * both / sum(sizes)))
        assert of_kind["iou"].value == pytest.approx(np.mean(both / (sum(sizes) - both)))
        assert 0.1 < of_kind["dice"].value < 0.9
        empty = ~shown & ~(called == label).any((1, 2))
        assert (of_kind["dice"].n, of_kind["dice-skip"].n, of_kind["dice-one"].n) == (35, 70 - empty.sum(), 70)
        assert of_kind["dice-zero"].value == pytest.approx(of_kind["dice"].value / 2)
        assert of_kind["dice-one"].value - of_kind["dice-zero"].value == pytest.approx(empty.sum() / 70)
        assert 0 < empty.sum() < 35
    (whole,) = (row for row in found if row.measure == "dice" and not row.level)
    assert whole.value > max(row.value for row in found if row.measure == "dice" and row.level in KINDS)


def test_of_one_kind_nothing_is_told_twice(environment) -> None:
    class Single(RotatedSquare):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)[:, :2]

    reading = ModelReading(Model(Single()), [Request(environment)])
    assert not any(row.level in KINDS for row in make_probe("segmentation").measure(reading, OneScene(environment)))


def test_each_kind_has_lesions_found_and_false_positives_of_its_own(environment) -> None:
    """Every image shows one square: found where half of it lies on its kind's side, else its call is a false one."""
    reading = ModelReading(Model(RotatedSquare()), [Request(environment)])
    found = make_probe("segmentation").measure(reading, OneScene(environment))
    called = RotatedSquare()(environment.images.read(np.arange(70))).argmax(1).numpy()
    truth = environment.masks.read(np.arange(70))[:, 0].numpy()
    for label, kind in enumerate(KINDS, start=1):
        of_kind = {row.measure: row for row in found if row.level == kind and not row.factor}
        shown = (truth == label).any((1, 2))
        half = (((truth == label) & (called == label)).sum((1, 2)) * 2 >= (truth == label).sum((1, 2)))[shown]
        assert of_kind["lesion-sensitivity"].value == pytest.approx(half.mean())
        assert of_kind["lesion-sensitivity"].n == 35
        assert 0 < half.mean() < 1
        calls = [ndimage.label(one == label, np.ones((3, 3)))[0] for one in called]
        lone = [
            sum(not (truth[i][calls[i] == number] == label).any() for number in range(1, calls[i].max() + 1))
            for i in range(70)
        ]
        assert of_kind["false-positives-per-image"].value == pytest.approx(np.mean(lone))
        assert of_kind["false-positives-per-image"].n == 70
        assert np.mean(lone) > 0.1
    (whole,) = (row for row in found if row.measure == "false-positives-per-image" and not row.level)
    assert whole.value == 0  # of any kind: what is called lies on a lesion


def test_a_kind_that_no_image_shows_is_undefined_but_for_its_false_positives(environment) -> None:
    masks = Labels(environment.masks.labels.clamp(max=1))
    only = replace(environment, masks=masks)
    found = make_probe("segmentation").measure(ModelReading(Model(RotatedSquare()), [Request(only)]), OneScene(only))
    absent = {row.measure: row for row in found if row.level == "instrument" and not row.factor}
    assert np.isnan(absent["lesion-sensitivity"].value)
    assert reason_words(absent["lesion-sensitivity"].reason) == "no lesion"
    assert reason_words(absent["dice"].reason) == "no image with a lesion"
    assert absent["false-positives-per-image"].value > 0
