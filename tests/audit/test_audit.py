"""Audits of models whose shortcut is known."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.audits import (
    CALLS,
    MARKS,
    SIDE,
    audited,
    images,
    middle,
    of_folder,
    require_valid,
    run,
    shortcut,
    verdicts,
)
from tests.worlds.files import save, write_table
from tests.worlds.studies import SMALL

import assay
from assay.audit import request
from assay.audit.battery import battery, every_distortion
from assay.audit.policy import Policy, read_policy
from assay.audit.predictions_command import print_verdicts
from assay.audit.verdicts_file import SCHEMA_FILE
from assay.plugin import RunFolder, SpecError, StoreError
from assay.stats.rows import Verdict
from assay.store.schema import TABLES


def opened(folder: Path) -> assay.Audit:
    found = assay.open_run(folder)
    assert isinstance(found, assay.Audit)
    return found


def test_a_planted_shortcut_is_named_and_a_mark_elsewhere_is_cleared(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = opened(planted / "reader")
    said = verdicts(found)
    assert {name: said[name] for name in ("tag", "left", "wide", "id")} == {
        "tag": "affected-by",
        "left": "no-effect",
        "wide": "not-tested",
        "id": "not-tested",
    }
    assert next(iter(said)) == "tag", "harm first"
    table: Any = found.table("verdicts").set_index("factor")
    assert table.loc["tag", "g"] > 0.1
    assert table.loc["tag", "loss_negatives_low"] > 0
    assert "wider than the image" in table.loc["wide", "reason"]
    assert "many-levels" in table.loc["id", "reason"]
    clean = verdicts(opened(planted / "clean"))
    assert (clean["tag"], clean["left"]) == ("no-effect", "no-effect")
    assert run(["results", str(planted / "reader"), "--columns", "factor,verdict", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["factor,verdict", "tag,affected-by"]
    document = require_valid(planted / "reader")
    first = document["verdicts"][0]
    assert first["factor"] == "tag"
    cited = [row["row"] for row in document["findings"] if row["table"] == "verdicts"]
    assert cited == list(range(len(cited))), "the table has the order of the findings"
    assert {row["check"]: row["status"] for row in document["checks"]}["repeatable"] == "ok"
    assert RunFolder(planted / "reader").tables["verdicts"].column("verdict").values == (
        *map(str, Verdict),
        "not-tested",
    )
    for wrong in ({"verdict": "clean"}, {"g": "0.1"}, {"images": 1.5}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "verdicts": [{**first, **wrong}]}, json.loads(SCHEMA_FILE.read_text()))


def test_the_page_of_an_audit_cites_cells_and_names_no_patient(planted: Path) -> None:
    found, path = opened(planted / "reader"), planted / "reader" / "report.html"
    page = path.read_text()
    first = page[: page.index('<h2 id="findings"')]
    for text in (
        "<h1>The model is not shown to be better than the image&#39;s mean brightness: AUROC 0.76 against 0.69.",
        "Predictions change most with the look of the middle, 15% of them: a finding without a verified limit.",
        "If you have the training images, search them too (--train).",
        "The tag changes predictions, as such marks can in networks without a shortcut too",
        "Affected by tag",
        "gives the same scores to the same images",
        "margin 0.05, the default · intended use: not stated",
        "No reference networks were used",
        "data:image/png",
        "A mark that was not tested",
    ):
        assert text in page or text in re.sub("</?span[^>]*>", "", first)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    lines = re.findall(r'<a href="#([^"]+)">AUROC ', first)
    assert lines == ["added", "regions", "verdicts"], "no mark that is cleared while a region is open"
    assert all(f'id="{place}"' in page for place in lines)
    assert all(
        f"<figcaption>{label}</figcaption>" in first
        for label in ("mean of images with it", "mean of images without it", "difference of the means")
    )
    assert "Smith" not in page, "no patient is named"
    assert "mean brightness" in found._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert "<svg" in found.figure("g").svg
    assert found.report() == path
    assert path.read_text() == page


def test_the_auroc_of_all_images_has_one_interval_and_those_of_groups_hold_together(planted: Path) -> None:
    found = opened(planted / "reader")
    areas = found.table("groups").query("measure == 'auroc'").set_index("level")
    own, added = areas.loc["all"], found.table("added").iloc[0]
    assert [own.value, own.low, own.high] == pytest.approx(
        [added.network, added.network_low, added.network_high], abs=0.002
    )
    assert np.diff(areas.loc[["f", "all"], ["low", "high"]])[0] > 1.25 * 2**0.5 * (own.high - own.low), (
        "of half of them"
    )
    assert "What was found, by kind and then by AUROC lost" in (planted / "reader" / "report.html").read_text()


def test_single_images_are_shown_by_outcome_those_that_the_leading_mark_moves_also_with_it(planted: Path) -> None:
    found = opened(planted / "reader")
    cases = [{**row, **json.loads(row["facts"])} for row in found.table("pictures").to_dict("records")]
    assert {row["kind"] for row in cases} == {"case"}
    outcomes = [row["outcome"] for row in cases]
    assert list(dict.fromkeys(outcomes)) == ["wrong", "moved", "right"]
    assert 24 <= len(cases) <= 60

    def of_one(facts: dict[str, Any]) -> float:
        """The probability of the positive class."""
        return facts["probability"] if facts["called"] == "label" else 1 - facts["probability"]

    assert len({row["file"] for row in cases}) == len(cases)
    for row in cases:
        mark = f"-{row['factor']}" if row["factor"] else ""
        assert row["file"] == f"{row['outcome']}{mark}-{row['word']}-{row['row']}.png", "named after what is on it"
        with Image.open(planted / "reader" / "pictures" / row["file"]) as picture:
            across = picture.width / row["scale"]
        assert (row["truth"] == row["called"]) or row["outcome"] != "right"
        if row["outcome"] == "moved":
            assert row["factor"] == "tag"
            assert of_one(row["marked"]) > of_one(row), "the model adds how bright the corner is"
            assert across == 2 * SIDE + 2, "without and with it, a gap of two pixels between them"
        else:
            assert (row["factor"], across) == ("", SIDE)
    page = (planted / "reader" / "report.html").read_text()
    assert f"<summary>{len(cases)} single images by outcome</summary>" in page
    assert "<h3>Most affected by tag</h3>" in page
    assert "; with the mark label (" in page


def of_network(folder: Path, number: int, **changed: str) -> None:
    """Let an audit be that of another network, with other facts."""
    new = {"hash of the model": f"clean {number}", **changed}
    rows = [{**row, "value": new.get(row["key"], row["value"])} for row in RunFolder(folder).table("provenance")]
    (folder / "manifest.json").unlink(missing_ok=True)
    RunFolder(folder).write_table("provenance", TABLES["provenance"].names, rows)


def test_reliance_is_an_effect_beyond_those_of_networks_that_never_saw_the_mark(planted: Path, tmp_path: Path) -> None:
    data, marks = of_folder(planted / "set"), {"tag": MARKS["tag"], "jpeg": [{"jpeg": {"quality": 40}}] * 3}
    root = tmp_path / "references"
    given: dict[str, Any] = {"marks": marks, "distortions": []}
    audited(middle, data, tmp_path / "clean", **given)
    for number in range(59):
        shutil.copytree(tmp_path / "clean", root / str(number), ignore=shutil.ignore_patterns("pictures", "readings"))
        of_network(root / str(number), number)
    given["references"] = root
    table = audited(shortcut, data, tmp_path / "out", **given).table("verdicts").set_index("factor")
    assert table.verdict["tag"] == "relies-on"
    assert table.at_least["tag"] > table.limit["tag"] >= 0
    assert np.isfinite(table.limit["jpeg"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Relies on tag" in page
    assert "limit of reference networks" in page
    assert "limit of the mark<" in page
    assert "No reference networks were used" not in page
    weaker = {"tag": [{"tag": {"size": 0.1}}] * 3}
    other: dict[str, Any] = {**given, "marks": weaker}
    with pytest.raises(SpecError, match=r"no mark is in all audits of .*, drawn as here"):
        audited(shortcut, data, **other)
    with pytest.raises(SpecError, match="is an audit of no domain, and this one of dermoscopy"):
        audited(shortcut, data, **given, domain="dermoscopy")
    for number in range(59):
        of_network(root / str(number), number, size="64 px, fit pad")
    limit = audited(shortcut, data, tmp_path / "64", **given).table("verdicts").set_index("factor").limit
    assert (bool(np.isnan(limit["tag"])), bool(np.isnan(limit["jpeg"]))) == (False, True), "a mark of detail"
    assert f"read images of 64 px and the model of {SIDE} px, where JPEG" in (tmp_path / "64/report.html").read_text()
    (root / "3" / "tables" / "stamp.json").unlink()  # killed while it wrote its tables
    with pytest.raises(SpecError, match="audits of 58 other networks; the limit needs 59"):
        audited(shortcut, data, **given)


def test_a_folder_keeps_the_audit_of_one_model_and_its_images(planted: Path, tmp_path: Path) -> None:
    data, other = of_folder(planted / "set"), images(tmp_path / "other", 42)
    before = (planted / "reader" / "verdicts.json").read_bytes()
    for model, given in ((middle, data), (shortcut, other)):
        with pytest.raises(
            StoreError, match=r"holds the audit of another model, target or images.*with out$"
        ) as refused:
            audited(model, given, planted / "reader")
        assert len(str(refused.value).splitlines()) == 1
    assert (planted / "reader" / "verdicts.json").read_bytes() == before

    def killed(images: np.ndarray) -> np.ndarray:
        if len(CALLS) > 20:
            raise KeyboardInterrupt
        return middle(images)

    for _ in range(2):
        CALLS.clear()
        with pytest.raises(KeyboardInterrupt):
            audited(killed, other, tmp_path / "out")
    with pytest.raises(StoreError, match="holds the audit of another model"):
        audited(shortcut, other, tmp_path / "out")


def test_a_large_budget_reads_the_full_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "FULL_BUDGET", 200)  # so that not all images are put under marks
    data = images(tmp_path / "set", 60)
    given: dict[str, Any] = {"marks": {"tag": MARKS["tag"]}, "distortions": None, "domain": "gray"}
    short, full = (audited(shortcut, data, tmp_path / str(budget), budget=budget, **given) for budget in (100, 200))
    assert set(short.table("effects").dose) == {"middle"}, "the verdict is settled"
    assert set(full.table("effects").dose) == {"weak", "middle", "strong"}
    every = every_distortion("gray", 1)
    for found, families, severities in ((short, battery("gray", 1)[1], (1, 3, 5)), (full, every, (1, 2, 3, 4, 5))):
        rows = found.table("distorted")
        wanted = {(name, severity) for name in families for severity in severities}
        assert set(zip(rows.factor, rows.severity, strict=True)) == wanted
        assert "not-tested" not in set(rows.decision)
    for domain in ("dermoscopy", "endoscopy", "fundus", "color", "chest-xray", "gray"):
        channels = 1 if domain in ("chest-xray", "gray") else 3
        every = every_distortion(domain, channels)
        assert set(battery(domain, channels)[1]) < set(every)
        assert ("saturate" in every) == (channels == 3)


def test_shipped_error_rates_are_cited_at_the_margin_that_they_were_measured_at(tmp_path: Path) -> None:
    data, marks = images(tmp_path / "set", 40), {"left": MARKS["left"]}
    for margin, there in ((0.05, True), (0.1, False)):
        found = audited(middle, data, marks=marks, distortions=[], domain="phantom-chest", margin=margin)
        rates = set(found.table("rates").rate)
        assert ("audits of networks without a shortcut that have any 'relies on'" in rates) is there


@pytest.mark.parametrize(("domain", "limited"), [("phantom-chest", True), ("mr", False)])
def test_error_rates_of_searches_are_cited_where_a_limit_is_shipped(domain: str, limited: bool, tmp_path: Path) -> None:
    found = audited(middle, images(tmp_path / "set", 40), tmp_path / "out", marks={}, distortions=[], domain=domain)
    assert ("two marks: named" in set(found.table("rates").rate)) is limited
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert ("it named the shortcut of" in page) is limited


def test_a_mark_that_makes_answers_nan_is_not_tested_and_no_picture_is_left(tmp_path: Path) -> None:
    data = images(tmp_path / "set", 60)

    def broken(images: np.ndarray) -> np.ndarray:
        return np.where(images[:, 0, 2, 20] > 0.8, np.nan, middle(images))

    page = tmp_path / "out" / "report.html"
    found = audited(broken, data, tmp_path / "out").table("verdicts").set_index("factor")
    assert found.verdict["tag"] == "not-tested"
    assert "NaN" in found.reason["tag"]
    assert found.verdict["left"] != "not-tested"
    failures = RunFolder(tmp_path / "out").failures().values()
    assert any("NaN" in one["text"] for one in failures), "kept, and tried again"
    assert any((tmp_path / "out" / "pictures").iterdir())
    audited(broken, data, tmp_path / "out", pictures=False)
    assert "data:image/png" not in page.read_text()
    assert not (tmp_path / "out" / "pictures").exists()


def test_a_mark_that_is_called_as_a_device_has_a_picture_in_a_signed_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask = Asking(capsys)
    tag = next(iter(MARKS.values()))
    names = ("con", "NUL", "lpt1", "con~1")
    audited(middle, images(Path("set"), 40), Path("out"), marks=dict.fromkeys(names, tag), distortions=[])
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], check=True)
    assert ask("seal", "out", "--key", "key").code == 0
    assert ask("open", "out", "--bundle", "run.zip").code == 0
    shutil.unpack_archive("run.zip", "unpacked")
    written, packed = ({path.name for path in Path(folder, "out/pictures").iterdir()} for folder in (".", "unpacked"))
    assert packed == written
    assert len(packed) >= len(names)
    rows = {row["what"]: row["light"] for row in json.loads(ask("doctor", "unpacked", "--json").out)}
    assert (rows["files"], rows["signature"]) == ("ok", "ok")


def test_a_column_that_moves_scores_is_named_with_gaps_between_its_groups(tmp_path: Path) -> None:
    rows: list[list[object]] = [["finding", "score", "patient", "view", "note"]]
    draws = np.random.default_rng(1)
    for at in range(600):
        label, view = at % 2, at // 2 % 2
        p = 1 / (1 + np.exp(-(draws.normal() + 1.5 * label + 1.2 * view - 1)))
        rows.append([label, p, f"p{at // 2}", ["AP", "PA"][view], "<script>alert(1)</script>"])
    write_table(tmp_path / "predictions.csv", rows)
    path = tmp_path / "predictions.csv"
    given = ["--target", "finding", "--patient", "patient", "--columns"]
    assert run(["audit", str(path), *given, "view,note", "--out", str(tmp_path / "out")]) == 0
    found: Any = assay.open_run(tmp_path / "out")
    require_valid(found.folder)
    table = found.table().set_index("factor")
    assert table.loc["view", "verdict"] == "answers-differ-with"
    assert table.loc["view", "g"] > 0.1
    assert table.loc["note", "verdict"] == "not-tested"
    groups = found.table("groups")
    assert set(groups[groups.column == "view"].measure) == {
        "auroc",
        "sensitivity",
        "specificity",
        "calibration-in-the-large",
        "calibration-slope",
    }
    gap = found.table("gaps").set_index("measure").loc["sensitivity"]
    assert gap.decision == "beyond"
    assert "<script>alert(1)" not in (tmp_path / "out" / "report.html").read_text()
    european = tmp_path / "european.csv"
    european.write_text(path.read_text().replace(",", ";").replace(".", ","))
    assert run(["audit", str(european), *given, "view,score", "--out", str(tmp_path / "european")]) == 0
    again: Any = assay.open_run(tmp_path / "european")
    assert again.table().set_index("factor").loc["view", "g"] == table.loc["view", "g"]
    assert again.table("columns").set_index("column").loc["score", "kind"] == "continuous"
    policy = tmp_path / "policy.yaml"
    for text, expected in {
        "forbid: [answers-differ-with: view]": 3,
        "forbid: [relies-on: any]": 3,  # no mark was tested
        "forbid: [relies-on: any]\ninconclusive: pass": 0,
        "forbid: [relies-on: view]": 2,  # a verdict on marks alone
        "require: {subgroup-gap: 0.05}": 3,
        "forbid: [answers-differ-with: note]": 3,
        "forbid: [answers-differ-with: note]\ninconclusive: pass": 0,
        "forbid: [answers-differ-with: vew]": 2,
        "forbid: [lies: view]": 2,
    }.items():
        policy.write_text(text)
        more = ["--policy", str(policy), "--out", str(tmp_path / "out")]
        assert run(["audit", str(path), "--target", "finding", "--columns", "view,note", *more]) == expected, text

    again = ["audit", str(path), "--target", "finding", "--out", str(tmp_path / "again")]
    assert run([*again, "--threshold", "sensitivity=0.9"]) == 0
    facts = RunFolder(tmp_path / "again").table("groups")
    assert 0.9 <= next(row["value"] for row in facts if row["measure"] == "sensitivity") < 0.91
    assert run([*again, "--threshold", "7"]) == 2
    assert run([*again, "--images", "data.csv"]) == 2


@pytest.mark.parametrize("name", ["svm_score", "logit"])
def test_scores_without_a_usual_scale_have_no_calibration(tmp_path: Path, name: str) -> None:
    draws, rows = np.random.default_rng(0), list[list[object]]()
    for at in range(400):
        rows.append(
            [f"i{at}", at % 2, np.clip(draws.normal(0.3 * (at % 2) - 0.15, 0.2), -0.99, 0.99), "AB"[at // 2 % 2]]
        )
    write_table(tmp_path / "predictions.csv", [["image", "label", name, "site"], *rows])
    command = ["audit", str(tmp_path / "predictions.csv"), "--target", "label", "--columns", "site"]
    assert run([*command, "--out", str(tmp_path / "out")]) == 0
    folder = RunFolder(tmp_path / "out")
    measures = {row["measure"] for of in ("groups", "gaps") for row in folder.table(of)}
    assert {"auroc", "sensitivity", "specificity"} <= measures
    assert any("calibration" in measure for measure in measures) == (name == "logit")


def test_a_model_whose_scores_have_no_usual_scale_has_no_calibration(tmp_path: Path) -> None:
    data = images(tmp_path / "set")
    for scores in ("auto", "logits"):
        found = audited(lambda given: middle(given) + 200, data, scores=scores, distortions=[], marks={})
        measures = {row["measure"] for of in ("groups", "gaps") for row in RunFolder(found.folder).table(of)}
        assert {"auroc", "sensitivity"} <= measures
        assert any("calibration" in measure for measure in measures) == (scores == "logits")
        facts = dict(found.table("provenance")[["key", "value"]].to_numpy().tolist())
        assert ("calibration is not computed" in facts["scores"]) == (scores == "auto")


def test_a_policy_takes_lists_and_one_that_would_check_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("forbid: {relies-on: [tag, hair], affected-by: any}\nrequire: {subgroup-gap: 0.1}")
    found = read_policy(path)
    assert found.forbid == (("relies-on", "tag"), ("relies-on", "hair"), ("affected-by", "any"))
    assert found.gap == 0.1
    for text in (
        "inconclusive: fail",
        "forbid: []",
        "forbid: [relies-on: {tag: 1}]",
        "require: [subgroup-gap: 0.05]",
        "require: subgroup-gap",
        "require: {subgroup-gap: 5}",
        "require: {gap: 0.05}",
    ):
        path.write_text(text)
        with pytest.raises(SpecError, match=r"policy\.yaml"):
            read_policy(path)
    rows = [
        {"factor": "tag", "kind": kind, "verdict": verdict, "limit": 0.1}
        for kind, verdict in (("mark", "relies-on"), ("column", "no-effect"))
    ]
    for given in (rows, rows[::-1]):  # a mark that has the name of a column
        assert Policy((("relies-on", "tag"),)).find_violations(given, [], []) == [
            "tag: relies-on, and relies-on is forbidden"
        ]
    for forbidden, breaking in (("relies-on", 1), ("affected-by", 2), ("affected-without-direction", 3)):
        marks = [rows[0] | {"factor": name, "verdict": name, "open": ""} for name in (
            "relies-on", "affected-by", "affected-without-direction")]  # fmt: skip
        assert len(Policy(((forbidden, "any"),)).find_violations(marks, [], [])) == breaking, (
            "a graver verdict breaks it too"
        )
    assert Policy((("relies-on-look", "any"),)).find_violations(
        [], [], [], [{"of": "place", "verdict": "relies-on-region"}]
    )
    lived = Policy((("relies-on-region", "any"),))
    for verdict, broken in (("relies-on-region", 1), ("unverified", 1), ("inconclusive", 1), ("nothing-found", 0)):
        assert len(lived.find_violations(rows, [], [], [{"of": "place", "verdict": verdict}])) == broken
    assert lived.find_violations(rows, [], []) == ["no region was searched for, and relies-on-region is forbidden"]


def test_a_group_or_a_column_that_is_too_small_is_an_open_gap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(0)
    rows: list[list[object]] = [["finding", "score", "sex", "site", "ward"]]
    for at in range(1200):
        score = 1 / (1 + np.exp(-draws.normal(3 * (at % 2))))
        rows.append([at % 2, score, "fm"[at // 2 % 2], "c" if at < 10 else "ab"[at // 2 % 2], f"w{at // 30}"])
    write_table(tmp_path / "predictions.csv", rows)
    policy = tmp_path / "policy.yaml"

    def code(columns: str, text: str) -> int:
        policy.write_text(text)
        given = ["--target", "finding", "--columns", columns, "--policy", str(policy), "--out", str(tmp_path / "out")]
        capsys.readouterr()
        return run(["audit", str(tmp_path / "predictions.csv"), *given])

    gap, open_passes = "require: {subgroup-gap: 0.3}", "\ninconclusive: pass"
    assert code("sex", gap) == 0
    named = [["image", *rows[0]], *([f"{at % 1199}.png", *row] for at, row in enumerate(rows[1:]))]
    write_table(tmp_path / "predictions.csv", named)
    assert code("sex", gap) == 2
    assert "'image' has 1 repeated case, since 'site' has a row for each of c, b, a: keep" in capsys.readouterr().err
    write_table(tmp_path / "predictions.csv", rows)
    assert code("sex,site", gap) == 3
    assert capsys.readouterr().err == "policy: site c: not tested, and gaps between groups are limited\n"
    assert code("sex,site", gap + open_passes) == 0
    assert code("sex,ward", gap) == 3
    assert "policy: ward" in capsys.readouterr().err
    assert code("sex,ward", gap + open_passes) == 0
    assert code("sex,ward", "forbid: [answers-differ-with: sex]") == 0, "no gap is limited"


def test_the_auroc_is_compared_with_the_one_that_the_user_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = images(tmp_path / "set", 120)

    def expected(value: float) -> dict[str, Any]:
        more = {"marks": {"tag": MARKS["tag"]}, "intended_use": "triage of <b>chests</b>"}
        checks = audited(middle, data, tmp_path / "out", expect=value, **more).table("checks").set_index("check")
        return dict(checks.loc["expected"])

    found = expected(0.1)
    assert found["status"] == "warn"
    assert "where 0.10 was expected; check that these are the images that you expected it on" in found["text"]
    found = expected(found["value"] - 0.04)
    assert found["status"] == "ok"
    assert ", as expected (0." in found["text"]
    assert "triage of &lt;b&gt;chests" in (tmp_path / "out" / "report.html").read_text()
    card = (tmp_path / "out" / "model-card.md").read_text()
    assert "triage of" in card.split("## Intended use")[1].split("##")[0]
    assert "<b>" not in card
    assert run(["audit", "m.onnx", "--expect", "accuracy=0.9"]) == 2
    assert "expected such as 0.97 or auroc=0.97, not accuracy=0.9" in capsys.readouterr().err


def test_a_model_that_is_read_wrongly_stops_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = images(tmp_path / "set", 120)
    with pytest.raises(SpecError, match=r"with the classes the other way round.*give another .*positive"):
        audited(lambda images: -middle(images), data)

    def of_bytes(images: np.ndarray) -> np.ndarray:
        return np.floor((middle(images) + 16.8) / 10) * 10 - 16.8

    for model in (of_bytes, lambda images: (of_bytes(images) + 16.8) / 40):  # the second is in 0..1, as probabilities
        with pytest.raises(SpecError, match=r"with images read as 0..255.*give .*scaling.*0..255"):
            audited(model, data)
    found = audited(of_bytes, data, as_given=True)
    warned = found.table("checks").query("status == 'warn'")
    assert "with images read as 0..255" in " ".join(warned.text)
    scaled = audited(of_bytes, data, scaling="0..255")
    assert scaled.table("checks").query("check == 'scaling'").status.tolist() == ["ok"]
    strict = audited(lambda images: middle(images) + np.where(images.max() > 2, np.nan, 0), data)
    (row,) = strict.table("checks").query("check == 'scaling'").to_dict("records")
    unread = "not compared, without usable scores: images read as 0..255 and image-zscore"
    assert (row["status"], row["text"]) == ("not-done", unread)
    with pytest.raises(SpecError, match="same output"):
        audited(lambda images: np.zeros(len(images)), data)
    with pytest.raises(SpecError, match=r"NaN or infinite scores for (\d+) of \1 images: check its weights"):
        audited(lambda images: np.full(len(images), np.nan), data)
    with pytest.raises(SpecError, match=r"NaN or infinite scores for 1 of \d+ images"):
        audited(lambda images: np.where(np.arange(len(images)) == 3, np.nan, middle(images)), data)
    with pytest.raises(SpecError, match="gives 3 scores, and the target has two classes"):
        audited(lambda images: np.stack([middle(images)] * 3, axis=1), data)
    picked = audited(lambda images: np.stack([-middle(images), middle(images)], axis=1), data, output=1)
    assert picked.table("checks").query("check == 'ranking'").status.tolist() == ["ok"]
    draws = np.random.default_rng(0)
    moody = audited(lambda images: middle(images) + draws.normal(size=len(images)), data)
    assert moody.table("checks").query("check == 'repeatable'").status.tolist() == ["warn"]
    print_verdicts(moody.folder, json=False)
    said = capsys.readouterr().out
    assert "\nThe model gives different scores to the same images on a second reading: switch off" in said
    assert "caution: the model gives" not in said, "once"
    with pytest.raises(SpecError, match="at least two different labels"):
        audited(middle, images(tmp_path / "one", 20, one_class=True))


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"domain": "xray"}, "unknown domain"),
    ({"scaling": "half"}, "scaling 'half'"),
    ({"margin": 0.0}, "margin 0"),
    ({"threshold": "high"}, "threshold high"),
    ({"marks": {"tag": ["tag"]}}, "mark 'tag' has 1 strengths"),
    ({"marks": {"x": ["no-such"] * 3}}, "no-such"),
    ({"expect": 97}, r"expect is an AUROC in 0\.\.1, not 97"),
)


@pytest.mark.parametrize(("more", "text"), WRONG)
def test_wrong_requests_are_refused(planted: Path, more: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        audited(middle, of_folder(planted / "set"), **more)


@pytest.mark.nightly
def test_the_audit_of_a_trial_agrees_with_the_reliance_probe_of_that_trial(tmp_path: Path) -> None:
    tag = {"tag": {"size": 0.2, "shape": "rectangle", "contrast": 1.0, "x": 0.8, "y": 0.15}}  # at no other place
    tied = {"association": {"tag": 0.9}, "interventions": tag}
    recipe = {"epochs": 3, "batch_size": 8}
    spec: dict[str, Any] = {
        **SMALL,
        "environments": {"train": tied, "same": {"like": "train"}},
        "recipe": recipe,
        "seeds": 1,
    }
    study = assay.load({**spec, "probes": ["reliance"], "contrasts": []}).run(
        tmp_path / "runs", workers=0, progress=False
    )
    probed = study.table("seeds").query("factor == 'tag' and group == '' and environment == '(neutral)'")
    of: Any = probed.set_index("measure").value
    flips, effect = float(of["flip-rate"]), float(of["logit-effect"])
    (trial,) = (study.folder / "trials").iterdir()
    found = assay.audit(trial, spec["data"], marks={"tag": [tag] * 3}, distortions=(), as_given=True, progress=False)
    row: Any = found.table("verdicts").set_index("factor").loc["tag"]
    assert row.images == spec["data"]["test"]
    assert row.flips == pytest.approx(flips, abs=1e-12)
    assert np.sign(row.g) == np.sign(effect)
    assert effect != 0
    outputs = found.table("provenance").set_index("key").loc["outputs", "value"]
    assert outputs == "not malignant is output 0 and malignant is output 1, by name"


@pytest.mark.nightly
def test_the_threshold_of_a_training_is_turned_with_its_outputs(tmp_path: Path) -> None:
    data = {**images(tmp_path / "set", 120), "factors": {}}
    split = {"split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    spec = {"name": "turned", "data": {**data, **split}, "environments": {"train": {}, "same": {}},
            "recipe": {"epochs": 3, "batch_size": 8}, "seeds": 1, "probes": ["performance"]}  # fmt: skip
    study = assay.load(spec).run(tmp_path / "runs", workers=0, progress=False)
    (trial,) = (study.folder / "trials").iterdir()

    def rates(positive: str, *outputs: str) -> dict[str, float]:
        asked: dict[str, Any] = {
            "marks": {}, "distortions": [], "as_given": True, "progress": False, "outputs": outputs,
        }  # fmt: skip
        found = assay.audit(trial, {**data, "positive": positive}, out=tmp_path / positive, **asked)
        groups = found.table("groups").query("level == 'all'")
        return dict(zip(groups["measure"], groups["value"], strict=True))

    with pytest.raises(SpecError, match="not label and label apart, and these images have the classes 1 and 0: name"):
        rates("0")
    one, other = rates("1"), rates("0", "0", "1")
    assert 0.1 < one["sensitivity"] < 1
    assert (one["sensitivity"], one["specificity"]) == (other["specificity"], other["sensitivity"])
    assert one["auroc"] == pytest.approx(other["auroc"])
    head, *rows = csv.reader((tmp_path / "set" / "data.csv").read_text().splitlines())
    named = [[row[0], ("healthy", "label")[int(row[1])], *row[2:]] for row in rows]
    write_table(tmp_path / "set" / "words.csv", [head, *named])
    data["table"] = "words.csv"
    assert rates("label") == one, "one name of two that fits tells the other"


def test_training_images_are_looked_for_among_those_of_the_audit(tmp_path: Path) -> None:
    data = images(tmp_path / "set", 60)
    quick: dict[str, Any] = {"marks": {"tag": MARKS["tag"]}, "distortions": []}

    def checks(name: str, train: dict[str, Any] | None) -> dict[str, tuple[str, float]]:
        found = audited(middle, data, tmp_path / name, train=train, **quick)
        return {row.check: (row.status, row.value) for row in found.table("checks").itertuples()}

    assert checks("none", None)["training-images"][0] == "not-done"
    other = tmp_path / "other"
    draws = np.random.default_rng(7)
    rows: list[list[object]] = [["image", "label", "who"]]
    for at in range(12):
        save(other / f"{at}.png", draws.integers(0, 255, (SIDE, SIDE)).astype(np.uint8))
        rows.append([f"{at}.png", at % 2, f"Jones{at}"])
    write_table(other / "data.csv", rows)
    train = {"folder": str(other), "target": "label", "patient": "who"}
    apart = checks("apart", train)
    assert apart["training-copies"] == ("ok", 0)
    assert apart["training-patients"] == ("ok", 0)
    limit = "Independence of these images from the training images"
    assert limit not in (tmp_path / "apart" / "report.html").read_text()
    for at in (3, 4):
        shutil.copyfile(tmp_path / "set" / f"{at}.png", other / f"{at}.png")
        rows[1 + at][2] = f"Smith{at + 20}"
    write_table(other / "data.csv", rows)
    shared = checks("shared", train)
    assert shared["training-copies"][0] == "warn"
    assert shared["training-copies"][1] >= 2
    assert shared["training-patients"] == ("warn", 2)
    page = (tmp_path / "shared" / "report.html").read_text()
    assert limit in page
    assert "Smith" not in page
    for path in (other, tmp_path / "set"):
        table = path / "data.csv"
        table.write_text(re.sub(r"(Smith|Jones)(\d+)", lambda found: str(int(found[2]) % 12 + 1), table.read_text()))
    assert checks("numbered", train)["training-patients"][0] == "not-done"  # each set counts its own from 1
    table = other / "data.csv"
    table.write_text(re.sub(r",1$", ",900", table.read_text(), flags=re.MULTILINE))
    assert checks("numbers", train)["training-patients"][0] == "warn"  # as of one hospital
