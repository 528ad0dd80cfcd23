"""How near the endoscopy phantom comes to real frames, in numbers.

    python benchmarks/endoscopy_realism.py            # the phantom beside the polyp frames, if they are found
    python benchmarks/endoscopy_realism.py --markdown # the tables as they stand in docs/phantom-endoscopy.md
    python benchmarks/endoscopy_realism.py --sheet docs/images/phantom-endoscopy.png

Real frames are looked for in ASSAY_ASSETS, and resampled to the same 96 px; their green insets are
left out of every figure. A pixel is in view where its brightest channel is over 0.08. Every figure is the 10th, 50th
and 90th percentile over images.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from assay.core.seeds import generator
from assay.data.phantoms.endoscopy import EndoscopyPhantom

SIZE = 96
DARK = 0.08
BINS = 64
BANDS = ((0.02, 0.06), (0.06, 0.12), (0.12, 0.25), (0.25, 0.5))  # cycles per pixel


@dataclass(frozen=True)
class Frame:
    """One frame at 96 px: colors 0 to 1 [96, 96, 3], the lesion's mask, and the pixels in view [96, 96]."""

    image: np.ndarray
    mask: np.ndarray

    @property
    def view(self) -> np.ndarray:
        return self.image.max(2) > DARK

    @property
    def seen(self) -> np.ndarray:
        """Colors of the pixels in view [n, 3]."""
        return self.image[self.view]

    @property
    def rim(self) -> np.ndarray:
        """Pixels in view that lie 2 to 5 px outside the lesion."""
        near, far = (ndimage.binary_dilation(self.mask, iterations=pixels) for pixels in (1, 5))
        return far & ~near & self.view


def real_frames(root: Path, kind: str) -> list[Frame]:
    """All frames of a kind: polyp or lesion-free."""
    table = pd.read_csv(root / "data.csv")
    return [real_frame(root / row["image"], root / row["mask"]) for row in table[table.kind == kind].to_dict("records")]


def real_frame(image: Path, mask: Path) -> Frame:
    pixels = np.asarray(shrunk(Image.open(image).convert("RGB")), dtype=np.float64) / 255
    green = (pixels[:, :, 1] > 1.5 * pixels[:, :, 0]) & (pixels[:, :, 1] > 0.3)
    return Frame(np.where(green[:, :, None], 0.0, pixels), np.asarray(shrunk(Image.open(mask).convert("L"))) > 127)


def shrunk(image: Image.Image) -> Image.Image:
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def phantom_frames(count: int, lesion: bool) -> list[Frame]:
    """Frames with every factor but the lesion drawn from its marginal."""
    phantom, draws = EndoscopyPhantom(), generator(0, "realism")
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    values["lesion"] = np.full(count, int(lesion))
    rendered = phantom.render(values, draws.integers(0, 2**31, count), SIZE, {})
    images = rendered.images.permute(0, 2, 3, 1).numpy().astype(np.float64)
    return [Frame(image, mask) for image, mask in zip(images, rendered.masks[:, 0].numpy(), strict=True)]


def gray(q: float) -> Callable[[Frame], float]:
    return lambda frame: float(np.quantile(frame.seen.mean(1), q))


def color(channel: int) -> Callable[[Frame], float]:
    return lambda frame: float(np.median(frame.seen[:, channel]))


def ratio(channel: int) -> Callable[[Frame], float]:
    """Median of a channel over green."""
    return lambda frame: float(np.median(frame.seen[:, channel] / (frame.seen[:, 1] + 0.02)))


def over_rim(channel: int) -> Callable[[Frame], float]:
    """Mean color of the lesion less that of its rim, NaN where there is none."""

    def difference(frame: Frame) -> float:
        if not (frame.mask.any() and frame.rim.any()):
            return float("nan")
        return float((frame.image[frame.mask].mean(0) - frame.image[frame.rim].mean(0))[channel])

    return difference


def white(frame: Frame) -> float:
    return 100 * float((frame.seen.min(1) > 0.85).mean())


def band(low: float, high: float) -> Callable[[Frame], float]:
    """Log10 of the power per frequency of the middle half, against that of all frequencies over 0.02."""

    def power(frame: Frame) -> float:
        middle = frame.image.mean(2)[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]
        taper = np.hanning(len(middle))
        spectrum = np.abs(np.fft.fft2((middle - middle.mean()) * taper[:, None] * taper[None])) ** 2
        line = np.fft.fftfreq(len(middle))
        frequency = np.hypot(line[:, None], line[None])
        inside = (frequency >= low) & (frequency < high)
        return float(np.log10(spectrum[inside].mean() / spectrum[frequency >= 0.02].mean()))

    return power


MEASURES: dict[str, Callable[[Frame], float]] = {
    "in view, share of the image": lambda frame: float(frame.view.mean()),
    **{f"gray in view, {round(100 * q)}th percentile": gray(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
    **{f"median {name}": color(channel) for channel, name in enumerate(("red", "green", "blue"))},
    "red over green": ratio(0),
    "blue over green": ratio(2),
    "white pixels, %": white,
    **{f"log10 power, {low:g}-{high:g} cycles/px": band(low, high) for low, high in BANDS},
}
OF_LESIONS: dict[str, Callable[[Frame], float]] = {
    "lesion, share of the image": lambda frame: float(frame.mask.mean()),
    **{f"lesion less its rim, {name}": over_rim(channel) for channel, name in enumerate(("red", "green", "blue"))},
}


def summary(frames: list[Frame], measure: Callable[[Frame], float]) -> str:
    """10th, 50th and 90th percentile over images."""
    low, middle, high = np.nanpercentile([measure(frame) for frame in frames], [10, 50, 90])
    return f"{low:.2f} / {middle:.2f} / {high:.2f}"


def distances(first: list[Frame], second: list[Frame]) -> str:
    """Earth mover's distance between the pooled levels in view of each channel, in levels of 1."""

    def histogram(frames: list[Frame], channel: int) -> np.ndarray:
        levels = np.concatenate([frame.seen[:, channel] for frame in frames])
        return np.histogram(levels, BINS, (0, 1))[0] / len(levels)

    apart = [
        np.abs(np.cumsum(histogram(first, channel) - histogram(second, channel))).sum() / BINS for channel in range(3)
    ]
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(("red", "green", "blue"), apart, strict=True))


def contact_sheet(columns: int = 9, random_rows: int = 4, size: int = 112) -> Image.Image:
    """A row per factor from low to high, all else held; then frames with every factor from its marginal."""
    phantom = EndoscopyPhantom()
    middle = {factor.name: phantom.quantile(factor.name, np.full(columns, 0.5)) for factor in phantom.factors}
    middle |= {name: np.full(columns, value) for name, value in (("texture", 0.3), ("bubbles", 0.2), ("count", 0))}
    rows: list[np.ndarray] = []
    for number, factor in enumerate(phantom.factors):
        values = {**middle, factor.name: phantom.quantile(factor.name, np.linspace(0, 0.999, columns))}
        rows.append(phantom.render(values, np.full(columns, 40 + number), size, {}).images.numpy())
    draws, count = generator(0, "sheet"), columns * random_rows
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    drawn = phantom.render(values, draws.integers(0, 2**31, count), size, {}).images.numpy()
    rows.extend(drawn.reshape(random_rows, columns, 3, size, size))
    sheet = np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1).transpose(1, 2, 0)
    return Image.fromarray(np.round(sheet * 255).astype(np.uint8)).quantize(160)  # a fifth of the file


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
    assets = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[2] / "shared" / "assets")) / "polyp"
    made = phantom_frames(options.count, lesion=True)
    columns = {"phantom, polyps": made, "phantom, none": phantom_frames(options.count, lesion=False)}
    polyps = real_frames(assets, "polyp") if assets.exists() else []
    if polyps:
        healthy = real_frames(assets, "lesion-free")
        columns |= {f"real, polyps (n = {len(polyps)})": polyps, f"real, none (n = {len(healthy)})": healthy}
    bar = "|" if options.markdown else ""
    print(line(["10th / 50th / 90th percentile", *columns], bar))
    if options.markdown:
        print("|---" * (1 + len(columns)) + "|")
    for name, measure in MEASURES.items():
        print(line([name, *(summary(frames, measure) for frames in columns.values())], bar))
    for name, measure in OF_LESIONS.items():
        cells = [summary(frames, measure) if frames[0].mask.any() else "" for frames in columns.values()]
        print(line([name, *cells], bar))
    if polyps:
        print(f"\nEarth mover's distance of levels in view, phantom to real: {distances(made, polyps)}")


if __name__ == "__main__":
    main()
