"""Predictions as a CSV that the command line audits, and small images for it to look at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tests.cli.asking import Asking

COUNT = 120
SIDE = 16


def predictions(classes: Sequence[object] = (0, 1), **columns: Sequence[object]) -> pd.DataFrame:
    """Return predictions of two classes in turn; scores of the second are higher."""
    draw = np.random.default_rng(0)
    labels = [classes[at % len(classes)] for at in range(COUNT)]
    scores = np.round(1 / (1 + np.exp(-draw.normal(np.arange(COUNT) % 2, 1))), 4)
    return pd.DataFrame(
        {"patient": [f"p{at // 2}" for at in range(COUNT)], "target": labels, "score": scores, **columns}
    )


def audited(ask: Asking, path: Path, *options: str) -> dict[str, Any]:
    """Return `verdicts.json` of an audit of predictions."""
    shutil.rmtree("out", ignore_errors=True)
    said = ask("audit", path, "--out", "out", "--json", *options)
    assert said.code == 0, said.err
    return json.loads(said.out)


def refused(ask: Asking, path: Path, *options: str) -> str:
    """Return why an audit of predictions is refused."""
    shutil.rmtree("out", ignore_errors=True)
    said = ask("audit", path, "--out", "out", *options)
    assert said.code == 2, said.out
    return said.err


def auroc(verdicts: dict[str, Any]) -> float:
    return next(row["value"] for row in verdicts["checks"] if row["check"] == "ranking")


def columns(ask: Asking) -> dict[str, dict[str, Any]]:
    """Return the rows of the table `columns` of the audit, by name."""
    return {row["column"]: row for row in json.loads(ask("results", "out", "--table", "columns", "--json").out)}


def images(folder: Path, frame: pd.DataFrame, **saved: Any) -> Path:
    """Write an image for each row of a table, which gets their names, and return the table."""
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(len(frame)):
        pixels = np.random.default_rng(at).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:03d}.png")
    frame = frame.assign(image=[f"{at:03d}.png" for at in range(len(frame))])
    frame.to_csv(folder / "data.csv", **{"index": False, **saved})
    return folder / "data.csv"


def looked(ask: Asking, path: Path, *options: str) -> str:
    """Return what a look prints."""
    said = ask("look", path, "--out", "look", *options)
    assert said.code == 0, said.err
    return said.out
