"""Components of the predicted pixels at every threshold of the grid, in one pass instead of one for each.

Components that stand at a threshold are those of a lower one cut apart; downwards they only grow and meet. So the runs
of a map are joined from the highest threshold down, each pair at the highest that predicts both. This is how a max-tree
is built (Najman and Couprie 2006). Components are 8-connected.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.compiled import compiled
from assay.maps.forest import joined, root_of
from assay.maps.runs import Runs, empty_runs, find_contacts, find_runs, level_table

COUNTS = ("predicted", "hit", "components", "stray", "largest")
PREDICTED, HIT, COMPONENTS, STRAY, LARGEST = range(len(COUNTS))
MOST_CONTACTS = 3
"""Pairs per pixel: one in its row, one with the row above, and at most one at a corner."""


def count_components(
    logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], thresholds: Float[np.ndarray, " t"]
) -> Int[np.ndarray, "b t 5"]:
    """`COUNTS` at every threshold; docs/reference/maps.md says what each is. Logits and thresholds are float32."""
    counts = np.zeros((len(logits), len(thresholds), len(COUNTS)), np.int32)
    runs = empty_runs(*logits.shape[1:])
    contacts = np.empty((5, MOST_CONTACTS * logits[0].size), np.int32)
    table = level_table(thresholds)
    _count_all(logits.view(np.int32), logits, lesion, table, thresholds, runs, contacts, counts)
    return counts


@compiled
def _count_all(
    bits: Int[np.ndarray, "b h w"],
    logits: Float[np.ndarray, "b h w"],
    lesion: Bool[np.ndarray, "b h w"],
    table: Int[np.ndarray, " buckets"],
    thresholds: Float[np.ndarray, " t"],
    runs: Runs,
    contacts: Int[np.ndarray, "5 c"],
    counts: Int[np.ndarray, "b t 5"],
) -> None:
    for i in range(len(logits)):
        find_runs(bits[i], logits[i], lesion[i], table, thresholds, runs)
        _count_runs(runs, counts[i])
        found = find_contacts(runs, contacts[:3])
        starts = _order_by_level(contacts[:3], found, contacts[3:], len(thresholds))
        _join_downwards(runs, contacts[3:], starts, counts[i])


@compiled
def _count_runs(runs: Runs, counts: Int[np.ndarray, "t 5"]) -> None:
    """What would be counted if no two runs touched."""
    for run in range(1, runs.first[-1]):
        if runs.level[run] > 0:
            at = counts[runs.level[run] - 1]
            at[PREDICTED] += runs.pixels[run]
            at[HIT] += runs.hit[run]
            at[COMPONENTS] += 1
            at[STRAY] += runs.hit[run] == 0
            at[LARGEST] = max(at[LARGEST], runs.pixels[run])
    for threshold in range(len(counts) - 2, -1, -1):
        for name in (PREDICTED, HIT, COMPONENTS, STRAY):
            counts[threshold, name] += counts[threshold + 1, name]
        counts[threshold, LARGEST] = max(counts[threshold, LARGEST], counts[threshold + 1, LARGEST])


@compiled
def _order_by_level(
    contacts: Int[np.ndarray, "3 c"], found: int, pairs: Int[np.ndarray, "2 c"], thresholds: int
) -> Int[np.ndarray, " t+1"]:
    """Write the pairs of the contacts in the order of their levels, ascending.

    Returns where the pairs of each threshold start, and after the last where they end.
    """
    starts = np.zeros(thresholds + 1, np.int32)
    for k in range(found):
        starts[contacts[2, k]] += 1
    for threshold in range(thresholds):
        starts[threshold + 1] += starts[threshold]
    for k in range(found):
        to = starts[contacts[2, k] - 1]
        pairs[0, to], pairs[1, to] = contacts[0, k], contacts[1, k]
        starts[contacts[2, k] - 1] += 1
    for threshold in range(thresholds, 0, -1):
        starts[threshold] = starts[threshold - 1]
    starts[0] = 0
    return starts


@compiled
def _join_downwards(
    runs: Runs, pairs: Int[np.ndarray, "2 c"], starts: Int[np.ndarray, " t+1"], counts: Int[np.ndarray, "t 5"]
) -> None:
    """Take from the counts of separate runs what joining them changes."""
    parent, hit = -runs.pixels[: runs.first[-1]], runs.hit
    met, cleared, largest = 0, 0, 0
    for threshold in range(len(counts) - 1, -1, -1):
        for k in range(starts[threshold], starts[threshold + 1]):
            a, b = root_of(parent, pairs[0, k]), root_of(parent, pairs[1, k])
            if a != b:
                cleared += hit[a] == 0 or hit[b] == 0
                met += 1
                root, other = joined(parent, a, b)
                hit[root] += hit[other]
                largest = max(largest, -parent[root])
        counts[threshold, COMPONENTS] -= met
        counts[threshold, STRAY] -= cleared
        counts[threshold, LARGEST] = max(counts[threshold, LARGEST], largest)
