"""List the images of a folder: with a CSV, with masks, or with one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from assay.core.errors import SpecError, key_text
from assay.core.files import IN_MEMORY, default_cache_root, is_file, label_of_path
from assay.core.types import Factor, FactorTable
from assay.data.cards import OWN_PATIENT, known_set
from assay.data.files.classes import Target, in_other_folders, target_column
from assay.data.files.decode import meaning_of
from assay.data.files.in_memory import own_path
from assay.data.files.joins import class_images, classes_said, mark_of_masks, outputs_in
from assay.data.files.kinds import (
    cautions_of,
    columns_left_out,
    doubtful,
    kind_of,
    notation_of,
    split_counts,
    without_name,
)
from assay.data.files.listing import Listing, frame_of, located, same_image
from assay.data.files.masks import (
    MaskAt,
    ask_unmasked,
    paired,
    read_boxes,
    row_masks,
    unmasked,
)
from assay.data.files.outlines import FILE_NAME, read_coco
from assay.data.files.restated import restated
from assay.data.files.roles import called_unit, holds_patients, parts_in, repeats_as_ids, suggest_names
from assay.data.files.table import (
    Problem,
    TextTable,
    Unreadable,
    Wrong,
    absent,
    as_rows,
    chosen,
    expand,
    factor_column,
    inside,
    level_codes,
    linked_out,
    merged,
    number,
    problems_of,
    read_table,
    require_contained,
    require_whole,
    same_value,
    shown,
    sorted_values,
    stacked,
)
from assay.spec.data import LESION, has_masks, is_coco, undeclared_columns
from assay.spec.issues import show
from assay.spec.schema import DataSpec, FactorSpec

# List a folder: images with a CSV, `images/` and `masks/` with equal stems, or one folder per class.

BY_MASK = Target(
    np.empty(0, dtype=np.int64),
    LESION.levels,
    "present where the mask shows a lesion",
    "an image whose mask shows a lesion",
)
"""The target where masks decide it."""
SHOWN = 6
"""Messages name the first values of a column and count the others."""
OWN = "\0"
"""The beginning of the name of a patient of its own, which no cell has."""
TABLE = "table"
"""The column that tells the tables of a study apart, where there are several."""


def _describe_conditions(spec: DataSpec, table: TextTable) -> str:
    """Requested and available values of each condition."""
    sentences: list[str] = []
    for name, wanted in spec.where.items():
        available = sorted({str(value) for value in table.column(name, "data.where")})
        more = f" and {len(available) - SHOWN} more" if len(available) > SHOWN else ""
        sentences.append(f"{name} {show(wanted)} was asked, the column has {', '.join(available[:SHOWN])}{more}")
    return "; ".join(sentences)


NO_ROWS = "it has a header and no rows"


def list_table(spec: DataSpec) -> Listing:
    """Return a CSV or a COCO file next to images.

    Raises:
        SpecError: For a wrong spec; single bad rows come as problems.
    """
    from assay.data.files.doubts import (  # here, as below: it loads for tables and folders alone
        in_no_row,
        named_otherwise,
    )

    folder = folder_of(spec.folder, key_text("data.folder"))
    path = _require_table(folder, spec)
    coco = read_coco(path, spec) if is_coco(spec) else None
    read = pasted(folder, path, spec) if coco is None else coco.images
    table = chosen(read, spec.where)
    names = table.column(spec.image if coco is None else FILE_NAME, key_text("data.image"))
    if not len(table) and not read.problems:
        fault = f"no row fits data.where: {_describe_conditions(spec, read)}" if spec.where else NO_ROWS
        raise SpecError(f"data.table: {spec.table} gives no images: {fault}")
    problems: list[Problem] = []
    places = (folder, *([folder / "images"] if coco is not None and (folder / "images").is_dir() else []))
    images = located(table, names, partial(_first, places, links=spec.links == "follow"), problems)
    masks, missing = row_masks(folder, spec, table, names, coco)
    problems += missing
    if coco is not None:
        numbers = set(table.numbers)
        problems += [problem for problem in coco.problems if problem.row in numbers]
    target = _target(spec, table, names, problems)
    boxes = None if spec.boxes is None else read_boxes(folder, spec.boxes, names)
    patient = _patient(spec, table, names, problems)
    factors, columns = _factors(spec, table, names, problems)
    default = "image" if coco is not None else "row" if _is_in_memory(spec) else "line"
    word = read.counted[0] or default
    codes = None if target is BY_MASK else target.codes
    problems += same_image(table, images, codes, target.classes, word, names)
    relative = partial(own_path, spec.folder)
    problems = [replace(problem, name=relative(problem.name)) for problem in problems]
    listing = Listing(
        title=folder.name,
        where=read.counted[1] or label_of_path(spec.table),
        word=word,
        frame=frame_of(
            table.numbers, name=list(map(relative, names)), image=images, mask=masks, target=codes, patient=patient
        ),
        classes=target.classes,
        factors=factors,
        columns=columns,
        problems=read.problems,
        lost=read.lost,
        facts=(target.rule,),
        read=_read(spec, table, target)
        | in_other_folders(target, names, f"{word} {{}}".format, table.numbers, table.name)
        | named_otherwise(table, names),
        question=target.question,
        warnings=(
            *(() if spec.patient else (OWN_PATIENT + _suggest_patient(spec, table, names),)),
            *_unnamed_note(spec, table),
            *(coco.warnings if coco else ()),
            *(() if masks is None else unmasked(masks, spec)),
        ),
        matched=(*(boxes.said if boxes else ()), *(() if read.counted[0] else in_no_row(read, images, folder))),
        about=known_set(folder.name, table.header),
        meaning=coco.meaning if coco else meaning_of(spec),
        boxes=boxes,
    )
    return _without_unmasked(_said_of_lesions(listing, spec).drop(problems)[0], spec)


def _is_in_memory(spec: DataSpec) -> bool:
    """Return whether the table was in memory, and is a file of the cache alone."""
    return Path(spec.folder).parent == default_cache_root() / IN_MEMORY


def _require_table(folder: Path, spec: DataSpec) -> Path:
    """Return the path of the table, which is within the folder, as that of boxes is."""
    path = folder / spec.table
    if not is_file(path):
        raise SpecError(
            f"data.table: {folder.name}/ has no file '{spec.table}'; name its CSV, or '' for images/ + masks/"
        )
    for name in (spec.table, *([spec.boxes.table] if spec.boxes else [])):
        require_contained(folder, name, spec.links == "follow")
    return path


def _first(places: Sequence[Path], cell: str, links: bool) -> Path:
    for place in places[:-1]:
        with suppress(Unreadable):
            return inside(place, cell, links)
    return inside(places[-1], cell, links)


def _without_unmasked(listing: Listing, spec: DataSpec) -> Listing:
    """Return the listing without images that have no mask, counted, if the spec leaves them out."""
    if spec.unmasked != "leave-out" or "mask" not in listing.frame:
        return listing
    masked = np.flatnonzero([mask is not None for mask in listing.frame["mask"]])
    dropped = len(listing) - len(masked)
    facts = (f"{dropped:,} images without a mask were left out",) if dropped else ()
    return replace(listing.take(masked), facts=(*listing.facts, *facts))


def _said_of_lesions(listing: Listing, spec: DataSpec) -> Listing:
    """Where a column `lesion` of absent and present, or of no and yes, is the target of images with masks, it is
    derived from the masks, and a factor by which environments can choose as well. Other meanings of the word are free.
    """
    plain = listing.classes in (LESION.levels, (f"not {LESION.name}", LESION.name))
    if spec.target != LESION.name or "mask" not in listing.frame or listing.target is None or not plain:
        return listing
    if any(factor.name == LESION.name for factor in listing.factors):
        return replace(listing, classes=LESION.levels)
    columns = {**listing.columns, LESION.name: listing.target}
    return replace(listing, classes=LESION.levels, factors=(*listing.factors, LESION), columns=columns)


def pasted(folder: Path, path: Path, spec: DataSpec) -> TextTable:
    """Return the table, and under it the rows of further ones: columns that one lacks are empty there, lines are
    numbered as if all were pasted one below the other, and a column `table` tells which file a row is of.

    Rows of a table that was in memory are counted from 1. A further table without the column of patients counts every
    image as a patient of its own.
    """
    first = read_table(path, spec.image)
    if not spec.further:
        return as_rows(first) if _is_in_memory(spec) else first
    tables = [first, *(read_table(_further(folder, name, spec.links == "follow"), spec.image) for name in spec.further)]
    if any(TABLE in table.header for table in tables):
        raise SpecError(f"data.further: a table has a column '{TABLE}', which is to tell the tables apart; rename it")
    for table in tables:
        if spec.patient and spec.patient not in table.frame:
            table.frame[spec.patient] = [f"{table.name} {line}" for line in table.frame.index]
        table.frame[TABLE] = table.name
    return stacked(" + ".join(table.name for table in tables), tables, headers=False)


def _further(folder: Path, name: str, links: bool) -> Path:
    if not is_file(folder / name):
        raise SpecError(f"data.further: {folder.name}/ has no file '{name}'; name a CSV that lies beside the table")
    return require_contained(folder, name, links)


def list_stems(spec: DataSpec) -> Listing:
    """`images/` and `masks/` with equal stems. The target is whether the mask shows a lesion."""
    folder = folder_of(spec.folder, key_text("data.folder"))
    for part in ("images", "masks"):
        if not (folder / part).is_dir():
            raise SpecError(f"data.folder: {folder.name}/ has no folder {part}/; add it, or name a CSV in data.table")
    mark = "" if mark_of_masks(folder / "images") else mark_of_masks(folder / "masks")
    pairs = paired(folder / "images", folder / "masks", folder, False, mark, unmatched=spec.unmatched)
    ask_unmasked(f"{folder.name}/masks/", pairs.names, pairs.masks, spec)
    warnings = (
        OWN_PATIENT + suggest_names(pairs.names),
        *_ignored_files_note(pairs.others),
        *unmasked(pairs.masks, spec),
    )
    listing = plain(folder, pairs.images, pairs.names, None, BY_MASK, warnings, pairs.masks)
    marked = (f"{mark} at the end of the names of masks is ignored",) if mark else ()
    listing = replace(listing, meaning=meaning_of(spec), matched=(*pairs.warnings, *pairs.said, *marked))
    files = {
        at: [path for path in pair if isinstance(path, Path)]
        for at, pair in enumerate(zip(pairs.images, pairs.masks, strict=True), start=1)
    }
    problems = [*pairs.problems, *linked_out(folder, files, spec.links == "follow")]
    return _without_unmasked(listing.drop(problems)[0], spec)


def list_classes(spec: DataSpec) -> Listing:
    """One folder per class, images anywhere below it."""
    from assay.data.files.doubts import repeated_folders

    folder = folder_of(spec.classes, "data.classes")
    folders, others, aside = class_images(folder)
    names = [path.name for path in folders]
    if len(names) < 2:
        raise SpecError(
            f"data.classes: {folder.name}/ holds {len(names)} folders; it needs one per class, at least two, "
            "or data.csv"
        )
    images: list[Path] = []
    labels: list[str] = []
    for path, files in folders.items():
        if not files:
            raise SpecError(
                f"data.classes: {folder.name}/{path.name}/ holds no image; put some there or remove the folder"
            )
        images += files
        labels += [path.name] * len(files)
    target = target_column(folder.name, spec.positive, labels, "data.classes")
    alike = {"read as one": f"folders {same}"} if (same := merged(names)) else {}
    alike = cautions_of({"folders": labels}, "" if target.question else "folders") | alike
    relative = tuple(str(path.relative_to(folder)) for path in images)
    warnings = (OWN_PATIENT + suggest_names(relative), *_ignored_files_note(sum(others.values())))
    listing = plain(folder, images, relative, target.codes, target, warnings)
    sentences = (classes_said(labels), *repeated_folders(relative), *aside, *outputs_in(folder))
    listing = replace(listing, read={**listing.read, **alike}, matched=sentences)
    files = {at: [path] for at, path in enumerate(images, start=1)}
    return listing.drop(linked_out(folder, files, spec.links == "follow"))[0]


def plain(
    folder: Path,
    images: Sequence[Path],
    names: Sequence[str],
    codes: np.ndarray | None,
    target: Target,
    warnings: tuple[str, ...],
    masks: Sequence[MaskAt] | None = None,
    place: str = "data.folder",
) -> Listing:
    """Return the listing of images without a table: numbered from 1, each of a patient of its own."""
    if not images:
        raise SpecError(f"{place}: {folder.name}/ holds no images")
    numbers = range(1, len(images) + 1)
    frame = frame_of(
        numbers, name=names, image=images, mask=masks, target=codes, patient=np.arange(len(images), dtype=np.int64)
    )
    read = {"positive class": target.positive}
    return Listing(
        folder.name,
        f"{folder.name}/",
        "file",
        frame,
        target.classes,
        facts=(target.rule,),
        read=read,
        question=target.question,
        warnings=warnings,
    )


def folder_of(text: str, place: str) -> Path:
    """Return the folder that a spec names.

    Raises:
        SpecError: If it does not exist or is a file.
    """
    path = expand(text, place)
    if not path.is_dir():
        raise SpecError(f"{place}: '{text}' is a file; give the folder that holds the images")
    return path


def _ignored_files_note(others: int) -> tuple[str, ...]:
    return (f"{others} files without an image's extension were not looked at",) if others else ()


def _target(spec: DataSpec, table: TextTable, names: Sequence[str], problems: list[Problem]) -> Target:
    if spec.target == LESION.name and has_masks(spec) and spec.target not in table.header:
        if LESION.name in spec.factors:
            raise SpecError("data.factors.lesion: that is what the masks say; give the factor another name")
        return BY_MASK
    cells = table.column(spec.target, key_text("data.target"))
    chosen_by = spec.where.get(spec.target, ())
    named = cast("Sequence[object]", chosen_by if isinstance(chosen_by, list | tuple) else [chosen_by])
    target = _target_by_levels(spec, cells) or target_column(spec.target, spec.positive, cells, named=named)
    if not spec.positive:
        from assay.data.files.polarity import with_doubt

        target = with_doubt(target, table, spec.target, key_text("data.target"))
    if len({*target.codes.tolist()} - {-1}) < 2 and len(table):
        require_whole(table)
        labels = ", ".join(f"only '{cell}'" for cell in sorted({*cells}) if not absent(cell)) or "none"
        raise SpecError(
            f"{key_text('data.target')}: column '{spec.target}' needs at least two different labels; found: {labels}"
        )
    wrong: Wrong = {
        at: (f"{spec.target} is missing{f' ({shown(cells[at])}, as in pandas)' if cells[at] else ''}", "label it")
        if absent(cells[at])
        else (f"{spec.target} is {shown(cells[at])}, the others are {_negated_names(target)}", "label it as they are")
        for at in np.flatnonzero(target.codes < 0).tolist()
    }
    problems += problems_of(table, names, wrong)
    return target


def _read(spec: DataSpec, table: TextTable, target: Target) -> dict[str, str]:
    """Return how the columns were read, as rows of `provenance`."""
    from assay.data.files.patients import patients_apart

    factors = {factor.column or name: factor for name, factor in spec.factors.items()}
    others = {name: table.column(name, "data.factors") for name in undeclared_columns(spec) if name in table.header}
    patients = _cells_of_patients(spec, table)
    kinds = {name: kind_of(name, cells, table.comma, patients) for name, cells in others.items()}
    reasons = {name: why for name, (kind, why) in kinds.items() if kind is None}
    reasons |= {name: why for name, why in restated(table, spec.target).items() if name in others}
    named = [name for name in (spec.target, *factors) if name in table.header]
    used = {name: table.column(name, "data.factors") for name in named}
    others = {name: cells for name, cells in others.items() if name not in reasons}
    unsure = [cautions_of(used, "" if target.question else spec.target), cautions_of(others, "", table.comma)]
    read = {"positive class": target.positive, **notation_of(table),
            **split_counts(table, spec.split.column, spec.target),
            **{key: "; ".join(each[key] for each in unsure if key in each) for key in {**unsure[0], **unsure[1]}},
            "columns left out": columns_left_out(reasons),
             **({} if spec.target in factors else _shares_as_classes(spec.target, target.classes))}  # fmt: skip
    read |= patients_apart(table, spec.patient, spec.image) if spec.patient in table.header else {}
    return {key: value for key, value in read.items() if value}


def _cells_of_patients(spec: DataSpec, table: TextTable) -> Sequence[str]:
    """Return the cells of the column of patients; empty where the table has none."""
    return table.column(spec.patient, "data.patient") if spec.patient in table.header else ()


def _shares_as_classes(name: str, classes: Sequence[str]) -> dict[str, str]:
    """Return the caution that classes are shares from 0 to 1, as means of readers are; empty of others."""
    shares = [share for value in classes if (share := number(value)) is not None]
    if len(shares) < max(3, len(classes)) or min(shares) < 0 or max(shares) > 1:
        return {}
    positive = ",".join(value for value, share in zip(classes, shares, strict=True) if share > 0.5)
    several = ", ".join([*classes[:4], *(["..."] if len(classes) > 4 else [])])
    option = f": name the positive ones with --positive {positive}" if positive else ""
    return {"shares as classes": f"{several} in {name} are classes of their own, not means of readers{option}"}


def _target_by_levels(spec: DataSpec, cells: Sequence[str]) -> Target | None:
    """By the levels of a target that is declared as an ordinal factor: all of them are classes, found or not."""
    factor = spec.factors.get(spec.target)
    if factor is None or factor.kind != "ordinal" or not factor.levels or spec.positive:
        return None
    codes, _ = level_codes(cells, factor.levels)
    return Target(codes, factor.levels, f"classes are the levels of '{spec.target}': {', '.join(factor.levels)}")


def without_unknown(spec: DataSpec) -> tuple[DataSpec, tuple[str, ...]]:
    """Return a table's images without those whose class usually means that it is not known, and why each is left out.

    Rows without a class are left out with them. Images of other kinds, and classes that are named, stay as they are.

    Raises:
        SpecError: There are not two other classes, so that it must be known whether these are classes.
    """
    if not (spec.folder and spec.table) or is_coco(spec):
        return spec, ()
    folder = folder_of(spec.folder, key_text("data.folder"))
    table = chosen(pasted(folder, _require_table(folder, spec), spec), spec.where)
    cells = table.column(spec.target, key_text("data.target")) if spec.target in table.header else ()
    present = {cell for cell in cells if not absent(cell)}
    unclear = [
        value
        for value in doubtful(present, blank=len(present) < len({*cells}))
        if not any(same_value(value, positive) for positive in spec.positive)
    ]
    if not unclear or spec.target in spec.where:
        return spec, ()
    usable = sorted_values(present - {*unclear})
    if len(usable) < 2:
        raise SpecError(target_column(spec.target, (), cells).question)
    name = f"'class {unclear[0]}'"
    unknown = f"which usually means that the class is not known; if it is one, rename it in the table, such as {name}"
    why = {cell: f"{spec.target} is {shown(cell)}, {unknown}" for cell in unclear}
    why |= dict.fromkeys({*cells} - present, f"{spec.target} is missing")
    word = "row" if _is_in_memory(spec) else "line"
    omitted = [(number, why[cell]) for number, cell in zip(table.numbers, cells, strict=True) if cell in why]
    omitted.sort(key=lambda row: row[1].endswith(" is missing"))
    usual = spec.model_copy(update={"where": {**spec.where, spec.target: usable}})
    return usual, tuple(f"{table.counted[0] or word} {number}: {reason}" for number, reason in omitted)


def _negated_names(target: Target) -> str:
    """How the labels are written: 0 and 1 are named `not x` and `x`."""
    return "0/1" if target.classes[0].startswith("not ") else ", ".join(target.classes)


def _patient(spec: DataSpec, table: TextTable, names: Sequence[str], problems: list[Problem]) -> Sequence[str]:
    if not spec.patient:
        return names
    cells = table.column(spec.patient, key_text("data.patient"))
    if spec.unnamed == "refuse":
        blank = [at for at, cell in enumerate(cells) if without_name(cell)]
        named = [cell for cell in cells if not without_name(cell)]
        are_merged = blank and blank[0] > 0 and len({*named}) == len(named) and 3 * len(blank) >= len(cells)
        why = ", as below cells that a spreadsheet merged" if are_merged else ""
        remedy = "fill each down" if are_merged else "say whose image it is"
        missing = f"{spec.patient} is missing{why}", f"{remedy}, or write data.unnamed: own"
        problems += problems_of(table, names, dict.fromkeys(blank, missing))
    return _with_own(spec, cells, names)


def _suggest_patient(spec: DataSpec, table: TextTable, names: Sequence[str]) -> str:
    """`; column 'patient_id' looks like one: ...`, of a column with a patient's name that repeats, or of file names."""
    named = {spec.image, spec.target, spec.mask, *spec.factors}
    for column in sorted(table.header, key=called_unit):
        cells = table.present(column)
        if column in named or not 1 < len(set(cells)) < len(cells):
            continue
        counted = f"({len(set(cells)):,} values)"
        if holds_patients(column, cells) or called_unit(column):
            return f"; column '{column}' looks like one {counted}: write `patient: {column}` in data"
        if repeats_as_ids(column, cells):
            return f"; column '{column}' may be one {counted}: if so, write `patient: {column}` in data"
    return suggest_names(names, parts_in(table))


def _with_own(spec: DataSpec, cells: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return the patients' cells. With `unnamed: own` one without a name is an unused prefix and the image's name."""
    if spec.unnamed == "refuse":
        return cells
    return [f"{OWN}{name}" if without_name(cell) else cell for cell, name in zip(cells, names, strict=True)]


def _unnamed_note(spec: DataSpec, table: TextTable) -> tuple[str, ...]:
    """Note on images without a patient, where each counts as a patient of its own."""
    if not spec.patient or spec.unnamed != "own":
        return ()
    blank = sum(without_name(cell) for cell in table.column(spec.patient, key_text("data.patient")))
    sentence = f"{spec.patient} is missing in {blank:,} of {len(table):,} rows: each counts as a patient of its own"
    return (sentence,) if blank else ()


def _factors(
    spec: DataSpec, table: TextTable, names: Sequence[str], problems: list[Problem]
) -> tuple[tuple[Factor, ...], dict[str, np.ndarray]]:
    declared: dict[str, FactorSpec] = dict(spec.factors)
    if spec.pixel_size and "pixel_size" not in declared:
        declared["pixel_size"] = FactorSpec(kind="continuous", unit="mm", column=spec.pixel_size)
    if spec.split.column and spec.split.column not in declared:
        declared[spec.split.column] = FactorSpec(kind="categorical")
    factors: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    for name, wanted in declared.items():
        cells = table.column(wanted.column or name, f"data.factors.{name}")
        role = "core" if name == spec.core else "nuisance"
        factor, values, wrong = factor_column(name, wanted, cells, role, table.comma)
        problems += problems_of(table, names, wrong)
        factors.append(factor)
        columns[name] = values
    return tuple(factors), columns


# The columns of a study's table that have no part in it: read to be doubted, never to be used.


def undeclared_table(spec: DataSpec, images: FactorTable, *, of_masks: bool = False) -> FactorTable | None:
    """Return the images with the columns that a study does not name as factors; None where there are none.

    Rows are found by their numbers: those whose image is left out are not there. Columns that `kind_of` leaves out are
    not.

    Args:
        spec: The study's images.
        images: The images as they were read.
        of_masks: Return the columns also where masks decide the target, against which no column is held.
    """
    undeclared = undeclared_columns(spec)
    if not undeclared or images.places is None:
        return None
    folder = folder_of(spec.folder, key_text("data.folder"))
    table = chosen(pasted(folder, folder / spec.table, spec), spec.where)
    if spec.target not in table.header and not of_masks:  # whether masks show a lesion
        return None
    others = restated(table, spec.target)
    at_number = {number: at for at, number in enumerate(table.numbers)}
    rows = [at_number[images.places.numbers[row]] for row in images.row.tolist()]
    factors: list[Factor] = []
    columns: dict[str, np.ndarray] = {}
    patients = _cells_of_patients(spec, table)
    for name in (name for name in undeclared if name not in others):
        cells = table.column(name, f"data.factors.{name}")
        kind, _ = kind_of(name, cells, table.comma, patients)
        if kind is not None:
            factor, values, _ = factor_column(name, kind, cells, comma=table.comma)
            factors.append(factor)
            columns[name] = values[rows]
    return replace(images, factors=tuple(factors), columns=columns)
