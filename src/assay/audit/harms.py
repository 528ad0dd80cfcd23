"""Findings of an audit in order of harm, from its tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from assay.audit.tables import NOT_TESTED
from assay.stats.bounds import MARGIN
from assay.stats.harms import Harm, Rank, rank_harms
from assay.stats.rows import RegionVerdict, Row, Verdict, leading_region, numeric

RowT = TypeVar("RowT", bound=Row)

MAX_RANDOM_CHANGE = 0.1
"""Largest change of a score from one reading to the next, in log-odds, that does not invalidate the audit."""
MIN_COPY_SHARE = 0.01
"""Share of images that are copies, from which on all numbers are invalid."""
MIN_CUE_AUROC = 0.6
"""AUROC from which on a cue is strong."""
MIN_CORRECT_SHARE = 0.5
"""Sensitivity or specificity below which a threshold does harm."""
_INVALIDATING_CHECKS = ("scaling", "expected", "ranking", "parts-shared", "training-patients")
"""Checks whose warnings make all numbers invalid."""
_COPY_CHECKS = {"copy-clusters": "copy", "training-copies": ""}
"""Check of copies -> kind of the issues that list its images; empty where the check has their number itself."""
WHOLE_IMAGE_FAMILIES = ("tone", "detail")
"""Families of marks that change a whole image, as a distortion does."""
_COUNTED_IF_EXPLAINED: Mapping[str, tuple[Verdict, ...]] = {
    RegionVerdict.RELIES: (),
    RegionVerdict.LOOK: (),
    RegionVerdict.UNVERIFIED: (Verdict.RELIES,),
}
"""Verdict on a region -> verdicts on marks that count although the region explains them."""
_RANK_OF_REGION = {
    RegionVerdict.RELIES: Rank.SHORTCUT,
    RegionVerdict.LOOK: Rank.SHORTCUT,
    RegionVerdict.UNVERIFIED: Rank.CUE,
}


def harms_of(tables: Mapping[str, Sequence[Row]]) -> list[Harm]:
    """Return the findings of an audit, the most harmful first."""
    margin = margin_of(tables)
    parts = (_check_harms, _label_harms, _region_harms, _cue_harms, _distortion_harms, _gap_harms, _threshold_harms)
    return rank_harms([*_factor_harms(tables, margin), *(harm for part in parts for harm in part(tables))])


def margin_of(tables: Mapping[str, Sequence[Row]]) -> float:
    """Return the margin of an audit."""
    facts = {row["key"]: row["value"] for row in tables.get("provenance", ())}
    return float(facts.get("margin", MARGIN))


def sort_by_harm(verdicts: Sequence[RowT], regions: Sequence[Row], margin: float) -> list[RowT]:
    """Return verdicts on marks and columns in the order of the findings; those without one follow by verdict and |g|.

    Args:
        verdicts: Rows of `tables.VERDICTS`.
        regions: Rows of `tables.REGIONS`, which may explain a mark.
        margin: The smallest effect that matters.
    """
    order = (*map(str, Verdict), NOT_TESTED)
    sizes = {row["factor"]: abs(numeric(row, "g")) for row in verdicts}
    rows = sorted(verdicts, key=lambda row: (order.index(row["verdict"]), -max(0.0, sizes[row["factor"]])))
    rows_ranked = [harm.row for harm in rank_harms(_factor_harms({"verdicts": rows, "regions": regions}, margin))]
    return [*(rows[at] for at in rows_ranked), *(row for at, row in enumerate(rows) if at not in rows_ranked)]


def has_own_finding(row: Row, tables: Mapping[str, Sequence[Row]]) -> bool:
    """Return whether a mark or column has a finding apart from the leading region."""
    region = leading_region(tables["regions"])
    return (
        not row.get("explained")
        or region is None
        or row["verdict"] in _COUNTED_IF_EXPLAINED.get(region["verdict"], tuple(Verdict))
    )


def _check_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    images = _audited_images(tables)
    for position, row in enumerate(tables.get("checks", ())):
        code, warned = row["check"], row["status"] == "warn"
        if (code in _INVALIDATING_CHECKS and warned) or (code == "repeatable" and row["value"] > MAX_RANDOM_CHANGE):
            yield Harm(Rank.INVALID, "check", code, "checks", position)
        elif code in _COPY_CHECKS and warned:
            kind = _COPY_CHECKS[code]
            copies = sum(issue["kind"] == kind for issue in tables.get("issues", ())) if kind else row["value"]
            rank = Rank.INVALID if not copies < MIN_COPY_SHARE * images else Rank.OTHER
            yield Harm(rank, "check", code, "checks", position, images=copies)
        elif code == "calls" and warned:
            yield Harm(Rank.SHIFT, "check", code, "checks", position)


def _audited_images(tables: Mapping[str, Sequence[Row]]) -> float:
    return max((row["images"] for row in tables.get("groups", ()) if not row["column"]), default=0)


def _label_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    """Yield labels that predictions contradict. They are suspected, not shown to be wrong."""
    positions = [at for at, row in enumerate(tables.get("issues", ())) if row["kind"] == "suspected-label"]
    if positions:
        yield Harm(Rank.OTHER, "issue", "suspected-label", "issues", positions[0], images=len(positions))


def _region_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    for at, row in enumerate(tables["regions"]):
        if row["verdict"] in _RANK_OF_REGION:
            is_of_look = row["verdict"] == RegionVerdict.UNVERIFIED and not row["discrete"]  # any network has one
            yield Harm(
                Rank.OTHER if is_of_look else _RANK_OF_REGION[row["verdict"]],
                "region",
                row["verdict"],
                "regions",
                at,
                *_region_shift(row),
                numeric(row, "flips"),
                numeric(row, "images"),
            )


def _region_shift(row: Row) -> tuple[float, float, float]:
    """Return the size of the shift of AUROC by a region, with its bounds."""
    value, *ends = (numeric(row, name) for name in ("g", "g_low", "g_high"))
    low, high = sorted(ends if value >= 0 else [-end for end in ends])
    return abs(value), low, high


def _factor_harms(tables: Mapping[str, Sequence[Row]], margin: float) -> Iterator[Harm]:
    """Yield marks and columns. A mark without a verified limit costs what is lost with it on all images."""
    for at, row in enumerate(tables["verdicts"]):
        if not has_own_finding(row, tables):
            continue
        code, parts = row["verdict"], ("verdicts", at)
        shift = abs(numeric(row, "g")), numeric(row, "at_least"), numeric(row, "at_most")
        counts = numeric(row, "flips"), numeric(row, "images")
        if code == Verdict.RELIES:
            yield Harm(Rank.SHORTCUT, "mark", code, *parts, *shift, *counts)
        elif code == Verdict.DIFFERS:
            yield Harm(Rank.SHIFT, "column", code, *parts, *shift, *counts)
        elif row["kind"] == "mark":
            loss = _performance_lost(row)
            is_costly = loss[1] >= margin
            if is_costly or code in (Verdict.AFFECTED, Verdict.UNDIRECTED):
                rank = Rank.SHIFT if is_costly and row.get("family") in WHOLE_IMAGE_FAMILIES else Rank.OTHER
                yield Harm(rank, "mark", code, *parts, *loss, *counts)


def _performance_lost(row: Row) -> tuple[float, float, float]:
    """Return the Dice that is lost, or the AUROC."""
    name = "loss" if math.isnan(numeric(row, "dice")) else "dice"
    value, low, high = (numeric(row, column) for column in (name, f"{name}_low", f"{name}_high"))
    return value, low, high


def _cue_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    for at, row in enumerate(tables.get("added", ())):
        if row["verdict"] != "beyond" and numeric(row, "cue") >= MIN_CUE_AUROC:
            yield Harm(Rank.CUE, "cue", row["verdict"], "added", at)  # its images are those at similar values alone


def _distortion_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    """Yield each family at the mildest severity that costs more than the margin."""
    mildest: dict[str, int] = {}
    rows = tables.get("distorted", ())
    for at in sorted(range(len(rows)), key=lambda at: rows[at]["severity"]):
        if rows[at]["decision"] == "beyond" and _performance_lost(rows[at])[0] > 0:
            mildest.setdefault(rows[at]["factor"], at)
    for at in mildest.values():
        row = rows[at]
        yield Harm(
            Rank.SHIFT,
            "distortion",
            row["decision"],
            "distorted",
            at,
            *_performance_lost(row),
            numeric(row, "flips"),
            numeric(row, "images"),
        )


_MEASURES = ("auroc", "auroc-macro", "dice", "accuracy", "sensitivity", "specificity")


def _gap_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    """Yield the widest gap of each column, that of AUROC or Dice first. Only these count as lost."""
    widest: dict[str, int] = {}
    rows = tables.get("gaps", ())
    wide = [at for at, row in enumerate(rows) if row["decision"] == "beyond" and row["measure"] in _MEASURES]
    for at in sorted(wide, key=lambda at: (_MEASURES.index(rows[at]["measure"]), -abs(rows[at]["value"]))):
        widest.setdefault(rows[at]["column"], at)
    for at in widest.values():
        row = rows[at]
        ends = sorted(abs(numeric(row, end)) for end in ("low", "high"))
        loss = (abs(row["value"]), *ends) if row["measure"] in _MEASURES[:3] else ()
        yield Harm(Rank.SHIFT, "group", row["decision"], "gaps", at, *loss, images=numeric(row, "images"))


def _threshold_harms(tables: Mapping[str, Sequence[Row]]) -> Iterator[Harm]:
    for at, measure in low_rates(tables):
        images = numeric(tables["groups"][at], "images")
        yield Harm(Rank.SHIFT, "threshold", measure, "groups", at, images=images)


def low_rates(tables: Mapping[str, Sequence[Row]]) -> Iterator[tuple[int, str]]:
    """Yield positions in `groups` of a sensitivity or specificity of all images that is surely low, with its name."""
    for at, row in enumerate(tables.get("groups", ())):
        if row["measure"] in ("sensitivity", "specificity") and not row["column"] and row["high"] < MIN_CORRECT_SHARE:
            yield at, row["measure"]
