"""What the losses for segmentation look at: logits and labels of every pixel, and regions made of them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.errors import DataError, SpecError
from assay.data.dataset import Batch
from assay.recipes.losses.precision import widened
from assay.recipes.network import Outputs


def pixels(outputs: Outputs, batch: Batch) -> tuple[Float[Tensor, "b k h w"], Int[Tensor, "b h w"]]:
    """Logits per pixel, in float32 or wider, and the label of each pixel (0 background; of Bool masks 1 is lesion).

    Raises SpecError for logits per image; DataError where there are no masks, for masks of another size, and for a
    label that the network has no channel for. The latter is looked for on the CPU alone: a GPU would have to wait for
    the answer, and its own indexing stops the training there.
    """
    logits = outputs.logits
    if logits.ndim != 4:
        raise SpecError(
            f"this loss compares every pixel with a mask, but the network gives logits of shape {tuple(logits.shape)}: "
            "use a segmentation architecture, or a loss for classification"
        )
    if batch.masks is None:
        raise DataError("this loss compares every pixel with a mask, but the images have none: use data with masks")
    if batch.masks.shape[2:] != logits.shape[2:]:
        raise DataError(
            f"the network gives logits of {_size(logits)} pixels for masks of {_size(batch.masks)}: "
            "its logits must have the size of its input"
        )
    labels = batch.masks[:, 0].long()
    greatest = int(labels.max()) if labels.device.type == "cpu" else 0
    if greatest >= logits.shape[1]:
        raise DataError(
            f"the masks hold the label {greatest}, but the network has {logits.shape[1]} channels: "
            f"labels run from 0 (background) to {logits.shape[1] - 1}"
        )
    return widened(logits), labels


def _size(maps: Tensor) -> str:
    return f"{maps.shape[3]} x {maps.shape[2]}"


def regions(
    logits: Float[Tensor, "b k h w"], labels: Int[Tensor, "b h w"], *, background: bool
) -> tuple[Float[Tensor, "b c h w"], Bool[Tensor, "b c h w"]]:
    """Probabilities (softmax over channels) and the true region of each class; without background c = k - 1."""
    first = 0 if background else 1
    truth = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    truth.scatter_(1, labels[:, None], value=True)
    return logits.softmax(dim=1)[:, first:], truth[:, first:]


def rows_of(maps: Tensor, *, by_image: bool) -> Tensor:
    """[b, c, h, w] as [b, c, h * w], or as one row of all pixels of the batch, [1, c, b * h * w]."""
    return maps.flatten(2) if by_image else maps.transpose(0, 1).flatten(1)[None]
