"""The measures of a segmentation: overlap, lesions found, surfaces, false positives, calibration of pixels.

Most are ratios of sums over images, so that an image contributes what it adds to both. The threshold is p = .5 where
none is named; measures `-at-80`, `-at-90`, `-at-95` stand at the threshold at which the same model finds that share of
the lesions of its validation images (METHODS, matched sensitivity).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from assay.core.maps import AT_NATIVE, REGIONS, MapGrid
from assay.core.types import Direction
from assay.stats import influence, maps, metrics
from assay.stats.influence import Answers, widened
from assay.stats.maps import Empty
from assay.stats.measure import Measure, constant
from assay.stats.scores import Metric, undefined

LEVELS = (0.8, 0.9, 0.95)
"""Shares of the validation lesions at which models are compared."""
SMALLEST = 0.001
"""Share of an image that a component must have to count as a false positive where no other area is named."""

STRAY = 1.0
"""Components per image that touch no lesion, up to which the area under the free response is taken."""

_GRID = MapGrid()
_THRESHOLDS = np.array(_GRID.thresholds)
_HALF = _GRID.thresholds.index(0.0)
_AREA = _GRID.areas.index(SMALLEST)
_UNKNOWN = constant(math.nan)


class Terms(NamedTuple):
    """A measure as sum(over) / sum(under) over images, and why it is undefined where `under` sums to 0.

    under: 0 for an image that does not count, whose `over` is 0 too.
    """

    over: Float[np.ndarray, " n"]
    under: Float[np.ndarray, " n"]
    reason: str


def _mean(values: Float[np.ndarray, " n"], among: np.ndarray, reason: str) -> Terms:
    return Terms(np.where(among, values, 0.0), among.astype(np.float64), reason)


# --- overlap at p = .5 ----------------------------------------------------------------------------------------------

_NO_LESION = "no image with a lesion"
_NO_FREE = "no lesion-free image"


def _overlap(score: maps.Overlap, empty: Empty, answers: Answers) -> Terms:
    """The mean over images of a score under a convention for empty masks."""
    kept = answers.maps
    values = score(kept["truth"], kept["predicted"][:, _HALF], kept["hit"][:, _HALF], empty)
    return _mean(values, ~np.isnan(values), _NO_LESION)


def _volume(answers: Answers) -> Terms:
    values = maps.volume_error(answers.maps["truth"], answers.maps["predicted"][:, _HALF])
    return _mean(values, ~np.isnan(values), _NO_LESION)


def _surface(name: str, answers: Answers) -> Terms:
    """Over images where every recipe that is compared has both surfaces, where it is known which these are."""
    values = answers.maps[name].astype(np.float64)
    among = ~np.isnan(values) & answers.maps.get("shared", True)
    return _mean(values, among, "no image in which every recipe compared has both surfaces")


# --- lesions found, healthy images called ----------------------------------------------------------------------------


def _lesions(level: float | None, answers: Answers) -> Terms:
    """The share of lesions that are found."""
    threshold = _threshold(answers, level)
    hits = maps.lesion_hits(answers.maps["lesion_score"], answers.maps["floor"], threshold)
    found, there = np.nansum(hits, axis=1), (~np.isnan(hits)).sum(axis=1)
    return _unless_censored(Terms(found, there * 1.0, "no lesion"), threshold, level, answers)


def _stray(answers: Answers) -> Terms:
    """The mean number, over all images, of components that hold no pixel of a lesion."""
    stray = answers.maps["stray"][:, _HALF]
    return _mean(stray.astype(np.float64), np.ones(len(stray), dtype=bool), "no images")


def _called(level: float | None, answers: Answers) -> Terms:
    """The share of lesion-free images in which a component of the smallest area stands."""
    threshold = _threshold(answers, level)
    called = answers.maps["area_score"][:, _AREA] >= threshold
    terms = _mean(called * 1.0, answers.maps["truth"] == 0, _NO_FREE)
    return _unless_censored(terms, threshold, level, answers)


def _wrong_area(answers: Answers) -> Terms:
    """The mean share of a lesion-free image that is called lesion."""
    share = answers.maps["predicted"][:, _HALF] / answers.maps["pixels"]
    return _mean(share, answers.maps["truth"] == 0, _NO_FREE)


def _threshold(answers: Answers, level: float | None) -> Float[np.ndarray, " n"]:
    if level is None:
        return np.zeros(len(answers.target))
    operating = answers.maps.get("operating")
    return np.full(len(answers.target), np.nan) if operating is None else operating[:, LEVELS.index(level)]


def _unless_censored(terms: Terms, threshold: np.ndarray, level: float | None, answers: Answers) -> Terms:
    if not np.isnan(threshold[terms.under > 0]).any():
        return terms
    nothing = np.zeros(len(threshold))
    if "operating" not in answers.maps:
        return Terms(nothing, nothing, "no threshold was set on validation lesions: the model came without")
    return Terms(nothing, nothing, f"censored: no threshold finds {level:.0%} of the validation lesions")


# --- calibration of pixels -------------------------------------------------------------------------------------------


def _calibration(regions: tuple[str, ...], reason: str, answers: Answers) -> Terms:
    """The l1 calibration error of the pixels of some regions, each bin's gap signed as that of the set."""
    kept, among = answers.maps, [REGIONS.index(name) for name in regions]
    gap = (kept["bin_claimed"] - kept["bin_came"])[:, among].sum(axis=1)
    pixels = kept["bin_count"][:, among].sum(axis=(1, 2))
    return Terms((gap * np.sign(gap.sum(axis=0))).sum(axis=1), pixels * 1.0, reason)


# --- at the size of the files -----------------------------------------------------------------------------------------


def _at_native(terms: Callable[[Answers], Terms], answers: Answers) -> Terms:
    """The same terms of the columns that were kept at native size; none where none were."""
    kept = {name.removeprefix(AT_NATIVE): column for name, column in answers.maps.items() if name.startswith(AT_NATIVE)}
    # There p = .5 alone was looked at, which stands in the place of every threshold.
    everywhere = {name: np.repeat(kept[name][:, None], len(_THRESHOLDS), axis=1) for name in ("predicted", "hit")}
    return terms(replace(answers, maps={**kept, **everywhere}))


# --- from terms to measures -------------------------------------------------------------------------------------------


def _ratio(
    name: str,
    terms: Callable[[Answers], Terms],
    direction: Direction,
    low: float = 0.0,
    high: float = 1.0,
    unit: str = "",
    native: bool = False,
) -> Measure:
    def value(answers: Answers) -> Metric:
        found = terms(answers)
        total = found.under.sum()
        return Metric(float(found.over.sum() / total)) if total else undefined(found.reason)

    def rows(answers: Answers, at: float, patient: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        found = terms(answers)
        own = (found.over - at * found.under) / found.under.sum()
        return widened(own, np.where(found.under > 0, 0, -1), patient)

    def images(answers: Answers) -> int:
        return int((terms(answers).under > 0).sum())

    return Measure(name, value, rows, direction, _UNKNOWN, low, high, unit, maps=True, native=native, images=images)


def _scored(score: str, answers: Answers) -> Answers:
    """The answers with another score of the map in the place of its greatest logit."""
    return replace(answers, logits=answers.maps[score].astype(np.float64)[:, None])


def _ranked(score: str) -> Iterator[Measure]:
    """AUROC and average precision of lesion images against lesion-free ones, by another score of the map."""
    name, given = score.replace("half_", "").replace("_", "-"), partial(_scored, score)
    yield Measure(
        f"auroc-{name}",
        lambda answers: metrics.auroc(given(answers).score, answers.target, answers.fold),
        lambda answers, at, patient: influence.auroc(given(answers), at, patient),
        "higher",
        constant(0.5),
        binary=True,
        maps=True,
    )
    yield Measure(
        f"average-precision-{name}",
        lambda answers: metrics.average_precision(given(answers).score, answers.target, answers.fold),
        lambda answers, at, patient: influence.average_precision(given(answers), at, patient),
        "higher",
        lambda target, classes: float((target == 1).mean()),
        binary=True,
        maps=True,
    )


# --- the free response ------------------------------------------------------------------------------------------------


def _responses(answers: Answers) -> list[maps.OfFold]:
    kept = answers.maps
    return maps.free_responses(kept["stray"], kept["lesion_score"], kept["floor"], _THRESHOLDS, answers.fold)


def _response_area(answers: Answers) -> Metric:
    """The mean over lesions of their folds' areas."""
    folds = _responses(answers)
    areas = [maps.partial_area(one.curve, STRAY) for one in folds]
    wrong = next((area for area in areas if area.reason), None)
    if wrong is not None or len(areas) == 1:
        return wrong or areas[0]
    return Metric(float(np.average([area.value for area in areas], weights=[one.lesions for one in folds])))


def _response_rows(answers: Answers, at: float, patient: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Where a step of the curve begins is a mean over images, how high it is a ratio of sums, and a fold counts by its
    lesions: all three are moved.
    """
    kept = answers.maps
    marked = maps.lesions_marked(kept["lesion_score"], kept["floor"], _THRESHOLDS)
    lesions = (~np.isnan(kept["lesion_score"])).sum(axis=1)
    false = maps.false_marks(kept["stray"])
    rows = np.zeros(len(answers.target))
    for one in _responses(answers):
        here, curve = one.images, one.curve
        higher = marked[here] - lesions[here, None] * curve.sensitivity
        further = (false[here] - curve.false_positives) * one.lesions / here.sum()
        width = -np.diff(np.minimum(curve.false_positives, STRAY), prepend=STRAY)
        rise = -np.diff(curve.sensitivity, append=0.0)
        moved = (higher * width - further * rise * (curve.false_positives < STRAY)).sum(axis=1) / STRAY
        rows[here] = moved + lesions[here] * (maps.partial_area(curve, STRAY).value - at)
    return widened(rows / lesions.sum(), np.zeros(len(rows), dtype=np.int64), patient)


_OUTLINED: Mapping[str, Callable[[Answers], Terms]] = {
    "dice": partial(_overlap, maps.dice, "lesions"),
    "iou": partial(_overlap, maps.iou, "lesions"),
    "pixel-precision": partial(_overlap, maps.precision, "lesions"),
    "pixel-recall": partial(_overlap, maps.recall, "lesions"),
    "volume-error": _volume,
    "hd95": partial(_surface, "hd95"),
    "surface-distance": partial(_surface, "surface_distance"),
    "surface-dice": partial(_surface, "surface_dice"),
}
"""What is measured of outlines at study resolution and at native size."""
_DISTANCES = ("hd95", "surface-distance")


def _outlined(name: str, *, native: bool = False) -> Measure:
    terms = partial(_at_native, _OUTLINED[name]) if native else _OUTLINED[name]
    called = f"{name}-native" if native else name
    if name in _DISTANCES:
        return _ratio(called, terms, "lower", high=math.inf, unit="px", native=native)
    if name == "volume-error":
        return _ratio(called, terms, "none", low=-1.0, high=math.inf, native=native)
    return _ratio(called, terms, "higher", native=native)


def _measures() -> Iterator[Measure]:
    yield _outlined("dice")
    conventions: tuple[Empty, ...] = ("skip", "one", "zero", "smoothed")
    for empty in conventions:
        yield _ratio(f"dice-{empty}", partial(_overlap, maps.dice, empty), "higher")
    yield from (_outlined(name) for name in _OUTLINED if name != "dice")
    yield _ratio("lesion-sensitivity", partial(_lesions, None), "higher")
    yield _ratio("false-positives-per-image", _stray, "lower", high=math.inf)
    yield _ratio("false-positive-rate", partial(_called, None), "lower")
    yield _ratio("false-positive-area", _wrong_area, "lower")
    for level in LEVELS:
        yield _ratio(f"lesion-sensitivity-at-{level * 100:.0f}", partial(_lesions, level), "none")
        yield _ratio(f"false-positive-rate-at-{level * 100:.0f}", partial(_called, level), "lower")
    for score in ("top_mean", "half_area"):
        yield from _ranked(score)
    yield Measure("free-response-area", _response_area, _response_rows, "higher", _UNKNOWN, maps=True)
    for name, regions, reason in (
        ("pixel-calibration-error", REGIONS, "no images"),
        ("pixel-calibration-error-boundary", ("boundary",), "no pixel near the outline of a lesion"),
        ("pixel-calibration-error-background", ("background",), "no pixel away from lesions"),
    ):
        yield _ratio(name, partial(_calibration, regions, reason), "lower")
    yield from (_outlined(name, native=True) for name in _OUTLINED)


OF_MAPS = tuple(_measures())
