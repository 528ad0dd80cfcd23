"""Audits of odd tables and odd models, from the command line: an answer, or a refusal with the remedy."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from tests.audit.test_audit import CALLS, MARKS, SIDE, images, middle, run
from tests.cases import first_of
from tests.worlds.files import save, write_rows

import assay
from assay.audit.request import AuditRequest
from assay.audit.run import run_audit
from assay.models.ref import FunctionOrigin, ModelFacts
from assay.plugin import RunFolder, SpecError

COUNT = 60
Rows = list[dict[str, str]]


@pytest.fixture(autouse=True)
def _in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        importlib.import_module("assay.audit.command"), "origin_of", lambda *given, **more: FunctionOrigin(middle)
    )
    monkeypatch.chdir(tmp_path)


def drawn(folder: Path, count: int = COUNT, height: int = SIDE) -> Rows:
    """Write images, and return a row of each with columns of every odd kind."""
    draws, rows = np.random.default_rng(0), Rows()
    for at in range(count):
        pixels = draws.integers(60, 140, (height, SIDE))
        pixels[8:16, 8:16] += int(draws.normal(20 * (at % 2), 12))
        name = {4: "4 <b>$HOME.png", 5: "=1+1.png"}.get(at, f"{at}.png")
        save(folder / name, pixels.clip(0, 255).astype(np.uint8))
        rows.append(
            {
                "image": name,
                "finding": str(at % 2),
                "who": f"Smith{at % 30}",
                "id": f"x{at}",
                "date": f"2020-01-{1 + at % 28:02d}",
                "copy": str(at % 2),
                "note": f"free text, with words\n{at}",
                "missing": "" if at % 3 else "m",
                "one": "k",
                "<script>alert(1)</script>": "ab"[at // 2 % 2],
                "=HYPERLINK(1)": ["<img src=x>", "=1+1"][at // 2 % 2],
            }
        )
    return rows


def asked(*more: str, images: str = "set/data.csv", target: str = "finding") -> list[str]:
    return ["audit", "m.onnx", "--images", images, "--target", target, "--size", str(SIDE), *more, "--out", "out"]


def changed(name: str, value: Callable[[str], str], at: int | None = None) -> Callable[[Rows], Rows]:
    def change(rows: Rows) -> Rows:
        return [{**row, name: value(row[name])} if at in (None, n) else row for n, row in enumerate(rows)]

    return change


REFUSED: Mapping[str, tuple[Callable[[Rows], Rows], list[str], str]] = {
    "one class": (changed("finding", lambda _: "1"), [], "at least two different labels"),
    "a class of one": (
        lambda rows: [rows[0], *rows[1::2]],
        [],
        "nothing is decided with fewer than 20 images of a class",
    ),
    "no row": (lambda rows: [dict.fromkeys(rows[0], "")], [], "data.csv"),
    "a path that climbs": (changed("image", lambda name: f"../{name}"), [], "keep all images under set/"),
    "an absolute path": (changed("image", lambda name: f"/etc/{name}"), [], "give it relative to set/"),
    "a missing label": (changed("finding", lambda _: "", at=3), [], "finding is missing; label it"),
    "a missing file": (changed("image", lambda _: "none.png", at=3), [], "put it there, or take the row out"),
    "duplicate rows": (lambda rows: [*rows, *rows[:4]], [], "keep one of them"),
    "no such column": (lambda rows: rows, ["--columns", "view"], "view"),
    "no such patient": (lambda rows: rows, ["--patient", "pat"], "pat"),
    "a threshold": (lambda rows: rows, ["--threshold", "high"], "expected a probability such as 0.37"),
    "a sensitivity": (lambda rows: rows, ["--threshold", "sensitivity=95"], "sensitivity=0.95"),
}


def test_the_target_is_found_by_its_name_or_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    rows = drawn(Path("set"))
    write_rows(Path("set/data.csv"), rows)
    given = ["audit", "m.onnx", "--images", "set/data.csv", "--size", str(SIDE), "--dry-run"]
    assert run(given) == 0
    said, told = capsys.readouterr()
    assert (
        '--images set/data.csv: target "finding", patient none (each image counts as one), images "image", in data.csv'
        in told
    )
    assert "at three strengths; " in said
    assert "reference networks" not in said
    more = ["--budget", "4000", "--references", "59", "--domain", "chest-xray"]
    assert run([*given, *more]) == 2
    assert "references: 24 images are left to train networks on" in capsys.readouterr().err
    write_rows(Path("large/data.csv"), drawn(Path("large"), 300))
    assert run([*given, *more, "--images", "large/data.csv"]) == 0
    said = capsys.readouterr().out
    assert (
        "59 reference networks are first trained on 120 images, and audited on 150; the time below is without" in said
    )
    assert "at one strength, and at two others where these can change a verdict; " in said
    write_rows(
        Path("set/data.csv"),
        [{"image": row["image"], "a": row["finding"], "b": str(at // 2 % 2)} for at, row in enumerate(rows)],
    )
    assert run(given) == 2
    assert "--target: no column of data.csv is surely the one to predict: name it; it has" in capsys.readouterr().err


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cannot_be_audited_is_refused_with_the_remedy(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change, more, text = REFUSED[name]
    write_rows(Path("set/data.csv"), change(drawn(Path("set"), 40)))
    assert run(asked(*more)) == 2
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error
    assert not Path("out/verdicts.json").exists()


def test_a_model_that_gives_nan_for_an_image_that_is_read_late_names_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = drawn(Path("set"))
    save(Path("set/50.png"), np.full((SIDE, SIDE), 250, dtype=np.uint8))
    write_rows(Path("set/data.csv"), rows)

    def late(images: np.ndarray) -> np.ndarray:
        return np.where(images.mean((1, 2, 3)) > 0.9, np.nan, middle(images))

    monkeypatch.setattr(
        importlib.import_module("assay.audit.command"), "origin_of", lambda *_, **__: FunctionOrigin(late)
    )
    assert run(asked()) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "NaN or infinite logits for 1 of 60 images" in error
    assert error.endswith("it diverged, or its input is out of range: check its weights and the scaling of images")


def test_thirty_images_of_three_patients_with_odd_columns_are_audited(capsys: pytest.CaptureFixture[str]) -> None:
    rows = drawn(Path("set"), 40)
    for at, row in enumerate(rows):
        row["who"] = f"Smith{at % 3}"
    write_rows(Path("set/data.csv"), rows)
    columns = ["id", "date", "copy", "note", "missing", "one", "<script>alert(1)</script>", "=HYPERLINK(1)"]
    assert run(asked("--patient", "who", "--columns", ",".join(columns))) == 0
    out = capsys.readouterr().out
    assert "few patients" in out
    found = {row["factor"]: row["verdict"] for row in RunFolder(Path("out")).table("verdicts")}
    assert {found[name] for name in columns} == {"not-tested"}
    page = Path("out/report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "<img src=x>" not in page
    written = [path for path in Path("out").rglob("*") if path.suffix in (".json", ".md", ".html", ".csv")]
    assert written
    assert not [path for path in written if "Smith" in path.read_text()], "no patient is named"


def test_a_thousand_levels_dates_and_free_text_of_predictions_are_not_tested() -> None:
    draws, rows = np.random.default_rng(0), Rows()
    for at in range(1200):
        odd = {"lots": f"level {at % 1000}", "day": f"2020-{1 + at % 12:02d}-{1 + at % 28:02d}", "text": f"said {at}"}
        score = 1 / (1 + np.exp(-draws.normal(at % 2)))
        rows.append({"finding": str(at % 2), "score": str(score), "sex": "fm"[at // 2 % 2], "copy": str(at % 2), **odd})
    write_rows(Path("predictions.csv"), rows)
    columns = ["lots", "day", "text", "copy"]
    more = ["--target", "finding", "--columns", ",".join([*columns, "sex"]), "--out", "out"]
    assert run(["audit", "predictions.csv", *more]) == 0
    found = {row["factor"]: row["verdict"] for row in RunFolder(Path("out")).table("verdicts")}
    assert {found.pop(name) for name in columns} == {"not-tested"}
    assert found["sex"] != "not-tested"


def test_an_audit_of_predictions_of_few_patients_says_so_and_of_which_level_brackets_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    draws, rows = np.random.default_rng(0), Rows()
    for at in range(2000):
        score = max(0.3 + 1e-6 * at, 1 / (1 + np.exp(-draws.normal(3 * (at % 2) * (at // 2 % 2))))) if at else 0.0
        rows.append({"finding": str(at % 2), "score": str(score), "site": "ab"[at // 2 % 2], "who": f"p{at // 4 % 10}"})
    write_rows(Path("predictions.csv"), rows)
    command = ["audit", "predictions.csv", "--target", "finding", "--columns", "site", "--out", "out"]
    assert run([*command, "--patient", "who"]) == 0
    assert "caution: few patients: intervals can be too narrow; effective patients of a class: 10" in (
        capsys.readouterr().out
    )
    assert run(command) == 0
    out = capsys.readouterr().out
    assert "few patients" not in out
    assert "Site a against b: AUROC lower by" in out
    assert "Brackets are 90% intervals (each end is a 95% bound)" in out
    assert "are 95% intervals." in out
    facts = {row["key"]: row["value"] for row in RunFolder(Path("out")).table("provenance")}
    assert "1 score of exactly 0 set to 0.15 for log-odds" in facts["scores"]
    assert run([*command, "--threshold", "sensitivity=1e-12"]) == 0


def test_an_audit_of_many_patients_of_whom_one_has_half_of_the_images_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of 30 patients one has 90 of 177 images of each class: 177^2 / (90^2 + 29 * 3^2) = 3.7 effective ones."""
    draws, rows = np.random.default_rng(0), Rows()
    for at in range(354):
        score, patient = 1 / (1 + np.exp(-draws.normal(at % 2))), max(0, (at - 174) // 6)
        rows.append({"finding": str(at % 2), "score": str(score), "who": f"p{patient}"})
    write_rows(Path("predictions.csv"), rows)
    assert run(["audit", "predictions.csv", "--target", "finding", "--patient", "who", "--out", "out"]) == 0
    assert "few patients: intervals can be too narrow; effective patients of a class: 3.747" in capsys.readouterr().out
    assert "effective patients of a class: 3.747" in Path("out/report.html").read_text()
    (check,) = [row for row in RunFolder(Path("out")).table("checks") if row["check"] == "few-patients"]
    assert check["value"] == pytest.approx(177**2 / (90**2 + 29 * 3**2))


def test_calibration_in_the_large_of_scores_of_exactly_0_and_1_is_that_of_the_file() -> None:
    """Votes of five readers: the mean probability less the share of positives, and not that of moved log-odds."""
    draws = np.random.default_rng(0)
    target = np.arange(400) % 2
    votes = draws.binomial(5, np.where(target == 1, 0.9, 0.1)) / 5
    rows = Rows([{"finding": str(y), "score": str(p)} for y, p in zip(target, votes, strict=True)])
    write_rows(Path("predictions.csv"), rows)
    assert run(["audit", "predictions.csv", "--target", "finding", "--out", "out"]) == 0
    found = {row["measure"]: row["value"] for row in RunFolder(Path("out")).table("groups") if row["level"] == "all"}
    assert found["calibration-in-the-large"] == pytest.approx(votes.mean() - 0.5, abs=1e-12)


def test_reference_networks_are_trained_on_no_image_out_of_the_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = drawn(Path("set"), 300)
    Path("set").rename("private")
    Path("set").mkdir()
    monkeypatch.setenv("HOME", str(Path("private").absolute()))
    elsewhere = [f"{Path('private').absolute()}/", "../private/", "~/", "${HOME}/", ""]
    for at, row in enumerate(rows):
        source = Path("private", row["image"])
        if at % 20:
            source.rename(Path("set", row["image"]))
        elif at // 20 % 5 == 4:
            Path("set", row["image"]).symlink_to(source.absolute())
        row["image"] = row["image"] if at % 20 else elsewhere[at // 20 % 5] + row["image"]
    write_rows(Path("set/data.csv"), rows)
    command = ["audit", "m.onnx", "--images", "set/data.csv", "--size", str(SIDE), "--budget", "4000"]
    command += ["--references", "59", "--domain", "chest-xray"]
    assert run([*command, "--dry-run", "--skip-bad-rows"]) == 0
    assert "are first trained on 114 images, and audited on 143;" in capsys.readouterr().out
    assert run([*command, "--dry-run", "--skip-bad-rows", "--follow-links"]) == 0
    assert "are first trained on 115 images, and audited on 144;" in capsys.readouterr().out
    assert run(command) == 2
    told = capsys.readouterr().err
    assert "15 bad lines in data.csv:" in told
    for reason in ("its path is absolute", "its path climbs out of the folder", "by a link", "the file is missing"):
        assert reason in told


def test_images_behind_a_link_are_read_with_the_option_that_the_refusal_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = drawn(Path("elsewhere"), 40)
    Path("set").mkdir()
    Path("set/images").symlink_to(Path("elsewhere").absolute())
    write_rows(Path("set/data.csv"), changed("image", lambda name: f"images/{name}")(rows))
    assert run(asked("--dry-run")) == 2
    assert "or give --follow-links" in capsys.readouterr().err
    capsys.readouterr()
    assert run(asked("--dry-run", "--follow-links")) == 0
    short = capsys.readouterr().out
    assert "10 marks drawn on 40 of them at three strengths; 3 distortions at 3 severities" in short
    assert run(asked("--dry-run", "--follow-links", "--budget", "90000")) == 0
    whole = capsys.readouterr().out
    assert "10 marks drawn on 40 of them at three strengths; 11 distortions at 5 severities" in whole
    passes = [int(text.split(" passes of images")[0].split("\n")[-1].replace(",", "")) for text in (short, whole)]
    assert passes[1] - passes[0] == 40 * (11 * 5 - 3 * 3)


# Outputs and framing.


@dataclass(frozen=True)
class WithNames(FunctionOrigin):
    names: tuple[str, ...] = ()

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(outputs=self.names)


def of(function: Callable[[np.ndarray], Any], names: tuple[str, ...] = (), **more: Any) -> Path:
    path = write_rows(Path("set/data.csv"), drawn(Path("set")))
    data = {"folder": str(path.parent), "target": "finding", "patient": "who", "size": SIDE}
    given = AuditRequest(data=data, marks={"tag": MARKS["tag"]}, distortions=(), out=Path("out"), **more)
    found = run_audit(WithNames(function, names), given)
    assert isinstance(found, Path)
    return found


def test_an_audit_that_replaces_one_with_other_options_says_so() -> None:
    data = {"folder": str(write_rows(Path("set/data.csv"), drawn(Path("set"))).parent), "target": "finding",
            "patient": "who", "size": SIDE}  # fmt: skip
    for margin, replaced in ((0.05, False), (0.05, False), (0.1, True)):
        said, marks = list[str](), {"tag": MARKS["tag"]}
        asked = AuditRequest(data=data, marks=marks, distortions=(), margin=margin, out=Path("out"))
        run_audit(FunctionOrigin(middle), asked, say=said.append)
        assert ("out: an audit with other options is replaced; use --out to keep both" in said) is replaced


def sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-values)))


def findings(images: np.ndarray) -> np.ndarray:
    return np.stack([-middle(images), middle(images), 0 * middle(images) + images.mean((1, 2, 3))], axis=1)


FINDINGS = ("Edema", "Pneumonia", "Mass")


@pytest.mark.parametrize(
    ("function", "more", "output"),
    first_of([
        (findings, {"output": "pneumonia"}, "1 Pneumonia (sigmoid)"),
        (findings, {"output": "1", "head": "softmax"}, "1 Pneumonia (softmax)"),
        (lambda images: sigmoid(findings(images)), {"output": "Pneumonia"}, "1 Pneumonia (sigmoid)"),
        (lambda images: np.exp(findings(images)) / np.exp(findings(images)).sum(1, keepdims=True),
         {"output": "Pneumonia"}, "1 Pneumonia (softmax)"),
        (lambda images: np.stack([1 - sigmoid(middle(images)), sigmoid(middle(images))], 1), {}, None),
    ], 2),
)  # fmt: skip
def test_one_of_several_outputs_is_read_by_name_and_by_its_kind(
    function: Any, more: Mapping[str, Any], output: str | None
) -> None:
    folder = RunFolder(of(function, FINDINGS, **more))
    facts = {row["key"]: row["value"] for row in folder.table("provenance")}
    assert facts.get("output") == output
    cautions = " ".join(row["text"] for row in folder.table("checks") if row["check"] == "reading")
    assert ("read as independent" in cautions) == (function is findings and "head" not in more)


@pytest.mark.parametrize(
    ("function", "more", "text"),
    [
        (findings, {}, r"gives 3 scores.*choose one with --output 0 to 2: Edema, Pneumonia, Mass"),
        (findings, {"output": "Nodule"}, r"output 'Nodule': the model has outputs 0 to 2: Edema, Pneumonia, Mass"),
        (findings, {"output": "3"}, "outputs 0 to 2"),
        (lambda images: sigmoid(findings(images))[:, 1:], {}, "2 scores that do not add up to 1"),
    ],
)
def test_an_output_that_is_not_named_is_refused_with_the_names(
    function: Any, more: Mapping[str, Any], text: str
) -> None:
    with pytest.raises(SpecError, match=text):
        of(function, FINDINGS, **more)


def two(images: np.ndarray) -> np.ndarray:
    """Two findings, independent of each other: the first is that of the table, the second the brightness."""
    return np.stack([middle(images), 9 * images.mean((1, 2, 3))], axis=1)


def softmax(images: np.ndarray) -> np.ndarray:
    return np.stack([1 - sigmoid(middle(images)), sigmoid(middle(images))], 1)


@pytest.mark.parametrize("name", ["finding", "not finding", "nonsense"])
def test_classes_of_the_target_are_no_names_of_independent_outputs(name: str) -> None:
    for more in ({}, {"head": "sigmoid"}):
        with pytest.raises(SpecError, match=f"output '{name}': the model names no outputs; give --output 0 or 1$"):
            of(two, output=name, **more)
    with pytest.raises(SpecError, match=f"output '{name}': the model names no outputs; give --output 0 to 2$"):
        of(findings, output=name)


@pytest.mark.parametrize(("function", "output"), first_of([(two, "0"), (softmax, "finding"), (softmax, "")]))
def test_an_output_without_a_name_is_read_by_its_position_and_classes_of_a_softmax_by_theirs(
    function: Callable[[np.ndarray], Any], output: str
) -> None:
    table = RunFolder(of(function, output=output)).table("checks")
    (ranking,) = (row["value"] for row in table if row["check"] == "ranking")
    assert ranking > 0.7, "the finding, and not the brightness"


def test_two_outputs_with_classes_the_other_way_round_are_called_two_outputs() -> None:
    said = "or of two outputs that are not classes .*output"
    with pytest.raises(SpecError, match=f"the other way round.*{said}"):
        of(two)
    for function in (lambda images: softmax(images)[:, ::-1], lambda images: -middle(images)):
        with pytest.raises(SpecError, match="the other way round") as refused:
            of(function)
        assert "of two outputs" not in str(refused.value)


def test_another_framing_that_is_better_stops_the_audit() -> None:
    def left(images: np.ndarray) -> np.ndarray:
        return np.asarray(40 * images[:, 0, :5, :3].mean((1, 2)) + images[:, 0, 8:16, 8:16].mean((1, 2)) - 16)

    draws, rows = np.random.default_rng(0), Rows()
    for at in range(120):
        pixels = draws.integers(60, 140, (2 * SIDE, SIDE))
        pixels[:10, :4] += int(draws.normal(24 * (at % 2), 8))
        save(Path(f"set/{at}.png"), pixels.clip(0, 255).astype(np.uint8))
        rows.append({"image": f"{at}.png", "finding": str(at % 2), "who": f"p{at}"})
    write_rows(Path("set/data.csv"), rows)
    data = {"folder": "set", "target": "finding", "patient": "who", "size": SIDE}
    more: dict[str, Any] = {"marks": {"tag": MARKS["tag"]}, "distortions": [], "progress": False, "scores": "logits"}
    with pytest.raises(SpecError, match=r"with images read as fit squash.*give fit=squash, or as_given=True"):
        assay.audit(left, data, **more)
    found = assay.audit(left, {**data, "fit": "squash"}, **more).table("checks")
    (row,) = found.query("check == 'scaling'").to_dict("records")
    assert (row["status"], row["text"]) == ("ok", "no other usual scaling or framing gives a much higher AUROC")


# Killed, and started again.

SCRIPT = """
import importlib, sys
from assay.cli import main
from assay.models.ref import FunctionOrigin
from tests.audit.test_audit import middle
importlib.import_module("assay.audit.command").origin_of = lambda *given, **more: FunctionOrigin(middle)
main(sys.argv[1:])
"""


def test_an_audit_that_was_killed_goes_on_and_writes_the_same_bytes() -> None:
    write_rows(Path("set/data.csv"), drawn(Path("set")))
    words = asked("--patient", "who", "--quiet", "--no-pictures")[:-1]
    assert run([*words, "whole"]) == 0
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    killed = subprocess.Popen([sys.executable, "-c", SCRIPT, *words, "out"], env={**os.environ, "PYTHONPATH": path})
    until = time.monotonic() + 300
    while len(list(Path("out").glob("readings/*/record.json"))) < 8 and time.monotonic() < until:
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not Path("out/verdicts.json").exists()
    CALLS.clear()
    assert run([*words, "out"]) == 0
    resumed = sum(CALLS)
    CALLS.clear()
    assert run([*words, "again"]) == 0
    assert 0 < resumed < sum(CALLS), "answers that were kept are not read again"
    assert Path("out/verdicts.json").read_bytes() == Path("whole/verdicts.json").read_bytes()
    assert json.loads(Path("out/verdicts.json").read_text())["verdicts"]


@pytest.mark.nightly
def test_a_network_of_one_channel_gets_the_mean_of_a_scaling_of_three(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", num_classes=2, in_chans=1).eval()  # pyright: ignore[reportUnknownMemberType]
    given = images(tmp_path / "set", 40)
    means: list[tuple[float, ...] | None] = []
    for number, scaling in enumerate(("0..1", "imagenet")):
        out = tmp_path / str(number)
        assay.audit(network, given, marks={}, distortions=[], scaling=scaling, as_given=True, progress=False, out=out)
        (record,) = (out / "models").glob("*/record.json")
        known = json.loads(record.read_text())["scaling"]
        means.append(known and tuple(round(one, 4) for one in known["mean"]))
    assert means == [(0.0,), (0.449,)]
