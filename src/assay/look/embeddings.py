"""Check embeddings of images: copies and odd images among them, and what a linear decoder reads from them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from assay.core.errors import DataError, SpecError, StoreError, key_text
from assay.core.files import at_home, hide_paths, no_file
from assay.core.reasons import Code, Reason
from assay.core.seeds import folds_by_patient
from assay.core.types import FactorTable
from assay.data.dataset import Dataset
from assay.data.files.folder import undeclared_table
from assay.data.files.joins import Unmatched, match, require_matched
from assay.data.files.load import names_of
from assay.data.files.readers import check_npz
from assay.data.files.roles import SCORES, SPLITS, TARGETS, called_patient
from assay.data.files.table import TextTable, number, read_table
from assay.data.near_copies import NearPair, merge_patients
from assay.look.checks import (
    ALIKE,
    FARS,
    Cluster,
    DataChecks,
    image_numbers,
    issue,
    numbers_of,
    place_names,
    robust_deviations,
)
from assay.look.cues import CAUTION_AUROC, FOLDS, SEED, auroc_interval, compared_classes, cue_of
from assay.probes.decodability import DecodingScore, DecodingTask, FeatureSpace, decoding_tasks, score_spaces
from assay.spec.data import name_of_target
from assay.spec.schema import DataSpec
from assay.stats.format import join_words
from assay.stats.metrics import is_varying
from assay.stats.neighbors import NEIGHBORS, is_near_copy, nearest_rows
from assay.stats.ridge import cross_validated_predictions
from assay.store.files import Row, read_parquet

ODD = "odd-embedding"
ERROR_FACTOR = math.sqrt(1 + FOLDS / (FOLDS - 1))
"""Factor of the standard error of an AUROC of decoders of other folds (Nadeau and Bengio, 2003): these share patients,
so that scores of different patients move together. Without it, 95% intervals held 0.82 to 0.90 of truths."""
LIBRARIES = ("timm:", "hf:")
"""Prefixes of the names of encoders."""


# Read embeddings.


@dataclass(frozen=True)
class Embeddings:
    """Features of the images.

    Attributes:
        name: Name of their file or encoder.
        features: A row for each image; NaN for one that has none.
        notes: Sentences on images and rows without a partner.
        libraries: Names of the libraries of a network that made them here.
    """

    name: str
    features: Float[np.ndarray, "n d"]
    notes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


def read_embeddings(
    source: Any, ids: Path | None, spec: DataSpec, dataset: Dataset, unmatched: Unmatched
) -> Embeddings:
    """Return the embeddings of images from a file, a data frame or an encoder.

    Args:
        source: A path (CSV, Parquet, NPY, NPZ), a data frame, or `timm:NAME` or `hf:NAME`.
        ids: A file with the names of the rows of an NPY file: a text file with one each, or a CSV.
        spec: The images.
        dataset: The images as they were read.
        unmatched: Whether too many images without a row are refused.

    Raises:
        DataError: The file cannot be read, too many images have no row there, or a cell is no finite number.
        SpecError: The file lacks the column of names, or an option has no use.
        WeightsError: The weights of an encoder cannot be had.
    """
    path = None if isinstance(source, pd.DataFrame) else at_home(str(source))
    if ids is not None and (path is None or path.suffix.lower() != ".npy"):
        raise SpecError(f"{key_text('--ids')} has the names of the rows of an NPY file, and is used with none other")
    if path is not None and str(source).startswith(LIBRARIES):
        from assay.models.encoders import encode  # most looks need no network

        libraries = ("torch", "transformers" if str(source).startswith("hf:") else "timm")
        return Embeddings(hide_paths(str(source)), encode(str(source), dataset.images), libraries=libraries)
    places = dataset.table.places
    if places is None:
        raise SpecError(f"{key_text('--embeddings')}: these images have no files or rows that embeddings could name")
    column = spec.image if spec.table else "file"
    rows = _rows_of_frame(source, column) if path is None else _rows_of_file(path, ids, column)
    names = list(map(names_of(spec).__getitem__, places.numbers))
    matches = match(names, rows.ids)
    classes = [dataset.table.classes[int(code)] for code in dataset.table.target]
    notes = require_matched(matches, rows.name, unmatched=unmatched, classes=classes, lines=rows.lines)
    features = np.full((len(names), rows.features.shape[1]), np.nan)
    features[list(matches.pairs)] = rows.features[list(matches.pairs.values())]
    invalid_rows = [at for at in matches.pairs if not np.isfinite(features[at]).all()]
    if invalid_rows or not features.shape[1]:
        text = f"a cell of {names[invalid_rows[0]]} is not a number" if invalid_rows else "no column of numbers"
        raise DataError(f"{rows.name}: {text}; expected {column} and columns of numbers")
    if not is_varying(features[list(matches.pairs)]).any():
        raise DataError(f"{rows.name}: no column differs between images")
    if rows.skipped:
        notes += (f"columns of {rows.name} that are no features by their names: {join_words([*rows.skipped])}",)
    return Embeddings(rows.name, features, notes)


@dataclass(frozen=True)
class NamedRows:
    """Rows of a file of embeddings: their names, lines and numbers; NaN where a cell is none.

    skipped: Columns that are called as classes, scores, patients or parts, and are no features.
    """

    name: str
    ids: Sequence[str]
    features: Float[np.ndarray, "m d"]
    lines: Sequence[int] = ()
    skipped: Sequence[str] = ()


def _rows_of_file(path: Path, ids: Path | None, column: str) -> NamedRows:
    if not path.is_file():
        raise DataError(no_file(path))
    if (kind := path.suffix.lower()) in (".npy", ".npz"):
        return _rows_of_arrays(path, ids)
    if kind in (".parquet", ".pq"):
        try:
            return replace(_rows_of_frame(pd.DataFrame(read_parquet(path)), column, path.name), name=path.name)
        except StoreError as error:
            raise DataError(f"{path.name} cannot be read as Parquet") from error
    table = read_table(path, column)
    names = table.column(column, key_text("--embeddings"))
    chosen, skipped = _feature_columns([name for name in table.header if name != column])
    cells = table.frame[chosen].map(partial(number, comma=table.comma))
    return NamedRows(path.name, names, cells.to_numpy(np.float64), table.numbers, skipped)


def _feature_columns(names: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the columns that may be features, and the others: those called as classes, scores, patients or parts.

    A class among the features would make any decoder perfect.
    """
    x_and_y = {"y"} if "x" in names else set[str]()  # a plane of features
    names_of_others = {*TARGETS, *SCORES, *SPLITS} - x_and_y
    others = [name for name in names if called_patient(name) or name.casefold() in names_of_others]
    return [name for name in names if name not in others], tuple(others)


def _rows_of_frame(frame: pd.DataFrame, column: str, name: str = "embeddings") -> NamedRows:
    """Return rows of a data frame; columns of lists become a column for each element."""
    ids = TextTable(name, frame[[column]].astype(str) if column in frame else frame).column(
        column, key_text("--embeddings")
    )
    chosen, skipped = _feature_columns([str(name) for name in frame if name != column])
    others = [frame[name] for name in frame if str(name) in chosen and name != column]
    try:
        parts = [np.array(values.tolist(), dtype=np.float64).reshape(len(frame), -1) for values in others]
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: a cell is not a number; expected {column} and columns of numbers") from error
    features = np.concatenate(parts, axis=1) if parts else np.empty((len(frame), 0))
    return NamedRows(name, ids, features, skipped=skipped)


def _rows_of_arrays(path: Path, ids: Path | None) -> NamedRows:
    """Return rows of an NPZ file with `ids` and `features`, or of an NPY file whose names another file has."""
    expected = "expected arrays `ids` and `features`"
    if path.suffix.lower() == ".npy":
        expected = "expected an array with a row for each image"
        if ids is None:
            raise SpecError(
                f"{path.name} has no names of images: give {key_text('--ids', 'FILE')} with one a line, in "
                "the order of its rows, or an NPZ file with `ids` and `features`"
            )
    try:
        if ids is None:
            check_npz(path)
        loaded: Any = np.load(path, allow_pickle=False)
        features = np.asarray(loaded if ids is not None else loaded["features"], dtype=np.float64)
        names = _names_of_rows(ids) if ids is not None else _texts_of_ids(loaded["ids"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} cannot be read: {expected} ({error})") from error
    if features.ndim != 2 or len(features) != len(names):
        shape = " x ".join(map(str, features.shape))
        raise DataError(f"{path.name} has {shape} numbers, and there are {len(names):,} names: {expected}")
    return NamedRows(path.name, names, features)


def _texts_of_ids(ids: np.ndarray) -> list[str]:
    """Return names as texts. Raises ValueError where they have no letters: a small file holds any number of those."""
    if ids.nbytes < ids.size:
        raise ValueError(f"`ids` has {ids.size:,} names of no letter")
    return [str(name) for name in ids.tolist()]


def _names_of_rows(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


# Check them.


def with_embeddings(checks: DataChecks, spec: DataSpec, embeddings: Embeddings) -> tuple[DataChecks, list[Row]]:
    """Return the checks with those of embeddings, and rows of `kind.DECODED`.

    Images of one patient are not compared: they are alike as a rule.
    """
    assert checks.dataset is not None
    rows = np.flatnonzero(np.isfinite(embeddings.features).all(axis=1))
    features, table = embeddings.features[rows], checks.dataset.table
    part = table.take(rows)
    decoded = list(_decoded_rows(part, _decodable_columns(spec, table, rows), features, checks, spec))
    near_copies, odd, deviations, reasons = _find_unusual(part, features)
    copies = [set(cluster.tolist()) for cluster in (*checks.clusters, *checks.suspected)]
    clusters = [rows[cluster] for cluster in near_copies]
    clusters = [cluster for cluster in clusters if not any(copy >= set(cluster.tolist()) for copy in copies)]
    issues = [
        row
        for group, cluster in enumerate(clusters, start=len(copies) + 1)
        for row in _issues(table, ALIKE, cluster, np.full(len(cluster), np.nan), group)
    ]
    if clusters:
        reasons.append(
            Reason.of(
                Code.ODD_IMAGES,
                count=sum(map(len, clusters)),
                kind=ALIKE,
                rows=image_numbers(table, clusters[0]),
                **place_names(table),
            )
        )
    outliers = {ODD: (rows[odd], deviations)} if len(odd) else {}
    if len(odd):
        issues += _issues(table, ODD, rows[odd], deviations)
        reasons.append(
            Reason.of(
                Code.ODD_IMAGES, count=len(odd), kind=ODD, rows=image_numbers(table, rows[odd]), **place_names(table)
            )
        )
    checks = replace(
        checks,
        odd={**checks.odd, **outliers},
        alike=clusters,
        issues=[*checks.issues, *issues],
        reasons=[*checks.reasons, *reasons, *_encoding_caution(decoded)],
    )
    return checks, decoded


def _issues(
    table: FactorTable, kind: str, rows: Cluster, values: Float[np.ndarray, " m"], group: int = 0
) -> Iterator[Row]:
    places: list[int] = rows.tolist()
    for at, value in zip(places, values.tolist(), strict=True):
        of = table.classes[int(table.target[at])]
        yield issue(kind, numbers_of(table)[at], of=of, cluster=group, value=value)


def _decodable_columns(spec: DataSpec, table: FactorTable, rows: Cluster) -> FactorTable:
    """Return these rows with the columns that may be decoded: those of the study, and those that it does not name."""
    others = undeclared_table(spec, table)
    factors = [factor for factor in table.factors if factor.role != "core"]
    chosen = replace(table, factors=tuple(factors))
    if others is not None:
        for factor in others.factors:
            chosen = chosen.with_column(factor, others.columns[factor.name])
    return chosen.take(rows)


def _decoded_rows(
    table: FactorTable, columns: FactorTable, features: Float[np.ndarray, "n d"], checks: DataChecks, spec: DataSpec
) -> Iterator[Row]:
    """Yield the linear probe of the target, the best simple cue, and every column within classes."""
    target, probe = name_of_target(spec), _probe(table, features)
    keys = ("of", "value", "low", "high", "images", "patients", "reason")
    yield {"name": target, "kind": "target", "source": "embeddings", **{key: probe[key] for key in keys}}
    for cue in checks.shortcuts[:1]:
        yield {"name": target, "kind": "cue", "source": cue["name"], **{key: cue[key] for key in keys}}
    tasks = decoding_tasks(columns, FOLDS, within_class=True)
    fold = folds_by_patient(columns.patient, FOLDS, SEED)
    scores = score_spaces([FeatureSpace("", "", features)], tasks, fold, columns.patient, SEED)
    for task in tasks:
        yield {
            "name": task.factor,
            "kind": "column",
            "source": "embeddings",
            "of": "",
            **_score_cells(task, scores[task.factor][0], columns.patient),
        }


def _probe(table: FactorTable, features: Float[np.ndarray, "n d"]) -> Row:
    """Return a row of `SHORTCUTS` of a ridge regression on other patients, for the class that it predicts best."""
    member = np.stack([table.target == code for code in compared_classes(table)], axis=1)
    least = min(len(np.unique(table.patient[side])) for of_class in member.T for side in (of_class, ~of_class))
    if least < FOLDS:
        empty = cue_of("probe", "embeddings", table, {}, None).row
        return {**empty, "reason": str(Reason.of(Code.FEW_OF_CLASS, patients=least, least=FOLDS))}
    fold = folds_by_patient(table.patient, FOLDS, SEED)
    scores = cross_validated_predictions(features, member.astype(np.float64), fold)
    return cue_of(
        "probe", "embeddings", table, dict(zip(compared_classes(table), scores.T, strict=True)), fold, ERROR_FACTOR
    ).row


def _score_cells(task: DecodingTask, score: DecodingScore, patient: Int[np.ndarray, " n"]) -> Mapping[str, Any]:
    low = high = float("nan")
    if not score.reason:
        sides = [
            patient[question.rows][side]
            for question in task.targets
            for positive in question.positive.T
            for side in (positive, ~positive)
        ]
        low, high = auroc_interval(score.value, ERROR_FACTOR * score.error, min(len(np.unique(side)) for side in sides))
    return {
        "value": score.value,
        "low": low,
        "high": high,
        "images": len(task.rows),
        "patients": len(np.unique(patient[task.rows])),
        "reason": str(score.reason),
    }


def _find_unusual(
    table: FactorTable, features: Float[np.ndarray, "n d"]
) -> tuple[list[Cluster], Cluster, Float[np.ndarray, " m"], list[Reason]]:
    """Return images alike as clusters, odd ones, the worst first, how far these are, and why there was no search."""
    none = np.empty(0, dtype=np.int64)
    most_of_patient = int(np.unique(table.patient, return_counts=True)[1].max()) if len(table) else 0
    if len(table) - most_of_patient < 2 * NEIGHBORS:
        reason = Reason.of(Code.EMBEDDINGS_FEW, images=len(table) - most_of_patient, least=2 * NEIGHBORS)
        return [], none, none.astype(np.float64), [reason]
    distances, positions = nearest_rows(features, table.patient)
    copies: Bool[np.ndarray, " n"] = is_near_copy(distances)
    pairs = [NearPair(at, int(positions[at, 0]), 1.0) for at in np.flatnonzero(copies).tolist()]
    linked = merge_patients(np.arange(len(table)), pairs)
    groups = [np.flatnonzero(linked == first) for first in np.unique(linked[copies])]
    deviations = robust_deviations(np.log(np.maximum(distances[:, -1], np.finfo(np.float64).tiny)))
    odd = np.flatnonzero(deviations >= FARS["outlying"])
    odd = odd[np.argsort(-deviations[odd], kind="stable")]
    return sorted(groups, key=len, reverse=True), odd, deviations[odd], []


def _encoding_caution(decoded: Sequence[Row]) -> Iterator[Reason]:
    """Yield the caution on columns that embeddings clearly encode, the clearest first."""
    clear = sorted(
        (row for row in decoded if row["kind"] == "column" and row["low"] > CAUTION_AUROC),
        key=lambda row: -row["value"],
    )
    if clear:
        columns = {"names": "name", "kinds": "kind", "values": "value", "lows": "low", "highs": "high"}
        yield Reason.of(
            Code.EMBEDDINGS_ENCODE, **{key: tuple(str(row[of]) for row in clear) for key, of in columns.items()}
        )
