"""A batch of maps at the size of each image's own file, one image at a time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.dataset import NativeMasks
from assay.data.sources.unfitting import unfitted
from assay.maps.native import at_native
from assay.maps.odds import label_probabilities
from assay.maps.summary import joined
from assay.shifts.environment import Environment


def native_columns(
    logits: Float[Tensor, "b k h w"], masks: NativeMasks, environment: Environment, index: np.ndarray
) -> dict[str, np.ndarray]:
    """The `native_` columns of these images of an environment (docs/reference/maps.md).

    One map is scaled and one mask read at a time, so that memory holds one image of native size whatever the batch.
    Raises DataError when a mask's file was changed or lost meanwhile.
    """
    return joined([_of_one(logits[i : i + 1], masks, environment, at) for i, at in enumerate(index.tolist())])


def _of_one(
    logits: Float[Tensor, "1 k h w"], masks: NativeMasks, environment: Environment, at: int
) -> dict[str, np.ndarray]:
    labels = torch.as_tensor(masks.read_one(at))
    height, width = labels.shape
    probabilities = unfitted(label_probabilities(logits)[0], height, width)
    known = environment.millimetres
    # What is known is of pixels at study resolution, to which the longer side was brought.
    millimetres = 1.0 if known is None else float(known[at]) * logits.shape[-1] / max(height, width)
    return at_native(probabilities, labels, millimetres)
