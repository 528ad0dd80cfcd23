"""How near the nodule phantom comes to real lung nodules, in numbers.

    python benchmarks/phantom_realism.py            # the phantom beside the LIDC crops, if they are found
    python benchmarks/phantom_realism.py --markdown # the table as it stands in docs/phantom-nodule.md
    python benchmarks/phantom_realism.py --sheet docs/images/phantom-nodule.png

Real crops are looked for in ASSAY_ASSETS; those at least as wide as the phantom's field are cut to
it and resampled to the same 64 px. Every figure is the 10th, 50th and 90th percentile over images.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from assay.core.seeds import generator
from assay.data.phantoms.nodule import FIELD, HIGH, LOW, NodulePhantom

SIZE = 64
PIXEL = FIELD / SIZE
AIR = -600.0  # HU under which a pixel counts as lung
BLOCK = 12  # px, side of the blocks in which noise is measured
BANDS = ((0.05, 0.2), (0.2, 0.35), (0.35, 0.5))  # cycles per pixel


def real_crops(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """HU [n, 64, 64] and masks of the crops that show at least the phantom's field."""
    table = pd.read_csv(root / "data.csv")
    table = table[(table.mask_exact == 1) & (table.pixel_mm * 71 >= FIELD)]
    images = [resample(root / name, mm) for name, mm in zip(table.image, table.pixel_mm, strict=True)]
    masks = [resample(root / name, mm) > 0.5 for name, mm in zip(table["mask"], table.pixel_mm, strict=True)]
    return LOW + (HIGH - LOW) * np.stack(images), np.stack(masks)


def resample(path: Path, pixel_mm: float) -> np.ndarray:
    """The middle 48 mm of a crop at 64 px, 0..1."""
    image = Image.open(path).convert("L")
    center, half = image.width / 2, FIELD / pixel_mm / 2
    box = (max(center - half, 0), max(center - half, 0), min(center + half, 71), min(center + half, 71))
    resized = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
    return np.asarray(resized, dtype=np.float64) / 255


def phantom_crops(count: int) -> tuple[np.ndarray, np.ndarray]:
    """HU [n, 64, 64] and masks of as many phantom images, every factor drawn from its marginal."""
    phantom, draws = NodulePhantom(), generator(0, "realism")
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    rendered = phantom.render(values, draws.integers(0, 2**31, count), SIZE, {})
    return LOW + (HIGH - LOW) * rendered.images[:, 0].numpy().astype(np.float64), rendered.masks[:, 0].numpy()


def diameter(hu: np.ndarray, mask: np.ndarray) -> float:
    return 2 * PIXEL * float(np.sqrt(mask.sum() / np.pi))


def around(hu: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Small bright things outside the mask (vessels), and large ones (chest wall, mediastinum)."""
    outside = ~ndimage.binary_dilation(mask, iterations=3)
    labels, count = ndimage.label((hu > AIR) & outside)
    areas = ndimage.sum_labels(np.ones_like(hu), labels, np.arange(count + 1))
    return (labels > 0) & (areas[labels] < 80), (labels > 0) & (areas[labels] >= 80)


def vessel_share(hu: np.ndarray, mask: np.ndarray) -> float:
    small, large = around(hu, mask)
    lung = ~large & ~mask
    return 100 * float((small & lung).sum() / max(lung.sum(), 1))


def wall_share(hu: np.ndarray, mask: np.ndarray) -> float:
    return 100 * float(around(hu, mask)[1].mean())


def ridge(hu: np.ndarray, mask: np.ndarray) -> float:
    """The 95th percentile over lung pixels of the sharpest downward bend (HU per square pixel), smoothed by 1 px."""
    xx, yy, xy = (ndimage.gaussian_filter(hu, 1, order=order) for order in ((0, 2), (2, 0), (1, 1)))
    bend = -((xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2))
    avoid = ndimage.binary_dilation(around(hu, mask)[1] | mask, iterations=3)
    return float(np.percentile(bend[~avoid], 95)) if (~avoid).sum() > 100 else np.nan


def edge(hu: np.ndarray, mask: np.ndarray) -> float:
    """The 80th percentile of the gradient within 2 px of the mask's boundary, HU per mm.

    Readers draw their contour somewhat outside, the phantom's lies at half coverage: so not on the contour itself.
    """
    near = ndimage.binary_dilation(mask, iterations=2) & ~ndimage.binary_erosion(mask, iterations=2)
    slope = np.hypot(ndimage.sobel(hu, 0), ndimage.sobel(hu, 1)) / (8 * PIXEL)
    return float(np.percentile(slope[near], 80)) if near.any() else np.nan


def quiet_blocks(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blocks of nothing but lung, detrended by a plane [k, 12, 12]."""
    busy = ndimage.binary_dilation((ndimage.gaussian_filter(hu, 1) > -720) | mask, iterations=1)
    found = [
        hu[r : r + BLOCK, c : c + BLOCK]
        for r in range(0, SIZE - BLOCK + 1, BLOCK // 2)
        for c in range(0, SIZE - BLOCK + 1, BLOCK // 2)
        if not busy[r : r + BLOCK, c : c + BLOCK].any()
    ]
    if not found:
        return np.empty((0, BLOCK, BLOCK))
    blocks = np.stack(found).reshape(len(found), -1)
    line = np.arange(BLOCK) - (BLOCK - 1) / 2
    plane = np.stack([np.ones(BLOCK * BLOCK), np.tile(line, BLOCK), np.repeat(line, BLOCK)], 1)
    return (blocks - blocks @ np.linalg.pinv(plane).T @ plane.T).reshape(-1, BLOCK, BLOCK)


def noise(hu: np.ndarray, mask: np.ndarray) -> float:
    blocks = quiet_blocks(hu, mask)
    return float(np.sqrt((blocks**2).mean())) if len(blocks) else np.nan


def band(low: float, high: float) -> Callable[[np.ndarray, np.ndarray], float]:
    """The share of the noise power in quiet lung that lies in a radial band of frequencies, in percent."""
    frequency = np.hypot(np.fft.fftfreq(BLOCK)[:, None], np.fft.fftfreq(BLOCK)[None])
    inside, all_bands = (frequency >= low) & (frequency < high), (frequency >= 0.05) & (frequency < 0.5)

    def share(hu: np.ndarray, mask: np.ndarray) -> float:
        blocks = quiet_blocks(hu, mask)
        if not len(blocks):
            return np.nan
        power = (np.abs(np.fft.fft2(blocks)) ** 2).mean(0)
        return 100 * float(power[inside].sum() / power[all_bands].sum())

    return share


def quantile_of(q: float, where: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., float]:
    def value(hu: np.ndarray, mask: np.ndarray) -> float:
        chosen = hu[where(hu, mask)]
        return float(np.quantile(chosen, q)) if chosen.size else np.nan

    return value


def lung(hu: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return ~ndimage.binary_dilation(around(hu, mask)[1] | mask, iterations=2)


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "nodule diameter (mask area), mm": diameter,
    "nodule median, HU": quantile_of(0.5, lambda hu, mask: mask),
    "nodule 90th percentile, HU": quantile_of(0.9, lambda hu, mask: mask),
    "whole image median, HU": quantile_of(0.5, lambda hu, mask: np.ones_like(mask)),
    "lung median, HU": quantile_of(0.5, lung),
    "lung 10th percentile, HU": quantile_of(0.1, lung),
    "lung 90th percentile, HU": quantile_of(0.9, lung),
    "lung 99th percentile, HU": quantile_of(0.99, lung),
    "chest wall and the like, % of image": wall_share,
    "vessels over -600 HU, % of lung": vessel_share,
    "ridges, 95th percentile, HU/px2": ridge,
    "gradient at the nodule's edge, HU/mm": edge,
    "standard deviation in quiet lung, HU": noise,
    **{f"noise power {low:g}-{high:g} cycles/px, %": band(low, high) for low, high in BANDS},
}


def summary(images: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Measure -> 10th, 50th and 90th percentile over images."""
    values = {
        name: [measure(hu, mask) for hu, mask in zip(images, masks, strict=True)] for name, measure in MEASURES.items()
    }
    return {name: np.nanpercentile(found, [10, 50, 90]) for name, found in values.items()}


def contact_sheet(columns: int = 10, random_rows: int = 4) -> Image.Image:
    """A row per factor from low to high, all else held; then patches with every factor drawn from its marginal."""
    phantom = NodulePhantom()
    middle = {factor.name: phantom.quantile(factor.name, np.full(columns, 0.4)) for factor in phantom.factors}
    rows: list[np.ndarray] = []
    for number, factor in enumerate(phantom.factors):
        steps = phantom.quantile(factor.name, np.linspace(0, 0.999, columns))
        values = {**middle, "margin": np.full(columns, 0.2), factor.name: steps}
        rows.append(phantom.render(values, np.full(columns, 100 + number), 96, {}).images[:, 0].numpy())
    draws, count = generator(0, "sheet"), columns * random_rows
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    drawn = phantom.render(values, draws.integers(0, 2**31, count), 96, {}).images[:, 0].numpy()
    rows.extend(drawn.reshape(random_rows, columns, 96, 96))
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return Image.fromarray(np.round(sheet * 63).astype(np.uint8) * 4)  # 64 grays: half the file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--count", type=int, default=800)
    parser.add_argument("--sheet", type=Path, help="write the phantom's contact sheet here and end")
    options = parser.parse_args()
    if options.sheet:
        contact_sheet().save(options.sheet, optimize=True)
        return
    assets = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[2] / "shared" / "assets")) / "lung-nodule"
    columns = {"phantom": summary(*phantom_crops(options.count))}
    if assets.exists():
        images, masks = real_crops(assets)
        columns[f"real (n = {len(images)})"] = summary(images, masks)
    bar = "|" if options.markdown else ""
    print(
        f"{bar} {'10th / 50th / 90th percentile':44} {bar} " + f" {bar} ".join(f"{c:24}" for c in columns) + f" {bar}"
    )
    if options.markdown:
        print("|---" * (1 + len(columns)) + "|")
    for name in MEASURES:
        cells = [
            " / ".join(f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}" for value in c[name])
            for c in columns.values()
        ]
        print(f"{bar} {name:44} {bar} " + f" {bar} ".join(f"{cell:24}" for cell in cells) + f" {bar}")


if __name__ == "__main__":
    main()
