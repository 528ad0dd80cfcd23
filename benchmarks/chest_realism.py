"""How near the chest phantom comes to real radiographs, in numbers.

    python benchmarks/chest_realism.py            # the phantom beside ChestX-ray14, if it is found
    python benchmarks/chest_realism.py --markdown # the tables as they stand in docs/phantom-chest.md
    python benchmarks/chest_realism.py --sheet docs/images/phantom-chest.png

Real radiographs are looked for in ASSAY_ASSETS, and resampled to the same 128 px. Every figure is
the 10th, 50th and 90th percentile over images, PA and AP apart.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from assay.core.seeds import generator
from assay.data.phantoms.chest import ChestPhantom

SIZE = 128
VIEWS = ("PA", "AP")
BANDS = ((0.01, 0.03), (0.03, 0.06), (0.06, 0.12), (0.12, 0.25), (0.25, 0.5))  # cycles per pixel
BINS = 64

Images = np.ndarray
"""Gray levels 0 to 1, [n, 128, 128]."""


def real_images(root: Path, view: str, count: int) -> Images:
    """The first `count` radiographs of this view in an order drawn once."""
    table = pd.read_csv(root / "data.csv")
    names = table.image[table.view == view].to_numpy()
    chosen = generator(0, "real", view).permutation(names)[:count]
    return np.stack([gray(Image.open(root / name)) for name in chosen])


def gray(image: Image.Image) -> np.ndarray:
    """One image at 128 px, 0 to 1."""
    return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float64) / 255


def phantom_images(view: str, count: int) -> Images:
    """As many phantom images of this view, every other factor drawn from its marginal."""
    phantom, draws = ChestPhantom(), generator(0, "realism")
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    values["view"] = np.full(count, VIEWS.index(view))
    return phantom.render(values, draws.integers(0, 2**31, count), SIZE, {}).images[:, 0].numpy().astype(np.float64)


def window(image: np.ndarray, top: float, bottom: float, left: float, right: float) -> np.ndarray:
    """The part of an image between these shares of its height and width."""
    return image[int(top * SIZE) : int(bottom * SIZE), int(left * SIZE) : int(right * SIZE)]


def lungs(image: np.ndarray) -> float:
    """Median gray of the two windows that hold lung in almost every radiograph."""
    sides = [window(image, 0.28, 0.58, left, left + 0.16) for left in (0.2, 0.64)]
    return float(np.median(np.concatenate(sides)))


def middle_over_lungs(image: np.ndarray) -> float:
    return float(np.median(window(image, 0.3, 0.65, 0.46, 0.54))) - lungs(image)


def belly_over_lungs(image: np.ndarray) -> float:
    return float(np.median(window(image, 0.88, 0.98, 0.3, 0.7))) - lungs(image)


def dark_lung(image: np.ndarray) -> float:
    """Share of the chest (15 to 75 % of the height, 8 to 92 % of the width) nearer to its dark end than its bright."""
    chest = window(image, 0.15, 0.75, 0.08, 0.92)
    return 100 * float((chest < np.quantile(chest, (0.05, 0.95)).mean()).mean())


def mirrored(image: np.ndarray) -> float:
    """Correlation of the chest with its mirror image."""
    chest = window(image, 0.15, 0.75, 0.08, 0.92)
    return float(np.corrcoef(chest.ravel(), chest[:, ::-1].ravel())[0, 1])


def quantile(q: float) -> Callable[[np.ndarray], float]:
    return lambda image: float(np.quantile(image, q))


def power(image: np.ndarray) -> np.ndarray:
    """Power of the middle of the image under a Hann window, mean removed."""
    chest = window(image, 0.12, 0.88, 0.12, 0.88)
    taper = np.hanning(len(chest))[:, None] * np.hanning(chest.shape[1])[None]
    return np.abs(np.fft.fft2((chest - chest.mean()) * taper)) ** 2


def band(low: float, high: float) -> Callable[[np.ndarray], float]:
    """Log10 of the mean power per frequency in a radial band, against that of all frequencies over 0.01."""

    def share(image: np.ndarray) -> float:
        spectrum = power(image)
        frequency = np.hypot(*(np.fft.fftfreq(n)[shape] for n, shape in zip(spectrum.shape, _AXES, strict=True)))
        inside = (frequency >= low) & (frequency < high)
        return float(np.log10(spectrum[inside].mean() / spectrum[frequency >= 0.01].mean()))

    return share


_AXES = ((slice(None), None), (None, slice(None)))

MEASURES: dict[str, Callable[[np.ndarray], float]] = {
    **{f"gray, {round(100 * q)}th percentile": quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
    "lungs, median gray": lungs,
    "mediastinum over lungs": middle_over_lungs,
    "belly over lungs": belly_over_lungs,
    "dark lung, % of the chest": dark_lung,
    "correlation with its mirror image": mirrored,
    **{f"log10 power, {low:g}-{high:g} cycles/px": band(low, high) for low, high in BANDS},
}


def summary(images: Images) -> dict[str, np.ndarray]:
    """Measure -> 10th, 50th and 90th percentile over images."""
    return {
        name: np.percentile([measure(image) for image in images], [10, 50, 90]) for name, measure in MEASURES.items()
    }


def histogram(images: Images) -> np.ndarray:
    """Share of all pixels per gray level."""
    return np.histogram(images, BINS, (0, 1))[0] / images.size


def distance(first: Images, second: Images) -> float:
    """Earth mover's distance between the pooled gray levels, in gray levels of 1."""
    return float(np.abs(np.cumsum(histogram(first) - histogram(second))).sum() / BINS)


def contact_sheet(columns: int = 9, random_rows: int = 4, size: int = 112) -> Image.Image:
    """A row per factor from low to high, all else held; then radiographs with every factor from its marginal."""
    phantom = ChestPhantom()
    middle = {factor.name: phantom.quantile(factor.name, np.full(columns, 0.6)) for factor in phantom.factors}
    middle |= {name: np.full(columns, value) for name, value in (("edge", 0.2), ("contrast", 0.45), ("view", 0))}
    rows: list[np.ndarray] = []
    for number, factor in enumerate(phantom.factors):
        values = {**middle, factor.name: phantom.quantile(factor.name, np.linspace(0, 0.999, columns))}
        rows.append(phantom.render(values, np.full(columns, 20 + number), size, {}).images[:, 0].numpy())
    draws, count = generator(0, "sheet"), columns * random_rows
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    drawn = phantom.render(values, draws.integers(0, 2**31, count), size, {}).images[:, 0].numpy()
    rows.extend(drawn.reshape(random_rows, columns, size, size))
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    return Image.fromarray(np.round(sheet * 63).astype(np.uint8) * 4)  # 64 grays: half the file


def line(cells: list[str], bar: str) -> str:
    return f"{bar} {cells[0]:36} {bar} " + f" {bar} ".join(f"{cell:22}" for cell in cells[1:]) + f" {bar}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--sheet", type=Path, help="write the phantom's contact sheet here and end")
    options = parser.parse_args()
    if options.sheet:
        contact_sheet().save(options.sheet, optimize=True)
        return
    assets = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[2] / "shared" / "assets")) / "chest-xray"
    columns: dict[str, dict[str, np.ndarray]] = {}
    apart: list[str] = []
    for view in VIEWS:
        made = phantom_images(view, options.count)
        columns[f"phantom {view}"] = summary(made)
        if assets.exists():
            real = real_images(assets, view, options.count)
            columns[f"real {view} (n = {len(real)})"] = summary(real)
            apart.append(f"{view} {distance(made, real):.3f}")
    bar = "|" if options.markdown else ""
    print(line(["10th / 50th / 90th percentile", *columns], bar))
    if options.markdown:
        print("|---" * (1 + len(columns)) + "|")
    for name in MEASURES:
        cells = [
            " / ".join(f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}" for value in c[name])
            for c in columns.values()
        ]
        print(line([name, *cells], bar))
    if apart:
        print(f"\nEarth mover's distance between all gray levels, phantom to real: {', '.join(apart)}")


if __name__ == "__main__":
    main()
