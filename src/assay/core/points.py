"""Each point of the grid as a recipe, a training environment and test environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.core.axes import Axis
from assay.core.document import mapping_of
from assay.core.dose import written_out
from assay.core.environment_section import environment
from assay.core.environments import not_inherited, resolve_environments
from assay.core.grid import Point, settle
from assay.core.problems import Problems
from assay.core.sampled import Factors
from assay.core.spec import RecipePoint
from assay.core.surface import recipe


def grid_points(
    values: Mapping[str, Any], axes: Sequence[Axis], grid: Sequence[Point], problems: Problems, factors: Factors
) -> list[tuple[RecipePoint, Problems]]:
    """The points in order, each with a collection of problems that knows where its values were written. Those with a
    problem are left out; the problem is noted. factors: of the data, which a dose may be of.
    """
    environments = mapping_of(values.get("environments"))
    if environments is None or "train" not in environments or len(environments) < 2:
        expected = "expected `train` and at least one environment to test on, such as {train: {}, same: {like: train}}"
        problems.add(("environments",), values.get("environments", ""), expected)
        return []
    made = [_point(settle(values, point.settings), point, problems, factors) for point in grid]
    points = [placed for placed in made if placed is not None]
    _refuse_twins([point for point, _ in points], axes, problems)
    return points


def _point(
    values: Mapping[str, Any], point: Point, problems: Problems, factors: Factors
) -> tuple[RecipePoint, Problems] | None:
    here = problems.at(point.origins)
    made_from, inherited = resolve_environments(values["environments"], here)
    here = problems.at({**{heir: here.source(parent) for heir, parent in inherited.items()}, **point.origins})
    how = recipe(values.get("recipe"), ("recipe",), here)
    dosed_well, partial = True, not_inherited(here)
    for name, given in made_from.items():
        at = ("environments", name)
        made_from[name], written, well = written_out(given, at, here, factors, partial=name in partial)
        dosed_well &= well
        here = problems.at({**{made: here.source(at) for made, at in written.items()}, **here.origins})
    environments = {name: environment(given, ("environments", name), here) for name, given in made_from.items()}
    split_well = _check_splits(values["environments"], here)
    whole = {name: made for name, made in environments.items() if made is not None}
    if how is None or len(whole) < len(environments) or not (split_well and dosed_well):
        return None
    train = whole.pop("train").model_copy(update={"split": "train"})
    return RecipePoint(coordinates=point.coordinates, recipe=how, train=train, tests=whole), here


def _check_splits(environments: Mapping[str, Any], problems: Problems) -> bool:
    """Whether `train` alone is made from training rows; it is like no other environment."""
    train = mapping_of(environments["train"]) or {}
    if "like" in train:
        problems.add(("environments", "train", "like"), train["like"], "others are like 'train'; it stands by itself")
    if train.get("split", "train") == "test":
        problems.add(("environments", "train", "split"), "test", "environment 'train' is made from training rows")
    if train.get("crop"):
        what = "crop is for environments to test on: what is trained on are whole images"
        problems.add(("environments", "train", "crop"), train["crop"], what, "leave it out")
    tests = {name: mapping_of(given) or {} for name, given in environments.items() if name != "train"}
    wrong = [name for name, given in tests.items() if given.get("split") == "train"]
    for name in wrong:
        what = "every environment but 'train' is made from test rows: models have seen the training rows"
        problems.add(("environments", name, "split"), "train", what, "leave `split` out")
    fewer = [name for name, given in tests.items() if given.get("rows") is not None]
    for name in fewer:
        what = "rows: how many rows are trained on; a test environment keeps all of its own"
        problems.add(("environments", name, "rows"), tests[name]["rows"], what, "leave it out")
    return not wrong and not fewer


def _refuse_twins(points: Sequence[RecipePoint], axes: Sequence[Axis], problems: Problems) -> None:
    """Two points that are the same but for the spelling, such as `supcon` and `supcon` with its default temperature.

    Points that train the same and are tested otherwise are not: p = 0 of two confounders.
    """
    seen: dict[str, RecipePoint] = {}
    for point in points:
        made = (point.recipe, point.train, *point.tests.values())
        what = "\n".join(part.model_dump_json() for part in made)
        twin = seen.setdefault(what, point)
        axis = next((axis for axis in axes if twin.coordinates[axis.name] != point.coordinates[axis.name]), None)
        if axis is not None:  # a value that stands twice on its axis under one label has been told there
            same = f"'{twin.coordinates[axis.name]}' and '{point.coordinates[axis.name]}'"
            problems.add(axis.paths[0], "", f"the values {same} of this axis are the same; keep one")


def marked(points: Sequence[RecipePoint]) -> list[str]:
    """The names of all interventions, each once."""
    environments = [made for point in points for made in (point.train, *point.tests.values())]
    return list(dict.fromkeys(name for made in environments for name in made.interventions))
