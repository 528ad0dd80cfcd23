"""A measure is one function with its entry and an example."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.panels import answers

import assay
from assay.core import measures as registry
from assay.core.measures import COMPARED
from assay.plugin import Measure, RunFolder
from assay.probes.performance import overall
from assay.stats import Metric, ModelPredictions, value_and_contributions
from assay.stats import measure as declared
from assay.stats.influence import mean_influence
from assay.stats.measure import COMPUTED, measure

ENTRY = Measure("doubt", "performance", "share of images with a probability of 0.4 to 0.6", low=0.0, high=1.0)


@pytest.fixture
def doubt() -> Iterator[None]:
    """A measure that no other file knows."""

    @measure(ENTRY)
    def compute(answers: ModelPredictions) -> Any:
        unsure = np.abs(answers.probability[:, 1] - 0.5) <= 0.1
        metric = Metric(float(unsure.mean()))
        return metric, partial(mean_influence, unsure, metric.value, np.ones(len(unsure), dtype=bool))

    yield
    for of in (registry._declared, registry._measures, registry._compared, declared._computed):  # pyright: ignore
        del of[ENTRY.name]


@pytest.mark.usefixtures("doubt")
def test_a_new_measure_is_in_tables_with_its_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"loss": loss, "seed": seed, "image": image, "target": image % 2, "score": float(rng.uniform(0, width))}
        for loss, width in (("flat", 1.0), ("steep", 0.45))
        for seed in range(3)
        for image in range(80)
    ]
    assay.compare(rows, by="loss", measure="doubt", out=tmp_path / "compared")
    estimates = RunFolder(tmp_path / "compared").table("estimates")
    of_flat = next(row for row in estimates if row["recipe"] == "flat")
    expected = np.mean([0.4 <= row["score"] <= 0.6 for row in rows if row["loss"] == "flat"])
    assert of_flat["value"] == pytest.approx(expected)
    assert of_flat["low"] < of_flat["value"] < of_flat["high"]
    assert {row["measure"] for row in estimates} == {"doubt"}


@pytest.mark.usefixtures("doubt")
def test_a_new_measure_is_one_of_performance_and_can_be_compared() -> None:
    model = answers(3)
    found = overall({"same": (model, np.arange(80))})
    mine = [one for one in found if one.measure == "doubt" and one.environment]
    assert [one.value for one in mine] == [value_and_contributions("doubt", model, np.arange(80))[0].value]
    assert COMPARED["doubt"] is ENTRY


def test_every_measure_has_an_example() -> None:
    functions = {getattr(one.compute, "func", one.compute) for one in COMPUTED.values()}
    assert [one.__name__ for one in functions if ">>> " not in (one.__doc__ or "")] == []
