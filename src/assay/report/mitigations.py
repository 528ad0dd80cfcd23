"""What each mitigation keeps: performance by environment and of the worst group, and whose group labels it used."""

from __future__ import annotations

from assay.report.choosing import is_overall, worst_groups
from assay.report.evidence import Evidence
from assay.report.sheets import NONE, Cell, Line, Sheet, estimated, sheet, words
from assay.report.tables import distinct
from assay.report.wording import column_places, measure_name, recipe_head
from assay.store import schema
from assay.store.files import Row

MITIGATION = "mitigation"


def mitigations(evidence: Evidence) -> Sheet | None:
    """A row per recipe of the slice shown; None where the study has no axis of mitigations."""
    view = evidence.outline
    if len({row["mitigation"] for row in evidence.tables.recipes}) < 2:
        return None
    shown = [row for row in evidence.tables.recipes if view.shown(row, MITIGATION)]
    found = evidence.estimates(view.measure, is_overall)
    names = distinct(row["environment"] for row in found)
    by_place = {(row["recipe"], row["environment"]): row for row in found}
    worst = worst_groups(evidence, "accuracy")
    places = {name: column_places(row for (_, own), row in by_place.items() if own == name) for name in names}
    lines = [
        Line(
            (
                words(row["recipe"]),
                *_labels(row),
                _of_group(worst.get(row["recipe"]), column_places(worst.values())),
                *(estimated(by_place.get((row["recipe"], name)), places[name]) for name in names),
            )
        )
        for row in shown
    ]
    measure = measure_name(view.measure)
    heads = (recipe_head(evidence.tables), "labels that train", "labels that select", "worst group: accuracy",
             *(f"{measure} in {name}" for name in names))  # fmt: skip
    note = (
        "Labels: of which rows the group of each image was known, beside its class. The worst group is that of least "
        "accuracy in any environment; hovering says where. Recipes whose labels differ are not on equal terms."
    )
    recipes = {row["recipe"] for row in shown}
    source = [row for row in (*worst.values(), *found) if row["recipe"] in recipes]
    return sheet("mitigations", "What each mitigation keeps", heads, lines, (source, schema.ESTIMATES), note)


def _labels(row: Row) -> tuple[Cell, Cell]:
    """`of tag, training rows`; `none`."""
    used = (row["training_labels"], row["selection_labels"])
    said = (f"of {row['groups']}, {rows} rows" if rows != "none" else "none" for rows in used)
    first, second = (words(text) for text in said)
    return first, second


def _of_group(row: Row | None, places: int) -> Cell:
    """The estimate; where it is and which group on hovering."""
    if row is None:
        return Cell(NONE, "", True)
    cell = estimated(row, places)
    return Cell(cell.text, cell.sort, True, f"in {row['environment']}: {row['reason']}")
