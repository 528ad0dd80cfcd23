"""A model's answer as numbers that can be explained: one log-odds, or one per class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.stats.metrics import class_score


def log_odds(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n m"]:
    """The log-odds of the positive class [n, 1] (positive minus negative logit), or with several classes of each
    against the rest [n, k].
    """
    classes = logits.shape[1]
    return np.stack([class_score(logits, label) for label in (range(classes) if classes > 2 else (1,))], axis=1)


def score_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """What `level` says of each column of `log_odds`: nothing with two classes, else the class."""
    return classes if len(classes) > 2 else ("",)
