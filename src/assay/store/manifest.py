"""The manifest of a folder: size and SHA-256 of every file, written when a run ends and compared when it is read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from assay.core.errors import StoreError
from assay.core.files import file_hash, file_state
from assay.store.files import ALTERED, read_checked_json, write_checked_json, write_text
from assay.store.schema import SCHEMA_VERSION

MANIFEST = "manifest.json"
BESIDE = ("preview", "leases", "engine")
"""Folders that no result depends on. A preview has a manifest of its own."""
_LISTED = "files"
SIGNED, SIGNATURE = "signed.txt", "signed.txt.sig"
"""The data of a folder in the format of sha256sum, and their signature in that of ssh-keygen."""
_LATER = ("report.html", "finished.json", SIGNED, SIGNATURE)
"""Files that may be made again without a change of the data."""


@dataclass(frozen=True)
class Change:
    """A file that is not as the manifest, or the record of its unit, has it.

    Attributes:
        how: `extra` of a file that it does not list.
        path: The file.
    """

    how: Literal["missing", "extra", "changed"]
    path: Path

    @property
    def text(self) -> str:
        """What is wrong, without the remedy."""
        why = {"missing": "there is no such file", "changed": ALTERED}
        return f"cannot read {self.path}: {why[self.how]}" if self.how in why else f"{self.path} was added later"


def write_manifest(root: Path, known: Mapping[str, str]) -> None:
    """List every file of a folder.

    Args:
        root: The folder.
        known: Path below it -> SHA-256 when it was written, so that a change since is found and not listed.
    """
    listed = {name: [path.stat().st_size, known.get(name) or file_hash(path)] for name, path in _files(root).items()}
    write_checked_json(root / MANIFEST, {"schema": SCHEMA_VERSION, _LISTED: listed})


def read_manifest(root: Path) -> Mapping[str, tuple[int, str]] | None:
    """Return path below a folder -> (size, SHA-256); None where there is no manifest.

    Raises:
        StoreError: It is damaged.
    """
    path = root / MANIFEST
    try:
        return _read(path, file_state(path))
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def _read(path: Path, state: tuple[int, ...]) -> Mapping[str, tuple[int, str]]:
    """Cached as long as the file stays."""
    remedy = "restore it from a copy"
    listed: Mapping[str, tuple[int, str]] | None = read_checked_json(path, damaged=remedy).get(_LISTED)
    if listed is None:
        raise StoreError(f"cannot read {path}: {ALTERED}; {remedy}")
    return {name: (size, digest) for name, (size, digest) in listed.items()}


def changes(root: Path) -> list[Change]:
    """Compare every file of a folder with its manifest.

    Raises:
        StoreError: The manifest is missing or damaged.
    """
    listed = read_manifest(root)
    if listed is None:
        raise StoreError(f"cannot read {root / MANIFEST}: there is no such file")
    there = _files(root)
    extra = [Change("extra", path) for name, path in there.items() if name not in listed]
    return [*altered(root, {name: digest for name, (_, digest) in listed.items()}), *extra]


def altered(root: Path, wanted: Mapping[str, str]) -> list[Change]:
    """Return the files that are missing, or whose content has another SHA-256.

    Args:
        root: The folder.
        wanted: Path below it -> SHA-256.
    """
    found: list[Change] = []
    for name, digest in wanted.items():
        path = root / name
        try:
            if file_hash(path) != digest:
                found.append(Change("changed", path))
        except FileNotFoundError:
            found.append(Change("missing", path))
        except OSError as error:  # no evidence against its content
            raise StoreError(f"cannot read {path}: {error.strerror}; see to its permissions and its disk") from error
    return found


def _files(root: Path) -> dict[str, Path]:
    """Return the files below a folder, without hidden ones and those of `BESIDE`, by their path there."""
    found: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        top = folder == str(root)
        folders[:] = sorted(one for one in folders if not one.startswith(".") and not (top and one in BESIDE))
        for name in sorted(names):
            if not name.startswith(".") and not (top and name == MANIFEST):
                path = Path(folder, name)
                found[path.relative_to(root).as_posix()] = path
    return found


def sign(root: Path, key: Path) -> None:
    """Sign the data of a folder: every file that the manifest lists, but the page.

    Args:
        root: The folder.
        key: A private key of SSH, or a public one whose private key an agent holds.

    Raises:
        StoreError: There is no manifest, or ssh-keygen is missing or refuses the key.
    """
    listed = read_manifest(root)
    if listed is None:
        raise StoreError(f"{root} has no {MANIFEST}: only a run that ended can be signed")
    signature = _keygen(_data(listed), "sign", "-f", str(key))
    write_text(root / SIGNED, _data(listed))
    write_text(root / SIGNATURE, signature)
    write_manifest(root, {name: digest for name, (_, digest) in listed.items() if name not in (SIGNED, SIGNATURE)})


def signer(root: Path) -> str:
    """Return the key that signed the data of a folder, such as `ED25519 key SHA256:...`; empty where none did.

    Raises:
        StoreError: The signature is not of these data, or ssh-keygen is missing.
    """
    listed = read_manifest(root) or {}
    if SIGNED not in listed and SIGNATURE not in listed:
        return ""
    try:
        said = _keygen(_data(listed), "check-novalidate", "-s", str(root / SIGNATURE))
    except StoreError as error:
        raise StoreError(f"the data are not those that were signed: {error}") from error
    return re.sub(r"^.* with ", "", said.strip())


def _data(listed: Mapping[str, tuple[int, str]]) -> str:
    return "".join(f"{digest}  {name}\n" for name, (_, digest) in sorted(listed.items()) if name not in _LATER)


def _keygen(text: str, what: str, *words: str) -> str:
    """Return what ssh-keygen says of a text. Raises StoreError with its reason."""
    command = ["ssh-keygen", "-Y", what, "-n", "assay", *words]
    try:
        done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError as error:
        raise StoreError("there is no ssh-keygen; signatures need it, of OpenSSH 8.2 or later") from error
    if done.returncode:
        raise StoreError(f"ssh-keygen: {' '.join((done.stderr or done.stdout).split())}")
    return done.stdout
