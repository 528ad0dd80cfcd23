"""Pictures that do not fill their squares: what an intervention changes is the picture, as if there were no square."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.shifts.test_file_population import PLAIN, TESTS, dataset, population

from assay.core.files import content_hash
from assay.data.cache import ArrayImages
from assay.plugin import Batch, Component, SpecError, build, distort, draw, entries, placed, visibility
from assay.spec.parse import parse_study
from assay.spec.schema import EnvironmentSpec, InterventionSpec
from assay.study.confounders import ConfounderSample, confounders
from assay.training.augmentation import build_augmenter

SIZE = 48
NATIVE = np.array([[480, 300], [300, 480], [480, 480], [480, 300], [200, 480]], dtype=np.int64)
ROWS = np.array([4, 11, 2**31 + 5, 7, 0], dtype=np.int64)
NAMES = [entry.name for entry in entries("intervention")]


def boxes(native, size):
    found = [placed(height, width, size) for width, height in native.tolist()]
    return np.array([[box.top, box.left, box.height, box.width] for box in found])


def squares(channels=3):
    """Noise where a picture lies, black elsewhere."""
    images, placed_at = torch.zeros(len(NATIVE), channels, SIZE, SIZE), boxes(NATIVE, SIZE)
    for image, (top, left, height, width) in zip(images, placed_at.tolist(), strict=True):
        noise = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))
        image[:, top : top + height, left : left + width] = noise
    return images, placed_at


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
    return replace(made, images=ArrayImages(pixels), masks=None, native=native, boxes=boxes(native, 24))


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


def test_where_pictures_lie_is_part_of_what_an_environment_is_whatever_is_put_on_them():
    """What a mitigation or a distortion puts on lies there too, and p = 0 is p = 0 of every confounder."""
    square = replace(padded(), boxes=None)

    def named(made, environment):
        files = population(made)
        return content_hash(files.identity(environment)), content_hash(files.scene(TESTS, 0).identity("(neutral)"))

    for wide, other in zip(named(padded(), PLAIN), named(square, PLAIN), strict=True):
        assert wide != other
    at_none = EnvironmentSpec(interventions={"tag": tagged().interventions["tag"].model_copy(update={"share": 0.0})})
    assert named(padded(), PLAIN) == named(padded(), at_none)


def test_a_distortion_leaves_padding_black():
    shown = population(padded()).scene({"plain": PLAIN}, 0).environment("plain")
    wide = np.flatnonzero(shown.table.row % 2 == 0)
    for family in ("brightness", "gaussian-noise"):
        images = distort(shown, family, 5).images.read(wide)
        assert not images[:, :, :6].any()
        assert (images[:, :, 6:18] != shown.images.read(wide)[:, :, 6:18]).any(dim=3).all()


def test_how_visible_a_change_is_is_told_of_pictures_without_their_padding(tmp_path):
    study = {"name": "visible", "data": {"folder": str(tmp_path), "target": "ill"}, "seeds": 1,
             "environments": {"train": {}, "same": {"interventions": {"gamma": {"gamma": 2}}}}}  # fmt: skip
    (tmp_path / "data.csv").write_text("image,ill\n")
    spec = parse_study(study)
    (change,) = confounders(spec.points)
    wide, square = (
        ConfounderSample.at(spec, population(made)).visibility(change)
        for made in (padded(), replace(padded(), boxes=None))
    )
    assert (wide.share == 1).all()  # gray of 0.3 darkens wherever there is a picture
    assert square.share.min() == 0.5


def test_a_picture_that_cannot_carry_a_change_is_counted():
    placed_at = np.array([[0, 0, 48, 48], [20, 0, 6, 48], [20, 0, 6, 48]])
    with pytest.raises(SpecError, match="; 2 of 3 pictures are of that size"):
        draw(
            "it",
            build("intervention", "text-line", {"size": 1.0}),
            np.ones(3, bool),
            ROWS[:3],
            0,
            (1, 48, 48),
            placed_at,
        )


def test_a_mark_that_augments_lies_in_the_picture():
    images, placed_at = squares()
    mitigation = build("mitigation", "tests.training.mitigations.own:Tagged", {"probability": 1.0})
    target = torch.zeros(len(images), dtype=torch.long)
    batch = Batch(images, target, torch.arange(len(images)), boxes=placed_at)
    augmented = build_augmenter([], mitigation.augmentations())(batch, 0, "train", 0, 0)
    out = augmented.images
    assert augmented.boxes is None  # what follows may have moved them
    for image, before, (top, left, height, width) in zip(out, images, placed_at.tolist(), strict=True):
        inside = image[:, top : top + height, left : left + width]
        assert (inside != before[:, top : top + height, left : left + width]).any()
        rest = image.clone()
        rest[:, top : top + height, left : left + width] = 0
        assert not rest.any()
