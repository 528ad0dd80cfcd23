"""Conformance suites for datasets, phantoms, interventions, architectures, losses, probes, stores and executors.

Inherit one in a test file of your own, say which component it is about, and run pytest:

    from assay.testing import LossConformance

    class TestMine(LossConformance):
        name = "my_losses:Mine"

Assay's own components inherit the same suites. Nothing else in Assay imports this package, which needs pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import pytest
except ImportError as error:
    raise ImportError("assay.testing needs pytest; install it with: pip install 'assay-imaging[testing]'") from error

if TYPE_CHECKING:
    from assay.testing.data import DatasetConformance, InterventionConformance, PhantomConformance
    from assay.testing.executor import ExecutorConformance
    from assay.testing.losses import DenseLossConformance, LossConformance
    from assay.testing.models import ArchitectureConformance, TrainingConformance
    from assay.testing.probe import ProbeConformance
    from assay.testing.store import StoreConformance

__all__ = [
    "ArchitectureConformance",
    "DatasetConformance",
    "DenseLossConformance",
    "ExecutorConformance",
    "InterventionConformance",
    "LossConformance",
    "PhantomConformance",
    "ProbeConformance",
    "StoreConformance",
    "TrainingConformance",
]

_MODULES = {
    "ArchitectureConformance": "assay.testing.models",
    "DatasetConformance": "assay.testing.data",
    "DenseLossConformance": "assay.testing.losses",
    "ExecutorConformance": "assay.testing.executor",
    "InterventionConformance": "assay.testing.data",
    "LossConformance": "assay.testing.losses",
    "PhantomConformance": "assay.testing.data",
    "ProbeConformance": "assay.testing.probe",
    "StoreConformance": "assay.testing.store",
    "TrainingConformance": "assay.testing.models",
}
pytest.register_assert_rewrite(*set(_MODULES.values()))  # a failure then shows its values


def __getattr__(name: str) -> Any:
    """Import a suite on first use, so that a test of the store need not wait for PyTorch."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'assay.testing' has no attribute '{name}'")
