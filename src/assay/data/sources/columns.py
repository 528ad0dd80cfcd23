"""What the columns of a user's table mean: factors, target, patient, and which rows are used at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from assay.core.data_spec import FactorSpec
from assay.core.errors import DataError, SpecError, nearest, unknown_name
from assay.core.types import Factor, Role
from assay.data.sources.problems import Problem, shown
from assay.data.sources.table import Table, absent, number

MOST_CLASSES = 100
_NO = frozenset({"0", "no", "false"})
_YES = frozenset({"1", "yes", "true"})


@dataclass(frozen=True, slots=True)
class Target:
    """Class codes [n] (-1 where the row has none), the names of the classes, and how they were found, as a sentence."""

    codes: np.ndarray
    classes: tuple[str, ...]
    rule: str


Wrong = dict[int, tuple[str, str]]
"""Position in a column -> what is wrong with the cell, and what to do."""


def problems_of(table: Table, names: Sequence[str], wrong: Wrong) -> list[Problem]:
    """Wrong cells as problems of their rows."""
    return [Problem(table.numbers[at], names[at], what, remedy) for at, (what, remedy) in sorted(wrong.items())]


def factor_column(
    name: str, spec: FactorSpec, cells: Sequence[str], role: Role = "nuisance", comma: bool = False
) -> tuple[Factor, np.ndarray, Wrong]:
    """A factor and its column: codes (int64, -1 missing) where it has levels, numbers (float64, NaN missing) elsewhere.

    Continuous: every cell is a number or absent. Ordinal: by the levels of the spec, in their order, or a number.
    Categorical: by the levels of the spec, else those found, sorted. Of two levels the second is the high one unless
    the spec says otherwise. Raises SpecError when the spec contradicts itself.
    """
    levels = spec.levels
    if spec.kind == "categorical" and not levels:
        levels = tuple(_sorted_values(cell for cell in cells if not absent(cell)))
    unknown = [level for level in spec.high if level not in levels]
    if unknown:
        raise SpecError(f"data.factors.{name}.high: {unknown_name('level', unknown[0], levels or ('(none)',))}")
    high = spec.high or (levels[1:] if len(levels) == 2 and spec.kind == "categorical" else ())
    factor = Factor(name, spec.kind, role, spec.unit, levels, high)
    values, wrong = level_codes(cells, levels) if levels else _numbers(cells, comma, name, spec.kind == "ordinal")
    if not levels and wrong and len(wrong) == sum(not absent(cell) for cell in cells):
        kind = f"{name}: categorical" if spec.kind == "continuous" else f"{name}: {{kind: ordinal, levels: [...]}}"
        held = ", ".join(shown(cell) for cell in sorted({cells[at] for at in wrong})[:3])
        raise SpecError(f"data.factors.{name}: the column holds {held} and no number; write factors: {{{kind}}}")
    return factor, values, wrong


def level_codes(cells: Sequence[str], levels: tuple[str, ...]) -> tuple[np.ndarray, Wrong]:
    """Codes by levels that are given, int64 [n], -1 where a cell is empty or none of them; the latter with a hint."""
    index = {level: code for code, level in enumerate(levels)}
    numeric = {value: code for code, level in enumerate(levels) if (value := number(level)) is not None}
    out = np.full(len(cells), -1, dtype=np.int64)
    wrong: Wrong = {}
    for at, cell in enumerate(cells):
        code = index.get(cell)
        if code is None and not absent(cell):
            code = numeric.get(cast(float, number(cell)))  # a level 2 is also written 2.0
        if code is not None:
            out[at] = code
        elif not absent(cell):
            near = nearest(cell, levels)
            hint = f"did you mean {shown(near)}?" if near else f"levels: {', '.join(levels[:8])}"
            wrong[at] = (f"{shown(cell)} is no level of the factor", hint)
    return out, wrong


def _numbers(cells: Sequence[str], comma: bool, name: str, ordinal: bool) -> tuple[np.ndarray, Wrong]:
    out = np.full(len(cells), np.nan)
    wrong: Wrong = {}
    for at, cell in enumerate(cells):
        value = number(cell, comma)
        if value is not None:
            out[at] = value
        elif not absent(cell):
            kind = f"give {name} its levels in order" if ordinal else f"write a number, or make {name} categorical"
            wrong[at] = (f"{name} is {shown(cell)}, which is not a number", kind)
    return out, wrong


def target_column(name: str, positive: Sequence[str], cells: Sequence[str], place: str = "data.target") -> Target:
    """Class codes from a column of labels.

    With `positive`, those values are class 1 and all others class 0. Else 0/1, no/yes and false/true (in any case) are
    the classes `not <name>` and `<name>`; other values are sorted, numbers by size, and of two the second is class 1.
    A word among 0 and 1 is no third class: its code is -1.
    Raises SpecError when there are over 100 values (a measured number is no class) or `positive` names an absent one,
    DataError when cells hold several labels joined by `|`.
    """
    found = _sorted_values(cell for cell in cells if not absent(cell))
    if any("|" in value for value in found):
        raise DataError(
            f"{place}: column '{name}' holds several labels in a cell; multi-label targets are not built yet"
        )
    if positive:
        return _positive(name, positive, cells, found, place)
    folded = [cell.casefold() for cell in cells]
    told = {_whole(value.casefold()) for value in found}
    others = [value for value in found if _whole(value.casefold()) not in _NO | _YES]
    # Both answers stand there and the rest are words among numbers: a slip of the pen, not a third class.
    slips = told & _NO and told & _YES and others and all(number(value) is None for value in others)
    if found and (told <= _NO | _YES or slips):
        codes = [1 if _whole(cell) in _YES else 0 if _whole(cell) in _NO else -1 for cell in folded]
        return Target(np.array(codes, dtype=np.int64), (f"not {name}", name), f"{name} is 0/1, no/yes or false/true")
    if len(found) > MOST_CLASSES:
        raise SpecError(
            f"{place}: column '{name}' has {len(found)} different values, over {MOST_CLASSES}; "
            "name a column of classes, or say which values are positive with data.positive"
        )
    index = {value: code for code, value in enumerate(found)}
    codes = [index.get(cell, -1) for cell in cells]
    return Target(np.array(codes, dtype=np.int64), tuple(found), f"classes in sorted order: {', '.join(found)}")


def _positive(name: str, positive: Sequence[str], cells: Sequence[str], found: list[str], place: str) -> Target:
    wanted = {value for value in found for asked in positive if _same(value, asked)}
    for asked in positive:
        if not any(_same(value, asked) for value in found):
            raise SpecError(f"data.positive: {unknown_name(f'value of {name}', asked, found or ['(none)'])}")
    rest = [value for value in found if value not in wanted]
    if not rest:
        raise SpecError(f"data.positive names every value of '{name}'; leave at least one out as the negative class")
    codes = [-1 if absent(cell) else int(cell in wanted) for cell in cells]
    names = (rest[0] if len(rest) == 1 else "other", " or ".join(sorted(wanted)))
    return Target(np.array(codes, dtype=np.int64), names, f"{names[1]} is positive, {', '.join(rest)} negative")


def patient_codes(cells: Sequence[str]) -> np.ndarray:
    """Codes int64 [n] of the patients' rank in sorted order, so that they do not depend on the order of rows."""
    index = {value: code for code, value in enumerate(sorted(set(cells)))}
    return np.array([index[cell] for cell in cells], dtype=np.int64)


def chosen(table: Table, where: Mapping[str, Any]) -> Table:
    """The rows that `where` wants: column -> a value, a list of values, or {min, max} (both included).

    Values are compared as numbers where both are numbers, as text elsewhere. A row without a value is not chosen.
    Raises SpecError for an unknown column or key.
    """
    for name, wanted in where.items():
        cells = table.column(name, f"data.where.{name}")
        table = table.keep([_fits(cell, wanted, f"data.where.{name}", table.comma) for cell in cells])
    return table


def _fits(cell: str, wanted: Any, place: str, comma: bool) -> bool:
    if isinstance(wanted, Mapping):
        bounds = cast(Mapping[str, Any], wanted)
        extra = set(bounds) - {"min", "max"}
        if extra or not all(isinstance(bound, (int, float)) for bound in bounds.values()):
            raise SpecError(f"{place}: a range is written {{min: 1, max: 5}} with numbers; given {dict(bounds)}")
        value = number(cell, comma)
        return value is not None and bounds.get("min", -np.inf) <= value <= bounds.get("max", np.inf)
    if isinstance(wanted, (list, tuple)):
        return any(_same(cell, item) for item in cast(Sequence[Any], wanted))
    return _same(cell, wanted)


def _same(cell: str, wanted: Any) -> bool:
    if isinstance(wanted, bool):
        return cell.casefold() == str(wanted).casefold()
    text = str(wanted)
    if cell == text:
        return True
    left, right = number(cell), number(text)
    return left is not None and left == right


def _whole(text: str) -> str:
    value = number(text)
    return str(int(value)) if value is not None and value.is_integer() else text


def _sorted_values(cells: Any) -> list[str]:
    values = set(cast("list[str]", list(cells)))
    numeric = {value: number(value) for value in values}
    if all(found is not None for found in numeric.values()):
        return sorted(values, key=lambda value: (cast(float, numeric[value]), value))
    return sorted(values)
