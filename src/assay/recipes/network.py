"""What the training loop and the probes need of a classification network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network says about a batch: pooled features and logits (per class, or per class and pixel)."""

    features: Float[Tensor, "b d"]
    logits: Float[Tensor, "b k *hw"]


@runtime_checkable
class Network(Protocol):
    """A `torch.nn.Module` with these additions. `forward` takes float32 images in [0, 1]; scaling is its own affair.

    width: number of pooled features. head: the linear layer that turns features into logits.
    layers: dotted names of the modules that probes read, from shallow to deep, the last being the pooled features.
    """

    width: int
    head: nn.Linear
    layers: tuple[str, ...]

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        ...
