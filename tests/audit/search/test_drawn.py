"""What is drawn alike on a few images, and what moves a few, on callables whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.audit.search.test_search import CORNER, COUNT, GLYPH, MODELS, SIDE, two_scores, verdict, world
from tests.cases import first_of

from assay.audit.search.drawn import marks_drawn_alike
from assay.audit.search.exchange import exchange_effects
from assay.audit.search.finders import FINDERS
from assay.audit.search.patches import carrying_group
from assay.audit.search.regions import Box
from assay.audit.search.sample import CountedModel, SearchSample
from assay.audit.search.search import RegionFinding, find_region
from assay.plugin import Code, Reason
from assay.stats.rows import RegionVerdict

find_drawn, find_shape, find_turned = (FINDERS[of] for of in ("drawn", "shape", "turned"))
SHARES = (0.04, 0.24)
"""Shares of both classes with a letter."""


def rare(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images of which few have a letter, their classes, and whether they have it."""
    made = world(seed)
    has = np.zeros(COUNT, dtype=bool)
    for code, share in enumerate(SHARES):
        own = np.flatnonzero(made.target == code)
        has[np.random.default_rng(seed + 9).permutation(own)[: round(share * len(own))]] = True
    made.images[has, :, CORNER[0], CORNER[1]] = GLYPH
    return made.images, made.target, has


def letter(images: np.ndarray) -> np.ndarray:
    return MODELS["letter"](images)[:, None]


def sought(images: np.ndarray, target: np.ndarray, seed: int) -> SearchSample:
    return SearchSample(images, target, np.arange(COUNT), letter(images), seed)


@pytest.mark.parametrize("side", [1, 4])
def test_what_is_drawn_alike_is_found_with_its_pixels_its_images_and_its_polarity(side: int) -> None:
    images, _, has = rare(0)
    (one, *more) = marks_drawn_alike(images.repeat(side, axis=2).repeat(side, axis=3))
    dark = [other for other in more if (other.carry == has).all()]
    assert all(other.pixels.sum() == 4 for other in more if other not in dark), "one pixel, enlarged"
    assert (one.carry == has).all()
    pixels = np.zeros((SIDE, SIDE), dtype=bool)
    pixels[CORNER] = True
    kept = one.pixels[:: one.pixels.shape[0] // SIDE, :: one.pixels.shape[1] // SIDE]
    assert not kept[~pixels].any()
    assert kept[CORNER].sum() >= 0.9 * (GLYPH == 0.95).sum()
    assert one.bright
    assert isinstance(one.region, Box)
    assert one.region.pixel_mask(SIDE, SIDE)[CORNER].all()


def test_one_value_among_values_that_vary_as_far_is_drawn() -> None:
    """A frame of the gray of tissue: no cut of the values tells its carriers, but these are the same all round."""
    draws = np.random.default_rng(0)
    images = draws.uniform(0.1, 0.9, (80, 1, SIDE, SIDE)).astype(np.float32)
    has = np.arange(80) % 10 == 0
    frame = np.ones((SIDE, SIDE), dtype=bool)
    frame[2:-2, 2:-2] = False
    images[np.ix_(has, [0])] = np.where(frame, np.float32(0.7), images[np.ix_(has, [0])])
    one, *more = marks_drawn_alike(images)
    assert (one.carry == has).all()
    assert not any((other.pixels & ~frame).any() for other in more)
    assert (one.pixels & frame).sum() == one.pixels.sum() >= 0.6 * frame.sum()
    assert one.bright
    assert not marks_drawn_alike(draws.uniform(0.1, 0.9, (80, 1, SIDE, SIDE)).astype(np.float32))


def test_a_colored_mark_as_bright_as_what_is_around_it_is_drawn() -> None:
    gray, has = 0.5 + 0.1 * np.random.default_rng(0).normal(size=(COUNT, 1, SIDE, SIDE)), np.arange(COUNT) % 5 == 0
    images = np.repeat(gray.astype(np.float32), 3, axis=1)
    shape = np.zeros((SIDE, SIDE), dtype=bool)
    shape[CORNER] = GLYPH == 0.95
    for image in (images[at] for at in np.flatnonzero(has)):
        image[:, shape] = np.array([0.2, 0.65, 0.65])[:, None]  # on average 0.5
    (found,) = marks_drawn_alike(images)
    assert (found.carry == has).all()
    assert (found.pixels == shape).all()


def test_a_mark_that_is_up_to_a_pixel_away_is_drawn_alike() -> None:
    draws = np.random.default_rng(0)
    images = (0.4 + 0.05 * draws.normal(size=(COUNT, 1, SIDE, SIDE))).astype(np.float32)
    has = np.arange(COUNT) % 5 == 0
    for image in (images[at] for at in np.flatnonzero(has)):
        rows, columns = (
            slice(edge.start + by, edge.stop + by) for edge, by in zip(CORNER, draws.integers(-1, 2, 2), strict=True)
        )
        image[:, rows, columns] = GLYPH
    found = marks_drawn_alike(images)[0]
    assert (found.carry == has).all()
    assert found.region.pixel_mask(SIDE, SIDE)[CORNER].all()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_mark_on_few_images_is_found_where_the_exchange_of_regions_cannot_see_it(seed: int) -> None:
    images, target, has = rare(seed)
    sample = sought(images, target, seed)
    found, missed = find_drawn(letter, sample), find_region(letter, sample)
    assert isinstance(found, RegionFinding)
    assert isinstance(missed, RegionFinding)
    where = found.region.pixel_mask(SIDE, SIDE)
    assert where is not None
    assert where[CORNER].all()
    assert (found.high == has).all()
    assert (carrying_group(sample, where, found.high)[0] == has).all()
    assert verdict(found, None) == RegionVerdict.UNVERIFIED
    assert verdict(found, 1.0) == RegionVerdict.RELIES
    elsewhere = missed.region.pixel_mask(SIDE, SIDE)
    assert elsewhere is not None
    assert not elsewhere[CORNER].any(), "the finding in the middle moves answers more"
    marked = images.copy()
    marked[:, :, CORNER[0], CORNER[1]] = GLYPH
    truth = (letter(marked) - letter(world(seed).images)).mean() / sample.sd_within_classes
    assert found.effect.value == pytest.approx(truth, rel=0.1)
    assert found.search_passes <= 576


def test_carriers_of_what_is_drawn_are_by_one_score_in_both_halves() -> None:
    images, binary, has = rare(2)
    target = np.where(binary == 1, 2, np.arange(COUNT) // 2 % 2)
    found = find_drawn(
        two_scores, SearchSample(images, target, np.arange(COUNT), two_scores(images), 2), ("a", "b", "c")
    )
    assert isinstance(found, RegionFinding)
    assert found.halves_agree
    same = (found.high == has).mean()
    assert max(same, 1 - same) == 1
    assert abs(found.score_change) > 1


def test_the_effect_of_an_exchange_is_that_on_an_image_times_the_difference_of_shares() -> None:
    """From which what a search could have seen is said: a mark that moves scores by 2 sd shows from limit / 2 on."""
    images, target, has = rare(0)
    images[:] = 0.5
    images[has, :, CORNER[0], CORNER[1]] = 1
    sample = SearchSample(images, target, np.arange(COUNT), np.zeros((COUNT, 1)), sd_within_classes=0.25)
    model = CountedModel(lambda x: x[:, 0, 42, 42].astype(np.float64)[:, None])
    box = Box(2 / 3, 2 / 3, 1, 1)
    effect = exchange_effects(model, sample, [box], np.arange(COUNT), 2)[0].mean()
    assert effect == pytest.approx(0.5 / 0.25 * (SHARES[1] - SHARES[0]), abs=0.01)


def test_a_corner_that_is_black_in_all_images_is_not_drawn_where_only_what_is_around_it_differs() -> None:
    draws = np.random.default_rng(0)
    images = draws.uniform(0.1, 0.3, (80, 1, SIDE, SIDE)).astype(np.float32)
    images[::5, 0, :8, :8] += draws.uniform(0.3, 0.6, (16, 1, 1))
    images[:, 0, :3, :3] = 0
    assert not marks_drawn_alike(images)
    images[::5, 0, :3, :3] = 0.95
    found = marks_drawn_alike(images)[0]
    assert (found.carry == (np.arange(80) % 5 == 0)).all()
    assert found.pixels[:3, :3].all()


@pytest.mark.parametrize("model", ["middle", "diffuse"])
def test_nothing_is_drawn_alike_without_a_mark(model: str) -> None:
    made = world(2)

    def scores(images: np.ndarray) -> np.ndarray:
        return MODELS[model](images)[:, None]

    assert marks_drawn_alike(made.images) == []
    found = find_drawn(scores, SearchSample(made.images, made.target, np.arange(COUNT), scores(made.images)))
    assert isinstance(found, Reason)
    assert Code.NOTHING_DRAWN in found


def test_a_drawn_mark_that_moves_no_answer_is_no_lead() -> None:
    images, target, _ = rare(3)

    def scores(images: np.ndarray) -> np.ndarray:
        return MODELS["middle"](images)[:, None]

    found = find_drawn(scores, SearchSample(images, target, np.arange(COUNT), scores(images)))
    assert isinstance(found, RegionFinding)
    assert verdict(found, None) == RegionVerdict.NOTHING_FOUND
    assert found.effect.value == pytest.approx(0, abs=1e-6)


def test_a_shape_at_changing_places_is_found_on_its_images_and_taken_off_them() -> None:
    _, target, has = rare(1)
    draws, plain = np.random.default_rng(0), world(1).images
    images = plain.copy()
    for image in (images[at] for at in np.flatnonzero(has)):
        top, left = draws.integers(0, SIDE - 8, 2)
        image[:, top : top + 8, left : left + 8] = 0.9
        image[:, top + 2 : top + 4, left + 1 : left + 7] = image[:, top + 1 : top + 7, left + 5] = 0.1

    def bright(images: np.ndarray) -> np.ndarray:
        return (
            30.0 * (images > 0.85).mean(axis=(1, 2, 3), dtype=np.float64)[:, None]
            + 0.1 * MODELS["middle"](images)[:, None]
        )

    found = find_shape(bright, SearchSample(images, target, np.arange(COUNT), bright(images), 1))
    assert isinstance(found, RegionFinding)
    assert verdict(found, None) == RegionVerdict.UNVERIFIED
    assert (found.high == has).all()
    off = found.region.remove(images, np.broadcast_to(plain[:1], images.shape))
    assert (off > 0.85)[has].mean() < 0.1 * (images > 0.85)[has].mean()
    assert (off == images)[~has].all()
    nothing = find_shape(bright, SearchSample(plain, target, np.arange(COUNT), bright(plain), 1))
    assert isinstance(nothing, Reason)
    assert Code.NOTHING_DRAWN in nothing


def turned(shares: tuple[float, float]) -> tuple[SearchSample, np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return images some of which have a turned L somewhere, which of them, and a model that finds what is bright."""
    made, draws = world(1), np.random.default_rng(3)
    images, has = made.images.copy(), np.zeros(COUNT, dtype=bool)
    for code, share in enumerate(shares):
        own = np.flatnonzero(made.target == code)
        has[draws.permutation(own)[: round(share * len(own))]] = True
    stroke = np.linspace(0, 5, 40)
    for image in (images[at] for at in np.flatnonzero(has)):
        (top, left), angle = draws.uniform(6, SIDE - 7, 2), draws.uniform(0, 2 * np.pi)
        for down, across in ((stroke, 0 * stroke), (0 * stroke, stroke * 0.7)):
            rows = np.cos(angle) * down - np.sin(angle) * across + top
            columns = np.sin(angle) * down + np.cos(angle) * across + left
            image[:, rows.round().astype(int), columns.round().astype(int)] = 0.95

    def bright(images: np.ndarray) -> np.ndarray:
        return 30.0 * (images > 0.9).mean(axis=(1, 2, 3), dtype=np.float64)[:, None] + 0.1 * letter(images)

    return SearchSample(images, made.target, np.arange(COUNT), bright(images), 1), has, bright


def test_a_turned_shape_at_changing_places_is_found_on_its_images_and_taken_off_them() -> None:
    sample, has, bright = turned((0.2, 0.8))
    found = find_turned(bright, sample)
    assert isinstance(found, RegionFinding)
    assert found.halves_agree
    assert found.effect.low > 0.45
    assert found.high[has].mean() - found.high[~has].mean() > 0.8
    plain = np.broadcast_to(world(1).images[:1], sample.images.shape)
    off = found.region.remove(sample.images, plain)
    assert (off > 0.9)[has].sum() < 0.3 * (sample.images > 0.9)[has].sum()


def test_a_shape_that_one_class_alone_has_may_be_its_disease() -> None:
    sample, has, bright = turned((0.0, 0.8))
    found = find_turned(bright, sample)
    carry = np.zeros(COUNT, dtype=bool) if isinstance(found, Reason) else found.high
    assert abs(carry[has].mean() - carry[~has].mean()) < 0.3


# Places that move some images alone.

TINT = np.array([0.14, -0.07, -0.07], dtype=np.float32)[:, None, None]
LIMIT = 0.6
MANY = 160
PATTERN = np.random.default_rng(5).normal(size=(SIDE, SIDE))
Model = Callable[[np.ndarray], np.ndarray]


def striped(seed: int, tie: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images with a lesion on all of one class, and a tinted strip on shares of both; classes; the strip's."""
    draws, target = np.random.default_rng(seed), np.arange(MANY) % 2
    images = 0.5 + 0.03 * draws.normal(size=(MANY, 3, SIDE, SIDE))
    images += 0.05 * draws.normal(size=(MANY, 1, 8, 8)).repeat(6, axis=2).repeat(6, axis=3)
    images[:, :, 20:28, 20:28] = 0.5 - 0.2 * target[:, None, None, None]
    has = draws.random(MANY) < np.where(target == 1, *tie)
    images[has, :, :, :5] += TINT
    return images.clip(0, 1).astype(np.float32), target, has


def lesion(images: np.ndarray) -> np.ndarray:
    return (0.5 - images[:, :, 20:28, 20:28].mean(axis=(1, 2, 3), dtype=np.float64)) * 30 + diffuse(images)


def diffuse(images: np.ndarray) -> np.ndarray:
    return (images[:, 1] * PATTERN).sum(axis=(1, 2), dtype=np.float64)


def strip(images: np.ndarray) -> np.ndarray:
    return lesion(images) / 5 + 15 * (images[:, 0, :, :5] - images[:, 2, :, :5]).mean(axis=(1, 2), dtype=np.float64)


def occluded(model: Model, seed: int, tie: tuple[float, float]) -> tuple[RegionFinding | Reason, np.ndarray, int]:
    images, target, has = striped(seed, tie)
    read = list[int]()

    def scores(pixels: np.ndarray) -> np.ndarray:
        read.append(len(pixels))
        return model(pixels)[:, None]

    sample = SearchSample(images, target, np.arange(MANY), scores(images), seed)
    read.clear()
    return FINDERS["occluded"](scores, sample), has, sum(read)


@pytest.mark.parametrize("seed", first_of([0, 1]))
def test_a_tint_at_an_edge_is_found_with_its_place_and_its_images(seed: int) -> None:
    found, has, read = occluded(strip, seed, (0.75, 0.1))
    assert isinstance(found, RegionFinding)
    assert verdict(found, LIMIT) == RegionVerdict.RELIES
    where = found.region.pixel_mask(SIDE, SIDE)
    assert where is not None
    assert where[:, 0].mean() >= 0.25
    assert not where[:, SIDE // 2 :].any()
    carry = found.high if found.high_carries is not False else ~found.high
    assert (carry == has).mean() > 0.95
    assert found.passes == read <= 5000


@pytest.mark.parametrize("seed", first_of([0, 1]))
def test_a_lesion_of_one_class_has_no_effect(seed: int) -> None:
    found, _, _ = occluded(lesion, seed, (0.0, 0.0))
    assert isinstance(found, Reason) or abs(found.effect.value) < found.class_distance / 2


def test_the_direction_of_what_lowers_a_score_is_known() -> None:
    found, has, _ = occluded(lambda images: lesion(images) / 2.5 - strip(images), 2, (0.1, 0.75))
    assert isinstance(found, RegionFinding)
    assert found.high_carries is False
    assert (~found.high == has).mean() > 0.95
