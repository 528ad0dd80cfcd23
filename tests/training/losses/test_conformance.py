"""Every registered loss for classification passes the conformance suite, in each form it can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.plugin import entries
from assay.testing.losses import LossConformance


def suite(name: str, params: Mapping[str, Any] | None = None, **promises: Any) -> dict[str, Any]:
    return {"__module__": __name__, "name": name, "params": params or {}, **promises}


SUITES = {
    "CrossEntropy": suite("cross-entropy"),
    "WeightedCrossEntropy": suite("weighted-cross-entropy"),
    "LabelSmoothing": suite("label-smoothing"),
    "Focal": suite("focal"),
    "FocalBelowOne": suite("focal", {"gamma": 0.5}),
    "PairwiseContrastive": suite("pairwise-contrastive"),
    "PairwiseContrastiveOnFeatures": suite("pairwise-contrastive", {"normalize": False}),
    "TripletSemiHard": suite("triplet", needs_distance=True, needs_negative=True, needs_positive=True),
    "TripletHard": suite("triplet", {"mining": "hard"}, needs_negative=True, needs_positive=True),
    "TripletHardSoft": suite(
        "triplet", {"mining": "hard", "soft": True, "normalize": False}, needs_negative=True, needs_positive=True
    ),
    "NPair": suite("n-pair", needs_negative=True, needs_positive=True),
    "LiftedStructure": suite("lifted-structure", needs_negative=True, needs_positive=True),
    "SupCon": suite("supcon", needs_negative=True, needs_positive=True),
    "SupConProjected": suite("supcon", {"projection": "mlp", "embedding": 4}, needs_negative=True, needs_positive=True),
    "SupConJoint": suite("supcon", {"head": "joint", "weight": 0.5}),
    "NTXent": suite("nt-xent"),
    "ArcFace": suite("arcface"),
    "NormalisedSoftmax": suite("normalized-softmax", {"projection": "linear", "embedding": 3}),
    # weights of circle are constants of the step; its gradient is checked by hand in test_pairs
    "Circle": suite("circle", differentiable=False, needs_negative=True, needs_positive=True),
    "CrossEntropySupCon": suite("cross-entropy-supcon"),
}
globals().update({f"Test{title}": type(f"Test{title}", (LossConformance,), body) for title, body in SUITES.items()})


def test_no_classification_loss_is_left_out() -> None:
    modules = ("assay.training.losses.classification:", "assay.training.losses.embedding:")
    registered = {entry.name for entry in entries("loss") if entry.target.startswith(modules)}
    suites = (suite for suite in LossConformance.__subclasses__() if suite.__module__ == __name__)
    assert registered == {suite.name for suite in suites}
