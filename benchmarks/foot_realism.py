"""How near the foot phantom comes to real photographs, in numbers.

    python benchmarks/foot_realism.py            # the phantom beside the foot-ulcer set, if it is found
    python benchmarks/foot_realism.py --markdown # the table as it stands in docs/phantom-foot.md
    python benchmarks/foot_realism.py --speed    # images per processor second on one thread
    python benchmarks/foot_realism.py --sheet docs/images/phantom-foot.png

Real photographs are looked for in ASSAY_ASSETS, and resampled to the same 128 px. Every figure is
the 10th, 50th and 90th percentile over images that show an ulcer; black padding is left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage

from assay.core.seeds import generator
from assay.data.phantoms.foot import FootPhantom

SIZE = 128
BANDS = ((0.02, 0.06), (0.06, 0.12), (0.12, 0.25), (0.25, 0.5))  # cycles per pixel
BINS = 64

Photo = tuple[np.ndarray, np.ndarray]
"""Colors 0 to 1 [h, w, 3] and the ulcers' mask [h, w], without padding."""


def real_photos(root: Path, count: int) -> list[Photo]:
    """The first `count` photographs with an ulcer in an order drawn once."""
    table = pd.read_csv(root / "data.csv")
    table = table[table.lesion_fraction > 0]
    photos: list[Photo] = []
    for k in generator(0, "real", "foot").permutation(len(table))[:count]:
        image, mask = (Image.open(root / str(table[name].iloc[k])) for name in ("image", "mask"))
        shrunk = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)
        inside = mask.convert("L").resize((SIZE, SIZE), Image.Resampling.BOX)
        photos.append(unpadded(np.asarray(shrunk, dtype=np.float64) / 255, np.asarray(inside) >= 128))
    return photos


def phantom_photos(count: int) -> list[Photo]:
    """As many phantom images with an ulcer, padded, every other factor drawn from its marginal."""
    phantom, draws = FootPhantom(padded=1.0), generator(0, "realism", "foot")
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    values["lesion"] = np.ones(count, dtype=np.int64)
    made = phantom.render(values, draws.integers(0, 2**31, count), SIZE, {})
    images = made.images.permute(0, 2, 3, 1).numpy().astype(np.float64)
    return [unpadded(image, mask) for image, mask in zip(images, made.masks[:, 0].numpy(), strict=True)]


def unpadded(image: np.ndarray, mask: np.ndarray) -> Photo:
    """Without the lines and columns that are all but black."""
    lit = image.max(axis=2) > 0.08
    lines, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    part = (slice(lines[0], lines[-1] + 1), slice(columns[0], columns[-1] + 1))
    return image[part], mask[part]


def gray(image: np.ndarray) -> np.ndarray:
    """Luma of Rec. 601."""
    return image @ np.array([0.299, 0.587, 0.114])


def around(mask: np.ndarray) -> np.ndarray:
    """A ring of skin (and what else lies there), 3 to 6 px from the ulcer."""
    return ndimage.binary_dilation(mask, iterations=6) & ~ndimage.binary_dilation(mask, iterations=3)


def level(q: float) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda image, mask: float(np.quantile(gray(image), q))


def area(image: np.ndarray, mask: np.ndarray) -> float:
    """Of the square image, in %."""
    return 100 * float(mask.sum()) / SIZE**2


def pieces(image: np.ndarray, mask: np.ndarray) -> float:
    """Ulcers, as parts of the mask of at least 4 px that do not touch."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return float((np.bincount(labels.ravel(), minlength=count + 1)[1:] >= 4).sum())


def ragged(image: np.ndarray, mask: np.ndarray) -> float:
    """Perimeter over that of the circle of equal area; a pixelled circle has some 1.1."""
    if mask.sum() < 30:
        return np.nan
    edges = int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
    return np.pi / 4 * edges / (2 * float(np.sqrt(np.pi * mask.sum())))


def bed_over_skin(channel: int) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(image: np.ndarray, mask: np.ndarray) -> float:
        ring = around(mask)
        if mask.sum() < 8 or not ring.any():
            return np.nan
        return float(image[mask][:, channel].mean() - image[ring][:, channel].mean())

    return value


def skin(channel: int) -> Callable[[np.ndarray, np.ndarray], float]:
    def value(image: np.ndarray, mask: np.ndarray) -> float:
        ring = around(mask)
        return float(image[ring][:, channel].mean()) if ring.any() else np.nan

    return value


def colorful(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean difference of the greatest and the smallest channel."""
    return float((image.max(axis=2) - image.min(axis=2)).mean())


def band(low: float, high: float) -> Callable[[np.ndarray, np.ndarray], float]:
    """Log10 of the mean power per frequency in a radial band, against that of all frequencies over 0.02."""

    def share(image: np.ndarray, mask: np.ndarray) -> float:
        shade = gray(image)
        taper = np.hanning(shade.shape[0])[:, None] * np.hanning(shade.shape[1])[None]
        power = np.abs(np.fft.fft2((shade - shade.mean()) * taper)) ** 2
        down, across = (np.fft.fftfreq(n) for n in shade.shape)
        frequency = np.hypot(down[:, None], across[None])
        inside = (frequency >= low) & (frequency < high)
        return float(np.log10(power[inside].mean() / power[frequency >= 0.02].mean()))

    return share


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ulcers, % of the image": area,
    "ulcers, how many": pieces,
    "ulcers, perimeter over a circle's": ragged,
    **{f"ulcer over skin around, {name}": bed_over_skin(k) for k, name in enumerate(("red", "green", "blue"))},
    **{f"skin around, {name}": skin(k) for k, name in enumerate(("red", "green", "blue"))},
    **{f"gray, {round(100 * q)}th percentile": level(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
    "colorfulness": colorful,
    **{f"log10 power, {low:g}-{high:g} cycles/px": band(low, high) for low, high in BANDS},
}


def summary(photos: list[Photo]) -> dict[str, np.ndarray]:
    """Measure -> 10th, 50th and 90th percentile over images."""
    return {
        name: np.nanpercentile([measure(*photo) for photo in photos], [10, 50, 90])
        for name, measure in MEASURES.items()
    }


def distance(first: list[Photo], second: list[Photo], channel: int) -> float:
    """Earth mover's distance between the pooled levels of a channel, in levels of 1."""
    shares: list[np.ndarray] = []
    for photos in (first, second):
        pooled = np.concatenate([image[..., channel].ravel() for image, _ in photos])
        shares.append(np.histogram(pooled, BINS, (0, 1))[0] / pooled.size)
    return float(np.abs(np.cumsum(shares[0] - shares[1])).sum() / BINS)


def contact_sheet(columns: int = 8, random_rows: int = 4, size: int = 96) -> Image.Image:
    """A row per factor from low to high, all else held; then photographs with every factor from its marginal."""
    phantom = FootPhantom(padded=0.0, grain=0.0)
    middle = {factor.name: phantom.quantile(factor.name, np.full(columns, 0.6)) for factor in phantom.factors}
    held = {"size": 0.16, "contrast": 1.0, "rim": 0.3, "count": 0, "skin_tone": 0.2, "background": 0, "view": 0}
    held |= {"illumination": 0.0, "position_x": 0.0, "position_y": -0.1}
    middle |= {name: np.full(columns, value) for name, value in held.items()}
    rows: list[np.ndarray] = []
    for number, factor in enumerate(phantom.factors):
        values = {**middle, factor.name: phantom.quantile(factor.name, np.linspace(0, 0.999, columns))}
        rows.append(pictures(phantom, values, np.full(columns, 40 + number), size))
    draws, count = generator(0, "sheet", "foot"), columns * random_rows
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    drawn = pictures(FootPhantom(grain=0.0), values, draws.integers(0, 2**31, count), size)
    rows.extend(drawn.reshape(random_rows, columns, size, size, 3))
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return Image.fromarray(np.round(sheet * 31).astype(np.uint8) * 8)  # 32 levels a channel: a third of the file


def pictures(phantom: FootPhantom, values: dict[str, np.ndarray], nuisance: np.ndarray, size: int) -> np.ndarray:
    """Colors 0 to 1, [n, size, size, 3]."""
    return phantom.render(values, nuisance, size, {}).images.permute(0, 2, 3, 1).numpy()


def speed() -> None:
    """Best of three renderings on one thread."""
    torch.set_num_threads(1)
    phantom, draws = FootPhantom(), generator(0, "speed", "foot")
    for size in (64, 96, 128, 224, 512):
        count = max(24, 4_000_000 // size**2)
        values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
        nuisance = draws.integers(0, 2**31, count)
        spent: list[float] = []
        for _ in range(3):
            began = time.process_time()
            phantom.render(values, nuisance, size, {})
            spent.append(time.process_time() - began)
        print(f"{size} px: {count / min(spent):,.0f} images per processor second", flush=True)


def line(cells: list[str], bar: str) -> str:
    return f"{bar} {cells[0]:36} {bar} " + f" {bar} ".join(f"{cell:24}" for cell in cells[1:]) + f" {bar}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--sheet", type=Path, help="write the phantom's contact sheet here and end")
    options = parser.parse_args()
    if options.sheet:
        contact_sheet().save(options.sheet, optimize=True)
        return
    if options.speed:
        speed()
        return
    assets = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[2] / "shared" / "assets")) / "foot-ulcer"
    made = phantom_photos(options.count)
    columns, apart = {f"phantom (n = {len(made)})": summary(made)}, ""
    if assets.exists():
        real = real_photos(assets, options.count)
        columns[f"real (n = {len(real)})"] = summary(real)
        apart = ", ".join(f"{name} {distance(made, real, k):.3f}" for k, name in enumerate(("red", "green", "blue")))
    bar = "|" if options.markdown else ""
    print(line(["10th / 50th / 90th percentile", *columns], bar))
    if options.markdown:
        print("|---" * (1 + len(columns)) + "|")
    for name in MEASURES:
        print(line([name, *(" / ".join(f"{value:.2f}" for value in c[name]) for c in columns.values())], bar))
    if apart:
        print(f"\nEarth mover's distance between all levels, phantom to real: {apart}")


if __name__ == "__main__":
    main()
