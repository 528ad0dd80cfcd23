"""`sources: {name: {initialization: ...}}`: a short name for a start that is given, not trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.plugin import SpecError
from assay.spec.parse import parse_study

STUDY = """\
data: {{phantom: nodule, core: margin, size: 32}}
environments: {{train: {{}}, same: {{like: train}}}}
sources:
  natural: {sources}
recipe: {{initialization: [random, natural]}}
"""
FILE = "{initialization: {file: {path: weights/natural.pt}}}"


def study(folder: Path, sources: str) -> Path:
    (folder / "weights").mkdir()
    (folder / "weights" / "natural.pt").write_bytes(b"weights")
    path = folder / "study.yaml"
    path.write_text(STUDY.format(sources=sources))
    return path


def test_the_axis_says_the_name_and_the_trial_holds_the_file(tmp_path: Path) -> None:
    spec = parse_study(study(tmp_path, FILE))
    assert spec.axes["initialization"] == ("random", "natural")
    start = spec.points[1].recipe.initialization
    assert (start.name, start.params["path"]) == ("file", str(tmp_path / "weights" / "natural.pt"))
    assert spec.sources == {}, "nothing is trained for it"


def test_the_name_decides_no_trial(tmp_path: Path) -> None:
    named = parse_study(study(tmp_path, FILE))
    written: dict[str, Any] = {
        "name": "study",
        "data": {"phantom": "nodule", "core": "margin", "size": 32},
        "environments": {"train": {}, "same": {"like": "train"}},
        "recipe": {"initialization": ["random", {"file": {"path": str(tmp_path / "weights" / "natural.pt")}}]},
    }
    assert named.training_hash == parse_study(written).training_hash


TRAINED = "{data: {phantom: natural, size: 32, target: kind, core: kind}, recipe: {epochs: 1}}"


def test_a_name_for_the_means_and_variances_of_a_source_that_is_trained(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    statistics = "{initialization: {random-statistics: {source: shapes}}}"
    path.write_text(STUDY.format(sources=f"{statistics}\n  shapes: {TRAINED}"))
    spec = parse_study(path)
    assert spec.axes["initialization"] == ("random", "natural")
    start = spec.points[1].recipe.initialization
    assert (start.name, dict(start.params)) == ("source", {"name": "shapes", "statistics": True})
    path.write_text(STUDY.format(sources=f"{statistics}\n  forms: {TRAINED}"))
    with pytest.raises(SpecError, match=r"unknown source 'shapes'"):
        parse_study(path)


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (
            "{initialization: random, data: {phantom: nodule, core: margin}}",
            "a source is either given (`initialization`) or trained here (`data` and `recipe`); keep one",
        ),
        ("{initialization: {fil: {path: weights/natural.pt}}}", "unknown initialization 'fil': did you mean 'file'?"),
        ("{initialization: {file: {path: weights/natura.pt}}}", "did you mean 'natural.pt'?"),
        ("{initialization: source}", "expected a start that is not trained here"),
    ],
)
def test_what_is_wrong_is_told_once_at_its_place(tmp_path: Path, sources: str, told: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_study(study(tmp_path, sources))
    text = str(refused.value)
    assert text.count(told) == 1
    assert "study.yaml:4: sources.natural" in text
