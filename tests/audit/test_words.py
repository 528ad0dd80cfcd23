"""Titles and sentences of audits, by the harm of their findings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from assay.audit.battery import marks_of
from assay.audit.cards import AuditEvidence
from assay.audit.harm_words import answer_words, terminal_lines
from assay.audit.harms import harms_of
from assay.audit.request import AuditRequest
from assay.audit.search.words import next_words, searched_words
from assay.audit.words import evidence_words, procedure_sentences, reported_verdicts, verdict_title
from assay.plugin import Code, Reason, entries

Row = dict[str, Any]


def distorted(factor: str, severity: int, loss: float, half: float = 0.1) -> Row:
    """A row of the table of distortions."""
    decision = "beyond" if loss - half >= 0.05 else "inconclusive"
    return {
        "factor": factor,
        "severity": severity,
        "loss": loss,
        "loss_low": loss - half,
        "loss_high": loss + half,
        "dice": math.nan,
        "flips": 0.3,
        "images": 86,
        "decision": decision,
    }


def row(factor: str, family: str, verdict: str = "affected-by") -> dict[str, Any]:
    kind = "mark" if family else "column"
    return {
        "factor": factor,
        "kind": kind,
        "family": family,
        "verdict": verdict,
        "g": 0.2,
        "dose": "middle" if family else "B",
    }


def tables(*verdicts: Row, **more: Any) -> dict[str, list[Row]]:
    return {"regions": [], "verdicts": list(verdicts), **more}


REGION = {"of": "place", "kind": "corners", "name": "", "trained": True, "flips": 0.2, "discrete": True,
          "bright": True, "shape": 1.0, "shares": '{"yes": 0.9, "no": 0.1}', "raises": True, "images": 157,
          "class": "yes", "g": 0.4, "g_low": 0.3, "g_high": 0.5}  # fmt: skip


def test_a_verified_shortcut_is_the_title_with_its_kin_and_its_changed_calls() -> None:
    rows = [row("tag", "objects", "relies-on"), row("low-pass", "detail"), row("chest-drain", "objects", "relies-on")]
    assert answer_words(tables(*rows)) == [
        "This model relies on the tag (and similar marks), which this audit drew on the images.",
        "Whether these images carry such a mark was not searched.",
        "Low pass changes predictions, as such marks can in networks without a shortcut too.",
    ]
    first, other = rows[0] | {"flips": 0.94}, row("drain", "lines", "relies-on") | {"g": 0.1}
    title = "This model relies on the tag, which this audit drew on the images: adding it changes 94% of predictions."
    assert answer_words(tables(first))[0] == title
    unchanged = answer_words(tables(first | {"flips": 0.0}))[0]
    assert unchanged == "This model relies on the tag, which this audit drew on the images.", "no prediction changes"
    both = (
        "This model relies on the tag and drain, which this audit drew on the images: adding the tag changes 94% of "
        "predictions."
    )
    assert answer_words(tables(first, other))[0] == both
    noise = row("gaussian-noise", "detail", "relies-on")
    assert "which this audit applied to the images" in answer_words(tables(noise))[0], "noise is not drawn"
    opposite = row("scope-inset", "objects", "relies-on") | {"g": -0.5}
    assert answer_words(tables(opposite, first | {"flips": 0.0}))[0] == (
        "This model relies on the scope inset and the tag, which this audit drew on the images."
    )


def test_without_a_shortcut_it_is_said_that_none_was_found_and_what_was_searched() -> None:
    nothing = REGION | {"verdict": "nothing-found", "trained": False, "reason": ""}
    clean = tables(row("tag", "objects"), row("pen", "lines"), row("view", "", "inconclusive"), regions=[nothing])
    assert answer_words(clean) == [
        "No shortcut was found in these images.",
        "Searched: the regions of these images, 2 drawn marks and 1 column. A shortcut that is absent from these "
        "images cannot be found.",
        "1 test of marks and columns is inconclusive.",
        "The tag and pen change predictions, as such marks can in networks without a shortcut too.",
    ], "a network without a shortcut is moved by drawn marks too"
    clean["distorted"] = [distorted("xray-noise", 1, 0.25), distorted("blur", 3, 0.4)]
    assert answer_words(clean)[0] == (
        "No shortcut was found in these images, but moderate blur and mild X-ray noise reduce AUROC by 0.40 and 0.25."
    )
    trained = nothing | {"trained": True}
    assert answer_words(tables(regions=[trained])) == [
        "No shortcut was found in these training images.",
        "Searched: the regions of these training images.",
    ]
    open_ = REGION | {"verdict": "inconclusive"}
    assert answer_words(tables(regions=[open_]))[0].startswith(
        "No shortcut was verified: whether this model relies on a bright mark in one"
    )
    untested = [REGION | {"verdict": "not-tested"}]
    assert answer_words(tables(row("tag", "objects"), row("pen", "lines"), regions=untested))[0] == (
        "No shortcut was found with 2 drawn marks; regions of the images were not searched."
    )
    unsure = [row("sex", "", "inconclusive"), row("site", "", "inconclusive")]
    assert answer_words(tables(*unsure, regions=untested)) == [
        "Whether this model uses a shortcut is open: all that was tested is inconclusive.",
        "2 tests of marks and columns are inconclusive.",
    ]
    assert answer_words(tables(regions=untested)) == ["No shortcut was searched for: no mark or column was tested."]


def test_a_region_leads_by_its_verdict_before_what_nothing_supports() -> None:
    relied = "This model relies on the tag, which this audit drew on the images."
    none = "A bright mark in one of the corners, found in the training images, changes 20% of predictions"
    for verdict, leading in (
        ("nothing-found", (relied, "No shortcut was found")),
        ("inconclusive", (relied, "No shortcut was verified: whether this model relies on a bright mark")),
        ("unverified", (relied, f"{none}: a finding without a verified limit.")),
        ("relies-on-look", (f"{none}.",) * 2),
        ("relies-on-region", (f"{none}.",) * 2),
    ):
        for of, start in zip(("relies-on", "affected-by"), leading, strict=True):
            said = answer_words(tables(row("tag", "objects", of), regions=[REGION | {"verdict": verdict}]))
            assert said[0].startswith(start), (verdict, of)
    for verdict, of, named in (
        ("relies-on-region", "relies-on", False),
        ("unverified", "affected-by", False),
        ("unverified", "relies-on", True),  # a limit of clean networks supports it, and not the region
    ):
        kin = row("tag", "objects", of) | {"explained": True}
        own = tables(kin, regions=[REGION | {"verdict": verdict}])
        assert (harms_of(own)[0].kind == "mark") == named == (reported_verdicts(own) == [kin])
        assert AuditEvidence(own, {}).harmful == ("Predictions change with tag" if named else ""), "of a checklist"


FOUND, NONE = REGION | {"verdict": "relies-on-region"}, REGION | {"verdict": "nothing-found"}
OPEN = row("view", "", "inconclusive") | {"needed": 1234.0}
AGAIN = "assay audit m.onnx --images test"
OFFER = "If you have the training images, search them too (--train). Then"
NEXT_VERSION = "audit the next version of the model in the same way"
KEEP_OFF = f"keep the tag off the images that the model reads. {OFFER[:-5]} {NEXT_VERSION.capitalize()}"
COMPARED = f"{NEXT_VERSION}, and compare both (assay audit compare audits/m audits/m-next): {AGAIN} --out audits/m-next"
RETRAINED = f"retrain, and audit the new model: {AGAIN} --out audits/m-retrained"
LOOK = "look at the pictures. If it is not part of the disease, "
COVER = "cover it, and retrain: assay audit remedy audits/m audits/m-covered"
EQUALIZE = "mirror a random half of the images: assay audit remedy audits/m audits/m-equalized"
COMMAND = {"key": "command", "value": AGAIN}
WRONG = {"check": "reading", "status": "warn"}
LOW: dict[str, list[Row]] = {"groups": [{"measure": "sensitivity", "column": "", "value": 0.11, "high": 0.2}]}
CHOOSE = (
    "choose a threshold on validation images (--threshold P), since this one finds 11% of the positive images. Then "
)
NEXT: dict[str, tuple[dict[str, list[Row]], str]] = {
    "read wrongly": (tables(regions=[FOUND]) | {"checks": [WRONG]},
                     "check how images are scaled and framed for this model, and audit it again as its training did: "
                     f"{AGAIN} --scaling SCALING --out audits/m-again"),
    "a network of a study, on images of another kind": (
        tables(regions=[FOUND]) | {"checks": [WRONG], "provenance": [{"key": "kind", "value": "training run"}]},
        "audit it on images like those of its training, which it reads as its study did: assay audit m.onnx --images "
        "IMAGES --out audits/m-alike"),
    "mark in training images": (tables(regions=[FOUND]), COVER),
    "unverified mark": (tables(regions=[FOUND | {"verdict": "unverified"}]), LOOK + COVER),
    "mark in other images": (
        tables(regions=[FOUND | {"trained": False}]),
        "cover it, and audit the copy, to see how the model does without it. If you have the training images, search "
        "them too (--train). To cover it: assay audit remedy audits/m audits/m-covered"),
    "mark without a place in other images": (
        tables(regions=[FOUND | {"of": "whole", "kind": "mirror", "name": "", "trained": False}]),
        "mirror a random half of the images, and audit the copy, to see how the model does without it. If you have the "
        f"training images, search them too (--train). To {EQUALIZE}"),
    "drawn mark, nothing in other images": (
        tables(row("tag", "objects", "relies-on"), OPEN, regions=[NONE | {"trained": False}]),
        f"{KEEP_OFF}: {AGAIN} --out audits/m-next"),
    "a change of detail, which is no mark to keep off": (
        tables(row("low-pass", "detail", "relies-on"), OPEN, regions=[NONE]),
        f"add images. About 1,200 would settle the test of view: {AGAIN} --out audits/m-more"),
    "drawn mark, nothing in training images": (
        tables(row("tag", "objects", "relies-on"), OPEN, regions=[NONE]),
        f"put the tag on training images of both classes alike, or on none, {RETRAINED}"),
    "the region of the headline is inconclusive": (
        tables(OPEN, regions=[REGION | {"verdict": "inconclusive", "trained": True}]),
        "add images, since more of them narrow the interval of a bright mark in one of the corners: "
        f"{AGAIN} --out audits/m-more"),
    "tests that no set of images settles": (
        tables(OPEN | {"needed": 2_385_530.0}, regions=[NONE]),
        COMPARED),
    "mark in a segmentation": (tables(row("tag", "objects") | {"dice": 0.1}, regions=[FOUND]),
                               f"cover it in all images or crop them, {RETRAINED}"),
    "mirrored images": (tables(regions=[FOUND | {"of": "whole", "kind": "mirror", "name": ""}]),
                        EQUALIZE.replace(":", ", and retrain:")),
    "look of all of an image": (
        tables(regions=[FOUND | {"of": "whole", "kind": "band", "name": "3", "verdict": "relies-on-look",
                                 "discrete": False}]),
        "if it is not part of the disease, make all images as coarse as the coarsest, and retrain: assay audit remedy "
        "audits/m audits/m-equalized"),
    "unverified look of all of an image": (
        tables(regions=[FOUND | {"of": "whole", "kind": "intensities", "name": "", "verdict": "unverified",
                                 "discrete": False}]),
        "if it is not part of the disease, match the gray levels of all images, and retrain: assay audit remedy "
        "audits/m audits/m-equalized"),
    "a shape at changing places": (tables(regions=[FOUND | {"of": "shape", "kind": "shape", "name": ""}]), COVER),
    "images that a phantom draws": (
        tables(regions=[FOUND], provenance=[{"key": "images drawn by", "value": "phantom chest"}]),
        f"draw the images without it, {RETRAINED}"),
    "a column of the training images": (
        tables(row("view", "", "answers-differ-with"), OPEN, regions=[NONE],
               provenance=[{"key": "columns of the training images", "value": "sex, view"}]),
        "if view is not a sign of the finding, balance it within the training classes, and retrain: assay audit remedy "
        "audits/m audits/m-balanced --column view"),
    "a column": (tables(row("view", "", "answers-differ-with"), OPEN, regions=[NONE]),
                 f"if view is not a sign of the finding, balance it within the training classes, {RETRAINED}"),
    "mark that changes no call": (tables(regions=[FOUND | {"flips": 0.0, "trained": False}]),
                                  f"{OFFER.replace('I', 'i', 1)} {COMPARED}"),
    "nothing in other images": (tables(OPEN, regions=[NONE | {"trained": False}]),
                                f"add images. About 1,200 would settle the test of view. {OFFER} audit it again: "
                                f"{AGAIN} --out audits/m-more"),
    "an open test": (tables(OPEN, OPEN | {"factor": "sex", "needed": 900.0}, regions=[NONE]),
                     f"add images. About 900 would settle the test of sex: {AGAIN} --out audits/m-more"),
    "predictions": (tables(OPEN),
                    f"add images. About 1,200 would settle the test of view: {AGAIN} --out audits/m-more"),
    "settled predictions": (tables(provenance=[{"key": "kind", "value": "predictions"}]),
                            "audit the model on its images, which tests marks: assay audit MODEL --images IMAGES"),
    "all settled": (tables(regions=[NONE]),
                    COMPARED),
    "a threshold that finds few, else settled": (
        tables(regions=[NONE]) | LOW,
        f"{CHOOSE}repeat the audit with it: {AGAIN} --threshold P --out audits/m-threshold"),
    "predictions with a threshold that finds few": (
        tables(provenance=[{"key": "kind", "value": "predictions"}]) | LOW,
        f"{CHOOSE}repeat the audit with it: {AGAIN} --threshold P --out audits/m-threshold"),
    "a threshold that finds few, and a drawn mark": (
        tables(row("tag", "objects", "relies-on"), regions=[NONE | {"trained": False}]) | LOW,
        f"{CHOOSE}{KEEP_OFF}: {AGAIN} --threshold P "
        "--out audits/m-next"),
    "a threshold that finds few, and an open test": (
        tables(OPEN, regions=[NONE]) | LOW,
        f"{CHOOSE}add images. About 1,200 would settle the test of view: {AGAIN} --threshold P --out audits/m-more"),
    "a threshold that finds few, of a model to retrain": (
        tables(row("view", "", "answers-differ-with"), regions=[NONE]) | LOW,
        "if view is not a sign of the finding, balance it within the training classes, retrain, choose a threshold on "
        f"validation images, and audit the new model: {AGAIN} --threshold P --out audits/m-retrained"),
    "a threshold that finds few, and a mark in training images": (
        tables(regions=[FOUND]) | LOW,
        "cover it, retrain, and choose a threshold on validation images: assay audit remedy audits/m audits/m-covered"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEXT)
def test_the_next_step_is_what_is_possible_and_was_not_done(name: str) -> None:
    own, step = NEXT[name]
    own = own | {"provenance": [*own.get("provenance", ()), COMMAND]}
    assert next_words(own, "audits/m") == f"Next: {step}"


def test_a_threshold_in_the_command_is_replaced() -> None:
    own = tables(regions=[NONE]) | LOW
    own["provenance"] = [COMMAND | {"value": f"{AGAIN} --threshold 0.9 --size 64"}]
    own["groups"] = [LOW["groups"][0] | {"measure": "specificity", "value": 0.25}]
    step = next_words(own, "audits/m")
    assert step.endswith(f"{AGAIN} --size 64 --threshold P --out audits/m-threshold")
    assert "since this one predicts 75% of the negative images as positive" in step


def test_a_budget_too_small_for_a_search_is_replaced() -> None:
    own = tables(regions=[REGION | {"verdict": "not-tested", "reason": str(Reason.of(Code.SMALL_BUDGET, least=9000))}])
    own["provenance"] = [COMMAND | {"value": f"{AGAIN} --budget 3000 --size 64"}]
    step = f"search regions of the images too: {AGAIN} --size 64 --budget 90000 --out audits/m-full"
    assert next_words(own, "audits/m") == f"Next: {step}"


def test_a_mark_that_the_model_relies_on_is_followed_by_what_is_known_of_these_images() -> None:
    tag = row("tag", "objects", "relies-on")
    for region, known in (
        (
            NONE | {"trained": False},
            "The search of 157 images found no such mark in them, but can miss one; "
            "the training images were not given.",
        ),
        (NONE, "The search of 157 training images found no such mark in them, but can miss one."),
        (REGION | {"verdict": "inconclusive"}, "Whether the training images carry such a mark is inconclusive."),
        (
            REGION | {"verdict": "unverified"},
            "The search found a bright mark in one of the corners in the training images; "
            "the pictures show whether it is this mark.",
        ),
    ):
        assert known in answer_words(tables(tag, regions=[region]))
    assert not any("such a mark" in text or "such mark" in text for text in answer_words(tables(regions=[NONE])))


def test_of_a_drawn_mark_in_which_nothing_is_found_no_share_is_told() -> None:
    """The mark that is named before is of another search."""
    sizes = {"value": 0.1, "value_low": 0.0, "value_high": 0.2, "limit": 0.45, "largest": 0.45, "reason": "",
             "networks": 59, "false_rate": math.nan, "missed_rate": math.nan, "flips": 0.1, "moved": 0.5}  # fmt: skip
    drawn = {"of": "drawn", "kind": "corners", "name": "", "bright": True, "discrete": True, "shape": 1.0, **sizes,
             "shares": '{"finding": 0.88, "rest": 0.1}'}  # fmt: skip
    lines = {
        verdict: list(terminal_lines(tables(regions=[REGION | drawn | {"verdict": verdict}])))
        for verdict in ("unverified", "nothing-found")
    }
    assert "on 88% of 'finding'" in lines["unverified"][-1]
    assert lines["nothing-found"][-1].startswith("Nothing was found in 157 training images by 1 search: rarer repeated")
    assert "88%" not in " ".join(lines["nothing-found"])


def test_what_found_nothing_is_one_sentence_with_what_was_searched_and_its_limits() -> None:
    sizes = {"value": 0.35, "value_low": 0.17, "value_high": 0.53, "limit": 0.89, "largest": 0.89, "networks": 60,
             "reason": "", "trained": False, "round": 1, "verdict": "nothing-found"}  # fmt: skip
    place = REGION | sizes
    raised = place | {"of": "whole", "limit": 1.78}
    none = place | {"of": "shape", "reason": str(Reason.of(Code.NOTHING_DRAWN, least=4))}
    untested = place | {"of": "drawn", "verdict": "not-tested", "reason": str(Reason.of(Code.NO_DONORS))}
    assert list(searched_words([place, raised, none, untested])) == [
        "Nothing was found in 157 images by 3 searches: fixed regions (effect 0.35 sd [0.17, 0.53], limit 0.89); "
        "orientation, spatial frequencies and gray levels (effect 0.35 sd [0.17, 0.53], limit 1.78); small shapes at "
        "changing places (no mark is repeated in 4 or more images of both halves of the patients).",
        "Effects are the largest of each search, in standard deviations (sd) of the scores of one class.",
        "Limits: no effect in 60 networks without a shortcut was larger.",
        "That of orientation, spatial frequencies and gray levels is 2.00 times as large as theirs, since this model "
        "separates the classes by more than they do, even without this region.",
        "A mark that shifts scores by 2 sd reaches the limit in fixed regions if its shares of the two classes "
        "differ by 44 percentage points; less is missed.",
        "Not searched: rarer repeated marks (an image has no other patient of its class, or of another class).",
    ]
    high = list(searched_words([place | {"limit": 2.1, "largest": 2.1}]))
    assert high[-1] == "A mark that shifts scores by 2 sd would be missed: less is not reported."
    unknown = list(searched_words([place | {"limit": math.nan, "least": 0.45}]))
    assert "no limit is known, reported from 0.45 sd on" in unknown[0]
    assert "if its shares of the two classes differ by 22 percentage points; less is missed." in unknown[-1]
    assert "by 1 other search: fixed" in next(searched_words([place, raised | {"verdict": "inconclusive"}]))
    assert list(searched_words([])) == []


def test_answers_that_change_from_call_to_call_come_first() -> None:
    check = {"check": "repeatable", "status": "warn", "text": "the model answers otherwise when asked again"}
    for moved, leads in ((0.01, False), (2.0, True)):
        said = answer_words(tables(row("tag", "objects", "relies-on"), checks=[check | {"value": moved}]))
        assert said[0].startswith("The model answers otherwise when asked again: switch off") == leads
        assert len(said) == 2 + leads


def test_drawn_marks_are_called_harmless_only_where_a_search_within_known_limits_found_nothing() -> None:
    nothing = {"of": "place", "verdict": "nothing-found", "trained": True, "limit": 0.9, "discrete": False}
    harmless = row("tag", "objects", "no-effect")
    for regions, clear in (
        ([nothing], True),
        ([nothing | {"trained": False}], False),
        ([nothing, nothing | {"limit": math.nan}], False),
        ([nothing, nothing | {"verdict": "inconclusive"}], False),
        ([nothing, nothing | {"verdict": "not-tested"}], False),
        ([], False),
    ):
        own = tables(harmless, row("view", "", "no-difference"), regions=regions)
        assert [one["factor"] for one in reported_verdicts(own)] == ["tag", "view"][not clear :]


def test_the_numbers_of_a_verdict_are_its_shift_and_the_images_needed() -> None:
    numbers = {"g": -0.25, "low": -0.3, "high": -0.2, "dice": math.nan, "open": "", "needed": math.nan}
    facts = {"margin": "0.05", "images": "2,400 of 2,400", "images under marks": "86"}
    assert evidence_words(row("tag", "objects") | numbers, facts) == "AUROC shift -0.25 [-0.30, -0.20]"
    undecided = row("low-pass", "detail", "inconclusive") | numbers | {"open": "swing loss", "needed": 1234.0}
    assert evidence_words(undecided, facts).endswith(
        "; about 1,200 images would settle it: a larger --budget reads more of the 2,400"
    )
    for column, known in ((undecided, {"images under marks": "2,400"}), (undecided | {"kind": "column"}, {})):
        assert evidence_words(column, facts | known).endswith("; about 1,200 images would settle it"), "all were read"
    assert evidence_words(undecided | {"needed": 34e3}, facts).endswith("34,000 images would settle it"), "too few"
    assert evidence_words(undecided | {"needed": 2e6}, facts).endswith("; more than 100,000 images would settle it")
    (mark,) = marks_of({"tag": [{"tag": {"size": 0.2}}] * 3})
    harmless = row("tag", "objects", "no-effect") | numbers | {"drawn": mark.drawing}
    assert verdict_title(harmless, "0.05") == (
        "No effect of 0.05 or more: tag, drawn with size 0.2, x 0.85, y 0.12, contrast 0.6, jitter 0.04, shape letter"
    )
    drawn = "size 20% of the shorter side, contrast 0.6, shape letter"
    assert mark.look() == f"a bright, upright block letter R, or a box; upper right; {drawn}"
    assert mark.look("top") == f"a bright, upright block letter R, or a box; top; {drawn}"
    looks = {name: marks_of({"mine": [name] * 3})[0].look() for name in ("ruler", "chest-drain", "contrast")}
    assert looks == {
        "ruler": "a graduated scale along one edge; right; opacity 0.9, length 80% of the edge, marks 20, "
        "size 6% of the shorter side, ink white",
        "chest-drain": "a tube with a radio-opaque stripe; opacity 0.9, width 3.5% of the shorter side",
        "contrast": "lower or higher contrast; factor 0.7, pivot 0.5",
    }
    untested = row("view", "", "not-tested") | numbers | {"g": math.nan, "reason": str(Reason.of(Code.NO_IMAGES))}
    assert verdict_title(untested, "0.05") == "View: not tested"
    assert evidence_words(untested, facts)


def test_the_shift_of_a_column_names_its_group() -> None:
    found = row("site", "", "answers-differ-with") | {"low": 0.1, "high": 0.3, "at_least": 0.1, "at_most": 0.3}
    shift = "AUROC shift +0.2 [0.1, 0.3] (B against the others)"
    assert f"  Scores differ with site: {shift}" in terminal_lines(tables(found | {"images": 86}))
    whole = {"flips": math.nan, "limit": math.nan, "needed": math.nan, "dice": math.nan, "open": "", "reason": ""}
    assert evidence_words(found | whole, {}) == shift


def test_a_column_without_a_shift_is_not_said_to_make_no_difference() -> None:
    """Its groups may still differ in performance."""
    assert verdict_title(row("site", "", "no-difference"), "0.05") == "No AUROC shift of 0.05 or more by site"


def test_the_terminal_says_each_finding_once_and_counts_the_rest() -> None:
    shift = {"low": 0.1, "high": 0.3, "at_least": 0.1, "at_most": 0.3, "images": 86, "flips": 0.93}
    verdicts = [row("tag", "objects", "relies-on") | shift, row("view", "", "inconclusive"),
                row("sex", "", "no-difference"), row("site", "", "not-tested")]  # fmt: skip
    own = tables(*verdicts, distorted=[distorted("xray-noise", 1, 0.2)], regions=[])
    assert list(terminal_lines(own)) == [
        "This model relies on the tag, which this audit drew on the images: adding it changes 93% of predictions.",
        "Whether these images carry such a mark was not searched.",
        "  Relies on tag: AUROC shift +0.2 [0.1, 0.3]; 93% of predictions change",
        "  X-ray noise, severity 1 of 5: AUROC lost 0.20 [0.10, 0.30]; 30% of predictions change",
        "Other marks and columns: 1 inconclusive (view), 1 no AUROC shift (sex), 1 not tested (site).",
    ]
    nothing = REGION | {
        "verdict": "nothing-found",
        "trained": True,
        "reason": "",
        "limit": 0.9,
        "value": 0.3,
        "value_low": 0.2,
        "value_high": 0.4,
        "largest": 0.9,
        "networks": 60,
    }
    searched = list(terminal_lines(tables(regions=[nothing])))
    assert searched[-1].startswith("Nothing was found in 157 training images by 1 search: fixed regions (effect 0.30")
    assert "A mark that shifts scores by 2 sd reaches the limit" in searched[-1]
    region = REGION | {
        "verdict": "unverified",
        "reason": "",
        "value": 1.0,
        "value_low": 0.8,
        "value_high": 1.2,
        "limit": math.nan,
        "least": 0.45,
        "moved": 1.0,
        "flips_low": 0.1,
    }
    found = list(terminal_lines(tables(regions=[region])))
    assert found[0].startswith("A bright mark in one of the corners, found in the training images, changes 20%")
    assert "is on 90% of 'yes'" in found[1], "how common it is belongs to the headline"
    assert found[-1].startswith("Evidence of the region: effect 1.00 sd")


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
            procedure_sentences(facts, [*marks, row("wide", "objects", "not-tested")], read)[1]
            == f"86 of them were read again with 3 marks {strengths}."
        )
    searched = "157 training images were searched for regions that predictions depend on; --budget limits how many "
    assert procedure_sentences(facts, marks, effects, [NONE])[2] == f"{searched}images are read."
    every = procedure_sentences(facts, marks, effects, [NONE | {"trained": False, "images": 400}])
    assert every[2] == "400 of the 400 images were searched for regions that predictions depend on."


def test_every_intervention_is_of_a_family() -> None:
    names = [entry.name for entry in entries("intervention")]
    families = {name: marks_of({"mine": [name] * 3})[0].family for name in names}
    assert families["hair"] == families["surgical-pen"] == "lines"
    assert not [name for name, family in families.items() if not family]


def test_the_command_of_an_audit_names_the_images_that_were_given() -> None:
    given = {"folder": "derm", "table": "data.csv", "target": "class"}
    made = given | {"table": "/home/ada/.cache/assay/in-memory/26f46486/data.csv"}  # of one-hot columns
    lines = [AuditRequest(model="m.onnx", data=data).line for data in (given, made)]
    assert [line.split()[-1] for line in lines] == ["derm/data.csv", "derm"], lines
