"""The bank of networks: its images, its arithmetic, and a small one from end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import audit_bank  # noqa: E402
from audit_bank import (  # noqa: E402
    ARCHITECTURES,
    DOMAINS,
    MARKS,
    MORE,
    NATURAL,
    PLACED,
    SEARCHED,
    SIDE,
    TRAINED,
    USUAL,
    Judged,
    Natural,
    Network,
    Pool,
    bank,
    collected,
    draw,
    interval,
    parts,
    pixels_of,
)

from assay.stats.rows import RegionVerdict  # noqa: E402


def pool(count: int = 1600) -> Pool:
    """Images with a finding in the middle, two of a patient."""
    draws = np.random.default_rng(0)
    target = np.arange(count) % 2
    images = 0.45 + 0.05 * draws.normal(size=(count, 1, SIDE, SIDE))
    images[:, :, 16:32, 16:32] += (0.05 * target + 0.05 * draws.normal(size=count))[:, None, None, None]
    column = draws.random(count) < 0.5
    return Pool(images.clip(0, 1).astype(np.float32), target, np.arange(count) // 2, column)


def test_parts_share_no_patient_and_have_the_column_tied() -> None:
    whole, network = pool(), Network("planted", "flat", 1, "column", (0.6, 0.2))
    found = parts(whole, network, np.random.default_rng(1))
    assert [len(rows) for rows in found] == [TRAINED, SEARCHED, 100]
    people = [set(whole.patient[rows]) for rows in found]
    assert not any(people[a] & people[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    for rows, shares in zip(found, ((0.2, 0.6), (0.2, 0.6), (0.5, 0.5)), strict=True):
        assert whole.target[rows].mean() == 0.5
        for code in (0, 1):
            assert whole.column[rows][whole.target[rows] == code].mean() == pytest.approx(shares[code], abs=0.005)


def test_marks_change_their_pixels_alone() -> None:
    images = pool(8).images
    for mark in PLACED:
        where, level = pixels_of(mark, images)
        made = draw(mark, images, np.random.default_rng(2))
        assert (made != images).any(axis=(0, 1))[where].all()
        assert (made == images)[:, :, ~where].all()
        assert made[:, :, where] == pytest.approx(level)
    stuck = (draw("sticker", images, np.random.default_rng(2)) != images).any(axis=1)
    assert len({one.tobytes() for one in stuck}) == len(images)


def test_marks_without_a_place_change_what_they_say() -> None:
    images = np.repeat(np.linspace(0.2, 0.8, SIDE, dtype=np.float32)[None, None, None], 3, axis=1).repeat(SIDE, axis=2)
    made = {mark: draw(mark, images.repeat(4, axis=0), np.random.default_rng(2)) for mark in MORE}
    assert {one.shape for one in made.values()} == {(4, 3, SIDE, SIDE)}
    assert {one.dtype for one in made.values()} == {np.dtype(np.float32)}
    assert (made["mirror"] == images[..., ::-1]).all()
    assert made["jpeg"] == pytest.approx(images.repeat(4, axis=0), abs=0.15)
    assert len(np.unique(made["jpeg"][0])) < len(np.unique(images))
    hair = (made["hair"] != images).any(axis=1)
    assert made["hair"].swapaxes(0, 1)[:, hair] == pytest.approx(0.1)
    assert len({one.tobytes() for one in hair}) == 4
    kept = made["vignette"][0] / images[0]
    assert kept[:, 24, 24] == pytest.approx(1, abs=0.01)
    assert kept[:, 0, 0] == pytest.approx([0.8, 0.4, 0], abs=0.01), "the corners of a colored vignette are red"


def test_networks_of_usual_size_have_millions_of_parameters() -> None:
    for name in ("resnet18", "vit-tiny"):
        assert sum(one.numel() for one in USUAL[name](1).parameters()) > 5e6
    assert {one.architecture for one in bank(0, 3, 3, column=False, kinds=tuple(USUAL))} == set(USUAL)


def test_images_with_something_of_their_own_are_tied_by_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photographs").mkdir()
    rows = ["image,ill"]
    for at in range(160):
        pixels = np.full((64, 96, 3), 150, np.uint8)
        pixels[-16:] *= at % 4 < 2
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{at}.png")
        rows.append(f"{at}.png,{at % 2}")
    (tmp_path / "photographs" / "data.csv").write_text("\n".join(rows))
    monkeypatch.setenv("ASSAY_ASSETS", str(tmp_path))
    dark = Natural("photographs", lambda row: row["ill"] == "1", lambda _, image: image[-6:].max() < 0.1, (40, 0, 8))
    whole = audit_bank.pool(dark)
    assert whole.images.shape == (160, 3, SIDE, SIDE)
    assert whole.column.tolist() == [at % 4 >= 2 for at in range(160)]
    networks = list(bank(0, 1, 1, True, 0, (0.95,), ("column",)))
    assert [(one.role, one.mark, one.tie) for one in networks] == [
        ("planted", "column", (0.95, 0.05)),
        ("held-out", "column", (0.2, 0.2)),
    ]
    train, search, truth = parts(whole, networks[0], np.random.default_rng(1))
    assert (train == search).all()
    assert not set(train) & set(truth)
    assert [whole.column[train][whole.target[train] == code].mean() for code in (0, 1)] == [0.05, 0.95]
    assert {one.mode for one in NATURAL.values()} == {"L", "RGB"}


def test_another_seed_gives_other_networks() -> None:
    first, other = (list(bank(3, 4, 5, column=False, seed=seed)) for seed in (0, 100_000))
    assert not {one.seed for one in first} & {one.seed for one in other}
    assert [(one.mark, one.tie, one.architecture) for one in first] == [
        (one.mark, one.tie, one.architecture) for one in other
    ]


def test_a_bank_has_every_architecture_in_its_reference_and_no_seed_twice() -> None:
    networks = list(bank(60, 60, 72, column=True))
    assert len({one.seed for one in networks}) == len(networks) == 192
    kinds = [one.architecture for one in networks if one.role == "reference"]
    assert {kinds.count(name) for name in ARCHITECTURES} == {12}
    made = {(one.mark, one.tie) for one in networks if one.mark}
    assert len(made) == len(MARKS) * 3


def row(role: str, z: float, **more: Any) -> dict[str, str]:
    one = {"role": role, "architecture": "flat", "mark": "", "tie": 0.95, "moves": 0.0, "occlusion": z, "t test": False,
           "drawn": "nothing-found", "drawn passes": 9, "drawn right": False}  # fmt: skip
    for of, value in (("place", z), ("whole", z), ("drawn", 0.1)):
        here = {"z": value, "error": 0.05, "low": value - 0.1, "high": value + 0.1, "first": value, "second": value,
                "agree": True, "discrete": True, "effective": 80, "apart": 2.0, "least": 0.45, "place": "",
                "polarity": ""}  # fmt: skip
        one |= {f"{of} {key}": value for key, value in here.items()}
    one |= {"effect of mirror": z, "effect of intensities": 3 * z}
    return {key: str(value) for key, value in (one | more).items()}


def test_networks_are_judged_by_the_reference() -> None:
    mark = {"mark": "letter", "moves": 2.0, "place place": True, "place polarity": True, "occlusion place": True,
            "t test": True, "t test names": "letter", "drawn": "unverified", "drawn right": True}  # fmt: skip
    judged = Judged.of([
        row("reference", 0.3, auroc=0.8), row("reference", 0.5, architecture="pooled", auroc=0.9),
        row("held-out", 0.4), row("held-out", 0.9),
        row("planted", 1.2, **mark), row("planted", 0.2, **{**mark, "drawn right": False}),
        row("planted", 1.2, **{**mark, "place polarity": False}),
        row("planted", 1.2, **{**mark, "moves": 0.5}),
    ])  # fmt: skip
    nothing = {**row("planted", 0.2), "drawn passes": "0"}
    assert audit_bank.verdict(nothing, "drawn", 0.45) == "nothing-found"
    assert judged.limits is not None
    assert judged.limits.largest == {"place": 0.5, "whole": 0.5, "drawn": 0.45}, "never below what is reported"
    assert not judged.called(row("held-out", 0.9, **{"place apart": 5.0})), (
        "classes twice as far apart as in any of them, also without the region"
    )
    document = judged.document()
    assert document["false_rate"] == interval(1, 2)
    assert document["missed_rate"] == interval(1, 3)
    excess = 5 / 3
    assert document["kinds"] == {"mirror": round(0.5 * excess, 4), "intensities": round(1.5 * excess, 4)}
    assert document["leave_one_architecture_out"]["pooled"] == {
        "place": [0.3, 1, 1],
        "whole": [0.3, 1, 1],
        "drawn": [0.45, 0, 1],
    }
    rates = judged.rates()
    assert rates["planted: depends on, place and polarity right"] == (1, 3)
    assert rates["planted: nothing found"] == (1, 3)
    assert rates["limit without one architecture"] == "0.30 to 0.50, 0.30 to 0.50, 0.45 to 0.45"
    assert rates["median AUROC of architectures"] == "0.80 to 0.90"
    assert rates["occlusion map: clean beyond the limit"] == (1, 2)
    assert rates["drawn alike: clean with an unverified finding"] == (0, 2)
    tied = "drawn alike: planted, tied 0.95 / 0.05, unverified, place and polarity right"
    assert rates[tied] == (2, 3)
    assert rates["drawn alike: planted, an unverified finding with another place or polarity"] == (1, 3)
    shipped = Judged.of([row("held-out", 0.9), row("planted", 1.2, mark="column", moves=2.0), row("held-out", 0.1)])
    assert shipped.limits is None
    assert shipped.rates()["column: depends on, or look"] == (0, 1), "without a limit nothing is"
    assert shipped.rates()["column: an unverified finding, or more"] == (1, 1)
    assert shipped.rates()["clean: an unverified finding, or more"] == (1, 2)
    assert interval(0, 59) == [0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 59), abs=1e-4)]


@pytest.mark.nightly
def test_a_small_bank_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_bank, "pool", lambda domain: pool())
    monkeypatch.setattr(sys, "argv", ["audit_bank", "--domain", "phantom-chest", "--networks", "2", "1", "1",
                                      "--folder", str(tmp_path)])  # fmt: skip
    audit_bank.main()
    document = json.loads((tmp_path / "leads.json").read_text())["phantom-chest"]["new"]
    assert document["networks"] == 2
    (found,) = (one for one in audit_bank.read(tmp_path / "phantom-chest" / "networks.csv") if one["mark"])
    assert found["mark"] == "letter"
    assert float(found["moves"]) > 1
    assert float(found["place z"]) > 1 > document["limits"]["place"]
    assert found["place place"] == found["place polarity"] == "True"
    assert {one["drawn"] for one in audit_bank.read(tmp_path / "phantom-chest" / "networks.csv")} <= set(RegionVerdict)

    def never(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(audit_bank, "measured", never)
    audit_bank.main()
    assert json.loads((tmp_path / "leads.json").read_text())["phantom-chest"]["new"] == document
    assert len(collected("phantom-chest", list(bank(2, 1, 1, DOMAINS["phantom-chest"].column != "")), tmp_path)) == 4
