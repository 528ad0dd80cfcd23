"""Images of some patients with the scores of the model that is searched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import binary_dilation

from assay.audit.search.regions import Pixels, Region
from assay.core.reasons import Code, Reason
from assay.core.seeds import generator
from assay.probes.reader import read_ahead

Scores = Callable[[Pixels], Float[np.ndarray, "n ..."]]
"""Model outputs: images -> log-odds of the positive class, or of each class against the rest, in float64; of a
segmentation, the greatest log-odds of lesion in each cell of a grid."""
DONORS = 2
"""Donors of each class for each image on which an effect is measured."""
LEAST_IMAGES = 40
"""Images that a search needs."""
_MAX_CLASS_DISTANCE = 8.0
"""Standard deviations within class that classes are apart at most: an AUROC of 1 for any number of images."""
_MIN_RELATIVE_SD = 1e-6
"""Spread as a share of the largest score, below which scores vary by rounding alone."""
BATCH_SIZE = 64
"""Images in a batch."""
_CONTEXT = 1 / 8
"""Share of the image around a region whose cells a segmentation may rightly call by looking at the region."""


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
