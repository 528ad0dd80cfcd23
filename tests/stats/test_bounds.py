"""Exact bounds of shares, against SciPy and statsmodels."""

# pyright: basic

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import beta, binomtest, norm, t
from statsmodels.stats.proportion import proportion_confint

from assay.stats import bounded_share


@pytest.mark.parametrize(("hits", "images"), [(0, 7), (1, 7), (3, 7), (90, 100), (100, 100), (12, 1000)])
def test_one_image_a_patient_is_clopper_and_pearson(hits: int, images: int) -> None:
    bounded = bounded_share(np.arange(images) < hits, np.arange(images), alpha=0.025)
    exact = binomtest(hits, images).proportion_ci(0.95, method="exact")
    assert (bounded.low, bounded.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert (bounded.low, bounded.high) == pytest.approx(proportion_confint(hits, images, method="beta"), abs=1e-12)


def test_images_of_a_patient_that_agree_count_as_one() -> None:
    """Of 40 patients 12 are called, each with three images: the size is 40 times a factor of Student's t."""
    called, patient = np.repeat(np.arange(40) < 12, 3), np.repeat(np.arange(40), 3)
    bounded = bounded_share(called, patient, alpha=0.025)
    size = 40 * (t.ppf(0.975, 119) / t.ppf(0.975, 39)) ** 2
    exact = beta.ppf(0.025, 0.3 * size, 0.7 * size + 1), beta.ppf(0.975, 0.3 * size + 1, 0.7 * size)
    assert (bounded.low, bounded.high) == pytest.approx(exact, abs=1e-12)


def skewed_factor(counted: np.ndarray, patient: np.ndarray, size: float) -> tuple[float, float]:
    """Return the factors of the size for the lower and the upper bound, pair by pair and patient by patient."""
    n, share, z = len(patient), counted.mean(), norm.ppf(0.95)
    rows = [(counted[patient == code] - share) / n for code in np.unique(patient)]
    sizes = np.array([len(of_patient) for of_patient in rows])
    sums = np.array([of_patient.sum() for of_patient in rows]) / np.sqrt(1 - sizes / n)
    variance = (sums**2).sum()
    skewness = (sums**3).sum() / variance**1.5
    beyond = np.sign(skewness) * np.sqrt(max(0, skewness**2 - (sizes**6).sum() / (sizes**2).sum() ** 3))
    products = [np.mean([a * b for a, b in permutations(of_patient, 2)]) for of_patient in rows if len(of_patient) > 1]
    shared = max(0, np.average(products, weights=sizes[sizes > 1])) if products else 0
    pairs = (sizes * (sizes - 1)).sum()
    by_correlation = (sum((part**2).sum() for part in rows) + shared * pairs) / (1 - (sizes**2).sum() / n**2)
    widening = np.sqrt(max(1, by_correlation / variance))

    def quantile(g: float) -> float:
        a = max(0, g) / 6
        return z + a * (1 + 2 * z**2) + 4 * a**2 * (z + 2 * z**3)

    exact = (1 - 2 * share) * widening / np.sqrt(size * share * (1 - share))
    low, high = (
        min(1, quantile(side * exact) / quantile(side * beyond) / (widening if side * skewness > 0 else 1)) ** 2
        for side in (-1, 1)
    )
    return low, high


@pytest.mark.parametrize("sizes", [[60, *[5] * 11], [30, 20, 12, 9, 7, 5, 4, 3, 2, 2, 1, 1], [4] * 12])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_share_of_uneven_patients_is_that_of_korn_and_graubard_and_skewed(sizes: list[int], rate: float) -> None:
    draws = np.random.default_rng(0)
    patient = np.repeat(np.arange(12), sizes)
    counted = draws.random(len(patient)) < (draws.random(12) + 0.3 < rate * 1.3)[patient] * 0.8 + 0.1
    n, share = len(patient), counted.mean()
    weights = np.array([(patient == code).mean() for code in range(12)])
    sums = np.array([(counted - share)[patient == code].sum() / n for code in range(12)])
    variance = (sums**2 / (1 - weights)).sum()
    df = 1 / (weights**2).sum() - 1
    size = min(n, share * (1 - share) / variance + 1) * (t.ppf(0.95, n - 1) / t.ppf(0.95, df)) ** 2
    below, above = (size * factor for factor in skewed_factor(counted, patient, float(size)))
    bounded = bounded_share(counted, patient)
    assert bounded.error == pytest.approx(np.sqrt(variance))
    assert bounded.low == pytest.approx(beta.ppf(0.05, share * below, (1 - share) * below + 1))
    assert bounded.high == pytest.approx(beta.ppf(0.95, share * above + 1, (1 - share) * above))
