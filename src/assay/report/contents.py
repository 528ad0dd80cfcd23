"""Tables of what was found: comparisons, performance, reliance, decodability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.report.evidence import Evidence
from assay.report.sheets import NONE, Cell, Line, Sheet, amount, estimated, figure, sheet, words
from assay.report.tables import Tables, distinct, numeric, whole
from assay.report.wording import measure_name
from assay.stats.format import number, p_value
from assay.stats.measures import MEASURES
from assay.store import schema
from assay.store.files import Row

EVIDENCE = {"estimates": "reliance", "trials": "trials", "environments": "environments"}
"""What a sentence names as its evidence, beside a contrast -> the table of the page."""
WORST = ("worst environment", "worst group")
USED = ("sobol-total", "sobol-first", "flip-rate", "logit-effect", "logit-effect-absolute")
_REPEATED = ("somers-d", "auroc-macro", "quadratic-weighted-kappa")
"""Measures that say the same as others do in two classes: in the file, not in the table."""


def contrasts(tables: Tables, anchors: Mapping[str, str]) -> Sheet | None:
    """Every comparison: the difference, its interval, p after Holm, what it amounts to."""
    if not tables.contrasts:
        return None
    heads = ("comparison", "difference", "p (Holm)", "conclusion", "margin", "p (equivalence)", "detectable",
             "sign-flip p (least)", "seeds", "seeds left out", "patients", "paired patients", "status")  # fmt: skip
    order = sorted(tables.contrasts, key=lambda row: (bool(row["exploratory"]), _nan_last(numeric(row, "p_holm"))))
    lines = [Line(_compared(row), anchors[row["id"]]) for row in order]
    note = (
        "Difference: the first less the second, with its 95 % interval over seeds and patients. Detectable: the "
        "difference that this design would find four times in five. Sign-flip: a test over seeds alone, and the least "
        "p that it can reach. Seeds left out: those that one of the two kept or both, and that the difference does not "
        "rest on. Stated: before there were results."
    )
    return sheet("contrasts", "Comparisons", heads, lines, (order, schema.CONTRASTS), note)


def _compared(row: Row) -> tuple[Cell, ...]:
    reason = f": {row['reason']}" if row["conclusion"] == "undefined" and row["reason"] else ""
    return (
        words(row["statement"]),
        estimated(row),
        _p(numeric(row, "p_holm")),
        words(f"{row['conclusion']}{reason}"),
        figure(numeric(row, "margin")),
        _p(numeric(row, "equivalence_p")),
        figure(numeric(row, "detectable")),
        _flips(row),
        amount(whole(row, "seeds")),
        amount(whole(row, "left_out")),
        amount(whole(row, "patients")),
        amount(whole(row, "paired_patients")),
        words("exploratory" if row["exploratory"] else "stated"),
    )


def performance(evidence: Evidence) -> Sheet | None:
    """A row per recipe and environment, a column per measure."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in MEASURES and _overall(row)]
    measures = [name for name in MEASURES if any(row["measure"] == name and _defined(row) for row in chosen)]
    if "auroc" in measures:
        measures = [name for name in measures if name not in _REPEATED]
    lines = _by_place(evidence, chosen, ("recipe", "environment"), "measure", measures)
    heads = ("recipe", "environment", *map(measure_name, measures), *COUNTS)
    source = (chosen, schema.ESTIMATES)
    return sheet("performance", "Performance in every environment", heads, lines, source) if lines else None


def worst(evidence: Evidence) -> Sheet | None:
    """The worst environment of each recipe, and the worst group in each environment."""
    chosen = [row for row in evidence.tables.estimates if row["group"] in WORST]
    shown = [row for row in chosen if row["measure"] in (evidence.outline.measure, "accuracy")]
    lines = [
        Line(
            (
                words(row["recipe"]),
                words(row["group"]),
                words(row["environment"] or "all"),
                words(measure_name(row["measure"])),
                estimated(row),
                words(row["reason"]),
                amount(whole(row, "seeds")),
            ),
            first=evidence.outline.shown(row),
        )
        for row in sorted(shown, key=lambda row: (WORST.index(row["group"]), _nan_last(numeric(row, "value"))))
    ]
    heads = ("recipe", "worst", "environment", "measure", "value", "which, by seed", "seeds")
    source = (chosen, schema.ESTIMATES)
    return sheet("worst", "Worst environments and groups", heads, lines, source) if lines else None


def reliance(evidence: Evidence) -> Sheet | None:
    """A row per recipe and factor (and class, of several), a column per measure of use."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] in USED]
    pooled = [row for row in chosen if not row["group"]]
    measures = [name for name in USED if any(row["measure"] == name for row in pooled)]
    place = ("recipe", "factor", "level") if any(row["level"] for row in pooled) else ("recipe", "factor")
    lines = _by_place(evidence, pooled, place, "measure", measures)
    heads = (*(name.replace("level", "class") for name in place), *map(measure_name, measures), *COUNTS)
    note = "Effects on the logit are in within-class standard deviations. The file also has each direction by itself."
    source = (chosen, schema.ESTIMATES)
    return sheet("reliance", "What each recipe relies on", heads, lines, source, note) if lines else None


def decodability(evidence: Evidence) -> Sheet | None:
    """A row per recipe, factor and layer, a column for the trained network and for each reference."""
    chosen = [row for row in evidence.tables.estimates if row["measure"] == "decodability"]
    groups = distinct(row["group"] for row in chosen)
    lines = _by_place(evidence, chosen, ("recipe", "factor", "layer"), "group", groups)
    heads = ("recipe", "factor", "layer", *groups, *COUNTS)
    note = "AUROC of a linear decoder on held-out patients; the bare pixels have no layer."
    source = (chosen, schema.ESTIMATES)
    return sheet("decodability", "What each layer encodes", heads, lines, source, note) if lines else None


COUNTS = ("seeds", "patients", "images")


def _by_place(
    evidence: Evidence, rows: Sequence[Row], place: tuple[str, ...], across: str, columns: Sequence[str]
) -> list[Line]:
    """One line per place, the estimates of the columns beside each other, and what they rest on."""
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(str(row[name]) for name in place), {})[row[across]] = row
    lines: list[Line] = []
    for where, by_column in found.items():
        some = next(iter(by_column.values()))
        cells = [words(name or NONE) for name in where]
        cells += [estimated(by_column.get(column)) for column in columns]
        cells += [amount(whole(some, name)) if whole(some, name) else estimated(None) for name in COUNTS]
        lines.append(Line(tuple(cells), first=evidence.outline.shown(some)))
    return lines


def _overall(row: Row) -> bool:
    return bool(row["environment"]) and not (row["factor"] or row["level"] or row["group"])


def _defined(row: Row) -> bool:
    value = numeric(row, "value")
    return value == value


def _p(p: float) -> Cell:
    text = NONE if p != p else p_value(p).removeprefix("p = ").removeprefix("p ")
    return Cell(text, "" if p != p else f"{p:.10g}", True)


def _flips(row: Row) -> Cell:
    p, least = numeric(row, "sign_flip_p"), numeric(row, "sign_flip_min_p")
    return Cell(NONE if p != p else f"{_exact(p)} ({_exact(least)})", "" if p != p else f"{p:.10g}", True)


def _exact(p: float) -> str:
    """A share of so few flips that its decimals end: .0625."""
    return number(p, 4).rstrip("0").rstrip(".")


def _nan_last(value: float) -> float:
    return 2.0 if value != value else value
