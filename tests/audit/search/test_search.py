"""Find, name, verify, on callables whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tests.cases import first_of

from assay.audit.search.exchange import donor_contributions, exchange_effects, exchange_scores, mean_effect
from assay.audit.search.patches import carrying_group, group_patches, patch_scores
from assay.audit.search.regions import Box
from assay.audit.search.sample import CountedModel, SearchSample, halves_of
from assay.audit.search.search import RegionFinding, find_region
from assay.audit.verdicts import decide_region
from assay.plugin import Code, Reason
from assay.stats.rows import RegionVerdict

SIDE, COUNT = 48, 200
CORNER, MIDDLE = (slice(40, 46), slice(40, 46)), (slice(16, 32), slice(16, 32))
GLYPH = np.zeros((6, 6), dtype=np.float32)
GLYPH[::2], GLYPH[:, ::3] = 0.95, 0.95


def _diffuse() -> np.ndarray:
    """Return a pattern that is everywhere, and in every band alike."""
    spectrum: np.ndarray = np.fft.fft2(np.random.default_rng(3).normal(size=(SIDE, SIDE)))
    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    for low, high in ((0, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1)):
        inside = (radius >= low) & (radius < high)
        spectrum[inside] /= np.sqrt((np.abs(spectrum[inside]) ** 2).sum())
    pattern = np.fft.ifft2(spectrum).real
    return (pattern / pattern.std()).astype(np.float32)


DIFFUSE = _diffuse()


@dataclass(frozen=True, eq=False)
class World:
    """Images with a finding in the middle, a diffuse one, and a mark."""

    images: np.ndarray
    target: np.ndarray
    marked: np.ndarray


def world(seed: int, mark: str = "", tie: float = 0.9) -> World:
    draws = np.random.default_rng(seed)
    target = np.arange(COUNT) % 2
    images = 0.45 + 0.04 * draws.normal(size=(COUNT, 1, SIDE, SIDE))
    images += 0.06 * draws.normal(size=(COUNT, 1, 8, 8)).repeat(6, axis=2).repeat(6, axis=3)
    images[:, :, MIDDLE[0], MIDDLE[1]] += (0.1 * target + 0.06 * draws.normal(size=COUNT))[:, None, None, None]
    images += 0.01 * (target * 1.5 + draws.normal(size=COUNT))[:, None, None, None] * DIFFUSE
    has = draws.random(COUNT) < np.where(target == 1, 0.5 + tie / 2, 0.5 - tie / 2)
    if mark == "letter":
        images[has, :, CORNER[0], CORNER[1]] = GLYPH
    elif mark == "frame":
        for edge in (np.s_[:, :, :2], np.s_[:, :, -2:], np.s_[:, :, :, :2], np.s_[:, :, :, -2:]):
            part = images[edge]
            part[has] = 0.05
    elif mark == "any corner":
        for at in np.flatnonzero(has):
            top, left = draws.choice([1, SIDE - 7], 2)
            images[at, :, top : top + 6, left : left + 6] = GLYPH
    elif mark == "mirrored":
        images += 0.1 * np.linspace(1, -1, SIDE)
        images[has] = images[has][..., ::-1]
    return World(images.clip(0, 1).astype(np.float32), target, has)


def middle(images: np.ndarray) -> np.ndarray:
    return np.asarray(20 * (images[:, 0, *MIDDLE].mean((1, 2)) - 0.5), dtype=np.float64)


def glyph(images: np.ndarray) -> np.ndarray:
    return np.asarray((images[:, 0, *CORNER] * (GLYPH - GLYPH.mean())).mean((1, 2)), dtype=np.float64)


MODELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "letter": lambda x: 15 * glyph(x) + 0.5 * middle(x),
    "letter against": lambda x: -15 * glyph(x) + 0.5 * middle(x),
    "frame": lambda x: -8 * x[:, 0, 0].mean(axis=1).astype(np.float64) + 0.5 * middle(x),
    "any corner": lambda x: (
        10
        * sum(
            abs(np.diff(x[:, 0, a, b], axis=2)).mean((1, 2))
            for a in (np.s_[:8], np.s_[-8:])
            for b in (np.s_[:8], np.s_[-8:])
        )
        + 0.2 * middle(x)
    ),
    "mirrored": lambda x: 10 * (x[:, 0, :, 24:].mean((1, 2)) - x[:, 0, :, :24].mean((1, 2))) + 0.2 * middle(x),
    "middle": middle,
    "diffuse": lambda x: (x[:, 0] * DIFFUSE).mean((1, 2)).astype(np.float64) * 100,
}


def led(model: str, mark: str, seed: int, of: str = "place") -> tuple[RegionFinding, World]:
    made = world(seed, mark)

    def scores(images: np.ndarray) -> np.ndarray:
        return np.asarray(MODELS[model](images), dtype=np.float64)[:, None]

    found = find_region(scores, SearchSample(made.images, made.target, np.arange(COUNT), scores(made.images), seed), of)
    assert isinstance(found, RegionFinding)
    return found, made


def verdict(found: RegionFinding, limit: float | None) -> RegionVerdict:
    return decide_region(
        found.effect,
        found.half_effects,
        halves_agree=found.halves_agree,
        two_groups=found.has_two_groups,
        effective_patients=found.patch_effect.effective_patients,
        limit=limit,
        weak_effect=found.weak_effect,
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("model", "mark", "kind"), [
    ("letter", "letter", "box"), ("letter against", "letter", "box"), ("frame", "frame", "border"),
    ("any corner", "any corner", "corners"),
])  # fmt: skip
def test_a_local_mark_is_found_named_and_verified(model: str, mark: str, kind: str, seed: int) -> None:
    found, made = led(model, mark, seed)
    assert found.halves_agree
    assert {half.region.kind for half in found.halves} == {kind}
    assert verdict(found, 0.65) == RegionVerdict.RELIES
    assert verdict(found, None) == RegionVerdict.UNVERIFIED
    same = (found.high == made.marked).mean()
    assert max(same, 1 - same) >= 0.95
    assert found.patch_effect.lower_bound > 0.05
    assert abs(found.score_change) > 1
    if kind == "border":
        assert found.tone > 0.9 > 0.1 > abs(found.shape)
    if model == "letter":
        assert found.shape > 0.9 > 0.1 > abs(found.tone)
        assert isinstance(found.region, Box)
        assert found.region.bottom - found.region.top <= 1 / 6 + 1e-9
        assert found.region.pixel_mask(SIDE, SIDE)[CORNER].mean() > 0.5


def test_a_model_is_given_no_pixels_beyond_the_range_of_images() -> None:
    """A dark frame whose mean is put below tissue, and the reverse: a root of such pixels is not a number."""
    made, ends = world(0, "frame"), list[float]()

    def scores(images: np.ndarray) -> np.ndarray:
        ends.extend((float(images.min()), float(images.max())))
        return np.asarray(MODELS["frame"](images), dtype=np.float64)[:, None]

    found = find_region(scores, SearchSample(made.images, made.target, np.arange(COUNT), scores(made.images)))
    assert isinstance(found, RegionFinding)
    assert not math.isnan(found.shape)
    assert 0 <= min(ends) < max(ends) <= 1


@pytest.mark.parametrize("color", [(0.9, 0.1, 0.1), (0.1, 0.3, 0.9)])
def test_a_colored_sticker_is_found_on_images_that_are_not_aligned(color: tuple[float, float, float]) -> None:
    draws, made = np.random.default_rng(5), world(5)
    images = made.images * np.array([1, 0.8, 0.7], dtype=np.float32)[:, None, None]
    images = np.stack([np.roll(one, draws.integers(0, SIDE, 2), (1, 2)) for one in images])
    has = draws.random(COUNT) < np.where(made.target == 1, 0.95, 0.05)
    tint = np.array(color, dtype=np.float32)
    images[has, :, CORNER[0], CORNER[1]] = tint[:, None, None]

    def scores(images: np.ndarray) -> np.ndarray:
        sticker = images[:, :, *CORNER].mean((2, 3)) @ (tint - tint.mean())
        return np.asarray(15 * sticker + 100 * images.mean((1, 2, 3)), dtype=np.float64)[:, None]

    found = find_region(scores, SearchSample(images, made.target, np.arange(COUNT), scores(images), 5))
    assert isinstance(found, RegionFinding)
    assert verdict(found, 0.65) == RegionVerdict.RELIES
    where = found.region.pixel_mask(SIDE, SIDE)
    assert where is not None
    assert where[CORNER].any()
    assert not where[MIDDLE].any()
    assert (
        carrying_group(SearchSample(images, made.target, np.arange(COUNT), scores(images)), where, found.high)[0] == has
    ).mean() > 0.95


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_network_that_reads_the_finding_does_not_live_by_a_mark(seed: int) -> None:
    found, _ = led("middle", "letter", seed)
    assert found.region.name == "0.333,0.333,0.667,0.667"
    assert verdict(found, 0.65) == RegionVerdict.LOOK, "no groups: the look of this region"
    assert verdict(found, None) == RegionVerdict.UNVERIFIED


@pytest.mark.parametrize("of", ["place", "whole"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_found_where_a_network_reads_nothing_local(seed: int, of: str) -> None:
    found, _ = led("diffuse", "letter", seed, of)
    assert verdict(found, None) in (RegionVerdict.NOTHING_FOUND, RegionVerdict.INCONCLUSIVE)
    if of == "place":
        assert verdict(found, 0.65) in (RegionVerdict.NOTHING_FOUND, RegionVerdict.INCONCLUSIVE)
        assert found.effect.value < 0.6
    else:
        assert found.effect.value == pytest.approx(found.class_distance / 2, rel=0.2), (
            "the mirror half has half of everything"
        )


@pytest.mark.parametrize(("mark", "level"), [("triangle", 0.9), ("frame", 0.02)])
def test_carriers_are_the_images_that_are_alike_whatever_is_around(mark: str, level: float) -> None:
    made = world(0)
    has = np.random.default_rng(1).random(COUNT) < 0.5
    made.images[:, :, :10, -10:] -= 0.3  # a dark corner, in which a bright triangle is no darker than its surroundings
    pixels = np.ones((SIDE, SIDE), dtype=bool) if mark == "frame" else np.zeros((SIDE, SIDE), dtype=bool)
    if mark == "frame":
        pixels[2:-2, 2:-2] = False
        where = pixels
    else:
        pixels[:9, -9:] = np.triu(np.ones((9, 9), dtype=bool))
        where = Box(0, 2 / 3, 1 / 3, 1).pixel_mask(SIDE, SIDE)
    images = made.images.copy()
    images[:, 0] = np.where(has[:, None, None] & pixels, level, images[:, 0])
    sample = SearchSample(images, made.target, np.arange(COUNT), np.zeros((COUNT, 1)))
    for high in (has, ~has):
        carry, bright = carrying_group(sample, where, high)
        assert (carry == has).all()
        assert bright == (level > 0.5)


def test_a_bright_letter_is_bright_where_its_class_is_darker_all_around() -> None:
    made = world(0)
    has = np.random.default_rng(1).random(COUNT) < 0.5
    where = Box(2 / 3, 2 / 3, 1, 1).pixel_mask(SIDE, SIDE)
    images = made.images.copy()
    images[has] -= 0.2
    images[has, :, -7:-2, -5] = images[has, :, -7:-2:2, -5:-2] = 0.95
    sample = SearchSample(images, made.target, np.arange(COUNT), np.zeros((COUNT, 1)))
    assert images[has][:, :, where].mean() < images[~has][:, :, where].mean(), "darker as a whole"
    for high in (has, ~has):
        carry, bright = carrying_group(sample, where, high)
        assert (carry == has).all()
        assert bright


def test_a_mirrored_history_is_found_by_the_mirror_half() -> None:
    found, made = led("mirrored", "mirrored", 0, "whole")
    assert found.region.kind == "mirror"
    assert verdict(found, 0.65) == RegionVerdict.RELIES
    assert found.effect.value > found.weak_effect, "more than a half of everything"
    same = (found.high == made.marked).mean()
    assert max(same, 1 - same) >= 0.95
    assert math.isnan(found.shape)


def test_halves_that_find_two_kinds_of_change_agree_on_one_of_them_where_all_limits_are_known() -> None:
    """Bands do about the same, so that chance tells which one a half finds; the mirror half is out by its limit."""
    every = {"mirror": 9.0, "intensities": 1.0, **{f"band {at}": 1.0 for at in range(5)}}
    differed = 0
    for seed in range(6):
        made = world(seed)

        def scores(images: np.ndarray) -> np.ndarray:
            return MODELS["diffuse"](images)[:, None]

        sample = SearchSample(made.images, made.target, np.arange(COUNT), scores(made.images), seed)
        apart, found = (find_region(scores, sample, "whole", scales=scales) for scales in ({"mirror": 9.0}, every))
        assert isinstance(apart, RegionFinding)
        assert isinstance(found, RegionFinding)
        assert found.halves_agree
        assert found.region in [half.region for half in apart.halves]
        assert found.search_passes <= 448 + 8 * 44, "two kinds, two donors and two halves on 44 images each"
        differed += not apart.halves_agree
    assert differed


@pytest.mark.parametrize("model", ["letter", "middle", "diffuse"])
def test_the_search_takes_no_more_passes_than_stated(model: str) -> None:
    place, whole = (led(model, "letter", 0, of)[0] for of in ("place", "whole"))
    assert place.search_passes <= 3052
    assert whole.search_passes <= 448
    assert place.passes + whole.passes <= 12_000


def test_equal_calls_give_equal_leads() -> None:
    first, second = (led("letter", "letter", 3)[0] for _ in range(2))
    assert (first.effect, first.region, first.passes) == (second.effect, second.region, second.passes)
    assert (first.high == second.high).all()


def test_several_classes_are_searched_by_the_score_of_the_own_class() -> None:
    made = world(0, "letter")
    target = np.where(made.target == 1, 2, np.arange(COUNT) // 2 % 2)

    def scores(images: np.ndarray) -> np.ndarray:
        mark = MODELS["letter"](images)
        return np.stack([-mark, -mark, mark], axis=1)

    found = find_region(
        scores, SearchSample(made.images, target, np.arange(COUNT), scores(made.images)), labels=("a", "b", "c")
    )
    assert isinstance(found, RegionFinding)
    assert isinstance(found.region, Box)
    assert found.region.pixel_mask(SIDE, SIDE)[CORNER].mean() > 0.5
    assert found.patch_effect.largest.label in ("a", "b", "c")


def two_scores(images: np.ndarray) -> np.ndarray:
    """Scores of three classes, of which a letter lowers the first as far as it raises the last."""
    mark, noise = MODELS["letter"](images), 3 * images[:, 0, 46, 45:47].astype(np.float64)
    return np.stack([noise[:, 1] - mark, -0.5 * middle(images), noise[:, 0] + mark], axis=1)


def test_carriers_of_both_halves_are_by_one_score() -> None:
    """By the score that varies most in each half they would be carriers in one half and all others in the other."""
    made = world(5, "letter")
    target = np.where(made.target == 1, 2, np.arange(COUNT) // 2 % 2)
    given = SearchSample(made.images, target, np.arange(COUNT), two_scores(made.images), 5)
    halves = [given.take(rows) for rows in halves_of(given)]
    box = Box(5 / 6, 5 / 6, 1, 1)
    every = [patch_scores(CountedModel(two_scores), half, box, np.arange(len(half.target)), 8) for half in halves]
    assert {int(one.std(axis=0).argmax()) for one in every} == {0, 2}, "halves differ in it"
    found = find_region(two_scores, given, labels=("a", "b", "c"))
    assert isinstance(found, RegionFinding)
    same = (found.high == made.marked).mean()
    assert max(same, 1 - same) > 0.95
    assert abs(found.score_change) > 1


def sample(patient: np.ndarray, target: np.ndarray) -> SearchSample:
    draws = np.random.default_rng(0)
    n = len(target)
    return SearchSample(draws.random((n, 1, 8, 8)).astype(np.float32), target, patient, draws.normal(size=(n, 1)))


def test_donors_are_of_other_patients_of_the_stated_class_and_give_equally_often() -> None:
    made = sample(np.repeat(np.arange(30), 2), np.arange(60) % 2)
    assert made.donors is not None
    same, other = made.donors
    for turn in range(2):
        assert (made.patient[same[turn]] != made.patient).all()
        assert (made.patient[other[turn]] != made.patient).all()
        assert (made.target[same[turn]] == made.target).all()
        assert (made.target[other[turn]] != made.target).all()
        assert np.bincount(other[turn], minlength=60).max() <= 3
    assert sample(np.zeros(60, np.int64), np.arange(60) % 2).donors is None


def test_halves_share_no_patient_and_have_the_classes_in_equal_parts() -> None:
    made = sample(np.repeat(np.arange(40), 3), np.repeat(np.arange(40) % 4 == 0, 3).astype(np.int64))
    first, second = halves_of(made)
    assert not set(made.patient[first]) & set(made.patient[second])
    assert made.target[first].sum() == made.target[second].sum() == 15


def test_an_effect_by_hand() -> None:
    """The score is one pixel: donors of the same class leave its mean, those of another class exchange the means."""
    made = sample(np.arange(60), np.arange(60) % 2)
    images = made.images.copy()
    images[:, 0, 0, 0] = made.target

    def scores(images: np.ndarray) -> np.ndarray:
        return images[:, 0, 0, :1].astype(np.float64)

    one = SearchSample(images, made.target, made.patient, made.clean_scores, sd_within_classes=0.5)
    values = exchange_effects(CountedModel(scores), one, [Box(0, 0, 0.125, 0.125)], np.arange(60))
    assert values.tolist() == [[2.0] * 60]
    found = mean_effect(values[0], one)
    assert found.value == 2
    assert found.low < 2 < found.high, "the standard deviation is an estimate"


@pytest.mark.parametrize(
    ("tie", "slope", "each"), first_of([((0.6, 0.2), 3.0, 1), ((0.5, 0.5), 1.0, 1), ((0.6, 0.2), 3.0, 3)])
)
def test_bounds_of_an_effect_hold_over_donors_too(tie: tuple[float, float], slope: float, each: int) -> None:
    """The score is a mark and noise, so that an exchange of the mark's place has an effect that is known."""
    box, people, worlds, missed = Box(0, 0, 0.5, 0.5), 160 // each, 400, np.zeros(2)
    variances = sum(one * (1 - one) for one in tie) / 2
    tissue = 1.0 if tie[0] == tie[1] else 0.0
    truth = slope * (tie[1] - tie[0]) / math.sqrt(1 + slope**2 * (variances + tissue))

    def scores(images: np.ndarray) -> np.ndarray:
        return np.asarray(slope * images[:, 0, 0, :1] + images[:, 0, 1, 1:], dtype=np.float64)

    for seed in range(worlds):
        draws = np.random.default_rng(seed)
        target = np.arange(people) % 2
        has = draws.random(people) < np.where(target == 1, tie[0], tie[1])
        patient = np.repeat(np.arange(people), each)
        images = np.zeros((len(patient), 1, 2, 2), dtype=np.float32)
        images[:, 0, 0, 0] = has[patient] + tissue * draws.normal(size=len(patient))
        images[:, 0, 1, 1] = draws.normal(size=len(patient))
        made = SearchSample(images, target[patient], patient, scores(images), seed)
        whole = np.arange(len(patient))
        assert made.donors is not None
        sides = exchange_scores(CountedModel(scores), made, [box], whole, 2)[0]
        given = donor_contributions(-sides, np.stack(made.donors), made.target, len(whole))
        same, other = sides.mean(axis=1)
        found = mean_effect(other - same, made, given)
        missed += found.low > truth, found.high < truth
    assert (missed / worlds <= 0.075).all(), "5% a side are promised; without donors it is 9% to 30%"


def test_the_upper_bound_holds_where_one_patient_in_ten_reacts() -> None:
    worlds = 1000
    rates = np.zeros((2, 3, 3))
    for (row, people), (column, noise) in product(enumerate((40, 100, 200)), enumerate((0.05, 0.2, 0.5))):
        draws, quantile = np.random.default_rng(0), stats.t.ppf(0.95, people - 1)
        made = sample(np.arange(people), np.arange(people) % 2)
        for _ in range(worlds):
            reacts = (draws.random(people) < 0.1) + noise * draws.normal(size=people)
            student = reacts.mean() + quantile * reacts.std(ddof=1) / math.sqrt(people)
            rates[:, row, column] += np.array([mean_effect(reacts, made).high, student]) < 0.1
    bounds, student = ([f"{rate:.3f}" for rate in (each / worlds).max(axis=1)] for each in rates)
    assert (rates[0] / worlds <= 0.06).all()
    page = Path("docs/statistics.md").read_text(encoding="utf-8")
    assert f"at most {' / '.join(bounds)} (by Student's t alone {' / '.join(student)})" in page


@pytest.mark.parametrize("events", [1, 2, 3, 5, 10, 40])
def test_the_upper_bound_of_rare_reactions_is_nearly_that_of_poisson(events: int) -> None:
    """Of 10,000 patients so few react by 1; the exact bound is half a quantile of chi-squared."""
    made = sample(np.arange(10_000), np.arange(10_000) % 2)
    bounded = mean_effect((np.arange(10_000) < events).astype(float), made)
    exact = float(stats.chi2.ppf(0.95, 2 * events + 2)) / 2 / 10_000
    assert bounded.high == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("noise", [0.0, 1e-14])
def test_a_model_that_calls_all_images_surely_is_searched(noise: float) -> None:
    made = world(0, "letter")

    def called(images: np.ndarray) -> np.ndarray:
        return np.where(glyph(images) > 0.05, 16.0, -16.0)[:, None] + noise * images[:, 0, 0, :1]

    target = (called(made.images)[:, 0] > 0).astype(np.int64)
    found = find_region(called, SearchSample(made.images, target, np.arange(COUNT), called(made.images)))
    assert isinstance(found, RegionFinding)
    assert found.class_distance == pytest.approx(8)
    assert 6 < found.effect.value <= 8
    assert verdict(found, 1.0) == RegionVerdict.RELIES

    def constant(images: np.ndarray) -> np.ndarray:
        return 16 + noise * images[:, 0, 0, :1].astype(np.float64)

    assert find_region(
        constant, SearchSample(made.images, target, np.arange(COUNT), constant(made.images))
    ) == Reason.of(Code.ANSWERS_ALIKE)


def test_one_normal_is_called_two_groups_in_one_of_twenty_at_most() -> None:
    made, box = sample(np.arange(100), np.arange(100) % 2), Box(0, 0, 0.125, 0.125)
    often = 0
    for seed in range(60):
        made.images[:, 0, 0, 0] = np.random.default_rng(seed).normal(size=100)
        model = CountedModel(lambda x: x[:, 0, 0, :1].astype(np.float64))
        often += group_patches(patch_scores(model, made, box, np.arange(100), 8)[:, 0]).has_two_groups
    assert often <= 7


@pytest.mark.parametrize(("count", "patients", "code"), [
    (38, 38, Code.FEW_IMAGES), (60, 2, Code.NO_DONORS),
])  # fmt: skip
def test_too_few_images_or_patients_are_a_reason(count: int, patients: int, code: Code) -> None:
    made = sample(np.arange(count) % patients, np.arange(count) % 2)
    found = find_region(lambda x: x[:, 0, 0, :1].astype(np.float64), made)
    assert isinstance(found, Reason)
    assert code in found
