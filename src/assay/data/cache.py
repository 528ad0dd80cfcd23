"""Decoded images on disk: built once, memory-mapped, shared by runs, safe when two processes want the same ones."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from assay.core.errors import StoreError
from assay.core.files import (
    file_lock,
    file_state,
    is_abandoned,
    not_written,
    partial_path,
    release,
    sha256,
    write_bytes,
)
from assay.data.dataset import ONE_KIND, Images, Masks

if TYPE_CHECKING:
    from torch import Tensor


_ALTERED = "it is damaged (its content is not that of its checksum)"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is exhausted",
    errno.EROFS: "the folder is read-only",
    errno.EACCES: "the folder may not be written",
    errno.EPERM: "the folder may not be written",
}


NO_ROOM_REMEDY = "make room there, or let ASSAY_CACHE name another folder"
"""Remedy if the cache cannot be written."""


ProgressCallback = Callable[[str, int, int], None]
"""Callback for the progress of something long: the step, how many of it are, and how many there will be."""


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """Arrays by key, one `.npy` file each under `root`.

    A file appears under its name only when it is complete and flushed. Its key must cover everything that determines
    its content: an existing array of the right shape and type is used as it is. Its SHA-256 is stored next to it,
    `<key>.sha256`, for `check_opened` and `damaged_arrays`. Notes contain theirs, for `read_notes`.

    Attributes:
        root: The folder.
        on_progress: Callback for images while they are read into it.

    Examples:
        >>> def fill(array):
        ...     array[:] = 7
        >>> cache = ArrayCache(Path("cache"))
        >>> cache.get("sevens", (2,), np.uint8, fill).tolist(), cache.get("sevens", (2,), np.uint8, None).tolist()
        ([7, 7], [7, 7])
    """

    root: Path
    on_progress: ProgressCallback = no_progress

    def get(
        self,
        key: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any] | type,
        fill: Callable[[np.ndarray], None],
        notes: str = "",
    ) -> np.ndarray:
        """Return the read-only, memory-mapped array of this key; `fill` writes it in place when it is not there yet.

        When two processes ask at once, the second waits and reuses the array. A truncated file, or one of another shape
        or type, is built again.

        Args:
            key: Letters, digits, `.`, `_`, `-`.
            shape: Shape of the array.
            dtype: Type of the array.
            fill: Fills a zeroed array of `shape` and `dtype`; its errors are passed on, and no file is left then.
            notes: A file of notes under `root` that `fill` writes (see `write_notes`), without which the array does not
                count as built.

        Raises:
            StoreError: If it cannot be read or written.
        """
        if not _KEY.fullmatch(key):
            raise ValueError(f"a cache key is up to 120 letters, digits, '.', '_' and '-'; given {key!r}")
        path = self.root / f"{key}.npy"
        wanted = np.dtype(dtype)
        array = self._open(path, shape, wanted, notes)
        if array is not None:
            return array
        with file_lock(path.with_suffix(".lock"), remedy=NO_ROOM_REMEDY):
            array = self._open(path, shape, wanted, notes)  # another process may have built it meanwhile
            if array is None:
                _build(path, shape, wanted, fill)
                array = self._open(path, shape, wanted, notes)
        if array is None:
            raise StoreError(f"the cache file {path.name} in {self.root} was removed while it was built: run again")
        return array

    def holds(self, key: str) -> bool:
        """Return whether an array of this key was built; it may still be found broken when it is asked for."""
        return (self.root / f"{key}.npy").is_file()

    def _open(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], notes: str) -> np.ndarray | None:
        if notes and self.read_notes(notes) is None:
            return None
        array = _open_complete(path, shape, dtype)
        if array is not None:
            _opened.setdefault(path)
        return array

    def read_notes(self, name: str) -> Any:
        """Return the value kept under `name`; None when there is none, or its content is not that of its checksum."""
        body = _body(self.root / name)
        return None if body is None else json.loads(body)

    def write_notes(self, name: str, value: Any) -> None:
        """Keep a JSON value under `name` with its SHA-256, whole or not at all; the last of several writers wins."""
        body = json.dumps(value, separators=(",", ":")).encode()
        write_bytes(self.root / name, _seal(body))


def _seal(body: bytes) -> bytes:
    """Return a JSON object of a JSON text and its SHA-256, which are checked without parsing."""
    return b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","value":' + body + b"}\n"


_START = len(_seal(b"")) - 2


def _body(path: Path) -> bytes | None:
    """Return the JSON text in a file of notes; None when there is none, or its content is not that of its checksum."""
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return None
    body = content[_START:-2]
    return body if content == _seal(body) else None


_opened: dict[Path, tuple[int, ...] | None] = {}
"""The arrays that this process has opened, and the state of each file when it was last found to be sound."""


def check_opened() -> None:
    """Compare every array that this process has opened with its checksum, once as long as its file is not touched.

    Raises:
        StoreError: For one that is damaged.
    """
    for path, sound in list(_opened.items()):
        try:
            state = file_state(path)
        except OSError:  # deleted since, while it stays open here
            continue
        if state == sound:
            continue
        if _is_damaged(path):
            raise StoreError(_damage(path))
        _opened[path] = state


def damaged_arrays(root: Path) -> tuple[int, list[str]]:
    """How many arrays of a cache have a checksum, and a sentence for each that is damaged."""
    arrays = [path for path in sorted(root.glob("*.npy")) if _expected_checksum(path)]
    return len(arrays), [_damage(path) for path in arrays if _is_damaged(path)]


def damaged_notes(root: Path) -> tuple[int, list[str]]:
    """Return the number of files of notes of a cache, and a sentence for each that is damaged."""
    notes = sorted(root.glob("*.json"))
    again = "delete this file, which is written again when it is needed"
    return len(notes), [f"cannot read {path}: {_ALTERED}; {again}" for path in notes if _body(path) is None]


def _is_damaged(path: Path) -> bool:
    wanted = _expected_checksum(path)
    return bool(wanted) and not (path.is_file() and sha256(path) == wanted)


def _expected_checksum(path: Path) -> str:
    """Return the checksum of an array; empty for one that was built without."""
    checksum = path.with_suffix(".sha256")
    try:
        return checksum.read_text().strip() if checksum.is_file() else ""
    except (OSError, ValueError):
        return ""


def _damage(path: Path) -> str:
    return f"cannot read {path}: {_ALTERED}; delete this file and run the study again"


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn a failure to write `path` that its owner can mend (full disk, no permission) into one clear StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        text = f"cannot write {path.name} to the cache {path.parent}: {_REASONS[error.errno]}; {NO_ROOM_REMEDY}"
        raise not_written(text, error) from error


def _open_complete(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray | None:
    """Return the mapped array if the file is whole and matches the request, else None."""
    try:
        if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
            return None
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (FileNotFoundError, NotADirectoryError, ValueError, EOFError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}; let ASSAY_CACHE name another folder") from error
    matches = array.shape == shape and array.dtype == dtype and array.flags.c_contiguous
    return array if matches else None


def _build(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], fill: Callable[[np.ndarray], None]) -> None:
    for other in path.parent.glob(f".{path.name}.*.partial"):
        if is_abandoned(other):  # without locks another process may build the same array now
            other.unlink(missing_ok=True)
    partial = partial_path(path)
    try:
        with writing(path), partial.open("x+b") as file:  # a new file, never one behind a link that somebody put there
            np.lib.format.write_array_header_1_0(
                file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            )
            file.flush()
            start = file.tell()
            # Space is claimed before it is written: a full disk is then an error here, not a bus error in the middle.
            os.posix_fallocate(file.fileno(), 0, start + max(1, math.prod(shape) * dtype.itemsize))
            array = np.memmap(file, dtype, "r+", start, shape)
        fill(array)
        with writing(path):
            array.flush()
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        write_bytes(path.with_suffix(".sha256"), f"{sha256(partial)}\n".encode())
        with writing(path):
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """`Images` over an array [n, c, h, w] of uint8 or uint16; 0 reads as 0 and the type's maximum as 1.

    Attributes:
        rows: int64 positions in the array that are the images, in order; all of them when None.
    """

    array: UInt8[np.ndarray, "n c h w"] | UInt16[np.ndarray, "n c h w"]
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.dtype.name not in ("uint8", "uint16"):
            raise ValueError(f"expected uint8 or uint16 [n, c, h, w], given {self.array.dtype} {self.array.shape}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.array.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.array if self.rows is None else self.rows)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order. Raises IndexError beyond the last."""
        import torch

        return torch.as_tensor(self.values(index))

    def values(self, index: np.ndarray) -> Float[np.ndarray, "n c h w"]:
        """Return what `read` returns, without PyTorch."""
        pixels = _copy_rows(self.array, self.rows, index)
        largest = np.float32(np.iinfo(pixels.dtype).max)
        return np.divide(pixels, largest, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ArrayMasks:
    """`Masks` over an array [n, 1, h, w] of labels, or of bool where there is one kind. `rows` as in ArrayImages."""

    array: Bool[np.ndarray, "n 1 h w"] | UInt8[np.ndarray, "n 1 h w"]
    rows: np.ndarray | None = None
    kinds: tuple[str, ...] = ONE_KIND

    def __post_init__(self) -> None:
        if self.array.ndim != 4 or self.array.shape[1] != 1 or self.array.dtype.name not in ("bool", "uint8"):
            raise ValueError(f"expected bool or uint8 [n, 1, h, w], given {self.array.dtype} {self.array.shape}")

    def __len__(self) -> int:
        return len(self.array if self.rows is None else self.rows)

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Label maps at these positions, in this order. Raises IndexError beyond the last."""
        import torch

        return torch.as_tensor(self.values(index))

    def values(self, index: np.ndarray) -> UInt8[np.ndarray, "n 1 h w"]:
        """Return what `read` returns, without PyTorch."""
        return _copy_rows(self.array, self.rows, index).view(np.uint8)


def image_values(images: Images, index: np.ndarray) -> Float[np.ndarray, "n c h w"]:
    """Return images at these positions as an array; those of files are read without PyTorch."""
    return images.values(index) if isinstance(images, ArrayImages) else images.read(index).numpy()


def mask_values(masks: Masks, index: np.ndarray) -> UInt8[np.ndarray, "n 1 h w"]:
    """Return label maps at these positions as an array; those of files are read without PyTorch."""
    return masks.values(index) if isinstance(masks, ArrayMasks) else masks.read(index).numpy()


_LARGE = 1 << 29
"""Bytes of an array that is let go of after each read: random reads of smaller ones are faster without."""


def _copy_rows(array: np.ndarray, rows: np.ndarray | None, index: np.ndarray) -> np.ndarray:
    """Return a copy of the array at these positions, as plain memory."""
    positions = np.asarray(index, dtype=np.int64)
    copied = np.asarray(array)[positions if rows is None else rows[positions]]
    if array.nbytes > _LARGE:
        release(array)
    return copied
