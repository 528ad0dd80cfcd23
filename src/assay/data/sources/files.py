"""What files hold, remembered: content hash and header by (path, size, time of change), so that planning is quick."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.data.cache import ArrayCache
from assay.data.sources.decode import in_threads
from assay.data.sources.pictures import Header
from assay.data.sources.problems import Unreadable
from assay.data.sources.readers import examine

VERSION = 1
"""Rises when the same file yields another fact."""
LOOKING = "looking at image files"
_SETTLED = 2.0  # seconds: a file changed this lately may change again within one tick of the clock


@dataclass(frozen=True, slots=True)
class Fact:
    """A file's content hash (32 hexadecimal digits) and header, or why it cannot be used."""

    digest: str
    header: Header | None
    what: str = ""
    remedy: str = ""


def facts_of(paths: Sequence[Path], cache: ArrayCache) -> list[Fact]:
    """One fact a file, in order. Files that were looked at before, unchanged since, are not read again.

    paths: existing files. What is remembered lies in the cache, one file of notes per folder; to lose it costs only
    time.
    """
    by_folder: dict[str, list[int]] = {}
    for at, path in enumerate(paths):
        by_folder.setdefault(str(path).rpartition("/")[0], []).append(at)
    found: dict[int, Fact] = {}
    for folder, positions in by_folder.items():
        found.update(zip(positions, _in_folder(Path(folder), [paths[at] for at in positions], cache), strict=True))
    return [found[at] for at in range(len(paths))]


def _in_folder(folder: Path, paths: Sequence[Path], cache: ArrayCache) -> list[Fact]:
    notes = f"files-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:24]}.json"
    remembered: dict[str, Any] = _memory(cache.read_notes(notes))
    stamps = [_stamp(path) for path in paths]
    fresh = [at for at, path in enumerate(paths) if remembered.get(path.name, [None])[0] != stamps[at]]
    before = time.time() - _SETTLED
    facts: dict[int, Fact] = {}
    for at, fact in zip(fresh, in_threads(lambda at: _examine(paths[at]), fresh), strict=True):
        facts[at] = fact
        cache.told(LOOKING, len(facts), len(fresh))
    settled = [at for at in fresh if stamps[at][1] < before * 1e9]
    if settled:
        remembered |= {paths[at].name: [stamps[at], asdict(facts[at])] for at in settled}
        cache.write_notes(notes, {"version": VERSION, "files": remembered})
    return [facts[at] if at in facts else _recalled(remembered[path.name][1]) for at, path in enumerate(paths)]


def _memory(notes: Any) -> dict[str, Any]:
    return dict(notes["files"]) if isinstance(notes, dict) and notes.get("version") == VERSION else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _recalled(kept: dict[str, Any]) -> Fact:
    header = Header(**kept["header"]) if kept["header"] else None
    return Fact(kept["digest"], header, kept["what"], kept["remedy"])


def _examine(path: Path) -> Fact:
    try:
        data = read_file(path)
    except Unreadable as error:
        return Fact("", None, error.what, error.remedy)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    try:
        return Fact(digest, examine(data))
    except Unreadable as error:
        return Fact(digest, None, error.what, error.remedy)


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises Unreadable when the system refuses them."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"the file cannot be read ({error.strerror})", "check its permissions") from error


def file_source(path: Path) -> Callable[[], bytes]:
    """A call that reads the file."""
    return lambda: read_file(path)
