"""A replication and the run that it repeats: prediction, agreement and the estimate of both, in simulated worlds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from tests.cases import first_of

from assay.stats import MeasureBySeed, Uncertainty, compare, decide, uncertainty
from assay.stats.replication import replication_row

ALPHA = 0.05

PATIENTS, MARGIN = 200, 0.2
SIZES = ("-beyond", "", "-small")


def drawn(
    rng: np.random.Generator, truth: float, seeds: int, spread: float, patients: Float[np.ndarray, " p"]
) -> dict[str, Any]:
    """A run whose seeds and patients are random effects, with their interaction, as a row of the table."""
    effects = rng.normal(0, spread, seeds)[:, None] + patients[None] + rng.normal(0, 1, (seeds, PATIENTS))
    values = truth + effects.mean(axis=1)
    own = (effects - effects.mean(axis=1, keepdims=True)) / PATIENTS
    whole = MeasureBySeed(values, own, np.arange(seeds), np.arange(PATIENTS), PATIENTS, (-np.inf, np.inf))
    found = uncertainty(whole)
    assert found.components is not None
    errors = {"standard_error": found.standard_error, "seed_error": math.sqrt(found.components.seeds), "df": found.df}
    return {"value": values.mean(), **errors, "seeds": seeds, "margin": MARGIN, "decision": ""}


@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize("ratio", first_of([0.3, 1, 3]))
@pytest.mark.parametrize("new_patients", [True, False])
def test_the_second_difference_falls_into_the_prediction_of_the_first(
    seeds: int, ratio: float, new_patients: bool
) -> None:
    """Ratio: seeds' part of the standard error over that of the patients. Its Monte Carlo error is 0.005."""
    rng, spread, runs = np.random.default_rng(7), ratio * math.sqrt(seeds / PATIENTS), 2000
    inside = covered = 0
    for _ in range(runs):
        patients = rng.normal(0, 1, (2, PATIENTS))
        first, second = (drawn(rng, 0.1, seeds, spread, patients[k if new_patients else 0]) for k in (0, 1))
        found = replication_row(first, second, family=1, new_patients=new_patients)
        inside += found["within"] == "yes"
        covered += found["both_low"] <= 0.1 <= found["both_high"]
    assert 0.93 <= inside / runs <= 0.97
    assert 0.93 <= covered / runs <= 0.98


def run(value: float, error: float = 0.03, df: float = 12.0, **more: object) -> dict[str, Any]:
    return {
        "value": value,
        "standard_error": error,
        "df": df,
        "seed_error": 0.02,
        "seeds": 10,
        "margin": 0.05,
        "decision": "higher",
        **more,
    }


def test_the_estimate_of_both_runs_weighs_seeds_alike() -> None:
    found = replication_row(run(0.1, seeds=10), run(0.04, seeds=20), family=1, new_patients=True)
    assert found["both"] == pytest.approx((10 * 0.1 + 20 * 0.04) / 30)
    width = {new: replication_row(run(0.1), run(0.1), family=1, new_patients=new) for new in (True, False)}
    ends = {new: one["both_high"] - one["both_low"] for new, one in width.items()}
    assert ends[True] < ends[False]  # the same patients are no new evidence on patients
    assert width[True]["predicted_high"] > width[False]["predicted_high"]


def decision_of(row: dict[str, Any], family: int) -> str:
    """The decision of the tests, each at Holm's first step."""
    value, error, df = (row[name] for name in ("value", "standard_error", "df"))
    whole = MeasureBySeed(
        np.full(3, value), np.zeros((3, 1)), np.arange(3), np.zeros(1, np.int64), 1, (-np.inf, np.inf)
    )
    one = compare.make_contrast(whole, Uncertainty(error, df), row["margin"], left_out=0, paired_patients=1)
    (found,) = decide([one], ALPHA / family)
    small = found.decision in ("higher", "lower") and found.equivalence_p < ALPHA / family
    return f"{found.decision}-small" if small else found.decision


def test_the_agreement_to_be_expected_is_the_share_that_agrees() -> None:
    """The truth is drawn from a wide range, so that the first difference alone tells what the second will be."""
    rng, runs, expected, agreed = np.random.default_rng(3), 1500, 0.0, 0
    for truth in rng.uniform(-0.3, 0.3, runs):
        pair = [run(truth + 0.03 * float(rng.standard_t(12))) for _ in (0, 1)]
        words = [decision_of(row, 2) for row in pair]
        expected += replication_row({**pair[0], "decision": words[0]}, pair[1], family=2, new_patients=True)[
            "agreement"
        ]
        agreed += words[0] == words[1]
    assert 0.5 < agreed / runs < 0.9
    assert expected / runs == pytest.approx(agreed / runs, abs=0.03)


def test_agreement_over_all_decisions_is_certain() -> None:
    found = [
        replication_row(run(0.06, decision=f"{way}{size}"), run(0.0), family=4, new_patients=True)["agreement"]
        for way, sizes in {"higher": SIZES, "lower": SIZES, "equivalent": ("",), "inconclusive": ("",)}.items()
        for size in sizes
    ]
    assert sum(found) == pytest.approx(1)


def test_a_run_without_an_error_predicts_nothing() -> None:
    found = replication_row(run(0.1, math.nan), run(0.1), family=1, new_patients=True)
    assert found["within"] == ""
    assert math.isnan(found["predicted_low"])
    assert math.isnan(found["agreement"])


def test_a_run_that_kept_no_seed_has_nothing_to_pool() -> None:
    nothing = run(math.nan, math.nan, math.nan, seeds=0)
    for pair in ((run(0.1), nothing), (nothing, nothing)):
        found = replication_row(*pair, family=1, new_patients=True)
        assert found["within"] == ""
        assert np.isnan([found[name] for name in ("both", "both_low", "predicted_high", "agreement")]).all()
