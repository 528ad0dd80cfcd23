"""Kept activations and contributions: read back by another reader, and refused in words where they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from assay.plugin import Contributions, Measurement, RunFolder, StoreError
from assay.store.arrays import read_contributions, read_sampled, write_contributions, write_sampled

CONTRIBUTIONS = "contributions.safetensors"
ROW = "(row)"


def test_another_reader_has_them_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "activations.safetensors"
    layers = {"z": np.arange(6, dtype=np.float64).reshape(2, 3)[:, ::2], "a": np.ones((2, 1))}
    write_sampled(path, np.array([7, 3]), layers)
    found = load_file(path)
    assert set(found) == {"z", "a", ROW}
    np.testing.assert_array_equal(found["z"], [[0, 2], [3, 5]])
    np.testing.assert_array_equal(found[ROW], [7, 3])
    assert list(read_sampled(path)[1]) == ["z", "a"]


def test_a_probe_that_kept_nothing_has_none(tmp_path: Path) -> None:
    assert not RunFolder(tmp_path).has_sampled("a")
    with pytest.raises(StoreError, match=r"activations\.safetensors: there is no such file"):
        RunFolder(tmp_path).sampled("a")


@pytest.mark.parametrize("left", [0, 5, 60, -4])
def test_a_damaged_file_is_refused_by_its_name(left: int, tmp_path: Path) -> None:
    path = tmp_path / "activations.safetensors"
    write_sampled(path, np.arange(9), {"a": np.ones((9, 5))})
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StoreError, match=r"activations\.safetensors: it is damaged .*run the study again"):
        read_sampled(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "activations.safetensors"
    save_file({"a": np.ones(3)}, path)
    with pytest.raises(StoreError, match="it is damaged"):
        read_sampled(path)


def measured(measure: str, samples: list[int], values: list[float], **where: str) -> Measurement:
    return Measurement(measure, 0.5, contributions=Contributions(np.array(samples), np.array(values)), **where)  # type: ignore[arg-type]


def test_contributions_are_kept_of_what_contrasts_compare(tmp_path: Path) -> None:
    path = tmp_path / CONTRIBUTIONS
    images, others = [3, 7, 9], [-2, -1]
    write_contributions(path, [
        measured("flip-rate", images, [0.1, 0.2, -0.3], level="2"),
        measured("flip-rate", images, [0.1, 0.2, -0.3]),
        Measurement("missing", 4.0),
        measured("sobol-total", others, [0.5, -0.5]),
        measured("decodability", images, [0.0, 0.25, -0.25], group="trained"),
        measured("decodability", images, [0.0, 0.0, 1.0], group="untrained"),
    ])  # fmt: skip
    found = read_contributions(path)
    assert {place: one.samples.tolist() for place, one in found.items()} == {1: images, 3: others, 4: images}
    np.testing.assert_array_equal(found[4].values, np.float32([0.0, 0.25, -0.25]))
    assert found[1].standard_error == pytest.approx(np.sqrt(0.14))
    assert len(load_file(path)) == 6  # those of the same samples are one matrix


@pytest.mark.parametrize("left", [0, 5, 60, -4])
def test_damaged_contributions_are_refused_by_their_name(left: int, tmp_path: Path) -> None:
    path = tmp_path / CONTRIBUTIONS
    write_contributions(path, [measured("flip-rate", [1, 2], [0.5, -0.5])])
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StoreError, match=r"contributions\.safetensors: it is damaged .*run the study again"):
        read_contributions(path)


def test_a_probe_without_contributions_leaves_no_file(tmp_path: Path) -> None:
    write_contributions(tmp_path / CONTRIBUTIONS, [Measurement("missing", 4.0)])
    assert not list(tmp_path.iterdir())
