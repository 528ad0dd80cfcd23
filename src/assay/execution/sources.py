"""Sources that a study trains itself, for trials to start from: their names, and the jobs that train them.

`resolve_start` puts the id of a source in the place of its name in a recipe. `SourceJob` trains a source once for all
runs, in the cache that they share. `StartedJob` trains a trial once its source is trained.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core.errors import SpecError
from assay.core.files import WEIGHTS_FILE, cache_folder, file_lock, write_bytes
from assay.core.reasons import Code, Reason, reason_of
from assay.data.cache import NO_ROOM_REMEDY
from assay.execution.tasks import Context, Stopped
from assay.execution.workspace import (
    CURVE,
    OF_A_SOURCE,
    OF_OWN_IMAGES,
    PROVENANCE,
    WITHOUT_START,
    Workspace,
    provenance,
)
from assay.spec.environments import start_of
from assay.spec.recipe import Component, RecipeSpec
from assay.spec.schema import DataSpec, RecipePoint, StudySpec, TrainingSpec
from assay.store.files import write_json
from assay.store.folder import RunFolder, checked_id
from assay.store.layout import UnitKind

if TYPE_CHECKING:
    from assay.execution.jobs import TrainJob
    from assay.shifts.population import Population

_POLL_SECONDS = 0.2  # seconds


@dataclass(frozen=True)
class Source:
    """One source of one seed.

    Attributes:
        id: The hash of all inputs of its weights, its own start included.
    """

    id: str
    name: str
    data: DataSpec
    training: TrainingSpec

    @property
    def label(self) -> str:
        """Name in progress and messages."""
        fold = f", fold {self.training.fold}" if self.training.fold else ""
        return f"source {self.name}, seed {self.training.seed}{fold}"

    @property
    def start(self) -> str:
        """The id of the source that it starts from; empty where it starts otherwise."""
        return start_id(self.training.recipe)


def start_id(recipe: RecipeSpec) -> str:
    """Return the id of the source that a recipe starts from, once settled (`resolve_start`); empty for other starts."""
    start = recipe.initialization
    return str(start.params["id"]) if start.name == "source" else ""


def resolve_start(
    recipe: RecipeSpec, seed: int, fold: int, spec: StudySpec, populations: Mapping[str, Population]
) -> tuple[RecipeSpec, tuple[Source, ...]]:
    """Return the recipe with the id of the source it starts from in place of its name, and the sources this needs, in
    order.

    Args:
        populations: Of every source by name. Its seed is the trial's, so that trials of several seeds have several
            sources; so is its fold where it is trained on the study's own images.
    """
    name = start_of(recipe)
    if not name:
        return recipe, ()
    spec_of_source = spec.sources[name]
    recipe_of_source = spec_of_source.recipe.model_copy(update={"architecture": recipe.architecture})
    recipe_of_source, earlier_sources = resolve_start(recipe_of_source, seed, fold, spec, populations)
    source_keys = OF_OWN_IMAGES if spec_of_source.own else OF_A_SOURCE
    identity = {**populations[name].identity(spec_of_source.environment, spec_of_source.recipe.groups), **source_keys}
    source_fold = fold if spec_of_source.own else 0
    training = TrainingSpec(
        data=identity, environment=spec_of_source.environment, recipe=recipe_of_source, seed=seed, fold=source_fold
    )
    source = Source(training.id, name, spec_of_source.data, training)
    return with_start_id(recipe, source.id), (*earlier_sources, source)


def with_start_id(recipe: RecipeSpec, id: str) -> RecipeSpec:
    """Return the recipe with a start that is named by its id."""
    params = recipe.initialization.params
    start = Component(kind="initialization", name="source", params={**params, "name": "", "id": id})
    return recipe.model_copy(update={"initialization": start})


def with_weights(point: RecipePoint, seed: int, spec: StudySpec) -> RecipeSpec:
    """Return the recipe of a point; with checksums of a seed's weights, where these were trained elsewhere."""
    given = point.recipe.given
    if given is None:
        return point.recipe
    models = spec.given(point, seed)
    recipe_of_models = next((model.recipe for model in models if model.recipe), None) or point.recipe
    weights = tuple(model.sha256 for model in models)
    return recipe_of_models.model_copy(update={"given": given.model_copy(update={"weights": weights})})


def check_sources(spec: StudySpec, population: Population, sources: Mapping[str, Population]) -> None:
    """Refuse a source that could not be taken up, or whose images could be the study's test images. Raises SpecError.

    Pretraining images count as training rows. Phantoms draw training rows that no test has, and the study's own
    training images are none of its tests; other images from files would have to be kept apart from the study's test
    patients, which nothing here can know.
    """
    for name, images in sources.items():
        if images.phantom is None and not spec.sources[name].own:
            raise SpecError(
                f"source '{name}' is trained on images from files, which may be the study's own test patients: train "
                "sources on phantoms or on the study's own training images (`data: own`), or give weights as a file"
            )
        if images.channels > population.channels:
            raise SpecError(
                f"source '{name}' has images of {images.channels} channel(s), the study's have {population.channels}: "
                "networks that start from it could not take them"
            )


def missing_sources(sources: Sequence[Source], started_from: Collection[str], workspace: Workspace) -> list[Source]:
    """Return the sources that must be trained, or whose record the run folder lacks, for the units that start from
    `started_from`.

    Args:
        sources: All sources, each after its own sources.
        started_from: Ids of the sources that these units start from. The sources of a missing source are added.
        workspace: The run folder and the cache. A source without its record is missing even where nothing is left to
            start from it: the tables show the record.
    """
    missing: list[Source] = []
    ids = set(started_from)
    for source in reversed(sources):
        has_record = workspace.folder.complete("sources", source.id)
        if not has_record or (source.id in ids and not _is_complete(source, workspace)):
            missing.append(source)
            ids.add(source.start)
    return missing[::-1]


def _is_complete(source: Source, workspace: Workspace) -> bool:
    """Return whether the run folder has the record, and the cache the weights of a source that is of use."""
    if not workspace.folder.complete("sources", source.id):
        return False
    return workspace.folder.record("sources", source.id)["status"] != "done" or _is_in_cache(source.id, workspace.cache)


def _is_in_cache(id: str, cache: Path) -> bool:
    """Return whether it was trained: its weights are there, or a record that it is of no use, which needs none."""
    folder = RunFolder(cache)
    return folder.complete("sources", id) and (
        (folder.unit("sources", id) / WEIGHTS_FILE).is_file() or folder.record("sources", id)["status"] != "done"
    )


@dataclass(frozen=True)
class SourceJob:
    """Trains a source once, in the cache that runs share, and leaves its record in the run folder.

    Attributes:
        start: The source that it starts from. One that collapsed or diverged is a result; units that start from it end
            alike.
    """

    workspace: Workspace
    source: Source
    device: str = "cpu"
    start: Source | None = None

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        from assay.execution.jobs import TrainJob

        id, folder = self.source.id, self.workspace.folder
        start = time.time()
        if failure := _failed_source_record(self.start, folder):
            _write_untrained(folder, "sources", self.source.training, failure, provenance(start, self.device))
            return
        shared = replace(self.workspace, root=self.workspace.cache)
        unit = cache_folder(self.workspace.cache, "sources", checked_id(id))

        def wait() -> None:
            context.report(0.0, "another run trains it")
            if context.should_stop():
                raise Stopped
            time.sleep(_POLL_SECONDS)

        if _is_in_cache(id, self.workspace.cache):  # existing sources may be read-only
            self._take(shared.folder)
            return
        _check_weights(self.start, self.workspace)
        with file_lock(unit / ".lock", wait, remedy=NO_ROOM_REMEDY):
            if not _is_in_cache(id, self.workspace.cache):  # another run may have left it meanwhile
                (unit / "record.json").unlink(missing_ok=True)  # weights that were deleted are trained again
                for partial_file in unit.glob(".*.partial"):  # by one that was killed: the lock is held
                    partial_file.unlink(missing_ok=True)
                TrainJob(shared, self.source.data, self.source.training, self.device, kind="sources")(context)
            self._take(shared.folder)

    def _take(self, shared: RunFolder) -> None:
        """Copy its files in the cache, except its weights, into the run folder."""
        id, folder = self.source.id, self.workspace.folder
        unit = shared.unit("sources", id)
        for name in (CURVE, PROVENANCE):
            if (unit / name).is_file():  # one that diverged has no curve
                write_bytes(folder.unit("sources", id) / name, (unit / name).read_bytes())
        folder.write_record("sources", id, shared.record("sources", id))


@dataclass(frozen=True)
class StartedJob:
    """Trains a trial that starts from a source, once that has its record.

    Where the source collapsed or diverged, so did the recipe, of which pretraining is a part: the trial's record says
    so, and which source it was.
    """

    train: TrainJob
    start: Source

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        folder, start = self.train.workspace.folder, time.time()
        if failure := _failed_source_record(self.start, folder):
            _write_untrained(folder, "trials", self.train.training, failure, provenance(start, self.train.device))
        else:
            _check_weights(self.start, self.train.workspace)
            self.train(context)


def _failed_source_record(start: Source | None, folder: RunFolder) -> dict[str, Any]:
    """Return the record of a unit that starts from an unusable source; empty where it is of use, or there is none."""
    record = folder.record("sources", start.id) if start else {"status": "done"}
    if start is None or record["status"] == "done":
        return {}
    reason = Reason.of(Code.LOST_SOURCE, source=start.label, status=record["status"]) + reason_of(record)
    return {"status": record["status"], "reason": str(reason), WITHOUT_START: start.id}


def _check_weights(start: Source | None, workspace: Workspace) -> None:
    """Raises StoreError where the weights of a source that is of use are not those that its training left."""
    if start and _is_in_cache(start.id, workspace.cache):
        RunFolder(workspace.cache).checked_path("sources", start.id, WEIGHTS_FILE)


def _write_untrained(
    folder: RunFolder, kind: UnitKind, training: TrainingSpec, record: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write the folder of a unit that was never trained: its provenance, and last its record."""
    write_json(folder.unit(kind, training.id) / PROVENANCE, facts)
    folder.write_record(kind, training.id, {"training": training.canonical(), **record})
