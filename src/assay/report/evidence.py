"""Marks from rows: an estimate with the seeds that it is the mean of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.report.marks import Mark
from assay.report.outline import Outline
from assay.report.tables import Tables, numeric, whole
from assay.store.files import Row

Place = tuple[str, str, str, str, str, str]


def place_of(row: Row) -> Place:
    """What, beside the recipe, tells one estimate from another."""
    return row["measure"], row["environment"], row["factor"], row["level"], row["layer"], row["group"]


@dataclass(frozen=True)
class Evidence:
    """The tables with indices of seeds and measures."""

    tables: Tables
    outline: Outline

    @cached_property
    def _of_recipe(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self.tables.seeds:
            found.setdefault(row["recipe"], []).append(row)
        return found

    @cached_property
    def _indexed(self) -> dict[str, dict[Place, list[tuple[int, float]]]]:
        return {}

    def _seeds(self, row: Row) -> tuple[tuple[int, float], ...]:
        """(seed, value) of an estimate. Recipes are indexed as they are met: figures show few of hundreds."""
        recipe = row["recipe"]
        if recipe not in self._indexed:
            index: dict[Place, list[tuple[int, float]]] = {}
            for own in self._of_recipe.get(recipe, ()):
                index.setdefault(place_of(own), []).append((whole(own, "seed"), numeric(own, "value")))
            self._indexed[recipe] = index
        return tuple(self._indexed[recipe].get(place_of(row), ()))

    def estimates(self, measure: str, keep: Callable[[Row], bool]) -> list[Row]:
        """Estimates of a measure that satisfy a condition."""
        return [row for row in self._by_measure.get(measure, []) if keep(row)]

    @cached_property
    def _by_measure(self) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for row in self.tables.estimates:
            found.setdefault(row["measure"], []).append(row)
        return found

    def marks(self, rows: Sequence[Row], along: Callable[[Row], str] = lambda _: "") -> Iterator[Mark]:
        """One mark per estimate; `along` says where it stands on a curve's axis."""
        for row in rows:
            yield Mark(
                self.outline.level(row),
                numeric(row, "value"),
                numeric(row, "low"),
                numeric(row, "high"),
                self._seeds(row),
                along(row),
                row["reason"],
            )
