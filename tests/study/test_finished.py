"""A finished study is recognized without planning it again, unless anything that it depends on has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.studies import TINY, run_tiny

from assay.plugin import StoreError
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.store.manifest import is_ours, write_manifest
from assay.study import finished
from assay.study.finished import causes, find_finished

FINISHED = "finished.json"


def spec(**changes: Any) -> StudySpec:
    return parse_study({**TINY, **changes})


@pytest.fixture
def root(tiny_run: Path) -> Path:
    """The same run for each test, which must leave it as it was."""
    assert find_finished(tiny_run, spec(), False) is not None
    return tiny_run


def test_the_answer_is_that_of_a_run_with_nothing_to_do(root: Path) -> None:
    found = find_finished(root, spec(), False)
    assert found is not None
    assert (found.trials, found.result.page) == (1, root / "report.html")
    assert (found.result.trained, found.result.probed, found.result.failed, found.result.stopped) == (0, 0, 0, False)
    assert find_finished(root, spec(), True) is None, "bad rows are part of the study"
    changed: dict[str, Any] = {"seeds": 2, "question": "Does it run?", "recipe": {"epochs": 3, "batch_size": 8}}
    for name, value in {**changed, "probes": ["performance", "reliance"]}.items():
        assert find_finished(root, spec(**{name: value}), False) is None


def test_another_version_of_a_library_or_of_the_code_is_a_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(finished, "version", "99".format)
        assert find_finished(root, spec(), False) is None
    with monkeypatch.context() as patch:
        patch.setattr(finished.assay, "__file__", __file__)
        assert find_finished(root, spec(), False) is None


def test_a_file_of_the_folder_that_changed_is_looked_at(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "tiny"))
    for pattern in ("trials/*/record.json", "readings/*/outputs.parquet", "tables/contrasts.parquet", "report.html"):
        path = min(copy.glob(pattern))
        kept = path.read_bytes()
        for change in (path.unlink, lambda path=path, kept=kept: path.write_bytes(kept + b" ")):
            finished.remember(copy, 1, 0, causes(spec(), False), causes(spec(), False))
            assert find_finished(copy, spec(), False) is not None
            change()
            assert find_finished(copy, spec(), False) is None
            path.write_bytes(kept)


def test_a_damaged_note_and_a_note_of_a_study_that_changed_while_it_ran_count_for_nothing(
    root: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(root, tmp_path / "tiny"))
    note = root / FINISHED
    note.write_text(note.read_text().replace('"trials": 1', '"trials": 7'))
    assert find_finished(root, spec(), False) is None
    finished.forget(root)
    finished.remember(root, 1, 0, "before", "after")
    assert not note.exists()


def copy_to_work(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Path]]:
    """Work in a folder with a copy of a finished run and its study; return the copy, and the pages that are opened."""
    monkeypatch.chdir(folder)
    Path("tiny.yaml").write_text(json.dumps(TINY))
    opened: list[Path] = []
    monkeypatch.setattr("assay.report.browser.open_page", opened.append)
    return Path(shutil.copytree(run, "runs/tiny")), opened


def forged(root: Path) -> None:
    """Write another page into a folder, and the note and manifest that go with it, as its maker could."""
    (root / "report.html").write_text("<h1>No shortcut was found</h1>", encoding="utf-8")
    finished.remember(root, 1, 0, causes(spec(), False), causes(spec(), False))
    write_manifest(root, {})


@pytest.mark.parametrize("ended", [True, False])
def test_a_study_that_another_user_finished_is_named_and_is_never_called_done_before(
    ended: bool, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, opened = copy_to_work(tiny_run, tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of its maker"))
    forged(root)
    if not ended:
        (root / "manifest.json").unlink()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of the user"))
    ask = Asking(capsys)
    for _ in range(2):
        answer = ask("run", "tiny.yaml", "--workers", "0", "--open")
        assert (answer.code, "done before" in answer.err) == (0, False)
        assert "runs/tiny holds records that you did not make on this machine. They are used as they are" in answer.err
        assert not is_ours(root)
        assert opened.pop() == root / "report.html"
        assert "No shortcut was found" not in (root / "report.html").read_text()


def test_a_run_that_this_user_began_is_continued_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was stopped before its end, and then its folder was moved. A copy of it may hold anybody's records."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(json.dumps(TINY))
    ask = Asking(capsys)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("assay.study.run.StudyRun.conclude", stop)
        assert ask("run", "tiny.yaml", "--workers", "0").code == 130
    shutil.copytree("runs", "copied")
    Path("runs").rename("moved")
    for folder, is_named in (("moved", False), ("copied", True)):
        answer = ask("run", "tiny.yaml", "--workers", "0", "--out", folder)
        assert (answer.code, "did not make" in answer.err) == (0, is_named)
        assert is_ours(Path(folder, "tiny")) is not is_named
    assert "1 trial done before, and nothing has changed" in ask("run", "tiny.yaml", "--out", "moved").err
    for name in ("manifest.json", "finished.json"):  # and what was begun there ended
        Path("moved/tiny", name).unlink()
    assert "did not make" in ask("run", "tiny.yaml", "--workers", "0", "--out", "moved").err


def test_a_page_that_was_changed_in_a_folder_of_this_user_is_not_opened(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, opened = copy_to_work(tiny_run, tmp_path, monkeypatch)
    (root / "report.html").write_text("<h1>No shortcut was found</h1>", encoding="utf-8")
    finished.remember(root, 1, 0, causes(spec(), False), causes(spec(), False))  # as of a user who may write there
    answer = Asking(capsys)("run", "tiny.yaml", "--workers", "0", "--open")
    assert (answer.code, opened) == (2, [])
    assert "is not what its tables give" in answer.err


def test_a_run_with_failures_leaves_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise StoreError("broken")

    monkeypatch.setattr("assay.execution.jobs.fit", fails)
    result = run_tiny(tmp_path / "tiny")
    assert result.failed
    assert not (tmp_path / "tiny" / FINISHED).exists()


def folder_of_images(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for level, name in ((60, "healthy"), (160, "ill")):
        (folder / name).mkdir(parents=True)
        for n in range(24):
            pixels = rng.normal(level, 30, (32, 32)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{n}.png")
    return {
        **TINY,
        "data": {"classes": str(folder), "size": 32},
        "environments": {"train": {}, "same": {"like": "train"}},
    }


def test_an_image_that_is_edited_replaced_added_or_removed_is_a_change(tmp_path: Path) -> None:
    study = parse_study(folder_of_images(tmp_path / "images"))
    before = causes(study, False)
    assert before == causes(study, False) != ""
    seen = {before}
    image = tmp_path / "images" / "ill" / "3.png"
    other = tmp_path / "images" / "ill" / "4.png"
    state = image.stat()
    content = other.read_bytes()

    def now() -> str:
        found = causes(study, False)
        assert found not in seen
        seen.add(found)
        return found

    image.write_bytes(content)
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))  # a copy that keeps its date
    now()
    shutil.copy(image, tmp_path / "images" / "ill" / "new.png")
    now()
    other.unlink()
    now()


def test_files_that_cannot_be_named_beforehand_are_never_taken_for_unchanged(tmp_path: Path) -> None:
    study = folder_of_images(tmp_path / "images")
    followed = parse_study({**study, "data": {**study["data"], "links": "follow"}})
    assert causes(followed, False) == ""


def test_the_command_answers_before_torch_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY))
    command = (
        "import sys\nfrom assay.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code\n"
        "print('torch' in sys.modules, code)\n"
    )
    arguments = ["run", str(path), "--workers", "0"]

    def run() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    first, second = run(), run()
    assert first[:-1] == second[:-1]
    assert first[-3] == f"report: {Path('runs/tiny/report.html')}"
    assert first[-2].endswith(": assay run tiny.yaml --seeds 10")
    assert first[-1].startswith("True")
    assert second[-1] in ("False 0", "False None")
