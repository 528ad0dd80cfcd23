"""A map as runs: neighbours in a row that the same thresholds predict, and which runs touch from one row to the next.

Logits of networks change slowly, so a map has far fewer runs than pixels. In the worst case every pixel is a run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.compiled import compiled
from assay.maps.order import GREATEST, rising

SHIFT = 20
BUCKETS = 1 << (32 - SHIFT)


class Runs(NamedTuple):
    """The runs of one image, row by row, numbered from 1; arrays are longer than needed, and entry 0 is empty.

    level: how many of the ascending thresholds are at most the logits. last: the last column. pixels, hit: how many
    pixels, and how many of them are lesion. first: the number of the first run of every row, and one past the last.
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
    starts = (np.arange(BUCKETS, dtype=np.int64) - BUCKETS // 2) << SHIFT
    least = np.where(starts >= 0, starts, starts ^ GREATEST).astype(np.int32).view(np.float32)
    reached = np.searchsorted(thresholds, np.where(np.isnan(least), -np.inf, least), side="right")
    return reached.astype(np.int32)


def empty_runs(height: int, width: int) -> Runs:
    """Room for as many runs as an image can have."""
    return Runs(*(np.zeros(height * width + 1, np.int32) for _ in range(4)), first=np.zeros(height + 1, np.int32))


@compiled
def level_of(bits: int, logit: float, table: Int[np.ndarray, " buckets"], thresholds: Float[np.ndarray, " t"]) -> int:
    """How many thresholds a logit, given with its bits, is at least."""
    level = table[(rising(bits) >> SHIFT) + BUCKETS // 2]
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
    """Write the pairs of runs that are 8-neighbours into `contacts`, and return how many there are.

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
