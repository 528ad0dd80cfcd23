"""Images per second of a phantom, by image size and number of threads.

    python benchmarks/phantom_speed.py
    python benchmarks/phantom_speed.py --phantom endoscopy --sizes 64 96 256 --threads 1

Each figure is the best of several repetitions of rendering the same images, all factors drawn from their marginals.
Images per processor second (of all threads together) say what a machine that is busy with other things would hide.
The last rows are what a study does: processes of one thread each, their images per second added.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from assay.core.registry import build
from assay.core.seeds import generator
from assay.data.dataset import Phantom

SIZES = (32, 64, 128, 256)
PIXELS = 3_000_000  # per repetition


def speed(name: str, size: int, threads: int, repetitions: int) -> tuple[float, float]:
    """Images per second, and per second of processor time."""
    torch.set_num_threads(threads)
    phantom: Phantom = build("phantom", name, {})
    draws = generator(0, "speed")
    count = PIXELS // size**2
    values = {factor.name: phantom.quantile(factor.name, draws.random(count)) for factor in phantom.factors}
    nuisance = draws.integers(0, 2**31, count)
    wall: list[float] = []
    processor: list[float] = []
    for _ in range(repetitions):
        start, start_processor = time.perf_counter(), time.process_time()
        phantom.render(values, nuisance, size, {})
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_processor)
    return count / min(wall), count / min(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantom", default="nodule")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="px a side")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    print("| size, px | processes | threads each | images/s | images per processor second |")
    print("|---|---|---|---|---|")
    for size in options.sizes:
        for threads in options.threads:
            wall, processor = speed(options.phantom, size, threads, options.repetitions)
            print(f"| {size} | 1 | {threads} | {wall:,.0f} | {processor:,.0f} |", flush=True)
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        for size in options.sizes:
            jobs = [pool.submit(speed, options.phantom, size, 1, options.repetitions) for _ in range(options.processes)]
            walls, processors = zip(*(job.result() for job in jobs), strict=True)
            mean = sum(processors) / len(processors)
            print(f"| {size} | {options.processes} | 1 | {sum(walls):,.0f} | {mean:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
