from __future__ import annotations

from typing import Any

import pytest

from assay.plugin import SpecError
from assay.spec.parse import parse_study


def test_what_no_yaml_could_hold_is_refused(study: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_study({**study, "recipe": {"loss": [{1, 2}]}})
    assert str(caught.value).startswith("recipe.loss[0] = {1, 2}\n  expected text, a number, true or false, a list or")


def test_a_mistake_in_one_value_of_an_axis_is_told_once_at_that_value(study: dict[str, Any]) -> None:
    study["recipe"] = {"loss": ["cross-entropy", {"supcon": {"temperature": [0.1, -1]}}], "epochs": [1, 2, 3]}
    with pytest.raises(SpecError) as caught:
        parse_study(study)
    assert str(caught.value) == ("recipe.loss[1].supcon.temperature[1] = -1\n  input should be greater than 0")


def test_a_mistake_that_is_inherited_is_told_where_it_is_written(study: dict[str, Any]) -> None:
    study["environments"]["train"]["association"] = {"texture": [0.5, 2], "size": 0.5}
    study["environments"]["again"] = {"like": "same"}
    with pytest.raises(SpecError) as caught:
        parse_study(study)
    assert str(caught.value) == (
        "environments.train.association.texture[1] = 2\n"
        "  expected a number from -1 to 1 (Somers' D of the factor given the target)"
    )
