"""Training rows that differ along the doses are told, with the worst confounder and what makes them equal."""

from __future__ import annotations

import json

from assay.stats.dose_rows import uneven_rows
from assay.stats.verdict import verdict


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
    "training rows differ over the doses of sex: 480 at p = 0, 240 at p = 1, so that fewer rows may do what p seems "
    "to; `rows: 240` in environments.train makes them equal"
)


def test_the_worst_confounder_is_named_and_the_rows_that_all_have():
    assert uneven_rows(ROWS, "p") == TEXT


def test_equal_rows_are_no_doubt_though_confounders_differ():
    assert uneven_rows([(at("tag", "0"), 500), (at("tag", "1"), 500), (at("sex", "0"), 90)], "p") == ""
    assert uneven_rows([({"loss": "focal"}, 3), ({"loss": "supcon"}, 4)], "") == ""


def test_one_confounder_needs_no_name():
    found = uneven_rows([({"p": "0"}, 100), ({"p": "1"}, 60)], "p")
    assert found.startswith("training rows differ over the doses: 100 at p = 0, 60 at p = 1, so")


def test_it_is_a_doubt_of_the_page():
    trials = [{"recipe": "-".join(at.values()), "coordinates": json.dumps(at), "status": "done"} for at, _ in ROWS]
    environments = [
        {"environment": f"train ({'-'.join(at.values())})", "recipe": "-".join(at.values()), "images": float(rows)}
        for at, rows in ROWS
    ]
    said = verdict([], [], trials, environments, dosed="p")
    (told,) = [row for row in said if row["text"].startswith("training rows")]
    assert (told["text"], told["light"], told["evidence"]) == (TEXT, "warn", "environments")
    assert not [row for row in verdict([], [], trials, environments) if row["text"].startswith("training rows")]
