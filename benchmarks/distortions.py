"""Every family of distortions on a batch of color images against two libraries, one image after another.

    python benchmarks/distortions.py [--imagecorruptions PYTHON] [--albumentations PYTHON] [--images 8] [--size 224]
        [--repetitions 5] [--out FILE]

PYTHON is the interpreter of an environment that holds imagecorruptions-imaug 1.1.5, or albumentations 2.0.8. One thread
each, the mean over the five severities, reading and decoding counted for neither, drawing for both. Times are the
processor's, the least of all repetitions. A ratio is the peer's time over Assay's: above 1, Assay is faster.

Albumentations has transforms of its own for most families, with strengths of its own, and takes and returns 8 bits,
where Assay takes and returns float32: its default for each is timed, which gives an order of magnitude and no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from _shared import Page, parser, summary

from assay.core.registry import build
from assay.shifts.distortions import GROUPS, SEVERITIES
from assay.shifts.intervention import draw

PEERS = ("imagecorruptions", "albumentations")


def by(peer: str, python: str, size: int, repetitions: int) -> dict[str, float]:
    """Family -> seconds an image, by a library in one thread."""
    script = Path(__file__).with_name("distortions_reference.py")
    alone = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")}
    asked = [python, str(script), peer, str(size), str(repetitions)]
    return json.loads(subprocess.run(asked, env=alone, capture_output=True, text=True, check=True).stdout)


def seconds(name: str, images: torch.Tensor, repetitions: int) -> float:
    """Seconds an image, by Assay."""
    count, of = len(images), list[float]()
    for severity in SEVERITIES:
        times: list[float] = []
        for _ in range(repetitions + 1):  # the first compiles what is compiled
            begun = time.process_time()
            made = build("distortion", name, {"severity": severity})
            shape = (images.shape[1], images.shape[2], images.shape[3])
            draw(name, made, np.ones(count, dtype=bool), np.arange(count), 0, shape).apply(images, np.arange(count))
            times.append(time.process_time() - begun)
        of.append(min(times[1:]))
    return sum(of) / len(of) / count


def main() -> None:
    """Print the table."""
    made = parser(__doc__)
    for name in PEERS:
        made.add_argument(f"--{name}", metavar="PYTHON")
    made.add_argument("--images", type=int, default=8)
    made.add_argument("--size", type=int, default=224)
    made.add_argument("--repetitions", type=int, default=5)
    asked = made.parse_args()
    torch.set_num_threads(1)
    given = {name: getattr(asked, name) for name in PEERS}
    peers = {name: by(name, python, asked.size, asked.repetitions) if python else {} for name, python in given.items()}
    drawn = torch.Generator().manual_seed(0)
    images = torch.rand(asked.images, 3, asked.size, asked.size, generator=drawn).mul(0.7).add(0.1)
    page = Page(
        ("family", "Assay, ms an image", *(cell for name in peers for cell in (f"{name}, ms", "ratio"))),
        asked.out,
        f"{asked.images} color images of {asked.size} px, one thread.",
    )
    ratios: dict[str, dict[str, float]] = {name: {} for name in peers}
    for family in (family for families in GROUPS.values() for family in families):
        ours, cells = seconds(family, images, asked.repetitions), list[str]()
        for name, theirs in peers.items():
            if family in theirs:
                ratios[name][family] = theirs[family] / ours
                cells += [f"{theirs[family] * 1e3:.2f}", f"{ratios[name][family]:.2f}"]
            else:
                cells += ["", ""]
        page.row(f"`{family}`", f"{ours * 1e3:.2f}", *cells)
    remarks = [summary(name, its) for name, its in ratios.items() if its]
    page.close(*remarks, *(f"{name} was not run." for name, its in ratios.items() if not its))


if __name__ == "__main__":
    main()
