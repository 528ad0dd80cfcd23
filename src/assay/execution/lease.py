"""Leases: one writer at a time for a unit of a run folder, on file systems with and without locks."""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.core.files import is_alive, not_written
from assay.execution.tasks import Context, Job, Stopped

HEARTBEAT = 10.0
"""Seconds between the heartbeats of a writer."""
STALE_AFTER = 60.0
"""Seconds after its last heartbeat when a writer counts as dead."""
_POLL = 1.0
"""Seconds between checks of the lease of another writer."""
_MAX_BYTES = 1 << 16
"""Most bytes of a lease."""


@contextmanager
def lease(
    path: Path, wait: Callable[[], None], beat: float = HEARTBEAT, stale: float = STALE_AFTER
) -> Generator[threading.Event]:
    """Hold a lease: a file that is made exclusively, touched while it is held, and removed.

    A lease without a heartbeat for `stale` seconds, by the clock of the file system, is taken over; one of a dead
    process of this machine at once. So is one from the future, as in a folder of a machine whose clock was wrong, by
    more than these seconds. No lock and no signal is needed.

    Args:
        path: The file. Its folder is made.
        wait: Called between tries while another writer has it. It may raise to give up.
        beat: Seconds between heartbeats.
        stale: Seconds without a heartbeat after which it is taken over.

    Yields:
        An event that is set when another process has taken the lease over.

    Raises:
        StoreError: The file cannot be made.
    """
    token = secrets.token_hex(8)
    while not _acquire(path, token, stale):
        wait()
    is_lost, ended = threading.Event(), threading.Event()
    beats = threading.Thread(target=_beat, args=(path, token, beat, is_lost, ended), daemon=True)
    beats.start()
    try:
        yield is_lost
    finally:
        ended.set()
        beats.join()
        with suppress(OSError):  # the work is done: a lease that stays grows stale
            if _token(path) == token:
                path.unlink()


def is_held(path: Path) -> bool:
    """Return whether a live writer has a lease."""
    return path.exists() and not _is_over(path, _read(path), STALE_AFTER)


def _acquire(path: Path, token: str, stale: float) -> bool:
    """Take a lease that is free or stale; return whether that succeeded."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = _read(path)
        if path.exists() and _is_over(path, writer, stale):
            _remove_stale(path, writer.get("token", ""))
        return _create(path, token)
    except OSError as error:
        raise not_written(f"cannot write {path}: {error.strerror}", error) from error


def _create(path: Path, token: str) -> bool:
    content = json.dumps({"host": platform.node(), "space": _process_space(), "pid": os.getpid(), "token": token})
    draft = path.with_name(f".{path.name}.{token}")
    draft.write_text(content, encoding="utf-8")
    try:
        os.link(draft, path)  # unlike an exclusive open, it never shows an empty lease
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _open_exclusively(path, content)
    finally:
        draft.unlink()
    return True


def _open_exclusively(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _token(path: Path) -> str:
    return str(_read(path).get("token", ""))


def _read(path: Path) -> dict[str, Any]:
    """Return the writer of a lease; empty where there is none, or none that can be named. Raises OSError.

    No manifest lists leases: a file there may be anybody's, and of any size.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            return {}
        writer = dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, RecursionError, ValueError, TypeError):
        return {}
    return writer if isinstance(writer.get("pid"), int) else {}


def _is_over(path: Path, writer: Mapping[str, Any], stale: float) -> bool:
    """Return whether the writer of a lease is dead: its process is gone, or its last heartbeat is long ago."""
    if _process_space() and writer.get("space") == _process_space() and not is_alive(writer["pid"]):
        return True
    return _is_stale(path, stale)


@lru_cache(maxsize=1)
def _process_space() -> str:
    """Return a name of the namespace of process ids, in which processes see each other; empty where there is none.

    The name of a host is not enough: containers of one name do not see each other.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _is_stale(path: Path, stale: float) -> bool:
    """Return whether the last heartbeat is long ago, or later than clocks that differ a little explain."""
    try:
        return abs(_now(path) - path.stat().st_mtime) > stale
    except FileNotFoundError:  # it was let go meanwhile
        return False


def _now(path: Path) -> float:
    """Return the time of the file system, since clocks of hosts differ; of this host where nothing may be written."""
    probe = path.with_name(f".{path.name}.{secrets.token_hex(8)}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except FileNotFoundError:
        raise
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()


def _remove_stale(path: Path, token: str) -> None:
    """Remove the lease of a dead writer. Of several processes one succeeds; that of a later writer is put back."""
    stale_path = path.with_name(f".{path.name}.{secrets.token_hex(8)}.stale")
    with suppress(FileNotFoundError):
        path.rename(stale_path)
        if _token(stale_path) != token:
            with suppress(OSError):
                os.link(stale_path, path)
        stale_path.unlink()


def _beat(path: Path, token: str, beat: float, is_lost: threading.Event, ended: threading.Event) -> None:
    while not ended.wait(beat):
        with suppress(OSError):  # one heartbeat that fails is made up for by the next
            if _token(path) != token:
                is_lost.set()
                return
            os.utime(path)


@dataclass(frozen=True)
class LeasedJob:
    """A job that holds a lease while it runs. Another writer of the same unit waits, then finds its record.

    A writer that lost its lease, as after a sleep of its machine, stops and waits for the other one.
    """

    job: Job
    path: Path

    def __call__(self, context: Context) -> None:
        """See `Job`."""

        def wait() -> None:
            if context.should_stop():
                raise Stopped
            context.report(0.0, "another process works on it")
            time.sleep(_POLL)

        while True:
            with lease(self.path, wait) as is_lost:
                try:
                    return self.job(Context(context.report, lambda: is_lost.is_set() or context.should_stop()))
                except Stopped:
                    if context.should_stop() or not is_lost.is_set():
                        raise
