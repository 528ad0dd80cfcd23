"""The points of a study's grid: its axes crossed, except those that `grid.zip` ties, and thinned by `grid.only`.

grid:
  zip: [[epochs, batch_size]]                    # tied: first with first, second with second
  only: [{loss: cross-entropy}, {epochs: 20}]    # points that match at least one entry are kept
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from assay.core.axes import Axis, Choice, find_axes, label, resolve
from assay.core.document import Keys, mapping_of
from assay.core.errors import SpecError
from assay.core.problems import Problems, shorten

MOST_POINTS = 20_000


@dataclass(frozen=True, slots=True)
class Point:
    """One point: axis name -> label, the values set at each path, and where these were written."""

    coordinates: Mapping[str, str]
    settings: Mapping[Keys, Any]
    origins: Mapping[Keys, Keys]


def zip_axes(axes: list[Axis], groups: Any, problems: Problems) -> list[Axis]:
    """Axes of each group of names tied into one, whose values are the first of all, the second of all, and so on."""
    if groups is None:
        return axes
    if not isinstance(groups, list) or not all(isinstance(group, list) for group in cast(list[Any], groups)):
        problems.add(("grid", "zip"), groups, "expected a list of lists of axis names, such as [[epochs, batch_size]]")
        return axes
    for i, names in enumerate(cast(list[list[Any]], groups)):
        members = _members(names, axes, ("grid", "zip", i), problems)
        if not members:
            continue
        joined = Axis(
            "+".join(axis.name for axis in members),
            tuple(keys for axis in members for keys in axis.paths),
            tuple(
                tuple(itertools.chain.from_iterable(group))
                for group in zip(*(axis.choices for axis in members), strict=True)
            ),
        )
        first = axes.index(members[0])
        axes = [joined if k == first else axis for k, axis in enumerate(axes) if k == first or axis not in members]
    return axes


def _members(names: list[Any], axes: list[Axis], keys: Keys, problems: Problems) -> list[Axis]:
    members = [resolve(str(name), axes) for name in names]
    for j, (name, axis) in enumerate(zip(names, members, strict=True)):
        if axis is None:
            known = shorten([other.name for other in axes]) or "none"
            problems.add((*keys, j), name, f"no such axis to zip; axes of this study: {known}")
    found = [axis for axis in members if axis is not None]
    if len(found) < len(names):
        return []
    if len(found) < 2 or len({axis.name for axis in found}) < len(found):
        problems.add(keys, names, "expected at least two different axes to zip")
        return []
    if len({len(axis.choices) for axis in found}) > 1:
        counts = ", ".join(f"{axis.name} has {len(axis.choices)}" for axis in found)
        problems.add(keys, names, f"zipped axes need equally many values: {counts}")
        return []
    return found


def expand(values: Mapping[str, Any], problems: Problems) -> tuple[list[Axis], list[Point]]:
    """The axes of a study and the points of its grid, in the order of the spec (the last axis runs fastest)."""
    grid = values.get("grid")
    options = mapping_of(grid) or {}
    if grid is not None and mapping_of(grid) is None:
        problems.add(("grid",), grid, "expected `zip` and `only`, such as grid: {zip: [[epochs, batch_size]]}")
    for key in options:
        if key not in ("zip", "only"):
            problems.unknown_key(("grid", key), ("zip", "only"))
    axes = zip_axes(find_axes(values, problems), options.get("zip"), problems)
    count = math.prod(len(axis.choices) for axis in axes)
    if count > MOST_POINTS:
        sizes = " x ".join(f"{axis.name} {len(axis.choices)}" for axis in axes)
        raise SpecError(f"the grid has {count} points ({sizes}); at most {MOST_POINTS}: shorten or zip axes")
    keep = _only(options.get("only"), axes, problems)
    points = [
        point
        for chosen in itertools.product(*(axis.choices for axis in axes))
        if _kept((point := _point(axes, chosen)).coordinates, keep)
    ]
    if not points and not problems.found:
        problems.add(("grid", "only"), options.get("only"), "no point of the grid matches any of these")
    return axes, points


def _point(axes: Sequence[Axis], chosen: Sequence[tuple[Choice, ...]]) -> Point:
    coordinates = {
        axis.name: "+".join(choice.label for choice in group) for axis, group in zip(axes, chosen, strict=True)
    }
    settings = {
        keys: choice.value
        for axis, group in zip(axes, chosen, strict=True)
        for keys, choice in zip(axis.paths, group, strict=True)
    }
    origins = {k: v for group in chosen for choice in group for k, v in choice.origins.items()}
    return Point(coordinates, settings, origins)


def _only(value: Any, axes: Sequence[Axis], problems: Problems) -> list[dict[str, set[str]]]:
    if value is None:
        return []
    keys: Keys = ("grid", "only")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in cast(list[Any], value)):
        problems.add(keys, value, "expected a list of entries such as {loss: supcon, epochs: [10, 20]}")
        return []
    entries = cast(list[dict[str, Any]], value)
    hint = "--set grid.only=null keeps every point of the grid"
    return [selection(entry, axes, (*keys, i), problems, hint) for i, entry in enumerate(entries)]


def selection(
    entry: Mapping[str, Any], axes: Sequence[Axis], keys: Keys, problems: Problems, hint: str = ""
) -> dict[str, set[str]]:
    """Axis name -> labels allowed, from `{axis: value or list of values}`; what is on no axis is noted, with `hint`."""
    allowed: dict[str, set[str]] = {}
    for name, given in entry.items():
        axis = resolve(name, axes)
        if axis is None:
            problems.unknown_key((*keys, name), [other.name for other in axes], "the axes of this study")
            continue
        wanted = [label(item) for item in (cast(list[Any], given) if isinstance(given, list) else [given])]
        for text in wanted:
            if text not in axis.labels:
                problems.add((*keys, name), text, f"not a value of axis '{axis.name}': {shorten(axis.labels)}", hint)
        allowed[axis.name] = set(wanted)
    return allowed


def _kept(coordinates: Mapping[str, str], entries: Sequence[Mapping[str, set[str]]]) -> bool:
    return not entries or any(all(coordinates[name] in allowed for name, allowed in e.items()) for e in entries)


def settle(values: Mapping[str, Any], settings: Mapping[Keys, Any]) -> dict[str, Any]:
    """The values with each setting in its place: a copy along the changed paths."""
    out = dict(values)
    for keys, value in settings.items():
        _set(out, keys, value)
    return out


def _set(target: Any, keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        inner = target[key]
        target[key] = inner.copy()
        target = target[key]
    target[keys[-1]] = value
