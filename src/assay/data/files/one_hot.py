"""One-hot columns: a column of 0 and 1 for each class, of which every row has exactly one 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from assay.core.errors import shorten
from assay.data.files.roles import SPLITS, called_attribute, patient_of, sure_target, targets_of, words_of
from assay.data.files.table import TextTable, absent, number, require_whole

FEWEST_ROWS = 10
"""In fewer rows, columns may have one 1 in each row by chance."""
_NAMES = ("class", "label", "one-hot class")
"""Names of the column that holds the classes, the first that the table does not have."""
_COMPLEMENTS = ({"no"}, {"non"}, {"not"}, {"without"}, {"yes", "no"}, {"ap", "pa"}, {"left", "right"})
"""Words in which the names of a binary column and of its complement differ."""
_FIRST = 50
"""Cells that are looked at before all others are: most columns are no indicators by these."""


def indicators(read: TextTable) -> dict[str, np.ndarray]:
    """Return the columns of 0 and 1, NaN where a cell is blank, of a table that has rows enough.

    Columns of what patients and images are, such as sex and site, and of parts of a set are passed over.
    """
    if len(read) < FEWEST_ROWS:
        return {}
    named = [name for name in read.header if not (called_attribute(name) or words_of(name) & SPLITS)]
    return {name: column for name in named if (column := _indicators(read.frame[name])) is not None}


def class_columns(header: Sequence[str], codes: Mapping[str, np.ndarray]) -> list[tuple[str, ...]]:
    """Return the columns of each one-hot variable: neighbors of 0 and 1 with exactly one 1 in every row.

    A row without any value is one without a label.

    Args:
        header: Names of the columns, in order.
        codes: The indicators among them.
    """
    groups: list[tuple[str, ...]] = []
    at = 0
    while at < len(header):
        group = _longest(header[at:], codes)
        groups += [group] if group else []
        at += len(group) or 1
    return groups


def with_classes(read: TextTable, target: str) -> tuple[TextTable, str, str]:
    """Return a table with a column of classes in place of one-hot columns, its name, and a sentence that says so.

    The table stays as it is, and the texts are empty, where another column is named as the target, or may be it. It
    also does where the columns are a binary column and its complement, such as `chemo` and `no_chemo`.

    Args:
        read: The table.
        target: The column to predict, if a user names it.

    Raises:
        DataError: A line of such a table cannot be read.
    """
    name, group = one_hot_target(read)
    if not group or not (target == name or (not target and _are_target(read, group))):
        return read, "", ""
    require_whole(read)
    frame = read.frame.drop(columns=[*group])
    frame[name] = class_cells(group, indicators(read))
    sentence = (
        f"columns {shorten(', '.join(group), 80)} are one-hot, one class per image: '{name}' is the column that is 1; "
        "where the target is one of them, it is this class against the rest"
    )
    return replace(read, frame=frame, written=read.header), name, sentence


def one_hot_target(read: TextTable) -> tuple[str, tuple[str, ...]]:
    """Return by which name the only one-hot columns of a table may be the target, and these; empty without them."""
    name = next((name for name in _NAMES if name not in read.header), "")
    groups = class_columns(read.header, indicators(read)) if name else []
    return (name, groups[0]) if len(groups) == 1 else ("", ())


def _are_target(read: TextTable, group: Sequence[str]) -> bool:
    """Return whether one-hot columns are the target of a table for which no user names one."""
    targets = targets_of(read, read.header)
    if sure := sure_target(read, targets):
        return sure in group
    patient = patient_of(read, read.header)
    others = [name for name in targets if name not in (*group, patient) and not called_attribute(name)]
    return not (others or are_complements(group))


def are_complements(group: Sequence[str]) -> bool:
    """Return whether two columns are named as one binary column and its complement."""
    if len(group) != 2:
        return False
    short, long = sorted(("".join(filter(str.isalnum, name.casefold())) for name in group), key=len)
    first, second = map(words_of, group)
    return first ^ second in _COMPLEMENTS or long in (f"no{short}", f"non{short}", f"not{short}")


def class_cells(group: Sequence[str], codes: Mapping[str, np.ndarray]) -> list[str]:
    """Return the class of each row, the name of the column that is 1; empty where no cell of the row has a value."""
    is_class = np.stack([codes[name] == 1 for name in group])
    at = np.where(is_class.any(axis=0), is_class.argmax(axis=0), len(group))
    return np.array([*group, ""], dtype=object)[at].tolist()


def _longest(header: Sequence[str], codes: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Return the most of the first columns that are one-hot; none where they are not."""
    longest = 0
    total = np.zeros(0)
    used = 0
    for at, name in enumerate(header):
        code = codes.get(name)
        if code is None or (at and not np.array_equal(np.isnan(code), np.isnan(total))):
            break
        total = code if not at else total + code
        used += bool(np.nansum(code))
        if (total > 1).any():
            break
        longest = at + 1 if used > 1 and (total[~np.isnan(total)] == 1).all() else longest
    return tuple(header[:longest])


def _indicators(cells: pd.Series[str]) -> np.ndarray | None:
    """Return a column of 0, 1 and blank cells, NaN, as numbers; None of another column and of one without a number."""
    if any(_indicator(cell) is None for cell in cells.iloc[:_FIRST]):
        return None
    which, different = pd.factorize(cells.to_numpy())
    values = [_indicator(cell) for cell in different]
    return None if None in values or all(map(absent, different)) else np.array(values)[which]


def _indicator(cell: str) -> float | None:
    """Return 0, 1, or NaN of a blank cell; None of another one."""
    value = number(cell)
    return np.nan if absent(cell) else value if value in (0, 1) else None
