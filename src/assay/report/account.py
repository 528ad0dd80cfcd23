"""Tables that account for a study: trials and their ends, what is undefined, environments, provenance."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.measures import WORST
from assay.core.tally import foremost, others
from assay.report.settings import settings
from assay.report.sheets import NONE, Cell, Line, Sheet, amount, estimated, figure, sheet, sort_key, words
from assay.report.tables import Tables, distinct, numeric, whole
from assay.report.wording import column_places, measure_name, placed, recipe_head
from assay.stats.format import in_words, number, with_interval
from assay.stats.kept import without_seeds
from assay.store import schema
from assay.store.files import Row


def environments(tables: Tables) -> Sheet | None:
    """What was asked of each environment and what it has."""
    several = any(row["recipe"] for row in tables.environments)
    said = settings(tables)
    places = column_places(tables.environments)
    lines = [
        Line(
            (
                words(row["environment"]),
                words(said.get(row["environment"], NONE)),
                *([words(row["recipe"] or "all")] if several else []),
                words(f"{in_words(row['factor'])} with {row['target']}" if row["factor"] else "none"),
                figure(numeric(row, "asked"), places),
                _achieved(row, places),
                words(_share(row)),
                words(_cells(row["counts"])),
                amount(whole(row, "images")),
                amount(whole(row, "patients")),
            )
        )
        for row in tables.environments
    ]
    heads = ("environment", "sets", *(["recipe"] if several else []), "association", "asked", "achieved", "rows kept",
             "images per cell", "images", "patients")  # fmt: skip
    note = (
        "Associations are Somers' D of the factor given the target, from -1 to 1. A factor that is held at one value "
        "can be tied to nothing."
    )
    source = (tables.environments, schema.ENVIRONMENTS)
    caption = "Environments, as asked and as achieved"
    return sheet("environments", caption, heads, lines, source, note) if lines else None


def _achieved(row: Row, places: int) -> Cell:
    """The association that there is, or the value at which the factor is held."""
    if row["held"]:
        return words(f"held at {row['held']}")
    return estimated({**row, "value": row["strength"], "reason": ""}, places) if row["factor"] else words(NONE)


def statuses(tables: Tables) -> Sheet | None:
    """How many trials of each recipe came to what end."""
    there = {row["status"] for row in tables.trials}
    kinds = [kind for kind in ("done", "collapsed", "diverged", "failed", "pending") if kind in there]
    kinds += sorted(there - set(kinds))
    ends: dict[str, list[str]] = {}
    for row in tables.trials:
        ends.setdefault(row["recipe"], []).append(row["status"])
    if there == {"done"}:
        ends = {f"every recipe ({len(ends):,})": ["done"] * len(tables.trials)}
    lines = [
        Line(
            (words(recipe), *(amount(own.count(kind)) for kind in kinds), amount(len(own))),
            first=own.count("done") < len(own),
        )
        for recipe, own in ends.items()
    ]
    source = (tables.trials, schema.TRIALS)
    heads = (recipe_head(tables), *kinds, "all")
    shared = len({row["trial"] for row in tables.trials}) < len(tables.trials)
    note = "Recipes that are trained alike, as at p = 0, share a training; each counts it as a trial." if shared else ""
    return sheet("trials", "Trials of each recipe", heads, lines, source, note) if lines else None


def collapses(tables: Tables) -> Sheet | None:
    """How often each recipe's seeds collapsed or diverged, and by how much oftener than those it is compared with.

    Where none did, one line says how often they still might.
    """
    rows = tables.collapses
    if not rows:
        return None
    if any(row["collapsed"] or row["diverged"] for row in rows):
        lines = [_collapse(row) for row in rows]
    else:
        high = max((numeric(row, "high") for row in rows if not row["against"]), default=math.nan)
        least = min(whole(row, "seeds") for row in rows)
        bound = f"none; of a recipe's seeds up to {number(high)} might (upper 95 % limit)"
        lines = [
            Line(
                (
                    words("every recipe"),
                    words(NONE),
                    amount(0),
                    amount(0),
                    amount(least),
                    words(bound),
                    figure(math.nan),
                )
            )
        ]
    heads = ("recipe", "against", "collapsed", "diverged", "seeds", "rate, or difference in rate", "p (least)")
    note = (
        "By seed, of those trained to an end; a seed counts when one of its folds, or the source that it starts from, "
        "collapsed or diverged. "
        "Clopper-Pearson interval; differences are over seeds that both recipes ran, with McNemar's exact p and the "
        "least that it can be."
    )
    return sheet("collapses", "How often training collapsed", heads, lines, (rows, schema.COLLAPSES), note)


def _collapse(row: Row) -> Line:
    p, least = numeric(row, "p"), numeric(row, "min_p")
    return Line(
        (
            words(row["recipe"]),
            words(row["against"] or NONE),
            amount(whole(row, "collapsed")),
            amount(whole(row, "diverged")),
            amount(whole(row, "seeds")),
            Cell(
                with_interval(numeric(row, "rate"), numeric(row, "low"), numeric(row, "high")),
                sort_key(numeric(row, "rate")),
                True,
            ),
            Cell(NONE if math.isnan(p) else f"{number(p, 3)} ({number(least, 3)})", sort_key(p), True),
        ),
        first=bool(row["collapsed"] or row["diverged"]),
    )


def lost(tables: Tables) -> Sheet | None:
    """Every trial that was not trained to a sound end, and why."""
    chosen = [row for row in tables.trials if row["status"] != "done"]
    lines = [
        Line((words(row["recipe"]), amount(whole(row, "seed")), words(row["status"]), words(_why(row))))
        for row in chosen
    ]
    heads = ("recipe", "seed", "status", "why")
    return sheet("lost", "Trials that were left out", heads, lines, (chosen, schema.TRIALS)) if lines else None


def undefined(tables: Tables) -> Sheet | None:
    """What was said of estimates beside their value, by reason: undefined, no interval, not converged.

    What no recipe has a value of stands last: a measure that a place cannot define, which is no failure.
    """
    defined = {_place(row) for row in tables.estimates if not math.isnan(numeric(row, "value"))}
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in tables.estimates:
        if row["reason"] and row["group"] not in WORST:
            value = numeric(row, "value")
            kind = "undefined" if value != value else "has a value"
            reason = without_seeds(row["reason"], tables.trials)
            found.setdefault((measure_name(row["measure"]), kind, reason), []).append(row)

    def nowhere(rows: Sequence[Row]) -> bool:
        return not any(_place(row) in defined for row in rows)

    lines = [
        Line((words(measure), words(kind), words(reason), words(_places(rows)), amount(len(rows))))
        for (measure, kind, reason), rows in sorted(found.items(), key=lambda item: (nowhere(item[1]), -len(item[1])))
    ]
    source = [row for rows in found.values() for row in rows]
    heads = ("measure", "value", "why", "where", "estimates")
    caption = "Undefined or doubtful estimates"
    return sheet("reasons", caption, heads, lines, (source, schema.ESTIMATES)) if lines else None


def _place(row: Row) -> tuple[str, ...]:
    """What an estimate is of, whatever the recipe."""
    return tuple(row[key] for key in ("measure", "environment", "factor", "level", "layer", "group"))


def provenance(tables: Tables) -> Sheet:
    """Key and value, but for the spec, which has a place of its own."""
    lines = [Line((words(row["key"]), words(row["value"]))) for row in tables.provenance if row["key"] != "spec"]
    source = (tables.provenance, schema.PROVENANCE)
    return sheet("provenance", "Provenance", ("what", "value"), lines, source)


def _share(row: Row) -> str:
    kept, available = whole(row, "kept"), whole(row, "available")
    return f"{kept:,} of {available:,}" if available else NONE


def _cells(counts: str) -> str:
    """`benign (solid: 500, part-solid: 20), malignant (solid: 30)`; of many classes the rest stand together."""
    cells: list[list[Any]] = json.loads(counts) if counts else []
    rows = dict.fromkeys((str(label) for label, _, _ in cells), 0)
    for label, _, count in cells:
        rows[str(label)] += count
    named, rest = foremost(rows)
    by_label: dict[str, dict[str, int]] = {}
    for label, level, count in cells:
        own = by_label.setdefault(others(rest) if str(label) in rest else str(label), {})
        own[str(level)] = own.get(str(level), 0) + count
    order = [*named, *([others(rest)] if rest else [])]
    return ", ".join(f"{label} ({_levels(by_label[label])})" for label in order)


def _levels(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{_rounded(level)}: {count:,}" for level, count in counts.items())


def _rounded(level: str) -> str:
    """`0.000133 to 0.248` as `.00013 to .25`: the bounds of a bin with two digits."""
    return re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2g}".removeprefix("0"), level)


def _places(rows: Sequence[Row]) -> str:
    """Where a reason holds, the first few by name."""
    keys = ("recipe", "environment", "factor", "level", "layer", "group")
    names = distinct(" ".join(placed(row, key) for key in keys if row[key]) for row in rows)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more


def _why(row: Row) -> str:
    """The last line of a traceback, or the reason itself."""
    lines = [line.strip() for line in row["reason"].strip().splitlines() if line.strip()]
    return lines[-1] if lines else "not trained yet" if row["status"] == "pending" else "no reason was recorded"
