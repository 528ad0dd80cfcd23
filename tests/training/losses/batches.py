"""Random batches in float64 for comparing a loss with another implementation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from assay.plugin import LossContext, build

quickly = settings(max_examples=40, deadline=None)  # the first call of torch takes seconds


@dataclass(frozen=True)
class Example:
    """Embeddings (or logits) [b, d] and targets [b]."""

    z: Tensor
    y: Tensor

    @property
    def rows(self) -> list[list[float]]:
        return self.z.tolist()

    @property
    def labels(self) -> list[int]:
        return self.y.tolist()


@st.composite
def examples(draw: st.DrawFn, rows: int = 9, classes: int = 4, dimensions: tuple[int, int] = (2, 5)) -> Example:
    """2 to `rows` normal embeddings of up to `classes` classes: single classes and lone images are among them."""
    draws = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    size = (draw(st.integers(2, rows)), draw(st.integers(*dimensions)))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=size[0], max_size=size[0]))
    return Example(torch.randn(size, generator=draws, dtype=torch.float64), torch.tensor(labels))


def rotation(dimensions: int) -> Tensor:
    """An orthogonal matrix."""
    draws = torch.Generator().manual_seed(5)
    return torch.linalg.qr(torch.randn(dimensions, dimensions, generator=draws, dtype=torch.float64)).Q


def criterion(loss: str, width: int = 6, classes: int = 2, **params: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """What an embedding loss computes of embeddings and targets."""
    objective = build("loss", loss, params, LossContext(width, classes, (10,) * classes))
    return cast("Callable[[Tensor, Tensor], Tensor]", objective.criterion)
