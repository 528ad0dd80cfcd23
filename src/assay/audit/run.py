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

from assay.audit.answers import Answers, digests_of, image_keys, image_rows, provenance_rows, why, write_mark
from assay.audit.battery import DECIDING, DETAIL
from assay.audit.cards import write_outcome
from assay.audit.cases import Moved, audited_cases
from assay.audit.checks import (
    LOOKED,
    ReadAs,
    alternatives,
    checks_of_images,
    doubts_of_tensors,
    framings,
    raw_scores,
    training_scene,
    with_outputs,
    with_scores,
)
from assay.audit.inside import inside_rows, nothing_inside
from assay.audit.kind import AUDIT
from assay.audit.leads import foremost, leads_of_images
from assay.audit.model import Prepared, keep_model, prepare_model, read_answers
from assay.audit.origins import OfTraining
from assay.audit.plan import (
    AuditPlan,
    Held,
    Planned,
    Say,
    Shot,
    balanced,
    least_budget,
    picked,
    planned,
    require_consistent,
    require_fitting,
    require_same_classes,
    seconds_each,
)
from assay.audit.references import (
    LeadLimits,
    read_limits,
    read_reference,
    shipped_limits,
    shipped_rates,
    shipped_reference,
    trained_on,
)
from assay.audit.request import AuditRequest
from assay.audit.scored import by_harm, column_rows, model_added, of_columns
from assay.audit.search.run import Search, by_lesion, measured, not_searched
from assay.audit.search.search import spread_within
from assay.audit.verdicts import Reference
from assay.core.errors import ReadingError, key_text
from assay.core.files import content_hash
from assay.core.reasons import Code, because
from assay.data.cache import Notify, silent
from assay.data.dataset import Images
from assay.data.files.request import data_of
from assay.execution.jobs import keep_read
from assay.execution.local import InProcess, computing_on
from assay.execution.run import Run, Tables, Watch, carry_out
from assay.execution.tasks import Context, Event, Observer, Task
from assay.look.checks import data_checks
from assay.look.cues import Cue
from assay.models.ref import Origin
from assay.probes.probe import Read
from assay.report.pictures import Gallery
from assay.shifts.environment import Environment
from assay.stats.bounds import MARGIN
from assay.stats.rows import FOUND, MOVING, leading_region
from assay.store.files import Row, read_checked_json
from assay.store.folder import RunFolder

_AROUND = 1 / 12
"""Share of the image by which a region is larger where marks are put on without it, for those that stick out."""


def with_images(request: AuditRequest, say: Say = lambda text: None) -> AuditRequest:
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
    return request.but(**{place: {**one.data, **request.keys} for place, one in read.items()})


def run_audit(
    origin: Origin,
    request: AuditRequest,
    *,
    dry_run: bool = False,
    in_steps: bool = False,
    notify: Notify = silent,
    say: Say = lambda text: None,
) -> Path | tuple[Planned, float]:
    """Audit a model and write its tables, `verdicts.json` and page. Answers that are kept are not read again.

    Args:
        origin: The model.
        request: What to do. `data` and `train` are as `data` of a study; all rows are tested.
        dry_run: Return the plan, and read no more than the first images.
        in_steps: Whether the model answers pictures that were prepared, so that nothing can be searched for.
        notify: Callback for images while they are read.
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
    given = prepare_model(origin, request.probing, notify)
    whole = given.scene.environment("all")
    require_fitting(request, whole.table)
    given = with_outputs(given, whole, request)
    audited = _audited(given, whole)
    if request.out is None:
        given = replace(given, place=replace(given.place, root=given.place.cache / "audits" / audited))
    folder = given.place.folder
    folder.require(AUDIT, audited)
    counts = planned(request, whole, search=not in_steps)
    if dry_run:
        with computing_on(given.device):
            return counts, seconds_each(given, whole)
    plan = AuditPlan(whole, request, counts, {"data": given.scene.identity("all")})
    run = AuditRun(request, given, plan, audited, in_steps, say)
    with computing_on(given.device):
        carry_out(run, folder.root, InProcess(), write_outcome, _telling(say))
    return folder.root


def _telling(say: Say) -> Watch:
    """Return a `Watch` that says each step once."""
    said = set[str]()

    @contextmanager
    def watch(_: Sequence[Task]) -> Generator[Observer]:
        def observe(event: Event) -> None:
            if event.task.label not in said:
                said.add(event.task.label)
                say(event.task.label)

        yield observe

    return watch


def _audited(given: Prepared, whole: Environment) -> str:
    """Return the hash of the model, its output, the images and their classes, however they are read.

    An audit of the same is made again in its folder, as with another scaling or budget; one of others is refused.
    """
    model, table = given.model, whole.table
    output = None if model.output is None else model.output.column
    images = image_keys(given, whole) if digests_of(given) else [given.scene.identity("all")]
    return content_hash([model.origin.kind, model.origin.content, model.answers, model.task, output, *images,
                         list(table.classes), table.target.tolist()])  # fmt: skip


# The audit itself.


@dataclass(eq=False)
class AuditRun(Run):
    """An audit as a `Run`.

    It reads clean images, then checks how the model is read, then searches for the region that answers live by, then
    reads the doses that decide and distortions, last the doses that are open.

    Attributes:
        request: What to do.
        given: The model and its images.
        plan: What is read.
        audited: Hash of the model and the images.
        in_steps: Whether a model elsewhere answers pictures that were prepared.
        say: Callback for each step.
        checked: Whether the model seems to be read rightly.
    """

    request: AuditRequest
    given: Prepared
    plan: AuditPlan
    audited: str
    in_steps: bool
    say: Say
    checked: bool = False
    kind = AUDIT
    began: float = field(default_factory=time.time)

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Yield what is not read of each round. Raises SpecError where the model seems to be read wrongly."""
        for tasks in self._each_round():
            missing = [
                one for one in tasks if not any(folder.complete(kind, one.id) for kind in ("readings", "probes"))
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
        return {"audit": content_hash([self.given.model.id, self.given.request.id, self.request.values])}

    def _each_round(self) -> Iterator[list[Task]]:
        self._read_scores()
        plan = self.plan
        _ = self.reference  # refused before more is read
        yield self._tasks([plan.clean])
        yield [*self._tasks([self._again]), *self._tasks(self._others.values(), self._unscaled)]
        _ = self.checks
        self.checked = True
        label = f"search for a region in {plan.counts.searched:,} images"
        for part in (self._searches[:-1], self._searches[-1:]):
            yield [Task(one.id, one, label, remote=False) for one in part]
        deciding = [shots[DECIDING] for shots in plan.marks.values()]
        distorted = [shot for shots in plan.distortions.values() for shot in shots]
        tried = [plan.held(shot, self._held) for mark in plan.battery[0] if (shot := plan.tried(mark)) is not None]
        held = [] if self._held is None else [plan.held(plan.unmarked, self._held)]
        yield self._tasks([*deciding, *distorted, *tried, *held])
        if not self._masks:
            yield [Task(self._inside_id, self._look_inside, "inside the network", remote=False)]
        yield self._tasks(self._open())

    def _read_scores(self) -> None:
        """Find from all scores what they are, and settle by what the answers are known."""
        given, plan, folder = self.given, self.plan, self.given.place.folder
        if self._masks:
            self.plan = replace(plan, read_by={**plan.read_by, "model": given.model.content})
        else:
            raw = raw_scores(given, plan.images, {"clean": plan.clean.id}, partial(self.say, plan.counts.words))
            given, logits = with_scores(given, raw, plan.images.table, self.request)
            more = doubts_of_tensors(given, plan.images, {"clean": plan.clean.id}, logits)
            self.given, model = replace(given, doubts=(*given.doubts, *more)), given.model
            self.plan = replace(plan, read_by={**plan.read_by, "model": model.content, "ends": model.ends})
            record = {"model": model.id, "environment": plan.images.name}
            keep_read(folder, self.plan.clean.id, plan.images.table, Read(logits, {}), record)
        if folder.stamp() not in ({}, self._stamp):
            self.say(f"{folder.root}: an audit with other options is replaced; --out keeps both")

    def _tasks(self, shots: Iterable[Shot], given: Prepared | None = None) -> list[Task]:
        read = partial(read_answers, given or self.given)
        return [Task(one.id, partial(read, one.id, one.images), one.label, remote=False) for one in shots]

    def _look_inside(self, context: Context) -> None:
        """Keep what the network holds and looks at, as a `Job`. Raises ReadingError for any failure.

        The audit goes on, since this is evidence only.
        """
        given = self.given
        try:
            rows = inside_rows(given.model, self.plan.images, given.device, self.request.seed)
        except Exception as error:  # of a network that somebody else wrote
            raise ReadingError(str(error) or type(error).__name__) from error
        record: dict[str, Any] = {"model": given.model.id, "probe": "inside", "rows": rows, "readings": {}}
        given.place.folder.write_record("probes", self._inside_id, record)

    @cached_property
    def _inside_id(self) -> str:
        table = self.plan.images.table
        columns = [[one.name, one.role, one.levels, repr(table.columns[one.name].tolist())] for one in table.factors]
        return content_hash({"inside": self.plan.clean.id, "seed": self.request.seed, "columns": columns})

    # How the model is read.

    @cached_property
    def answers(self) -> Answers:
        """The answers that are kept."""
        short = not self.in_steps and self.plan.counts.short
        return Answers(self.given.place.folder, self.plan, self.given.model.threshold, short)

    @property
    def _scales_itself(self) -> bool:
        """Whether Assay trained the network, or a model elsewhere reads pictures, the same for every scaling."""
        return self.in_steps or isinstance(self.given.model.origin, OfTraining)

    @cached_property
    def _again(self) -> Shot:
        """Some of the images, read a second time."""
        images = picked(self.plan.images, np.arange(min(LOOKED, len(self.plan.images))))
        return self._read_otherwise(images, {"again": True})

    @cached_property
    def _others(self) -> Mapping[str, Shot]:
        """Images at the other usual scalings and framings."""
        plan, given = self.plan, self.given
        if self._scales_itself or self.answers.clean.take(plan.compared).quality is None:
            return {}
        small = picked(plan.images, plan.compared)
        changes = alternatives(given.model.scaling, plan.images.images, given.config)
        others: dict[str, Images] = {name: ReadAs(small.images, change) for name, change in changes.items()}
        others |= framings(given, small.table.row.tolist()) if small.masks is None else {}
        return {
            name: self._read_otherwise(replace(small, name=f"({name})", images=images), {"scaling": name})
            for name, images in others.items()
        }

    @property
    def _unscaled(self) -> Prepared:
        """The model with its outputs as they are: ranks need no probabilities, which other scalings may not give."""
        given, model = self.given, self.given.model
        if model.scores == "logits" or self._masks:
            return given
        output = model.output and replace(model.output, head="sigmoid")
        return replace(given, model=replace(model, scores="logits", output=output))

    def _read_otherwise(self, images: Environment, named: Mapping[str, Any]) -> Shot:
        return self.plan.shot("reading", lambda: images, images.table, named, self.plan.clean.label)

    @cached_property
    def checks(self) -> list[Row]:
        """Checks of how the model is read. Raises SpecError where it seems to be read wrongly."""
        again = None if self.in_steps else self._again
        doubts = (*self.given.doubts, *self.given.population.card.doubts)
        return self.answers.checks(again, self._others, doubts, self._scales_itself)

    # The search for a region.

    @cached_property
    def _searches(self) -> Sequence[Search]:
        """The searches, in the images of the training where they are given."""
        plan, given, asked = self.plan, self.given, self.request
        if not plan.counts.searched:
            return ()
        request, scene, images, classes = given.request, given.scene, plan.whole, plan.whole.table.classes
        if asked.train is not None:
            request, scene = training_scene(given, asked.train)
            images = scene.environment("all")
            require_same_classes(images.table, classes)
        images = picked(images, balanced(images.table, plan.counts.searched, asked.seed))
        if self._masks:
            images = by_lesion(images)
            classes = images.table.classes
        tested, trained = self.answers.clean, asked.train is not None
        spread = spread_within(tested.scores, tested.table.target) if trained and not self._masks else 0.0
        made = partial(Search, given, request, scene, images, classes, trained, clean=[], spread=spread)
        place, whole = (made(of, asked.seed, tested.threshold, self._limits) for of in ("place", "whole"))
        drawn = made("drawn", asked.seed, tested.threshold, self._limits, place)
        return [place, drawn] if self._masks else [place, whole, drawn]

    @cached_property
    def _held(self) -> Held | None:
        """The regions that the answer names, made the same in all images; None where none was found."""
        found = [(one, one.found()) for one in self._searches if self.request.elsewhere]
        led = leading_region([row for _, row in found])
        if led is None or led["verdict"] not in FOUND:
            return None
        named = [one for one, row in found if row is led or (one.of == "drawn" and row["verdict"] in FOUND)]
        puts = [one.held(_AROUND) for one in named]

        def put(images: Tensor) -> Tensor:
            return torch.as_tensor(reduce(lambda made, one: one(made), puts, images.numpy()))

        return Held(content_hash([_AROUND, *(one.id for one in named)]), put)

    @cached_property
    def _limits(self) -> LeadLimits | None:
        """Limits of the effect of a region, in images of the same part: of training or new to the network."""
        asked, trained = self.request, self.request.train is not None
        if asked.references is not None:
            return read_limits(asked.references, self.given.model.content, trained=trained)
        return shipped_limits(asked.domain, trained=trained) if asked.shipped and not self._masks else None

    def _regions(self) -> list[Row]:
        if not self.request.leads:
            return []
        if self.in_steps:
            return [not_searched(because(Code.SEARCH_IN_STEPS))]
        if not self._searches:
            return [not_searched(because(Code.SMALL_BUDGET, least=least_budget()))]
        left = [not_searched(because(Code.SEARCH_OF_MASKS), "whole")] if self._masks else []
        return [*(one.found() for one in self._searches), *left]

    @property
    def _masks(self) -> bool:
        return self.request.task == "segmentation"

    def _open(self) -> Iterator[Shot]:
        """Yield marks besides the deciding dose: doses that can change a verdict, elsewhere, and without the region."""
        answers, held = self.answers, self._held
        for mark in self.plan.battery[0]:
            with suppress(ReadingError):
                yield from (self.plan.marks[mark.name][at] for at in answers.needed(mark) if at != DECIDING)
                if held is not None and answers.moves(mark):
                    yield self.plan.held(self.plan.marks[mark.name][DECIDING], held)
                if chosen := answers.elsewhere(mark, held):
                    placed = self.plan.placed(mark, chosen)
                    yield from dict.fromkeys((placed, self.plan.held(placed, held)))

    # What follows.

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables, and write the pictures of marks."""
        given, plan, answers, asked = self.given, self.plan, self.answers, self.request
        shutil.rmtree(folder.root / "pictures", ignore_errors=True)  # those of an earlier audit
        keep_model(given.place, given.model, given.population, self.began, given.device)
        marks = [(mark, *answers.mark(mark, self.reference, self._held)) for mark in plan.battery[0]]
        for mark, row, effects in marks:
            if effects and asked.pictures:
                chosen = answers.elsewhere(mark, self._held) if row["place"] else None
                shown = plan.placed(mark, chosen) if chosen else plan.marks[mark.name][DECIDING]
                write_mark(folder, mark.name, plan.before, shown.images())
        columns, groups, gaps = of_columns(answers.clean, asked.margin)
        verdicts = by_harm([*(row for _, row, _ in marks), *columns])
        checks = data_checks(given.request.data, given.population.dataset, near=plan.images.table.row)
        if asked.pictures:
            for one in self._searches:
                one.write_pictures()
        return {
            "verdicts": verdicts,
            "regions": self._regions(),
            "carriers": [row for one in self._searches for row in one.carriers()],
            "leads": self._leads(),
            "inside": self._inside(folder),
            "effects": [row for _, _, effects in marks for row in effects],
            "distorted": list(answers.distortions()),
            "groups": groups,
            "gaps": gaps,
            "checks": [*self.checks, *checks_of_images(plan.whole, plan.images, given, checks, asked.train)],
            "columns": column_rows(plan.whole.table),
            "shortcuts": checks.shortcuts,
            "issues": checks.issues,
            "added": self._added(checks.cues),
            "images": image_rows(given, plan.images),
            "answers": [
                {"factor": one.factor, "kind": one.kind, "dose": one.dose, "change": one.change, "reading": one.id}
                for one in plan.shots()
                if folder.complete("readings", one.id)
            ],
            "pictures": self._cases(folder, verdicts) if asked.pictures else [],
            "rates": self._rates,
            "provenance": provenance_rows(given, answers, self.reference),
        }

    def _cases(self, folder: RunFolder, verdicts: Sequence[Row]) -> list[Row]:
        """Draw single images, some of them also with the mark that leads."""
        plan, population, moved = self.plan, self.given.population, None
        moving = (row["factor"] for row in verdicts
                  if row["kind"] == "mark" and row["verdict"] in MOVING and not row["place"])  # fmt: skip
        if leading := next(moving, ""):
            shot = plan.marks[leading][DECIDING]
            moved = Moved(leading, self.answers.to(shot), shot.images(), plan.sample)
        gallery = Gallery(folder.root / "pictures", population.scale, self.given.request.data.target, masks=self._masks)
        return audited_cases(self.answers.clean, plan.images, moved, population.dataset is None, gallery)

    @property
    def _shipped(self) -> bool:
        """Whether the shipped reference of the domain is used."""
        return self.request.references is None and self.request.shipped and not self._masks

    @cached_property
    def reference(self) -> Reference | None:
        """Clean networks that the audited one is compared with. Raises SpecError where there are too few.

        Where they read images of another size, marks of detail have no limit: a low-pass filter of 128 px removes
        other details than one of 64 px.
        """
        asked, model, marks = self.request, self.given.model, self.plan.battery[0]
        drawn = {mark.name: mark.doses[DECIDING].label for mark in marks}
        if asked.references is None:
            found = shipped_reference(asked.domain, drawn) if self._shipped else None
        else:
            found = read_reference(asked.references, asked.domain, drawn, model.content)
        if found is None or found.side == model.inputs.size:
            return found
        detail = {mark.name for mark in marks if mark.family == DETAIL}
        return replace(found, largest={mark: one for mark, one in found.largest.items() if mark not in detail})

    @property
    def _rates(self) -> list[Row]:
        """Error rates of the domain, which were measured at the default margin and with such a reference."""
        same = self.reference is not None and (self._shipped or trained_on(self.request.references) > 0)
        return shipped_rates(self.request.domain) if same and self.request.margin == MARGIN else []

    def _added(self, cues: Sequence[Cue]) -> list[Row]:
        dataset = self.given.population.dataset
        return [] if dataset is None else model_added(self.answers.clean, cues, dataset.table)

    def _leads(self) -> list[Row]:
        asked = self.request
        if not asked.leads or self._masks:
            return []
        properties = measured(self.plan.images)
        return foremost(list(leads_of_images(self.answers.clean, properties, asked.seed, asked.margin)))

    def _inside(self, folder: RunFolder) -> list[Row]:
        if self._masks:
            return []
        if not folder.complete("probes", self._inside_id):
            return nothing_inside(why(ReadingError(read_checked_json(folder.failure_path(self._inside_id))["text"])))
        rows = folder.record("probes", self._inside_id)["rows"]
        return [{key: math.nan if value is None else value for key, value in row.items()} for row in rows]
