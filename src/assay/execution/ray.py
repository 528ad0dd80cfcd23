"""Ray: tasks of a cluster, or of this machine. Each carries out a chunk of tasks in a warm worker process."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from assay.core.errors import SpecError, extra
from assay.execution.remote import variables, work


class Ray:
    """A `Backend` of remote functions. Its jobs end with their driver, so that none is adopted.

    Attributes:
        at_once: Twice the cores of the cluster, so that none waits for the driver.
    """

    name = "ray"
    chunk = (0.0, 0.0)
    asked_every = 0.0

    def __init__(self, folder: Path, address: str | None = None, cpus: int = 1, gpus: float = 0) -> None:
        """Connect to a cluster.

        Args:
            folder: `remote.ENGINE` of the run folder, on a file system that nodes share.
            address: Of the cluster: `auto` for one that runs on this machine; None starts one.
            cpus: Cores of a task.
            gpus: GPUs of a task, or the share of one.

        Raises:
            ExtraError: Ray is not installed.
            SpecError: No cluster answers at the address.
        """
        os.environ.setdefault("RAY_worker_niceness", "0")  # else workers run at the lowest priority
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with extra("ray"):
            import ray
        self._ray: Any = ray
        if not self._ray.is_initialized():
            paths = os.pathsep.join(path for path in (os.environ.get("PYTHONPATH", ""),) if path)
            environment = {**variables(), **({"PYTHONPATH": paths} if paths else {})}
            try:
                self._ray.init(
                    address=address,
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level="error",
                    runtime_env={"env_vars": environment},
                )
            except ConnectionError as error:
                raise SpecError(
                    f"--engine address={address}: no Ray cluster answers there; start one with `ray start --head` "
                    "and give its address, or leave it out to start Ray on this machine"
                ) from error
        self._folder = folder.absolute()
        self._call = self._ray.remote(work).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        self._jobs: dict[str, Any] = {}
        self.at_once = max(2, 2 * int(self._ray.cluster_resources().get("CPU", 1)) // cpus)

    def submit(self, chunks: Sequence[str]) -> list[str]:
        """See `Backend`."""
        made = {job.hex(): job for job in (self._call.remote(self._folder, chunk) for chunk in chunks)}
        self._jobs |= made
        return list(made)

    def poll(self, handles: Collection[str]) -> set[str]:
        """See `Backend`."""
        known = [self._jobs[handle] for handle in handles if handle in self._jobs]
        if not known:
            return set()
        over, alive = self._ray.wait(known, num_returns=len(known), timeout=0)
        for job in over:
            del self._jobs[job.hex()]
        return {job.hex() for job in alive}

    def waiting(self, handles: Collection[str]) -> set[str]:
        """See `Backend`: they begin as soon as a core is free."""
        return set()

    def rest(self, handles: Collection[str], seconds: float) -> None:
        """See `Backend`."""
        known = [self._jobs[handle] for handle in set(handles) if handle in self._jobs]
        if len(known) < len(set(handles)):  # one is over, and its note is not there yet
            time.sleep(seconds)
        elif known:
            self._ray.wait(known, num_returns=1, timeout=seconds)

    def cancel(self, handles: Collection[str]) -> None:
        """See `Backend`."""
        for handle in handles:
            if handle in self._jobs:
                self._ray.cancel(self._jobs[handle], force=True)

    def avoid(self, host: str) -> bool:
        """See `Backend`: Ray chooses nodes itself."""
        return False

    def log(self, handle: str) -> str:
        """See `Backend`: Ray keeps logs by process, not by task."""
        return ""
