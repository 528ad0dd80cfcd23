"""Load the dataset that a study names: a folder, classes, MedMNIST, or a public set."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np

from assay.core.errors import DataError, SpecError
from assay.core.registry import build, lookup
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.cards import OWN_PATIENT
from assay.data.dataset import Dataset, Images
from assay.data.files.build import assemble, detail_of, from_files, images_of, places_of
from assay.data.files.classes import in_order, positive_words, target_column, which_is_positive
from assay.data.files.crops import DecodedPixels
from assay.data.files.decode import WHOLE, decode_images
from assay.data.files.fitting import framing_of
from assay.data.files.folder import list_classes, list_stems, list_table
from assay.data.files.listing import Listing, frame_of
from assay.data.files.readers import array_header, check_npz
from assay.data.files.table import SHOWN, expand
from assay.spec.schema import DataSpec

# MedMNIST `.npz` files (Yang et al. 2023): 2-D, one label an image. The given split becomes the factor `split`.

PARTS = ("train", "val", "test")


def load_medmnist(
    spec: DataSpec, cache: ArrayCache, skip_bad_rows: bool, alike: bool, keep_copies: bool = False
) -> Dataset:
    """Return all three parts as one dataset, rows numbered from 1 in the order train, val, test.

    Classes are the label numbers as text.

    Raises:
        DataError: For a damaged file, a 3-D set or several labels an image.
    """
    path = expand(spec.medmnist, "data.medmnist")
    if not path.is_file():
        raise SpecError(f"data.medmnist: '{spec.medmnist}' is a folder; give the .npz file")
    arrays, labels, digest = _open_dataset(path, cache)
    counts = [len(array) for array in arrays]
    sources: list[Callable[[], np.ndarray | bytes]] = [_row(array, at) for array in arrays for at in range(len(array))]
    listing = _require_decided(_listing(spec, path, np.concatenate(labels), counts), alike)
    digests = [f"{digest}:{at}" for at in range(len(sources))]
    images = decode_images(sources, digests, spec.size, False, spec.channels, cache, framing=framing_of(spec))
    height, width = arrays[0].shape[1:3]
    native = np.tile(np.array([[width, height]], dtype=np.int64), (len(sources), 1))
    detail = partial(detail_of, sources, digests, cache, WHOLE)
    pixels = DecodedPixels(images, None, native, detail, digests=digests, sources=sources)
    return assemble(listing, pixels, spec, cache, skip_bad_rows, keep_copies)


def _row(array: np.ndarray, at: int) -> Callable[[], np.ndarray]:
    return lambda: np.ascontiguousarray(array[at])


def _listing(spec: DataSpec, path: Path, labels: np.ndarray, counts: list[int]) -> Listing:
    cells = [str(label) for label in labels.tolist()]
    if spec.positive:
        target = target_column(path.stem, spec.positive, cells, "data.medmnist")
        codes, classes, rule, question = target.codes, target.classes, target.rule, target.question
    else:
        values = sorted(set(labels.tolist()))
        codes = np.searchsorted(values, labels).astype(np.int64)
        classes = tuple(str(value) for value in values)
        rule = f"classes are the label numbers {', '.join(classes)}"
        undecided = len(classes) == 2 and in_order(classes) is None
        question = which_is_positive(path.stem, classes, "data.medmnist") if undecided else ""
    split = Factor("split", "categorical", levels=PARTS, description="the split given with the set")
    names = [f"{part} {at}" for part, count in zip(PARTS, counts, strict=True) for at in range(count)]
    return Listing(
        title=path.stem,
        where=path.name,
        word="row",
        frame=frame_of(range(1, len(cells) + 1), name=names, target=codes, patient=np.arange(len(cells))),
        classes=classes,
        factors=(split,),
        columns={"split": np.repeat(np.arange(3, dtype=np.int64), counts)},
        facts=(rule,),
        read={"positive class": positive_words(classes)},
        question=question,
        warnings=(OWN_PATIENT,),
    )


def _open_dataset(path: Path, cache: ArrayCache) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Mapped images and labels of the three parts, and the file's hash."""
    digest = _file_digest(path)
    try:
        check_npz(path)
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
            missing = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
            missing = [name for name in missing if f"{name}.npy" not in members]
            if missing:
                raise DataError(f"{path.name} is no MedMNIST file: it has no array '{missing[0]}'")
            images = [_unpack_array(archive, f"{part}_images", digest, cache) for part in PARTS]
            labels = [_unpack_array(archive, f"{part}_labels", digest, cache) for part in PARTS]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path.name} is damaged or no .npz file ({error}); download it again") from error
    for array in images:
        _check_images(path.name, array)
    flat = [_check_labels(path.name, f"{part}_labels", array) for part, array in zip(PARTS, labels, strict=True)]
    _check_alike(path.name, images, flat)
    return images, flat, digest


def _check_images(name: str, array: np.ndarray) -> None:
    volume = array.ndim == 5 or (array.ndim == 4 and array.shape[3] != 3)
    if volume:
        sides = " x ".join(str(side) for side in array.shape[1:])
        raise DataError(f"{name} holds volumes of {sides}; 3-D images are not supported yet: choose a 2-D MedMNIST set")
    if array.ndim not in (3, 4) or array.dtype != np.uint8:
        raise DataError(f"{name}: images are {array.dtype} {array.shape}; expected uint8 [n, h, w] or [n, h, w, 3]")


def _check_labels(name: str, which: str, array: np.ndarray) -> np.ndarray:
    """Return labels as int64 [n].

    Raises:
        DataError: For labels that are not whole numbers from 0, with the first of them.
    """
    labels = np.asarray(array)
    if labels.dtype.kind not in "biuf":
        raise DataError(f"{name}: {which} are of type {labels.dtype}; store them as whole numbers")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise DataError(
            f"{name} has {labels.shape[1]} labels an image; multi-label targets are not supported yet: choose a set "
            "with one label, such as pneumoniamnist"
        )
    flat = labels.reshape(-1)
    numbers = flat.astype(np.float64)
    right = (numbers == np.trunc(numbers)) & (numbers >= 0) & (numbers < 2**53)
    if not right.all():
        wrong = np.flatnonzero(~right)
        examples = ", ".join(f"{at}: {flat[at]}" for at in wrong[:SHOWN].tolist())
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        what = f"{len(wrong)} of {which} are no class numbers (row from 0, value: {examples}{more})"
        raise DataError(f"{name}: {what}; store whole numbers from 0")
    return flat.astype(np.int64)


def _check_alike(name: str, images: list[np.ndarray], labels: list[np.ndarray]) -> None:
    for part, array, codes in zip(PARTS, images, labels, strict=True):
        if array.shape[1:] != images[0].shape[1:]:
            here, first = (" x ".join(str(side) for side in item.shape[1:]) for item in (array, images[0]))
            raise DataError(f"{name}: {part}_images are {here} and train_images {first}; all parts must be alike")
        if len(array) != len(codes):
            raise DataError(
                f"{name}: {part} has {len(array)} images and {len(codes)} labels; it needs one label an image"
            )


def _file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:24]


def _unpack_array(archive: zipfile.ZipFile, name: str, digest: str, cache: ArrayCache) -> np.ndarray:
    """One array of the archive, unpacked into the cache piece by piece, so that it never is in memory whole."""
    with archive.open(f"{name}.npy") as stream:
        shape, dtype = array_header(stream)
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or stream.tell() + size != archive.getinfo(f"{name}.npy").file_size:
            raise ValueError(f"{name} is not of the size that its header says")

        def fill(out: np.ndarray) -> None:
            target = out.reshape(-1).view(np.uint8).data
            done = 0
            while done < len(target):
                piece = stream.read(min(1 << 20, len(target) - done))
                if not piece:
                    raise EOFError("it is cut short")
                target[done : done + len(piece)] = piece
                done += len(piece)

        return cache.get(f"medmnist-{digest}-{name}", shape, dtype, fill)


# Images from files: a folder with a CSV, images and masks, one folder per class, MedMNIST, or a public set.


_PLACES = ("dataset", "folder", "classes", "medmnist")


def load_dataset(
    spec: DataSpec,
    cache: ArrayCache,
    *,
    skip_bad_rows: bool = False,
    keep_copies: bool = False,
    alike: bool = False,
    like: Dataset | None = None,
) -> Dataset:
    """Return the set that a spec's `dataset`, `folder`, `classes` or `medmnist` names, decoded at `spec.size` into the
    cache.

    Args:
        keep_copies: Keep exact copies of different patients, which are bad rows otherwise.
        alike: Treat classes alike: none needs to be positive, and values that usually mean unknown may be classes.
        like: A set with which images are compared: equal values of files of over 8 bit are equal pixels in both.
        skip_bad_rows: Leave bad rows out and list them in `card.left_out`; else any bad row is an error. Raises
            DataError with all bad rows at once, SpecError for errors of the spec, StoreError when the cache cannot be
            written.

    Examples:
        >>> from PIL import Image
        >>> import pandas as pd
        >>> from assay.core.files import default_cache_root
        >>> frame = pd.DataFrame({"image": [f"{i}.png" for i in range(4)], "target": [0, 1, 0, 1]})
        >>> Path("images").mkdir()
        >>> for i, name in enumerate(frame.image):
        ...     Image.new("L", (8, 8), 10 + i).save(f"images/{name}")
        >>> frame.to_csv("images/data.csv", index=False)
        >>> spec = DataSpec(folder="images", target="target", size=8)
        >>> dataset = load_dataset(spec, ArrayCache(default_cache_root()))
        >>> len(dataset.table), dataset.images.shape
        (4, (1, 8, 8))
    """
    places = [name for name in _PLACES if getattr(spec, name)]
    if len(places) != 1 or spec.phantom is not None:
        raise SpecError(f"data: name exactly one of {', '.join(_PLACES)}; given: {', '.join(places) or 'none'}")
    if spec.dataset:
        parameters = signature(lookup("dataset", spec.dataset.name).load()).parameters
        copies = (keep_copies,) if "keep_copies" in parameters else ()  # loaders of users take no such parameter
        return build("dataset", spec.dataset.name, spec.dataset.params, spec, cache, skip_bad_rows, *copies)
    if spec.medmnist:
        return load_medmnist(spec, cache, skip_bad_rows, alike, keep_copies)
    return from_files(_require_decided(listing_of(spec), alike), spec, cache, skip_bad_rows, keep_copies, like)


def _require_decided(listing: Listing, alike: bool) -> Listing:
    """Return a listing whose classes are clear, or where they need not be. Raises SpecError with the question."""
    if listing.question and not alike:
        raise SpecError(listing.question)
    return listing


def listing_of(spec: DataSpec) -> Listing:
    """Return the files of a folder."""
    if spec.classes:
        return list_classes(spec)
    return list_table(spec) if spec.table else list_stems(spec)


def names_of(spec: DataSpec) -> dict[int, str]:
    """Return the name of every file by its number as users count rows, see `RowOrigins.numbers`; none without files.

    Rows that cannot be used, such as those without a label, are among them.
    """
    if not (spec.classes or spec.folder):
        return {}
    listing = listing_of(spec)
    used = dict(zip(places_of(listing, spec).numbers, listing.cells("name"), strict=True))
    return {problem.row: problem.name for problem in listing.problems} | used


def load_images(
    spec: DataSpec, numbers: Sequence[int], cache: ArrayCache, like: Dataset | None = None
) -> Images | None:
    """Return the images of some rows of files, by their numbers in the table; None where `spec` names no files.

    Args:
        spec: The files, and how they are shown.
        numbers: Numbers of the rows.
        cache: Cache of decoded images.
        like: The set that the rows are of, see `load_dataset`.

    Raises:
        DataError: One of them cannot be decoded.
        KeyError: The table has no such row.
    """
    if not (spec.classes or spec.folder):
        return None
    listing = listing_of(spec)
    rows = np.array([listing.frame.index.get_loc(number) for number in numbers])
    return images_of(listing.take(rows), spec, cache, like)
