"""The page on interventions says what the catalog has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from assay.plugin import build, draw, entries, lookup, row_uniform

ROOT = Path(__file__).parents[2]
MARKED = np.ones(3, dtype=bool)
NAMES = [entry.name for entry in entries("intervention")]


@pytest.mark.parametrize("name", NAMES)
def test_a_global_intervention_may_change_every_pixel_and_a_local_one_may_not(name):
    drawn = draw(name, build("intervention", name, {}), MARKED, np.arange(3), 0, (3, 96, 96))
    everywhere = bool(drawn.mask(np.arange(3)).all())
    assert everywhere == (lookup("intervention", name).traits.extent == "global")


@pytest.mark.parametrize("name", [entry.name for entry in entries("distortion")])
def test_every_distortion_has_its_place_in_the_taxonomy(name):
    traits = lookup("distortion", name).traits
    assert (traits.extent in ("local", "global"), traits.origin in ("patient", "environment")) == (True, True)


def test_the_sheet_is_there_and_light():
    file = ROOT / "docs/images/interventions.png"
    assert file.stat().st_size < 400_000
    with Image.open(file) as sheet:
        assert sheet.width >= 1000


def test_the_function_of_the_how_to_does_what_it_says(page_modules, monkeypatch):
    monkeypatch.syspath_prepend(page_modules)
    fog = draw("fog", build("intervention", "my_fog:fog", {"most": 0.3}), MARKED, np.arange(3), 0, (1, 16, 16))
    out = fog.apply(torch.zeros(3, 1, 16, 16), np.arange(3))
    assert out[:, 0, 5, 5].tolist() == pytest.approx((0.3 * 0.7 * row_uniform(0, "fog:amount", np.arange(3))).tolist())
