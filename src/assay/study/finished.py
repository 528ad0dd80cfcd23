"""Recognize a finished study that nothing has changed since, before anything heavy is imported.

A run that ends without failures leaves `finished.json`: a hash of the study, of the versions and files of the code, of
the state (size, times, inode) of the files that it read and wrote. The next run compares it. Contents are not read
again: `assay doctor RUN` does that.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import assay
from assay.core.errors import StoreError
from assay.core.files import content_hash, file_hash, file_state, fill_names, has_mark, leave_mark
from assay.core.registry import own_code
from assay.spec.schema import StudySpec
from assay.store.files import read_checked_json, write_checked_json
from assay.store.layout import BEGUN, LOCK
from assay.store.manifest import MANIFEST, PREVIEW, is_ours
from assay.store.schema import SCHEMA_VERSION

FINISHED = "finished.json"
LIBRARIES = (
    "torch", "torchvision", "numpy", "scipy", "scikit-learn", "timm", "pytorch-metric-learning", "monai", "duckdb",
)  # fmt: skip
"""Libraries whose versions can change a number or the page."""
MOST_FILES = 500_000
"""Files whose state is compared, at most; with more, the next run looks closer."""
IGNORED = (PREVIEW, LOCK, BEGUN, MANIFEST)
"""Names in a run folder that no result depends on."""


@dataclass(frozen=True)
class Result:
    """How a run ended. `page` is None when there is nothing to show yet.

    trained: trainings of this run; several trials can share one, as those of all confounders do at p = 0. Models that
        were trained elsewhere count when they are read. An ensemble of folds is no training.
    unlearned: trials of the study that collapsed or diverged, in this run or before, each counted as on the page.
    """

    folder: Path
    trained: int
    probed: int
    failed: int
    unlearned: int
    stopped: bool
    page: Path | None


@dataclass(frozen=True)
class FinishedStudy:
    """A finished study of so many trials, and the result of a run that does nothing."""

    trials: int
    result: Result


def causes(spec: StudySpec, skip_bad_rows: bool) -> str:
    """Hash what decides a study's results: itself, the code, and the state of the files that it reads.

    Returns:
        Empty where files cannot be named before they are read, as those of links or of a download.
    """
    complete = spec.model_dump(mode="json", context={"complete": True})
    roots = _inputs(spec, complete)
    read = None if roots is None else _hash_states(roots)
    if read is None:
        return ""
    return content_hash(
        {
            "study": complete,
            "skip_bad_rows": skip_bad_rows,
            "own_code": own_code(spec.model_dump_json(context={"complete": True})),
            "code": _hash_states([Path(assay.__file__).parent], suffixes=(".py", ".json", ".html", ".css", ".js")),
            "python": [sys.version, platform.machine(), *map(_version, LIBRARIES)],
            "inputs": read,
        }
    )


def remember(root: Path, trials: int, unlearned: int, before: str, now: str) -> None:
    """Note that a study is finished, unless something that decides its results changed while it ran.

    Args:
        trials: Number of trials.
        unlearned: Of these, how many collapsed or diverged.
        before: Its `causes` before it was planned.
        now: The same after its page was written.
    """
    if before and before == now:
        counts = {"trials": trials, "unlearned": unlearned}
        hashes = {"causes": now, "effects": _effects(root)}
        write_checked_json(root / FINISHED, {"schema": SCHEMA_VERSION, **hashes, **counts})
        leave_mark(_written_here(root))


def forget(root: Path) -> None:
    """Remove the note, before anything in the folder changes."""
    (root / FINISHED).unlink(missing_ok=True)


def find_finished(root: Path, spec: StudySpec, skip_bad_rows: bool) -> FinishedStudy | None:
    """Return a finished study that nothing has changed since; None where a run has to look closer.

    So it has where this user did not finish the study here: anybody can write such a note.
    """
    if not (root / FINISHED).is_file() or not is_ours(root) or not has_mark(_written_here(root)):
        return None
    try:
        note: Mapping[str, Any] = read_checked_json(root / FINISHED)
    except StoreError:
        return None
    same = note.get("schema") == SCHEMA_VERSION and note.get("causes") == causes(spec, skip_bad_rows)
    effects = _effects(root)
    if not same or effects is None or note.get("effects") != effects:
        return None
    result = Result(
        root, trained=0, probed=0, failed=0, unlearned=note["unlearned"], stopped=False, page=root / "report.html"
    )
    return FinishedStudy(note["trials"], result)


def _written_here(root: Path) -> str:
    """Return what is remembered of a note that this user's Assay wrote here."""
    return f"finished {file_hash(root / FINISHED)}"


def _effects(root: Path) -> str | None:
    """Hash the state of all files of a run folder but the note itself and what previews leave."""
    return _hash_states([path for path in sorted(root.iterdir()) if path.name not in (FINISHED, *IGNORED)])


def _inputs(spec: StudySpec, complete: Mapping[str, Any]) -> list[Path] | None:
    """Files and folders that the study reads; None where some lie elsewhere."""
    sets = (spec.data, *(source.data for source in spec.sources.values()))
    if any(data.links != "refuse" for data in sets):
        return None
    written = list(_texts(complete, inside=False))
    for data in sets:
        named = [data.folder, data.classes, data.medmnist, *_texts(dict(data.dataset.params) if data.dataset else {})]
        if data.phantom is None and not any(_is_there(name) for name in named if name):
            return None
    if any("/" in path and not _is_there(path) for path in written):
        return None
    return sorted({fill_names(path) for path in written if _is_there(path)})


def _is_there(path: str) -> bool:
    return os.path.exists(fill_names(path))  # noqa: PTH110  pathlib's own raises OSError for names over 255 bytes


def _texts(values: object, *, inside: bool = True) -> Iterator[str]:
    """Texts below the keys `data` and `initialization`, where paths are."""
    if isinstance(values, str):
        if inside and values:
            yield values
    elif isinstance(values, Mapping):
        for key, value in cast("Mapping[str, object]", values).items():
            yield from _texts(value, inside=inside or key in ("data", "initialization"))
    elif isinstance(values, Sequence):
        for value in cast("Sequence[object]", values):
            yield from _texts(value, inside=inside)


def _hash_states(roots: Sequence[Path], suffixes: tuple[str, ...] = ("",)) -> str | None:
    """Hash the paths and states of all files below; None for more than `MOST_FILES`."""
    states: list[str] = []
    for path in (path for root in roots for path in _below(root) if path.endswith(suffixes)):
        states.append(f"{path} {file_state(path)}")
        if len(states) > MOST_FILES:
            return None
    return content_hash(sorted(states))


def _below(root: Path) -> Iterator[str]:
    if root.is_file():
        yield str(root)
    for folder, _, names in os.walk(root):
        yield from (f"{folder}{os.sep}{name}" for name in names)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
