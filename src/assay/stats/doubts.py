"""Cautions about a study and its limits, as findings: trials, collapses, leakage, associations, seeds, gaps."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from assay.core.measures import better, range_of
from assay.core.reasons import NO_REASON, Code, Reason, reason_of
from assay.stats.bounds import share_upper_bound
from assay.stats.findings import Finding, Kind, add_ids, finding_row
from assay.stats.measures import COMPUTED
from assay.stats.rows import (
    CONFOUNDER,
    CONTROLS,
    FEW_PATIENTS,
    FIRST_SIGN_BELOW_SEEDS,
    MATCHED,
    MIN_SEEDS,
    WITHIN_MARGIN,
    ResultKey,
    Row,
    add_trial_counts,
    compared_estimates,
    has_too_few_seeds,
    is_open,
    is_undefined,
    json_object,
    numeric,
    over_doses,
    result_key,
    row_interval,
    shows_difference,
    text_of,
)

WIDE_BELOW_SEEDS = 8
FAR = 0.001
"""A p-value under this lies beyond what was simulated: whether p = 0.05 holds is what docs/statistics.md shows."""
FAR_UNDER_SEEDS = 5
"""Under so many seeds p may rest on a variance that is small by chance, and on many degrees of freedom for it."""
OUTLIER_LIMIT = 4
"""Robust standard deviations from the other seeds of its recipe from which on a seed is doubted."""
NORMAL_QUARTILE = 0.6745
"""The median distance of normal values from their median, in standard deviations."""
MIN_DISTANCES = 8
"""Fewer distances than this give no robust standard deviation."""
MIN_SPREAD = 0.005
"""Share of a measure's range that counts as a robust standard deviation at least. Seeds that agree to the last digit
have none, and four times this, 0.02, is the least difference that values with two decimals surely show."""
OUTLIER_GAP = 0.2
"""Share of a measure's range beyond which a seed is doubted where too few distances give a standard deviation."""
FOLD_ERROR_RATE = 0.0833
"""The greatest share of true null hypotheses with p < 0.05 in simulated repeated k-fold (docs/statistics.md)."""
Split = Literal["", "shares", "column"]
"""How training rows of all seeds come from one pool; empty where each seed has rows of its own, or folds."""
ONE_POOL_ERROR_RATES: dict[Split, float] = {"shares": 0.0612, "column": 0.0617}
"""The same share of such splits, simulated."""
ASSOCIATION_TOLERANCE = 0.05
MAX_OF_A_KIND = 3
"""Cautions of one kind that are a line each. Of more, these are named in one line and the others counted."""
SHARES_CALLED_RIGHT, NEARLY_NONE = ("sensitivity", "specificity"), 0.05
"""Shares of both classes that are called right, and a share that is close to none of a class."""
MATCHED_METHODS = ("matched-fit", MATCHED)
"""How comparisons are made that accompany one at equal budget or of all amounts."""
AUROC_MEASURES = ("auroc", "auroc-macro", "auroc-referable")
"""Measures of which chance is 0.5 whatever the data."""


def study_findings(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    trials: Sequence[Row] = (),
    environments: Sequence[Row] = (),
    seeds: tuple[int, int] | None = None,
    dose_axis: str = "",
    cautions: Sequence[Reason] = (),
    *,
    split: Split = "",
) -> list[Finding]:
    """Return the limits and cautions of a study, in the order in which they are read.

    Args:
        contrasts: Rows of the table; so are estimates, trials and environments.
        estimates: See contrasts.
        trials: See contrasts.
        environments: See contrasts.
        seeds: How many were planned when results first existed, and how many now.
        dose_axis: The axis of the doses, or empty.
        cautions: Further remarks on the data.
        split: How the training rows of all seeds come from one pool.
    """
    contrasts = add_trial_counts(contrasts, trials)
    findings = [
        *limit_findings(contrasts, estimates),
        *_trial_findings(trials),
        *findings_of_reasons(cautions),
        *_association_findings(environments),
        *_uneven_row_findings(environments, trials, dose_axis),
        *_chance_findings(estimates, dose_axis),
        *_one_class_findings(estimates),
        *_end_of_scale_findings(contrasts),
        *_few_patient_findings(contrasts),
        *_rare_patient_findings(contrasts),
        *_seed_findings(contrasts, estimates),
        *_changed_seed_findings(seeds),
        *_extreme_p_findings(contrasts),
        *_fold_findings(contrasts, trials),
        *_one_pool_findings(contrasts, trials, split),
        *_undefined_contrast_findings(contrasts),
    ]
    return add_ids(findings)


def _caution(reason: Reason, table: str = "", *, kind: Kind = "caution", row: Row | None = None) -> Finding:
    """Return a caution. row: the contrast that is its evidence, if one is."""
    id = "" if row is None else text_of(row, "id")
    return Finding(kind, reason.codes[0].light, reason, "contrasts" if id else table, id)


_LEAKAGE_CODES = (
    Code.PARTS_SHARED, Code.COPY_CLUSTERS, Code.COPIES_OF_ONE_PATIENT, Code.COPIES_SUSPECTED, Code.COPIES_BETWEEN_SETS,
    Code.SUSPECTED_BETWEEN_SETS, Code.COPIES_UNCHECKED, Code.NO_COPIES, Code.DRAWN_IMAGES, Code.PATIENTS_UNKNOWN,
)  # fmt: skip
_KIND_OF_CODE: dict[Code, Kind] = {Code.PLAIN_SIGHT: "shortcut", **dict.fromkeys(_LEAKAGE_CODES, "leakage")}
"""Kind of what is found in the images; others are cautions."""


def findings_of_reasons(reasons: Sequence[Reason]) -> list[Finding]:
    """Return what is known of the images as findings, each with the light of its code; many of one kind are one."""
    by_code: dict[object, list[Reason]] = {}
    for at, reason in enumerate(reasons):
        code = reason.codes[0]
        by_code.setdefault(at if code in (Code.FREE_TEXT, Code.ODD_IMAGES) else code, []).append(reason)
    merged: list[Reason] = []
    for alike in by_code.values():
        more = len(alike) - MAX_OF_A_KIND
        merged += (
            [sum(alike[:MAX_OF_A_KIND], NO_REASON) + Reason.of(Code.MORE_OF_A_KIND, count=more)] if more > 0 else alike
        )
    return [_caution(reason, kind=_KIND_OF_CODE.get(reason.codes[0], "caution")) for reason in merged]


def caution_rows(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """Return what is known of the images as rows of `schema.FINDINGS`."""
    return list(map(finding_row, add_ids(findings_of_reasons(reasons))))


_EXTREME_CODES = (Code.PREDICTS_NOTHING, Code.PREDICTS_EVERYTHING)


def _trial_findings(trials: Sequence[Row]) -> list[Finding]:
    if not trials:
        return []
    kinds = ("failed", "pending", "collapsed", "diverged")
    by_status = {status: [row for row in trials if row.get("status") == status] for status in kinds}
    failed, pending = len(by_status["failed"]), len(by_status["pending"])
    failures = [
        _lost_run(status, by_status[status], trials) for status in ("collapsed", "diverged") if by_status[status]
    ]
    finished: list[Finding] = []
    if failed or pending:
        reason = Reason.of(Code.MISSING_TRIALS, failed=failed, pending=pending, of=len(trials))
        finished = [_failure(reason)]
    elif not failures:
        finished = [_failure(Reason.of(Code.ALL_FINISHED, count=len(trials)))]
    done = any(row.get("status") == "done" for row in trials)
    extreme = [
        *_extreme_findings(trials, Code.PREDICTS_NOTHING, Code.SILENT_TRIALS),
        *_extreme_findings(trials, Code.PREDICTS_EVERYTHING, Code.LOUD_TRIALS),
    ]
    sound = [row for row in trials if row.get("status") == "done" and not reason_of(row).first(*_EXTREME_CODES)]
    none = [_failure(Reason.of(Code.NONE_COLLAPSED))] if sound and not extreme else []
    if done and not sound:
        none = [_failure(Reason.of(Code.NONE_WORKS, of=len(trials)))]
    unsound = [*by_status["collapsed"], *by_status["diverged"]]
    recipes_left = {text_of(row, "recipe") for row in trials if row not in unsound}
    if without_seed := [row for row in unsound if text_of(row, "recipe") not in recipes_left]:
        failures = [*failures, _failure(Reason.of(Code.NO_SEED_LEFT, recipes=_recipes(without_seed)))]
    return [*finished, *(failures or none), *extreme]


def _failure(reason: Reason) -> Finding:
    return _caution(reason, "trials", kind="failure")


def _extreme_findings(trials: Sequence[Row], what: Code, code: Code) -> list[Finding]:
    """Segmentations that predict no lesion or nearly everything: neither separates lesions from the rest."""
    rows = [row for row in trials if row.get("status") == "done" and what in reason_of(row)]
    return [_failure(Reason.of(code, count=len(rows), of=len(trials), recipes=_recipes(rows)))] if rows else []


def _lost_run(status: str, rows: Sequence[Row], trials: Sequence[Row]) -> Finding:
    """Return training runs that were lost; of one recipe with its seeds, which go with any of their folds."""
    recipes = _recipes(rows)
    runs = [row for row in trials if text_of(row, "recipe") == recipes[0]]
    seeds, of = (len({row.get("seed") for row in some}) for some in (rows, runs))
    total = {"seeds": seeds, "of": of} if len(recipes) == 1 and "seed" in runs[0] else {}
    return _failure(Reason.of(Code.LOST_TRIALS, count=len(rows), status=status, recipes=recipes, **total))


def _recipes(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(sorted({text_of(row, "recipe") for row in rows}))


def _association_findings(environments: Sequence[Row]) -> list[Finding]:
    requested = [row for row in environments if not math.isnan(numeric(row, "asked"))]
    if not requested:
        return []
    off = [
        row for row in requested if not abs(numeric(row, "strength") - numeric(row, "asked")) <= ASSOCIATION_TOLERANCE
    ]
    if not off:
        return [_caution(Reason.of(Code.ASSOCIATIONS_ACHIEVED), "environments")]
    defined = [row for row in off if not math.isnan(numeric(row, "strength"))]
    worst = max(defined or off, key=lambda row: abs(numeric(row, "strength") - numeric(row, "asked")))
    reason = Reason.of(
        Code.ASSOCIATIONS_OFF,
        count=len(off),
        of=len(requested),
        tolerance=ASSOCIATION_TOLERANCE,
        factor=text_of(worst, "factor"),
        environment=text_of(worst, "environment"),
        strength=numeric(worst, "strength"),
        asked=numeric(worst, "asked"),
    )
    return [_caution(reason, "environments")]


def uneven_rows(training_environments: Iterable[tuple[Mapping[str, str], int]], axis: str) -> Reason:
    """Return a caution where training rows differ along the doses; nothing where they do not.

    trained: the values of each training environment on the axes of the study, and its rows. axis: that of the doses.
    """
    counts: dict[tuple[tuple[str, str], ...], dict[str, int]] = {}
    for coordinates, rows in training_environments:
        if axis in coordinates:
            rest = tuple(sorted(item for item in coordinates.items() if item[0] != axis))
            counts.setdefault(rest, {})[coordinates[axis]] = rows
    uneven = {rest: counts_of for rest, counts_of in counts.items() if len(set(counts_of.values())) > 1}
    if not uneven:
        return NO_REASON
    rest, uneven_counts = max(uneven.items(), key=lambda item: max(item[1].values()) / max(1, min(item[1].values())))
    most, fewest = (
        max(uneven_counts, key=lambda p: uneven_counts[p]),
        min(uneven_counts, key=lambda p: uneven_counts[p]),
    )
    least = min(min(rows.values()) for rows in counts.values())
    return Reason.of(
        Code.UNEVEN_ROWS,
        confounder=dict(rest).get(CONFOUNDER, ""),
        most=most,
        most_rows=uneven_counts[most],
        fewest=fewest,
        fewest_rows=uneven_counts[fewest],
        least=least,
    )


def _uneven_row_findings(environments: Sequence[Row], trials: Sequence[Row], dose_axis: str) -> list[Finding]:
    """Recipes that share a trial, as confounders share p = 0, were trained on the environment of the first of them."""
    images = {
        text_of(row, "recipe"): int(numeric(row, "images"))
        for row in environments
        if text_of(row, "environment") == f"train ({text_of(row, 'recipe')})"
    }
    of_trial = {text_of(row, "trial"): images[text_of(row, "recipe")] for row in trials if row["recipe"] in images}
    trained = {
        text_of(row, "recipe"): (json_object(row.get("coordinates")), rows)
        for row in trials
        if (rows := images.get(text_of(row, "recipe"), of_trial.get(text_of(row, "trial")))) is not None
    }
    reason = uneven_rows(trained.values(), dose_axis)
    return [_caution(reason, "environments")] if reason else []


def _chance_findings(estimates: Sequence[Row], dose_axis: str) -> list[Finding]:
    """Whether nothing was learned that any test sees: of a dose-response, by the trials without a dose."""
    rows = [
        row
        for row in estimates
        if text_of(row, "measure") in AUROC_MEASURES
        and not any(text_of(row, part) for part in ("factor", "level", "group"))
        and (not dose_axis or json_object(row.get("coordinates")).get(dose_axis) == "0")
        and not math.isnan(row_interval(row)[0])
    ]
    if not rows or any(row_interval(row)[0] > 0.5 for row in rows):
        return []
    return [_caution(Reason.of(Code.ALL_AT_CHANCE, dosed=dose_axis), "estimates")]


def _one_class_findings(estimates: Sequence[Row]) -> list[Finding]:
    """Report test conditions in which nearly all images get one class, as at a threshold of images that differ."""
    shares: dict[tuple[str, str], dict[str, float]] = {}
    for row in estimates:
        if text_of(row, "environment") and not any(text_of(row, part) for part in ("factor", "level", "group")):
            condition_and_recipe = text_of(row, "environment"), text_of(row, "recipe")
            shares.setdefault(condition_and_recipe, {})[text_of(row, "measure")] = numeric(row, "value")
    right = {place: [share.get(name, math.nan) for name in SHARES_CALLED_RIGHT] for place, share in shares.items()}
    most = [place for place, pair in right.items() if min(pair) <= NEARLY_NONE and max(pair) >= 1 - NEARLY_NONE]
    if not most:
        return []
    conditions, (sensitivity, specificity) = tuple(dict.fromkeys(place for place, _ in most)), right[most[0]]
    reason = Reason.of(Code.ONE_CLASS_CALLED, places=conditions, sensitivity=sensitivity, specificity=specificity)
    return [_caution(reason, "estimates")]


def _end_of_scale_findings(contrasts: Sequence[Row]) -> list[Finding]:
    """Report comparisons whose recipes are all at one end of the scale."""
    spent = [(row, end) for row in contrasts if (end := reason_of(row).first(Code.NEAR_END_OF_SCALE, Code.AT_CHANCE))]
    if not spent:
        return []
    first, end = spent[0]
    place_fields = {"at": text_of(first, "at"), "doses": text_of(first, "doses")}
    reason = Reason.of(Code.SCALE_EXHAUSTED, count=len(spent), of=len(contrasts), **place_fields) + Reason((end,))
    return [_caution(reason, row=first)]


def _few_patient_findings(contrasts: Sequence[Row]) -> list[Finding]:
    """Report comparisons that are decided with few effective patients."""
    few = [row for row in contrasts if numeric(row, "effective_patients") < FEW_PATIENTS and not is_undefined(row)]
    if not few:
        return []
    least = min(few, key=lambda row: numeric(row, "effective_patients"))
    patients = numeric(least, "effective_patients")
    reason = Reason.of(Code.SOME_EFFECTIVE_PATIENTS, count=len(few), of=len(contrasts), patients=patients)
    return [_caution(reason, row=least)]


def _rare_patient_findings(contrasts: Sequence[Row]) -> list[Finding]:
    """Report decisions of no difference of the margin that patients whom the sample may lack could undo.

    The share of a kind of patients of which a sample of n has nobody is at most 1 - 0.05^(1/n), at the 95% level. If
    they all react, a measure changes by this share of its range, whatever the sample shows. An AUROC changes by up to
    twice as much where patients of both classes react, for which no caution is given.
    """
    within = [row for row in contrasts if row.get("decision") in WITHIN_MARGIN]
    unseen = [row for row in within if _unseen_change(row) > numeric(row, "margin")]
    if not unseen:
        return []
    worst = max(unseen, key=lambda row: _unseen_change(row) / numeric(row, "margin"))
    rare = math.ceil(1 / share_upper_bound(0, numeric(worst, "effective_patients")))
    reason = Reason.of(Code.RARE_PATIENTS_UNSEEN, count=len(unseen), of=len(within), rare=rare)
    return [_caution(reason, row=worst)]


def _unseen_change(row: Row) -> float:
    """Return how far patients whom a sample may lack can change a measure; 0 where its range has no end."""
    low, high = range_of(text_of(row, "measure"))
    patients = numeric(row, "effective_patients")
    return share_upper_bound(0, patients) * (high - low) if patients > 0 and math.isfinite(high - low) else 0.0


def _seed_findings(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Finding]:
    """Report how many seeds comparisons rest on, or estimates where none was stated."""
    thing, rows = ("comparison", contrasts) if contrasts else ("estimate", estimates)
    few = [row for row in rows if has_too_few_seeds(row)]
    seed_counts = [int(numeric(row, "seeds")) for row in rows if numeric(row, "seeds") >= MIN_SEEDS]
    is_early = any(shows_difference(row) and numeric(row, "seeds") < FIRST_SIGN_BELOW_SEEDS for row in contrasts)
    return [*_too_few_seeds_findings(few, len(rows), thing), *_seed_count_findings(seed_counts, thing, is_early)]


def _too_few_seeds_findings(few: Sequence[Row], of: int, thing: str) -> list[Finding]:
    if not few:
        return []
    fewest, most = (int(end(numeric(row, "seeds") for row in few)) for end in (min, max))
    unmatched = any(row.get("at") == "matched-fit" and numeric(row, "left_out") > 0 for row in few)
    reason = Reason.of(
        Code.ALL_UNDER_SEEDS if len(few) == of else Code.UNDER_SEEDS,
        fewest=fewest,
        most=most,
        count=len(few),
        of=of,
        thing=thing,
        least=MIN_SEEDS,
        unmatched=int(unmatched),
    )
    return [_caution(reason)]


def _seed_count_findings(seed_counts: Sequence[int], thing: str, is_early: bool) -> list[Finding]:
    if not seed_counts:
        return []
    fewest, most = min(seed_counts), max(seed_counts)
    if fewest < WIDE_BELOW_SEEDS:
        return [_caution(Reason.of(Code.ROUGH_SEEDS, fewest=fewest, most=most, first_sign=int(is_early)))]
    return [_caution(Reason.of(Code.ENOUGH_SEEDS, fewest=fewest, thing=thing))]


def _changed_seed_findings(seeds: tuple[int, int] | None) -> list[Finding]:
    """Who looks and then takes more seeds may stop when a p suits: the tests hold for a number that was planned."""
    if seeds is None or seeds[0] == seeds[1]:
        return []
    return [_caution(Reason.of(Code.CHANGED_SEEDS, planned=seeds[0], now=seeds[1]))]


def _extreme_p_findings(contrasts: Sequence[Row]) -> list[Finding]:
    """Report differences with a p-value that is further out than so few seeds were ever simulated at."""
    far = [
        row
        for row in contrasts
        if shows_difference(row) and numeric(row, "seeds") < FAR_UNDER_SEEDS and numeric(row, "p_holm") < FAR
    ]
    if not far:
        return []
    seeds = [int(numeric(row, "seeds")) for row in far]
    flips = [least for row in far if not math.isnan(least := numeric(row, "sign_flip_min_p"))]
    flip = {"flip": max(flips)} if flips else {}
    reason = Reason.of(Code.FAR_P, count=len(far), limit=FAR, fewest=min(seeds), most=max(seeds), **flip)
    return [_caution(reason, row=far[0])]


def outlying_seeds(seeds: Sequence[Row], contrasts: Sequence[Row]) -> list[Reason]:
    """Caution about seeds that are far from the others of their recipe, in the compared measures.

    A recipe that fails with one seed in five looks better than it is in most sets of 3 to 5 seeds, and one that did
    fail is not described by a mean. A study without comparisons is checked in the measure that its page leads with.
    """
    outliers_by_key = _outliers_by_key(seeds, contrasts)
    far = [outlier for outliers in outliers_by_key.values() for outlier in outliers or ()]
    reasons = [_outlier_reason(far)] if far else []
    names = tuple(dict.fromkeys(measure for (measure, *_), outliers in outliers_by_key.items() if outliers is None))
    return [*reasons, Reason.of(Code.SEEDS_UNCHECKED, measures=names, least=MIN_DISTANCES)] if names else reasons


def failed_networks(seeds: Sequence[Row], contrasts: Sequence[Row]) -> dict[ResultKey, set[tuple[str, Any]]]:
    """Return the networks that are far worse than the others of their recipe, by the place that is compared.

    They are the outlying seeds on the worse side. Of a measure without a better direction there are none.

    Returns:
        Place -> label of the recipe and seed.
    """
    return {
        key: {
            (text_of(outlier.row, "recipe"), outlier.row["seed"])
            for outlier in outliers or ()
            if better(key[0]) == ("higher" if numeric(outlier.row, "value") < outlier.median else "lower")
        }
        for key, outliers in _outliers_by_key(seeds, contrasts).items()
    }


def failure_columns(a: Collection[bool], b: Collection[bool]) -> dict[str, float]:
    """Return how many seeds of either side of a comparison failed, and the greatest share that this allows (95 %).

    That recipes are equivalent is said of networks that did not fail: of a recipe whose networks fail in one seed of
    ten, few seeds may show no failure at all.

    Args:
        a: Whether each seed of a failed.
        b: The same of b.

    Examples:
        >>> columns = failure_columns([False] * 12, [False] * 12)
        >>> columns["failed_a"], columns["trained_a"], round(columns["failure_limit_a"], 4)  # 1 - 0.05 ** (1 / 12)
        (0, 12, 0.2209)
    """
    columns: dict[str, float] = {}
    for side, failed in (("a", a), ("b", b)):
        columns |= {f"failed_{side}": sum(failed), f"trained_{side}": len(failed)}
        columns[f"failure_limit_{side}"] = share_upper_bound(sum(failed), len(failed)) if failed else math.nan
    return columns


def _outliers_by_key(seeds: Sequence[Row], contrasts: Sequence[Row]) -> dict[ResultKey, list[_DistantSeed] | None]:
    """Return the outlying seeds of every place that is compared; None where they cannot be known."""
    outliers_by_key: dict[ResultKey, list[_DistantSeed] | None] = {}
    for key, by_recipe in _rows_by_key(seeds, contrasts).items():
        defined = [rows for rows in by_recipe if not any(math.isnan(numeric(row, "value")) for row in rows)]
        outliers_by_key[key] = _distant_seeds(key[0], [rows for rows in defined if len(rows) >= MIN_SEEDS])
    return outliers_by_key


def _rows_by_key(seeds: Sequence[Row], contrasts: Sequence[Row]) -> dict[ResultKey, list[list[Row]]]:
    """Rows of the recipes with a value, in every place that is compared."""
    compared_keys = set(map(result_key, contrasts))
    compared_rows = compared_estimates(seeds, contrasts)
    lead = "" if contrasts else _lead_measure(compared_rows)
    rows_by_key: dict[ResultKey, dict[str, list[Row]]] = {}
    for row in compared_rows:
        measure, factor, layer, environment = place = result_key(row)
        if place in compared_keys or (measure == lead and environment and not factor and not layer):
            rows_by_key.setdefault(place, {}).setdefault(text_of(row, "recipe"), []).append(row)
    return {place: list(by_recipe.values()) for place, by_recipe in rows_by_key.items()}


def _lead_measure(seeds: Sequence[Row]) -> str:
    """The measure that a page without comparisons leads with."""
    names = list(dict.fromkeys(text_of(row, "measure") for row in seeds if text_of(row, "measure") in COMPUTED))
    return next((name for name in (*AUROC_MEASURES, *names) if name in names), "")


@dataclass(frozen=True, slots=True)
class _DistantSeed:
    """A value of one seed that is far from its recipe's median. robust: by the spread of the seeds."""

    distance: float
    row: Row
    median: float
    is_robust: bool


def _distant_seeds(measure: str, recipes: Sequence[Sequence[Row]]) -> list[_DistantSeed] | None:
    """Return the values that are far from the median of their recipe; None where that cannot be known.

    The spread is robust and of all recipes together, since 3 seeds have none to speak of: the median distance from the
    recipe's median, without one distance of 0 per recipe, and at least `MIN_SPREAD`. Too few distances are compared
    with `OUTLIER_GAP`, in measures whose range has two ends.
    """
    away: list[tuple[float, Row, float]] = []
    distances: list[float] = []
    for rows in recipes:
        values = [numeric(row, "value") for row in rows]
        median_value = median(values)
        away += [(abs(value - median_value), row, median_value) for value, row in zip(values, rows, strict=True)]
        distances += sorted(abs(value - median_value) for value in values)[1:]
    low, high = range_of(measure)
    is_robust = len(distances) >= MIN_DISTANCES
    if not is_robust and not math.isfinite(high - low):
        return None if distances else []
    if is_robust:
        length = high - low if math.isfinite(high - low) else max(abs(numeric(row, "value")) for _, row, _ in away)
        # Few distances give an uncertain median: normal seeds would be outlying in 0.05 of groups, not 0.03.
        spread = median(distances) / NORMAL_QUARTILE * (1 + 2 / len(distances))
        limit = OUTLIER_LIMIT * max(spread, MIN_SPREAD * length)
    else:
        limit = OUTLIER_GAP * (high - low)
    return [_DistantSeed(*seed, is_robust) for seed in away if seed[0] > limit]


def _outlier_reason(far: Sequence[_DistantSeed]) -> Reason:
    worst = max(far, key=lambda outlier: outlier.distance)
    seed = worst.row["seed"]
    return Reason.of(
        Code.OUTLYING_SEEDS,
        count=len(far),
        limit=OUTLIER_LIMIT if any(outlier.is_robust for outlier in far) else 0,
        gap=0.0 if all(outlier.is_robust for outlier in far) else OUTLIER_GAP,
        recipe=text_of(worst.row, "recipe"),
        seed=seed if isinstance(seed, str) else int(seed),
        measure=text_of(worst.row, "measure"),
        environment=text_of(worst.row, "environment"),
        value=numeric(worst.row, "value"),
        median=worst.median,
    )


def _fold_findings(contrasts: Sequence[Row], trials: Sequence[Row]) -> list[Finding]:
    """Models of several folds share training rows, whose variance no seed shows."""
    folds = len({row.get("fold", 0) for row in trials})
    if folds < 2 or all(math.isnan(numeric(row, "p")) for row in contrasts):
        return []
    return [_caution(Reason.of(Code.SHARED_FOLDS, folds=folds, rate=FOLD_ERROR_RATE))]


def _one_pool_findings(contrasts: Sequence[Row], trials: Sequence[Row], split: Split) -> list[Finding]:
    """Caution that seeds which redraw little of the training rows hardly show the effect of another training set."""
    if not split or all(math.isnan(numeric(row, "p")) for row in contrasts):
        return []
    code = {"shares": Code.ONE_POOL, "column": Code.FIXED_TRAINING_ROWS}[split]
    return [_caution(Reason.of(code, rate=ONE_POOL_ERROR_RATES[split]))]


def _undefined_contrast_findings(contrasts: Sequence[Row]) -> list[Finding]:
    undefined_rows = [row for row in contrasts if is_undefined(row) and not has_too_few_seeds(row)]
    if not undefined_rows:
        return []
    reason = Reason.of(Code.UNDEFINED_COMPARISONS, count=len(undefined_rows), of=len(contrasts)) + reason_of(
        undefined_rows[0]
    )
    return [_caution(reason, row=undefined_rows[0])]


# What the numbers leave open.


def limit_findings(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Finding]:
    """Return the limits of a study, a finding each."""
    contrasts = [row for row in contrasts if text_of(row, "role") not in CONTROLS]
    prespecified = [row for row in contrasts if not row.get("exploratory")]
    undecided = [row for row in prespecified if is_open(row)]
    measures = {text_of(row, "measure") for row in estimates}
    reasons: list[Reason] = []
    if undecided:
        reasons.append(
            Reason.of(Code.LIMIT_INCONCLUSIVE, count=len(undecided), of=len(prespecified)) + _detectable(undecided)
        )
    if prespecified and not any(row.get("at") in MATCHED_METHODS for row in prespecified):
        reasons.append(
            Reason.of(Code.LIMIT_CLEAN_UNMATCHED if all(map(over_doses, prespecified)) else Code.LIMIT_FIT_UNMATCHED)
        )
    if "decodability" in measures:
        reasons.append(Reason.of(Code.LIMIT_DECODING))
    environments = sorted({text_of(row, "environment") for row in prespecified if text_of(row, "environment")})
    if environments:
        reasons.append(Reason.of(Code.LIMIT_ENVIRONMENTS, names=tuple(environments)))
    if late := sum(bool(row.get("exploratory")) for row in contrasts):
        reasons.append(Reason.of(Code.LIMIT_EXPLORATORY, count=late))
    return [Finding("limit", "none", reason) for reason in reasons]


def _detectable(undecided: Sequence[Row]) -> Reason:
    """Return the difference that the design could detect in inconclusive comparisons, by measure, where it is known."""
    differences: dict[str, list[float]] = {}
    out_of_reach = 0
    for row in undecided:
        measure, size = text_of(row, "measure"), numeric(row, "detectable")
        low, high = range_of(measure)
        greatest = (high - low) * (2 if over_doses(row) else 1)  # one may rise by as much as the other falls
        if size <= greatest:
            differences.setdefault(measure, []).append(size)
        out_of_reach += size > greatest
    reach = NO_REASON
    for measure, sizes in differences.items():
        reach += Reason.of(Code.DETECTABLE, measure=measure, low=min(sizes), high=max(sizes))
    return reach + (Reason.of(Code.NOTHING_DETECTABLE, count=out_of_reach) if out_of_reach else NO_REASON)
