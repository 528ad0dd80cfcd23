"""Every registered loss for classification passes the conformance suite, in each form it can take."""

from __future__ import annotations

from typing import Any, ClassVar

from assay.core.registry import entries
from assay.testing.losses import LossConformance


class TestCrossEntropy(LossConformance):
    name = "cross-entropy"


class TestWeightedCrossEntropy(LossConformance):
    name = "weighted-cross-entropy"


class TestLabelSmoothing(LossConformance):
    name = "label-smoothing"


class TestFocal(LossConformance):
    name = "focal"


class TestFocalBelowOne(LossConformance):
    name = "focal"
    params: ClassVar[dict[str, Any]] = {"gamma": 0.5}


class TestPairwiseContrastive(LossConformance):
    name = "pairwise-contrastive"


class TestPairwiseContrastiveOnFeatures(LossConformance):
    name = "pairwise-contrastive"
    params: ClassVar[dict[str, Any]] = {"normalize": False}


class TestTripletSemiHard(LossConformance):
    name = "triplet"
    needs_positive = needs_negative = needs_distance = True


class TestTripletHard(LossConformance):
    name = "triplet"
    params: ClassVar[dict[str, Any]] = {"mining": "hard"}
    needs_positive = needs_negative = True


class TestTripletHardSoft(LossConformance):
    name = "triplet"
    params: ClassVar[dict[str, Any]] = {"mining": "hard", "soft": True, "normalize": False}
    needs_positive = needs_negative = True


class TestNPair(LossConformance):
    name = "n-pair"
    needs_positive = needs_negative = True


class TestLiftedStructure(LossConformance):
    name = "lifted-structure"
    needs_positive = needs_negative = True


class TestSupCon(LossConformance):
    name = "supcon"
    needs_positive = needs_negative = True


class TestSupConProjected(LossConformance):
    name = "supcon"
    params: ClassVar[dict[str, Any]] = {"projection": "mlp", "embedding": 4}
    needs_positive = needs_negative = True


class TestSupConJoint(LossConformance):
    name = "supcon"
    params: ClassVar[dict[str, Any]] = {"head": "joint", "weight": 0.5}


class TestNTXent(LossConformance):
    name = "nt-xent"


class TestArcFace(LossConformance):
    name = "arcface"


class TestNormalisedSoftmax(LossConformance):
    name = "normalized-softmax"
    params: ClassVar[dict[str, Any]] = {"projection": "linear", "embedding": 3}


class TestCircle(LossConformance):
    name = "circle"
    needs_positive = needs_negative = True
    differentiable = False  # its weights are constants of the step; checked by hand in test_pairs


class TestCrossEntropySupCon(LossConformance):
    name = "cross-entropy-supcon"


class TestCoral(LossConformance):
    name = "coral"


class TestCorn(LossConformance):
    name = "corn"


class TestGradeRegression(LossConformance):
    name = "grade-regression"


def test_no_classification_loss_is_left_out() -> None:
    modules = (
        "assay.training.losses.classification:",
        "assay.training.losses.embedding:",
        "assay.training.losses.library:",
    )
    registered = {entry.name for entry in entries("loss") if entry.target.startswith(modules)}
    suites = (suite for suite in LossConformance.__subclasses__() if suite.__module__ == __name__)
    assert registered == {suite.name for suite in suites}
