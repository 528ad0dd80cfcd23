"""While images are read a person sees how far it is, on standard error alone; JSON is not disturbed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.worlds.files import age, small_set, spec_of

from assay.execution import progress
from assay.execution.progress import show_reading
from assay.plugin import ArrayCache, load_dataset


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of 40 images that no cache holds yet."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    small_set(tmp_path / "images", 40)
    path = tmp_path / "own.yaml"
    data = {"folder": "images", "target": "label", "size": 16}
    environments: dict[str, object] = {"train": {}, "same": {}}
    path.write_text(json.dumps({"name": "own", "data": data, "environments": environments, "recipe": {"epochs": 1}}))
    return path


def test_on_a_terminal_it_is_one_line_that_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    folder = small_set(tmp_path / "images", 40)
    age(folder)  # what was written this moment is looked at again
    for first in (True, False):
        with show_reading(quiet=False) as told:
            load_dataset(spec_of(folder), ArrayCache(tmp_path / "cache", told))
        out, err = capsys.readouterr()
        assert out == ""
        assert ("looking at image files:" in err) == first  # later all lies in the cache: nothing is drawn
        assert (err == "") != first


def test_elsewhere_a_preview_tells_now_and_then_and_nothing_beside_json(
    spec: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    facts = ask("preview", spec, "--json")
    assert facts.err == ""
    assert json.loads(facts.out)["study"] == "own"
    monkeypatch.setenv("ASSAY_CACHE", str(spec.parent / "another"))
    told = ask("preview", spec)
    read = [line.partition(", about")[0] for line in told.err.splitlines() if line.startswith("reading images")]
    assert read == [f"reading images: {n} of 40" for n in range(1, 41)]
    assert "reading images" not in told.out


def test_data_that_a_run_refuses_are_not_registered(spec: Path, ask: Asking) -> None:
    (spec.parent / "images" / "3.png").unlink()
    refused = ask("run", spec)
    assert refused.code == 2
    assert ask("register", spec) == refused
    assert not list(spec.parent.glob("runs/*"))
