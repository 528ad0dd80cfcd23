from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.environments import part
from torch.nn import functional

from assay.plugin import Batch, build, entries
from assay.training.augmentation import build_augmenter

NAMES = [entry.name for entry in entries("augmentation")]


def pixels(count=5, channels=2, height=9, width=7):
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def batch(images, masks=None):
    count = len(images)
    return Batch(images=images, target=torch.zeros(count, dtype=torch.long), row=torch.arange(count), masks=masks)


@pytest.mark.parametrize("name", NAMES)
def test_input_is_left_as_it_was_and_output_is_an_image(name):
    images = pixels()
    before = images.clone()
    change = build("augmentation", name, {})
    out = change.apply(images, change.draw(np.random.default_rng(0), len(images)))
    assert torch.equal(images, before)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_same_draws_give_the_same_pixels(name):
    images = pixels()
    change = build("augmentation", name, {})
    draws = change.draw(np.random.default_rng(3), len(images))
    assert torch.equal(change.apply(images, draws), change.apply(images, draws))


def test_flip_by_hand():
    images = pixels(3)
    flip = build("augmentation", "flip", {})
    out = flip.apply(images, {"left_right": np.array([1, 0, 1], bool), "up_down": np.array([0, 1, 1], bool)})
    a = images.numpy()
    expected = np.stack([a[0, :, :, ::-1], a[1, :, ::-1], a[2, :, ::-1, ::-1]])
    assert np.array_equal(out.numpy(), expected)


@given(down=st.integers(-3, 3), right=st.integers(-3, 3))
@settings(max_examples=20)
def test_shift_is_a_roll_with_repeated_edges(down, right):
    images = pixels(1)
    out = build("augmentation", "shift", {"pixels": 3}).apply(
        images, {"down": np.array([down]), "right": np.array([right])}
    )
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="edge")
    expected = padded[:, :, 3 - down : 3 - down + 9, 3 - right : 3 - right + 7]
    assert np.array_equal(out.numpy(), expected)


def drawn(**values: float) -> dict[str, np.ndarray]:
    """Draws of `affine` for one image: nothing changes but these."""
    plain = {"angle": 0.0, "scale": 1.0, "down": 0.0, "right": 0.0, "slant": 0.0}
    return {name: np.array([value]) for name, value in {**plain, **values}.items()}


@pytest.mark.parametrize("shape", [(9, 9), (8, 12)])
def test_affine_of_half_a_turn_is_both_flips(shape):
    images = pixels(1, 1, *shape)
    draws = {
        "angle": np.array([np.pi]),
        "scale": np.array([1.0]),
        "down": np.array([0.0]),
        "right": np.array([0.0]),
        "slant": np.array([0.0]),
    }
    out = build("augmentation", "affine", {}).apply(images, draws)
    assert torch.allclose(out, images.flip(-1, -2), atol=1e-5)


def test_affine_turns_a_long_image_without_shearing_it():
    """A dot 3 px right of the center of a 21 x 41 image lies 3 px above it after a quarter turn, or below."""
    images = torch.zeros(1, 1, 21, 41)
    images[0, 0, 10, 23] = 1
    draws = drawn(angle=np.pi / 2)
    out = build("augmentation", "affine", {}).apply(images, draws)[0, 0]
    row, column = divmod(int(out.argmax()), 41)
    assert column == 20
    assert abs(row - 10) == 3
    assert float(out.max()) == pytest.approx(1, abs=1e-4)


def test_affine_shift_moves_by_the_share_it_says():
    images = torch.zeros(1, 1, 20, 40)
    images[0, 0, 10, 10] = 1
    draws = drawn(down=0.1, right=0.25)
    out = build("augmentation", "affine", {}).apply(images, draws)[0, 0]
    assert divmod(int(out.argmax()), 40) == (12, 20)


@pytest.mark.parametrize(("angle", "scale", "slant"), [(0, 1, 10), (0, 1, -25), (30, 0.9, 8)])
@pytest.mark.parametrize("shape", [(33, 33), (21, 41)])
def test_affine_with_a_shear_is_that_of_torchvision(shape, angle, scale, slant):
    """Compared in the middle, since torchvision blackens edges."""
    images = functional.avg_pool2d(pixels(1, 1, *shape), 5, stride=1, padding=2)
    tangent = math.tan(math.radians(slant))
    draws = drawn(angle=math.radians(angle), scale=scale, slant=tangent)
    out = build("augmentation", "affine", {}).apply(images, draws)
    how = torchvision.transforms.InterpolationMode.BILINEAR
    expected = torchvision.transforms.functional.affine(images, angle, [0, 0], scale, [slant, 0.0], how)
    middle = (..., slice(shape[0] // 2 - 5, shape[0] // 2 + 6), slice(shape[1] // 2 - 5, shape[1] // 2 + 6))
    assert torch.allclose(out[middle], expected[middle], atol=1e-5)


def test_without_a_shear_the_other_draws_are_the_same():
    one, other = (build("augmentation", "affine", {"shear": shear}) for shear in (0.0, 20.0))
    first, second = (how.draw(np.random.default_rng(3), 5) for how in (one, other))
    assert all(np.array_equal(first[name], second[name]) for name in ("angle", "scale", "down", "right"))
    assert not first["slant"].any()
    assert (np.abs(second["slant"]) <= math.tan(math.radians(20))).all()
    assert second["slant"].any()


def test_noise_has_the_deviation_drawn_for_each_image():
    images = torch.full((2, 1, 64, 64), 0.5)
    out = build("augmentation", "noise", {}).apply(
        images, {"sd": np.array([0.02, 0.05], np.float32), "key": np.array([7, 8])}
    )
    assert (out - images).std(dim=(1, 2, 3)).tolist() == pytest.approx([0.02, 0.05], rel=0.05)


def test_masks_follow_their_images():
    images = pixels(64, 1, 16, 16).round()
    augment = build_augmenter(
        (part("augmentation", "flip"), part("augmentation", "shift"), part("augmentation", "noise"))
    )
    still = build_augmenter((part("augmentation", "flip"), part("augmentation", "shift")))
    labels = (images * 3).to(torch.uint8)
    out = augment(batch(images, labels), 0, "augmentation", 0, 0)
    assert out.masks.dtype == torch.uint8
    assert torch.equal(out.masks, (still(batch(images), 0, "augmentation", 0, 0).images * 3).to(torch.uint8))


def test_turned_labels_are_taken_over_and_never_mixed():
    """Of kinds 1 and 3 side by side no 2 comes about; what is turned lies where the turned image of it is."""
    labels = torch.zeros((32, 1, 24, 24), dtype=torch.uint8)
    labels[:, :, 6:18, 4:12], labels[:, :, 6:18, 12:20] = 1, 3
    turn = build_augmenter((part("augmentation", "affine", degrees=40, scale=0.2, shift=0.1),))
    out = turn(batch(labels.float() / 3, labels), 0, "augmentation", 0, 0)
    assert out.masks.dtype == torch.uint8
    assert set(out.masks.unique().tolist()) == {0, 1, 3}
    for kind, level in ((1, 1 / 3), (3, 1.0)):
        inside = torch.nn.functional.avg_pool2d((out.masks == kind).float(), 3, 1, 1) > 0.99
        assert inside.any()
        assert (out.images[inside] - level).abs().max() < 1e-4


def test_draws_depend_on_seed_step_and_view_alone():
    images = pixels(16)
    augment = build_augmenter((part("augmentation", "shift"),))
    more = build_augmenter((part("augmentation", "flip", horizontal=0, vertical=0), part("augmentation", "shift")))

    def out(augmenter, seed=0, step=0, view=0):
        return augmenter(batch(images), seed, "augmentation", step, view).images

    assert torch.equal(out(augment), out(augment))
    assert torch.equal(out(augment), out(more))
    others = [out(augment, seed=1), out(augment, step=1), out(augment, view=1)]
    assert not any(torch.equal(out(augment), other) for other in others)


def test_two_of_a_name_draw_apart():
    images = pixels(32)
    once = build_augmenter((part("augmentation", "flip", vertical=0),))
    twice = build_augmenter((part("augmentation", "flip", vertical=0), part("augmentation", "flip", vertical=0)))
    changed = (twice(batch(images), 0, "a", 0, 0).images != images).flatten(1).any(1)
    assert 0 < int(changed.sum()) < 32
    assert not torch.equal(once(batch(images), 0, "a", 0, 0).images, twice(batch(images), 0, "a", 0, 0).images)


def test_an_affine_change_takes_a_range_of_scale_and_a_shift_for_each_side() -> None:
    affine = build("augmentation", "affine", {"degrees": 0, "scale": [0.95, 1.2], "shift": [0.05, 0]})
    draws = affine.draw(np.random.default_rng(0), 2000)
    assert 0.95 <= draws["scale"].min() < 0.96
    assert 1.19 < draws["scale"].max() <= 1.2
    assert (draws["down"] == 0).all()
    assert 0.049 < np.abs(draws["right"]).max() <= 0.05


PUBLISHED = {"degrees": 15, "scale": [0.95, 1.2], "shift": [0.05, 0]}  # Galdran et al. 2022


def test_one_affine_change_at_a_time() -> None:
    affine = build("augmentation", "affine", {**PUBLISHED, "together": False})
    draws = affine.draw(np.random.default_rng(0), 3000)
    changed = np.stack([draws["angle"] != 0, draws["scale"] != 1, draws["right"] != 0, draws["slant"] != 0])
    assert (changed.sum(0) == 1).all()
    assert np.allclose(changed.mean(1), [1 / 3, 1 / 3, 1 / 3, 0], atol=0.03)
    with pytest.raises(ValueError, match="all of them are 0"):
        build("augmentation", "affine", {"degrees": 0, "scale": 0, "shift": 0, "together": False})
    with pytest.raises(ValueError, match=r"the least factor, 1\.2, is above the largest, 0.9"):
        build("augmentation", "affine", {"scale": [1.2, 0.9]})


def test_revealed_pixels_are_black_where_asked() -> None:
    images = torch.ones(4, 1, 16, 16)
    draws = {"angle": np.zeros(4), "scale": np.ones(4), "down": np.zeros(4), "right": np.full(4, 0.25),
             "slant": np.zeros(4)}  # fmt: skip
    assert (build("augmentation", "affine", {}).apply(images, draws) == 1).all()
    black = build("augmentation", "affine", {"fill": "black"}).apply(images, draws)
    assert (black[..., :4] == 0).all()
    assert (black[..., 4:] == 1).all()
