from collections.abc import Mapping, Sequence
from typing import Any

from assay.report.sentences.reasons import reason_words
from assay.study.preflight import flatten, reasons


def words(new: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """The reasons as the command prints them."""
    return [(reason_words(reason), count) for reason, count in reasons(new, known)]


def test_the_field_that_differs_from_the_nearest_record_is_named() -> None:
    known = [
        {"recipe": {"loss": "triplet"}, "seed": 0},
        {"recipe": {"loss": "supcon"}, "seed": 0},
    ]
    new = [{"recipe": {"loss": "supcon"}, "seed": 1}, {"recipe": {"loss": "supcon"}, "seed": 1}]
    assert words(new, known) == [("seed is 1 (was 0)", 2)]


def test_first_trials_and_removed_records_are_told_apart() -> None:
    spec = {"recipe": {"loss": "supcon"}}
    assert words([spec], []) == [("nothing was trained here before", 1)]
    assert words([spec], [spec]) == [("its record was removed", 1)]


def test_values_that_appear_or_vanish_are_said() -> None:
    assert words([{"epochs": 10}], [{"seed": 1}]) == [("epochs is 10 (not set before); seed is not set (was 1)", 1)]


def test_lists_are_written_as_axes_write_them() -> None:
    new = {"schedule.milestones": [27, 30], "augmentation": [{"flip": {"vertical": 0}}, "shift"], "none": []}
    old = {"schedule.milestones": [20], "augmentation": [], "none": ["a"]}
    assert words([new], [old]) == [
        (
            "augmentation is flip(vertical=0) + shift (was none); none is none (was a); "
            "schedule.milestones is 27 + 30 (was 20)",
            1,
        )
    ]


def test_flatten_joins_keys_with_dots() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "a.c": {}, "d": [1]}
