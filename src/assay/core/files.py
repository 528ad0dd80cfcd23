"""Atomic writes, file locks, paths and content hashes."""

from __future__ import annotations

import difflib
import errno
import fcntl
import hashlib
import json
import mmap
import os
import platform
import re
import secrets
import shlex
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, cast

from assay.core.errors import FullError, StoreError, key_text, nearest

# Files that are there whole or not at all: written under another name, flushed, renamed.

_OUT = key_text("--out")
_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is exhausted; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another place with " + _OUT,
    errno.EACCES: "writing is not permitted; choose another place with " + _OUT,
    errno.EPERM: "writing is not permitted; choose another place with " + _OUT,
    errno.ENOTDIR: "a file is in the place of a folder; choose another place with " + _OUT,
    errno.EEXIST: "a file is in the place of a folder; choose another place with " + _OUT,
}

WEIGHTS_FILE = "weights.safetensors"
"""Name of a unit's trained weights."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors that every later write meets too."""


def not_written(text: str, error: OSError) -> StoreError:
    """Return the error to raise for a file that could not be written: `FullError` where none can be."""
    return FullError(text) if error.errno in FULL else StoreError(text)


MACHINE = re.sub(r"[^\w-]", "-", platform.node())[:32]
"""This machine: process ids alone repeat where several write to one file system."""
_PARTIAL = re.compile(r"\.(?P<machine>[\w-]*)-(?P<pid>\d+)-[0-9a-f]{8}\.partial$")
_STALE_AFTER = 3600.0
"""Seconds after which a writer on another machine counts as gone."""


def write_whole(path: Path, write: Callable[[Path], None], *, flush: bool = True, option: str = "--out") -> None:
    """Let `write` fill a temporary file next to `path`, flush it to disk, and rename it.

    Args:
        path: The file.
        write: Called with the temporary file.
        flush: False for a file whose loss costs nothing when a machine goes down.
        option: The option that names another place.

    Raises:
        StoreError: The disk is full or may not be written, in one sentence; earlier content of `path` is untouched.
    """
    temporary = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        if flush:
            _flush(temporary)
        temporary.replace(path)
        if flush:
            _flush(path.parent)
    except OSError as error:
        _discard(temporary)
        text = f"cannot write {path}: {_error_reason(error, option)}; what was written before is undamaged"
        raise not_written(text, error) from error
    except BaseException:
        _discard(temporary)
        raise


def partial_path(path: Path) -> Path:
    """Return a name for a temporary file next to a file, which nobody can foresee; see `is_abandoned`."""
    return path.with_name(f".{path.name}.{MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.partial")


@contextmanager
def whole_folder(folder: Path) -> Generator[Path]:
    """Yield a folder whose files are moved here when all are written: in this one where it exists, else beside it.

    Nobody can foresee the name of the yielded folder. Only what lies in the folder that was made is moved or deleted,
    also where somebody gives its name to another folder meanwhile.

    Raises:
        StoreError: The disk is full or may not be written; what was here before is untouched.
    """
    folder = folder.absolute()
    place = folder if folder.is_dir() else folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=place))
        with _emptied_folder(partial) as descriptor:
            yield partial
            folder.mkdir(exist_ok=True)
            for name in os.listdir(descriptor):  # noqa: PTH208  of an open folder
                os.replace(name, folder / name, src_dir_fd=descriptor)
    except OSError as error:
        text = f"cannot write {folder}: {error.strerror or error}; what was there before is undamaged"
        raise not_written(text, error) from error


@contextmanager
def _emptied_folder(folder: Path) -> Generator[int]:
    """Yield a descriptor of a folder, through which its content is deleted at the end, and the folder if it is empty.

    Raises OSError where it cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.listdir(descriptor) or os.fstat(descriptor).st_uid != os.getuid():  # noqa: PTH208  of an open folder
            raise FileExistsError(errno.EEXIST, "another folder was given the name of a temporary one")
        try:
            yield descriptor
        finally:
            _empty(descriptor)
    finally:
        os.close(descriptor)
        with suppress(OSError):  # another folder of that name has content
            folder.rmdir()


def _empty(descriptor: int) -> None:
    """Delete the content of an open folder as far as that is possible."""
    for name in os.listdir(descriptor):
        with suppress(OSError):
            if stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
                shutil.rmtree(name, ignore_errors=True, dir_fd=descriptor)
            else:
                os.unlink(name, dir_fd=descriptor)


def is_abandoned(partial: Path) -> bool:
    """Return whether the writer of a temporary file of `write_whole` is gone: here it ended, elsewhere an hour ago."""
    writer = _PARTIAL.search(partial.name)
    if writer is None or writer["machine"] != MACHINE:
        with suppress(FileNotFoundError):
            return writer is None or time.time() - partial.stat().st_mtime > _STALE_AFTER
        return False
    return int(writer["pid"]) == os.getpid() or not is_alive(int(writer["pid"]))


def is_alive(pid: int) -> bool:
    """Return whether this machine has a process of that id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True


def write_bytes(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write these bytes whole; see `write_whole`."""

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:  # a new file, never one behind a link that somebody put there
            file.write(content)

    write_whole(path, write, flush=flush)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the folder itself cannot be reached: nothing was left there
        return


def _error_reason(error: OSError, option: str = "--out") -> str:
    return _REASONS.get(error.errno or 0, str(error)).replace(_OUT, key_text(option))


# Locks between processes: files that the system lets go of when their holder dies.

OUT = f"choose another place with {_OUT}, or change its permissions"


@contextmanager
def file_lock(path: Path, wait: Callable[[], None] | None = None, *, remedy: str = OUT) -> Generator[None]:
    """Hold the lock file `path`, which stays when it is let go: removing it would race.

    Args:
        wait: Called between tries while another process has it, and may raise to give up; without it the system waits.
            Processes that are started meanwhile do not hold it. A file system that knows no locks holds nobody up:
            keeping runs apart is then up to the user, who is warned once in a process. Raises StoreError, which says
            `remedy`, when the file cannot be made.

    Warns:
        RuntimeWarning: Without `wait`, another process had the lock for `SILENT_WAIT`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise not_written(f"cannot write {path}: {error.strerror}; {remedy}", error) from error
    try:
        if wait is None:
            _wait_for_lock(lock, path)
        else:
            while not _try_lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                wait()
        yield
    finally:
        os.close(lock)


SILENT_WAIT = 10.0
"""Seconds of waiting for a lock before the user is told."""


def _wait_for_lock(lock: int, path: Path) -> None:
    told_at = time.monotonic() + SILENT_WAIT
    while not _try_lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
        if time.monotonic() >= told_at:
            text = f"waiting for another process that has {path}: this one goes on when it is done"
            warnings.warn(text, RuntimeWarning, stacklevel=4)
            _try_lock(lock, fcntl.LOCK_EX)
            return
        time.sleep(0.05)


def _try_lock(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        return False
    except OSError as error:  # the file system knows no locks
        _say_unlocked(error.strerror or str(error))
    return True


@lru_cache(maxsize=1)
def _say_unlocked(reason: str) -> None:
    text = f"this file system has no locks ({reason}): make sure that no other run uses the same folder or cache"
    warnings.warn(text, stacklevel=2)


# Paths in a spec: `~`, `${NAME}`, and the folder at which relative ones start.

ASSETS = "ASSAY_ASSETS"
"""The variable that says where the image sets are, such as lung-nodule/."""

ASSETS_OF_USER = "~/.local/share/assay"
"""Where they are looked for when the variable is not set; XDG_DATA_HOME stands for the first two folders."""

STUDY_SUFFIXES = (".yaml", ".yml")
"""Endings of study files."""

_NAMED = re.compile(r"\$\{(\w+)\}")


def fill_names(text: str, folder: str = "") -> Path:
    """Return the absolute path that a spec means: `${NAME}` and `~` filled in, a relative path from `folder`.

    A path that begins with a variable does not start there: if the variable's value is relative, it is so to the
    working folder, as everywhere outside of Assay. Unset variables are left as they are written; see `unset`.
    """
    base = "" if begins_with_variable(text) else folder
    return Path(base, at_home(_NAMED.sub(lambda match: variable(match[1]) or match[0], text))).absolute()


def at_home(text: str | Path) -> Path:
    """Return a path with `~` replaced; the home of a user whom this machine does not know stays as it is written."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  pathlib's own raises RuntimeError


def is_file(path: Path) -> bool:
    """Return whether there is such a file; there is none of a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113  pathlib's own raises OSError for names over 255 bytes


def is_stream(path: Path) -> bool:
    """Return whether a path is a pipe or a device, which may have no end; not those of a shell, as `<(command)`."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):  # who reads it says what is wrong
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or path.parts[:2] == ("/", "dev"))


def is_folder(path: Path) -> bool:
    """Return whether there is such a folder; there is none of a name that is too long."""
    return os.path.isdir(path)  # noqa: PTH112  as above


def nearest_file(path: Path) -> str | None:
    """Return the name of the file or folder beside a path to nothing that it may mean; None where there is none.

    A path without an extension means a folder. Of files of one name it is the one whose type is the most alike.
    """
    siblings = list[Path]()
    with suppress(OSError):  # of a folder that cannot be read
        siblings = sorted(item for item in path.parent.iterdir() if path.suffix or item.is_dir())
    names = [item for item in siblings if item.name != path.name and item.name.isprintable()]
    near = nearest(path.stem, {item.stem for item in names})
    alike = [item.name for item in names if item.stem == near]
    return max(
        alike, key=lambda name: difflib.SequenceMatcher(None, path.name.lower(), name.lower()).ratio(), default=None
    )


def no_file(path: Path) -> str:
    """Return that there is no such file, with the one that a mistyped path may mean."""
    near = nearest_file(fill_names(str(path)))
    return f"there is no file {path}" + (f": did you mean '{path.parent / near}'?" if near else "")


def begins_with_variable(text: str) -> bool:
    """Return whether the meaning of a path depends on the machine that it is read on."""
    return _NAMED.match(text) is not None


def label_of_path(text: str) -> str:
    """Return a text for labels: an absolute path as its last part, since the rest names a machine and its owner.

    Examples:
        >>> texts = ["/home/jane/w.pt", "/home/jane/", "C:\\\\Users\\\\jane\\\\w.pt", "//store/jane/w.pt"]
        >>> [label_of_path(text) for text in texts]
        ['w.pt', 'jane', 'w.pt', 'w.pt']

        All others stay as they are:

        >>> texts = ["weights/w.pt", "${WEIGHTS}/w.pt", "~/w.pt", "https://example.org/w.pt", "/", ""]
        >>> [label_of_path(text) for text in texts] == texts
        True
    """
    path = PureWindowsPath(text) if PureWindowsPath(text).is_absolute() else PurePosixPath(text)
    return path.name or text if path.is_absolute() else text


def unset(text: str) -> list[str]:
    """Return the variables in a path that have no value."""
    return [name for name in _NAMED.findall(text) if not variable(name)]


def variable(name: str) -> str:
    """Return the value of an environment variable, empty when there is none.

    For assets the default is a folder of this user's, if it exists.
    """
    value = os.environ.get(name, "")
    return str(assets_folder()) if not value and name == ASSETS and assets_folder().is_dir() else value


def assets_folder() -> Path:
    """Where the image sets are looked for: `ASSAY_ASSETS`, else a folder of this user's; it need not be there."""
    home = os.environ.get("XDG_DATA_HOME")
    return at_home(os.environ.get(ASSETS) or (f"{home}/assay" if home else ASSETS_OF_USER)).absolute()


def default_cache_root() -> Path:
    """Return the folder that runs share: `ASSAY_CACHE`, else `assay` in the user's cache folder (`XDG_CACHE_HOME`).

    It is made where it is not there, so that nobody else may read it: it holds images and names of files.

    Raises:
        StoreError: The user has no home, and none of both is set.

    Examples:
        >>> import os
        >>> default_cache_root() == Path(os.environ["ASSAY_CACHE"])  # where the variable is set
        True
    """
    named = os.environ.get("ASSAY_CACHE")
    place = at_home(named) if named else at_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "assay"
    if place.parts[:1] == ("~",):
        raise StoreError("this user has no home folder: let ASSAY_CACHE name a folder")
    with suppress(OSError):  # who writes there says what is wrong
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def cache_folder(root: Path, *names: str) -> Path:
    """Return a folder of a cache in which files are kept.

    Args:
        root: The cache, which may be a link of the user's.
        names: The folders below it, each in the one before.

    Raises:
        StoreError: One of these is a link: who may write to the cache could let files of the user's be replaced.
    """
    folder = root
    for name in names:
        folder /= name
        if folder.is_symlink():
            raise StoreError(
                f"{folder} is a link, and a cache has none: put there the folder itself, or let ASSAY_CACHE name "
                "another cache"
            )
    return folder


# What this user has run or written here, told apart from what others handed over.


def _mark(text: str) -> Path:
    """Return the file whose presence says that a text is remembered; its name is the hash of the text.

    Raises FileNotFoundError where the user has no home.
    """
    state = at_home(os.environ.get("XDG_STATE_HOME") or "~/.local/state")
    if state.parts[:1] == ("~",):
        raise FileNotFoundError(errno.ENOENT, "this user has no home folder")
    return state / "assay" / hashlib.sha256(os.fsencode(text)).hexdigest()


def write_user_state(name: str, text: str) -> None:
    """Keep a text for this user on this machine, where no other user and no received folder writes. Best effort."""
    with suppress(OSError, StoreError):
        _mark(name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(_mark(name), os.fsencode(text), flush=False)


def read_user_state(name: str) -> str:
    """Return what `write_user_state` kept under a name; empty where nothing is."""
    with suppress(OSError):
        return os.fsdecode(_mark(name).read_bytes())
    return ""


_unwritten_marks = set[str]()
"""Texts that no file could be written for: this process knows them until it ends."""


def leave_mark(text: str) -> None:
    """Remember for this user on this machine that a text is known, such as the hash of a file.

    Where the user has no home, or none that takes a file, it is remembered until this process ends.
    """
    try:
        _mark(text).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _mark(text).touch()
    except OSError:
        _unwritten_marks.add(text)


def has_mark(text: str) -> bool:
    """Return whether this user has remembered a text on this machine."""
    with suppress(FileNotFoundError):
        return text in _unwritten_marks or is_file(_mark(text))
    return False


# Paths in documents and pages that may be handed over: they name no folder of this machine and its owner.

_HOMES = ("home", "homes", "users")
_BEFORE = r"(?:^|(?<=[\s'\"=(\[{,;:<>|`‘“@]))"
"""Where a path begins within a text: not within a word, nor after it as in `(2)/x`, `${SET}/x`, `+/-` and `a/b`."""
_UP = (
    r"(?:\.\.[/\\]+)+(?:(?!\.\.[/\\])[^\s/\\'\"]+[/\\]+){0,32}?"  # bounded: it is tried from every `../`
    rf"(?i:{'|'.join(_HOMES)})[/\\]+(?=[^\s/\\])"
)
_START = (
    rf"(?:{_BEFORE}(?:file:/+|~(?=[A-Za-z_][\w.-]*/)|[A-Za-z]:[/\\]+|(?!(?<=:)//)(?://?|\\\\)(?=[^\s/\\])|{_UP})"
    r"|(?<=\s-\w)/(?=[^\s/]))"
)
"""How an absolute path begins, also of another user's home and of Windows, and one that goes up and down to a home.

Not `a/b`, `../a` and `https://`.
"""
_WHOLE_PATH = re.compile(rf"\s*(?:{_START}[^\n]*|~[A-Za-z_][\w.-]*)")
_USER = rf"(?:/(?i:{'|'.join(_HOMES)})/|[A-Za-z]:[/\\]+(?i:users)[/\\]+)[^\s/\\]+(?: [^\s/\\'\"]+){{1,3}}(?=[/\\])"
_TO = r"""[^\s'",;:()\[\]{}<>|`’”]*"""
_PATH_WITHIN = re.compile(rf"""(?P<quote>['"]){_START}[^\n]*?(?P=quote)|(?:{_BEFORE}{_USER}|{_START}){_TO}""")


def hide_paths(value: Any) -> Any:
    """Return objects, lists and texts with each absolute path cut to its last part.

    Args:
        value: Plain values. Keys of objects are cut, too.

    Examples:
        >>> hide_paths({"folder": "/home/ada/png", "table": "data.csv", "loss": ["a/b"]})
        {'folder': '…/png', 'table': 'data.csv', 'loss': ['a/b']}
        >>> hide_paths(["C:\\\\Users\\\\ada\\\\x.csv", "../shared/x.csv", "run --at=/home/ada", "https://a.org/b"])
        ['…/x.csv', '../shared/x.csv', 'run --at=…', 'https://a.org/b']
        >>> hide_paths("hf:/home/ada/my networks/vit")
        'hf:…/vit'
    """
    if isinstance(value, str):
        library = "hf:" if value.startswith("hf:") else ""
        if _WHOLE_PATH.fullmatch(value, len(library)):
            return library + _last_part(value.removeprefix(library))
        return hide_paths_within(value)
    if isinstance(value, Mapping):
        hidden: dict[Any, Any] = {}
        for key, item in cast("Mapping[Any, Any]", value).items():
            name = hide_paths(key)
            hidden[f"{name} ({len(hidden)})" if name in hidden else name] = hide_paths(item)
        return hidden
    if isinstance(value, list | tuple):
        return [hide_paths(item) for item in cast("Sequence[Any]", value)]
    return value


def hide_paths_within(text: str) -> str:
    """Return a sentence or a traceback with each absolute path cut to its last part; see `hide_paths`.

    Examples:
        >>> hide_paths_within('/home/ada/x.png: it is damaged (File "/home/ada/own.py", line 3)')
        '…/x.png: it is damaged (File …/own.py, line 3)'
    """
    return _PATH_WITHIN.sub(lambda match: _last_part(match[0].strip("'\"")), text)


def is_hidden(path: Any) -> bool:
    """Return whether a text is what `hide_paths` leaves of a path."""
    return isinstance(path, str) and (path == "…" or path.startswith("…/"))


def is_user_folder(path: PurePath) -> bool:
    """Return whether a path is that of a user's home by its place, such as `/home/ada`."""
    return path.parent.name.lower() in _HOMES


def _last_part(path: str) -> str:
    """Return a path as a text that names no folder, nor the user whose home it is."""
    parts = PureWindowsPath(path.rstrip())  # which splits at both separators
    is_home = is_user_folder(parts) or (path[0] == "~" and len(parts.parts) == 1)
    return "…" if is_home or not parts.name else f"…/{parts.name}"


_MOST_HOLES, _SIZE_PER_BYTE = 1 << 27, 200
"""Bytes that any file may have, and bytes for each that is on the disk: a hole takes no room there."""


def stored_size(path: Path | str) -> int:
    """Return the size of a file, of a long one without holes. Raises OSError."""
    if (size := file_state(path)[0]) <= _MOST_HOLES:
        return size
    descriptor, stored, at = os.open(path, os.O_RDONLY | os.O_NONBLOCK), 0, 0
    try:
        while at < size:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            stored += at - start
    except OSError as error:
        return stored if error.errno == errno.ENXIO else size  # the rest is a hole, or the system knows none
    finally:
        os.close(descriptor)
    return stored


def require_stored(path: Path) -> None:
    """Raise StoreError for a file that is nearly all a hole: it would take hours, or all memory, to read zeros."""
    if (size := path.stat().st_size) > _MOST_HOLES + _SIZE_PER_BYTE * stored_size(path):
        raise StoreError(f"cannot read {path}: of its {size:,} bytes nearly none is on the disk; get another copy")


def read_stored_bytes(path: Path) -> bytes:
    """Return the content of a file. Raises OSError, and StoreError as `require_stored`."""
    require_stored(path)
    return path.read_bytes()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, read once as long as its `file_state` stays. Raises OSError."""
    return _read_hash(path, file_state(path))


def file_state(path: Path | str) -> tuple[int, int, int, int]:
    """Fingerprint of a file, changed by edits and replacement: size, times of its content and its entry (ns), inode.

    Raises OSError.
    """
    status = os.stat(path)  # noqa: PTH116  a Path costs more than the call
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@lru_cache(maxsize=2**16)
def _read_hash(path: Path, state: tuple[int, ...]) -> str:
    return sha256(path)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as it is now. Raises OSError, and StoreError as `require_stored`."""
    require_stored(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Names by content: canonical JSON and its hash.


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, shortest floats, whole floats as integers.

    Writing 1, 1.0 or 1e0 in a spec must name the same thing, so a float without a fraction is written as an integer.

    Raises:
        ValueError: On NaN or infinity, which no spec may hold.
    """
    return _CANONICAL.encode(_plain(value))


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
"""One of its own, since `json.dumps` makes one a call."""


def content_hash(value: Any, length: int = 16) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def hash_by_last(parts: Mapping[str, str], last: str, length: int = 16) -> Callable[[str], str]:
    """Return the `content_hash` of a mapping as a function of one value, before which all others are hashed once.

    Args:
        parts: Canonical JSON of the other values.
        last: Name of the one, after all others in the order of the alphabet.
        length: Digits of the hash.

    Returns:
        Canonical JSON of the value -> hash.
    """
    if late := [name for name in parts if name >= last]:
        raise ValueError(f"{late[0]} does not come before {last}")
    text = "".join(f"{json.dumps(name)}:{parts[name]}," for name in sorted(parts))
    begun = hashlib.sha256(f"{{{text}{json.dumps(last)}:".encode())

    def finish(value: str) -> str:
        hash_copy = begun.copy()
        hash_copy.update(f"{value}}}".encode())
        return hash_copy.hexdigest()[:length]

    return finish


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    raise TypeError(f"a spec cannot hold a {type(value).__name__}: {value!r}")


IN_MEMORY = "in-memory"
"""Folder of the cache with tables that were given in memory."""


def typed_path(path: Path | str) -> str:
    """Return a path for a command: from the working directory or `~`; elsewhere its name, since a page names no user.

    On a terminal such a name is the whole path: see `paths_spelled`.

    Examples:
        >>> typed_path("lungs/../data.csv"), typed_path("/mnt/ada/chest x-rays")
        ('data.csv', "…/'chest x-rays'")
    """
    for prefix, start in (("", "."), ("~/", at_home("~"))):
        folder = Path(start).absolute()
        inside = os.path.relpath(path, folder)
        if not inside.startswith("..") and folder.name and folder.name.lower() not in _HOMES:  # not `home/ada` from /
            return prefix + shlex.quote(inside)
    return f"…/{shlex.quote(Path(path).name)}"


def typed_parent(typed: str) -> str:
    """Return the folder of a path that is typed in a command, as it is typed there; empty where it has none.

    Examples:
        >>> typed_parent("runs/first"), typed_parent("~/'my runs/first'"), typed_parent("first")
        ('runs', "~/'my runs'", '')
    """
    path = shlex.split(typed)[0].rpartition("/")[0]
    prefix = next((prefix for prefix in ("~/", "…/") if path.startswith(prefix)), "")
    return prefix + shlex.quote(path.removeprefix(prefix)) if path else ""


def release(array: object) -> None:
    """Let go of the memory of a mapped array. Its content stays in the file and is read again where it is needed."""
    mapped: mmap.mmap | None = getattr(array, "_mmap", None)
    if mapped is not None:
        mapped.madvise(mmap.MADV_DONTNEED)
