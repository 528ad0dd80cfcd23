"""Weights from files, every key accounted for. A pickle that could run code is never opened as one."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from assay.core.errors import WeightsError
from assay.recipes.untyped import safetensors_of

_LISTED = 8


@dataclass(frozen=True)
class WeightsFile:
    """Tensors by key, floating ones as float32, and the file's own metadata (empty for a `.pt`)."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


def read_weights(path: Path, prefix: str = "", sha256: str = "") -> WeightsFile:
    """Tensors of a `.safetensors` file, or of a `.pt`/`.pth` that holds tensors and plain containers alone.

    A checkpoint that nests its weights under `state_dict`, `model` or `model_state_dict` is unwrapped. `prefix` is
    stripped from the keys that begin with it; a prefix that no key begins with is refused.
    Raises WeightsError: missing file, another checksum, truncated or unreadable content, a pickle with code in it.
    """
    if not path.is_file():
        raise WeightsError(f"weights file '{path}' does not exist; give the path of a .safetensors or .pt file")
    _check_sum(path, sha256)
    tensors, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else (_read_pickle(path), {})
    if prefix and not any(key.startswith(prefix) for key in tensors):
        raise WeightsError(
            f"weights file '{path}': no key begins with '{prefix}'; the first is '{next(iter(tensors), '')}'"
        )
    return WeightsFile(path, {key.removeprefix(prefix): _as_float32(value) for key, value in tensors.items()}, metadata)


def load_into(module: nn.Module, weights: WeightsFile, classifier: Sequence[str] = ()) -> tuple[str, ...]:
    """Copy the tensors into a module; returns the keys of the classifier head that were dropped.

    classifier: names of layers that the file may hold on top and the module does not have.
    Raises WeightsError that lists every missing, unexpected and wrong-shaped key. Counters of batch-norm batches may be
    missing: they decide nothing.
    """
    wanted = module.state_dict()
    dropped = tuple(
        key for key in weights.tensors if key not in wanted and any(key.startswith(f"{name}.") for name in classifier)
    )
    given = {key: value for key, value in weights.tensors.items() if key not in dropped}
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in wanted]
    wrong = [
        f"{key} is {_shape(value)}, expected {_shape(wanted[key])}"
        for key, value in given.items()
        if key in wanted and value.shape != wanted[key].shape
    ]
    if missing or unexpected or wrong:
        raise WeightsError(_misfit(weights, missing, unexpected, wrong))
    module.load_state_dict(given, strict=False)
    return dropped


def _check_sum(path: Path, sha256: str) -> None:
    if not sha256:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise WeightsError(f"weights file '{path}' has SHA-256 {found}, expected {sha256}: it is another file")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return safetensors_of(path)
    except SafetensorError as error:
        raise WeightsError(f"weights file '{path}' is truncated or not a safetensors file: {error}") from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"weights file '{path}' is a pickle that holds more than tensors and could run code: refused. Save its "
            "state_dict as .safetensors and give that"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(f"weights file '{path}' is truncated or not a weights file: {_first_line(error)}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(cast(dict[str, Any], content).get(key), dict):
            content = cast(dict[str, Any], content)[key]
    if not isinstance(content, dict):
        raise WeightsError(f"weights file '{path}' holds a {type(content).__name__}, expected tensors by name")
    tensors = cast(dict[str, Any], content)
    strange = [key for key, value in tensors.items() if not isinstance(value, Tensor)]
    if strange:
        raise WeightsError(f"weights file '{path}' holds entries that are no tensors: {_some(strange)}")
    return cast(dict[str, Tensor], tensors)


def _as_float32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _misfit(weights: WeightsFile, missing: list[str], unexpected: list[str], wrong: list[str]) -> str:
    parts = [f"weights file '{weights.path}' does not fit the architecture"]
    for what, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", wrong)):
        if keys:
            parts.append(f"{len(keys)} {what}: {_some(keys)}")
    hint = "" if len(unexpected) == 0 or len(missing) == 0 else _prefix_hint(missing, unexpected)
    return "; ".join(parts) + hint


def _prefix_hint(missing: list[str], unexpected: list[str]) -> str:
    for key in unexpected:
        for name in missing:
            if key.endswith(f".{name}"):
                return f"; did you mean prefix: '{key.removesuffix(name)}'?"
    return ""


def _some(keys: Sequence[str]) -> str:
    rest = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + rest


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
