"""The measures that a contrast can name, what each needs said, and the probe that yields it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MeasureName:
    """A measure as a spec names it.

    needs: the fields of a contrast without which it is ambiguous. environment: the rows that its probe looks at of its
    own accord, where the contrast names no other.
    """

    name: str
    probe: str
    needs: tuple[str, ...] = ()
    environment: str = ""


_PERFORMANCE = (
    "auroc",
    "auroc-macro",
    "somers-d",
    "average-precision",
    "accuracy",
    "sensitivity",
    "specificity",
    "brier",
    "calibration-error",
    "log-loss",
    "quadratic-weighted-kappa",
)
_BY_VARIANCE = ("sobol-first", "sobol-total")
_BY_CHANGE = ("flip-rate", "logit-effect", "logit-effect-absolute")
NEUTRAL, INDEPENDENT = "(neutral)", "(independent)"

MEASURES: dict[str, MeasureName] = {
    **{name: MeasureName(name, "performance", ("environment",)) for name in _PERFORMANCE},
    **{name: MeasureName(name, "reliance", ("factor",)) for name in _BY_VARIANCE},
    **{name: MeasureName(name, "reliance", ("factor",), NEUTRAL) for name in _BY_CHANGE},
    "decodability": MeasureName("decodability", "decodability", ("factor", "layer"), INDEPENDENT),
}
