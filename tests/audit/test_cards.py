"""The cards and the crosswalk of an audit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from tests.worlds.files import write_table

from assay.cli import main

CROSSWALK = "crosswalk.md"
DATA_CARD = "data-card.md"
MODEL_CARD = "model-card.md"


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the cards of an audit of 200 predictions that differ with the view; two of them have no view."""
    folder, draws = tmp_path_factory.mktemp("cards"), np.random.default_rng(1)
    rows: list[list[object]] = [["finding", "score", "patient", "view", "<b>age|years</b>", "code"]]
    for at in range(200):
        label, view = at % 2, at // 2 % 2
        score = 1 / (1 + np.exp(-(draws.normal() + 1.5 * label + 3 * view - 1)))
        rows.append([label, score, f"Smith{at // 2}", "" if at < 2 else ["AP", "PA"][view], 20 + at % 50, f"c{at}"])
    write_table(folder / "predictions.csv", rows)
    options = ("--target", "finding", "--score", "score", "--columns", "view,<b>age|years</b>,code")
    with pytest.raises(SystemExit, match="0"):
        main(["audit", str(folder / "predictions.csv"), *options, "--patient", "patient", "--out", str(folder / "out")])
    return {name: (folder / "out" / name).read_text() for name in (MODEL_CARD, DATA_CARD, CROSSWALK)}


def test_the_model_card_has_findings_scope_and_limits(cards: dict[str, str]) -> None:
    card = cards[MODEL_CARD]
    assert "No shortcut was found in these predictions, but scores differ with view." in card
    assert "| Scores differ with view | AUROC shift " in card
    assert "| view: AP | AUROC | 0." in card
    for heading in ("Intended use", "Scope", "Not established"):
        assert f"## {heading}\n" in card


def test_the_data_card_counts_rows_patients_classes_and_columns(cards: dict[str, str]) -> None:
    card = cards[DATA_CARD]
    assert "- images: 200\n- patients: 100\n" in card
    assert "| target | target | categorical | not finding (100), finding (100) | 0 |" in card
    assert "| view | audited | categorical | AP (98), PA (100) | 2 |" in card
    assert r"| \<b\>age\|years\</b\> | audited | continuous | 20 to 69, median 44.5 | 0 |" in card
    assert "| code | audited | categorical | 200 different values | 0 |" in card, "an identifier's values stay out"


def test_the_crosswalk_has_every_item_with_evidence_or_gap_and_decides_none(cards: dict[str, str]) -> None:
    text = cards[CROSSWALK]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    items = [row for row in rows if re.match(r"\d+$|[VIX]+\.", row[0])]
    assert [row[0] for row in items if row[0].isdigit()] == [str(at) for at in range(1, 45)]
    sections = ["V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII"]
    assert list(dict.fromkeys(row[0].partition(".")[0] for row in items if not row[0].isdigit())) == sections
    assert all(len(row) == 4 and row[3] for row in items), "each has a gap"
    assert "| 12 | handling of missing data | view: 2 images without a value | Why values are missing. |" in text
    assert "| 44 | funding and role of funders | none | The paper states it. |" in text
    assert "| X. Validation | subgroups | Columns: view and " in text
    assert not [word for word in (" met ", " met.", "fulfilled", "complies", "satisfied") if word in text]


def test_no_card_names_a_patient(cards: dict[str, str]) -> None:
    assert not [name for name, text in cards.items() if "Smith" in text]
