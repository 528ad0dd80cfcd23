"""Some of a dataset's images and masks, by position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from assay.data.dataset import Images, Lesions, Masks, NativeMasks


@dataclass(frozen=True)
class PickedImages:
    """Some of the images, by position."""

    images: Images
    positions: Int[np.ndarray, "n"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order, on the CPU."""
        return self.images.read(self.positions[index])


@dataclass(frozen=True)
class PickedMasks:
    """Some of the masks, by position."""

    masks: Masks
    positions: Int[np.ndarray, "n"]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion, from label 1 on."""
        return self.masks.kinds

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Label maps at these positions, in this order."""
        return self.masks.read(self.positions[index])


@dataclass(frozen=True)
class PickedLesions:
    """Some of the lesions, by position."""

    lesions: Lesions
    positions: Int[np.ndarray, "n"]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        return self.lesions.kinds

    def __len__(self) -> int:
        return len(self.positions)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """A plane per kind at these positions, in this order."""
        return self.lesions.read(self.positions[index])


@dataclass(frozen=True)
class PickedNative:
    """Some of the masks at native size, by position."""

    masks: NativeMasks
    positions: Int[np.ndarray, "n"]

    @property
    def sizes(self) -> Int[np.ndarray, "n 2"]:
        """Width and height of every image in px."""
        return self.masks.sizes[self.positions]

    def read_one(self, position: int) -> UInt8[np.ndarray, "h w"]:
        """The label map of one image, read from its file anew."""
        return self.masks.read_one(int(self.positions[position]))
