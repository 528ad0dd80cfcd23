"""Reasons as codes with fields: why a value is missing, doubtful, or of a certain place.

No reason is a sentence. `assay.report.sentences.reasons` makes the English, for pages and terminals alone. Decision
0013 has the rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import lru_cache
from typing import Any, cast

Field = str | int | float | tuple[str, ...]
"""A text, a number, or names."""


@unique
class Code(StrEnum):
    """Codes of reasons. The fields of each code are those of its English text, which a test compares."""

    # Of anyone's own words: a plug-in's, an error's, a record's of another version.
    STATED = "stated"

    # Seeds, folds and recipes.
    NO_SEED = "no-seed"
    NO_SEED_OF = "no-seed-of"
    NO_SEED_AT_EVERY_BUDGET = "no-seed-at-every-budget"
    NO_SEED_AT_EVERY_DOSE = "no-seed-at-every-dose"
    NO_SEED_AT_EVERY_AMOUNT = "no-seed-at-every-amount"
    FEW_SEEDS = "few-seeds"
    FEW_SEEDS_TO_COMPARE = "few-seeds-to-compare"
    FEW_SEEDS_WITH_ACTIVATIONS = "few-seeds-with-activations"
    SOME_SEEDS_UNDEFINED = "some-seeds-undefined"
    UNDEFINED_SEEDS = "undefined-seeds"
    MIXED_UNITS = "mixed-units"
    MISSING_FOLDS = "missing-folds"
    NOT_MEASURED = "not-measured"
    MEASURE_OF_RECIPE = "measure-of-recipe"
    OTHER_SEEDS = "other-seeds"

    # Intervals and tests.
    NO_VARIATION = "no-variation"
    NO_VARIATION_BETWEEN_SEEDS = "no-variation-between-seeds"
    SINGLE_PATIENT = "single-patient"
    UNKNOWN_ERROR = "unknown-error"
    TOO_FEW_FOR_TWO = "too-few-for-two"
    ON_PROBIT_SCALE = "on-probit-scale"
    UNREACHED_FIT = "unreached-fit"
    UNREACHED_CLEAN = "unreached-clean"
    ONE_AMOUNT = "one-amount"
    ONE_DOSE = "one-dose"
    UNKNOWN_AT_ZERO_DOSE = "unknown-at-zero-dose"
    CHANCE_AT_ZERO_DOSE = "chance-at-zero-dose"

    # Answers, targets and classes.
    NO_IMAGES = "no-images"
    NOT_FINITE = "not-finite"
    ABSENT_CLASS = "absent-class"
    NO_FOLD_WITH_BOTH_CLASSES = "no-fold-with-both-classes"
    ONE_CLASS_AGAINST_REST = "one-class-against-rest"
    ONE_GRADE = "one-grade"
    CUT_OUTSIDE_CLASSES = "cut-outside-classes"
    NO_CUT_THRESHOLD = "no-cut-threshold"
    NO_LESION_THRESHOLD = "no-lesion-threshold"
    UNREACHED_VALIDATION_SENSITIVITY = "unreached-validation-sensitivity"
    NEEDS_TWO_CLASSES = "needs-two-classes"
    NEEDS_MAPS = "needs-maps"
    NO_NATIVE_MASKS = "no-native-masks"

    # Lesions and masks.
    NO_LESION = "no-lesion"
    NO_LESION_IMAGE = "no-lesion-image"
    NO_LESION_FREE_IMAGE = "no-lesion-free-image"
    NO_FALSE_POSITIVE_IMAGE = "no-false-positive-image"
    NO_SURFACES = "no-surfaces"
    NO_BOUNDARY_PIXEL = "no-boundary-pixel"
    NO_BACKGROUND_PIXEL = "no-background-pixel"
    UNREACHED_SENSITIVITY = "unreached-sensitivity"
    CURVE_BEGINS_LATE = "curve-begins-late"
    NO_MASKS = "no-masks"
    NO_PIXEL_LOGITS = "no-pixel-logits"
    PIXEL_LOGITS = "pixel-logits"
    NO_SUCH_LESION = "no-such-lesion"
    NO_SUCH_LESION_WITH_REST = "no-such-lesion-with-rest"
    NO_SHOWN_LESION = "no-shown-lesion"
    NO_LESION_IN_BOTH = "no-lesion-in-both"
    NO_OTHER_SIDE = "no-other-side"
    ONE_LESION_SIZE = "one-lesion-size"
    NO_SMALL_AND_LARGE = "no-small-and-large"
    NEUTRAL_ALONE = "neutral-alone"
    NOT_DRAWN = "not-drawn"
    ALWAYS_LESIONS = "always-lesions"
    NO_LESION_FACTOR = "no-lesion-factor"
    NOTHING_TO_PAINT = "nothing-to-paint"
    NO_RISING_FACTOR = "no-rising-factor"

    # Corruption errors.
    UNDEFINED_ERROR = "undefined-error"
    BASELINE_WITHOUT_ERROR = "baseline-without-error"
    BASELINE_NOT_WORSE = "baseline-not-worse"
    BASELINE_NEAR_ZERO = "baseline-near-zero"
    BASELINE_UNKNOWN = "baseline-unknown"
    FAMILY_WITHOUT_BASELINE = "family-without-baseline"
    NO_CLEAN_HIT = "no-clean-hit"

    # Reliance.
    NOT_CONVERGED_ERROR = "not-converged-error"
    NOT_CONVERGED_HALVES = "not-converged-halves"
    CONSTANT_OUTPUT = "constant-output"
    NOTHING_TO_CHANGE = "nothing-to-change"
    EMPTY_SIDE = "empty-side"
    FAR_FROM_THRESHOLD = "far-from-threshold"
    NO_LOGIT_UNIT = "no-logit-unit"
    NO_LOG_ODDS_UNIT = "no-log-odds-unit"
    NO_LESION_LOGIT_UNIT = "no-lesion-logit-unit"

    # Representations and decoders.
    NO_LAYERS = "no-layers"
    CONSTANT_LAYER = "constant-layer"
    NOT_FINITE_ACTIVATIONS = "not-finite-activations"
    FEW_IMAGES = "few-images"
    EQUAL_DISTANCES = "equal-distances"
    ZERO_ACTIVATIONS = "zero-activations"
    LIMITED_RANK = "limited-rank"
    FEW_NEIGHBORS = "few-neighbors"
    LEAST_EIGENVALUE_ZERO = "least-eigenvalue-zero"
    PERCENTILE_EIGENVALUE_ZERO = "percentile-eigenvalue-zero"
    FEW_FOR_EIGENVALUES = "few-for-eigenvalues"
    UPPER_PERCENTILE_EIGENVALUE_ZERO = "upper-percentile-eigenvalue-zero"
    FEW_DISTINCT_IMAGES = "few-distinct-images"
    WITHIN_ROUNDING = "within-rounding"
    FEW_GROUPS = "few-groups"
    MANY_LEVELS = "many-levels"
    ONE_AUDIT = "one-audit"
    DRAWN_OTHERWISE = "drawn-otherwise"
    ONE_VALUE = "one-value"
    SMALL_GROUP = "small-group"
    SMALL_GROUPS = "small-groups"
    NOTHING_TO_COMPARE = "nothing-to-compare"
    SLOW_FOR_EXCHANGE = "slow-for-exchange"
    NO_DONORS = "no-donors"
    NOTHING_INSIDE = "nothing-inside"
    NO_LINEAR_HEAD = "no-linear-head"
    NO_MASKS_GIVEN = "no-masks-given"
    NO_REGION = "no-region"
    EXCHANGE_IN_STEPS = "exchange-in-steps"
    EXCHANGE_OF_CLASSES = "exchange-of-classes"
    NO_VALUE = "no-value"
    FEW_PATIENTS = "few-patients"
    CONSTANT_FACTOR = "constant-factor"
    CONSTANT_WITHIN_CLASS = "constant-within-class"
    NO_FOLD_WITH_BOTH_SIDES = "no-fold-with-both-sides"
    NO_WEIGHTS = "no-weights"
    OTHER_SHAPE = "other-shape"
    ZERO_START = "zero-start"
    NOT_FINITE_WEIGHTS = "not-finite-weights"
    OTHER_IMAGES = "other-images"

    # Heat-maps.
    EMPTY_MAPS = "empty-maps"
    BROKEN_MAPS = "broken-maps"
    FEW_SCORED_IMAGES = "few-scored-images"
    EQUAL_SHARES = "equal-shares"
    EQUAL_SUBSETS = "equal-subsets"
    FAILS_SANITY = "fails-sanity"
    SANITY_SAME_WEIGHTS = "sanity-same-weights"
    SANITY_CONSTANT_MAPS = "sanity-constant-maps"

    # Worst groups and environments.
    WORST_GROUP_PLACE = "worst-group-place"
    WORST_ENVIRONMENT_PLACE = "worst-environment-place"
    NO_GROUP = "no-group"
    NO_COMMON_GROUP = "no-common-group"
    NO_ENVIRONMENT = "no-environment"

    # Trainings.
    COLLAPSED_CONSTANT_OUTPUT = "collapsed-constant-output"
    COLLAPSED_CONSTANT_MAPS = "collapsed-constant-maps"
    COLLAPSED_ONE_EMBEDDING = "collapsed-one-embedding"
    COLLAPSED_RANK_ONE = "collapsed-rank-one"
    COLLAPSED_EQUAL_DISTANCES = "collapsed-equal-distances"
    COLLAPSED_STUCK = "collapsed-stuck"
    COLLAPSED_FEATURES = "collapsed-features"
    PREDICTS_NOTHING = "predicts-nothing"
    PREDICTS_EVERYTHING = "predicts-everything"
    DIVERGED_LOSS = "diverged-loss"
    HEAD_NOT_FITTED = "head-not-fitted"
    LOST_SOURCE = "lost-source"
    TRAINING_DIVERGED = "training-diverged"
    TRAINING_STOPPED = "training-stopped"
    USELESS_SOURCE = "useless-source"
    NO_RECORD_OF_SOURCE = "no-record-of-source"
    UNFINISHED_PROBES = "unfinished-probes"

    # Comparisons, limits and ends of the scale.
    NO_CONTRAST = "no-contrast"
    LATE_CONTRASTS = "late-contrasts"
    DECIDED_EARLY = "decided-early"
    LATER_ESTIMATE = "later-estimate"
    CONTROL_FAILED = "control-failed"
    NEAR_END_OF_SCALE = "near-end-of-scale"
    AT_CHANCE = "at-chance"
    LIMIT_INCONCLUSIVE = "limit-inconclusive"
    DETECTABLE = "detectable"
    NOTHING_DETECTABLE = "nothing-detectable"
    LIMIT_CLEAN_UNMATCHED = "limit-clean-unmatched"
    LIMIT_FIT_UNMATCHED = "limit-fit-unmatched"
    LIMIT_DECODING = "limit-decoding"
    LIMIT_ENVIRONMENTS = "limit-environments"
    LIMIT_EXPLORATORY = "limit-exploratory"

    # What a plan can detect.
    UNKNOWN_SPREAD = "unknown-spread"
    UNPLANNED_VARIANCE = "unplanned-variance"
    TOO_FEW_PLANNED = "too-few-planned"
    BEYOND_RANGE = "beyond-range"

    # Cautions about a study.
    MISSING_TRIALS = "missing-trials"
    ALL_FINISHED = "all-finished"
    NONE_COLLAPSED = "none-collapsed"
    NO_SEED_LEFT = "no-seed-left"
    LOST_TRIALS = "lost-trials"
    SILENT_TRIALS = "silent-trials"
    LOUD_TRIALS = "loud-trials"
    PATIENTS_UNKNOWN = "patients-unknown"
    DRAWN_IMAGES = "drawn-images"
    LEAKAGE_UNCHECKED = "leakage-unchecked"
    NO_COPIES = "no-copies"
    COPIES_FOUND = "copies-found"
    NEAR_COPIES = "near-copies"
    CONTRADICTING_COPIES = "contradicting-copies"
    ASSOCIATIONS_ACHIEVED = "associations-achieved"
    ASSOCIATIONS_OFF = "associations-off"
    UNEVEN_ROWS = "uneven-rows"
    ALL_AT_CHANCE = "all-at-chance"
    ALL_AT_CHANCE_WITHOUT_DOSE = "all-at-chance-without-dose"
    SCALE_EXHAUSTED = "scale-exhausted"
    UNDER_SEEDS = "under-seeds"
    ROUGH_SEEDS = "rough-seeds"
    ENOUGH_SEEDS = "enough-seeds"
    CHANGED_SEEDS = "changed-seeds"
    FAR_P = "far-p"
    OUTLYING_SEEDS = "outlying-seeds"
    SEEDS_UNCHECKED = "seeds-unchecked"
    SHARED_FOLDS = "shared-folds"
    ONE_POOL = "one-pool"
    FIXED_TRAINING_ROWS = "fixed-training-rows"
    UNDEFINED_COMPARISONS = "undefined-comparisons"

    # Cautions about data.
    OTHER_TARGET = "other-target"
    PROXY = "proxy"
    UNSEEN_LEVELS = "unseen-levels"
    COLUMN_OF_INTERVENTION = "column-of-intervention"
    EMPTY_DOSE = "empty-dose"
    ILLEGIBLE = "illegible"
    HARDLY_CHANGED = "hardly-changed"
    PLAIN_SIGHT = "plain-sight"
    RIDGE_BASELINE = "ridge-baseline"
    OF_RECIPE = "of-recipe"

    # Tables of the data.
    NO_SSIM = "no-ssim"
    TIED_BY_SAMPLING = "tied-by-sampling"
    FEW_VALUES = "few-values"

    # Why a trial or a probe is new in a plan.
    NOTHING_TRAINED = "nothing-trained"
    NO_RECORD = "no-record"
    FIELD_CHANGED = "field-changed"
    FIELD_ADDED = "field-added"
    FIELD_REMOVED = "field-removed"
    NEW_PROBE = "new-probe"
    PROBE_ENVIRONMENTS = "probe-environments"
    PROBE_IMAGES = "probe-images"
    PLANNED_BEFORE = "planned-before"

    # Assumptions on a file of predictions.
    NO_SEED_COLUMN = "no-seed-column"
    NO_PATIENT_COLUMN = "no-patient-column"
    LOG_ODDS = "log-odds"
    MISSING_PREDICTIONS = "missing-predictions"


@dataclass(frozen=True, slots=True)
class Cause:
    """One code with its fields."""

    code: Code
    fields: tuple[tuple[str, Field], ...] = ()

    def __getitem__(self, name: str) -> Field:
        """The field of that name."""
        return dict(self.fields)[name]


@dataclass(frozen=True, slots=True)
class Reason:
    """Causes in order, one that another explains before it; false where there is none.

    `str(reason)` is its stored form, the JSON list `[{"code": "few-seeds", "seeds": 2}]`, or the empty text.
    """

    causes: tuple[Cause, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.causes)

    def __add__(self, other: Reason) -> Reason:
        return Reason(self.causes + other.causes)

    def __contains__(self, code: Code) -> bool:
        return any(cause.code == code for cause in self.causes)

    def __str__(self) -> str:
        found = [{"code": str(cause.code), **dict(cause.fields)} for cause in self.causes]
        return json.dumps(found, ensure_ascii=False) if found else ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The codes in order."""
        return tuple(cause.code for cause in self.causes)

    def first(self, *codes: Code) -> Cause | None:
        """The first cause with one of these codes, or None."""
        return next((cause for cause in self.causes if cause.code in codes), None)


NOT_CONVERGED = (Code.NOT_CONVERGED_ERROR, Code.NOT_CONVERGED_HALVES)
"""Codes of a value that more samples might move."""
NOTHING = Reason()
"""No reason: there is a value, and nothing to know about it."""


def because(code: Code, **fields: Field) -> Reason:
    """A reason of one code."""
    return Reason((Cause(code, tuple(fields.items())),))


def stated(text: str) -> Reason:
    """A reason in the words of a plug-in, an error or a file; no reason without words."""
    return because(Code.STATED, text=text) if text else NOTHING


def read(value: object) -> Reason:
    """Read a reason from a row or a record, which holds a reason, its stored form, or a user's own words."""
    if isinstance(value, Reason):
        return value
    return _parsed("" if value is None else str(value))


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Reason:
    """Cached: thousands of rows hold few texts."""
    if not text.startswith('[{"code": '):
        return stated(text)
    found = cast("list[dict[str, Any]]", json.loads(text))
    if not all(one.get("code") in set(Code) for one in found):
        return stated(text)
    return Reason(tuple(Cause(Code(one.pop("code")), tuple((k, _field(v)) for k, v in one.items())) for one in found))


def _field(value: Any) -> Field:
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else value


def reason_of(row: Mapping[str, Any]) -> Reason:
    """The reason of a row of any table; none where the row has no such column."""
    return read(row.get("reason"))


def together(reasons: Iterable[Reason]) -> Reason:
    """Several reasons as one, each different one once, in order."""
    return sum(dict.fromkeys(reason for reason in reasons if reason), NOTHING)
