"""Libraries that Assay loads send nothing about who uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.models.test_external import mean

_LOADED = "import assay; from pathlib import Path; from assay.models.onnx_session import OnnxSession; import sys; "


@pytest.mark.parametrize("choice", ["", "1"])
def test_onnxruntime_gives_this_machine_no_number_and_sends_nothing(choice: str, tmp_path: Path) -> None:
    """It has an upload of its own, which writes a number of the machine to the user's cache when it is imported."""
    model = mean(tmp_path / "model.onnx", ["b", 1, 8, 8])
    (home := tmp_path / "home").mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    variables |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        **({"ORT_DISABLE_TELEMETRY": choice} if choice else {}),
    }
    code = f"{_LOADED}OnnxSession(Path(sys.argv[1]), 1)"
    subprocess.run([sys.executable, "-c", code, str(model)], env=variables, check=True)
    assert list(home.rglob("*")) == []


def test_libraries_are_told_to_send_nothing_unless_the_user_decides() -> None:
    names = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED")
    plain = {name: value for name, value in os.environ.items() if name not in names}
    code = f"import assay, os; print(*(os.environ[name] for name in {names}))"
    for own, expected in (({}, "1 1 0"), ({"RAY_USAGE_STATS_ENABLED": "1"}, "1 1 1")):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env={**plain, **own}, capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected.split()
