"""Findings of a look in order of harm, from its table of findings."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.reasons import Code
from assay.stats.findings import Finding, parse_finding
from assay.stats.harms import Harm, Rank, rank_harms
from assay.stats.rows import Row


def look_harms(rows: Sequence[Row]) -> list[Harm]:
    """Return the findings of a look, the most harmful first: invalid data, simple cues, then what is odd."""
    findings = map(parse_finding, rows)
    return rank_harms(
        Harm(_rank_of_finding(finding), "issue", str(finding.reason.codes[0]), "findings", at)
        for at, finding in enumerate(findings)
        if finding.light in ("bad", "warn")
    )


def _rank_of_finding(finding: Finding) -> Rank:
    if finding.reason.first(Code.PLAIN_SIGHT):
        return Rank.CUE
    invalid = finding.light == "bad" and not finding.reason.first(Code.PATIENTS_UNKNOWN)
    return Rank.INVALID if invalid else Rank.OTHER
