"""What is said of an explainer's maps: scores by kind and size, and whether they depend on what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from assay.core.types import Measurement, undefined
from assay.probes.explained import Sample
from assay.probes.explainers.explainer import Explainer, Subject
from assay.probes.localisation import MEASURES, localised
from assay.probes.sanity import rank_correlations, redrawn, structural_similarities, unchanged, verdict
from assay.probes.shown import Part
from assay.probes.uncertainty import mean_with_error, patients

RANK, STRUCTURE = "sanity-rank-correlation", "sanity-ssim"
SPREAD = 0.25
"""Standard deviation of the centre prior, as a share of each side."""


@dataclass(frozen=True)
class Method:
    """An explainer by the name that tables have for it."""

    name: str
    explainer: Explainer


@dataclass(frozen=True)
class Sanity:
    """What the checks of one explainer found, and what is said beside its scores: nothing where it passes."""

    rows: Sequence[Measurement]
    said: str


def centre_prior(shape: tuple[int, ...]) -> Float[np.ndarray, "n h w"]:
    """A bell around the middle of every image, as wide and as high as the image is."""
    n, height, width = shape
    down, along = (np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / SPREAD) ** 2) for side in (height, width))
    return np.broadcast_to(np.outer(down, along).astype(np.float32), (n, height, width))


def scored(
    maps: Float[np.ndarray, "n h w"], parts: Sequence[Part], sample: Sample, place: Measurement
) -> Iterator[Measurement]:
    """Every score of an explainer's maps, by kind and by size."""
    broken = int((~np.isfinite(maps).all(axis=(1, 2))).sum())
    empty = int((maps == 0).all(axis=(1, 2)).sum())
    said = f"{empty} of {len(maps)} maps are 0 everywhere and count as knowing nothing" if empty else ""
    for part in parts:
        here = replace(place, group=part.kind, level=part.size, unit="share", direction="higher", reason=said)
        if broken:
            reason = f"{broken} of {len(maps)} heat-maps hold NaN or infinity"
            yield from (without(here, name, reason) for name in MEASURES)
            continue
        whole = not (part.kind or part.size)
        scores = localised(maps, part.masks, None if whole else sample.lesion & ~part.masks)
        for name, values in zip(MEASURES, scores, strict=False):
            known = ~np.isnan(values)
            chance = float(scores.area[known].mean()) if known.any() else np.nan
            otherwise = "no image shows such a lesion with anything beside it"
            yield averaged(replace(here, measure=name, chance=chance), values, sample.patient, otherwise)


def averaged(place: Measurement, values: Float[np.ndarray, " n"], patient: np.ndarray, otherwise: str) -> Measurement:
    """The mean over the images that have a value, with its error over patients; NaN for the reason where none has."""
    known = ~np.isnan(values)
    if not known.any():
        return without(place, place.measure, otherwise)
    value, error = mean_with_error(values[known], patient[known])
    return replace(place, value=value, standard_error=error, n=int(known.sum()), patients=patients(patient[known]))


def without(place: Measurement, measure: str, reason: str) -> Measurement:
    """No value, and why."""
    bare = undefined(measure, reason, environment=place.environment, factor=place.factor, group=place.group)
    return replace(bare, level=place.level)


def checked(
    subject: Subject, methods: Sequence[Method], before: Mapping[str, np.ndarray], sample: Sample, place: Measurement
) -> Mapping[str, Sanity]:
    """Explainer -> its sanity: every method on every network with layers drawn anew, which is made once for all.

    before: the maps of the sample's images by the network as it is.
    """
    rows: dict[str, list[Measurement]] = {method.name: [] for method in methods}
    said: dict[str, str] = {}
    for other in redrawn(subject):
        again = sample.subject(other.network)
        same = unchanged(subject.network, other.network)
        for method in methods:
            maps = sample.maps(method.explainer, again)
            ranks = rank_correlations(before[method.name], maps)
            here = replace(place, factor=method.name, group=other.order, level=other.down_to)
            for name, values in ((RANK, ranks), (STRUCTURE, _structure(before[method.name], maps, ranks))):
                found = averaged(replace(here, measure=name), values, sample.patient, verdict(values, same))
                rows[method.name].append(found)
                if other.throughout:
                    rows[method.name].append(replace(found, group="", level=""))
            if other.throughout:
                said[method.name] = verdict(ranks, same)
    nothing = verdict(np.empty(0), True)
    return {name: Sanity(found, said.get(name, nothing)) for name, found in rows.items()}


def marked(rows: Sequence[Measurement], said: str) -> list[Measurement]:
    """The scores with what is to be said beside them; what has no value keeps its own reason alone."""
    texts = (row.reason if np.isnan(row.value) else "; ".join(filter(None, (row.reason, said))) for row in rows)
    return [replace(row, reason=text) for row, text in zip(rows, texts, strict=True)]


def _structure(before: np.ndarray, after: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The structural similarity of those images whose ranks can be compared."""
    return np.where(np.isnan(ranks), np.nan, structural_similarities(before, after))
