"""Plan of an audit: how many images the model reads, and under which changes, as far as no prediction decides it."""

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
from assay.audit.checks import ChangedOnReading, ImageChange
from assay.audit.model import PreparedAudit
from assay.audit.request import AuditRequest
from assay.audit.scored import operating_point, require_classes, second_half
from assay.audit.search import candidates
from assay.audit.search.sample import LEAST_IMAGES
from assay.audit.search.search import FIXED_PASSES, PASSES_PER_IMAGE
from assay.audit.tables import DOSES
from assay.audit.verdicts import LEAST_PATIENTS
from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import content_hash
from assay.core.seeds import row_uniform
from assay.core.types import FactorTable
from assay.probes.reader import eval_mode
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
_SEARCH_PASSES_FIXED = sum(FIXED_PASSES.values()) + candidates.FIXED_PASSES
_SEARCH_PASSES_PER_IMAGE = sum(PASSES_PER_IMAGE.values()) + candidates.PASSES_PER_IMAGE + 1
"""Upper bounds on the passes of the first searches: once, and for each image, which is read without changes too. Later
searches need a finding, a shape in images or known limits, and are not counted; see `search/search.py`."""
_PLACEMENT_IMAGES, _PLACEMENT_SHARE = 8, 0.1
"""Images of each half of the patients on which places of a mark are compared; share of the budget that this may take.
"""
_TIMING_IMAGES = 16
"""Images of which a pass is timed, for a dry run."""
_N_COMPARED_IMAGES = 400
"""Images on which other scalings are tried."""
StageCallback = Callable[[str], None]
"""Takes what an audit does next, in words, and shows it; for all modules that make or run one."""


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
        searched_images: Images that are searched for a region; 0 where none are.
        passes_per_image: How often each of the marked images is read at most.
        placement_passes: Passes that choose among the places of marks; 0 where places are not compared.
        skips_doses: Whether doses that cannot change a verdict are left out.
    """

    total: int
    clean_images: int
    marked_images: int
    marks: int
    distortions: int
    severities: int
    searched_images: int
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
            + search_passes(self.searched_images)
        )

    @property
    def words(self) -> str:
        """The plan in a line."""
        doses = (
            "at one strength, and at two others where these can change a verdict"
            if self.skips_doses
            else "at three strengths"
        )
        marked = f"{count(self.marks, 'mark')} drawn on {self.marked_images:,} of them"
        return f"{self.clean_images:,} of {self.total:,} images, {marked} {doses}"


def plan_sizes(request: AuditRequest, all_images: Environment, *, search: bool = True) -> AuditSize:
    """Return how many images are read. It depends on the budget and the images alone, so that equal audits are equal.

    The budget is spent in this order; a pass is one image through the model.

    1. The search may take `_SEARCH_SHARE` of the budget. It has fixed passes and passes per image; with fewer than
       `LEAST_IMAGES` images there is none.
    2. Places of marks are compared on `_PLACEMENT_IMAGES` images of each half of the patients. This is left out where
       it would take more than `_PLACEMENT_SHARE` of the budget.
    3. A third of the passes that are left is for images without changes.
    4. The other passes, divided by the passes per image, are the number of marked images. Such an image is read under
       each dose of each mark and each severity of each distortion, and once more for a mark that has places. Where a
       region may be neutralized, it is also read without a mark, and once more for a mark that has places.

    A mark may also be read at its own place with the region neutralized. In a full audit these extra passes count;
    otherwise they replace doses that are skipped. Steps 3 and 4 have at least `_MIN_IMAGES` images each, if there are
    as many, however small the budget.

    Args:
        request: What to do. Its `budget` limits the passes, and the full battery is read where `is_full`. With `leads`,
            regions are searched for, with `train` in other images than these. With `elsewhere`, marks are also tried at
            other places and with the leading region neutralized.
        all_images: All images.
        search: Whether the model can read images that are chosen by its predictions.
    """
    n_images, (marks, distortions), severities = len(all_images), battery_of(request, all_images), _severities(request)
    affordable_search_images = (
        int((_SEARCH_SHARE * request.budget - _SEARCH_PASSES_FIXED) / _SEARCH_PASSES_PER_IMAGE)
        if search and request.leads
        else 0
    )
    affordable_search_images = affordable_search_images if affordable_search_images >= LEAST_IMAGES else 0
    # How many images `train` has is not known here: `balanced_rows` takes all of fewer.
    searched_images = min(affordable_search_images, n_images) if request.train is None else affordable_search_images
    neutralizes_region = search and request.elsewhere and searched_images > 0
    placement_passes = sum(len(mark.places) for mark in marks) * 2 * _PLACEMENT_IMAGES
    placement_passes = (
        placement_passes
        if search and request.elsewhere and placement_passes <= _PLACEMENT_SHARE * request.budget
        else 0
    )
    passes_left = request.budget - search_passes(searched_images) - placement_passes
    n_clean_images = min(n_images, max(_MIN_IMAGES, passes_left // 3))
    n_placed_marks = sum(bool(mark.places) for mark in marks) if placement_passes else 0
    passes_per_image = max(
        1,
        len(marks) * len(DOSES)
        + n_placed_marks * (1 + neutralizes_region)
        + neutralizes_region
        + len(distortions) * len(severities),
    )
    extra_passes = neutralizes_region * len(marks)  # the mark with the region neutralized
    n_marked_images = min(
        n_clean_images,
        max(_MIN_IMAGES, (passes_left - n_clean_images) // (passes_per_image + extra_passes * request.is_full)),
    )
    skips_doses = not request.is_full and (
        n_marked_images < n_images or n_marked_images * (passes_per_image + extra_passes) > passes_left - n_clean_images
    )
    return AuditSize(
        total=n_images,
        clean_images=n_clean_images,
        marked_images=n_marked_images,
        marks=len(marks),
        distortions=len(distortions),
        severities=len(severities),
        searched_images=searched_images,
        passes_per_image=passes_per_image if skips_doses else passes_per_image + extra_passes,
        placement_passes=placement_passes,
        skips_doses=skips_doses,
    )


def least_budget() -> int:
    """Return the smallest budget that allows a search."""
    return math.ceil(search_passes(LEAST_IMAGES) / _SEARCH_SHARE)


def search_passes(n_images: int) -> int:
    """Return how many passes all searches of `n_images` images take at most."""
    return n_images * _SEARCH_PASSES_PER_IMAGE + _SEARCH_PASSES_FIXED if n_images else 0


def seconds_per_image(prepared: PreparedAudit, all_images: Environment) -> float:
    """Return the seconds that one image takes, for a dry run: no plan depends on them."""
    with prepared.model.open(prepared.device) as opened, eval_mode(opened.network), torch.inference_mode():
        images = take_with_masks(all_images, np.arange(min(_TIMING_IMAGES, len(all_images)))).images
        first = images.read(np.arange(len(images))).to(prepared.device)
        opened.network(first)
        began = time.perf_counter()
        opened.network(first)
        return (time.perf_counter() - began) / len(images)


def battery_of(request: AuditRequest, all_images: Environment) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
    """Return the marks and distortions of an audit."""
    marks, distortions = battery(request.domain, all_images.images.shape[0])
    if request.is_full:
        distortions = every_distortion(request.domain, all_images.images.shape[0])
    if request.marks is not None:
        marks = marks_of(request.marks)
    return marks, distortions if request.distortions is None else request.distortions


def _severities(request: AuditRequest) -> tuple[int, ...]:
    """Return the severities at which distortions are read: all of them in a full audit."""
    return EVERY_SEVERITY if request.is_full else SEVERITIES


# Which images are read.


@dataclass(frozen=True, eq=False)
class PlannedReading:
    """A reading: images that the model reads once, all under the same change.

    Attributes:
        id: Name of the stored predictions, a hash of the model, the images and the change.
        kind: `clean`, `mark`, `distortion`, `held` (a region is neutralized: it has the same content in all images), or
            `reading` (the same images with other preprocessing, or a second time).
        table: The images.
        images: Returns them with the change. Raises SpecError where they cannot have it.
        label: Step that is printed while they are read.
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
    """Regions that are neutralized: they get the same content in all images.

    Attributes:
        id: Hash of the regions and their content.
        change: Puts this content on images.
    """

    id: str
    change: ImageChange


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """The images of an audit without and with changes.

    Attributes:
        all_images: All images.
        request: What to do.
        sizes: How many are read.
        cache_key: What determines predictions apart from the images and their changes, such as the hash of the model.
    """

    all_images: Environment
    request: AuditRequest
    sizes: AuditSize
    cache_key: Mapping[str, Any]

    def make_reading(
        self,
        kind: str,
        images: Callable[[], Environment],
        table: FactorTable,
        identity: Mapping[str, Any],
        label: str,
        **fields: str,
    ) -> PlannedReading:
        """Return a reading of images under the change that `identity` determines; `fields` are its other fields."""
        id = content_hash({**self.cache_key, "rows": content_hash(table.row.tolist()), **identity})
        return PlannedReading(id, kind, table, images, label, **fields)

    @cached_property
    def images(self) -> Environment:
        """The images that are read without changes, classes in equal parts as far as there are images."""
        return take_with_masks(
            self.all_images, balanced_rows(self.all_images.table, self.sizes.clean_images, self.request.seed)
        )

    @cached_property
    def sample(self) -> Int[np.ndarray, " m"]:
        """Positions in `images` of those that get marks."""
        return balanced_rows(self.images.table, self.sizes.marked_images, self.request.seed)

    @cached_property
    def compared_positions(self) -> Int[np.ndarray, " m"]:
        """Positions in `images` of those on which other scalings are tried."""
        return balanced_rows(self.images.table, _N_COMPARED_IMAGES, self.request.seed)

    @property
    def compared_in_second_half(self) -> Bool[np.ndarray, " m"]:
        """Whether each image of `compared_positions` is of the second half of the patients."""
        # The purpose "halves" seeds the split, so that it is independent of the one for "places".
        return second_half(self.images.table.patient[self.compared_positions], self.request.seed, "halves")

    @cached_property
    def unmarked_images(self) -> Environment:
        """The images that get marks, without them."""
        return take_with_masks(self.images, self.sample)

    @cached_property
    def clean(self) -> PlannedReading:
        """The images without changes."""
        return self.make_reading("clean", lambda: self.images, self.images.table, {}, self.sizes.words)

    @cached_property
    def battery(self) -> tuple[tuple[AuditedMark, ...], tuple[str, ...]]:
        """Marks and distortions."""
        return battery_of(self.request, self.all_images)

    @cached_property
    def marks(self) -> Mapping[str, Sequence[PlannedReading]]:
        """Mark -> its readings, by dose."""
        return {mark.name: self._doses(mark) for mark in self.battery[0]}

    def _doses(self, mark: AuditedMark) -> list[PlannedReading]:
        """Return a reading of the marked images per dose of a mark, as it is drawn."""
        table = self.unmarked_images.table
        return [
            self.make_reading(
                "mark",
                partial(_with_mark, self.unmarked_images, mark.name, component),
                table,
                {"mark": mark.name, "change": component.canonical()},
                f"mark {mark.name}",
                factor=mark.name,
                dose=DOSES[dose],
                change=json.dumps(component.canonical(), sort_keys=True),
            )
            for dose, component in enumerate(mark.doses)
        ]

    # Marks at other places, and with the leading region neutralized.

    @cached_property
    def in_second_half(self) -> Bool[np.ndarray, " m"]:
        """Whether each of the images that get marks is of the second half of the patients."""
        # The purpose "places" seeds the split, see `compared_in_second_half`.
        return second_half(self.unmarked_images.table.patient, self.request.seed, "places")

    @cached_property
    def placement_positions(self) -> Int[np.ndarray, " k"]:
        """Positions in `unmarked_images` of images of both halves of the patients on which places are compared."""
        table, halves = (
            self.unmarked_images.table,
            (np.flatnonzero(self.in_second_half == half) for half in (False, True)),
        )
        return np.concatenate(
            [of_half[balanced_rows(table.take(of_half), _PLACEMENT_IMAGES, self.request.seed)] for of_half in halves]
        )

    def reading_at_all_places(self, mark: AuditedMark) -> PlannedReading | None:
        """Return a reading of the images of `placement_positions` with a mark at its first place, then at its next.

        None where places are not compared.
        """
        if not (self.sizes.placement_passes and mark.places):
            return None
        images = take_with_masks(self.unmarked_images, np.tile(self.placement_positions, len(mark.places)))
        place_index = np.repeat(np.arange(len(mark.places)), len(self.placement_positions))
        return self._reading_with_mark_at(images, mark, tuple(mark.places), place_index)

    def reading_at_places(self, mark: AuditedMark, place_of_half: tuple[str, str]) -> PlannedReading:
        """Return a reading with a mark at one place in the first half of the patients, and at one in the second."""
        return self._reading_with_mark_at(
            self.unmarked_images, mark, place_of_half, self.in_second_half.astype(np.int64)
        )

    def _reading_with_mark_at(
        self, images: Environment, mark: AuditedMark, places: Sequence[str], place_index: Int[np.ndarray, " n"]
    ) -> PlannedReading:
        """Return a reading in which image i has the mark at `places[place_index[i]]`."""

        def make_images() -> Environment:
            with_mark_at_place = [_with_mark(images, mark.name, mark.places[place]) for place in places]
            changes = [
                replace(change, marked=place_index == index)
                for index, marked in enumerate(with_mark_at_place)
                for change in changes_of(marked.images)
            ]
            return replace(with_mark_at_place[0], images=ChangedImages(images.images, changes))

        identity = {"mark": mark.name, "at": [mark.places[place].canonical() for place in places]}
        return self.make_reading("mark", make_images, images.table, identity, f"mark {mark.name} elsewhere")

    def neutralize(self, reading: PlannedReading, regions: NeutralizedRegions | None) -> PlannedReading:
        """Return a reading with regions neutralized in all of its images; the same reading without regions."""
        if regions is None:
            return reading

        def make_neutralized() -> Environment:
            environment = reading.images()
            return replace(environment, images=ChangedOnReading(environment.images, regions.change))

        # Run folders call a neutralized region "held"; another word here would change the names of their readings.
        return self.make_reading(
            "held",
            make_neutralized,
            reading.table,
            {"held": regions.id, "of": reading.id},
            "apart from the leading region",
        )

    @cached_property
    def unmarked_reading(self) -> PlannedReading:
        """The images that get marks, without them."""
        return self.make_reading(
            "clean", lambda: self.unmarked_images, self.unmarked_images.table, {}, self.sizes.words
        )

    @cached_property
    def distortions(self) -> Mapping[str, Sequence[PlannedReading]]:
        """Family -> its readings, by severity."""

        def make_distorted(family: str, severity: int) -> Environment:
            return replace(distort(self.unmarked_images, family, severity), masks=self.unmarked_images.masks)

        table = self.unmarked_images.table
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
                for severity in _severities(self.request)
            ]
            for family in self.battery[1]
        }

    def readings(self) -> Iterator[PlannedReading]:
        """Yield the readings that depend on no prediction: clean images, marks as they are drawn, and distortions."""
        yield self.clean
        for group in (*self.marks.values(), *self.distortions.values()):
            yield from group


def _with_mark(images: Environment, name: str, mark: Component) -> Environment:
    """Return images that all have a mark, the high level of its factor. `switch` ignores the share of such images."""
    return switch(images, name, InterventionSpec(component=mark, share=0.5), "high", TEST_SEED)


def balanced_rows(table: FactorTable, n_rows: int, seed: int) -> Int[np.ndarray, " m"]:
    """Choose `n_rows` rows, or all if there are fewer, classes in equal parts as far as there are images.

    A smaller choice is part of a larger one. Rows are in ascending order.
    """
    if len(table) <= n_rows:
        return np.arange(len(table))
    rank_in_class = np.empty(len(table), dtype=np.int64)
    draw = row_uniform(seed, "audit", table.row)
    for code in np.unique(table.target):
        of_class = np.flatnonzero(table.target == code)
        rank_in_class[of_class[np.argsort(draw[of_class], kind="stable")]] = np.arange(len(of_class))
    return np.sort(np.lexsort((draw, rank_in_class))[:n_rows])


def take_with_masks(environment: Environment, rows: Int[np.ndarray, " m"]) -> Environment:
    """Return some rows of an environment with their masks at the size of the images.

    Interventions are dropped, since an audit puts each of its marks on images without others. Original pictures are
    dropped, since marks are drawn on the images that the model reads. Native masks, the millimeters of pixels and
    lesions for heat maps are dropped, since an audit does not use them.
    """
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
