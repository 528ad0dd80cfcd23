"""Names and seams of the code get no worse: the numbers of `tools/house.py` may only fall.

Where a change lowers one, lower it here too.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.worlds.scripts import script

from assay import plugin, stats

HOUSE = script("tools/house.py")
MOST: dict[str, float] = {
    "circles of imports": 0,
    "private words per 1000 bound names": 3.5,
    "functions named by a participle (%)": 1.9,
    "functions per 1000 lines": 94.6,
    "class names in several modules": 1,
    "function names in several modules": 103,
    "imports of features by shared rooms": 0,
    "internal names that tests import": 600,
    "lines that an import of look loads": 20934,
    "lines that an import of compare loads": 15497,
    "lines that an import of page loads": 8142,
}


@pytest.fixture(scope="module")
def house() -> Any:
    return HOUSE.House.read()


@pytest.fixture(scope="module")
def measures(house: Any) -> dict[str, float]:
    return HOUSE.measures(house)


def test_every_number_has_a_bound(measures: dict[str, float]) -> None:
    assert measures.keys() == MOST.keys()


@pytest.mark.parametrize("name", MOST)
def test_no_number_rises(name: str, measures: dict[str, float]) -> None:
    assert measures[name] <= MOST[name], "a name or a seam got worse; `python tools/house.py --names` says which"


def test_public_names_are_imported_by_their_door(house: Any) -> None:
    defined = {(module, name) for door in (plugin, stats) for name, module in door.MODULES.items()}
    assert not house.internal_names & defined, "import these from `assay.plugin` or `assay.stats`"


LOADED = {"look": 26_953, "compare": 23_346, "report": 25_279}
"""Lines of the package that commands have loaded when they end; a report of a failed network loads 200 more."""


@pytest.mark.nightly
def test_commands_load_no_more_code() -> None:
    loaded = HOUSE.loaded_lines(HOUSE.House.read())
    assert all(loaded[name] <= most for name, most in LOADED.items()), loaded
