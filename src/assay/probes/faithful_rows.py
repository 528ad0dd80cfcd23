"""What is said of an explainer's maps beside where they lie: whether the network's answer follows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from assay.core.types import Measurement
from assay.data.dataset import DrawnLesions, Images, Lesions
from assay.probes.attribution_rows import averaged, scored, without
from assay.probes.counterfactuals import UNIT
from assay.probes.explained import Sample
from assay.probes.explainers.explainer import Subject
from assay.probes.explainers.replacing import Replacement
from assay.probes.faithfulness import SHARES, Dropped, areas, dropped, sensitivities
from assay.probes.probe import Reading
from assay.probes.removal import (
    AGREEMENT,
    ATTRIBUTED,
    EFFECT,
    EFFECT_BY_SIZE,
    NO_UNIT,
    agreement,
    own_log_odds,
    removed,
    small_over_large,
    unit,
    without_lesions,
)
from assay.probes.shown import Part, Shown
from assay.shifts.environment import Scene

DELETION, INSERTION, SENSITIVITY = "deletion", "insertion", "sensitivity-n"
FAITHFUL = (DELETION, INSERTION, SENSITIVITY)


@dataclass(frozen=True)
class Asked:
    """All that explainers are held against, made once for a model.

    falls: what each image's log-odds lose when its lesions are taken away, or why that is not known. by_part: the same
    of the lesions of each part, NaN where the image shows none of them; empty where falls are not known. blind:
    deletion and insertion of a map that knows nothing; dropped: what subsets of cells take from the answer. Without
    faithfulness blind is NaN and dropped None. deviation: the unit of the log-odds, NaN where they have none.
    """

    subject: Subject
    sample: Sample
    parts: list[Part]
    replacement: Replacement
    deviation: float
    falls: Float[np.ndarray, " n"] | str
    by_part: Sequence[Float[np.ndarray, " n"]]
    blind: tuple[float, float]
    dropped: Dropped | None

    @classmethod
    def of(cls, reading: Reading, scene: Scene, found: Shown, replacement: Replacement, faithfulness: bool) -> Asked:
        """Read from answers that were requested, and passes of its own."""
        neutral, gone = scene.neutral(), without_lesions(scene, found)
        sample = Sample.of(found, reading.model.device)
        subject = sample.subject(reading.model.network)
        falls: Float[np.ndarray, " n"] | str = gone if isinstance(gone, str) else ""
        by_part: list[Float[np.ndarray, " n"]] = []
        if not isinstance(gone, str):
            before, after = (reading.read(environment).logits for environment in (found.environment, gone))
            falls = own_log_odds(before, sample.own) - own_log_odds(after, sample.own)
            by_part = list(_by_part(found, neutral.lesions, gone.images, falls, subject, sample))
        blind = np.nan, np.nan
        if faithfulness:
            nothing = areas(np.zeros(sample.lesion.shape, np.float32), subject, sample, replacement)
            blind = float(nothing[0].mean()), float(nothing[1].mean())
        return cls(
            subject,
            sample,
            list(found.parts()),
            replacement,
            unit(reading.read(neutral).logits, neutral.table.target),
            falls,
            by_part,
            blind,
            dropped(subject, sample, replacement) if faithfulness else None,
        )


def of_maps(maps: Float[np.ndarray, "n h w"], asked: Asked, place: Measurement) -> list[Measurement]:
    """Scores against the lesions, faithfulness, and agreement with what is lost without the lesions."""
    found = list(scored(maps, asked.parts, asked.sample, place))
    if broken := int((~np.isfinite(maps).all(axis=(1, 2))).sum()):
        reason = f"{broken} of {len(maps)} heat-maps hold NaN or infinity"
        names = (AGREEMENT,) if asked.dropped is None else (*FAITHFUL, AGREEMENT)
        return found + [without(place, name, reason) for name in names]
    if asked.dropped is not None:
        found += _faithful(maps, asked, asked.dropped, place)
    return [*found, _agreement(maps, asked, place)]


def lesion_effects(asked: Asked, place: Measurement) -> Iterator[Measurement]:
    """`lesion-effect`: what the log-odds of the image's class lose without its lesions, in within-class deviations; of
    all lesions, then by kind and size; and `lesion-effect-small-over-large`.
    """
    if isinstance(asked.falls, str):
        yield from (without(place, name, asked.falls) for name in (EFFECT, EFFECT_BY_SIZE))
        return
    if np.isnan(asked.deviation):
        yield from (without(place, name, NO_UNIT) for name in (EFFECT, EFFECT_BY_SIZE))
        return
    by_size: dict[str, Float[np.ndarray, " n"]] = {}
    for part, falls in zip(asked.parts, asked.by_part, strict=True):
        here = replace(place, measure=EFFECT, group=part.kind, level=part.size, unit=UNIT, chance=0.0)
        yield averaged(here, falls / asked.deviation, asked.sample.patient, "no image shows such a lesion")
        if part.size:
            by_size[part.size] = falls / asked.deviation
    yield small_over_large(by_size, asked.sample.patient, replace(place, measure=EFFECT_BY_SIZE))


def _by_part(
    found: Shown, drawn: Lesions | None, gone: Images, falls: Float[np.ndarray, " n"], subject: Subject, sample: Sample
) -> Iterator[Float[np.ndarray, " n"]]:
    """What the log-odds lose when the lesions of each part alone are taken away: by kind drawn again without, where the
    phantom can; by size cut out of the images without any lesion (see `removed`).
    """
    every = np.arange(len(sample))
    take = removed(sample.images.read(every).numpy(), gone.read(every).numpy(), sample.lesion)
    for part in found.parts():
        there, lost = part.masks.any(axis=(1, 2)), falls
        if part.kind and isinstance(drawn, DrawnLesions):
            lost = sample.lost(drawn.without(part.kind, found.rows).read(every).numpy(), subject)
        elif part.kind or part.size:
            lost = sample.lost(take(part.masks), subject)
        yield np.where(there, lost, np.nan)


def attributed(maps: Float[np.ndarray, "n h w"], asked: Asked, place: Measurement) -> list[Measurement]:
    """`attributed-effect`: the sum of an additive map over the lesions, in the unit of `lesion-effect`."""
    if np.isnan(asked.deviation) or not np.isfinite(maps).all():
        reason = NO_UNIT if np.isnan(asked.deviation) else "heat-maps hold NaN or infinity"
        return [without(place, ATTRIBUTED, reason)]
    there = np.where(asked.sample.lesion, maps, 0).sum(axis=(1, 2), dtype=np.float64, keepdims=True)[:, 0, 0]
    return [averaged(replace(place, measure=ATTRIBUTED, unit=UNIT), there / asked.deviation, asked.sample.patient, "")]


def _faithful(
    maps: Float[np.ndarray, "n h w"], asked: Asked, dropped: Dropped, place: Measurement
) -> Iterator[Measurement]:
    deletion, insertion = areas(maps, asked.subject, asked.sample, asked.replacement)
    patient = asked.sample.patient
    lower, higher = replace(place, direction="lower"), replace(place, direction="higher")
    yield averaged(replace(lower, measure=DELETION, chance=asked.blind[0]), deletion, patient, "")
    yield averaged(replace(higher, measure=INSERTION, chance=asked.blind[1]), insertion, patient, "")
    found = sensitivities(maps, dropped)
    here = replace(higher, measure=SENSITIVITY, chance=0.0)
    otherwise = "every subset of cells has the same in the map, or takes the same from the answer"
    yield averaged(here, np.mean(found, axis=1, keepdims=True)[:, 0], patient, otherwise)
    for share, values in zip(SHARES, found.T, strict=True):
        yield averaged(replace(here, level=f"{share:g}"), values, patient, otherwise)


def _agreement(maps: Float[np.ndarray, "n h w"], asked: Asked, place: Measurement) -> Measurement:
    if isinstance(asked.falls, str):
        return without(place, AGREEMENT, asked.falls)
    size = np.abs(maps)
    whole = size.sum(axis=(1, 2), dtype=np.float64)
    there = np.sum(size, axis=(1, 2), where=asked.sample.lesion, dtype=np.float64)
    share = np.where(whole > 0, there / np.where(whole > 0, whole, 1), np.nan)
    return agreement(share, asked.falls, asked.sample.patient, place)
