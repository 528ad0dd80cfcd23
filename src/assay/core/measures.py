"""Names of measures: their ranges, meanings and needs, and the columns of segmentation maps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

# The measures that a contrast can name, what each needs said, and the probe that yields it.

Among = Literal["both", "lesions", "no lesions"]
"""Images that a measure needs: of two classes at least, with a lesion, without one."""


@dataclass(frozen=True, slots=True)
class MeasureName:
    """A measure as a spec names it.

    needs: the fields of a contrast without which it is ambiguous. environment: the rows that its probe looks at of its
    own accord, where the contrast names no other. low, high: the range that its true value cannot leave.
    """

    name: str
    probe: str
    needs: tuple[str, ...] = ()
    environment: str = ""
    low: float = -math.inf
    high: float = math.inf


_PERFORMANCE = {
    "auroc": (0.0, 1.0),
    "auroc-macro": (0.0, 1.0),
    "somers-d": (-1.0, 1.0),
    "average-precision": (0.0, 1.0),
    "accuracy": (0.0, 1.0),
    "sensitivity": (0.0, 1.0),
    "specificity": (0.0, 1.0),
    "brier": (0.0, 2.0),
    "calibration-error": (0.0, 1.0),
    "log-loss": (0.0, math.inf),
    "quadratic-weighted-kappa": (-1.0, 1.0),
    **dict.fromkeys(
        (
            "auroc-referable",
            *(
                f"{name}-{level}"
                for name in ("sensitivity-at-specificity", "specificity-kept")
                for level in (80, 90, 95)
            ),
        ),
        (0.0, 1.0),
    ),
}
_OVERLAP = {
    **dict.fromkeys(("dice", "dice-skip", "dice-one", "dice-zero", "dice-smoothed", "iou"), (0.0, 1.0)),
    **dict.fromkeys(("pixel-precision", "pixel-recall", "surface-dice", "lesion-sensitivity"), (0.0, 1.0)),
    **dict.fromkeys(("hd95", "surface-distance"), (0.0, math.inf)),
    "volume-error": (-1.0, math.inf),
    "false-positives-per-image": (0.0, math.inf),
    **dict.fromkeys((f"pixel-calibration-error{of}" for of in ("", "-boundary", "-background")), (0.0, 1.0)),
}
_NATIVE = ("dice", "iou", "pixel-precision", "pixel-recall", "volume-error", "hd95", "surface-distance", "surface-dice")
NATIVE = {f"{name}-native": _OVERLAP[name] for name in _NATIVE}
"""Measures of a segmentation at the size of the images' files, with their ranges."""
_MATCHED = tuple(
    f"{name}-at-{level}" for level in (80, 90, 95) for name in ("lesion-sensitivity", "false-positive-rate")
)
_BY_SCORE = tuple(f"{name}-{score}" for score in ("top-mean", "area") for name in ("auroc", "average-precision"))
QUIET = "false-positive-rate"
"""The false alarms of a segmentation, at p = .5 and, with `-at-90` and the like, where sensitivity is matched."""
MATCHED = f"{QUIET}-at-90"
"""The false alarms that are shown where a study compares none."""
_FREE = ("false-positive-rate", "false-positive-area", *_MATCHED, *_BY_SCORE, "free-response-area")
BY_VARIANCE = ("sobol-first", "sobol-total")
_BY_CHANGE = {
    "flip-rate": (0.0, 1.0),
    "logit-effect": (-math.inf, math.inf),
    "logit-effect-absolute": (0.0, math.inf),
}
BY_MOVING = (*BY_VARIANCE, *_BY_CHANGE)
"""Measures that need images with one factor moved and all else the same."""
OF_MAPS = "condition-number-maps"
"""The shape of a layer's flattened activations, which `representation` measures where its `maps` is set."""
_SHAPES = {
    **dict.fromkeys(("effective-rank", "rankme", "participation-ratio", "components-90"), (1.0, math.inf)),
    **dict.fromkeys(("condition-number", "condition-number-90-10", OF_MAPS), (1.0, math.inf)),
    "kurtosis": (-2.0, math.inf),
    "intrinsic-dimension": (0.0, math.inf),
    "constant-units": (0.0, 1.0),
    "class-separation": (0.0, 1.0),
    **dict.fromkeys(("cka-to-untrained", "procrustes-to-untrained", "neighbours-to-untrained"), (0.0, 1.0)),
    "rsa-to-untrained": (-1.0, 1.0),
}
_PUT_BACK = tuple(f"{name}-lost-to-{to}" for name in ("auroc", "accuracy") for to in ("start", "random"))
_DISTORTED = {
    **dict.fromkeys(("distorted-error", "distorted-auroc", "distorted-auroc-macro", "stability"), (0.0, 1.0)),
    "distorted-calibration-error": (0.0, 1.0),
    "distorted-error-increase": (-1.0, 1.0),
    "accuracy-kept": (0.0, math.inf),
}
_ATTENDED = {
    **dict.fromkeys(("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision"), (0.0, 1.0)),
    **dict.fromkeys(("deletion", "insertion"), (0.0, 1.0)),
    **dict.fromkeys(("sensitivity-n", "removal-agreement"), (-1.0, 1.0)),
    **dict.fromkeys(("sanity-rank-correlation", "sanity-ssim"), (-1.0, 1.0)),
    "attributed-effect": (-math.inf, math.inf),
}
_LESIONS_GONE = ("lesion-effect", "lesion-effect-small-over-large", "erasure-effect", "erasure-effect-over-elsewhere",
                 "erasure-effect-small-over-large")  # fmt: skip
NEUTRAL, INDEPENDENT = "(neutral)", "(independent)"
WORST_ENVIRONMENT, WORST_GROUP = WORST = ("worst environment", "worst group")
"""What tables have in the place of a group for the place that has a measure's worst value."""
OF_WORST_GROUP = {f"worst-group-{name}": name for name in ("accuracy", "auroc")}
"""Measures of the worst group of an environment -> what they are of each group."""

MEASURES: dict[str, MeasureName] = {
    **{name: MeasureName(name, "performance", ("environment",), "", *ends) for name, ends in _PERFORMANCE.items()},
    **{name: MeasureName(name, "performance", ("environment",), "", 0.0, 1.0) for name in OF_WORST_GROUP},
    **{
        name: MeasureName(name, "segmentation", ("environment",), "", *ends)
        for name, ends in (_OVERLAP | NATIVE).items()
    },
    **{name: MeasureName(name, "lesion-free", ("environment",), "", 0.0, 1.0) for name in _FREE},
    **{
        name: MeasureName(name, "robustness", ("environment", "factor"), "", *ends) for name, ends in _DISTORTED.items()
    },
    **{name: MeasureName(name, "reliance", ("factor",), "", 0.0, 1.0) for name in BY_VARIANCE},
    **{name: MeasureName(name, "reliance", ("factor",), NEUTRAL, *ends) for name, ends in _BY_CHANGE.items()},
    **{name: MeasureName(name, "painting", (), NEUTRAL, 0.0, 1.0) for name in ("place-called", "place-found")},
    **{name: MeasureName(name, "attribution", ("factor",), NEUTRAL, *ends) for name, ends in _ATTENDED.items()},
    **{name: MeasureName(name, "attribution", (), NEUTRAL) for name in _LESIONS_GONE},
    "decodability": MeasureName("decodability", "decodability", ("factor", "layer"), INDEPENDENT, 0.0, 1.0),
    **{name: MeasureName(name, "representation", ("layer",), NEUTRAL, *ends) for name, ends in _SHAPES.items()},
    **{name: MeasureName(name, "reinitialisation", ("layer",), NEUTRAL, -1.0, 1.0) for name in _PUT_BACK},
    "weight-change": MeasureName("weight-change", "reinitialisation", ("layer",), NEUTRAL, 0.0),
    "factor-separation": MeasureName("factor-separation", "representation", ("factor", "layer"), NEUTRAL, 0.0, 1.0),
}


_OF_BOTH = (*_BY_SCORE, "auroc", "auroc-macro", "auroc-referable", "average-precision", "somers-d")
_DEFINED_ON_ANY = ("dice-skip", "dice-one", "dice-zero", "dice-smoothed", "false-positives-per-image",
                   "pixel-calibration-error", "pixel-calibration-error-background")  # fmt: skip
_OF_LESIONS = (
    *(name for name in _OVERLAP if name not in _DEFINED_ON_ANY),
    *NATIVE,
    *(name for name in _MATCHED if name.startswith("lesion")),
    "free-response-area",
)
_OF_FREE = ("false-positive-rate", "false-positive-area", *(name for name in _MATCHED if name.startswith("false")))
ON: dict[str, Among] = {
    **dict.fromkeys(_OF_BOTH, "both"),
    **dict.fromkeys(_OF_LESIONS, "lesions"),
    **dict.fromkeys(_OF_FREE, "no lesions"),
}
"""Measures that are undefined where no image of some class is tested: which images they need."""

SHARES = tuple(name for name, ends in _PERFORMANCE.items() if ends == (0.0, 1.0))
"""Measures of performance from 0 to 1, which a probit scale can hold."""

EFFECTS = ("logit-effect", "logit-effect-absolute")
"""Measures without an end to come near: their own scale is the only one."""
DOSED = (*SHARES, *OF_WORST_GROUP, *BY_VARIANCE, *_BY_CHANGE, "decodability")
"""Measures whose change over the doses can be compared."""


def quiet_of(compared: Iterable[str]) -> str:
    """Of the measures that a study compares, in order, the first of false alarms; `MATCHED` where there is none."""
    return next((name for name in compared if name.startswith(QUIET)), MATCHED)


def range_of(name: str) -> tuple[float, float]:
    """The range that the true value of a measure cannot leave; without ends where it is not named here."""
    found = MEASURES.get(name)
    return (found.low, found.high) if found else (-math.inf, math.inf)


# What each measure that a contrast can name means, in a few words, and which way of it is better.

Better = Literal["higher", "lower", ""]

_MATCHED_MEANINGS = {
    f"{name}-at-{level}": words.format(level)
    for level in (80, 90, 95)
    for name, words in {
        "lesion-sensitivity": "share of test lesions found where {} % of validation lesions are",
        "false-positive-rate": "share of lesion-free images called where {} % of validation lesions are found",
    }.items()
}
_AT_CUT = {
    f"{name}-{level}": words.format(level)
    for name, words in {
        "sensitivity-at-specificity": "share at or above the cut of grades called, at {} % validation specificity",
        "specificity-kept": "share below the cut of grades not called, at {} % validation specificity",
    }.items()
    for level in (80, 90, 95)
}

MEANINGS: dict[str, str] = {
    "auroc": "chance that an image with the target ranks above one without",
    "auroc-macro": "mean over several classes of each one's AUROC against the rest",
    "somers-d": "AUROC as a correlation, -1 to 1",
    "average-precision": "mean precision over all thresholds, by recall",
    "accuracy": "share of images called rightly",
    "sensitivity": "share of images with the target that are called",
    "specificity": "share of images without it that are not called",
    "brier": "mean squared error of the probabilities",
    "calibration-error": "how far probabilities lie from the shares that came true",
    "log-loss": "how surprising the truth is to the probabilities, in nats",
    "quadratic-weighted-kappa": "agreement of grades beyond chance, far misses weighing more",
    "auroc-referable": "AUROC of a grade at or above the cut",
    **_AT_CUT,
    "worst-group-accuracy": "accuracy of the group, a level of a factor in one class, that has the least",
    "worst-group-auroc": "AUROC of the group, a level of a factor, that has the least",
    "dice": "overlap with the lesion, mean over images that show one",
    "dice-skip": "overlap over all images, empty ones called empty left out",
    "dice-one": "overlap over all images, empty ones called empty counted 1",
    "dice-zero": "overlap over all images, empty ones called empty counted 0",
    "dice-smoothed": "overlap over all images with 1 added above and below",
    "iou": "pixels of lesion and call in common over those of either",
    "pixel-precision": "share of the pixels called that are lesion",
    "pixel-recall": "share of the lesion's pixels that are called",
    "surface-dice": "share of both outlines that lie near each other",
    "lesion-sensitivity": "share of lesions of which half is called",
    "false-positives-per-image": "components called that touch no lesion, mean number over all images",
    "hd95": "distance that 95 % of the outlines keep",
    "surface-distance": "mean distance between the outlines",
    "volume-error": "area called over the lesion's, less 1",
    **{
        f"{name}-native": f"{words}, at the size of the images' files"
        for name, words in {
            "dice": "overlap with the lesion, mean over images that show one",
            "iou": "pixels of lesion and call in common over those of either",
            "pixel-precision": "share of the pixels called that are lesion",
            "pixel-recall": "share of the lesion's pixels that are called",
            "surface-dice": "share of both outlines that lie near each other",
            "hd95": "distance that 95 % of the outlines keep",
            "surface-distance": "mean distance between the outlines",
            "volume-error": "area called over the lesion's, less 1",
        }.items()
    },
    "pixel-calibration-error": "how far pixels' probabilities lie from what came true",
    "pixel-calibration-error-boundary": "the same in a band along the true outlines",
    "pixel-calibration-error-background": "the same away from lesions and that band",
    "false-positive-rate": "share of lesion-free images in which a component is called",
    "false-positive-area": "share of a lesion-free image that is called lesion",
    **_MATCHED_MEANINGS,
    "auroc-top-mean": "AUROC of images with a lesion, by the mean of the greatest 1 % of logits",
    "average-precision-top-mean": "average precision by the same",
    "auroc-area": "AUROC of images with a lesion, by the area called",
    "average-precision-area": "average precision by the same",
    "free-response-area": "lesions found over 0 to 1 false positives an image",
    "distorted-error": "share of distorted images called wrongly",
    "distorted-auroc": "AUROC on distorted images",
    "distorted-auroc-macro": "the same of several classes",
    "stability": "share of distorted images called as when clean",
    "distorted-calibration-error": "calibration error on distorted images",
    "distorted-error-increase": "error on distorted images less that on the same clean",
    "accuracy-kept": "accuracy on distorted images over that on the same clean",
    "sobol-first": "share of the logit's variance that the factor brings by itself",
    "sobol-total": "the same with its interactions",
    "flip-rate": "share of images called otherwise when the factor alone is moved",
    "logit-effect": "mean change of the logit when the factor alone is moved, in its deviations within a class",
    "logit-effect-absolute": "the same of its absolute value",
    "place-called": "share of a taken-out lesion's place that is called lesion all the same",
    "place-found": "share of taken-out lesions that still count as found",
    "mass-accuracy": "share of a heat-map's mass that lies on the factor",
    "rank-accuracy": "share of a heat-map's greatest pixels that lie on the factor",
    "pointing-game": "share of heat-maps whose greatest pixel lies on the factor",
    "pixel-average-precision": "average precision of a heat-map for the factor's pixels",
    "deletion": "probability left as a heat-map's greatest pixels are taken away first",
    "insertion": "probability regained as a heat-map's greatest pixels come back first",
    "sensitivity-n": "correlation of what a heat-map gives to parts and what the log-odds lose without them",
    "lesion-effect": "what the log-odds lose when an image is drawn again without its lesions",
    "lesion-effect-small-over-large": "that of small lesions less that of large ones, in images that show both",
    "removal-agreement": "correlation of that loss and the share of the heat-map on the lesion",
    "attributed-effect": "sum of a heat-map over the lesion, for explainers that add up",
    "erasure-effect": "what the log-odds lose when a lesion is painted over",
    "erasure-effect-over-elsewhere": "that less the loss when as many pixels elsewhere are",
    "erasure-effect-small-over-large": "the latter of small lesions less that of large ones, in images that show both",
    "sanity-rank-correlation": "likeness of a heat-map to that of weights drawn anew, by ranks",
    "sanity-ssim": "the same, by structure",
    "decodability": "how well a linear decoder reads the factor from the layer; chance .5",
    "effective-rank": "how many directions bear the layer's variance, by entropy",
    "rankme": "the same without centring, as published",
    "participation-ratio": "how many directions bear the layer's variance, by squares",
    "components-90": "how many directions bear 90 % of the layer's variance",
    "condition-number": "greatest over least eigenvalue",
    "condition-number-90-10": "90th over 10th percentile of the eigenvalues",
    OF_MAPS: "99.9th over 90th percentile of 100 eigenvalues of flattened maps",
    "kurtosis": "how heavy-tailed units are; 0 for normal ones",
    "intrinsic-dimension": "dimension of what the images span, by nearest neighbours",
    "constant-units": "share of units that answer all images alike",
    "class-separation": "share of the layer's variance between classes",
    "cka-to-untrained": "likeness to the same layer before training, by CKA",
    "procrustes-to-untrained": "the same, by the best overlay",
    "neighbours-to-untrained": "the same, by common nearest neighbours",
    "rsa-to-untrained": "the same, by distances between images",
    "auroc-lost-to-start": "AUROC lost when the layer is put back to where it started",
    "auroc-lost-to-random": "AUROC lost when the layer's trained values are dealt out anew",
    "accuracy-lost-to-start": "accuracy lost when the layer is put back to where it started",
    "accuracy-lost-to-random": "accuracy lost when the layer's trained values are dealt out anew",
    "weight-change": "how far training moved the layer's weights, over their length before",
    "factor-separation": "share of the layer's variance between levels of a factor",
}

_LOWER = frozenset(
    {
        "brier", "calibration-error", "log-loss", "hd95", "surface-distance", "pixel-calibration-error",
        "pixel-calibration-error-boundary", "pixel-calibration-error-background", "false-positive-rate",
        "false-positives-per-image", "false-positive-area", "distorted-error", "distorted-calibration-error",
        "distorted-error-increase", "place-called", "place-found", "deletion",
        "hd95-native", "surface-distance-native",
        *(f"false-positive-rate-at-{level}" for level in (80, 90, 95)),
    }
)  # fmt: skip
_HIGHER = frozenset(
    {
        "auroc", "auroc-macro", "somers-d", "average-precision", "accuracy", "sensitivity", "specificity",
        "quadratic-weighted-kappa", "auroc-referable", "dice", "dice-skip", "dice-one", "dice-zero", "dice-smoothed",
        "iou", "pixel-precision", "pixel-recall", "surface-dice", "lesion-sensitivity", "auroc-top-mean",
        "average-precision-top-mean", "auroc-area", "average-precision-area", "free-response-area", "distorted-auroc",
        "distorted-auroc-macro", "stability", "accuracy-kept", "mass-accuracy", "rank-accuracy", "pointing-game",
        "pixel-average-precision", "insertion", "sensitivity-n",
        *(f"{name}-native" for name in ("dice", "iou", "pixel-precision", "pixel-recall", "surface-dice")),
        *(f"sensitivity-at-specificity-{level}" for level in (80, 90, 95)), "worst-group-accuracy", "worst-group-auroc",
    }
)  # fmt: skip


def better(name: str) -> Better:
    """Which way of a measure is better; empty for one that describes and does not rank."""
    return "lower" if name in _LOWER else "higher" if name in _HIGHER else ""


# On what maps of logits are summarised: thresholds, minimum areas, and the rules that need a number.

ROUNDING = 1e-9
REGIONS = ("boundary", "lesion", "background")
"""The parts of an image in which pixels are calibrated apart, in the order of the columns that keep them."""
_BEYOND = (20.0, 25.0, 32.0, 48.0, 64.0, 96.0, 128.0)
"""Logits that networks trained with Dice reach, too far apart for any but the first part of a free response."""
AT_NATIVE = "native_"
"""How the names of columns begin that were taken at the size of the files; the rest is that of the same column."""


@dataclass(frozen=True, slots=True)
class MapGrid:
    """What decides the columns that a map of logits becomes; kept beside them, since they cannot be read without it.

    thresholds: logits, ascending. A pixel is predicted where its logit is at least the threshold. They are logits and
        not probabilities, since a network trained with Dice answers with probabilities that are 0 and 1 in float32.
    areas: minimum areas of a component, as shares of the image's pixels, ascending; 0 stands for any pixel.
    covered: share of a lesion's pixels that must be predicted for it to be found, above 0 and at most 1.
    top: share of the image's pixels over which the score `top_mean` is the mean, above 0 and at most 1.
    surface_threshold: the logit at which surfaces are compared.
    tolerance: how far apart two surfaces may lie and agree, in the unit of the pixel size, or px where there is none.
    bins: equal-width bins of the probability.
    boundary: pixels this near to a pixel of the other kind (lesion or not) are the boundary, in px.

    Raises ValueError on values that are out of these ranges or out of order.
    """

    thresholds: tuple[float, ...] = (*(float(logit) for logit in range(-16, 17)), *_BEYOND)
    areas: tuple[float, ...] = (0.0, 0.0001, 0.0005, 0.001, 0.005, 0.01)
    covered: float = 0.5
    top: float = 0.01
    surface_threshold: float = 0.0
    tolerance: float = 2.0
    bins: int = 15
    boundary: float = 3.0

    def __post_init__(self) -> None:
        for name, values in (("thresholds", self.thresholds), ("areas", self.areas)):
            if not values or list(values) != sorted(set(values)) or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} are {values}: give at least one finite number, each once, ascending")
        if not 0 <= self.areas[0] <= self.areas[-1] <= 1:
            raise ValueError(f"areas are {self.areas}: give shares of the image from 0 to 1")
        for name, share in (("covered", self.covered), ("top", self.top)):
            if not 0 < share <= 1:
                raise ValueError(f"{name} is {share}: give a share above 0 and at most 1")
        if not math.isfinite(self.surface_threshold):
            raise ValueError(f"surface_threshold is {self.surface_threshold}: give a finite logit")
        if not (self.tolerance >= 0 and self.boundary >= 0 and self.bins >= 1):
            raise ValueError(
                f"tolerance is {self.tolerance}, boundary {self.boundary}, bins {self.bins}: "
                "give distances of at least 0 and at least one bin"
            )

    def smallest(self, pixels: int) -> Int[np.ndarray, " a"]:
        """The minimum areas in pixels of an image with so many, at least 1 each."""
        return np.array([pixels_of(share, pixels) for share in self.areas], dtype=np.int64)


def pixels_of(share: float, pixels: int) -> int:
    """The least number of pixels, at least 1, that makes this share of so many."""
    return max(1, math.ceil(share * pixels - ROUNDING))
