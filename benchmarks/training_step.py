"""Assay's training step against a bare PyTorch loop: same network, images, batch, optimizer and thread.

    python benchmarks/training_step.py [--rounds 15] [--steps 10] [--size 64] [--batch 128] [--task segmentation]

Blocks of steps alternate between the two in one run, so that what else the machine does falls on both. Time is the
processor's. The ratio is Assay's speed over the bare loop's: above 1, Assay is faster. The bare loop has its images as
one tensor and sets nothing for determinism; its augmentation is flips and shifts written plainly, image by image.

With confounders, a tag and a low-pass filter, each on half of the images: a set of at most 512 MB is read once, with
them on, and kept; of a larger one every batch is read and changed anew, which the rows "batch by batch" force. The bare
loop has its images, changed, ready in memory as float32, but in the last row: there it does the same work, each batch
decoded from 8 bits and changed by plain PyTorch in float32, with what does not depend on the batch made beforehand.

Segmentation is `small-unet` with the cross-entropy of every pixel, without augmentation; studies have `--size 96
--batch 16`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.core.registry import build
from assay.core.types import FactorTable
from assay.data.cache import ArrayImages, ArrayMasks
from assay.models.networks import build_network
from assay.models.weights import deterministic, library_draws
from assay.shifts.confounders.marks import Tag
from assay.shifts.confounders.pixels import LowPass
from assay.shifts.environment import Environment
from assay.shifts.intervention import ChangedImages, draw
from assay.spec.recipe import Component, RecipeSpec
from assay.training import feed
from assay.training.state import begin_training

CONFOUNDERS = ("low-pass", "tag")


def environment(rows: int, size: int, seed: int, confounders: tuple[str, ...] = ()) -> Environment:
    """Noise of 8 bits, decoded when it is read; each confounder on half of the images."""
    rng = np.random.default_rng(seed)
    images = ArrayImages(rng.integers(0, 256, (rows, 1, size, size), dtype=np.uint8))
    target, numbers = rng.integers(0, 2, rows), np.arange(rows)
    table = FactorTable(row=numbers, target=target, patient=numbers, classes=("a", "b"))
    changes = [
        draw(name, build("intervention", name, {}), rng.random(rows) < 0.5, numbers, seed, images.shape)
        for name in confounders
    ]
    inside = np.zeros((rows, 1, size, size), dtype=np.uint8)
    inside[:, :, size // 4 : size // 2, size // 4 : size // 2] = 1
    return Environment("noise", table, ChangedImages(images, changes) if changes else images, ArrayMasks(inside), ())


def augment_plainly(images: Tensor) -> Tensor:
    padded = functional.pad(images, (4, 4, 4, 4), mode="replicate")
    size, out = images.shape[-1], []
    for image in padded:
        top, left = torch.randint(0, 9, (2,)).tolist()
        view = image[:, top : top + size, left : left + size]
        if torch.rand(()) < 0.5:
            view = view.flip(-1)
        if torch.rand(()) < 0.5:
            view = view.flip(-2)
        out.append(view)
    return torch.stack(out)


def changed_plainly(training: Environment) -> Callable[[Tensor], Tensor]:
    """Batches by position: decoded, low-passed and tagged where the environment says so."""
    assert isinstance(training.images, ChangedImages)
    low, tag = training.images.changes
    assert isinstance(low.intervention, LowPass)
    assert isinstance(tag.intervention, Tag)
    channels, height, width = training.images.shape
    encoded = torch.from_numpy(training.images.images.array)
    filtered, tagged = torch.from_numpy(low.marked), torch.from_numpy(tag.marked)
    down, along = torch.fft.fftfreq(height, 0.5), torch.fft.rfftfreq(width, 0.5)
    kept = (down[:, None] ** 2 + along[None] ** 2 <= low.intervention.cutoff**2).float()
    covered = tag.intervention.mask(tag.parameters, training.images.shape).flatten(1)
    places = covered.nonzero()[:, 1].view(len(covered), -1)
    contrast = tag.intervention.contrast

    def read(chosen: Tensor) -> Tensor:
        images = encoded[chosen].float().div_(255)
        some = filtered[chosen].nonzero()[:, 0]
        images[some] = torch.fft.irfft2(torch.fft.rfft2(images[some]) * kept, s=(height, width)).clamp_(0, 1)
        some = tagged[chosen].nonzero()[:, 0]
        pixels = images.view(len(images), channels, -1)
        rows, at = some[:, None], places[chosen[some]]
        pixels[rows, :, at] += contrast * (1 - pixels[rows, :, at])
        return images

    every = torch.arange(len(training))
    largest = (read(every) - training.images.read(every.numpy())).abs().max()
    assert largest < 1e-5, f"the plain confounders differ from Assay's by {largest:.1e}"
    return read


def bare(
    recipe: RecipeSpec, training: Environment, batch: int, size: int, *, changes: bool = False
) -> Callable[[], None]:
    """The usual loop, with its best-known switches: channels last and a fused optimizer.

    changes: whether it reads and changes each batch itself, instead of having all images ready.
    """
    network = build_network(recipe, channels=1, size=size, classes=2, seed=0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, fused=True)
    every = np.arange(len(training))
    pixels, target = training.images.read(every), torch.from_numpy(training.table.target)
    if recipe.task == "segmentation":
        assert training.masks is not None
        target = training.masks.read(every)[:, 0].long()
    loss_of, augmented = nn.CrossEntropyLoss(), bool(recipe.augmentation)
    read = changed_plainly(training) if changes else pixels.__getitem__

    def step() -> None:
        chosen = torch.randint(0, len(pixels), (batch,))
        images = read(chosen)
        if augmented:
            images = augment_plainly(images)
        loss = loss_of(network(images), target[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def assays(
    recipe: RecipeSpec, training: Environment, validation: Environment, folder: Path, device: str = "cpu", seed: int = 0
) -> Callable[[], None]:
    run = begin_training(recipe, training, validation, 2, seed, torch.device(device), folder)
    return run.train_step


def seconds(step: Callable[[], None], steps: int) -> float:
    begun = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - begun) / steps


def compare(
    name: str,
    recipe: RecipeSpec,
    options: argparse.Namespace,
    confounders: tuple[str, ...] = (),
    *,
    changes: bool = False,
) -> None:
    training, validation = (environment(n, options.size, i, confounders) for i, n in enumerate((2000, options.batch)))
    plain = bare(recipe, training, options.batch, options.size, changes=changes)
    with tempfile.TemporaryDirectory() as folder:
        with deterministic(1), library_draws(0, "fit"):
            ours = assays(recipe, training, validation, Path(folder))
        ratios: list[float] = []
        times: list[float] = []
        for number in range(options.rounds + 1):
            if number % 2:
                theirs = seconds(plain, options.steps)
            with deterministic(1), library_draws(0, "fit"):
                mine = seconds(ours, options.steps)
            if not number % 2:
                theirs = seconds(plain, options.steps)
            if number:  # the first round warms up
                ratios.append(theirs / mine)
                times.append(mine)
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(
        f"{name}: speed ratio min {low:.2f} median {middle:.2f} max {high:.2f}; Assay "
        f"{options.batch / statistics.median(times):.0f} images/s (best {options.batch / min(times):.0f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--task", choices=("classification", "segmentation"), default="classification")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.task == "segmentation":
        print(f"torch {torch.__version__}, 1 thread, small-unet at {options.size} px, batch {options.batch}, float32")
        unet = Component(kind="architecture", name="small-unet", params={})
        dense = RecipeSpec(
            task="segmentation", architecture=unet, augmentation=(), batch_size=options.batch, epochs=1000
        )
        compare("segmentation", dense, options)
        return
    print(f"torch {torch.__version__}, 1 thread, small-cnn at {options.size} px, batch {options.batch}, float32")
    common = {"batch_size": options.batch, "epochs": 1000}
    compare("without augmentation", RecipeSpec(augmentation=(), **common), options)
    compare("with flips and shifts", RecipeSpec(**common), options)
    plain = RecipeSpec(augmentation=(), **common)
    compare("with confounders, kept", plain, options, CONFOUNDERS)
    with patch.object(feed, "PRELOADED_BYTES", 0):
        compare("read batch by batch", plain, options)
        compare("with confounders, read batch by batch", plain, options, CONFOUNDERS)
        compare("the same beside a loop that changes its batches too", plain, options, CONFOUNDERS, changes=True)


if __name__ == "__main__":
    main()
