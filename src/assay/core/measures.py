"""The measures that a contrast can name, what each needs said, and the probe that yields it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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
_SHAPES = {
    **dict.fromkeys(("effective-rank", "rankme", "participation-ratio", "components-90"), (1.0, math.inf)),
    **dict.fromkeys(("condition-number", "condition-number-90-10"), (1.0, math.inf)),
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
