"""Pictures for the page: at their own pixels, enlarged by the browser by whole multiples, without smoothing."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image

from assay.core.errors import StoreError
from assay.report.axes import Scale
from assay.report.palette import Style
from assay.report.svg import NARROW, Drawing, breadth, line, marker, shortened, text
from assay.report.tables import whole
from assay.stats.format import number
from assay.store.files import Row

BUDGET = 2_500_000
"""Bytes that all pictures of a page may take; above that they are compressed with loss, and the page says so."""


@dataclass(frozen=True)
class Picture:
    """uri: the picture. width, height: in CSS pixels, `scale` times its own. said: the scale in words."""

    uri: str
    width: int
    height: int
    scale: int
    caption: str
    alt: str
    said: str
    factor: str
    environment: str
    logits: dict[str, tuple[float, ...]]


def pictures(root: Path, rows: Sequence[Row], room: int) -> tuple[list[Picture], str]:
    """Every picture no wider than `room` CSS pixels where a whole multiple allows, and a note when loss was needed."""
    natural = [_natural(root, row) for row in rows]
    encoded = [_encoded(image, lossless=True) for image in natural]
    note = ""
    if sum(map(len, encoded)) > BUDGET:
        encoded = [_encoded(image, lossless=False) for image in natural]
        note = "The pictures here are compressed with loss; the exact ones are in the run folder, under pictures/."
    made = [_picture(row, image, uri, room) for row, image, uri in zip(rows, natural, encoded, strict=True)]
    return made, note


def _natural(root: Path, row: Row) -> Image.Image:
    """The picture with one pixel per pixel. Raises StoreError that names a file which is missing or no picture."""
    path = root / "pictures" / Path(row["file"]).name
    try:
        with Image.open(path) as opened:
            image = opened.copy()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}; run `assay report {root}` to make the pictures anew") from error
    scale = max(1, whole(row, "scale"))
    return image.resize((max(1, image.width // scale), max(1, image.height // scale)), Image.Resampling.NEAREST)


def _encoded(image: Image.Image, *, lossless: bool) -> str:
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, format="PNG", optimize=True)
    else:
        image.convert("RGB").save(buffer, format="WEBP", quality=70, method=4)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _picture(row: Row, image: Image.Image, uri: str, room: int) -> Picture:
    scale = max(1, min(4, room // image.width))
    size = float(row["pixel_size"] or 0)
    pixel = f"1 image pixel is {number(size, 2)} mm" if size > 0 else "the size of a pixel in mm is not known"
    said = f"{scale} × {scale} screen pixels per image pixel; {pixel}"
    logits = {
        recipe: tuple(float(one) for one in (value if isinstance(value, list) else [value]))
        for recipe, value in cast("dict[str, Any]", json.loads(row["logits"] or "{}")).items()
    }
    return Picture(
        uri,
        image.width * scale,
        image.height * scale,
        scale,
        row["caption"],
        row["alt"] or row["caption"],
        said,
        row["factor"],
        row["environment"],
        logits,
    )


def logit_drawing(values: dict[str, tuple[float, float]], styles: dict[str, Style], width: float) -> Drawing:
    """What each level made of a pair: its logit with the factor low (hollow end) and high (marked end), beside zero."""
    row = 20.0
    label = min(max(breadth(level, NARROW) for level in values) + 8, width * 0.34)
    said = 92.0
    known = [value for pair in values.values() for value in pair if math.isfinite(value)] or [0.0]
    low, high = min(0.0, *known), max(0.0, *known)
    scale = Scale(low, high if high > low else low + 1, label + 8, width - said - 8)
    bottom = 18 + row * len(values)
    zero = scale(0.0)
    parts = [
        text(label + 8, 11, "logit", size=NARROW, colour="var(--soft)"),
        text(width, 11, "low → high", size=NARROW, anchor="end", colour="var(--soft)"),
        line(zero, 16, zero, bottom, "var(--reference)"),
    ]
    for i, (level, (before, after)) in enumerate(values.items()):
        y, style = 18 + row * (i + 0.5), styles[level]
        parts.append(text(0, y + 4, shortened(level, label, NARROW), size=NARROW, full=level))
        if math.isfinite(before) and math.isfinite(after):
            parts += [
                line(scale(before), y, scale(after), y, style.colour, 2.0),
                line(scale(before), y - 4, scale(before), y + 4, style.colour, 2.0),
                marker(style.marker, scale(after), y, 4.2, style.colour),
            ]
        words = f"{number(before, 1)} → {number(after, 1)}"
        parts.append(text(width, y + 4, words, size=NARROW, anchor="end"))
    return Drawing(width, bottom + 4, "".join(parts))


def logit_words(values: dict[str, tuple[float, float]]) -> str:
    """The same in words."""
    return "Logit with the factor low, then high: " + "; ".join(
        f"{level} {number(before, 1)}, {number(after, 1)}" for level, (before, after) in values.items()
    )
