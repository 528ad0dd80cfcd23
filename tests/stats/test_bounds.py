"""Exact bounds of shares, against SciPy and statsmodels."""

# pyright: basic

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from assay.stats import bounded_share


@pytest.mark.parametrize(("hits", "images"), [(0, 7), (1, 7), (3, 7), (90, 100), (100, 100), (12, 1000)])
def test_one_image_a_patient_is_clopper_and_pearson(hits: int, images: int) -> None:
    bounded = bounded_share(np.arange(images) < hits, np.arange(images), alpha=0.025)
    exact = binomtest(hits, images).proportion_ci(0.95, method="exact")
    assert (bounded.low, bounded.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert (bounded.low, bounded.high) == pytest.approx(proportion_confint(hits, images, method="beta"), abs=1e-12)


def test_images_of_a_patient_that_agree_count_as_one() -> None:
    """Of 40 patients 12 are called, each with three images: the interval is that of 40."""
    called, patient = np.repeat(np.arange(40) < 12, 3), np.repeat(np.arange(40), 3)
    bounded = bounded_share(called, patient, alpha=0.025)
    exact = binomtest(12, 40).proportion_ci(0.95, method="exact")
    assert (bounded.low, bounded.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
