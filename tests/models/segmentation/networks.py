"""Segmentation networks and starts in few words."""

from __future__ import annotations

import timm
import torch
from safetensors.torch import save_file
from tests.models.weights.networks import filled
from tests.worlds.environments import part, recipe
from torch import Tensor, nn

from assay.plugin import build_network


def built(name, initialization=None, *, size=64, channels=3, classes=2, seed=0, **params):
    fields = {} if initialization is None else {"initialization": initialization}
    asked = recipe(task="segmentation", architecture=part("architecture", name, **params), **fields)
    return build_network(asked, channels=channels, size=size, classes=classes, seed=seed)


def images(count=2, height=64, width=64, channels=3) -> Tensor:
    return torch.rand((count, channels, height, width), generator=torch.Generator().manual_seed(1))


def timm_network(model: str) -> nn.Module:
    """In evaluation, every tensor of it drawn: what a file would hold."""
    torch.manual_seed(3)
    return filled(timm.create_model(model, pretrained=False, num_classes=7))


def saved(module: nn.Module, path, metadata=None) -> str:
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path, metadata)
    return str(path)
