"""Results of a run in an experiment tracker: a run of the study, and below it one per training run."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from assay.core.errors import SpecError, StoreError, extra, unknown_of_few
from assay.core.files import content_hash
from assay.report.evidence import Evidence
from assay.report.opening import verdict
from assay.store import kinds
from assay.store.files import Row, read_rows
from assay.store.folder import RunFolder

Metric = tuple[str, float, int]
"""Name, value and step."""
PLACES = ("environment", "factor", "layer")
_SEPARATOR = " - "
"""Between parts of a name; a second `/` would make one name a folder of another."""
_MOST_TEXT = 500
"""Characters of a parameter that every tracker takes."""
_MARK = "assay.results"
"""Tag that identifies logged results."""


@dataclass(frozen=True)
class Logged:
    """One run of a tracker.

    Attributes:
        name: Its name.
        params: Settings by dotted name.
        metrics: Curves and final measures, `auroc/reversed`.
        done: Whether training ended with a usable network.
        tags: Texts, such as the verdict.
    """

    name: str
    params: Mapping[str, str]
    metrics: tuple[Metric, ...]
    done: bool = True
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def require_tracker(name: str) -> None:
    """Check that a tracker is known and installed, before anything is trained.

    Raises:
        SpecError: The name is unknown.
        ExtraError: Its library is not installed.
    """
    if name not in TRACKERS:
        raise SpecError(unknown_of_few("tracker", name, list(TRACKERS)))
    _mlflow()


def log_to(root: Path, tracker: str, experiment: str = "") -> str:
    """See `assay.Run.log_to`."""
    require_tracker(tracker)
    folder = RunFolder(root)
    whole = _of_model(folder) if folder.kind is kinds.MODEL else _of_study(folder)
    trials = () if folder.kind is kinds.MODEL else tuple(_trials(folder))
    page = root / "report.html"
    return TRACKERS[tracker](whole, trials, page if page.is_file() else None, experiment)


# Contents: the same for every tracker.


def _of_study(folder: RunFolder) -> Logged:
    facts = {row["key"]: str(row["value"]) for row in folder.table("provenance")}
    metrics = [*_measured(folder.table("estimates"), "recipe"), *_compared(folder.table("contrasts"))]
    said = verdict(Evidence.of(folder.root))
    params = {key: facts[key] for key in ("question", "seeds", "data") if facts.get(key)}
    statuses = sorted((row["trial"], row["status"]) for row in folder.table("trials"))
    return Logged(facts.get("study", folder.root.name), params, tuple(metrics), tags=_tags(folder, said, statuses))


def _of_model(folder: RunFolder) -> Logged:
    facts = {row["key"]: str(row["value"]) for row in folder.table("provenance")}
    said = verdict(Evidence.of(folder.root))
    params = {key: value for key, value in facts.items() if value and len(value) <= _MOST_TEXT}
    metrics = tuple(_measured(folder.table("estimates")))
    return Logged(facts.get("model", folder.root.name), params, metrics, tags=_tags(folder, said, []))


def _tags(folder: RunFolder, said: str, statuses: Sequence[object]) -> dict[str, str]:
    return {"assay.verdict": said, _MARK: content_hash([folder.stamp(), statuses])}


def _trials(folder: RunFolder) -> Iterator[Logged]:
    """Return one entry per trial: settings, curves by epoch and the measures of its seed."""
    by_seed: dict[tuple[str, int], list[Row]] = {}
    for row in folder.table("seeds"):
        by_seed.setdefault((row["recipe"], row["seed"]), []).append(row)
    for row in folder.table("trials"):
        id, recipe, seed = row["trial"], row["recipe"], row["seed"]
        params = {"trial": id, "recipe": recipe, "seed": str(seed), "fold": str(row["fold"]), "status": row["status"]}
        params |= {f"coordinates.{axis}": str(value) for axis, value in json.loads(row["coordinates"] or "{}").items()}
        metrics: list[Metric] = []
        if folder.complete("trials", id):
            params |= dict(_flat(folder.record("trials", id).get("training", {})))
            metrics += _curve(folder.root / "trials" / id / "curve.parquet")
        metrics += _measured(by_seed.get((recipe, seed), ()))
        name = f"{recipe}, seed {seed}" + (f", fold {row['fold']}" if row["fold"] else "")
        yield Logged(name, params, tuple(metrics), row["status"] == "done")


def _curve(path: Path) -> Iterator[Metric]:
    for row in read_rows(path) if path.is_file() else ():
        for name, value in row.items():
            if name != "epoch" and isinstance(value, float):
                yield f"curve/{name}", value, int(row["epoch"])


def _measured(rows: Sequence[Row], *of: str) -> Iterator[Metric]:
    """Return the values of rows: those of all images, and of whole factors where a measure is of factors."""
    for row in rows:
        if not (row["level"] or row["group"]):
            place = _SEPARATOR.join(row[key] for key in (*PLACES, *of) if row[key])
            yield f"{row['measure']}/{place or 'overall'}", float(row["value"]), 0


def _compared(rows: Sequence[Row]) -> Iterator[Metric]:
    for row in rows:
        place = (row["measure"], row["environment"], row["factor"], row["layer"])
        name = _SEPARATOR.join((*filter(None, place), f"{row['a']} against {row['b']}", row["id"]))
        yield f"difference/{name}", float(row["value"]), 0
        yield f"p/{name}", float(row["p_holm"]), 0


def _flat(values: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{head}{key}.")
        else:
            yield f"{head}{key}", str(value)[:_MOST_TEXT]


# MLflow.


def _mlflow() -> Any:
    with extra("mlflow"):
        import mlflow

    return mlflow


def _to_mlflow(whole: Logged, trials: Sequence[Logged], page: Path | None, experiment: str) -> str:
    """Log to the server, or folder, that MLFLOW_TRACKING_URI names; results that are there are not logged again."""
    mlflow = _mlflow()
    name = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "") or whole.name
    try:
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(name)
        place = found.experiment_id if found else client.create_experiment(name)
        earlier = client.search_runs([place], f"tags.`{_MARK}` = '{whole.tags[_MARK]}'", max_results=1)
        if earlier:
            return str(earlier[0].info.run_id)
        parent = _sent(mlflow, client, place, whole)
        for one in trials:
            client.set_terminated(_sent(mlflow, client, place, one, parent), "FINISHED" if one.done else "FAILED")
        if page is not None:
            client.log_artifact(parent, str(page))
        for key, value in whole.tags.items():
            client.set_tag(parent, key, value)
        client.set_terminated(parent)
    except mlflow.exceptions.MlflowException as error:
        raise StoreError(f"MLflow refused: {' '.join(str(error).split())}") from error
    return parent


def _sent(mlflow: Any, client: Any, place: str, one: Logged, parent: str = "") -> str:
    """Create a run with its parameters and metrics, and return its id."""
    tags = {"mlflow.parentRunId": parent} if parent else {}
    id = str(client.create_run(place, run_name=one.name, tags=tags).info.run_id)
    now = int(time.time() * 1000)
    metrics = [mlflow.entities.Metric(_named(key), value, now, step) for key, value, step in one.metrics
               if not math.isnan(value)]  # fmt: skip
    params = [mlflow.entities.Param(_named(key), value) for key, value in one.params.items()]
    for batch in _batches(params, 100):
        client.log_batch(id, params=batch)
    for batch in _batches(metrics, 1000):
        client.log_batch(id, metrics=batch)
    return id


def _batches(values: Sequence[Any], most: int) -> Iterator[list[Any]]:
    rest = iter(values)
    while batch := list(islice(rest, most)):
        yield batch


def _named(key: str) -> str:
    """Return a name of letters, digits and the signs that MLflow allows."""
    return re.sub(r"[^\w.\- /]", "_", key)[:250]


TRACKERS: Mapping[str, Callable[[Logged, Sequence[Logged], Path | None, str], str]] = MappingProxyType(
    {"mlflow": _to_mlflow}
)
"""Tracker -> logs a study, its trials and the page to an experiment; returns the id of the study's run."""
