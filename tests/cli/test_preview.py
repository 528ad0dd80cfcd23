"""A preview tells what there will be, in text, in JSON and on a page of its own."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.studies import write_spec

import assay
from assay.store.folder import RunFolder, working_in


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_spec(tmp_path, question="Is 1 < 2 & 3 > 2?")


def test_text_json_and_page_tell_the_same(ask: Asking, spec: Path) -> None:
    text = ask("preview", spec)
    assert text.code == 0
    facts = json.loads(ask("preview", spec, "--json", "--workers", "2").out)
    assert (facts["trials"], facts["to_train"], facts["workers"]) == (6, 6, 2)
    assert list(dict.fromkeys(row["environment"] for row in facts["environments"])) == ["train", "same", "reversed"]
    assert text.out.count('Margin defines "malignant" in every environment.') == 1
    for row in facts["environments"]:
        own = [
            one for one in facts["counts"] if (one["environment"], one["factor"]) == (row["environment"], row["factor"])
        ]
        assert sum(one["value"] for one in own) == row["images"] == row["kept"]
        assert row["low"] <= row["strength"] <= row["high"]
        assert f"{row['strength']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" in text.out
    (power,) = facts["power"]
    assert power["detectable"] > 0
    assert "with texture reversed, SupCon against cross-entropy" in text.out
    rough = "A rough plan from 3 seeds, the test patients and Holm&#39;s first step in each family, assuming a value "
    assert unescape(rough) in text.out
    assert re.search(r"6 training runs, of which 6 are to be trained: about .+ with \d+ workers?", text.out)
    assert all(Path(picture).is_file() for picture in facts["pictures"])

    page = Path(facts["preview"]).read_text(encoding="utf-8")
    assert text.out.splitlines()[-1] == f"preview: {facts['preview']}"
    assert "Is 1 &lt; 2 &amp; 3 &gt; 2?" in page
    assert rough in page
    assert "What will be done" in page
    assert "Text for a paper" not in page
    addresses = re.findall(r'src="([^"]*)"', page)
    assert len(addresses) >= len(facts["pictures"])
    assert all(address.startswith("data:image/") for address in addresses)
    assert not (spec.parent / "runs" / "small" / "study.json").exists()
    folder = RunFolder(Path(facts["preview"]).parent)
    assert folder.tables_are_current()
    assert "6 training runs" in assay.open_run(folder.root)._repr_html_()
    assert set(folder.tables) == {"environments", "counts", "visibility", "shortcuts", "power", "findings", "pictures",
                                  "provenance"}  # fmt: skip
    named = ask("results", folder.root, "--table", "counts", "--json")
    assert json.loads(named.out) == facts["counts"]
    assert ask("report", folder.root).out.strip() == facts["preview"]


def test_a_dosed_confounder_is_counted_by_class(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At p = 0.5 on the positive images: half of these have it, and none of the others."""
    monkeypatch.chdir(tmp_path)
    dosed = {"train": {"dose": {"confounder": "tag", "p": 0.5, "on": "positive"}}, "clean": {}}
    facts = json.loads(ask("preview", write_spec(tmp_path, environments=dosed, contrasts=[]), "--json").out)
    (tie,) = (row for row in facts["environments"] if row["factor"] == "tag")
    counts = [row for row in facts["counts"] if row["factor"] == "tag"]
    assert {row["environment"] for row in counts} == {tie["environment"]} == {"train"}
    positives = sum(row["value"] for row in counts if row["target"] == "malignant")
    marked = {row["target"]: row["value"] for row in counts if row["level"] == "with"}
    assert sum(marked.values()) == marked["malignant"]
    assert 0.2 * positives < marked["malignant"] < 0.8 * positives
    assert tie["strength"] == pytest.approx(marked["malignant"] / positives)
    page = Path(facts["preview"]).read_text(encoding="utf-8")
    sheet = next(alt for alt in re.findall(r'alt="([^"]*)"', page) if "train: rows are" in alt)
    assert re.search(r"From the left, tag is on none of [\w ]+, (all|none|[\d, and]+) of malignant\.", sheet)


def test_a_preview_is_written_while_a_run_works_but_not_by_two_at_once(ask: Asking, spec: Path) -> None:
    folder = Path("runs/small/preview")
    half = folder / ".report.html.77.partial"
    folder.mkdir(parents=True)
    half.write_bytes(b"what a killed preview left")
    with working_in(folder):
        answer = ask("preview", spec)
    assert (answer.code, half.exists()) == (2, True)
    assert "another run works in runs/small/preview: wait until it ends" in answer.err
    with working_in(folder.parent):
        assert ask("preview", spec).code == 0
    assert (folder / "report.html").is_file()
    assert not half.exists()


def test_what_sources_are_trained_on_is_shown(ask: Asking, spec: Path) -> None:
    study = json.loads(spec.read_text())
    data = {"phantom": {"natural": {"classes": 10}}, "size": 32, "train": 40, "validation": 20, "target": "kind"}
    study["sources"] = {
        "shapes": {"data": {**data, "core": "kind"}, "recipe": {"epochs": 3}},
        "own": {"data": "own", "recipe": {"epochs": 2}},
    }
    study["recipe"]["initialization"] = ["random", "shapes", "own"]
    spec.write_text(json.dumps(study))
    text = ask("preview", spec)
    told = "shapes: 40 images of 10 classes, 3 epochs; one image each of 10."
    assert f"source {told}\n" in text.out
    assert "source own" not in text.out
    page = Path(text.out.splitlines()[-1].removeprefix("preview: "))
    assert f"<figcaption><p>{told}</p></figcaption>" in page.read_text(encoding="utf-8")
    with Image.open(page.parent / "pictures" / "source-shapes.png") as picture:
        rows, columns = picture.height // 32, picture.width // 32
    assert rows >= 2
    assert columns >= 5
