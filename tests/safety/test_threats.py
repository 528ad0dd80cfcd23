"""Every row of the table of threats names tests that are there, or says that none is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("| from whom, what |", 1)[1].split("\n\n", 1)[0]
ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in TABLE.splitlines()[2:]]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_a_row_names_a_test_or_is_not_held(row: list[str]) -> None:
    _, _, state, tests = row
    if tests == "none":
        assert state.startswith(("not held", "explained"))
        return
    named = re.findall(r"`([^`]+)`", tests)
    assert named, "the last column names a file"
    for name in named:
        file, _, function = name.partition("::")
        assert (ROOT / file).is_file(), name
        assert f"def {function or 'test_'}" in (ROOT / file).read_text(encoding="utf-8"), name
