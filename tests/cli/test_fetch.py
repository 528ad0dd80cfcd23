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


@pytest.mark.parametrize("name", ["kvasir-seg", "kvasir-seg.sha256", "kvasir-seg.zip.part"])
def test_nothing_is_written_behind_a_link(name: str, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (victim := tmp_path / "victim").write_text("mine")
    (tmp_path / "assets" / name).symlink_to(victim)
    with serving(Behavior(CONTENT)) as url, pytest.raises(DataError, match="is a link"):
        fetch_set(replace(SETS["kvasir-seg"], archive=url), tmp_path / "assets" / "kvasir-seg")
    assert victim.read_text() == "mine"


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    """Its directory states two GB, of a few bytes."""
    content = bytearray(CONTENT)
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = (2 * 10**9).to_bytes(4, "little")
    with serving(Behavior(bytes(content))) as url, pytest.raises(DataError, match="unpacks to 2 GB, and was removed"):
        fetch_set(replace(SETS["kvasir-seg"], archive=url, sha256=""), tmp_path / "kvasir-seg")
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_user_are_not_looked_for_beside_the_working_folder(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared" / "assets").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("ASSAY_ASSETS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert f"into {tmp_path / 'home' / 'assay' / 'mimic'}" in ask("fetch", "mimic").out
