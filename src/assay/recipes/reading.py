"""What a network says of a whole set."""

from __future__ import annotations

import torch
from torch import nn

from assay.recipes.feed import Feed
from assay.recipes.models import as_network
from assay.recipes.network import Outputs


@torch.no_grad()
def read_all(network: nn.Module, feed: Feed, size: int, most: int | None = None) -> Outputs:
    """Features and logits of a whole set, or of its first so many images, without augmentation, in the order of its
    table, on the CPU.
    """
    parts = [as_network(network).read(batch.images) for batch in feed.in_order(size, most)]
    return Outputs(
        features=torch.cat([part.features.float().cpu() for part in parts]),
        logits=torch.cat([part.logits.float().cpu() for part in parts]),
    )
