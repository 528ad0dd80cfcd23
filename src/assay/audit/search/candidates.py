"""Leads by what images carry: a finder proposes carriers and a way to put it on; the rest is the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float

from assay.audit.search.regions import Region, size_of
from assay.audit.search.search import (
    AT_ONCE,
    ONE_NORMAL,
    CountedModel,
    ExchangedScores,
    HalfFinding,
    PatchGroups,
    RegionFinding,
    Scores,
    SearchSample,
    divide_patients,
    donor_contributions,
    patch_scores,
    put_on,
    verify,
)
from assay.core.reasons import Code, Reason
from assay.core.seeds import generator

# The exchange of a region with images of another class is a mean over images: a mark on a tenth of them moves it by a
# tenth. What some images carry and others do not is therefore looked for in the images alone, without a pass of the
# model, in both halves of the patients. The candidate that moves answers most is then measured as a region is.

LEAST_CARRIERS = 4
"""Images of a half that must carry a mark, and pixels that it must have."""
MOST_CARRIERS = 0.6
"""Share of images that may carry it: a mark of one class is on half of all, give or take."""
SAME_IMAGES = 0.75
"""Share that carriers have in common which are the same images."""
_MOST = 6
"""Candidates whose effects are compared."""
_CARRIERS, _RECIPIENTS = 6, 4
_OF_CLASS = 4
"""Carriers and others of each class, where both are of the same."""
FIXED_PASSES = 2 * _MOST * 2 * _CARRIERS * _RECIPIENTS
"""Images put through the model at most to choose between candidates."""
PASSES_PER_IMAGE = 2 + 1
"""Passes of an image after that: patches of both groups, and without what is held."""


@dataclass(frozen=True, eq=False)
class Candidate(ABC):
    """What some images of a half carry.

    Attributes:
        carry: Images that carry it.
        distance: Distance of carriers from the others, in standard deviations.
    """

    carry: Bool[np.ndarray, " n"]
    distance: float

    @property
    @abstractmethod
    def region(self) -> Region:
        """What puts it on images, and takes it off."""

    def shares_images(self, other: Candidate) -> bool:
        """Return whether another one is on the same images, but for few."""
        return bool(same_images(self.carry[None], other.carry[None])[0, 0])


Proposals = Callable[[SearchSample, SearchSample], Iterable[tuple[Candidate, Candidate]]]
"""A finder: both halves of the patients -> candidates, each as it is in both, the most likely ones first."""


def same_images(first: Bool[np.ndarray, "p n"], second: Bool[np.ndarray, "q n"]) -> Bool[np.ndarray, "p q"]:
    """Return which carriers are the same images, but for few."""
    common = first.astype(np.float32) @ second.T.astype(np.float32)
    either = first.sum(axis=1)[:, None] + second.sum(axis=1) - common
    return common >= SAME_IMAGES * either


def find_candidate(
    propose: Proposals,
    scores: Scores,
    sample: SearchSample,
    labels: Sequence[str] = ("",),
    threshold: float = 0.0,
    at_once: int = AT_ONCE,
    *,
    within_class: bool = False,
) -> RegionFinding | Reason:
    """Return the candidate that is in both halves of the patients and moves answers most, or why none is.

    Its effect is the change of an image's score with a carrier's patch for another's, on the other half. The halves
    agree where their candidates are on the same images, at whatever place.

    Args:
        propose: The finder.
        scores: The model.
        sample: The images.
        labels: Name of each score.
        threshold: Of one score: the log-odds from which an image is called positive.
        at_once: Images that the model gets at once, about.
        within_class: Whether a carrier's patch takes the place of one from an image of the same class.
    """
    rows = divide_patients(sample)
    if isinstance(rows, Reason):
        return rows
    parts, model = [sample.take(rows_of_half) for rows_of_half in rows], CountedModel(scores, at_once)
    pairs = list(islice(propose(parts[0], parts[1]), _MOST))
    if not pairs:
        return Reason.of(Code.NOTHING_DRAWN, least=LEAST_CARRIERS)
    sides = sample.images.shape[2:]
    regions = [max((mark.region for mark in pair), key=lambda region: size_of(region, *sides)) for pair in pairs]
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
    if not _same_thing(pairs[best[0]], pairs[best[1]]):  # two things: the one that moves answers in both halves
        best = [int(np.abs(effects).max(axis=2).min(axis=0).argmax())] * 2
    best_effects = [effects_of_half[at] for effects_of_half, at in zip(effects, best, strict=True)]
    score_at = int(np.abs(best_effects).sum(axis=0).argmax())
    searched = model.passes
    halves: list[HalfFinding] = []
    for half, (same, other) in enumerate((parts, parts[::-1])):
        mark, region = pairs[best[half]][half], regions[best[half]]
        high = mark.carry if best_effects[half][score_at] > 0 else ~mark.carry
        groups = PatchGroups(np.full(len(high), np.nan), high, mark.distance, ONE_NORMAL)
        answered = None if not within_class else _put_on_within_class(model, same, region, high, other)
        answered = answered or put_on(model, same, region, high, other, parts=False)
        ends = np.stack(answered.parts["whole"][::-1])[..., score_at] / sample.spread
        content_effects = donor_contributions(
            ends[:, None], rows[half][answered.donors][:, None], other.target, len(sample.target)
        )
        halves.append(HalfFinding(rows[half], region, groups, ends[0] - ends[1], content_effects, answered))
    agree = _same_thing(pairs[best[0]], pairs[best[1]]) and bool(
        best_effects[0][score_at] * best_effects[1][score_at] > 0
    )
    finding = verify(model, sample, (halves[0], halves[1]), agree, score_at, searched, labels, threshold)
    return replace(finding, high_carries=bool(best_effects[0][score_at] > 0) if agree else None)


def _same_thing(pair: tuple[Candidate, Candidate], other: tuple[Candidate, Candidate]) -> bool:
    return all(mark.shares_images(another) for mark, another in zip(pair, other, strict=True))


def _put_on_within_class(
    model: CountedModel, named: SearchSample, region: Region, high: Bool[np.ndarray, " k"], sample: SearchSample
) -> ExchangedScores | None:
    """Return answers as `put_on`, with both patches of an image from one class; None where no class has both groups."""
    both = [code for code in np.unique(named.target) if len(np.unique(high[named.target == code])) == 2]
    if not both:
        return None
    draws, donors = generator(named.seed, "patches"), np.empty((2, len(sample.target)), dtype=np.int64)
    turns = draws.permutation(np.resize(both, len(sample.target)))
    for rows, group in zip(donors, (~high, high), strict=True):
        for code in both:
            able = draws.permutation(np.flatnonzero(group & (named.target == code)))
            rows[turns == code] = np.resize(able, int((turns == code).sum()))
    parts = np.array_split(np.arange(len(sample.target)), -(-len(sample.target) // AT_ONCE))
    low, raised = (
        sample.scores_from_answers(
            model(region.put(sample.images[part], named.images[rows[part]]) for part in parts), [region]
        )
        for rows in donors
    )
    return ExchangedScores(donors[::-1], {"whole": (low, raised)})


def _carrier_effect(
    model: CountedModel, sample: SearchSample, region: Region, carry: Bool[np.ndarray, " n"], within_class: bool
) -> Float[np.ndarray, " m"]:
    """Return the worth of carriers' patches less that of others', in standard deviations within class."""
    if within_class:
        classes = [sample.target == code for code in np.unique(sample.target)]
        pairs = [[np.flatnonzero(group & of)[:_OF_CLASS] for group in (carry, ~carry)] for of in classes]
        groups = [group for pair in pairs if all(map(len, pair)) for group in pair]
        groups = groups or [np.flatnonzero(group)[:_OF_CLASS] for group in (carry, ~carry)]
    else:
        groups = [np.flatnonzero(group)[:_CARRIERS] for group in (carry, ~carry)]
    effects = patch_scores(model, sample, region, np.concatenate(groups), _RECIPIENTS)
    means = [part.mean(axis=0) for part in np.split(effects, np.cumsum([len(group) for group in groups])[:-1])]
    return np.mean(means[::2], axis=0) - np.mean(means[1::2], axis=0)
