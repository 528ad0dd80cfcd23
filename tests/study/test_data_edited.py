"""Data that change while a session lives, and pictures that belong to the seed and the recipes they are shown with."""

from __future__ import annotations

from pathlib import Path

from tests.worlds.studies import TINY

from assay.execution import jobs
from assay.execution.workspace import Workspace
from assay.spec.parse import parse_study
from assay.study.confounders import distinct_environments
from assay.study.heat_maps import same_pairs

NEUTRAL = "(neutral)"


def test_environments_are_those_of_the_first_seed(tmp_path: Path) -> None:
    spec = parse_study({**TINY, "first_seed": 7})
    population = jobs.population_of(spec.data, Workspace(tmp_path, tmp_path))
    found, _ = distinct_environments(spec.points, population, spec.first_seed)
    trained, _ = population.training(spec.points[0].train, 7)
    assert found.environment.table.patient.tolist() == trained.table.patient.tolist()


def test_pairs_show_logits_of_recipes_that_saw_these_images(tmp_path: Path) -> None:
    """Difficulty on an axis, in all tests: the neutral images differ between the two recipes."""
    environments = {"train": {"difficulty": {"texture": [1, 2]}}, "same": {"like": "train"}}
    spec = parse_study({**TINY, "environments": environments})
    population = jobs.population_of(spec.data, Workspace(tmp_path, tmp_path))
    easy, hard = spec.points
    assert population.scene(easy.tests, 0).identity(NEUTRAL) != population.scene(hard.tests, 0).identity(NEUTRAL)

    logits = {point.label: {0: (0.0, 1.0)} for point in spec.points}
    assert list(same_pairs(logits, "texture", hard, spec, population)) == [hard.label]
