"""A dose-response of a world in which the target is drawn at random and nothing but the confounder tells it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.studies import TINY, run_tiny

from assay.core.reasons import parse_reason
from assay.execution.run import rebuild
from assay.plugin import Code, RunFolder
from assay.report.words import comparison_name
from assay.spec.schema import RecipePoint
from assay.stats import SeedPredictions
from assay.store.description import read_description
from assay.store.schema import TABLES
from assay.study import gathered as results
from assay.study.contrasts import dose_change_rows
from assay.study.described import DataTables
from assay.study.gathered import Records
from assay.study.records import stored_study
from assay.study.tables import StudyTables

CONFOUNDERS = ("tag", "texture")
"""One that changes pixels, and one by sampling."""
UNSEEN, NAME = "laterality-marker(opacity=0)", "laterality-marker"
"""One that nobody could see."""
LAST = "trunk"
"""The pooled features, the last that can be decoded."""
ALONG: dict[str, Any] = {"axis": "loss", "against": "cross-entropy", "at": "dose-response"}
ALONG_TAG: dict[str, Any] = {
    **ALONG, "factor": "tag", "where": {"confounder": "tag"},
}  # fmt: skip
DOSED: dict[str, Any] = {
    "data": {**TINY["data"], "train": 384, "validation": 64, "test": 128},
    "environments": {
        "train": {
            "association": {"margin": 0},
            "dose": {"confounder": [*CONFOUNDERS, {NAME: {"opacity": 0}}], "p": [0, 1]},
        },
        "clean": {"like": "train", "dose": {"p": 0}},
        "none": {"like": "train", "dose": {"p": 0.5, "on": "both"}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
    },
    "recipe": {"loss": ["cross-entropy", "focal"], "epochs": 4, "batch_size": 32, "optimizer": {"adamw": {"lr": 0.01}}},
    "seeds": 3,
    "probes": ["performance", {"reliance": {"samples": 64}}, {"decodability": {"environment": "none"}}],
    "contrasts": [
        {**ALONG, "environment": "reversed"},
        {**ALONG, "environment": "none", "measure": "worst-group-accuracy"},
        {**ALONG, "factor": "confounder", "measure": "flip-rate"},
        {**ALONG_TAG, "measure": "logit-effect"},
        {**ALONG_TAG, "measure": "decodability", "layer": LAST},
    ],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, study_cache: Path) -> RunFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(study_cache))
        return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "doses", **DOSED).folder)


def measured(
    run: RunFolder, measure: str, confounder: str, p: str, environment: str, **where: str
) -> list[dict[str, Any]]:
    """The estimates of both losses."""
    own = {"measure": measure, "environment": environment, "factor": "", "group": "", "level": "", "layer": "", **where}
    rows = [row for row in run.table("estimates") if all(row[key] == value for key, value in own.items())]
    found = [
        row for row in rows if json.loads(row["coordinates"]).items() >= {"confounder": confounder, "p": p}.items()
    ]
    assert len(found) == 2
    return found


def probed(run: RunFolder, measure: str, p: str, confounder: str = "tag") -> list[float]:
    """What a probe says of the confounder of both losses."""
    where = {"factor": confounder.partition("(")[0]}
    place = "(neutral)"
    if measure == "decodability":
        where, place = {**where, "layer": LAST, "group": "trained"}, "none"
    return [row["value"] for row in measured(run, measure, confounder, p, place, **where)]


@pytest.mark.parametrize("confounder", CONFOUNDERS)
def test_a_model_of_the_confounder_alone_falls_below_chance_when_it_is_reversed(run: RunFolder, confounder: str):
    assert all(row["value"] < 0.35 for row in measured(run, "auroc", confounder, "1", "reversed"))


@pytest.mark.parametrize("environment", ["clean", "reversed"])
def test_a_confounder_that_nobody_could_see_has_no_effect(run: RunFolder, environment: str):
    doses = [[row["value"] for row in measured(run, "auroc", UNSEEN, p, environment)] for p in ("0", "1")]
    assert doses[0] == doses[1]
    changes = [row for row in run.table("dose_changes") if json.loads(row["coordinates"])["confounder"] == UNSEEN]
    assert {row["value"] for row in changes} == {0}
    for p in ("0", "1"):
        assert probed(run, "flip-rate", p, UNSEEN) == probed(run, "logit-effect", p, UNSEEN) == [0, 0]
    rows = [row for row in run.table("contrasts") if json.loads(row["where"])["confounder"] == UNSEEN]
    assert {row["value"] for row in rows} == {0}
    assert all(math.isnan(row["p_holm"]) for row in rows)


def test_what_the_network_does_with_the_tag_rises_with_its_dose(run: RunFolder) -> None:
    for measure in ("flip-rate", "logit-effect"):
        assert min(probed(run, measure, "1")) > max(probed(run, measure, "0"))
    assert min(probed(run, "decodability", "1")) > 0.65  # the logit, which is linear in that layer, does as well


def test_probes_of_the_confounder_are_compared_along_the_doses(run: RunFolder) -> None:
    rows = {row["measure"]: row for row in run.table("contrasts") if row["factor"] == "tag"}
    assert set(rows) == {"flip-rate", "logit-effect", "decodability"}
    for measure, row in rows.items():
        focal, plain = np.subtract(probed(run, measure, "1"), probed(run, measure, "0"))[::-1]
        assert row["value"] == pytest.approx(focal - plain)
        assert row["seeds"] == 3
    assert np.isnan(rows["logit-effect"]["plain_p"])
    page = (run.root / "report.html").read_text()
    for name in ("flip-rate", "logit-effect"):
        assert f'<figure id="figure-probed-{name}"' in page


def test_the_confounder_of_a_contrast_is_that_of_each_recipe(run: RunFolder) -> None:
    rows = [row for row in run.table("contrasts") if row["measure"] == "flip-rate"]
    assert [(row["factor"], json.loads(row["where"])["confounder"]) for row in rows] == [
        ("tag", "tag"),
        ("texture", "texture"),
        (NAME, UNSEEN),
    ]
    assert {row["family"] for row in rows} == {"stated"}


def test_the_worst_group_is_compared_along_the_doses(run: RunFolder) -> None:
    """Each recipe's own worst group at each dose: a model of the tag alone calls none rightly that the tag misleads."""
    rows = {json.loads(row["where"])["confounder"]: row for row in run.table("contrasts") if "worst" in row["measure"]}
    assert list(rows) == [*CONFOUNDERS, UNSEEN]
    of = {p: measured(run, "accuracy", "tag", p, "none", group="worst group") for p in ("0", "1")}
    least = {p: [row["value"] for row in found] for p, found in of.items()}
    assert max(least["1"]) < 0.35
    plain, focal = np.subtract(least["1"], least["0"])
    assert rows["tag"]["value"] == pytest.approx(focal - plain)
    assert 20 <= rows["tag"]["patients"] <= 128
    assert rows["tag"]["paired_patients"] <= rows["tag"]["patients"], "each of them may have another group"
    assert comparison_name(rows["tag"]).startswith(
        "Change in accuracy of the worst group from p = 0 in none, focal against cross-entropy"
    )


def worst_group_changes(run: RunFolder, confounder: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute by hand, from kept outputs, the change of each seed and what each row contributes to it."""
    described = json.loads((run.root / "described.json").read_text())
    study = stored_study(run.root)
    records = Records(study.plan, run, read_description(run, DataTables))
    values, moves = np.zeros(3), np.zeros((3, 128))
    rows = sorted({number for entry in described["worst"] for number in entry["rows"]})
    place = {number: i for i, number in enumerate(rows)}
    for point in study.plan.spec.points:
        loss, of_point, p = (point.coordinates[axis] for axis in ("loss", "confounder", "p"))
        if of_point != confounder:
            continue
        sign = (1 if loss == "focal" else -1) * (1 if p == "1" else -1)
        members = [set(entry["rows"]) for entry in described["worst"] for of in entry["of"] if of[0] == point.label]
        assert len(members) == 3, "one for each seed"
        panel = records.panel(point, "none")
        outputs = [
            run.outputs(study.plan.readings[point.label, trials[0].id, "none"])
            for trials in records.by_point[point.label].values()
        ]
        assert panel is not None
        for seed, (inside, said) in enumerate(zip(members, outputs, strict=True)):
            numbers = np.unique(said["row"])  # as a panel has them
            chosen = np.isin(numbers, sorted(inside))
            log_odds = panel.scores[seed] @ ([-1, 1] if panel.scores.shape[2] == 2 else [1])
            called = 1 / (1 + np.exp(-log_odds)) > panel.thresholds[seed]
            right = (called == panel.target)[chosen]
            values[seed] += sign * right.mean()
            n = len(right)
            at = [place[number] for number in numbers[chosen].tolist()]
            moves[seed, at] += sign * (right - right.mean()) / n * np.sqrt(n / (n - 1))
    return values, moves


def test_the_error_of_the_worst_group_is_that_of_its_patients_and_seeds(run: RunFolder) -> None:
    """Seeds plus patients less what is counted in both; the seeds' part is moderated over the confounders that vary."""
    (row,) = (row for row in run.table("contrasts") if "worst" in row["measure"] and "tag" in row["where"])
    values, moves = worst_group_changes(run, "tag")
    assert row["value"] == pytest.approx(values.mean())
    own = values.var(ddof=1)
    group = [worst_group_changes(run, name)[0].var(ddof=1) for name in CONFOUNDERS]
    seeds = max(own, (4 * np.mean(group) + 2 * own) / 6) / 3
    patients = (moves.mean(axis=0) ** 2).sum()
    both = ((moves**2).sum() - 3 * patients) / 6
    assert row["standard_error"] == pytest.approx(np.sqrt(max(seeds + patients - both, seeds, patients)))


def test_a_target_drawn_at_random_leaves_nothing_to_claim_on_clean_images(run: RunFolder) -> None:
    rows = [row for name in CONFOUNDERS for p in ("0", "1") for row in measured(run, "auroc", name, p, "clean")]
    assert sum(row["low"] <= 0.5 <= row["high"] for row in rows) >= len(rows) - 1


def test_p_0_was_trained_once_for_all(run: RunFolder) -> None:
    assert len({row["trial"] for row in run.table("trials")}) == 2 * (1 + 3) * 3


def test_every_recipe_has_a_change_of_each_confounder_in_every_environment(run: RunFolder) -> None:
    rows = run.table("dose_changes")
    assert [tuple(row) for row in rows] == [TABLES["dose_changes"].names] * 2 * 3 * 3
    assert {json.loads(row["coordinates"])["confounder"] for row in rows} == {*CONFOUNDERS, UNSEEN}


@pytest.mark.nightly
def test_tables_do_not_depend_on_what_memory_keeps(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PANELS_IN_MEMORY", "RECIPES_IN_MEMORY"):
        monkeypatch.setattr(results, name, 1)
    made = StudyTables(
        Records(stored_study(run.root).plan, run, read_description(run, DataTables)),
        read_description(run, DataTables),
    )
    assert repr(list(made["estimates"])) == repr(run.table("estimates"))
    assert [row["p"] for row in made["contrasts"]] == pytest.approx(
        [row["p"] for row in run.table("contrasts")], rel=0, abs=0, nan_ok=True
    )


def test_what_lost_every_seed_is_undefined_in_every_measure_that_is_compared(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = stored_study(run.root)
    spec = study.plan.spec
    first = spec.contrasts[0].model_copy(update={"measure": "average-precision"})
    plan = replace(study.plan, spec=spec.model_copy(update={"contrasts": (first, *spec.contrasts[1:])}))
    records, lost = Records(plan, run, read_description(run, DataTables)), "cross-entropy · tag · 1"
    panel = Records.panel

    def without(self: Records, point: RecipePoint, environment: str) -> SeedPredictions | None:
        return None if point.label == lost else panel(self, point, environment)

    monkeypatch.setattr(Records, "panel", without)
    rows = dose_change_rows(records)
    found = [row for row in rows if row["recipe"] == "cross-entropy · tag" and row["environment"] == "reversed"]
    assert [row["measure"] for row in found] == ["average-precision", "auroc"]
    assert {parse_reason(row["reason"]).codes for row in found} == {(Code.NO_SEED_OF,)}


def test_alike_losses_are_not_told_apart_and_the_page_says_what_the_dose_does(run: RunFolder) -> None:
    rows = [row for row in run.table("contrasts") if row["measure"] == "auroc"]
    assert [json.loads(row["where"]) for row in rows] == [{"confounder": name} for name in (*CONFOUNDERS, UNSEEN)]
    assert {row["decision"] for row in rows} == {"inconclusive"}
    page = (run.root / "report.html").read_text()
    assert "Dose-response" in page
    assert '<figure id="figure-doses"' in page


def test_what_a_sampled_dose_achieved_is_told(run: RunFolder) -> None:
    rows = [row for row in run.table("environments") if row["factor"] == "texture" and row["asked"] == row["asked"]]
    by_name = {row["environment"].partition(" (")[0]: row for row in rows if row["asked"]}
    assert {name: row["asked"] for name, row in by_name.items()} == {"train": 1, "reversed": -1}
    assert all(row["strength"] == row["asked"] for row in by_name.values())


@pytest.mark.nightly
def test_the_worst_group_is_paired_by_patient_and_made_again_without_the_data(run: RunFolder) -> None:
    """Its rows are kept in the folder: the comparison is the same when tables are made from records alone."""
    rows = [row for row in run.table("contrasts") if "worst" in row["measure"]]
    kept = json.loads((run.root / "described.json").read_text())["worst"]
    assert {len(entry["rows"]) for entry in kept} <= set(range(20, 129)), "a group has its 20 images at least"
    assert {entry["environment"] for entry in kept} == {"none"}
    assert sum(len(entry["of"]) for entry in kept) == 3 * 2 * 3 * 2, "seeds, losses, confounders, doses"
    assert not np.isnan([row["standard_error"] for row in rows if "tag" in row["where"]]).any()
    assert rebuild(run.root)
    again = [row for row in run.table("contrasts") if "worst" in row["measure"]]
    np.testing.assert_equal([row["value"] for row in again], [row["value"] for row in rows])
    np.testing.assert_equal([row["standard_error"] for row in again], [row["standard_error"] for row in rows])
