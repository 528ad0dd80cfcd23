"""The very logit at which a component first has a given area, and the mean of the greatest logits.

The counts on the grid tell between which two thresholds a component comes to an area. Only the pixels above the lower
of them are sorted, and added one by one from the greatest logit down until every area is reached.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from assay.core.compiled import compiled
from assay.maps.components import LARGEST, PREDICTED
from assay.maps.forest import joined, root_of
from assay.maps.order import descending


class Exact(NamedTuple):
    """What is exact at every threshold; see docs/reference/maps.md for each."""

    area_score: Float[np.ndarray, "b a"]
    top_mean: Float[np.ndarray, " b"]


def exact_scores(
    logits: Float[np.ndarray, "b h w"],
    counts: Int[np.ndarray, "b t 5"],
    thresholds: Float[np.ndarray, " t"],
    smallest: Int[np.ndarray, " a"],
    top: int,
) -> Exact:
    """Scores of areas of so many pixels, ascending, and the mean of the `top` greatest logits.

    counts: of `count_components` at these thresholds.
    """
    found = Exact(np.full((len(logits), len(smallest)), -np.inf, np.float32), np.empty(len(logits)))
    _find_all(logits.view(np.int32), logits, counts, thresholds, smallest, top, found)
    return found


@compiled
def _find_all(
    bits: Int[np.ndarray, "b h w"],
    logits: Float[np.ndarray, "b h w"],
    counts: Int[np.ndarray, "b t 5"],
    thresholds: Float[np.ndarray, " t"],
    smallest: Int[np.ndarray, " a"],
    top: int,
    found: Exact,
) -> None:
    for i in range(len(logits)):
        least, count = -np.inf, logits[i].size
        for threshold in range(len(thresholds)):
            enough = counts[i, threshold, LARGEST] >= smallest[-1] and counts[i, threshold, PREDICTED] >= top
            if enough:
                least, count = thresholds[threshold], counts[i, threshold, PREDICTED]
        values, places = descending(bits[i], logits[i], least, count)
        found.top_mean[i] = _mean(values, top)
        _reach_areas(values, places, logits.shape[1:], smallest, found.area_score[i])


@compiled
def _mean(values: Float[np.ndarray, " n"], first: int) -> float:
    total = 0.0
    for k in range(first):
        total += values[k]
    return total / first


@compiled
def _reach_areas(
    values: Float[np.ndarray, " n"],
    places: Int[np.ndarray, " n"],
    shape: tuple[int, int],
    smallest: Int[np.ndarray, " a"],
    area_score: Float[np.ndarray, " a"],
) -> None:
    """Add pixels in the order given; the value at which each area is reached."""
    row = shape[1] + 2
    parent = np.zeros((shape[0] + 2) * row, np.int32)
    reached = 0
    for k in range(len(values)):
        parent[places[k]] = -1
        largest = -parent[_join_neighbours(parent, places[k], row)]
        while reached < len(smallest) and largest >= smallest[reached]:
            area_score[reached] = values[k]
            reached += 1
        if reached == len(smallest):
            break


@compiled
def _join_neighbours(parent: Int[np.ndarray, " m"], place: int, row: int) -> int:
    """The root of a new pixel once it is joined with those of its 8 neighbours that were added before.

    A neighbour at a corner is looked at only where none at an edge lies beside it: it would be of that one's component.
    """
    above, below = parent[place - row] != 0, parent[place + row] != 0
    left, right = parent[place - 1] != 0, parent[place + 1] != 0
    root = place
    if above:
        root = _join(parent, root, place - row)
    if below:
        root = _join(parent, root, place + row)
    if left:
        root = _join(parent, root, place - 1)
    if right:
        root = _join(parent, root, place + 1)
    if not (above or left):
        root = _join(parent, root, place - row - 1)
    if not (above or right):
        root = _join(parent, root, place - row + 1)
    if not (below or left):
        root = _join(parent, root, place + row - 1)
    if not (below or right):
        root = _join(parent, root, place + row + 1)
    return root


@compiled
def _join(parent: Int[np.ndarray, " m"], root: int, neighbour: int) -> int:
    if parent[neighbour] == 0:
        return root
    other = root_of(parent, neighbour)
    return root if other == root else joined(parent, root, other)[0]
