"""Where compiled loops take the place of operations on whole arrays."""

from __future__ import annotations

import torch
from torch import Tensor


def at_hand(*tensors: Tensor) -> bool:
    """Whether these lie on a processor, of a type that loops are compiled for, and no gradient is asked for."""
    return all(
        tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.int32) and not tensor.requires_grad
        for tensor in tensors
    )
