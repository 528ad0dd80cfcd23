"""What layers said of a sample of images, kept as safetensors: any reader of that format has it without Assay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from assay.core.errors import StoreError
from assay.core.files import write_bytes

ROW = "(row)"
"""The array of the images' row numbers, beside those of the layers: no module can be called so."""
_LAYERS = "layers"
_REMADE = "delete its folder and run the study again"


def write_sampled(path: Path, row: np.ndarray, layers: Mapping[str, np.ndarray]) -> None:
    """Write float32 [n, d] by layer, and int64 [n], whole; equal content is equal bytes."""
    kept = {layer: np.ascontiguousarray(values, dtype=np.float32) for layer, values in layers.items()}
    arrays: dict[str, np.ndarray] = {**kept, ROW: np.ascontiguousarray(row, dtype=np.int64)}
    write_bytes(path, save(arrays, {_LAYERS: json.dumps(list(layers))}))  # the format itself keeps no order


def read_sampled(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rows and layers, in their order. Raises StoreError that names a file which is damaged."""
    try:
        with safe_open(path, framework="np") as file:  # pyright: ignore[reportUnknownVariableType]
            names: list[str] = json.loads(file.metadata()[_LAYERS])  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            read = cast(Callable[[str], np.ndarray], file.get_tensor)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return read(ROW), {name: read(name) for name in names}
    except FileNotFoundError as error:
        raise StoreError(f"cannot read {path}: there is no such file; {_REMADE}") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"cannot read {path}: it is damaged ({error}); {_REMADE}") from error
