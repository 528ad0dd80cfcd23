"""What a path in a spec means, and how a file's content names a trial in place of its path."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from tests.spec.conftest import STUDY, trial_ids

from assay.core.files import fill_names
from assay.plugin import Component, SpecError
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec


def study_file(folder: Path, path: str, **more: str) -> Path:
    """A study beside whose file the weights are looked for."""
    study: dict[str, Any] = copy.deepcopy(STUDY)
    study["recipe"]["initialization"] = {"file": {"path": path, **more}}
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


def test_a_checksum_of_digits_without_quotes_is_refused_and_never_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"one")
    study = study_file(tmp_path, "weights.pt", sha256="0" * 64)
    study.write_text(study.read_text().replace("'" + "0" * 64 + "'", "0" * 64))
    with pytest.raises(
        SpecError, match=r"sha256 = 0\n  input should be a valid string\n  put it in quotes: without them YAML takes"
    ):
        parse_study(study)


def test_a_stored_study_keeps_the_content_that_it_was_planned_with(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"one")
    spec = parse_study(study_file(tmp_path, "weights.pt"))
    stored = spec.model_dump(mode="json", context={"complete": True})
    (tmp_path / "weights.pt").unlink()
    read = StudySpec.model_validate(stored)
    assert trial_ids(read) == trial_ids(spec)
    assert read.points[0].recipe.initialization.params == {
        "path": str(tmp_path / "weights.pt"),
        "sha256": hashlib.sha256(b"one").hexdigest(),
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("weihgts.pt", "recipe.initialization.file.path = 'weihgts.pt'\n  there is no such file or folder\n"
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


def of_files(*paths: str | Path) -> dict[str, Any]:
    """A study of weights from these files, compared with those of the first."""
    study: dict[str, Any] = copy.deepcopy(STUDY)
    files = [{"file": {"path": str(path)}} for path in paths]
    study["recipe"]["initialization"] = files
    study["contrasts"] = [{"axis": "initialization", "against": files[0], "measure": "auroc", "environment": "same"}]
    return study


def test_no_label_names_the_folders_of_who_runs_it(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_text(name)
    spec = parse_study(of_files(tmp_path / "a.pt", tmp_path / "b.pt"))
    assert spec.axes["initialization"] == ("file(path=a.pt)", "file(path=b.pt)")
    assert spec.contrasts[0].against == "file(path=a.pt)"
    made = [spec.points[0].recipe.initialization, spec.points[1].recipe.initialization]
    assert [one.params["path"] for one in made] == [str(tmp_path / "a.pt"), str(tmp_path / "b.pt")]
    assert made[0].label.startswith("file(path=a.pt, sha256=")
    nih = Component(kind="dataset", name="nih", params={"folder": "/home/jane/nih", "finding": "Mass"})
    assert nih.label == "nih(folder=nih, finding=Mass)"
    everything = [
        *(point.label for point in spec.points),
        *(text for point in spec.points for text in point.coordinates.values()),
    ]
    assert not any(str(tmp_path) in text for text in everything)


def test_files_of_one_name_on_an_axis_are_told_apart_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.pt").write_text(name)
    with pytest.raises(SpecError) as caught:
        parse_study(of_files(tmp_path / "one" / "best.pt", tmp_path / "two" / "best.pt"))
    assert (
        "the value 'file(path=best.pt)' is twice on this axis; name the files differently, or write their paths "
        "from the study file's folder"
    ) in str(caught.value)
    monkeypatch.chdir(tmp_path)
    spec = parse_study(of_files("one/best.pt", "two/best.pt"))
    assert spec.axes["initialization"] == ("file(path=one/best.pt)", "file(path=two/best.pt)")
    with pytest.raises(SpecError, match=r"'file\(path=best.pt\)' is twice on this axis; keep one"):
        parse_study(of_files(tmp_path / "one" / "best.pt", tmp_path / "one" / "best.pt"))


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERE", "sets")
    monkeypatch.setenv("HOME", "/home/someone")
    assert fill_names("a/b", "/studies") == Path("/studies/a/b")
    assert fill_names("a/${HERE}", "/studies") == Path("/studies/a/sets")
    assert fill_names("${HERE}/b", "/studies") == tmp_path / "sets" / "b"
    assert fill_names("~/b", "/studies") == Path("/home/someone/b")
    assert fill_names("/a/b", "/studies") == Path("/a/b")
