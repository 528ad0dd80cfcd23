"""Scores and outputs of models."""

# pyright: basic

from __future__ import annotations

import itertools
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper
from scipy.special import softmax
from sklearn.metrics import accuracy_score, roc_auc_score
from tests.cli.asking import Asking
from tests.reading import tables_for_tests as tables
from tests.reading.situations import situation
from tests.worlds.files import save, write_rows, write_table

import assay
from assay.plugin import DataError, SpecError, WeightsError

SIDE, COUNT = 12, 120
DRAWS = np.random.default_rng(0)
TARGET = np.arange(COUNT) % 2
TRUTH = DRAWS.normal(size=COUNT) + 1.2 * (2 * TARGET - 1)
"""Log-odds of a model of these images: its mean gray value has the same order."""
GRAY = (128 + 12 * TRUTH).round().clip(20, 235).astype(np.uint8)
NONE: dict[str, Any] = {"marks": {}, "distortions": [], "progress": False, "pictures": False}


def of_gray(images: np.ndarray) -> np.ndarray:
    """The mean gray value, centered."""
    return np.asarray(images.mean((1, 2, 3), dtype=np.float64) * 255 - 128)


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Even gray images, of which the positive ones are brighter."""
    folder = tmp_path_factory.mktemp("gray")
    rows: list[list[object]] = [["image", "finding", "who"]]
    for at in range(COUNT):
        pixels = np.full(SIDE * SIDE, GRAY[at], dtype=np.uint8)
        pixels[at], pixels[(at + 9) % len(pixels)] = GRAY[at] + 9, GRAY[at] - 9  # no two alike, and the same mean
        save(folder / f"{at}.png", pixels.reshape(SIDE, SIDE))
        rows.append([f"{at}.png", int(TARGET[at]), f"p{at}"])
    write_table(folder / "data.csv", rows)
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def audited(model: Callable[[np.ndarray], Any] | Path, folder: Path, **more: Any) -> assay.Audit:
    given: dict[str, Any] = {**NONE, **more}
    return assay.audit(model, {"folder": str(folder), "target": "finding", "patient": "who", "size": SIDE}, **given)


def of_checks(found: assay.Audit, name: str) -> Any:
    table: Any = found.table("checks").set_index("check")
    return table.loc[name]


def said(found: assay.Audit) -> dict[str, str]:
    table = found.table("provenance")
    return dict(zip(table.key, table.value, strict=True))


def predictions(scores: np.ndarray, target: np.ndarray = TARGET) -> Path:
    """Write predictions with every digit of the scores."""
    path = Path("predictions.csv")
    rows = [[at, int(y), repr(float(s))] for at, (y, s) in enumerate(zip(target, scores, strict=True))]
    write_table(path, [["image", "target", "score"], *rows])
    return path


def auroc_of(ask: Asking, path: Path, *more: str) -> tuple[float, str]:
    """Audit predictions; return the AUROC and all that was printed."""
    answer = ask("audit", path, "--target", "target", "--score", "score", "--out", "out", *more)
    assert answer.code == 0, answer.err
    checks = assay.open_run("out").table("checks").set_index("check")
    return float(checks.value["ranking"]), answer.out


# Predictions in a table.

EXTREME = {
    "around 1e-20": 10.0 ** (-20 + 4 * TRUTH),
    "around 1e-40": 10.0 ** (-40 + TRUTH),
    "subnormal": 5e-324 * np.floor(50 + 10 * TRUTH),
    "within 1e-12 of 1": 1 - 10.0 ** (-12 - TRUTH),
}


@pytest.mark.parametrize("kind", EXTREME)
@situation(
    "probabilities of a confident network, from 1e-320 to 1 - 1e-15", "ranked as given: the AUROC of scikit-learn"
)
def test_extreme_probabilities_are_ranked_as_given(kind: str, ask: Asking) -> None:
    value, out = auroc_of(ask, predictions(EXTREME[kind]))
    assert value == pytest.approx(roc_auc_score(TARGET, EXTREME[kind]), abs=1e-12)
    assert "scores: probabilities from" in out.splitlines()[1]


def recipes(**scores: np.ndarray) -> list[dict[str, Any]]:
    """Return rows of predictions of recipes."""
    return [
        {"loss": name, "image": str(at), "target": int(TARGET[at]), "score": float(one)}
        for name, values in scores.items()
        for at, one in enumerate(values)
    ]


@situation("two recipes whose probabilities have the same order, one of them around 1e-20", "compared as equal")
def test_recipes_of_one_order_do_not_differ() -> None:
    p, tiny = 1 / (1 + np.exp(-TRUTH)), EXTREME["around 1e-20"]
    found = assay.compare(recipes(a=p, b=tiny), "loss")
    values = [row["value"] for row in found.estimates]
    assert values == pytest.approx([roc_auc_score(TARGET, p)] * 2, abs=1e-12)


@situation(
    "scores of exactly 0 and 1", "ranked as given; for log-odds half the smallest distance, counted and reported"
)
def test_exact_zeros_and_ones_are_counted(ask: Asking) -> None:
    p = (1 / (1 + np.exp(-3 * TRUTH))).astype(np.float32).astype(np.float64)
    p[p > 0.99], p[p < 0.01] = 1.0, 0.0
    value, out = auroc_of(ask, predictions(p))
    assert value == pytest.approx(roc_auc_score(TARGET, p), abs=1e-12)
    first = out.splitlines()[1]
    assert f"{(p == 1).sum()} scores of exactly 1 set to 1 - " in first
    assert f"{(p == 0).sum()} scores of exactly 0 set to " in first


@situation("hard labels of 0 and 1 as scores", "ranked with their ties")
def test_hard_labels_are_ranked_with_ties(ask: Asking) -> None:
    hard = (TRUTH > 0).astype(float)
    assert auroc_of(ask, predictions(hard))[0] == pytest.approx(roc_auc_score(TARGET, hard), abs=1e-12)


PROBABILITY = 1 / (1 + np.exp(-TRUTH))


@situation("decisions in `y_pred` beside `y_prob`", "no group of their own")
def test_the_column_of_the_positive_class_is_read(ask: Asking, tmp_path: Path) -> None:
    columns = {"prob_0": 1 - PROBABILITY, "prob_1": PROBABILITY, "label": TARGET, "y_pred": (PROBABILITY > 0.5) * 1}
    pd.DataFrame({"file": [f"{at}.png" for at in range(COUNT)], **columns}).to_csv(tmp_path / "p.csv", index=False)
    said = ask("validate", tmp_path / "p.csv", "--out", tmp_path / "out")
    assert 'score "prob_1", target "label"' in said.out
    assert "groups:" not in said.out
    table = pd.read_csv(tmp_path / "p.csv").assign(y_pred=["abcd"[at % 4] for at in range(COUNT)])
    table.rename(columns={"y_pred": "predicted_density"}).to_csv(tmp_path / "p.csv", index=False)
    assert "groups: predicted_density" in ask("validate", tmp_path / "p.csv", "--out", tmp_path / "grouped").out


@situation("confidences of the class that is called, named with `--score`", "asked; `--as-given` reads them as given")
def test_confidences_are_no_scores_of_the_positive_class(ask: Asking, tmp_path: Path) -> None:
    call = (PROBABILITY > 0.5) * 1
    columns = {"prediction": call, "confidence": np.where(call, PROBABILITY, 1 - PROBABILITY), "label": TARGET}
    pd.DataFrame({"file": [f"{at}.png" for at in range(COUNT)], **columns}).to_csv(tmp_path / "p.csv", index=False)
    named = ["validate", tmp_path / "p.csv", "--score", "confidence", "--out", tmp_path / "out"]
    said = ask(*named)
    assert said.code == 2
    assert "'confidence' seems to be of the class that 'prediction' names" in said.err
    assert ask(*named, "--as-given").code == 0


@pytest.mark.parametrize("command", ["validate", "audit", "compare"])
@situation(
    "confidences of the predicted class without a column of decisions: none is below 0.5",
    "asked by `validate`, `audit` and `compare`; `--as-given` reads them as given",
)
def test_confidences_without_decisions_are_asked_about(command: str, ask: Asking, tmp_path: Path) -> None:
    columns = {"file": [f"{at}.png" for at in range(COUNT)], "loss": "a", "label": TARGET}
    table = pd.DataFrame(columns).assign(probability=np.maximum(PROBABILITY, 1 - PROBABILITY))
    table = pd.concat([table, table.assign(loss="b")]) if command == "compare" else table
    by = ["--by", "loss"] if command == "compare" else []
    for factor, more in ((1, []), (100, ["--scores", "percent"])):
        table.assign(probability=factor * table.probability).to_csv(tmp_path / "p.csv", index=False)
        named = [command, tmp_path / "p.csv", "--out", tmp_path / f"out{factor}", *by, *more]
        said = ask(*named)
        assert (said.code, f"'probability' of p.csv is never below {factor / 2:g}" in said.err) == (2, True), said.err
        assert "--as-given" in said.err
        assert ask(*named, "--as-given").code == 0
    table.assign(probability=0.4 + 0.6 * table.probability.rank(pct=True)).to_csv(tmp_path / "p.csv", index=False)
    assert ask(command, tmp_path / "p.csv", "--out", tmp_path / "other", *by).code == 0, "some are below 0.5"


@situation(
    "confidences from 1/k on, beside decisions for k classes, of which the target is one", "asked in the same way"
)
def test_confidences_of_several_classes_are_asked_about(ask: Asking, tmp_path: Path) -> None:
    share = np.where(np.arange(COUNT) % 3, 0.6, 0.4)
    several = np.stack([PROBABILITY, share * (1 - PROBABILITY), (1 - share) * (1 - PROBABILITY)], axis=1)
    columns = {
        "file": [f"{at}.png" for at in range(COUNT)],
        "melanoma": TARGET,
        "predicted_class": np.array(["melanoma", "naevus", "keratosis"])[several.argmax(1)],
        "probability": several.max(1),
    }
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    assert 1 / 3 <= several.max(1).min() < 0.5
    assert len(set(columns["predicted_class"])) > 2
    named = ["validate", tmp_path / "p.csv", "--score", "probability", "--out", tmp_path / "out"]
    said = ask(*named)
    assert (said.code, "seems to be of the class that 'predicted_class' names" in said.err) == (2, True), said.err
    assert ask(*named, "--as-given").code == 0


@situation("a column `prediction` of two values and no other scores, in `assay validate`", "asked: calls or scores")
def test_calls_are_no_scores_unless_they_are_named(ask: Asking, tmp_path: Path) -> None:
    columns = {"file": [f"{at}.png" for at in range(COUNT)], "prediction": (PROBABILITY > 0.5) * 1, "label": TARGET}
    pd.DataFrame(columns).to_csv(tmp_path / "p.csv", index=False)
    said = ask("validate", tmp_path / "p.csv", "--out", tmp_path / "out")
    assert said.code == 2
    assert "'prediction' of p.csv has two values" in said.err
    assert "--calls prediction" in said.err
    assert ask("validate", tmp_path / "p.csv", "--calls", "prediction", "--out", tmp_path / "out").code == 0
    assert ask("validate", tmp_path / "p.csv", "--score", "prediction", "--out", tmp_path / "scores").code == 0


PERCENT = 100 / (1 + np.exp(-TRUTH))


MISSING: dict[str, tuple[np.ndarray, list[float]]] = {
    "-1 among probabilities": (PROBABILITY, [-1]),
    "999 among probabilities": (PROBABILITY, [999]),
    "-999 and -1 among percent": (PERCENT, [-999, -1]),
    "-9999 among log-odds": (TRUTH, [-9999]),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("command", ["validate", "audit"])
@situation(
    "-1, 999 or -999 in place of missing scores",
    "asked: empty these cells, or `--scores logits` if every number is a score",
)
def test_numbers_of_missing_scores_are_asked_about(command: str, kind: str, ask: Asking) -> None:
    scores, codes = MISSING[kind]
    holed = np.where(np.arange(COUNT) % 20 == 3, codes[0], np.where(np.arange(COUNT) % 20 == 9, codes[-1], scores))
    said = ask(command, predictions(holed), "--out", "out")
    named = " or ".join(f"{code:g}" for code in codes)
    assert (said.code, f" are {named}, and the others are from {scores.min():.1g}"[:-1] in said.err) == (2, True)
    assert "empty these cells" in said.err
    assert ask(command, "predictions.csv", "--scores", "logits", "--as-given", "--out", "out").code == 0
    table = pd.read_csv("predictions.csv").replace({"score": codes}, np.nan)
    table.to_csv("predictions.csv", index=False)
    more = [] if command == "validate" else ["--skip-bad-rows"]
    more += ["--scores", "percent"] if scores is PERCENT else []
    assert ask(command, "predictions.csv", *more, "--out", "emptied").code == 0


@situation("-1 for a missing score, in rows that `validate --by` combines", "asked before they are combined")
def test_a_missing_score_is_not_averaged(ask: Asking) -> None:
    scores = np.where(np.arange(COUNT) % 20 == 3, -1, PROBABILITY)
    pd.DataFrame({"exam": np.arange(COUNT) // 4, "target": TARGET, "score": scores}).to_csv("p.csv", index=False)
    said = ask("validate", "p.csv", "--by", "exam", "--rule", "mean", "--out", "out")
    assert (said.code, "6 of the scores in 'score' are -1" in said.err) == (2, True)


@situation("scores from 0 to 100", "asked: percent or log-odds; with `--scores percent` divided by 100")
def test_scores_up_to_100_are_asked_about(ask: Asking) -> None:
    path = predictions(PERCENT)
    refused = ask("audit", path, "--target", "target", "--score", "score", "--out", "out")
    assert refused.code == 2
    assert "--scores percent" in refused.err
    assert f"{PERCENT.max():.3g}" in refused.err
    assert auroc_of(ask, path, "--scores", "percent")[0] == pytest.approx(roc_auc_score(TARGET, PERCENT), abs=1e-12)
    table = assay.open_run("out").table("groups")
    value = table[(table["column"] == "") & (table.measure == "sensitivity")].value.iloc[0]
    assert value == pytest.approx((PERCENT[TARGET == 1] >= 50).mean())
    assert ask("audit", path, "--target", "target", "--scores", "probabilities", "--out", "o").code == 2


@pytest.mark.parametrize(("least", "most"), [(0, 6), (1, 5)])
@situation("grades such as BI-RADS, from 0 to 6 or 1 to 5, as scores", "asked; with `--scores logits` ranked as given")
def test_grades_are_asked_about(ask: Asking, least: int, most: int) -> None:
    grades = np.clip(np.round(TRUTH + (least + most) / 2), least, most)
    path = predictions(grades)
    refused = ask("audit", path, "--target", "target", "--score", "score", "--out", "out")
    assert refused.code == 2
    assert "grades such as BI-RADS" in refused.err
    assert auroc_of(ask, path, "--scores", "logits")[0] == pytest.approx(roc_auc_score(TARGET, grades), abs=1e-12)


@situation("percentages in a table for `assay compare`", "asked in the same way, with the same option")
def test_compare_asks_about_per_cent(ask: Asking) -> None:
    rows = [["loss", "image", "target", "score"]]
    rows += [[name, str(at), str(TARGET[at]), repr(float(PERCENT[at]))] for name in "ab" for at in range(COUNT)]
    write_table(Path("p.csv"), rows)
    assert "--scores percent" in ask("compare", "p.csv", "--by", "loss").err
    found = json.loads(ask("compare", "p.csv", "--by", "loss", "--scores", "percent", "--json").out)
    assert found["estimates"][0]["value"] == pytest.approx(roc_auc_score(TARGET, PERCENT), abs=1e-12)
    assert any("percent" in line for line in found["read"])


def rows_of_models(case: str, **constants: str) -> list[dict[str, Any]]:
    """A row per image and model; two images are of one patient."""
    named = [{case: f"i{at}", "who": f"p{at // 2}", "target": str(TARGET[at])} for at in range(COUNT)]
    scores = {"A": TRUTH, "B": TRUTH + DRAWS.normal(size=COUNT)}
    return [
        {**row, "model": name, "score": repr(float(logit)), **constants}
        for name, values in scores.items()
        for row, logit in zip(named, values, strict=True)
    ]


@situation(
    "rows of several models in one table, for `assay audit` or `assay validate`",
    "refused, with the models and the `assay compare` that runs as it is printed",
)
@pytest.mark.parametrize("command", ["audit", "validate"])
@pytest.mark.parametrize("case", ["image", "case_id"])
def test_rows_of_several_models_are_not_read_as_one(ask: Asking, command: str, case: str) -> None:
    folder = Path("a folder")
    folder.mkdir()
    path = write_rows(folder / "long.csv", rows_of_models(case))
    refused = ask(command, path, "--out", "out")
    assert refused.code == 2
    assert "since 'model' has a row for each of A, B" in refused.err
    line = refused.err.strip().rpartition(": ")[2]
    compared = ask(*shlex.split(line)[1:], "--json")
    assert compared.code == 0
    assert [row["recipe"] for row in json.loads(compared.out)["estimates"]] == ["A", "B"]


@situation("rows of several models in a table without a column of cases", "refused if each has the same patients")
def test_models_of_the_same_patients_are_found_without_a_column_of_cases(ask: Asking) -> None:
    rows = [{name: cell for name, cell in row.items() if name != "image"} for row in rows_of_models("image")]
    for command, columns in (("audit", "--columns"), ("validate", "--groups")):
        refused = ask(command, write_rows(Path("long.csv"), rows), "--out", command)
        assert refused.code == 2
        assert "'model' has the same cases for each of A, B" in refused.err
        assert ask(command, "long.csv", columns, "model", "--out", command).code == 0, "a column that is named as such"
    scanners = [row for at, row in enumerate(rows) if at < COUNT or at > COUNT + 10]
    assert ask("audit", write_rows(Path("long.csv"), scanners), "--out", "out").code == 0, "of other patients"


@pytest.mark.parametrize(
    ("command", "by", "remedy"),
    [
        ("validate", [], "join them with --by image"),
        ("audit", [], "keep one row of each"),
        ("compare", ["--by", "loss"], "--seed part, if each is a network of its own"),
    ],
)
@situation(
    "a row for each image and fold, of patients with several images", "refused, and the column of folds is named"
)
def test_the_column_of_several_rows_of_an_image_is_named(ask: Asking, command: str, by: list[str], remedy: str) -> None:
    rows = [
        [f"{at}.png", f"p{at // 4}", TARGET[at // 4], part, loss, f"{1 / (1 + np.exp(-TRUTH[at] - part / 9)):.6f}"]
        for at, part in itertools.product(range(COUNT), range(5))
        for loss in ("a", "b")[: 1 + len(by)]
    ]
    write_table(Path("p.csv"), [["image", "patient", "target", "part", "loss", "score"], *rows])
    answer = ask(command, "p.csv", *by, "--out", "out")
    assert answer.code == 2
    assert "'part' has a row for each of 0, 1, 2, ..." in answer.err
    assert remedy in answer.err
    more = {"validate": ["--by", "image", "--rule", "mean"], "compare": [*by, "--seed", "part"]}.get(command, [])
    if more:
        answer = ask(command, "p.csv", *more, "--out", "out")
        assert answer.code == 0, answer.err


@situation("`assay validate --by model` of a table with several models", "refused, with the `assay compare` to run")
def test_models_are_not_combined_into_cases(ask: Asking) -> None:
    path = write_rows(Path("long.csv"), rows_of_models("image"))
    refused = ask("validate", path, "--by", "model", "--out", "out")
    assert refused.code == 2
    assert refused.err.strip().endswith(": assay compare long.csv --by model")
    assert ask(*refused.err.strip().rpartition(": assay ")[2].split()).code == 0
    combined = ask("validate", path, "--by", "image", "--out", "out")
    assert (
        "('model': A, B) are combined into one score per case. To compare them: assay compare long.csv" in combined.out
    )


@situation("one recipe with probabilities and one with log-odds in a table", "each read as what it is, and reported")
def test_each_recipe_has_its_own_kind_of_scores() -> None:
    p = 1 / (1 + np.exp(-TRUTH))
    found = assay.compare(recipes(a=p, b=TRUTH), "loss", measure="accuracy")
    right = accuracy_score(TARGET, TRUTH >= 0)
    assert [row["value"] for row in found.estimates] == pytest.approx([right, right])


@situation("a threshold at which all calls are of one class", "a caution: sensitivity or specificity is 0")
def test_calls_of_one_class_are_a_caution(ask: Asking) -> None:
    _, out = auroc_of(ask, predictions(EXTREME["around 1e-20"]))
    assert "all images are assigned one class" in out.lower(), "in the headline or its row"
    assert "sensitivity 0" in out


@situation(
    "inverted predictions: scores of the other class", "stopped, with the option to write; `--as-given` continues"
)
def test_predictions_upside_down_are_stopped(ask: Asking) -> None:
    path = predictions(-TRUTH)
    refused = ask("audit", path, "--target", "target", "--out", "out")
    assert refused.code == 2
    assert "--positive 0" in refused.err
    assert auroc_of(ask, path, "--positive", "0")[0] == pytest.approx(roc_auc_score(1 - TARGET, -TRUTH), abs=1e-12)
    assert ask("audit", path, "--target", "target", "--as-given", "--out", "o").code == 0
    checks = assay.open_run("o").table("checks").set_index("check")
    assert checks.value["ranking"] == pytest.approx(roc_auc_score(TARGET, -TRUTH), abs=1e-12)
    assert checks.status["ranking"] == "warn"


@situation("predictions of a useless model, of AUROC near 0.5", "read: chance is not inverted")
def test_chance_is_not_upside_down(ask: Asking) -> None:
    scores = np.random.default_rng(1).normal(size=COUNT)
    assert auroc_of(ask, predictions(scores))[0] == pytest.approx(roc_auc_score(TARGET, scores), abs=1e-12)


@situation(
    "an audit with several findings on one column, such as a cue and groups of other sensitivity",
    "terminal and page say in one sentence how they belong together",
)
def test_findings_on_one_column_are_related(ask: Asking) -> None:
    draws = np.random.default_rng(1)
    target = draws.integers(0, 2, 600)
    sex = np.where(draws.random(600) < 0.8, target, 1 - target)
    score = 1.5 * (target - 0.5) + 2 * (sex - 0.5) + draws.normal(size=600)
    names, odds = map(str, range(600)), score.tolist()
    rows = [
        ["image", "target", "sex", "ward", "score"],
        *zip(names, target, sex, draws.integers(0, 2, 600), odds, strict=True),
    ]
    write_table(Path("p.csv"), rows)
    sentence = "Findings on sex may have one cause: it predicts the target (AUROC 0."
    out = ask("audit", "p.csv", "--columns", "sex,ward", "--out", "out").out
    assert sentence in out
    assert "scores differ with it within classes and sensitivity differs between its groups." in out
    assert "Findings on ward" not in out
    assert sentence in Path("out/report.html").read_text()


@situation(
    "`assay validate`, `audit` or `look` of the same file with other options, in the same folder",
    "a caution names the options in which the earlier result differed",
)
def test_a_result_with_other_options_is_not_replaced_in_silence(ask: Asking, gray: Path) -> None:
    path = predictions(TRUTH)
    for command, option, value in (
        ("validate", "--margin", "0.1"),
        ("audit", "--margin", "0.1"),
        ("look", "--size", "32"),
    ):
        named = (command, gray if command == "look" else path, "--target", "finding" if command == "look" else "target")
        assert "was replaced" not in ask(*named).out
        assert "was replaced" not in ask(*named).out, "the same options"
        changed = ask(*named, option, value).out
        assert f"had other options ({option}) and was replaced; --out keeps both" in changed
        assert "was replaced" not in ask(*named, option, value).out


# Models.


@situation("a model whose first images score from 0 to 1, and a later one -0.9", "log-odds: all images decide")
def test_all_scores_decide_what_scores_are(gray: Path) -> None:
    def late(images: np.ndarray) -> np.ndarray:
        found = of_gray(images) / 300 + 0.5
        return np.where(found < np.sort(GRAY.astype(float))[0] / 300 + 0.5 - 128 / 300 + 1e-6, -0.9, found)

    found = audited(late, gray)
    assert said(found)["scores"].startswith("logits from -0.9")


@situation("a function that gives float64 probabilities of 1e-40", "ranked as given: the AUROC of scikit-learn")
def test_probabilities_of_a_function_are_ranked_as_given(gray: Path) -> None:
    found = audited(lambda images: 10.0 ** (-40 + of_gray(images) / 12), gray)
    expected = roc_auc_score(TARGET, GRAY)
    assert of_checks(found, "ranking").value == pytest.approx(expected, abs=1e-12)
    near = audited(lambda images: 1 - 10.0 ** (-12 - of_gray(images) / 40), gray)
    assert of_checks(near, "ranking").value == pytest.approx(expected, abs=1e-12)


@situation("a model that gives percentages", "asked; with `--scores percent` read as probabilities")
def test_per_cent_of_a_model_is_asked_about(gray: Path) -> None:
    def percent(images: np.ndarray) -> np.ndarray:
        return 100 / (1 + np.exp(-of_gray(images) / 12))

    with pytest.raises(SpecError, match="percent"):
        audited(percent, gray)
    found = audited(percent, gray, scores="percent")
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)
    assert said(found)["scores"].startswith("percent")


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)])
@situation(
    "a model that gives two rows for each image", "refused, with the rows that came and those that were expected"
)
def test_an_output_whose_rows_are_not_the_images_is_refused(shape: tuple[int, ...], gray: Path) -> None:
    def twice(images: np.ndarray) -> np.ndarray:
        return np.repeat(of_gray(images), 2 * (2 if shape == (-1, 2) else 1)).reshape(shape)

    with pytest.raises(SpecError, match=r"scores of the shape \[2.* for 1 images; expected 1 rows"):
        audited(twice, gray)


def onnx_file(
    path: Path,
    outputs: dict[str, list[float]],
    rows: int = 1,
    batch: str | int = "b",
    added: list[float] | None = None,
    channels: int = 1,
    **names: str,
) -> Path:
    """Write a network whose outputs are multiples of the mean gray value; with several rows, that of each repeated."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0)]
    nodes += [helper.make_node("Unsqueeze", ["m", "one"], ["c"]), helper.make_node("Sub", ["c", "half"], ["d"])]
    if rows > 1:
        nodes[-1] = helper.make_node("Sub", ["c", "half"], ["e"])
        nodes += [helper.make_node("Concat", ["e"] * rows, ["d"], axis=0)]
    held = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("half", TensorProto.FLOAT, [1], [128 / 255]),
    ]
    for name, weights in outputs.items():
        held.append(helper.make_tensor(f"w{name}", TensorProto.FLOAT, [1, len(weights)], weights))
        held.append(helper.make_tensor(f"b{name}", TensorProto.FLOAT, [len(weights)], added or [0.0] * len(weights)))
        nodes.append(helper.make_node("MatMul", ["d", f"w{name}"], [f"p{name}"]))
        nodes.append(helper.make_node("Add", [f"p{name}", f"b{name}"], [name]))
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, len(w)]) for name, w in outputs.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, channels, SIDE, SIDE])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [image], made, held), opset_imports=[helper.make_opsetid("", 13)]
    )
    model.ir_version = 8
    for key, value in names.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(path))
    return path


@situation("an ONNX file whose output has two rows for each image, of a fixed batch", "refused in the same way")
def test_rows_of_an_onnx_file_with_a_fixed_batch_are_counted(tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"y": [40.0]}, rows=2, batch=1)
    with pytest.raises(SpecError, match=r"scores of the shape \[2, 1\] for 1 images; expected 1 rows"):
        audited(path, gray, channels="gray")


@situation(
    "gray images for an ONNX file of three channels, or images in color for one", "refused, with the option to write"
)
def test_images_of_other_channels_name_the_option(tmp_path: Path, gray: Path, ask: Asking) -> None:
    for channels, kind, other in ((3, "color", "gray"), (1, "gray", "color")):
        path = onnx_file(tmp_path / f"{channels}.onnx", {"y": [40.0]}, channels=channels)
        refused = ask("audit", path, "--images", gray, "--target", "finding", "--channels", other)
        assert refused.code != 0
        assert refused.err.rstrip().endswith(f"give --channels {kind}")


@situation("an ONNX file with the outputs aux and logits", "logits is read, and reported")
def test_the_output_called_like_scores_is_read(tmp_path: Path, gray: Path) -> None:
    found = audited(onnx_file(tmp_path / "m.onnx", {"aux": [-40.0], "logits": [40.0]}), gray, channels="gray")
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)
    assert said(found)["outputs"].startswith("logits, of aux and logits")


@situation("an ONNX file with several outputs of which none is named like scores", "asked for with --output")
def test_several_outputs_without_such_a_name_are_asked_for(tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"a": [-40.0], "b": [40.0]})
    with pytest.raises(SpecError, match=r"has the outputs a, b: name the one with the scores"):
        audited(path, gray, channels="gray")
    found = audited(path, gray, channels="gray", output="b")
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)


@situation("another output with a much higher AUROC than the one that is read", "a caution")
def test_a_much_better_output_is_a_caution(gray: Path) -> None:
    def three(images: np.ndarray) -> np.ndarray:
        value = of_gray(images)
        return np.stack([np.sin(97 * value), value, -value], axis=1)

    found = audited(three, gray, output=0, head="sigmoid", as_given=True)
    words = " ".join(found.table("checks").query("status == 'warn'").text)
    assert f"output 1 has an AUROC of {roc_auc_score(TARGET, GRAY):.2f}" in words


@situation("another tensor of an ONNX file with a much higher AUROC than the one that is read", "a caution")
def test_a_much_better_tensor_is_a_caution(tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"main": [-40.0], "aux": [-3.0, 40.0]})
    words = " ".join(
        audited(path, gray, channels="gray", output="main", as_given=True, scores="logits").table("checks").text
    )
    assert f"output 'aux:1' has an AUROC of {roc_auc_score(TARGET, GRAY):.2f} on these images" in words
    words = " ".join(audited(path, gray, channels="gray", output="aux:1", scores="logits").table("checks").text)
    assert "output 'main' has" not in words


@situation("an inverted model: its score is that of the other class", "stopped, with the option to write")
def test_a_model_upside_down_is_stopped(gray: Path) -> None:
    with pytest.raises(SpecError, match=r"with the classes the other way round.*positive"):
        audited(lambda images: -of_gray(images), gray)


@situation("a model that expects BGR", "stopped: BGR is named before the classes the other way round")
def test_a_model_of_bgr_is_stopped(tmp_path: Path) -> None:
    rows: list[list[object]] = [["image", "finding", "who"]]
    for at in range(COUNT):
        noise = np.random.default_rng(at).integers(-9, 9, (SIDE, SIDE))
        pixels = np.stack([noise + GRAY[at], noise + 128, noise + 255 - GRAY[at]], axis=2)
        save(tmp_path / f"{at}.png", pixels.clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", int(TARGET[at]), f"p{at}"])
    write_table(tmp_path / "data.csv", rows)
    with pytest.raises(SpecError, match=r"with images read as BGR \(0.9\d with the classes the other way round\)"):
        audited(lambda images: images[:, 2].mean((1, 2)) - images[:, 0].mean((1, 2)), tmp_path, scores="logits")


def shaped(folder: Path) -> Path:
    """Color images of any brightness and contrast, of which the positive ones have a larger bright area, and bluer."""
    rows: list[list[object]] = [["image", "finding", "who"]]
    for at in range(COUNT):
        draws = np.random.default_rng(at)
        pattern = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) < 48 + 8 * TRUTH[at]).astype(np.float64)
        pixels = draws.uniform(10, 80) + draws.uniform(40, 120) * pattern[..., None]
        save(folder / f"{at}.png", (pixels + np.array([0, 0, 18 + 4 * TRUTH[at]])).round().astype(np.uint8))
        rows.append([f"{at}.png", int(TARGET[at]), f"p{at}"])
    write_table(folder / "data.csv", rows)
    return folder


def noisy_unless(right: bool, score: np.ndarray) -> np.ndarray:
    """The score, or noise where images were read in another way."""
    return score if right else np.sin(5e5 * score)


def of_minmax(images: np.ndarray) -> np.ndarray:
    low, high = images.min((1, 2, 3)), images.max((1, 2, 3))
    return noisy_unless(bool((low == 0).all() and (high == 1).all()), images.mean((1, 2, 3), dtype=np.float64))


def of_zscore(images: np.ndarray) -> np.ndarray:
    right = np.allclose(images.mean((1, 2, 3)), 0, atol=1e-4) and np.allclose(images.std((1, 2, 3)), 1, atol=1e-3)
    return noisy_unless(right, -(images**3).mean((1, 2, 3), dtype=np.float64))


def of_caffe(images: np.ndarray) -> np.ndarray:
    blue, red = images[:, 0] + 103.939, images[:, 2] + 123.68
    right = bool((np.abs(blue - blue.round()) < 1e-3).all() and (red >= 0).all())
    return noisy_unless(right, (blue - red).mean((1, 2), dtype=np.float64))


@pytest.mark.parametrize(
    ("name", "model"), [("image-minmax", of_minmax), ("image-zscore", of_zscore), ("caffe", of_caffe)]
)
@situation(
    "a model whose training scaled each image by itself (min-max or z-score), or as Caffe did",
    "stopped, with the option to write, which scales so",
)
def test_a_scaling_of_each_image_or_of_caffe_is_named_and_used(tmp_path: Path, name: str, model: Any) -> None:
    folder = shaped(tmp_path)
    meaning = {"image-minmax": "of each image", "image-zscore": "in each image", "caffe": "in BGR"}[name]
    for scaling in ("", "imagenet"):
        with pytest.raises(SpecError, match=rf"0.[45]\d as given and 0.\d\d with images read as {name} \(.*{meaning}"):
            audited(model, folder, scores="logits", scaling=scaling)
    found = audited(model, folder, scores="logits", scaling=name)
    assert of_checks(found, "scaling").status == "ok"
    assert of_checks(found, "ranking").value > 0.9
    assert said(found)["scaling"] == name


def lit(folder: Path, light: float) -> Path:
    """Gray images whose middle is brighter in positive ones; how bright all of an image is has nothing to do with it.

    Args:
        folder: Where they are written.
        light: SD of the brightness of images, in that of the middle within a class.
    """
    draws, target = np.random.default_rng(0), np.arange(300) % 2
    findings, lights = 6 * (draws.normal(size=300) + 1.2 * (2 * target - 1)), 6 * light * draws.normal(size=300)
    rows: list[list[object]] = [["image", "finding", "who"]]
    for at in range(300):
        pixels = draws.normal(110 + lights[at], 12, (SIDE, SIDE))
        pixels[3:9, 3:9] += 40 + findings[at]
        save(folder / f"{at}.png", np.stack([pixels] * 3, axis=2).round().clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", int(target[at]), f"p{at}"])
    write_table(folder / "data.csv", rows)
    return folder


def of_middle(images: np.ndarray) -> np.ndarray:
    return np.asarray(images[:, :, 3:9, 3:9].mean((1, 2, 3), dtype=np.float64))


@situation(
    "images that differ in brightness, and a model that is read rightly, for which a scaling of each image is better",
    "a caution, the first finding, if it gains 0.1 in AUROC or less (lower bound); stopped if more",
)
def test_a_scaling_of_each_image_that_helps_a_little_is_a_caution(tmp_path: Path) -> None:
    for name in ("even", "little", "much"):
        (tmp_path / name).mkdir()
    rightly: dict[str, Any] = {"scores": "logits", "scaling": "imagenet"}
    assert of_checks(audited(of_middle, lit(tmp_path / "even", 0.3), **rightly), "scaling").status == "ok"
    found = audited(of_middle, lit(tmp_path / "little", 1.8), **rightly)
    row = of_checks(found, "scaling")
    assert row.status == "warn"
    assert 0.05 < row.value - of_checks(found, "ranking").value < 0.15
    document = json.loads((found.folder / "verdicts.json").read_text())
    assert document["findings"][0]["name"].startswith("Another reading gives a higher AUROC")
    assert document["answer"][0].startswith("The AUROC is 0.8")
    assert "with images read as image-" in document["answer"][0]
    much = lit(tmp_path / "much", 4.0)
    with pytest.raises(SpecError, match=r"read as image-zscore.*as where these images differ in brightness"):
        audited(of_middle, much, **rightly)
    assert of_checks(audited(of_middle, much, as_given=True, **rightly), "scaling").status == "warn"


@situation(
    "a model with its own normalization, for the class that is not taken as positive", "stopped at once for both"
)
def test_signs_are_tried_together_with_scalings(gray: Path) -> None:
    def network(images: np.ndarray) -> np.ndarray:  # for class 0: right at 0..255, and upside down with noise at 0..1
        value = images.mean((1, 2, 3), dtype=np.float64)
        return -value if images.max() > 2 else 4 * value + np.sin(5e5 * value)

    with pytest.raises(SpecError, match=r"classes the other way round and images read as 0..255"):
        audited(network, gray, scores="logits")


@situation(
    "`--mean` and `--std` set by the user", "used in place of --scaling; one alone, or both and --scaling, is refused"
)
def test_a_normalization_of_ones_own_is_used(gray: Path) -> None:
    def network(images: np.ndarray) -> np.ndarray:
        value = images.mean((1, 2, 3), dtype=np.float64)
        return np.where(np.abs(value) < 4, value, np.nan)

    found = audited(network, gray, mean=(0.5,), std=(0.25,))
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)
    assert said(found)["scaling"] == "mean 0.5, std 0.25"
    with pytest.raises(SpecError, match="give both"):
        audited(network, gray, mean=(0.5,))
    with pytest.raises(SpecError, match="give one of them"):
        audited(network, gray, mean=(0.5,), std=(0.25,), scaling="imagenet")


@situation("8-bit images", "-1024..1024 is not tried, which no 8-bit image has")
def test_hounsfield_units_are_not_tried_for_8_bit_images(gray: Path) -> None:
    seen = list[float]()

    def network(images: np.ndarray) -> np.ndarray:
        seen.append(float(images.min()))
        return of_gray(images)

    audited(network, gray)
    assert min(seen) > -100


@situation("a command whose table of scores has probabilities with 15 digits", "ranked with all of them")
def test_digits_of_a_command_are_kept(tmp_path: Path, gray: Path) -> None:
    script = tmp_path / "predict.py"
    script.write_text(
        "import sys, csv\nfrom pathlib import Path\nimport numpy as np\nfrom PIL import Image\n"
        "rows = [(p.name, repr(0.5 + 1e-12 * float(np.asarray(Image.open(p)).mean()))) "
        "for p in Path(sys.argv[1]).iterdir()]\n"
        "csv.writer(open(sys.argv[2], 'w')).writerows([('image', 'score'), *rows])\n"
    )
    command = f"{sys.executable} '{script}' {{images}} {{scores}}"
    found = audited("", gray, command=command, channels="gray")  # pyright: ignore[reportArgumentType]
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)


@situation("a function or module that returns several arrays of scores", "asked, unless one is named logits or scores")
def test_several_arrays_of_a_function_are_asked_about(gray: Path) -> None:
    def pair(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return of_gray(images), np.sin(97 * of_gray(images))

    with pytest.raises(SpecError, match="2 outputs of the shape"):
        audited(pair, gray, scores="logits")
    with pytest.raises(SpecError, match="2 outputs of the shape"):
        audited(lambda images: dict(zip("ab", pair(images), strict=True)), gray, scores="logits")
    named = audited(lambda images: {"aux": pair(images)[1], "logits": pair(images)[0]}, gray, scores="logits")
    assert of_checks(named, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)


# Normalization in a file beside the model.

BESIDE = {
    "preprocessor_config.json": {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": SIDE},
    "config.json": {"architecture": "x", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3,
                                                            "input_size": [3, SIDE, SIDE]}},
    "metadata.json": {"network_data_format": {"inputs": {"image": {
        "value_range": [-2, 2], "num_channels": 3, "spatial_shape": [SIDE, SIDE]}}}},
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
@situation(
    "a file with the normalization beside the model: of transformers, timm or a MONAI bundle",
    "used, and the first lines say from which file; `--mean`, `--std` and `--scaling` win, and the difference is "
    "reported",
)
def test_a_normalization_beside_the_model_is_used(name: str, tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"y": [4.0]}, channels=3)
    (tmp_path / name).write_text(json.dumps(BESIDE[name]))
    found = audited(path, gray, scores="logits")
    assert said(found)["scaling"] == f"mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25 from {name}"
    scaled = (4 * ((GRAY / 255 - 0.5) / 0.25 - 128 / 255)).astype(np.float32)
    assert f"{scaled.min():.3g} to {scaled.max():.3g}" in said(found)["scores"]
    own = audited(path, gray, scores="logits", mean=(0.1,), std=(0.2,))
    assert said(own)["scaling"] == f"mean 0.1, std 0.2; {name} has mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25"
    assert f"{4 * ((GRAY.min() / 255 - 0.1) / 0.2 - 128 / 255):.3g} to " in said(own)["scores"]


@situation("`config.json` without a normalization beside the model, as many programs have one", "ignored")
def test_another_config_beside_the_model_is_ignored(tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"y": [4.0]}, channels=3)
    (tmp_path / "config.json").write_text(json.dumps({"lr": 0.1}))
    assert said(audited(path, gray, channels="color", scores="logits"))["scaling"] == "0..1"


@situation("names of the outputs in `config.json` beside an ONNX file of transformers", "matched with the classes")
def test_names_beside_the_model_are_matched(tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"y": [4.0, -4.0]}, channels=3)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(BESIDE["preprocessor_config.json"]))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "finding", "1": "not finding"}}))
    found = audited(path, gray)
    assert "finding is output 0, by name" in said(found)["outputs"]
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)


UNREAD = {
    "not JSON": "{",
    "steps": json.dumps({**BESIDE["preprocessor_config.json"], "do_flip_channel_order": True}),
}


@pytest.mark.parametrize("kind", UNREAD)
@situation(
    "a normalization beside the model that cannot be read, or has steps that Assay does not apply",
    "refused; with a scaling of the user's a caution, and names of outputs beside it are used",
)
def test_a_scaling_of_the_user_does_without_the_file_beside_the_model(kind: str, tmp_path: Path, gray: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", {"y": [4.0, -4.0]}, channels=3)
    (tmp_path / "preprocessor_config.json").write_text(UNREAD[kind])
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "finding", "1": "not finding"}}))
    with pytest.raises(WeightsError, match=r"; it is not needed if you state the scaling yourself$"):
        audited(path, gray, channels="color")
    for stated in ({"mean": (0.5,), "std": (0.25,)}, {"scaling": "-1..1"}):
        found = audited(path, gray, channels="color", **stated)
        assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)
        words = " ".join(found.table("checks").text)
        assert "settings that come with the model were not used: " in words
        assert {"not JSON": "cannot be read as JSON", "steps": "do_flip_channel_order"}[kind] in words


@pytest.mark.parametrize("kind", [TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64])
@pytest.mark.parametrize("last", [False, True])
@situation(
    "an ONNX file whose input is of whole numbers, with channels first or last",
    "given the gray values 0..255, and reported; another normalization beside it is not for it",
)
def test_an_input_of_whole_numbers_gets_gray_values(kind: int, last: bool, tmp_path: Path, gray: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("ReduceMean", ["f"], ["m"], axes=[1, 2, 3], keepdims=0),
             helper.make_node("Sub", ["m", "half"], ["c"]),
             helper.make_node("Unsqueeze", ["c", "one"], ["y"])]  # fmt: skip
    held = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("half", TensorProto.FLOAT, [], [128.0]),
    ]
    shape = ["b", SIDE, SIDE, 1] if last else ["b", 1, SIDE, SIDE]
    ends = (
        helper.make_tensor_value_info("x", kind, shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 1]),
    )
    graph = helper.make_graph(nodes, "g", [ends[0]], [ends[1]], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "m.onnx"))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(BESIDE["preprocessor_config.json"]))
    found = audited(tmp_path / "m.onnx", gray, channels="gray")
    assert of_checks(found, "ranking").value == pytest.approx(roc_auc_score(TARGET, GRAY), abs=1e-12)
    assert said(found)["scaling"] == "0..255, the input is of whole numbers"
    low, high = GRAY.min() - 128.0, GRAY.max() - 128.0
    assert f"from {low:.3g} to {high:.3g}" in said(found)["scores"]


# Files of scores that are validated.


def validated(ask: Asking, rows: list[list[object]], *more: str) -> tuple[int, str]:
    """Validate a file of scores; return the exit code and what was printed."""
    write_table(Path("scores.csv"), rows)
    answer = ask("validate", "scores.csv", "--out", "out", *more)
    return answer.code, " ".join((answer.out + answer.err).split())


@situation(
    "a validated column of scores that is named after the other class, as `prob_benign` where malignant is positive",
    "refused, with the options that say which class it is",
)
def test_scores_called_after_the_other_class_are_refused(ask: Asking) -> None:
    rows = [
        ["case", "diagnosis", "prob_benign"],
        *(
            [at, ("benign", "malignant")[y], f"{1 / (1 + np.exp(-t)):.4f}"]
            for at, (y, t) in enumerate(zip(TARGET, TRUTH, strict=True))
        ),
    ]
    code, text = validated(ask, rows, "--positive", "malignant")
    assert (code, "by their name the scores in 'prob_benign' are of benign" in text) == (2, True)
    assert "--positive benign" in text
    code, text = validated(ask, rows, "--positive", "malignant", "--as-given")
    assert (code, f"AUROC {roc_auc_score(TARGET, TRUTH):.2f}" in text) == (0, True)


@situation(
    "validated scores that rank the classes the other way round (AUROC surely below 0.5), or cases of "
    "`--threshold-from` whose 0 and 1 are swapped",
    "refused, with both AUROCs; `--as-given` continues",
)
def test_scores_the_other_way_round_are_refused(ask: Asking) -> None:
    def rows(sign: int) -> list[list[object]]:
        scores = 1 / (1 + np.exp(-sign * TRUTH))
        return [
            ["case", "target", "score"],
            *([at, int(y), f"{p:.4f}"] for at, (y, p) in enumerate(zip(TARGET, scores, strict=True))),
        ]

    code, text = validated(ask, rows(-1))
    auroc = roc_auc_score(TARGET, TRUTH)
    assert code == 2
    assert f"the AUROC is {1 - auroc:.2f} as given and {auroc:.2f} with the classes the other way round" in text
    assert validated(ask, rows(-1), "--as-given")[0] == 0
    write_table(Path("tuning.csv"), rows(-1))
    tuned = ("--threshold", "sensitivity=0.9", "--threshold-from", "tuning.csv")
    code, text = validated(ask, rows(1), *tuned)
    assert (code, "in 'score' of tuning" in text) == (2, True)
    write_table(Path("tuning.csv"), rows(1))
    assert validated(ask, rows(1), *tuned)[0] == 0


@situation(
    "validated scores in which an image has two rows with two scores",
    "refused: keep one, or join them with `--by`; they are no two cases",
)
def test_an_image_with_two_scores_is_no_two_cases(ask: Asking) -> None:
    rows: list[list[object]] = [
        ["image", "target", "score"],
        *(
            [f"{at}.png", int(y), f"{1 / (1 + np.exp(-t)):.4f}"]
            for at, (y, t) in enumerate(zip(TARGET, TRUTH, strict=True))
        ),
    ]
    assert validated(ask, rows)[0] == 0
    code, text = validated(ask, [*rows, ["0.png", int(TARGET[0]), "0.5"]])
    assert (code, "'image' has 1 repeated case: keep one row of each" in text) == (2, True)
    assert validated(ask, [*rows, ["0.png", int(TARGET[0]), "0.5"]], "--by", "image")[0] == 0


@pytest.mark.parametrize("word", ["unknown", "-", "missing", "k.A."])
@situation(
    "predictions with patients `unknown`, `-` or `k.A.`",
    "missing, as a blank patient is, and refused: they are not one patient",
)
def test_unknown_patients_are_not_one_patient(ask: Asking, word: str) -> None:
    rows = [
        ["image", "patient", "target", "score"],
        *(
            [at, word if at < 6 else f"p{at}", int(y), f"{1 / (1 + np.exp(-t)):.4f}"]
            for at, (y, t) in enumerate(zip(TARGET, TRUTH, strict=True))
        ),
    ]
    code, text = validated(ask, rows)
    assert (code, "'patient' is missing in 6 of 120 rows" in text) == (2, True)


@pytest.mark.parametrize("name", ["image_quality", "image_type", "file_size", "image_entropy", "image_grader"])
@situation("`image_quality`, `image_type` or `file_size` beside `case_id` in a validation", "no column of images")
def test_what_is_known_of_images_is_no_image(ask: Asking, name: str) -> None:
    values = {"file_size": lambda at: 1000 + at // 2, "image_entropy": lambda at: at // 2 / 7}
    value = values.get(name, lambda at: at % 5)
    pairs = enumerate(zip(TARGET, 1 / (1 + np.exp(-TRUTH)), strict=True))
    rows = [["case_id", "label", "score", name], *([f"c{at}", int(y), f"{p:.4f}", value(at)] for at, (y, p) in pairs)]
    code, text = validated(ask, rows)
    assert (code, f"AUROC {AUROC}" in text, f'image "{name}"' in text) == (0, True, False)


def scored(*header: str, of: Callable[[int, float], list[object]]) -> list[list[object]]:
    """Return a table of cases whose cells follow from the class, 0 or 1, and the probability of the second."""
    pairs = zip(TARGET, 1 / (1 + np.exp(-TRUTH)), strict=True)
    return [["case", *header], *([at, *of(int(y), float(p))] for at, (y, p) in enumerate(pairs))]


def auroc_in(text: str) -> str:
    return text.partition("AUROC ")[2][:4]


AUROC = f"{roc_auc_score(TARGET, TRUTH):.2f}"


@situation(
    "validated or audited scores around 0 and within -1 and 1, as of an SVM",
    "ranked as given with the threshold 0, reported as no log-odds, and no calibration; "
    "`--scores logits` reads log-odds",
)
def test_decision_functions_are_no_log_odds(ask: Asking) -> None:
    rows = scored("target", "score", of=lambda y, p: [y, f"{2 * p - 1:.4f}"])
    code, text = validated(ask, rows)
    assert (code, auroc_in(text)) == (0, AUROC)
    assert "as of a decision function, with 0 between the classes" in text
    assert "At threshold 0," in text
    tables = Path("out/report.html").read_text()
    assert "Calibration" not in tables
    assert "scores: logits from" in validated(ask, rows, "--scores", "logits")[1]
    logits = scored("target", "logit", of=lambda y, p: [y, f"{2 * p - 1:.4f}"])
    assert "scores: logits from" in validated(ask, logits)[1], "their name says so"
    named = scored("target", "svm_score", of=lambda y, p: [y, f"{9 * p - 4.5:.4f}"])
    assert "as of a decision function" in validated(ask, named)[1]


@situation(
    "equal rows of scores in a table without a column of cases or patients",
    "read: they are of several cases; where a column names cases, one row of each is to be kept",
)
def test_equal_rows_without_cases_are_of_several(ask: Asking) -> None:
    pairs = [
        [f"i{at}", int(y), f"{p:.1f}"] for at, (y, p) in enumerate(zip(TARGET, 1 / (1 + np.exp(-TRUTH)), strict=True))
    ]
    code, text = validated(ask, [["label", "score"], *(row[1:] for row in pairs)])
    assert (code, f"{len(pairs)} cases" in text) == (0, True)
    code, text = validated(ask, [["image", "label", "score"], *pairs, pairs[0]])
    assert (code, "it says the same as line 2; keep one of them" in text) == (2, True)


@situation(
    "validated columns benign and malignant of probabilities, where these are the classes",
    "that of the positive class is the score; with `--positive benign` the other one",
)
def test_columns_called_after_the_classes_are_scores(ask: Asking) -> None:
    rows = scored(
        "diagnosis", "benign", "malignant", of=lambda y, p: [("benign", "malignant")[y], f"{1 - p:.4f}", f"{p:.4f}"]
    )
    code, text = validated(ask, rows)
    assert (code, auroc_in(text)) == (0, AUROC)
    assert 'score "malignant", target "diagnosis"' in text
    code, text = validated(ask, rows, "--positive", "benign")
    assert (code, auroc_in(text), 'score "benign"' in text) == (0, AUROC, True)


@pytest.mark.parametrize("first", [0, 1])
@situation(
    "columns prob_0 and prob_1 of a target of 0 and 1, or prob_1 and prob_2 of 1 and 2, and `--positive`",
    "the column of the positive class is the score",
)
def test_the_column_of_the_positive_class_is_read_by_its_number(ask: Asking, first: int) -> None:
    rows = scored(
        "target", f"prob_{first}", f"prob_{first + 1}", of=lambda y, p: [y + first, f"{1 - p:.4f}", f"{p:.4f}"]
    )
    for positive in (first, first + 1):
        code, text = validated(ask, rows, "--positive", str(positive))
        assert (code, auroc_in(text), f'score "prob_{positive}"' in text) == (0, AUROC, True)


@situation("validated classes a, b and c with `--positive a`", "refused with the column to add")
def test_one_of_three_classes_needs_a_column(ask: Asking) -> None:
    rows = scored("target", "score", of=lambda y, p: ["abc"[y if p < 0.8 else 2], f"{p:.4f}"])
    code, text = validated(ask, rows, "--positive", "a")
    assert (code, "add a column that is 1 for a and 0 for all others" in text) == (2, True)


@situation("validated columns logit_0 and logit_1 of a softmax", "asked for: one of them alone is no score")
def test_outputs_of_a_softmax_are_no_scores_alone(ask: Asking) -> None:
    rows = scored("target", "logit_0", "logit_1", of=lambda y, p: [y, f"{3 - 5 * p:.4f}", f"{4 * p - 1:.4f}"])
    code, text = validated(ask, rows)
    assert (code, "add a column of logit_1 minus logit_0, and name it with --score COLUMN" in text) == (2, True)
    code, text = validated(ask, rows, "--score", "logit_1")
    assert (code, auroc_in(text)) == (0, AUROC)


@situation(
    "one-hot columns MEL and NV beside their scores MEL_score and NV_score",
    "asked once, for the target; its scores are then read",
)
def test_scores_of_one_hot_columns_are_found_by_the_target(ask: Asking) -> None:
    rows = scored("MEL", "NV", "MEL_score", "NV_score", of=lambda y, p: [y, 1 - y, f"{p:.4f}", f"{1 - p:.4f}"])
    code, text = validated(ask, rows)
    assert (code, "name the class with --target MEL, for example, whose scores are then read" in text) == (2, True)
    code, text = validated(ask, rows, "--target", "NV")
    assert (code, auroc_in(text), 'score "NV_score"' in text) == (0, AUROC, True)


@situation(
    "a validation whose column of patients or calls is named like a target, as `lesion_id`",
    "columns in use are not listed as left out",
)
def test_columns_in_use_are_not_left_out(ask: Asking) -> None:
    count = itertools.count()
    rows = scored(
        "label", "class", "lesion_id", "score", of=lambda y, p: [y, y, f"{'ab'[y]}{next(count) // 6}", f"{p:.4f}"]
    )
    listed = "columns left out: class (says what label says)"
    code, text = validated(ask, rows, "--target", "label", "--patient", "lesion_id")
    assert (code, listed in text, "lesion_id (says" in text) == (0, True, False)
    code, text = validated(ask, rows, "--target", "label", "--patient", "lesion_id", "--calls", "class")
    assert (code, "class (says" in text) == (0, False)


@situation("one-hot columns, or `diagnosis`, beside the target of a validation", "no groups: they say what it says")
def test_other_statements_of_the_target_are_no_groups(ask: Asking) -> None:
    rows = scored(
        "label",
        "diagnosis",
        "benign",
        "malignant",
        "sex",
        "score",
        of=lambda y, p: [y, f"{'ab'[y]}{str(p)[-1] > '4'}", 1 - y, y, "fm"[str(p)[-2] > "4"], f"{p:.4f}"],
    )
    code, text = validated(ask, rows, "--target", "label")
    assert (code, "groups: sex AUROC" in text) == (0, True)
    assert "diagnosis (says what label says in finer classes)" in text
    code, text = validated(ask, rows, "--target", "label", "--groups", "diagnosis")
    assert (code, "groups: diagnosis AUROC" in text) == (0, True)


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("tensor({p:.4f})", "write the number alone, {p:.4f}, in all rows"),
        ("np.float32({p:.4f})", "write the number alone, {p:.4f}, in all rows"),
        ("[{p:.4f}]", "write the number alone, {p:.4f}, in all rows"),
        ("[{q:.4f} {p:.4f}]", "correct it"),
    ],
)
@situation(
    "scores such as tensor(0.41), np.float32(0.41), [0.41] and [0.59 0.41]",
    "refused, with the first and its line, and the number to write if it is a single one",
)
def test_numbers_in_brackets_are_refused(ask: Asking, pattern: str, remedy: str) -> None:
    rows = scored("target", "score", of=lambda y, p: [y, pattern.format(p=p, q=1 - p)])
    code, text = validated(ask, rows)
    first = 1 / (1 + np.exp(-float(TRUTH[0])))
    assert (code, f"scores.csv:2: score '{pattern.format(p=first, q=1 - first)}' is not a finite" in text) == (2, True)
    assert remedy.format(p=first) in text


@situation(
    "scores of which only some have the sign %", "refused with the number of both: they differ by a factor of 100"
)
def test_a_mixture_of_percent_and_shares_is_refused(ask: Asking) -> None:
    rows = scored("target", "score", of=lambda y, p: [y, f"{100 * p:.1f}%" if y else f"{p:.3f}"])
    code, text = validated(ask, rows)
    assert code == 2
    assert f"{int(TARGET.sum())} of {len(TARGET)} scores have the sign % and the others none" in text


@situation("an audit of scores whose columns nobody names", "columns that were not tested are said, with the option")
def test_columns_that_were_not_tested_are_named(ask: Asking) -> None:
    rows = [
        ["image", "patient", "target", "score", "sex", "lesion_id", "target_text"],
        *(
            [f"{at}.png", f"p{at}", int(y), f"{1 / (1 + np.exp(-t)):.4f}", "FM"[at % 2], at, ["no", "yes"][int(y)]]
            for at, (y, t) in enumerate(zip(TARGET, TRUTH, strict=True))
        ),
    ]
    write_table(Path("scores.csv"), rows)
    assert "columns not tested: sex; to test them: --columns sex\n" in ask("audit", "scores.csv", "--out", "a").out
    assert "Columns not tested: sex" in Path("a", "report.html").read_text()
    assert "not tested: sex" not in ask("audit", "scores.csv", "--columns", "sex", "--out", "b").out


@situation(
    "`--threshold 0.5` for validated log-odds",
    "asked: the log-odds of that probability are named; with `--scores logits` it is one of them",
)
def test_a_threshold_between_0_and_1_for_log_odds(ask: Asking, tmp_path: Path) -> None:
    pd.DataFrame({"target": TARGET, "score": TRUTH}).to_csv(tmp_path / "p.csv", index=False)
    refused = ask("validate", tmp_path / "p.csv", "--threshold", "0.9", "--out", "v")
    assert refused.code == 2
    assert "write 2.197 for the probability 0.9, or give --scores logits if 0.9 is meant as log-odds" in refused.err
    for options in (("2.197",), ("0.9", "--scores", "logits")):
        answer = ask("validate", tmp_path / "p.csv", "--threshold", *options, "--out", "v", "--json")
        assert answer.code == 0, answer.err
        rows = {row["measure"]: row["value"] for row in json.loads(answer.out)["performance"]}
        assert rows["sensitivity"] == pytest.approx((TRUTH[TARGET == 1] >= float(options[0])).mean(), abs=1e-9)


@situation(
    "a recipe of `assay compare` with the probabilities of some seeds and the log-odds of others",
    "refused, with the seed: as log-odds, all probabilities would be called positive",
)
def test_seeds_of_two_scales(ask: Asking, tmp_path: Path) -> None:
    rows = [
        {"image": at, "model": model, "seed": seed, "target": TARGET[at], "score": TRUTH[at] + 0.1 * seed}
        for model in "ab" for seed in range(3) for at in range(COUNT)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    odd = (frame["model"] == "b") & (frame["seed"] == 1)
    frame.loc[odd, "score"] = 1 / (1 + np.exp(-frame.loc[odd, "score"]))
    frame.to_csv(tmp_path / "p.csv", index=False)
    answer = ask("compare", tmp_path / "p.csv", "--by", "model")
    assert answer.code == 2
    assert "the scores of 'b' with seed 1 are from" in answer.err
    assert "those of its other seeds are log-odds" in answer.err


@pytest.mark.parametrize("command", ["validate", "audit"])
@situation(
    "a column with probabilities in some rows and log-odds in others, by batch or at random",
    "asked; `--scores logits` reads all as log-odds",
)
@situation("log-odds in the order of their rows, of the class, of the scores or of patients", "read as log-odds")
def test_two_scales_in_a_column(command: str, ask: Asking) -> None:
    draw, count = np.random.default_rng(3), 640
    target = np.arange(count) % 2
    odds = draw.normal(2.5 * (2 * target - 1), 2.0)
    is_odds = {"batches": np.arange(count) // 16 % 2 == 1, "random": draw.random(count) < 0.5}
    for name, rows in is_odds.items():
        mixed = np.where(rows, odds, 1 / (1 + np.exp(-odds)))
        path = predictions(mixed, target)
        answer = ask(command, path, "--out", f"{command}{name}")
        assert answer.code == 2, name
        assert "are from 0 to 1, as probabilities, and the others go far beyond, as log-odds" in answer.err
        assert ask(command, path, "--scores", "logits", "--out", f"{command}{name}logits").code == 0
    for at, order in enumerate((np.arange(count), np.argsort(target, kind="stable"), np.argsort(odds))):
        assert ask(command, predictions(odds[order], target[order]), "--out", f"{command}{at}").code == 0
    of_patient = np.repeat(draw.normal(0, 1.2, 40), 16) + 0.5 * (2 * target - 1) + draw.normal(0, 0.1, count)
    assert ask(command, predictions(of_patient, target), "--out", f"{command}patients").code == 0


@situation("logits that were cut off at the end of 16 bits, 65504, or of 32 bits", "a caution with their number")
def test_scores_at_the_end_of_a_format(ask: Asking) -> None:
    logits = np.random.default_rng(0).normal(4 * TARGET, 3)
    logits[[5, 8, 11]] = 65504, -65504, 65504
    frame = pd.DataFrame({"patient": range(COUNT), "target": TARGET, "score": logits})
    frame.to_csv("p.csv", index=False)
    said = ask("validate", "p.csv", "--scores", "logits", "--threshold", "0", "--out", "out").out
    assert "3 scores are the largest number of 16 bits: compute them with 32 bits" in said
    said = ask("audit", "p.csv", "--scores", "logits", "--out", "audit").out
    assert "3 scores are the largest number of 16 bits: compute them with 32 bits" in said


@situation("a score such as 0.5 for all cases without one", "a caution: how many have it, leave their cells empty")
@situation("a column of scores that is the target itself", "a caution")
@situation("rounded scores, scores of votes, and probabilities that reach 0 and 1", "no such caution")
def test_doubtful_scores(ask: Asking) -> None:
    draw, count = np.random.default_rng(5), 400
    target = np.arange(count) % 2
    scores = 1 / (1 + np.exp(-draw.normal(1.5 * (2 * target - 1), 1.0)))
    for name, column, words in (
        (
            "filled",
            np.where(draw.random(count) < 0.12, 0.5, scores),
            "are exactly 0.5, and none near it is as frequent",
        ),
        ("target", target.astype(float), "are the target itself in all cases"),
        ("rounded", scores.round(2), ""),
        ("coarse", scores.round(1), ""),
        ("votes", np.round(scores * 6) / 6, ""),
        ("ends", (scores * 1.6 - 0.3).clip(0, 1), ""),
    ):
        answer = ask("validate", predictions(column, target), "--out", name)
        assert answer.code == 0, answer.err
        assert words in answer.out
        said = [text for text in ("are exactly", "are the target itself") if text in answer.out]
        assert len(said) == bool(words), (name, said)


@situation(
    "`--score Edema_pred` for the target Effusion, where the table has a column Edema",
    "asked: the scores of Effusion are named; with `--as-given` read",
)
@situation("scores called after the target, or after nothing in the table, as `ensemble_score`", "read")
def test_scores_of_another_finding(ask: Asking) -> None:
    frame = pd.DataFrame(
        {"patient": range(COUNT), "Effusion": TARGET, "Effusion_pred": PROBABILITY, "Edema": np.roll(TARGET, 1),
         "Edema_pred": np.roll(PROBABILITY, 1), "ensemble_score": PROBABILITY}
    )  # fmt: skip
    frame.to_csv("p.csv", index=False)
    for command in ("validate", "audit"):
        named = command, "p.csv", "--target", "Effusion"
        said = ask(*named, "--score", "Edema_pred", "--out", "refused")
        assert (
            said.code,
            "are of Edema, and the target is Effusion, whose scores are in 'Effusion_pred'" in said.err,
        ) == (2, True)
        for score in ("Effusion_pred", "ensemble_score"):
            assert ask(*named, "--score", score, "--out", f"{command}-{score}").code == 0
    assert (
        ask("validate", "p.csv", "--target", "Effusion", "--score", "Edema_pred", "--as-given", "--out", "a").code == 0
    )


@pytest.mark.parametrize("name", ["sybil_pred", "sybil", "sybil_call"])
@situation("scores and calls of a network, or the target again, that are called after it, as `sybil_prob`", "read")
def test_scores_called_after_a_network(ask: Asking, name: str) -> None:
    frame = pd.DataFrame({"patient": range(COUNT), "label": TARGET, "sybil_prob": PROBABILITY})
    noise = np.random.default_rng(0).integers(0, 2, COUNT)
    columns = {"calls": PROBABILITY >= 0.3, "target": TARGET, "constant": np.ones(COUNT), "empty": [""] * COUNT}
    if name == "sybil_pred":
        columns["calls of rounded scores"] = noise
    for what, cells in columns.items():
        values = cells if what == "empty" else np.asarray(cells).astype(int)
        frame.assign(**{name: values}).to_csv("p.csv", index=False)
        answer = ask("validate", "p.csv", "--score", "sybil_prob", "--target", "label", "--out", "out")
        assert answer.code == 0, (what, answer.err)


@pytest.mark.parametrize("sizes", [(50, 100), (60,), (1,), (119,)])
@pytest.mark.parametrize("kind", [np.asarray, list, torch.tensor])
@situation(
    "lists of batches, of equal or unequal length, as a loop over a data loader makes them, for `assay.validate`",
    "refused: join them",
)
def test_lists_of_batches(sizes: tuple[int, ...], kind: Callable[[np.ndarray], Any]) -> None:
    classes, scores = ([kind(part) for part in np.split(values, sizes)] for values in (TARGET, PROBABILITY))
    with pytest.raises(
        DataError, match=rf"y_true is a list of {len(sizes) + 1} batches, the first of {sizes[0]} val.*conc"
    ):
        assay.validate(classes, scores)
    with pytest.raises(DataError, match="y_score is a list of"):
        assay.validate(TARGET, scores)


@situation("scores in a list of arrays of one value each", "read")
def test_lists_of_single_values(tmp_path: Path) -> None:
    tables = assay.validate(TARGET, [np.array([score]) for score in PROBABILITY], out=tmp_path / "out")
    value = tables["performance"].set_index("measure").value["auroc"]
    assert value == pytest.approx(roc_auc_score(TARGET, PROBABILITY))


@situation(
    "`validate --by patient` where each patient has images of both classes",
    "refused: no patient is negative, and what to name instead",
)
def test_patients_of_both_classes(ask: Asking) -> None:
    pd.DataFrame({"patient": np.arange(COUNT) // 4, "target": TARGET, "score": PROBABILITY}).to_csv(
        "p.csv", index=False
    )
    said = ask("validate", "p.csv", "--by", "patient", "--out", "out")
    assert (said.code, "so that none is negative" in said.err, "leave --by out" in said.err) == (2, True, True)


def _recipes(names: Sequence[str], seeds: Sequence[object]) -> pd.DataFrame:
    """Return predictions of recipes, of each with these seeds."""
    parts = [
        pd.DataFrame({"recipe": name, "seed": seed, "image": range(COUNT), "patient": range(COUNT), "target": TARGET,
                      "score": np.random.default_rng([at, place]).normal(TARGET, 1 + at)})
        for at, name in enumerate(names) for place, seed in enumerate(seeds)
    ]  # fmt: skip
    return pd.concat(parts)


@situation(
    "recipes `dice` and `Dice ` with other seeds each, and seeds 0 and 0.0, in `assay compare`",
    "read as one, and reported",
)
@situation("recipes `dice` and `Dice ` with the same seeds and images", "refused: they are one recipe")
def test_spellings_of_recipes_and_seeds(ask: Asking) -> None:
    frame = _recipes(["dice", "ce"], range(3)).astype({"seed": str})
    frame.loc[frame.recipe == "ce", "seed"] += ".0"
    frame.loc[(frame.recipe == "dice") & (frame.seed == "2"), "recipe"] = "Dice "
    frame.to_csv("p.csv", index=False)
    said = ask("compare", "p.csv", "--by", "recipe", "--out", "out")
    assert said.code == 0, said.err
    assert "read as one: 'Dice' and 'dice' in recipe; '0' and '0.0', '1' and '1.0', '2' and '2.0' in seed" in said.out
    assert set(assay.open_run("out").table("contrasts")["seeds"]) == {3}
    _recipes(["dice", "Dice ", "ce"], range(3)).to_csv("p.csv", index=False)
    said = ask("compare", "p.csv", "--by", "recipe", "--out", "again")
    assert (said.code, "'Dice' and 'dice' in recipe are one" in said.err) == (2, True)


@situation(
    "recipes `Dice` and `Dice ` in `assay compare`, which differ in a blank alone",
    "read as one, and reported; refused with that cause where an image has two predictions",
)
def test_recipes_that_differ_in_a_blank(ask: Asking) -> None:
    frame = _recipes(["Dice", "ce"], range(3))
    frame.loc[(frame.recipe == "Dice") & (frame.seed == 2), "recipe"] = "Dice "
    frame.to_csv("p.csv", index=False)
    said = ask("compare", "p.csv", "--by", "recipe", "--out", "out")
    assert "read as one: 'Dice' and 'Dice' with a blank in recipe" in said.out, said.err
    frame = _recipes(["Dice", "Dice ", "ce"], range(3))
    frame.to_csv("p.csv", index=False)
    said = ask("compare", "p.csv", "--by", "recipe", "--out", "again")
    assert (said.code, "'Dice' and 'Dice' with a blank in recipe are one" in said.err) == (2, True)
    frame["score"] = [*frame.score[: 3 * COUNT], *frame.score[: 3 * COUNT], *frame.score[6 * COUNT :]]
    frame.to_csv("p.csv", index=False)
    said = ask("compare", "p.csv", "--by", "recipe", "--out", "again")
    assert (said.code, "it says the same as line 2 but for blanks" in said.err) == (2, True)


@pytest.mark.parametrize("column", ["fold", "site"])
@situation(
    "pooled predictions of folds or sites whose scores are on scales of their own",
    "a caution with the AUROC within them and over all cases",
)
@situation(
    "scores of folds on one scale, of patients with several images, or of sites that differ in prevalence", "no caution"
)
def test_scales_of_parts(ask: Asking, column: str) -> None:
    draw = np.random.default_rng(3)
    part, target = np.arange(240) // 2 % 4, np.arange(240) % 2
    frame = pd.DataFrame({"patient": np.arange(240) // 2, "target": target, column: [f"part {at}" for at in part]})
    logits = draw.normal(target * 1.5, 1)
    frame["score"] = logits + 4 * part
    frame.to_csv("p.csv", index=False)
    said = ask("validate", "p.csv", "--out", "out").out
    within = roc_auc_score(target, logits)
    line = next(line for line in said.splitlines() if f"Scores differ in scale between values of {column}" in line)
    assert float(line.split("AUROC is ")[1].split(" within")[0]) == pytest.approx(within, abs=0.03)
    for seed in range(6):
        draw = np.random.default_rng(seed)
        often = (draw.random(240) < np.linspace(0.3, 0.7, 4)[part]).astype(int)
        shared = np.repeat(draw.normal(0, 1, 120), 2)
        frame = frame.assign(target=often, score=draw.normal(often * 1.5, 1) + shared)
        frame.to_csv("p.csv", index=False)
        assert "differ in scale" not in ask("validate", "p.csv", "--out", f"out-{seed}").out


@situation(
    "scores that were sorted apart from their cases", "a caution: they are in order, and rank cases as chance does"
)
@situation("cases that are sorted by a score of theirs", "no caution")
def test_sorted_scores(ask: Asking) -> None:
    frame = pd.DataFrame({"patient": range(COUNT), "target": TARGET, "score": PROBABILITY})
    frame.sort_values("score").to_csv("p.csv", index=False)
    assert "are in order" not in ask("validate", "p.csv", "--out", "out").out
    frame.assign(score=np.sort(PROBABILITY)).to_csv("p.csv", index=False)
    assert "Scores of p are in order from the first row to the last" in ask("validate", "p.csv", "--out", "again").out


@pytest.mark.parametrize("classes", [2, 3])
@situation(
    "validated or audited probabilities that went through a softmax twice, from 0.27 to 0.73 of two classes",
    "a caution: leave one out",
)
@situation("probabilities of an unsure model, from 0.3 to 0.7", "no caution")
def test_two_softmaxes(ask: Asking, classes: int) -> None:
    rows = np.full((COUNT, classes), -2.0)
    rows[:, 1] = 9 * (2 * TARGET - 1) * np.linspace(-0.2, 1.5, COUNT)
    rows[:, 0] = -rows[:, 1]
    sure = softmax(rows, axis=1)
    frame = pd.DataFrame({"patient": range(COUNT), "target": TARGET})
    frame.assign(score=softmax(sure, axis=1)[:, 1]).to_csv("p.csv", index=False)
    least, most = 1 / (np.e + classes - 1), np.e / (np.e + classes - 1)
    caution = f"scores from {least:.3g} to {most:.3g}, the ends that a second softmax has"
    assert caution in ask("validate", "p.csv", "--out", "out").out
    assert caution in json.dumps(tables.audited(ask, Path("p.csv"))["checks"])
    frame.assign(score=0.5 + 0.4 * (sure[:, 1] - 0.5)).to_csv("p.csv", index=False)
    assert "second softmax" not in ask("validate", "p.csv", "--out", "again").out


@situation(
    "seeds of a recipe with the same score in every image, in `assay compare`",
    "said: if they are one network, intervals are too narrow",
)
@situation("seeds whose calls of 0 and 1 are the same", "nothing is said: that may well be")
def test_copies_of_seeds(ask: Asking) -> None:
    frame = _recipes(["ce", "dice"], range(3))
    frame["score"] = [*frame.score[:COUNT], *frame.score[:COUNT], *frame.score[2 * COUNT :]]
    frame.to_csv("p.csv", index=False)
    said = ask("compare", "p.csv", "--by", "recipe", "--out", "out")
    assert "ce: seeds 0 and 1 have the same score in every image" in said.err
    frame.assign(score=(frame["score"] > 0.5).astype(int)).to_csv("p.csv", index=False)
    assert "the same score in every image" not in ask("compare", "p.csv", "--by", "recipe", "--out", "again").err


@situation(
    "`correct` of 0 and 1 beside scores, and no column of classes", "asked for the target: it says if calls are right"
)
@situation("`correct`, or TP, FP, TN and FN, beside the target of a validation", "no groups")
def test_results_are_no_classes_and_no_groups(ask: Asking) -> None:
    frame = tables.predictions(
        correct=[int(at % 3 > 0) for at in range(COUNT)],
        result=[("TP", "TN", "FP", "FN")[at % 4] for at in range(COUNT)],
    )
    frame.assign(site=["AB"[at // 60] for at in range(COUNT)]).to_csv("p.csv", index=False)
    said = ask("validate", "p.csv", "--out", "out").out
    assert "groups: site\n" in said
    frame[["patient", "score", "correct"]].to_csv("p.csv", index=False)
    refused = ask("validate", "p.csv", "--out", "again")
    assert (refused.code, "no column of p.csv is surely the target" in refused.err) == (2, True)
