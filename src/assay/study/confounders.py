"""The environments of a study's grid, its confounders, how visible each is, and cautions about both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn import functional

from assay.core.files import canonical_json, fill_names
from assay.core.reasons import Code, Reason, reason_in_words
from assay.core.registry import build, lookup
from assay.core.types import Factor, FactorTable
from assay.data.dataset import ImagesWrapper
from assay.data.files.fitting import by_box
from assay.probes.probe import Probe
from assay.shifts.association import also_achieved
from assay.shifts.confounders.drawing import LEGIBLE, Lettered
from assay.shifts.environment import Environment, PickedImages
from assay.shifts.intervention import Intervention, without_interventions
from assay.shifts.population import Population, TestEnvironments, switch
from assay.shifts.sampling import TEST_SEED
from assay.spec.data import LESION, is_coco, read_header
from assay.spec.environments import dose_axis, dosed_factors
from assay.spec.grid import label
from assay.spec.schema import EnvironmentSpec, InterventionSpec, RecipePoint, StudySpec
from assay.store.files import Row
from assay.study.contrasts import rows_with_confounder

JUST_VISIBLE = 0.5 / 255
"""A pixel counts as changed from half a level of an 8-bit screen."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, slots=True)
class Visibility:
    """Three figures per image, float64 [b].

    Attributes:
        share: Of the pixels that differ by at least `JUST_VISIBLE` in some channel, 0 to 1.
        difference: Mean absolute difference over all pixels and channels, black to white being 1.
        ssim: Structural similarity (Wang et al. 2004: Gaussian window of 11 px, sigma 1.5, K1 = 0.01, K2 = 0.03), the
            mean over windows that lie within the image and over channels, -1 to 1, 1 for equal images; NaN where an
            edge is shorter than 11 px. All three are NaN for an image with a value that is not finite; no images give
            empty figures.
    """

    share: Float64[Tensor, "b"]
    difference: Float64[Tensor, "b"]
    ssim: Float64[Tensor, "b"]


def visibility(before: Float[Tensor, "b c h w"], after: Float[Tensor, "b c h w"]) -> Visibility:
    """Measure the change of images in [0, 1].

    Raises:
        ValueError: If their shapes differ.

    Examples:
        >>> seen = visibility(torch.zeros(1, 1, 32, 32), torch.full((1, 1, 32, 32), 0.25))
        >>> float(seen.share[0]), float(seen.difference[0])  # all pixels differ, by 0.25
        (1.0, 0.25)
    """
    if before.shape != after.shape or before.ndim != 4:
        shapes = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"visibility compares images [b, c, h, w] of one shape; given: {shapes}")
    first, second = before.detach().double(), after.detach().double()
    difference = (first - second).abs()
    sound = torch.isfinite(difference).flatten(1).all(dim=1)
    share = (difference >= JUST_VISIBLE).any(dim=1).double().mean(dim=(1, 2))
    figures = (share, difference.mean(dim=(1, 2, 3)), _ssim(first, second))
    return Visibility(*(torch.where(sound, figure, math.nan) for figure in figures))


def _ssim(first: Float64[Tensor, "b c h w"], second: Float64[Tensor, "b c h w"]) -> Float64[Tensor, "b"]:
    if min(first.shape[2:]) < _WINDOW or len(first) == 0:
        return torch.full((len(first),), math.nan, dtype=torch.float64, device=first.device)
    mean1, mean2 = _window_means(first), _window_means(second)
    variance1 = _window_means(first * first) - mean1 * mean1
    variance2 = _window_means(second * second) - mean2 * mean2
    covariance = _window_means(first * second) - mean1 * mean2
    brightness = (2 * mean1 * mean2 + _C1) / (mean1 * mean1 + mean2 * mean2 + _C1)
    structure = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
    return (brightness * structure).mean(dim=(1, 2, 3))


def _window_means(images: Float64[Tensor, "b c h w"]) -> Float64[Tensor, "b c h-10 w-10"]:
    """Gaussian means over every window that is within the image."""
    steps = torch.arange(_WINDOW, dtype=torch.float64, device=images.device) - (_WINDOW - 1) / 2
    weights = torch.exp(-0.5 * (steps / _SIGMA) ** 2)
    weights = weights / weights.sum()
    flat = images.flatten(0, 1)[:, None]
    flat = functional.conv2d(functional.conv2d(flat, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return flat.view(*images.shape[:2], *flat.shape[2:])


# Environments of the grid.


def name_environments(environments: Sequence[GridEnvironment], points: Sequence[RecipePoint]) -> list[str]:
    """Name the environments of `distinct_environments` for readers.

    Those of one name are distinguished by the axes along which their rows change, not by the whole recipe.
    """
    coordinates = {point.label: point.coordinates for point in points}
    heads: list[str] = []
    for environment in environments:
        axes = _telling(environment.name, points) if environment.recipe else ()
        at = [(axis, coordinates[environment.recipe][axis]) for axis in axes]
        values = ", ".join(value if value[:1].isalpha() else f"{axis} {value}" for axis, value in at)
        heads.append(f"{environment.name} ({values})" if axes else environment.label)
    return heads


def _telling(name: str, points: Sequence[RecipePoint]) -> tuple[str, ...]:
    """The axes, in order, whose values say which environment of this name a recipe has, without those that tell nothing
    more; none where all of them do not tell.
    """
    rows = [canonical_json((p.train if name == "train" else p.tests[name]).for_training()) for p in points]
    axes = list(points[0].coordinates)
    for axis in reversed(axes.copy()):  # an axis that is not needed to tell is left out
        without = [other for other in axes if other != axis]
        if _tell(without, points, rows):
            axes = without
    return tuple(axes) if _tell(axes, points, rows) else ()


def _tell(axes: Sequence[str], points: Sequence[RecipePoint], rows: Sequence[str]) -> bool:
    """Whether recipes with the same values on these axes have the same rows."""
    values = [tuple(point.coordinates[axis] for axis in axes) for point in points]
    return len(set(zip(values, rows, strict=True))) == len(set(values))


@dataclass(frozen=True)
class GridEnvironment:
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


def distinct_environments(points: Sequence[RecipePoint], population: Population, seed: int) -> list[GridEnvironment]:
    """Return every training and test environment of the grid once.

    An intervention on no rows makes no other environment. Environments are those of this seed and the first fold.
    """
    wanted: dict[str, tuple[str, RecipePoint]] = {}
    for point in points:
        for name, environment in {"train": point.train, **point.tests}.items():
            wanted.setdefault(f"{name} {canonical_json(environment.for_training())}", (name, point))
    names = [name for name, _ in wanted.values()]
    environments: list[GridEnvironment] = []
    for name, point in wanted.values():
        scene = population.scene(point.tests, seed)
        environment = population.training(point.train, seed)[0] if name == "train" else scene.environment(name)
        environment = also_achieved(environment, TestEnvironments(point.tests).ties)
        environments.append(GridEnvironment(name, point.label if names.count(name) > 1 else "", environment))
    return environments


# The confounders of a study: which it has, how visible each is, and the same images without and with it.

SAMPLE = 64
"""Test images that the figures of visibility are means over."""
_PIXELS = 2**22  # values compared at a time: they are widened to float64 several times over


@dataclass(frozen=True)
class Confounder:
    """A change to pixels that some environment of a study makes.

    Attributes:
        label: Its name on pages, with its arguments, so that two strengths of one intervention have two.
        name: Of the intervention.
        spec: As the first environment that has it states it.
    """

    label: str
    name: str
    spec: InterventionSpec


@dataclass(frozen=True)
class ReadOnce(ImagesWrapper):
    """`Images` that are read whole at the first reading and then held: few, and looked at again and again."""

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """See `Images`."""
        return self._pixels[torch.as_tensor(index)]

    @cached_property
    def _pixels(self) -> Float[Tensor, "n c h w"]:
        return self.images.read(np.arange(len(self)))


@dataclass(frozen=True)
class ConfounderSample:
    """The clean test images that every confounder is shown on: few, so that a phantom draws no more than these.

    clean: up to `SAMPLE` of the neutral rows of the first recipe's tests, the classes in turn, without interventions.
    sample: their positions among these rows.
    """

    clean: Environment
    sample: Int[np.ndarray, "n"]

    @staticmethod
    def at(spec: StudySpec, population: Population) -> ConfounderSample:
        """Those of a study, as its first seed and fold test them."""
        rows_in_neutral = population.scene(spec.points[0].tests, spec.first_seed).neutral()
        sample = in_turn(rows_in_neutral.table)[:SAMPLE]
        images = ReadOnce(PickedImages(without_interventions(rows_in_neutral.images), sample))
        boxes = None if rows_in_neutral.boxes is None else rows_in_neutral.boxes[sample]
        original = None if rows_in_neutral.original is None else rows_in_neutral.original.take(sample)
        table = rows_in_neutral.table.take(sample)
        return ConfounderSample(
            replace(rows_in_neutral, table=table, images=images, masks=None, boxes=boxes, original=original), sample
        )

    def with_confounder(self, confounder: Confounder) -> Environment:
        """The same rows, every one with the confounder."""
        return switch(self.clean, confounder.name, confounder.spec, "high", TEST_SEED)

    def visibility(self, confounder: Confounder) -> Visibility:
        """The figures of every picture of the sample, without its padding."""
        changed = self.with_confounder(confounder)
        step = max(1, _PIXELS // math.prod(self.clean.images.shape))
        by_measure = {
            name: torch.full((len(self.sample),), math.nan, dtype=torch.float64) for name in Visibility.__slots__
        }
        for box, alike in by_box(self.clean.boxes, np.arange(len(self.sample)), self.clean.images.shape):
            for part in (alike[start : start + step] for start in range(0, len(alike), step)):
                pair = (
                    environment.read(part)[:, :, box.rows, box.columns]
                    for environment in (self.clean.images, changed.images)
                )
                measured = visibility(*pair)
                for name, values in by_measure.items():
                    values[torch.as_tensor(part)] = getattr(measured, name).double()
        return Visibility(**by_measure)


def confounders(points: Sequence[RecipePoint]) -> tuple[Confounder, ...]:
    """Every intervention of every environment, once for each set of arguments, in the order in which they appear."""
    by_name: dict[str, Confounder] = {}
    for spec in _environments(points):
        for name, intervention in spec.interventions.items():
            complete = intervention.component.model_dump(mode="json", context={"complete": True})
            key = canonical_json([name, complete, intervention.apply_at])
            if key not in by_name:
                by_name[key] = Confounder(_label(name, intervention), name, intervention)
    return tuple(by_name.values())


def selected_factors(points: Sequence[RecipePoint], core: str) -> tuple[str, ...]:
    """The factors that some environment ties to the target by choosing or drawing rows, but for the core factor."""
    environments = list(_environments(points))
    changes = {name for spec in environments for name in spec.interventions}
    tied = [name for spec in environments for name, tie in spec.association.items() if tie.strength]
    return tuple(name for name in dict.fromkeys(tied) if name not in changes and name != core)


def visibility_rows(spec: StudySpec, looked: ConfounderSample) -> list[Row]:
    """Rows of `data_tables.VISIBILITY`; none for a study that neither changes a pixel nor doses a factor."""
    changes = confounders(spec.points)
    if not changes and not dose_axis(spec.points):
        return []
    rows = [_row(confounder, looked.visibility(confounder)) for confounder in changes]
    return rows + [_no_row(name) for name in selected_factors(spec.points, spec.data.core)]


def in_turn(table: FactorTable) -> Int[np.ndarray, "n"]:
    """Positions of all rows, the classes in turn: the first of each, the second of each, and so on."""
    place = np.empty(len(table), dtype=np.int64)
    for label_ in np.unique(table.target):
        of_class = np.flatnonzero(table.target == label_)
        place[of_class] = np.arange(len(of_class))
    return np.lexsort((table.target, place))


def _environments(points: Sequence[RecipePoint]) -> Iterator[EnvironmentSpec]:
    for point in points:
        yield from (point.train, *point.tests.values())


def _label(name: str, intervention: InterventionSpec) -> str:
    """`tag`, `low-pass(cutoff=0.2)`; with its own name before it where the study gives it one, `left: tag(x=0.1)`."""
    component = intervention.component
    if name in (component.name, component.name.rpartition(":")[2]):
        return label({name: dict(component.params)})
    return f"{name}: {component.label}"


def _row(confounder: Confounder, measured: Visibility) -> Row:
    values_by_measure = {name: getattr(measured, name) for name in Visibility.__slots__}
    means = {name: float(torch.nanmean(values)) for name, values in values_by_measure.items()}
    sound = int(measured.share.isfinite().sum())
    reason = str(Reason.of(Code.NO_SSIM)) if sound and math.isnan(means["ssim"]) else ""
    return {
        "confounder": confounder.label,
        "factor": confounder.name,
        "kind": "intervention",
        **means,
        "images": sound,
        "reason": reason,
    }


def _no_row(factor: str) -> Row:
    nothing = dict.fromkeys(Visibility.__slots__, math.nan)
    return {
        "confounder": factor,
        "factor": factor,
        "kind": "sampled",
        **nothing,
        "images": 0,
        "reason": str(Reason.of(Code.TIED_BY_SAMPLING)),
    }


# What to know of a study's images before believing it: another target than masks show, unseen levels, crops,
# tests that disagree, doses of no image, letters that are none, confounders already there.

HARDLY = 0.25
"""An image that a confounder changes by less than this share of what it changes the median image counts as hardly
changed."""
SEVERAL = 0.05
"""From this share of hardly changed images on, it is told."""


def cautions(spec: StudySpec, population: Population, clean_sample: ConfounderSample) -> tuple[Reason, ...]:
    """Return cautions with their figures.

    Rows are those of the first seed, of all folds together where images are counted. looked: as previews look at it.
    """
    return (
        *map(reason_in_words, population.card.doubts),
        *_confounder_target(spec, population),
        *_unseen(spec, population),
        *_undeclared_columns(spec),
        *_crop_notes(spec, population),
        *map(
            reason_in_words,
            dict.fromkeys(text for point in spec.points for text in TestEnvironments(point.tests).disagreements),
        ),
        *_marks_none(spec, population),
        *(caution for change in confounders(spec.points) for caution in _illegible(change, clean_sample)),
        *(caution for change in confounders(spec.points) for caution in _there_already(change, clean_sample)),
    )


def _confounder_target(spec: StudySpec, population: Population) -> Iterator[Reason]:
    """A segmentation ranks images by their target, and counts false positives where masks are empty."""
    if spec.task == "segmentation" and (classes := population.classes) != LESION.levels:
        yield Reason.of(Code.OTHER_TARGET, target=classes[-1])


def _unseen(spec: StudySpec, population: Population) -> Iterator[Reason]:
    by_reason: dict[Reason, list[RecipePoint]] = {}
    keys_done: set[str] = set()
    divided = spec.data.split.column  # which part a row is in: never trained on and tested
    for point in spec.points:
        key = "\n".join([point.train.model_dump_json(), *(test.model_dump_json() for test in point.tests.values())])
        if key in keys_done:
            continue
        keys_done.add(key)
        factors = [
            factor
            for factor in population.factors
            if factor.name != divided and (factor.role != "core" or factor.name not in point.train.where)
        ]
        for reason in _unseen_by(point, spec.first_seed, population, factors):
            by_reason.setdefault(reason, []).append(point)
    for reason, points in by_reason.items():
        yield reason if len(points) == len(keys_done) else reason + Reason.of(Code.OF_RECIPE, recipe=points[0].label)


def reads_neutral(spec: StudySpec) -> bool:
    """Return whether a probe of the study reads the neutral rows."""
    return any(cast("type[Probe]", lookup("probe", probe.name).load()).scope == "neutral" for probe in spec.probes)


def _crop_notes(spec: StudySpec, population: Population) -> Iterator[Reason]:
    """Yield the notes of crops and of the neutral rows, each sentence once."""
    sentences: dict[str, None] = {}
    neutral = reads_neutral(spec)
    for point in spec.points:
        scene = population.scene(point.tests, spec.first_seed)
        for name in scene.names:
            if point.tests[name].crop:
                sentences |= dict.fromkeys(f"'{name}': {note}" for note in scene.environment(name).notes)
        if neutral:
            sentences |= dict.fromkeys(scene.neutral().notes)
    yield from map(reason_in_words, sentences)


def _unseen_by(point: RecipePoint, seed: int, population: Population, factors: Sequence[Factor]) -> Iterator[Reason]:
    """factors: of the images themselves, without the core one where training is restricted in it, as on lesions alone.
    Marks, which the study sets, are with all or none where a dose is 1 or 0. Each fold's test rows are held against its
    own training rows. Those of another set, on which the networks of all folds answer together, are counted once.
    """
    images: Counter[str] = Counter()
    new: dict[tuple[str, str], Counter[int]] = {}
    trained = [population.training(point.train, seed, fold)[0].table for fold in range(population.folds)]
    outside = {name for name, environment in point.tests.items() if environment.data}
    for fold in range(population.folds):
        scene = population.scene(point.tests, seed, fold)
        for name in (name for name in scene.names if fold == 0 or name not in outside):
            train = trained if name in outside else trained[fold : fold + 1]
            test = scene.environment(name).table
            images[name] += len(test)
            for factor in factors:
                if factor.levels and factor in test.factors:  # another set may know others
                    new.setdefault((name, factor.name), Counter()).update(_not_trained(factor, train, test))
    levels = {factor.name: factor.levels for factor in factors}
    for (name, factor), counts in new.items():
        if counts:
            codes = sorted(counts)
            yield Reason.of(
                Code.UNSEEN_LEVELS,
                environment=name,
                factor=factor,
                levels=tuple(levels[factor][code] for code in codes),
                counts=tuple(str(counts[code]) for code in codes),
                images=images[name],
                folds=population.folds if population.folds > 1 and name not in outside else 0,
            )


def _not_trained(factor: Factor, train: Sequence[FactorTable], test: FactorTable) -> dict[int, int]:
    """Level codes of test rows that no training row has, each with its number of test rows."""
    trained = {code for table in train for code in np.unique(table.columns[factor.name]).tolist()}
    codes, counts = np.unique(test.columns[factor.name], return_counts=True)
    counted = zip(codes.tolist(), counts.tolist(), strict=True)
    return {int(code): int(n) for code, n in counted if code >= 0 and code not in trained}


def _undeclared_columns(spec: StudySpec) -> Iterator[Reason]:
    """A column of the table that has an intervention's name and was not declared, so that nobody has read it."""
    if not (spec.data.folder and spec.data.table) or is_coco(spec.data):
        return
    header = read_header(fill_names(spec.data.folder) / spec.data.table)
    for name in dict.fromkeys(change.name for change in confounders(spec.points)):
        if name in header:
            yield Reason.of(Code.COLUMN_OF_INTERVENTION, name=name)


def _marks_none(spec: StudySpec, population: Population) -> Iterator[Reason]:
    """A dose above 0 of so few images that it rounds to none, by the training rows of the first seed and fold."""
    axis = dose_axis(spec.points)
    factors = dosed_factors(spec.points, axis) if axis else {}
    for point in {canonical_json(point.train.for_training()): point for point in spec.points}.values():
        p = point.coordinates.get(axis, "0")
        if point.label not in factors or float(p) == 0:
            continue
        table = population.training(point.train, spec.first_seed)[0].table
        name, high = factors[point.label]
        bearing = rows_with_confounder(table, name, high)
        if bearing is not None and not bearing.any():
            rows = np.bincount(table.target, minlength=len(table.classes))
            counts = tuple(str(n) for n in rows.tolist())
            yield Reason.of(Code.EMPTY_DOSE, p=p, factor=name, classes=tuple(table.classes), counts=counts)


def _illegible(change: Confounder, clean_sample: ConfounderSample) -> Iterator[Reason]:
    """Letters too low to be read, by the smallest picture."""
    component = change.spec.component
    intervention: Intervention = build("intervention", component.name, component.params)
    channels, height, width = clean_sample.clean.images.shape
    if clean_sample.clean.boxes is not None:
        height, width = clean_sample.clean.boxes[:, 2:].min(axis=0).tolist()
    if isinstance(intervention, Lettered) and 0 < (high := intervention.letters((channels, height, width))) < LEGIBLE:
        yield Reason.of(Code.ILLEGIBLE, confounder=change.label, high=float(high), least=float(LEGIBLE))


def _there_already(change: Confounder, clean_sample: ConfounderSample) -> Iterator[Reason]:
    """Judge a confounder by its change: none where it is there already, little where its place looks like it."""
    changed = _changes(change, clean_sample)
    hardly = changed < HARDLY * np.median(changed)
    if hardly.any() and hardly.mean() >= SEVERAL:
        count = {"count": int(hardly.sum()), "images": len(changed)}
        yield Reason.of(Code.HARDLY_CHANGED, confounder=change.label, **count)


def _changes(change: Confounder, clean_sample: ConfounderSample) -> Float[np.ndarray, "n"]:
    """The greatest change of a pixel in each image of the sample."""
    every = np.arange(len(clean_sample.sample))
    before, after = (
        environment.images.read(every) for environment in (clean_sample.clean, clean_sample.with_confounder(change))
    )
    return (after - before).abs().flatten(1).amax(dim=1).double().numpy()
