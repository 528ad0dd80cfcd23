"""The worst group of every mitigation on a planted world: a square that is hard to see, a tag that is tied to it.

    python -m benchmarks.mitigations

Prints one line a mitigation: the accuracy of the worst group on 1,000 images in which the tag says nothing, one number
a seed, and their mean. Half a minute of one core.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.worlds.environments import mitigated, part, tagged

from assay.shifts.environment import Environment
from assay.training.loop import fit

SEEDS = 3
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("none", {}),
    ("reweighting", {}),
    ("group-balanced-sampling", {}),
    ("group-dro", {"step": 0.05}),
    ("just-train-twice", {"epochs": 2, "upweight": 10}),
    ("last-layer-retraining", {}),
    ("last-layer-retraining", {"rows": "training"}),
    ("confounder-augmentation", {"intervention": "tests.worlds.environments:CornerTag"}),
    ("domain-adversarial", {}),
    ("domain-adversarial", {"given_target": True}),
)


def worst_group_accuracy(network: Any, world: Environment) -> float:
    """The least accuracy of the four groups."""
    groups = 2 * world.table.target + world.table.columns["tag"]
    with torch.no_grad():
        said = network.read(world.images.read(np.arange(len(world)))).logits.argmax(1).numpy()
    return float(min((said == world.table.target)[groups == group].mean() for group in range(4)))


def trained(name: str, params: dict[str, Any], seed: int) -> Any:
    """A small network after 12 epochs on 400 images, of which one in twenty has the wrong tag for its class."""
    training, validation = tagged(400, seed=10 + seed), tagged(200, seed=20 + seed)
    fields = {"epochs": 12, "batch_size": 32, "architecture": part("architecture", "small-cnn", width=4)}
    with tempfile.TemporaryDirectory() as folder:
        recipe = mitigated(name, recipe=fields, **params)
        return fit(recipe, training, validation, classes=2, seed=seed, folder=Path(folder)).network


def main() -> None:
    """Print the table."""
    test = tagged(1000, seed=99, tied=0)
    for name, params in CASES:
        found = [worst_group_accuracy(trained(name, params, seed), test) for seed in range(SEEDS)]
        told = ", ".join(f"{key}: {value}" for key, value in params.items())
        print(f"{name} {told} | {' '.join(f'{value:.2f}' for value in found)} | {np.mean(found):.2f}", flush=True)


if __name__ == "__main__":
    main()
