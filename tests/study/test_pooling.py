"""Variances over few seeds are moderated over contrasts of the same measure, environment, reference and matching."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.study.test_contrasts import FLIPS, Records

from assay.stats.decisions import decide_families
from assay.stats.power import difference_with_power
from assay.study.contrasts import carry_out_comparisons
from assay.study.families import pooling_group, study_comparisons

ALPHA = 0.05
LOOK_ALPHA = 0.02

SEEDS = 3
NAMES = [f"loss {k}" for k in range(8)]
LUCKY = "loss 0"


def study(own: dict[str, Any] | None = None, error: float = 0.008) -> Records:
    """Eight losses against the plain one, of which one has seeds that happen to agree at a difference of 0.04."""
    rng = np.random.default_rng(3)
    plain = dict.fromkeys(range(SEEDS), 0.3)
    drawn: list[list[float]] = (0.3 + 0.04 * rng.normal(size=(len(NAMES), SEEDS))).tolist()
    values = {name: dict(enumerate(row)) for name, row in zip(NAMES, drawn, strict=True)}
    values[LUCKY] = {0: 0.34, 1: 0.341, 2: 0.339}
    done = {name: dict.fromkeys(range(SEEDS), "done") for name in (*NAMES, "plain")}
    stated = (FLIPS.model_copy(update=own or {}),)
    errors = dict.fromkeys(range(SEEDS), error)
    return Records(done, {**values, "plain": plain}, stated, errors)


def alone(seeds: int = SEEDS, places: int = 8) -> Records:
    """Contrasts in as many places, of seeds that happen to agree; 0.04 is 3.5 standard errors."""
    values = {LUCKY: {seed: 0.34 + (0.001, -0.001)[seed % 2] * (seed > 0) for seed in range(seeds)}}
    values["plain"] = dict.fromkeys(range(seeds), 0.3)
    done = {name: dict.fromkeys(range(seeds), "done") for name in values}
    stated = tuple(FLIPS.model_copy(update={"environment": f"place {k}"}) for k in range(places))
    names = tuple(contrast.environment for contrast in stated)
    return Records(done, values, stated, dict.fromkeys(range(seeds), 0.008), names)


def rows(records: Records, beforehand: list[str] | None = None) -> dict[str, dict[str, Any]]:
    stated = [pair.id for pair in study_comparisons(records.plan.spec)] if beforehand is None else beforehand  # type: ignore[arg-type]
    return {row["a"]: row for row in decide_families(carry_out_comparisons(records, stated), [])}  # type: ignore[arg-type]


def test_seeds_that_agree_by_chance_claim_nothing_in_a_family() -> None:
    found = rows(study())
    assert found[LUCKY]["p_holm"] > 0.05
    assert found[LUCKY]["decision"] == "inconclusive"
    assert found[LUCKY]["low"] < 0 < found[LUCKY]["high"]  # by the same variance as the test


def test_a_variance_that_is_larger_than_its_group_stays_as_it_is() -> None:
    records = study(error=0.0)
    of = {name: np.array(list(by_seed.values())) for name, by_seed in records.values.items()}
    widest = max(NAMES, key=lambda name: of[name].var())
    found = rows(records)[widest]
    assert found["standard_error"] == pytest.approx(np.sqrt(of[widest].var(ddof=1) / SEEDS))
    assert found["df"] == SEEDS - 1


def test_moderated_variance_by_hand() -> None:
    records = study(error=0.0)
    table = np.array([list(records.values[name].values()) for name in NAMES]) - 0.3
    own, together = table.var(axis=1, ddof=1), np.cov(table)
    expected = (4 * own.mean() + 2 * own[0]) / 6 / SEEDS
    rank = np.trace(together) ** 2 / np.trace(together @ together)
    found = rows(records)[LUCKY]
    assert found["standard_error"] == pytest.approx(np.sqrt(expected))
    assert found["df"] == pytest.approx(min(4 + SEEDS - 1, (SEEDS - 1) * rank))


def test_an_exploratory_comparison_changes_no_stated_one() -> None:
    records = study()
    before = [pair.id for pair in study_comparisons(records.plan.spec)]  # type: ignore[arg-type]
    less = study()
    del less.statuses["loss 7"]  # type: ignore[attr-defined]
    alone = rows(Records(less.statuses, less.values, less.contrasts, less.errors))
    found = rows(records, before[:-1])
    assert found["loss 7"]["exploratory"]
    assert {name: found[name]["high"] for name in NAMES[:-1]} == {name: alone[name]["high"] for name in NAMES[:-1]}


def test_a_comparison_by_itself_keeps_its_own_variance() -> None:
    alone = rows(study({"levels": (LUCKY,)}))[LUCKY]
    assert alone["standard_error"] == pytest.approx(np.sqrt(0.001**2 / SEEDS + 2 * 0.008**2))


@pytest.mark.parametrize(("beforehand", "family"), [(None, "stated"), ([], "exploratory")])
def test_comparisons_of_an_unnamed_family_that_are_alone_have_the_degrees_of_freedom_of_few_seeds(
    beforehand: list[str] | None, family: str
) -> None:
    records = alone()
    ids = [pair.id for pair in study_comparisons(records.plan.spec)] if beforehand is None else beforehand  # type: ignore[arg-type]
    found = decide_families(carry_out_comparisons(records, ids), [])  # type: ignore[arg-type]
    error = np.sqrt(0.001**2 / SEEDS + 2 * 0.008**2)
    for row in found:
        assert (row["family"], row["df"], row["decision"]) == (family, SEEDS - 1, "inconclusive")
        assert row["p"] == pytest.approx(2 * stats.t.sf(0.04 / error, SEEDS - 1), rel=1e-3)
        assert row["detectable"] > stats.t.isf(0.025 / 8, SEEDS - 1) * error
    assert len(found) == 8


@pytest.mark.parametrize(("seeds", "places"), [(SEEDS, 1), (5, 8)])
def test_a_family_of_one_and_five_seeds_keep_the_degrees_of_freedom_of_the_patients(seeds: int, places: int) -> None:
    records = alone(seeds, places)
    found = decide_families(
        carry_out_comparisons(records, [pair.id for pair in study_comparisons(records.plan.spec)]), []
    )  # type: ignore[arg-type]
    assert {row["decision"] for row in found} == {"higher"}


def test_a_group_that_shares_no_seed_is_pooled_with_the_degrees_of_freedom_of_one() -> None:
    records = study(error=0.0)
    values = {**records.values, "loss 1": {seed + 3: 0.3 + 0.01 * seed for seed in range(SEEDS)}}
    values["plain"] = dict.fromkeys(range(6), 0.3)
    done = {name: dict.fromkeys(by_seed, "done") for name, by_seed in values.items()}
    found = rows(Records(done, values, records.contrasts, dict.fromkeys(range(6), 0.0)))
    assert found[LUCKY]["df"] == SEEDS - 1
    assert found[LUCKY]["standard_error"] > 0.01


def test_pooling_groups_are_told_by_measure_environment_reference_and_matching() -> None:
    others = [{"measure": "effect"}, {"environment": "same"}, {"against": "loss 1"}, {"at": "dose-response"}]
    keys = {pooling_group(FLIPS.model_copy(update=one)) for one in others}
    assert len({pooling_group(FLIPS), *keys}) == 5
    assert pooling_group(FLIPS.model_copy(update={"levels": [LUCKY], "margin": 0.1})) == pooling_group(FLIPS)


def test_one_figure_says_what_a_family_detects_whatever_the_chance_of_single_variances() -> None:
    found = rows(study())
    (figure,) = {row["detectable"] for row in found.values()}
    assert figure > 2 * found[LUCKY]["standard_error"]


@pytest.mark.parametrize(("seeds", "known"), [(3, 0.63), (5, 0.70), (10, 0.75)])
def test_the_power_at_the_figure_of_a_single_contrast_allows_for_a_variance_that_is_known_roughly(
    seeds: int, known: float
) -> None:
    """The figure of one study is applied to another one; only seeds vary, so that t has seeds - 1 degrees."""
    df = seeds - 1
    estimated = stats.chi2.ppf((np.arange(2000) + 0.5) / 2000, df) / df

    def power(**more: float) -> float:
        figures = difference_with_power(1.0, 0.0, seeds, 99, **more) * np.sqrt(estimated)
        return float(stats.nct.sf(stats.t.isf(0.025, df), df, figures).mean())

    assert power(df_between=df) == pytest.approx(0.8, abs=0.02)
    assert power() == pytest.approx(known, abs=0.02)


@pytest.mark.parametrize(("group", "family"), [(1, 1), (1, 4), (4, 4), (8, 20)])
def test_what_is_reachable_grows_with_the_family_and_shrinks_with_the_seeds(group: int, family: int) -> None:
    few, many = (difference_with_power(0.01 / seeds, 0.001, seeds, 99, group, family) for seeds in (3, 10))
    assert many < few < difference_with_power(0.01 / 3, 0.001, 3, 99, group, 2 * family)


def test_a_lower_level_of_a_look_is_part_of_the_detectable_difference() -> None:
    plain, look = (difference_with_power(0.01, 0.001, 10, 99, family=3, alpha=alpha) for alpha in (ALPHA, LOOK_ALPHA))
    as_large = difference_with_power(0.01, 0.001, 10, 99, family=1, alpha=LOOK_ALPHA / 3)
    assert plain < look == pytest.approx(as_large)
