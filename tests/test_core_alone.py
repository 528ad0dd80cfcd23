"""What needs no network works where the extra `train` is not installed; what needs one names the extra."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PROGRAM = """
import importlib.metadata, json, sys
absent = ("torch", "torchvision", "timm", "numba", "pytorch_metric_learning", "huggingface_hub")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
installed = importlib.metadata.Distribution.from_name
def of_installed(name):
    if name.replace("-", "_") in absent:
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)
importlib.metadata.Distribution.from_name = of_installed
from assay.cli import main
codes = []
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps(codes))
"""


def answers(folder: Path, commands: Sequence[Sequence[str]]) -> tuple[list[int], str]:
    """Return the exit codes of commands in one process without networks, and what they say on standard error."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, json.dumps(commands)], cwd=folder, text=True, check=True,
                          capture_output=True, env={**os.environ, "COLUMNS": "200"})  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> Path:
    """A folder with a finished run, scores of a model and of four recipes, and images with masks and without."""
    folder, draws = tmp_path_factory.mktemp("core"), np.random.default_rng(0)
    shutil.copytree(finished_run, folder / "run")
    with (folder / "scores.csv").open("w") as one, (folder / "recipes.csv").open("w") as several:
        write, write_each = csv.writer(one), csv.writer(several)
        write.writerow(["image", "patient", "target", "score", "sex"])
        write_each.writerow(["image", "patient", "target", "score", "loss", "seed"])
        for at in range(200):
            case = [at, at // 2, at % 2]
            write.writerow([*case, round(draws.uniform(0.1, 0.6) + 0.3 * case[2], 4), "FM"[draws.integers(2)]])
            for loss, seed in ((loss, seed) for loss in "ab" for seed in range(3)):
                write_each.writerow([*case, round(draws.uniform(0.1, 0.6) + 0.3 * case[2], 4), loss, seed])
    for kind in ("images", "masked"):
        (folder / kind).mkdir()
        rows = [["image", "finding", "patient", *(["mask"] if kind == "masked" else [])]]
        for at in range(40):
            pixels = draws.integers(0, 255, (48, 60 + at % 2, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{at}.png")
            rows.append([f"{at}.png", str(at % 2), f"p{at // 2}"])
            if kind == "masked":
                lesion = np.zeros(pixels.shape[:2], dtype=np.uint8)
                lesion[10 : 20 + at % 7, 10:20] = 255 * (at % 2)
                Image.fromarray(lesion).save(folder / kind / f"{at}-mask.png")
                rows[-1].append(f"{at}-mask.png")
        with (folder / kind / "data.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


def test_commands_without_networks(files: Path) -> None:
    commands = [
        ["list"],
        ["list", "losses"],
        ["results", "run"],
        ["report", "run"],
        ["status", "run"],
        ["doctor"],
        ["doctor", "run"],
        ["validate", "scores.csv", "--out", "validated"],
        ["compare", "recipes.csv", "--by", "loss", "--out", "compared"],
        ["audit", "scores.csv", "--columns", "sex", "--out", "audited"],
        ["look", "images", "--target", "finding", "--patient", "patient", "--out", "looked"],
        ["look", "masked", "--target", "finding", "--patient", "patient", "--mask", "mask", "--out", "looked-masks"],
        ["open", "compared"],
    ]
    codes, says = answers(files, commands)
    assert dict(zip(map(" ".join, commands), codes, strict=True)) == {" ".join(words): 0 for words in commands}, says
    for page in ("validated", "compared", "audited", "looked", "looked-masks", "run"):
        assert "<html" in (files / page / "report.html").read_text(encoding="utf-8")


def test_commands_with_networks_name_the_extra(files: Path) -> None:
    commands = [
        ["run", "nodule-loss", "--scale", "quick", "--out", "runs"],
        ["preview", "nodule-loss", "--out", "runs"],
        ["audit", "model.onnx", "--images", "images"],
        ["example", "demo", "--audit"],
    ]
    codes, says = answers(files, commands)
    assert codes == [2] * len(commands), says
    assert says.count("pip install 'assay-imaging[train]'") == len(commands), says
    assert "Traceback" not in says
