"""Each point of the grid as a recipe, a training environment and test environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.checks import check_environment
from assay.core.environments import resolve_environments
from assay.core.factors import known_factors
from assay.core.grid import Point, settle
from assay.core.problems import Problems, mapping_of
from assay.core.spec import DataSpec, RecipePoint
from assay.core.surface import environment, recipe


def grid_points(
    values: Mapping[str, Any], grid: Sequence[Point], data: DataSpec | None, problems: Problems
) -> list[RecipePoint]:
    """The points in order. Those with a problem are left out; the problem is noted."""
    environments = mapping_of(values.get("environments"))
    if environments is None or "train" not in environments or len(environments) < 2:
        expected = "expected `train` and at least one environment to test on, such as {train: {}, same: {like: train}}"
        problems.add(("environments",), values.get("environments", ""), expected)
        return []
    made = [_point(settle(values, point.settings), point, data, problems) for point in grid]
    points = [point for point in made if point is not None]
    _refuse_twins(points, problems)
    return points


def _point(values: Mapping[str, Any], point: Point, data: DataSpec | None, problems: Problems) -> RecipePoint | None:
    here = problems.at(point.origins)
    made_from, inherited = resolve_environments(values["environments"], here)
    here = problems.at({**{heir: here.source(parent) for heir, parent in inherited.items()}, **point.origins})
    how = recipe(values.get("recipe"), ("recipe",), here)
    environments = {name: environment(given, ("environments", name), here) for name, given in made_from.items()}
    _check_train(made_from["train"], here)
    whole = {name: made for name, made in environments.items() if made is not None}
    if data is not None:
        for name, made in whole.items():
            check_environment(name, made, data, known_factors(data), here)
    if how is None or len(whole) < len(environments):
        return None
    train = whole.pop("train").model_copy(update={"split": "train"})
    return RecipePoint(coordinates=point.coordinates, recipe=how, train=train, tests=whole)


def _check_train(given: Any, problems: Problems) -> None:
    fields = mapping_of(given) or {}
    if fields.get("split", "train") != "train":
        problems.add(
            ("environments", "train", "split"), fields["split"], "environment 'train' is made from split train"
        )
    if "like" in fields:
        problems.add(("environments", "train", "like"), fields["like"], "others are like 'train'; it stands by itself")


def _refuse_twins(points: Sequence[RecipePoint], problems: Problems) -> None:
    """Two points that are the same but for the spelling, such as `supcon` and `supcon` with its default temperature."""
    seen: dict[str, RecipePoint] = {}
    for point in points:
        what = point.recipe.model_dump_json() + point.train.model_dump_json()
        twin = seen.setdefault(what, point)
        if twin is not point:
            axis = next(name for name, text in point.coordinates.items() if twin.coordinates[name] != text)
            same = f"'{twin.coordinates[axis]}' and '{point.coordinates[axis]}'"
            problems.add((), "", f"values {same} of axis '{axis}' are the same; keep one")


def marked(points: Sequence[RecipePoint]) -> list[str]:
    """The names of all interventions, each once."""
    environments = [made for point in points for made in (point.train, *point.tests.values())]
    return list(dict.fromkeys(name for made in environments for name in made.interventions))
