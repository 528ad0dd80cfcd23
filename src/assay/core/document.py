"""Plain values with the place that each was written at: a line of a file, an option of the command line, or nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from assay.core.errors import SpecError

Keys = tuple[str | int, ...]
"""Where a value lies: ("recipe", "loss", 1, "supcon")."""


@dataclass(frozen=True, slots=True)
class Document:
    """A tree of dict, list, str, int, float, bool and None, with the place of every value.

    places: keys -> place, such as `study.yaml:12` or `--set`; a value without one has its parent's.
    folder: what relative paths inside start from; empty for the working directory.
    """

    values: dict[str, Any]
    places: Mapping[Keys, str] = field(default_factory=dict[Keys, str])
    folder: str = ""
    stem: str = ""

    def place(self, keys: Keys) -> str:
        """The place of the value at `keys`, or of the nearest value around it; empty when nothing is known."""
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.places:
                return self.places[keys[:end]]
        return ""


def dotted(keys: Keys) -> str:
    """How a person names a place: `recipe.loss[1].supcon`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def plain(value: Any, keys: Keys = ()) -> Any:
    """Python values as a YAML file would give them: keys are text, tuples are lists, paths are text, NumPy numbers are
    numbers, and a function or class of the user's is its dotted path.

    Raises SpecError on anything else.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {key_text(key): plain(item, (*keys, key_text(key))) for key, item in items}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [plain(item, (*keys, i)) for i, item in enumerate(cast(Sequence[Any], value))]
    if isinstance(value, os.PathLike):
        return os.fsdecode(cast("os.PathLike[str]", value))
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, np.generic):
        return plain(value.item(), keys)
    raise SpecError(
        f"{dotted(keys)} = {value!r}\n  expected text, a number, true or false, a list or a mapping; "
        f"a {type(value).__name__} cannot stand in a spec"
    )


def key_text(key: Any) -> str:
    """A mapping's key as YAML text would have it."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key)


def leaves(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every scalar of a tree with its keys."""
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from leaves(item, (*keys, key))
    elif isinstance(value, list):
        for i, item in enumerate(cast(list[Any], value)):
            yield from leaves(item, (*keys, i))
    else:
        yield keys, value


def nodes(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Everything that lies within a mapping or a list, with its keys: what holds others comes before them."""
    inside: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        inside = cast(dict[str, Any], value).items()
    elif isinstance(value, list):
        inside = enumerate(cast(list[Any], value))
    for key, item in inside:
        yield (*keys, key), item
        yield from nodes(item, (*keys, key))


def mapping_of(value: Any) -> dict[str, Any] | None:
    """The value as a mapping when it is one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
