"""`assay show`, `assay list` and `assay doctor`."""

from __future__ import annotations

import json as jsonlib
import os
import platform
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from assay.core.errors import DISTRIBUTION, ExtraError, SpecError, StoreError, unknown_of_few
from assay.core.files import ASSETS, at_home, is_file
from assay.core.measures import COMPARED, better
from assay.core.registry import entries
from assay.core.traits import KINDS
from assay.spec.load import builtin_studies, study_size, study_yaml
from assay.stats.format import count, plural
from assay.store.kinds import every_table

if TYPE_CHECKING:
    from assay.store.layout import UnitKind
    from assay.store.manifest import FileChange
    from assay.store.soundness import Soundness

# `assay show` and `assay list`: what there is, without importing what it needs.


def show_command(name: str, sets: Sequence[str], seeds: int | None, scale: str | None, json: bool) -> None:
    """Print a study's YAML as it is written, or with --json its grid as it would run.

    Names, types and ranges are checked from the index. Checks that compare arguments need the code of components, and
    are left to planning.
    """
    from assay.spec.given import count_trials
    from assay.spec.parse import parse_study
    from assay.study.opened import read_document

    if json:
        spec = parse_study(read_document(name), overrides=sets, seeds=seeds, scale=scale, compare=False)
        values = spec.model_dump(mode="json", exclude_defaults=True)
        print(jsonlib.dumps({**values, "seeds": spec.seeds, "trials": count_trials(spec)}, indent=1))
        return
    if name not in builtin_studies():
        read_document(name)  # refuses what is no study
    text = study_yaml(name) if name in builtin_studies() else at_home(name).read_text(encoding="utf-8")
    if sets or seeds is not None or scale:
        parse_study(read_document(name), overrides=sets, seeds=seeds, scale=scale)
        raise SpecError("show prints the study as it is written; add --json to see it after --set, --seeds or --scale")
    print(text, end="")


def list_command(kind: str | None, json: bool) -> None:
    """Print one kind, a line each: built-in studies, registered components or measures; without a kind, count them."""
    kinds = listed_kinds()
    wanted = {plural(kind_name): kind_name for kind_name in kinds}.get(kind, kind) if kind else None
    if wanted is not None and wanted not in kinds:
        raise SpecError(unknown_of_few("kind", wanted, kinds))
    chosen = [row for row in _everything() if wanted in (None, row[0])]
    if json:
        rows = [dict(zip(("kind", "name", "summary"), row, strict=True)) for row in chosen]
        print(
            jsonlib.dumps(
                [row | (_study_facts(row["name"]) if row["kind"] == "study" else {}) for row in rows], indent=1
            )
        )
        return
    if wanted is None:
        counts = Counter(of for of, _, _ in chosen)
        width = max(map(len, kinds))
        print("\n".join(f"  {kind_name:<{width}}  {counts[kind_name]:>3}" for kind_name in kinds))
        print("`assay list KIND` prints those of a kind, such as `assay list losses`")
        return
    width = max(len(name) for _, name, _ in chosen)
    if wanted == "study":
        for _, name, summary in chosen:
            print(f"  {name:<{width}}  {'; '.join(filter(None, _study_facts(name).values()))}\n      {summary}")
        print("`assay show NAME` prints a study; `--scale quick` of the first five takes 2 to 4 minutes on 2 cores")
        return
    print("\n".join(f"  {name:<{width}}  {summary}" for _, name, summary in chosen))


def listed_kinds() -> tuple[str, ...]:
    """Return the kinds that can be listed."""
    return ("study", *KINDS, "measure", "table")


ASSET = re.compile(r"\$\{ASSAY_ASSETS\}/(weights/)?([\w.-]+)")
"""A file or folder of ASSAY_ASSETS in a study file: weights, or images."""


def needs_of(text: str) -> str:
    """Return `needs images chest-xray, weights ResNet50.pt` of a study file; empty of one that needs none."""
    named = dict.fromkeys(("weights" if weights else "images", name) for weights, name in ASSET.findall(text))
    kinds = {kind: [name for of, name in named if of == kind] for kind in ("images", "weights")}
    listed = [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names]
    return f"needs {'; '.join(listed)}" if listed else ""


def _study_facts(name: str) -> dict[str, str]:
    """Return the size of a built-in study, and the images and weights that it needs."""
    return {"size": study_size(name), "needs": needs_of(study_yaml(name))}


def _everything() -> Iterator[tuple[str, str, str]]:
    """(kind, name, one line) of all that a spec can name."""
    for name, summary in builtin_studies().items():
        yield "study", name, summary
    for table in every_table().values():
        yield "table", table.name, f"a row for every {table.row}"
    for entry in entries():
        label = entry.traits.label if entry.traits else ""
        yield entry.kind, entry.name, f"{entry.summary} ({label})" if label else entry.summary
    for name, measure in COMPARED.items():
        way = f"; {direction} is better" if (direction := better(name)) else ""
        needs = f"; a contrast names its {' and '.join(measure.needs)}" if measure.needs else ""
        yield "measure", name, f"{measure.meaning}{way} (probe {measure.probe}{needs})"


# `assay doctor`: what this machine has, what is missing, and how to get it.

Light = Literal["ok", "warn", "bad"]
FREE_SPACE = 2 * 10**9


@dataclass(frozen=True)
class CheckResult:
    """One check: its result, and the remedy if it fails."""

    light: Light
    what: str
    found: str
    remedy: str = ""


def doctor_command(out: Path, json: bool, dev: bool) -> None:
    """Print the findings; the exit code is 1 when something that Assay needs is missing.

    Args:
        out: Folder of runs.
        json: Print JSON.
        dev: Check what only the tests of Assay need, too.
    """
    findings = [*_python(), *_torch(), *_decoders(), *_disk(out), *_cache(), *_assets(), *_weights()]
    _print_checks([*findings, *(_browser() if dev else ())], json)


def check_command(run: str, out: Path, json: bool) -> None:
    """Compare the files of a run, and those of the cache that it may start from, with their checksums."""
    from assay.store.bundle import SUMS
    from assay.store.find import candidate_folders, find_run
    from assay.store.layout import RUN

    places = (folder for folder in candidate_folders(run, out) if is_file(folder / SUMS) or is_file(folder / RUN))
    place = next(places, None)
    bundle = None if place is None or is_file(place / RUN) else place  # sums in a run folder vouch for no page
    _print_checks(list(_check_bundle(bundle) if bundle else _check_cache(find_run(run, out))), json)


def seal_command(run: str, out: Path, key: Path) -> None:
    """Compare the files of a run with their checksums, sign its data, and print the key."""
    from assay.report.page import require_page
    from assay.store.find import find_run
    from assay.store.folder import RunFolder
    from assay.store.layout import PAGE, working_in
    from assay.store.manifest import SIGNATURE, SIGNED, find_signature_change, signing_key
    from assay.store.signing import sign
    from assay.store.soundness import Soundness

    root = find_run(run, out)
    with working_in(root):
        soundness = Soundness(RunFolder(root))
        if wrong := [change for change in soundness.changes() if change.path.name not in (SIGNED, SIGNATURE)]:
            raise StoreError(f"{wrong[0].text}; {soundness.remedy(wrong[0])}")
        if is_file(root / PAGE) and not find_signature_change(root):
            require_page(root)
        sign(root, at_home(key))
    if not (by := signing_key(root)):
        raise StoreError(f"{root} is not signed: its files changed meanwhile; try again")
    print(f"{root / SIGNED}, {root / SIGNATURE}: signed by {by}")


def _print_checks(findings: Sequence[CheckResult], json: bool) -> None:
    if json:
        print(jsonlib.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{finding.light:<4}  {finding.what:<{width}}  {finding.found}")
            if finding.remedy:
                print(f"{'':<{width + 8}}{finding.remedy}")
    if any(finding.light == "bad" for finding in findings):
        raise typer.Exit(1)


def _check_cache(root: Path) -> Iterator[CheckResult]:
    from assay.core.files import default_cache_root
    from assay.data.cache import damaged_arrays, damaged_notes
    from assay.store.folder import RunFolder
    from assay.store.layout import PAGE
    from assay.store.manifest import PREVIEW
    from assay.store.soundness import Soundness

    folder, shared = RunFolder(root), RunFolder(cache := default_cache_root())
    soundness = Soundness(folder)
    changes = soundness.changes()
    yield from _findings_of_changes("files", soundness, [change for change in changes if change.how != "unsigned"])
    if not folder.has_ended:
        yield CheckResult("warn", "manifest", "the last run here did not end, and only units were compared")
    if is_file(root / PAGE) and not any(change.path == root / PAGE for change in changes):
        yield from _page_finding(root)
    yield from _unchecked_finding(soundness)
    yield from _preview_findings(root / PREVIEW)
    yield from _signature_finding(soundness, changes)
    ids = sorted(path.parent.name for path in (root / "sources").glob("*/record.json"))
    starts: list[tuple[UnitKind, str]] = [("sources", id) for id in ids if shared.complete("sources", id)]
    if starts:
        weights = Soundness(shared)
        yield from _findings_of_changes("weights of sources", weights, weights.altered_units(starts))
    yield from _sound("images in the cache", *damaged_arrays(cache))
    yield from _sound("notes in the cache", *damaged_notes(cache))


def _check_bundle(root: Path) -> Iterator[CheckResult]:
    from assay.store.bundle import bundle_changes, signed_runs, unsigned_files
    from assay.store.manifest import PAGE_UNSIGNED

    damage = bundle_changes(root)
    for change in damage:
        light: Light = "warn" if change.how == "extra" else "bad"
        yield CheckResult(light, "files", change.text, "unpack the bundle again, or get another copy")
    if not damage:
        yield CheckResult("ok", "files", "all compared, none is damaged")
    runs = signed_runs(root)
    if not runs:
        yield CheckResult("warn", "signature", "none: the author of the pages is unknown, and they may be forged")
    for run, key, has_page in runs:
        page = "" if has_page else PAGE_UNSIGNED
        text = (
            f"{run} is signed by {key}{page}"
            if key
            else f"the signature of {run} is of other files, or some are missing"
        )
        light = "ok" if key and has_page else "warn" if key else "bad"
        yield CheckResult(light, "signature", text, "compare the key with that of who signs" if key else "")
    if runs and (unsigned := unsigned_files(root, [run for run, _, _ in runs])):
        verb = "is" if len(unsigned) == 2 else "are"
        others = f", nor {verb} {count(len(unsigned) - 1, 'other file')}" if unsigned[1:] else ""
        yield CheckResult("warn", "signature", f"{unsigned[0]} is not signed{others}: anybody may have changed that")


def _page_finding(root: Path, what: str = "page") -> Iterator[CheckResult]:
    from assay.report.page import require_page

    try:
        require_page(root)
        yield CheckResult("ok", what, "it is what the tables give")
    except StoreError as error:
        text, _, remedy = str(error).rpartition("; ")
        yield CheckResult("bad", what, text, remedy)


def _unchecked_finding(soundness: Soundness) -> Iterator[CheckResult]:
    """Name the files for readers in a folder for which neither its tables nor a signature vouches.

    Such are the names of files in `issues.csv` of a look that comes from elsewhere, and in any folder a page under
    another name or in a folder that no manifest lists, which no Assay wrote.
    """
    from assay.report.context import PageContext
    from assay.store.layout import PAGE
    from assay.store.manifest import PREVIEW, PROGRAM_SUFFIXES, is_ours, read_manifest

    root, listed, compared = soundness.root, set[str](), {PAGE}
    with suppress(Exception):  # of tables made elsewhere: the page is refused
        listed = {*(read_manifest(root) or ())}
        compared |= PageContext.of(root).page.extra_files(root).keys()
    vouched = listed | {PAGE} if is_ours(root) else listed if soundness.is_signed else compared
    pages = {name for name in _pages(root) if not name.startswith(f"{PREVIEW}/")}
    names = (name for name in sorted((listed | pages) - vouched) if not name.endswith(PROGRAM_SUFFIXES))
    if files := [name for name in names if not re.fullmatch(r"pictures/[^/]+\.png", name)]:
        others = f" and {count(len(files) - 1, 'other file')}" if files[1:] else ""
        text = f"{root / files[0]}{others}: no table gives what is in them, so they were not compared"
        yield CheckResult("warn", "not checked", text, "believe them only as far as you trust who put them there")


def _preview_findings(root: Path) -> Iterator[CheckResult]:
    """Compare the preview in a run folder, which the manifest and the signature of the run do not cover."""
    from assay.store.folder import RunFolder
    from assay.store.layout import PAGE, RUN
    from assay.store.soundness import Soundness

    if is_file(root / RUN):
        soundness = Soundness(RunFolder(root))
        yield from _findings_of_changes("files of preview", soundness, changes := soundness.changes())
        if is_file(root / PAGE) and not changes:
            yield from _page_finding(root, "page of preview")
        yield from _unchecked_finding(soundness)
    elif pages := _pages(root):
        yield CheckResult("warn", "preview", f"{root / pages[0]} was not checked, since there is no {root / RUN}")


_PAGE_NAME = re.compile(r"\.(\w*(htm|svg)\w*|xht|xml|mht)$", re.IGNORECASE)
"""Names of files that a browser shows as a page."""


def _pages(root: Path) -> list[str]:
    """Return what a browser may show of a folder, also of hidden folders: paths below it."""
    files = (path for path in sorted(root.rglob("*")) if _PAGE_NAME.search(path.name))
    return [path.relative_to(root).as_posix() for path in files if path.is_file()]


def _signature_finding(soundness: Soundness, changes: Sequence[FileChange]) -> Iterator[CheckResult]:
    from assay.store.manifest import page_is_signed, signing_key

    broken = next((change for change in changes if change.how == "unsigned"), None)
    if broken:
        yield CheckResult("bad", "signature", broken.text, soundness.remedy(broken))
    elif not soundness.is_signed:
        yield CheckResult("ok", "signature", "none: the author of the files is unknown")
    elif changes:
        yield CheckResult("warn", "signature", "not checked, since files are not as the run left them")
    else:
        try:
            statement = f"the data are signed by {signing_key(soundness.root)}"
            light = "ok" if page_is_signed(soundness.root) else "warn"
            yield CheckResult(light, "signature", statement, "compare it with the key of who signs")
        except FileNotFoundError:
            yield CheckResult("warn", "signature", "not checked, since there is no ssh-keygen", "install OpenSSH")


def _findings_of_changes(what: str, soundness: Soundness, changes: Sequence[FileChange]) -> Iterator[CheckResult]:
    """Yield a finding for each changed file, or that there is none."""
    for change in changes:
        extra = change.how == "extra" and not soundness.is_read(change.path)
        yield CheckResult("warn" if extra else "bad", what, change.text, soundness.remedy(change))
    if not changes:
        yield CheckResult("ok", what, "all compared, none is damaged")


def _sound(what: str, checked: int, damaged: Sequence[str]) -> Iterator[CheckResult]:
    if not damaged:
        yield CheckResult("ok", what, f"{checked} checked, none damaged")
    for text in damaged:
        damage, _, remedy = text.rpartition("; ")
        yield CheckResult("bad", what, damage, remedy)


def _python() -> Iterator[CheckResult]:
    right = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield CheckResult(
        "ok" if right else "bad", "python", platform.python_version(), "" if right else "use Python 3.11 to 3.13"
    )
    yield CheckResult("ok", "assay", version(DISTRIBUTION))


def _torch() -> Iterator[CheckResult]:
    try:
        import torch
    except ModuleNotFoundError:
        yield CheckResult(
            "warn",
            "torch",
            "not installed: no study can be trained and no network audited",
            f"pip install '{DISTRIBUTION}[train]'",
        )
        return

    from assay.execution.local import PROCESSOR, choose_device, device_name

    yield CheckResult("ok", "torch", torch.__version__)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    yield CheckResult("ok", "cores", f"{cores} (that many workers of one thread each by default)")
    chosen = choose_device("auto")
    description = "no GPU that torch can use" if chosen == PROCESSOR else f"{device_name(chosen)}, used by default"
    yield CheckResult("ok", "device", f"{description}; --device auto chooses {chosen}")


def _decoders() -> Iterator[CheckResult]:
    """Compressions of DICOM and TIFF that can be unpacked here, and the packages that bring the others."""
    try:
        from assay.data.files.decoders import install, missing
    except ExtraError as error:
        text, _, remedy = str(error).partition(": ")
        yield CheckResult("warn", "DICOM, TIFF, NIfTI", text, remedy)
        return
    absent = missing()
    yield CheckResult("ok", "decoders", ", ".join(name for name in absent if not absent[name]) or "none")
    if any(absent.values()):
        yield CheckResult("warn", "decoders missing", ", ".join(name for name in absent if absent[name]), install())


def _disk(out: Path) -> Iterator[CheckResult]:
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    enough, writable = free >= FREE_SPACE, os.access(place, os.W_OK)
    light: Light = "ok" if enough and writable else "bad" if not writable else "warn"
    remedy = "" if light == "ok" else "choose another place with --out" if not writable else "free at least 2 GB"
    yield CheckResult(
        light, "run folder", f"{place}: {free / 1e9:.0f} GB free{'' if writable else ', not writable'}", remedy
    )


def _cache() -> Iterator[CheckResult]:
    from assay.core.files import default_cache_root

    root = default_cache_root()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) if root.is_dir() else 0
    yield CheckResult("ok", "cache", f"{root}: {size / 1e6:.0f} MB (ASSAY_CACHE moves it; deleting it is safe)")


def _assets() -> Iterator[CheckResult]:
    from assay.core.files import assets_folder

    root = assets_folder()
    if not root.is_dir():
        description = f"no folder {root}" if os.environ.get(ASSETS) else f"none: {ASSETS} is not set"
        remedy = f"set {ASSETS} to the folder of your image sets; `assay list studies` names the studies that need one"
        yield CheckResult("warn", "real images", description, remedy)
        return
    sets = sorted(path.parent.name for path in root.glob("*/data.csv"))
    yield CheckResult("ok", "real images", ", ".join(sets) or "none")


def _weights() -> Iterator[CheckResult]:
    try:
        from assay.models.weight_files import weights_cache, weights_here
    except ModuleNotFoundError:
        return  # `_torch` says so

    here = weights_here(weights_cache())
    yield CheckResult("ok", "weights", ", ".join(path.name for path in here.files) or "none")
    for remedy in dict.fromkeys(weights.obtain for weights in here.missing):
        names = (f"{weights.content} ({weights.file})" for weights in here.missing if weights.obtain == remedy)
        yield CheckResult("warn", "weights missing", "; ".join(names), remedy)


def _browser() -> Iterator[CheckResult]:
    browser = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
    has_playwright = find_spec("playwright") is not None
    version = _installed_version("playwright") if has_playwright else "not installed"
    description = f"{browser or 'no Chromium'}, playwright {version}"
    is_complete = browser is not None and has_playwright
    remedy = "" if is_complete else "apt install chromium; tools/environment dev"
    yield CheckResult("ok" if is_complete else "warn", "page tests", description, remedy)


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
