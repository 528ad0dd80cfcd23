"""Standard errors with patients as the units: images of one patient are not independent witnesses."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def patients(patient: Int[np.ndarray, "n"]) -> int:
    """How many patients there are."""
    return len(np.unique(patient))


def clustered_error(influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> float:
    """The standard error of an estimate whose error is the sum of `influence` over images.

    sqrt(P / (P - 1) x the sum over P patients of their squared influence), an image's influence being already divided
    by the number of images. With one image per patient and a mean this is s / sqrt(n). NaN under two patients.
    """
    _, code = np.unique(patient, return_inverse=True)
    count = int(code.max()) + 1 if len(code) else 0
    if count < 2:
        return float("nan")
    total = np.bincount(code, influence)
    return float(np.sqrt(count / (count - 1) * (total**2).sum()))


def mean_with_error(values: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> tuple[float, float]:
    """A mean over images and its standard error over patients (a ratio estimate: patients may differ in images)."""
    mean = float(values.mean())
    return mean, clustered_error((values - mean) / len(values), patient)
