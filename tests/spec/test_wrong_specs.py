"""Every kind of wrong study is told in at most three lines: the place, what was given, what is allowed, what to do.

The texts stand in `wrong_specs.txt`. `python tests/spec/test_wrong_specs.py` writes it anew; read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from wrong_specs import EDITS, EIGHT, REQUESTS, RIGHT

from assay.core.errors import SpecError
from assay.core.registry import entries
from assay.core.traits import KINDS
from assay.spec.issues import shorten
from assay.spec.parse import parse_study

TEXTS = Path(__file__).with_name("wrong_specs.txt")


def make_files(folder: Path) -> None:
    (folder / "study.yaml").write_text(RIGHT)
    (folder / "eight.yaml").write_text(EIGHT)
    (folder / "images").mkdir()
    (folder / "images" / "data.csv").write_text("image,ill,who,texture,age,sex\n")


def text_of(case: str) -> str:
    """What is said about a wrong study, in the working folder; names of registered components are left open."""
    request: dict[str, Any] = {"source": "study.yaml", **REQUESTS.get(case, {})}
    if case in EDITS:
        old, new = EDITS[case]
        assert RIGHT.count(old) == 1, f"'{old}' must stand once in the right study"
        Path("study.yaml").write_text(RIGHT.replace(old, new))
    try:
        parse_study(request.pop("source"), **request)
    except SpecError as error:
        text = str(error)
    else:
        return "(nothing)"
    for kind in KINDS:
        names = [entry.name for entry in entries(kind)]
        text = text.replace(f"allowed: {shorten(names, 20)};", f"allowed: <every {kind}>;")
    return text


def texts() -> dict[str, str]:
    parts = TEXTS.read_text().split("## ")[1:]
    return {name: text.strip("\n") for name, _, text in (part.partition("\n") for part in parts)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    make_files(tmp_path)
    return tmp_path


def test_the_right_study_is_right(folder: Path) -> None:
    assert len(parse_study("study.yaml").points) == 4


@pytest.mark.parametrize("case", [*EDITS, *REQUESTS])
def test_text(case: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    text = text_of(case)
    assert text == texts()[case]
    assert sorted(folder.rglob("*")) == before, "nothing is written"


def test_each_problem_takes_three_lines_at_most() -> None:
    for case, text in texts().items():
        run = 0
        for line in text.splitlines():
            run = run + 1 if line.startswith("  ") else 1
            assert run <= 3, case


def test_every_case_has_a_text() -> None:
    assert list(texts()) == [*EDITS, *REQUESTS]
    assert len(texts()) >= 40


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
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        make_files(Path(place))
        found: list[str] = []
        for one in [*EDITS, *REQUESTS]:
            Path("study.yaml").write_text(RIGHT)
            found.append(f"## {one}\n{text_of(one)}\n")
    TEXTS.write_text("\n".join(found))
