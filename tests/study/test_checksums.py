"""Files that were altered after they were written are refused by name when they are read, and found by the doctor."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.asking import Asking
from tests.worlds.studies import SMALL, records, run_tiny

import assay
from assay.analysis import described
from assay.analysis.prespecified import stated
from assay.core.errors import StoreError
from assay.core.files import sha256
from assay.models.weights import load_checkpoint, save_checkpoint
from assay.store.folder import RunFolder
from assay.study.records import stored_study
from assay.study.run import rebuild


def flip(path: Path) -> Path:
    """Turn one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    return path


def one(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


READ = ["trials/*/record.json", "readings/*/record.json", "readings/*/outputs.parquet",
        "probes/*/record.json", "probes/*/measurements.parquet"]  # fmt: skip


def test_a_bit_that_turned_in_a_file_that_is_read_stops_the_report(run_copy: Path) -> None:
    flip(run_copy / "tables" / "estimates.parquet")
    with pytest.raises(StoreError, match=r"estimates\.parquet: it is damaged"):
        RunFolder(run_copy).table("estimates")
    rebuild(run_copy)
    assert RunFolder(run_copy).changes() == []
    assert RunFolder(run_copy).table("estimates")
    for pattern in READ:
        path = one(run_copy, pattern)
        kept = path.read_bytes()
        if path.suffix == ".json":  # a letter, so that it is still JSON
            text = path.read_text()
            place = next(at for at, sign in enumerate(text) if sign == '"' and text[at + 1].isalpha())
            path.write_text(text[: place + 1] + chr(ord(text[place + 1]) ^ 1) + text[place + 2 :])
        else:
            flip(path)
        with pytest.raises(StoreError, match="is damaged") as refused:
            rebuild(run_copy)
        assert str(path) in str(refused.value)
        path.write_bytes(kept)
    first, second, *_ = sorted((run_copy / "pictures").glob("*.png"))
    shutil.copy(second, first)
    with pytest.raises(StoreError, match=r"\.png: it is damaged .*; delete this file and run the study, which"):
        rebuild(run_copy)


DOCUMENTS = ("study.json", "plan.json", "described.json", "stated.json")


def _read_documents(root: Path) -> tuple[object, ...]:
    study = stored_study(root)
    folder = RunFolder(root)
    return (
        repr(study),
        repr(described.kept(folder, described.Described)),
        stated(root, study.plan.spec),
        folder.tables_are_current(),
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_random_changes_of_what_describes_a_study_are_refused_or_change_nothing(run_copy: Path, name: str) -> None:
    path, draw = run_copy / name, np.random.default_rng(0)
    kept, right = path.read_bytes(), _read_documents(run_copy)
    refused: list[str] = []
    for _ in range(20):
        content = bytearray(kept)
        for _ in range(int(draw.integers(1, 4))):
            content[draw.integers(len(content))] = draw.integers(256)
        path.write_bytes(content)
        try:
            assert _read_documents(run_copy) == right
        except StoreError as error:
            refused.append(str(error))
    assert len(refused) > 15
    assert all(str(path) in said and "damaged" in said for said in refused)


def test_a_failure_that_was_altered_is_refused(run_copy: Path) -> None:
    folder = RunFolder(run_copy)
    folder.write_failure("a", {"task": "a", "text": "the disk is full"})
    path = folder.failure_path("a")
    path.write_text(path.read_text().replace("full", "fuel"))
    with pytest.raises(StoreError, match="is damaged"):
        folder.failures()


def test_the_doctor_finds_what_nobody_reads_and_its_remedy_works(
    run_copy: Path,
    finished_run: Path,
    study_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = Asking(capsys)
    monkeypatch.setenv("ASSAY_CACHE", str(shutil.copytree(study_cache, tmp_path / "cache")))
    assert asked("doctor", run_copy).code == 0
    damaged = [flip(one(run_copy, "trials/*/weights.safetensors")), flip(max(run_copy.glob("trials/*/curve.parquet"))),
               flip(one(run_copy, "trials/*/provenance.json")), flip(one(run_copy, "readings/*/outputs.parquet")),
               flip(run_copy / "finished.json"), flip(run_copy / "tables" / "values.parquet"),
               flip(one(tmp_path / "cache", "*.npy"))]  # fmt: skip
    (missing := run_copy / "report.html").unlink()
    (run_copy / "added.txt").touch()
    found = asked("doctor", run_copy, "--json")
    assert found.code == 1
    findings = json.loads(found.out)
    bad = [finding for finding in findings if finding["light"] == "bad"]
    assert {one["found"].split(": ")[0] for one in bad} == {f"cannot read {path}" for path in (*damaged, missing)}
    assert [one["found"] for one in findings if one["light"] == "warn"] == [f"{run_copy / 'added.txt'} was added later"]
    for finding in bad:
        path = Path(finding["found"].removeprefix("cannot read ").split(": ")[0])
        if finding["remedy"].startswith("delete its folder and run the study"):
            shutil.rmtree(path.parent, ignore_errors=True)
        elif finding["remedy"].startswith("delete this file and run the study"):
            path.unlink()
        else:
            assert finding["remedy"] == f"`assay report {run_copy}` writes it again"
            assert path.name in ("report.html", "values.parquet")
    assay.load(SMALL).run(run_copy.parent, workers=0, progress=False)
    assert records(run_copy) == records(finished_run)
    assert asked("doctor", run_copy).code == 0


def test_commands_refuse_a_folder_with_a_damaged_file_by_its_name(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asking(capsys)
    bundle = ["open", run_copy, "--bundle", tmp_path / "out.zip"]
    flip(run_copy / "report.html")
    assert asked("results", run_copy).code == 0, "the page is made of tables, and no table of the page"
    assert f"report {run_copy}` writes it again" in asked(*bundle).err
    path = flip(one(run_copy, "readings/*/outputs.parquet"))
    for command in (["results", run_copy], ["report", run_copy], bundle):
        answer = asked(*command)
        assert answer.code == 2
        assert answer.err.startswith(f"cannot read {path}: it is damaged")
        assert len(answer.err.splitlines()) == 1
    flip(path)
    assert asked("report", run_copy).code == 0
    assert asked(*bundle).code == 0
    (run_copy / "manifest.json").unlink()
    assert "manifest.json: there is no such file; `assay report" in asked("results", run_copy).err
    assert asked("report", run_copy).code == 0
    assert asked("results", run_copy).code == 0


def test_a_signature_is_of_the_data_and_a_page_made_later_keeps_it(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, key = Asking(capsys), tmp_path / "key"

    def signature() -> dict[str, str]:
        found = json.loads(asked("doctor", run_copy, "--json").out)
        return next((one for one in found if one["what"] == "signature"), {})

    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert asked("seal", run_copy, "--key", key).err.startswith("there is no ssh-keygen; signatures need it")
    if shutil.which("ssh-keygen") is None:
        return
    assert "Couldn't load public key" in asked("seal", run_copy, "--key", key).err
    assert signature() == {}
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    assert asked("seal", run_copy, "--key", key).code == 0
    shown = subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True).stdout.split()[1]
    assert (signature()["light"], signature()["found"]) == ("ok", f"the data are signed by ED25519 key {shown}")
    lines = (run_copy / "signed.txt").read_text().splitlines()
    assert {line[66:] for line in lines} == {
        path.relative_to(run_copy).as_posix()
        for path in run_copy.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", "report.html", "finished.json")
        and not path.name.startswith((".", "signed.txt"))
    }  # fmt: skip
    assert all(sha256(run_copy / line[66:]) == line[:64] for line in lines)
    before = (run_copy / "signed.txt.sig").read_bytes()
    (stray := run_copy / "stray.txt").touch()
    assert asked("seal", run_copy, "--key", key).err.startswith(f"{stray} was added later")
    assert signature()["found"] == "not checked, since files are not as the run left them"
    stray.unlink()
    assert signature()["light"] == "ok"
    page = run_copy / "report.html"
    page.unlink()
    assert asked("report", run_copy).code == 0
    assert page.is_file()
    assert asked("doctor", run_copy).code == 0
    assert (run_copy / "signed.txt.sig").read_bytes() == before
    folder = RunFolder(run_copy)
    flip(one(run_copy, "pictures/*.png"))
    folder.seal()  # as who can write the folder would
    assert not folder.changes()
    assert signature()["light"] == "bad"
    assert signature()["found"].startswith("the data are not those that were signed: ssh-keygen: ")


def test_a_training_does_not_start_from_an_image_array_that_was_altered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    reference = records(run_tiny(tmp_path / "reference").folder)
    path = flip(one(tmp_path / "cache", "*.npy"))
    result = run_tiny(tmp_path / "tiny")
    (failure,) = RunFolder(result.folder).failures().values()
    assert failure["text"].startswith(f"cannot read {path}: it is damaged")
    assert failure["text"].endswith("delete this file and run the study again")
    path.unlink()
    assert records(run_tiny(tmp_path / "tiny").folder) == reference


def test_a_checkpoint_with_a_turned_bit_is_not_taken_up(tmp_path: Path) -> None:
    state = {"identity": "a", "step": 3, "weights": torch.zeros(64)}
    save_checkpoint(tmp_path, state)
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    found = load_checkpoint(tmp_path, "a")
    assert found is not None
    assert found["step"] == 3
    draw = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(kept)
        content[draw.integers(len(content))] ^= 1 << draw.integers(8)
        (tmp_path / "checkpoint.pt").write_bytes(content)
        assert load_checkpoint(tmp_path, "a") is None
