"""Page of a study, of compared predictions, and of one model, which is a study without seeds and comparisons."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from assay.core.errors import StoreError, unknown_of_few
from assay.core.measures import MEASURES, WORST, label_of, quiet_of
from assay.report.block import ZERO, Block, Query, Row, Section
from assay.report.context import CellFormat, PageContext, PageDefinition, Rows, distinct_values, page_scope
from assay.report.data_blocks import ADDED, CUES, ISSUES
from assay.report.sheets import NONE, Cell, sort_key, text_cell
from assay.report.words import comparison_name, decision_numbers, margin_test, verdict_words
from assay.stats.corruption import CORRUPTION, RELATIVE
from assay.stats.format import join_words, number
from assay.stats.measures import COMPUTED
from assay.stats.rows import numeric
from assay.store.schema import DIFFERENCES
from assay.study.methods_words import paper_methods
from assay.study.words import study_account

_OVERALL = ("factor", "level", "layer", "group")
USED = ("sobol-total", "flip-rate", "logit-effect")
MORE_USED = ("sobol-first", "logit-effect-absolute")
ATTENDED = ("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision", "removal-agreement",
            "sanity-rank-correlation")  # fmt: skip
SHAPES = ("effective-rank", "participation-ratio", "class-separation", "cka-to-untrained")
MORE_SHAPES = ("intrinsic-dimension", "condition-number-90-10", "condition-number-maps", "kurtosis", "constant-units")
CONVENTIONS = ("dice", "dice-one", "dice-skip", "dice-smoothed", "dice-zero")
"""Dice by the convention for empty masks."""
DISTORTED = (CORRUPTION, RELATIVE, "distorted-error", "distorted-error-increase", "accuracy-kept", "stability",
             "distorted-auroc-referable")  # fmt: skip
OF_A_KIND = ("dice", "lesion-sensitivity", "false-positives-per-image")
REMOVED = ("lesion-effect", "erasure-effect-over-elsewhere")
PUT_BACK = ("auroc-lost-to-start", "auroc-lost-to-random")
_PER_IMAGE = ("pair-logit",)
"""Measures of single images: they are in the file alone."""

COMPARISONS = Block(
    id="contrasts",
    title="Every comparison",
    table="contrasts",
    chart="strip",
    row_columns=("comparison",),
    panel="measure",
    color_column="decision",
    axes=("difference in {}", ""),
    reference_level=ZERO,
    shades_margin=True,
    cited_column="decided",
    columns=("comparison", "decision", "decided", "margin_test", "detectable", "seeds", "role"),
    note=(
        "Difference: the first minus the second, with the interval and p that decided, corrected for all comparisons "
        "of the family; a level other than 95% is named. Shaded: the margin. Detectable: the difference that this "
        "design detects with 80% power."
    ),
)
TRAINED_ONCE = Block(
    id="differences",
    title="Models that were trained once",
    table="differences",
    chart="strip",
    row_columns=("model", "against"),
    panel="measure",
    color_column="outcome",
    axes=("difference in {}", ""),
    reference_level=ZERO,
    columns=("model", "against", "measure", "value", "p", "margin", "outcome", "equivalence", "patients"),
    note="Difference: the first minus the second, paired by case, with 95% intervals over patients alone. It holds "
    "for these models, and not for how they were trained.",
)
TRADES = Block(
    id="trade",
    title="False positives without a lesion, against overlap with lesions",
    table="trades",
    chart="trade",
    has_table=False,
    note="Best is low and to the right. Bars: 95% intervals. Shaded: 95% region of both together.",
)


def performance(measure: str) -> Block:
    """Return the block of a study's leading measure by environment."""
    return Block(
        id="performance",
        title=f"{label_of(measure)} by test condition",
        query=Query(measures=(measure,), empty=_OVERALL, filled=("environment",)),
        chart="strip",
        row_columns=("environment",),
        across="environment",
    )


def doses(measure: str, axis: str) -> Block:
    """Return the block of a dose-response."""
    return Block(
        id="doses",
        title=f"{label_of(measure)} by share of marked training images",
        query=Query(measures=(measure,), empty=_OVERALL, filled=("environment",)),
        chart="curve",
        panel="environment",
        along=f"axis {axis}",
        note="Bands: 95% intervals; dots: seeds.",
        has_table=False,
    )


def _published(tables: Mapping[str, Rows]) -> Section:
    """Return the section of published tables; where no figure could be copied, their layout with values of this run."""
    rows = tables.get("published", ())
    facts = {row["key"]: row["value"] for row in tables.get("provenance", ())}
    differences = f"Differences from the publication: {facts[DIFFERENCES]}" if DIFFERENCES in facts else ""
    copied = any(not math.isnan(numeric(row, "published")) for row in rows)
    layout = f"Layout of {join_words(distinct_values(row['source'] for row in rows))}; all values from this run"
    block = Block(
        id="published",
        title="As published, and in this run" if copied else layout,
        table="published",
        folded=True,
        columns=(
            "table",
            "row",
            "column",
            *(("published",) if copied else ()),
            "value",
            "against",
            "p",
            "source",
            "page",
            "note",
        ),
        note="Published figures are copied from the publication; images, networks and seeds of this run are its own."
        if copied
        else "",
    )
    order = Block(
        id="published-order",
        title="Whether the published order is replicated",
        table="published_orders",
        folded=True,
        columns=("table", "column", "tau", "pairs", "same", "compared", "same_shown", "other_shown"),
        note="Two rows are decided if a comparison of this run claims their difference, corrected within its family.",
    )
    return Section(
        "published",
        "Published figures" if copied else "Layout of a publication",
        (block, order),
        differences,
        tab="Published",
    )


def sections(tables: Mapping[str, Rows]) -> list[Section]:
    """Return the sections of a page; blocks without rows are left out when they are rendered."""
    view, redundant = page_scope(tables), _redundant_measures(tables)
    sections_shown = [
        Section("replication", "Replication of an earlier run", (_REPLICATION,), tab="Replication"),
        Section("comparisons", "Comparisons", (COMPARISONS, TRAINED_ONCE, _LOOKS, _ORDERED)),
        _published(tables),
        Section("doses-response", "Dose-response", _doses(view.measure, view.dose_axis), "Changes are from p = 0."),
        Section("starts-of", "Initial weights", (_STARTS,)),
        Section("how-well", "Performance", _performance_blocks(view.measure, view.budget_axis, redundant)),
        Section("healthy", "Images without a lesion", _healthy(tables),
                "False positives are compared at the threshold at which each network finds the same share of the "
                "lesions of its validation images.", tab="No lesion"),
        Section("relies", "What models rely on", _RELIES,
                "A model relies on a factor if changing this factor alone changes its output.", tab="Reliance"),
        Section("encodes", "What models encode", _ENCODES,
                "A layer encodes a factor if a linear decoder can predict it. An encoded factor need not be used.",
                tab="Encoding"),
        Section("attends", "What models attend to", _ATTENDS,
                "Attention is the share of an explainer's map on the lesion. An attended lesion need not be used.",
                tab="Heat maps"),
        Section("geometry", "Similarity and shape of layers", _GEOMETRY,
                "Geometry shows neither encoding nor use.", tab="Layers"),
        Section("cues", "Simple cues and confounders", (ADDED, CUES, ISSUES, VISIBLE), tab="Cues"),
    ]  # fmt: skip
    measures_shown = {
        name
        for section in sections_shown
        for block in section.blocks
        if block.table == "estimates"
        for name in block.query.measures
    } | redundant
    return [
        *sections_shown,
        Section("further", "Further measures", _further(tables, measures_shown), folded=True, tab="Further"),
    ]


_REPLICATION = Block(
    id="replications",
    title="Each primary comparison in both runs",
    table="replications",
    columns=("comparison", "first", "second", "predicted", "agreement", "both"),
    note=(
        "Predicted: the 95% interval of the second difference from the first. Agreement: the probability that the "
        "second run reaches the same decision, if the first difference is correct apart from its error. Both runs: "
        "the mean over the seeds of both runs with its 95% interval."
    ),
)
_LOOKS = Block(
    id="looks",
    title="Looks at the primary comparisons",
    table="looks",
    folded=True,
    columns=("comparison", "look", "decided", "decision", "closed_at", "seeds"),
    note="A decision once made remains. An estimate after early stopping is likely too large.",
)
_ORDERED = Block(
    id="order",
    title="Factors compared by how much models rely on them",
    table="reliance_contrasts",
    folded=True,
    columns=("recipe", "measure", "factor", "against", "decided", "seeds"),
    note="The factor with the largest value minus each other one, paired by seed; corrected over the other factors.",
)
_STARTS = Block(
    id="starts",
    title="Initial weights",
    table="starts",
    query=Query(excluded={"kind": ("random",)}),
    folded=True,
    columns=("start", "component", "below", "data", "target", "images", "steps", "value"),
    note="Value: AUROC on validation images of the start's own task, over its seeds.",
)
VISIBLE = Block(
    id="visibility",
    title="How visible each confounder is",
    table="visibility",
    folded=True,
    columns=("confounder", "share", "difference", "ssim", "images", "reason"),
)


def _redundant_measures(tables: Mapping[str, Rows]) -> set[str]:
    """Return measures that add nothing to AUROC and accuracy: of two classes, where macro AUROC is AUROC."""
    values: dict[str, dict[str, float]] = {"auroc": {}, "auroc-macro": {}}
    for row in tables.get("estimates", ()):
        if row["measure"] in values and not (row["factor"] or row["level"] or row["group"]):
            place = f"{row['recipe']} {row['coordinates']} {row['environment']}"
            values[row["measure"]][place] = numeric(row, "value")
    area, macro = values.values()
    defined = {place: value for place, value in macro.items() if not math.isnan(value)}
    alike = defined and all(value == area.get(place) for place, value in defined.items())
    return {"auroc-macro", "somers-d", "quadratic-weighted-kappa"} if alike else set()


DISTORTED_BY_SEVERITY = Block(
    id="distorted",
    title="Errors on distorted images, by severity",
    query=Query(measures=("distorted-error",), filled=("level",)),
    chart="curve",
    panel="factor",
    along="level",
    has_table=False,
    note="Severities as published, 1 least to 5 most.",
)
MITIGATIONS = Block(
    id="mitigations",
    title="Mitigations, and whose group labels they used",
    table="recipes",
    query=Query(excluded={"mitigation": ("none", "")}),
    columns=("recipe", "mitigation", "groups", "training_labels", "selection_labels"),
    folded=True,
)
BY_KIND = Block(
    id="kinds-found",
    title="By kind of lesion",
    query=Query(measures=OF_A_KIND, filled=("level",), empty=("factor", "group")),
    row_columns=("recipe", "environment", "level"),
    across="measure",
    folded=True,
)


def _performance_blocks(measure: str, budgets: str, redundant: Collection[str]) -> tuple[Block, ...]:
    along = (
        (
            Block(
                id="budgets",
                title=f"{label_of(measure)} by {budgets.replace('_', ' ')}",
                query=Query(measures=(measure,), empty=_OVERALL, filled=("environment",)),
                chart="curve",
                panel="environment",
                along=f"axis {budgets}",
                has_table=False,
            ),
        )
        if budgets
        else ()
    )
    overall = tuple(name for name in COMPUTED if name not in {"somers-d", *redundant})
    return (
        performance(measure),
        *along,
        Block(
            id="worst",
            title="Worst groups and environments",
            query=Query(measures=(measure, "accuracy"), allowed={"group": WORST}),
            columns=("recipe", "group", "environment", "measure", "value", "where", "seeds"),
            folded=True,
            note="Of the worst place. Its interval is estimated apart and ignores that the place was chosen, "
            "so it can differ from that of the same place in another table.",
        ),
        Block(
            id="measures",
            title="Every measure of performance",
            query=Query(measures=overall, empty=_OVERALL, filled=("environment",)),
            row_columns=("measure", "recipe"),
            across="environment",
            folded=True,
        ),
        Block(
            id="by-group",
            title="Performance by class and group",
            query=Query(measures=overall, filled=("environment", "factor"), excluded={"group": WORST}),
            columns=("recipe", "measure", "environment", "factor", "level", "group", "value", "images"),
            folded=True,
            note="A group that names a class has the images of this class alone.",
        ),
        DISTORTED_BY_SEVERITY,
        Block(
            id="distortions",
            title="Performance on distorted images",
            query=Query(measures=DISTORTED, empty=("level",)),
            row_columns=("recipe", "environment", "factor"),
            across="measure",
            folded=True,
        ),
        MITIGATIONS,
    )


def _doses(measure: str, axis: str) -> tuple[Block, ...]:
    if not axis:
        return ()
    return (
        doses(measure, axis),
        Block(
            id="dose-changes",
            title=f"Mean change of {label_of(measure)} from p = 0",
            table="dose_changes",
            query=Query(measures=(measure,)),
            chart="strip",
            row_columns=("environment", f"axis {CONFOUNDER}"),
            columns=("recipe", "environment", "measure", "doses", "value", "seeds"),
            reference_level=ZERO,
        ),
        *(
            Block(
                id=f"probed-{name}",
                title=f"{label_of(name).capitalize()} of the confounder by dose",
                query=Query(measures=(name,), filled=("factor",), allowed={"group": ("", "trained")}, empty=("level",)),
                chart="curve",
                panel="factor",
                along=f"axis {axis}",
                has_table=False,
                folded=True,
            )
            for name in ("flip-rate", "logit-effect")
        ),
        Block(
            id="dose-counts",
            title="Marked images in training",
            table="dose_counts",
            columns=("recipe", "factor", "target", "least", "most", "fewest_images", "most_images"),
            folded=True,
        ),
    )


CONFOUNDER = "confounder"


def _healthy(tables: Mapping[str, Sequence[Row]]) -> tuple[Block, ...]:
    points = tables.get("points", ())
    free, lesions = (
        list(dict.fromkeys(row["environment"] for row in points if row["curve"] == curve)) for curve in (CALLED, FROC)
    )
    lead = quiet_of(row["measure"] for row in tables.get("contrasts", ()))
    mixed = next((name for name in lesions if name in free), next(iter(lesions), ""))
    plane = next((row["environment"] for row in tables.get("contrasts", ()) if row["measure"] == lead), "")
    plane = plane if plane in free else next(iter(free), "")
    return (
        TRADES,
        Block(
            id="planes",
            title="Share of lesion-free images called, by threshold and area",
            table="points",
            query=Query(allowed={"curve": (CALLED,), "environment": (plane,), "y": LOGITS}),
            chart="heat",
            along="x",
            up="y",
            axes=("area", "threshold"),
            has_table=False,
            note="Images with a component of at least that area at that threshold; means over seeds.",
        ),
        Block(
            id="free-response",
            title="Lesions found against false positives (FROC)",
            table="points",
            query=Query(allowed={"curve": (FROC,), "environment": (mixed,)}),
            chart="froc",
            along="x",
            up="value",
            axes=("false positives per image", "share of lesions found"),
            has_table=False,
            note="Means over seeds. Across: a scale of square roots.",
        ),
        Block(
            id="conventions",
            title="Dice by the convention for empty masks",
            query=Query(measures=CONVENTIONS, empty=_OVERALL, allowed={"environment": (mixed,)}),
            row_columns=("recipe",),
            across="measure",
            folded=True,
            note="They differ in the score of an image without a lesion and without a prediction.",
        ),
        BY_KIND,
        *_course_charts(),
    )


def _course_charts() -> Iterator[Block]:
    for name, (title, axis) in _COURSES.items():
        yield Block(
            id=f"course-{name.replace('_', '-')}",
            title=title,
            table="points",
            query=Query(allowed={"curve": (name,)}),
            chart="field",
            along="x",
            up="value",
            axes=("epoch", axis),
            has_table=False,
            folded=True,
        )


CALLED, FROC = "false-positives", "free-response"
LOGITS = (8.0, 4.0, 2.0, 1.0, 0.0, -1.0, -2.0, -4.0, -8.0)
"""Thresholds at which planes are shown."""
_COURSES = {
    "train_loss": ("Loss of training images", "training loss"),
    "validation_loss": ("Loss of validation images", "validation loss"),
    "weight": ("Weight of the loss's first term", "weight"),
}
_RELIES = (
    Block(id="reliance", title="Reliance by factor, most effect first",
          query=Query(measures=USED, filled=("factor",), empty=("group",)), chart="strip",
          row_columns=("factor", "level"), panel="measure", has_table=False),
    Block(id="reliance-table", title="Reliance, every value",
          query=Query(measures=(*USED, *MORE_USED), filled=("factor",), empty=("group",)),
          row_columns=("recipe", "factor", "level"), across="measure", folded=True,
          note="Effects on the logit are in within-class standard deviations."),
    Block(id="directions", title="Effects by direction",
          query=Query(measures=(*USED, *MORE_USED), filled=("factor", "group")),
          columns=("recipe", "measure", "factor", "level", "group", "value", "images"), folded=True),
)  # fmt: skip
_ENCODES = (
    Block(
        id="decodability",
        title="Decodability by layer",
        query=Query(measures=("decodability",)),
        chart="curve",
        panel="factor",
        along="layer",
        reference_groups=("untrained", "shuffled", "pixels"),
        has_table=False,
        note="Gray: the references of the first recipe (untrained network, shuffled labels, pixels).",
    ),
    Block(
        id="decodability-table",
        title="What each layer encodes",
        query=Query(measures=("decodability",)),
        row_columns=("recipe", "factor", "layer"),
        across="group",
        folded=True,
        note="AUROC of a linear decoder on held-out patients. Pixels have no layer.",
    ),
)
_ATTENDS = (
    Block(id="attention", title="Share of each map on the lesion",
          query=Query(measures=("mass-accuracy",), empty=("group", "level")), chart="strip", row_columns=("factor",),
          has_table=False),
    Block(id="attribution", title="Attention to lesions, every value",
          query=Query(measures=ATTENDED, empty=("group", "level")), row_columns=("recipe", "factor"), across="measure",
          folded=True, note="An explainer fails the sanity check where its maps stay alike after weights are redrawn."),
    Block(id="erased", title="Cost of painting over lesions, by size",
          query=Query(measures=("erasure-effect-over-elsewhere",), filled=("level",), empty=("group",)), chart="strip",
          row_columns=("level",), across="level"),
    Block(id="kinds", title="What each kind of lesion adds to the answer",
          query=Query(measures=REMOVED, filled=("group",), empty=("level",)), chart="strip", row_columns=("group",),
          panel="measure", across="group"),
)  # fmt: skip
_GEOMETRY = (
    Block(id="shapes", title="Shape of layers", chart="curve", along="layer", panel="measure",
          query=Query(measures=SHAPES, allowed={"group": ("trained", "untrained")}), reference_groups=("untrained",),
          has_table=False, note="Gray: the first recipe before training."),
    Block(id="layers", title="Geometry of every layer", query=Query(measures=(*SHAPES, *MORE_SHAPES)),
          row_columns=("recipe", "layer", "group"), across="measure", folded=True),
    Block(id="apart", title="Dissimilarity of recipes beyond that of seeds (CKA)", table="similarities",
          query=Query(measures=("cka",), filled=("axis",), allowed={"same_layer": ("yes",)}), chart="curve",
          along="layer", panel="pair", value="below", has_table=False, reference_level=ZERO,
          note="Mean similarity between seeds minus that between recipes; 0: recipes differ no more than seeds."),
    Block(id="likeness", title="Similarity of recipes, compared with their seeds", table="similarities",
          query=Query(filled=("axis",)),
          columns=("recipe", "against", "measure", "place", "layer", "value", "decided", "decision"), folded=True,
          note="Decided by the dissimilarity beyond that of seeds, corrected within the measure; one-sided."),
    Block(id="cka-maps", title="CKA of every layer with every layer", table="similarities",
          query=Query(measures=("cka",), filled=("layer",)), chart="heat", along="against_layer", up="layer",
          panel="pair", has_table=False, folded=True),
    Block(id="put-back", title="AUROC lost when one layer is reset", query=Query(measures=PUT_BACK), chart="curve",
          along="layer", panel="measure", across="layer", row_columns=("recipe", "measure"), folded=True),
)  # fmt: skip


def _further(tables: Mapping[str, Sequence[Row]], measures_shown: set[str]) -> tuple[Block, ...]:
    """Return a block for every measure that no other block names, such as one of a plug-in."""
    rest = dict.fromkeys(row["measure"] for row in tables.get("estimates", ()))
    names = [name for name in rest if name not in (*measures_shown, *_PER_IMAGE)]
    return tuple(map(further, names))


def further(name: str) -> Block:
    """Return the block of a measure that no other block names."""
    place = ("environment", "factor", "level", "layer", "group")
    return Block(
        id=f"further-{name}",
        title=label_of(name)[:1].upper() + label_of(name)[1:],
        query=Query(measures=(name,)),
        chart="strip",
        row_columns=place,
        columns=("recipe", *place, "value", "seeds", "images"),
        note=f"{MEASURES[name].meaning[:1].upper()}{MEASURES[name].meaning[1:]}." if name in MEASURES else "",
        folded=True,
    )


ACCOUNT = (
    Block(id="trials", title="Training runs that were left out", table="trials",
          query=Query(excluded={"status": ("done",)}), columns=("recipe", "seed", "status", "reason")),
    Block(id="collapses", title="How often training collapsed or diverged", table="collapses",
          columns=("recipe", "against", "collapsed", "diverged", "seeds", "rate", "p"), folded=True,
          note="By seed, with a Clopper-Pearson interval; of a pair, the difference with McNemar's exact p."),
    Block(id="sources", title="Sources that were left out", table="sources",
          query=Query(excluded={"status": ("done",)}), columns=("name", "seed", "status", "reason")),
    Block(id="reasons", title="Undefined or doubtful values", query=Query(filled=("reason",)),
          columns=("measure", "recipe", "environment", "factor", "level", "layer", "value", "reason"), folded=True),
)  # fmt: skip
ENVIRONMENTS = Block(
    id="environments",
    title="Test conditions, as requested and as achieved",
    table="environments",
    folded=True,
    columns=("environment", "set", "factor", "target", "asked", "strength", "held", "images", "patients"),
    note="Associations are Somers' D of the factor given the target, from -1 to 1.",
)

# What columns that are made for the page hold, and words of others.


def with_words(table: str, rows: Rows, context: PageContext) -> Rows:
    """Return rows with the comparison in words, or with the pair of recipes and the place of a similarity."""
    match table:
        case "contrasts" | "looks" | "power" | "replications":
            return [{**row, "comparison": comparison_name(row, context.names)} for row in rows]
        case "similarities":
            return [
                {
                    **row,
                    "pair": f"{context.recipe(row)} and {context.recipe(row, 'against_')}",
                    "place": context.names.condition(row["environment"]),
                    "same_layer": "yes" if row["layer"] == row["against_layer"] else "no",
                }
                for row in rows
            ]
        case _:
            return rows


def _difference(row: Row, _: PageContext) -> Cell:
    name = "below" if "below" in row else "value"
    return Cell(decision_numbers(row, name), sort_key(numeric(row, name)), True)


def _earlier_run(row: Row, _: PageContext) -> Cell:
    earlier = {**row, **{name: row[f"first_{name}"] for name in row if f"first_{name}" in row}}
    return text_cell(f"{verdict_words(earlier)}, {decision_numbers(earlier)}")


def _prediction(row: Row, _: PageContext) -> Cell:
    ends = " to ".join(number(numeric(row, f"predicted_{end}"), 3) for end in ("low", "high"))
    return text_cell(f"{ends}: {'inside' if row['within'] == 'yes' else 'outside'}" if row["within"] else NONE)


def _role_words(row: Row, _: PageContext) -> Cell:
    named = "" if row["family"] in ("stated", row["role"]) else f" ({row['family']})"
    return text_cell("exploratory" if row["exploratory"] else f"{row['role'] or 'secondary'}{named}")


def _least_area(row: Row, _: PageContext) -> Cell:
    value = numeric(row, "x")
    return text_cell(f"{number(100 * value, 2 if value < 0.001 else 1)}%" if value else "1 px")


def _threshold_cell(row: Row, _: PageContext) -> Cell:
    value = numeric(row, "y")
    places = 2 if abs(value) < 4 else 4 if abs(value) > 4 else 3
    return text_cell(f"p {number(1 / (1 + math.exp(-value)), places)}")


def _first_charts(context: PageContext) -> Iterator[Block]:
    """Yield the charts that may lead: false positives, doses, performance, reliance."""
    view = context.scope
    yield TRADES
    if view.dose_axis:
        yield doses(view.measure, view.dose_axis)
    yield performance(view.measure)
    yield _RELIES[0]


def _block_of(context: PageContext, measure: str) -> Block:
    """Return the block of one measure. Raises StoreError where the run has no such measure."""
    measures_there = distinct_values(row["measure"] for row in context.tables["estimates"])
    if measure in measures_there:
        return further(measure)
    probe = MEASURES[measure].probe if measure in MEASURES else ""
    if probe:
        here = ", ".join(measures_there)
        raise StoreError(f"{context.root} has no {measure}: the probe {probe} measures it; here are {here}")
    raise StoreError(unknown_of_few("measure", measure, measures_there))


PAGE = PageDefinition(
    text=study_account,
    sections=sections,
    leading_blocks=_first_charts,
    notebook_block=COMPARISONS,
    block_of=_block_of,
    rows=with_words,
    cells={
        "decided": CellFormat(_difference, "difference"),
        "first": CellFormat(_earlier_run, "earlier run"),
        "second": CellFormat(lambda row, _: text_cell(f"{verdict_words(row)}, {decision_numbers(row)}"), "this run"),
        "predicted": CellFormat(_prediction),
        "margin_test": CellFormat(lambda row, _: text_cell(margin_test(row))),
        "role": CellFormat(_role_words),
        "x": CellFormat(_least_area),
        "y": CellFormat(_threshold_cell),
    },
    failures=ACCOUNT,
    environments=ENVIRONMENTS,
    methods=paper_methods,
)
"""Of studies, of compared predictions, and of one model."""
