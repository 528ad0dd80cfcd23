"""Evidence from inside networks whose features and gradients are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.cases import first_of
from tests.worlds.files import save, write_table
from torch import nn

import assay
from assay.plugin import RunFolder

SIDE, COUNT = 16, 120
MARKS: dict[str, Any] = {"tag": [{"tag": {"size": 0.2}}] * 3}


class Corners(nn.Module):
    """Features: the mean of the upper left quarter, which is all that the head uses, and of the lower right one."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.0, 0.0], [40.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([0.0, -18.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        half = SIDE // 2
        parts = images[:, 0, 2:half, 2:half], images[:, 0, half:, half:]
        return self.head(torch.stack([part.mean((1, 2)) for part in parts], dim=1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Class 1 is brighter in the upper left, sex m in the lower right, age nowhere; the border is black."""
    folder, draws = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    rows: list[list[object]] = [["image", "label", "who", "sex", "age"]]
    for at in range(COUNT):
        label, sex = at % 2, at // 2 % 2
        pixels = draws.normal(100, 20, (SIDE, SIDE))
        pixels[: SIDE // 2, : SIDE // 2] += draws.normal(20 * label, 10)
        pixels[SIDE // 2 :, SIDE // 2 :] += 40 * sex
        pixels[:2] = pixels[:, :2] = 0
        save(folder / f"{at}.png", pixels.clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", label, f"p{at}", "fm"[sex], draws.integers(20, 90)])
    write_table(folder / "data.csv", rows)
    return {
        "folder": str(folder),
        "target": "label",
        "patient": "who",
        "size": SIDE,
        "factors": {"sex": "categorical", "age": "continuous"},
    }


def inside(model: Any, data: dict[str, Any], out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    assay.audit(model, data, out=out, marks=MARKS, distortions=[], progress=False, as_given=True)
    return {(row["kind"], row["name"]): row for row in RunFolder(out).table("inside")}


def test_columns_are_read_from_features_and_gradients_are_where_the_network_looks(
    data: dict[str, Any], tmp_path: Path
) -> None:
    found = inside(Corners(), data, tmp_path / "out")
    assert found["encoded", "sex"]["low"] > 0.95
    assert found["encoded", "age"]["low"] < 0.5 < found["encoded", "age"]["high"]
    background = found["gradient-on-background", ""]
    assert background["value"] == 0
    assert background["chance"] == pytest.approx(1 - (SIDE - 2) ** 2 / SIDE**2)
    assert "no-masks" in found["gradient-in-masks", ""]["reason"]
    assert "Inside the network: evidence, not a verdict" in (tmp_path / "out" / "report.html").read_text()
    verdicts = RunFolder(tmp_path / "out").table("verdicts")
    assert {row["factor"]: row["verdict"] for row in verdicts}["sex"] != "answers-differ-with", "encoded is not used"


def function(images: np.ndarray) -> np.ndarray:
    return np.asarray(40 * images[:, 0, 2:8, 2:8].mean((1, 2)) - 18)


class WithoutGradients(Corners):
    """A network that answers, and refuses to be differentiated."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("no gradients here")
        return super().forward(images)


@pytest.mark.parametrize(
    ("model", "code", "text"),
    first_of(
        [
            (function, "nothing-inside", "shows no layers and no gradients"),
            (WithoutGradients(), "no gradients here", "no gradients here"),
        ]
    ),
)
def test_an_audit_goes_on_where_a_model_cannot_be_looked_into(
    data: dict[str, Any], tmp_path: Path, model: Any, code: str, text: str
) -> None:
    found = inside(model, data, tmp_path / "out")
    assert len(found) == 3
    assert all(code in row["reason"] for row in found.values())
    assert RunFolder(tmp_path / "out").table("verdicts")
    assert text in (tmp_path / "out" / "report.html").read_text()
