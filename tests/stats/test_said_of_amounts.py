"""What the page says of a comparison where both are equally good without a dose."""

from __future__ import annotations

import json
import math
from typing import Any

from tests.stats.sentences import DOSED, texts

EQUAL = {"level": 0.842, "a": 640.0, "b": 123.4, "clean": "clean", "trained": [50.0, 640.0]}
STARTS = {**DOSED, "axis": "initialization", "a": "random", "b": "natural", "where": '{"confounder": "tag"}'}
OPENS = (
    "Where both are equally good without a dose (AUROC 0.84 in clean: random with 640 rows, natural with about 123 "
    "rows; confounder tag), "
)


def changed(at: str, conclusion: str, **more: Any) -> dict[str, Any]:
    """A row that compares a change over the doses of `random` with that of `natural`."""
    told = json.dumps(EQUAL) if at == "matched-clean" else ""
    return {**STARTS, "id": at, "at": at, "conclusion": conclusion, "equal": told, **more}


def test_a_comparison_at_equal_performance_says_at_which_amounts() -> None:
    (said,) = texts("answer", [changed("matched-clean", "not shown")], [])
    assert said.startswith(f"{OPENS}a difference in the change in AUROC from p = 0 between initialization random and ")
    (lost,) = texts("answer", [changed("matched-clean", "undefined", equal="", value=math.nan, reason="never")], [])
    assert lost.startswith("Where both are equally good without a dose (confounder tag), the comparison of ")


def test_it_stands_beside_the_comparison_at_any_amount() -> None:
    first, second = texts("answer", [changed("dose-response", "higher"), changed("matched-clean", "not shown")], [])
    assert "1 showed a difference: over the doses (confounder tag)" in first
    assert second.startswith(f"{OPENS}the difference in the change in AUROC from p = 0 between ")
    assert second.endswith(": not shown.")


def test_what_is_shown_there_alone_is_not_told_of_any_amount() -> None:
    rows = [changed("dose-response", "not shown", p_holm=0.4), changed("matched-clean", "higher")]
    first, _ = texts("answer", rows, [])
    assert "1 showed a difference, where both are equally good without a dose alone; the nearest to it: over" in first


def test_what_was_not_matched_is_a_limit() -> None:
    alone = texts("limit", [changed("dose-response", "higher")], [])
    said = "whether a recipe keeps more or only had less to lose: performance without a dose was not matched."
    assert f"What this does not show: {said}" in alone
    both = texts("limit", [changed("dose-response", "higher"), changed("matched-clean", "higher")], [])
    assert not any("not matched" in text for text in both)


def test_an_effect_of_one_scale_names_no_two() -> None:
    own = {"measure": "logit-effect", "factor": "tag", "plain_p": math.nan, "probit_p": math.nan}
    (said,) = texts("answer", [changed("dose-response", "higher", **own)], [])
    assert "the change in effect on the logit of tag from p = 0" in said
    assert "probit" not in said
