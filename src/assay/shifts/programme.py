"""The one linear programme of this package, behind plain arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linprog

_EVENNESS = 0.01


def maximise(
    capacity: Float[np.ndarray, "cells"], balance: Float[np.ndarray, "equations cells"]
) -> Float[np.ndarray, "cells"]:
    """The largest total of 0 <= mass <= capacity with balance @ mass = 0.

    Among near-equal totals the one in which the most thinned cell is thinned least: an amount t with
    mass >= t x capacity is rewarded by 1 % of what it adds. Always solvable, since mass 0 is balanced.
    """
    open_cells = np.flatnonzero(capacity > 0)
    out = np.zeros(len(capacity))
    if not len(open_cells):
        return out
    limit = capacity[open_cells]
    n = len(open_cells)
    even = np.hstack([-np.eye(n), limit[:, None]])
    solution = linprog(
        np.append(-np.ones(n), -_EVENNESS * limit.sum()),
        A_ub=even,
        b_ub=np.zeros(n),
        A_eq=np.hstack([balance[:, open_cells], np.zeros((len(balance), 1))]),
        b_eq=np.zeros(len(balance)),
        bounds=[*((0.0, float(most)) for most in limit), (0.0, 1.0)],
        method="highs",
    )
    if solution.x is None:
        raise RuntimeError(f"the choice of rows found no solution: {solution.message}")
    out[open_cells] = np.clip(np.asarray(solution.x, dtype=np.float64)[:-1], 0.0, limit)
    return out
