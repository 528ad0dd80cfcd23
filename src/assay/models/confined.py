"""A model's process: its rights go before NumPy or torch is imported, since a process of threads cannot drop them."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pickle
import re
import resource
import signal
import socket
import struct
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock

from assay.core import errors
from assay.core.errors import AssayError, first_line, key_text
from assay.core.files import is_file, stored_size

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""Flags of Linux's unshare."""
_NO_NEW_RIGHTS = 38
"""Option of Linux's prctl, which Landlock needs."""
_LANDLOCK = 444
"""First of Landlock's three system calls."""
_WRITING, _CHANGING = 0b1_1111_1111_0010, 0b10
"""Rights of its first version to write, make and remove files; the first of them alone, which a file can have."""
_MOVING, _CUTTING = 1 << 13, 1 << 14
"""Rights of its second and third version, to move files between folders and to cut them short."""
_CALLS = {"x86_64": (0xC000003E, 41, (425, 42, 109, 112)), "aarch64": (0xC00000B7, 198, (425, 203, 154, 157))}
"""Machine -> its number in Linux, that of the call `socket`, those of io_uring_setup, connect, setpgid and setsid."""
_FAMILIES = (2, 10, 16)
"""Kinds of sockets of the network, which is empty."""
_READING = 1 << 2
"""The one right of an administrator that is left: to read any file."""
REACHABLE = "this system has no network namespaces for its users, so that the model's process could reach the network"
WRITABLE = "this system has no Landlock, so that the model's process could write files"
ASKABLE = "this system has no seccomp, so that the model's process could have other programs act for it"
MEMORY = 4.0
"""GB that a model may take beyond what its files take while they are loaded."""
_LONGEST_START = 310
"""Seconds after which a process that loads a model ends; who started it waits a little less."""
_LARGEST_FILE = 2**30
"""Bytes that a file may have which the process writes to its scratch folder."""
_COPIES = 3
"""Copies of a model's files that loading them may hold at once."""


def without_network() -> bool:
    """Move this process to a network of its own, which is empty. Return whether the system allows it."""
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is None:
        return False
    if unshare(_NEW_NETWORK) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(_NEW_USER | _NEW_NETWORK) != 0:
        return False
    with suppress(OSError):  # else files are read as before, and only the name of the user is lost
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def files_kept(scratch: str) -> bool:
    """Let this process and all that it starts change the content of no file but below a folder.

    Devices of GPUs, and the names of its own threads, which CUDA sets, are written to as before. Modes and times of
    files are not covered.

    Returns:
        Whether the system allows it.
    """
    library = ctypes.CDLL(None)
    version = library.syscall(_LANDLOCK, None, 0, 1)
    if version < 1:
        return False
    cutting = _CUTTING if version > 2 else 0
    rights = _WRITING | (_MOVING if version > 1 else 0) | cutting
    kinds = struct.pack("QQQ", rights, 0, 3) if version > 5 else struct.pack("Q", rights)  # 3: signals to others
    rules = library.syscall(_LANDLOCK, kinds, len(kinds), 0)
    for path in (Path(scratch), Path("/dev/null"), Path("/proc/self/task"), *Path("/dev").glob("nvidia*")):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = rights if path == Path(scratch) else _CHANGING | cutting
        if library.syscall(_LANDLOCK + 1, rules, 1, struct.pack("=Qi", allowed, place), 0) != 0:
            return False
    library.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0)
    return library.syscall(_LANDLOCK + 2, rules, 0) == 0


def isolate_process() -> bool:
    """Let this process connect to no program, start none that outlives it, and lose an administrator's rights.

    Programs such as Docker, D-Bus, an agent of SSH or a virtual machine's host act for whoever asks, and are reached by
    sockets that no network of its own closes. Sockets that it only listens to are left, as CUDA makes them.

    Returns:
        Whether the system allows it.
    """
    if sys.platform != "linux" or os.uname().machine not in _CALLS:
        return False
    library, (machine, opens, refused) = ctypes.CDLL(None), _CALLS[os.uname().machine]
    load, equal, at_least, mask, end = 0x20, 0x15, 0x35, 0x54, 0x06
    steps = [  # of a packet filter: code, where to go if true and if false, number
        (load, "", "", 4),
        (equal, "", "no", machine),
        (load, "", "", 0),
        (at_least, "no", "", 1 << 30),
        *((equal, "no", "", call) for call in refused),
        (equal, "", "yes", opens),
        (load, "", "", 16),
        *((equal, "yes", "", family) for family in _FAMILIES),
        (equal, "", "no", socket.AF_UNIX),
        (load, "", "", 24),
        (mask, "", "", 15),
        (equal, "no", "yes", 2),  # datagrams
        (end, "", "", 0x5000D),
        (end, "", "", 0x7FFF0000),
    ]
    places = {"no": len(steps) - 3, "yes": len(steps) - 2}
    program = ctypes.create_string_buffer(
        b"".join(
            struct.pack("HBBI", code, *(places[to] - at if to else 0 for to in (true, false)), number)
            for at, (code, true, false, number) in enumerate(steps)
        )
    )
    library.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0)
    library.capset(struct.pack("Ii", 0x20080522, 0), struct.pack("6I", _READING, _READING, 0, 0, 0, 0))
    return library.prctl(22, 2, struct.pack("HP", len(steps), ctypes.addressof(program))) == 0


def memory_limit(files: Iterable[Path], gigabytes: float) -> int:
    """Return the bytes that a model may take: so much, and what loading its files needs."""
    return int(gigabytes * 1e9) + _COPIES * sum(map(stored_size, files))


def limit_memory(more: int) -> None:
    """Let this process take so many more bytes of memory of its own than it has now. Allocations fail beyond it.

    Counted is what it can write to, not the address space, most of which is reserved and never taken.
    """
    with suppress(OSError):  # there is no such file where there is no Linux
        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, _hard_limited(resource.RLIMIT_DATA, used + more))


@contextmanager
def memory_limited(more: int) -> Generator[None]:
    """Let this process take so many more bytes while a block runs. Threads wait for each other.

    Raises:
        MemoryError: The block asks for more; libraries raise errors of their own, which `FULL` recognizes.
    """
    with _ONE_LIMIT:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        limit_memory(more)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


_ONE_LIMIT = Lock()
"""The limit is the whole process's: of two blocks at once, the second would set back the limit of the first."""


def _hard_limited(limit: int, wanted: int) -> tuple[int, int]:
    """Return a limit that whoever started this process allows, and the largest that it may be raised to."""
    hard = resource.getrlimit(limit)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard


def _serve(connection: Connection, notes: Sequence[str]) -> None:
    """Load a model and answer images until the other end is closed.

    Args:
        connection: To the process that asks.
        notes: What this process could reach.
    """
    import numpy as np  # it has threads, as torch

    path, origin, device, threads, limit = pickle.loads(connection.recv_bytes())
    sys.path[:] = path
    signal.alarm(_LONGEST_START)  # also where nobody waits any more
    try:
        if device == "cpu":  # the address space of CUDA is far larger than what it takes
            limit_memory(memory_limit(origin.files, origin.memory))
        facts, answers = origin.served(device, threads)
        facts["notes"] = [*facts.get("notes", ()), *notes]
    except BaseException as error:
        _send_error(connection, error)
        return
    connection.send_bytes(json.dumps(facts, default=str).encode())
    connection.send_bytes(b"")
    signal.alarm(0)
    while True:
        try:
            shape = json.loads(connection.recv_bytes())
            images = np.frombuffer(connection.recv_bytes(), dtype=np.float32).reshape(shape).copy()
        except EOFError:
            return
        signal.alarm(int(limit * len(images)) + 10)  # also where nobody waits any more
        try:
            scores = answers(images)
        except BaseException as error:
            _send_error(connection, error)
        else:
            connection.send_bytes(json.dumps({"dtype": scores.dtype.name, "shape": scores.shape}).encode())
            connection.send_bytes(scores.tobytes())
        signal.alarm(0)


FULL = re.compile(
    r"MemoryError|bad_?alloc|can(?:'|no)t allocate memory|failed to allocate|DefaultCPUAllocator", re.IGNORECASE
)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENETUNREACH)


def _refused_access(error: BaseException | None) -> OSError | None:
    """Return the error of code that reached for the network or for files, which others may come from."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in _REFUSED or isinstance(error, socket.gaierror)):
            unreadable = is_file(Path(name := str(error.filename or ""))) and not os.access(name, os.R_OK)
            return None if unreadable else error
        error = error.__cause__ or (error.__context__ if isinstance(error, OSError) else None)
    return None


def _send_error(connection: Connection, error: BaseException) -> None:
    ours = isinstance(error, AssayError)
    kind = type(error).__name__ if ours and hasattr(errors, type(error).__name__) else "other"
    text = (
        str(error.args[0]) if kind != "other" and error.args else str(error) if ours else first_line(error)
    )  # keys too
    if not isinstance(error, Exception):
        text = f"its code raised {type(error).__name__}({text})"
    if "CUDA out of memory" in text:
        kind, text = "SpecError", f"the GPU has too little free memory for the model ({text})"
    if isinstance(error, MemoryError) or FULL.search(text):
        kind, text = (
            "SpecError",
            f"the model needs more memory than it may take ({text}); give {key_text('--memory')} for more",
        )
    if refused := _refused_access(error):
        why = f"the model's code was refused ({first_line(refused)}): it has no network and may change no files"
        kind, text = "SpecError", why
    connection.send_bytes(json.dumps({"error": kind, "text": text}).encode())
    connection.send_bytes(b"")


if __name__ == "__main__":
    _, descriptor, scratch = sys.argv
    closed = [without_network(), files_kept(scratch), isolate_process()]
    largest, _ = _hard_limited(resource.RLIMIT_FSIZE, _LARGEST_FILE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    missing = [what for what, done in zip((REACHABLE, WRITABLE, ASKABLE), closed, strict=True) if not done]
    with socket.socket(fileno=int(descriptor)) as held_socket:
        opened = Connection(os.dup(held_socket.fileno()))
    os.dup2(2, 1)  # output that a model prints is no answer
    with suppress(BrokenPipeError, ConnectionResetError):  # who asked has ended
        _serve(opened, missing)
    os.killpg(os.getpid(), signal.SIGKILL)  # with all that it started
