"""Units of work: points that share a trial, and failures that a later try makes good."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.cases import first_of
from tests.worlds.studies import TINY, plan_tiny, run_tiny

import assay
from assay.execution import jobs
from assay.plugin import DataError, RunFolder, StoreError

TAGGED = {
    "train": {"interventions": {"tag": {"share": [0, 0.5], "size": [0.2, 0.4]}}},
    "same": {"like": "train"},
    "marked": {"like": "train", "interventions": {"tag": {"share": 0.5}}},
}


@pytest.fixture(autouse=True)
def _use_cache(study_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))


@pytest.mark.parametrize("keep", first_of(["all", "none"]))
def test_points_that_share_a_trial_each_have_their_results(tmp_path: Path, keep: str) -> None:
    """No image is tagged at share 0: both sizes train the same network, which is tested with a tag of each size."""
    prepared = plan_tiny(tmp_path, environments=TAGGED, keep=keep)
    assert len(prepared.plan.trials) == 4
    assert prepared.new_trials == len({trial.id for trial in prepared.plan.trials}) == 3

    result = run_tiny(tmp_path, environments=TAGGED, keep=keep)
    assert (result.trained, result.failed) == (3, 0)
    folder = RunFolder(tmp_path)
    rows = [row for row in folder.table("estimates") if row["measure"] == "accuracy" and not row["group"]]
    assert Counter(row["recipe"] for row in rows) == dict.fromkeys(
        (point.label for point in prepared.spec.points), len(TAGGED) - 1
    )
    assert [row["status"] for row in folder.table("trials")] == ["done"] * 4
    readings = prepared.plan.readings
    twins = [
        (label, id)
        for label, id, name in readings
        if name == "marked" and Counter(trial.id for trial in prepared.plan.trials)[id] == 2
    ]
    assert len({readings[*twin, "marked"] for twin in twins}) == 2
    assert len({readings[*twin, "same"] for twin in twins}) <= 2
    again = plan_tiny(tmp_path, environments=TAGGED, keep=keep)
    assert (again.new_trials, again.new_probes) == (0, 0)


def test_weights_that_a_killed_run_left_behind_are_not_kept_either(tmp_path: Path) -> None:
    """It was killed between the last probe's record and the removal of the weights: nothing is left to be run."""
    run_tiny(tmp_path, keep="all")
    (weights,) = tmp_path.glob("trials/*/weights.safetensors")
    run_tiny(tmp_path, keep="none")
    assert not weights.exists()
    assert plan_tiny(tmp_path, keep="none").tasks == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"probes": ["performance", "decodability"]},
        {"environments": {**TINY["environments"], "turned": {"association": {"texture": -0.5}}}},
    ],
    ids=["probe", "environment"],
)
def test_new_probes_of_weights_that_were_not_kept_are_refused_once_before_anything_is_run(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    run_tiny(tmp_path, keep="none")
    (id,) = RunFolder(tmp_path).ids("trials")
    with pytest.raises(StoreError) as caught:
        plan_tiny(tmp_path, keep="none", seeds=2, **changes)
    assert str(caught.value) == (
        f"1 finished trials in {tmp_path} would be probed again, but their weights were not kept "
        "(keep: none): leave probes and test environments as they were, or train again in another place with --out, or "
        f"here once you have deleted {tmp_path}/trials/{id}"
    )
    assert plan_tiny(tmp_path, keep="none", seeds=2).new_trials == 1
    assert plan_tiny(tmp_path / "elsewhere", keep="none", **changes).new_trials == 1


@pytest.mark.parametrize("probe", ["decodability", "representation"])
def test_a_probe_that_names_an_environment_is_new_when_that_changes_and_only_then(tmp_path: Path, probe: str) -> None:
    """Its numbers of before would else stand as those of what the environment has become."""
    asked: dict[str, Any] = {"probes": [{probe: {"environment": "free"}}, probe]}

    def ids(free: float, other: float) -> list[str]:
        tests = {name: {"association": {"texture": tie}} for name, tie in (("free", free), ("other", other))}
        prepared = plan_tiny(tmp_path, environments={"train": TINY["environments"]["train"], **tests}, **asked)
        return [unit.id for unit in prepared.plan.probes]

    (named, neutral), changed = ids(0.0, 0.9), ids(0.3, 0.9)
    assert (named == changed[0], neutral == changed[1]) == (False, True)
    assert ids(0.0, -0.9) == [named, neutral]


def test_a_probe_that_failed_once_and_then_succeeded_leaves_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise DataError("no luck today")

    tmp_path /= "tiny"
    folder = RunFolder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "run_probes", broken)
        with pytest.warns(UserWarning, match="1 task failed"):
            run = assay.load(TINY).run(tmp_path.parent, workers=0, progress=False)
        assert run.result is not None
        assert run.result.failed == 1
    (trial,) = folder.ids("trials")
    assert folder.failures() == {trial: {"task": "probes of cross-entropy, seed 0", "text": "no luck today"}}
    assert [row["status"] for row in folder.table("trials")] == ["failed"]

    assert run_tiny(tmp_path).failed == 0
    assert folder.failures() == {}
    assert [row["status"] for row in folder.table("trials")] == ["done"]
