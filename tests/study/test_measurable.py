"""A contrast whose environment lacks the images that its measure is about is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import plan_tiny

from assay.plugin import SpecError

SEGMENTED: dict[str, Any] = {
    "data": {"phantom": "endoscopy", "core": "lesion", "target": "lesion", "size": 64, "train": 24, "validation": 16,
             "test": 16},
    "environments": {"train": {}, "lesions": {"where": {"lesion": "present"}},
                     "lesion-free": {"where": {"lesion": "absent"}}, "both": {}},
    "recipe": {"task": "segmentation", "loss": ["cross-entropy", "dice"], "epochs": 1, "batch_size": 8},
    "probes": ["performance", "segmentation", "lesion-free"],
}  # fmt: skip


def contrasts(*asked: tuple[str, str]) -> list[dict[str, str]]:
    return [
        {"axis": "loss", "against": "cross-entropy", "measure": measure, "environment": environment}
        for measure, environment in asked
    ]


@pytest.mark.parametrize(
    ("measure", "environment", "why"),
    [
        ("dice", "lesion-free", "'dice' needs images with a lesion, and none there has one"),
        ("false-positive-rate", "lesions",
         "'false-positive-rate' needs images without a lesion, and all there have one"),
        ("auroc", "lesions", "'auroc' needs images of two classes, and all there are of class 'present'"),
    ],
)  # fmt: skip
def test_it_says_which_images_are_missing(tmp_path: Path, measure: str, environment: str, why: str) -> None:
    asked = contrasts(("dice", "both"), (measure, environment))
    with pytest.raises(SpecError) as refused:
        plan_tiny(tmp_path / "run", **SEGMENTED, contrasts=asked)
    assert str(refused.value) == (
        f"contrasts in environment '{environment}': {why}; compare it in another environment, or another measure in "
        "this one"
    )
    assert not (tmp_path / "run").exists()


def test_what_these_images_can_define_is_planned(tmp_path: Path) -> None:
    """Among it a convention for empty masks, which gives lesion-free images a value."""
    asked = contrasts(
        ("dice", "lesions"), ("false-positive-rate", "lesion-free"), ("auroc", "both"), ("dice-one", "lesion-free")
    )
    assert plan_tiny(tmp_path / "run", **SEGMENTED, contrasts=asked).plan.trials


def test_a_classifier_that_is_trained_on_one_class_is_refused(tmp_path: Path) -> None:
    """A network of segmentation may be trained on lesions alone."""
    train = {**SEGMENTED["environments"], "train": {"where": {"lesion": "present"}}}
    asked = contrasts(("auroc", "both"))
    recipe = {"loss": ["cross-entropy", "focal"], "epochs": 1, "batch_size": 8}
    of_lesions = {**SEGMENTED, "environments": train, "contrasts": asked}
    assert plan_tiny(tmp_path / "maps", **of_lesions).plan.trials
    with pytest.raises(SpecError) as refused:
        plan_tiny(tmp_path / "run", **{**of_lesions, "recipe": recipe, "probes": ["performance"]})
    assert str(refused.value) == (
        "environment 'train': all 24 training images are of class 'present', and a classifier needs images of two "
        "classes: check `where` of train and data.split.test_only"
    )
