"""Runs as one ZIP file, to hand over: pages, tables, pictures and signatures, with checksums."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path

from assay.core.errors import StoreError, shorten
from assay.core.files import file_hash, file_state, sha256, write_whole
from assay.store.layout import PAGE
from assay.store.manifest import (
    SIGNATURE,
    SIGNED,
    FileChange,
    altered_files,
    find_nonregular_files,
    key_of_signature,
    parse_checksums,
    read_bounded,
    read_manifest,
)

BUNDLED = ("tables", "pictures")
"""Folders of a run that a bundle holds, besides its page."""
SUMS = "SHA256SUMS"
_OF_WINDOWS = re.compile(r'[<>:"|?*\\]|[. ](/|$)|(^|/)(con|prn|aux|nul|(com|lpt)[\d¹²³])\s*(\.[^/]*)?(/|$)', re.I)


def bundle_changes(root: Path) -> list[FileChange]:
    """Compare the files of an unpacked bundle with its checksums, which who changed a file may have changed, too."""
    if damage := find_nonregular_files(root):
        return damage
    sums = _sums_of(read_bounded(root / SUMS))
    extra = (path for path in unsigned_files(root, ()) if path.relative_to(root).as_posix() not in sums)
    return [*altered_files(root, sums), *(FileChange("extra", path) for path in extra)]


def signed_runs(root: Path) -> list[tuple[Path, str, bool]]:
    """Return the runs of an unpacked bundle that have a signature, with the key and whether it is of the page, too.

    The key is empty where the signature is not of the files, or one of them is missing.

    Raises:
        FileNotFoundError: There is no ssh-keygen.
    """
    runs: list[tuple[Path, str, bool]] = []
    for file in filter(Path.is_file, sorted(root.glob(f"*/{SIGNED}"))):  # a pipe would be waited for
        text, signature = read_bounded(file), file.with_name(SIGNATURE)
        sums = _sums_of(text)
        files = {path.relative_to(file.parent).as_posix() for path in file.parent.rglob("*") if path.is_file()}
        changed = files - sums.keys() - {SIGNED, SIGNATURE}
        changed |= {name for name in files & sums.keys() if file_hash(file.parent / name) != sums[name]}
        changed |= {name for name in sums.keys() - files if name == PAGE or name.partition("/")[0] in BUNDLED}
        key = key_of_signature(text, signature, file_state(signature)) if signature.is_file() else ""
        is_whole = PAGE in files and not changed - {PAGE} and all(sums.values())  # no name stands there twice
        runs.append((file.parent, key if is_whole else "", PAGE not in changed))
    return runs


def unsigned_files(root: Path, signed: Collection[Path]) -> list[Path]:
    """Return the files of an unpacked bundle that are in no folder of a signed run, such as its index."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path != root / SUMS)
    return [path for path in files if not any(path.is_relative_to(run) for run in signed)]


def _sums_of(text: str) -> dict[str, str]:
    """Return path -> SHA-256 of a text of sha256sum. Paths that lead out of a folder are left out."""
    return {
        name: digest for name, digest in parse_checksums(text).items() if not re.search(r"^/|(^|/)\.{0,2}(/|$)", name)
    }


def is_portable(name: str) -> bool:
    """Return whether a path means the same on Windows, whose names may be those of drives, streams and devices."""
    return name.isprintable() and not _OF_WINDOWS.search(name)


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
    if unportable := next((name for name in names if not is_portable(name)), None):
        raise StoreError(f"the run folder {shorten(unportable)} has a name that not all systems have: rename it")
    files: dict[str, Path] = {}
    for name, folder in zip(names, folders, strict=True):
        data_files = (file for part in BUNDLED for file in sorted((folder / part).rglob("*")) if file.is_file())
        signatures = (file for file in (folder / SIGNED, folder / SIGNATURE) if file.is_file())
        members = {file.relative_to(folder).as_posix(): file for file in (folder / PAGE, *data_files, *signatures)}
        manifest = read_manifest(folder) or members
        root = folder.resolve()  # a link out of the folder may lead to what is not to be handed over
        files |= {
            f"{name}/{entry}": file
            for entry, file in members.items()
            if entry in manifest and is_portable(entry) and file.resolve().is_relative_to(root)
        }
    sums = {name: sha256(file) for name, file in files.items()}
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

    write_whole(path, write, option="--bundle")
    return path
