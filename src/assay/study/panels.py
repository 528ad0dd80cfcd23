"""Panels of kept outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from assay.core.errors import StoreError
from assay.maps.summary import of_one_width
from assay.stats.panel import Panel
from assay.store.folder import OF_ROWS

SPECIFIC = "specific"
"""The column of log-odds from which specificities are reached on validation rows."""


def joined_columns(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several parts one after another; arrays with an entry per lesion are padded to the most."""
    made: dict[str, np.ndarray] = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        made[name] = np.concatenate(of_one_width(name, columns))
    return made


def panel_of(outputs: Mapping[int, Mapping[str, np.ndarray]], where: str) -> Panel:
    """Make the panel of outputs by seed: columns row, patient, target, fold, threshold, logits [n, k], columns of maps.

    Raises StoreError where a seed answered a row twice, or seeds disagree about the target or patient of a row.
    """
    first = next(iter(outputs.values()))["row"]
    alike = all(np.array_equal(found["row"], first) for found in outputs.values())
    rows = np.unique(first if alike else np.concatenate([found["row"] for found in outputs.values()]))
    apart = alike and len(rows) == len(first)
    classes = next(iter(outputs.values()))["logits"].shape[1]
    shape = (len(outputs), len(rows))
    scores = np.full((*shape, classes), np.nan)
    tested, fold, thresholds = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64), np.full(shape, 0.5)
    facts = {"target": np.full(len(rows), -1), "patient": np.full(len(rows), -1)}
    known = np.zeros(len(rows), dtype=bool)
    for s, (seed, found) in enumerate(outputs.items()):
        if not apart and len(np.unique(found["row"])) < len(found["row"]):
            raise StoreError(f"{where}: seed {seed} answered a row twice; delete its readings and run the study again")
        place = np.searchsorted(rows, found["row"])
        for name, column in facts.items():
            _require_same(column[place][known[place]], found[name][known[place]], f"{where}: seed {seed}", name)
            column[place] = found[name]
        known[place], tested[s, place] = True, True
        scores[s, place], fold[s, place], thresholds[s, place] = found["logits"], found["fold"], found["threshold"]
    seeds = np.array(list(outputs), dtype=np.int64)
    maps = _maps(list(outputs.values()), rows)
    specific = maps.pop(SPECIFIC, None)
    made = Panel(scores, facts["target"], facts["patient"], fold, tested, thresholds, seeds, maps)
    return replace(made, specific=specific, images=rows)


def _maps(found: Sequence[Mapping[str, np.ndarray]], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Stack the columns of maps as [seeds, rows, ...]. Rows without an output are zero and are never read."""
    made: dict[str, np.ndarray] = {}
    for name in found[0].keys() - {*OF_ROWS, "threshold", "logits"}:
        columns = of_one_width(name, [one[name] for one in found])
        made[name] = np.zeros((len(found), len(rows), *columns[0].shape[1:]), np.result_type(*columns))
        for s, (one, column) in enumerate(zip(found, columns, strict=True)):
            made[name][s, np.searchsorted(rows, one["row"])] = column
    return made


def _require_same(earlier: np.ndarray, found: np.ndarray, who: str, name: str) -> None:
    differing = int((earlier != found).sum())
    if differing:
        raise StoreError(
            f"{who} has another {name} than earlier seeds for {differing} rows, so its images are not theirs: "
            "delete its readings and run the study again"
        )
