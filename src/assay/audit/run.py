"""Audit a model: what its predictions change with, on the user's own images."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.audit.answers import (
    StoredPredictions,
    digests_of,
    image_keys,
    image_rows,
    provenance_rows,
    reason_of_error,
    write_mark,
)
from assay.audit.battery import DECIDING, DETAIL
from assay.audit.cases import ChangedPredictions, draw_cases
from assay.audit.checks import (
    N_FIRST_IMAGES,
    ChangedOnReading,
    alternative_framings,
    alternative_scalings,
    better_tensor_sentences,
    checks_of_images,
    other_backgrounds,
    raw_scores,
    training_scene,
    with_outputs,
    with_scores,
)
from assay.audit.harms import sort_by_harm
from assay.audit.inside import inside_rows, undefined_rows
from assay.audit.kind import AUDIT
from assay.audit.leads import leads_of_images, top_leads
from assay.audit.model import SCALINGS, PreparedAudit, prepare_model, read_predictions, write_model_record
from assay.audit.origins import TrainedOrigin
from assay.audit.plan import (
    AuditPlan,
    AuditSize,
    NeutralizedRegions,
    PlannedReading,
    StageCallback,
    balanced_rows,
    least_budget,
    plan_sizes,
    require_classes_for_task,
    require_consistent,
    require_same_classes,
    seconds_per_image,
    take_with_masks,
)
from assay.audit.references import (
    RegionLimits,
    read_limits,
    read_reference,
    shipped_limits,
    shipped_rates,
    shipped_reference,
    shipped_search_rates,
    trained_on,
)
from assay.audit.request import AuditRequest, untested_words
from assay.audit.scored import CHANNEL
from assay.audit.search.regions import FINDERS_OF_CARRIERS, FINDERS_RUN_ONCE, FinderName
from assay.audit.search.run import VERSION, Search, image_properties, not_searched, with_lesion_classes
from assay.audit.search.sample import sd_within_classes
from assay.audit.subgroups import added_value_rows, column_rows, column_tables
from assay.audit.verdicts import Reference
from assay.core.errors import ReadingError, key_text
from assay.core.files import cache_folder, content_hash
from assay.core.reasons import Code, Reason
from assay.data.cache import ProgressCallback, no_progress
from assay.data.dataset import Images
from assay.data.files.request import data_of
from assay.execution.jobs import write_reading
from assay.execution.local import InProcess, computing_on
from assay.execution.run import ObserverFactory, RunSteps, Tables, carry_out
from assay.execution.tasks import Context, Event, Observer, Task
from assay.look.checks import data_checks
from assay.look.cues import Cue
from assay.models.ref import Origin
from assay.probes.probe import ModelOutputs
from assay.report.pictures import PictureWriter
from assay.shifts.environment import Environment
from assay.stats.bounds import MARGIN
from assay.stats.rows import ADVERSE_VERDICTS, REPORTED, leading_region
from assay.store.files import Row, read_checked_json
from assay.store.folder import RunFolder

N_ROUNDS = 3
"""Rounds of the search for marks that images carry; each removes what those before it found."""
_REGION_MARGIN = 1 / 12
"""Share of the image that is added to each side of a region that is neutralized, for marks that extend beyond it."""


def with_images(request: AuditRequest, say: StageCallback = lambda text: None) -> AuditRequest:
    """Return the request with its images, and those of the training, as `data` of a study.

    Args:
        request: What to do. What it names is named of the images; those of the training have the same columns, if they
            have a table.
        say: Callback for what was guessed.

    Raises:
        SpecError: No column is surely the target, one is missing, or something is named that they do not use.
        DataError: A table cannot be read.
    """
    images_of = {"data": data_of(request.data, key_text("--images"), **request.named, labels=request.labels)}
    if request.train is not None:
        images_of["train"] = data_of(
            request.train, key_text("--train"), lenient=True, **{**request.named, "columns": ()}
        )
    for option, field_name in (("--images", "data"), ("--train", "train")):
        if field_name in images_of and (line := images_of[field_name].line):
            say(f"{option} {getattr(request, field_name)}: {line}")
    data = images_of["data"].data
    if "guessed" in data and not request.columns and (untested := untested_words([*images_of["data"].others])):
        data["guessed"] = "; ".join(filter(None, (data["guessed"], f"not tested: {untested}")))
    return request.with_changes(
        **{field_name: {**images.data, **request.keys} for field_name, images in images_of.items()}
    )


def run_audit(
    origin: Origin,
    request: AuditRequest,
    *,
    dry_run: bool = False,
    from_prepared_images: bool = False,
    on_progress: ProgressCallback = no_progress,
    say: StageCallback = lambda text: None,
) -> Path | tuple[AuditSize, float]:
    """Audit a model and write its tables, `verdicts.json` and page. Stored predictions are not computed again.

    Args:
        origin: The model.
        request: What to do. `data` and `train` are as `data` of a study; all rows are tested.
        dry_run: Return the plan, and read no more than the first images.
        from_prepared_images: Whether the predictions are for images that were prepared before. Nothing is searched
            then, since a search chooses images by predictions.
        on_progress: Callback for images while they are read.
        say: Callback for each step.

    Returns:
        The run folder, or the plan of a dry run with the seconds that an image takes.

    Raises:
        SpecError: The request is wrong, or the model seems to be read wrongly.
        DataError: Rows cannot be read, or all are of one class.
        ReadingError: The model cannot take the images, or gives no scores of the right shape.
        StoreError: The folder holds the audit of another model, target or images, or another kind of run.
    """
    require_consistent(request)
    if request.out is not None:
        RunFolder(request.out).require(AUDIT)
    prepared = prepare_model(origin, request.probe_request, on_progress)
    all_images = prepared.scene.environment("all")
    require_classes_for_task(request, all_images.table)
    prepared = with_outputs(prepared, all_images, request)
    subject_hash = _subject_hash(prepared, all_images)
    if request.out is None:
        prepared = replace(
            prepared,
            workspace=replace(prepared.workspace, root=cache_folder(prepared.workspace.cache, "audits", subject_hash)),
        )
    folder = prepared.workspace.folder
    folder.require(AUDIT, subject_hash)
    sizes = plan_sizes(request, all_images, search=not from_prepared_images)
    if dry_run:
        with computing_on(prepared.device):
            return sizes, seconds_per_image(prepared, all_images)
    plan = AuditPlan(all_images, request, sizes, {"data": prepared.scene.identity("all")})
    run = AuditRun(request, prepared, plan, subject_hash, from_prepared_images, say)
    with computing_on(prepared.device):
        carry_out(run, folder.root, InProcess(), _announce_once(say))
    return folder.root


def _announce_once(say: StageCallback) -> ObserverFactory:
    """Return a `ObserverFactory` that says each step once."""
    sentences_said = set[str]()

    @contextmanager
    def watch(_: Sequence[Task]) -> Generator[Observer]:
        def observe(event: Event) -> None:
            if event.task.label not in sentences_said:
                sentences_said.add(event.task.label)
                say(event.task.label)

        yield observe

    return watch


def _subject_hash(prepared: PreparedAudit, all_images: Environment) -> str:
    """Return the hash of the model, its output, the images and their classes, however they are read.

    An audit of the same is made again in its folder, as with another scaling or budget; one of others is refused.
    """
    model, table = prepared.model, all_images.table
    output = None if model.output is None else model.output.column
    images = image_keys(prepared, all_images) if digests_of(prepared) else [prepared.scene.identity("all")]
    return content_hash(
        [
            model.origin.kind,
            model.origin.content,
            model.answers,
            model.task,
            output,
            *images,
            list(table.classes),
            table.target.tolist(),
        ]
    )


# The audit itself.


@dataclass(eq=False)
class AuditRun(RunSteps):
    """An audit as a `Run`.

    The model reads clean images. Its preprocessing is checked, and regions that its predictions depend on are searched.
    It then reads distortions and marks at the deciding dose, last the readings that depend on these.

    Attributes:
        request: What to do.
        prepared: The model and its images.
        plan: What is read.
        subject_hash: Hash of the model and the images.
        from_prepared_images: See `run_audit`.
        say: Callback for each step.
        passed_checks: Whether the checks of how the model is read found no reason to stop.
    """

    request: AuditRequest
    prepared: PreparedAudit
    plan: AuditPlan
    subject_hash: str
    from_prepared_images: bool
    say: StageCallback
    passed_checks: bool = False
    kind = AUDIT
    began: float = field(default_factory=time.time)

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Yield the tasks of each round that are not done. Raises SpecError where the model seems to be misread."""
        for tasks in self._each_round():
            missing = [
                task for task in tasks if not any(folder.complete(kind, task.id) for kind in ("readings", "probes"))
            ]
            if missing:
                yield missing

    @property
    def subject(self) -> str:
        """See `Run`."""
        return self.subject_hash

    @property
    def values(self) -> Mapping[str, Any]:
        """See `Run`."""
        return self.request.values

    @property
    def stamp(self) -> Mapping[str, str]:
        """See `Run`."""
        return self._stamp if self.passed_checks else {}

    @property
    def _stamp(self) -> dict[str, str]:
        return {"audit": content_hash([self.prepared.model.id, self.prepared.request.id, self.request.values])}

    def _each_round(self) -> Iterator[list[Task]]:
        self._read_scores()
        plan = self.plan
        _ = self.reference  # refused before more is read
        yield self._tasks([plan.clean])
        yield [
            *self._tasks([self._repeat_reading]),
            *self._tasks(self._alternative_readings.values(), self._with_raw_outputs),
            *self._channel_tasks(),
        ]
        _ = self.checks
        self.passed_checks = True
        label = f"search for a region in {plan.sizes.searched_images:,} images"
        start = 0
        while len(searches := self._searches) > start:
            batch = [search for search in searches[start:] if not search.earlier_searches] or searches[
                start : start + 1
            ]
            yield [Task(task.id, task, label, remote=False) for task in batch]
            start += len(batch)
        at_deciding_dose = [readings[DECIDING] for readings in plan.marks.values()]
        distorted = [reading for readings in plan.distortions.values() for reading in readings]
        at_all_places = [
            plan.neutralize(reading, self._neutralized_regions)
            for mark in plan.battery[0]
            if (reading := plan.reading_at_all_places(mark)) is not None
        ]
        unmarked_neutralized = (
            []
            if self._neutralized_regions is None
            else [plan.neutralize(plan.unmarked_reading, self._neutralized_regions)]
        )
        yield self._tasks([*at_deciding_dose, *distorted, *at_all_places, *unmarked_neutralized])
        if not self._is_segmentation:
            yield [Task(self._inside_id, self._look_inside, "inside the network", remote=False)]
        yield self._tasks(self._follow_ups())

    def _read_scores(self) -> None:
        """Find from all scores what kind they are, and settle the cache key of predictions."""
        prepared, plan, folder = self.prepared, self.plan, self.prepared.workspace.folder
        if self._is_segmentation:
            self.plan = replace(plan, cache_key={**plan.cache_key, "model": prepared.model.content})
        else:
            raw = raw_scores(prepared, plan.images, {"clean": plan.clean.id}, partial(self.say, plan.sizes.words))
            prepared, logits = with_scores(prepared, raw, plan.images.table, self.request)
            sentences = better_tensor_sentences(prepared, plan.images, {"clean": plan.clean.id}, logits)
            self.prepared, model = replace(prepared, assumptions=(*prepared.assumptions, *sentences)), prepared.model
            self.plan = replace(plan, cache_key={**plan.cache_key, "model": model.content, "ends": model.ends})
            record = {"model": model.id, "environment": plan.images.name}
            write_reading(folder, self.plan.clean.id, plan.images.table, ModelOutputs(logits, {}), record)
        if folder.stamp() not in ({}, self._stamp):
            self.say(f"{folder.root}: an audit with other options is replaced; use --out to keep both")

    def _tasks(self, readings: Iterable[PlannedReading], prepared: PreparedAudit | None = None) -> list[Task]:
        read = partial(read_predictions, prepared or self.prepared)
        return [
            Task(reading.id, partial(read, reading.id, reading.images), reading.label, remote=False)
            for reading in readings
        ]

    def _look_inside(self, context: Context) -> None:
        """Store rows of `tables.INSIDE`, as a `Job`. Raises ReadingError for any failure.

        The audit goes on, since these rows are evidence only.
        """
        prepared = self.prepared
        try:
            rows = inside_rows(prepared.model, self.plan.images, prepared.device, self.request.seed)
        except Exception as error:  # of a network that somebody else wrote
            raise ReadingError(str(error) or type(error).__name__) from error
        record: dict[str, Any] = {"model": prepared.model.id, "probe": "inside", "rows": rows, "readings": {}}
        prepared.workspace.folder.write_record("probes", self._inside_id, record)

    @cached_property
    def _inside_id(self) -> str:
        table = self.plan.images.table
        columns = [
            [factor.name, factor.role, factor.levels, repr(table.columns[factor.name].tolist())]
            for factor in table.factors
        ]
        return content_hash({"inside": self.plan.clean.id, "seed": self.request.seed, "columns": columns})

    # How the model is read.

    @cached_property
    def predictions(self) -> StoredPredictions:
        """The stored predictions."""
        prepared, skips_doses = self.prepared, not self.from_prepared_images and self.plan.sizes.skips_doses
        return StoredPredictions(
            prepared.workspace.folder, self.plan, prepared.model.threshold, skips_doses, prepared.is_calibrated
        )

    @property
    def _scales_itself(self) -> bool:
        """Whether Assay trained the network, or predictions are for prepared images, whatever their scaling."""
        return self.from_prepared_images or isinstance(self.prepared.model.origin, TrainedOrigin)

    @cached_property
    def _repeat_reading(self) -> PlannedReading:
        """Some of the images, read a second time."""
        images = take_with_masks(self.plan.images, np.arange(min(N_FIRST_IMAGES, len(self.plan.images))))
        return self._read_otherwise(images, {"again": True})

    @cached_property
    def _alternative_readings(self) -> Mapping[str, PlannedReading]:
        """Images at the other usual scalings and framings."""
        plan, prepared = self.plan, self.prepared
        if self._scales_itself or self.predictions.clean.take(plan.compared_positions).performance is None:
            return {}
        compared_images = take_with_masks(plan.images, plan.compared_positions)
        changes = alternative_scalings(prepared.model.scaling, plan.images.images, prepared.config)
        images_of_name: dict[str, Images] = {
            name: ChangedOnReading(compared_images.images, change) for name, change in changes.items()
        }
        framed_images = (
            alternative_framings(prepared, compared_images.table.row.tolist()) if compared_images.masks is None else {}
        )
        scaling = prepared.model.scaling or SCALINGS["0..1"]
        images_of_name |= {name: ChangedOnReading(images, scaling) for name, images in framed_images.items()}
        return {
            name: self._read_otherwise(replace(compared_images, name=f"({name})", images=images), {"scaling": name})
            for name, images in images_of_name.items()
        }

    @cached_property
    def _channel_readings(self) -> Mapping[str, PlannedReading]:
        """Images whose maps are read with another channel as the background."""
        if self._scales_itself or not self._alternative_readings:
            return {}
        compared_images = take_with_masks(self.plan.images, self.plan.compared_positions)
        names = other_backgrounds(self.prepared.channels)
        return {
            name: self._read_otherwise(replace(compared_images, name=f"({name})"), {CHANNEL: name}) for name in names
        }

    def _channel_tasks(self) -> Iterator[Task]:
        prepared, orders = self.prepared, other_backgrounds(self.prepared.channels)
        for name, reading in self._channel_readings.items():
            yield from self._tasks([reading], replace(prepared, model=replace(prepared.model, order=orders[name])))

    @property
    def _with_raw_outputs(self) -> PreparedAudit:
        """The model without its scaling, with outputs as logits: with other scalings they may be no probabilities."""
        prepared, model = self.prepared, replace(self.prepared.model, scaling=None)
        if model.scores == "logits" or self._is_segmentation:
            return replace(prepared, model=model)
        output = model.output and replace(model.output, head="sigmoid")
        return replace(prepared, model=replace(model, scores="logits", output=output))

    def _read_otherwise(self, images: Environment, identity: Mapping[str, Any]) -> PlannedReading:
        return self.plan.make_reading("reading", lambda: images, images.table, identity, "check how the model is read")

    @cached_property
    def checks(self) -> list[Row]:
        """Checks of how the model is read. Raises SpecError where it seems to be misread."""
        repeat_reading = None if self.from_prepared_images else self._repeat_reading
        assumptions = (*self.prepared.assumptions, *self.prepared.population.card.doubts)
        alternative_readings = {**self._alternative_readings, **self._channel_readings}
        return self.predictions.checks(repeat_reading, alternative_readings, assumptions, self._scales_itself)

    # The search for a region.

    @property
    def _searches(self) -> Sequence[Search]:
        """The searches: those of regions, then rounds for marks that images carry, as long as one finds something."""
        searches = list(self._region_searches)
        if not searches:
            return ()
        finders = self._carried_searches
        for number in range(1, N_ROUNDS + 1):
            latest: list[Search] = []
            for finder in finders:
                earlier = tuple(search for search in (*searches, *latest) if search.finder != "whole")
                latest.append(replace(searches[0], finder=finder, earlier_searches=earlier, round=number))
            searches += latest
            finders = [finder for finder in finders if finder not in FINDERS_RUN_ONCE]
            if not any(search.is_done and search.found_carriers for search in latest):
                break
        return searches

    @property
    def _carried_searches(self) -> Sequence[FinderName]:
        """The finders of what some images carry; those that find something in clean networks too need a limit."""
        if self._is_segmentation:
            return ("drawn",)
        limits = self._limits
        limited_finders: list[FinderName] = [
            of for of in FINDERS_OF_CARRIERS[2:] if limits is not None and limits.largest_of(of) is not None
        ]
        return ("drawn", "shape", *limited_finders)

    @cached_property
    def _region_searches(self) -> Sequence[Search]:
        """The searches of regions, in the training images where they are given."""
        plan, prepared, audit_request = self.plan, self.prepared, self.request
        if not plan.sizes.searched_images:
            return []
        request, scene, images, classes = (
            prepared.request,
            prepared.scene,
            plan.all_images,
            plan.all_images.table.classes,
        )
        if audit_request.train is not None:
            request, scene = training_scene(prepared, audit_request.train)
            images = scene.environment("all")
            require_same_classes(images.table, classes)
        images = take_with_masks(images, balanced_rows(images.table, plan.sizes.searched_images, audit_request.seed))
        if self._is_segmentation:
            images = with_lesion_classes(images)
            classes = images.table.classes
        tested, in_training = self.predictions.clean, audit_request.train is not None
        sd = sd_within_classes(tested.scores, tested.table.target) if in_training and not self._is_segmentation else 0.0
        make_search = partial(
            Search, prepared, request, scene, images, classes, in_training, clean_scores=[], sd_within_classes=sd
        )
        tracks: Sequence[FinderName] = ("place",) if self._is_segmentation else ("place", "whole")
        return [make_search(track, audit_request.seed, tested.threshold, self._limits) for track in tracks]

    @cached_property
    def _neutralized_regions(self) -> NeutralizedRegions | None:
        """The leading region and the other reported findings, neutralized in all images; None without a leading one."""
        searches_with_rows = [(search, search.region_row()) for search in self._searches if self.request.elsewhere]
        leading = leading_region([row for _, row in searches_with_rows])
        if leading is None or leading["verdict"] not in REPORTED:
            return None
        reported_searches = [
            search
            for search, row in searches_with_rows
            if row is leading or (search.finder in FINDERS_OF_CARRIERS and row["verdict"] in REPORTED)
        ]
        neutralizers = [search.neutralizer(_REGION_MARGIN) for search in reported_searches]

        def neutralize_all(images: Tensor) -> Tensor:
            return torch.as_tensor(
                reduce(lambda changed, neutralize: neutralize(changed), neutralizers, images.numpy())
            )

        return NeutralizedRegions(
            content_hash([_REGION_MARGIN, *(search.id for search in reported_searches)]), neutralize_all
        )

    @cached_property
    def _limits(self) -> RegionLimits | None:
        """Limits of the effect of a region, in the same kind of images: training images, or new to the network."""
        request, in_training = self.request, self.request.train is not None
        if request.references is not None:
            return read_limits(request.references, self.prepared.model.content, in_training=in_training)
        return (
            shipped_limits(request.domain, in_training=in_training, masks=self._is_segmentation)
            if request.shipped
            else None
        )

    def _region_rows(self) -> list[Row]:
        if not self.request.leads:
            return []
        if self.from_prepared_images:
            return [not_searched(Reason.of(Code.SEARCH_IN_STEPS))]
        if not self._searches:
            return [not_searched(Reason.of(Code.SMALL_BUDGET, least=least_budget()))]
        not_searched_rows = [not_searched(Reason.of(Code.SEARCH_OF_MASKS), "whole")] if self._is_segmentation else []
        return [*(search.region_row() for search in self._searches), *not_searched_rows]

    @property
    def _is_segmentation(self) -> bool:
        return self.request.task == "segmentation"

    def _follow_ups(self) -> Iterator[PlannedReading]:
        """Yield further readings of marks: doses that can change a verdict, other places, and neutralized regions."""
        predictions, neutralized = self.predictions, self._neutralized_regions
        for mark in self.plan.battery[0]:
            with suppress(ReadingError):
                yield from (self.plan.marks[mark.name][at] for at in predictions.doses_needed(mark) if at != DECIDING)
                if neutralized is not None and predictions.has_adverse_verdict(mark):
                    yield self.plan.neutralize(self.plan.marks[mark.name][DECIDING], neutralized)
                if chosen := predictions.strongest_places(mark, neutralized):
                    at_places = self.plan.reading_at_places(mark, chosen)
                    yield from dict.fromkeys((at_places, self.plan.neutralize(at_places, neutralized)))

    # What follows.

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, and write the pictures of marks."""
        prepared, plan, predictions, request = self.prepared, self.plan, self.predictions, self.request
        shutil.rmtree(folder.root / "pictures", ignore_errors=True)  # those of an earlier audit
        write_model_record(prepared.workspace, prepared.model, prepared.population, self.began, prepared.device)
        marks = [
            (mark, *predictions.verdict_on_mark(mark, self.reference, self._neutralized_regions))
            for mark in plan.battery[0]
        ]
        for mark, row, effects in marks:
            if effects and request.pictures:
                chosen = predictions.strongest_places(mark, self._neutralized_regions) if row["place"] else None
                environment = plan.reading_at_places(mark, chosen) if chosen else plan.marks[mark.name][DECIDING]
                write_mark(folder, mark.name, plan.unmarked_images, environment.images())
        columns, groups, gaps = column_tables(predictions.clean, request.margin)
        regions = self._region_rows()
        verdicts = sort_by_harm([*(row for _, row, _ in marks), *columns], regions, request.margin)
        checks = data_checks(prepared.request.data, prepared.population.dataset, near=plan.images.table.row)
        if request.pictures:
            for search in self._searches:
                search.write_pictures()
        return {
            "verdicts": verdicts,
            "regions": regions,
            "carriers": [row for search in self._searches for row in search.carrier_rows()],
            "leads": self._lead_rows(),
            "inside": self._inside_rows(folder),
            "effects": [row for _, _, effects in marks for row in effects],
            "distorted": list(predictions.distortions()),
            "groups": groups,
            "gaps": gaps,
            "checks": [*self.checks, *checks_of_images(plan.all_images, plan.images, prepared, checks, request.train)],
            "columns": column_rows(plan.all_images.table),
            "shortcuts": checks.shortcuts,
            "issues": checks.issues,
            "added": self._added_rows(checks.cues),
            "images": image_rows(prepared, plan.images),
            "answers": [
                {
                    "factor": reading.factor,
                    "kind": reading.kind,
                    "dose": reading.dose,
                    "change": reading.change,
                    "reading": reading.id,
                }
                for reading in plan.readings()
                if folder.complete("readings", reading.id)
            ],
            "pictures": self._case_rows(folder, verdicts) if request.pictures else [],
            "rates": [*self._rate_rows, *self._search_rate_rows],
            "provenance": provenance_rows(prepared, predictions, self.reference),
        }

    def _case_rows(self, folder: RunFolder, verdicts: Sequence[Row]) -> list[Row]:
        """Return rows of `tables.PICTURES`, and draw these images, some of them also with the leading mark."""
        plan, population, marked = self.plan, self.prepared.population, None
        adverse_marks = (
            row["factor"]
            for row in verdicts
            if row["kind"] == "mark" and row["verdict"] in ADVERSE_VERDICTS and not row["place"]
        )
        if leading := next(adverse_marks, ""):
            reading = plan.marks[leading][DECIDING]
            marked = ChangedPredictions(
                leading, self.predictions.predictions_for(reading), reading.images(), plan.sample
            )
        gallery = PictureWriter(
            folder.root / "pictures", population.scale, self.prepared.request.data.target, masks=self._is_segmentation
        )
        return draw_cases(self.predictions.clean, plan.images, marked, population.dataset is None, gallery)

    @property
    def _uses_shipped_reference(self) -> bool:
        """Whether the shipped reference of the domain is used."""
        return self.request.references is None and self.request.shipped and not self._is_segmentation

    @cached_property
    def reference(self) -> Reference | None:
        """Clean networks that the audited one is compared with. Raises SpecError where there are too few.

        Where they read images of another size, marks of detail have no limit: a low-pass filter of 128 px removes
        other details than one of 64 px.
        """
        request, model, marks = self.request, self.prepared.model, self.plan.battery[0]
        drawings = {mark.name: mark.doses[DECIDING].label for mark in marks}
        if request.references is None:
            clean = shipped_reference(request.domain, drawings) if self._uses_shipped_reference else None
        else:
            clean = read_reference(request.references, request.domain, drawings, model.content)
        if clean is None or clean.side == model.inputs.size:
            return clean
        detail = {mark.name for mark in marks if mark.family == DETAIL}
        return replace(
            clean,
            largest={mark: largest_effect for mark, largest_effect in clean.largest.items() if mark not in detail},
        )

    @property
    def _rate_rows(self) -> list[Row]:
        """Error rates of the domain; none where they do not apply, since the margin or the reference is another."""
        rates_apply = self.reference is not None and (
            self._uses_shipped_reference or trained_on(self.request.references) > 0
        )
        return shipped_rates(self.request.domain) if rates_apply and self.request.margin == MARGIN else []

    @property
    def _search_rate_rows(self) -> list[Row]:
        """Error rates of searches for a shortcut in classifiers; none unless the shipped limits were used."""
        searched = self.request.leads and not self.from_prepared_images and bool(self._searches)
        if not searched or not self._uses_shipped_reference or self._limits is None:
            return []
        return shipped_search_rates(VERSION, in_training=self.request.train is not None)

    def _added_rows(self, cues: Sequence[Cue]) -> list[Row]:
        dataset = self.prepared.population.dataset
        return [] if dataset is None else added_value_rows(self.predictions.clean, cues, dataset.table)

    def _lead_rows(self) -> list[Row]:
        request = self.request
        if not request.leads or self._is_segmentation:
            return []
        properties = image_properties(self.plan.images)
        return top_leads(list(leads_of_images(self.predictions.clean, properties, request.seed, request.margin)))

    def _inside_rows(self, folder: RunFolder) -> list[Row]:
        if self._is_segmentation:
            return []
        if not folder.complete("probes", self._inside_id):
            return undefined_rows(
                reason_of_error(ReadingError(read_checked_json(folder.failure_path(self._inside_id))["text"]))
            )
        rows = folder.record("probes", self._inside_id)["rows"]
        return [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]
