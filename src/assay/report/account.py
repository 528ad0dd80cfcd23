"""Sections that account for a study: settings, contents and methods."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from assay.core.errors import foremost, others
from assay.core.measures import MEASURES, WORST
from assay.report.layout import DIFFERS, Evidence, is_overall, worst_groups
from assay.report.rows import Tables, distinct, numeric, whole
from assay.report.sentences.names import statement
from assay.report.sentences.reasons import place_words, reason_words
from assay.report.sheets import (
    NONE,
    SHOWN_ROWS,
    Cell,
    Line,
    Sheet,
    amount,
    estimated,
    figure,
    probability,
    sheet,
    sort_key,
    words,
)
from assay.report.wording import column_places, measure_name, placed, recipe_head
from assay.stats.format import in_words, listed, number, with_interval
from assay.stats.measures import COMPUTED
from assay.stats.rows import CONTROLS, EXHAUSTED, PRIMARY
from assay.store import schema
from assay.store.files import Row

# What each environment is, in words: how factors are tied to the target there, and what else the spec sets.

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
    """`Texture with malignant (Somers' D): 0.90 in same, -0.90 in reversed.`; empty where nothing shifts."""
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
    """Environment -> `texture tied to malignant at -0.90; difficulty margin 0.7`, `texture held at solid`; empty where
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
    """Environment -> its settings in the spec other than associations, such as `difficulty margin 0.7`.

    Only environments with such settings.
    """
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
    """Settings of each environment in the spec other than associations, training among them.

    By its name for the first recipe, and with the recipe for each, as where a dose is an axis.
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


# Tables that account for a study: trials and their ends, what is undefined, environments, provenance.


def environments(tables: Tables) -> Sheet | None:
    """Requested and achieved properties of each environment."""
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
                amount(count) if (count := whole(row, "patients")) else Cell(NONE, "", True),
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
    """Count the trials of each recipe by outcome."""
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
    note = "Recipes that are trained alike, as at p = 0, share a training run; each counts it." if shared else ""
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
        bound = f"none; of a recipe's seeds up to {number(high)} might (upper 95% limit)"
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
    return sheet("lost", "Training runs that were left out", heads, lines, (chosen, schema.TRIALS)) if lines else None


def undefined(tables: Tables) -> Sheet | None:
    """Remarks on estimates, by reason: undefined, no interval, not converged.

    Measures without a value for any recipe come last: a place cannot define them, which is no failure.
    """
    defined = {_place(row) for row in tables.estimates if not math.isnan(numeric(row, "value"))}
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in tables.estimates:
        if row["reason"] and row["group"] not in WORST:
            value = numeric(row, "value")
            kind = "undefined" if value != value else "has a value"
            reason = reason_words(row["reason"])
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
    """Return the subject of an estimate, whatever the recipe."""
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
    """`0.000133 to 0.248` as `0.00013 to 0.25`: the bounds of a bin with two digits."""
    return re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2g}", level)


def _places(rows: Sequence[Row]) -> str:
    """Where a reason holds, the first few by name."""
    keys = ("recipe", "environment", "factor", "level", "layer", "group")
    names = distinct(" ".join(placed(row, key) for key in keys if row[key]) for row in rows)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "; ".join(names[:3]) + more


def _why(row: Row) -> str:
    """The last line of a traceback, or the reason itself."""
    lines = [line.strip() for line in reason_words(row["reason"]).strip().splitlines() if line.strip()]
    return lines[-1] if lines else "not trained yet" if row["status"] == "pending" else "no reason was recorded"


# Tables of what was found: comparisons, performance, reliance, decodability.

EVIDENCE = {"estimates": "reliance", "performance": "performance", "trials": "trials", "environments": "environments"}
"""What a sentence names as its evidence, beside a contrast -> the table of the page."""
USED = ("sobol-total", "sobol-first", "flip-rate", "logit-effect", "logit-effect-absolute")
_REPEATED = ("somers-d", "auroc-macro", "quadratic-weighted-kappa")
"""Measures that say the same as others do in two classes: in the file, not in the table."""


def contrasts(tables: Tables, anchors: Mapping[str, str]) -> Sheet | None:
    """Table of every comparison: the difference, its interval, p after Holm, and the conclusion."""
    if not tables.contrasts:
        return None
    heads = ("comparison", "difference", "p (Holm)", "conclusion", "p equivalent (margin; interval)", "p not worse",
             "equivalent from", "seeds to settle", "detectable", "sign-flip p (least)", "seeds", "patients",
             "role")  # fmt: skip
    roles = {role: number for number, role in enumerate((PRIMARY, *CONTROLS))}
    order = sorted(
        tables.contrasts,
        key=lambda row: (
            bool(row["exploratory"]),
            roles.get(row["role"], len(roles)),
            _nan_last(numeric(row, "p_holm")),
        ),
    )
    measures = distinct(row["measure"] for row in order)
    places = {name: column_places(row for row in order if row["measure"] == name) for name in measures}
    lines = [Line(_compared(row, places[row["measure"]]), anchors[row["id"]]) for row in order]
    unit = "patients" if any(whole(row, "patients") for row in order) else "images"
    note = (
        "Each row is one comparison of the study with its conclusion. "
        "Difference: the first minus the second, with the 95% interval of this comparison alone, over seeds and "
        f"{unit}. p (Holm): corrected for all comparisons of its family; it decides the conclusion. Detectable: the "
        "difference that this design detects with 80% power, one value for each measure. Sign-flip: a test over seeds "
        "alone, with the least p that so few seeds can give. Equivalent from: the smallest margin at which it would be "
        "equivalent. Seeds to settle: with so many, every true difference would be decided. Role: primary or secondary "
        "comparisons and controls, pre-specified before results existed, or exploratory ones."
    )
    if not all(math.isnan(numeric(row, "noninferiority_p")) for row in order):
        note += " P not worse: one-sided, of the first being worse than the second by the margin or more; claimed "
        note += "below 0.025."
    if not all(math.isnan(numeric(row, "equivalence_p")) for row in order):
        note += " P equivalent: claimed below 0.05, with the interval of the level that this test has after correction."
    return sheet("contrasts", "Claim by claim", heads, lines, (order, schema.CONTRASTS), note)


def looks(tables: Tables) -> Sheet | None:
    """Table of the looks at primary comparisons: the estimate at each, and the decision with the look that made it."""
    rows = tables.looks
    measures = {row["measure"] for row in rows}
    places = {name: column_places(row for row in rows if row["measure"] == name) for name in measures}
    lines = [
        Line(
            (
                words(statement(row)),
                amount(whole(row, "look")),
                estimated({**row, "reason": ""}, places[row["measure"]]),
                probability(numeric(row, "p")),
                words(row["decision"] if row["conclusion"] != "undefined" else "undefined"),
                words("open" if math.isnan(numeric(row, "closed_at")) else f"{numeric(row, 'closed_at'):g} seeds"),
                amount(whole(row, "seeds")),
            )
        )
        for row in rows
    ]
    heads = ("comparison", "look", "difference", "p", "decision", "closed at", "seeds")
    note = (
        "Difference: with the 95% interval and the uncorrected p of the seeds of the look. Decision: at this look, or "
        "at the earlier one that closed it; it remains, and no more seeds are spent on it. An estimate after early "
        "stopping is likely too large."
    )
    return (
        sheet("looks", "Looks at the primary comparisons", heads, lines, (rows, schema.LOOKS), note) if rows else None
    )


def _compared(row: Row, places: int) -> tuple[Cell, ...]:
    return (
        words(statement(row)),
        estimated(row, places),
        probability(numeric(row, "p_holm")),
        words(_conclusion(row)),
        _equivalence(row, places),
        probability(numeric(row, "noninferiority_p")),
        figure(numeric(row, "least_margin"), places),
        amount(int(numeric(row, "seeds_needed"))) if numeric(row, "seeds_needed") > 0 else words(NONE),
        figure(numeric(row, "detectable"), places),
        _flips(row),
        _less(row, "seeds", whole(row, "left_out"), "left out"),
        _less(row, "patients", whole(row, "paired_patients"), "paired", whole(row, "patients")),
        words("exploratory" if row["exploratory"] else _role(row)),
    )


def _role(row: Row) -> str:
    """`primary (features)`: its role, and the family that it is corrected in where the study names one."""
    own = f" ({row['family']})" if row["family"] not in ("stated", row["role"]) else ""
    return f"{row['role'] or 'secondary'}{own}"


def _conclusion(row: Row) -> str:
    """`arcface lower`, `inconclusive`, `undefined: why`."""
    if row["conclusion"] == "undefined" and row["reason"]:
        return f"undefined: {reason_words(row['reason'])}"
    if row["conclusion"] == EXHAUSTED:
        return f"{EXHAUSTED}: all values are {reason_words(row['exhausted'])}"
    return f"{row['a']} {row['conclusion']}" if row["conclusion"] in DIFFERS else row["conclusion"]


def _equivalence(row: Row, places: int) -> Cell:
    """P-value of equivalence, with the margin and the interval that decides: `0.02 (0.05; 90% [-0.04, 0.04])`."""
    p, margin = probability(numeric(row, "equivalence_p")), numeric(row, "margin")
    low, high = (number(numeric(row, f"equivalence_{end}"), places) for end in ("low", "high"))
    level = f"{100 * numeric(row, 'equivalence_level'):.3g}%"
    tested = f"{number(margin, places)}; {level} [{low}, {high}]"
    return p if p.text == NONE else Cell(f"{p.text} ({tested})", p.sort, True)


def _less(row: Row, name: str, other: int, word: str, usual: int = 0) -> Cell:
    """Format a count with a second one that explains it, unless that is as usual: `9 (1 left out)`.

    A dash where neither is any, as of patients where a seed is one number.
    """
    if not (whole(row, name) or other):
        return Cell(NONE, "", True)
    count = amount(whole(row, name))
    return count if other == usual else Cell(f"{count.text} ({other:,} {word})", count.sort, True)


def performance(evidence: Evidence) -> Sheet | None:
    """A row per recipe: the study's measure in every environment, and in the group where it is worst."""
    measure = evidence.outline.measure
    rows = evidence.estimates(measure, is_overall)
    names = distinct(row["environment"] for row in rows)
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["recipe"], {})[row["environment"]] = row
    worst = worst_groups(evidence, measure)
    if not worst and measure in MEASURES and MEASURES[measure].probe == "performance":
        worst = worst_groups(evidence, "accuracy")
    places = [column_places(own[name] for own in found.values() if name in own) for name in names]
    least = column_places(worst.values())
    lines = [
        Line(
            (
                words(recipe),
                *(estimated(own.get(name), decimals) for name, decimals in zip(names, places, strict=True)),
                estimated(worst.get(recipe), least),
                words(_which(worst[recipe]) if recipe in worst else NONE),
            ),
            first=evidence.outline.shown(next(iter(own.values()))),
        )
        for recipe, own in found.items()
    ]
    of = next((row["measure"] for row in worst.values()), measure)
    group = "worst group" if of == measure else f"worst group, {measure_name(of)}"
    heads = (recipe_head(evidence.tables), *names, group, "which")
    note = "Worst group: of all environments the one with the lowest mean over seeds, one for all of them."
    source = ([*rows, *worst.values()], schema.ESTIMATES)
    caption = f"{measure_name(measure)} of every recipe, by environment"
    return sheet("performance", caption, heads, lines, source, note if worst else "") if lines else None


def _which(row: Row) -> str:
    """`in other-origin: sex F; view AP`."""
    return f"in {row['environment']}: {place_words(row['reason'])}"


def measures(evidence: Evidence) -> Sheet | None:
    """A row per recipe and environment, a column per measure; folded."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in COMPUTED and is_overall(row)]
    names = [name for name in COMPUTED if any(row["measure"] == name and _defined(row) for row in chosen)]
    if "auroc" in names:
        names = [name for name in names if name not in _REPEATED]
    lines, total = by_place(evidence, chosen, ("recipe", "environment"), "measure", names)
    heads = (recipe_head(evidence.tables), "environment", *map(measure_name, names), *COUNTS)
    source = (chosen, schema.ESTIMATES)
    made = sheet("measures", "Every measure in every environment", heads, lines, source, "", total)
    return replace(made, folded=True) if lines else None


def worst(evidence: Evidence) -> Sheet | None:
    """The worst environment of each recipe, and the worst group in each environment; folded."""
    chosen = [row for row in evidence.tables.estimates if row["group"] in WORST]
    shown = [row for row in chosen if row["measure"] in (evidence.outline.measure, "accuracy")]
    places = column_places(shown)
    lines = [
        Line(
            (
                words(row["recipe"]),
                words(row["group"]),
                words(row["environment"] or "all"),
                words(measure_name(row["measure"])),
                estimated(row, places),
                words(place_words(row["reason"])),
                amount(whole(row, "seeds")),
            ),
            first=evidence.outline.shown(row),
        )
        for row in sorted(shown, key=lambda row: (WORST.index(row["group"]), _nan_last(numeric(row, "value"))))
    ]
    heads = (recipe_head(evidence.tables), "worst", "environment", "measure", "value", "which, by seed", "seeds")
    source = (chosen, schema.ESTIMATES)
    made = sheet("worst", "Worst environments and groups", heads, lines, source)
    return replace(made, folded=True) if lines else None


def reliance(evidence: Evidence) -> Sheet | None:
    """A row per recipe and factor (and class, of several), a column per measure of use."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in USED]
    pooled = [row for row in chosen if not row["group"]]
    measures = [name for name in USED if any(row["measure"] == name for row in pooled)]
    place = ("recipe", "factor", "level") if any(row["level"] for row in pooled) else ("recipe", "factor")
    lines, total = by_place(evidence, pooled, place, "measure", measures)
    places = (recipe_head(evidence.tables), *(name.replace("level", "class") for name in place[1:]))
    heads = (*places, *map(measure_name, measures), *COUNTS)
    note = "Effects on the logit are in within-class standard deviations. The file also has each direction by itself."
    source = (chosen, schema.ESTIMATES)
    return sheet("reliance", "What each recipe relies on", heads, lines, source, note, total) if lines else None


def decodability(evidence: Evidence) -> Sheet | None:
    """A row per recipe, factor and layer, a column for the trained network and for each reference."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] == "decodability"]
    groups = distinct(row["group"] for row in chosen)
    lines, total = by_place(evidence, _beside_layers(chosen), ("recipe", "factor", "layer"), "group", groups)
    heads = (recipe_head(evidence.tables), "factor", "layer", *groups, *COUNTS)
    unit = evidence.tables.unit
    note = f"AUROC of a linear decoder on held-out {unit}. Pixels have no layer: their value is repeated with each."
    source = (chosen, schema.ESTIMATES)
    caption = "What each layer encodes"
    return sheet("decodability", caption, heads, lines, source, note, total) if lines else None


def _beside_layers(rows: Sequence[Row]) -> list[Row]:
    """The rows, with those that have no layer repeated for every layer of their recipe and factor."""
    layers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        layers.setdefault((row["recipe"], row["factor"]), []).append(row["layer"])
    found = [row for row in rows if row["layer"]]
    for row in rows:
        if not row["layer"]:
            there = distinct(layers[row["recipe"], row["factor"]])
            found += [{**row, "layer": layer} for layer in there or [""]]
    return found


COUNTS = ("seeds", "patients", "images")


def by_place(
    evidence: Evidence, rows: Sequence[Row], place: tuple[str, ...], across: str, columns: Sequence[str]
) -> tuple[list[Line], int]:
    """One line per place, with the estimates of the columns and their counts; and the number of places.

    Of more than a page shows, lines are made of the slice of the figures alone.
    """
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(placed(row, name) for name in place), {})[row[across]] = row
    total = len(found)
    if total > SHOWN_ROWS:
        found = {where: own for where, own in found.items() if evidence.outline.shown(next(iter(own.values())))}
        found = dict(list(found.items())[:SHOWN_ROWS])
    places = {column: column_places(own[column] for own in found.values() if column in own) for column in columns}
    lines: list[Line] = []
    for where, own in found.items():
        cells = [words(name or NONE) for name in where]
        cells += [estimated(own.get(column), places[column]) for column in columns]
        for name in COUNTS:
            count = max(whole(row, name) for row in own.values())
            cells.append(amount(count) if count else estimated(None))
        lines.append(Line(tuple(cells)))
    return lines, total


def _defined(row: Row) -> bool:
    value = numeric(row, "value")
    return value == value


def _flips(row: Row) -> Cell:
    p, least = probability(numeric(row, "sign_flip_p")), probability(numeric(row, "sign_flip_min_p"))
    return p if p.text == NONE else Cell(f"{p.text} ({least.text})", p.sort, True)


def _nan_last(value: float) -> float:
    return 2.0 if value != value else value
