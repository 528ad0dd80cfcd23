"""Images per second of the nodule phantom, by image size and number of threads.

    python benchmarks/phantom_speed.py

Each figure is the best of several repetitions of rendering the same images, all factors drawn from their marginals.
"""

from __future__ import annotations

import argparse
import time

import torch

from assay.core.seeds import generator
from assay.data.phantoms.nodule import NodulePhantom

SIZES = (32, 64, 128, 256)
PIXELS = 4_000_000  # per repetition


def speed(size: int, threads: int, repetitions: int) -> float:
    """Images per second."""
    torch.set_num_threads(threads)
    phantom, draws = NodulePhantom(), generator(0, "speed")
    count = PIXELS // size**2
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    nuisance = draws.integers(0, 2**31, count)
    seconds: list[float] = []
    for _ in range(repetitions):
        start = time.perf_counter()
        phantom.render(values, nuisance, size, {})
        seconds.append(time.perf_counter() - start)
    return count / min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    print("| size, px |" + "".join(f" images/s, {threads} thread(s) |" for threads in options.threads))
    print("|---" * (1 + len(options.threads)) + "|")
    for size in SIZES:
        figures = [speed(size, threads, options.repetitions) for threads in options.threads]
        print(f"| {size} |" + "".join(f" {figure:,.0f} |" for figure in figures))


if __name__ == "__main__":
    main()
