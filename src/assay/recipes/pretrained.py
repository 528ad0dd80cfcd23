"""Weights that timm publishes: from the local cache, or downloaded once; refused at once where neither can be had."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from huggingface_hub import constants, try_to_load_from_cache
from torch import nn

from assay.core.errors import WeightsError
from assay.recipes.initialisation import with_trunk
from assay.recipes.timm_models import default_configuration, published
from assay.recipes.weights.download import reachable
from assay.recipes.weights.files import WeightsFile
from assay.recipes.weights.load import Start, load_into
from assay.recipes.weights.positions import fitted_positions


@dataclass(frozen=True, slots=True)
class PretrainedByTimm:
    """The weights that timm publishes for the network, from the local cache or downloaded once."""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError within 2 seconds when they are neither in the cache nor to be had."""
        target = with_trunk(network)
        goal, beside = target.published()
        configuration = default_configuration(goal)
        if not configuration.get("hf_hub_id") and not configuration.get("url"):
            raise WeightsError("timm publishes no weights for this architecture; use initialisation: random or file")
        if not _cached(configuration) and not _hub_answers():
            raise WeightsError(
                f"the weights of '{configuration.get('architecture')}' are not in the local cache and the model hub "
                "cannot be reached; connect once to fetch them, or give a file: initialisation: {file: {path: ...}}"
            )
        wanted = goal.state_dict().keys()
        whole = published(goal, target.scaling.channels)
        tensors, positions = fitted_positions(goal, {key: value for key, value in whole.items() if key in wanted})
        file = WeightsFile(Path(f"timm/{configuration.get('architecture')}"), tensors)
        load_into(goal, file)
        target.take(goal, {})
        target.start = Start(
            file=".".join(filter(None, (str(file.path), cast(str, configuration.get("tag"))))),
            layout="timm or torchvision",
            prefix="",
            loaded=len(tensors),
            left_out=beside,
            drawn=target.drawn,
            scaling=target.scaling.words(),
            epsilon=None,
            strides={},
            positions=positions,
        )


def _cached(configuration: Mapping[str, Any]) -> bool:
    repository = cast(str, configuration.get("hf_hub_id") or "")
    names = ("model.safetensors", "pytorch_model.bin")
    return bool(repository) and any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def _hub_answers() -> bool:
    """Whether the model hub accepts a connection, found out without timm's half minute of retries."""
    return os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0") and reachable(constants.ENDPOINT)
