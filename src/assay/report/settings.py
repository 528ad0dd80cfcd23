"""What each environment is, in words: how factors are tied to the target there, and what else the spec sets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from assay.report.tables import Tables, distinct, numeric
from assay.stats.format import in_words, listed, number
from assay.store.files import Row

SAME = 0.05
"""Associations that differ by less through all environments are not worth telling."""
_TOLD = ("association", "split", "like", "rows")


def tied(tables: Tables) -> list[str]:
    """The factors whose association with the target is known: the core, and those tied to it."""
    return distinct(row["factor"] for row in tables.environments)


def shifting(tables: Tables) -> list[str]:
    """Those of them whose association differs between environments."""
    found: list[str] = []
    for factor in tied(tables):
        known = [size for row in tables.environments if row["factor"] == factor if (size := _strength(row)) == size]
        if known and max(known) - min(known) > SAME:
            found.append(factor)
    return found


def associations(tables: Tables, names: Sequence[str]) -> str:
    """`Texture with malignant (Somers' D): .90 in same, -.90 in reversed.`; empty where nothing shifts."""
    said: list[str] = []
    for factor in shifting(tables):
        rows = {row["environment"]: row for row in tables.environments if row["factor"] == factor}
        there = [name for name in names if name in rows and not math.isnan(_strength(rows[name]))]
        if there:
            values = [f"{number(_strength(rows[name]))} in {name}" for name in there]
            target = rows[there[0]]["target"]
            name = in_words(factor)
            said.append(f"{name[:1].upper()}{name[1:]} tied to {target} at {listed(values)} (Somers' D).")
    return " ".join(said)


def described(tables: Tables) -> dict[str, str]:
    """Environment -> `texture tied to malignant at -.90; difficulty margin 0.7`, `texture held at solid`; empty where
    nothing is known.
    """
    told = shifting(tables) or tied(tables)
    found: dict[str, list[str]] = {}
    for row in tables.environments:
        own, factor = found.setdefault(row["environment"], []), in_words(row["factor"])
        if row["held"]:
            own.append(f"{factor} held at {row['held']}")
        elif row["factor"] in told and not math.isnan(_strength(row)):
            own.append(f"{factor} tied to {row['target']} at {number(_strength(row))}")
    held = {(row["environment"], row["factor"]) for row in tables.environments if row["held"]}
    for name, more in _spec(tables):
        where = {factor: value for factor, value in more.get("where", {}).items() if (name, factor) not in held}
        rest = _words({**more, "where": where})
        found.setdefault(name, []).extend([rest] if rest else [])
    return {name: "; ".join(dict.fromkeys(parts)) for name, parts in found.items()}


def settings(tables: Tables) -> dict[str, str]:
    """Environment -> what the spec sets there beside associations, `difficulty margin 0.7`; only where it sets any."""
    found = {name: _words(more) for name, more in _spec(tables)}
    return {name: words for name, words in found.items() if words}


def _words(more: Mapping[str, Any]) -> str:
    rest = [f"{key} {_compact(value)}" for key, value in more.items() if value and key != "interventions"]
    return "; ".join([*_marks(more.get("interventions", {})), *rest])


def _marks(interventions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """`tag on 1.00 of negative`; nothing of those that mark no row. One tied to the target says its share nowhere."""
    said: list[str] = []
    for name, made in interventions.items():
        share = made.get("share", 0.5)
        shares = cast("Mapping[str, float]", share).items() if isinstance(share, dict) else [("images", share)]
        on = [f"{number(float(value))} of {label}" for label, value in shares if value]
        said += [f"{in_words(name)} on {listed(on)}"] if on else []
    return said


def _strength(row: Row) -> float:
    """The association that was achieved; NaN where the factor is held, which leaves nothing to tie."""
    return math.nan if row["held"] else numeric(row, "strength")


def _spec(tables: Tables) -> list[tuple[str, Mapping[str, Any]]]:
    """What the spec sets in each environment beside associations, training among them: by its name for the first
    recipe, and with the recipe for each, as where a dose is an axis.
    """
    try:
        spec: Any = json.loads(tables.facts.get("spec", "") or "{}")
    except json.JSONDecodeError:
        return []
    points = cast("Sequence[Mapping[str, Any]]", spec.get("points") or [])
    known = {row["environment"] for row in tables.environments}
    found: dict[str, Mapping[str, Any]] = {}
    for point in points:
        label = " · ".join(point.get("coordinates", {}).values())
        there = {"train": point.get("train", {}), **point.get("tests", {})}
        for name, made in there.items():
            sets = {key: value for key, value in made.items() if key not in _TOLD}
            for called in (name, f"{name} ({label})"):
                if called in known:
                    found.setdefault(called, sets)
    return list(found.items())


def _compact(value: Any) -> str:
    if isinstance(value, dict):
        items = cast("Mapping[str, Any]", value).items()
        return ", ".join(f"{key} {_compact(inside)}".strip() for key, inside in items)
    if isinstance(value, list):
        return listed([_compact(inside) for inside in cast("Sequence[Any]", value)])
    return str(value)
