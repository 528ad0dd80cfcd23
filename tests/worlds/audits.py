"""Audits of models whose shortcut, or whose lesions, are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tests.worlds.files import save, write_table

import assay
from assay.audit.verdicts_file import SCHEMA_FILE
from assay.cli import main

SIDE, COUNT = 24, 160
MARKS: dict[str, Any] = {
    "tag": [{"tag": {"size": size, "shape": "rectangle", "contrast": 1.0}} for size in (0.15, 0.2, 0.25)],
    "left": [{"tag": {"size": 0.2, "x": 0.12, "y": 0.9, "shape": "rectangle"}}] * 3,
    "wide": [{"text-line": {"size": 0.9}}] * 3,
}
CALLS: list[int] = []
"""Images in each batch that a model of this file was given."""


def images(folder: Path, count: int = COUNT, one_class: bool = False) -> dict[str, Any]:
    """Gray noise whose middle is brighter in class 1, with columns of several kinds."""
    draws = np.random.default_rng(0)
    rows: list[list[object]] = [["image", "label", "who", "sex", "age", "id"]]
    for at in range(count):
        label = 0 if one_class else at % 2
        pixels = draws.integers(60, 140, (SIDE, SIDE))
        pixels[8:16, 8:16] += int(draws.normal(14 * label, 12))
        save(folder / f"{at}.png", pixels.clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", label, f"Smith{at}", "fm"[at // 2 % 2], draws.integers(20, 90), f"x{at}"])
    write_table(folder / "data.csv", rows)
    return of_folder(folder)


def of_folder(folder: Path) -> dict[str, Any]:
    """The images that were written to a folder, as an audit takes them."""
    factors = {"sex": "categorical", "age": "continuous", "id": "categorical"}
    return {"folder": str(folder), "target": "label", "patient": "who", "size": SIDE, "factors": factors}


def middle(images: np.ndarray) -> np.ndarray:
    CALLS.append(len(images))
    return np.asarray(40 * (images[:, 0, 8:16, 8:16].mean((1, 2)) - 0.42))


def shortcut(images: np.ndarray) -> np.ndarray:
    """The middle, and how bright the upper right corner is, where the tag is."""
    return middle(images) + 8 * images[:, 0, :5, 17:23].mean((1, 2))


def audited(
    model: Callable[[np.ndarray], Any], data: dict[str, Any], out: Path | None = None, **more: Any
) -> assay.Audit:
    given: dict[str, Any] = {"marks": MARKS, "distortions": ["gaussian-noise"], "progress": False, **more}
    found = assay.audit(model, data, out=out, **given)
    require_valid(found.folder)
    return found


def require_valid(folder: Path) -> dict[str, Any]:
    """Return `verdicts.json`. Raises ValidationError unless it follows the schema in the package."""
    document = json.loads((folder / "verdicts.json").read_text())
    _schema().validate(document)
    return document


@cache
def _schema() -> Any:
    """The checked schema of `verdicts.json`: checking it takes longer than checking a document by it."""
    schema = json.loads(SCHEMA_FILE.read_text())
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    return validator(schema)


def verdicts(found: assay.Audit) -> dict[str, str]:
    table = found.table("verdicts")
    return dict(zip(table.factor, table.verdict, strict=True))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit status."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return int(end.value.code or 0)


# Segmentations whose answers are known.

LESION_MARKS: dict[str, Any] = {
    "tag": [{"tag": {"size": size, "shape": "rectangle", "contrast": 1.0}} for size in (0.25, 0.4, 0.5)],
    "small": [{"tag": {"size": 0.12, "shape": "rectangle", "contrast": 1.0}}] * 3,
    "upper": [{"tag": {"size": 0.4, "shape": "rectangle", "contrast": 1.0, "x": 0.8, "y": 0.2}}] * 3,
}


def lesions(folder: Path, without: bool = True, count: int = 140) -> dict[str, Any]:
    """Dark noise with a bright square in the lower left, its mask, and where asked images without one."""
    draws = np.random.default_rng(0)
    rows: list[list[object]] = [["image", "mask", "sex"]]
    for at in range(count):
        pixels, mask = draws.integers(20, 90, (SIDE, SIDE)), np.zeros((SIDE, SIDE), dtype=np.uint8)
        if not without or at % 2:
            mask[14:20, 3:9] = 255
            pixels[14:20, 3:9] = draws.integers(190, 230, (6, 6))
        save(folder / f"{at}.png", pixels.astype(np.uint8))
        save(folder / f"{at}-mask.png", mask)
        rows.append([f"{at}.png", f"{at}-mask.png", "fm"[at // 2 % 2]])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "lesion", "mask": "mask", "size": SIDE, "factors": {"sex": "categorical"}}


def bright(images: np.ndarray) -> np.ndarray:
    """Call every bright pixel lesion."""
    return np.asarray(30 * (images[:, :1] - 0.6))


def lower(images: np.ndarray) -> np.ndarray:
    """Call every bright pixel of the lower half lesion."""
    found = bright(images)
    found[:, :, : SIDE // 2] = -10
    return found
