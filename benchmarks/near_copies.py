"""Near copies: the share of made copies that are found, false pairs, and processor time an image.

    python benchmarks/near_copies.py --phantoms
    python benchmarks/near_copies.py fundus=DATA.csv chest=OTHER.csv --patients patient --images 300 --copies 100

A set is a table with a column `image` (paths from the table's folder). Some of its images are copied and changed, and
the copies are searched together with all images that were drawn, as rows of patients of their own: found is a copy that
is paired with its original, in brackets those of a likeness that makes them copies and no suspects. False pairs are
pairs among the originals of different patients; where `--patients` names no column, those of one patient too, such as
of both eyes. They may be true copies, and are listed with `--list`. Time is processor time on one thread, without and
with decoding the files. `--rows` takes made-up images instead, all different, and prints how the search grows with
their number.
"""

from __future__ import annotations

import io
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _shared import Page, parser
from PIL import Image, ImageDraw, ImageFont

from assay.core.seeds import generator
from assay.data.near_copies import details, near_pairs
from assay.data.phantoms.chest import ChestPhantom
from assay.data.phantoms.fundus import FundusPhantom
from assay.look.checks import CERTAIN_LIKENESS

PHANTOM_SIZE = 128
Transpose = Image.Transpose
Change = Callable[[Image.Image], Image.Image]


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """A JPEG of this quality."""
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=quality)
    return Image.open(kept)


def cropped(image: Image.Image, share: float, x: float, y: float) -> Image.Image:
    """A window of this share of both sides; x, y from 0 (left, top) to 1."""
    width, height = round(image.width * share), round(image.height * share)
    left, top = round((image.width - width) * x), round((image.height - height) * y)
    return image.crop((left, top, left + width, top + height))


def shifted(image: Image.Image, share: float) -> Image.Image:
    """Moved to the right and up by this share, black where nothing is left."""
    move = (1, 0, -share * image.width, 0, 1, share * image.height)
    return image.transform(image.size, Image.Transform.AFFINE, move)


def in_levels(image: Image.Image, change: Callable[[float], float]) -> Image.Image:
    """Every level of every channel changed."""
    return image.point([min(255, int(change(value))) for value in range(256)] * len(image.getbands()))


def padded(image: Image.Image) -> Image.Image:
    """With constant borders: black above and below, by a fifth of the height."""
    wide = Image.new(image.mode, (image.width, round(image.height * 1.4)))
    wide.paste(image, (0, round(image.height * 0.2)))
    return wide


def annotated(image: Image.Image) -> Image.Image:
    """With two lines of white text in a corner and a caliper across the middle."""
    made, white = image.copy(), 255 if image.mode == "L" else (255, 255, 255)
    draw, side = ImageDraw.Draw(made), min(image.size)
    font = ImageFont.load_default(max(8, side // 16))
    draw.multiline_text((side // 40, side // 40), "PORTABLE 12:30\nR SUPINE", fill=white, font=font)
    draw.line((side * 0.3, side * 0.4, side * 0.6, side * 0.6), fill=white, width=max(1, side // 100))
    return made


CHANGES: dict[str, Change] = {
    "mirrored": lambda image: image.transpose(Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Transpose.FLIP_TOP_BOTTOM),
    "quarter turn": lambda image: image.transpose(Transpose.ROTATE_90),
    "half turn": lambda image: image.transpose(Transpose.ROTATE_180),
    "mirrored and turned": lambda image: image.transpose(Transpose.TRANSPOSE),
    "padded": padded,
    "padded, half turn": lambda image: padded(image).transpose(Transpose.ROTATE_180),
    "annotated": annotated,
    "annotated, mirrored": lambda image: annotated(image.transpose(Transpose.FLIP_LEFT_RIGHT)),
    "JPEG 60": lambda image: encoded(image, 60),
    "JPEG 30": lambda image: encoded(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR),
    "middle 95 %": lambda image: cropped(image, 0.95, 0.5, 0.5),
    "middle 90 %": lambda image: cropped(image, 0.9, 0.5, 0.5),
    "corner 90 %": lambda image: cropped(image, 0.9, 0, 1),
    "side 90 %": lambda image: cropped(image, 0.9, 1, 0.5),
    "90 %, mirrored, JPEG 75": lambda image: encoded(
        cropped(image, 0.9, 0.3, 0.8).transpose(Transpose.FLIP_LEFT_RIGHT), 75
    ),
    "middle 80 %": lambda image: cropped(image, 0.8, 0.5, 0.5),
    "shifted by 4 %": lambda image: shifted(image, 0.04),
    "brighter by 30 %": lambda image: in_levels(image, lambda value: value * 1.3 + 10),
    "gamma 1.3": lambda image: in_levels(image, lambda value: 255 * (value / 255) ** 1.3),
    "turned by 2 degrees": lambda image: image.rotate(2, Image.Resampling.BILINEAR),
    "turned by 5 degrees": lambda image: image.rotate(5, Image.Resampling.BILINEAR),
}


@dataclass(frozen=True)
class Set:
    """Images by a call each, names for messages, and patients."""

    name: str
    images: Sequence[Callable[[], Image.Image]]
    names: Sequence[str]
    patients: np.ndarray


def of_table(name: str, path: Path, patients: str, most: int) -> Set:
    """Rows of a table, drawn at random."""
    table = pd.read_csv(path, dtype=str)
    table = table.sample(min(most, len(table)), random_state=0).reset_index(drop=True)
    own = table[patients] if patients in table else table["image"]
    files = [path.parent / image for image in table["image"]]
    return Set(name, [lambda file=file: opened(file) for file in files], list(table["image"]), own.factorize()[0])


def opened(path: Path) -> Image.Image:
    """A file's picture, gray or RGB."""
    image = Image.open(path)
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def of_phantom(name: str, phantom: ChestPhantom | FundusPhantom, most: int) -> Set:
    """Images of a phantom, factors from their marginals."""
    draws = generator(0, "near copies", name)
    values = {factor.name: phantom.quantile(factor.name, draws.random(most)) for factor in phantom.factors}
    pixels = phantom.render(values, draws.integers(0, 2**31, most), PHANTOM_SIZE, {}).images.permute(0, 2, 3, 1)
    arrays = (pixels.numpy() * 255).round().astype(np.uint8)
    made = [Image.fromarray(one[..., 0] if one.shape[2] == 1 else one) for one in arrays]
    return Set(name, [lambda one=one: one for one in made], [str(at) for at in range(most)], np.arange(most))


def detail(image: Image.Image) -> np.ndarray:
    """What near copies are found by."""
    return details(np.asarray(image))


def main() -> None:
    """Print a table with a row per kind of copy and a column per set."""
    asked = parser(__doc__)
    asked.add_argument("sets", nargs="*", metavar="NAME=TABLE.csv")
    asked.add_argument("--patients", default="patient", help="the column that names patients; else images are")
    asked.add_argument("--images", type=int, default=300)
    asked.add_argument("--copies", type=int, default=100)
    asked.add_argument("--phantoms", action="store_true", help="also images of the chest and fundus phantoms")
    asked.add_argument("--no-recall", action="store_true", help="false pairs and time alone")
    asked.add_argument("--list", action="store_true", help="name the false pairs")
    asked.add_argument("--rows", type=int, nargs="+", default=(), help="numbers of made-up images, in rising order")
    options = asked.parse_args()
    torch.set_num_threads(1)
    if options.rows:
        growth(options.rows, options.out)
        return
    chosen = [(name, Path(path)) for name, _, path in (given.partition("=") for given in options.sets)]
    sets = [of_table(name, path, options.patients, options.images) for name, path in chosen]
    if options.phantoms:
        sets.append(of_phantom("phantom chest", ChestPhantom(), options.images))
        sets.append(of_phantom("phantom fundus", FundusPhantom(), options.images))
    facts = ", ".join(f"{one.name}: {len(one.images):,} images of {len(set(one.patients.tolist())):,}" for one in sets)
    page = Page(["", *(one.name for one in sets)], options.out, facts)
    found = [measured(one, options.copies, not options.no_recall) for one in sets]
    for row in found[0][0]:
        page.row(row, *(cells[row] for cells, _ in found))
    page.close(
        *(f"{one.name}: {line}" for one, (_, pairs) in zip(sets, found, strict=True) for line in pairs if options.list)
    )


def growth(numbers: Sequence[int], out: Path | None) -> None:
    """Print processor time of the search, and the memory of the process, for sets of made-up images."""
    page = Page(["images", "details, s", "search, s", "most memory so far, MB"], out, "random scenes, all different")
    for number in numbers:
        draws, start = generator(0, "near copies", "growth"), time.process_time()
        coarse = (Image.fromarray(draws.normal(size=(14, 14)).astype(np.float32)) for _ in range(number))
        scenes = (np.asarray(one.resize((128, 128), Image.Resampling.BICUBIC)) for one in coarse)
        plain = np.stack([details(np.clip(128 + 28 * one, 0, 255).astype(np.uint8)) for one in scenes])
        made = time.process_time()
        near_pairs(plain, np.arange(number))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        page.row(f"{number:,}", f"{made - start:.1f}", f"{time.process_time() - made:.1f}", f"{memory:,.0f}")
    page.close()


def measured(of: Set, copies: int, recall: bool) -> tuple[dict[str, str], list[str]]:
    """The cells of one set by row, and its false pairs in words."""
    start = time.process_time()
    images = [read() for read in of.images]
    for image in images:
        image.load()
    decoded = time.process_time()
    plain = np.stack([detail(image) for image in images])
    pairs = near_pairs(plain, of.patients)
    searched = time.process_time()
    own = of.patients.max() + 1 + np.arange(copies)
    cells: dict[str, str] = {}
    for kind, change in CHANGES.items() if recall else ():
        made = np.stack([detail(change(image)) for image in images[:copies]])
        n = len(made)
        hits = near_pairs(np.concatenate([plain, made]), np.concatenate([of.patients, own[:n]]))
        likeness = {(pair.first, pair.second): pair.likeness for pair in hits}
        own_pair = np.array([likeness.get((at, len(plain) + at), 0.0) for at in range(n)])
        cells[kind] = f"{np.mean(own_pair > 0):.2f} ({np.mean(own_pair >= CERTAIN_LIKENESS):.2f})"
        print(f"{of.name}, {kind}: {cells[kind]}", file=sys.stderr, flush=True)
    paired = {at for pair in pairs for at in (pair.first, pair.second)}
    cells["pairs among originals"] = f"{len(pairs):,} ({sum(pair.likeness >= CERTAIN_LIKENESS for pair in pairs):,})"
    cells["images in them"] = f"{100 * len(paired) / len(images):.1f} %"
    cells["ms an image"] = f"{1000 * (searched - decoded) / len(images):.1f}"
    cells["ms with decoding"] = f"{1000 * (searched - start) / len(images):.1f}"
    return cells, [f"{of.names[p.first]} and {of.names[p.second]} ({p.likeness:.3f})" for p in pairs]


if __name__ == "__main__":
    main()
