"""Commands that compute nothing import nothing heavy, so that they answer at once."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.worlds.tables import StudyTables, make_run

from assay.plugin import RunFolder
from assay.study.kind import STUDY

HEAVY = {"pytest", "torch", "timm", "torchmetrics", "monai", "pandas", "scipy", "segmentation_models_pytorch"}
NEEDED = ["-c", "import numpy, pydantic.main, ruamel.yaml, typer.main"]
REFUSED = "name: refused\ndata: {phantom: nodul}\n"


def imports_of(*arguments: str) -> tuple[int, set[str], str]:
    """Exit code, every module that was imported by Python's own account, and all that was printed."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "assay", *arguments], capture_output=True, text=True, check=False
    )
    lines = done.stderr.splitlines()
    told = [line for line in lines if line.startswith("import time:")]
    said = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip() for line in told}, done.stdout + "\n".join(said)


@pytest.mark.parametrize(
    ("arguments", "code", "says", "imported"),
    [
        (["--help"], 0, "assay run nodule-loss", "cli"),
        (["list"], 0, "assay list losses", "cli"),
        (["show", "nodule-loss", "--json"], 0, '"name": "nodule-loss"', "cli"),
        (["run", "refused.yaml", "--out", "runs"], 2, "did you mean 'nodule'?", "spec.parse"),
        (["report", "nosuch", "--out", "."], 2, "no run folder 'nosuch'", "cli.results"),
    ],
)
def test_nothing_heavy_is_imported_to_answer(
    arguments: list[str], code: int, says: str, imported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("refused.yaml").write_text(REFUSED)
    found, modules, text = imports_of(*arguments)
    assert found == code
    assert says in text
    assert f"assay.{imported}" in modules
    assert modules & HEAVY == set()
    assert not Path("runs").exists()


@pytest.mark.thorough  # a time hangs on the load of the machine
@pytest.mark.parametrize(
    ("arguments", "most"),
    [
        (["--help"], 0.3),
        (["run", "refused.yaml"], 0.5),
        (["show", "nodule-loss", "--json"], 0.6),  # reads a whole study
    ],
    ids=["help", "refused", "grid"],
)
def test_an_answer_takes_little_processor_time(arguments: list[str], most: float, tmp_path: Path) -> None:
    """The least of five runs in turn with the imports that any such command needs: 0.2 s on an idle machine of 2025."""
    (tmp_path / "refused.yaml").write_text(REFUSED)
    both = [(seconds_of(NEEDED, tmp_path), seconds_of(["-m", "assay", *arguments], tmp_path)) for _ in range(5)]
    needed, spent = map(min, zip(*both, strict=True))
    assert spent < most * max(1.0, needed / 0.2), f"{spent:.2f} s, where libraries alone take {needed:.2f} s"


def seconds_of(arguments: list[str], folder: Path) -> float:
    """Processor time of a process, user and system. It may keep compiled modules, as an installed one does."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=folder, env=env, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_no_network_library_is_imported_to_audit_predictions(tmp_path: Path) -> None:
    rows = "".join(f"{at}.png,{at % 2},{0.3 + 0.3 * (at % 2) + at / 1000},{'fm'[at // 2 % 2]}\n" for at in range(160))
    file = tmp_path / "predictions.csv"
    file.write_text(f"image,target,score,sex\n{rows}")
    out = tmp_path / "audit"
    code, modules, text = imports_of("audit", str(file), "--columns", "sex", "--out", str(out))
    assert code == 0
    assert "Other marks and columns: 1 no AUROC shift (sex)." in text
    assert (out / "report.html").is_file()
    assert "assay.audit.predictions" in modules
    assert modules & (HEAVY - {"scipy", "pandas"}) == set()  # of intervals and tables


@pytest.mark.parametrize("table", ["contrasts", "findings"])
def test_nothing_heavy_is_imported_to_print_results(table: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", StudyTables(budgets=("10",), seeds=3, pictures=False, probes=()))
    RunFolder(folder).begin(STUDY, {})
    code, modules, text = imports_of("results", str(folder), "--table", table)
    assert code == 0
    assert {"contrasts": "SupCon", "findings": "limit:"}[table] in text
    assert "assay.report.sentences.reasons" in modules
    assert modules & HEAVY == set()


def test_a_worker_imports_no_library_of_networks() -> None:
    program = (
        "import sys, assay.execution.jobs; print(sorted({'timm', 'torchvision', 'torch._dynamo'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_heavy_import_would_be_seen() -> None:
    """The same account of a process that imports one: otherwise the tests above could not fail."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import scipy"], capture_output=True, text=True, check=True
    )
    assert "scipy" in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
