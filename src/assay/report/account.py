"""Sections that account for a study: settings, contents and methods."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from assay.core.errors import foremost, others
from assay.core.measures import MEASURES, WORST
from assay.report.figures import counted
from assay.report.layout import DIFFERS, Evidence, is_overall, worst_groups
from assay.report.rows import Tables, distinct, numeric, whole
from assay.report.sentences.names import sentence_case, statement
from assay.report.sentences.reasons import place_words, reason_words
from assay.report.sheets import (
    MOST_COLUMNS,
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
    """Return what each environment is and holds: a line for each, and for each recipe whose images differ."""
    rows = tables.environments
    several = any(row["recipe"] for row in rows)
    said, places = settings(tables), column_places(rows)
    of: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        of.setdefault((row["environment"], row["recipe"]), []).append(row)
    lines = [
        Line(
            (
                words(environment.removesuffix(f" ({recipe})")),
                *([words(recipe or "all")] if several else []),
                words(said.get(environment, NONE)),
                words("; ".join(part for row in own if (part := _achieved(row, places))) or NONE),
                words(_share(own[0])),
                words(_classes(own[0]["counts"]) or NONE),
                amount(whole(own[0], "images")),
                amount(count) if (count := whole(own[0], "patients")) else Cell(NONE, "", True),
            )
        )
        for (environment, recipe), own in of.items()
    ]
    heads = ("environment", *(["recipe"] if several else []), "settings", "association with the target", "rows kept",
             "images by class", "images", "patients")  # fmt: skip
    note = (
        "Associations are Somers' D of the factor given the target, from -1 to 1; a value that missed the requested "
        "one by 0.05 or more is shown with it. The file has intervals, and counts by level."
    )
    caption = "Environments, as asked and as achieved"
    return sheet("environments", caption, heads, lines, (rows, schema.ENVIRONMENTS), note) if lines else None


def _achieved(row: Row, places: int) -> str:
    """`texture 0.90`, `texture 0.72 (asked: 0.90)`, `texture held at solid`; empty without a factor."""
    factor, value, asked = in_words(row["factor"]), numeric(row, "strength"), numeric(row, "asked")
    if row["held"] or not factor:
        return f"{factor} held at {row['held']}" if row["held"] else ""
    missed = abs(value - asked) >= SAME or (value != value and asked == asked)
    return f"{factor} {number(value, places)}" + (f" (asked: {number(asked, places)})" if missed else "")


def finished(tables: Tables) -> str:
    """Return that all training runs finished, and how often a recipe might still collapse; empty where some did not."""
    if not tables.trials or any(row["status"] != "done" for row in tables.trials):
        return ""
    high = max((numeric(row, "high") for row in tables.collapses if not row["against"]), default=math.nan)
    might = f" A recipe may collapse in up to {number(100 * high, 0)}% of seeds (upper 95% limit)." if high > 0 else ""
    return f"All {len(tables.trials):,} training runs finished without collapse.{might}"


def statuses(tables: Tables) -> Sheet | None:
    """Count the training runs of each recipe by outcome; None where all finished."""
    there = {row["status"] for row in tables.trials}
    if there == {"done"}:
        return None
    kinds = [kind for kind in ("done", "collapsed", "diverged", "failed", "pending") if kind in there]
    kinds += sorted(there - set(kinds))
    ends: dict[str, list[str]] = {}
    for row in tables.trials:
        ends.setdefault(row["recipe"], []).append(row["status"])
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
    return sheet("trials", "Training runs of each recipe", heads, lines, source, note) if lines else None


def collapses(tables: Tables) -> Sheet | None:
    """Return how often each recipe's seeds collapsed or diverged, against its reference; None where none did."""
    rows = tables.collapses
    if not any(row["collapsed"] or row["diverged"] for row in rows):
        return None
    lines = [_collapse(row) for row in rows]
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


def _classes(counts: str) -> str:
    """`benign 520, malignant 30`; the rarest of many classes are pooled."""
    cells: list[list[Any]] = json.loads(counts) if counts else []
    rows = dict.fromkeys((str(label) for label, _, _ in cells), 0)
    for label, _, count in cells:
        rows[str(label)] += count
    named, rest = foremost(rows)
    pooled = {others(rest): sum(rows[label] for label in rest)} if rest else {}
    return ", ".join(
        f"{label} {count:,}" for label, count in ({label: rows[label] for label in named} | pooled).items()
    )


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
    heads = ("comparison", "difference", "p (Holm)", "conclusion", "margin test", "detectable", "seeds", "role")
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
    lines = [Line(_compared(row, places[row["measure"]], anchors[row["id"]])) for row in order]
    unit = "patients" if any(whole(row, "patients") for row in order) else "images"
    note = (
        "Difference: the first minus the second, with the 95% interval of this comparison alone, over seeds and "
        f"{unit}. p (Holm): corrected for all comparisons of its family; it decides the conclusion. Detectable: the "
        "difference that this design detects with 80% power. Role: pre-specified before results existed, or "
        "exploratory."
    )
    if not all(math.isnan(numeric(row, f"{test}_p")) for row in order for test in ("equivalence", "noninferiority")):
        note += " Margin test: p of equivalence, claimed below 0.05, with the margin and the interval that decides; "
        note += "or one-sided p that the first is not worse by the margin, claimed below 0.025."
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
    made = sheet("looks", "Looks at the primary comparisons", heads, lines, (rows, schema.LOOKS), note)
    return replace(made, folded=True) if rows else None


def _compared(row: Row, places: int, anchor: str) -> tuple[Cell, ...]:
    return (
        words(statement(row)),
        replace(estimated(row, places), anchor=anchor),
        probability(numeric(row, "p_holm")),
        words(_conclusion(row)),
        _margin_test(row, places),
        figure(numeric(row, "detectable"), places),
        _less(row, "seeds", whole(row, "left_out"), "left out"),
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


def _margin_test(row: Row, places: int) -> Cell:
    """Return p of equivalence with margin and interval, `0.02 (0.05; 90% [-0.04, 0.04])`; else that of not worse."""
    p, margin = probability(numeric(row, "equivalence_p")), number(numeric(row, "margin"), places)
    if p.text == NONE:
        p = probability(numeric(row, "noninferiority_p"))
        return p if p.text == NONE else Cell(f"{p.text} (not worse by {margin})", p.sort)
    low, high = (number(numeric(row, f"equivalence_{end}"), places) for end in ("low", "high"))
    level = f"{100 * numeric(row, 'equivalence_level'):.3g}%"
    return Cell(f"{p.text} ({margin}; {level} [{low}, {high}])", p.sort)


def _less(row: Row, name: str, other: int, word: str) -> Cell:
    """Format a count with a second one that explains it, `9 (1 left out)`; a dash where there is neither."""
    if not (whole(row, name) or other):
        return Cell(NONE, "", True)
    count = amount(whole(row, name))
    return Cell(f"{count.text} ({other:,} {word})", count.sort, True) if other else count


def performance(evidence: Evidence) -> Sheet | None:
    """A row per recipe: the study's measure in every environment, and in the group where it is worst."""
    measure = evidence.outline.measure
    rows = evidence.estimates(measure, is_overall)
    caption = f"{measure_name(measure)} of every recipe, by environment"
    made = by_place(evidence, "performance", caption, rows, ("recipe",), "environment")
    worst = worst_groups(evidence, measure)
    if not worst and measure in MEASURES and MEASURES[measure].probe == "performance":
        worst = worst_groups(evidence, "accuracy")
    if made is not None and len(made.heads) == MOST_COLUMNS and made.heads[-1] == "seeds":
        made = replace(
            made, heads=made.heads[:-1], lines=tuple(replace(one, cells=one.cells[:-1]) for one in made.lines)
        )
    if made is None or not worst or len(made.heads) == MOST_COLUMNS:
        return made
    of, least = next(row["measure"] for row in worst.values()), column_places(worst.values())
    lines = tuple(
        replace(line, cells=(*line.cells, _worst_cell(worst.get(line.cells[0].text), least, f"performance-worst-{i}")))
        for i, line in enumerate(made.lines)
    )
    head = "worst group" if of == measure else f"worst group, {measure_name(of)}"
    note = f"{made.note} Worst group: of all environments the one with the lowest mean over seeds."
    return replace(made, heads=(*made.heads, head), lines=lines, note=note.strip())


def _worst_cell(row: Row | None, places: int, anchor: str) -> Cell:
    """Return the value of a worst group and where it is."""
    if row is None:
        return words(NONE)
    cell = estimated(row, places)
    return Cell(f"{cell.text}, {_which(row)}", cell.sort, anchor=anchor, ends=cell.ends)


def _which(row: Row) -> str:
    """`in other-origin: sex F; view AP`."""
    return f"in {row['environment']}: {place_words(row['reason'])}"


def measures(evidence: Evidence) -> Sheet | None:
    """A row per measure and recipe, a column per environment; folded."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in COMPUTED and is_overall(row)]
    names = [name for name in COMPUTED if any(row["measure"] == name and _defined(row) for row in chosen)]
    if "auroc" in names:
        names = [name for name in names if name not in _REPEATED]
    shown = [row for name in names for row in chosen if row["measure"] == name]
    caption = "Every measure in every environment"
    made = by_place(evidence, "measures", caption, shown, ("measure", "recipe"), "environment", source=chosen)
    return made and replace(made, folded=True)


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
    pooled = [row for name in USED for row in chosen if row["measure"] == name and not row["group"]]
    place = ("recipe", "factor", "level") if any(row["level"] for row in pooled) else ("recipe", "factor")
    note = "Effects on the logit are in within-class standard deviations. The file also has each direction by itself."
    caption = "What each recipe relies on"
    heads = {"level": "class"}
    return by_place(evidence, "reliance", caption, pooled, place, "measure", note, source=chosen, heads=heads)


def decodability(evidence: Evidence) -> Sheet | None:
    """A row per recipe, factor and layer, a column for the trained network and for each reference."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] == "decodability"]
    note = (
        f"AUROC of a linear decoder on held-out {evidence.tables.unit}. Pixels have no layer: their value is repeated "
        "with each."
    )
    place, caption = ("recipe", "factor", "layer"), "What each layer encodes"
    rows = _beside_layers(chosen)
    return by_place(evidence, "decodability", caption, rows, place, "group", note, source=chosen)


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


def by_place(
    evidence: Evidence,
    id: str,
    caption: str,
    rows: Sequence[Row],
    place: Sequence[str],
    across: str,
    note: str = "",
    *,
    source: Sequence[Row] = (),
    heads: Mapping[str, str] = MappingProxyType({}),
) -> Sheet | None:
    """Make a table of estimates: a line per place, and a column per value of `across`.

    Where that makes more columns than a page takes, every estimate has a line of its own. A part of the place that is
    the same everywhere moves into the note. Of more lines than a page shows, those of the slice of the figures stay.

    Args:
        evidence: The tables.
        id: Anchor of the table, and name of its file.
        caption: Caption.
        rows: Estimates to show, in order.
        place: Columns of estimates that lead a line.
        across: Column of estimates whose values become columns.
        note: Sentences beneath the table.
        source: Rows of its file, where these are more.
        heads: Headings of columns that readers call otherwise.
    """
    if not rows:
        return None
    names = {"recipe": recipe_head(evidence.tables), **heads}
    same = [key for key in place if key != "recipe" and len({row[key] for row in rows}) == 1]
    keys = [key for key in place if key not in same]
    columns = distinct(str(row[across]) for row in rows)
    wide = len(keys) + len(columns) <= MOST_COLUMNS
    keys += [] if wide else [across]
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(_part(row, key) for key in keys), {})[str(row[across]) if wide else "value"] = row
    total = len(found)
    if total > SHOWN_ROWS:
        found = {where: own for where, own in found.items() if evidence.outline.shown(next(iter(own.values())))}
        found = dict(list(found.items())[:SHOWN_ROWS])
    columns = columns if wide else ["value"]
    by_measure: dict[tuple[str, str], list[Row]] = {}
    for own in found.values():
        for column, row in own.items():
            by_measure.setdefault((row["measure"], column), []).append(row)
    decimals = {key: column_places(own) for key, own in by_measure.items() if any(map(_defined, own))}

    def cell(row: Row | None, column: str) -> Cell:
        """Return a dash where no recipe has a value of the measure, as where a place cannot define it."""
        key = (row["measure"], column) if row else None
        return estimated(row, decimals[key]) if key in decimals else estimated(None)

    seeds = {where: max(whole(row, "seeds") for row in own.values()) for where, own in found.items()}
    counted_lines = len(set(seeds.values())) > 1 and len(keys) + len(columns) < MOST_COLUMNS
    lines = [
        Line(
            (
                *(words(name or NONE) for name in where),
                *(cell(own.get(column), column) for column in columns),
                *([amount(seeds[where])] if counted_lines else []),
            )
        )
        for where, own in found.items()
    ]
    titles = [names.get(key, key) for key in keys]
    titles += [measure_name(column) if across == "measure" and wide else column for column in columns]
    titles += ["seeds"] if counted_lines else []
    fixed = [f"{names.get(key, key)}: {_part(rows[0], key)}." for key in same if rows[0][key]]
    said = " ".join(part for part in (*map(sentence_case, fixed), note, counted(rows)) if part)
    return sheet(id, caption, titles, lines, (source or rows, schema.ESTIMATES), said, total)


def _part(row: Row, key: str) -> str:
    """Return a part of the place of an estimate as a table has it."""
    return measure_name(row[key]) if key == "measure" else placed(row, key)


def _defined(row: Row) -> bool:
    value = numeric(row, "value")
    return value == value


def _nan_last(value: float) -> float:
    return 2.0 if value != value else value
