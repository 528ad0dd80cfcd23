"""What images without a lesion count for: the published table, counted by hand, and as it stands on the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("empty_masks", ROOT / "benchmarks/empty_masks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_conventions_follow_from_the_mean_and_the_frames_left_empty(script: ModuleType) -> None:
    """Cross-entropy: (220 x 0.8733 - 14) / 200 over polyps, and 200 of that over 206 frames, or over 220."""
    polyps = (220 * 0.8733 - 14) / 200
    counted = script.counted(0.8733, 14)
    assert counted == pytest.approx(
        {"lesions": polyps, "one": 0.8733, "skip": 200 * polyps / 206, "zero": 200 * polyps / 220}
    )


def test_the_page_shows_what_the_script_prints(script: ModuleType) -> None:
    assert script.table(script.published()) in (ROOT / "docs/empty-masks.md").read_text(encoding="utf-8")
