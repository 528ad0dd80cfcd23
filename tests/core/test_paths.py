"""What a path in a spec means, and how a file's content names a trial in place of its path."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml

from assay.core.errors import SpecError
from assay.core.parsing import parse_study
from assay.core.paths import assets_folder, file_hash, filled, unset
from assay.core.spec import StudySpec

from .conftest import STUDY, trial_ids


def study_file(folder: Path, path: str, **more: str) -> Path:
    """A study beside whose file the weights are looked for."""
    study: dict[str, Any] = copy.deepcopy(STUDY)
    study["recipe"]["initialisation"] = {"file": {"path": path, **more}}
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(pyyaml.safe_dump(study))
    return folder / "study.yaml"


def ids(folder: Path, path: str, **more: str) -> list[str]:
    return trial_ids(parse_study(study_file(folder, path, **more)))


def test_weights_name_a_trial_by_their_content_and_not_by_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, elsewhere = tmp_path / "weights.pt", tmp_path / "other" / "moved.pt"
    weights.write_bytes(b"one")
    first = ids(tmp_path, "weights.pt")
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"one")
    monkeypatch.setenv("MY_WEIGHTS", "other")
    monkeypatch.chdir(tmp_path)
    assert ids(tmp_path / "other", "moved.pt") == first
    assert ids(tmp_path / "other", "${MY_WEIGHTS}/moved.pt") == first, "a variable is relative to the working folder"
    assert ids(tmp_path, str(elsewhere)) == first
    assert ids(tmp_path, "weights.pt", sha256=hashlib.sha256(b"one").hexdigest()) == first
    weights.write_bytes(b"another")
    assert not set(ids(tmp_path, "weights.pt")) & set(first)


def test_a_stored_study_keeps_the_content_that_it_was_planned_with(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"one")
    spec = parse_study(study_file(tmp_path, "weights.pt"))
    stored = spec.model_dump(mode="json", context={"complete": True})
    (tmp_path / "weights.pt").unlink()
    read = StudySpec.model_validate(stored)
    assert trial_ids(read) == trial_ids(spec)
    assert read.points[0].recipe.initialisation.params == {
        "path": str(tmp_path / "weights.pt"),
        "sha256": hashlib.sha256(b"one").hexdigest(),
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("weihgts.pt", "recipe.initialisation.file.path = 'weihgts.pt'\n  there is no such file or folder\n"
                       "  did you mean 'weights.pt'?"),
        ("${NO_SUCH_PLACE}/w.pt", "the variable NO_SUCH_PLACE is not set"),
        ("folder", "cannot be read: Is a directory; give the path of a file"),
    ],
)  # fmt: skip
def test_weights_that_are_not_there_are_told_before_anything_runs(
    path: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    (tmp_path / "weights.pt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError) as caught:
        parse_study(study_file(tmp_path, path))
    assert text in str(caught.value)


def test_a_hash_is_read_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    for content in (b"1", b"22"):
        file.write_bytes(content)
        assert file_hash(file) == hashlib.sha256(content).hexdigest()


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", "sets")
    monkeypatch.setenv("HOME", "/home/someone")
    assert filled("a/b", "/studies") == Path("/studies/a/b")
    assert filled("a/${HERE}", "/studies") == Path("/studies/a/sets")
    assert filled("${HERE}/b", "/studies") == tmp_path / "sets" / "b"
    assert filled("~/b", "/studies") == Path("/home/someone/b")
    assert filled("/a/b", "/studies") == Path("/a/b")


def test_the_image_sets_are_looked_for_beside_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("ASSAY_ASSETS", raising=False)
    assert unset("${ASSAY_ASSETS}/set") == ["ASSAY_ASSETS"]
    (tmp_path / "shared" / "assets").mkdir(parents=True)
    beside = (tmp_path / "shared" / "assets").resolve()
    assert unset("${ASSAY_ASSETS}/set") == []
    assert filled("${ASSAY_ASSETS}/set", "/studies").resolve() == beside / "set"
    assert assets_folder().resolve() == beside
    monkeypatch.setenv("ASSAY_ASSETS", "mine")
    assert assets_folder() == filled("${ASSAY_ASSETS}", "/studies") == tmp_path / "project" / "mine"
