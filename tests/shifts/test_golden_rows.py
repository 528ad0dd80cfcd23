"""The rows that a spec and a seed lead to: when these change, `ROWS_VERSION` must rise with them."""

import hashlib

import numpy as np
from tests.worlds.environments import Toy

from assay.plugin import Component, Factor, FactorTable
from assay.shifts.choice import choose
from assay.shifts.sampling import ROWS_VERSION, TargetRequest, draw_interventions, draw_rows
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec

EXPECTED = {3: {"drawn": "4c31f2981a78", "chosen": "be0c7bfceab5", "marked": "de4354584c9a"}}


def digest(*arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return found.hexdigest()[:12]


def test_rows_are_those_of_their_version():
    tie = {"texture": AssociationSpec(strength=0.7), "size": AssociationSpec(strength=-0.4)}
    rows = draw_rows(Toy(), TargetRequest("ill", "margin"), EnvironmentSpec(association=tie), np.arange(500), 3)
    table = FactorTable(
        np.arange(500),
        rows.target,
        np.arange(500),
        ("no", "yes"),
        (Factor("x", "continuous"),),
        {"x": (np.arange(500) * 7919 % 500 + 100 * rows.target).astype(float)},
    )
    chosen = choose(table, {"x": AssociationSpec(strength=-0.3)}, 3)
    tag = InterventionSpec(component=Component(kind="intervention", name="tag"), share=0.3)
    changes, marked = draw_interventions(EnvironmentSpec(interventions={"tag": tag}), table, 3, (1, 64, 64))
    found = {
        "drawn": digest(rows.target, rows.columns["texture"], np.round(rows.columns["size"] * 1e6)),
        "chosen": digest(chosen),
        "marked": digest(marked.columns["tag"], changes[0].parameters["top"].numpy()),
    }
    assert found == EXPECTED[ROWS_VERSION]
