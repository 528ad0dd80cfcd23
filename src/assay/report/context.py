"""Input of a page: the tables of a run folder, what the page is about, and rows as charts and tables take them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from assay.core.errors import StoreError
from assay.core.files import typed_path
from assay.core.measures import INDEPENDENT, MEASURES, NEUTRAL, PROBES_OF_MAPS
from assay.core.reasons import Cause, Field, Reason
from assay.core.registry import load_object
from assay.report.account import PageText, ResultDetail
from assay.report.block import Block, Section
from assay.report.drawing import Style, styles_by_level
from assay.report.sheets import Cell
from assay.report.words import UNSHIFTED, Names, condition_labels, condition_labels_by_recipe, leading_comparison
from assay.stats.rows import CONTROLS, Row, numeric
from assay.store.columns import Column, Table
from assay.store.files import ColumnRows
from assay.store.folder import RunFolder
from assay.store.kinds import Kind
from assay.store.schema import SEEDS, VALUES
from assay.store.views import SeedValues

Rows = Sequence[Row]
BUDGET_AXES = ("epochs", "fraction", "rows")
"""Axes of the training budget, along which performance is drawn where they are not compared."""
_PERFORMANCE = ("performance", *PROBES_OF_MAPS)


def int_or_zero(row: Row, name: str) -> int:
    """Return a count of a row; 0 where there is none."""
    value = numeric(row, name)
    return 0 if math.isnan(value) else int(value)


def text_mapping(text: Any) -> Mapping[str, str]:
    """Return the JSON object that a column holds, with its values as text; empty where it holds none."""
    return _read(text) if isinstance(text, str) and text else {}


@cache
def _read(text: str) -> Mapping[str, str]:
    """Parse a JSON object, cached since thousands of rows hold the few texts of a study's recipes."""
    parsed: Any = json.loads(text)
    return MappingProxyType({str(key): str(value) for key, value in cast("Mapping[Any, Any]", parsed).items()})


def coordinates(row: Row) -> Mapping[str, str]:
    """Return axis -> label of the recipe that a row is about."""
    return text_mapping(row.get("coordinates"))


def distinct_values(values: Iterable[Any]) -> list[Any]:
    """Return each value once, in order of appearance, without empty ones."""
    return [value for value in dict.fromkeys(values) if value not in ("", None)]


class RunTables(Mapping[str, Rows]):
    """Tables of a run folder, each read on first access.

    Raises:
        NoTableError: Runs of this kind have no such table.
        StoreError: A table or column is missing.
    """

    def __init__(self, root: Path) -> None:
        self._folder = RunFolder(root)
        self._tables = self._folder.tables
        self._read: dict[str, Rows] = {}

    def __getitem__(self, name: str) -> Rows:
        if name not in self._read:
            table = self._tables.get(name) or self._folder.require_table(name)
            self._read[name] = _checked_rows(self._folder, table)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tables  # called for every cell of the page

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def unshifted_labels(points: Sequence[Any]) -> dict[str, str]:
    """Return the test conditions whose images are selected as those of training, each with the label for such ones.

    Args:
        points: Recipes of a study, as its file lists them: with `train` and `tests`.
    """
    tests = points[0]["tests"] if points else ()
    unshifted_conditions = [
        name for name in tests if all({"split": "train", **at["tests"][name]} == at["train"] for at in points)
    ]
    return dict.fromkeys(unshifted_conditions, UNSHIFTED)


def networks(tables: Mapping[str, Rows]) -> Rows:
    """Return a row per trained network: its row in `trials`, or in `seeds` where only predictions are stored."""
    return tables.get("trials") or tables.get("seeds", ())


def _checked_rows(folder: RunFolder, table: Table) -> Rows:
    """Return the rows of a table. Raises StoreError where it lacks a column."""
    rows, name = folder.table_by_column(table.name), table.name
    missing = [column for column in table.names if rows and column not in rows[0]]
    if missing:
        raise StoreError(
            f"table '{name}' of {folder.root} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}: "
            f"run `assay report {folder.root}` to make the tables again"
        )
    # A page shows a few of the hundreds of thousands of rows of these two: they stay in columns until a row is read.
    return rows if table in (VALUES, SEEDS) else tuple(rows)


@dataclass(frozen=True)
class PageScope:
    """What the charts of a page compare, and at which values of the other axes.

    Attributes:
        axis: The compared axis, empty for a single recipe.
        levels: Its values in the order of the study file.
        fixed: The other axes and the value at which charts show them.
        measure: The performance measure that the run is about.
        dose_axis: The axis of the doses of a dose-response; empty where there is none.
        budget_axis: An axis of the training budget, along which performance is drawn; empty where there is none.
        axes: All axes with more than one value.
    """

    axis: str
    levels: tuple[str, ...]
    fixed: Mapping[str, str]
    measure: str
    dose_axis: str = ""
    budget_axis: str = ""
    axes: tuple[str, ...] = ()

    def is_in_slice(self, row: Row, *free: str) -> bool:
        """Return whether a row's recipe is in the slice that charts show; `free` names axes that are left free."""
        at = coordinates(row)
        return all(at.get(axis, value) == value for axis, value in self.fixed.items() if axis not in free)


def page_scope(tables: Mapping[str, Rows]) -> PageScope:
    """Return the scope that the pre-specified comparisons suggest, or failing these the grid itself.

    Examples:
        Charts show the slice that the leading comparison is about:

        >>> coordinates = [{"loss": loss, "confounder": kind} for loss in ("ce", "supcon") for kind in ("tag", "low")]
        >>> networks = [{"recipe": str(n), "coordinates": json.dumps(at)} for n, at in enumerate(coordinates)]
        >>> common = {"role": "primary", "axis": "loss", "measure": "auroc", "low": 0.0}
        >>> contrasts = [common | {"decision": decision, "where": json.dumps({"confounder": kind})}
        ...              for decision, kind in (("inconclusive", "tag"), ("lower", "low"))]
        >>> scope = page_scope({"trials": networks, "contrasts": contrasts})
        >>> scope.axis, scope.levels, scope.fixed
        ('loss', ('ce', 'supcon'), {'confounder': 'low'})
    """
    values: dict[str, list[str]] = {}
    for row in networks(tables):
        for axis, value in coordinates(row).items():
            values.setdefault(axis, []).append(value)
    varying_axes = {name: distinct for name, labels in values.items() if len(distinct := distinct_values(labels)) > 1}
    contrasts = [row for row in tables.get("contrasts", ()) if row["role"] not in CONTROLS]
    lead_contrast = leading_comparison(contrasts) or next(iter(contrasts), None)
    doses = tables.get("dose_changes", ())
    dose_axis = str(doses[0]["axis"]) if doses else ""
    free = [axis for axis in varying_axes if axis not in (*BUDGET_AXES, dose_axis)] or list(varying_axes)
    axis = (
        lead_contrast["axis"]
        if lead_contrast and lead_contrast["axis"] in varying_axes
        else max(free, key=lambda name: len(varying_axes[name]), default="")
    )
    where = text_mapping(lead_contrast["where"] if lead_contrast else "")
    fixed = {other: where.get(other) or levels[-1] for other, levels in varying_axes.items() if other != axis}
    levels = varying_axes.get(axis) or distinct_values(row["recipe"] for row in networks(tables)) or [""]
    # An axis of settings that change together is named after all of them, such as `epochs+rows`.
    budget_axis = next((name for name in varying_axes if name.split("+")[0] in BUDGET_AXES and name != axis), "")
    return PageScope(
        axis, tuple(levels), fixed, _measure(tables, contrasts), dose_axis, budget_axis, tuple(varying_axes)
    )


def _measure(tables: Mapping[str, Rows], contrasts: Rows) -> str:
    """Return the performance measure of a run: the one with most comparisons, else Dice, AUROC or another with values.

    A measure counts if a whole environment has a value of it. Without any, that with most comparisons, or AUROC.
    """

    def performs(name: str) -> bool:
        return name in MEASURES and MEASURES[name].probe in _PERFORMANCE

    compared = [row["measure"] for row in contrasts if performs(row["measure"])]
    estimated = [
        row["measure"]
        for row in tables.get("estimates", ())
        if performs(row["measure"])
        and row["environment"]
        and row["value"] == row["value"]
        and not (row["factor"] or row["level"] or row["group"])
    ]
    most = max(distinct_values(compared), key=compared.count, default="")
    return next(
        (name for name in (most, "dice", "auroc", "auroc-macro", *estimated) if name in set(estimated)), most or "auroc"
    )


@dataclass(frozen=True)
class CellFormat:
    """How a page writes the cells of a column, in place of the format of their kind.

    Attributes:
        cell: Returns the cell of a row.
        heading: The heading; that of the table where empty.
    """

    cell: Callable[[Row, PageContext], Cell]
    heading: str = ""


def _verdict_of_page(context: PageContext) -> list[str]:
    """Return the verdict of a page as the answer of a run."""
    return [context.page.text(context).verdict or "No answer is possible from these results."]


def _no_block(context: PageContext, measure: str) -> Block:
    """Raise StoreError, since the page of this kind of run has no figure of a single measure."""
    RunFolder(context.root).require_table("estimates")
    raise StoreError(f"{context.root} has no figure of {measure}")


@dataclass(frozen=True, kw_only=True)
class PageDefinition:
    """Definition of the page of a kind of run: functions of its tables, and blocks. Most pages lack some.

    Attributes:
        text: Returns its texts.
        sections: Returns its sections.
        answer: Returns the answer as the terminal prints it, by lines; by default the verdict of the page.
        leading_blocks: Returns the blocks whose charts may lead. The first screen shows the first that has values.
        notebook_block: Block whose chart a notebook shows after that one.
        block_of: Returns the block of one measure. Raises StoreError where there is none.
        rows: Returns the rows of a table, with further columns that blocks use.
        cells: Column -> how this page writes its cells.
        terms: Returns section id -> further terms of the section with their meanings.
        result_details: Returns section id -> results, each with pictures and a table that a reader can unfold.
        failures: Blocks of what failed, collapsed or is undefined.
        environments: Block of test conditions.
        methods: Returns sentences on methods for a paper, from the findings.
        extra_files: Returns the further text files of a run folder, which follow from its tables, by file name.
    """

    text: Callable[[PageContext], PageText]
    sections: Callable[[Mapping[str, Rows]], Sequence[Section]]
    answer: Callable[[PageContext], Iterable[str]] = _verdict_of_page
    leading_blocks: Callable[[PageContext], Iterable[Block]] = lambda _: ()
    notebook_block: Block | None = None
    block_of: Callable[[PageContext, str], Block] = _no_block
    rows: Callable[[str, Rows, PageContext], Rows] = lambda _, rows, __: rows
    cells: Mapping[str, CellFormat] = field(default_factory=dict[str, CellFormat])
    terms: Callable[[Mapping[str, Rows]], Mapping[str, Mapping[str, str]]] = lambda _: {}
    result_details: Callable[[PageContext], Mapping[str, Sequence[ResultDetail]]] = lambda _: {}
    failures: tuple[Block, ...] = ()
    environments: Block | None = None
    methods: Callable[[PageContext], Sequence[str]] = lambda _: ()
    extra_files: Callable[[Path], Mapping[str, str]] = lambda _: {}


_COMMAND_STARTS = {
    "command": "assay ",
    "look again": "assay ",
    "next study": "assay ",
    "next audit": "assay ",
    "folders": "",
    "path": "",
}
"""Facts, keys of the table `provenance`, that are commands or parts of one -> how each begins."""
_IMAGE_CHOICE_KEYS = {"data", "split", "where", "crop", "rows"}
"""Keys of a test condition that choose its images."""
_QUOTED_WORDS = r"""(?:[^\s'"`$&|;<>()\\*?\[\]#!]|'[^']*'|"'"|(?<=\S) (?=\S))+"""
"""Words as `shlex.quote` leaves them, with single spaces."""


@dataclass(frozen=True)
class PageContext:
    """All that a page is made from: the tables of a run, the scope, and the names of recipes and test conditions.

    Attributes:
        tables: Tables of the run, by name.
        root: The run folder.
        kind: Kind of the run.
        folder_in_commands: The run folder as the page writes it in commands; by default the path from the working
            directory.
    """

    tables: Mapping[str, Rows]
    root: Path
    kind: Kind
    folder_in_commands: str = ""

    @classmethod
    def of(cls, root: Path) -> PageContext:
        """Return the input of the page of a run folder. Raises StoreError if there is no run in it."""
        return cls(RunTables(root), root, RunFolder(root).require_run())

    @property
    def folder_for_commands(self) -> str:
        """The run folder in a command."""
        return self.folder_in_commands or typed_path(self.root)

    @cached_property
    def page(self) -> PageDefinition:
        """Definition of the page of this kind of run."""
        return load_object(self.kind.page)

    @cached_property
    def scope(self) -> PageScope:
        """What the charts of the page compare."""
        return page_scope(self.tables)

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """The provenance as key -> value.

        Raises:
            StoreError: Words for a command, which a reader copies into a shell, would start another program there.
        """
        facts = {row["key"]: row["value"] for row in self.tables.get("provenance", ())}
        for key, first_words in _COMMAND_STARTS.items():
            text = facts.get(key, "")
            if text and not (text.startswith(first_words) and re.fullmatch(_QUOTED_WORDS, text)):
                raise StoreError(
                    f"the table provenance of {self.root} has {text!r} in place of words for a command of "
                    "Assay; get another copy"
                )
        return facts

    @property
    def date(self) -> str:
        """The day on which the run ended; empty where it is not known."""
        time = next(filter(None, map(self.facts.get, ("trained to", "probed", "made"))), "")
        return time[:10]

    @cached_property
    def interval_unit(self) -> str:
        """What intervals are over, in addition to seeds: `patients`, or `images` where patients are not named."""
        return self.facts.get("intervals over", "patients")

    @cached_property
    def names(self) -> Names:
        """Names of test conditions and of levels, those of the study file first."""
        spec: Any = json.loads(self.facts.get("spec") or "{}")
        rows = self.tables.get("environments", ())
        recipes = {row["recipe"]: coordinates(row) for row in networks(self.tables) if "coordinates" in row}
        points: Sequence[Any] = spec.get("points", ())
        labels = condition_labels(rows) | unshifted_labels(points)
        by_recipe = condition_labels_by_recipe(distinct_values(row["environment"] for row in rows), recipes, labels)
        subsets = [
            name
            for name in (points[0]["tests"] if points else ())
            if all(point["tests"][name].keys() <= _IMAGE_CHOICE_KEYS for point in points)
        ]
        return Names({**labels, **by_recipe}, spec.get("labels", {}), self._lesion_free, subsets)

    @property
    def _lesion_free(self) -> set[str]:
        """Test conditions in which no image has a lesion.

        There, measures of images without lesions have a value, and measures of images with lesions have none.
        """
        defined: dict[str, set[str]] = {}
        for row in self.tables.get("estimates", ()):
            if row["measure"] in MEASURES and not math.isnan(numeric(row, "value")):
                defined.setdefault(row["environment"], set()).add(MEASURES[row["measure"]].among)
        return {name for name, among in defined.items() if "no lesions" in among and "lesions" not in among}

    @cached_property
    def styles(self) -> dict[str, Style]:
        """One color and marker per level of the compared axis, for the whole page."""
        return styles_by_level([self.names.level(self.scope.axis, level) for level in self.scope.levels])

    def level_label(self, row: Row) -> str:
        """Return the level of the compared axis that a row is of, in words."""
        level = coordinates(row).get(self.scope.axis)
        return self.names.level(self.scope.axis, level) if level else self.recipe(row)

    def recipe(self, row: Row, prefix: str = "") -> str:
        """Return the name of a row's recipe, by the axes that differ in this run."""
        return self.names.recipe(text_mapping(row.get(f"{prefix}coordinates")), self.scope.axes) or str(row["recipe"])

    @cached_property
    def has_several_recipes(self) -> bool:
        """Whether there is more than one recipe."""
        return bool(self.scope.axes)

    @cached_property
    def _recipe_names(self) -> Mapping[str, str]:
        return {row["recipe"]: self.recipe(row) for row in self.tables.get("recipes", ())}

    def in_words(self, reason: Reason) -> Reason:
        """Return a reason whose fields have recipes and test conditions in words, in place of their keys."""
        conditions = (NEUTRAL, INDEPENDENT, *self.names.conditions)
        names = {**{place: self.names.condition(place) for place in conditions}, **self._recipe_names}

        def rename(value: Field) -> Field:
            if isinstance(value, tuple):
                return tuple(names.get(name, name) for name in value)
            return names.get(value, value) if isinstance(value, str) else value

        causes = (
            Cause(cause.code, tuple((key, rename(value)) for key, value in cause.fields)) for cause in reason.causes
        )
        return Reason(tuple(causes))

    def recipe_name(self, recipe: str) -> str:
        """Return the name of a recipe by its key."""
        return self._recipe_names.get(recipe, recipe)

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table, with columns in words that blocks use."""
        return list(self.page.rows(table, self.tables.get(table, ()), self))

    def column(self, table: str, name: str) -> Column:
        """Return a column of a table; one that the page adds holds text."""
        return self.kind.tables[table].by_name.get(name) or Column(name, "", cell="text")

    @cached_property
    def _per_seed(self) -> SeedValues:
        values = self.tables.get("values", ())
        return SeedValues(values if isinstance(values, ColumnRows) else ColumnRows({"id": [], "seed": [], "value": []}))

    def values_by_seed(self, row: Row) -> tuple[tuple[int, float], ...]:
        """Return the pairs (seed, value) of an estimate; none for a row without seeds."""
        by_seed = text_mapping(row["per_seed"]).items() if "per_seed" in row else self._per_seed.of(row.get("id", ""))
        return tuple((int(seed), float(value)) for seed, value in by_seed)
