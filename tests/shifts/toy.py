"""A phantom whose pixels say outright what its factors are, and that counts what it renders."""

import numpy as np
import torch

from assay.core.types import Factor
from assay.data.dataset import Card, PixelScale, Rendered

FACTORS = (
    Factor("margin", "continuous", "core", range=(0.0, 1.0)),
    Factor("texture", "categorical", "associated", levels=("glass", "solid", "part"), high=("solid",)),
    Factor("size", "continuous", "associated", unit="mm", range=(4.0, 30.0)),
    Factor("grade", "ordinal", "associated", levels=("0", "1", "2", "3")),
    Factor("x", "continuous", unit="share", range=(-1.0, 1.0)),
    Factor("y", "continuous", unit="share", range=(-1.0, 1.0)),
)


class Toy:
    """Pixel (0, j) holds factor j scaled to 0..1 by its range or levels, all others noise of (nuisance, pixel)."""

    rendered = 0

    def __init__(self, *, channels: int = 1):
        self.channels = channels

    factors = FACTORS
    card = Card("toy", "factors written into pixels")

    def scale(self, size: int) -> PixelScale:
        return PixelScale(mm_per_pixel=40 / size)

    def groups(self) -> dict[str, tuple[str, ...]]:
        return {"position": ("x", "y")}

    def quantile(self, factor: str, u: np.ndarray) -> np.ndarray:
        if factor == "texture":  # glass .2, part .3, solid .5
            return np.select([u < 0.2, u < 0.5], [0, 2], 1)
        if factor == "grade":
            return np.floor(4 * u).astype(np.int64)
        low, high = next(f.range for f in FACTORS if f.name == factor)
        return low + (high - low) * u

    def render(self, values, nuisance, size, difficulty, device="cpu") -> Rendered:
        Toy.rendered += len(nuisance)
        images = np.stack([np.random.default_rng(int(seed)).random((self.channels, size, size)) for seed in nuisance])
        for j, factor in enumerate(FACTORS):
            low, high = factor.range or (0.0, float(len(factor.levels) - 1))
            images[:, :, 0, j] = ((values[factor.name] - low) / (high - low) * difficulty.get(factor.name, 1.0))[
                :, None
            ]
        masks = torch.zeros(len(nuisance), 1, size, size, dtype=torch.bool)
        masks[:, :, 0, : len(FACTORS)] = True
        return Rendered(torch.as_tensor(images, dtype=torch.float32, device=device).clamp(0, 1), masks.to(device))
