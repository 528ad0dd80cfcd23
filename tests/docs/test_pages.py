"""The pages build without a warning, their links and paths hold, and their lists have what the code has."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
from tests.docs.reading import PAGES, ROOT, blocks, commands, name, named_commands
from tools import reference

import assay
from assay import plugin, stats
from assay.cli import app
from assay.core.measures import MEASURES
from assay.plugin import entries
from assay.spec.load import apply_scale
from assay.spec.parse import read_study
from assay.store import schema
from assay.store.kinds import every_table

RUN_FOLDER = ROOT / "docs/reference/run-folder.md"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Not with --quiet: that hides warnings from --strict too."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "reference" / "cli" / "index.html").is_file()


def test_the_front_page_leads_to_every_page() -> None:
    pages = set(re.findall(r"^ +- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    front = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert pages - {"index.md"} <= set(re.findall(r"\]\(([^)#]+)\)", front))


ANSWERS: Mapping[str, tuple[str, str, str]] = {
    "3-D images": ("No. Images are 2-D", "reference/data.md", "slice by slice"),
    "leave this machine": ("No", "faq.md#do-images-leave-my-machine", "Assay uploads nothing"),
    "semicolons": ("Yes", "reference/data.md#separators-and-encodings", "commas, semicolons, tabs"),
    "undo a shortcut": ("assay audit remedy", "how-to/audit-a-model.md#from-finding-to-remedy", "assay audit remedy"),
    "exit code": ("3, if a policy is not met", "reference/cli.md#exit-codes", "a policy is not met"),
    "a verdict": (
        "a place to look, not a verdict", "how-to/audit-a-model.md#findings-without-a-verified-limit",
        "a place to look, not a verdict",
    ),
    "class is positive": ("--positive", "reference/data.md#the-target-and-which-class-is-positive", "--positive"),
    "mean and standard deviation": ("--mean", "how-to/audit-a-model.md#mean-and-standard-deviation", "--std"),
    "DataFrame": (
        "assay.audit(model, frame", "reference/python.md#images-and-tables-in-memory", "assay.audit(model, frame",
    ),
    "images does an audit need": (
        "20 effective patients", "how-to/audit-a-model.md#how-many-images-an-audit-needs", "20 effective patients",
    ),
}  # fmt: skip
"""Words of a question -> words of the short answer, the link beside it, and words near the top of what it opens."""
NEAR = 800
"""Characters that are visible without scrolling."""


@pytest.mark.parametrize("question", ANSWERS)
def test_the_front_page_answers_what_new_users_ask(question: str) -> None:
    """The ten questions of a trial by a new user: a short answer, and one click to where it is explained."""
    answer, link, explained = ANSWERS[question]
    front = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    (line,) = [line for line in front.splitlines() if re.match(rf"\| [^|]*{question}[^|]*\? \|", line)]
    assert answer in line
    assert f"]({link})" in line
    path, _, anchor = link.partition("#")
    text = (ROOT / "docs" / path).read_text(encoding="utf-8")
    heads = {
        re.sub(r"[^\w -]", "", head.group(1)).lower().replace(" ", "-"): head.end()
        for head in re.finditer(r"^#+ (.+)$", text, re.MULTILINE)
    }
    start = heads[anchor] if anchor else 0
    assert explained in text[start : start + NEAR]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:docs|tests|benchmarks|src)/[\w./-]+\.\w+)`", text):
        assert (ROOT / path).exists(), path


COMMANDS = [(name(page), line) for page in PAGES for line in commands(page)]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_commands_of_the_pages_are_ones_that_there_are(page: str, line: str) -> None:
    _, first, *rest = shlex.split(line)
    group = typer.main.get_command(app)
    with group.make_context("assay", ["list"]) as context:
        command, found, rest = group.resolve_command(context, [first, *rest])
    asked = found.make_context(command, rest)
    study = asked.params.get("spec", "")
    if study and not study.endswith(".yaml") and study != "STUDY":
        apply_scale(read_study(study), asked.params.get("scale"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_in_sentences_have_their_options(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for line in named_commands(page):
        words = line.split()
        command = group.commands.get(" ".join(words[1:3])) or group.commands[words[1]]
        options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
        assert {word.partition("=")[0] for word in words if re.match("--[a-z]", word)} <= options, line


COMPONENTS: Mapping[str, reference.ComponentKind] = {
    "architectures": "architecture", "initialization": "initialization", "interventions": "intervention",
    "losses": "loss", "probes": "probe",
}  # fmt: skip
"""Page -> the kind of component that it has sections of."""


@pytest.mark.parametrize("page_name", COMPONENTS)
def test_a_page_of_components_has_each_with_its_arguments(page_name: str) -> None:
    page = (ROOT / "docs" / "reference" / f"{page_name}.md").read_text(encoding="utf-8")
    for entry in entries(COMPONENTS[page_name]):
        section = re.split(rf"^###? `{entry.name}`$", page, flags=re.MULTILINE)[1].split("\n##", 1)[0]
        assert set(entry.params.model_fields) <= set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))


def test_lists_of_pages_have_what_the_code_has() -> None:
    paths = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")]
    made = {path: (ROOT / "docs" / path).read_text(encoding="utf-8") for path in paths}
    probes = {entry.name for entry in entries("probe")}
    own = [one.name for one in MEASURES.values() if one.probe in probes]  # others are of plug-ins of this process
    assert all(f"| `{one}`" in made["reference/measures.md"] for one in own)
    assert all(f"### {one}\n" in made["reference/tables.md"] for one in every_table())
    assert all(f"| `{one}` |" in made["reference/plugin.md"] for one in plugin.MODULES)
    assert all(f"| `{one}` |" in made["statistics.md"] for one in stats.MODULES)
    assert "Usage: assay run" in made["reference/cli.md"]


def test_lists_that_stand_in_pages_are_what_the_code_makes() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert reference.written(text) == text, f"{name(page)}: run python -m tools.reference"


def test_the_page_of_the_run_folder_has_every_file_and_measurement_column(finished_run: Path) -> None:
    text = RUN_FOLDER.read_text(encoding="utf-8")
    for path in finished_run.iterdir():
        assert path.name in text, path.name
    outputs = duckdb.sql(f"FROM '{finished_run}/readings/*/outputs.parquet'").columns
    for column in (*outputs, *schema.MEASUREMENTS):
        assert f"`{column}`" in text, column


def test_the_queries_of_the_page_need_duckdb_alone(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished_run)
    worst, accuracy = (duckdb.sql(query).fetchall() for query in blocks(RUN_FOLDER, "sql"))
    estimates = assay.open_run(finished_run).table("estimates")
    overall = estimates[(estimates.measure == "auroc") & (estimates.factor == "") & (estimates.group == "")]
    lowest = overall.groupby("recipe").value.min().round(3)
    assert [(row[0], row[2]) for row in worst] == list(lowest.items())
    assert len(accuracy) == len(list((finished_run / "readings").iterdir()))
    assert all(images in (48, 64) and 0 <= share <= 1 for _, images, share in accuracy)


def test_the_api_reference_has_every_name() -> None:
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### `assay\.(\w+)`$", text, re.MULTILINE)) == set(assay.__all__)
    assert "| `looks` | Numbers of seeds, such as (10, 20, 40)," in text
    assert "    workers: int | None = None,\n" in text
