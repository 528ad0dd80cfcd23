"""What the probes say of the confounder over its doses: how many answers it flips, how far it moves the logit, and
where it can be decoded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.report.choosing import some_levels
from assay.report.doses import dose_of
from assay.report.encoding import TRAINED
from assay.report.evidence import Evidence
from assay.report.figures import Figure, chance, curves, plot_of
from assay.report.tables import coordinates, distinct, numeric
from assay.report.wording import held_words, measure_name
from assay.stats.format import in_words, listed
from assay.stats.rows import CONFOUNDER
from assay.store.files import Row

MEASURES = ("flip-rate", "logit-effect", "decodability")
PANELS = 12
"""A figure has at most so many panels; where layers would make more, the last layer is shown and tables have all."""
Rest = tuple[tuple[str, str], ...]
"""Where a recipe lies on the axes, without its dose."""


def probed(evidence: Evidence) -> list[Figure]:
    """A figure for each measure that was taken at every dose: a panel per confounder and layer."""
    if not evidence.outline.doses:
        return []
    factors = dosed_factors(evidence)
    return [made for measure in MEASURES if (made := _figure(evidence, measure, factors))]


def in_training(evidence: Evidence) -> str:
    """What a dose p was in training, of confounders that are put on images and of factors that these have."""
    dosed = dict(_dosed(evidence).values())
    put_on = [made for made in dosed.values() if "component" in made]
    said = [f"In training a confounder was put on a share p of {_class(put_on[0]['share'])}."] if put_on else []
    alike: dict[str, list[str]] = {}
    for name, made in dosed.items():
        if made not in put_on:
            sign = "-" if made["strength"] < 0 else ""
            goal = f"Somers' D given the target is {sign}p"
            if made.get("share"):
                goal = f"a share p of {_class(made['share'])}, and no other image, has the high level"
            alike.setdefault(goal, []).append(in_words(name))
    for goal, names in alike.items():
        are = "is" if len(names) == 1 else "are"
        called = listed(names)
        said.append(
            f"{called[:1].upper()}{called[1:]} {are} put on no image: images were drawn or chosen so that {goal}."
        )
    return " ".join(said)


def _class(shares: Mapping[str, float]) -> str:
    """Whose images bear it: `the positive class`."""
    sides = [side for side, share in shares.items() if share]
    return f"the {sides[0]} class" if len(sides) == 1 else "each class"


def dosed_factors(evidence: Evidence) -> dict[Rest, str]:
    """Recipe without its dose -> the factor of the confounder."""
    return {rest: name for rest, (name, _) in _dosed(evidence).items()}


def _dosed(evidence: Evidence) -> dict[Rest, tuple[str, Mapping[str, Any]]]:
    """Recipe without its dose -> what its training at the greatest of its doses has otherwise than that at p = 0: a
    name, and the intervention or the association that the spec has under it.
    """
    view = evidence.outline
    if not view.doses:
        return {}
    points: Any = json.loads(evidence.tables.facts.get("spec", "") or "{}").get("points", [])
    trained: dict[Rest, dict[str, dict[str, Any]]] = {}
    for point in points:
        ties = {**point["train"].get("association", {}), **point["train"].get("interventions", {})}
        trained.setdefault(_rest(evidence, point["coordinates"]), {})[point["coordinates"].get(view.dosed, "")] = ties
    found: dict[Rest, tuple[str, Mapping[str, Any]]] = {}
    for rest, by_dose in trained.items():
        own = [p for p in view.doses if p in by_dose]
        if own and own[0] == view.doses[0]:
            none, most = by_dose[own[0]], by_dose[own[-1]]
            differing = [name for name in most if none.get(name) != most[name]]
            found |= {rest: (differing[0], most[differing[0]])} if len(differing) == 1 else {}
    return found


def _rest(evidence: Evidence, at: Mapping[str, str]) -> Rest:
    return tuple(item for item in at.items() if item[0] != evidence.outline.dosed)


def _figure(evidence: Evidence, measure: str, factors: Mapping[Rest, str]) -> Figure | None:
    view = evidence.outline
    group = TRAINED if measure == "decodability" else ""

    def kept(row: Row) -> bool:
        own = (row["factor"], row["group"], row["level"]) == (factors.get(_rest(evidence, coordinates(row))), group, "")
        return own and view.shown(row, view.dosed, CONFOUNDER)

    rows = evidence.estimates(measure, kept)
    if all(math.isnan(numeric(row, "value")) for row in rows):
        return None
    layers = distinct(row["layer"] for row in rows)
    groups = list(_panels(evidence, rows))
    note = ""
    if len(groups) > PANELS:
        note = f"In {layers[-1]}; the table has all {len(layers)} layers."
        rows = [row for row in rows if row["layer"] == layers[-1]]
        groups = list(_panels(evidence, rows))
    levels, cut = some_levels(evidence)
    plot = plot_of(evidence, measure, groups, levels, (view.dosed, view.doses, dose_of(evidence)), chance)
    plot = replace(plot, scaled=True, position_name="p in training")
    held = {axis: value for axis, value in view.held.items() if axis not in (view.dosed, CONFOUNDER)}
    said = (f"At {held_words(held)}." if held else "", _SAID[measure], note, cut)
    title = f"{measure_name(measure).capitalize()} of the confounder over its doses"
    return curves(f"dose-{measure}", title, " ".join(part for part in said if part), plot, rows)


_SAID = {
    "flip-rate": "The share of images whose class changes when the confounder alone is changed.",
    "logit-effect": "How far the confounder moves the logit, in within-class standard deviations.",
    "decodability": "How well a linear decoder finds it, fitted where it is independent of the target: not use.",
}


def _panels(evidence: Evidence, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Title -> rows in the order of their doses; confounders, where they are not compared, and layers apart."""
    apart = evidence.outline.axis != CONFOUNDER
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name = coordinates(row).get(CONFOUNDER, "") if apart else ""
        found.setdefault((name, row["layer"]), []).append(row)
    for place, own in found.items():
        title = " · ".join(part for part in place if part)
        yield title, sorted(own, key=lambda row: float(dose_of(evidence)(row)))
