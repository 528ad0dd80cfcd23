"""Overlap and surfaces at native size: against Pillow and MONAI image by image, one image in memory at a time."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_distance import compute_average_surface_distance
from PIL import Image
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.data.files.fitting import fit_labels
from assay.plugin import Environment, Framing, Measurement, Model, ModelOutputs, ModelReading, Probe, Request, placed
from assay.report.sentences.reasons import reason_words
from assay.testing.data import ImagesInMemory, MasksInMemory, squares

SIZE, IMAGES = 16, 40


@dataclass
class Files:
    """Masks of many sizes. Remembers what it gave, and how many of them someone still held when the next was asked."""

    labels: list[np.ndarray]
    framing: Framing = field(default_factory=Framing)
    held: list[int] = field(default_factory=list[int])
    asked: list[int] = field(default_factory=list[int])
    _given: list[Any] = field(default_factory=list[Any])

    @property
    def sizes(self) -> np.ndarray:
        return np.array([one.shape[::-1] for one in self.labels])

    def read_one(self, position: int) -> np.ndarray:
        self.held.append(sum(given() is not None for given in self._given))
        self.asked.append(position)
        made = self.labels[position].copy()
        self._given.append(weakref.ref(made))
        return made


class OneScene:
    names = ("squares",)

    def __init__(self, only: Environment) -> None:
        self.only = only

    def environment(self, name: str) -> Environment:
        return self.only

    def neutral(self) -> Environment:
        return self.only


class Blurred(nn.Module):
    """Bright pixels, smoothed, are lesion."""

    passes = 0

    def forward(self, images: Tensor) -> Tensor:
        self.passes += 1
        smooth = nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        z = (smooth[:, :1] - 0.5) * 8
        return torch.cat([torch.zeros_like(z), z], dim=1)


@pytest.fixture
def files() -> Files:
    """An ellipse in most images, some larger and some smaller than the square; every fifth shows none."""
    rng, labels = np.random.default_rng(1), list[np.ndarray]()
    for at in range(IMAGES):
        height, width = rng.integers(12, 90, 2)
        y, x = np.mgrid[:height, :width]
        radius = 0.0 if at % 5 == 4 else rng.uniform(0.15, 0.3)
        away = np.hypot(y / height - rng.uniform(0.4, 0.6), x / width - rng.uniform(0.4, 0.6))
        labels.append((away < radius).astype(np.uint8))
    return Files(labels)


@pytest.fixture
def environment(files: Files) -> Environment:
    fitted = torch.as_tensor(np.stack([fit_labels(one, SIZE) for one in files.labels]))[:, None]
    noise = torch.rand(IMAGES, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    images = 0.55 * (fitted > 0) + 0.4 * noise
    one = replace(squares(IMAGES), images=ImagesInMemory(images), masks=MasksInMemory(fitted), native=files)
    return replace(one, table=replace(one.table, target=fitted.flatten(1).any(1).long().numpy()))


def found_in(environment: Environment, probe: Probe, network: nn.Module | None = None) -> list[Measurement]:
    scene: Any = OneScene(environment)
    model = Model(network or Blurred())
    return probe.measure(ModelReading(model, probe.requests(model, scene)), scene)


def by_name(rows: list[Measurement]) -> dict[str, Measurement]:
    return {row.measure: row for row in rows if not row.factor and not row.level}


def called_at_native(environment: Environment, files: Files) -> list[np.ndarray]:
    """What is called of every image, by Pillow."""
    p = torch.sigmoid(Blurred()(environment.images.read(np.arange(IMAGES)))[:, 1]).numpy()
    called: list[np.ndarray] = []
    for map, labels in zip(p, files.labels, strict=True):
        height, width = labels.shape
        box = placed(height, width, SIZE)
        inside = Image.fromarray(np.ascontiguousarray(map[box.rows, box.columns]))
        called.append(np.asarray(inside.resize((width, height), Image.Resampling.BILINEAR)) >= 0.5)
    return called


def test_overlap_is_that_of_probabilities_scaled_by_pillow(environment: Environment, files: Files) -> None:
    found = by_name(found_in(environment, make_probe("segmentation", native=True)))
    pairs = [(c, t > 0) for c, t in zip(called_at_native(environment, files), files.labels, strict=True) if t.any()]
    dice = [2 * (c & t).sum() / (c.sum() + t.sum()) for c, t in pairs]
    assert found["dice-native"].value == pytest.approx(np.mean(dice), abs=1e-4)
    assert found["iou-native"].value == pytest.approx(
        np.mean([(c & t).sum() / (c | t).sum() for c, t in pairs]), abs=1e-4
    )
    assert found["volume-error-native"].value == pytest.approx(
        np.mean([(c.sum() - t.sum()) / t.sum() for c, t in pairs]), abs=1e-3
    )
    assert found["dice-native"].n == len(pairs) == 32
    assert found["dice-native"].standard_error > 0
    assert 0.5 < found["dice-native"].value < 0.99
    assert abs(found["dice-native"].value - found["dice"].value) > 0.001


@pytest.mark.parametrize("spacing", [None, 0.25])
def test_surfaces_are_those_of_monai_in_mm_where_pixels_are_known(
    environment: Environment, files: Files, spacing: float | None
) -> None:
    """A pixel of the file is `spacing` mm; what the environment knows is of the square's pixels."""
    if spacing is not None:
        environment = replace(environment, millimeters=spacing * files.sizes.max(axis=1) / SIZE)
    found = by_name(found_in(environment, make_probe("segmentation", native=True)))
    distances: list[tuple[float, float]] = []
    for called, labels in zip(called_at_native(environment, files), files.labels, strict=True):
        if called.any() and labels.any():
            pair = [torch.as_tensor(one[None, None].astype(np.float32)) for one in (called, labels)]
            unit = spacing or 1.0
            distances.append(
                (
                    compute_hausdorff_distance(*pair, percentile=95, include_background=True, spacing=unit).item(),
                    compute_average_surface_distance(
                        *pair, symmetric=True, include_background=True, spacing=unit
                    ).item(),
                )
            )
    hausdorff, average = np.mean(distances, axis=0)
    assert found["hd95-native"].value == pytest.approx(hausdorff, rel=1e-3)
    assert found["surface-distance-native"].value == pytest.approx(average, rel=1e-3)
    assert found["hd95-native"].unit == found["hd95"].unit == ("px" if spacing is None else "mm")


def test_a_mask_is_read_once_and_let_go_before_the_next(environment: Environment, files: Files) -> None:
    """So memory holds one image of native size, however large the set."""
    found_in(environment, make_probe("segmentation", native=True))
    assert files.asked == list(range(IMAGES))
    assert max(files.held) == 0


def test_a_network_that_is_right_is_right_at_native_size_but_for_the_rim(environment: Environment) -> None:
    class Told(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            z = (images[:, :1] - 0.5) * 40
            return torch.cat([torch.zeros_like(z), z], dim=1)

    assert environment.masks is not None
    environment = replace(environment, images=ImagesInMemory(environment.masks.read(np.arange(IMAGES)).float()))
    found = by_name(found_in(environment, make_probe("segmentation", native=True), Told()))
    assert found["dice"].value == 1
    assert 0.8 < found["dice-native"].value < 1


def test_nothing_is_read_at_native_size_unless_it_is_asked(environment: Environment, files: Files) -> None:
    found = by_name(found_in(environment, make_probe("segmentation")))
    assert not any(name.endswith("-native") for name in found)
    assert files.asked == []


def test_where_there_is_no_native_size_that_is_said(environment: Environment) -> None:
    found = by_name(found_in(replace(environment, native=None), make_probe("segmentation", native=True)))
    assert np.isnan(found["hd95-native"].value)
    assert reason_words(found["dice-native"].reason) == (
        "no masks at original resolution: crops, and images that are not single files, have none"
    )
    assert found["dice"].value > 0.5


def test_answers_that_were_kept_without_native_size_are_read_again(environment: Environment) -> None:
    network = Blurred()
    plain = ModelReading(Model(network), [Request(environment)]).read(environment)
    asked = [Request(environment, native=True)]
    before = network.passes
    known = {"squares": ModelOutputs(plain.logits, {}, plain.maps)}
    again = ModelReading(Model(network), asked, known).read(environment)
    assert network.passes > before
    passes = network.passes
    kept = ModelReading(Model(network), asked, {"squares": again}).read(environment)
    assert network.passes == passes
    np.testing.assert_array_equal(kept.maps["native_hit"], again.maps["native_hit"])
