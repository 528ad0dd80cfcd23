"""Preprocessing of a model that was trained elsewhere, and signs that it does not fit the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from assay.audit.request import normalization_words
from assay.core.errors import SpecError
from assay.core.types import FactorTable
from assay.models.image_config import config_beside
from assay.models.onnx_session import names_of
from assay.models.ref import channels_of
from assay.report.sentences.scores import called_alike, constant
from assay.spec.document import mapping_of
from assay.stats.format import count, listed, number
from assay.stats.influence import auroc_rows
from assay.stats.metrics import auroc, log_odds, placements

# The config that timm keeps with its models: size, framing, channels and scaling of the images that they were trained
# on.

_FITS = {"center": "crop", "squash": "squash", "border": "pad"}
"""timm's `crop_mode` as `data.fit`."""


@dataclass(frozen=True)
class Config:
    """Image settings in the config of a model.

    Attributes:
        data: Keys of `data:`.
        mean: Per channel.
        std: Per channel.
        names: Names of the outputs; empty where it has none.
        source: What has them, for sentences.
    """

    data: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    names: tuple[str, ...] = ()
    source: str = "the config of this model"

    def filled(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return `data` with the keys that it lacks: size, and for images from files channels and framing.

        Data that cannot be framed as the config says, and datasets from outside Assay, keep their own framing.
        """
        given = dict(data)
        if "phantom" in given:
            return {**{key: item for key, item in self.data.items() if key == "size"}, **given}
        framed = "fit" not in given and not self._unframed(given)
        taken = {key: item for key, item in self.data.items() if framed or key not in ("fit", "crop_share")}
        return {**taken, **given}

    def _unframed(self, data: Mapping[str, Any]) -> str:
        """Return the key that rules out the framing of the config; empty where none does."""
        if self.data["fit"] == "squash" and data.get("pixel_size"):
            return "pixel_size"
        dataset = data.get("dataset") or ""
        (name, *_) = mapping_of(dataset) or (str(dataset),)
        return "dataset" if name == "lidc" or ":" in name else ""

    def scaling(self, asked: str) -> str:
        """Return the scaling of images in words: what the user gives, and what the config has where it differs."""
        own = normalization_words(self.mean, self.std)
        return f"{asked}; {self.source} has {own}" if asked not in ("", own) else f"{own} from {self.source}"

    def describe(self, data: Mapping[str, Any], filled: Mapping[str, Any], scaled: bool) -> str:
        """Describe the settings that were taken from the config, the scaling among them if `scaled`."""
        taken = [f"data.{key}: {item}" for key, item in filled.items() if key not in data]
        taken += [f"scaling by {normalization_words(self.mean, self.std)}"] if scaled else []
        key = "" if "phantom" in data or "fit" in data else self._unframed(data)
        left = f", but not data.fit: {self.data['fit']}, which data.{key} rules out" if key else ""
        return (
            f"taken from {self.source}: {', '.join(taken) or 'nothing'}{left}; if it was trained "
            "otherwise, say so in `data`, or give preprocessing='none' and images stay in 0..1"
        )


def config_of(network: nn.Module, file: Path | None = None) -> Config | None:
    """Return the image settings of a model; None where it has none, or takes other channels.

    Args:
        network: The model, with the config that timm keeps.
        file: Its file; settings in a file beside it are preferred, see `config_beside`.

    Raises:
        SpecError: A standard deviation is not above 0.
        WeightsError: A file beside it cannot be read.
    """
    given = (file and config_beside(file)) or mapping_of(getattr(network, "pretrained_cfg", None)) or {}
    mean, std = (tuple(float(part) for part in given.get(key) or ()) for key in ("mean", "std"))
    shape = tuple(int(side) for side in given.get("input_size") or ())
    if not mean or len(mean) != len(std) or len(shape) != 3 or channels_of(network) not in (None, len(mean)):
        return None
    source = str(given.get("source") or Config.source)
    if min(std) <= 0:
        raise SpecError(f"{source}: std {listed([f'{one:g}' for one in std])}: expected numbers above 0")
    data: dict[str, Any] = {"size": shape[1]} if shape[1] else {}
    data |= {"channels": "gray" if len(mean) == 1 else "color"}
    fit = _FITS.get(str(given.get("crop_mode") or "center"), "crop")
    share = float(given.get("crop_pct") or 1)
    framing = {"fit": fit, **({"crop_share": share} if fit != "pad" and share < 1 else {})}
    return Config({**data, **framing}, mean, std, names_of({"names": given.get("label_names")}), source)


# Signs that a model is shown other images than it was trained on.

CAUSES = (
    "check what its training did to images: framing (data.fit: pad, squash or crop, "
    "and data.size), scaling (mean and std, or 0..255) and the order of channels (RGB or BGR)"
)
_ONE_CLASS = 0.98
"""The share of images called one class from which an output counts as nearly constant."""
_FAR = 0.05
_NORMAL = 1.96


def signs(logits: np.ndarray, table: FactorTable, threshold: float | None, expect: float | None) -> list[str]:
    """Explain which properties of a classifier's logits [n, k] suggest that its images differ from those of training.

    Args:
        expect: The AUROC that the user knows of. It differs where it is outside the 95% interval over patients and more
            than 0.05 away.
    """
    found = [_constant(logits, table, 0.5 if threshold is None else threshold)]
    if expect is not None:
        found.append(_unexpected(logits, table, expect))
    return [f"{one}; {CAUSES}" for one in found if one]


def _constant(logits: np.ndarray, table: FactorTable, threshold: float) -> str:
    if constant(logits):
        return f"the model gives all {count(len(logits), 'image')} the same output"
    return called_alike(logits, table.target, table.classes, threshold, _ONE_CLASS)


def _unexpected(logits: np.ndarray, table: FactorTable, expect: float) -> str:
    if len(table.classes) != 2:
        return f"expect is an AUROC of two classes, and these data have {len(table.classes)}: it was not compared"
    score, target = log_odds(logits)[:, 0], table.target
    if len(np.unique(target)) < 2:
        return f"expect is an AUROC, and all images are '{table.classes[int(target[0])]}': it was not compared"
    area = auroc(score, target).value
    rows = auroc_rows(*placements(score, target), target, area)
    error = float(np.sqrt((np.bincount(table.patient, weights=rows) ** 2).sum()))
    if abs(area - expect) <= max(_FAR, _NORMAL * error):
        return ""
    return f"the AUROC is {number(area)} where {number(expect)} was expected"
