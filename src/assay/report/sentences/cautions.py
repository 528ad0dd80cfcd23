"""English of cautions and limits: codes with fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.core.measures import label_of as measure_words
from assay.core.reasons import Code
from assay.stats.format import count, in_words, listed, number, p_value, with_interval

Fields = Mapping[str, Any]
LOOKED_FOR = ("rotated", "mirrored", "cropped to 90%", "re-encoded")
"""The near copies whose recall docs/reference/data.md states."""
NAMED = 3
"""More recipes than this are counted in a caution instead of named."""
MOST_PROPERTIES = 5


def _recipes(fields: Fields) -> str:
    names: Sequence[str] = fields["recipes"]
    more = len(names) - NAMED
    return listed([*names[:NAMED], count(more, "more recipe")] if more > 0 else list(names))


def _missing(fields: Fields) -> str:
    missing = [f"{fields[status]} {status}" for status in ("failed", "pending") if fields[status]]
    return f"{listed(missing)} of {count(fields['of'], 'training run')}: left out"


def _lost(fields: Fields) -> str:
    return f"{count(fields['count'], 'training run')} {fields['status']} ({_recipes(fields)}): left out of means"


def _extreme(fields: Fields, what: str) -> str:
    return (
        f"{fields['count']} of {count(fields['of'], 'training run')} ({_recipes(fields)}): the network {what} "
        "validation image at p = 0.5; kept in means"
    )


def _no_copies(fields: Fields) -> str:
    kinds = [kind for kind in LOOKED_FOR if not (fields["bounded"] and kind.startswith("cropped"))]
    place = "of an image across patients" if fields["patients"] else "among the images"
    return f"no exact or near copy ({', '.join(kinds)}) {place}"


def _copies_found(fields: Fields) -> str:
    of = f", {fields['contradicting']} with contradicting labels" if fields["contradicting"] else ""
    return f"{count(fields['count'], 'pair')} of near copies{of}"


def _near_copies(fields: Fields) -> str:
    same = (
        "of different patients are nearly the same image"
        if fields["named"]
        else "are different images, nearly the same"
    )
    pair = f"{fields['word']}s {fields['first']} and {fields['second']}"
    return f"{pair} {same} (likeness {fields['likeness']:.3f})"


def _contradicting(fields: Fields) -> str:
    return f"{_near_copies(fields)}, and their labels contradict: {' and '.join(fields['labels'])}"


def _associations(fields: Fields) -> str:
    return (
        f"{fields['count']} of {count(fields['of'], 'association')} not achieved within "
        f"{number(fields['tolerance'])}: {in_words(fields['factor'])} in {fields['environment']} is "
        f"{number(fields['strength'])}, asked {number(fields['asked'])}"
    )


def _uneven(fields: Fields) -> str:
    of = f" of {in_words(fields['confounder'])}" if fields["confounder"] else ""
    most = f"{fields['most_rows']} at p = {fields['most']}"
    fewest = f"{fields['fewest_rows']} at p = {fields['fewest']}"
    return (
        f"training rows differ over the doses{of}: {most}, {fewest}, so an effect of p may come from fewer rows; "
        f"`rows: {fields['least']}` in environments.train makes them equal"
    )


def _under(fields: Fields) -> str:
    fewest, most = fields["fewest"], fields["most"]
    seeds = count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    few = fields["count"] < fields["of"]
    some = f" in {fields['count']:,} of {count(fields['of'], fields['thing'])}" if few else ""
    why = "; the other seeds never reached the same fit with both recipes; more epochs or seeds would help"
    text = f"{seeds}{some}: with fewer than {fields['least']} there are no intervals and no ranking"
    return text + (why if fields["unmatched"] else "")


def _rough(fields: Fields) -> str:
    at_least = "" if fields["fewest"] == fields["most"] else "as few as "
    first = "; a difference shown with so few is a first sign, to be confirmed with more"
    text = f"{at_least}{fields['fewest']} seeds: the variation between seeds is only roughly known"
    return text + (first if fields["first_sign"] else "")


def _enough(fields: Fields) -> str:
    return f"{count(fields['fewest'], 'seed')} or more in every {fields['thing']}"


def _changed(fields: Fields) -> str:
    way = "raised" if fields["now"] > fields["planned"] else "lowered"
    return f"seeds were {way} from {fields['planned']} to {fields['now']} after results existed"


def _far(fields: Fields) -> str:
    at_least = "" if fields["fewest"] == fields["most"] else "as few as "
    beside = ""
    if "flip" in fields:
        beside = f"; the sign-flip test cannot give less than {p_value(fields['flip'])}"
    return (
        f"{count(fields['count'], 'difference')} with p < {number(fields['limit'], 3)} on {at_least}"
        f"{count(fields['fewest'], 'seed')}: the simulation behind p stops at 0.05{beside}"
    )


def _outlying(fields: Fields) -> str:
    place = f" in {fields['environment']}" if fields["environment"] else ""
    named = f"{fields['recipe']} with seed {fields['seed']}: {fields['measure']}{place}"
    limits = [f"{fields['limit']} robust standard deviations"] if fields["limit"] else []
    limits += [f"{number(fields['gap'])} of the range"] if fields["gap"] else []
    return (
        f"{count(fields['count'], 'value')} of single seeds over {' or '.join(limits)} from the "
        f"other seeds of the recipe ({named} is {number(fields['value'])}, the median {number(fields['median'])}): a "
        "mean over few seeds flatters recipes that sometimes fail"
    )


def _folds(fields: Fields) -> str:
    return (
        f"{fields['folds']} folds share training rows, so the true p is higher than reported: where nothing differed, "
        f"p < 0.05 came in up to {number(fields['rate'])} of simulated comparisons"
    )


def _pool(fields: Fields, redraws: str) -> str:
    return (
        f"seeds {redraws}, so p holds for this training set and may be too low for others: where nothing differed, "
        f"p < 0.05 came in up to {number(fields['rate'], 3)} of simulated comparisons"
    )


def _undefined(fields: Fields) -> str:
    return f"{fields['count']} of {count(fields['of'], 'comparison')} undefined"


def _proxy(fields: Fields) -> str:
    return (
        f"{fields['kind']} '{fields['name']}' is a proxy for the target: alone it predicts '{fields['of']}' with AUROC "
        f"{fields['auroc']:.3f} ({fields['rows']:,} rows), so findings about the two cannot be "
        "separated"
    )


def _unseen(fields: Fields) -> str:
    each = f" (of its fold, all {fields['folds']} together)" if fields["folds"] > 1 else ""
    levels = ", ".join(f"{name} ({int(n):,})" for name, n in zip(fields["levels"], fields["counts"], strict=True))
    return (
        f"'{fields['environment']}' has levels of '{fields['factor']}' that no training image has{each}: {levels} of "
        f"{fields['images']:,} images"
    )


def _empty_dose(fields: Fields) -> str:
    images = [f"{int(n):,} {name}" for name, n in zip(fields["classes"], fields["counts"], strict=True)]
    return (
        f"the dose p = {fields['p']} of '{fields['factor']}' is on none of the training images ({listed(images)}): it "
        "is a dose of 0"
    )


def _properties(fields: Fields) -> str:
    """`factor 'view' (AUROC 0.84 [0.80, 0.88]) and 2 more`."""
    parts = zip(*(fields[name] for name in ("kinds", "names", "values", "lows", "highs")), strict=True)
    named = [
        f"{_property(kind, name)} (AUROC {with_interval(float(value), float(low), float(high))})"
        for kind, name, value, low, high in parts
    ]
    more = [f"{len(named) - MOST_PROPERTIES} more"] if len(named) > MOST_PROPERTIES else []
    return listed([*named[:MOST_PROPERTIES], *more])


def _property(kind: str, name: str) -> str:
    if kind == "baseline":
        return f"the {name} alone"
    return f"{kind} '{name}'" if kind != "image" else f"the image's {name}"


def sizes(fields: Fields) -> str:
    """Return `0.06 or more`, or `0.06 to 0.12 or more` where comparisons are made in several ways."""
    ends = dict.fromkeys((number(fields["low"]), number(fields["high"])))
    return f"{' to '.join(ends)} or more"


CAUTIONS: Mapping[Code, str | Callable[[Fields], str]] = {
    Code.NO_CONTRAST: "No comparison was pre-specified, so no difference is claimed.",
    Code.LATE_CONTRASTS: lambda fields: (
        f"{count(fields['count'], 'comparison')}, added or changed after results existed, are exploratory and claim "
        "nothing. To confirm them, pre-specify them in a new run folder."
    ),
    Code.CONTROL_FAILED: lambda fields: (
        f"the {'A/A control differs' if fields['role'] == 'a-a' else 'positive control was not detected'}"
    ),
    Code.NEAR_END_OF_SCALE: lambda fields: f"within {number(fields['margin'])} of {fields['end']:g}",
    Code.AT_CHANCE: "at chance",
    Code.LIMIT_INCONCLUSIVE: lambda fields: (
        f"that recipes are equal where the result is inconclusive ({fields['count']} of "
        f"{count(fields['of'], 'comparison')})"
    ),
    Code.DETECTABLE: lambda fields: f"in {measure_words(fields['measure'])} of {sizes(fields)}",
    Code.NOTHING_DETECTABLE: "not even the largest possible difference in {count} of them",
    Code.UNKNOWN_SPREAD: "its variance is unknown until the study has run",
    Code.UNPLANNED_VARIANCE: "the variance of this measure is unknown until the study has run",
    Code.TOO_FEW_PLANNED: lambda fields: (
        f"{count(fields['seeds'], 'seed')}, {listed(list(fields['patients']))} patients by class: too few for an "
        "interval"
    ),
    Code.BEYOND_RANGE: "not even the largest possible difference: too few patients or seeds",
    Code.LIMIT_CLEAN_UNMATCHED: (
        "whether a recipe is more robust or only started lower: performance at p = 0 was not matched"
    ),
    Code.LIMIT_FIT_UNMATCHED: ("whether recipes differ in more than training speed: they were not matched on fit"),
    Code.LIMIT_DECODING: "that a model uses a factor which a layer encodes",
    Code.LIMIT_ENVIRONMENTS: lambda fields: (
        f"how recipes compare on other distributions than these ({listed(list(fields['names']))})"
    ),
    Code.LIMIT_EXPLORATORY: lambda fields: (
        f"confirmation of {count(fields['count'], 'comparison')} added after results existed"
    ),
    Code.MISSING_TRIALS: _missing,
    Code.ALL_FINISHED: lambda fields: f"all {count(fields['count'], 'training run')} finished",
    Code.NONE_COLLAPSED: "none collapsed or diverged",
    Code.NO_SEED_LEFT: lambda fields: (
        f"all runs of {_recipes(fields)} collapsed or failed; no results are reported for them"
    ),
    Code.LOST_TRIALS: _lost,
    Code.SILENT_TRIALS: lambda fields: _extreme(fields, "predicts no lesion pixel in any"),
    Code.LOUD_TRIALS: lambda fields: _extreme(fields, "predicts over 90% of the pixels as lesion in every"),
    Code.PATIENTS_UNKNOWN: (
        "intervals are over images, so they are too narrow where a patient has several images: {text}"
    ),
    Code.DRAWN_IMAGES: "every image is generated independently, so no copies were searched for",
    Code.LEAKAGE_UNCHECKED: "leakage between patients was not checked: no column identifies patients",
    Code.NO_COPIES: _no_copies,
    Code.COPIES_FOUND: _copies_found,
    Code.NEAR_COPIES: _near_copies,
    Code.CONTRADICTING_COPIES: _contradicting,
    Code.ASSOCIATIONS_ACHIEVED: "associations achieved as asked",
    Code.ASSOCIATIONS_OFF: _associations,
    Code.UNEVEN_ROWS: _uneven,
    Code.ALL_AT_CHANCE: "no recipe is above chance (AUROC 0.50): differences mean little",
    Code.ALL_AT_CHANCE_WITHOUT_DOSE: (
        "no recipe is above chance (AUROC 0.50) at p = 0: a change from there means little"
    ),
    Code.SCALE_EXHAUSTED: lambda fields: (
        f"scale exhausted in {fields['count']} of {count(fields['of'], 'comparison')}: neither a difference nor its "
        "absence means much there"
    ),
    Code.UNDER_SEEDS: _under,
    Code.ROUGH_SEEDS: _rough,
    Code.ENOUGH_SEEDS: _enough,
    Code.CHANGED_SEEDS: _changed,
    Code.FAR_P: _far,
    Code.OUTLYING_SEEDS: _outlying,
    Code.SEEDS_UNCHECKED: lambda fields: (
        f"whether a seed fell far from the others was not checked for {listed(list(fields['measures']))}: the measure "
        f"has no range, and fewer than {fields['least']} distances between seeds give no spread"
    ),
    Code.SHARED_FOLDS: _folds,
    Code.ONE_POOL: lambda fields: _pool(fields, "draw their training rows from one pool, most of which they share"),
    Code.FIXED_TRAINING_ROWS: lambda fields: _pool(
        fields, "train on the rows that a column of the table names and redraw weights and order alone"
    ),
    Code.UNDEFINED_COMPARISONS: _undefined,
    Code.OTHER_TARGET: (
        "the target is '{target}', not whether an image shows a lesion: AUROC and average precision rank images by it, "
        "while overlap and false positives go by the masks"
    ),
    Code.PROXY: _proxy,
    Code.UNSEEN_LEVELS: _unseen,
    Code.OF_RECIPE: "in {recipe}",
    Code.COLUMN_OF_INTERVENTION: (
        "the table has a column '{name}', as the intervention is called: where images bear it already, declare the "
        "column as a factor of another name, such as {name}_found: {{column: {name}}}"
    ),
    Code.EMPTY_DOSE: _empty_dose,
    Code.ILLEGIBLE: (
        "confounder '{confounder}' writes letters {high:.2g} px high, under {least:g} px: they are spots rather than "
        "letters"
    ),
    Code.HARDLY_CHANGED: (
        "confounder '{confounder}' hardly changes {count} of {images} images (less than a quarter of the change "
        "of the median image): it is already there, or its background looks like it"
    ),
    Code.PLAIN_SIGHT: lambda fields: (
        f"simple cues predict the target: {_properties(fields)}; a network may learn these instead"
    ),
    Code.RIDGE_BASELINE: lambda fields: (
        f"without a network, a ridge regression predicts the target of other {fields['others']} from "
        f"{_properties(fields)}: a model that is no better needs no more than that"
    ),
}
"""Code -> its English, as in `reasons.WORDS`."""
