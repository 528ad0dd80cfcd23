"""Absolute paths of a run, stored in a folder of their own, so that a run folder without it discloses no paths.

Documents hold `hide_paths` of what was asked for. The whole is in `local/`, which is not listed in the manifest, is in
no bundle, and is left out by git. It may be deleted: then commands that read images again say what is missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from assay.core.errors import StoreError
from assay.core.files import file_hash, hide_paths, is_file, is_hidden, is_user_folder
from assay.store.files import json_text, read_checked_json, write_checked_json, write_text

LOCAL = "local"
"""The folder of a run folder, or of prepared images, with paths of the machine where it was made."""
_REMEDY = "delete it: only the places of files are lost"
_MAX_BYTES = 1 << 28
"""Bytes of all files in `local/`. A sparse file, which an archive holds in a few bytes, may have any size."""


def keep_paths(root: Path, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a document without absolute paths, which are kept in `local/`; see `restore_paths`.

    Args:
        root: The folder.
        name: A name for the document in it, without a suffix.
        values: Plain values.

    Raises:
        StoreError: They cannot be written.
    """
    hidden, path = cast("dict[str, Any]", hide_paths(values)), root / LOCAL / f"{name}-paths.json"
    is_whole = json_text(hidden) == json_text(values)
    try:
        if is_whole:
            path.unlink(missing_ok=True)
            return hidden
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; {_REMEDY}") from error
    write_text(path.parent / ".gitignore", "*\n")
    write_checked_json(path, {"root": os.path.realpath(root), "values": values}, sort_keys=False)
    return hidden


def restore_paths(root: Path, name: str, hidden: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a document with the paths that `keep_paths` kept; without them where the folder has none.

    What lies on the same way from a folder that was moved, or copied, comes before the earlier place if both places
    lay in one project, or if the earlier one is gone.

    Args:
        root: The folder.
        name: See `keep_paths`.
        hidden: The values without paths. Those kept of another document are left alone.

    Raises:
        StoreError: The file is damaged.
    """
    path = root / LOCAL / f"{name}-paths.json"
    if not is_file(path):
        return dict(hidden)
    stored = read_checked_json(path, remedy=_REMEDY)
    earlier, values, now = stored.get("root"), stored.get("values"), os.path.realpath(root)
    if not isinstance(earlier, str) or not os.path.isabs(earlier):  # noqa: PTH117  of a text
        raise StoreError(f"cannot read {path}: no Assay wrote it; {_REMEDY}")
    if json_text(hide_paths(values)) != json_text(hidden):
        return dict(hidden)
    return cast("dict[str, Any]", values if earlier == now else _move_paths(values, earlier, now))


def require_paths(root: Path, values: Any, remedy: str) -> None:
    """Check that the paths in some values of a folder are known.

    Args:
        root: The folder.
        values: What `restore_paths` gave, or a part of it.
        remedy: What the user can do.

    Raises:
        StoreError: One was left out.
    """
    if is_hidden(values):
        path = " ".join(values.split())  # on one line, whoever wrote it
        raise StoreError(f"{root} has no {LOCAL}/ of this run, and names only the last part of '{path}'; {remedy}")
    if isinstance(values, Mapping):
        values = list(cast("Mapping[str, Any]", values).values())
    for part in cast("list[Any]", values) if isinstance(values, list) else []:
        require_paths(root, part, remedy)


def local_digest(root: Path) -> str:
    """Return a hash of the files in `local/`; empty without the folder.

    Raises:
        PermissionError: They are another user's.
        StoreError: They cannot be read, or are more than Assay writes.
    """
    folder, digest, remaining = root / LOCAL, hashlib.sha256(), _MAX_BYTES
    if not folder.is_dir():
        return ""
    try:
        for name in sorted(os.listdir(folder), key=os.fsencode):  # noqa: PTH208  a Path would be made of each
            path = folder / name
            if is_file(path):  # a pipe would be waited for
                remaining -= path.stat().st_size + 1024
                if remaining < 0:
                    raise StoreError(f"{folder} holds more than Assay writes; {_REMEDY}")
                digest.update(f"{hashlib.sha256(os.fsencode(name)).hexdigest()} {file_hash(path)}\n".encode())
    except PermissionError:
        raise
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {error.strerror}; {_REMEDY}") from error
    return digest.hexdigest()


def _move_paths(value: Any, earlier: str, now: str) -> Any:
    """Return values in which absolute paths are those on the same way from a folder, where something is there."""
    if isinstance(value, str):
        if not os.path.isabs(value):  # noqa: PTH117  of a text
            return value
        moved = os.path.normpath(os.path.join(now, os.path.relpath(value, earlier)))  # noqa: PTH118
        shared = Path(os.path.commonpath([value, earlier]))
        is_project = len(shared.parts) > 2 and not is_user_folder(shared)  # such as /work/project
        return moved if os.path.lexists(moved) and (is_project or not os.path.lexists(value)) else value
    if isinstance(value, Mapping):
        return {key: _move_paths(item, earlier, now) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_move_paths(item, earlier, now) for item in cast("list[Any]", value)]
    return value
