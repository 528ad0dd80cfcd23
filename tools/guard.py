"""Check that a refactoring changed no result.

`record` runs six small studies and a set of commands with the code of this checkout and keeps all that they wrote as a
reference. `compare` runs the same again and compares every file with the reference: Parquet and CSV cell by cell, JSON
key by key, texts line by line, weights and pictures by hash. There is no numeric tolerance. Only the fields in
`MASKED` may differ.

Record and compare on the same machine: another processor or another version of PyTorch gives other last digits.
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import hashlib
import importlib.util
import io
import json
import os
import platform
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from html import unescape
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
DESCRIPTION = "reference.json"  # commit, machine and libraries of a reference
KEPT = ("runs", "answers", "wrong")  # folders of a job that belong to the reference
WRONG_EVERY = 5  # every fifth study file of tests/spec/wrong_specs.py
SHOWN_PER_PART = 5  # differences shown for one table, JSON file or text
SHOWN_FILES = 20  # missing and extra files shown for one study

# --- What may differ -------------------------------------------------------------------------------------------------

VERSIONS = ("python", "assay-imaging", "duckdb", "numpy", "pytorch-metric-learning", "scipy", "timm", "torch")
MADE = ("trained from", "trained to", "machine", "device", *VERSIONS)
HASHES = ("hash of what is trained", "hash of what is probed")


@dataclass(frozen=True)
class Mask:
    """Fields that may differ in the files that match a pattern.

    A field is a column of a table, a key of a table with the columns `key` and `value`, a key of JSON at any depth, or
    in a text the words before the value.
    """

    files: str
    fields: tuple[str, ...]
    reason: str


def everywhere(job: str, names: tuple[str, ...], reason: str) -> tuple[Mask, ...]:
    """Return masks of rows of the table `provenance`, and of the same rows on the page and in its downloads."""
    return (
        Mask(f"{job}/*/tables/provenance.parquet", names, reason),
        Mask(f"{job}/*/report.html/provenance*.csv", names, reason),
        Mask(f"{job}/*/report.html", tuple(f">{name}</td>" for name in names), reason),
        Mask(f"{job}/*/report.html/*.md", tuple(f"| {name} | " for name in names), reason),
    )


MASKED = (
    Mask("*/provenance.json", ("started", "seconds"), "time of training and its duration, of trials and sources"),
    Mask("*/provenance.json", ("machine", "processor", "device"), "the machine"),
    Mask("*/provenance.json", ("python", "libraries"), "versions"),
    Mask("*/finished.json", ("causes", "effects", "sha256"), "times and inodes of files"),
    Mask("*/tables/trials.parquet", ("seconds",), "duration of training"),
    Mask("*/report.html/trials*.csv", ("seconds",), "duration of training"),
    *everywhere("*", MADE, "times, machine and versions of all trials"),
    *everywhere("own-images", HASHES, "contain the absolute path of the temporary folder; trial names do not"),
    Mask("own-images/*/study.json", ("folder", "trained", "probed"), "that path, and hashes that contain it"),
    Mask("own-images/*/tables/stamp.json", ("trained", "probed"), "hashes that contain that path"),
    *(
        Mask(f"*/{name}.json", ("sha256", "files"), "checksums of what is compared")
        for name in ("study", "plan", "stated", "described", "failures/*")
    ),
    Mask("texts/answers/preview.txt", ('"seconds": ', '"workers": '), "expected duration, measured on this machine"),
    Mask("texts/*/preview/index.html", ("to be trained: about ",), "expected duration, measured on this machine"),
)

# --- What is run -----------------------------------------------------------------------------------------------------

OWN_IMAGES = """\
name: own-images
data: {folder: images, target: ill, patient: person, size: 32, split: {folds: 3},
       factors: {age: {unit: years}, site: categorical}}
environments:
  train: {}
  neutral: {association: {age: 0}}
  reversed: {association: {age: -0.3}}
recipe: {loss: [cross-entropy, supcon], mitigation: [none, group-balanced-sampling], groups: site, epochs: 10,
         batch_size: 16}
seeds: 3
probes: [{performance: {smallest_group: 5}}, reliance, decodability]
contrasts:
  - {axis: loss, against: cross-entropy, measure: auroc, environment: reversed}
  - {axis: mitigation, against: none, measure: worst-group-accuracy, environment: neutral, margin: 0.1}
"""
PLUG_IN = """\
name: plug-in
data: {phantom: nodule, size: 32, train: 256, validation: 64, test: 96, core: margin}
environments:
  train: {association: {texture: 0.8}}
  same: {like: train}
  reversed: {association: {texture: -0.8}}
recipe: {loss: [cross-entropy, {"guard_plugin:Tempered": {temperature: 0.5}}], epochs: 6, batch_size: 16}
seeds: 3
probes:
  - performance
  - {"guard_plugin:ShareOfPositives": {threshold: 0.5}}
  - {representation: {images: 64}}
  - {reinitialization: {images: 64}}
  - {attribution: {explainers: [gradient, grad-cam], images: 8, sanity_images: 4}}
contrasts: [{axis: loss, against: cross-entropy, measure: auroc, environment: reversed}]
"""
PLUG_IN_CODE = '''\
"""A probe and a loss of the user's own. Their hash is in trial ids: import from `assay.plugin` alone."""

from torch.nn.functional import cross_entropy

from assay.plugin import LossContext, Measurement, Objective, Request


class ShareOfPositives:
    scope = "tests"

    def __init__(self, *, threshold: float = 0.0):
        self.threshold = threshold

    def requests(self, model, scene):
        return tuple(Request(scene.environment(name)) for name in scene.names)

    def measure(self, reading, scene):
        found = []
        for name in scene.names:
            logits = reading.read(scene.environment(name)).logits
            share = float((logits[:, 1] - logits[:, 0] > self.threshold).mean())
            found.append(Measurement("share-called-positive", share, environment=name, n=len(logits)))
        return found


class Tempered(Objective):
    def __init__(self, context: LossContext, *, temperature: float = 1.0):
        super().__init__()
        self.temperature = temperature

    def loss(self, outputs, batch, progress):
        return cross_entropy(outputs.logits.float() / self.temperature, batch.target)
'''
FILES: Mapping[str, Mapping[str, str]] = {
    "own-images": {"own-images.yaml": OWN_IMAGES},
    "plug-in": {"plug-in.yaml": PLUG_IN, "guard_plugin.py": PLUG_IN_CODE},
}
SMALL = {  # study -> what is shrunk or added, so that all six take a few minutes and use most parts of Assay
    "source-matters": (
        "data.train=150", "data.test=150", "recipe.epochs=16", "sources.natural.data.train=400",
        "sources.local.data.train=400", "sources.natural.recipe.epochs=6", "sources.local.recipe.epochs=6",
    ),
    "dr-pretraining": (
        "data.train=160", "data.validation=80", "data.test=100", "recipe.epochs=[4, 8]",
        "recipe.initialization=[random, pictures, pictures-own]", "grid={zip: [[fraction, epochs]]}",
        "sources.pictures.data.train=400", "sources.pictures.recipe.epochs=4", "sources.pictures-own.recipe.epochs=3",
        "probes=[performance, representation, {robustness: {environment: same, families: [retinal], severities: [3]}}]",
        "contrasts=[{axis: initialization, against: random, measure: quadratic-weighted-kappa, environment: same}]",
    ),
    "nodule-loss": ("data.test=250",),
    "lesion-loss-ood": (
        "data.size=64", "data.train=150", "data.validation=80", "data.test=100",
        "probes=[performance, segmentation, lesion-free, {painting: {images: 16}}]",
    ),
}  # fmt: skip
STUDIES: Mapping[str, tuple[str, ...]] = {
    **{
        name: (name, "--scale", "quick", *(word for change in changes for word in ("--set", change)))
        for name, changes in SMALL.items()
    },
    "own-images": ("own-images.yaml",),
    "plug-in": ("plug-in.yaml",),
}
TEXTS: Mapping[str, tuple[str, ...]] = {
    "help": ("--help",),
    "list": ("list",),
    "show": ("show", "nodule-loss"),
    "preview": ("preview", "nodule-loss", "--scale", "quick", "--json", "--workers", "1"),
}
JOBS = (*STUDIES, "texts")


def draw_images(folder: Path) -> None:
    """Draw 240 small images of 120 patients and their table, always the same. Ill: a bright disc; age: a gray level."""
    generator = np.random.Generator(np.random.PCG64(7))
    folder.mkdir(parents=True)
    rows = ["image,ill,person,age,site"]
    y, x = np.mgrid[:32, :32]
    for number in range(240):
        ill, site = number % 4 // 2, "ab"[int(generator.integers(2))]
        age = int(np.clip(45 + 12 * ill + 18 * generator.standard_normal(), 18, 90))
        pixels = 40 + age + 12 * generator.standard_normal((32, 32))
        row, column = generator.integers(8, 24, 2)
        pixels[(y - row) ** 2 + (x - column) ** 2 < 20] += 70 * ill
        pixels[:3, :3] = 200 if site == "b" else 20
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number:03}.png")
        rows.append(f"{number:03}.png,{'yes' if ill else 'no'},p{number // 2:03},{age},{site}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def wrong_studies() -> dict[str, str]:
    """Return wrong study files of the tests, by name."""
    place = importlib.util.spec_from_file_location("wrong_specs", ROOT / "tests" / "spec" / "wrong_specs.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    edits = list(module.EDITS.items())[::WRONG_EVERY]
    return {re.sub(r"\W+", "-", case): module.RIGHT.replace(*edit) for case, edit in edits}


def environment(place: Path) -> dict[str, str]:
    """Return variables under which Python runs the code of this checkout.

    Python reads entry points from the metadata of the installed package, which may be that of another checkout. This
    checkout's are written where Python looks first.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder = place / "metadata" / f"assay-{project['version']}.dist-info"
    if not folder.exists():
        folder.mkdir(parents=True)
        lines: list[str] = []
        for group, points in project.get("entry-points", {}).items():
            lines += [f"[{group}]", *(f"{name} = {where}" for name, where in points.items())]
        metadata = f"Metadata-Version: 2.1\nName: assay\nVersion: {project['version']}\n"
        (folder / "METADATA").write_text(metadata, encoding="utf-8")
        (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{folder.parent}", "COLUMNS": "120"}


def ask(words: Iterable[str], folder: Path, answer: str) -> bool:
    """Run `assay` in a job's folder, keep its answer, and return whether it ended well."""
    variables = {**environment(folder.parent), "ASSAY_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "assay", *words]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    text = f"exit code {done.returncode}\n{done.stdout}"
    if done.returncode == 2:
        text += done.stderr
    path = folder / "answers" / f"{answer}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if done.returncode not in (0, 2):
        last = "".join(done.stderr.splitlines(keepends=True)[-3:])
        print(f"{folder.name}: assay {' '.join(words)}: exit code {done.returncode}\n{last}", file=sys.stderr)
    return done.returncode == 0


def run_study(name: str, folder: Path) -> None:
    """Run a study, print its comparisons and check that its page can be rebuilt."""
    for file, text in FILES.get(name, {}).items():
        (folder / file).write_text(text, encoding="utf-8")
    if name == "own-images":
        draw_images(folder / "images")
    if ask(("run", *STUDIES[name], "--workers", "1"), folder, "run"):
        (run,) = (folder / "runs").iterdir()
        ask(("results", run.name), folder, "results")
        ask(("results", run.name, "--csv"), folder, "results-csv")


def run_texts(folder: Path, wrong: Mapping[str, str]) -> None:
    """Ask for the texts, and for what is said about wrong studies."""
    for answer, words in TEXTS.items():
        ask(words, folder, answer)
    (folder / "wrong" / "images").mkdir(parents=True)
    (folder / "wrong" / "images" / "data.csv").write_text("image,ill,who,texture,age,sex\n", encoding="utf-8")
    for case, text in wrong.items():
        (folder / "wrong" / f"{case}.yaml").write_text(text, encoding="utf-8")
        ask(("show", f"wrong/{case}.yaml", "--json"), folder, f"wrong-{case}")


def run_all(jobs: Iterable[str], place: Path, wrong: Mapping[str, str], at_once: int) -> None:
    """Run jobs, each in a folder of its own with a cache of its own."""

    def run_one(job: str) -> None:
        start, folder = time.monotonic(), place / job
        folder.mkdir()
        if job == "texts":
            run_texts(folder, wrong)
        else:
            run_study(job, folder)
        print(f"  {job}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run_one, jobs))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(f"  all: {time.monotonic() - start:.0f} s, processor time {processor:.0f} s", file=sys.stderr)


# --- How files are read ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table in the order of its file. columns: name and type."""

    columns: tuple[tuple[str, str], ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Part:
    """A file, or a file within a page. content: a Table, a tuple of lines, or a JSON value; None: bytes alone."""

    content: Any
    sha256: str


EMBEDDED = re.compile(
    r'data:([\w/+.-]+);(?:base64,([A-Za-z0-9+/=]+)|charset=utf-8,([^"]*))(?="(?:[^<>]*?download="([^"]+)")?)'
)


def parts_of(path: Path, name: str) -> dict[str, Part]:
    """Return a file by name, and with a page the files that it embeds."""
    if path.suffix == ".parquet":
        found = duckdb.execute("SELECT * FROM read_parquet(?)", [str(path)])
        columns = tuple((column[0], str(column[1])) for column in found.description or ())
        return {name: Part(Table(columns, found.fetchall()), "")}
    data = path.read_bytes()
    if path.suffix != ".html":
        return {name: part_of(name, data)}
    parts: dict[str, Part] = {}

    def unpack(match: re.Match[str]) -> str:
        kind, encoded, words, file = match.groups()
        stem, dot, suffix = (file or f"embedded.{kind.rpartition('/')[2]}").partition(".")
        numbers = ("", *(f"-{number}" for number in range(2, len(parts) + 2)))
        part = next(free for number in numbers if (free := f"{name}/{stem}{number}{dot}{suffix}") not in parts)
        parts[part] = part_of(part, base64.b64decode(encoded) if encoded else unquote(unescape(words)).encode())
        return part

    page = EMBEDDED.sub(unpack, data.decode())
    return {name: part_of(name, page.encode()), **parts}


def part_of(name: str, data: bytes) -> Part:
    """Return the content of a file by its suffix."""
    sha256 = hashlib.sha256(data).hexdigest()
    if name.endswith(".gz"):
        name, data = name.removesuffix(".gz"), gzip.decompress(data)
    suffix = name.rpartition(".")[2]
    if suffix == "csv":
        rows = [tuple(row) for row in csv.reader(io.StringIO(data.decode(), newline=""))]
        columns = tuple((column, "text") for column in (rows[0] if rows else ()))
        return Part(Table(columns, rows[1:]), sha256)
    if suffix == "json":
        return Part(json.loads(data), sha256)
    if suffix in ("txt", "html", "svg", "svg+xml", "md", "yaml"):
        return Part(tuple(data.decode().splitlines()), sha256)
    return Part(None, sha256)


# --- How they are compared -------------------------------------------------------------------------------------------


@dataclass
class Comparison:
    """Differences, one line each, and counts of what was compared."""

    differences: list[str] = field(default_factory=list[str])
    files: int = 0
    tables: int = 0
    rows: int = 0
    values: int = 0
    masked: int = 0

    def summary(self) -> str:
        """Return one line about what was compared."""
        return (
            f"{len(self.differences):,} lines of differences; compared {self.files:,} files, {self.tables:,} tables, "
            f"{self.rows:,} rows, {self.values:,} values; {self.masked:,} masked"
        )

    def compare_folders(self, reference: Path, now: Path, name: str) -> None:
        """Compare all files of two folders; `name` stands before their names."""
        before, after = files_in(reference), files_in(now)
        alone = [f"{file}: missing, the reference has it" for file in before if file not in after]
        alone += [f"{file}: extra, the reference lacks it" for file in after if file not in before]
        self.differences += [f"{name}/{line}" for line in alone[:SHOWN_FILES]]
        if len(alone) > SHOWN_FILES:
            self.differences.append(f"{name}: and {len(alone) - SHOWN_FILES} more files missing or extra")
        for file in before:
            if file in after:
                self.compare_files(before[file], after[file], f"{name}/{file}")

    def compare_files(self, reference: Path, now: Path, name: str) -> None:
        """Compare two files and what they embed."""
        self.files += 1
        before, after = parts_of(reference, name), parts_of(now, name)
        for part in dict.fromkeys((*before, *after)):
            if part not in before or part not in after:
                self.differences.append(f"{part}: {'extra' if part in after else 'missing'} in the page")
                continue
            fields = {one for mask in MASKED if fnmatchcase(part, mask.files) for one in mask.fields}
            found = list(self.compare_parts(before[part], after[part], fields))
            self.differences += [f"{part}: {line}" for line in found[:SHOWN_PER_PART]]
            if len(found) > SHOWN_PER_PART:
                self.differences.append(f"{part}: and {len(found) - SHOWN_PER_PART} more differences")

    def compare_parts(self, before: Part, after: Part, fields: set[str]) -> Iterator[str]:
        """Yield where two parts differ, apart from masked fields."""
        match before.content:
            case Table():
                lines = self.compare_tables(before.content, after.content, fields)
            case tuple():
                lines = self.compare_lines(before.content, after.content, fields)
            case None:
                lines = self.compare_values("", before.sha256, after.sha256)
            case _:
                lines = self.compare_json("", before.content, after.content, fields)
        found = list(lines)
        yield from found
        if not found and not fields and before.sha256 != after.sha256:
            yield "same contents, other bytes"

    def compare_tables(self, before: Table, after: Table, fields: set[str]) -> Iterator[str]:
        """Yield where schema, number of rows or cells differ."""
        self.tables += 1
        self.rows += len(before.rows)
        if before.columns != after.columns:
            yield f"columns {listed(before.columns, after.columns)} -> {listed(after.columns, before.columns)}"
            return
        if len(before.rows) != len(after.rows):
            yield f"{len(before.rows)} rows -> {len(after.rows)} rows"
        names = [name for name, _ in before.columns]
        keyed = names == ["key", "value"]
        for number, (old, new) in enumerate(zip(before.rows, after.rows, strict=False)):
            for name, *cells in zip(names, old, new, strict=True):
                if name in fields or (keyed and name == "value" and old[0] in fields):
                    self.masked += 1
                    continue
                self.values += 1
                if not same(*cells):
                    labels = [shortened(cell) for cell in old if isinstance(cell, str) and cell][:3]
                    yield f"row {number} ({', '.join(labels)}), column {name}: {change(*cells)}"

    def compare_json(self, path: str, before: Any, after: Any, fields: set[str]) -> Iterator[str]:
        """Yield the paths of keys that differ."""
        if isinstance(before, dict) and isinstance(after, dict):
            if list(before) != list(after):
                yield f"{path or '(top)'}: keys {listed(before, after)} -> {listed(after, before)}"
            for key in [name for name in before if name in after]:
                if key in fields:
                    self.masked += 1
                else:
                    yield from self.compare_json(f"{path}.{key}".lstrip("."), before[key], after[key], fields)
        elif isinstance(before, list) and isinstance(after, list):
            if len(before) != len(after):
                yield f"{path}: {len(before)} items -> {len(after)} items"
            for number, (old, new) in enumerate(zip(before, after, strict=False)):
                yield from self.compare_json(f"{path}[{number}]", old, new, fields)
        else:
            yield from self.compare_values(f"{path}: ", before, after)

    def compare_lines(self, before: Iterable[str], after: Iterable[str], fields: set[str]) -> Iterator[str]:
        """Yield the lines that differ, by number; after the first inserted line all following ones do."""
        for number, (old, new) in enumerate(zip_longest(before, after, fillvalue="(no line)"), start=1):
            self.masked += sum(one in old for one in fields)
            yield from self.compare_values(f"line {number}: ", hidden(old, fields), hidden(new, fields))

    def compare_values(self, where: str, before: Any, after: Any) -> Iterator[str]:
        """Yield one line if two values differ."""
        self.values += 1
        if not same(before, after):
            yield f"{where}{change(before, after)}"


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their relative path, without lock files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path for path in paths if path.name != ".lock"}


def hidden(line: str, fields: set[str]) -> str:
    """Replace what follows a masked field in a line, up to the next tag."""
    for one in fields:
        line = re.sub(rf"({re.escape(one)}(?:<[^>]*>)*)[^<]*", r"\g<1>(masked)", line)
    return line


def same(before: Any, after: Any) -> bool:
    """Return whether two values are equal: floats bit by bit, except that every NaN equals every NaN."""
    if isinstance(before, float) and isinstance(after, float):
        both_nan = before != before and after != after
        return both_nan or struct.pack("<d", before) == struct.pack("<d", after)
    return type(before) is type(after) and before == after


def listed(these: Iterable[Any], those: Iterable[Any]) -> str:
    """Return what `these` have and `those` lack, or all of `these` if only the order differs."""
    names, others = list(these), list(those)
    return str([name for name in names if name not in others] if set(names) != set(others) else names)


def shortened(text: str) -> str:
    """Return a text of at most 40 characters."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def change(before: Any, after: Any) -> str:
    """Return two values for reading."""
    return f"{excerpt(before, after)} -> {excerpt(after, before)}"


def excerpt(value: Any, other: Any) -> str:
    """Return a value for reading; of a long text the part where it begins to differ from the other."""
    if not isinstance(value, str) or not isinstance(other, str) or len(value) < 120:
        return repr(value)
    differs = (number for number, pair in enumerate(zip(value, other, strict=False)) if pair[0] != pair[1])
    start = max(0, next(differs, min(len(value), len(other))) - 40)
    return f"...{value[start : start + 120]!r}..."


# --- The two commands ------------------------------------------------------------------------------------------------


def description(place: Path) -> dict[str, str]:
    """Describe the code and the machine of a reference, to explain differences; never compared."""
    commands = {"commit": ("rev-parse", "HEAD"), "changed": ("status", "--short", "src")}
    git = {
        name: subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for name, words in commands.items()
    }
    code = "import assay, torch; print(assay.__file__, torch.__version__, torch.backends.cpu.get_cpu_capability())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(place), capture_output=True, text=True, check=True)
    file, torch, processor = done.stdout.split()
    if not Path(file).is_relative_to(SOURCE):
        raise SystemExit(f"guard: Python imports {file}, not the code in {SOURCE}")
    print(f"guard: the code in {SOURCE}, commit {git['commit'][:10]}{' with changes' if git['changed'] else ''}")
    return {**git, "processor": processor, "machine": platform.machine(), "python": platform.python_version(),
            "torch": torch, "cores": str(os.cpu_count())}  # fmt: skip


def record(folder: Path, jobs: tuple[str, ...], place: Path, at_once: int) -> int:
    """Run jobs and keep what they wrote in a folder. Returns the exit code."""
    if folder.exists() and any(folder.iterdir()) and not (folder / DESCRIPTION).exists():
        raise SystemExit(f"guard: {folder} is not empty and holds no reference: choose another folder")
    made = description(place)
    run_all(jobs, place, wrong_studies() if "texts" in jobs else {}, at_once)
    for job in jobs:
        answer = place / job / "answers" / ("help.txt" if job == "texts" else "run.txt")
        if not answer.read_text(encoding="utf-8").startswith("exit code 0\n"):
            raise SystemExit(f"guard: {job} failed, so nothing was recorded")
    for job in jobs:
        shutil.rmtree(folder / job, ignore_errors=True)
        for kept in KEPT:
            if (place / job / kept).exists():
                shutil.copytree(place / job / kept, folder / job / kept, ignore=shutil.ignore_patterns(".lock"))
    (folder / DESCRIPTION).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"recorded {sum(len(files_in(folder / job)) for job in jobs):,} files in {folder}")
    return 0


def compare(folder: Path, jobs: tuple[str, ...], place: Path, at_once: int) -> int:
    """Run jobs and compare what they wrote with a reference. Returns the exit code."""
    if not (folder / DESCRIPTION).exists():
        raise SystemExit(f"guard: {folder} holds no reference: run `record` before the refactoring")
    if absent := [job for job in jobs if not (folder / job).exists()]:
        raise SystemExit(f"guard: the reference lacks {', '.join(absent)}: record them, or choose others with --only")
    reference, made = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")), description(place)
    for name in ("processor", "machine", "python", "torch", "cores"):
        if reference[name] != made[name]:
            print(f"guard: recorded with {name} {reference[name]}, now {made[name]}: last digits may differ")
    run_all(jobs, place, {path.stem: path.read_text() for path in folder.glob("texts/wrong/*.yaml")}, at_once)
    comparison = Comparison()
    for job in jobs:
        for kept in KEPT:
            comparison.compare_folders(folder / job / kept, place / job / kept, f"{job}/{kept}")
    print(*comparison.differences, comparison.summary(), sep="\n")
    return 1 if comparison.differences else 0


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and run a command."""
    parser = argparse.ArgumentParser(
        description="Check that a refactoring changed no result: record a reference before it, compare after it.",
        epilog="Example: python tools/guard.py record ../before; (refactor); python tools/guard.py compare ../before",
    )
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of the reference, outside the repository")
    parser.add_argument("--only", metavar="NAME", choices=JOBS, action="append", help=f"one of {', '.join(JOBS)}")
    parser.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count(), help="studies at once [cores]")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder with what was run")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if folder.is_relative_to(ROOT):
        parser.error(f"{folder} lies in the repository: choose a folder outside it")
    place = Path(tempfile.mkdtemp(prefix="assay-guard-"))
    try:
        act = record if options.command == "record" else compare
        return act(folder, tuple(options.only or JOBS), place, max(1, options.jobs))
    finally:
        if options.keep:
            print(f"kept: {place}", file=sys.stderr)
        else:
            shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
