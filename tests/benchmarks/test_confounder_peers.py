"""What the benchmark of confounders compares with makes about the same pictures, so that both do the same work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import center_of_mass
from tests.worlds.scripts import script

from assay.plugin import build, draw, entries
from assay.testing.data import pictures as noise

NAMES = sorted(entry.name for entry in entries("intervention"))
# name -> largest difference of a pixel, with the reason where it is not rounding alone
EXACT = {
    "low-pass": 1e-5,
    "blur": 1e-5,
    "bias-field": 1e-5,
    "gamma": 1e-5,
    "contrast": 1e-6,
    "collimation-border": 1e-5,
    "vignette": 1e-5,
    "tag": 1e-6,
    "jpeg": 1e-6,
    "scanner-histogram": 1e-5,
}
DRAWN_AT_ONE_PLACE = (
    "laterality-marker", "text-line", "ruler", "caliper", "surgical-pen", "chest-drain", "pacemaker", "scope-inset",
)  # fmt: skip
SCATTERED = ("hair", "electrode")


PEERS = script("benchmarks/confounder_peers.py").PEERS


def both(name: str, images: torch.Tensor, **params: object) -> tuple[np.ndarray, np.ndarray]:
    """The peer's images and Assay's, [n, h, w]."""
    count, made = len(images), build("intervention", name, params)
    drawn = draw(name, made, np.ones(count, dtype=bool), np.arange(count), 0, (1, images.shape[2], images.shape[3]))
    rows = [{key: values[i].item() for key, values in drawn.parameters.items()} for i in range(count)]
    theirs = [PEERS[name](image[0].numpy(), made, row) for image, row in zip(images, rows, strict=True)]
    return np.stack(theirs), drawn.apply(images, np.arange(count))[:, 0].numpy()


def smooth(count: int = 3, size: int = 256) -> torch.Tensor:
    coarse = torch.nn.functional.interpolate(noise((1, 6, 6), count), size=(size, size), mode="bicubic").clamp(0, 1)
    return ((0.1 + 0.8 * coarse) * 65535).round() / 65535


def test_every_intervention_has_a_peer():
    assert sorted(PEERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_gives_an_image_of_its_own(name: str) -> None:
    images = smooth(1)
    before = images.clone()
    theirs, _ = both(name, images)
    assert theirs.shape == (1, 256, 256)
    assert theirs.dtype == np.float32
    assert 0 <= theirs.min() <= theirs.max() <= 1
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", EXACT)
def test_where_the_definition_is_exact_the_pictures_are_equal(name: str) -> None:
    theirs, ours = both(name, smooth())
    assert np.abs(theirs - ours).max() <= EXACT[name]


def test_resampled_pictures_are_alike():
    theirs, ours = both("resample", smooth())
    assert np.abs(theirs - ours).max() < 0.01  # Pillow and PyTorch place the edge's weights otherwise


@pytest.mark.parametrize(("name", "params"), [("poisson-noise", {"photons": 1e5}), ("gaussian-noise", {})])
def test_noise_has_the_same_mean_and_size(name: str, params: dict[str, Any]) -> None:
    images = torch.full((4, 1, 256, 256), 0.5)
    theirs, ours = both(name, images, **params)
    spread = ours.std()
    assert abs(theirs.mean() - ours.mean()) < 5 * spread * np.sqrt(2 / ours.size)
    assert abs(theirs.std() / spread - 1) < 5 / np.sqrt(ours.size)


@pytest.mark.parametrize("name", DRAWN_AT_ONE_PLACE)
def test_marks_lie_at_the_same_place_and_change_as_much(name: str) -> None:
    theirs, ours = (made - 0.5 for made in both(name, torch.full((3, 1, 256, 256), 0.5)))
    assert np.abs(theirs).sum() == pytest.approx(np.abs(ours).sum(), rel=0.4)
    for their, our in zip(theirs, ours, strict=True):
        there, here = (center_of_mass(np.abs(made)) for made in (their, our))
        assert np.abs(np.subtract(there, here)).max() < 4


@pytest.mark.parametrize("name", SCATTERED)
def test_scattered_marks_change_as_much(name: str) -> None:
    theirs, ours = (made - 0.5 for made in both(name, torch.full((24, 1, 256, 256), 0.5)))
    assert np.abs(theirs).sum() == pytest.approx(np.abs(ours).sum(), rel=0.3)
