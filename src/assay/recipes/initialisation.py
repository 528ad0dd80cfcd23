"""Where initial weights come from. An initialisation is called with a freshly built network and changes its trunk."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from assay.core.errors import WeightsError
from assay.core.paths import filled
from assay.recipes.models import Classifier
from assay.recipes.weights import WeightsFile, load_into, read_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
_SCALINGS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_SD),
    "symmetric": ((0.5,), (0.5,)),
    "unit": ((0.0,), (1.0,)),
}
_METADATA = {"x*2-1": "symmetric", "(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]": "imagenet"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Random:
    """The library's own law, drawn when the network was built."""

    def __call__(self, network: nn.Module) -> None:
        """Leaves the network as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFile:
    """Weights from a file: trunk weights are loaded, a classifier on top is dropped and named in the log.

    input: how images are scaled for these weights; `auto` takes what the file's metadata say (`input`), else leaves
    timm's own configuration. Metadata `bn_eps` sets the epsilon of every batch norm.
    """

    path: str
    prefix: str = ""
    input: Literal["auto", "imagenet", "symmetric", "unit"] = "auto"
    sha256: str = ""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError when any key is not accounted for."""
        target = with_trunk(network)
        file = read_weights(filled(self.path), self.prefix, self.sha256)
        dropped = load_into(target.trunk, file, target.replaced)
        _log.info("%s: loaded %d tensors; dropped: %s", file.path, len(file.tensors), ", ".join(dropped) or "none")
        self._scale(target, file)
        if "bn_eps" in file.metadata:
            for layer in target.trunk.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eps = float(file.metadata["bn_eps"])

    def _scale(self, target: Classifier, file: WeightsFile) -> None:
        name = self.input
        if name == "auto":
            said = file.metadata.get("input", "")
            if not said:
                return
            if said not in _METADATA:
                raise WeightsError(
                    f"weights file '{file.path}' says that its input is '{said}', which Assay does not know; "
                    f"set input to one of: {', '.join(_SCALINGS)}"
                )
            name = _METADATA[said]
        target.scaling.set(*_SCALINGS[name])


def with_trunk(network: nn.Module) -> Classifier:
    """The network as one whose trunk can be loaded. Raises WeightsError."""
    if not isinstance(network, Classifier):
        raise WeightsError(f"pretrained weights need a network with a trunk; {type(network).__name__} has none")
    return network
