"""Error rates of audits: their arithmetic, and a small calibration from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import assay
import assay.cli.calibrate as command
from assay.cli import main
from assay.core.errors import SpecError
from assay.data.files.in_memory import on_disk
from assay.shifts.battery import DECIDING, DOMAINS, battery
from assay.spec.parse import parse_study
from assay.stats.verdicts import reference_of
from assay.store.files import write_rows
from assay.store.folder import RunFolder
from assay.study import calibration, clean_networks, references
from assay.study.audit_request import Asked
from assay.study.calibration import (
    BASES,
    Counts,
    base_of_rows,
    by_architecture,
    largest_losses,
    lead_rates,
    limits_of,
    rates,
    studies,
    tied_marks,
    wilson,
    world_rows,
    worlds,
)
from assay.study.clean_networks import parts_of, trained_references
from assay.study.references import LEAST_NETWORKS, SHIPPED, shipped_rates, shipped_reference


def test_wilson_has_the_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20, by method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert all(math.isnan(end) for end in wilson(0, 0))


def world(kind: str, g: float, true: float, verdict: str, mark: str = "") -> dict[str, Any]:
    one = {"verdict": verdict, "g": g, "low": g - 0.02, "high": g + 0.02, "at_least": abs(g) - 0.02, "true": true}
    return {"kind": kind, "architecture": "small-cnn", "mark": mark, "as_audited": True, "association": 0.9, "seed": 1,
            "auroc": 0.9, "planted": true, "marks": {"tag": one}}  # fmt: skip


def test_rates_count_each_verdict_against_the_truth() -> None:
    reference = reference_of("any", {"tag": [0.02, 0.05, 0.1]})
    assert reference.limit("tag") == pytest.approx(0.15)
    found = [
        world("clean", 0.3, 0.29, "affected-by"),  # relies, though the mark was never tied
        world("clean", 0.1, 0.12, "affected-by"),  # within the limit
        world("clean", 0.01, 0.0, "inconclusive"),
        world("tied", 0.4, 0.25, "affected-by", "tag"),  # seen, and its bound is beyond the truth
        world("tied", 0.01, 0.15, "no-effect", "tag"),  # a wrong clearance
        world("tied", 0.17, 0.21, "affected-by", "tag"),  # at least .15: not beyond the limit
        world("tied", 0.3, 0.05, "affected-by", "ruler"),  # relies on a tag, though a ruler was tied
    ]
    rows = {row["rate"]: (row["count"], row["among"]) for row in rates(found, reference)}
    assert rows == {
        "relies-on, mark never tied or |g| < .02": (2, 4),
        "audits of clean networks with a relies-on": (1, 3),
        "no-effect, |g| >= .1": (1, 5),
        "relies-on, |g| >= .1 and .05 beyond the limit": (2, 3),
        "relies-on, planted mark with |g| >= .1": (1, 3),
        "affected-by or relies-on, |g| 0.1 to 0.2": (1, 2),
        "affected-by or relies-on, |g| 0.2 to 0.3": (3, 3),
        "affected-by or relies-on, |g| 0.3 to 0.5": (0, 0),
        "inconclusive, |g| < .02 or > .1": (1, 6),
        "g at or above its lower bound": (5, 7),
        "g at or below its upper bound": (5, 7),
    }
    assert [row["verdict"] for row in world_rows(found, reference)].count("relies-on") == 3
    assert limits_of("any", found).networks == 7
    other = {**found[0], "architecture": "another"}
    split = [(row["architecture"], row["count"]) for row in by_architecture([*found, other], reference)]
    assert split[:1] == [("small-cnn", 2)]
    assert ("another", 1) in split


def test_leads_of_clean_networks_are_counted_with_and_without_their_limits() -> None:
    def place(kind: str, name: str, loss: float, center: bool = False) -> dict[str, Any]:
        return {"kind": kind, "place": name, "center": center, "loss": loss, "loss_low": loss - 0.02, "often": 1.0}

    reference = [[place("band", "2", 0.3), place("cell", "3:0,0:1x1", 0.01)], [place("band", "2", 0.2)]]
    found = [
        [place("band", "2", 0.31), place("cell", "3:1,1:1x1", 0.5, center=True)],  # its bound is within the limit
        [place("band", "2", 0.4), place("cell", "3:0,1:1x1", 0.1)],  # beyond it; and a cell of another place
        [place("band", "3", 0.1), place("intensities", "", 0.06)],  # a band that no reference network was tested at
    ]
    rows = {row["rate"].removeprefix("a lead in a clean network, "): row["count"] for row in
            lead_rates(found, reference)}  # fmt: skip
    assert rows == {
        "cell outside the center": 1,
        "band": 2,
        "intensities": 0,
        "cell outside the center, without references": 1,
        "band, without references": 3,
        "intensities, without references": 0,
    }
    assert largest_losses(reference) == [
        {"kind": "band", "place": "2", "loss": 0.3},
        {"kind": "cell", "place": "3:0,0:1x1", "loss": 0.01},
    ]


def test_parts_of_the_images_of_a_user_share_no_patient(tmp_path: Path) -> None:
    rows = [{"image": f"{at}.png", "finding": str(at % 2), "patient": f"p{at // 2}"} for at in range(600)]
    data = pd.DataFrame(rows)
    data.to_csv(tmp_path / "data.csv", index=False)
    for at in range(600):
        Image.new("L", (8, 8), at % 200).save(tmp_path / f"{at}.png")
    base = base_of_rows({"folder": str(tmp_path), "table": "data.csv", "target": "finding", "patient": "patient"},
                        "chest-xray")  # fmt: skip
    assert base.audited == 75
    assert [name for name, *_ in base.tied] == ["tag", "low-pass", "laterality-marker"]
    trained = pd.read_csv(Path(base.data["folder"]) / base.data["table"])
    tests = set(trained[trained["assay part"] == "test"]["patient"])
    assert not tests & set(trained[trained["assay part"] != "test"]["patient"])
    assert len(base.tested) == 8
    drawn: set[str] = set()
    for few, many in base.tested:
        here, there = (set(pd.read_csv(Path(one["folder"]) / one["table"])["patient"]) for one in (few, many))
        assert not here & there
        assert here | there == tests
        assert len(here) * 4 == pytest.approx(len(there), abs=4)
        drawn.add(str(sorted(here)))
    assert len(drawn) == 8
    with pytest.raises(SpecError, match="100 are the least"):
        base_of_rows({"folder": str(tmp_path), "table": rows[:80], "target": "finding"}, "chest-xray")
    with pytest.raises(SpecError, match="rows of a table"):
        base_of_rows({"classes": str(tmp_path)}, "chest-xray")


def test_reference_networks_are_trained_once_on_patients_that_are_not_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_networks, "LEAST_NETWORKS", 2)
    monkeypatch.setattr(references, "LEAST_NETWORKS", 2)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    draws = np.random.default_rng(0)

    def row(at: int) -> dict[str, Any]:
        positive = at % 2
        pixels = draws.normal(0.4, 0.05, (32, 32))
        pixels[8:24, 8:24] += 0.3 * positive
        return {"image": (255 * pixels.clip(0, 1)).astype(np.uint8), "ill": positive, "patient": at // 2}

    data = {"table": [row(at) for at in range(280)], "target": "ill", "patient": "patient", "channels": "gray"}
    asked = Asked(domain="chest-xray", leads=False)
    said: list[str] = []
    folder = trained_references(on_disk(data), None, asked, 2, workers=0, say=said.append)
    assert said[0].startswith("2 reference networks on 112 images: about")
    audits = [path for path in folder.iterdir() if path.is_dir()]
    assert len(audits) == 2
    times = {path: (path / "verdicts.json").stat().st_mtime_ns for path in audits}
    assert trained_references(on_disk(data), None, asked, 2, workers=0) == folder
    assert {path: (path / "verdicts.json").stat().st_mtime_ns for path in audits} == times
    tested = {"images": "140 of 140", "patients": "70"}
    for path in audits:
        facts = {row["key"]: row["value"] for row in RunFolder(path).table("provenance")}
        assert facts.items() >= tested.items()

    altered = {**data, "table": [{**data["table"][0], "image": data["table"][0]["image"] + 1}, *data["table"][1:]]}
    one = parts_of(on_disk(data)).pixels()
    assert one == parts_of(on_disk(data)).pixels() != parts_of(on_disk(altered)).pixels()

    def bright(images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3)) - 0.45

    with pytest.raises(SpecError, match="1 give no limit"):
        assay.audit(bright, on_disk(data), references=1, progress=False)
    found = assay.audit(bright, {**on_disk(data), "size": 32}, domain="chest-xray", references=2, progress=False,
                        budget=20, as_given=True, out=tmp_path / "out")  # fmt: skip
    facts = dict(zip(*(found.table("provenance")[name] for name in ("key", "value")), strict=True))
    assert (facts["references"], facts["references trained on"]) == ("2 networks", "112 images")
    assert (
        "The 2 networks of the reference were trained on 112 images of the same"
        in (tmp_path / "out" / "report.html").read_text()
    )


def test_a_quick_look_judges_networks_that_are_not_in_the_shipped_reference() -> None:
    base = BASES["chest"]
    quick, whole = (studies(base, counts)["clean"] for counts in (command.QUICK, Counts()))
    of_reference = range(whole["first_seed"], whole["first_seed"] + LEAST_NETWORKS)
    assert quick["first_seed"] == of_reference.stop


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.json") if "phantom" not in path.stem))
def test_of_images_that_are_not_drawn_error_rates_are_shipped_and_no_reference(name: str) -> None:
    drawn = {mark.name: mark.doses[DECIDING].label for mark in battery(name, 1)[0]}
    assert shipped_reference(name, drawn) is None
    assert {row["rate"]: row["among"] for row in shipped_rates(name)}["audits of clean networks with a relies-on"] == 61


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("phantom-*.json")))
def test_a_shipped_reference_has_the_marks_of_its_domain_as_they_are_drawn(name: str) -> None:
    drawn = {mark.name: mark.doses[DECIDING].label for mark in battery(name, 1)[0]}
    found = shipped_reference(name, drawn)
    assert found is not None
    assert found.networks >= 59
    assert set(found.largest) == set(drawn)
    assert shipped_reference(name, dict.fromkeys(drawn, "another")) is not None
    assert not shipped_reference(name, dict.fromkeys(drawn, "another")).largest  # pyright: ignore[reportOptionalMemberAccess]
    assert all(row["among"] > 0 or math.isnan(row["value"]) for row in shipped_rates(name))
    assert shipped_reference("fundus", drawn) is None


def test_a_small_calibration_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def small(base: calibration.Base, counts: Counts) -> dict[str, dict[str, Any]]:
        found = studies(base, Counts(clean=4, tied=1, untied=0, others=0))
        for one in found.values():
            one["data"] |= {"train": 160, "validation": 24, "test": 16, "size": 32}
            one["recipe"] |= {"epochs": 10, "batch_size": 16, "optimizer": {"adamw": {"lr": 0.01}}}
        dose = found["tied"]["environments"]["train"]["dose"]
        dose |= {"confounder": dose["confounder"][:2], "p": [0.9]}
        return found

    base = BASES["nodule"]
    monkeypatch.setattr(command, "studies", small)
    monkeypatch.setattr(command, "LEAST_NETWORKS", 2)
    tested = {"phantom": "nodule", "size": 32, "target": "malignant", "core": "margin", "test": 40}
    monkeypatch.setattr(command, "BASES", {"nodule": replace(base, tested=((tested, tested),))})
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"

    def run() -> str:
        with pytest.raises(SystemExit) as ended:
            main(["calibrate", "--base", "nodule", "-o", str(out), "-w", "0", "-q"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    text = run()
    assert "phantom-nodule: 2 reference networks, 4 networks judged" in text
    folder = out / "phantom-nodule" / "full"
    kept = {path.name: path.read_bytes() for path in (folder / "worlds").iterdir()}
    document = json.loads((folder / "phantom-nodule.json").read_text())
    assert len(kept) == 6
    assert len(list((folder / "exchanged").iterdir())) == 4
    places = {row["kind"] for row in document["places"]}
    assert places == {"cell", "band", "intensities"}
    assert "a lead in a clean network, band, without references" in {row["rate"] for row in document["rates"]}
    next((folder / "worlds").iterdir()).unlink()
    assert run() == text
    assert {path.name: path.read_bytes() for path in (folder / "worlds").iterdir()} == kept
    assert json.loads((folder / "phantom-nodule.json").read_text()) == document
    other = {**tested, "test": 36}
    monkeypatch.setattr(command, "BASES", {"nodule": replace(base, tested=((other, tested),))})
    times = {path: path.stat().st_mtime_ns for path in (folder / "networks").rglob("checkpoint*")}
    run()
    assert {path: path.stat().st_mtime_ns for path in (folder / "networks").rglob("checkpoint*")} == times
    measured = {path.name: path.read_bytes() for path in (folder / "worlds").iterdir()}
    assert kept.items() < measured.items()
    assert len(measured) == 2 * len(kept), "worlds of other images are measured again"


def test_a_world_is_named_by_all_that_its_measurement_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    for at in range(4):
        Image.new("L", (8, 8), 40 * at).save(tmp_path / f"{at}.png")
    pd.DataFrame([{"image": f"{at}.png", "ill": at % 2} for at in range(4)]).to_csv(tmp_path / "d.csv", index=False)
    data = {"folder": str(tmp_path), "table": "d.csv", "target": "ill"}
    base = replace(BASES["chest"], tested=((data, data),))
    world = calibration.World(tmp_path / "trial", "clean", seed=1)

    def name(base: calibration.Base, **changed: Any) -> str:
        return calibration.MeasureJob(replace(world, **changed), base, tmp_path, False).name

    first = name(base)
    assert name(replace(base)) == first
    changed = [
        name(replace(base, tested=((data, {**data, "positive": [1]}),))),
        name(replace(base, environment={"difficulty": {"mass": 2}})),
        name(replace(base, domain="dermoscopy")),
        name(base, seed=2),
        name(base, drawn={"tag": {"size": 0.1}}),
    ]
    Image.new("L", (8, 8), 7).save(tmp_path / "0.png")
    changed.append(name(replace(base)))
    assert len({first, *changed}) == 7


@pytest.mark.acceptance
def test_verdicts_on_new_networks_keep_the_shipped_error_rates(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "--quick", "-o", str(tmp_path), "-q"])
    assert ended.value.code == 0
    rows: dict[str, tuple[int, int]] = {}
    for line in (tmp_path / "phantom-chest" / "quick" / "rates.csv").read_text().splitlines()[1:]:
        name, count, among, *_ = line.rsplit(",", 5)
        rows[name.removeprefix("small-cnn,").strip('"')] = (int(count), int(among))
    wrong, among = rows["audits of clean networks with a relies-on"]
    assert among == 12
    assert wrong <= 2  # 3 of 12 have a probability below 1 % at 5 %
    assert rows["no-effect, |g| >= .1"][0] <= 1
    seen, among = rows["relies-on, |g| >= .1 and .05 beyond the limit"]
    assert among > 0
    assert seen >= 0.8 * among


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_network_is_known_by_the_mark_that_its_training_saw(domain: str, tmp_path: Path) -> None:
    base = replace(BASES["chest"], domain=domain, tied=tied_marks(domain))
    axes = parse_study(studies(base, Counts())["tied"]).axes
    folder = RunFolder(tmp_path)
    write_rows(
        tmp_path / "tables" / "trials.parquet",
        ("trial", "status", "seed", "coordinates"),
        [{"trial": name, "status": "done", "seed": 1, "coordinates": json.dumps({"confounder": name, "p": "0.7"})}
         for name in axes["confounder"]],
    )  # fmt: skip
    found = list(worlds(base, "tied", folder))
    assert [(one.mark, one.drawn) for one in found] == [(name, drawn) for name, *both in base.tied for drawn in both]
