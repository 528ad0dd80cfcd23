"""Every measure is described, and the better way is the one that statistics and probes go by."""

from __future__ import annotations

from assay.core.measures import MEANINGS, MEASURES, better
from assay.probes.robustness import _LOWER  # pyright: ignore[reportPrivateUsage]
from assay.stats.measures import MEASURES as COMPUTED


def test_every_measure_has_words_and_no_other() -> None:
    assert sorted(MEANINGS) == sorted(MEASURES)


def test_the_better_way_is_the_one_that_is_computed() -> None:
    assert {name: better(name) or "none" for name in COMPUTED} == {
        name: measure.direction for name, measure in COMPUTED.items()
    }
    distorted = {name for name, measure in MEASURES.items() if measure.probe == "robustness"}
    assert {name for name in distorted if better(name) == "lower"} == set(_LOWER)
    assert {name for name in distorted if better(name) == "higher"} == distorted - set(_LOWER)
