"""What a model reaches by the share of labels that it was given: a curve per level, the share on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from assay.report.choosing import decisive, is_overall, some_levels
from assay.report.claims import sides
from assay.report.evidence import Evidence
from assay.report.figures import Figure, chance, curves, plot_of
from assay.report.tables import coordinates, distinct, numeric
from assay.report.wording import held_words, measure_name
from assay.store.files import Row

FRACTION = "fraction"


def by_share(evidence: Evidence) -> Figure | None:
    """A panel per environment; None where no axis is the share of labels, or it is what is compared."""
    view = evidence.outline
    axis = next((name for name in view.held if FRACTION in name.split("+")), "")
    if not axis:
        return None
    share = _share_of(axis)
    rows = evidence.estimates(view.measure, lambda row: is_overall(row) and view.shown(row, axis))
    known = {row["environment"] for row in rows if not math.isnan(numeric(row, "value"))}
    rows = sorted((row for row in rows if row["environment"] in known), key=lambda row: float(share(row)))
    shares = tuple(distinct(map(share, rows)))
    if len(shares) < 2:
        return None
    levels, cut = some_levels(evidence)
    names = [name for name in view.environments if name in known]
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    plot = plot_of(evidence, view.measure, groups, levels, ("share of the labels", shares, share), chance)
    drawn = replace(plot, scaled=True, logarithmic=True)
    held = {other: value for other, value in view.held.items() if other != axis}
    note = [f"At {held_words(held)}." if held else "", _tied(axis), "Bands: 95 % intervals; dots: seeds.", cut]
    title = _title(evidence, decisive(evidence, names), rows, share, shares)
    return curves("labels", title, " ".join(part for part in note if part), drawn, rows)


def _share_of(axis: str) -> Callable[[Row], str]:
    """A row -> the share of labels that its recipe was trained with; the axis may be tied to others."""
    at = axis.split("+").index(FRACTION)
    return lambda row: coordinates(row)[axis].split("+")[at]


def _tied(axis: str) -> str:
    others = [name for name in axis.split("+") if name != FRACTION]
    return f"With the share of labels, {' and '.join(others)} change too." if others else ""


def _title(
    evidence: Evidence, environment: str, rows: list[Row], share: Callable[[Row], str], shares: tuple[str, ...]
) -> str:
    """In how many curves the intervals at the least and the greatest share lie apart, as is said where not all do."""
    at: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["environment"] == environment:
            at.setdefault(evidence.outline.level(row), {})[share(row)] = row
    least, most = shares[0], shares[-1]
    pairs = [(found[most], found[least]) for found in at.values() if {least, most} <= found.keys()]
    name = measure_name(evidence.outline.measure)
    word, count = sides(pairs)
    if not word:
        return f"{name} in {environment} by the share of the labels"
    of = "every curve" if count == len(pairs) > 1 else f"{count} of {len(pairs)} curves, whose intervals lie apart"
    amounts = f"with {_percent(most)} of the labels than with {_percent(least)}"
    return f"In {environment}, {name} is {word} {amounts} in {of}"


def _percent(share: str) -> str:
    return f"{100 * float(share):g} %"
