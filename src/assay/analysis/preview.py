"""Preview a study before training: images, associations, size, time and power."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assay.analysis.contrasts import Pair, compared, pairs, pooling_group
from assay.analysis.data_checks import Looked, cautions, confounders, visibility_rows
from assay.analysis.pictures import Gallery
from assay.analysis.results import Folds
from assay.analysis.shortcuts import shortcut_cautions, shortcut_rows
from assay.core.files import canonical_json
from assay.core.measures import range_of
from assay.core.reasons import Code, Reason, because
from assay.data.cards import without_patients
from assay.shifts.association import also_achieved
from assay.shifts.environment import Achieved, Environment
from assay.shifts.population import Population
from assay.shifts.scene import Tests
from assay.spec.environments import dose_axis, images_seed
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.decisions import LOOK_ALPHA
from assay.stats.doses import uneven_rows
from assay.stats.measures import COMPUTED
from assay.stats.power import Assumptions, planned, rests_on
from assay.stats.rows import ALPHA, DOSES, MATCHED, PRIMARY
from assay.store.files import Row

# What a study will look at, before a second of training.


@dataclass(frozen=True)
class Preview:
    """Rows of the tables of a preview.

    They are pictures of a study's environments and confounders, the properties of each environment, the visibility of
    each confounder, and predictors of the target that need no network.

    Attributes:
        doubts: Doubts about the data and the training environments.
    """

    pictures: tuple[Row, ...]
    environments: tuple[Shown, ...]
    visibility: tuple[Row, ...] = ()
    doubts: tuple[Reason, ...] = ()
    shortcuts: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Shown:
    """Properties of an environment and its associations, both of the same rows.

    Attributes:
        folds: Number of folds in which the data are tested.
        together: Whether the rows are those of all folds, as those of a test environment are, or of the first fold.
    """

    name: str
    images: int
    folds: int
    together: bool
    achieved: tuple[Achieved, ...]


def make_preview(
    spec: StudySpec, population: Population, folder: Path, starts: Mapping[str, Population] | None = None
) -> Preview:
    """Draw every environment of the study, training ones as the first seed sees them, and the images of sources.

    Pictures go to `folder`. Raises as the run would when an association cannot be had.
    """
    gallery = Gallery(folder, population.scale, spec.data.target, population.folds, spec.task == "segmentation")
    environments = distinct_environments(spec.points, population, spec.first_seed)
    heads = headed(environments, spec.points)
    pictures = [gallery.sheet(found.environment, head, head) for found, head in zip(environments, heads, strict=True)]
    pictures += _sources(spec, starts or {}, folder)
    looked, changes = Looked.at(spec, population), confounders(spec.points)
    pictures += [gallery.contact(number, change, looked) for number, change in enumerate(changes, start=1)]
    scene, drawn = population.scene(spec.points[0].tests, spec.first_seed), {change.name for change in changes}
    for factor in (factor for factor in scene.changeable() if factor not in drawn):
        pictures += gallery.pairs(scene, factor, {})
    marks = dict.fromkeys((change.name for change in changes), ())
    shown = tuple(
        replace(_shown(spec, population, found, marks), name=head)
        for found, head in zip(environments, heads, strict=True)
    )
    pictures += gallery.near_copies(population.dataset) if population.dataset else []
    leakage = population.dataset.leakage if population.dataset else ()
    shortcuts = tuple(shortcut_rows(spec, population))
    unnamed = without_patients(population.card.known_faults)
    doubted = (
        *leakage,
        *((because(Code.PATIENTS_UNKNOWN, text=unnamed),) if unnamed else ()),
        *_doubts(spec, environments),
        *cautions(spec, population, looked),
        *shortcut_cautions(shortcuts),
    )
    return Preview(tuple(pictures), shown, tuple(visibility_rows(spec, looked)), doubted, shortcuts)


def _sources(spec: StudySpec, starts: Mapping[str, Population], folder: Path) -> Iterator[Row]:
    """A picture for each source that is trained on images of its own."""
    for name, source in spec.sources.items():
        if name in starts and not source.own:
            training, _ = starts[name].training(source.environment, images_seed(spec.first_seed))
            yield Gallery(folder, starts[name].scale, source.data.target).source(training, name, source.recipe.epochs)


def _doubts(spec: StudySpec, environments: Sequence[Distinct]) -> Iterator[Reason]:
    images = {one.recipe: len(one.environment) for one in environments if one.recipe and one.name == "train"}
    first = {_trained_on(point): images[point.label] for point in spec.points if point.label in images}
    trained = [(point.coordinates, first[_trained_on(point)]) for point in spec.points if _trained_on(point) in first]
    reason = uneven_rows(trained, dose_axis(spec.points))
    if reason:
        yield reason


def _trained_on(point: RecipePoint) -> str:
    """Return the properties that distinguish a training environment from others: confounders share that of p = 0."""
    return canonical_json(point.train.for_training())


def _shown(
    spec: StudySpec,
    population: Population,
    found: Distinct,
    marks: Mapping[str, tuple[str, ...]],
) -> Shown:
    """Describe an environment.

    Args:
        marks: The study's interventions, whose rows are described even where a share alone selects them.
    """
    environment = also_achieved(found.environment, marks)
    if population.folds == 1:
        return Shown(found.label, len(environment), 1, True, environment.achieved)
    point = next((point for point in spec.points if point.label == found.recipe), spec.points[0])
    whole = Folds(population, spec.probes).whole(point.tests, found.name, environment)
    return Shown(found.label, len(whole), population.folds, found.name in point.tests, environment.achieved)


def headed(found: Sequence[Distinct], points: Sequence[RecipePoint]) -> list[str]:
    """Name the environments of `distinct_environments` for readers.

    Those of one name are distinguished by the axes along which their rows change, not by the whole recipe.
    """
    coordinates = {point.label: point.coordinates for point in points}
    heads: list[str] = []
    for one in found:
        axes = _telling(one.name, points) if one.recipe else ()
        values = " · ".join(coordinates[one.recipe][axis] for axis in axes)
        heads.append(f"{one.name} ({values})" if axes else one.label)
    return heads


def _telling(name: str, points: Sequence[RecipePoint]) -> tuple[str, ...]:
    """The axes, in order, whose values say which environment of this name a recipe has, without those that tell nothing
    more; none where all of them do not tell.
    """
    rows = [canonical_json((p.train if name == "train" else p.tests[name]).for_training()) for p in points]
    axes = list(points[0].coordinates)
    for axis in reversed(axes.copy()):  # an axis that is not needed to tell is left out
        without = [one for one in axes if one != axis]
        if _tell(without, points, rows):
            axes = without
    return tuple(axes) if _tell(axes, points, rows) else ()


def _tell(axes: Sequence[str], points: Sequence[RecipePoint], rows: Sequence[str]) -> bool:
    """Whether recipes with the same values on these axes have the same rows."""
    values = [tuple(point.coordinates[axis] for axis in axes) for point in points]
    return len(set(zip(values, rows, strict=True))) == len(set(values))


@dataclass(frozen=True)
class Distinct:
    """A training or test environment of the grid.

    Attributes:
        name: Its name in the study.
        recipe: The first recipe that has it, where one name means several environments along an axis; else empty.
        environment: That of one seed and the first fold.
    """

    name: str
    recipe: str
    environment: Environment

    @property
    def label(self) -> str:
        """The name that distinguishes it in tables: `train`, or `train (recipe)`."""
        return f"{self.name} ({self.recipe})" if self.recipe else self.name


def distinct_environments(points: Sequence[RecipePoint], population: Population, seed: int) -> list[Distinct]:
    """Return every training and test environment of the grid once.

    An intervention on no rows makes no other environment. Environments are those of this seed and the first fold.
    """
    wanted: dict[str, tuple[str, RecipePoint]] = {}
    for point in points:
        for name, environment in {"train": point.train, **point.tests}.items():
            wanted.setdefault(f"{name} {canonical_json(environment.for_training())}", (name, point))
    names = [name for name, _ in wanted.values()]
    found: list[Distinct] = []
    for name, point in wanted.values():
        scene = population.scene(point.tests, seed)
        made = population.training(point.train, seed)[0] if name == "train" else scene.environment(name)
        made = also_achieved(made, Tests(point.tests).ties)
        found.append(Distinct(name, point.label if names.count(name) > 1 else "", made))
    return found


# What each stated contrast of a study could detect, before anything has run.


def detectable_differences(spec: StudySpec, population: Population) -> list[dict[str, str | float | None]]:
    """Return one entry per comparison: the columns that name it, its role, and the difference found with 80% power.

    `detectable` is a number, or None with `reason` where the plan cannot say: a measure whose patients or range are not
    known beforehand, too few patients, fewer than 3 seeds. The assumptions are `stats.power.Assumptions`.
    """
    family = [pair for stated in spec.contrasts for pair in pairs(stated, spec.points, tuple(spec.axes))]
    groups = [pooling_group(pair.stated) for pair in family]
    return [
        _entry(pair, spec, population, _of_family(pair, family), groups.count(group))
        for pair, group in zip(family, groups, strict=True)
    ]


def _of_family(pair: Pair, every: Sequence[Pair]) -> int:
    """Count the comparisons of the family of a comparison, itself included."""
    if pair.stated.role == "positive-control":
        return 1
    return sum(other.stated.family_name == pair.stated.family_name for other in every)


def _entry(
    whole: Pair, spec: StudySpec, population: Population, family: int, group: int
) -> dict[str, str | float | None]:
    pair = whole.single[0]
    stated = pair.stated
    entry: dict[str, str | float | None] = {**compared(whole), "role": stated.role, "detectable": None, "reason": ""}
    if stated.measure not in COMPUTED:
        return {**entry, "reason": str(because(Code.UNKNOWN_SPREAD))}
    counts = _test_patients(pair, population, stated.environment)
    positives, negatives = counts[-1], sum(counts[:-1])
    if rests_on(stated.measure, positives, negatives) is None:
        return {**entry, "reason": str(because(Code.UNPLANNED_VARIANCE))}
    correction = stated.family.correction if stated.family else "holm"
    difference = planned(
        spec.seeds,
        positives,
        negatives,
        stated.measure,
        Assumptions(),
        family,
        population.folds,
        group,
        correction,
        LOOK_ALPHA if spec.looks and stated.role == PRIMARY else ALPHA,
    )
    if stated.at in (DOSES, MATCHED):
        doses = len({point.coordinates[dose_axis(pair.a)] for point in pair.a})
        difference *= math.sqrt(1 + 1 / max(1, doses - 1))  # a mean over doses less one value, as if independent
    if math.isnan(difference):
        return {
            **entry,
            "reason": str(because(Code.TOO_FEW_PLANNED, seeds=spec.seeds, patients=tuple(map(str, counts)))),
        }
    low, high = range_of(stated.measure)
    if difference > (high - low) * (2 if stated.at in (DOSES, MATCHED) else 1):  # one may rise as the other falls
        return {**entry, "reason": str(because(Code.BEYOND_RANGE))}
    return {**entry, "detectable": round(difference, 3)}


def _test_patients(pair: Pair, population: Population, environment: str) -> Sequence[int]:
    """Patients per class in the test environment, all folds together."""
    tests = pair.a[0].tests
    tables = [population.scene(tests, 0, fold).environment(environment).table for fold in range(population.folds)]
    return [
        sum(len(np.unique(table.patient[table.target == k])) for table in tables)
        for k in range(len(population.classes))
    ]
