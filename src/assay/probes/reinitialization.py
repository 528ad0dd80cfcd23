"""Measure which layers' trained values matter: the loss of performance when one layer is reset or permuted.

The network, also as it was before training, comes from a `Model`. After Zhang, Bengio and Singer (2022), Are all layers
created equal?
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import ReadingError
from assay.core.measures import MEASURES, NEUTRAL, Measure, register_measures
from assay.core.reasons import Code, Reason, reason_in_words
from assay.core.registry import component
from assay.core.types import Contributions, FactorTable, Measurement, undefined
from assay.models.ref import Model
from assay.probes.faithfulness import with_permuted_weights
from assay.probes.performance import compute_measurement
from assay.probes.probe import Reading, Request, Scope, SourceOfImages, environment_named, sample_rows
from assay.probes.reader import ModelReading
from assay.shifts.environment import Environment, PickedImages, Scene
from assay.stats.influence import ModelPredictions
from assay.stats.measures import value_and_contributions

_reset_measure = partial(
    Measure,
    probe="reinitialization",
    needs=("layer",),
    environment=NEUTRAL,
    low=-1.0,
    high=1.0,
    reference="Zhang, Bengio and Singer 2022",
)

register_measures(
    _reset_measure(
        "auroc-lost-to-start", meaning="AUROC lost when the layer is reset to its start", display="AUROC lost to start"
    ),
    _reset_measure(
        "auroc-lost-to-random",
        meaning="AUROC lost when the layer's trained values are permuted",
        display="AUROC lost to random",
    ),
    _reset_measure("accuracy-lost-to-start", meaning="accuracy lost when the layer is reset to its start"),
    _reset_measure("accuracy-lost-to-random", meaning="accuracy lost when the layer's trained values are permuted"),
    _reset_measure(
        "weight-change",
        meaning="distance of the layer's weights from their start, over their length there",
        unit="share of length",
        low=0.0,
        high=math.inf,
    ),
)

WEIGHT_CHANGE = "weight-change"
START, RANDOM = "start", "random"
REST = "(rest)"
"""Suffix of the name of a layer that holds other probed layers: it is the part outside of them."""


@dataclass(frozen=True)
class _Sample:
    """The images that every network reads.

    Attributes:
        images: The images.
        table: Their factors and targets.
        trained: Predictions of the trained network.
        template: A measurement with the environment.
    """

    images: PickedImages
    table: FactorTable
    trained: ModelPredictions
    template: Measurement


@component(
    "probe",
    "reinitialization",
    summary="which layers' trained values matter: the loss when a layer is reset to its start, or permuted",
    version=2,
)
class Reinitialization:
    """Implements `Probe`. The claim is that outputs depend on values that training gave a layer.

    Per probed layer (and whatever of the network is in none, such as its head; layer "" is the whole network):

    `auroc-lost-to-start`, `accuracy-lost-to-start`: the advantage of the trained network over the same network with
    this layer as it was before training, buffers too. Near 0: the initial values, such as pretrained ones, would have
    done. `auroc-lost-to-random`, `accuracy-lost-to-random`: the same where the trained values of each of the layer's
    parameters are permuted among its places (their law stays, and the norms' running statistics; nothing that was
    learned but that). Near 0: any values of that law would do. AUROC is macro over several classes; accuracy is at the
    threshold that validation chose. Errors are over patients, paired. `weight-change`: length of the difference of a
    layer's parameters to those before training over the length of those, 0 where nothing was trained.

    A layer is put back alone: that two layers stand in for each other is not seen. On a sample of `images` rows that is
    the same for every model; environment: as `representation` has it. NaN with the reason: one class only, a start of
    other shapes, answers that are not finite.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        images: Annotated[
            int, Field(ge=20, le=65536, description="images that are answered again, the same ones for all models")
        ] = 500,
        environment: SourceOfImages = NEUTRAL,
    ) -> None:
        self.images = images
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return one environment for the trained network; `measure` itself reads the changed networks."""
        return (Request(environment_named(scene, self.environment)),)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return the measurements layer by layer, then of the whole network."""
        model, environment = reading.model, environment_named(scene, self.environment)
        parts = parts_of(model.network, model.layers)
        if not parts:
            return [undefined(WEIGHT_CHANGE, Code.NO_WEIGHTS, environment=environment.name)]
        sample = self._sample(reading, environment)
        every = tuple(key for keys in parts.values() for key in keys)
        measurements = [
            m for layer, keys in {**parts, "": every}.items() for m in _reset_losses(model, RANDOM, layer, keys, sample)
        ]
        if model.untrained is not None:
            start = model.untrained().to(model.device)
            for layer, keys in {**parts, "": every}.items():
                measurements.append(_weight_change(model.network, start, layer, keys, sample.template))
                measurements += _reset_losses(model, START, layer, keys, sample, start)
        return measurements

    def _sample(self, reading: Reading, environment: Environment) -> _Sample:
        rows = sample_rows("reinitialization", environment.table, self.images)
        table = environment.table.take(rows)
        trained = _predictions_of_model(reading.model, reading.read(environment).logits[rows], table)
        place = Measurement("", 0.0, environment=environment.name)
        return _Sample(PickedImages(environment.images, rows), table, trained, place)


def parts_of(network: nn.Module, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return layer -> keys of its state, for layers that have parameters, in the network's order.

    A module belongs to the innermost of `layers` that holds it. A module in none of them belongs to a layer with the
    first part of its name.
    """
    by_part: dict[str, list[str]] = {}
    for key in network.state_dict():
        holding = [layer for layer in layers if key.startswith(f"{layer}.")]
        inner = max(holding, key=len, default="")
        rest = any(other.startswith(f"{inner}.") for other in layers) if inner else False
        name = f"{inner} {REST}" if rest else inner or key.partition(".")[0]
        by_part.setdefault(name, []).append(key)
    parameters = {name for name, _ in network.named_parameters()}
    return {name: tuple(keys) for name, keys in by_part.items() if not parameters.isdisjoint(keys)}


def reset_layers(network: nn.Module, start: nn.Module, keys: Sequence[str]) -> nn.Module:
    """Return a copy of a network with these parameters and buffers of `start`.

    Raises:
        ValueError: If shapes differ.
    """
    restored = copy.deepcopy(network)
    state, start_state = restored.state_dict(), start.state_dict()
    if differing := [key for key in keys if key not in start_state or start_state[key].shape != state[key].shape]:
        raise ValueError(f"the network before training has another shape: {differing[0]}")
    with torch.no_grad():
        for key in keys:
            state[key].copy_(start_state[key])
    return restored


def _weight_change(
    network: nn.Module, start: nn.Module, layer: str, keys: Sequence[str], template: Measurement
) -> Measurement:
    """Return the distance of a layer's parameters from their start, over their length there."""
    measurement = replace(
        template, measure=WEIGHT_CHANGE, layer=layer, unit=MEASURES[WEIGHT_CHANGE].unit, chance=math.nan
    )
    now, then = _parameters(network, keys), _parameters(start, keys)
    if [value.shape for value in now] != [value.shape for value in then]:
        return replace(measurement, value=math.nan, reason=Reason.of(Code.OTHER_SHAPE))
    length = math.sqrt(sum(float((value**2).sum()) for value in then))
    change = math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(now, then, strict=True)))
    if not length:
        return replace(measurement, value=math.nan, reason=Reason.of(Code.ZERO_START))
    if not math.isfinite(change / length):
        return replace(measurement, value=math.nan, reason=Reason.of(Code.NOT_FINITE_WEIGHTS))
    return replace(measurement, value=change / length)


def _parameters(network: nn.Module, keys: Sequence[str]) -> list[Tensor]:
    return [value.detach().double().cpu() for name, value in network.named_parameters() if name in keys]


def _reset_losses(
    model: Model, to: str, layer: str, keys: Sequence[str], sample: _Sample, start: nn.Module | None = None
) -> Iterator[Measurement]:
    """Yield the AUROC and the accuracy that are lost when a layer is reset to `start`, or permuted where it is None."""
    template = replace(sample.template, layer=layer, n=len(sample.table))
    ranking = "auroc" if sample.trained.n_classes == 2 else "auroc-macro"
    names: Mapping[str, str] = {f"auroc-lost-to-{to}": ranking, f"accuracy-lost-to-{to}": "accuracy"}
    try:
        changed = (
            with_permuted_weights(model.network, keys) if start is None else reset_layers(model.network, start, keys)
        )
        logits = ModelReading(replace(model, network=changed), ()).logits(sample.images)
    except (ReadingError, ValueError) as error:
        yield from (
            replace(template, measure=name, value=math.nan, reason=reason_in_words(str(error))) for name in names
        )
        return
    predictions, patient = _predictions_of_model(model, logits, sample.table), sample.table.patient
    for name, ranking_or_accuracy in names.items():
        (before, before_contributions), (after, after_contributions) = (
            value_and_contributions(ranking_or_accuracy, outputs, patient) for outputs in (sample.trained, predictions)
        )
        measurement = compute_measurement(ranking_or_accuracy, sample.trained, patient, template)
        yield replace(
            measurement,
            measure=name,
            value=before.value - after.value,
            direction="none",
            standard_error=float(np.sqrt(((before_contributions - after_contributions) ** 2).sum())),
            contributions=Contributions(np.unique(patient), before_contributions - after_contributions),
            chance=math.nan,
            reason=before.reason or after.reason,
        )


def _predictions_of_model(model: Model, logits: np.ndarray, table: FactorTable) -> ModelPredictions:
    threshold = 0.5 if model.threshold is None else model.threshold
    return ModelPredictions(logits, table.target, threshold)
