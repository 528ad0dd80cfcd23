"""Jobs that read a model that was trained elsewhere, and leave records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assay.execution.jobs import keep_read
from assay.execution.tasks import Context
from assay.models.ref import GivenModel
from assay.probes.probe import Request
from assay.probes.reader import ModelReading
from assay.shifts.environment import Environment
from assay.store.folder import RunFolder
from assay.study.inside import inside_rows


@dataclass(frozen=True)
class ReadJob:
    """Reads the answers to some images.

    Attributes:
        folder: The run folder.
        id: Name of the answers.
        model: The model.
        device: Its device.
        images: Returns the images.
    """

    folder: RunFolder
    id: str
    model: GivenModel
    device: str
    images: Callable[[], Environment]

    def __call__(self, context: Context) -> None:
        """See `Job`. Raises SpecError where images cannot be changed, and ReadingError for answers of no use."""
        environment = self.images()
        with self.model.opened(self.device) as opened:
            read = ModelReading(opened, [Request(environment)]).read(environment)
        record = {"model": self.model.id, "environment": environment.name}
        keep_read(self.folder, self.id, environment.table, read, record)


@dataclass(frozen=True)
class InsideJob:
    """Looks inside a network, see `inside_rows`."""

    folder: RunFolder
    id: str
    model: GivenModel
    device: str
    images: Environment
    seed: int

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        rows = inside_rows(self.model, self.images, self.device, self.seed)
        self.folder.write_record(
            "probes", self.id, {"model": self.model.id, "probe": "inside", "rows": rows, "readings": {}}
        )
