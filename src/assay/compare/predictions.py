"""Read predictions of models that were made elsewhere: a row per image, recipe and seed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from assay.compare.request import CompareRequest
from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import is_file, no_file
from assay.core.log_odds import SMALLEST
from assay.core.reasons import Code, Reason
from assay.data.files.in_memory import kept_table
from assay.data.files.joins import MOST_LOST, Unmatched, match, require_matched
from assay.data.files.kinds import (
    cautions_of,
    columns_left_out,
    notation_of,
    one_patient,
    split_counts,
    weights_of_cases,
)
from assay.data.files.roles import repeats_of, roles_of, some_values
from assay.data.files.scored import ScoredRows, read_scored_rows
from assay.data.files.table import TextTable, merged, read_table, require_whole, shown, spellings
from assay.report.sentences.scores import scales_words
from assay.stats.metrics import ON_THRESHOLD
from assay.stats.panel import SeedPredictions
from assay.stats.scores import Scale, scale_of

_OF_PROBABILITIES = frozenset({"brier", "log-loss", "calibration-error"})
"""Measures that no other scores have."""
_OF_EXACT = frozenset({"brier", "calibration-error"})
"""Measures in which probabilities of exactly 0 and 1 count as they are."""
_MOST_NAMED = 5
_SPREAD = 0.5
"""Scores of a seed within 0 and 1 that differ by more are probabilities: log-odds would be below 0, too."""
_MOST_DIGITS = 19
"""Digits of a number that a table cannot hold."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of several recipes on the same images.

    Attributes:
        panels: Recipe -> its outputs.
        facts: How the file was read, as rows of `provenance`.
        notes: What was assumed of the file.
        seeds: Names of the seeds, by their numbers in the panels.
    """

    panels: Mapping[str, SeedPredictions]
    notes: tuple[Reason, ...]
    seeds: tuple[str, ...]
    facts: Mapping[str, str]

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """Numbers of the seeds in tables: their names where these are whole numbers, else their places."""
        are_numbers = all(
            name.isdecimal() and name == str(int(name)) and len(name) < _MOST_DIGITS for name in self.seeds
        )
        return tuple(map(int, self.seeds)) if are_numbers else tuple(range(len(self.seeds)))


def read_predictions(columns: CompareRequest) -> Predictions:
    """Read a CSV with a row per image, recipe and seed; a request names the file and its columns.

    Raises:
        DataError: The file cannot be read, or holds a row twice, an image of two targets, or a score that is no
            number.
        SpecError: A column is missing, or the positive class is not known.
    """
    rows, columns, guessed = _read_columns(columns)
    if not columns.as_given:
        rows.require_score_of_one_class(100 if columns.scores == "percent" else 1)
    table, labels, score = rows.table, rows.target, rows.score
    groups, classes = _spelled(table.column(columns.by, key_text("--by"))), rows.cells("target")
    named, matched = _same_names(table.column(columns.image, key_text("--image")), groups, columns.unmatched)
    image_names, image = _encode_values(named)
    group_names, group = _encode_values(groups)
    notes: list[Reason] = []

    def cells(name: str, option: str, otherwise: Sequence[str], code: Code) -> Sequence[str]:
        if name not in table.header:
            notes.append(Reason.of(code, column=name))
        return table.column(name, option) if name in table.header else otherwise

    names = cells(columns.patient, key_text("--patient"), named, Code.NO_PATIENT_COLUMN)
    target = _same(image, labels.codes, image_names, "targets")
    patient = _same(image, _encode_values(names)[1], image_names, "patients")
    seeds = cells(columns.seed, key_text("--seed"), ["0"] * len(table), Code.NO_SEED_COLUMN)
    seed_names, seed = _encode_values(_spelled(seeds))
    folds = _encode_values(table.column(columns.fold, key_text("--fold")))[1] if columns.fold in table.header else None
    scales = _rescale(score, (group, seed), (group_names, seed_names), columns, notes)
    at = group, seed, image
    counted = _count_predictions(at, (group_names, seed_names, image_names), table, columns)
    compared, left_out = _answered_by_all(counted > 0, (group_names, seed_names), columns.unmatched)
    answers, fold = np.zeros(counted.shape), np.zeros(counted.shape, dtype=np.int64)
    answers[at] = score
    fold[at] = 0 if folds is None else folds
    panels: dict[str, SeedPredictions] = {}
    recipe_of_scores: dict[bytes, str] = {}
    shared = compared.any(axis=(0, 1))
    for g, name in enumerate(group_names):
        seeds_of_group = np.flatnonzero(counted[g].any(axis=1))
        lacking = int((counted[g, seeds_of_group] == 0).sum())
        if lacking:
            notes.append(Reason.of(Code.MISSING_PREDICTIONS, recipe=name, count=lacking))
        tested = compared[g, seeds_of_group][:, shared]
        if (other := recipe_of_scores.setdefault(answers[g].tobytes(), name)) != name:
            notes.append(Reason.of(Code.SAME_PREDICTIONS, recipe=name, other=other))
        if copies := _equal_seeds(answers[g, seeds_of_group]):
            alike = tuple(seed_names[int(seeds_of_group[at])] for at in copies)
            notes.append(Reason.of(Code.SAME_SEEDS, recipe=name, names=alike))
        panels[name] = SeedPredictions(
            answers[g, seeds_of_group][:, shared, None],
            target[shared],
            patient[shared],
            fold=None if folds is None else fold[g, seeds_of_group][:, shared],
            has_prediction=None if tested.all() else tested,
            thresholds=np.full(len(seeds_of_group), columns.threshold),
            seeds=seeds_of_group,
        )
    from assay.data.files.patients import doubtful_patients  # here: it loads for tables alone

    facts = {
        "columns": guessed,
        **notation_of(table),
        **split_counts(table),
        **cautions_of({columns.target: classes}, ""),
        "read as one": "; ".join(_read_as_one(table, (columns.by, columns.seed, columns.target))),
        "positive class": labels.positive,
        "matched": "; ".join(filter(None, (matched, left_out))),
        "scores": scales_words(scales),
        "columns left out": columns_left_out(weights_of_cases(table, (columns.by, *rows.roles.values()))),
        **one_patient(patient[shared]),
        **doubtful_patients(names, table.numbers, "line"),
    }
    return Predictions(panels, tuple(notes), tuple(seed_names), facts)


def _read_columns(columns: CompareRequest) -> tuple[ScoredRows, CompareRequest, str]:
    """Return the rows of a file, the request with the columns that were found, and what was guessed."""
    path = _file_of(columns.data)
    table = read_table(path, columns.image or "image")
    require_whole(table)
    roles = {name: getattr(columns, name) for name in ("score", "target", "patient", "image", "seed")}
    roles, guessed = roles_of(table, (columns.by, columns.fold), columns.positive, **roles)
    columns = columns.with_changes(**roles)
    if not len(table):
        raise DataError(f"{path.name} holds no predictions; give a row per image, recipe and seed")
    return read_scored_rows(table, roles, columns.positive), columns, guessed


def _rescale(
    score: np.ndarray,
    at: tuple[np.ndarray, np.ndarray],
    names: tuple[Sequence[str], Sequence[str]],
    columns: CompareRequest,
    notes: list[Reason],
) -> dict[str, Scale]:
    """Replace scores by log-odds, and return what those of each recipe were; recipes with one answer are noted.

    Args:
        score: The scores.
        at: Recipe and seed of each score.
        names: Names of the recipes and seeds.
        columns: The request.
        notes: Gets the notes.

    Raises:
        SpecError: The scores of a seed seem to be probabilities, and those of another log-odds.
    """
    scales = dict[str, Scale]()
    (group, seed), (recipes, seeds) = at, names
    for g, name in enumerate(recipes):
        of_group = group == g
        scale = scale_of(score[of_group], columns.scores, columns.threshold, f"the scores of '{name}'", columns.score)
        for s in np.unique(seed[of_group]).tolist() if scale.kind == "logits" and columns.scores == "auto" else ():
            of_seed = score[of_group & (seed == s)]
            if of_seed.min() >= 0 and of_seed.max() <= 1 and np.ptp(of_seed) > _SPREAD:
                raise SpecError(
                    f"the scores of '{name}' with seed {seeds[s]} are from {of_seed.min():.3g} to {of_seed.max():.3g}, "
                    "as probabilities, and those of its other seeds are log-odds: write all in one way, or give "
                    f"{key_text('--scores', 'logits')} if all are log-odds"
                )
        if scale.kind == "other" and columns.measure in _OF_PROBABILITIES:
            raise SpecError(
                f"{key_text('--measure', columns.measure)} needs probabilities, and the scores of '{name}', from "
                f"{scale.least:.3g} to {scale.greatest:.3g}, are none: give {key_text('--scores', 'logits')} if they "
                "are log-odds"
            )
        if columns.measure in _OF_EXACT:
            scale = replace(scale, ends=SMALLEST, exact=(0, 0))
        score[of_group], scales[name] = scale.log_odds(score[of_group]), scale
        called = expit(score[of_group]) >= columns.threshold * ON_THRESHOLD
        if called.all() or not called.any():
            kind = "positive" if called.all() else "negative"
            notes.append(Reason.of(Code.CALLED_ALIKE, recipe=name, count=len(called), kind=kind))
    return scales


def _equal_seeds(answers: Float[np.ndarray, "seeds images"]) -> list[int]:
    """Return the first seeds of a recipe that have the same score in every image; empty where all differ.

    Calls, of two values, may well be the same.
    """
    seeds_of: dict[bytes, list[int]] = {}
    for at, scores in enumerate(answers):
        if len(np.unique(scores)) > 2:
            seeds_of.setdefault(scores.tobytes(), []).append(at)
    return next((seeds for seeds in seeds_of.values() if len(seeds) > 1), list[int]())


def _file_of(data: Any) -> Path:
    """Return the file of predictions that may be in memory. Raises DataError, or SpecError where they are no table."""
    if isinstance(data, Mapping):
        data = cast("Mapping[str, Any]", data).get("table")
    if not isinstance(data, str | os.PathLike):
        return kept_table(data, "predictions")
    path = Path(os.fspath(cast("str", data)))
    if not is_file(path):
        raise DataError(no_file(path))
    return path


def _same_names(images: Sequence[str], groups: Sequence[str], unmatched: Unmatched) -> tuple[list[str], str]:
    """Return each image by its name in the first recipe, where it is there, and what is left over or was ignored.

    Raises:
        DataError: Over a tenth of the images of either recipe are not in the other, unless they are dropped.
    """
    names_by_group: dict[str, dict[str, str]] = {}
    for image, group in zip(images, groups, strict=True):
        names_by_group.setdefault(group, {})[image] = image
    first, *others = names_by_group
    notes: list[str] = []
    for group in others:
        matches = match(tuple(names_by_group[group]), tuple(names_by_group[first]))
        names_by_group[group] |= {matches.left[at]: matches.right[to] for at, to in matches.pairs.items()}
        where = first
        if len(names_by_group[first]) > len(names_by_group[group]):  # images are on the side that has more of them
            turned = {to: at for at, to in matches.pairs.items()}
            matches, where = replace(matches, left=matches.right, right=matches.left, pairs=turned), group
        sentences = require_matched(matches, f"'{where}'", unmatched=unmatched)
        notes += [f"{group}: {sentence}" for sentence in sentences]
    return [names_by_group[group][image] for image, group in zip(images, groups, strict=True)], "; ".join(notes)


def _repeats_words(table: TextTable, columns: CompareRequest) -> str:
    """Return which column tells several predictions of an image apart, and what to do with it; empty without one."""
    cases = [name for name in (columns.by, columns.seed, columns.image) if name in table.header]
    name = repeats_of(table, cases, (columns.score, columns.target, columns.patient))
    if not name:
        return ""
    values = some_values(table, name)
    return f"; '{name}' has a row for each of {values}: {key_text('--seed', name)}, if each is a network of its own"


def _count_predictions(
    at: tuple[np.ndarray, ...], names: Sequence[Sequence[str]], table: TextTable, columns: CompareRequest
) -> Int[np.ndarray, "groups seeds images"]:
    """Return how many predictions each recipe, seed and image has. Raises DataError where there are several.

    Args:
        at: Recipe, seed and image of each row.
        names: Their names.
        table: The rows.
        columns: Names of their columns.
    """
    counted = np.zeros([len(values) for values in names], dtype=np.int64)
    np.add.at(counted, at, 1)
    if (counted > 1).any():
        g, s, i = np.argwhere(counted > 1)[0].tolist()
        raise DataError(
            f"{int((counted > 1).sum())} predictions are there twice, such as image '{names[2][i]}' of "
            f"'{names[0][g]}', seed {names[1][s]}: give one row per image, recipe and seed"
            f"{''.join(f'; {text} are one' for text in _read_as_one(table, (columns.by, columns.seed)))}"
            f"{_repeats_words(table, columns)}"
        )
    return counted


def _answered_by_all(
    answered: Bool[np.ndarray, "groups seeds images"], names: Sequence[Sequence[str]], unmatched: Unmatched
) -> tuple[Bool[np.ndarray, "groups seeds images"], str]:
    """Return which predictions are compared, and what is left out: of a seed, images that a recipe did not answer.

    Args:
        answered: Whether there is a prediction.
        names: Of recipes and of seeds.
        unmatched: Whether a recipe that lacks too many images of a seed is refused.

    Raises:
        DataError: A recipe lacks over a tenth of the images of a seed, unless they are dropped; or none is left.
    """
    of_seed = np.asarray(answered.any(axis=0))
    lacking = of_seed & ~answered & answered.any(axis=2, keepdims=True)
    missing, images = np.asarray(lacking.sum(axis=2)), np.asarray(of_seed.sum(axis=1))
    shares = missing / np.maximum(images, 1)
    compared = answered & ~lacking.any(axis=0)
    g, s = divmod(int(shares.argmax()), shares.shape[1])
    if (shares[g, s] > MOST_LOST and unmatched == "refuse") or not compared.any():
        raise DataError(
            f"'{names[0][g]}' lacks {int(missing[g, s]):,} of {int(images[s]):,} images of seed "
            f"{names[1][s]}, which other recipes have: so many are rarely omitted on purpose; complete the file, or "
            f"compare the images that all recipes of a seed have with {key_text('--unmatched', 'drop')}"
        )
    others = int(answered.sum()) - int(compared.sum())
    return compared, f"left out: {others:,} predictions of images that not every recipe of a seed has" if others else ""


def _spelled(cells: Sequence[str]) -> list[str]:
    """Return cells of recipes or seeds in one spelling each: `Dice ` is dice, and 0.0 is 0."""
    spelled = spellings(cells)
    return [spelled.get(cell, cell) for cell in cells]


def _read_as_one(table: TextTable, names: Sequence[str]) -> Iterator[str]:
    """Yield which values of columns are one, as recipes that differ in case, and seeds that are written 0 and 0.0."""
    for name in (name for name in names if name in table.header):
        if same := merged(table.column(name, "data"), numbers=True):
            yield f"{same} in {name}"
        for value in sorted(value for column, value in table.padded if column == name):
            yield f"{shown(value)} and {shown(value)} with a blank in {name}"


def _encode_values(values: Sequence[str]) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """Return the distinct values, in the order in which they come first, and the place of each entry."""
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(value, len(places)) for value in values], dtype=np.int64)
    return list(places), codes


def _same(
    image: Int[np.ndarray, " n"], value: Int[np.ndarray, " n"], names: Sequence[str], what: str
) -> Int[np.ndarray, " i"]:
    """Return the value of each image, which all of its rows must share."""
    values = np.full(len(names), -1)
    values[image] = value
    differing = np.unique(image[values[image] != value])
    if len(differing):
        examples = ", ".join(f"'{names[i]}'" for i in differing[:_MOST_NAMED])
        raise DataError(f"{len(differing)} images have several {what}, such as {examples}")
    return values
