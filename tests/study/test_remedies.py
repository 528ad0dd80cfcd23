"""Damage to a run folder: what the message says to do brings back the same results, and nothing counts fewer seeds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests.worlds.studies import records, run_tiny, study

import assay
from assay.execution.run import rebuild
from assay.plugin import RunFolder, StoreError
from assay.report.sentences.reasons import reason_words
from assay.stats.findings import parse_finding

CONTRAST = {"axis": "initialization", "against": "random", "measure": "auroc", "environment": "reversed"}
STUDY = study(contrasts=[CONTRAST], probes=["performance", "representation"], seeds=2)


def again(folder: Path) -> Path:
    return assay.load(STUDY).run(folder.parent, workers=0, progress=False).folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with pretraining, kept activations and a contrast. Its cache lies beside it."""
    place = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(place / "cache"))
        return again(place / "runs" / "small")


@pytest.fixture
def damaged(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run and its cache, to be damaged."""
    shutil.copytree(reference.parents[1], tmp_path / "copy")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "copy" / "cache"))
    return tmp_path / "copy" / "runs" / "small"


def of_every_kind(root: Path) -> list[Path]:
    """One file of every kind that a run folder holds and that is read to make tables and page."""
    found: dict[str, Path] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock"):
        kind = path.parts[len(root.parts)] if path.parent != root else path.name
        found[kind if kind == "pictures" else f"{kind}/{path.name}"] = path
    unread = {"weights.safetensors", "activations.safetensors", "curve.parquet", "finished.json"}
    return [path for path in found.values() if path.name not in unread]


def obey(message: str, reference: Path, root: Path) -> str:
    """Do what the message says, word for word; returns what was done."""
    named = re.search(r"(/\S+?)(: |; | lacks| has )", message)
    assert named is not None, f"names no file: {message}"
    path = Path(str(named[1]))
    if "delete its folder" in message:
        shutil.rmtree(path.parent)
        return f"folder of {path.name}"
    if "delete this file" in message:
        path.unlink()
        return path.name
    assert "restore it from a copy" in message, f"says nothing that can be done: {message}"
    shutil.copy(reference / path.relative_to(root), path)
    return path.name


@pytest.mark.nightly
def test_what_is_said_of_a_damaged_file_brings_back_the_same_results(damaged: Path, reference: Path) -> None:
    for path in of_every_kind(damaged):
        path.write_bytes(path.read_bytes()[:-20])
    done: list[str] = []
    for _ in range(40):
        try:
            again(damaged)
        except StoreError as error:
            done.append(obey(str(error), reference, damaged))
            continue
        failures = RunFolder(damaged).failures()
        if not failures:
            break
        done += [obey(failure["text"], reference, damaged) for failure in failures.values()]
    assert records(damaged) == records(reference), f"after {done}"
    tables = ("contrasts", "estimates", "seeds", "sources", "starts", "findings")
    assert all(repr(RunFolder(damaged).table(name)) == repr(RunFolder(reference).table(name)) for name in tables)


def test_a_unit_that_is_lost_is_said_in_red_and_made_again(damaged: Path, reference: Path) -> None:
    for kind in ("sources", "readings", "probes"):
        shutil.rmtree(damaged / kind / list(RunFolder(damaged).ids(kind))[-1])
    with pytest.raises(StoreError, match=r"there is no such file \(and \d+ more: .*; run the study, which trains only"):
        rebuild(damaged)
    (damaged / "manifest.json").unlink()  # as of a run that did not end
    rebuild(damaged)
    rows = [row for row in RunFolder(damaged).table("trials") if row["status"] == "pending"]
    assert rows
    assert all("run the study again" in reason_words(row["reason"]) for row in rows)
    said = [
        reason_words(parse_finding(row).reason) for row in RunFolder(damaged).table("findings") if row["light"] == "bad"
    ]
    assert f"{len(rows)} pending, of 4 training runs: left out" in said
    shutil.rmtree(damaged / "trials" / next(iter(RunFolder(damaged).ids("trials"))))
    again(damaged)
    assert records(damaged) == records(reference)
    assert repr(RunFolder(damaged).table("sources")) == repr(RunFolder(reference).table("sources"))


def test_provenance_never_blocks_the_page_of_a_run_that_did_not_end(damaged: Path) -> None:
    (damaged / "manifest.json").unlink()
    for path, content in zip(sorted(damaged.glob("trials/*/provenance.json")), ("", "[]", "{}", None), strict=True):
        path.unlink() if content is None else path.write_text(content)
    assert rebuild(damaged).is_file()
    facts = {row["key"]: row["value"] for row in RunFolder(damaged).table("provenance")}
    assert facts["not known"] == "time, machine and versions of 4 of 4 trials"


def test_a_lost_reading_of_weights_that_were_not_kept_has_a_remedy_too(tmp_path: Path) -> None:
    root = run_tiny(tmp_path / "tiny", keep="none").folder
    before = records(root)
    shutil.rmtree(next((root / "readings").iterdir()))
    with pytest.raises(StoreError) as refused:
        run_tiny(root, keep="none")
    named = re.search(r"once you have deleted (\S+)$", str(refused.value))
    assert named is not None
    shutil.rmtree(named[1])
    run_tiny(root, keep="none")
    assert records(root) == before
