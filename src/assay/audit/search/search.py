"""Search of a model for the region that its predictions depend on: find it on some patients, verify it on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.audit.search.exchange import (
    DonorContributions,
    donor_contributions,
    exchange_effects,
    exchange_scores,
    mean_effect,
)
from assay.audit.search.patches import (
    RECIPIENTS,
    ExchangedScores,
    PatchGroups,
    group_patches,
    patch_scores,
    scores_with_patches,
)
from assay.audit.search.regions import Box, Region, Shading, Track, candidates, same_place, size_of
from assay.audit.search.sample import BATCH_SIZE, DONORS, CountedModel, Scores, SearchSample, divide_patients
from assay.audit.swing import Effect, changed_predictions, effect_of_mark
from assay.audit.verdicts import WEAK_EFFECT
from assay.core.reasons import Reason
from assay.stats.bounds import BoundedEstimate

# An image, the recipient, gets the region of another image, the donor. The effect of the region is the change of the
# recipient's score for its own class with a donor of the same class, less that with a donor of another class. It is in
# standard deviations of that score within the class. The effect is cross-fitted: the region is found, and its content
# named, on one half of the patients, and its effect is measured on the other half.
STAGES: Mapping[Track, Sequence[tuple[int, int]]] = {
    "place": ((1000, 10), (12, 24), (4, 44)),
    "whole": ((1000, 10), (3, 24)),
}
"""Stages of a search by successive halving: how many regions are kept, and on how many images each is measured."""
N_KIND_IMAGES = 44
"""Images of each half on which two regions are compared where the halves found different ones."""
N_SHRINK_IMAGES = 12
"""Images on which the parts of a box are compared."""
FIXED_PASSES: Mapping[Track, int] = {"place": 3052, "whole": 448}
"""Passes of a search in both halves at most, however many images it has, without shading and the comparison of two
regions."""
SHARE_OF_LARGEST, SHARE_KEPT = 0.9, 0.8
"""The smallest region with this share of the largest effect is chosen; it is shrunk while it keeps this share of its
own effect."""
MIN_BOX_SIDE = 4
"""Shortest side of a box in pixels."""
_SHARE_OF_CLASS_DISTANCE = 2 / 3
"""Effect of a region without a place from which on it is reported, as a share of the distance of the classes."""
PASSES_PER_IMAGE: Mapping[Track, int] = {"place": RECIPIENTS + 2 * DONORS + 6, "whole": RECIPIENTS + 2 * DONORS + 2}
"""Passes of an image after the search: its patch on recipients, donors of both classes, and patches of both groups."""


# Find.


def find_in_half(
    model: CountedModel, sample: SearchSample, track: Track = "place", scales: Mapping[str, float] | None = None
) -> tuple[Region, int]:
    """Return the smallest region of one half of the patients that has most of the largest effect.

    Args:
        model: The model.
        sample: The images.
        track: Regions with a place, or those without.
        scales: Kind of region -> its limit, in which effects are compared; 1 where none is known.

    Returns:
        The region, and 1 where content of another class lowers the score of the own class, -1 where it raises it.
    """
    pass_limit = model.passes + FIXED_PASSES[track] // 2
    regions = [
        region for region in candidates(track) if not isinstance(region, Shading) or region.key in (scales or {})
    ]
    effects: dict[Region, np.ndarray] = dict.fromkeys(regions, np.zeros(0))
    weight, n_rows_read = {region: 1 / (scales or {}).get(region.key, 1.0) for region in effects}, 0
    for keep, images in STAGES[track]:
        best = sorted(effects, key=lambda candidate: -abs(effects[candidate].sum()) * weight[candidate])[:keep]
        rows = sample.balanced_order[n_rows_read:images]
        n_rows_read += len(rows)
        if len(rows):
            effects_on_rows = exchange_effects(model, sample, best, rows)
            effects = {
                candidate: np.append(effects[candidate], values)
                for candidate, values in zip(best, effects_on_rows, strict=True)
            }
    sizes = {candidate: abs(float(values.mean())) * weight[candidate] for candidate, values in effects.items()}
    height, width = sample.images.shape[2:]
    large_enough = [candidate for candidate in sizes if sizes[candidate] >= SHARE_OF_LARGEST * max(sizes.values())]
    region = min(large_enough, key=lambda candidate: size_of(candidate, height, width))
    sign = 1 if effects[region].mean() >= 0 else -1
    if isinstance(region, Box):
        region = _shrink_box(model, sample, region, sign * effects[region], sign, pass_limit)
    return region, sign


def _shrink_box(
    model: CountedModel, sample: SearchSample, region: Box, values_read: np.ndarray, sign: int, pass_limit: int
) -> Box:
    """Return the smallest box that keeps most of the effect: windows of half its size are tried again and again."""
    rows = sample.balanced_order[:N_SHRINK_IMAGES]
    total = float(values_read[: len(rows)].mean())
    height, width = sample.images.shape[2:]
    while True:
        parts = list(region.halves())
        small = min((parts[0].bottom - parts[0].top) * height, (parts[0].right - parts[0].left) * width) < MIN_BOX_SIDE
        if small or model.passes + 2 * len(parts) * len(rows) > pass_limit:
            return region
        effects = sign * exchange_effects(model, sample, parts, rows).mean(axis=1)
        best = int(np.argmax(effects))
        if effects[best] < SHARE_KEPT * total or total <= 0:
            return region
        region = parts[best]


# Find, name and verify, cross-fitted.


@dataclass(frozen=True, eq=False)
class HalfFinding:
    """A region found on one half of the patients, and its effect on the other half.

    Attributes:
        rows: Positions of the images of this half.
        region: The region found on them.
        groups: Their groups by the content of the region.
        effect: Effect of the region on each image of the other half, positive where it has the sign found.
        as_donors: Contributions of images of either half to the effect as donors.
        exchanged: Scores of the other half with patches of these groups.
    """

    rows: Int[np.ndarray, " k"]
    region: Region
    groups: PatchGroups
    effect: Float[np.ndarray, " j"]
    as_donors: DonorContributions
    exchanged: ExchangedScores


@dataclass(frozen=True, eq=False)
class RegionFinding:
    """The region that a search found, in both halves of the patients.

    Attributes:
        halves: Both halves.
        named_half: Position of the half whose region is named: the one with the larger effect on the other.
        halves_agree: Whether both halves found the same region.
        score_column: The score that groups are by, the same in both halves.
        effect: Effect of the regions on the patients that they were not found on.
        patch_effect: Swing, loss and flips with the higher group's patch in place of the lower group's.
        score_change: Change of the score by that patch, in standard deviations within class.
        shape: Share of this change that remains with the shape of the patch alone; NaN where it was not put on.
        tone: Share of this change that remains with the mean color of the patch alone; NaN where it was not put on.
        class_distance: Distance of the classes in standard deviations within class: the effect of exchanging whole
            images.
        passes: Images put through the model.
        search_passes: Those of the searches alone.
        high_carries: Whether the higher group carries what is drawn; None: `carrying_group` decides from the images.
    """

    halves: tuple[HalfFinding, HalfFinding]
    named_half: int
    halves_agree: bool
    score_column: int
    effect: BoundedEstimate
    patch_effect: Effect
    score_change: float
    shape: float
    tone: float
    class_distance: float
    passes: int
    search_passes: int
    high_carries: bool | None = None

    @property
    def region(self) -> Region:
        """The region that is named."""
        return self.halves[self.named_half].region

    @property
    def has_two_groups(self) -> bool:
        """Whether there are two groups in both halves."""
        return all(bool(half.groups.has_two_groups) for half in self.halves)

    @property
    def weak_effect(self) -> float:
        """Effect from which on it is reported where no clean networks set a limit.

        Of a region without a place it is a part of the effect of exchanging all of an image: any half has half of it.
        """
        everywhere = self.region in candidates("whole")
        return max(WEAK_EFFECT, _SHARE_OF_CLASS_DISTANCE * abs(self.class_distance)) if everywhere else WEAK_EFFECT

    @property
    def half_effects(self) -> tuple[float, float]:
        """Effect of each half's region on the other half."""
        return float(self.halves[0].effect.mean()), float(self.halves[1].effect.mean())

    @property
    def high(self) -> Bool[np.ndarray, " n"]:
        """Whether each image is in the higher group, by the region of its own half."""
        return self._join_halves([half.groups.high for half in self.halves])

    @property
    def worth(self) -> Float[np.ndarray, " n"]:
        """Worth of each image's patch, by the region of its own half."""
        return self._join_halves([half.groups.worth for half in self.halves])

    def _join_halves(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts)[np.argsort(np.concatenate([half.rows for half in self.halves]))]


def find_region(
    scores: Scores,
    sample: SearchSample,
    track: Track = "place",
    labels: Sequence[str] = ("",),
    threshold: float = 0.0,
    batch_size: int = BATCH_SIZE,
    scales: Mapping[str, float] | None = None,
) -> RegionFinding | Reason:
    """Return the region that a model's predictions depend on, or why none was searched for.

    Each half chooses its region by itself. Where both chose regions with scales, one of the two is chosen for both.

    Args:
        scores: The model.
        sample: The images.
        track: Regions with a place, or those without.
        labels: Name of each score.
        threshold: Of one score: the log-odds from which an image is predicted to be positive.
        batch_size: Approximate number of images in a batch.
        scales: See `find_in_half`.
    """
    rows = divide_patients(sample)
    if isinstance(rows, Reason):
        return rows
    parts, model = [sample.take(part) for part in rows], CountedModel(scores, batch_size)
    regions_found = [find_in_half(model, part, track, scales) for part in parts]
    if scales and all(region.key in scales for region, _ in regions_found):
        regions_found = _larger_in_both(model, parts, regions_found, scales)
    search_passes = model.passes
    worth_in_half = [
        patch_scores(model, part, region, np.arange(len(part.target)), RECIPIENTS)
        for part, (region, _) in zip(parts, regions_found, strict=True)
    ]
    score_column = int(np.sum([part.var(axis=0) for part in worth_in_half], axis=0).argmax())
    halves: list[HalfFinding] = []
    for half, (half_sample, other) in enumerate((parts, parts[::-1])):
        (region, sign), groups = regions_found[half], group_patches(worth_in_half[half][:, score_column])
        sides = sign * exchange_scores(model, other, [region], np.arange(len(other.target)), DONORS)[0]
        assert other.donors is not None
        as_donors = donor_contributions(sides, rows[1 - half][np.stack(other.donors)], other.target, len(sample.target))
        same_class, other_class = sides.mean(axis=1)
        exchanged = scores_with_patches(model, half_sample, region, groups.high, other)
        halves.append(HalfFinding(rows[half], region, groups, same_class - other_class, as_donors, exchanged))
    halves_agree = same_place(halves[0].region, halves[1].region, *sample.images.shape[2:])
    return verify(model, sample, (halves[0], halves[1]), halves_agree, score_column, search_passes, labels, threshold)


def _larger_in_both(
    model: CountedModel,
    parts: Sequence[SearchSample],
    regions_found: list[tuple[Region, int]],
    scales: Mapping[str, float],
) -> list[tuple[Region, int]]:
    """Return one region for both halves where they found two: that whose smaller effect in the halves is the larger.

    The limits are of effects on all images and hold for all kinds of region together. A choice by both halves thus
    raises no error rate.
    """
    if regions_found[0] == regions_found[1]:
        return regions_found

    def smaller_effect(region: Region, sign: int) -> float:
        effects = [
            float(exchange_effects(model, part, [region], part.balanced_order[:N_KIND_IMAGES]).mean()) for part in parts
        ]
        return min(sign * effect for effect in effects) / scales[region.key]

    return [max(regions_found, key=lambda region_and_sign: smaller_effect(*region_and_sign))] * 2


def verify(
    model: CountedModel,
    sample: SearchSample,
    halves: tuple[HalfFinding, HalfFinding],
    halves_agree: bool,
    score_column: int,
    search_passes: int,
    labels: Sequence[str],
    threshold: float,
) -> RegionFinding:
    """Combine the findings of both halves.

    Args:
        model: The model.
        sample: All images.
        halves: Both halves.
        halves_agree: Whether both halves found the same region.
        score_column: The score that groups are by.
        search_passes: Images put through the model by the search alone.
        labels: Name of each score.
        threshold: See `find_region`.
    """
    order = np.concatenate([half.rows for half in halves[::-1]])
    effects = np.empty(len(order))
    effects[order] = np.concatenate([half.effect for half in halves])
    named_half = int(halves[1].effect.mean() > halves[0].effect.mean())
    scores = {
        part: [np.concatenate(both) for both in zip(*(half.exchanged.parts[part] for half in halves), strict=True)]
        for part in halves[0].exchanged.parts.keys() & halves[1].exchanged.parts.keys()
    }
    changed = {part: float((high - low)[:, score_column].mean()) for part, (low, high) in scores.items()}
    shape, tone = (
        changed[part] / changed["whole"] if part in changed and changed["whole"] else math.nan
        for part in ("shape", "tone")
    )
    low, high = scores["whole"]
    target, patient = sample.target[order], sample.patient[order]
    flips = changed_predictions(_predicted_class(low, threshold), _predicted_class(high, threshold), patient)
    patch_effect = effect_of_mark(low, high, target, patient, flips, labels)
    as_donors = DonorContributions(
        halves[0].as_donors.sums + halves[1].as_donors.sums, halves[0].as_donors.squares + halves[1].as_donors.squares
    )
    return RegionFinding(
        halves,
        named_half,
        halves_agree,
        score_column,
        mean_effect(effects, sample, as_donors),
        patch_effect,
        changed["whole"] / sample.sd_within_classes,
        shape,
        tone,
        sample.class_separation,
        model.passes,
        search_passes,
    )


def _predicted_class(scores: Float[np.ndarray, "n m"], threshold: float) -> Int[np.ndarray, " n"]:
    return (scores[:, 0] >= threshold).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)
