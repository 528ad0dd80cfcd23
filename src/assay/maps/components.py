"""Connected components of a segmentation over all thresholds at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from assay.core.compiled import compiled

# A disjoint-set forest over pixels or runs of pixels, which knows how many pixels a component has.
#
# `parent` holds, of a root, minus its component's pixels, and of any other node its parent. Node 0 has a root of its
# own or is never seen, so that 0 is no parent of a seen node and can stand for "not seen".


@compiled
def root_of(parent: Int[np.ndarray, " m"], node: int) -> int:
    """Return the root of a node's component; paths are halved on the way."""
    while parent[node] > 0:
        above = parent[node]
        if parent[above] > 0:
            parent[node] = parent[above]
        node = above
    return node


@compiled
def unite(parent: Int[np.ndarray, " m"], a: int, b: int) -> tuple[int, int]:
    """Return the root that two roots have from now on, the larger component's, and the one that is a root no longer."""
    if parent[b] < parent[a]:
        a, b = b, a
    parent[a] += parent[b]
    parent[b] = a
    return a, b


# Pixels of a map from the greatest logit down, by a radix sort over the bits of float32.

DIGIT, PASSES = 11, 3
DIGIT_BUCKETS = 1 << DIGIT
GREATEST = 0x7FFFFFFF


@compiled
def rising(bits: int) -> int:
    """Map the bits of a float32, as a signed integer, to an integer in [-2^31, 2^31 - 1] of equal order; and back."""
    return bits if bits >= 0 else bits ^ GREATEST


@compiled
def descending(
    bits: Int[np.ndarray, "h w"], logits: Float[np.ndarray, "h w"], least: float, count: int
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return the `count` logits that are at least `least`, greatest first, and the position of each.

    A place is the index into the image with one pixel of margin on every side, [h + 2, w + 2], laid flat. Equal logits
    are in the order of their places; 0.0 precedes -0.0.
    """
    keys, places = np.empty((2, count), np.uint32), np.empty((2, count), np.int32)
    n = 0
    for row in range(logits.shape[0]):
        for column in range(logits.shape[1]):
            if logits[row, column] >= least:
                keys[0, n] = GREATEST - rising(bits[row, column])
                places[0, n] = (row + 1) * (logits.shape[1] + 2) + column + 1
                n += 1
    for digit in range(PASSES):
        source, target = digit % 2, (digit + 1) % 2
        _by_digit(keys[source], places[source], keys[target], places[target], DIGIT * digit)
    last = PASSES % 2
    sorted_bits = np.empty(count, np.int32)
    for k in range(count):
        sorted_bits[k] = rising(GREATEST - int(keys[last, k]))
    return sorted_bits.view(np.float32), places[last]


@compiled
def _by_digit(
    keys: UInt32[np.ndarray, " n"],
    places: Int[np.ndarray, " n"],
    sorted_keys: UInt32[np.ndarray, " n"],
    sorted_places: Int[np.ndarray, " n"],
    shift: int,
) -> None:
    """Order by one digit, keeping the order of equal ones."""
    next_of = np.zeros(DIGIT_BUCKETS + 1, np.int32)
    for k in range(len(keys)):
        next_of[((keys[k] >> shift) & (DIGIT_BUCKETS - 1)) + 1] += 1
    for bucket in range(DIGIT_BUCKETS):
        next_of[bucket + 1] += next_of[bucket]
    for k in range(len(keys)):
        bucket = (keys[k] >> shift) & (DIGIT_BUCKETS - 1)
        sorted_keys[next_of[bucket]] = keys[k]
        sorted_places[next_of[bucket]] = places[k]
        next_of[bucket] += 1


# A map as runs: neighbors in a row that the same thresholds predict, and which runs touch from one row to the next.
#
# Logits of networks change slowly, so a map has far fewer runs than pixels. In the worst case every pixel is a run.

SHIFT = 20
LEVEL_BUCKETS = 1 << (32 - SHIFT)


class Runs(NamedTuple):
    """The runs of one image, row by row, numbered from 1; arrays are longer than needed, and entry 0 is empty.

    Attributes:
        level: How many of the ascending thresholds are at most the logits.
        last: The last column.
        pixels, hit: How many pixels, and how many of them are lesion.
        first: The number of the first run of every row, and one past the last.
    """

    level: Int[np.ndarray, " r"]
    last: Int[np.ndarray, " r"]
    pixels: Int[np.ndarray, " r"]
    hit: Int[np.ndarray, " r"]
    first: Int[np.ndarray, " h+1"]


def level_table(thresholds: Float[np.ndarray, " t"]) -> Int[np.ndarray, " buckets"]:
    """For every start of a float32, its first 12 bits in rising order: how many thresholds its least value reaches.

    The few thresholds within the bucket are then tried one by one.
    """
    starts = (np.arange(LEVEL_BUCKETS, dtype=np.int64) - LEVEL_BUCKETS // 2) << SHIFT
    least = np.where(starts >= 0, starts, starts ^ GREATEST).astype(np.int32).view(np.float32)
    reached = np.searchsorted(thresholds, np.where(np.isnan(least), -np.inf, least), side="right")
    return reached.astype(np.int32)


def empty_runs(height: int, width: int) -> Runs:
    """Room for as many runs as an image can have."""
    return Runs(*(np.zeros(height * width + 1, np.int32) for _ in range(4)), first=np.zeros(height + 1, np.int32))


@compiled
def level_of(bits: int, logit: float, table: Int[np.ndarray, " buckets"], thresholds: Float[np.ndarray, " t"]) -> int:
    """How many thresholds a logit, given with its bits, is at least."""
    level = table[(rising(bits) >> SHIFT) + LEVEL_BUCKETS // 2]
    while level < len(thresholds) and logit >= thresholds[level]:
        level += 1
    return level


@compiled
def find_runs(
    bits: Int[np.ndarray, "h w"],
    logits: Float[np.ndarray, "h w"],
    lesion: Bool[np.ndarray, "h w"],
    table: Int[np.ndarray, " buckets"],
    thresholds: Float[np.ndarray, " t"],
    runs: Runs,
) -> None:
    """Write the runs of an image into `runs`."""
    height, width = logits.shape
    run = 1
    for row in range(height):
        runs.first[row] = run
        before, start, hit = level_of(bits[row, 0], logits[row, 0], table, thresholds), 0, 0
        for column in range(width):
            level = level_of(bits[row, column], logits[row, column], table, thresholds)
            if level != before:
                _note_run(runs, run, before, start, column, hit)
                run += 1
                before, start, hit = level, column, 0
            hit += int(lesion[row, column])
        _note_run(runs, run, before, start, width, hit)
        run += 1
    runs.first[height] = run


@compiled
def _note_run(runs: Runs, run: int, level: int, start: int, end: int, hit: int) -> None:
    runs.level[run], runs.last[run], runs.pixels[run], runs.hit[run] = level, end - 1, end - start, hit


@compiled
def find_contacts(runs: Runs, contacts: Int[np.ndarray, "3 c"]) -> int:
    """Write the pairs of runs that are 8-neighbors into `contacts`, and return how many there are.

    A pair is written with its level, the lower of the two runs'; pairs of level 0 are left out. So are those that other
    pairs join already at every threshold that predicts both: a run that reaches from one to the other along their rows.
    """
    level, last, count = runs.level, runs.last, 0
    for row in range(len(runs.first) - 1):
        for run in range(runs.first[row] + 1, runs.first[row + 1]):
            count = _note_contact(contacts, count, level, run - 1, run, 0)
        if row == 0:
            continue
        a, b, end = runs.first[row - 1], runs.first[row], runs.first[row + 1]
        count = _note_contact(contacts, count, level, a, b, 0)
        while b + 1 < end or a + 1 < runs.first[row]:
            if last[a] < last[b]:
                count = _note_contact(contacts, count, level, a + 1, b, int(level[a]))
                a += 1
            elif last[a] > last[b]:
                count = _note_contact(contacts, count, level, a, b + 1, int(level[b]))
                b += 1
            else:
                count = _note_contact(contacts, count, level, a + 1, b + 1, int(min(level[a], level[b])))
                count = _note_contact(contacts, count, level, a, b + 1, int(max(level[a + 1], level[b])))
                count = _note_contact(contacts, count, level, a + 1, b, int(max(level[a], level[b + 1])))
                a += 1
                b += 1
    return count


@compiled
def _note_contact(
    contacts: Int[np.ndarray, "3 c"], count: int, level: Int[np.ndarray, " r"], a: int, b: int, joined_up_to: int
) -> int:
    """Write a pair unless it is joined up to its level by others."""
    lower = min(level[a], level[b])
    if lower <= joined_up_to:
        return count
    contacts[0, count], contacts[1, count], contacts[2, count] = a, b, lower
    return count + 1


# Components of the predicted pixels at every threshold of the grid, in one pass instead of one for each.
#
# Components that stand at a threshold are those of a lower one cut apart; downwards they only grow and meet. So the
# runs of a map are joined from the highest threshold down, each pair at the highest that predicts both. This is how a
# max-tree is built (Najman and Couprie 2006). Components are 8-connected.

COUNTS = ("predicted", "hit", "components", "stray", "largest")
PREDICTED, HIT, COMPONENTS, FALSE_COMPONENTS, LARGEST = range(len(COUNTS))
MOST_CONTACTS = 3
"""Pairs per pixel: one in its row, one with the row above, and at most one at a corner."""


def count_components(
    logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], thresholds: Float[np.ndarray, " t"]
) -> Int[np.ndarray, "b t 5"]:
    """Compute `COUNTS` at every threshold (see docs/reference/maps.md). Logits and thresholds are float32."""
    counts = np.zeros((len(logits), len(thresholds), len(COUNTS)), np.int32)
    runs = empty_runs(*logits.shape[1:])
    contacts = np.empty((5, MOST_CONTACTS * logits[0].size), np.int32)
    table = level_table(thresholds)
    _count_components(logits.view(np.int32), logits, lesion, table, thresholds, runs, contacts, counts)
    return counts


@compiled
def _count_components(
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
        contact_count = find_contacts(runs, contacts[:3])
        starts = _order_by_level(contacts[:3], contact_count, contacts[3:], len(thresholds))
        _join_downwards(runs, contacts[3:], starts, counts[i])


@compiled
def _count_runs(runs: Runs, counts: Int[np.ndarray, "t 5"]) -> None:
    """Count as if no two runs touched."""
    for run in range(1, runs.first[-1]):
        if runs.level[run] > 0:
            at = counts[runs.level[run] - 1]
            at[PREDICTED] += runs.pixels[run]
            at[HIT] += runs.hit[run]
            at[COMPONENTS] += 1
            at[FALSE_COMPONENTS] += runs.hit[run] == 0
            at[LARGEST] = max(at[LARGEST], runs.pixels[run])
    for threshold in range(len(counts) - 2, -1, -1):
        for name in (PREDICTED, HIT, COMPONENTS, FALSE_COMPONENTS):
            counts[threshold, name] += counts[threshold + 1, name]
        counts[threshold, LARGEST] = max(counts[threshold, LARGEST], counts[threshold + 1, LARGEST])


@compiled
def _order_by_level(
    contacts: Int[np.ndarray, "3 c"], contact_count: int, pairs: Int[np.ndarray, "2 c"], thresholds: int
) -> Int[np.ndarray, " t+1"]:
    """Write the pairs of the contacts in the order of their levels, ascending.

    Returns:
        Where the pairs of each threshold start, and after the last where they end.
    """
    starts = np.zeros(thresholds + 1, np.int32)
    for k in range(contact_count):
        starts[contacts[2, k]] += 1
    for threshold in range(thresholds):
        starts[threshold + 1] += starts[threshold]
    for k in range(contact_count):
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
    """Correct the counts of separate runs for joins."""
    parent, hit = -runs.pixels[: runs.first[-1]], runs.hit
    met, cleared, largest = 0, 0, 0
    for threshold in range(len(counts) - 1, -1, -1):
        for k in range(starts[threshold], starts[threshold + 1]):
            a, b = root_of(parent, pairs[0, k]), root_of(parent, pairs[1, k])
            if a != b:
                cleared += hit[a] == 0 or hit[b] == 0
                met += 1
                root, other = unite(parent, a, b)
                hit[root] += hit[other]
                largest = max(largest, -parent[root])
        counts[threshold, COMPONENTS] -= met
        counts[threshold, FALSE_COMPONENTS] -= cleared
        counts[threshold, LARGEST] = max(counts[threshold, LARGEST], largest)
