"""A preview tells what there will be, in text, in JSON and on a page of its own."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.files import noise, save, write_table
from tests.worlds.studies import SMALL, write_spec

from assay.report.words import statement
from assay.store.folder import working_in


@pytest.fixture
def spec(tmp_path: Path, study_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.chdir(tmp_path)
    return write_spec(tmp_path, question="Is 1 < 2 & 3 > 2?")


class Seen(HTMLParser):
    """Counts tags, and gathers addresses and table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.numbers: list[int] = []
        self.images: list[dict[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.images += [{name: value or "" for name, value in attrs}] if tag == "img" else []
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["td"]:
            self.numbers += [int(data)] if data.strip().isdigit() else []


def test_text_json_and_page_tell_the_same(ask: Asking, spec: Path) -> None:
    text = ask("preview", spec)
    assert text.code == 0
    facts = json.loads(ask("preview", spec, "--json", "--workers", "2").out)
    assert (facts["trials"], facts["to_train"], facts["workers"]) == (6, 6, 2)
    assert [row["environment"] for row in facts["environments"]] == ["train", "same", "reversed"]
    ties = [tie for row in facts["environments"] for tie in row["achieved"] if tie["factor"] != "margin"]
    assert len(ties) == 3
    assert text.out.count("margin") == 1, "what defines the target is told once"
    assert "margin with malignant: +1.00 in every environment, since it defines it\n" in text.out
    for row in facts["environments"]:
        for tie in row["achieved"]:
            assert sum(cell["rows"] for cell in tie["counts"]) == row["images"] == tie["kept"]
            assert tie["low"] <= tie["strength"] <= tie["high"]
    for tie in ties:
        assert f"requested {tie['asked']:+.2f}, achieved {tie['strength']:+.2f}" in text.out
    (power,) = facts["power"]
    assert f"  {statement(power)}: {power['detectable']}" in text.out
    rough = "a rough plan from 3 seeds, the test patients and Holm&#x27;s first step in each family, assuming a value "
    assert "  " + unescape(rough) in text.out
    assert re.search(r"6 trials, of which 6 are to be trained: about .+ with \d+ workers?", text.out)
    assert all(Path(picture).is_file() for picture in facts["pictures"])

    page = Path(facts["preview"]).read_text()
    assert text.out.splitlines()[-1] == f"preview: {facts['preview']}"
    assert "Is 1 &lt; 2 &amp; 3 &gt; 2?" in page
    assert rough in page
    assert not re.search(r"<p>\d+ images</p>", page), "the caption of the pictures has counted them"
    seen = Seen(page)
    assert seen.tags.count("img") == len(facts["pictures"])
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert sorted(seen.numbers) == sorted(cell["rows"] for tie in ties for cell in tie["counts"])
    assert not (spec.parent / "runs" / "small" / "study.json").exists()


def test_what_no_plan_can_say_of_many_comparisons_is_said_once(ask: Asking, spec: Path) -> None:
    losses = "[cross-entropy, supcon, focal, triplet, arcface]"
    probes = "[performance, {reliance: {sobol: false}}]"
    unplanned = {
        "contrasts.0.measure": "logit-effect",
        "contrasts.0.environment": '""',
        "contrasts.0.factor": "texture",
    }
    sets = [word for key, value in unplanned.items() for word in ("--set", f"{key}={value}")]
    sets += ["--set", f"probes={probes}"]
    many = ask("preview", spec, *sets, "--set", f"recipe.loss={losses}").out
    assert many.count("unknown until the study has run") == 1
    assert "  logit-effect, 4 comparisons: its variance is unknown until the study has run\n" in many
    two = ask("preview", spec, *sets, "--set", "recipe.loss=[cross-entropy, supcon, focal]").out
    assert two.count("unknown until the study has run") == 2


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


def test_many_classes_are_folded_in_text_page_and_pictures_and_whole_in_json(ask: Asking, many_classes: Path) -> None:
    text = ask("preview", many_classes).out
    facts = json.loads(ask("preview", many_classes, "--json").out)
    (tie,) = facts["environments"][0]["achieved"]
    assert len({cell["target"] for cell in tie["counts"]}) == KINDS
    heads = [line.split() for line in text.splitlines() if line.split()[-2:] == ["5", "others"]]
    assert [len(head) for head in heads] == [13, 13]  # eleven classes by name, and `5 others`
    assert all(head[-3] == "kind15" for head in heads)
    assert max(len(line) for line in text.splitlines() if not line.startswith("doubt: ")) < 150

    table = re.findall(r"<table>.*?</table>", Path(facts["preview"]).read_text(), flags=re.DOTALL)[0]
    assert Seen(table).tags.count("th") == 1 + 12 + 4  # the factor, the columns, the quarters of age
    assert sum(Seen(table).numbers) == facts["environments"][0]["images"] == sum(c["rows"] for c in tie["counts"])
    assert re.search(r"\d+ kind15, \d+ of 5 others\)", Path(facts["preview"]).read_text())
    with Image.open(facts["pictures"][0]) as picture:
        assert picture.height // 4 == 11 * (16 + 2) - 2


def test_a_factor_that_an_environment_holds_is_told_as_held(
    ask: Asking, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.chdir(tmp_path)
    held = {**SMALL["environments"], "conflict": {"where": {"texture": "solid"}}}
    spec = write_spec(tmp_path, environments=held)
    text = ask("preview", spec).out.partition("conflict: 64 images")[2]
    assert "  texture: held at solid: no association with malignant\n" in text
    assert "as found" not in text
    facts = json.loads(ask("preview", spec, "--json").out)
    ties = [
        (row["environment"], tie["factor"], tie["held"]) for row in facts["environments"] for tie in row["achieved"]
    ]
    assert [tie for tie in ties if tie[2]] == [("conflict", "texture", "solid")]
    assert "texture: held at solid: no association" in Path(facts["preview"]).read_text()


def test_a_dosed_confounder_is_counted_by_class(
    ask: Asking, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At p = 0.5 on the positive images: half of these have it, and none of the others."""
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    monkeypatch.chdir(tmp_path)
    dosed = {"train": {"dose": {"confounder": "tag", "p": 0.5, "on": "positive"}}, "clean": {}}
    facts = json.loads(ask("preview", write_spec(tmp_path, environments=dosed, contrasts=[]), "--json").out)
    train, clean = facts["environments"]
    (tie,) = (tie for tie in train["achieved"] if tie["factor"] == "tag")
    rows = {(cell["target"], cell["level"]): cell["rows"] for cell in tie["counts"]}
    positives = sum(count for (target, _), count in rows.items() if target == "malignant")
    marked = {target: count for (target, level), count in rows.items() if level == "with"}
    assert sum(marked.values()) == marked["malignant"]
    assert 0.2 * positives < marked["malignant"] < 0.8 * positives
    assert tie["strength"] == pytest.approx(marked["malignant"] / positives)
    assert all(tie["factor"] != "tag" for tie in clean["achieved"])
    text = ask("preview", tmp_path / "small.yaml").out
    put_on = r"  tag: on 0% of [\w ]+ and 50% of malignant: Somers' D with malignant \+0.50 \["
    assert re.search(put_on, text)
    assert "as found" not in text
    shown = Seen(Path(facts["preview"]).read_text()).images
    (sheet,) = (image["alt"] for image in shown if "train: rows are" in image["alt"])
    assert re.search(r"From the left, tag is on none of [\w ]+, (all|none|[\d, and]+) of malignant\.", sheet)


def test_a_preview_is_written_while_a_run_works_but_not_by_two_at_once(ask: Asking, spec: Path) -> None:
    folder = Path("runs/small/preview")
    half = folder / ".index.html.77.partial"
    folder.mkdir(parents=True)
    half.write_bytes(b"what a killed preview left")
    with working_in(folder):
        answer = ask("preview", spec)
    assert (answer.code, half.exists()) == (2, True)
    assert "another run works in runs/small/preview: wait until it ends" in answer.err
    with working_in(folder.parent):
        assert ask("preview", spec).code == 0
    assert (folder / "index.html").is_file()
    assert not half.exists()


def test_nothing_is_to_be_trained_in_a_finished_run(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    assert "6 trials, all done: nothing to train" in ask("preview", write_spec(tmp_path)).out


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
    assert f"<figcaption>{told}</figcaption>" in page.read_text()
    with Image.open(page.parent / "source-shapes.png") as picture:
        rows, columns = picture.height // 32, picture.width // 32
    assert rows >= 2
    assert columns >= 5
