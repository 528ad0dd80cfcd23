"""Effects of exchanging a region of images, with bounds over patients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.audit.search.regions import Pixels, Region
from assay.audit.search.sample import BATCH_SIZE, CountedModel, SearchSample
from assay.stats.bounds import ALPHA, BoundedEstimate, critical_value, skew_of
from assay.stats.influence import sum_by_patient
from assay.stats.panel import df_over_patients


def batches_with_region(region: Region, images: Pixels, donors: Sequence[Pixels]) -> Iterator[Pixels]:
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
                yield from batches_with_region(
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
    bound is higher where few patients have most of the effect (see `stats.bounds.Skew`).

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
    df = df_over_patients(sample.patient)
    skew = skew_of(influence / len(values), sample.patient)
    high = mean + skew.quantiles(df, ALPHA)[1] * error
    return BoundedEstimate(mean, error, mean - critical_value(df, ALPHA) * error, high, df)
