"""Sample rows: splits into parts, thinning, patients, marked images and draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.errors import DataError, SpecError, UnfitError, unknown_name
from assay.core.files import canonical_json
from assay.core.registry import build
from assay.core.seeds import derive, row_seed, row_uniform
from assay.core.types import Factor, FactorTable
from assay.data.dataset import DrawsPairs, Originals, Phantom
from assay.data.splits import Split, split
from assay.shifts.association import positive, refuse_constant, tied_as
from assay.shifts.intervention import DrawnIntervention, Intervention, draw, mark_factor
from assay.shifts.marginals import marginal, read_allowed, satisfies
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec, SplitSpec

# Training, validation and test rows of a seed and fold: seeds redraw the first two, test rows stay.


def test_seed(population: int) -> int:
    """Return the seed that decides the test rows of a population, whatever the seed of a trial."""
    return derive(population, "test")


TEST_SEED = test_seed(0)
"""The seed of test rows of files, which are one population."""

ROWS_VERSION = 3
"""Enters every identity: raised when the rows that a spec and a seed lead to are others than before."""


def parts(table: FactorTable, spec: SplitSpec, seed: int, fold: int) -> Split:
    """Positions in the table, always divided by patient; raises as `split` does.

    By folds, every seed assigns patients again, and each is tested once a seed. By a column, the column names the test
    rows. By shares, test patients are drawn once for all seeds, and each seed divides the others again. Patients with a
    row that `test_only` wants are test patients whatever divides the others.
    """
    if spec.test_only:
        return _with_held(table, spec, seed, fold)
    if spec.column or spec.folds is not None:
        return split(table, spec, seed, fold)
    fixed = split(table, spec, TEST_SEED)
    rest = np.sort(np.concatenate([fixed.train, fixed.validation]))
    fitted = spec.train + spec.validation
    within = SplitSpec(train=spec.train / fitted, validation=spec.validation / fitted, test=0.0)
    redrawn = split(table.take(rest), within, derive(seed, "validation split"))
    return Split(rest[redrawn.train], rest[redrawn.validation], fixed.test)


def _with_held(table: FactorTable, spec: SplitSpec, seed: int, fold: int) -> Split:
    wanted = satisfies(table, spec.test_only)
    held_out = np.isin(table.patient, table.patient[wanted])
    rest = np.flatnonzero(~held_out).astype(np.int64)
    if not len(rest):
        raise DataError(
            f"data.split.test_only: all {len(table)} rows have {dict(spec.test_only)}, so no other row remains"
        )
    divided = parts(table.take(rest), spec.model_copy(update={"test_only": {}}), seed, fold)
    tested = np.sort(np.concatenate([rest[divided.test], np.flatnonzero(held_out)])).astype(np.int64)
    return Split(rest[divided.train], rest[divided.validation], tested)


# The first rows, or patients, of a training environment: fewer of one distribution, each amount within the next.

_QUANTILES = 8
"""How many parts a continuous factor is cut into, of which each amount of rows has its share."""


def enough(name: str, rows: int | None, available: int, where: str) -> int:
    """How many rows an environment takes of those that are there.

    Raises:
        DataError: If it asks for more.
    """
    if rows is not None and rows > available:
        raise DataError(
            f"environment '{name}': {rows} rows are requested; there are {available} {where}: ask for fewer"
        )
    return available if rows is None else rows


def first_rows(table: FactorTable, count: int, tied: Iterable[str], draw: Float[np.ndarray, "n"]) -> FactorTable:
    """So many rows of a table, in its order.

    Every amount holds the classes, within each the levels (or quantiles) of the factors `tied`, in the proportions that
    they have in the whole table, as nearly as whole rows can; so associations stay as they are. The rows of one amount
    are among those of every greater one.

    Args:
        draw: One number per row; of rows that are alike the smallest come first.
    """
    if count == len(table):
        return table
    stratum = np.zeros(len(table), dtype=np.int64)
    for name in sorted(tied):
        stratum = _number_pairs(stratum, _part(table, name))
    within = _spread(_number_pairs(table.target, stratum), draw, table.row)
    turn = _spread(table.target, within, draw, table.row)
    return table.take(np.sort(np.lexsort((table.row, draw, turn))[:count]))


def part_of(name: str, fraction: float, available: int, what: str) -> int:
    """How many a share of those that are there is, rounded.

    Raises:
        DataError: For fewer than two: no batch norm can be trained on one.
    """
    count = round(fraction * available)
    if count < 2:
        raise DataError(
            f"environment '{name}': fraction {fraction:g} of {available} {what} is {count}; at least 2 are needed: "
            "ask for more"
        )
    return count


def first_patients(
    name: str, table: FactorTable, fraction: float, tied: Iterable[str], draw: Float[np.ndarray, "n"]
) -> FactorTable:
    """Return all rows of a share of the table's patients, in its order.

    Every share holds patients by their highest class, within each by the level (or quantile) of the factors `tied` in
    their first row, in the proportions of the whole table as nearly as whole patients can; those of one share are among
    those of every greater one.

    Args:
        draw: As in `first_rows`; a patient has that of the first row. Raises DataError.
    """
    if fraction == 1:
        return table
    _, first, patient = np.unique(table.patient, return_index=True, return_inverse=True)
    highest = np.full(len(first), -1, dtype=np.int64)
    np.maximum.at(highest, patient, table.target)
    alone = replace(table.take(first), target=highest)
    chosen = first_rows(alone, part_of(name, fraction, len(first), "patients"), tied, draw[first])
    return table.take(np.flatnonzero(np.isin(table.patient, chosen.patient)))


def _part(table: FactorTable, name: str) -> Int[np.ndarray, "n"]:
    """Return the level of every row, or the part of the range that its value is in; missing values form one part."""
    if table.factor(name).levels:
        return table.columns[name].astype(np.int64)
    numbers = table.numbers(name)
    present = numbers[~np.isnan(numbers)]
    edges = np.quantile(present, np.arange(1, _QUANTILES) / _QUANTILES) if len(present) else np.zeros(0)
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))


def _number_pairs(outer: Int[np.ndarray, "n"], inner: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """One number per pair of values."""
    return np.unique(np.stack([outer, inner]), axis=1, return_inverse=True)[1].reshape(-1)


def _spread(group: Int[np.ndarray, "n"], *order: np.ndarray) -> Float[np.ndarray, "n"]:
    """Rank of each row in its group, as a share in (0, 1): in the order of it groups are distributed evenly."""
    sorted_ = np.lexsort((*reversed(order), group))
    sizes = np.unique(group, return_counts=True)[1]
    rank = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = np.empty(len(group))
    share[sorted_] = (rank + 0.5) / np.repeat(sizes, sizes)
    return share


# Whose a phantom's images are: of a patient each, or two of one patient.

UNLIKE = 0.4
"""How often two classes next to each other trade their second images. Of five classes, 0.68 of the patients have two
images of one class then, as do grades of Messidor-2 where each is as frequent; of two classes, 0.80.
"""


@dataclass(frozen=True, slots=True)
class Patients:
    """How the rows of a phantom are patients'.

    Attributes:
        each: Images of a patient, which follow each other.
        alike, opposite: See `DrawsPairs`. A factor that is tied to the target goes with the class of its own image.
    """

    each: int = 1
    alike: frozenset[str] = frozenset()
    opposite: frozenset[str] = frozenset()

    @staticmethod
    def of(phantom: Phantom) -> Patients:
        """Return those of a phantom: every image is a patient of its own unless it draws pairs."""
        if not isinstance(phantom, DrawsPairs) or phantom.images_per_patient == 1:
            return Patients()
        return Patients(phantom.images_per_patient, phantom.alike, phantom.opposite)

    def numbers(self, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Return each row's patient."""
        return rows // self.each

    def uniform(self, seed: int, factor: str, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Return the named draw of a factor's value, see `row_uniform`."""
        whose = rows if self.each == 1 or factor not in self.alike | self.opposite else self.numbers(rows)
        u = row_uniform(seed, f"factor:{factor}", whose)
        return (u + 0.5 * (rows % self.each)) % 1 if factor in self.opposite else u

    def draw_tied(self, seed: int, factor: str, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Return the named draw of whether a factor is tied to the target."""
        return row_uniform(seed, f"tie:{factor}", self.numbers(rows) if factor in self.alike else rows)

    def nuisance(self, seed: int, rows: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """Nuisance seeds: 2k and 2k + 1 for the two images of a patient."""
        if self.each == 1:
            return row_seed(seed, "nuisance", rows)
        return row_seed(seed, "nuisance", self.numbers(rows)) // 2 * 2 + rows % 2

    def classes(self, classes: Int[np.ndarray, "k"], rows: Int[np.ndarray, "n"], seed: int) -> Int[np.ndarray, "n"]:
        """Return the class of every row: of k patients in turn, one has each; see `UNLIKE` for their second images."""
        patient = self.numbers(rows)
        block, place = _in_turn(len(classes), patient, seed)
        if self.each == 2:
            place = np.where(rows % 2 == 0, place, _trade_classes(len(classes), place, block, seed))
        return classes[place]


def _in_turn(count: int, patient: Int[np.ndarray, "n"], seed: int) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Return each patient's block of `count` and place in it, shuffled (Fisher and Yates) by the draws of the block
    alone.
    """
    blocks, of = np.unique(patient // count, return_inverse=True)
    order = np.tile(np.arange(count), (len(blocks), 1))
    every = np.arange(len(blocks))
    for last in range(count - 1, 0, -1):
        u = row_uniform(seed, "target" if last == 1 else f"target:{last}", blocks)
        other = (u * (last + 1)).astype(np.int64)
        order[every, last], order[every, other] = order[every, other], order[every, last]
    return blocks[of], order[of, patient % count]


def _trade_classes(
    count: int, place: Int[np.ndarray, "n"], block: Int[np.ndarray, "n"], seed: int
) -> Int[np.ndarray, "n"]:
    """Return the class in whose place a second image is: as often each, since two patients of a block trade theirs."""
    first = (row_uniform(seed, "pairs of classes", block) < 0.5).astype(np.int64)  # 0-1, 2-3, ... or 1-2, 3-4, ...
    lower = place - (place - first) % 2
    trades = row_uniform(seed, "unlike", block * count + np.maximum(lower, 0)) < UNLIKE
    return np.where((lower >= 0) & (lower + 1 < count) & trades, 2 * lower + 1 - place, place)


# Which rows get an intervention: by a share, by a share per class, or by an association with the target.

SIDES = {"positive", "negative"}
"""In the place of class names: the last class, and all others."""


def marked_rows(
    name: str, spec: InterventionSpec, tie: AssociationSpec | None, table: FactorTable, seed: int
) -> Bool[np.ndarray, "n"]:
    """Which rows of the table get the intervention `name`.

    Of a class, its share of the rows is marked, to the nearest whole row: those with the smallest named draws, so the
    rows marked at one share are among those marked at a higher one. Tied at strength s, the shares are (1 + s) / 2 in
    the last class and (1 - s) / 2 in the others, which gives Somers' D = s at half of the rows; rows outside the
    association's `given` get 0.5.
    """
    share = _shares(name, spec, table) if tie is None else _tied_share(tie, table)
    inside = np.ones(len(table), dtype=bool) if tie is None else satisfies(table, tie.given)
    draw = row_uniform(seed, f"mark:{name}", table.row)
    marked = np.zeros(len(table), dtype=bool)
    for among in (inside, ~inside):
        for target in range(len(table.classes)):
            rows = np.flatnonzero(among & (table.target == target))
            if rows.size:  # of one class and side, and so of one share
                count = math.floor(share[rows[0]] * len(rows) + 0.5)
                marked[rows[_smallest(draw[rows], count)]] = True
    return marked


def _smallest(draws: Float[np.ndarray, "n"], count: int) -> Bool[np.ndarray, "n"]:
    """Select the `count` smallest values, the first among equals: faster than a stable sort, with the same result."""
    if count == 0:
        return np.zeros(len(draws), dtype=bool)
    last = np.partition(draws, count - 1)[count - 1]
    smallest = draws < last
    smallest[np.flatnonzero(draws == last)[: count - smallest.sum()]] = True
    return smallest


def draw_interventions(
    environment: EnvironmentSpec,
    table: FactorTable,
    seed: int,
    shape: tuple[int, int, int],
    boxes: Int[np.ndarray, "n 4"] | None = None,
    original: Originals | None = None,
) -> tuple[tuple[DrawnIntervention, ...], FactorTable]:
    """Return every intervention of an environment, in alphabetical order of their names, and the table with a column
    for each.

    They are put on in this order; the one in which they are written decides nothing.

    Args:
        shape: (channels, height, width) of the squares.
        boxes: Where each row's picture is in its own, None where it fills it.
        original: Each row's picture at original resolution, where there are such.

    Raises:
        SpecError: If an intervention has the name of a factor, UnfitError with all that do not fit the images.
    """
    changes: list[DrawnIntervention] = []
    refused: dict[str, tuple[Mapping[str, Any], str]] = {}
    for name, spec in sorted(environment.interventions.items()):
        if any(factor.name == name for factor in table.factors):
            raise SpecError(f"intervention '{name}' has the name of a factor: give it another")
        if name in environment.association and environment.association[name].high:
            raise SpecError(f"'{name}' is an intervention, with it being high: leave out `high`")
        marked = marked_rows(name, spec, environment.association.get(name), table, seed)
        try:
            changes.append(change(name, spec, marked, table.row, seed, shape, boxes, original))
        except SpecError as error:
            refused[name] = spec.component.params, str(error)
        table = table.with_column(mark_factor(name), marked.astype(np.int64))
    if refused:
        raise UnfitError(refused)
    return tuple(changes), table


def change(
    name: str,
    spec: InterventionSpec,
    marked: Bool[np.ndarray, "n"],
    rows: Int[np.ndarray, "n"],
    seed: int,
    shape: tuple[int, int, int],
    boxes: Int[np.ndarray, "n 4"] | None = None,
    original: Originals | None = None,
) -> DrawnIntervention:
    """Return the intervention of a spec, drawn for these rows. Raises SpecError as `draw` does."""
    intervention: Intervention = build("intervention", spec.component.name, spec.component.params)
    if spec.apply_at == "input":
        return draw(name, intervention, marked, rows, seed, shape, boxes)
    if original is None:
        raise SpecError("apply_at: original needs whole images from files; leave it out")
    drawn_change = draw(name, intervention, marked, rows, seed, shape, original.boxes)
    return replace(drawn_change, boxes=boxes, original=original, identity=canonical_json(spec.change))


def _shares(name: str, spec: InterventionSpec, table: FactorTable) -> Float[np.ndarray, "n"]:
    if not isinstance(spec.share, Mapping):
        return np.full(len(table), float(spec.share))
    if set(spec.share) == SIDES:
        return np.where(positive(table), spec.share["positive"], spec.share["negative"])
    for label in spec.share:
        if label not in table.classes:
            raise SpecError(unknown_name(f"class in the share of '{name}'", label, table.classes))
    missing = [label for label in table.classes if label not in spec.share]
    if missing:
        raise SpecError(
            f"the share of '{name}' has no value for the class {', '.join(missing)}: give one share per class"
        )
    return np.array([spec.share[label] for label in table.classes])[table.target]


def _tied_share(tie: AssociationSpec, table: FactorTable) -> Float[np.ndarray, "n"]:
    sign = np.where(positive(table), 1.0, -1.0)
    return np.where(satisfies(table, tie.given), (1 + sign * tie.strength) / 2, 0.5)


# Rows of a phantom: the target is drawn, then every factor, tied to it as an environment says.


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """Request to a phantom: a class, named `target`, or the level of a factor, and the factor that defines it.

    Attributes:
        levels: Those of the core factor where it is the target itself, else empty.
    """

    target: str
    core: str
    levels: tuple[str, ...] = ()

    @staticmethod
    def of(target: str, core: Factor) -> TargetRequest:
        """Asked for by its own name, a factor with levels is the target itself, and its levels are the classes."""
        return TargetRequest(target, core.name, core.levels if target == core.name else ())

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: the levels in their order, or the two with the positive one last."""
        return self.levels or (f"not {self.target}", self.target)

    @property
    def several(self) -> bool:
        """Whether the classes are more than two levels; two are tied to their factor as any two classes are."""
        return len(self.levels) > 2


def ties(phantom: Phantom, question: TargetRequest, environment: EnvironmentSpec) -> dict[str, AssociationSpec]:
    """Return the associations that hold between a phantom's factors and the target: the core factor's is 1 unless
    stated.

    A core that is the target itself has none, and is left out, where it has several levels or `where` leaves some out.

    Raises:
        SpecError: For a name that is neither a factor nor an intervention of the environment, for a core that is no
            factor, and for a strength of such a core that is neither 1 nor 0.
    """
    factors = {factor.name for factor in phantom.factors}
    if question.core not in factors:
        raise SpecError(f"the core factor defines the target; {unknown_name('factor', question.core, sorted(factors))}")
    for name in environment.association:
        if name not in factors and name not in environment.interventions:
            raise SpecError(unknown_name("factor", name, sorted({*factors, *environment.interventions})))
    factor_ties = {name: tie for name, tie in environment.association.items() if name in factors}
    if not _says_class(question, environment):
        return {question.core: AssociationSpec(strength=1.0), **factor_ties}
    _is_target(question, environment)
    return {name: tie for name, tie in factor_ties.items() if name != question.core}


def draw_rows(
    phantom: Phantom, question: TargetRequest, environment: EnvironmentSpec, rows: Int[np.ndarray, "n"], seed: int
) -> FactorTable:
    """Return the factor table of these rows, without interventions; each row is its own patient unless the phantom
    draws pairs (see `Patients`).

    Of K classes, patients kK to kK + K - 1 hold one of each, in an order that is drawn. A factor of strength s takes,
    with probability |s|, a value from its class's half of the marginal (the upper one for the last class when s > 0,
    the lower one for all others), else from all of it, which gives Somers' D = s of the last class against the rest;
    where a level is in both halves, D is nearer to 0. Draws are named by (seed, factor, row): environments of one seed
    share target and every factor that they do not change, and the rows tied at one strength are among those tied at a
    stronger one. Tied by shares, a row is in the upper half, which are the high levels, with the probability of its
    class, else in the lower; the rows in it at one share are among those at a greater one. `given` ties a factor in the
    rows that meet it; the factors it names are drawn before.

    Where the target is a core factor of several levels, or of two of which `where` leaves one out, its column says the
    class, and `where` may leave classes out; at strength 0 it is drawn like any other factor, so that the target is a
    coin's.

    Raises:
        SpecError: For unknown names, for `given` that is circular and for a choice of differences within a
            patient's pair, AssociationError for a tied factor that `where` holds constant.
    """
    associations = ties(phantom, question, environment)
    by_name = {factor.name: factor for factor in phantom.factors}
    for name in environment.where:
        if name not in by_name:
            raise SpecError(unknown_name("factor", name, list(by_name)))
    by_class = _says_class(question, environment) and _is_target(question, environment)
    patients = Patients.of(phantom)
    chosen = {*environment.where, *(name for name, tie in associations.items() if tie.strength or tie.share)}
    if torn := sorted(patients.opposite & chosen):
        raise SpecError(
            f"'{torn[0]}' differs between a patient's two images, so neither `where` nor an association can choose "
            f"it: have one image a patient, or leave '{torn[0]}' to chance"
        )
    target = patients.classes(_drawn_classes(by_name[question.core], question, environment), rows, seed)
    table = FactorTable(row=rows, target=target, patient=patients.numbers(rows), classes=question.classes)
    for name in _in_order(by_name, associations):
        if by_class and name == question.core:
            values = target
        else:
            values = _values(phantom, patients, by_name[name], associations.get(name), environment, table, seed)
        table = table.with_column(by_name[name], values)
    # Columns in the phantom's order, whatever the order of drawing.
    columns = {name: table.columns[name] for name in by_name}
    return replace(table, factors=phantom.factors, columns=columns)


def _says_class(question: TargetRequest, environment: EnvironmentSpec) -> bool:
    """Return whether the core is the target itself and cannot be tied to it half by half."""
    return question.several or (bool(question.levels) and question.core in environment.where)


def _is_target(question: TargetRequest, environment: EnvironmentSpec) -> bool:
    """Return whether a core that is the target itself says the target in this environment, or is independent of it."""
    tie = environment.association.get(question.core, AssociationSpec(strength=1.0))
    if tie.strength not in (0, 1) or tie.high or tie.given or tie.share:
        raise SpecError(
            f"'{question.core}' is the target itself, with {len(question.levels)} classes: its strength is 1, or 0 "
            f"for rows in which it is independent of the target; given {tie.strength:+g}"
            f"{' with high, given or share' if tie.high or tie.given or tie.share else ''}"
        )
    return tie.strength == 1


def _drawn_classes(core: Factor, question: TargetRequest, environment: EnvironmentSpec) -> Int[np.ndarray, "k"]:
    """Return the classes that rows may have: all, but for levels of the target itself that `where` leaves out."""
    codes = np.arange(len(question.classes))
    if not question.levels or core.name not in environment.where:
        return codes
    return codes[read_allowed(core, environment.where[core.name]).holds(codes)]


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
    within, draw = satisfies(table, tie.given), patients.draw_tied(seed, factor.name, table.row)
    if tie.share is not None:
        upper = draw < np.where(positive(table), tie.share.positive, tie.share.negative)
        return source.values(np.where(within, _to_half(u, upper), u))
    bound = within & (draw < abs(tie.strength))
    return source.values(np.where(bound, _to_half(u, positive(table) == (tie.strength > 0)), u))


def _to_half(u: Float[np.ndarray, "n"], upper: np.ndarray) -> Float[np.ndarray, "n"]:
    """Return each u in the half that is asked for, at the place that it had in its own: no more moves than must."""
    return u % 0.5 + 0.5 * upper


def _in_order(factors: Iterable[str], associations: Mapping[str, AssociationSpec]) -> list[str]:
    """Factor names, each after those that its `given` names."""
    names = list(factors)
    ordered: list[str] = []
    while len(ordered) < len(names):
        ready = [name for name in names if name not in ordered and _needs(name, associations) <= set(ordered)]
        if not ready:
            waiting = sorted(set(names) - set(ordered))
            unknown = sorted({need for name in waiting for need in _needs(name, associations)} - set(names))
            if unknown:
                raise SpecError(unknown_name("factor", unknown[0], names))
            raise SpecError(f"`given` is circular between the factors {', '.join(waiting)}: break it")
        ordered.extend(ready)
    return ordered


def _needs(name: str, associations: Mapping[str, AssociationSpec]) -> set[str]:
    return set(associations[name].given) if name in associations else set()
