"""Tables as pandas writes and reads them: encodings, separators, quotes, missing words, labels and patients."""

from __future__ import annotations

import csv
import io
import string
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from assay.data.files.classes import target_column
from assay.data.files.table import absent, number, patient_codes, read_table
from assay.plugin import DataError

pytestmark = pytest.mark.thorough

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
LETTERS = string.ascii_letters + string.digits + "äöüßéèç ,;|'\"#/_-"
WORDS = ("", "NA", "N/A", "nan", "NaN", "null", "NULL", "None", "<NA>", "#N/A", "n/a", "-nan")
cell = st.one_of(
    st.sampled_from(WORDS),
    st.text(LETTERS, max_size=8),
    st.integers(-5, 120).map(str),
    st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: f"{value:.3f}"),
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Draw a table whose first column numbers its rows, so that none says the same as another."""
    names = draw(st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=5), min_size=1, max_size=4, unique=True))
    assume("row" not in names)
    rows = draw(st.lists(st.tuples(*[cell] * len(names)), min_size=1, max_size=12))
    return pd.DataFrame([(f"r{at}", *row) for at, row in enumerate(rows)], columns=["row", *names], dtype=object)


def _read(content: bytes) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(content)
        read = read_table(path, "row")
    assert not read.problems
    return read.frame


@given(frames(), st.sampled_from(",;\t|"), st.sampled_from(ENCODINGS), st.sampled_from(("\n", "\r\n")),
       st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)), st.booleans())  # fmt: skip
def test_cells_and_missing_words(
    frame: pd.DataFrame, separator: str, encoding: str, end: str, quoting: int, stated: bool
) -> None:
    text = frame.to_csv(index=False, sep=separator, lineterminator=end, quoting=quoting)
    right = pd.read_csv(io.StringIO(text, newline=""), sep=separator, dtype=str, skipinitialspace=False)
    found = _read(((f"sep={separator}{end}" if stated else "") + text).encode(encoding))
    assert list(found.columns) == list(right.columns)
    assert len(found) == len(right)
    for name in found.columns:
        for own, other in zip(found[name], right[name], strict=True):
            if isinstance(other, str):  # blanks around a cell are no part of it, also of a missing word
                assert own == other.strip()
            else:
                assert absent(own)


@given(
    st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)), min_size=1, max_size=20),
    st.sampled_from(";\t|"),
)
def test_numbers_with_a_decimal_comma(values: list[float], separator: str) -> None:
    frame = pd.DataFrame({"row": [f"r{at}" for at in range(len(values))], "x": values})
    text = frame.to_csv(index=False, sep=separator, decimal=",")
    right = pd.read_csv(io.StringIO(text), sep=separator, decimal=",")["x"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_text(text)
        read = read_table(path, "row")
    cells = read.column("x", "test")
    digits = {len(one.partition(",")[2]) for one in cells if "," in one}
    assume(separator == ";" or digits - {3})  # three digits after every comma may be thousands
    np.testing.assert_allclose([number(one, read.comma) or 0.0 for one in cells], right)


@given(st.lists(st.text("äöüéßñ" + string.ascii_letters, min_size=1, max_size=8), min_size=1, max_size=10))
def test_western_bytes_are_read_rightly_or_refused(values: list[str]) -> None:
    """Text that is not UTF-8 is never read as other letters than those that were written."""
    frame = pd.DataFrame({"row": [f"r{at}" for at in range(len(values))], "x": values})
    content = frame.to_csv(index=False).encode("cp1252")
    try:
        found = _read(content)
    except DataError:
        return
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        assert found["x"].tolist() == values


@given(st.lists(st.sampled_from(("a", "b", "c", "d", "10", "9", "NA", "")), min_size=2, max_size=40))
def test_codes_of_labels(cells: list[str]) -> None:
    present = pd.Series([None if absent(one) else one for one in cells], dtype=object)
    codes, values = pd.factorize(present, sort=True)
    assume(len(values) > 2)
    found = target_column("y", (), cells)
    order = sorted(found.classes) if not all(one.isdigit() for one in found.classes) else list(found.classes)
    assert list(found.classes) == order
    assert [found.classes[code] if code >= 0 else None for code in found.codes] == [
        values[code] if code >= 0 else None for code in codes
    ]


@given(st.lists(st.text(string.digits + "abc", min_size=1, max_size=3), min_size=1, max_size=40))
def test_codes_of_patients(cells: list[str]) -> None:
    np.testing.assert_array_equal(patient_codes(cells), pd.factorize(pd.Series(cells), sort=True)[0])
