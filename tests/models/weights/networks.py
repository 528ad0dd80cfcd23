"""Networks and starts in few words, and trunks whose every tensor matters."""

from __future__ import annotations

import torch
from tests.worlds.environments import part, recipe
from torch import nn

from assay.plugin import build_network


def recipe_of(model="resnet18", initialization=None):
    fields = {} if initialization is None else {"initialization": initialization}
    return recipe(architecture=part("architecture", "timm", model=model), **fields)


def network(model="resnet18", initialization=None, size=32, seed=0):
    return build_network(recipe_of(model, initialization), channels=3, size=size, classes=2, seed=seed)


def start(path, **params):
    return part("initialization", "file", path=str(path), **params)


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """A module in evaluation whose batch norms have statistics and scales of their own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for values, low, high in ((layer.weight, 0.5, 1.5), (layer.running_var, 0.5, 2.0)):
                    values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator) * 0.2)
                layer.running_mean.copy_(torch.randn(layer.bias.shape, generator=generator) * 0.2)
    return module.eval()
