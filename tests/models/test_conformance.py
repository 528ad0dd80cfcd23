from __future__ import annotations

from typing import Any, ClassVar

from assay.testing.models import TrainingConformance


class TestCrossEntropy(TrainingConformance):
    loss = "cross-entropy"


class TestThreeStepSegmentation(TrainingConformance):
    task = "segmentation"
    loss = "tests.training.objectives:ThreeSteps"
    architecture = "tests.training.objectives:dense_network"


class TestMovingTeacher(TrainingConformance):
    loss = "tests.training.objectives:MovingTeacher"


class TestScheduledSum(TrainingConformance):
    task = "segmentation"
    loss = "weighted-sum"
    params: ClassVar[dict[str, Any]] = {
        "terms": [
            {"loss": "cross-entropy", "schedule": "linear"},
            {"loss": "dice", "schedule": "step", "start": 0, "end": 1, "at": 0.5},
        ]
    }
    architecture = "tests.training.objectives:dense_network"
    selection = "last"
