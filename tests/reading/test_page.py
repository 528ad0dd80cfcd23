"""docs/reading.md is made from the tests."""

from __future__ import annotations

from tests.reading.situations import MODULES, PAGE, page, situations

LEAST = 80


def test_the_page_is_that_of_the_tests() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m tests.reading.situations"


def test_no_situation_is_there_twice_and_none_is_lost() -> None:
    told = [one.situation for module in MODULES for one in situations(module)]
    assert len(set(told)) == len(told) >= LEAST
