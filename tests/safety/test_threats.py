"""Every row of the table of threats says what is held, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("| from whom, what |", 1)[1].split("\n\n", 1)[0]
ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in TABLE.splitlines()[2:]]


def test_the_image_that_a_container_is_built_on_is_pinned_by_its_digest() -> None:
    bases = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM")]
    assert bases
    assert not [line for line in bases if not re.search(r"@sha256:[0-9a-f]{64}$", line)]


def test_actions_are_pinned_by_commit_and_a_release_is_attested() -> None:
    workflows = {path.name: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    actions = [line for text in workflows.values() for line in text.splitlines() if "uses:" in line]
    assert not [line for line in actions if not re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)]
    release = workflows["release.yml"]
    assert 0 < release.index("run: make release") < release.index("actions/attest-build-provenance@")


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_a_row_says_what_is_held_and_names_tests(row: list[str]) -> None:
    _, _, state, tests = row
    assert state.startswith(("held", "not held", "runs, after it is named", "one sentence")), state
    named = [name.strip("` ") for name in tests.split(",")]
    for name in named:
        file, _, function = name.partition("::")
        assert function.startswith("test_"), f"{name!r} names no test"
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name
