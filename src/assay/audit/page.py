"""Pages of an audit and of a comparison of two audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.audit.compare_page import METHODS, comparison_account
from assay.audit.opening import audit_account, leads_words, opened
from assay.audit.search.words import lead_words, region_meanings, region_title, shares_words
from assay.audit.tables import NOT_TESTED
from assay.audit.words import ANSWERED, answer_words, factor_words, meanings, open_words
from assay.core.errors import StoreError, unknown_of_few
from assay.report.block import ZERO, Block, Query, Row, Section
from assay.report.data_blocks import ADDED, CUES, ISSUES
from assay.report.evidence import Evidence, Page, Rows, Wording
from assay.report.sheets import Cell, words
from assay.stats.rows import json_object

MOST_SWINGS = 15
"""Marks and columns in the chart of the first screen; the table has all."""
_EFFECT = ("g", "loss_negatives", "loss", "flips", "dice", "stray")
REGIONS = Block(id="regions", title="The region that answers live by", table="regions",
                columns=("found", "value", "limit", "moved", "g", "flips", "carried", "images", "reason"), cited="g",
                note="Value: the effect of an exchange of the region with images of the other class more than of the "
                     "same class, in standard deviations of the score.")  # fmt: skip

SWINGS = Block(
    id="swings", title="How marks and columns move the answers", table="verdicts", chart="strip", place=("factor",),
    keep=Query(without={"verdict": (NOT_TESTED,)}, most=MOST_SWINGS), value="g", colors="verdict", listed=False,
    level=ZERO, shaded=True,
    note="Swing: positive where a mark raises scores. Bars: one-sided 95% bounds. Shaded: the margin.",
)  # fmt: skip
_BATTERY = (
    SWINGS,
    Block(id="verdicts", title="All marks and columns, the most harmful first", table="verdicts",
          keep=Query(without={"verdict": (NOT_TESTED,)}),
          columns=("factor", "verdict", *_EFFECT, "limit", "open", "needed", "images"), cited="g"),
    Block(id="effects", title="Swing by strength of the mark", table="effects", chart="curve", panel="factor",
          along="dose", value="g", colors="measure", folded=True, listed=False, level=ZERO, shaded=True),
)  # fmt: skip
DOSES = Block(id="doses", title="By strength of the mark", table="effects",
              columns=("dose", *_EFFECT, "images"), cited="g")  # fmt: skip
"""The doses of one mark."""
_GROUPS = (
    Block(id="gaps", title="Gaps between groups", table="gaps", chart="strip", place=("column", "a", "b"),
          panel="measure", colors="decision", level=ZERO, shaded=True,
          columns=("column", "a", "b", "measure", "value", "decision", "needed", "images"), folded=True,
          note="The first group less the second. Shaded: the margin."),
    Block(id="groups", title="Performance by group", table="groups", chart="strip", place=("column", "level"),
          panel="measure", colors="column", columns=("column", "level", "measure", "value", "images", "reason"),
          folded=True),
)  # fmt: skip
_INSIDE = Block(id="inside", title="Inside the network: evidence, no verdict", table="inside", folded=True,
                columns=("kind", "name", "value", "chance", "images", "reason"))  # fmt: skip
_RATES = Block(id="rates", title="Error rates of marks in this domain", table="rates", folded=True,
               columns=("rate", "count", "among", "value"))  # fmt: skip
UNTESTED = Block(id="untested", title="Not tested", table="verdicts", keep=Query(only={"verdict": (NOT_TESTED,)}),
                 columns=("factor", "kind", "reason"))  # fmt: skip


def audit_sections(tables: Mapping[str, Rows]) -> list[Section]:
    """Return the sections of the page of an audit."""
    sentences = leads_words(tables)
    lost = "dice" if any(row["dice"] == row["dice"] for row in tables["distorted"]) else "loss"
    leads = (
        Block(id="leads", title="Leads", table="leads", columns=("lead", "about", "value", "images"),
              note=sentences["leads"]),
        _INSIDE,
    )  # fmt: skip
    distorted = Block(id="distorted", title="Distortions", table="distorted", chart="curve", along="severity",
                      value=lost, colors="factor", folded=True, level=ZERO, shaded=True,
                      columns=("factor", "severity", "decision", "loss", "dice", "flips", "images",
                               "reason"))  # fmt: skip
    return [
        Section("region", "What the answers live by", (REGIONS,), sentences["region"]),
        Section("found", "Leads, not verdicts", leads, sentences["found"]),
        Section("performance", "Groups and distortions", (*_GROUPS, distorted)),
        Section("verdict", "Marks and columns", _BATTERY,
                "These verdicts hold for this model, these images and these marks as drawn: they clear no model."),
        Section("cues", "Simple cues and error rates", (ADDED, CUES, ISSUES, _RATES)),
    ]  # fmt: skip


DIFFERENCES = Block(
    id="compared",
    title="Performance, regions, and the swing of marks and columns",
    table="compared",
    chart="strip",
    place=("factor", "dose", "class"),
    panel="measure",
    colors="decision",
    columns=("factor", "measure", "dose", "class", "a", "b", "value", "decision", "p", "verdict_a", "verdict_b",
             "found_a", "found_b", "images", "reason"),
    level=ZERO,
    note=METHODS,
)  # fmt: skip
COMPARISON = Section("differences", "Differences", (DIFFERENCES,))
"""The section of the page of a comparison of two audits."""


# Rows with their numbers, margin and measure, and words of columns.

_MEASURES = {"verdicts": "swing", "effects": "swing", "distorted": "AUROC lost"}


def _with_numbers(table: str, rows: Rows, evidence: Evidence) -> Rows:
    """Return rows with their number, measure and margin; patients that are not named are not counted."""
    if table not in ("verdicts", "effects", "distorted", "gaps", "groups", "leads", "regions"):
        return rows
    more = {
        "margin": float(evidence.facts["margin"]),
        **({"measure": _MEASURES[table]} if table in _MEASURES else {}),
        **({"patients": 0} if evidence.unit == "images" else {}),
    }
    return [{**row, "id": f"{table}-{number}", **more} for number, row in enumerate(rows)]


def _factor_cell(row: Row, _: Evidence) -> Cell:
    return words(factor_words({"kind": "mark", **row}))


def _region_wording(side: str) -> Wording:
    def region(row: Row, _: Evidence) -> Cell:
        found, verdict = row[f"found_{side}"], row[f"verdict_{side}"]
        return words(region_title({**json_object(found), "verdict": verdict}) if found else "")

    return Wording(region, {"a": "region of the first", "b": "of the second"}[side])


def _marks_unless_searched(evidence: Evidence) -> Sequence[Block]:
    """Return the chart of marks and columns, where no region was searched for."""
    searched = any(not row["reason"] for row in evidence.tables["regions"])
    return () if searched else (SWINGS,)


def _swing_block(_: Evidence, measure: str) -> Block:
    """Return the block of the swing. Raises StoreError for another measure."""
    if measure != "g":
        raise StoreError(unknown_of_few("measure", measure, ["g"]))
    return SWINGS


PAGE = Page(
    account=audit_account,
    sections=audit_sections,
    answer=lambda evidence: answer_words({name: evidence.tables[name] for name in ANSWERED}),
    first=_marks_unless_searched,
    block_of=_swing_block,
    rows=_with_numbers,
    cells={
        "factor": Wording(_factor_cell),
        "open": Wording(lambda row, _: words(open_words(row["open"]))),
        "lead": Wording(lambda row, _: words(lead_words(row))),
        "found": Wording(lambda row, _: words(region_title(row))),
        "carried": Wording(lambda row, _: words(shares_words(row)), "images that carry it"),
    },
    terms=lambda tables: {"verdict": meanings(tables["verdicts"]), "region": region_meanings(tables["regions"])},
    opened=lambda evidence: {"verdict": tuple(opened(evidence, DOSES))},
    lost=(UNTESTED,),
)
"""Of audits."""
COMPARED = Page(
    account=comparison_account,
    sections=lambda _: [COMPARISON],
    cells={"factor": Wording(_factor_cell), "found_a": _region_wording("a"), "found_b": _region_wording("b")},
)
"""Of comparisons of two audits."""
