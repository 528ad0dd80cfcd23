"""The families of ImageNet-C against imagecorruptions-imaug, which is given the same draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.shifts.drawn_again import MADE, levels_apart, planes

from assay.shifts.distortions.base import GROUPS, SEVERITIES

REFERENCE = np.load(Path(__file__).with_name("reference_distortions.npz"))
IMAGES = planes(REFERENCE["picture"]) / 255

WITHIN: dict[str, tuple[float, float]] = {
    **dict.fromkeys(MADE, (1, 1)),
    "glass-blur": (3, 1),
    "snow": (2, 0.99),
    "spatter": (1, 0.99),
    "pixelate": (2, 1),
    "jpeg-compression": (0, 1),
}
"""Family -> the tolerance in levels of 8 bits, the share of values within it."""

WATER = [("spatter", severity) for severity in (1, 2, 3)]


def differences(name: str, severity: int) -> np.ndarray:
    made = MADE[name](IMAGES, severity, np.random.RandomState(0))
    return levels_apart(made, REFERENCE[f"{name} {severity}"])


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", WITHIN)
def test_agrees_with_the_reference(name: str, severity: int) -> None:
    if (name, severity) in WATER:
        assert differences(name, severity).mean() < 3
        return
    tolerance, share = WITHIN[name]
    assert (differences(name, severity) <= tolerance).mean() >= share


def test_every_published_family_but_frost_is_compared() -> None:
    assert set(GROUPS["common"]) - set(WITHIN) == {"frost"}
