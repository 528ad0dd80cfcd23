"""Names and seams of the code get no worse: the numbers of `tools/house.py` may only fall.

Where a change lowers one, lower it here too.
"""

from __future__ import annotations

import pytest
from tests.worlds.scripts import script

HOUSE = script("tools/house.py")
MOST: dict[str, float] = {}


@pytest.fixture(scope="module")
def measures() -> dict[str, float]:
    return HOUSE.measures(HOUSE.House.read())


def test_every_number_has_a_bound(measures: dict[str, float]) -> None:
    assert measures.keys() == MOST.keys()


@pytest.mark.parametrize("name", MOST)
def test_no_number_rises(name: str, measures: dict[str, float]) -> None:
    assert measures[name] <= MOST[name], "a name or a seam got worse; `python tools/house.py --names` says which"


@pytest.mark.acceptance
def test_commands_load_no_more_code() -> None:
    loaded = HOUSE.loaded_lines(HOUSE.House.read())
    assert all(loaded[name] <= most for name, most in LOADED.items()), loaded


LOADED: dict[str, int] = {}
