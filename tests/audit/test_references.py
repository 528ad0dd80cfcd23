"""Reference networks: shipped ones, and those that are trained on a user's own rows."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.audits import audited, images, middle

import assay
from assay.audit import reference_networks, references
from assay.audit.battery import DOMAINS, battery
from assay.audit.reference_networks import parts_of, train_references
from assay.audit.references import SHIPPED_FOLDER, read_limits, shipped_rates, shipped_reference
from assay.audit.request import AuditRequest
from assay.data.files.in_memory import on_disk
from assay.plugin import RunFolder, SpecError, StoreError
from assay.stats import collapse_rate
from assay.store.files import read_json, write_json


def drawn_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of gray images whose middle is brighter in every second one; two of each patient."""
    draws = np.random.default_rng(seed)

    def row(at: int) -> dict[str, Any]:
        positive = at % 2
        pixels = draws.normal(0.4, 0.05, (32, 32))
        pixels[8:24, 8:24] += 0.3 * positive
        return {"image": (255 * pixels.clip(0, 1)).astype(np.uint8), "ill": positive, "patient": f"{seed}-{at // 2}"}

    return [row(at) for at in range(count)]


@pytest.mark.parametrize("linked", ["cache/references", "of this audit/audits"])
def test_no_reference_network_is_audited_behind_a_link(
    linked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user of a shared cache can make one."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    (elsewhere := tmp_path / "elsewhere").mkdir()
    data = {"table": drawn_rows(280), "target": "ill", "patient": "patient", "channels": "gray"}
    asked = AuditRequest(data=on_disk(data), domain="chest-xray", leads=False, networks=59)
    (tmp_path / linked).parent.mkdir(exist_ok=True)
    (tmp_path / linked).symlink_to(elsewhere)
    with pytest.raises(StoreError, match=f"{linked} is a link, and a cache has none: put there the folder itself"):
        train_references(asked, workers=0, root=None if "cache" in linked else tmp_path / "of this audit")
    assert not list(elsewhere.iterdir())


@pytest.mark.acceptance
def test_reference_networks_are_trained_once_on_patients_that_are_not_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_networks, "LEAST_NETWORKS", 2)
    monkeypatch.setattr(references, "LEAST_NETWORKS", 2)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    data = {"table": drawn_rows(280), "target": "ill", "patient": "patient", "channels": "gray"}
    asked = AuditRequest(data=on_disk(data), domain="chest-xray", leads=False, networks=2)
    said: list[str] = []
    folder = train_references(asked, workers=0, say=said.append)
    assert said[0].startswith("2 reference networks on 112 images: about")
    audits = [path for path in folder.iterdir() if path.is_dir()]
    assert len(audits) == 2
    times = {path: (path / "verdicts.json").stat().st_mtime_ns for path in audits}
    assert train_references(asked, workers=0) == folder
    assert {path: (path / "verdicts.json").stat().st_mtime_ns for path in audits} == times
    tested = {"images": "140 of 140", "patients": "70"}
    for path in audits:
        facts = {row["key"]: row["value"] for row in RunFolder(path).table("provenance")}
        assert facts.items() >= tested.items()

    altered = {**data, "table": [{**data["table"][0], "image": data["table"][0]["image"] + 1}, *data["table"][1:]]}
    one = parts_of(on_disk(data)).identity()
    assert one == parts_of(on_disk(data)).identity() != parts_of(on_disk(altered)).identity()

    def bright(images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2, 3)) - 0.45

    with pytest.raises(SpecError, match="1 give no limit"):
        assay.audit(bright, on_disk(data), references=1, progress=False)
    found = assay.audit(
        bright,
        {**on_disk(data), "size": 32},
        domain="chest-xray",
        references=2,
        progress=False,
        budget=500,
        as_given=True,
        out=tmp_path / "out",
    )
    facts = dict(zip(*(found.table("provenance")[name] for name in ("key", "value")), strict=True))
    assert (facts["references"], facts["references trained on"]) == ("2 networks", "112 images")
    assert (
        "The 2 networks of the reference were trained on 112 images of the same"
        in (tmp_path / "out" / "report.html").read_text()
    )


@pytest.mark.nightly
def test_networks_that_learned_from_the_training_images_of_the_model_set_no_limit_of_regions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark that the model depends on is in these images, so that such networks may depend on it too."""
    monkeypatch.setattr(reference_networks, "LEAST_NETWORKS", 1)
    monkeypatch.setattr(references, "LEAST_NETWORKS", 1)
    keys = {"target": "ill", "patient": "patient", "channels": "gray"}
    tested, train = ({**keys, "table": drawn_rows(*of)} for of in ((60, 0), (240, 1)))
    asked = AuditRequest(data=on_disk(tested), train=on_disk(train), domain="chest-xray", networks=1)
    folder = train_references(asked, workers=0, root=tmp_path)
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    assert read_limits(folder, "another", in_training=True) is None
    assert read_limits(folder, "another") is None


@pytest.mark.parametrize("name", ["chest-xray", "dermoscopy"])
def test_of_images_that_are_not_drawn_error_rates_are_shipped_and_no_reference(name: str) -> None:
    drawn = {mark.name: mark.doses[1].label for mark in battery(name, 1)[0]}  # the middle dose decides
    assert shipped_reference(name, drawn) is None
    own = "audits of networks without a shortcut that have any 'relies on'"
    assert {row["rate"]: row["among"] for row in shipped_rates(name)}[own] == 61


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED_FOLDER.glob("phantom-*.json")))
def test_a_shipped_reference_has_the_marks_of_its_domain_as_they_are_drawn(name: str) -> None:
    drawn = {mark.name: mark.doses[1].label for mark in battery(name, 1)[0]}
    found = shipped_reference(name, drawn)
    assert found is not None
    assert found.networks >= 59
    assert set(found.largest) == set(drawn)
    assert shipped_reference(name, dict.fromkeys(drawn, "another")) is not None
    assert not shipped_reference(name, dict.fromkeys(drawn, "another")).largest  # pyright: ignore[reportOptionalMemberAccess]
    assert all(row["among"] > 0 or math.isnan(row["value"]) for row in shipped_rates(name))
    assert shipped_reference("fundus", drawn) is None


@pytest.mark.parametrize("part", ["trained", "new"])
def test_error_rates_of_searches_add_up(part: str) -> None:
    rates = {row["rate"]: row for row in read_json(SHIPPED_FOLDER / "kinds.json")[part]}
    for worth in ("named", "nothing found"):
        everything = rates.pop(f"all eight kinds of shortcut: {worth}")
        own = [row for rate, row in rates.items() if rate.endswith(f": {worth}")]
        assert len(own) == 8
        for number in ("count", "among"):
            assert sum(row[number] for row in own) == everything[number]
    for row in rates.values():
        exact = collapse_rate(row["count"], row["among"])
        assert (row["value"], row["low"], row["high"]) == pytest.approx((exact.value, exact.low, exact.high), abs=1e-4)


def test_docs_have_the_shipped_error_rates_of_searches() -> None:
    rates, text = read_json(SHIPPED_FOLDER / "kinds.json"), Path("docs/audit-trials.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith("| **all** |"))
    everything = [one for part in ("trained", "new") for one in rates[part] if one["rate"].startswith("all eight")]
    counts = [cell.split(" ")[1] for cell in row.split("|")[2:-1] if "/" in cell]
    assert counts == [f"{one['count']}/{one['among']}" for one in everything]
    assert f"Search {rates['search']}, all networks:" in text
    clean = [one for part in ("trained", "new") for one in rates[part] if one["rate"] == "no shortcut: one is named"]
    first, second = (f"{one['count']} of {one['among']} [{share_text(one)}]" for one in clean)
    assert f"{first}, and {second}; an audit's page shows these" in text


def share_text(rate: Mapping[str, float]) -> str:
    """The interval of a rate in percent."""
    return f"{100 * rate['low']:.0f}, {100 * rate['high']:.0f}%"


def test_error_rates_of_an_earlier_search_are_not_cited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SHIPPED_FOLDER, tmp_path / "shipped")
    data = images(tmp_path / "set", 40)
    monkeypatch.setattr(references, "SHIPPED_FOLDER", tmp_path / "shipped")
    for earlier in (False, True):
        if earlier:
            write_json(tmp_path / "shipped" / "kinds.json", {**read_json(SHIPPED_FOLDER / "kinds.json"), "search": 1})
        found = audited(middle, data, tmp_path / f"{earlier}", marks={}, distortions=[], domain="phantom-chest")
        assert ("two marks: named" in set(found.table("rates").rate)) is not earlier


SMALL_ALONE = dict.fromkeys(
    ((domain, "trained") for domain in ("dermoscopy", "endoscopy", "fundus", "phantom-nodule")), 40
)
"""Limits of too few networks for 95 % of others, all small: docs/audit-trials.md says so, and the page their number."""


def test_shipped_limits_of_regions_come_from_a_stated_number_of_networks_of_five_architectures() -> None:
    shipped = read_json(SHIPPED_FOLDER / "leads.json")
    assert set(shipped) == {"chest-xray", "dermoscopy", "endoscopy", "fundus", "phantom-chest", "phantom-nodule"}
    for domain, part, one in [(domain, part, one) for domain, both in shipped.items() for part, one in both.items()]:
        assert domain in DOMAINS
        few = SMALL_ALONE.get((domain, part))
        assert one["networks"] == few if few else one["networks"] >= 59
        assert set(one["limits"]) == {"place", "drawn"} | (set() if part.startswith("masks") else {"whole"})
        architectures = 8 if part == "trained" and not few else 5
        assert len(one["leave_one_architecture_out"]) == architectures, "training images: large too"
        for of, limit in one["limits"].items():
            others = [architecture[of][0] for architecture in one["leave_one_architecture_out"].values()]
            assert 0 < max(others) == limit
        for share, low, high in (one["false_rate"], one["missed_rate"]):
            assert few if share is None else 0 <= low <= share <= high <= 1
        assert one.get("networks_of_shares", 60) >= 59


def test_the_limit_of_a_whole_image_change_grows_with_what_networks_of_another_task_take_from_it() -> None:
    known = references.RegionLimits(
        60, {"whole": 1.0, "intensities": 0.8, "mirror": 0.5}, 2.0, shares={"intensities": 1.5}
    )
    assert known.limit_of_search("whole", 1.5, 1.0, "intensities") == 0.8, "what is left of the distance is 0.5"
    assert known.limit_of_search("whole", 4.0, 2.0, "intensities") == 3.0, "1.5 times the 2 that are left"
    assert known.limit_of_search("whole", 4.0, 2.0, "mirror") == 0.5
    assert known.limit_of_search("whole", 8.0, 2.0, "mirror") == pytest.approx(0.5 * 6 / 2)


def test_limits_of_kinds_are_the_largest_effects_times_one_excess_for_all() -> None:
    effects = {"mirror": [0.1, 0.2, 0.3], "intensities": [1.0, 2.0, 0.5]}
    assert references.limits_of_kinds(effects) == {"mirror": 0.9, "intensities": 4.0}, "0.45 at least"
    assert references.limits_of_kinds(effects, 0.25) == {"mirror": pytest.approx(0.6), "intensities": 4.0}


def test_a_limit_of_shapes_has_the_number_of_its_own_networks() -> None:
    known = references.shipped_limits("phantom-chest", in_training=True)
    assert known is not None
    assert (known.networks_of("place"), known.networks_of("shape")) == (64, 40)
    assert known.limit_of_search("shape", 9.0, 0.0) == 0.45
    assert known.networks_of("whole") == 40
    masks = [references.shipped_limits("endoscopy", in_training=trained, masks=True) for trained in (False, True)]
    assert [limits and (limits.networks, limits.limit_of_search("place", 2.0, 0.0)) for limits in masks] == [
        (80, 0.45)
    ] * 2
    assert references.shipped_limits("fundus", masks=True) is None
    nodules = references.shipped_limits("phantom-nodule", in_training=True)
    assert nodules is not None
    assert nodules.networks_of("turned") == 40
    assert nodules.limit_of_search("turned", 9.0, 0.0) == nodules.largest_of("turned")
