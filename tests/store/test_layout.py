"""Where records go is tried before anything slow, and nothing of the trial is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.plugin import StoreError
from assay.store.layout import require_writable


def test_what_was_made_for_the_trial_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    require_writable(tmp_path / "runs" / "deep" / "study")
    require_writable(tmp_path / "runs")
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs"]


def test_a_place_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, told in {
        Path("/proc/x/study"): "the folder /proc/x/study cannot be made: /proc takes no folders",
        tmp_path / "file": f"the folder {tmp_path}/file cannot be written to: File exists",
        tmp_path / "file" / "study": f"the folder {tmp_path}/file/study cannot be made: Not a directory",
    }.items():
        with pytest.raises(StoreError) as caught:
            require_writable(place)
        assert str(caught.value) == f"{told}; choose another place with --out"
    assert (tmp_path / "file").is_file()
