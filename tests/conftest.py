"""What several folders of tests share: a cache, and finished runs that are made once."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from tests.docs.reading import PAGES, blocks
from tests.worlds import audits
from tests.worlds.finished import finished
from tests.worlds.studies import SMALL, run_tiny

import assay

# On a busy machine an example may take any time; and what passed once must pass again, in whatever order tests run.
settings.register_profile("assay", deadline=None, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("ASSAY_HYPOTHESIS", "assay"))


ASSETS = Path(__file__).parents[2] / "shared" / "assets"
if ASSETS.is_dir():
    os.environ.setdefault("ASSAY_ASSETS", str(ASSETS))  # before modules of tests ask for it


FAST = ("core", "maps", "spec", "stats", "store")
"""Rooms whose tests train nothing."""


DISK = 2
"""GB that all tests together take for a while; the folder of a test that passed is removed at once."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Say that the disk is too full before a whole run, instead of by hundreds of tests that cannot write."""
    whole, worker = session.config.getoption("numprocesses", None), hasattr(session.config, "workerinput")
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    if whole and not worker and free < DISK:
        pytest.exit(f"{tempfile.gettempdir()} has {free:.1f} GB free; the tests need {DISK} GB", returncode=1)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m fast`, collect only the fast rooms: importing the others takes longer than their tests."""
    inside = collection_path.relative_to(Path(__file__).parent).parts
    return True if config.getoption("markexpr") == "fast" and inside and inside[0] not in FAST else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of fast rooms, those that are marked as slow left out."""
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts[0]
        if room in FAST and not item.get_closest_marker("slow"):
            item.add_marker("fast")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Networks that a test or its fixtures draw without a generator are the same in every run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def study_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of decoded images that all tests share unless they name another; what they remember is beside it.

    No file waits for the disk: a tenth of the time of all tests was waiting, and no test takes the power off.
    """
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setenv("ASSAY_CACHE", str(cache))
        patch.setenv("XDG_STATE_HOME", str(cache.parent / "state"))
        yield cache


@pytest.fixture(scope="session")
def page_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the modules that the pages of the docs write. It stays as long as Python has them imported."""
    folder = tmp_path_factory.mktemp("modules")
    for page in PAGES:
        for block in blocks(page, "python"):
            if named := re.match(r'"""(\w+\.py)"""', block):
                (folder / named[1]).write_text(block, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def finished_run() -> Path:
    """The run folder of the small study, run without interruption in this process; `cache` beside it has its images.
    Not to be written to.
    """

    def run(root: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ASSAY_CACHE", str(root / "cache"))
            assay.load(SMALL).run(root, workers=0, progress=False)

    return finished("study", run) / "small"


@pytest.fixture(scope="session")
def tiny_run() -> Path:
    """The run folder of the tiny study. Not to be written to."""
    return finished("tiny", lambda root: run_tiny(root / "tiny")) / "tiny"


@pytest.fixture(scope="session")
def planted() -> Path:
    """A folder with images (`set`), the audit of a model with a shortcut (`reader`) and of one without (`clean`). Not
    to be written to.
    """

    def audit(root: Path) -> None:
        data = audits.images(root / "set")
        for name, model in (("reader", audits.shortcut), ("clean", audits.middle)):
            audits.audited(model, data, root / name, name=name)

    return finished("planted", audit)


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished run in `tmp_path/runs`, to be changed; the working folder is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished_run, tmp_path / "runs" / "small")
    return tmp_path / "runs" / "small"
