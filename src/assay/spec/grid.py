"""The grid of a study: axes, their values and labels, and the points that they span."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast, get_args, get_origin

from assay.core.files import label_of_path
from assay.core.registry import lookup
from assay.core.traits import KINDS, ComponentKind
from assay.spec.document import Keys, join_keys, mapping_of, nodes
from assay.spec.issues import Issues, unknown_key

# Lists that are axes: found in a study's values, and named.
#
# In `recipe` and `environments.train` a list is an axis where one value is expected. A field that is a list by nature
# (`augmentation`, `high`, the values of `where` and `given`, a component's list argument) takes `{axis: [...]}`. Lists
# inside the values of an axis are part of it: `loss: [cross-entropy, {supcon: {temperature: [0.05, 0.1]}}]` is one axis
# of three values.

REGIONS: tuple[Keys, ...] = (("recipe",), ("environments", "train"))
SAME_NAME = "name the files differently, or write their paths from the study file's folder"
_NATURAL = {"high", "levels"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an axis, without lists in it.

    Attributes:
        label: Its label.
        value: The value.
        origins: Keys of its parts in the grid point -> keys at which they were written.
    """

    label: str
    value: Any
    origins: Mapping[Keys, Keys]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of the grid. Zipped axes are one axis, which sets a value at each of its `paths`."""

    name: str
    paths: tuple[Keys, ...]
    choices: tuple[tuple[Choice, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the labels of its values, in order."""
        return tuple("+".join(choice.label for choice in group) for group in self.choices)


def label(value: Any, format_text: Callable[[str], str] = label_of_path) -> str:
    """Name a value as on an axis: `supcon(temperature=0.05)`, `0.9`, `flip + shift`, `none`.

    Args:
        value: The value. A model of a library is called by its own name, `resnet50`.
        format_text: How texts are shown. By default absolute paths by their last part, others as written.
    """
    mapping = mapping_of(value)
    if mapping is not None:
        if len(mapping) == 1:
            (name, inside), *_ = mapping.items()
            if isinstance(inside, dict) and list(cast(dict[str, Any], inside)) == ["model"]:
                return label(inside["model"], format_text)
            if isinstance(inside, dict):
                return f"{name}({_pairs(cast(dict[str, Any], inside), format_text)})" if inside else name
        return _pairs(mapping, format_text) or "none"
    if isinstance(value, (list, tuple)):
        return " + ".join(label(item, format_text) for item in cast(Sequence[Any], value)) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return "none" if value is None else format_text(str(value))


def _pairs(mapping: Mapping[str, Any], format_text: Callable[[str], str]) -> str:
    return ", ".join(f"{key}={label(value, format_text)}" for key, value in mapping.items())


def is_axis(value: Any, keys: Keys) -> bool:
    """Return whether the value at `keys` is an axis: `{axis: [...]}`, or a list in the place of one value."""
    mapping = mapping_of(value)
    if mapping is not None:
        return list(mapping) == ["axis"]
    return isinstance(value, list) and not _list_by_nature(keys)


def _list_by_nature(keys: Keys) -> bool:
    if keys[:2] == ("environments", "train"):
        return "where" in keys[2:3] or "given" in keys or keys[-1] in _NATURAL
    if keys == ("recipe", "augmentation"):
        return True
    names = [key for key in keys[1:] if isinstance(key, str)]
    if len(names) != 3 or names[0] not in KINDS:
        return False
    try:
        field = lookup(cast(ComponentKind, names[0]), names[1]).params.model_fields.get(names[2])
    except Exception:  # unknown names and modules that do not import are reported where components are checked
        return False
    return field is not None and _holds_list(field.annotation)


def _holds_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (list, tuple, Sequence) or annotation in (list, tuple):
        return True
    return any(_holds_list(part) for part in get_args(annotation))


def find_axes(values: Mapping[str, Any], issues: Issues) -> list[Axis]:
    """Find the axes in a study's values, in the order written, with unambiguous names."""
    axes: list[tuple[Keys, tuple[Choice, ...]]] = []
    for region in REGIONS:
        axes += list(_outer(_at(values, region), region, issues))
    names = _names([keys for keys, _ in axes])
    return [
        Axis(name, (keys,), tuple((choice,) for choice in choices))
        for name, (keys, choices) in zip(names, axes, strict=True)
    ]


def _outer(value: Any, keys: Keys, issues: Issues) -> Iterator[tuple[Keys, tuple[Choice, ...]]]:
    if is_axis(value, keys):
        choices = tuple(_choices(value, keys, keys, issues))
        labels = [choice.label for choice in choices]
        for repeated in sorted({text for text in labels if labels.count(text) > 1}):
            several = len({label(choice.value, str) for choice in choices if choice.label == repeated}) > 1
            issues.add(
                keys, value, f"the value '{repeated}' is twice on this axis; {SAME_NAME if several else 'keep one'}"
            )
        if choices:
            yield keys, choices
        return
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _outer(item, (*keys, key), issues)
    elif isinstance(value, list):
        for i, item in enumerate(cast(list[Any], value)):
            yield from _outer(item, (*keys, i), issues)


def _choices(value: Any, at: Keys, source: Keys, issues: Issues) -> Iterator[Choice]:
    """Yield the values of an axis that is written at `source` and sets values at `at`."""
    mapping = mapping_of(value)
    inside: Keys = source if mapping is None else (*source, "axis")
    items = value if mapping is None else mapping["axis"]
    if not isinstance(items, list) or not items:
        issues.add(source, value, "an axis needs a list of at least one value")
        return
    for i, item in enumerate(cast(list[Any], items)):
        here: Keys = (*inside, i)
        if is_axis(item, at):
            issues.add(here, item, "a list within an axis; write its values into the axis itself")
            continue
        for reading, origins in _readings(item, at, here, issues):
            yield Choice(label(reading), reading, {at: here, **origins})


def _readings(value: Any, at: Keys, source: Keys, issues: Issues) -> Iterator[tuple[Any, dict[Keys, Keys]]]:
    """Yield a value once for each combination of the axes inside it."""
    if is_axis(value, at):
        yield from ((choice.value, dict(choice.origins)) for choice in _choices(value, at, source, issues))
    elif isinstance(value, dict):
        items = cast(dict[str, Any], value)
        parts = [list(_readings(item, (*at, key), (*source, key), issues)) for key, item in items.items()]
        for chosen in itertools.product(*parts):
            reading = {key: part for key, (part, _) in zip(items, chosen, strict=True)}
            yield reading, {k: v for _, origins in chosen for k, v in origins.items()}
    elif isinstance(value, list):
        parts = [list(_readings(v, (*at, i), (*source, i), issues)) for i, v in enumerate(cast(list[Any], value))]
        for chosen in itertools.product(*parts):
            yield [part for part, _ in chosen], {k: v for _, origins in chosen for k, v in origins.items()}
    else:
        yield value, {}


def _names(paths: Sequence[Keys]) -> list[str]:
    """Return the shortest end of each dotted path that no other axis shares."""
    parts = [_naming(keys) for keys in paths]
    names: list[str] = []
    for part in parts:
        least = 2 if "difficulty" in part[:-1] or part[-1] == "share" else 1
        length = min(least, len(part))
        while length < len(part) and sum(other[-length:] == part[-length:] for other in parts) > 1:
            length += 1
        names.append(".".join(part[-length:]))
    return names


def _naming(keys: Keys) -> tuple[str, ...]:
    names = tuple(str(key) for key in keys if isinstance(key, str))
    return names[:-1] if names[-1] == "strength" else names


def resolve(name: str, axes: Sequence[Axis]) -> Axis | None:
    """Return the axis of that name or dotted path."""
    for axis in axes:
        if name == axis.name or name in (join_keys(keys) for keys in axis.paths):
            return axis
    return None


# The points of a study's grid: its axes crossed, except those that `grid.zip` ties, and thinned by `grid.only`.
#
# grid:
#   zip: [[epochs, batch_size]]                    # tied: first with first, second with second
#   only: [{loss: cross-entropy}, {epochs: 20}]    # points that match at least one entry are kept
#   set: [{where: {loss: supcon}, recipe.optimizer.adamw.lr: 0.003}]    # other values, which are no axis

MOST_POINTS = 20_000
_OPTIONS = ("zip", "only", "set")
_SET_IN: tuple[Keys, ...] = (("recipe",), ("environments", "train"))
_EVERY_POINT = "--set grid.only=null keeps every point of the grid"


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One point of the grid.

    Attributes:
        coordinates: Axis name -> label.
        settings: Keys -> value that the axes set there.
        origins: Keys in the point -> keys at which the value was written.
    """

    coordinates: Mapping[str, str]
    settings: Mapping[Keys, Any]
    origins: Mapping[Keys, Keys]


def zip_axes(axes: list[Axis], groups: Any, issues: Issues) -> list[Axis]:
    """Tie the axes of each group into one axis: the first values of all, the second values, and so on."""
    if groups is None:
        return axes
    if not isinstance(groups, list) or not all(isinstance(group, list) for group in cast(list[Any], groups)):
        issues.add(("grid", "zip"), groups, "expected a list of lists of axis names, such as [[epochs, batch_size]]")
        return axes
    for i, names in enumerate(cast(list[list[Any]], groups)):
        members = _members(names, axes, ("grid", "zip", i), issues)
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


def _members(names: list[Any], axes: list[Axis], keys: Keys, issues: Issues) -> list[Axis]:
    members = [resolve(str(name), axes) for name in names]
    for j, (name, axis) in enumerate(zip(names, members, strict=True)):
        if axis is None:
            issues.add((*keys, j), name, "no such axis to zip", names=[other.name for other in axes])
    resolved = [axis for axis in members if axis is not None]
    if len(resolved) < len(names):
        return []
    if len(resolved) < 2 or len({axis.name for axis in resolved}) < len(resolved):
        issues.add(keys, names, "expected at least two different axes to zip")
        return []
    if len({len(axis.choices) for axis in resolved}) > 1:
        counts = ", ".join(f"{axis.name} has {len(axis.choices)}" for axis in resolved)
        issues.add(keys, names, f"zipped axes need equally many values: {counts}")
        return []
    return resolved


def expand(values: Mapping[str, Any], issues: Issues) -> tuple[list[Axis], list[GridPoint]]:
    """Return the axes of a study and the points of its grid, in the order of the spec (the last axis runs fastest)."""
    grid = values.get("grid")
    options = mapping_of(grid) or {}
    if grid is not None and mapping_of(grid) is None:
        issues.add(("grid",), grid, "expected `zip` and `only`, such as grid: {zip: [[epochs, batch_size]]}")
    for key in options:
        if key not in _OPTIONS:
            issues.note(unknown_key(("grid", key), _OPTIONS))
    axes = zip_axes(find_axes(values, issues), options.get("zip"), issues)
    count = math.prod(len(axis.choices) for axis in axes)
    if count > MOST_POINTS:
        sizes = " x ".join(f"{axis.name} {len(axis.choices)}" for axis in axes)
        longest = max(axes, key=lambda axis: len(axis.choices))
        issues.add(
            longest.paths[0], "", f"the grid has {count} points ({sizes}); at most {MOST_POINTS}", "shorten or zip axes"
        )
        issues.raise_found()
    keep = _only(options.get("only"), axes, values, issues)
    changes = _changes(options.get("set"), axes, values, issues)
    points = [
        _apply_changes(point, changes)
        for chosen in itertools.product(*(axis.choices for axis in axes))
        if _is_chosen((point := _point(axes, chosen)).coordinates, keep)
    ]
    if not points and not issues.entries:
        issues.add(("grid", "only"), options.get("only"), "no point of the grid matches any of these")
    return axes, points


def _point(axes: Sequence[Axis], chosen: Sequence[tuple[Choice, ...]]) -> GridPoint:
    coordinates = {
        axis.name: "+".join(choice.label for choice in group) for axis, group in zip(axes, chosen, strict=True)
    }
    settings = {
        keys: choice.value
        for axis, group in zip(axes, chosen, strict=True)
        for keys, choice in zip(axis.paths, group, strict=True)
    }
    origins = {k: v for group in chosen for choice in group for k, v in choice.origins.items()}
    return GridPoint(coordinates, settings, origins)


def _only(value: Any, axes: Sequence[Axis], values: Mapping[str, Any], issues: Issues) -> list[dict[str, set[str]]]:
    """Read the entries of `grid.only`. A field with one value is no axis: entries that name another value drop out."""
    if value is None:
        return []
    keys: Keys = ("grid", "only")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in cast(list[Any], value)):
        issues.add(keys, value, "expected a list of entries such as {loss: supcon, epochs: [10, 20]}")
        return []
    selections: list[dict[str, set[str]]] = []
    against: dict[str, str] = {}
    for i, entry in enumerate(cast(list[dict[str, Any]], value)):
        single = {name: field for name in entry if resolve(name, axes) is None and (field := fixed_field(name, values))}
        other = {
            place: fixed_label
            for name, (place, fixed_label) in single.items()
            if fixed_label not in _axis_labels(entry[name])
        }
        on_axes = {name: levels for name, levels in entry.items() if name not in single}
        chosen = selection(on_axes, axes, (*keys, i), issues, _EVERY_POINT)
        against |= other
        selections += [] if other else [chosen]
    if value and not selections:
        fixed = ", ".join(f"{place} is {fixed_label}" for place, fixed_label in against.items())
        issues.add(keys, "", f"{fixed} in this study, and every entry asks for another value", _EVERY_POINT)
    return selections


@dataclass(frozen=True, slots=True)
class _Change:
    """Values of the points that an entry of `grid.set` chooses: keys -> value and the keys at which it is written."""

    where: Mapping[str, set[str]]
    settings: Mapping[Keys, tuple[Any, Keys]]


def _changes(value: Any, axes: Sequence[Axis], values: Mapping[str, Any], issues: Issues) -> list[_Change]:
    """Read `grid.set`."""
    entries = cast(list[Any], value) if isinstance(value, list) else [value] if value else []
    changes: list[_Change] = []
    paths = {keys for axis in axes for keys in axis.paths}
    for i, entry in enumerate(map(mapping_of, entries)):
        at: Keys = ("grid", "set", i)
        where = mapping_of((entry or {}).get("where"))
        if entry is None or not where or len(entry) < 2:
            issues.add(at, entry or "", "expected entries such as {where: {loss: supcon}, recipe.batch_size: 64}")
            continue
        settings: dict[Keys, tuple[Any, Keys]] = {}
        for place, setting in entry.items():
            keys: Keys = tuple(place.split("."))
            if place == "where":
                continue
            if (keys[:1] not in _SET_IN and keys[:2] not in _SET_IN) or _at(values, keys) is None:
                what = "no such value of the recipe or of environments.train to change"
                issues.add((*at, place), setting, what, "write the value of the other points there first")
            elif any(keys[: len(path)] == path or path[: len(keys)] == keys for path in paths):
                issues.add((*at, place), setting, "is an axis, whose values the grid sets")
            elif is_axis(setting, keys):
                issues.add((*at, place), setting, "expected one value")
            else:
                settings[keys] = setting, (*at, place)
        changes.append(_Change(selection(where, axes, (*at, "where"), issues), settings))
    return changes


def _apply_changes(point: GridPoint, changes: Sequence[_Change]) -> GridPoint:
    """Return a point with the values of every entry of `grid.set` that chooses it; later entries win."""
    chosen = [change for change in changes if _is_chosen(point.coordinates, [change.where])]
    settings = {keys: value for change in chosen for keys, (value, _) in change.settings.items()}
    origins = {keys: source for change in chosen for keys, (_, source) in change.settings.items()}
    return replace(point, settings={**point.settings, **settings}, origins={**point.origins, **origins})


def fixed_field(name: str, values: Mapping[str, Any]) -> tuple[str, str] | None:
    """Find a field that is no axis by its dotted path, or by the end of it as an axis is named.

    Returns:
        The dotted path and the label of the value. Of several fields of that name the outermost is returned.
    """
    parts = tuple(name.split("."))
    fields = [
        (keys, value)
        for region in REGIONS
        for keys, value in nodes(_at(values, region), region)
        if value is not None and not isinstance(keys[-1], int) and not is_axis(value, keys)
        if name == join_keys(keys) or parts == _naming(keys)[-len(parts) :]
    ]
    keys, value = min(fields, key=lambda item: (len(_naming(item[0])), -len(item[0])), default=((), None))
    return (join_keys(keys), label(value)) if keys else None


def _at(values: Mapping[str, Any], keys: Keys) -> Any:
    here: Any = values
    for key in keys:
        here = (mapping_of(here) or {}).get(str(key))
    return here


def _axis_labels(values: Any) -> list[str]:
    return [label(item) for item in (cast(list[Any], values) if isinstance(values, list) else [values])]


def selection(
    entry: Mapping[str, Any], axes: Sequence[Axis], keys: Keys, issues: Issues, hint: str = ""
) -> dict[str, set[str]]:
    """Read a choice of values on axes.

    Args:
        entry: `{axis: value or list of values}`.
        axes: The axes of the study.
        keys: Where the entry is written.
        issues: Where axes and values that the study does not have are added.
        hint: The remedy for a value that is on no axis.

    Returns:
        Axis name -> labels that are chosen.
    """
    allowed: dict[str, set[str]] = {}
    for name, values in entry.items():
        axis = resolve(name, axes)
        if axis is None:
            issues.note(unknown_key((*keys, name), [other.name for other in axes], "the axes of this study"))
            continue
        wanted = _axis_labels(values)
        for text in wanted:
            if text not in axis.labels:
                issues.add((*keys, name), text, f"not a value of axis '{axis.name}'", hint, axis.labels)
        allowed[axis.name] = set(wanted)
    return allowed


def _is_chosen(coordinates: Mapping[str, str], entries: Sequence[Mapping[str, set[str]]]) -> bool:
    return not entries or any(all(coordinates[name] in allowed for name, allowed in e.items()) for e in entries)


def settle(values: Mapping[str, Any], settings: Mapping[Keys, Any]) -> dict[str, Any]:
    """Copy the values with each setting in its place."""
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
