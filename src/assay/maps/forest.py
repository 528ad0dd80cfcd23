"""A disjoint-set forest over pixels or runs of pixels, which knows how many pixels a component has.

`parent` holds, of a root, minus its component's pixels, and of any other node its parent. Node 0 has a root of its own
or is never seen, so that 0 is no parent of a seen node and can stand for "not seen".
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from assay.core.compiled import compiled


@compiled
def root_of(parent: Int[np.ndarray, " m"], node: int) -> int:
    """The root of a node's component; paths are halved on the way."""
    while parent[node] > 0:
        above = parent[node]
        if parent[above] > 0:
            parent[node] = parent[above]
        node = above
    return node


@compiled
def joined(parent: Int[np.ndarray, " m"], a: int, b: int) -> tuple[int, int]:
    """The root that two roots have from now on, the larger component's, and the one that is a root no longer."""
    if parent[b] < parent[a]:
        a, b = b, a
    parent[a] += parent[b]
    parent[b] = a
    return a, b
