"""What an audit reads: how many images, and under which changes, as far as no answer of the model decides it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from assay.audit.battery import SEVERITIES, AuditedMark, battery, every_distortion, marks_of
from assay.audit.checks import Change, ChangedOnReading
from assay.audit.model import PreparedAudit
from assay.audit.request import AuditRequest
from assay.audit.scored import operating_point, require_classes, second_half
from assay.audit.search import candidates
from assay.audit.search.search import AFTER, LEAST_IMAGES, MOST_PASSES
from assay.audit.tables import DOSES
from assay.audit.verdicts import LEAST_PATIENTS
from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import content_hash
from assay.core.seeds import row_uniform
from assay.core.types import FactorTable
from assay.probes.reader import evaluating
from assay.shifts.distortions import SEVERITIES as EVERY_SEVERITY
from assay.shifts.distortions import distort
from assay.shifts.environment import Environment, PickedImages, PickedMasks
from assay.shifts.intervention import ChangedImages, changes_of, without_interventions
from assay.shifts.population import switch
from assay.shifts.sampling import TEST_SEED
from assay.spec.recipe import Component
from assay.spec.schema import InterventionSpec
from assay.stats.format import count, join_words

_MIN_IMAGES = 2 * LEAST_PATIENTS
"""Images that are audited at least, however small the budget."""
_SEARCH_SHARE = 0.65
"""Share of the budget that the search for a region may take."""
_SEARCH_PASSES_FIXED = sum(MOST_PASSES.values()) + candidates.MOST_PASSES
_SEARCH_PASSES_PER_IMAGE = sum(AFTER.values()) + candidates.AFTER + 1
"""Passes of the first searches at most, once and for each image, which is read without changes too. Those for a shape
follow only where images have one, those for shading, turned shapes and occlusion where their limits are known, those
between two kinds of change where the halves found two, and those of further rounds only where something was found."""
_PLACEMENT_IMAGES, _PLACEMENT_SHARE = 8, 0.1
"""Images of each half of the patients on which places of a mark are compared; share of the budget that this may take.
"""
_TIMING_IMAGES = 16
_COMPARED = 400
"""Images on which other scalings are tried."""
StageCallback = Callable[[str], None]


# What is asked for, checked.


def require_consistent(request: AuditRequest) -> None:
    """Raise SpecError where settings are out of range, or contradict each other."""
    if request.threshold is not None:
        operating_point(request.threshold)
    if request.task == "segmentation" and (request.threshold is not None or request.output):
        raise SpecError("threshold, output: pixels of a segmentation are called at 0.5, and any kind of lesion counts")


def require_classes_for_task(request: AuditRequest, table: FactorTable) -> None:
    """Check that images have the classes that an audit needs. Raises DataError, or SpecError for the threshold."""
    if request.task == "classification":
        require_classes(table)
        if str(request.threshold).startswith("sensitivity") and len(table.classes) != 2:
            raise SpecError("threshold: a sensitivity is of two classes; give a probability")


def require_same_classes(table: FactorTable, classes: tuple[str, ...]) -> None:
    """Raise DataError where the images of the training have other classes than those that are audited."""
    if table.classes != classes:
        raise DataError(
            f"{key_text('--train')} has the classes {join_words([*table.classes])}, and {key_text('--images')} "
            f"{join_words([*classes])}"
        )


# How many images are read.


@dataclass(frozen=True)
class AuditSize:
    """How much is read, as far as the budget allows.

    Attributes:
        total: Images in the data.
        clean_images: Images that are read without changes.
        marked_images: Images of these that are read under every mark and distortion.
        marks: Number of marks.
        distortions: Number of distortions.
        severities: Number of severities of each.
        searched: Images that are searched for a region; 0 where none are.
        passes_per_image: How often each of the marked images is read at most.
        placement_passes: Passes of the comparison of places of marks; 0 where none are compared.
        skips_doses: Whether doses that cannot change a verdict are left out.
    """

    total: int
    clean_images: int
    marked_images: int
    marks: int
    distortions: int
    severities: int
    searched: int
    passes_per_image: int
    placement_passes: int
    skips_doses: bool

    @property
    def passes(self) -> int:
        """Images put through the model at most."""
        return (
            self.clean_images
            + self.marked_images * self.passes_per_image
            + self.placement_passes
            + passes_of(self.searched)
        )

    @property
    def words(self) -> str:
        """The plan in a line."""
        doses = (
            "at the middle strength, at two more where these can change a verdict"
            if self.skips_doses
            else "at three strengths"
        )
        marked = f"{self.marked_images:,} of them under {count(self.marks, 'mark')}"
        return f"{self.clean_images:,} of {self.total:,} images, {marked} {doses}"


def plan_sizes(request: AuditRequest, all_images: Environment, *, search: bool = True) -> AuditSize:
    """Return how many images are read: it depends on the budget and the images alone, so that equal audits are equal.

    Args:
        request: What to do.
        all_images: All images.
        search: Whether the model can be asked for what depends on its answers.
    """
    n, (marks, distortions), severities = len(all_images), battery_of(request, all_images), _severities(request)
    able = (
        int((_SEARCH_SHARE * request.budget - _SEARCH_PASSES_FIXED) / _SEARCH_PASSES_PER_IMAGE)
        if search and request.leads
        else 0
    )
    able = able if able >= LEAST_IMAGES else 0
    searched = min(able, n) if request.train is None else able
    holds_region = search and request.elsewhere and searched > 0
    tried = sum(len(mark.places) for mark in marks) * 2 * _PLACEMENT_IMAGES
    tried = tried if search and request.elsewhere and tried <= _PLACEMENT_SHARE * request.budget else 0
    passes_left = request.budget - passes_of(searched) - tried
    clean = min(n, max(_MIN_IMAGES, passes_left // 3))
    placed = sum(bool(mark.places) for mark in marks) if tried else 0
    times = max(
        1,
        len(marks) * len(DOSES) + placed * (1 + holds_region) + holds_region + len(distortions) * len(severities),
    )
    more = holds_region * len(
        marks
    )  # without the leading region, which takes the place of doses where these are left out
    marked = min(clean, max(_MIN_IMAGES, (passes_left - clean) // (times + more * request.full)))
    short = not request.full and (marked < n or marked * (times + more) > passes_left - clean)
    return AuditSize(
        n,
        clean,
        marked,
        len(marks),
        len(distortions),
        len(severities),
        searched,
        times if short else times + more,
        tried,
        short,
    )


def least_budget() -> int:
    """Return the smallest budget that allows a search."""
    return math.ceil(passes_of(LEAST_IMAGES) / _SEARCH_SHARE)


def passes_of(images: int) -> int:
    """Return how many passes all searches of so many images take at most."""
    return images * _SEARCH_PASSES_PER_IMAGE + _SEARCH_PASSES_FIXED if images else 0


def seconds_each(prepared: PreparedAudit, all_images: Environment) -> float:
    """Return the seconds that one image takes, for a dry run: no plan depends on them."""
    with prepared.model.open(prepared.device) as opened, evaluating(opened.network), torch.inference_mode():
        images = take_with_masks(all_images, np.arange(min(_TIMING_IMAGES, len(all_images)))).images
        first = images.read(np.arange(len(images))).to(prepared.device)
        opened.network(first)
        began = time.perf_counter()
        opened.network(first)
        return (time.perf_counter() - began) / len(images)


def battery_of(request: AuditRequest, all_images: Environment) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
    """Return the marks and distortions of an audit."""
    marks, distortions = battery(request.domain, all_images.images.shape[0])
    if request.full:
        distortions = every_distortion(request.domain, all_images.images.shape[0])
    if request.marks is not None:
        marks = marks_of(request.marks)
    return marks, distortions if request.distortions is None else request.distortions


def _severities(request: AuditRequest) -> tuple[int, ...]:
    return EVERY_SEVERITY if request.full else SEVERITIES


# Which images are read.


@dataclass(frozen=True, eq=False)
class PlannedReading:
    """Images that are read under one change.

    Attributes:
        id: Name of the answers.
        kind: `clean`, `mark`, `distortion`, or `reading`: the same images read otherwise.
        table: The images.
        images: Returns them with the change. Raises SpecError where they cannot have it.
        label: What is said when they are read.
        factor: The mark or distortion.
        dose: Its dose or severity.
        change: The mark with its arguments, as JSON.
    """

    id: str
    kind: str
    table: FactorTable
    images: Callable[[], Environment]
    label: str
    factor: str = ""
    dose: str = ""
    change: str = ""


@dataclass(frozen=True, eq=False)
class NeutralizedRegions:
    """Regions that are made the same in all images.

    Attributes:
        id: Hash of the regions and of what they have.
        put_on: Puts it on images.
    """

    id: str
    put_on: Change


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """The images of an audit without and with changes.

    Attributes:
        all_images: All images.
        asked: What to do.
        counts: How many are read.
        read_by: What determines answers besides the images and their changes.
    """

    all_images: Environment
    asked: AuditRequest
    counts: AuditSize
    read_by: Mapping[str, Any]

    def make_reading(
        self,
        kind: str,
        images: Callable[[], Environment],
        table: FactorTable,
        named: Mapping[str, Any],
        label: str,
        **more: str,
    ) -> PlannedReading:
        """Return images under a change that `named` names; `more` are further fields."""
        id = content_hash({**self.read_by, "rows": content_hash(table.row.tolist()), **named})
        return PlannedReading(id, kind, table, images, label, **more)

    @cached_property
    def images(self) -> Environment:
        """The images that are read without changes, classes in equal parts as far as there are images."""
        return take_with_masks(
            self.all_images, balanced_rows(self.all_images.table, self.counts.clean_images, self.asked.seed)
        )

    @cached_property
    def sample(self) -> Int[np.ndarray, " m"]:
        """Positions in `images` of those that get marks."""
        return balanced_rows(self.images.table, self.counts.marked_images, self.asked.seed)

    @cached_property
    def compared_positions(self) -> Int[np.ndarray, " m"]:
        """Positions in `images` of those on which other scalings are tried."""
        return balanced_rows(self.images.table, _COMPARED, self.asked.seed)

    @property
    def halves(self) -> Bool[np.ndarray, " m"]:
        """Whether each of `compared` is of the second half of the patients."""
        return second_half(self.images.table.patient[self.compared_positions], self.asked.seed, "halves")

    @cached_property
    def before(self) -> Environment:
        """The images that get marks, without them."""
        return take_with_masks(self.images, self.sample)

    @cached_property
    def clean(self) -> PlannedReading:
        """The images without changes."""
        return self.make_reading("clean", lambda: self.images, self.images.table, {}, self.counts.words)

    @cached_property
    def battery(self) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
        """Marks and distortions."""
        return battery_of(self.asked, self.all_images)

    @cached_property
    def marks(self) -> Mapping[str, Sequence[PlannedReading]]:
        """Mark -> its shots, by dose."""
        return {mark.name: self._doses(mark) for mark in self.battery[0]}

    def _doses(self, mark: AuditedMark) -> list[PlannedReading]:
        table = self.before.table
        return [
            self.make_reading(
                "mark",
                partial(_with_mark, self.before, mark.name, component),
                table,
                {"mark": mark.name, "change": component.canonical()},
                f"mark {mark.name}",
                factor=mark.name,
                dose=DOSES[at],
                change=json.dumps(component.canonical(), sort_keys=True),
            )
            for at, component in enumerate(mark.doses)
        ]

    # Marks at other places, and without the region that leads.

    @cached_property
    def second(self) -> Bool[np.ndarray, " m"]:
        """Whether each of the images that get marks is of the second half of the patients."""
        return second_half(self.before.table.patient, self.asked.seed, "places")

    @cached_property
    def placement_rows(self) -> Int[np.ndarray, " k"]:
        """Positions in `before` of images of both halves on which places are compared."""
        table, halves = self.before.table, (np.flatnonzero(self.second == half) for half in (False, True))
        return np.concatenate(
            [of_half[balanced_rows(table.take(of_half), _PLACEMENT_IMAGES, self.asked.seed)] for of_half in halves]
        )

    def placement_reading(self, mark: AuditedMark) -> PlannedReading | None:
        """Return the scouts with a mark at its first place, then at the next; None where places are not compared."""
        if not (self.counts.placement_passes and mark.places):
            return None
        few = take_with_masks(self.before, np.tile(self.placement_rows, len(mark.places)))
        which = np.repeat(np.arange(len(mark.places)), len(self.placement_rows))
        return self._at(few, mark, tuple(mark.places), which)

    def images_with(self, mark: AuditedMark, chosen: tuple[str, str]) -> PlannedReading:
        """Return images with a mark at one place in the first half of the patients, and at one in the second."""
        return self._at(self.before, mark, chosen, self.second.astype(np.int64))

    def _at(
        self, images: Environment, mark: AuditedMark, places: Sequence[str], which: Int[np.ndarray, " n"]
    ) -> PlannedReading:
        def make_images() -> Environment:
            ends = [_with_mark(images, mark.name, mark.places[place]) for place in places]
            changes = [
                replace(change, marked=which == at) for at, end in enumerate(ends) for change in changes_of(end.images)
            ]
            return replace(ends[0], images=ChangedImages(images.images, changes))

        named = {"mark": mark.name, "at": [mark.places[place].canonical() for place in places]}
        return self.make_reading("mark", make_images, images.table, named, f"mark {mark.name} elsewhere")

    def neutralize(self, shot: PlannedReading, hold: NeutralizedRegions | None) -> PlannedReading:
        """Return the images of a shot with regions that are the same in all of them."""
        if hold is None:
            return shot

        def make_neutralized() -> Environment:
            environment = shot.images()
            return replace(environment, images=ChangedOnReading(environment.images, hold.put_on))

        return self.make_reading(
            "held", make_neutralized, shot.table, {"held": hold.id, "of": shot.id}, "apart from the leading region"
        )

    @cached_property
    def unmarked_shot(self) -> PlannedReading:
        """The images that get marks, without them."""
        return self.make_reading("clean", lambda: self.before, self.before.table, {}, self.counts.words)

    @cached_property
    def distortions(self) -> Mapping[str, Sequence[PlannedReading]]:
        """Family -> its shots, by severity."""

        def make_distorted(family: str, severity: int) -> Environment:
            return replace(distort(self.before, family, severity), masks=self.before.masks)

        table = self.before.table
        return {
            family: [
                self.make_reading(
                    "distortion",
                    partial(make_distorted, family, severity),
                    table,
                    {"distortion": [family, severity]},
                    f"distortion {family}",
                    factor=family,
                    dose=str(severity),
                )
                for severity in _severities(self.asked)
            ]
            for family in self.battery[1]
        }

    def shots(self) -> Iterator[PlannedReading]:
        """Yield all that an audit may read without a search and other ways to read images."""
        yield self.clean
        for group in (*self.marks.values(), *self.distortions.values()):
            yield from group


def _with_mark(images: Environment, name: str, mark: Component) -> Environment:
    return switch(images, name, InterventionSpec(component=mark, share=0.5), "high", TEST_SEED)


def balanced_rows(table: FactorTable, most: int, seed: int) -> Int[np.ndarray, " m"]:
    """Choose rows, classes in equal parts as far as there are images, in ascending order.

    A smaller choice is part of a larger one.
    """
    if len(table) <= most:
        return np.arange(len(table))
    place = np.empty(len(table), dtype=np.int64)
    draw = row_uniform(seed, "audit", table.row)
    for code in np.unique(table.target):
        of_class = np.flatnonzero(table.target == code)
        place[of_class[np.argsort(draw[of_class], kind="stable")]] = np.arange(len(of_class))
    return np.sort(np.lexsort((draw, place))[:most])


def take_with_masks(environment: Environment, rows: Int[np.ndarray, " m"]) -> Environment:
    """Return some rows of an environment with their masks at the size of the images."""
    boxes = None if environment.boxes is None else environment.boxes[rows]
    images = PickedImages(without_interventions(environment.images), rows)
    return replace(
        environment,
        table=environment.table.take(rows),
        images=images,
        native=None,
        masks=None if environment.masks is None else PickedMasks(environment.masks, rows),
        lesions=None,
        millimeters=None,
        boxes=boxes,
        original=None,
    )
