"""How much the medical families change real pictures beside the nearest of MedMNIST-C: a table in Markdown.

    python -m tests.shifts.medmnistc_likeness PYTHON FUNDUS ENDOSCOPY SKIN CHEST

PYTHON is the interpreter of an environment as `medmnistc_reference.py` says; the others are pictures. Each picture's
middle square at 224 px; the mean absolute change in levels of 8 bits over pixels and channels and over 20 draws, at
severities 1 to 5.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tests.shifts.drawn_again import planes

from assay.plugin import build, draw

SEVERITIES = (1, 2, 3, 4, 5)

SIDE, DRAWS = 224, 20
NEAREST = (
    ("retinal-defocus", "fundus", "retinamnist defocus_blur"),
    ("retinal-illumination", "fundus", "retinamnist brightness_down"),
    ("retinal-artifacts", "fundus", "pathmnist bubble"),
    ("endoscopy-bubbles", "endoscopy", "pathmnist bubble"),
    ("dermoscopy-hair", "skin", "dermamnist characters"),
    ("dermoscopy-ruler", "skin", "dermamnist characters"),
    ("dermoscopy-gel", "skin", "pathmnist bubble"),
    ("xray-noise", "chest", "chestmnist shot_noise"),
    ("xray-under-exposure", "chest", "chestmnist brightness_down"),
)
"""Family, picture, image set and corruption of MedMNIST-C."""


def square(image: Image.Image) -> np.ndarray:
    return np.array(ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.LANCZOS))


def changes(family: str, pixels: np.ndarray) -> list[float]:
    """Of Assay: mean absolute change in levels at each severity."""
    images = (planes(pixels) / 255).expand(DRAWS, -1, -1, -1).contiguous()
    rows, shape = np.arange(DRAWS), tuple(images.shape[1:])
    found = []
    for severity in SEVERITIES:
        made = draw(family, build("distortion", family, {"severity": severity}), rows >= 0, rows, 0, shape)
        found.append(float((made.apply(images, rows) - images).abs().mean()) * 255)
    return found


def theirs(python: str, pictures: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """The same of MedMNIST-C, by the keys of the pictures."""
    script = Path(__file__).with_name("medmnistc_reference.py")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pictures.npz"
        np.savez(file, **pictures)
        told = subprocess.run([python, str(script), str(file)], capture_output=True, text=True, check=True).stdout
    return json.loads(told)


def main(python: str, fundus: str, endoscopy: str, skin: str, chest: str) -> None:
    """Print the table."""
    color = {"fundus": fundus, "endoscopy": endoscopy, "skin": skin}
    shown = {name: square(Image.open(path).convert("RGB")) for name, path in color.items()}
    shown["chest"] = square(Image.open(chest).convert("L"))
    found = theirs(python, {f"{family}, {named}": shown[what] for family, what, named in NEAREST})
    for family, what, named in NEAREST:
        ours = changes(family, shown[what])
        cells = (" ".join(f"{value:.1f}" for value in values) for values in (ours, found[f"{family}, {named}"]))
        print(f"| `{family}` | {what} | {next(cells)} | `{named}` | {next(cells)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
