"""The kinds of the natural-like phantom: which law draws each. Torch-free, so that a catalogue can import it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assay.core.types import Factor

Family = Literal["leaves", "noise", "fractal"]

MOST = 60
"""How many kinds there are at most: twenty of each family."""

EXPONENTS = (2.0, 2.7, 3.3, 4.0)
"""Of the density of leaves' radii, r^-a: the higher, the more small leaves."""
OUTLINES = ("disc", "ellipse", "square", "triangle", "bar")
SLOPES = (1.2, 1.8, 2.4, 3.0)
"""Of the power spectrum of noise, f^-a: the higher, the smoother."""
FORMS = ("plain", "streaks", "folds", "bands", "patches")


@dataclass(frozen=True, slots=True)
class Law:
    """What draws a kind. number: its place in the family. form, exponent: of leaves and noise; empty for a fractal."""

    family: Family
    number: int
    form: str = ""
    exponent: float = 0.0

    @property
    def name(self) -> str:
        """Such as `leaves-disc-2.7`, `noise-folds-1.8` or `fractal-07`."""
        return f"{self.family}-{self.form}-{self.exponent:.1f}" if self.form else f"{self.family}-{self.number:02d}"


def _law(kind: int) -> Law:
    """Families take turns; within one, five forms and four exponents meet in all twenty ways."""
    number = kind // 3
    if kind % 3 == 2:
        return Law("fractal", number)
    if kind % 3 == 1:
        return Law("noise", number, FORMS[number % 5], SLOPES[number % 4])
    return Law("leaves", number, OUTLINES[number % 5], EXPONENTS[number % 4])


LAWS = tuple(_law(kind) for kind in range(MOST))
"""All kinds in their order."""


def natural_factors(classes: int) -> tuple[Factor, ...]:
    """The phantom's factors with so many kinds, the first ones of `LAWS`."""
    levels = tuple(law.name for law in LAWS[:classes])
    return (
        Factor(
            "kind",
            "categorical",
            "core",
            levels=levels,
            high=levels[classes // 2 :],
            description="the law that draws it",
        ),
        Factor("scale", "continuous", range=(0.7, 1.4), description="how near the scene is seen"),
        Factor("contrast", "continuous", range=(0.4, 1.0), description="spread of grey levels"),
        Factor("illumination", "continuous", range=(0.0, 1.0), description="how uneven the light is"),
    )
