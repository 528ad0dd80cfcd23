"""Any finite scores are ranked as scikit-learn ranks them, and any order of named outputs is matched."""

# pyright: basic

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import roc_auc_score

from assay.audit.checks import match_outputs
from assay.plugin import SpecError
from assay.stats import auroc
from assay.stats.scores import scale_of

pytestmark = pytest.mark.thorough

COUNT = st.integers(4, 40)


def of_width(low: float, high: float, width: int) -> st.SearchStrategy[np.ndarray]:
    numbers = st.floats(low, high, width=width, allow_nan=False, allow_subnormal=True)  # pyright: ignore
    return COUNT.flatmap(lambda n: arrays.arrays(np.dtype(f"f{width // 8}"), n, elements=numbers))


@given(
    st.one_of(of_width(0, 1, 64), of_width(0, 1, 32), of_width(-1e300, 1e300, 64), of_width(-(2.0**90), 2.0**90, 32))
)
def test_any_scores_are_ranked_as_scikit_learn_ranks_them(scores: np.ndarray) -> None:
    target = np.arange(len(scores)) % 2
    try:
        scale = scale_of(scores)
    except SpecError:  # percent or log-odds
        scale = scale_of(scores, "percent")
    odds = scale.log_odds(scores)
    assert np.isfinite(odds).all()
    assert auroc(odds, target).value == pytest.approx(roc_auc_score(target, scores), abs=1e-12)


@given(of_width(0, 100, 64))
def test_any_per_cent_is_ranked_as_scikit_learn_ranks_it(scores: np.ndarray) -> None:
    target = np.arange(len(scores)) % 2
    odds = scale_of(scores, "percent").log_odds(scores)
    assert np.isfinite(odds).all()
    assert auroc(odds, target).value == pytest.approx(roc_auc_score(target, scores), abs=1e-12)


@given(st.permutations(["normal", "bacterial", "viral", "covid 19", "No_Finding"]), st.data())
def test_any_order_of_names_is_matched_as_numpy_does(names: list[str], data: st.DataObject) -> None:
    written = [data.draw(st.sampled_from([one, one.upper(), one.replace(" ", "_"), f" {one} "])) for one in names]
    classes = sorted(names)
    assert list(match_outputs(written, classes)) == [names.index(one) for one in classes]
