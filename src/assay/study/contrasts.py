"""Compute the contrasts of a study, contrasts between factors of a recipe, and the tables of doses.

`carry_out_comparisons` returns the results of all planned comparisons by family; `compute_contrast` computes one. The
functions named `..._rows` return rows of tables.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from assay.core.files import canonical_json
from assay.core.measures import EFFECTS, direction_of
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.types import Direction, FactorTable
from assay.spec.comparisons import FIT
from assay.spec.environments import Borne, dose_axis, dosed_factors
from assay.spec.schema import AssociationSpec, ContrastSpec, EnvironmentSpec, RecipePoint, StudySpec
from assay.stats.bounds import MARGIN
from assay.stats.compare import (
    BudgetPanel,
    Contrast,
    contrast,
    linear_contrast,
    matched_fit,
    untested_contrast,
)
from assay.stats.decisions import DECIDING_COLUMNS, LOOK_ALPHA, RESULT_COLUMNS, Family, decide, mean_contrast
from assay.stats.doses import (
    DosePanel,
    TrainingSizePanel,
    dose_outcome,
    interaction,
    interaction_of_measures,
    matched_clean,
)
from assay.stats.measures import COMPUTED
from assay.stats.panel import MeasureBySeed, SeedPredictions
from assay.stats.rows import ALPHA, DOSES, MATCHED, RELIANCE
from assay.store.files import Row
from assay.study.families import (
    EXPLORATORY,
    PlannedComparison,
    Recipes,
    by_amount,
    common_doses,
    families,
    family_of,
    study_comparisons,
    with_pooled_variances,
)
from assay.study.gathered import Records, is_from_outputs, measure_of, panel_for, seed_values, why_not_measured
from assay.study.measurements import values_of_seeds

if TYPE_CHECKING:
    from assay.shifts.population import Population


# Comparisons along the doses, from the records of every dose: at any amount of data, or at matched performance.


class _ImpossibleComparison(Exception):
    """A comparison that cannot be made. `reason` is in its place."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def dose_response(records: Records, contrast: ContrastSpec, a: Recipes, b: Recipes) -> Contrast:
    """The interaction with the dose; undefined where a dose was not trained on both sides, or kept no seed."""
    try:
        sides = _by_dose([a, b])
        if is_from_outputs(contrast):
            first, second = ([_dose_panel(records, contrast, p, point) for p, point in side.items()] for side in sides)
            result = interaction(first, second, measure_of(contrast), contrast.margin)
        else:
            values = [
                # without contributions, errors are one at all p > 0, whose models meet the same samples
                [_require_values(records, contrast, point, f"{k} {p > 0}") for p, point in side.items()]
                for k, side in enumerate(sides)
            ]
            bounded = contrast.measure not in EFFECTS
            result = interaction_of_measures(values[0], values[1], contrast.margin, bounded=bounded)
    except _ImpossibleComparison as lost:
        return untested_contrast(lost.reason, contrast.margin)
    return (
        result
        if result.reason or result.seeds
        else untested_contrast(Reason.of(Code.NO_SEED_AT_EVERY_DOSE), contrast.margin)
    )


def matched_dose_response(records: Records, contrast: ContrastSpec, a: Recipes, b: Recipes) -> Contrast:
    """The interaction with the dose where both are equally good without; undefined where they never are."""
    sides = [by_amount(side) for side in (a, b)]
    if sides[0].keys() != sides[1].keys() or len(sides[0]) < 2:
        return untested_contrast(Reason.of(Code.ONE_AMOUNT), contrast.margin)
    try:
        doses = iter(_by_dose([recipes for side in sides for recipes in side.values()]))
        amounts = [[_training_size_panel(records, contrast, rows, next(doses)) for rows in side] for side in sides]
    except _ImpossibleComparison as lost:
        return untested_contrast(lost.reason, contrast.margin)
    return matched_clean(amounts[0], amounts[1], contrast.measure, contrast.margin)


def _training_size_panel(
    records: Records, contrast: ContrastSpec, rows: float, doses: Mapping[float, RecipePoint]
) -> TrainingSizePanel:
    clean = records.panel(doses[0.0], contrast.clean)
    if clean is None:
        raise _ImpossibleComparison(Reason.of(Code.NO_SEED_OF, recipe=doses[0.0].label))
    return TrainingSizePanel(rows, clean, [_dose_panel(records, contrast, p, point) for p, point in doses.items()])


def _by_dose(sides: Sequence[Recipes]) -> list[dict[float, RecipePoint]]:
    """The doses that all sides were trained at, ascending from 0, side by side."""
    axis, doses = dose_axis([point for side in sides for point in side]), common_doses(sides)
    if len(doses) < 2 or doses[0] != 0:
        raise _ImpossibleComparison(Reason.of(Code.ONE_DOSE))
    by_side = [{float(point.coordinates[axis]): point for point in side} for side in sides]
    return [{p: side[p] for p in doses} for side in by_side]


def _dose_panel(records: Records, contrast: ContrastSpec, p: float, point: RecipePoint) -> DosePanel:
    panel = panel_for(records, contrast, point)
    if panel is None:
        raise _ImpossibleComparison(why_not_measured(records, contrast, point))
    return DosePanel(p, panel)


def _require_values(records: Records, contrast: ContrastSpec, point: RecipePoint, factor: str = "") -> MeasureBySeed:
    by_seed = seed_values(records, point, contrast, factor)
    if by_seed is None:
        raise _ImpossibleComparison(why_not_measured(records, contrast, point))
    return by_seed


# The contrasts of a study, computed from its records.


def carry_out_comparisons(
    records: Records, prespecified_ids: Collection[str], known_results: Mapping[str, Contrast] | None = None
) -> list[Family]:
    """Carry out the comparisons of a study: primary families first, then secondary ones and controls.

    Only comparisons that were stated beforehand (by `PlannedComparison.id`) are in families of the study. Exploratory
    ones form one of their own. Primary families of a study with looks are tested at the level of a look.

    Args:
        records: Records of the study.
        prespecified_ids: Ids of comparisons.
        known_results: Results of comparisons that were carried out already, by id.
    """
    alpha = LOOK_ALPHA if records.plan.spec.looks else ALPHA
    known = known_results or {}
    results = [
        (pair, known.get(pair.id) or compute_contrast(records, pair)) for pair in study_comparisons(records.plan.spec)
    ]
    prespecified = with_pooled_variances([result for result in results if result[0].id in prespecified_ids])
    # Exploratory contrasts are moderated by all, and change the variance of no pre-specified one.
    exploratory = [result for result in with_pooled_variances(results) if result[0].id not in prespecified_ids]
    prespecified_families = [
        family_of(name, family, alpha if family[0][0].contrast.role == "primary" else ALPHA)
        for name, family in families(prespecified)
    ]
    return [*prespecified_families, *([family_of(EXPLORATORY, exploratory)] if exploratory else [])]


def compute_contrast(records: Records, pair: PlannedComparison) -> Contrast:
    """One comparison; where it cannot be made, a NaN with the reason."""
    return replace(_compute_contrast(records, pair), direction=_direction(records, pair))


def _direction(records: Records, pair: PlannedComparison) -> Direction:
    """Return which direction is better: as the measure is defined, or as its probe declares."""
    name = measure_of(pair.contrast)
    if name in COMPUTED:
        return direction_of(name)
    measured = (
        (measurements, key) for measurements in map(records.measurements, (*pair.a, *pair.b)) for key in measurements
    )
    return next((measurements.column(key, "direction")[0] for measurements, key in measured if key[0] == name), "none")


def _compute_contrast(records: Records, pair: PlannedComparison) -> Contrast:
    spec = pair.contrast
    if pair.members:
        return mean_contrast([_compute_contrast(records, member) for member in pair.members], spec.margin)
    if spec.at == DOSES:
        return dose_response(records, spec, pair.a, pair.b)
    if spec.at == MATCHED:
        return matched_dose_response(records, spec, pair.a, pair.b)
    if spec.at == FIT:
        curves = [_budget_curve(records, recipes, spec.environment) for recipes in (pair.a, pair.b)]
        if curves[0] is None or curves[1] is None:
            return untested_contrast(Reason.of(Code.NO_SEED_AT_EVERY_BUDGET), spec.margin)
        return matched_fit(curves[0], curves[1], spec.measure, spec.margin)
    a, b = pair.a[0], pair.b[0]
    if is_from_outputs(spec):
        panels = [panel_for(records, spec, point) for point in (a, b)]
        if panels[0] is None or panels[1] is None:
            return untested_contrast(why_not_measured(records, spec, a if panels[0] is None else b), spec.margin)
        result = contrast(panels[0], panels[1], measure_of(spec), spec.margin)
    else:
        try:
            sides = [_require_values(records, spec, point) for point in (a, b)]
        except _ImpossibleComparison as lost:
            return untested_contrast(lost.reason, spec.margin)
        result = linear_contrast(sides, np.array([1.0, -1.0]), spec.margin)
    seeds_kept = {seed for point in (a, b) for seed in records.kept_seeds(point)}
    return replace(result, left_out=len(seeds_kept) - result.seeds)


def _budget_curve(records: Records, recipes: Sequence[RecipePoint], environment: str) -> list[BudgetPanel] | None:
    budgets: list[BudgetPanel] = []
    for point in sorted(recipes, key=lambda recipe: recipe.recipe.epochs):
        panel = records.panel(point, environment)
        if panel is None:
            return None
        budgets.append(BudgetPanel(panel, records.yardsticks(point, panel.seed_ids)))
    return budgets


# Paired contrasts between the factors that one recipe relies on: is its greatest factor above each of the others?
#
# The values of two factors are of the same models, so that the difference is taken per seed. Factors are ranked by the
# means that are then tested. Holm corrects over the other factors, and a factor is the greatest where all are rejected.


def reliance_rows(records: Records, point: RecipePoint) -> list[Row]:
    """Rows of `schema.RELIANCE_CONTRASTS` of a recipe, by every measure of reliance that has more than one factor."""
    return [
        row
        for measure in RELIANCE
        for row in _rows_against_strongest(point, measure, _strongest_values(records, point, measure))
    ]


def change_rows(records: Records, point: RecipePoint) -> list[Row]:
    """Rows of `schema.CONDITION_CHANGES` of a recipe; none without a test condition that changes nothing.

    Only conditions that set the association of one factor to 0, and nothing else, are compared with it: in any other
    one performance would change, or stay, for another reason.
    """
    first = next((name for name, test in point.tests.items() if test == EnvironmentSpec()), "")
    unchanged = records.panel(point, first) if first else None
    if unchanged is None:
        return []
    measure, rows = "dice" if point.recipe.task == "segmentation" else _auroc_name(unchanged), list[Row]()
    for name in point.tests:
        test, associations = point.tests[name], point.tests[name].association
        without_associations = {
            factor: AssociationSpec(strength=0.0, high=association.high) for factor, association in associations.items()
        }
        if len(associations) != 1 or test != EnvironmentSpec(association=without_associations):
            continue
        panel = records.panel(point, name)
        if panel is None:
            continue
        change = contrast(panel, unchanged, measure, MARGIN)
        numbers = {field: getattr(change, field) for field in ("value", "low", "high", "margin", "seeds", "patients")}
        rows.append({**point.columns, "factor": next(iter(associations)), "environment": name, "against": first,
                     "measure": measure, **numbers, "reason": str(change.reason)})  # fmt: skip
    return rows


def _strongest_values(records: Records, point: RecipePoint, measure: str) -> dict[str, MeasureBySeed]:
    """Values per seed of every factor where its mean is greatest, the strongest factor first."""
    strongest: dict[str, MeasureBySeed] = {}
    measurements = records.measurements(point)
    for key in measurements:
        name, _, factor, _, _, group = key
        if name != measure or group:
            continue
        values = values_of_seeds(measurements[key], factor)
        if values.reason:
            continue
        if factor not in strongest or values.values.mean() > strongest[factor].values.mean():
            strongest[factor] = values
    return dict(sorted(strongest.items(), key=lambda item: -item[1].values.mean()))


def _rows_against_strongest(point: RecipePoint, measure: str, by_factor: Mapping[str, MeasureBySeed]) -> list[Row]:
    if len(by_factor) < 2:
        return []
    (factor, first), *others = by_factor.items()
    results = [linear_contrast([first, other], np.array([1.0, -1.0])) for _, other in others]
    return [
        {
            **point.columns,
            "measure": measure,
            "factor": factor,
            "against": against,
            **{name: getattr(result, name) for name in RESULT_COLUMNS[:7]},
            **{name: getattr(decision, name) for name in DECIDING_COLUMNS},
            "reason": str(result.reason),
        }
        for (against, _), result, decision in zip(others, results, decide(results), strict=True)
    ]


# Images of each class with the confounder in training, over all seeds.


def dose_count_rows(spec: StudySpec, population: Population) -> list[Row]:
    """Rows of `data_tables.DOSE_COUNTS`: of each dose of each confounder and amount of data, whatever else a recipe is;
    of the first fold. None of a confounder that is a number or ordinal (see `rows_with_confounder`).
    """
    axis = dose_axis(spec.points)
    factors = dosed_factors(spec.points, axis) if axis else {}
    first_points: dict[str, tuple[RecipePoint, Borne]] = {}
    for point in spec.points:
        if point.label in factors:
            first_points.setdefault(
                canonical_json([factors[point.label], point.train.for_training()]), (point, factors[point.label])
            )
    return [
        row for point, factor in first_points.values() for row in _count_rows_by_dose(spec, population, point, *factor)
    ]


def _count_rows_by_dose(
    spec: StudySpec, population: Population, point: RecipePoint, factor: str, high: tuple[str, ...]
) -> Iterator[Row]:
    seeds = range(spec.first_seed, spec.first_seed + spec.seeds)
    tables = [population.training(point.train, seed)[0].table for seed in seeds]
    rows_with_confounder_by_seed = [rows_with_confounder(table, factor, high) for table in tables]
    for code, name in enumerate(population.classes):
        class_counts = [int(np.sum(table.target == code)) for table in tables]
        pairs = zip(rows_with_confounder_by_seed, tables, strict=True)
        confounder_counts = [int(np.sum(rows & (table.target == code))) for rows, table in pairs if rows is not None]
        if not confounder_counts:
            return
        yield {
            **point.columns,
            "factor": factor,
            "target": name,
            "least": min(confounder_counts),
            "most": max(confounder_counts),
            "fewest_images": min(class_counts),
            "most_images": max(class_counts),
        }


def rows_with_confounder(table: FactorTable, factor: str, high: tuple[str, ...]) -> Bool[np.ndarray, "n"] | None:
    """Which rows bear a confounder: marked, or with a high level of the factor; none where it is not in the table.

    None for a number or an ordinal factor: every row has more or less of it, and none bears it.
    """
    from assay.shifts.association import with_high_levels

    if factor not in table.columns:
        return np.zeros(len(table), dtype=bool)
    with_levels = with_high_levels(table.factor(factor), high)
    return with_levels.numbers(table.columns[factor]) > 0 if with_levels.kind == "categorical" else None


# Change of the measures with the dose, by recipe and confounder.

ByDose = Mapping[float, RecipePoint]


def _dose_panels(records: Records) -> Iterator[tuple[Row, ByDose, list[DosePanel], Reason]]:
    """Yield each recipe in each environment: its columns, its doses, their panels, and why there is none of one."""
    points = records.plan.spec.points
    axis = dose_axis(points)
    for doses in doses_by_recipe(points, axis) if axis else ():
        for environment in doses[0.0].tests:
            panels = {p: records.panel(point, environment) for p, point in doses.items()}
            missing = [doses[p].label for p, panel in panels.items() if panel is None]
            reason = Reason.of(Code.NO_SEED_OF, recipe=missing[0]) if missing else NO_REASON
            doses_kept = [DosePanel(p, panel) for p, panel in panels.items() if panel is not None]
            yield {**place(doses, axis), "axis": axis, "environment": environment}, doses, doses_kept, reason


def doses_by_recipe(points: Sequence[RecipePoint], axis: str) -> list[ByDose]:
    """The doses of every recipe that was trained at p = 0 and another, ascending."""
    by_place: dict[tuple[tuple[str, str], ...], dict[float, RecipePoint]] = {}
    for point in points:
        rest = tuple(item for item in point.coordinates.items() if item[0] != axis)
        by_place.setdefault(rest, {})[float(point.coordinates[axis])] = point
    return [dict(sorted(doses.items())) for doses in by_place.values() if 0.0 in doses and len(doses) > 1]


def place(points: ByDose, axis: str) -> Row:
    """A recipe's label without its dose."""
    rest = {name: value for name, value in points[0.0].coordinates.items() if name != axis}
    return {"recipe": " · ".join(rest.values()) or points[0.0].recipe.loss.label, "coordinates": json.dumps(rest)}


def dose_measures(records: Records) -> list[str]:
    """AUROC, and those of the measures compared along doses of which more is better."""
    spec = records.plan.spec
    panels = (records.panel(point, environment) for point in spec.points for environment in point.tests)
    first = next((panel for panel in panels if panel is not None), None)
    dose_contrast_measures = [contrast.measure for contrast in spec.contrasts if contrast.at in (DOSES, MATCHED)]
    higher_is_better = [name for name in dose_contrast_measures if name in COMPUTED and direction_of(name) == "higher"]
    return list(dict.fromkeys([*higher_is_better, "auroc" if first is None else _auroc_name(first)]))


def _auroc_name(panel: SeedPredictions) -> str:
    """Return the AUROC that is defined for the number of classes."""
    return "auroc-macro" if panel.scores.shape[2] > 2 else "auroc"


def dose_change_rows(records: Records) -> list[Row]:
    """Rows of `schema.DOSE_CHANGES`; none in a study that has no axis of doses with 0 and another."""
    rows: list[Row] = []
    for columns, doses, doses_kept, reason in _dose_panels(records):
        for measure in dose_measures(records):
            result = untested_contrast(reason) if reason else dose_outcome(doses_kept, measure)
            seeds: list[int] = (
                [] if reason else reduce(np.intersect1d, [dose.panel.seed_ids for dose in doses_kept]).tolist()
            )
            rows.append(
                {
                    **columns,
                    "doses": json.dumps([p for p in doses if p]),
                    "measure": measure,
                    **{name: getattr(result, name) for name in ("value", "low", "high", "seeds", "patients")},
                    "per_seed": json.dumps(dict(zip(seeds, result.per_seed.tolist(), strict=True))),
                    "reason": str(result.reason),
                }
            )
    return rows
