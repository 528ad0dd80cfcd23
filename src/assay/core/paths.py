"""What a path in a spec means, wherever it is read: `~`, `${NAME}`, and where relative ones start."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath

ASSETS = "ASSAY_ASSETS"
"""The variable that says where the image sets are, such as lung-nodule/."""

ASSETS_BESIDE = Path("../shared/assets")
"""Where they are looked for, from the working folder on, when the variable is not set."""

_NAMED = re.compile(r"\$\{(\w+)\}")


def filled(text: str, folder: str = "") -> Path:
    """The absolute path that a spec means: `${NAME}` and `~` filled in, a relative path from `folder`.

    A path that begins with a variable does not start there: if the variable's value is relative, it is so to the
    working folder, as everywhere outside of Assay. Unset variables are left as they are written; see `unset`.
    """
    base = "" if begins_with_variable(text) else folder
    return Path(base, Path(_NAMED.sub(lambda found: variable(found[1]) or found[0], text)).expanduser()).absolute()


def begins_with_variable(text: str) -> bool:
    """Whether what a path means is up to the machine that it is read on."""
    return _NAMED.match(text) is not None


def told(text: str) -> str:
    """A text as labels show it: an absolute path by its last part, since the rest names a machine and its owner."""
    path = PureWindowsPath(text) if PureWindowsPath(text).is_absolute() else PurePosixPath(text)
    return path.name or text if path.is_absolute() else text


def unset(text: str) -> list[str]:
    """The variables in a path that have no value."""
    return [name for name in _NAMED.findall(text) if not variable(name)]


def variable(name: str) -> str:
    """The value of an environment variable, empty when there is none. See `ASSETS_BESIDE`."""
    value = os.environ.get(name, "")
    return str(ASSETS_BESIDE) if not value and name == ASSETS and ASSETS_BESIDE.is_dir() else value


def assets_folder() -> Path:
    """Where the image sets are looked for; the folder need not be there."""
    return filled(f"${{{ASSETS}}}") if variable(ASSETS) else ASSETS_BESIDE.absolute()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, read once as long as its size and its time of change stay. Raises OSError."""
    state = path.stat()
    return _read_hash(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _read_hash(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
