"""The points at which a variance-based sensitivity analysis looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def saltelli(samples: int, inputs: Sequence[Sequence[int]], seed: int) -> Float[np.ndarray, "rows columns"]:
    """A Saltelli design on the unit cube: A, B, then per input i AB_i, which is A with the columns of i from B.

    samples: rows of A, at least 1, best a power of two. inputs: the columns of each input; together they are
    0 .. columns - 1. Returns [(len(inputs) + 2) * samples, columns] in [0, 1). A and B are the two halves of the
    columns of one scrambled Sobol' sequence (Saltelli et al. 2010, Owen 1998).
    """
    from scipy.stats import qmc  # here, since importing it takes a second that planning a study need not wait for

    columns = sum(len(members) for members in inputs)
    sequence = qmc.Sobol(2 * columns, scramble=True, rng=np.random.default_rng(seed))
    # The whole power of two is drawn and then cut: SciPy warns where balance is lost, and the caller knows.
    points = sequence.random_base2(max(0, int(samples - 1).bit_length()))[:samples]
    a, b = points[:, :columns], points[:, columns:]
    blocks = [a, b]
    for members in inputs:
        mixed = a.copy()
        mixed[:, list(members)] = b[:, list(members)]
        blocks.append(mixed)
    return np.minimum(np.concatenate(blocks), np.nextafter(1.0, 0.0))
