"""The pages on losses say what the code does, and their examples run."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path

import pytest

from assay.core import registry
from assay.plugin import LossContext, entries

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs/reference/losses.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs/how-to/add-a-loss.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def test_every_loss_says_what_it_does_on_an_empty_target() -> None:
    table = REFERENCE.split("### Images without a lesion", 1)[1].split("\n### ", 1)[0]
    first = " ".join(re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE))
    serving = {entry.name for entry in entries("loss") if "segmentation" in getattr(entry.traits, "tasks", ())}
    assert set(re.findall(r"`([a-z-]+)`", first)) == serving


def test_the_decorator_of_the_how_to_gives_the_loss_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it passes its suite is shown in tests/docs/test_plug_ins.py."""
    named = blocks(HOW_TO)[-1]
    written = blocks(HOW_TO)[0].replace("class LogitAdjusted(Objective):\n", named)
    assert named in written
    (tmp_path / "named_losses.py").write_text(written, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    importlib.import_module("named_losses")
    objective = registry.build("loss", "logit-adjusted", {}, LossContext(width=2, classes=2, counts=(3, 1)))
    assert objective.shift.tolist() == pytest.approx([math.log(3 / 4), math.log(1 / 4)])
