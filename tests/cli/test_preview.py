"""A preview tells what there will be, in text, in JSON and on a page of its own."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.files import noise, save, write_table
from tests.worlds.studies import SMALL, write_spec

import assay
from assay.plugin import RunFolder
from assay.store.layout import working_in


@pytest.fixture
def spec(tmp_path: Path, study_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
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
    rough = "A rough plan from 3 seeds, the test patients and Holm&#39;s first step in each family (docs"
    assert unescape(rough) in text.out
    assert re.search(r"6 networks are to be trained: about .+ with \d+ workers?", text.out)
    assert all(Path(picture).is_file() for picture in facts["pictures"])

    page = Path(facts["preview"]).read_text(encoding="utf-8")
    assert text.out.splitlines()[-2:] == [f"preview: {facts['preview']}", f"Next: train it: assay run {spec.name}"]
    assert "Is 1 &lt; 2 &amp; 3 &gt; 2?" in page
    assert rough in page
    assert "Text for a paper" not in page
    addresses = re.findall(r'src="([^"]*)"', page)
    assert len(addresses) >= len(facts["pictures"])
    assert all(address.startswith("data:image/") for address in addresses)
    assert not (spec.parent / "runs" / "small" / "run.json").exists()
    folder = RunFolder(Path(facts["preview"]).parent)
    assert folder.tables_are_current()
    assert "6 networks are to be trained" in assay.open_run(folder.root)._repr_html_()
    assert set(folder.tables) == {
        "environments",
        "counts",
        "visibility",
        "shortcuts",
        "issues",
        "power",
        "findings",
        "pictures",
        "provenance",
    }
    named = ask("results", folder.root, "--table", "counts", "--json")
    assert json.loads(named.out) == facts["counts"]
    assert ask("report", folder.root).out.strip() == facts["preview"]


KINDS = 16


@pytest.fixture
def many_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of images in 16 classes, the first 8 of them with more images than the others."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows: list[list[object]] = [["image", "kind", "age"]]
    for number in range(KINDS):
        for _ in range(50 if number < 8 else 40):
            at = len(rows)
            save(tmp_path / "images" / f"{at}.png", noise(at))
            rows.append([f"{at}.png", f"kind{number:02}", 20 + at * 37 % 50])
    write_table(tmp_path / "images" / "data.csv", rows)
    environments = {"train": {}, "same": {"association": {"age": 0}}}
    data = {"folder": "images", "target": "kind", "size": 16, "factors": {"age": {"unit": "years"}}}
    data["split"] = {"train": 0.2, "validation": 0.2, "test": 0.6}
    path = tmp_path / "many.yaml"
    path.write_text(json.dumps({"name": "many", "data": data, "environments": environments, "recipe": {"epochs": 1}}))
    return path


def test_of_many_classes_each_is_counted_and_the_pictures_show_the_most_frequent(
    ask: Asking, many_classes: Path
) -> None:
    facts = json.loads(ask("preview", many_classes, "--json").out)
    assert len({row["target"] for row in facts["counts"]}) == KINDS
    assert sum(row["value"] for row in facts["counts"]) == sum(row["images"] for row in facts["environments"])
    assert re.search(r"\d+ kind15, \d+ of 5 others\)", Path(facts["preview"]).read_text(encoding="utf-8"))
    with Image.open(facts["pictures"][0]) as picture:
        assert picture.height // 4 == 11 * (16 + 2) - 2


def test_a_factor_that_an_environment_holds_is_told_as_held(
    ask: Asking, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.chdir(tmp_path)
    held = {**SMALL["environments"], "conflict": {"where": {"texture": "solid"}}}
    spec = write_spec(tmp_path, environments=held)
    facts = json.loads(ask("preview", spec, "--json").out)
    held = [(row["environment"], row["factor"], row["held"]) for row in facts["environments"] if row["held"]]
    assert held == [("conflict", "texture", "solid")]
    (line,) = (line for line in ask("preview", spec).out.splitlines() if line.split()[:2] == ["conflict", "texture"])
    assert line.split()[3:8] == ["–", "0.00", "[0.00,", "0.00]", "solid"]


def test_a_dosed_confounder_is_counted_by_class(
    ask: Asking, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At p = 0.5 on the positive images: half of these have it, and none of the others."""
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
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
    sheet = next(alt for alt in re.findall(r'alt="([^"]*)"', page) if "raining: rows are" in alt)
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


def test_a_preview_is_not_written_behind_a_link_in_the_place_of_the_run(ask: Asking, spec: Path) -> None:
    (elsewhere := spec.parent / "elsewhere").mkdir()
    (spec.parent / "runs").mkdir()
    (spec.parent / "runs" / "small").symlink_to(elsewhere)
    answer = ask("preview", spec)
    assert (answer.code, "runs/small is a link, and a run folder has none" in answer.err) == (2, True), answer
    assert not list(elsewhere.iterdir())


def test_nothing_is_to_be_trained_in_a_finished_run(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    assert "6 training runs, all done: nothing to train" in ask("preview", write_spec(tmp_path)).out


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
    page = Path(text.out.splitlines()[-2].removeprefix("preview: "))
    assert f"<figcaption><p>{told}</p></figcaption>" in page.read_text(encoding="utf-8")
    with Image.open(page.parent / "pictures" / "source-shapes.png") as picture:
        rows, columns = picture.height // 32, picture.width // 32
    assert rows >= 2
    assert columns >= 5


def test_copies_that_it_found_are_put_right_before_a_training(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image 30 is image 0, turned and under another patient; without it the study is trained next."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    draws = [np.kron(noise(at, 8), np.ones((12, 12), np.uint8)) for at in range(40)]
    rows = [[f"{at}.png", "yn"[at % 2], f"P{at}"] for at in range(40)]
    for at, pixels in enumerate(draws):
        save(tmp_path / "set" / f"{at}.png", np.rot90(draws[0]) if at == 30 else pixels)
    data = {"folder": "set", "target": "ill", "patient": "patient", "size": 16, "split": {"folds": 3}}
    study = {"name": "s", "data": data, "environments": {"train": {}, "same": {}}, "recipe": {"epochs": 1}}
    (tmp_path / "s.yaml").write_text(json.dumps(study))
    head = ["image", "ill", "patient"]
    for rows_read, step in (
        (
            rows,
            "keep one copy of each picture, or give its copies one patient (assay results runs/s/preview --table "
            "issues), then preview it again: assay preview s.yaml",
        ),
        (rows[:30] + rows[31:], "train it: assay run s.yaml"),
    ):
        write_table(tmp_path / "set" / "data.csv", [head, *rows_read])
        answer = ask("preview", "s.yaml")
        assert answer.code == 0, answer.err
        text = answer.out
        assert text.splitlines()[-1] == f"Next: {step}"
        assert ("1 picture under different patients" in text) == ("copy" in step)
    assert ask("preview", "s.yaml", "--out", "elsewhere").out.endswith(
        "Next: train it: assay run s.yaml --out elsewhere\n"
    )


def test_the_command_to_train_has_the_looks_and_bad_rows_of_the_preview(ask: Asking, spec: Path) -> None:
    study = json.loads(spec.read_text())
    study["contrasts"][0] |= {"role": "primary", "margin": 0.05}
    study["scales"] = {"quick": {"recipe.epochs": 1}}
    spec.write_text(json.dumps(study))
    for options in (
        ("--until", "decided", "--max-seeds", "10", "--skip-bad-rows"),
        ("--until", "decided", "--scale", "quick"),
        ("--skip-bad-rows", "--scale", "quick", "--seeds", "2"),
    ):
        answer = ask("preview", spec.name, *options)
        assert answer.out.splitlines()[-1] == f"Next: train it: assay run {spec.name} {' '.join(options)}"
