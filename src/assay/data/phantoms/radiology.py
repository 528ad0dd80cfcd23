"""The radiology-like phantom: other tasks on the chest and nodule phantoms, as classes of a source to pretrain on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.types import Factor
from assay.data.dataset import Phantom, Rendered
from assay.data.phantoms.base import DrawnPhantom, PhantomDesign, PhantomRows, drawn_by_assay
from assay.data.phantoms.chest import ChestPhantom, Chests
from assay.data.phantoms.drawing import Capsules, Grid, Plane, direction, draw_capsules, uniforms
from assay.data.phantoms.nodule import NodulePhantom

# The classes of the radiology-like phantom: tasks on chest radiographs and on CT patches.
#
# None of them is a target of studies on these phantoms: no chest holds a mass, no nodule has a spiculated margin.
# Neither are sex, view and scanner among them, which studies tie to a target: they vary freely within every class.

Anatomy = Literal["both", "chest", "ct"]
Findings = Literal["diffuse", "local", "both"]

DIFFUSE: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "clear": {},
        "congested": {"vessels": 2.0},
        "oligaemic": {"vessels": 0.2},
        "interstitial": {"texture": 2.2},
        "osteopenic": {"bones": 0.35},
    }
)
"""Diffuse findings of a chest, as arguments of the chest phantom."""
LOCAL = ("nodule", "cavity", "band", "line", "calcifications")
"""Local findings of a chest, drawn at a place in a lung."""
PARTS: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "side": {"right": (0.0, 0.5), "left": (0.5, 1.0)},
        "zone": {"upper": (0.0, 0.25), "middle": (0.25, 0.625), "lower": (0.625, 1.0)},
        "age": {"young": (0.0, 0.3), "middle": (0.35, 0.65), "old": (0.7, 1.0)},
        "habitus": {"slender": (0.0, 0.45), "heavy": (0.55, 1.0)},
        "texture": {"solid": (0.0, 0.5), "part-solid": (0.5, 0.75), "ground-glass": (0.75, 1.0)},
        "vessel": {"free": (0.0, 0.5), "fed": (0.5, 1.0)},
        "size": {str(k + 1): (k / 5, (k + 1) / 5) for k in range(5)},
    }
)
"""Factor -> parts of its marginal, as shares, by name."""


@dataclass(frozen=True, slots=True)
class RadiologyClass:
    """A class.

    Attributes:
        phantom: The phantom that draws it.
        finding: Of a chest.
        within: Factor -> the part of its marginal, as shares.
    """

    phantom: Literal["chest", "ct"]
    name: str
    finding: str = ""
    within: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])


def _each(phantom: Literal["chest", "ct"], findings: Iterable[str], *factors: str) -> Iterator[RadiologyClass]:
    """Every finding with every part of these factors."""
    for finding, *names in product(findings, *(PARTS[factor] for factor in factors)):
        within = {factor: PARTS[factor][name] for factor, name in zip(factors, names, strict=True)}
        yield RadiologyClass(phantom, "-".join(filter(None, (phantom, finding, *names))), finding, within)


def _chest(findings: Findings) -> tuple[RadiologyClass, ...]:
    """Thirty classes: those of one kind of findings, or fifteen broader ones of each."""
    if findings == "diffuse":
        return tuple(_each("chest", DIFFUSE, "age", "habitus"))
    if findings == "local":
        return tuple(_each("chest", LOCAL, "side", "zone"))
    return (*_each("chest", DIFFUSE, "age"), *_each("chest", LOCAL, "zone"))


def tasks(anatomy: Anatomy, findings: Findings = "diffuse") -> tuple[RadiologyClass, ...]:
    """Return the classes by what is shown: thirty of the chest, thirty of CT, or all sixty."""
    ct = _each("ct", ("",), "texture", "vessel", "size")
    return (*(_chest(findings) if anatomy != "ct" else ()), *(ct if anatomy != "chest" else ()))


def radiology_factors(anatomy: Anatomy, findings: Findings = "diffuse") -> tuple[Factor, ...]:
    """Return the phantom's one factor."""
    levels = tuple(task.name for task in tasks(anatomy, findings))
    high = levels[len(levels) // 2 :]
    return (
        Factor("kind", "categorical", "core", levels=levels, high=high, description="finding, build and age; nodule"),
    )


class LocalChest(ChestPhantom):
    """The chest phantom with one of `LOCAL` where its mass would be.

    Args:
        finding: nodule, 18 to 28 mm; cavity, a ring of 30 to 48 mm; band, a flat streak of 60 to 100 mm; line, a thin
            catheter of 110 to 180 mm; or calcifications, six dense dots.
    """

    def __init__(self, finding: str) -> None:
        super().__init__()
        self._finding = finding

    def attenuation(self, plan: Chests, grid: Grid) -> tuple[Plane, Bool[Tensor, "n size size"]]:
        """Add the finding to the attenuation of the chest."""
        total, mask = super().attenuation(plan, grid)
        canvas = grid.blank(total.shape[0])
        place = plan.mass.take(np.s_[:, None])
        draw_capsules(canvas, _SHAPES[self._finding](place.x, place.y, plan.rows), plan.blur, grid)
        return total.add_(canvas.view(total.shape)), mask


def _draw_ranges(rows: PhantomRows, finding: str, *ranges: tuple[float, float]) -> list[Float[np.ndarray, "n 1"]]:
    """Draw a number per row from each range."""
    return [rows.draw(f"radiology-{finding}-")(str(k), low, high, 1) for k, (low, high) in enumerate(ranges)]


def _nodule(x: np.ndarray, y: np.ndarray, rows: PhantomRows) -> Capsules:
    return Capsules.even(x, y, x, y, *_draw_ranges(rows, "nodule", (9, 14), (0.5, 0.8)))


def _cavity(x: np.ndarray, y: np.ndarray, rows: PhantomRows) -> Capsules:
    ring, wall, strength = _draw_ranges(rows, "cavity", (15, 24), (4, 6), (0.4, 0.6))
    cosine, sine = direction(np.arange(13) / 12)
    return Capsules.along(x + ring * cosine, y + ring * sine, wall, strength)


def _draw_band(x: np.ndarray, y: np.ndarray, rows: PhantomRows) -> Capsules:
    return _straight(x, y, *_draw_ranges(rows, "band", (30, 50), (-0.07, 0.07), (5, 8), (0.35, 0.55)))


def _draw_line(x: np.ndarray, y: np.ndarray, rows: PhantomRows) -> Capsules:
    return _straight(x, y, *_draw_ranges(rows, "line", (55, 90), (0, 0.5), (2, 3), (1.0, 1.4)))


def _calcifications(x: np.ndarray, y: np.ndarray, rows: PhantomRows) -> Capsules:
    away = rows.draw("radiology-")("calcifications-away", -16, 16, 12)
    x, y = x + away[:, :6], y + away[:, 6:]
    return Capsules.even(x, y, x, y, *_draw_ranges(rows, "calcifications", (3.5, 6), (0.8, 1.2)))


def _straight(
    x: np.ndarray, y: np.ndarray, half: np.ndarray, turn: np.ndarray, radius: np.ndarray, strength: np.ndarray
) -> Capsules:
    across, down = (half * part for part in direction(turn))
    return Capsules.even(x - across, y - down, x + across, y + down, radius, strength)


_SHAPES = {
    "nodule": _nodule,
    "cavity": _cavity,
    "band": _draw_band,
    "line": _draw_line,
    "calcifications": _calcifications,
}
_FIXED_SHARES = {"mass": 0.0, "margin": 0.0}
"""Factors that studies ask for, as shares of their marginals: no mass, no spicules."""


@component(
    "phantom",
    "radiology",
    summary="chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px, of up to 60 classes",
)
class RadiologyPhantom(DrawnPhantom[PhantomRows]):
    """Chest radiographs without a mass and CT patches with smooth nodules, 64 to 256 px (32 to 256 for CT alone).

    anatomy: `chest` (30 classes), `ct` (30: texture x vessel x size), or `both`.
    findings: of the chest, `diffuse` (finding x age x habitus), `local` (finding x side x zone), or `both` (fifteen
    broader classes of each).

    All else about an image follows from its nuisance seed: the other factors of the phantom that draws it too. Masks
    are empty: the classes are of whole images. Less difficulty fades every kind toward the first one of the same seed.

    Examples:
        At difficulty 0 of the kind all kinds look the same, for the same seed:

        >>> phantom = RadiologyPhantom()
        >>> values = {factor.name: phantom.quantile(factor.name, np.full(2, 0.6)) for factor in phantom.factors}
        >>> values["kind"] = np.array([0, 1])
        >>> images = {d: phantom.render(values, np.array([7, 7]), 64, {"kind": d}).images for d in (0.0, 1.0)}
        >>> [bool((images[difficulty][0] == images[difficulty][1]).all()) for difficulty in (0.0, 1.0)]
        [True, False]
    """

    def __init__(
        self,
        *,
        anatomy: Annotated[
            Anatomy, Field(description="chest radiographs, ct patches, or both: 30, 30 or 60 classes")
        ] = "both",
        findings: Annotated[
            Findings, Field(description="of the chest: diffuse changes, local ones at a place, or half of each")
        ] = "diffuse",
    ) -> None:
        self._tasks = tasks(anatomy, findings)
        self.design = PhantomDesign(
            card=drawn_by_assay(
                "radiology-like phantom",
                "chest radiographs without a mass and CT patches with smooth nodules, as classes of a source",
                "the anatomy is that of the phantoms which studies are made of: only the tasks differ",
                "diffuse findings are changes of vessels, lung texture and bone; local ones simple shapes in a lung",
            ),
            factors=radiology_factors(anatomy, findings),
            sizes=(32 if anatomy == "ct" else 64, 256),
            pixels=2**24,  # the phantoms that draw divide them further
        )
        self._chests = {name: ChestPhantom(**arguments) for name, arguments in DIFFUSE.items()}
        self._chests |= {name: LocalChest(name) for name in LOCAL}
        self._nodule = NodulePhantom()

    def plan(self, rows: PhantomRows, grid: Grid) -> PhantomRows:
        """Plan nothing: the phantoms that draw do."""
        return rows

    def draw(self, plan: PhantomRows, grid: Grid) -> Rendered:
        """Draw images and empty masks."""
        kind, fade = plan.values["kind"], plan.difficulty["kind"]
        images = self._images(kind, plan.nuisance, grid)
        if fade != 1:
            first = self._images(np.zeros_like(kind), plan.nuisance, grid)
            images = (first + (images - first) * fade).clamp_(0, 1)
        return Rendered(images, torch.zeros(images.shape, dtype=torch.bool, device=grid.device))

    def _images(
        self, kind: Int[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid
    ) -> Float[Tensor, "n 1 size size"]:
        images = torch.empty(len(kind), 1, grid.size, grid.size, device=grid.device)
        drawn_by = np.array([task.finding or task.phantom for task in self._tasks])[kind]
        for name in np.unique(drawn_by):
            rows = np.flatnonzero(drawn_by == name)
            phantom = self._chests.get(str(name), self._nodule)
            values = draw_values(phantom, self._tasks, kind[rows], nuisance[rows])
            rendered = phantom.render(values, nuisance[rows], grid.size, {}, grid.device)
            images[torch.as_tensor(rows, device=grid.device)] = rendered.images
        return images


def draw_values(
    phantom: Phantom, classes: tuple[RadiologyClass, ...], kind: Int[np.ndarray, "m"], nuisance: Int[np.ndarray, "m"]
) -> dict[str, np.ndarray]:
    """Draw every factor of the phantom by seed: within the class's range, held, or from all of its marginal."""
    values: dict[str, np.ndarray] = {}
    for factor in phantom.factors:
        fixed = _FIXED_SHARES.get(factor.name)
        full_range = (0.0, 1.0) if fixed is None else (fixed, fixed)
        ends = np.array([task.within.get(factor.name, full_range) for task in classes])[kind]
        u = uniforms(nuisance, f"radiology-{factor.name}", 1)[:, 0]
        share = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * u
        values[factor.name] = phantom.quantile(factor.name, np.minimum(share, np.nextafter(ends[:, 1], 0.0)).clip(0))
    return values
