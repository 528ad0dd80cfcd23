"""The peers of `default_study.py`: one trial in the usual way, in a bare loop, and with Lightning.

- `usual`: a `Dataset` that transforms one sample at a time, and a `DataLoader` in the same process.
- `in_memory`: all images in one tensor, augmented batch by batch, network in channels-last; no loader, no records.
- `lightning`: the same tensor and augmentation in a `LightningModule`; None where the package is not installed.

Images are decoded beforehand for all of them. Network with its initial weights, loss (Assay's own code, which mines
triplets faster than the usual library), optimizer, learning rates, epochs and batch are the trial's.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler, TensorDataset
from torchvision.transforms import v2

from assay.core import registry
from assay.data.dataset import Batch
from assay.models.networks import as_network, build_network, fit_head
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


def loader(samples: Samples, batch: int, *, shuffled: bool) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(samples, batch, shuffle=shuffled, drop_last=shuffled)


@dataclass(frozen=True)
class Parts:
    """What every way trains with: the trial's own network, loss, optimizer and schedule."""

    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.OneCycleLR
    epochs: int
    steps: int

    @classmethod
    def of(cls, trial: TrainingSpec, training: Images, memory_format: torch.memory_format) -> Parts:
        recipe, size = trial.recipe, training.pixels.shape[-1]
        torch.manual_seed(trial.seed)
        network = build_network(recipe, channels=training.pixels.shape[1], size=size, classes=2, seed=trial.seed)
        network = network.to(memory_format=memory_format)
        counts = tuple(np.bincount(training.target, minlength=2).tolist())
        context = LossContext(as_network(network).width, 2, counts)
        objective = cast(Objective, registry.build("loss", recipe.loss.name, recipe.loss.params, context))
        parameters = list(dict.fromkeys([*network.parameters(), *objective.parameters()]))
        optimizer = registry.build("optimizer", recipe.optimizer.name, recipe.optimizer.params, parameters)
        steps = recipe.epochs * (len(training.target) // recipe.batch_size)
        highest = optimizer.defaults["lr"]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps, cycle_momentum=False)
        return cls(network, objective, optimizer, schedule, recipe.epochs, steps)

    def loss(self, images: Tensor, target: Tensor, step: int) -> Tensor:
        """The trial's loss of a batch; no loss asks for the row's number."""
        now = Progress(step, self.steps, step * self.epochs // self.steps, self.epochs)
        batch = Batch(images=images, target=target, row=target)
        return self.objective.loss(as_network(self.network).read(images), batch, now)

    def train_step(self, images: Tensor, target: Tensor, step: int) -> None:
        loss = self.loss(images, target, step)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()

    @torch.no_grad()
    def finish(self, training: Images, batch: int) -> None:
        """Fit the linear head of an encoder, on features without augmentation."""
        self.network.eval()
        if self.objective.trains_head:
            return
        network, pixels = as_network(self.network), torch.from_numpy(training.pixels)
        features = torch.cat([network.read(images).features for images in pixels.split(batch)])
        fit_head(features, torch.from_numpy(training.target), 2).fold_into(network.head)


Tests = Mapping[str, Images]
Way = Callable[[TrainingSpec, Images, Images, Tests], dict[str, float]]


def usual(trial: TrainingSpec, training: Images, validation: Images, tests: Tests) -> dict[str, float]:
    """Train and evaluate one trial by a `Dataset` and a `DataLoader`: AUROC by test environment."""
    batch, parts = trial.recipe.batch_size, Parts.of(trial, training, torch.contiguous_format)
    batches = loader(Samples(training, augmentation(training.pixels.shape[-1])), batch, shuffled=True)
    validating, step = loader(Samples(validation), batch, shuffled=False), 0
    for _ in range(parts.epochs):
        parts.network.train()
        for images, target in batches:
            parts.train_step(images, target, step)
            step += 1
        parts.network.eval()
        with torch.no_grad():
            for images, target in validating:
                parts.loss(images, target, step - 1)
    parts.finish(training, batch)
    return {
        name: _auroc(parts.network, images, (part for part, _ in loader(Samples(images), batch, shuffled=False)))
        for name, images in tests.items()
    }


def augment(images: Tensor) -> Tensor:
    """`augmentation` of a whole batch: one look-up of pixels by drawn rows and columns."""
    count, _, height, width = images.shape

    def places(size: int) -> Tensor:
        moved = torch.arange(size) + torch.randint(-MOST_SHIFT, MOST_SHIFT + 1, (count, 1))
        mirrored = torch.rand(count, 1) < 0.5
        found = moved.clamp_(0, size - 1)
        return torch.where(mirrored, size - 1 - found, found)

    rows, columns = places(height), places(width)
    every = torch.arange(count)[:, None, None]
    return images[every, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def in_memory(trial: TrainingSpec, training: Images, validation: Images, tests: Tests) -> dict[str, float]:
    """Train and evaluate one trial by a bare loop over tensors: AUROC by test environment."""
    batch, parts = trial.recipe.batch_size, Parts.of(trial, training, torch.channels_last)
    pixels, target = torch.from_numpy(training.pixels), torch.from_numpy(training.target)
    step = 0
    for _ in range(parts.epochs):
        parts.network.train()
        order = torch.randperm(len(target))
        for at in order[: len(order) // batch * batch].split(batch):
            parts.train_step(augment(pixels[at]), target[at], step)
            step += 1
        parts.network.eval()
        with torch.no_grad():
            given = torch.from_numpy(validation.pixels).split(batch), torch.from_numpy(validation.target).split(batch)
            for images, classes in zip(*given, strict=True):
                parts.loss(images, classes, step - 1)
    parts.finish(training, batch)
    return _auroc_of_tensors(parts.network, tests, batch)


def _lightning() -> Way | None:
    """The way with Lightning, where it is installed."""
    if importlib.util.find_spec("lightning") is None:
        return None
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self, parts: Parts) -> None:
            super().__init__()
            self.parts, self.network, self.objective = parts, parts.network, parts.objective

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return self.parts.loss(augment(batch[0]), batch[1], self.global_step)

        def validation_step(self, batch: list[Tensor], _: int) -> None:
            self.parts.loss(batch[0], batch[1], max(0, self.global_step - 1))

        def configure_optimizers(self) -> Any:
            schedule = {"scheduler": self.parts.schedule, "interval": "step"}
            return {"optimizer": self.parts.optimizer, "lr_scheduler": schedule}

    def batches(images: Images, batch: int, *, shuffled: bool) -> DataLoader[Any]:
        data = TensorDataset(torch.from_numpy(images.pixels), torch.from_numpy(images.target))
        order = RandomSampler(data) if shuffled else SequentialSampler(data)
        return DataLoader(data, batch_size=None, sampler=BatchSampler(order, batch, drop_last=shuffled))

    def way(trial: TrainingSpec, training: Images, validation: Images, tests: Tests) -> dict[str, float]:
        batch, parts = trial.recipe.batch_size, Parts.of(trial, training, torch.channels_last)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on loaders
            trainer = lightning.Trainer(
                max_epochs=parts.epochs,
                accelerator="cpu",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(
                Module(parts), batches(training, batch, shuffled=True), batches(validation, batch, shuffled=False)
            )
        parts.finish(training, batch)
        return _auroc_of_tensors(parts.network, tests, batch)

    return way


WAYS: dict[str, Way | None] = {"usual script": usual, "in-memory loop": in_memory, "Lightning": _lightning()}


def _auroc_of_tensors(network: nn.Module, tests: Tests, batch: int) -> dict[str, float]:
    return {
        name: _auroc(network, images, torch.from_numpy(images.pixels).split(batch)) for name, images in tests.items()
    }


@torch.no_grad()
def _auroc(network: nn.Module, images: Images, parts: Iterable[Tensor]) -> float:
    logits = torch.cat([network(part) for part in parts])
    return float(roc_auc_score(images.target, (logits[:, 1] - logits[:, 0]).numpy()))
