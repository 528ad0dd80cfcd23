"""Attribution maps of chosen images and their overlap with lesions."""

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
from assay.probes.reader import batch_of
from assay.shifts.environment import Environment, PickedImages, PickedMasks

# The images that show lesions, and which pixels are which lesion's: by kind and by size.

SIZES = ("small", "medium", "large")
"""Thirds of the lesions shown, by area."""
_BATCH = 256
_IN_PLANE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Pixels that touch within an image, at corners too; never those of two images."""


@dataclass(frozen=True)
class Part:
    """Some lesions of the images: of a kind or of a size; of any where both are empty."""

    kind: str
    size: str
    masks: Bool[np.ndarray, "n h w"]


@dataclass(frozen=True)
class LesionImages:
    """Images with a lesion.

    Attributes:
        of_kind: A plane for each of `kinds`, which may overlap.
        name, rows: Of the environment they are from, and their positions there.
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

    def parts(self) -> Iterator[Part]:
        """Return all lesions; where there are several kinds each of them; the thirds by size, where sizes differ."""
        yield Part("", "", self.lesion)
        if len(self.kinds) > 1:
            for number, kind in enumerate(self.kinds):
                yield Part(kind, "", self.of_kind[:, number])
        third, number = self.thirds()
        for rank, size in enumerate(SIZES):
            if (third == rank).any() and len(np.unique(third)) > 1:
                yield Part("", size, np.append(third == rank, False)[number - 1])

    def thirds(self) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, "n h w"]]:
        """Which third by area each lesion is in, and which lesion, from 1, each pixel belongs to.

        A lesion is a connected region, of any kinds. Lesions of one area lie in one third.
        """
        number, lesions = _number_lesions(self.lesion)
        area = np.bincount(number.ravel(), minlength=lesions + 1)[1:]
        return np.searchsorted(np.quantile(area, (1 / 3, 2 / 3)), area), number

    def areas(self) -> dict[str, float]:
        """Mean area in px of the lesions of each size."""
        third, number = self.thirds()
        area = np.bincount(number.ravel(), minlength=len(third) + 1)[1:]
        return {size: float(area[third == rank].mean()) for rank, size in enumerate(SIZES) if (third == rank).any()}


@dataclass(frozen=True)
class MaskLesions:
    """`Lesions` as label maps tell them."""

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
    """Where lesions lie, by kind as far as that is known; None where nothing says it."""
    if environment.lesions is not None:
        return environment.lesions
    return None if environment.masks is None else MaskLesions(environment.masks)


def choose_images(environment: Environment, images: int) -> LesionImages | None:
    """Up to so many images that show a lesion, the same ones for every model; None where there is none.

    They have the smallest of numbers drawn from the row alone. Without masks or boxes none is known to show one.
    """
    lesions = lesions_of(environment)
    if lesions is None:
        return None
    order = np.argsort(row_uniform(0, "attribution", environment.table.row), kind="stable")
    chosen = np.sort(_with_lesion(lesions, order, images))
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


def _with_lesion(lesions: Lesions, order: Int[np.ndarray, " n"], wanted: int) -> Int[np.ndarray, " m"]:
    """Return the first so many positions that show one, in this order; no more are looked at than it takes."""
    positions = np.empty(0, np.int64)
    for start in range(0, len(order), _BATCH):
        index = order[start : start + _BATCH]
        positions = np.concatenate([positions, index[lesions.read(index).flatten(1).any(dim=1).numpy()]])
        if len(positions) >= wanted:
            break
    return positions[:wanted]


def _number_lesions(lesion: Bool[np.ndarray, "n h w"]) -> tuple[Int[np.ndarray, "n h w"], int]:
    labeled, count = ndimage.label(lesion, structure=_IN_PLANE)  # pyright: ignore[reportGeneralTypeIssues]
    return labeled, int(count)


# The images whose maps are asked for, brought to a model batch by batch.


@dataclass(frozen=True)
class Sample:
    """Images with their class, their patient and the pixels of their lesions, on a device when they are read."""

    images: Images
    labels: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    lesion: Bool[np.ndarray, "n h w"]
    device: str

    @classmethod
    def of(cls, chosen: LesionImages, device: str) -> Sample:
        """Return all images that were chosen."""
        environment = chosen.environment
        return cls(environment.images, environment.table.target, environment.table.patient, chosen.lesion, device)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Sample:
        """So many of them; they are in the order of their rows."""
        index = np.arange(min(count, len(self)))
        images = PickedImages(self.images, index)
        return Sample(images, self.labels[index], self.patient[index], self.lesion[index], self.device)

    def batches(self) -> Iterator[tuple[slice, Float[Tensor, "b c h w"], Int[Tensor, " b"]]]:
        """Which images, their pixels, their classes."""
        step = batch_of(self.device, self.images.shape)
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.images.read(np.arange(rows.start, rows.stop)).to(self.device), self._classes(rows)

    def subject(self, network: torch.nn.Module) -> ExplainedNetwork:
        """Return the network with the steps that it goes through on the first of them."""
        return ExplainedNetwork.of(network, next(self.first(1).batches())[1])

    def maps(self, explainer: Explainer, subject: ExplainedNetwork) -> Float[np.ndarray, "n h w"]:
        """Return the heat-map of every image, for its own class."""
        parts = [explainer.explain(subject, pixels, labels) for _, pixels, labels in self.batches()]
        return torch.cat(parts).detach().float().cpu().numpy()

    @torch.no_grad()
    def fall(self, changed: Float[np.ndarray, "n c h w"], subject: ExplainedNetwork) -> Float[np.ndarray, " n"]:
        """Loss of the log-odds of each image's own class when the image is changed to this."""
        falls: list[Tensor] = []
        for rows, pixels, labels in self.batches():
            other = tensor_of(changed[rows]).to(pixels.device)
            falls.append(subject.score(pixels, labels) - subject.score(other, labels))
        return torch.cat(falls).double().cpu().numpy()

    def _classes(self, rows: slice) -> Int[Tensor, " b"]:
        return tensor_of(np.ascontiguousarray(self.labels[rows], dtype=np.int64)).to(self.device)


# How far heat-maps lie on masks: pure functions of batches of maps.
#
# All that depends on ranks is had from how many pixels lie above each value that a pixel of the mask has: the mask's
# values alone are sorted, and each other pixel finds its place among them.

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
    """Return the scores of heat-maps, by the size of their values whatever the sign.

    Args:
        ignored: Pixels that do not count, such as lesions that are not asked about. Where values tie, the mean over all
            their orders is given (of precision: they enter together), so that a map that is the same everywhere, 0 too,
            scores its area in all. NaN for a map with NaN, for a mask that is empty, and for one that leaves nothing
            outside it.
    """
    flat = len(maps), maps.shape[1] * maps.shape[2]
    size = np.abs(maps, dtype=np.float32).reshape(flat)
    part = masks.reshape(flat).astype(np.int8)  # 1 in the mask, 0 outside, -1 where it does not count
    if ignored is not None:
        part[ignored.reshape(flat)] = -1
    return LocalizationScores(*_score_images(size, part).T)


@compiled
def _score_images(size: Float[np.ndarray, "n p"], part: Int[np.ndarray, "n p"]) -> Float[np.ndarray, "n 5"]:
    """Return the scores of each image in the order of `LocalizationScores`."""
    scores = np.zeros((len(size), 5))
    for i in range(len(size)):
        total, inside, lesion, pixels = 0.0, 0.0, 0, 0
        for p in range(size.shape[1]):
            if part[i, p] >= 0:
                total += size[i, p]
                inside += size[i, p] * part[i, p]
                lesion += part[i, p]
                pixels += 1
        scores[i, 4] = lesion / pixels if pixels else np.nan
        if lesion == 0 or lesion == pixels or not np.isfinite(total):
            scores[i, :4] = np.nan
            continue
        scores[i, 0] = inside / total if total > 0 else scores[i, 4]
        values, times = _levels(np.sort(size[i][part[i] == 1]))
        _down(times, *_beside(size[i], part[i], values), scores[i])
    return scores


@compiled
def _beside(
    size: Float[np.ndarray, " p"], part: Int[np.ndarray, " p"], values: Float[np.ndarray, " l"]
) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " m"]]:
    """Pixels outside the mask with each of its values, and those above the value before and below each one."""
    most = len(values)
    tied, between = np.zeros(most, np.int64), np.zeros(most + 1, np.int64)
    for p in range(len(size)):
        value = size[p]
        if part[p] == 0 and value >= values[0]:
            low, steps_left = 0, most
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
def _levels(ordered: Float[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " l"], Int[np.ndarray, " l"]]:
    """Return the distinct values of the mask's pixels, rising, and how many of them have each."""
    values, times, distinct = np.empty_like(ordered), np.zeros(len(ordered), np.int64), 0
    for value in ordered:
        if distinct == 0 or values[distinct - 1] != value:
            values[distinct] = value
            distinct += 1
        times[distinct - 1] += 1
    return values[:distinct], times[:distinct]


@compiled
def _down(
    times: Int[np.ndarray, " l"],
    tied: Int[np.ndarray, " l"],
    between: Int[np.ndarray, " m"],
    scores: Float[np.ndarray, " 5"],
) -> None:
    """Adds up the scores of an image, from the greatest value of the mask's pixels down.

    Args:
        times: Pixels of the mask with each value.
        tied: Pixels outside it with that value.
        between: Those above the value before and below this one; the last, above all.
    """
    lesion, hits, pixels_seen = times.sum(), 0, between[-1]
    for level in range(len(times) - 1, -1, -1):
        here = times[level] + tied[level]
        scores[1] += times[level] * min(max((lesion - pixels_seen) / here, 0.0), 1.0) / lesion
        if pixels_seen == 0:
            scores[2] = times[level] / here
        hits += times[level]
        pixels_seen += here
        scores[3] += times[level] / lesion * hits / pixels_seen
        pixels_seen += between[level]
