"""Painting on discs of known brightness, size and place, by networks whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from tests.probes.test_performance import found as found_in
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Environment, Factor, FactorTable, Measurement, Model, row_uniform, run_probes
from assay.report.sentences.reasons import reason_words
from assay.testing.probe import World

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

SIDE, ROWS = 16, 40
RANGES = {"contrast": (0.0, 1.0), "size": (2.0, 4.0), "position_x": (-5.0, 5.0)}
LESION = Factor("lesion", "categorical", levels=("absent", "present"), high=("present",))
FACTORS = (LESION, *(Factor(name, "continuous", range=ends) for name, ends in RANGES.items()))
DARK = 0.2


def value_at(factor: str, u: np.ndarray) -> np.ndarray:
    low, high = RANGES[factor]
    return low + (high - low) * u


@dataclass(frozen=True)
class Discs:
    """Images (or masks) of a disc of radius `size`, as bright as `DARK` + 0.8 x contrast, right of the middle."""

    columns: Mapping[str, np.ndarray]
    masks: bool
    kinds: tuple[str, ...] = ("disc",)
    shape: tuple[int, int, int] = (1, SIDE, SIDE)

    def __len__(self) -> int:
        return len(self.columns["size"])

    def read(self, index: np.ndarray) -> Tensor:
        y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
        here = {name: values[index][:, None, None] for name, values in self.columns.items()}
        disc = ((x - here["position_x"]) ** 2 + y**2 <= here["size"] ** 2) & (here["lesion"] == 1)
        if self.masks:
            return torch.as_tensor(disc.astype(np.uint8)[:, None])
        return torch.as_tensor((DARK + 0.8 * here["contrast"] * disc).astype(np.float32)[:, None])


@dataclass
class DiscScene(World):
    """Half of the rows have a disc. `fixed`: factors that every row has the same value of."""

    fixed: Mapping[str, float] = field(default_factory=dict[str, float])

    def shown(self, name: str, **changed: float) -> Environment:
        rows = np.arange(ROWS)
        columns: dict[str, np.ndarray] = {"lesion": rows % 2}
        columns |= {factor: value_at(factor, row_uniform(0, factor, rows)) for factor in RANGES}
        columns |= {factor: np.full(ROWS, value) for factor, value in {**self.fixed, **changed}.items()}
        table = FactorTable(rows, rows % 2, rows, LESION.levels, FACTORS, columns)
        return Environment(name, table, Discs(columns, masks=False), Discs(columns, masks=True), ())

    def neutral(self) -> Environment:
        return self.shown("neutral")

    def changeable(self) -> tuple[str, ...]:
        return (LESION.name, *RANGES)

    def counterfactual(self, factor: str, end: str) -> Environment:
        return self.shown(f"{factor} {end}", **{factor: float(end == "high")})

    def at_quantile(self, factor: str, u: float) -> Environment | None:
        return self.shown(f"{factor} at {u}", **{factor: float(value_at(factor, np.array(u)))})


class Bright(nn.Module):
    """Lesion where brightness exceeds 0.5."""

    def forward(self, images: Tensor) -> Tensor:
        return 20 * (images - 0.5)


class Middle(nn.Module):
    """Lesion in the middle, whatever is there: a square of 8 px a side."""

    def forward(self, images: Tensor) -> Tensor:
        answer = torch.full_like(images, -5.0)
        answer[:, :, 4:12, 4:12] = 5.0
        return answer


class Silent(nn.Module):
    """The same everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.full_like(images, -3.0)


def painted(
    network: nn.Module, scene: World, operating: float = 0.0, factors: tuple[str, ...] = ()
) -> list[Measurement]:
    model = Model(network, operating=(operating,) * 3)
    return run_probes(model, scene, {"p": make_probe("painting", factors=factors)}).measurements["p"]


def found(measurements: list[Measurement], measure: str, **where: str) -> Measurement:
    return found_in(measurements, measure, environment="neutral", **where)


def along(measurements: list[Measurement], measure: str, factor: str) -> list[float]:
    return [found(measurements, measure, factor=factor, level=f"{u:g}").value for u in QUANTILES]


def test_a_network_of_brightness_follows_the_contrast_alone() -> None:
    """A disc is bright enough from a contrast of 0.375 on: between the quantiles 0.25 and 0.5."""
    measurements = painted(Bright(), DiscScene())
    contrast = value_at("contrast", row_uniform(0, "contrast", np.arange(1, ROWS, 2)))
    assert along(measurements, "found", "contrast") == [0, 0, 1, 1, 1]
    wanted = [(u - contrast.mean()) / contrast.std() for u in QUANTILES]
    assert along(measurements, "lesion-logit", "contrast") == pytest.approx(wanted, abs=1e-5)
    for factor in ("size", "position_x"):
        assert along(measurements, "found", factor) == pytest.approx([(contrast >= 0.375).mean()] * 5)
        assert along(measurements, "lesion-logit", factor) == pytest.approx([0] * 5, abs=1e-6)
    for measure in ("place-called", "place-found"):
        assert found(measurements, measure).value == 0


def test_the_threshold_is_that_of_the_model() -> None:
    """At the logit 20 x (0.2 + 0.8 x 0.6 - 0.5) a disc needs a contrast of 0.6."""
    measurements = painted(Bright(), DiscScene(), operating=20 * (DARK + 0.8 * 0.6 - 0.5))
    assert along(measurements, "found", "contrast") == [0, 0, 0, 1, 1]


def test_a_network_of_place_follows_the_position_and_calls_the_place_when_nothing_is_there() -> None:
    """Discs of radius 3 lie within the square at up to 1 px from the middle and leave it by more than half at 4.5."""
    measurements = painted(Middle(), DiscScene(fixed={"size": 3.0}))
    assert along(measurements, "found", "position_x") == [0, 1, 1, 1, 0]
    at_rest = painted(Middle(), DiscScene(fixed={"size": 3.0, "position_x": 0.0}))
    assert along(at_rest, "found", "contrast") == [1] * 5
    assert found(at_rest, "place-called").value == 1
    assert found(at_rest, "place-found").value == 1
    away = painted(Middle(), DiscScene(fixed={"size": 2.0, "position_x": 6.0}))
    assert found(away, "place-found").value == 0


def test_the_place_is_counted_by_pixel() -> None:
    """Against a count of the pixels of each disc that lie in the square."""
    scene = DiscScene()
    neutral = scene.neutral()
    assert neutral.masks is not None
    disc = neutral.masks.read(np.arange(1, ROWS, 2))[:, 0].numpy().astype(bool)
    shares = disc[:, 4:12, 4:12].sum((1, 2)) / disc.sum((1, 2))
    m = found(painted(Middle(), scene), "place-called")
    assert m.value == pytest.approx(shares.mean())
    assert m.standard_error == pytest.approx(shares.std(ddof=1) / np.sqrt(len(shares)))
    assert (m.n, m.environment, m.direction) == (ROWS // 2, "neutral", "lower")


def test_what_cannot_be_said_has_its_reason() -> None:
    silent = painted(Silent(), DiscScene())
    assert along(silent, "found", "size") == [0] * 5  # a whole image that is called finds nothing
    assert "has no unit" in reason_words(found(silent, "lesion-logit", factor="size", level="0.5").reason)
    censored = painted(Bright(), DiscScene(), operating=float("nan"))
    assert "no threshold finds 90%" in reason_words(found(censored, "found", factor="size", level="0.5").reason)
    stray = painted(Bright(), DiscScene(), factors=("size", "color", "lesion"))
    assert "no such factor that rises" in reason_words(found(stray, "found", factor="color").reason)
    assert "no such factor that rises" in reason_words(found(stray, "found", factor="lesion").reason)
    (files,) = painted(Bright(), World(has_phantom=False))
    assert "nothing can be painted" in reason_words(files.reason)
    (maskless,) = painted(Bright(), World())
    assert reason_words(maskless.reason) == "the images have no masks"
