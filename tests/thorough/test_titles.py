"""The title of the demo's study survives fresh seeds, at a smaller size."""

from __future__ import annotations

from pathlib import Path

import pytest

import assay
from assay.report.context import PageContext

pytestmark = pytest.mark.thorough
SMALLER = {
    "recipe.loss": ["cross-entropy", "arcface"],
    "environments.train.association.texture": 0.9,
    "recipe.streams": 0,
    "grid.only": [],
    "contrasts": [],
    "published": [],
    "data.train": 600,
    "data.test": 300,
    "seeds": 3,
    "probes": ["performance", {"reliance": {"sobol": False, "factors": ["texture"]}}],
}


@pytest.mark.parametrize("first_seed", [1000, 2000, 3000, 4000, 5000])
def test_networks_rely_on_texture_whatever_the_seeds(first_seed: int, tmp_path: Path) -> None:
    study = assay.load("nodule-loss", scale="quick")
    for key, value in {**SMALLER, "first_seed": first_seed}.items():
        study = study.set(key, value)
    run = study.run(tmp_path, workers=0, progress=False)
    context = PageContext.of(run.folder)
    title = context.page.text(context).verdict
    assert title.startswith("With both losses networks rely on texture: AUROC fell from "), title
    assert title.endswith(" when texture was reversed."), title
