"""Makes `reference_medmnistc.npz` with MedMNIST-C's own package, medmnistc 0.1.0, in an environment of its own:

    python -m venv reference
    reference/bin/pip install medmnistc==0.1.0 --no-deps
    reference/bin/pip install numpy scipy "opencv-python-headless<5" scikit-image torch torchvision wand
    apt-get install libmagickwand-6.q16-6   # ImageMagick, which Wand calls for the motion blur
    reference/bin/python tests/shifts/medmnistc_reference.py

One square color image, or its gray one where the image set is gray, under what MedMNIST-C shares with Assay; every
second row kept. Each call begins with NumPy's global generator seeded with 0, so that a test can draw again what the
reference drew. With a file of pictures after it, it says how much it changes these: see `medmnistc_likeness.py`.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
from medmnistc.corruptions.registry import CORRUPTIONS_DS, DATASET_RGB
from PIL import Image
from reference_picture import picture

# at 32 px, as at 224, no rounding decides: at some sizes SciPy leaves a last row black, or Pillow takes another pixel
SIDE = 32
DRAWS = 20

SAME = (
    ("gaussian-noise", "dermamnist gaussian_noise", {1: 2, 2: 3, 3: 4, 4: 5}),
    ("shot-noise", "dermamnist shot_noise", {1: 1, 2: 2, 4: 5}),
    ("impulse-noise", "dermamnist impulse_noise", {1: 2, 2: 3, 3: 4, 4: 5}),
    ("speckle-noise", "dermamnist speckle_noise", {1: 2, 2: 3, 3: 4, 4: 5}),
    ("speckle-noise", "octmnist speckle_noise", {5: 5}),
    ("gaussian-blur", "organamnist gaussian_blur", {2: 1}),
    ("defocus-blur", "pathmnist defocus_blur", {1: 1}),
    ("defocus-blur", "dermamnist defocus_blur", {4: 5}),
    ("motion-blur", "octmnist motion_blur", {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}),
    ("zoom-blur", "dermamnist zoom_blur", {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}),
    ("pixelate", "bloodmnist pixelate", {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}),
    ("jpeg-compression", "tissuemnist jpeg_compression", {1: 1, 3: 3, 4: 4, 5: 5}),
    ("contrast", "octmnist contrast_down", {1: 2, 2: 3, 3: 4}),
    ("xray-under-exposure", "chestmnist brightness_down", {1: 2, 3: 5}),
    ("xray-under-exposure", "organamnist brightness_down", {2: 4}),
)
"""Distortion of Assay, image set and corruption of MedMNIST-C, and which of its severities has the constants of which
of Assay's."""

BY_CONSTANT = (
    ("gamma", "chestmnist gamma_corr_down"),
    ("gamma", "chestmnist gamma_corr_up"),
    ("contrast-confounder", "dermamnist contrast_down"),
    ("contrast-confounder", "dermamnist contrast_up"),
    ("vignette", "dermamnist black_corner"),
)
"""Confounder of Assay, which takes any constant, and what it is compared with at all severities."""

GRAY = {"contrast", "xray-under-exposure", "gamma"}
"""What is compared on the gray image, as the image sets have it that MedMNIST-C gives these to."""


def corrupted(image: Image.Image, named: str, severity: int, seed: int = 0) -> np.ndarray:
    """One image under a corruption of one image set at its severity 1 to 5, gray where the set is; uint8."""
    of, name = named.split()
    made = CORRUPTIONS_DS[of][name]
    np.random.seed(seed)  # noqa: NPY002 - what the reference draws from, and for places of marks the next
    random.seed(seed)
    made.rng = np.random.default_rng(seed)
    out = Image.fromarray(made.apply(image.convert("RGB"), severity - 1))
    return np.asarray(out if DATASET_RGB[of] or image.mode != "L" else out.convert("L"))


def main() -> None:
    """Write the arrays beside this file."""
    color = Image.fromarray(picture(SIDE, SIDE))
    images = {True: color.convert("L"), False: color}
    made = {"picture": np.asarray(color), "gray": np.asarray(images[True])}
    for family, named, severities in SAME:
        for ours, theirs in severities.items():
            made[f"{family} {ours}"] = corrupted(images[family in GRAY], named, theirs)[::2]
    for confounder, named in BY_CONSTANT:
        of, name = named.split()
        for at, constant in enumerate(CORRUPTIONS_DS[of][name].severity_params):
            made[f"{confounder} {constant:g}"] = corrupted(images[confounder in GRAY], named, at + 1)[::2]
    np.savez_compressed(Path(__file__).with_name("reference_medmnistc.npz"), **made)


def changes(file: str) -> dict[str, list[float]]:
    """For pictures named `<what>, <image set> <corruption>`: mean absolute change in levels at severities 1 to 5."""
    found = {}
    for key, pixels in np.load(file).items():
        image, named = Image.fromarray(pixels), key.split(", ")[1]
        found[key] = [
            float(np.mean([np.abs(corrupted(image, named, at, seed) - pixels.astype(float)) for seed in range(DRAWS)]))
            for at in (1, 2, 3, 4, 5)
        ]
    return found


if __name__ == "__main__":
    np.fromstring = np.frombuffer  # the package asks for it by its old name, which NumPy 2.3 took away
    if len(sys.argv) > 1:
        print(json.dumps(changes(sys.argv[1])))
    else:
        main()
