"""Variance-based sensitivity of one network: seconds, and the standard error that they buy.

    python benchmarks/sobol.py [--samples 256 512 1024 2048] [--repetitions 7] [--out FILE]

Images of a Saltelli design are rendered once a study, which is timed apart; a network is then read on all
(inputs + 2) x samples of them and its indices are estimated. Eight inputs are what the built-in study asks: the
phantom's factors (position as one) and the nuisance seed. For seven the feeding vessel is held at its median.
The network is a small-cnn trained on the study's own images. Standard errors are the largest over inputs. What is
asked is less than 0.5 s for seven inputs at a standard error of at most .03.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _shared import Page, cores, parser

import assay
from assay.core.seeds import derive
from assay.data.cache import ArrayCache
from assay.data.dataset import Images
from assay.models.ref import Model
from assay.probes.reader import ModelReading
from assay.probes.reliance import SobolIndices, sobol_indices
from assay.shifts.phantom_rows import Content, PhantomPopulation, RenderedImages
from assay.shifts.population import Population, saltelli
from assay.shifts.sources import open_population
from assay.stats.metrics import log_odds
from assay.training.loop import fit

HELD = "vessel"
NUISANCE = "nuisance seed"


def inputs_of(population: Population, held: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Sobol' inputs: the phantom's groups and other factors but for those held, and the nuisance seed."""
    phantom = population.phantom
    assert phantom is not None
    grouped = dict(phantom.groups())
    taken = {name for members in grouped.values() for name in members} | set(held)
    alone = {factor.name: (factor.name,) for factor in phantom.factors if factor.name not in taken}
    return {**grouped, **alone, NUISANCE: (NUISANCE,)}


def design(population: Population, inputs: dict[str, tuple[str, ...]], samples: int) -> Images:
    """Images of a Saltelli design over these inputs; factors that are no input stand at their median."""
    phantom = population.phantom
    assert phantom is not None
    columns = [name for members in inputs.values() for name in members]
    groups = [[columns.index(name) for name in members] for members in inputs.values()]
    u = saltelli(samples, groups, derive(0, "sobol"))
    middle = np.full(len(u), 0.5)
    quantiles = {name: u[:, place] for place, name in enumerate(columns)}
    values = {
        factor.name: phantom.quantile(factor.name, quantiles.get(factor.name, middle)) for factor in phantom.factors
    }
    nuisance = (quantiles[NUISANCE] * 2.0**32).astype(np.int64)
    assert isinstance(population, PhantomPopulation)
    return RenderedImages(population.renderer, Content(values, nuisance))


def trained(population: Population, spec: assay.Study, epochs: int, folder: Path) -> Model:
    point = spec.spec.points[0]
    recipe = point.recipe.model_copy(update={"epochs": epochs})
    training, validation = population.training(point.train, 0)
    return Model(fit(recipe, training, validation, classes=2, seed=0, folder=folder).network)


def indices(model: Model, images: Images, samples: int) -> SobolIndices:
    """What the reliance probe does for one network."""
    found = sobol_indices(log_odds(ModelReading(model, ()).logits(images))[:, 0], samples)
    assert found is not None
    return found


def measure(page: Page, model: Model, population: Population, held: tuple[str, ...], samples: int, times: int) -> None:
    inputs = inputs_of(population, held)
    images = design(population, inputs, samples)
    torch.set_num_threads(cores())
    start = time.perf_counter()
    images.read(np.arange(1))
    rendering = time.perf_counter() - start
    for threads in (1, 2):
        torch.set_num_threads(threads)
        walls: list[float] = []
        for _ in range(times + 1):
            start = time.perf_counter()
            found = indices(model, images, samples)
            walls.append(time.perf_counter() - start)
        page.row(
            len(inputs),
            samples,
            len(images),
            threads,
            f"{statistics.median(walls[1:]):.2f}",
            f"{min(walls[1:]):.2f}",
            f"{found.first_error.max():.3f}",
            f"{found.total_error.max():.3f}",
            f"{rendering:.1f}",
        )


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--samples", type=int, nargs="+", default=[256, 512, 1024, 2048], help="powers of two")
    made.add_argument("--repetitions", type=int, default=7)
    made.add_argument("--epochs", type=int, default=20, help="of the network that is read")
    made.add_argument("--size", type=int, default=64)
    made.add_argument("--train", type=int, default=2000, help="images that the network is trained on")
    return made.parse_args()


def main() -> None:
    given = options()
    study = assay.load("nodule-loss").set("data.size", given.size).set("data.train", given.train)
    with tempfile.TemporaryDirectory() as name:
        population = open_population(study.spec.data, ArrayCache(Path(name)))
        model = trained(population, study, given.epochs, Path(name) / "trial")
        page = Page(
            ("inputs", "samples", "images", "threads", "seconds a network, median", "least", "standard error, first",
             "total", "rendered once, s, all threads"),
            given.out,
            f"small-cnn at {given.size} px, cross-entropy, {given.epochs} epochs; {given.repetitions} repetitions.",
        )  # fmt: skip
        for held in ((HELD,), ()):
            for samples in given.samples:
                measure(page, model, population, held, samples, given.repetitions)
        page.close()


if __name__ == "__main__":
    main()
