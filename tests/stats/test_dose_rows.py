"""Training rows that differ along the doses are told, with the worst confounder and what makes them equal."""

from __future__ import annotations

import json

from tests.stats.sentences import verdict

from assay.report.sentences.reasons import reason_words
from assay.stats.doubts import uneven_rows


def at(confounder: str, p: str) -> dict[str, str]:
    return {"loss": "focal", "confounder": confounder, "p": p}


ROWS = [
    *((at("tag", p), 500) for p in ("0", "0.5", "1")),
    (at("view", "0"), 400),
    (at("view", "1"), 300),
    (at("sex", "0"), 480),
    (at("sex", "0.5"), 360),
    (at("sex", "1"), 240),
]
TEXT = (
    "the number of training rows differs between doses of sex: 480 at p = 0, 240 at p = 1, so an effect of p may come "
    "from fewer rows; `rows: 240` in environments.train makes them equal"
)


def test_the_worst_confounder_is_named_and_the_rows_that_all_have():
    assert reason_words(uneven_rows(ROWS, "p")) == TEXT


def test_equal_rows_are_no_doubt_though_confounders_differ():
    assert not uneven_rows([(at("tag", "0"), 500), (at("tag", "1"), 500), (at("sex", "0"), 90)], "p")
    assert not uneven_rows([({"loss": "focal"}, 3), ({"loss": "supcon"}, 4)], "")


def test_a_dose_of_0_that_confounders_share_is_compared_with_the_doses_of_each():
    """The training environment of p = 0 stands in the tables once, under the first recipe that has it."""
    rows = {("tag", "0"): 500, ("tag", "1"): 500, ("position_x", "1"): 320}
    doses = [(confounder, p) for confounder in ("tag", "position_x") for p in ("0", "1")]
    trials = [
        {
            "trial": p if p == "0" else f"{confounder} {p}",
            "recipe": f"{confounder} {p}",
            "status": "done",
            "coordinates": json.dumps(at(confounder, p)),
        }
        for confounder, p in doses
    ]
    environments = [
        {"environment": f"train ({confounder} {p})", "recipe": f"{confounder} {p}", "images": float(images)}
        for (confounder, p), images in rows.items()
    ]
    (told,) = [
        row["text"]
        for row in verdict([], [], trials, environments, dose_axis="p")
        if row["text"].startswith("the number of training rows")
    ]
    assert told.startswith(
        "the number of training rows differs between doses of position x: 500 at p = 0, 320 at p = 1, so"
    )
