"""Shares of the positive and the negative class, whatever the classes are called."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from assay.plugin import Component, FactorTable
from assay.shifts.sampling import marked_rows
from assay.spec.schema import InterventionSpec

ROWS = np.arange(4000)
TABLE = FactorTable(row=ROWS, target=ROWS % 3, patient=ROWS, classes=("healthy", "benign", "malignant"))


def marked(positive: float, negative: float) -> np.ndarray:
    share = {"positive": positive, "negative": negative}
    return marked_rows(
        "tag", InterventionSpec(component=Component(kind="intervention", name="tag"), share=share), None, TABLE, 7
    )


def test_the_last_class_is_the_positive_one_and_all_others_are_negative():
    found = marked(1.0, 0.0)
    assert (found == (TABLE.target == 2)).all()
    assert (marked(0.0, 1.0) == (TABLE.target != 2)).all()


def test_what_is_marked_at_a_low_dose_is_marked_at_a_higher_one():
    doses = [marked(p, 0.0) for p in (0.0, 0.1, 0.2, 0.5, 0.8, 1.0)]
    for lower, higher in pairwise(doses):
        assert not (lower & ~higher).any()
    shares = [float(dose[TABLE.target == 2].mean()) for dose in doses]
    np.testing.assert_allclose(shares, [0, 0.1, 0.2, 0.5, 0.8, 1], atol=0.03)


def test_a_dose_too_low_for_any_row_marks_none_and_a_whole_one_marks_all():
    assert not marked(1e-6, 1e-6).any()
    assert marked(1.0, 1.0).all()
