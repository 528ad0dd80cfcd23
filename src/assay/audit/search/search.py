"""Search of a model for the region that its predictions depend on: find, name, verify."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

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

# An image, the recipient, gets the region of another image, the donor. The effect of the region is the change of the
# recipient's score for its own class with a donor of the same class, less that with a donor of another class. It is in
# standard deviations of that score within the class. The effect is cross-fitted: the region is found, and its content
# named, on one half of the patients, and its effect is measured on the other half.

Scores = Callable[[Pixels], Float[np.ndarray, "n ..."]]
"""Model outputs: images -> log-odds of the positive class, or of each class against the rest, in float64; of a
segmentation, the greatest log-odds of lesion in each cell of a grid."""
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
DONORS = 2
"""Donors of each class for each image on which an effect is measured."""
RECIPIENTS = 8
"""Images that every patch is put on."""
NORMAL_SEPARATION = 2.65
"""Separation of the two groups into which `split_in_two` splits one normal distribution."""
MIN_GROUP_SHARE = 0.05
"""Smallest share of the images that makes a group."""
MIN_BOX_SIDE = 4
"""Shortest side of a box in pixels."""
LEAST_IMAGES = 40
"""Images that a search needs."""
_SHARE_OF_CLASS_DISTANCE = 2 / 3
"""Effect of a region without a place from which on it is reported, as a share of the distance of the classes."""
_MAX_CLASS_DISTANCE = 8.0
"""Standard deviations within class that classes are apart at most: an AUROC of 1 for any number of images."""
_MIN_RELATIVE_SD = 1e-6
"""Spread as a share of the largest score, below which scores vary by rounding alone."""
BATCH_SIZE = 64
"""Images in a batch."""
_CONTEXT = 1 / 8
"""Share of the image around a region whose cells a segmentation may rightly call by looking at the region."""
PASSES_PER_IMAGE: Mapping[Track, int] = {"place": RECIPIENTS + 2 * DONORS + 6, "whole": RECIPIENTS + 2 * DONORS + 2}
"""Passes of an image after the search: its patch on recipients, donors of both classes, and patches of both groups."""


@dataclass(eq=False)
class CountedModel:
    """A model that counts the images it reads.

    Attributes:
        scores: The model.
        batch_size: Approximate number of images in a batch.
        passes: Images read so far.
    """

    scores: Scores
    batch_size: int = BATCH_SIZE
    passes: int = 0

    def __call__(self, images: Iterator[Pixels]) -> Float[np.ndarray, "n ..."]:
        """Return the outputs for images that come in parts."""
        parts = [scores for _, scores in read_ahead(self.scores, self._batches(images))]
        self.passes += sum(map(len, parts))
        return np.concatenate(parts)

    def _batches(self, images: Iterator[Pixels]) -> Iterator[Pixels]:
        waiting: list[Pixels] = []
        for part in images:
            waiting.append(part)
            if sum(map(len, waiting)) >= self.batch_size:
                yield np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)


def sd_within_classes(scores: Float[np.ndarray, "n m"], target: Int[np.ndarray, " n"]) -> float:
    """Return the standard deviation of an image's score for its own class, within classes; infinite if all are equal.

    It is at least the distance of the classes over `_MAX_CLASS_DISTANCE`, since confident scores may hardly vary.
    """
    of_class, codes = _score_of_class(scores, target), np.unique(target)
    within = sum(float(((of_class[target == code] - of_class[target == code].mean()) ** 2).sum()) for code in codes)
    sd = math.sqrt(within / max(1, len(target) - len(codes)))
    return max(sd, abs(_class_distance(scores, target)) / _MAX_CLASS_DISTANCE) or math.inf


def _class_distance(scores: Float[np.ndarray, "n m"], target: Int[np.ndarray, " n"]) -> float:
    """Return how much higher a class's score is for its own images than for others, a mean over classes."""
    score_of_each_class = np.concatenate([-scores, scores], axis=1) if scores.shape[1] == 1 else scores
    codes = np.unique(target)
    gaps = [
        score_of_each_class[target == code, code].mean() - score_of_each_class[target != code, code].mean()
        for code in codes
        if len(codes) > 1
    ]
    return float(np.mean(gaps)) if gaps else 0.0


def _score_of_class(scores: Float[np.ndarray, "k m"], target: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    if scores.shape[1] == 1:
        return np.where(target == 1, scores[:, 0], -scores[:, 0])
    return scores[np.arange(len(target)), target]


@dataclass(frozen=True, eq=False)
class SearchSample:
    """Images of some patients with a model's scores.

    Attributes:
        images: Pixels in [0, 1].
        target: Class of each image.
        patient: Patient of each image.
        clean_scores: Scores of the images.
        seed: Seed of the order of images.
        sd_within_classes: Standard deviation of the score for the own class, within classes; by default that of these
            images.
        lesion_cells: Cells of the median lesion, of a segmentation; 0 of a classifier.
    """

    images: Pixels
    target: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    clean_scores: Float[np.ndarray, "n m"]
    seed: int = 0
    sd_within_classes: float = 0.0
    lesion_cells: int = 0

    def __post_init__(self) -> None:
        if self.clean_scores.ndim == 3:
            object.__setattr__(self, "clean_scores", self.scores_from_outputs(self.clean_scores, [None]))
        if not self.sd_within_classes:
            object.__setattr__(self, "sd_within_classes", sd_within_classes(self.clean_scores, self.target))

    def take(self, rows: Int[np.ndarray, " k"]) -> SearchSample:
        """Return some of the images, with the same unit of effects."""
        parts = self.images[rows], self.target[rows], self.patient[rows], self.clean_scores[rows]
        return SearchSample(*parts, self.seed, self.sd_within_classes, self.lesion_cells)

    def scores_from_outputs(
        self, outputs: Float[np.ndarray, "n ..."], regions: Sequence[Region | None]
    ) -> Float[np.ndarray, "n m"]:
        """Return the scores of images from a model's outputs.

        The score of a segmentation is the mean of the greatest log-odds of lesion in as many cells as the median lesion
        has. Cells nearer to the exchanged region than `_CONTEXT` do not count, since a lesion that is exchanged is
        rightly predicted there. A shortcut is a region that decides whether a lesion is predicted elsewhere. A mark
        that is itself predicted to be a lesion, or changes its surroundings alone, is not found.

        Args:
            outputs: Outputs for the images, in equal parts for the regions.
            regions: The exchanged region of each part; None where nothing was exchanged.
        """
        if outputs.ndim < 3:
            return outputs
        scores = list[np.ndarray]()
        for part, region in zip(np.split(outputs, len(regions)), regions, strict=True):
            where = None if region is None else region.pixel_mask(*outputs.shape[1:])
            near = np.zeros(outputs.shape[1:], dtype=bool)
            if where is not None:
                near = binary_dilation(where, np.ones((3, 3), dtype=bool), round(_CONTEXT * max(near.shape)))
            scores.append(np.sort(part[:, ~near], axis=1)[:, -self.lesion_cells :].mean(axis=1, keepdims=True))
        return np.concatenate(scores)

    @cached_property
    def rows_by_class(self) -> list[Int[np.ndarray, " k"]]:
        """Positions of the images of each class, in random order."""
        permuted = generator(self.seed, "leads").permutation(len(self.target))
        return [permuted[self.target[permuted] == code] for code in np.unique(self.target)]

    @cached_property
    def balanced_order(self) -> Int[np.ndarray, " n"]:
        """Positions of the images in an order whose first n have the classes in equal parts as far as possible."""
        rank_in_class = np.empty(len(self.target), dtype=np.int64)
        for of_class in self.rows_by_class:
            rank_in_class[of_class] = np.arange(len(of_class))
        return np.lexsort((self.target, rank_in_class))

    @cached_property
    def donors(self) -> tuple[Int[np.ndarray, "r n"], Int[np.ndarray, "r n"]] | None:
        """Donors of each image: `DONORS` of the same class and of another, of other patients; None where one lacks any.

        Images are donors about equally often, as far as the sizes of the classes allow.
        """
        chosen = np.empty((2, DONORS, len(self.target)), dtype=np.int64)
        for code, of_class in enumerate(self.rows_by_class):
            others = self.rows_by_class[:code] + self.rows_by_class[code + 1 :]
            for rank, row in enumerate(of_class.tolist()):
                for donor in range(DONORS):
                    sides = of_class, others[(rank + donor) % len(others)] if others else of_class[:0]
                    for side, possible_donors in enumerate(sides):
                        eligible = np.roll(possible_donors, -(rank + donor + 1 - side))
                        eligible = eligible[self.patient[eligible] != self.patient[row]]
                        if not len(eligible):
                            return None
                        chosen[side, donor, row] = eligible[0]
        return chosen[0], chosen[1]

    def own_class_scores(
        self, scores: Float[np.ndarray, "k m"], rows: Int[np.ndarray, " k"]
    ) -> Float[np.ndarray, " k"]:
        """Return the scores of images for their own class."""
        return _score_of_class(scores, self.target[rows])

    @cached_property
    def residuals(self) -> Float[np.ndarray, " n"]:
        """Score of each image for its own class, less the mean of the class."""
        own_scores = self.own_class_scores(self.clean_scores, np.arange(len(self.target)))
        for rows in self.rows_by_class:
            own_scores[rows] -= own_scores[rows].mean()
        return own_scores

    @property
    def class_separation(self) -> float:
        """Distance of the classes in standard deviations within class, a mean over classes."""
        return _class_distance(self.clean_scores, self.target) / self.sd_within_classes


def _batches_with_region(region: Region, images: Pixels, donors: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield batches of the images with the region of each set of donors in turn."""
    for donor in donors:
        for start in range(0, len(images), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            yield region.put(images[part], donor[part])


def exchange_effects(
    model: CountedModel, sample: SearchSample, regions: Sequence[Region], rows: Int[np.ndarray, " k"], n_donors: int = 1
) -> Float[np.ndarray, "r k"]:
    """Return the effect of exchanging each region on each image, in standard deviations within class.

    It is a mean over donors.

    Args:
        model: The model.
        sample: The images.
        regions: Regions, exchanged one at a time.
        rows: Positions of the recipients.
        n_donors: Donors of the same class and of another, at most `DONORS` each.
    """
    same, other = np.moveaxis(exchange_scores(model, sample, regions, rows, n_donors).mean(axis=2), 1, 0)
    return same - other


def exchange_scores(
    model: CountedModel, sample: SearchSample, regions: Sequence[Region], rows: Int[np.ndarray, " k"], n_donors: int
) -> Float[np.ndarray, "r 2 t k"]:
    """Return the own-class scores of recipients, with donors of the same class and of another; see `exchange_effects`.

    Axes are the region, the class of the donor (same, other), the donor, and the recipient.
    """
    assert sample.donors is not None
    sides = sample.donors

    def exchanged_images() -> Iterator[Pixels]:
        for region in regions:
            for side in sides:
                yield from _batches_with_region(
                    region, sample.images[rows], [sample.images[side[turn, rows]] for turn in range(n_donors)]
                )

    scores = sample.own_class_scores(
        sample.scores_from_outputs(model(exchanged_images()), regions), np.tile(rows, 2 * n_donors * len(regions))
    )
    return scores.reshape(len(regions), 2, n_donors, len(rows)) / sample.sd_within_classes


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


def mean_effect(
    values: Float[np.ndarray, " n"], sample: SearchSample, as_donors: DonorContributions | None = None
) -> BoundedEstimate:
    """Return the mean of the effects on all images of a sample, with one-sided bounds by t over patients.

    An image varies as a recipient and as a donor (Aronow, Samii and Assenova 2015, variance of dyads). The standard
    deviation that effects are in is an estimate too, so that images far from their class add to the error. The upper
    bound is higher where few patients have most of the effect (see `skewed_quantile`).

    Args:
        values: Effects on images.
        sample: The images.
        as_donors: Contributions of images as donors; None: donors are taken as fixed.
    """
    mean, squares = float(values.mean()), (sample.residuals / sample.sd_within_classes) ** 2
    influence = values - mean - mean / 2 * (squares - squares.mean())
    parts = sum_by_patient(influence, sample.patient)
    n_patients, error = len(parts.samples), parts.standard_error / len(values)
    if n_patients < 2:
        return BoundedEstimate(mean, math.inf, -math.inf, math.inf, 1.0)
    if as_donors is not None:
        variance_of_both = (
            sum_by_patient(influence + as_donors.sums, sample.patient).standard_error ** 2 - as_donors.squares
        )
        error = max(error, math.sqrt(max(0.0, variance_of_both)) / len(values))
    quantile = -float(stdtrit(n_patients - 1, ALPHA))
    high = mean + skewed_quantile(quantile, parts.values) * error
    return BoundedEstimate(mean, error, mean - quantile * error, high, n_patients - 1.0)


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


# Name.


@dataclass(frozen=True, eq=False)
class PatchGroups:
    """Images in two groups by the worth of their patches: the content that they have in a region.

    Attributes:
        worth: Mean score of the same recipients with the patch of each image, in standard deviations within class.
        high: Images whose patches have the larger worth.
        separation: Distance of the groups' means in standard deviations within groups.
        separation_of_normal: Separation that the groups of one normal distribution exceed with a probability of 5%.
    """

    worth: Float[np.ndarray, " n"]
    high: Bool[np.ndarray, " n"]
    separation: float
    separation_of_normal: float

    @property
    def has_two_groups(self) -> bool:
        """Whether there are two groups."""
        share = min(self.high.mean(), 1 - self.high.mean())
        return self.separation > self.separation_of_normal and share >= MIN_GROUP_SHARE


def group_patches(worth: Float[np.ndarray, " n"]) -> PatchGroups:
    """Return the groups of images by the worth of their patches on the same recipients."""
    return PatchGroups(worth, *split_in_two(worth), _separation_of_normal(len(worth)))


def patch_scores(
    model: CountedModel, sample: SearchSample, region: Region, rows: Int[np.ndarray, " k"], recipients: int
) -> Float[np.ndarray, "k m"]:
    """Return the mean score of `recipients` images with the patch of each row, in standard deviations within class."""
    recipient_images = sample.images[sample.balanced_order[:recipients]]

    def exchanged_images() -> Iterator[Pixels]:
        step = max(1, BATCH_SIZE // len(recipient_images))
        for start in range(0, len(rows), step):
            donors = sample.images[rows[start : start + step]]
            yield region.put(
                np.tile(recipient_images, (len(donors), 1, 1, 1)), np.repeat(donors, len(recipient_images), axis=0)
            )

    return (
        sample.scores_from_outputs(model(exchanged_images()), [region])
        .reshape(len(rows), len(recipient_images), -1)
        .mean(axis=1)
        / sample.sd_within_classes
    )


def split_in_two(values: Float[np.ndarray, " n"]) -> tuple[Bool[np.ndarray, " n"], float]:
    """Split values where the variance between groups is largest.

    Returns:
        The upper group, and the distance of the means in pooled standard deviations; of equal values
        halves by position, and 0.

    Examples:
        >>> high, separation = split_in_two(np.array([0.0, 5.1, 0.1, 5.0]))
        >>> high.tolist(), split_in_two(np.zeros(4))[1]
        ([False, True, False, True], 0.0)

        Halves of one normal distribution are 2.65 apart:

        >>> high, separation = split_in_two(np.random.default_rng(0).normal(size=200_000))
        >>> round(float(high.mean()), 1), 2.63 < separation < 2.67
        (0.5, True)
    """
    ordered = np.sort(values)
    n = len(ordered)
    below = np.arange(1, n)
    sums = np.cumsum(ordered)[:-1]
    first, second = sums / below, (ordered.sum() - sums) / (n - below)
    between = below * (n - below) * (second - first) ** 2
    cut = int(between.argmax())
    high = values > ordered[cut]
    if not high.any():
        return np.arange(n) >= n / 2, 0.0
    within = sum(float(((values[side] - values[side].mean()) ** 2).sum()) for side in (high, ~high))
    gap = float(second[cut] - first[cut])
    return high, gap / math.sqrt(within / (n - 2)) if within > 0 else math.inf


@cache
def _separation_of_normal(count: int) -> float:
    """Return the separation that 5% of samples of one normal distribution exceed, at least `NORMAL_SEPARATION`."""
    normal = generator(0, "one normal", count).normal(size=(400, count))
    return max(NORMAL_SEPARATION, float(np.quantile([split_in_two(draw)[1] for draw in normal], 1 - ALPHA)))


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


def scores_with_patches(
    model: CountedModel,
    donor_sample: SearchSample,
    region: Region,
    high: Bool[np.ndarray, " k"],
    sample: SearchSample,
    *,
    parts: bool = True,
) -> ExchangedScores:
    """Return the scores of images with patches of the two groups.

    Args:
        model: The model.
        donor_sample: The images that the groups are of.
        region: The region.
        high: Images of the higher group.
        sample: The recipients, of other patients.
        parts: Whether the shape and the tone of patches are put on by themselves too.
    """
    draws, where = generator(donor_sample.seed, "patches"), region.pixel_mask(*sample.images.shape[2:])
    chosen, scores_of_groups = list[np.ndarray](), list[dict[str, np.ndarray]]()
    for group in (~high, high):
        chosen.append(np.resize(draws.permutation(np.flatnonzero(group)), len(sample.target)))
        patches = {"whole": donor_sample.images[chosen[-1]]}
        if where is not None and parts:
            colors, color = (_mean_color(pixels, where) for pixels in (patches["whole"], sample.images))
            patches |= {"shape": patches["whole"] - colors + color, "tone": sample.images - color + colors}
        images = {
            part: _batches_with_region(region, sample.images, [pixels.clip(0, 1)]) for part, pixels in patches.items()
        }
        scores_of_groups.append(
            {part: sample.scores_from_outputs(model(put), [region]) for part, put in images.items()}
        )
    return ExchangedScores(
        np.stack(chosen[::-1]),
        {part: (scores_of_groups[0][part], scores_of_groups[1][part]) for part in scores_of_groups[0]},
    )


def _mean_color(images: Pixels, where: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n c 1 1"]:
    return images[:, :, where].mean(axis=2)[:, :, None, None]


def carrying_group(
    sample: SearchSample,
    where: Bool[np.ndarray, "h w"],
    high: Bool[np.ndarray, " n"],
    shape: float = math.nan,
    high_carries: bool | None = None,
) -> tuple[Bool[np.ndarray, " n"], bool]:
    """Return which images carry the content that makes the groups differ, and whether it is brighter than the others'.

    The carriers are the group that varies less where the groups differ, since a drawn mark is the same on every image.
    Where the shape of patches changes scores, they are the group with more edges. Brightness is relative to that of
    the whole images.

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
    variance_floor = 0.01 * sample.images.var(axis=0).mean()
    alike = np.maximum(1, (without.var(axis=0) + variance_floor) / (with_it.var(axis=0) + variance_floor))
    gap = with_it.mean(axis=0) - without.mean(axis=0)
    differences = gap - np.average(gap, axis=(1, 2), weights=1 / alike**2, keepdims=True)
    gray = (differences * alike).mean(axis=0)[where]
    return carry, float((gray * np.abs(gray)).sum()) > 0


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


def divide_patients(sample: SearchSample) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " j"]] | Reason:
    """Return the halves of `halves_of`, or why the images do not allow a search."""
    if len(sample.target) < LEAST_IMAGES:
        return Reason.of(Code.FEW_IMAGES, images=len(sample.target), least=LEAST_IMAGES)
    if not _MIN_RELATIVE_SD * float(np.abs(sample.clean_scores).max()) < sample.sd_within_classes < math.inf:
        return Reason.of(Code.ANSWERS_ALIKE)
    rows = halves_of(sample)
    parts = [sample.take(part) for part in rows]
    if any(len(part.rows_by_class) < len(sample.rows_by_class) or part.donors is None for part in parts):
        return Reason.of(Code.NO_DONORS)
    return rows


def halves_of(sample: SearchSample) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " j"]]:
    """Divide images by patient into halves that have the classes in equal parts as far as possible."""
    patients, first_row = np.unique(sample.patient[sample.balanced_order], return_index=True)
    class_of_patient = sample.target[sample.balanced_order][first_row]
    uniform = generator(sample.seed, "halves").random(len(patients))
    half_of_patient = np.empty(len(patients), dtype=np.int64)
    half_of_patient[np.lexsort((uniform, class_of_patient))] = np.arange(len(patients)) % 2
    in_second_half = half_of_patient[np.searchsorted(patients, sample.patient)] == 1
    return np.flatnonzero(~in_second_half), np.flatnonzero(in_second_half)


def _predicted_class(scores: Float[np.ndarray, "n m"], threshold: float) -> Int[np.ndarray, " n"]:
    return (scores[:, 0] >= threshold).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)
