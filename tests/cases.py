"""Cases of parametrized tests: the gate runs the first of a kind, `make nightly` the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_of(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """Return cases of which those after the first are run by `make nightly` alone.

    Args:
        cases: Cases as `pytest.mark.parametrize` takes them, those that take seconds each. A tuple is the values of
            several arguments: a sequence that is one value is a list.
        count: How many the gate runs.
    """
    listed = list(cases)
    return [*listed[:count], *map(_further, listed[count:])]


def _further(case: Any) -> Any:
    if hasattr(case, "marks"):  # a case of pytest.param
        return pytest.param(*case.values, id=case.id, marks=(*case.marks, pytest.mark.nightly))
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.nightly)
