"""A study is registered before its first seed, and a later rule or look is marked in every row that it decided."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cli.asking import Asking
from tests.worlds.studies import SMALL, TINY, write_spec

import assay
from assay.core.files import content_hash
from assay.core.reasons import reason_of
from assay.plugin import Code, SpecError, StoreError
from assay.report.words import verdict_words
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.store.files import read_json
from assay.study import registration
from assay.study.registration import read_prespecified, register, registration_file, state

FILE = "registration.json"
RULES = 2

PRIMARY = {**SMALL["contrasts"][0], "role": "primary", "margin": 0.05}


def small(**changes: Any) -> StudySpec:
    return parse_study({**SMALL, "contrasts": [PRIMARY], **changes})


def test_a_registration_holds_what_is_decided_by_which_rules_and_the_hash_of_it(tmp_path: Path) -> None:
    made = register(tmp_path / "small", small())
    held = read_json(registration_file(tmp_path / "small"))
    assert held["sha256"] == made.sha256 == content_hash(held["registered"], 64)
    content = held["registered"]
    assert (content["rules"], content["looks"], held["receipt"]) == (RULES, [3], "")
    (one,) = content["primary"]
    assert (one["a"], one["b"], one["margin"], one["environment"]) == ("supcon", "cross-entropy", 0.05, "reversed")
    assert content["time"].endswith("+00:00")
    assert content["spec"]["data"]["phantom"] == "nodule"
    assert parse_study({**SMALL, "contrasts": [PRIMARY]}, looks=(10, 20)).looks == (10, 20)


def test_a_registration_names_the_commit_and_whether_files_differ_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit(name: str) -> str:
        return register(tmp_path / name, small()).content["commit"]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit("outside") == ""
    (study := tmp_path / "study.yaml").write_text("a")
    own = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "study.yaml"], ["commit", "-q", "-m", "a"], ["tag", "v1"]):
        subprocess.run([*own, *words], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert commit("clean") == head
    study.write_text("b")
    assert commit("changed") == f"{head}-dirty"
    subprocess.run(["git", "config", "filter.of-the-repository.clean", "cat"], check=True)
    assert commit("filtered") == f"{head}-uncompared"
    monkeypatch.setenv("PATH", "")
    assert commit("without") == ""


@pytest.mark.parametrize(
    "setting",
    [
        "filter.a=b.clean",
        "filter..clean",
        "core.fsmonitor",
        "core.hooksPath",
        "diff.external",
        "diff.own.textconv",
        "diff.own.command",
    ],
)
def test_no_program_that_a_repository_names_is_run(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text("a")
    name = "" if setting == "filter..clean" else "a=b"
    Path(".gitattributes").write_text(f"*.yaml filter={name} diff=own\n")
    Path("a.txt").write_text("a")
    own = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*own, *words], check=True)
    (program := tmp_path / "hooks" / "post-index-change").parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    subprocess.run(["git", "config", setting, str(program.parent if "hooks" in setting else program)], check=True)
    Path("study.yaml").write_text("b")  # of the same length, so that its content is compared
    os.utime("a.txt", (1, 1))  # only its time differs, so that git may write its index, after which a hook runs
    commit = register(tmp_path / "run", small()).content["commit"]
    assert commit.endswith("-uncompared" if "filter" in setting else "-dirty")
    assert not Path("ran").exists()


def test_no_filter_of_the_users_is_run_on_files_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git-lfs, which many have set for all repositories, runs programs that the settings of a repository name."""
    (repository := tmp_path / "received").mkdir()
    monkeypatch.chdir(repository)
    Path("study.yaml").write_text("a")
    Path(".gitattributes").write_text("*.yaml filter=lfs\n")
    own = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.run([*own, *words], check=True)
    (program := tmp_path / "program").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    for key, value in (("clean", str(program)), ("required", "true")):
        subprocess.run(["git", "config", "--global", f"filter.lfs.{key}", value], check=True)
    Path("study.yaml").write_text("b")
    assert register(tmp_path / "run", small()).content["commit"].endswith("-dirty")
    assert not (tmp_path / "ran").exists()


def test_the_receipt_of_the_deposit_changes_no_hash(tmp_path: Path) -> None:
    before = register(tmp_path / "small", small())
    after = register(tmp_path / "small", small(question="?", labels={"supcon": "SupCon"}), "https://osf.io/x")
    assert (after.sha256, after.receipt) == (before.sha256, "https://osf.io/x")
    assert register(tmp_path / "small", small()).receipt == "https://osf.io/x"


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seeds": 4}, "seeds is 3 there and 4 here"),
        ({"first_seed": 7}, "first_seed is the default there and 7 here"),
        ({"data": {**SMALL["data"], "train": 64}}, "data.train is 128 there and 64 here"),
        ({"contrasts": [{**PRIMARY, "margin": 0.1}]}, r"contrasts\[0\].margin is 0.05 there and 0.1 here"),
        ({"recipe": {**SMALL["recipe"], "epochs": 3}}, r"points\[0\].recipe.epochs is 2 there and 3 here"),
    ],
)
def test_another_study_than_the_registered_one_gets_one_sentence_with_the_first_difference(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    register(tmp_path / "small", small())
    with pytest.raises(SpecError, match=f"registers another study: {difference}; run that one"):
        assay.load({**SMALL, "contrasts": [PRIMARY], **changes}).run(tmp_path, workers=0, progress=False)
    assert not (tmp_path / "small").exists()


def test_an_altered_registration_is_refused(tmp_path: Path) -> None:
    register(tmp_path / "small", small())
    file = registration_file(tmp_path / "small")
    file.write_text(file.read_text().replace("0.05", "0.10"))
    with pytest.raises(StoreError, match="it was altered after registering"):
        assay.load({**SMALL, "contrasts": [PRIMARY]}).run(tmp_path, workers=0, progress=False)


def test_a_registration_next_to_the_run_folder_is_named_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask, spec = Asking(capsys), write_spec(tmp_path, contrasts=[PRIMARY])
    assert "registration" not in ask("run", spec, "--dry-run").out
    digest = ask("register", spec).out.partition("SHA-256: ")[2][:64]
    named = f"{Path('runs/small.registration.json')} is there and is used, SHA-256 {digest}"
    assert f"registration: {named}\n" in ask("run", spec, "--dry-run").out
    assert json.loads(ask("run", spec, "--dry-run", "--json").out)["registration"] == named


def test_a_registration_of_somebody_else_is_called_so(
    tmp_path: Path, study_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time, commit and deposit are whatever its maker wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    ask, file = Asking(capsys), Path("runs/tiny.registration.json")
    Path("tiny.yaml").write_text(json.dumps(TINY))
    own = ask("register", "tiny.yaml").out
    assert "as the file states" not in own + ask("run", "tiny.yaml", "--dry-run").out
    held = json.loads(file.read_text())
    held["registered"]["time"] = "2019-01-01T00:00:00+00:00"
    held |= {"sha256": content_hash(held["registered"], 64), "receipt": "https://osf.io/forged"}
    file.write_text(json.dumps(held))
    for words in (("run", "tiny.yaml", "--dry-run"), ("register", "tiny.yaml", "--receipt", "https://osf.io/mine")):
        assert "as the file states, since it comes from another user or machine" in ask(*words).out
    assert ask("run", "tiny.yaml", "-w", "0").code == 0
    page = " ".join(Path("runs/tiny/report.html").read_text().split())
    stated = "(hash deposited: https://osf.io/mine), as its file states: it comes from another user or machine."
    assert "Registered 2019-01-01T00:00:00+00:00, SHA-256" in page
    assert stated in page
    for gone in (file, Path("runs/tiny/finished.json")):
        gone.unlink()
    assert "runs/tiny/registration.json is there and is used" in ask("run", "tiny.yaml", "--dry-run").out


STRANGE: list[Any] = [
    [],
    "registered",
    {},
    {"registered": [], "receipt": "", "sha256": content_hash([], 64)},
    {"registered": {}, "receipt": "", "sha256": content_hash({}, 64)},
    {"registered": {"spec": []}, "receipt": None, "sha256": ""},
]


@pytest.mark.parametrize("content", STRANGE)
def test_a_file_of_another_form_is_no_registration(
    tmp_path: Path, content: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = write_spec(tmp_path, contrasts=[PRIMARY])
    Path("runs").mkdir()
    Path("runs/small.registration.json").write_text(json.dumps(content))
    for command in ("run", "register"):
        said = Asking(capsys)(command, spec)
        assert said.code == 2
        assert said.err.strip() == (
            "cannot read runs/small.registration.json: it is no registration of a study; move it away, or restore it "
            "from a copy"
        )


@pytest.mark.parametrize("value", ["NaN", "1e999", "[" * 900 + "]" * 900], ids=["NaN", "infinite", "nested"])
def test_a_registration_with_values_that_no_assay_writes_was_altered(
    tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = write_spec(tmp_path, contrasts=[PRIMARY])
    Path("runs").mkdir()
    registered = f'{{"spec": {{"a": {value}}}, "time": "2026-01-01T00:00:00+00:00", "rules": 1}}'
    file = Path("runs/small.registration.json")
    file.write_text(f'{{"registered": {registered}, "receipt": "", "sha256": ""}}')
    said = Asking(capsys)("register", spec)
    assert (said.code, "it was altered after registering" in said.err) == (2, True), said.err


def test_results_are_not_registered_afterwards(tmp_path: Path) -> None:
    root = tmp_path / "small"
    record = root / "trials" / "0" / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    with pytest.raises(StoreError, match="has results already, and a registration precedes them"):
        register(root, small())
    register(tmp_path / "other", small())
    registration_file(tmp_path / "other").rename(registration_file(root))
    with pytest.raises(StoreError, match="has results from before"):
        state(root, small(), results_exist=True)


def row(**more: Any) -> dict[str, Any]:
    return {"id": "a", "exploratory": False, "reason": "", "decision": "equivalent", "margin": 0.05, **more}


def test_what_a_later_rule_decided_is_marked_by_a_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state(tmp_path, small(), results_exist=False)
    state(tmp_path, small(), results_exist=True)
    before = read_prespecified(tmp_path, small())
    assert before.mark([row()], lambda _: 3) == [row()]
    monkeypatch.setattr(registration, "RULES_VERSION", RULES + 1)
    state(tmp_path, small(), results_exist=True)
    late, kept = read_prespecified(tmp_path, small()).mark([row(), row(exploratory=True)], lambda _: 3)
    assert reason_of(late).codes == (Code.RULE_CHANGED,)
    assert verdict_words({**late, "p_holm": 0.5}) == "equivalent within 0.05, rule changed after results"
    assert kept == row(exploratory=True)


def test_rules_are_those_of_the_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "small"
    root.mkdir()
    register(root, small())
    monkeypatch.setattr(registration, "RULES_VERSION", RULES + 1)
    state(root, small(), results_exist=False)
    assert (root / FILE).read_bytes() == registration_file(root).read_bytes()
    assert read_prespecified(root, small()).rules == RULES


def test_what_a_later_look_decided_is_marked(tmp_path: Path) -> None:
    state(tmp_path, small(), results_exist=False)
    state(tmp_path, small(seeds=5), results_exist=True)
    before = read_prespecified(tmp_path, small(seeds=5))
    found = before.mark([row(), row(id="b")], lambda one: 3 if one["id"] == "a" else 5)
    assert [reason_of(one).codes for one in found] == [(), (Code.LOOK_ADDED,)]


@pytest.mark.slow
def test_a_run_shows_its_registration_and_the_look_that_was_added(
    tmp_path: Path, study_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Asking(capsys)
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registration, "_commit", lambda: "3fac-dirty")
    spec = write_spec(tmp_path, contrasts=[PRIMARY])
    assert ", commit 3fac-dirty\n" in ask("register", spec).out
    assert ask("run", spec, "-q", "-w", "0").code == 0
    page = Path("runs/small/report.html")
    assert "(registered locally, commit 3fac-dirty)" in page.read_text()
    assert "The registration small.registration.json next to the run folder is used." in page.read_text()
    assert ask("register", spec, "--receipt", "https://osf.io/x").code == 0
    assert ask("report", "small").code == 0
    assert "(hash deposited: https://osf.io/x, commit 3fac-dirty)" in page.read_text()
    assert "registers another study: seeds is 3 there and 4 here" in ask("run", spec, "--seeds", "4").err
    for file in (Path("runs/small.registration.json"), Path("runs/small") / FILE):
        file.unlink()
    assert ask("run", spec, "--seeds", "4", "-q", "-w", "0").code == 0
    assert "look added after results" in page.read_text()


def test_the_page_of_a_run_that_was_not_registered_says_so(finished_run: Path) -> None:
    assert "Not registered." in (finished_run / "report.html").read_text(encoding="utf-8")
