"""The `data:` part of a study: a phantom, or images from files whose place and columns are checked here."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from assay.core.data_spec import DataSpec, FactorSpec
from assay.core.document import Keys, mapping_of
from assay.core.errors import SpecError, nearest
from assay.core.explain import checked
from assay.core.factors import LESION, has_masks, is_coco
from assay.core.paths import filled
from assay.core.problems import Problems, shorten
from assay.core.surface import component, conditions, located, section

SOURCES = ("phantom", "dataset", "folder", "classes", "medmnist")
PHANTOM_ONLY = ("core", "train", "validation", "test")
FILES_ONLY = (
    "table", "further", "image", "mask", "mask_format", "mask_values", "mask_inverted", "unmasked", "patient",
    "positive", "channels", "factors", "where", "split", "preprocessing", "pixel_size", "boxes",
)  # fmt: skip
TABLE_ONLY = (
    "target", "table", "further", "image", "mask", "mask_format", "mask_values", "mask_inverted", "unmasked", "patient",
    "positive", "factors", "pixel_size", "boxes",
)  # fmt: skip


def data_section(value: Any, problems: Problems, keys: Keys = ("data",)) -> DataSpec | None:
    """Where images come from, with paths made absolute and the table's header checked against the columns named."""
    given = dict(section(value, keys, problems, "`key: value` pairs such as {phantom: nodule, size: 64}"))
    named = [name for name in SOURCES if given.get(name)]
    if len(named) != 1:
        what = f"images come from {' and '.join(named)}" if named else "nothing says where images come from"
        problems.add(keys, "", f"{what}; expected one of {', '.join(SOURCES)}")
        return None
    before = len(problems.found)
    _check_belonging(given, named[0], keys, problems)
    if named[0] in ("phantom", "dataset"):
        given[named[0]] = component(named[0], given[named[0]], (*keys, named[0]), problems)
    else:
        given[named[0]] = located(given[named[0]], (*keys, named[0]), problems)
    if given[named[0]] is None:
        return None
    if "where" in given:
        given["where"] = conditions(given["where"], (*keys, "where"), problems)
    divided = mapping_of(given.get("split"))
    if divided is not None and "test_only" in divided:
        only = conditions(divided["test_only"], (*keys, "split", "test_only"), problems)
        given["split"] = {**divided, "test_only": only}
    if isinstance(given.get("positive"), (str, int, float)):
        given["positive"] = [str(given["positive"])]
    if mapping_of(given.get("factors")) is not None:
        given["factors"] = _factors(given["factors"], (*keys, "factors"), problems)
    data = checked(DataSpec, given, keys, problems)
    if data is not None and data.folder and len(problems.found) == before:
        check_table(data, problems, keys)
    elif data is not None and data.classes and len(problems.found) == before:
        _check_no_columns(data, "folders of classes", "give `folder` and a CSV", problems, keys)
    return data


def _check_belonging(given: Mapping[str, Any], source: str, keys: Keys, problems: Problems) -> None:
    wrong = FILES_ONLY if source == "phantom" else PHANTOM_ONLY
    named = [name for name in wrong if name in given]
    if named:
        kind, also = ("images from files", "") if source == "phantom" else ("phantoms", ", which `split` divides")
        text = f"{', '.join(named)}: for {kind} only; images of this study come from {source}{also}"
        problems.add((*keys, named[0]), "", text)
    known = [name for name in TABLE_ONLY if source == "dataset" and name in given]
    if known:
        text = f"{', '.join(known)}: for a table of your own; a dataset's columns are known, its target is an argument"
        problems.add((*keys, known[0]), "", text)


def _factors(value: dict[str, Any], keys: Keys, problems: Problems) -> dict[str, FactorSpec]:
    """`sex: categorical` is short for `sex: {kind: categorical}`; levels are text as the table has them."""
    made: dict[str, FactorSpec] = {}
    for name, item in value.items():
        fields = {"kind": item} if isinstance(item, str) else section(item, (*keys, name), problems, "{kind: ordinal}")
        fields = {key: _texts(part) if key in ("levels", "high") else part for key, part in fields.items()}
        at = keys if isinstance(item, str) else (*keys, name)
        spec = checked(FactorSpec, fields, (*at, name) if isinstance(item, str) else at, problems)
        if spec is not None:
            stray = [level for level in spec.high if spec.levels and level not in spec.levels]
            for level in stray:
                problems.add((*keys, name, "high"), level, f"not a level of '{name}': {shorten(spec.levels)}")
            made[name] = spec
    return made


def _texts(value: Any) -> Any:
    items = cast(list[Any], value if isinstance(value, list) else [value])
    return [str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item for item in items]


def check_table(data: DataSpec, problems: Problems, keys: Keys = ("data",)) -> None:
    """Every column that the spec names stands in the header of the table."""
    if not data.table:
        given = data if data.target != LESION.name else data.model_copy(update={"target": ""})
        _check_no_columns(given, "images/ beside masks/", "name a CSV of the folder in data.table", problems, keys)
        return
    if is_coco(data):
        return
    path = filled(data.folder, problems.document.folder) / data.table
    if not path.is_file():
        near = nearest(path.name, [item.name for item in path.parent.glob("*.csv")]) if path.parent.is_dir() else None
        hint = f"did you mean '{near}'?" if near else "images and masks without a table: table: ''"
        problems.add((*keys, "table"), data.table, "there is no such file in the folder", hint)
        return
    header = read_header(path)
    for name in data.further:
        beside = path.parent / name
        if not beside.is_file():
            problems.add((*keys, "further"), name, "there is no such file in the folder")
            return
        header = [*header, *read_header(beside), "table"]
    if data.boxes and not (path.parent / data.boxes.table).is_file():
        problems.add((*keys, "boxes", "table"), data.boxes.table, "there is no such file in the folder")
    derived = LESION.name if has_masks(data) else ""
    for at, column in _columns(data):
        if column and column not in header and (at, column) != (("target",), derived):
            near = nearest(column, header)
            hint = f"did you mean '{near}'?" if near else f"columns: {shorten(header)}"
            if derived and at == ("target",):
                hint = f"with masks `target: {derived}` is whether one shows any; {hint}"
            problems.add((*keys, *at), column, f"{path.name} has no column '{column}'", hint)


def undeclared_columns(data: DataSpec) -> tuple[str, ...]:
    """The columns of the study's tables that have no part in it: no factor, and nothing else that the spec names."""
    names = [data.table, *data.further] if data.folder and data.table and not is_coco(data) else []
    tables = [path for name in names if (path := filled(data.folder) / name).is_file()]
    named = {"", *(column for at, column in _columns(data) if at[0] != "where")}
    header = [*(name for path in tables for name in read_header(path)), *(["table"] if data.further else [])]
    return tuple(dict.fromkeys(name for name in header if name not in named))


def undeclared(name: str, columns: Iterable[str], keys: Keys, problems: Problems) -> bool:
    """Whether what is used as a factor is a column that was not declared: noted where it is first used, and once."""
    if name not in columns:
        return False
    what = f"'{name}' is a column of the table, and no factor as long as it is not declared"
    remedy = f"declare it, data: {{factors: {{{name}: categorical}}}}, or continuous where it holds numbers"
    if all(problem.expected != what for problem in problems.found):
        problems.add(keys, "", what, remedy)
    return True


def _check_no_columns(data: DataSpec, source: str, instead: str, problems: Problems, keys: Keys) -> None:
    """Where there is no table, nothing that is said of its columns would be heeded."""
    for at, column in [*_columns(data), *((("further",), name) for name in data.further)]:
        if column and at[0] in data.model_fields_set:
            what = f"names a column, and {source} come without a table"
            problems.add((*keys, *at), column, what, f"leave it out, or {instead}")


def _columns(data: DataSpec) -> list[tuple[Keys, str]]:
    """The columns that a spec names, each under the keys that name it."""
    named = [((name,), getattr(data, name)) for name in ("image", "mask", "target", "patient", "pixel_size")]
    factors = [(("factors", name), factor.column or name) for name, factor in data.factors.items()]
    where = [(("where", name), _column(data, name)) for name in data.where]
    return [*named, *factors, *where, (("split", "column"), data.split.column)]


def _column(data: DataSpec, name: str) -> str:
    factor = data.factors.get(name)
    return (factor.column if factor else "") or name


def read_header(path: Path) -> list[str]:
    """The column names of a CSV file with commas, semicolons or tabs. Raises SpecError when it is not text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(100_000)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as a UTF-8 table: {error}") from None
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.reader([first], delimiter=delimiter))
    return [name.strip() for row in rows for name in row]
