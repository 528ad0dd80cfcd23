"""Properties and features of pictures agree with the same formulas in PyTorch, at sides that squares do not divide."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from assay.data.cache import ArrayCache
from assay.data.files.load import load_dataset
from assay.look.image_cues import EDGES, looked_at, properties_of
from assay.spec.schema import DataSpec


def smooth(side: tuple[int, int], count: int = 6) -> Tensor:
    """Colored pictures [n, 3, h, w] in 0..1."""
    coarse = torch.rand(count, 3, 7, 9, generator=torch.Generator().manual_seed(side[0]))
    return functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1)


def edges(gray: Tensor) -> Tensor:
    """Histograms of oriented gradients over 8 x 8 cells of 8 directions, by `scatter_` and adaptive pooling."""
    padded = functional.pad(gray[:, None], (1, 1, 1, 1), mode="replicate")
    across, down = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    direction = torch.atan2(down, across) * (8 / torch.pi)
    below = direction.floor()
    strength, share, first = torch.hypot(down, across), direction - below, below.long() % 8
    sums = torch.zeros(len(gray), 8, *gray.shape[1:]).scatter_(1, first, strength * (1 - share))
    cells = functional.adaptive_avg_pool2d(sums.scatter_(1, (first + 1) % 8, strength * share), 8)
    around = functional.avg_pool2d(cells.square().sum(dim=1, keepdim=True), 3, 1, 1)
    return (cells / (around.sqrt() + 0.01)).flatten(1)


@pytest.mark.parametrize("side", [(96, 96), (71, 101), (64, 130)])
def test_properties_are_those_of_pytorch(side: tuple[int, int]) -> None:
    pictures = smooth(side)
    gray, found = pictures.mean(dim=1), properties_of(pictures.numpy())
    down, across = (round(length / 10) for length in side)
    inner = gray[:, down : side[0] - down, across : side[1] - across]
    steps = inner.diff(dim=1).abs().mean(dim=(1, 2)) + inner.diff(dim=2).abs().mean(dim=(1, 2))
    outer = gray.sum(dim=(1, 2)) - inner.sum(dim=(1, 2))
    wanted = {
        "mean brightness": gray.mean(dim=(1, 2)),
        "contrast": gray.std(dim=(1, 2), correction=0),
        "share of black pixels": (gray <= 1.5 / 255).float().mean(dim=(1, 2)),
        "share of nearly white pixels": (gray >= 239.5 / 255).float().mean(dim=(1, 2)),
        "brightness of the border": outer / (gray[0].numel() - inner[0].numel()),
        "color saturation": (pictures.amax(dim=1) - pictures.amin(dim=1)).mean(dim=(1, 2)),
        "sharpness": steps / inner.std(dim=(1, 2), correction=0),
    }
    assert found.keys() - wanted.keys() == {"share of thin bright marks"}
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values.numpy(), rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("side", [(96, 96), (50, 96)])
def test_features_are_those_of_pytorch(side: tuple[int, int], tmp_path: Path) -> None:
    pictures = (255 * smooth(side, 40)).byte()
    rows = [["image", "ill", "who"]]
    for at, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(tmp_path / f"{at}.png")
        rows.append([f"{at}.png", str(at % 2), f"p{at}"])
    with (tmp_path / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    spec = DataSpec(folder=str(tmp_path), target="ill", patient="who", size=96)
    seen = looked_at(load_dataset(spec, ArrayCache(tmp_path / "cache")))
    images = pictures.float() / 255
    ring = np.ones((20, 20), dtype=bool)
    ring[2:-2, 2:-2] = False
    wanted = {
        "thumbnail of 16 x 16 pixels": functional.adaptive_avg_pool2d(images, 16).flatten(1),
        "outer tenth of the image": functional.adaptive_avg_pool2d(images, 20)[:, :, torch.as_tensor(ring)].flatten(1),
        EDGES: edges(images.mean(dim=1)),
    }
    assert seen.features.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(seen.features[name], values.numpy(), atol=1e-5, err_msg=name)
