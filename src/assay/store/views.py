"""Tables that are made of others when they are read, under the names that users know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, groupby
from typing import Any

from assay.store.files import ColumnRows, Row
from assay.store.schema import SEEDS


class SeedValues:
    """Values of each seed, by the id of their estimate.

    Args:
        values: Rows of `schema.VALUES`, those of an estimate one after another.
    """

    def __init__(self, values: ColumnRows) -> None:
        self._seeds, self._values = values.columns["seed"], values.columns["value"]
        counts = [(id, len(list(group))) for id, group in groupby(values.columns["id"])]
        ends = accumulate(count for _, count in counts)
        self._ends = {id: (end - count, end) for (id, count), end in zip(counts, ends, strict=True)}

    def of(self, id: str) -> Iterator[tuple[int, float]]:
        """Yield (seed, value) of an estimate; nothing of one that has no seeds."""
        start, end = self._ends.get(id, (0, 0))
        return zip(self._seeds[start:end], self._values[start:end], strict=True)

    def rows(self, estimates: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
        """Yield a row per estimate and seed."""
        for row in estimates:
            for seed, value in self.of(row["id"]):
                yield {**row, "seed": seed, "value": value}


def seeds(estimates: ColumnRows, values: ColumnRows) -> ColumnRows:
    """Return rows of `schema.SEEDS`."""
    rows_by_id = {id: row for row, id in enumerate(estimates.columns["id"])}
    row_of_value = [rows_by_id[id] for id in values.columns["id"]]
    shared = {name: estimates.columns[name] for name in SEEDS.names if name not in values.columns}
    columns_of_seed = {name: [column[row] for row in row_of_value] for name, column in shared.items()}
    return ColumnRows(
        {name: columns_of_seed[name] if name in columns_of_seed else values.columns[name] for name in SEEDS.names}
    )


VIEWS: Mapping[str, Callable[..., ColumnRows]] = {"seeds": seeds}
"""Table without a file -> what makes it of its parts."""
