"""Error rates of the verdicts of audits, from networks whose shortcut is known."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.special import ndtri

from assay.shifts.battery import DECIDING, DOSES, battery, marks_of
from assay.stats.verdicts import Reference, Verdict, reference_of
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.study.audit import OfTraining
from assay.study.auditing import Asked, run_audit
from assay.study.records import trained_model


@dataclass(frozen=True)
class Base:
    """Images on which networks are trained and audited.

    Attributes:
        domain: Domain of the audits; the reference of these networks is shipped under its name.
        data: `data` of a study, without numbers of images.
        environment: How the images are drawn.
        tied: Marks that are tied to the class in training, as the battery draws them, then drawn differently.
    """

    domain: str
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    tied: tuple[tuple[str, Any, Any], ...]


BASES: Mapping[str, Base] = {
    "chest": Base(
        "phantom-chest",
        {"phantom": "chest", "size": 64, "target": "mass", "core": "mass"},
        {"difficulty": {"mass": 1.5}},
        (
            ("tag", {"tag": {"size": 0.12}}, {"tag": {"size": 0.1, "x": 0.12, "y": 0.88, "shape": "rectangle"}}),
            ("low-pass", {"low-pass": {"cutoff": 0.5}}, {"low-pass": {"cutoff": 0.65}}),
            (
                "laterality-marker",
                {"laterality-marker": {"size": 0.11}},
                {"laterality-marker": {"size": 0.15, "x": 0.2, "y": 0.15}},
            ),
        ),
    ),
    "nodule": Base(
        "phantom-nodule",
        {"phantom": "nodule", "size": 64, "target": "malignant", "core": "margin"},
        {},
        (
            ("tag", {"tag": {"size": 0.12}}, {"tag": {"size": 0.1, "x": 0.12, "y": 0.88, "shape": "rectangle"}}),
            ("low-pass", {"low-pass": {"cutoff": 0.5}}, {"low-pass": {"cutoff": 0.65}}),
            ("ruler", {"ruler": {"opacity": 0.7, "marks": 10}}, {"ruler": {"opacity": 0.5, "marks": 6}}),
        ),
    ),
}
"""Bases by name."""
ASSOCIATIONS = (0.3, 0.7, 0.9)
"""Shares of the positive images that have a mark in training."""


@dataclass(frozen=True)
class Counts:
    """How many networks are trained.

    Attributes:
        clean: Networks that see no mark; where they are more than twice `references.LEAST_NETWORKS`, the first are the
            reference and the others are judged.
        tied: Seeds of each mark at each association.
        untied: Seeds of each mark on half of all images, whatever the class.
    """

    clean: int = 120
    tied: int = 3
    untied: int = 5


def studies(base: Base, counts: Counts) -> dict[str, dict[str, Any]]:
    """Return the studies that train the networks: name -> mapping."""
    drawn = [one for _, here, elsewhere in base.tied for one in (here, elsewhere)]

    def study(name: str, dose: Mapping[str, Any], seeds: int, first: int) -> dict[str, Any]:
        return {
            "name": f"{base.domain}-{name}",
            "data": {**base.data, "train": 600, "validation": 100, "test": 100},
            "environments": {"train": {**base.environment, **dose}, "clean": dict(base.environment)},
            "recipe": {
                "architecture": "small-cnn",
                "optimizer": {"adamw": {"lr": 0.003}},
                "augmentation": [{"flip": {"vertical": 0}}, "shift"],
                "epochs": 16,
                "batch_size": 32,
            },
            "probes": ["performance"],
            "first_seed": first,
            "seeds": seeds,
        }

    found = {
        "clean": study("clean", {}, counts.clean, 2000),
        "tied": study("tied", {"dose": {"confounder": drawn, "p": list(ASSOCIATIONS)}}, counts.tied, 3000),
        "untied": study(
            "untied",
            {"dose": {"confounder": [one[1] for one in base.tied], "p": 0.5, "on": "both"}},
            counts.untied,
            4000,
        ),
    }
    return {name: one for name, one in found.items() if one["seeds"]}


# One world: a network, its audit, and the truth on other images.

AUDITED, POOL = 200, 800
"""Images of an audit, and of the pool on which the truth is measured."""
PLANTED = "planted"
"""Name of the mark as a network saw it in training."""
_LONG = 86_400.0
"""Seconds: no audit is cut short."""


@dataclass(frozen=True)
class World:
    """A network and what it saw in training.

    Attributes:
        trial: Folder of its training.
        kind: clean, tied or untied.
        mark: The mark that it saw; empty of a clean network.
        drawn: Arguments of the mark as it saw it; None of a clean network.
        as_audited: Whether the audit draws the mark so.
        association: Share of positive images with the mark.
        seed: Seed of the training.
    """

    trial: Path
    kind: str
    mark: str = ""
    drawn: Any = None
    as_audited: bool = False
    association: float = 0.0
    seed: int = 0


def worlds(base: Base, kind: str, folder: RunFolder) -> Iterator[World]:
    """Yield the networks of a study of `studies` that was run; `kind` is its name there."""
    drawn = {
        _label(one[at]): (one[0], one[at], at == 1) for one in base.tied for at in (1, 2)
    }  # as the study labels them
    for row in folder.table("trials"):
        if row["status"] != "done":
            continue
        where, seed = folder.unit("trials", str(row["trial"])), int(row["seed"])
        if kind == "clean":
            yield World(where, kind, seed=seed)
        else:
            place = json.loads(row["coordinates"])
            mark, component, same = drawn[place["confounder"]]
            share = float(place["p"]) if kind == "tied" else 0.5
            yield World(where, kind, mark, component, same, share, seed)


def _label(component: Any) -> str:
    (mark,) = marks_of({"one": [component] * len(DOSES)})
    return mark.doses[DECIDING].label


def measure(world: World, base: Base, scratch: Path, images: int = AUDITED, pool: int = POOL) -> dict[str, Any]:
    """Audit a network on new images, and measure the truth on a pool of others.

    Args:
        world: The network.
        base: Its images.
        scratch: A folder for records that are removed afterward.
        images: Images of the audit.
        pool: Images of the pool.

    Returns:
        Plain values: the world, its AUROC, and of each mark the verdict and the swing, and the swing on the pool.
    """
    origin = OfTraining(trained_model(world.trial))
    marks, _ = battery(base.domain, 1)
    shared = Asked(
        domain=base.domain, budget=_LONG, as_given=True, pictures=False, distortions=(), shipped=False, leads=False
    )
    once = {mark.name: [{mark.doses[DECIDING].name: dict(mark.doses[DECIDING].params)}] * len(DOSES) for mark in marks}
    if world.drawn is not None:
        once[PLANTED] = [world.drawn] * len(DOSES)
    try:
        small = RunFolder(_audited(origin, base, replace(shared, seed=world.seed), images, scratch / "audit"))
        large = RunFolder(_audited(origin, base, replace(shared, seed=10_000, marks=once), pool, scratch / "pool"))
        true = {row["factor"]: row["g"] for row in large.table("effects") if row["dose"] == DOSES[DECIDING]}
        found = {
            row["factor"]: {
                **{name: row[name] for name in ("verdict", "g", "low", "high", "at_least")},
                "true": true[row["factor"]],
            }
            for row in small.table("verdicts")
            if row["kind"] == "mark" and row["factor"] in true
        }
        ranking = next(row["value"] for row in small.table("checks") if row["check"] == "ranking")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"kind": world.kind, "mark": world.mark, "as_audited": world.as_audited, "association": world.association,
            "seed": world.seed, "auroc": ranking, "planted": true.get(PLANTED, math.nan), "marks": found}  # fmt: skip


def _audited(origin: OfTraining, base: Base, asked: Asked, images: int, out: Path) -> Path:
    data = {**base.data, "test": images}
    found = run_audit(origin, data, asked, environment=base.environment, out=out)
    assert isinstance(found, Path)
    return found


# From worlds to a reference and error rates.

BOUND = 0.02
"""A swing on the pool below this is none."""
CLEAR = 0.1
"""A swing on the pool from this on is one that an audit should see."""
BEYOND = 0.05
"""Distance beyond the reference limit from which reliance should be seen."""


def limits_of(domain: str, found: Sequence[Mapping[str, Any]]) -> Reference:
    """Return the reference of clean networks, from what `measure` returned for them."""
    names = sorted(set[str].intersection(*(set(one["marks"]) for one in found)))
    return reference_of(domain, {name: [float(one["marks"][name]["g"]) for one in found] for name in names})


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson 1927); NaN of nothing.

    Args:
        count: How often it happened.
        of: How often it could.
    """
    if not of:
        return math.nan, math.nan
    z = float(ndtri(0.975))
    middle, reach = count + z**2 / 2, z * math.sqrt(count * (of - count) / of + z**2 / 4)
    return (middle - reach) / (of + z**2), (middle + reach) / (of + z**2)


@dataclass(frozen=True)
class _Judged:
    """A verdict next to the truth."""

    world: int
    kind: str
    audited: str
    own: bool
    verdict: str
    g: float
    low: float
    high: float
    true: float
    limit: float


def _judged(found: Sequence[Mapping[str, Any]], reference: Reference) -> Iterator[_Judged]:
    for at, world in enumerate(found):
        for name, one in world["marks"].items():
            limit = reference.limit(name)
            relies = one["verdict"] == Verdict.AFFECTED and limit is not None and one["at_least"] > limit
            verdict = str(Verdict.RELIES) if relies else str(one["verdict"])
            yield _Judged(at, world["kind"], name, world["mark"] == name, verdict, one["g"], one["low"], one["high"],
                          one["true"], math.nan if limit is None else limit)  # fmt: skip


def rates(found: Sequence[Mapping[str, Any]], reference: Reference) -> list[Row]:
    """Return rows of `audit_tables.RATES` from worlds that are not part of the reference."""
    rows = list(_judged(found, reference))
    never = [one for one in rows if one.kind != "tied" or abs(one.true) < BOUND]
    clean = {one.world for one in rows if one.kind == "clean"}
    wrong = {one.world for one in rows if one.kind == "clean" and one.verdict == Verdict.RELIES}
    large = [one for one in rows if abs(one.true) >= CLEAR]
    seen = [one for one in large if abs(one.true) >= one.limit + BEYOND]
    settled = [one for one in rows if abs(one.true) < BOUND or abs(one.true) > CLEAR]
    own = [one for one in rows if one.own and one.kind == "tied" and abs(one.true) >= CLEAR]

    def share(name: str, among: Sequence[_Judged], verdict: str) -> Row:
        return rate(name, sum(one.verdict == verdict for one in among), len(among))

    bands = ((0.1, 0.2), (0.2, 0.3), (0.3, 0.51))
    return [
        share("relies-on, mark never tied or |g| < .02", never, Verdict.RELIES),
        rate("audits of clean networks with a relies-on", len(wrong), len(clean)),
        share("no-effect, |g| >= .1", large, Verdict.NO_EFFECT),
        share("relies-on, |g| >= .1 and .05 beyond the limit", seen, Verdict.RELIES),
        share("relies-on, planted mark with |g| >= .1", own, Verdict.RELIES),
        *(
            rate(
                f"affected-by or relies-on, |g| {low:.1f} to {min(high, 0.5):.1f}",
                sum(one.verdict in (Verdict.RELIES, Verdict.AFFECTED) for one in band),
                len(band),
            )
            for low, high in bands
            for band in [[one for one in rows if low <= abs(one.true) < high]]
        ),
        share("inconclusive, |g| < .02 or > .1", settled, Verdict.INCONCLUSIVE),
        rate("g at or above its lower bound", sum(one.true >= one.low for one in rows), len(rows)),
        rate("g at or below its upper bound", sum(one.true <= one.high for one in rows), len(rows)),
    ]


def rate(name: str, count: int, of: int) -> Row:
    """Return a row of `audit_tables.RATES`."""
    low, high = wilson(count, of)
    return {
        "rate": name,
        "count": count,
        "among": of,
        "value": count / of if of else math.nan,
        "low": low,
        "high": high,
    }


# What a calibration writes.


def shipped_document(base: Base, reference: Reference, found: Sequence[Row], networks: int) -> dict[str, Any]:
    """Return what is shipped of a calibration: the reference, how its marks are drawn, and the error rates.

    Args:
        base: The base.
        reference: Its reference.
        found: Rows of `audit_tables.RATES`.
        networks: Networks that the rates are of, none of which is in the reference.
    """
    drawn = {mark.name: mark.doses[DECIDING].label for mark in battery(base.domain, 1)[0]}
    marks = {name: {"drawn": drawn[name], "largest": value} for name, value in reference.largest.items()}
    return {
        "domain": base.domain,
        "networks": reference.networks,
        "excess": reference.excess,
        "marks": marks,
        "images": AUDITED,
        "judged": networks,
        "rates": [{key: None if value != value else value for key, value in row.items()} for row in found],
    }


def world_rows(found: Sequence[Mapping[str, Any]], reference: Reference) -> list[Row]:
    """Return a row per network and mark: what the audit said, and the truth."""
    rows: list[Row] = []
    for world, one in ((found[judged.world], judged) for judged in _judged(found, reference)):
        rows.append(
            {**{name: world[name] for name in ("kind", "mark", "as_audited", "association", "seed", "auroc")},
             "audited": one.audited, "verdict": one.verdict, "g": one.g, "low": one.low, "high": one.high,
             "true": one.true, "limit": one.limit, "planted": world["planted"] if one.own else math.nan}
        )  # fmt: skip
    return rows
