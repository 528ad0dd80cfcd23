"""What the page says of layers: their shape, recipes compared with their seeds, layers reset."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import evidence_of
from tests.worlds.tables import GEOMETRY_LAYERS, SHAPES, Made, add_geometry, make_run

from assay.report.layout import Evidence, outline
from assay.report.page import collect
from assay.report.rows import read_tables
from assay.report.sections import representation
from assay.report.wording import measure_name

MADE = Made(budgets=("20",), probes=("performance",), pictures=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_run(tmp_path / "run", MADE)
    add_geometry(made, MADE)
    return made


@pytest.fixture
def evidence(root: Path) -> Evidence:
    tables = read_tables(root)
    return Evidence(tables, outline(tables))


def test_every_layer_has_a_panel_of_its_shape(evidence: Evidence) -> None:
    for measure in SHAPES:
        made = representation.shape(evidence, measure)
        assert made is not None
        assert ("before training" in made.note) == (measure != "cka-to-untrained")
        assert all(f"at {layer}:" in made.alternative for layer in GEOMETRY_LAYERS)
    table = representation.layers(evidence)
    assert table is not None
    assert measure_name("cka-to-untrained") in table.heads


def test_recipes_are_compared_with_their_seeds(evidence: Evidence, snapshot: SnapshotAssertion) -> None:
    made = representation.alike(evidence)
    assert made is not None
    assert made.title == snapshot
    assert "block1" not in made.title  # drawn of one law there
    assert ">seeds alone<" in made.wide
    assert all(row["layer"] == row["against_layer"] for row in made.rows)


def test_maps_have_the_seed_baseline_of_both_beside_them(evidence: Evidence) -> None:
    made = representation.maps(evidence)
    assert made is not None
    levels = evidence.outline.levels
    for level in levels[1:3]:
        places = [made.alternative.index(words) for words in (f"seeds of {level}:", f"{level} (down) and {levels[0]}")]
        assert places == sorted(places)
    assert f"seeds of {levels[0]}" in made.wide
    assert ">block3<" in made.wide


def test_the_table_has_what_the_seeds_of_each_have(evidence: Evidence) -> None:
    table = representation.likeness(evidence)
    assert table is not None
    assert {"seeds of each", "less alike than seeds", "conclusion"} <= set(table.heads)
    said = {cell.text for line in table.lines for cell in line.cells}
    assert {"beyond seeds", "inconclusive"} <= said


def test_layers_put_back_have_a_panel_each_way(evidence: Evidence) -> None:
    made = representation.put_back(evidence)
    assert made is not None
    assert ">reset to its start<" in made.wide
    assert ">permuted<" in made.wide
    table = representation.put_back_table(evidence)
    assert table is not None
    assert any(cell.text == "whole network" for line in table.lines for cell in line.cells)


def test_the_page_says_that_it_is_geometry(root: Path, snapshot: SnapshotAssertion) -> None:
    (section,) = (one for one in collect(root).sections if one.id == "geometry")
    assert section.words == snapshot


def test_without_the_probes_there_is_no_section(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, MADE)
    assert representation.alike(evidence) is representation.maps(evidence) is representation.likeness(evidence) is None
    assert (
        representation.put_back(evidence)
        is representation.put_back_table(evidence)
        is representation.layers(evidence)
        is None
    )
    assert all(representation.shape(evidence, measure) is None for measure in SHAPES)
