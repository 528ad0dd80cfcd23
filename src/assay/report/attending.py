"""Where heat-maps lie, beside chance and a centre prior; and what painting lesions over costs, which is used."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.report.choosing import ROWS, some_levels
from assay.report.contents import by_place
from assay.report.evidence import Evidence
from assay.report.figures import Figure, chance, plot_of, slice_note, strips
from assay.report.marks import Reference
from assay.report.sheets import Sheet, sheet
from assay.report.tables import distinct, numeric
from assay.report.wording import NO_EFFECT, measure_name, recipe_head
from assay.stats.format import listed
from assay.store import schema
from assay.store.files import Row

SHOWN = "mass-accuracy"
"""The score of the figure; the table has all."""
CENTRE = "centre-prior"
FAILS = "fails the sanity check"
"""How a reason begins that marks an explainer's scores."""
REMOVED = "lesion-effect"
OVER = "erasure-effect-over-elsewhere"
SIZES = ("small", "medium", "large")
ATTENDED = ("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision", "deletion", "insertion",
            "sensitivity-n", "removal-agreement", "sanity-rank-correlation")  # fmt: skip
_NEAR = 0.12
"""References nearer than this share one name, so that names do not lie on each other."""


def by_explainer(evidence: Evidence) -> Figure | None:
    """A panel per explainer: the part of each recipe's maps that lies on the lesion."""
    rows = [row for row in evidence.estimates(SHOWN, evidence.outline.shown) if not (row["group"] or row["level"])]
    prior = [row for row in rows if row["factor"] == CENTRE]
    rows = [row for row in rows if row["factor"] != CENTRE]
    known = [row for row in rows if not math.isnan(numeric(row, "value"))]
    if not known:
        return None
    groups = [(name, [row for row in rows if row["factor"] == name]) for name in distinct(r["factor"] for r in known)]
    levels, note = some_levels(evidence, ROWS)

    def references(panel: Sequence[Row]) -> tuple[Reference, ...]:
        return _beside(chance(panel or known), prior)

    plot = plot_of(evidence, SHOWN, [(_called(name, own), own) for name, own in groups], levels, references=references)
    first = "Grey: chance, which is the lesions' share of the image, and a map that says: in the middle."
    return strips("attends", _title(groups, prior), slice_note(evidence, first, note), plot, rows)


def by_size(evidence: Evidence) -> Figure | None:
    """A panel per size of lesions: what painting them over costs beyond painting over as much elsewhere."""
    rows = [row for row in evidence.estimates(OVER, evidence.outline.shown) if not row["group"]]
    groups = [(f"{size} lesions", [row for row in rows if row["level"] == size]) for size in SIZES]
    groups = [(name, own) for name, own in groups if any(not math.isnan(numeric(row, "value")) for row in own)]
    if not groups:
        return None
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, OVER, groups, levels, references=lambda _: (Reference.level(NO_EFFECT, 0.0),))
    shown = [row for _, own in groups for row in own]
    first = "Sizes are thirds of the lesions shown, by area. This is of what is used, whatever maps lie on."
    title = "What painting over lesions of each size costs"
    return strips("erased", title, slice_note(evidence, first, note), plot, shown)


def by_kind(evidence: Evidence) -> Figure | None:
    """A panel per kind of lesion: what the answer loses when the image is drawn without them, or they are painted over
    where it was not drawn.
    """
    for measure in (REMOVED, OVER):
        rows = [row for row in evidence.estimates(measure, evidence.outline.shown) if row["group"] and not row["level"]]
        known = [row for row in rows if not math.isnan(numeric(row, "value"))]
        if known:
            break
    else:
        return None
    groups = [(kind.replace("_", " "), [row for row in rows if row["group"] == kind])
              for kind in distinct(row["group"] for row in known)]  # fmt: skip
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, measure, groups, levels, references=lambda _: (Reference.level(NO_EFFECT, 0.0),))
    how = "The image is drawn again without lesions of the kind" if measure == REMOVED else "Lesions are painted over"
    first = f"{how}, in images that show them. This is of what is used, whatever maps lie on."
    return strips("kinds", "What each kind of lesion adds to the answer", slice_note(evidence, first, note), plot,
                  [row for _, own in groups for row in own])  # fmt: skip


def table(evidence: Evidence) -> Sheet | None:
    """A row per recipe and explainer, a column per score."""
    chosen = [row for name in ATTENDED for row in evidence.estimates(name, lambda row: not row["level"])]
    chosen = [row for row in chosen if not row["group"]]
    names = [name for name in ATTENDED if any(row["measure"] == name for row in chosen)]
    lines, total = by_place(evidence, chosen, ("recipe", "factor"), "measure", names)
    heads = (recipe_head(evidence.tables), "explainer", *map(measure_name, names), "seeds", "patients", "images")
    failing = distinct(row["factor"] for row in chosen if FAILS in row["reason"])
    failed = f"By some recipe {listed(failing)} failed it." if failing else "None failed it."
    note = (
        "Scores against lesion masks are 0 to 1; a map that knows nothing scores the lesions' share of the image. An "
        "explainer fails the sanity check where its maps correlate by .5 or more with those of weights drawn anew. "
        f"{failed}"
    )
    source = (chosen, schema.ESTIMATES)
    made = sheet("attribution", "Where each recipe's maps lie", heads, lines, source, note, total)
    return made if lines else None


def _called(name: str, rows: Sequence[Row]) -> str:
    """The explainer, marked where it fails by any recipe."""
    return f"{name} (fails sanity)" if any(FAILS in row["reason"] for row in rows) else name


def _beside(blind: tuple[Reference, ...], prior: Sequence[Row]) -> tuple[Reference, ...]:
    """Chance and the centre prior, each by its name; where they lie close, both by one."""
    values = [value for row in prior[:1] if not math.isnan(value := numeric(row, "value"))]
    if not values or not blind:
        return (*blind, *(Reference.level("centre", value) for value in values))
    at = blind[0].values[0][1]
    if abs(values[0] - at) < _NEAR:
        return Reference.level("chance, centre", at), Reference.level("", values[0])
    return (*blind, Reference.level("centre", values[0]))


def _title(groups: Sequence[tuple[str, Sequence[Row]]], prior: Sequence[Row]) -> str:
    """Which explainers' maps lie on lesions beyond chance and centre, as all intervals show; of those that pass."""
    centre = max((numeric(row, "value") for row in prior), default=math.nan)
    clear = [
        name
        for name, rows in groups
        if not any(FAILS in row["reason"] for row in rows)
        and all(numeric(row, "low") > numeric(row, "chance") and numeric(row, "low") > centre for row in rows)
    ]
    if not clear:
        return "How much of each map lies on the lesion"
    which = listed(clear) if len(clear) < len(groups) else "every explainer"
    return f"Maps of {which} lie on lesions beyond chance and the centre"
