"""Register a study before its first seed: what is trained, compared and decided by which rules, with a hash to deposit.

The registration lies next to the run folder until the study runs, and is then copied into it. Its hash is worth as much
as the place where it was deposited, which the receipt names.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from assay.core.errors import SpecError, StoreError
from assay.core.files import content_hash
from assay.spec.schema import StudySpec
from assay.stats.rows import RULES
from assay.store.files import read_json, write_json
from assay.store.folder import RunFolder
from assay.store.manifest import read_manifest, write_manifest
from assay.study.families import compared
from assay.study.interim import primary_pairs

FILE = "registration.json"
PLACES = ("folder", "table", "classes", "medmnist", "dataset")
"""Where images lie, which may be moved."""


@dataclass(frozen=True)
class Registration:
    """A registered study.

    Attributes:
        content: The resolved spec without the places of files, the primary comparisons with their margins, the numbers
            of seeds at which they are tested, the version of the statistical rules, the time (UTC), and the commit of
            the working folder.
        receipt: Where the hash was deposited; empty without a deposit.
    """

    content: Mapping[str, Any]
    receipt: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the content as JSON with sorted keys and without spaces."""
        return content_hash(dict(self.content), 64)


def registration_file(root: Path) -> Path:
    """Return the file next to a run folder that registers its study."""
    return root.with_name(f"{root.name}.{FILE}")


def register(root: Path, spec: StudySpec, receipt: str = "") -> Registration:
    """Register the study of a run folder; a second time, add the receipt of the deposit.

    Raises:
        StoreError: The folder has results already, or a file was altered.
        SpecError: Another study is registered there.
    """
    file = registration_file(root)
    made = registered(file)
    if made is None:
        if any(RunFolder(root).ids("trials")) or any(RunFolder(root).ids("probes")):
            raise StoreError(f"{root} has results already, and a registration precedes them: choose another --out")
        made = Registration(_content(spec))
    require_registered(root, spec)
    made = Registration(made.content, receipt or made.receipt)
    for path in (file, *([root / FILE] if (root / FILE).is_file() else [])):
        write_json(path, {"registered": made.content, "sha256": made.sha256, "receipt": made.receipt})
    if (root / FILE).is_file() and (listed := read_manifest(root)) is not None:
        write_manifest(root, {name: digest for name, (_, digest) in listed.items() if name != FILE})
    return made


def registered(file: Path) -> Registration | None:
    """Read a registration; None without one.

    Raises:
        StoreError: Its content is not that of its hash.
    """
    if not file.is_file():
        return None
    found = cast("Mapping[str, Any]", read_json(file, damaged="restore it from a copy"))
    made = Registration(found["registered"], found["receipt"])
    if made.sha256 != found["sha256"]:
        raise StoreError(f"cannot read {file}: it was altered after registering; restore it from a copy")
    return made


def require_registered(root: Path, spec: StudySpec) -> None:
    """Check that a study is the one that its run folder, or the file next to it, registers.

    Raises:
        SpecError: It is another one. The message names the first difference.
        StoreError: A registration was altered.
    """
    for file in (root / FILE, registration_file(root)):
        if (made := registered(file)) and (found := _difference(made.content["spec"], _spec(spec))):
            raise SpecError(f"{file} registers another study: {found}; run that one, or choose another --out")


def adopt(root: Path, *, results_exist: bool) -> None:
    """Copy the registration next to a run folder into it, before there are results.

    Raises:
        StoreError: The folder has results that no registration precedes.
    """
    file = registration_file(root)
    if (root / FILE).is_file() or not file.is_file():
        return
    if results_exist:
        raise StoreError(f"{root} has results from before {file}: choose another --out")
    write_json(root / FILE, read_json(file))


def _content(spec: StudySpec) -> dict[str, Any]:
    return {
        "study": spec.name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "rules": RULES,
        "looks": planned_looks(spec),
        "primary": [
            {**compared(pair), "margin": pair.stated.margin, "family": pair.stated.family_name}
            for pair in primary_pairs(spec)
        ],
        "spec": _spec(spec),
    }


def _commit() -> str:
    """Return the commit of the working folder, with `-dirty` where files differ from it; empty outside of git."""
    words = ["git", "-c", "core.fsmonitor=false", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def planned_looks(spec: StudySpec) -> list[int]:
    """Return the numbers of seeds at which comparisons are tested."""
    return [*spec.looks] or [spec.seeds]


def _spec(spec: StudySpec) -> dict[str, Any]:
    """Return what names units and comparisons, the grid's recipes last."""
    found = {key: value for key, value in spec.canonical().items() if key not in ("question", "labels", "points")}
    data = spec.data.without_words().canonical()
    found["data"] = {key: value for key, value in data.items() if key not in PLACES}
    return {"seeds": spec.seeds, **found, "points": spec.canonical()["points"]}


def _difference(before: Any, now: Any, place: str = "") -> str:
    """Return the first difference of two plain values, with its place; empty where they are equal."""
    if before == now:
        return ""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        one, two = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", now)
        pairs = [(f"{place}.{key}" if place else key, one.get(key), two.get(key)) for key in {**two, **one}]
    elif (
        isinstance(before, list)
        and isinstance(now, list)
        and len(cast("list[Any]", before)) == len(cast("list[Any]", now))
    ):
        rows = zip(cast("list[Any]", before), cast("list[Any]", now), strict=True)
        pairs = [(f"{place}[{number}]", one, two) for number, (one, two) in enumerate(rows)]
    else:
        return f"{place} is {_short(before)} there and {_short(now)} here"
    return next(found for key, one, two in pairs if (found := _difference(one, two, key)))


def _short(value: Any) -> str:
    text = "the default" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
