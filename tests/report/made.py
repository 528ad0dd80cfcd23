"""What a made-up study has: its axes, its probes, and the levels that its numbers are drawn around."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

NAN = math.nan
LEVELS = {"cross-entropy": 0.78, "supcon": 0.75, "triplet": 0.62, "pairwise-contrastive": 0.55, "arcface": 0.46}
SHIFTS = {"same": 0.22, "neutral": 0.12, "reversed": 0.0, "conflict": 0.08, "faint": -0.02, "origin-b": 0.05}


@dataclass(frozen=True)
class Made:
    """What a made-up study has: its losses, its budgets, its seeds, and which probes were run. more: further axes."""

    losses: tuple[str, ...] = tuple(LEVELS)
    budgets: tuple[str, ...] = ("10", "20", "40")
    seeds: int = 5
    environments: tuple[str, ...] = tuple(SHIFTS)
    probes: tuple[str, ...] = ("performance", "reliance", "decodability")
    classes: tuple[str, ...] = ("",)
    question: str = "Which feature does each loss make a network learn, and what does that cost under shift?"
    contrasts: bool = True
    pictures: bool = True
    all_failed: bool = False
    more: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def recipes(self) -> list[tuple[str, dict[str, str]]]:
        """Label and coordinates of every recipe."""
        axes = {"loss": self.losses, "epochs": self.budgets, **dict(self.more)}
        wide = {axis: values for axis, values in axes.items() if len(values) > 1}
        found = [dict(zip(wide, values, strict=True)) for values in itertools.product(*wide.values())]
        return [(" · ".join(at.values()) or self.losses[0], at) for at in found]
