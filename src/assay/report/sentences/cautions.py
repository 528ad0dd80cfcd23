"""English of cautions and limits: codes with fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.core.reasons import Code
from assay.report.sentences.names import measure_words
from assay.stats.format import count, in_words, listed, number, p_value, with_interval

Fields = Mapping[str, Any]
LOOKED_FOR = "turned, mirrored, cropped to 90%, re-encoded"
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
    return f"{listed(missing)} of {count(fields['of'], 'trial')}: left out"


def _lost(fields: Fields) -> str:
    return f"{count(fields['count'], 'trial')} {fields['status']} ({_recipes(fields)}): left out of means"


def _extreme(fields: Fields, what: str) -> str:
    return (
        f"{fields['count']} of {count(fields['of'], 'trial')} ({_recipes(fields)}): the network {what} validation "
        "image at p = 0.5; kept in means"
    )


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
        f"training rows differ over the doses{of}: {most}, {fewest}, so that fewer rows may do what p seems to; "
        f"`rows: {fields['least']}` in environments.train makes them equal"
    )


def _under(fields: Fields) -> str:
    fewest, most = fields["fewest"], fields["most"]
    seeds = count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    few = fields["count"] < fields["of"]
    some = f" in {fields['count']:,} of {count(fields['of'], fields['thing'])}" if few else ""
    why = "; the others reach no fit that both recipes come to, which more budgets or more seeds mend"
    text = f"{seeds}{some}: under {fields['least']} no interval is drawn and nothing is ranked"
    return text + (why if fields["unmatched"] else "")


def _rough(fields: Fields) -> str:
    at_least = "" if fields["fewest"] == fields["most"] else "as few as "
    first = ": a difference shown with so few is a first sign, to be seen again with more"
    text = f"{at_least}{fields['fewest']} seeds: how they vary is known only roughly"
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
        beside = f"; the sign-flip test beside it cannot give less than {p_value(fields['flip'])}"
    return (
        f"{count(fields['count'], 'difference')} with p < {number(fields['limit'], 3)} on {at_least}"
        f"{count(fields['fewest'], 'seed')}: the simulation behind p stops at 0.05{beside}"
    )


def _unpooled(fields: Fields) -> str:
    return (
        f"{count(fields['count'], 'claim')} of {fields['of']} comparisons with under {fields['under']} seeds: no other "
        "comparison has the same measure, environment and reference, so that a small variance may be chance"
    )


def _outlying(fields: Fields) -> str:
    place = f" in {fields['environment']}" if fields["environment"] else ""
    named = f"{fields['recipe']} with seed {fields['seed']}: {fields['measure']}{place}"
    return (
        f"{count(fields['count'], 'value')} of single seeds over {fields['limit']} robust standard deviations from the "
        f"other seeds of the recipe ({named} is {number(fields['value'])}, the median {number(fields['median'])}): a "
        "mean over few seeds flatters recipes that sometimes fail"
    )


def _folds(fields: Fields) -> str:
    return (
        f"{fields['folds']} folds share training rows, so that p is higher than stated: where nothing differed, "
        f"p < 0.05 came in up to {number(fields['rate'])} of simulated comparisons"
    )


def _pool(fields: Fields, redraws: str) -> str:
    return (
        f"seeds {redraws}, so that p is of this training set and may be higher than stated: where nothing differed, "
        f"p < 0.05 came in up to {number(fields['rate'], 3)} of simulated comparisons"
    )


def _undefined(fields: Fields) -> str:
    return f"{fields['count']} of {count(fields['of'], 'comparison')} undefined"


def _proxy(fields: Fields) -> str:
    return (
        f"{fields['kind']} '{fields['name']}' is a proxy for the target: alone it tells '{fields['of']}' with AUROC "
        f"{fields['auroc']:.3f} ({fields['rows']:,} rows), so what is said of the one cannot be told from what is said "
        "of the other"
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
    Code.NO_CONTRAST: "No comparison was stated, so nothing is claimed about differences.",
    Code.LATE_CONTRASTS: lambda fields: (
        f"{count(fields['count'], 'comparison')}, added or changed after results were known, can claim nothing: stated "
        "before results, in a folder of their own, they could."
    ),
    Code.NEAR_END_OF_SCALE: lambda fields: f"within {number(fields['margin'])} of {fields['end']:g}",
    Code.AT_CHANCE: "at chance",
    Code.LIMIT_INCONCLUSIVE: lambda fields: (
        f"that there is no difference where none was shown ({fields['count']} of {count(fields['of'], 'comparison')})"
    ),
    Code.DETECTABLE: lambda fields: f"in {measure_words(fields['measure'])} of {sizes(fields)}",
    Code.NOTHING_DETECTABLE: "not even the greatest difference there can be in {count} of them",
    Code.UNKNOWN_SPREAD: "how far it varies is not known before it has run",
    Code.UNPLANNED_VARIANCE: "a measure whose variance no plan knows: known once it has run",
    Code.TOO_FEW_PLANNED: lambda fields: (
        f"{count(fields['seeds'], 'seed')}, {listed(list(fields['patients']))} patients by class: too few for an "
        "interval"
    ),
    Code.BEYOND_RANGE: "not even the greatest difference there can be: too few patients or seeds",
    Code.LIMIT_CLEAN_UNMATCHED: (
        "whether a recipe keeps more or only had less to lose: performance without a dose was not matched"
    ),
    Code.LIMIT_FIT_UNMATCHED: (
        "whether recipes differ in what they prefer or only in how fast they learn: fit was not matched"
    ),
    Code.LIMIT_DECODING: "that a factor is used because a layer encodes it: decoding is not use",
    Code.LIMIT_ENVIRONMENTS: lambda fields: (
        f"anything about distributions other than those compared ({listed(list(fields['names']))})"
    ),
    Code.LIMIT_EXPLORATORY: lambda fields: (
        f"a confirmed finding in {count(fields['count'], 'comparison')} added after results were known"
    ),
    Code.MISSING_TRIALS: _missing,
    Code.ALL_FINISHED: lambda fields: f"all {count(fields['count'], 'trial')} finished",
    Code.NONE_COLLAPSED: "none collapsed or diverged",
    Code.NO_SEED_LEFT: lambda fields: (
        f"no seed is left of {_recipes(fields)}, so that nothing is said of what they learned"
    ),
    Code.LOST_TRIALS: _lost,
    Code.SILENT_TRIALS: lambda fields: _extreme(fields, "calls no pixel lesion in any"),
    Code.LOUD_TRIALS: lambda fields: _extreme(fields, "calls over nine tenths of the pixels lesion in every"),
    Code.PATIENTS_UNKNOWN: (
        "intervals are over images, too narrow where a patient has several, and leakage was not checked: {text}"
    ),
    Code.DRAWN_IMAGES: "every image is drawn for itself, so that no copies were looked for",
    Code.LEAKAGE_UNCHECKED: "leakage between patients was not checked: no column names them",
    Code.NO_COPIES: f"no exact copy and no near copy ({LOOKED_FOR}) across patients",
    Code.COPIES_FOUND: _copies_found,
    Code.NEAR_COPIES: _near_copies,
    Code.CONTRADICTING_COPIES: _contradicting,
    Code.ASSOCIATIONS_ACHIEVED: "associations achieved as asked",
    Code.ASSOCIATIONS_OFF: _associations,
    Code.UNEVEN_ROWS: _uneven,
    Code.ALL_AT_CHANCE: "no recipe is clear of chance (AUROC 0.50): differences say little",
    Code.ALL_AT_CHANCE_WITHOUT_DOSE: (
        "no recipe is clear of chance (AUROC 0.50) without a dose: a change from there says little"
    ),
    Code.SCALE_EXHAUSTED: lambda fields: (
        f"scale exhausted in {fields['count']} of {count(fields['of'], 'comparison')}: neither a difference nor its "
        "absence says much there"
    ),
    Code.UNDER_SEEDS: _under,
    Code.ROUGH_SEEDS: _rough,
    Code.ENOUGH_SEEDS: _enough,
    Code.CHANGED_SEEDS: _changed,
    Code.FAR_P: _far,
    Code.UNPOOLED: _unpooled,
    Code.OUTLYING_SEEDS: _outlying,
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
        "confounder '{confounder}' hardly changes {count} of {images} images (less than a quarter of what it changes "
        "the median one): it is there already, or its place looks like it"
    ),
    Code.PLAIN_SIGHT: lambda fields: (
        f"in plain sight, the target is told by {_properties(fields)}: a network may learn this instead"
    ),
    Code.RIDGE_BASELINE: lambda fields: (
        f"without a network, a ridge regression tells the target of other {fields['others']} from "
        f"{_properties(fields)}: a result that is no better needs no more than that"
    ),
}
"""Code -> its English, as in `reasons.WORDS`."""
