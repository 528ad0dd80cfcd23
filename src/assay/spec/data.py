"""The data of a study: the `data` section, the header of its table, and the factors known before images are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from assay.core.errors import DataError, SpecError
from assay.core.files import fill_names, is_file, is_folder
from assay.core.registry import build, lookup
from assay.core.tables import header_of
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.spec.document import Keys, mapping_of
from assay.spec.issues import Issues, validated
from assay.spec.recipe import Component
from assay.spec.schema import DataSpec

# A study's factors before any image is read, from the phantom's declaration or from `factors:`.

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
    """Return the factors that are known without importing a phantom.

    Returns:
        Factor name -> factor: the columns that `factors:` declares, or the traits of a phantom or dataset, and
        `LESION` where masks decide the target. None for a phantom or dataset whose arguments decide them.
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
    traits = lookup(named.kind, named.name).traits
    if not isinstance(traits, DataTraits) or traits.factors is None:
        return None
    return {factor.name: factor for factor in traits.factors}


def has_grades(data: DataSpec) -> bool:
    """Return whether the classes of a public set are grades, in their order, by its traits."""
    traits = None if data.dataset is None else lookup("dataset", data.dataset.name).traits
    return isinstance(traits, DataTraits) and traits.ordered


def has_order(data: DataSpec) -> bool:
    """Return whether the classes have an order.

    They do where a grade is set from which images are positive, in a public set of grades, and where the target is an
    ordinal factor.
    """
    target = (declared_factors(data) or {}).get(data.target)
    return data.referable is not None or (target is not None and target.kind == "ordinal") or has_grades(data)


def has_masks(data: DataSpec) -> bool:
    """Return whether a table comes with masks: a column of them, or the outlines of a COCO file."""
    return bool(data.folder and (data.mask or is_coco(data)))


def is_coco(data: DataSpec) -> bool:
    """Return whether the table is a COCO file, which lists images and outlines together."""
    return data.table.casefold().endswith(".json")


def imported_factors(phantom: Component) -> dict[str, Factor]:
    """Return factor name -> factor of a phantom, which is imported."""
    phantom_built: Any = build("phantom", phantom.name, phantom.params)
    return {factor.name: factor for factor in cast(tuple[Factor, ...], phantom_built.factors)}


def refused_size(phantom: Component, size: int) -> str:
    """Explain why a phantom does not draw images of this size; "" where it does."""
    phantom_built: Any = build("phantom", phantom.name, phantom.params)
    try:
        phantom_built.scale(size)
    except SpecError as error:
        return str(error)
    return ""


def no_shares(factor: Factor) -> str:
    """Explain why an association by shares of high rows cannot be of this factor; "" where it can."""
    if factor.kind == "categorical":
        return ""
    kind = f"'{factor.name}' is {factor.kind}"
    return f"{kind}: shares of rows with the high level (`scheme: one-sided`) are for categorical factors"


def grouped_inputs(factors: Iterable[str]) -> list[str]:
    """Return the inputs of variance-based measures that are no factors: joined coordinates, and the nuisance seed."""
    return [*(name.removesuffix("_x") for name in factors if name.endswith("_x")), "nuisance seed"]


# The `data:` part of a study: a phantom, or images from files whose place and columns are checked here.

SOURCES = ("phantom", "dataset", "folder", "classes", "medmnist")
PHANTOM_ONLY = ("core", "train", "validation", "test")
TABLE = (
    "table", "further", "image", "mask", "mask_format", "mask_values", "mask_inverted", "unmasked", "unmatched",
    "matched", "joined_from", "patient", "unnamed", "positive", "factors", "pixel_size", "boxes",
)  # fmt: skip
OF_ANY_SET = ("size", "channels", "fit", "crop_share", "resize", "preprocessing", "referable")
"""Fields that a test set has from the training set where it does not write them."""
OF_A_TABLE = (
    "target", "image", "mask", "mask_format", "mask_values", "mask_inverted", "unmasked", "unmatched", "patient",
    "unnamed", "positive", "pixel_size", "links",
)  # fmt: skip
"""Such fields where both sets are tables of a folder."""
OF_TESTS = ("tests", "map", "numbering")
FILES_ONLY = (*TABLE, "guessed", "channels", "where", "split", "preprocessing", "fit", "crop_share", "resize", "links")


def data_section(value: Any, issues: Issues, keys: Keys = ("data",)) -> DataSpec | None:
    """Read where images come from, and compare the columns that are named with the table's header.

    Args:
        value: The section as written: of one set, or `{train: ..., tests: {name: ...}}`. Paths in it are made absolute.
        issues: The collection that issues are added to.
        keys: Where the section is written.

    Returns:
        The section, or None where anything is wrong with it. It is that of the training set, with the others in it.
    """
    sections = mapping_of(value) or {}
    train, tests = mapping_of(sections.get("train")), mapping_of(sections.get("tests"))
    if train is None or tests is None:
        if train is not None or "tests" in sections:
            what = "a training set and others to test on are written {train: {...}, tests: {name: {...}}}"
            issues.add(keys, "", what)
            return None
        return _parse_set(value, issues, keys, OF_TESTS)
    for key in sections.keys() - {"train", "tests"}:
        issues.add((*keys, key), "", f"{key} is of one set: write it in train, and tests have it from there")
    base = _parse_set(train, issues, (*keys, "train"), OF_TESTS)
    sets = {name: _test_set(train, section, issues, (*keys, "tests", name)) for name, section in tests.items()}
    if base is None or not all(sets.values()):
        return None
    return base.model_copy(update={"tests": sets})


def _test_set(train: Mapping[str, Any], value: Any, issues: Issues, keys: Keys) -> DataSpec | None:
    """Read a set to test on, which has the fields of the training set that it does not write."""
    section = mapping_of(value) or {}
    tables = train.get("folder") and section.get("folder") and train.get("table") != "" != section.get("table")
    shared = (*OF_ANY_SET, *(OF_A_TABLE if tables else ()))
    if section.get("phantom"):
        issues.add((*keys, "phantom"), "", "a test set is of files; a phantom draws its own test images")
        return None
    data_set = _parse_set(
        {**{key: train[key] for key in shared if key in train}, **section}, issues, keys, ("tests", "split")
    )
    size = train.get("size", DataSpec.model_fields["size"].default)
    if data_set is not None and data_set.size != size:
        issues.add((*keys, "size"), data_set.size, f"the training set is read at {size} px, as its networks are")
    return data_set


def _parse_set(value: Any, issues: Issues, keys: Keys, refused: tuple[str, ...]) -> DataSpec | None:
    remedies = {
        "split": "every row of a test set is tested: leave it out, and choose rows by `where`",
        "tests": "a test set has no others to test on",
    }
    for key in (key_refused for key_refused in refused if key_refused in (mapping_of(value) or {})):
        issues.add((*keys, key), "", remedies.get(key, f"{key} is for a set in data.tests"))
    before = len(issues.entries)
    section = mapping_of({} if value is None else value)
    named = [name for name in SOURCES if (section or {}).get(name)]
    if section is not None and len(named) != 1:
        what = f"images come from {' and '.join(named)}" if named else "nothing says where images come from"
        issues.add(keys, "", f"{what}; expected one of {', '.join(SOURCES)}")
        return None
    if section is not None:
        _check_belonging(section, named[0], keys, issues)
    data = validated(DataSpec, value, keys, issues)
    if data is not None and len(issues.entries) == before:
        if data.folder:
            check_table(data, issues, keys)
        elif data.classes:
            _check_no_columns(data, "folders of classes", "give `folder` and a CSV", issues, keys)
    return data


def _check_belonging(section: Mapping[str, Any], source: str, keys: Keys, issues: Issues) -> None:
    """Refuse keys that only images from another source have."""
    kind, also = ("images from files", "") if source == "phantom" else ("phantoms", ", which `split` divides")
    remedy = f"for {kind} only; images of this study come from {source}{also}"
    remedies = "for a table of your own; a dataset's columns are known, its target is an argument"
    others = [(FILES_ONLY if source == "phantom" else PHANTOM_ONLY, remedy)]
    others += [(("target", *TABLE), remedies)] if source == "dataset" else []
    for names, why in others:
        named = [name for name in names if name in section]
        if named:
            issues.add((*keys, named[0]), "", f"{', '.join(named)}: {why}")


def check_table(data: DataSpec, issues: Issues, keys: Keys = ("data",)) -> None:
    """Check that every column that the spec names is in the header of the table."""
    if not data.table:
        without_lesion = data if data.target != LESION.name else data.model_copy(update={"target": ""})
        _check_no_columns(
            without_lesion, "images/ beside masks/", "name a CSV of the folder in data.table", issues, keys
        )
        return
    if is_coco(data):
        return
    path = fill_names(data.folder, issues.document.folder) / data.table
    if not is_file(path):
        tables = sorted(item.name for item in path.parent.glob("*.csv")) if is_folder(path.parent) else []
        remedy = f"write table: {tables[0]}" if tables else "images and masks without a table: table: ''"
        issues.add((*keys, "table"), data.table, "there is no such file in the folder", remedy, tables)
        return
    header = read_header(path)
    for name in data.further:
        column_file = path.parent / name
        if not is_file(column_file):
            issues.add((*keys, "further"), name, "there is no such file in the folder")
            return
        header = [*header, *read_header(column_file), "table"]
    if data.boxes and not is_file(path.parent / data.boxes.table):
        issues.add((*keys, "boxes", "table"), data.boxes.table, "there is no such file in the folder")
    derived = LESION.name if has_masks(data) else ""
    for at, column in _columns(data):
        if column and column not in header and (at, column) != (("target",), derived):
            remedy = f"with masks `target: {derived}` is whether one shows any" if derived and at == ("target",) else ""
            if at == ("image",):
                remedy = "write image: and the column that names the files"
            value, what = column, f"{path.name} has no column '{column}'"
            if at == ("target",) and "target" not in data.model_fields_set and not remedy:
                value, what = "", "no column to predict is named"
                remedy = 'write target: COLUMN (in Python {"table": frame, "target": "COLUMN"})'
            issues.add((*keys, *at), value, what, remedy, header)


def name_of_target(data: DataSpec) -> str:
    """Return the name of the target for readers: that of its column, and `class` where no table names one."""
    return "class" if data.dataset or data.medmnist or data.classes else data.target


def undeclared_columns(data: DataSpec) -> tuple[str, ...]:
    """Return the columns of the study's tables that the spec does not name."""
    names = [data.table, *data.further] if data.folder and data.table and not is_coco(data) else []
    tables = [path for name in names if is_file(path := fill_names(data.folder) / name)]
    named = {"", *(column for at, column in _columns(data) if at[0] != "where")}
    header = [*(name for path in tables for name in read_header(path)), *(["table"] if data.further else [])]
    return tuple(dict.fromkeys(name for name in header if name not in named))


def is_undeclared(name: str, columns: Iterable[str], keys: Keys, issues: Issues) -> bool:
    """Return whether a name is an undeclared column; the issue is added where the column is first used."""
    if name not in columns:
        return False
    what = f"'{name}' is a column of the table, and no factor as long as it is not declared"
    remedy = f"declare it, data: {{factors: {{{name}: categorical}}}}, or continuous where it holds numbers"
    if all(issue.expected != what for issue in issues.entries):
        issues.add(keys, "", what, remedy)
    return True


def _check_no_columns(data: DataSpec, source: str, instead: str, issues: Issues, keys: Keys) -> None:
    """Refuse names of columns where there is no table."""
    for at, column in [*_columns(data), *((("further",), name) for name in data.further)]:
        if column and at[0] in data.model_fields_set:
            what = f"names a column, and {source} come without a table"
            issues.add((*keys, *at), column, what, f"leave it out, or {instead}")


def _columns(data: DataSpec) -> list[tuple[Keys, str]]:
    """Return the columns that a spec names, each with the keys that name it."""
    named = [((name,), getattr(data, name)) for name in ("image", "mask", "target", "patient", "pixel_size")]
    factors = [(("factors", name), factor.column or name) for name, factor in data.factors.items()]
    where = [(("where", name), _column(data, name)) for name in data.where]
    return [*named, *factors, *where, (("split", "column"), data.split.column)]


def _column(data: DataSpec, name: str) -> str:
    factor = data.factors.get(name)
    return (factor.column if factor else "") or name


def read_header(path: Path) -> list[str]:
    """Read the column names of a CSV file. Raises SpecError where it is no text."""
    try:
        return header_of(path)
    except (OSError, DataError) as error:
        raise SpecError(str(error)) from None
