"""A finished study is replicated in a folder of its own: fresh seeds, and of a phantom new patients."""

from __future__ import annotations

import json
import math
import platform
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.cli.asking import Asking
from tests.worlds.assets import write_assets
from tests.worlds.scripts import script
from tests.worlds.studies import SMALL

import assay
from assay.plugin import RunFolder, StoreError
from assay.report.words import decision_numbers
from assay.spec.parse import parse_study
from assay.store.kinds import kinds
from assay.study.families import comparison_columns
from assay.study.interim import primary_comparisons
from assay.study.records import stored_study
from assay.study.replication import (
    SHIPPED,
    EarlierRun,
    design_of,
    earlier,
    earlier_of,
    find_earlier,
    keep_earlier,
    prepare_replication,
)

SHIPPED_STUDIES = sorted(file.stem for file in SHIPPED.glob("*.json"))


CLAIMS = script("tools/claims.py")
STUDY: dict[str, Any] = {**SMALL, "contrasts": [{**SMALL["contrasts"][0], "role": "primary", "margin": 0.05}]}


@pytest.fixture(autouse=True)
def _use_cache(study_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))


@pytest.fixture(scope="module")
def finished(study_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is replicated; tests work on copies."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(study_cache))
        return assay.load(STUDY).run(folder, workers=0, progress=False).folder


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "small"))


def test_a_replication_has_fresh_seeds_new_patients_and_both_decisions_on_its_page(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root / "report.html").read_bytes()
    assert Asking(capsys)("replicate", "small", "--seeds", "3", "--out", root.parent, "-q", "-w", "0").code == 0
    again = root.with_name("small-replication")
    plan = stored_study(again).plan
    assert {trial.training.seed for trial in plan.trials} == {3, 4, 5}
    assert (plan.spec.data.population, plan.spec.seeds) == (1, 3)
    assert parse_study(plan.spec.written) == plan.spec
    (row,) = RunFolder(again).table("replications")
    (first,), (second,) = (RunFolder(one).table("contrasts") for one in (root, again))
    assert (row["first_value"], row["value"], row["patients"]) == (first["value"], second["value"], "new")
    assert row["predicted_low"] < first["value"] < row["predicted_high"]
    assert row["both"] == pytest.approx((first["value"] + second["value"]) / 2)
    assert not second["exploratory"]
    page = (again / "report.html").read_text()
    assert "Replication of small, seeds 0 to 2, with new seeds, new patients" in page
    assert "Each primary comparison in both runs" in page
    assert (root / "report.html").read_bytes() == before
    assert "Each primary comparison in both runs" not in before.decode()
    _check_tables_of_docs(root.parent, first, second)


def _check_tables_of_docs(runs: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check what `tools/claims.py` makes of a run and its replication."""
    docs = runs / "docs"
    (docs / "results").mkdir(parents=True)
    places = {"claims": ("head", "controls", "A", "directions"), "results/small": ("comparisons", "values")}
    for name, marks in places.items():
        text = "".join(f"before\n<!--claims:{mark}-->\nto be replaced\n<!--/claims-->\nafter\n" for mark in marks)
        (docs / f"{name}.md").write_text(text)
    (docs / "results/real-images.md").write_text("no outcome by hand\n")
    claim = {"id": "A1", "study": "small", "domain": "drawn", "row": {"measure": "auroc"}, "margin": 0.05,
             "claim": "it matters", "ours": "one less the other", "direction": "higher"}  # fmt: skip
    values = {"where": {}, "columns": {"AUROC": {"measure": "auroc", "environment": first["environment"]}}}
    data = runs / "claims.yaml"
    data.write_text(json.dumps({"A": [claim], "values": {"small": values}}))
    CLAIMS.main([str(runs), "--docs", str(docs), "--data", str(data)])
    page, results = (docs / f"{name}.md" for name in places)
    made = [row for row in (first, second) if row["decision"] != "inconclusive"]
    again = int(first["decision"] == second["decision"]) if first in made else 0
    assert f"**{again} of {int(first in made)} decisions were replicated**" in page.read_text()
    for row in (first, second):
        assert decision_numbers(row) in page.read_text()
        assert decision_numbers(row) in results.read_text()
    for file, text in ((page, page.read_text()), (results, results.read_text())):
        assert "to be replaced" not in text, file
        assert text.startswith("before\n")
        assert text.endswith("<!--/claims-->\nafter\n")
    assert len([line for line in results.read_text().splitlines() if line.startswith("| ") and "[" in line]) >= 3
    data.write_text(json.dumps({"A": [{**claim, "margin": 0.1}], "values": {"small": values}}))
    with pytest.raises(SystemExit, match=r"A1: the margin is 0.05 in the study, 0.1 here"):
        CLAIMS.main([str(runs), "--docs", str(docs), "--data", str(data)])


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_assets(tmp_path_factory.mktemp("assets"))


def test_claims_of_the_docs_each_name_a_primary_comparison_and_stay_without_run_folders(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_ASSETS", str(assets))
    docs = tmp_path / "docs"
    docs.mkdir()
    page = Path(shutil.copy(CLAIMS.ROOT / "docs" / "claims.md", docs))
    shutil.copytree(CLAIMS.ROOT / "docs" / "results", docs / "results")
    before = page.read_text()
    replicated = re.search(r"\d+ of \d+ decisions (?=were replicated)", before)
    assert replicated
    assert replicated[0] in (CLAIMS.ROOT / "README.md").read_text(encoding="utf-8")
    CLAIMS.main([str(tmp_path), "--docs", str(docs)])
    assert page.read_text() == before
    data = YAML(typ="safe").load(CLAIMS.ROOT / "tools" / "claims.yaml")
    del data["values"]
    for claim in CLAIMS.each_test(data):
        if "role" not in claim["row"] and claim["study"] in SHIPPED_STUDIES:
            pairs = primary_comparisons(parse_study(claim["study"]))
            rows = [{**comparison_columns(pair), "role": "primary", "margin": pair.contrast.margin} for pair in pairs]
            assert CLAIMS.selected(rows, claim), claim["id"]


def test_no_outcome_is_typed_with_the_claims_and_those_by_hand_stand_in_one_table() -> None:
    data = YAML(typ="safe").load(CLAIMS.ROOT / "tools" / "claims.yaml")
    del data["values"]
    page = (CLAIMS.ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    claims = [one for claims in data.values() for claim in claims for one in (claim, *claim.get("real", ()))]
    cells = [str(text) for claim in claims for name, text in claim.items() if name not in ("published", "real")]
    assert not [cell for cell in cells if re.search(r"\*\*|\d\]", cell)]
    typed = CLAIMS.standing(CLAIMS.ROOT / "docs" / "results" / "real-images.md", "by-hand")
    named = [claim for claim in claims if "by_hand" in claim]
    assert [claim["by_hand"] for claim in named] == [row for row in typed if row and row != "---"]
    assert len(named) == 1, "new ones are made from run folders"
    assert all(CLAIMS.by_hand({"direction": "higher", **claim}, typed) in page for claim in named)
    assert CLAIMS.REVERSED in CLAIMS.by_hand({"direction": "higher", "by_hand": "B2, IDRiD"}, typed)
    assert page.count(CLAIMS.BY_HAND) == 1


def test_what_a_difference_is_against_both_repetitions_is_of_the_table_of_both_runs() -> None:
    rows = {"A2": ("", "", "", "**lower**: -0.05 [-0.08, -0.01]", "-0.06 [-0.08, -0.02]"),
            "A/A": ("", "", "", "**differs**: -0.04 [-0.07, -0.02]", "+0.02 [-0.03, 0.07]")}  # fmt: skip
    text = CLAIMS.against_repetitions({"id": "A2"}, rows)
    assert text == f"{CLAIMS.REPEATED}: -0.04, 0.02; against both -0.03, -0.07 (of rounded cells)"


def test_first_runs_of_primary_comparisons_in_the_claims_are_those_that_are_shipped() -> None:
    data = YAML(typ="safe").load(CLAIMS.ROOT / "tools" / "claims.yaml")
    del data["values"]
    page, compared = CLAIMS.ROOT / "docs" / "claims.md", 0
    cells = {name: each for letter in data for name, each in CLAIMS.standing(page, letter).items()}
    for claim in CLAIMS.each_test(data):
        if "role" in claim["row"] or claim["study"] not in SHIPPED_STUDIES:
            continue
        known = {"role": "primary", "margin": claim["margin"], "p_holm": 0.0}
        rows = json.loads((SHIPPED / f"{claim['study']}.json").read_text())["rows"]
        first = CLAIMS.decided(CLAIMS.selected([{**row, **known} for row in rows], claim))
        assert first in cells[claim["id"]][-1 if claim["domain"] == "real" else -2], claim["id"]
        compared += 1
    assert compared == 29


@pytest.mark.nightly
def test_a_replication_that_was_stopped_is_continued_by_the_same_command(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps what it is a replication of, and what it has trained; also in a container without a home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(root / "manifest.json"))  # a file, so that nothing is remembered there
    words = ("replicate", "small", "--seeds", "3", "--out", root.parent, "-q", "-w", "0")
    again, before = root.with_name("small-replication"), (root / "manifest.json").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("assay.study.run.StudyRun.conclude", stop)
        stopped = Asking(capsys)(*words)
        assert (stopped.code, "did not make" in stopped.err) == (130, False)
    trained = {path: path.stat().st_mtime_ns for path in again.glob("trials/*/weights.safetensors")}
    assert len(trained) == 6
    assert not (again / "manifest.json").exists()
    assert Asking(capsys)(*words).code == 0
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    assert [row["patients"] for row in RunFolder(again).table("replications")] == ["new"]
    assert (root / "manifest.json").read_bytes() == before


def test_an_unfinished_run_is_not_replicated(root: Path) -> None:
    shutil.rmtree(next((root / "trials").iterdir()))
    with pytest.raises(StoreError, match=r"small is not finished \(1 training run and 0 probes are missing\)"):
        prepare_replication(root, root.parent)


def test_what_is_no_study_is_not_replicated(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a run folder"):
        prepare_replication(tmp_path, tmp_path)
    RunFolder(tmp_path).begin(kinds()["audit"], {})
    with pytest.raises(StoreError, match="holds an audit, not a study"):
        prepare_replication(tmp_path, tmp_path)


def of(name: str = "small", **changes: Any) -> EarlierRun:
    return earlier_of(name, parse_study({**STUDY, **changes}), 2, [])


def test_a_folder_replicates_one_run(tmp_path: Path) -> None:
    keep_earlier(tmp_path, of())
    keep_earlier(tmp_path, of())
    assert earlier(tmp_path) == of()
    with pytest.raises(StoreError, match="replicates another run"):
        keep_earlier(tmp_path, of("other"))


def test_images_that_cannot_be_drawn_again_are_the_same_patients() -> None:
    spec = parse_study({**STUDY, "data": {**SMALL["data"], "population": 1}, "first_seed": 3})
    drawn = of()
    assert drawn.has_new_patients(spec)
    assert not EarlierRun(drawn.name, 0, 2, 0, drawn=False, rows=[]).has_new_patients(spec)


@pytest.mark.parametrize("name", SHIPPED_STUDIES)
def test_a_built_in_study_replicates_the_earlier_result_that_is_shipped_with_it(
    name: str, assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_ASSETS", str(assets))
    spec = parse_study(name)
    known = EarlierRun(**json.loads((SHIPPED / f"{name}.json").read_text()))
    if not known.drawn:  # its design names the content of weights, which are made up here
        monkeypatch.setattr("assay.study.replication.design_of", lambda _: known.design)
    shipped = find_earlier(tmp_path, spec)
    assert shipped is not None
    assert {row["id"] for row in shipped.rows} == {pair.id for pair in primary_comparisons(spec)}
    assert find_earlier(tmp_path, parse_study(name, overrides=[f"first_seed={shipped.last_seed}"])) is None
    if known.drawn:
        assert find_earlier(tmp_path, parse_study(name, overrides=["recipe.batch_size=96"])) is None
    of_run = replace(shipped, name="a run", design="")
    keep_earlier(tmp_path, of_run)
    assert find_earlier(tmp_path, spec) == of_run


def test_the_page_shows_the_earlier_result_that_is_shipped(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = stored_study(root).plan.spec
    (pair,) = primary_comparisons(spec)
    decided = {"decision": "lower", "decision_level": 0.98, "decision_low": -0.2, "decision_high": -0.1}
    row = {"id": pair.id, "value": -0.15, "seeds": 20, **decided, "decision_p": 0.01}
    known = EarlierRun(spec.name, 60, 79, 0, drawn=True, rows=[row], design=design_of(spec), note="not registered")
    monkeypatch.setattr("assay.study.replication.SHIPPED", root.parent)
    (root.parent / "small.json").write_text(json.dumps(asdict(known)))
    assert Asking(capsys)("report", root).code == 0
    (found,) = RunFolder(root).table("replications")
    assert (found["first_value"], found["within"]) == (-0.15, "")
    assert math.isnan(found["both"])
    page = (root / "report.html").read_text().replace("\xa0", " ")
    assert "Replication of small, seeds 60 to 79 (not registered), with new seeds, same patients: " in page
    assert "lower, -0.15 [-0.20, -0.10], 98% CI, p = 0.01" in page
    facts = {row["key"]: row["value"] for row in RunFolder(root).table("provenance")}
    assert platform.machine() in facts["machine"]
    assert facts["machine"] in page, "other processors give other networks"


def test_a_run_folder_that_is_the_working_folder_has_its_name(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run_copy)
    assert assay.open_run(".").folder == run_copy.resolve()
    answer = Asking(capsys)("replicate", ".", "--dry-run", "--out", "..")
    assert (answer.code, "records in ../small-replication" in answer.out) == (0, True)
