"""`tools/environment` chooses a Python and builds `.venv` with it, or says in three lines at most what is missing.

The Pythons here are stand-ins that answer what the tool asks and note what they are told to do; nothing is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SYSTEM = ("bash", "env", "dirname", "rm", "mkdir", "cp", "sed", "make", "touch")
PYTHON = """#!/usr/bin/env bash
case "$*" in
    *"%d.%d.%d"*) echo "Python {version}.1" ;;
    *"sys.exit"*) exit {misfit} ;;
    *"%d.%d"*) echo {version} ;;
    *"import venv"*) exit {bare} ;;
    "-m pip --version") ;;
    "-m pip install"*) echo "{name} $*" >> told; echo "$PIP_SAYS"; exit "$PIP_EXIT" ;;
    *) echo "{name} $*" >> told
       [ "$1 $2" != "-m venv" ] || {{ mkdir -p .venv/bin .venv/lib/python{version}; cp "$0" .venv/bin/python; }} ;;
esac
"""
PIP_SAYS = """Collecting torch==2.15.0
  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (888.1 MB)
     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 888.1/888.1 MB 36.5 MB/s eta 0:00:00
Downloading https://mirror.example/packages/scipy-1.17.1-cp311-cp311-manylinux_2_28_x86_64.whl (35.3 MB)
Downloading rich-15.0.0-py3-none-any.whl (310 kB)
Downloading sympy-1.14.0-py3-none-any.whl (6.3 MB)
Installing collected packages: torch, scipy, sympy, rich
Successfully installed torch-2.15.0"""
Pythons = Mapping[str, tuple[str, bool]]  # name -> version, whether with the venv module
WHOLE, BARE = True, False
READY = "source .venv/bin/activate, then assay --help\n"


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Machine:
    """A folder with the tool in it, and a PATH on which only the Pythons named are found."""

    def __init__(self, folder: Path, pythons: Pythons) -> None:
        self.bin, self.clone = folder / "bin", folder / "clone"
        self.bin.mkdir()
        (self.clone / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools" / "environment", self.clone / "tools")
        for name in SYSTEM:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        for name, (version, whole) in pythons.items():
            self.add(name, version, whole)

    def add(self, name: str, version: str, whole: bool = WHOLE) -> None:
        misfit = int(version not in ("3.11", "3.12", "3.13"))
        write(self.bin / name, PYTHON.format(name=name, version=version, misfit=misfit, bare=int(not whole)))

    def build(
        self, *arguments: str, python: str = "", cpu: str = "", pip_exit: int = 0
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "PYTHON": python, "CPU": cpu, "PIP_SAYS": PIP_SAYS,
                       "PIP_EXIT": str(pip_exit)}  # fmt: skip
        command = [str(self.clone / "tools" / "environment"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def told(self) -> list[str]:
        notes = self.clone / "told"
        return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


REMEDY = (
    "Debian 12 and Ubuntu 24.04 have one: apt install python3 python3-venv. "
    "Elsewhere install uv, which brings one,\nor name one: make demo PYTHON=/path/to/python3.12\n"
)
REFUSALS: dict[str, tuple[Pythons, str, str]] = {
    "no Python": (
        {},
        "",
        "Assay needs Python 3.11 to 3.13; found: none.\n" + REMEDY,
    ),
    "no venv": (
        {"python3": ("3.11", BARE)},
        "",
        "BIN/python3 cannot make a virtual environment: its venv module is a package of its own here.\n"
        "Install it (apt install python3.11-venv) and run the same command again.\n",
    ),
    "the one named is not there": (
        {"python3": ("3.12", WHOLE)},
        "/opt/python3.12",
        "PYTHON=/opt/python3.12 is no Python that runs; Assay needs 3.11 to 3.13.\n"
        "Name another, or none: then the first that fits is taken.\n",
    ),
}


@pytest.mark.parametrize(("pythons", "named", "says"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_missing_is_said(tmp_path: Path, pythons: Pythons, named: str, says: str) -> None:
    machine = Machine(tmp_path, pythons)
    done = machine.build(python=named)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == says.replace("BIN", str(machine.bin))
    assert machine.told() == []


def pip(extra: str = "[all]") -> str:
    return f"-m pip install --disable-pip-version-check --constraint constraints.txt --editable .{extra}"


@pytest.mark.parametrize(
    ("pythons", "named", "chosen"),
    [
        ({"python3": ("3.11", WHOLE)}, "", "python3"),
        ({"python3": ("3.14", WHOLE), "python3.11": ("3.11", WHOLE)}, "", "python3.11"),
        ({"python3.12": ("3.12", BARE), "python3.11": ("3.11", WHOLE)}, "", "python3.11"),
        ({"python3.12": ("3.12", WHOLE), "python3.11": ("3.11", WHOLE)}, "python3.11", "python3.11"),
    ],
    ids=["the system's", "the one that fits", "the one with venv", "the one named"],
)
def test_the_environment_is_built_with(tmp_path: Path, pythons: Pythons, named: str, chosen: str) -> None:
    machine = Machine(tmp_path, pythons)
    done = machine.build("dev", python=named)
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.told() == [f"{chosen} -m venv .venv", f"{chosen} {pip('[dev]')}"]
    assert f"(Python {pythons[chosen][0]}): source .venv/bin/activate" in done.stdout


@pytest.mark.parametrize(
    ("given", "index"), [("1", "https://download.pytorch.org/whl/cpu"), ("https://example/cpu", "https://example/cpu")]
)
def test_without_cuda_pytorch_comes_first_from_another_index(tmp_path: Path, given: str, index: str) -> None:
    machine = Machine(tmp_path, {"python3": ("3.11", WHOLE)})
    done = machine.build(cpu=given)
    assert (done.returncode, done.stderr) == (0, "")
    alone = f"--no-deps --constraint constraints.txt --index-url {index} torch torchvision"
    assert machine.told()[1:] == [
        f"python3 -m pip install --quiet --disable-pip-version-check {alone}",
        f"python3 {pip()}",
    ]


def test_where_pip_fails_the_tool_fails(tmp_path: Path) -> None:
    done = Machine(tmp_path, {"python3": ("3.11", WHOLE)}).build(pip_exit=3)
    assert done.returncode == 3
    assert READY not in done.stdout


def test_where_the_index_without_cuda_fails_what_to_do_is_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"python3": ("3.11", WHOLE)})
    done = machine.build(cpu="https://example/cpu", pip_exit=1)
    assert done.returncode == 2
    assert done.stderr == (
        "PyTorch for processors did not come from https://example/cpu; the lines above say why.\n"
        "Name another index of it (CPU=URL), or leave CPU out: then the builds with CUDA come from your usual index.\n"
    )
    assert len(machine.told()) == 2, "nothing is installed after it"


def test_what_stands_is_kept_unless_another_version_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"python3.11": ("3.11", WHOLE)})
    machine.build()
    machine.add("python3.12", "3.12")
    machine.build()
    assert machine.told() == ["python3.11 -m venv .venv", f"python3.11 {pip()}", f"python3.11 {pip()}"]
    assert machine.build(python="python3.12").stdout.endswith("(Python 3.12): " + READY)
    assert machine.told()[3:] == ["python3.12 -m venv .venv", f"python3.12 {pip()}"]


def test_make_builds_anew_where_another_python_is_named_or_its_own_has_changed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"python3.11": ("3.11", WHOLE), "python3.12": ("3.12", WHOLE)})
    shutil.copy(ROOT / "Makefile", machine.clone)
    for name in ("pyproject.toml", "constraints.txt"):
        (machine.clone / name).touch()

    def built(*arguments: str) -> list[str]:
        before = len(machine.told())
        environment = {"PATH": str(machine.bin), "PIP_SAYS": "", "PIP_EXIT": "0"}
        command = ["make", "-C", str(machine.clone), "environment", *arguments]
        subprocess.run(command, env=environment, capture_output=True, check=True)
        return machine.told()[before:]

    anew = ["python3.11 -m venv .venv", f"python3.11 {pip()}"]
    assert built("PYTHON=python3.11") == anew
    assert built() == built("PYTHON=python3.11") == []
    assert built("PYTHON=python3.12") == ["python3.12 -m venv .venv", f"python3.12 {pip()}"]
    assert built("PYTHON=python3.11") == anew
    shutil.copy(machine.bin / "python3.12", machine.clone / ".venv" / "bin" / "python")  # the system's was upgraded
    assert built("PYTHON=") == ["python3.12 -m venv .venv", f"python3.12 {pip()}"]
    (machine.clone / ".venv" / "bin" / "python").unlink()  # and removed
    assert built() == ["python3.12 -m venv .venv", f"python3.12 {pip()}"]
