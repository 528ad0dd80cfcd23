"""Policies: the verdicts that an audit must not have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from assay.audit.verdicts import OpenQuantity
from assay.core.errors import SpecError, shorten, unknown_name
from assay.spec.document import mapping_of
from assay.spec.yaml import read_yaml
from assay.stats.rows import REPORTED, RegionVerdict, Verdict
from assay.store.files import Row

ANY = "any"
_FORBIDDEN = (Verdict.RELIES, Verdict.AFFECTED, Verdict.UNDIRECTED, Verdict.DIFFERS, *REPORTED)
_SEVERITY_SCALES: tuple[tuple[str, ...], ...] = ((Verdict.RELIES, Verdict.AFFECTED, Verdict.UNDIRECTED), REPORTED)
"""Verdicts on a mark, and those on a region, the most severe first."""
_REQUIRED = "subgroup-gap"
_OPEN_VERDICTS = (str(Verdict.INCONCLUSIVE), "not-tested")


@dataclass(frozen=True)
class Policy:
    """Verdicts that are forbidden, and the largest gap between groups.

    Attributes:
        forbid: (verdict, factor) pairs; the factor `any` is each, and of a verdict on a region the only one.
        gap: Largest gap of a measure between two groups; None without a limit.
        inconclusive: Whether a forbidden verdict or a gap that stays open, or was not tested, fails.
    """

    forbid: tuple[tuple[str, str], ...] = ()
    gap: float | None = None
    inconclusive: Literal["fail", "pass"] = "fail"

    def find_violations(
        self, verdicts: Sequence[Row], gaps: Sequence[Row], groups: Sequence[Row], regions: Sequence[Row] = ()
    ) -> list[str]:
        """Return a sentence for each violation of the policy.

        A graver verdict breaks a rule against a milder one, such as `relies-on` one against `affected-by`.
        Without a reference of a mark `affected-by` breaks a rule against `relies-on`, since the two are not
        distinguished. With one, a mark with an effect at another place alone is affected. That the leading region
        explains a mark changes nothing. A group or a column that was not tested is an open gap.

        Rules read all rows, and not the findings in order of harm: these leave out what is inconclusive or was not
        tested, marks that the leading region explains, and gaps within the margin of the audit, while a policy has a
        limit of gaps of its own.

        Args:
            verdicts: Rows of `tables.VERDICTS`.
            gaps: Rows of `tables.GAPS`.
            groups: Rows of `tables.GROUPS`.
            regions: Rows of `tables.REGIONS`.

        Raises:
            SpecError: A rule names a factor that was not audited, or one of which there is no such verdict.
        """
        kinds_by_factor = dict[str, set[str]]()
        for row in verdicts:
            kinds_by_factor.setdefault(row["factor"], set()).add(row["kind"])
        kinds = set[str]().union(*kinds_by_factor.values())
        violations: list[str] = []
        for verdict, factor in self.forbid:
            if verdict in REPORTED:
                violations += self._region_violations(verdict, regions)
                continue
            kind = "column" if verdict == Verdict.DIFFERS else "mark"
            if factor != ANY and factor not in kinds_by_factor:
                tested = shorten(", ".join(kinds_by_factor) or "none", 200)
                raise SpecError(f"policy: forbid: no {kind} '{shorten(factor)}' was audited; tested: {tested}")
            if factor != ANY and kind not in kinds_by_factor[factor]:
                raise SpecError(
                    f"policy: forbid: '{shorten(factor)}' is a {next(iter(kinds_by_factor[factor]))}, and {verdict} is "
                    f"of a {kind}"
                )
            if self.inconclusive == "fail" and kind not in kinds:
                violations.append(f"no {kind} was tested, and {verdict} is forbidden")
            for row in verdicts:
                if row["kind"] == kind and factor in (ANY, row["factor"]) and (why := self._violation(verdict, row)):
                    violations.append(f"{row['factor']}: {why}")
        return [*dict.fromkeys(violations), *(self._gap_violations(gaps, groups))]

    def _region_violations(self, verdict: str, regions: Sequence[Row]) -> list[str]:
        """Return a sentence for every search that breaks a rule; an unverified finding breaks all of them."""
        broken = {
            *_violating_verdicts(verdict),
            RegionVerdict.UNVERIFIED,
            *(_OPEN_VERDICTS if self.inconclusive == "fail" else ()),
        }
        violations = [
            f"region ({row['of']}): {row['verdict']}, and {verdict} is forbidden"
            for row in regions
            if row["verdict"] in broken
        ]
        return (
            violations
            if regions or self.inconclusive == "pass"
            else [f"no region was searched for, and {verdict} is forbidden"]
        )

    def _violation(self, verdict: str, row: Row) -> str:
        unlimited = math.isnan(row["limit"]) and row["open"] != OpenQuantity.PLACE
        unreferenced = verdict == Verdict.RELIES and row["verdict"] == Verdict.AFFECTED and unlimited
        if row["verdict"] in _violating_verdicts(verdict) or unreferenced:
            return f"{row['verdict']}, and {verdict} is forbidden"
        return f"{row['verdict']}" if row["verdict"] in _OPEN_VERDICTS and self.inconclusive == "fail" else ""

    def _gap_violations(self, gaps: Sequence[Row], groups: Sequence[Row]) -> list[str]:
        if self.gap is None:
            return []
        violations: list[str] = []
        if not gaps and self.inconclusive == "fail":
            violations.append("no groups were compared, and their gap is limited")
        for row in gaps:
            is_beyond = row["low"] >= self.gap or row["high"] <= -self.gap
            within = -self.gap < row["low"] and row["high"] < self.gap
            if is_beyond or (not within and self.inconclusive == "fail"):
                what = "beyond" if is_beyond else "not shown to be within"
                violations.append(f"{row['measure']} of {row['column']} {row['a']} and {row['b']}: {what} {self.gap:g}")
        if self.inconclusive == "fail":
            untested = [f"{row['column']} {row['level'] or ''}".rstrip() for row in groups if row["reason"]]
            violations += [f"{name}: not tested, and gaps between groups are limited" for name in untested]
        return violations


def _violating_verdicts(verdict: str) -> tuple[str, ...]:
    """Return the verdicts that violate a rule: the one that it names, and more severe ones of the same kind."""
    scale = next((scale for scale in _SEVERITY_SCALES if verdict in scale), (verdict,))
    return scale[: scale.index(verdict) + 1]


def read_policy(path: Path) -> Policy:
    """Read a policy: `forbid: [relies-on: tag]`, `require: {subgroup-gap: 0.05}`, `inconclusive: fail`.

    Raises:
        SpecError: The file cannot be read, or a rule is unknown.
    """
    values = read_yaml(path).values
    unknown = [key for key in values if key not in ("forbid", "require", "inconclusive")]
    if unknown:
        raise SpecError(f"{path.name}: {unknown_name('key', str(unknown[0]), ('forbid', 'require', 'inconclusive'))}")
    required = mapping_of(values.get("require", {}))
    gap = None if required is None else required.get(_REQUIRED)
    if required is None or set(required) - {_REQUIRED} or not (gap is None or (_is_real(gap) and 0 < gap < 1)):
        raise SpecError(f"{path.name}: require: expected {{{_REQUIRED}: 0.05}}, a number between 0 and 1")
    inconclusive = values.get("inconclusive", "fail")
    if inconclusive not in ("fail", "pass"):
        raise SpecError(f"{path.name}: inconclusive: expected fail or pass, not {shorten(str(inconclusive))}")
    forbidden = _read_forbidden(path, values.get("forbid") or [])
    if not forbidden and gap is None:
        raise SpecError(f"{path.name} has no rule: give forbid or require, such as forbid: [relies-on: any]")
    return Policy(forbidden, gap, inconclusive)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_forbidden(path: Path, value: Any) -> tuple[tuple[str, str], ...]:
    entries = cast("list[Any]", value) if isinstance(value, list) else [value]
    entries_read: list[tuple[str, str]] = []
    for entry in entries:
        rules = {str(entry): ANY} if isinstance(entry, str) else mapping_of(entry)
        if not rules:
            raise SpecError(f"{path.name}: forbid: expected entries such as relies-on: tag")
        for verdict, factor in rules.items():
            if verdict not in _FORBIDDEN:
                raise SpecError(f"{path.name}: forbid: {unknown_name('verdict', verdict, list(_FORBIDDEN))}")
            factors = cast("list[Any]", factor if isinstance(factor, list) else [factor])
            if not all(isinstance(name, str | int | float) for name in factors):
                raise SpecError(f"{path.name}: forbid: {verdict}: expected a factor or a list of them")
            entries_read += [(verdict, str(name)) for name in factors]
    return tuple(entries_read)
