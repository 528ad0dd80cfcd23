"""README has what the demo found, brought there by a command."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tests.docs.reading import ROOT
from tests.worlds.scripts import script
from tests.worlds.tables import StudyTables, make_run


def test_the_demo_block_gets_the_headlines_and_pictures_of_the_runs_of_the_makefile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = script("tools/gallery.py")
    recipe = (ROOT / "Makefile").read_text().partition("\ndemo:")[2].partition("\n\n")[0]
    assert "run nodule-loss --scale quick" in recipe, "whose folder is runs/nodule-loss-quick"
    assert f"--out {gallery.DEMO['audit']}" in recipe
    for run in gallery.DEMO.values():
        make_run(
            tmp_path / run, StudyTables(losses=("cross-entropy", "triplet"), budgets=("10",), seeds=3, pictures=False)
        )
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"), encoding="utf-8")
    taken: dict[str, str] = {}
    monkeypatch.setattr(gallery, "ROOT", tmp_path)
    monkeypatch.setattr(gallery, "picture", lambda page, file, said: taken.update({file.name: said}))
    gallery.readme(tmp_path)
    block = (
        (tmp_path / "README.md").read_text(encoding="utf-8").partition("<!--demo-->")[2].partition("<!--/demo-->")[0]
    )
    assert set(taken) == {"demo-study.png", "demo-audit.png"}
    assert all(f"docs/images/{name}" in block and said and said in block for name, said in taken.items())
    tolerance = block.rpartition("** ")[2].strip()
    assert tolerance.startswith("On another type of processor")
    assert f"{tolerance}\n<!--/demo-->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_has_the_headlines_that_its_pictures_were_taken_with() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("study", "audit"):
        with Image.open(ROOT / "docs" / "images" / f"demo-{name}.png") as picture:
            assert f"**{picture.text['verdict']}**" in text  # type: ignore[attr-defined]
    assert "(images/demo-study.png)" in (ROOT / "docs/index.md").read_text(encoding="utf-8"), "also on the front page"
