# ruff: noqa: E501
"""Move the modules of Assay to the folders of their features, and rewrite every reference to them.

    python tools/move.py           # in a clean checkout; needs .venv

`MOVES` and `TESTS` say what moves. Imports are rewritten by syntax tree, other texts by exact dotted names and paths.
Everything is left in the working tree, with the moves staged. Places that need an eye are printed.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "assay"
MOVES: Mapping[str, str] = {
    # A model of yours.
    "assay.study.audit_request": "assay.audit.request",
    "assay.study.audit": "assay.audit.model",
    "assay.study.outside": "assay.audit.preprocessing",
    "assay.study.origins": "assay.audit.origins",
    "assay.analysis.one_model": "assay.audit.probe",
    "assay.study.audit_plan": "assay.audit.plan",
    "assay.shifts.battery": "assay.audit.battery",
    "assay.study.auditing": "assay.audit.run",
    "assay.study.audit_conclusions": "assay.audit.answers",
    "assay.analysis.audit": "assay.audit.scored",
    "assay.store.audit_tables": "assay.audit.tables",
    "assay.stats.swing": "assay.audit.swing",
    "assay.stats.verdicts": "assay.audit.verdicts",
    "assay.study.reading": "assay.audit.reading",
    "assay.study.audit_data": "assay.audit.checks",
    "assay.study.audit_scores": "assay.audit.predictions",
    "assay.study.references": "assay.audit.references",
    "assay.study.clean_networks": "assay.audit.reference_networks",
    "assay.analysis.leads": "assay.audit.leads",
    "assay.study.inside": "assay.audit.inside",
    "assay.analysis.cases": "assay.audit.cases",
    "assay.study.prepared": "assay.audit.prepared",
    "assay.study.labels": "assay.audit.labels",
    "assay.report.index_page": "assay.audit.index_page",
    "assay.study.policy": "assay.audit.policy",
    "assay.study.remedy": "assay.audit.remedy",
    "assay.study.audit_compare": "assay.audit.compare",
    "assay.report.audit_comparison": "assay.audit.compare_page",
    "assay.results.audit_blocks": "assay.audit.page",
    "assay.report.audit_page": "assay.audit.opening",
    "assay.report.sentences.audit": "assay.audit.words",
    "assay.report.audit_cards": "assay.audit.cards",
    "assay.report.crosswalk": "assay.audit.crosswalk",
    "assay.store.verdicts_file": "assay.audit.verdicts_file",
    "assay.cli.audit": "assay.audit.command",
    "assay.cli.audit_predictions": "assay.audit.predictions_command",
    # Search for the region that its answers live by.
    "assay.study.leads": "assay.audit.search.run",
    "assay.probes.leads": "assay.audit.search.search",
    "assay.probes.drawn": "assay.audit.search.drawn",
    "assay.shifts.regions": "assay.audit.search.regions",
    "assay.report.sentences.leads": "assay.audit.search.words",
    # Images before any network.
    "assay.study.look": "assay.look.run",
    "assay.study.look_request": "assay.look.request",
    "assay.analysis.data_checks": "assay.look.checks",
    "assay.analysis.shortcuts": "assay.look.cues",
    "assay.analysis.image_cues": "assay.look.image_cues",
    "assay.analysis.added": "assay.look.added",
    "assay.report.look_page": "assay.look.page",
    "assay.cli.look": "assay.look.command",
    # Predictions in a CSV.
    "assay.study.compare": "assay.compare.run",
    "assay.study.compare_request": "assay.compare.request",
    "assay.study.predictions": "assay.compare.predictions",
    "assay.cli.compare": "assay.compare.command",
    # Studies.
    "assay.study.run_request": "assay.study.request",
    "assay.analysis.results": "assay.study.gathered",
    "assay.analysis.panels": "assay.study.panels",
    "assay.analysis.measurements": "assay.study.measurements",
    "assay.analysis.folds": "assay.study.folds",
    "assay.analysis.tables": "assay.study.tables",
    "assay.analysis.contrasts": "assay.study.contrasts",
    "assay.analysis.families": "assay.study.families",
    "assay.analysis.doses": "assay.study.doses",
    "assay.analysis.looks": "assay.study.interim",
    "assay.analysis.registration": "assay.study.registration",
    "assay.analysis.prespecified": "assay.study.prespecified",
    "assay.analysis.replication": "assay.study.replication",
    "assay.analysis.published": "assay.study.published",
    "assay.analysis.segmentation": "assay.study.segmentation",
    "assay.analysis.similarity": "assay.study.similarity",
    "assay.analysis.described": "assay.study.described",
    "assay.analysis.confounders": "assay.study.confounders",
    "assay.shifts.checks": "assay.study.visibility",
    "assay.analysis.illustrations": "assay.study.heat_maps",
    "assay.analysis.preview": "assay.study.power",
    "assay.results.preview_blocks": "assay.study.preview_page",
    "assay.report.preview_page": "assay.study.preview_opening",
    "assay.results.study_blocks": "assay.study.page",
    "assay.report.opening": "assay.study.opening",
    "assay.cli.run": "assay.study.command",
    "assay.cli.register": "assay.study.register_command",
    "assay.cli.replicate": "assay.study.replicate_command",
    "assay.cli.preview": "assay.study.preview_command",
    # Shared.
    "assay.analysis.pictures": "assay.report.pictures",
    "assay.study.scores": "assay.report.sentences.scores",
    "assay.runs.run": "assay.execution.run",
}
"""Old module -> new module. A file is moved as it is; files are merged later, by hand."""
TESTS: Mapping[str, str] = {
    **{
        f"tests.analysis.test_{name}": f"tests.study.test_{name}"
        for name in (
            "cautions", "confounders", "contrasts", "curve_rows", "dose_counts", "families", "gather", "heat_maps",
            "measures_given", "outlines", "pooling", "preview", "published", "registration", "similarity_rows",
            "start_rows", "stated", "trades",
        )
    },
    "tests.analysis.test_looks": "tests.study.test_interim",
    "tests.analysis.test_added": "tests.look.test_added",
    "tests.analysis.test_proxies": "tests.look.test_proxies",
    "tests.analysis.test_shortcuts": "tests.look.test_cues",
    "tests.study.test_look": "tests.look.test_look",
    "tests.study.test_predictions": "tests.compare.test_predictions",
    "tests.analysis.test_audit_groups": "tests.audit.test_groups",
    "tests.analysis.test_cases": "tests.audit.test_cases",
    "tests.report.test_audit_cards": "tests.audit.test_cards",
    "tests.report.test_audit_sentences": "tests.audit.test_words",
    "tests.report.test_index_page": "tests.audit.test_index_page",
    "tests.stats.test_swing": "tests.audit.test_swing",
    "tests.stats.test_verdicts": "tests.audit.test_verdicts",
    "tests.store.test_verdicts_schema": "tests.audit.test_verdicts_schema",
    "tests.study.test_audit": "tests.audit.test_audit",
    "tests.study.test_audit_compare": "tests.audit.test_compare",
    "tests.study.test_audit_edges": "tests.audit.test_edges",
    "tests.study.test_audit_large": "tests.audit.test_large",
    "tests.study.test_audit_maps": "tests.audit.test_maps",
    "tests.study.test_explain": "tests.audit.test_explain",
    "tests.study.test_examine": "tests.audit.test_examine",
    "tests.study.test_given_models": "tests.audit.test_given_models",
    "tests.study.test_inside": "tests.audit.test_inside",
    "tests.study.test_labels": "tests.audit.test_labels",
    "tests.study.test_outside": "tests.audit.test_preprocessing",
    "tests.study.test_prepared": "tests.audit.test_prepared",
    "tests.study.test_references_of_audits": "tests.audit.test_references",
    "tests.study.test_remedy_of_audits": "tests.audit.test_remedy",
    "tests.probes.test_drawn": "tests.audit.search.test_drawn",
    "tests.probes.test_leads": "tests.audit.search.test_search",
    "tests.shifts.test_regions": "tests.audit.search.test_regions",
    "tests.study.test_leads": "tests.audit.search.test_leads",
    "tests.runs.test_new_kind": "tests.execution.test_new_kind",
}  # fmt: skip
"""The same for tests."""
FILES: Mapping[str, str] = {
    "src/assay/study/references": "src/assay/audit/references",
    "src/assay/store/verdicts.schema.json": "src/assay/audit/verdicts.schema.json",
}
"""Other files that lie beside a module which moves."""
BY_HAND = ("CHANGELOG.md", "tools/move.py")
"""Files that keep old names."""
ALL = {**MOVES, **TESTS}
TEXTS = (".py", ".pyi", ".md", ".ipynb", ".toml", ".yml", ".yaml", ".json", ".txt", ".cfg", ".html", "")


def git(*words: str) -> str:
    """Run git and return what it prints."""
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def file_of(module: str) -> Path:
    """Return the path of a module below the checkout."""
    return Path("src" if module.startswith("assay.") else "", *module.split(".")).with_suffix(".py")


def move(old: Path, new: Path) -> None:
    """Move a tracked file or folder."""
    (ROOT / new).parent.mkdir(parents=True, exist_ok=True)
    git("mv", str(old), str(new))


def move_files() -> list[str]:
    """Move all files, make the packages of new folders, and return what is missing."""
    missing: list[str] = []
    before = {path.parent for path in PACKAGE.rglob("__init__.py")}
    for old, new in ALL.items():
        if not (ROOT / file_of(old)).exists():
            missing.append(f"{old}: no such module")
        elif (ROOT / file_of(new)).exists() and new not in ALL:
            raise SystemExit(f"{old} -> {new}: this module exists")
        else:
            move(file_of(old), file_of(new))
            snapshot = ROOT / file_of(old).parent / "__snapshots__" / f"{file_of(old).stem}.ambr"
            if snapshot.exists():
                target = file_of(new).parent / "__snapshots__" / f"{file_of(new).stem}.ambr"
                move(snapshot.relative_to(ROOT), target)
    for old, new in FILES.items():
        move(Path(old), Path(new))
    for folder in {(ROOT / file_of(new)).parent for new in MOVES.values()} - before:
        (folder / "__init__.py").touch()
        git("add", str(folder / "__init__.py"))
    for room in ("analysis", "results", "runs"):
        rest = [path for path in (PACKAGE / room).rglob("*.py") if path.name != "__init__.py"]
        missing += [f"{path.relative_to(ROOT)} has no new place" for path in rest]
        if not rest:
            git("rm", "-rqf", f"src/assay/{room}")
    return missing


# Imports of modules from packages, by syntax tree


def renamed(text: str, notes: list[str], file: Path) -> str:
    """Return the code of a file whose `from package import module` and uses of these modules have the new names."""
    tree = ast.parse(text)
    lines = text.encode().splitlines(keepends=True)
    edits: list[tuple[int, int, int, int, str]] = []  # first line, column, last line, column, text
    names: dict[str, str] = {}
    imported: dict[str, int] = {}
    for node in ast.walk(tree):
        for name in bound(node):
            imported[name] = imported.get(name, 0) + 1
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
            continue
        by_package: dict[str, list[str]] = {}
        for alias in node.names:
            new = ALL.get(f"{node.module}.{alias.name}")
            package, _, last = (new or f"{node.module}.{alias.name}").rpartition(".")
            stays = f" as {alias.asname}" if alias.asname else ""
            if new and last != alias.name and not alias.asname:
                if last in imported or imported[alias.name] > 1 or names.get(alias.name, last) != last:
                    stays = f" as {alias.name}"
                    notes.append(f"{file}: `{last}` keeps its old name `{alias.name}`")
                else:
                    names[alias.name] = last
            by_package.setdefault(package, []).append(last + stays)
        if list(by_package) == [node.module] and not any(f"{node.module}.{a.name}" in ALL for a in node.names):
            continue
        indent = "\n" + " " * node.col_offset
        made = indent.join(f"from {package} import {', '.join(those)}" for package, those in by_package.items())
        edits.append((node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0, made))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load):
            edits.append((node.lineno, node.col_offset, node.lineno, node.end_col_offset or 0, names[node.id]))
    for first, start, last, end, new in sorted(edits, reverse=True):
        head, tail = lines[first - 1][:start], lines[last - 1][end:]
        lines[first - 1 : last] = [head + new.encode() + tail]
    return b"".join(lines).decode()


def bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from {alias.asname or alias.name.split(".")[0] for alias in node.names}


# Dotted names and paths, in any text


def pattern_of(names: Sequence[str], before: str, after: str) -> re.Pattern[str]:
    """Return a pattern of exact names, the longest first."""
    each = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(f"{before}({each}){after}")


DOTTED = pattern_of(list(ALL), r"(?<![\w.])", r"(?!\w)")
PATHS = {
    **{str(file_of(old)): str(file_of(new)) for old, new in ALL.items()},
    **FILES,
    **{f"tests/{old.split('.')[1]}/__snapshots__/{file_of(old).stem}.ambr":
       f"{file_of(new).parent}/__snapshots__/{file_of(new).stem}.ambr" for old, new in TESTS.items()},
}  # fmt: skip
SHORT = {old.removeprefix("src/assay/"): new.removeprefix("src/assay/") for old, new in PATHS.items()}
PATH = pattern_of(list(SHORT), r"(?:(?<=assay/)|(?<![\w/.-]))", r"(?![\w-])")


def rewritten(text: str) -> str:
    """Return a text with the new dotted names and paths."""
    text = DOTTED.sub(lambda match: ALL[match[1]], text)
    return PATH.sub(lambda match: SHORT[match[1]], text)


def tracked() -> list[Path]:
    """Return the tracked texts that are rewritten."""
    files = [Path(name) for name in git("ls-files", "-z").split("\0") if name]
    return [file for file in files if file.suffix in TEXTS and str(file) not in BY_HAND and (ROOT / file).is_file()]


def rewrite(notes: list[str]) -> None:
    """Rewrite all texts."""
    for file in tracked():
        try:
            text = (ROOT / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        new = renamed(text, notes, file) if file.suffix in (".py", ".pyi") else text
        new = rewritten(new)
        if new != text:
            (ROOT / file).write_text(new, encoding="utf-8")


# Single places


def once(file: str, old: str, new: str, notes: list[str]) -> None:
    """Replace a text that occurs once in a file; note it where it does not."""
    path = ROOT / file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.count(old) != 1:
        notes.append(f"{file}: by hand: {old!r} -> {new!r}")
    else:
        path.write_text(text.replace(old, new), encoding="utf-8")


LAYOUT = """\
`tests/test_import_direction.py` has the folders that each folder may import, and refuses cycles, also those for types. A folder imports only those above it in this table.

| folder | holds |
|---|---|
| `core` | types, registry, seeds, errors, files, measures, requests, codes |
| `spec` | the study file: parse, grid, schema, checks |
| `data` | datasets, files, public sets, phantoms, near copies |
| `maps`, `stats` | columns of segmentation maps; metrics, estimates, comparisons |
| `shifts` | environments, associations, interventions, distortions |
| `models` | networks, initial weights, checkpoints |
| `training` | the loop, losses, mitigations, augmentation |
| `probes` | measurements of a model |
| `store` | run folders and their schema |
| `execution` | plan, jobs, executors; the driver of every run |
| `report` | from tables to the page: blocks, charts, pictures; knows no feature |
| `look` | a look at images before any network |
| `study` | a study: run, tables, preview, page |
| `audit` | a model that you have: audit, labels, references, comparison of audits; `audit/search` finds the region that its answers live by |
| `compare` | predictions in a CSV |
| `cli`, `api.py`, `testing` | the command line; the Python interface; conformance suites |

- **A feature is one folder**, with the same names inside: `request.py` (what is asked), `run.py` (a run), `page.py` and `opening.py` (its page), `words.py` (its sentences), `command.py` (what the terminal prints). `assay.audit`, `assay.compare` and `assay.look` are functions; the folders are imported by module, `from assay.audit.run import ...`.
- **A run is two functions and a page** (`execution/run.py`): `next` returns the tasks that the records of a folder allow and lack, `conclude` the tables. Its kind names the page. `tests/execution/test_new_kind.py` adds a kind in one file.
"""
PLACES = """\
Every kind of run is a folder: `look`, `study`, `audit`, `compare`. Below them lie the folders that they share, `core` to `report`. [Decisions](docs/decisions/index.md) list all of them and what each may import; `tests/test_import_direction.py` enforces it. A file is a topic, usually 150 to 600 lines.

| change | where |
|---|---|
| a measure of outputs | `stats/measures.py`; one of a probe in the file of the probe |
| a mark or a distortion | `shifts/confounders`, `shifts/distortions.py`; in audits: `audit/battery.py` |
| a loss or a mitigation | `training/losses`, `training/mitigations.py` |
| a check of images | `look/checks.py`; its sentence: `core/codes.py` |
| a reader of files | `data/files/readers.py` |
| a kind of run | a folder of its own, and its entry in `store/kinds.py` |
| the verdict of a mark | `audit/verdicts.py`; its sentence: `audit/words.py` |
| a table of a study | `study/tables.py`; its columns: `store/schema.py` |
| a section of a page | `page.py` of the feature; how it is drawn: `report/blocks.py` |
| an option of a command | `request.py` of the feature; what the command prints: `command.py` |
"""


def move_docs(notes: list[str]) -> None:
    """Write the new tree into the docs."""
    for file, first, last, new in (
        (
            "docs/decisions/index.md",
            "`tests/test_import_direction.py` has the rooms",
            "- **A component, measure",
            LAYOUT,
        ),
        ("CONTRIBUTING.md", "Data flows one way:", "| to add | read | inherit |", PLACES + "\n"),
    ):
        path = ROOT / file
        text = path.read_text(encoding="utf-8")
        if text.count(first) != 1 or text.count(last) != 1:
            notes.append(f"{file}: by hand: from {first!r} to {last!r}")
            continue
        path.write_text(text[: text.index(first)] + new + text[text.index(last) :], encoding="utf-8")


def edit(notes: list[str]) -> None:
    """Change what no name shows."""
    once(
        "src/assay/__init__.py",
        '_ELSEWHERE = {"intervention": "assay.shifts.intervention"}\n',
        '_ELSEWHERE = {"intervention": "assay.shifts.intervention"}\n'
        'for _package in ("audit", "compare", "look"):\n'
        '    import_module(f"assay.{_package}")  # binds its name here, which is that of a function\n'
        "    del globals()[_package]\n",
        notes,
    )
    interim, torture, house = "tests/study/test_interim.py", "benchmarks/torture.py", "tools/house.py"
    once(interim, 'for module in ("contrasts", "looks"):', 'for module in ("contrasts", "interim"):', notes)
    once(interim, 'f"assay.analysis.{module}.carry_out"', 'f"assay.study.{module}.carry_out"', notes)
    once(
        torture, '"cli.audit", "cli.replicate", "cli.run"', '"audit.command", "study.replicate_command", "study.command"',
        notes,
    )  # fmt: skip
    once(house, '"validate", "analysis", "runs", "results", "cli"', '"validate", "cli"', notes)
    once(house, '("assay.look.run", "assay.look.run")', '("assay.look.run",)', notes)
    once(house, '("assay.compare.run", "assay.compare.run")', '("assay.compare.run",)', notes)
    direction = "tests/test_import_direction.py"
    once(direction, "from collections.abc import Mapping\n", "from collections.abc import Mapping\n", notes)
    once(
        direction,
        'MOVES: Mapping[str, str] = script("tools/move.py").MOVES\n'
        '"""Old module -> new module. Modules are judged by the room that they move to."""\n',
        "",
        notes,
    )
    once(direction, "from tests.worlds.scripts import script\n", "", notes)
    once(
        direction,
        "room that a module is in after the moves, and its name there.",
        "room of a module, and its name there.",
        notes,
    )
    once(direction, "MOVES.get(module, module).split", "module.split", notes)
    wording = "tests/report/test_wording.py"
    moved = sorted(new for old, new in MOVES.items() if old.split(".")[1] in ("analysis", "stats", "probes"))
    moved = [one.removeprefix("assay.").replace(".", "/") for one in moved]
    text = (ROOT / wording).read_text(encoding="utf-8")
    loops = re.compile(r'    for room in (\("training", "probes", "stats"), "analysis"(.*?\)):\n'
                       r'        for file in sorted\(\(SOURCE / room\)\.rglob\("\*\.py"\)\):\n')  # fmt: skip
    if len(loops.findall(text)) != 2:
        notes.append(f"{wording}: by hand: rooms without English: {moved}")
        return
    text = loops.sub(
        lambda match: (
            f"    for room in {match[1]}{match[2][:-1]}, *OF_FEATURES):\n        for file in python_files(room):\n"
        ),
        text,
    )
    names = "".join(f'    "{one}",\n' for one in moved)
    start = text.index("def test_rooms_of_results_make_no_reason_of_words")
    helper = (
        f"OF_FEATURES = (\n{names})\n"
        '"""Modules of features that make numbers, and no English."""\n\n\n'
        "def python_files(place: str) -> list[Path]:\n"
        '    """Return the files of a folder, or the file of a module."""\n'
        '    return sorted((SOURCE / place).rglob("*.py")) or [SOURCE / f"{place}.py"]\n\n\n'
    )
    (ROOT / wording).write_text(text[:start] + helper + text[start:], encoding="utf-8")


def main() -> None:
    """Carry out the moves."""
    if git("status", "--porcelain", "--untracked-files=no"):
        raise SystemExit("move: the working tree has changes")
    notes = move_files()
    rewrite(notes)
    edit(notes)
    move_docs(notes)
    changed = [name for name in git("diff", "HEAD", "--name-only", "--diff-filter=d").split() if ".py" in name[-4:]]
    ruff = str(ROOT / ".venv" / "bin" / "ruff")
    for words in (("check", "-q", "--fix", "--select", "I"), ("format", "-q")):
        subprocess.run([ruff, *words, *changed], cwd=ROOT, check=True)
    print(*notes, *left_over(), sep="\n")


def left_over() -> Iterator[str]:
    """Yield lines that still name something old."""
    packages = re.compile(r"from (assay[\w.]*) import ([\w, ]+)")
    for file in tracked():
        try:
            text = (ROOT / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            names = [
                f"{package}.{name.strip()}" for package, names in packages.findall(line) for name in names.split(",")
            ]
            if re.search(r"\bassay[./](?:analysis|results|runs)[./]\w", line) or set(names) & ALL.keys():
                yield f"{file}:{number}: {line.strip()[:120]}"


if __name__ == "__main__":
    main()
