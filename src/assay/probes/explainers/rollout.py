"""An explainer that follows the attention of a vision transformer from the patches to its feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.probes.explainers.explainer import Subject
from assay.probes.explainers.layers import INSTEAD, enlarged
from assay.recipes.timm_transformers import WHICH, Transformer, transformer_of


class AttentionRollout:
    """Implements `Explainer`: how much of each patch reaches the network's feature, were attention all that moves it
    (Abnar and Zuidema 2020).

    Every block hands on half of a token as it is and half of what the token attends to, the mean over the heads; the
    product over the blocks says where each token of the last one comes from. The map is the row of the class token, or
    the mean row of the patches where the feature is their mean, brought to the image's size by linear interpolation.
    What comes from class token and registers lies nowhere in the image; pixels at an edge that fill no patch have 0.

    It is **not of a class**: the head, the values that are attended to and their signs play no part, so that an image
    has one map whatever is asked, also in a network that ignores it. Set it beside explainers that know the class.
    """

    additive: ClassVar[bool] = False

    def refusal(self, subject: Subject) -> str:
        """It needs attention among all patches in every block."""
        if transformer_of(subject.network) is not None:
            return ""
        return f"attention is rolled out of {WHICH}, and this network is none: {INSTEAD}"

    @torch.no_grad()
    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`. The class does not matter."""
        transformer = transformer_of(subject.network)
        assert transformer is not None, "ask refusal first"
        with transformer.attention() as seen:
            subject.network(images.clone())
        height, width = images.shape[2:]
        down, across = transformer.grid(height, width)
        reached = _row_of_feature(rolled_out(seen), transformer).reshape(-1, down, across)
        covered = enlarged(reached, down * transformer.patch[0], across * transformer.patch[1])
        return nn.functional.pad(covered, (0, width - covered.shape[2], 0, height - covered.shape[1]))


def rolled_out(attention: Sequence[Float[Tensor, "b heads t t"]]) -> Float[Tensor, "b t t"]:
    """The product over blocks, the last at the left, of (A + I) / 2, A being the mean over heads; rows sum to 1.

    What comes from where: row i is the shares of the first block's tokens in token i after the last block.
    """
    one = torch.eye(attention[0].shape[-1], dtype=attention[0].dtype, device=attention[0].device)
    total = one.expand(len(attention[0]), -1, -1)
    for weights in attention:
        total = (weights.mean(dim=1) + one) / 2 @ total
    return total


def _row_of_feature(shares: Float[Tensor, "b t t"], transformer: Transformer) -> Float[Tensor, "b p"]:
    patches = shares[:, :, transformer.prefix :]
    return patches[:, 0] if transformer.by_class else patches[:, transformer.prefix :].mean(dim=1)
