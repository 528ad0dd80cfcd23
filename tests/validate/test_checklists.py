"""Checklists have every item once, with numbers where a validation has some."""

# pyright: basic

from __future__ import annotations

import pytest
from tests.validate.test_validate import frame

import assay
from assay.validate import checklists


def test_items_name_what_there_is() -> None:
    for items in checklists.reporting_checklists().values():
        assert {name for item in items for name in item.summaries} <= checklists.SUMMARIES.keys()
        numbered = [item.name for item in items if item.name != "AI"]
        assert len(numbered) == len(set(numbered))
    every = checklists.reporting_checklists().values()
    numbers = [{item.name.rstrip("abcdefg") for item in items} - {"AI"} for items in every]
    assert list(map(len, numbers)) == [27, 30]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    root = tmp_path_factory.mktemp("validation") / "out"
    data = frame()
    data.loc[:9, "score"] = None
    assay.validate(data, groups=("sex",), threshold=0.4, plan=0.05, out=root)
    found: dict[tuple[str, str], str] = {}
    for part in (root / "checklists.md").read_text().split("## ")[1:]:
        name = part.splitlines()[0]
        for line in part.splitlines()[4:]:
            if line.startswith("|"):
                number, _, evidence = (cell.strip() for cell in line.strip("|").split(" | "))
                found[name, number] = evidence
    return found


def test_items_have_numbers_where_there_are_some(rows: dict[tuple[str, str], str]) -> None:
    assert "AUROC 0." in rows["TRIPOD+AI", "23a"]
    assert "2 groups with intervals" in rows["TRIPOD+AI", "14"]
    assert "half-width 0.05" in rows["TRIPOD+AI", "10"]
    assert "no score for" in rows["TRIPOD+AI", "11"]
    assert "threshold: 0.4" in rows["STARD 2015 and STARD-AI", "12a"]


def test_the_others_are_not_assessed_and_none_is_met(rows: dict[tuple[str, str], str]) -> None:
    assert rows["TRIPOD+AI", "17"] == rows["STARD 2015 and STARD-AI", "30"] == checklists.NOT_ASSESSED
    assert not any("met" in text.split() for text in rows.values())
