"""The bank of segmentation networks: small, from end to end, and its limits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn import functional

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import audit_segmentations  # noqa: E402
from audit_bank import SIDE, Pool, read  # noqa: E402


def discs(count: int = 400) -> tuple[Pool, np.ndarray]:
    """Noise, and in half of the images a bright disc, which is the lesion."""
    draws = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    target = np.arange(count) % 2
    at = draws.integers(16, 32, (count, 2, 1, 1))
    masks = ((rows - at[:, 0]) ** 2 + (columns - at[:, 1]) ** 2 < 25) & (target == 1)[:, None, None]
    images = 0.3 + 0.05 * draws.normal(size=(count, 1, SIDE, SIDE)) + 0.08 * masks[:, None]
    pixels = np.clip(images, 0, 1).astype(np.float32)
    return Pool(pixels, target, np.arange(count), np.zeros(count), (160, 80, 40)), masks


class Outlines(nn.Module):
    """Calls bright places a lesion; a network with a mark the more so, the brighter the lower right corner is."""

    def __init__(self, by_corner: float) -> None:
        super().__init__()
        self.by_corner = by_corner

    def forward(self, image: Tensor) -> Tensor:
        corner = image[:, :, -12:, -12:].mean((2, 3), keepdim=True) - 0.3
        return 40 * (functional.avg_pool2d(image, 3, 1, 1) - 0.36) + self.by_corner * corner


@pytest.mark.nightly
def test_a_small_bank_names_its_mark_goes_on_where_it_ended_and_writes_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit_segmentations, "pool", lambda _: discs())
    monkeypatch.setattr(audit_segmentations, "trained", lambda *words: Outlines(60.0 if words[-1] >= 3000 else 0.0))
    limits = tmp_path / "limits.json"
    words = ["--networks", "2", "1", "1", "--folder", str(tmp_path), "--write", str(limits)]
    monkeypatch.setattr(sys, "argv", ["audit_segmentations", *words])
    audit_segmentations.main()
    rows = read(tmp_path / "phantom-endoscopy" / "networks.csv")
    assert [(row["role"], row["mode"]) for row in rows[:2]] == [("reference", "train"), ("reference", "test")]
    marked = [row for row in rows if row["mark"]]
    assert all(abs(float(row["moves"])) > 1 and row["place place"] == "True" for row in marked)
    assert all(float(row["place z"]) < 0.3 for row in rows if not row["mark"])
    written = json.loads(limits.read_text())
    assert written.keys() == {"masks-trained", "masks-new"}
    assert {of["networks"] for of in written.values()} == {2}
    assert all(of["limits"] == {"place": 0.45, "drawn": 0.45} for of in written.values()), "the least that is reported"
    printed = capsys.readouterr().out
    assert "| planted: named | 1/1 [2, 100%] | 1/1 [2, 100%] |" in printed

    def never(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(audit_segmentations, "measured", never)
    audit_segmentations.main()
    assert json.loads(limits.read_text()) == written
