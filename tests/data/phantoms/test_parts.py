"""What phantoms share: counter-based numbers, exact geometry, fields, and drawing by the brightest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.stats import kstest

from assay.data.phantoms.drawing import (
    Capsules,
    Numbers,
    Windows,
    direction,
    draw_capsules,
    draw_depth,
    lattice,
    mean_radius,
    reach,
    soften,
    spline_zoom,
    within,
    zoom_gain,
)
from assay.plugin import Grid, Levels, Skewed, Uniform, uniforms, white_noise


def test_uniforms_are_uniform_and_unrelated_between_streams_and_rows() -> None:
    first, second = (uniforms(np.arange(4000), stream, 5) for stream in ("a", "b"))
    assert kstest(first.ravel(), "uniform").pvalue > 1e-3
    bound = 5 / np.sqrt(first.size)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < bound
    assert abs(np.corrcoef(first[1:].ravel(), first[:-1].ravel())[0, 1]) < bound
    assert abs(np.corrcoef(first[:, 1:].ravel(), first[:, :-1].ravel())[0, 1]) < bound


def test_white_noise_equals_its_definition_in_exact_integers() -> None:
    """The same hash in Python's own integers: products wrap at 32 bits, shifts are unsigned."""
    from assay.data.phantoms import drawing as counter

    rows = np.array([3, 4_000_000_000])
    keys = (counter._row_key(rows, "n") >> np.uint64(32)).astype(object)
    codes = counter._lattice_codes(6, "cpu").numpy().view(np.uint32).astype(object)
    expected = []
    for key in keys:
        for code in codes:
            x = key ^ code
            x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
            x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
            total = sum((x ^ (x >> 16)).to_bytes(4, "big"))
            expected.append((total - 510) / np.sqrt(4 * (256**2 - 1) / 12))
    found = white_noise(rows, "n", 2, 3, "cpu")
    np.testing.assert_allclose(found.numpy().ravel(), np.array(expected, dtype=np.float64), rtol=1e-6)


def test_white_noise_is_white_with_unit_variance() -> None:
    noise = white_noise(np.arange(40), "n", 64, 64, "cpu").numpy().astype(np.float64)
    bound = 5 / np.sqrt(noise.size)
    assert abs(noise.mean()) < bound
    assert noise.var() == pytest.approx(1, abs=5 * np.sqrt(2 / noise.size))
    for pair in ((noise[:, 1:], noise[:, :-1]), (noise[:, :, 1:], noise[:, :, :-1]), (noise[1:], noise[:-1])):
        assert abs((pair[0] * pair[1]).mean()) < bound


@given(st.floats(-50, 50))
def test_direction_is_cosine_and_sine(turns: float) -> None:
    cosine, sine = direction(np.array([turns]))
    assert cosine[0] == pytest.approx(np.cos(2 * np.pi * turns), abs=1e-13)
    assert sine[0] == pytest.approx(np.sin(2 * np.pi * turns), abs=1e-13)


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


def test_a_lattice_gives_each_row_the_deviation_that_is_stated() -> None:
    stated = np.repeat([0.2, 3.0], 300)
    surface = spline_zoom(lattice(np.arange(600), "field", 6, stated, Grid(40, 1.0, "cpu")), 40).double()
    for rows, deviation in ((surface[:300], 0.2), (surface[300:], 3.0)):
        assert float(rows.std()) == pytest.approx(deviation, rel=0.05)


def test_marginals() -> None:
    u = np.array([0.0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(Uniform(2, 4).quantile(u), [2, 2.5, 3, 3.5])
    np.testing.assert_allclose(Skewed(6, 18).quantile(u), 6 + 12 * (u + u**2) / 2)
    np.testing.assert_array_equal(Levels((0.5, 0.25, 0.25)).quantile(u), [0, 0, 1, 2])


def tube(**values: float) -> Capsules:
    plain = {"x0": -5, "y0": 0, "x1": 5, "y1": 0, "radius0": 2, "radius1": 2, "strength0": 1, "strength1": 1}
    return Capsules(**{name: np.full((1, 1), float(value)) for name, value in {**plain, **values}.items()})


def test_a_thick_capsule_has_the_area_of_a_capsule() -> None:
    grid = Grid(256, 48.0, "cpu")
    canvas = grid.blank(1)
    draw_capsules(canvas, tube(), np.array([1.0]), grid)
    assert float(canvas.double().sum()) * grid.pixel**2 == pytest.approx(10 * 4 + np.pi * 4, rel=0.01)


def test_a_thin_capsule_is_as_much_weaker_as_it_is_thinner() -> None:
    grid = Grid(256, 48.0, "cpu")
    peaks = []
    for radius in (0.1, 0.2):
        canvas = grid.blank(1)
        draw_capsules(canvas, tube(radius0=radius, radius1=radius, y0=0.09, y1=0.09), np.array([1.6]), grid)
        peaks.append(float(canvas.max()))
    assert peaks[0] == pytest.approx(2 * 0.1 / 1.6, rel=0.02)
    assert peaks[1] == pytest.approx(2 * peaks[0], rel=1e-5)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_the_window_holds_all_of_a_capsule(x: float, y: float) -> None:
    """Against the distance to the segment on the whole grid, wherever the capsule lies, half outside too."""
    grid = Grid(40, 48.0, "cpu")
    canvas = grid.blank(1)
    draw_capsules(canvas, tube(x0=x, y0=y, x1=x + 3, y1=y - 4), np.array([1.5]), grid)
    line = (np.arange(40) + 0.5 - 20) * 1.2
    px, py = np.meshgrid(line, line)
    t = np.clip(((px - x) * 3 - (py - y) * 4) / 25, 0, 1)
    distance = np.hypot(px - x - 3 * t, py - y + 4 * t)
    s = np.clip((2 - distance) / 1.5 + 0.5, 0, 1)
    np.testing.assert_allclose(canvas.view(40, 40).numpy(), s * s * (3 - 2 * s), atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_blob_has_the_area_of_the_stated_circle_within_its_stated_reach(seed: int) -> None:
    draws, grid = np.random.default_rng(seed), Grid(400, 100.0, "cpu")
    turn_c, turn_s = direction(draws.random(6))
    blobs = Numbers(
        x=draws.uniform(-5, 5, 6),
        y=draws.uniform(-5, 5, 6),
        radius=draws.uniform(8, 14, 6),
        cosine=turn_c,
        sine=turn_s,
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


def test_depth_of_tubes_is_the_distance_to_their_edge() -> None:
    """A straight tube from (-20, 0) to (20, 0) of radius 5: by hand at five places."""
    grid, one = Grid(101, 101.0, "cpu"), np.ones((1, 1))
    canvas = torch.full((1, 101 * 101), -30.0)
    draw_depth(canvas, Capsules(-20 * one, 0 * one, 20 * one, 0 * one, 5 * one, 5 * one, one, one), 10.0, grid)
    found = {
        (x, y): float(canvas.view(101, 101)[y + 50, x + 50]) for x, y in ((0, 0), (3, 4), (20, 9), (28, 6), (0, 16))
    }
    assert found == pytest.approx({(0, 0): 5, (3, 4): 1, (20, 9): -4, (28, 6): -5, (0, 16): -30}, abs=1e-4)
