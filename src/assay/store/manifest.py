"""The manifest of a folder: size and SHA-256 of every file, written when a run ends and compared when it is read.

`write_manifest` lists the files, `changes` compares them. A signature (`signed.txt`) covers the files of the manifest
but for the page.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from assay.core.errors import StoreError
from assay.core.files import file_hash, file_state, has_mark, leave_mark
from assay.store.files import ALTERED, read_checked_json, write_checked_json
from assay.store.local import LOCAL, local_digest
from assay.store.schema import SCHEMA_VERSION

MANIFEST = "manifest.json"
PREVIEW = "preview"
"""The folder of a run folder that a preview writes, and holds by a lock of its own."""
UNLISTED = (PREVIEW, "leases", "engine", LOCAL)
"""Folders that no result depends on. A preview has a manifest of its own."""
_LISTED = "files"
SIGNED, SIGNATURE = "signed.txt", "signed.txt.sig"
"""The files of a folder in the format of sha256sum, and their signature in that of ssh-keygen."""
_PAGE = "report.html"
PAGE_UNSIGNED = f"; {_PAGE} is not signed: it was made later"
NOT_SIGNED = ("finished.json", SIGNED, SIGNATURE)
"""Files that no signature covers."""
PROGRAM_SUFFIXES = (".json", ".parquet", ".safetensors", ".pt")
"""Suffixes of files of a run folder that are for programs."""
_READER_FILES = re.compile(
    rf"(?!pictures/[^/]+\.png$|{re.escape(SIGNED)}(\.sig)?$)"
    rf"(?!.*({'|'.join(map(re.escape, PROGRAM_SUFFIXES))})$).*",
    re.DOTALL,
)
"""Names of the other files, such as pages and cards, which every run writes again."""
UNLINK = "remove it, or put there the file or folder itself"
FileStates = Mapping[str, tuple[int, ...]]
"""Path of a file below a folder -> its `file_state`."""


@dataclass(frozen=True)
class FileChange:
    """A file that is not as the manifest, or the record of its unit, has it.

    Attributes:
        how: `extra` of a file that it does not list, `link` of a link, which may lead anywhere, `stream` of
            a pipe or a device, `unsigned` of a
            signature that is not of the data.
        path: The file.
    """

    how: Literal["missing", "extra", "changed", "link", "stream", "unsigned"]
    path: Path

    @property
    def text(self) -> str:
        """What is wrong, without the remedy."""
        if self.how == "unsigned":
            return f"the data in {self.path.parent} are not those that were signed"
        if self.how == "link":
            return f"{self.path} is a link, and a run folder has none"
        if self.how == "stream":
            return f"{self.path} is a pipe or a device, and a run folder has none"
        if self.how == "extra":
            return f"{self.path} was added later"
        return f"cannot read {self.path}: {ALTERED if self.how == 'changed' else 'there is no such file'}"


def write_manifest(
    root: Path, known_digests: Mapping[str, str], *, ours: bool = False, added: FileStates | None = None
) -> None:
    """List the files of a folder that Assay wrote. A signature goes where a later run changed what it is of.

    A name that cannot be printed is none of Assay's, and could write lines of its own into what is signed.

    Args:
        root: The folder.
        known_digests: Path below it -> SHA-256 when it was written, so that a change since is found and not listed.
        ours: Whether this process wrote the page from the tables; such manifests are remembered, see `is_ours`.
        added: Files that somebody else put there. They are listed only if they were written since.
    """
    ours, foreign = ours or is_ours(root), added or {}
    files = {
        name: path
        for name, path in _files(root).items()
        if path.is_file() and name.isprintable() and not (name in foreign and file_state(path) == foreign[name])
    }
    digests = {name: known_digests.get(name) or file_hash(path) for name, path in files.items()}
    if SIGNED in digests and not _signed_text(root, digests):
        for name in (SIGNED, SIGNATURE):
            (root / name).unlink(missing_ok=True)
            digests.pop(name, None)
    listed = {name: [file_state(f"{root}/{name}")[0], digest] for name, digest in digests.items()}
    write_checked_json(root / MANIFEST, {"schema": SCHEMA_VERSION, _LISTED: listed})
    if ours:
        with suppress(PermissionError):  # of paths beside it that this user may not read
            for mark in _marks(root):
                leave_mark(mark)


def added_files(root: Path) -> FileStates:
    """Return the files of a folder that its manifest does not list.

    Where no manifest can be read, these are the files for readers, which whoever writes the manifest writes again.
    """
    listed = None
    with suppress(StoreError):
        listed = read_manifest(root)
    if listed is None:
        return _files_for_readers(root)
    return _states_of({name: path for name, path in _files(root).items() if name not in listed})


def foreign_files(root: Path) -> FileStates:
    """Return the files of a folder that no run of this user is known to have written, before one goes on there.

    Of a folder from elsewhere, or of a run that did not end, these are the files for readers, which a run writes again.
    """
    return added_files(root) if is_ours(root) else _files_for_readers(root)


def _files_for_readers(root: Path) -> FileStates:
    return _states_of({name: path for name, path in _files(root).items() if _READER_FILES.fullmatch(name)})


def _states_of(files: Mapping[str, Path]) -> FileStates:
    return {name: file_state(path) for name, path in files.items() if path.is_file()}


def is_ours(root: Path) -> bool:
    """Return whether this user's Assay wrote the manifest of a folder here, after the page and the paths beside it.

    Raises:
        StoreError: Those paths cannot be read.
    """
    try:
        return (root / MANIFEST).is_file() and all(map(has_mark, _marks(root)))
    except OSError:  # who reads it says what is wrong; the paths may be another user's
        return False


def _marks(root: Path) -> list[str]:
    """Return what is remembered of a folder that was written here; one that lost its paths is still the same."""
    manifest, local = file_hash(root / MANIFEST), local_digest(root)
    return [f"manifest {manifest}", *([f"paths {local} of {manifest}"] if local else [])]


def read_manifest(root: Path) -> Mapping[str, tuple[int, str]] | None:
    """Return path below a folder -> (size, SHA-256); None where there is no manifest.

    Raises:
        StoreError: It is damaged.
    """
    path = root / MANIFEST
    try:
        return _read_manifest(path, file_state(path))
    except FileNotFoundError:
        return None


@lru_cache(maxsize=8)
def _read_manifest(path: Path, state: tuple[int, ...]) -> Mapping[str, tuple[int, str]]:
    """Cached as long as the file stays."""
    remedy = "restore it from a copy"
    content = read_checked_json(path, remedy=remedy)
    try:
        if any(re.search(r"(^|/)\.{0,2}(/|$)", name) for name in content[_LISTED]):
            raise ValueError("a path that leads out of the folder")
        return {name: (int(size), str(digest)) for name, (size, digest) in content[_LISTED].items()}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {ALTERED}; {remedy}") from error


def require_listed(root: Path, path: Path) -> None:
    """Check that the run which ended in a folder wrote the record of a unit or a pack. Raises StoreError."""
    listed = read_manifest(root)
    if listed is not None and path.relative_to(root).as_posix() not in listed:
        what = "its folder" if path.name == "record.json" else "it"
        raise StoreError(f"{FileChange('extra', path).text}; {added_file_remedy(what)}")


def added_file_remedy(what: str) -> str:
    """Return the remedy for a file that was added."""
    return f"move {what} elsewhere, since the run did not write it"


def changes(root: Path, parts: Collection[str] = ()) -> list[FileChange]:
    """Compare files of a folder with its manifest, and the manifest with its signature.

    Args:
        root: The folder.
        parts: Folders in it whose files are compared, as those are that lie in none; all where empty.

    Raises:
        StoreError: The manifest is missing or damaged.
    """
    listed = read_manifest(root)
    if listed is None:
        raise StoreError(f"cannot read {root / MANIFEST}: there is no such file")
    digests = {
        name: digest
        for name, (_, digest) in listed.items()
        if not parts or "/" not in name or name.split("/")[0] in parts
    }
    damage = altered_files(root, digests)
    if not any(change.path.name in (SIGNED, SIGNATURE) for change in damage):
        damage += find_signature_change(root)
    return damage + [FileChange("extra", path) for name, path in _files(root, parts).items() if name not in listed]


def find_nonregular_files(root: Path) -> list[FileChange]:
    """Return the links, pipes and devices in a folder, none of which is read. A preview is looked at itself, too.

    Raises:
        StoreError: A folder in it cannot be read.
    """
    streams = list[Path]()
    links, folders = [root] if root.name == PREVIEW and root.is_symlink() else list[Path](), [root]
    while folders:
        folder = Path(folders.pop())
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        links.append(Path(entry.path))
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif not entry.is_file(follow_symlinks=False):
                        streams.append(Path(entry.path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if folder.name != LOCAL:  # which others may not read, nor need to
                raise StoreError(
                    f"cannot read {folder}: {error.strerror}; see to its permissions and its disk"
                ) from error
    return [
        *(FileChange("link", path) for path in sorted(links)),
        *(FileChange("stream", path) for path in sorted(streams)),
    ]


def altered_files(root: Path, digests: Mapping[str, str]) -> list[FileChange]:
    """Return the files that are missing, or whose content has another SHA-256.

    Args:
        root: The folder.
        digests: Path below it -> SHA-256.
    """
    changed: list[FileChange] = []
    for name, digest in digests.items():
        path = root / name
        try:
            if not path.is_file():  # nor a pipe, which would be waited for
                changed.append(FileChange("missing", path))
            elif file_hash(path) != digest:
                changed.append(FileChange("changed", path))
        except OSError as error:  # no evidence against its content
            raise StoreError(f"cannot read {path}: {error.strerror}; see to its permissions and its disk") from error
    return changed


def _files(root: Path, parts: Collection[str] = ()) -> dict[str, Path]:
    """Return the files below a folder, or parts of it, without hidden ones and folders of `UNLISTED`, by path there."""
    paths: dict[str, Path] = {}
    for folder, folders, names in os.walk(root):
        is_root = folder == str(root)
        skipped = {name for name in folders if name in UNLISTED or (parts and name not in parts)} if is_root else ()
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in skipped)
        prefix = "" if is_root else f"{Path(folder).relative_to(root).as_posix()}/"
        for name in sorted(names):
            if not name.startswith(".") and not (is_root and name == MANIFEST):
                paths[prefix + name] = Path(folder, name)
    return paths


def signing_key(root: Path) -> str | None:
    """Return the key that signed the data of a folder, such as `ED25519 key SHA256:...`.

    Returns:
        Empty where nothing is signed; None where the signature is not of these data.

    Raises:
        FileNotFoundError: There is no ssh-keygen.
    """
    listed = {name: digest for name, (_, digest) in (read_manifest(root) or {}).items()}
    if SIGNED not in listed and SIGNATURE not in listed:
        return ""
    signed, signature = _signed_text(root, listed), root / SIGNATURE
    key = signature.is_file() and key_of_signature(signed, signature, file_state(signature))
    return key + ("" if page_is_signed(root) else PAGE_UNSIGNED) if signed and key else None


def page_is_signed(root: Path) -> bool:
    """Return whether the page that the manifest lists is the one that was signed."""
    listed = {name: digest for name, (_, digest) in (read_manifest(root) or {}).items()}
    return f"{listed.get(_PAGE)}  {_PAGE}\n" in _signed_text(root, listed)


@lru_cache(maxsize=8)
def key_of_signature(text: str, signature: Path, state: tuple[int, ...]) -> str:
    """Return the key of a signature, empty if it is of another text. Cached as long as the file stays."""
    done = run_keygen(text, "check-novalidate", "-s", str(signature))
    return "" if done.returncode else re.sub(r"^.* with ", "", done.stdout.strip())


def find_signature_change(root: Path) -> list[FileChange]:
    """Return the signature of a folder if it is not of its data. Without ssh-keygen, only what it is of is compared."""
    with suppress(FileNotFoundError):
        return [FileChange("unsigned", root / SIGNATURE)] if signing_key(root) is None else []
    return []


def require_signed_data(root: Path) -> None:
    """Check that the signature of a folder, if it has any, is of its data. Raises StoreError."""
    for change in find_signature_change(root):
        raise StoreError(f"{change.text}; {signature_remedy(root, 'them')}")


def signature_remedy(root: Path, what: str) -> str:
    """Return the remedy for signed files, or a signature, that are not those that were signed."""
    return f"restore {what} from a copy, or sign what is there with `assay seal {root} --key FILE`"


def _signed_text(root: Path, listed: Mapping[str, str]) -> str:
    """Return what was signed where it is these files, but for the page, which may be made again; empty otherwise."""
    try:
        text = read_bounded(root / SIGNED)
    except (OSError, StoreError):
        return ""
    signed = parse_checksums(text)
    data = ({name: facts[name] for name in facts if name not in (_PAGE, *NOT_SIGNED)} for facts in (signed, listed))
    return text if next(data) == next(data) else ""


_MAX_SUMS_BYTES = 1 << 27
"""Bytes of a list of checksums, which of a million files has 10^8. A sparse file may have any size."""


def read_bounded(path: Path) -> str:
    """Return a list of checksums or a signed text. Raises OSError, and StoreError for one that no Assay writes."""
    if (size := path.stat().st_size) > _MAX_SUMS_BYTES:
        raise StoreError(f"cannot read {path}: it has {size:,} bytes, more than Assay writes; get another copy")
    return path.read_text(encoding="utf-8", errors="replace")


def parse_checksums(text: str) -> dict[str, str]:
    """Return path -> SHA-256 of a text of sha256sum; of a path that stands there twice it is empty, so that none fits.

    Lines end by a line feed alone: a name may hold what other programs take for the end of a line.

    Examples:
        >>> parse_checksums("01  a\\n02  b\\u2028 c\\n03  a\\n")
        {'a': '', 'b\\u2028 c': '02'}
    """
    sums: dict[str, str] = {}
    for digest, _, name in (line.partition("  ") for line in text.split("\n")):
        if name:
            sums[name] = "" if name in sums else digest
    return sums


def run_keygen(text: str, action: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Let ssh-keygen sign a text, or check its signature."""
    command = ["ssh-keygen", "-Y", action, "-n", "assay", *options]
    return subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
