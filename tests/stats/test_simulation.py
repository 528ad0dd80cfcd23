"""The simulation of docs/statistics.md, small: its own worlds are honest, and intervals and tests hold roughly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.worlds.scripts import script

from assay.stats import MeasureBySeed, SeedPredictions, combine, evaluate, linear_contrast, uncertainty
from assay.stats.compare import make_contrast as combined
from assay.stats.doses import dose_weights
from assay.stats.panel import probit

_, simulation, doses, worst, families, _, looks, failures = (
    script(f"benchmarks/{name}_simulation.py")
    for name in ("", "interval", "dose", "worst_group", "family", "decision", "look", "failure")
)


@pytest.mark.parametrize("world", [simulation.auroc_world(0.8, 60, 20), simulation.accuracy_world(0.8, 60)])
def test_the_truth_of_a_world_is_its_long_run_mean(world) -> None:
    values, _ = world.draw(np.random.default_rng(0), 4000, 1, 3, 0.5)
    assert values.mean() == pytest.approx(world.truth(0.5), abs=0.004)


def test_seed_effects_have_the_size_that_a_cell_states() -> None:
    world = simulation.auroc_world(0.8, 200, 80)
    still, _ = world.draw(np.random.default_rng(0), 1000, 1, 1, 0.0)
    moved, _ = world.draw(np.random.default_rng(1), 1000, 1, 1, simulation.seed_sd_of(world, 3.0, 1))
    assert np.sqrt(moved.var() - still.var()) / still.std() == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("ratio", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("world", [simulation.auroc_world(0.8, 200, 80), simulation.mean_world(200)])
def test_coverage(world, ratio: float, seeds: int) -> None:
    assert simulation.simulate(world, "coverage", ratio, seeds, 500)["met"]


@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_a_difference_on_a_shared_design_is_covered_by_a_narrow_interval(ratio: float) -> None:
    world = simulation.sobol_world(256)
    row = simulation.simulate(world, "coverage of a difference", ratio, 10, 1000)
    assert row["met"]
    assert row["rate_plain"] > 0.99  # with the errors of both models taken as independent
    assert simulation.simulate(world, "false positives, Holm of 4", ratio, 5, 500)["met"]


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_holm_family_of_true_null_hypotheses_seldom_finds_anything(seeds: int) -> None:
    row = simulation.simulate(simulation.mean_world(100), "false positives, Holm of 4", 3.0, seeds, 500)
    assert row["met"]


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["probit", "plain"])
def test_a_world_that_is_additive_on_one_scale_is_not_called_an_interaction(scale: str) -> None:
    assert doses.simulate(scale, 1.0, 5, 500)["met"]
    areas = doses.areas(scale)
    on_scale = areas if scale == "plain" else norm.ppf(areas)
    assert on_scale[0] - on_scale[1] == pytest.approx(np.full(3, (on_scale[0] - on_scale[1])[0]))


def test_the_batch_of_a_simulation_is_the_contrast_of_a_study() -> None:
    drawn = doses.draw(np.random.default_rng(0), "probit", 1, 5, 0.3)
    weights = np.concatenate([dose_weights(3), -dose_weights(3)])
    parts = [
        MeasureBySeed(drawn.values[0, r], drawn.contributions[0, r], drawn.patients, drawn.seeds, 200, (0.0, 1.0))
        for r in range(6)
    ]
    for batch, single in ((drawn, parts), (probit(drawn), [probit(part) for part in parts])):
        p, value = doses.p_values(batch)
        found = linear_contrast(single, weights)
        assert (p[0], value[0]) == pytest.approx((found.p, found.value))


@pytest.mark.parametrize("world", ["tied", "apart", "crossed", "uneven"])
def test_recipes_with_equally_bad_worst_groups_are_seldom_told_apart(world: str) -> None:
    assert worst.simulate(world, 1.0, 5, 500)["met"]


@pytest.mark.parametrize("world", worst.WORLDS)
def test_a_simulated_worst_group_is_compared_as_that_of_a_study(world: str) -> None:
    right = worst.right_answers(np.random.default_rng(0), world, 1, 5, 0.3)
    target, group = np.arange(worst.PATIENTS) % 2, right.shape[-1]
    chosen: list[MeasureBySeed] = []
    for recipe in range(2):
        one = right[0, recipe]  # [s, groups, patients of a group]
        rows = one.mean(axis=(0, 2)).argmin() * group + np.arange(group)
        logits = np.where(one.reshape(5, -1) == (target == 1), 1.0, -1.0)
        chosen.append(
            evaluate(SeedPredictions(logits[..., None], target, np.arange(len(target))).rows(rows), "accuracy")
        )
    whole = combine(chosen, np.array([1.0, -1.0]))
    found = combined(whole, uncertainty(whole), None, left_out=0, paired_patients=0)
    assert worst.p_values(right)[0] == pytest.approx(found.p)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["equal", "reference 3 times as spread", "one in five falls"])
def test_a_family_of_eight_keeps_its_error_where_seeds_outweigh_patients(kind: str) -> None:
    assert families.simulate(kind, 8, 8, 6.0, 3, 1000)["met"]


def test_a_family_whose_comparisons_are_each_alone_keeps_its_error_with_three_seeds() -> None:
    found = families.simulate("equal", 1, 8, 6.0, 3, 1000)
    assert found["met"]
    assert found["claims"] < 0.055 < 0.08 < found["claims_own"]


def test_what_the_design_detects_it_does_detect_four_times_in_five() -> None:
    found = families.simulate("equal", 8, 8, 6.0, 3, 1000)
    assert 0.75 < found["power"] < 0.85
    assert 0.75 < found["power_planned"] < 0.85
    assert found["claims_own"] > 0.08, "variances of their own break the promise"
    assert found["power_least"] < 0.5, "the least of eight noisy figures is not what is found"


def test_three_looks_claim_as_little_as_one_test() -> None:
    row = looks.simulate("primary of 2, alone in their groups", "equal", 6.0, 40, 500)
    assert row["met"]
    assert row["claims"] > 0.01, "a rule that never claims would pass"


def test_three_looks_at_the_full_level_claim_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "LOOK_ALPHA", 0.05)
    assert looks.simulate("primary of 1", "equal", 6.0, 40, 500)["claims"] > 0.085


def test_networks_that_did_not_fail_are_seldom_called_equivalent_wrongly() -> None:
    row = failures.simulate("reference", "kept", 4, 0.01, 1.0, 10, 500)
    assert row["met"]
    assert row["false_unconditional"] > 0.2, "what equivalence does not say"


def test_the_page_has_the_rates_that_were_simulated_with_failing_networks() -> None:
    docs = Path(__file__).parents[2] / "docs"
    table = pd.read_csv(docs / "results" / "failure-simulation.csv")
    assert table["met"].all()
    most = table.groupby("seeds")["false_conditional"].max()
    assert most.max() <= 0.05
    rates = f"at most {most[3]:.3f} / {most[5]:.3f} / {most[10]:.3f}, with 20 seeds {most[20]:.3f}"
    assert rates in (docs / "statistics.md").read_text(encoding="utf-8")
