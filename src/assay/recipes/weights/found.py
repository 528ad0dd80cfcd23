"""Which weights this machine has, and how to get those that it lacks. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from assay.core.paths import assets_folder

RADIMAGENET = "github.com/BMEII-AI/RadImageNet"


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Weights that studies name, or that papers compare with.

    file: its usual name. what: architecture and what it was trained on. obtain: how to get it.
    """

    file: str
    what: str
    obtain: str


_ASSETS = "part of the example images and weights; put it into the folder weights/ of ASSAY_ASSETS"
_BY_HAND = f"fetch it from the authors ({RADIMAGENET}) and name its path: initialisation: {{file: {{path: ...}}}}"

KNOWN: tuple[KnownWeights, ...] = (
    KnownWeights("tf_efficientnet_lite0.imagenet.safetensors", "EfficientNet-Lite0, ImageNet", _ASSETS),
    KnownWeights("legacy_xception.imagenet.safetensors", "Xception, ImageNet", _ASSETS),
    KnownWeights("legacy_xception.dermoscopy-ft.safetensors", "Xception, ImageNet then dermoscopy", _ASSETS),
    KnownWeights("ResNet50.pt", "ResNet-50, RadImageNet", _BY_HAND),
    KnownWeights("DenseNet121.pt", "DenseNet-121, RadImageNet", _BY_HAND),
    KnownWeights("InceptionV3.pt", "Inception v3, RadImageNet", _BY_HAND),
)

_SUFFIXES = (".safetensors", ".pt", ".pth", ".h5")


@dataclass(frozen=True, slots=True)
class WeightsHere:
    """found: weights files of the assets, then of the cache. missing: known ones that are in neither."""

    found: tuple[Path, ...]
    missing: tuple[KnownWeights, ...]


def weights_here(cache: Path) -> WeightsHere:
    """The weights files of this machine, in the assets' folder `weights` and in `cache`, the folder of downloads.

    A file in a sub-folder counts too, such as RadImageNet's own archive as it unpacks.
    """
    found = tuple(path for folder in (assets_folder() / "weights", cache) for path in _weights_under(folder))
    names = {path.name for path in found}
    return WeightsHere(found, tuple(known for known in KNOWN if known.file not in names))


def _weights_under(folder: Path) -> list[Path]:
    here = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return sorted(path for path in here if path.suffix in _SUFFIXES)
