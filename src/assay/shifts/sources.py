"""Open the population that a `data` section names: a phantom's, or one of files."""

from __future__ import annotations

from assay.data.cache import ArrayCache
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
    if data.phantom is not None:
        return PhantomPopulation(data, cache, device)
    from assay.data.files.load import load_dataset

    return FilePopulation(data, lambda: load_dataset(data, cache, skip_bad_rows=skip_bad_rows), all_tested)
