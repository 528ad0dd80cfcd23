"""Marks from rows: an estimate with the seeds that it is the mean of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.report.marks import Mark
from assay.report.outline import Outline
from assay.report.tables import Tables, numeric, whole
from assay.store.files import Row

PLACE = ("recipe", "measure", "environment", "factor", "level", "layer", "group")


@dataclass(frozen=True)
class Evidence:
    """The tables with an index of seeds."""

    tables: Tables
    outline: Outline

    @cached_property
    def _seeds(self) -> dict[tuple[str, ...], list[tuple[int, float]]]:
        found: dict[tuple[str, ...], list[tuple[int, float]]] = {}
        for row in self.tables.seeds:
            place = tuple(row[name] for name in PLACE)
            found.setdefault(place, []).append((whole(row, "seed"), numeric(row, "value")))
        return found

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
            place = tuple(row[name] for name in PLACE)
            yield Mark(
                self.outline.level(row),
                numeric(row, "value"),
                numeric(row, "low"),
                numeric(row, "high"),
                tuple(self._seeds.get(place, ())),
                along(row),
                row["reason"],
            )
