"""Maps of logits to columns, beside the same numbers from SciPy, scikit-image and MONAI image by image.

    python benchmarks/maps.py [--sizes 128 512] [--images 8] [--repetitions 7] [--stream 10000] [--compiling]
        [--out FILE]

Overlap and lesion-free scores: counts and components at every threshold of the grid, the areas that image-level false
positives need, greatest logit and mean of the top 1 %. The peers label every image at every threshold. Asked for is
10 times the faster of them. They know the plane of threshold x minimum area at those thresholds; Assay's is exact
at every one.
Surfaces: MONAI's three functions, image by image, against `surfaces`. Asked for is 5 times, within 1e-5.
Calibration and all columns stand beside, without a peer. One thread for both; times are the processor's, and a ratio is
of one repetition, in which both took turns.

Maps: `smooth` are what networks answer (a lesion, waves, fine texture), `noise` has no two neighbors alike. Below the
table: the most anonymous memory while `--stream` maps of 512 px are summarized in batches of 16, against 2 GB, and with
`--compiling` what compiling costs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from _shared import Page, Peak, gigabytes, parser
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from scipy import ndimage
from skimage import measure

from assay.core.map_grid import MapGrid, pixels_of
from assay.maps.components import count_components
from assay.maps.summary import StreamedSummary, calibration_bins, exact_scores, summarize, surfaces

GRID = MapGrid()
EIGHT = np.ones((3, 3), bool)
BATCH, STREAMED_SIZE, BOUND = 16, 512, 2.0
FIRST_CALL = (
    "import time, torch; from assay.maps.summary import summarize; start = time.process_time(); "
    "summarize(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)); print(time.process_time() - start)"
)
IMPORT = (
    "import time, torch, scipy.ndimage; start = time.process_time(); import numba; print(time.process_time() - start)"
)


# --- what is summarized ---------------------------------------------------------------------------------------------


def ellipses(rng: np.random.Generator, images: int, size: int, scale: float) -> np.ndarray:
    """One ellipse an image, below 0 outside and above inside; [images, size, size]."""
    rows, columns = np.mgrid[:size, :size] / size
    y, x, tall, wide = rng.uniform([[0.3], [0.3], [0.08], [0.08]], [[0.7], [0.7], [0.2], [0.2]], (4, images))[
        :, :, None, None
    ]
    return scale * (1 - np.hypot((rows - y) / tall, (columns - x) / wide))


def smooth(rng: np.random.Generator, images: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits and masks as a network and a reader would give them."""
    inside = ellipses(rng, images, size, 6.0)
    waves = ndimage.gaussian_filter(rng.normal(size=inside.shape), (0, size / 32, size / 32))
    texture = ndimage.gaussian_filter(rng.normal(size=inside.shape), (0, 1, 1))
    logits = np.clip(inside, -9, 9) + 2 * waves / waves.std() + texture
    return logits.astype(np.float32), inside > 0


def noise(rng: np.random.Generator, images: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel drawn alone."""
    lesion = ellipses(rng, images, size, 1.0) > 0
    return rng.normal(0, 6, lesion.shape).astype(np.float32), lesion


KINDS = {"smooth": smooth, "noise": noise}


# --- peers ----------------------------------------------------------------------------------------------------------


def by_labeling(label: Callable[[np.ndarray], tuple[np.ndarray, int]]) -> Callable[..., None]:
    """A loop over images and thresholds, with what a labeling of one mask takes."""

    def summarized(logits: np.ndarray, lesion: np.ndarray) -> None:
        for image, truth in zip(logits, lesion, strict=True):
            rows = []
            for threshold in GRID.thresholds:
                mask = image >= threshold
                labeled, count = label(mask)
                areas = np.bincount(labeled.ravel(), minlength=count + 1)[1:]
                touched = np.bincount(labeled[truth], minlength=count + 1)
                rows.append((areas.sum(), touched[1:].sum(), count, (touched[1:] == 0).sum(), areas.max(initial=0)))
            largest = max(1, int(np.ceil(GRID.top * image.size)))
            np.partition(image.ravel(), -largest)[-largest:].mean()
            image.max()

    return summarized


SCIPY = by_labeling(lambda mask: ndimage.label(mask, EIGHT))
SCIKIT_IMAGE = by_labeling(lambda mask: measure.label(mask, connectivity=2, return_num=True))


def monai(predicted: torch.Tensor, lesion: torch.Tensor) -> list[np.ndarray]:
    """[b, 1, h, w] both: hd95, average symmetric surface distance, surface Dice."""
    return [
        compute_hausdorff_distance(predicted, lesion, include_background=True, percentile=95).numpy()[:, 0],
        compute_average_surface_distance(predicted, lesion, include_background=True, symmetric=True).numpy()[:, 0],
        compute_surface_dice(predicted, lesion, [GRID.tolerance], include_background=True).numpy()[:, 0],
    ]


def scored(logits: np.ndarray, lesion: np.ndarray) -> None:
    """What the peers do, by Assay."""
    thresholds, pixels = np.array(GRID.thresholds, np.float32), logits[0].size
    counts = count_components(logits, lesion, thresholds)
    exact_scores(logits, counts, thresholds, GRID.smallest(pixels), pixels_of(GRID.top, pixels))
    logits.max((1, 2))


# --- measuring ------------------------------------------------------------------------------------------------------


def seconds(run: Callable[[], object]) -> float:
    """The processor's, of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(
    page: Page,
    cells: tuple[object, ...],
    ours: Callable[[], object],
    peers: dict[str, Callable[[], object]],
    images: int,
    times: int,
) -> None:
    """One row: milliseconds an image of Assay and of its fastest peer, and the ratio in every repetition."""
    ours()
    taken = {name: [seconds(run)] for name, run in peers.items()}
    fastest = min(taken, key=lambda name: taken[name][0]) if peers else ""
    assay, peer = [], []
    for _ in range(times):
        assay.append(seconds(ours) / images * 1e3)
        peer.append(seconds(peers[fastest]) / images * 1e3 if peers else float("nan"))
    ratios = [theirs / own for theirs, own in zip(peer, assay, strict=True)]
    told = [f"{statistics.median(peer):.2f}", *(f"{of(ratios):.1f}" for of in (statistics.median, min, max))]
    page.row(*cells, f"{statistics.median(assay):.2f}", fastest, *(told if peers else [""] * 4))


def measure_maps(page: Page, kind: str, size: int, images: int, times: int) -> float:
    """All rows of one kind of map at one size; the greatest relative difference from MONAI."""
    logits, lesion = KINDS[kind](np.random.default_rng(0), images, size)
    peers = {"SciPy": lambda: SCIPY(logits, lesion), "scikit-image": lambda: SCIKIT_IMAGE(logits, lesion)}
    compare(page, ("overlap and lesion-free", kind, size), lambda: scored(logits, lesion), peers, images, times)

    predicted, one = logits >= 0, np.ones((images, 2))
    pair = torch.from_numpy(predicted)[:, None].float(), torch.from_numpy(lesion)[:, None].float()
    compare(page, ("surfaces", kind, size), lambda: surfaces(predicted, lesion, one, GRID.tolerance),
            {"MONAI": lambda: monai(*pair)}, images, times)  # fmt: skip
    theirs, found = monai(*pair), surfaces(predicted, lesion, one, GRID.tolerance)

    bins = lambda: calibration_bins(logits, lesion, GRID.bins, GRID.boundary)  # noqa: E731
    compare(page, ("calibration", kind, size), bins, {}, images, times)
    tensors = torch.from_numpy(logits), torch.from_numpy(lesion)
    compare(page, ("all columns", kind, size), lambda: summarize(*tensors), {}, images, times)
    return max(float(np.abs(a / np.where(b == 0, 1, b) - (b != 0)).max()) for a, b in zip(found, theirs, strict=False))


def stream(count: int) -> str:
    """How much memory a long stream takes. Maps are made from a few by shifts and steps, a batch at a time."""
    logits, lesion = smooth(np.random.default_rng(0), BATCH, STREAMED_SIZE)
    streamed, peak, before = StreamedSummary(), Peak(), gigabytes("RssAnon")
    start = time.perf_counter()
    with peak.watching():
        for batch in range(0, count, BATCH):
            images = min(BATCH, count - batch)
            shifted = np.roll(logits[:images], batch, axis=2) + np.float32(np.sin(batch))
            streamed.append(torch.from_numpy(shifted), torch.from_numpy(np.roll(lesion[:images], batch, axis=2)))
        columns = streamed.columns()
    taken = time.perf_counter() - start
    kept = sum(column.nbytes for column in columns.values()) / 2**20
    within = "within" if peak.most <= BOUND else "NOT within"
    return (
        f"{count} maps of {STREAMED_SIZE} px in batches of {BATCH}: {before:.2f} GB of anonymous memory before, "
        f"{peak.most:.2f} GB at most ({within} {BOUND:g} GB), columns {kept:.0f} MB, {taken:.0f} s."
    )


def compiling() -> str:
    """What Numba costs a process: its import, and the first call with and without what an earlier process compiled."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        cold, warm, imported = (
            float(
                subprocess.run(
                    [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
                ).stdout
            )
            for program in (FIRST_CALL, FIRST_CALL, IMPORT)
        )
    return (
        f"Processor seconds: importing Numba {imported:.2f}; the first call {cold:.1f} where nothing is compiled yet, "
        f"{warm:.2f} in every later process."
    )


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--sizes", type=int, nargs="+", default=[128, 512], help="px")
    made.add_argument("--images", type=int, default=8, help="in a batch")
    made.add_argument("--repetitions", type=int, default=7)
    made.add_argument("--stream", type=int, default=10_000, help="maps of 512 px to summarize in one stream")
    made.add_argument("--compiling", action="store_true", help="also what compiling costs a process")
    return made.parse_args()


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    page = Page(
        ("what", "maps", "px", "Assay, ms an image", "fastest peer", "its ms", "ratio, median", "least", "most"),
        given.out,
        f"{given.images} images a batch, {len(GRID.thresholds)} thresholds, {len(GRID.areas)} areas; one thread.",
    )  # fmt: skip
    differences = [
        measure_maps(page, kind, size, given.images, given.repetitions) for kind in KINDS for size in given.sizes
    ]
    agreement = f"Surfaces differ from MONAI's by {max(differences):.1e} of their value at most."
    page.close(agreement, stream(given.stream), *([compiling()] if given.compiling else []))


if __name__ == "__main__":
    main()
