from __future__ import annotations

from assay.testing.training import TrainingConformance


class TestCrossEntropy(TrainingConformance):
    loss = "cross-entropy"


class TestThreeStepSegmentation(TrainingConformance):
    loss = "tests.recipes.objectives:ThreeSteps"
    architecture = "tests.recipes.objectives:dense_network"


class TestMovingTeacher(TrainingConformance):
    loss = "tests.recipes.objectives:MovingTeacher"
