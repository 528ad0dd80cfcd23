"""Every true lesion by itself: how large it is, and from which logit on it is found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from assay.core.maps import ROUNDING

EIGHT_WITHIN_AN_IMAGE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))]).astype(bool)


class Lesions(NamedTuple):
    """One row per image, padded to the most lesions of one and at least to one; in the order of their first pixels.

    score: float32, NaN where padded. area: int32, pixels, 0 where padded.
    """

    score: Float[np.ndarray, "b l"]
    area: Int[np.ndarray, "b l"]


def lesions(logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], covered: float) -> Lesions:
    """Score and area of every lesion: a component, 8-connected, of the pixels that are lesion of whatever kind.

    Its score is the highest threshold at which at least the share `covered` of its pixels is predicted. So it is found
    at every threshold up to its score and at none above: the rule is monotone.
    """
    labelled, count = ndimage.label(lesion, EIGHT_WITHIN_AN_IMAGE)
    where = np.flatnonzero(labelled)
    number, values = labelled.ravel()[where] - 1, logits.ravel()[where]
    area = np.bincount(number, minlength=count)
    sorted_within = values[np.lexsort((-values, number))]
    needed = np.maximum(np.ceil(covered * area - ROUNDING).astype(np.int64), 1)
    score = sorted_within[np.cumsum(area) - area + needed - 1]
    first = where[np.unique(number, return_index=True)[1]]
    return _by_image(first // logits[0].size, score, area, len(logits))


def _by_image(image: Int[np.ndarray, " c"], score: np.ndarray, area: np.ndarray, images: int) -> Lesions:
    """From one row per lesion, images ascending, to one row per image."""
    each = np.bincount(image, minlength=images)
    place = np.arange(len(image)) - np.repeat(np.cumsum(each) - each, each)
    made = Lesions(
        np.full((images, each.max(initial=1)), np.nan, np.float32), np.zeros((images, each.max(initial=1)), np.int32)
    )
    made.score[image, place] = score
    made.area[image, place] = area
    return made
