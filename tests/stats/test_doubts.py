"""The reasons to doubt a study, each said once, in words, with its light."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import ESTIMATES, contrast, estimate, verdict

from assay.core.reasons import reason_in_words
from assay.plugin import Code, Reason
from assay.report.sentences.reasons import reason_words
from assay.stats.doubts import findings_of_reasons, outlying_seeds, study_findings

FOLDED = 0.0833
ONE_POOL = {"shares": 0.0612, "column": 0.0617}


def lights(*args: Any) -> dict[str, str]:
    return {row["text"]: row["light"] for row in verdict([contrast()], ESTIMATES, *args) if row["part"] == "doubt"}


ALWAYS_RIGHT = {"value": 1.0, "low": float("nan"), "high": float("nan"), "reason": str(Reason.of(Code.NO_VARIATION))}
"""What an AUROC of 1 under every seed leaves of an interval."""


def at_dose(p: str, low: float, measure: str = "auroc") -> dict[str, Any]:
    row = estimate("arcface", measure, low + 0.1, 0.1, "clean")
    return {**row, "coordinates": json.dumps({"loss": "arcface", "p": p})}


@pytest.mark.parametrize(
    ("rows", "dosed", "told"),
    [
        ([at_dose("0", 0.45), at_dose("1", 0.7)], "p", " at p = 0: comparisons are not informative"),
        ([at_dose("0", 0.45), at_dose("0", 0.7)], "p", ""),
        ([at_dose("0", 0.45), at_dose("1", 0.4)], "", ": comparisons are not informative"),
        ([at_dose("0", 0.45), at_dose("1", 0.7)], "", ""),
        ([at_dose("0", 0.45, "accuracy")], "", ""),
        ([at_dose("0", 0.45), {**at_dose("0", 0.9), **ALWAYS_RIGHT}], "p", ""),
    ],
)
def test_that_nothing_was_learned_is_told(rows: list[dict[str, Any]], dosed: str, told: str) -> None:
    said = [row["text"] for row in verdict([contrast()], rows, [], [], None, dosed)]
    found = [text for text in said if text.startswith("no recipe is above chance (AUROC 0.50)")]
    assert len(found) == bool(told)
    assert all(text.endswith(told) for text in found)


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "told"),
    [(0.0, 1.0, True), (0.97, 0.04, True), (0.06, 1.0, False), (0.0, 0.0, False), (0.0, float("nan"), False)],
)
def test_a_place_where_nearly_all_images_get_one_class_is_said(
    sensitivity: float, specificity: float, told: bool
) -> None:
    rows = [
        {**estimate("arcface", measure, value, 0.0, place), "group": group}
        for place, group, values in (
            ("site b", "", {"sensitivity": sensitivity, "specificity": specificity}),
            ("site a", "", {"sensitivity": 0.8, "specificity": 0.9}),
            ("site a", "worst", {"sensitivity": 0.0, "specificity": 1.0}),
        )
        for measure, value in values.items()
    ]
    said = [one.reason for one in study_findings([], rows) if one.reason.codes[0] == Code.ONE_CLASS_CALLED]
    assert len(said) == told
    assert all(dict(one.causes[0].fields)["places"] == ("site b",) for one in said)


def test_lights_when_it_is_not(snapshot: SnapshotAssertion) -> None:
    trials = [
        {"status": status, "recipe": "triplet"} for status in ("done", "failed", "failed", "pending", "collapsed")
    ]
    environments = [{"asked": 0.9, "strength": 0.7, "factor": "texture", "environment": "train"}]
    assert lights(trials, environments) == {
        "2 failed, 1 pending, of 5 training runs: left out": "bad",
        "1 training run collapsed (triplet): left out of means": "warn",
        "1 of 1 association not achieved within 0.05: texture in train is 0.70, requested 0.90": "warn",
        "5 seeds: the variation between seeds is only approximately known": "warn",
    }
    unknown = environments[0] | {"strength": math.nan, "environment": "same"}
    told = "2 of 2 associations not achieved within 0.05: texture in train is 0.70, requested 0.90"
    assert all(told in lights(trials, rows) for rows in ([unknown, *environments], [*environments, unknown]))
    folds = [
        {"status": "collapsed" if seed + fold == 0 else "done", "recipe": "triplet", "seed": seed, "fold": fold}
        for seed in range(3)
        for fold in range(5)
    ]
    assert "1 training run collapsed (triplet): 1 of 3 seeds left out of means" in lights(folds)
    one = {"status": "done", "recipe": "arcface"}
    assert lights([one, {"status": "diverged", "recipe": "arcface"}]) == snapshot
    assert lights() == snapshot


def doubts(rows: list[dict[str, Any]], estimates: Any = (), trials: Any = ()) -> dict[str, str]:
    """Text -> light, of these contrasts."""
    return {row["text"]: row["light"] for row in verdict(rows, estimates, trials) if row["part"] == "doubt"}


FEW = contrast(
    seeds=2,
    low=None,
    high=None,
    p=None,
    p_holm=None,
    decision="inconclusive",
    reason=str(Reason.of(Code.FEW_SEEDS, seeds=2, least=3)),
)
LOST = contrast(
    seeds=0,
    value=None,
    p=None,
    p_holm=None,
    decision="inconclusive",
    reason=str(reason_in_words("no log-loss is reached by both")),
)


def test_a_lack_of_seeds_is_told_once_and_other_reasons_beside_it(snapshot: SnapshotAssertion) -> None:
    found = doubts([contrast(seeds=3), FEW, LOST])
    assert found == snapshot
    roughly = "3 seeds: the variation between seeds is only approximately known"
    assert roughly in doubts([contrast(seeds=3, decision="inconclusive")])
    assert len(found) == 3


FAR_OUT = contrast(seeds=3, p=1e-6, p_holm=1e-5, sign_flip_min_p=0.25)


def test_a_far_tail_of_few_seeds_is_cautioned_about(snapshot: SnapshotAssertion) -> None:
    (text,) = (text for text in doubts([FAR_OUT, contrast()]) if "simulation" in text)
    assert text == snapshot
    row = next(row for row in verdict([contrast(), {**FAR_OUT, "id": "far"}], []) if "simulation" in row["text"])
    assert (row["light"], row["evidence"]) == ("warn", "far")
    both = doubts([FAR_OUT, {**FAR_OUT, "seeds": 4, "sign_flip_min_p": 0.125}])
    assert any(text.startswith("2 differences with p < 0.001 on 3 to 4 seeds") for text in both)


def test_folds_say_that_their_p_is_too_small() -> None:
    trials = [{"status": "done", "recipe": "arcface", "fold": fold} for fold in range(5)]
    text = (
        "5 folds share training rows, so the true p is higher than reported: without a true difference, p < 0.05 "
        "occurred in up to 0.08 of simulated comparisons"
    )
    assert doubts([contrast()], [], trials)[text] == "warn"
    assert text not in doubts([contrast()], [], trials[:1])
    assert text not in doubts([LOST], [], trials)


def test_what_is_said_of_folds_is_what_was_simulated() -> None:
    path = Path(__file__).parents[2] / "docs" / "results" / "interval-simulation.csv"
    with path.open() as lines:
        rates = [
            float(row["rate"])
            for row in csv.DictReader(lines)
            if "fold" in row["design"] and row["quantity"].startswith("false positives")
        ]
    assert max(rates) == FOLDED


@pytest.mark.parametrize("split", ["shares", "column"])
def test_splits_that_seeds_redraw_little_of_say_that_their_p_is_too_small(
    split: Any, snapshot: SnapshotAssertion
) -> None:
    rows = verdict([contrast()], [], [{"status": "done", "recipe": "arcface"}], split=split)
    (told,) = (row for row in rows if row["text"].startswith("seeds ") and "simulated comparisons" in row["text"])
    assert told["text"] == snapshot
    assert told["light"] == "warn"
    assert not any("simulated" in row["text"] for row in verdict([LOST], [], [], split=split))
    assert not any("simulated" in row["text"] for row in verdict([contrast()], []))


@pytest.mark.parametrize("split", ["shares", "column"])
def test_what_is_said_of_splits_is_what_was_simulated(split: Any) -> None:
    path = Path(__file__).parents[2] / "docs" / "results" / "split-simulation.csv"
    with path.open() as lines:
        rates = [float(row["rate"]) for row in csv.DictReader(lines) if row["design"].startswith(split)]
    assert len(rates) >= 6
    assert max(rates) == ONE_POOL[split]


def seed_rows(values: dict[str, list[float]], **changes: Any) -> list[dict[str, Any]]:
    where = {"measure": "auroc", "environment": "reversed", "factor": "", "level": "", "layer": "", "group": ""}
    return [
        {**where, "recipe": recipe, "seed": seed, "value": value, **changes}
        for recipe, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]


NEAR = {"triplet": [0.94, 0.95, 0.93], "plain": [0.90, 0.91, 0.92], "arcface": [0.95, 0.93, 0.94], "focal": [0.9] * 3}


def test_a_seed_far_from_the_others_of_its_recipe_is_cautioned_about(snapshot: SnapshotAssertion) -> None:
    (found,) = outlying_seeds(seed_rows({**NEAR, "triplet": [0.94, 0.95, 0.65]}), [contrast()])
    text = reason_words(found)
    assert text == snapshot


@pytest.mark.parametrize(
    "rows",
    [
        seed_rows(NEAR),
        seed_rows({**NEAR, "triplet": [0.94, 0.95, 0.65]}, environment="same"),  # not compared
        seed_rows({**NEAR, "triplet": [0.94, 0.95, 0.65]}, group="untrained"),
        seed_rows({"triplet": [0.94, 0.95, 0.80]}),  # too few to know how seeds vary, and no fifth of the range
        seed_rows({**NEAR, "triplet": [0.94, 0.95, math.nan]}),
        seed_rows({name: [0.5] * 3 for name in NEAR}),
        seed_rows({**{name: [0.5] * 3 for name in NEAR}, "triplet": [0.5, 0.5, 0.515]}),
    ],
)
def test_other_seeds_are_not(rows: list[dict[str, Any]]) -> None:
    assert outlying_seeds(rows, [contrast()]) == []


@pytest.mark.parametrize(("count", "rate"), [(5, 0.05), (1, 0.01)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_normal_seeds_are_seldom_called_outlying(seeds: int, count: int, rate: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [{f"loss {k}": rng.normal(0.7, 0.05, seeds).tolist() for k in range(count)} for _ in range(500)]
    assert np.mean([bool(outlying_seeds(seed_rows(values), [contrast()])) for values in drawn]) < rate


def test_networks_that_predict_nothing_or_everything_do_not_work() -> None:
    """None works where each is one or the other; a single sound one leaves that open, and none is called fine."""

    def trials(*whys: Reason) -> list[dict[str, Any]]:
        return [
            {"trial": str(at), "recipe": "dice", "seed": at, "fold": 0, "status": "done", "reason": str(why)}
            for at, why in enumerate(whys)
        ]

    silent, loud = Reason.of(Code.PREDICTS_NOTHING), Reason.of(Code.PREDICTS_EVERYTHING)

    def said(*whys: Reason) -> list[Code]:
        return [one.reason.codes[0] for one in study_findings([], [], trials(*whys)) if one.kind == "failure"]

    assert said(silent, loud) == [Code.ALL_FINISHED, Code.NONE_WORKS, Code.SILENT_TRIALS, Code.LOUD_TRIALS]
    assert said(silent, Reason()) == [Code.ALL_FINISHED, Code.SILENT_TRIALS]
    assert said(Reason(), Reason()) == [Code.ALL_FINISHED, Code.NONE_COLLAPSED]


def test_many_cautions_of_one_kind_are_one_line_and_others_keep_theirs() -> None:
    """51 lines of one kind pushed the decisive one to place 53."""

    def marks(count: int) -> list[Reason]:
        fields: dict[str, Any] = {"count": 3, "images": 40}
        return [Reason.of(Code.HARDLY_CHANGED, confounder=f"tag {at}", **fields) for at in range(count)]

    own = [reason_in_words(f"the user says {at}") for at in range(5)]
    found = findings_of_reasons([*marks(51), Reason.of(Code.PATIENTS_UNKNOWN, text="none"), *own])
    assert [one.light for one in found] == ["warn", "bad", *["warn"] * 5]
    assert reason_words(found[0].reason).count("confounder 'tag ") == 3
    assert reason_words(found[0].reason).endswith("; and 48 more of this kind")
    assert len(findings_of_reasons(marks(3))) == 3


@pytest.mark.parametrize(
    ("patients", "margin", "measure", "decision", "rare"),
    [
        (40, 0.05, "auroc", "equivalent", 14),  # 1 - 0.05 ** (1 / 40) = 0.072
        (40, 0.05, "accuracy", "lower-small", 14),
        (100, 0.02, "auroc", "equivalent", 34),
        (100, 0.05, "auroc", "equivalent", None),  # 0.030 of the range is under the margin
        (58, 0.05, "dice", "equivalent", 20),
        (59, 0.05, "dice", "equivalent", None),
        (40, 0.05, "auroc", "higher", None),
        (40, 0.05, "log-loss", "equivalent", None),  # no end of its range: nothing bounds what a patient costs
        (40, None, "auroc", "equivalent", None),
    ],
)
def test_a_margin_that_rare_patients_could_undo_is_said(
    patients: int, margin: float | None, measure: str, decision: str, rare: int | None
) -> None:
    row = contrast(effective_patients=patients, margin=margin, measure=measure, decision=decision)
    findings = [one for one in study_findings([row], ESTIMATES) if one.reason.first(Code.RARE_PATIENTS_UNSEEN)]
    assert len(findings) == (rare is not None)
    if rare:
        assert f"could be undone by patients as common as 1 in {rare}, " in reason_words(findings[0].reason)
        assert findings[0].row == "c1"
