"""Networks that read no more than the best cue are not beyond it; those that know more are, whatever their AUROC."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from assay.look.added import compare_with_cue
from assay.look.cues import cues_of_table
from assay.plugin import Factor, FactorTable
from assay.report.sentences.cues import added_words
from assay.stats import SeedPredictions
from assay.store.schema import TABLES

N = 400


def _row(
    draw: np.random.Generator, cue: float, own: float, noise: float, seeds: int = 3, halves: bool = False
) -> dict[str, Any]:
    """The row of networks whose scores are a brightness, something else that tells the target too, and noise.

    Args:
        draw: Generator.
        cue: Weight of the brightness, which has an AUROC of about 0.9.
        own: Weight of the other thing.
        noise: Its standard deviation.
        seeds: Networks.
        halves: Whether training images are not known.
    """
    bright, other = draw.normal(size=(2, N))
    target = (2.5 * bright + 1.5 * other + draw.normal(size=N) > 0).astype(np.int64)
    factors = tuple(Factor(name, "continuous") for name in ("brightness", "nothing"))
    columns = {"brightness": bright, "nothing": draw.normal(size=N)}
    table = FactorTable(np.arange(N), target, np.arange(N) // 2, ("no", "yes"), factors, columns)
    images = np.arange(N // 2, N) if not halves else np.arange(N)
    score = np.stack([cue * bright + own * other + noise * draw.normal(size=N) for _ in range(seeds)])[:, images]
    panel = SeedPredictions(
        np.stack([0 * score, score], axis=-1), target[images], table.patient[images], image_indices=images
    )
    (row,) = compare_with_cue(panel, list(cues_of_table(table)), table, halves=halves)
    assert row["name"] == "brightness"
    return {"recipe": "", "environment": "", **row}


@pytest.mark.parametrize(("seeds", "halves"), [(3, False), (1, True)])
def test_known_truth(seeds: int, halves: bool) -> None:
    """A copy of the cue, with little or much noise, is never beyond it more often than by chance."""
    draw = np.random.default_rng(4)
    for noise, most in ((0.0, 0), (0.3, 3), (1.0, 3)):
        rows = [_row(draw, 1, 0, noise, seeds, halves) for _ in range(40)]
        assert sum(row["verdict"] == "beyond" for row in rows) <= most, noise
    assert sum(row["verdict"] == "below" for row in rows) >= 30
    more = [_row(draw, 1, 0.6, 0.1, seeds, halves) for _ in range(20)]
    assert sum(row["verdict"] == "beyond" for row in more) >= 19
    worse = [_row(draw, 0, 1, 0.1, seeds, halves) for _ in range(20)]
    assert all(row["network"] < row["cue"] for row in worse)
    assert sum(row["verdict"] == "beyond" for row in worse) >= 19  # a lower AUROC, and added information


def test_a_value_that_is_undefined_has_no_interval() -> None:
    """A cue that separates the classes leaves no images alike in it to rank."""
    bright = np.where(np.arange(N) // 2 % 2, 1.0, -1.0) + np.linspace(0, 0.5, N)
    target = (bright > 0.6).astype(np.int64)
    table = FactorTable(
        np.arange(N), target, np.arange(N) // 2, ("no", "yes"), (Factor("bright", "continuous"),), {"bright": bright}
    )
    images = np.arange(N // 2, N)
    score = np.stack([bright[images]] * 3)
    panel = SeedPredictions(
        np.stack([0 * score, score], axis=-1), target[images], table.patient[images], image_indices=images
    )
    (row,) = compare_with_cue(panel, list(cues_of_table(table)), table)
    assert row["reason"]
    assert all(math.isnan(row[name]) for name in ("value", "low", "high"))


def test_networks_that_are_always_wrong_are_below_a_cue_that_is_always_right() -> None:
    target = np.arange(N) % 2
    table = FactorTable(
        np.arange(N),
        target,
        np.arange(N),
        ("no", "yes"),
        (Factor("seen", "continuous"),),
        {"seen": 2.0 * target + np.linspace(0, 1, N)},
    )
    images = np.arange(N // 2, N)
    score = np.stack([np.stack([0.0 * target, -1.0 * target], axis=-1)[images]] * 3)
    panel = SeedPredictions(score, target[images], images, image_indices=images)
    (row,) = compare_with_cue(panel, list(cues_of_table(table)), table)
    assert (row["network"], row["cue"], row["verdict"]) == (0, 1, "below")
    lesions = images[target[images] == 1]
    alone = SeedPredictions(
        np.stack([0 * lesions, lesions], axis=-1)[None], target[lesions], lesions, image_indices=lesions
    )
    assert compare_with_cue(alone, list(cues_of_table(table)), table) == [], "no AUROC of one class"


def test_a_number_that_the_target_was_made_of_is_no_cue() -> None:
    """A mean rating is cut to get the target; the networks are held against the next best cue."""
    rating = np.random.default_rng(4).normal(size=N)
    target = (rating > 0).astype(np.int64)
    columns = {"rating": rating, "size": rating + np.random.default_rng(5).normal(size=N)}
    table = FactorTable(
        np.arange(N),
        target,
        np.arange(N),
        ("no", "yes"),
        tuple(Factor(name, "continuous") for name in columns),
        columns,
    )
    images = np.arange(N // 2, N)
    panel = SeedPredictions(
        np.stack([0 * rating, rating], axis=-1)[None][:, images], target[images], images, image_indices=images
    )
    named = {
        kind: compare_with_cue(panel, list(cues_of_table(table, kind)), table)[0]["name"]
        for kind in ("factor", "column")
    }
    assert named == {"factor": "rating", "column": "size"}


def test_two_levels_that_part_the_classes_stay_a_cue() -> None:
    """A scanner that is tied to the target without an exception may be all that a network sees."""
    target = np.arange(N) % 2
    scanner = np.where(np.arange(N) % 7 == 0, np.nan, target)
    table = FactorTable(
        np.arange(N), target, np.arange(N), ("no", "yes"), (Factor("scanner", "continuous"),), {"scanner": scanner}
    )
    images = np.arange(N // 2, N)
    panel = SeedPredictions(
        np.stack([0.0 * target, target], axis=-1)[None][:, images], target[images], images, image_indices=images
    )
    assert [row["kind"] for row in compare_with_cue(panel, list(cues_of_table(table, "column")), table)] == ["column"]


def test_a_column_that_the_tested_images_lack_is_no_cue_for_them() -> None:
    """A clinic alone may have filled it: the networks are held against the best cue that both have."""
    count, other, noise = np.random.default_rng(4).normal(size=(3, N))
    target = (count + 0.5 * other + 0.1 * noise > 0).astype(np.int64)
    images = np.arange(N // 2, N)
    count[images] = np.nan
    table = FactorTable(
        np.arange(N),
        target,
        np.arange(N),
        ("no", "yes"),
        tuple(Factor(name, "continuous") for name in ("count", "other")),
        {"count": count, "other": other},
    )
    panel = SeedPredictions(
        np.stack([0 * other, other], axis=-1)[None][:, images], target[images], images, image_indices=images
    )
    (row,) = compare_with_cue(panel, list(cues_of_table(table)), table)
    assert row["name"] == "other"
    assert not math.isnan(row["network"])


def test_the_auroc_of_one_model_is_that_of_all_its_images() -> None:
    """Not that within the halves whose cue the other half chooses: it is the number of the rest of the page."""
    draw = np.random.default_rng(4)
    cue, score, noise = draw.normal(size=(3, N))
    target = (cue + score + noise > 0).astype(np.int64)
    table = FactorTable(np.arange(N), target, np.arange(N), ("no", "yes"), (Factor("cue", "continuous"),), {"cue": cue})
    panel = SeedPredictions(
        np.stack([0 * score, score], axis=-1)[None], target, table.patient, image_indices=np.arange(N)
    )
    (row,) = compare_with_cue(panel, list(cues_of_table(table)), table, halves=True)
    area = mannwhitneyu(score[target == 1], score[target == 0]).statistic / (target.sum() * (1 - target).sum())
    assert row["network"] == pytest.approx(area)


def test_words() -> None:
    draw = np.random.default_rng(4)
    row = _row(draw, 1, 0, 1.0)
    assert set(row) == set(TABLES["added"].names)
    within = f": among images with similar values of it, AUROC is {row['value']:.2f} [{row['low']:.2f}, "
    within += f"{row['high']:.2f}], and that of the cue {row['rest']:.2f}"
    assert added_words([row]) == (
        f"The best simple cue, factor 'brightness', reaches AUROC {row['cue']:.2f}, and the model "
        f"{row['network']:.2f}. "
        f"Its AUROC is below that of this cue{within}."
    )
    baseline = {**row, "kind": "baseline", "name": "thumbnail", "cue": 0.70}
    fitted = [{**baseline, "value": 0.72}]
    within_folds = "reaches AUROC 0.70 (0.72 within the folds of its fit), and"
    assert within_folds in added_words([baseline], cues=fitted), "the table of cues has another number"
    assert "reaches AUROC 0.70, and" in added_words([baseline], cues=[{**fitted[0], "value": 0.70}])
    assert not added_words([{**row, "value": math.nan}]).count("among")
    chance = {**row, "cue": 0.45, "verdict": "beyond"}
    none = "No simple cue clearly predicts the target: the best, factor 'brightness', has AUROC 0.45, and the model "
    assert added_words([chance]).startswith(none)
    assert added_words([{**chance, "verdict": "not-shown"}]).startswith("The best simple cue, factor 'brightness',")
    rows = [{**row, "recipe": "a"}, {**_row(draw, 1, 0.6, 0.1), "recipe": "b"}]
    found = [{**one, "environment": "found"} for one in rows]
    assert " as found, and networks" in added_words(found, lambda name: f" as {name}"), "not the AUROC of another set"
    assert added_words(rows).endswith(". 1 of 2 recipes carry information beyond this cue.")
    less = {**rows[1], "network": 0.80, "cue": 0.82, "value": 0.7, "low": 0.6, "high": 0.8, "rest": 0.55}
    more = (
        "information beyond this cue: among images with similar values of it, AUROC is 0.70 [0.60, 0.80], and that "
        "of the cue 0.55."
    )
    for recipe, who in (("b", f"networks 0.80. They carry {more}"), ("", f"the model 0.80. It carries {more}")):
        reached = f"The best simple cue, factor 'brightness', reaches AUROC 0.82, and {who}"
        assert added_words([{**less, "recipe": recipe}]) == reached, "it may add to a cue whose AUROC is greater"
    assert added_words([]) == ""
