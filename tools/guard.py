"""Check that a refactoring changed no result.

`record` makes small runs of all kinds with the code of this checkout (studies with a preview, a segmentation study, a
probed model, audits and their comparison, a look, compared predictions, validated scores) and keeps their numbers as
tuples (kind, subject, value, ends, decision). `compare` makes the runs again and looks for every tuple; `rebuild` makes
only the tables again, from the recorded folders, in seconds. Numbers are compared bit by bit. Tuples are read from
tables. Pages and the files of `FILES` beside them are compared word by word, without times.

Record and compare on the same machine: another processor or another version of PyTorch gives other last digits.
"""

from __future__ import annotations

import argparse
import base64
import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parents[1]
TUPLES = "tuples.json"
SHOWN = 12  # differences shown of one kind
SHOWN_TEXT = 160  # characters of a text that differs

# --- What is run -----------------------------------------------------------------------------------------------------

STUDY = """\
name: study
data: {phantom: nodule, size: 32, train: 256, validation: 96, test: 160, core: margin}
environments:
  train: {association: {texture: 0.8}}
  same: {like: train}
  reversed: {association: {texture: -0.8}}
recipe: {loss: [cross-entropy, supcon, triplet], epochs: [3, 6], batch_size: 16}
first_seed: 5
seeds: 4
probes: [performance, reliance, decodability, {representation: {images: 64}}]
contrasts:
  - {axis: loss, against: cross-entropy, measure: auroc, environment: reversed, role: primary, margin: 0.05,
     where: {epochs: 6}}
  - {axis: epochs, against: 6, measure: auroc, environment: same, role: positive-control, expected: lower,
     where: {loss: cross-entropy}}
  - {axis: loss, against: cross-entropy, measure: sobol-total, factor: texture, margin: 0.1, where: {epochs: 6}}
  - {axis: loss, against: cross-entropy, measure: auroc, environment: same, at: matched-fit}
"""
SEGMENTATION = """\
name: segmentation
data: {phantom: endoscopy, core: lesion, target: lesion, size: 64, train: 120, validation: 60, test: 90}
environments:
  train: {where: {lesion: present}}
  lesions: {where: {lesion: present}}
  lesion-free: {where: {lesion: absent}}
recipe: {task: segmentation, architecture: small-unet, loss: [cross-entropy, {dice: {reduce: image}}],
         optimizer: {adamw: {lr: 0.003}}, epochs: 6, batch_size: 16}
seeds: 3
probes: [performance, segmentation, lesion-free]
contrasts:
  - {axis: loss, against: cross-entropy, measure: dice, environment: lesions, role: primary, margin: 0.02}
  - {axis: loss, against: cross-entropy, measure: false-positive-rate-at-90, environment: lesion-free, margin: 0.1}
"""
DOSES = """\
name: doses
data: {phantom: chest, size: 64, train: 120, validation: 80, test: 120, target: mass, core: mass}
environments:
  train: {difficulty: {mass: 1.2}, dose: {confounder: tag, p: [0, 0.5, 1]}}
  clean: {like: train, dose: {p: 0}}
  reversed: {like: train, dose: {p: 1, on: negative}}
recipe: {architecture: small-cnn, loss: [cross-entropy, supcon], optimizer: {adamw: {lr: 0.01}}, epochs: 5,
         batch_size: 16}
seeds: 3
contrasts: [{axis: loss, against: cross-entropy, environment: reversed, at: dose-response, mean_over: [p], margin: 0.1}]
"""
FOLDS = """\
name: folds
data: {folder: images, target: malignant, patient: patient, size: 32, split: {folds: 3},
       factors: {texture: {kind: categorical, high: [part-solid, ground-glass]}, size: {unit: mm}}}
environments:
  train: {}
  same: {}
  reversed: {association: {texture: -0.6}}
recipe: {loss: [cross-entropy, supcon], epochs: 3, batch_size: 32, optimizer: {adamw: {lr: 0.01}}}
seeds: 3
probes: [{performance: {smallest_group: 10}}, decodability]
contrasts:
  - {axis: loss, against: cross-entropy, measure: auroc, environment: reversed, role: primary, margin: 0.05}
  - {axis: loss, against: cross-entropy, measure: worst-group-accuracy, environment: same}
"""
# A model of a few sums: so fast that the cap on passes binds an audit's plan, and never the clock.
ANSWERING = """\
import sys
from pathlib import Path
import numpy as np
import assay

def corner(images):
    middle = images[:, 0, 24:72, 24:72].mean((1, 2)) - 0.3 * images[:, 0].mean((1, 2))
    bright = images[:, 0, 4:16, -20:-4].max((1, 2))
    return 60 * (middle - middle.mean() * 0 - 0.25) + 2 * bright

def shape(images):
    return 60 * (images[:, 0, 24:72, 24:72].mean((1, 2)) - 0.3 * images[:, 0].mean((1, 2)) - 0.25)

data = {"folder": "images", "target": "mass", "patient": "patient", "size": 96, "factors": {"sex": "categorical",
        "view": "categorical"}}
"""
AUDIT = (
    ANSWERING
    + """
for name, model in (("corner", corner), ("shape", shape)):
    assay.audit(model, data, name=name, domain="phantom-chest", out=Path("runs", name))
"""
)
MODEL = """\
import sys
from pathlib import Path
import assay
(trial,) = sorted(Path("runs/source/trials").iterdir())[:1]
data = {"phantom": "nodule", "size": 32, "train": 96, "validation": 64, "test": 160, "core": "margin"}
ties = {"same": {"association": {"texture": 0.8}}, "reversed": {"association": {"texture": -0.8}}}
assay.probe(trial, data, ["performance", "reliance", "decodability"], environments=ties, out=Path("runs/model"))
"""
PREDICTIONS = """\
import csv
import numpy as np
generator = np.random.Generator(np.random.PCG64(3))
with open("predictions.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["image", "patient", "loss", "seed", "target", "score"])
    for name, skill in (("plain", 0.8), ("new", 1.2), ("other", 0.82)):
        for seed in range(4):
            for image in range(120):
                noise = np.random.Generator(np.random.PCG64([seed, image, len(name)])).standard_normal()
                score = 1 / (1 + np.exp(-(skill * (image % 2 * 2 - 1) + noise)))
                writer.writerow([image, image // 2, name, seed, image % 2, f"{score:.6f}"])
"""

SCORES = """\
import csv
import numpy as np
for name, skill in (("ours", 1.2), ("theirs", 0.8), ("tuning-ours", 1.2), ("tuning-theirs", 0.8)):
    with open(f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "patient", "target", "score", "sex"])
        for case in range(240):
            noise = np.random.Generator(np.random.PCG64([case, len(name)])).standard_normal()
            score = 1 / (1 + np.exp(-(skill * (case % 2 * 2 - 1) + noise)))
            text = "" if case % 60 == 7 and "tuning" not in name else f"{score:.6f}"
            writer.writerow([case, case // 2, case % 2, text, "FM"[case // 4 % 2]])
"""


@dataclass(frozen=True)
class Job:
    """A run of the guard.

    Attributes:
        files: Files to write.
        commands: What is run then; `assay` stands for this checkout's command.
        kinds: The kinds of run that its folders hold.
    """

    files: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...] = ("study",)


JOBS: Mapping[str, Job] = {
    "study": Job({"study.yaml": STUDY, "doses.yaml": DOSES}, (("assay", "run", "study.yaml", "--workers", "0"),
                                                              ("assay", "run", "doses.yaml", "--workers", "0"),
                                                              ("assay", "preview", "study.yaml")),
                 ("preview", "study")),
    "folds": Job({"folds.yaml": FOLDS}, (("assay", "example", "images"),
                                         ("assay", "run", "folds.yaml", "--workers", "0"))),
    "segmentation": Job({"s.yaml": SEGMENTATION}, (("assay", "run", "s.yaml", "--workers", "0"),)),
    "model": Job(
        {"source.yaml": STUDY.replace("name: study", "name: source").replace("[cross-entropy, supcon, triplet]",
         "cross-entropy").replace("[3, 6]", "6").split("contrasts")[0].replace("seeds: 4", "seeds: 1"), "m.py": MODEL},
        (("assay", "run", "source.yaml", "--workers", "0"), ("python", "m.py")), ("model", "study"),
    ),
    "audit": Job({"a.py": AUDIT}, (("assay", "example", "images", "--audit"), ("python", "a.py"),
                                   ("assay", "audit", "compare", "runs/corner", "runs/shape", "--out", "runs/audits"),
                                   ("assay", "look", "images", "--target", "mass", "--out", "runs/look")),
                 ("audit", "comparison of audits", "look")),
    "compare": Job({"p.py": PREDICTIONS}, (("python", "p.py"), ("assay", "compare", "predictions.csv", "--by", "loss",
                   "--against", "plain", "--margin", "0.05", "--out", "runs/compare")),
                   ("comparison",)),
    "validate": Job({"s.py": SCORES}, (("python", "s.py"), (
        "assay", "validate", "ours.csv", "theirs.csv", "--prevalence", "0.02,0.2", "--margin", "0.05", "--plan", "0.05",
        "--groups", "sex", "--threshold", "sensitivity=0.9", "--threshold-from", "tuning-ours.csv,tuning-theirs.csv",
        "--recalibrate-from", "tuning-ours.csv,tuning-theirs.csv", "--out", "runs/validate")), ("validation",)),
}  # fmt: skip


def make(job: str, folder: Path) -> None:
    """Make a run in a folder of its own. Raises SystemExit with what a command that failed wrote last."""
    folder.mkdir(parents=True)
    for name, text in JOBS[job].files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for command in JOBS[job].commands:
        ask(command, folder)


def ask(command: tuple[str, ...], folder: Path) -> None:
    """Run a command with the code of this checkout."""
    words = [sys.executable, *(("-m", "assay") if command[0] == "assay" else ()), *command[1:]]
    more = {"PYTHONPATH": str(ROOT / "src"), "ASSAY_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"guard: {' '.join(command)} in {folder} failed:\n{done.stdout[-800:]}{done.stderr[-1500:]}")


# --- How tables become tuples ----------------------------------------------------------------------------------------

Found = tuple[str, str, str, tuple[str, str], str]
"""kind, subject, value, ends, decision; numbers as hexadecimal text."""
LEFT = {"seconds", "id", "row", "trial", "source", "table"}
"""Columns of times and names that are hashes or positions."""
WORDS = {"decision", "verdict", "status", "link", "open"}
"""Columns of decisions."""
SKIPPED = {"values", "findings", "pictures", "provenance", "facts", "answers", "images"}
"""Tables of texts, or of what was read."""
TRIPLES = ("", "loss", "loss_negatives", "loss_positives", "flips", "dice", "stray")
"""Names of values whose ends are `NAME_low` and `NAME_high`."""
NOTES = {"reason", "text", "intervention", "facts", "logits", "region"}


def tuples_of(root: Path) -> list[Found]:
    """Return the numbers of every table of a run folder."""
    found: list[Found] = []
    for path in sorted((root / "tables").glob("*.parquet")):
        if path.stem not in SKIPPED:
            for row in rows_of(path):
                found += of_point(row) if path.stem == "points" else of_row(path.stem, row)
    tables = root / "tables"
    if (tables / "values.parquet").is_file():
        for row in selected(SEEDS, tables / "estimates.parquet", tables / "values.parquet"):
            found += of_row("seeds", row)
    return found


SEEDS = """SELECT recipe, coordinates, measure, environment, factor, level, layer, "group", seed, of_seed.value
FROM read_parquet(?) AS named JOIN read_parquet(?) AS of_seed USING (id)"""


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    return selected("SELECT * FROM read_parquet(?)", path)


def selected(query: str, *paths: Path) -> list[dict[str, Any]]:
    """Return the rows of a query of Parquet files."""
    read = duckdb.execute(query, list(map(str, paths)))
    names = [column[0] for column in read.description or ()]
    return [dict(zip(names, row, strict=True)) for row in read.fetchall()]


def of_point(row: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the tuples of a point as those of older records, which have a table for each kind of curve."""
    named = {name: row[name] for name in ("recipe", "coordinates", "environment", "seeds", "patients", "images")}
    match row["curve"]:
        case "false-positives":
            yield from of_row("planes", {**named, "threshold": row["y"], "area": row["x"], "value": row["value"]})
        case "free-response":
            rates = {"false_positives": row["x"], "sensitivity": row["value"]}
            yield from of_row("free_response", {**named, **rates})
        case name:
            named = {name: named[name] for name in ("recipe", "coordinates", *(["seeds"] if name == "lr" else []))}
            yield from of_row("curves", {**named, "epoch": int(row["x"]), name: row["value"]})


def of_row(table: str, row: Mapping[str, Any]) -> Iterator[Found]:
    """Yield a tuple for each number of a row of a table; its texts name the subject."""
    if row.get("coordinates") == "{}":  # nothing differs between recipes: the name is no part of a subject
        row = {name: value for name, value in row.items() if name not in ("recipe", "coordinates")}
    texts = {name: value for name, value in row.items() if isinstance(value, str) and name not in LEFT | NOTES | WORDS}
    if table == "estimates":  # contrasts name by `where` what is held
        texts.pop("where", None)
    texts |= {
        name: str(row[name])
        for name in ("seed", "fold", "look", "severity", "epoch", "threshold", "area")
        if name in row
    }
    subject = "|".join(f"{name}={texts[name]}" for name in sorted(texts) if texts[name])
    decision = ",".join(str(row[name]) for name in sorted(WORDS & set(row)) if row[name])
    ends = {"low": "value" if "value" in row else "g" if "g" in row else "rate"}
    done = {"low", "high"}
    skipped = LEFT | set(texts)
    numbers = {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in skipped
    }
    for name, value in numbers.items():
        if name in done or name.endswith(("_low", "_high")):
            continue
        low = "low" if name == ends["low"] else f"{name}_low"
        high = low.replace("low", "high")
        pair = (hexed(numbers.get(low)), hexed(numbers.get(high)))
        yield table if name == ends["low"] else f"{table}.{name}", subject, hexed(value), pair, decision
    if not numbers:
        yield table, subject, "", ("", ""), decision


def hexed(value: float | None) -> str:
    """Return a number with all of its bits; NaN is one text, and the sign of zero is not looked at."""
    return "" if value is None else "nan" if value != value else (value + 0.0).hex()


# --- How they are compared -------------------------------------------------------------------------------------------


def differences(before: Iterable[Found], after: Iterable[Found]) -> dict[str, list[str]]:
    """Return what is missing, extra or changed, by kind."""
    old, new = Counter(before), Counter(after)
    missing, extra = old - new, new - old
    lines: dict[str, list[str]] = {}
    free = {(kind, subject): (value, ends, decision) for kind, subject, value, ends, decision in extra}
    for kind, subject, value, ends, decision in missing:
        now = free.pop((kind, subject), None)
        was = readable(value, ends, decision)
        lines.setdefault(kind, []).append(f"{subject}: {was} -> {readable(*now) if now else 'missing'}")
    for (kind, subject), now in free.items():
        lines.setdefault(kind, []).append(f"{subject}: extra, {readable(*now)}")
    return lines


def readable(value: str, ends: tuple[str, str], decision: str) -> str:
    """Return a tuple's content for reading."""
    numbers = [f"{float.fromhex(one):.17g}" if one not in ("", "nan") else one or "-" for one in (value, *ends)]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}] {decision}".strip()


FILES = (
    "report.html", "verdicts.json", "issues.csv", "model-card.md", "data-card.md", "crosswalk.md", "checklists.md",
)  # fmt: skip
"""Files of a run folder for people and machines."""
MASKED = re.compile(
    r"\b\d+(?:\.\d+)? ?(?:ms|s|min|h|seconds?|minutes?|hours?)\b|\b\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-][\d:]+)?)?"
    r"|/tmp/assay-guard-\w+|\b[0-9a-f]{12,64}\b"
)
"""Times, dates, folders of the guard and hashes, which hold versions and times."""
_SCRIPTED = re.compile(r"data:[\w/;=,+-]*base64,[A-Za-z0-9+/=]+")


def texts_of(root: Path) -> dict[str, list[str]]:
    """Return the words of the files that a run folder has for people and machines, without what differs by run."""
    texts: dict[str, list[str]] = {}
    for name in FILES:
        if (root / name).is_file():
            text = _SCRIPTED.sub(_plain, (root / name).read_text(encoding="utf-8"))
            texts[name] = MASKED.sub("*", text).replace(str(root.parents[1]), "*").split()
    return texts


def _plain(found: re.Match[str]) -> str:
    """Return a file within a page as its text, a picture as it is."""
    head, _, content = found[0].partition("base64,")
    data = base64.b64decode(content)
    if "image/" in head:
        return found[0]
    if "zip" in head or "csv" in head:
        return _without_seconds((gzip.decompress(data) if "zip" in head else data).decode())
    return data.decode("utf-8", "replace")


def _without_seconds(table: str) -> str:
    """Return a CSV table without the times that trials took."""
    rows = csv.DictReader(io.StringIO(table))
    return "\n".join(",".join(value for name, value in row.items() if name != "seconds") for row in rows)


def changed_words(before: Path, after: Path) -> dict[str, str]:
    """Return where the words of each file of a run first differ, with what surrounds that."""
    old, new = texts_of(before), texts_of(after)
    lines: dict[str, str] = {}
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name, []), new.get(name, [])
        if was != now:
            alike = (at for at, pair in enumerate(zip(was, now, strict=False)) if pair[0] != pair[1])
            at = next(alike, min(len(was), len(now)))
            parts = (" ".join(words[max(at - 6, 0) : at + 8])[:SHOWN_TEXT] for words in (was, now))
            lines[f"{before.name}/{name}"] = " -> ".join(parts)
    return lines


def show(job: str, lines: Mapping[str, list[str]], count: int) -> int:
    """Print differences of a job, and return how many there are."""
    total = sum(map(len, lines.values()))
    for kind, found in sorted(lines.items()):
        print(*(f"{job}: {kind}: {line}" for line in found[:SHOWN]), sep="\n")
        if len(found) > SHOWN:
            print(f"{job}: {kind}: and {len(found) - SHOWN} more")
    print(f"{job}: {total:,} differences among {count:,} tuples")
    return total


# --- The commands ----------------------------------------------------------------------------------------------------


def runs_of(folder: Path) -> list[Path]:
    """Return the run folders of a job."""
    return sorted(path.parent for path in (*folder.glob("runs/*/tables"), *folder.glob("runs/*/preview/tables")))


def kind_of(root: Path) -> str:
    """Return the kind of run that a run folder names."""
    return json.loads((root / "run.json").read_bytes())["kind"]


def read_all(folder: Path) -> list[Found]:
    """Return the tuples of all runs of a job; a subject begins with the name of its run."""
    return [
        (kind, f"{root.name}: {subject}", value, ends, decision)
        for root in runs_of(folder)
        for kind, subject, value, ends, decision in tuples_of(root)
    ]


def stored(path: Path) -> list[Found]:
    """Read tuples that were kept."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [(kind, subject, value, (low, high), decision) for kind, subject, value, (low, high), decision in found]


def record(folder: Path, jobs: Iterable[str]) -> int:
    """Make runs and keep their folders and tuples."""
    for job in jobs:
        shutil.rmtree(folder / job, ignore_errors=True)
        make(job, folder / job)
        kinds = tuple(sorted(set(map(kind_of, runs_of(folder / job)))))
        if kinds != JOBS[job].kinds:
            raise SystemExit(f"guard: the folders of '{job}' hold {', '.join(kinds)}, not {', '.join(JOBS[job].kinds)}")
        found = read_all(folder / job)
        (folder / job / TUPLES).write_text(json.dumps(found), encoding="utf-8")
        print(f"{job}: recorded {len(found):,} tuples", flush=True)
    return 0


def compare(folder: Path, jobs: Iterable[str], *, rebuild: bool) -> int:
    """Make runs, or only their tables, and compare with what was recorded. Returns the exit code."""
    total = 0
    with tempfile.TemporaryDirectory(prefix="assay-guard-") as name:
        for job in jobs:
            if not (folder / job / TUPLES).is_file():
                raise SystemExit(f"guard: {folder} holds no record of '{job}': run `record` before the refactoring")
            place = Path(name, job)
            if rebuild:
                shutil.copytree(folder / job, place)
                for root in runs_of(place):
                    if kind_of(root) in ("study", "model"):
                        for table in (root / "tables").glob("*.parquet"):
                            table.unlink()
                        ask(("assay", "report", root.name, "--out", "runs"), place)
            else:
                make(job, place)
            before, after = stored(folder / job / TUPLES), read_all(place)
            total += show(job, differences(before, after), len(before))
            for root in runs_of(folder / job):
                changed = changed_words(root, place / root.relative_to(folder / job))
                total += len(changed)
                print("".join(f"{job}: {name}: {words}\n" for name, words in changed.items()), end="")
    return 1 if total else 0


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and run a command."""
    parser = argparse.ArgumentParser(
        description="Check that a refactoring changed no number: record before it, compare after it.",
        epilog="Example: python tools/guard.py record ../before; (refactor); python tools/guard.py compare ../before",
    )
    parser.add_argument("command", choices=("record", "compare", "rebuild", "read"))
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of the record, or (read) a run folder")
    parser.add_argument("--only", metavar="NAME", choices=tuple(JOBS), action="append", help=", ".join(JOBS))
    options = parser.parse_args(arguments)
    folder, jobs = options.folder.resolve(), options.only or list(JOBS)
    if options.command == "read":
        print(*tuples_of(folder), sep="\n")
        return 0
    if folder.is_relative_to(ROOT):
        parser.error(f"{folder} lies in the repository: choose a folder outside it")
    if options.command == "record":
        return record(folder, jobs)
    return compare(folder, jobs, rebuild=options.command == "rebuild")


if __name__ == "__main__":
    sys.exit(main())
