"""Finished worlds are made once, and again where a test wrote to one."""

from __future__ import annotations

from pathlib import Path

from tests.worlds.finished import finished


def test_a_world_is_made_once_and_again_when_it_was_written_to(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "table.csv").write_text("a")
        made.append(folder)

    folders = [finished("world", make, tmp_path) for _ in range(2)]
    assert made == [folders[0]]
    assert folders[0] == folders[1]
    (folders[0] / "table.csv").write_text("b")
    assert (finished("world", make, tmp_path) / "table.csv").read_text() == "a"
    assert len(made) == 2
    (folders[0] / "further.csv").write_text("b")
    assert not (finished("world", make, tmp_path) / "further.csv").exists()
