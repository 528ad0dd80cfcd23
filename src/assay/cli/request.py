"""What a user asks of a study on the command line: the same for every command that runs or looks ahead at one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assay.core.parsing import parse_study
from assay.core.spec import StudySpec


@dataclass(frozen=True)
class Request:
    """source: a built-in name or a YAML file. workers: None for as many as suit. device: what `choose_device` takes."""

    source: str
    sets: tuple[str, ...]
    seeds: int | None
    scale: str | None
    workers: int | None
    device: str
    out: Path
    skip_bad_rows: bool
    json: bool

    def settled(self) -> Settled:
        """What is to be done and where, before anything slow is imported or read.

        Raises SpecError with all that is wrong with the study and for a device that is not there, StoreError when
        nothing can be written to the run folder.
        """
        spec = parse_study(self.source, overrides=self.sets, seeds=self.seeds, scale=self.scale)

        from assay.execution.device import choose_device
        from assay.store.place import require_writable, run_folder

        root = run_folder(spec, self.scale, self.out)
        require_writable(root)
        return Settled(spec, root, choose_device(self.device))


@dataclass(frozen=True)
class Settled:
    """The checked study, its run folder, and the device as `choose_device` gives it."""

    spec: StudySpec
    root: Path
    device: str
