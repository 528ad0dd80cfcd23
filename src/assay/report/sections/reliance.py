"""Sections on reliance, attribution and decodability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from assay.core.reasons import Code, reason_of
from assay.report.account import by_place, tied
from assay.report.drawing import Panel, Plot, Reference
from assay.report.figures import HALF, Figure, chance, curves, dot_rows, plot_of, slice_note, strips
from assay.report.layout import ROWS, Evidence, below, greatest, some_levels, with_levels
from assay.report.rows import distinct, numeric
from assay.report.sheets import Sheet
from assay.report.wording import NO_EFFECT
from assay.stats.format import in_words, listed
from assay.store.files import Row

# Figures of what a model uses: by variance, by flips, by effect on the logit.

FIRST_SCREEN, MOST_TIED = 3, 6
"""Panels of the first screen, and how many there may be where so many factors are tied to the target."""
CHOICES = ("sobol-total", "flip-rate", "logit-effect-absolute")
USED = ("sobol-total", "flip-rate", "logit-effect")
"""The panels of the figure of all factors."""

Group = tuple[str, list[Row]]


def relied_on(evidence: Evidence) -> Figure | None:
    """For the first screen: the core and the tied factors, then the heaviest, by the first measure there is."""
    for measure in CHOICES:
        groups, without = _groups(evidence, measure)
        groups = _named(groups)
        if groups:
            kept = _first(evidence, groups)
            rows = [row for _, group in kept for row in group]
            levels, note = some_levels(evidence)
            plot = plot_of(evidence, measure, kept, levels, references=_nothing)
            of = len(groups) + len(without)
            more = f"{len(kept)} of {of} inputs shown." if len(kept) < of else ""
            title = _reliance_title(evidence, measure, groups, len(without))
            said = slice_note(evidence, more, _undefined(without), note)
            return strips("relied-on", title, said, plot, rows, HALF)
    return None


def by_factor(evidence: Evidence) -> Figure | None:
    """Every factor as a row, a panel per measure of use, at the slice shown; the factors of most effect come first."""
    found = {measure: _groups(evidence, measure) for measure in USED}
    found = {measure: (groups, without) for measure, (groups, without) in found.items() if groups}
    if not found:
        return None
    levels, note = some_levels(evidence)
    panels: list[Panel] = []
    sizes: dict[str, list[float]] = {}
    for measure, (groups, _) in found.items():
        plot = plot_of(evidence, measure, _named(groups), levels, references=_nothing)
        most = max(_largest(rows) for _, rows in groups) or 1.0
        for panel in plot.panels:
            own = [abs(mark.value) / most for mark in panel.marks if not math.isnan(mark.value)]
            sizes.setdefault(panel.title, []).append(sum(own) / len(own) if own else 0.0)
        marks = tuple(replace(mark, at=panel.title) for panel in plot.panels for mark in panel.marks)
        panels.append(Panel(plot.axis, marks, plot.panels[0].references, limits=plot.limits))
    order = tuple(sorted(sizes, key=lambda name: -max(sizes[name])))
    titles = [_reliance_title(evidence, measure, groups, len(without)) for measure, (groups, without) in found.items()]
    title, *more = sorted(titles, key=lambda text: text in _NEUTRAL)
    more = [f"{text}." for text in more if text not in _NEUTRAL]
    lost = distinct(name for _, without in found.values() for name in without)
    rows = [row for groups, _ in found.values() for _, group in groups for row in group]
    axis = "one row per factor, most effect first"
    plot = Plot(tuple(panels), levels, evidence.outline.styles, axis, (0.0, 1.0), order, "factor")
    return dot_rows("reliance-by-factor", title, slice_note(evidence, *more, _undefined(lost), note), plot, rows)


def _named(groups: Sequence[Group]) -> list[Group]:
    return [(in_words(name), rows) for name, rows in groups]


def _first(evidence: Evidence, groups: Sequence[Group]) -> list[Group]:
    """Groups of factors that are tied to the target, and as many of the heaviest as there is room for."""
    known = tied(evidence.tables)
    own = [group for group in groups if group[1][0]["factor"] in known][:MOST_TIED]
    rest = sorted((group for group in groups if group not in own), key=lambda group: -_largest(group[1]))
    kept = [*own, *rest[: max(0, FIRST_SCREEN - len(own))]]
    return [group for group in groups if group in kept]


def _groups(evidence: Evidence, measure: str) -> tuple[list[Group], list[str]]:
    """Rows by factor, and by class where there are several, without directions; and the names of those without a value.

    Factors that are tied to the target come first.
    """
    rows = evidence.estimates(measure, lambda row: evidence.outline.shown(row) and not row["group"])
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{row['factor']} ({row['level']})" if row["level"] else row["factor"]
        found.setdefault(name, []).append(row)
    known = tied(evidence.tables)
    groups = [(name, group) for name, group in found.items() if not math.isnan(_largest(group))]
    without = [name for name, group in found.items() if math.isnan(_largest(group))]
    return sorted(groups, key=lambda group: group[1][0]["factor"] not in known), without


def _reliance_title(evidence: Evidence, measure: str, groups: Sequence[Group], without: int) -> str:
    """Which factor weighs most with which level, where intervals show it; neutral where they show none.

    without: how many inputs have no value. The greatest is then claimed of the others alone, and said to be.
    """
    by_level: dict[str, dict[str, Row]] = {}
    for name, rows in groups:
        for row in rows:
            by_level.setdefault(evidence.outline.level(row), {})[name] = row
    first: dict[str, list[str]] = {}
    for level in (level for level in evidence.outline.levels if level in by_level):
        first.setdefault(greatest(by_level[level]), []).append(level)
    unclear = first.pop("", [])
    verb, neutral = _VERBS[measure]
    if not first:
        return neutral
    axis, all_ = evidence.outline.axis, len(by_level)
    clauses = [f"{name}{_with(levels, all_, axis)}" for name, levels in first.items()]
    clauses[0] = clauses[0].replace(" with ", f" {verb} most with ", 1) if all_ > 1 else f"{clauses[0]} {verb} most"
    if unclear:
        clauses.append(f"no order is clear{_with(unclear, all_, axis)}")
    among = f" (of {len(groups)} of {len(groups) + without} inputs)" if without else ""
    words = "; ".join(clauses) + among
    return words[:1].upper() + words[1:]


def _undefined(names: Sequence[str]) -> str:
    which = listed(list(map(in_words, names))) if len(names) <= NAMED_LEVELS else f"{len(names)} inputs"
    return f"No value for {which}." if names else ""


def _with(levels: list[str], of: int, axis: str) -> str:
    """` with every loss`, ` with cross-entropy and supcon`, ` with 37 of 46 recipes`."""
    named = 1 < of <= NAMED_LEVELS and len(levels) < of
    return f" with {listed(levels)}" if named else with_levels(len(levels), of, axis)


_VERBS = {
    "sobol-total": ("weighs", "How much each input weighs"),
    "flip-rate": ("flips the class", "How often each factor flips the class"),
    "logit-effect": ("moves the logit", "How far each factor moves the logit"),
    "logit-effect-absolute": ("moves the logit", "How far each factor moves the logit"),
}
"""What a title says where one factor is first, and where none is."""
_NEUTRAL = frozenset(neutral for _, neutral in _VERBS.values())
NAMED_LEVELS = 6
"""More levels than this are counted in a title instead of named."""


def _largest(rows: Sequence[Row]) -> float:
    return max((abs(value) for row in rows if not math.isnan(value := numeric(row, "value"))), default=math.nan)


def _nothing(_: Sequence[Row]) -> tuple[Reference, ...]:
    return (Reference.level(NO_EFFECT, 0.0),)


# Attention: heat maps against chance and a center prior. Use: the cost of painting lesions over.

SHOWN = "mass-accuracy"
"""The score of the figure; the table has all."""
CENTER = "center-prior"
REMOVED = "lesion-effect"
OVER = "erasure-effect-over-elsewhere"
SIZES = ("small", "medium", "large")
ATTENDED = ("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision", "deletion", "insertion",
            "sensitivity-n", "removal-agreement", "sanity-rank-correlation")  # fmt: skip
_NEAR = 0.12
"""References nearer than this share one name, so names do not overlap."""


def by_explainer(evidence: Evidence) -> Figure | None:
    """A panel per explainer: the share of each recipe's maps on the lesion."""
    rows = [row for row in evidence.estimates(SHOWN, evidence.outline.shown) if not (row["group"] or row["level"])]
    prior = [row for row in rows if row["factor"] == CENTER]
    rows = [row for row in rows if row["factor"] != CENTER]
    known = [row for row in rows if not math.isnan(numeric(row, "value"))]
    if not known:
        return None
    groups = [(name, [row for row in rows if row["factor"] == name]) for name in distinct(r["factor"] for r in known)]
    levels, note = some_levels(evidence, ROWS)

    def references(panel: Sequence[Row]) -> tuple[Reference, ...]:
        return _with_center(chance(panel or known), prior)

    plot = plot_of(evidence, SHOWN, [(_called(name, own), own) for name, own in groups], levels, references=references)
    first = "Gray: chance, which is the lesions' share of the image, and a map that says: in the middle."
    return strips("attends", _attribution_title(groups, prior), slice_note(evidence, first, note), plot, rows)


def by_size(evidence: Evidence) -> Figure | None:
    """A panel per size of lesions: the effect of painting them over beyond that of an equal area elsewhere."""
    rows = [row for row in evidence.estimates(OVER, evidence.outline.shown) if not row["group"]]
    groups = [(f"{size} lesions", [row for row in rows if row["level"] == size]) for size in SIZES]
    groups = [(name, own) for name, own in groups if any(not math.isnan(numeric(row, "value")) for row in own)]
    if not groups:
        return None
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, OVER, groups, levels, references=lambda _: (Reference.level(NO_EFFECT, 0.0),))
    shown = [row for _, own in groups for row in own]
    first = "Sizes are thirds of the lesions shown, by area. The effect measures use, not attention."
    title = "What painting over lesions of each size costs"
    return strips("erased", title, slice_note(evidence, first, note), plot, shown)


def by_kind(evidence: Evidence) -> Figure | None:
    """A panel per kind of lesion: the effect on the answer of drawing the images without them.

    They are painted over in images that were not drawn.
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
    first = f"{how}, in images that show them. The effect measures use, not attention."
    return strips("kinds", "What each kind of lesion adds to the answer", slice_note(evidence, first, note), plot,
                  [row for _, own in groups for row in own])  # fmt: skip


def table(evidence: Evidence) -> Sheet | None:
    """A row per recipe, explainer and score."""
    chosen = [row for name in ATTENDED for row in evidence.estimates(name, lambda row: not row["level"])]
    chosen = [row for row in chosen if not row["group"]]
    failing = distinct(row["factor"] for row in chosen if Code.FAILS_SANITY in reason_of(row))
    failed = f"By some recipe {listed(failing)} failed it." if failing else "None failed it."
    note = (
        "Scores against lesion masks are 0 to 1; a map that knows nothing scores the lesions' share of the image. An "
        "explainer fails the sanity check where its maps correlate by 0.5 or more with those of redrawn weights. "
        f"{failed}"
    )
    caption, place, heads = "Attention to lesions, by recipe", ("recipe", "factor"), {"factor": "explainer"}
    return by_place(evidence, "attribution", caption, chosen, place, "measure", note, heads=heads)


def _called(name: str, rows: Sequence[Row]) -> str:
    """The explainer, marked where it fails by any recipe."""
    return f"{name} (fails sanity)" if any(Code.FAILS_SANITY in reason_of(row) for row in rows) else name


def _with_center(blind: tuple[Reference, ...], prior: Sequence[Row]) -> tuple[Reference, ...]:
    """Return chance and the center prior, each with its name; one name for both where they are close."""
    values = [value for row in prior[:1] if not math.isnan(value := numeric(row, "value"))]
    if not values or not blind:
        return (*blind, *(Reference.level("center", value) for value in values))
    at = blind[0].values[0][1]
    if abs(values[0] - at) < _NEAR:
        return Reference.level("chance, center", at), Reference.level("", values[0])
    return (*blind, Reference.level("center", values[0]))


def _attribution_title(groups: Sequence[tuple[str, Sequence[Row]]], prior: Sequence[Row]) -> str:
    """State which explainers localize lesions better than chance and center by all intervals; of those that pass."""
    center = max((numeric(row, "value") for row in prior), default=math.nan)
    clear = [
        name
        for name, rows in groups
        if not any(Code.FAILS_SANITY in reason_of(row) for row in rows)
        and all(numeric(row, "low") > numeric(row, "chance") and numeric(row, "low") > center for row in rows)
    ]
    if not clear:
        return "Share of each map on the lesion"
    which = listed(clear) if len(clear) < len(groups) else "every explainer"
    return f"Maps of {which} localize lesions better than chance and the center"


# The figure of what a model carries: decodability by layer against its references.

TRAINED, UNTRAINED, SHUFFLED, PIXELS = "trained", "untrained", "shuffled", "pixels"
MOST_ENCODED = 3
"""Factors that are seen at once; those of further ones are folded away."""
NAMED_FACTORS = 4
"""More factors than this are counted in a title instead of named."""
DASHES = {UNTRAINED: "5 3", SHUFFLED: "1 3"}


def by_layer(evidence: Evidence) -> tuple[Figure, ...]:
    """A panel per factor: the trained networks along their layers, and in gray the references without training.

    Factors that training made most readable come first; those beyond `MOST_ENCODED` are in a second, folded figure.
    """
    rows = evidence.estimates("decodability", evidence.outline.shown)
    trained = [row for row in rows if row["group"] == TRAINED]
    if not trained:
        return ()
    layers = tuple(distinct(row["layer"] for row in trained))
    levels, note = some_levels(evidence)
    factors = sorted(distinct(row["factor"] for row in trained), key=lambda factor: -_gain(rows, factor, layers[-1]))
    groups = [(in_words(factor), [row for row in trained if row["factor"] == factor]) for factor in factors]
    along = ("layer", layers, _layer)

    def references(panel: Sequence[Row]) -> tuple[Reference, ...]:
        factor = panel[0]["factor"] if panel else ""
        return _references([row for row in rows if row["factor"] == factor], evidence)

    first = f"Gray: the references of {evidence.outline.level(trained[0])}."
    said = slice_note(evidence, first, note)

    def part(id: str, title: str, own: Sequence[Group]) -> Figure:
        plot = plot_of(evidence, "decodability", own, levels, along, references)
        names = {row["factor"] for _, group in own for row in group}
        return curves(id, title, said, plot, [row for row in rows if row["factor"] in names])

    title = _decodability_title(evidence, rows, layers[-1])
    shown, rest = groups[:MOST_ENCODED], groups[MOST_ENCODED:]
    figures = [part("decodability", title, shown)]
    if rest:
        figures.append(replace(part("decodability-rest", "What each layer encodes: other factors", rest), folded=True))
    return tuple(figures)


def _gain(rows: Sequence[Row], factor: str, layer: str) -> float:
    """Mean over recipes of what a layer's decodability gained by training; lowest where it is not known."""
    there = [row for row in rows if row["factor"] == factor and row["layer"] == layer]
    known: dict[str, list[float]] = {TRAINED: [], UNTRAINED: []}
    for row in there:
        if row["group"] in known and not math.isnan(numeric(row, "value")):
            known[row["group"]].append(numeric(row, "value"))
    means = [sum(own) / len(own) for own in known.values() if own]
    return means[0] - means[1] if len(means) == len(known) else -math.inf


def _layer(row: Row) -> str:
    return str(row["layer"])


def _decodability_title(evidence: Evidence, rows: Sequence[Row], layer: str) -> str:
    """Which factors the last layer gives away better than before training with every level, as intervals show."""
    there = [row for row in rows if row["layer"] == layer]
    pairs: dict[str, dict[str, dict[str, Row]]] = {}
    for row in there:
        pairs.setdefault(row["factor"], {}).setdefault(evidence.outline.level(row), {})[row["group"]] = row
    gained = [factor for factor, by_level in pairs.items() if all(map(_gained, by_level.values()))]
    if not gained:
        return f"What each layer encodes, up to {layer}"
    names = [in_words(factor) for factor in gained]
    which = listed(names) if len(names) <= NAMED_FACTORS else f"{len(names)} of {len(pairs)} factors"
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
