"""Page and words of a comparison of two audits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from assay.audit.page import factor_cell, region_pictures
from assay.audit.search.words import region_title
from assay.audit.words import SHIFT_NAME, factor_words
from assay.core.measures import label_of
from assay.report.account import ConditionPictures, FirstScreen, KeyFigure, PageText, ResultLine
from assay.report.block import ZERO, Block, Query, Section
from assay.report.context import CellFormat, PageContext, PageDefinition, int_or_zero
from assay.report.drawing import EffectSize, difference_scale
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import Cell, text_cell
from assay.report.words import code_words, difference_words, sentence_case
from assay.stats.format import count, join_words, number
from assay.stats.rows import OPEN, RegionVerdict, Row, json_object, leading_region, numeric

METHODS = (
    "A difference is the first audit minus the second. Its interval is over patients (over images if patients are not "
    "named), with the same images in both, and is not corrected. Each factor has one decision, for a mark at the "
    "middle strength, with p corrected for classes and groups (Bonferroni) and for factors (Holm). Different verdicts "
    "are not evidence of a difference; the decision is. The interval of a region's effect combines the bounds of both "
    "audits, is unpaired, and has no decision."
)
MAX_NAMED = 3
"""Factors that the headline names."""
COMPARISON_NOTE = (
    "A difference is the first audit minus the second. For marks and columns, p is corrected for all of them (Holm); "
    "the names of those that differ are colored."
)
PICTURES_SHOWN = ("with", "without")
"""Pictures of the region that leads, of each audit that has it."""


def comparison_account(evidence: PageContext) -> PageText:
    """Return the words on a comparison of two audits."""
    rows, names = evidence.tables["compared"], (evidence.facts["first"], evidence.facts["second"])
    first, *more = comparison_answer(rows, names)
    most = max(int_or_zero(row, "images") for row in rows)
    return PageText(
        name=" and ".join(names),
        question=f"How do {names[0]} and {names[1]} differ?",
        meta=f"{most:,} images that both audits read, paired by image; first: {names[0]}, second: {names[1]}",
        verdict=first,
        opening=FirstScreen(
            (),
            (f"Both audits read {most:,} images, which are paired.", COMPARISON_NOTE),
            tuple(_region_pictures(evidence, names)),
            tuple(_difference_lines(rows, names)),
            f"Differences: {names[0]} minus {names[1]}",
            more=(" ".join(more), *comparison_lines(rows, names)),
            tiles=tuple(comparison_tiles(rows, names)),
            next=f"Next: see the evidence of both: assay open {evidence.facts['folders']}",
        ),
        doubts=(),
        limits=(),
        methods=(METHODS,),
    )


def _difference_lines(rows: Sequence[Row], names: tuple[str, str]) -> Iterator[ResultLine]:
    """Yield each measured difference, those that are decided first."""
    measured = [row for row in rows if not math.isnan(numeric(row, "value"))]
    for row in sorted(
        measured, key=lambda row: (row["decision"] != "differs", row["kind"] != "performance", -abs(row["value"]))
    ):
        differs = row["decision"] == "differs" and not math.isnan(row["p"])
        both, images = f"{number(row['a'])} and {number(row['b'])}", int_or_zero(row, "images")
        numbers = f"{both}: {difference_words(row['value'], row['low'], row['high'])}"
        yield ResultLine(
            f"{sentence_case(_subject_words(row))}:",
            numbers,
            "compared",
            light="warn" if differs else "",
            size=EffectSize(row["value"], row["low"], row["high"], _measure(row), scale=_axis_name(row)),
            images=f"{images:,}" if images else "",
        )


def comparison_tiles(rows: Sequence[Row], names: tuple[str, str]) -> Iterator[KeyFigure]:
    """Yield the performance of both."""
    for row in [result for result in rows if result["kind"] == "performance" and not result["class"]][:2]:
        for name, side in zip(names, "ab", strict=True):
            yield KeyFigure(
                f"{label_of(row['measure'])}, {name}", number(row[side]), of=f"{int_or_zero(row, 'images'):,} images"
            )


def comparison_answer(rows: Sequence[Row], names: tuple[str, str]) -> list[str]:
    """Return the first sentences: the differences, if any, and the regions that predictions of either depend on."""
    regions, differences = [f"{_region_words(row, names)}." for row in _leading_rows(rows)], _headline(rows, names)
    differing = any(row["decision"] == "differs" and not math.isnan(row["p"]) for row in rows)
    return [differences, *regions] if differing else [*regions, differences]


def _leading_rows(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows of the regions that lead in either audit."""
    regions = [row for row in rows if row["kind"] == "region"]
    leading = [leading_region([_region_of_side(row, side) for row in regions]) for side in "ab"]
    return [row for row in regions if any(region is not None and region["of"] == row["factor"] for region in leading)]


def _region_of_side(row: Row, side: str) -> Row:
    """Return the region of one audit."""
    return {**json_object(row[f"found_{side}"]), "verdict": row[f"verdict_{side}"]}


def _region_pictures(evidence: PageContext, names: tuple[str, str]) -> Iterator[ConditionPictures]:
    for row in _leading_rows(evidence.tables["compared"]):
        for side, name in zip("ab", names, strict=True):
            if row[f"verdict_{side}"] in OPEN:
                pictures = region_pictures(evidence.root, _region_of_side(row, side), PICTURES_SHOWN, f"{side} ")
                yield from (replace(picture, name=f"{name}: {picture.name}") for picture in pictures)


def _region_words(row: Row, names: tuple[str, str]) -> str:
    """Return the verdicts of both on a region, with the effects, or why these cannot be compared."""
    texts: list[str] = []
    for name, side in zip(names, "ab", strict=True):
        title = region_title(_region_of_side(row, side))
        ends = (number(row[f"{side}{end}"], 2) for end in ("", "_low", "_high"))
        effect = "" if math.isnan(row[side]) else ", {} sd [{}, {}]".format(*ends)
        texts.append(f"{name}: {title[0].lower()}{title[1:]}{effect}")
    return "; ".join([*texts, *([reason_words(row["reason"])] if row["reason"] else [])])


def _two_effects(row: Row) -> str:
    both = " and ".join(number(row[side], 2) for side in "ab" if not math.isnan(row[side]))
    return f" (effects {both} sd)" if both else ""


def _headline(rows: Sequence[Row], names: tuple[str, str]) -> str:
    differing = [row for row in rows if row["decision"] == "differs" and not math.isnan(row["p"])]
    overall = [
        f"{label_of(row['measure'])} ({number(row['a'], 2)} in {names[0]}, {number(row['b'], 2)} in {names[1]})"
        for row in differing
        if not row["factor"]
    ]
    differing.sort(key=lambda row: -abs(row["value"]))
    factors = list(dict.fromkeys(factor_words(row) for row in differing if row["factor"]))
    if len(factors) > MAX_NAMED + 1:
        factors = [*factors[:MAX_NAMED], count(len(factors) - MAX_NAMED, "other factor")]
    parts = [*overall, *([f"the {SHIFT_NAME} by {join_words(factors)}"] if factors else [])]
    if not parts:
        return f"No difference in performance or in the {SHIFT_NAME} by a mark or column is shown."
    differ = "differ" if len(parts) > 1 else "differs"
    return f"{sentence_case(join_words(parts))} {differ} between {names[0]} and {names[1]}."


def comparison_lines(rows: Sequence[Row], names: tuple[str, str]) -> list[str]:
    """Return the comparison as sentences: performance, then every factor whose AUROC shift or verdict differs."""
    on = f" on the {max(int_or_zero(row, 'images') for row in rows):,} images that both read"
    lines = [f"{_subject_words(row)}{on}: {_values(row, names)}." for row in rows if row["kind"] == "performance"]
    regions = [row for row in rows if row["kind"] == "region" and row not in _leading_rows(rows)]
    empty = [
        row
        for row in regions
        if not row["reason"] and row["verdict_a"] == row["verdict_b"] == RegionVerdict.NOTHING_FOUND
    ]
    lines += [f"{factor_words(row)}: {_region_words(row, names)}." for row in regions if row not in empty]
    if empty:
        effects = (f"{factor_words(row)}{_two_effects(row)}" for row in empty)
        lines.append(f"Neither audit found anything by {count(len(empty), 'search')}: {'; '.join(effects)}.")
    not_different, not_compared = list[str](), list[str]()
    for factor in dict.fromkeys(row["factor"] for row in rows if row["kind"] not in ("performance", "region")):
        rows_of_factor = [row for row in rows if row["factor"] == factor]
        leading = next((row for row in rows_of_factor if not math.isnan(row["p"])), None)
        verdicts = rows_of_factor[0].get("verdict_a", ""), rows_of_factor[0].get("verdict_b", "")
        if leading is None or (verdicts[0] == verdicts[1] and leading["decision"] == "inconclusive"):
            (not_compared if leading is None else not_different).append(factor_words(rows_of_factor[0]))
            continue
        verdict_texts = (
            f"{code_words(str(code)) or 'not tested'} ({name})" for code, name in zip(verdicts, names, strict=True)
        )
        changed = "" if verdicts[0] == verdicts[1] else f" Verdicts: {', '.join(verdict_texts)}."
        lines.append(f"{_subject_words(leading)}: {_values(leading, names)}.{changed}")
    if not_different:
        lines.append(f"No difference shown: {', '.join(not_different)}.")
    if not_compared:
        lines.append(f"Not compared: {', '.join(not_compared)}.")
    return list(map(sentence_case, lines))


def _subject_words(row: Row) -> str:
    of = f" ({row['class']} against the rest)" if row["class"] else ""
    name = _measure(row)
    dose = f" ({row['dose']})" if row["dose"] else ""
    return f"{factor_words(row)}{dose}, {name}{of}" if row["factor"] else f"{name}{of}"


def _measure(row: Row) -> str:
    return SHIFT_NAME if row["measure"] == "swing" else label_of(row["measure"])


def _axis_name(row: Row) -> str:
    """Return the scale of a difference; AUROC shifts share that of AUROC."""
    return "" if _measure(row) == SHIFT_NAME else difference_scale(row["measure"])


def _values(row: Row, names: tuple[str, str]) -> str:
    return (
        f"{number(row['a'], 3)} in {names[0]} and {number(row['b'], 3)} in {names[1]}, the first minus the second "
        f"{difference_words(row['value'], row['low'], row['high'])}"
    )


SHIFTS = Block(
    id="shifts",
    title=f"{SHIFT_NAME} by marks and columns",
    table="compared",
    query=Query(allowed={"measure": (SHIFT_NAME,)}),
    chart="strip",
    row_columns=("factor", "dose", "class"),
    panel="measure",
    color_column="decision",
    axes=("difference in {}", ""),
    reference_level=ZERO,
    has_table=False,
    note="The first audit less the second, with 95% intervals over patients; decisions are corrected for all factors.",
)
DIFFERENCES = Block(
    id="compared",
    title=f"Performance, regions, and the {SHIFT_NAME} by marks and columns",
    table="compared",
    columns=(
        "factor",
        "measure",
        "dose",
        "class",
        "a",
        "b",
        "value",
        "decision",
        "p",
        "verdict_a",
        "verdict_b",
        "found_a",
        "found_b",
        "images",
        "reason",
    ),
    folded=True,
)
COMPARISON = Section("differences", "Differences", (SHIFTS, DIFFERENCES))
"""The section of the page of a comparison of two audits."""


def _region_wording(side: str) -> CellFormat:
    def region(row: Row, _: PageContext) -> Cell:
        region_json, verdict = row[f"found_{side}"], row[f"verdict_{side}"]
        return text_cell(region_title({**json_object(region_json), "verdict": verdict}) if region_json else "")

    return CellFormat(region, {"a": "region of the first", "b": "of the second"}[side])


COMPARED = PageDefinition(
    text=comparison_account,
    sections=lambda _: [COMPARISON],
    rows=lambda table, rows, _: [{**row, "measure": _measure(row)} for row in rows] if table == "compared" else rows,
    cells={"factor": CellFormat(factor_cell), "found_a": _region_wording("a"), "found_b": _region_wording("b")},
)
"""Of comparisons of two audits."""
