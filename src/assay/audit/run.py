"""Audit a model: what its answers change with, on the user's own images."""

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
    StoredAnswers,
    digests_of,
    image_keys,
    image_rows,
    provenance_rows,
    reason_of_error,
    write_mark,
)
from assay.audit.battery import DECIDING, DETAIL
from assay.audit.cases import ChangedAnswers, audited_cases
from assay.audit.checks import (
    FIRST_LOOK,
    ChangedOnReading,
    alternatives,
    checks_of_images,
    doubts_of_tensors,
    framings,
    raw_scores,
    training_scene,
    with_outputs,
    with_scores,
)
from assay.audit.harms import by_harm
from assay.audit.inside import inside_rows, nothing_inside
from assay.audit.kind import AUDIT
from assay.audit.leads import leads_of_images, top_leads
from assay.audit.model import SCALINGS, PreparedAudit, keep_model, prepare_model, read_answers
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
    seconds_each,
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
from assay.audit.scored import column_rows, model_added, of_columns
from assay.audit.search.regions import ON_SOME, ONCE, Sought
from assay.audit.search.run import VERSION, Search, by_lesion, image_properties, not_searched
from assay.audit.search.search import spread_within
from assay.audit.verdicts import Reference
from assay.core.errors import ReadingError, key_text
from assay.core.files import content_hash
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
from assay.stats.rows import MOVING, REPORTED, leading_region
from assay.store.files import Row, read_checked_json
from assay.store.folder import RunFolder

ROUNDS = 3
"""Rounds of the search for marks that images carry, each without what those before found."""
_AROUND = 1 / 12
"""Share of the image by which a region is larger where marks are put on without it, for those that stick out."""


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
    read = {"data": data_of(request.data, key_text("--images"), **request.named, labels=request.labels)}
    if request.train is not None:
        read["train"] = data_of(request.train, key_text("--train"), lenient=True, **{**request.named, "columns": ()})
    for option, place in (("--images", "data"), ("--train", "train")):
        if place in read and (line := read[place].line):
            say(f"{option} {getattr(request, place)}: {line}")
    data = read["data"].data
    if "guessed" in data and not request.columns and (untested := untested_words([*read["data"].others])):
        data["guessed"] = "; ".join(filter(None, (data["guessed"], f"not tested: {untested}")))
    return request.with_changes(**{place: {**images.data, **request.keys} for place, images in read.items()})


def run_audit(
    origin: Origin,
    request: AuditRequest,
    *,
    dry_run: bool = False,
    in_steps: bool = False,
    on_progress: ProgressCallback = no_progress,
    say: StageCallback = lambda text: None,
) -> Path | tuple[AuditSize, float]:
    """Audit a model and write its tables, `verdicts.json` and page. Answers that are kept are not read again.

    Args:
        origin: The model.
        request: What to do. `data` and `train` are as `data` of a study; all rows are tested.
        dry_run: Return the plan, and read no more than the first images.
        in_steps: Whether the model answers pictures that were prepared, so that nothing can be searched for.
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
    prepared = prepare_model(origin, request.probing, on_progress)
    all_images = prepared.scene.environment("all")
    require_classes_for_task(request, all_images.table)
    prepared = with_outputs(prepared, all_images, request)
    audited = _subject_hash(prepared, all_images)
    if request.out is None:
        prepared = replace(prepared, place=replace(prepared.place, root=prepared.place.cache / "audits" / audited))
    folder = prepared.place.folder
    folder.require(AUDIT, audited)
    counts = plan_sizes(request, all_images, search=not in_steps)
    if dry_run:
        with computing_on(prepared.device):
            return counts, seconds_each(prepared, all_images)
    plan = AuditPlan(all_images, request, counts, {"data": prepared.scene.identity("all")})
    run = AuditRun(request, prepared, plan, audited, in_steps, say)
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

    It reads clean images, then checks how the model is read, then searches for the region that predictions depend on,
    then reads the doses that decide and distortions, last the doses that are open.

    Attributes:
        request: What to do.
        prepared: The model and its images.
        plan: What is read.
        audited: Hash of the model and the images.
        in_steps: Whether a model elsewhere answers pictures that were prepared.
        say: Callback for each step.
        checked: Whether the model seems to be read rightly.
    """

    request: AuditRequest
    prepared: PreparedAudit
    plan: AuditPlan
    audited: str
    in_steps: bool
    say: StageCallback
    checked: bool = False
    kind = AUDIT
    began: float = field(default_factory=time.time)

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Yield what is not read of each round. Raises SpecError where the model seems to be read wrongly."""
        for tasks in self._each_round():
            missing = [
                task for task in tasks if not any(folder.complete(kind, task.id) for kind in ("readings", "probes"))
            ]
            if missing:
                yield missing

    @property
    def subject(self) -> str:
        """See `Run`."""
        return self.audited

    @property
    def values(self) -> Mapping[str, Any]:
        """See `Run`."""
        return self.request.values

    @property
    def stamp(self) -> Mapping[str, str]:
        """See `Run`."""
        return self._stamp if self.checked else {}

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
        ]
        _ = self.checks
        self.checked = True
        label = f"search for a region in {plan.counts.searched:,} images"
        start = 0
        while len(searches := self._searches) > start:
            part = [search for search in searches[start:] if not search.after] or searches[start : start + 1]
            yield [Task(task.id, task, label, remote=False) for task in part]
            start += len(part)
        deciding = [shots[DECIDING] for shots in plan.marks.values()]
        distorted = [shot for shots in plan.distortions.values() for shot in shots]
        tried = [
            plan.neutralize(shot, self._neutralized_regions)
            for mark in plan.battery[0]
            if (shot := plan.placement_reading(mark)) is not None
        ]
        neutralized = (
            []
            if self._neutralized_regions is None
            else [plan.neutralize(plan.unmarked_shot, self._neutralized_regions)]
        )
        yield self._tasks([*deciding, *distorted, *tried, *neutralized])
        if not self._is_segmentation:
            yield [Task(self._inside_id, self._look_inside, "inside the network", remote=False)]
        yield self._tasks(self._follow_ups())

    def _read_scores(self) -> None:
        """Find from all scores what they are, and settle by what the answers are known."""
        prepared, plan, folder = self.prepared, self.plan, self.prepared.place.folder
        if self._is_segmentation:
            self.plan = replace(plan, read_by={**plan.read_by, "model": prepared.model.content})
        else:
            raw = raw_scores(prepared, plan.images, {"clean": plan.clean.id}, partial(self.say, plan.counts.words))
            prepared, logits = with_scores(prepared, raw, plan.images.table, self.request)
            more = doubts_of_tensors(prepared, plan.images, {"clean": plan.clean.id}, logits)
            self.prepared, model = replace(prepared, doubts=(*prepared.doubts, *more)), prepared.model
            self.plan = replace(plan, read_by={**plan.read_by, "model": model.content, "ends": model.ends})
            record = {"model": model.id, "environment": plan.images.name}
            write_reading(folder, self.plan.clean.id, plan.images.table, ModelOutputs(logits, {}), record)
        if folder.stamp() not in ({}, self._stamp):
            self.say(f"{folder.root}: an audit with other options is replaced; use --out to keep both")

    def _tasks(self, shots: Iterable[PlannedReading], prepared: PreparedAudit | None = None) -> list[Task]:
        read = partial(read_answers, prepared or self.prepared)
        return [Task(shot.id, partial(read, shot.id, shot.images), shot.label, remote=False) for shot in shots]

    def _look_inside(self, context: Context) -> None:
        """Keep what the network holds and looks at, as a `Job`. Raises ReadingError for any failure.

        The audit goes on, since this is evidence only.
        """
        prepared = self.prepared
        try:
            rows = inside_rows(prepared.model, self.plan.images, prepared.device, self.request.seed)
        except Exception as error:  # of a network that somebody else wrote
            raise ReadingError(str(error) or type(error).__name__) from error
        record: dict[str, Any] = {"model": prepared.model.id, "probe": "inside", "rows": rows, "readings": {}}
        prepared.place.folder.write_record("probes", self._inside_id, record)

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
    def answers(self) -> StoredAnswers:
        """The answers that are kept."""
        prepared, short = self.prepared, not self.in_steps and self.plan.counts.skips_doses
        return StoredAnswers(prepared.place.folder, self.plan, prepared.model.threshold, short, prepared.is_calibrated)

    @property
    def _scales_itself(self) -> bool:
        """Whether Assay trained the network, or a model elsewhere reads pictures, the same for every scaling."""
        return self.in_steps or isinstance(self.prepared.model.origin, TrainedOrigin)

    @cached_property
    def _repeat_reading(self) -> PlannedReading:
        """Some of the images, read a second time."""
        images = take_with_masks(self.plan.images, np.arange(min(FIRST_LOOK, len(self.plan.images))))
        return self._read_otherwise(images, {"again": True})

    @cached_property
    def _alternative_readings(self) -> Mapping[str, PlannedReading]:
        """Images at the other usual scalings and framings."""
        plan, prepared = self.plan, self.prepared
        if self._scales_itself or self.answers.clean.take(plan.compared_positions).quality is None:
            return {}
        small = take_with_masks(plan.images, plan.compared_positions)
        changes = alternatives(prepared.model.scaling, plan.images.images, prepared.config)
        others: dict[str, Images] = {name: ChangedOnReading(small.images, change) for name, change in changes.items()}
        framed = framings(prepared, small.table.row.tolist()) if small.masks is None else {}
        scaling = prepared.model.scaling or SCALINGS["0..1"]
        others |= {name: ChangedOnReading(images, scaling) for name, images in framed.items()}
        return {
            name: self._read_otherwise(replace(small, name=f"({name})", images=images), {"scaling": name})
            for name, images in others.items()
        }

    @property
    def _with_raw_outputs(self) -> PreparedAudit:
        """The model without its scaling, with outputs as they are: other scalings may give no probabilities."""
        prepared, model = self.prepared, replace(self.prepared.model, scaling=None)
        if model.scores == "logits" or self._is_segmentation:
            return replace(prepared, model=model)
        output = model.output and replace(model.output, head="sigmoid")
        return replace(prepared, model=replace(model, scores="logits", output=output))

    def _read_otherwise(self, images: Environment, named: Mapping[str, Any]) -> PlannedReading:
        return self.plan.make_reading("reading", lambda: images, images.table, named, "check how the model is read")

    @cached_property
    def checks(self) -> list[Row]:
        """Checks of how the model is read. Raises SpecError where it seems to be read wrongly."""
        repeat_reading = None if self.in_steps else self._repeat_reading
        doubts = (*self.prepared.doubts, *self.prepared.population.card.doubts)
        return self.answers.checks(repeat_reading, self._alternative_readings, doubts, self._scales_itself)

    # The search for a region.

    @property
    def _searches(self) -> Sequence[Search]:
        """The searches: after those of regions, rounds for marks that images carry, as long as one is found."""
        searches = list(self._region_searches)
        if not searches:
            return ()
        finders = self._carried_searches
        for number in range(1, ROUNDS + 1):
            latest: list[Search] = []
            for of in finders:
                before = tuple(search for search in (*searches, *latest) if search.of != "whole")
                latest.append(replace(searches[0], of=of, after=before, number=number))
            searches += latest
            finders = [of for of in finders if of not in ONCE]
            if not any(search.done and search.named for search in latest):
                break
        return searches

    @property
    def _carried_searches(self) -> Sequence[Sought]:
        """The searches of what some images carry; with a limit alone those that lead to something in clean networks."""
        if self._is_segmentation:
            return ("drawn",)
        limits = self._limits
        limited: list[Sought] = [of for of in ON_SOME[2:] if limits is not None and limits.largest_of(of) is not None]
        return ("drawn", "shape", *limited)

    @cached_property
    def _region_searches(self) -> Sequence[Search]:
        """The searches of regions, in the images of the training where they are given."""
        plan, prepared, audit_request = self.plan, self.prepared, self.request
        if not plan.counts.searched:
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
        images = take_with_masks(images, balanced_rows(images.table, plan.counts.searched, audit_request.seed))
        if self._is_segmentation:
            images = by_lesion(images)
            classes = images.table.classes
        tested, trained = self.answers.clean, audit_request.train is not None
        spread = spread_within(tested.scores, tested.table.target) if trained and not self._is_segmentation else 0.0
        make_search = partial(Search, prepared, request, scene, images, classes, trained, clean=[], spread=spread)
        tracks: Sequence[Sought] = ("place",) if self._is_segmentation else ("place", "whole")
        return [make_search(of, audit_request.seed, tested.threshold, self._limits) for of in tracks]

    @cached_property
    def _neutralized_regions(self) -> NeutralizedRegions | None:
        """The regions that the answer names, made the same in all images; None where none was found."""
        searches_with_rows = [(search, search.region_row()) for search in self._searches if self.request.elsewhere]
        leading = leading_region([row for _, row in searches_with_rows])
        if leading is None or leading["verdict"] not in REPORTED:
            return None
        named = [
            search
            for search, row in searches_with_rows
            if row is leading or (search.of in ON_SOME and row["verdict"] in REPORTED)
        ]
        puts = [search.hold_region(_AROUND) for search in named]

        def put(images: Tensor) -> Tensor:
            return torch.as_tensor(reduce(lambda images_changed, put_on: put_on(images_changed), puts, images.numpy()))

        return NeutralizedRegions(content_hash([_AROUND, *(search.id for search in named)]), put)

    @cached_property
    def _limits(self) -> RegionLimits | None:
        """Limits of the effect of a region, in images of the same part: of training or new to the network."""
        request, trained = self.request, self.request.train is not None
        if request.references is not None:
            return read_limits(request.references, self.prepared.model.content, trained=trained)
        return shipped_limits(request.domain, trained=trained, masks=self._is_segmentation) if request.shipped else None

    def _regions(self) -> list[Row]:
        if not self.request.leads:
            return []
        if self.in_steps:
            return [not_searched(Reason.of(Code.SEARCH_IN_STEPS))]
        if not self._searches:
            return [not_searched(Reason.of(Code.SMALL_BUDGET, least=least_budget()))]
        not_searched_rows = [not_searched(Reason.of(Code.SEARCH_OF_MASKS), "whole")] if self._is_segmentation else []
        return [*(search.region_row() for search in self._searches), *not_searched_rows]

    @property
    def _is_segmentation(self) -> bool:
        return self.request.task == "segmentation"

    def _follow_ups(self) -> Iterator[PlannedReading]:
        """Yield marks besides the deciding dose: doses that can change a verdict, elsewhere, and without the region."""
        answers, neutralized = self.answers, self._neutralized_regions
        for mark in self.plan.battery[0]:
            with suppress(ReadingError):
                yield from (self.plan.marks[mark.name][at] for at in answers.doses_needed(mark) if at != DECIDING)
                if neutralized is not None and answers.moves(mark):
                    yield self.plan.neutralize(self.plan.marks[mark.name][DECIDING], neutralized)
                if chosen := answers.strongest_places(mark, neutralized):
                    placed = self.plan.images_with(mark, chosen)
                    yield from dict.fromkeys((placed, self.plan.neutralize(placed, neutralized)))

    # What follows.

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, and write the pictures of marks."""
        prepared, plan, answers, request = self.prepared, self.plan, self.answers, self.request
        shutil.rmtree(folder.root / "pictures", ignore_errors=True)  # those of an earlier audit
        keep_model(prepared.place, prepared.model, prepared.population, self.began, prepared.device)
        marks = [
            (mark, *answers.verdict_on_mark(mark, self.reference, self._neutralized_regions))
            for mark in plan.battery[0]
        ]
        for mark, row, effects in marks:
            if effects and request.pictures:
                chosen = answers.strongest_places(mark, self._neutralized_regions) if row["place"] else None
                environment = plan.images_with(mark, chosen) if chosen else plan.marks[mark.name][DECIDING]
                write_mark(folder, mark.name, plan.before, environment.images())
        columns, groups, gaps = of_columns(answers.clean, request.margin)
        regions = self._regions()
        verdicts = by_harm([*(row for _, row, _ in marks), *columns], regions, request.margin)
        checks = data_checks(prepared.request.data, prepared.population.dataset, near=plan.images.table.row)
        if request.pictures:
            for search in self._searches:
                search.write_pictures()
        return {
            "verdicts": verdicts,
            "regions": regions,
            "carriers": [row for search in self._searches for row in search.carriers()],
            "leads": self._leads(),
            "inside": self._inside(folder),
            "effects": [row for _, _, effects in marks for row in effects],
            "distorted": list(answers.distortions()),
            "groups": groups,
            "gaps": gaps,
            "checks": [*self.checks, *checks_of_images(plan.all_images, plan.images, prepared, checks, request.train)],
            "columns": column_rows(plan.all_images.table),
            "shortcuts": checks.shortcuts,
            "issues": checks.issues,
            "added": self._added_rows(checks.cues),
            "images": image_rows(prepared, plan.images),
            "answers": [
                {"factor": shot.factor, "kind": shot.kind, "dose": shot.dose, "change": shot.change, "reading": shot.id}
                for shot in plan.shots()
                if folder.complete("readings", shot.id)
            ],
            "pictures": self._cases(folder, verdicts) if request.pictures else [],
            "rates": [*self._rates, *self._search_rates],
            "provenance": provenance_rows(prepared, answers, self.reference),
        }

    def _cases(self, folder: RunFolder, verdicts: Sequence[Row]) -> list[Row]:
        """Draw single images, some of them also with the mark that leads."""
        plan, population, moved = self.plan, self.prepared.population, None
        moving = (
            row["factor"] for row in verdicts if row["kind"] == "mark" and row["verdict"] in MOVING and not row["place"]
        )
        if leading := next(moving, ""):
            shot = plan.marks[leading][DECIDING]
            moved = ChangedAnswers(leading, self.answers.answers_for(shot), shot.images(), plan.sample)
        gallery = PictureWriter(
            folder.root / "pictures", population.scale, self.prepared.request.data.target, masks=self._is_segmentation
        )
        return audited_cases(self.answers.clean, plan.images, moved, population.dataset is None, gallery)

    @property
    def _uses_shipped(self) -> bool:
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
            clean = shipped_reference(request.domain, drawings) if self._uses_shipped else None
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
    def _rates(self) -> list[Row]:
        """Error rates of the domain, which were measured at the default margin and with such a reference."""
        same = self.reference is not None and (self._uses_shipped or trained_on(self.request.references) > 0)
        return shipped_rates(self.request.domain) if same and self.request.margin == MARGIN else []

    @property
    def _search_rates(self) -> list[Row]:
        """Error rates of searches for a shortcut in classifiers, which were measured with the shipped limits."""
        searched = self.request.leads and not self.in_steps and bool(self._searches)
        if not searched or not self._uses_shipped or self._limits is None:
            return []
        return shipped_search_rates(VERSION, trained=self.request.train is not None)

    def _added_rows(self, cues: Sequence[Cue]) -> list[Row]:
        dataset = self.prepared.population.dataset
        return [] if dataset is None else model_added(self.answers.clean, cues, dataset.table)

    def _leads(self) -> list[Row]:
        request = self.request
        if not request.leads or self._is_segmentation:
            return []
        properties = image_properties(self.plan.images)
        return top_leads(list(leads_of_images(self.answers.clean, properties, request.seed, request.margin)))

    def _inside(self, folder: RunFolder) -> list[Row]:
        if self._is_segmentation:
            return []
        if not folder.complete("probes", self._inside_id):
            return nothing_inside(
                reason_of_error(ReadingError(read_checked_json(folder.failure_path(self._inside_id))["text"]))
            )
        rows = folder.record("probes", self._inside_id)["rows"]
        return [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]
