"""Losses are computed in float32 whatever the network was computed in: bfloat16 has 8 bits for a difference of sums."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor


def widened(values: Tensor) -> Tensor:
    """float32 for half-precision values; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


@contextmanager
def without_autocast(device: torch.device) -> Generator[None]:
    """Matrix products inside keep the type of their arguments, also within an `autocast` region of the loop's."""
    with torch.autocast(device.type, enabled=False):
        yield
