"""Measures of grades at the cut that makes two classes of them: those at or above it, and those below."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.stats import influence, metrics
from assay.stats.influence import Answers
from assay.stats.measure import Measure, constant
from assay.stats.scores import Metric, beyond, undefined

SPECIFICITIES = (0.8, 0.9, 0.95)
"""The shares of validation images below the cut that a threshold leaves uncalled."""


def specific_thresholds(logits: Float[np.ndarray, "n k"], target: Int[np.ndarray, " n"], cut: int) -> tuple[float, ...]:
    """Of these rows the log-odds of lying at or above the cut, from which each of `SPECIFICITIES` is reached.

    The lowest such threshold, halfway to the next score, so that no row sits on it. NaN without a row below the cut.
    """
    score = np.unique(beyond(logits, cut))
    low = np.sort(beyond(logits, cut)[target < cut])
    if not len(low):
        return (float("nan"),) * len(SPECIFICITIES)
    found: list[float] = []
    for level in SPECIFICITIES:
        last = low[max(int(np.ceil(level * len(low) - 1e-9)), 1) - 1]
        after = score[np.searchsorted(score, last, side="right") :]
        halfway = (last + after[0]) / 2 if len(after) else last
        found.append(float(max(halfway, np.nextafter(last, np.inf))))  # halfway between neighbours may be the lower one
    return tuple(found)


def at_cut(answers: Answers) -> Answers:
    """The two-class question whether an image lies at or above the cut, with its log-odds as the logit."""
    target = (answers.target >= answers.cut).astype(np.int64)
    return replace(answers, logits=beyond(answers.logits, answers.cut)[:, None], target=target, cut=1)


def _fault(answers: Answers) -> str:
    if 0 < answers.cut < answers.classes:
        return ""
    return f"no class lies at or above {answers.cut}, from which images count as positive: there are {answers.classes}"


def _auroc(answers: Answers) -> Metric:
    if fault := _fault(answers):
        return undefined(fault)
    two = at_cut(answers)
    return metrics.auroc(two.score, two.target, two.fold)


def _called(answers: Answers, level: int) -> Bool[np.ndarray, " n"]:
    assert answers.specific is not None
    return beyond(answers.logits, answers.cut) >= answers.specific[:, level]


def _at(level: int, positive: bool, answers: Answers) -> Metric:
    """Of the images at or above the cut the share that is called, or of those below the share that is not."""
    if fault := _fault(answers):
        return undefined(fault)
    if answers.specific is None or np.isnan(answers.specific[:, level]).any():
        return undefined("no threshold was chosen: no validation image lies below the cut")
    called, above = _called(answers, level).astype(np.int64), (answers.target >= answers.cut).astype(np.int64)
    return metrics.sensitivity(called, above) if positive else metrics.specificity(called, above)


def _rows(
    level: int, positive: bool, answers: Answers, value: float, patient: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Residuals, at thresholds that are given: how they vary with the validation rows, the seeds show."""
    of = (answers.target >= answers.cut) == positive
    return influence.share(_called(answers, level) == positive, value, of, patient)


def _measures() -> Iterator[Measure]:
    yield Measure(
        "auroc-referable",
        _auroc,
        lambda answers, value, patient: influence.auroc(at_cut(answers), value, patient),
        "higher",
        constant(0.5),
        ordinal=True,
        cut=True,
    )
    for number, level in enumerate(SPECIFICITIES):
        for name, positive in ((f"sensitivity-at-specificity-{level * 100:.0f}", True),
                               (f"specificity-kept-{level * 100:.0f}", False)):  # fmt: skip
            yield Measure(
                name,
                partial(_at, number, positive),
                partial(_rows, number, positive),
                "higher" if positive else "none",
                constant(float("nan")),
                ordinal=True,
                cut=True,
            )


OF_GRADES = tuple(_measures())
