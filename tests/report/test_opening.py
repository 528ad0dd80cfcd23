"""The first screen: a verdict without numbers, chips, an account of the study and one line per primary comparison."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.report.reading import page_of
from tests.worlds.tables import Made

from assay.report.opening import relation
from assay.report.sentences.findings import verdict
from assay.stats.findings import Comparison, Fall, Family, Finding, Held, Kind, Reliance, Relied, Value

FALL = Fall(
    Held(axis="loss"),
    "same",
    (Value("supcon", 0.9, 0.88, 0.92), Value("triplet", 0.91, 0.9, 0.93)),
    (Value("supcon", 0.3, 0.25, 0.35), Value("triplet", 0.4, 0.3, 0.45)),
    0.55,
    0.5,
    3,
    (),
    (),
    False,
)
FELL = Finding(Kind.FALL, "answer", measure="auroc", environment="reversed", details=FALL)
RELIED = Finding(
    Kind.RELIANCE,
    "answer",
    details=Reliance(
        Held(axis="loss"),
        tuple(Relied(name, "most", ("texture",), (), ("texture", "margin"), ()) for name in ("supcon", "triplet")),
    ),
)


def primary(decision: str, **more: Any) -> Finding:
    row: dict[str, Any] = {
        "axis": "loss", "a": "supcon", "b": "triplet", "at": "equal-budget", "doses": "", "measure": "auroc",
        "environment": "reversed", "factor": "", "decision": decision, "decision_p": 0.01, "margin": 0.05,
    }  # fmt: skip
    return Finding(Kind.PRIMARY, "answer", details=Comparison(row | more))


CONTROL = Finding(Kind.CONTROL, "answer", light="bad", details=Comparison({"decision": "undetected"}))
UNDECIDED = Finding(
    Kind.FAMILY,
    "answer",
    details=Family("loss", 3, "triplet", 0, 0, 0, 0, (), "nearest", Comparison({"conclusion": "inconclusive"})),
)


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        (
            [RELIED, FELL, primary("inconclusive"), primary("inconclusive")],
            "Every loss relied most on texture, and AUROC fell below chance in reversed; every primary comparison is "
            "inconclusive.",
        ),
        ([primary("equivalent")], "Supcon and triplet were equivalent in AUROC in reversed within the margin."),
        (
            [FELL, primary("higher-small"), primary("lower", decision_p=0.5), primary("inconclusive")],
            "With every loss, AUROC fell below chance in reversed; supcon had a higher AUROC in reversed than triplet, "
            "but by less than the margin; of the other two primary comparisons, one showed a difference and one is "
            "inconclusive.",
        ),
        (
            [primary("higher", at="dose-response")],
            "The change in AUROC in reversed was higher with supcon than with triplet.",
        ),
        ([CONTROL, RELIED, primary("inconclusive")],
         "Every loss relied most on texture; no difference is claimed, since a control failed."),
        ([primary("inconclusive", conclusion="undefined")],
         "Supcon and triplet could not be compared in AUROC in reversed."),
        ([primary("inconclusive", conclusion="undefined")] * 2, "No primary comparison has a result."),
        ([UNDECIDED], "No comparison of loss showed a difference."),
        ([replace(FELL, details=replace(FALL, overlapping=("supcon",))), UNDECIDED],
         "No comparison of loss showed a difference."),
        ([replace(FELL, details=replace(FALL, chance=math.nan))], "With every loss, AUROC fell in reversed."),
        ([], ""),
    ],
)  # fmt: skip
def test_the_verdict_is_one_sentence_without_numbers(findings: list[Finding], expected: str) -> None:
    found = verdict(findings)
    assert found == expected
    assert not re.search(r"\d", found)
    assert found.count(".") == (1 if found else 0)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(tmp_path_factory.mktemp("opening"), Made(budgets=("10",), seeds=3))


def opened(page: str) -> str:
    """The first screen of a page."""
    return page[page.index('<div class="first">') : page.index("<nav")]


def test_the_first_screen_has_question_verdict_chips_account_pictures_and_one_chart(page: str) -> None:
    first = opened(page)
    order = ['class="question"', "<h1>", 'class="chips"', "What was done", 'class="small"', "<svg"]
    places = [first.index(part) for part in order]
    assert places == sorted(places)
    assert len(re.findall(r'<figure id="figure-', first)) == 1
    assert re.search(r"<p>\d+ networks \(\d+ losses, 3 seeds\) were trained to predict &#34;\w+&#34; from ", first)


def test_no_figure_is_shown_twice(page: str) -> None:
    titles = re.findall(r'<figure id="figure-([^"]+)"', page)
    assert len(titles) == len(set(titles))


def test_a_quick_look_says_so_first_and_the_smallest_difference_that_it_could_detect(tmp_path: Path) -> None:
    made = Made(budgets=("10",), seeds=3, pictures=False)
    first = opened(page_of(tmp_path / "study-quick", made))
    chips = re.findall(r"</span> ([^<]+)</li>", first)
    assert chips[0] == "quick look: this run could reliably detect only AUROC differences of 0.11 or more"


@pytest.mark.parametrize(
    ("value", "training", "expected"),
    [
        (0.0, 0.9, "uninformative"),
        (-0.9, 0.9, "reversed"),
        (0.85, 0.9, "as in training"),
        (0.5, 0.9, "weaker"),
        (0.9, 0.3, "stronger"),
    ],
)
def test_an_association_is_put_in_words_against_that_of_training(value: float, training: float, expected: str) -> None:
    assert relation(value, training) == expected
