"""Scoring heat-maps against lesion masks, beside Quantus and beside a loop over images: seconds, and the same scores.

    pip install quantus
    python benchmarks/attribution.py [--images 1000] [--explainers 6] [--sizes 64 224] [--repetitions 3] [--out FILE]

Maps are drawn at random and half of them smoothed; masks are one to five discs. All give four scores of each map: mass
accuracy, rank accuracy, pointing game, average precision of the pixels. Quantus has the first three, its metrics called
as its documentation does; the fourth is scikit-learn's, image by image. The loop has all four from NumPy and
scikit-learn, image by image. One thread for all; times are the processor's, and a ratio is of one repetition, in which
all took turns. Without Quantus its rows say so.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import statistics
import time
import warnings
from collections.abc import Callable
from types import ModuleType

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np
from _shared import Page, parser
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score

from assay.probes.lesion_maps import localization

Way = Callable[[np.ndarray, np.ndarray], np.ndarray]


def drawn(images: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps of which every second one is smooth, and masks."""
    draw = np.random.default_rng(0)
    maps = draw.random((images, side, side), dtype=np.float32)
    maps[::2] = gaussian_filter(maps[::2], (0, side / 16, side / 16))
    down, along = np.mgrid[:side, :side]
    masks = np.zeros(maps.shape, dtype=bool)
    for i in range(images):
        for _ in range(draw.integers(1, 6)):
            y, x = draw.integers(0, side, 2)
            masks[i] |= (down - y) ** 2 + (along - x) ** 2 <= (side * draw.uniform(0.02, 0.08)) ** 2
    return maps, masks


def ours(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return np.stack(localization(maps, masks)[:4])


def looped(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Image by image, from their definitions."""
    return np.array([_of_one(one.ravel(), mask.ravel()) for one, mask in zip(maps, masks, strict=True)]).T


def _of_one(one: np.ndarray, mask: np.ndarray) -> tuple[float, float, float, float]:
    first = np.argsort(-one)[: mask.sum()]
    return (
        float(one[mask].sum() / one.sum()),
        float(mask[first].mean()),
        float(mask[one.argmax()]),
        float(average_precision_score(mask, one)),
    )


def published(package: ModuleType) -> Way:
    """Quantus' three, and scikit-learn's average precision."""
    names = ("RelevanceMassAccuracy", "RelevanceRankAccuracy", "PointingGame")
    metrics = [getattr(package, name)(disable_warnings=True, display_progressbar=False) for name in names]

    def way(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
        pixels, classes = np.zeros((len(maps), 1, *maps.shape[1:]), np.float32), np.zeros(len(maps), int)
        given = {"x_batch": pixels, "y_batch": classes, "a_batch": maps[:, None], "s_batch": masks[:, None]}
        found = [np.ravel(metric(model=None, **given)).astype(float) for metric in metrics]
        pairs = zip(maps, masks, strict=True)
        found.append(np.array([average_precision_score(mask.ravel(), one.ravel()) for one, mask in pairs]))
        return np.stack(found)

    return way


def measure(page: Page, side: int, images: int, explainers: int, repetitions: int) -> None:
    maps, masks = drawn(images, side)
    quantus = None
    with contextlib.suppress(ImportError), warnings.catch_warnings(action="ignore"):
        quantus = importlib.import_module("quantus")
    ways: dict[str, Way | None] = {
        "Assay": ours,
        "loop over images": looped,
        "Quantus": quantus and published(quantus),
    }
    seconds: dict[str, list[float]] = {name: [] for name, way in ways.items() if way}
    scores: dict[str, np.ndarray] = {}
    ours(maps[:2], masks[:2])  # compiling is told apart
    for _ in range(repetitions):
        for name, way in ways.items():
            if way is not None:
                start = time.process_time()
                for _ in range(explainers):
                    scores[name] = way(maps, masks)
                seconds[name].append(time.process_time() - start)
    for name in ways:
        if name not in seconds:
            page.row(side, images * explainers, name, "not installed", "", "", "", "")
            continue
        ratios = [theirs / mine for theirs, mine in zip(seconds[name], seconds["Assay"], strict=True)]
        page.row(
            side,
            images * explainers,
            name,
            f"{1e3 * statistics.median(seconds[name]) / images / explainers:.2f}",
            f"{statistics.median(ratios):.1f}",
            f"{min(ratios):.1f}",
            f"{max(ratios):.1f}",
            f"{np.abs(scores[name] - scores['Assay']).max():.0e}",
        )


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=1000)
    made.add_argument("--explainers", type=int, default=6)
    made.add_argument("--sizes", nargs="+", type=int, default=[64, 224])
    made.add_argument("--repetitions", type=int, default=3)
    return made.parse_args()


def main() -> None:
    given = options()
    columns = ("px", "maps", "way", "ms a map", "ratio, median", "least", "most", "greatest difference")
    page = Page(columns, given.out)
    for side in given.sizes:
        measure(page, side, given.images, given.explainers, given.repetitions)
    page.close()


if __name__ == "__main__":
    main()
