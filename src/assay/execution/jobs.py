"""Jobs that train, join folds, import models and probe; the models and readings that they store.

Each job leaves one record in a run folder, written last; run again, it returns at once or continues. `TrainedModel`
loads what a training left, and `population_of` opens images once per process.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from assay.core.errors import DataError, StoreError, WeightsError
from assay.core.files import WEIGHTS_FILE, canonical_json, file_hash
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.registry import build, require_code
from assay.core.request import Task
from assay.core.types import FactorTable, Inputs
from assay.data.cache import ArrayCache, ProgressCallback, check_opened, no_progress
from assay.execution.local import computing_on
from assay.execution.tasks import Context, Stopped
from assay.execution.workspace import (
    CURVE,
    OF_A_SOURCE,
    PROVENANCE,
    STOPPED,
    Workspace,
    no_network_reason,
    operating_of,
    provenance,
    specific_of,
)
from assay.models.networks import HeadNotFitted, as_network, build_network, empty_network, scaling_words
from assay.models.ref import Ensemble, Model, ModelRef, Unit, given_network
from assay.models.untyped import channels_last, tensor_of
from assay.models.weights import load_weights, remove_checkpoint, save_weights, start_of
from assay.probes.probe import ModelOutputs, Request
from assay.probes.reader import ModelReading, run_probes
from assay.shifts.environment import Environment
from assay.shifts.population import Population, PopulationScene
from assay.shifts.sources import open_population
from assay.spec.environments import images_seed, stream_seed
from assay.spec.recipe import Component, RecipeSpec
from assay.spec.schema import DataSpec, EnvironmentSpec, GivenWeights, TrainingSpec
from assay.stats.maps import sensitivity_threshold
from assay.stats.measures.grades import specificity_thresholds
from assay.stats.measures.maps import LEVELS
from assay.stats.metrics import macro_auroc
from assay.store.arrays import ROW_COLUMNS
from assay.store.files import write_json, write_rows
from assay.store.folder import RunFolder
from assay.store.layout import UnitKind
from assay.training.collapse import CollapsedFeatures
from assay.training.feed import youden_threshold
from assay.training.loop import Diverged, Interrupted, ProgressReport, TrainingResult, fit

if TYPE_CHECKING:
    from assay.data.dataset import Dataset

# What the record of a training has of its validation rows, and its curve.


def validation_facts(logits: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Return the fields of a record from validation rows, of a classifier.

    Returns:
        `validation_auroc`: AUROC, of several classes the mean of each against the rest; None where undefined.
        `specific`: for every division of ordered classes in two, the log-odds from which each specificity is reached.
    """
    auroc = macro_auroc(logits, target)
    specific = [list(specificity_thresholds(logits, target, cut)) for cut in range(1, logits.shape[1])]
    return {"validation_auroc": auroc.value if auroc.is_defined else None, "specific": specific}


def write_curve(unit: Path, curve: Sequence[Mapping[str, float | int]]) -> None:
    """Write the curve of a training: a row per epoch."""
    write_rows(unit / CURVE, tuple(curve[0]), [dict(row) for row in curve])


# The two jobs of a study: train one trial, probe one trained model. Each leaves records; run again, it continues.


@dataclass(frozen=True)
class TrainJob:
    """Trains one trial, or one source: weights, curve, and last the record."""

    workspace: Workspace
    data: DataSpec
    training: TrainingSpec
    device: str = "cpu"
    kind: UnitKind = "trials"

    def __call__(self, context: Context) -> None:
        """See `Job`. A training that diverged or died, or that no head could be fitted to, leaves a record too."""
        require_code(self.workspace.code)
        folder, id = self.workspace.folder, self.training.id
        unit = folder.unit(self.kind, id)
        if folder.complete(self.kind, id):
            remove_checkpoint(unit)
            return
        start = time.time()
        try:
            with computing_on(self.device):
                record = self._train(unit, context)
        except Diverged as error:
            reason = Reason.of(Code.DIVERGED_LOSS, loss=str(error.value), step=error.step)
            record = {"status": "diverged", "reason": str(reason)}
        except HeadNotFitted as error:
            reason = Reason.of(
                Code.HEAD_NOT_FITTED, slope=error.slope, iterations=error.iterations, message=error.message
            )
            record = {"status": "diverged", "reason": str(reason)}
        except CollapsedFeatures as error:
            write_curve(unit, error.curve)
            record = {"status": "collapsed", "reason": str(error.reason), STOPPED: True}
        except Interrupted as error:
            raise Stopped from error
        write_json(unit / PROVENANCE, provenance(start, self.device))
        folder.write_record(self.kind, id, {"training": self.training.canonical(), **record})
        remove_checkpoint(unit)

    def _train(self, unit: Path, context: Context) -> dict[str, Any]:
        population = population_of(self.data, self.workspace, self.device)
        check_data(population, self.training)
        seed = self.training.seed
        is_source = OF_A_SOURCE.items() <= self.training.data.items()
        image_seed = (
            images_seed(seed) if is_source else seed
        )  # another split of own images would hold test images of the trials
        training, validation = population.training(self.training.environment, image_seed, self.training.fold)
        check_opened()

        def on_progress(report: ProgressReport) -> None:
            context.report(report.step / report.steps, f"loss {report.loss:.3f}")

        fitted = fit(
            self.training.recipe,
            training,
            validation,
            classes=inputs_of(population, self.data, self.training.recipe.task).classes,
            seed=stream_seed(self.training.recipe, seed),
            folder=unit,
            device=self.device,
            on_progress=on_progress,
            should_stop=context.should_stop,
        )
        if not all(bool(value.isfinite().all()) for value in fitted.network.state_dict().values()):
            raise Diverged(fitted.steps, math.inf)  # as of batch normalization's running variance
        save_weights(fitted.network, unit / WEIGHTS_FILE)
        write_curve(unit, fitted.curve)
        return self._record(fitted, len(training), validation.table.target)

    def _record(self, fitted: TrainingResult, training_images: int, validation_target: np.ndarray) -> dict[str, Any]:
        last, start = fitted.curve[-1], start_of(fitted.network)
        record: dict[str, Any] = {"validation_auroc": None}
        if fitted.validated is not None:
            record = validation_facts(fitted.validated.double().numpy(), validation_target)
        return {
            "status": "collapsed" if fitted.collapsed else "done",
            "reason": str(fitted.collapsed or fitted.finding),
            "threshold": fitted.threshold,
            **({"operating": list(fitted.operating)} if fitted.operating else {}),
            "yardstick": fitted.yardstick,
            "selected_epoch": fitted.selected_epoch,
            "mitigation": dict(fitted.mitigation),
            "start": {} if start is None else asdict(start),
            "scaling": start.scaling if start else scaling_words(fitted.network),
            "steps": fitted.steps,
            "train_loss": last["train_loss"],
            "validation_loss": last["validation_loss"],
            "images": training_images,
            "validation_images": len(validation_target),
            **record,
        }


def check_data(population: Population, training: TrainingSpec) -> None:
    """Check that training data match their name.

    Raises:
        DataError: If files were edited since.
    """
    identity = dict(population.identity(training.environment, training.recipe.groups))
    if identity != {key: item for key, item in training.data.items() if key not in OF_A_SOURCE}:
        raise DataError("the data changed since this run began: run the same command again, which plans it again")


@dataclass(frozen=True)
class EnsembleJob:
    """Leaves the record of the ensemble of a seed's folds, whose thresholds are the means of its members'."""

    workspace: Workspace
    training: TrainingSpec

    def __call__(self, context: Context) -> None:
        """See `Job`. An ensemble with a member that left no network is lost as that member is."""
        folder, id, start = self.workspace.folder, self.training.id, time.time()
        records = [folder.record("trials", member) for member in self.training.members]
        failed = next((record for record in records if record["status"] != "done"), None)
        joint = (
            _ensemble_record(records)
            if failed is None
            else {key: failed[key] for key in ("status", "reason")} | {STOPPED: True}
        )
        write_json(folder.unit("trials", id) / PROVENANCE, provenance(start, "cpu"))
        folder.write_record("trials", id, {"training": self.training.canonical(), **joint})


def _ensemble_record(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the record of an ensemble. A threshold that a member lacks, the ensemble lacks too."""
    thresholds, yardsticks = ([record[name] for record in records] for name in ("threshold", "yardstick"))
    operating = np.mean([operating_of(record) for record in records], axis=0).tolist()
    specific = [np.mean(cutoffs, axis=0).tolist() for cutoffs in zip(*map(specific_of, records), strict=True)]
    return {
        "status": "done",
        "reason": "",
        "threshold": None if None in thresholds else float(np.mean(thresholds)),
        **({"operating": operating} if operating else {}),
        "yardstick": math.nan if None in yardsticks else float(np.mean(yardsticks)),
        "validation_auroc": None,
        **({"specific": specific} if specific else {}),
    }


@dataclass(frozen=True)
class TrainedModel:
    """Implements `ModelRef` for a trial or a source, from the records and weights that its training left.

    Attributes:
        root: The run folder; of a source, the cache.
        id: The id of the unit.
        recipe: The recipe of its network.
        inputs: The images that it takes and the number of classes that it gives.
        seed: Seed of its training.
        fold: Fold of its training.
        unit: `trials` or `sources`.
        members: Of an ensemble, the ids of its networks.
    """

    root: Path
    id: str
    recipe: RecipeSpec
    inputs: Inputs
    seed: int
    fold: int = 0
    unit: Unit = "trials"
    members: tuple[str, ...] = ()

    @classmethod
    def of(cls, root: Path, id: str, training: TrainingSpec, inputs: Inputs, unit: Unit = "trials") -> TrainedModel:
        """Return the model that a training left under an id."""
        return cls(root, id, training.recipe, inputs, training.seed, training.fold, unit, training.members)

    @property
    def folder(self) -> RunFolder:
        """The folder of its records."""
        return RunFolder(self.root)

    @property
    def weights(self) -> Path:
        """Its weights file."""
        return self.folder.unit(self.unit, self.id) / WEIGHTS_FILE

    def unusable(self) -> Reason:
        """Return why its training left no network; nothing where it left one."""
        return no_network_reason(self.folder.record(self.unit, self.id))

    def load(self, device: str = "cpu") -> Model:
        """Load the network and its thresholds.

        Raises:
            StoreError: The weights were not kept, or are damaged.
        """
        if self.members:
            networks = [replace(self, id=id, members=()).load(device).network for id in self.members]
            record = self.folder.record(self.unit, self.id)
            return Model(
                network=Ensemble(networks).eval(),
                threshold=record["threshold"],
                seed=self.seed,
                device=device,
                operating=operating_of(record),
            )
        if not self.weights.is_file():
            raise StoreError(
                f"the weights of {self.unit[:-1]} {self.id} were not kept: remove its folder to train it again"
            )
        weights = self.folder.checked_path(self.unit, self.id, WEIGHTS_FILE)
        return load_trained(
            self.recipe, self.inputs, self.seed, weights, self.folder.record(self.unit, self.id), device
        )

    @contextmanager
    def open(self, device: str = "cpu") -> Generator[Model]:
        """Load the model for the duration of the context."""
        yield self.load(device)


def load_trained(
    recipe: RecipeSpec, inputs: Inputs, seed: int, weights: Path, record: Mapping[str, Any], device: str = "cpu"
) -> Model:
    """Return a trained network with its thresholds.

    Args:
        recipe: The recipe of the network.
        inputs: The images that it takes and the number of classes that it gives.
        seed: Seed of its training.
        weights: Its weights file.
        record: Its thresholds: `threshold` and `operating`.
        device: Device of the network.
    """

    def untrained() -> nn.Module:
        return channels_last(network_of(recipe, seed, inputs), torch.device(device)).eval()

    network = network_of(recipe, seed, inputs, empty_network)
    load_weights(network, weights)
    return Model(
        network=channels_last(network, torch.device(device)).eval(),
        layers=layers_of(recipe, network),
        untrained=None if recipe.given else untrained,
        threshold=record["threshold"],
        seed=seed,
        device=device,
        operating=operating_of(record),
    )


@dataclass(frozen=True)
class ProbeJob:
    """Reads one model on environments and runs probes on it; keeps outputs per image and measurements.

    Attributes:
        workspace: The run folder and the cache.
        model: The model.
        data: The images.
        tests: The environments to test on, by name.
        probes: Probes by the id of their unit.
        readings: Reading ids by name of the environment.
        keep_weights: Whether the weights of a trial stay when the probes are done; without them no further probe can be
            run.
        all_tested: Whether every row of files is a test row, as for a model that was trained elsewhere.
        device: Device of the model.
    """

    workspace: Workspace
    model: ModelRef
    data: DataSpec
    tests: Mapping[str, EnvironmentSpec]
    probes: Mapping[str, Component]
    readings: Mapping[str, str]
    keep_weights: bool = True
    all_tested: bool = False
    device: str = "cpu"

    def __call__(self, context: Context) -> None:
        """See `Job`. A training that left no network has nothing to read: its probes leave records that say so."""
        require_code(self.workspace.code)
        folder = self.workspace.folder
        missing = {id: component for id, component in self.probes.items() if not folder.probed(id)}
        if reason := self.model.unusable():
            for id, component in missing.items():
                folder.write_measurements(id, [], self._record(component, reason, ()))
            return
        context.report(0.0, "reading")
        population = population_of(self.data, self.workspace, self.device, all_tested=self.all_tested)
        scene = population.scene(self.tests, self.model.seed, self.model.fold)
        built = {id: build("probe", component.name, component.params) for id, component in missing.items()}
        with computing_on(self.device), self.model.open(self.device) as model:
            result = run_probes(model, scene, built, self._known_readings(folder))
        self._keep_outputs(folder, scene, result.reads)
        for id, component in missing.items():
            if id in result.sampled:
                folder.write_activations(id, result.sampled[id].row, result.sampled[id].layers)
            folder.write_measurements(
                id, result.measurements[id], self._record(component, NO_REASON, result.environments[id])
            )
        if not self.keep_weights:
            (folder.unit(self.model.unit, self.model.id) / WEIGHTS_FILE).unlink(missing_ok=True)

    @property
    def _model_key(self) -> dict[str, str]:
        """The field of a record that names its model: `trial`, `source` or `model`, with the id."""
        return {self.model.unit.removesuffix("s"): self.model.id}

    def _record(self, component: Component, reason: Reason, requested: Sequence[str]) -> dict[str, Any]:
        """Return the record of a probe. `readings`: of the environments asked for; without one the probe is missing."""
        return {
            **self._model_key,
            "probe": component.name,
            "params": dict(component.params),
            "reason": str(reason),
            "readings": {name: self.readings[name] for name in requested if name in self.readings},
        }

    def _known_readings(self, folder: RunFolder) -> dict[str, ModelOutputs]:
        readings = {name: id for name, id in self.readings.items() if folder.complete("readings", id)}
        return {name: stored_reading(folder.outputs(id)) for name, id in readings.items()}

    def _keep_outputs(
        self, folder: RunFolder, scene: PopulationScene, outputs_by_environment: Mapping[str, ModelOutputs]
    ) -> None:
        for name, id in self.readings.items():
            if name not in outputs_by_environment or folder.complete("readings", id):
                continue
            record = {**self._model_key, "environment": name}
            write_reading(
                folder, id, scene.environment(name).table, outputs_by_environment[name], record, self.model.fold
            )


def write_reading(
    folder: RunFolder, id: str, table: FactorTable, read: ModelOutputs, record: Mapping[str, Any], fold: int = 0
) -> None:
    """Write the results of a reading, but for its activations, with the rows that were read."""
    folds = np.full(len(table), fold, dtype=np.int64)
    columns = {"row": table.row, "patient": table.patient, "target": table.target, "fold": folds}
    folder.write_outputs(id, {**columns, "logits": read.logits, **read.maps}, record)


def stored_reading(outputs: Mapping[str, np.ndarray]) -> ModelOutputs:
    """Return the results of a reading that `write_reading` stored, without activations."""
    return ModelOutputs(
        outputs["logits"],
        {},
        {name: values for name, values in outputs.items() if name not in (*ROW_COLUMNS, "logits")},
    )


_populations: dict[tuple[str, Path, bool, str, bool, str], Population] = {}


def population_of(
    data: DataSpec,
    workspace: Workspace,
    device: str = "cpu",
    *,
    all_tested: bool = False,
    fresh: bool = False,
    on_progress: ProgressCallback = no_progress,
    compare_with: Dataset | None = None,
) -> Population:
    """Return a population, opened once per process.

    Args:
        data: The images.
        workspace: The run folder and the cache.
        device: Device that renders a phantom.
        all_tested: Make every row of files a test row.
        fresh: Open it again, since its files may have been edited; data opened before are dropped.
        on_progress: Callback for images while they are read.
        compare_with: A set with which images are compared, see `load_dataset`.
    """
    if fresh:
        _populations.clear()
    key = (
        canonical_json(data.canonical()),
        workspace.cache,
        workspace.skip_bad_rows,
        device,
        all_tested,
        compare_with.content if compare_with else "",
    )
    if key not in _populations:
        cache = ArrayCache(workspace.cache, on_progress)
        _populations[key] = open_population(
            data, cache, skip_bad_rows=workspace.skip_bad_rows, device=device, all_tested=all_tested, like=compare_with
        )
    return _populations[key]


def weights_path(folder: RunFolder, trial: str) -> Path:
    """Where a trial's weights are kept."""
    return folder.unit("trials", trial) / WEIGHTS_FILE


def inputs_of(population: Population, data: DataSpec, task: Task) -> Inputs:
    """Return the images and the number of classes of a study's networks."""
    classes = len(population.classes) if task == "classification" else 1 + len(population.kinds)
    return Inputs(population.channels, data.size, classes)


def network_of(
    recipe: RecipeSpec, seed: int, inputs: Inputs, make: Callable[..., nn.Module] = build_network
) -> nn.Module:
    """Return the network of a recipe before training; with `empty_network`, before its start was loaded too.

    One that was trained elsewhere is returned without its weights.
    """
    if recipe.given is not None:
        return given_network(recipe, inputs)
    weight_seed = stream_seed(recipe, seed)
    return make(recipe, seed=weight_seed, channels=inputs.channels, size=inputs.size, classes=inputs.classes)


def layers_of(recipe: RecipeSpec, network: nn.Module) -> tuple[str, ...]:
    """Return the dotted names of the layers that probes read."""
    if recipe.given is not None and (recipe.given.network or recipe.given.ensemble):
        return recipe.given.layers
    return as_network(network).layers


# Take models that were trained elsewhere into a run folder, as if they had been trained there.


@dataclass(frozen=True)
class ImportModelJob:
    """Copies one model that was trained elsewhere; validation images set its thresholds.

    Attributes:
        workspace: The run folder and the cache.
        data: The images.
        training: The trial that it stands for.
        models: Its files, several of an ensemble.
        device: Device on which validation images are read.
    """

    workspace: Workspace
    data: DataSpec
    training: TrainingSpec
    models: tuple[GivenWeights, ...]
    device: str = "cpu"

    def __call__(self, context: Context) -> None:
        """See `Job`. Raises WeightsError where a file was changed since the study was planned, or does not fit."""
        require_code(self.workspace.code)
        folder, id, start = self.workspace.folder, self.training.id, time.time()
        if folder.complete("trials", id):
            return
        unit = folder.unit("trials", id)
        with computing_on(self.device):
            record = self._load_given(context)
        write_json(unit / PROVENANCE, provenance(start, self.device))
        folder.write_record("trials", id, {"training": self.training.canonical(), **record})

    def _load_given(self, context: Context) -> dict[str, Any]:
        population = population_of(self.data, self.workspace, self.device)
        check_data(population, self.training)
        weights = self.training.recipe.given
        assert weights is not None
        for model in self.models:
            if file_hash(Path(model.path)) != model.sha256:
                raise WeightsError(f"{model.path} was changed since this run began: run the same command again")
        network = given_network(
            self.training.recipe,
            inputs_of(population, self.data, self.training.recipe.task),
            [file.path for file in self.models],
        )
        context.report(0.5, "reading validation images")
        _, validation = population.training(self.training.environment, self.training.seed, self.training.fold)
        thresholds = self._thresholds_of(Model(network.to(self.device), device=self.device), validation)
        save_weights(network, self.workspace.folder.unit("trials", self.training.id) / WEIGHTS_FILE)
        return {
            "status": "done",
            "reason": "",
            "yardstick": math.nan,
            "scaling": weights.preprocessing,
            "validation_images": len(validation),
            **thresholds,
        }

    def _thresholds_of(self, model: Model, validation: Environment) -> dict[str, Any]:
        """Return the thresholds that validation images set, as the record of a training has them."""
        read = ModelReading(model, [Request(validation)]).read(validation)
        target = validation.table.target
        if self.training.recipe.task == "segmentation":
            reached = [sensitivity_threshold(read.maps["lesion_score"], read.maps["floor"], level) for level in LEVELS]
            return {"threshold": None, "operating": [point.value for point in reached], "validation_auroc": None}
        threshold = youden_threshold(tensor_of(read.logits), tensor_of(target))
        return {"threshold": threshold, **validation_facts(read.logits, target)}
