"""The adapter to h5py: tensors of a Keras HDF5 file (weights alone, or a whole model) by dotted name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.core.errors import WeightsError
from assay.recipes.weights.words import first_line


def keras_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str], tuple[str, ...]]:
    """Tensors as they lie in the file, no metadata, and the names of what stands beside the weights.

    The name `conv1_conv/kernel:0` becomes `conv1_conv.kernel`. Kernels keep Keras's order of axes.
    Raises WeightsError: the file is truncated, or it names no layers (`.keras`, `.weights.h5`).
    """
    try:
        with _opened(path) as file:
            group = file.get("model_weights", file)
            beside = tuple(str(name) for name in file if group is not file and name != "model_weights")
            if not any(str(name).startswith("layer_names") for name in group.attrs):
                raise WeightsError(
                    f"weights file '{path}' names no layers, as Keras 3 writes .weights.h5; load it in Keras and save "
                    "the model as a plain .h5"
                )
            return dict(_weights(group)), {}, beside
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"weights file '{path}' is truncated or not a Keras file: {first_line(error)}") from error


def _opened(path: Path) -> Any:
    import h5py  # pyright: ignore[reportMissingTypeStubs]

    return h5py.File(path, "r")


def _weights(group: Any) -> Iterator[tuple[str, Tensor]]:
    for layer in _names(group, "layer_names"):
        for name in _names(group[layer], "weight_names"):
            values = np.ascontiguousarray(group[layer][name])
            yield name.split(":")[0].replace("/", "."), torch.as_tensor(values)


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names, which Keras splits over numbered attributes when it is long."""
    parts = [attribute] if attribute in group.attrs else []
    number = 0
    while f"{attribute}{number}" in group.attrs:
        parts.append(f"{attribute}{number}")
        number += 1
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
