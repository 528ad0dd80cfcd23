"""Comparisons of two audits of the same images."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.audit.search.test_leads import MODELS, pictures
from tests.worlds.audits import bright, images, lesions, lower, middle, run, shortcut

import assay
from assay.audit.compare import compare_audits, with_decisions
from assay.audit.compare_page import comparison_answer, comparison_lines
from assay.plugin import RunFolder, SpecError, StoreError
from assay.store.files import read_parquet, write_parquet
from assay.store.manifest import write_manifest

TAG: dict[str, Any] = {
    "left-corner": [{"text-line": {"size": 0.9}}] * 3,
    "tag": [{"tag": {"size": size, "shape": "rectangle", "contrast": 1.0}} for size in (0.15, 0.2, 0.25)],
}


@pytest.fixture(scope="module")
def audits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with audits `a` (reads a tag), `b` (does not), and `other` (of other images)."""
    root = tmp_path_factory.mktemp("audits")
    data = images(root / "set", 80)
    audited(shortcut, data, root / "a")
    audited(middle, data, root / "b")
    audited(middle, {**data, "size": 32}, root / "large")
    others = images(root / "others", 60)
    for path in (root / "others").glob("*.png"):
        Image.open(path).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(path)
    audited(middle, others, root / "other")
    return root


def audited(model: Any, data: dict[str, Any], out: Path, **more: Any) -> None:
    assay.audit(model, data, out=out, marks=TAG, distortions=(), progress=False, as_given=True, **more)


def only(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    (row,) = (row for row in rows if all(row[name] == value for name, value in wanted.items()))
    return row


def test_differences_are_of_the_values_that_both_audits_found(audits: Path) -> None:
    rows = compare_audits(audits / "a", audits / "b")
    found: dict[str, Any] = {name: assay.open_run(audits / name) for name in "ab"}
    areas = {
        name: one.table("groups").query("column == '' and measure == 'auroc'").value.iloc[0]
        for name, one in found.items()
    }
    whole = only(rows, kind="performance")
    assert (whole["a"], whole["b"]) == pytest.approx((areas["a"], areas["b"]), abs=1e-12)
    assert whole["value"] == pytest.approx(areas["a"] - areas["b"], abs=1e-12)
    assert whole["low"] <= whole["value"] <= whole["high"]
    for dose in ("weak", "middle", "strong"):
        swings = [one.table("effects").query("place == ''").set_index("dose").loc[dose, "g"] for one in found.values()]
        row = only(rows, factor="tag", dose=dose)
        assert (row["a"], row["b"]) == pytest.approx(swings, abs=1e-12)
        assert row["value"] == pytest.approx(swings[0] - swings[1], abs=1e-12)
    middle_dose = only(rows, factor="tag", dose="middle")
    assert middle_dose["low"] > 0
    assert (middle_dose["verdict_a"], middle_dose["verdict_b"]) == ("affected-by", "no-effect")
    assert {row["decision"] for row in rows if row["factor"] == "tag"} == {"differs"}
    assert [row["dose"] for row in rows if row["factor"] == "tag" and not np.isnan(row["p"])] == ["middle"]
    sex = only(rows, factor="sex")
    assert sex["decision"] == "inconclusive"
    table = found["a"].table("verdicts").set_index("factor")
    assert abs(sex["a"]) == pytest.approx(abs(table.loc["sex", "g"]), abs=1e-12)
    assert only(rows, factor="id")["verdict_a"] == "not-tested"


def test_one_decision_per_factor_is_corrected_for_factors_and_classes() -> None:
    def row(factor: str, p: float, dose: str = "middle", label: str = "") -> dict[str, Any]:
        return {
            "factor": factor,
            "kind": "mark" if factor else "performance",
            "dose": dose,
            "class": label,
            "measure": "swing" if factor else "auroc",
            "p": p,
            "reason": "",
            "a": 0.3,
            "b": 0.1,
            "value": 0.2,
            "low": 0.1,
            "high": 0.3,
        }

    verdicts = {"verdict_a": "answers-differ-with", "verdict_b": "affected-without-direction"}
    apart = comparison_lines(with_decisions([row("view", 0.001) | verdicts]), ("a", "b"))
    assert apart[-1].endswith("Verdicts: scores differ with (a), affected, no direction shown (b).")
    many = with_decisions([row("", 0.04), *(row(f"mark-{at}", 0.02) for at in range(10))])
    assert [one["decision"] for one in many] == ["differs", *["inconclusive"] * 10]
    assert many[1]["p"] == pytest.approx(0.2)
    text = comparison_lines(many, ("a", "b"))
    assert len(text) == 2
    assert text[1].startswith("No difference shown: mark 0, mark 1")
    classes = with_decisions([row("tag", 0.02, label=label) for label in "xyz"])
    assert {one["decision"] for one in classes} == {"inconclusive"}
    doses = with_decisions([row("tag", 1e-6, "weak"), row("tag", 0.5), row("hair", 0.01, "weak"), row("hair", 1e-4)])
    assert [one["decision"] for one in doses] == ["inconclusive", "inconclusive", "differs", "differs"]
    assert np.isnan([one["p"] for one in doses]).tolist() == [True, False, True, False]


def test_the_answer_has_the_regions_of_both_audits_where_another_search_leads_in_each() -> None:
    def row(of: str, a: str, b: str) -> dict[str, Any]:
        part = {"of": of, "kind": "box", "name": "0.8,0.8,1,1", "bright": True, "discrete": True, "shape": 0.9}
        return {
            "factor": of,
            "kind": "region",
            "found_a": json.dumps(part),
            "found_b": json.dumps(part),
            "reason": "",
            "verdict_a": a,
            "verdict_b": b,
            "p": np.nan,
            "decision": "not-tested",
            **{f"{side}{end}": 1.0 for side in "ab" for end in ("", "_low", "_high")},
        }

    rows = [row("drawn", "unverified", "nothing-found"), row("place", "nothing-found", "relies-on-region"),
            row("whole", "inconclusive", "nothing-found")]  # fmt: skip
    said = comparison_answer(rows, ("a", "b"))
    assert said[0].startswith("a: a bright mark in the lower right corner: finding without a verified limit")
    assert "b: depends on a bright mark in the lower right corner" in said[1]
    assert len(said) == 3
    assert len(comparison_lines(rows, ("a", "b"))) == 1
    empty = [row(of, "nothing-found", "nothing-found") for of in ("place", "whole")]
    both = "(effects 1.00 and 1.00 sd)"
    assert comparison_lines(empty, ("a", "b")) == [
        f"Neither audit found anything by 2 searches: fixed regions {both}; orientation, spatial frequencies and gray "
        f"levels {both}."
    ]


def test_a_mark_that_has_no_swing_in_any_class_says_why(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set", without=False, count=40)
    for model in (bright, lower):
        audited(model, data, tmp_path / model.__name__, task="segmentation")
    rows = compare_audits(tmp_path / "bright", tmp_path / "lower")
    tag = only(rows, factor="tag", dose="middle")
    assert "absent-class" in tag["reason"]
    assert tag["decision"] == ""


def test_an_audit_does_not_differ_from_itself_or_from_one_at_another_size(audits: Path) -> None:
    same = compare_audits(audits / "a", audits / "a")
    assert {row["value"] for row in same if not np.isnan(row["value"])} == {0.0}
    assert all(row["low"] <= 0 <= row["high"] for row in same if not np.isnan(row["value"]))
    assert only(compare_audits(audits / "b", audits / "large"), kind="performance")["images"] == 80


def test_the_command_prints_and_writes_a_page(audits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "compare", str(audits / "a"), str(audits / "b"), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "Tag (" in text
    assert "Verdicts: affected by (a), no effect (b)." in text
    assert "No difference shown: sex.\nNot compared: left corner, age, id.\n" in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('id="differences">Differences<') == 1
    for text in ("affected-by", "no-effect", "left-corner"):
        assert f">{text}<" not in page
    assert ">left corner<" in page
    assert "tested in one of the audits only" not in page, "neither tested the identifiers"
    assert "How do a and b differ?" in page
    assert "The AUROC shift by tag differs between a and b." in page
    assert re.search(r"Analyses used Assay \d", page)
    facts = {row["key"]: row["value"] for row in RunFolder(tmp_path / "out").table("provenance")}
    assert facts["intervals over"] == "patients"
    assert {"assay-imaging", "numpy", "scipy"} <= facts.keys()
    assert "40 patients" in page or "80 patients" in page
    kept = RunFolder(tmp_path / "out").table("compared")
    assert kept[0]["kind"] == "performance"
    opened: Any = assay.open_run(tmp_path / "out")
    assert "The AUROC shift by tag differs between a and b." in opened._repr_html_()
    assert " sd\u00a0[" in page, "the region"
    with pytest.raises(StoreError, match="a comparison of audits, which has no table 'estimates'"):
        opened.figure("auroc")
    assert run(["audit", "compare", str(audits / "a"), str(audits / "b"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["compared"]) == len(kept)


def test_a_comparison_does_not_overwrite_an_audit(audits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (audits / "a" / "report.html").read_bytes()
    assert run(["audit", "compare", str(audits / "a"), str(audits / "b"), "--out", str(audits / "a")]) == 2
    assert "holds an audit, not a comparison of audits: give another folder" in capsys.readouterr().err
    assert (audits / "a" / "report.html").read_bytes() == before


def test_a_search_that_assay_does_not_know_names_no_picture(audits: Path, tmp_path: Path) -> None:
    shutil.copytree(audits / "a", received := tmp_path / "a")
    path = received / "tables" / "regions.parquet"
    columns = read_parquet(path)
    write_parquet(path, {**columns, "of": np.array(["x/../../up"] * len(columns["of"]), dtype=object)})
    write_manifest(received, {})
    with pytest.raises(StoreError, match=r"the table regions: unknown search 'x/\.\./\.\./up'"):
        compare_audits(received, audits / "b")


@pytest.mark.nightly
def test_effects_in_training_images_and_in_others_are_not_compared_nor_is_a_search_that_one_audit_lacks(
    tmp_path: Path,
) -> None:
    """The same network: where the second audit was given no training images, its mark seems to be gone."""
    clean, train = pictures(tmp_path / "clean", "none", seed=1), pictures(tmp_path / "train")
    for name, more in (("both", {"train": train}), ("alone", {}), ("short", {"train": train, "budget": 4_000})):
        audited(MODELS["letter"], clean, tmp_path / name, **more)
    message = "both: a bright mark in the lower right corner: finding without a verified limit, "
    for other, words, reason in (
        ("alone", "sd [", "only one of them searched training images: these are effects in other images."),
        ("short", "; short: not searched in fixed regions; ", "tested in one of the audits only."),
    ):
        rows = compare_audits(tmp_path / "both", tmp_path / other)
        row = only(rows, factor="place")
        assert np.isnan([row["value"], row["low"], row["high"]]).all()
        said = comparison_answer(rows, ("both", other))[0]
        assert said.startswith(message)
        assert words in said.removeprefix(message)
        assert said.endswith(f"; {reason}")
        assert comparison_answer(rows, ("both", other))[1].startswith(
            "No difference in performance or in the AUROC shift by"
        )
    out = tmp_path / "out"
    assert run(["audit", "compare", str(tmp_path / "both"), str(tmp_path / "alone"), "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    shown = [
        f"<figcaption>{name}: mean of images {one} it</figcaption>"
        for name in ("both", "alone")
        for one in ("with", "without")
    ]
    assert [page.index(one) for one in shown] == sorted(page.index(one) for one in shown)
    assert page.index(shown[-1]) < page.index('<h2 id="findings"'), "on the first screen"
    assert run(["audit", "compare", str(tmp_path / "short"), str(tmp_path / "both"), "--out", str(out)]) == 0
    kept = {path.name for path in (out / "pictures").iterdir()}
    assert {name for name in kept if "place" in name} == {"b region place with.png", "b region place without.png"}


def test_other_images_and_folders_are_refused(audits: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"have 0 of 60 images in common"):
        compare_audits(audits / "a", audits / "other")
    shutil.copytree(audits / "a", tmp_path / "killed")
    (tmp_path / "killed" / "tables" / "stamp.json").unlink()
    with pytest.raises(SpecError, match="the last audit there did not end"):
        compare_audits(audits / "a", tmp_path / "killed")
    with pytest.raises(SpecError, match="holds no audit"):
        compare_audits(audits / "a", tmp_path)


def test_audits_of_predictions_compare_their_files_as_a_validation_does(audits: Path, tmp_path: Path) -> None:
    draw, ill = np.random.default_rng(0), np.arange(120) % 2
    for name in ("ours", "their scores"):
        scores = 1 / (1 + np.exp(-(ill + draw.normal(size=120))))
        cells = {"image": [f"{at}.png" for at in range(120)], "patient": range(120), "ill": ill, "score": scores}
        pd.DataFrame(cells).to_csv(tmp_path / f"{name}.csv", index=False)
        assert run(["audit", str(tmp_path / f"{name}.csv"), "--target", "ill", "--out", str(tmp_path / name)]) == 0
    both = tmp_path / "ours", tmp_path / "their scores"
    assert run(["audit", "compare", *map(str, both), "--out", str(tmp_path / "validation")]) == 0
    assert len(assay.open_run(tmp_path / "validation").table("differences")) == 3
    with pytest.raises(SpecError, match="ours is an audit of predictions, without images: compare two"):
        compare_audits(audits / "a", both[0])
    both[0].with_suffix(".csv").unlink()
    assert run(["audit", "compare", *map(str, both)]) == 2


def test_a_short_budget_leaves_out_doses_that_cannot_change_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    data = images(tmp_path / "set", 200)
    for name, model, doses in (("a", shortcut, ["middle"]), ("b", middle, ["weak", "middle", "strong"])):
        audited(model, data, tmp_path / name, budget=750)
        found: Any = assay.open_run(tmp_path / name)
        assert list(found.table("effects").dose) == doses
        assert 60 <= found.table("verdicts").set_index("factor").loc["tag"].images < 200
    rows = [row for row in compare_audits(tmp_path / "a", tmp_path / "b") if row["factor"] == "tag"]
    assert [row["dose"] for row in rows] == ["middle"]
    assert (rows[0]["verdict_a"], rows[0]["verdict_b"]) == ("affected-by", "no-effect")
    assert rows[0]["low"] > 0
