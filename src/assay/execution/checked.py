"""Whether all that a study asks for can be had, before anything is written: rows are chosen, no pixel is made.

Rows of the groups that mitigations and selections need among it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from assay.core.environment_spec import EnvironmentSpec
from assay.core.errors import UnfitError
from assay.core.registry import lookup
from assay.core.spec import RecipePoint, StudySpec
from assay.probes.probe import Probe
from assay.recipes.mitigations.labels import labels_for
from assay.recipes.mitigations.mitigation import build_mitigation
from assay.shifts.population import Population

SECONDS = 2.0
"""How long the rows of further seeds are chosen after those of the first."""

Check = Callable[[int], object]
"""Chooses rows of an environment for a seed. Raises SpecError, DataError or AssociationError when that cannot be."""


def check_rows(
    spec: StudySpec, population: Population, starts: Mapping[str, Population], seconds: float = SECONDS
) -> None:
    """Choose the rows of every distinct training and test environment, of the neutral ones that are used, and of the
    images of every source (`starts`: their populations by name).

    Every fold of the first seed is checked, then further seeds until `seconds` have passed: whether rows suffice hangs
    little on the seed, and a large grid is not to be waited for.
    Raises SpecError, DataError and AssociationError as the run would when it came to these rows, and UnfitError with
    the interventions of all environments that the images cannot carry.
    """
    checks = [*_source_checks(spec, starts), *_checks(spec, population)]
    refused: dict[str, tuple[Mapping[str, Any], str]] = {}
    for check in checks:
        try:
            check(spec.first_seed)
        except UnfitError as error:
            refused |= error.refused
    if refused:
        raise UnfitError(refused)
    end = time.monotonic() + seconds
    for seed in range(spec.first_seed + 1, spec.first_seed + spec.seeds):
        for check in checks:
            if time.monotonic() > end:
                return
            check(seed)


def _source_checks(spec: StudySpec, starts: Mapping[str, Population]) -> Iterator[Check]:
    for name, source in spec.sources.items():
        yield _source(starts[name], source.environment)


def _source(population: Population, environment: EnvironmentSpec) -> Check:
    return lambda seed: population.training(environment, seed)


def _checks(spec: StudySpec, population: Population) -> Iterator[Check]:
    trained: dict[str, list[RecipePoint]] = {}
    for point in spec.points:
        trained.setdefault(point.train.model_dump_json(), []).append(point)
    tested = {_tests_key(point): point for point in spec.points}
    neutral = _reads_neutral(spec)
    for fold in range(population.folds):
        for points in trained.values():
            yield _training(population, points, fold)
        for point in tested.values():
            yield _testing(population, point, fold, neutral=neutral)


def _training(population: Population, points: Sequence[RecipePoint], fold: int) -> Check:
    """The rows of a training environment, and of each group that a recipe trained on it needs."""
    grouped = [point.recipe for point in points if point.recipe.groups]
    ways = {(one.groups, one.mitigation.label, one.selection): one for one in grouped}

    def check(seed: int) -> None:
        training, validation = population.training(points[0].train, seed, fold)
        for recipe in ways.values():
            labels_for(recipe, build_mitigation(recipe), training, validation)

    return check


def _testing(population: Population, point: RecipePoint, fold: int, *, neutral: bool) -> Check:
    def check(seed: int) -> None:
        scene = population.scene(point.tests, seed, fold)
        for name in scene.names:
            scene.environment(name)
        if neutral or scene.changeable():
            scene.neutral()

    return check


def _tests_key(point: RecipePoint) -> str:
    return "\n".join(f"{name} {environment.model_dump_json()}" for name, environment in point.tests.items())


def _reads_neutral(spec: StudySpec) -> bool:
    return any(cast("type[Probe]", lookup("probe", probe.name).load()).scope == "neutral" for probe in spec.probes)
