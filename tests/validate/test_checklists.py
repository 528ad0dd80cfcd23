"""Checklists have every item once, with numbers where a validation has some."""

# pyright: basic

from __future__ import annotations

import pytest
from tests.validate.test_validate import frame

import assay

TRIPOD, STARD = "TRIPOD+AI", "STARD-AI"


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """Checklist, number and evidence of each item of a validation."""
    root = tmp_path_factory.mktemp("validation") / "out"
    data = frame()
    data.loc[:9, "score"] = None
    assay.validate(data, groups=("sex",), threshold=0.4, plan=0.05, out=root)
    found: list[tuple[str, str, str]] = []
    for part in (root / "checklists.md").read_text().split("## ")[1:]:
        name, _, *lines = part.splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:] if line.startswith("|")]
        found += [(name, number, context) for number, _, context in rows]
    return found


def test_every_number_is_there_once(items: list[tuple[str, str, str]]) -> None:
    numbered = [(name, number) for name, number, _ in items]
    assert len(numbered) == len(set(numbered))
    for checklist, most in ((TRIPOD, 27), (STARD, 40)):
        numbers = {int(number.rstrip("abcdefg")) for name, number in numbered if name == checklist}
        assert numbers == set(range(1, most + 1))


def test_items_have_numbers_where_there_are_some(items: list[tuple[str, str, str]]) -> None:
    rows = {(name, number): context for name, number, context in items}
    assert "AUROC 0." in rows[TRIPOD, "23a"]
    assert "2 groups with intervals" in rows[TRIPOD, "14"]
    assert "half-width 0.05" in rows[TRIPOD, "10"]
    assert "no score for" in rows[TRIPOD, "11"]
    assert "threshold: 0.4" in rows[STARD, "15c"]


def test_the_others_are_not_assessed_and_none_is_met(items: list[tuple[str, str, str]]) -> None:
    rows = {(name, number): context for name, number, context in items}
    assert rows[TRIPOD, "17"] == rows[STARD, "38"] == "not assessed"
    assert not any("met" in text.split() for text in rows.values())
