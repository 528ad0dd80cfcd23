"""The sources to pretrain on, in numbers: speed, natural-image statistics, and what a small network learns of them.

    python benchmarks/phantom_sources.py --speed
    python benchmarks/phantom_sources.py --statistics
    python benchmarks/phantom_sources.py --learning
    python benchmarks/phantom_sources.py --sheet docs/images/phantom-sources.png

All on one thread; times are those of the processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from assay.core.registry import build
from assay.core.seeds import generator, row_seed
from assay.data.dataset import Phantom
from assay.models.networks import ArchitectureContext
from assay.shifts.sampling import TargetRequest, draw_rows
from assay.spec.schema import EnvironmentSpec

SOURCES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("natural", {}),
    ("natural", {"classes": 30}),
    ("radiology", {}),
    ("radiology", {"anatomy": "chest"}),
    ("radiology", {"anatomy": "chest", "findings": "local"}),
    ("radiology", {"anatomy": "chest", "findings": "both"}),
    ("radiology", {"anatomy": "ct"}),
)
STEPS, BATCH, TRAIN, TEST = 1000, 64, 4000, 1000


def drawn(phantom: Phantom, count: int, seed: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and classes as a study would draw them."""
    question = TargetRequest.of("kind", phantom.factors[0])
    rows = draw_rows(phantom, question, EnvironmentSpec(), np.arange(count), seed)
    images = phantom.render(rows.columns, row_seed(seed, "nuisance", rows.row), size, {}).images
    return images, torch.as_tensor(rows.target)


def speed() -> None:
    """Images a second and thread at 64 px."""
    for name, arguments in SOURCES:
        phantom: Phantom = build("phantom", name, arguments)
        drawn(phantom, 240, 0)
        began = time.process_time()
        drawn(phantom, 1200, 1)
        print(f"{name} {arguments}: {1200 / (time.process_time() - began):.0f} images/s")


def statistics() -> None:
    """Slope of the power spectrum image by image, and kurtosis of differences of neighbors, by family."""
    phantom: Phantom = build("phantom", "natural", {})
    for size in (64, 128):
        images, kind = drawn(phantom, 600, 0, size)
        slopes = np.array([slope(image) for image in images[:, 0].double()])
        steps = images[:, 0].diff(dim=2).double().numpy()
        for name, of in [
            *((name, kind.numpy() % 3 == k) for k, name in enumerate(("leaves", "noise", "fractals"))),
            ("all", np.ones(len(kind), dtype=bool)),
        ]:
            each = [kurtosis(image) for image in steps[of]]
            print(
                f"{size} px, {name}: slope {slopes[of].mean():.2f} (sd {slopes[of].std():.2f}), kurtosis "
                f"{kurtosis(steps[of]):.1f} pooled, {np.median(each):.1f} median image"
            )


def slope(image: torch.Tensor) -> float:
    """Of log power over log frequency, from 3 cycles an image to a quarter of the sampling rate; a Hann window."""
    size = len(image)
    window = torch.hann_window(size, dtype=torch.float64)
    power = (torch.fft.fft2((image - image.mean()) * window * window[:, None]).abs() ** 2).numpy()
    line = np.fft.fftfreq(size) * size
    ring = np.rint(np.hypot(line, line[:, None])).astype(int)
    cycles = np.arange(3, size // 4 + 1)
    return float(np.polyfit(np.log(cycles), np.log([power[ring == k].mean() for k in cycles]), 1)[0])


def kurtosis(values: np.ndarray) -> float:
    """3 for a Gaussian."""
    centered = values - values.mean()
    return float((centered**4).mean() / (centered**2).mean() ** 2)


def learning(width: int) -> None:
    """Accuracy of small-cnn after 1,000 steps of 64 on 4,000 images."""
    for name, arguments in SOURCES:
        phantom: Phantom = build("phantom", name, arguments)
        images, target = drawn(phantom, TRAIN, 1)
        classes = len(phantom.factors[0].levels)
        began = time.process_time()
        network = trained(images, target, classes, width)
        spent = time.process_time() - began
        unseen, truth = drawn(phantom, TEST, 2)
        with torch.no_grad():
            right = (network(unseen).argmax(1) == truth).float()
            fitted = (network(images[:TEST]).argmax(1) == target[:TEST]).float().mean()
        print(
            f"{name} {arguments}, width {width}: {classes} classes, unseen {right.mean():.3f}, "
            f"trained on {fitted:.3f}; {spent:.1f} s",
            flush=True,
        )


def trained(images: torch.Tensor, target: torch.Tensor, classes: int, width: int) -> torch.nn.Module:
    """The network after all steps: AdamW, one cycle up to 4e-3, mirrored batches."""
    context = ArchitectureContext(channels=1, size=64, classes=classes, seed=0)
    network: torch.nn.Module = build("architecture", "small-cnn", {"width": width}, context)
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
    draw = generator(0, "batches")
    for _ in range(STEPS):
        chosen = torch.as_tensor(draw.choice(len(images), BATCH, replace=False))
        batch = images[chosen].flip(3) if draw.random() < 0.5 else images[chosen]
        loss = torch.nn.functional.cross_entropy(network(batch), target[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def sheet(path: Path, columns: int = 4) -> None:
    """Leaves, noise, fractals, chest and CT from left to right: ten kinds of each, a line of images of every kind."""
    blocks = []
    for name, kinds in (
        ("natural", range(0, 30, 3)),
        ("natural", range(1, 30, 3)),
        ("natural", range(2, 30, 3)),
        ("radiology", range(0, 30, 3)),
        ("radiology", range(30, 60, 3)),
    ):
        phantom: Phantom = build("phantom", name, {})
        kind = np.repeat(np.array(kinds), columns)
        draw = generator(0, "sheet", name, int(kind[0]))
        values = {factor.name: phantom.quantile(factor.name, draw.random(len(kind))) for factor in phantom.factors}
        images = phantom.render({**values, "kind": kind}, draw.integers(0, 2**32, len(kind)), 64, {}).images
        padded = torch.nn.functional.pad(images, (1, 1, 1, 1), value=1.0).view(len(kinds), columns, 66, 66)
        blocks += [padded.permute(0, 2, 1, 3).reshape(len(kinds) * 66, columns * 66), torch.ones(len(kinds) * 66, 12)]
    picture = torch.cat(blocks[:-1], dim=1).numpy()
    Image.fromarray(np.round(picture * 31).astype(np.uint8) * 8).save(path, optimize=True)  # 32 grays: half the file


def main() -> None:
    """What is asked for."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("speed", "statistics", "learning"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--width", type=int, default=8, help="of small-cnn")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here")
    options = parser.parse_args()
    if options.speed:
        speed()
    if options.statistics:
        statistics()
    if options.learning:
        learning(options.width)
    if options.sheet:
        sheet(options.sheet)


if __name__ == "__main__":
    main()
