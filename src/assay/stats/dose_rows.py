"""Whether a dose-response changes the number of training rows with the dose, so that both act at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from assay.stats.format import in_words
from assay.stats.rows import CONFOUNDER


def uneven_rows(trained: Iterable[tuple[Mapping[str, str], int]], axis: str) -> str:
    """What to doubt, in words, where training rows differ along the doses; empty where they do not.

    trained: where each training environment lies on the axes of the study, and its rows. axis: that of the doses.
    """
    counts: dict[tuple[tuple[str, str], ...], dict[str, int]] = {}
    for coordinates, rows in trained:
        if axis in coordinates:
            rest = tuple(sorted(item for item in coordinates.items() if item[0] != axis))
            counts.setdefault(rest, {})[coordinates[axis]] = rows
    uneven = {rest: found for rest, found in counts.items() if len(set(found.values())) > 1}
    if not uneven:
        return ""
    rest, found = max(uneven.items(), key=lambda item: max(item[1].values()) / max(1, min(item[1].values())))
    most, fewest = max(found, key=lambda p: found[p]), min(found, key=lambda p: found[p])
    of = f" of {in_words(dict(rest)[CONFOUNDER])}" if CONFOUNDER in dict(rest) else ""
    least = min(min(rows.values()) for rows in counts.values())
    return (
        f"training rows differ over the doses{of}: {found[most]} at p = {most}, {found[fewest]} at p = {fewest}, so "
        f"that fewer rows may do what p seems to; `rows: {least}` in environments.train makes them equal"
    )
