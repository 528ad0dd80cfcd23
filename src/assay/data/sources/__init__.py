"""Images from files: a folder with a CSV, images beside masks, one folder per class, MedMNIST, or a public set."""

from __future__ import annotations

from assay.core.data_spec import DataSpec
from assay.core.errors import SpecError
from assay.core.registry import build
from assay.data.cache import ArrayCache
from assay.data.dataset import Dataset
from assay.data.sources.assemble import from_files
from assay.data.sources.folder import list_classes, list_stems, list_table
from assay.data.sources.medmnist import load_medmnist

__all__ = ["load_dataset"]

_PLACES = ("dataset", "folder", "classes", "medmnist")


def load_dataset(spec: DataSpec, cache: ArrayCache, *, skip_bad_rows: bool = False) -> Dataset:
    """The set that a spec's `dataset`, `folder`, `classes` or `medmnist` names, decoded at `spec.size` into the cache.

    skip_bad_rows: leave bad rows out and list them in `card.left_out`; else any bad row is an error. Raises DataError
    with all bad rows at once, SpecError for what the spec gets wrong, StoreError when the cache cannot be written.
    """
    given = [name for name in _PLACES if getattr(spec, name)]
    if len(given) != 1 or spec.phantom is not None:
        raise SpecError(f"data: name exactly one of {', '.join(_PLACES)}; given: {', '.join(given) or 'none'}")
    if spec.dataset:
        return build("dataset", spec.dataset.name, spec.dataset.params, spec, cache, skip_bad_rows)
    if spec.medmnist:
        return load_medmnist(spec, cache, skip_bad_rows)
    if spec.classes:
        return from_files(list_classes(spec), spec, cache, skip_bad_rows)
    listing = list_table(spec) if spec.table else list_stems(spec)
    return from_files(listing, spec, cache, skip_bad_rows)
