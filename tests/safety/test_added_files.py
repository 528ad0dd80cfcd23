"""Files that somebody puts into a finished run folder: they are neither read, nor listed, nor signed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.asking import Asking
from tests.worlds import audits
from tests.worlds.files import sha256_of

from assay.plugin import RunFolder, SpecError
from assay.store.files import read_checked_json, write_checked_json
from assay.store.manifest import is_ours, write_manifest
from assay.store.soundness import Soundness

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="signatures need ssh-keygen")
PAGE = "<h1>Validated for clinical use</h1>"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asking:
    """Ask the command line in this process."""
    return Asking(capsys)


def new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def write_scores(path: Path) -> Path:
    rows = [f"{number},{number // 2},{number % 2},{(number * 7 % 40 + 9 * (number % 2)) / 49}" for number in range(80)]
    path.write_text("\n".join(["image,patient,target,score", *rows]))
    return path


def auroc(ask: Asking, root: Path) -> str:
    return ask("results", root, "--table", "estimates", "--rows", "measure=auroc", "--csv").out


def forge(folder: RunFolder, id: str) -> None:
    """Write a loose reading in which the network is always right, with right checksums."""
    outputs, record = folder.outputs(id), folder.record("readings", id)
    outputs["logits"] = np.stack([3 - 6.0 * outputs["target"], 6.0 * outputs["target"] - 3], 1).astype("float32")
    (folder.root / "readings" / id).mkdir(exist_ok=True)
    folder.write_outputs(id, outputs, record)


def test_units_that_were_added_beside_packs_are_refused_and_stand_for_none(run_copy: Path, ask: Asking) -> None:
    folder = RunFolder(run_copy)
    (run_copy / "manifest.json").unlink()
    for kind in ("readings", "probes"):
        folder.pack(kind, ids := list(folder.ids(kind)), len(ids))
    Soundness(folder).seal()
    assert ask("report", run_copy).code == 0
    before, ids = auroc(ask, run_copy), list(folder.ids("readings"))
    outputs = [folder.outputs(id)["logits"] for id in ids]
    for id in ids:
        forge(folder, id)
    assert all(map(np.array_equal, outputs, (folder.outputs(id)["logits"] for id in ids)))
    added = run_copy / "readings" / ids[0] / "record.json"
    answer = ask("report", run_copy)
    assert answer.code == 2
    assert answer.err.startswith(f"{added} was added later (and ")
    assert answer.err.endswith("; move its folder elsewhere, since the run did not write it\n")
    found = [(row["light"], row["found"]) for row in json.loads(ask("doctor", run_copy, "--json").out)]
    assert ("bad", f"{added} was added later") in found
    for id in ids:
        shutil.rmtree(run_copy / "readings" / id)
    assert ask("report", run_copy).code == 0
    assert auroc(ask, run_copy) == before


def test_a_unit_that_no_manifest_lists_is_not_read(run_copy: Path, ask: Asking) -> None:
    trial = next((run_copy / "trials").glob("*"))
    shutil.copytree(trial, trial.with_name("forged"))
    RunFolder(run_copy).write_record("trials", "forged", json.loads((trial / "record.json").read_text()))
    answer = ask("audit", trial.with_name("forged"), "--images", run_copy)
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    with pytest.raises(Exception, match=r"forged/record\.json was added later; move its folder elsewhere"):
        RunFolder(run_copy).record("trials", "forged")


@pytest.mark.parametrize("name", ["registration.json", "replication.json", "pictures/added.png", "tables/more.parquet"])
def test_files_that_were_added_are_no_facts_of_a_run(name: str, run_copy: Path, ask: Asking) -> None:
    write_checked_json(run_copy / name, {"time": "2019-01-01", "receipt": "osf.io/abcde"})
    answer = ask("report", run_copy)
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer
    assert answer.err.startswith(f"{run_copy / name} was added later; move it elsewhere"), answer.err
    assert ask("doctor", run_copy).code == 1
    (run_copy / name).unlink()
    assert ask("report", run_copy).code == 0
    assert ask("doctor", run_copy).code == 0


def test_a_run_goes_on_from_no_file_that_was_added(tmp_path: Path, ask: Asking) -> None:
    root = tmp_path / "validation"
    validate = ("validate", write_scores(tmp_path / "p.csv"), "--out", root)
    assert ask(*validate).code == 0
    (root / "trials" / "forged").mkdir(parents=True)
    for name in ("registration.json", "trials/forged/record.json"):
        write_checked_json(root / name, {"time": "2019-01-01"})
        assert ask(*validate).err.startswith(f"{root / name} was added later; move it")
        (root / name).unlink()
    assert ask(*validate).code == 0


@needs_keygen
def test_what_a_user_keeps_beside_a_run_is_in_no_ones_way(run_copy: Path, ask: Asking) -> None:
    (run_copy / "notes.json").write_text("{}")
    assert ask("report", run_copy).code == 0


def test_an_audit_that_is_refused_or_stopped_leaves_an_earlier_one_and_is_begun_again_as_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audit_run = sys.modules["assay.audit.run"].AuditRun
    data = audits.images(tmp_path / "set")
    root = tmp_path / "audit"

    def refuse(_: object) -> None:
        reading = next((root / "readings").iterdir())
        shutil.copytree(reading, root / "readings" / "of-another-scaling")
        raise SpecError("the model seems to be misread")

    for has_earlier in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(audit_run, "checks", property(refuse))
            with pytest.raises(SpecError, match="misread"):
                audits.audited(audits.middle, data, root)
        if has_earlier:
            assert Asking(capsys)("report", root).code == 0
        else:
            shutil.rmtree(root / "readings" / "of-another-scaling")
        audits.audited(audits.middle, data, root)
        assert "did not make" not in capsys.readouterr().err
        assert is_ours(root)


def test_no_command_makes_an_added_page_the_users_own(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    root, key = tmp_path / "validation", new_key(tmp_path / "key")
    validate = ("validate", write_scores(tmp_path / "p.csv"), "--out", root)
    assert ask(*validate).code == 0
    for place in (root, run_copy):
        (place / "pictures").mkdir(exist_ok=True)
        for name in ("index.html", "pictures/summary.html"):
            (place / name).write_text(PAGE)
    for words in (("report", root), validate, ("report", run_copy), ("clean", run_copy, "--yes")):
        assert ask(*words).code == 0
        place = run_copy if run_copy in words else root
        assert is_ours(place)
        listed = read_checked_json(place / "manifest.json")["files"]
        assert not {"index.html", "pictures/summary.html"} & listed.keys(), words
        assert f"{place / 'index.html'} was added later" in ask("doctor", place).out
        assert ask("seal", place, "--key", key).err.startswith(f"{place / 'index.html'} was added later")
    assert ask("open", run_copy, "--bundle", "run.zip").code == 0
    shutil.unpack_archive("run.zip", "unpacked")
    assert not list(Path("unpacked").rglob("summary.html"))
    for name in ("index.html", "pictures/summary.html"):
        (root / name).unlink()
    assert ask("seal", root, "--key", key).code == 0
    assert "checklists.md" in (root / "signed.txt").read_text()


def test_a_run_in_a_folder_from_elsewhere_lists_what_it_wrote_itself(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "validation"
    validate = ("validate", write_scores(tmp_path / "p.csv"), "--out", root)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    assert ask(*validate).code == 0
    (root / "summary.html").write_text(PAGE)
    write_manifest(root, {})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of this user"))
    assert ask(*validate).code == 0
    listed = read_checked_json(root / "manifest.json")["files"]
    assert ("summary.html" in listed, {"report.html", "checklists.md"} <= listed.keys()) == (False, True)
    (root / "summary.html").unlink()
    assert "none is damaged" in ask("doctor", root).out


@needs_keygen
@pytest.mark.parametrize("sign", ["\u2028", "\n", "\x85"])
def test_a_name_with_a_line_break_writes_no_line_of_what_is_signed(
    sign: str, run_copy: Path, tmp_path: Path, ask: Asking
) -> None:
    key = new_key(tmp_path / "key")
    assert ask("seal", run_copy, "--key", key).code == 0
    before = [(run_copy / name).read_bytes() for name in ("signed.txt", "signed.txt.sig")]
    strange = f"zz{sign}{'0' * 64}  report.html"
    (run_copy / strange).write_text("x")
    write_manifest(run_copy, {})
    files = read_checked_json(run_copy / "manifest.json")["files"]
    assert strange not in files
    files[strange] = [1, hashlib.sha256(b"x").hexdigest()]  # as who can write the folder can
    write_checked_json(run_copy / "manifest.json", {"schema": 1, "files": files})
    answer = ask("seal", run_copy, "--key", key)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer
    assert "a name that no Assay writes: it is not signed" in answer.err
    assert [(run_copy / name).read_bytes() for name in ("signed.txt", "signed.txt.sig")] == before


@needs_keygen
@pytest.mark.parametrize("line", ["{}{}  report.html\n", "{}x\u2028{}  report.html\n"])
def test_a_name_that_is_signed_twice_is_of_no_signature(line: str, run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    key = new_key(tmp_path / "key")
    assert ask("seal", run_copy, "--key", key).code == 0
    assert ask("open", run_copy, "--bundle", "run.zip").code == 0
    shutil.unpack_archive("run.zip", unpacked := tmp_path / "unpacked")
    run, sums = unpacked / "small", unpacked / "SHA256SUMS"
    before = {name: sha256_of(run / name) for name in ("report.html", "signed.txt", "signed.txt.sig")}
    (run / "report.html").write_text(PAGE)
    first = f"{'0' * 64}  " if "x" in line else ""
    with (run / "signed.txt").open("a") as file:
        file.write(line.format(first, sha256_of(run / "report.html")))
    (run / "signed.txt.sig").unlink()
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "assay", "-f", key, run / "signed.txt"], check=True)
    text = sums.read_text()
    for name, digest in before.items():
        text = text.replace(digest, sha256_of(run / name))
    sums.write_text(text)
    found = [(row["light"], row["found"]) for row in json.loads(ask("doctor", unpacked, "--json").out)]
    assert not [text for light, text in found if light == "ok" and "is signed by" in text]
    sums.write_text(text + f"{'0' * 64}  small/report.html\n")
    found = [(row["light"], row["found"]) for row in json.loads(ask("doctor", unpacked, "--json").out)]
    assert [text for light, text in found if light == "bad" and "small/report.html" in text]


@pytest.mark.parametrize("command", ["results", "open", "doctor", "report", "seal", "status", "clean"])
def test_a_name_of_two_folders_is_asked_about(command: str, run_copy: Path, ask: Asking) -> None:
    assert ask("results", "small").code == 0
    shutil.copytree(run_copy, "small")
    words = ["--key", "key"] if command == "seal" else []
    answer = ask(command, "small", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "there is a folder 'small' here and one in runs: write ./small or runs/small\n"
    assert not Path("small", "signed.txt").exists()
    if command not in ("seal", "open"):
        assert ask(command, "./small").code == ask(command, "runs/small").code == 0


@pytest.mark.parametrize("name", ["SHA256SUMS", "small/signed.txt"])
def test_checksums_of_any_size_are_refused(name: str, run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    assert ask("open", run_copy, "--bundle", "run.zip").code == 0
    shutil.unpack_archive("run.zip", unpacked := tmp_path / "unpacked")
    (unpacked / name).touch()
    os.truncate(unpacked / name, 1 << 40)  # of zeros, which take no place on the disk
    if name != "SHA256SUMS":
        (unpacked / "SHA256SUMS").write_text("")
    answer = ask("doctor", unpacked)
    assert answer.code == 2
    assert answer.err.endswith("bytes, more than Assay writes; get another copy\n")


def test_a_lease_of_any_size_is_not_read(run_copy: Path, ask: Asking) -> None:
    (run_copy / "leases").mkdir(exist_ok=True)
    (run_copy / "leases" / "x").touch()
    os.truncate(run_copy / "leases" / "x", 1 << 40)
    assert "trials trained" in ask("status", run_copy).out
