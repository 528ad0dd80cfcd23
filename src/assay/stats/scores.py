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
        SpecError: They may be percent or log-odds, or are not what the user calls them.

    Examples:
        >>> scale_of(np.array([0.1, 0.9])).kind
        'probabilities'
        >>> scale_of(np.array([-2.0, 3.0])).kind
        'logits'
        >>> scale_of(np.array([10.0, 90.0]), "percent").log_odds(np.array([50.0])).tolist()
        [0.0]
    """
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
