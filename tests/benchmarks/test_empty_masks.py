"""What images without a lesion count for: the published table, counted by hand, and as it stands on the page."""

from __future__ import annotations

import pytest
from tests.worlds.scripts import ROOT, script

EMPTY = script("benchmarks/empty_masks.py")


def test_conventions_follow_from_the_mean_and_the_frames_left_empty() -> None:
    """Cross-entropy: (220 x 0.8733 - 14) / 200 over polyps, and 200 of that over 206 frames, or over 220."""
    polyps = (220 * 0.8733 - 14) / 200
    counted = EMPTY.counted(0.8733, 14)
    assert counted == pytest.approx(
        {"lesions": polyps, "one": 0.8733, "skip": 200 * polyps / 206, "zero": 200 * polyps / 220}
    )


def test_the_page_shows_what_the_script_prints() -> None:
    assert EMPTY.table(EMPTY.published()) in (ROOT / "docs/empty-masks.md").read_text(encoding="utf-8")
