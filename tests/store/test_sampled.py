"""Kept activations and contributions: read back by another reader, and refused in words where they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from assay.plugin import Contributions, Measurement, RunFolder, StoreError

CONTRIBUTIONS = "contributions.safetensors"
ROW = "(row)"


def kept(root: Path, row: np.ndarray, layers: dict[str, np.ndarray]) -> Path:
    """The file of the activations of probe `a`."""
    RunFolder(root).write_activations("a", row, layers)
    return root / "probes" / "a" / "activations.safetensors"


def contributed(root: Path, *measurements: Measurement) -> Path:
    """The file of the contributions to the measurements of probe `a`."""
    RunFolder(root).write_measurements("a", measurements, {})
    return root / "probes" / "a" / CONTRIBUTIONS


def test_another_reader_has_them_by_their_names(tmp_path: Path) -> None:
    layers = {"z": np.arange(6, dtype=np.float64).reshape(2, 3)[:, ::2], "a": np.ones((2, 1))}
    found = load_file(kept(tmp_path, np.array([7, 3]), layers))
    assert set(found) == {"z", "a", ROW}
    np.testing.assert_array_equal(found["z"], [[0, 2], [3, 5]])
    np.testing.assert_array_equal(found[ROW], [7, 3])
    assert list(RunFolder(tmp_path).activations("a")[1]) == ["z", "a"]


def test_a_probe_that_kept_nothing_has_none(tmp_path: Path) -> None:
    assert not RunFolder(tmp_path).has_activations("a")
    with pytest.raises(StoreError, match=r"activations\.safetensors: there is no such file"):
        RunFolder(tmp_path).activations("a")


@pytest.mark.parametrize("left", [0, 5, 60, -4])
def test_a_damaged_file_is_refused_by_its_name(left: int, tmp_path: Path) -> None:
    path = kept(tmp_path, np.arange(9), {"a": np.ones((9, 5))})
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StoreError, match=r"activations\.safetensors: it is damaged .*run the study again"):
        RunFolder(tmp_path).activations("a")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.ones(3)}, kept(tmp_path, np.arange(9), {"a": np.ones((9, 5))}))
    with pytest.raises(StoreError, match="it is damaged"):
        RunFolder(tmp_path).activations("a")


def measured(measure: str, samples: list[int], values: list[float], **where: str) -> Measurement:
    return Measurement(measure, 0.5, contributions=Contributions(np.array(samples), np.array(values)), **where)  # type: ignore[arg-type]


def test_contributions_are_kept_of_what_contrasts_compare(tmp_path: Path) -> None:
    images, others = [3, 7, 9], [-2, -1]
    path = contributed(
        tmp_path,
        measured("flip-rate", images, [0.1, 0.2, -0.3], level="2"),
        measured("flip-rate", images, [0.1, 0.2, -0.3]),
        Measurement("missing", 4.0),
        measured("sobol-total", others, [0.5, -0.5]),
        measured("decodability", images, [0.0, 0.25, -0.25], group="trained"),
        measured("decodability", images, [0.0, 0.0, 1.0], group="untrained"),
    )
    found = RunFolder(tmp_path).contributions("a")
    assert {place: one.samples.tolist() for place, one in found.items()} == {1: images, 3: others, 4: images}
    np.testing.assert_array_equal(found[4].values, np.float32([0.0, 0.25, -0.25]))
    assert found[1].standard_error == pytest.approx(np.sqrt(0.14))
    assert len(load_file(path)) == 6  # those of the same samples are one matrix


@pytest.mark.parametrize("left", [0, 5, 60, -4])
def test_damaged_contributions_are_refused_by_their_name(left: int, tmp_path: Path) -> None:
    path = contributed(tmp_path, measured("flip-rate", [1, 2], [0.5, -0.5]))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StoreError, match=r"contributions\.safetensors: it is damaged .*run the study again"):
        RunFolder(tmp_path).contributions("a")


def test_a_probe_without_contributions_leaves_no_file(tmp_path: Path) -> None:
    assert not contributed(tmp_path, Measurement("missing", 4.0)).exists()
    assert not RunFolder(tmp_path).has_contributions("a")
