"""Leads of audits of models whose cue is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.files import save, write_table

import assay
from assay.analysis import leads as analysis
from assay.analysis.audit import Scored
from assay.analysis.leads import MOST, foremost, leads_of_images, leads_of_places
from assay.core.types import Factor, FactorTable
from assay.report.sentences.leads import lead_words, place_words
from assay.shifts.exchange import BANDS, Band, Cell, Intensities, central, donors, middle
from assay.stats.swing import Bounded, exchange, often_first, rate_gap
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.study.leads import DONORS, LEAST_IMAGES, MOST_EXCHANGED, PASSES, levels_of, limits_of, plan_exchange
from assay.study.references import read_places

SIDE, COUNT = 24, 160
CHECKERS = (np.indices((SIDE, SIDE)).sum(axis=0) % 2 * 2 - 1) * 1.0
MARKS: dict[str, Any] = {"tag": [{"tag": {"size": 0.2}}] * 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Gray noise; class 1 is brighter in the middle, in the upper right corner, and has a finer texture."""
    folder, draws = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    rows: list[list[object]] = [["image", "label", "who", "sex"]]
    for at in range(COUNT):
        label = at % 2
        pixels = draws.normal(100, 20, (SIDE, SIDE))
        pixels[8:16, 8:16] += draws.normal(16 * label, 8)
        pixels[:4, 20:] += draws.normal(40 * label, 20)
        pixels += draws.normal(6 * label, 3) * CHECKERS
        save(folder / f"{at}.png", pixels.clip(0, 255).astype(np.uint8))
        rows.append([f"{at}.png", label, f"p{at}", "fm"[at // 2 % 2]])
    write_table(folder / "data.csv", rows)
    return {"folder": str(folder), "target": "label", "patient": "who", "size": SIDE, "factors": {"sex": "categorical"}}


def corner(images: np.ndarray) -> np.ndarray:
    return np.asarray(30 * (images[:, 0, :4, 20:].mean((1, 2)) - 0.47))


def middle_of(images: np.ndarray) -> np.ndarray:
    return np.asarray(60 * (images[:, 0, 8:16, 8:16].mean((1, 2)) - 0.42))


def texture(images: np.ndarray) -> np.ndarray:
    return np.asarray(200 * ((images[:, 0] * CHECKERS).mean((1, 2)) - 0.012))


def leads(model: Callable[[np.ndarray], np.ndarray], data: Mapping[str, Any], out: Path) -> list[Row]:
    assay.audit(model, data, out=out, marks=MARKS, distortions=[], progress=False)
    return list(RunFolder(out).table("leads"))


def test_a_corner_is_the_first_lead_with_a_picture_of_the_grid(data: Mapping[str, Any], tmp_path: Path) -> None:
    first, *others = leads(corner, data, tmp_path / "out")
    assert (first["kind"], first["name"], first["center"]) == ("cell", "6:0,5:1x1", False)
    assert first["low"] > 0.2
    assert not [row for row in others if row["kind"] == "cell" and not row["center"]]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Leads, not verdicts" in page
    assert "The cell in row 1, column 6 of 6" in page
    assert 'aria-label="AUROC lost by the exchange of each cell' in page
    assert "data:image/png;base64" in page
    verdicts = {row["factor"] for row in RunFolder(tmp_path / "out").table("verdicts")}
    assert verdicts == {"tag", "sex"}, "a lead is no verdict"
    before = (tmp_path / "out" / "tables" / "leads.parquet").read_bytes()
    leads(corner, data, tmp_path / "out")
    assert (tmp_path / "out" / "tables" / "leads.parquet").read_bytes() == before


def test_the_middle_is_given_as_where_the_finding_may_be(data: Mapping[str, Any], tmp_path: Path) -> None:
    found = [row for row in leads(middle_of, data, tmp_path / "out") if row["kind"] == "cell"]
    assert found
    assert all(row["center"] for row in found)
    assert "where the finding may be" in lead_words(found[0])


def test_a_fine_texture_is_found_by_its_band(data: Mapping[str, Any], tmp_path: Path) -> None:
    found = leads(texture, data, tmp_path / "out")
    assert [row["name"] for row in found if row["kind"] == "band"] == [str(len(BANDS) - 2)]


def test_a_loss_that_reference_networks_have_too_is_no_lead(data: Mapping[str, Any], tmp_path: Path) -> None:
    first = leads(corner, data, tmp_path / "references" / "one")[0]
    here = middle(SIDE, SIDE)
    limits = limits_of(read_places(tmp_path / "references", "another model"), here)
    assert limits["cell", ""] >= first["value"]
    assert {place for kind, place in limits if kind == "band"} == {str(at) for at in range(len(BANDS) - 1)}
    own = next(row["value"] for row in RunFolder(tmp_path / "references" / "one").table("provenance")
               if row["key"] == "hash of the model")  # fmt: skip
    assert limits_of(read_places(tmp_path / "references", str(own)), here) == {}
    place = analysis.Tested(
        Cell.named(first["name"]), Bounded(first["value"], 0.01, first["low"], first["high"]), 1.0, False
    )
    assert [row["limit"] for row in leads_of_places([place], {("cell", ""): 0.1}, 0.05, 1, 1)] == [0.1]
    assert not list(leads_of_places([place], limits, 0.05, 1, 1))


def exchanged(data: Mapping[str, Any], out: Path, domain: str) -> list[Row]:
    assay.audit(corner, data, out=out, marks=MARKS, distortions=[], progress=False, domain=domain)
    return list(RunFolder(out).table("exchanged"))


def test_images_that_are_not_aligned_have_edges_and_no_grid(data: Mapping[str, Any], tmp_path: Path) -> None:
    cells = [row for row in exchanged(data, tmp_path / "out", "dermoscopy") if row["kind"] == "cell"]
    found = {place_words("cell", row["place"]) for row in cells}
    assert found == {f"{side} edge" for side in ("top", "bottom", "left", "right")}


def test_a_budget_too_small_for_the_exchange_is_said(data: Mapping[str, Any], tmp_path: Path) -> None:
    found = assay.audit(corner, data, out=tmp_path / "out", marks=MARKS, distortions=[], progress=False, budget=1e-3)
    (row,) = found.table("exchanged").to_dict("records")
    assert "slow-for-exchange" in row["reason"]
    assert "Exchange test not done: the budget or the images are too few" in (tmp_path / "out/report.html").read_text()
    assert plan_exchange(10**9, 300) == (300, DONORS)
    assert plan_exchange(PASSES * 100, MOST_EXCHANGED) == (100, 1)
    assert plan_exchange(PASSES * (LEAST_IMAGES - 1), 300) == (0, 0)


def table(count: int, seed: int = 0) -> FactorTable:
    draws = np.random.default_rng(seed)
    columns = {"sex": draws.integers(0, 2, count), "age": draws.uniform(20, 90, count)}
    factors = (Factor("sex", "categorical", levels=("f", "m"), high=("m",)), Factor("age", "continuous"))
    target = draws.integers(0, 2, count)
    return FactorTable(np.arange(count), target, np.arange(count) // 2, ("no", "yes"), factors, columns)


def test_donors_are_other_patients_of_the_class_with_the_same_columns() -> None:
    images = table(200)
    found = donors(images, levels_of(images), DONORS, 0)
    assert found is not None
    same, other = found
    assert (images.target[same] == images.target).all()
    assert (images.target[other] != images.target).all()
    for one in (same, other):
        assert (images.patient[one] != images.patient).all()
        assert (images.columns["sex"][one] == images.columns["sex"]).all()
        assert all(len(set(column)) == DONORS for column in one.T)
    again = donors(images, levels_of(images), DONORS, 0)
    assert again is not None
    assert (again[0] == same).all()
    assert donors(images.take(np.array([0, 1])), np.zeros((2, 0), dtype=np.int64), 1, 0) is None


def test_a_model_without_answers_to_content_loses_nothing() -> None:
    images = table(60)
    flat = np.zeros((DONORS, 60, 1))
    found = exchange(flat, flat, images.target, images.patient)
    assert found.loss.value == 0
    assert found.loss.low <= 0 <= found.loss.high
    scores = np.random.default_rng(0).normal(size=(DONORS, 60, 1)) + 2.0 * images.target[:, None]
    lost = exchange(scores, -scores, images.target, images.patient)
    assert lost.loss.low > 0.5
    assert often_first([found, found, found, lost], 1, 100, 0).tolist() == [0, 0, 0, 1]


def test_content_of_all_places_is_that_of_the_donors() -> None:
    import torch

    images, given = torch.rand(2, 1, 24, 24), torch.rand(2, 1, 24, 24)
    whole = images
    for row in range(3):
        for column in range(3):
            whole = Cell(3, row, column).put(whole, given)
    assert torch.equal(whole, given)
    assert {part.name for part in Cell(3, 0, 2).split()} == {f"6:{i},{j}:1x1" for i in (0, 1) for j in (4, 5)}
    assert Cell.named("6:0,5:1x1").within(Cell(3, 0, 2))
    assert [central(Cell(3, 0, 0), middle(24, 24)), central(Cell(3, 1, 1), middle(24, 24))] == [False, True]
    smooth = 0.5 + 0.1 * (images - 0.5)
    mixed = smooth
    for at in range(len(BANDS) - 1):
        mixed = Band(at).put(mixed, 0.5 + 0.1 * (given - 0.5))
    assert torch.allclose(mixed, 0.5 + 0.1 * (given - 0.5), atol=1e-5)
    ranked = Intensities().put(images, given)
    assert torch.equal(ranked.flatten(1).sort().values, given.flatten(1).sort().values)
    assert torch.equal(ranked.flatten(1).argsort(), images.flatten(1).argsort())


def test_errors_of_some_images_are_found_and_overlapping_slices_merged() -> None:
    images = table(1200, 1)
    wrong = (images.columns["sex"] == 1) & (images.columns["age"] > 60)
    draws = np.random.default_rng(2)
    flipped = np.where(wrong, draws.random(1200) < 0.7, draws.random(1200) < 0.05)
    called = np.where(flipped, 1 - images.target, images.target)
    scored = Scored(images, np.stack([np.zeros(1200), 4.0 * called - 2], axis=1).astype(np.float32), 0.5)
    found = list(leads_of_images(scored, {"sharpness": draws.normal(size=1200)}, [], 0))
    errors = [row for row in found if row["about"] == "error"]
    assert {row["class"] for row in errors} == {"no", "yes"}
    best = max(errors, key=lambda row: row["low"])
    assert "sex = m" in best["name"]
    assert "age >" in best["name"]
    assert best["low"] > 0.4
    assert any(row["merged"] for row in errors)
    assert not [row for row in found if row["name"].startswith("sharpness")]
    assert len(foremost(found * 5)) == MOST
    fair = Scored(images, np.stack([np.zeros(1200), draws.normal(size=1200)], axis=1).astype(np.float32), 0.5)
    assert not list(leads_of_images(fair, {"sharpness": draws.normal(size=1200)}, [], 0))


def test_a_property_that_moves_scores_is_a_lead() -> None:
    images, draws = table(400), np.random.default_rng(3)
    sharp = draws.normal(size=400)
    logits = np.stack([np.zeros(400), images.target + 2 * sharp], axis=1).astype(np.float32)
    found = list(leads_of_images(Scored(images, logits, 0.5), {"sharpness": sharp}, [], 0))
    assert [(row["kind"], row["name"]) for row in found if row["about"] == "score"] == [("property", "sharpness")]
    row = {"name": "width", "of": "yes", "value": 0.9, "low": 0.85, "high": 0.95, "strong": True, "images": 9,
           "patients": 9}  # fmt: skip
    (given,) = leads_of_images(Scored(images, logits * 0, 0.5), {}, [row], 0)
    assert lead_words(given) == "Width predicts the target without a network"


def test_the_bounds_of_a_gap_between_groups_hold() -> None:
    draws, held = np.random.default_rng(4), 0
    for _ in range(400):
        group = draws.random(150) < 0.3
        gap = rate_gap(draws.random(150) < np.where(group, 0.3, 0.1), group, np.arange(150))
        held += gap.low <= 0.2
    assert held / 400 > 0.92
