"""The starts that a study trains itself: what they are named by, and the job that trains one for all runs."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.core.component import Component
from assay.core.data_spec import DataSpec
from assay.core.errors import SpecError
from assay.core.files import write_bytes
from assay.core.lock import holding
from assay.core.sources import start_of
from assay.core.spec import RecipeSpec, StudySpec, TrainingSpec
from assay.data.cache import ELSEWHERE
from assay.execution.jobs import OF_A_SOURCE, OF_OWN_IMAGES, WITHOUT_START, Place, TrainJob
from assay.execution.judged import CURVE
from assay.execution.provenance import PROVENANCE, provenance
from assay.execution.tasks import Context, Stopped
from assay.recipes.checkpoint import WEIGHTS_FILE
from assay.shifts.population import Population
from assay.store.files import write_json
from assay.store.folder import RunFolder, UnitKind

_LOOK_AGAIN = 0.2  # seconds


@dataclass(frozen=True)
class Source:
    """One source of one seed. `id`: the hash of what decides its weights, its own start included."""

    id: str
    name: str
    data: DataSpec
    training: TrainingSpec

    @property
    def label(self) -> str:
        """What progress and messages call it."""
        fold = f", fold {self.training.fold}" if self.training.fold else ""
        return f"source {self.name}, seed {self.training.seed}{fold}"

    @property
    def start(self) -> str:
        """The id of the source that it starts from; empty where it starts otherwise."""
        return start_id(self.training.recipe)


def start_id(recipe: RecipeSpec) -> str:
    """The id of the source that a recipe starts from, once `settled`; empty where it starts otherwise."""
    start = recipe.initialisation
    return str(start.params["id"]) if start.name == "source" else ""


def settled(
    recipe: RecipeSpec, seed: int, fold: int, spec: StudySpec, populations: Mapping[str, Population]
) -> tuple[RecipeSpec, tuple[Source, ...]]:
    """The recipe with the id of the source it starts from in place of its name, and the sources this needs, in order.

    populations: of every source by name. Its seed is the trial's, so that trials of several seeds have several sources;
    so is its fold where it is trained on the study's own images.
    """
    name = start_of(recipe)
    if not name:
        return recipe, ()
    given = spec.sources[name]
    own = given.recipe.model_copy(update={"architecture": recipe.architecture})
    own, below = settled(own, seed, fold, spec, populations)
    drawn = OF_OWN_IMAGES if given.own else OF_A_SOURCE
    identity = {**populations[name].identity(given.environment, given.recipe.groups), **drawn}
    part = fold if given.own else 0
    training = TrainingSpec(data=identity, environment=given.environment, recipe=own, seed=seed, fold=part)
    source = Source(training.id, name, given.data, training)
    return started_from(recipe, source.id), (*below, source)


def started_from(recipe: RecipeSpec, id: str) -> RecipeSpec:
    """The recipe with a start that is named by its id."""
    given = recipe.initialisation.params
    start = Component(kind="initialisation", name="source", params={**given, "name": "", "id": id})
    return recipe.model_copy(update={"initialisation": start})


def check_sources(spec: StudySpec, population: Population, sources: Mapping[str, Population]) -> None:
    """Refuse a source that could not be taken up, or whose images could be the study's test images. Raises SpecError.

    What a network was pretrained on counts as training rows. Phantoms draw training rows that no test has, and the
    study's own training images are none of its tests; other images from files would have to be kept apart from the
    study's test patients, which nothing here can know.
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


def missing_sources(sources: Sequence[Source], wanted: Collection[str], place: Place) -> list[Source]:
    """The sources that must be trained, or whose record the run folder lacks, for the units that start from `wanted`.

    wanted: ids. What a missing source itself starts from is wanted too.
    """
    missing: list[Source] = []
    ids = set(wanted)
    for source in reversed(sources):
        if source.id in ids and not _complete(source, place):
            missing.append(source)
            ids.add(source.start)
    return missing[::-1]


def _complete(source: Source, place: Place) -> bool:
    """Whether the run folder has the record, and the cache the weights of a source that is of use."""
    if not place.folder.complete("sources", source.id):
        return False
    return place.folder.record("sources", source.id)["status"] != "done" or _in_cache(source.id, place.cache)


def _in_cache(id: str, cache: Path) -> bool:
    """Whether it was trained: its weights are there, or a record that it is of no use, which needs none."""
    folder = RunFolder(cache)
    return folder.complete("sources", id) and (
        (folder.unit("sources", id) / WEIGHTS_FILE).is_file() or folder.record("sources", id)["status"] != "done"
    )


@dataclass(frozen=True)
class SourceJob:
    """Trains a source once, in the cache that runs share, and leaves its record in the run folder.

    start: the source that it starts from. One that collapsed or diverged is a result; what starts from it ends alike.
    """

    place: Place
    source: Source
    device: str = "cpu"
    start: Source | None = None

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        id, folder = self.source.id, self.place.folder
        began = time.time()
        if lost := _without_start(self.start, folder):
            _leave(folder, "sources", self.source.training, lost, provenance(began, self.device))
            return
        shared = replace(self.place, root=self.place.cache)
        unit = shared.folder.unit("sources", id)

        def wait() -> None:
            context.report(0.0, "another run trains it")
            if context.should_stop():
                raise Stopped
            time.sleep(_LOOK_AGAIN)

        if _in_cache(id, self.place.cache):  # what is there may be read-only
            self._take(shared.folder)
            return
        with holding(unit / ".lock", wait, remedy=ELSEWHERE):
            if not _in_cache(id, self.place.cache):  # another run may have left it meanwhile
                (unit / "record.json").unlink(missing_ok=True)  # weights that were deleted are trained again
                TrainJob(shared, self.source.data, self.source.training, self.device, kind="sources")(context)
            self._take(shared.folder)

    def _take(self, shared: RunFolder) -> None:
        """Copy what the cache has of it, but its weights, into the run folder."""
        id, folder = self.source.id, self.place.folder
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
        folder, began = self.train.place.folder, time.time()
        if lost := _without_start(self.start, folder):
            _leave(folder, "trials", self.train.training, lost, provenance(began, self.train.device))
        else:
            self.train(context)


def _without_start(start: Source | None, folder: RunFolder) -> dict[str, Any]:
    """The record of what starts from a source that is of no use; empty where it is of use, or there is none."""
    record = folder.record("sources", start.id) if start else {"status": "done"}
    if start is None or record["status"] == "done":
        return {}
    reason = f"{start.label} {record['status']}, so nothing starts from it: {record['reason']}"
    return {"status": record["status"], "reason": reason, WITHOUT_START: start.id}


def _leave(
    folder: RunFolder, kind: UnitKind, training: TrainingSpec, record: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    """The whole of a unit that was never trained: where it was settled, and last its record."""
    write_json(folder.unit(kind, training.id) / PROVENANCE, made)
    folder.write_record(kind, training.id, {"training": training.canonical(), **record})
