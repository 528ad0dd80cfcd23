"""A training step captured as a CUDA graph: one launch, fed from tables on the card that hold the next steps' draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from assay.models.untyped import tensor_of
from assay.training.feed import copy_to

BLOCK = 64
"""Steps whose draws are copied to the card at once, while it works on the steps before."""


class DeviceBuffers:
    """Values on the device, by name, that the next steps take from the host."""

    def __init__(self, example: Mapping[str, np.ndarray], device: torch.device) -> None:
        tensors = {key: tensor_of(np.ascontiguousarray(values)) for key, values in example.items()}
        self._of = {key: tensor.new_zeros((BLOCK, *tensor.shape), device=device) for key, tensor in tensors.items()}
        self._place = torch.zeros(1, dtype=torch.int64, device=device)

    def fill(self, steps: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Hold these steps, at most `BLOCK`, the first of which is the next."""
        for key, table in self._of.items():
            table[: len(steps)] = copy_to(table.device, tensor_of(np.stack([step[key] for step in steps])))
        self._place.zero_()

    def take(self) -> dict[str, Tensor]:
        """Return those of the next step, and go on to the one after it."""
        current = {key: table.index_select(0, self._place)[0] for key, table in self._of.items()}
        self._place += 1
        return current


def capture(step: Callable[[], None]) -> Callable[[], None] | None:
    """Capture a step as a CUDA graph, without taking it.

    Args:
        step: Asks the device for the same work each time and waits for nothing. Tensors that it reads and writes stay
            where they are.

    Returns:
        A function that repeats the step on the current stream; None where it cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            step()
    except RuntimeError:
        return None
    return graph.replay
