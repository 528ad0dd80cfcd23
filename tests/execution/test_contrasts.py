"""Contrasts of a study: who is compared with whom, and what cannot be tested counts all the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assay.core.spec import ContrastSpec
from assay.execution.collapses import collapse_rows
from assay.execution.contrasts import Pair, carry_out, family_rows
from assay.stats.collapse import collapse_rate
from assay.stats.compare import Contrast, SeedValues, contrast_seeds, untested
from assay.stats.power import detectable
from assay.store.schema import COLLAPSES, CONTRASTS


def point(label: str) -> Any:
    return SimpleNamespace(label=label, coordinates={"loss": label})


@dataclass
class Records:
    """What contrasts ask of gathered records: recipe -> seed -> the status it came to, and values of one measure."""

    statuses: Mapping[str, Mapping[int, str]]
    values: Mapping[str, Mapping[int, float]] = field(default_factory=dict[str, Mapping[int, float]])
    contrasts: tuple[ContrastSpec, ...] = ()

    def __post_init__(self) -> None:
        spec = SimpleNamespace(points=tuple(map(point, self.statuses)), axes=("loss",), contrasts=self.contrasts)
        self.plan = SimpleNamespace(spec=spec)
        self.by_point = {
            label: {seed: [SimpleNamespace(id=f"{label}{seed}")] for seed in seeds}
            for label, seeds in self.statuses.items()
        }
        self.records = {
            f"{label}{seed}": {"status": status}
            for label, seeds in self.statuses.items()
            for seed, status in seeds.items()
            if status != "pending"
        }

    @property
    def scalars(self) -> Mapping[str, Any]:
        key = ("flip-rate", "(neutral)", "texture", "", "", "")
        return {
            label: {key: {seed: {"value": value, "standard_error": math.nan} for seed, value in by_seed.items()}}
            for label, by_seed in self.values.items()
        }

    def kept_seeds(self, point: Any) -> list[int]:
        return [seed for seed, status in self.statuses[point.label].items() if status == "done"]

    def lost_seeds(self, point: Any) -> list[int]:
        return [seed for seed, status in self.statuses[point.label].items() if status in ("collapsed", "diverged")]


FLIPS = ContrastSpec(axis="loss", against="plain", measure="flip-rate", environment="(neutral)", factor="texture")


def pair(level: str, stated: ContrastSpec = FLIPS) -> Pair:
    return Pair(stated, (point(level),), (point("plain"),), level, ())


def sure(difference: float) -> Contrast:
    seeds = np.arange(5)
    spread = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    return contrast_seeds(SeedValues(difference + spread, seeds), SeedValues(0 * spread, seeds))


def test_what_could_not_be_tested_counts_in_holms_family() -> None:
    found = sure(0.03)
    alone = family_rows("stated", [(pair("metric"), found)])[0]
    beside, lost = family_rows("stated", [(pair("metric"), found), (pair("triplet"), untested("no seed was kept"))])
    assert alone["p_holm"] == found.p
    assert beside["p_holm"] == pytest.approx(2 * found.p)
    assert beside["detectable"] == pytest.approx(detectable(found.standard_error, found.df, alpha=0.025))
    assert (lost["conclusion"], lost["reason"], lost["seeds"]) == ("undefined", "no seed was kept", 0)
    assert math.isnan(lost["p_holm"])
    assert set(CONTRASTS) == set(beside)


def test_seeds_without_a_value_are_counted_as_left_out() -> None:
    done = dict.fromkeys(range(5), "done")
    values = {"metric": {0: math.nan, 1: 0.3, 2: 0.4, 3: 0.5, 4: math.nan}, "plain": dict.fromkeys(range(4), 0.1)}
    found = carry_out(Records({"metric": done, "plain": done}, values), pair("metric"))  # type: ignore[arg-type]
    assert (found.seeds, found.left_out) == (3, 2)
    assert found.value == pytest.approx(0.3)


def test_collapses_are_an_outcome_with_an_interval_and_a_contrast() -> None:
    metric = {0: "collapsed", 1: "collapsed", 2: "diverged", 3: "done", 4: "pending"}
    gathered = Records({"metric": metric, "plain": dict.fromkeys(range(5), "done")}, contrasts=(FLIPS,))
    first, plain, difference = collapse_rows(gathered)  # type: ignore[arg-type]
    assert set(first) == set(plain) == set(difference) == set(COLLAPSES)
    assert (first["collapsed"], first["diverged"], first["seeds"]) == (2, 1, 4)
    expected = collapse_rate(3, 4)
    assert (first["rate"], first["low"], first["high"]) == (0.75, expected.low, expected.high)
    assert (plain["rate"], plain["high"]) == (0, pytest.approx(1 - 0.025 ** (1 / 5)))
    assert (difference["against"], difference["rate"], difference["seeds"]) == ("plain", 0.75, 4)
    assert difference["p"] == pytest.approx(2 / 2**3)
