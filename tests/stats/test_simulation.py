"""The simulation of docs/statistics.md, small: its own worlds are honest, and intervals and tests hold roughly."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "interval_simulation.py"
SPEC = importlib.util.spec_from_file_location("interval_simulation", PATH)
assert SPEC is not None
assert SPEC.loader is not None
simulation = importlib.util.module_from_spec(SPEC)
sys.modules["interval_simulation"] = simulation
SPEC.loader.exec_module(simulation)


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


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_holm_family_of_true_null_hypotheses_seldom_finds_anything(seeds: int) -> None:
    row = simulation.simulate(simulation.mean_world(100), "false positives, Holm of 4", 3.0, seeds, 500)
    assert row["met"]
