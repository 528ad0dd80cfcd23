"""The command that each kind of run prints as its next step runs as it stands, once words in capitals are filled."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.cli.asking import Asking
from tests.worlds.audits import images
from tests.worlds.studies import write_spec

import assay

pytestmark = pytest.mark.acceptance

SCORES = (
    "validate ours.csv --out page",
    "validate ours.csv theirs.csv --prevalence 0.1 --groups site --out page",
    "validate ours.csv --threshold sensitivity=0.9 --threshold-from theirs.csv --out page",
    "compare seeds.csv --by loss --against plain --margin 0.05 --out page",
    "compare seeds.csv --by loss --out page",
    "audit ours.csv --columns site --out page",
)


def write_scores() -> None:
    draw = np.random.default_rng(3)
    cases = pd.DataFrame({"image": range(240), "patient": np.arange(240) // 2, "ill": np.arange(240) % 2,
                          "site": np.where(np.arange(240) % 3, "A", "B")})  # fmt: skip

    def scored(skill: float) -> pd.DataFrame:
        return cases.assign(score=1 / (1 + np.exp(-draw.normal(skill * (cases["ill"] - 0.5), 1))))

    for name, skill in (("ours", 2.0), ("theirs", 1.5), ("other", 1.8)):
        scored(skill).to_csv(f"{name}.csv", index=False)
    for name in ("seeds", "other-seeds"):
        pd.concat(
            [
                scored(skill).assign(loss=loss, seed=seed)
                for loss, skill in (("plain", 1.5), ("new", 2.5))
                for seed in range(3)
            ]
        ).to_csv(f"{name}.csv", index=False)


def command_on(page: Path, **filled: str) -> list[str]:
    """Return the command of a page, with the words in capitals that it may have filled."""
    (command,) = re.findall(
        r'id="next".*?<code><span>assay</span> (.*?)</code>', page.read_text(encoding="utf-8"), re.DOTALL
    )
    words = html.unescape(re.sub(r"</?span>", "", command))
    for placeholder, value in filled.items():
        words = words.replace(placeholder.replace("__", "-").replace("_", "."), value)
    assert not re.search(r"\b[A-Z]{4,}\b", words), "all that only the user knows is filled"
    return words.split()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    return tmp_path


@pytest.mark.parametrize("command", SCORES)
def test_after_scores(here: Path, ask: Asking, command: str) -> None:
    write_scores()
    answer = ask(*command.split())
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("Next: "), "the terminal ends with the step of the page"
    others = {"OTHER__1_csv": "other.csv", "OTHER__2_csv": "other.csv"}
    other = "other-seeds.csv" if "seeds" in command else "other.csv"
    following = command_on(here / "page/report.html", **others, OTHER_csv=other)
    assert ask(*following).code == 0, following


def test_after_a_look_an_audit_and_a_comparison_of_audits(here: Path, ask: Asking) -> None:
    for name in ("set", "training"):
        images(here / name, 120)
    named = ("--target", "label", "--patient", "who")
    assert ask("look", "set", *named, "--out", "look").code == 0
    assert ask(*command_on(here / "look/report.html")).code == 0
    trial = assay.load(write_spec(here, seeds=1, contrasts=[])).run(here / "runs", progress=False).folder / "trials"
    model = str(min(trial.iterdir()).relative_to(here))
    audit = ("audit", model, "--images", "set", *named, "--columns", "sex", "--no-pictures", "--as-given")
    assert ask(*audit, "--out", "a").code == 0
    following = command_on(here / "a/report.html", TRAIN="training", IMAGES="set/data.csv")
    assert following[:2] == ["audit", model]
    assert {"set/data.csv", "sex", "--no-pictures"} <= set(following)
    assert ask(*following).code == 0, following
    assert ask(*audit, "--out", "b").code == 0
    assert ask("audit", "compare", "a", "b", "--out", "audits").code == 0
    assert ask(*command_on(here / "audits/report.html")).code == 0


def test_after_a_preview_a_study_and_a_probed_model(here: Path, ask: Asking) -> None:
    spec = write_spec(here)
    assert ask("preview", spec.name, "--out", "preview").code == 0
    assert ask(*command_on(next(here.glob("preview/**/report.html")))).code == 0
    assert ask(*command_on(here / "preview/small/report.html", EPOCHS="3")).code == 0
    trial = min((here / "preview/small/trials").iterdir())
    images(here / "set", 120)
    data = {"phantom": "nodule", "size": 32, "train": 128, "validation": 48, "test": 64, "core": "margin"}
    assay.probe(trial, data, out=here / "probed", progress=False)
    following = command_on(here / "probed/report.html", MODEL=str(trial), IMAGES="set")
    assert ask(*following, "--target", "label", "--as-given", "--out", "a").code == 0, following
