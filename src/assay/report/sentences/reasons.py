"""English of reasons: why a value is missing or doubtful, and where a worst value comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.core.reasons import Cause, Code, Reason, read
from assay.report.sentences.cautions import CAUTIONS
from assay.stats.format import count, in_words, listed, number, with_interval

Fields = Mapping[str, Any]


def _group(fields: Mapping[str, Any]) -> str:
    """`texture part-solid benign`, `illumination low half, class 2`: a class that is a number is called one."""
    factor, level, target = (str(fields[name]) for name in ("factor", "level", "target"))
    place = f"{in_words(factor)} {in_words(level)}".strip()
    return f"{place}, class {target}" if target.isdigit() else f"{place} {in_words(target)}".strip()


def _at_zero(fields: Mapping[str, Any]) -> str:
    value, low, high, chance = (float(fields[name]) for name in ("value", "low", "high", "chance"))
    where = "is below chance" if high < chance else "is not clear of chance"
    places = 2
    return f"the value at p = 0, {with_interval(value, low, high, places=places)}, {where} ({number(chance)})"


def _unreached_fit(fields: Mapping[str, Any]) -> str:
    asked = f" (asked for {fields['asked']:.2g})" if "asked" in fields else ""
    start, end = (f"{fields[f'{at}_a']:.2g} and {fields[f'{at}_b']:.2g}" for at in ("start", "end"))
    return f"no log-loss is reached by both recipes: it falls from {start} to {end}{asked}"


def _unreached_clean(fields: Mapping[str, Any]) -> str:
    ranges = [f"{number(float(fields[f'low_{side}']))} to {number(float(fields[f'high_{side}']))}" for side in "ab"]
    rows = f"{fields['fewest']:g} to {fields['most']:g} rows"
    return (
        f"no clean performance is reached by both: with {rows} it is {ranges[0]} and {ranges[1]}; train on fewer or "
        "more rows"
    )


def _measure(fields: Mapping[str, Any]) -> str:
    of = f" of {in_words(str(fields['factor']))}" if fields["factor"] else ""
    return f"{fields['measure']}{of}"


def _seeds(fields: Mapping[str, Any], rest: str) -> str:
    return f"{count(int(fields['seeds']), 'seed')}{rest}"


def _decided_early(fields: Fields) -> str:
    large = ": an estimate after early stopping is likely too large" if fields["differs"] else ""
    return f"decided at {fields['seeds']} of at most {fields['most']} seeds{large}"


def _later(fields: Fields) -> str:
    value, low, high = (float(fields[name]) for name in ("value", "low", "high"))
    return f"with {_seeds(fields, '')} the difference is {with_interval(value, low, high)}"


def _became(fields: Fields) -> str:
    """`all 10 trials of triplet collapsed`."""
    recipe = fields["recipe"]
    counts = {kind: int(fields[kind]) for kind in _ENDS if kind in fields}
    if not counts:
        return f"no seed of {recipe} was kept"
    if len(counts) == 1:
        (kind, number_of) = next(iter(counts.items()))
        return f"all {count(number_of, 'training run')} of {recipe} {_ENDS[kind]}"
    parts = [f"{number_of} {_ENDS[kind]}" for kind, number_of in counts.items()]
    return f"no training run of {recipe} counts: {listed(parts)}"


_ENDS = {
    "collapsed": "collapsed",
    "diverged": "diverged",
    "failed": "failed",
    "pending": "not trained yet",
    "done": "without a value",
}
"""Status of a trial -> its words."""

LEADING = frozenset(
    {
        Code.UNDEFINED_SEEDS,
        Code.ONE_CLASS_AGAINST_REST,
        Code.ON_PROBIT_SCALE,
        Code.UNKNOWN_AT_ZERO_DOSE,
        Code.MEASURE_OF_RECIPE,
        Code.LOST_SOURCE,
        Code.COPIES_FOUND,
        Code.UNDEFINED_COMPARISONS,
    }
)
"""Codes that the next cause explains: joined by a colon, other causes by a semicolon."""


WORDS: Mapping[Code, str | Callable[[Fields], str]] = {
    **CAUTIONS,
    Code.STATED: "{text}",
    Code.NO_SEED: "no run was trained to a sound end",
    Code.NO_SEED_OF: _became,
    Code.NO_SEED_AT_EVERY_BUDGET: "no seed was kept by both recipes at every budget",
    Code.NO_SEED_AT_EVERY_DOSE: "no seed was kept at every dose",
    Code.NO_SEED_AT_EVERY_AMOUNT: "no seed was kept by both recipes at every amount and dose",
    Code.DECIDED_EARLY: _decided_early,
    Code.LATER_ESTIMATE: _later,
    Code.FEW_SEEDS: lambda fields: _seeds(fields, f": no interval is drawn under {fields['least']}"),
    Code.FEW_SEEDS_TO_COMPARE: lambda fields: _seeds(fields, f": at least {fields['least']} are needed"),
    Code.FEW_SEEDS_WITH_ACTIVATIONS: lambda fields: _seeds(fields, " with activations: at least 2 are needed"),
    Code.SOME_SEEDS_UNDEFINED: "undefined for some seeds",
    Code.UNDEFINED_SEEDS: "undefined for {count} of {seeds} seeds",
    Code.MIXED_UNITS: "some {of} give {units}, which are not averaged",
    Code.MISSING_FOLDS: "only {count} of {folds} folds have it",
    Code.NOT_MEASURED: lambda fields: f"{_measure(fields)} was not measured of {fields['recipe']}",
    Code.MEASURE_OF_RECIPE: lambda fields: f"{_measure(fields)} of {fields['recipe']}",
    Code.OTHER_SEEDS: "the two measures do not rest on the same seeds",
    Code.NO_VARIATION: "nothing varied over seeds or patients: no interval can be made",
    Code.NO_VARIATION_BETWEEN_SEEDS: "nothing varied between seeds",
    Code.SINGLE_PATIENT: "it rests on a single patient: no variance over patients",
    Code.UNKNOWN_ERROR: "the standard error of a seed is not known",
    Code.TOO_FEW_FOR_TWO: "too few seeds or patients for two measures together",
    Code.ON_PROBIT_SCALE: "on the probit scale",
    Code.UNREACHED_FIT: _unreached_fit,
    Code.UNREACHED_CLEAN: _unreached_clean,
    Code.ONE_AMOUNT: "two amounts of data or more were not trained on both sides",
    Code.ONE_DOSE: "p = 0 and another dose were not trained on both sides",
    Code.UNKNOWN_AT_ZERO_DOSE: "it is not known whether the value at p = 0 is clear of chance",
    Code.CHANCE_AT_ZERO_DOSE: _at_zero,
    Code.NO_IMAGES: "no images",
    Code.NOT_FINITE: "the model's answer is not finite for {count} of {images} images",
    Code.ABSENT_CLASS: "no image of the {kind} class",
    Code.NO_FOLD_WITH_BOTH_CLASSES: "no fold holds both classes",
    Code.ONE_CLASS_AGAINST_REST: "class {label} against the rest",
    Code.ONE_GRADE: "all images have and were given one grade",
    Code.CUT_OUTSIDE_CLASSES: "no class is at or above {cut}, from which images count as positive: there are {classes}",
    Code.NO_CUT_THRESHOLD: "no threshold was chosen: no validation image is below the positive grades",
    Code.NO_LESION_THRESHOLD: "no threshold was set on validation lesions: the model came without one",
    Code.UNREACHED_VALIDATION_SENSITIVITY: "censored: no threshold finds {level:.0%} of the validation lesions",
    Code.NEEDS_TWO_CLASSES: "{measure} is for two classes, and there are {classes}",
    Code.NEEDS_MAPS: "{measure} is for segmentation, and the model gives one answer for an image",
    Code.NO_NATIVE_MASKS: "no masks at original resolution: crops, and images that are not single files, have none",
    Code.NO_LESION: "no lesion",
    Code.NO_LESION_IMAGE: "no image with a lesion",
    Code.NO_LESION_FREE_IMAGE: "no lesion-free image",
    Code.NO_FALSE_POSITIVE_IMAGE: "no image to count false positives on",
    Code.NO_SURFACES: "no image in which every recipe compared has both surfaces",
    Code.NO_BOUNDARY_PIXEL: "no pixel near the outline of a lesion",
    Code.NO_BACKGROUND_PIXEL: "no pixel away from lesions",
    Code.UNREACHED_SENSITIVITY: (
        "a sensitivity of {level:g} is not reached: one threshold finds at most {most:.3g} of {lesions} lesions, the "
        "others are found only where whole images are predicted"
    ),
    Code.CURVE_BEGINS_LATE: (
        "{false_positives:.2g} false positives per image remain above the highest threshold: the curve does not begin "
        "at 0"
    ),
    Code.NO_MASKS: "the images have no masks",
    Code.NO_PIXEL_LOGITS: "the model gives no logits of pixels",
    Code.PIXEL_LOGITS: "the model gives logits of pixels, whose map itself shows where a lesion is",
    Code.NO_SUCH_LESION: "no image shows such a lesion",
    Code.NO_SUCH_LESION_WITH_REST: "no image shows such a lesion and anything else",
    Code.NO_SHOWN_LESION: "no image shows a lesion",
    Code.NO_LESION_IN_BOTH: "no image shows a lesion in both",
    Code.NO_OTHER_SIDE: "no image has a place without a lesion on the other side of the middle",
    Code.ONE_LESION_SIZE: "the lesions shown do not differ in size",
    Code.NO_SMALL_AND_LARGE: "no image shows small lesions and large",
    Code.NEUTRAL_ALONE: "lesions are taken away from neutral images alone",
    Code.NOT_DRAWN: "the images were not drawn: their lesions cannot be taken away, only painted over",
    Code.ALWAYS_LESIONS: (
        "the phantom cannot draw images without a lesion: they show one at the low end of '{factor}' too"
    ),
    Code.NO_LESION_FACTOR: "the phantom has no factor '{factor}': its lesions cannot be taken away",
    Code.NOTHING_TO_PAINT: "no neutral image of a phantom with a lesion: nothing can be painted",
    Code.NO_RISING_FACTOR: "the phantom has no such factor that rises",
    Code.UNDEFINED_ERROR: "an error is undefined",
    Code.BASELINE_WITHOUT_ERROR: "the baseline makes no error",
    Code.BASELINE_NOT_WORSE: "the baseline's error does not increase",
    Code.BASELINE_NEAR_ZERO: "the interval of the increase of the baseline's error holds 0",
    Code.BASELINE_UNKNOWN: "no interval shows whether the baseline's error increases",
    Code.FAMILY_WITHOUT_BASELINE: "not every family has a baseline at all severities",
    Code.NO_CLEAN_HIT: "no clean image is classified correctly",
    Code.NOT_CONVERGED_ERROR: "not converged: standard error {error:.3f} exceeds {tolerance:g}",
    Code.NOT_CONVERGED_HALVES: "not converged: the halves of the samples differ by {gap:.1f} standard errors",
    Code.CONSTANT_OUTPUT: "the output is constant over the design",
    Code.NOTHING_TO_CHANGE: "no phantom and no intervention: nothing can be changed alone",
    Code.EMPTY_SIDE: "no neutral image is on that side",
    Code.FAR_FROM_THRESHOLD: (
        "no image flips, and under {border:.0%} of them are within one within-class sd of the threshold or beyond it: "
        "the flip rate could not show a change; see logit-effect"
    ),
    Code.NO_LOGIT_UNIT: "the logit does not vary within a class on neutral images, so it has no unit",
    Code.NO_LOG_ODDS_UNIT: "the log-odds do not vary within a class on neutral images, so they have no unit",
    Code.NO_LESION_LOGIT_UNIT: "the logit does not vary over lesions, so it has no unit",
    Code.NO_LAYERS: "the model names no layers to read",
    Code.CONSTANT_LAYER: "the layer is constant",
    Code.NOT_FINITE_ACTIVATIONS: "activations are not finite numbers",
    Code.FEW_IMAGES: "{images} images, at least {least} are needed",
    Code.EQUAL_DISTANCES: "all images are equally far apart",
    Code.ZERO_ACTIVATIONS: "all activations are 0",
    Code.LIMITED_RANK: "{images} images for {units} units: it cannot exceed {most}",
    Code.FEW_NEIGHBORS: lambda fields: (
        f"{fields['images']} images, more than {int(fields['neighbors']) + 1} are needed for {fields['neighbors']} "
        "neighbors"
    ),
    Code.LEAST_EIGENVALUE_ZERO: "the least eigenvalue is 0: {varying} of {directions} directions vary",
    Code.PERCENTILE_EIGENVALUE_ZERO: (
        "the 10th percentile of the eigenvalues is 0: {varying} of {directions} directions vary"
    ),
    Code.FEW_FOR_EIGENVALUES: lambda fields: (
        f"{fields['images']} images and {fields['varying']} numbers of a map that vary: {fields['eigenvalues']} "
        f"eigenvalues need at least {int(fields['eigenvalues']) + 1} and {fields['eigenvalues']}"
    ),
    Code.UPPER_PERCENTILE_EIGENVALUE_ZERO: (
        "the 90th percentile of the eigenvalues is 0: {varying} of {directions} directions vary"
    ),
    Code.FEW_DISTINCT_IMAGES: "{images} distinct images, at least {least} are needed",
    Code.WITHIN_ROUNDING: "images differ by no more than rounding",
    Code.FEW_GROUPS: "fewer than two groups have two images",
    Code.NO_VALUE: "no image has a value",
    Code.MANY_LEVELS: "{levels:,} levels are more than {most}",
    Code.ONE_AUDIT: "tested in one of the audits only",
    Code.DRAWN_OTHERWISE: "the mark is drawn differently in the audits",
    Code.ONE_VALUE: "all images have one value",
    Code.SMALL_GROUP: "fewer than {least} images of a class",
    Code.SMALL_GROUPS: "fewer than two groups have {least} images of each class",
    Code.NOTHING_TO_COMPARE: "no group can be compared with the others",
    Code.SLOW_FOR_EXCHANGE: "the budget or the images are too few: {least} images are needed",
    Code.NOTHING_INSIDE: "{kind} shows no layers and no gradients",
    Code.NO_LINEAR_HEAD: "the network has no linear layer at its end",
    Code.NO_MASKS_GIVEN: "the images have no masks",
    Code.NO_REGION: "too few images have such a region",
    Code.NO_DONORS: "an image has no other patient of its class, or of another class",
    Code.EXCHANGE_IN_STEPS: "it chooses images by the answers, and these were made after all images were written",
    Code.EXCHANGE_OF_CLASSES: "content is exchanged between classes, and this model gives masks",
    Code.FEW_PATIENTS: "{patients} patients have a value, fewer than {folds} folds",
    Code.CONSTANT_FACTOR: "constant: no two values that {folds} patients have",
    Code.CONSTANT_WITHIN_CLASS: "constant within each class: in none do {folds} patients have either value",
    Code.NO_FOLD_WITH_BOTH_SIDES: "no fold holds images on both sides of the question",
    Code.NO_WEIGHTS: "the network has no weights",
    Code.OTHER_SHAPE: "the network before training has another shape",
    Code.ZERO_START: "all values were 0 before training",
    Code.NOT_FINITE_WEIGHTS: "weights are not finite",
    Code.OTHER_IMAGES: "their activations were kept of other images",
    Code.EMPTY_MAPS: "{count} of {maps} maps are 0 everywhere and count as uninformative",
    Code.BROKEN_MAPS: "{count} of {maps} heat-maps hold NaN or infinity",
    Code.FEW_SCORED_IMAGES: "{images} images have a score, at least {least} are needed",
    Code.EQUAL_SHARES: "all images have the same share, or lose the same",
    Code.EQUAL_SUBSETS: "every subset of cells has the same in the map, or takes the same from the answer",
    Code.FAILS_SANITY: (
        "fails the sanity check: its maps correlate by {correlation:.2f} with those of randomized weights"
    ),
    Code.SANITY_SAME_WEIGHTS: "not checked for sanity: randomized weights are the same ones",
    Code.SANITY_CONSTANT_MAPS: "not checked for sanity: each of its maps is the same everywhere, or holds NaN",
    Code.WORST_GROUP_PLACE: lambda fields: f"in {_group(fields)}",
    Code.WORST_ENVIRONMENT_PLACE: "in {environment}",
    Code.NO_GROUP: "no group of at least {images} images has it",
    Code.NO_COMMON_GROUP: "no place has it for every seed",
    Code.NO_ENVIRONMENT: "undefined in every environment",
    Code.COLLAPSED_CONSTANT_OUTPUT: (
        "constant output: the logits of the validation images differ by at most {spread:.1e}"
    ),
    Code.COLLAPSED_CONSTANT_MAPS: "constant output: the logits differ by at most {spread:.1e} between places",
    Code.COLLAPSED_ONE_EMBEDDING: "one embedding for all: it varies by {share:.1e} of its length",
    Code.COLLAPSED_RANK_ONE: "embedding of rank one: its effective rank is {rank:.3f}",
    Code.COLLAPSED_EQUAL_DISTANCES: (
        "all distances equal: between validation images they vary by {share:.1e} of their mean"
    ),
    Code.COLLAPSED_STUCK: "no better than a constant in training: the loss is {loss:.4f}, as for one embedding for all",
    Code.COLLAPSED_FEATURES: (
        "the features collapsed: after epoch {epoch} their effective rank is {rank:.3f} and they vary by {spread:.1e} "
        "of their length; stopped. Try a lower learning rate, or another loss"
    ),
    Code.PREDICTS_NOTHING: "predicts no lesion in any of {images} validation images at p = 0.5",
    Code.PREDICTS_EVERYTHING: "predicts over 90% of the pixels in each of {images} validation images at p = 0.5",
    Code.DIVERGED_LOSS: "diverged: the loss is {loss} at step {step}; try a lower learning rate",
    Code.HEAD_NOT_FITTED: (
        "the linear head on frozen features did not converge: slope {slope:.1e} after {iterations} iterations "
        "({message}); look at the training's curve, and try a lower learning rate"
    ),
    Code.LOST_SOURCE: "{source} {status}, so nothing starts from it",
    Code.TRAINING_DIVERGED: "the training diverged",
    Code.TRAINING_STOPPED: "the training was stopped: its features had collapsed",
    Code.USELESS_SOURCE: "the pretrained start cannot be used",
    Code.NO_RECORD_OF_SOURCE: "the record of its start is missing: run the study again",
    Code.UNFINISHED_PROBES: "probes or readings of it are missing: run the study again",
    Code.NO_SSIM: "an edge is shorter than the window of 11 px",
    Code.TIED_BY_SAMPLING: "by sampling: no pixel is changed",
    Code.FEW_VALUES: "fewer than {least} images with a value on either side",
    Code.NOTHING_TRAINED: "nothing was trained here before",
    Code.NO_RECORD: "its record was removed",
    Code.FIELD_CHANGED: "{field} is {value} (was {before})",
    Code.FIELD_ADDED: "{field} is {value} (not set before)",
    Code.FIELD_REMOVED: "{field} is not set (was {before})",
    Code.NEW_PROBE: "probe {probe} was not asked before",
    Code.PROBE_ENVIRONMENTS: lambda fields: (
        f"probe {fields['probe']}: environment {', '.join(fields['environments'])} is new or changed"
    ),
    Code.PROBE_IMAGES: "probe {probe}: its images or environments changed",
    Code.PLANNED_BEFORE: "planned before, not finished yet",
    Code.NO_SEED_COLUMN: "no column '{column}': one seed each",
    Code.NO_PATIENT_COLUMN: "no column '{column}': each image counts as a patient",
    Code.LOG_ODDS: "scores are not all between 0 and 1: taken as log-odds",
    Code.MISSING_PREDICTIONS: "{recipe}: {count} predictions are missing, of images that other seeds or recipes have",
}


def reason_words(reason: object) -> str:
    """Return a reason in English, empty for no reason.

    Args:
        reason: A `Reason`, or its form in a row or a record.
    """
    found = _without_noise(read(reason))
    text = ""
    for cause, before in zip(found.causes, (None, *found.causes), strict=False):
        link = "" if before is None else ": " if before.code in LEADING else "; "
        text += link + cause_words(cause)
    return text


def place_words(reason: object) -> str:
    """Return where a worst value comes from, `sex F, class 2; age low half`; every cause where none is a place."""
    causes = read(reason).causes
    places = [
        _group(dict(cause.fields)) if cause.code == Code.WORST_GROUP_PLACE else str(cause["environment"])
        for cause in causes
        if cause.code in (Code.WORST_GROUP_PLACE, Code.WORST_ENVIRONMENT_PLACE)
    ]
    return "; ".join(places or map(cause_words, causes))


def cause_words(cause: Cause) -> str:
    """Return one cause in English."""
    found = WORDS[cause.code]
    fields = dict(cause.fields)
    return found.format(**fields) if isinstance(found, str) else found(fields)


def _without_noise(reason: Reason) -> Reason:
    """Leave out that no seed was kept where another cause says why."""
    rest = tuple(cause for cause in reason.causes if cause.code != Code.NO_SEED)
    return Reason(rest) if rest else Reason(reason.causes[:1])


def finding_words(reason: Reason) -> str:
    """Return a caution or a limit in English; of a limit with the differences that the design detects."""
    spent = reason.first(Code.SCALE_EXHAUSTED)
    if spent is not None:
        return f"{cause_words(spent)}; in the first, all values are {reason_words(Reason(reason.causes[1:]))}"
    if Code.LIMIT_INCONCLUSIVE not in reason:
        return reason_words(reason) + (": no value" if reason.codes == (Code.UNDEFINED_COMPARISONS,) else "")
    first, *rest = reason.causes
    found = [f"a difference {cause_words(cause)}" for cause in rest if cause.code == Code.DETECTABLE]
    found += [cause_words(cause) for cause in rest if cause.code == Code.NOTHING_DETECTABLE]
    return cause_words(first) + (f"; with 80% power this design detects {listed(found)}" if found else "")
