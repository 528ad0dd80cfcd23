"""How often the verdicts of audits are wrong, on networks of known truth.

    python benchmarks/audit_rates.py [--base chest|nodule] [--quick] [--folder calibration]
    python benchmarks/audit_rates.py --images data.csv --target finding --patient patient --domain chest-xray

Small networks are trained on phantom images, or on a part of the given ones, without a mark, with a mark tied to the
class, or with an untied one, and audited on other images. The truth is measured on more of them. Printed are the error
rates; the folder gets worlds.csv, rates.csv, and the document that `audit/references/` ships. A second call goes on
where the first ended. About an hour on two cores; --quick judges 30 networks by the shipped reference in some minutes.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from _shared import cores, parser
from scipy.special import ndtri

from assay.api import load
from assay.audit.battery import DECIDING, DOMAINS, DOSES, at_deciding_dose, battery
from assay.audit.reference_networks import ARCHITECTURE, audit_trained, parts_of, run_jobs, table_rows, training_study
from assay.audit.references import IMAGE_SIDE, LEAST_NETWORKS, shipped_reference
from assay.audit.request import AuditRequest
from assay.audit.tables import RATES
from assay.audit.verdicts import Reference, reference_of
from assay.core.errors import SpecError
from assay.core.files import content_hash, is_file, sha256
from assay.execution.progress import display_for
from assay.execution.tasks import Context
from assay.spec.grid import label
from assay.stats.format import count, number
from assay.stats.rows import Verdict
from assay.store.files import Row, read_checked_json, write_checked_json, write_json
from assay.store.folder import RunFolder

_Mark = tuple[str, Any, Any]
Tested = tuple[Mapping[str, Any], Mapping[str, Any]]
AUDITED, POOL = 200, 800
"""Images of an audit, and of the pool on which the truth is measured."""


@dataclass(frozen=True)
class Base:
    """Images on which networks are trained and audited.

    Attributes:
        domain: Domain of the audits; the reference of these networks is shipped under its name.
        data: `data` of a study.
        environment: How the images are drawn.
        tied: Marks that are tied to the class in training: name, as the battery draws it, and drawn differently.
        tested: Pairs of `data`, the images of an audit and the pool; networks take them in turn.
        audited: Images of an audit.
    """

    domain: str
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    tied: tuple[_Mark, ...]
    tested: tuple[Tested, ...]
    audited: int = AUDITED

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """Hash of each pair of `tested`, with the pixels of files, and of the marks and how images are drawn."""
        digest = cache(sha256)

        def plain(data: Mapping[str, Any]) -> Mapping[str, Any]:
            if "table" not in data:
                return data
            image = str(data.get("image", "image"))
            rows = [{**row, image: digest(Path(row[image]))} for row in table_rows(data)]
            return {**data, "folder": "", "table": rows}

        drawn = [[mark.name, *(dose.canonical() for dose in mark.doses)] for mark in battery(self.domain, 1)[0]]
        return tuple(content_hash([drawn, self.environment, plain(few), plain(many)]) for few, many in self.tested)


_DRAWN: Mapping[str, tuple[Any, Any]] = {
    "tag": ({"tag": {"size": 0.12}}, {"tag": {"size": 0.1, "x": 0.12, "y": 0.88, "shape": "rectangle"}}),
    "low-pass": ({"low-pass": {"cutoff": 0.5}}, {"low-pass": {"cutoff": 0.65}}),
    "laterality-marker": (
        {"laterality-marker": {"size": 0.11}},
        {"laterality-marker": {"size": 0.15, "x": 0.2, "y": 0.15}},
    ),
    "ruler": ({"ruler": {"opacity": 0.7, "marks": 10}}, {"ruler": {"opacity": 0.5, "marks": 6}}),
    "hair": ({"hair": {"count": 15}}, {"hair": {"count": 24}}),
    "scope-inset": ({"scope-inset": {"size": 0.28}}, {"scope-inset": {"size": 0.22}}),
    "text-line": (
        {"text-line": {"size": 0.055, "text": "ID ###", "x": 0.5}},
        {"text-line": {"size": 0.07, "text": "###", "x": 0.3}},
    ),
}
"""Mark -> as the battery draws it, and drawn differently."""
_TIED = 3
"""Marks of a battery that are tied to the class."""


def tied_marks(domain: str) -> tuple[_Mark, ...]:
    """Return marks of the battery of a domain to tie to the class."""
    names = {mark.name for mark in battery(domain, 1)[0]}
    return tuple((name, *drawn) for name, drawn in _DRAWN.items() if name in names)[:_TIED]


def _phantom(phantom: str, target: str, core: str, environment: Mapping[str, Any]) -> Base:
    data = {"phantom": phantom, "size": IMAGE_SIDE, "target": target, "core": core}
    domain = f"phantom-{phantom}"
    return Base(
        domain,
        {**data, "train": 600, "validation": 100, "test": 100},
        environment,
        tied_marks(domain),
        (({**data, "test": AUDITED}, {**data, "test": POOL}),),
    )


BASES: Mapping[str, Base] = {
    "chest": _phantom("chest", "mass", "mass", {"difficulty": {"mass": 1.5}}),
    "nodule": _phantom("nodule", "malignant", "margin", {}),
}
"""Bases of phantoms by name."""
ASSOCIATIONS = (0.3, 0.7, 0.9)
"""Shares of the positive images that have a mark in training."""
_TURNS = 8
"""Draws of the audited images among those that no network was trained on."""


def base_of_rows(data: Mapping[str, Any], domain: str) -> Base:
    """Return a base of a user's images.

    Up to 200 of them are audited at a time, four times as many are the pool, and the others train the networks. No
    patient is in two of these parts.

    Args:
        data: As `data` of a study: a table of images.
        domain: The domain of the audits.

    Raises:
        SpecError: There is no table, or there are too few images.
    """
    count = len(table_rows(data))
    audited = min(AUDITED, count // 8)
    share = 5 * audited / max(count, 1)
    parts = parts_of(data, shares=(("train", 0.85 * (1 - share)), ("validation", 0.15 * (1 - share)), ("test", share)))
    turns = (parts.split_tested(0.2, seed) for seed in range(_TURNS))
    tested = tuple((parts.data_of_rows(few), parts.data_of_rows(many)) for few, many in turns)
    return Base(domain, parts.study_data(), {}, tied_marks(domain), tested, audited)


OTHERS = ("test_resnet", "test_efficientnet")
"""Small networks of timm that judge whether a reference holds for other architectures."""


@dataclass(frozen=True)
class Counts:
    """How many networks are trained.

    Attributes:
        clean: Networks that see no mark; where they are more than twice `references.LEAST_NETWORKS`, the first are the
            reference and the others are judged.
        tied: Seeds of each mark at each association.
        untied: Seeds of each mark on half of all images, whatever the class.
        others: Clean networks of each of `OTHERS`; each of the marks is also tied by 0.9, with a fifth of the seeds.
        left_out: Seeds of clean networks that are skipped: those of a reference, which cannot judge them.
    """

    clean: int = 120
    tied: int = 3
    untied: int = 5
    others: int = 20
    left_out: int = 0


def studies(base: Base, counts: Counts) -> dict[str, dict[str, Any]]:
    """Return the studies that train the networks: name -> mapping."""
    drawn = [one for _, here, elsewhere in base.tied for one in (here, elsewhere)]

    def study(
        name: str, dose: Mapping[str, Any], seeds: int, first: int, architecture: Any = ARCHITECTURE
    ) -> dict[str, Any]:
        environments = {"train": {**base.environment, **dose}, "clean": dict(base.environment)}
        return training_study(
            f"{base.domain}-{name}", base.data, environments, seeds=seeds, first_seed=first, architecture=architecture
        )

    same = [one[1] for one in base.tied]
    found = {
        "clean": study("clean", {}, counts.clean, 2000 + counts.left_out),
        "tied": study("tied", {"dose": {"confounder": drawn, "p": list(ASSOCIATIONS)}}, counts.tied, 3000),
        "untied": study("untied", {"dose": {"confounder": same, "p": 0.5, "on": "both"}}, counts.untied, 4000),
    }
    for name in OTHERS:
        network, tied = {"timm": {"model": name}}, {"dose": {"confounder": same, "p": ASSOCIATIONS[-1]}}
        found[f"clean {name}"] = study(f"clean-{name}", {}, counts.others, 5000, network)
        found[f"tied {name}"] = study(f"tied-{name}", tied, counts.others // 5, 6000, network)
    return {name: one for name, one in found.items() if one["seeds"]}


# One world: a network, its audit, and the truth on other images.

PLANTED = "planted"
"""Name of the mark as a network saw it in training."""


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
        architecture: Its architecture.
    """

    trial: Path
    kind: str
    mark: str = ""
    drawn: Any = None
    as_audited: bool = False
    association: float = 0.0
    seed: int = 0
    architecture: str = ARCHITECTURE


def worlds(base: Base, name: str, folder: RunFolder) -> Iterator[World]:
    """Yield the networks of a study of `studies` that was run; `name` is its name there."""
    kind, _, architecture = name.partition(" ")
    drawn = {
        label(one[at]): (one[0], one[at], at == 1) for one in base.tied for at in (1, 2)
    }  # as the study labels them
    for row in folder.table("trials"):
        if row["status"] != "done":
            continue
        where, seed = folder.unit("trials", str(row["trial"])), int(row["seed"])
        if kind == "clean":
            yield World(where, kind, seed=seed, architecture=architecture or ARCHITECTURE)
        else:
            place = json.loads(row["coordinates"])
            mark, component, same = drawn[place["confounder"]]
            share = 0.5 if kind == "untied" else float(place.get("p", ASSOCIATIONS[-1]))
            yield World(where, kind, mark, component, same, share, seed, architecture or ARCHITECTURE)


def measure(world: World, base: Base, scratch: Path) -> dict[str, Any]:
    """Audit a network on new images, and measure the truth on a pool of others.

    Args:
        world: The network.
        base: Its images.
        scratch: A folder for records that are removed afterward.

    Returns:
        Plain values: the world, its AUROC, and of each mark the verdict and the swing, and the swing on the pool.
    """
    few, many = base.tested[world.seed % len(base.tested)]
    shared = AuditRequest(
        data=few, domain=base.domain, environment=base.environment, seed=world.seed, leads=False, out=scratch / "audit"
    )
    marks, _ = battery(base.domain, 1)
    once = at_deciding_dose(marks)
    if world.drawn is not None:
        once[PLANTED] = [world.drawn] * len(DOSES)
    pooled = shared.with_changes(data=many, seed=10_000, marks=once, out=scratch / "pool")
    try:
        small = RunFolder(audit_trained(world.trial, shared))
        large = RunFolder(audit_trained(world.trial, pooled))
        true = {
            row["factor"]: row["g"]
            for row in large.table("effects")
            if row["dose"] == DOSES[DECIDING] and not row["place"]
        }
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
    return {
        "kind": world.kind,
        "architecture": world.architecture,
        "mark": world.mark,
        "as_audited": world.as_audited,
        "association": world.association,
        "seed": world.seed,
        "auroc": ranking,
        "planted": true.get(PLANTED, math.nan),
        "marks": found,
    }


@dataclass(frozen=True)
class MeasureJob:
    """Writes what `measure` says of a network, where it is not there.

    Attributes:
        world: The network.
        base: Its images.
        folder: Folder of the calibration.
    """

    world: World
    base: Base
    folder: Path

    @property
    def name(self) -> str:
        """The training and a hash of all else that it measures: tested images, marks, and how they are asked for."""
        turns = self.base.measured
        given = [turns[self.world.seed % len(turns)], self.base.domain, self.world.drawn, self.world.seed]
        return f"{self.world.trial.name}-{content_hash(given)}"

    @property
    def file(self) -> Path:
        """The file that it writes."""
        return self.folder / "worlds" / f"{self.name}.json"

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        if not is_file(self.file):
            write_checked_json(self.file, measure(self.world, self.base, self.folder / "scratch" / self.name))


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
            yield _Judged(
                at,
                world["kind"],
                name,
                world["mark"] == name,
                verdict,
                one["g"],
                one["low"],
                one["high"],
                one["true"],
                math.nan if limit is None else limit,
            )


def rates(found: Sequence[Mapping[str, Any]], reference: Reference) -> list[Row]:
    """Return rows of `audit_tables.RATES` from worlds that are not part of the reference."""
    rows = list(_judged(found, reference))
    never = [one for one in rows if not (one.own and one.kind == "tied") or abs(one.true) < BOUND]
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
        share(
            "'relies on' where the mark was not tied to the target, or its true shift is below 0.02",
            never,
            Verdict.RELIES,
        ),
        rate("audits of networks without a shortcut that have any 'relies on'", len(wrong), len(clean)),
        share("'no effect' where the true shift is 0.1 or more", large, Verdict.NO_EFFECT),
        share("'relies on' where the true shift is 0.1 or more and beyond the limit by 0.05", seen, Verdict.RELIES),
        share("'relies on' for a planted mark whose true shift is 0.1 or more", own, Verdict.RELIES),
        *(
            rate(
                f"'affected by' or 'relies on' where the true shift is {low:.1f} to {min(high, 0.5):.1f}",
                sum(one.verdict in (Verdict.RELIES, Verdict.AFFECTED) for one in band),
                len(band),
            )
            for low, high in bands
            for band in [[one for one in rows if low <= abs(one.true) < high]]
        ),
        share("inconclusive where the true shift is below 0.02 or above 0.1", settled, Verdict.INCONCLUSIVE),
        rate("true shift at or above its lower bound", sum(one.true >= one.low for one in rows), len(rows)),
        rate("true shift at or below its upper bound", sum(one.true <= one.high for one in rows), len(rows)),
    ]


def by_architecture(found: Sequence[Mapping[str, Any]], reference: Reference) -> list[Row]:
    """Return rows of `audit_tables.RATES`, with the architecture of the networks that they are of.

    Args:
        found: Worlds that are not part of the reference.
        reference: The reference, which judges networks of other architectures too.
    """
    names = dict.fromkeys(str(one["architecture"]) for one in found)
    return [
        {"architecture": name, **row}
        for name in names
        for row in rates([one for one in found if one["architecture"] == name], reference)
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
    everywhere = "phantom" in base.data  # networks on others' images are no reference: theirs are trained on their own
    marks = {name: {"drawn": drawn[name], "largest": value} for name, value in reference.largest.items() if everywhere}
    return {
        "domain": base.domain,
        "networks": reference.networks,
        "excess": reference.excess,
        "marks": marks,
        "images": base.audited,
        "judged": networks,
        "rates": [{key: None if value != value else value for key, value in row.items()} for row in found],
    }


def world_rows(found: Sequence[Mapping[str, Any]], reference: Reference) -> list[Row]:
    """Return a row per network and mark: what the audit said, and the truth."""
    rows: list[Row] = []
    for world, one in ((found[judged.world], judged) for judged in _judged(found, reference)):
        rows.append(
            {
                **{name: value for name, value in world.items() if name not in ("planted", "marks")},
                "audited": one.audited,
                "verdict": one.verdict,
                "g": one.g,
                "low": one.low,
                "high": one.high,
                "true": one.true,
                "limit": one.limit,
                "planted": world["planted"] if one.own else math.nan,
            }
        )
    return rows


# The command.

QUICK = Counts(clean=12, tied=1, untied=0, others=0, left_out=LEAST_NETWORKS)
"""Few networks, judged by the shipped reference."""


def calibrated(base: Base, folder: Path, *, quick: bool = False, workers: int | None = None) -> Iterator[str]:
    """Train networks, audit them, write the files of the folder, and yield the lines to print.

    Args:
        base: The base.
        folder: Folder of the calibration.
        quick: Judge few networks by the shipped reference, in place of making one.
        workers: Worker processes for training.

    Raises:
        SpecError: The base has no shipped reference for a quick look.
    """
    found = _found(base, QUICK if quick else Counts(), folder, workers)
    reference, judged = _reference(base, found, quick)
    rows = by_architecture(judged, reference)
    if not quick:
        own = [{name: row[name] for name in RATES.names} for row in rows if row["architecture"] == ARCHITECTURE]
        networks = sum(one["architecture"] == ARCHITECTURE for one in judged)
        document = shipped_document(base, reference, own, networks)
        write_json(folder / f"{base.domain}.json", document)
    _write_csv(folder / "worlds.csv", world_rows(judged, reference))
    _write_csv(folder / "rates.csv", rows)
    yield f"{base.domain}: {count(reference.networks, 'reference network')}, {count(len(judged), 'network')} judged"
    for architecture in dict.fromkeys(row["architecture"] for row in rows):
        yield architecture
        yield from (f"  {words(row)}" for row in rows if row["architecture"] == architecture)


def words(row: Mapping[str, Any]) -> str:
    """Return a rate in words."""
    if not row["among"]:
        return f"{row['rate']}: could not happen here"
    share = f"{number(100 * row['value'], 1)}% [{number(100 * row['low'], 1)}, {number(100 * row['high'], 1)}]"
    return f"{row['rate']}: {row['count']:,} of {row['among']:,}, {share}"


def _found(base: Base, counts: Counts, folder: Path, workers: int | None) -> list[dict[str, Any]]:
    """Return what `measure` says of every network, measured where it is not kept."""
    found: list[dict[str, Any]] = []
    for kind, study in studies(base, counts).items():
        run = load(study).run(folder / "networks", workers=workers, progress=True)
        every = [MeasureJob(world, base, folder) for world in worlds(base, kind, RunFolder(run.folder))]
        missing = {job.world.trial.name: job for job in every if not is_file(job.file)}
        run_jobs(missing, workers, partial(display_for, workers=workers or cores(), as_json=False))
        found += [read_checked_json(job.file) for job in every]
    return found


def _reference(
    base: Base, found: Sequence[Mapping[str, Any]], quick: bool
) -> tuple[Reference, list[Mapping[str, Any]]]:
    """Return the reference, and the worlds that it judges."""
    if quick:
        drawn = {mark.name: mark.doses[DECIDING].label for mark in battery(base.domain, 1)[0]}
        shipped = shipped_reference(base.domain, drawn)
        if shipped is None:
            raise SpecError(f"{base.domain} has no shipped reference: leave --quick out to make one")
        return shipped, list(found)
    clean = [one for one in found if one["kind"] == "clean" and one["architecture"] == ARCHITECTURE]
    first = clean[:LEAST_NETWORKS]
    return limits_of(base.domain, first), [one for one in found if not any(one is other for other in first)]


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run the script."""
    arguments = parser(__doc__)
    arguments.add_argument("--base", choices=tuple(BASES), default="chest", help="images of a phantom")
    arguments.add_argument("--images", type=Path, help="a CSV with a row for every image, in place of a phantom")
    for name in ("target", "patient", "image"):
        arguments.add_argument(f"--{name}", help="column of that table")
    arguments.add_argument("--positive", action="append", help="target value that is positive; repeatable")
    arguments.add_argument("--domain", choices=tuple(DOMAINS), help="which kind of images these are")
    arguments.add_argument("--quick", action="store_true", help="judge 30 networks by the shipped reference")
    arguments.add_argument("--folder", type=Path, default=Path("calibration"), help="folder of the calibration")
    arguments.add_argument("--workers", type=int, help="worker processes; default: one for every core")
    given = arguments.parse_args()
    if given.images and not given.domain:
        arguments.error("--domain: say which kind of images these are")
    base = base_of_rows(table_of(given), given.domain) if given.images else BASES[given.base]
    folder = given.folder / base.domain / ("quick" if given.quick else "full")
    lines = [*calibrated(base, folder, quick=given.quick, workers=given.workers), str(folder)]
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return `data` of a study of the images that the command line names."""
    named = {name: getattr(given, name) for name in ("target", "patient", "image", "positive") if getattr(given, name)}
    return {"folder": str(given.images.parent), "table": given.images.name, **named}


if __name__ == "__main__":
    import audit_rates  # worker processes know its jobs by the module's name, not as the script's

    audit_rates.main()
