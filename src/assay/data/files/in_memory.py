"""Tables and images in memory as `data` of a study: data frames, datasets of PyTorch and lists of dicts."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, cast
from uuid import uuid4

import numpy as np
import pandas as pd

from assay.core.errors import DataError, SpecError
from assay.core.files import (
    IN_MEMORY,
    cache_folder,
    canonical_json,
    default_cache_root,
    fill_names,
    is_file,
    write_bytes,
)
from assay.data.files.table import COUNTED

# They are kept as a folder of the cache, named by its content: a CSV, arrays as .npy files, and a link to the folder of
# files that rows name. Everything after that is as with any folder: the same content has the same trials, worker
# processes read it, and bad rows are refused by the same sentences.

TABLE = "data.csv"
_LINK, _ABSOLUTE = "files", "paths"
"""Links to the folder that paths of rows start from, and to the one that whole paths have in common."""
_KINDS = "a mapping as `data:` of a study, a pandas DataFrame, a dataset of PyTorch, or a list of dicts"


class InMemoryRows(Protocol):
    """A list of rows, or a dataset of PyTorch."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Return a row: a mapping, or an image and its label."""
        ...


def on_disk(data: Any, place: str = "data", **keys: Any) -> Any:
    """Return `data` of a study, with a table or images in memory replaced by a folder of the cache.

    Args:
        data: A data frame, a dataset of PyTorch, a list of dicts, or a mapping whose `table` is one. Cells of the
            columns of images and masks are paths (relative ones from `folder`, or the working directory) or pixels:
            arrays and tensors [h, w], [h, w, 3] or [c, h, w], or images of Pillow. Items (image, label) of a dataset
            become the columns `image` and `label`. Other values are returned as they are.
        place: The key, for errors.
        keys: Further keys of `data`.

    Raises:
        SpecError: The value is of another kind, or has no row.
    """
    if isinstance(data, Mapping):
        settings = {**cast(Mapping[str, Any], data), **keys}
        return _store(settings["table"], settings, f"{place}.table") if in_memory(settings.get("table")) else settings
    if in_memory(data):
        return _store(data, keys, place)
    if data is None or isinstance(data, str):
        return data
    raise SpecError(f"{place} is {type(data).__name__}; give {_KINDS}")


def kept_table(table: Any, place: str = "data", counted: Mapping[str, Any] | None = None) -> Path:
    """Write the cells of a table in memory, whose files lie elsewhere, as a CSV of the cache, and return its path.

    Args:
        table: The table.
        place: Its key, for errors.
        counted: How its user counts the rows: their `numbers`, the `word` for a row, and the table or folder (`where`).
    """
    if not in_memory(table) or not len(table):
        raise SpecError(f"{place} is {'empty' if in_memory(table) else type(table).__name__}; give a table with rows")
    if isinstance(table, pd.DataFrame) and any(name is not None for name in table.index.names):
        table = table.reset_index()  # as pandas writes it
    rows = [{name: _text(cell) for name, cell in row.items()} for row in _rows(table, place)]
    text = pd.DataFrame(rows, dtype=object).fillna("").to_csv(index=False, lineterminator="\n").encode()
    numbers = b"" if counted is None else canonical_json(counted).encode()
    name = hashlib.sha256(text + numbers).hexdigest()[:16]
    path = cache_folder(default_cache_root(), IN_MEMORY, name) / TABLE
    if not is_file(path):
        if counted is not None:
            write_bytes(path.with_name(COUNTED), numbers)  # before the table, which is complete once it is there
        write_bytes(path, text)
    return path


def own_path(folder: str, name: str) -> str:
    """Return a file of a table as its user knows it: tables in memory reach their files by a link of the cache."""
    first, _, rest = name.partition("/")
    if first not in (_LINK, _ABSOLUTE) or default_cache_root() / IN_MEMORY != Path(folder).parent:
        return name
    return rest if first == _LINK else str(Path(folder, first).readlink() / rest)


def in_memory(value: object) -> bool:
    """Return whether a value is a table or a dataset: a data frame, a list of rows or a dataset of PyTorch."""
    return not isinstance(value, str | bytes | Mapping) and hasattr(value, "__len__") and hasattr(value, "__getitem__")


def _store(table: Any, keys: dict[str, Any], place: str) -> dict[str, Any]:
    if not len(table):
        raise SpecError(f"{place} has no rows; give {_KINDS}")
    rows = _rows(table, place)
    first, base = next(rows), str(keys.get("folder", ""))
    if "label" in first and not {"mask", "target"} & set(keys):
        keys["mask" if _shows_pixels(first.get("label"), base) else "target"] = "label"
        if "mask" in keys:
            keys["target"] = "lesion"
    image_columns = [name for name, cell in first.items() if name != keys.get("mask") and _shows_pixels(cell, base)]
    if image_columns and "image" not in {*keys, *first}:
        keys["image"] = image_columns[0]
    from assay.data.cache import writing  # it imports PyTorch, which a table alone does not need

    root = cache_folder(default_cache_root(), IN_MEMORY)
    partial = root / f"partial-{uuid4().hex}"
    with writing(partial):
        partial.mkdir(parents=True)
        try:
            name = _write(partial, chain([first], rows), keys)
            if not (root / name).exists():
                partial.rename(root / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return {**keys, "folder": str(root / name), "table": TABLE, "links": "follow"}


def _rows(table: Any, place: str) -> Iterator[dict[str, Any]]:
    """Yield a mapping for each row; of a dataset one is in memory at a time."""
    if isinstance(table, pd.DataFrame):
        header = [*map(str, table.columns)]
        if repeated := next((name for name in header if header.count(name) > 1), ""):
            raise DataError(f"{place} names column '{repeated[:60]}' twice; rename one of them")
        return ({str(name): cell for name, cell in row.items()} for row in table.to_dict("records"))
    classes = getattr(table, "classes", None)
    names = list(cast("list[object]", classes)) if isinstance(classes, list | tuple) else []

    def row(at: int, item: Any) -> dict[str, Any]:
        if isinstance(item, Mapping):
            return {str(name): cell for name, cell in cast(Mapping[Any, Any], item).items()}
        parts = cast("Sequence[Any]", item) if isinstance(item, tuple | list) else ()
        if len(parts) != 2:
            kind = type(cast(object, item)).__name__
            raise SpecError(f"{place}[{at}] is {kind}; expected a dict, or an image and its label")
        image, label = parts
        code = _text(label)
        named = code.isdigit() and int(code) < len(names)
        return {"image": image, "label": names[int(code)] if named else label}

    rows = cast(InMemoryRows, table)
    return (row(at, rows[at]) for at in range(len(rows)))


def _write(folder: Path, rows: Iterable[dict[str, Any]], keys: Mapping[str, Any]) -> str:
    """Write CSV, arrays and the link; return a hash of them."""
    file_columns = {str(keys.get("image", "image")), str(keys.get("mask", ""))}
    base, digest, table = str(keys.get("folder", "")), hashlib.sha256(), list[dict[str, str]]()
    absolute = False
    for at, row in enumerate(rows):
        cells = {name: _text(cell) for name, cell in row.items()}
        for name in sorted(file_columns & row.keys()):
            if (pixels := _pixels(row[name], name == keys.get("mask"))) is not None:
                content = io.BytesIO()
                np.save(content, pixels, allow_pickle=False)
                digest.update(content.getvalue())
                cells[name] = f"{name}-{at:06d}.npy".replace("/", "-")
                (folder / cells[name]).write_bytes(content.getvalue())
            elif cells[name]:
                absolute = absolute or Path(cells[name]).is_absolute() or ".." in Path(cells[name]).parts
                cells[name] = str(fill_names(cells[name], base))
        table.append(cells)
    paths = [Path(row[name]) for row in table for name in file_columns if Path(row.get(name, "")).is_absolute()]
    if paths:
        common = os.path.commonpath([path.parent for path in paths]) if absolute else str(fill_names(base))
        link = _ABSOLUTE if absolute else _LINK
        (folder / link).symlink_to(common, target_is_directory=True)
        digest.update(common.encode())
        for row in table:
            named = [name for name in file_columns if Path(row.get(name, "")).is_absolute()]
            row.update({name: f"{link}/{Path(row[name]).relative_to(common).as_posix()}" for name in named})
    text = pd.DataFrame(table, dtype=object).fillna("").to_csv(index=False, lineterminator="\n")
    (folder / TABLE).write_text(text, encoding="utf-8")
    digest.update(text.encode())
    return digest.hexdigest()[:16]


def _text(cell: Any) -> str:
    """Return a cell of the table; empty for no value, for several, and for an object without a text of its own."""
    if isinstance(cell, str | os.PathLike):
        return os.fspath(cast("os.PathLike[str] | str", cell))
    values = array_of(cell)
    value: Any = cell if values is None else values.item() if values.size == 1 else None
    return "" if hasattr(value, "__iter__") or type(value).__repr__ is object.__repr__ or pd.isna(value) else str(value)


def array_of(cell: Any) -> np.ndarray | None:
    """Return an array, a tensor or an image of Pillow as an array; None for another value."""
    if hasattr(cell, "detach"):  # a tensor, without the import of PyTorch
        tensor = cell.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    if isinstance(cell, np.ma.MaskedArray):
        values = np.array(cast("Any", cell).data, dtype=object)
        values[np.ma.getmaskarray(cast("Any", cell))] = None
        return values
    is_array = hasattr(cell, "__array__") or hasattr(cell, "__array_interface__")
    return np.asarray(cell) if is_array else None


def _pixels(cell: Any, mask: bool = False) -> np.ndarray | None:
    values = array_of(cell)
    if values is not None and hasattr(cell, "getbands"):  # an image of Pillow, whose import a table alone does not need
        from assay.data.files.readers import DEEP, raster_values

        values = values if cell.mode in ("F", *DEEP) else raster_values(cell, mask).pixels
    return None if values is None or values.ndim < 2 else np.ascontiguousarray(values)


def _shows_pixels(cell: Any, base: str) -> bool:
    """Return whether a label is a mask: pixels, or a file."""
    return _pixels(cell) is not None or (isinstance(cell, str | Path) and is_file(fill_names(str(cell), base)))
