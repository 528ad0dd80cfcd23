"""Assay measures which features a medical-imaging model has learned, and whether they generalize.

Examples:
    >>> import assay
    >>> study = assay.load("nodule-loss", scale="quick").set("recipe.batch_size", 64)
    >>> study.spec.name
    'nodule-loss'

    Training takes minutes:

        run = study.run()
        run.table("contrasts")
        run.report()
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.api import (
        Audit,
        Look,
        Probed,
        Run,
        Study,
        audit,
        compare,
        load,
        load_model,
        look,
        open_run,
        probe,
        validate,
    )
    from assay.shifts.intervention import intervention

__all__ = [
    "Audit",
    "Look",
    "Probed",
    "Run",
    "Study",
    "audit",
    "compare",
    "intervention",
    "load",
    "load_model",
    "look",
    "open_run",
    "probe",
    "validate",
]

for _name, _value in (
    ("ORT_DISABLE_TELEMETRY", "1"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
):
    os.environ.setdefault(_name, _value)  # these libraries send data on their use unless they read this first

_MODULE_OF_NAME = {"intervention": "assay.shifts.intervention"}
for _package in ("audit", "compare", "look", "validate"):
    import_module(f"assay.{_package}")  # binds its name here, which is that of a function
    del globals()[_package]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `assay --help` need not wait for PyTorch."""
    if name in ("plugin", "testing"):
        return import_module(f"assay.{name}")
    if name in __all__:
        return getattr(import_module(_MODULE_OF_NAME.get(name, "assay.api")), name)
    raise AttributeError(f"module 'assay' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted(__all__)
