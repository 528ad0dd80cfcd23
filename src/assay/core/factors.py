"""What is known about a study's factors before any image is read: from the phantom's declaration or the `factors:`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from assay.core.registry import build, lookup
from assay.core.spec import DataSpec
from assay.core.types import Factor


def known_factors(data: DataSpec) -> dict[str, Factor]:
    """Factor name -> factor. A phantom's Params class declares them as `FACTORS`, which imports nothing; of a phantom
    that does not, the phantom itself is asked.
    """
    if data.phantom is None:
        return {
            name: Factor(name, spec.kind, unit=spec.unit, levels=spec.levels, high=spec.high)
            for name, spec in data.factors.items()
        }
    declared: Any = getattr(lookup("phantom", data.phantom.name).params, "FACTORS", None)
    if declared is None:
        declared = build("phantom", data.phantom.name, data.phantom.params).factors
    return {factor.name: factor for factor in cast(tuple[Factor, ...], tuple(declared))}


def core_factor(data: DataSpec, factors: Mapping[str, Factor]) -> str:
    """The factor that defines a phantom's target: the one the study names, else the one that the phantom declares."""
    return data.core or next((name for name, factor in factors.items() if factor.role == "core"), "")
