"""Which rows get an intervention: by a share, by a share per class, or by an association with the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.environment_spec import AssociationSpec, EnvironmentSpec, InterventionSpec
from assay.core.errors import SpecError, UnfitError, unknown_name
from assay.core.registry import build
from assay.core.seeds import row_uniform
from assay.core.types import FactorTable
from assay.shifts.association import positive
from assay.shifts.conditions import satisfies
from assay.shifts.intervention import Drawn, Intervention, draw, mark_factor

SIDES = {"positive", "negative"}
"""In the place of class names: the last class, and all others."""


def marked_rows(
    name: str, spec: InterventionSpec, tie: AssociationSpec | None, table: FactorTable, seed: int
) -> Bool[np.ndarray, "n"]:
    """Which rows of the table get the intervention `name`.

    Of a class, its share of the rows is marked, to the nearest whole row: those with the smallest named draws, so the
    rows marked at one share are among those marked at a higher one. Tied at strength s, the shares are (1 + s) / 2 in
    the last class and (1 - s) / 2 in the others, which gives Somers' D = s at half of the rows; rows outside the
    association's `given` get .5.
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
    """The `count` smallest, of equal ones the first: what a stable sort puts first, in a fraction of its time."""
    if count == 0:
        return np.zeros(len(draws), dtype=bool)
    last = np.partition(draws, count - 1)[count - 1]
    smallest = draws < last
    smallest[np.flatnonzero(draws == last)[: count - smallest.sum()]] = True
    return smallest


def drawn(
    environment: EnvironmentSpec,
    table: FactorTable,
    seed: int,
    shape: tuple[int, int, int],
    boxes: Int[np.ndarray, "n 4"] | None = None,
) -> tuple[tuple[Drawn, ...], FactorTable]:
    """Every intervention of an environment, in alphabetical order of their names, and the table with a column for each.

    They are put on in this order; the one in which they are written decides nothing. shape: (channels, height, width)
    of the squares; boxes: where each row's picture lies in its own, None where it fills it.

    Raises SpecError when an intervention has the name of a factor, UnfitError with all that do not fit the images.
    """
    changes: list[Drawn] = []
    refused: dict[str, tuple[Mapping[str, Any], str]] = {}
    for name, spec in sorted(environment.interventions.items()):
        if any(factor.name == name for factor in table.factors):
            raise SpecError(f"intervention '{name}' has the name of a factor: give it another")
        if name in environment.association and environment.association[name].high:
            raise SpecError(f"'{name}' is an intervention, with it being high: leave out `high`")
        marked = marked_rows(name, spec, environment.association.get(name), table, seed)
        try:
            changes.append(change(name, spec, marked, table.row, seed, shape, boxes))
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
) -> Drawn:
    """The intervention of a spec, drawn for these rows. Raises SpecError as `draw` does."""
    intervention: Intervention = build("intervention", spec.component.name, spec.component.params)
    return draw(name, intervention, marked, rows, seed, shape, boxes)


def _shares(name: str, spec: InterventionSpec, table: FactorTable) -> Float[np.ndarray, "n"]:
    if not isinstance(spec.share, Mapping):
        return np.full(len(table), float(spec.share))
    if set(spec.share) == SIDES:
        return np.where(positive(table), spec.share["positive"], spec.share["negative"])
    for given in spec.share:
        if given not in table.classes:
            raise SpecError(unknown_name(f"class in the share of '{name}'", given, table.classes))
    missing = [known for known in table.classes if known not in spec.share]
    if missing:
        raise SpecError(f"the share of '{name}' lacks the class {', '.join(missing)}: give one share per class")
    return np.array([spec.share[known] for known in table.classes])[table.target]


def _tied_share(tie: AssociationSpec, table: FactorTable) -> Float[np.ndarray, "n"]:
    sign = np.where(positive(table), 1.0, -1.0)
    return np.where(satisfies(table, tie.given), (1 + sign * tie.strength) / 2, 0.5)
