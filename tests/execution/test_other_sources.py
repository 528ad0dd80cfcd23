"""A run of other files, in the folder of an earlier one, is refused by every kind of run."""

# pyright: basic

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.worlds.files import noise, save, write_table
from tests.worlds.studies import write_spec


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asking:
    monkeypatch.chdir(tmp_path)
    return Asking(capsys)


def write_scores(path: Path, weight: float) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [[f"{at}.png", name, at % 2, (at * weight * (1 + (name == "b"))) % 1] for name in "ab" for at in range(60)]
    write_table(path, [["image", "model", "target", "score"], *rows])


def test_predictions_of_another_file_are_refused(ask: Asking) -> None:
    for place, weight in (("one", 0.37), ("two", 0.61)):
        write_scores(Path(place, "scores.csv"), weight)
    for command in (("validate", "--by", "image", "--as-given"), ("compare", "--by", "model", "--out", "compared")):
        name, *options = command
        assert ask(name, "one/scores.csv", *options).code == 0
        assert ask(name, "one/scores.csv", *options).code == 0
        answer = ask(name, "two/scores.csv", *options)
        assert answer.code != 0
        assert "of one/scores.csv, not of two/scores.csv: choose another place with --out" in answer.err
        assert ask(name, "two/scores.csv", *options, "--out", f"other-{name}").code == 0


def test_folders_behind_links_and_files_of_others_are_compared_where_they_are(ask: Asking) -> None:
    write_scores(Path("a/scores.csv"), 0.37)
    write_scores(Path("b/scores.csv"), 0.61)
    Path("b/runs").mkdir()
    Path("a/runs").symlink_to(Path("b/runs").absolute())
    command = ("validate", "--by", "image", "--as-given", "--out", "a/runs/one")
    assert ask(command[0], "a/scores.csv", *command[1:]).code == 0
    assert ask(command[0], "a/scores.csv", *command[1:]).code == 0
    assert "of a/scores.csv, not of b/scores.csv" in ask(command[0], "b/scores.csv", *command[1:]).err
    request = Path("b/runs/one/run.json")
    for strange in (5, [1], [None], ["x" * 5000]):
        request.write_text(json.dumps({**json.loads(request.read_text()), "sources": strange}))
        assert "Traceback" not in ask(command[0], "b/scores.csv", *command[1:]).err


def test_a_copy_of_a_folder_is_the_same_data(ask: Asking) -> None:
    for at in range(24):
        save(Path("one", "ab"[at % 2], f"{at}.png"), noise(at, 16))
    assert ask("look", "one", "--out", "out").code == 0
    shutil.copytree("one", "two/copy")
    Path("two/copy/.DS_Store").touch()
    assert ask("look", "two/copy", "--out", "out").code == 0
    (source,) = json.loads(Path("out/run.json").read_text())["sources"]
    assert source == "…/copy"
    for change in ("shift", "add", "link"):
        shutil.copytree("one", place := Path("two", change))
        if change == "shift":
            save(place / "b" / "1.png", noise(99, 16))
            size = Path("one/b/1.png").stat().st_size
            (place / "b" / "1.png").write_bytes((place / "b" / "1.png").read_bytes().ljust(size, b"\0")[:size])
        elif change == "add":
            save(place / "b" / "99.png", noise(99, 16))
        else:
            (place / "a").rename("elsewhere")
            (place / "a").symlink_to(Path("elsewhere").absolute())
        answer = ask("look", place, "--out", "out", "--follow-links")
        assert (answer.code, f"of two/copy, not of two/{change}" in answer.err) == (2, True), answer


def test_a_look_and_a_study_of_other_files_are_refused(
    ask: Asking, study_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    for first, place in enumerate(("one", "two")):
        for at in range(24):
            save(Path(place, "images", "ab"[at % 2], f"{at}.png"), noise(at + first, 16))
    assert ask("look", "one/images").code == 0
    assert "of one/images, not of two/images" in ask("look", "two/images").err
    for place, epochs in (("one", 2), ("two", 3)):
        write_spec(Path(place), recipe={"loss": ["cross-entropy", "supcon"], "epochs": epochs, "batch_size": 8})
    assert ask("preview", "one/small.yaml").code == 0
    answer = ask("preview", "two/small.yaml")
    assert answer.code != 0
    assert "of one/small.yaml, not of two/small.yaml" in answer.err
    assert "give one of the studies another name" in answer.err
    shutil.copy("one/small.yaml", "two/small.yaml")
    assert ask("preview", "two/small.yaml").code == 0
