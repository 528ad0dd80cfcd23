"""Where a spec's files are, and whether a row's file lies inside its folder."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import cache
from pathlib import Path

from assay.core.errors import SpecError
from assay.core.paths import ASSETS, filled, unset
from assay.data.sources.problems import Unreadable

_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")


def expand(text: str, place: str) -> Path:
    """A path of a spec: `~` and `${VAR}` replaced, relative to the current folder.

    See `core.paths`, which the check of a spec uses too. place: the spec's key, for the error.
    Raises SpecError for a variable that is not set and for a path that does not exist.
    """
    for name in unset(text):
        extra = " to the folder that holds the image sets, such as lung-nodule/" if name == ASSETS else ""
        raise SpecError(f"{place}: the variable {name} is not set; set it{extra}, or write the path itself")
    path = filled(text)
    if not path.exists():
        raise SpecError(f"{place}: '{text}' does not exist (looked for {path}); give an existing path")
    return path


def inside(folder: Path, text: str) -> Path:
    """The file that a row names, relative to the table's folder.

    The name is tried as written, with `\\` as `/`, and in both Unicode normal forms (macOS writes NFD). Raises
    Unreadable when it is absolute, climbs out of the folder (also by a symbolic link), is missing or is no file.
    """
    if _ABSOLUTE.match(text):
        raise Unreadable("its path is absolute", f"give it relative to {folder.name}/")
    slashed = text.replace("\\", "/")
    if ".." in slashed.split("/"):
        raise Unreadable("its path climbs out of the folder", f"keep all images under {folder.name}/")
    for form in dict.fromkeys((text, slashed)):
        for normal in dict.fromkeys((form, unicodedata.normalize("NFC", form), unicodedata.normalize("NFD", form))):
            # Plain strings: with pathlib, 50,000 names take seconds. And unlike Path.is_file, isfile says no to a name
            # that is too long for the system.
            path = f"{folder}/{normal}"
            if os.path.isfile(path):  # noqa: PTH113
                _check_contained(folder, path)
                return Path(path)
            if os.path.isdir(path):  # noqa: PTH112
                raise Unreadable("it is a folder", "name an image file")
    raise Unreadable("the file is missing", "put it there, or take the row out of the table")


def _check_contained(folder: Path, path: str) -> None:
    link = os.path.islink(path)  # noqa: PTH114
    real = os.path.realpath(path) if link else _real_folder(path.rpartition("/")[0]) + "/"
    if not real.startswith(_real_folder(str(folder)) + "/"):
        raise Unreadable("its path leads out of the folder by a link", f"copy the file under {folder.name}/")


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
