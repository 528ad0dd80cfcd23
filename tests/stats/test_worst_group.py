"""The sentence that leads an answer where the worst group of a recipe fell to chance."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import ESTIMATES, SAME, contrast, estimate, texts

from assay.core.measures import WORST_GROUP
from assay.core.reasons import Code, because, stated
from assay.report.sentences.findings import sentence
from assay.stats.answers import at_chance_in_worst_group

IN_VIEW = because(Code.WORST_GROUP_PLACE, factor="view", level="AP", target="")
IN_SITE = stated("fewer seeds") + because(Code.WORST_GROUP_PLACE, factor="site", level="C", target="")


def worst(loss: str, value: float, half: float, environment: str = "same", **changes: Any) -> dict[str, Any]:
    row = estimate(loss, "auroc", value, half, environment)
    return {**row, "group": WORST_GROUP, "chance": 0.5, "reason": str(IN_VIEW), **changes}


def test_a_worst_group_at_chance_leads_the_answer(snapshot: SnapshotAssertion) -> None:
    rows = [*SAME, *ESTIMATES, worst("arcface", 0.52, 0.08), worst("cross-entropy", 0.9, 0.05)]
    answer = texts("answer", [contrast()], rows)
    assert answer[0] == snapshot
    assert answer[1:] == texts("answer", [contrast()], [*SAME, *ESTIMATES])


def test_it_leads_where_nothing_was_compared_too(snapshot: SnapshotAssertion) -> None:
    assert texts("answer", [], [*SAME, worst("arcface", 0.52, 0.08)])[0] == snapshot


def test_of_several_the_lowest_is_told_and_the_others_are_counted(snapshot: SnapshotAssertion) -> None:
    rows = [*SAME, worst("arcface", 0.5, 0.08), worst("cross-entropy", 0.3, 0.1, reason=str(IN_SITE))]
    (said,) = at_chance_in_worst_group(rows)
    assert sentence(said) == snapshot


@pytest.mark.parametrize(
    "rows",
    [
        [worst("arcface", 0.7, 0.1)],  # clear of chance
        [worst("arcface", 0.6, 0.38)],  # too small to tell
        [worst("arcface", 0.52, float("nan"))],  # too few seeds
        [{**worst("arcface", 0.52, 0.08), "measure": "accuracy"}],  # whose chance is not 0.50
    ],
)
def test_no_other_group_is_told(rows: list[dict[str, Any]]) -> None:
    assert at_chance_in_worst_group([*SAME, *rows]) == []


def test_a_recipe_that_is_at_chance_over_all_images_has_not_fallen() -> None:
    assert at_chance_in_worst_group([*ESTIMATES, worst("arcface", 0.3, 0.05, "reversed")]) == []
