"""Rows of a phantom: the target is drawn, then every factor, tied to it as an environment says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.core.environment_spec import AssociationSpec, EnvironmentSpec
from assay.core.errors import SpecError, unknown_name
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Phantom
from assay.shifts.association import positive, refuse_constant, tied_as
from assay.shifts.conditions import allowed, satisfies
from assay.shifts.marginal import marginal
from assay.shifts.patients import Patients


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a phantom: a class, named `target`, or the level of a factor, and the factor that defines it.

    levels: those of the core factor where it is the target itself, else empty.
    """

    target: str
    core: str
    levels: tuple[str, ...] = ()

    @staticmethod
    def of(target: str, core: Factor) -> Question:
        """Asked for by its own name, a factor with levels is the target itself, and its levels are the classes."""
        return Question(target, core.name, core.levels if target == core.name else ())

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: the levels in their order, or the two with the positive one last."""
        return self.levels or (f"not {self.target}", self.target)

    @property
    def several(self) -> bool:
        """Whether the classes are more than two levels; two are tied to their factor as any two classes are."""
        return len(self.levels) > 2


def ties(phantom: Phantom, question: Question, environment: EnvironmentSpec) -> dict[str, AssociationSpec]:
    """The associations that hold between a phantom's factors and the target: the core factor's is 1 unless stated.

    A core that is the target itself has none, and is left out, where it has several levels or `where` leaves some out.
    Raises SpecError for a name that is
    neither a factor nor an intervention of the environment, for a core that is no factor, and for a strength of such
    a core that is neither 1 nor 0.
    """
    factors = {factor.name for factor in phantom.factors}
    if question.core not in factors:
        raise SpecError(f"the core factor defines the target; {unknown_name('factor', question.core, sorted(factors))}")
    for name in environment.association:
        if name not in factors and name not in environment.interventions:
            raise SpecError(unknown_name("factor", name, sorted({*factors, *environment.interventions})))
    stated = {name: tie for name, tie in environment.association.items() if name in factors}
    if not _says_class(question, environment):
        return {question.core: AssociationSpec(strength=1.0), **stated}
    _is_target(question, environment)
    return {name: tie for name, tie in stated.items() if name != question.core}


def draw_rows(
    phantom: Phantom, question: Question, environment: EnvironmentSpec, rows: Int[np.ndarray, "n"], seed: int
) -> FactorTable:
    """The factor table of these rows, without interventions; each row is its own patient unless the phantom draws pairs
    (see `Patients`).

    Of K classes, patients kK to kK + K - 1 hold one of each, in an order that is drawn. A factor of strength s takes,
    with probability |s|, a value from its class's half of the marginal (the upper one for the last class when s > 0,
    the lower one for all others), else from all of it, which gives Somers' D = s of the last class against the rest;
    where a level lies on both halves, D is nearer to 0. Draws are named by (seed, factor, row): environments of one
    seed share target and every factor that they do not change, and the rows tied at one strength are among those tied
    at a stronger one. Tied by shares, a row is in the upper half, which are the high levels, with the probability of
    its class, else in the lower; the rows in it at one share are among those at a greater one. `given` ties a factor
    in the rows that meet it; the factors it names are drawn before.

    Where the target is a core factor of several levels, or of two of which `where` leaves one out, its column says the
    class, and `where` may leave classes out; at strength 0 it is drawn like any other factor, so that the target is a
    coin's.

    Raises SpecError for unknown names, for `given` that goes round in a circle and for a choice of what differs within
    a patient's pair, AssociationError for a tied factor that `where` holds constant.
    """
    associations = ties(phantom, question, environment)
    by_name = {factor.name: factor for factor in phantom.factors}
    for name in environment.where:
        if name not in by_name:
            raise SpecError(unknown_name("factor", name, list(by_name)))
    own = _says_class(question, environment) and _is_target(question, environment)
    patients = Patients.of(phantom)
    chosen = {*environment.where, *(name for name, tie in associations.items() if tie.strength or tie.share)}
    if torn := sorted(patients.opposite & chosen):
        raise SpecError(
            f"'{torn[0]}' is one of each in a patient's two images, so neither `where` nor an association can choose "
            f"it: have one image a patient, or leave '{torn[0]}' to chance"
        )
    target = patients.classes(_drawn_classes(by_name[question.core], question, environment), rows, seed)
    table = FactorTable(row=rows, target=target, patient=patients.numbers(rows), classes=question.classes)
    for name in _in_order(by_name, associations):
        if own and name == question.core:
            values = target
        else:
            values = _values(phantom, patients, by_name[name], associations.get(name), environment, table, seed)
        table = table.with_column(by_name[name], values)
    return _reordered(table, phantom.factors)


def _says_class(question: Question, environment: EnvironmentSpec) -> bool:
    """Whether the core is the target itself and cannot be tied to it half by half."""
    return question.several or (bool(question.levels) and question.core in environment.where)


def _is_target(question: Question, environment: EnvironmentSpec) -> bool:
    """Whether a core that is the target itself says the target in this environment, or is independent of it."""
    tie = environment.association.get(question.core, AssociationSpec(strength=1.0))
    if tie.strength not in (0, 1) or tie.high or tie.given or tie.share:
        raise SpecError(
            f"'{question.core}' is the target itself, with {len(question.levels)} classes: its strength is 1, or 0 "
            f"for rows in which it is independent of the target; given {tie.strength:+g}"
            f"{' with high, given or share' if tie.high or tie.given or tie.share else ''}"
        )
    return tie.strength == 1


def _drawn_classes(core: Factor, question: Question, environment: EnvironmentSpec) -> Int[np.ndarray, "k"]:
    """The classes that rows may have: all, but for levels of the target itself that `where` leaves out."""
    codes = np.arange(len(question.classes))
    if not question.levels or core.name not in environment.where:
        return codes
    return codes[allowed(core, environment.where[core.name]).holds(codes)]


def _values(
    phantom: Phantom,
    patients: Patients,
    factor: Factor,
    tie: AssociationSpec | None,
    environment: EnvironmentSpec,
    table: FactorTable,
    seed: int,
) -> np.ndarray:
    source = marginal(phantom, factor, environment.where)
    u = patients.uniform(seed, factor.name, table.row)
    if tie is None or (tie.strength == 0 and tie.share is None):
        return source.values(u)
    if tie.high and set(tie.high) != set(factor.high):
        raise SpecError(
            f"the high levels of the phantom's '{factor.name}' are {', '.join(factor.high) or 'none'}: leave out `high`"
        )
    tied_as(factor, tie)
    if not source.halves:
        raise refuse_constant(factor.name, tie.strength, table.classes[-1])
    within, draw = satisfies(table, tie.given), patients.tied(seed, factor.name, table.row)
    if tie.share is not None:
        upper = draw < np.where(positive(table), tie.share.positive, tie.share.negative)
        return source.values(np.where(within, _to_half(u, upper), u))
    bound = within & (draw < abs(tie.strength))
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
