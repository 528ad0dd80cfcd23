"""Register a study before its first seed: what is trained, compared and decided by which rules, with a hash to deposit.

The registration lies next to the run folder until the study runs, and is then copied into it. Its hash is worth as much
as the place where it was deposited, which the receipt names.

Every study also records which comparisons were pre-specified. Comparisons added or changed after results exist stay
exploratory. The identity of a comparison covers more than a contrast's words. A level added to its axis makes a new
comparison, as do another association in its environment, another recipe, other training images or other seeds.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from assay.core.errors import SpecError, StoreError, key_text
from assay.core.files import content_hash, has_mark, leave_mark
from assay.core.reasons import NO_REASON, Code, Reason, reason_of
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.rows import RULES_VERSION
from assay.store.files import Row, read_checked_json, read_json, write_checked_json, write_json
from assay.store.folder import RunFolder
from assay.store.manifest import added_files, read_manifest, write_manifest
from assay.store.migrations import migrate, without_version
from assay.store.schema import SCHEMA_VERSION
from assay.study.families import PlannedComparison, comparison_columns, study_comparisons
from assay.study.interim import primary_comparisons

FILE = "registration.json"
ANOTHER_SOURCE = "another user or machine"
"""Where a registration comes from that this user did not make on this machine."""
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

    @property
    def is_ours(self) -> bool:
        """Whether this user registered the study on this machine, with this receipt: anybody can write such a file."""
        return has_mark(self._mark)

    def remember(self) -> None:
        """Remember for this user on this machine that the study was registered here."""
        leave_mark(self._mark)

    @property
    def _mark(self) -> str:
        return f"registration {self.sha256} with the receipt {self.receipt}"


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
    registration = read_registration(file)
    ours = registration is None or registration.is_ours
    if registration is None:
        if any(RunFolder(root).ids("trials")) or any(RunFolder(root).ids("probes")):
            raise StoreError(
                f"{root} has results already, and a registration precedes them: choose another {key_text('--out')}"
            )
        registration = Registration(_content(spec))
    require_registered(root, spec)
    registration = Registration(registration.content, receipt or registration.receipt)
    if ours:
        registration.remember()
    for path in (file, *([root / FILE] if (root / FILE).is_file() else [])):
        write_json(
            path, {"registered": registration.content, "sha256": registration.sha256, "receipt": registration.receipt}
        )
    if (root / FILE).is_file() and (listed := read_manifest(root)) is not None:
        digests = {name: digest for name, (_, digest) in listed.items() if name != FILE}
        write_manifest(root, digests, added=added_files(root))
    return registration


def read_registration(file: Path) -> Registration | None:
    """Read a registration; None without one.

    Raises:
        StoreError: It is of another form, or its content is not that of its hash.
    """
    if not file.is_file():
        return None
    content: Any = read_json(file, remedy="restore it from a copy")
    if not (_holds_kinds(content, _OF_FILE) and _holds_kinds(content["registered"], _OF_STUDY)):
        raise StoreError(
            f"cannot read {file}: it is no registration of a study; move it away, or restore it from a copy"
        )
    registration = Registration(content["registered"], content["receipt"])
    try:
        altered = registration.sha256 != content["sha256"]
    except (ValueError, RecursionError):  # infinite numbers, lists in lists in lists: Assay writes neither
        altered = True
    if altered:
        raise StoreError(f"cannot read {file}: it was altered after registering; restore it from a copy")
    return registration


_OF_FILE: Mapping[str, type] = {"registered": dict, "receipt": str, "sha256": str}
_OF_STUDY: Mapping[str, type] = {"spec": dict, "time": str, "rules": int}


def _holds_kinds(content: Any, kinds: Mapping[str, type]) -> bool:
    """Return whether a value of a JSON file is an object with values of these kinds."""
    values = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    return all(isinstance(values.get(key), kind) for key, kind in kinds.items())


def require_registered(root: Path, spec: StudySpec) -> None:
    """Check that a study is the one that its run folder, or the file next to it, registers.

    Raises:
        SpecError: It is another one. The message names the first difference.
        StoreError: A registration was altered.
    """
    for file in (root / FILE, registration_file(root)):
        if (registration := read_registration(file)) and (
            difference := _difference(registration.content["spec"], _spec(spec))
        ):
            raise SpecError(
                f"{file} registers another study: {difference}; run that one, or choose another {key_text('--out')}"
            )


def adopt(root: Path, *, results_exist: bool) -> None:
    """Copy the registration next to a run folder into it, before there are results.

    Raises:
        StoreError: The folder has results that no registration precedes.
    """
    file = registration_file(root)
    if (root / FILE).is_file() or not file.is_file():
        return
    if results_exist:
        raise StoreError(f"{root} has results from before {file}: choose another {key_text('--out')}")
    write_json(root / FILE, read_json(file))


def _content(spec: StudySpec) -> dict[str, Any]:
    return {
        "study": spec.name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "rules": RULES_VERSION,
        "looks": planned_looks(spec),
        "primary": [
            {**comparison_columns(pair), "margin": pair.contrast.margin, "family": pair.contrast.family_name}
            for pair in primary_comparisons(spec)
        ],
        "spec": _spec(spec),
    }


def _commit() -> str:
    """Return the commit of the working folder, with `-dirty` where files differ from it; empty outside of git.

    A repository from elsewhere may name programs for git to run. Hooks and monitors are off. Where the repository
    itself has filters, files are not compared, and the commit ends in `-uncompared`. Filters of the user's are off:
    git-lfs runs what a repository names.
    """
    try:
        if not (commit := _git("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip()):
            return ""
        settings = _git("config", "--list", "--show-scope", "--name-only")
        filters = re.findall(r"^(\w+)\s+filter\.(?:(.*)\.)?[\w-]+$", settings.stdout, re.MULTILINE | re.IGNORECASE)
        if settings.returncode or any(scope in ("local", "worktree") for scope, _ in filters):
            return f"{commit}-uncompared"
        plain = ("--quiet", "--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=all")
        differs = _git("diff", *plain, "HEAD", filters={name for _, name in filters}).returncode
        return commit if differs == 0 else f"{commit}-{'dirty' if differs == 1 else 'uncompared'}"
    except OSError:
        return ""


def _git(*words: str, filters: Collection[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run git without the hooks and monitors of a repository, without these filters, and without a network."""
    off = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
    settings = [(f"filter.{name}.{key}", value) for name in filters for key, value in _NO_FILTER.items()]
    first = int(environment.get("GIT_CONFIG_COUNT") or 0)
    for at, (key, value) in enumerate(settings, first):
        environment |= {f"GIT_CONFIG_KEY_{at}": key, f"GIT_CONFIG_VALUE_{at}": value}
    environment["GIT_CONFIG_COUNT"] = str(first + len(settings))
    return subprocess.run(
        ["git", *off, *words], capture_output=True, encoding="utf-8", errors="replace", env=environment, check=False
    )


_NO_FILTER: Mapping[str, str] = {"clean": "", "smudge": "", "process": "", "required": "false"}


def planned_looks(spec: StudySpec) -> list[int]:
    """Return the numbers of seeds at which comparisons are tested."""
    return [*spec.looks] or [spec.seeds]


def _spec(spec: StudySpec) -> dict[str, Any]:
    """Return what names units and comparisons, the grid's recipes last."""
    content = {key: value for key, value in spec.canonical().items() if key not in ("question", "labels", "points")}
    data = spec.data.without_words().canonical()
    content["data"] = {key: value for key, value in data.items() if key not in PLACES}
    return {"seeds": spec.seeds, **content, "points": spec.canonical()["points"]}


def _difference(before: Any, now: Any, place: str = "") -> str:
    """Return the first difference of two plain values, with its place; empty where they are equal."""
    if before == now:
        return ""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        first, two = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", now)
        pairs = [(f"{place}.{key}" if place else key, first.get(key), two.get(key)) for key in {**two, **first}]
    elif (
        isinstance(before, list)
        and isinstance(now, list)
        and len(cast("list[Any]", before)) == len(cast("list[Any]", now))
    ):
        rows = zip(cast("list[Any]", before), cast("list[Any]", now), strict=True)
        pairs = [(f"{place}[{number}]", first, two) for number, (first, two) in enumerate(rows)]
    else:
        return f"{place} is {_short(before)} there and {_short(now)} here"
    return next(difference for key, first, two in pairs if (difference := _difference(first, two, key)))


def _short(value: Any) -> str:
    text = "the default" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


PRESPECIFIED = "stated.json"
_DAMAGED = (
    "restore it from a copy: it alone says which comparisons were stated before results existed, and without it every "
    "one counts as exploratory, for ever"
)


@dataclass(frozen=True)
class Prespecified:
    """The plan before results existed.

    Attributes:
        pairs: The comparisons, by `PlannedComparison.id`.
        looks: Numbers of seeds at which they are tested.
        rules: Version of the statistical rules.
    """

    pairs: frozenset[str]
    looks: tuple[int, ...]
    rules: int

    def mark(self, rows: Sequence[Row], seeds: Callable[[Row], float]) -> list[Row]:
        """Mark the pre-specified among decided comparisons that a later rule or look decided, by codes.

        Args:
            rows: Rows of `schema.CONTRASTS` or `schema.LOOKS`.
            seeds: Returns the seeds at which a row was decided.
        """
        changed = (
            Reason.of(Code.RULE_CHANGED, planned=self.rules, now=RULES_VERSION)
            if self.rules != RULES_VERSION
            else NO_REASON
        )

        def late(row: Row) -> Reason:
            added = int(seeds(row)) not in self.looks
            return changed + (Reason.of(Code.LOOK_ADDED, seeds=int(seeds(row))) if added else NO_REASON)

        return [row if row.get("exploratory") else {**row, "reason": str(reason_of(row) + late(row))} for row in rows]


def state(root: Path, spec: StudySpec, results_exist: bool) -> None:
    """Record new comparisons, as pre-specified, or as exploratory when results exist.

    The file holds for each comparison its content `now`, and whether each content that it ever had was exploratory.
    Each content is stored by its hash, with the hashed names of `parts`. The file also holds the looks that were
    planned when results first existed, and the version of the rules then, or at the registration. It cannot be
    reconstructed from anything else.

    Raises:
        StoreError: A registration is younger than the results.
    """
    content_known = _read_content(root)
    adopt(root, results_exist=results_exist)
    noted, hashed, parts = (dict[str, Any](content_known.get(name, {})) for name in ("pairs", "hashed", "parts"))
    for pair in study_comparisons(spec):
        sides, shared = _content_of_pair(spec, pair)
        digest = content_hash([sides, *shared])
        before: Mapping[str, bool] = noted.get(pair.id, {}).get("exploratory", {})
        noted[pair.id] = {"now": digest, "exploratory": {digest: results_exist, **before}}
        parts |= {content_hash(part): part for part in (shared, *(part for side in sides for part in side))}
        names = [[content_hash(part) for part in side] for side in sides]
        hashed[digest] = {"sides": names, "shared": content_hash(shared)}
    registration = read_registration(root / FILE)
    plan = {"looks": planned_looks(spec), "rules": registration.content["rules"] if registration else RULES_VERSION}
    plan = {name: content_known.get(name, value) if results_exist else value for name, value in plan.items()}
    new = {"schema": SCHEMA_VERSION, "pairs": noted, "hashed": hashed, "parts": parts, **plan}
    if new != content_known:
        write_checked_json(root / PRESPECIFIED, new)


def read_prespecified(root: Path, spec: StudySpec) -> Prespecified:
    """Read the record of a study. It uses the content at the last run: code that was edited since changes nothing."""
    content_known = _read_content(root)
    noted: Mapping[str, Any] = content_known.get("pairs", {})
    beforehand = {id for id, entry in noted.items() if not entry["exploratory"][entry["now"]]}
    ids = {pair.id for pair in study_comparisons(spec) if not pair.contrast.exploratory}
    looks = tuple(content_known.get("looks", planned_looks(spec)))
    return Prespecified(frozenset(beforehand & ids), looks, content_known.get("rules", RULES_VERSION))


def _content_of_pair(spec: StudySpec, pair: PlannedComparison) -> tuple[list[list[dict[str, Any]]], list[Any]]:
    """Return the training and testing of the recipes of either side, along budgets and doses at every one.

    With the shared parts: data, first seed and sources, and the other set that is tested on.
    """
    sides = [
        [
            _content_of_point(sides_of_pair, point)
            for sides_of_pair in pair.single_comparisons
            for point in getattr(sides_of_pair, side)
        ]
        for side in ("a", "b")
    ]
    sources = {name: source.canonical() for name, source in spec.sources.items()}
    tests = (
        point.tests.get(sides_of_pair.contrast.environment)
        for sides_of_pair in pair.single_comparisons
        for point in sides_of_pair.a
    )
    others = [
        _without_places(spec.data.tests[name].canonical())
        for name in sorted({test.data for test in tests if test})
        if name
    ]
    return sides, [_without_places(spec.data.for_training()), spec.first_seed, sources, *others]


def _without_places(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data section without the places of its files; edited images are told elsewhere."""
    return {key: value for key, value in data.items() if key not in PLACES}


def _content_of_point(pair: PlannedComparison, point: RecipePoint) -> dict[str, Any]:
    test = point.tests.get(pair.contrast.environment)  # probes name some that no spec does
    trained = {"recipe": point.recipe.canonical(), "train": point.train.for_training()}
    content = {**trained, "coordinates": dict(point.coordinates), "test": test.canonical() if test else None}
    return {**content, "clean": point.tests[pair.contrast.clean].canonical()} if pair.contrast.clean else content


def _read_content(root: Path) -> dict[str, Any]:
    """Read the file; empty without one.

    Raises:
        StoreError: A later version of Assay wrote it.
    """
    path = root / PRESPECIFIED
    if not path.is_file():
        return {}
    content = read_checked_json(path, remedy=_DAMAGED)
    if not isinstance(content.get("pairs"), dict):
        raise StoreError(f"cannot read {path}: it is damaged (it lists no comparisons); {_DAMAGED}")
    return migrate(without_version(content), path)
