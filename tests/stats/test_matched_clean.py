"""Dose-response at matched clean performance: none where a small fall is only want of skill, and one where it is not.

In the made-up worlds skill is the distance of the classes on clean images, and each doubling of the rows adds the same
to it. The slow recipe needs 4 times the rows of the fast one for the same skill.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.worlds.panels import panel

from assay.report.sentences.reasons import reason_words
from assay.stats import DosePanel, SeedPredictions, TrainingSizePanel, decide, evaluate, interaction, matched_clean

ROWS = (100, 200, 400, 800)
FAST, SLOW = 12.5, 50.0
"""Rows at which a recipe has no skill."""
LOSES = -0.5
"""What is left of the skill when the confounder is turned round; robust recipes keep more."""


def recipe(number: int, without: float, left: float, patients: int = 120) -> list[TrainingSizePanel]:
    """A recipe of which p = 1 leaves this share of its skill on reversed images."""
    made: list[TrainingSizePanel] = []
    for i, rows in enumerate(ROWS):
        skill = 0.7 * math.log2(rows / without)
        clean, start, end = (
            panel(1000 * number + 10 * i + k, distance=distance, patients=patients, noise=number // 10 * 2 + min(k, 1))
            for k, distance in enumerate((skill, skill, left * skill))
        )
        made.append(TrainingSizePanel(rows, clean, [DosePanel(0, start), DosePanel(1, end)]))
    return made


def auroc(one: SeedPredictions) -> np.ndarray:
    return evaluate(one, "auroc").values


def fall(one: TrainingSizePanel) -> np.ndarray:
    return auroc(one.doses[1].panel) - auroc(one.doses[0].panel)


def test_want_of_skill_looks_like_robustness_at_equal_rows_and_not_at_matched_performance():
    slow, fast = recipe(1, SLOW, LOSES), recipe(2, FAST, LOSES)
    (at_equal_rows,) = decide([interaction(slow[1].doses, fast[1].doses, "auroc")])
    assert at_equal_rows.decision == "higher"
    matched = matched_clean(slow, fast, "auroc")
    assert abs(matched.value) < 0.05
    assert decide([matched])[0].decision == "inconclusive"


def test_true_robustness_shows_at_matched_performance():
    robust = matched_clean(recipe(1, SLOW, 0.3), recipe(2, FAST, LOSES), "auroc")
    (decision,) = decide([robust])
    assert decision.decision == "higher"
    assert robust.value > 0.1


def test_the_value_is_read_off_by_hand_between_two_amounts():
    slow, fast = recipe(1, SLOW, LOSES), recipe(2, FAST, LOSES)
    best = auroc(slow[-1].clean)  # of the one that is less able
    level = best.mean()
    j = next(j for j, amount in enumerate(fast) if auroc(amount.clean).mean() >= level)
    i = j - 1
    assert i >= 0
    clean, falls = [auroc(amount.clean) for amount in fast], [fall(amount) for amount in fast]
    share = (level - clean[i].mean()) / (clean[j].mean() - clean[i].mean())
    steepness = (falls[j].mean() - falls[i].mean()) / (clean[j].mean() - clean[i].mean())
    off = best - (1 - share) * clean[i] - share * clean[j]  # 0 on the mean over seeds
    expected = fall(slow[-1]) - (1 - share) * falls[i] - share * falls[j] - steepness * off
    found = matched_clean(slow, fast, "auroc")
    assert found.per_seed == pytest.approx(expected)
    assert found.matched_level is not None
    assert (found.matched_level.level, found.matched_level.a) == pytest.approx((level, 800))
    assert found.matched_level.b == pytest.approx((1 - share) * fast[i].n_rows + share * fast[j].n_rows)


def test_what_is_not_reached_by_both_is_told():
    slow, fast = recipe(1, 80.0, LOSES)[:2], recipe(2, 12.5, LOSES)[:2]
    found = matched_clean(slow, fast, "auroc")
    assert math.isnan(found.value)
    ends = [f"{auroc(one.clean).mean():.2f}" for one in (slow[0], slow[1], fast[0], fast[1])]
    assert reason_words(found.reason) == (
        f"no level of clean performance is reached by both: with 100 to 200 rows it is {ends[0]} to {ends[1]} and "
        f"{ends[2]} to {ends[3]}; train on fewer or more rows"
    )


@pytest.mark.slow
def test_want_of_skill_is_seldom_called_robustness_and_the_error_is_that_of_repetition():
    """30 worlds of 5 seeds in which only skill differs."""
    worlds = [(recipe(10 * i + 1, SLOW, LOSES, 60), recipe(10 * i + 2, FAST, LOSES, 60)) for i in range(1, 31)]
    found = [matched_clean(slow, fast, "auroc") for slow, fast in worlds]
    assert sum(one.p < 0.05 for one in found) <= 5  # more come in 0.3% of binomial(30, 0.05)
    spread, error = np.std([one.value for one in found]), np.mean([one.standard_error for one in found])
    assert 0.6 < spread / error < 1.4  # three Monte Carlo errors of 13% either way
