"""Whatever stands in a study, it is read or refused in the form that is promised; nothing else ever comes out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.plugin import SpecError
from assay.spec.parse import parse_study

WHOLE: dict[str, Any] = {
    "name": "study",
    "data": {"phantom": {"nodule": {"noise": 20}}, "size": 64, "train": 200, "core": "margin"},
    "environments": {
        "train": {
            "association": {"texture": {"strength": [0.5, 0.9], "high": ["solid"], "given": {"size": {"min": 8}}}},
            "interventions": {"tag": {"size": 0.1, "share": {"malignant": 0.5, "not malignant": 0}}},
            "where": {"texture": ["solid", "part-solid"]},
            "difficulty": {"margin": 0.8},
        },
        "same": {"like": "train"},
        "reversed": {"like": "same", "association": {"texture": -0.9}},
    },
    "recipe": {
        "loss": ["cross-entropy", {"supcon": {"temperature": [0.1, 0.2]}}],
        "epochs": [5, 10],
        "batch_size": [32, 64],
        "augmentation": {"axis": [["flip"], ["flip", {"shift": {"pixels": 2}}]]},
    },
    "grid": {"zip": [["epochs", "batch_size"]], "only": [{"loss": "cross-entropy"}]},
    "seeds": 2,
    "probes": ["performance", {"reliance": {"samples": 128}}],
    "contrasts": [{"axis": "texture", "against": 0.5, "measure": "auroc", "environment": "same", "where": {}}],
    "scales": {"quick": {"seeds": 1}},
}


def places(value: Any, keys: Any = ()) -> list[Any]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [keys, *(place for key, item in items for place in places(item, (*keys, key)))]


words = st.sampled_from(["", "train", "supcon", "a b", "5mm", "x:y"])
names = st.sampled_from(["axis", "like", "share", "min", "component", "strength", "tag", "a"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 100) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(places(WHOLE)[1:]), anything)
def test_a_study_with_anything_anywhere(place: Any, value: Any) -> None:
    study = copy.deepcopy(WHOLE)
    target: Any = study
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    try:
        parse_study(study)
    except SpecError as error:
        problems = str(error).replace("\n  ", "\f  ").split("\n")
        assert len(problems) <= 6
        assert all(problem.count("\f") <= 2 for problem in problems)


def test_the_whole_study_is_right() -> None:
    spec = parse_study(WHOLE)
    assert len(spec.points) == 2 * 1 * 2 * 2
