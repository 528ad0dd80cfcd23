"""Single images on the page of a study in folds, where a recipe lost its first seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.special import expit
from tests.study.test_two_sets import hospital
from tests.worlds.studies import run_tiny

from assay.plugin import RunFolder


def test_in_folds_every_recipe_answers_the_image_that_is_shown(tmp_path: Path) -> None:
    images = hospital(tmp_path / "set", 1)
    study = {
        "data": {"folder": str(images), "target": "grade", "patient": "patient", "size": 32, "split": {"folds": 3}},
        "environments": {"train": {}, "same": {}},
        "recipe": {
            "loss": ["cross-entropy", "focal"],
            "epochs": 6,
            "batch_size": 8,
            "optimizer": {"adamw": {"lr": 0.01}},
        },
        "seeds": 2,
    }
    run = RunFolder(run_tiny(tmp_path / "run", **study).folder)
    plan = json.loads((run.root / "plan.json").read_text())
    trials = {trial["id"]: trial for trial in plan["trials"]}
    for id, trial in trials.items():
        if (trial["point"], trial["seed"]) == ("focal", 0):
            record = {name: value for name, value in run.record("trials", id).items() if name != "schema"}
            run.write_record("trials", id, {**record, "status": "collapsed", "reason": ""})
    run_tiny(tmp_path / "run", **study)

    kept = {id for id, trial in trials.items() if (trial["point"], trial["seed"]) != ("focal", 0)}
    logits: dict[str, dict[int, list[float]]] = {"cross-entropy": {}, "focal": {}}
    for reading in plan["readings"]:
        if reading["trial"] in kept:
            outputs = run.outputs(reading["id"])
            for row, (negative, positive) in zip(outputs["row"].tolist(), outputs["logits"].tolist(), strict=True):
                logits[trials[reading["trial"]]["point"]].setdefault(row, []).append(positive - negative)
    shown = [json.loads(row["facts"]) for row in run.table("pictures") if row["kind"] == "case"]
    assert shown
    for facts in shown:
        row = facts["row"] - 2  # a line of the table, below its head
        positive = np.mean([expit(np.mean(by_row[row])) for by_row in logits.values()])
        assert np.isclose(facts["probability"], max(positive, 1 - positive), atol=1e-4), facts
