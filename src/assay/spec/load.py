"""Read study files: YAML with line numbers, overrides from the command line, and the built-in studies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, cast

from assay.core.errors import SpecError, unknown_name, unknown_of_few
from assay.spec.document import Document, Keys, join_keys, mapping_of, plain
from assay.spec.issues import join_first, show
from assay.spec.yaml import parse_yaml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of studies and of their scales, which name run folders."""
NAME_WORDS = "letters, digits, `-`, `_` and `.`"

# Dotted overrides of a study by `--set a.b=c`, a `scales:` entry and `--seeds`, before it is checked.


def apply_scale(document: Document, scale: str | None) -> Document:
    """Apply one of the study's `scales`; None or `default` is the study as written."""
    scales = mapping_of(document.values.get("scales", {}))
    if scales is None:
        raise SpecError(f"{document.location(('scales',))}: scales: expected `name: {{dotted.key: value}}` entries")
    for name in scales:
        if not NAME.fullmatch(str(name)):
            location = document.location(("scales", name))
            raise SpecError(
                f"{location}{': ' * bool(location)}scales.{show(name)}\n"
                f"  expected {NAME_WORDS}: it names the run's folder"
            )
    if scale is None or scale == "default":
        return document
    if scale not in scales:
        location = document.location(("scales",))
        raise SpecError(f"{location}: " * bool(location) + unknown_of_few("scale", scale, ["default", *scales]))
    changes = mapping_of(scales[scale])
    if changes is None:
        raise SpecError(
            f"{document.location(('scales', scale))}: scales.{scale} = {show(scales[scale])}\n"
            "  expected dotted overrides, such as {seeds: 2, recipe.epochs: 5}"
        )
    for key, value in changes.items():
        source: Keys = ("scales", scale, key)
        document = put(document, key, value, document.location(source), _locations_below(document.locations, source))
    return document


_BY_NAME = ("environments", "sources")
"""What holds parts under names of the study's own: a field of one that is not there is a slip of the pen."""
Override = str | tuple[str, Any]
"""A change: `a.b=c` of the command line, whose value is read as YAML, or a dotted key with a value of Python's."""


def apply_sets(document: Document, overrides: Sequence[Override]) -> Document:
    """Apply each change to the study, in order."""
    for change in overrides:
        key, value = _split_setting(change) if isinstance(change, str) else change
        document = put(document, key, value, "--set" if isinstance(change, str) else f"set '{key}'")
    return document


def _split_setting(text: str) -> tuple[str, Any]:
    key, equals, written = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"--set {text}: expected a dotted key, `=` and a value, such as --set recipe.epochs=10")
    value, _ = parse_yaml(written, f"--set {key.strip()}")
    return key.strip(), value


def put(
    document: Document, key: str, value: Any, location: str, locations: Mapping[Keys, str] | None = None
) -> Document:
    """Replace one value of a document.

    Args:
        document: The study.
        key: The dotted key. A component that is named by a word becomes a mapping when an argument of it is set. An
            item of a list is named by its number or, for components, by its name.
        value: The new value. None removes a key of `data`.
        location: The location of the change.
        locations: The locations within the value, relative to it.

    Returns:
        A changed copy.
    """
    values = plain(document.values)
    keys = _walk(values, key.split("."), location)
    target: Any = reduce(getitem, keys[:-1], values)
    if value is None and "data" in keys[:-1] and isinstance(target, dict):
        cast("dict[str, Any]", target).pop(str(keys[-1]), None)  # `data.mask=null` unsets: the default holds again
    else:
        target[keys[-1]] = plain(value, keys)
    others = {at: where for at, where in document.locations.items() if at[: len(keys)] != keys}
    below = {(*keys, *at): where for at, where in (locations or {}).items()}
    return Document(values, {**others, keys: location, **below}, document.folder, document.file)


def _walk(values: dict[str, Any], parts: list[str], location: str) -> Keys:
    """Return the keys of a dotted path, and add missing mappings on the way."""
    keys: list[str | int] = []
    here: Any = values
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        named = isinstance(here, list) and not part.isdigit()
        key = _item(here, part, tuple(keys), location) if isinstance(here, list) else part
        keys.append(key)
        if not following:
            break
        here = _open_child(here, key, part if named else following, tuple(keys), location)
        if named:  # `probes.reliance.samples`: the item is found by the component's name, which is then its key
            keys.append(part)
            here = _open_child(here, part, following, tuple(keys), location)
    return tuple(keys)


def _open_child(holder: Any, key: str | int, following: str, keys: Keys, location: str) -> Any:
    """Return the mapping or list at `key`, where `loss: supcon` becomes `loss: {supcon: {}}`."""
    inside: Any = holder[key] if isinstance(key, int) else holder.get(key)
    if len(keys) == 2 and keys[0] in _BY_NAME and holder and key not in {*holder, "train"}:
        what = unknown_of_few(str(keys[0]).removesuffix("s"), str(key), list(holder))
        raise SpecError(f"{location}: {what}\n  {join_keys(keys)}={{...}} makes a new one")
    if inside is None or inside == following:
        holder[key] = {} if inside is None else {following: {}}
    elif not isinstance(inside, (dict, list)):
        raise SpecError(f"{location}: {join_keys(keys)} is {show(inside)}, in which there is no '{following}' to set")
    return holder[key]


def _item(items: Any, part: str, keys: Keys, location: str) -> int:
    names = [_item_name(item) for item in cast(list[Any], items)]
    if part.isdigit() and int(part) < len(names):
        return int(part)
    if part in names:
        return names.index(part)
    valid = join_first([name for name in names if name]) or f"0 to {len(names) - 1}"
    raise SpecError(f"{location}: {join_keys(keys)} has no item '{part}'; items: {valid}")


def _item_name(item: Any) -> str:
    mapping = mapping_of(item)
    if mapping is not None:
        return next(iter(mapping)) if len(mapping) == 1 else ""
    return item if isinstance(item, str) else ""


def _locations_below(locations: Mapping[Keys, str], source: Keys) -> dict[Keys, str]:
    return {at[len(source) :]: where for at, where in locations.items() if at[: len(source)] == source and at != source}


# The studies that come with Assay: YAML files in the package, found without importing anything.

STUDIES = Path(__file__).parent.parent / "studies"


def study_files() -> dict[str, Path]:
    """Return name -> file of every built-in study: on phantoms, examples on real images, tuning of both."""
    folders = (STUDIES / folder for folder in (".", "examples", "tuning"))
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}


def builtin_studies() -> dict[str, str]:
    """Return name -> first comment line of each built-in study."""
    return {name: _first_line(file.read_text(encoding="utf-8")) for name, file in study_files().items()}


def study_size(name: str) -> str:
    """Return `110 training runs, about 15 minutes on 2 cores`, the second comment line of a built-in study."""
    return _first_line(study_yaml(name).partition("\n")[2]).rstrip(".")


def _first_line(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ").rstrip()


def study_yaml(name: str) -> str:
    """Return a built-in study as YAML with its comments, ready to edit.

    Raises:
        SpecError: There is none of that name. The text holds the nearest one.
    """
    files = study_files()
    if name not in files:
        raise SpecError(unknown_name("study", name, list(files)))
    return files[name].read_text(encoding="utf-8")
