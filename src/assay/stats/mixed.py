"""Recognize a column of scores in which some rows have probabilities and others log-odds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.core.errors import SpecError, key_text

_INSIDE, _FAR = 0.2, 0.1
"""Share of the scores from 0 to 1, and share far beyond, from which they may be of two scales."""
_DISTANCE, _SIDE = 1.0, 0.05
"""Distance from 0 and 1 that is far, and the share of scores that are far on a side whose edge counts."""
_EDGE, _LEAST, _TIMES = 0.1, 20, 4
"""Width of both sides of an edge, and how many more scores are within than outside: log-odds pass it evenly."""
_RUN, _OF_RUNS, _FEW = 12, 0.2, 0.4
"""Rows of a run from 0 to 1, the share of such rows, and the share of the other rows from 0 to 1 at most."""
_ASCENTS = (0.2, 0.8)
"""Shares of ascents in a run between which its rows are not sorted by score."""
_SMALLER = 3.0
"""Times that steps from row to row are larger in the rest than in runs: a sigmoid is at most a fourth as steep."""


def require_one_scale(scores: Float[np.ndarray, "*n"], subject: str) -> None:
    """Raise SpecError where some scores seem to be probabilities and the others log-odds.

    Args:
        scores: All scores, in the order of their rows.
        subject: The scores as error messages name them.
    """
    if count := mixed_scores(np.ravel(scores)):
        raise SpecError(
            f"{count:,} of {np.size(scores):,} of {subject} are from 0 to 1, as probabilities, and the others go far "
            f"beyond, as log-odds: write all in one way, or give {key_text('--scores', 'logits')} if all are log-odds"
        )


def mixed_scores(scores: Float[np.ndarray, " n"]) -> int:
    """Return how many scores seem to be probabilities among log-odds, in the order of their rows; 0 where none does.

    Log-odds pass 0 and 1 evenly, and no probability does. Or rows come in runs, as batches do, all from 0 to 1 in the
    one and mostly beyond in the other.

    Examples:
        >>> odds = np.random.default_rng(0).normal(0, 3, 400)
        >>> mixed_scores(odds)
        0
        >>> mixed_scores(np.where(np.arange(400) // 16 % 2, odds, 1 / (1 + np.exp(-odds)))) > 200
        True
    """
    values = np.asarray(scores, dtype=np.float64)
    inside = (values >= 0) & (values <= 1)
    below, above = values < -_DISTANCE, values > 1 + _DISTANCE
    if inside.mean() < _INSIDE or (below | above).mean() < _FAR:
        return 0
    return int(inside.sum()) if _stops_at_edges(values, below, above) or _comes_in_runs(values, inside) else 0


def _stops_at_edges(values: np.ndarray, below: np.ndarray, above: np.ndarray) -> bool:
    """Return whether far more different scores are just within 0 and 1 than just beyond."""
    distinct, count_in, count_out = np.unique(values), 0, 0
    for inward, far in ((distinct, below), (1 - distinct, above)):
        if far.mean() >= _SIDE:
            count_in += int(((inward > 0) & (inward < _EDGE)).sum())
            count_out += int(((inward < 0) & (inward > -_EDGE)).sum())
    return count_in >= _LEAST + _TIMES * count_out


def _comes_in_runs(values: np.ndarray, inside: np.ndarray) -> bool:
    """Return whether several runs of rows are from 0 to 1, without an order, and few other rows are."""
    ends = np.flatnonzero(np.diff(inside)) + 1
    runs = [run for run in np.split(np.arange(len(values)), ends) if inside[run[0]] and len(run) >= _RUN]
    least, most = _ASCENTS
    runs = [run for run in runs if least < (np.diff(values[run]) > 0).mean() < most]
    rest = np.ones(len(values), dtype=np.bool_)
    for run in runs:
        rest[run] = False
    far = float((np.abs(values[rest] - 0.5) > 0.5 + _DISTANCE).mean()) if rest.any() else 0.0
    if len(runs) < 2 or (~rest).mean() < _OF_RUNS or inside[rest].mean() > _FEW or far < _INSIDE:
        return False
    # Rows of one patient are alike, and may all lie from 0 to 1: their steps are then as large as those of the rest.
    steps, between = np.abs(np.diff(values)), rest[1:] == rest[:-1]
    steps_of_rest = steps[between & rest[1:]]
    return len(steps_of_rest) > 0 and np.median(steps_of_rest) >= _SMALLER * np.median(steps[between & ~rest[1:]])
