"""Groups of an audit: calibration, and groups that are too small."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from scipy.stats import norm

from assay.audit.harm_words import answer_words
from assay.audit.scored import ScoredImages
from assay.audit.subgroups import column_tables
from assay.audit.words import evidence_words
from assay.plugin import Factor, FactorTable
from assay.stats import calibration_in_the_large, calibration_slope

IN_THE_LARGE = "calibration-in-the-large"
SLOPE = "calibration-slope"


def test_calibration_is_that_of_a_logistic_regression_with_robust_errors() -> None:
    draws = np.random.default_rng(0)
    score = draws.normal(size=400)
    target = (draws.random(400) < expit(0.4 + 0.6 * score)).astype(np.int64)
    found = calibration_slope(score, target)
    assert found is not None
    peer = sm.Logit(target, sm.add_constant(score)).fit(disp=0, cov_type="HC0")
    assert found[0] == pytest.approx(peer.params[1], abs=1e-8)
    assert np.sqrt((found[1] ** 2).sum()) == pytest.approx(peer.bse[1], rel=1e-6)
    value, rows = calibration_in_the_large(expit(score), target)
    assert value == pytest.approx(expit(score).mean() - target.mean())
    assert np.sqrt((rows**2).sum()) == pytest.approx(np.std(expit(score) - target) / 20)
    assert calibration_slope(np.array([-2.0, -1, 1, 2]), np.array([0, 0, 1, 1])) is None, "separated"
    assert calibration_slope(np.ones(10), np.arange(10) % 2) is None, "one score"


def test_a_group_that_is_calibrated_otherwise_has_a_gap_and_a_small_group_is_listed() -> None:
    draws = np.random.default_rng(1)
    n, site = 1200, np.arange(1200) // 2 % 2
    site[:10] = 2
    score = draws.normal(size=n)
    target = (draws.random(n) < expit(np.where(site == 1, 2 * score + 1.5, score))).astype(np.int64)
    factor = Factor("site", "categorical", levels=("a", "b", "c"))
    table = FactorTable(np.arange(n), target, np.arange(n) // 2, ("no", "yes"), (factor,), {"site": site})
    logits = np.stack([np.zeros(n), score], axis=1)
    verdicts, groups, gaps = column_tables(ScoredImages(table, logits, 0.5), 0.05)
    assert verdicts[0]["images"] == n - 10, "a level without a group is in no comparison"
    known = {(row["level"], row["measure"]): row for row in groups if row.get("measure")}
    assert known["a", IN_THE_LARGE]["low"] < 0 < known["a", IN_THE_LARGE]["high"]
    assert known["b", IN_THE_LARGE]["high"] < 0, "b has more positives than the model says"
    assert known["a", SLOPE]["low"] < 1 < known["a", SLOPE]["high"]
    assert known["b", SLOPE]["low"] > 1
    (gap,) = (row for row in gaps if row["measure"] == IN_THE_LARGE)
    assert (gap["a"], gap["b"], gap["decision"]) == ("a", "b", "beyond")
    assert not [row for row in gaps if row["measure"] == SLOPE], "a slope is not on the margin's scale"
    (small,) = (row for row in groups if row.get("reason"))
    assert (small["column"], small["level"]) == ("site", "c")


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "no-difference"), (1.5, "answers-differ-with")])
def test_a_column_with_an_empty_cell_is_tied_to_the_target_and_tested_within_a_class(
    shift: float, verdict: str
) -> None:
    draws, n = np.random.default_rng(2), 12_000
    target = np.arange(n) % 2
    site = np.where(target == 1, 0, draws.integers(0, 2, n))  # no positive is of site b
    score = draws.normal(target + shift * (site == 0))
    factors = [Factor(name, "categorical", levels=("a", "b")) for name in ("site", "copy")]
    columns = {"site": site, "copy": target}
    table = FactorTable(np.arange(n), target, np.arange(n), ("no", "yes"), tuple(factors), columns)
    (found, untested), *_ = column_tables(ScoredImages(table, np.stack([np.zeros(n), score], axis=1), 0.5), 0.05)
    assert (found["verdict"], found["class"], untested["verdict"]) == (verdict, "no", "not-tested")
    exact = norm.cdf(-shift / np.sqrt(2)) - 0.5  # of b over a within the class
    assert found["low"] < exact < found["high"]
    said = " ".join(answer_words({"regions": [], "verdicts": [found, untested]}))
    tied = "copy is" if shift else "site and copy are"
    assert f"In these images {tied} tied to the target, so the effect of" in said
    assert "within no" in evidence_words(found, {})


def small_cells(shift: float, seed: int, patients: int = 4) -> tuple[ScoredImages, np.ndarray]:
    """Scores of 160 images; of each class 4 images, of so many patients, are of the view of the other class."""
    n = 160
    target = np.repeat([0, 1], n // 2)
    view, patient = target.copy(), np.arange(n)
    view[:4], view[-4:] = 1, 0
    patient[:4] %= patients
    patient[-4:] = n + np.arange(4) % patients
    factor = Factor("view", "categorical", levels=("AP", "PA"))
    table = FactorTable(np.arange(n), target, patient, ("no", "yes"), (factor,), {"view": view})
    score = np.random.default_rng(seed).normal(size=n) + 2 * target + shift * view
    return ScoredImages(table, np.stack([np.zeros(n), score], axis=1), 0.5), score


def test_a_column_with_few_images_in_a_cell_of_each_class_is_tested_over_the_classes_together() -> None:
    verdicts: dict[float, list[str]] = {0.0: [], 2.0: []}
    for seed in range(200):
        for shift, of_shift in verdicts.items():
            scored, score = small_cells(shift, seed)
            (found,), *_ = column_tables(scored, 0.05)
            of_shift.append(found["verdict"])
            areas = [np.mean(score[:4, None] > score[4:80]), np.mean(score[80:156, None] > score[156:])]
            assert found["g"] == pytest.approx(np.mean(areas) - 0.5), "of all pairs of PA over AP in a class"
    assert "tied to the target" in evidence_words(found, {})
    assert set(verdicts[0.0] + verdicts[2.0]) == {"inconclusive", "answers-differ-with"}, "nothing is ruled out"
    assert verdicts[0.0].count("answers-differ-with") <= 10
    assert verdicts[2.0].count("answers-differ-with") >= 160


def test_a_cell_of_too_few_patients_is_not_tested() -> None:
    (found,), *_ = column_tables(small_cells(2.0, 0, patients=2)[0], 0.05)
    assert found["verdict"] == "not-tested"


def groups_of_calls(wrong: dict[str, int], count: int) -> tuple[ScoredImages, tuple[str, ...]]:
    """Images of two groups, one of each patient, of which the given number of negatives of each are called positive."""
    levels = tuple(wrong)
    group = np.repeat(np.arange(2), 2 * count)
    target = np.tile(np.repeat([0, 1], count), 2)
    called = target.copy()
    for at, number in enumerate(wrong.values()):
        called[2 * count * at : 2 * count * at + number] = 1
        called[2 * count * at + count : 2 * count * at + count + 20] = 0
    factor = Factor("sex", "categorical", levels=levels)
    ids = np.arange(len(target))
    table = FactorTable(ids, target, ids, ("no", "yes"), (factor,), {"sex": group})
    logits = np.stack([np.zeros(len(target)), 2.0 * (2 * called - 1) + 0.01 * target], axis=1)
    return ScoredImages(table, logits, 0.5), levels


def test_a_group_without_an_error_has_an_interval_and_is_not_called_equal() -> None:
    scored, _ = groups_of_calls({"F": 1, "M": 0}, 98)
    _, groups, gaps = column_tables(scored, 0.05)
    found = {row["level"]: row for row in groups if row.get("measure") == "specificity"}
    assert found["M"]["high"] == 1.0
    assert found["M"]["low"] < 0.025 ** (1 / 98), "exact, together with the others"
    (gap,) = (row for row in gaps if row["measure"] == "specificity")
    assert gap["low"] < -0.053, "Newcombe, without others"
    assert gap["decision"] == "inconclusive"
    assert gap["low"] <= gap["value"] <= gap["high"]


@pytest.mark.nightly
def test_groups_whose_rare_errors_differ_by_the_margin_are_seldom_called_equal() -> None:
    draws, equal = np.random.default_rng(5), 0
    for _ in range(200):
        scored, _ = groups_of_calls({"F": int(draws.binomial(100, 0.055)), "M": int(draws.binomial(100, 0.005))}, 100)
        _, _, gaps = column_tables(scored, 0.05)
        (gap,) = (row for row in gaps if row["measure"] == "specificity")
        equal += gap["decision"] == "within"
    assert equal <= 10


def test_large_numbers_that_differ_in_their_last_digit_are_groups_of_their_own() -> None:
    rows = np.arange(80)
    values = 1234561.0 + rows // 2 % 2
    table = FactorTable(rows, rows % 2, rows, ("no", "yes"), (Factor("device", "continuous"),), {"device": values})
    logits = np.stack([np.zeros(80), np.random.default_rng(0).normal(size=80)], axis=1)
    (verdict,), groups, _ = column_tables(ScoredImages(table, logits, 0.5), 0.05)
    assert verdict["images"] == 80
    assert {row["level"] for row in groups if row["column"]} == {"1234561", "1234562"}


def gap_of_few(patients: int, seed: int) -> dict[str, object]:
    """Return the gap of AUROC between two groups; of one of ten patients of the second, 0.9 of images are reversed.

    Patients have 1 to 80 images. The margin is the true gap.
    """
    draws = np.random.default_rng(seed)
    images = np.clip(np.exp(draws.normal(1, 1.2, patients)).astype(int) + 1, 1, 80)
    patient = np.repeat(np.arange(patients), images)
    target, sex = (draws.integers(0, 2, patients)[patient] for _ in range(2))
    score = (2 * target - 1) * 1.25 + np.sqrt(0.5) * (
        draws.normal(size=patients)[patient] + draws.normal(size=len(patient))
    )
    is_reversed = (draws.random(patients) < 0.1)[patient] & (draws.random(len(patient)) < 0.9) & (sex == 1)
    score = np.where(is_reversed, -2.5 * (2 * target - 1), score)
    factor = Factor("sex", "categorical", levels=("f", "m"))
    table = FactorTable(np.arange(len(target)), target, patient, ("no", "yes"), (factor,), {"sex": sex})
    logits = np.stack([np.zeros(len(target)), score], axis=1)
    gaps = column_tables(ScoredImages(table, logits, 0.5), TRUE_GAP)[2]
    return next(row for row in gaps if row["measure"] == "auroc")


TRUE_GAP = float(norm.cdf(2.5 / np.sqrt(2)) * (1 - 0.91**2) - 2 * 0.09 * 0.91 * norm.cdf(-1.25))


@pytest.mark.parametrize(("draws", "most"), [(80, 0.02), pytest.param(1000, 0.025, marks=pytest.mark.thorough)])
def test_a_gap_that_few_patients_make_is_rarely_called_within_the_margin(draws: int, most: float) -> None:
    found = [gap_of_few(400, seed) for seed in range(draws)]
    assert np.mean([row["decision"] == "within" for row in found]) <= most
    assert np.mean([row["decision"] == "beyond" for row in found]) <= most
