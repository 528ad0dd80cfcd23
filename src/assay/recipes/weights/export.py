"""The trunk of a start that Assay trained, as a weights file for anyone: safetensors under timm's names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from assay.core.errors import WeightsError
from assay.core.files import write_bytes
from assay.recipes.weights.files import read_weights

_INPUTS = {((0.5,), (0.5,)): "x*2-1", ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)): (
    "(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]"
)}  # fmt: skip
"""(mean, sd) per channel -> what the file's metadata say, which `initialisation: file` understands."""


def export_trunk(kept: Path, path: Path, about: Mapping[str, str]) -> None:
    """Write the trunk of kept weights under the names that its tensors have in its architecture; no head.

    kept: what `save_weights` wrote. path: a .safetensors file, replaced if it is there. about: for its metadata, beside
    `input` (how images x in [0, 1] were scaled) and `bn_eps` where batch norms have another epsilon than 1e-5.
    Raises WeightsError for another ending, and where images were scaled, or batch norms built, as no file can say.
    """
    if path.suffix != ".safetensors":
        raise WeightsError(f"'{path}' is to hold safetensors: give a name that ends in .safetensors")
    file = read_weights(kept)
    trunk = {key.removeprefix("trunk."): value.contiguous() for key, value in file.tensors.items()
             if key.startswith("trunk.")}  # fmt: skip
    metadata = {**about, "input": _input(file.tensors, path)}
    epsilons: dict[str, float] = json.loads(file.metadata.get("batch_norm_eps", "{}"))
    norms = sum(key.endswith("running_mean") for key in trunk)
    if epsilons and (len(set(epsilons.values())) > 1 or len(epsilons) != norms):
        raise WeightsError(f"'{path}': batch norms have epsilons of several sizes, which no file can say")
    if epsilons:
        metadata["bn_eps"] = f"{next(iter(epsilons.values())):g}"
    write_bytes(path, save(trunk, metadata))


def _input(tensors: Mapping[str, Tensor], path: Path) -> str:
    mean, sd = (tensors[f"scaling.{name}"].flatten() for name in ("mean", "sd"))
    for (means, sds), said in _INPUTS.items():
        if _same(mean, means) and _same(sd, sds):
            return said
    told = [", ".join(f"{float(value):.6g}" for value in values) for values in (mean, sd)]
    raise WeightsError(f"'{path}': images were scaled by mean {told[0]} and deviation {told[1]}, which no file can say")


def _same(values: Tensor, wanted: Sequence[float]) -> bool:
    """One number stands for all channels."""
    return len(wanted) in (1, len(values)) and torch.allclose(values, torch.tensor(wanted).expand(len(values)))
