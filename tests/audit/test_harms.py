"""Findings of an audit are ranked by harm, and the worst of each kind is on the first screen."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from tests.audit.test_words import REGION, distorted, row, tables

from assay.audit.harm_words import (
    answer_words,
    audit_tiles,
    finding_rows,
    further_words,
    harm_lines,
    notes_words,
)
from assay.audit.harms import harms_of

MOST = 8

Row = dict[str, Any]


def relied(name: str, at_least: float) -> Row:
    sizes = {"at_least": at_least, "at_most": at_least + 0.1, "flips": 0.9, "images": 86}
    return row(name, "objects", "relies-on") | {"g": at_least + 0.05, **sizes}


def measured(column: str, level: str, measure: str, value: float, half: float = 0.05) -> Row:
    return {
        "column": column,
        "level": level,
        "measure": measure,
        "value": value,
        "low": value - half,
        "high": value + half,
        "images": 400,
    }


def gap(column: str, value: float, measure: str = "auroc", half: float = 0.1) -> Row:
    decision = "beyond" if abs(value) - half >= 0.05 else "inconclusive"
    return {**measured(column, "", measure, value, half), "a": "A", "b": "B", "decision": decision}


WHOLE = [measured("", "all", "auroc", 0.8), measured("", "all", "sensitivity", 0.11, 0.04),
         measured("", "all", "specificity", 0.99, 0.01)]  # fmt: skip
CUE = {"recipe": "", "environment": "", "name": "brightness", "kind": "image", "of": "yes", "network": 0.75,
       "cue": 0.74, "value": 0.51, "low": 0.45, "high": 0.6, "rest": 0.5, "images": 400}  # fmt: skip
NOISE, DARK = distorted("xray-noise", 1, 0.25), distorted("xray-under-exposure", 1, 0.31)
AUDITS: dict[str, tuple[dict[str, list[Row]], list[str]]] = {
    "shortcut": (tables(relied("tag", 0.4), distorted=[NOISE, DARK], groups=WHOLE),
                 ["Relies on tag", "X-ray under-exposure", "X-ray noise", "Sensitivity at"]),
    "two shortcuts": (tables(relied("tag", 0.2), relied("pen", 0.4)), ["Relies on pen", "Relies on tag"]),
    "shortcut of a region": (tables(row("pen", "lines"), regions=[REGION | {"verdict": "relies-on-region"}],
                                    distorted=[NOISE]),
                             ["Depends on a bright mark", "X-ray noise", "Affected by pen"]),
    "no limit": (tables(relied("tag", 0.4), regions=[REGION | {"verdict": "unverified"}]),
                 ["Relies on tag", "A bright mark"]),
    "cue": (tables(row("tag", "objects"), added=[CUE | {"verdict": "not-shown"}], distorted=[NOISE]),
            ["Not shown to be better than the image's brightness", "X-ray noise", "Affected by tag"]),
    "worse than a cue": (tables(row("tag", "objects"), added=[CUE | {"verdict": "below"}]),
                         ["Worse than the image's brightness", "Affected by tag"]),
    "group": (tables(gaps=[gap("sex", 0.2), gap("view", -0.3), gap("age", 0.1)]),
              ["View A against B", "Sex B against A"]),
    "group by calls": (tables(gaps=[gap("sex", 0.3, "sensitivity"), gap("view", -0.2)]),
                       ["View A against B", "Sex B against A"]),
    "misread": (tables(relied("tag", 0.4), checks=[
                    {"check": "scaling", "status": "warn", "value": 0.79, "measure": "AUROC",
                     "text": "the AUROC is 0.2 as given"}]),
                ["Another reading gives a higher AUROC", "Relies on tag"]),
    "leak": (tables(relied("tag", 0.4), groups=WHOLE, checks=[
                 {"check": "training-copies", "status": "warn", "value": 20.0, "text": "copies"}]),
             ["Copies of training images", "Relies on tag", "Sensitivity at"]),
    "few copies": (tables(relied("tag", 0.4), groups=WHOLE, checks=[
                       {"check": "training-copies", "status": "warn", "value": 2.0, "text": "copies"}]),
                   ["Relies on tag", "Sensitivity at", "Copies of training images"]),
    "column": (tables(row("view", "", "answers-differ-with") | {"at_least": 0.2, "at_most": 0.4, "images": 400},
                      distorted=[NOISE]), ["Scores differ with view", "X-ray noise"]),
    "inconclusive mark": (tables(row("flatter", "tone", "inconclusive") | {
                              "loss": 0.21, "loss_low": 0.12, "loss_high": 0.29, "dice": math.nan}),
                          ["Lower contrast"]),
}  # fmt: skip


@pytest.mark.parametrize("name", AUDITS)
def test_the_worst_distortion_group_and_cue_are_on_the_first_screen_in_order(name: str) -> None:
    found, expected = AUDITS[name]
    harms = harms_of(found)
    lines = [line.decision for line in harm_lines(found, harms, 0.05)]
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines
    assert [row["name"] for row in finding_rows(found)] == [line.removesuffix(":") for line in lines]
    said = " ".join(answer_words(found))
    for harm in harms:  # each kind is in a sentence too
        value = found[harm.table][harm.row]
        named = {
            "distortion": f"{harm.lost:.2f}",
            "group": "lower in",
            "threshold": "finds 11% of the positive",
            "cue": "brightness",
        }.get(harm.kind, "")
        assert named in said, (value, said)


@pytest.mark.parametrize("seed", range(10))
def test_the_worst_of_each_kind_of_any_audit_is_on_its_first_screen(seed: int) -> None:
    """Worst is found here from the tables alone: the largest lower bound of what is lost."""
    draw = random.Random(seed)
    distortions = [distorted(f"distortion-{at}", draw.randint(1, 5), draw.uniform(0.1, 0.4)) for at in range(5)]
    gaps = [gap(f"column-{at}", draw.choice((-1, 1)) * draw.uniform(0.16, 0.4)) for at in range(5)]
    groups = [
        *WHOLE,
        *(
            measured(row["column"], level, "auroc", 0.8 + (row["value"] if level == "A" else 0))
            for row in gaps
            for level in "AB"
        ),
    ]
    marks = [relied(f"mark-{at}", draw.uniform(0.1, 0.4)) for at in range(draw.randint(0, 3))]
    cues = [CUE | {"verdict": "not-shown", "name": f"cue-{draw.randint(0, 9)}"}] * draw.randint(0, 1)
    found = tables(*marks, distorted=distortions, gaps=gaps, groups=groups, added=cues)
    harms = harms_of(found)
    title, *more = answer_words(found)
    tiles = audit_tiles(found, {"threshold": "0.5"}, harms)
    lines = [line.decision for line in harm_lines(found, harms, 0.05)][:MOST]
    screen = " ".join([title, *more[:3], *lines, *(tile.of for tile in tiles[:4]), further_words(found, harms)]).lower()
    worst: list[str] = [
        max(distortions, key=lambda row: row["loss_low"])["factor"],
        max(gaps, key=lambda row: abs(row["value"]))["column"],
        *(max(marks, key=lambda row: row["at_least"])["factor"] for _ in marks[:1]),
        *(row["name"] for row in cues),
    ]
    assert [name for name in worst if name.replace("-", " ") not in screen.replace("-", " ")] == []


def test_a_gap_names_the_worse_group_first() -> None:
    for measure in ("auroc", "sensitivity"):
        for value, pair in ((0.41, "B against A"), (-0.41, "A against B")):
            (found,) = finding_rows(tables(gaps=[gap("site", value, measure)]))
            lower = f"{'AUROC' if measure == 'auroc' else measure} lower by 0.41 [0.31, 0.51]"
            assert (found["name"], found["numbers"]) == (f"Site {pair}", lower)


def test_a_family_of_distortions_counts_at_the_mildest_severity_that_does_harm() -> None:
    rows = [distorted("blur", 1, 0.02), distorted("blur", 3, 0.2), distorted("blur", 5, 0.5),
            distorted("noise", 1, 0.16), distorted("jpeg", 5, 0.1), distorted("grid", 1, -0.2)]  # fmt: skip
    harms = harms_of(tables(distorted=rows))
    assert [rows[harm.row]["factor"] for harm in harms] == ["blur", "noise"]
    assert harms[0].lost == 0.2


def test_the_order_of_the_findings_is_stated() -> None:
    def cost(loss: float) -> Row:
        return {"loss": loss, "loss_low": loss - 0.1, "loss_high": loss + 0.1}

    rows = [row("pacemaker", "objects") | {"g": 0.49} | cost(0.22),
            row("flatter", "tone", "affected-without-direction") | {"g": -0.05} | cost(0.21),
            row("view", "", "inconclusive") | {"g": -0.06}, row("blank", "objects", "not-tested") | {"g": math.nan},
            relied("tag", 0.4)]  # fmt: skip
    ordered = harms_of(tables(*rows))
    assert [rows[harm.row]["factor"] for harm in ordered] == ["tag", "flatter", "pacemaker"]
    assert notes_words(tables(*rows), ordered).startswith(
        "Order: shortcuts, then losses (changed images, groups, threshold), then others; within a kind by the lower "
        "bound of AUROC lost or shifted. Brackets are 90% intervals (each end is a 95% bound)."
    )
    assert notes_words(tables(*rows), ordered).endswith(
        " AUROC lost: the mark is on all images. AUROC shift: it is on images of one class only."
    )
    noisy = tables(*(row | {"limit": 0.3} for row in rows), distorted=[NOISE])
    legend = notes_words(noisy, harms_of(noisy))
    assert " Limit: the largest shift in reference networks, which never saw the mark; beyond it a " in legend
    assert legend.endswith(" Severity: the mildest that costs more than 0.05.")
    wide = noisy | {"provenance": [{"key": "margin", "value": "0.015"}]}
    assert notes_words(wide, harms_of(wide)).endswith(" Severity: the mildest that costs more than 0.015.")
    brackets = "Brackets are 90% intervals (each end is a 95% bound)."
    assert notes_words(tables(rows[0]), harms_of(tables(rows[0]))) == brackets


def test_more_than_a_screen_of_findings_are_named_where_they_cost_much() -> None:
    rows = [relied(f"mark{at}", 0.3 + at / 100) for at in range(MOST)]
    many = tables(*rows, distorted=[NOISE, distorted("blur", 1, 0.09, 0.01)])
    assert further_words(many, harms_of(many)) == (
        "2 more findings, of which 1 costs 0.1 or more: X-ray noise, severity 1 of 5."
    )
    assert "X-ray noise" in " ".join(answer_words(many))


def test_tiles_show_performance_the_shortcut_the_worst_distortion_and_the_threshold_or_group() -> None:
    mark = relied("tag", 0.4) | {"flips_low": 0.87, "flips_high": 0.97}
    groups = [*WHOLE, measured("view", "AP", "auroc", 0.7), measured("view", "PA", "auroc", 0.9)]
    found = tables(mark, distorted=[NOISE, DARK], groups=groups)
    tiles = audit_tiles(found, {"threshold": "0.5", "intervals over": "images"}, harms_of(found))
    assert [(tile.name, tile.value, tile.light) for tile in tiles] == [
        ("AUROC on these images", "0.80", ""),
        ("Predictions changed by adding the tag", "90%", "bad"),
        ("AUROC lost, mild X-ray under-exposure", "0.31", "warn"),
        ("Sensitivity at the threshold", "0.11", "warn"),
        ("Worst group", "0.70", ""),
    ]
