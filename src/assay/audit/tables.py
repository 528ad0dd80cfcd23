"""Tables of the run folder of an audit."""

from __future__ import annotations

from assay.stats.rows import RegionVerdict
from assay.store.columns import IMAGES, PATIENTS, Column, Table, estimate, integer, json_column, number
from assay.store.data_tables import ADDED, ISSUES, SHORTCUTS
from assay.store.schema import PICTURES, PROVENANCE

DOSES = ("weak", "middle", "strong")
"""Strengths of a mark, in rising order."""


def _bounded_columns(name: str, meaning: str, head: str = "") -> tuple[Column, ...]:
    """Columns of an estimate with its bounds."""
    return (
        estimate(name, meaning, head),
        number(f"{name}_low", f"lower bound of {name}, one-sided 95%"),
        number(f"{name}_high", f"upper bound of {name}, one-sided 95%"),
    )


_SWING = (
    Column("class", "class against the rest with the largest AUROC shift; empty for two classes"),
    estimate(
        "g",
        "AUROC shift by the mark: half of a difference, AUROC with it on positives minus that with it on negatives",
        "AUROC shift",
    ),
    number("low", "lower bound of g, one-sided 95%"),
    number("high", "upper bound of g, one-sided 95%"),
)
_AUROC_LOST = _bounded_columns("loss", "AUROC lost with the mark on all images", "AUROC lost")
_ON_NEGATIVES = _bounded_columns(
    "loss_negatives", "AUROC lost with the mark on negatives only", "AUROC lost, mark on negatives"
)
_UNDEFINED = "NaN where one class is predicted of all images"
_FLIPS = (
    *_bounded_columns(
        "flips", f"share of images whose predicted class changes with the mark; {_UNDEFINED}", "changed predictions"
    ),
    *_bounded_columns("dice", "Dice lost, for segmentation; NaN for classification", "Dice lost"),
    *_bounded_columns(
        "stray",
        "increase in the share of the image wrongly called lesion, for segmentation",
        "area wrongly called lesion",
    ),
)
_TOGETHER = (
    number("low", "lower end of the interval; those of groups hold together at 95%"),
    number("high", "upper end of the interval"),
)
_NEEDED = number(
    "needed",
    "images that would settle an inconclusive verdict if the estimates stayed the same",
    "images needed",
    "count",
)

NOT_TESTED = "not-tested"
_TRACKS = ("place", "whole", "drawn", "shape", "turned", "occluded")
_DECISIONS = ("within", "beyond", "inconclusive")

VERDICTS = Table(
    "verdicts",
    "mark or column: the verdict, by kind of finding and then by AUROC (Dice) lost",
    (
        Column("factor", "name of the mark or column"),
        Column("kind", "mark or column", values=("mark", "column"), cell="code"),
        Column("family", "of a mark: marks that look alike, and often affect predictions together; empty for others"),
        Column(
            "verdict",
            "relies-on, affected-by, affected-without-direction, answers-differ-with, inconclusive, no-effect, "
            "no-difference or not-tested",
            values=(
                "relies-on",
                "affected-by",
                "affected-without-direction",
                "answers-differ-with",
                "inconclusive",
                "no-effect",
                "no-difference",
                NOT_TESTED,
            ),
            cell="code",
        ),
        Column("dose", "strength of the mark, or group of the column, that decided", head="strength or group"),
        *_SWING,
        number("at_least", "lower bound of |g|, corrected for classes, groups and places"),
        number("at_most", "upper bound of |g|"),
        number(
            "limit",
            "reference limit of |g|, of a mark as drawn; NaN at another place, or without a reference",
            "limit of the mark",
        ),
        *_ON_NEGATIVES,
        *_bounded_columns("loss_positives", "AUROC lost with the mark on positives only"),
        *_AUROC_LOST,
        *_FLIPS,
        IMAGES,
        PATIENTS,
        Column(
            "open",
            "quantities that keep an inconclusive verdict open: swing, loss, flips, dice, stray, "
            "other-dose (another strength); place where reliance is open, since the limit is for the mark as drawn",
            head="not settled",
        ),
        _NEEDED,
        Column("intervention", "the mark with its arguments at the deciding strength"),
        Column("place", "of a mark that was tried at several: the place that decided; empty where it is as drawn"),
        Column("drawn", "of a mark: every argument at that strength, such as size and contrast, and its gray value"),
        Column("look", "of a mark: what is drawn, where, and with which arguments, in words; empty of a column"),
        Column("explained", "whether half of a mark's effect disappears with the leading region fixed", "BOOLEAN"),
        Column("reason", "why it is not tested, or within classes only, in words", cell="reason"),
    ),
    ("factor", "kind", "verdict", "dose", "g", "low", "high", "loss_negatives", "loss", "flips", "images", "needed"),
)
EFFECTS = Table(
    "effects",
    "mark, strength and place: the effect on predictions",
    (
        Column("factor", "name of the mark"),
        Column("dose", "weak, middle or strong", head="strength"),
        Column("place", "place of a mark that was tried at several; empty where it is as drawn", cell="text"),
        *_SWING,
        *_ON_NEGATIVES,
        *_AUROC_LOST,
        *_FLIPS,
        IMAGES,
        PATIENTS,
    ),
    ("factor", "dose", "place", "g", "low", "high", "loss_negatives", "loss", "flips"),
)
DISTORTED = Table(
    "distorted",
    "distortion and severity: the loss of AUROC, or of Dice",
    (
        Column("factor", "family of distortions"),
        integer("severity", "severity, 1 to 5"),
        *_AUROC_LOST,
        *_FLIPS,
        Column(
            "decision",
            "loss within the margin, beyond it, or inconclusive; not-tested",
            values=(*_DECISIONS, NOT_TESTED),
            cell="decision",
        ),
        IMAGES,
        PATIENTS,
        Column("reason", "why it is not tested, in words", cell="reason"),
    ),
    ("factor", "severity", "loss", "loss_low", "loss_high", "flips", "decision"),
)
GROUPS = Table(
    "groups",
    "group of images and measure",
    (
        Column("column", "column that divides the images; empty of all images"),
        Column("level", "group"),
        Column(
            "measure",
            "auroc, sensitivity, specificity, calibration-in-the-large (mean probability minus share of positives) or "
            "calibration-slope; of several classes auroc-macro or accuracy",
            cell="measure",
        ),
        estimate("value", "value"),
        *_TOGETHER,
        IMAGES,
        PATIENTS,
        Column("reason", "why a column is not tested, in words", cell="reason"),
    ),
    ("column", "level", "measure", "value", "low", "high", "images"),
)
GAPS = Table(
    "gaps",
    "pair of groups and measure",
    (
        Column("column", "column that divides the images"),
        Column("a", "one group", head="first group", cell="text"),
        Column("b", "the other group", head="second group", cell="text"),
        Column("measure", "as in groups", cell="measure"),
        estimate("value", "value of a minus that of b", "first minus second"),
        *_TOGETHER,
        Column("decision", "within the margin, beyond it, or inconclusive", values=_DECISIONS, cell="decision"),
        _NEEDED,
        IMAGES,
    ),
    ("column", "a", "b", "measure", "value", "low", "high", "decision"),
)
REGIONS = Table(
    "regions",
    "search for the region that predictions depend on: with a place, without, and of what is drawn alike",
    (
        Column(
            "of",
            "place: boxes, borders, corners; whole: mirror half, bands, gray levels, shading; others: on some",
            values=_TRACKS,
        ),
        integer("round", "1, or more where what earlier rounds found is taken off all images"),
        Column("trained", "whether images of the training were searched", "BOOLEAN"),
        Column(
            "verdict",
            "relies-on-region, relies-on-look, unverified (where no limit is known), inconclusive, nothing-found or "
            "not-tested",
            values=(*RegionVerdict, NOT_TESTED),
        ),
        Column("kind", "box, border, corners, mirror, band, intensities, shading, shape or turned"),
        Column("name", "of a box its edges as shares of height and width; of others size or number, and which corners"),
        *_bounded_columns(
            "value",
            "effect of its exchange on other patients, in standard deviations; of drawn: on one image",
            "effect (sd)",
        ),
        number("first", "the same of the region found on the first half of the patients"),
        number("second", "of that found on the second half"),
        Column("agree", "whether both halves lead to the same region", "BOOLEAN"),
        number(
            "limit",
            "limit of the effect: `largest`, more where classes lie farther apart; NaN where none is known",
            "limit of the region",
        ),
        number("largest", "largest effect in networks without a shortcut"),
        integer("networks", "networks of the limit"),
        *_bounded_columns(
            "false_rate", "share of networks without a shortcut with the verdict relies-on-region or relies-on-look"
        ),
        *_bounded_columns("missed_rate", "share of networks with a shortcut with neither"),
        number("least", "effect from which on it is reported where no limit is known"),
        number("apart", "distance of the classes' scores, in standard deviations"),
        Column("discrete", "whether images are of two groups by the worth of what they have there", "BOOLEAN"),
        number("separation", "distance of the groups in standard deviations; 2.65 where one normal is split"),
        Column("bright", "whether carriers are brighter there than the others", "BOOLEAN"),
        Column("raises", "whether what carriers have there raises the score", "BOOLEAN"),
        Column("class", "the class whose score it moves; of two classes the positive one"),
        json_column("shares", "share of carriers in each class"),
        number(
            "moved",
            "change of the score with a carrier's patch for another's, in standard deviations",
            "score moved (sd)",
        ),
        number("shape", "share of the change that stays with the shape alone; NaN without a place"),
        number("tone", "share that stays with the mean color alone"),
        *_bounded_columns("g", "AUROC shift with a carrier's patch for another's", "AUROC shift"),
        *_bounded_columns(
            "flips", f"share of images whose predicted class changes; {_UNDEFINED}", "changed predictions"
        ),
        number("effective", "effective patients of the smaller class"),
        IMAGES,
        PATIENTS,
        integer("passes", "images put through the model"),
        Column("search", "name of its record below probes/"),
        Column("reason", "why the search was not done, in words", cell="reason"),
    ),
    ("verdict", "kind", "name", "value", "value_low", "limit", "moved", "g", "flips", "shares", "images"),
)
INSIDE = Table(
    "inside",
    "evidence from inside the network, not a verdict",
    (
        Column(
            "kind",
            "encoded: AUROC of a linear decoder of a column from the last features, within classes; "
            "gradient-in-masks, gradient-on-background: share of the gradient's size there",
            cell="code",
            values=("encoded", "gradient-in-masks", "gradient-on-background"),
        ),
        Column("name", "the column"),
        estimate("value", "value"),
        number("low", "lower end of the 95% interval over patients"),
        number("high", "upper end of the interval"),
        number("chance", "value of features that hold nothing; share of the region in the images"),
        IMAGES,
        PATIENTS,
        Column("reason", "why it was not measured, in words", cell="reason"),
    ),
    ("kind", "name", "value", "low", "high", "chance", "images"),
)
LEADS = Table(
    "leads",
    "finding without a verified limit: a possible shortcut that nobody named",
    (
        Column("kind", "property, slice, tree or cluster", cell="code"),
        Column("name", "the property, or conditions on properties and columns"),
        Column("about", "score or error"),
        Column("class", "class of the errors, or class against the rest"),
        estimate("value", "AUROC shift of a property; share of errors minus that in the rest of the class"),
        number("low", "lower bound, one-sided 95%"),
        number("high", "upper bound"),
        Column("merged", "other findings on overlapping images"),
        IMAGES,
        PATIENTS,
    ),
    ("kind", "name", "about", "class", "value", "low", "high", "images"),
)
AUDIT_CHECKS = Table(
    "checks",
    "check of the model's reading or of the data",
    (
        Column("check", "name of the check"),
        Column("status", "ok, warn, or not-done", values=("ok", "warn", "not-done")),
        number("value", "the number that was found; NaN where there is none"),
        Column("measure", "measure of performance; empty for other checks", cell="text"),
        Column("text", "what was found, or why it was not done", cell="text"),
    ),
    ("check", "status", "value", "text"),
)

AUDIT_COLUMNS = Table(
    "columns",
    "column of the data",
    (
        Column("column", "its name"),
        Column("role", "target, or audited", values=("target", "audited")),
        Column("kind", "categorical, ordinal or continuous"),
        integer("levels", "different values"),
        integer("missing", "images without a value"),
        Column("values", "of at most 20 levels: each with its images, as JSON"),
        number("least", "smallest number"),
        number("median", "median of the numbers"),
        number("greatest", "largest number"),
        IMAGES,
    ),
    ("column", "role", "kind", "levels", "missing", "values", "least", "median", "greatest"),
)

AUDITED_IMAGES = Table(
    "images",
    "image that was read without changes",
    (
        integer("row", "its row in the data"),
        Column("key", "hash of its file, by which audits are compared"),
        Column("class", "its class"),
        integer("patient", "number of its patient"),
        json_column("groups", "its group by each column that is compared"),
    ),
    ("row", "key", "class", "patient", "groups"),
    embedded=False,
)
CARRIERS = Table(
    "carriers",
    "image that was searched: whether it carries what is in the region",
    (
        Column("of", "the search: place, whole, drawn, shape, turned or occluded", values=_TRACKS),
        integer("round", "its round"),
        Column("trained", "whether it is an image of the training", "BOOLEAN"),
        integer("row", "its row in the data, from 0"),
        Column("class", "its class"),
        integer("patient", "number of its patient"),
        Column("carries", "whether it carries what is found", "BOOLEAN"),
        number(
            "worth", "mean score of eight images with its patch put on, in standard deviations; NaN of drawn and shape"
        ),
    ),
    ("of", "row", "class", "carries", "worth"),
    embedded=False,
)
ANSWERS = Table(
    "answers",
    "set of images that were read",
    (
        Column("factor", "mark or distortion; empty for images without changes"),
        Column("kind", "clean, mark or distortion", values=("clean", "mark", "distortion")),
        Column("dose", "strength or severity"),
        Column("change", "the mark with its arguments"),
        Column("reading", "name of the answers below readings/"),
    ),
    ("factor", "kind", "dose", "change", "reading"),
    embedded=False,
)

COMPARED = Table(
    "compared",
    "difference between two audits of the same images",
    (
        Column("factor", "mark or column; of a region its search; empty of images without changes"),
        Column("kind", "performance, mark, column or region", values=("performance", "mark", "column", "region")),
        Column("dose", "strength of the mark, or group of the column", head="strength"),
        Column("class", "class against the rest; empty for two classes"),
        Column("measure", "auroc, dice, swing or effect", values=("auroc", "dice", "swing", "effect"), cell="measure"),
        estimate("a", "value in the first audit, on the common images", "first"),
        estimate("b", "value in the second audit"),
        *(number(end, "one-sided 95% bound, of a region") for end in ("a_low", "a_high", "b_low", "b_high")),
        estimate("value", "value of the first minus that of the second"),
        number("low", "lower end of the 95% interval over patients, paired by image; of a region from bounds of both"),
        number("high", "upper end of the interval"),
        Column(
            "decision",
            "of the factor, the same in all of its rows, without a margin: differs or inconclusive; of regions none",
            values=("differs", "inconclusive", NOT_TESTED),
            cell="decision",
        ),
        number(
            "p",
            "p of the factor, on the row that decided: a mark's at the middle strength, corrected by Bonferroni "
            "over classes and groups and by Holm over factors; NaN of other rows",
            cell="p",
        ),
        Column("verdict_a", "verdict of the first audit", head="verdict of the first", cell="code"),
        Column("verdict_b", "verdict of the second audit", head="verdict of the second", cell="code"),
        json_column("found_a", "JSON: of a region, its kind, place and look in the first audit: columns of `regions`"),
        json_column("found_b", "the same in the second audit"),
        IMAGES,
        PATIENTS,
        Column("reason", "why there is no value", cell="reason"),
    ),
    ("factor", "dose", "measure", "a", "b", "value", "low", "high", "verdict_a", "verdict_b"),
)
"""Not in the folder of an audit: `assay audit compare --out` writes it."""

RATES = Table(
    "rates",
    "error rates of verdicts in this domain and of searches, from networks whose shortcut is known",
    (
        Column("rate", "what is counted"),
        integer("count", "how often it happened"),
        integer("among", "how often it could"),
        estimate("value", "share; NaN where it could not happen"),
        number("low", "lower end of the 95% interval (Wilson; of searches Clopper and Pearson)"),
        number("high", "upper end of the interval"),
    ),
    ("rate", "count", "among", "value", "low", "high"),
)

AUDIT_TABLES = {
    table.name: table
    for table in (
        VERDICTS,
        REGIONS,
        LEADS,
        INSIDE,
        EFFECTS,
        DISTORTED,
        GROUPS,
        GAPS,
        AUDIT_CHECKS,
        AUDIT_COLUMNS,
        RATES,
        SHORTCUTS,
        ADDED,
        ISSUES,
        AUDITED_IMAGES,
        CARRIERS,
        ANSWERS,
        PICTURES,
        PROVENANCE,
    )
}
"""Every table of an audit by name, the most requested first."""
