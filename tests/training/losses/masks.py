"""Maps of logits and masks in float64 for comparing a loss for segmentation with another implementation."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from assay.plugin import LossContext, Outputs, build
from assay.testing.losses import PROGRESS, batch_of

Maps = tuple[Tensor, Tensor]
"""Logits float64 [b, k, h, w] and labels int64 [b, h, w]."""


@st.composite
def maps(draw: st.DrawFn, classes: int = 3, side: int = 6) -> Maps:
    """1 to 3 images with scattered labels, a few of them of one class only; logits from flat to nearly sure."""
    draws = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    images, sureness = draw(st.integers(1, 3)), draw(st.sampled_from([0.1, 1.0, 8.0]))
    logits = sureness * torch.randn(images, classes, side, side + 1, generator=draws, dtype=torch.float64)
    labels = torch.randint(0, classes, (images, side, side + 1), generator=draws)
    for image in range(images):
        only = draw(st.sampled_from([None, *range(classes)]))
        if only is not None:
            labels[image] = only
    return logits, labels


def value(name: str, at: Maps, **params: Any) -> Tensor:
    """A registered loss of these maps; it takes gradients where the logits do."""
    logits, labels = at
    classes = logits.shape[1]
    objective = build("loss", name, params, LossContext(1, classes, (9,) * classes, dense=True)).double()
    outputs = Outputs(torch.zeros(len(labels), 1), logits)
    return objective.loss(outputs, batch_of(labels.to(torch.uint8)), PROGRESS)


def gradient(name: str, at: Maps, **params: Any) -> Tensor:
    """Of `value`, to the logits."""
    logits = at[0].clone().requires_grad_()
    (made,) = torch.autograd.grad(value(name, (logits, at[1]), **params), logits)
    return made


def lesion_map(p: Any, labels: Any) -> Maps:
    """One image of one row of pixels with these probabilities of a lesion, and its labels."""
    probability = torch.tensor(p, dtype=torch.float64)
    logits = torch.stack([torch.zeros_like(probability), torch.logit(probability)])
    return logits[None, :, None], torch.tensor(labels)[None, None]
