"""One-hot columns: a column of 0 and 1 for each class, of which every row has exactly one 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from assay.core.errors import cut
from assay.data.files.roles import SPLITS, called_attribute, patient_of, sure_target, targets_of, words_of
from assay.data.files.table import TextTable, absent, fold, number, require_whole

FEWEST_ROWS = 10
"""In fewer rows, columns may have one 1 in each row by chance."""
_NAMES = ("class", "label", "one-hot class")
"""Names of the column that holds the classes, the first that the table does not have."""
_COMPLEMENTS = ({"no"}, {"non"}, {"not"}, {"without"}, {"yes", "no"}, {"ap", "pa"}, {"left", "right"})
"""Words in which the names of a binary column and of its complement differ."""


def class_columns(read: TextTable) -> list[tuple[str, ...]]:
    """Return the columns of each one-hot variable: neighbors of 0 and 1 with exactly one 1 in every row.

    A row without any value is one without a label. Columns of what patients and images are, such as sex and site, and
    of parts of a set are passed over.
    """
    if len(read) < FEWEST_ROWS:
        return []
    named = [name for name in read.header if not (called_attribute(name) or words_of(name) & SPLITS)]
    codes = {name: column for name in named if (column := _indicators(read.column(name, "data"))) is not None}
    groups: list[tuple[str, ...]] = []
    at, header = 0, read.header
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
    frame[name] = class_cells(read, group)
    sentence = (
        f"columns {cut(', '.join(group), 80)} are one-hot, one class per image: '{name}' is the column that is 1; "
        "where the target is one of them, it is this class against the rest"
    )
    return replace(read, frame=frame), name, sentence


def one_hot_target(read: TextTable) -> tuple[str, tuple[str, ...]]:
    """Return by which name the only one-hot columns of a table may be the target, and these; empty without them."""
    name = next((name for name in _NAMES if name not in read.header), "")
    groups = class_columns(read) if name else []
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


def class_cells(read: TextTable, group: Sequence[str]) -> list[str]:
    """Return the class of each row, the name of the column that is 1; empty where no cell of the row has a value."""
    columns = [[number(cell) == 1 for cell in read.column(name, "data")] for name in group]
    return [
        next((name for name, is_class in zip(group, row, strict=True) if is_class), "")
        for row in zip(*columns, strict=True)
    ]


def siblings(read: TextTable, target: str) -> tuple[str, ...]:
    """Return the one-hot columns that say what the target says: those beside it, or one for each class."""
    if target not in read.header:
        return ()
    for group in class_columns(read):
        if target in group:
            return tuple(name for name in group if name != target)
        rows = zip(class_cells(read, group), read.column(target, "data"), strict=True)
        pairs = {(name, fold(cell)) for name, cell in rows if name and not absent(cell)}
        one_to_one = 1 < len(pairs) == len(dict(pairs)) == len({cell for _, cell in pairs})
        if one_to_one and (not are_complements(group) or all(fold(name) == cell for name, cell in pairs)):
            return group
    return ()


def _longest(header: Sequence[str], codes: dict[str, np.ndarray]) -> tuple[str, ...]:
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


def _indicators(cells: Sequence[str]) -> np.ndarray | None:
    """Return a column of 0, 1 and blank cells, NaN, as numbers; None of another column and of one without a number."""
    values = {cell: np.nan if absent(cell) else number(cell) for cell in set(cells)}
    levels = {value for value in values.values() if value is None or not np.isnan(value)}
    return np.array([values[cell] for cell in cells]) if levels and levels <= {0.0, 1.0} else None
