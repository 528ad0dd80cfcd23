"""Public sets: one entry per dataset, steps by hand, and downloads from a server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.models.weights.server import Behavior, serving

from assay.cli.fetch import fetch_set
from assay.data.public.sets import SETS
from assay.plugin import DataError, entries


def zipped(files: Mapping[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return held.getvalue()


CONTENT = zipped({"Kvasir-SEG/images/a.jpg": "a" * 20_000, "Kvasir-SEG/masks/a.jpg": "b" * 20_000})
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_every_public_set_that_a_study_can_name_is_listed(ask: Asking) -> None:
    assert set(SETS) == {entry.name for entry in entries("dataset")}
    lines = ask("fetch").out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == list(SETS)
    assert set(json.loads(ask("fetch", "--json").out)) == set(SETS)


def test_a_set_behind_an_agreement_has_steps_and_is_not_downloaded(ask: Asking, tmp_path: Path) -> None:
    answer = ask("fetch", "mimic", "--out", tmp_path)
    assert answer.code == 0
    assert "https://physionet.org/" in answer.out
    assert "allow no automatic download" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_it_is_downloaded_unpacked_and_its_digest_kept(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Behavior(CONTENT)) as url:
        monkeypatch.setitem(SETS, "kvasir-seg", replace(SETS["kvasir-seg"], archive=url))
        answer = ask("fetch", "kvasir-seg", "--out", tmp_path, "--json")
        again = ask("fetch", "kvasir-seg", "--out", tmp_path, "--json")
    assert json.loads(answer.out)["sha256"] == DIGEST == json.loads(again.out)["sha256"]
    assert (tmp_path / "kvasir-seg" / "masks" / "a.jpg").read_text() == "b" * 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kvasir-seg", "kvasir-seg.sha256"]


def test_a_download_that_was_cut_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "kvasir-seg"
    folder.with_name("kvasir-seg.zip.part").write_bytes(CONTENT[:100])
    behavior = Behavior(CONTENT)
    with serving(behavior) as url:
        assert fetch_set(replace(SETS["kvasir-seg"], archive=url), folder) == DIGEST
    assert behavior.requests == ["bytes=100-"]


def test_another_archive_than_the_first_or_the_stated_one_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "kvasir-seg"
    with serving(Behavior(CONTENT)) as url:
        stated = replace(SETS["kvasir-seg"], archive=url, sha256="0" * 64)
        with pytest.raises(DataError, match="refused and removed"):
            fetch_set(stated, folder)
        folder.with_name("kvasir-seg.sha256").write_text("1" * 64)
        with pytest.raises(DataError, match="expected 1111"):
            fetch_set(replace(stated, sha256=""), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["kvasir-seg.sha256"]


def test_without_a_connection_it_says_how_by_hand(tmp_path: Path) -> None:
    closed = replace(SETS["kvasir-seg"], archive="http://127.0.0.1:9/kvasir-seg.zip")
    with pytest.raises(DataError, match=r"no connection to 127\.0\.0\.1:9: fetch http.* by hand"):
        fetch_set(closed, tmp_path / "kvasir-seg")
