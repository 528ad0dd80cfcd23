"""Where compiled loops take the place of operations on whole arrays."""

from __future__ import annotations

from torch import Tensor


def at_hand(*tensors: Tensor) -> bool:
    """Whether these lie on a processor and no gradient is asked for: loops over their pixels can then be used."""
    return all(tensor.device.type == "cpu" and not tensor.requires_grad for tensor in tensors)
