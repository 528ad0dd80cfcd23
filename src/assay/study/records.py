"""Records of a study in its run folder: spec, plan, shape of data. Reading a study needs nothing but this folder.

`run.json` holds the checked spec, `plan.json` the units that were planned when it was last run. Data and code may
have changed since, or be gone: whoever reads a finished study goes by these files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from assay.core.errors import SpecError, StoreError
from assay.core.files import WEIGHTS_FILE, at_home, content_hash, default_cache_root, is_file, sha256
from assay.core.registry import code_of_folder, require_trusted_address
from assay.core.types import Inputs
from assay.execution.plan import Plan, ProbeUnit, Trial
from assay.execution.sources import Source, start_id, with_start_id, with_weights
from assay.execution.workspace import Workspace
from assay.spec.given import EXPORTED
from assay.spec.recipe import Component
from assay.spec.schema import DataSpec, RecipePoint, RecipeSpec, StudySpec, TrainingSpec
from assay.store.description import DESCRIPTION
from assay.store.files import read_checked_json, read_json, write_checked_json
from assay.store.folder import RunFolder, checked_id, received_folder
from assay.store.layout import RUN, UnitKind
from assay.store.manifest import is_ours
from assay.store.migrations import migrate
from assay.store.schema import SCHEMA_VERSION
from assay.study.kind import STUDY

if TYPE_CHECKING:
    from assay.execution.jobs import TrainedModel
    from assay.models.ref import Model, Unit


PLAN = "plan.json"
Value = TypeVar("Value")

KINDS_OF_UNITS: tuple[UnitKind, ...] = ("sources", "trials", "models", "readings", "probes")
AGAIN = "run the study again with its spec"


@dataclass(frozen=True)
class StoredStudy:
    """A study as its run folder has it.

    stamp: as it was when the study was begun; a component of the user's own may have been edited since.
    """

    plan: Plan
    inputs: Inputs
    skip_bad_rows: bool
    stamp: Mapping[str, str]


def store(folder: RunFolder, plan: Plan, inputs: Inputs) -> None:
    """Write the plan, before anything of it is run."""
    folder.remove_end_marks()
    write_checked_json(folder.root / PLAN, {"schema": SCHEMA_VERSION, **_plan_values(plan, inputs)})


def study_values(spec: StudySpec, skip_bad_rows: bool) -> dict[str, Any]:
    """Return a study as its run folder keeps it."""
    complete = spec.model_dump(mode="json", context={"complete": True})
    command = {"command": spec.command} if spec.command else {}
    return {"skip_bad_rows": skip_bad_rows, "spec": complete, "written": spec.written, **command}


def stamp(plan: Plan) -> dict[str, str]:
    """Return the stamp of tables: the hashes of the spec's parts, and of all units, which also depend on the data."""
    spec = plan.spec
    units = content_hash(sorted(set(plan.ids())))
    return {"trained": spec.training_hash, "probed": spec.probe_hash, "compared": spec.contrast_hash, "units": units}


def stored_study(root: Path) -> StoredStudy:
    """Spec and plan of a run folder. Raises StoreError when there are none, or another Assay wrote them."""
    plan = plan_values(root)
    study = RunFolder(root).document()
    asked, path = study["request"], root / RUN
    with code_of_folder():
        spec = _read(
            path,
            lambda: StudySpec.model_validate(
                {**asked["spec"], "written": asked["written"], "command": asked.get("command", "")}
            ),
        )
        return _read(root / PLAN, lambda: _stored_from_values(spec, plan, study))


def require_known_addresses(root: Path, plan: Plan) -> None:
    """Check that training the study of a run folder again asks no address that only a received folder names.

    Raises:
        CodeError: It names one whose file is not in the cache, and this user did not make the folder here.
    """
    from assay.models.weight_files import cached_path, weights_cache

    for unit in () if is_ours(root) else (*plan.sources, *plan.trials):
        start = unit.training.recipe.initialization
        if start.name == "download":
            url, sha256 = str(start.params["url"]), str(start.params["sha256"])
            if not is_file(cached_path(url, sha256, weights_cache())):
                require_trusted_address(url)


def plan_values(root: Path) -> dict[str, Any]:
    """The plan of a run folder as it was written. Raises StoreError when there is none."""
    RunFolder(root).require_run()
    RunFolder(root).require(STUDY)
    path = root / PLAN
    if not path.is_file():
        raise StoreError(f"{root} holds no {PLAN}, which says what its records are: {AGAIN}")
    values = migrate(read_checked_json(path), path)
    for kind in KINDS_OF_UNITS:
        for entry in values.get(kind, ()):
            checked_id(str(entry["id"]))
    return values


def unnamed_units(root: Path) -> list[Path]:
    """Units in a run folder that its study no longer names: folders of trials, readings and probes, and failures.

    The study is the one that was last run here, with the data as they were then. Raises StoreError when it names none
    of the units here, so that nothing that took hours is deleted by mistake.
    """
    plan = plan_values(root)
    named = {entry["id"] for kind in KINDS_OF_UNITS for entry in plan.get(kind, ())}
    folders = [path for kind in KINDS_OF_UNITS for path in sorted((root / kind).glob("*"))]
    failures = sorted((root / "failures").glob("*.json"))
    if folders and not any(path.name in named for path in folders):
        raise StoreError(
            f"the study last run in {root} names none of the {len(folders)} units here, so nothing is cleaned: "
            "finish its run first, or delete the folder by hand"
        )
    return [path for path in (*folders, *failures) if path.stem not in named]


def stored_model(unit: Path) -> Model:
    """Load a trained model from the folder of its trial or source. Raises StoreError when it holds no complete one."""
    return trained_model(unit).load()


@dataclass(frozen=True)
class ExportedTraining:
    """A trained network in a folder of its own, which `assay export` writes.

    Attributes:
        root: The folder.
        values: Its `model.json`.
    """

    root: Path
    values: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Id of the training, and of the weights."""
        return f"{self.values['id']} {self.values['sha256'][:16]}"

    def load(self, device: str = "cpu") -> Model:
        """Load the network and its thresholds.

        Raises:
            StoreError: The weights are not there, or are others than those that were exported.
        """
        from assay.execution.jobs import load_trained

        weights = self.root / WEIGHTS_FILE
        with code_of_folder():
            recipe = _read(self.root / EXPORTED, lambda: RecipeSpec.model_validate(self.values["recipe"]))
        if not weights.is_file():
            raise StoreError(f"{self.root} holds no {WEIGHTS_FILE}: give its .onnx file, or export it as safetensors")
        if sha256(weights) != self.values["sha256"]:
            raise StoreError(f"{weights} is damaged or changed: export the network again")
        inputs = _inputs_of(self.values["input"])
        return load_trained(recipe, inputs, self.values["seed"], weights, self.values["output"], device)


_MOST = {"channels": 64, "size": 4096, "classes": 10_000}
"""The largest inputs of a network that are read: memory is taken for them, and a received file may state any number."""


def _inputs_of(values: Mapping[str, Any]) -> Inputs:
    """Return the images and classes of a stored network. Raises TypeError, KeyError or SpecError for strange ones."""
    for name, most in _MOST.items():
        if not 1 <= index(values[name]) <= most:
            raise SpecError(f"{name} {values[name]} of a network: expected 1 to {most}")
    return Inputs(**{name: values[name] for name in _MOST})


def _exported_values(path: Path) -> Mapping[str, Any]:
    """Return what `assay export` wrote of a network. Raises StoreError for what anybody else wrote there."""
    values = read_json(path)

    def checked() -> Mapping[str, Any]:
        _inputs_of(values["input"])
        output = values["output"]
        texts = [*(values[key] for key in ("id", "sha256", "task")), *output["classes"]]
        numbers = [values["seed"], output["threshold"], *output["operating"]]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a text")
        if not all(number is None or (isinstance(number, int | float) and isfinite(number)) for number in numbers):
            raise TypeError("a number")
        return values

    return _read(path, checked)


def class_names(run: RunFolder, count: int) -> tuple[str, ...]:
    """Return the names of so many classes in the order of a network's outputs; none before a run has ended.

    Raises:
        StoreError: It has ended, and the file that names them is missing or damaged.
    """
    path = run.root / DESCRIPTION
    names: Sequence[str] = read_checked_json(path)["classes"] if is_file(path) or run.has_ended else ()
    return tuple(names) if len(names) == count else ()


def trained_model(unit: Path) -> TrainedModel | ExportedTraining:
    """Return the model of a trial or source from its folder in a run folder, or of a folder that was exported.

    Raises:
        StoreError: It holds no complete trial or source, or the run folder names none of that id.
    """
    from assay.execution.jobs import TrainedModel

    path = at_home(unit).resolve()
    if (path / EXPORTED).is_file():
        return ExportedTraining(path, _exported_values(path / EXPORTED))
    if (path / RUN).is_file() and (trial := next(RunFolder(path).ids("trials"), "")):
        raise StoreError(f"{unit} is a whole run: name one of its networks, such as {Path(unit) / 'trials' / trial}")
    root, id = path.parent.parent, path.name
    folder = RunFolder(root)
    kind: Unit = "sources" if path.parent.name == "sources" else "trials"
    if not (root / RUN).is_file() or not folder.complete(kind, id):
        raise StoreError(f"{unit} holds no complete trial: choose a folder of trials/ with a record.json")
    received_folder.set(None if is_ours(root) else root)
    study = stored_study(root)
    if kind == "sources":
        return _trained_source(id, study, root)
    planned = next((planned for planned in study.plan.trials if planned.id == id), None)
    if planned is None:
        raise StoreError(f"trial {id} is named by no spec of {root}: run the study that made it again")
    return TrainedModel.of(root, id, planned.training, study.inputs)


def _trained_source(id: str, study: StoredStudy, root: Path) -> TrainedModel:
    """Return the model of a source, whose weights lie in the cache."""
    from assay.execution.jobs import TrainedModel, inputs_of, population_of

    planned = next((planned for planned in study.plan.sources if planned.id == id), None)
    if planned is None:
        raise StoreError(f"source {id} is named by no spec of {root}: run the study that made it again")
    workspace = Workspace(root, default_cache_root(), study.skip_bad_rows)
    inputs = inputs_of(population_of(planned.data, workspace), planned.data, planned.training.recipe.task)
    return TrainedModel.of(workspace.cache, id, planned.training, inputs, "sources")


def _plan_values(plan: Plan, inputs: Inputs) -> dict[str, Any]:
    complete = {"complete": True}
    components = {id(unit.component): unit.component for unit in plan.probes}
    dumped = {key: component.model_dump(mode="json", context=complete) for key, component in components.items()}
    return {
        "inputs": {"channels": inputs.channels, "size": inputs.size, "classes": inputs.classes},
        "trials": [
            {
                "id": trial.id,
                "point": trial.point.label,
                "seed": trial.training.seed,
                "fold": trial.training.fold,
                "members": list(trial.training.members),
                "data": trial.training.data,
                "start": start_id(trial.training.recipe),
            }
            for trial in plan.trials
        ],
        "sources": [
            {
                "id": source.id,
                "name": source.name,
                "data": source.data.model_dump(mode="json", context=complete),
                "training": source.training.model_dump(mode="json", context=complete),
            }
            for source in plan.sources
        ],
        "probes": [
            {
                "id": unit.id,
                "trial": unit.trial.id,
                "point": unit.trial.point.label,
                "component": dumped[id(unit.component)],
            }
            for unit in plan.probes
        ],
        "readings": [
            {"id": id, "point": point, "trial": trial, "environment": environment}
            for (point, trial, environment), id in plan.readings.items()
        ],
    }


def _stored_from_values(spec: StudySpec, values: dict[str, Any], study: Mapping[str, Any]) -> StoredStudy:
    points = {point.label: point for point in spec.points}
    trials = {
        (entry["point"], entry["id"], entry["seed"]): _trial(entry, points[entry["point"]], spec)
        for entry in values["trials"]
    }
    by_id = {(label, id): trial for (label, id, _), trial in trials.items()}
    probes = [
        ProbeUnit(entry["id"], by_id[entry["point"], entry["trial"]], Component.model_validate(entry["component"]))
        for entry in values["probes"]
    ]
    readings = {(entry["point"], entry["trial"], entry["environment"]): entry["id"] for entry in values["readings"]}
    sources = tuple(_source(entry) for entry in values["sources"])
    plan = Plan(spec, tuple(trials.values()), tuple(probes), readings, sources)
    return StoredStudy(plan, _inputs_of(values["inputs"]), study["request"]["skip_bad_rows"], study["stamp"])


def _trial(entry: dict[str, Any], point: RecipePoint, spec: StudySpec) -> Trial:
    recipe = with_weights(point, entry["seed"], spec)
    recipe = with_start_id(recipe, entry["start"]) if entry["start"] else recipe
    training = TrainingSpec(
        data=entry["data"],
        environment=point.train,
        recipe=recipe,
        seed=entry["seed"],
        fold=entry["fold"],
        members=entry["members"],
    )
    return Trial(entry["id"], training, point, spec.ensemble)


def _source(entry: dict[str, Any]) -> Source:
    data, training = DataSpec.model_validate(entry["data"]), TrainingSpec.model_validate(entry["training"])
    return Source(entry["id"], entry["name"], data, training)


def _read(path: Path, make: Callable[[], Value]) -> Value:
    """Return the result of `make` for a file; any problem with the file is reported in one sentence."""
    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"cannot read {path}: {place}: {first['msg']}; {AGAIN}") from error
    except (KeyError, TypeError, SpecError) as error:
        raise StoreError(f"cannot read {path}: it lacks or misnames {error}; {AGAIN}") from error
