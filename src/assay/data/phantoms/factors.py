"""The factors of each phantom, in a place that a catalogue can import: checking a spec needs no PyTorch."""

from __future__ import annotations

from assay.core.types import Factor

NODULE = (
    Factor("margin", "continuous", "core", range=(0.0, 1.0), description="0 smooth to 1 spiculated"),
    Factor(
        "texture",
        "categorical",
        levels=("solid", "part-solid", "ground-glass"),
        high=("part-solid", "ground-glass"),
        description="how dense the nodule is",
    ),
    Factor("size", "continuous", unit="mm", range=(6.0, 18.0), description="diameter of the circle of equal area"),
    Factor("contrast", "continuous", unit="HU", range=(550.0, 950.0), description="solid part over parenchyma"),
    Factor("position_x", "continuous", unit="mm", range=(-6.0, 6.0), description="to the right of the middle"),
    Factor("position_y", "continuous", unit="mm", range=(-6.0, 6.0), description="below the middle"),
    Factor("elongation", "continuous", range=(1.0, 1.6), description="long over short axis, at equal area"),
    Factor("vessel", "categorical", levels=("none", "attached"), high=("attached",), description="a feeding vessel"),
)
