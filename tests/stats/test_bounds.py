"""Exact bounds of shares, against SciPy and statsmodels."""

# pyright: basic

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binomtest, t
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


def test_a_share_of_uneven_patients_is_that_of_korn_and_graubard() -> None:
    draws = np.random.default_rng(0)
    patient = np.repeat(np.arange(12), [60, *[5] * 11])
    counted = draws.random(len(patient)) < draws.random(12)[patient]
    n, share = len(patient), counted.mean()
    weights = np.array([(patient == code).mean() for code in range(12)])
    sums = np.array([(counted - share)[patient == code].sum() / n for code in range(12)])
    variance = (sums**2 / (1 - weights)).sum()
    df = 1 / (weights**2).sum() - 1
    size = (share * (1 - share) / variance + 1) * (t.ppf(0.95, n - 1) / t.ppf(0.95, df)) ** 2
    bounded = bounded_share(counted, patient)
    assert bounded.error == pytest.approx(np.sqrt(variance))
    assert bounded.low == pytest.approx(beta.ppf(0.05, share * size, (1 - share) * size + 1))
    assert bounded.high == pytest.approx(beta.ppf(0.95, share * size + 1, (1 - share) * size))
