"""Guess what a folder or a table of images holds: files, target, patient, masks and the kinds of other columns."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from assay.core.errors import DataError, SpecError, first_line, key_text, shorten
from assay.core.files import is_file, read_stored_bytes
from assay.core.tables import TABLES, json_value
from assay.data.files.classes import in_order
from assay.data.files.in_memory import kept_table
from assay.data.files.joins import (
    JOINED_TABLE,
    MatchedNames,
    Unmatched,
    class_images,
    classes_said,
    files_named_as_images,
    folders_in,
    image_files,
    match,
    outputs_in,
    require_matched,
    stem_of,
)
from assay.data.files.kinds import kinds_of
from assay.data.files.labels import IMAGE, KEYS, joined
from assay.data.files.one_hot import are_complements, one_hot_target, with_classes
from assay.data.files.restated import restated
from assay.data.files.roles import (
    MASKS,
    MOST_CLASSES,
    SPLITS,
    called_attribute,
    called_image,
    called_targets,
    patient_of,
    sure_target,
    targets_of,
    words_of,
)
from assay.data.files.table import TextTable, absent, expand, read_table, require_contained
from assay.spec.data import LESION
from assay.spec.schema import FactorSpec

LABEL, SPLIT, FOLDER = "label", "split", "folder"
"""Columns of rows that are listed from folders."""
_ROWS_CHECKED = 50
"""Rows whose cells are looked up as files."""


MADE_BY_INIT = "# Made by `assay init"
"""Beginning of a study file that `assay init` writes."""
_OF_TABLES = frozenset({"target", "patient", "positive", "image", "mask", "columns"})
WAYS: Mapping[str, tuple[str, Collection[str]]] = {
    "table": ("a table with a row per image", _OF_TABLES),
    "participants": ("participants.tsv and a folder per participant", {"target", "positive", "columns"}),
    "classes": ("a folder per class, and no table", {"positive"}),
    "parts": ("folders of classes, and no table", {"positive"}),
    "outlines": ("a COCO file, whose outlines are the target", ()),
    "masks": ("images/ and masks/, and no table", ()),
    "nnunet": ("imagesTr/ and labelsTr/, and no table", ()),
}
"""Layout -> its words, and the names of columns and classes that it takes from a user. Others are refused."""


@dataclass(frozen=True)
class Guess:
    """Contents of a folder of images, as far as names and values of columns show them.

    Attributes:
        folder: The folder.
        table: Its CSV; empty without one.
        image: The column of files; empty where folders say all.
        mask: The column of masks, or empty.
        target: The column to predict, `lesion` where masks decide; empty where none is likely.
        patient: The column of patients, or empty.
        targets: Columns that may be the target, the likeliest first.
        columns: The other columns that hold levels or numbers, with their kind.
        rows: Rows of a table that is not there, with files from the folder: joined by names, or of nested folders.
        lines: Lines of the table that each of `rows` comes from; empty where it comes from names of files and folders.
        way: The layout, a key of `WAYS`.
        key: The column that `rows` were joined to files by; empty where it is `image` itself.
        matched: Sentences on images and rows that found no partner.
        mask_values: Value in a mask -> its kind of lesion, where a set names several.
        links: Whether links out of the folder are followed, as was asked: `refuse` or `follow`.
        source: The table that `rows` were joined from, as a path from the folder; empty without one.
        one_hot: Name by which one-hot columns may be the target; empty where there are none.
    """

    folder: Path
    table: str = ""
    image: str = ""
    mask: str = ""
    target: str = ""
    patient: str = ""
    targets: tuple[str, ...] = ()
    columns: Mapping[str, FactorSpec] = field(default_factory=dict[str, FactorSpec])
    rows: tuple[Mapping[str, str], ...] = ()
    lines: tuple[int, ...] = ()
    way: str = "table"
    key: str = ""
    matched: tuple[str, ...] = ()
    mask_values: Mapping[int, str] = field(default_factory=dict[int, str])
    links: str = "refuse"
    source: str = ""
    one_hot: str = ""

    @property
    def classes(self) -> bool:
        """Whether there is a folder per class, and nothing else."""
        return self.way == "classes"

    @property
    def of_masks(self) -> bool:
        """Whether the target is if a mask shows a lesion."""
        return self.target == LESION.name and LESION.name not in self.targets

    @property
    def line(self) -> str:
        """What was guessed, for a reader."""
        masks = {"masks": "masks/", "outlines": self.table}
        columns = {"target": self.target, "patient": self.patient, "images": self.key or self.image, "masks": self.mask}
        without = {
            "target": "a folder per class",
            "patient": "none (each image counts as one)",
            "masks": masks.get(self.way, ""),
        }
        named = {role: f'"{name}"' if name else without.get(role, "") for role, name in columns.items()}
        parts = [f"{role} {name}" for role, name in named.items() if name]
        if self.table and self.way != "outlines" and (self.key or not self.rows):
            parts.append(f"in {self.table}")
        others = ", ".join(f"{name} ({kind.kind})" for name, kind in self.columns.items())
        return ", ".join(parts) + (f"; other columns: {others}" if others else "")

    def data(self) -> dict[str, Any]:
        """Return `data` of a study; `rows` are written to the cache as a table.

        Raises:
            SpecError: No column is likely to be the target.
        """
        keys = self.data_keys()
        matched = {"matched": list(self.matched)} if self.matched else {}
        if not self.rows:
            return {**keys, **matched}
        numbers = self.lines or range(1, len(self.rows) + 1)
        word, where = ("line", self.table) if self.lines else ("file", f"{self.folder.name}/")
        counted = {"word": word, "where": where, "numbers": [*numbers]}
        return {**keys, **matched, "table": str(kept_table(self.rows, counted=counted))}

    def data_keys(self) -> dict[str, Any]:
        """Return `data` of a study whose `rows`, where there are any, are not written yet.

        Raises:
            SpecError: No column is likely to be the target.
        """
        if not self.target and not self.classes:
            available = self.targets or tuple(self.columns)
            may = f"; it has {', '.join(available[:20])}" if available else "; no column has a few values"
            example = next(
                (f"; {key_text('--target', name)}, for example" for name in available if not called_attribute(name)), ""
            )
            if self.one_hot:
                example += f", or {key_text('--target', self.one_hot)} for the class whose column is 1"
            raise SpecError(
                f"{key_text('--target')}: no column of {self.table or self.folder.name} is surely "
                f"the one to predict: name it{may}{example}"
            )
        if self.classes:
            return {"classes": str(self.folder)}
        named = {"image": self.image, "mask": self.mask, "patient": self.patient, "target": self.target}
        keys: dict[str, Any] = {"folder": str(self.folder), **{key: name for key, name in named.items() if name}}
        more = {"mask_values": dict(self.mask_values)} if self.mask_values else {}
        return {**keys, **more, "table": self.table}


def guess(
    place: str | Path,
    target: str = "",
    patient: str = "",
    image: str = "",
    mask: str = "",
    labels: str | Path = "",
    unmatched: Unmatched = "refuse",
    links: str = "refuse",
    *,
    lenient: bool = False,
    **others: Any,
) -> Guess:
    """Guess what a folder or a CSV holds. A column that is named is taken as it is.

    Args:
        place: A folder with a CSV, with `images/` and `masks/`, or with a folder per class, which may be inside of
            `train/` and `test/`; or a CSV beside or above its images.
        target: The column to predict.
        patient: The column of patients.
        image: The column of files.
        mask: The column of masks.
        labels: A CSV that a folder of images is joined with.
        unmatched: Whether images that no row labels are refused where there are many, or left out.
        links: Whether tables and labeled images may be links out of the folder: `refuse` or `follow`.
        lenient: Whether names that the layout does not use are skipped.
        others: Further names that a user gives, such as `positive`.

    Raises:
        SpecError: There is no such place, it holds no images that are labeled, or something is named that its layout
            does not use, or a link leads out of the folder.
        DataError: The table cannot be read.
    """
    named = {"target": target, "patient": patient, "image": image, "mask": mask}
    path, table = expand(str(place), "data"), expand(str(labels), key_text("--labels")) if labels else None
    if links != "follow":
        _require_contained_tables(path, table)
    guessed = _guess_place(path, **named, labels=table, unmatched=unmatched, links=links == "follow")
    guessed = replace(guessed, links=links)
    words, uses = WAYS[guessed.way]
    for name, value in {**named, **others}.items():
        if not lenient and value and name not in uses and value != getattr(guessed, name, ""):
            raise SpecError(f"{key_text(f'--{name}')}: {guessed.folder} has {words}: nothing there is named by it")
    return guessed


def tables_in(folder: Path) -> list[Path]:
    """Return the CSV files of a folder, the likeliest to have a row per image first."""
    tables = [path for path in folder.iterdir() if path.suffix.casefold() == ".csv" and not path.name.startswith(".")]
    return sorted(tables, key=lambda path: (path.name != "data.csv", -path.stat().st_size))


def _is_joined_table(table: Path) -> bool:
    """Return whether `assay init` wrote a table, of the rows of another one: its study beside it names it."""
    return table.name.endswith(JOINED_TABLE) and any(
        _is_named_by_init(study, table.name) for study in table.parent.glob("*.yaml") if is_file(study)
    )


def _is_named_by_init(study: Path, table: str) -> bool:
    try:
        lines = study.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    named = (line.partition(":")[2].partition(" #")[0].strip(' "') for line in lines if line.startswith("  table:"))
    return bool(lines) and lines[0].startswith(MADE_BY_INIT) and table in named


def _require_contained_tables(path: Path, labels: Path | None) -> None:
    """Check that no table or JSON file of a folder, and no table that is named, is a link out of its folder."""
    patterns = ("*.tsv", "*.json", "annotations/*.json")
    tables = [(path, file) for file in tables_in(path)] if path.is_dir() else [(path.parent, path)]
    joined_with = [(labels.parent, labels)] if labels else []
    others = [(path, file) for pattern in patterns for file in sorted(path.glob(pattern))]
    for folder, table in (*tables, *others, *joined_with):
        if is_file(table):
            require_contained(folder, table.relative_to(folder).as_posix(), links=False)


def _guess_place(
    path: Path, target: str, patient: str, image: str, mask: str, labels: Path | None, unmatched: Unmatched, links: bool
) -> Guess:
    columns = {"target": target, "patient": patient, "mask": mask}
    if labels and not path.is_dir():
        raise SpecError(f"{key_text('--labels')}: labels are joined with the images of a folder, and {path} is none")
    if labels:
        return _of_labels(path, labels, image or _key_of(labels, path), unmatched, links, **columns)
    if path.is_file():
        return _of_table(path, image, unmatched, links, **columns)
    if not path.is_dir():
        raise SpecError(f"data: {path} is neither a folder nor a file: give a folder of images, or a CSV")
    if (path / "dataset.json").is_file() and (path / "imagesTr").is_dir():
        return _of_nnunet(path, unmatched)
    if (path / "participants.tsv").is_file():
        return _of_participants(path, target, unmatched)
    guesses, errors = dict[str, Guess](), list[SpecError]()
    for table in tables_in(path):
        try:
            guesses[table.name] = _of_table(table, image, unmatched, links, **columns)
        except SpecError as error:  # it names no images, or not in the columns asked for; a broken one is refused
            errors.append(error)
        except DataError:
            if not guesses:
                raise
        if table.name == "data.csv" and guesses:
            break
    if len(guesses) > 1:
        guesses = {name: guessed for name, guessed in guesses.items() if not _is_joined_table(path / name)} or guesses
    if len(guesses) > 1:
        raise SpecError(
            f"{path.name} has {len(guesses)} tables that name its images ({shorten(', '.join(guesses), 80)}): "
            "name the one to read, or call it data.csv"
        )
    if guesses:
        return next(iter(guesses.values()))
    if errors:
        raise errors[0]
    for outlines in (*sorted(path.glob("*.json")), *sorted(path.glob("annotations/*.json"))):
        if outlines.is_file() and {"images", "annotations"} <= _json_object(outlines).keys():
            return Guess(path, str(outlines.relative_to(path)), target=LESION.name, way="outlines")
    if (path / "images").is_dir() and (path / "masks").is_dir():
        return Guess(path, target=LESION.name, way="masks")
    return _of_folders(path)


def _json_object(path: Path) -> Mapping[str, Any]:
    """Return the object of a JSON file; empty where it holds none. Raises DataError for one without a likely end."""
    content = read_stored_bytes(path)
    try:
        return json_value(content) if content[:1] == b"{" else {}
    except RecursionError as error:
        raise DataError(f"{path.name} is nested too deeply; export it again") from error
    except ValueError as error:
        raise DataError(f"{path.name} is not JSON: {first_line(error)}; export it again, or move it away") from error


def _of_nnunet(path: Path, unmatched: Unmatched) -> Guess:
    """Return the first channel of every training image, with its mask."""
    every, masks = image_files(path / "imagesTr")[0], image_files(path / "labelsTr")[0]
    files = [file for file in every if stem_of(file).endswith("_0000")] or every
    others = (f"the first channel, _0000, of {len(every):,} files",) if len(files) < len(every) else ()
    matched = match([file.name for file in files], [file.name for file in masks])
    if not matched.pairs:
        raise SpecError(f"data: no image of {path / 'imagesTr'} has a mask of its name in labelsTr/")
    sentences = require_matched(matched, "labelsTr/", row="mask", unmatched=unmatched)
    rows = [
        {"image": str(files[at].relative_to(path)), "mask": str(masks[other].relative_to(path))}
        for at, other in matched.pairs.items()
    ]
    try:
        kinds, note = _nnunet_kinds(_json_object(path / "dataset.json").get("labels", {}))
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise DataError(
            "dataset.json: its labels are no names with whole numbers, as nnU-Net writes them; correct it "
            f"({first_line(error)})"
        ) from error
    return Guess(
        path,
        image="image",
        mask="mask",
        target=LESION.name,
        rows=tuple(rows),
        way="nnunet",
        mask_values=kinds,
        matched=(*sentences, *others, *note),
    )


def _nnunet_kinds(labels: Mapping[str, Any]) -> tuple[dict[int, str], tuple[str, ...]]:
    """Return the name of every value in masks, and a sentence where names are of regions; nothing of the value 1 alone.

    Version 1 has names by value, version 2 values by name. A region is a list of values: a value is named after the
    smallest region that has it.
    """
    if not any(isinstance(value, int | list) for value in labels.values()):
        labels = {str(name): int(value) for value, name in labels.items()}
    regions = {name: [int(label_value) for label_value in np.atleast_1d(value)] for name, value in labels.items()}
    kinds = {
        value: name
        for name in sorted(regions, key=lambda name: -len(regions[name]))
        for value in regions[name]
        if value
    }
    note = ("labels of dataset.json are regions: a value is named after the smallest that has it",)
    several = any(len(values) > 1 for values in regions.values())
    return (kinds if kinds.keys() != {1} else {}), (note if several else ())


def _of_participants(path: Path, target: str, unmatched: Unmatched) -> Guess:
    """Return the images below a folder per participant, with the columns of `participants.tsv` (BIDS)."""
    read = read_table(path / "participants.tsv", "participant_id")
    names = read.column("participant_id", "data")
    folders = folders_in(path)
    folders = [subject for subject in folders if subject.name.casefold().startswith("sub-")] or folders
    images = {subject: files for subject in folders if (files := image_files(subject, deep=True)[0])}
    matched = match([subject.name for subject in images], names)
    if not matched.pairs:
        raise SpecError(f"data: no folder of {path} that participants.tsv names holds images")
    unused = [name for name in ("image", "suffix") if name in read.header]  # the names of files give these
    columns_left = [name for name in read.header if name not in ("participant_id", *unused)]
    targets = tuple(targets_of(read, columns_left))
    target = target or sure_target(read, targets)
    sentences = require_matched(
        matched,
        "participants.tsv",
        "folder",
        unmatched=unmatched,
        row_classes=read.column(target, "data") if target in read.header else (),
        lines=read.numbers,
        private=True,
    )
    rows = [
        {
            **dict(zip(read.header, read.rows[matched.pairs[at]], strict=True)),
            "image": str(file.relative_to(path)),
            "suffix": stem_of(file).split("_")[-1],
        }
        for at, files in enumerate(images.values())
        if at in matched.pairs
        for file in files
    ]
    columns = kinds_of(read, [name for name in columns_left if name != target], "participant_id")
    if len({row["suffix"] for row in rows}) > 1:
        columns["suffix"] = FactorSpec(kind="categorical")
    return Guess(
        path,
        image="image",
        target=target,
        patient="participant_id",
        targets=targets,
        columns=columns,
        rows=tuple(rows),
        way="participants",
        source="participants.tsv",
        matched=(*sentences, *(f"column {name} of participants.tsv is not used" for name in unused), *outputs_in(path)),
    )


def _of_folders(path: Path) -> Guess:
    if (parts := _of_parts(path)) is not None:
        return parts
    files, _, aside = class_images(path)
    if below := _classes_below(files):
        rows = [
            {"image": str(file.relative_to(path)), LABEL: file.relative_to(of).parts[0], FOLDER: of.name}
            for of, images in files.items()
            for file in images
        ]
        sentences = [f"{', '.join(below)} are below {len(files):,} other folders", *aside]
        return _of_rows(path, rows, FOLDER, sentences, patients=len(files) >= MOST_CLASSES)
    filled = [directory for directory, images in files.items() if images]
    if len(filled) < 2:
        if other := [table.name for table in path.iterdir() if table.name.casefold().endswith(TABLES)]:
            raise SpecError(
                f"data: {path} holds {shorten(', '.join(sorted(other)), 80)}, and a table in a folder is read "
                "if it is called .csv: save it as CSV (UTF-8), or name its path if it is text"
            )
        inside = folders_in(path)
        below = ", ".join(str(table) for directory in inside for table in tables_in(directory))
        of_folders = [directory for directory in inside if _holds_classes(directory)]
        what = f"give a table one folder down: {shorten(below, 200)}" if below else "add a CSV with a row per image"
        if len(of_folders) == 1 and not below:
            what = f"give the folder in it that has several with images: {of_folders[0]}"
        raise SpecError(
            f"data: {path} holds no CSV, no images/ and masks/, and no folder per class; nothing labels "
            f"its images: {what}"
        )
    _refuse_empty(path, [directory for directory in files if directory not in filled])
    if all(_OF_PATIENTS.fullmatch(directory.name) for directory in filled):
        raise SpecError(
            f"data: the folders in {path} are called after patients, such as {shorten(filled[0].name)}, and "
            "not after classes: add a CSV with a row per image, its class and its patient"
        )
    _refuse_masks(path, {directory.name: files[directory] for directory in filled})
    return Guess(path, way="classes")


def _refuse_masks(path: Path, files: Mapping[str, Sequence[Path]]) -> None:
    """Refuse folders of images and of their masks in the place of classes."""
    from assay.data.files.doubts import images_with_masks

    if pair := images_with_masks(files):
        raise SpecError(
            f"data: folders {' and '.join(pair)} of {path} seem to hold images and their masks, and no classes: most "
            "files of either have a partner in the other. Call them images and masks, with equal names of files; if "
            "they are classes, add a CSV with a row per image"
        )


def _holds_classes(folder: Path) -> bool:
    """Return whether at least two folders in one hold images, or are parts such as train and test."""
    return sum(map(bool, class_images(folder)[0].values())) > 1


_OF_PATIENTS = re.compile(r"(patient|subject|participant|person|pat|sub|case)s?[ _-]?\d+", re.IGNORECASE)
"""Names of folders of one patient each."""


def _of_parts(path: Path) -> Guess | None:
    """Return folders of classes within `train`, `test` and the like; None where these hold no two classes."""
    inside = folders_in(path)
    parts = [directory for directory in inside if directory.name.casefold() in SPLITS]
    rows: list[dict[str, str]] = []
    unread: Counter[str] = Counter()  # folder -> files that are not read
    notes: list[str] = []
    for part in parts:
        files, others, aside = class_images(part)
        notes += aside
        rows += [
            {"image": str(file.relative_to(path)), LABEL: of.name, SPLIT: part.name}
            for of, images in files.items()
            for file in images
        ]
        unread += Counter({f"{part.name}/{of.name}/": count for of, count in others.items()})
        unread[f"{part.name}/"] += len(image_files(part)[0])
        empty = [of for of, images in files.items() if not images]
        _refuse_empty(path, empty if len(files) > len(empty) else [])
        _refuse_masks(part, {of.name: images for of, images in files.items() if images})
    if len({row[LABEL] for row in rows}) < 2:
        return None
    unread += Counter(
        {
            f"{directory.name}/": sum(1 for file in directory.rglob("*") if file.is_file())
            for directory in inside
            if directory not in parts
        }
    )
    each = ", ".join(f"{count:,} in {name}" for name, count in sorted(unread.items()) if count)
    return _of_rows(path, rows, SPLIT, [*notes, *([f"files that are not read: {each}"] if each else [])])


def _of_rows(
    path: Path, rows: Sequence[Mapping[str, str]], column: str, sentences: Sequence[str], patients: bool = False
) -> Guess:
    """Return images whose classes are folders, and so are the patients or levels of another column."""
    matched = classes_said([row[LABEL] for row in rows]), *sentences, *outputs_in(path)
    columns = {} if patients else {column: FactorSpec(kind="categorical")}
    return Guess(
        path,
        image="image",
        target=LABEL,
        patient=column if patients else "",
        targets=(LABEL,),
        columns=columns,
        rows=tuple(rows),
        way="parts",
        matched=matched,
    )


def _classes_below(files: Mapping[Path, Sequence[Path]]) -> list[str]:
    """Return the names of classes in the second level of folders; none where the first level has them.

    They are few and repeat below many folders, or are two classes by the written list and the first level is not, or
    the first level is named after origins, as `site_A`.
    """
    from assay.data.files.doubts import called_origin

    inner = [
        {file.relative_to(directory).parts[:-1][:1] for file in images} for directory, images in files.items() if images
    ]
    counts = Counter(name for names in inner for name in names)
    names = sorted(part for parts in counts for part in parts)
    outer = [directory.name for directory in files]
    if () in counts or len(names) < 2 or {name.casefold() for name in names} & SPLITS:
        return []
    if all(map(called_origin, outer)) and not any(map(called_attribute, names)) and max(counts.values()) > 1:
        return names
    if min(counts.values()) < 2 or len(names) > len(inner):
        return []
    listed = len(names) == 2 and in_order(names) is not None and (len(outer) != 2 or in_order(outer) is None)
    return names if listed or len(names) <= MOST_CLASSES < len(inner) else []


def _refuse_empty(path: Path, folders: Sequence[Path]) -> None:
    """Raise SpecError for folders of classes without an image, which would take a class away in silence."""
    if folders:
        count = image_files(folders[0], deep=True)[1]
        files = f"; none of its {count:,} files has the ending of an image" if count else ""
        raise SpecError(
            f"data: {folders[0].relative_to(path)}/ holds no image{files}; put some there or remove the folder"
        )


def _key_of(table: Path, folder: Path) -> str:
    """Return the column by which a table labels the images of a folder. Raises SpecError where none names them."""
    read = read_table(table, IMAGE)
    return IMAGE if IMAGE in read.header else _column_of_files(read, folder) or IMAGE


def _of_labels(
    folder: Path, table: Path, key: str, unmatched: Unmatched, links: bool, *, target: str, patient: str, mask: str
) -> Guess:
    """Return the images of a folder joined with a table of labels; headers of DICOM files are columns."""
    labels, classes, sentence = with_classes(read_table(table, key), target)
    target = target or classes
    classes = target or sure_target(labels, targets_of(labels, [name for name in labels.header if name != key]))
    rows, lines, sentences = joined(folder, labels, key, classes, unmatched, mask, links)
    sentences = (*([sentence] if sentence else []), *sentences)
    read = TextTable(table.name, pd.DataFrame(rows), comma=labels.comma)
    _require(read, target=target, patient=patient, mask=mask)
    guessed = _of_columns(read, folder, IMAGE, target, patient, mask)
    if labels.comma:  # rows are written with commas between them
        numbers = [name for name, kind in guessed.columns.items() if kind.kind == "continuous"]
        rows = [{**row, **{name: row[name].replace(",", ".") for name in numbers}} for row in rows]
    several = len(set(lines)) < len(lines)  # images of one examination
    return replace(
        guessed,
        rows=tuple(rows),
        lines=() if several else lines,
        key=key,
        matched=sentences,
        source=os.path.relpath(table.resolve(), folder.resolve()),
    )


def _of_table(
    path: Path, image: str, unmatched: Unmatched, links: bool, *, target: str, patient: str, mask: str
) -> Guess:
    """Raises SpecError where no column names images."""
    from assay.data.files.doubts import other_images  # here: it loads for tables alone

    (read, classes, sentence), folder = with_classes(read_table(path, image or "image"), target), path.parent
    _require(read, target=target, patient=patient, image=image, mask=mask)
    if not (files := _files_of(read, folder)) and (folder := _folder_of_images(read, path)) != path.parent:
        files = _files_of(read, folder)
    images = [name for name in files if not words_of(name) & MASKS]
    named = image
    if not image:
        bare = IMAGE in read.header and IMAGE not in files and _column_of_files(read, folder, IMAGE)
        images = [IMAGE] if bare else images
        image = min(images, key=lambda name: (name != "image", "image" not in name), default="")
    if image in files or (key := _column_of_files(read, folder, image)) is None:
        guessed = _of_columns(read, folder, image or "image", target or classes, patient, mask)
        rows = tuple(dict(zip(read.header, row, strict=True)) for row in read.rows) if sentence else ()
        more = {"rows": rows, "lines": read.numbers, "key": guessed.image} if rows else {}
        sentences = tuple(filter(None, (sentence, other_images(read, image, images, is_named=bool(named)))))
        return replace(guessed, table=os.path.relpath(path, folder), matched=sentences, **more)
    return _of_labels(folder, path, key, unmatched, links, target=target, patient=patient, mask=mask)


def _folder_of_images(read: TextTable, path: Path) -> Path:
    """Return the folder of a table or, where a column names most images of a folder beside it, the one above.

    What lies beside belongs to others: only names are compared, and no file is opened.
    """
    folder = path.parent.resolve()
    if image_files(folder, deep=True)[0]:
        return path.parent
    columns = [{Path(cell).name for cell in read.present(name)} for name in read.header]
    for other in _folders_at(folder.parent):
        files = files_named_as_images(other)
        named = [sum(not cells.isdisjoint((file.name, stem_of(file))) for file in files) for cells in columns]
        if max(named, default=0) > max(1, len(files) // 2):
            return folder.parent
    return path.parent


def _folders_at(place: Path) -> list[Path]:
    """Return the folders of a place, none where it cannot be listed, without links and hidden ones."""
    try:
        inside = sorted(place.iterdir())
    except OSError:
        return []
    return [path for path in inside if not path.name.startswith(".") and not path.is_symlink() and path.is_dir()]


def _require(read: TextTable, **named: str) -> None:
    """Raise SpecError where a column that is named is missing; `lesion` is what masks say."""
    for role, name in named.items():
        if name and (role, name) != ("target", LESION.name):
            read.column(name, key_text(f"--{role}"))


def _files_of(read: TextTable, folder: Path) -> list[str]:
    """Return the columns that name files in most of their first cells."""
    columns: list[str] = []
    for name in read.header:
        cells = read.present(name)[:_ROWS_CHECKED]
        if name not in KEYS and 2 * sum(is_file(folder / cell) for cell in cells) > len(cells):
            columns.append(name)
    return columns


def _of_columns(read: TextTable, folder: Path, image: str, target: str, patient: str, mask: str) -> Guess:
    """Return what the columns of a table are whose column of images is known."""
    files = [name for name in _files_of(read, folder) if name != image]
    masks = [name for name in files if name == mask or words_of(name) & MASKS]
    mask = mask or next(iter(masks), "")
    assigned = {image, target, mask, *masks}
    patient = patient or patient_of(read, [name for name in read.header if name not in assigned])
    others = [name for name in read.header if name not in {image, patient, mask, *masks}]
    targets = tuple(targets_of(read, others))
    if target == LESION.name and not mask:
        read.column(target, key_text("--target"))
    target = target or sure_target(read, targets) or (LESION.name if mask and not called_targets(targets) else "")
    excluded = {target, *KEYS, *restated(read, target)}
    columns = kinds_of(read, [name for name in others if name not in excluded], patient)
    name, group = ("", ()) if target else one_hot_target(read)
    one_hot = "" if are_complements(group) else name
    return Guess(folder, read.name, image, mask, target, patient, targets, columns, one_hot=one_hot)


def _column_of_files(read: TextTable, folder: Path, image: str = "") -> str | None:
    """Return the column whose cells are names of image files, with or without folders and endings.

    Args:
        read: The table.
        folder: The images, in any depth.
        image: The column of files, if a user names it.

    Returns:
        The column, or None where its cells are paths of which none is there: its rows are refused one by one.

    Raises:
        SpecError: No column names files.
    """
    files = [str(file.relative_to(folder)) for file in image_files(folder, deep=True)[0]]
    candidates: list[_FileColumn] = []
    for name in [image] if image else (name for name in read.header if name not in KEYS):
        cells = read.present(name)
        if any(cell.startswith("/") or ".." in cell.split("/") for cell in cells):
            continue  # paths out of the folder are refused row by row
        matched = match(files, [*dict.fromkeys(cells)])
        named = len(matched.pairs) + sum(len(of) for _, of in matched.rivals)  # also those that fit several files
        unique = len(set(cells))
        if name in (image, IMAGE) and unique < len(cells) and 2 * named > unique:
            raise _refuse_repeated(read, name)
        repeats = unique < len(cells)
        if (10 * named >= 9 * unique and 2 * named > len(files)) if repeats else 2 * named > min(unique, len(files)):
            candidates.append(_FileColumn(name, matched, repeats))
    if candidates:
        return _surest(read, candidates)
    if not image and any(key in read.header for key in KEYS):
        return IMAGE
    if image or IMAGE in read.header:
        return None
    raise SpecError(
        f"data: no column of {read.name} names image files of {folder}: name it with "
        f"{key_text('--image', 'COLUMN')}; "
        f"its columns are {', '.join(read.header[:20])}"
    )


@dataclass(frozen=True)
class _FileColumn:
    """A column whose cells are names of files.

    Attributes:
        matched: Files matched with its different cells.
        repeats: Whether a file is named in several rows.
    """

    name: str
    matched: MatchedNames
    repeats: bool

    @property
    def doubt(self) -> tuple[float, bool, bool]:
        """How unsure it is: by what is ignored of each name, then repeated names, then its own name."""
        ignored = sum(self.matched.ignored.values()) / max(1, len(self.matched.pairs))
        return ignored, self.repeats, not called_image(self.name)

    def rows_of_files(self, read: TextTable) -> set[tuple[int, int]]:
        """Return which row names which file."""
        rows = {cell: row for row, cell in enumerate(read.column(self.name, "data"))}
        return {(file, rows[self.matched.right[cell]]) for file, cell in self.matched.pairs.items()}


def _surest(read: TextTable, candidates: Sequence[_FileColumn]) -> str:
    """Return the column that names files with the least ignored.

    Raises:
        SpecError: It names a file in several rows, or another one is as sure and names other files.
    """
    first, *others = sorted(candidates, key=lambda candidate: candidate.doubt)
    if first.repeats:
        raise _refuse_repeated(read, first.name)
    for other in others:
        if other.doubt == first.doubt and other.rows_of_files(read) != first.rows_of_files(read):
            raise SpecError(
                f"data: columns {first.name} and {other.name} of {read.name} both name image files, in "
                f"different rows: say which with {key_text('--image', 'COLUMN')}"
            )
    return first.name


def _refuse_repeated(read: TextTable, name: str) -> SpecError:
    """Return the error of a column of files with several rows of one image, and in what these rows differ."""
    cells, numbers = read.column(name, "data"), read.numbers
    twice, count = Counter(cell for cell in cells if not absent(cell)).most_common(1)[0]
    at = [row for row, cell in enumerate(cells) if cell == twice]
    lines = ", ".join(str(numbers[row]) for row in at[:20])
    columns = {other: read.column(other, "data") for other in read.header}
    differing = [other for other, column in columns.items() if len({column[row] for row in at}) > 1]
    differ = f", which differ in {shorten(', '.join(differing), 80)}" if differing else ""
    return SpecError(
        f"data: '{shorten(twice)}' is in {count:,} lines of '{name}' in {read.name} ({shorten(lines, 80)}){differ}: "
        "keep one row of each image, with the whole name (spreadsheets make 1.1 of 1.10)"
    )
