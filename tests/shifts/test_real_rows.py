"""Associations on the tables of real sets: what METHODS asks of them can be had."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from assay.plugin import Factor, FactorTable
from assay.shifts.association import measure_association
from assay.shifts.choice import choose
from assay.spec.schema import AssociationSpec

ASSETS = Path(os.environ.get("ASSAY_ASSETS") or Path(__file__).parents[3] / "shared" / "assets")

pytestmark = [
    pytest.mark.assets,
    pytest.mark.skipif(not ASSETS.is_dir(), reason="no real images: set ASSAY_ASSETS to their folder"),
]


def read(folder, target, **where):
    with (ASSETS / folder / "data.csv").open(newline="", encoding="utf-8") as lines:
        found = [row for row in csv.DictReader(lines) if all(row[key] == value for key, value in where.items())]
    patients = {name: code for code, name in enumerate(sorted({row["patient"] for row in found}))}
    return found, FactorTable(
        row=np.arange(len(found)),
        target=np.array([int(row[target]) for row in found]),
        patient=np.array([patients[row["patient"]] for row in found]),
        classes=("no", "yes"),
    )


@pytest.fixture(scope="module")
def nodules():
    found, table = read("lung-nodule", "malignant")
    for name in ("diameter_mm", "texture"):
        table = table.with_column(Factor(name, "continuous"), np.array([float(row[name]) for row in found]))
    makers = ("GE", "Philips", "Siemens", "Toshiba")
    factor = Factor("manufacturer", "categorical", levels=makers, high=("GE",))
    return table.with_column(factor, np.array([makers.index(row["manufacturer"]) for row in found]))


@pytest.fixture(scope="module")
def radiographs():
    found, table = read("chest-xray", "finding", origin="a")
    for name, levels in {"view": ("PA", "AP"), "sex": ("M", "F")}.items():
        factor = Factor(name, "categorical", levels=levels, high=levels[1:])
        table = table.with_column(factor, np.array([levels.index(row[name]) for row in found]))
    return table


def check(table, least, **strengths):
    chosen = choose(table, {name: AssociationSpec(strength=s) for name, s in strengths.items()}, 0)
    kept = table.take(chosen)
    for name, strength in strengths.items():
        assert measure_association(kept, name).strength == pytest.approx(strength, abs=0.03)
    assert kept.target.mean() == pytest.approx(table.target.mean(), abs=0.01)
    assert len(kept) >= least


def test_nodules_as_found_are_told_by_their_diameter(nodules):
    assert measure_association(nodules, "diameter_mm").strength == pytest.approx(0.80, abs=0.01)  # AUROC 0.90


@pytest.mark.parametrize(
    ("strengths", "least"),
    [
        ({"diameter_mm": 0.95}, 1500),
        ({"diameter_mm": 0.0}, 600),
        ({"diameter_mm": -0.8}, 340),
        ({"texture": 0.9}, 700),
        ({"texture": -0.9}, 1000),
        ({"manufacturer": 0.9}, 800),
        ({"manufacturer": -0.9}, 700),
        ({"diameter_mm": 0.0, "texture": 0.0}, 320),
    ],
)
def test_nodules(nodules, strengths, least):
    check(nodules, least, **strengths)


@pytest.mark.parametrize(
    ("strengths", "least"),
    [({"view": 0.9}, 320), ({"view": 0.0}, 620), ({"view": -0.9}, 570), ({"sex": 0.9}, 450), ({"sex": -0.9}, 530),
     ({"view": 0.9, "sex": 0.0}, 220), ({"view": 0.0, "sex": 0.0}, 430)],
)  # fmt: skip
def test_radiographs(radiographs, strengths, least):
    check(radiographs, least, **strengths)
