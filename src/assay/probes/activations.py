"""Activations of named layers, pooled and kept batch by batch while a network is read."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.core.errors import AssayError, unknown_name


class LayerError(AssayError):
    """A layer that cannot be read."""


def pooled(activation: Tensor) -> Float[Tensor, "b d"]:
    """One feature vector per image.

    A map [b, d, h, w] (or with more spatial axes) is averaged over space, tokens [b, t, d] over tokens, a vector
    [b, d] stays. Position within the image is therefore not decodable from a map beyond what its mean carries.
    """
    if activation.ndim == 3:
        return activation.mean(dim=1)
    if activation.ndim > 3:
        return activation.flatten(2).mean(dim=2)
    return activation


class Recorder:
    """A context in which forward hooks write the pooled activations of `layers` into arrays of `n` rows; more are cut.

    Pooling happens inside the hook, so an in-place operation that follows does not change what is kept, and memory
    holds one batch of maps at most. Hooks are removed on leaving. Raises LayerError for an unknown layer, one that
    gives no tensor, and one that runs never or more than once in a pass.
    """

    def __init__(self, network: nn.Module, layers: tuple[str, ...], n: int) -> None:
        modules: dict[str, nn.Module] = dict(network.named_modules())  # pyright: ignore[reportUnknownArgumentType]
        for layer in layers:
            if layer not in modules:
                raise LayerError(unknown_name("layer", layer, [name for name in modules if name]))
        self.activations: dict[str, np.ndarray] = {}
        self._modules = {layer: modules[layer] for layer in layers}
        self._n = n
        self._start = 0
        self._calls = dict.fromkeys(layers, 0)
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for layer, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def at(self, start: int) -> None:
        """The next pass begins with image `start`."""
        self._start = start
        self._calls = dict.fromkeys(self._calls, 0)

    def check(self) -> None:
        """Refuse layers that did not run exactly once in the pass: which of their outputs to keep is not defined."""
        for layer, calls in self._calls.items():
            if calls != 1:
                raise LayerError(f"layer '{layer}' ran {calls} times in one pass; choose a module that runs once")

    def _hook(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        def keep(_module: nn.Module, _inputs: object, output: object) -> None:
            self._calls[layer] += 1
            if not isinstance(output, Tensor) or output.ndim < 2:
                shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise LayerError(f"layer '{layer}' gives {shape}; expected a tensor [b, d], [b, t, d] or [b, d, h, w]")
            values = pooled(output.float()).cpu().numpy()[: self._n - self._start]  # the rest of a batch fills it up
            if layer not in self.activations:
                self.activations[layer] = np.empty((self._n, values.shape[1]), np.float32)
            self.activations[layer][self._start : self._start + len(values)] = values

        return keep
