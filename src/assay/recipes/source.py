"""Starts that Assay trained itself: where they lie, and how a network takes one up."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from assay.core.errors import WeightsError
from assay.data.cache import default_cache_root
from assay.recipes.checkpoint import WEIGHTS_FILE, load_weights
from assay.recipes.initialisation import redraw, with_trunk
from assay.recipes.weights.load import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSource:
    """The trunk of a source that was trained with the same architecture; its head is left out, and its decoder.

    id: names its folder in the cache. statistics: whether weights are drawn with its layers' means and variances, as
    `RandomStatistics` does, and nothing else is taken but how it scales images.
    """

    id: str
    name: str = ""
    statistics: bool = False

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError when the source is not in the cache."""
        target = with_trunk(network)
        path = default_cache_root() / "sources" / self.id / WEIGHTS_FILE
        if not path.is_file():
            raise WeightsError(f"source {self.id} is not in {path.parent.parent}: run its study again, which trains it")
        metadata = load_weights(target, path, ("trunk", "scaling"))
        if self.statistics:
            redraw(target.trunk, int(torch.randint(2**62, ())))
        before = cast(dict[str, Any], json.loads(metadata.get("start", "{}")))
        target.start = Start(
            file=f"source {self.id}",
            layout="assay",
            prefix="trunk.",
            loaded=len(target.trunk.state_dict()),
            left_out=target.drawn,
            drawn=target.drawn,
            scaling=target.scaling.words(),
            epsilon=None,
            strides=before.get("strides", {}),
            positions=str(before.get("positions", "")),
        )
