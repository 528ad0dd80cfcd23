"""Every intervention on a batch of images against PIL and NumPy doing the same work, one image after another.

    python benchmarks/confounders.py [--images 32] [--size 256] [--repetitions 15] [--only NAME ...] [--out FILE]

Both in one thread, on the same gray images with the same drawn numbers, at default arguments; reading, decoding and
drawing of parameters are counted for neither. Times are the processor's, the least of all repetitions, in which the two
take turns; of each turn the second run counts, so that neither finds the caches full of the other's work. The peers
stand in `benchmarks/confounder_peers.py`: float32 in, float32 out, as fast as they can be written for one image. The
ratio is the peer's time over Assay's: above 1, Assay is faster.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from _shared import Page, parser
from confounder_peers import PEERS
from torch import Tensor
from torch.nn import functional

from assay.core.registry import build, entries
from assay.shifts.intervention import Drawn, draw

ASKED = 5.0


def pictures(count: int, size: int) -> Tensor:
    """Smooth pictures with some detail, on a grid of 16 bits."""
    made = torch.Generator().manual_seed(0)
    coarse = functional.interpolate(torch.rand(count, 1, 5, 5, generator=made), size=(size, size), mode="bilinear")
    return ((0.15 + 0.6 * coarse + 0.1 * torch.rand(count, 1, size, size, generator=made)) * 65535).round() / 65535


def seconds(work: Callable[[], object]) -> float:
    """Of the second of two runs: neither side finds the caches full of the other's work."""
    work()
    begun = time.process_time()
    work()
    return time.process_time() - begun


def compared(name: str, images: Tensor, repetitions: int) -> tuple[float, float]:
    """Seconds an image, the peer's and Assay's."""
    count, made = len(images), build("intervention", name, {})
    drawn: Drawn = draw(name, made, np.ones(count, dtype=bool), np.arange(count), 0, tuple(images.shape[1:]))
    rows = [{key: values[i].item() for key, values in drawn.parameters.items()} for i in range(count)]
    arrays, peer, index = [image[0].numpy() for image in images], PEERS[name], np.arange(count)
    theirs, ours = [], []
    for _ in range(repetitions):
        theirs.append(seconds(lambda: [peer(image, made, row) for image, row in zip(arrays, rows, strict=True)]))
        ours.append(seconds(lambda: drawn.apply(images, index)))
    return min(theirs) / count, min(ours) / count


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=32)
    made.add_argument("--size", type=int, default=256)
    made.add_argument("--repetitions", type=int, default=15)
    made.add_argument(
        "--only", nargs="+", metavar="NAME", default=sorted(entry.name for entry in entries("intervention"))
    )
    return made.parse_args()


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    page = Page(
        ("intervention", "PIL/NumPy, ms an image", "Assay, ms an image", "ratio"), given.out,
        f"{given.images} gray images of {given.size} px, one thread, least of {given.repetitions} processor times",
    )  # fmt: skip
    images = pictures(given.images, given.size)
    times: list[tuple[float, float]] = []
    for name in given.only:
        theirs, ours = compared(name, images, given.repetitions)
        times.append((theirs, ours))
        page.row(name, f"{1e3 * theirs:.3f}", f"{1e3 * ours:.3f}", f"{theirs / ours:.1f}")
    ratios = [theirs / ours for theirs, ours in times]
    mean, geometric = sum(ratios) / len(ratios), math.exp(sum(map(math.log, ratios)) / len(ratios))
    whole = sum(theirs for theirs, _ in times) / sum(ours for _, ours in times)
    page.close(
        f"Mean of the ratios {mean:.2f} (asked {ASKED:g}), geometric mean {geometric:.2f}; all of them on one image, "
        f"one after another: {whole:.2f}."
    )


if __name__ == "__main__":
    main()
