"""Blocks of the page of an audit, and of a comparison of two audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.results.block import Block, Query, Row, Section
from assay.results.study_blocks import ADDED, CUES, ISSUES
from assay.store.audit_tables import NOT_TESTED

MOST_SWINGS = 15
"""Marks and columns in the chart of the first screen; the table has all."""
_EFFECT = ("g", "loss_negatives", "loss", "flips", "dice", "stray")
REGIONS = Block(id="regions", title="The region that answers live by", table="regions",
                columns=("found", "value", "limit", "moved", "g", "flips", "carried", "images", "reason"),
                note="Value: the effect of an exchange of the region with images of the other class more than of the "
                     "same class, in standard deviations of the score.")  # fmt: skip

SWINGS = Block(
    id="swings",
    title="How marks and columns move the answers",
    table="verdicts",
    keep=Query(without={"verdict": (NOT_TESTED,)}, most=MOST_SWINGS),
    chart="strip",
    place=("factor",),
    value="g",
    colors="verdict",
    listed=False,
    note="Swing: positive where a mark raises scores. Bars: one-sided 95% bounds. Shaded: the margin.",
)
_BATTERY = (
    SWINGS,
    Block(id="verdicts", title="All marks and columns, the most harmful first", table="verdicts",
          keep=Query(without={"verdict": (NOT_TESTED,)}),
          columns=("factor", "verdict", *_EFFECT, "limit", "open", "needed", "images")),
    Block(id="effects", title="Swing by strength of the mark", table="effects", chart="curve", panel="factor",
          along="dose", value="g", colors="measure", folded=True, listed=False),
)  # fmt: skip
DOSES = Block(id="doses", title="By strength of the mark", table="effects",
              columns=("dose", *_EFFECT, "images"))  # fmt: skip
"""The doses of one mark."""
_GROUPS = (
    Block(id="gaps", title="Gaps between groups", table="gaps", chart="strip", place=("column", "a", "b"),
          panel="measure", colors="decision",
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


def audit_sections(tables: Mapping[str, Sequence[Row]], words: Mapping[str, str]) -> list[Section]:
    """Return the sections of the page of an audit.

    Args:
        tables: Rows of every table, by name.
        words: Sentences on the sections `region` and `found`, and a note on the block `leads`.
    """
    lost = "dice" if any(row["dice"] == row["dice"] for row in tables["distorted"]) else "loss"
    leads = (
        Block(id="leads", title="Leads", table="leads", columns=("lead", "about", "value", "images"),
              note=words["leads"]),
        _INSIDE,
    )  # fmt: skip
    distorted = Block(id="distorted", title="Distortions", table="distorted", chart="curve", along="severity",
                      value=lost, colors="factor", folded=True,
                      columns=("factor", "severity", "decision", "loss", "dice", "flips", "images",
                               "reason"))  # fmt: skip
    return [
        Section("region", "What the answers live by", (REGIONS,), words["region"]),
        Section("found", "Leads, not verdicts", leads, words["found"]),
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
    note=(
        "A difference is the first audit less the second. Its interval is over patients (images, where patients are "
        "not named), with the same images in both, and is not corrected. There is one decision per factor, for a mark "
        "at the middle dose, with p corrected for classes and groups (Bonferroni) and for factors (Holm). A verdict "
        "that differs is no evidence of a difference by itself: the decision is. The interval of a region's effect is "
        "from the bounds in both audits, without pairs, and has none."
    ),
)  # fmt: skip
COMPARISON = Section("differences", "Differences", (DIFFERENCES,))
"""The section of the page of a comparison of two audits."""
