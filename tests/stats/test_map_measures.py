"""Measures of a segmentation: by hand on tiny maps, and contributions against deletion of patients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from syrupy.assertion import SnapshotAssertion

from assay.maps.summary import summarize
from assay.plugin import Code
from assay.report.sentences.reasons import reason_words
from assay.stats import ModelPredictions, SeedPredictions, contrast, evaluate, measure_value, value_and_contributions
from assay.stats.measures import COMPUTED

LEVELS = (0.8, 0.9, 0.95)

HIGH, LOW = 4.0, -4.0


def answers_of(maps: np.ndarray, truth: np.ndarray, operating: tuple[float, ...] = (0.0, 0.0, 0.0)) -> ModelPredictions:
    kept = summarize(torch.from_numpy(maps.astype(np.float32)), torch.from_numpy(truth))
    kept["operating"] = np.tile(operating, (len(maps), 1))
    kept |= at_files(kept)
    target = truth.any((1, 2)).astype(np.int64)
    return ModelPredictions(np.stack([np.zeros(len(maps)), kept["peak"]], axis=1), target, maps=kept)


def at_files(kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of files that are as large as the maps."""
    same = ("pixels", "truth", "hd95", "surface_distance", "surface_dice", "surface_code")
    half = {name: kept[name][:, 16] for name in ("predicted", "hit")}  # thresholds run from -16 in steps of 1
    return {f"native_{name}": column for name, column in ({one: kept[one] for one in same} | half).items()}


def three_images() -> ModelPredictions:
    """A 4 px lesion of which half is predicted and 1 px besides; one lesion missed whole; a healthy one with 2 px."""
    maps, truth = np.full((3, 8, 8), LOW), np.zeros((3, 8, 8), dtype=bool)
    truth[0, 2:4, 2:4] = True
    maps[0, 2, 2:4] = maps[0, 6, 6] = HIGH
    truth[1, 5:7, 5:7] = True
    maps[2, 0, 0:2] = HIGH
    return answers_of(maps, truth, operating=(-5.0, np.nan, 5.0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", (4 / 7 + 0) / 2),
        ("dice-skip", (4 / 7 + 0 + 0) / 3),
        ("dice-one", (4 / 7 + 0 + 0) / 3),
        ("dice-zero", (4 / 7 + 0 + 0) / 3),
        ("dice-smoothed", (5 / 8 + 1 / 5 + 1 / 3) / 3),
        ("iou", (2 / 5 + 0) / 2),
        ("pixel-precision", (2 / 3 + 0) / 2),
        ("pixel-recall", (2 / 4 + 0) / 2),
        ("volume-error", (3 / 4 - 1 - 1) / 2),
        ("lesion-sensitivity", 1 / 2),
        ("false-positives-per-image", (1 + 0 + 1) / 3),
        ("false-positive-rate", 1.0),
        ("left-empty", 0.0),
        ("false-positive-area", 2 / 64),
        ("false-positive-rate-at-80", 1.0),
        ("false-positive-rate-at-95", 0.0),
        ("lesion-sensitivity-at-95", 0.0),
        ("auroc-area", (1 + 0) / 2),
        ("average-precision-area", (1 + 2 / 3) / 2),
        ("free-response-area", (1 - 2 / 3) * 1 / 2),  # 2 marks in 3 images that touch no lesion, 1 of 2 lesions
    ],
)
@pytest.mark.slow
def test_by_hand(name: str, expected: float) -> None:
    assert measure_value(name, three_images()).value == pytest.approx(expected)


def test_a_healthy_image_that_is_left_empty_is_told_otherwise_by_every_convention() -> None:
    truth = np.zeros((2, 8, 8), dtype=bool)
    truth[0, 2:4, 2:4] = True
    quiet = answers_of(np.where(truth, HIGH, LOW), truth)
    found = {
        name: measure_value(name, quiet).value
        for name in ("dice", "dice-skip", "dice-one", "dice-zero", "dice-smoothed")
    }
    assert found == pytest.approx(
        {"dice": 1.0, "dice-skip": 1.0, "dice-one": 1.0, "dice-zero": 0.5, "dice-smoothed": 1.0}
    )


OF_MAPS = [one for one in COMPUTED.values() if one.requirements.maps]
NATIVE = [one for one in OF_MAPS if one.requirements.native]


@pytest.mark.parametrize("native", NATIVE, ids=[one.name for one in NATIVE])
def test_at_native_size_a_measure_is_the_same_one_of_the_columns_there(native: Any) -> None:
    images, _ = made_up()
    here, there = measure_value(native.name.removesuffix("-native"), images), measure_value(native.name, images)
    assert there.value == here.value
    twice = images.maps["native_truth"] + 7
    moved = replace(
        images,
        maps={
            **images.maps,
            "native_truth": twice,
            "native_hd95": images.maps["hd95"] + 1,
            "native_surface_distance": images.maps["surface_distance"] + 1,
            "native_surface_dice": images.maps["surface_dice"] / 2,
        },
    )
    assert measure_value(native.name, moved).value != there.value or native.name == "pixel-precision-native"
    assert measure_value(native.name.removesuffix("-native"), moved).value == here.value
    without = replace(images, maps={name: one for name, one in images.maps.items() if not name.startswith("native_")})
    assert measure_value(native.name, without).reason.codes == (Code.NO_NATIVE_MASKS,)


def test_surfaces_at_native_size_have_images_in_common_of_their_own() -> None:
    images, _ = made_up()
    some = np.arange(len(images.target)) % 2 == 0
    images.maps["native_shared"] = some
    assert measure_value("hd95-native", images).value == pytest.approx(np.nanmean(images.maps["hd95"][some]))
    assert measure_value("hd95", images).value == pytest.approx(np.nanmean(images.maps["hd95"]))


def test_what_is_undefined_says_why(snapshot: SnapshotAssertion) -> None:
    images = three_images()
    assert reason_words(measure_value("false-positive-rate-at-90", images).reason) == snapshot
    healthy = _some(images, np.array([False, False, True]))
    assert reason_words(measure_value("dice", healthy).reason) == snapshot
    assert reason_words(measure_value("lesion-sensitivity", healthy).reason) == "no lesion"
    ill = _some(images, np.array([True, True, False]))
    assert reason_words(measure_value("false-positive-rate", ill).reason) == "no lesion-free image"
    plain = replace(images, maps={})
    assert "needs a segmentation model" in reason_words(measure_value("dice", plain).reason)


def test_pixels_at_outlines_and_in_the_background_are_calibrated_apart(snapshot: SnapshotAssertion) -> None:
    """Lesion from the seventh of twelve columns, surely called, the rest at p = 0.5; and a healthy image at p = 0.1."""
    truth = np.zeros((2, 5, 12), dtype=bool)
    truth[0, :, 6:] = True
    maps = np.where(truth, 30.0, 0.0)
    maps[1] = np.log(0.1 / 0.9)
    images = answers_of(maps, truth)
    found = {of: measure_value(f"pixel-calibration-error{of}", images).value for of in ("", "-boundary", "-background")}
    band, away = 15 * 0.5, 15 * 0.5 + 60 * 0.1  # three columns on either side of the outline, and what lies beyond
    assert found == pytest.approx({"": (band + away) / 120, "-boundary": band / 30, "-background": away / 75})
    healthy = _some(images, np.array([False, True]))
    assert reason_words(measure_value("pixel-calibration-error-boundary", healthy).reason) == snapshot
    assert measure_value("pixel-calibration-error-background", healthy).value == pytest.approx(0.1)


def test_surfaces_are_compared_on_the_images_that_all_recipes_have() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((3, 12, 12), dtype=bool)
    truth[:, 3:7, 3:7] = True
    maps = np.where(truth, HIGH, LOW)
    maps[0, 2, 3:7] = HIGH
    images = answers_of(maps + 0.01 * rng.normal(size=maps.shape), truth)
    assert measure_value("hd95", images).value == pytest.approx(images.maps["hd95"].mean())
    images.maps["shared"] = np.array([False, True, True])
    assert measure_value("hd95", images).value == 0.0
    images.maps["shared"] = np.zeros(3, dtype=bool)
    assert "both surfaces" in reason_words(measure_value("hd95", images).reason)


def made_up(n: int = 120, shift: float = 0.0) -> tuple[ModelPredictions, np.ndarray]:
    """Noisy maps of discs, two images a patient, a third healthy. shift: of all logits of every third patient."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:16, :16]
    center = rng.uniform(5, 11, (n, 2, 1, 1))
    radius = np.where(np.arange(n) % 3 == 0, 0.0, rng.uniform(2, 4, n))[:, None, None]
    distance = np.hypot(y - center[:, 0], x - center[:, 1])
    truth = distance < radius
    maps = 1.5 * (radius - distance) + rng.normal(size=(n, 1, 1)) + 1.5 * rng.normal(size=(n, 16, 16))
    maps += shift * (np.arange(n) // 2 % 3 == 1)[:, None, None]
    return answers_of(maps, truth, operating=(1.0, 0.5, -0.5)), np.arange(n) // 2


@pytest.mark.parametrize(("name", "folds"), [*((one.name, False) for one in OF_MAPS), ("free-response-area", True)])
def test_standard_errors_agree_with_the_jackknife_over_patients(name: str, folds: bool) -> None:
    images, patient = made_up()
    images = replace(images, fold=patient % 3) if folds else images
    whole, ours = value_and_contributions(name, images, patient)
    codes = np.unique(patient)
    left = np.array([measure_value(name, _some(images, patient != code)).value for code in codes])
    theirs = (whole.value - left) * (len(codes) - 1) / len(codes)
    assert whole.is_defined
    assert np.sqrt((ours**2).sum()) == pytest.approx(np.sqrt(((theirs - theirs.mean()) ** 2).sum()), rel=0.05)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99


def test_every_level_is_one_that_the_operating_thresholds_are_of() -> None:
    images, _ = made_up()
    rates = [measure_value(f"lesion-sensitivity-at-{level * 100:.0f}", images).value for level in LEVELS]
    assert rates == sorted(rates)


def _some(images: ModelPredictions, keep: np.ndarray) -> ModelPredictions:
    maps = {name: column[keep] for name, column in images.maps.items()}
    fold = None if images.fold is None else images.fold[keep]
    return replace(images, logits=images.logits[keep], target=images.target[keep], fold=fold, maps=maps)


def test_the_free_response_of_folds_does_not_hang_on_the_scale_of_their_logits() -> None:
    """Logits of every third patient, all in one fold, two higher: as another model might have them."""
    areas = {
        shift: measure_value("free-response-area", replace(images, fold=patient % 3)).value
        for shift in (0.0, 2.0)
        for images, patient in [made_up(shift=shift)]
    }
    assert areas[2.0] == pytest.approx(areas[0.0], abs=1e-12)
    images, patient = made_up()
    own = [measure_value("free-response-area", _some(images, patient % 3 == fold)).value for fold in range(3)]
    lesions = [(~np.isnan(images.maps["lesion_score"][patient % 3 == fold])).sum() for fold in range(3)]
    assert areas[0.0] == pytest.approx(np.average(own, weights=lesions))
    assert measure_value("free-response-area", made_up(shift=2.0)[0]).value < areas[0.0] - 0.01


def test_an_estimate_says_how_many_images_it_rests_on() -> None:
    images = three_images()
    panel = SeedPredictions(
        np.repeat(images.logits[None], 3, axis=0),
        images.target,
        np.arange(3),
        maps={name: np.repeat(column[None], 3, axis=0) for name, column in images.maps.items()},
    )
    found = {name: evaluate(panel, name).n_images for name in ("dice", "dice-one", "hd95", "false-positive-rate")}
    assert found == {"dice": 2, "dice-one": 3, "hd95": 1, "false-positive-rate": 1}


def seeds_of(bias: float, draw: int) -> SeedPredictions:
    """Five seeds of a recipe on the same 90 images of discs, a third of them healthy; bias: of every logit."""
    rng, y, x = np.random.default_rng(draw), *np.mgrid[:16, :16]
    radius = np.where(np.arange(90) % 3 == 0, 0.0, 3.0 + np.arange(90) % 2)[:, None, None]
    distance = np.hypot(y - 7.5, x - 7.5)
    clean, truth = 2 * (radius - distance), distance < radius
    found = [answers_of(clean + bias + 1.5 * rng.normal(size=truth.shape), truth) for _ in range(5)]
    maps = {
        name: np.stack([one.maps[name] for one in found])
        for name in ("truth", "predicted", "hit", "pixels", "area_score", "operating")
    }
    return SeedPredictions(np.stack([one.logits for one in found]), found[0].target, np.arange(90), maps=maps)


@pytest.mark.parametrize("name", ["dice", "iou", "pixel-recall", "false-positive-area"])
def test_recipes_that_are_alike_are_equivalent_within_a_stated_margin_and_others_are_not(name: str) -> None:
    usual, alike, louder = seeds_of(0.0, 1), seeds_of(0.0, 2), seeds_of(4.0, 3)
    same, other = contrast(usual, alike, name, margin=0.05), contrast(usual, louder, name, margin=0.05)
    assert same.equivalence_p < 0.05
    assert same.p > 0.01
    assert abs(other.value) > 0.05
    assert other.equivalence_p > 0.9
    assert other.p < 0.001


@pytest.mark.parametrize("measure", OF_MAPS, ids=lambda one: one.name)
def test_what_a_measure_needs_is_what_makes_it_defined(measure: Any) -> None:
    """Contrasts are refused by `among`: it must be exactly what each measure needs."""
    needs, everything = measure.entry.among, three_images()
    everything.maps["operating"][:] = 0.0
    for with_lesion, lacking in ((True, "no lesions"), (False, "lesions")):
        among = everything.target == int(with_lesion)
        own = ModelPredictions(
            everything.logits[among],
            everything.target[among],
            maps={name: column[among] for name, column in everything.maps.items()},
        )
        assert np.isnan(measure_value(measure.name, own).value) == (needs in (lacking, "both")), lacking
