"""Every registered intervention: the conformance suite, then what dose, size, range and visibility promise."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.plugin import build, draw, entries, visibility
from assay.testing.data import InterventionConformance

# name -> argument that is the dose, and values from the least visible to the most
DOSES = {
    **{
        name: ("opacity", [0.0, 0.2, 0.6, 1.0])
        for name in (
            "laterality-marker",
            "text-line",
            "ruler",
            "caliper",
            "surgical-pen",
            "hair",
            "chest-drain",
            "pacemaker",
            "electrode",
            "collimation-border",
            "vignette",
            "scope-inset",
        )
    },
    "tag": ("contrast", [0.05, 0.3, 1.0]),
    "low-pass": ("cutoff", [2.0, 0.8, 0.4, 0.1]),
    "blur": ("sigma", [0.0, 0.01, 0.03, 0.1]),
    "resample": ("factor", [1, 1.5, 3, 8]),
    "poisson-noise": ("photons", [1e8, 1e6, 1e5, 1e4]),
    "gaussian-noise": ("sigma", [0.0, 0.01, 0.05, 0.2]),
    "bias-field": ("amplitude", [0.0, 0.2, 0.6, 1.5]),
    "gamma": ("gamma", [1, 1.2, 1.6, 3]),
    "contrast": ("factor", [1, 0.8, 0.5, 0.0]),
    "jpeg": ("quality", [95, 60, 20, 1]),
    "scanner-histogram": ("strength", [0.0, 0.2, 0.6, 1.0]),
}
NO_IDENTITY = {"tag", "poisson-noise", "jpeg"}


ARGUMENTS = {
    "laterality-marker": [{"letter": "either", "tilt": 90, "jitter": 0.3}],
    "text-line": [{"text": "A#: 07", "jitter": 0.2, "size": 0.1}],
    "ruler": [{}, {"side": "bottom", "ink": "black", "length": 0.5, "marks": 10, "jitter": 0.2}],
    "pacemaker": [{"side": "either"}],
    "scope-inset": [{"corner": "upper right"}],
    "low-pass": [{}, {"filter": "gaussian", "cutoff": 0.2}],
    "blur": [{"sigma": 0.05}],
    "resample": [{"factor": 2.7}],
    "poisson-noise": [{}, {"levels": 0, "photons": 100}],
    "scanner-histogram": [{"strength": 1.0}],
}
IN_THE_GATE = {"hair", "gaussian-noise"}
"""One that paints and one that draws noise; `tag` has a suite in test_confounders. All others are in `acceptance`."""

for _name in DOSES:
    for _number, _params in enumerate(ARGUMENTS.get(_name, [{}])):
        _suite = type(f"Test{_name}{_number}", (InterventionConformance,), {"name": _name, "params": _params})
        globals()[_suite.__name__] = _suite if _name in IN_THE_GATE else pytest.mark.acceptance(_suite)
        del _suite  # else pytest finds the last one twice


def applied(name: str, images: torch.Tensor, params: Any = None, seed: int = 0) -> torch.Tensor:
    rows = np.arange(len(images))
    made = build("intervention", name, params or {})
    return draw(
        name, made, np.ones(len(images), dtype=bool), rows, seed, (images.shape[1], images.shape[2], images.shape[3])
    ).apply(images, rows)


def scenes(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Smooth pictures with some detail, on a 16-bit grid as files and phantoms give them."""
    made = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, 5, 5, generator=made)
    fine = torch.rand(count, channels, height, width, generator=made)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return ((0.15 + 0.6 * smooth + 0.1 * fine) * 65535).round() / 65535


def test_every_registered_intervention_is_in_this_file() -> None:
    assert sorted(DOSES) == sorted(entry.name for entry in entries("intervention"))


@pytest.mark.parametrize("name", DOSES)
def test_more_is_more_visible_and_nothing_is_nothing(name: str) -> None:
    images = scenes(4, 3, 64, 80)
    argument, doses = DOSES[name]
    figures = [visibility(images, applied(name, images, {argument: dose})) for dose in doses]
    for weaker, stronger in pairwise(figures):
        assert bool((stronger.difference > weaker.difference).all())
        assert bool((stronger.ssim < weaker.ssim + 1e-3).all())
        assert bool((stronger.share >= weaker.share - 0.05).all())
    if name not in NO_IDENTITY:
        assert torch.equal(applied(name, images, {argument: doses[0]}), images)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", DOSES)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    height=st.integers(16, 80),
    width=st.integers(16, 80),
    channels=st.sampled_from([1, 3]),
    levels=st.sampled_from([255, 65535]),
    seed=st.integers(0, 2**31),
)
def test_any_size_and_depth_stays_in_range_and_within_its_mask(
    name: str, height: int, width: int, channels: int, levels: int, seed: int
) -> None:
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(seed))
    images = (images * levels).round() / levels
    params = {"ruler": {"marks": 5}, "text-line": {"text": "#"}}.get(name, {})
    rows = np.array([seed, seed + 1])
    shape = (channels, height, width)
    drawn = draw(name, build("intervention", name, params), np.ones(2, dtype=bool), rows, seed, shape)
    out, mask = drawn.apply(images, np.arange(2)), drawn.mask(np.arange(2))
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert bool(((out >= 0) & (out <= 1)).all())
    assert not bool(((out != images).any(dim=1, keepdim=True) & ~mask).any())


@pytest.mark.parametrize("name", DOSES)
@pytest.mark.parametrize(("count", "height", "width"), [(36, 256, 260), (9, 123, 457)])
def test_a_row_of_a_large_batch_is_what_it_is_alone(name: str, count: int, height: int, width: int) -> None:
    images, rows = scenes(count, 1, height, width), np.arange(count)
    change = draw(name, build("intervention", name, {}), rows % 3 != 1, rows, 3, (1, height, width))
    together = change.apply(images, rows)
    for i in (0, 1, count // 2, count - 1):
        assert torch.equal(change.apply(images[i : i + 1], rows[i : i + 1])[0], together[i])
    assert torch.equal(change.on(True).apply(images, rows)[rows % 3 != 1], together[rows % 3 != 1])


@pytest.mark.parametrize("name", DOSES)
def test_it_is_there_at_512_px(name: str) -> None:
    images = scenes(1, 1, 512, 400)
    assert float(visibility(images, applied(name, images)).difference) > 1e-4


@pytest.mark.parametrize("name", ["tag", *(name for name, (dose, _) in DOSES.items() if dose == "opacity")])
def test_a_mark_covers_the_same_share_at_every_size(name: str) -> None:
    shares: list[float] = []
    for size in (128, 256):
        made = build("intervention", name, {})
        drawn = draw(name, made, np.ones(8, dtype=bool), np.arange(8), 0, (1, size, size))
        white = drawn.apply(torch.full((8, 1, size, size), 0.5), np.arange(8))
        shares.append(float((white - 0.5).abs().mean()))
    assert shares[1] == pytest.approx(shares[0], rel=0.2)


@pytest.mark.parametrize("name", DOSES)
def test_a_batch_without_images_is_left_so(name: str) -> None:
    drawn = draw(name, build("intervention", name, {}), np.zeros(1, dtype=bool), np.arange(1), 0, (1, 64, 64))
    none = {key: values[:0] for key, values in drawn.parameters.items()}
    assert drawn.intervention.apply(torch.zeros(0, 1, 64, 64), none).shape == (0, 1, 64, 64)
    assert drawn.intervention.mask(none, (1, 64, 64)).shape == (0, 1, 64, 64)
