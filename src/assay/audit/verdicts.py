"""Verdicts of an audit on one factor, from its effects, a margin and a reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

import numpy as np

from assay.audit.swing import Effect
from assay.stats.bounds import ALPHA, MARGIN, BoundedEstimate
from assay.stats.rows import RegionVerdict, Verdict

LEAST_PATIENTS = 20
"""Effective patients of a class or group below which bounds of a swing are not kept, so that nothing is decided."""


@unique
class OpenQuantity(StrEnum):
    """A quantity that keeps a verdict from being settled."""

    PATIENTS = "patients"

    SWING = "swing"
    """How far a factor moves scores, the AUROC shift g of `swing.AurocShift`."""
    LOSS = "loss"
    FLIPS = "flips"
    DICE = "dice"
    STRAY = "stray"
    """Growth of the area that a segmentation wrongly calls lesion, `false_area` of `swing.Effect`."""
    OTHER_DOSE = "other-dose"
    PLACE = "place"
    """Whether a model relies on a mark at another place than as drawn, where no clean network was read."""


# A network that never saw a mark can be affected by it too: by a darker image most are. The limit of a mark is
# therefore the largest |g| of clean networks, plus one excess for all marks: the most by which any of these networks is
# beyond all others at any mark. If a further clean network is exchangeable with the n of the reference, it is beyond
# the limit of any mark with a probability of at most 1 / (n + 1): its own excess would have to be the largest of n + 1,
# and the others' excesses are only larger without it.


@dataclass(frozen=True, slots=True)
class Reference:
    """Clean networks of one domain: the largest effects of marks that they never saw in training.

    Attributes:
        domain: Name of the domain.
        networks: Number of networks.
        excess: The most by which the |g| of one network exceeds that of all others, over the marks.
        largest: Mark -> the largest |g|, at the deciding dose.
        side: Side in pixels of the images that the networks read; 0 where it is not known, or they differ.
    """

    domain: str
    networks: int
    excess: float
    largest: Mapping[str, float]
    side: int = 0

    def limit(self, mark: str) -> float | None:
        """Return the limit of |g| for a mark; None where the networks were not read under it."""
        largest = self.largest.get(mark)
        return None if largest is None else largest + self.excess


def reference_of(domain: str, swings: Mapping[str, Sequence[float]], side: int = 0) -> Reference:
    """Make a reference from the swings of clean networks.

    Args:
        domain: Name of the domain.
        swings: Mark -> g of each network at the deciding dose, the networks in the same order.
        side: Side in pixels of the images that they read; 0 where it is not known, or they differ.

    Raises:
        ValueError: The marks have different numbers of networks, or there are fewer than two.
    """
    sizes = {mark: np.sort(np.abs(np.asarray(values, dtype=np.float64))) for mark, values in swings.items()}
    counts = {len(values) for values in sizes.values()}
    if len(counts) != 1 or min(counts) < 2:
        raise ValueError(f"every mark needs the same networks, at least two, not {sorted(counts)}")
    excess = max(float(values[-1] - values[-2]) for values in sizes.values())
    return Reference(domain, counts.pop(), excess, {mark: float(values[-1]) for mark, values in sizes.items()}, side)


@dataclass(frozen=True, slots=True)
class AuditDecision:
    """A verdict with the numbers that decided it.

    Attributes:
        verdict: The verdict.
        effect: The effect at the deciding dose or group.
        limit: The reference limit of |g|; None without a reference.
        open: The quantities that keep an inconclusive verdict from being settled.
        needed: Images that would settle an inconclusive verdict if the estimates stay; NaN where no number would.
    """

    verdict: Verdict
    effect: Effect
    limit: float | None = None
    open: tuple[OpenQuantity, ...] = ()
    needed: float = math.nan


def decide_mark(
    effects: Sequence[Effect], deciding: int, margin: float = MARGIN, limit: float | None = None
) -> AuditDecision:
    """Decide on a mark.

    Args:
        effects: One per dose, in rising order.
        deciding: Position of the dose that is matched to the images, else of the middle one.
        margin: The smallest effect that matters.
        limit: The reference limit of |g| at the deciding dose; None without a reference.

    Returns:
        `relies-on` where |g| is beyond margin and limit; `affected-by` where it is beyond the margin only;
        `affected-without-direction` where |g| is not shown to be beyond the margin, but the loss of AUROC, the share of
        flips, or of a segmentation the loss of Dice or the growth of the area wrongly called lesion is;
        `no-effect` where all of them are below it at every dose; else `inconclusive`, as with fewer than
        `LEAST_PATIENTS` effective patients of a class.
    """
    effect = effects[deciding]
    if effect.effective_patients < LEAST_PATIENTS:
        return _too_few_patients(effect, limit)
    if effect.lower_bound > margin:
        is_beyond = limit is not None and effect.lower_bound > limit
        return AuditDecision(Verdict.RELIES if is_beyond else Verdict.AFFECTED, effect, limit)
    if max(_lower_bounds(effect)) >= margin:
        return AuditDecision(Verdict.UNDIRECTED, effect, limit)
    open_quantities = tuple(_undecided(effect, margin))
    open_doses = [other for dose, other in enumerate(effects) if dose != deciding and any(_undecided(other, margin))]
    if not open_quantities and not open_doses:
        return AuditDecision(Verdict.NO_EFFECT, effect, limit)
    if open_quantities:
        return AuditDecision(Verdict.INCONCLUSIVE, effect, limit, open_quantities, _images_to_settle(effect, margin))
    needed = max(
        (_images_to_settle(other, margin) for other in open_doses), key=lambda images: (math.isnan(images), images)
    )
    return AuditDecision(Verdict.INCONCLUSIVE, effect, limit, (OpenQuantity.OTHER_DOSE,), needed)


def is_settled(effect: Effect, margin: float = MARGIN) -> bool:
    """Return whether the deciding dose settles the verdict on a mark: the other doses matter to `no-effect` alone.

    Args:
        effect: The effect at the deciding dose.
        margin: The smallest effect that matters.
    """
    # With a quantity open at this dose, no other dose can make the verdict `no-effect`. All else is decided here alone.
    return effect.effective_patients < LEAST_PATIENTS or any(_undecided(effect, margin))


def decide_column(
    effects: Sequence[Effect], margin: float = MARGIN, min_patients: int = LEAST_PATIENTS
) -> AuditDecision:
    """Decide on a column from the swing of each of its groups against the others.

    The lower bound is corrected for the number of groups; all upper bounds must be below the margin.

    Args:
        effects: One per group, at least one.
        margin: The smallest swing that matters.
        min_patients: Effective patients below which nothing is decided.
    """
    swings = tuple(swing for effect in effects for swing in effect.swings)
    largest_effect = max(effects, key=lambda effect_of_group: abs(effect_of_group.largest.g.value))
    pooled = Effect(swings, largest_effect.images, largest_effect.patients, None, largest_effect.dose)
    if pooled.effective_patients < min_patients:
        return _too_few_patients(pooled)
    if pooled.lower_bound > margin:
        return AuditDecision(Verdict.DIFFERS, pooled)
    if pooled.upper_bound < margin:
        return AuditDecision(Verdict.NO_DIFFERENCE, pooled)
    return AuditDecision(Verdict.INCONCLUSIVE, pooled, None, (OpenQuantity.SWING,), _images_to_settle(pooled, margin))


WEAK_EFFECT = 0.45
"""Effect of a region, in standard deviations, from which on it is reported where no clean networks set a limit."""


def decide_region(
    effect: BoundedEstimate,
    halves: tuple[float, float],
    *,
    halves_agree: bool,
    two_groups: bool,
    effective_patients: float,
    limit: float | None = None,
    weak_effect: float = WEAK_EFFECT,
    clear_below: float | None = None,
) -> RegionVerdict:
    """Decide on the region that a search found.

    Args:
        effect: Its effect on patients on whom it was not found, in standard deviations within class.
        halves: The same of each half of the patients.
        halves_agree: Whether both halves lead to the same region.
        two_groups: Whether the contents of the region form two groups by their effect on scores.
        effective_patients: Effective patients of the smaller class.
        limit: The largest effect of clean networks; None without any.
        weak_effect: Effect from which on the region is reported without a limit.
        clear_below: Effect up to which nothing is found; None: the limit, or `weak_effect` without one.

    Returns:
        `relies-on-region` where both halves and the lower bound are beyond the limit, and images are of two groups;
        `relies-on-look` where they are not; `unverified` in both cases without a limit, from `weak_effect` on;
        `nothing-found` where neither half nor the upper bound is beyond `clear_below`; else `inconclusive`.
    """
    if effective_patients < LEAST_PATIENTS:
        return RegionVerdict.INCONCLUSIVE
    weak_effect = weak_effect if limit is None else limit
    if halves_agree and all(value > weak_effect for value in (*halves, effect.low)):
        return RegionVerdict.UNVERIFIED if limit is None else RegionVerdict.RELIES if two_groups else RegionVerdict.LOOK
    largest_bound = max(effect.high, *map(abs, halves))
    return (
        RegionVerdict.NOTHING_FOUND
        if largest_bound <= (weak_effect if clear_below is None else clear_below)
        else RegionVerdict.INCONCLUSIVE
    )


def _too_few_patients(effect: Effect, limit: float | None = None) -> AuditDecision:
    """Return `inconclusive`, with the images at which there would be enough patients of the smallest class."""
    needed = math.ceil(effect.images * LEAST_PATIENTS / effect.effective_patients)
    return AuditDecision(Verdict.INCONCLUSIVE, effect, limit, (OpenQuantity.PATIENTS,), needed)


def _lower_bounds(effect: Effect) -> Iterator[float]:
    """Yield the lower bound of each quantity that can be beyond the margin without a direction of the scores."""
    yield effect.loss_lower_bound
    yield from (part.low for part in (effect.flips, effect.dice, effect.false_area) if part is not None)


def _upper_bounds(effect: Effect) -> Iterator[tuple[OpenQuantity, float, float]]:
    """Yield each quantity that must be below the margin, with its value and upper bound."""
    if effect.swings:
        yield OpenQuantity.SWING, abs(effect.largest.g.value), effect.upper_bound
    if effect.losses:
        widest = max(effect.losses, key=lambda loss: loss.high)
        yield (
            OpenQuantity.LOSS,
            widest.value,
            max([widest.high, *(swing.smallest_upper_bound for swing in effect.swings)]),
        )
    parts = (
        (OpenQuantity.FLIPS, effect.flips),
        (OpenQuantity.DICE, effect.dice),
        (OpenQuantity.STRAY, effect.false_area),
    )
    yield from ((name, part.value, part.high) for name, part in parts if part is not None)


def _undecided(effect: Effect, margin: float) -> Iterator[OpenQuantity]:
    """Yield the quantities whose upper bounds are not below the margin."""
    yield from (name for name, _, high in _upper_bounds(effect) if high >= margin)


def _images_to_settle(effect: Effect, margin: float) -> float:
    """Return how many images would settle all open quantities, were the estimates to stay as they are."""
    needed = [
        _images_for_bound(effect, value, high, margin) for _, value, high in _upper_bounds(effect) if high >= margin
    ]
    return max(needed, key=lambda images: (math.isnan(images), images)) if needed else math.nan


def _images_for_bound(effect: Effect, value: float, high: float, margin: float) -> float:
    """Return the images at which a bound reaches the margin: errors fall with the root of their number."""
    if value <= 0:
        # Of a share with no event among n patients, 1 - ALPHA^(1/n) is the exact upper bound (Clopper and Pearson).
        fewest = math.log(ALPHA) / math.log(1 - margin)
        if effect.patients < fewest:
            return math.ceil(fewest * effect.images / max(effect.patients, 1))
    distance_to_margin = abs(value - margin)
    if distance_to_margin < margin / 50 or not math.isfinite(high):
        return math.nan
    return math.ceil(effect.images * ((high - value) / distance_to_margin) ** 2)
