"""Findings on what some images carry: a finder proposes candidates, and this module measures their effects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float

from assay.audit.search.exchange import donor_contributions
from assay.audit.search.patches import (
    NORMAL_SEPARATION,
    ExchangedScores,
    PatchGroups,
    patch_scores,
    scores_with_patches,
)
from assay.audit.search.regions import Region, size_of
from assay.audit.search.sample import BATCH_SIZE, CountedModel, Scores, SearchSample, divide_patients
from assay.audit.search.search import HalfFinding, RegionFinding, verify
from assay.core.reasons import Code, Reason
from assay.core.seeds import generator

# The effect of exchanging a region is a mean over images: a mark on a tenth of them has a tenth of its effect. What
# some images carry and others do not is therefore searched for in the images alone, without a pass of the model, in
# both halves of the patients. The candidate that changes scores most is then measured as a region is. Carriers are the
# images that have it.

LEAST_CARRIERS = 4
"""Fewest carriers in a half of the patients, and fewest pixels of a mark."""
MOST_CARRIERS = 0.6
"""Largest share of carriers: a mark of one of two classes is on about half of the images."""
SAME_IMAGES = 0.75
"""Share of the carriers of two candidates that both have, from which on the candidates count as on the same images."""
_MAX_CANDIDATES = 6
"""Candidates whose effects are compared."""
_N_CARRIERS, _N_RECIPIENTS = 6, 4
"""Images with and without a candidate whose patches are put on, and images that these are put on."""
_N_PER_CLASS = 4
"""Images with and without a candidate of each class, where patches are exchanged within classes."""
FIXED_PASSES = 2 * _MAX_CANDIDATES * 2 * _N_CARRIERS * _N_RECIPIENTS
"""Passes to choose between candidates at most, however many images there are."""
PASSES_PER_IMAGE = 2 + 1
"""Passes of each image after that: with patches of both groups, and without the findings that were removed."""


@dataclass(frozen=True, eq=False)
class Candidate(ABC):
    """Something that some images of a half of the patients carry.

    Attributes:
        carry: Whether each image carries it.
        distance: Distance of carriers from the others, in standard deviations.
    """

    carry: Bool[np.ndarray, " n"]
    distance: float

    @property
    @abstractmethod
    def region(self) -> Region:
        """The region that puts it on images, and removes it from them."""

    def shares_images(self, other: Candidate) -> bool:
        """Return whether another candidate is on the same images, but for few."""
        return bool(same_images(self.carry[None], other.carry[None])[0, 0])


Proposals = Callable[[SearchSample, SearchSample], Iterable[tuple[Candidate, Candidate]]]
"""Images of both halves of the patients -> pairs of a candidate as it is in either half, the most likely pair first."""


def same_images(first: Bool[np.ndarray, "p n"], second: Bool[np.ndarray, "q n"]) -> Bool[np.ndarray, "p q"]:
    """Return whether each of p sets of carriers is the same as each of q sets, but for few images."""
    common = first.astype(np.float32) @ second.T.astype(np.float32)
    either = first.sum(axis=1)[:, None] + second.sum(axis=1) - common
    return common >= SAME_IMAGES * either


def find_candidate(
    propose: Proposals,
    scores: Scores,
    sample: SearchSample,
    labels: Sequence[str] = ("",),
    threshold: float = 0.0,
    batch_size: int = BATCH_SIZE,
    *,
    within_class: bool = False,
) -> RegionFinding | Reason:
    """Return the candidate that is in both halves of the patients and changes scores most, or why there is none.

    Its effect is the change of an image's score with a patch of a carrier in place of a patch of another image. It is
    cross-fitted: a candidate of one half is measured on the other. The halves agree where their candidates are on the
    same images, wherever in the images.

    Args:
        propose: Proposes candidates.
        scores: The model.
        sample: The images.
        labels: Name of each score.
        threshold: Of one score: the log-odds from which an image is predicted to be positive.
        batch_size: Approximate number of images in a batch.
        within_class: Whether the patches that are compared are from images of the same class.
    """
    rows = divide_patients(sample)
    if isinstance(rows, Reason):
        return rows
    parts, model = [sample.take(rows_of_half) for rows_of_half in rows], CountedModel(scores, batch_size)
    pairs = list(islice(propose(parts[0], parts[1]), _MAX_CANDIDATES))
    if not pairs:
        return Reason.of(Code.NOTHING_DRAWN, least=LEAST_CARRIERS)
    height_and_width = sample.images.shape[2:]
    regions = [
        max((mark.region for mark in pair), key=lambda region: size_of(region, *height_and_width)) for pair in pairs
    ]
    effects = [
        [
            _carrier_effect(model, part, region, pair[half].carry, within_class)
            for pair, region in zip(pairs, regions, strict=True)
        ]
        for half, part in enumerate(parts)
    ]
    best = [
        max(range(len(pairs)), key=lambda at, effects_of_half=effects_of_half: float(np.abs(effects_of_half[at]).max()))
        for effects_of_half in effects
    ]
    if not _on_same_images(pairs[best[0]], pairs[best[1]]):  # the one that changes scores in both halves
        best = [int(np.abs(effects).max(axis=2).min(axis=0).argmax())] * 2
    best_effects = [effects_of_half[at] for effects_of_half, at in zip(effects, best, strict=True)]
    score_column = int(np.abs(best_effects).sum(axis=0).argmax())
    search_passes = model.passes
    halves: list[HalfFinding] = []
    for half, (same, other) in enumerate((parts, parts[::-1])):
        mark, region = pairs[best[half]][half], regions[best[half]]
        high = mark.carry if best_effects[half][score_column] > 0 else ~mark.carry
        groups = PatchGroups(np.full(len(high), np.nan), high, mark.distance, NORMAL_SEPARATION)
        exchanged = None if not within_class else _scores_with_patches_within_class(model, same, region, high, other)
        exchanged = exchanged or scores_with_patches(model, same, region, high, other, parts=False)
        high_and_low_scores = np.stack(exchanged.parts["whole"][::-1])[..., score_column] / sample.sd_within_classes
        as_donors = donor_contributions(
            high_and_low_scores[:, None], rows[half][exchanged.donors][:, None], other.target, len(sample.target)
        )
        halves.append(
            HalfFinding(
                rows[half], region, groups, high_and_low_scores[0] - high_and_low_scores[1], as_donors, exchanged
            )
        )
    halves_agree = _on_same_images(pairs[best[0]], pairs[best[1]]) and bool(
        best_effects[0][score_column] * best_effects[1][score_column] > 0
    )
    finding = verify(
        model, sample, (halves[0], halves[1]), halves_agree, score_column, search_passes, labels, threshold
    )
    return replace(finding, high_carries=bool(best_effects[0][score_column] > 0) if halves_agree else None)


def _on_same_images(pair: tuple[Candidate, Candidate], other: tuple[Candidate, Candidate]) -> bool:
    return all(mark.shares_images(another) for mark, another in zip(pair, other, strict=True))


def _scores_with_patches_within_class(
    model: CountedModel, donor_sample: SearchSample, region: Region, high: Bool[np.ndarray, " k"], sample: SearchSample
) -> ExchangedScores | None:
    """Return scores as `scores_with_patches`, with both patches of a recipient from images of one class.

    None where no class has both groups.
    """
    classes_with_both_groups = [
        code for code in np.unique(donor_sample.target) if len(np.unique(high[donor_sample.target == code])) == 2
    ]
    if not classes_with_both_groups:
        return None
    draws, donors = generator(donor_sample.seed, "patches"), np.empty((2, len(sample.target)), dtype=np.int64)
    donor_class = draws.permutation(np.resize(classes_with_both_groups, len(sample.target)))
    for rows, group in zip(donors, (~high, high), strict=True):
        for code in classes_with_both_groups:
            eligible = draws.permutation(np.flatnonzero(group & (donor_sample.target == code)))
            rows[donor_class == code] = np.resize(eligible, int((donor_class == code).sum()))
    parts = np.array_split(np.arange(len(sample.target)), -(-len(sample.target) // BATCH_SIZE))
    low_scores, high_scores = (
        sample.scores_from_outputs(
            model(region.put(sample.images[part], donor_sample.images[rows[part]]) for part in parts), [region]
        )
        for rows in donors
    )
    return ExchangedScores(donors[::-1], {"whole": (low_scores, high_scores)})


def _carrier_effect(
    model: CountedModel, sample: SearchSample, region: Region, carry: Bool[np.ndarray, " n"], within_class: bool
) -> Float[np.ndarray, " m"]:
    """Return the mean worth of patches of carriers less that of others, in standard deviations within class."""
    if within_class:
        classes = [sample.target == code for code in np.unique(sample.target)]
        pairs = [[np.flatnonzero(group & in_class)[:_N_PER_CLASS] for group in (carry, ~carry)] for in_class in classes]
        groups = [group for pair in pairs if all(map(len, pair)) for group in pair]
        groups = groups or [np.flatnonzero(group)[:_N_PER_CLASS] for group in (carry, ~carry)]
    else:
        groups = [np.flatnonzero(group)[:_N_CARRIERS] for group in (carry, ~carry)]
    effects = patch_scores(model, sample, region, np.concatenate(groups), _N_RECIPIENTS)
    means = [part.mean(axis=0) for part in np.split(effects, np.cumsum([len(group) for group in groups])[:-1])]
    return np.mean(means[::2], axis=0) - np.mean(means[1::2], axis=0)
