"""Predictions made elsewhere are compared as a study's contrasts are."""

# pyright: basic

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.worlds.files import write_rows

import assay
from assay.cli import main
from assay.plugin import DataError, SpecError
from assay.stats import SeedPredictions, contrast, decide
from assay.stats.decisions import moderate_group

IMAGES, SEEDS = 120, 5


def odds(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Log-odds [seeds, images] of three recipes; `copy` is the reference with noise, `worse` knows less."""
    rng = np.random.default_rng(seed)
    target = np.repeat(rng.integers(0, 2, IMAGES // 2), 2)
    patient = np.repeat(np.arange(IMAGES // 2), 2)
    base = 2 * target + rng.normal(size=IMAGES)
    made = {
        name: base * share + rng.normal(scale=0.3, size=(SEEDS, IMAGES))
        for name, share in (("reference", 1.0), ("copy", 1.0), ("worse", 0.1))
    }
    return made, target, patient


def entries() -> dict[str, Any]:
    made, target, patient = odds()
    rows = [
        (name, seed, image, target[image], patient[image], made[name][seed, image])
        for name in made
        for seed in range(SEEDS)
        for image in range(IMAGES)
    ]
    names = ("groups", "seeds", "images", "y_true", "patients", "y_score")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def rows_of_file() -> list[dict[str, Any]]:
    given = entries()
    names = {"groups": "loss", "seeds": "seed", "images": "image", "y_true": "target", "patients": "patient"}
    columns = {names[key]: value for key, value in given.items() if key in names}
    columns["score"] = [1 / (1 + np.exp(-value)) for value in given["y_score"]]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def compared(given: dict[str, Any], **asked: Any) -> Any:
    """Entries as a data frame, through the Python API."""
    names = {"groups": "loss", "seeds": "seed", "images": "image", "y_true": "target", "patients": "patient",
             "y_score": "score", "folds": "fold"}  # fmt: skip
    return assay.compare(pd.DataFrame({names[key]: value for key, value in given.items()}), by="loss", **asked)


def test_the_rows_are_those_of_the_contrasts_of_a_study() -> None:
    made, target, patient = odds()
    panels = {name: SeedPredictions(one[:, :, None], target, patient) for name, one in made.items()}
    family = moderate_group([contrast(panels[name], panels["reference"], "auroc", 0.05) for name in ("copy", "worse")])
    decisions = decide(family)
    found = compared(entries(), measure="auroc", margin=0.05)
    for row, one, decision in zip(found.contrasts, family, decisions, strict=True):
        assert (row["value"], row["low"], row["high"]) == pytest.approx((one.value, one.low, one.high), abs=1e-12)
        assert row["p_holm"] == pytest.approx(decision.p_holm, abs=1e-12)
    assert [row["decision"] for row in found.contrasts] == ["equivalent", "lower-beyond"]
    for row in found.estimates:
        expected = np.mean([roc_auc_score(target, scores) for scores in made[row["recipe"]]])
        assert row["value"] == pytest.approx(expected, abs=1e-12)
        assert (row["seeds"], row["images"], row["patients"]) == (SEEDS, IMAGES, IMAGES // 2)


def test_a_file_gives_what_arrays_give_in_any_order_of_its_rows(tmp_path: Path) -> None:
    rows = rows_of_file()
    rows = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    found = assay.compare(write_rows(tmp_path / "p.csv", rows), by="loss", against="reference")
    expected = compared(entries(), against="reference")
    values = {row["a"]: (row["value"], row["p_holm"]) for row in expected.contrasts}
    assert {row["a"]: (row["value"], row["p_holm"]) for row in found.contrasts} == {
        name: pytest.approx(value, abs=1e-9) for name, value in values.items()
    }
    assert found.notes == ()


def test_a_file_with_semicolons_has_numbers_with_commas_and_a_bad_score_is_named(tmp_path: Path) -> None:
    plain, european = write_rows(tmp_path / "plain.csv", rows_of_file()), tmp_path / "european.csv"
    european.write_text(plain.read_text().replace(",", ";").replace(".", ","))
    first, second = (assay.compare(path, by="loss") for path in (plain, european))
    assert first.estimates == second.estimates
    lines = european.read_text().splitlines()
    european.write_text("\n".join([*lines[:2], lines[2].rpartition(";")[0] + ";1_0", *lines[3:]]))
    with pytest.raises(DataError, match=r"european.csv:3: score '1_0' is not a finite number"):
        assay.compare(european, by="loss")


def test_folds_are_kept_apart() -> None:
    """Scores of the second fold are shifted: across folds the ranks are wrong, within each they are right."""
    given = entries()
    folds = [image % 2 for image in given["images"]]
    shifted = [score + 100 * fold for score, fold in zip(given["y_score"], folds, strict=True)]
    given["y_score"] = shifted
    plain, apart = compared(given), compared({**given, "folds": folds})
    assert apart.estimates[0]["value"] > plain.estimates[0]["value"] + 0.1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"groups": lambda g: ["only"] * len(g)}, DataError, "predictions are there twice"),
        ({"y_true": lambda g: [1 - g[0], *g[1:]]}, DataError, "1 images have several targets, such as '0'"),
        ({"patients": lambda g: [99, *g[1:]]}, DataError, "1 images have several patients"),
        ({"y_score": lambda g: [float("nan"), *g[1:]]}, DataError, "score '' is not a finite number"),
        (
            {"y_true": lambda g: ["red" if one else "blue" for one in g]},
            SpecError,
            "are blue and red, and neither is surely the positive one: name it with positive=",
        ),
        ({"y_true": lambda g: [1] * len(g)}, SpecError, "the target 'target' has 1 class "),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    given = entries()
    with pytest.raises(error, match=message):
        compared({**given, **{name: make(given[name]) for name, make in change.items()}})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"against": "refrence"}, "did you mean 'reference'"),
        ({"measure": "aurok"}, "did you mean 'auroc'"),
        ({"measure": "dice"}, "unknown measure of classification"),
        ({"margin": -1.0}, "expected a number above 0"),
        ({"positive": "2"}, "unknown value of target '2'"),
    ],
)
def test_unknown_names_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        compared(entries(), **asked)


def _without(rows: list[dict[str, Any]], lost: int, seeds: Sequence[int]) -> pd.DataFrame:
    """The reference and itself as `copy`, which lacks the images that it ranks worst, in some seeds."""
    rows = [row for row in rows if row["loss"] == "reference"]
    worst = sorted({row["image"] for row in rows}, key=lambda image: sum(
        abs(row["score"] - row["target"]) for row in rows if row["image"] == image))[-lost:]  # fmt: skip
    copies = [{**row, "loss": "copy"} for row in rows if not (row["image"] in worst and row["seed"] in seeds)]
    return pd.DataFrame([*rows, *copies])


@pytest.mark.parametrize("seeds", [range(SEEDS), range(1, SEEDS)])
def test_recipes_are_compared_on_images_that_both_answered(seeds: range) -> None:
    """Both give the same scores, so that they differ in nothing; without its worst images one would seem better."""
    found = assay.compare(_without(rows_of_file(), 10, seeds), by="loss", against="reference", measure="auroc")
    (row,) = found.contrasts
    assert row["value"] == pytest.approx(0, abs=1e-12)
    assert row["decision"] != "higher"
    of_images = {row["images"] for row in found.estimates}
    assert of_images == ({IMAGES - 10} if len(seeds) == SEEDS else {IMAGES})
    assert f"left out: {10 * len(seeds)} predictions of images that not every recipe of a seed has" in str(found)


def test_of_equal_scores_no_more_seeds_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in rows_of_file() if row["loss"] == "reference"]
    path = write_rows(tmp_path / "p.csv", [*rows, *({**row, "loss": "copy"} for row in rows)])
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(path), "--by", "loss", "--out", str(tmp_path / "out")])
    assert ended.value.code in (None, 0)
    said = capsys.readouterr().out
    assert "Next: check whether these are the scores of different models: nothing varies." in said
    assert "add rows of" not in said


def test_a_recipe_that_lacks_many_images_of_a_seed_is_refused() -> None:
    data = _without(rows_of_file(), 40, [2])
    with pytest.raises(DataError, match="'copy' lacks 40 of 120 images of seed 2, which other recipes have"):
        assay.compare(data, by="loss")
    assert assay.compare(data, by="loss", unmatched="drop").contrasts[0]["value"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.11, 0.35, 0.9, 0.95])
def test_scores_on_a_threshold_are_called_positive(threshold: float) -> None:
    rows = [{**row, "score": threshold if row["target"] else threshold / 2} for row in rows_of_file()]
    found = assay.compare(rows, by="loss", measure="sensitivity", threshold=threshold)
    assert {row["value"] for row in found.estimates} == {1.0}


def test_calibration_is_not_compared_of_scores_without_a_scale() -> None:
    rows = [
        {"loss": loss, "image": at, "target": at % 2, "score": 150 + at % 7 + 3 * (at % 2) + (loss == "b") * (at % 3)}
        for loss in "ab"
        for at in range(40)
    ]
    with pytest.raises(SpecError, match=r"measure=brier needs probabilities, and the scores of 'a', from 150 to"):
        assay.compare(rows, "loss", measure="brier")
    assert assay.compare(rows, "loss", measure="brier", scores="logits").estimates
    assert assay.compare(rows, "loss").estimates


def test_recipes_of_the_same_scores_are_named() -> None:
    rows = [row for row in rows_of_file() if row["loss"] != "worse" and row["seed"] == 0]
    same = [*rows, *({**row, "loss": "again"} for row in rows if row["loss"] == "reference")]
    (note,) = assay.compare(same, by="loss").notes
    assert "same-predictions" in str(note)
    assert "again" in str(note)


def test_brier_score_and_calibration_error_take_probabilities_of_0_and_1_as_they_are() -> None:
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2
    rows, values = [], {}
    for loss in "ab":
        p = np.clip(np.round(0.5 + 0.3 * (2 * target - 1) + 0.3 * rng.normal(size=(3, 60)), 1), 0, 1)
        values[loss] = float(((p - target) ** 2).mean())
        rows += [
            {"image": i, "target": target[i], "loss": loss, "seed": s, "score": p[s, i]}
            for s in range(3)
            for i in range(60)
        ]
    found = assay.compare(rows, "loss", measure="brier")
    assert {row["recipe"]: row["value"] for row in found.estimates} == pytest.approx(values)
    assert "exactly" not in found.facts["scores"]
    assert "exactly 0 set to 0.05" in assay.compare(rows, "loss", measure="log-loss").facts["scores"]
