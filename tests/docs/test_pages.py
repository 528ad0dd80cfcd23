"""The pages build without a warning, their links and paths hold, and what they print is what is printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import typer
from tests.docs import cli_reference
from tests.docs.reading import PAGES, ROOT, blocks, commands, name
from tests.docs.registries import MADE

import assay
from assay.cli import app
from assay.spec.load import apply_scale
from assay.spec.parse import read_study
from assay.store import schema

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
        apply_scale(read_study(study), asked.params["scale"])


def test_the_command_line_stands_as_it_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert page == cli_reference.page(), f"write it anew: {(cli_reference.__doc__ or '').splitlines()[-2].strip()}"


@pytest.mark.parametrize("page", MADE)
def test_pages_of_registries_are_as_they_are_made(page: str) -> None:
    assert (ROOT / page).read_text(encoding="utf-8") == MADE[page](), "write it again: python -m tests.docs.registries"


def test_the_page_of_the_run_folder_has_every_file_and_measurement_column(finished_run: Path) -> None:
    text = RUN_FOLDER.read_text(encoding="utf-8")
    for path in finished_run.iterdir():
        assert f"`{path.name}" in text, path.name
    for column in (*schema.OUTPUTS, *schema.MEASUREMENTS):
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


def test_the_page_on_python_has_every_name() -> None:
    text = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `assay\.(\w+)", text, flags=re.MULTILINE)) == set(assay.__all__)


def test_the_api_reference_has_every_name() -> None:
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    members = [name for listed in re.findall(r"members: \[(.*)\]", text) for name in listed.split(", ")]
    assert {*members, "intervention"} == set(assay.__all__)
