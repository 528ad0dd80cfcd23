"""Short flags."""

from __future__ import annotations

import json

import pytest
import typer
from tests.cli.asking import Asking

from assay.cli import app


@pytest.mark.parametrize(("flag", "meaning"), [("-s", "--set"), ("-w", "--workers"), ("-o", "--out")])
def test_short_flags_mean_the_same_in_every_command(flag: str, meaning: str) -> None:
    commands = typer.main.get_command(app).commands.values()
    options = [parameter.opts for command in commands for parameter in command.params]
    assert [opts for opts in options if meaning in opts]
    assert all((flag in opts) == (meaning in opts) for opts in options)


def test_a_short_flag_changes_a_field(ask: Asking) -> None:
    changed = json.loads(ask("show", "nodule-loss", "--json", "-s", "data.train=40").out)
    assert changed["data"]["train"] == 40
