"""Every family of distortions on a batch of color images against imagecorruptions-imaug, one image after another.

    python benchmarks/distortions.py --reference PYTHON [--images 8] [--size 224] [--repetitions 5] [--out FILE]
    python benchmarks/distortions.py --device cuda [--images 256]

PYTHON is the interpreter of an environment that holds imagecorruptions-imaug 1.1.5. One thread each, the mean over the
five severities, reading and decoding counted for neither, drawing for both. Times are the processor's, the least of all
repetitions; on a GPU the clock's. The ratio is the reference's time over Assay's: above 1, Assay is faster.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from _shared import Page, parser

from assay.core.registry import build
from assay.shifts.distortions.base import GROUPS, SEVERITIES
from assay.shifts.intervention import draw

ASKED = 5.0


def reference(python: str, size: int, repetitions: int) -> dict[str, float]:
    """Family -> seconds an image, by the reference in one thread."""
    script = Path(__file__).with_name("distortions_reference.py")
    alone = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")}
    asked = [python, str(script), str(size), str(repetitions)]
    return json.loads(subprocess.run(asked, env=alone, capture_output=True, text=True, check=True).stdout)


def seconds(name: str, images: torch.Tensor, repetitions: int) -> float:
    """Seconds an image, by Assay."""
    gpu = images.device.type != "cpu"
    count, of = len(images), []
    for severity in SEVERITIES:
        times = []
        for _ in range(repetitions + 1):  # the first compiles what is compiled
            if gpu:
                torch.cuda.synchronize()
            begun = time.perf_counter() if gpu else time.process_time()
            made = build("distortion", name, {"severity": severity})
            shape = tuple(images.shape[1:])
            draw(name, made, np.ones(count, dtype=bool), np.arange(count), 0, shape).apply(images, np.arange(count))
            if gpu:
                torch.cuda.synchronize()
            times.append((time.perf_counter() if gpu else time.process_time()) - begun)
        of.append(min(times[1:]))
    return sum(of) / len(of) / count


def main() -> None:
    """Print the table."""
    made = parser(__doc__)
    made.add_argument("--reference", metavar="PYTHON")
    made.add_argument("--images", type=int, default=8)
    made.add_argument("--size", type=int, default=224)
    made.add_argument("--repetitions", type=int, default=5)
    made.add_argument("--device", default="cpu")
    asked = made.parse_args()
    torch.set_num_threads(1)
    theirs = reference(asked.reference, asked.size, asked.repetitions) if asked.reference else {}
    drawn = torch.Generator().manual_seed(0)
    images = torch.rand(asked.images, 3, asked.size, asked.size, generator=drawn).mul(0.7).add(0.1).to(asked.device)
    page = Page(
        ("family", "reference, ms an image", "Assay, ms an image", "ratio"),
        asked.out,
        f"{asked.images} color images of {asked.size} px on {asked.device}, one thread.",
    )
    ours = {}
    for name in (name for names in GROUPS.values() for name in names):
        ours[name] = seconds(name, images, asked.repetitions)
        other = f"{theirs[name] * 1e3:.2f}" if name in theirs else ""
        ratio = f"{theirs[name] / ours[name]:.1f}" if name in theirs else ""
        page.row(f"`{name}`", other, f"{ours[name] * 1e3:.2f}", ratio)
    if not theirs:
        page.close()
        return
    common = GROUPS["common"]
    one, two = (sum(times[name] for name in common) / len(common) for times in (theirs, ours))
    each = float(np.exp(np.mean([np.log(theirs[name] / ours[name]) for name in common])))
    page.close(
        f"On average over the {len(common)}: {one * 1e3:.2f} against {two * 1e3:.2f} ms, {one / two:.1f} times as fast "
        f"(asked: {ASKED:g}); the ratios' geometric mean is {each:.1f}."
    )


if __name__ == "__main__":
    main()
