"""Finished runs that tests only read: made once for a state of the code, and shared by workers and later sessions.

They are kept in `.cache/worlds`, below the hash of the package, of this folder and of what else decides their bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
WORLDS = ROOT / ".cache" / "worlds"
KEPT = 2
"""States of the code of which worlds are kept."""


def digest(folder: Path, files: Iterable[Path]) -> str:
    """Return a hash of names and contents."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder, what Python and Numba compiled left out: it appears while tests run."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@cache
def state() -> str:
    """Return the hash of the code, of its libraries and of the number of threads."""
    makers = [*files_of(Path(__file__).parent), ROOT / "tests" / "conftest.py"]
    code = digest(ROOT, [*files_of(ROOT / "src" / "assay"), *makers])
    rest = (code, sys.version, torch.__version__, np.__version__, os.environ.get("OMP_NUM_THREADS", ""), str(ROOT))
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:16]


def finished(name: str, make: Callable[[Path], object], worlds: Path = WORLDS) -> Path:
    """Return the folder of a world, which is made where it is missing or was written to.

    Args:
        name: Its name.
        make: Makes it in the folder that is given, which does not exist.
        worlds: Where worlds are kept.
    """
    place = worlds / state()
    folder, seal, marks = place / name, place / f"{name}.sha256", place / f"{name}.marks"
    place.mkdir(parents=True, exist_ok=True)
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not seal.exists() or seal.read_text() != digest(folder, files_of(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("XDG_STATE_HOME", str(marks))
                make(folder)
            seal.write_text(digest(folder, files_of(folder)))
            _remove_old(worlds)
        if marks.exists() and "XDG_STATE_HOME" in os.environ:  # this session knows the folders as its own
            shutil.copytree(marks, os.environ["XDG_STATE_HOME"], dirs_exist_ok=True)
    return folder


def _remove_old(worlds: Path) -> None:
    """Remove worlds of earlier code, those of the last states left out: a session may still read them."""
    for place in sorted(worlds.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(place, ignore_errors=True)
