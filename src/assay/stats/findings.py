"""Findings of a run: cautions and limits, as data with stable ids. `assay.report` makes English of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from assay.core.codes import Light
from assay.core.reasons import NO_REASON, Reason, parse_reason
from assay.stats.rows import Row, text_of

Kind = Literal["limit", "failure", "leakage", "shortcut", "caution"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A caution about a run, or a limit of it; a row of `schema.FINDINGS`.

    Attributes:
        kind: What it is about.
        light: How grave it is; none of a limit.
        reason: What was found, as codes with fields.
        table: The table that is its evidence; empty where none is.
        row: Id of the comparison that is its evidence; empty where none is.
        id: Kind and code, its own in the run.
    """

    kind: Kind
    light: Light
    reason: Reason = NO_REASON
    table: str = ""
    row: str = ""
    id: str = ""


def add_ids(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with ids, each its own: the second of two with one code ends in `:2`."""
    occurrences: dict[str, int] = {}
    identified: list[Finding] = []
    for finding in findings:
        code = re.sub(r"[^a-z0-9.]+", "-", str(finding.reason.codes[0])) if finding.reason else ""
        id = f"{finding.kind}:{code}".rstrip(":")
        occurrences[id] = occurrences.get(id, 0) + 1
        identified.append(replace(finding, id=id if occurrences[id] == 1 else f"{id}:{occurrences[id]}"))
    return identified


def finding_row(finding: Finding) -> dict[str, Any]:
    """Return a finding as a row of `schema.FINDINGS`."""
    return {**{name: getattr(finding, name) for name in Finding.__slots__}, "reason": str(finding.reason)}


def parse_finding(row: Row) -> Finding:
    """Return the finding of a row of `schema.FINDINGS`."""
    kind, light = cast("Kind", text_of(row, "kind")), cast("Light", text_of(row, "light"))
    return Finding(
        kind, light, parse_reason(row.get("reason")), *(text_of(row, name) for name in ("table", "row", "id"))
    )
