"""Measures of a segmentation: overlap, surfaces, lesions found, false positives, calibration of pixels.

Most are ratios of sums over images. An image contributes what it adds to the numerator less the value times what it
adds to the denominator, over the denominator. The threshold is p = 0.5 where none is named; measures `-at-80`,
`-at-90`, `-at-95` use the threshold at which the same model finds that share of the lesions of its validation images
(docs/reference/probes.md, `lesion-free`).

Examples are of columns that are the same at all 40 thresholds of `MapGrid`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from assay.core.map_grid import AT_NATIVE, REGIONS, MapGrid
from assay.core.measures import Measure
from assay.core.reasons import Code, Reason
from assay.stats import maps
from assay.stats.influence import ModelPredictions, Patients, PerImage, correct_small_sample
from assay.stats.maps import Empty
from assay.stats.measure import COMPUTED, MAPS, MeasureFunction, MeasureRequirements, Result, measure, without_value
from assay.stats.measures import images
from assay.stats.metrics import Metric

LEVELS = (0.8, 0.9, 0.95)
"""Shares of the validation lesions at which models are compared."""
MIN_COMPONENT_AREA = 0.001
"""Share of an image that a component must have to count as a false positive where no other area is named."""
AREA_LIMIT = 1.0
"""Components per image that touch no lesion, up to which the area under the free response is taken."""

_GRID = MapGrid()
_THRESHOLDS = np.array(_GRID.thresholds)
_AT_ONE_HALF = _GRID.thresholds.index(0.0)
_AT_MIN_AREA = _GRID.areas.index(MIN_COMPONENT_AREA)
_NO_LESION = Reason.of(Code.NO_LESION_IMAGE)
_NO_LESION_FREE = Reason.of(Code.NO_LESION_FREE_IMAGE)

_map_measure = partial(Measure, probe="segmentation", low=0.0, high=1.0, direction="higher", needs=("environment",))
_overlap_measure = partial(_map_measure, among="lesions")
_error_measure = partial(_map_measure, direction="lower")
_lesion_free = partial(Measure, probe="lesion-free", low=0.0, high=1.0, needs=("environment",))
_DICE = "Dice 1945; Sorensen 1948"
_MARKED, _FOUND = "{more} {images} are falsely marked", "{more} lesions are found"


def _sum_ratio(
    numerator: Float[np.ndarray, " n"], denominator: Float[np.ndarray, " n"], reason: Reason | Code
) -> Result:
    """Compute sum(over) / sum(under) over images.

    Args:
        numerator: Terms of the numerator; 0 for an image that does not count.
        denominator: Those of the denominator; 0 for an image that does not count.
        reason: Why it is undefined where the denominator is 0.
    """
    total = denominator.sum()
    if not total:
        return without_value(reason)
    value = float(numerator.sum() / total)

    def contributions(patient: Patients) -> PerImage:
        return correct_small_sample(
            (numerator - value * denominator) / denominator.sum(), np.where(denominator > 0, 0, -1), patient
        )

    return Metric(value, images=int((denominator > 0).sum())), contributions


def _image_mean(values: Float[np.ndarray, " n"], is_counted: Bool[np.ndarray, " n"], reason: Reason | Code) -> Result:
    return _sum_ratio(np.where(is_counted, values, 0.0), is_counted.astype(np.float64), reason)


# Overlap and surfaces at p = 0.5.


@measure(
    _overlap_measure(
        "dice", meaning="overlap with the lesion, mean over images that show one", display="Dice", reference=_DICE
    ),
    MAPS,
)
def dice(predictions: ModelPredictions, empty: Empty = "lesions") -> Result:
    """Compute the mean over images of 2 hit / (truth + predicted), under a convention for empty masks.

    References:
        Dice, "Measures of the amount of ecologic association between species", Ecology 1945.

    Examples:
        >>> pixels = {"truth": np.array([4]), "predicted": np.full((1, 40), 3), "hit": np.full((1, 40), 2)}
        >>> dice(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=pixels))[0].value
        0.5714285714285714
    """
    return _mean_overlap(predictions, maps.dice, empty)


def _mean_overlap(predictions: ModelPredictions, score: maps.OverlapFunction, empty: Empty) -> Result:
    columns = predictions.maps
    values = score(columns["truth"], columns["predicted"][:, _AT_ONE_HALF], columns["hit"][:, _AT_ONE_HALF], empty)
    return _image_mean(values, ~np.isnan(values), _NO_LESION)


measure(
    _map_measure(
        "dice-skip",
        meaning="overlap over all images, without those that are empty in truth and prediction",
        display="Dice without empty pairs",
        reference=_DICE,
    ),
    MAPS,
)(partial(dice, empty="skip"))
measure(
    _map_measure(
        "dice-one",
        meaning="overlap over all images, 1 where truth and prediction are empty",
        display="Dice with empty pairs scored 1",
        reference=_DICE,
        without_lesion="left-empty",
    ),
    MAPS,
)(partial(dice, empty="one"))
measure(
    _map_measure(
        "dice-zero",
        meaning="overlap over all images, 0 where truth and prediction are empty",
        display="Dice with empty pairs scored 0",
        reference=_DICE,
    ),
    MAPS,
)(partial(dice, empty="zero"))
measure(
    _map_measure(
        "dice-smoothed",
        meaning="overlap over all images, 1 added to numerator and denominator",
        display="Dice, smoothed",
        reference=_DICE,
    ),
    MAPS,
)(partial(dice, empty="smoothed"))


@measure(
    _overlap_measure(
        "iou",
        meaning="pixels common to lesion and prediction over pixels of either",
        display="IoU",
        reference="Jaccard 1912",
    ),
    MAPS,
)
def iou(predictions: ModelPredictions) -> Result:
    """Compute the mean over images with a lesion of hit / (truth + predicted - hit).

    References:
        Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 1912.

    Examples:
        >>> pixels = {"truth": np.array([4]), "predicted": np.full((1, 40), 3), "hit": np.full((1, 40), 2)}
        >>> iou(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=pixels))[0].value
        0.4
    """
    return _mean_overlap(predictions, maps.iou, "lesions")


@measure(_overlap_measure("pixel-precision", meaning="share of the predicted pixels that are lesion"), MAPS)
def pixel_precision(predictions: ModelPredictions) -> Result:
    """Compute the mean over images with a lesion of hit / predicted.

    Examples:
        >>> pixels = {"truth": np.array([4]), "predicted": np.full((1, 40), 4), "hit": np.full((1, 40), 1)}
        >>> pixel_precision(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=pixels))[0].value
        0.25
    """
    return _mean_overlap(predictions, maps.precision, "lesions")


@measure(_overlap_measure("pixel-recall", meaning="share of the lesion's pixels that are predicted"), MAPS)
def pixel_recall(predictions: ModelPredictions) -> Result:
    """Compute the mean over images with a lesion of hit / truth.

    Examples:
        >>> pixels = {"truth": np.array([4]), "predicted": np.full((1, 40), 3), "hit": np.full((1, 40), 2)}
        >>> pixel_recall(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=pixels))[0].value
        0.5
    """
    return _mean_overlap(predictions, maps.recall, "lesions")


@measure(
    _overlap_measure(
        "volume-error",
        meaning="predicted area over the lesion's area, less 1",
        low=-1.0,
        high=math.inf,
        direction="none",
    ),
    MAPS,
)
def volume_error(predictions: ModelPredictions) -> Result:
    """Compute the mean over images with a lesion of (predicted - truth) / truth.

    Examples:
        >>> pixels = {"truth": np.array([4]), "predicted": np.full((1, 40), 3)}
        >>> volume_error(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=pixels))[0].value
        -0.25
    """
    values = maps.volume_error(predictions.maps["truth"], predictions.maps["predicted"][:, _AT_ONE_HALF])
    return _image_mean(values, ~np.isnan(values), _NO_LESION)


@measure(
    _overlap_measure(
        "hd95",
        meaning="distance within which 95% of the outlines are",
        display="HD95",
        unit="px",
        high=math.inf,
        direction="lower",
        reference="Huttenlocher et al. 1993",
    ),
    MAPS,
)
def hd95(predictions: ModelPredictions) -> Result:
    """Compute the mean of the 95th percentile of distances between outlines, over images that have both.

    Where recipes are compared, these are the images in which all of them have both.

    References:
        Huttenlocher, Klanderman and Rucklidge, "Comparing images using the Hausdorff distance", PAMI 1993.

    Examples:
        >>> hd95(ModelPredictions(np.zeros((2, 1)), np.array([1, 1]), maps={"hd95": np.array([3.0, np.nan])}))[0].value
        3.0
    """
    return _mean_surface_column(predictions, "hd95")


def _mean_surface_column(predictions: ModelPredictions, name: str) -> Result:
    values = predictions.maps[name].astype(np.float64)
    among = ~np.isnan(values) & predictions.maps.get("shared", True)
    return _image_mean(values, among, Code.NO_SURFACES)


@measure(
    _overlap_measure(
        "surface-distance", meaning="mean distance between the outlines", unit="px", high=math.inf, direction="lower"
    ),
    MAPS,
)
def surface_distance(predictions: ModelPredictions) -> Result:
    """Compute the mean of the mean distance between outlines, over the images of `hd95`.

    Examples:
        >>> columns = {"surface_distance": np.array([1.0, 2.0])}
        >>> surface_distance(ModelPredictions(np.zeros((2, 1)), np.array([1, 1]), maps=columns))[0].value
        1.5
    """
    return _mean_surface_column(predictions, "surface_distance")


@measure(
    _overlap_measure(
        "surface-dice",
        meaning="share of both outlines within the tolerance of each other",
        display="surface Dice",
        reference="Nikolov et al. 2021",
    ),
    MAPS,
)
def surface_dice(predictions: ModelPredictions) -> Result:
    """Compute the mean share of both outlines within the tolerance of each other, over the images of `hd95`.

    References:
        Nikolov et al., "Clinically applicable segmentation of head and neck anatomy", JMIR 2021.

    Examples:
        >>> columns = {"surface_dice": np.array([1.0, 0.5])}
        >>> surface_dice(ModelPredictions(np.zeros((2, 1)), np.array([1, 1]), maps=columns))[0].value
        0.75
    """
    return _mean_surface_column(predictions, "surface_dice")


# Lesions found, lesion-free images predicted.


@measure(
    _overlap_measure(
        "lesion-sensitivity",
        meaning="share of lesions of which at least half is predicted",
        display="sensitivity by lesion",
        difference=_FOUND,
    ),
    MAPS,
)
def lesion_sensitivity(predictions: ModelPredictions, level: float | None = None) -> Result:
    """Compute the share of lesions that are found, at p = 0.5 or at the threshold of a validation sensitivity.

    Examples:
        >>> scores = {"lesion_score": np.array([[2.0, -1.0], [1.0, np.nan]]), "floor": np.array([-9.0, -9.0])}
        >>> lesion_sensitivity(ModelPredictions(np.zeros((2, 1)), np.array([1, 1]), maps=scores))[0].value
        0.6666666666666666
    """
    threshold = _thresholds(predictions, level)
    hits = maps.lesion_hits(predictions.maps["lesion_score"], predictions.maps["floor"], threshold)
    lesions = (~np.isnan(hits)).sum(axis=1) * 1.0
    reason = _censored(predictions, threshold[lesions > 0], level)
    return reason or _sum_ratio(np.nansum(hits, axis=1), lesions, Code.NO_LESION)


def _thresholds(predictions: ModelPredictions, level: float | None) -> Float[np.ndarray, " n"]:
    if level is None:
        return np.zeros(len(predictions.target))
    operating = predictions.maps.get("operating")
    return np.full(len(predictions.target), np.nan) if operating is None else operating[:, LEVELS.index(level)]


def _censored(predictions: ModelPredictions, threshold: Float[np.ndarray, " m"], level: float | None) -> Result | None:
    """Return the result without a value where a model has no threshold for images that count."""
    if not np.isnan(threshold).any():
        return None
    if "operating" not in predictions.maps:
        return without_value(Code.NO_LESION_THRESHOLD)
    return without_value(Reason.of(Code.UNREACHED_VALIDATION_SENSITIVITY, level=level or 0.0))


@measure(
    _error_measure(
        "false-positives-per-image",
        meaning="mean number over all images of components that touch no lesion",
        high=math.inf,
    ),
    MAPS,
)
def false_positives_per_image(predictions: ModelPredictions) -> Result:
    """Compute the mean over all images of the number of predicted components that hold no pixel of a lesion.

    Examples:
        >>> columns = {"stray": np.full((2, 40), [[1], [2]])}
        >>> false_positives_per_image(ModelPredictions(np.zeros((2, 1)), np.array([1, 0]), maps=columns))[0].value
        1.5
    """
    components = predictions.maps["stray"][:, _AT_ONE_HALF].astype(np.float64)
    return _image_mean(components, np.ones(len(components), dtype=bool), Code.NO_IMAGES)


@measure(
    _lesion_free(
        "false-positive-rate",
        meaning="share of lesion-free images with a predicted component",
        direction="lower",
        among="no lesions",
        difference=_MARKED,
    ),
    MAPS,
)
def false_positive_rate(predictions: ModelPredictions, level: float | None = None) -> Result:
    """Compute the share of lesion-free images with a component of `SMALLEST`, at a threshold as `lesion_sensitivity`.

    Examples:
        >>> columns = {"truth": np.array([0, 0]), "area_score": np.full((2, 6), [[1.0], [-1.0]])}
        >>> false_positive_rate(ModelPredictions(np.zeros((2, 1)), np.array([0, 0]), maps=columns))[0].value
        0.5
    """
    threshold, free = _thresholds(predictions, level), predictions.maps["truth"] == 0
    predicted = predictions.maps["area_score"][:, _AT_MIN_AREA] >= threshold
    return _censored(predictions, threshold[free], level) or _image_mean(predicted * 1.0, free, _NO_LESION_FREE)


@measure(
    _lesion_free(
        "left-empty",
        meaning="share of lesion-free images without a pixel that is predicted at p = 0.5",
        display="share of lesion-free images left empty",
        direction="higher",
        among="no lesions",
        difference="{more} {images} are left empty",
    ),
    MAPS,
)
def left_empty(predictions: ModelPredictions) -> Result:
    """Compute the share of lesion-free images without a predicted pixel.

    Examples:
        >>> columns = {"truth": np.array([0, 0]), "predicted": np.full((2, 40), [[0], [7]])}
        >>> left_empty(ModelPredictions(np.zeros((2, 1)), np.array([0, 0]), maps=columns))[0].value
        0.5
    """
    empty = predictions.maps["predicted"][:, _AT_ONE_HALF] == 0
    return _image_mean(empty * 1.0, predictions.maps["truth"] == 0, _NO_LESION_FREE)


@measure(
    _lesion_free(
        "false-positive-area",
        meaning="mean share of a lesion-free image that is predicted as lesion",
        direction="lower",
        among="no lesions",
        difference="a {larger} area of {images} is falsely marked",
    ),
    MAPS,
)
def false_positive_area(predictions: ModelPredictions) -> Result:
    """Compute the mean over lesion-free images of the share of predicted pixels.

    Examples:
        >>> columns = {"truth": np.array([0]), "predicted": np.full((1, 40), 16), "pixels": np.array([64])}
        >>> false_positive_area(ModelPredictions(np.zeros((1, 1)), np.array([0]), maps=columns))[0].value
        0.25
    """
    share = predictions.maps["predicted"][:, _AT_ONE_HALF] / predictions.maps["pixels"]
    return _image_mean(share, predictions.maps["truth"] == 0, _NO_LESION_FREE)


for _level in LEVELS:
    _percent = f"{_level * 100:.0f}"
    measure(
        _lesion_free(
            f"lesion-sensitivity-at-{_percent}",
            meaning=f"share of test lesions found at the threshold that finds {_percent}% of validation lesions",
            among="lesions",
            display=f"sensitivity by lesion at {_percent}% sensitivity",
            difference=f"{_FOUND} at the threshold for {_percent}% sensitivity",
        ),
        MAPS,
    )(partial(lesion_sensitivity, level=_level))
    measure(
        _lesion_free(
            f"false-positive-rate-at-{_percent}",
            meaning="share of lesion-free images with a predicted "
            f"component, at the threshold that finds {_percent}% of validation lesions",
            display=f"false-positive rate at {_percent}% sensitivity",
            direction="lower",
            among="no lesions",
            difference=f"{_MARKED} at the threshold for {_percent}% sensitivity",
        ),
        MAPS,
    )(partial(false_positive_rate, level=_level))


# Ranking of images with a lesion against those without, by a score of the map.


def measure_by_score(predictions: ModelPredictions, compute: MeasureFunction, score: str) -> Result:
    """Compute a measure of two classes by another score of the map than its greatest logit (see `images`).

    Examples:
        >>> predictions = ModelPredictions(np.zeros((2, 1)), np.array([1, 0]), maps={"top_mean": np.array([2.0, -1.0])})
        >>> measure_by_score(predictions, images.auroc, "top_mean")[0].value
        1.0
    """
    return compute(replace(predictions, logits=predictions.maps[score].astype(np.float64)[:, None]))


for _name, _column, _by, _scored in (
    ("top-mean", "top_mean", "by the mean of the top 1%", "by the mean of the greatest 1% of logits"),
    ("area", "half_area", "by area", "by the predicted area"),
):
    measure(
        _lesion_free(
            f"auroc-{_name}",
            meaning=f"AUROC of images with a lesion, {_scored}",
            display=f"AUROC {_by}",
            direction="higher",
            chance=0.5,
            among="both",
            reference="Hanley and McNeil 1982",
        ),
        MeasureRequirements(binary=True, maps=True),
    )(partial(measure_by_score, compute=images.auroc, score=_column))
    measure(
        _lesion_free(
            f"average-precision-{_name}",
            meaning=f"average precision of images with a lesion, {_scored}",
            display=f"average precision {_by}",
            direction="higher",
            chance="share of images with the target",
            among="both",
        ),
        MeasureRequirements(binary=True, maps=True),
        chance_by_frequency=images.positive_share,
    )(partial(measure_by_score, compute=images.average_precision, score=_column))


@measure(
    _lesion_free(
        "free-response-area",
        meaning="mean share of lesions found over 0 to 1 false positives per image",
        display="area under the free response",
        direction="higher",
        among="lesions",
        reference="Bunch et al. 1978; Chakraborty 2013",
    ),
    MAPS,
)
def free_response_area(predictions: ModelPredictions) -> Result:
    """Compute the area under the share of lesions found, over 0 to `AREA_LIMIT` false positives per image.

    Folds have a curve each, and their areas are averaged by lesions. Where a step of the curve begins is a mean over
    images, how high it is a ratio of sums, and a fold counts by its lesions: an image contributes to all three.

    References:
        Bunch et al., "A free-response approach to the measurement and characterization of radiographic-observer
        performance", J. Applied Photographic Engineering 1978; Chakraborty, "A brief history of free-response receiver
        operating characteristic paradigm data analysis", Academic Radiology 2013.

    Examples:
        >>> columns = {"stray": np.zeros((2, 40), dtype=int), "floor": np.array([-99.0, -99.0])}
        >>> columns["lesion_score"] = np.array([[2.0], [99.0]])
        >>> free_response_area(ModelPredictions(np.zeros((2, 1)), np.array([1, 1]), maps=columns))[0].value
        1.0
    """
    folds = _curves(predictions)
    areas = [maps.partial_area(fold.curve, AREA_LIMIT) for fold in folds]
    metric = next((area for area in areas if area.reason), areas[0])
    if metric.is_defined and len(areas) > 1:
        metric = Metric(float(np.average([area.value for area in areas], weights=[fold.n_lesions for fold in folds])))
    return metric, partial(_area_influence, predictions, metric.value)


def _curves(predictions: ModelPredictions) -> list[maps.FoldFreeResponse]:
    columns = predictions.maps
    return maps.fold_free_responses(
        columns["stray"], columns["lesion_score"], columns["floor"], _THRESHOLDS, predictions.fold
    )


def _area_influence(predictions: ModelPredictions, area: float, patient: Patients) -> PerImage:
    columns = predictions.maps
    marked = maps.count_marked_lesions(columns["lesion_score"], columns["floor"], _THRESHOLDS)
    lesions = (~np.isnan(columns["lesion_score"])).sum(axis=1)
    false = maps.count_false_marks(columns["stray"])
    rows = np.zeros(len(predictions.target))
    for fold in _curves(predictions):
        here, curve = fold.is_in_fold, fold.curve
        higher = marked[here] - lesions[here, None] * curve.sensitivity
        further = (false[here] - curve.false_positives) * fold.n_lesions / here.sum()
        width = -np.diff(np.minimum(curve.false_positives, AREA_LIMIT), prepend=AREA_LIMIT)
        rise = -np.diff(curve.sensitivity, append=0.0)
        moved = (higher * width - further * rise * (curve.false_positives < AREA_LIMIT)).sum(axis=1) / AREA_LIMIT
        rows[here] = moved + lesions[here] * (maps.partial_area(curve, AREA_LIMIT).value - area)
    return correct_small_sample(rows / lesions.sum(), np.zeros(len(rows), dtype=np.int64), patient)


# Calibration of pixels: the l1 error, each bin's gap signed as that of the set of images.


@measure(
    _error_measure(
        "pixel-calibration-error",
        meaning="mean distance between pixels' probabilities and the observed shares of lesion",
        display="calibration error of pixels",
        reference="Kumar, Liang and Ma 2019",
    ),
    MAPS,
)
def pixel_calibration_error(predictions: ModelPredictions) -> Result:
    """Compute the mean over bins, weighted by pixels, of |mean probability - share of pixels that are lesion|.

    References:
        Kumar, Liang and Ma, "Verified uncertainty calibration", NeurIPS 2019.

    Examples:
        >>> columns = {"bin_claimed": np.full((1, 3, 15), 0.75), "bin_came": np.full((1, 3, 15), 0.5)}
        >>> columns["bin_count"] = np.ones((1, 3, 15), dtype=int)
        >>> pixel_calibration_error(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=columns))[0].value
        0.25
    """
    return _pixel_calibration(predictions, REGIONS, Code.NO_IMAGES)


def _pixel_calibration(predictions: ModelPredictions, regions: tuple[str, ...], reason: Code) -> Result:
    columns, among = predictions.maps, [REGIONS.index(name) for name in regions]
    gap = (columns["bin_claimed"] - columns["bin_came"])[:, among].sum(axis=1)
    pixels = columns["bin_count"][:, among].sum(axis=(1, 2))
    return _sum_ratio((gap * np.sign(gap.sum(axis=0))).sum(axis=1), pixels * 1.0, reason)


@measure(
    _error_measure(
        "pixel-calibration-error-boundary",
        meaning="calibration error in a band along the true outlines",
        display="calibration error of pixels at outlines",
        among="lesions",
    ),
    MAPS,
)
def pixel_calibration_error_boundary(predictions: ModelPredictions) -> Result:
    """Compute `pixel_calibration_error` of the pixels in a band along the true outlines.

    Examples:
        >>> columns = {"bin_claimed": np.full((1, 3, 15), 0.75), "bin_came": np.full((1, 3, 15), 0.5)}
        >>> columns["bin_count"] = np.ones((1, 3, 15), dtype=int)
        >>> pixel_calibration_error_boundary(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=columns))[0].value
        0.25
    """
    return _pixel_calibration(predictions, ("boundary",), Code.NO_BOUNDARY_PIXEL)


@measure(
    _error_measure(
        "pixel-calibration-error-background",
        meaning="calibration error away from lesions and that band",
        display="calibration error of pixels of the background",
    ),
    MAPS,
)
def pixel_calibration_error_background(predictions: ModelPredictions) -> Result:
    """Compute `pixel_calibration_error` of the pixels away from lesions and from that band.

    Examples:
        >>> columns = {"bin_claimed": np.full((1, 3, 15), 0.75), "bin_came": np.full((1, 3, 15), 0.5)}
        >>> columns["bin_count"] = np.ones((1, 3, 15), dtype=int)
        >>> pixel_calibration_error_background(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=columns))[0].value
        0.25
    """
    return _pixel_calibration(predictions, ("background",), Code.NO_BACKGROUND_PIXEL)


# At the size of the images' files.


def at_native(predictions: ModelPredictions, compute: MeasureFunction) -> Result:
    """Compute a measure from the columns at the size of the files, which are of p = 0.5.

    Examples:
        >>> columns = {"native_truth": np.array([4]), "native_predicted": np.array([3]), "native_hit": np.array([2])}
        >>> at_native(ModelPredictions(np.zeros((1, 1)), np.array([1]), maps=columns), pixel_recall)[0].value
        0.5
    """
    at_file = {name: column for name, column in predictions.maps.items() if name.startswith(AT_NATIVE)}
    columns = {name.removeprefix(AT_NATIVE): column for name, column in at_file.items()}
    for name in ("predicted", "hit"):
        columns[name] = np.repeat(columns[name][:, None], len(_THRESHOLDS), axis=1)
    return compute(replace(predictions, maps=columns))


for _name, _of in (
    ("dice", dice),
    ("iou", iou),
    ("pixel-precision", pixel_precision),
    ("pixel-recall", pixel_recall),
    ("volume-error", volume_error),
    ("hd95", hd95),
    ("surface-distance", surface_distance),
    ("surface-dice", surface_dice),
):
    _entry = COMPUTED[_name].entry
    measure(
        replace(
            _entry,
            name=f"{_name}-native",
            meaning=f"{_entry.meaning}, at the size of the images' files",
            display=f"{_entry.label} at native size",
            option="native",
        ),
        MeasureRequirements(maps=True, native=True),
    )(partial(at_native, compute=_of))
