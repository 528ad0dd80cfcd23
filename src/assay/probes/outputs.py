"""A model's answer as numbers that can be explained: one log-odds, or one per class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.probes.probe import Reading
from assay.shifts.environment import Environment
from assay.stats.influence import Answers
from assay.stats.metrics import class_score


def answers_of(reading: Reading, environment: Environment) -> Answers:
    """What the model says of the images of an environment, called as it calls them."""
    model = reading.model
    logits = reading.read(environment).logits
    return Answers(
        logits,
        environment.table.target,
        0.5 if model.threshold is None else model.threshold,
        middle=model.middle,
        cut=model.cut or 1,
        specific=np.tile(model.specific, (len(logits), 1)) if model.specific else None,
    )


def log_odds(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n m"]:
    """The log-odds of the positive class [n, 1] (positive minus negative logit), or with several classes of each
    against the rest [n, k].
    """
    classes = logits.shape[1]
    return np.stack([class_score(logits, label) for label in (range(classes) if classes > 2 else (1,))], axis=1)


def score_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    """What `level` says of each column of `log_odds`: nothing with two classes, else the class."""
    return classes if len(classes) > 2 else ("",)
