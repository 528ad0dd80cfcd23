"""What every loss for segmentation must do, beyond what every loss must."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from assay.plugin import Outputs
from assay.recipes.untyped import go_back
from assay.testing.loss import PROGRESS, LossConformance, assert_finite, batch_of, lesions, random_outputs


def kinds(images: int) -> Tensor:
    """Label maps of three kinds of lesion, the last of which no image shows."""
    masks = lesions(images)
    masks[:, 4:] *= 2
    return masks


class DenseLossConformance(LossConformance):
    """`LossConformance` for a loss that compares logits [b, k, h, w] with label maps; its context is dense.

    Proven besides: Bool and uint8 masks give the same value; several kinds of lesion, one of them in no image of the
    batch, give a finite one; it stays finite, with finite gradients, where the network is sure of everything, right or
    wrong, whatever the masks show (nothing, all lesion, a single pixel); it asks for masks; where it has a loss of each
    image (`each`), that is the loss of the image alone, and their mean is the loss.
    """

    dense: ClassVar[bool] = True

    def test_asks_for_masks(self) -> None:
        assert self.make().needs_masks, "set needs_masks = True: the loop carries masks only where they are asked for"

    def test_bool_and_uint8_masks_say_the_same(self) -> None:
        objective = self.make()
        outputs, target = self.example(objective)
        assert torch.equal(self.value(objective, outputs, target.bool()), self.value(objective, outputs, target))

    def test_several_kinds_of_lesion(self) -> None:
        objective = self.make(counts=(40, 10, 5, 5))
        outputs = random_outputs(5, classes=4, size=self.size)
        loss = self.value(objective, outputs, kinds(5))
        go_back(loss)
        assert_finite(objective, outputs, loss)

    @pytest.mark.parametrize("shown", ["nothing", "all", "one pixel", "squares"])
    @pytest.mark.parametrize("logit", [1e4, 30.0, -30.0, -1e4])
    def test_certainty_of_anything_is_finite(self, shown: str, logit: float) -> None:
        objective = self.make()
        target = {"nothing": torch.zeros, "all": torch.ones}.get(shown, torch.zeros)(3, *self.size, dtype=torch.uint8)
        if shown == "one pixel":
            target[:, 2, 3] = 1
        if shown == "squares":
            target = lesions(3)
        logits = torch.zeros(3, 2, *self.size)
        logits[:, 1] = logit
        outputs = Outputs(random_outputs(3).features, logits.requires_grad_())
        loss = self.value(objective, outputs, target)
        go_back(loss)
        assert_finite(objective, outputs, loss)

    def test_the_loss_of_each_image_is_that_of_the_image_alone(self) -> None:
        objective = self.make().double()
        outputs, target = self.example(objective, images=6)
        wide = Outputs(outputs.features.double(), outputs.logits.double())
        each = objective.each(wide, batch_of(target), PROGRESS)
        if each is None:
            return
        torch.testing.assert_close(each.mean(), self.value(objective, wide, target), rtol=1e-10, atol=1e-12)
        for i in range(len(target)):
            alone = Outputs(wide.features[i : i + 1], wide.logits[i : i + 1])
            expected = self.value(objective, alone, target[i : i + 1])
            torch.testing.assert_close(each[i], expected, rtol=1e-10, atol=1e-12)
