"""The adapter to those functions of torch and safetensors that carry no full types. Unknown types end here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
import torch.utils.deterministic
from safetensors import safe_open
from torch import Tensor, nn


def tensor_of(values: np.ndarray) -> Tensor:
    """Return a tensor on the memory of a NumPy array."""
    return torch.from_numpy(values)  # pyright: ignore[reportUnknownMemberType]


def named_layers(module: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return every module within a module, itself first, by dotted name."""
    return list(module.named_modules(prefix=prefix))  # pyright: ignore[reportUnknownArgumentType]


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values in descending order."""
    return torch.linalg.svdvals(matrix)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def go_back(loss: Tensor) -> None:
    """Gradients of a scalar."""
    loss.backward()  # pyright: ignore[reportUnknownMemberType]


def seed_torch(value: int) -> None:
    """Set torch's global generators, of the CPU and of the GPUs in use.

    `torch.manual_seed` would also note, with a stack trace each time, advice for later use of a GPU.
    """
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)


def fork_generators(devices: Sequence[int]) -> AbstractContextManager[None]:
    """Restore torch's global generators, of the CPU and of these GPUs, after a block."""
    return torch.random.fork_rng(devices=devices)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def fills_fresh_memory() -> bool:
    """Return whether deterministic mode also fills memory that was never written."""
    return bool(torch.utils.deterministic.fill_uninitialized_memory)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportAttributeAccessIssue]


def fill_fresh_memory(fill: bool) -> None:
    """See `fills_fresh_memory`."""
    torch.utils.deterministic.fill_uninitialized_memory = fill  # pyright: ignore[reportAttributeAccessIssue]


def channels_last(module: nn.Module, device: torch.device) -> nn.Module:
    """Return the module on a device, with its convolutions' weights in the layout that is fastest on a CPU."""
    return module.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue, reportUnknownVariableType]


def safetensors_of(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file. Raises SafetensorError."""
    with safe_open(path, framework="pt") as file:  # pyright: ignore[reportUnknownVariableType]
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return tensors, dict(file.metadata() or {})  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportUnknownVariableType]
