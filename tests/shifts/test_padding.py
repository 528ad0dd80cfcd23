"""Pictures that do not fill their squares: what an intervention changes is the picture, as if there were no square."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.shifts.test_file_population import PLAIN, TESTS, dataset, population

from assay.core.component import Component
from assay.core.environment_spec import EnvironmentSpec, InterventionSpec
from assay.core.hashing import content_hash
from assay.core.registry import build, entries
from assay.data.cache import ArrayImages
from assay.data.dataset import Batch
from assay.data.sources.fitting import boxes, placed
from assay.recipes.augmentation import build_augmenter
from assay.shifts.intervention import draw
from assay.shifts.visibility import visibility

SIZE = 48
NATIVE = np.array([[480, 300], [300, 480], [480, 480], [480, 300], [200, 480]], dtype=np.int64)
ROWS = np.array([4, 11, 2**31 + 5, 7, 0], dtype=np.int64)
NAMES = [entry.name for entry in entries("intervention")]


def squares(channels=3):
    """Noise where a picture lies, black elsewhere."""
    images, placed_at = torch.zeros(len(NATIVE), channels, SIZE, SIZE), boxes(NATIVE, SIZE)
    for image, (top, left, height, width) in zip(images, placed_at.tolist(), strict=True):
        noise = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))
        image[:, top : top + height, left : left + width] = noise
    return images, placed_at


def test_boxes_are_where_images_are_placed_and_none_where_all_fill_their_squares():
    for found, (width, height) in zip(boxes(NATIVE, SIZE).tolist(), NATIVE.tolist(), strict=True):
        box = placed(height, width, SIZE)
        assert found == [box.top, box.left, box.height, box.width]
    assert boxes(NATIVE[[2, 2]], SIZE) is None
    assert boxes(np.array([[1000, 999]]), SIZE) is None  # half a pixel less than the square is the square


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_picture_changes_as_it_would_by_itself_and_padding_stays(name, channels):
    images, placed_at = squares(channels)
    made, marked = build("intervention", name, {}), np.array([True, True, True, False, True])
    change = draw("it", made, marked, ROWS, 3, (channels, SIZE, SIZE), placed_at)
    order = np.array([4, 0, 2, 1, 3])
    changed, masks = change.apply(images[order], order), change.mask(order)
    taken = change.take(order)
    assert torch.equal(taken.apply(images[order], np.arange(5)), changed)
    assert torch.equal(taken.mask(np.arange(5)), masks)
    for at, row in enumerate(order.tolist()):
        top, left, height, width = placed_at[row].tolist()
        inside = (slice(None), slice(top, top + height), slice(left, left + width))
        alone = draw("it", made, marked[[row]], ROWS[[row]], 3, (channels, height, width))
        picture, none = images[row][inside][None], np.array([0])
        assert torch.equal(changed[at][inside], alone.apply(picture, none)[0])
        assert torch.equal(masks[at][inside], alone.mask(none)[0])
        outside = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
        outside[inside] = False
        assert not changed[at][:, outside[0]].any()
        assert not (masks[at] & outside).any()


def padded(count=900):
    """The made-up files, every second one from a photograph that is half as high as it is wide."""
    made = dataset()
    native = np.where(np.arange(count)[:, None] % 2 == 0, [[240, 120]], [[240, 240]]).astype(np.int64)
    pixels = np.full((count, 1, 24, 24), 20_000, dtype=np.uint16)
    pixels[::2, :, :6] = pixels[::2, :, 18:] = 0
    return replace(made, images=ArrayImages(pixels), masks=None, native=native)


def tagged(**params):
    component = Component(kind="intervention", name="tag", params={"size": 0.2, "y": 0, **params})
    return EnvironmentSpec(interventions={"tag": InterventionSpec(component=component, share=1.0)})


def test_a_tag_on_a_wide_photograph_lies_in_the_photograph():
    files = population(padded())
    shown = files.scene({"tagged": tagged(), "plain": PLAIN}, 0).environment("tagged")
    images = shown.images.read(np.arange(len(shown)))
    wide = torch.as_tensor(shown.table.row % 2 == 0)
    assert wide.any()
    assert not images[wide][:, :, :6].any()
    assert (images[wide][:, :, 6] > 0.5).any(dim=2).all()  # at its upper edge
    assert (images[~wide][:, :, 0] > 0.5).any(dim=2).all()
    assert (images[wide][:, 0] > 0.5).sum(dim=(1, 2)).float().mean() < (images[~wide][:, 0] > 0.5).sum(
        dim=(1, 2)
    ).float().mean()


def test_with_and_without_are_pairs_and_training_images_bear_the_same():
    files = population(padded())
    scene = files.scene({"tagged": tagged(), "plain": PLAIN}, 0)
    low, high = (scene.counterfactual("tag", end) for end in ("low", "high"))
    every = np.arange(len(low))
    assert torch.equal(low.images.read(every), scene.neutral().images.read(every))
    assert torch.equal(high.images.read(every), scene.environment("tagged").images.read(every))
    assert (visibility(low.images.read(every), high.images.read(every)).share > 0).all()
    train, _ = files.training(tagged(), 0)
    wide = train.table.row % 2 == 0
    assert not train.images.read(np.flatnonzero(wide))[:, :, :6].any()


def test_where_pictures_lie_is_part_of_what_an_environment_is_where_something_is_put_on_them():
    square = replace(padded(), native=np.full((900, 2), 240))

    def named(made, environment, test):
        files = population(made)
        scene = files.scene({"one": test}, 0)
        return content_hash(files.identity(environment)), content_hash(scene.identity("(neutral)"))

    wide, other = named(padded(), tagged(), tagged()), named(square, tagged(), tagged())
    assert wide[0] != other[0]
    assert wide[1] != other[1]
    assert named(padded(), PLAIN, TESTS["none"]) == named(square, PLAIN, TESTS["none"])


def test_a_confounder_that_augments_lies_in_the_picture():
    images, placed_at = squares()
    mitigation = build("mitigation", "confounder-augmentation", {"intervention": {"tag": {}}, "probability": 1.0})
    target = torch.zeros(len(images), dtype=torch.long)
    batch = Batch(images, target, torch.arange(len(images)), boxes=placed_at)
    out = build_augmenter([], mitigation.augmentations())(batch, 0, "train", 0, 0).images
    for image, before, (top, left, height, width) in zip(out, images, placed_at.tolist(), strict=True):
        inside = image[:, top : top + height, left : left + width]
        assert (inside != before[:, top : top + height, left : left + width]).any()
        rest = image.clone()
        rest[:, top : top + height, left : left + width] = 0
        assert not rest.any()
