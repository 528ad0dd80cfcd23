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
    data: DataSpec, cache: ArrayCache, *, skip_bad_rows: bool = False, device: str = "cpu", all_tested: bool = False
) -> Population:
    """Return the population that a `data` section names. Nothing is read or rendered before it is needed.

    Args:
        data: The section.
        cache: Cache of decoded and rendered images.
        skip_bad_rows: Leave out rows that cannot be read, and list them on the card, instead of raising DataError.
        device: Device that renders a phantom; images are handed out on the CPU.
        all_tested: Make every row of files a test row, for a model that was trained elsewhere.
    """
    sets: dict[str, Population] = {}
    training_population = _one_set(data, cache, skip_bad_rows, device, all_tested, sets)
    for number, (name, section) in enumerate(data.tests.items(), start=1):
        sets[name] = FilePopulation(
            section, partial(_outside, name, number, section, training_population, cache, skip_bad_rows), True
        )
    return training_population


def _one_set(
    data: DataSpec, cache: ArrayCache, skip_bad_rows: bool, device: str, all_tested: bool, sets: dict[str, Population]
) -> Population:
    if data.phantom is not None:
        return PhantomPopulation(data, cache, device, sets)
    from assay.data.files.load import load_dataset

    return FilePopulation(data, partial(load_dataset, data, cache, skip_bad_rows=skip_bad_rows), all_tested, sets)


def _outside(
    name: str, number: int, data: DataSpec, training_population: Population, cache: ArrayCache, skip_bad_rows: bool
) -> Dataset:
    from assay.data.files.load import load_dataset
    from assay.data.outside import Training, add_test_set

    training = Training(
        training_population.data,
        training_population.classes,
        training_population.kinds,
        training_population.channels,
        training_population.dataset,
    )
    try:
        return add_test_set(number, data, load_dataset(data, cache, skip_bad_rows=skip_bad_rows, alike=True), training)
    except (SpecError, DataError) as error:
        raise type(error)(f"set '{name}': {error}") from error
