"""How keys, shapes and causes are put into a short sentence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

_LISTED = 8


def some(keys: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    rest = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + rest


def shape(value: Tensor) -> str:
    """A shape as 64x3x7x7."""
    return "x".join(map(str, value.shape)) or "a number"


def first_line(error: BaseException) -> str:
    """The first line of what went wrong."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
