"""Classes: which of two is positive, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence

from assay.spec.data import LESION


def positive_words(classes: Sequence[str]) -> str:
    """Return which of two classes is positive, for readers; empty for other numbers of classes.

    Args:
        classes: Names of the classes, the positive one of two last.
    """
    if len(classes) != 2:
        return ""
    if tuple(classes) == LESION.levels:
        return "lesion present, against absent"
    return f"{classes[1]}, against {classes[0]}"
