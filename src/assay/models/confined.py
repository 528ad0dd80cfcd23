"""Entry of a model's process: the network is left before torch is imported, since a process of threads may not."""

from __future__ import annotations

import ctypes
import os
import resource
import runpy
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
"""Flags of Linux's unshare."""
MEMORY = 4.0
"""GB that a model may take beyond what its files take while they are loaded."""
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


def limit_memory(files: Iterable[Path], gigabytes: float) -> None:
    """Let this process take so much more memory than it has now. Allocations fail beyond it.

    Args:
        files: Files of the model.
        gigabytes: Allowed beyond their size.
    """
    more = int(gigabytes * 1e9) + _COPIES * sum(one.stat().st_size for one in files)
    with suppress(OSError):  # there is no such file where there is no Linux
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = taken + more if hard == resource.RLIM_INFINITY else min(taken + more, hard)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


if __name__ == "__main__":
    sys.argv[2] = str(int(sys.argv[2] == "1" or without_network()))
    try:
        runpy.run_module("assay.models.process", run_name="__main__")
    finally:
        os.killpg(os.getpid(), signal.SIGKILL)  # with all that it started
