"""`tools/guard.py` finds a planted change in every kind of run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.worlds.scripts import script

from assay.store.kinds import kinds

GUARD = script("tools/guard.py")
TABLES: dict[str, tuple[str, dict[str, Any]]] = {  # run -> a table of it, and a row
    "study": ("estimates", {"recipe": "a", "measure": "auroc", "value": 0.8, "low": 0.7, "high": 0.9, "seeds": 4}),
    "folds": ("estimates", {"recipe": "a", "measure": "auroc", "value": 0.8, "low": 0.7, "high": 0.9, "seeds": 4}),
    "segmentation": ("trades", {"recipe": "a", "across": "dice", "up": "false-positive-rate", "correlation": 0.25}),
    "model": ("estimates", {"measure": "auroc", "environment": "same", "value": 0.8, "low": 0.7, "high": 0.9}),
    "audit": ("verdicts", {"factor": "tag", "dose": "middle", "verdict": "relies-on", "g": 0.3, "low": 0.2,
                           "high": 0.4, "flips": 0.5, "flips_low": 0.4, "flips_high": 0.6}),
    "compare": ("contrasts", {"a": "new", "b": "plain", "value": 0.1, "low": 0.0, "high": 0.2, "decision": "higher"}),
    "validate": ("differences", {"model": "ours", "against": "theirs", "measure": "auroc", "value": 0.1, "low": 0.0,
                                 "high": 0.2, "outcome": "superior"}),
}  # fmt: skip


def write(root: Path, table: str, row: dict[str, Any]) -> None:
    """Write a table of one row."""
    (root / "tables").mkdir(parents=True, exist_ok=True)
    cells = ", ".join(
        f"'{value}' AS {name}"
        if isinstance(value, str)
        else f"{value!r}::DOUBLE AS {name}"
        if value == value
        else f"'nan'::DOUBLE AS {name}"
        for name, value in row.items()
    )
    made = duckdb.sql(f"SELECT {cells}")
    assert made is not None
    made.write_parquet(str(root / "tables" / f"{table}.parquet"))


@pytest.mark.parametrize("run", TABLES)
def test_every_planted_change_is_found(run: str, tmp_path: Path) -> None:
    table, row = TABLES[run]
    write(tmp_path / "before", table, row)
    before = GUARD.tuples_of(tmp_path / "before")
    write(tmp_path / "same", table, row)
    assert GUARD.differences(before, GUARD.tuples_of(tmp_path / "same")) == {}
    for name, value in row.items():
        if name in ("threshold", "area"):
            continue  # these name the subject
        planted = f"{value}-other" if isinstance(value, str) else math.nextafter(value, 2)
        write(tmp_path / f"now-{name}", table, {**row, name: planted})
        found = GUARD.differences(before, GUARD.tuples_of(tmp_path / f"now-{name}"))
        assert found, name
        assert all(kind.startswith(table) for kind in found)


def test_a_missing_and_an_extra_tuple_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "a", "estimates", {"measure": "auroc", "value": 0.5})
    write(tmp_path / "b", "estimates", {"measure": "dice", "value": 0.5})
    a, b = (GUARD.tuples_of(tmp_path / name) for name in "ab")
    assert GUARD.differences(a, b) == {
        "estimates": ["measure=auroc: 0.5 [-, -] -> missing", "measure=dice: extra, 0.5 [-, -]"]
    }


def test_every_job_names_its_files_and_commands() -> None:
    assert set(GUARD.JOBS) == set(TABLES)
    for job in GUARD.JOBS.values():
        words = {word for command in job.commands for word in command}
        assert set(job.files) <= words


def test_every_kind_of_run_has_a_job() -> None:
    assert {kind for job in GUARD.JOBS.values() for kind in job.kinds} == set(kinds())


def test_a_changed_word_of_a_page_is_found_and_another_time_is_not(tmp_path: Path) -> None:
    page = "<p>AUROC fell to {auroc}</p><p>read in {seconds} s on {date}</p>"
    for name, values in {
        "before": {"auroc": 0.8, "seconds": 12.5, "date": "2026-01-02"},
        "same": {"auroc": 0.8, "seconds": 3, "date": "2026-02-03 10:11:12"},
        "changed": {"auroc": 0.81, "seconds": 12.5, "date": "2026-01-02"},
    }.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "report.html").write_text(page.format(**values))
    before, same, changed = (tmp_path / "runs" / name for name in ("before", "same", "changed"))
    assert GUARD.changed_words(before, same) == {}
    assert list(GUARD.changed_words(before, changed)) == ["before/report.html"]
    (same / "verdicts.json").write_text("{}")
    assert list(GUARD.changed_words(before, same)) == ["before/verdicts.json"]
