"""Sentences on scores, and on calls that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from assay.stats.format import count
from assay.stats.metrics import log_odds, predicted_classes, probabilities
from assay.stats.scores import Scale

_WORDS = {
    "probabilities": "probabilities",
    "percent": "percent, divided by 100,",
    "logits": "logits",
    "other": "numbers of no usual scale, read as logits,",
}


def scale_words(scale: Scale) -> str:
    """Return what scores are, and what became of scores of exactly 0 and 1."""
    halves = (f"{scale.ends[0] / 2 or scale.ends[0]:.2g}", f"1 - {scale.ends[1] / 2:.2g}")
    moved = [
        f"{count(n, 'score')} of exactly {at} set to {half} for log-odds"
        for at, (n, half) in enumerate(zip(scale.exact, halves, strict=True))
        if n
    ]
    maybe = " (none above 0, as log-probabilities are: write probabilities if they are)" if scale.greatest <= 0 else ""
    if scale.kind == "other" and scale.least < 0 < scale.greatest:
        maybe = " (as of a decision function, with 0 between the classes: --scores logits if they are log-odds)"
    none = ["calibration is not computed, which needs probabilities"] if scale.kind == "other" else []
    return "; ".join([f"{_WORDS[scale.kind]} from {scale.least:.3g} to {scale.greatest:.3g}{maybe}", *moved, *none])


def scales_words(scales: Mapping[str, Scale]) -> str:
    """Return what the scores of several models are, once where they are alike."""
    if len({scale.kind for scale in scales.values()}) == 1 and not any(any(scale.exact) for scale in scales.values()):
        least, greatest = (
            min(scale.least for scale in scales.values()),
            max(scale.greatest for scale in scales.values()),
        )
        return scale_words(replace(next(iter(scales.values())), least=least, greatest=greatest))
    return "; ".join(f"{name}: {scale_words(scale)}" for name, scale in scales.items())


def constant(logits: Float[np.ndarray, "n k"]) -> bool:
    """Return whether all images have the same log-odds, but for the last digits that their precision has."""
    scores = log_odds(logits)
    return float(np.ptp(scores, axis=0).max()) <= 8 * np.finfo(logits.dtype).eps * max(1.0, float(np.abs(scores).max()))


def called_alike(
    logits: Float[np.ndarray, "n k"],
    target: Int[np.ndarray, " n"],
    classes: Sequence[str],
    threshold: float,
    least: float = 1.0,
) -> str:
    """Return a caution where calls are of one class; empty where they are not, or all images are of it.

    Args:
        logits: Answers to images.
        target: Their class codes.
        classes: Names of the classes.
        threshold: On the probability of the second of two classes.
        least: Share of the images that gets one class.
    """
    called = predicted_classes(probabilities(logits), threshold)
    counts = np.bincount(called, minlength=len(classes))
    most = int(counts.argmax())
    others = target != most
    true, missed = int((~others).sum()), int((called[others] == most).sum())
    if counts[most] < least * len(called) or not missed:
        return ""
    if true > _TRUE * len(called) and missed < _TRUE * int(others.sum()):
        return ""
    every = counts[most] == len(called)
    rate = f" ({'specificity' if most else 'sensitivity'} 0)" if every and len(classes) == 2 else ""
    return (
        f"{'' if every else 'nearly '}all images are assigned one class: the model calls {counts[most]:,} of "
        f"{count(len(called), 'image')} '{classes[most]}' at its threshold{rate}, and {true:,} are; its flip rates are "
        "not informative; choose another threshold if its AUROC is good"
    )


_TRUE = 0.9
"""Where a greater share of images is of that class, the calls are a sign if as great a share of others gets them."""
