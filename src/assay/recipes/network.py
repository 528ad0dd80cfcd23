"""What the training loop and the probes need of a network."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol, Self, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a network says about a batch: pooled features and logits (per class, or per class and pixel).

    auxiliary: the same logits from further heads, which training looks at too (deep supervision); the loss of each
    counts `auxiliary_weight` beside the 1 of the main one's.
    """

    features: Float[Tensor, "b d"]
    logits: Float[Tensor, "b k *hw"]
    auxiliary: tuple[Float[Tensor, "b k *hw"], ...] = ()
    auxiliary_weight: float = 1.0

    def constant(self) -> Self:
        """The same, were every image the mean of the batch to the network."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        means = {name: _mean(value) for name, value in found.items() if isinstance(value, Tensor)}
        return replace(self, **means)


def _mean(values: Tensor) -> Tensor:
    """Of numbers over the batch; what counts or names places stays."""
    return values.mean(0, keepdim=True).expand_as(values) if values.is_floating_point() else values


@runtime_checkable
class Network(Protocol):
    """A `torch.nn.Module` with these additions. `forward` takes float32 images in [0, 1]; scaling is its own affair.

    width: number of pooled features. head: the last layer, which makes logits: a linear one on the features, or in
    segmentation a 1x1 convolution on the decoder's map.
    layers: dotted names of the modules that probes read, from shallow to deep; in classification the last are the
    pooled features.
    """

    width: int
    head: nn.Module
    layers: tuple[str, ...]

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        ...
