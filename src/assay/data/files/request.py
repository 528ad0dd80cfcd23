"""One `data` argument for every command and function: a path, a table in memory, or `data` of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import fill_names, is_file, no_file
from assay.data.files.guess import Guess, guess
from assay.data.files.in_memory import in_memory, on_disk
from assay.data.files.kinds import kind_named
from assay.data.files.labels import HEADERS
from assay.data.files.table import read_table, require_contained
from assay.spec.data import LESION
from assay.spec.schema import DataSpec

NAMED = ("target", "patient", "positive", "image", "mask", "labels", "columns", "unmatched", "unmasked", "links")
"""What a user may name apart from the images: options of the commands, and keywords in Python."""
_KINDS = "a path, a pandas DataFrame, a list of dicts, a dataset of PyTorch, or a mapping as `data:` of a study"


@dataclass(frozen=True)
class ImageReading:
    """Images as they are read.

    Attributes:
        data: `data` of a study.
        line: What was guessed; empty where nothing was.
        name: Name of a run folder for them.
        others: Columns that have no part in them, as `factors` of a study.
        of_masks: Whether the target is if a mask shows a lesion.
    """

    data: dict[str, Any]
    line: str = ""
    name: str = "frame"
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])
    of_masks: bool = False


def data_of(data: Any, place: str = "data", lenient: bool = False, **named: Any) -> ImageReading:
    """Return `data` of a study from whatever a user gives, with columns guessed that are not named.

    Args:
        data: A folder, a CSV, a table or dataset in memory, or `data` of a study. A mapping that names its target is
            taken as it is; of one with a table alone, what it does not name is guessed.
        place: What a user calls it, for errors.
        lenient: Whether what is named, and means nothing to such images, is left out in place of being refused.
        named: Names of columns and classes, see `NAMED`. `columns` become factors.

    Raises:
        SpecError: It is nothing of this kind, no column is surely the target, one is missing, or something is named
            that such images do not use.
        DataError: The table cannot be read.
    """
    if unknown := {*named} - {*NAMED}:
        raise TypeError(f"unknown names {sorted(unknown)}")
    named = {name: value for name, value in named.items() if value}
    wrong = [name for name, value in named.items() if not isinstance(value, str | os.PathLike | Sequence)]
    if wrong:
        raise SpecError(f"{wrong[0]} is {type(named[wrong[0]]).__name__}; give the name of a column")
    if isinstance(data, Mapping):
        return _of_keys({**cast("Mapping[str, Any]", data)}, place, named)
    if isinstance(data, str | os.PathLike) and data:
        return _of_path(Path(os.fspath(cast("str", data))), place, lenient, named)
    data = cast("Any", data)
    if data is None or not in_memory(data):
        kind = "empty" if isinstance(data, str) else type(data).__name__
        raise SpecError(f"{place} is {kind}; give {_KINDS}")
    return _of_keys({"table": data}, place, named, bare=True)


def _of_path(path: Path, place: str, lenient: bool, named: Mapping[str, Any]) -> ImageReading:
    if not fill_names(str(path)).exists():
        raise SpecError(f"{place}: {no_file(path)}")
    guessed = guess(path, lenient=lenient, **{name: value for name, value in named.items() if name != "unmasked"})
    data = {**guessed.data(), **_further(named)}
    columns = named.get("columns", ())
    if not columns and "labels" in named:
        columns = [name for name in HEADERS if name in guessed.columns]
    data = {**_with_factors(data, columns), "guessed": guessed.line}
    name = _result_name(fill_names(str(path)), guessed.folder.resolve().name)
    return ImageReading(data, guessed.line, name, _column_kinds(guessed), guessed.of_masks)


def _result_name(path: Path, folder: str) -> str:
    """Return the folder's name, with that of the table if there are others, whose results it must not replace."""
    others = path.is_file() and any(other != path for other in path.parent.glob(f"*{path.suffix}"))
    return f"{folder}-{path.stem}" if others else folder


def _of_keys(keys: dict[str, Any], place: str, named: Mapping[str, Any], bare: bool = False) -> ImageReading:
    """Return a mapping with what is named, and what is guessed of a table whose target nobody names."""
    if labels := named.get("labels"):
        raise SpecError(
            f"{key_text('--labels')}: labels ({labels}) are joined with the images of a folder; give its path"
        )
    named_columns = {name: named[name] for name in ("target", "patient", "image", "mask") if name in named}
    named_columns |= {"target": named_columns.get("target", LESION.name)} if "mask" in named_columns else {}
    named_columns |= _further(named)
    table, columns = keys.get("table"), named.get("columns", ())
    if isinstance(table, os.PathLike):
        keys["table"] = table = os.fspath(cast("os.PathLike[str]", table))
    if isinstance(table, str) and table and not keys.get("folder") and not _sources(keys):
        path = fill_names(table)
        keys |= {"folder": str(path.parent), "table": path.name}
    named_target, is_in_memory = keys.get("target"), in_memory(table)
    keys = cast("dict[str, Any]", on_disk(table if bare else keys, place, **named_columns))
    path = None if named_target else _table_of(keys)
    if path is None or (
        not is_in_memory and DataSpec.model_fields["target"].default in read_table(path, "image").header
    ):
        return ImageReading(_with_factors(keys, columns))
    hints = {name: keys[name] for name in ("target", "patient", "image", "mask", "unmatched", "links") if name in keys}
    guessed = _guess_table(path, is_in_memory, hints)
    keys = {**keys, **guessed.data()} if guessed.rows else {**guessed.data(), **keys}
    keys["guessed"] = guessed.line
    return ImageReading(
        _with_factors(keys, columns), guessed.line, others=_column_kinds(guessed), of_masks=guessed.of_masks
    )


def _guess_table(path: Path, is_in_memory: bool, named: Mapping[str, Any]) -> Guess:
    """Return what a table holds; errors on one that is kept in the cache do not name its file, which no user knows."""
    try:
        return guess(path, **named)
    except (SpecError, DataError) as error:
        if is_in_memory:
            error.args = (error.args[0].replace(f" of {path.parent}", "").replace(path.name, "the table"),)
        raise


def _column_kinds(guessed: Guess) -> dict[str, Any]:
    return {name: {"kind": kind.kind} for name, kind in guessed.columns.items()}


def _sources(keys: Mapping[str, Any]) -> list[str]:
    return [name for name in ("phantom", "dataset", "classes", "medmnist", "train") if keys.get(name)]


def _table_of(keys: Mapping[str, Any]) -> Path | None:
    """Return the CSV that `data` of a study names; None where images come otherwise."""
    table = keys.get("table", DataSpec.model_fields["table"].default)
    if _sources(keys) or not keys.get("folder") or not str(table).casefold().endswith(".csv"):
        return None
    folder = fill_names(str(keys["folder"]))
    if not is_file(folder / str(table)):
        return None
    return require_contained(folder, str(table), keys.get("links") == "follow")


def _further(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is named beside columns, as keys of `data`."""
    positives = named.get("positive", ())
    positive = {"positive": [positives] if isinstance(positives, str) else list(positives)} if positives else {}
    answers = {name: named[name] for name in ("unmatched", "unmasked") if named.get(name, "refuse") != "refuse"}
    return {**positive, **answers}


def _with_factors(data: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return `data` whose factors have their kinds where only their names are given.

    Raises:
        SpecError: There is no such column, or no table.
    """
    declared = data.get("factors", {})
    names: list[str] = [*(cast("Sequence[str]", declared) if isinstance(declared, list | tuple) else ()), *columns]
    if not names:
        return data
    if (path := _table_of(data)) is None:
        raise SpecError(f"{key_text('--columns')}: {', '.join(map(str, names))}: these images come without a table")
    read = read_table(path, str(data.get("image", "image")))

    def kind(name: str) -> str:
        return kind_named(name, read.column(name, key_text("--columns")), read.comma).kind

    kinds = {str(name): {"kind": kind(str(name))} for name in names}
    return {
        **data,
        "factors": {**kinds, **(cast("Mapping[str, Any]", declared) if isinstance(declared, Mapping) else {})},
    }
