"""The measures that a contrast can name, what each needs said, and the probe that yields it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MeasureName:
    """A measure as a spec names it. `needs` lists the contrast's fields without which it is ambiguous."""

    name: str
    probe: str
    needs: tuple[str, ...] = ()


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
_RELIANCE = ("sobol-first", "sobol-total", "flip-rate", "logit-effect", "logit-effect-absolute")

MEASURES: dict[str, MeasureName] = {
    **{name: MeasureName(name, "performance", ("environment",)) for name in _PERFORMANCE},
    **{name: MeasureName(name, "reliance", ("factor",)) for name in _RELIANCE},
    "decodability": MeasureName("decodability", "decodability", ("factor", "layer")),
}
