"""Probe a model that was trained elsewhere: every row of the data is a test row, and nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from assay.audit.kind import MODEL
from assay.audit.origins import TrainedOrigin, origin_of
from assay.audit.probe import analyze_model
from assay.audit.request import ModelRequest, ProbeRequest, normalization_words
from assay.core.errors import DataError, ReadingError, SpecError, WeightsError, key_text
from assay.core.files import cache_folder, content_hash, default_cache_root
from assay.core.registry import code_of_folder, own_code
from assay.core.types import FactorTable
from assay.data.cache import ProgressCallback, no_progress
from assay.data.files.request import data_of
from assay.data.leakage import image_hashes
from assay.execution.jobs import ProbeJob, inputs_of, population_of, stored_reading, write_reading
from assay.execution.local import PROCESSOR, InProcess, choose_device, computing_on
from assay.execution.plan import ModelPlan, column_settings, image_identities, probe_units, reading_id
from assay.execution.run import RunSteps, Tables, carry_out
from assay.execution.tasks import Context, Task
from assay.execution.workspace import PROVENANCE, Workspace, provenance
from assay.models.image_config import REFUSED, adjacent_config, adjacent_names
from assay.models.onnx_session import channels_remedy, output_names
from assay.models.process import ModelFile
from assay.models.ref import BYTES, ChannelsError, GivenModel, InMemory, Model, Origin, Scaling, channels_of
from assay.models.untyped import named_layers, tensor_of
from assay.models.weights import CAFFE_MEAN, IMAGENET_MEAN, IMAGENET_SD
from assay.probes.probe import ModelOutputs, Request
from assay.probes.reader import ModelReading, eval_mode
from assay.report.sentences.reading import caution_lines
from assay.report.sentences.scores import called_alike, constant
from assay.shifts.environment import Environment
from assay.shifts.intervention import without_interventions
from assay.shifts.population import Population, PopulationScene
from assay.spec.data import has_order
from assay.spec.document import mapping_of
from assay.spec.request import ProbeSpec, parse_request
from assay.spec.schema import REFERABLE
from assay.stats.format import count, join_words, number
from assay.stats.influence import auroc_influence
from assay.stats.maps import sensitivity_threshold
from assay.stats.measures.grades import specificity_thresholds
from assay.stats.measures.maps import LEVELS
from assay.stats.metrics import auroc, log_odds, placements
from assay.store.files import write_json
from assay.store.folder import RunFolder
from assay.training.feed import youden_threshold

# The config that timm keeps with its models: size, framing, channels and scaling of the images that they were trained
# on.

_FITS = {"center": "crop", "squash": "squash", "border": "pad"}
"""timm's `crop_mode` as `data.fit`."""


@dataclass(frozen=True)
class Config:
    """Image settings in the config of a model.

    Attributes:
        data: Keys of `data:`.
        mean: Per channel.
        std: Per channel.
        names: Names of the outputs; empty where it has none.
        source: What has them, for sentences.
    """

    data: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    names: tuple[str, ...] = ()
    source: str = "the config of this model"

    def complete_data(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return `data` with the keys that it lacks: size, and for images from files channels and framing.

        Data that cannot be framed as the config says, and datasets from outside Assay, keep their own framing.
        """
        completed = dict(data)
        if "phantom" in completed:
            return {**{key: item for key, item in self.data.items() if key == "size"}, **completed}
        framed = "fit" not in completed and not self._key_against_framing(completed)
        framing = {key: item for key, item in self.data.items() if framed or key not in ("fit", "crop_share")}
        return {**framing, **completed}

    def _key_against_framing(self, data: Mapping[str, Any]) -> str:
        """Return the key that rules out the framing of the config; empty where none does."""
        if self.data["fit"] == "squash" and data.get("pixel_size"):
            return "pixel_size"
        dataset = data.get("dataset") or ""
        (name, *_) = mapping_of(dataset) or (str(dataset),)
        return "dataset" if name == "lidc" or ":" in name else ""

    def scaling(self, requested: str) -> str:
        """Return the scaling of images in words: what the user gives, and what the config has where it differs."""
        normalization = normalization_words(self.mean, self.std)
        return (
            f"{requested}; {self.source} has {normalization}"
            if requested not in ("", normalization)
            else f"{normalization} from {self.source}"
        )

    def describe(self, data: Mapping[str, Any], filled: Mapping[str, Any], scaled: bool) -> str:
        """Describe the settings that were taken from the config, the scaling among them if `scaled`."""
        applied = [f"data.{key}: {item}" for key, item in filled.items() if key not in data]
        applied += [f"scaling by {normalization_words(self.mean, self.std)}"] if scaled else []
        key = "" if "phantom" in data or "fit" in data else self._key_against_framing(data)
        not_applied = f", but not data.fit: {self.data['fit']}, which data.{key} rules out" if key else ""
        return (
            f"taken from {self.source}: {', '.join(applied) or 'nothing'}{not_applied}; if it was trained "
            "otherwise, give its own"
        )


def config_of(network: nn.Module, file: Path | None = None) -> Config | None:
    """Return the image settings of a model; None where it has none.

    Args:
        network: The model, with the config that timm keeps.
        file: Its file; settings in a file beside it are preferred, see `adjacent_config`.

    Raises:
        SpecError: A standard deviation is not above 0.
        ChannelsError: The settings are of other channels than the model's.
        WeightsError: The settings cannot be read, or have steps that are not applied.
    """
    config = (file and adjacent_config(file)) or mapping_of(getattr(network, "pretrained_cfg", None)) or {}
    if why := config.get(REFUSED):
        raise WeightsError(str(why))
    mean, std = (tuple(float(part) for part in config.get(key) or ()) for key in ("mean", "std"))
    shape = tuple(int(side) for side in config.get("input_size") or ())
    if not mean or len(mean) != len(std) or len(shape) != 3:
        return None
    source = str(config.get("source") or Config.source)
    if min(std) <= 0:
        raise SpecError(f"{source}: std {join_words([f'{value:g}' for value in std])}: expected numbers above 0")
    channels = channels_of(network)
    try:
        scaling = Scaling(mean, std).for_channels(channels)
    except ChannelsError as error:
        raise ChannelsError(f"{source} does not fit: {error}") from error
    data: dict[str, Any] = {"size": shape[1]} if shape[1] else {}
    data |= {"channels": "gray" if (channels or len(mean)) == 1 else "color"}
    fit = _FITS.get(str(config.get("crop_mode") or "center"), "crop")
    share = float(config.get("crop_pct") or 1)
    framing = {"fit": fit, **({"crop_share": share} if fit != "pad" and share < 1 else {})}
    names = output_names({"names": config.get("label_names")})
    return Config({**data, **framing}, scaling.mean, scaling.sd, names, source)


# Signs that a model is shown other images than it was trained on.

CAUSES = (
    "check what its training did to images: framing (data.fit: pad, squash or crop, "
    "and data.size), scaling (mean and std, or 0..255) and the order of channels (RGB or BGR)"
)
_MAX_SHARE_OF_ONE_CLASS = 0.98
"""The share of images called one class from which an output counts as nearly constant."""
_MIN_AUROC_DIFFERENCE = 0.05
_NORMAL_QUANTILE = 1.96


def misreading_signs(
    logits: np.ndarray, table: FactorTable, threshold: float | None, expect: float | None
) -> list[str]:
    """Return sentences on properties of a classifier's logits [n, k] that suggest wrong preprocessing.

    Args:
        expect: The AUROC that the user knows of. It differs where it is outside the 95% interval over patients and more
            than 0.05 away.
    """
    sentences = [_constant_output_sentence(logits, table, 0.5 if threshold is None else threshold)]
    if expect is not None:
        sentences.append(_expectation_sentence(logits, table, expect))
    return [f"{sentence}; {CAUSES}" for sentence in sentences if sentence]


def _constant_output_sentence(logits: np.ndarray, table: FactorTable, threshold: float) -> str:
    if constant(logits):
        return f"the model gives all {count(len(logits), 'image')} the same output"
    return called_alike(logits, table.target, table.classes, threshold, _MAX_SHARE_OF_ONE_CLASS)


def _expectation_sentence(logits: np.ndarray, table: FactorTable, expect: float) -> str:
    if len(table.classes) != 2:
        return f"expect is an AUROC of two classes, and these data have {len(table.classes)}: it was not compared"
    score, target = log_odds(logits)[:, 0], table.target
    if len(np.unique(target)) < 2:
        return f"expect is an AUROC, and all images are '{table.classes[int(target[0])]}': it was not compared"
    auroc_value = auroc(score, target).value
    contributions = auroc_influence(*placements(score, target), target, auroc_value)
    error = float(np.sqrt((np.bincount(table.patient, weights=contributions) ** 2).sum()))
    if abs(auroc_value - expect) <= max(_MIN_AUROC_DIFFERENCE, _NORMAL_QUANTILE * error):
        return ""
    return f"the AUROC is {number(auroc_value)} where {number(expect)} was expected"


VALIDATION = "(validation)"
"""The name of the environment of validation images, which set thresholds."""
UNWATCHED = Context(lambda share, word: None, lambda: False)
"""Context of a job that runs without an executor: its progress is not shown, and it is not stopped."""
_N_IDENTIFYING_IMAGES = 16
"""Images whose outputs identify a model whose content cannot be hashed."""
LAYER_PROBES = ("decodability", "representation")
"""Probes that read layers."""

SCALINGS: Mapping[str, Scaling] = {
    "0..1": Scaling((0.0,), (1.0,)),
    "imagenet": Scaling(IMAGENET_MEAN, IMAGENET_SD),
    "-1..1": Scaling((0.5,), (0.5,)),
    "0..255": BYTES,
    "-1024..1024": Scaling((0.5,), (1 / 2048,)),
    "caffe": Scaling(tuple(part / 255 for part in reversed(CAFFE_MEAN)), (1 / 255,) * 3, "bgr"),
    "image-minmax": Scaling((0.0,), (1.0,), "minmax"),
    "image-zscore": Scaling((0.0,), (1.0,), "zscore"),
}
"""Usual scalings of images in [0, 1], by name."""


def scaling_of(request: ModelRequest) -> Scaling | None:
    """Return the scaling of images that a request gives; None where it gives none."""
    return Scaling(request.mean, request.std) if request.mean else SCALINGS.get(request.scaling)


def read_plan(folder: RunFolder) -> ModelPlan:
    """Return what was last probed in a run folder. Raises StoreError where no model was."""
    folder.require_run()
    folder.require(MODEL)
    with code_of_folder():
        return ModelPlan.model_validate(folder.document()["request"])


def tables_of(folder: RunFolder) -> Tables:
    """Return the tables of a probed model from its records."""
    plan = read_plan(folder)
    skip = bool(folder.record("models", plan.model).get("skip_bad_rows", False))
    workspace = Workspace(folder.root, default_cache_root(), skip)
    return analyze_model(folder, plan, lambda: population_of(plan.request.data, workspace, all_tested=True))


@dataclass(frozen=True)
class PreparedAudit:
    """A model with the images that it reads.

    Attributes:
        model: The model, with its identity.
        request: The checked request.
        population: All images.
        scene: The environments to test on.
        workspace: The run folder and the cache.
        device: Device of the model.
        config: Image settings from the config of a timm model, where they were used.
        assumptions: Sentences on assumptions that were made.
        names: Names of the outputs that come with the model; empty where none do.
        scores: What its scores are, for readers.
        outputs: How its outputs are matched to the classes, for readers.
        is_calibrated: Whether its scores are probabilities on any scale.
        channels: Number of channels of a segmentation's maps, the background first; 1 of other models.
    """

    model: GivenModel
    request: ProbeSpec
    population: Population
    scene: PopulationScene
    workspace: Workspace
    device: str
    config: Config | None
    assumptions: tuple[str, ...]
    names: tuple[str, ...] = ()
    scores: str = ""
    outputs: str = ""
    is_calibrated: bool = True
    channels: int = 1


def prepare_model(origin: Origin, request: ProbeRequest, on_progress: ProgressCallback = no_progress) -> PreparedAudit:
    """Check a request, open the images, and check that the model can read them.

    Args:
        origin: The model.
        request: How it is read, with `data` of a study.
        on_progress: Callback for images while they are read.

    Raises:
        SpecError: The request is wrong.
        DataError: Rows cannot be read.
        ReadingError: The model cannot take the images.
    """
    if request.expect is not None and not 0 <= request.expect <= 1:
        raise SpecError(f"expect is an AUROC in 0..1, not {request.expect!r}")
    device = origin.device if isinstance(origin, InMemory) else choose_device(request.device)
    config, refusals = _usable_config(origin, request, device)
    file = _model_file(origin)
    names = config.names if config else output_names({"names": adjacent_names(file)}) if refusals and file else ()
    assumptions, data = [*origin.facts.notes, *refusals], request.data
    if config is not None:
        filled = config.complete_data(data)
        if request.preprocessing is None:
            assumptions.append(config.describe(data, filled, scaling_of(request) is None))
        data = filled
    spec = parse_request(_with_framing(origin, data), request.environments or {"all": {}}, request.probes, request.task)
    _require_layers(origin, request, spec, device)
    cache_only, population, scene = open_images(
        spec, request.seed, skip_bad_rows=request.skip_bad_rows, device=device, on_progress=on_progress
    )
    model = _prepare_model(origin, request, config, population, spec)
    model = _with_identity(model, scene, device)
    workspace = replace(cache_only, root=request.out or cache_folder(cache_only.cache, "models", model.content))
    return PreparedAudit(model, spec, population, scene, workspace, device, config, tuple(assumptions), names)


def open_images(
    spec: ProbeSpec,
    seed: int = 0,
    *,
    skip_bad_rows: bool = False,
    device: str = PROCESSOR,
    on_progress: ProgressCallback = no_progress,
) -> tuple[Workspace, Population, PopulationScene]:
    """Open the images of a request, with a workspace that has the cache but no run folder.

    Raises:
        DataError: Rows cannot be read.
    """
    code = own_code(spec.model_dump_json(context={"complete": True}))
    cache_only = Workspace(Path(), default_cache_root(), skip_bad_rows, code)
    population = population_of(spec.data, cache_only, device, all_tested=True, fresh=True, on_progress=on_progress)
    return cache_only, population, population.scene(spec.tests, seed)


def probe_model(request: ProbeRequest, on_progress: ProgressCallback = no_progress) -> RunFolder:
    """Run probes on a model and keep the same records as of a trial. Records that are there are not made again.

    Args:
        request: The model, the images, of which all rows of files are tested, and what is read of them. `out` gets the
            records and a page; by default records are kept in a folder of this model in the cache.
        on_progress: Callback for images while they are read.

    Raises:
        SpecError: The request is wrong.
        DataError: Rows cannot be read.
        ReadingError: The model cannot take the images, or gives no scores of the right shape.
        StoreError: The folder holds another kind of run.
    """
    if request.out is not None:
        RunFolder(request.out).require(MODEL)
    data, validation = {**data_of(request.data, **request.named).data, **request.keys}, request.validation
    if validation is not None:
        validation = data_of(validation, "validation", lenient=True, **request.named).data
    request = request.with_changes(data=data, validation=validation)
    prepared = prepare_model(origin_of(request), request, on_progress)
    with computing_on(prepared.device):
        run = ProbeRun(request, prepared, on_progress)
        carry_out(run, prepared.workspace.root, InProcess(), with_page=request.out is not None)
    return prepared.workspace.folder


@dataclass(eq=False)
class ProbeRun(RunSteps):
    """A probed model as a `Run`. It is read before the folder takes the request, which may be refused until then.

    Attributes:
        request: How the model is read.
        prepared: The model and its images, with its thresholds once it was read.
        on_progress: Callback for images while they are read.
        plan: Names of the records, once they are there.
    """

    request: ProbeRequest
    prepared: PreparedAudit
    on_progress: ProgressCallback
    plan: ModelPlan | None = None
    kind = MODEL
    began: float = field(default_factory=time.time)

    @property
    def values(self) -> Mapping[str, Any]:
        """See `Run`."""
        return {} if self.plan is None else self.plan.model_dump(mode="json", context={"complete": True})

    @property
    def stamp(self) -> Mapping[str, str]:
        """See `Run`."""
        return {} if self.plan is None else self.plan.stamp

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Read the model here, since what it refuses is an error of the request. No tasks are left."""
        card = self.prepared.population.card
        self.prepared, doubts = (
            self._with_thresholds(),
            [
                *self.prepared.assumptions,
                *caution_lines(card.read),
                *card.doubts,
            ],
        )
        prepared, spec = self.prepared, self.prepared.request
        self.began, plan = time.time(), _plan_probes(prepared.model, spec, prepared.scene, prepared.population)
        job = ProbeJob(
            prepared.workspace,
            prepared.model,
            spec.data,
            spec.tests,
            dict(plan.probes),
            plan.readings,
            all_tested=True,
            device=prepared.device,
        )
        job(UNWATCHED)
        if spec.task == "classification":
            first = prepared.scene.environment(prepared.scene.names[0])
            outputs = _read_or_load(prepared, plan.readings[first.name], first)
            doubts += misreading_signs(outputs.logits, first.table, prepared.model.threshold, self.request.expect)
        self.plan = plan.model_copy(update={"doubts": tuple(doubts)})
        return iter(())

    def _with_thresholds(self) -> PreparedAudit:
        """Return the model with the thresholds that validation images set, if there are any."""
        prepared, request, data = self.prepared, self.request, self.request.validation
        if data is None:
            return prepared
        model, origin = prepared.model, prepared.model.origin
        if model.threshold is not None and not isinstance(origin, TrainedOrigin):
            raise SpecError("threshold and validation: give one; validation images set the threshold")
        filled = _with_framing(origin, data if prepared.config is None else prepared.config.complete_data(data))
        spec = parse_request(filled, {VALIDATION: {}}, ("performance",), request.task)
        images = population_of(
            spec.data, prepared.workspace, prepared.device, all_tested=True, on_progress=self.on_progress
        )
        environment, identity = _validation_images(images, spec, prepared.scene, request.seed)
        columns = column_settings(request.task, prepared.request.probes, prepared.population)
        id = content_hash({"model": model.content, "environment": identity, **columns})
        return replace(prepared, model=_with_thresholds(model, environment, _read_or_load(prepared, id, environment)))

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, and keep the record of the model that they need."""
        prepared = self.prepared
        assert self.plan is not None
        write_model_record(prepared.workspace, prepared.model, prepared.population, self.began, prepared.device)
        return analyze_model(folder, self.plan, lambda: prepared.population)


def _usable_config(origin: Origin, request: ProbeRequest, device: str) -> tuple[Config | None, Sequence[str]]:
    """Return the config of a model if it is to be used, and why its own settings were refused, if they were.

    A network that Assay trained, and one that takes whole numbers, scales its images itself and has no config.
    """
    file = _model_file(origin)
    scales_itself = isinstance(origin, TrainedOrigin) or origin.facts.integer
    config, refusals, network = None, list[str](), None if scales_itself else origin.network(device)
    try:
        config = None if network is None else config_of(network, file)
    except (SpecError, WeightsError) as error:
        is_stated = scaling_of(request) is not None or request.preprocessing == "none"
        if request.preprocessing == "config" or not (is_stated or isinstance(error, ChannelsError)):
            raise type(error)(f"{error.args[0]}; it is not needed if you state the scaling yourself") from error
        refusals.append(f"settings that come with the model were not used: {error}")
    if config is not None and file is not None:  # the network itself decides what it takes
        config = replace(config, data={**config.data, **origin.facts.framing})
    if request.preprocessing == "config" and config is None:
        raise SpecError("preprocessing: this model has no config; put what was done to images before it")
    return (None, ()) if request.preprocessing == "none" else (config, refusals)


def _model_file(origin: Origin) -> Path | None:
    return origin.path if isinstance(origin, ModelFile) and origin.path.is_file() else None


def _with_framing(origin: Origin, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` with the size and framing that a model is known to take, where the user states none.

    Raises:
        SpecError: A model from a file or a program takes images of a size that nobody states.
    """
    framing = origin.facts.framing
    if isinstance(origin, TrainedOrigin):
        return Config(framing, (), ()).complete_data(data)
    framed = {**{key: value for key, value in framing.items() if key == "size" or "phantom" not in data}, **data}
    if "size" not in framed and not isinstance(origin, InMemory):
        raise SpecError(f"size: {origin.name} does not tell the size of its images; give it in pixels, such as 224")
    return framed


def _prepare_model(
    origin: Origin, request: ProbeRequest, config: Config | None, population: Population, spec: ProbeSpec
) -> GivenModel:
    inputs = inputs_of(population, spec.data, spec.task)
    scaling = scaling_of(request) or (None if config is None else Scaling(config.mean, config.std))
    if scaling is None and origin.facts.integer:
        scaling = BYTES
    if scaling is not None and inputs.channels == 1:
        scaling = scaling.for_channels(inputs.channels)
    model = GivenModel(
        origin,
        request.name or origin.name,
        spec.task,
        inputs,
        layers=request.layers,
        scaling=scaling,
        scores=request.scores,
        seed=request.seed,
        threshold=request.threshold,
        cut=(spec.data.referable or REFERABLE) if has_order(spec.data) else None,
    )
    if not isinstance(origin, TrainedOrigin):
        return model
    trained_model = origin.model
    return replace(
        model,
        layers=request.layers or trained_model.layers,
        threshold=trained_model.threshold if request.threshold is None else request.threshold,
        operating=trained_model.operating,
        untrained=trained_model.untrained,
    )


def _with_identity(model: GivenModel, scene: PopulationScene, device: str) -> GivenModel:
    """Return the model with its identity, after a check that it can read these images."""
    environment = scene.environment(scene.names[0])
    images = environment.images.read(np.arange(min(_N_IDENTIFYING_IMAGES, len(environment))))
    with model.open(device) as opened:
        _require_readable(opened, images[:1].to(device))
    return model.identified(images, device)


def _plan_probes(model: GivenModel, request: ProbeSpec, scene: PopulationScene, population: Population) -> ModelPlan:
    columns_kept = column_settings(request.task, request.probes, population)
    images_of_tests = image_identities(scene)
    readings = {
        name: reading_id({"model": model.content}, images_of_tests, name, columns_kept)
        for name in images_of_tests.tests
    }
    probes = tuple(probe_units({"model": model.id}, request.probes, images_of_tests, columns_kept))
    return ModelPlan(model=model.id, request=request, readings=readings, probes=probes)


def write_model_record(
    workspace: Workspace, model: GivenModel, population: Population, began: float, device: str
) -> None:
    """Write the record of the model, once."""
    folder = workspace.folder
    if folder.complete("models", model.id):
        return
    write_json(folder.unit("models", model.id) / PROVENANCE, provenance(began, device))
    names = list(population.classes) if model.task == "classification" else ["background", *population.kinds]
    fields = {"class_names": names, "skip_bad_rows": workspace.skip_bad_rows}
    folder.write_record("models", model.id, {"status": "done", **model.described(), **fields})


def read_predictions(
    prepared: PreparedAudit, id: str, images: Callable[[], Environment], context: Context = UNWATCHED
) -> None:
    """Read images with the model and store its outputs under an id, as a `Job`.

    Raises:
        SpecError: The images cannot be changed as requested.
        ReadingError: The outputs cannot be used.
    """
    environment, model = images(), prepared.model
    with model.open(prepared.device) as opened:
        outputs = ModelReading(opened, [Request(environment)]).read(environment)
    write_reading(
        prepared.workspace.folder, id, environment.table, outputs, {"model": model.id, "environment": environment.name}
    )


def _read_or_load(prepared: PreparedAudit, id: str, images: Environment) -> ModelOutputs:
    """Return the stored outputs for images; read the images first where there are none."""
    if not prepared.workspace.folder.complete("readings", id):
        read_predictions(prepared, id, lambda: images)
    return stored_reading(prepared.workspace.folder.outputs(id))


def _with_thresholds(model: GivenModel, environment: Environment, outputs: ModelOutputs) -> GivenModel:
    """Return the model with the thresholds that a trial would take from these images.

    Of two classes Youden's, of grades those at which the standard specificities are reached, of a segmentation
    those at which it finds the standard shares of lesions.
    """
    if model.task == "segmentation":
        if not outputs.maps:
            raise ReadingError("validation: the model gives no pixel logits [b, k, h, w]")
        reached = (
            sensitivity_threshold(outputs.maps["lesion_score"], outputs.maps["floor"], level) for level in LEVELS
        )
        return replace(model, operating=tuple(operating_point.value for operating_point in reached))
    targets = environment.table.target
    if model.cut is not None and outputs.logits.shape[1] > 2:
        return replace(model, specific=specificity_thresholds(outputs.logits, targets, model.cut))
    threshold = youden_threshold(tensor_of(outputs.logits), tensor_of(targets))
    if threshold is None:
        raise SpecError(
            "validation: a threshold is set between two classes, and its images have "
            f"{join_words([environment.table.classes[int(code)] for code in np.unique(targets)])}"
        )
    return replace(model, threshold=threshold)


def _validation_images(
    population: Population, request: ProbeSpec, scene: PopulationScene, seed: int
) -> tuple[Environment, Mapping[str, Any]]:
    """Return the images that set thresholds, and the values that determine them.

    They are a phantom's validation images, or all rows of files.

    Raises:
        SpecError: Files hold an image that is tested, pixel by pixel.
    """
    if population.dataset is None:
        spec = request.tests[VALIDATION]
        return population.training(spec, seed)[1], {**population.identity(spec), "validation": seed}
    validation_scene = population.scene(request.tests, seed)
    environment = validation_scene.environment(VALIDATION)
    tested = np.concatenate(
        [image_hashes(without_interventions(scene.environment(name).images)) for name in scene.names]
    )
    n_tested_too = int(np.isin(image_hashes(without_interventions(environment.images)), tested).sum())
    if n_tested_too:
        raise SpecError(
            f"validation: {n_tested_too:,} of its {len(environment):,} images are tested too; "
            "a threshold is set on others"
        )
    return environment, validation_scene.identity(VALIDATION)


def _require_layers(origin: Origin, request: ProbeRequest, spec: ProbeSpec, device: str) -> None:
    """Check that the model has the layers and gradients that probes need. Raises SpecError."""
    if isinstance(origin, TrainedOrigin):
        return
    probes = [probe.name for probe in spec.probes]
    inner_probes = [name for name in probes if name in (*LAYER_PROBES, "attribution")]
    if origin.opaque and (inner_probes or request.layers):
        what = (
            f"probe '{inner_probes[0]}' looks into the network"
            if inner_probes
            else "layers name modules of the network"
        )
        raise SpecError(f"{what}, and {origin.opaque} shows none: give the module, or weights with a factory")
    layer_probes = [name for name in probes if name in LAYER_PROBES]
    if layer_probes and not request.layers:
        network = origin.network(device)
        outermost = join_words([name for name, _ in named_layers(network) if name and "." not in name][:12])
        raise SpecError(f"probe '{layer_probes[0]}' looks at layers: name modules in layers=(...), such as {outermost}")


def _require_readable(model: Model, image: torch.Tensor) -> None:
    """Check that the network takes an image of these data. Its own error is reported with the image's shape."""
    try:
        with eval_mode(model.network), torch.inference_mode():
            model.network(image)
    except (SpecError, DataError):
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        wanted = channels_of(model.network)
        if wanted in (1, 2, 3, 4) and wanted != image.shape[1]:
            what = "gray" if image.shape[1] == 1 else "in color"
            raise ReadingError(
                f"the model cannot read images {list(image.shape)}: they are {what}, and its first layer takes "
                f"{count(wanted, 'channel')}; {channels_remedy(wanted)}"
            ) from error
        raise ReadingError(
            f"the model cannot read images {list(image.shape)}, float32 in 0..1: {first}; give the size that it was "
            f"trained at as {key_text('data.size')}, and what it does to channels and scaling as a module before it"
        ) from error
