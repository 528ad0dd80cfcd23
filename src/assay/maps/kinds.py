"""Each kind of lesion by itself, where several kinds are told apart: its pixels, its lesions, and what is called it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Integer
from scipy import ndimage
from torch import Tensor

from assay.core.maps import ROUNDING
from assay.maps.lesions import EIGHT_WITHIN_AN_IMAGE
from assay.maps.summary import DEFAULT_GRID

KINDS_VERSION = 2
"""Rises when other columns are kept of several kinds, so that a model is read again."""
OF_KINDS = ("truth", "predicted", "hit", "lesions", "found", "stray")
"""What is counted of each kind; the columns are named `kind_truth` and so on."""


def count_kinds(
    logits: Float[Tensor, "b k h w"],
    labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"],
    covered: float = DEFAULT_GRID.covered,
) -> dict[str, np.ndarray]:
    """`OF_KINDS` of every image and kind, int32 [b, k - 1]; docs/reference/maps.md says what each is.

    logits: of background and k - 1 kinds; a pixel is called what has its greatest logit, of equal ones the first.
    covered: share of a lesion's pixels that must be called its kind for it to be found.
    """
    called, true = logits.argmax(dim=1).cpu().numpy(), labels.cpu().numpy()
    counts = [_of_kind(true == kind, called == kind, covered) for kind in range(1, logits.shape[1])]
    return {f"kind_{name}": np.stack([one[i] for one in counts], axis=1) for i, name in enumerate(OF_KINDS)}


def _of_kind(
    there: Bool[np.ndarray, "b h w"], said: Bool[np.ndarray, "b h w"], covered: float
) -> tuple[Int[np.ndarray, " b"], ...]:
    """`OF_KINDS` of every image for one kind. Lesions and what is called are components, 8-connected, of the kind."""
    both = there & said
    area, hit, image = _components(there, both)
    needed = np.maximum(np.ceil(covered * area - ROUNDING), 1)
    # What is called everywhere marks no lesion, as with lesions of any kind.
    everywhere = np.asarray(said.all((1, 2)), dtype=np.bool_)
    found = (hit >= needed) & ~everywhere[image]
    _, touched, called_in = _components(said, both)
    pixels = (np.count_nonzero(one, axis=(1, 2)) for one in (there, said, both))
    lesions = (np.bincount(which, minlength=len(there)) for which in (image, image[found], called_in[touched == 0]))
    return tuple(counted.astype(np.int32) for counted in (*pixels, *lesions))


def _components(
    mask: Bool[np.ndarray, "b h w"], among: Bool[np.ndarray, "b h w"]
) -> tuple[Int[np.ndarray, " c"], Int[np.ndarray, " c"], Int[np.ndarray, " c"]]:
    """Of every component of a mask: its pixels, those of them that are also of another mask, and its image."""
    labelled, count = ndimage.label(mask, EIGHT_WITHIN_AN_IMAGE)
    where = np.flatnonzero(labelled)
    number = labelled.ravel()[where] - 1
    area = np.bincount(number, minlength=count)
    shared = np.bincount(number[among.ravel()[where]], minlength=count)
    first = where[np.unique(number, return_index=True)[1]]
    return area, shared, first // mask[0].size
