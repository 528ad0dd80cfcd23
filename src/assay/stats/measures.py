"""Measures of outputs: of classes, of grades and of segmentation maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core import measures as registry
from assay.core.errors import SpecError, unknown_name
from assay.core.map_grid import AT_NATIVE, REGIONS, MapGrid
from assay.core.reasons import NOTHING, Code, Reason, because
from assay.stats import influence, maps, metrics
from assay.stats.influence import Answers, Computed, widened
from assay.stats.maps import Empty
from assay.stats.metrics import Metric, beyond, undefined

# Measures of grades at the cut that makes two classes of them: those at or above it, and those below.

SPECIFICITIES = (0.8, 0.9, 0.95)
"""The shares of validation images below the cut that a threshold leaves uncalled."""


def specific_thresholds(logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"], cut: int) -> tuple[float, ...]:
    """Of these rows the log-odds of lying at or above the cut, from which each of `SPECIFICITIES` is reached.

    The lowest such threshold, halfway to the next score, so that no row sits on it. NaN without a row below the cut.
    """
    score = np.unique(beyond(logits, cut))
    low = np.sort(beyond(logits, cut)[target < cut])
    if not len(low):
        return (float("nan"),) * len(SPECIFICITIES)
    found: list[float] = []
    for level in SPECIFICITIES:
        last = low[max(int(np.ceil(level * len(low) - 1e-9)), 1) - 1]
        after = score[np.searchsorted(score, last, side="right") :]
        halfway = (last + after[0]) / 2 if len(after) else last
        found.append(float(max(halfway, np.nextafter(last, np.inf))))  # halfway between neighbors may be the lower one
    return tuple(found)


def at_cut(answers: Answers) -> Answers:
    """The two-class question whether an image is at or above the cut, with its log-odds as the logit."""
    target = (answers.target >= answers.cut).astype(np.int64)
    return replace(answers, logits=beyond(answers.logits, answers.cut)[:, None], target=target, cut=1)


def _fault(answers: Answers) -> Reason:
    if 0 < answers.cut < answers.classes:
        return NOTHING
    return because(Code.CUT_OUTSIDE_CLASSES, cut=answers.cut, classes=answers.classes)


def _auroc(answers: Answers) -> Metric:
    return undefined(fault) if (fault := _fault(answers)) else _ranking(at_cut(answers))


def _graded_at_least(answers: Answers, level: int) -> Bool[np.ndarray, " n"]:
    assert answers.specific is not None
    return beyond(answers.logits, answers.cut) >= answers.specific[:, level]


def _at(level: int, positive: bool, answers: Answers) -> Metric:
    """Of the images at or above the cut the share that is called, or of those below the share that is not."""
    if fault := _fault(answers):
        return undefined(fault)
    if answers.specific is None or np.isnan(answers.specific[:, level]).any():
        return undefined(Code.NO_CUT_THRESHOLD)
    called, above = _graded_at_least(answers, level).astype(np.int64), (answers.target >= answers.cut).astype(np.int64)
    return metrics.sensitivity(called, above) if positive else metrics.specificity(called, above)


def _rows(
    level: int, positive: bool, answers: Answers, value: float, patient: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Residuals, at thresholds that are given: how they vary with the validation rows, the seeds show."""
    of = (answers.target >= answers.cut) == positive
    return influence.share(_graded_at_least(answers, level) == positive, value, of, patient)


def _grade_measures() -> Iterator[Computed]:
    yield Computed(
        registry.MEASURES["auroc-referable"],
        _auroc,
        lambda answers, value, patient: influence.auroc(at_cut(answers), value, patient),
        ordinal=True,
        cut=True,
    )
    for number, level in enumerate(SPECIFICITIES):
        for name, positive in ((f"sensitivity-at-specificity-{level * 100:.0f}", True),
                               (f"specificity-kept-{level * 100:.0f}", False)):  # fmt: skip
            yield Computed(
                registry.MEASURES[name],
                partial(_at, number, positive),
                partial(_rows, number, positive),
                ordinal=True,
                cut=True,
            )


OF_GRADES = tuple(_grade_measures())


# The measures of a segmentation: overlap, lesions found, surfaces, false positives, calibration of pixels.
#
# Most are ratios of sums over images: an image contributes its terms of both. The threshold is p = 0.5 where
# none is named; measures `-at-80`, `-at-90`, `-at-95` use the threshold at which the same model finds that share
# of the lesions of its validation images (docs/reference/probes.md, `lesion-free`).

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


class Terms(NamedTuple):
    """A measure as sum(over) / sum(under) over images, and why it is undefined where `under` sums to 0.

    under: 0 for an image that does not count, whose `over` is 0 too.
    """

    over: Float[np.ndarray, " n"]
    under: Float[np.ndarray, " n"]
    reason: Reason


def _mean(values: Float[np.ndarray, " n"], among: np.ndarray, reason: Reason) -> Terms:
    return Terms(np.where(among, values, 0.0), among.astype(np.float64), reason)


# --- overlap at p = 0.5 ----------------------------------------------------------------------------------------------

_NO_LESION = because(Code.NO_LESION_IMAGE)
_NO_FREE = because(Code.NO_LESION_FREE_IMAGE)


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
    return _mean(values, among, because(Code.NO_SURFACES))


# --- lesions found, healthy images called ----------------------------------------------------------------------------


def _lesions(level: float | None, answers: Answers) -> Terms:
    """The share of lesions that are found."""
    threshold = _threshold(answers, level)
    hits = maps.lesion_hits(answers.maps["lesion_score"], answers.maps["floor"], threshold)
    found, there = np.nansum(hits, axis=1), (~np.isnan(hits)).sum(axis=1)
    return _unless_censored(Terms(found, there * 1.0, because(Code.NO_LESION)), threshold, level, answers)


def _stray(answers: Answers) -> Terms:
    """The mean number, over all images, of components that hold no pixel of a lesion."""
    stray = answers.maps["stray"][:, _HALF]
    return _mean(stray.astype(np.float64), np.ones(len(stray), dtype=bool), because(Code.NO_IMAGES))


def _lesion_free_called(level: float | None, answers: Answers) -> Terms:
    """The share of lesion-free images with a component of the smallest area."""
    threshold = _threshold(answers, level)
    called = answers.maps["area_score"][:, _AREA] >= threshold
    terms = _mean(called * 1.0, answers.maps["truth"] == 0, _NO_FREE)
    return _unless_censored(terms, threshold, level, answers)


def _left_empty(answers: Answers) -> Terms:
    """The share of lesion-free images without a predicted pixel."""
    empty = answers.maps["predicted"][:, _HALF] == 0
    return _mean(empty * 1.0, answers.maps["truth"] == 0, _NO_FREE)


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
        return Terms(nothing, nothing, because(Code.NO_LESION_THRESHOLD))
    return Terms(nothing, nothing, because(Code.UNREACHED_VALIDATION_SENSITIVITY, level=level or 0.0))


# --- calibration of pixels -------------------------------------------------------------------------------------------


def _calibration(regions: tuple[str, ...], reason: Reason, answers: Answers) -> Terms:
    """The l1 calibration error of the pixels of some regions, each bin's gap signed as that of the set."""
    kept, among = answers.maps, [REGIONS.index(name) for name in regions]
    gap = (kept["bin_claimed"] - kept["bin_came"])[:, among].sum(axis=1)
    pixels = kept["bin_count"][:, among].sum(axis=(1, 2))
    return Terms((gap * np.sign(gap.sum(axis=0))).sum(axis=1), pixels * 1.0, reason)


# --- at the size of the files -----------------------------------------------------------------------------------------


def _at_native(terms: Callable[[Answers], Terms], answers: Answers) -> Terms:
    """The same terms of the columns that were kept at native size; none where none were."""
    kept = {name.removeprefix(AT_NATIVE): column for name, column in answers.maps.items() if name.startswith(AT_NATIVE)}
    # Only p = 0.5 is kept there, and serves for every threshold.
    everywhere = {name: np.repeat(kept[name][:, None], len(_THRESHOLDS), axis=1) for name in ("predicted", "hit")}
    return terms(replace(answers, maps={**kept, **everywhere}))


# --- from terms to measures -------------------------------------------------------------------------------------------


def _ratio(name: str, terms: Callable[[Answers], Terms], *, native: bool = False) -> Computed:
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

    return Computed(registry.MEASURES[name], value, rows, maps=True, native=native, images=images)


def _scored(score: str, answers: Answers) -> Answers:
    """The answers with another score of the map in the place of its greatest logit."""
    return replace(answers, logits=answers.maps[score].astype(np.float64)[:, None])


def _ranked(score: str) -> Iterator[Computed]:
    """AUROC and average precision of lesion images against lesion-free ones, by another score of the map."""
    name, given = score.replace("half_", "").replace("_", "-"), partial(_scored, score)
    yield Computed(
        registry.MEASURES[f"auroc-{name}"],
        lambda answers: _ranking(given(answers)),
        lambda answers, at, patient: influence.auroc(given(answers), at, patient),
        binary=True,
        maps=True,
    )
    yield Computed(
        registry.MEASURES[f"average-precision-{name}"],
        lambda answers: _precision(given(answers)),
        lambda answers, at, patient: influence.average_precision(given(answers), at, patient),
        _positives,
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


def _outlined(name: str, *, native: bool = False) -> Computed:
    terms = partial(_at_native, _OUTLINED[name]) if native else _OUTLINED[name]
    return _ratio(f"{name}-native" if native else name, terms, native=native)


def _map_measures() -> Iterator[Computed]:
    yield _outlined("dice")
    conventions: tuple[Empty, ...] = ("skip", "one", "zero", "smoothed")
    for empty in conventions:
        yield _ratio(f"dice-{empty}", partial(_overlap, maps.dice, empty))
    yield from (_outlined(name) for name in _OUTLINED if name != "dice")
    yield _ratio("lesion-sensitivity", partial(_lesions, None))
    yield _ratio("false-positives-per-image", _stray)
    yield _ratio("false-positive-rate", partial(_lesion_free_called, None))
    yield _ratio("left-empty", _left_empty)
    yield _ratio("false-positive-area", _wrong_area)
    for level in LEVELS:
        yield _ratio(f"lesion-sensitivity-at-{level * 100:.0f}", partial(_lesions, level))
        yield _ratio(f"false-positive-rate-at-{level * 100:.0f}", partial(_lesion_free_called, level))
    for score in ("top_mean", "half_area"):
        yield from _ranked(score)
    yield Computed(registry.MEASURES["free-response-area"], _response_area, _response_rows, maps=True)
    for name, regions, code in (
        ("pixel-calibration-error", REGIONS, Code.NO_IMAGES),
        ("pixel-calibration-error-boundary", ("boundary",), Code.NO_BOUNDARY_PIXEL),
        ("pixel-calibration-error-background", ("background",), Code.NO_BACKGROUND_PIXEL),
    ):
        yield _ratio(name, partial(_calibration, regions, because(code)))
    yield from (_outlined(name, native=True) for name in _OUTLINED)


# Measures of classes, and the contribution of each image.


def _shares(target: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(target, minlength=classes) / max(len(target), 1)


def _commonest(target: np.ndarray, classes: int) -> float:
    return float(_shares(target, classes).max())


def _positives(target: np.ndarray, classes: int) -> float:
    return float((target == 1).sum() / max(len(target), 1))


def _entropy(target: np.ndarray, classes: int) -> float:
    shares = _shares(target, classes)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


def _gini(target: np.ndarray, classes: int) -> float:
    spread = 1 - (_shares(target, classes) ** 2).sum()
    return float(spread / 2 if classes == 2 else spread)


def _ranking(answers: Answers) -> Metric:
    """AUROC of two classes, which are ranked once for all measures."""
    return undefined(reason) if (reason := answers.unranked) else metrics.area(*answers.placements, answers.target)


def _precision(answers: Answers) -> Metric:
    return undefined(answers.unranked) if answers.unranked else metrics.mean_precision(*answers.calls, answers.target)


def _macro_ranking(answers: Answers) -> Metric:
    """AUROC of each class against the rest, on average: of two classes it is the same one twice."""
    if answers.classes == 2 and (one := _ranking(answers)).defined:
        return one
    return metrics.macro_auroc(answers.logits, answers.target, answers.fold, answers.names)


def _somers_d(answers: Answers) -> Metric:
    area = _ranking(answers)
    return Metric(2 * area.value - 1, area.reason)


def _mean_loss(answers: Answers, losses: Callable[[], Float[np.ndarray, " n"]]) -> Metric:
    return undefined(answers.unclassed) if answers.unclassed else Metric(float(losses().mean()))


def _of_images() -> Iterator[Computed]:
    of = registry.MEASURES
    yield Computed(of["auroc"], _ranking, influence.auroc, binary=True)
    yield Computed(of["auroc-macro"], _macro_ranking, influence.macro_auroc)
    yield Computed(of["somers-d"], _somers_d, influence.somers_d, binary=True)
    yield Computed(of["average-precision"], _precision, influence.average_precision, _positives, binary=True)
    yield Computed(of["accuracy"], lambda a: metrics.accuracy(a.predicted, a.target), influence.accuracy, _commonest)
    yield Computed(
        of["sensitivity"], lambda a: metrics.sensitivity(a.predicted, a.target), influence.sensitivity, binary=True
    )
    yield Computed(
        of["specificity"], lambda a: metrics.specificity(a.predicted, a.target), influence.specificity, binary=True
    )
    yield Computed(of["brier"], lambda a: _mean_loss(a, lambda: a.squares), influence.brier, _gini)
    yield Computed(of["log-loss"], lambda a: _mean_loss(a, lambda: a.losses), influence.log_loss, _entropy)
    yield Computed(
        of["calibration-error"],
        lambda a: undefined(a.unclassed) if a.unclassed else metrics.mean_gap(*a.gaps),
        influence.calibration_error,
    )
    yield Computed(
        of["quadratic-weighted-kappa"],
        lambda a: metrics.quadratic_weighted_kappa(a.predicted, a.target),
        influence.quadratic_weighted_kappa,
        ordinal=True,
    )


COMPUTED: Mapping[str, Computed] = {one.name: one for one in (*_of_images(), *OF_GRADES, *_map_measures())}
"""Every measure that is computed from outputs, by name."""


def measure(name: str) -> Computed:
    """Return the measure of that name. Raises SpecError with the nearest valid name."""
    if name not in COMPUTED:
        raise SpecError(unknown_name("measure", name, list(COMPUTED)))
    return COMPUTED[name]


def value(name: str, answers: Answers) -> Metric:
    """A measure of one model's answers: a value, or NaN and why."""
    chosen = measure(name)
    if not answers.finite:
        bad = int((~np.isfinite(answers.logits)).any(axis=1).sum())
        return undefined(because(Code.NOT_FINITE, count=bad, images=len(answers.target)))
    if chosen.maps and not answers.maps:
        return undefined(because(Code.NEEDS_MAPS, measure=name))
    if chosen.native and f"{AT_NATIVE}truth" not in answers.maps:
        return undefined(Code.NO_NATIVE_MASKS)
    if chosen.binary and answers.classes != 2:
        return undefined(because(Code.NEEDS_TWO_CLASSES, measure=name, classes=answers.classes))
    return chosen.value(answers)


def influence_of(name: str, answers: Answers, patient: Int[np.ndarray, " n"]) -> tuple[Metric, Float[np.ndarray, " p"]]:
    """A measure and the contribution of each patient to it, in the order of `np.unique(patient)`.

    The squares of the contributions sum to the variance of the measure over patients. NaN where the measure is
    undefined or rests on a single patient.
    """
    known = answers.influences.get(name)
    if known is not None and known[0] is patient:
        return known[1]
    made = _influence_of(name, answers, patient)
    answers.influences[name] = (patient, made)
    return made


def _influence_of(name: str, answers: Answers, patient: np.ndarray) -> tuple[Metric, np.ndarray]:
    result = value(name, answers)
    codes, position = influence.coded(patient)
    if not result.defined:
        return result, np.full(len(codes), np.nan)
    rows = measure(name).rows(answers, result.value, patient)
    return result, np.bincount(position, rows, minlength=len(codes))
