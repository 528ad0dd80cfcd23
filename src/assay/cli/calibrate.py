"""`assay calibrate`: how often verdicts of audits are wrong."""

from __future__ import annotations

import csv
import json as jsonlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.api import load
from assay.cli.audit import data_of, shown
from assay.core.errors import SpecError
from assay.core.files import is_file
from assay.runs.run import quietly
from assay.shifts.battery import DECIDING, DOMAINS, battery
from assay.stats.format import count, number
from assay.stats.verdicts import Reference
from assay.store.audit_tables import RATES
from assay.store.files import Row, read_checked_json, write_json
from assay.store.folder import RunFolder, require_writable
from assay.study.audit_request import Asked
from assay.study.calibration import (
    BASES,
    Base,
    Counts,
    MeasureJob,
    base_of_rows,
    by_architecture,
    largest_losses,
    lead_rates,
    limits_of,
    shipped_document,
    studies,
    world_rows,
    worlds,
)
from assay.study.clean_networks import SMALL, run_jobs
from assay.study.references import LEAST_NETWORKS, shipped_reference

QUICK = Counts(clean=12, tied=1, untied=0, others=0, left_out=LEAST_NETWORKS)


def calibrate_command(
    base: str, asked: Asked, *, quick: bool, out: Path, workers: int | None, quiet: bool, json: bool
) -> None:
    """Train networks whose shortcut is known, audit them, and print the error rates. A second call goes on.

    Args:
        base: One of `calibration.BASES`.
        asked: Images of the user and their domain, in place of it.
        quick: Judge few networks by the shipped reference, in place of making one.
        out: Folder of the calibration.
        workers: Worker processes for training.
        quiet: Print no progress.
        json: Print JSON.

    Raises:
        SpecError: The base is unknown, or has no shipped reference for a quick look.
    """
    known = _base(base, asked)
    folder = out / known.domain / ("quick" if quick else "full")
    require_writable(folder)
    found = _found(known, QUICK if quick else Counts(), folder, workers, quiet or json)
    reference, judged = _reference(known, found, quick)
    rows = by_architecture(judged, reference)
    exchanged = [one["exchanged"] for one in found if "exchanged" in one]
    first, others = exchanged[:LEAST_NETWORKS], exchanged[LEAST_NETWORKS:]
    if not quick:
        rows += [{"architecture": SMALL, **row} for row in lead_rates(others, first)]
    _write_csv(folder / "worlds.csv", world_rows(judged, reference))
    _write_csv(folder / "rates.csv", rows)
    if not quick:
        own = [{name: row[name] for name in RATES.names} for row in rows if row["architecture"] == SMALL]
        networks = sum(one["architecture"] == SMALL for one in judged)
        write_json(
            folder / f"{known.domain}.json", shipped_document(known, reference, own, networks, largest_losses(first))
        )
    if json:
        print(jsonlib.dumps([{key: None if value != value else value for key, value in row.items()} for row in rows]))
        return
    print(f"{known.domain}: {count(reference.networks, 'reference network')}, {count(len(judged), 'network')} judged")
    for architecture in dict.fromkeys(row["architecture"] for row in rows):
        print(architecture)
        for row in rows:
            if row["architecture"] == architecture:
                print(f"  {words(row)}")
    print(folder)


def _base(base: str, asked: Asked) -> Base:
    if asked.images:
        if asked.domain not in DOMAINS:
            raise SpecError(f"--domain: say which kind of images these are: {', '.join(DOMAINS)}")
        return base_of_rows(data_of(asked), asked.domain)
    if base not in BASES:
        raise SpecError(f"base '{base}': expected one of {', '.join(BASES)}, or give --images")
    return BASES[base]


def words(row: Mapping[str, Any]) -> str:
    """Return a rate in words."""
    if not row["among"]:
        return f"{row['rate']}: could not happen here"
    share = f"{number(100 * row['value'], 1)}% [{number(100 * row['low'], 1)}, {number(100 * row['high'], 1)}]"
    return f"{row['rate']}: {row['count']:,} of {row['among']:,}, {share}"


def _found(base: Base, counts: Counts, folder: Path, workers: int | None, quiet: bool) -> list[dict[str, Any]]:
    """Return what `measure` says of every network, measured where it is not kept.

    Clean networks as those of a reference have `exchanged` too, as `measure_exchange` returns it.
    """
    found: list[dict[str, Any]] = []
    for kind, study in studies(base, counts).items():
        run = load(study).run(folder / "networks", workers=workers, progress=not quiet)
        exchange = kind == "clean" and counts != QUICK
        every = [MeasureJob(world, base, folder, exchange) for world in worlds(base, kind, RunFolder(run.folder))]
        run_jobs({job.world.trial.name: job for job in every if not all(map(is_file, job.files))}, workers,
                 quietly if quiet else shown)  # fmt: skip
        for job in every:
            world, *places = (read_checked_json(path) for path in job.files)
            found.append({**world, "exchanged": places[0]["places"]} if exchange else world)
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
    clean = [one for one in found if one["kind"] == "clean" and one["architecture"] == SMALL]
    first = clean[:LEAST_NETWORKS]
    return limits_of(base.domain, first), [one for one in found if not any(one is other for other in first)]


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
