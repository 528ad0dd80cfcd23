"""Every registered loss for segmentation passes the conformance suite, in each form it can take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from assay.plugin import AssayError, Batch, DataError, LossContext, Outputs, SpecError, build, entries
from assay.testing.losses import PROGRESS, DenseLossConformance, batch_of, lesions, random_outputs

CONTEXT = LossContext(6, 2, (30, 20), dense=True)
TERMS = [{"loss": "dice"}, {"loss": "boundary", "schedule": "linear", "start": 0.01, "end": 1}]


def suite(name: str, params: Mapping[str, Any] | None = None, **promises: Any) -> dict[str, Any]:
    return {"__module__": __name__, "name": name, "params": params or {}, **promises}


SUITES = {
    "CrossEntropy": suite("cross-entropy"),
    "WeightedCrossEntropy": suite("weighted-cross-entropy"),
    "LabelSmoothing": suite("label-smoothing"),
    "Focal": suite("focal"),
    "Dice": suite("dice"),
    "DicePerBatchWithoutSmoothing": suite("dice", {"reduce": "batch", "smoothing": 0, "background": True}),
    "Tversky": suite("tversky"),
    "FocalTversky": suite("tversky", {"exponent": 0.75}),
    "Boundary": suite("boundary", steps=200),  # linear in p: the gradient is small where the network is sure and wrong
    "Hausdorff": suite("hausdorff"),
    "Mcc": suite("mcc"),
    "MccPerBatch": suite("mcc", {"reduce": "batch", "background": True}),
    "CrossEntropyDice": suite("cross-entropy-dice"),
    "CrossEntropyDiceByEpoch": suite("cross-entropy-dice", {"schedule": "linear", "reduce": "batch"}),
    "WeightedSum": suite("weighted-sum", {"terms": TERMS}),
}
FURTHER = (
    "DicePerBatchWithoutSmoothing", "FocalTversky", "Boundary", "MccPerBatch", "CrossEntropyDiceByEpoch", "WeightedSum",
)  # fmt: skip
"""Forms whose traits another one has: the gate leaves them to `make nightly`."""
for title in FURTHER:
    SUITES[title]["pytestmark"] = pytest.mark.nightly
globals().update(
    {f"Test{title}": type(f"Test{title}", (DenseLossConformance,), body) for title, body in SUITES.items()}
)


FOR_SEGMENTATION = sorted(
    entry.name for entry in entries("loss") if "segmentation" in getattr(entry.traits, "tasks", ())
)


def objective(name: str) -> Any:
    return build("loss", name, {"terms": TERMS} if name == "weighted-sum" else {}, CONTEXT)


def test_no_loss_for_segmentation_is_left_out() -> None:
    suites = (suite for suite in DenseLossConformance.__subclasses__() if suite.__module__ == __name__)
    assert set(FOR_SEGMENTATION) == {suite.name for suite in suites}


@pytest.mark.parametrize("name", FOR_SEGMENTATION)
def test_nothing_is_ignored_silently(name: str) -> None:
    """A label without a channel, masks of another size, no masks, logits of images."""
    made, outputs, masks = objective(name), random_outputs(4, size=(8, 8)), lesions(4)

    def refused(outputs: Outputs, batch: Batch) -> AssayError:
        with pytest.raises(AssayError) as error:
            made.loss(outputs, batch, PROGRESS)
        return error.value

    unknown = refused(outputs, batch_of(7 * masks))
    assert str(unknown) == (
        "the masks hold the label 7, but the network has 2 channels: labels run from 0 (background) to 1"
    )
    smaller = refused(outputs, batch_of(masks[:, :6]))
    assert str(smaller) == (
        "the network gives logits of 8 x 8 pixels for masks of 8 x 6: its logits must have the size of its input"
    )
    without = refused(outputs, batch_of(torch.zeros(4).long()))
    assert str(without) == ("this loss compares every pixel with a mask, but the images have none: use data with masks")
    of_images = refused(random_outputs(4), batch_of(masks))
    assert str(of_images) == (
        "this loss compares every pixel with a mask, but the network gives logits of shape (4, 2): "
        "use a segmentation architecture, or a loss for classification"
    )
    assert [type(error) for error in (unknown, smaller, without, of_images)] == [DataError] * 3 + [SpecError]


def test_a_training_set_without_lesions_cannot_be_weighted() -> None:
    with pytest.raises(DataError, match=r"number of training pixels, which are 4096, 0:"):
        build("loss", "weighted-cross-entropy", {}, LossContext(6, 2, (4096, 0), dense=True))


@pytest.mark.nightly
def test_cross_entropy_of_pixels_needs_no_other_library() -> None:
    """And what MONAI computes is imported with the first loss that needs it."""
    code = (
        "import sys\nfrom assay.core.registry import build\nfrom assay.training.objective import LossContext\n"
        "context = LossContext(4, 2, (5, 5), dense=True)\n"
        "for name in ('cross-entropy', 'focal'):\n"
        "    build('loss', name, {}, context)\n"
        "assert 'monai' not in sys.modules\n"
        "build('loss', 'dice', {}, context)\n"
        "assert 'monai' in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
