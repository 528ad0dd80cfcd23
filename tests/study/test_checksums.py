"""Files that were altered after they were written are refused by name when they are read, and found by the doctor."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.asking import Asking
from tests.worlds.files import sha256_of
from tests.worlds.studies import SMALL, records, run_tiny

import assay
from assay.execution.run import rebuild
from assay.models.weights import load_checkpoint, save_checkpoint
from assay.plugin import RunFolder, StoreError
from assay.store.description import read_description
from assay.store.files import read_checked_json, write_checked_json
from assay.store.folder import remove_unit
from assay.store.manifest import changes, key_of_signature, write_manifest
from assay.store.schema import SCHEMA_VERSION
from assay.store.signing import sign
from assay.store.soundness import Soundness
from assay.study.described import DataTables
from assay.study.records import stored_study
from assay.study.registration import read_prespecified


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
    assert Soundness(RunFolder(run_copy)).changes() == []
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


DOCUMENTS = ("run.json", "plan.json", "described.json", "stated.json")


def _read_documents(root: Path) -> tuple[object, ...]:
    study = stored_study(root)
    folder = RunFolder(root)
    return (
        repr(study),
        repr(read_description(folder, DataTables)),
        read_prespecified(root, study.plan.spec),
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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = Asking(capsys)
    monkeypatch.setenv(
        "ASSAY_CACHE", str(shutil.copytree(finished_run.parent / "cache", tmp_path / "cache", symlinks=True))
    )
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
    flip(run_copy / "report.html")
    results, report = ["results", run_copy], ["report", run_copy]
    read = {"readings/*/outputs.parquet": [report], "pictures/*.png": [report, bundle],
            "tables/values.parquet": [results, bundle], "stated.json": [results, report]}  # fmt: skip
    for pattern, commands in read.items():
        path = flip(one(run_copy, pattern))
        for command in commands:
            answer = asked(*command)
            assert answer.code == 2
            assert answer.err.startswith(f"cannot read {path}: it is damaged")
            assert len(answer.err.splitlines()) == 1
        assert asked(*results).code == (2 if results in commands else 0), "it reads tables, and no picture or weights"
        flip(path)
    assert asked("report", run_copy).code == 0
    assert asked(*bundle).code == 0
    (run_copy / "manifest.json").unlink()
    assert "manifest.json: there is no such file; `assay report" in asked("results", run_copy).err
    assert asked("report", run_copy).code == 0
    assert asked("results", run_copy).code == 0


needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="signatures need ssh-keygen")


def new_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path


@pytest.fixture
def signed(run_copy: Path, tmp_path: Path) -> Path:
    sign(run_copy, new_key(tmp_path / "key"))
    return run_copy


def signature(asked: Asking, root: Path) -> tuple[str, str]:
    """Light and text of the doctor's finding about the signature."""
    found = json.loads(asked("doctor", root, "--json").out)
    return next((one["light"], one["found"]) for one in found if one["what"] == "signature")


def rewrite(root: Path) -> None:
    """Write the manifest as who can write the folder would, who keeps the signature."""
    kept = {name: (root / name).read_bytes() for name in ("signed.txt", "signed.txt.sig")}
    write_manifest(root, {})
    for name, content in kept.items():
        (root / name).write_bytes(content)
    files = read_checked_json(root / "manifest.json")["files"]
    files |= {name: [len(content), hashlib.sha256(content).hexdigest()] for name, content in kept.items()}
    write_checked_json(root / "manifest.json", {"schema": SCHEMA_VERSION, "files": files})


@needs_keygen
def test_a_signature_is_of_all_files_and_a_page_made_later_keeps_it(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asking(capsys)
    assert signature(asked, run_copy) == ("ok", "none: the author of the files is unknown")
    key = new_key(tmp_path / "key")
    assert asked("report", run_copy).code == 0  # its commands type the path from here
    assert asked("seal", run_copy, "--key", key).code == 0
    shown = subprocess.run(["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True).stdout.split()[1]
    right = ("ok", f"the data are signed by ED25519 key {shown}")
    assert signature(asked, run_copy) == right
    lines = (run_copy / "signed.txt").read_text().splitlines()
    assert {line[66:] for line in lines} == {
        path.relative_to(run_copy).as_posix()
        for path in run_copy.rglob("*")
        if path.is_file()
        and path.name not in ("manifest.json", "finished.json")
        and not path.name.startswith((".", "signed.txt"))
    }
    assert all(sha256_of(run_copy / line[66:]) == line[:64] for line in lines)
    before = (run_copy / "signed.txt.sig").read_bytes()
    (stray := run_copy / "stray.txt").touch()
    for command in (["seal", run_copy, "--key", key], ["report", run_copy], ["results", run_copy]):
        assert asked(*command).err.startswith(f"{stray} was added later; move it elsewhere")
    assert signature(asked, run_copy) == ("warn", "not checked, since files are not as the run left them")
    stray.unlink()
    (page := run_copy / "report.html").unlink()
    assert "the tables are those that were signed" in asked("report", run_copy).err
    assert page.is_file()
    assert signature(asked, run_copy) == right
    page.write_text("Made by a later version.")
    rewrite(run_copy)
    assert signature(asked, run_copy) == ("warn", f"{right[1]}; report.html is not signed: it was made later")
    assert (run_copy / "signed.txt.sig").read_bytes() == before
    assert asked("results", run_copy).code == 0


@needs_keygen
@pytest.mark.parametrize("how", ["data", "signature", "list", "half"])
def test_every_reader_refuses_a_signature_of_other_data(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    asked, table = Asking(capsys), signed / "tables" / "provenance.parquet"
    if how == "data":
        shutil.copy(signed / "tables" / "values.parquet", table)
        rewrite(signed)
    elif how == "signature":
        (signed / "signed.txt.sig").write_bytes(_other_signature(tmp_path))
        rewrite(signed)
    elif how == "list":
        (signed / "signed.txt").write_text("".join((signed / "signed.txt").read_text().splitlines(keepends=True)[1:]))
        rewrite(signed)
    else:
        (signed / "signed.txt").unlink()
        write_manifest(signed, {})
    what = f"the data in {signed} are not those that were signed"
    remedy = f"restore them from a copy, or sign what is there with `assay seal {signed} --key FILE`"
    for command in (["results", signed], ["report", signed], ["open", signed, "--bundle", tmp_path / "out.zip"]):
        answer = asked(*command)
        assert (answer.code, answer.err) == (2, f"{what}; {remedy}\n")
    assert signature(asked, signed) == ("bad", what)
    with pytest.raises(StoreError, match="are not those that were signed"):
        assay.open_run(signed).table("estimates")
    assert changes(signed)[-1].how == "unsigned", "what `audit score` and `audit compare` refuse"
    assert asked("seal", signed, "--key", tmp_path / "key").code == 0
    assert asked("results", signed).code == 0


def _other_signature(folder: Path) -> bytes:
    (other := folder / "other").write_text("other data")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "assay", "-f", folder / "key", other], check=True)
    return (folder / "other.sig").read_bytes()


@needs_keygen
def test_signed_data_are_not_made_again_and_a_run_that_changes_them_drops_the_signature(
    signed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asking(capsys)
    (signed / "signed.txt.sig").rename(signed / "kept")
    answer = asked("results", signed)
    assert answer.err.startswith(f"cannot read {signed / 'signed.txt.sig'}: there is no such file; restore it from a")
    assert answer.err.endswith(f"or sign what is there with `assay seal {signed} --key FILE`\n")
    (signed / "kept").rename(signed / "signed.txt.sig")
    kept = (signed / "manifest.json").read_bytes()
    for name in ("manifest.json", "tables/estimates.parquet"):
        content = (signed / name).read_bytes()
        (signed / name).unlink()
        assert asked("report", signed).err.endswith("there is no such file; restore it from a copy\n")
        (signed / name).write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        key_of_signature.cache_clear()  # as in a process of its own
        assert asked("results", signed).code == 0
        assert signature(asked, signed) == ("warn", "not checked, since there is no ssh-keygen")
    Soundness(RunFolder(signed)).seal()
    assert (signed / "manifest.json").read_bytes() == kept
    flip(one(signed, "pictures/*.png"))
    Soundness(RunFolder(signed)).seal()
    assert not list(signed.glob("signed.txt*"))
    assert signature(asked, signed) == ("ok", "none: the author of the files is unknown")


@needs_keygen
def test_a_key_that_does_not_sign_is_refused_in_one_sentence(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asking(capsys)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")  # as without a terminal
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    (junk := tmp_path / "junk").write_text("junk")
    wide, public, _ = new_key(tmp_path / "wide"), new_key(tmp_path / "own"), new_key(tmp_path / "locked", "secret")
    wide.chmod(0o644)
    public.unlink()
    expected = {
        "none": "there is no key {key}: `ssh-keygen -t ed25519` makes one",
        junk.name: "{key} holds no private key of SSH that can be read: `ssh-keygen -t ed25519` makes one",
        "locked": "{key} has a passphrase, which was not given: sign in a terminal, or add it to an agent (ssh-add)",
        "wide": "others can read {key}, and ssh-keygen does not use it: chmod 600 {key}",
        "own.pub": "{key} is a public key, and no agent holds its private key: give the private key",
    }
    for name, said in expected.items():
        answer = asked("seal", run_copy, "--key", tmp_path / name)
        assert (answer.code, answer.err) == (2, f"{said.format(key=tmp_path / name)}\n")
    assert not list(run_copy.glob("signed.txt*"))
    monkeypatch.setenv("PATH", "")
    assert asked("seal", run_copy, "--key", wide).err.startswith("there is no ssh-keygen; signatures need it")


@needs_keygen
def test_a_bundle_carries_the_signature_and_what_it_is_of(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed / "pictures" / ".hidden").touch()
    assert Asking(capsys)("open", signed, "--bundle", tmp_path / "out.zip").code == 0
    shutil.unpack_archive(tmp_path / "out.zip", tmp_path / "out")
    folder = tmp_path / "out" / signed.name
    check = "ssh-keygen -Y check-novalidate -n assay -s signed.txt.sig < signed.txt && sha256sum -c --ignore-missing"
    done = subprocess.run(f"{check} signed.txt", shell=True, cwd=folder, capture_output=True, text=True, check=True)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {line.split(":")[0] for line in done.stdout.splitlines()[1:]} == there - {"signed.txt", "signed.txt.sig"}
    assert {"report.html", "signed.txt", "signed.txt.sig"} < there


def test_a_folder_of_a_strangers_is_named_damaged_and_leads_to_no_file_elsewhere(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, manifest, picture = Asking(capsys), run_copy / "manifest.json", one(run_copy, "pictures/*.png")
    kept = manifest.read_bytes(), picture.read_bytes()
    picture.unlink()
    os.mkfifo(picture)  # would be waited for
    assert f"cannot read {picture}: there is no such file" in asked("doctor", run_copy).out
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path / "of-another"))
        assert f"cannot read {picture}: there is no such file" in asked("doctor", run_copy).out
    picture.unlink()
    picture.write_bytes(kept[1])
    entry = [0, "0" * 64]
    for files in ({"a": 1}, [], None, {"": entry}, {"/etc/passwd": entry}, {"tables/../../x": entry}):
        write_checked_json(manifest, {"schema": SCHEMA_VERSION, "files": files})
        assert asked("results", run_copy).err.startswith(f"cannot read {manifest}: it is damaged")
    manifest.write_text("[" * 100_000)
    assert asked("results", run_copy).err.startswith(f"cannot read {manifest}: it is damaged")
    for path in (manifest, run_copy / "tables" / "stamp.json"):  # as of a run that did not end
        path.unlink()
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (elsewhere / "record.json").write_text("another run's")
    picture.unlink()
    picture.symlink_to(elsewhere / "record.json")
    assert asked("open", run_copy, "--bundle", tmp_path / "out.zip").err.startswith(f"{picture} is a link, and")
    assert not (tmp_path / "out.zip").exists()
    (unit := run_copy / "trials" / "linked").symlink_to(elsewhere)
    remove_unit(unit)
    assert (elsewhere / "record.json").is_file()
    assert not unit.exists()


def test_a_training_does_not_start_from_an_image_array_that_was_altered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    reference = records(run_tiny(tmp_path / "reference").folder)
    path = flip(one(tmp_path / "cache", "*.npy"))
    result = run_tiny(tmp_path / "tiny")
    (failure,) = RunFolder(result.folder).failures().values()
    assert failure["text"].startswith(f"cannot read …/{path.name}: it is damaged")
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
