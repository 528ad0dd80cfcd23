"""Conformance suites for datasets, phantoms, interventions, architectures, losses and probes.

Inherit one in a test file of your own, say which component it is about, and run pytest:

    from assay.testing import LossConformance

    class TestMine(LossConformance):
        name = "my_losses:Mine"

Assay's own components inherit the same suites. Nothing else in Assay imports this package, which needs pytest.
"""

from __future__ import annotations

try:
    import pytest
except ImportError as error:
    raise ImportError("assay.testing needs pytest; install it with: pip install 'assay-imaging[testing]'") from error

pytest.register_assert_rewrite(
    *(f"assay.testing.{part}" for part in ("data", "losses", "models", "probe"))
)  # a failure then shows its values

from assay.testing.data import DatasetConformance, InterventionConformance, PhantomConformance  # noqa: E402
from assay.testing.losses import DenseLossConformance, LossConformance  # noqa: E402
from assay.testing.models import ArchitectureConformance, TrainingConformance  # noqa: E402
from assay.testing.probe import ProbeConformance  # noqa: E402

__all__ = [
    "ArchitectureConformance",
    "DatasetConformance",
    "DenseLossConformance",
    "InterventionConformance",
    "LossConformance",
    "PhantomConformance",
    "ProbeConformance",
    "TrainingConformance",
]
