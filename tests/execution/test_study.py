from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.cli.results import find_run
from assay.core.errors import StoreError
from assay.execution.run import rebuild, unnamed
from assay.store.folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))
from small import SMALL, records, write_spec


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(cache))


def command(*arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
    text = [str(part) for part in arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "assay", *text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )


def finished(*arguments: str | Path) -> tuple[int, str, str]:
    process = command(*arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The small study, run without interruption in this process."""
    os.environ["ASSAY_CACHE"] = str(cache)
    return assay.load(SMALL).run(tmp_path_factory.mktemp("whole"), workers=0, progress=False).folder


def test_a_study_ends_with_a_page_and_tables(whole: Path) -> None:
    assert (whole / "report.html").is_file()
    trials = RunFolder(whole).table("trials")
    assert [row["status"] for row in trials].count("failed") == 0
    assert len(trials) == 12
    (contrast,) = RunFolder(whole).table("contrasts")
    assert contrast["statement"] == "supcon against cross-entropy auroc in reversed, epochs 2"


def test_records_are_equal_with_workers_and_from_yaml(whole: Path, tmp_path: Path) -> None:
    code, _, err = finished("run", write_spec(tmp_path), "--out", tmp_path, "--workers", "2")
    assert code == 0, err
    assert records(tmp_path / "small") == records(whole)


def test_killed_at_random_and_resumed_the_records_are_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    for _ in range(3):
        process = command("run", spec, "--out", tmp_path, "--workers", "2", start_new_session=True)
        time.sleep(random.uniform(3, 12))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    code, _, err = finished("run", spec, "--out", tmp_path, "--workers", "1")
    assert code == 0, err
    assert records(tmp_path / "small") == records(whole)


def copied(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "small")
    return tmp_path / "small"


def test_a_second_run_does_nothing_and_says_so(whole: Path, tmp_path: Path) -> None:
    root = copied(whole, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.glob("*/*/record.json")}
    code, _, err = finished("run", write_spec(tmp_path), "--out", tmp_path)
    assert code == 0
    assert "every trial and probe is done: nothing to train" in err
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*/record.json")} == before


def test_only_what_is_missing_is_run(whole: Path, tmp_path: Path) -> None:
    copied(whole, tmp_path)
    spec = write_spec(tmp_path, probes=["performance", "decodability"])
    code, _, err = finished("run", spec, "--out", tmp_path, "--set", "environments.conflict.where.texture=solid")
    assert code == 0
    assert "0 trials to train" in err
    code, _, err = finished("run", spec, "--out", tmp_path, "--seeds", "4")
    assert "4 trials to train" in err
    assert "4 new: seed is 3 (was" in err


def test_a_contrast_added_later_is_exploratory_for_ever(whole: Path, tmp_path: Path) -> None:
    root = copied(whole, tmp_path)
    later = {"axis": "loss", "against": "supcon", "measure": "accuracy", "environment": "same", "where": {"epochs": 1}}
    spec = write_spec(tmp_path, contrasts=[*SMALL["contrasts"], later])
    for _ in range(2):
        code, _, err = finished("run", spec, "--out", tmp_path)
        assert code == 0, err
        assert "nothing to train" in err
        assert [bool(row["exploratory"]) for row in RunFolder(root).table("contrasts")] == [False, True]


def test_report_is_rebuilt_from_records_alone(whole: Path, tmp_path: Path) -> None:
    root = copied(whole, tmp_path)
    before = records(root)
    shutil.rmtree(root / "tables")
    (root / "report.html").unlink()
    assert rebuild(root).is_file()
    assert records(root) == before


def test_clean_lists_what_the_spec_does_not_name(whole: Path, tmp_path: Path) -> None:
    root = copied(whole, tmp_path)
    assert unnamed(root) == []
    code, _, err = finished("run", write_spec(tmp_path), "--out", tmp_path, "--seeds", "1")
    assert code == 0, err
    lost = unnamed(root)
    assert sum(path.parent.name == "trials" for path in lost) == 8
    code, out, _ = finished("clean", "small", "--out", tmp_path, "--yes")
    assert code == 0
    assert "deleted" in out
    assert unnamed(root) == []


def test_results_come_as_table_json_and_csv(whole: Path) -> None:
    code, out, _ = finished("results", whole, "--json")
    assert code == 0
    assert json.loads(out)[0]["a"] == "supcon"
    code, out, _ = finished("results", whole, "--table", "trials", "--csv")
    assert out.splitlines()[0].startswith("trial,recipe,coordinates,seed")
    code, out, _ = finished("results", whole)
    assert "supcon against cross-entropy" in out


def test_the_wrong_request_ends_with_2_and_one_sentence(whole: Path, tmp_path: Path) -> None:
    code, _, err = finished("results", whole, "--table", "contrast")
    assert (code, err.strip()) == (2, "unknown table 'contrast': did you mean 'contrasts'?")
    code, _, err = finished("run", "nodule-los")
    assert code == 2
    assert "nodule-loss" in err
    with pytest.raises(StoreError, match="no run folder 'smal'.*did you mean 'small'"):
        find_run("smal", whole.parent)


def test_an_output_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = finished("run", write_spec(tmp_path), "--out", tmp_path / "file")
    assert code == 2
    assert "choose another place with --out" in err
    assert len(err.strip().splitlines()) <= 4


def test_a_model_can_be_loaded_with_its_preprocessing(whole: Path) -> None:
    import torch

    trial = next((whole / "trials").iterdir())
    model = assay.load_model(trial)
    assert model.network(torch.rand(2, 1, 32, 32)).shape == (2, 2)
    assert not model.network.training
    with pytest.raises(StoreError, match="holds no complete trial"):
        assay.load_model(whole / "trials" / "nosuch")


def test_an_interrupt_stops_cleanly_with_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, recipe={**SMALL["recipe"], "epochs": [200]}, contrasts=[], seeds=1)
    process = command("run", spec, "--out", tmp_path, "--workers", "1", start_new_session=True)
    assert process.stderr is not None
    while not list((tmp_path / "small").glob("trials/*/checkpoint*")) and process.poll() is None:
        time.sleep(0.2)
        if time.monotonic() % 60 < 0.2 or (tmp_path / "small" / "study.json").exists():
            time.sleep(6)
            break
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on from here" in err
