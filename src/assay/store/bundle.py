"""Runs as one ZIP file, to hand over: pages, tables, pictures and signatures, with checksums."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

from assay.core.errors import StoreError
from assay.core.files import write_whole
from assay.store.folder import PAGE
from assay.store.manifest import SIGNATURE, SIGNED, read_manifest

BUNDLED = ("tables", "pictures")
"""Folders of a run that a bundle holds, besides its page."""
SUMS = "SHA256SUMS"


def write_bundle(folders: Sequence[Path], path: Path, index: str = "") -> Path:
    """Pack pages, tables, pictures and signatures of runs into a ZIP file, with checksums.

    Args:
        folders: Run folders with pages.
        path: The file; one that is there is replaced when the new one is complete.
        index: A page that leads to those of several runs.

    Returns:
        The file.

    Raises:
        StoreError: Two runs have one name, the file's name does not end in .zip, or it cannot be written.
    """
    if path.suffix.lower() != ".zip":
        raise StoreError(f"{path}: a bundle is a ZIP file; give a name that ends in .zip")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise StoreError(f"two of the runs are called {max(names, key=names.count)}: pack them one at a time")
    files: dict[str, Path] = {}
    for name, folder in zip(names, folders, strict=True):
        inside = (file for part in BUNDLED for file in sorted((folder / part).rglob("*")) if file.is_file())
        seal = (file for file in (folder / SIGNED, folder / SIGNATURE) if file.is_file())
        within = {file.relative_to(folder).as_posix(): file for file in (folder / PAGE, *inside, *seal)}
        listed = read_manifest(folder) or within
        root = folder.resolve()  # a link out of the folder may lead to what is not to be handed over
        files |= {f"{name}/{place}": file for place, file in within.items()
                  if place in listed and file.resolve().is_relative_to(root)}  # fmt: skip
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    texts = {"index.html": index} if index else {}
    sums |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    texts[SUMS] = "".join(f"{digest}  {name}\n" for name, digest in sums.items())

    def write(temporary: Path) -> None:
        # Files of 1970, as some systems date them, get the first year that ZIP knows.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed:
            for name, file in files.items():
                packed.write(file, name)
            for name, text in texts.items():
                packed.writestr(name, text)

    write_whole(path, write)
    return path
