"""Where heat-maps lie: on the lesion or beside it. What they lie on is attended, which is not to say used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float

from assay.core.axes import label
from assay.core.measures import NEUTRAL
from assay.core.nested import named
from assay.core.registry import build
from assay.core.types import Measurement, undefined
from assay.probes.explainers.explainer import Explainer, Subject
from assay.probes.localisation import MEASURES, Localised, localised
from assay.probes.probe import Model, Reading, Request, Scope
from assay.probes.reading import batch_of, evaluating
from assay.probes.shown import Part, Shown, shown
from assay.probes.uncertainty import mean_with_error, patients
from assay.recipes.untyped import tensor_of
from assay.shifts.environment import Environment, Scene

CENTRE = "centre-prior"
"""The name of a map that says: in the middle."""
SPREAD = 0.25
"""Standard deviation of the centre prior, as a share of each side."""
_FIRST = 2
"""Images on which the steps of a network are looked at."""


@dataclass(frozen=True)
class _Method:
    """An explainer by the name that tables have for it."""

    name: str
    explainer: Explainer


class Attribution:
    """Implements `Probe`. What is claimed is where a map lies (*attended*); it says nothing of what is used.

    Of up to `images` images that show a lesion, each explainer maps the log-odds of the image's own class (the class of
    its target, whatever the model calls it). Each map is scored against the lesion's mask by `mass-accuracy`,
    `rank-accuracy`, `pointing-game` and `pixel-average-precision` (see `localised`), all from 0 to 1 and all, of a map
    that knows nothing, the lesion's share of the image: `chance` is its mean over the same images.

    factor: the explainer, or `centre-prior`, a bell in the middle that has seen no image. group: the kind of lesion
    where there are several. level: small, medium or large, the thirds of all lesions shown by area; `lesion-pixels` is
    their mean area. Where one kind or size is asked about, pixels of other lesions do not count.

    environment: `(neutral)`, rows in which no named factor but the core one is tied to the target; or a test
    environment. Standard errors are over patients. NaN with the reason: no masks, no image with a lesion, a network
    that gives logits of pixels, an explainer that does not support the network (with what does), a heat-map with NaN.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        explainers: Sequence[str | Mapping[str, Any]] = ("gradient", "integrated-gradients", "grad-cam"),
        images: int = 128,
        environment: str = NEUTRAL,
        code: Sequence[str] = (),
    ) -> None:
        given = [named("explainer", one) for one in explainers]
        parts = [(label(one), *next(iter(one.items()))) for one in given]
        self.methods = tuple(_Method(called, build("explainer", name, params)) for called, name, params in parts)
        self.images = images
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """The images with a lesion, so that a model which cannot be read is refused as ever."""
        found = shown(self._environment(scene), self.images)
        return () if found is None else (Request(found.environment),)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """The centre prior, then each explainer."""
        environment = self._environment(scene)
        place = Measurement("", 0.0, environment=environment.name)
        found = shown(environment, self.images)
        if found is None:
            reason = "no image shows a lesion" if environment.masks is not None else "the images have no masks"
            return self._undefined(reason, place)
        if reading.read(found.environment).maps:
            return self._undefined("the model gives logits of pixels, whose map says itself where a lesion is", place)
        parts, sample = list(found.parts()), _Sample(found, reading.model.device)
        measured = [
            replace(place, measure="lesion-pixels", level=size, value=area, unit="px")
            for size, area in found.areas().items()
        ]
        measured += _scored(centre_prior(found.lesion.shape), parts, sample, replace(place, factor=CENTRE))
        with evaluating(reading.model.network):
            subject = Subject.of(reading.model.network, sample.pixels(slice(_FIRST)))
            for method in self.methods:
                here = replace(place, factor=method.name)
                if refusal := method.explainer.refusal(subject):
                    measured += [_without(here, name, refusal) for name in MEASURES]
                else:
                    measured += _scored(sample.explained(method.explainer, subject), parts, sample, here)
        return measured

    def _environment(self, scene: Scene) -> Environment:
        return scene.neutral() if self.environment == NEUTRAL else scene.environment(self.environment)

    def _undefined(self, reason: str, place: Measurement) -> list[Measurement]:
        names = (CENTRE, *(method.name for method in self.methods))
        return [_without(replace(place, factor=name), measure, reason) for name in names for measure in MEASURES]


class _Sample:
    """The images that are explained, brought to the model's device batch by batch."""

    def __init__(self, found: Shown, device: str) -> None:
        self.lesion = found.lesion
        self.table = found.environment.table
        self.device = device
        self._images = found.environment.images
        self._step = batch_of(device, found.environment.images.shape)

    def pixels(self, rows: slice) -> torch.Tensor:
        """Some of the images."""
        return self._images.read(np.arange(len(self.table))[rows]).to(self.device)

    def explained(self, explainer: Explainer, subject: Subject) -> Float[np.ndarray, "n h w"]:
        """The heat-map of every image, for its own class."""
        return np.concatenate([maps.cpu().numpy() for maps in self._explained(explainer, subject)])

    def _explained(self, explainer: Explainer, subject: Subject) -> Iterator[torch.Tensor]:
        own = tensor_of(self.table.target).to(self.device)
        for start in range(0, len(self.table), self._step):
            rows = slice(start, start + self._step)
            yield explainer.explain(subject, self.pixels(rows), own[rows]).detach().float()


def centre_prior(shape: tuple[int, ...]) -> Float[np.ndarray, "n h w"]:
    """A bell around the middle of every image, as wide and as high as the image is."""
    n, height, width = shape
    down, along = (np.exp(-0.5 * (((np.arange(side) + 0.5) / side - 0.5) / SPREAD) ** 2) for side in (height, width))
    return np.broadcast_to(np.outer(down, along).astype(np.float32), (n, height, width))


def _scored(
    maps: Float[np.ndarray, "n h w"], parts: Sequence[Part], sample: _Sample, place: Measurement
) -> Iterator[Measurement]:
    """Every score of an explainer's maps, by kind and by size."""
    broken = int((~np.isfinite(maps).all(axis=(1, 2))).sum())
    empty = int((maps == 0).all(axis=(1, 2)).sum())
    said = f"{empty} of {len(maps)} maps are 0 everywhere and count as knowing nothing" if empty else ""
    for part in parts:
        here = replace(place, group=part.kind, level=part.size, unit="share", direction="higher", reason=said)
        if broken:
            reason = f"{broken} of {len(maps)} heat-maps hold NaN or infinity"
            yield from (_without(here, name, reason) for name in MEASURES)
            continue
        whole = not (part.kind or part.size)
        scores = localised(maps, part.masks, None if whole else sample.lesion & ~part.masks)
        yield from _means(scores, sample.table.patient, here)


def _means(scores: Localised, patient: np.ndarray, place: Measurement) -> Iterator[Measurement]:
    """Means over the images in which the lesions asked about are seen beside something else."""
    known = ~np.isnan(scores.mass)
    for name, values in zip(MEASURES, scores, strict=False):
        if not known.any():
            yield _without(place, name, "no image shows such a lesion with anything beside it")
            continue
        value, error = mean_with_error(values[known], patient[known])
        yield replace(
            place,
            measure=name,
            value=value,
            standard_error=error,
            chance=float(scores.area[known].mean()),
            n=int(known.sum()),
            patients=patients(patient[known]),
        )


def _without(place: Measurement, measure: str, reason: str) -> Measurement:
    bare = undefined(measure, reason, environment=place.environment, factor=place.factor, group=place.group)
    return replace(bare, level=place.level)
