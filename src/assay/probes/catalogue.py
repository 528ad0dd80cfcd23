"""Probes by name, declared without importing what they need."""

from __future__ import annotations

from pydantic import Field

from assay.core.registry import Params, register


class PerformanceParams(Params):
    """Arguments of `performance`."""

    smallest_group: int = Field(20, ge=1, description="images that a group needs to count for the worst group")


register(
    "probe",
    "performance",
    "assay.probes.performance:Performance",
    PerformanceParams,
    summary="AUROC, accuracy, calibration and their like per environment, worst environment and worst group",
)
