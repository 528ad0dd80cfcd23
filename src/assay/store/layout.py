"""Places of run folders: where they lie, whether anything can be written there, and who works in one."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal, cast, get_args

from assay.core.errors import StoreError, key_text, shorten
from assay.core.files import file_lock
from assay.store.manifest import MANIFEST, UNLINK, UNLISTED, FileChange, find_nonregular_files, read_manifest

RUN = "run.json"
"""The file of a run folder that names its kind, and keeps what was asked for."""
PAGE = "report.html"
UnitKind = Literal["models", "sources", "trials", "readings", "probes"]
UNIT_KINDS = cast("tuple[UnitKind, ...]", get_args(UnitKind))
_NAMES_OF_ASSAY = frozenset({RUN, MANIFEST, *UNLISTED, *UNIT_KINDS})
"""What a folder of a run may hold before its description is written, or where that was lost."""


def run_folder(study: str, scale: str | None, out: Path) -> Path:
    """Where a study's records lie: `out/<name>`, and `out/<name>-<scale>` for a named scale."""
    return out / (study if scale in (None, "default") else f"{study}-{scale}")


def require_writable(folder: Path) -> None:
    """Check that a folder is writable by writing to it, since permissions alone are no proof. Traces are removed.

    Raises:
        StoreError: If a folder, with those above it, can neither be found nor made, or takes no file.
    """
    folders: list[Path] = []
    try:
        folders = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        refuses_folders = bool(folders) and isinstance(
            error, FileNotFoundError
        )  # as /proc, which says of itself that it may
        reason = f"{folders[-1].parent} takes no folders" if refuses_folders else error.strerror
        problem = "cannot be made" if folders else "cannot be written to"
        raise StoreError(
            f"the folder {folder} {problem}: {reason}; choose another place with {key_text('--out')}"
        ) from error
    finally:
        for path in folders:
            with suppress(OSError):
                path.rmdir()


def require_regular_files(root: Path) -> None:
    """Check that a folder holds no link, pipe or device. Raises StoreError."""
    for change in find_nonregular_files(root)[:1]:
        raise StoreError(f"{change.text}; {UNLINK}")


def require_run_folder(root: Path) -> None:
    """Check that a folder may be written to as a run folder: it is no link, and new, empty or made by Assay.

    Raises:
        StoreError: It is a link, or holds files of somebody else, which a run would replace or remove.
    """
    if root.is_symlink():
        raise StoreError(f"{FileChange('link', root).text}; {UNLINK}")
    entries = {path.name for path in root.iterdir() if not path.name.startswith(".")} if root.is_dir() else set[str]()
    if entries and not _is_of_run(root, entries):
        raise StoreError(
            f"{root} has files that are no run's, such as {shorten(min(entries))}: choose another place with "
            f"{key_text('--out')}"
        )


def _is_of_run(root: Path, entries: Collection[str]) -> bool:
    """Return whether Assay made a folder: a file of it says so, or it has nothing but what Assay names so."""
    if RUN in entries or (root / LOCK).is_file():
        return True
    with suppress(StoreError):  # of another program's manifest
        if read_manifest(root) is not None:
            return True
    return _NAMES_OF_ASSAY.issuperset(entries)


def result_folder(parent: str, name: str) -> Path:
    """Return where the results on a file go unless a place is named: in a folder of its name, as `audits/model`.

    Raises:
        StoreError: The name is that of the folder above, as the stem of `...onnx` is.

    Examples:
        >>> result_folder("audits", "resnet").as_posix()
        'audits/resnet'
    """
    if name in ("", ".", ".."):
        raise StoreError(f"a folder cannot be called '{name}': choose a place for the results with {key_text('--out')}")
    return Path(parent) / name


# One run at a time works in a run folder.

LOCK, BEGUN = ".lock", ".begun"
"""Hidden files of a run folder: held while a run works there; there until a run ends, to know again who began it."""
_held_folders: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
"""Run folders that this process holds, where it may write units before the manifest of an earlier run goes."""


@contextmanager
def working_in(root: Path) -> Generator[None]:
    """Hold a run folder while something is written there.

    Raises:
        StoreError: If another process holds it, or the folder cannot be made, holds files that are no run's, or has
            links, which lead elsewhere.
    """

    def refuse() -> None:
        raise StoreError(
            f"another run works in {root}: wait until it ends, or choose another place with {key_text('--out')}"
        )

    require_run_folder(root)
    require_regular_files(root)
    require_writable(root)
    with file_lock(root / LOCK, refuse):
        token = _held_folders.set(_held_folders.get() | {root.absolute()})
        try:
            yield
        finally:
            _held_folders.reset(token)


def holds_folder(root: Path) -> bool:
    """Return whether this process holds a run folder."""
    return root.absolute() in _held_folders.get()


def is_locked(root: Path) -> bool:
    """Return whether a process holds a run folder, as far as the file system knows locks."""
    try:
        with working_in(root):
            return False
    except StoreError:
        return True
