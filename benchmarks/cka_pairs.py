"""CKA of all pairs of layers of two networks, beside published packages: seconds, and the error of each.

    pip install pytorch-cka ckatorch
    python benchmarks/cka_pairs.py [--images 1000] [--networks resnet18 resnet50] [--repetitions 5] [--out FILE]

Activations pooled over space, of the widths of a network's blocks, drawn at random: the second network's are half the
first's. pytorch-cka is the fastest package; it computes in the precision of its input, float32 by default, and sets
negative estimates to 0, which unbiased estimates of unrelated layers often are. Errors are taken from the published
formula over whole Gram matrices in float64: over all pairs, and over those whose estimate is not negative. ckatorch is
exact in float64, pair by pair. One thread for all; times are the processor's, and a ratio is of one repetition, in
which all took turns.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from types import ModuleType

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported

import numpy as np
import torch
from _shared import Page, parser

from assay.models.untyped import tensor_of
from assay.stats.similarity import cka_matrix

NETWORKS = {
    "tiny": (4, 6, 300),
    "resnet18": (64, *(64,) * 2, *(128,) * 2, *(256,) * 2, *(512,) * 2, 512),
    "resnet50": (64, *(256,) * 3, *(512,) * 4, *(1024,) * 6, *(2048,) * 3, 2048),
}
Layers = list[np.ndarray]
Way = Callable[[Layers, Layers], np.ndarray]


def activations(widths: tuple[int, ...], images: int) -> tuple[Layers, Layers]:
    """Float32 activations of two networks of these widths, half of the second's being the first's."""
    draw = np.random.default_rng(0)
    one = [draw.normal(size=(images, width)).astype(np.float32) for width in widths]
    return one, [(x + draw.normal(size=x.shape)).astype(np.float32) for x in one]


def published(ones: Layers, others: Layers) -> np.ndarray:
    """Song et al. (2012), equation 5, over whole Gram matrices in float64."""

    def gram(x: np.ndarray) -> np.ndarray:
        middle = x - x.mean(axis=0)
        made = middle @ middle.T
        np.fill_diagonal(made, 0.0)
        return made

    def term(k: np.ndarray, m: np.ndarray) -> float:
        n = len(k)
        rows = k.sum(axis=0), m.sum(axis=0)
        ends = rows[0].sum() * rows[1].sum() / ((n - 1) * (n - 2))
        return float(((k * m).sum() + ends - 2 / (n - 2) * rows[0] @ rows[1]) / (n * (n - 3)))

    grams = [[gram(x.astype(np.float64)) for x in layers] for layers in (ones, others)]
    own = [np.array([term(k, k) for k in some]) for some in grams]
    return np.array([[term(k, m) for m in grams[1]] for k in grams[0]]) / np.sqrt(np.outer(*own))


def peers() -> dict[str, Way | None]:
    """What there is to compare with, None where it is not installed."""
    fast, exact = _module("cka"), _module("ckatorch")
    return {
        "pytorch-cka, float32": fast and _stacked(fast, torch.float32),
        "pytorch-cka, float64": fast and _stacked(fast, torch.float64),
        "ckatorch, float64": exact and _by_pair(exact),
    }


def _stacked(package: ModuleType, kind: torch.dtype) -> Way:
    def way(ones: Layers, others: Layers) -> np.ndarray:
        one, other = ([tensor_of(x).to(kind) for x in layers] for layers in (ones, others))
        return package.cka_from_features(one, other).numpy()

    return way


def _by_pair(package: ModuleType) -> Way:
    def way(ones: Layers, others: Layers) -> np.ndarray:
        one, other = ([tensor_of(x).double() for x in layers] for layers in (ones, others))
        return np.array([[float(package.cka_base(x, y, unbiased=True)) for y in other] for x in one])

    return way


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def measure(page: Page, network: str, images: int, repetitions: int) -> None:
    ones, others = activations(NETWORKS[network], images)
    reference = published(ones, others)
    ways = {"Assay": cka_matrix, **peers()}
    seconds: dict[str, list[float]] = {name: [] for name, way in ways.items() if way}
    error: dict[str, tuple[float, float]] = {}
    for _ in range(repetitions + 1):
        for name, way in ways.items():
            if way is not None:
                start = time.process_time()
                found = way(ones, others)
                seconds[name].append(time.process_time() - start)
                wrong = np.abs(found - reference)
                error[name] = float(wrong.max()), float(wrong[reference >= 0].max(initial=0.0))
    for name in ways:
        if name not in seconds:
            page.row(network, len(ones), images, name, "not installed", *[""] * 5)
            continue
        taken = seconds[name][1:]
        ratios = [theirs / ours for theirs, ours in zip(taken, seconds["Assay"][1:], strict=True)]
        page.row(
            network,
            len(ones),
            images,
            name,
            f"{statistics.median(taken):.3f}",
            f"{statistics.median(ratios):.1f}",
            f"{min(ratios):.1f}",
            f"{max(ratios):.1f}",
            *(f"{one:.0e}" for one in error[name]),
        )


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--images", type=int, default=1000)
    made.add_argument("--networks", nargs="+", choices=tuple(NETWORKS), default=["resnet18", "resnet50"])
    made.add_argument("--repetitions", type=int, default=5)
    return made.parse_args()


def main() -> None:
    given = options()
    torch.set_num_threads(1)
    page = Page(
        ("network", "layers of each", "images", "what", "seconds, median", "of Assay's, median", "least", "most",
         "greatest error", "where not negative"),
        given.out,
        f"{given.repetitions} repetitions after one that is not counted.",
    )  # fmt: skip
    for network in given.networks:
        measure(page, network, given.images, given.repetitions)
    page.close()


if __name__ == "__main__":
    main()
