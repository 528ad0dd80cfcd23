"""Images with lesions, their heat maps, and the overlap of maps with lesions.

Lesions come from the masks or boxes of an environment, maps from an `Explainer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from assay.core.compiled import compiled
from assay.core.seeds import row_uniform
from assay.data.dataset import Images, Lesions, Masks
from assay.models.untyped import tensor_of
from assay.probes.explainers import ExplainedNetwork, Explainer
from assay.probes.reader import batch_size_for
from assay.shifts.environment import Environment, PickedImages, PickedMasks

# The images that show lesions, and the pixels of each lesion, by kind and by size.

SIZES = ("small", "medium", "large")
"""Thirds of the lesions shown, by area."""
_BATCH = 256
_IN_PLANE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Pixels that touch within an image, at corners too; never those of two images."""


@dataclass(frozen=True)
class LesionSubset:
    """Some lesions of the images: those of a kind or of a size; all where both are empty."""

    kind: str
    size: str
    masks: Bool[np.ndarray, "n h w"]


@dataclass(frozen=True)
class LesionImages:
    """Images with a lesion.

    Attributes:
        environment: These images as an environment of their own.
        name: Name of the environment that they are from.
        rows: Their positions there.
        of_kind: Pixels of lesions, a plane for each of `kinds`; planes may overlap.
        kinds: Names of the kinds of lesions.
    """

    environment: Environment
    name: str
    rows: Int[np.ndarray, " n"]
    of_kind: Bool[np.ndarray, "n k h w"]
    kinds: tuple[str, ...]

    @cached_property
    def lesion(self) -> Bool[np.ndarray, "n h w"]:
        """Pixels of any lesion."""
        return np.logical_or.reduce(self.of_kind, axis=1)

    def subsets(self) -> Iterator[LesionSubset]:
        """Yield all lesions, then each kind where there are several, then each third by size where sizes differ."""
        yield LesionSubset("", "", self.lesion)
        if len(self.kinds) > 1:
            for number, kind in enumerate(self.kinds):
                yield LesionSubset(kind, "", self.of_kind[:, number])
        third, number = self.thirds()
        for rank, size in enumerate(SIZES):
            if (third == rank).any() and len(np.unique(third)) > 1:
                yield LesionSubset("", size, np.append(third == rank, False)[number - 1])

    def thirds(self) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, "n h w"]]:
        """Return the third by area of each lesion (0 to 2), and the number of each pixel's lesion (from 1; 0 for none).

        A lesion is a connected region of any kinds. Lesions of equal area are in the same third.
        """
        number, lesions = _number_lesions(self.lesion)
        area = np.bincount(number.ravel(), minlength=lesions + 1)[1:]
        return np.searchsorted(np.quantile(area, (1 / 3, 2 / 3)), area), number

    def areas(self) -> dict[str, float]:
        """Return size -> mean area of its lesions in px."""
        third, number = self.thirds()
        area = np.bincount(number.ravel(), minlength=len(third) + 1)[1:]
        return {size: float(area[third == rank].mean()) for rank, size in enumerate(SIZES) if (third == rank).any()}


@dataclass(frozen=True)
class MaskLesions:
    """Implements `Lesions` for label maps."""

    masks: Masks

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        return self.masks.kinds

    def __len__(self) -> int:
        return len(self.masks)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """Return a plane per kind at these positions, in this order."""
        return self.masks.read(index) == torch.arange(1, len(self.kinds) + 1)[:, None, None]


def lesions_of(environment: Environment) -> Lesions | None:
    """Return the lesions of an environment, from boxes or masks; None without either."""
    if environment.lesions is not None:
        return environment.lesions
    return None if environment.masks is None else MaskLesions(environment.masks)


def choose_images(environment: Environment, max_images: int) -> LesionImages | None:
    """Return up to `max_images` images that show a lesion; None where there is none, or no masks or boxes.

    They are the ones with the smallest random numbers, which depend on the row alone: the same for every model.
    """
    lesions = lesions_of(environment)
    if lesions is None:
        return None
    order = np.argsort(row_uniform(0, "attribution", environment.table.row), kind="stable")
    chosen = np.sort(_with_lesion(lesions, order, max_images))
    if not len(chosen):
        return None
    return LesionImages(
        Environment(
            f"(lesions in {environment.name})",
            environment.table.take(chosen),
            PickedImages(environment.images, chosen),
            None if environment.masks is None else PickedMasks(environment.masks, chosen),
            (),
        ),
        environment.name,
        chosen,
        lesions.read(chosen).numpy(),
        lesions.kinds,
    )


def _with_lesion(lesions: Lesions, order: Int[np.ndarray, " n"], max_images: int) -> Int[np.ndarray, " m"]:
    """Return the first positions in this order that show a lesion, reading no more images than needed."""
    positions = np.empty(0, np.int64)
    for start in range(0, len(order), _BATCH):
        index = order[start : start + _BATCH]
        positions = np.concatenate([positions, index[lesions.read(index).flatten(1).any(dim=1).numpy()]])
        if len(positions) >= max_images:
            break
    return positions[:max_images]


def _number_lesions(lesion: Bool[np.ndarray, "n h w"]) -> tuple[Int[np.ndarray, "n h w"], int]:
    labeled, count = ndimage.label(lesion, structure=_IN_PLANE)  # pyright: ignore[reportGeneralTypeIssues]
    return labeled, int(count)


# The images that are explained, in batches on the device of a model.


@dataclass(frozen=True)
class LesionSample:
    """Images with their classes, patients and pixels of lesions; batches of them are on a device."""

    images: Images
    labels: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    lesion: Bool[np.ndarray, "n h w"]
    device: str

    @classmethod
    def of(cls, chosen: LesionImages, device: str) -> LesionSample:
        """Return all images of `choose_images`."""
        environment = chosen.environment
        return cls(environment.images, environment.table.target, environment.table.patient, chosen.lesion, device)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> LesionSample:
        """Return the first images, in the order of their rows."""
        index = np.arange(min(count, len(self)))
        images = PickedImages(self.images, index)
        return LesionSample(images, self.labels[index], self.patient[index], self.lesion[index], self.device)

    def batches(self) -> Iterator[tuple[slice, Float[Tensor, "b c h w"], Int[Tensor, " b"]]]:
        """Yield batches: positions, pixels, classes."""
        step = batch_size_for(self.device, self.images.shape)
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.images.read(np.arange(rows.start, rows.stop)).to(self.device), self._classes(rows)

    def subject(self, network: torch.nn.Module) -> ExplainedNetwork:
        """Return the network with its steps on the first image."""
        return ExplainedNetwork.of(network, next(self.first(1).batches())[1])

    def maps(self, explainer: Explainer, subject: ExplainedNetwork) -> Float[np.ndarray, "n h w"]:
        """Return the heat-map of every image, for its own class."""
        parts = [explainer.explain(subject, pixels, labels) for _, pixels, labels in self.batches()]
        return torch.cat(parts).detach().float().cpu().numpy()

    @torch.no_grad()
    def log_odds_drop(
        self, changed: Float[np.ndarray, "n c h w"], subject: ExplainedNetwork
    ) -> Float[np.ndarray, " n"]:
        """Return the loss of the log-odds of each image's class when the image is replaced by its changed version."""
        drops: list[Tensor] = []
        for rows, pixels, labels in self.batches():
            other = tensor_of(changed[rows]).to(pixels.device)
            drops.append(subject.score(pixels, labels) - subject.score(other, labels))
        return torch.cat(drops).double().cpu().numpy()

    def _classes(self, rows: slice) -> Int[Tensor, " b"]:
        return tensor_of(np.ascontiguousarray(self.labels[rows], dtype=np.int64)).to(self.device)


# Overlap of heat maps with masks: pure functions of batches of maps.
#
# Scores by rank need only how many pixels are above each value of a pixel in the mask. So only the values in the mask
# are sorted, and every other pixel is searched among them.

MEASURES = ("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision")


class LocalizationScores(NamedTuple):
    """Scores of each image, 0 to 1, NaN where undefined; `area` is the chance level of each.

    Attributes:
        mass: The part of the map's sum that is in the mask (Arras et al. 2022).
        rank: Of as many of the greatest pixels as the mask has, the share that is in it (the same).
        pointing: 1 where the greatest pixel is in it (Zhang et al. 2018, without a tolerance).
        precision: The average precision of the pixels, the mask being the truth.
        area: The mask's share of the pixels that count.
    """

    mass: Float[np.ndarray, " n"]
    rank: Float[np.ndarray, " n"]
    pointing: Float[np.ndarray, " n"]
    precision: Float[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]


def localization(
    maps: Float[np.ndarray, "n h w"],
    masks: Bool[np.ndarray, "n h w"],
    ignored: Bool[np.ndarray, "n h w"] | None = None,
) -> LocalizationScores:
    """Return the scores of heat maps by the absolute values of their pixels.

    Where values tie, the score is the mean over all orders of them (of precision: they enter together). So a constant
    map, 0 included, has the area as every score. NaN for a map with NaN, an empty mask and a mask of all pixels.

    Args:
        maps: Heat maps.
        masks: Pixels of lesions.
        ignored: Pixels that do not count, such as those of other lesions.
    """
    shape = len(maps), maps.shape[1] * maps.shape[2]
    size = np.abs(maps, dtype=np.float32).reshape(shape)
    membership = masks.reshape(shape).astype(np.int8)  # 1 in the mask, 0 outside, -1 where it does not count
    if ignored is not None:
        membership[ignored.reshape(shape)] = -1
    return LocalizationScores(*_score_images(size, membership).T)


@compiled
def _score_images(size: Float[np.ndarray, "n p"], membership: Int[np.ndarray, "n p"]) -> Float[np.ndarray, "n 5"]:
    """Return the scores of each image in the order of `LocalizationScores`."""
    scores = np.zeros((len(size), 5))
    for i in range(len(size)):
        total, inside, lesion, pixels = 0.0, 0.0, 0, 0
        for p in range(size.shape[1]):
            if membership[i, p] >= 0:
                total += size[i, p]
                inside += size[i, p] * membership[i, p]
                lesion += membership[i, p]
                pixels += 1
        scores[i, 4] = lesion / pixels if pixels else np.nan
        if lesion == 0 or lesion == pixels or not np.isfinite(total):
            scores[i, :4] = np.nan
            continue
        scores[i, 0] = inside / total if total > 0 else scores[i, 4]
        values, counts = _count_values(np.sort(size[i][membership[i] == 1]))
        _add_scores(counts, *_count_outside(size[i], membership[i], values), scores[i])
    return scores


@compiled
def _count_outside(
    size: Float[np.ndarray, " p"], membership: Int[np.ndarray, " p"], values: Float[np.ndarray, " l"]
) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " m"]]:
    """Count the pixels outside the mask that have each of its values, and those between neighboring values."""
    levels = len(values)
    tied, between = np.zeros(levels, np.int64), np.zeros(levels + 1, np.int64)
    for p in range(len(size)):
        value = size[p]
        if membership[p] == 0 and value >= values[0]:
            low, steps_left = 0, levels
            while steps_left > 1:  # a search by halves with a fixed number of steps
                half = steps_left >> 1
                low += half * (values[low + half] <= value)
                steps_left -= half
            if values[low] == value:
                tied[low] += 1
            else:
                between[low + 1] += 1
    return tied, between


@compiled
def _count_values(ordered: Float[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " l"], Int[np.ndarray, " l"]]:
    """Return the distinct values of the mask's pixels in rising order, and the number of pixels with each."""
    values, counts, distinct = np.empty_like(ordered), np.zeros(len(ordered), np.int64), 0
    for value in ordered:
        if distinct == 0 or values[distinct - 1] != value:
            values[distinct] = value
            distinct += 1
        counts[distinct - 1] += 1
    return values[:distinct], counts[:distinct]


@compiled
def _add_scores(
    counts: Int[np.ndarray, " l"],
    tied: Int[np.ndarray, " l"],
    between: Int[np.ndarray, " m"],
    scores: Float[np.ndarray, " 5"],
) -> None:
    """Add up the scores of an image in place, from the greatest value of the mask's pixels down.

    Args:
        counts: Pixels of the mask with each value.
        tied: Pixels outside the mask with each value.
        between: Pixels outside the mask between the previous value and each value; last, those above all values.
        scores: Scores of the image, in the order of `LocalizationScores`.
    """
    lesion, hits, pixels_seen = counts.sum(), 0, between[-1]
    for level in range(len(counts) - 1, -1, -1):
        here = counts[level] + tied[level]
        scores[1] += counts[level] * min(max((lesion - pixels_seen) / here, 0.0), 1.0) / lesion
        if pixels_seen == 0:
            scores[2] = counts[level] / here
        hits += counts[level]
        pixels_seen += here
        scores[3] += counts[level] / lesion * hits / pixels_seen
        pixels_seen += between[level]
