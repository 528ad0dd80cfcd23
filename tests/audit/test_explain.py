from collections.abc import Mapping, Sequence
from typing import Any

from assay.report.sentences.reasons import reason_words
from assay.study.preflight import flatten, reasons


def words(new: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """The reasons as the command prints them."""
    return [(reason_words(reason), count) for reason, count in reasons(new, known)]


def test_reasons_for_new_trials() -> None:
    known = [{"recipe": {"loss": "triplet"}, "seed": 0}, {"recipe": {"loss": "supcon"}, "seed": 0}]
    new = [{"recipe": {"loss": "supcon"}, "seed": 1}] * 2
    assert words(new, known) == [("seed is 1 (was 0)", 2)]
    assert words(new[:1], []) == [("nothing was trained here before", 1)]
    assert words(new[:1], new[:1]) == [("its record was removed", 1)]
    assert words([{"epochs": 10}], [{"seed": 1}]) == [("epochs is 10 (not set before); seed is not set (was 1)", 1)]
    lists = {"schedule.milestones": [27, 30], "augmentation": [{"flip": {"vertical": 0}}, "shift"], "none": []}
    assert words([lists], [{"schedule.milestones": [20], "augmentation": [], "none": ["a"]}]) == [
        ("augmentation is flip(vertical=0) + shift (was none); none is none (was a); "
         "schedule.milestones is 27 + 30 (was 20)", 1)
    ]  # fmt: skip
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}
