"""Columns that say what the target says: other statements of the same diagnosis, which are no cues."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from assay.data.files.one_hot import are_complements, class_cells, class_columns, indicators
from assay.data.files.roles import TARGETS, called_targets, words_of
from assay.data.files.table import NEGATIVES, TextTable, absent, fold, spellings

_MOST = 100
"""A column with more values is none of classes."""
_STEM = 3
"""Letters of the shortest word in the names of all one-hot columns that is the variable they are of."""
_OF_CLASSES = frozenset({*TARGETS, *NEGATIVES}) | {
    "id", "code", "name", "text", "index", "number", "binary", "ground", "final", "main", "primary", "clinical", "",
}  # fmt: skip
"""Words of the names of columns of classes. One with another word, as `diagnosis_type` or `label_source`, is a cue."""


def restated(read: TextTable, target: str) -> Mapping[str, str]:
    """Return the columns that say what the target says -> how they do, for readers.

    They are one-hot columns, and columns that are named like targets. Each of their classes is of one class of the
    target, or each class of the target of one of theirs. Other columns of which this is true, such as a site that
    predicts the target without an error, are cues.
    """
    if target not in read.header:
        return {}
    codes = indicators(read)
    groups = (group for group in class_columns(read.header, codes) if target in group)
    says = {name: f"one-hot, says what {target} says" for group in groups for name in group if name != target}
    for group in class_columns([name for name in read.header if name != target], codes):
        pairs = _pairs(read, class_cells(group, codes), target)
        if (how := _how(pairs, target)) and _are_classes(group, pairs):
            says |= dict.fromkeys((name for name in group if name not in says), f"one-hot, {how}")
    for name in called_targets([name for name in read.header if name not in (target, *says)]):
        few = 2 * (count := read.frame[name].nunique()) <= len(read) and count <= _MOST
        if few and _words_without_digits(name) <= _OF_CLASSES:
            how = _how(_pairs(read, read.column(name, "data"), target), target)
            says |= {name: how} if how else {}
    return says


def columns_left_out(reasons: Mapping[str, str]) -> str:
    """Return columns with the reason why each is left out, for readers; those of one reason are listed together."""
    columns: dict[str, list[str]] = {}
    for name, why in reasons.items():
        columns.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in columns.items())


def _pairs(read: TextTable, classes: Sequence[str], target: str) -> set[tuple[str, str]]:
    """Return which classes of a column are in a row with which of the target, in the spellings that stand for them."""
    frame = pd.DataFrame({"column": classes, "target": read.column(target, "data")}, dtype=object).drop_duplicates()
    columns = [frame[name].tolist() for name in frame]
    spelled = [spellings(cells) for cells in columns]
    rows = zip(*columns, strict=True)
    return {(spelled[0][cell], spelled[1][label]) for cell, label in rows if not (absent(cell) or absent(label))}


def _how(pairs: set[tuple[str, str]], target: str) -> str:
    """Return how a column says what the target says; empty where it does not."""
    theirs, ours = (len(set(each)) for each in zip(*pairs, strict=True)) if pairs else (0, 0)
    if min(theirs, ours) < 2 or len(pairs) > max(theirs, ours):
        return ""
    classes = "" if theirs == ours else " in finer classes" if theirs > ours else " in coarser classes"
    return f"says what {target} says{classes}"


def _are_classes(group: Sequence[str], pairs: set[tuple[str, str]]) -> bool:
    """Return whether one-hot columns that go with the target are named like classes.

    Dummies of a variable, such as `vendor_A` and `vendor_B`, are no classes, and neither is a column with its
    complement, nor two columns that group several classes, unless their names are those of classes.
    """
    if all(fold(name) == fold(ours) for name, ours in pairs):
        return True
    counts = Counter(word for name in group for word in _words_without_digits(name))
    is_variable = any(count == len(group) and len(word) >= _STEM for word, count in counts.items())
    is_coarser = len(pairs) > len({name for name, _ in pairs})
    is_named = not counts.keys().isdisjoint({*TARGETS, *NEGATIVES})
    return not are_complements(group) and (is_named or not (is_variable or is_coarser))


def _words_without_digits(name: str) -> set[str]:
    return {re.sub("[0-9]+$", "", word) for word in words_of(name)}
