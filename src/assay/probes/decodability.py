"""What a model carries: which factors a linear decoder can read from each of its layers."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from assay.core.types import Measurement, undefined
from assay.data.dataset import Images
from assay.probes.decoding import Score, Space, scored
from assay.probes.probe import Model, Reading, Request, Scope
from assay.probes.questions import Task, folds_by_patient, tasks_of
from assay.shifts.environment import Environment, Scene

TRAINED, UNTRAINED, PIXELS = "trained", "untrained", "pixels"
INDEPENDENT = "independent"
SIDE = 8
"""Raw pixels are averaged to this many squares a side, the reference of what needs no network."""


class Decodability:
    """Implements `Probe`. What is claimed is encoding: a factor that can be decoded need not be used.

    Measures `decodability` of each factor from each of the model's layers on held-out patients, as an AUROC in 0..1,
    chance .5: the probability that the decoder ranks an image that has the quality above one that has not. The quality
    of a continuous or ordinal factor is to lie in its upper half, of a categorical one to have the level (mean over
    levels). One scale for all kinds, so that factors compare; R2 would depend on each factor's spread.

    group: `trained`; and as references `untrained` (the same network before training, where the model says how to
    build it), `shuffled` (the trained layer, the factor's values permuted) and `pixels` (8 x 8 averages, no layer).
    environment: `independent` (the scene's own, where factors and target are independent as far as the data allow) or
    the name of a test environment. Only on a phantom's independent rows is a factor free of the target by how they are
    drawn; on all others it is fitted and tested within each class and the mean taken, and `unit` says "AUROC within
    class".
    folds: patients are dealt into so many, by the model's seed; pairs of images are compared within a fold only.
    Decoders are ridge regressions (`ridge.held_out`). n counts the images with a value; those without are counted by a
    measurement `missing`. Standard errors are over patients, with the decoders held.

    NaN with the reason: a factor that is constant or that fewer patients have than folds, a constant layer.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(self, *, folds: int = 5, environment: str = INDEPENDENT) -> None:
        self.folds = folds
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """One environment, all layers, of the trained and the untrained network."""
        asked = Request(self._environment(scene), model.layers)
        return (asked,) if model.untrained is None else (asked, replace(asked, untrained=True))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """By factor, then by representation."""
        model, environment = reading.model, self._environment(scene)
        if not model.layers:
            return [undefined("decodability", "the model names no layers to read", environment=environment.name)]
        table = environment.table
        within_class = self._within_class(scene)
        tasks = tasks_of(table, self.folds, within_class)
        fold = folds_by_patient(table.patient, self.folds, model.seed)
        scores = scored(_spaces(reading, environment), tasks, fold, table.patient, model.seed)
        found: list[Measurement] = []
        for task in tasks:
            found += [_measured(task, score, environment, within_class) for score in scores[task.factor]]
            found += _missing(task, environment)
        return found

    def _within_class(self, scene: Scene) -> bool:
        return not (self.environment == INDEPENDENT and scene.has_phantom)

    def _environment(self, scene: Scene) -> Environment:
        return scene.independent() if self.environment == INDEPENDENT else scene.environment(self.environment)


def low_resolution(images: Images, batch: int = 256) -> Float[np.ndarray, "n d"]:
    """Every image averaged to 8 x 8 squares per channel, as a vector."""
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        pixels = images.read(np.arange(start, min(start + batch, len(images))))
        parts.append(torch.nn.functional.adaptive_avg_pool2d(pixels, SIDE).flatten(1).numpy())
    return np.concatenate(parts)


def _spaces(reading: Reading, environment: Environment) -> list[Space]:
    model = reading.model
    trained = reading.read(environment).activations
    spaces = [Space(TRAINED, layer, trained[layer], also_shuffled=True) for layer in model.layers]
    if model.untrained is not None:
        blank = reading.read(environment, untrained=True).activations
        spaces += [Space(UNTRAINED, layer, blank[layer]) for layer in model.layers]
    return [*spaces, Space(PIXELS, "", low_resolution(environment.images))]


def _measured(task: Task, score: Score, environment: Environment, within_class: bool) -> Measurement:
    return Measurement(
        "decodability",
        score.value,
        environment=environment.name,
        factor=task.factor,
        layer=score.layer,
        group=score.group,
        unit="AUROC within class" if within_class else "AUROC",
        n=len(task.rows),
        patients=len(np.unique(environment.table.patient[task.rows])),
        standard_error=score.error,
        chance=0.5,
        reason=score.reason,
    )


def _missing(task: Task, environment: Environment) -> list[Measurement]:
    """How many images had no value of the factor, where any."""
    if not task.missing:
        return []
    count, n = float(task.missing), len(environment)
    return [Measurement("missing", count, environment=environment.name, factor=task.factor, unit="images", n=n)]
