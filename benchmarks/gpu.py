"""Assay on a GPU against bare PyTorch on the same card: a training step, a whole trial, workers, and an audit.

    python benchmarks/gpu.py [--device cuda] [--only step trial workers audit] [--rounds 7] [--steps 30]

Blocks of steps alternate between the two, with the clock of the wall, the card waited for. The bare loop is the usual
one at its fastest: images on the card as 8 bits, indices drawn there, a fused optimizer, cuDNN's search for kernels,
nothing deterministic, and the faster of the two layouts. It computes in float32 as Assay does, in float32 with TF32 as
torch does unless told otherwise, or in bfloat16, which is compared with recipes of that precision. Its flips and shifts
are of whole batches. A trial is that of `nodule-loss --scale quick` on noise: 20 epochs of 1,000 images, validation in
each, and whatever Assay does before and after. Workers: trials per minute of that study, from the first trial's start
to the last one's end. Audits: TorchScript in a process of its own, from its first pass to its page.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from _shared import Page, parser
from audit_speed import audited, resnet, small
from torch import Tensor
from torch.nn import functional
from training_step import assays, environment

from assay.data.cache import ArrayImages
from assay.execution.local import computing_on, device_name
from assay.models.networks import build_network
from assay.models.weights import deterministic, library_draws
from assay.shifts.environment import Environment
from assay.spec.recipe import Component, RecipeSpec
from assay.training import feed
from assay.training.loop import fit

LAYOUTS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--device", default="cuda:0")
    made.add_argument("--only", nargs="+", choices=("step", "trial", "workers", "audit"))
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--steps", type=int, default=30)
    made.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    made.add_argument("--seeds", type=int, default=2, help="of the study that workers train")
    made.add_argument("--epochs", type=int, default=20, help="of a trial")
    made.add_argument("--budget", type=int, default=3000, help="passes of an audit")
    made.add_argument("--networks", nargs="+", choices=("small-cnn", "resnet50"), default=["small-cnn", "resnet50"])
    return made.parse_args()


def recipe_of(architecture: str, batch: int, precision: str, augmented: bool, epochs: int = 1000) -> RecipeSpec:
    name, params = ("timm", {"model": architecture}) if architecture == "resnet50" else (architecture, {})
    network = Component(kind="architecture", name=name, params=params)
    more = {} if augmented else {"augmentation": ()}
    return RecipeSpec(architecture=network, precision=precision, batch_size=batch, epochs=epochs, **more)


def augment(images: Tensor) -> Tensor:
    """Flips and shifts of a batch, drawn where it is."""
    count, side = len(images), images.shape[-1]
    windows = functional.pad(images, (4, 4, 4, 4), mode="replicate").unfold(2, side, 1).unfold(3, side, 1)
    down, right = torch.randint(0, 9, (2, count), device=images.device)
    images = windows[torch.arange(count, device=images.device), :, down, right]
    for axis in (-1, -2):
        mirrored = torch.rand(count, 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(axis), images)
    return images


class Bare:
    """The usual loop on a card: see the top of this file."""

    def __init__(self, recipe: RecipeSpec, training: Environment, device: str, layout: str, arithmetic: str) -> None:
        assert isinstance(training.images, ArrayImages)
        size = training.images.shape[-1]
        made = build_network(recipe, channels=1, size=size, classes=2, seed=0)
        self.network = made.to(device=device, memory_format=LAYOUTS[layout])
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, fused=True)
        self.pixels = torch.from_numpy(training.images.array).to(device)
        self.target = torch.from_numpy(training.table.target).to(device)
        self.batch, self.augmented = recipe.batch_size, bool(recipe.augmentation)
        self.device, self.arithmetic = torch.device(device), arithmetic

    def loss(self, chosen: Tensor, augmented: bool) -> Tensor:
        images = self.pixels[chosen].float().div_(255)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.arithmetic == "bfloat16"):
            logits = self.network(augment(images) if augmented else images)
        return functional.cross_entropy(logits.float(), self.target[chosen])

    def step(self) -> None:
        self.descend(torch.randint(0, len(self.pixels), (self.batch,), device=self.device))

    def descend(self, chosen: Tensor) -> None:
        loss = self.loss(chosen, self.augmented)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def usual(arithmetic: str) -> AbstractContextManager[None]:
    """The switches of a loop that need not be repeatable."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=True, deterministic=False, allow_tf32=arithmetic == "TF32"
    )


def seconds(act: Callable[[], object], times: int, device: str) -> float:
    """Each of several times, the card waited for."""
    begun = time.perf_counter()
    for _ in range(times):
        act()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - begun) / times


def compare(page: Page, name: str, recipe: RecipeSpec, sides: Sequence[int], given: argparse.Namespace) -> None:
    """One row: Assay's speed, and its ratio to the bare loop in each arithmetic that the recipe allows."""
    size, rows, times = sides
    training, validation = environment(rows, size, 0), environment(recipe.batch_size, size, 1)
    half = recipe.precision == "bfloat16"
    peers = {
        (arithmetic, layout): Bare(recipe, training, given.device, layout, arithmetic)
        for arithmetic in (("bfloat16",) if half else ("float32", "TF32"))
        for layout in LAYOUTS
    }
    taken: dict[tuple[str, str], list[float]] = {way: [] for way in (("Assay", ""), *peers)}
    with tempfile.TemporaryDirectory() as folder:
        with computing_on(given.device), deterministic(1), library_draws(0, "fit"):
            ours = assays(recipe, training, validation, Path(folder), given.device)
        for number in range(given.rounds + 1):
            for way in (*peers, ("Assay", "")) if number % 2 else (("Assay", ""), *peers):
                if way in peers:
                    with usual(way[0]):
                        taken[way].append(seconds(peers[way].step, times, given.device))
                else:
                    with computing_on(given.device), deterministic(1), library_draws(0, "fit"):
                        taken[way].append(seconds(ours, times, given.device))
    middle = {way: statistics.median(found[1:]) for way, found in taken.items()}  # the first round warms up
    mine = middle[("Assay", "")]
    cells: list[str] = []
    for arithmetic in ("float32", "TF32", "bfloat16"):
        ways = {layout: middle[(arithmetic, layout)] for layout in LAYOUTS if (arithmetic, layout) in middle}
        best = min(ways, key=ways.__getitem__) if ways else ""
        cells.append(f"{ways[best] / mine:.2f} ({best}, {1000 * ways[best]:.2f} ms)" if best else "")
    page.row("step", name, f"{recipe.batch_size / mine:.0f} images/s, {1000 * mine:.2f} ms", *cells)


def steps(page: Page, given: argparse.Namespace) -> None:
    networks = {"small-cnn": (64, 128, 2000, given.steps), "resnet50": (224, 64, 800, max(1, given.steps // 4))}
    for architecture in given.networks:
        size, batch, *sides = networks[architecture]
        told = f"{architecture}, {size} px, batch {batch}"
        for precision, augmented in (("float32", False), ("float32", True), ("bfloat16", False)):
            how = f"{told}, {precision}{', flips and shifts' * augmented}"
            compare(page, how, recipe_of(architecture, batch, precision, augmented), (size, *sides), given)
        with patch.object(feed, "preloaded_bytes", return_value=0):
            how = f"{told}, float32, read batch by batch"
            compare(page, how, recipe_of(architecture, batch, "float32", False), (size, *sides), given)


def bare_trial(recipe: RecipeSpec, training: Environment, validation: Environment, device: str) -> float:
    """Train and validate, as many steps as Assay; returns the last validation loss."""
    loop = Bare(recipe, training, device, "channels last", "float32")
    shown = Bare(recipe, validation, device, "channels last", "float32")
    shown.network, loss, step = loop.network, 0.0, 0
    most = recipe.epochs * (len(training) // recipe.batch_size)
    for _ in range(recipe.epochs):
        order = torch.randperm(len(training), device=device)
        loop.network.train()
        for at in order[: len(order) // recipe.batch_size * recipe.batch_size].split(recipe.batch_size):
            for group in loop.optimizer.param_groups:
                group["lr"] = 0.01 * (1 + math.cos(math.pi * step / most)) / 2
            loop.descend(at)
            step += 1
        loop.network.eval()
        with torch.no_grad():
            losses = [shown.loss(at, augmented=False) for at in torch.arange(len(validation), device=device).split(128)]
            loss = float(torch.stack(losses).mean())
    return loss


def trial(page: Page, given: argparse.Namespace) -> None:
    recipe = recipe_of("small-cnn", 128, "float32", True, epochs=given.epochs)
    training, validation = environment(1000, 64, 0), environment(500, 64, 1)
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(given.rounds // 2 + 1):
        with tempfile.TemporaryDirectory() as folder, computing_on(given.device):
            asked = {"classes": 2, "seed": number, "folder": Path(folder), "device": given.device}
            ours.append(seconds(partial(fit, recipe, training, validation, **asked), 1, given.device))
        with usual("float32"):
            theirs.append(seconds(partial(bare_trial, recipe, training, validation, given.device), 1, given.device))
    mine, bare = statistics.median(ours[1:] or ours), statistics.median(theirs[1:] or theirs)
    page.row(
        "trial", f"small-cnn, {recipe.epochs} epochs", f"{mine:.2f} s", f"{bare / mine:.2f} ({bare:.2f} s)", "", ""
    )


def workers(page: Page, given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for count in given.workers:
            out = Path(folder) / str(count)
            asked = ["run", "nodule-loss", "--scale", "quick", "--seeds", str(given.seeds), "-q", "-o", str(out)]
            alone = ["--set", "probes=[performance]", "--set", "contrasts=[]"]
            words = [*asked, *alone, "--device", given.device, "--workers", str(count)]
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-m", "assay", *words], check=True, capture_output=True)
            whole = time.perf_counter() - begun
            files = list(out.glob("*/trials/*/provenance.json"))
            found = [json.loads(one.read_text(encoding="utf-8")) for one in files]
            starts = [datetime.fromisoformat(one["started"]).timestamp() for one in found]
            ends = [start + one["seconds"] for start, one in zip(starts, found, strict=True)]
            rate = f"{60 * len(found) / (max(ends) - min(starts)):.0f} trials a minute"
            each = statistics.median(one["seconds"] for one in found)
            page.row(
                "workers", f"{count}, {len(found)} trials of {each:.1f} s", rate, f"whole command {whole:.0f} s", "", ""
            )


def audits(page: Page, given: argparse.Namespace) -> None:
    networks = (("three convolutions", small(), 64), ("ResNet-18", resnet(), 224))[: len(given.networks)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        example = [sys.executable, "-m", "assay", "example", str(root / "data"), "--audit"]
        subprocess.run(example, check=True, capture_output=True)
        for name, network, side in networks:
            path = root / f"{name.split()[0]}.pt"
            torch.manual_seed(0)
            torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(2, 1, side, side)), path)
            speed = {
                device: audited(path, root / "data", side, given.budget, root / device, "--trust", "--device", device)
                for device in dict.fromkeys((given.device, "cpu"))
            }
            here, cpu = speed[given.device], speed["cpu"]
            page.row("audit", f"{name}, {side} px", f"{here:.0f} passes/s", f"CPU {cpu:.0f}: {here / cpu:.1f}", "", "")


PARTS = {"step": steps, "trial": trial, "workers": workers, "audit": audits}


def main() -> None:
    given = options()
    columns = ("what", "of", "Assay", "ratio to the loop in float32", "TF32", "bfloat16")
    page = Page(columns, given.out, f"on {device_name(given.device)}; ratios above 1: Assay is faster")
    for name in given.only or PARTS:
        PARTS[name](page, given)
    page.close()


if __name__ == "__main__":
    main()
