"""Leads of audits of models whose cue is known."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import stats
from tests.cases import first_of
from tests.worlds.files import save, write_table

import assay
from assay.audit import references, run
from assay.audit.answers import StoredPredictions
from assay.audit.battery import battery, marks_of
from assay.audit.harm_words import answer_words
from assay.audit.leads import leads_of_images
from assay.audit.model import open_images
from assay.audit.plan import AuditPlan, plan_sizes, take_with_masks
from assay.audit.policy import Policy
from assay.audit.predictions_command import print_verdicts
from assay.audit.references import RegionLimits, read_limits
from assay.audit.request import AuditRequest
from assay.audit.scored import ScoredImages
from assay.audit.search.run import image_properties
from assay.audit.search.words import next_words, region_sentences
from assay.audit.swing import rate_gap
from assay.audit.verdicts import Reference
from assay.audit.words import evidence_words, reported_verdicts, verdict_title
from assay.plugin import DataError, Factor, FactorTable, RunFolder
from assay.spec.request import parse_request
from assay.stats.rows import RegionVerdict

SIDE, COUNT = 48, 160
MARKS: dict[str, Any] = {"tag": [{"tag": {"size": 0.1, "x": 0.9, "y": 0.1}}] * 3}
GLYPH = np.zeros((6, 6), dtype=np.float32)
GLYPH[::2], GLYPH[:, ::3] = 0.95, 0.95
LETTER = (slice(40, 46), slice(40, 46))
UPPER = np.tri(9)[::-1]
BESIDE = (slice(19, 28), slice(0, 9))


def pictures(folder: Path, mark: str = "letter", tie: float = 0.9, seed: int = 0) -> dict[str, Any]:
    """Noise with a finding in the middle, and a mark on most images of class 1 and few of class 0."""
    draws, rare = np.random.default_rng(seed), np.random.default_rng(seed + 99)
    rows: list[list[object]] = [["image", "label", "who"]]
    for at in range(COUNT):
        label = at % 2
        pixels = 0.45 + 0.04 * draws.normal(size=(SIDE, SIDE))
        pixels += 0.06 * draws.normal(size=(8, 8)).repeat(6, axis=0).repeat(6, axis=1)
        pixels[16:32, 16:32] += 0.1 * label + (0 if mark == "exact" else 0.06) * draws.normal()
        if mark == "both" and rare.random() < (0.03, 0.25)[label]:
            pixels[BESIDE][UPPER > 0] = 0.9
        if draws.random() < 0.5 + tie * (label - 0.5):
            if mark == "lit":
                pixels[2:8, 40:46] = GLYPH
            elif mark in ("letter", "lit apart", "both", "opposed"):
                pixels[LETTER] = GLYPH
            elif mark == "moved":
                down, across = draws.integers(32, 42, size=2)
                pixels[down : down + 6, across : across + 6] = GLYPH
            elif mark == "frame":
                for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:]):
                    pixels[edge] = 0.05
            elif mark == "triangle":
                pixels[:9, :9][UPPER > 0] = 0.9
            elif mark == "three":
                pixels[LETTER], pixels[2:8, 40:46] = GLYPH, 0.9 * GLYPH
        elif mark == "opposed":
            pixels[:9, :9][UPPER > 0] = 0.9
        elif mark == "three":
            pixels[2:6, 2:6] = GLYPH[:4, :4]
        save(folder / f"{seed}-{at}.png", (255 * pixels).clip(0, 255).astype(np.uint8))
        rows.append([f"{seed}-{at}.png", label, f"p{seed}-{at}"])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "label", "patient": "who", "size": SIDE}


def read(folder: Path, seed: int) -> np.ndarray:
    images = [np.asarray(Image.open(folder / f"{seed}-{at}.png"), dtype=np.float32) / 255 for at in range(COUNT)]
    return np.stack(images)[:, None]


def middle(images: np.ndarray) -> np.ndarray:
    return np.asarray(20 * (images[:, 0, 16:32, 16:32].mean((1, 2)) - 0.5))


def moved(images: np.ndarray) -> np.ndarray:
    corner = sliding_window_view(images[:, 0, 30:, 30:], GLYPH.shape, axis=(1, 2))
    return np.asarray((corner * (GLYPH - GLYPH.mean())).mean((3, 4)))


MODELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "letter": lambda x: 15 * (x[:, 0, *LETTER] * (GLYPH - GLYPH.mean())).mean((1, 2)) + 0.5 * middle(x),
    "frame": lambda x: -8 * x[:, 0, 0].mean(axis=1) + 0.5 * middle(x),
    "moved": lambda x: 25 * moved(x).max((1, 2)) + 0.5 * middle(x),
    "triangle": lambda x: 25 * (x[:, 0, :9, :9] * (UPPER - UPPER.mean())).mean((1, 2)) + 0.5 * middle(x),
    "opposed": lambda x: MODELS["letter"](x) - MODELS["triangle"](x),
    "three": lambda x: (
        sum(sign * MODELS["letter"](np.roll(x, by, (2, 3))) for sign, by in ((1, 0), (1, (-10, 0)), (-1, -10))) - 2
    ),
    "lit": lambda x: 8 * x[:, 0, 1:10, 38:47].mean((1, 2)) + 0.5 * middle(x) - 4.5,
    "lit apart": lambda x: MODELS["letter"](x) + 20 * x[:, 0, 1:10, 1:10].mean((1, 2)) + 0.5 * middle(x) - 10.5,
    "both": lambda x: MODELS["letter"](x) + 25 * (x[:, 0, *BESIDE] * (UPPER - UPPER.mean())).mean((1, 2)),
}


def audited(name: str, folder: Path, **more: Any) -> Path:
    given: dict[str, Any] = {"marks": MARKS, "distortions": [], "progress": False, "as_given": True, **more}
    model = MODELS.get(name, middle)
    return assay.audit(model, pictures(folder / "set", name), out=folder / "out", **given).folder


@pytest.fixture(scope="module")
def letter_audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audit of a model that relies on a letter, without limits. Not to be written to."""
    return audited("letter", tmp_path_factory.mktemp("letter"))


def limits(
    monkeypatch: pytest.MonkeyPatch,
    value: float = 0.65,
    drawn: float = 0.65,
    of: Sequence[bool] = (False,),
    apart: float = 99.0,
) -> None:
    """Ship limits for radiographs; `of`: whether of searches in training images."""
    largest = {"place": value, "whole": 3.0, "drawn": drawn, "shape": drawn}
    rates = {"false_rate": 0.02, "false_rate_high": 0.05, "missed_rate": 0.1, "missed_rate_high": 0.2}
    known = RegionLimits(60, largest, apart, rates)

    def shipped(domain: str, *, in_training: bool, masks: bool) -> RegionLimits | None:
        return known if domain == "chest-xray" and in_training in of else None

    monkeypatch.setattr(run, "shipped_limits", shipped)


@pytest.mark.parametrize(("name", "corners", "carrier"), first_of([
    ("opposed", "upper left corner (against one in the lower right)", "not label"),
    ("three", "lower right corner (against one in the upper left)", "label"),  # and one in the upper right
]))  # fmt: skip
def test_marks_of_both_classes_in_corners_are_named_with_the_place_of_the_other_class(
    name: str, corners: str, carrier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch)
    regions = RunFolder(audited(name, tmp_path, domain="chest-xray", pictures=False)).table("regions")
    said = region_sentences({"regions": regions})[0]
    assert said.startswith(f"A bright mark in the {corners}, found in the"), (
        said,
        regions[0]["kind"],
        regions[0]["name"],
    )
    shares = json.loads(regions[0]["shares"])
    assert shares.pop(carrier) > 0.85 > 0.2 > next(iter(shares.values()))


@pytest.mark.parametrize(("name", "sentence"), first_of([
    ("letter", "A bright mark in the lower right corner, found in the"),
    ("frame", "A dark border, found in the"),
    ("triangle", "A bright mark in the upper left corner, found in the"),
]))  # fmt: skip
def test_a_network_that_lives_by_a_mark_is_said_to_on_page_card_and_terminal(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits(monkeypatch)
    out = audited(name, tmp_path, domain="chest-xray")
    assert RunFolder(out).tables["regions"].column("verdict").values == (*map(str, RegionVerdict), "not-tested")
    row = RunFolder(out).table("regions")[0]
    assert (row["of"], row["verdict"], row["limit"], row["networks"]) == ("place", "relies-on-region", 0.65, 60)
    shares = json.loads(row["shares"])
    carriers = [one for one in RunFolder(out).table("carriers") if one["of"] == "place"]
    assert len(carriers) == row["images"]
    assert np.mean([one["carries"] for one in carriers if one["class"] == "label"]) == pytest.approx(shares["label"])
    assert shares["label"] > 0.85 > 0.2 > shares["not label"]
    assert row["bright"] == (name != "frame")
    page, card = (out / "report.html").read_text(), (out / "model-card.md").read_text()
    assert f"<h1>{sentence}" in page
    assert f"<title>{sentence}" in page
    assert "<dt>AUROC on these images</dt><dd><b>0.9" in page
    assert "</span> AUROC" not in page[: page.index('<h2 id="findings"')], "no check: it rests on the mark too"
    assert page.index("<figcaption>mean of images without it</figcaption>") < page.index('<h2 id="findings"')
    assert json.loads((out / "verdicts.json").read_text())["regions"][0]["verdict"] == "relies-on-region"
    assert sentence in card
    print_verdicts(out, json=False)
    said = capsys.readouterr().out
    assert sentence in said
    known = (
        "limit 0.65, and no effect in 60 networks without a shortcut was larger; wrong in 2.0% of networks without a "
        "shortcut (at most 5.0%), missed"
    )
    assert known in said
    assert known in page[page.index('id="regions"') - 3000 : page.index('id="regions"')], "with the table of regions"
    assert "No reference networks were used for drawn marks; limits of regions are separate." in page
    assert set(re.findall(r"limit of the (\w+)", page)) == {"region"}
    assert said.endswith(f": assay audit remedy {out} {out}-covered\n")
    assert "AUDIT" not in (out / "verdicts.json").read_text()
    first = re.sub("</?span[^>]*>", "", page[: page.index('<h2 id="findings"')])
    assert f"assay audit remedy …/{out.name} …/{out.name}-covered</code>" in first
    verdicts = {row["factor"]: row["verdict"] for row in RunFolder(out).table("verdicts")}
    for text in (said, card, page[: page.index('<h2 id="findings"')]):
        assert "No effect" not in text, verdicts
        assert "no reference networks" not in text
    before = (out / "tables" / "regions.parquet").read_bytes()
    (out / "tables" / "stamp.json").unlink()
    audited(name, tmp_path, domain="chest-xray")
    assert (out / "tables" / "regions.parquet").read_bytes() == before


def test_a_second_mark_is_named_apart_and_the_leading_one_is_not_named_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch)
    first, _, second, *_ = RunFolder(audited("both", tmp_path / "both", domain="chest-xray")).table("regions")
    assert [(row["of"], row["verdict"]) for row in (first, second)] == [
        ("place", "relies-on-region"),
        ("drawn", "relies-on-region"),
    ]
    said = region_sentences({"regions": [first, second]})
    assert said[0].startswith("A bright mark in the lower right corner, found in the")
    assert said[2].startswith("Apart from it, a bright mark in the left side changes")
    shares = json.loads(second["shares"])
    assert shares["label"] == pytest.approx(0.25, abs=0.1)
    assert shares["not label"] == pytest.approx(0.03, abs=0.05)
    limits(monkeypatch, drawn=99)
    (tmp_path / "both" / "out" / "tables" / "stamp.json").unlink()
    _, _, within, *_ = RunFolder(audited("both", tmp_path / "both", domain="chest-xray")).table("regions")
    assert (within["of"], within["verdict"]) == ("drawn", "inconclusive"), "what moves an image is not nothing"
    limits(monkeypatch)
    _, _, second, *_ = RunFolder(audited("letter", tmp_path / "one", domain="chest-xray")).table("regions")
    assert (second["of"], second["verdict"]) == ("drawn", "nothing-found")
    assert "Apart" not in " ".join(region_sentences({"regions": [first, second]}))


BATTERY: dict[str, Any] = {
    "tag": [{"tag": {"size": 0.12, "contrast": 0.9, "shape": "rectangle"}}] * 3,
    "border": [{"collimation-border": {"width": 0.12}}] * 3,
    "left": [{"tag": {"size": 0.1, "x": 0.1, "y": 0.9}}] * 3,
}


def said_of(out: Path) -> tuple[str, dict[str, dict[str, Any]], list[str]]:
    """The answer, verdicts by mark, and the marks that are said."""
    tables = {name: RunFolder(out).table(name) for name in RunFolder(out).tables}
    verdicts = {row["factor"]: row for row in tables["verdicts"]}
    return " ".join(answer_words(tables)), verdicts, [row["factor"] for row in reported_verdicts(tables)]


@pytest.mark.nightly
def test_marks_that_the_leading_one_explains_are_no_second_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch)
    said, verdicts, named = said_of(audited("lit", tmp_path, domain="chest-xray", marks=BATTERY))
    assert said.startswith("A bright mark in the upper right corner, found in the")
    for name in ("tag", "border"):  # each covers that corner
        assert (verdicts[name]["verdict"], verdicts[name]["explained"]) == ("affected-by", True)
        assert name not in named
        assert Policy((("affected-by", name),)).find_violations([verdicts[name]], [], []), "it stays a verdict"
    assert "as such marks can" not in said


def test_a_mark_with_an_effect_apart_from_the_leading_one_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch)
    out = audited("lit apart", tmp_path, domain="chest-xray", marks=BATTERY)
    said, verdicts, named = said_of(out)
    assert said.startswith("A bright mark in the lower right corner, found in the")
    assert (verdicts["tag"]["place"], verdicts["tag"]["explained"]) == ("upper left", False)
    assert re.search(r"[Tt]he tag \(upper left\).* changes? predictions, as such marks can", said)
    assert "tag" in named
    assert "Affected by tag (upper left)" in (out / "report.html").read_text()


def test_a_mark_is_tried_in_corners_and_at_the_middle_of_each_side(tmp_path: Path) -> None:
    for name, place, verdict in (("lit apart", "upper left", "affected-by"), ("none", "", "no-effect")):
        out = audited(name, tmp_path / name, budget=4_000, marks=BATTERY)
        tag = said_of(out)[1]["tag"]
        assert (tag["place"], tag["verdict"]) == (place, verdict)
    assert verdict_title(tag, "0.05") == (
        "No effect of 0.05 or more: tag, drawn with size 0.12, x 0.85, y 0.12, contrast 0.9, jitter 0.04, "
        "shape rectangle, gray value 0.94, tried at 8 places"
    )


@pytest.mark.parametrize(("given", "places"), [
    ({}, 8),
    ({"x": 0.14}, {"upper left": (0.14, 0.1), "left": (0.14, 0.5), "lower left": (0.14, 0.9)}),
    ({"x": 0.5}, {"top": (0.5, 0.1), "bottom": (0.5, 0.9)}),
    ({"y": 0.95}, {"lower left": (0.1, 0.95), "bottom": (0.5, 0.95), "lower right": (0.9, 0.95)}),
    ({"x": 0.14, "y": 0.95}, {}),
])  # fmt: skip
def test_a_coordinate_that_a_user_gives_is_kept_where_a_mark_is_tried_elsewhere(given: Any, places: Any) -> None:
    (mark,) = marks_of({"tag": [{"tag": {"size": 0.1, **given}}] * 3})
    found = {place: (one.params["x"], one.params["y"]) for place, one in mark.places.items()}
    assert found == places if given else len(found) == places
    text = next(one for one in battery("", 1)[0] if one.name == "text-line")
    assert len(text.places) == 8, "a coordinate of the battery is none of a user"


def test_a_mark_elsewhere_has_no_limit_and_breaks_no_rule_against_relying_where_there_is_a_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Reference("chest-xray", 59, 0.01, dict.fromkeys(BATTERY, 0.3), SIDE)
    for name, reference, broken in (("with", known, False), ("without", None, True)):
        monkeypatch.setattr(run, "shipped_reference", lambda domain, drawn, given=reference: given)
        out = audited("lit apart", tmp_path / name, budget=4_000, domain="chest-xray", marks=BATTERY, pictures=False)
        tag = said_of(out)[1]["tag"]
        assert (tag["place"], tag["verdict"], tag["open"]) == ("upper left", "affected-by", "" if broken else "place")
        assert np.isnan(tag["limit"]), "it is that of the mark as drawn"
        assert ("holds for the mark as drawn and not at this place" in evidence_words(tag, {})) != broken
        read = {row["place"]: row for row in RunFolder(out).table("effects") if row["factor"] == "tag"}
        assert set(read) == {"", "upper left"}, "a row for each place"
        assert (read["upper left"]["g"], abs(read[""]["g"]) < 0.05) == (tag["g"], True)
        assert bool(Policy((("relies-on", "tag"),)).find_violations([tag], [], [])) == broken


def test_each_half_of_the_patients_gets_a_mark_where_the_other_half_is_changed_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an effect at the place is not that of the luckiest of eight."""
    request = parse_request(pictures(tmp_path), {"all": {}}, ("performance",))
    whole = open_images(request)[2].environment("all")
    asked = AuditRequest(marks=BATTERY, distortions=())
    plan = AuditPlan(whole, asked, plan_sizes(asked, whole), {})
    tag, border, _ = plan.battery[0]
    reading = plan.reading_at_all_places(tag)
    assert reading is not None
    assert len(reading.table) == len(tag.places) * len(plan.placement_positions)
    assert plan.reading_at_all_places(border) is None
    assert abs(plan.in_second_half.mean() - 0.5) < 0.01
    moved = [
        np.where(plan.in_second_half[plan.placement_positions], place == "top", place == "left") for place in tag.places
    ]
    read = SimpleNamespace(scores=np.concatenate(moved)[:, None] * 1.0)
    answers = StoredPredictions(RunFolder(tmp_path), plan, None, False)
    monkeypatch.setattr(StoredPredictions, "predictions_for", lambda self, one: read if one.id == reading.id else None)
    monkeypatch.setitem(vars(answers), "sample", SimpleNamespace(scores=np.zeros((COUNT, 1))))
    chosen = answers.strongest_places(tag, None)
    assert chosen == ("top", "left")
    every = np.arange(COUNT)
    shown, before = (
        one.images.read(every).numpy()[:, 0]
        for one in (plan.reading_at_places(tag, chosen).images(), plan.unmarked_images)
    )
    changed = [np.abs(shown - before)[plan.in_second_half == half].max(axis=0) > 0.1 for half in (False, True)]
    for one, (down, across) in zip(changed, ((0.1, 0.5), (0.5, 0.1)), strict=True):
        where = np.argwhere(one).mean(axis=0) / SIDE
        assert np.abs(where - (down, across)).max() < 0.05


@pytest.mark.nightly
def test_what_is_drawn_is_searched_again_where_limits_let_another_mark_be_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of clean networks whose classes are closer is larger here, so that the letter is no longer held."""
    named: list[str] = []
    for apart in (99.0, 0.1):
        limits(monkeypatch, apart=apart)
        place, _, drawn, *_ = RunFolder(audited("both", tmp_path, domain="chest-xray", pictures=False)).table("regions")
        assert (place["verdict"] == "relies-on-region") == (apart > 1)
        named.append(region_sentences({"regions": [{**drawn, "verdict": "unverified"}]})[0].partition(", found in")[0])
    assert named == [f"A bright mark in the {place}" for place in ("left side", "lower right corner")]


def test_a_lead_of_the_whole_image_may_be_its_sharpness(tmp_path: Path) -> None:
    """Properties at the size that the model reads, those too that cannot be compared between sizes."""
    request = parse_request(pictures(tmp_path), {"all": {}}, ("performance",))
    whole = open_images(request)[2].environment("all")
    assert {"sharpness", "mean brightness", "contrast"} <= image_properties(whole).keys()


@pytest.mark.parametrize("domain", ["", "chest-xray", "endoscopy", "ultrasound"])
def test_a_plan_stays_within_its_passes(domain: str, tmp_path: Path) -> None:
    request = parse_request(pictures(tmp_path), {"all": {}}, ("performance",))
    whole = open_images(request)[2].environment("all")
    for count in (100, 450, 5_000):
        images = take_with_masks(whole, np.arange(count) % COUNT)
        for asked in (AuditRequest(domain=domain), AuditRequest(domain=domain, budget=90_000)):
            assert plan_sizes(asked, images).passes <= asked.budget, (count, asked.budget)
        for search in (False, True):
            assert plan_sizes(AuditRequest(domain=domain), images, search=search).marked_images >= min(count, 60)


def test_a_letter_whose_place_varies_is_on_those_that_have_it(tmp_path: Path) -> None:
    row = RunFolder(audited("moved", tmp_path)).table("regions")[0]
    shares = json.loads(row["shares"])
    assert shares["label"] > 0.8 > 0.2 > shares["not label"]
    assert row["bright"]


def test_without_a_limit_it_is_a_lead_and_with_a_high_one_nothing_is_found(
    letter_audit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RunFolder(letter_audit).table("regions")[0]["verdict"] == "unverified"
    assert "<h1>A bright mark in the lower right corner, found in the" in (letter_audit / "report.html").read_text()
    limits(monkeypatch, 9.0)
    out = audited("none", tmp_path, domain="chest-xray")
    assert {row["verdict"] for row in RunFolder(out).table("regions")} == {"nothing-found"}
    page = (out / "report.html").read_text()
    assert "<h1>No shortcut was found in these images" in page
    tables = {name: RunFolder(out).table(name) for name in ("regions", "verdicts", "checks", "provenance")}
    assert re.search(r"search them too \(--train\).* --out audits/m-(more|next)$", next_words(tables, "audits/m"))
    command = next_words(tables, f"…/{out.name}").partition(": assay ")[2]
    assert f"<code>assay {command}</code>" in re.sub("</?span[^>]*>", "", page)
    trained = [row | {"trained": True} for row in tables["regions"]]
    assert "--train" not in next_words({**tables, "regions": trained}, "audits/m"), "it was given"
    assert "hair, stripes and dots at changing places" in page


def test_a_region_that_changes_no_answer_is_no_headline_of_changed_answers(letter_audit: Path) -> None:
    rows = RunFolder(letter_audit).table("regions")
    assert region_sentences({"regions": rows})[0].startswith("A bright mark in the lower right corner, found in the")
    assert region_sentences({"regions": rows})[0].endswith(" predictions: a finding without a verified limit.")
    second = region_sentences({"regions": rows})[1]
    assert re.match(
        r"It raises the score of 'label' and is on 9\d% of 'label' and \d+% of 'not label' in \d+ images", second
    )
    said = region_sentences({"regions": [{**row, "flips": 0.0} for row in rows]})
    assert said[0].startswith(
        "Scores change most with a bright mark in the lower right corner, but fewer than 1 of 200 predictions change"
    )


def test_changed_predictions_are_undefined_where_one_class_is_predicted_of_all_images(tmp_path: Path) -> None:
    folder = audited("letter", tmp_path, threshold=1 - 1e-9, pictures=False)
    (found,) = (row for row in RunFolder(folder).table("regions") if row["of"] == "place")
    assert [math.isnan(found[name]) for name in ("flips", "flips_low", "flips_high")] == [True] * 3
    assert all(math.isnan(row["flips"]) for row in RunFolder(folder).table("verdicts"))
    said = json.loads((folder / "verdicts.json").read_text())["answer"]
    start = "One class is predicted of all images at this threshold; scores change most with a bright mark in the"
    assert said[0].startswith(start)
    page = (folder / "report.html").read_text()
    assert "Predictions changed by a bright mark" not in page
    assert "AUROC shift by a bright mark" in page


def test_a_mark_that_only_training_images_carry_is_found_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits(monkeypatch)
    train = pictures(tmp_path / "train", seed=1)
    clean = pictures(tmp_path / "clean", "none")
    given: dict[str, Any] = {"marks": MARKS, "distortions": [], "progress": False, "as_given": True,
                             "domain": "chest-xray"}  # fmt: skip
    alone = assay.audit(MODELS["letter"], clean, out=tmp_path / "alone", **given).folder
    assert RunFolder(alone).table("regions")[0]["verdict"] != "relies-on-region"
    assert "search them too (--train)" in re.sub("</?span[^>]*>", "", (alone / "report.html").read_text())
    both = assay.audit(MODELS["letter"], clean, out=tmp_path / "both", train=train, **given).folder
    row = RunFolder(both).table("regions")[0]
    assert (row["verdict"], row["trained"]) == ("unverified", True), "the limit is of images new to the network"
    limits(monkeypatch, of=(True,))
    judged = assay.audit(MODELS["letter"], clean, out=tmp_path / "judged", train=train, **given).folder
    row = RunFolder(judged).table("regions")[0]
    assert (row["verdict"], row["trained"], row["limit"]) == ("relies-on-region", True, 0.65)
    print_verdicts(judged, json=False)
    assert capsys.readouterr().out.endswith(f"retrain: assay audit remedy {judged} {judged}-covered\n")
    page = (both / "report.html").read_text()
    assert "<h1>A bright mark in the lower right corner, found in the" in page
    assert "no limit is known in training images, reported from 0.45 sd on" in page
    assert "--train TRAIN" not in re.sub("</?span[^>]*>", "", page), "it was given"


@pytest.mark.nightly
def test_effects_in_training_images_are_in_standard_deviations_of_tested_ones(tmp_path: Path) -> None:
    """A network that learned its training images by heart spreads less there, and is no more of a shortcut for it."""
    given: dict[str, Any] = {"marks": MARKS, "distortions": [], "progress": False, "as_given": True}
    train, tested = pictures(tmp_path / "train", "exact", seed=1), pictures(tmp_path / "tested", "none")
    found = dict[str, float]()
    for name, images, more in (("own", train, {}), ("both", tested, {"train": train})):
        out = assay.audit(middle, images, out=tmp_path / name, **given, **more).folder
        found[name] = RunFolder(out).table("regions")[0]["value"]
    scores = (middle(read(tmp_path / name, seed)) for name, seed in (("train", 1), ("tested", 0)))
    own, other = (np.sqrt((one[::2].var() + one[1::2].var()) / 2) for one in scores)
    assert other > 2 * own
    assert found["both"] * other == pytest.approx(found["own"] * own, rel=0.02)  # other donors


def test_limits_come_from_references_of_the_user(
    letter_audit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(letter_audit, tmp_path / "out")
    own = next(row["value"] for row in RunFolder(out).table("provenance") if row["key"] == "hash of the model")
    assert read_limits(tmp_path, "another") is None, "one network is no limit"
    for number in range(59):
        shutil.copytree(out, tmp_path / "references" / str(number))
    assert read_limits(tmp_path / "references", "another") is None, "a network is one, however often it was audited"
    audits = list(references._finished_audits(tmp_path / "references", "another"))
    others = [(folder, {**facts, "hash of the model": folder.root.name}) for folder, facts in audits]
    with monkeypatch.context() as patched:
        patched.setattr(references, "_finished_audits", lambda root, audited: others)
        found = read_limits(tmp_path / "references", "another")
    assert found is not None
    assert found.largest["place"] == RunFolder(out).table("regions")[0]["value"]
    assert read_limits(tmp_path / "references", str(own)) is None, "it is no reference of its own"


def test_references_that_are_segmentations_limit_the_searches_that_they_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"of": "place", "verdict": "nothing-found", "reason": "", "value": 0.1, "apart": 2.0, "trained": False,
             "round": 1},
            {"of": "drawn", "verdict": "nothing-found", "reason": "nothing-drawn", "trained": False, "round": 1},
            {"of": "whole", "verdict": "not-tested", "reason": "search-of-masks", "trained": False}]  # fmt: skip
    audits = [(SimpleNamespace(table=lambda name: rows), {"hash of the model": at}) for at in range(59)]
    monkeypatch.setattr(references, "_finished_audits", lambda root, audited: audits)
    found = read_limits(tmp_path, "")
    assert found is not None
    assert (found.networks, found.largest) == (59, {"place": 0.1, "drawn": 0.45})
    assert [found.limit_of_search("place", apart, 0.0) for apart in (1.0, 2.0, 3.0)] == pytest.approx([0.1, 0.1, 0.15])
    assert found.limit_of_search("place", 3.0, 1.0) == pytest.approx(0.1), (
        "the distance that a shortcut makes is not counted"
    )
    assert found.limit_of_search("drawn", 3.0, 0.0) == 0.45, "on one image"
    assert read_limits(tmp_path, "", in_training=True) is None, "effects in training images are larger"


def test_what_is_not_searched_is_said_in_one_sentence(tmp_path: Path) -> None:
    out = audited("letter", tmp_path, budget=4_000)
    (row,) = RunFolder(out).table("regions")
    assert (row["verdict"], "small-budget" in row["reason"]) == ("not-tested", True)
    page = (out / "report.html").read_text()
    (needed,) = set(re.findall(r"the budget is too small: ([\d,]+) passes are needed", page))
    assert 4_000 < int(needed.replace(",", "")) < AuditRequest().budget
    few = pictures(tmp_path / "few")
    table = (tmp_path / "few" / "data.csv").read_text().splitlines()[:13]
    (tmp_path / "few" / "data.csv").write_text("\n".join(table) + "\n")
    with pytest.raises(DataError, match="fewer than 20 images of a class; give more images"):
        assay.audit(middle, few, progress=False)


def table(count: int, seed: int = 0) -> FactorTable:
    draws = np.random.default_rng(seed)
    columns = {"sex": draws.integers(0, 2, count), "age": draws.uniform(20, 90, count)}
    factors = (Factor("sex", "categorical", levels=("f", "m"), high=("m",)), Factor("age", "continuous"))
    target = draws.integers(0, 2, count)
    return FactorTable(np.arange(count), target, np.arange(count) // 2, ("no", "yes"), factors, columns)


def test_errors_of_some_images_are_found_and_overlapping_slices_merged() -> None:
    images = table(1200, 1)
    wrong = (images.columns["sex"] == 1) & (images.columns["age"] > 60)
    draws = np.random.default_rng(2)
    flipped = np.where(wrong, draws.random(1200) < 0.7, draws.random(1200) < 0.05)
    called = np.where(flipped, 1 - images.target, images.target)
    scored = ScoredImages(images, np.stack([np.zeros(1200), 4.0 * called - 2], axis=1).astype(np.float32), 0.5)
    found = list(leads_of_images(scored, {"sharpness": draws.normal(size=1200)}, 0))
    errors = [row for row in found if row["about"] == "error"]
    assert {row["class"] for row in errors} == {"no", "yes"}
    best = max(errors, key=lambda row: row["low"])
    assert "sex = m" in best["name"]
    assert "age >" in best["name"]
    assert best["low"] > 0.4
    assert any(row["merged"] for row in errors)
    assert not [row for row in found if row["name"].startswith("sharpness")]
    fair = ScoredImages(images, np.stack([np.zeros(1200), draws.normal(size=1200)], axis=1).astype(np.float32), 0.5)
    assert not list(leads_of_images(fair, {"sharpness": draws.normal(size=1200)}, 0))


def test_edges_that_differ_have_different_words() -> None:
    draws, drawn = np.random.default_rng(2), table(1200, 1)
    year = 2010.0 + np.arange(1200) % 13
    images = replace(drawn, factors=(Factor("year", "continuous"),), columns={"year": year})
    flipped = draws.random(1200) < np.where(year > 2016, 0.7, 0.05)
    called = np.where(flipped, 1 - images.target, images.target)
    scored = ScoredImages(images, np.stack([np.zeros(1200), 4.0 * called - 2], axis=1).astype(np.float32), 0.5)
    names = {row["name"] for row in leads_of_images(scored, {}, 0) if row["kind"] == "slice"}
    assert "year > 2016" in names


def test_a_property_that_moves_scores_is_a_lead() -> None:
    images, draws = table(400), np.random.default_rng(3)
    sharp = draws.normal(size=400)
    logits = np.stack([np.zeros(400), images.target + 2 * sharp], axis=1).astype(np.float32)
    found = list(leads_of_images(ScoredImages(images, logits, 0.5), {"sharpness": sharp}, 0))
    assert [(row["kind"], row["name"]) for row in found if row["about"] == "score"] == [("property", "sharpness")]


def test_the_bounds_of_a_gap_between_groups_hold() -> None:
    draws, held = np.random.default_rng(4), 0
    for _ in range(400):
        group = draws.random(150) < 0.3
        gap = rate_gap(draws.random(150) < np.where(group, 0.3, 0.1), group, np.arange(150))
        held += gap.low <= 0.2
    assert held / 400 > 0.92


@pytest.mark.parametrize("rate", [0.02, 0.12, 0.4])
@pytest.mark.parametrize("alpha", first_of([0.05, 0.001]))
def test_a_small_group_with_few_errors_has_a_gap_by_chance_as_seldom_as_is_said(rate: float, alpha: float) -> None:
    """Over all counts of errors: the share of samples with a bound beyond a true gap of 0, at both ends."""
    few, many, beyond = 20, 200, np.zeros(2)
    group = np.arange(few + many) < few
    counts = np.arange(many + 1)[stats.binom.pmf(np.arange(many + 1), many, rate) > 1e-7]
    for of_group, outside in itertools.product(range(few + 1), counts.tolist()):
        weight = stats.binom.pmf(of_group, few, rate) * stats.binom.pmf(outside, many, rate)
        is_error = np.concatenate([np.arange(few) < of_group, np.arange(many) < outside])
        gap = rate_gap(is_error, group, np.arange(few + many), alpha)
        beyond += weight * np.array([gap.low > 0, gap.high < 0])
    assert beyond.max() <= alpha
