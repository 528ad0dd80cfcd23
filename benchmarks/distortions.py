"""Every family of distortions on a batch of color images against imagecorruptions-imaug, one image after another.

    python benchmarks/distortions.py --reference PYTHON [--images 8] [--size 224] [--repetitions 5] [--out FILE]
    python benchmarks/distortions.py --device cuda [--images 256]

PYTHON is the interpreter of an environment that holds imagecorruptions-imaug 1.1.5. One thread each, the mean over the
five severities, reading and decoding counted for neither, drawing for both. Times are the processor's, the least of all
repetitions; on a GPU the clock's. A ratio is the peer's time over Assay's: above 1, Assay is faster.

Albumentations (pip install albumentations) has transforms of its own for most families, with strengths of its own on
images of 8 bits: its default for each is timed, which gives an order of magnitude and no more.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch
from _shared import Page, parser, summary

from assay.core.registry import build
from assay.shifts.distortions.base import GROUPS, SEVERITIES
from assay.shifts.intervention import draw

ALBUMENTATIONS = {
    "gaussian-noise": "GaussNoise", "shot-noise": "ShotNoise", "impulse-noise": "SaltAndPepper",
    "speckle-noise": "MultiplicativeNoise", "gaussian-blur": "GaussianBlur", "defocus-blur": "Defocus",
    "glass-blur": "GlassBlur", "motion-blur": "MotionBlur", "zoom-blur": "ZoomBlur", "snow": "RandomSnow",
    "fog": "RandomFog", "spatter": "Spatter", "brightness": "RandomBrightnessContrast",
    "contrast": "RandomBrightnessContrast", "saturate": "HueSaturationValue", "elastic-transform": "ElasticTransform",
    "pixelate": "Downscale", "jpeg-compression": "ImageCompression",
}  # fmt: skip


def reference(python: str, size: int, repetitions: int) -> dict[str, float]:
    """Family -> seconds an image, by the reference in one thread."""
    script = Path(__file__).with_name("distortions_reference.py")
    alone = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")}
    asked = [python, str(script), str(size), str(repetitions)]
    return json.loads(subprocess.run(asked, env=alone, capture_output=True, text=True, check=True).stdout)


def by_albumentations(size: int, repetitions: int) -> dict[str, float]:
    """Family -> seconds an image, by Albumentations in one thread; nothing where it is not installed."""
    if importlib.util.find_spec("albumentations") is None:
        return {}
    import albumentations
    import cv2

    cv2.setNumThreads(1)
    image, found = np.random.default_rng(0).integers(30, 220, (size, size, 3)).astype(np.uint8), {}
    for family, name in ALBUMENTATIONS.items():
        transform, times = getattr(albumentations, name)(p=1.0), []
        for _ in range(5 * repetitions + 1):
            begun = time.process_time()
            transform(image=image)
            times.append(time.process_time() - begun)
        found[family] = float(np.mean(times[1:]))  # strengths are drawn anew each time
    return found


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
    peers = {
        "imagecorruptions": reference(asked.reference, asked.size, asked.repetitions) if asked.reference else {},
        "Albumentations": by_albumentations(asked.size, asked.repetitions),
    }
    drawn = torch.Generator().manual_seed(0)
    images = torch.rand(asked.images, 3, asked.size, asked.size, generator=drawn).mul(0.7).add(0.1).to(asked.device)
    page = Page(
        ("family", "Assay, ms an image", *(cell for name in peers for cell in (f"{name}, ms", "ratio"))),
        asked.out,
        f"{asked.images} color images of {asked.size} px on {asked.device}, one thread.",
    )
    ratios: dict[str, dict[str, float]] = {name: {} for name in peers}
    for family in (family for families in GROUPS.values() for family in families):
        ours, cells = seconds(family, images, asked.repetitions), []
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
