"""Error rates of audits: their arithmetic, and a small calibration from end to end."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from assay.audit.battery import DOMAINS
from assay.audit.verdicts import reference_of
from assay.plugin import RunFolder, SpecError
from assay.spec.parse import parse_study
from assay.store.files import write_rows
from assay.store.kinds import kinds

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import audit_rates  # noqa: E402
from audit_rates import (  # noqa: E402
    BASES,
    Base,
    Counts,
    MeasureJob,
    World,
    base_of_rows,
    by_architecture,
    calibrated,
    limits_of,
    rates,
    studies,
    tied_marks,
    wilson,
    world_rows,
    worlds,
)


def test_wilson_has_the_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20, by method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert all(math.isnan(end) for end in wilson(0, 0))


def world(kind: str, g: float, true: float, verdict: str, mark: str = "") -> dict[str, Any]:
    one = {"verdict": verdict, "g": g, "low": g - 0.02, "high": g + 0.02, "at_least": abs(g) - 0.02, "true": true}
    return {
        "kind": kind,
        "architecture": "small-cnn",
        "mark": mark,
        "as_audited": True,
        "association": 0.9,
        "seed": 1,
        "auroc": 0.9,
        "planted": true,
        "marks": {"tag": one},
    }


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
        "'relies on' where the mark was not tied to the target, or its true shift is below 0.02": (2, 4),
        "audits of networks without a shortcut that have any 'relies on'": (1, 3),
        "'no effect' where the true shift is 0.1 or more": (1, 5),
        "'relies on' where the true shift is 0.1 or more and beyond the limit by 0.05": (2, 3),
        "'relies on' for a planted mark whose true shift is 0.1 or more": (1, 3),
        "'affected by' or 'relies on' where the true shift is 0.1 to 0.2": (1, 2),
        "'affected by' or 'relies on' where the true shift is 0.2 to 0.3": (3, 3),
        "'affected by' or 'relies on' where the true shift is 0.3 to 0.5": (0, 0),
        "inconclusive where the true shift is below 0.02 or above 0.1": (1, 6),
        "true shift at or above its lower bound": (5, 7),
        "true shift at or below its upper bound": (5, 7),
    }
    assert [row["verdict"] for row in world_rows(found, reference)].count("relies-on") == 3
    assert limits_of("any", found).networks == 7
    other = {**found[0], "architecture": "another"}
    split = [(row["architecture"], row["count"]) for row in by_architecture([*found, other], reference)]
    assert split[:1] == [("small-cnn", 2)]
    assert ("another", 1) in split


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


def test_a_quick_look_judges_networks_that_are_not_in_the_shipped_reference() -> None:
    base = BASES["chest"]
    quick, whole = (studies(base, counts)["clean"] for counts in (audit_rates.QUICK, Counts()))
    of_reference = range(whole["first_seed"], whole["first_seed"] + 59)
    assert quick["first_seed"] == of_reference.stop


@pytest.mark.acceptance
def test_a_small_calibration_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(base: Base, counts: Counts) -> dict[str, dict[str, Any]]:
        found = studies(base, Counts(clean=4, tied=1, untied=0, others=0))
        for one in found.values():
            one["data"] |= {"train": 160, "validation": 24, "test": 16, "size": 32}
            one["recipe"] |= {"epochs": 10, "batch_size": 16, "optimizer": {"adamw": {"lr": 0.01}}}
        dose = found["tied"]["environments"]["train"]["dose"]
        dose |= {"confounder": dose["confounder"][:2], "p": [0.9]}
        return found

    base = BASES["nodule"]
    monkeypatch.setattr(audit_rates, "studies", small)
    monkeypatch.setattr(audit_rates, "LEAST_NETWORKS", 2)
    tested = {"phantom": "nodule", "size": 32, "target": "malignant", "core": "margin", "test": 40}
    here = replace(base, tested=((tested, tested),))
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "out"
    folder.mkdir()

    def run(base: Base) -> list[str]:
        return list(calibrated(base, folder, workers=0))

    lines = run(here)
    assert lines[0] == "phantom-nodule: 2 reference networks, 4 networks judged"
    kept = {path.name: path.read_bytes() for path in (folder / "worlds").iterdir()}
    document = json.loads((folder / "phantom-nodule.json").read_text())
    assert len(kept) == 6
    next((folder / "worlds").iterdir()).unlink()
    assert run(here) == lines
    assert {path.name: path.read_bytes() for path in (folder / "worlds").iterdir()} == kept
    assert json.loads((folder / "phantom-nodule.json").read_text()) == document
    other = {**tested, "test": 44}
    times = {path: path.stat().st_mtime_ns for path in (folder / "networks").rglob("checkpoint*")}
    run(replace(base, tested=((other, tested),)))
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
    world = World(tmp_path / "trial", "clean", seed=1)

    def name(base: Base, **changed: Any) -> str:
        return MeasureJob(replace(world, **changed), base, tmp_path).name

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


@pytest.mark.thorough
def test_verdicts_on_new_networks_keep_the_shipped_error_rates(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "audit_rates.py"), "--quick", "--folder", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    rows: dict[str, tuple[int, int]] = {}
    for line in (tmp_path / "phantom-chest" / "quick" / "rates.csv").read_text().splitlines()[1:]:
        name, count, among, *_ = line.rsplit(",", 5)
        rows[name.removeprefix("small-cnn,").strip('"')] = (int(count), int(among))
    wrong, among = rows["audits of networks without a shortcut that have any 'relies on'"]
    assert among == 12
    assert wrong <= 2  # 3 of 12 have a probability below 1 % at 5 %
    assert rows["'no effect' where the true shift is 0.1 or more"][0] <= 1
    seen, among = rows["'relies on' where the true shift is 0.1 or more and beyond the limit by 0.05"]
    assert among > 0
    assert seen >= 0.8 * among


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_network_is_known_by_the_mark_that_its_training_saw(domain: str, tmp_path: Path) -> None:
    base = replace(BASES["chest"], domain=domain, tied=tied_marks(domain))
    axes = parse_study(studies(base, Counts())["tied"]).axes
    folder = RunFolder(tmp_path)
    folder.begin(kinds()["study"], {})
    write_rows(
        tmp_path / "tables" / "trials.parquet",
        ("trial", "status", "seed", "coordinates"),
        [
            {
                "trial": f"{at:016x}",
                "status": "done",
                "seed": 1,
                "coordinates": json.dumps({"confounder": name, "p": "0.7"}),
            }
            for at, name in enumerate(axes["confounder"])
        ],
    )
    found = list(worlds(base, "tied", folder))
    assert [(one.mark, one.drawn) for one in found] == [(name, drawn) for name, *both in base.tied for drawn in both]
