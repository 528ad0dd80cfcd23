"""What phantoms share: counter-based numbers, exact geometry, fields, and drawing by the brightest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from scipy.stats import kstest

from assay.data.phantoms.drawing import Numbers, Windows, mean_radius, reach, soften, spline_zoom, within, zoom_gain
from assay.plugin import Draw, Grid, Levels, Skewed, Uniform, uniforms, white_noise


def test_uniforms_are_uniform_and_unrelated_between_streams_and_rows() -> None:
    first, second = (uniforms(np.arange(4000), stream, 5) for stream in ("a", "b"))
    assert kstest(first.ravel(), "uniform").pvalue > 1e-3
    bound = 5 / np.sqrt(first.size)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < bound
    assert abs(np.corrcoef(first[1:].ravel(), first[:-1].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(first[:, 1:].ravel(), first[:, :-1].ravel())[0, 1]) < bound


def test_white_noise_is_white_with_unit_variance() -> None:
    noise = white_noise(np.arange(40), "n", 64, 64, "cpu").numpy().astype(np.float64)
    bound = 5 / np.sqrt(noise.size)
    assert abs(noise.mean()) < bound
    assert noise.var() == pytest.approx(1, abs=5 * np.sqrt(2 / noise.size))
    for pair in ((noise[:, 1:], noise[:, :-1]), (noise[:, :, 1:], noise[:, :, :-1]), (noise[1:], noise[:-1])):
        assert abs((pair[0] * pair[1]).mean()) < bound


def test_a_heading_is_cosine_and_sine_of_its_turns() -> None:
    draw = Draw(np.arange(500))
    angle = 2 * np.pi * draw("turn", 0, 1)
    assert np.abs(np.stack(draw.heading("turn")) - [np.cos(angle), np.sin(angle)]).max() < 1e-13


@pytest.mark.parametrize(("cells", "size"), [(6, 64), (24, 32), (64, 100)])
def test_spline_zoom_equals_scipys_b_spline(cells: int, size: int) -> None:
    lattice = np.random.default_rng(0).normal(size=(cells + 2, cells + 2))
    # Lattice point j stands in the middle of cell j - 1; a quadratic B-spline is 0 beyond 1.5 cells from its point.
    at = (np.arange(size) + 0.5) * cells / size
    basis = np.stack([BSpline.basis_element(np.arange(4) + j - 2, extrapolate=False)(at) for j in range(cells + 2)])
    expected = np.nan_to_num(basis).T @ lattice @ np.nan_to_num(basis)
    found = spline_zoom(torch.as_tensor(lattice[None], dtype=torch.float32), size)[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_soften_is_the_three_tap_filter_and_keeps_unit_variance() -> None:
    field = np.random.default_rng(0).normal(size=(2, 9, 7)).astype(np.float32)
    x, y = np.array([0.25, 0.1]), np.array([0.0, 0.3])
    found = soften(torch.as_tensor(field), torch.as_tensor(x).float(), torch.as_tensor(y).float()).numpy()
    for row in range(2):
        taps = [np.array([s, 1 - 2 * s, s]) for s in (y[row], x[row])]
        kernel = np.outer(*(tap / np.sqrt((tap**2).sum()) for tap in taps))
        windows = np.lib.stride_tricks.sliding_window_view(field[row], (3, 3))
        np.testing.assert_allclose(found[row], (windows * kernel).sum((2, 3)), atol=1e-5)


@pytest.mark.parametrize(("cells", "size"), [(24, 64), (64, 96)])
def test_zoom_gain_is_the_deviation_that_is_left(cells: int, size: int) -> None:
    rows = np.arange(60)
    strength = np.full(60, 0.2)
    tensor = torch.full((60,), 0.2)
    softened = soften(white_noise(rows, "n", cells + 4, cells + 4, "cpu"), tensor, tensor)
    found = float(spline_zoom(softened, size).double().std())
    assert zoom_gain(cells, size, strength, strength)[0] == pytest.approx(found, rel=0.02)


def test_marginals() -> None:
    u = np.array([0.0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(Uniform(2, 4).quantile(u), [2, 2.5, 3, 3.5])
    np.testing.assert_allclose(Skewed(6, 18).quantile(u), 6 + 12 * (u + u**2) / 2)
    np.testing.assert_array_equal(Levels((0.5, 0.25, 0.25)).quantile(u), [0, 0, 1, 2])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_blob_has_the_area_of_the_stated_circle_within_its_stated_reach(seed: int) -> None:
    draws, grid = np.random.default_rng(seed), Grid(400, 100.0, "cpu")
    turn = 2 * np.pi * draws.random(6)
    blobs = Numbers(
        x=draws.uniform(-5, 5, 6),
        y=draws.uniform(-5, 5, 6),
        radius=draws.uniform(8, 14, 6),
        cosine=np.cos(turn),
        sine=np.sin(turn),
        stretch=draws.uniform(1, 1.3, 6),
        even=draws.uniform(-0.09, 0.09, (6, 5)),
        odd=draws.uniform(-0.09, 0.09, (6, 5)),
    )
    windows = Windows.around(np.arange(6), blobs.x, blobs.y, 50.0, grid)
    share, depth, u, v = within(blobs, windows, grid)
    inside = depth >= 0
    np.testing.assert_allclose(inside.sum((1, 2)).numpy() * 0.0625, np.pi * blobs.radius**2, rtol=0.005)
    assert torch.equal(inside, share <= 1)
    torch.testing.assert_close((u * u + v * v).sqrt(), share, atol=1e-3, rtol=1e-3)
    away = ((windows.x - grid.tensor(blobs.x)) ** 2 + (windows.y - grid.tensor(blobs.y)) ** 2).sqrt()
    furthest = torch.where(inside, away, 0).amax((1, 2)).numpy()
    assert np.all(furthest <= reach(blobs))
    assert np.all(furthest >= mean_radius(blobs))
