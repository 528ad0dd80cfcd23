"""Another population of a phantom: other patients to test on, and the same training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from assay.core.files import content_hash
from assay.plugin import ArrayCache, Component, DataSpec, Environment
from assay.shifts.population import Population
from assay.shifts.sources import open_population
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec

PHANTOM = Component(kind="phantom", name="tests.worlds.environments:Toy")
TIED = EnvironmentSpec(association={"texture": AssociationSpec(strength=0.9)})
TAG = Component(kind="intervention", name="tag", params={"size": 0.5, "x": 0.5, "y": 0.6})
TESTS = {"same": TIED, "tagged": EnvironmentSpec(interventions={"tag": InterventionSpec(component=TAG)})}


def data(population: int = 0) -> DataSpec:
    return DataSpec(phantom=PHANTOM, core="margin", size=8, train=60, validation=20, test=40, population=population)


def opened(folder: Path, population: int) -> Population:
    return open_population(data(population=population), ArrayCache(folder))


def pixels(environment: Environment) -> torch.Tensor:
    return environment.images.read(np.arange(len(environment)))


def test_another_population_has_other_patients_to_test_on_and_the_same_training(tmp_path: Path) -> None:
    populations = [opened(tmp_path, n) for n in (0, 1, 2)]
    for seed in (0, 3):
        trained = [population.training(TIED, seed)[0].table.columns["texture"] for population in populations]
        np.testing.assert_array_equal(trained[0], trained[1])
    assert len({content_hash(population.identity(TIED)) for population in populations}) == 1
    scenes = [population.scene(TESTS, 0) for population in populations]
    for name in TESTS:
        shown = [pixels(scene.environment(name)) for scene in scenes]
        assert not any(torch.equal(shown[i], shown[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
        assert len({content_hash(scene.identity(name)) for scene in scenes}) == 3
    designs = [scene.sobol(8) for scene in scenes]
    drawn = [design.images.read(np.arange(8)) for design in designs if design]
    assert not torch.equal(drawn[0], drawn[1])


def test_the_first_population_names_nothing(tmp_path: Path) -> None:
    assert "population" not in data(0).canonical()
    assert "population" not in opened(tmp_path, 0).test_identity(TIED, 0, 0)


def test_files_have_no_other_population() -> None:
    with pytest.raises(ValueError, match="population draws other patients from a phantom"):
        DataSpec(folder="images", population=1)
