"""What metrics take and give: scores and probabilities from logits, a value or the reason why there is none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import logsumexp, softmax


class Metric(NamedTuple):
    """A value, or NaN and the reason why there is none."""

    value: float
    reason: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a value."""
        return not self.reason


def undefined(reason: str) -> Metric:
    """No value, and why."""
    return Metric(float("nan"), reason)


# --- from logits to what the metrics take ---------------------------------------------------------------------------


def two_columns(logits: Float[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n c"]:
    """Logits with at least two columns, float64: a single sigmoid logit z becomes (0, z)."""
    wide = np.asarray(logits, dtype=np.float64)
    return np.concatenate([np.zeros_like(wide), wide], axis=-1) if wide.shape[-1] == 1 else wide


def probabilities(logits: Float[np.ndarray, "*s n k"]) -> Float[np.ndarray, "*s n c"]:
    """Class probabilities in float64, rows summing to 1."""
    return softmax(two_columns(logits), axis=-1)


def class_score(logits: Float[np.ndarray, "*s n k"], label: int = 1) -> Float[np.ndarray, "*s n"]:
    """The log-odds of one class against the rest, (-inf, inf): ranks as its probability does, and never saturates."""
    wide = two_columns(logits)
    return wide[..., label] - logsumexp(np.delete(wide, label, axis=-1), axis=-1)


def beyond(logits: Float[np.ndarray, "*s n k"], cut: int) -> Float[np.ndarray, "*s n"]:
    """The log-odds of the classes from `cut` on against those before it, (-inf, inf); `cut` is from 1 to k - 1."""
    wide = two_columns(logits)
    return logsumexp(wide[..., cut:], axis=-1) - logsumexp(wide[..., :cut], axis=-1)


def binary_fault(score: Shaped[np.ndarray, " n"], target: Shaped[np.ndarray, " n"]) -> str:
    """Why a ranking of two classes is undefined, or the empty string. Raises ValueError on shapes and codes."""
    if score.ndim != 1 or score.shape != target.shape:
        raise ValueError(f"scores have shape {score.shape} and targets {target.shape}: give one of each per image")
    if not np.isin(target, (0, 1)).all():
        raise ValueError(f"targets hold {sorted(set(target.tolist()) - {0, 1})[:5]}: a binary target is 0 or 1")
    if not len(target):
        return "no images"
    if reason := _not_finite(score):
        return reason
    missing = [name for code, name in ((1, "positive"), (0, "negative")) if not (target == code).any()]
    return f"no image of the {missing[0]} class" if missing else ""


def class_fault(logits: Shaped[np.ndarray, "n k"], target: Shaped[np.ndarray, " n"]) -> str:
    """Why a metric of class probabilities is undefined, or the empty string. Raises ValueError on shapes and codes."""
    if logits.ndim != 2 or len(logits) != len(target):
        raise ValueError(f"logits have shape {logits.shape} and targets {target.shape}: give [n, k] and [n]")
    classes = max(logits.shape[1], 2)
    if len(target) and not ((target >= 0) & (target < classes)).all():
        raise ValueError(f"targets lie in {target.min()}..{target.max()}: {classes} classes are coded 0..{classes - 1}")
    if not len(target):
        return "no images"
    return _not_finite(logits)


def check_same_shape(predicted: np.ndarray, target: np.ndarray) -> None:
    """Raises ValueError unless there is one prediction per target."""
    if predicted.shape != target.shape:
        raise ValueError(f"predictions have shape {predicted.shape} and targets {target.shape}: give one per image")


def _not_finite(values: np.ndarray) -> str:
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    bad = len(values) - int(np.count_nonzero(finite))
    return f"the model's answer is not finite for {bad} of {len(values)} images" if bad else ""
