from __future__ import annotations

from tests.conformance.training import TrainingConformance


class TestCrossEntropy(TrainingConformance):
    loss = "cross-entropy"


class TestThreeStepSegmentation(TrainingConformance):
    loss = "tests.conformance.objectives:ThreeSteps"
    architecture = "tests.conformance.objectives:dense_network"


class TestMovingTeacher(TrainingConformance):
    loss = "tests.conformance.objectives:MovingTeacher"
