"""Checkpoints and deterministic random state."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from assay.core.files import write_bytes, write_whole
from assay.core.seeds import derive
from assay.models.untyped import fill_fresh_memory, fills_fresh_memory, fork_generators, named_layers, seed_torch
from assay.models.weight_files import read_weights
from assay.models.weights import load_into, set_strides, start_of

# Files of a training: written whole or not at all, read back without running any code in them.

WEIGHTS_FILE = "weights.safetensors"
"""Name of a unit's trained weights."""
_NAME = "checkpoint.pt"
_DIGEST = hashlib.sha256().digest_size
_FORMAT = "assay-network-1"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and plain containers: to a temporary file, flushed, then renamed.

    The first bytes are the SHA-256 of the rest, as written by `torch.save`.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)

    write_whole(folder / _NAME, write)


def load_checkpoint(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return the kept state, or None when there is none, it is of another training, it is damaged, or it cannot be
    read.

    Training is deterministic: starting again costs time and changes no result, so an unreadable file is no error.
    """
    path = folder / _NAME
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        if hashlib.sha256(memoryview(content)[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        state = cast(dict[str, Any], torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError):
        return None
    return state if state.get("identity") == identity else None


def remove_checkpoint(folder: Path) -> None:
    """Once the trial's record is complete."""
    (folder / _NAME).unlink(missing_ok=True)


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network as safetensors, whole; the same network is the same bytes.

    Epsilons of batch norms, and the report of a start from a file, are kept in the metadata.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    own = {"format": _FORMAT, "batch_norm_eps": json.dumps(batch_norm_eps(network))}
    start = start_of(network)
    if start is not None:
        own["start"] = start.text()
    write_bytes(path, _sorted_header(save(state, {**own, **(metadata or {})})))


def load_weights(network: nn.Module, path: Path, parts: Sequence[str] = ()) -> Mapping[str, str]:
    """Load the output of `save_weights` into a network of the same recipe (`empty_network`); returns the metadata.

    Args:
        parts: Load these children of the network alone, and leave the others as they are.
    """
    file = read_weights(path)
    if not parts:
        load_into(network, file)
    for part in parts:
        inside = {key: value for key, value in file.tensors.items() if key.startswith(f"{part}.")}
        named = {key.removeprefix(f"{part}."): value for key, value in inside.items()}
        load_into(network.get_submodule(part), replace(file, tensors=named))
    for name, eps in cast(dict[str, float], json.loads(file.metadata.get("batch_norm_eps", "{}"))).items():
        if not parts or name.partition(".")[0] in parts:
            cast(nn.BatchNorm2d, network.get_submodule(name)).eps = eps
    start = cast(dict[str, Any], json.loads(file.metadata.get("start", "{}")))
    set_strides(network, {f"trunk.{name}": stride for name, stride in start.get("strides", {}).items()})
    return file.metadata


def batch_norm_eps(network: nn.Module) -> dict[str, float]:
    """Return the epsilon of every batch norm that differs from torch's 1e-5, by name."""
    layers = ((name, layer) for name, layer in named_layers(network) if isinstance(layer, nn.BatchNorm2d))
    return {name: layer.eps for name, layer in layers if layer.eps != 1e-5}


def _sorted_header(content: bytes) -> bytes:
    """Safetensors with its metadata in one order: the library writes them in a random one."""
    length = int.from_bytes(content[:8], "little")
    header = cast(dict[str, Any], json.loads(content[8 : 8 + length]))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
    return content[:8] + text + content[8 + length :]


# Libraries draw from global state: it is seeded for a fit and restored afterward.


@contextmanager
def library_draws(seed: int, *purpose: str | int) -> Generator[None]:
    """Seed the global generators of torch, NumPy and Python for this block, and restore them after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - libraries draw from it
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with fork_generators(devices):
        reseed(seed, *purpose)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def reseed(seed: int, *purpose: str | int) -> None:
    """Set the global generators. Only within `library_draws`, which undoes it."""
    value = derive(seed, *purpose)
    seed_torch(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - libraries draw from it
    random.seed(value)


@contextmanager
def deterministic(threads: int) -> Generator[None]:
    """A fixed number of threads and deterministic kernels for this block, where the library has them.

    Sums on a CPU depend on the number of threads. Filling fresh memory, which torch adds to its deterministic mode, is
    left off: it guards against reading unwritten memory and costs a pass over every activation.
    """
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        fills_fresh_memory(),
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    fill_fresh_memory(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        fill_fresh_memory(before[3])
