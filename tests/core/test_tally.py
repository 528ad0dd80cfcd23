"""Many classes told in few: none is lost, and the one that associations are of is always named."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.core.errors import foremost

MOST = 12

sizes = st.lists(st.integers(0, 50), min_size=1, max_size=80)
counts = sizes.map(lambda found: {f"c{i}": n for i, n in enumerate(found)})


@pytest.mark.slow
@given(counts)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # drawing is slow when busy
def test_every_class_is_told_once_and_those_named_are_the_most_frequent(rows: dict[str, int]) -> None:
    named, rest = foremost(rows)
    assert sorted([*named, *rest]) == sorted(rows)
    assert list(named) == [name for name in rows if name in named]
    assert len(named) + bool(rest) <= MOST
    assert named[-1] == list(rows)[-1]
    assert all(rows[name] >= max((rows[other] for other in rest), default=0) for name in named[:-1])


def test_up_to_twelve_are_all_named() -> None:
    rows = {f"c{i}": i for i in range(12)}
    assert foremost(rows) == (tuple(rows), ())
    named, rest = foremost({**rows, "last": 0})
    assert named == (*[f"c{i}" for i in range(2, 12)], "last")
    assert len(rest) == 2
