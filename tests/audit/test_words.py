"""Sentences of audits name families of marks by the most harmful one."""

from __future__ import annotations

import math
from typing import Any

from assay.audit.battery import marks_of
from assay.audit.cards import Audited
from assay.audit.search.words import region_evidence, region_title
from assay.audit.words import answer_words, done, headline, stated, verdict_line, worst_group
from assay.core.reasons import Code, because
from assay.core.registry import entries


def row(factor: str, family: str, verdict: str = "affected-by") -> dict[str, Any]:
    kind = "mark" if family else "column"
    return {"factor": factor, "kind": kind, "family": family, "verdict": verdict, "g": 0.2}


def test_kin_are_reported_as_a_family_led_by_the_most_harmful() -> None:
    rows = [row("tag", "objects"), row("low-pass", "detail"), row("chest-drain", "objects"), row("view", ""),
            row("jpeg", "detail", "inconclusive")]  # fmt: skip
    assert " ".join(headline(rows)) == (
        "This model's answers change with tag (and marks like it), low pass and view. One more is inconclusive."
    )
    rows[0]["verdict"] = "relies-on"
    assert " ".join(headline(rows)) == (
        "This model relies on tag (and marks like it). Its answers also change with low pass and view. One more is "
        "inconclusive."
    )
    assert headline([rows[0]]) == ["This model relies on tag."]
    sized = [rows[0] | {"flips": 0.94}, row("drain", "lines", "relies-on") | {"g": 0.1}]
    assert headline(sized[:1]) == ["This model relies on tag: when it is put on, 94 of 100 answers change."]
    assert headline([sized[0] | {"flips": 0.0}]) == ["This model relies on tag."], "no call at this threshold changes"
    assert headline(sized) == ["This model relies on tag and drain: when tag is put on, 94 of 100 answers change."]
    assert headline([rows[-1], rows[-1] | {"factor": "blur"}])[-1] == "Two tested factors are inconclusive."


def test_marks_that_move_answers_in_opposite_directions_are_no_family() -> None:
    rows = [row("scope-inset", "objects") | {"g": -0.5}, row("text-line", "objects"), row("tag", "objects")]
    assert headline(rows) == ["This model's answers change with scope inset and text line (and marks like it)."]
    rows[1]["verdict"] = "affected-without-direction"
    assert headline(rows[:2]) == ["This model's answers change with scope inset (and marks like it)."]


def test_a_column_with_a_large_swing_is_named_before_marks_with_a_small_one() -> None:
    undirected = row("flatter", "tone", "affected-without-direction") | {"g": 0.4}
    rows = [row("tag", "objects", "relies-on"), row("jpeg", "detail") | {"g": 0.1}, undirected]
    view = row("view", "", "answers-differ-with") | {"kind": "column", "g": -0.2}
    assert headline([*rows, view]) == [
        "This model relies on tag.",
        "Its answers also change with view, JPEG and flatter.",
    ]


def test_harm_that_is_shown_leads_before_a_search_that_found_no_region() -> None:
    region = {"of": "place", "kind": "corners", "name": "", "trained": True, "flips": 0.2, "discrete": True,
              "bright": True, "shape": 1.0, "shares": '{"yes": 0.9, "no": 0.1}', "raises": True, "images": 157,
              "class": "yes"}  # fmt: skip
    relied, affected = "This model relies on tag.", "This model's answers change with tag."
    for verdict, leading in (
        ("nothing-found", (relied, affected)),
        ("inconclusive", (relied, affected)),
        ("lead", (relied, "Lead, no verdict: a bright mark")),
        ("relies-on-look", ("A bright mark", "A bright mark")),
        ("lives-by", ("A bright mark", "A bright mark")),
    ):
        for of, start in zip(("relies-on", "affected-by"), leading, strict=True):
            tables = {"regions": [region | {"verdict": verdict}], "verdicts": [row("tag", "objects", of)]}
            assert answer_words(tables)[0].startswith(start), (verdict, of)
    tables = {
        "regions": [region | {"verdict": "lead"}],
        "verdicts": [row("tag", "objects", "relies-on"), row("jpeg", "detail")],
    }
    said = answer_words(tables)
    assert (said[0], said[-1]) == (relied, "Its answers also change with JPEG."), "one sentence leads"
    for verdict, of, named in (
        ("lives-by", "relies-on", False),
        ("lead", "affected-by", False),
        ("lead", "relies-on", True),  # a limit of clean networks supports it, and not the lead
    ):
        kin = row("tag", "objects", of) | {"explained": True}
        tables = {"regions": [region | {"verdict": verdict}], "verdicts": [kin]}
        assert ("tag" in " ".join(answer_words(tables))) == named == (stated(tables) == [kin])
        assert Audited(tables, {}).harmful == ("Answers change with tag" if named else ""), "of a checklist"
    tables = {"regions": [region | {"verdict": "nothing-found"}], "verdicts": [row("tag", "objects", "no-effect")]}
    assert answer_words(tables)[0].endswith("which does not clear the model.")
    tables["regions"] = [region | {"verdict": "not-tested"}, region | {"of": "whole", "verdict": "nothing-found"}]
    assert answer_words(tables) == ["No tested factor is shown to change this model's answers."]


def test_of_a_drawn_mark_in_which_nothing_is_found_no_share_is_told() -> None:
    """The mark that is named before is of another search."""
    sizes = {"value": 0.1, "value_low": 0.0, "value_high": 0.2, "limit": 0.45, "reason": "", "networks": 59,
             "false_rate": math.nan, "missed_rate": math.nan, "flips": 0.1, "moved": 0.5}  # fmt: skip
    drawn = {"of": "drawn", "kind": "corners", "name": "", "bright": True, "discrete": True, "shape": 1.0, **sizes,
             "shares": '{"finding": 0.88, "rest": 0.1}'}  # fmt: skip
    assert "on 88% of 'finding'" in region_evidence(drawn | {"verdict": "lead"})
    assert "88%" not in region_evidence(drawn | {"verdict": "nothing-found"})
    assert region_title(drawn | {"verdict": "nothing-found"}) == "Nothing found in rarer marks drawn alike"


def test_answers_that_change_from_call_to_call_come_first() -> None:
    check = {"check": "repeatable", "status": "warn", "text": "the model answers otherwise when asked again"}
    tables = {"regions": [], "verdicts": [row("tag", "objects")]}
    for moved, leads in ((0.01, False), (2.0, True)):
        said = answer_words({**tables, "checks": [check | {"value": moved}]})
        assert said[0].startswith("The model answers otherwise when asked again: switch off") == leads
        assert len(said) == 1 + leads


def test_drawn_marks_are_called_harmless_only_where_a_search_within_known_limits_found_nothing() -> None:
    nothing = {"of": "place", "verdict": "nothing-found", "trained": True, "limit": 0.9, "discrete": False}
    harmless = row("tag", "objects", "no-effect")
    for regions, clear in (
        ([nothing], True),
        ([nothing, nothing | {"limit": math.nan}], False),
        ([nothing, nothing | {"verdict": "inconclusive"}], False),
        ([nothing, nothing | {"verdict": "not-tested"}], False),
        ([], False),
    ):
        tables = {"regions": regions, "verdicts": [harmless, row("view", "", "no-difference")]}
        assert [one["factor"] for one in stated(tables)] == ["tag", "view"][not clear :]
    said = answer_words({"regions": [nothing | {"limit": math.nan}], "verdicts": [harmless]})
    assert said[-1] == "No tested factor is shown to change this model's answers."
    assert answer_words({"regions": [nothing], "verdicts": [harmless]})[-1:] == headline([harmless])
    column = row("view", "", "no-difference")
    assert answer_words({"regions": [], "verdicts": [column]}) == headline([column]), "no drawing"


def test_a_line_of_a_terminal_has_the_verdict_its_swing_and_the_images_needed() -> None:
    numbers = {"g": -0.25, "low": -0.3, "high": -0.2, "dice": math.nan, "open": "", "needed": math.nan}
    facts = {"margin": "0.05", "images": "2,400 of 2,400", "images under marks": "86"}
    assert verdict_line(row("tag", "objects") | numbers, facts) == "Affected by tag; swing -0.25 [-0.30, -0.20]"
    undecided = row("low-pass", "detail", "inconclusive") | numbers | {"open": "swing loss", "needed": 1234.0}
    assert verdict_line(undecided, facts).endswith(
        "; about 1,200 images would settle it: a larger --budget reads more of the 2,400"
    )
    for column, known in ((undecided, {"images under marks": "2,400"}), (undecided | {"kind": "column"}, {})):
        assert verdict_line(column, facts | known).endswith("; about 1,200 images would settle it"), "all were read"
    assert verdict_line(undecided | {"needed": 34e3}, facts).endswith("about 34,000 images would settle it"), "too few"
    (mark,) = marks_of({"tag": [{"tag": {"size": 0.2}}] * 3})
    harmless = row("tag", "objects", "no-effect") | numbers | {"drawn": mark.drawn}
    assert verdict_line(harmless, facts) == (
        "No effect of 0.05 or more: tag, drawn with size 0.2, x 0.85, y 0.12, contrast 0.6, jitter 0.04, shape letter; "
        "swing -0.25 [-0.30, -0.20]"
    )
    untested = row("view", "", "not-tested") | numbers | {"g": math.nan, "reason": str(because(Code.NO_IMAGES))}
    assert verdict_line(untested, facts).startswith("View: not tested: ")


def test_the_strengths_of_marks_that_were_read_are_counted() -> None:
    facts = {"images": "400 of 400", "patients": "400", "images under marks": "86"}
    marks = [row("tag", "objects"), row("hair", "lines"), row("jpeg", "detail")]
    effects = [{"factor": one["factor"], "dose": "middle"} for one in marks]
    more = [{"factor": "hair", "dose": dose} for dose in ("weak", "strong")]
    for read, strengths in (
        ([*effects, *more], "at the middle strength (1 of them at two more)"),
        (effects, "at the middle strength"),
        (effects * 3, "at three strengths"),
    ):
        assert (
            done(facts, [*marks, row("wide", "objects", "not-tested")], read)[1]
            == f"86 of them were read again with 3 marks {strengths}."
        )


def test_every_intervention_is_of_a_family() -> None:
    names = [entry.name for entry in entries("intervention")]
    families = {name: marks_of({"mine": [name] * 3})[0].family for name in names}
    assert families["hair"] == families["surgical-pen"] == "lines"
    assert not [name for name, family in families.items() if not family]


def test_a_worst_group_far_below_all_images_is_named_with_its_interval() -> None:
    def group(column: str, level: str, value: float, low: float = 0.9, high: float = 0.97) -> dict[str, Any]:
        return {"column": column, "level": level, "measure": "auroc", "value": value, "low": low, "high": high}

    rows = [group("", "", 0.95), group("site", "A", 0.96), group("site", "B", 0.54, 0.05, 1.0),
            group("sex", "f", math.nan)]  # fmt: skip
    assert worst_group(rows) == ("Worst group, site B", "AUROC 0.54 [0.05, 1.00] (joint 95% CI), of all images 0.95")
    assert worst_group([rows[0], group("site", "A", 0.93)]) is None
    assert worst_group([]) is None
