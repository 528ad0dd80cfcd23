"""Patches of a region: groups of images by their worth, and which group carries what is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.audit.search.exchange import batches_with_region
from assay.audit.search.regions import Pixels, Region
from assay.audit.search.sample import BATCH_SIZE, CountedModel, SearchSample
from assay.core.seeds import generator
from assay.stats.bounds import ALPHA

RECIPIENTS = 8
"""Images that every patch is put on."""
NORMAL_SEPARATION = 2.65
"""Separation of the two groups into which `split_in_two` splits one normal distribution."""
MIN_GROUP_SHARE = 0.05
"""Smallest share of the images that makes a group."""


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
            part: batches_with_region(region, sample.images, [pixels.clip(0, 1)]) for part, pixels in patches.items()
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
        shape: See `search.RegionFinding`.
        high_carries: See `search.RegionFinding`.
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
