"""Check the sections of a study file: keys, `data:`, nested components and factors."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from assay.core.errors import SpecError, cut, nearest, unknown_name
from assay.core.files import begins_with_variable, filled, is_file, is_folder, unset
from assay.core.registry import Entry, Params, build, entries, lookup
from assay.core.traits import KINDS, ComponentKind
from assay.core.types import Factor
from assay.spec.document import Keys, mapping_of
from assay.spec.grid import label
from assay.spec.issues import Issues, checked, hint, shorten
from assay.spec.schema import Component, ContrastSpec, DataSpec, FactorSpec, RecipeSpec

# From the words of a study file to the models of `spec.schema`: components, recipes, conditions, contrasts.
#
# Each function notes what is wrong under its keys and returns None, so that independent mistakes are told together.


def component(kind: ComponentKind, value: Any, keys: Keys, issues: Issues) -> Component | None:
    """`supcon`, `{supcon: {temperature: 0.1}}` or a dotted path, with its arguments checked."""
    mapping = mapping_of(value)
    if isinstance(value, str) and value:
        name, given, inside = value, {}, keys
    elif mapping is not None and len(mapping) == 1:
        ((name, given),) = mapping.items()
        inside = (*keys, name)
    else:
        shape = f"expected the name of one {kind}, or {{name: {{argument: value}}}}"
        issues.add(keys, value, shape, hint(value))
        return None
    entry = entry_of(kind, name, name, keys, issues)
    arguments = {} if given is None else mapping_of(given)
    if entry is None:
        return None
    if arguments is None:
        known = shorten(list(entry.params.model_fields)) or "none"
        issues.add(inside, given, f"expected {{argument: value}}; arguments of {kind} '{name}': {known}")
        return None
    arguments = _with_paths(entry.params, arguments, inside, issues)
    if arguments is None or not check_arguments(entry, arguments, inside, issues):
        return None
    return Component(kind=kind, name=name, params=arguments)


def check_arguments(entry: Entry, arguments: Mapping[str, Any], keys: Keys, issues: Issues) -> bool:
    """Check names, types and ranges of a component's arguments; those that need its code are compared later.

    Returns:
        Whether nothing is wrong so far.
    """
    if checked(entry.params, arguments, keys, issues) is None:
        return False
    if entry.indexed and arguments and entry.arguments().compares:
        issues.later.append(lambda: _compare(entry, arguments, keys, issues))
    return True


def _compare(entry: Entry, arguments: Mapping[str, Any], keys: Keys, issues: Issues) -> None:
    checked(entry.complete().model, arguments, keys, issues)


def _with_paths(
    params: type[Params], arguments: Mapping[str, Any], keys: Keys, issues: Issues
) -> dict[str, Any] | None:
    """The arguments with the paths of files among them as `located` gives them; None when one is not there."""
    paths = (*params.file_hashes, *params.folders)
    given = {name: arguments[name] for name in paths if arguments.get(name)}
    found = {name: located(value, (*keys, name), issues) for name, value in given.items()}
    return None if None in found.values() else {**arguments, **found}


def located(value: Any, keys: Keys, issues: Issues) -> str | None:
    """A path as it is to be read later: absolute, but as written where it begins with a variable.

    Relative paths start from the study file's folder. A path to nothing is noted, and None returned.
    """
    if not isinstance(value, str):
        issues.add(keys, value, "expected a path")
        return None
    missing = unset(value)
    for name in missing:
        issues.add(keys, value, f"the variable {name} is not set", f"export {name}=<folder>, or write the path itself")
    if missing:
        return None
    path = filled(value, issues.document.folder)
    if not (is_file(path) or is_folder(path)):
        near = _beside(path)
        issues.add(keys, value, "there is no such file or folder", f"did you mean '{near}'?" if near else "")
        return None
    return value if begins_with_variable(value) else str(path)


def _beside(path: Path) -> str | None:
    """What lies where a path points to that may have been meant: of files named alike one of its kind, or a folder."""
    there = sorted(path.parent.iterdir()) if is_folder(path.parent) else []
    there = [item for item in there if path.suffix or item.is_dir()]
    there.sort(key=lambda item: item.suffix.lower() == path.suffix.lower())  # of one name the last is kept
    alike = {item.stem: item.name for item in there}
    near = nearest(path.stem, alike)
    return alike[near] if near else None


def entry_of(kind: ComponentKind, name: str, given: str, keys: Keys, issues: Issues) -> Entry | None:
    """The registered component of that name, or the user's own at a dotted path."""
    try:
        return lookup(kind, name)
    except SpecError as error:
        names = [entry.name for entry in entries(kind)]
        near = nearest(name, names)
        meant = f": did you mean '{near}'?" if near else ""
        if ":" in name:
            issues.add(keys, given, str(error))
        else:
            own = f"allowed: {shorten(names, 20)}; your own as package.module:name"
            issues.add(keys, given, f"unknown {kind} '{cut(name)}'{meant}", own)
    except Exception as error:  # a user's module may fail in any way when it is imported
        issues.add(keys, given, f"importing it failed: {type(error).__name__}: {error}")
    return None


def components(kind: ComponentKind, value: Any, keys: Keys, issues: Issues) -> tuple[Component, ...] | None:
    """A list of components, each at most once."""
    if not isinstance(value, list):
        issues.add(keys, value, f"expected a list of {kind}s, such as [{_example(kind)}]")
        return None
    made = [component(kind, item, (*keys, i), issues) for i, item in enumerate(cast(list[Any], value))]
    for i, one in enumerate(made):
        if one is not None and one in made[:i]:
            issues.add((*keys, i), one.label, f"this {kind} stands twice; keep one")
    whole = tuple(one for one in made if one is not None)
    return whole if len(whole) == len(made) else None


def _example(kind: ComponentKind) -> str:
    return ", ".join(entry.name for entry in entries(kind)[:2])


def section(value: Any, keys: Keys, issues: Issues, what: str) -> dict[str, Any]:
    """A mapping; anything else is noted, nothing is an empty one."""
    mapping = {} if value is None else mapping_of(value)
    if mapping is None:
        issues.add(keys, value, f"expected {what}", hint(value))
        return {}
    return mapping


def recipe(value: Any, keys: Keys, issues: Issues) -> RecipeSpec | None:
    """A recipe at one point of the grid."""
    given = section(value, keys, issues, "`key: value` pairs such as {loss: cross-entropy, epochs: 20}")
    made: dict[str, Any] = {}
    for name, item in given.items():
        if name == "augmentation":
            made[name] = components("augmentation", item, (*keys, name), issues)
        elif name == "initialisation":
            made[name] = initialisation(item, (*keys, name), issues)
        elif name in KINDS and name in RecipeSpec.model_fields:
            made[name] = component(cast(ComponentKind, name), item, (*keys, name), issues)
        else:
            made[name] = item
    present = {name: item for name, item in made.items() if item is not None or given[name] is None}
    parsed = checked(RecipeSpec, present, keys, issues)
    return parsed if len(present) == len(made) else None


def initialisation(value: Any, keys: Keys, issues: Issues) -> Component | None:
    """A registered initialisation, or the name of one of the study's `sources`, trained or given a name there."""
    sources = mapping_of(issues.document.values.get("sources")) or {}
    if isinstance(value, str) and value in sources:
        named = mapping_of(sources[value]) or {}
        if "initialisation" in named:
            return named_start(value, named["initialisation"], issues)
        return Component(kind="initialisation", name="source", params={"name": value})
    near = nearest(value, sources) if isinstance(value, str) else None
    if near and value not in [entry.name for entry in entries("initialisation")]:
        issues.add(keys, value, f"unknown initialisation '{cut(value)}': did you mean the source '{near}'?")
        return None
    made = component("initialisation", value, keys, issues)
    if made is not None and made.name == "source":
        what = f"a source is named like any other start: {shorten(list(sources)) or 'this study has no `sources`'}"
        issues.add(keys, value, what)
        return None
    return _statistics(made, value, keys, issues)


def _statistics(made: Component | None, value: Any, keys: Keys, issues: Issues) -> Component | None:
    """`{random-statistics: {source: natural}}` as the start that is meant: of a source that the study trains. Every
    other initialisation as it is.
    """
    of = str(made.params.get("source", "")) if made is not None and made.name == "random-statistics" else ""
    if not of:
        return made
    sources = mapping_of(issues.document.values.get("sources")) or {}
    trained = [name for name, item in sources.items() if "initialisation" not in (mapping_of(item) or {})]
    beside = sorted(set(dict[str, Any](value["random-statistics"])) - {"source"})
    if of not in trained:
        what = unknown_name("source", of, trained) if trained else "this study trains no source; give a file's `path`"
        issues.add((*keys, "random-statistics", "source"), of, what)
    elif beside:
        what = f"a source says all of {beside[0]} itself; leave it out, or `source`"
        issues.add((*keys, "random-statistics", beside[0]), value["random-statistics"][beside[0]], what)
    else:
        return Component(kind="initialisation", name="source", params={"name": of, "statistics": True})
    return None


def named_start(name: str, value: Any, issues: Issues) -> Component | None:
    """The initialisation that `sources: {name: {initialisation: ...}}` gives a name to; never another such name."""
    keys: Keys = ("sources", name, "initialisation")
    made = component("initialisation", value, keys, issues)
    if made is not None and made.name == "source":
        issues.add(keys, value, "expected a start that is not trained here, such as {file: {path: weights.pt}}")
        return None
    return _statistics(made, value, keys, issues)


_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def as_number(value: Any) -> float | None:
    """Return a number, or the number that a text is in YAML (`1e-3` in quotes).

    Returns:
        None for all else: truth values, and `0.0_9`, which is a number to Python alone.
    """
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)


def conditions(value: Any, keys: Keys, issues: Issues) -> dict[str, Any]:
    """Row conditions as `factor -> list of values` or `factor -> {min, max}`; one value is a list of one."""
    given = section(value, keys, issues, "{factor: value, factor: [values] or factor: {min: 0, max: 1}}")
    made: dict[str, Any] = {}
    for name, item in given.items():
        bounds = mapping_of(item)
        if bounds is None:
            made[name] = item if isinstance(item, list) else [item]
            if item is None or made[name] == []:
                issues.add((*keys, name), item, "expected a value, a list of values, or {min: 0, max: 1}")
            continue
        made[name] = _bounds(bounds, (*keys, name), issues)
    return made


def _bounds(given: Mapping[str, Any], keys: Keys, issues: Issues) -> dict[str, Any]:
    """{min, max} with numbers, or with level names of an ordinal factor."""
    for name, item in given.items():
        if name not in ("min", "max"):
            issues.unknown_key((*keys, name), ("min", "max"))
        elif isinstance(item, bool) or not isinstance(item, (int, float, str)):
            issues.add((*keys, name), item, "expected a number, or a level of an ordinal factor", hint(item))
    least, most = as_number(given.get("min")), as_number(given.get("max"))
    if least is not None and most is not None and least > most:
        issues.add(keys, dict(given), "min lies above max, so that no row is left")
    return {name: item if as_number(item) is None else as_number(item) for name, item in given.items()}


def contrast(value: Any, keys: Keys, issues: Issues) -> ContrastSpec | None:
    """One stated comparison; labels may be written as the values they are."""
    given = dict(section(value, keys, issues, "{axis: loss, against: cross-entropy, measure: auroc}"))
    if "against" in given:
        given["against"] = label(given["against"])
    if isinstance(given.get("levels"), list):
        given["levels"] = [label(item) for item in cast(list[Any], given["levels"])]
    if "where" in given:
        where = section(given["where"], (*keys, "where"), issues, "{axis: value}")
        for name, item in where.items():
            if isinstance(item, list):
                issues.add((*keys, "where", name), item, "expected one value; leave it out to compare at every value")
        given["where"] = {name: label(item) for name, item in where.items() if not isinstance(item, list)}
    return checked(ContrastSpec, given, keys, issues)


# What is known about a study's factors before any image is read: from the phantom's declaration or the `factors:`.

LESION = Factor(
    "lesion",
    "categorical",
    "core",
    levels=("absent", "present"),
    high=("present",),
    description="whether the mask shows any",
)
"""What masks say of a whole image, where it is the target."""


def declared_factors(data: DataSpec) -> dict[str, Factor] | None:
    """Factor name -> factor, as far as nothing heavy need be imported: the columns that `factors:` declares, or what a
    phantom's or a dataset's Params hold as `FACTORS` (of the class, or a property where arguments decide them), and
    `LESION` where masks decide the target. None for one that does not declare them there.
    """
    named = data.phantom or data.dataset
    if named is None:
        masked = data.folder and (not data.table or (has_masks(data) and data.target == LESION.name))
        return {
            **({LESION.name: LESION} if masked else {}),
            **{
                name: Factor(name, spec.kind, unit=spec.unit, levels=spec.levels, high=spec.high)
                for name, spec in data.factors.items()
            },
        }
    params = lookup(named.kind, named.name).params
    if not hasattr(params, "FACTORS"):
        return None
    declared = cast(tuple[Factor, ...], getattr(params.model_validate(dict(named.params)), "FACTORS", ()))
    return {factor.name: factor for factor in declared}


def has_grades(data: DataSpec) -> bool:
    """Whether the classes of a public set are grades, in their order, as its Params say (`ordered`)."""
    return data.dataset is not None and bool(getattr(lookup("dataset", data.dataset.name).params, "ordered", False))


def has_order(data: DataSpec) -> bool:
    """Whether the data vouch for the order of their classes: by where grades are cut in two, as a public set of grades,
    or by a target that is an ordinal factor.
    """
    target = (declared_factors(data) or {}).get(data.target)
    return data.referable is not None or (target is not None and target.kind == "ordinal") or has_grades(data)


def has_masks(data: DataSpec) -> bool:
    """Whether a table comes with masks: a column of them, or the outlines of a COCO file."""
    return bool(data.folder and (data.mask or is_coco(data)))


def is_coco(data: DataSpec) -> bool:
    """Whether the table is a COCO file, which lists images and outlines together."""
    return data.table.casefold().endswith(".json")


def imported_factors(phantom: Component) -> dict[str, Factor]:
    """Factor name -> factor of a phantom, from the phantom itself."""
    made: Any = build("phantom", phantom.name, phantom.params)
    return {factor.name: factor for factor in cast(tuple[Factor, ...], made.factors)}


def refused_size(phantom: Component, size: int) -> str:
    """Why a phantom does not draw images of this size; empty where it does."""
    made: Any = build("phantom", phantom.name, phantom.params)
    try:
        made.scale(size)
    except SpecError as error:
        return str(error)
    return ""


def no_shares(factor: Factor) -> str:
    """Why an association by shares of high rows cannot be of this factor; empty where it can."""
    if factor.kind == "categorical":
        return ""
    kind = f"'{factor.name}' is {factor.kind}"
    return f"{kind}: shares of rows with the high level (`scheme: one-sided`) are for categorical factors"


def grouped(factors: Iterable[str]) -> list[str]:
    """What a variance-based measure names besides factors: coordinates as one input, and the nuisance seed."""
    return [*(name.removesuffix("_x") for name in factors if name.endswith("_x")), "nuisance seed"]


# The `data:` part of a study: a phantom, or images from files whose place and columns are checked here.

SOURCES = ("phantom", "dataset", "folder", "classes", "medmnist")
PHANTOM_ONLY = ("core", "train", "validation", "test")
FILES_ONLY = (
    "table", "further", "image", "mask", "mask_format", "mask_values", "mask_inverted", "unmasked", "patient",
    "unnamed", "positive", "channels", "factors", "where", "split", "preprocessing", "fit", "crop_share",
    "links", "pixel_size", "boxes",
)  # fmt: skip
TABLE_ONLY = (
    "target", "table", "further", "image", "mask", "mask_format", "mask_values", "mask_inverted", "unmasked", "patient",
    "unnamed", "positive", "factors", "pixel_size", "boxes",
)  # fmt: skip


def data_section(value: Any, issues: Issues, keys: Keys = ("data",)) -> DataSpec | None:
    """Where images come from, with paths made absolute and the table's header checked against the columns named."""
    given = dict(section(value, keys, issues, "`key: value` pairs such as {phantom: nodule, size: 64}"))
    named = [name for name in SOURCES if given.get(name)]
    if len(named) != 1:
        what = f"images come from {' and '.join(named)}" if named else "nothing says where images come from"
        issues.add(keys, "", f"{what}; expected one of {', '.join(SOURCES)}")
        return None
    before = len(issues.found)
    _check_belonging(given, named[0], keys, issues)
    if named[0] in ("phantom", "dataset"):
        given[named[0]] = component(named[0], given[named[0]], (*keys, named[0]), issues)
    else:
        given[named[0]] = located(given[named[0]], (*keys, named[0]), issues)
    if given[named[0]] is None:
        return None
    if "where" in given:
        given["where"] = conditions(given["where"], (*keys, "where"), issues)
    divided = mapping_of(given.get("split"))
    if divided is not None and "test_only" in divided:
        only = conditions(divided["test_only"], (*keys, "split", "test_only"), issues)
        given["split"] = {**divided, "test_only": only}
    if isinstance(given.get("positive"), (str, int, float)):
        given["positive"] = [str(given["positive"])]
    if mapping_of(given.get("factors")) is not None:
        given["factors"] = _factors(given["factors"], (*keys, "factors"), issues)
    data = checked(DataSpec, given, keys, issues)
    if data is not None and data.folder and len(issues.found) == before:
        check_table(data, issues, keys)
    elif data is not None and data.classes and len(issues.found) == before:
        _check_no_columns(data, "folders of classes", "give `folder` and a CSV", issues, keys)
    return data


def _check_belonging(given: Mapping[str, Any], source: str, keys: Keys, issues: Issues) -> None:
    wrong = FILES_ONLY if source == "phantom" else PHANTOM_ONLY
    named = [name for name in wrong if name in given]
    if named:
        kind, also = ("images from files", "") if source == "phantom" else ("phantoms", ", which `split` divides")
        text = f"{', '.join(named)}: for {kind} only; images of this study come from {source}{also}"
        issues.add((*keys, named[0]), "", text)
    known = [name for name in TABLE_ONLY if source == "dataset" and name in given]
    if known:
        text = f"{', '.join(known)}: for a table of your own; a dataset's columns are known, its target is an argument"
        issues.add((*keys, known[0]), "", text)


def _factors(value: dict[str, Any], keys: Keys, issues: Issues) -> dict[str, FactorSpec]:
    """`sex: categorical` is short for `sex: {kind: categorical}`; levels are text as the table has them."""
    made: dict[str, FactorSpec] = {}
    for name, item in value.items():
        fields = {"kind": item} if isinstance(item, str) else section(item, (*keys, name), issues, "{kind: ordinal}")
        fields = {key: _texts(part) if key in ("levels", "high") else part for key, part in fields.items()}
        at = keys if isinstance(item, str) else (*keys, name)
        spec = checked(FactorSpec, fields, (*at, name) if isinstance(item, str) else at, issues)
        if spec is not None:
            stray = [level for level in spec.high if spec.levels and level not in spec.levels]
            for level in stray:
                issues.add((*keys, name, "high"), level, f"not a level of '{name}': {shorten(spec.levels)}")
            made[name] = spec
    return made


def _texts(value: Any) -> Any:
    items = cast(list[Any], value if isinstance(value, list) else [value])
    return [str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item for item in items]


def check_table(data: DataSpec, issues: Issues, keys: Keys = ("data",)) -> None:
    """Every column that the spec names stands in the header of the table."""
    if not data.table:
        given = data if data.target != LESION.name else data.model_copy(update={"target": ""})
        _check_no_columns(given, "images/ beside masks/", "name a CSV of the folder in data.table", issues, keys)
        return
    if is_coco(data):
        return
    path = filled(data.folder, issues.document.folder) / data.table
    if not is_file(path):
        near = nearest(path.name, [item.name for item in path.parent.glob("*.csv")]) if is_folder(path.parent) else None
        hint = f"did you mean '{near}'?" if near else "images and masks without a table: table: ''"
        issues.add((*keys, "table"), data.table, "there is no such file in the folder", hint)
        return
    header = read_header(path)
    for name in data.further:
        beside = path.parent / name
        if not is_file(beside):
            issues.add((*keys, "further"), name, "there is no such file in the folder")
            return
        header = [*header, *read_header(beside), "table"]
    if data.boxes and not is_file(path.parent / data.boxes.table):
        issues.add((*keys, "boxes", "table"), data.boxes.table, "there is no such file in the folder")
    derived = LESION.name if has_masks(data) else ""
    for at, column in _columns(data):
        if column and column not in header and (at, column) != (("target",), derived):
            near = nearest(column, header)
            hint = f"did you mean '{near}'?" if near else f"columns: {shorten(header)}"
            if derived and at == ("target",):
                hint = f"with masks `target: {derived}` is whether one shows any; {hint}"
            issues.add((*keys, *at), column, f"{path.name} has no column '{column}'", hint)


def undeclared_columns(data: DataSpec) -> tuple[str, ...]:
    """The columns of the study's tables that have no part in it: no factor, and nothing else that the spec names."""
    names = [data.table, *data.further] if data.folder and data.table and not is_coco(data) else []
    tables = [path for name in names if is_file(path := filled(data.folder) / name)]
    named = {"", *(column for at, column in _columns(data) if at[0] != "where")}
    header = [*(name for path in tables for name in read_header(path)), *(["table"] if data.further else [])]
    return tuple(dict.fromkeys(name for name in header if name not in named))


def undeclared(name: str, columns: Iterable[str], keys: Keys, issues: Issues) -> bool:
    """Whether what is used as a factor is a column that was not declared: noted where it is first used, and once."""
    if name not in columns:
        return False
    what = f"'{name}' is a column of the table, and no factor as long as it is not declared"
    remedy = f"declare it, data: {{factors: {{{name}: categorical}}}}, or continuous where it holds numbers"
    if all(issue.expected != what for issue in issues.found):
        issues.add(keys, "", what, remedy)
    return True


def _check_no_columns(data: DataSpec, source: str, instead: str, issues: Issues, keys: Keys) -> None:
    """Where there is no table, nothing that is said of its columns would be heeded."""
    for at, column in [*_columns(data), *((("further",), name) for name in data.further)]:
        if column and at[0] in data.model_fields_set:
            what = f"names a column, and {source} come without a table"
            issues.add((*keys, *at), column, what, f"leave it out, or {instead}")


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
