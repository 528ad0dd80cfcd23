"""How often one-sided bounds of a swing, and of a loss of AUROC, miss the truth.

    python benchmarks/swing_simulation.py [--worlds 3000] [--full] [--out docs/results/swing-simulation.csv]

A mark moves the log-odds of binormal scores by the same amount, or by amounts that vary between images. Patients have
one image, or 1 to 8 of one class, and half of all variance is then theirs. A cell has at least 20 effective patients of
each class. Ten minutes of a core; --full has 3,000 images, more prevalences and the end of the scale, and takes an
hour.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from assay.audit.swing import AurocShift, effect_of_mark, effective_patients
from assay.audit.verdicts import LEAST_PATIENTS
from assay.core.seeds import generator
from assay.stats.bounds import BoundedEstimate

SWINGS, NUMBERS, SPREADS = (0.03, 0.05, 0.1, 0.2, 0.4), (100, 200, 1000), (0.0, 0.3)
IMAGES, PREVALENCES = (1, 8), (0.1, 0.5)
FULL = (*SWINGS, 0.47, 0.48, 0.49, 0.5), (100, 200, 400, 1000, 3000), (0.0, 0.1, 0.3), IMAGES, (0.1, 0.3, 0.5)
LEAST, MOST, WORST, ENDS = 0.035, 0.065, 0.08, 0.47
"""Shares of worlds that should be missed on a side, at most in the worst cell, and the swing from which they are only
reported."""
COLUMNS: Sequence[str] = ("g", "images", "spread", "most images", "prevalence", "effective", "worlds",
                          "below", "above", "loss below", "loss above")  # fmt: skip
DISTANCE = 1.5
"""Distance of the classes in standard deviations: an AUROC of 0.856."""


@dataclass(frozen=True)
class Cell:
    """A kind of audit.

    Attributes:
        g: True swing of the mark.
        images: Images of the audit.
        spread: Standard deviation of the mark's effect between images.
        most: Images of a patient at most; patients have 1 to so many in turn.
        prevalence: Share of positive images.
    """

    g: float
    images: int
    spread: float
    most: int
    prevalence: float

    @cached_property
    def patient(self) -> np.ndarray:
        """Patient of each image."""
        sizes = np.resize(np.arange(1, self.most + 1), self.images)
        return np.repeat(np.arange(self.images), sizes)[: self.images]

    @cached_property
    def target(self) -> np.ndarray:
        """Class of each image: that of its patient."""
        people = int(self.patient[-1]) + 1
        positive = generator(0, "swing-simulation").permutation(people) < round(self.prevalence * people)
        return positive[self.patient].astype(np.int64)

    @property
    def effective(self) -> float:
        """Effective patients of the smaller class."""
        return min(effective_patients(self.patient[self.target == code]) for code in (0, 1))

    @cached_property
    def shift(self) -> float:
        """What the mark adds."""
        if self.g >= 0.5:
            return 1e6
        found: Any = brentq(lambda x: _swing(x, self.spread) - self.g, 0, 50)  # without types
        return float(found)

    @property
    def loss(self) -> float:
        """AUROC lost with the mark on all images."""
        return _above(DISTANCE / math.sqrt(2)) - _above(DISTANCE / math.sqrt(2 + 2 * self.spread**2))

    def drawn(self, draws: np.random.Generator) -> AurocShift:
        """Return the swing in one world."""
        before = DISTANCE * self.target + self._noise(draws)
        after = before + self.shift + self.spread * self._noise(draws)
        return effect_of_mark(before[:, None], after[:, None], self.target, self.patient).largest

    def _noise(self, draws: np.random.Generator) -> np.ndarray:
        own = draws.normal(size=self.images)
        if self.most == 1:
            return own
        return np.sqrt(0.5) * (own + draws.normal(size=int(self.patient[-1]) + 1)[self.patient])


def _swing(shift: float, spread: float) -> float:
    deviation = math.sqrt(2 + spread**2)
    return (_above((DISTANCE + shift) / deviation) - _above((DISTANCE - shift) / deviation)) / 2


def _above(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def cells(full: bool) -> Iterator[Cell]:
    """Yield every cell with enough patients."""
    swings, numbers, spreads, images, prevalences = FULL if full else (SWINGS, NUMBERS, SPREADS, IMAGES, PREVALENCES)
    for one in (
        Cell(g, n, spread, most, prevalence)
        for most in images
        for prevalence in prevalences
        for n in numbers
        for spread in spreads
        for g in swings
    ):
        if one.effective >= LEAST_PATIENTS:
            yield one


def missed(found: list[BoundedEstimate], truth: float) -> tuple[float, float]:
    """Return the shares of worlds in which the truth is below the lower bound, and above the upper bound."""
    return float(np.mean([truth < one.low for one in found])), float(np.mean([truth > one.high for one in found]))


def row(cell: Cell, worlds: int) -> dict[str, object]:
    """Return a row of the table."""
    draws = generator(0, "swing-simulation", repr(cell))
    found = [cell.drawn(draws) for _ in range(worlds)]
    below, above = missed([one.g for one in found], cell.g)
    lost = missed([one.loss_on_all for one in found if one.loss_on_all], cell.loss)
    shown: dict[str, object] = {"g": cell.g, "images": cell.images, "spread": cell.spread, "most images": cell.most,
                                "prevalence": cell.prevalence, "effective": round(cell.effective, 1),
                                "worlds": worlds, "below": round(below, 4), "above": round(above, 4)}  # fmt: skip
    return {**shown, "loss below": round(lost[0], 4), "loss above": round(lost[1], 4)} if cell.spread else shown


def main() -> None:
    """Run the script."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--worlds", type=int, default=3000)
    arguments.add_argument("--full", action="store_true", help="the whole grid")
    arguments.add_argument("--out", type=Path, default=Path("docs/results/swing-simulation.csv"))
    given = arguments.parse_args()
    rows: list[dict[str, object]] = []
    for cell in cells(given.full):
        rows.append(row(cell, given.worlds))
        print(*rows[-1].values(), flush=True)
    with given.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    sides = [float(str(one[side])) for one in rows if float(str(one["g"])) < ENDS for side in ("below", "above")]
    inside = sum(LEAST <= one <= MOST for one in sides)
    print(f"{inside} of {len(sides)} sides from {LEAST} to {MOST}; worst {max(sides):.3f}, promised {WORST}")


if __name__ == "__main__":
    main()
