"""Codes of reasons, cautions and limits: each with its English, its chip and its light. Data alone.

`assay.report.sentences.reasons` renders the templates.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Literal

Light = Literal["ok", "warn", "bad", "none"]


@unique
class Code(StrEnum):
    """Codes of reasons. The fields of a code are those of its sentence.

    Attributes:
        sentence: Template of its English. `{n:pair}` counts, `{a..b:seed}` is a range, `{names:list}` lists,
            `{value:interval}` adds the fields low and high, and `[field?text|other]` depends on a field. One that ends
            in a colon is explained by the next cause.
        chip: A caution in a few words with its remedy; its sentence where empty.
        light: How grave it is as a finding; none of a limit.

    Examples:
        >>> Code("no-images") is Code.NO_IMAGES, Code.NO_IMAGES.sentence
        (True, 'no images')
    """

    sentence: str
    chip: str
    light: Light

    def __new__(cls, name: str, sentence: str, chip: str = "", light: Light = "warn") -> Code:
        """Make a member whose value is its name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.sentence, member.chip, member.light = sentence, chip, light
        return member

    @property
    def leads(self) -> bool:
        """Whether the next cause explains it."""
        return self.sentence.endswith(":")

    # Of anyone's own words: a plug-in's, an error's, a record's of another version.
    FREE_TEXT = "stated", "{text}"

    # Seeds, folds and recipes.
    NO_SEED = "no-seed", "no training run finished successfully"
    NO_COMMON_SEED = "no-common-seed", "no seed in common"
    NO_SEED_OF = "no-seed-of", "no training run of {recipe} counts{statuses}"
    NO_SEED_AT_EVERY_BUDGET = "no-seed-at-every-budget", "no seed has results for both recipes at every budget"
    NO_SEED_AT_EVERY_DOSE = "no-seed-at-every-dose", "no seed has results for every dose"
    NO_SEED_AT_EVERY_AMOUNT = "no-seed-at-every-amount", "no seed has results for both recipes at every amount and dose"
    FEW_SEEDS = "few-seeds", "{seeds:seed}: no interval is computed with fewer than {least}"
    FEW_EFFECTIVE_PATIENTS = (
        "few-effective-patients",
        "a class has only {patients:.2g} effective patients: nothing is decided with fewer than {least}",
        "too few patients: test more",
        "bad",
    )
    SOME_EFFECTIVE_PATIENTS = (
        "some-effective-patients",
        "{count} of {of} comparisons have a class of only {patients:.2g} effective patients: their error rates are "
        "only approximately known",
        "few patients: test more",
    )
    RARE_PATIENTS_UNSEEN = (
        "rare-patients-unseen",
        "{count} of {of} results within the margin could be undone by patients as common as 1 in {rare}, whom the "
        "test set may lack",
        "rare patients may be missing",
    )
    FEW_SEEDS_TO_COMPARE = "few-seeds-to-compare", "{seeds:seed}: at least {least} are needed"
    FEW_SEEDS_WITH_ACTIVATIONS = "few-seeds-with-activations", "{seeds:seed} with activations: at least 2 are needed"
    SOME_SEEDS_UNDEFINED = "some-seeds-undefined", "undefined for some seeds"
    UNDEFINED_SEEDS = "undefined-seeds", "undefined for {count} of {seeds} seeds:"
    MIXED_UNITS = "mixed-units", "some {of} are in {units}, which are not averaged"
    MISSING_FOLDS = "missing-folds", "only {count} of {folds} folds have a value"
    NOT_MEASURED = "not-measured", "{measure}[factor? of {factor:words}] was not measured for {recipe}"
    MEASURE_OF_RECIPE = "measure-of-recipe", "{measure}[factor? of {factor:words}] of {recipe}:"
    OTHER_SEEDS = "other-seeds", "the two measures are not based on the same seeds"

    # Intervals and tests.
    NO_VARIATION = "no-variation", "no variation between seeds or patients: no interval can be computed"
    NO_VARIATION_BETWEEN_SEEDS = "no-variation-between-seeds", "no variation between seeds"
    SINGLE_PATIENT = "single-patient", "based on a single patient: no variance between patients"
    UNKNOWN_ERROR = "unknown-error", "the standard error of a seed is not known"
    TOO_FEW_FOR_TWO = "too-few-for-two", "too few seeds or patients for two measures together"
    ON_PROBIT_SCALE = "on-probit-scale", "on the probit scale:"
    UNREACHED_FIT = (
        "unreached-fit",
        "no level of fit is reached by both recipes: log-loss, or 1 - Dice, falls from {start_a:.2g} and {start_b:.2g} "
        "to {end_a:.2g} and {end_b:.2g}[asked? (asked for {asked:.2g})]",
    )
    UNREACHED_CLEAN = (
        "unreached-clean",
        "no level of clean performance is reached by both: with {fewest:g} to {most:g} rows it is {low_a:number} to "
        "{high_a:number} and {low_b:number} to {high_b:number}; train on fewer or more rows",
    )
    ONE_AMOUNT = "one-amount", "both recipes need training runs with two or more amounts of data"
    ONE_DOSE = "one-dose", "both recipes need training runs at p = 0 and at another dose"

    # Answers, targets and classes.
    NO_IMAGES = "no-images", "no images"
    NOT_FINITE = "not-finite", "the model's output is not finite for {count} of {images} images"
    ABSENT_CLASS = "absent-class", "no image of the {kind} class"
    ABSENT_CLASSES = "absent-classes", "no image of {classes:list}"
    NO_FOLD_WITH_BOTH_CLASSES = "no-fold-with-both-classes", "no fold holds both classes"
    ONE_CLASS_AGAINST_REST = "one-class-against-rest", "class {label} against the rest:"
    ONE_GRADE = "one-grade", "all images have one grade, and all predictions are that grade"
    CUT_OUTSIDE_CLASSES = (
        "cut-outside-classes",
        "no class is at or above {cut}, from which images count as positive: there are {classes}",
    )
    NO_CUT_THRESHOLD = "no-cut-threshold", "no threshold was chosen: no validation image is below the positive grades"
    NO_LESION_THRESHOLD = "no-lesion-threshold", "no threshold was set on validation lesions: the model has none"
    UNREACHED_VALIDATION_SENSITIVITY = (
        "unreached-validation-sensitivity",
        "censored: no threshold finds {level:.0%} of the validation lesions",
    )
    NEEDS_TWO_CLASSES = "needs-two-classes", "{measure} needs two classes, and there are {classes}"
    NEEDS_MAPS = "needs-maps", "{measure} needs a segmentation model, and this model gives one output per image"
    NO_NATIVE_MASKS = (
        "no-native-masks",
        "no masks at original resolution: crops, and images that are not single files, have none",
    )

    # Lesions and masks.
    NO_LESION = "no-lesion", "no lesion"
    NO_LESION_IMAGE = "no-lesion-image", "no image with a lesion"
    NO_LESION_FREE_IMAGE = "no-lesion-free-image", "no lesion-free image"
    NO_FALSE_POSITIVE_IMAGE = "no-false-positive-image", "no image to count false positives on"
    NO_SURFACES = "no-surfaces", "no image in which every recipe compared has both surfaces"
    NO_BOUNDARY_PIXEL = "no-boundary-pixel", "no pixel near the outline of a lesion"
    NO_BACKGROUND_PIXEL = "no-background-pixel", "no pixel away from lesions"
    UNREACHED_SENSITIVITY = (
        "unreached-sensitivity",
        "a sensitivity of {level:g} is not reached: one threshold finds at most {most:.3g} of {lesions} lesions, "
        "the others are found only if whole images are predicted as lesion",
    )
    CURVE_BEGINS_LATE = (
        "curve-begins-late",
        "{false_positives:.2g} false positives per image remain above the highest threshold: the curve does not "
        "begin at 0",
    )
    NO_MASKS = "no-masks", "the images have no masks"
    NO_PIXEL_LOGITS = "no-pixel-logits", "the model gives no pixel logits"
    PIXEL_LOGITS = "pixel-logits", "the model gives pixel logits, whose map already shows where a lesion is"
    NO_SUCH_LESION = "no-such-lesion", "no image shows such a lesion"
    NO_SUCH_LESION_WITH_REST = "no-such-lesion-with-rest", "no image shows such a lesion and anything else"
    NO_SHOWN_LESION = "no-shown-lesion", "no image shows a lesion"
    NO_LESION_IN_BOTH = "no-lesion-in-both", "no image shows a lesion in both"
    NO_OTHER_SIDE = "no-other-side", "no image has a place without a lesion on the other side of the middle"
    ONE_LESION_SIZE = "one-lesion-size", "the lesions shown do not differ in size"
    NO_SMALL_AND_LARGE = "no-small-and-large", "no image shows small lesions and large"
    NEUTRAL_ALONE = "neutral-alone", "lesions are removed from neutral images only"
    NOT_DRAWN = "not-drawn", "the images are not from a phantom: their lesions cannot be removed, only painted over"
    ALWAYS_LESIONS = (
        "always-lesions",
        "the phantom cannot draw images without a lesion: they show one at the low end of '{factor}' too",
    )
    NO_LESION_FACTOR = "no-lesion-factor", "the phantom has no factor '{factor}': its lesions cannot be removed"
    NOTHING_TO_PAINT = "nothing-to-paint", "no neutral image of a phantom with a lesion: nothing can be painted"
    NO_RISING_FACTOR = "no-rising-factor", "the phantom has no such factor that rises"

    # Corruption errors.
    UNDEFINED_ERROR = "undefined-error", "an error is undefined"
    BASELINE_WITHOUT_ERROR = "baseline-without-error", "the baseline makes no error"
    BASELINE_NOT_WORSE = "baseline-not-worse", "the baseline's error does not increase"
    BASELINE_NEAR_ZERO = "baseline-near-zero", "the interval of the increase in the baseline's error includes 0"
    BASELINE_UNKNOWN = "baseline-unknown", "no interval shows whether the baseline's error increases"
    FAMILY_WITHOUT_BASELINE = "family-without-baseline", "not every family has a baseline at all severities"
    NO_CLEAN_HIT = "no-clean-hit", "no clean image is classified correctly"

    # Reliance.
    NOT_CONVERGED_ERROR = "not-converged-error", "not converged: standard error {error:.3f} exceeds {tolerance:g}"
    NOT_CONVERGED_HALVES = (
        "not-converged-halves",
        "not converged: the halves of the samples differ by {gap:.1f} standard errors",
    )
    CONSTANT_OUTPUT = "constant-output", "the output is constant over the design"
    NOTHING_TO_CHANGE = "nothing-to-change", "no phantom and no intervention: no factor can be changed on its own"
    EMPTY_SIDE = "empty-side", "no neutral image is on that side"
    FAR_FROM_THRESHOLD = (
        "far-from-threshold",
        "no image flips, and fewer than {border:.0%} of them are within one within-class sd of the threshold or "
        "beyond it: the flip rate could not show a change; see logit-effect",
    )
    NO_LOGIT_UNIT = "no-logit-unit", "the logit does not vary within a class on neutral images, so it has no unit"
    NO_LOG_ODDS_UNIT = (
        "no-log-odds-unit",
        "the log-odds do not vary within a class on neutral images, so they have no unit",
    )
    NO_LESION_LOGIT_UNIT = "no-lesion-logit-unit", "the logit does not vary over lesions, so it has no unit"

    # Representations and decoders.
    NO_LAYERS = "no-layers", "the model names no layers to read"
    CONSTANT_LAYER = "constant-layer", "the layer is constant"
    NOT_FINITE_ACTIVATIONS = "not-finite-activations", "activations are not finite numbers"
    FEW_IMAGES = "few-images", "{images} images, at least {least} are needed"
    EQUAL_DISTANCES = "equal-distances", "all images are equally far apart"
    ZERO_ACTIVATIONS = "zero-activations", "all activations are 0"
    LIMITED_RANK = "limited-rank", "{images} images for {units} units: it cannot exceed {most}"
    EIGENVALUE_ZERO = (
        "eigenvalue-zero",
        "the [percentile?{percentile:g}th percentile of the eigenvalues|least eigenvalue] is 0: {varying} of "
        "{directions} directions vary",
    )
    FEW_FOR_EIGENVALUES = (
        "few-for-eigenvalues",
        "{images} images and {varying} numbers of a map that vary are too few for {eigenvalues} eigenvalues",
    )
    FEW_DISTINCT_IMAGES = "few-distinct-images", "{images} distinct images, at least {least} are needed"
    WITHIN_ROUNDING = "within-rounding", "images differ by no more than rounding"
    FEW_GROUPS = "few-groups", "fewer than two groups have two images"
    MANY_LEVELS = "many-levels", "{levels:,} levels are more than {most}"
    ONE_AUDIT = "one-audit", "tested in one of the audits only"
    ONE_TRAINED = "one-trained", "only one of them searched training images: these are effects in other images"
    DRAWN_OTHERWISE = "drawn-otherwise", "the mark is drawn differently in the audits"
    ONE_VALUE = "one-value", "all images have one value"
    SMALL_GROUP = "small-group", "fewer than {least} images of a class"
    TIED_TO_TARGET = (
        "tied-to-target",
        "tied to the target so closely that fewer than two groups have {least} images of each class: what a model "
        "takes from the column and from the target cannot be told apart",
    )
    SMALL_GROUPS = "small-groups", "fewer than two groups have {least} images of each class"
    NOTHING_TO_COMPARE = "nothing-to-compare", "no group can be compared with the others"
    SMALL_BUDGET = "small-budget", "the budget is too small: {least:,} passes are needed"
    NOTHING_DRAWN = "nothing-drawn", "no mark is repeated in {least} or more images of both halves of the patients"
    NO_DONORS = "no-donors", "an image has no other patient of its class, or of another class"
    ANSWERS_ALIKE = "answers-alike", "the model gives all images the same score"
    NOTHING_INSIDE = "nothing-inside", "{kind} shows no layers and no gradients"
    NO_LINEAR_HEAD = "no-linear-head", "the network has no linear layer at its end"
    NO_REGION = "no-region", "too few images have such a region"
    SEARCH_IN_STEPS = (
        "search-in-steps",
        "the search chooses images by their scores, but all images were written before any score existed",
    )
    SEARCH_OF_MASKS = (
        "search-of-masks",
        "the whole image, including its lesions, would be exchanged, and a mark that is itself predicted as a lesion "
        "is not found",
    )
    NO_VALUE = "no-value", "no image has a value"
    FEW_PATIENTS = "few-patients", "{patients} patients have a value, fewer than {folds} folds"
    CONSTANT_FACTOR = "constant-factor", "constant: no two values that {folds} patients have"
    CONSTANT_WITHIN_CLASS = (
        "constant-within-class",
        "constant within each class: in none do {folds} patients have either value",
    )
    NO_FOLD_WITH_BOTH_SIDES = "no-fold-with-both-sides", "no fold has images on both sides of the question"
    NO_WEIGHTS = "no-weights", "the network has no weights"
    OTHER_SHAPE = "other-shape", "the network before training has another shape"
    ZERO_START = "zero-start", "all values were 0 before training"
    NOT_FINITE_WEIGHTS = "not-finite-weights", "weights are not finite"
    OTHER_IMAGES = "other-images", "their activations are from other images"

    # Heat-maps.
    EMPTY_MAPS = "empty-maps", "{count} of {maps} maps are 0 everywhere and count as uninformative"
    BROKEN_MAPS = "broken-maps", "{count} of {maps} heat-maps hold NaN or infinity"
    FEW_SCORED_IMAGES = "few-scored-images", "{images} images have a score, at least {least} are needed"
    EQUAL_SHARES = "equal-shares", "all images have the same share, or lose the same amount"
    FAILS_SANITY = (
        "fails-sanity",
        "fails the sanity check: its maps correlate by {correlation:.2f} with those of randomized weights",
    )
    SANITY_SAME_WEIGHTS = "sanity-same-weights", "not checked for sanity: randomized weights are the same ones"
    SANITY_CONSTANT_MAPS = (
        "sanity-constant-maps",
        "not checked for sanity: each of its maps is the same everywhere, or holds NaN",
    )

    # Worst groups and environments.
    WORST_GROUP_PLACE = "worst-group-place", "in {factor:group}"
    WORST_ENVIRONMENT_PLACE = "worst-environment-place", "in {environment}"
    NO_GROUP = "no-group", "no group of at least {images} images has it"
    NO_COMMON_GROUP = "no-common-group", "no place has it for every seed"
    NO_ENVIRONMENT = "no-environment", "undefined in every environment"

    # Trainings.
    COLLAPSED_CONSTANT_OUTPUT = (
        "collapsed-constant-output",
        "constant output: the logits of the validation images differ by at most {spread:.1e}",
    )
    COLLAPSED_CONSTANT_MAPS = (
        "collapsed-constant-maps",
        "constant output: the logits differ by at most {spread:.1e} between places",
    )
    COLLAPSED_ONE_EMBEDDING = "collapsed-one-embedding", "one embedding for all: it varies by {share:.1e} of its length"
    COLLAPSED_RANK_ONE = "collapsed-rank-one", "embedding of rank one: its effective rank is {rank:.3f}"
    COLLAPSED_EQUAL_DISTANCES = (
        "collapsed-equal-distances",
        "all distances equal: between validation images they vary by {share:.1e} of their mean",
    )
    COLLAPSED_STUCK = (
        "collapsed-stuck",
        "no better than a constant in training: the loss is {loss:.4f}, as for one embedding for all",
    )
    COLLAPSED_FEATURES = (
        "collapsed-features",
        "the features collapsed: after epoch {epoch} their effective rank is {rank:.3f} and they vary by "
        "{spread:.1e} of their length; stopped. Try a lower learning rate, or another loss",
    )
    PREDICTS_NOTHING = "predicts-nothing", "predicts no lesion in any of {images} validation images at p = 0.5"
    PREDICTS_EVERYTHING = (
        "predicts-everything",
        "predicts over 90% of the pixels in each of {images} validation images at p = 0.5",
    )
    DIVERGED_LOSS = "diverged-loss", "diverged: the loss is {loss} at step {step}; try a lower learning rate"
    HEAD_NOT_FITTED = (
        "head-not-fitted",
        "the linear head on frozen features did not converge: slope {slope:.1e} after {iterations} iterations "
        "({message}); look at the training's curve, and try a lower learning rate",
    )
    LOST_SOURCE = "lost-source", "{source} {status}, so no training starts from it:"
    TRAINING_DIVERGED = "training-diverged", "the training diverged"
    TRAINING_STOPPED = "training-stopped", "the training was stopped: its features had collapsed"
    USELESS_SOURCE = "useless-source", "the pretrained start cannot be used"
    NO_RECORD_OF_SOURCE = "no-record-of-source", "the record of its start is missing: run the study again"
    UNFINISHED_PROBES = "unfinished-probes", "probes or readings of it are missing: run the study again"

    # Comparisons, limits and ends of the scale.
    DECIDED_EARLY = (
        "decided-early",
        "decided at {seeds} of at most {most} seeds[differs?: an estimate after early stopping is likely too large]",
    )
    LATER_ESTIMATE = "later-estimate", "with {seeds:seed} the difference is {value:interval}"
    RULE_CHANGED = "rule-changed", "rule changed after results"
    LOOK_ADDED = "look-added", "look added after results"
    CONTROL_FAILED = "control-failed", "a control failed"
    DEPENDS_ON_SCALE = "depends-on-scale", "depends on the scale"
    EXHAUSTED = "exhausted", "no room for a difference"
    NEAR_END_OF_SCALE = "near-end-of-scale", "within {margin:number} of {end:g}"
    AT_CHANCE = "at-chance", "at chance"
    LIMIT_INCONCLUSIVE = (
        "limit-inconclusive",
        "that recipes are equal where the result is inconclusive ({count} of {of:comparison})",
        "",
        "none",
    )
    DETECTABLE = (
        "detectable",
        "this design detects a difference in {measure:measure} of {low..high:number} or more (80% power)",
    )
    NOTHING_DETECTABLE = (
        "nothing-detectable",
        "not even the largest possible difference can be detected in {count} of them",
    )
    LIMIT_CLEAN_UNMATCHED = (
        "limit-clean-unmatched",
        "whether a recipe is more robust or only started lower: performance at p = 0 was not matched",
        "",
        "none",
    )
    LIMIT_FIT_UNMATCHED = (
        "limit-fit-unmatched",
        "whether recipes differ in more than training speed: they were not matched on fit",
        "",
        "none",
    )
    LIMIT_DECODING = "limit-decoding", "that a model uses a factor which a layer encodes", "", "none"
    LIMIT_ENVIRONMENTS = (
        "limit-environments",
        "how recipes compare on other distributions than these ({names:list})",
        "",
        "none",
    )
    LIMIT_EXPLORATORY = (
        "limit-exploratory",
        "confirmation of {count:comparison} added after results existed",
        "",
        "none",
    )

    # Detectable differences of a plan.
    UNKNOWN_SPREAD = "unknown-spread", "its variance is unknown until the study has run"
    UNPLANNED_VARIANCE = "unplanned-variance", "the variance of this measure is unknown until the study has run"
    TOO_FEW_PLANNED = "too-few-planned", "{seeds:seed}, {patients:list} patients by class: too few for an interval"
    UNSETTLED = "unsettled", "neither {seeds:seed} nor any number of patients would decide it: seeds differ too much"
    BEYOND_RANGE = "beyond-range", "not even the largest possible difference: too few patients or seeds"

    # Cautions about a study.
    MISSING_TRIALS = (
        "missing-trials",
        "[failed?{failed} failed, ][pending?{pending} pending, ]of {of:training run}: left out",
        "missing runs: run again",
        "bad",
    )
    ALL_FINISHED = "all-finished", "all {count:training run} finished", "all training runs finished", "ok"
    NONE_COLLAPSED = "none-collapsed", "none collapsed or diverged", "none collapsed", "ok"
    NONE_WORKS = (
        "none-works",
        "none of {of:training run} is usable: each predicts no lesion, or nearly the whole image as lesion",
        "no network works",
        "bad",
    )
    NO_SEED_LEFT = (
        "no-seed-left",
        "all runs of {recipes:few} collapsed or failed; no results are reported for them",
        "a recipe without results",
        "bad",
    )
    LOST_TRIALS = (
        "lost-trials",
        "{count:training run} {status} ({recipes:few}): [seeds?{seeds} of {of:seed} ]left out of means",
        "some training runs collapsed",
    )
    SILENT_TRIALS = (
        "silent-trials",
        "{count} of {of:training run} ({recipes:few}): the network predicts no lesion pixel in any validation "
        "image at p = 0.5; kept in means",
        "some networks predict nothing",
    )
    LOUD_TRIALS = (
        "loud-trials",
        "{count} of {of:training run} ({recipes:few}): the network predicts over 90% of the pixels as lesion in "
        "every validation image at p = 0.5; kept in means",
        "some networks predict everything",
    )
    PATIENTS_UNKNOWN = (
        "patients-unknown",
        "intervals are over images, so they are too narrow where a patient has several images: {text}",
        "patients unknown: name their column",
        "bad",
    )
    DRAWN_IMAGES = (
        "drawn-images",
        "every image is generated independently, so no copies were searched for",
        "copies not searched: each image is generated",
        "none",
    )
    COPIES_UNCHECKED = (
        "copies-unchecked",
        "near copies were not searched: [alone?all images are of one patient|this set has no search]",
        "near copies unknown",
    )
    NO_COPIES = (
        "no-copies",
        "no exact or near copy (turned by quarters, mirrored, [bounded?|cropped to 90%, ]re-encoded) [patients?of an "
        "image across patients|among the images][searched?; near copies among {searched:,} of {images:,} images]",
        "no copies among the images",
        "ok",
    )
    COPY_CLUSTERS = (
        "copy-clusters",
        "copies, exact or near: {groups:picture} in {files:file}[across?, {across:picture} under different "
        "patients|][contradicting?, {contradicting:picture} with different classes|][masks?, {masks:picture} with "
        "different masks|], such as {rows:rows}[searched?, near copies among {searched:,} of {images:,} images]"
        "[bounded?; among so many images cropped ones were not searched]",
        "copies: [across?{across:picture} under different patients|{groups:picture} in {files:file}]",
        "bad",
    )
    COPIES_OF_ONE_PATIENT = (
        "copies-of-one-patient",
        "{groups:picture} in {files:file}, each of one patient, such as {rows:rows}[searched?, near copies among "
        "{searched:,} of {images:,} images]; not searched: other turns than by quarters, and closer crops than to "
        "[bounded?the whole image|90%]",
        "{groups:picture} in {files:file} of the same patient",
    )
    COPIES_SUSPECTED = (
        "copies-suspected",
        "very similar pictures, which may be copies: {groups:picture} in {files:file}, such as {rows:rows}; look at "
        "them[searched?; searched: {searched:,} of {images:,} images]; not searched: other turns than by quarters, and "
        "closer crops than to [bounded?the whole image|90%]",
        "very similar pictures: look at them",
    )
    EMBEDDINGS_FEW = "embeddings-few", "embeddings not searched: {images:image} of other patients, fewer than {least}"
    EMBEDDINGS_ENCODE = "embeddings-encode", "within classes, embeddings encode {names:properties}"
    FEW_OF_CLASS = "few-of-class", "a class has {patients:patient}, and {least} are needed to predict it in others"
    SUSPECTED_BETWEEN_SETS = (
        "suspected-between-sets",
        "{count:image} of {set} very similar to a training image, such as {second:rows} there and "
        "{first:rows} in training; look at them",
        "test images very similar to training images: look at them",
    )
    COPIES_BETWEEN_SETS = (
        "copies-between-sets",
        "{count:image} of {set} found in the training set, exactly or nearly, such as {second:rows} there, "
        "a copy of {first:rows} in training",
        "images of a test set in training: remove them",
        "bad",
    )
    ASSOCIATIONS_ACHIEVED = "associations-achieved", "associations achieved as requested", "associations as asked", "ok"
    ASSOCIATIONS_OFF = (
        "associations-off",
        "{count} of {of:association} not achieved within {tolerance:number}: {factor:words} in {environment} is "
        "{strength:number}, requested {asked:number}",
        "associations not as requested",
    )
    UNEVEN_ROWS = (
        "uneven-rows",
        "the number of training rows differs between doses[confounder? of {confounder:words}]: {most_rows} at p = "
        "{most}, {fewest_rows} at p = {fewest}, so an effect of p may come from fewer rows; `rows: {least}` in "
        "environments.train makes them equal",
        "uneven training sets",
    )
    ALL_AT_CHANCE = (
        "all-at-chance",
        "no recipe is above chance (AUROC 0.50)[dosed? at p = 0]: comparisons are not informative",
        "no recipe above chance: train longer",
        "bad",
    )
    ONE_CLASS_CALLED = (
        "one-class-called",
        "nearly all images are assigned one class in {places:list}: sensitivity {sensitivity:number} and specificity "
        "{specificity:number}; check how these images are framed and scaled, or set the "
        "threshold on images of that place",
        "one class for nearly all: {places:list}",
    )
    SCALE_EXHAUSTED = (
        "scale-exhausted",
        "no room for a difference in {count} of {of:comparison}: neither a difference nor its absence is informative "
        "there; in the first, all values are:",
        "no room for a difference",
    )
    UNDER_SEEDS = (
        "under-seeds",
        "{fewest..most:seed} in {count:,} of {of} {thing}s: with fewer than {least} there are no intervals and no "
        "ranking[unmatched?; the other seeds never reached the same fit with both recipes; more epochs or seeds "
        "would help]",
        "too few seeds to test in some: add seeds",
    )
    ALL_UNDER_SEEDS = (
        "all-under-seeds",
        "{fewest..most:seed}: with fewer than {least} there are no intervals and no ranking[unmatched?; the other "
        "seeds never reached the same fit with both recipes; more epochs or seeds would help]",
        "too few seeds to test: add seeds",
        "bad",
    )
    ROUGH_SEEDS = (
        "rough-seeds",
        "{fewest..most:seed}: the variation between seeds is only approximately known[first_sign?; a difference shown "
        "with so few is a first sign, to be confirmed with more]",
        "few seeds: add seeds",
    )
    ENOUGH_SEEDS = "enough-seeds", "{fewest:seed} or more in every {thing}", "", "ok"
    CHANGED_SEEDS = (
        "changed-seeds",
        "the number of seeds was changed from {planned} to {now} after results existed",
        "seeds raised after results existed",
    )
    FAR_P = (
        "far-p",
        "{count:difference} with p < {limit:g} on {fewest..most:seed}: the simulation behind p stops at "
        "0.05[flip?; the sign-flip test cannot give less than {flip:p}]",
        "very small p from few seeds",
    )
    OUTLYING_SEEDS = (
        "outlying-seeds",
        "{count:value} of single seeds far from the other seeds of the recipe[limit?, over {limit} robust "
        "standard deviations][gap?, over {gap:number} of the range]: {recipe} with seed {seed} has "
        "{measure:measure}[environment? in {environment}] {value:number}, the median is {median:number}; a mean "
        "over few seeds overrates recipes that sometimes fail",
        "outlying seeds",
    )
    SEEDS_UNCHECKED = (
        "seeds-unchecked",
        "whether a seed fell far from the others was not checked for {measures:list}: the measure has no range, "
        "and fewer than {least} distances between seeds give no spread",
    )
    SHARED_FOLDS = (
        "shared-folds",
        "{folds} folds share training rows, so the true p is higher than reported: without a true difference, p < "
        "0.05 occurred in up to {rate:number} of simulated comparisons",
        "folds share training images: intervals are rough",
    )
    ONE_POOL = (
        "one-pool",
        "seeds share most of their training rows, which are from one pool; p holds for this training set and may be "
        "too low for others: without a true difference, p < 0.05 occurred in up to {rate:.3f} of simulated "
        "comparisons",
        "one set of training images: differences may not generalize",
    )
    FIXED_TRAINING_ROWS = (
        "fixed-training-rows",
        "seeds train on the same rows, and redraw weights and order alone; p holds for this training set and may "
        "be too low for others: without a true difference, p < 0.05 occurred in up to "
        "{rate:.3f} of simulated comparisons",
        "one set of training images: differences may not generalize",
    )
    UNDEFINED_COMPARISONS = (
        "undefined-comparisons",
        "{count} of {of:comparison} undefined:",
        "comparisons without a result",
    )

    # Cautions about data.
    OTHER_TARGET = (
        "other-target",
        "the target is '{target}', not whether an image shows a lesion: AUROC and average precision rank images "
        "by it, while overlap and false positives are computed from the masks",
    )
    UNSEEN_LEVELS = (
        "unseen-levels",
        "'{environment}' has levels of '{factor}' that no training image has[folds? (of its fold, all "
        "{folds} together)]: {levels*counts:list} of {images:,} images",
        "levels unseen in training",
    )
    COLUMN_OF_INTERVENTION = (
        "column-of-intervention",
        "the table has a column '{name}', which is also the name of an intervention: if images already carry it, "
        "declare the column as a factor with another name, such as {name}_found with `column: {name}`",
    )
    EMPTY_DOSE = (
        "empty-dose",
        "the dose p = {p} of '{factor}' is on none of the training images ({classes*counts:list}): it is a dose of 0",
    )
    ILLEGIBLE = (
        "illegible",
        "confounder '{confounder}' writes letters {high:.2g} px high, under {least:g} px: they are spots rather "
        "than letters",
    )
    HARDLY_CHANGED = (
        "hardly-changed",
        "confounder '{confounder}' hardly changes {count} of {images} images (less than a quarter of the change "
        "of the median image): it is already there, or its background looks like it",
    )
    PLAIN_SIGHT = (
        "plain-sight",
        "without a network, [size?lesion area|the target] is predicted by {names:properties}; a network may learn "
        "a simple cue instead",
        "[size?lesion area|the target] is predicted by {names:cue}",
    )
    PARTS_SHARED = (
        "parts-shared",
        "several parts of '{column}' have [count?{count:patient}|][both? and |][groups?{groups:picture}|] in common: "
        "test images were also used in training",
        "parts of '{column}' share patients or pictures",
        "bad",
    )
    ODD_IMAGES = (
        "odd-images",
        "{count:image}: {kind:issue}[every?, all of class '{class}'][most?, {most} of them of class '{class}'], "
        "{rows:rows}[against?; {against} of {count} contradict a simple cue "
        "({names:cue}): a shortcut or a difficult image would explain them as well as wrong labels]",
        "{count:image}: [against?a wrong label, a difficult image or a shortcut|{kind:issue}]",
    )
    LABELS_UNJUDGED = "labels-unjudged", "labels were not judged:", "not judged", "none"
    LABELS_PARTLY_JUDGED = (
        "labels-partly-judged",
        "labels of {classes:list} were not judged: predictions from other patients are too weak",
        "labels of some classes not judged",
        "none",
    )
    WEAK_PREDICTIONS = (
        "weak-predictions",
        "predictions from other patients are [few?good, but {few:patient} are too few to be sure: the AUROC is "
        "{value:interval}|too weak, with an AUROC of {value:interval}]; a lower bound of [corrected?"
        "{corrected:g} after correction for wrong labels|{least:g}] is needed",
    )
    ROWS_LEFT_OUT = "rows-left-out", "{count:row} cannot be used; the page gives the reasons"
    SMALL_GROUPS_OF = (
        "small-groups-of",
        "{count:small group} with fewer than {least} images of a class, which cannot be tested, such as {names:list}",
        "{count:small group}",
    )
    OF_RECIPE = "of-recipe", "in {recipe}"
    MORE_OF_A_KIND = "more-of-a-kind", "and {count} more of this kind"

    # Tables of the data.
    NO_SSIM = "no-ssim", "an edge is shorter than the window of 11 px"
    TIED_BY_SAMPLING = "tied-by-sampling", "by sampling: no pixel is changed"
    FEW_IN_STRATA = "few-in-strata", "under {least} patients of a class have the same value as one of the other class"
    FEW_VALUES = "few-values", "fewer than {least} images of a class have a value"

    # Assumptions on a file of predictions.
    NO_SEED_COLUMN = "no-seed-column", "no column '{column}': one seed each"
    NO_PATIENT_COLUMN = "no-patient-column", "no column '{column}': each image counts as a patient"
    SAME_PREDICTIONS = "same-predictions", "{recipe} has the same score as {other} in every image"
    SAME_SEEDS = (
        "same-seeds",
        "{recipe}: seeds {names:list} have the same score in every image: if they are one network, keep one, since "
        "intervals are too narrow with copies",
    )
    CALLED_ALIKE = "called-alike", "{recipe}: all {count} predictions are called {kind} at the threshold"
    WORSE_THAN_CHANCE = (
        "worse-than-chance",
        "{recipe}: {measure:measure} is {value:.2f}, worse than chance: its scores may be those of the other class",
    )
    MISSING_PREDICTIONS = (
        "missing-predictions",
        "{recipe}: {count} predictions are missing, of images that other seeds or recipes have",
    )
