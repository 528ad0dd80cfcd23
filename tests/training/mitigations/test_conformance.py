"""Killed in the middle of an epoch, or of a phase, and resumed, mitigations with a state end the same bit for bit.

Those without one are stopped and continued in `test_recipes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from assay.testing.models import TrainingConformance

OWN = "tests.training.mitigations.own"


class TestAnObjectiveWithAState(TrainingConformance):
    mitigation = f"{OWN}:Reweighted"


class TestTwoPhases(TrainingConformance):
    mitigation = f"{OWN}:Twice"
    mitigation_params: ClassVar[Mapping[str, Any]] = {"epochs": 2}
