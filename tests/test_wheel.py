"""The wheel in a fresh environment: alone it answers and validates, with `train` it runs a study."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.worlds.studies import SMALL, write_spec

DISTRIBUTION = "assay-imaging"
"""Name on package indexes."""


ROOT = Path(__file__).parents[1]
NO_NETWORK = re.compile(r"dns error|failed to fetch|connection (refused|reset|timed out)|network is unreachable", re.I)
pytestmark = pytest.mark.acceptance


def clean_environment(cache: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**kept, "ASSAY_CACHE": str(cache)}


def called(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user of the wheel would, without anything of this checkout on the path."""
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=clean_environment(folder / "cache"),
        capture_output=True,
        text=True,
        check=False,
    )


def install(root: Path, *more: tuple[str | Path, ...], extras: str = "") -> Path:
    """Install the wheel of a folder into a fresh environment there, after other commands; return its programs."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        pytest.skip("uv is not installed: it builds the wheel and the fresh environment")
    environment = root / f"env{extras}"
    for command in (
        *more,
        ("venv", "--python", sys.executable, environment),
        ("pip", "install", "--python", environment, "--constraint", ROOT / "constraints.txt", "WHEEL"),
    ):
        wheels = [f"{path}{extras}" for path in root.glob("dist/*.whl")]
        done = called(uv, *(wheels[0] if word == "WHEEL" else word for word in command), folder=root)
        if done.returncode and NO_NETWORK.search(done.stderr):
            pytest.skip(f"the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return environment / "bin"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of a fresh environment with the wheel alone."""
    root = tmp_path_factory.mktemp("wheel")
    return install(root, ("build", "--wheel", "--out-dir", root / "dist", ROOT))


@pytest.fixture(scope="module")
def installed(core: Path) -> Path:
    """Return the folder of programs of a fresh environment with the wheel and what networks need."""
    return install(core.parents[1], extras="[train]")


def test_the_wheel_is_named_and_has_what_is_no_code(installed: Path) -> None:
    (wheel,) = (installed.parents[1] / "dist").glob("*.whl")
    assert wheel.name.startswith(f"{DISTRIBUTION.replace('-', '_')}-")
    names = set(zipfile.ZipFile(wheel).namelist())
    endings = {".json", ".yaml", ".html", ".css", ".onnx"}
    data = [path for path in (ROOT / "src" / "assay").rglob("*") if path.suffix in endings]
    assert data
    assert {str(path.relative_to(ROOT / "src")) for path in data} | {"assay/py.typed"} <= names
    assert not [name for name in names if not name.startswith(("assay/", "assay_imaging-"))]


def test_a_build_in_another_folder_is_equal_byte_for_byte(installed: Path, tmp_path: Path) -> None:
    (first,) = (installed.parents[1] / "dist").glob("*.whl")
    elsewhere = tmp_path / "another folder"
    shutil.copytree(ROOT / "src", elsewhere / "src")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, elsewhere)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv
    done = called(uv, "build", "--wheel", "--out-dir", tmp_path / "dist", elsewhere, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dist" / first.name).read_bytes() == first.read_bytes()


def test_it_answers_without_extras(core: Path, tmp_path: Path) -> None:
    answer = called(core / "assay", "--help", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "Start with: assay run nodule-loss" in answer.stdout
    for module in ("monai", "pytest", "onnx", "torch", "numba"):
        assert called(core / "python", "-c", f"import {module}", folder=tmp_path).returncode == 1
    rows = [
        "image,patient,target,score",
        *(f"{at},{at // 2},{at % 2},{(at % 7 + 3 * (at % 2)) / 10}" for at in range(80)),
    ]
    (tmp_path / "scores.csv").write_text("\n".join(rows))
    answer = called(core / "assay", "validate", "scores.csv", "--out", "validated", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "<html" in (tmp_path / "validated" / "report.html").read_text(encoding="utf-8")
    refused = called(core / "assay", "run", "nodule-loss", "--scale", "quick", folder=tmp_path)
    assert refused.returncode == 2
    assert f"pip install '{DISTRIBUTION}[train]'" in refused.stderr


def test_it_runs_a_study_to_its_page(installed: Path, tmp_path: Path) -> None:
    recipe = {**SMALL["recipe"], "loss": ["cross-entropy"], "epochs": 1}
    spec = write_spec(tmp_path, seeds=1, recipe=recipe, contrasts=[])
    done = called(installed / "assay", "run", spec.name, "--workers", "0", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    finished = json.loads(done.stdout.splitlines()[-1])
    assert (finished["trained"], finished["probed"], finished["failed"]) == (1, 1, 0)
    assert "<html" in (tmp_path / finished["report"]).read_text(encoding="utf-8")


def test_a_missing_extra_is_named(installed: Path, tmp_path: Path) -> None:
    done = called(
        installed / "python",
        "-c",
        "from assay.core.errors import extra\nwith extra('monai'): import monai",
        folder=tmp_path,
    )
    assert f"pip install '{DISTRIBUTION}[monai]'" in done.stderr
