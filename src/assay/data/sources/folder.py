"""List a folder: a CSV beside images, `images/` and `masks/` with equal stems, or one folder per class."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from assay.core.data_spec import DataSpec, FactorSpec
from assay.core.errors import SpecError
from assay.core.types import Factor
from assay.data.sources.columns import Wrong, chosen, factor_column, patient_codes, problems_of, target_column
from assay.data.sources.listing import OWN_PATIENT, Listing
from assay.data.sources.paths import expand, inside
from assay.data.sources.problems import Problem, Unreadable, first_of_each, shown
from assay.data.sources.table import Table, absent, read_table

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".jp2", ".dcm", ".dicom", ".nii", ".gz")
)
EMPTY_OR_NOT = ("lesion-free", "lesion")


def list_table(spec: DataSpec) -> Listing:
    """A CSV beside images. Raises SpecError for what the spec gets wrong; single bad rows come as problems."""
    folder = _folder(spec.folder, "data.folder")
    path = folder / spec.table
    if not path.is_file():
        raise SpecError(
            f"data.table: {folder.name}/ has no file '{spec.table}'; name its CSV, or '' for images/ + masks/"
        )
    read = read_table(path, spec.image)
    table = chosen(read, spec.where)
    names = table.column(spec.image, "data.image")
    if not len(table) and not read.problems:
        rows = "no row fits data.where" if spec.where else "it has a header and no rows"
        raise SpecError(f"data.table: {spec.table} gives no images: {rows}")
    problems: list[Problem] = []
    images, missing = _locate(folder, table, names, "image")
    problems += missing
    masks = None
    if spec.mask:
        masks, missing = _locate(folder, table, table.column(spec.mask, "data.mask"), "mask")
        problems += [Problem(p.row, names[table.numbers.index(p.row)], p.what, p.remedy) for p in missing]
    target, classes, facts = _target(spec, table, names, problems)
    patient = _patient(spec, table, names, problems)
    factors, columns = _factors(spec, table, names, problems)
    problems += _same_image(table, names, images)
    listing = Listing(
        title=folder.name,
        where=spec.table,
        word="row",
        numbers=table.numbers,
        names=names,
        images=tuple(path or folder for path in images),
        masks=None if masks is None else tuple(path or folder for path in masks),
        target=target,
        classes=classes,
        patient=patient,
        factors=factors,
        columns=columns,
        problems=read.problems,
        facts=facts,
        warnings=() if spec.patient else (OWN_PATIENT,),
        header=table.header,
    )
    return listing.drop(first_of_each(problems))[0]


def list_stems(spec: DataSpec) -> Listing:
    """`images/` and `masks/` with equal stems. The target is whether the mask is empty."""
    folder = _folder(spec.folder, "data.folder")
    for part in ("images", "masks"):
        if not (folder / part).is_dir():
            raise SpecError(f"data.folder: {folder.name}/ has no folder {part}/; add it, or name a CSV in data.table")
    images, others = _files(folder / "images")
    masks: dict[str, list[Path]] = {}
    for mask in _files(folder / "masks")[0]:
        masks.setdefault(_stem(mask), []).append(mask)
    names = tuple(f"images/{path.name}" for path in images)
    problems: list[Problem] = []
    stems = [_stem(path) for path in images]
    count = Counter(stems)
    for at, stem in enumerate(stems):
        if count[stem] > 1:
            problems.append(Problem(at + 1, names[at], "another image has the same stem", "rename one of them"))
        elif len(masks.get(stem, ())) != 1:
            found = "no mask has" if stem not in masks else f"{len(masks[stem])} masks have"
            problems.append(Problem(at + 1, names[at], f"{found} its stem", "give it one, all black without a lesion"))
    orphans = len(set(masks) - set(stems))
    warnings = (OWN_PATIENT, *_ignored(others), *((f"{orphans} masks belong to no image",) if orphans else ()))
    listing = _plain(folder, images, names, None, EMPTY_OR_NOT, warnings, ("positive when the mask is not empty",))
    paired = tuple(masks.get(stem, [folder])[0] for stem in stems)
    return replace(listing, masks=paired).drop(problems)[0]


def list_classes(spec: DataSpec) -> Listing:
    """One folder per class, images anywhere below it."""
    folder = _folder(spec.classes, "data.classes")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise SpecError(
            f"data.classes: {folder.name}/ holds {len(names)} folders; it needs one per class, at least two"
        )
    images: list[Path] = []
    labels: list[str] = []
    others = 0
    for name in names:
        found, ignored = _files(folder / name, deep=True)
        if not found:
            raise SpecError(f"data.classes: {folder.name}/{name}/ holds no image; put some there or remove the folder")
        images += found
        labels += [name] * len(found)
        others += ignored
    target = target_column(folder.name, spec.positive, labels, "data.classes")
    relative = tuple(str(path.relative_to(folder)) for path in images)
    warnings = (OWN_PATIENT, *_ignored(others))
    return _plain(folder, images, relative, target.codes, target.classes, warnings, (target.rule,))


def _plain(
    folder: Path,
    images: Sequence[Path],
    names: tuple[str, ...],
    target: np.ndarray | None,
    classes: tuple[str, ...],
    warnings: tuple[str, ...],
    facts: tuple[str, ...],
) -> Listing:
    if not images:
        raise SpecError(f"data.folder: {folder.name}/ holds no images")
    numbers = tuple(range(1, len(images) + 1))
    patient = np.arange(len(images), dtype=np.int64)
    return Listing(
        folder.name, f"{folder.name}/", "file", numbers, names, tuple(images), None, target, classes, patient,
        facts=facts, warnings=warnings,
    )  # fmt: skip


def _folder(text: str, place: str) -> Path:
    path = expand(text, place)
    if not path.is_dir():
        raise SpecError(f"{place}: '{text}' is a file; give the folder that holds the images")
    return path


def _files(folder: Path, deep: bool = False) -> tuple[list[Path], int]:
    """Image files in sorted order, hidden ones left out, and how many other files there are."""
    found = [path for path in (folder.rglob("*") if deep else folder.iterdir()) if path.is_file()]
    seen = [path for path in found if not path.name.startswith(".")]
    images = sorted(path for path in seen if path.suffix.lower() in SUFFIXES)
    return images, len(seen) - len(images)


def _ignored(others: int) -> tuple[str, ...]:
    return (f"{others} files without an image's extension were not looked at",) if others else ()


def _stem(path: Path) -> str:
    name = path.name[: -len(".nii.gz")] if path.name.endswith(".nii.gz") else path.stem
    return unicodedata.normalize("NFC", name)


def _locate(folder: Path, table: Table, cells: Sequence[str], kind: str) -> tuple[list[Path | None], list[Problem]]:
    paths: list[Path | None] = []
    problems: list[Problem] = []
    for number, cell in zip(table.numbers, cells, strict=True):
        try:
            if absent(cell):
                remedy = "name it, or an all-black one without a lesion" if kind == "mask" else "name a file"
                raise Unreadable(f"it names no {kind}", remedy)
            paths.append(inside(folder, cell))
        except Unreadable as error:
            paths.append(None)
            what = f"mask: {error.what}" if kind == "mask" else error.what
            problems.append(Problem(number, cell, what, error.remedy))
    return paths, problems


def _same_image(table: Table, names: Sequence[str], images: Sequence[Path | None]) -> list[Problem]:
    first: dict[Path, int] = {}
    problems: list[Problem] = []
    for at, path in enumerate(images):
        if path is not None and first.setdefault(path, at) != at:
            other = table.numbers[first[path]]
            problems.append(
                Problem(table.numbers[at], names[at], f"row {other} names the same image", "keep one of them")
            )
    return problems


def _target(
    spec: DataSpec, table: Table, names: Sequence[str], problems: list[Problem]
) -> tuple[np.ndarray | None, tuple[str, ...], tuple[str, ...]]:
    if not spec.target:
        if not spec.mask:
            raise SpecError("data.target is empty; name the column of labels, or data.mask to tell lesion from none")
        return None, EMPTY_OR_NOT, ("positive when the mask is not empty",)
    cells = table.column(spec.target, "data.target")
    target = target_column(spec.target, spec.positive, cells)
    if len(set(target.codes[target.codes >= 0].tolist())) < 2 and len(table):
        found = ", ".join(sorted({cell for cell in cells if not absent(cell)})) or "none"
        raise SpecError(f"data.target: column '{spec.target}' needs at least two different labels; found: {found}")
    wrong: Wrong = {
        at: (f"{spec.target} is missing", "label it")
        if absent(cells[at])
        else (f"{spec.target} is {shown(cells[at])}, the others are 0/1", "label it as they are")
        for at in np.flatnonzero(target.codes < 0).tolist()
    }
    problems += problems_of(table, names, wrong)
    return target.codes, target.classes, (target.rule,)


def _patient(spec: DataSpec, table: Table, names: Sequence[str], problems: list[Problem]) -> np.ndarray:
    if not spec.patient:
        return patient_codes(names)
    cells = table.column(spec.patient, "data.patient")
    wrong = {
        at: (f"{spec.patient} is missing", "say whose image it is") for at, cell in enumerate(cells) if absent(cell)
    }
    problems += problems_of(table, names, wrong)
    return patient_codes(cells)


def _factors(
    spec: DataSpec, table: Table, names: Sequence[str], problems: list[Problem]
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
