"""Which tables a study gets, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from assay.report.evidence import Evidence
from assay.report.sheets import Cell, Sheet, amount, estimated, figure, sheet, words
from assay.report.tables import Tables, distinct, numeric, whole
from assay.report.wording import measure_name
from assay.stats.format import number, p_value
from assay.stats.measures import MEASURES
from assay.store import schema
from assay.store.files import Row

WORST_ENVIRONMENT, WORST_GROUP = "worst environment", "worst group"
REPEATED = ("somers-d", "auroc-macro")
"""Measures that say the same as another in two classes: in the file, not in the table."""


def contrasts(tables: Tables, anchors: dict[str, str]) -> Sheet:
    """Every comparison: the difference, its interval, p after Holm, what it amounts to."""
    heads = ("comparison", "difference", "p (Holm)", "conclusion", "margin", "p (equivalence)", "detectable",
             "sign-flip p (least)", "seeds", "patients", "status")  # fmt: skip
    order = sorted(tables.contrasts, key=lambda row: (bool(row["exploratory"]), _nan_last(numeric(row, "p_holm"))))
    rows = [
        (
            words(row["statement"]),
            estimated(row),
            _p(numeric(row, "p_holm")),
            words(row["conclusion"], row["reason"]),
            figure(numeric(row, "margin")),
            _p(numeric(row, "equivalence_p")),
            figure(numeric(row, "detectable")),
            _flips(row),
            amount(whole(row, "seeds")),
            amount(whole(row, "patients")),
            words("exploratory" if row["exploratory"] else "stated beforehand"),
        )
        for row in order
    ]
    note = (
        "Difference: first less second, with its 95 % interval over seeds and patients. Detectable: the difference "
        "that this design would find four times in five. Sign-flip: a test over seeds alone, and the least p that it can "
        "reach."
    )
    ids = [anchors[row["id"]] for row in order]
    return sheet("contrasts", "Every comparison", heads, rows, order, schema.CONTRASTS, note, ids)


def performance(evidence: Evidence) -> Sheet | None:
    """A row per recipe and environment, a column per measure."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in MEASURES and _plain(row)]
    if not chosen:
        return None
    measures = [name for name in MEASURES if any(row["measure"] == name and _defined(row) for row in chosen)]
    if "auroc" in measures:
        measures = [name for name in measures if name not in REPEATED]
    places = list(dict.fromkeys((row["recipe"], row["environment"]) for row in chosen))
    by_place = {(row["recipe"], row["environment"], row["measure"]): row for row in chosen}
    rows: list[list[Cell]] = []
    for recipe, environment in places:
        found = [by_place.get((recipe, environment, name)) for name in measures]
        some = next((row for row in found if row is not None), None)
        rows.append([words(recipe), words(environment), *map(estimated, found), *_counts(some)])
    heads = ("recipe", "environment", *map(measure_name, measures), "seeds", "patients", "images")
    return sheet("performance", "Performance in every environment", heads, rows, chosen, schema.ESTIMATES)


def worst(evidence: Evidence) -> Sheet | None:
    """The worst environment of each recipe, and the worst group in each environment."""
    chosen = [row for row in evidence.tables.estimates if row["group"] in (WORST_ENVIRONMENT, WORST_GROUP)]
    shown = [row for row in chosen if row["measure"] in (evidence.outline.measure, "accuracy")]
    if not shown:
        return None
    rows = [
        (
            words(row["recipe"]),
            words(row["group"]),
            words(row["environment"] or "of all"),
            words(measure_name(row["measure"])),
            estimated(row),
            words(row["reason"]),
            amount(whole(row, "seeds")),
        )
        for row in shown
    ]
    heads = ("recipe", "worst", "environment", "measure", "value", "which, by seed", "seeds")
    return sheet("worst", "Worst environments and groups", heads, rows, chosen, schema.ESTIMATES)


def reliance(evidence: Evidence) -> Sheet | None:
    """A row per recipe and factor, a column per measure of use; directions apart are in the file."""
    names = ("sobol-total", "sobol-first", "flip-rate", "logit-effect", "logit-effect-absolute")
    chosen = [row for row in evidence.tables.estimates if row["measure"] in names]
    there = [name for name in names if any(row["measure"] == name for row in chosen)]
    if not chosen:
        return None
    pooled = [row for row in chosen if not row["group"]]
    by_place = {(row["recipe"], row["factor"], row["level"], row["measure"]): row for row in pooled}
    places = distinct_places(pooled, ("recipe", "factor", "level"))
    levels = any(level for _, _, level in places)
    rows: list[list[Cell]] = []
    for recipe, factor, level in places:
        found = [by_place.get((recipe, factor, level, name)) for name in there]
        some = next((row for row in found if row is not None), None)
        rows.append([words(recipe), words(factor), *([words(level)] if levels else []), *map(estimated, found)])
        rows[-1] += _counts(some)[:1]
    heads = ("recipe", "factor", *(["class"] if levels else []), *map(measure_name, there), "seeds")
    note = "Effects on the logit are in within-class standard deviations. The file also has each direction by itself."
    return sheet("reliance", "What each recipe relies on", heads, rows, chosen, schema.ESTIMATES, note)


def decodability(evidence: Evidence) -> Sheet | None:
    """A row per recipe, factor and layer, beside its references."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] == "decodability"]
    if not chosen:
        return None
    groups = distinct(row["group"] for row in chosen)
    by_place = {(row["recipe"], row["factor"], row["layer"], row["group"]): row for row in chosen}
    places = distinct_places([row for row in chosen if row["layer"]], ("recipe", "factor", "layer"))
    rows: list[list[Cell]] = []
    for recipe, factor, layer in places:
        found = [
            by_place.get((recipe, factor, layer, group)) or by_place.get((recipe, factor, "", group))
            for group in groups
        ]
        some = next((row for row in found if row is not None), None)
        unit = words(str(some["unit"]) if some else "")
        rows.append([words(recipe), words(factor), words(layer), *map(estimated, found), unit, *_counts(some)])
    heads = ("recipe", "factor", "layer", *groups, "unit", "seeds", "patients", "images")
    return sheet("decodability", "What each layer encodes", heads, rows, chosen, schema.ESTIMATES)


def environments(tables: Tables) -> Sheet:
    """What was asked of each environment and what it has."""
    several = any(row["recipe"] for row in tables.environments)
    rows = [
        (
            words(row["environment"]),
            *([words(row["recipe"] or "all")] if several else []),
            words(f"{row['factor']} with {row['target']}" if row["factor"] else "none"),
            figure(numeric(row, "asked")),
            estimated({**row, "value": row["strength"], "reason": ""}) if row["factor"] else words("–"),
            words(_share(row)),
            words(_cells(row["counts"])),
            amount(whole(row, "images")),
            amount(whole(row, "patients")),
        )
        for row in tables.environments
    ]
    heads = ("environment", *(["recipe"] if several else []), "association", "asked", "achieved", "rows kept",
             "images per cell", "images", "patients")  # fmt: skip
    note = "Associations are Somers' D of the factor given the target, -1 to 1."
    return sheet("environments", "Environments, as asked and as achieved", heads, rows, tables.environments,
                 schema.ENVIRONMENTS, note)  # fmt: skip


def statuses(tables: Tables) -> Sheet:
    """How many trials of each recipe came to what end."""
    kinds = [kind for kind in ("done", "collapsed", "failed", "pending") if _any(tables, kind)]
    kinds += distinct(row["status"] for row in tables.trials if row["status"] not in kinds)
    rows: list[list[Cell]] = []
    for recipe in distinct(row["recipe"] for row in tables.trials):
        own = [row["status"] for row in tables.trials if row["recipe"] == recipe]
        rows.append([words(recipe), *(amount(own.count(kind)) for kind in kinds), amount(len(own))])
    return sheet("trials", "Trials of each recipe", ("recipe", *kinds, "all"), rows, tables.trials, schema.TRIALS)


def lost(tables: Tables) -> Sheet | None:
    """Every trial that was not trained to a sound end, and why."""
    chosen = [row for row in tables.trials if row["status"] != "done"]
    if not chosen:
        return None
    rows = [
        (words(row["recipe"]), amount(whole(row, "seed")), words(row["status"]), words(_last_line(row["reason"])))
        for row in chosen
    ]
    return sheet("lost", "Trials that were left out", ("recipe", "seed", "status", "why"), rows, chosen, schema.TRIALS)


def undefined(tables: Tables) -> Sheet | None:
    """Everything that was said of an estimate beside its value: undefined, no interval, not converged; by reason."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in tables.estimates:
        if row["reason"] and row["group"] not in (WORST_ENVIRONMENT, WORST_GROUP):
            kind = "has a value" if _defined(row) else "undefined"
            found.setdefault((row["measure"], kind, row["reason"]), []).append(row)
    if not found:
        return None
    rows = [
        (words(measure_name(measure)), words(kind), words(reason), words(_places(group)), amount(len(group)))
        for (measure, kind, reason), group in found.items()
    ]
    source = [row for group in found.values() for row in group]
    heads = ("measure", "value", "reason", "where", "estimates")
    return sheet("reasons", "Undefined or doubtful estimates", heads, rows, source, schema.ESTIMATES)


def provenance(tables: Tables) -> Sheet:
    """Key and value, but for the spec, which has a place of its own."""
    chosen = [row for row in tables.provenance if row["key"] != "spec"]
    rows = [(words(row["key"]), words(row["value"])) for row in chosen]
    return sheet("provenance", "Provenance", ("what", "value"), rows, tables.provenance, schema.PROVENANCE)


def distinct_places(rows: Sequence[Row], names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Each combination of these columns once, in order of appearance."""
    return list(dict.fromkeys(tuple(str(row[name]) for name in names) for row in rows))


def _plain(row: Row) -> bool:
    return bool(row["environment"]) and not (row["factor"] or row["level"] or row["group"])


def _defined(row: Row) -> bool:
    value = numeric(row, "value")
    return value == value


def _any(tables: Tables, status: str) -> bool:
    return any(row["status"] == status for row in tables.trials)


def _counts(row: Row | None) -> list[Cell]:
    return [amount(whole(row, name)) if row else words("–") for name in ("seeds", "patients", "images")]


def _p(p: float) -> Cell:
    text = "–" if p != p else p_value(p).removeprefix("p = ").removeprefix("p ")
    return Cell(text, "" if p != p else f"{p:.10g}", True)


def _flips(row: Row) -> Cell:
    p, least = numeric(row, "sign_flip_p"), numeric(row, "sign_flip_min_p")
    return Cell("–" if p != p else f"{number(p, 3)} ({number(least, 3)})", "" if p != p else f"{p:.10g}", True)


def _nan_last(value: float) -> float:
    return 2.0 if value != value else value


def _share(row: Row) -> str:
    kept, available = whole(row, "kept"), whole(row, "available")
    return f"{kept:,} of {available:,}" if available else "–"


def _cells(counts: str) -> str:
    """`benign: solid 500, part-solid 20`."""
    cells: list[list[Any]] = json.loads(counts) if counts else []
    by_label: dict[str, list[str]] = {}
    for label, level, count in cells:
        by_label.setdefault(str(label), []).append(f"{level} {count:,}")
    return "; ".join(f"{label}: {', '.join(levels)}" for label, levels in by_label.items())


def _places(rows: Sequence[Row]) -> str:
    """Where a reason holds, the first few by name."""
    names = list(
        dict.fromkeys(
            " ".join(row[key] for key in ("recipe", "environment", "factor", "level", "layer", "group") if row[key])
            for row in rows
        )
    )
    more = f" and {len(names) - 3} more (in the file)" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more


def _last_line(reason: str) -> str:
    lines = [line.strip() for line in reason.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was recorded"
