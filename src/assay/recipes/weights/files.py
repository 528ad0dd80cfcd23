"""Tensors from files, whichever library wrote them. A pickle that could run code is never opened as one."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor

from assay.core.errors import WeightsError
from assay.core.paths import file_hash
from assay.recipes.untyped import safetensors_of
from assay.recipes.weights.keras_file import keras_tensors
from assay.recipes.weights.words import some

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLES = (b"PK", b"\x80")
"""How a file of `torch.save` begins: an archive, or, before 2020, a pickle."""
_NAMED = ("Unsupported global", "unsupported GLOBAL", "unrecognized function", "Can only create", "Can only build")
"""What torch says of a pickle that names something which could be run."""


@dataclass(frozen=True)
class WeightsFile:
    """Tensors by key, floating ones as float32, and the file's own metadata (empty but for safetensors).

    beside: what stood beside the weights in the file and was not read, such as an optimiser's state.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    beside: tuple[str, ...] = ()


def read_weights(path: Path, sha256: str = "") -> WeightsFile:
    """Tensors of a safetensors file, of a PyTorch file that holds tensors and plain containers alone, or of Keras HDF5.

    Which of them it is, is told by its first bytes. A checkpoint that nests its weights under `state_dict`,
    `model_state_dict`, `model`, `network` or `net` is unwrapped. Names in Keras files are written with dots.
    Raises WeightsError: missing file, another checksum, truncated or unreadable content, a pickle with code in it.
    """
    if not path.is_file():
        raise WeightsError(
            f"weights file '{path}' does not exist; give the path of a .safetensors, .pt, .pth or .h5 file"
        )
    if sha256 and file_hash(path) != sha256:
        raise WeightsError(
            f"weights file '{path}' has SHA-256 {file_hash(path)}, expected {sha256}: it is another file"
        )
    with path.open("rb") as file:
        start = file.read(16)
    if path.suffix == ".safetensors":
        read = _read_safetensors(path)
    elif start.startswith(_HDF5) or path.suffix in (".h5", ".hdf5", ".keras"):
        read = WeightsFile(path, *keras_tensors(path))
    else:
        read = _read_pickle(path, start)
    _refuse_unusable(path, read.tensors)
    tensors = {key: _as_float32(value) for key, value in read.tensors.items()}
    return WeightsFile(path, tensors, read.metadata, read.beside)


def _read_safetensors(path: Path) -> WeightsFile:
    try:
        return WeightsFile(path, *safetensors_of(path))
    except SafetensorError as error:
        raise WeightsError(f"weights file '{path}' is truncated or not a safetensors file: {error}") from error


def _read_pickle(path: Path, start: bytes) -> WeightsFile:
    if start[8:9] == b"{":
        raise WeightsError(f"weights file '{path}' is a safetensors file by its content: name it .safetensors")
    if start and not start.startswith(_PICKLES):
        raise WeightsError(
            f"weights file '{path}' begins with {start!r}, as no file of PyTorch does: it may be a page that was "
            "downloaded in its place; fetch it again"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a damaged file PyTorch asks to be told, and we tell of it ourselves
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader raises almost anything on a damaged file
        if _holds_more(error):
            raise WeightsError(
                f"weights file '{path}' is a pickle that holds more than tensors and could run code: refused. Save its "
                "state_dict as .safetensors and give that"
            ) from error
        raise WeightsError(
            f"weights file '{path}' is truncated or not a weights file: nothing in it was run; fetch it again, or save "
            "the network's state_dict as .safetensors and give that"
        ) from error
    beside: list[str] = []
    while isinstance(content, dict):
        holds = cast("dict[Any, Any]", content)
        name = next((name for name in _WRAPPERS if isinstance(holds.get(name), dict)), None)
        if name is None:
            break
        beside += [str(key) for key in holds if key != name]
        content = holds[name]
    if not isinstance(content, dict):
        raise WeightsError(f"weights file '{path}' holds a {type(content).__name__}, expected tensors by name")
    tensors = cast("dict[Any, Any]", content)
    strange = [str(key) for key, value in tensors.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strange:
        raise WeightsError(f"weights file '{path}' holds entries that are no tensors: {some(strange)}")
    return WeightsFile(path, cast(dict[str, Tensor], tensors), beside=tuple(beside))


def _holds_more(error: Exception) -> bool:
    """Whether torch refused what a whole file names: functions, classes, or a program (TorchScript)."""
    if isinstance(error, pickle.UnpicklingError):
        return any(word in str(error) for word in _NAMED)
    return "TorchScript" in str(error)


def _refuse_unusable(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors without content, of complex numbers, or with some that are not finite: never what training wrote."""
    for what, wrong in (
        ("without content", [key for key, value in tensors.items() if value.is_meta]),
        ("of complex numbers", [key for key, value in tensors.items() if value.is_complex()]),
        ("with NaN or infinity", [key for key, value in tensors.items() if not _finite(value)]),
    ):
        if wrong:
            raise WeightsError(f"weights file '{path}' holds {len(wrong)} tensors {what}: {some(wrong)}; save it anew")


def _finite(value: Tensor) -> bool:
    return value.is_meta or not value.is_floating_point() or bool(value.isfinite().all())


def _as_float32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
