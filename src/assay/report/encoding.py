"""The figure of what a model carries: decodability by layer against its references."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.evidence import Evidence
from assay.report.figures import Figure, curves, plot_of, slice_note, some_levels
from assay.report.marks import Reference
from assay.report.tables import distinct, numeric
from assay.store.files import Row

TRAINED, UNTRAINED, SHUFFLED, PIXELS = "trained", "untrained", "shuffled", "pixels"
DASHES = {UNTRAINED: "5 3", SHUFFLED: "1 3"}


def by_layer(evidence: Evidence) -> Figure | None:
    """A panel per factor: the trained networks along their layers, and in grey what needs no training."""
    rows = evidence.estimates("decodability", evidence.outline.shown)
    trained = [row for row in rows if row["group"] == TRAINED]
    if not trained:
        return None
    layers = tuple(distinct(row["layer"] for row in trained))
    levels, note = some_levels(evidence, [row for row in trained if row["layer"] == layers[-1]])
    factors = distinct(row["factor"] for row in trained)
    groups = [(factor, [row for row in trained if row["factor"] == factor]) for factor in factors]
    along = ("layer", layers, _layer)

    def references(panel: Sequence[Row]) -> tuple[Reference, ...]:
        factor = panel[0]["factor"] if panel else ""
        return _references([row for row in rows if row["factor"] == factor], evidence)

    plot = plot_of(evidence, "decodability", groups, levels, along, references)
    first = f"Grey: the references of {evidence.outline.level(trained[0])}."
    return curves("decodability", _title(trained, layers[-1]), slice_note(evidence, first, note), plot, rows)


def _layer(row: Row) -> str:
    return str(row["layer"])


def _title(rows: Sequence[Row], layer: str) -> str:
    """Which factors the last layer gives away most and least: an order that is seen, not one that is claimed."""
    known = [row for row in rows if row["layer"] == layer and not math.isnan(numeric(row, "value"))]
    if len({row["factor"] for row in known}) < 2:
        return f"What each layer encodes, up to {layer}"
    ranked = sorted(known, key=lambda row: numeric(row, "value"))
    return f"In {layer}, {ranked[-1]['factor']} is read best and {ranked[0]['factor']} worst"


def _references(rows: Sequence[Row], evidence: Evidence) -> tuple[Reference, ...]:
    """Untrained by layer, pixels and shuffled labels, as the first recipe has them."""
    first = rows[0]["recipe"] if rows else ""
    own = [row for row in rows if row["recipe"] == first]
    found: list[Reference] = []
    for group in (UNTRAINED, SHUFFLED):
        values = tuple((row["layer"], numeric(row, "value")) for row in own if row["group"] == group)
        found += [Reference(group, values, DASHES[group])] if values else []
    found += [Reference.level(PIXELS, numeric(row, "value")) for row in own if row["group"] == PIXELS]
    return tuple(reference for reference in found if reference.values[0][1] == reference.values[0][1])
