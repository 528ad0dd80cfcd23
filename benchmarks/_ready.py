"""A job for workers of benchmarks: they import a job's module, never the script that runs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from assay.execution.tasks import Context


@dataclass(frozen=True)
class Ready:
    """A job that imports what a real one does, and ends when as many workers have got there."""

    meeting: Path
    workers: int

    def __call__(self, context: Context) -> None:
        import assay.execution.jobs  # noqa: F401

        torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)  # makes torch import its compiler
        (self.meeting / str(os.getpid())).touch()
        while len(list(self.meeting.iterdir())) < self.workers:
            time.sleep(0.01)
