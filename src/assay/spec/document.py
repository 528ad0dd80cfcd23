"""Study documents: plain values with the location of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from assay.core.errors import SpecError

# Plain values with the location that each was written at: a line of a file, an option of the command line, or nowhere.

Keys = tuple[str | int, ...]
"""The path to a value in a document: ("recipe", "loss", 1, "supcon")."""


@dataclass(frozen=True, slots=True)
class Document:
    """A tree of dict, list, str, int, float, bool and None, with the location of every value.

    Attributes:
        values: The tree.
        locations: Keys -> location, such as `study.yaml:12` or `--set`. A value without one has its parent's location.
        folder: The folder that relative paths start from. Empty for the working directory.
        file: Its path, or the name of a built-in study. Empty for a mapping.
    """

    values: dict[str, Any]
    locations: Mapping[Keys, str] = field(default_factory=dict[Keys, str])
    folder: str = ""
    file: str = ""

    def location(self, keys: Keys) -> str:
        """Return the location of the value at `keys`, or of the nearest value around it. Empty where none is known."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.locations:
                return self.locations[keys[:end]]
        return ""


def join_keys(keys: Keys) -> str:
    """Format keys as a person writes them: `recipe.loss[1].supcon`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def plain(value: Any, keys: Keys = ()) -> Any:
    """Convert Python values to those that a YAML file holds.

    Keys become text, tuples lists, paths text and NumPy numbers numbers. A function or class becomes its dotted path.

    Args:
        value: The value to convert.
        keys: Its path in the study, for the error.

    Returns:
        A tree of dict, list, str, int, float, bool and None.

    Raises:
        SpecError: The value is of another type.

    Examples:
        >>> from pathlib import Path
        >>> plain({"tuple": (1, 2.5), "path": Path("a") / "b", "number": np.float32(0.5), "count": np.int64(3)})
        {'tuple': [1, 2.5], 'path': 'a/b', 'number': 0.5, 'count': 3}
        >>> plain({"own": SpecError, 1: {True: None}})
        {'own': 'assay.core.errors:SpecError', '1': {'true': None}}
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {_key_text(key): plain(item, (*keys, _key_text(key))) for key, item in items}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(item, (*keys, i)) for i, item in enumerate(cast(Sequence[Any], value))]
    if isinstance(value, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", value))
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, np.generic):
        return plain(value.item(), keys)
    raise SpecError(
        f"{join_keys(keys)} = {value!r}\n  expected text, a number, true or false, a list or a mapping; "
        f"a {type(value).__name__} is none of these"
    )


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def leaves(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield every scalar of a tree with its keys."""
    yield from ((at, item) for at, item in ((keys, value), *nodes(value, keys)) if not isinstance(item, (dict, list)))


def nodes(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield every value inside a mapping or a list with its keys, containers before their items."""
    inside: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        inside = cast(dict[str, Any], value).items()
    elif isinstance(value, list):
        inside = enumerate(cast(list[Any], value))
    for key, item in inside:
        yield (*keys, key), item
        yield from nodes(item, (*keys, key))


def mapping_of(value: Any) -> dict[str, Any] | None:
    """Return the value if it is a mapping, else None."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
