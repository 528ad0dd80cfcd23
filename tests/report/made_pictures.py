"""Pictures of a made-up study, grey squares with a disc each, and how visible its confounders are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tests.report.made import NAN, Made

from assay.core.seeds import generator
from assay.store.files import Row


def pictures(root: Path, made: Made) -> Iterator[Row]:
    common = {"pixel_size": 0.7, "environment": "", "factor": "", "logits": "{}"}
    for name in ("train", *made.environments):
        text = f"{name}: rows are benign, then malignant. 1000 images (500 benign, 500 malignant)."
        scale = _picture(root / "pictures" / f"sheet-{name}.png", [[64] * 8] * 2, 2)
        yield {**common, "file": f"sheet-{name}.png", "kind": "sheet", "caption": text, "alt": text, "scale": scale,
               "environment": name}  # fmt: skip
    for confounder in ("tag", "low-pass"):
        text = f"{confounder}: the same 8 test images without it, with it, and the difference × 5."
        scale = _picture(root / "pictures" / f"confounder-{confounder}.png", [[64] * 8] * 3, 2)
        yield {**common, "file": f"confounder-{confounder}.png", "kind": "confounder", "caption": text, "alt": text,
               "scale": scale, "factor": confounder}  # fmt: skip
    for factor, i in itertools.product(("margin", "texture", "size"), range(3)):
        text = f"{factor}: 0.1, 0.9, and the difference (grey: none). All else is the same."
        logits = {recipe: [-1.2 - n / 3, 2.1 - n / 5] for n, (recipe, _) in enumerate(made.recipes)}
        scale = _picture(root / "pictures" / f"pair-{factor}-{i}.png", [[64] * 3], 4)
        yield {**common, "file": f"pair-{factor}-{i}.png", "kind": "pair", "caption": text, "alt": text,
               "scale": scale, "factor": factor, "logits": json.dumps(logits)}  # fmt: skip


def visibility() -> Iterator[Row]:
    common = {"kind": "intervention", "images": 64, "reason": ""}
    yield {**common, "confounder": "tag", "factor": "tag", "share": 0.0137, "difference": 0.0081, "ssim": 0.968}
    yield {**common, "confounder": "low-pass(cutoff=0.2)", "factor": "low-pass", "share": 0.791, "difference": 0.0112,
           "ssim": NAN, "reason": "an edge is shorter than the window of 11 px"}  # fmt: skip
    yield {**common, "confounder": "sex", "factor": "sex", "kind": "sampled", "share": NAN, "difference": NAN,
           "ssim": NAN, "images": 0, "reason": "by sampling: no pixel is changed"}  # fmt: skip


def _picture(path: Path, tiles: list[list[int]], scale: int) -> int:
    """A grid of grey squares with a disc each, enlarged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [np.concatenate([_disc(size, r * 8 + c) for c, size in enumerate(row)], 1) for r, row in enumerate(tiles)]
    image = np.concatenate(rows).repeat(scale, 0).repeat(scale, 1)
    Image.fromarray(image).save(path)
    return scale


def _disc(size: int, number: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    noise = generator(3, "disc", number).normal(0, 12, (size, size))
    tile = 60 + noise + 130 * (np.hypot(x, y) < 5 + number % 5)
    tile[:, -2:] = tile[-2:] = 255
    return tile.clip(0, 255).astype(np.uint8)
