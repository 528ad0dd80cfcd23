"""Dose-response: the outcome of a recipe by hand, and two scales together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from tests.worlds.panels import panel

from assay.plugin import Code, Reason
from assay.stats import (
    Contrast,
    DosePanel,
    SeedPredictions,
    TwoScalePValues,
    contrast,
    decide,
    estimate_panel,
    evaluate,
    interaction,
    measure_by_seed,
    pseudo_samples,
)
from assay.stats.doses import combine_scales, dose_outcome, dose_weights, interaction_of_measures
from assay.stats.panel import probit

DOSES = (0.0, 0.5, 1.0)


def curve(seed: int, distances: tuple[float, ...], seeds: int = 5, patients: int = 60) -> list[DosePanel]:
    made = [
        panel(seed + i, distance=distance, seeds=seeds, patients=patients, noise=9)
        for i, distance in enumerate(distances)
    ]
    return [DosePanel(p, one) for p, one in zip(DOSES, made, strict=True)]


def auroc(one: DosePanel) -> float:
    return estimate_panel(one.panel, "auroc").value


def test_the_outcome_is_the_mean_over_doses_less_the_value_at_0():
    a, b = curve(0, (2.0, 1.6, 0.8)), curve(50, (1.5, 1.4, 1.3))
    by_hand = [(auroc(one[1]) + auroc(one[2])) / 2 - auroc(one[0]) for one in (a, b)]
    assert [dose_outcome(one, "auroc").value for one in (a, b)] == pytest.approx(by_hand)
    assert interaction(a, b, "auroc").value == pytest.approx(by_hand[0] - by_hand[1])
    assert dose_weights(4) == pytest.approx([-1, 1 / 3, 1 / 3, 1 / 3])


def test_with_one_dose_it_is_a_difference_of_differences_and_its_interval_is_the_plain_one():
    a, b = curve(0, (2.0, 1.6, 0.8))[:2], curve(50, (1.5, 1.4, 1.3))[:2]
    found = interaction(a, b, "auroc")
    parts = [evaluate(one.panel, "auroc") for one in (a[1], a[0], b[1], b[0])]
    by_seed = parts[0].values - parts[1].values - parts[2].values + parts[3].values
    assert found.per_seed == pytest.approx(by_seed)
    assert found.scales is not None
    assert (found.scales.plain_p < 0.05) == (not found.low <= 0 <= found.high)
    on_probit = [norm.ppf(part.values) for part in parts]
    other = on_probit[0] - on_probit[1] - on_probit[2] + on_probit[3]
    assert found.scales.signs_agree == (by_seed.mean() * other.mean() > 0)


def test_a_world_that_is_additive_on_the_probit_scale_alone_is_none_there():
    """Equal steps of separation are equal on the probit scale, and unequal in AUROC near the ceiling."""

    def exact(distance: float) -> SeedPredictions:
        quantiles = norm.ppf((np.arange(400) + 0.5) / 400)
        score = np.concatenate([quantiles + distance, quantiles])
        target = np.repeat([1, 0], 400)
        return SeedPredictions(np.stack([score[:, None]] * 3), target, np.arange(800))

    low, high = [[exact(level - step) for step in (0.0, 0.7)] for level in (1.5, 2.2)]
    weights = dose_weights(2)
    plain = [weights @ [evaluate(one, "auroc").values[0] for one in side] for side in (low, high)]
    on_probit = [weights @ [probit(evaluate(one, "auroc")).values[0] for one in side] for side in (low, high)]
    assert abs(plain[0] - plain[1]) > 0.04
    assert on_probit[0] == pytest.approx(on_probit[1], abs=0.01)


@pytest.mark.parametrize(
    ("plain", "other", "p"),
    [((0.1, 0.01), (0.4, 0.03), 0.03), ((0.1, 0.04), (0.4, 0.001), 0.04), ((0.1, 0.01), (-0.4, 0.01), 1.0)],
)
def test_the_p_of_two_scales_is_the_greater_and_1_where_signs_differ(
    plain: tuple[float, float], other: tuple[float, float], p: float
):
    found = combine_scales(*[made(value, own) for value, own in (plain, other)])
    assert found.p == p
    assert found.scales == TwoScalePValues(plain[1], other[1], plain[0] * other[0] > 0)


def made(value: float, p: float) -> Contrast:
    some = contrast(panel(0), panel(1), "auroc")
    return replace(some, value=value, p=p)


def test_what_one_scale_shows_depends_on_the_scale():
    both = combine_scales(made(0.1, 0.001), made(0.4, 0.002))
    one = combine_scales(made(0.1, 0.001), made(0.4, 0.6))
    opposite = combine_scales(made(0.1, 0.001), made(-0.4, 0.001))
    neither = combine_scales(made(0.1, 0.2), made(0.4, 0.6))
    family = [both, one, opposite, neither]
    depends = Reason.of(Code.DEPENDS_ON_SCALE)
    assert [one.decision for one in decide(family)] == ["higher", *["inconclusive"] * 3]
    assert [one.reason for one in decide(family)] == [Reason(), depends, depends, Reason()]
    assert [decision.decision for decision in decide([neither, made(0.1, 0.001)])] == ["inconclusive", "higher"]


def test_models_of_all_doses_meet_the_same_samples_and_err_together():
    """Half of 100 patients flip at every p > 0 and none at p = 0: the mean over the doses errs as each of them."""
    seeds = np.arange(4)
    none, half = (
        measure_by_seed(np.full(4, rate), seeds, [pseudo_samples(error, "images")] * 4)
        for rate, error in ((0.0, 0.0), (0.5, 0.05))
    )
    flipping = interaction_of_measures([none, half, half, half], [none, none, none, none], bounded=False)
    single = interaction_of_measures([none, half], [none, none], bounded=False)
    assert flipping.standard_error == pytest.approx(single.standard_error)
    assert flipping.standard_error > 0


def test_doses_must_be_the_same_and_begin_with_0():
    a = curve(0, (2.0, 1.6, 0.8))
    for b in (a[:2], [DosePanel(0.1, a[0].panel), *a[1:]]):
        with pytest.raises(ValueError, match="give both recipes the same ones, 0 and at least another"):
            interaction(a, b, "auroc")
