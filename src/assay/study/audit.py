"""Probes on a model that was trained elsewhere: every row of the data is a test row, and nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from assay.core.errors import SpecError
from assay.core.registry import build
from assay.core.traits import Task
from assay.data.cache import ArrayCache, Told, default_cache_root, untold
from assay.data.leakage import row_hashes
from assay.execution.device import computing_on
from assay.models.ref import Model
from assay.models.untyped import named_layers, tensor_of
from assay.probes.probe import Request
from assay.probes.reader import ModelReading, ReadingError, evaluating, run_probes
from assay.shifts.environment import Environment, Scene
from assay.shifts.intervention import unchanged
from assay.shifts.population import Population, open_population
from assay.spec.data import has_order
from assay.spec.document import mapping_of
from assay.spec.parse import parse_study
from assay.spec.schema import REFERABLE, StudySpec
from assay.stats.format import count, listed
from assay.stats.maps import threshold_at
from assay.stats.measures import LEVELS, specific_thresholds
from assay.store.files import Row
from assay.study.outside import channels_of, config_of, signs
from assay.training.feed import youden_threshold

_VALIDATION = "validation"
_AT_ONCE = 256
"""Images that are read and hashed together."""
OF_LAYERS = ("decodability", "representation")
"""Probes that look at layers alone."""


Preprocessing = Literal["config", "none"]


@dataclass(frozen=True)
class Examined:
    """Rows of measurements, and sentences on what was taken for granted or looks wrong."""

    rows: list[Row]
    doubts: tuple[str, ...]


def examine(
    model: Model,
    data: Mapping[str, Any],
    probes: Sequence[str | Mapping[str, Any]],
    environments: Mapping[str, Any],
    *,
    validation: Mapping[str, Any] | None = None,
    task: Task = "classification",
    skip_bad_rows: bool = False,
    told: Told = untold,
    preprocessing: Preprocessing | None = None,
    expect: float | None = None,
) -> Examined:
    """What probes measure of a model, one row each: the probe's name, then the fields of `Measurement`.

    data, probes, environments: as in a study, but that all environments are tested on and no row is trained on.
    validation: as `data`, images that set the model's thresholds (`_with_thresholds`); a phantom draws its validation
    images, which are none that are tested.
    preprocessing, expect: see `assay.probe`.
    Raises SpecError and DataError as a study does, and ReadingError where the model cannot take the images.
    """
    if expect is not None and not 0 <= expect <= 1:
        raise SpecError(f"expect is an AUROC in 0..1, not {expect!r}")
    config = None if preprocessing == "none" else config_of(model.network)
    if preprocessing == "config" and config is None:
        raise SpecError("preprocessing: this model has no config of timm; put what was done to images before it")
    doubts: list[str] = []
    if config is not None:
        filled = config.filled(data, task)
        if preprocessing is None:
            doubts.append(config.told(data, filled))
        data = filled
        validation = None if validation is None else config.filled(validation, task)
    spec = _as_study(data, probes, environments, task)
    _require_layers(model, spec)
    cache = ArrayCache(default_cache_root(), told)

    def opened(asked: StudySpec) -> Population:
        return open_population(asked.data, cache, skip_bad_rows=skip_bad_rows, device=model.device, all_tested=True)

    if has_order(spec.data):
        model = replace(model, cut=spec.data.referable or REFERABLE)
    scene = opened(spec).scene(spec.points[0].tests, model.seed)
    built = {probe.label: build("probe", probe.name, probe.params) for probe in spec.probes}
    scaling = nullcontext() if config is None else config.scaling(model.network)
    with computing_on(model.device), scaling:
        _require_fit(model, scene)
        if validation is not None:
            asked = _as_study(validation, ("performance",), {_VALIDATION: {}}, task)
            model = _with_thresholds(model, _validation_images(opened(asked), asked, scene, model.seed), task)
        result = run_probes(model, scene, built)
        if task == "classification":
            first = scene.environment(scene.names[0])
            read = result.reads.get(first.name) or ModelReading(model, [Request(first)]).read(first)
            doubts += signs(read.logits, first.table, model.threshold, expect)
    rows: list[Row] = [{"probe": probe, **asdict(one)} for probe, found in result.measurements.items() for one in found]
    return Examined(rows, tuple(doubts))


def _validation_images(population: Population, asked: StudySpec, scene: Scene, seed: int) -> Environment:
    """Those that set thresholds: a phantom's validation images, or all of files. Raises SpecError where files hold an
    image that is tested, pixel by pixel.
    """
    if population.dataset is None:
        return population.training(asked.points[0].train, seed)[1]
    found = population.scene(asked.points[0].tests, seed).environment(_VALIDATION)
    tested = set[int]().union(*(_hashes(scene.environment(name)) for name in scene.names))
    both = sum(one in tested for one in _hashes(found))
    if both:
        raise SpecError(
            f"validation: {both:,} of its {len(found):,} images are tested too; a threshold is set on others"
        )
    return found


def _hashes(environment: Environment) -> list[int]:
    """Of every image, as it is without interventions."""
    images = unchanged(environment.images)
    places = np.array_split(np.arange(len(environment)), math.ceil(len(environment) / _AT_ONCE))
    return [int(one) for index in places for one in row_hashes(images.read(index).numpy())]


def _with_thresholds(model: Model, environment: Environment, task: Task) -> Model:
    """The model with the thresholds that a trial would take from these images: of two classes Youden's, of grades those
    at which stated specificities are reached, of a segmentation those at which it finds the stated shares of lesions.
    """
    if model.threshold is not None:
        raise SpecError("threshold and validation: give one; validation images set the threshold")
    answers = ModelReading(model, [Request(environment)]).read(environment)
    if task == "segmentation":
        if not answers.maps:
            raise ReadingError("validation: the model gives no logits of pixels [b, k, h, w]")
        reached = (threshold_at(answers.maps["lesion_score"], answers.maps["floor"], level) for level in LEVELS)
        return replace(model, operating=tuple(one.value for one in reached))
    targets = environment.table.target
    if model.cut is not None and answers.logits.shape[1] > 2:
        return replace(model, specific=specific_thresholds(answers.logits, targets, model.cut))
    threshold = youden_threshold(tensor_of(answers.logits), tensor_of(targets))
    if threshold is None:
        raise SpecError(
            "validation: a threshold is set between two classes, and its images have "
            f"{listed([environment.table.classes[int(code)] for code in np.unique(targets)])}"
        )
    return replace(model, threshold=threshold)


def _as_study(
    data: Mapping[str, Any], probes: Sequence[str | Mapping[str, Any]], environments: Mapping[str, Any], task: Task
) -> StudySpec:
    """The request as a study, so that it is checked as one."""
    alike = [(mapping_of(one) or {}).get("like") for one in environments.values()]
    if "train" in [*environments, *alike]:
        raise SpecError(
            "environments: 'train' is what a study trains on, and nothing is trained here; name it otherwise"
        )
    return parse_study(
        {
            "name": "probe",
            "data": dict(data),
            "environments": {"train": {}, **environments},
            "recipe": {"task": task} if task == "classification" else {"task": task, "architecture": "small-unet"},
            "seeds": 1,
            "probes": list(probes),
        }
    )


def _require_layers(model: Model, spec: StudySpec) -> None:
    """Probes of layers need some to be named."""
    asked = [probe.name for probe in spec.probes if probe.name in OF_LAYERS]
    if asked and not model.layers:
        outermost = listed([name for name, _ in named_layers(model.network) if name and "." not in name][:12])
        raise SpecError(f"probe '{asked[0]}' looks at layers: name modules in layers=(...), such as {outermost}")


def _require_fit(model: Model, scene: Scene) -> None:
    """The network takes an image of these data. Whatever it raises is told with the image's shape."""
    image = scene.environment(scene.names[0]).images.read(np.arange(1)).to(model.device)
    try:
        with evaluating(model.network), torch.inference_mode():
            model.network(image)
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        wanted = channels_of(model.network)
        if wanted and (image.shape[1], wanted) in ((1, 3), (3, 1)):
            what, key = ("gray", "colour") if wanted == 3 else ("in color", "grey")
            raise ReadingError(
                f"the model cannot read images {list(image.shape)}: they are {what}, and its first layer takes "
                f"{count(wanted, 'channel')}; give `channels: {key}` in data"
            ) from error
        raise ReadingError(
            f"the model cannot read images {list(image.shape)}, float32 in 0..1: {first}; give the size that it was "
            "trained at as data.size, and what it does to channels and scaling as a module before it"
        ) from error
