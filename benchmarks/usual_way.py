"""The peer of `default_study.py`: a trial as people write it with PyTorch and torchvision.

A `Dataset` that transforms one sample at a time, a `DataLoader`, one trial after another in one process with torch's
default threads. Images lie decoded in memory, which is kinder than the usual reading of files. Network with its initial
weights, loss (Assay's own code, which mines triplets faster than the usual library), optimizer, learning rates, epochs
and batch are the trial's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from assay.core import registry
from assay.data.dataset import Batch
from assay.models.classifier import as_network, build_network, fit_head
from assay.shifts.environment import Environment
from assay.spec.schema import TrainingSpec
from assay.training.objective import LossContext, Objective, Progress

MOST_SHIFT = 4


@dataclass(frozen=True)
class Images:
    """Decoded images [n, c, h, w] float32 and their targets [n]."""

    pixels: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, environment: Environment) -> Images:
        """All images of an environment."""
        return cls(environment.images.read(np.arange(len(environment))).numpy(), environment.table.target)


class Samples(Dataset[tuple[Tensor, int]]):
    """One sample at a time, transformed when it is asked for."""

    def __init__(self, images: Images, transform: v2.Transform | None = None) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images.target)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images.pixels[index])
        return image if self.transform is None else self.transform(image), int(self.images.target[index])


def augmentation(size: int) -> v2.Transform:
    """Mirrored both ways with probability .5, moved by up to 4 px with edges repeated."""
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomCrop(size, padding=MOST_SHIFT, padding_mode="edge"),
        ]
    )


def loader(samples: Samples, batch: int, workers: int, *, shuffled: bool) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(
        samples, batch, shuffle=shuffled, drop_last=shuffled, num_workers=workers, persistent_workers=workers > 0
    )


def run_trial(
    trial: TrainingSpec, training: Images, validation: Images, tests: Mapping[str, Images], workers: int
) -> dict[str, float]:
    """Train one trial and evaluate it: AUROC by test environment."""
    recipe, size = trial.recipe, training.pixels.shape[-1]
    torch.manual_seed(trial.seed)
    network = build_network(recipe, channels=training.pixels.shape[1], size=size, classes=2, seed=trial.seed)
    counts = tuple(np.bincount(training.target, minlength=2).tolist())
    context = LossContext(as_network(network).width, 2, counts)
    objective = cast(Objective, registry.build("loss", recipe.loss.name, recipe.loss.params, context))
    parameters = list(dict.fromkeys([*network.parameters(), *objective.parameters()]))
    optimizer = registry.build("optimizer", recipe.optimizer.name, recipe.optimizer.params, parameters)
    batches = loader(Samples(training, augmentation(size)), recipe.batch_size, workers, shuffled=True)
    beside = loader(Samples(validation), recipe.batch_size, workers, shuffled=False)
    steps = recipe.epochs * len(batches)
    highest = optimizer.defaults["lr"]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps, cycle_momentum=False)
    for epoch in range(recipe.epochs):
        network.train()
        for number, (images, target) in enumerate(batches):
            now = Progress(epoch * len(batches) + number, steps, epoch, recipe.epochs)
            loss = objective.loss(as_network(network).read(images), _batch(images, target), now)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            for images, target in beside:
                objective.loss(as_network(network).read(images), _batch(images, target), now)
    network.eval()
    if not objective.trains_head:
        _fit_head(network, training, recipe.batch_size)
    return {name: _auroc(network, images, recipe.batch_size, workers) for name, images in tests.items()}


def _batch(images: Tensor, target: Tensor) -> Batch:
    """What the loss is handed; nobody asks for the row's number."""
    return Batch(images=images, target=target, row=target)


@torch.no_grad()
def _fit_head(network: nn.Module, training: Images, batch: int) -> None:
    """The linear head of an encoder, on features without augmentation."""
    batches = loader(Samples(training), batch, 0, shuffled=False)
    parts = [as_network(network).read(images).features for images, _ in batches]
    head = fit_head(torch.cat(parts), torch.from_numpy(training.target), 2)
    head.fold_into(as_network(network).head)


@torch.no_grad()
def _auroc(network: nn.Module, images: Images, batch: int, workers: int) -> float:
    logits = torch.cat([network(part) for part, _ in loader(Samples(images), batch, workers, shuffled=False)])
    return float(roc_auc_score(images.target, (logits[:, 1] - logits[:, 0]).numpy()))
