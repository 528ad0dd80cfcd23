"""Lossy compression."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.diffuse import Change, same
from assay.shifts.confounders.layers import Shape
from assay.shifts.intervention import Draws, Parameters


@dataclass(frozen=True)
class Jpeg(Change):
    """The image saved as JPEG and read again, by Pillow's libjpeg; colours at half resolution (4:2:0).

    Done on the processor, image by image and with 8 bits, as the format has it. quality: 1 to 100. No gradient flows.
    """

    quality: int

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are neither grey nor RGB."""
        if shape[0] not in (1, 3):
            raise SpecError(
                f"JPEG knows grey and RGB images, not {shape[0]} channels: set `channels` to grey or colour"
            )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`quality`, the same for all rows."""
        return same(draws, "quality", self.quality)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the traces of compression."""
        whole = (images.detach().cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        read = np.stack([self._through_a_file(pixels) for pixels in whole])
        return torch.as_tensor(read, device=images.device).permute(0, 3, 1, 2).contiguous().float() / 255

    def _through_a_file(self, pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
        file = BytesIO()
        grey = pixels.shape[2] == 1
        Image.fromarray(pixels[:, :, 0] if grey else pixels).save(
            file, "JPEG", quality=self.quality, subsampling="4:2:0"
        )
        with Image.open(file) as saved:
            return np.asarray(saved).reshape(pixels.shape)
