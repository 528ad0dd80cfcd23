"""Open the population that a `data` section names: a phantom's, or one of files."""

from __future__ import annotations

from functools import partial

from assay.core.errors import DataError, SpecError
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset
from assay.shifts.file_rows import FilePopulation
from assay.shifts.phantom_rows import PhantomPopulation
from assay.shifts.population import Population
from assay.spec.schema import DataSpec


def open_population(
    data: DataSpec,
    cache: ArrayCache,
    *,
    skip_bad_rows: bool = False,
    device: str = "cpu",
    all_tested: bool = False,
    like: Dataset | None = None,
) -> Population:
    """Return the population that a `data` section names. Nothing is read or rendered before it is needed.

    Args:
        data: The section.
        cache: Cache of decoded and rendered images.
        skip_bad_rows: Leave out rows that cannot be read, and list them on the card, instead of raising DataError.
        device: Device that renders a phantom; images are handed out on the CPU.
        all_tested: Make every row of files a test row, for a model that was trained elsewhere.
        like: A set with which images are compared, see `load_dataset`.
    """
    sets: dict[str, Population] = {}
    load = partial(_load, data, cache, skip_bad_rows, like)
    training_population = (
        FilePopulation(data, load, all_tested, sets)
        if data.phantom is None
        else PhantomPopulation(data, cache, device, sets)
    )
    for number, (name, section) in enumerate(data.tests.items(), start=1):
        sets[name] = FilePopulation(
            section, partial(_outside, name, number, section, training_population, cache, skip_bad_rows), True
        )
    return training_population


def _load(data: DataSpec, cache: ArrayCache, skip_bad_rows: bool, like: Dataset | None, alike: bool = False) -> Dataset:
    from assay.data.files.load import load_dataset  # needs libraries that phantoms do not

    return load_dataset(data, cache, skip_bad_rows=skip_bad_rows, alike=alike, like=like)


def _outside(
    name: str, number: int, data: DataSpec, training_population: Population, cache: ArrayCache, skip_bad_rows: bool
) -> Dataset:
    from assay.data.outside import TrainingSetRules, add_test_set

    training = TrainingSetRules(
        training_population.data,
        training_population.classes,
        training_population.kinds,
        training_population.channels,
        training_population.dataset,
    )
    try:
        dataset = _load(data, cache, skip_bad_rows, training.dataset, alike=True)
        return add_test_set(number, data, dataset, training)
    except (SpecError, DataError) as error:
        raise type(error)(f"set '{name}': {error}") from error
