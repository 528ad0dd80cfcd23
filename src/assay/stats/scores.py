"""What scores are: probabilities, percent, log-odds or other numbers; and the log-odds that effects are computed on.

Scores are ranked as they are given. Log-odds keep their order and their ties.
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
from assay.core.request import AsScores

Kind = Literal["probabilities", "percent", "logits", "other"]
_PERCENT = re.compile(r"%|per_?cent|pct|prozent", re.IGNORECASE)
_DECISIONS = re.compile(
    "|".join((r"decision_?func", r"(^|_)svm(_|$)", "margin", "distance", "cosine", "similarity")), re.IGNORECASE
)
"""Names of numbers around 0 that are no log-odds."""
_LOG_ODDS = re.compile(r"logit|log_?odds", re.IGNORECASE)
_MISSING = (9.0, 99.0, 999.0, 9999.0, 99999.0)
"""Numbers that stand for a missing score, with either sign, and so does -1."""
_FEW = 3
"""Distinct scores up to which nothing is taken for a missing one."""
_FAR = 10
"""Where scores are not from 0 to 100, a missing one is so many times greater than all of them."""
_GRADES = 10
"""Whole numbers up to this may be grades."""
_OVER = 1e-6
"""Probabilities are outside 0 to 1 by so much at most, as a softmax in float32 may be."""


@dataclass(frozen=True)
class Scale:
    """What the scores of a set are.

    Attributes:
        kind: Probabilities, percent, log-odds or other numbers.
        least: The smallest score.
        greatest: The greatest score.
        ends: See `Ends`, of probabilities and percent.
        exact: How many scores are exactly 0 and exactly 1.
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
        distinct, place = np.unique(values, return_inverse=True)
        odds = log_odds_of(distinct / (100 if self.kind == "percent" else 1), self.ends, np)
        for first in np.flatnonzero(np.diff(odds) <= 0) + 1:  # rounded to a tie, or to another order
            at = int(first)
            while at < len(odds) and odds[at] <= odds[at - 1]:
                odds[at] = np.nextafter(odds[at - 1], math.inf)
                at += 1
        return odds[place].reshape(values.shape)

    def probabilities(self, scores: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"] | None:
        """Return the probabilities that the scores are, exactly 0 and 1 among them; None of other scores."""
        if self.kind not in ("probabilities", "percent"):
            return None
        return np.clip(np.asarray(scores, dtype=np.float64) / (100 if self.kind == "percent" else 1), 0.0, 1.0)


def scale_of(
    scores: Float[np.ndarray, "*n"],
    requested: AsScores = "auto",
    threshold: float = 0.5,
    of: str = "the scores",
    column: str = "",
) -> Scale:
    """Return what the scores of a set are, from all of them.

    Args:
        scores: All scores, finite.
        requested: What the user calls them.
        threshold: Probability from which an image is called positive; scores of exactly 0 and 1 stay on their side.
        of: Subject of errors.
        column: Name of their column in a table, where they have one. Scores around 0 that are within -1 and 1, or that
            are called so, are then taken for those of a decision function, and not for log-odds.

    Raises:
        SpecError: They may be percent or log-odds, some may be missing, or they are not what the user calls them.

    Examples:
        >>> scale_of(np.array([0.1, 0.9])).kind
        'probabilities'
        >>> scale_of(np.array([-2.0, 3.0])).kind
        'logits'
        >>> scale_of(np.array([10.0, 90.0]), "percent").log_odds(np.array([50.0])).tolist()
        [0.0]
    """
    require_no_missing(scores, requested, of, column)
    least, greatest = float(np.min(scores)), float(np.max(scores))
    spread = f"{of} are from {least:.3g} to {greatest:.3g}"
    inside = {"probabilities": least >= -_OVER and greatest <= 1 + _OVER, "percent": least >= 0 and greatest <= 100}
    if not inside.get(requested, True):
        name, most = ("probabilities", 1) if requested == "probabilities" else ("percentages", 100)
        others = key_text("--scores", "percent or logits" if inside["percent"] else "logits")
        raise SpecError(f"{spread}, and {name} are from 0 to {most}: give {others}, or leave it out")
    if requested == "auto" and inside["percent"] and not inside["probabilities"]:
        grades = {*np.unique(scores).tolist()} <= {*range(_GRADES + 1)}
        raise SpecError(
            f"{spread}: give {key_text('--scores', 'percent')} if they are percent, or "
            f"{key_text('--scores', 'logits')} if they are "
            f"log-odds{', or grades such as BI-RADS, whose steps count as log-odds' if grades else ''} "
            "(probabilities are from 0 to 1)"
        )
    if requested == "auto" and inside["probabilities"] and _PERCENT.search(column):
        raise SpecError(
            f"{spread}, and the name of '{column}' suggests percentages: "
            f"give {key_text('--scores', 'percent')}, or "
            f"{key_text('--scores', 'probabilities')} if they are not percentages"
        )
    around = least < 0 < greatest
    is_decision = (
        bool(column)
        and not _LOG_ODDS.search(column)
        and ((least >= -1 and greatest <= 1) or bool(_DECISIONS.search(column)))
    )
    kind: Kind = "logits" if around and not is_decision else "other"
    if requested != "auto" or inside["probabilities"]:
        kind = "probabilities" if requested == "auto" else requested
    if kind in ("logits", "other"):
        return Scale(kind, least, greatest)
    p = np.asarray(scores, dtype=np.float64) / (100 if kind == "percent" else 1)
    distances = (p[p > 0], 1 - p[p < 1])
    most = (threshold, 1 - threshold)
    near, far = (float(np.min(distance, initial=end)) for distance, end in zip(distances, most, strict=True))
    return Scale(kind, least, greatest, (near, far), (int((p <= 0).sum()), int((p >= 1).sum())))


def require_no_missing(
    scores: Float[np.ndarray, "*n"], requested: AsScores = "auto", of: str = "the scores", column: str = ""
) -> None:
    """Refuse numbers that stand for a missing score: -1 among probabilities, or 999 far from all others.

    Args:
        scores: All scores, finite.
        requested: What the user calls them; of log-odds, every number is a score.
        of: Subject of errors.
        column: Name of their column in a table, where they have one.

    Raises:
        SpecError: The least or the greatest of them are such numbers, up to half of all.

    Examples:
        >>> try:
        ...     require_no_missing(np.array([0.2, 0.7, 0.4, 0.5, -1.0]))
        ... except SpecError as error:
        ...     print(str(error).partition(":")[0])
        1 of the scores is -1, and the others are from 0.2 to 0.7
    """
    values, counts = np.unique(np.asarray(scores, dtype=np.float64), return_counts=True)
    first, last = 0, len(values)
    while first < last and (values[first] == -1 or -values[first] in _MISSING):
        first += 1
    while last > first and values[last - 1] in _MISSING:
        last -= 1
    rest, missing = values[first:last], [*values[:first].tolist(), *values[last:].tolist()]
    number = int(counts.sum() - counts[first:last].sum())
    if requested == "logits" or len(rest) <= _FEW or not 0 < number <= counts.sum() / 2:
        return
    least, greatest = float(rest[0]), float(rest[-1])
    if not any(_is_far(code, least, greatest) for code in missing):
        return
    raise SpecError(
        f"{number:,} of {of} {'is' if number == 1 else 'are'} {' or '.join(f'{code:g}' for code in missing)}, and the "
        f"others are from {least:.3g} to {greatest:.3g}: "
        f"{'empty these cells' if column else 'leave these images out'} if no score was made, or give "
        f"{key_text('--scores', 'logits')} if every number is a score"
    )


def _is_far(code: float, least: float, greatest: float) -> bool:
    """Return whether a number is outside of what the scores around it are: probabilities, percent or others."""
    if least >= -_OVER and greatest <= 100:
        return code < 0 or code > (1 + _OVER if greatest <= 1 + _OVER else 100)
    return abs(code) > max(_MISSING[0], _FAR * max(-least, greatest))
