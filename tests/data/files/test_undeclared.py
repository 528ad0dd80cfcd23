"""Columns that a study does not name are levels or numbers; what counts rows, names things or is the target is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from assay.data.files.folder import undeclared_table
from assay.plugin import DataSpec, FactorSpec, FactorTable

ROWS = 210


def table_of(folder: Path, **named: object) -> DataSpec:
    """The columns: an image, a target that is missing once, a patient, sex and seven more."""
    lines = ["image,ill,who,sex,site,dose,code,id,text,file,empty"]
    for i in range(ROWS):
        ill = "" if i == 7 else i % 2
        lines.append(f"{i}.png,{ill},p{i // 2},{'FM'[i % 2]},{'AB'[i % 2]},{i / 7},{i % 7},{i},text {i},m{i}.png,")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    return DataSpec(folder=str(folder), target="ill", patient="who", **named)  # pyright: ignore[reportArgumentType]


def images_of(rows: list[int]) -> FactorTable:
    """Images of these rows of the table, the first of which is line 2."""
    of = np.array(rows)
    places: Any = SimpleNamespace(numbers=[row + 2 for row in rows])
    return FactorTable(np.arange(len(of)), of % 2, of // 2, ("not ill", "ill"), places=places)


def test_kinds_are_found_in_the_cells(tmp_path: Path) -> None:
    rows = [row for row in range(ROWS) if row not in (7, 30)]
    table = undeclared_table(table_of(tmp_path, mask="file"), images_of(rows))
    assert table is not None
    kinds = {factor.name: factor.kind for factor in table.factors}
    assert kinds == {
        "sex": "categorical",
        "site": "categorical",
        "dose": "continuous",
        "code": "categorical",
        "empty": "categorical",
    }
    assert len(table) == ROWS - 2, "a row without a target, and one whose image is left out"
    assert np.allclose(table.columns["dose"], np.array(rows) / 7), "each image has the values of its row"


def test_what_the_study_names_and_rows_that_it_does_not_use_are_left_out(tmp_path: Path) -> None:
    factors = {"place": FactorSpec(kind="categorical", column="site")}
    table = undeclared_table(
        table_of(tmp_path, factors=factors, where={"sex": ["F"]}), images_of(list(range(0, ROWS, 2)))
    )
    assert table is not None
    assert "site" not in table.columns
    assert len(table) == ROWS // 2


def test_without_a_column_of_the_target_nothing_is_held_against_it(tmp_path: Path) -> None:
    spec = table_of(tmp_path, mask="file").model_copy(update={"target": "lesion"})
    images = images_of(list(range(ROWS)))
    assert undeclared_table(spec, images) is None
    assert undeclared_table(spec, images, of_masks=True) is not None, "its columns may divide the images all the same"
