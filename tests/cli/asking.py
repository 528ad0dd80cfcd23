"""Ask the command line in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.cli import main


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Asking:
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Answer:
        """The exit code and what was printed."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(part) for part in arguments])
        out, err = self.capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, out, err)
