"""Results of models and probes as arrays and columns: outputs, measurements, activations and contributions.

They are converted to columns of Parquet files, or written as safetensors files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from assay.core.errors import StoreError
from assay.core.files import write_bytes
from assay.core.types import Contributions, Measurement
from assay.store.files import Row
from assay.store.schema import MEASUREMENTS

REMAKE_UNIT = "delete its folder and run the study again"


# Outputs of a model in an environment: a table with a column for each class and each entry of an array.

ROW_COLUMNS = ("row", "patient", "target", "fold")


def output_columns(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return outputs as columns: row, patient, target, fold, and logits [n, k] as float32 or float64.

    Other arrays [n, ...] are statistics of maps; each of their entries becomes a column.
    """
    columns = {name: outputs[name].astype(np.int64) for name in ROW_COLUMNS}
    logits = outputs["logits"]
    logits = logits if logits.dtype == np.float64 else logits.astype(np.float32)
    columns |= {f"logit_{k}": np.ascontiguousarray(logits[:, k]) for k in range(logits.shape[1])}
    for name, values in outputs.items():
        if name not in (*ROW_COLUMNS, "logits"):
            columns |= flatten(name, values)
    return columns


def outputs_from_columns(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs from the columns of `output_columns`."""
    classes = [name for name in columns if name.startswith("logit_")]
    logits = np.stack([columns[f"logit_{k}"] for k in range(len(classes))], axis=1)
    return {**unflatten({name: values for name, values in columns.items() if name not in classes}), "logits": logits}


# Arrays of several axes as columns of a table, one for each entry: `hit[3]`, `bin_count[0,14]`.

_ENTRY = re.compile(r"(?P<name>\w+)\[(?P<at>\d+(,\d+)*)\]")


def flatten(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return an array [n, ...] by entry; [n] stays as it is."""
    if values.ndim == 1:
        return {name: values}
    indices = list(np.ndindex(values.shape[1:]))
    return {f"{name}[{','.join(map(str, at))}]": np.ascontiguousarray(values[(slice(None), *at)]) for at in indices}


def unflatten(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays from columns of `flatten`; other columns as they are. Entries of an array have one type."""
    arrays: dict[str, np.ndarray] = {}
    parts: dict[str, dict[tuple[int, ...], np.ndarray]] = {}
    for name, values in columns.items():
        entry = _ENTRY.fullmatch(name)
        if entry is None:
            arrays[name] = values
        else:
            parts.setdefault(entry["name"], {})[tuple(map(int, entry["at"].split(",")))] = values
    for name, entries in parts.items():
        shape = tuple(1 + max(indices) for indices in zip(*entries, strict=True))
        arrays[name] = np.stack([entries[index] for index in np.ndindex(shape)], axis=1).reshape(-1, *shape)
    return arrays


def measurement_row(measurement: Measurement) -> Row:
    """Return a measurement as a row of `schema.MEASUREMENTS`, its reason in stored form."""
    return {**{name: getattr(measurement, name) for name in MEASUREMENTS}, "reason": str(measurement.reason)}


# Activations of layers on a sample of images, stored as safetensors, which can be read without Assay.

ROW_NUMBERS = "(row)"
"""Name of the array of the images' row numbers among those of the layers: no module can have this name."""
_LAYERS = "layers"


def write_activations(path: Path, rows: np.ndarray, layers: Mapping[str, np.ndarray]) -> None:
    """Write activations [n, d] of layers as float32 and row numbers [n] as int64; equal content is equal bytes."""
    layer_values = {layer: np.ascontiguousarray(values, dtype=np.float32) for layer, values in layers.items()}
    arrays: dict[str, np.ndarray] = {**layer_values, ROW_NUMBERS: np.ascontiguousarray(rows, dtype=np.int64)}
    write_bytes(path, save(arrays, {_LAYERS: json.dumps(list(layers))}))  # the format itself keeps no order


def read_activations(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return row numbers, and layer -> activations in their order. Raises StoreError that names a damaged file."""
    try:
        with safe_open(path, framework="np") as file:  # pyright: ignore[reportUnknownVariableType]
            names: list[str] = json.loads(file.metadata()[_LAYERS])  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            read = cast(Callable[[str], np.ndarray], file.get_tensor)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return read(ROW_NUMBERS), {name: read(name) for name in names}
    except FileNotFoundError as error:
        raise StoreError(f"cannot read {path}: there is no such file; {REMAKE_UNIT}") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"cannot read {path}: it is damaged ({error}); {REMAKE_UNIT}") from error


# Contributions of samples to measurements: a matrix for the measurements that have the same samples.


def write_contributions(path: Path, measurements: Sequence[Measurement]) -> None:
    """Write the contributions to the measurements that contrasts can name, float32, by their place in the sequence.

    The rounding is 6e-8 of a contribution.
    """
    groups: dict[bytes, list[tuple[int, Contributions]]] = {}
    for position, measurement in enumerate(measurements):
        if measurement.contributions is not None and measurement.compared:
            groups.setdefault(measurement.contributions.samples.tobytes(), []).append(
                (position, measurement.contributions)
            )
    arrays: dict[str, np.ndarray] = {}
    for k, group in enumerate(groups.values()):
        arrays[f"{k}.samples"] = np.ascontiguousarray(group[0][1].samples, dtype=np.int64)
        arrays[f"{k}.rows"] = np.array([position for position, _ in group], dtype=np.int64)
        arrays[f"{k}.values"] = np.stack([contribution.values for _, contribution in group]).astype(np.float32)
    if arrays:
        write_bytes(path, save(arrays))


def read_contributions(path: Path) -> dict[int, Contributions]:
    """Read the contributions by the place of their measurement.

    Raises:
        StoreError: The file is damaged or missing.
    """
    contributions: dict[int, Contributions] = {}
    try:
        arrays = load(path.read_bytes())
        for name, samples in arrays.items():
            k, kind = name.split(".")
            if kind == "samples":
                rows: list[int] = arrays[f"{k}.rows"].tolist()
                contributions |= {row: Contributions(samples, arrays[f"{k}.values"][i]) for i, row in enumerate(rows)}
    except (SafetensorError, OSError, KeyError, ValueError, IndexError) as error:
        raise StoreError(f"cannot read {path}: it is damaged ({error}); {REMAKE_UNIT}") from error
    return contributions
