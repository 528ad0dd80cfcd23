"""`assay validate`: files of scores become tables and a page, and wrong input gets one sentence."""

# pyright: basic

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.cli.asking import Asking
from tests.worlds.files import write_table

import assay
from assay.cli import main
from assay.plugin import DataError, SpecError


def frame(n: int = 400, noise: float = 1.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    target = (rng.random(n) < 0.4).astype(int)
    score = 1 / (1 + np.exp(-(2 * target - 1 + noise * np.random.default_rng(seed).normal(size=n))))
    return pd.DataFrame(
        {
            "image": [f"i{at}" for at in range(n)],
            "patient": [f"p{at // 2}" for at in range(n)],
            "target": target,
            "score": score,
            "sex": rng.choice(["F", "M"], n),
            "exam": np.arange(n) // 2,
        }
    )


def ran(tmp_path: Path, file: object, **asked: Any) -> dict[str, pd.DataFrame]:
    return assay.validate(file, out=tmp_path / "out", **asked)


def test_a_file_becomes_tables_and_a_page(tmp_path: Path) -> None:
    data = frame()
    data.to_csv(tmp_path / "scores.csv", index=False)
    tables = ran(tmp_path, file=str(tmp_path / "scores.csv"), prevalence=(0.1,), groups=("sex",))
    performance = tables["performance"].set_index(["measure", "at"])
    assert performance.loc[("auroc", ""), "value"] == pytest.approx(roc_auc_score(data.target, data.score))
    assert performance.loc[("ppv", "0.1"), "value"] < performance.loc[("ppv", ""), "value"]
    assert set(tables["subgroups"]["group"]) == {"F", "M"}
    assert tables["confusion"]["images"].sum() == len(data)
    page = (tmp_path / "out" / "report.html").read_text()
    made = tables["provenance"].set_index("key").value["made"]
    assert f"validation · scores · {made[:10]}" in page, "the bar has the day on which it was made"
    assert all(
        title in page
        for title in ("ROC curve", "Predictive values", "Calibration curve", "Decision curve", "Confusion matrix")
    )
    assert "<dt>Decision</dt>" not in page, "a decision curve is no decision on a comparison"


def test_two_files_are_paired_by_case_in_any_order(tmp_path: Path) -> None:
    ours, theirs = frame(), frame(noise=3.0, seed=1)
    tables = ran(tmp_path, file=ours, other=theirs.sample(frac=1, random_state=0), margin=0.05)
    found = tables["differences"].set_index("measure")
    apart = roc_auc_score(ours.target, ours.score) - roc_auc_score(theirs.target, theirs.score)
    assert found.loc["auroc", "value"] == pytest.approx(apart)
    assert found.loc["auroc", "outcome"] == "superior"
    called = ((ours.score >= 0.5) != (theirs.score >= 0.5)).sum()
    assert len(tables["discordant"]) == called


def test_a_model_can_be_lower_by_less_than_the_margin(tmp_path: Path) -> None:
    tables = ran(tmp_path, file=frame(noise=3.0, seed=1), other=frame(), margin=0.4)
    found = tables["differences"].set_index("measure").loc["auroc"]
    assert (found.outcome, found.equivalence) == ("inferior", "equivalent")
    assert "lower, but by less than the margin" in (tmp_path / "out" / "report.html").read_text()


def test_cases_without_a_score_have_a_best_and_a_worst_case(tmp_path: Path) -> None:
    data = frame()
    positive = data.index[data.target == 1][:10]
    data.loc[positive, "score"] = np.nan
    row = ran(tmp_path, file=data)["performance"].set_index("measure").loc["sensitivity"]
    hits = (data.score >= 0.5)[data.target == 1].sum()
    assert (row.worst, row.best) == pytest.approx(
        (hits / (data.target == 1).sum(), (hits + 10) / (data.target == 1).sum())
    )


def test_exams_take_the_highest_score_and_thresholds_come_from_other_rows(tmp_path: Path) -> None:
    data = frame()
    data["target"] = data.groupby("exam").target.transform("max")
    data.to_csv(tmp_path / "tuning.csv", index=False)
    tables = ran(tmp_path, file=data, by="exam", threshold="sensitivity=0.9", threshold_from=tmp_path / "tuning.csv")
    exams = data.groupby("exam").agg({"target": "max", "score": "max"})
    performance = tables["performance"].set_index("measure")
    assert performance.loc["auroc", "value"] == pytest.approx(roc_auc_score(exams.target, exams.score))
    assert performance.loc["sensitivity", "value"] >= 0.9


def test_an_exam_has_the_class_of_a_row_without_a_score(tmp_path: Path) -> None:
    data = frame()
    exam = data.exam[data.groupby("exam").target.transform("sum") == 1].iloc[0]
    data.loc[(data.exam == exam) & (data.target == 1), "score"] = np.nan
    tables = ran(tmp_path, file=data, by="exam")
    exams = data.groupby("exam").agg({"target": "max", "score": "max"})
    assert tables["performance"]["value"][0] == pytest.approx(roc_auc_score(exams.target, exams.score))
    assert not len(tables["rejected"])


@pytest.mark.parametrize("positive", ["1", "ill"])
def test_calls_alone_have_no_curve(tmp_path: Path, positive: str) -> None:
    data, word = frame(), {0: "well", 1: "ill"}
    called = (data.score >= 0.5).astype(int)
    data["call"] = called.map(word) if positive == "ill" else called
    data["target"] = data.target.map(word) if positive == "ill" else data.target
    data.loc[:4, "call"] = np.nan
    tables = ran(tmp_path, file=data.drop(columns="score"), calls="call", positive=positive, prevalence=(0.1,))
    found = tables["performance"].set_index(["measure", "at"])
    truth, left = frame().target[5:], called[5:]
    assert found.loc[("sensitivity", ""), "value"] == pytest.approx(left[truth == 1].mean())
    assert found.loc[("specificity", ""), "value"] == pytest.approx(1 - left[truth == 0].mean())
    assert set(found.index.get_level_values("measure")) == {"sensitivity", "specificity", "ppv", "npv"}
    assert set(tables["curves"]["curve"]) == {"ppv"}
    assert tables["rejected"]["images"].sum() == 5


def test_each_model_has_its_threshold(tmp_path: Path) -> None:
    ours, theirs = frame(), frame(noise=3.0, seed=1)
    for name, data in (("a", ours), ("b", theirs)):
        data.to_csv(tmp_path / f"{name}.csv", index=False)
    files = {"file": str(tmp_path / "a.csv"), "other": str(tmp_path / "b.csv")}
    found = ran(tmp_path, **files, threshold="0.3,0.6")["performance"].set_index(["model", "measure"])["value"]
    assert found["a", "sensitivity"] == pytest.approx((ours.score >= 0.3)[ours.target == 1].mean())
    assert found["b", "sensitivity"] == pytest.approx((theirs.score >= 0.6)[theirs.target == 1].mean())
    tuned = assay.validate(
        **{"data": files["file"], "other": files["other"]},
        threshold="sensitivity=0.9",
        threshold_from=(tmp_path / "a.csv", tmp_path / "b.csv"),
        out=tmp_path / "tuned",
    )
    found = tuned["performance"].set_index(["model", "measure"])["value"]
    assert min(found["a", "sensitivity"], found["b", "sensitivity"]) >= 0.9
    assert tuned["provenance"].set_index("key").value["patients of other cases"] == "200"


def test_patients_of_other_cases_are_known_however_a_program_wrote_their_numbers(tmp_path: Path) -> None:
    reported, tuning = frame(), frame(seed=1)
    reported["patient"] = [f"{at // 4:05d}" for at in range(len(reported))]
    tuning["patient"] = [f"{at // 4 + 50}.0" for at in range(len(tuning))]
    tuning.to_csv(tmp_path / "tuning.csv", index=False)
    tables = ran(tmp_path, file=reported, threshold="sensitivity=0.9", threshold_from=tmp_path / "tuning.csv")
    assert tables["provenance"].set_index("key").value["patients of other cases"] == "50"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"threshold": "37"}, "write percentages as shares"),
        ({"target": "target,sex"}, "a validation is of a single target"),
        ({"plan": 3.0}, "a half-width or difference between 0 and 0.5"),
        ({"true_prevalence": 5.0}, "expected a share between 0 and 1"),
        ({"threshold": "sensitivity=90"}, "between 0 and 1"),
        ({"prevalence": (2.0,)}, "expected a share between 0 and 1"),
        ({"other": frame().assign(image=[f"x{at}" for at in range(400)])}, "scores of other patients"),
        ({"other": frame().assign(target=lambda rows: 1 - rows.target)}, "have another class"),
        ({"file": frame().assign(target=1)}, "has 1 class"),
        ({"file": frame().assign(score=lambda rows: 100 * rows.score)}, "scores=percent"),
        ({"threshold_from": Path("tuning.csv")}, "needs a rule"),
        ({"threshold": "0.3,0.4"}, "give one threshold$"),
        ({"threshold": "0,5"}, "give one threshold; for 0.5 write a point"),
        ({"file": frame().assign(call=2), "calls": "call"}, "neither 0 or 1 nor a class"),
        ({"file": frame().assign(call=1), "calls": "call", "threshold": "0.5"}, "has no use with"),
        ({"other": frame(), "threshold": "sensitivity=0.9", "threshold_from": "tuning.csv"}, "each of the 2 models"),
        ({"file": frame().assign(exam=""), "by": "exam"}, "is missing in 400 of 400 rows"),
    ],
)
def test_wrong_input_gets_one_sentence(tmp_path: Path, request_: dict[str, object], text: str) -> None:
    with pytest.raises((DataError, SpecError), match=text):
        ran(tmp_path, **{"file": frame(), **request_})


def test_arrays_in_python(tmp_path: Path) -> None:
    data = frame()
    tables = assay.validate(data.target, data.score, patient=data.patient, groups=data[["sex"]], out=tmp_path / "out")
    assert tables["performance"]["value"][0] == pytest.approx(roc_auc_score(data.target, data.score))
    assert set(tables["subgroups"]["column"]) == {"sex"}


@pytest.mark.parametrize("in_memory", [False, True])
def test_it_imports_no_torch(in_memory: bool, tmp_path: Path) -> None:
    frame(100).to_csv(tmp_path / "scores.csv", index=False)
    file, out = str(tmp_path / "scores.csv"), str(tmp_path / "out")
    data = f"pandas.read_csv({file!r})" if in_memory else repr(file)
    program = f"import sys, assay, pandas\nassay.validate({data}, out={out!r})\nassert 'torch' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_files_are_paired_by_an_id_that_both_have(tmp_path: Path) -> None:
    """Without a column of images, of two ids only the accession number has one value for each case."""
    rng = np.random.default_rng(3)
    names = {"accession_number": [f"A{at}" for at in range(120)], "patient_id": [f"P{at // 2}" for at in range(120)]}
    first = pd.DataFrame({**names, "target": np.arange(120) % 2, "score": rng.uniform(0.1, 0.9, 120)})
    second = first.assign(score=rng.uniform(0.1, 0.9, 120)).sample(frac=1, random_state=1)
    first.to_csv(tmp_path / "ours.csv", index=False)
    second[["score", "target", "patient_id", "accession_number"]].to_csv(tmp_path / "theirs.csv", index=False, sep=";")
    tables = assay.validate(tmp_path / "ours.csv", other=tmp_path / "theirs.csv", out=tmp_path / "out")
    truth = [roc_auc_score(frame["target"], frame["score"]) for frame in (first, second)]
    assert tables["differences"]["value"].iloc[0] == pytest.approx(truth[0] - truth[1])


@pytest.mark.parametrize(
    ("change", "options", "error"),
    [
        ({"diagnosis": 0}, {}, r"'diagnosis' has 1 class, 0"),
        ({"probability": "unclear"}, {}, "holds 'unclear' in line [0-9]+, which is not a number"),
        ({}, {"margin": 2.0}, "expected a difference between 0 and 1"),
    ],
)
def test_wrong_input_is_named_in_a_sentence(
    change: dict[str, Any], options: dict[str, Any], error: str, tmp_path: Path
) -> None:
    cells = {"image": range(60), "diagnosis": np.arange(60) % 2, "probability": np.linspace(0.1, 0.9, 60)}
    frame = pd.DataFrame(cells)
    frame.assign(**change).to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(SpecError, match=error):
        assay.validate(tmp_path / "scores.csv", out=tmp_path / "out", **options)


def test_two_columns_of_scores_are_two_models_as_two_files_are(tmp_path: Path) -> None:
    ours, theirs = frame(), frame(noise=3.0, seed=1)
    ours.loc[3, "score"] = np.nan
    wide = ours.drop(columns=["score", "image"]).assign(score_a=ours.score, score_b=theirs.score)
    tuned: dict[str, Any] = {"threshold": "sensitivity=0.9", "margin": 0.05}
    for name, data in {"wide": wide, "a": ours, "b": theirs.drop(index=3)}.items():
        data.dropna().to_csv(tmp_path / f"{name}.csv", index=False)
    one = ran(tmp_path, wide, score="score_a,score_b", threshold_from=tmp_path / "wide.csv", **tuned)
    two = assay.validate(
        ours, other=theirs, out=tmp_path / "two", threshold_from=(tmp_path / "a.csv", tmp_path / "b.csv"), **tuned
    )
    columns = ["measure", "value", "low", "high", "p", "equivalence_p", "outcome", "patients"]
    pd.testing.assert_frame_equal(one["differences"][columns], two["differences"][columns])
    assert set(one["performance"]["model"]) == {"score_a", "score_b"}
    assert len(one["discordant"]) == len(two["discordant"])
    assert "score" not in set(one["subgroups"]["column"])
    with pytest.raises(SpecError, match="of two models, assay validate takes score=score_a,score_b"):
        ran(tmp_path, wide)
    with pytest.raises(SpecError, match="names the columns of two models in one file"):
        ran(tmp_path, wide, other=theirs, score="score_a,score_b")
    named = ran(tmp_path, wide.rename(columns={"score_a": "score, a"}), score="score, a")
    assert set(named["performance"]["model"]) != {"score", "a"}
    for wrong in ("score_a,score_b,exam", "score_a,score_a"):
        with pytest.raises(SpecError, match="name two different columns"):
            ran(tmp_path, wide, score=wrong)


def test_two_columns_of_calls_are_two_models(tmp_path: Path) -> None:
    ours, theirs = frame(), frame(noise=3.0, seed=1)
    calls = {name: (data.score >= 0.5).astype(int) for name, data in (("call_a", ours), ("call_b", theirs))}
    found = ran(tmp_path, ours.drop(columns="score").assign(**calls), calls="call_a,call_b")
    assert list(found["differences"]["measure"]) == ["sensitivity", "specificity"]
    assert len(found["discordant"]) == (calls["call_a"] != calls["call_b"]).sum()


def test_rows_of_two_models_are_compared_and_not_joined_in_silence(tmp_path: Path) -> None:
    ours = frame()
    long = pd.concat([ours.assign(model="A"), frame(noise=3.0, seed=1).assign(model="B")])
    long.to_csv(tmp_path / "long.csv", index=False)
    words = r"'model' has a row for each of A, B: .* or compare them: assay compare \S*long.csv --by model"
    with pytest.raises(DataError, match=words):
        ran(tmp_path, file=str(tmp_path / "long.csv"))
    with pytest.raises(DataError, match="compare them: assay compare FILE --image case --by model"):
        ran(tmp_path, file=long.rename(columns={"image": "case"}))
    tables = ran(tmp_path, file=str(tmp_path / "long.csv"), by="image", rule="mean")
    facts = tables["provenance"].set_index("key").value
    assert facts["rows joined"].startswith("800 rows are 400 cases, one for each value of 'image', by the mean score")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "800 rows are 400 cases" in page
    assert "Rows of several models" in page
    views = pd.concat([ours.assign(view="left"), ours.assign(view="right", score=ours.score / 2)])
    with pytest.raises(DataError, match="join them with"):
        ran(tmp_path, file=views)
    facts = ran(tmp_path, file=views, by="image")["provenance"].set_index("key").value
    assert "by the highest score of its rows" in facts["rows joined"]
    assert "models joined" not in facts
    with pytest.raises(DataError, match="join them with"):
        ran(tmp_path, file=pd.concat([long, long.assign(score=0.5)]))
    alone = ran(tmp_path, file=ours, by="image")["provenance"].set_index("key").value
    assert "rows joined" not in alone


def test_the_same_scores_twice_are_not_inconclusive(tmp_path: Path) -> None:
    for name in ("a", "b"):
        frame().to_csv(tmp_path / f"{name}.csv", index=False)
    files = {"file": str(tmp_path / "a.csv"), "other": str(tmp_path / "b.csv")}
    facts = ran(tmp_path, **files)["provenance"].set_index("key").value
    assert facts["same scores"] == "a and b"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "The scores of a and b are the same in every case" in page
    assert "OTHER.csv" in page
    assert "--plan" not in page
    files["other"] = frame().assign(score=lambda data: data.score**2)
    assert "same scores" not in set(ran(tmp_path, **files)["provenance"]["key"])


def test_the_next_step_keeps_thresholds_and_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 0), ("b", 5)):
        frame(n=60, noise=2.0, seed=seed).to_csv(tmp_path / f"{name}.csv", index=False)
    files = [str(tmp_path / f"{name}.csv") for name in "ab"]

    def next_step(*options: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main(["validate", *files, "--out", str(tmp_path / "out"), *map(str, options)])
        return " ".join(capsys.readouterr().out.split("Next: ")[-1].split())

    assert "--plan 0.03" in next_step()
    assert "--plan 0.03 --threshold sensitivity=0.9 --threshold-from" in next_step("--plan", 0.03)
    tuned = ("--threshold", "sensitivity=0.9", "--threshold-from", ",".join(files))
    step = next_step(*tuned)
    assert "--threshold sensitivity=0.9 --threshold-from" in step
    assert step.endswith("--plan 0.03")
    assert "see with which columns these scores change" in next_step(*tuned, "--plan", 0.03)


def test_groups_and_cases_that_are_not_compared_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    target = draw.integers(0, 2, 300)
    score = 1 / (1 + np.exp(-(target + draw.normal(size=300))))
    site = np.where(np.arange(300) < 130, "a", np.where(np.arange(300) < 260, "b", np.where(target == 0, "c", "")))
    rows = [["label", "score", "site", "ward"], *zip(target, score, site, np.where(target, "x", "y"), strict=True)]
    write_table(tmp_path / "scores.csv", rows)
    tables = ran(tmp_path, file=str(tmp_path / "scores.csv"), groups=("site", "ward"))
    assert set(tables["subgroups"]["group"]) == {"a", "b"}
    answer = Asking(capsys)("validate", tmp_path / "scores.csv", "--groups", "site,ward", "--out", tmp_path / "again")
    empty = int(target[260:].sum())
    assert f"Not compared: site c (under 20 cases of a class); {empty} cases without site; ward (tied" in answer.out
    assert "smallest group compared, site a," in answer.out or "smallest group compared, site b," in answer.out


def test_the_group_with_the_lowest_specificity_is_on_the_first_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = frame()
    data["device"] = np.where(np.arange(len(data)) % 4, "fixed", "mobile")
    healthy = (data.device == "mobile") & (data.target == 0)
    data.loc[healthy, "score"] = 0.9 - data.index[healthy] / 10_000
    data.to_csv(tmp_path / "scores.csv", index=False)
    answer = Asking(capsys)("validate", tmp_path / "scores.csv", "--groups", "device", "--out", tmp_path / "out")
    assert "lowest specificity of scores: device mobile 0.00 [0.00, " in answer.out
    assert "lowest sensitivity of scores: device " in answer.out
    assert "Lowest specificity of scores: device mobile" in (tmp_path / "out" / "report.html").read_text()


def test_a_difference_that_is_not_worse_has_its_margin_in_words(tmp_path: Path) -> None:
    tables = ran(tmp_path, file=frame(noise=1.2, seed=3), other=frame(noise=1.2, seed=2), margin=0.05)
    found = tables["differences"].set_index("measure").loc["auroc"]
    assert (found.outcome, found.equivalence) == ("inconclusive", "non-inferior")
    assert "not lower by more than the margin of 0.05" in (tmp_path / "out" / "report.html").read_text()


def test_a_study_file_is_told_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("data: {folder: x}\n")
    for words in (["validate"], ["look"], ["init"], ["compare", "--by", "loss"]):
        answer = Asking(capsys)(words[0], tmp_path / "mine.yaml", *words[1:])
        assert (answer.code, "is a study file (YAML), not a table" in answer.err) == (2, True), (words, answer)


def test_few_effective_patients_of_a_class_are_a_caution(tmp_path: Path) -> None:
    data = frame()
    assert "effective patients" not in set(ran(tmp_path, data)["provenance"].key)
    data.loc[:199, "patient"] = "one"
    facts = assay.validate(data, out=tmp_path / "uneven")["provenance"].set_index("key").value
    assert float(facts["effective patients"]) < 10
    assert (
        "effective patients: with so few, intervals can be too narrow"
        in (tmp_path / "uneven" / "report.html").read_text()
    )


def test_a_brier_score_of_votes_is_the_mean_squared_error(tmp_path: Path) -> None:
    data = frame()
    data["score"] = (data.score * 4).round() / 4
    assert {0.0, 1.0} <= set(data.score)
    performance = ran(tmp_path, data)["performance"].set_index("measure").value
    assert performance["brier"] == pytest.approx(((data.score - data.target) ** 2).mean())
    assert performance["calibration-in-the-large"] == pytest.approx((data.score - data.target).mean())


def test_a_question_of_a_patient_with_most_images_ends_as_a_question(tmp_path: Path) -> None:
    cases = frame(120)
    cases["patient"] = ["p0"] * 62 + [f"p{at}" for at in range(1, 59)]
    ran(tmp_path, cases)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "or a word for missing?" in page
    assert "missing?." not in page
    assert f"120 cases of 59 patients were scored: {cases.target.sum()} cases are positive." in page


def test_prevalences_are_a_list_a_number_or_text(tmp_path: Path) -> None:
    rows = [
        ran(tmp_path, file=frame(100), prevalence=given)["performance"].query("measure == 'ppv'")["at"].tolist()
        for given in ((0.02, 0.1), "0.02,0.1", [0.02, 0.1])
    ]
    assert rows[0] == rows[1] == rows[2]
    assert {"0.02", "0.1"} < {*rows[0]}
    assert "0.1" in ran(tmp_path, file=frame(100), prevalence=0.1)["performance"]["at"].tolist()
    with pytest.raises(SpecError, match="expected prevalences such as"):
        ran(tmp_path, file=frame(100), prevalence="often")
