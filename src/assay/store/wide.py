"""Arrays of several axes as columns of a table, one for each entry: `hit[3]`, `bin_count[0,14]`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

_ENTRY = re.compile(r"(?P<name>\w+)\[(?P<at>\d+(,\d+)*)\]")


def flattened(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """An array [n, ...] by entry; [n] stays as it is."""
    if values.ndim == 1:
        return {name: values}
    places = list(np.ndindex(values.shape[1:]))
    return {f"{name}[{','.join(map(str, at))}]": np.ascontiguousarray(values[(slice(None), *at)]) for at in places}


def unflattened(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that `flattened` took apart; other columns as they are. Entries of an array keep one type."""
    made: dict[str, np.ndarray] = {}
    parts: dict[str, dict[tuple[int, ...], np.ndarray]] = {}
    for name, values in columns.items():
        entry = _ENTRY.fullmatch(name)
        if entry is None:
            made[name] = values
        else:
            parts.setdefault(entry["name"], {})[tuple(map(int, entry["at"].split(",")))] = values
    for name, entries in parts.items():
        shape = tuple(1 + max(place) for place in zip(*entries, strict=True))
        made[name] = np.stack([entries[at] for at in np.ndindex(shape)], axis=1).reshape(-1, *shape)
    return made
