"""The figure of what a model carries: decodability by layer against its references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.report.choosing import some_levels
from assay.report.claims import below
from assay.report.evidence import Evidence
from assay.report.figures import Figure, curves, plot_of, slice_note
from assay.report.marks import Reference
from assay.report.tables import distinct, numeric
from assay.stats.format import in_words, listed
from assay.store.files import Row

TRAINED, UNTRAINED, SHUFFLED, PIXELS = "trained", "untrained", "shuffled", "pixels"
NAMED = 4
"""More factors than this are counted in a title instead of named."""
DASHES = {UNTRAINED: "5 3", SHUFFLED: "1 3"}


def by_layer(evidence: Evidence) -> Figure | None:
    """A panel per factor: the trained networks along their layers, and in grey what needs no training."""
    rows = evidence.estimates("decodability", evidence.outline.shown)
    trained = [row for row in rows if row["group"] == TRAINED]
    if not trained:
        return None
    layers = tuple(distinct(row["layer"] for row in trained))
    levels, note = some_levels(evidence)
    factors = distinct(row["factor"] for row in trained)
    groups = [(in_words(factor), [row for row in trained if row["factor"] == factor]) for factor in factors]
    along = ("layer", layers, _layer)

    def references(panel: Sequence[Row]) -> tuple[Reference, ...]:
        factor = panel[0]["factor"] if panel else ""
        return _references([row for row in rows if row["factor"] == factor], evidence)

    plot = plot_of(evidence, "decodability", groups, levels, along, references)
    first = f"Grey: the references of {evidence.outline.level(trained[0])}."
    return curves("decodability", _title(evidence, rows, layers[-1]), slice_note(evidence, first, note), plot, rows)


def _layer(row: Row) -> str:
    return str(row["layer"])


def _title(evidence: Evidence, rows: Sequence[Row], layer: str) -> str:
    """Which factors the last layer gives away better than before training with every level, as intervals show."""
    there = [row for row in rows if row["layer"] == layer]
    pairs: dict[str, dict[str, dict[str, Row]]] = {}
    for row in there:
        pairs.setdefault(row["factor"], {}).setdefault(evidence.outline.level(row), {})[row["group"]] = row
    gained = [factor for factor, by_level in pairs.items() if all(map(_gained, by_level.values()))]
    if not gained:
        return f"What each layer encodes, up to {layer}"
    names = [in_words(factor) for factor in gained]
    which = listed(names) if len(names) <= NAMED else f"{len(names)} of {len(pairs)} factors"
    return f"In {layer}, {which} can be read better than before training"


def _gained(found: Mapping[str, Row]) -> bool:
    return TRAINED in found and UNTRAINED in found and below(found[UNTRAINED], found[TRAINED])


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
