"""Recognize the scale of scores (probabilities, percent, log-odds or other numbers) and convert scores to log-odds.

Scores come from a model or a file. Log-odds keep their order and their ties.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from assay.core.errors import SpecError, key_text
from assay.core.log_odds import SMALLEST, Ends, log_odds_of
from assay.core.request import ScoreScale

Kind = Literal["probabilities", "percent", "logits", "other"]
_PERCENT = re.compile(r"%|per_?cent|pct|prozent", re.IGNORECASE)
_DECISION_FUNCTION = re.compile(
    "|".join((r"decision_?func", r"(^|_)svm(_|$)", "margin", "distance", "cosine", "similarity")), re.IGNORECASE
)
"""Column names of values of a decision function, which have both signs and are no log-odds."""
_LOG_ODDS = re.compile(r"logit|log_?odds", re.IGNORECASE)
_MISSING_CODES = (9.0, 99.0, 999.0, 9999.0, 99999.0)
"""Codes for a missing score, with either sign. Another one is -1."""
_FEW_DISTINCT = 3
"""With no more distinct scores than this, no score is taken for a missing one."""
_FAR_FACTOR = 10
"""Where scores are not from 0 to 100, a code for a missing score is at least so many times greater than all of them."""
_MAX_GRADE = 10
"""Greatest whole number that may be a grade."""
_EPS = 1e-6
"""Probabilities may be outside 0 to 1 by so much, as those of a softmax in float32 are."""


@dataclass(frozen=True)
class Scale:
    """Scale of a set of scores.

    Attributes:
        kind: Probabilities, percent, log-odds or other numbers.
        least: The smallest score.
        greatest: The greatest score.
        ends: What stands for probabilities of 0 and 1 in log-odds, see `Ends`.
        exact: Number of scores that are exactly 0, and number that are exactly 1, as probabilities.
    """

    kind: Kind
    least: float
    greatest: float
    ends: Ends = SMALLEST
    exact: tuple[int, int] = (0, 0)

    def log_odds(self, scores: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return log-odds in float64 with the order and the ties of the scores."""
        values = np.asarray(scores, dtype=np.float64)
        if self.kind in ("logits", "other"):
            return values
        distinct, inverse = np.unique(values, return_inverse=True)
        odds = log_odds_of(distinct / (100 if self.kind == "percent" else 1), self.ends, np)
        for start in np.flatnonzero(np.diff(odds) <= 0) + 1:  # rounded to a tie, or to another order
            i = int(start)
            while i < len(odds) and odds[i] <= odds[i - 1]:
                odds[i] = np.nextafter(odds[i - 1], math.inf)
                i += 1
        return odds[inverse].reshape(values.shape)

    def probabilities(self, scores: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"] | None:
        """Return the probabilities that the scores are, exactly 0 and 1 among them; None of other scores."""
        if self.kind not in ("probabilities", "percent"):
            return None
        return np.clip(np.asarray(scores, dtype=np.float64) / (100 if self.kind == "percent" else 1), 0.0, 1.0)


def scale_of(
    scores: Float[np.ndarray, "*n"],
    requested: ScoreScale = "auto",
    threshold: float = 0.5,
    subject: str = "the scores",
    column: str = "",
) -> Scale:
    """Return the scale of a set of scores.

    Args:
        scores: All scores, finite.
        requested: The scale that the user names.
        threshold: Probability from which an image is called positive; scores of exactly 0 and 1 stay on their side.
        subject: The scores as error messages name them.
        column: Name of their column in a table, empty for none. With a column, scores of both signs are values of a
            decision function where they are within -1 and 1 or the column is named so; otherwise they are log-odds.

    Raises:
        SpecError: The scale is ambiguous, some scores may be missing, or they do not fit the scale that the user names.

    Examples:
        >>> scale_of(np.array([0.1, 0.9])).kind
        'probabilities'
        >>> scale_of(np.array([-2.0, 3.0])).kind
        'logits'
        >>> scale_of(np.array([10.0, 90.0]), "percent").log_odds(np.array([50.0])).tolist()
        [0.0]
    """
    require_no_missing(scores, requested, subject, column)
    least, greatest = float(np.min(scores)), float(np.max(scores))
    spread = f"{subject} are from {least:.3g} to {greatest:.3g}"
    fits = {"probabilities": least >= -_EPS and greatest <= 1 + _EPS, "percent": least >= 0 and greatest <= 100}
    if not fits.get(requested, True):
        name, greatest_possible = ("probabilities", 1) if requested == "probabilities" else ("percentages", 100)
        others = key_text("--scores", "percent or logits" if fits["percent"] else "logits")
        raise SpecError(f"{spread}, and {name} are from 0 to {greatest_possible}: give {others}, or leave it out")
    if requested == "auto" and fits["percent"] and not fits["probabilities"]:
        grades = {*np.unique(scores).tolist()} <= {*range(_MAX_GRADE + 1)}
        raise SpecError(
            f"{spread}: give {key_text('--scores', 'percent')} if they are percent, or "
            f"{key_text('--scores', 'logits')} if they are "
            f"log-odds{', or grades such as BI-RADS, whose steps count as log-odds' if grades else ''} "
            "(probabilities are from 0 to 1)"
        )
    if requested == "auto" and fits["probabilities"] and _PERCENT.search(column):
        raise SpecError(
            f"{spread}, and the name of '{column}' suggests percentages: "
            f"give {key_text('--scores', 'percent')}, or "
            f"{key_text('--scores', 'probabilities')} if they are not percentages"
        )
    has_both_signs = least < 0 < greatest
    is_decision = (
        bool(column)
        and not _LOG_ODDS.search(column)
        and ((least >= -1 and greatest <= 1) or bool(_DECISION_FUNCTION.search(column)))
    )
    kind: Kind = "logits" if has_both_signs and not is_decision else "other"
    if requested != "auto" or fits["probabilities"]:
        kind = "probabilities" if requested == "auto" else requested
    if kind in ("logits", "other"):
        if column and requested == "auto":
            from assay.stats.mixed import require_one_scale  # here, since probabilities need none of it

            require_one_scale(scores, subject)
        return Scale(kind, least, greatest)
    p = np.asarray(scores, dtype=np.float64) / (100 if kind == "percent" else 1)
    distances = (p[p > 0], 1 - p[p < 1])
    limits = (threshold, 1 - threshold)
    low_end, high_end = (float(np.min(distance, initial=end)) for distance, end in zip(distances, limits, strict=True))
    return Scale(kind, least, greatest, (low_end, high_end), (int((p <= 0).sum()), int((p >= 1).sum())))


def require_no_missing(
    scores: Float[np.ndarray, "*n"], requested: ScoreScale = "auto", subject: str = "the scores", column: str = ""
) -> None:
    """Refuse scores with codes for a missing score: -1 among probabilities, or 999 far from all others.

    Args:
        scores: All scores, finite.
        requested: The scale that the user names. Among log-odds, no number is such a code.
        subject: The scores as error messages name them.
        column: Name of their column in a table, empty for none.

    Raises:
        SpecError: The smallest or the greatest scores are such codes, and these are at most half of all.

    Examples:
        >>> try:
        ...     require_no_missing(np.array([0.2, 0.7, 0.4, 0.5, -1.0]))
        ... except SpecError as error:
        ...     print(str(error).partition(":")[0])
        1 of the scores is -1, and the others are from 0.2 to 0.7
    """
    values, counts = np.unique(np.asarray(scores, dtype=np.float64), return_counts=True)
    first, last = 0, len(values)
    while first < last and (values[first] == -1 or -values[first] in _MISSING_CODES):
        first += 1
    while last > first and values[last - 1] in _MISSING_CODES:
        last -= 1
    rest, missing = values[first:last], [*values[:first].tolist(), *values[last:].tolist()]
    number = int(counts.sum() - counts[first:last].sum())
    if requested == "logits" or len(rest) <= _FEW_DISTINCT or not 0 < number <= counts.sum() / 2:
        return
    least, greatest = float(rest[0]), float(rest[-1])
    if not any(_is_far(code, least, greatest) for code in missing):
        return
    raise SpecError(
        f"{number:,} of {subject} {'is' if number == 1 else 'are'} {' or '.join(f'{code:g}' for code in missing)}, "
        f"and the others are from {least:.3g} to {greatest:.3g}: "
        f"{'empty these cells' if column else 'leave these images out'} if no score was made, or give "
        f"{key_text('--scores', 'logits')} if every number is a score"
    )


def _is_far(code: float, least: float, greatest: float) -> bool:
    """Return whether a code is outside the range of the scores: probabilities, percent, or other numbers."""
    if least >= -_EPS and greatest <= 100:
        return code < 0 or code > (1 + _EPS if greatest <= 1 + _EPS else 100)
    return abs(code) > max(_MISSING_CODES[0], _FAR_FACTOR * max(-least, greatest))
