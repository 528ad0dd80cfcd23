"""What a contrast needs of the axes that it runs along: budgets, doses, or amounts of training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.core.axes import Axis, resolve
from assay.core.document import Keys, dotted
from assay.core.dose import CONFOUNDER_PATH, P_PATH, ROWS_PATH, dose_axis, dosed_factors
from assay.core.errors import nearest
from assay.core.measures import BY_MOVING, DOSED, MEASURES, OF_WORST_GROUP, SHARES
from assay.core.points import marked
from assay.core.problems import Problems, shorten
from assay.core.spec import ContrastSpec, RecipePoint

CONFOUNDER = "confounder"
"""As the `factor` of a contrast: whichever confounder a recipe is trained with a dose of."""
Fixed = Mapping[str, set[str]]
"""Axis -> the labels that a contrast's `where` leaves."""


def check_levels(contrast: ContrastSpec, axis: Axis, keys: Keys, problems: Problems) -> None:
    """The values that alone are compared lie on the axis, and none is the one that it is compared with."""
    others = [name for name in axis.labels if name != contrast.against]
    for name in contrast.levels:
        if name not in others:
            near = nearest(name, others)
            what = f"not on axis '{axis.name}' beside '{contrast.against}': {shorten(others) or 'none'}"
            problems.add((*keys, "levels"), name, what, f"did you mean '{near}'?" if near else "")


def check_along(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, problems: Problems) -> None:
    """The axes that `at` speaks of are there, whole and free, and the measure can be compared along them."""
    if contrast.at == "matched-fit":
        _check_budgets(contrast, axes, fixed, keys, problems)
    if contrast.at in ("dose-response", "matched-clean"):
        _check_doses(contrast, axes, fixed, keys, problems)
    if contrast.at == "matched-clean":
        _check_amounts(contrast, axes, fixed, keys, problems)
    elif contrast.clean:
        what = f"at {contrast.at} nothing is matched on clean images"
        problems.add((*keys, "clean"), contrast.clean, what, "leave it out, or compare `at: matched-clean`")


def per_confounder(
    contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[Axis], drawn: bool
) -> tuple[ContrastSpec, ...]:
    """What a contrast with `factor: confounder` is short for: one of each confounder that is dosed, which holds it.

    The contrast itself where its factor is another, or nothing is dosed. drawn: whether images are, so that any factor
    can be moved and all else kept; of images from files only what is put on them can, and what is chosen by their rows
    is left out where the measure asks for that.
    """
    each = _each_confounder(contrast, points, axes)
    if contrast.measure in BY_MOVING and not drawn:
        each = [one for one in each if one.factor in marked(points)]
    return tuple(each) or (contrast,)


def _each_confounder(contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[Axis]) -> list[ContrastSpec]:
    """The same, whatever the measure asks for."""
    doses = dose_axis(points)
    if contrast.factor != CONFOUNDER or not doses:
        return []
    confounders = resolve(dotted(CONFOUNDER_PATH), axes)
    name = confounders.name if confounders else ""
    dosed = dosed_factors(points, doses)
    factors = {point.coordinates.get(name, ""): dosed[point.label][0] for point in points if point.label in dosed}
    held = _confounder_held(contrast, axes)
    where = {
        key: value for key, value in contrast.where.items() if not confounders or resolve(key, axes) != confounders
    }
    return [
        contrast.model_copy(update={"factor": factor, "where": {**where, **({name: level} if name else {})}})
        for level, factor in factors.items()
        if held <= {level}
    ]


def confounder_of(
    contrast: ContrastSpec,
    points: Sequence[RecipePoint],
    axes: Sequence[Axis],
    drawn: bool,
    keys: Keys,
    problems: Problems,
) -> ContrastSpec | None:
    """The contrast to check: the first of those that one with `factor: confounder` is short for, as `per_confounder`
    says. None, and a problem noted, where it is short for none; a measure of no factor is checked as written.
    """
    measure = MEASURES.get(contrast.measure)
    if contrast.factor != CONFOUNDER or (measure is not None and "factor" not in measure.needs):
        return contrast
    short_for = per_confounder(contrast, points, axes, drawn)
    if short_for != (contrast,):
        return short_for[0]
    at: Keys = (*keys, "factor")
    if not dose_axis(points):
        what = "stands for each confounder along its doses, and this study has no list of them"
        problems.add(at, CONFOUNDER, what, "such as environments.train.dose: {confounder: tag, p: [0, 0.5, 1]}")
    elif _each_confounder(contrast, points, axes):
        needed = f"'{contrast.measure}' needs a confounder that is put on images"
        problems.add(at, CONFOUNDER, f"{needed}; those that are meant are chosen by rows", left_out(keys))
    elif _confounder_held(contrast, axes) <= {label for axis in axes for label in axis.labels}:
        what = "leaves no recipe that is trained with a dose of a confounder"
        problems.add((*keys, "where"), dict(contrast.where), what, left_out(keys))
    else:
        return contrast  # a value that is not on the axis, which is told when `where` is checked
    return None


def _confounder_held(contrast: ContrastSpec, axes: Sequence[Axis]) -> set[str]:
    """Where a contrast holds the axis of confounders."""
    confounders = resolve(dotted(CONFOUNDER_PATH), axes)
    return {value for key, value in contrast.where.items() if confounders and resolve(key, axes) == confounders}


def left_out(keys: Keys) -> str:
    """How a contrast is left out of a study."""
    return f"--set {'.'.join(map(str, keys))}=null leaves this contrast out"


def _check_budgets(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, problems: Problems) -> None:
    """Along `epochs`, by what is measured of all images."""
    budget = resolve("epochs", axes)
    if budget is None or len(budget.labels) < 2 or len(fixed.get(budget.name, budget.labels)) < 2:
        remedy = f"give recipe.epochs a list, and leave it out of this contrast's `where`; {left_out(keys)}"
        problems.add((*keys, "at"), "matched-fit", "matched-fit compares along several budgets", remedy)
    measure = MEASURES.get(contrast.measure)
    if measure is not None and (measure.probe != "performance" or measure.name in OF_WORST_GROUP):
        what = f"matched-fit compares performance on all images, which '{contrast.measure}' is not"
        problems.add((*keys, "measure"), contrast.measure, what, "compare it at equal budget, or along doses")


def _check_doses(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, problems: Problems) -> None:
    """Along `p` from 0, whatever the axis compared, by a measure of which the change means something."""
    doses = resolve(dotted(P_PATH), axes)
    at: Keys = (*keys, "at")
    if doses is None or len(doses.paths) > 1 or len(doses.labels) < 2 or "0" not in doses.labels:
        remedy = f"such as environments.train.dose: {{confounder: tag, p: [0, 0.5, 1]}}; {left_out(keys)}"
        what = f"{contrast.at} compares along the doses p: an axis with 0 and another"
        problems.add(at, contrast.at, what, remedy)
    elif doses.name == contrast.axis or doses.name in fixed:
        remedy = f"compare along another axis, and leave {doses.name} out of `where`; {left_out(keys)}"
        problems.add(at, contrast.at, f"{contrast.at} runs over all of {doses.name}", remedy)
    allowed = SHARES if contrast.at == "matched-clean" else DOSED
    if contrast.measure not in allowed and (contrast.measure in MEASURES or not nearest(contrast.measure, MEASURES)):
        what = f"{contrast.at} is claimed on the probit scale too, which '{contrast.measure}' has not"
        if contrast.measure in DOSED:
            what = f"{contrast.at} matches performance on all images, which '{contrast.measure}' is not"
        problems.add((*keys, "measure"), contrast.measure, what, f"{contrast.at} takes {shorten(allowed)}")


def _check_amounts(contrast: ContrastSpec, axes: Sequence[Axis], fixed: Fixed, keys: Keys, problems: Problems) -> None:
    """Along `rows` of the training environment, and matched in a test environment that is named."""
    amounts = resolve(dotted(ROWS_PATH), axes)
    at: Keys = (*keys, "at")
    if (
        amounts is None
        or len(amounts.paths) > 1
        or len(amounts.labels) < 2
        or not all(map(str.isdigit, amounts.labels))
    ):
        remedy = f"such as environments.train.rows: [100, 300, 1000]; {left_out(keys)}"
        what = "matched-clean compares along amounts of training rows: an axis of at least two numbers"
        problems.add(at, contrast.at, what, remedy)
    elif amounts.name == contrast.axis or amounts.name in fixed:
        remedy = f"compare along another axis, and leave {amounts.name} out of `where`; {left_out(keys)}"
        problems.add(at, contrast.at, f"matched-clean runs over all of {amounts.name}", remedy)
    if not contrast.clean:
        what = "matched-clean needs `clean`, the test environment without the confounder"
        problems.add(
            keys, "", what, "such as clean: {like: train, dose: {p: 0}} in environments, and clean: clean here"
        )
