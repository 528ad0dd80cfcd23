"""How near the fundus phantom comes to real photographs, in numbers.

    python benchmarks/fundus_realism.py            # the phantom beside Messidor-2 and IDRiD, if they are found
    python benchmarks/fundus_realism.py --markdown # the tables as they stand in docs/phantom-fundus.md
    python benchmarks/fundus_realism.py --sheet docs/images/phantom-fundus.png
    python benchmarks/fundus_realism.py --speed    # images per processor second

Real photographs are looked for in ASSAY_ASSETS, and taken at the same 128 px. A pixel is in view
where its brightest channel is over 0.08. Every figure is the 10th, 50th and 90th percentile over images, or over boxes.
The round camera stands beside Messidor-2 and the cut one beside IDRiD, grades drawn as often as the set has them.
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
from assay.data.phantoms.fundus import FundusPhantom

SIZE = 128
DARK = 0.08
BINS = 64
BOXED = {"hemorrhages": "hemorrhage", "exudates": "hard_exudates"}
Picture = np.ndarray  # colors 0 to 1 [128, 128, 3]


def real(root: Path, table: pd.DataFrame) -> list[Picture]:
    """The photographs of these rows."""
    return [
        np.asarray(Image.open(root / name).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX), float) / 255
        for name in table.image
    ]


def drawn(grades: np.ndarray, camera: int, size: int = SIZE) -> tuple[FundusPhantom, dict[str, np.ndarray], np.ndarray]:
    """The phantom, factors from their marginals at these grades before this camera, and nuisance seeds."""
    phantom, draws = FundusPhantom(), generator(0, "realism", "fundus", str(camera))
    values = {factor.name: phantom.quantile(factor.name, draws.random(len(grades))) for factor in phantom.factors}
    values |= {"grade": grades, "camera": np.full(len(grades), camera)}
    return phantom, values, draws.integers(0, 2**31, len(grades))


def pictures(grades: np.ndarray, camera: int) -> list[Picture]:
    """Photographs by the phantom."""
    phantom, values, nuisance = drawn(grades, camera)
    return list(phantom.render(values, nuisance, SIZE, {}).images.permute(0, 2, 3, 1).numpy().astype(np.float64))


def seen(picture: Picture) -> np.ndarray:
    """Colors of the pixels in view [n, 3]."""
    return picture[picture.max(2) > DARK]


def color(channel: int, q: float = 0.5) -> Callable[[Picture], float]:
    return lambda picture: float(np.quantile(seen(picture)[:, channel], q))


def vessels(picture: Picture) -> np.ndarray:
    """Pixels in the middle of the view whose green lies well under that of their surroundings: vessels mostly."""
    green, view = picture[:, :, 1], picture.max(2) > DARK
    weight = ndimage.gaussian_filter(view.astype(float), 5) + 1e-6
    around = ndimage.gaussian_filter(green * view, 5) / weight
    return ndimage.binary_erosion(view, iterations=6) & (green < 0.86 * around)


def share(picture: Picture) -> float:
    """Vessels' share of the middle of the view, in %."""
    view = ndimage.binary_erosion(picture.max(2) > DARK, iterations=6)
    return 100 * float(vessels(picture).sum() / max(1, view.sum()))


def width(picture: Picture) -> float:
    """Twice the mean depth along the middle lines of what is dark, in % of the side."""
    depth = ndimage.distance_transform_edt(vessels(picture))
    ridge = (depth > 0) & (depth >= ndimage.maximum_filter(depth, 3))
    return 100 * (2 * float(depth[ridge].mean()) - 1) / SIZE if ridge.any() else float("nan")


def contrast(picture: Picture) -> float:
    """How much darker than their surroundings vessels are in green, as a share of those."""
    dark = vessels(picture)
    near = ndimage.binary_dilation(dark, iterations=4) & ~ndimage.binary_dilation(dark) & (picture.max(2) > DARK)
    if not (dark.any() and near.any()):
        return float("nan")
    return 1 - float(picture[dark][:, 1].mean() / picture[near][:, 1].mean())


def unevenness(picture: Picture) -> float:
    """Standard deviation of green in view over its mean."""
    green = seen(picture)[:, 1]
    return float(green.std() / green.mean())


MEASURES: dict[str, Callable[[Picture], float]] = {
    "in view, share of the image": lambda picture: float((picture.max(2) > DARK).mean()),
    **{f"median {name}": color(channel) for channel, name in enumerate(("red", "green", "blue"))},
    "green, 5th percentile": color(1, 0.05),
    "green, 95th percentile": color(1, 0.95),
    "green, deviation over mean": unevenness,
    "vessels, % of the view": share,
    "vessels, width in % of the side": width,
    "vessels, darker by": contrast,
}


def percentiles(values: list[float], digits: int = 2) -> str:
    low, middle, high = np.nanpercentile(values, [10, 50, 90])
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def distances(first: list[Picture], second: list[Picture]) -> str:
    """Earth mover's distance between the pooled levels in view of each channel, in levels of 1."""

    def histogram(them: list[Picture], channel: int) -> np.ndarray:
        levels = np.concatenate([seen(picture)[:, channel] for picture in them])
        return np.histogram(levels, BINS, (0, 1))[0] / len(levels)

    apart = [np.abs(np.cumsum(histogram(first, k) - histogram(second, k))).sum() / BINS for k in range(3)]
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(("red", "green", "blue"), apart, strict=True))


def groups(mask: np.ndarray) -> list[float]:
    """Widths, in % of the side, of lesions as a reader boxes them: spots nearer than 3 % of the side are one."""
    joined, _ = ndimage.label(ndimage.binary_dilation(mask, iterations=round(0.015 * len(mask))), np.ones((3, 3)))
    found = ndimage.find_objects(np.where(mask, joined, 0))
    return [100 * (place[1].stop - place[1].start) / len(mask) for place in found]


def lesion_rows(table: pd.DataFrame, boxes: pd.DataFrame, count: int) -> list[list[str]]:
    """Counts by grade and widths of lesions: the phantom's, the same as a reader would box them, and boxes."""
    rows: list[list[str]] = []
    for kind, name in BOXED.items():
        column = "hemorrhages" if kind == "hemorrhages" else "hard_exudates"
        widths: list[float] = []
        for grade in (2, 3, 4):
            phantom, values, nuisance = drawn(np.full(count, grade), 1)
            stated = getattr(phantom.counts(values, nuisance), kind).reshape(count, -1).sum(1)
            masks = phantom.masks_by_kind(values, nuisance, 224, {})[:, phantom.kinds.index(kind)].numpy()
            boxed = [groups(mask) for mask in masks]
            widths += [width for image in boxed for width in image]
            theirs = table[(table.grade == grade) & (table.boxed == 1)][column]
            counted = ([float(n) for n in stated], [float(len(image)) for image in boxed], [float(n) for n in theirs])
            rows.append([f"{kind}, grade {grade}", *(percentiles(them, 0) for them in counted)])
        own = boxes[boxes.kind == name]
        rows.append([f"{kind}, width in %", "", percentiles(widths, 1), percentiles(list((own.x1 - own.x0) / 2.24), 1)])
    return rows


def contact_sheet(columns: int = 9, random_rows: int = 5, size: int = 112) -> Image.Image:
    """A row per factor from low to high, all else held; then a row a grade, all else drawn from the marginals."""
    phantom = FundusPhantom(blur=0.3, flaws=0.3)
    middle = {factor.name: phantom.quantile(factor.name, np.full(columns, 0.5)) for factor in phantom.factors}
    middle |= {"grade": np.full(columns, 4), "camera": np.zeros(columns), "lesion_contrast": np.full(columns, 1.0)}
    rows: list[np.ndarray] = []
    for number, factor in enumerate(phantom.factors):
        values = {**middle, factor.name: phantom.quantile(factor.name, np.linspace(0, 0.999, columns))}
        if factor.name == "grade":
            values["grade"] = np.arange(columns) * 5 // columns
        rows.append(phantom.render(values, np.full(columns, 60 + number), size, {}).images.numpy())
    draws, count = generator(0, "sheet"), columns * random_rows
    plain = FundusPhantom()
    values = {factor.name: plain.quantile(factor.name, draws.random(count)) for factor in plain.factors}
    values["grade"] = np.repeat(np.arange(random_rows), columns)
    made = plain.render(values, draws.integers(0, 2**31, count), size, {}).images.numpy()
    rows.extend(made.reshape(random_rows, columns, 3, size, size))
    sheet = np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1).transpose(1, 2, 0)
    return Image.fromarray(np.round(sheet * 255).astype(np.uint8)).quantize(160)  # a fifth of the file


def speed(size: int) -> float:
    """Images per processor second on one thread, factors from their marginals: the better of two renderings."""
    torch.set_num_threads(1)
    count = 1_000_000 // size**2
    taken: list[float] = []
    phantom, values, nuisance = drawn(np.arange(count) % 5, 0)
    for _ in range(2):
        start = time.process_time()
        phantom.render(values, nuisance, size, {})
        taken.append(time.process_time() - start)
    return count / min(taken)


def line(cells: list[str], bar: str) -> str:
    return f"{bar} {cells[0]:32} {bar} " + f" {bar} ".join(f"{cell:22}" for cell in cells[1:]) + f" {bar}"


def rule(columns: int, bar: str) -> None:
    if bar:
        print("|---" * columns + "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--sheet", type=Path, help="write the phantom's contact sheet here and end")
    parser.add_argument("--speed", action="store_true", help="time the phantom and end")
    options = parser.parse_args()
    if options.speed:
        for size in (64, 128, 224, 512):
            print(f"{size} px: {speed(size):,.0f} images per processor second", flush=True)
        return
    if options.sheet:
        contact_sheet().save(options.sheet, optimize=True)
        return
    assets = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[2] / "shared" / "assets")) / "fundus"
    if not assets.exists():
        raise SystemExit(f"no photographs in {assets}: name their folder's parent in ASSAY_ASSETS")
    bar = "|" if options.markdown else ""
    idrid = pd.read_csv(assets / "idrid.csv")
    columns: dict[str, list[Picture]] = {}
    for camera, (name, table) in enumerate({"Messidor-2": pd.read_csv(assets / "data.csv"), "IDRiD": idrid}.items()):
        chosen = table.sample(min(options.count, len(table)), random_state=0)
        grades = chosen.grade.to_numpy().astype(np.int64)
        columns |= {f"phantom, {('round', 'cut')[camera]}": pictures(grades, camera), name: real(assets, chosen)}
    print(line(["10th / 50th / 90th percentile", *columns], bar))
    rule(5, bar)
    for name, measure in MEASURES.items():
        print(line([name, *(percentiles([measure(one) for one in them]) for them in columns.values())], bar))
    mine_round, messidor, mine_cut, theirs = columns.values()
    print(f"\nEarth mover's distance of levels in view: {distances(mine_round, messidor)} (round, Messidor-2);")
    print(f"{distances(mine_cut, theirs)} (cut, IDRiD).\n")
    print(line(["10th / 50th / 90th percentile", "phantom", "phantom, boxed", "IDRiD's boxes"], bar))
    rule(4, bar)
    for row in lesion_rows(idrid, pd.read_csv(assets / "idrid_boxes.csv"), 60):
        print(line(row, bar))


if __name__ == "__main__":
    main()
