"""What the page tells of starts and mitigations, and what a start bought beside what the doses took."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import DOSED, evidence_of, page_of, words_of
from tests.worlds.tables import Made

from assay.report.layout import Evidence
from assay.report.sections.doses import bought, changes_in, lowered
from assay.report.sections.performance import starts
from assay.stats.format import with_interval
from assay.store.files import Row


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence_of(tmp_path_factory.mktemp("dosed"), DOSED)


def test_clean_performance_is_shown_with_the_change_over_the_doses(
    evidence: Evidence, snapshot: SnapshotAssertion
) -> None:
    figure = bought(evidence)
    assert figure is not None
    assert figure.title == lowered("AUROC", "reversed", changes_in(evidence, "reversed")[0]) != ""
    assert figure.alternative == snapshot
    *before, tag, low_pass = scales(figure.wide)
    assert tag == low_pass not in before


def test_what_confounders_share_at_p_0_is_drawn_once_and_what_they_do_not_for_each(evidence: Evidence) -> None:
    """As found, tests with either confounder differ at p = 0 too; with none in them they are one and the same."""
    apart, shared = bought(evidence), bought(alike_at_0(evidence))
    assert apart is not None
    assert shared is not None
    for name in ("tag", "low-pass"):
        (row,) = (row for row in evidence.tables.estimates if at_0(row, name) and row["recipe"].startswith("supcon"))
        values = apart.alternative.partition(f"{name}: AUROC in reversed at p = 0: ")[2].partition(": ")[0]
        assert f"supcon {with_interval(row['value'], row['low'], row['high'])}." in values
    assert shared.alternative.count("AUROC in reversed at p = 0: ") == 1
    assert "tag: AUROC" not in shared.alternative


def at_0(row: Row, confounder: str) -> bool:
    at = json.loads(row["coordinates"])
    place = (row["measure"], row["environment"], row["group"], at["confounder"], at["p"])
    return place == ("auroc", "reversed", "", confounder, "0")


def alike_at_0(evidence: Evidence) -> Evidence:
    """With the estimates of the tag at p = 0 in those of the other confounder."""
    tagged = {json.loads(row["coordinates"])["loss"]: row for row in evidence.tables.estimates if at_0(row, "tag")}
    keys = ("value", "low", "high")
    made = [
        {**row, **{key: tagged[json.loads(row["coordinates"])["loss"]][key] for key in keys}}
        if at_0(row, "low-pass")
        else row
        for row in evidence.tables.estimates
    ]
    return Evidence(replace(evidence.tables, estimates=made), evidence.outline)


def scales(drawing: str) -> list[tuple[str, ...]]:
    """The ticks of every panel: they follow its title, which is bold and may have several lines."""
    parts = drawing.split('font-weight="600"')[1:]
    ticks = [re.findall(r'text-anchor="middle" fill="var\(--soft\)">(-?\d?\.?\d*)<', part) for part in parts]
    return [tuple(found) for found in ticks if found]


def test_only_seeds_that_were_kept_are_dots(evidence: Evidence) -> None:
    figure = bought(evidence)
    assert figure is not None
    assert len(re.findall(r"cross-entropy, seed \d", figure.wide)) == 2 * 5 + 2 * 3


def test_without_doses_there_is_no_such_figure(tmp_path: Path) -> None:
    assert bought(evidence_of(tmp_path, Made(losses=("cross-entropy", "supcon"), pictures=False))) is None


def test_every_start_is_told_with_its_file_its_scaling_and_what_it_was_trained_on(tmp_path: Path) -> None:
    table = words_of(page_of(tmp_path, DOSED), "starts")
    for said in ("net.pt", "SHA-256 0123456789ab)", "2 x - 1", "phantom natural, target kind, 64 px", "4,000", "1,250",
                 "0.91 [0.85, 0.95]", "the architecture's own random weights"):  # fmt: skip
        assert said in table


def test_random_starts_alone_need_no_table(evidence: Evidence) -> None:
    assert starts(replace(evidence.tables, starts=evidence.tables.starts[:1])) is None


def test_mitigations_are_told_with_the_labels_that_they_used(tmp_path: Path) -> None:
    made = Made(
        losses=("cross-entropy",),
        budgets=("10",),
        environments=("same", "reversed"),
        probes=("performance",),
        contrasts=False,
        pictures=False,
        more=(("mitigation", ("none", "group-dro", "just-train-twice")),),
    )
    table = words_of(page_of(tmp_path, made), "mitigations")
    for head in ("labels used", "worst group: accuracy", "AUROC in same", "AUROC in rev"):
        assert head in table
    row = re.sub(r"\|+", "|", table[table.index("|group-dro|") : table.index("|just-train-twice|")])
    assert row.split("|")[2] == "train: of tag, training rows; select: of tag, validation rows"
    assert len(re.findall(r"\d \[", row)) == 3


def test_plain_studies_have_no_table_of_mitigations(tmp_path: Path) -> None:
    assert 'id="mitigations"' not in page_of(tmp_path, DOSED)
