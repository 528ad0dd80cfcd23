"""The confounders of a study: which it has, how visible each is, and the same images without and with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.axes import label
from assay.core.dose import dose_axis
from assay.core.environment_spec import EnvironmentSpec, InterventionSpec
from assay.core.hashing import canonical_json
from assay.core.spec import RecipePoint, StudySpec
from assay.core.types import FactorTable
from assay.data.dataset import Images
from assay.shifts.environment import Environment
from assay.shifts.intervention import by_box, unchanged
from assay.shifts.neutral import switched
from assay.shifts.parts import TEST_SEED
from assay.shifts.picking import PickedImages
from assay.shifts.population import Population
from assay.shifts.visibility import Visibility, visibility
from assay.store.files import Row

SAMPLE = 64
"""Test images that the figures of visibility are means over."""
SAMPLED = "by sampling: no pixel is changed"
"""Why a factor that is tied by sampling has no figures."""
_NO_SSIM = "an edge is shorter than the window of 11 px"
_PIXELS = 2**22  # values compared at a time: they are widened to float64 several times over


@dataclass(frozen=True)
class Confounder:
    """A change to pixels that some environment of a study makes.

    label: what pages call it, with its arguments, so that two strengths of one intervention have two. name: of the
    intervention. spec: as the first environment that has it states it.
    """

    label: str
    name: str
    spec: InterventionSpec


@dataclass(frozen=True)
class ReadOnce:
    """`Images` that are read whole at the first reading and then held: few, and looked at again and again."""

    images: Images

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """See `Images`."""
        return self._pixels[torch.as_tensor(index)]

    @cached_property
    def _pixels(self) -> Float[Tensor, "n c h w"]:
        return self.images.read(np.arange(len(self)))


@dataclass(frozen=True)
class Looked:
    """The clean test images that every confounder is shown on: few, so that a phantom draws no more than these.

    clean: up to `SAMPLE` of the neutral rows of the first recipe's tests, the classes in turn, without interventions.
    sample: their positions among these rows.
    """

    clean: Environment
    sample: Int[np.ndarray, "n"]

    @staticmethod
    def at(spec: StudySpec, population: Population) -> Looked:
        """Those of a study, as its first seed and fold test them."""
        whole = population.scene(spec.points[0].tests, spec.first_seed).neutral()
        sample = in_turn(whole.table)[:SAMPLE]
        images = ReadOnce(PickedImages(unchanged(whole.images), sample))
        boxes = None if whole.boxes is None else whole.boxes[sample]
        return Looked(replace(whole, table=whole.table.take(sample), images=images, masks=None, boxes=boxes), sample)

    def changed(self, confounder: Confounder) -> Environment:
        """The same rows, every one with the confounder."""
        return switched(self.clean, confounder.name, confounder.spec, "high", TEST_SEED)

    def visibility(self, confounder: Confounder) -> Visibility:
        """The figures of every picture of the sample, without its padding."""
        changed = self.changed(confounder)
        step = max(1, _PIXELS // math.prod(self.clean.images.shape))
        found = {name: torch.full((len(self.sample),), math.nan, dtype=torch.float64) for name in Visibility.__slots__}
        for box, alike in by_box(self.clean.boxes, np.arange(len(self.sample)), self.clean.images.shape):
            for part in (alike[start : start + step] for start in range(0, len(alike), step)):
                pair = (one.read(part)[:, :, box.rows, box.columns] for one in (self.clean.images, changed.images))
                seen = visibility(*pair)
                for name, values in found.items():
                    values[torch.as_tensor(part)] = getattr(seen, name).double()
        return Visibility(**found)


def confounders(points: Sequence[RecipePoint]) -> tuple[Confounder, ...]:
    """Every intervention of every environment, once for each set of arguments, in the order in which they appear."""
    found: dict[str, Confounder] = {}
    for spec in _environments(points):
        for name, made in spec.interventions.items():
            key = canonical_json({name: made.component.model_dump(mode="json", context={"complete": True})})
            if key not in found:
                found[key] = Confounder(_label(name, made), name, made)
    return tuple(found.values())


def sampled(points: Sequence[RecipePoint], core: str) -> tuple[str, ...]:
    """The factors that some environment ties to the target by choosing or drawing rows, but for the core factor."""
    environments = list(_environments(points))
    changes = {name for spec in environments for name in spec.interventions}
    tied = [name for spec in environments for name, tie in spec.association.items() if tie.strength]
    return tuple(name for name in dict.fromkeys(tied) if name not in changes and name != core)


def visibility_rows(spec: StudySpec, looked: Looked) -> list[Row]:
    """Rows of `schema.VISIBILITY`; none for a study that neither changes a pixel nor doses a factor."""
    changes = confounders(spec.points)
    if not changes and not dose_axis(spec.points):
        return []
    rows = [_row(confounder, looked.visibility(confounder)) for confounder in changes]
    return rows + [_no_row(name) for name in sampled(spec.points, spec.data.core)]


def in_turn(table: FactorTable) -> Int[np.ndarray, "n"]:
    """Positions of all rows, the classes in turn: the first of each, the second of each, and so on."""
    place = np.empty(len(table), dtype=np.int64)
    for label_ in np.unique(table.target):
        own = np.flatnonzero(table.target == label_)
        place[own] = np.arange(len(own))
    return np.lexsort((table.target, place))


def _environments(points: Sequence[RecipePoint]) -> Iterator[EnvironmentSpec]:
    for point in points:
        yield from (point.train, *point.tests.values())


def _label(name: str, made: InterventionSpec) -> str:
    """`tag`, `low-pass(cutoff=0.2)`; with its own name before it where the study gives it one, `left: tag(x=0.1)`."""
    component = made.component
    if name in (component.name, component.name.rpartition(":")[2]):
        return label({name: dict(component.params)})
    return f"{name}: {component.label}"


def _row(confounder: Confounder, seen: Visibility) -> Row:
    known = {name: getattr(seen, name) for name in Visibility.__slots__}
    means = {name: float(torch.nanmean(values)) for name, values in known.items()}
    sound = int(seen.share.isfinite().sum())
    reason = _NO_SSIM if sound and math.isnan(means["ssim"]) else ""
    return {"confounder": confounder.label, "factor": confounder.name, "kind": "intervention", **means, "images": sound,
            "reason": reason}  # fmt: skip


def _no_row(factor: str) -> Row:
    nothing = dict.fromkeys(Visibility.__slots__, math.nan)
    return {"confounder": factor, "factor": factor, "kind": "sampled", **nothing, "images": 0, "reason": SAMPLED}
