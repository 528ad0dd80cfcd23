"""Lists that are axes: found in a study's values, and named.

In `recipe` and `environments.train` a list is an axis where one value is expected. A field that is a list by nature
(`augmentation`, `high`, the values of `where` and `given`, a component's list argument) takes `{axis: [...]}`. Lists
inside the values of an axis are part of it: `loss: [cross-entropy, {supcon: {temperature: [0.05, 0.1]}}]` is one axis
of three values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args, get_origin

from assay.core.document import Keys, dotted, mapping_of
from assay.core.paths import told
from assay.core.problems import Problems
from assay.core.registry import KINDS, ComponentKind, lookup

REGIONS: tuple[Keys, ...] = (("recipe",), ("environments", "train"))
SAME_NAME = "name the files differently, or write their paths from the study file's folder"
_NATURAL = {"high", "levels"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an axis without lists in it. `origins`: where its parts were written, for messages."""

    label: str
    value: Any
    origins: Mapping[Keys, Keys]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of the grid. Zipped axes are one, which sets a value at each of its `paths`."""

    name: str
    paths: tuple[Keys, ...]
    choices: tuple[tuple[Choice, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What its values are called, in order."""
        return tuple("+".join(choice.label for choice in group) for group in self.choices)


def label(value: Any, shown: Callable[[str], str] = told) -> str:
    """What a value is called on an axis: `supcon(temperature=0.05)`, `0.9`, `flip + shift`, `none`; a model of a
    library by its own name, `resnet50`.

    shown: what its texts are called; absolute paths by their last part, others as written, unless told otherwise.
    """
    mapping = mapping_of(value)
    if mapping is not None:
        if len(mapping) == 1:
            (name, inside), *_ = mapping.items()
            if isinstance(inside, dict) and list(cast(dict[str, Any], inside)) == ["model"]:
                return label(inside["model"], shown)
            if isinstance(inside, dict):
                return f"{name}({_pairs(cast(dict[str, Any], inside), shown)})" if inside else name
        return _pairs(mapping, shown) or "none"
    if isinstance(value, (list, tuple)):
        return " + ".join(label(item, shown) for item in cast(Sequence[Any], value)) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return "none" if value is None else shown(str(value))


def _pairs(mapping: Mapping[str, Any], shown: Callable[[str], str]) -> str:
    return ", ".join(f"{key}={label(value, shown)}" for key, value in mapping.items())


def is_axis(value: Any, keys: Keys) -> bool:
    """Whether the value at `keys` is an axis: `{axis: [...]}`, or a list where one value is expected."""
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
    except Exception:  # an unknown name or a user's module that does not import: told where components are checked
        return False
    return field is not None and _holds_list(field.annotation)


def _holds_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (list, tuple, Sequence) or annotation in (list, tuple):
        return True
    return any(_holds_list(part) for part in get_args(annotation))


def find_axes(values: Mapping[str, Any], problems: Problems) -> list[Axis]:
    """The axes of a study's values, in the order written, with unambiguous names."""
    found: list[tuple[Keys, tuple[Choice, ...]]] = []
    for region in REGIONS:
        value: Any = values
        for key in region:
            value = (mapping_of(value) or {}).get(str(key))
        found += list(_outer(value, region, problems))
    names = _names([keys for keys, _ in found])
    return [
        Axis(name, (keys,), tuple((choice,) for choice in choices))
        for name, (keys, choices) in zip(names, found, strict=True)
    ]


def _outer(value: Any, keys: Keys, problems: Problems) -> Iterator[tuple[Keys, tuple[Choice, ...]]]:
    if is_axis(value, keys):
        choices = tuple(_choices(value, keys, keys, problems))
        labels = [choice.label for choice in choices]
        for repeated in sorted({text for text in labels if labels.count(text) > 1}):
            several = len({label(choice.value, str) for choice in choices if choice.label == repeated}) > 1
            problems.add(
                keys, value, f"the value '{repeated}' stands twice on this axis; {SAME_NAME if several else 'keep one'}"
            )
        if choices:
            yield keys, choices
        return
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from _outer(item, (*keys, key), problems)
    elif isinstance(value, list):
        for i, item in enumerate(cast(list[Any], value)):
            yield from _outer(item, (*keys, i), problems)


def _choices(value: Any, at: Keys, source: Keys, problems: Problems) -> Iterator[Choice]:
    """The values of an axis. `at` is where they will stand, `source` where the axis is written."""
    mapping = mapping_of(value)
    inside: Keys = source if mapping is None else (*source, "axis")
    items = value if mapping is None else mapping["axis"]
    if not isinstance(items, list) or not items:
        problems.add(source, value, "an axis needs a list of at least one value")
        return
    for i, item in enumerate(cast(list[Any], items)):
        here: Keys = (*inside, i)
        if is_axis(item, at):
            problems.add(here, item, "a list within an axis; write its values into the axis itself")
            continue
        for made, origins in _readings(item, at, here, problems):
            yield Choice(label(made), made, {at: here, **origins})


def _readings(value: Any, at: Keys, source: Keys, problems: Problems) -> Iterator[tuple[Any, dict[Keys, Keys]]]:
    """Every reading of a value once the axes inside it are written out."""
    if is_axis(value, at):
        yield from ((choice.value, dict(choice.origins)) for choice in _choices(value, at, source, problems))
    elif isinstance(value, dict):
        items = cast(dict[str, Any], value)
        parts = [list(_readings(item, (*at, key), (*source, key), problems)) for key, item in items.items()]
        for chosen in itertools.product(*parts):
            made = {key: part for key, (part, _) in zip(items, chosen, strict=True)}
            yield made, {k: v for _, origins in chosen for k, v in origins.items()}
    elif isinstance(value, list):
        parts = [list(_readings(v, (*at, i), (*source, i), problems)) for i, v in enumerate(cast(list[Any], value))]
        for chosen in itertools.product(*parts):
            yield [part for part, _ in chosen], {k: v for _, origins in chosen for k, v in origins.items()}
    else:
        yield value, {}


def _names(paths: Sequence[Keys]) -> list[str]:
    """The shortest end of each dotted path that no other axis shares."""
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
    """The axis of that name, or of that dotted path."""
    for axis in axes:
        if name == axis.name or name in (dotted(keys) for keys in axis.paths):
            return axis
    return None
