"""Associations of factors with the target: how strongly a factor is tied to it in rows, by Somers' D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.errors import AssociationError, SpecError, unknown_name
from assay.core.types import Factor, FactorTable
from assay.shifts.environment import AchievedAssociation, Environment
from assay.shifts.marginals import factor_of, satisfies
from assay.spec.data import no_shares
from assay.spec.schema import AssociationSpec

_NORMAL_975 = 1.959963984540054


def with_high_levels(factor: Factor, high: tuple[str, ...] = ()) -> Factor:
    """Return the factor with the high levels that an association states; those of the factor itself when it states
    none.

    Raises:
        SpecError: For an unknown level, and for a categorical factor whose high levels are nowhere named or leave no
            other level.
    """
    if high:
        for level in high:
            if level not in factor.levels:
                raise SpecError(unknown_name(f"level of '{factor.name}'", level, factor.levels))
        factor = replace(factor, high=high)
    if factor.kind == "categorical" and not 0 < len(set(factor.high)) < len(factor.levels):
        raise SpecError(
            f"categorical factor '{factor.name}' is tied by its high levels: name them, leaving at least one other, "
            f"as high: [...] from {', '.join(factor.levels)}"
        )
    return factor


def tied_as(factor: Factor, tie: AssociationSpec) -> Factor:
    """Return the factor with the high levels of an association to be made.

    Raises SpecError as `with_high_levels` does, and for shares of a factor that is not categorical.
    """
    refused = no_shares(factor) if tie.share is not None else ""
    if refused:
        raise SpecError(f"{refused}; a strength (`scheme: balanced`) ties any factor")
    return with_high_levels(factor, tie.high)


def positive(table: FactorTable) -> Bool[np.ndarray, "n"]:
    """Which rows belong to the last class; associations are stated for it, against the rest when there are several."""
    return table.target == len(table.classes) - 1


def somers_d(values: Float[np.ndarray, "n"], of: Bool[np.ndarray, "n"]) -> float:
    """Somers' D of values given a binary target, 2 AUROC - 1, in [-1, 1]; ties count half.

    Args:
        values: Higher meaning more, without NaN.
        of: Rows of the positive class. NaN when one class has no row. Somers 1962, "A new asymmetric measure of
            association for ordinal variables".
    """
    return _placements(values, of)[0]


def _placements(values: np.ndarray, of: np.ndarray) -> tuple[float, Float[np.ndarray, "n"]]:
    """D, and each row's influence on it, whose sum over rows is 0 (DeLong, DeLong and Clarke-Pearson 1988)."""
    influence = np.zeros(len(values))
    positives, zeros = np.sort(values[of]), np.sort(values[~of])
    if not len(positives) or not len(zeros):
        return float("nan"), influence
    above = _share_below(zeros, values[of])
    below = _share_below(positives, values[~of])
    d = 2 * float(above.mean()) - 1
    influence[of] = 2 * (above - above.mean()) / len(positives)
    influence[~of] = -2 * (below - below.mean()) / len(zeros)
    return d, influence


def _share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of `ordered` that is below each value, ties counted half."""
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return both / (2 * len(ordered))


def over_patients(influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> float:
    """Return the standard error of an estimate whose rows come in patients, from the influence of each row.

    Sums the influence within patients (Obuchowski 1997), with the factor C / (C - 1) for C patients; NaN for one.

    Examples:
        >>> influence = np.array([0.5, -0.5])
        >>> over_patients(influence, np.array([1, 2])), over_patients(influence, np.array([7, 7]))
        (1.0, nan)
    """
    _, code = np.unique(patient, return_inverse=True)
    sums = np.bincount(code, weights=influence)
    count = len(sums)
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2))) if count > 1 else float("nan")


def measure_association(
    table: FactorTable,
    factor: str,
    *,
    requested: float | None = None,
    high: tuple[str, ...] = (),
    given: Mapping[str, Any] | None = None,
    available: int | None = None,
) -> AchievedAssociation:
    """Return the association of a factor with the target in these rows, with a 95% interval over patients.

    Rows with a missing value count in `counts` under "missing" and nowhere else.

    Args:
        given: Only rows that meet it.
        available: How many rows there were to choose from. The strength and its ends are NaN when a class has no row;
            the ends also with a single patient.
    """
    if given:
        table = table.take(satisfies(table, given))
    described = with_high_levels(factor_of(table.factors, factor), high)
    values = described.numbers(table.columns[factor])
    present = ~np.isnan(values)
    d, influence = _placements(values[present], positive(table)[present])
    error = over_patients(influence, table.patient[present]) if not np.isnan(d) else float("nan")
    return AchievedAssociation(
        factor=factor,
        target=table.classes[-1],
        asked=requested,
        strength=d,
        low=float(np.clip(d - _NORMAL_975 * error, -1.0, 1.0)),
        high=float(np.clip(d + _NORMAL_975 * error, -1.0, 1.0)),
        counts=_counts(table, described),
        kept=len(table),
        available=len(table) if available is None else available,
        held=_common_level(described, table.columns[factor][present], values[present]),
    )


def _common_level(factor: Factor, column: np.ndarray, values: np.ndarray) -> str:
    """`solid`, `35 years`, `part-solid or ground-glass`: the common level where all rows count equally."""
    if not len(values) or (values != values[0]).any():
        return ""
    return " or ".join(factor.text(float(value)) for value in np.unique(column))


def also_achieved(environment: Environment, named: Mapping[str, tuple[str, ...]]) -> Environment:
    """Return the same environment, which also says how strongly these factors are tied to the target as it is found.

    Args:
        named: Factor -> high levels, such as all that any environment of a study ties. Those that the environment
            states itself, and interventions that it lacks, are skipped.
    """
    measured = {achieved_one.factor for achieved_one in environment.achieved}
    present = {factor.name for factor in environment.table.factors}
    more = [
        measure_association(environment.table, name, high=high)
        for name, high in named.items()
        if name in present and name not in measured
    ]
    return replace(environment, achieved=(*environment.achieved, *more))


def _counts(table: FactorTable, factor: Factor) -> dict[tuple[str, str], int]:
    """Rows per class and level, or per class and quarter of a continuous factor's values."""
    labels, code = _cells(factor, table.columns[factor.name])
    rows_per_cell = np.zeros((len(table.classes), len(labels)), dtype=np.int64)
    np.add.at(rows_per_cell, (table.target, code), 1)
    return {
        (name, label): int(rows_per_cell[i, j])
        for i, name in enumerate(table.classes)
        for j, label in enumerate(labels)
        if label != "missing" or rows_per_cell[:, j].any()
    }


def _cells(factor: Factor, column: np.ndarray) -> tuple[list[str], np.ndarray]:
    if factor.levels:
        codes = column.astype(np.int64)
        return [*factor.levels, "missing"], np.where(codes < 0, len(factor.levels), codes)
    missing = np.isnan(column)
    if missing.all():
        return ["missing"], np.zeros(len(column), dtype=np.int64)
    edges = np.unique(np.quantile(column[~missing], [0.0, 0.25, 0.5, 0.75, 1.0]))
    code = np.clip(np.searchsorted(edges, column, side="left") - 1, 0, max(len(edges) - 2, 0))
    labels = [f"{a:.3g} to {b:.3g} {factor.unit}".rstrip() for a, b in pairwise(edges)]
    labels = labels or [factor.text(float(edges[0]))]
    return [*labels, "missing"], np.where(missing, len(labels), code)


def refuse_constant(factor: str, strength: float, target: str) -> AssociationError:
    """For a factor that `where` holds on one side and that is tied nevertheless."""
    return AssociationError(
        f"'{factor}' cannot be tied to '{target}' at {strength:+g} where it is held constant: "
        "0 rows of its other half can be drawn; the strongest strength that can be had is 0"
    )
