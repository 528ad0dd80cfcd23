"""Every intervention on a batch of images against PIL and NumPy doing the same work, one image after another.

    python benchmarks/confounders.py [--images 32] [--size 256] [--repetitions 15] [--only NAME ...] [--out FILE]

All in one thread, on the same gray images with the same drawn numbers, at default arguments; reading, decoding and
drawing of parameters are not counted. Times are the processor's, the least of all repetitions, in which all take turns;
of each turn the second run counts, so that none finds the caches full of another's work. The peers in
`benchmarks/confounder_peers.py` take and give float32, as fast as they can be written for one image. OpenCV (pip
install opencv-python-headless) has its own calls for some. A ratio is the peer's time over Assay's: above 1, Assay is
faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from _shared import Page, parser, summary
from confounder_peers import PEERS, Peer, with_opencv
from torch import Tensor
from torch.nn import functional

from assay.core.registry import build, entries
from assay.shifts.intervention import DrawnIntervention, draw


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


def compared(name: str, peers: Sequence[Peer], images: Tensor, repetitions: int) -> tuple[float, ...]:
    """Seconds an image of Assay, then of each peer."""
    count, made = len(images), build("intervention", name, {})
    drawn: DrawnIntervention = draw(
        name, made, np.ones(count, dtype=bool), np.arange(count), 0, (images.shape[1], images.shape[2], images.shape[3])
    )
    rows = [{key: values[i].item() for key, values in drawn.parameters.items()} for i in range(count)]
    arrays, index = [image[0].numpy() for image in images], np.arange(count)

    def by(peer: Peer) -> None:
        out = np.empty((count, *arrays[0].shape), dtype=np.float32)  # a batch, as Assay returns one
        for at, (image, row) in enumerate(zip(arrays, rows, strict=True)):
            out[at] = peer(image, made, row)

    ways = [lambda: drawn.apply(images, index), *(partial(by, peer) for peer in peers)]
    times = [[seconds(way) for way in ways] for _ in range(repetitions)]
    return tuple(min(of) / count for of in zip(*times, strict=True))


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
        ("intervention", "Assay, ms an image", "PIL/NumPy, ms", "ratio", "OpenCV, ms", "ratio"), given.out,
        f"{given.images} gray images of {given.size} px, one thread, least of {given.repetitions} processor times",
    )  # fmt: skip
    images, opencv = pictures(given.images, given.size), with_opencv()
    ratios: dict[str, dict[str, float]] = {"PIL/NumPy": {}, "OpenCV": {}}
    whole = np.zeros(2)
    for name in given.only:
        peers = {"PIL/NumPy": PEERS[name], **({"OpenCV": opencv[name]} if name in opencv else {})}
        ours, *theirs = compared(name, list(peers.values()), images, given.repetitions)
        whole += theirs[0], ours
        cells = [f"{1e3 * ours:.3f}"]
        for peer, its in zip(peers, theirs, strict=True):
            ratios[peer][name] = its / ours
            cells += [f"{1e3 * its:.3f}", f"{its / ours:.2f}"]
        page.row(name, *cells, *[""] * (5 - len(cells)))
    page.close(
        *(summary(peer, its) for peer, its in ratios.items() if its),
        f"PIL/NumPy, all of them on one image, one after another: {whole[0] / whole[1]:.2f}.",
        *([] if opencv else ["OpenCV is not installed."]),
    )


if __name__ == "__main__":
    main()
