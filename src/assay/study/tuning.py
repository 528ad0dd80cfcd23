"""Tune one value of every recipe alike: equal trials on seeds of their own, chosen on validation images alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from assay.core.errors import SpecError, unknown_name
from assay.core.files import filled
from assay.execution.plan import Trial
from assay.spec.document import leaves, mapping_of
from assay.spec.grid import label
from assay.spec.load import Override, edited_yaml, parse_yaml, study_files
from assay.spec.parse import parse_study
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.format import count, number
from assay.store.files import Row, csv_text, write_text
from assay.store.folder import RunFolder
from assay.study.opened import opened

TABLE = "tuning.csv"
_APART = 1000
"""Seeds of tuning begin so far after the first seed of the study, which has at most so many."""
_PATHS = ("folder", "classes", "medmnist", "path", "models")
"""Keys of paths that start from the study file's folder."""


@dataclass(frozen=True)
class Tuning:
    """A tuning of a study.

    Attributes:
        source: The study: a built-in name or a file.
        scale: The scale at which it is tuned.
        place: Dotted key of the value that is tuned.
        values: The values that are tried.
        by: Axes whose recipes get values of their own.
        study: The study.
        spec: The study of the tuning trials.
    """

    source: str
    scale: str | None
    place: str
    values: tuple[Any, ...]
    by: tuple[str, ...]
    study: StudySpec
    spec: StudySpec

    @property
    def axis(self) -> str:
        """Name of the tuned axis in the tuning trials."""
        return next(axis for axis in self.spec.axes if axis not in self.study.axes)

    def recipe(self, point: RecipePoint) -> tuple[tuple[str, str], ...]:
        """Return the values on the axes that tell recipes apart."""
        return tuple((axis, point.coordinates[axis]) for axis in self.by)


def plan_tuning(
    source: str,
    place: str,
    values: Sequence[Any],
    *,
    by: Sequence[str] = (),
    overrides: Sequence[Override] = (),
    scale: str | None = None,
    seeds: int = 2,
) -> Tuning:
    """Return the trials of a tuning: every value for every recipe, with equally many seeds that the study does not use.

    Of recipes that differ on other axes than `by`, the first is trained. Nothing is probed, so test images are not
    read.

    Args:
        source: A built-in name or a file.
        place: Dotted key of the value, such as `recipe.optimizer.adamw.lr`.
        values: The values that are tried.
        by: Axes whose recipes get values of their own; by default those of the primary comparisons, else of all.
        overrides: As for `parse_study`.
        scale: As for `parse_study`.
        seeds: The number of seeds.

    Raises:
        SpecError: The study is wrong, has no such axis, or trains nothing.
    """
    if len(values) < 2 or len({label(value) for value in values}) < len(values):
        raise SpecError(f"--values {', '.join(map(label, values))}: give at least two different values")
    if not place.startswith("recipe."):
        raise SpecError(f"--axis {place}: give a field of the recipe, such as recipe.optimizer.adamw.lr")
    study = parse_study(opened(source), overrides=[*overrides, (place, values[0])], scale=scale)
    if study.models:
        raise SpecError("the models of this study were trained elsewhere, and nothing can be tuned")
    main = [one.axis for one in study.contrasts if one.role == "primary"] or [one.axis for one in study.contrasts]
    asked = tuple(dict.fromkeys(by or [axis for axis in main if axis in study.axes]))
    for axis in asked:
        if axis not in study.axes:
            raise SpecError(f"--by: {unknown_name('axis', axis, tuple(study.axes))}")
    chosen = _first_of_each(study, asked)
    entries = [dict(point.coordinates) for point in chosen if point.coordinates]
    tried: tuple[Override, ...] = (
        *overrides,
        (place, {"axis": list(values)}),
        ("name", f"{study.name}-tuning"),
        ("contrasts", []),
        ("probes", []),
        ("first_seed", study.first_seed + _APART),
        ("seeds", seeds),
        ("grid.only", entries or None),
    )
    spec = parse_study(opened(source), overrides=tried, scale=scale)
    return Tuning(source, scale, place, tuple(values), asked, study, spec)


def _first_of_each(study: StudySpec, by: Sequence[str]) -> list[RecipePoint]:
    """Return for each combination of values on some axes the point that is most like the first one."""
    first = study.points[0].coordinates
    found: dict[tuple[str, ...], RecipePoint] = {}
    for point in sorted(study.points, key=lambda one: sum(one.coordinates[axis] != first[axis] for axis in first)):
        found.setdefault(tuple(point.coordinates[axis] for axis in by), point)
    order = {name: place for place, name in enumerate(product(*(study.axes[axis] for axis in by)))}
    return [found[key] for key in sorted(found, key=lambda key: order[key])]


@dataclass(frozen=True)
class Tried:
    """One value of one recipe.

    Attributes:
        recipe: Values on the axes that tell recipes apart.
        value: The value.
        scores: Validation score of every seed; NaN of one that collapsed, diverged, failed or is missing.
        chosen: Whether it is the recipe's best.
    """

    recipe: tuple[tuple[str, str], ...]
    value: Any
    scores: tuple[float, ...]
    chosen: bool = False

    @property
    def mean(self) -> float:
        """The mean score; NaN where any seed has none."""
        return sum(self.scores) / len(self.scores)


def tried(tuning: Tuning, trials: Sequence[Trial], folder: RunFolder) -> list[Tried]:
    """Return every value of every recipe with its validation scores, the lowest of each recipe chosen.

    The score of a classification is the log-loss of a logistic head that is refitted on the validation images'
    features, which compares losses of any kind; of a segmentation the recipe's own loss on validation images.
    """
    key = "validation_loss" if tuning.spec.task == "segmentation" else "yardstick"
    labels = {label(value): value for value in tuning.values}
    scores: dict[tuple[tuple[tuple[str, str], ...], str], list[float]] = {}
    for trial in trials:
        point = trial.point
        done = folder.complete("trials", trial.id)
        record: Mapping[str, Any] = folder.record("trials", trial.id) if done else {}
        value = record.get(key) if record.get("status") == "done" else None
        named = tuning.recipe(point), point.coordinates[tuning.axis]
        scores.setdefault(named, []).append(math.nan if value is None else float(value))
    rows = [Tried(recipe, labels[name], tuple(found)) for (recipe, name), found in scores.items()]
    best: dict[object, Tried] = {}
    for row in rows:
        if not math.isnan(row.mean) and (row.recipe not in best or row.mean < best[row.recipe].mean):
            best[row.recipe] = row
    return [Tried(row.recipe, row.value, row.scores, best.get(row.recipe) is row) for row in rows]


def table_rows(rows: Sequence[Tried]) -> list[Row]:
    """Return what was tried as rows of a table."""
    return [
        {
            **dict(row.recipe),
            "value": label(row.value),
            "mean": row.mean,
            **{f"seed {n}": score for n, score in enumerate(row.scores)},
            "chosen": "yes" if row.chosen else "",
        }
        for row in rows
    ]


def notes(tuning: Tuning, rows: Sequence[Tried]) -> list[str]:
    """Return cautions: recipes without a usable value, and choices at the end of the values tried."""
    made: list[str] = []
    ends = {label(tuning.values[0]), label(tuning.values[-1])}
    for recipe in dict.fromkeys(row.recipe for row in rows):
        name = ", ".join(value for _, value in recipe) or "the recipe"
        chosen = next((row for row in rows if row.recipe == recipe and row.chosen), None)
        if chosen is None:
            made.append(f"{name}: no value was trained to an end with every seed, so no study is written")
        elif label(chosen.value) in ends:
            made.append(f"{name}: {label(chosen.value)} is at the end of the values that were tried; try further ones")
    return made


def changes_of(tuning: Tuning, rows: Sequence[Tried], *, moved: bool) -> dict[str, Any]:
    """Return the changes that write the chosen values into a study: dotted key -> value.

    One value for all recipes is written in its place. Otherwise that of the first recipe is, and those of the others
    are in `grid.set`.

    Args:
        tuning: The tuning.
        rows: What was tried.
        moved: Whether it is written to another folder: relative paths become absolute.
    """
    document = opened(tuning.source)
    chosen = {row.recipe: row.value for row in rows if row.chosen}
    usual = next(iter(chosen.values()))
    changes: dict[str, Any] = {tuning.place: usual}
    own = [
        {"where": dict(recipe), tuning.place: value} for recipe, value in chosen.items() if label(value) != label(usual)
    ]
    known: list[Any] = (mapping_of(document.values.get("grid")) or {}).get("set") or []
    changes |= {"grid.set": [*known, *own]} if own else {}
    for keys, value in leaves(document.values) if moved else ():
        if isinstance(value, str) and value and keys[-1] in _PATHS and all(isinstance(key, str) for key in keys):
            changes[".".join(map(str, keys))] = str(filled(value, document.folder))
    return changes


def write_tuned(tuning: Tuning, rows: Sequence[Tried], folder: Path, *, in_place: bool) -> Path | None:
    """Write the table of what was tried, and the study with the values that were chosen.

    Args:
        tuning: The tuning.
        rows: What was tried.
        folder: The folder of the tuning trials, which gets both.
        in_place: Write the study over its own file instead.

    Returns:
        The study file; None where a recipe has no usable value, so that no study is written.

    Raises:
        SpecError: A built-in study cannot be written over, or an anchor would change another part too.
    """
    if in_place and tuning.source in study_files():
        raise SpecError(f"--write: '{tuning.source}' comes with Assay; save it with `assay show`, and tune that file")
    path = Path(tuning.source).expanduser() if in_place else folder / f"{tuning.study.name}.yaml"
    made = table_rows(rows)
    write_text(folder / TABLE, csv_text([list(made[0]), *(list(row.values()) for row in made)]))
    if len({row.recipe for row in rows if row.chosen}) < len({row.recipe for row in rows}):
        return None
    changes = changes_of(tuning, rows, moved=not in_place)
    file = study_files().get(tuning.source) or Path(tuning.source).expanduser()
    edited = edited_yaml(file.read_text(encoding="utf-8"), changes)
    wanted = parse_study(opened(tuning.source), overrides=list(changes.items()))
    if parse_study(opened(parse_yaml(edited, path.name)[0] | {"name": wanted.name})) != wanted:
        raise SpecError(f"{file.name}: an anchor shares the tuned value with another part; write it by hand: {changes}")
    write_text(path, edited)
    return path


def lines(tuning: Tuning, rows: Sequence[Tried]) -> list[str]:
    """Return what was tried as lines of text."""
    score = "loss" if tuning.spec.task == "segmentation" else "log-loss of a refitted head"
    seeds = count(tuning.spec.seeds, "seed")
    made = [f"{tuning.place}: validation {score}, mean of {seeds} ({tuning.spec.first_seed} and on), lower is better"]
    names = {recipe: ", ".join(value for _, value in recipe) or "the recipe" for recipe in (row.recipe for row in rows)}
    width = max(map(len, names.values()))
    for recipe, name in names.items():
        cells = [row for row in rows if row.recipe == recipe]
        shown = [f"{label(row.value)}: {number(row.mean, 3)}{'*' if row.chosen else ''}" for row in cells]
        made.append(f"  {name:<{width}}  {'  '.join(shown)}")
    return [*made, "* chosen", *(f"caution: {note}" for note in notes(tuning, rows))]
