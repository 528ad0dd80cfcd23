"""Assay on a GPU against bare PyTorch on the same card: a training step, several seeds, a trial, workers, an audit.

    python benchmarks/gpu.py [--device cuda] [--only check step seeds trial workers audit] [--rounds 7] [--steps 30]

Blocks of steps alternate between the two, with the clock of the wall, the card waited for. The bare loop is the usual
one at its fastest: images on the card as 8 bits, indices drawn there, a fused optimizer, cuDNN's search for kernels,
nothing deterministic, and the faster of the two layouts. It computes as the recipe does: in float32, in float32 with
TF32, or in bfloat16. Its flips and shifts are of whole batches. Seeds: steps of several trainings of one recipe at
once, in as many processes, against the bare loop's steps one after another. A trial is that of `nodule-loss --scale
quick` on noise: 20 epochs of 1,000 images, validation in each, and whatever Assay does before and after. Workers:
trials per minute of that study, from the first trial's start to the last one's end. Audits: TorchScript in a process of
its own, from its first pass to its page. Check: a network is trained step by step and by replays of a captured step,
with deterministic kernels, from the same weights and draws; the losses must agree.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection
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
from assay.shifts.environment import Environment
from assay.spec.recipe import Component, RecipeSpec
from assay.training import feed
from assay.training.loop import fit, training_numerics
from assay.training.state import TrainingState

NETWORKS = {"small-cnn": (64, 128, 2000), "resnet50": (224, 64, 800), "resnet18": (64, 128, 2000)}
"""Side, batch and images."""
ARITHMETIC = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}
LARGEST_DIFFERENCE = 1e-3
LAYOUTS = {"channels last": torch.channels_last, "contiguous": torch.contiguous_format}


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--device", default="cuda:0")
    made.add_argument("--only", nargs="+", choices=tuple(PARTS))
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--steps", type=int, default=30)
    made.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    made.add_argument("--seeds", type=int, default=2, help="of the study that workers train")
    made.add_argument("--epochs", type=int, default=20, help="of a trial")
    made.add_argument("--budget", type=int, default=3000, help="passes of an audit")
    made.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=list(NETWORKS))
    made.add_argument("--at-once", type=int, nargs="+", default=[1, 4], help="seeds")
    return made.parse_args()


def recipe_of(architecture: str, precision: str, augmented: bool, epochs: int = 1000, **more: object) -> RecipeSpec:
    name, params = ("timm", {"model": architecture}) if architecture.startswith("resnet") else (architecture, {})
    network = Component(kind="architecture", name=name, params=params)
    more = {**more, **({} if augmented else {"augmentation": ()})}
    batch = NETWORKS[architecture][1]
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


@contextmanager
def as_assay(recipe: RecipeSpec, device: str) -> Generator[None]:
    """The settings that a trial is trained under."""
    with computing_on(device), training_numerics(recipe, 0, device):
        yield


def check(page: Page, given: argparse.Namespace) -> None:
    """Compare the losses of eager steps with those of replayed ones; raise if they differ."""
    for precision in ARITHMETIC:
        recipe = recipe_of("small-cnn", precision, augmented=True, epochs=4, deterministic=True)
        training, validation = environment(1000, 64, 0), environment(500, 64, 1)
        curves: list[Tensor] = []
        for eager in (True, False):
            with ExitStack() as stack:
                if eager:
                    stack.enter_context(patch.object(TrainingState, "_can_be_captured", return_value=False))
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                stack.enter_context(computing_on(given.device))
                asked = {"classes": 2, "seed": 0, "folder": Path(folder), "device": given.device}
                curve = fit(recipe, training, validation, **asked).curve
            curves.append(torch.tensor([[row["train_loss"], row["validation_loss"]] for row in curve]))
        apart = float(((curves[0] - curves[1]) / curves[0]).abs().max())
        assert apart <= LARGEST_DIFFERENCE, f"{precision}: losses differ by {apart:.1e}"
        page.row("check", f"small-cnn, {precision}: eager against replayed", f"losses differ by {apart:.1e}", "")


def bare_peers(recipe: RecipeSpec, training: Environment, device: str) -> dict[str, Bare]:
    arithmetic = ARITHMETIC[recipe.precision]
    return {layout: Bare(recipe, training, device, layout, arithmetic) for layout in LAYOUTS}


def compare(page: Page, name: str, recipe: RecipeSpec, sides: Sequence[int], given: argparse.Namespace) -> None:
    """One row: Assay's speed, and its ratio to the bare loop in the recipe's arithmetic."""
    size, rows, times = sides
    training, validation = environment(rows, size, 0), environment(recipe.batch_size, size, 1)
    peers = bare_peers(recipe, training, given.device)
    taken: dict[str, list[float]] = {way: [] for way in ("Assay", *peers)}
    with tempfile.TemporaryDirectory() as folder:
        with as_assay(recipe, given.device):
            ours = assays(recipe, training, validation, Path(folder), given.device)
            seconds(ours, 10, given.device)  # a step is captured after some
        for number in range(given.rounds + 1):
            for way in (*peers, "Assay") if number % 2 else ("Assay", *peers):
                if way in peers:
                    with usual(ARITHMETIC[recipe.precision]):
                        taken[way].append(seconds(peers[way].step, times, given.device))
                else:
                    with as_assay(recipe, given.device):
                        taken[way].append(seconds(ours, times, given.device))
    middle = {way: statistics.median(found[1:]) for way, found in taken.items()}  # the first round warms up
    mine = middle.pop("Assay")
    best = min(middle, key=middle.__getitem__)
    ratio = f"{middle[best] / mine:.2f} ({best}, {1000 * middle[best]:.2f} ms)"
    page.row("step", name, f"{recipe.batch_size / mine:.0f} images/s, {1000 * mine:.2f} ms", ratio)


def steps(page: Page, given: argparse.Namespace) -> None:
    for architecture in given.networks:
        size, batch, rows = NETWORKS[architecture]
        sides = size, rows, given.steps if size < 128 else max(1, given.steps // 4)
        told = f"{architecture}, {size} px, batch {batch}"
        for precision in ARITHMETIC:
            for augmented in (False, True) if (architecture, precision) == ("small-cnn", "float32") else (True,):
                how = f"{told}, {precision}{', flips and shifts' * augmented}"
                compare(page, how, recipe_of(architecture, precision, augmented), sides, given)
        slow = recipe_of(architecture, "float32", augmented=True, deterministic=True)
        compare(page, f"{told}, float32, flips and shifts, deterministic", slow, sides, given)
        with patch.object(feed, "preloaded_bytes", return_value=0):
            how = f"{told}, tf32, flips and shifts, read batch by batch"
            compare(page, how, recipe_of(architecture, "tf32", augmented=True), sides, given)


def alone(recipe: RecipeSpec, times: int, device: str, seed: int, pipe: Connection) -> None:
    """A process that trains one of several seeds when it is asked to, and says how long it took."""
    size, rows = NETWORKS[recipe.architecture.params.get("model", recipe.architecture.name)][::2]
    training, validation = environment(rows, size, 0), environment(recipe.batch_size, size, 1)
    with as_assay(recipe, device), tempfile.TemporaryDirectory() as folder:
        step = assays(recipe, training, validation, Path(folder), device, seed=seed)
        seconds(step, 20, device)  # a step is captured after some
        pipe.send("ready")
        while pipe.recv():
            pipe.send(seconds(step, times, device))


def in_processes(recipe: RecipeSpec, count: int, times: int, given: argparse.Namespace) -> float:
    """Seconds of a step of each of so many trainings, in as many processes."""
    spawning = multiprocessing.get_context("spawn")
    ours, workers = [], []
    for seed in range(count):
        here, there = spawning.Pipe()
        workers.append(spawning.Process(target=alone, args=(recipe, times, given.device, seed, there)))
        workers[-1].start()
        ours.append(here)
    for pipe in ours:
        pipe.recv()
    found: list[float] = []
    for _ in range(given.rounds):
        begun = time.perf_counter()
        for pipe in ours:
            pipe.send(True)
        for pipe in ours:
            pipe.recv()
        found.append((time.perf_counter() - begun) / times)
    for pipe, worker in zip(ours, workers, strict=True):
        pipe.send(False)
        worker.join()
    return statistics.median(found)


def seeds(page: Page, given: argparse.Namespace) -> None:
    for architecture, precision in (("small-cnn", "float32"), ("resnet18", "tf32")):
        if architecture not in given.networks:
            continue
        recipe = recipe_of(architecture, precision, augmented=True)
        size, batch, rows = NETWORKS[architecture]
        times = given.steps * (10 if architecture == "small-cnn" else 2)
        plain = {}
        for layout, peer in bare_peers(recipe, environment(rows, size, 0), given.device).items():
            with usual(ARITHMETIC[precision]):
                seconds(peer.step, 20, given.device)
                plain[layout] = statistics.median(
                    [seconds(peer.step, times, given.device) for _ in range(given.rounds)]
                )
        best = min(plain, key=plain.__getitem__)
        for count in given.at_once:
            mine = in_processes(recipe, count, times, given) / count
            told = f"{architecture}, {size} px, batch {batch}, {precision}, {count} at once"
            ratio = f"{plain[best] / mine:.2f} ({best}, {1000 * plain[best]:.2f} ms)"
            page.row("seeds", told, f"{batch / mine:.0f} images/s, {1000 * mine:.3f} ms", ratio)


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
    recipe = recipe_of("small-cnn", "float32", augmented=True, epochs=given.epochs)
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
    page.row("trial", f"small-cnn, {recipe.epochs} epochs", f"{mine:.2f} s", f"{bare / mine:.2f} ({bare:.2f} s)")


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
            page.row("workers", f"{count}, {len(found)} trials of {each:.1f} s", rate, f"whole command {whole:.0f} s")


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
            page.row("audit", f"{name}, {side} px", f"{here:.0f} passes/s", f"CPU {cpu:.0f}: {here / cpu:.1f}")


PARTS = {"check": check, "step": steps, "seeds": seeds, "trial": trial, "workers": workers, "audit": audits}


def main() -> None:
    given = options()
    columns = ("what", "of", "Assay", "ratio to the fastest plain loop")
    page = Page(columns, given.out, f"on {device_name(given.device)}; ratios above 1: Assay is faster")
    for name in given.only or PARTS:
        PARTS[name](page, given)
    page.close()


if __name__ == "__main__":
    main()
