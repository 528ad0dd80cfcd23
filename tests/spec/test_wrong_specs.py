"""Every kind of wrong study is told in at most three lines: the place, what was given, what is allowed, what to do.

`wrong_specs.yaml` has the cases with their texts. `python -m tests.spec.test_wrong_specs` prints those that differ.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from assay.plugin import ComponentKind, SpecError, entries
from assay.spec.parse import parse_study

TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("wrong_specs.yaml").read_text(encoding="utf-8"))
RIGHT: str = TABLE["right"]
CASES: dict[str, dict[str, Any]] = {one["case"]: one for one in TABLE["cases"]}


def make_files(folder: Path) -> None:
    (folder / "study.yaml").write_text(RIGHT)
    (folder / "eight.yaml").write_text(TABLE["eight"])  # whose lines are in another order than the parts of a study
    (folder / "images").mkdir()
    (folder / "images" / "data.csv").write_text("image,ill,who,texture,age,sex\n")


def text_of(case: dict[str, Any]) -> str:
    """What is said about a wrong study, in the working folder; names of registered components are left open."""
    request: dict[str, Any] = {"source": "study.yaml", **case.get("request", {})}
    old = case.get("replace", "")
    assert not old or RIGHT.count(old) == 1, f"'{old}' must stand once in the right study"
    Path("study.yaml").write_text(case.get("whole", RIGHT.replace(old, case["by"]) if old else RIGHT))
    try:
        parse_study(request.pop("source"), **request)
    except SpecError as error:
        text = str(error)
    else:
        return "(nothing)"
    for kind in get_args(ComponentKind):
        names = [entry.name for entry in entries() if entry.kind == kind]
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        text = text.replace(f"allowed: {', '.join(names[:20])}{more};", f"allowed: <every {kind}>;")
    return text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    make_files(tmp_path)
    return tmp_path


def test_the_right_study_is_right(folder: Path) -> None:
    assert len(parse_study("study.yaml").points) == 4


@pytest.mark.parametrize("name", CASES)
def test_text(name: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    text = text_of(CASES[name])
    assert text == CASES[name]["text"]
    assert sorted(folder.rglob("*")) == before, "nothing is written"
    problems = text.replace("\n  ", "\f").splitlines()
    assert max(problem.count("\f") for problem in problems) <= 2, "three lines at most"


@pytest.mark.slow
def test_a_mistake_that_needs_no_images_imports_no_heavy_library(folder: Path) -> None:
    Path("study.yaml").write_text(RIGHT.replace("supcon]", "supcn]").replace("seeds: 3", "seeds: 0"))
    program = (
        "import sys\nfrom assay.core.errors import SpecError\nfrom assay.spec.parse import parse_study\n"
        "try:\n    parse_study('study.yaml')\nexcept SpecError as error:\n    print(str(error).count('study.yaml'))\n"
        "print(sorted({'torch', 'pandas', 'scipy', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines() == ["2", "[]"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        make_files(Path(place))
        for one in CASES.values():
            if (now := text_of(one)) != one["text"]:
                print(f"- case: {one['case']}\n{now}\n")
