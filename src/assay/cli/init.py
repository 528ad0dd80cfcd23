"""`assay init`: a study file from a folder or table of images, with a comment on every assumption."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd

from assay.cli.conditions import ColumnCondition, column_conditions
from assay.core.errors import AssayError, SpecError, StoreError, as_written, visible
from assay.data.files.classes import in_order
from assay.data.files.guess import MADE_BY_INIT, SPLIT, Guess, guess
from assay.data.files.joins import (
    JOINED_TABLE,
    Unmatched,
    changed_since_joined,
    class_images,
    image_files,
    joined_record,
)
from assay.data.files.roles import called_patient, parts_in, suggest_names
from assay.data.files.table import TextTable, absent, read_table, same_value, shown, spellings
from assay.spec.data import LESION
from assay.spec.schema import DataSpec
from assay.store.files import csv_text, write_text

FEW_IMAGES = 200
MANY_IMAGES = 2000
"""From so many images on, three folds train on enough of them."""
STEPS = 800
"""Steps of training that networks from random weights need at least to rise above chance on a few hundred images."""
EPOCHS = (12, 100)
"""The fewest and the most."""
MOST_FACTORS = 8
MOST_TIES = 3
"""Columns of which an environment is made."""
RARER = 4 / 3
"""A class is the rarer one where the other has so many times its images."""
COMMENTS_AT = 44
PRINTED = ("classes", "table", "matched", "image", "mask", "unmasked", "target", "positive", "patient", "size", "split")
"""Keys whose assumptions are printed: what was taken from the folder. The file has all."""


@dataclass(frozen=True)
class AssumedLine:
    """A line of a study file: the key with its indent, its value, and why it is assumed; without a key a comment."""

    key: str
    value: Any
    why: str = ""

    @property
    def text(self) -> str:
        """Return the line as YAML."""
        if not self.key:
            return f"  # {_comment(self.why)}"
        value = "" if self.value is None else f" {_flow(self.value)}"
        line = f"{self.key}:{value}"
        return f"{line:<{COMMENTS_AT}} # {_comment(self.why)}" if self.why else line


def init_command(
    place: Path,
    out: Path | None,
    tests: Sequence[Path] = (),
    unmatched: Unmatched = "refuse",
    links: str = "refuse",
    unmasked: str = "",
    **named: str,
) -> None:
    """Write the study, and where no table of a folder has a row per image one beside it; print what is assumed.

    Args:
        place: A folder or a table.
        out: The study file; by default it is named after the folder, in the working directory.
        tests: Folders or tables of other sets, all of whose images are tested.
        unmatched: Whether images without a label are refused where there are many, or left out.
        links: Whether links out of the folders are refused, or followed.
        unmasked: How an image without a mask counts, as in a study; by default as its layout says.
        named: What is not to be guessed: `target`, `patient`, `image`, `mask` and `positive`.

    Raises:
        SpecError: Nothing labels the images, or no column is surely the target.
        StoreError: The file is there, or two folders have the same name.
    """
    how: dict[str, Any] = {"unmatched": unmatched, "links": links}
    with AssayError.spelled(_as_option):
        guessed, positive = _guess_with_target(place, **how, **named), named.get("positive", "")
        others = [_guess_with_target(part, guessed.target, **how) for part in tests]
    if named.get("target"):  # no other column is offered
        guessed = replace(guessed, targets=tuple(one for one in guessed.targets if one == guessed.target))
    name, *names = _set_names([guessed, *others])
    sets = dict(zip(names, others, strict=True))
    path = out or Path(f"{name}.yaml")
    stems = {None: path.stem, **{part: f"{path.stem}-{part}" for part in sets}}
    tables = {
        key: path.with_name(f"{stems[key]}{JOINED_TABLE}") for key, file in {None: guessed, **sets}.items() if file.rows
    }
    for file in (path, *tables.values()):
        if file.exists():
            changed = " ".join(f"{why}." for why in _changed_sources(path))
            raise StoreError(
                f"{file} is there already, and nothing was written: name another file with --out"
                f"{f'. {changed}' if changed else ''}"
            )
    for set_name, file in ((name, guessed), *zip(names, others, strict=True)):
        print(f"{set_name}: {file.line}", *file.matched, sep="\n", file=sys.stderr)
    if unmasked and not (guessed.mask or guessed.of_masks):
        raise SpecError(f"--unmasked: {guessed.folder.name} has no masks; name their column with --mask")
    with _all_or_none([path, *tables.values()]):
        guessed = _with_table(guessed, tables.get(None))
        sets = {key: _with_table(part, tables.get(key)) for key, part in sets.items()}
        lines, cautions, why = _write_study(guessed, name, path, sets, positive, unmasked)
    # A guessed positive class may turn every answer around: it is said first.
    printed = {f"{'    ' if sets else '  '}{key}" for key in PRINTED}
    for file in sorted(lines, key=lambda part: part.key.strip() != "positive"):
        if file.key in printed or file.key in {f"    {_flow(key)}" for key in sets}:
            print(f"{file.key.strip()}:{'' if file.value is None else ' ' + _flow(file.value)}  ({file.why})")
    for remark in (*cautions, *(line.why for line in lines if not line.key)):
        print(remark)
    for key, table in tables.items():
        patients = ", with its patients" if (sets[key] if key else guessed).patient else ""
        print(f"{table}: written too, the table of {key or name}{patients}")
    if why:
        print(f"to correct before a run: {why}")
    run = f"{'correct this, then ' if why else ''}assay run {path} --open"
    print(f"{path}: correct what is wrong; comments in the file explain all assumptions. Next: {run}")


def _as_option(name: str, value: str) -> str:
    """Spell a key in an error as this command takes it."""
    return "--follow-links" if name == "data.links" else as_written(name, value)


def _changed_sources(path: Path) -> Iterator[str]:
    """Yield that the source of a table of an earlier study has changed since; nothing where it is no study."""
    from assay.spec.parse import parse_study

    try:
        data = parse_study(path).data
        yield from (why for part in (data, *data.tests.values()) for why, _ in changed_since_joined(part))
    except (AssayError, OSError):
        return


def _guess_with_target(place: Path, likely: str = "", **named: Any) -> Guess:
    """Return what a place holds, with a target, the likely one if it may be. Raises SpecError where there is none."""
    guessed = guess(place, **named)
    if likely in guessed.targets:
        named["target"] = likely
        guessed = guess(place, **named)
    guessed.data_keys()  # raises where there is no target
    return guessed


def _set_names(guesses: Sequence[Guess]) -> list[str]:
    """Return a name for each set: that of its folder or, where these are not all different, of its table or place.

    Raises:
        StoreError: Sets have the same name in each way, since one is given twice.
    """
    folders = [guess.folder.resolve() for guess in guesses]
    ways = (
        [folder.name for folder in folders],
        [Path(guess.table or folder.name).stem for guess, folder in zip(guesses, folders, strict=True)],
        [f"{folder.parent.name}-{folder.name}" for folder in folders],
    )
    for way in ways:
        names = [re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "my-images" for name in way]
        if len(set(names)) == len(names):
            return names
    raise StoreError(f"two of these sets are named '{ways[0][0]}', and names must differ: rename one")


@contextmanager
def _all_or_none(files: Sequence[Path]) -> Generator[None]:
    """Remove new files where something stops this block: a study that is not whole would be taken for one."""
    try:
        yield
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise


def _with_table(guess: Guess, table: Path | None) -> Guess:
    """Return what was found with its rows in a table that is written, where there is one."""
    if table is None:
        return guess
    write_text(table, csv_text([list(guess.rows[0]), *(list(row.values()) for row in guess.rows)]))
    return replace(guess, table=os.path.relpath(table.resolve(), guess.folder.resolve()))


def _write_study(
    guess: Guess, name: str, path: Path, sets: Mapping[str, Guess], positive: str, unmasked: str
) -> tuple[list[AssumedLine], list[str], str]:
    """Write a study with all columns, then with the strongest of them and their test conditions.

    Returns:
        Its lines, cautions on its images, and why a run would refuse it; empty where it would not.
    """
    write = partial(_write_lines, name=name, path=path, sets=sets, positive=positive, unmasked=unmasked)
    write(guess, [])
    conditions, cautions, why = _examine_images(path)
    strongest = [condition.column for condition in conditions] or list(guess.columns)[:MOST_FACTORS]
    columns = {key: guess.columns[key] for key in dict.fromkeys((*strongest, SPLIT)) if key in guess.columns}
    lines = write(replace(guess, columns=columns), conditions)
    return lines, cautions, why and _examine_images(path)[-1]


def _write_lines(
    guess: Guess,
    conditions: Sequence[ColumnCondition],
    *,
    name: str,
    path: Path,
    sets: Mapping[str, Guess],
    positive: str,
    unmasked: str,
) -> list[AssumedLine]:
    lines = list(_lines(guess, name, path, sets, positive, unmasked, conditions))
    head = f"{MADE_BY_INIT} {_comment(guess.folder.name)}`. Each comment is an assumption: change what is wrong.\n"
    write_text(path, head + "\n".join(line.text for line in lines) + "\n")
    return lines


def _examine_images(path: Path) -> tuple[list[ColumnCondition], list[str], str]:
    """Return the strongest columns of a study's images, cautions, and why a run would refuse it; empty where not."""
    from assay.core.files import default_cache_root
    from assay.data.cache import ArrayCache
    from assay.report.sentences.reading import CAUTIONS, reading_lines
    from assay.shifts.sources import open_population
    from assay.spec.parse import parse_study
    from assay.study.preflight import check_rows

    conditions, cautions, why = list[ColumnCondition](), list[str](), ""
    for skip_bad_rows in (False, True):
        try:
            spec = parse_study(path)
            population = open_population(spec.data, ArrayCache(default_cache_root()), skip_bad_rows=skip_bad_rows)
            if (dataset := population.dataset) is not None:
                cautions = reading_lines({key: text for key, text in dataset.card.read.items() if key in CAUTIONS})
                conditions = column_conditions(dataset.table, spec, population, MOST_FACTORS)
            check_rows(spec, population, {})
            break
        except AssayError as error:
            why = why or str(error)
    return conditions, cautions, why


def _lines(
    guess: Guess,
    name: str,
    path: Path,
    sets: Mapping[str, Guess],
    positive: str,
    unmasked: str,
    conditions: Sequence[ColumnCondition],
) -> Iterator[AssumedLine]:
    rows = _rows(guess)
    masked = guess.target == LESION.name and LESION.name not in (rows[0] if rows else {})
    question = f"work in {', '.join(sets)}" if sets else "use a shortcut"
    yield AssumedLine("name", name)
    yield AssumedLine(
        "question",
        f"What can a network learn from {name}, and does it {question}?",
        "next to networks: simple cues, groups, suspected labels",
    )
    yield AssumedLine("data", None)
    data = list(_data(guess, rows, path, positive, unmasked))
    if sets:
        yield AssumedLine("  train", None)
        yield from (replace(line, key=f"  {line.key}") for line in data)
        yield AssumedLine("  tests", None, "every image is tested; add map: {its class: ours} if classes differ")
        yield from (
            AssumedLine(
                f"    {_flow(test)}",
                _of_set(other, guess, path, unmasked),
                "as found there" if other.patient else "patients are not named: each image counts as one",
            )
            for test, other in sets.items()
        )
    else:
        yield from data
    yield from _environment_lines(conditions, sets)
    folds = data[-1].value.get("folds")
    yield _recipe_line(_number_of_images(guess, rows), folds, masked)
    if sets and folds:
        yield AssumedLine("ensemble", True, "the networks of the folds predict the other sets jointly")
    yield AssumedLine("seeds", 3, "the smallest number that gives intervals; 10 detect smaller differences")
    yield AssumedLine("probes", ["performance", "segmentation"] if masked else ["performance"])


def _environment_lines(conditions: Sequence[ColumnCondition], sets: Mapping[str, Guess]) -> Iterator[AssumedLine]:
    """Yield the test conditions: those of the strongest columns, the others as comments, and the other sets."""
    yield AssumedLine("environments", None)
    yield AssumedLine("  train", {}, "associations as they are in these images")
    yield AssumedLine("  same", {}, "test images as they are; add conditions under which the model will be used")
    able: dict[str, ColumnCondition] = {}
    for condition in conditions:
        if not condition.why:
            key = "neutral-" + re.sub(r"[\W_]+", "-", condition.column)
            able[f"{key}-{len(able)}" if key in able else key] = condition
    tested = dict(list(able.items())[:MOST_TIES])
    yield from (
        AssumedLine(
            f"  {'' if key in tested else '# '}{_flow(key)}",
            {"association": {condition.column: condition.association}},
            _condition_words(condition, key in tested),
        )
        for key, condition in able.items()
        if key in tested or condition.strong
    )
    yield from (
        AssumedLine("", None, _words_of_none(condition))
        for condition in conditions
        if condition.why and (condition.strong or not able)
    )
    reserved = ("train", "same", *tested)
    yield from (AssumedLine(f"  {_flow(f'in-{line}' if line in reserved else line)}", {"data": line}) for line in sets)


def _recipe_line(images: int, folds: int | None, masked: bool) -> AssumedLine:
    """Return the recipe, with as many epochs as make the usual number of steps."""
    batch, trained = (8 if images < FEW_IMAGES else 32), max(1, round(images * (1 - 2 / folds if folds else 0.6)))
    steps, (fewest, most) = math.ceil(trained / batch), EPOCHS
    epochs = min(most, max(fewest, math.ceil(STEPS / steps)))
    losses = _flow(["cross-entropy", "dice" if masked else "supcon"])
    plain = {"loss": "cross-entropy", "epochs": epochs, "batch_size": batch}
    kind = {"task": "segmentation", "architecture": "small-unet"} if masked else {}
    return AssumedLine(
        "recipe", {**kind, **plain}, f"about {steps * epochs:,} steps of training; loss: {losses} compares losses"
    )


def _condition_words(condition: ColumnCondition, tested: bool) -> str:
    """Return what the test condition of a column shows."""
    strength = f" (in all rows with a value {condition.strength})" if condition.strength else ""
    shows = f"rows in which {condition.column} does not predict the target{strength}"
    return f"{shows}: performance falls where it is a shortcut" if tested else f"remove the first # to test {shows}"


def _words_of_none(condition: ColumnCondition) -> str:
    """Return why a column has no test condition, and what to do about it."""
    strength = f" ({condition.strength})" if condition.strength else ""
    words = f"no test condition for {condition.column}{strength}: {condition.why}"
    if not condition.test_levels:
        return words
    levels = _flow({condition.column: [*condition.test_levels]})
    return (
        f"{words}; or hold some out of each class, which then are not trained on: "
        f"split: {{test_only: {levels}}} in data, and held-out: {{where: {levels}}} here"
    )


def _unmasked(guess: Guess, unmasked: str) -> str:
    """Return how an image without a mask counts, as is asked; empty without masks, and where a reader is to ask.

    A file of outlines lists images without any, which show no lesion; in a folder a mask may be missing.
    """
    return (unmasked if guess.mask or guess.of_masks else "") or (
        "lesion-free" if guess.of_masks and guess.table else ""
    )


def _of_set(guess: Guess, train: Guess, path: Path, unmasked: str) -> dict[str, Any]:
    """Return the section of a set to test on: its folder from the study file, and no column that it lacks."""
    where = os.path.relpath(guess.folder.resolve(), path.resolve().parent)
    keys = {key: where if key in ("folder", "classes") else value for key, value in guess.data_keys().items()}
    lacks = () if guess.classes else ("image", "mask", "patient")
    keys |= {"unmasked": counted} if (counted := _unmasked(guess, unmasked)) else {}
    keys |= {"matched": list(guess.matched)} if guess.matched else {}
    keys |= {"links": "follow"} if guess.links == "follow" else {}
    return {**keys, **{key: "" for key in lacks if getattr(train, key) and not getattr(guess, key)}}


def _data(
    guess: Guess, rows: Sequence[dict[str, str]], path: Path, positive: str, unmasked: str
) -> Iterator[AssumedLine]:
    """Yield the lines of `data`."""
    where = os.path.relpath(guess.folder.resolve(), path.resolve().parent)
    followed = guess.links == "follow"
    links = [AssumedLine("  links", "follow", "links out of the folder are followed, as you say")] if followed else []
    if guess.classes:
        classes = class_images(guess.folder)[0]
        images = {folder.name: len(files) for folder, files in classes.items()}
        names = [str(file.relative_to(guess.folder)) for files in classes.values() for file in files]
        yield AssumedLine("  classes", where, f"a folder per class: {', '.join(images)}")
        yield from _positive(images, positive)
        yield from links
        yield _size_line()
        yield AssumedLine("  split", {"folds": _number_of_folds(guess, rows)}, _without_patients(names))
        return
    yield AssumedLine("  folder", where, "images are searched from here")
    by = f" by its column {guess.key}" if guess.key not in ("", "image") else ""
    joined = f"your table, joined with the files{by}" if guess.key else "written from names of files and folders"
    summary = f"{joined}: {len(guess.rows)} images"
    listed = f"{len(rows)} rows" if rows else "outlines in the COCO format" if guess.table else ""
    yield AssumedLine(
        "  table", guess.table, summary if guess.rows else listed or "images/ and masks/ with equal names"
    )
    record = joined_record(guess.folder, guess.source, guess.key) if guess.rows and guess.source else {}
    assumptions: Mapping[str, tuple[Any, str]] = {
        "joined_from": (record, "of this table; if it changes, a run says how to join again"),
        "matched": (list(guess.matched), "what was ignored or left out, for the page"),
        "image": (guess.image, "its cells name files"),
        "mask": (guess.mask, "its cells name mask files"),
        "unmasked": (
            _unmasked(guess, unmasked),
            "as you say" if unmasked else "an image without an outline shows no lesion",
        ),
        "mask_values": (dict(guess.mask_values), "from dataset.json"),
    }
    yield from (AssumedLine(f"  {key}", value, why) for key, (value, why) in assumptions.items() if value)
    yield from links
    if guess.table or guess.mask:
        yield AssumedLine("  target", guess.target, _target_words(guess, rows))
    labels = [cell for row in rows if not absent(cell := row.get(guess.target, ""))]
    yield from _positive(Counter(map(spellings(labels).__getitem__, labels)), positive)
    if guess.patient:
        called = "named like a patient column" if called_patient(guess.patient) else "no column is named like one"
        yield AssumedLine("  patient", guess.patient, f"{called}; all images of a patient stay together")
    factors = {name: kind for name, kind in guess.columns.items() if len(_values(rows, name)) > 1 and name != SPLIT}
    for at, (name, kind) in enumerate(factors.items()):
        if not at:
            yield AssumedLine("  factors", None, "columns that environments can use, and that groups are made of")
        yield AssumedLine(f"    {_flow(name)}", kind.kind, f"{len(_values(rows, name))} values")
    yield _size_line()
    splits = {value.casefold() for value in _values(rows, SPLIT)} if SPLIT in guess.columns else set[str]()
    unnamed = "" if guess.patient else f"; {_without_patients(*_names_and_parts(guess, rows))}"
    if {"train", "test"} <= splits or {"training", "testing"} <= splits:
        yield AssumedLine("  split", {"column": SPLIT}, f"the parts as the folders or the table have them{unnamed}")
    else:
        yield AssumedLine(
            "  split", {"folds": _number_of_folds(guess, rows)}, f"every image is tested once per seed{unnamed}"
        )


def _target_words(guess: Guess, rows: Sequence[dict[str, str]]) -> str:
    """Return the values of the target, how many rows have none, and which other columns it may be."""
    values = sorted(_values(rows, guess.target))
    further = f" and {len(values) - 6:,} more" if len(values) > 6 else ""
    words = f"values: {', '.join(values[:6])}{further}" if values else "whether a mask shows any"
    blank = sum(absent(row[guess.target]) for row in rows if guess.target in row)
    words += f"; empty in {blank:,} of {len(rows):,} rows, which a run refuses unless it skips them" if blank else ""
    others = [target for target in guess.targets if target != guess.target]
    return words + (f"; the target may also be {' or '.join(others[:4])}" if others else "")


def _without_patients(names: Sequence[str], parts: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return how images count whose patients are not named, and which part of their names may be the patient."""
    return f"each image counts as a patient, since patients are not named{suggest_names(names, parts)}"


def _names_and_parts(guess: Guess, rows: Sequence[dict[str, str]]) -> tuple[list[str], Mapping[str, Sequence[str]]]:
    """Return the names of the images in a table, and the column that divides them with its cells, if there is one."""
    named = pd.DataFrame([row for row in rows if row.get(guess.image)])
    return (named[guess.image].tolist(), parts_in(TextTable(guess.table, named))) if len(named) else ([], {})


def _positive(images: Mapping[str, int], wanted: str) -> Iterator[AssumedLine]:
    """Yield which of two classes is positive: the one given, or where no word of theirs says it the rarer one."""
    if wanted:
        if not any(same_value(label, wanted) for label in images):
            raise SpecError(f"--positive {wanted}: the classes are {', '.join(map(shown, images))}")
        yield AssumedLine("  positive", wanted, "as you say")
    elif len(images) == 2 and in_order(tuple(images)) is None:
        rarer, other = sorted(sorted(images), key=lambda name: images[name])
        counts = f"{rarer} ({images[rarer]:,}) or {other} ({images[other]:,})"
        why = "it is the rarer class" if images[other] >= RARER * images[rarer] else "they are about as frequent"
        yield AssumedLine("  positive", rarer, f"a guess to check, {counts}, since no class name decides it: {why}")


def _size_line() -> AssumedLine:
    """Return the line of the images' size."""
    return AssumedLine(
        "  size",
        DataSpec.model_fields["size"].default,
        "px: images are resized to this side; a larger one shows more, and trains longer",
    )


def _number_of_folds(guess: Guess, rows: Sequence[dict[str, str]]) -> int:
    """Return how many folds: of few images five, of which three train; of many three, of which one trains."""
    return 5 if _number_of_images(guess, rows) < MANY_IMAGES else 3


def _number_of_images(guess: Guess, rows: Sequence[dict[str, str]]) -> int:
    """Return how many images there are, as far as rows, class folders, outlines or folders of images say."""
    if rows:
        return len(rows)
    if guess.classes:
        return sum(map(len, class_images(guess.folder)[0].values()))
    if guess.way == "outlines":
        return len(json.loads((guess.folder / guess.table).read_text(encoding="utf-8"))["images"])
    return len(image_files(guess.folder / "images")[0])


def _rows(guess: Guess) -> list[dict[str, str]]:
    """Return the rows of the table; none of a COCO file or without a table."""
    if guess.rows:
        return [dict(row) for row in guess.rows]
    if not guess.table or guess.table.endswith(".json"):
        return []
    read = read_table(guess.folder / guess.table, guess.image)
    return [dict(zip(read.header, row, strict=True)) for row in read.rows]


def _values(rows: Sequence[dict[str, str]], column: str) -> set[str]:
    return {cell for row in rows if not absent(cell := row.get(column, ""))}


_PLAIN = re.compile(r"[A-Za-z_][\w./-]*\Z")


def _comment(text: str) -> str:
    """Return a text on one line: YAML ends a comment at line breaks that a name in a table may hold, such as U+0085."""
    return visible(" ".join(text.splitlines()))


def _flow(value: Any) -> str:
    """Return a value in the flow style of YAML; texts that are no plain words are quoted."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in cast("dict[Any, Any]", value).items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, cast("list[Any]", value))) + "]"
    if isinstance(value, str):
        reserved = value.lower() in ("yes", "no", "true", "false", "null", "on", "off", "y", "n")
        return value if _PLAIN.match(value) and not reserved else visible(json.dumps(value, ensure_ascii=False))
    return json.dumps(value)
