"""Where initial weights come from. An initialisation is called with a freshly built network and changes its trunk."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal, cast
from urllib.parse import urlparse
from urllib.request import getproxies

from huggingface_hub import constants, try_to_load_from_cache
from torch import nn

from assay.core.errors import WeightsError
from assay.recipes.models import Classifier
from assay.recipes.timm_models import classifier_names, default_configuration, published
from assay.recipes.weights import WeightsFile, load_into, read_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
_SCALINGS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_SD),
    "symmetric": ((0.5,), (0.5,)),
    "unit": ((0.0,), (1.0,)),
}
_METADATA = {"x*2-1": "symmetric", "(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]": "imagenet"}
_PATIENCE = 1.5  # seconds to wait for a connection before saying that there is none
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
        target = _classifier(network)
        file = read_weights(Path(self.path).expanduser(), self.prefix, self.sha256)
        dropped = load_into(target.trunk, file, classifier_names(target.trunk))
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


@dataclass(frozen=True, slots=True)
class PretrainedByTimm:
    """The weights that timm publishes for the network, from the local cache or downloaded once."""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError within 2 seconds when they are neither in the cache nor to be had."""
        target = _classifier(network)
        configuration = default_configuration(target.trunk)
        if not configuration.get("hf_hub_id") and not configuration.get("url"):
            raise WeightsError("timm publishes no weights for this architecture; use initialisation: random or file")
        if not _cached(configuration) and not _reachable():
            raise WeightsError(
                f"the weights of '{configuration.get('architecture')}' are not in the local cache and the model hub "
                "cannot be reached; connect once to fetch them, or give a file: initialisation: {file: {path: ...}}"
            )
        target.trunk.load_state_dict(published(target.trunk, target.scaling.channels))


def _classifier(network: nn.Module) -> Classifier:
    if not isinstance(network, Classifier):
        raise WeightsError(f"pretrained weights need a network with a trunk; {type(network).__name__} has none")
    return network


def _cached(configuration: Mapping[str, Any]) -> bool:
    repository = cast(str, configuration.get("hf_hub_id") or "")
    names = ("model.safetensors", "pytorch_model.bin")
    return bool(repository) and any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def _reachable() -> bool:
    """Whether the model hub accepts a connection, found out without timm's half minute of retries."""
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    proxies = getproxies()
    address = urlparse(proxies.get(urlparse(constants.ENDPOINT).scheme, constants.ENDPOINT))
    port = address.port or (443 if address.scheme == "https" else 80)
    answered = Event()

    def knock() -> None:
        try:
            socket.create_connection((address.hostname or "", port), timeout=_PATIENCE).close()
        except OSError:
            return
        answered.set()

    # Looking up a name has no time limit of its own, so it is done aside and not waited for.
    Thread(target=knock, daemon=True).start()
    return answered.wait(_PATIENCE)
