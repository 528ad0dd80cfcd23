"""What the page says of a comparison matched on performance at p = 0."""

from __future__ import annotations

import json
import math
from typing import Any

from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import DOSED, texts

EQUAL = {"level": 0.842, "a": 640.0, "b": 123.4, "clean": "clean", "trained": [50.0, 640.0]}
STARTS = {**DOSED, "axis": "initialization", "a": "random", "b": "natural", "where": '{"confounder": "tag"}'}
OPENS = (
    "Matched on performance at p = 0 (AUROC 0.84 in clean: random with 640 rows, natural with about 123 "
    "rows; confounder tag), "
)


def changed(at: str, conclusion: str, **more: Any) -> dict[str, Any]:
    """A row that compares a change over the doses of `random` with that of `natural`."""
    told = json.dumps(EQUAL) if at == "matched-clean" else ""
    return {**STARTS, "id": at, "at": at, "conclusion": conclusion, "equal": told, **more}


def test_a_comparison_at_equal_performance_says_at_which_amounts(snapshot: SnapshotAssertion) -> None:
    (said,) = texts("answer", [changed("matched-clean", "inconclusive")], [])
    assert said == snapshot
    (lost,) = texts("answer", [changed("matched-clean", "undefined", equal="", value=math.nan, reason="never")], [])
    assert lost == snapshot


def test_it_stands_beside_the_comparison_at_any_amount(snapshot: SnapshotAssertion) -> None:
    first, second = texts("answer", [changed("dose-response", "higher"), changed("matched-clean", "inconclusive")], [])
    assert "1 showed a difference: over the doses (confounder tag)" in first
    assert second == snapshot
    assert second.endswith(": inconclusive.")


def test_what_is_shown_there_alone_is_not_told_of_any_amount() -> None:
    rows = [changed("dose-response", "inconclusive", p_holm=0.4), changed("matched-clean", "higher")]
    first, _ = texts("answer", rows, [])
    assert "1 showed a difference, matched on performance at p = 0 alone. The closest to one: over" in first


def test_what_was_not_matched_is_a_limit(snapshot: SnapshotAssertion) -> None:
    alone = texts("limit", [changed("dose-response", "higher")], [])
    assert alone == snapshot
    both = texts("limit", [changed("dose-response", "higher"), changed("matched-clean", "higher")], [])
    assert not any("not matched" in text for text in both)


def test_an_effect_of_one_scale_names_no_two(snapshot: SnapshotAssertion) -> None:
    own = {"measure": "logit-effect", "factor": "tag", "plain_p": math.nan, "probit_p": math.nan}
    (said,) = texts("answer", [changed("dose-response", "higher", **own)], [])
    assert said == snapshot
    assert "probit" not in said
