"""Search of a model for the region that its predictions depend on: find, name, verify."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation
from scipy.special import stdtrit

from assay.audit.search.regions import Box, Pixels, Region, Shading, Track, candidates, same_place, size_of
from assay.audit.swing import Effect, changed_predictions, effect_of_mark
from assay.audit.verdicts import WEAK_EFFECT
from assay.core.reasons import Code, Reason
from assay.core.seeds import generator
from assay.probes.reader import read_ahead
from assay.stats.bounds import ALPHA, BoundedEstimate
from assay.stats.influence import sum_by_patient

# A region is exchanged with that of an image of the same class and of another class. Its effect is the difference that
# this makes to the score of an image's own class, in standard deviations of that score within the class. The region is
# found and its content named on one half of the patients, and its effect measured on the other half, crossed.

Scores = Callable[[Pixels], Float[np.ndarray, "n ..."]]
"""Images -> log-odds of the positive class, or of each class against the rest, in float64; of a segmentation, the
greatest log-odds of lesion in each cell of a grid."""
STAGES: Mapping[Track, Sequence[tuple[int, int]]] = {
    "place": ((1000, 10), (12, 24), (4, 44)),
    "whole": ((1000, 10), (3, 24)),
}
"""Successive halving of a search: how many regions go on, and on how many images each is then measured."""
KIND_IMAGES = 44
"""Images of each half on which two kinds of change are compared, of which each half found one."""
SHRINK_IMAGES = 12
"""Images on which the parts of a box are compared."""
FIXED_PASSES: Mapping[Track, int] = {"place": 3052, "whole": 448}
"""Images put through the model at most by a search in both halves, without shading and the comparison of two kinds."""
KEEP, STAY = 0.9, 0.8
"""The smallest region is taken that has this share of the largest effect, and shrunk while this share of it stays."""
DONORS = 2
"""Donors of each class for each image on which an effect is measured."""
RECIPIENTS = 8
"""Images that every patch is put on."""
ONE_NORMAL = 2.65
"""Separation of the groups that split one normal distribution."""
LEAST_GROUP = 0.05
"""Share of the images that a group needs."""
LEAST_SIDE = 4
"""Pixels a side that a box keeps."""
LEAST_IMAGES = 40
"""Images that a search needs."""
_MOST_OF_ALL = 2 / 3
_MOST_APART = 8.0
"""Standard deviations within class that classes are apart at most: an AUROC of 1 for any number of images."""
_LEAST_SPREAD = 1e-6
"""Spread as a share of the largest score, below which scores vary by rounding alone."""
AT_ONCE = 64
"""Images that a model gets at once."""
_CONTEXT = 1 / 8
"""Share of the image around a region whose cells a segmentation may rightly call by looking at the region."""
PASSES_PER_IMAGE: Mapping[Track, int] = {"place": RECIPIENTS + 2 * DONORS + 6, "whole": RECIPIENTS + 2 * DONORS + 2}
"""Passes of an image after the search: its patch on recipients, donors of both classes, and patches of both groups."""


@dataclass(eq=False)
class CountedModel:
    """A model that counts the images it reads.

    Attributes:
        scores: The model.
        at_once: Images that it gets at once, about.
        passes: Images read so far.
    """

    scores: Scores
    at_once: int = AT_ONCE
    passes: int = 0

    def __call__(self, images: Iterator[Pixels]) -> Float[np.ndarray, "n ..."]:
        """Return the scores of images that come in parts."""
        parts = [scores for _, scores in read_ahead(self.scores, self._batches(images))]
        self.passes += sum(map(len, parts))
        return np.concatenate(parts)

    def _batches(self, images: Iterator[Pixels]) -> Iterator[Pixels]:
        waiting: list[Pixels] = []
        for part in images:
            waiting.append(part)
            if sum(map(len, waiting)) >= self.at_once:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)


def spread_within(scores: Float[np.ndarray, "n m"], target: Int[np.ndarray, " n"]) -> float:
    """Return the standard deviation of the score for the own class, within classes; infinite where all are equal.

    It is at least an eighth of the distance of the classes: a model may call all images alike, and surely.
    """
    of_class, codes = _score_of_class(scores, target), np.unique(target)
    within = sum(float(((of_class[target == code] - of_class[target == code].mean()) ** 2).sum()) for code in codes)
    spread = math.sqrt(within / max(1, len(target) - len(codes)))
    return max(spread, abs(_gap(scores, target)) / _MOST_APART) or math.inf


def _gap(scores: Float[np.ndarray, "n m"], target: Int[np.ndarray, " n"]) -> float:
    """Return the distance of the classes, a mean over classes."""
    each = np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores
    codes = np.unique(target)
    gaps = [each[target == code, code].mean() - each[target != code, code].mean() for code in codes if len(codes) > 1]
    return float(np.mean(gaps)) if gaps else 0.0


def _score_of_class(scores: Float[np.ndarray, "k m"], target: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    if scores.shape[1] == 1:
        return np.where(target == 1, scores[:, 0], -scores[:, 0])
    return scores[np.arange(len(target)), target]


@dataclass(frozen=True, eq=False)
class SearchSample:
    """Images of some patients with a model's answers.

    Attributes:
        images: Pixels in [0, 1].
        target: Class of each image.
        patient: Patient of each image.
        clean: Scores of the images.
        seed: Seed of the order of images.
        spread: Standard deviation of the score for the own class, within classes; by default that of these images.
        cells: Cells of the median lesion, of a segmentation; 0 of a classifier.
    """

    images: Pixels
    target: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    clean: Float[np.ndarray, "n m"]
    seed: int = 0
    spread: float = 0.0
    cells: int = 0

    def __post_init__(self) -> None:
        if self.clean.ndim == 3:
            object.__setattr__(self, "clean", self.scores_from_answers(self.clean, [None]))
        if not self.spread:
            object.__setattr__(self, "spread", spread_within(self.clean, self.target))

    def take(self, rows: Int[np.ndarray, " k"]) -> SearchSample:
        """Return some of the images, with the same unit of effects."""
        parts = self.images[rows], self.target[rows], self.patient[rows], self.clean[rows]
        return SearchSample(*parts, self.seed, self.spread, self.cells)

    def scores_from_answers(
        self, answers: Float[np.ndarray, "n ..."], regions: Sequence[Region | None]
    ) -> Float[np.ndarray, "n m"]:
        """Return the scores of images from a model's answers.

        The score of a segmentation is the mean of the greatest log-odds of lesion in as many cells as the median lesion
        has, of the cells that are farther from the exchanged region than `_CONTEXT`. An exchanged lesion is rightly
        called where it is. A shortcut is a region that decides whether there is a lesion elsewhere. Not seen is a mark
        that is itself called a lesion, or moves its surroundings alone.

        Args:
            answers: Answers to the images, in equal parts for the regions.
            regions: The exchanged region of each part; None where nothing was exchanged.
        """
        if answers.ndim < 3:
            return answers
        scores = list[np.ndarray]()
        for part, region in zip(np.split(answers, len(regions)), regions, strict=True):
            where = None if region is None else region.pixel_mask(*answers.shape[1:])
            near = np.zeros(answers.shape[1:], dtype=bool)
            if where is not None:
                near = binary_dilation(where, np.ones((3, 3), dtype=bool), round(_CONTEXT * max(near.shape)))
            scores.append(np.sort(part[:, ~near], axis=1)[:, -self.cells :].mean(axis=1, keepdims=True))
        return np.concatenate(scores)

    @cached_property
    def classes(self) -> list[Int[np.ndarray, " k"]]:
        """Images of each class, in an order by chance."""
        permuted = generator(self.seed, "leads").permutation(len(self.target))
        return [permuted[self.target[permuted] == code] for code in np.unique(self.target)]

    @cached_property
    def order(self) -> Int[np.ndarray, " n"]:
        """Images in an order in which every beginning has classes in equal parts as far as there are images."""
        place = np.empty(len(self.target), dtype=np.int64)
        for of_class in self.classes:
            place[of_class] = np.arange(len(of_class))
        return np.lexsort((self.target, place))

    @cached_property
    def donors(self) -> tuple[Int[np.ndarray, "r n"], Int[np.ndarray, "r n"]] | None:
        """Donors of the same class and of another, of other patients; None where an image has none.

        Each image gives as often as the classes' sizes allow.
        """
        chosen = np.empty((2, DONORS, len(self.target)), dtype=np.int64)
        for code, of_class in enumerate(self.classes):
            others = self.classes[:code] + self.classes[code + 1 :]
            for rank, at in enumerate(of_class.tolist()):
                for turn in range(DONORS):
                    sides = of_class, others[(rank + turn) % len(others)] if others else of_class[:0]
                    for side, givers in enumerate(sides):
                        able = np.roll(givers, -(rank + turn + 1 - side))
                        able = able[self.patient[able] != self.patient[at]]
                        if not len(able):
                            return None
                        chosen[side, turn, at] = able[0]
        return chosen[0], chosen[1]

    def own(self, scores: Float[np.ndarray, "k m"], rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Return the scores of images for their own class."""
        return _score_of_class(scores, self.target[rows])

    @cached_property
    def residuals(self) -> Float[np.ndarray, " n"]:
        """Score of each image for its own class, less the mean of the class."""
        own_scores = self.own(self.clean, np.arange(len(self.target)))
        for rows in self.classes:
            own_scores[rows] -= own_scores[rows].mean()
        return own_scores

    @property
    def class_separation(self) -> float:
        """Distance of the classes in standard deviations within class, a mean over classes."""
        return _gap(self.clean, self.target) / self.spread


def _put(region: Region, images: Pixels, donors: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield images with the region of donors, which are of as many parts as there are turns."""
    for donor in donors:
        for start in range(0, len(images), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            yield region.put(images[part], donor[part])


def exchange(
    model: CountedModel, sample: SearchSample, regions: Sequence[Region], rows: Int[np.ndarray, " k"], turns: int = 1
) -> Float[np.ndarray, "r k"]:
    """Return the effect of exchanges on each image, a mean over donors, in standard deviations within class.

    Args:
        model: The model.
        sample: The images.
        regions: Regions, exchanged one at a time.
        rows: Images that get content.
        turns: Donors of each class, at most `DONORS`.
    """
    same, other = np.moveaxis(exchange_content(model, sample, regions, rows, turns).mean(axis=2), 1, 0)
    return same - other


def exchange_content(
    model: CountedModel, sample: SearchSample, regions: Sequence[Region], rows: Int[np.ndarray, " k"], turns: int
) -> Float[np.ndarray, "r 2 t k"]:
    """Return scores for the own class with content of the same class and of another, see `exchange`."""
    assert sample.donors is not None
    sides = sample.donors

    def every() -> Iterator[Pixels]:
        for region in regions:
            for side in sides:
                yield from _put(region, sample.images[rows], [sample.images[side[turn, rows]] for turn in range(turns)])

    scores = sample.own(sample.scores_from_answers(model(every()), regions), np.tile(rows, 2 * turns * len(regions)))
    return scores.reshape(len(regions), 2, turns, len(rows)) / sample.spread


@dataclass(frozen=True, eq=False)
class DonorContributions:
    """Contributions of images as donors to a sum of effects on others.

    Attributes:
        sums: By image.
        squares: Sum of the squares of the contributions of scores, which count for their recipients already.
    """

    sums: Float[np.ndarray, " n"]
    squares: float


def donor_contributions(
    scores: Float[np.ndarray, "2 t k"], donors: Int[np.ndarray, "2 t k"], target: Int[np.ndarray, " k"], count: int
) -> DonorContributions:
    """Return the contributions of donors to the sum over recipients of the first side less the second.

    They are deviations of scores from the means of recipients and classes.

    Args:
        scores: Of recipients, with content of donors of two sides.
        donors: Position of the donor of each score.
        target: Class of the recipients.
        count: Number of images that donors are of.
    """
    sides, turns = scores.shape[:2]
    deviations = scores - scores.mean(axis=(0, 1))
    for code in np.unique(target):
        deviations[..., target == code] -= deviations[..., target == code].mean(axis=(1, 2), keepdims=True)
    deviations *= (
        np.array([1.0, -1.0])[:, None, None] * sides / (sides * turns - 1)
    )  # degrees of freedom of a recipient
    return DonorContributions(np.bincount(donors.ravel(), deviations.ravel(), count), float((deviations**2).sum()))


def effect_of(
    values: Float[np.ndarray, " n"], sample: SearchSample, content: DonorContributions | None = None
) -> BoundedEstimate:
    """Return the mean of effects on all images of a sample, with one-sided bounds by t over patients.

    An image varies as a recipient and as a donor (Aronow, Samii and Assenova 2015, variance of dyads). The standard
    deviation that effects are in is an estimate too, so that images far from their class add to the error. The upper
    bound is higher where few patients have most of the effect (see `skewed_quantile`).

    Args:
        values: Effects on images.
        sample: The images.
        content: Contributions of images as donors; None: donors are taken as fixed.
    """
    mean, squares = float(values.mean()), (sample.residuals / sample.spread) ** 2
    influence = values - mean - mean / 2 * (squares - squares.mean())
    parts = sum_by_patient(influence, sample.patient)
    people, error = len(parts.samples), parts.standard_error / len(values)
    if people < 2:
        return BoundedEstimate(mean, math.inf, -math.inf, math.inf, 1.0)
    if content is not None:
        both = sum_by_patient(influence + content.sums, sample.patient).standard_error ** 2 - content.squares
        error = max(error, math.sqrt(max(0.0, both)) / len(values))
    quantile = -float(stdtrit(people - 1, ALPHA))
    high = mean + skewed_quantile(quantile, parts.values) * error
    return BoundedEstimate(mean, error, mean - quantile * error, high, people - 1.0)


def skewed_quantile(quantile: float, contributions: Float[np.ndarray, " p"]) -> float:
    """Return the quantile of an upper bound of a mean whose contributions are skewed to the right.

    Where one patient in ten reacts, a sample often has fewer, and a smaller variance as well: the truth was above the
    bound by Student's t in 0.07 to 0.09 of worlds (0.05 by this one; docs/statistics.md). With q the quantile, g the
    skewness, not below 0, and a = g / (6 sqrt(n)), it is q + a (1 + 2 q^2) + 4 a^2 (q + 2 q^3): Chen's transform of q,
    to first order the inverse of Johnson's. Its level is simulated, not derived.

    Args:
        quantile: Of Student's t.
        contributions: One per patient.

    References:
        Johnson, "Modified t tests and confidence intervals for asymmetrical populations", Journal of the American
        Statistical Association 1978; Chen, "Testing the mean of skewed distributions", same journal 1995.

    Examples:
        >>> skewed_quantile(1.645, np.array([-1.0, 1.0]))
        1.645
        >>> round(skewed_quantile(1.645, np.array([4.0, *[-1.0] * 4])), 3)  # g = 1.5
        2.889
    """
    deviations = contributions - contributions.mean()
    variance = float((deviations**2).mean())
    if not variance > 0:
        return quantile
    a = max(0.0, float((deviations**3).mean()) / variance**1.5) / (6 * math.sqrt(len(contributions)))
    return quantile + a * (1 + 2 * quantile**2) + 4 * a**2 * (quantile + 2 * quantile**3)


# Find.


def find(
    model: CountedModel, sample: SearchSample, of: Track = "place", scales: Mapping[str, float] | None = None
) -> tuple[Region, int]:
    """Return the smallest region that has most of the largest effect.

    Args:
        model: The model.
        sample: The images.
        of: Regions with a place, or those without.
        scales: Kind of region -> its limit, in which effects are compared; 1 where none is known.

    Returns:
        The region, and 1 where content of another class lowers the score of the own class, -1 where it raises it.
    """
    pass_limit = model.passes + FIXED_PASSES[of] // 2
    regions = [region for region in candidates(of) if not isinstance(region, Shading) or region.key in (scales or {})]
    effects: dict[Region, np.ndarray] = dict.fromkeys(regions, np.zeros(0))
    weight, read = {region: 1 / (scales or {}).get(region.key, 1.0) for region in effects}, 0
    for keep, images in STAGES[of]:
        best = sorted(effects, key=lambda candidate: -abs(effects[candidate].sum()) * weight[candidate])[:keep]
        rows = sample.order[read:images]
        read += len(rows)
        if len(rows):
            more = exchange(model, sample, best, rows)
            effects = {
                candidate: np.append(effects[candidate], values) for candidate, values in zip(best, more, strict=True)
            }
    sizes = {candidate: abs(float(values.mean())) * weight[candidate] for candidate, values in effects.items()}
    height, width = sample.images.shape[2:]
    able = [candidate for candidate in sizes if sizes[candidate] >= KEEP * max(sizes.values())]
    region = min(able, key=lambda candidate: size_of(candidate, height, width))
    sign = 1 if effects[region].mean() >= 0 else -1
    if isinstance(region, Box):
        region = _shrunk(model, sample, region, sign * effects[region], sign, pass_limit)
    return region, sign


def _shrunk(
    model: CountedModel, sample: SearchSample, region: Box, values_read: np.ndarray, sign: int, pass_limit: int
) -> Box:
    """Return the smallest box of half-size windows in which most of the effect stays."""
    rows = sample.order[:SHRINK_IMAGES]
    total = float(values_read[: len(rows)].mean())
    height, width = sample.images.shape[2:]
    while True:
        parts = list(region.halves())
        small = min((parts[0].bottom - parts[0].top) * height, (parts[0].right - parts[0].left) * width) < LEAST_SIDE
        if small or model.passes + 2 * len(parts) * len(rows) > pass_limit:
            return region
        effects = sign * exchange(model, sample, parts, rows).mean(axis=1)
        best = int(np.argmax(effects))
        if effects[best] < STAY * total or total <= 0:
            return region
        region = parts[best]


# Name.


@dataclass(frozen=True, eq=False)
class PatchGroups:
    """Images in two groups by the worth of their patches.

    Attributes:
        worth: Mean score of the same recipients with the patch of each image, in standard deviations within class.
        high: Images whose patches have the larger worth.
        separation: Distance of the groups' means in standard deviations within groups.
        of_one_normal: Separation that the groups of one normal distribution exceed with a probability of 5 %.
    """

    worth: Float[np.ndarray, " n"]
    high: Bool[np.ndarray, " n"]
    separation: float
    of_one_normal: float

    @property
    def discrete(self) -> bool:
        """Whether there are two groups."""
        share = min(self.high.mean(), 1 - self.high.mean())
        return self.separation > self.of_one_normal and share >= LEAST_GROUP


def groups_of(effect: Float[np.ndarray, " n"]) -> PatchGroups:
    """Return the groups of images by the worth of their patches on the same recipients."""
    return PatchGroups(effect, *split(effect), _of_one_normal(len(effect)))


def patch_scores(
    model: CountedModel, sample: SearchSample, region: Region, rows: Int[np.ndarray, " k"], recipients: int
) -> Float[np.ndarray, "k m"]:
    """Return the mean scores of so many images with the patch of each row, in standard deviations within class."""
    onto = sample.images[sample.order[:recipients]]

    def put() -> Iterator[Pixels]:
        step = max(1, AT_ONCE // len(onto))
        for start in range(0, len(rows), step):
            donors = sample.images[rows[start : start + step]]
            yield region.put(np.tile(onto, (len(donors), 1, 1, 1)), np.repeat(donors, len(onto), axis=0))

    return (
        sample.scores_from_answers(model(put()), [region]).reshape(len(rows), len(onto), -1).mean(axis=1)
        / sample.spread
    )


def split(values: Float[np.ndarray, " n"]) -> tuple[Bool[np.ndarray, " n"], float]:
    """Split values where the variance between groups is largest.

    Returns:
        The upper group, and the distance of the means in pooled standard deviations; of equal values
        halves by position, and 0.

    Examples:
        >>> high, separation = split(np.array([0.0, 5.1, 0.1, 5.0]))
        >>> high.tolist(), split(np.zeros(4))[1]
        ([False, True, False, True], 0.0)

        Halves of one normal distribution are 2.65 apart:

        >>> high, separation = split(np.random.default_rng(0).normal(size=200_000))
        >>> round(float(high.mean()), 1), 2.63 < separation < 2.67
        (0.5, True)
    """
    ordered = np.sort(values)
    n = len(ordered)
    below = np.arange(1, n)
    sums = np.cumsum(ordered)[:-1]
    first, second = sums / below, (ordered.sum() - sums) / (n - below)
    between = below * (n - below) * (second - first) ** 2
    at = int(between.argmax())
    high = values > ordered[at]
    if not high.any():
        return np.arange(n) >= n / 2, 0.0
    within = sum(float(((values[side] - values[side].mean()) ** 2).sum()) for side in (high, ~high))
    gap = float(second[at] - first[at])
    return high, gap / math.sqrt(within / (n - 2)) if within > 0 else math.inf


def _of_one_normal(count: int) -> float:
    """Return the separation that is exceeded by 5 % of samples of one normal distribution, at least `ONE_NORMAL`."""
    normal = generator(0, "one normal", count).normal(size=(400, count))
    return max(ONE_NORMAL, float(np.quantile([split(draw)[1] for draw in normal], 1 - ALPHA)))


# Verify.


@dataclass(frozen=True, eq=False)
class ExchangedScores:
    """Scores of images with patches of other images.

    Attributes:
        donors: Positions of the images whose patches are put on, of the higher group first.
        parts: Scores with a patch of the lower group, and of the higher group: `whole`; of a fixed region also
            `shape`, patches given the mean color below them, and `tone`, the image there given their mean color.
    """

    donors: Int[np.ndarray, "2 n"]
    parts: Mapping[str, tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "n m"]]]


def put_on(
    model: CountedModel,
    named: SearchSample,
    region: Region,
    high: Bool[np.ndarray, " k"],
    sample: SearchSample,
    *,
    parts: bool = True,
) -> ExchangedScores:
    """Return the answers to images with patches of the two groups.

    Args:
        model: The model.
        named: The images that the groups are of.
        region: The region.
        high: Images of the higher group.
        sample: Images of other patients.
        parts: Whether shape and tone are put on too.
    """
    draws, where = generator(named.seed, "patches"), region.pixel_mask(*sample.images.shape[2:])
    chosen, answers = list[np.ndarray](), list[dict[str, np.ndarray]]()
    for group in (~high, high):
        chosen.append(np.resize(draws.permutation(np.flatnonzero(group)), len(sample.target)))
        patches = {"whole": named.images[chosen[-1]]}
        if where is not None and parts:
            colors, color = (_mean_color(pixels, where) for pixels in (patches["whole"], sample.images))
            patches |= {"shape": patches["whole"] - colors + color, "tone": sample.images - color + colors}
        images = {part: _put(region, sample.images, [pixels.clip(0, 1)]) for part, pixels in patches.items()}
        answers.append({part: sample.scores_from_answers(model(put), [region]) for part, put in images.items()})
    return ExchangedScores(np.stack(chosen[::-1]), {part: (answers[0][part], answers[1][part]) for part in answers[0]})


def _mean_color(images: Pixels, where: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n c 1 1"]:
    return images[:, :, where].mean(axis=2)[:, :, None, None]


def carriers(
    sample: SearchSample,
    where: Bool[np.ndarray, "h w"],
    high: Bool[np.ndarray, " n"],
    shape: float = math.nan,
    high_carries: bool | None = None,
) -> tuple[Bool[np.ndarray, " n"], bool]:
    """Return the images that carry the difference of the groups, and whether it is brighter than the others' content.

    They are the group that is more alike where the groups differ, since a drawn mark is the same on every image; where
    the shape moves answers, the group with more edges. Brightness is apart from the tone of whole images.

    Args:
        sample: The images.
        where: The pixels of the region.
        high: Images of the higher group.
        shape: See `RegionFinding`.
        high_carries: See `RegionFinding`.
    """
    content, inner = sample.images[:, :, where], where[1:, 1:]
    gap = content[high].mean(axis=0) - content[~high].mean(axis=0)
    spread = [float((gap**2 * content[group].var(axis=0)).sum()) for group in (high, ~high)]
    carry = high if (spread[0] <= spread[1] if high_carries is None else high_carries) else ~high
    if high_carries is None and shape >= 0.5 and inner.any():
        across, down = (np.abs(np.diff(sample.images, axis=axis)).mean(axis=1) for axis in (3, 2))
        edges = (across[:, 1:] + down[:, :, 1:])[:, inner].mean(axis=1)
        carry = carry if edges[carry].mean() >= edges[~carry].mean() else ~carry
    with_it, without = sample.images[carry], sample.images[~carry]
    least = 0.01 * sample.images.var(axis=0).mean()
    alike = np.maximum(1, (without.var(axis=0) + least) / (with_it.var(axis=0) + least))
    gap = with_it.mean(axis=0) - without.mean(axis=0)
    differences = gap - np.average(gap, axis=(1, 2), weights=1 / alike**2, keepdims=True)
    gray = (differences * alike).mean(axis=0)[where]
    return carry, float((gray * np.abs(gray)).sum()) > 0


# All three, crossed.


@dataclass(frozen=True, eq=False)
class HalfFinding:
    """A region found on one half of the patients, and its effect on the other half.

    Attributes:
        rows: Its images.
        region: The region found on them.
        groups: Its groups on them.
        effect: Effect of the region on each image of the other half, positive where it has the sign found.
        given: Contributions of images of either half to it as donors.
        answered: Answers to the other half with patches of its groups.
    """

    rows: Int[np.ndarray, " k"]
    region: Region
    groups: PatchGroups
    effect: Float[np.ndarray, " j"]
    given: DonorContributions
    answered: ExchangedScores


@dataclass(frozen=True, eq=False)
class RegionFinding:
    """The region that a model's answers lead to.

    Attributes:
        halves: Both halves.
        first: Position of the half whose region is named: the one with the larger effect on the other.
        agree: Whether both halves lead to the same region.
        column: The score that groups are by, the same in both halves.
        effect: Effect of the regions on the patients that they were not found on.
        swing: Swing, loss and flips with the higher group's patch in place of the lower group's.
        moved: Change of the score by it, in standard deviations within class.
        shape: Share of the change that stays with the shape of the patch alone; NaN where it was not put on.
        tone: Share that stays with its mean color alone.
        distance: Distance of the classes in standard deviations within class: the effect of exchanging all of an image.
        passes: Images put through the model.
        searched: Those of the searches alone.
        high_carries: Whether the higher group carries what is drawn alike; None where the images have to tell.
    """

    halves: tuple[HalfFinding, HalfFinding]
    first: int
    agree: bool
    column: int
    effect: BoundedEstimate
    swing: Effect
    moved: float
    shape: float
    tone: float
    distance: float
    passes: int
    searched: int
    high_carries: bool | None = None

    @property
    def region(self) -> Region:
        """The region that is named."""
        return self.halves[self.first].region

    @property
    def discrete(self) -> bool:
        """Whether there are two groups in both halves."""
        return all(bool(half.groups.discrete) for half in self.halves)

    @property
    def least(self) -> float:
        """Effect from which on it is reported where no clean networks set a limit.

        Of a region without a place it is a part of the effect of exchanging all of an image: any half has half of it.
        """
        everywhere = self.region in candidates("whole")
        return max(WEAK_EFFECT, _MOST_OF_ALL * abs(self.distance)) if everywhere else WEAK_EFFECT

    @property
    def values(self) -> tuple[float, float]:
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
    of: Track = "place",
    labels: Sequence[str] = ("",),
    threshold: float = 0.0,
    at_once: int = AT_ONCE,
    scales: Mapping[str, float] | None = None,
) -> RegionFinding | Reason:
    """Return the region that a model's answers lead to, or why none was searched for.

    The halves choose their regions apart; a kind of change for which there are scales they choose together, so that
    they agree.

    Args:
        scores: The model.
        sample: The images.
        of: Regions with a place, or those without.
        labels: Name of each score.
        threshold: Of one score: the log-odds from which an image is called positive.
        at_once: Images that the model gets at once, about.
        scales: See `find`.
    """
    rows = divide_patients(sample)
    if isinstance(rows, Reason):
        return rows
    parts, model = [sample.take(part) for part in rows], CountedModel(scores, at_once)
    regions_found = [find(model, part, of, scales) for part in parts]
    if scales and all(region.key in scales for region, _ in regions_found):
        regions_found = _larger_in_both(model, parts, regions_found, scales)
    searched = model.passes
    every = [
        patch_scores(model, part, region, np.arange(len(part.target)), RECIPIENTS)
        for part, (region, _) in zip(parts, regions_found, strict=True)
    ]
    column = int(np.sum([part.var(axis=0) for part in every], axis=0).argmax())
    halves: list[HalfFinding] = []
    for at, (half_sample, other) in enumerate((parts, parts[::-1])):
        (region, sign), groups = regions_found[at], groups_of(every[at][:, column])
        sides = sign * exchange_content(model, other, [region], np.arange(len(other.target)), DONORS)[0]
        assert other.donors is not None
        content = donor_contributions(sides, rows[1 - at][np.stack(other.donors)], other.target, len(sample.target))
        same, distance = sides.mean(axis=1)
        answered = put_on(model, half_sample, region, groups.high, other)
        halves.append(HalfFinding(rows[at], region, groups, same - distance, content, answered))
    agree = same_place(halves[0].region, halves[1].region, *sample.images.shape[2:])
    return verify(model, sample, (halves[0], halves[1]), agree, column, searched, labels, threshold)


def _larger_in_both(
    model: CountedModel,
    parts: Sequence[SearchSample],
    regions_found: list[tuple[Region, int]],
    scales: Mapping[str, float],
) -> list[tuple[Region, int]]:
    """Return for both halves the kind of change that is the larger one where it is smaller, if they found two.

    Limits of kinds are of effects on all images, and hold for all kinds together, so that a choice by both halves
    raises no error.
    """
    if regions_found[0] == regions_found[1]:
        return regions_found

    def least(region: Region, sign: int) -> float:
        effects = [float(exchange(model, part, [region], part.order[:KIND_IMAGES]).mean()) for part in parts]
        return min(sign * effect for effect in effects) / scales[region.key]

    return [max(regions_found, key=lambda region_and_sign: least(*region_and_sign))] * 2


def verify(
    model: CountedModel,
    sample: SearchSample,
    halves: tuple[HalfFinding, HalfFinding],
    agree: bool,
    column: int,
    searched: int,
    labels: Sequence[str],
    threshold: float,
) -> RegionFinding:
    """Return the finding of both halves.

    Args:
        model: The model.
        sample: All images.
        halves: Both halves.
        agree: Whether both halves lead to the same region.
        column: The score that groups are by.
        searched: Images put through the model by the search alone.
        labels: Name of each score.
        threshold: See `find_region`.
    """
    order = np.concatenate([half.rows for half in halves[::-1]])
    effects = np.empty(len(order))
    effects[order] = np.concatenate([half.effect for half in halves])
    first = int(halves[1].effect.mean() > halves[0].effect.mean())
    scores = {
        part: [np.concatenate(both) for both in zip(*(half.answered.parts[part] for half in halves), strict=True)]
        for part in halves[0].answered.parts.keys() & halves[1].answered.parts.keys()
    }
    changed = {part: float((high - low)[:, column].mean()) for part, (low, high) in scores.items()}
    shape, tone = (
        changed[part] / changed["whole"] if part in changed and changed["whole"] else math.nan
        for part in ("shape", "tone")
    )
    low, high = scores["whole"]
    target, patient = sample.target[order], sample.patient[order]
    flips = changed_predictions(_calls_of(low, threshold), _calls_of(high, threshold), patient)
    swing = effect_of_mark(low, high, target, patient, flips, labels)
    content = DonorContributions(
        halves[0].given.sums + halves[1].given.sums, halves[0].given.squares + halves[1].given.squares
    )
    return RegionFinding(
        halves,
        first,
        agree,
        column,
        effect_of(effects, sample, content),
        swing,
        changed["whole"] / sample.spread,
        shape,
        tone,
        sample.class_separation,
        model.passes,
        searched,
    )


def divide_patients(sample: SearchSample) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " j"]] | Reason:
    """Return the halves of `halves_of`, or why images allow no search in them."""
    if len(sample.target) < LEAST_IMAGES:
        return Reason.of(Code.FEW_IMAGES, images=len(sample.target), least=LEAST_IMAGES)
    if not _LEAST_SPREAD * float(np.abs(sample.clean).max()) < sample.spread < math.inf:
        return Reason.of(Code.ANSWERS_ALIKE)
    rows = halves_of(sample)
    parts = [sample.take(part) for part in rows]
    if any(len(part.classes) < len(sample.classes) or part.donors is None for part in parts):
        return Reason.of(Code.NO_DONORS)
    return rows


def halves_of(sample: SearchSample) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " j"]]:
    """Divide images by patient into halves that have the classes in equal parts as far as possible."""
    people, first = np.unique(sample.patient[sample.order], return_index=True)
    of = sample.target[sample.order][first]
    uniform = generator(sample.seed, "halves").random(len(people))
    side = np.empty(len(people), dtype=np.int64)
    side[np.lexsort((uniform, of))] = np.arange(len(people)) % 2
    second = side[np.searchsorted(people, sample.patient)] == 1
    return np.flatnonzero(~second), np.flatnonzero(second)


def _calls_of(scores: Float[np.ndarray, "n m"], threshold: float) -> Int[np.ndarray, " n"]:
    return (scores[:, 0] >= threshold).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)
