"""Contrasts of a study: who is compared with whom, and what cannot be tested counts all the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.stats import norm, ttest_1samp
from statsmodels.stats.power import TTestPower
from syrupy.assertion import SnapshotAssertion
from tests.worlds.measured import measurements
from tests.worlds.panels import panel

from assay.plugin import Code, Reason
from assay.report.words import comparison_name
from assay.spec.parse import parse_study
from assay.spec.schema import ContrastSpec, EnvironmentSpec, RecipePoint
from assay.stats import Contrast, DosePanel, SeedPredictions, interaction, linear_contrast, measure_by_seed
from assay.stats.compare import untested_contrast
from assay.stats.decisions import decide_families
from assay.stats.power import difference_with_power
from assay.store.schema import TABLES
from assay.study import contrasts as compared
from assay.study.contrasts import compute_contrast
from assay.study.failures import collapse_rows, with_failures
from assay.study.families import PlannedComparison, comparison_columns, family_of, pairs, study_comparisons

DECIDED_COLUMNS = {
    name for name in TABLES["contrasts"].names if not name.startswith(("failed_", "trained_", "failure_limit_"))
}
"""Columns of a comparison before failures are counted."""


def point(label: str) -> Any:
    return RecipePoint.model_construct(coordinates={"loss": label})


@dataclass
class Records:
    """What contrasts ask of records: recipe -> seed -> the status it came to, and values of one measure."""

    statuses: Mapping[str, Mapping[int, str]]
    values: Mapping[str, Mapping[int, float]] = field(default_factory=dict[str, Mapping[int, float]])
    contrasts: tuple[ContrastSpec, ...] = ()
    errors: Mapping[int, float] = field(default_factory=dict[int, float])
    places: tuple[str, ...] = ("(neutral)",)

    def __post_init__(self) -> None:
        points = tuple(map(point, self.statuses))
        spec = SimpleNamespace(points=points, axes=("loss",), contrasts=self.contrasts, looks=())
        self.plan = SimpleNamespace(spec=spec)
        self.by_point = {
            label: {seed: [SimpleNamespace(id=f"{label}{seed}")] for seed in seeds}
            for label, seeds in self.statuses.items()
        }
        self.trials = {
            f"{label}{seed}": {"status": status}
            for label, seeds in self.statuses.items()
            for seed, status in seeds.items()
            if status != "pending"
        }

    def measurements(self, point: Any) -> Any:
        rows = {
            seed: {
                "value": value,
                "standard_error": self.errors.get(seed, math.nan),
                "direction": "lower",
                "reason": "no pair has both" if math.isnan(value) else "",
            }
            for seed, value in self.values[point.label].items()
        }
        return measurements({("flip-rate", environment, "texture", "", "", ""): rows for environment in self.places})

    def kept_seeds(self, point: Any) -> list[int]:
        return [seed for seed, status in self.statuses[point.label].items() if status == "done"]

    def lost_seeds(self, point: Any) -> list[int]:
        return [seed for seed, status in self.statuses[point.label].items() if status in ("collapsed", "diverged")]


FLIPS = ContrastSpec(axis="loss", against="plain", measure="flip-rate", environment="(neutral)", factor="texture")


def pair(level: str, stated: ContrastSpec = FLIPS) -> PlannedComparison:
    return PlannedComparison(stated, (point(level),), (point("plain"),), level, ())


def sure(difference: float) -> Contrast:
    seeds = np.arange(5)
    spread = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    return linear_contrast([measure_by_seed(difference + spread, seeds)], np.ones(1))


def test_what_could_not_be_tested_counts_in_holms_family() -> None:
    found = sure(0.03)
    alone = decide_families([family_of("stated", [(pair("metric"), found)])], [])[0]
    beside, lost = decide_families(
        [family_of("stated", [(pair("metric"), found), (pair("triplet"), untested_contrast(Reason.of(Code.NO_SEED)))])],
        [],
    )
    assert alone["p_holm"] == found.p
    assert beside["p_holm"] == pytest.approx(2 * found.p)
    known = found.standard_error * math.sqrt(5) * TTestPower().solve_power(nobs=5, alpha=0.025, power=0.8)
    figure = difference_with_power(found.standard_error**2, 0.0, 5, math.inf, group=1, family=2, df_between=4.0)
    assert known < beside["detectable"] == pytest.approx(figure, rel=0.02)
    assert (lost["decision"], lost["reason"], lost["seeds"]) == ("inconclusive", str(Reason.of(Code.NO_SEED)), 0)
    assert math.isnan(lost["p_holm"])
    assert set(beside) == DECIDED_COLUMNS


def test_a_contrast_of_named_levels_asks_no_other_question() -> None:
    """Dice per image against Dice per batch, beside cross-entropy against all: labels are written as the values are."""
    words = {"axis": "loss", "measure": "dice", "environment": "same"}
    one = {**words, "against": {"dice": {"reduce": "image"}}, "levels": [{"dice": {"reduce": "batch"}}]}
    spec = parse_study(
        {
            "name": "per-image",
            "data": {"phantom": "nodule", "core": "margin", "size": 32},
            "environments": {"train": {}, "same": {}},
            "recipe": {"task": "segmentation", "loss": ["cross-entropy", {"dice": {"reduce": ["image", "batch"]}}]},
            "contrasts": [one, {**words, "against": "cross-entropy"}],
        }
    )
    found = [(pair.contrast.against, pair.level_a) for pair in study_comparisons(spec)]
    image, batch = "dice(reduce=image)", "dice(reduce=batch)"
    assert found == [(image, batch), ("cross-entropy", image), ("cross-entropy", batch)]


def test_which_way_is_better_is_what_the_probe_says_and_only_that_way_can_be_not_worse() -> None:
    """Flips: 2 in 100 more than of the plain recipe, where 10 in 100 would matter."""
    done, shift = dict.fromkeys(range(3), "done"), {0: 0.01, 1: 0.02, 2: 0.03}
    values = {"metric": {seed: 0.1 + more for seed, more in shift.items()}, "plain": dict.fromkeys(range(3), 0.1)}
    stated = FLIPS.model_copy(update={"margin": 0.1})
    found = compute_contrast(Records({"metric": done, "plain": done}, values), pair("metric", stated))  # type: ignore[arg-type]
    (row,) = decide_families([family_of("stated", [(pair("metric", stated), found)])], [])
    assert found.direction == "lower"
    expected = stats.ttest_1samp(list(shift.values()), 0.1, alternative="less").pvalue
    assert row["noninferiority_p"] == pytest.approx(expected)
    assert row["noninferiority_p"] == pytest.approx(row["equivalence_p"])  # it lies on the worse side


@pytest.mark.parametrize(
    ("errors", "expected", "reason"),
    [
        ({}, math.sqrt(0.01 / 3), Reason()),  # the seeds alone: 0.2, 0.3, 0.4
        ({0: 0.3, 1: 0.3, 2: 0.3}, math.sqrt(0.01 / 3 + 2 * 0.3**2), Reason()),
        ({0: 0.3, 1: 0.3}, math.nan, Reason.of(Code.UNKNOWN_ERROR)),
    ],
)
def test_the_error_within_models_counts_or_is_a_reason(
    errors: dict[int, float], expected: float, reason: Reason
) -> None:
    done = dict.fromkeys(range(3), "done")
    values = {"metric": {0: 0.3, 1: 0.4, 2: 0.5}, "plain": dict.fromkeys(range(3), 0.1)}
    found = compute_contrast(Records({"metric": done, "plain": done}, values, errors=errors), pair("metric"))  # type: ignore[arg-type]
    assert found.standard_error == pytest.approx(expected, nan_ok=True)
    assert (found.value, found.reason) == (pytest.approx(0.3), reason)


def test_collapses_are_an_outcome_with_an_interval_and_a_contrast() -> None:
    metric = {0: "collapsed", 1: "collapsed", 2: "diverged", 3: "done", 4: "pending"}
    records = Records({"metric": metric, "plain": dict.fromkeys(range(5), "done")}, contrasts=(FLIPS,))
    first, plain, difference = collapse_rows(records)  # type: ignore[arg-type]
    assert set(first) == set(plain) == set(difference) == set(TABLES["collapses"].names)
    assert (first["collapsed"], first["diverged"], first["seeds"]) == (2, 1, 4)
    expected = stats.binomtest(3, 4).proportion_ci()
    assert (first["rate"], first["low"], first["high"]) == pytest.approx((0.75, expected.low, expected.high))
    assert (plain["rate"], plain["high"]) == (0, pytest.approx(1 - 0.025 ** (1 / 5)))
    assert (difference["against"], difference["rate"], difference["seeds"]) == ("plain", 0.75, 4)
    assert difference["p"] == pytest.approx(2 / 2**3)


AREA = ContrastSpec(axis="loss", against="plain", environment="reversed")


def test_a_comparison_says_how_many_networks_failed() -> None:
    metric = {seed: "collapsed" if seed == 1 else "pending" if seed == 7 else "done" for seed in range(8)}
    records = Records({"metric": metric, "plain": dict.fromkeys(range(8), "done")}, contrasts=(AREA,))
    place = {"measure": "auroc", "factor": "", "layer": "", "environment": "reversed"}
    areas = {"metric": [0.9, 0.91, 0.92, 0.9, 0.5, 0.91], "plain": [0.9, 0.92, 0.91, 0.93, 0.9, 0.91, 0.92, 0.92]}
    seeds = [
        {**place, "recipe": recipe, "seed": seed, "value": value}
        for recipe, kept in (("metric", [0, 2, 3, 4, 5, 6]), ("plain", range(8)))
        for seed, value in zip(kept, areas[recipe], strict=True)
    ]
    (stated,) = study_comparisons(records.plan.spec)
    (row,) = with_failures([{**place, "id": stated.id}], records, seeds)  # type: ignore[arg-type]
    # seed 1 collapsed, seed 5 fell to 0.5
    assert (row["failed_a"], row["trained_a"], row["failed_b"], row["trained_b"]) == (2, 7, 0, 8)
    assert row["failure_limit_a"] == pytest.approx(stats.binomtest(2, 7).proportion_ci(0.9).high)
    assert row["failure_limit_b"] == pytest.approx(1 - 0.05 ** (1 / 8))


# --- along the doses ------------------------------------------------------------------------------------------------

DOSED = ContrastSpec(axis="loss", against="plain", environment="reversed", at="dose-response")


def dosed(loss: str, confounder: str, p: str) -> Any:
    marked = SimpleNamespace(share={"positive": float(p), "negative": 0.0})
    return SimpleNamespace(
        label=f"{loss} {confounder} {p}",
        coordinates={"loss": loss, "confounder": confounder, "p": p},
        train=SimpleNamespace(interventions={confounder: marked}, association={}),
    )


def grid(*doses: str) -> list[Any]:
    return [dosed(loss, what, p) for loss in ("plain", "metric") for what in ("tag", "blur") for p in doses]


def of_panels(lost: str = "") -> Any:
    """Gathered records in which every recipe has a panel of its own, but for one."""
    numbers = {point.label: i for i, point in enumerate(grid("0", "0.5", "1"))}

    def read(point: Any, environment: str) -> Any:
        return None if point.label == lost else panel(numbers[point.label])

    def kept(point: Any) -> list[int]:
        return [] if point.label == lost else [0, 1, 2]

    return SimpleNamespace(panel=read, kept_seeds=kept)


def test_a_comparison_along_doses_is_the_interaction() -> None:
    tag, _ = pairs(DOSED, grid("1", "0", "0.5"), ("loss", "confounder", "p"))  # in any order of the spec
    metric = [DosePanel(p, panel(i)) for p, i in ((0, 6), (0.5, 7), (1, 8))]
    plain = [DosePanel(p, panel(i)) for p, i in ((0, 0), (0.5, 1), (1, 2))]
    expected, found = interaction(metric, plain, "auroc"), compute_contrast(of_panels(), tag)
    assert (found.value, found.p, found.scales) == (expected.value, expected.p, expected.scales)
    (row,) = decide_families([family_of("stated", [(tag, found)])], [])
    assert expected.scales is not None
    assert (row["plain_p"], row["probit_p"]) == (expected.scales.plain_p, expected.scales.probit_p)
    assert set(row) == DECIDED_COLUMNS


def test_a_dose_that_kept_no_seed_or_was_not_trained_is_told() -> None:
    tag, _ = pairs(DOSED, grid("0", "0.5", "1"), ("loss", "confounder", "p"))
    assert compute_contrast(of_panels("metric tag 0.5"), tag).reason == Reason.of(
        Code.NO_SEED_OF, recipe="metric tag 0.5"
    )
    thinned = [point for point in grid("0", "1") if point.label != "metric tag 0"]
    tag, _ = pairs(DOSED, thinned, ("loss", "confounder", "p"))
    assert compute_contrast(of_panels(), tag).reason == Reason.of(Code.ONE_DOSE)


# --- a probe's numbers along the doses -------------------------------------------------------------------------------


def of_probe(measure: str, values: Mapping[str, Mapping[int, float]], errors: float = math.nan) -> Any:
    """Gathered records of one probe's measure of the tag, on neutral images: recipe -> seed -> value."""
    rows = {
        label: {
            seed: {
                "value": value,
                "standard_error": errors,
                "direction": "none",
                "reason": "no pair has both" if math.isnan(value) else "",
            }
            for seed, value in by_seed.items()
        }
        for label, by_seed in values.items()
    }
    key = (measure, "(neutral)", "tag", "", "", "")

    def measured(point: Any) -> Any:
        return measurements({key: rows[point.label]} if point.label in rows else {})

    def kept(_: Any) -> list[int]:
        return [0, 1, 2]

    return SimpleNamespace(measurements=measured, kept_seeds=kept)


FLIPPED = {
    "plain tag 0": {0: 0.1, 1: 0.1, 2: 0.1},
    "plain tag 0.5": {0: 0.3, 1: 0.4, 2: 0.5},
    "plain tag 1": {0: 0.5, 1: 0.6, 2: 0.7},
    "metric tag 0": {0: 0.1, 1: 0.2, 2: 0.1},
    "metric tag 0.5": {0: 0.1, 1: 0.2, 2: 0.1},
    "metric tag 1": {0: 0.1, 1: 0.3, 2: 0.1},
}


def along_tag(measure: str) -> list[PlannedComparison]:
    stated = DOSED.model_copy(update={"measure": measure, "environment": "(neutral)", "factor": "tag"})
    return list(pairs(stated, grid("0", "0.5", "1"), ("loss", "confounder", "p")))


def test_flip_rates_along_the_doses_are_compared_on_both_scales_by_hand(snapshot: SnapshotAssertion) -> None:
    tag, _ = along_tag("flip-rate")
    found = compute_contrast(of_probe("flip-rate", FLIPPED), tag)
    assert found.per_seed == pytest.approx([0 - 0.3, 0.05 - 0.4, 0 - 0.5])
    assert found.value == pytest.approx(-1.15 / 3)
    assert found.scales is not None
    z = {label: norm.ppf(list(by_seed.values())) for label, by_seed in FLIPPED.items()}
    sides = [(z[f"{loss} tag 0.5"] + z[f"{loss} tag 1"]) / 2 - z[f"{loss} tag 0"] for loss in ("metric", "plain")]
    assert found.scales.probit_p == pytest.approx(ttest_1samp(np.asarray(sides[0] - sides[1]), 0).pvalue)
    assert found.scales.plain_p == pytest.approx(ttest_1samp(found.per_seed, 0).pvalue)
    assert comparison_name(comparison_columns(tag)) == snapshot


def test_an_effect_on_the_logit_is_judged_on_its_one_scale() -> None:
    beyond = {label: {seed: 4 * value for seed, value in by_seed.items()} for label, by_seed in FLIPPED.items()}
    tag, _ = along_tag("logit-effect")
    found = compute_contrast(of_probe("logit-effect", beyond), tag)
    assert (found.value, found.scales) == (pytest.approx(-4.6 / 3), None)
    assert found.p == pytest.approx(ttest_1samp(found.per_seed, 0).pvalue)


def test_errors_within_models_are_one_at_all_doses_and_add_to_those_without() -> None:
    tag, _ = along_tag("logit-effect")
    found = compute_contrast(of_probe("logit-effect", FLIPPED, errors=0.3), tag)
    within = 2 * (1 + 1) * 0.3**2  # two recipes: that at p = 0, and one that both doses share; shared by all seeds
    assert found.standard_error == pytest.approx(math.sqrt(found.per_seed.var(ddof=1) / 3 + within))


# --- matched on performance at p = 0 ----------------------------------------------------------------------

EQUAL = DOSED.model_copy(update={"at": "matched-clean", "clean": "clean"})
ROWS = ("50", "200")


def of_amounts(*, lost: str = "", doses: tuple[str, ...] = ("0", "1")) -> tuple[list[Any], Any]:
    """Recipes of two amounts and of doses with the distance of their classes, and records of them."""
    points: list[Any] = []
    worth: dict[str, tuple[float, float]] = {}
    for loss, skill in (("plain", (1.2, 2.4)), ("metric", (0.6, 1.8))):
        for rows, clean in zip(ROWS, skill, strict=True):
            for p in doses:
                made = dosed(loss, "tag", p)
                made.label, made.train.rows = f"{loss} {rows} {p}", int(rows)
                made.coordinates["rows"] = rows
                worth[made.label] = clean, clean if p == "0" else -clean
                points.append(made)
    number = {label: i for i, label in enumerate(worth)}

    def read(point: Any, environment: str) -> Any:
        distance = worth[point.label][environment == "reversed"]
        return None if point.label == lost else panel(number[point.label], distance=distance, noise=3, patients=100)

    def kept(point: Any) -> list[int]:
        return [] if point.label == lost else [0, 1, 2]

    return points, SimpleNamespace(panel=read, kept_seeds=kept)


def test_amounts_of_data_are_one_comparison_that_says_which_it_rests_on(snapshot: SnapshotAssertion) -> None:
    points, records = of_amounts()
    (only,) = pairs(EQUAL, points, ("loss", "confounder", "p", "rows"))
    assert (len(only.a), len(only.b), only.where) == (4, 4, (("confounder", "tag"),))
    assert comparison_name(comparison_columns(only)) == snapshot
    found = compute_contrast(records, only)
    assert found.matched_level is not None
    assert found.matched_level.a == 200  # the less able one, at its best
    assert 50 < found.matched_level.b < 200
    (row,) = decide_families([family_of("stated", [(only, found)])], [])
    equal = json.loads(row["equal"])
    assert (equal["clean"], equal["trained"], equal["b"]) == ("clean", [50, 200], found.matched_level.b)
    assert set(row) == DECIDED_COLUMNS


def test_the_greatest_factor_is_compared_with_each_other_one_by_seed() -> None:
    """Single intervals overlap, since some seeds flip more under everything; within each seed the tag is first."""
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.2])
    values = {
        "tag": levels + 0.2,
        "size": levels + np.array([0.01, 0.0, -0.01, 0.0, 0.02]),
        "mass": levels - np.array([0.0, 0.02, 0.01, 0.0, 0.01]),
    }
    nothing = {"standard_error": math.nan, "reason": ""}
    every: dict[Any, Any] = {
        ("flip-rate", "(neutral)", factor, "", "", group): {
            seed: {"value": value, **nothing} for seed, value in enumerate(own.tolist())
        }
        for factor, own in values.items()
        for group in ("", "low to high")
    }
    every["flip-rate", "(neutral)", "lost", "", "", ""] = {0: {"value": math.nan, **nothing}}
    recipe, records = point("metric"), SimpleNamespace(measurements=lambda _: measurements(every))
    rows = compared.reliance_rows(records, recipe)  # type: ignore[arg-type]
    assert [(row["factor"], row["against"]) for row in rows] == [("tag", "size"), ("tag", "mass")]
    assert set(rows[0]) == set(TABLES["reliance_contrasts"].names)
    expected = [stats.ttest_rel(values["tag"], values[name]).pvalue for name in ("size", "mass")]
    assert [row["p"] for row in rows] == pytest.approx(expected)
    assert max(row["decision_p"] for row in rows) < 0.001
    assert sorted(row["decision_level"] for row in rows) == [0.95, 0.975]
    assert all(row["decision_low"] > 0 for row in rows)
    assert stats.ttest_ind(values["tag"], values["size"]).pvalue > 0.2


@pytest.mark.parametrize(
    ("given", "counts"),
    [({"association": {"texture": 0}}, True), ({"association": {"texture": {"strength": 0, "high": ["solid"]}}}, True),
     ({"association": {"texture": 0.9}}, False),
     ({"association": {"texture": -0.9}}, False), ({"association": {"texture": 0, "view": 0}}, False),
     ({"association": {"texture": 0}, "interventions": {"tag": {"component": "tag"}}}, False),
     ({"association": {"texture": 0}, "where": {"view": "AP"}}, False),
     ({"association": {"texture": 0}, "difficulty": {"texture": 0.5}}, False),
     ({"association": {"texture": 0}, "fraction": 0.5}, False),
     ({"association": {"texture": 0}, "crop": "lesion-free"}, False),
     ({"association": {"texture": 0}, "data": "other"}, False)],
)  # fmt: skip
def test_only_a_condition_whose_factor_does_not_predict_the_target_answers_on_a_shortcut(
    given: dict[str, Any], counts: bool
) -> None:
    tests = {"same": EnvironmentSpec(), "changed": EnvironmentSpec.model_validate(given)}
    recipe = SimpleNamespace(tests=tests, recipe=SimpleNamespace(task="classification"), columns={"recipe": "plain"})

    def read(_: Any, name: str) -> Any:
        return panel(1, 1.2 if name == "same" else 0.4)

    records = SimpleNamespace(panel=read)
    rows = compared.change_rows(records, recipe)  # type: ignore[arg-type]
    assert [(row["factor"], row["environment"], row["against"]) for row in rows] == [
        ("texture", "changed", "same")
    ] * counts


def test_a_shortcut_of_several_classes_is_measured_by_their_macro_auroc() -> None:
    """`auroc` is undefined of three classes, and the answer was open whatever the networks did."""
    tests = {"same": EnvironmentSpec(), "neutral": EnvironmentSpec.model_validate({"association": {"texture": 0}})}
    recipe = SimpleNamespace(tests=tests, recipe=SimpleNamespace(task="classification"), columns={"recipe": "plain"})
    draw, target = np.random.default_rng(0), np.arange(90) % 3
    panels = {
        name: SeedPredictions(draw.normal(size=(5, 90, 3)) + strength * np.eye(3)[target], target, np.arange(90))
        for name, strength in (("same", 2.0), ("neutral", 0.5))
    }
    records = SimpleNamespace(panel=lambda _, name: panels[name])
    (row,) = compared.change_rows(records, recipe)  # type: ignore[arg-type]
    assert row["measure"] == "auroc-macro"
    assert row["high"] < -row["margin"]
