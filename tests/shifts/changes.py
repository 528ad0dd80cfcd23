"""Interventions that the tests bring along: one that is diffuse and draws noise by row and pixel."""

import torch

from assay.plugin import SpecError


class Grain:
    """Adds noise to every pixel, from a counter of (row's seed, pixel)."""

    def __init__(self, *, strength: float = 0.1):
        self.strength = strength

    def check(self, shape):
        if min(shape[1:]) < 2:
            raise SpecError("too small")

    def draw(self, draws, shape):
        return {"seed": draws.seeds("noise"), "amount": self.strength * draws.uniform("amount")}

    def apply(self, images, parameters):
        pixel = torch.arange(images[0].numel(), device=images.device)
        mixed = (parameters["seed"][:, None] * 2654435761 + pixel * 40503) % 65521
        noise = (mixed.double() / 65521 - 0.5) * parameters["amount"][:, None]
        return (images + noise.float().view_as(images)).clamp(0, 1)

    def mask(self, parameters, shape):
        return torch.ones(len(parameters["seed"]), 1, *shape[1:], dtype=torch.bool)
