from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.asking import Asking


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asking:
    """Ask the command line in a folder of its own, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return Asking(capsys)
