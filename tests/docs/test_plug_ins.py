"""What the how-to pages show is a plug-in that passes its suite, run by pytest outside the repository; a broken one is
told what is wrong with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.cases import first_of
from tests.docs.reading import ROOT, blocks
from tests.worlds.studies import LARGE, write_spec

from assay.plugin import RunFolder

PAGES = [*sorted((ROOT / "docs/how-to").glob("add-a*.md")), ROOT / "docs/tutorials/own-confounder.md"]
SUITES = {
    "add-a-dataset.md": "TestEyes",
    "add-a-distortion.md": "TestBanding",
    "add-a-phantom.md": "TestDisc",
    "add-a-loss.md": "TestLogitAdjusted",
    "add-a-measure.md": "TestMargins",
    "add-a-probe.md": "TestShareOfPositives",
    "add-an-architecture.md": "TestPatches",
    "add-an-intervention.md": "TestBorder",
    "own-confounder.md": "TestBlanked",
}


def modules(page: Path) -> dict[str, str]:
    """The files that a page shows: blocks that begin with their name."""
    named = [(re.match(r'"""(\w+\.py)"""', block), block) for block in blocks(page, "python")]
    return {found[1]: block for found, block in named if found}


def outcomes(folder: Path, files: Mapping[str, str], *options: str) -> dict[str, dict[str, str]]:
    """Suite -> test -> what pytest said of it, empty where it passed."""
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=found.xml", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # all passed, or some failed
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(folder / "found.xml").getroot().iter("testcase"):
        wrong = "\n".join(part.get("message", "") for part in case)
        found.setdefault(case.get("classname", "").rpartition(".")[2], {})[case.get("name", "")] = wrong
    return found


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    files = {name: text for page in PAGES for name, text in modules(page).items()}
    return outcomes(tmp_path_factory.mktemp("plug-ins"), files)


def test_every_page_shows_a_plug_in() -> None:
    assert {page.name for page in PAGES} == set(SUITES)


@pytest.mark.parametrize(("page", "suite"), first_of(SUITES.items(), 2))
def test_the_plug_in_of_a_page_passes_its_suite_outside_the_repository(
    page: str, suite: str, passing: dict[str, dict[str, str]]
) -> None:
    (path,) = (one for one in PAGES if one.name == page)
    assert f"class {suite}(" in path.read_text(encoding="utf-8")
    assert len(passing[suite]) > 4
    assert not {test: wrong for test, wrong in passing[suite].items() if wrong}


BROKEN = [
    (
        "add-a-loss.md",
        "cross_entropy(wide + self.shift, batch.target)",
        "cross_entropy(wide + self.shift, batch.target, reduction='none')",
        ("test_gives_one_finite_number_and_finite_gradients", "a loss is one number, this one has shape (12,)"),
    ),
    (
        "add-an-intervention.md",
        'draws.uniform("width")',
        "torch.rand(len(draws.rows))",
        ("test_pixels_are_sane_and_the_same_whenever_they_are_made[1x32x32]", "it draws from a global generator"),
    ),
    (
        "add-an-architecture.md",
        "initialize_by_name(network, context.seed)",
        "initialize_by_name(network, 0)",
        (
            "test_the_same_seed_gives_the_same_weights_and_another_seed_others",
            "the same under another seed: head.weight, trunk.embed.weight, trunk.mix.1.weight",
        ),
    ),
    (
        "add-a-probe.md",
        '    scope: ClassVar[Scope] = "tests"\n',
        "",
        ("test_says_what_it_looks_at", "probe 'my_probes:ShareOfPositives' is no probe: the class has no scope"),
    ),
]


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    files: dict[str, str] = {}
    for page, right, wrong, _ in BROKEN:
        shown = modules(ROOT / "docs/how-to" / page)
        assert sum(right in text for text in shown.values()) == 1
        files |= {name: text.replace(right, wrong) for name, text in shown.items()}
    tests = " or ".join(test.partition("[")[0] for *_, (test, _) in BROKEN)
    return outcomes(tmp_path_factory.mktemp("broken"), files, "-k", tests)


@pytest.mark.parametrize(("page", "said"), first_of([(page, said) for page, _, _, said in BROKEN]))
def test_a_broken_plug_in_is_told_what_is_wrong(
    page: str, said: tuple[str, str], failing: dict[str, dict[str, str]]
) -> None:
    test, text = said
    assert text in failing[SUITES[page]][test]


def test_without_pytest_the_package_says_what_to_install() -> None:
    program = "import sys; sys.modules['pytest'] = None\nimport assay.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: assay.testing needs pytest; install it with: pip install 'assay-imaging[testing]'"
    )


@pytest.mark.nightly
def test_a_measure_of_a_plug_in_is_compared_from_the_study_file_to_the_page(tmp_path: Path) -> None:
    """Its contrast has a value and a decision, its row among the claims, and its figure under further measures."""
    for file, text in modules(ROOT / "docs/how-to/add-a-measure.md").items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    contrast = {"axis": "loss", "against": "cross-entropy", "measure": "mean-margin", "environment": "reversed"}
    data = {"phantom": "nodule", "size": 32, "train": 128, "validation": 48, "test": 64, "core": "margin"}
    changes: dict[str, Any] = {
        "data": {**data, "target": "large", "core": "size"},
        "recipe": {**LARGE["recipe"], "loss": ["cross-entropy", "focal"], "epochs": 3},
        "probes": ["performance", "my_measures:Margins"],
        "contrasts": [contrast],
    }
    write_spec(tmp_path, **changes)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(tmp_path)])}
    command = [sys.executable, "-m", "assay", "run", "small.yaml", "--workers", "0"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = RunFolder(tmp_path / "runs" / "small")
    (row,) = folder.table("contrasts")
    assert (row["measure"], row["seeds"], row["reason"]) == ("mean-margin", 3, "")
    assert row["low"] < row["value"] < row["high"]
    means = {
        found["recipe"]: found
        for found in folder.table("estimates")
        if found["measure"] == "mean-margin" and found["environment"] == "reversed"
    }
    difference = next(one["value"] for name, one in means.items() if "focal" in name) - next(
        one["value"] for name, one in means.items() if "cross-entropy" in name
    )
    assert row["value"] == pytest.approx(difference)
    page = (folder.root / "report.html").read_text(encoding="utf-8")
    sections = {part.partition('"')[0]: part for part in page.split('<section aria-labelledby="')[1:]}
    assert "mean margin" in sections["comparisons"]
    assert "mean margin" in sections["further"], "the value of each recipe"
