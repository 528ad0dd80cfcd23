"""What each intervention does to pixels, against hand-derived values, limits, invariances and other implementations."""

import io
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage, stats

from assay.plugin import DrawnIntervention, SpecError, build, draw
from assay.shifts.confounders.drawing import CHARACTERS, Stroke, Window, strokes
from assay.shifts.confounders.pixels import poisson_quantile


def drawn(name: str, shape: Any, params: Any = None, count: int = 1, seed: int = 0) -> DrawnIntervention:
    made = build("intervention", name, params or {})
    return draw(name, made, np.ones(count, dtype=bool), np.arange(count), seed, shape)


def applied(name: str, images: torch.Tensor, params: Any = None, seed: int = 0) -> torch.Tensor:
    count = len(images)
    return drawn(name, (images.shape[1], images.shape[2], images.shape[3]), params, count, seed).apply(
        images, np.arange(count)
    )


def picture(channels: int = 1, height: int = 40, width: int = 56, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed))


def gray(value: float, size: int = 64, channels: int = 1, count: int = 1) -> torch.Tensor:
    return torch.full((count, channels, size, size), value)


# noise


def test_poisson_counts_are_the_quantiles_that_scipy_finds() -> None:
    u = np.random.default_rng(0).random(5_000)
    w = stats.norm.ppf(u)
    for mean in (50.0, 300.0, 1.6e7):
        found = poisson_quantile(w, np.full_like(w, math.sqrt(mean)))
        apart = np.abs(found - stats.poisson.ppf(u, mean))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 1e-3


def published(image: np.ndarray, photons: float, rng: np.random.Generator) -> np.ndarray:
    """The published artifact on one 8-bit image, written from its formula, with NumPy's own Poisson numbers."""
    x = image.astype(np.float64) + rng.uniform(0, 1, image.shape)
    hu = x / 255 * 2000 - 1200
    attenuation = hu * (0.1837 - 0.1662) / 1000 + 0.1837
    counts = rng.poisson(photons * np.exp(-attenuation))
    seen = -np.log(np.maximum(1e-8, counts / photons))
    hu = (seen - 0.1837) * 1000 / (0.1837 - 0.1662)
    return np.clip((hu + 1200) / 2000 * 255, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("photons", [1.5e7, 1e5])
def test_poisson_noise_is_distributed_as_the_published_formula_has_it(photons: float) -> None:
    rng = np.random.default_rng(1)
    for level in (0, 128, 255):
        theirs = published(np.full((200, 200), level), photons, rng).astype(float).ravel()
        ours = applied("poisson-noise", gray(level / 255, 200), {"photons": photons}).flatten().double() * 255
        assert np.abs(ours.numpy() - ours.numpy().round()).max() < 1e-4
        ours = ours.numpy().round()
        assert abs(ours.mean() - theirs.mean()) < 5 * theirs.std() * math.sqrt(2 / 40_000) + 1e-9
        assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
        levels = np.arange(256)
        gap = np.abs((ours[:, None] <= levels).mean(0) - (theirs[:, None] <= levels).mean(0)).max()
        assert gap < 1.95 * math.sqrt(2 / 40_000)  # Kolmogorov and Smirnov at p = 0.001


def test_poisson_noise_of_ever_more_photons_leaves_the_image() -> None:
    image = picture()
    out = applied("poisson-noise", image, {"photons": 1e12, "levels": 0})
    assert float((out - image).abs().max()) < 2e-4


def test_noise_of_poisson_has_the_size_that_its_page_says() -> None:
    out = applied("poisson-noise", gray(0.5, 200), {"photons": 1e6, "levels": 0})
    assert float(out.std()) == pytest.approx(31 / math.sqrt(1e6), rel=0.03)


def test_gaussian_noise_has_its_standard_deviation_and_differs_by_row_and_channel() -> None:
    out = applied("gaussian-noise", gray(0.5, 100, channels=3, count=2), {"sigma": 0.05}) - 0.5
    assert float(out.std()) == pytest.approx(0.05, rel=0.02)
    apart = torch.corrcoef(out.flatten(0, 1).flatten(1)) - torch.eye(6)
    assert float(apart.abs().max()) < 0.05


# frequencies


def wave(cycles_down: float, cycles_along: float, size: int = 64) -> torch.Tensor:
    place = torch.arange(size, dtype=torch.float64) / size
    phase = 2 * math.pi * (cycles_down * place[:, None] + cycles_along * place[None, :])
    return (0.5 + 0.3 * torch.cos(phase)).float()[None, None]


@pytest.mark.parametrize(("down", "along", "stays"), [(0, 16, True), (0, 17, False), (12, 12, False), (11, 11, True)])
def test_the_ideal_filter_keeps_a_disc(down: int, along: int, stays: bool) -> None:
    # half of Nyquist on 64 px: waves of up to 16 cycles, in any direction (12, 12 has 16.97)
    out = applied("low-pass", wave(down, along), {"cutoff": 0.5})
    expected = wave(down, along) if stays else torch.full((1, 1, 64, 64), 0.5)
    assert torch.allclose(out, expected, atol=2e-6)


def test_the_ideal_filter_is_the_disc_that_numpy_cuts_out() -> None:
    image = picture(height=40, width=57)
    spectrum = np.fft.fftshift(np.fft.fft2(image[0, 0].double().numpy()))
    y, x = (np.fft.fftshift(np.fft.fftfreq(length)) for length in (40, 57))
    spectrum[np.hypot(y[:, None], x[None, :]) > 0.3 / 2] = 0
    expected = np.fft.ifft2(np.fft.ifftshift(spectrum)).real.clip(0, 1)
    out = applied("low-pass", image, {"cutoff": 0.3})[0, 0].numpy()
    assert np.abs(out - expected).max() < 2e-6


def test_the_gaussian_filter_leaves_61_percent_at_its_cutoff() -> None:
    out = applied("low-pass", wave(0, 8), {"cutoff": 0.25, "filter": "gaussian"})
    assert torch.allclose(out - 0.5, (wave(0, 8) - 0.5) * math.exp(-0.5), atol=2e-6)


def test_blur_is_what_scipy_computes() -> None:
    image = picture(height=50, width=40)
    out = applied("blur", image, {"sigma": 0.05})[0, 0].numpy()  # 2 px
    expected = ndimage.gaussian_filter(image[0, 0].double().numpy(), 2.0, mode="reflect", truncate=4.0)
    assert np.abs(out - expected).max() < 1e-6


def test_blur_wider_than_the_image_still_mirrors() -> None:
    out = applied("blur", picture(height=64, width=16), {"sigma": 0.2})
    assert bool(torch.isfinite(out).all())
    assert torch.allclose(applied("blur", gray(0.3), {"sigma": 0.2}), gray(0.3), atol=1e-6)


def test_resampling_a_fine_board_by_a_large_factor_leaves_its_mean() -> None:
    board = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float()[None, None]
    assert torch.allclose(applied("resample", board, {"factor": 64}), gray(0.5), atol=1e-6)
    assert torch.allclose(applied("resample", gray(0.3), {"factor": 3}), gray(0.3), atol=1e-6)


# tone


def test_tone_by_hand() -> None:
    assert torch.allclose(applied("gamma", gray(0.25), {"gamma": 0.5}), gray(0.5), atol=1e-6)
    assert torch.allclose(applied("contrast", gray(0.3), {"factor": 2, "pivot": 0.4}), gray(0.2), atol=1e-6)
    assert torch.equal(applied("contrast", gray(0.1), {"factor": 3}), gray(0.0))
    assert torch.equal(
        applied("gamma", torch.cat([gray(0.0), gray(1.0)]), {"gamma": 2}), torch.cat([gray(0.0), gray(1.0)])
    )


def test_a_bias_field_is_smooth_bounded_the_same_in_all_channels_and_of_the_rows_own() -> None:
    out = applied("bias-field", gray(0.3, 64, channels=3, count=40), {"amplitude": 1.0})
    field = (out / 0.3).log()
    assert float(field.abs().max()) <= 1 + 1e-5
    assert torch.allclose(field[:, 0], field[:, 2])
    # a cubic along each axis: fourth differences vanish
    fourth = field[:, 0].double()
    for _ in range(4):
        fourth = fourth[:, :, 1:] - fourth[:, :, :-1]
    assert float(fourth.abs().max()) < 1e-5
    assert float((field[0] - field[1]).abs().max()) > 0.1


def test_at_full_strength_the_histogram_is_the_target_whatever_the_image() -> None:
    image = torch.randperm(4096, generator=torch.Generator().manual_seed(0)).float().view(1, 1, 64, 64) / 4095
    params = {"strength": 1.0, "quantiles": [0.1, 0.3, 0.9]}
    out = applied("scanner-histogram", image, params)
    assert torch.allclose(
        out.quantile(torch.tensor([0.0, 0.25, 0.5, 1.0])), torch.tensor([0.1, 0.2, 0.3, 0.9]), atol=1e-3
    )
    assert torch.allclose(applied("scanner-histogram", image**3, params), out, atol=2e-2)  # depends on the order alone
    assert torch.equal(out.flatten().argsort(), image.flatten().argsort())


def test_half_strength_is_half_way_and_a_flat_image_has_no_ranks() -> None:
    image = picture(seed=3)
    full = applied("scanner-histogram", image, {"strength": 1.0})
    assert torch.allclose(applied("scanner-histogram", image, {"strength": 0.5}), (image + full) / 2, atol=1e-6)
    assert torch.equal(applied("scanner-histogram", gray(0.4)), gray(0.4))


def test_the_histogram_moves_the_channels_of_a_pixel_alike() -> None:
    image = 0.3 + 0.2 * picture(channels=3)
    step = applied("scanner-histogram", image, {"strength": 0.3}) - image
    assert torch.allclose(step[:, 0], step[:, 1], atol=1e-6)
    assert torch.allclose(step[:, 0], step[:, 2], atol=1e-6)


def test_jpeg_is_pillows_for_gray_and_color() -> None:
    for channels, mode in ((1, "L"), (3, "RGB")):
        image = (picture(channels) * 255).round() / 255
        pixels = (image[0] * 255).byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze(), mode).save(file, "JPEG", quality=20)
        expected = np.asarray(Image.open(file)).reshape(pixels.shape).transpose(2, 0, 1)
        assert np.array_equal((applied("jpeg", image, {"quality": 20})[0] * 255).round().byte().numpy(), expected)


# marks


def test_a_line_covers_its_length_times_its_width() -> None:
    x0, y0, x1, y1 = (np.array([[value]]) for value in (20.0, 30.0, 80.0, 75.0))
    for radius in (0.25, 0.5, 1.5, 4.0):
        drawn_line = Stroke(np.stack([x0, y0, x1, y1]), radius).draw(0, Window(0, 0, 100, 100))
        seen, strength = max(radius, 0.5), min(1, 2 * radius)
        area = strength * (75 * 2 * seen + math.pi * seen**2)  # 75 px long, with round ends
        assert float(drawn_line.sum()) == pytest.approx(area, rel=0.06)
        assert float(drawn_line.max()) <= strength + 1e-6


def test_what_lies_outside_the_image_is_cut_off() -> None:
    low, high = np.array([[-50.0]]), np.array([[500.0]])
    assert Stroke(np.stack([low, low, high, low]), 2.0).draw(0, Window(0, 0, 32, 32)).sum() == 0


def test_no_two_characters_look_alike() -> None:
    ends = [part[:, 0] * 4 + 20 for part in strokes(np.arange(len(CHARACTERS))[:, None])]
    written = Stroke(np.stack(ends), 2.0)
    looks = np.stack([written.draw(row, Window(0, 0, 40, 40)) for row in range(len(CHARACTERS))])
    apart = np.abs(looks[:, None] - looks[None]).mean(axis=(2, 3))
    same = [(CHARACTERS[i], CHARACTERS[j]) for i in range(len(looks)) for j in range(i) if float(apart[i, j]) < 0.004]
    assert same == [("0", "O")]


def test_letters_l_and_r_are_drawn_as_asked_and_either_by_row() -> None:
    shape, still = (1, 60, 60), {"tilt": 0, "jitter": 0, "x": 0.5, "y": 0.5, "size": 0.7, "opacity": 1}
    left, right = (drawn("laterality-marker", shape, {**still, "letter": side}).mask(np.array([0])) for side in "LR")
    assert int(left.sum()) < int(right.sum())
    assert bool(left[0, 0, 48, 25:36].all())  # the foot of the L: 42 px tall, a unit is 6, its line at 30 + 3 * 6
    assert not bool(left[0, 0, :40, 30:].any())
    either = drawn("laterality-marker", shape, {**still, "letter": "either"}, count=400)
    share = float(either.parameters["letter"].double().mean())
    assert 0.4 < share < 0.6
    for row in (0, 1, 2, 3):
        expected = right if either.parameters["letter"][row] else left
        assert torch.equal(either.mask(np.array([row])), expected)


def test_the_digits_of_a_text_line_are_the_rows_own() -> None:
    params = {"text": "#7", "size": 0.5, "x": 0.5, "y": 0.5}
    text = drawn("text-line", (1, 40, 60), params, count=300)
    digit = text.parameters["digit 0"].numpy()
    assert np.array_equal(np.unique(digit), np.arange(10))
    row = int(np.flatnonzero(digit == 4)[0])
    fixed = drawn("text-line", (1, 40, 60), {**params, "text": "47"})
    assert torch.equal(text.mask(np.array([row])), fixed.mask(np.array([0])))


def test_a_ruler_has_its_marks() -> None:
    # 100 px tall, marks from 10 to 90 every 8 px; the longest 10 px from 3 px off the right edge
    ruler = drawn("ruler", (1, 100, 100), {"length": 0.8, "marks": 10, "size": 0.1, "jitter": 0, "opacity": 1})
    out = ruler.apply(torch.zeros(1, 1, 100, 100), np.array([0]))[0, 0]
    column = out[:, 93] > 0.3  # 4 px from the line: every mark reaches it
    starts = int((column[1:] & ~column[:-1]).sum())
    assert starts == 11
    longest = out[:, 88] > 0.3  # 9 px from the line: the first and the tenth
    assert int((longest[1:] & ~longest[:-1]).sum()) == 2


def test_calipers_lie_at_the_ends_of_their_length() -> None:
    for row in range(5):
        calipers = drawn("caliper", (1, 200, 200), {"length": 0.5, "jitter": 0}, count=5)
        mask = calipers.mask(np.array([row]))[0, 0]
        y, x = mask.nonzero().double().T + 0.5
        far = float(torch.sqrt((x - 100) ** 2 + (y - 100) ** 2).max())
        half = float(calipers.parameters["length"][row]) / 2
        assert 35 <= half <= 50
        assert half < far < half + 0.03 * 200 + 2


def test_a_pen_ring_leaves_the_middle_free() -> None:
    mask = drawn("surgical-pen", (3, 100, 100), {"jitter": 0}, count=20).mask(np.arange(20))
    y, x = (torch.arange(100) - 49.5)[:, None], (torch.arange(100) - 49.5)[None, :]
    away = torch.sqrt(x * x + y * y).expand(20, 1, 100, 100)
    assert float(away[mask].min()) > 0.85 * 38 * 0.97 - 3
    assert float(away[mask].max()) < 1.15 * 38 * 1.03 + 3


def test_the_widest_pen_ring_lies_within_the_image() -> None:
    shape = (3, 256, 256)
    pen = drawn("surgical-pen", shape, {"x": 0.0, "y": 1.0}, count=2000)
    (ring,) = cast("Any", pen.intervention).layers(
        {name: values.numpy() for name, values in pen.parameters.items()}, shape
    )
    left, low = ring.figure.ends[::2] - ring.figure.radii, ring.figure.ends[1::2] + ring.figure.radii
    assert -1e-3 < float(left.min()) < 2
    assert 254 < float(low.max()) < 256 + 1e-3


def test_colors_of_marks_and_what_they_are_on_gray_images() -> None:
    at = {"opacity": 1, "corner": "upper left", "size": 0.5}
    color, lone = (applied("scope-inset", gray(0.5, 100, channels=c), at) for c in (3, 1))
    corner = (slice(None), slice(None), 5, 5)
    assert torch.allclose(color[corner], torch.tensor([[0.06, 0.64, 0.53]]))
    assert float(lone[corner]) == pytest.approx(0.299 * 0.06 + 0.587 * 0.64 + 0.114 * 0.53)


def test_a_collimator_leaves_the_middle_and_blackens_the_rim() -> None:
    border = drawn("collimation-border", (1, 80, 120), {"width": 0.2, "softness": 0}, count=50)
    out = border.apply(torch.ones(50, 1, 80, 120), np.arange(50))
    assert bool((out[:, :, 17:-17, 17:-17] == 1).all())
    assert bool((out[:, :, :4] == 0).all())
    assert bool((out[:, :, :, -4:] == 0).all())
    dark = (out[:, 0, 40] < 0.5).double().cumprod(dim=1).sum(dim=1)
    assert torch.allclose(dark, border.parameters["left"].round(), atol=1)


def test_a_vignette_is_black_far_out_and_nothing_within() -> None:
    out = applied("vignette", gray(0.8, 101), {"radius": 0.4, "softness": 0.1, "jitter": 0, "opacity": 1})[0, 0]
    y, x = (torch.arange(101) - 50)[:, None], (torch.arange(101) - 50)[None, :]
    away = torch.sqrt((x * x + y * y).float()) / 101
    assert bool((out[away < 0.345] == 0.8).all())
    assert bool((out[away > 0.455] == 0).all())
    assert float(out[(away > 0.395) & (away < 0.405)].mean()) == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("name", ["chest-drain", "pacemaker"])
def test_a_device_on_the_other_side_is_the_mirror_image(name: str) -> None:
    # the drawn side decides the side alone; a tilted pacemaker keeps its tilt, so it is compared by its place
    images = torch.zeros(6, 1, 120, 120)
    left, right = (applied(name, images, {"side": side}) for side in ("left", "right"))
    if name == "chest-drain":
        assert torch.allclose(left, right.flip(3), atol=1e-4)
    assert float(left[:, :, :50, :50].mean()) > 3 * float(right[:, :, :50, :50].mean())


def test_electrodes_and_hairs_are_as_many_as_asked() -> None:
    out = applied("electrode", torch.zeros(8, 1, 200, 200), {"count": 3, "opacity": 1})
    for image in out:
        snaps = ndimage.label((image[0] > 0.93).numpy())[1]
        assert 1 <= snaps <= 3  # snaps may touch
    few, many = (applied("hair", torch.ones(8, 3, 100, 100), {"count": count}) for count in (2, 40))
    assert float((many < 0.9).double().mean()) > 5 * float((few < 0.9).double().mean())


# refusals


def test_what_cannot_be_is_refused_in_one_sentence() -> None:
    with pytest.raises(SpecError) as wide:
        drawn("text-line", (1, 64, 20), {"size": 0.35})
    assert str(wide.value) == (
        "a line of 16 letters of size 0.35 is 95 px wide, wider than the image of 20 px: give a smaller size or fewer "
        "letters"
    )
    with pytest.raises(SpecError) as dense:
        drawn("ruler", (1, 16, 16), {"marks": 50})
    assert str(dense.value) == (
        "a ruler of 50 marks over 13 px has 0.26 px between them: give fewer marks or a greater length"
    )
    with pytest.raises(SpecError) as channels:
        drawn("jpeg", (2, 16, 16))
    assert str(channels.value) == "JPEG takes gray and RGB images, not 2 channels: set `channels` to gray or color"


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("text-line", {"text": "héllo"}, "cannot draw 'h' 'l' 'o' 'é': use capitals, digits, space"),
        ("scanner-histogram", {"quantiles": [0, 0.5, 0.4]}, "quantiles must not fall and must lie within 0 to 1"),
        ("low-pass", {"cutoff": 0}, "greater than 0"),
        ("poisson-noise", {"photons": 10}, "greater than or equal to 100"),
        ("jpeg", {"quality": 0}, "greater than or equal to 1"),
        ("collimation-border", {"width": 0.5}, "less than 0.5"),
        ("hair", {"opacity": 1.1}, "less than or equal to 1"),
        ("gamma", {"gamma": 0}, "greater than or equal to 0.1"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused_before_anything_is_built(name: str, params: Any, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        build("intervention", name, params)
