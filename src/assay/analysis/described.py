"""Descriptions of a study's data that tables and page need, stored so that these can be made without the data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Int

from assay.analysis.data_checks import Looked, cautions, visibility_rows
from assay.analysis.doses import dose_count_rows
from assay.analysis.folds import Folds, Group, Outputs
from assay.analysis.illustrations import illustrate
from assay.analysis.preview import distinct_environments
from assay.analysis.results import Gathered
from assay.analysis.shortcuts import shortcut_cautions, shortcut_rows
from assay.core.errors import StoreError
from assay.core.files import sha256
from assay.core.measures import OF_WORST_GROUP
from assay.core.reasons import Reason, read
from assay.core.types import FactorTable
from assay.data.cards import without_patients
from assay.data.dataset import Card
from assay.data.near_copies import not_looked_for
from assay.execution.plan import Plan
from assay.shifts.environment import Achieved, Environment
from assay.shifts.population import Population
from assay.spec.schema import ENVIRONMENT, RecipePoint
from assay.store.files import ALTERED, REMADE, Row, read_checked_json, write_checked_json
from assay.store.folder import RunFolder
from assay.store.migrations import migrated
from assay.store.schema import SCHEMA_VERSION

DESCRIBED = "described.json"


@dataclass(frozen=True)
class Described:
    """Description of a study's data.

    environments, dose_counts, pictures, visibility, shortcuts: rows of these tables. facts: the provenance of the data.
    leakage: as datasets have it. unnamed: a remark on a set whose patients are not named, else empty.
    drawn: images come from a phantom, in which no copies are looked for.
    bounded: the set is too large to search it for cropped copies.
    cautions: as `cautions` says them. folds: of every seed.
    pooled: (recipe label, seed) -> measurements of all folds together. worst: (recipe label, seed, environment, group)
    -> the rows of the groups that are the worst where a comparison of the worst is stated.
    """

    environments: tuple[Row, ...]
    dose_counts: tuple[Row, ...]
    pictures: tuple[Row, ...]
    visibility: tuple[Row, ...]
    shortcuts: tuple[Row, ...]
    facts: Mapping[str, str]
    leakage: tuple[Reason, ...] | None
    cautions: tuple[Reason, ...]
    folds: int
    pooled: Mapping[tuple[str, int], list[Row]]
    worst: Mapping[tuple[str, int, str, Group], list[int]]
    unnamed: str = ""
    drawn: bool = False
    bounded: bool = False

    def measurements(self, point: RecipePoint, seed: int, outputs: Mapping[str, Outputs]) -> list[Row]:
        """The measurements over all folds together, as `Folds` made them."""
        return self.pooled.get((point.label, seed), [])

    def members(self, point: RecipePoint, seed: int, environment: str, group: Group) -> Int[np.ndarray, "n"]:
        """The rows of a group, as `Folds` had them. Raises StoreError for one that was not kept."""
        rows = self.worst.get((point.label, seed, environment, group))
        if rows is None:
            raise StoreError(
                f"{DESCRIBED} holds no images of the group {' '.join(filter(None, group))} in {environment}, which is "
                f"the worst of {point.label}: run the study again, which trains nothing that is there"
            )
        return np.array(rows, dtype=np.int64)


def describe(gathered: Gathered, population: Population) -> Described:
    """Draw the pictures of a finished study to `pictures/`, and describe its data for the tables."""
    card, facts = population.card, facts_of(population.card)
    leakage = population.dataset.leakage if population.dataset else ()
    unnamed = without_patients(card.known_faults)
    environments = tuple(environment_rows(gathered.plan, population))
    doses = tuple(dose_count_rows(gathered.plan.spec, population))
    pictures = tuple(illustrate(gathered, population))
    spec = gathered.plan.spec
    looked = Looked.at(spec, population)
    visibility, shortcuts = tuple(visibility_rows(spec, looked)), tuple(shortcut_rows(spec, population))
    told = (*cautions(spec, population, looked), *shortcut_cautions(shortcuts))
    pooled, worst = gathered.pooled, _worst_groups(gathered)
    drawn = population.dataset is None
    bounded = population.dataset is not None and bool(not_looked_for(len(population.dataset.table)))
    return Described(
        environments,
        doses,
        pictures,
        visibility,
        shortcuts,
        facts,
        leakage,
        told,
        population.folds,
        pooled,
        worst,
        unnamed,
        drawn,
        bounded,
    )


def _worst_groups(gathered: Gathered) -> dict[tuple[str, int, str, Group], list[int]]:
    spec = gathered.plan.spec
    stated = {
        (environment, OF_WORST_GROUP[one.measure])
        for one in spec.contrasts
        if one.measure in OF_WORST_GROUP
        for environment in one.mean_over.get(ENVIRONMENT, (one.environment,))
    }
    return {
        (point.label, seed, environment, place): gathered.folds.members(point, seed, environment, place).tolist()
        for environment, measure in sorted(stated)
        for point in spec.points
        if (place := gathered.worst_place(point, environment, measure))
        for seed in gathered.kept_seeds(point)
    }


def keep(folder: RunFolder, described: Described) -> None:
    """Write it to the run folder."""
    values = {
        "schema": SCHEMA_VERSION,
        "environments": _written(described.environments),
        "dose_counts": _written(described.dose_counts),
        "pictures": _written(described.pictures),
        "visibility": _written(described.visibility),
        "shortcuts": _written(described.shortcuts),
        "facts": dict(described.facts),
        "leakage": None if described.leakage is None else [str(one) for one in described.leakage],
        "cautions": [str(one) for one in described.cautions],
        "unnamed": described.unnamed,
        "drawn": described.drawn,
        "bounded": described.bounded,
        "folds": described.folds,
        "pooled": [
            {"recipe": recipe, "seed": seed, "rows": _written(rows)}
            for (recipe, seed), rows in described.pooled.items()
        ],
        "worst": _written_groups(described.worst),
        "files": {path.name: sha256(path) for path in _drawn(folder, described.pictures)},
    }
    write_checked_json(folder.root / DESCRIBED, values, sort_keys=False)


def kept(folder: RunFolder) -> Described:
    """Read the description that the last finished run stored.

    Raises:
        StoreError: There is none.
    """
    path = folder.root / DESCRIBED
    if not path.is_file():
        raise StoreError(f"{folder.root} holds no {DESCRIBED}: no run ended here; run the study again with its spec")
    values = migrated(read_checked_json(path), path)
    files: Mapping[str, str] = values.get("files", {})
    for picture in _drawn(folder, values["pictures"]):
        if picture.name in files and sha256(picture) != files[picture.name]:
            raise StoreError(f"cannot read {picture}: {ALTERED}; {REMADE}")
    return Described(
        environments=tuple(_read(values["environments"])),
        dose_counts=tuple(_read(values.get("dose_counts", []))),
        pictures=tuple(_read(values["pictures"])),
        visibility=tuple(_read(values.get("visibility", []))),
        shortcuts=tuple(_read(values.get("shortcuts", []))),
        facts=values["facts"],
        leakage=None if values["leakage"] is None else tuple(map(read, values["leakage"])),
        cautions=tuple(map(read, values.get("cautions", ()))),
        unnamed=values.get("unnamed", ""),
        folds=values["folds"],
        drawn=bool(values.get("drawn", False)),
        bounded=bool(values.get("bounded", False)),
        pooled={(entry["recipe"], entry["seed"]): _read(entry["rows"]) for entry in values["pooled"]},
        worst={
            (recipe, seed, entry["environment"], tuple(entry["group"])): entry["rows"]
            for entry in values.get("worst", [])
            for recipe, seed in entry["of"]
        },
    )


def _drawn(folder: RunFolder, rows: Sequence[Row]) -> list[Path]:
    """Paths of the pictures of these rows, without those that are missing, which the page reports."""
    names = sorted({Path(row["file"]).name for row in rows})
    return [path for name in names if (path := folder.root / "pictures" / name).is_file()]


def environment_rows(plan: Plan, population: Population) -> list[Row]:
    """Describe every distinct environment as requested and achieved; training ones as in the first seed and fold.

    A test environment of k-fold data is that of all folds, as its association is.
    """
    rows: list[Row] = []
    spec = plan.spec
    folds, points = Folds(population, spec.probes), {point.label: point for point in spec.points}
    for found in distinct_environments(spec.points, population, spec.first_seed):
        tests = points.get(found.recipe, spec.points[0]).tests
        table = folds.whole(tests, found.name, found.environment)
        rows += environment_rows_of(found.label, found.recipe, found.environment, table)
    return rows


def environment_rows_of(name: str, recipe: str, environment: Environment, table: FactorTable) -> list[Row]:
    """Describe one environment: a row for each association that it reports, or one without.

    Args:
        name: The environment's name in tables.
        recipe: The recipe that it belongs to; empty where it is common to all, or there is none.
        environment: The environment.
        table: Its rows, of all folds.
    """
    images, patients = len(table), len(np.unique(table.patient))
    shared: Row = {"environment": name, "recipe": recipe, "images": images, "patients": patients}
    return [{**shared, **_achieved_row(found)} for found in environment.achieved] or [shared]


def facts_of(card: Card) -> dict[str, str]:
    """Return the provenance of the data."""
    return {
        "data": card.name,
        "data summary": card.summary,
        "license": card.license,
        "known faults": "; ".join(card.known_faults),
        "rows left out": "; ".join(card.left_out),
    }


def _achieved_row(found: Achieved) -> Row:
    return {
        "factor": found.factor,
        "target": found.target,
        "asked": math.nan if found.asked is None else found.asked,
        "strength": found.strength,
        "low": found.low,
        "high": found.high,
        "kept": found.kept,
        "available": found.available,
        "counts": json.dumps([[label, level, count] for (label, level), count in found.counts.items()]),
        "held": found.held,
    }


def _written_groups(worst: Mapping[tuple[str, int, str, Group], list[int]]) -> list[Row]:
    """Groups with the recipes and seeds that they are `of`: each once, since many recipes and seeds share one."""
    made: dict[tuple[str, Group, tuple[int, ...]], list[tuple[str, int]]] = {}
    for (recipe, seed, environment, group), rows in worst.items():
        made.setdefault((environment, group, tuple(rows)), []).append((recipe, seed))
    return [
        {"environment": environment, "group": group, "rows": rows, "of": of}
        for (environment, group, rows), of in made.items()
    ]


def _written(rows: Sequence[Row]) -> list[Row]:
    """Rows of plain Python values; NaN becomes null when they are written."""
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return cast("Any", value).item() if isinstance(value, np.generic) else value


def _read(rows: Sequence[Row]) -> list[Row]:
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]
