"""What to know of a study's images before believing it: another target than masks show, proxies, unseen levels, crops,
tests that disagree, doses of no image, letters that are none, confounders already there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from assay.core.data_section import read_header
from assay.core.dose import dose_axis, dosed_factors
from assay.core.factors import LESION
from assay.core.hashing import canonical_json
from assay.core.paths import filled
from assay.core.registry import build
from assay.core.spec import RecipePoint, StudySpec
from assay.core.types import Factor, FactorTable
from assay.data.sources.undeclared import undeclared_table
from assay.execution.confounders import Confounder, Looked, confounders
from assay.execution.dose_counts import bears
from assay.shifts.confounders.glyphs import LEGIBLE, Lettered
from assay.shifts.intervention import Intervention
from assay.shifts.neutral import Tests
from assay.shifts.population import Population
from assay.shifts.proxies import proxies
from assay.stats.format import listed

HARDLY = 0.25
"""An image that a confounder changes by less than this share of what it changes the median image counts as hardly
changed."""
SEVERAL = 0.05
"""From this share of hardly changed images on, it is told."""


def cautions(spec: StudySpec, population: Population, looked: Looked) -> tuple[str, ...]:
    """Sentences, each with its figures; rows are those of the first seed, of all folds together where images are
    counted. looked: as previews look at it.
    """
    return (
        *_target(spec, population),
        *_proxies(spec, population),
        *_unseen(spec, population),
        *_columns(spec, population),
        *_noted(spec, population),
        *dict.fromkeys(text for point in spec.points for text in Tests(point.tests).disagreements),
        *_marks_none(spec, population),
        *(text for change in confounders(spec.points) for text in _illegible(change, looked)),
        *(text for change in confounders(spec.points) for text in _there_already(change, looked)),
    )


def _target(spec: StudySpec, population: Population) -> Iterator[str]:
    """A segmentation ranks images by their target, and counts false positives where masks are empty."""
    if spec.task == "segmentation" and (classes := population.classes) != LESION.levels:
        yield (
            f"the target is '{classes[-1]}', not whether an image shows a lesion: AUROC "
            "and average precision rank images by it, while overlap and false positives go by the masks"
        )


def _proxies(spec: StudySpec, population: Population) -> Iterator[str]:
    """A phantom's factors are drawn by the study, so that only those of files can be proxies unawares; of a table the
    columns too that the study does not name.
    """
    if population.dataset is None:
        return
    others = undeclared_table(spec.data)
    found = [("factor", proxy) for proxy in proxies(population.dataset.table)]
    found += [("column", proxy) for proxy in (proxies(others) if others else ())]
    for what, proxy in found:
        yield (
            f"{what} '{proxy.factor}' is a proxy for the target: alone it tells '{proxy.of}' with AUROC "
            f"{proxy.auroc:.3f} ({proxy.rows:,} rows), so what is said of the one cannot be told from what is said of "
            "the other"
        )


def _unseen(spec: StudySpec, population: Population) -> Iterator[str]:
    said: dict[str, list[RecipePoint]] = {}
    seen: set[str] = set()
    divided = spec.data.split.column  # which part a row is in: never trained on and tested
    for point in spec.points:
        key = "\n".join([point.train.model_dump_json(), *(one.model_dump_json() for one in point.tests.values())])
        if key in seen:
            continue
        seen.add(key)
        asked = [
            factor
            for factor in population.factors
            if factor.name != divided and (factor.role != "core" or factor.name not in point.train.where)
        ]
        for text in _unseen_by(point, spec.first_seed, population, asked):
            said.setdefault(text, []).append(point)
    for text, points in said.items():
        yield text if len(points) == len(seen) else f"{text} ({points[0].label})"


def _noted(spec: StudySpec, population: Population) -> Iterator[str]:
    """What test environments say of themselves, each sentence once."""
    said: dict[str, None] = {}
    for point in spec.points:
        scene = population.scene(point.tests, spec.first_seed)
        for name in scene.names:
            if point.tests[name].crop:
                said |= dict.fromkeys(f"'{name}': {note}" for note in scene.environment(name).notes)
    yield from said


def _unseen_by(point: RecipePoint, seed: int, population: Population, factors: Sequence[Factor]) -> Iterator[str]:
    """factors: of the images themselves, without the core one where training is restricted in it, as on lesions alone.
    Marks, which the study sets, are with all or none where a dose is 1 or 0. Each fold's test rows are held against its
    own training rows.
    """
    images: Counter[str] = Counter()
    new: dict[tuple[str, str], Counter[int]] = {}
    for fold in range(population.folds):
        train = population.training(point.train, seed, fold)[0].table
        scene = population.scene(point.tests, seed, fold)
        for name in scene.names:
            test = scene.environment(name).table
            images[name] += len(test)
            for factor in factors:
                if factor.levels:
                    new.setdefault((name, factor.name), Counter()).update(_not_trained(factor, train, test))
    levels = {factor.name: factor.levels for factor in factors}
    each = f" (of its fold, all {population.folds} together)" if population.folds > 1 else ""
    for (name, factor), counts in new.items():
        if counts:
            found = ", ".join(f"{levels[factor][code]} ({n:,})" for code, n in sorted(counts.items()))
            of = f"{found} of {images[name]:,} images"
            yield f"'{name}' has levels of '{factor}' that no training image has{each}: {of}"


def _not_trained(factor: Factor, train: FactorTable, test: FactorTable) -> dict[int, int]:
    """Level codes of test rows that no training row has, each with its number of test rows."""
    trained = set(np.unique(train.columns[factor.name]).tolist())
    codes, counts = np.unique(test.columns[factor.name], return_counts=True)
    found = zip(codes.tolist(), counts.tolist(), strict=True)
    return {int(code): int(n) for code, n in found if code >= 0 and code not in trained}


def _columns(spec: StudySpec, population: Population) -> Iterator[str]:
    """A column of the table that has an intervention's name and was not declared, so that nobody has read it."""
    if not (spec.data.folder and spec.data.table):
        return
    header = read_header(filled(spec.data.folder) / spec.data.table)
    for name in dict.fromkeys(change.name for change in confounders(spec.points)):
        if name in header:
            yield (
                f"the table has a column '{name}', as the intervention is called: where images bear it already, "
                f"declare the column as a factor of another name, such as {name}_found: {{column: {name}}}"
            )


def _marks_none(spec: StudySpec, population: Population) -> Iterator[str]:
    """A dose above 0 of so few images that it rounds to none, by the training rows of the first seed and fold."""
    axis = dose_axis(spec.points)
    factors = dosed_factors(spec.points, axis) if axis else {}
    for point in {canonical_json(point.train.for_training()): point for point in spec.points}.values():
        p = point.coordinates.get(axis, "0")
        if point.label not in factors or float(p) == 0:
            continue
        table = population.training(point.train, spec.first_seed)[0].table
        name, high = factors[point.label]
        bearing = bears(table, name, high)
        if bearing is not None and not bearing.any():
            rows = np.bincount(table.target, minlength=len(table.classes))
            there = listed([f"{n:,} {label}" for label, n in zip(table.classes, rows, strict=True)])
            yield f"the dose p = {p} of '{name}' is on none of the training images ({there}): it is a dose of 0"


def _illegible(change: Confounder, looked: Looked) -> Iterator[str]:
    """Letters too low to be read, by the smallest picture."""
    component = change.spec.component
    made: Intervention = build("intervention", component.name, component.params)
    channels, height, width = looked.clean.images.shape
    if looked.clean.boxes is not None:
        height, width = looked.clean.boxes[:, 2:].min(axis=0).tolist()
    if isinstance(made, Lettered) and 0 < (high := made.letters((channels, height, width))) < LEGIBLE:
        yield (
            f"confounder '{change.label}' writes letters {high:.2g} px high, under {LEGIBLE:g} px: they are spots "
            "rather than letters"
        )


def _there_already(change: Confounder, looked: Looked) -> Iterator[str]:
    """Told by what it changes: nothing where it is there already, little where its place looks like it."""
    changed = _changes(change, looked)
    hardly = changed < HARDLY * np.median(changed)
    if hardly.any() and hardly.mean() >= SEVERAL:
        yield (
            f"confounder '{change.label}' hardly changes {int(hardly.sum())} of {len(changed)} images (less than a "
            "quarter of what it changes the median one): it is there already, or its place looks like it"
        )


def _changes(change: Confounder, looked: Looked) -> Float[np.ndarray, "n"]:
    """The greatest change of a pixel in each image of the sample."""
    every = np.arange(len(looked.sample))
    before, after = (one.images.read(every) for one in (looked.clean, looked.changed(change)))
    return (after - before).abs().flatten(1).amax(dim=1).double().numpy()
