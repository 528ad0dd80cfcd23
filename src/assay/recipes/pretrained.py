"""Weights that timm publishes: from the local cache, or downloaded once; refused at once where neither can be had."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast
from urllib.parse import urlparse
from urllib.request import getproxies

from huggingface_hub import constants, try_to_load_from_cache
from torch import nn

from assay.core.errors import WeightsError
from assay.recipes.initialisation import with_trunk
from assay.recipes.timm_models import default_configuration, published
from assay.recipes.weights import WeightsFile, load_into

_PATIENCE = 1.5  # seconds to wait for a connection before saying that there is none


@dataclass(frozen=True, slots=True)
class PretrainedByTimm:
    """The weights that timm publishes for the network, from the local cache or downloaded once."""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError within 2 seconds when they are neither in the cache nor to be had."""
        target = with_trunk(network)
        configuration = default_configuration(target.trunk)
        if not configuration.get("hf_hub_id") and not configuration.get("url"):
            raise WeightsError("timm publishes no weights for this architecture; use initialisation: random or file")
        if not _cached(configuration) and not _reachable():
            raise WeightsError(
                f"the weights of '{configuration.get('architecture')}' are not in the local cache and the model hub "
                "cannot be reached; connect once to fetch them, or give a file: initialisation: {file: {path: ...}}"
            )
        tensors = published(target.trunk, target.scaling.channels)
        load_into(target.trunk, WeightsFile(Path(f"timm/{configuration.get('architecture')}"), tensors))


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
