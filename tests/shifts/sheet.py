"""The contact sheet of all interventions: `python -m tests.shifts.sheet` writes docs/images/interventions.png.

With a folder of pictures after it, it shows them on the first picture there instead, in a file that is named last.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from assay.plugin import build, draw, entries

OUT = Path(__file__).parents[2] / "docs" / "images" / "interventions.png"
SIZE, COLUMNS, CAPTION, GAP = 160, 6, 20, 8
STRONGER = {  # so that a reader of the sheet sees them; what is not named stands at its default
    "poisson-noise": {"photons": 1e5},
    "low-pass": {"cutoff": 0.2},
    "blur": {"sigma": 0.02},
    "resample": {"factor": 5},
    "jpeg": {"quality": 8},
}


def phantom_patch() -> Tensor:
    """A solid nodule of the phantom, [1, h, w]."""
    phantom = build("phantom", "nodule", {})
    values = {factor.name: phantom.quantile(factor.name, np.array([0.6])) for factor in phantom.factors}
    return phantom.render(values, np.array([4]), SIZE, {}).images[0]


def picture(path: Path) -> Tensor:
    """A picture's middle square, [c, h, w]."""
    with Image.open(path) as opened:
        image = opened if opened.mode == "L" else opened.convert("RGB")
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        pixels = np.asarray(image.crop((left, top, left + edge, top + edge)).resize((SIZE, SIZE)))
    return torch.as_tensor(pixels.copy()).float().view(SIZE, SIZE, -1).permute(2, 0, 1) / 255


def sheet(image: Tensor, row: int = 3) -> Image.Image:
    """The image as it is, then with every intervention in turn, captioned."""
    shown = {"as it is": image}
    for entry in entries("intervention"):
        made = build("intervention", entry.name, STRONGER.get(entry.name, {}))
        marked, rows = np.ones(1, dtype=bool), np.array([row])
        drawn = draw(entry.name, made, marked, rows, 0, tuple(image.shape))
        shown[entry.name] = drawn.apply(image[None], np.array([0]))[0]
    lines = -(-len(shown) // COLUMNS)
    step = SIZE + GAP
    page = Image.new("RGB", (COLUMNS * step + GAP, lines * (step + CAPTION) + GAP), "white")
    for i, (name, pixels) in enumerate(shown.items()):
        left, top = GAP + (i % COLUMNS) * step, GAP + (i // COLUMNS) * (step + CAPTION)
        values = (pixels.expand(3, -1, -1) * 255).round().byte().permute(1, 2, 0).numpy()
        page.paste(Image.fromarray(values), (left, top))
        ImageDraw.Draw(page).text((left, top + SIZE + 3), name, fill="black", font=ImageFont.load_default(13))
    return page


if __name__ == "__main__":
    if len(sys.argv) > 2:
        files = sorted(path for path in Path(sys.argv[1]).rglob("*") if path.suffix in (".jpg", ".jpeg", ".png"))
        sheet(picture(files[0])).save(sys.argv[2])
    else:
        sheet(phantom_patch()).quantize(128).save(OUT, optimize=True)
