"""Which value of a target of 0 and 1 is positive by the other columns of its table."""

from __future__ import annotations

from dataclasses import replace

from assay.core.errors import shorten
from assay.data.files.classes import Target, answers, in_order, which_is_positive
from assay.data.files.restated import OF_CLASSES, bare_words, pairs_of_classes
from assay.data.files.roles import TARGETS
from assay.data.files.table import TextTable, sorted_values, spellings

_NEGATIONS = frozenset({"no", "not", "non", "is"})
_DIAGNOSES = frozenset({"negative", "normal", "benign", "healthy"})
"""Names of columns that say themselves that a case is negative: `control` and `other` may name another thing."""
_CODES = frozenset({"id", "ids", "code", "codes", "index", "number", "num", "nr"})
"""Columns of codes, whose order is that of names and says nothing of which class is positive."""


def with_doubt(target: Target, read: TextTable, name: str, place: str, option: str = "data.positive") -> Target:
    """Return a target of 0 and 1 or no and yes, with the question which is positive if another column calls 1 negative.

    That column says what the target says in words, or is named like a class or a target: `diagnosis` is benign,
    `benign` is 1 or `target_2` is 0 where the target is 1.

    Args:
        target: The classes, of which the user did not name the positive one.
        read: The table.
        name: The target's column.
        place: Where that column is named, for errors.
        option: What names the positive class, for errors.
    """
    labels = sorted_values({*spellings(read.column(name, place)).values()})
    order = answers("", labels)
    for other in read.header if order and not target.question else ():
        words = bare_words(other) - _NEGATIONS
        if other == name or words & _CODES or not (words & {*TARGETS, *_DIAGNOSES} and words <= OF_CLASSES):
            continue
        pairs = pairs_of_classes(read, read.column(other, place), name)
        of_label = {label: value for value, label in pairs}
        theirs = answers(other, [*of_label.values()]) or in_order([*of_label.values()])
        if order and theirs and len(pairs) == 2 and of_label.get(order[1]) == theirs[0]:
            why = f"'{shorten(other)}' is {shorten(theirs[0])} where '{shorten(name)}' is {order[1]}"
            question = which_is_positive(name, labels, place, option, why)
            return replace(target, positive=f"none is chosen: {why}", question=question)
    return target
