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

    @property
    def spec(self) -> StudySpec:
        """The checked study. Raises SpecError with all that is wrong."""
        return parse_study(self.source, overrides=self.sets, seeds=self.seeds, scale=self.scale)
