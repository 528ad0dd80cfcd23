"""Rows of a phantom: the target is drawn, then every factor, tied to it as an environment says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import SpecError, unknown_name
from assay.core.seeds import row_uniform
from assay.core.spec import AssociationSpec, EnvironmentSpec
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Phantom
from assay.shifts.association import positive, refuse_constant, tied
from assay.shifts.conditions import satisfies
from assay.shifts.marginal import marginal


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a phantom: the name of the positive class and the factor that defines it."""

    target: str
    core: str

    @property
    def classes(self) -> tuple[str, str]:
        """Names of the two classes, the positive one last."""
        return f"not {self.target}", self.target


def ties(phantom: Phantom, core: str, environment: EnvironmentSpec) -> dict[str, AssociationSpec]:
    """The associations that hold between a phantom's factors and the target: the core factor's is 1 unless stated.

    Raises SpecError for a name that is neither a factor nor an intervention of the environment, and for a core that
    is no factor.
    """
    factors = {factor.name for factor in phantom.factors}
    if core not in factors:
        raise SpecError(f"the core factor defines the target; {unknown_name('factor', core, sorted(factors))}")
    for name in environment.association:
        if name not in factors and name not in environment.interventions:
            raise SpecError(unknown_name("factor", name, sorted({*factors, *environment.interventions})))
    stated = {name: tie for name, tie in environment.association.items() if name in factors}
    return {core: AssociationSpec(strength=1.0), **stated}


def draw_rows(
    phantom: Phantom, question: Question, environment: EnvironmentSpec, rows: Int[np.ndarray, "n"], seed: int
) -> FactorTable:
    """The factor table of these rows, without interventions; each row is its own patient.

    Rows 2k and 2k + 1 hold one of each class, which of them being drawn. A factor of strength s takes, with
    probability |s|, a value from its class's half of the marginal (the upper one for the positive class when s > 0),
    else from all of it, which gives Somers' D = s; where a level lies on both halves, D is nearer to 0. Draws are
    named by (seed, factor, row): environments of one seed share target and every factor that they do not change, and
    the rows tied at one strength are among those tied at a stronger one. `given` ties a factor in the rows that meet
    it; the factors it names are drawn before.

    Raises SpecError for unknown names and for `given` that goes round in a circle, AssociationError for a tied factor
    that `where` holds constant.
    """
    associations = ties(phantom, question.core, environment)
    by_name = {factor.name: factor for factor in phantom.factors}
    for name in environment.where:
        if name not in by_name:
            raise SpecError(unknown_name("factor", name, list(by_name)))
    first_of_pair = row_uniform(seed, "target", rows // 2) < 0.5
    target = (rows + first_of_pair) % 2
    table = FactorTable(row=rows, target=target, patient=rows, classes=question.classes)
    for name in _in_order(by_name, associations):
        tie = associations.get(name)
        values = _values(phantom, by_name[name], tie, environment, table, seed)
        table = table.with_column(by_name[name], values)
    return _reordered(table, phantom.factors)


def _values(
    phantom: Phantom,
    factor: Factor,
    tie: AssociationSpec | None,
    environment: EnvironmentSpec,
    table: FactorTable,
    seed: int,
) -> np.ndarray:
    source = marginal(phantom, factor, environment.where)
    u = row_uniform(seed, f"factor:{factor.name}", table.row)
    if tie is None or tie.strength == 0:
        return source.values(u)
    if tie.high and set(tie.high) != set(factor.high):
        raise SpecError(
            f"the high levels of the phantom's '{factor.name}' are {', '.join(factor.high) or 'none'}: leave out `high`"
        )
    tied(factor)
    if not source.halves:
        raise refuse_constant(factor.name, tie.strength, table.classes[-1])
    within = satisfies(table, tie.given)
    bound = within & (row_uniform(seed, f"tie:{factor.name}", table.row) < abs(tie.strength))
    return source.values(np.where(bound, _to_half(u, positive(table) == (tie.strength > 0)), u))


def _to_half(u: Float[np.ndarray, "n"], upper: np.ndarray) -> Float[np.ndarray, "n"]:
    """Each u in the half that is asked for, at the place that it had in its own: no more moves than must."""
    return u % 0.5 + 0.5 * upper


def _in_order(factors: Iterable[str], associations: Mapping[str, AssociationSpec]) -> list[str]:
    """Factor names, each after those that its `given` names."""
    known = list(factors)
    ordered: list[str] = []
    while len(ordered) < len(known):
        ready = [name for name in known if name not in ordered and _needs(name, associations) <= set(ordered)]
        if not ready:
            waiting = sorted(set(known) - set(ordered))
            unknown = sorted({need for name in waiting for need in _needs(name, associations)} - set(known))
            if unknown:
                raise SpecError(unknown_name("factor", unknown[0], known))
            raise SpecError(f"`given` goes round in a circle between the factors {', '.join(waiting)}: break it")
        ordered.extend(ready)
    return ordered


def _needs(name: str, associations: Mapping[str, AssociationSpec]) -> set[str]:
    return set(associations[name].given) if name in associations else set()


def _reordered(table: FactorTable, factors: tuple[Factor, ...]) -> FactorTable:
    """Columns in the phantom's order, whatever the order of drawing."""
    return FactorTable(
        row=table.row,
        target=table.target,
        patient=table.patient,
        classes=table.classes,
        factors=factors,
        columns={factor.name: table.columns[factor.name] for factor in factors},
    )
