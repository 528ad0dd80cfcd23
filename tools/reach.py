"""Count the functions and files of Assay that a study of 15 lines calls.

Runs the study of `STUDY` with two worker processes, with a profiler in each process, and prints how many functions of
how many files ran, by package. Calls while a module is imported, such as those of decorators, are not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "assay"
STUDY = """\
name: reach
data: {phantom: nodule, size: 32, train: 256, validation: 64, test: 96, core: margin}
environments:
  train: {association: {texture: 0.8}}
  same: {like: train}
  reversed: {association: {texture: -0.8}}
recipe:
  loss: [cross-entropy, supcon]
  epochs: 6
  batch_size: 16
seeds: 3
probes:
  - performance
contrasts:
  - {axis: loss, against: cross-entropy, measure: auroc, environment: reversed}
"""
PROFILER = """\
import os, sys, threading

PACKAGE, OUT = os.environ["REACH_PACKAGE"], os.environ["REACH_OUT"]
OF_FUNCTIONS = 0x1  # CO_OPTIMIZED, which bodies of modules and classes lack
seen, ours = set(), {}


def while_imported(frame):
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") != "__main__":
            return True
        frame = frame.f_back
    return False


def watch(frame, event, argument):
    code = frame.f_code
    if event != "call" or code in seen:
        return
    if code.co_filename not in ours:
        ours[code.co_filename] = code.co_filename.startswith(PACKAGE) and code.co_filename.endswith(".py")
    if not ours[code.co_filename] or not code.co_flags & OF_FUNCTIONS:
        seen.add(code)
    elif not while_imported(frame):
        seen.add(code)
        with open(os.path.join(OUT, str(os.getpid())), "a") as file:
            file.write(f"{code.co_filename[len(PACKAGE) + 1:]}:{code.co_firstlineno}\\n")


threading.setprofile(watch)
sys.setprofile(watch)
"""


def called(folder: Path) -> tuple[set[str], int]:
    """Run the study in a folder.

    Returns:
        `FILE:LINE` of every function that ran, and the number of processes.
    """
    out = folder / "out"
    out.mkdir()
    (folder / "sitecustomize.py").write_text(PROFILER, encoding="utf-8")
    (folder / "reach.yaml").write_text(STUDY, encoding="utf-8")
    paths = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")]), "ASSAY_CACHE": str(folder / "cache")}
    own = {"REACH_PACKAGE": str(PACKAGE), "REACH_OUT": str(out), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "assay", "run", "reach.yaml", "--workers", "2"]
    subprocess.run(command, cwd=folder, env={**os.environ, **paths, **own}, check=True, stdout=subprocess.DEVNULL)
    found = [file.read_text(encoding="utf-8").split() for file in out.iterdir()]
    return {line for lines in found for line in lines}, len(found)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, run the study and print the counts."""
    parser = argparse.ArgumentParser(description="Count the functions and files of Assay that a 15-line study calls.")
    parser.add_argument("--files", action="store_true", help="list every file with its number of functions")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="assay-reach-") as folder:
        functions, processes = called(Path(folder))
    files = Counter(name.rpartition(":")[0] for name in functions)
    packages = Counter(name.partition("/")[0] if "/" in name else "." for name in files)
    print(f"{len(functions):,} functions in {len(files)} files, in {processes} processes")
    print(", ".join(f"{name} {count}" for name, count in sorted(packages.items())))
    for name, count in sorted(files.items()) if options.files else ():
        print(f"{count:4} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
