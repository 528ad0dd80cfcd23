"""What each measure that a contrast can name means, in a few words, and which way of it is better."""

from __future__ import annotations

from typing import Literal

Better = Literal["higher", "lower", ""]

_MATCHED = {
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
    **_MATCHED,
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
