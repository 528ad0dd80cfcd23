"""The bank of eight kinds: what is drawn, what is measured, and how an answer is judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import audit_bank  # noqa: E402
import audit_kinds  # noqa: E402
from audit_bank import SIDE, Pool  # noqa: E402
from audit_kinds import (  # noqa: E402
    CHANGES,
    CLEAN,
    FRESH,
    KINDS,
    MARKS,
    NETWORKS,
    PLANS,
    AuditSize,
    document,
    fresh_network,
    judged,
    network_of,
    order,
    place_of,
    places_of,
    put,
    renewed,
    tied,
    trained,
    used_of,
)

from assay.audit.search.regions import Border, Box, Corners  # noqa: E402


def images_of(count: int, channels: int = 1) -> np.ndarray:
    draws = np.random.default_rng(0)
    found = (
        0.4
        + 0.1 * draws.random((count, channels, SIDE, SIDE))
        + 0.1 * draws.random((count, channels, 6, 1)).repeat(8, 2)
    )
    return found.astype(np.float32)


def pool(count: int = 1200) -> Pool:
    """Images with a faint finding in the middle."""
    images, target = images_of(count), np.arange(count) % 2
    images[:, :, 20:28, 20:28] += 0.05 * target[:, None, None, None]
    return Pool(images, target, np.arange(count), np.random.default_rng(1).random(count) < 0.5, (200, 60, 60))


def test_the_plan_has_what_it_promises() -> None:
    assert len(KINDS) == 8
    assert sum(CLEAN.values()) == 40
    assert not set(NETWORKS) & {*audit_bank.ARCHITECTURES, *audit_bank.USUAL}
    assert len(NETWORKS) >= 6
    assert not {*MARKS, *CHANGES} & {*audit_bank.MARKS, *audit_bank.MORE}
    planned = [network_of(kind, at) for kind in KINDS for at in range(audit_kinds.MOST)]
    planned += [network_of("clean", at) for at in range(40)]
    assert len({one.seed for one in planned}) == len({one.name for one in planned}) == len(planned)
    for kind in KINDS:
        ours = [one for one in planned if one.kind == kind]
        assert {one.architecture for one in ours} == set(NETWORKS), kind
        assert len({one.domain for one in ours}) >= (2 if kind == "colored" else 3), kind
        assert all(one.tie[0] > 3 * one.tie[1] for one in ours), kind
    assert {one.domain for one in planned if one.kind == "clean"} == set(CLEAN)


def test_clean_networks_with_fresh_seeds_are_of_phantoms_and_of_each_architecture() -> None:
    fresh = [fresh_network(9_400_000, at) for at in range(FRESH)]
    assert [one.seed for one in fresh] == list(range(9_400_000, 9_400_040))
    assert {one.marks for one in fresh} == {()}
    kinds = {(one.domain, one.architecture) for one in fresh}
    domains = ("phantom-chest", "phantom-chest-easy", "phantom-nodule")
    assert kinds == {(domain, architecture) for domain in domains for architecture in NETWORKS}


@pytest.mark.parametrize("name", MARKS)
def test_a_mark_is_drawn_where_it_says(name: str) -> None:
    mark, images, draws = MARKS[name], np.full((30, 3, SIDE, SIDE), 0.4, np.float32), np.random.default_rng(2)
    made = put(name, images, images.mean(axis=(0, 1)), draws)
    changed = abs(made - images).sum(axis=1)
    assert changed.any(axis=(1, 2)).all()
    assert made.min() >= 0
    assert made.max() <= 1
    middles = np.stack(
        [(changed.sum(axis=2 - axis) * np.arange(SIDE)).sum(axis=1) / changed.sum(axis=(1, 2)) for axis in (0, 1)],
        axis=1,
    )
    if not mark.places:
        assert middles.std(axis=0).min() > 4, "it wanders"
        return
    near = abs(middles[:, None] - np.array(mark.places)).max(axis=2)
    assert (near.min(axis=1) < 3.5).all()
    assert set(near.argmin(axis=1)) == set(range(len(mark.places)))
    off = middles - np.array(mark.places)[near.argmin(axis=1)]
    spread = max(off[near.argmin(axis=1) == at].std(axis=0).max() for at in range(len(mark.places)))
    assert spread > 0.05 if mark.moved else spread < 1e-3
    if mark.tint:
        assert made.mean(axis=1) == pytest.approx(images.mean(axis=1), abs=1e-5), "no gray value changes"


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_of_all_of_an_image(name: str) -> None:
    images = images_of(3, 3)
    made = put(name, images, images.mean(axis=(0, 1)), np.random.default_rng(3))
    assert made.shape == images.shape
    assert made.dtype == np.float32
    assert (abs(made - images) > 0.005).mean(axis=(1, 2, 3)).min() > 0.5


def test_marks_are_tied_as_planned_each_on_its_own() -> None:
    images, target = images_of(400), np.arange(400) % 2
    planned = AuditSize("two", "", "dense", 1, ("upper cross", "lower comb"), (0.7, 0.1))
    made, has = tied(planned, images, target, images.mean(axis=(0, 1)), np.random.default_rng(4))
    assert has[target == 1].mean(axis=0) == pytest.approx([0.7, 0.7], abs=0.1)
    assert has[target == 0].mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.06)
    assert (has[:, 0] != has[:, 1]).any()
    moved = abs(made - images) > 0.1
    for at, name in enumerate(planned.marks):
        (where,) = places_of("", name)
        assert np.array_equal(moved[:, 0, where].any(axis=1), has[:, at])


@pytest.mark.nightly
def test_truth_is_what_a_mark_does_when_it_is_put_on() -> None:
    whole = pool()
    row, kept = trained(AuditSize("local", "", "branches", 5, ("cross",), (0.95, 0.05)), whole)
    assert float(row["moves"]) > 1
    assert kept["test"].dtype == np.uint8
    assert len(kept["train"]) == len(kept["train_has"]) == 200
    assert kept["test_has"][kept["test_target"] == 1].mean() > 0.8
    clean, _ = trained(AuditSize("clean", "", "branches", 5), whole)
    assert clean["moves"] == 0
    untied, _ = trained(AuditSize("local", "", "branches", 5, ("cross",), (0.5, 0.5)), whole)
    assert abs(float(untied["moves"])) < abs(float(row["moves"])) / 2
    column, kept = trained(AuditSize("natural", "", "branches", 5, ("column",), (0.9, 0.1)), whole)
    assert abs(float(column["moves"])) < 1, "nothing is to be seen of it"
    assert kept["test_has"][kept["test_target"] == 1].mean() == pytest.approx(0.9)


@pytest.mark.parametrize("region", [Box(1 / 6, 1 / 3, 0.5, 1), Border(0.05), Corners(1 / 6)])
def test_a_place_is_read_from_a_public_row(region: Any) -> None:
    found = place_of({"kind": region.kind, "name": region.name})
    assert found is not None
    assert abs(found.astype(int) - region.pixel_mask(SIDE, SIDE)).mean() < 0.03
    corner = place_of({"kind": "corners", "name": "0.167 upper left"})
    assert corner is not None
    assert corner[:4, :4].all()
    assert not corner[-4:].any()
    assert place_of({"kind": "band", "name": "3"}) is None


def region(verdict: str, kind: str = "box", name: str = "0.9,0.4,1,0.5", **more: Any) -> dict[str, Any]:
    return {"of": "place", "trained": False, "verdict": verdict, "kind": kind, "name": name, **more}


CROSS, COMB = "0.0,0.4,0.25,0.6", "0.75,0.05,1,0.4"


@pytest.mark.parametrize(
    ("marks", "rows", "carry", "expected"),
    [
        (["upper cross"], [region("relies-on-region", name=CROSS)], False, "named"),
        (["upper cross"], [region("unverified", name=CROSS)], False, "named, unverified"),
        (["upper cross"], [region("relies-on-region", name=COMB)], False, "elsewhere"),
        (["upper cross"], [region("relies-on-region", name=COMB)], True, "named"),
        (["upper cross"], [region("inconclusive", name=CROSS)], True, "inconclusive"),
        (["upper cross"], [region("nothing-found"), region("not-tested")], True, "nothing found"),
        (["upper cross", "lower comb"], [region("relies-on-region", name=CROSS)], False, "partly named"),
        (
            ["upper cross", "lower comb"],
            [region("relies-on-region", name=CROSS), region("relies-on-region", name=COMB)],
            False,
            "named",
        ),
        (["ring in three"], [region("relies-on-region", name="0,0,0.34,0.34")], False, "partly named"),
        (["ring in three"], [region("relies-on-region", "corners", "0.34")], False, "named"),
        (["needle"], [region("relies-on-region", finder="places", round=2)], True, "named"),
        (["gray curve"], [region("relies-on-region", "intensities", "")], False, "named"),
        (["gray curve"], [region("relies-on-region", "mirror", "")], False, "elsewhere"),
        ([""], [region("relies-on-look")], False, "called"),
        ([""], [region("unverified")], False, "unverified"),
        ([""], [region("nothing-found")], False, "nothing found"),
    ],
)
def test_an_answer_is_judged_from_public_tables(marks: list[str], rows: Any, carry: bool, expected: str) -> None:
    draws = np.random.default_rng(6)
    has, target = draws.random((80, max(1, len(marks)))) < 0.5, np.arange(80) % 2
    carriers = [
        {"of": "place", "trained": False, "row": at, "carries": bool(has[at, 0]) if carry else False}
        for at in range(80)
    ]
    truth = {"test_has": has, "test_target": target}
    found = {"regions": rows, "verdicts": [{"kind": "column", "factor": "view", "verdict": "answers-differ-with"}],
             "carriers": carriers}  # fmt: skip
    assert judged(found, "fundus", marks, truth, range(len(marks))) == expected


def test_a_mark_that_a_network_does_not_use_need_not_be_named() -> None:
    assert used_of({"each": "1.20 0.10"}) == [0]
    assert used_of({"each": "0.10 0.20"}) == [0, 1]


def test_rates_of_an_earlier_search_are_renewed_by_what_both_searches_audited() -> None:
    rows = [
        {"network": name, "kind": kind, "moves": "2"} for name, kind in (("a", "rare"), ("b", "rare"), ("c", "clean"))
    ]
    earlier = {
        ("a", "train"): "named",
        ("b", "train"): "nothing found",
        ("c", "train"): "called",
        ("c", "test"): "called",
    }
    later = {("b", "train"): "named", ("c", "train"): "nothing found"}
    since = document(rows, earlier)
    assert renewed(since, rows, earlier, later) == document(rows, earlier | later)
    assert renewed(since, rows, {}, later) == since


def test_rounds_have_all_kinds_first() -> None:
    rows = [
        {"network": f"{kind} {at}", "kind": kind, "moves": "0.2" if at == 2 else "2"}
        for kind in PLANS
        for at in range(3)
    ]
    rows += [{"network": f"clean {at}", "kind": "clean", "moves": "0"} for at in range(6)]
    found = order(rows)
    assert sorted(one["network"] for one in found) == sorted(one["network"] for one in rows)
    assert [one["kind"] for one in found[:11]] == [*KINDS, "clean", "clean", "clean"]
    assert all(one["moves"] == "0.2" for one in found[-8:]), "those that use it less are last"
