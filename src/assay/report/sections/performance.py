"""Sections on performance, training, starts and comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from assay.report.account import by_place
from assay.report.charts import Field, Trace, draw_field
from assay.report.drawing import Mark, Panel, Plot, Reference, limits
from assay.report.figures import HALF, Figure, chance, curves, drawn, plot_of, slice_note, strips
from assay.report.layout import (
    BUDGET,
    DIFFERS,
    ROWS,
    Evidence,
    below,
    compared,
    decisive,
    is_overall,
    overall,
    sides,
    some_levels,
    with_levels,
    worst_groups,
)
from assay.report.rows import Tables, coordinates, distinct, mapping, numeric
from assay.report.sentences.names import named
from assay.report.sentences.reasons import place_words
from assay.report.sheets import MOST_COLUMNS, NONE, Cell, Line, Sheet, amount, estimated, sheet, words
from assay.report.wording import column_places, held_words, higher_is_better, measure_name, recipe_head
from assay.stats.format import count, in_words, listed
from assay.stats.outcomes import CORRUPTION, RELATIVE
from assay.stats.rows import CONFOUNDER, CONTROLS, DOSES, EXHAUSTED, MATCHED, over_doses
from assay.stats.rows import mapping as of_json
from assay.store import schema
from assay.store.files import Row

# Figures of performance: by environment with seeds and intervals, and along the budget.

FIRST_SCREEN = 3


def cost(evidence: Evidence, width: float = HALF) -> Figure | None:
    """For the first screen: performance in up to three environments, the compared ones among them."""
    rows = _told(overall(evidence))
    if not rows:
        return None
    there = [name for name in evidence.outline.environments if any(row["environment"] == name for row in rows)]
    first = distinct([*there[:1], *(name for name in compared(evidence) if name in there), *there[1:]])[:FIRST_SCREEN]
    chosen = [name for name in there if name in first]
    main = decisive(evidence, chosen)
    levels, note = some_levels(evidence)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in chosen]
    plot = plot_of(evidence, evidence.outline.measure, groups, levels, references=chance)
    shown = [row for _, group in groups for row in group]
    title = _shift(evidence, rows, chosen, main)
    return strips("cost", title, slice_note(evidence, note), plot, shown, width)


def by_environment(evidence: Evidence) -> Figure | None:
    """Every environment and every level, at the slice shown."""
    rows = _told(overall(evidence))
    if not rows:
        return None
    names = distinct(row["environment"] for row in rows)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    levels, note = some_levels(evidence, ROWS)
    plot = plot_of(evidence, evidence.outline.measure, groups, levels, references=chance)
    title = f"{measure_name(evidence.outline.measure)} in every environment"
    worst = _worst(evidence, rows)
    title = f"{title}: worst in {worst}" if worst else title
    return strips("environments-performance", title, slice_note(evidence, note), plot, rows)


def by_budget(evidence: Evidence) -> Figure | None:
    """Along the budget, a panel per environment."""
    outline = evidence.outline
    if not outline.budgets:
        return None
    rows = evidence.estimates(outline.measure, lambda row: is_overall(row) and outline.shown(row, BUDGET))
    if not rows:
        return None
    levels, note = some_levels(evidence)
    names = distinct(row["environment"] for row in rows)
    groups = [(name, [row for row in rows if row["environment"] == name]) for name in names]
    along = (BUDGET, outline.budgets, _budget)
    plot = plot_of(evidence, outline.measure, groups, levels, along, chance)
    title = _gain(evidence, rows, decisive(evidence, names))
    return curves("budgets", title, slice_note(evidence, note, budget=False), plot, rows)


def _told(rows: Sequence[Row]) -> list[Row]:
    """Without environments in which the measure has no value at all, as false alarms have none among lesions."""
    known = {row["environment"] for row in rows if not math.isnan(row["value"])}
    return [row for row in rows if row["environment"] in known]


def _gain(evidence: Evidence, rows: Sequence[Row], environment: str) -> str:
    """With how many levels the intervals at the last budget and at the first lie apart."""
    outline = evidence.outline
    first, last = outline.budgets[0], outline.budgets[-1]
    at: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["environment"] == environment:
            at.setdefault(outline.level(row), {})[_budget(row)] = row
    both = [(found[last], found[first]) for found in at.values() if first in found and last in found]
    name = measure_name(outline.measure)
    word, count = sides(both)
    if not word:
        return f"{name} from {first} to {last} {BUDGET}"
    them = with_levels(count, len(both), outline.axis)
    return f"In {environment}, {name} is {word} at {last} than at {first} {BUDGET}{them}"


def _budget(row: Row) -> str:
    return coordinates(row).get(BUDGET, "")


def _shift(evidence: Evidence, rows: Sequence[Row], names: Sequence[str], main: str) -> str:
    """Count the levels at which the main environment's interval is apart from the first one's; neutral if none."""
    name, first = measure_name(evidence.outline.measure), names[0]
    by_level = _by_level(evidence, rows)
    both = [(found[main], found[first]) for found in by_level.values() if main in found and first in found]
    word, count = sides(both) if main != first else ("", 0)
    if not word:
        return f"{name[:1].upper()}{name[1:]} in {listed(list(names))}"
    return f"{name} is {word} in {main} than in {first}{with_levels(count, len(both), evidence.outline.axis)}"


def _worst(evidence: Evidence, rows: Sequence[Row]) -> str:
    """The environment whose interval is on the bad side of all others with every level; empty where none does."""
    by_level = _by_level(evidence, rows)
    names = distinct(row["environment"] for row in rows)

    def is_worst(name: str) -> bool:
        return len(names) > 1 and all(
            name in found and all(_worse(evidence, found[name], row) for other, row in found.items() if other != name)
            for found in by_level.values()
        )

    return next((name for name in names if is_worst(name)), "")


def _worse(evidence: Evidence, a: Row, b: Row) -> bool:
    return below(a, b) if higher_is_better(evidence.outline.measure) else below(b, a)


def _by_level(evidence: Evidence, rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(evidence.outline.level(row), {})[row["environment"]] = row
    return found


# What a model reaches by the share of labels that it was given: a curve per level, the share on a logarithmic axis.

FRACTION = "fraction"


def by_share(evidence: Evidence) -> Figure | None:
    """A panel per environment; None where no axis is the share of labels, or where it is compared."""
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
    held = view.named(axis)
    note = [
        f"At {held_words(held)}." if held else "",
        _tied(axis),
        "Bands: 95% intervals; dots: seeds.",
        cut,
    ]
    title = _labeled_title(evidence, decisive(evidence, names), rows, share, shares)
    return curves("labels", title, " ".join(part for part in note if part), drawn, rows)


def _share_of(axis: str) -> Callable[[Row], str]:
    """A row -> the share of labels that its recipe was trained with; the axis may be tied to others."""
    at = axis.split("+").index(FRACTION)
    return lambda row: coordinates(row)[axis].split("+")[at]


def _tied(axis: str) -> str:
    others = [name for name in axis.split("+") if name != FRACTION]
    return f"With the share of labels, {' and '.join(others)} change too." if others else ""


def _labeled_title(
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
    of = "every curve" if count == len(pairs) > 1 else f"{count} of {len(pairs)} curves, whose intervals do not overlap"
    amounts = f"with {_percent(most)} of the labels than with {_percent(least)}"
    return f"In {environment}, {name} is {word} {amounts} in {of}"


def _percent(share: str) -> str:
    return f"{100 * float(share):g}%"


# How training went: losses by epoch, and what a schedule set beside them, a line per level of the compared axis.

_SCALES = "Each loss has its own scale: lines tell when training came to rest, not which loss is better."
COURSES: Mapping[str, tuple[str, str, str]] = {
    "train_loss": ("Loss in training", "loss of the training images", _SCALES),
    "validation_loss": ("Loss on validation images", "loss of the validation images", _SCALES),
    "weight": ("Schedule of the loss", "weight of the loss's first term", "Only losses with a weight have a line."),
}
"""Column of `schema.CURVES` -> title, what stands along the axis, note."""


def course(evidence: Evidence, column: str, width: float = HALF) -> Figure | None:
    """One column of the curves over epochs, means over seeds; None where nothing is known."""
    rows = [row for row in evidence.tables.curves if evidence.outline.shown(row)]
    rows = [row for row in rows if not math.isnan(numeric(row, column))]
    levels, cut = some_levels(evidence, ROWS)
    traces = tuple(
        Trace(level, tuple((numeric(row, "epoch"), numeric(row, column)) for row in own))
        for level in levels
        if (own := [row for row in rows if evidence.outline.level(row) == level])
    )
    points = [point for trace in traces for point in trace.points]
    if not points:
        return None
    title, named, note = COURSES[column]
    values = [value for _, value in points]
    across = (min(epoch for epoch, _ in points), max(epoch for epoch, _ in points))
    span = limits(values, [], (-math.inf, math.inf))
    field = Field(
        "epoch", named, (across[0], max(across[1], across[0] + 1)), span, levels, evidence.outline.styles, traces=traces
    )
    return drawn(
        f"course-{column.replace('_', '-')}", title, slice_note(evidence, note, cut), field, rows, draw_field, width
    )


# What distortions cost: errors by family and severity, and the corruption error against a baseline.

ERROR, CLEAN = "distorted-error", "clean"
TOLD = (CORRUPTION, RELATIVE, ERROR, "distorted-error-increase", "accuracy-kept", "stability")


def by_severity(evidence: Evidence) -> Figure | None:
    """A panel per family: the share of distorted images that is called wrongly, a curve per level from clean images
    over severities.
    """
    rows = [row for row in evidence.estimates(ERROR, evidence.outline.shown) if row["level"]]
    rows = [row for row in rows if not math.isnan(numeric(row, "value"))]
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: int(row["level"]))
    where = distinct(row["environment"] for row in rows)
    families = distinct(row["factor"] for row in rows)
    clean = {name: _errors_of_clean(evidence, name) for name in where}
    groups = [
        (f"{family}, {name}" if len(where) > 1 else family, [*clean[name], *own])
        for name in where
        for family in families
        if (own := _of(rows, name, family))
    ]
    levels, cut = some_levels(evidence)
    positions = [CLEAN] * any(clean.values()) + distinct(row["level"] for row in rows)
    plot = plot_of(evidence, ERROR, groups, levels, ("severity", tuple(positions), _severity), chance)
    note = slice_note(evidence, "Severities as published, 1 least to 5 most.", cut)
    return curves("distorted", f"Errors on distorted images of {', '.join(where)}, by severity", note, plot, rows)


def _errors_of_clean(evidence: Evidence, environment: str) -> list[Row]:
    """The error on the same images, undistorted: the curves begin there. Chance is its, too."""
    whole = ("factor", "level", "group", "layer")
    rows = evidence.estimates("accuracy", evidence.outline.shown)
    return [
        {
            **row,
            "measure": ERROR,
            "level": CLEAN,
            **{key: 1 - numeric(row, of) for key, of in (("value", "value"), ("low", "high"), ("high", "low"))},
            "chance": 1 - numeric(row, "chance"),
        }
        for row in rows
        if row["environment"] == environment and not any(row[key] for key in whole)
    ]


def _severity(row: Row) -> str:
    return row["level"]


def _of(rows: Sequence[Row], environment: str, family: str) -> list[Row]:
    return [row for row in rows if (row["environment"], row["factor"]) == (environment, family)]


def table(evidence: Evidence) -> Sheet | None:
    """A row per recipe, environment and family, a column per measure; the mean over severities."""
    rows = [row for name in TOLD for row in evidence.estimates(name, lambda row: not row["level"])]
    baseline = next((row["group"] for row in rows if row["measure"] == CORRUPTION), "")
    note = "Means over severities."
    if baseline:
        note += (
            f" Corruption error: a recipe's errors over those of the baseline, {baseline} and all else alike: 1 is as "
            "good, 0 without error. The relative one compares the increase of errors over clean images. Both are "
            "ratios of means over seeds and have no interval; comparisons are of the errors themselves."
        )
    caption, place = "Performance by family of distortions", ("recipe", "environment", "factor")
    return by_place(evidence, "distortions", caption, rows, place, "measure", note, heads={"factor": "family"})


# What each mitigation keeps: performance by environment and of the worst group, and whose group labels it used.

MITIGATION = "mitigation"


def mitigations(evidence: Evidence) -> Sheet | None:
    """A row per recipe of the slice shown; None where the study has no axis of mitigations."""
    view = evidence.outline
    if len({row["mitigation"] for row in evidence.tables.recipes}) < 2:
        return None
    shown = [row for row in evidence.tables.recipes if view.shown(row, MITIGATION)]
    found = evidence.estimates(view.measure, is_overall)
    names = distinct(row["environment"] for row in found)[: MOST_COLUMNS - 3]
    of_place = {(row["recipe"], row["environment"]): row for row in found}
    worst = worst_groups(evidence, "accuracy")
    places = {name: column_places(row for (_, own), row in of_place.items() if own == name) for name in names}
    lines = [
        Line(
            (
                words(row["recipe"]),
                words(_labels(row)),
                _of_group(worst.get(row["recipe"]), column_places(worst.values())),
                *(estimated(of_place.get((row["recipe"], name)), places[name]) for name in names),
            )
        )
        for row in shown
    ]
    measure = measure_name(view.measure)
    heads = (recipe_head(evidence.tables), "labels used", "worst group: accuracy",
             *(f"{measure} in {name}" for name in names))  # fmt: skip
    note = (
        "Labels: the rows whose group was known in addition to the class. The worst group is that of least "
        "accuracy in any environment; hovering says where. Recipes whose labels differ are not on equal terms."
    )
    recipes = {row["recipe"] for row in shown}
    source = [row for row in (*worst.values(), *found) if row["recipe"] in recipes]
    return sheet("mitigations", "Performance by mitigation", heads, lines, (source, schema.ESTIMATES), note)


def _labels(row: Row) -> str:
    """`train: of tag, training rows; select: none`."""
    used = {"train": row["training_labels"], "select": row["selection_labels"]}
    return "; ".join(
        f"{use}: of {row['groups']}, {rows} rows" if rows != "none" else f"{use}: none" for use, rows in used.items()
    )


def _of_group(row: Row | None, places: int) -> Cell:
    """The estimate; where it is and which group on hovering."""
    if row is None:
        return Cell(NONE, "", True)
    cell = estimated(row, places)
    return Cell(cell.text, cell.sort, True, f"in {row['environment']}: {place_words(row['reason'])}")


# What each start is, as a table: where its weights come from, how it scales images, what it was trained on.

WEIGHTS = {
    "random": "the architecture's own random weights",
    "random-statistics": "random weights with the mean and variance of every tensor of the file",
    "timm": "the weights that timm publishes for the architecture",
    "file": "weights from a file",
    "download": "weights from a public address",
    "source": "trained by this study",
}
"""Initialization -> its words; a user's own is named by its component."""
SHOWN_HASH = 12
"""Digits of a checksum that are shown; the file of the table has all."""


def starts(tables: Tables) -> Sheet | None:
    """A row per start; None where all recipes start at random and there is nothing to tell."""
    rows = tables.starts
    if all(row["kind"] == "random" for row in rows):
        return None
    places = column_places(rows)
    lines = [
        Line(
            (
                words(row["start"]),
                words(_weights(row), row["sha256"]),
                words(_trained_on(row)),
                _count(row, "images"),
                _count(row, "steps"),
                _count(row, "seeds"),
                estimated(row if row["data"] else None, places),
                words(row["scaling"] or NONE),
            )
        )
        for row in rows
    ]
    heads = ("start", "weights", "trained on", "images", "steps", "seeds", "AUROC of its own",
             "image x is scaled to")  # fmt: skip
    judged = any(not math.isnan(numeric(row, "value")) for row in rows)
    note = (
        "AUROC of its own: on validation images of the start's own task, mean of its seeds with the "
        "95% interval over them; of several classes, the mean of each against the rest."
    )
    if any(row["data"] and not row["target"] for row in rows):
        note += " Of a start trained without labels: by a linear head that is fitted to its features with labels."
    return replace(
        sheet("starts", "Initial weights", heads, lines, (rows, schema.STARTS), note if judged else ""), folded=True
    )


def _weights(row: Row) -> str:
    if row["statistics"]:
        return f"random weights with the mean and variance of every tensor of {row['statistics']}"
    below = f", starting from {row['below']}" if row["below"] else ""
    named = f"{row['file']}, SHA-256 {row['sha256'][:SHOWN_HASH]}" if row["sha256"] else row["file"]
    return str(WEIGHTS.get(row["kind"], row["component"])) + below + (f" ({named})" if named else "")


def _trained_on(row: Row) -> str:
    """Return `phantom natural(kinds=8), target kind, 64 px`, or `without labels` in the place of the target."""
    if not row["data"]:
        return NONE
    target = f"target {row['target']}" if row["target"] else "without labels"
    own = {"own": "the study's own training images", "files": "images from files"}
    return f"{own.get(row['data']) or 'phantom ' + row['phantom']}, {target}, {numeric(row, 'size'):.0f} px"


def _count(row: Row, name: str) -> Cell:
    value = numeric(row, name)
    return Cell(NONE, "", True) if math.isnan(value) else amount(int(value))


# Figures of the stated contrasts: every difference with its interval, beside zero and the margin of equivalence.

PANELS = 12
"""A figure has at most so many panels; the table has all."""
Groups = Mapping[str, Sequence[Row]]


def differences(evidence: Evidence) -> list[Figure]:
    """One figure per measure, axis and level compared against; a panel per place and way of matching."""
    found: dict[tuple[str, str, str], list[Row]] = {}
    for row in evidence.tables.contrasts:
        if row["role"] in CONTROLS:
            continue
        found.setdefault((_called(row), row["axis"], row["b"]), []).append(row)
    drawn = {key: rows for key, rows in found.items() if not all(math.isnan(numeric(row, "value")) for row in rows)}
    return [_figure(evidence, key, rows, i) for i, (key, rows) in enumerate(drawn.items())]


def _figure(evidence: Evidence, key: tuple[str, str, str], every: Sequence[Row], number: int) -> Figure:
    """every: the comparisons of which the title tells, those without a value among them."""
    called, axis, against = key
    rows = [row for row in every if not math.isnan(numeric(row, "value"))]
    common, groups = _by_place(rows)
    levels = [level for level in evidence.outline.levels if any(row["a"] == level for row in rows)]
    levels += [level for level in distinct(row["a"] for row in rows) if level not in levels]
    styles = {**{level: next(iter(evidence.outline.styles.values())) for level in levels}, **evidence.outline.styles}
    notes = [f"In all panels: {common}." if common else "", _shown(rows), _fewer_doses(rows), _uncounted(every)]
    if len(levels) == 1 and len(groups) > 1:
        # a panel each for one row would hide what tells them apart: the places become the rows
        only, levels = levels[0], list(groups)
        styles = dict.fromkeys(levels, styles[only])
        groups = {only: [{**row, "a": place} for place, own in groups.items() for row in own]}
    levels, cut = _folded(levels, [row for own in groups.values() for row in own])
    if len(groups) > PANELS:
        cut += f" {PANELS} of {len(groups)} panels; the table has all."
        groups = dict(list(groups.items())[:PANELS])
    panels = tuple(_panel(title, group, levels, against) for title, group in groups.items())
    if any(panel.band for panel in panels):
        notes.append("Shaded: the margin of equivalence.")
    plot = Plot(panels, tuple(levels), styles, _axis(called, axis, against), _span(panels))
    words = " ".join(part for part in (*notes, cut.strip()) if part)
    return strips(f"contrasts-{number}", _comparisons_title(called, every, named(axis, against)), words, plot, rows)


def _called(row: Row) -> str:
    """The name of the compared measure: `AUROC`, or a dose-response of it."""
    name = measure_name(row["measure"])
    return f"the change in {name}" if over_doses(row) else name


def _by_place(rows: Sequence[Row]) -> tuple[str, Groups]:
    """The fields that all places have in common, and place -> its rows by the fields that differ."""
    parts = [_parts(row) for row in rows]
    common = [part for part in parts[0] if all(part in own for own in parts)]
    groups: dict[str, list[Row]] = {}
    for row, own in zip(rows, parts, strict=True):
        groups.setdefault(", ".join(part for part in own if part not in common), []).append(row)
    if len(groups) == 1:
        return "", {", ".join(common): rows}
    return ", ".join(common), groups


def _parts(row: Row) -> list[str]:
    """`reversed`, `epochs 20`, `matched fit`: where and how a comparison was made."""
    ways = {"matched-fit": "matched fit", DOSES: "mean over p", MATCHED: "mean over p where equally good"}
    ways["as-given"] = "as given"
    how = ways.get(row["at"], "equal budget")
    where = mapping(row["where"])
    held = [held_words({axis: value}) for axis, value in where.items()]
    factor = "" if where.get(CONFOUNDER, "").partition("(")[0] == row["factor"] else in_words(row["factor"])
    pooled = {axis: values for axis, values in of_json(row["pooled"]).items() if axis != row["axis"]}
    means = [f"mean over {axis} {listed(list(values))}" for axis, values in pooled.items()]
    return [part for part in (factor, row["layer"], row["environment"], *held, *means, how) if part]


def _fewer_doses(rows: Sequence[Row]) -> str:
    """`p to 0.5 alone: natural-scale.`, of levels that were trained at fewer doses than others."""
    fewer = distinct(str(row["doses"]) for row in rows if row.get("doses"))
    named = {doses: distinct(in_words(row["a"]) for row in rows if row.get("doses") == doses) for doses in fewer}
    return " ".join(f"p to {doses} alone: {listed(levels)}." for doses, levels in named.items())


def _folded(levels: list[str], rows: Sequence[Row]) -> tuple[list[str], str]:
    """At most so many levels: those of which a difference is shown, then the largest differences."""
    if len(levels) <= ROWS:
        return levels, ""
    order = sorted(rows, key=lambda row: (row["conclusion"] not in DIFFERS, -abs(numeric(row, "value"))))
    chosen = set(distinct(row["a"] for row in order)[:ROWS])
    note = f"{ROWS} of {len(levels)} shown: differences that are shown, then the largest. The table has all."
    return [level for level in levels if level in chosen], note


def _panel(title: str, rows: Sequence[Row], levels: Sequence[str], against: str) -> Panel:
    marks = tuple(
        Mark(row["a"], numeric(row, "value"), numeric(row, "low"), numeric(row, "high"))
        for row in rows
        if row["a"] in levels
    )
    margins = [margin for row in rows if not math.isnan(margin := numeric(row, "margin"))]
    band = (-margins[0], margins[0]) if margins else None
    return Panel(title, marks, (Reference.level(against, 0.0),), band)


def _span(panels: Sequence[Panel]) -> tuple[float, float]:
    marks = [mark for panel in panels for mark in panel.marks]
    points = [0.0, *(mark.value for mark in marks)]
    points += [end for panel in panels if panel.band for end in panel.band]
    return limits(points, [end for mark in marks for end in (mark.low, mark.high)], (-math.inf, math.inf))


def _axis(called: str, axis: str, against: str) -> str:
    return f"difference in {called} to {named(axis, against)}"


def _shown(rows: Sequence[Row]) -> str:
    """Which differences are shown, up to three by name, and why an interval next to zero need not be one."""
    shown = [row for row in rows if row["conclusion"] in DIFFERS]
    unproven = [row for row in rows if row["conclusion"] == "inconclusive"]
    beside = any(numeric(row, "low") * numeric(row, "high") > 0 for row in unproven)
    named = "; ".join(f"{row['a']} {row['conclusion']} ({', '.join(_parts(row))})" for row in shown)
    words = [f"Shown: {named}."] if 0 < len(shown) <= 3 else []
    if beside:
        words.append("An interval is of one comparison alone; differences are decided after correction for all.")
    if any(row["conclusion"] == "equivalent" for row in rows):
        words.append("Equivalence is decided by another interval, of the level tested: the table has it.")
    return " ".join(words)


def _uncounted(rows: Sequence[Row]) -> str:
    """Which comparisons the title counts and the drawing lacks, and the other way round."""
    lost = sum(math.isnan(numeric(row, "value")) for row in rows if not row["exploratory"])
    extra = sum(bool(row["exploratory"]) for row in rows)
    words = [f"{count(lost, 'comparison')} without a value: the table says why."] if lost else []
    if 0 < extra < len(rows):
        words.append(f"{count(extra, 'comparison')} more, added after results existed, not counted above.")
    if extra == len(rows):
        words.append("Added after results were known: exploratory until pre-specified and confirmed.")
    return " ".join(words)


def _comparisons_title(called: str, rows: Sequence[Row], against: str) -> str:
    """Of how many stated comparisons how many showed a difference, and how many equivalence where any did: the counts
    of the answer. Where none was stated, those that were added.
    """
    counted = [row for row in rows if not row["exploratory"]] or rows
    shown = sum(row["conclusion"] in DIFFERS for row in counted)
    equal = sum(row["conclusion"] == "equivalent" for row in counted)
    lost = sum(row["conclusion"] == "undefined" for row in counted)
    alike = f", {equal} showed equivalence" if equal else ""
    spent = sum(row["conclusion"] == EXHAUSTED for row in counted)
    alike += f", {spent} had no room for one ({EXHAUSTED})" if spent else ""
    alike += f", {lost} could not be tested" if lost else ""
    if lost == len(counted):
        of = count(lost, "comparison")
        return f"{called[:1].upper()}{called[1:]} compared with {against}: {of} that could not be tested"
    if len(counted) == 1:
        was = "equivalence was shown" if equal else f"a difference was {'' if shown else 'not '}shown"
        added = " (exploratory)" if counted[0]["exploratory"] else ""
        return f"{called[:1].upper()}{called[1:]} compared with {against}: {was}{added}"
    kind = "exploratory comparison" if counted[0]["exploratory"] else "comparison"
    of = f"{count(len(counted), kind)} of {called} with {against}"
    return f"{shown} of {of} showed a difference{alike}" if shown else f"None of {of} showed a difference{alike}"
