"""Tables as people save them, what their columns mean, and which rows are used."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.worlds.files import load, noise, save, small_set, write_table

from assay.data.files.classes import target_column
from assay.data.files.table import factor_column, number, read_table
from assay.plugin import ArrayCache, DataError, DataSpec, FactorSpec, SpecError, SplitSpec, load_dataset

ROWS = [["image", "label", "note"], ["a.png", 0, "x"], ["b.png", 1, "Ä"]]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings_are_found(tmp_path: Path, separator: str, encoding: str) -> None:
    write_table(tmp_path / "t.csv", ROWS, separator, encoding)
    table = read_table(tmp_path / "t.csv", "image")
    assert table.header == ("image", "label", "note")
    assert table.rows == (("a.png", "0", "x"), ("b.png", "1", "Ä"))
    assert table.numbers == (2, 3)


def test_rows_have_the_number_of_the_line_that_they_begin_at(tmp_path: Path) -> None:
    text = 'image,note\r\n\r\na.png,"two\r\nlines"\r\n,,\r\nb.png,x,\r\n'
    (tmp_path / "t.csv").write_bytes(text.encode())
    table = read_table(tmp_path / "t.csv", "image")
    assert table.numbers == (3, 6)
    assert table.rows[0][1] == "two lines"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "t.csv has no header; its first line must name the columns, such as image"),
        (b"\n\n", "t.csv has no header; its first line must name the columns, such as image"),
        (b"image,label,image\na,0,b\n", "t.csv names column 'image' twice (columns 1 and 3); rename one of them"),
        (
            b"image\ncaf\xe9\xe8\xea.png\n",
            "t.csv is not UTF-8 text (byte 0xE9 in line 2), and its encoding is not "
            "surely known; save it as CSV (UTF-8)",
        ),
        (b"image\0label\n", "t.csv is not a text file; save it as CSV (UTF-8)"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "t.csv", "image")
    assert str(caught.value) == expected


def test_the_number_of_columns_is_bounded(tmp_path: Path) -> None:
    name = tmp_path / "t.csv"
    name.write_text(",".join(["image", *(f"f{at}" for at in range(9_999))]) + "\n")
    assert len(read_table(name, "image").header) == 10_000
    name.write_text(",".join(["image", *(f"f{at}" for at in range(10_000))]) + "\n")
    with pytest.raises(DataError, match=r"t\.csv has 10,001 columns, over 10,000; leave out those not used"):
        read_table(name, "image")


def test_a_packed_table_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.core.tables._LARGEST", 1 << 20)
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"image\n" + b"a.png\n" * (1 << 18)))
    with pytest.raises(DataError, match=r"t\.csv unpacks to over 1 MiB; leave out"):
        read_table(tmp_path / "t.csv", "image")


def test_a_packed_table_unpacks_to_a_hundred_times_its_size(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"image\n" + b"a\n" * (1 << 22)))
    with pytest.raises(DataError, match=r"t\.csv unpacks to over 8 MiB; leave out .*, or unpack it first"):
        read_table(tmp_path / "t.csv", "image")


def test_many_summaries_are_read_in_linear_time(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,target\na.png,1\n" + "total,1\n" * 100_000)
    table = read_table(tmp_path / "t.csv", "image")
    assert (len(table.frame), len(table.problems)) == (1, 100_000)


def test_an_unfinished_quote_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,note\n"' + "x" * 200_000 + "\n")
    with pytest.raises(DataError, match=r"t\.csv is not a table: field larger than field limit .*; save it as CSV"):
        read_table(tmp_path / "t.csv", "image")


@pytest.mark.parametrize(
    ("cell", "comma", "value"),
    [("3.5", False, 3.5), ("1e-3", False, 0.001), ("3,5", True, 3.5), ("3,5", False, None), ("1,000.5", True, None),
     ("inf", False, None), ("nan", False, None), ("1_0", False, None), ("", False, None), ("x", False, None)],
)  # fmt: skip
def test_numbers(cell: str, comma: bool, value: float | None) -> None:
    assert number(cell, comma) == value


def test_decimal_commas_are_read_in_a_table_of_semicolons(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    rows = [["image", "label", "mm"], *([f"{at}.png", at % 2, f"{at},5"] for at in range(8))]
    write_table(folder / "data.csv", rows, ";")
    table = load(folder, factors={"mm": FactorSpec(unit="mm")}).table
    np.testing.assert_array_equal(table.columns["mm"], np.arange(8) + 0.5)


@pytest.mark.parametrize(
    ("cells", "codes", "classes"),
    [
        (["0", "1", "1"], [0, 1, 1], ("not ill", "ill")),
        (["1.0", "0.0", "1"], [1, 0, 1], ("not ill", "ill")),
        (["Yes", "no", "YES"], [1, 0, 1], ("not ill", "ill")),
        (["TRUE", "False", ""], [1, 0, -1], ("not ill", "ill")),
        (["naevus", "melanoma", "n/a"], [1, 0, -1], ("melanoma", "naevus")),
        (["10", "9", "2"], [2, 1, 0], ("2", "9", "10")),
        (["c", "a", "b"], [2, 0, 1], ("a", "b", "c")),
    ],
)
def test_targets_in_every_spelling(cells: list[str], codes: list[int], classes: tuple[str, ...]) -> None:
    target = target_column("ill", (), cells)
    assert target.codes.tolist() == codes
    assert target.classes == classes


def test_positive_names_the_positive_class_and_the_rest_is_negative() -> None:
    target = target_column("grade", ("2", "3"), ["0", "1", "2.0", "3", ""])
    assert target.codes.tolist() == [0, 0, 1, 1, -1]
    assert target.classes == ("other", "2.0 or 3")
    assert target.rule == "2.0 or 3 is positive, 0, 1 negative"
    named = target_column("kind", ("melanoma",), ["naevus", "melanoma"])
    assert named.classes == ("naevus", "melanoma")


def test_targets_that_cannot_be() -> None:
    with pytest.raises(SpecError, match=r"data\.positive: unknown value of kind 'melanom': did you mean 'melanoma'\?"):
        target_column("kind", ("melanom",), ["naevus", "melanoma"])
    with pytest.raises(SpecError, match=r"data\.positive names every value of 'kind'; leave at least one out"):
        target_column("kind", ("a", "b"), ["a", "b"])
    with pytest.raises(DataError, match=r"holds several labels in a cell, such as 'Edema\|Mass'; multi-label targets"):
        target_column("labels", (), ["Edema|Mass", "Mass"])
    with pytest.raises(SpecError, match="column 'age' has 150 different values, over 100; name a column of classes"):
        target_column("age", (), [str(at) for at in range(150)])


def test_one_label_only_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    with pytest.raises(SpecError, match=r"column 'label' needs at least two different labels; found: only '1'$"):
        load(folder, where={"label": 1})


def test_factor_columns_by_kind() -> None:
    cells = ["low", "NA", "high", "low"]
    factor, values, wrong = factor_column("f", FactorSpec(kind="categorical"), cells)
    assert (factor.levels, factor.high, values.tolist(), wrong) == (("high", "low"), ("low",), [1, -1, 0, 1], {})
    factor, values, _ = factor_column("f", FactorSpec(kind="ordinal", levels=("low", "mid", "high")), cells)
    assert (factor.levels, factor.high, values.tolist()) == (("low", "mid", "high"), (), [0, -1, 2, 0])
    factor, values, _ = factor_column("f", FactorSpec(kind="ordinal", levels=("1", "2")), ["1.0", "2", "", "1"])
    assert values.tolist() == [0, 1, -1, 0]
    factor, values, _ = factor_column("f", FactorSpec(unit="mm"), ["1.5", "", "null"])
    assert factor.unit == "mm"
    np.testing.assert_array_equal(values, [1.5, np.nan, np.nan])


@pytest.mark.parametrize(
    ("factor", "what"),
    [
        (
            FactorSpec(kind="categorical", levels=("left", "right")),
            "'rigth' is no level of the factor; did you mean 'right'?",
        ),
        (
            FactorSpec(),
            "side is 'rigth', which is not a number; write a number or leave it empty, or make side categorical",
        ),
        (FactorSpec(kind="ordinal"), "side is 'rigth', which is not a number; give side its levels in order"),
    ],
)
def test_a_wrong_cell_of_a_factor_is_a_bad_row(tmp_path: Path, factor: FactorSpec, what: str) -> None:
    sides: list[object] = [1, 2, 1, 2, 1, 2, 1, 2] if not factor.levels else ["left", "right"] * 4
    folder = small_set(tmp_path / "set", extra={"side": [*sides[:2], "rigth", *sides[3:]]})
    with pytest.raises(DataError) as caught:
        load(folder, factors={"side": factor})
    assert f"line 4 '2.png': {what}" in str(caught.value)


def test_factors_that_contradict_themselves(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"view": ["AP", "PA"] * 4})
    with pytest.raises(SpecError, match=r"data\.factors\.view\.high: unknown level 'PAX': did you mean 'PA'\?"):
        load(folder, factors={"view": FactorSpec(kind="categorical", high=("PAX",))})
    with pytest.raises(SpecError, match=r"data\.factors\.vew: data\.csv has no column 'vew': .*did you mean 'view'\?"):
        load(folder, factors={"vew": FactorSpec(kind="categorical")})


def test_a_column_of_text_that_is_declared_as_numbers_is_told_once(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"view": ["AP", "PA"] * 4})
    held = r"data\.factors\.view: the column holds 'AP', 'PA' and no number; write factors: \{view: "
    with pytest.raises(SpecError, match=held + r"categorical\}$"):
        load(folder, factors={"view": FactorSpec()})
    with pytest.raises(SpecError, match=held + r"\{kind: ordinal, levels: \[\.\.\.\]\}\}$"):
        load(folder, factors={"view": FactorSpec(kind="ordinal")})


def test_an_undeclared_column_is_no_factor_but_split_and_pixel_size_are_when_named(tmp_path: Path) -> None:
    extra = {"mm": [0.5] * 8, "part": ["train"] * 4 + ["val"] * 2 + ["test"] * 2, "other": range(8)}
    folder = small_set(tmp_path / "set", extra={name: list(values) for name, values in extra.items()})
    assert load(folder).table.factors == ()
    dataset = load(folder, pixel_size="mm", split=SplitSpec(column="part"), size=8)
    assert [factor.name for factor in dataset.table.factors] == ["pixel_size", "part"]
    assert dataset.table.factor("pixel_size").unit == "mm"
    # 16 px of 0.5 mm shown on 8 px: 1 mm each.
    assert dataset.scale.mm_per_pixel == pytest.approx(1.0)
    assert dataset.millimeters is not None
    assert dataset.millimeters.tolist() == [1.0] * 8
    assert load(folder).millimeters is None


def test_a_pixel_size_that_is_missing_or_none_is_unknown_and_the_others_stand(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"mm": [0.5, "", 0, -1, 2, 1, 1, 1]})
    found = load(folder, pixel_size="mm", size=8).millimeters
    assert found is not None
    assert np.array_equal(found, [1, np.nan, np.nan, np.nan, 4, 2, 2, 2], equal_nan=True)


def test_a_factor_may_have_another_name_than_its_column(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"Age (y)": list(range(8))})
    table = load(folder, core="age", factors={"age": FactorSpec(column="Age (y)", unit="years")}).table
    assert table.factor("age").role == "core"
    np.testing.assert_array_equal(table.columns["age"], np.arange(8))


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"view": "AP"}, [0, 1, 4, 5]),
        ({"age": {"min": 2, "max": 5}}, [2, 3, 4, 5]),
        ({"age": {"max": 2}}, [0, 1, 2]),
        ({"age": [1, 6, 99]}, [1, 6]),
        ({"visit": 3.0}, [2, 3, 6, 7]),
        ({"view": "PA", "age": {"min": 4}}, [6, 7]),
        ({"flag": True}, [0, 1, 2, 3]),
    ],
)
def test_where_chooses_rows(tmp_path: Path, where: dict[str, Any], kept: list[int]) -> None:
    extra = {"view": ["AP", "AP", "PA", "PA"] * 2, "age": list(range(8)), "flag": ["true"] * 4 + ["False"] * 4,
             "visit": [2, 2, 3, 3] * 2}  # fmt: skip
    folder = small_set(tmp_path / "set", extra=extra)
    dataset = load(folder, where=where, factors={"age": FactorSpec()})
    np.testing.assert_array_equal(dataset.table.columns["age"], kept)
    images, every = (one.images.read(np.arange(len(one.table))) for one in (dataset, load(folder)))
    np.testing.assert_array_equal(images, every[kept])


def test_where_that_cannot_be(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"age": list(range(8))})
    with pytest.raises(SpecError, match=r"data\.where\.ag: data\.csv has no column 'ag'"):
        load(folder, where={"ag": 1})
    with pytest.raises(ValidationError, match="unknown key 'from' in age"):
        load(folder, where={"age": {"from": 1}})
    with pytest.raises(SpecError) as caught:
        load(folder, where={"age": 100})
    told = "no row fits data.where: age [100] was asked, the column has 0, 1, 2, 3, 4, 5 and 2 more"
    assert str(caught.value) == f"data.table: data.csv gives no images: {told}"


def test_rows_that_where_leaves_out_may_be_wrong(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"age": list(range(8))})
    (folder / "7.png").unlink()
    assert len(load(folder, where={"age": {"max": 6}}).table) == 7


def test_missing_values_are_counted_in_the_card(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"age": ["", 1, 2, "NA", 4, 5, 6, 7]})
    card = load(folder, factors={"age": FactorSpec()}).card
    assert "age is missing in 2 of 8 rows" in card.known_faults
    assert any(fault.startswith("no patient column is named") for fault in card.known_faults)


@pytest.mark.parametrize(
    ("column", "cells", "said"),
    [
        ("patient_id", ["a", "a", "b", "b", "c", "c", "d", "d"], True),
        ("PatientID", [1, 1, 2, 2, 3, 3, 4, 4], True),
        ("PatID", [1, 1, 2, 2, 3, 3, 4, 4], True),
        ("Fallnummer", [1, 1, 2, 2, 3, 3, 4, 4], True),
        ("pattern", [1, 1, 2, 2, 3, 3, 4, 4], False),
        ("case", [1, 1, 2, 2, 3, 3, 4, 4], True),
        ("patient_id", list(range(8)), False),  # each has one image: nothing to gain
        ("patient_id", ["a"] * 8, False),
        ("showcase", [1, 1, 2, 2, 3, 3, 4, 4], False),
        ("age", [1, 1, 2, 2, 3, 3, 4, 4], False),
    ],
)
def test_a_column_that_looks_like_a_patient_is_suggested_where_none_is_named(
    tmp_path: Path, column: str, cells: list[object], said: bool
) -> None:
    folder = small_set(tmp_path / "set", extra={column: cells})
    card = load(folder).card
    (fault,) = (fault for fault in card.known_faults if fault.startswith("no patient column is named"))
    assert (f"; column '{column}' looks like one" in fault) == said
    assert "8 images, patients not named: " in card.summary
    if said:
        named = load(folder, patient=column).card
        assert "8 images of 4 patients: " in named.summary
        assert not any("patient" in fault for fault in named.known_faults)


def test_patient_identifiers_never_leave(tmp_path: Path) -> None:
    who = [f"Jane Doe {at}" for at in range(7)] + [""]
    folder = small_set(tmp_path / "set", extra={"who": who})
    with pytest.raises(DataError) as caught:
        load(folder, patient="who")
    dataset = load(folder, patient="who", skip_bad_rows=True)
    assert "Jane" not in f"{caught.value}{dataset.card}{dataset.table}{dataset.near_copies}"
    assert not any("Jane" in path.read_text(errors="ignore") for path in (tmp_path / "set-cache").iterdir())


def test_a_word_among_zeros_and_ones_is_no_third_class() -> None:
    target = target_column("ill", (), ["0", "1", "maybe", "1"])
    assert target.codes.tolist() == [0, 1, -1, 1]
    assert target.classes == ("not ill", "ill")
    assert target_column("grade", (), ["0", "1", "2"]).classes == ("0", "1", "2")


def test_further_tables_follow_the_first_and_a_column_tells_them_apart(tmp_path: Path) -> None:
    """The second has no patients and a column more; its rows are numbered as if pasted below."""
    for at in range(6):
        save(tmp_path / "f" / f"{at}.png", noise(at))
    write_table(tmp_path / "f" / "data.csv", [["image", "grade", "who"], *([f"{at}.png", at, "a"] for at in range(3))])
    other = [["image", "grade", "site"], *([f"{at}.png", at - 3, "x"] for at in range(3, 6))]
    write_table(tmp_path / "f" / "other.csv", other)
    factors = {"table": {"kind": "categorical"}, "site": {"kind": "categorical"}}
    spec = DataSpec.model_validate({"folder": str(tmp_path / "f"), "further": ["other.csv"], "target": "grade",
                                    "patient": "who", "size": 16, "factors": factors})  # fmt: skip
    dataset = load_dataset(spec, ArrayCache(tmp_path / "cache"))
    table = dataset.table
    assert table.target.tolist() == [0, 1, 2, 0, 1, 2]
    assert table.factor("table").levels == ("data.csv", "other.csv")
    assert table.columns["table"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table.columns["site"].tolist() == [-1, -1, -1, 0, 0, 0]
    assert len(set(table.patient[:3].tolist())) == 1
    assert len(set(table.patient.tolist())) == 4
    write_table(tmp_path / "f" / "other.csv", [["image", "grade"], ["9.png", 1]])
    with pytest.raises(DataError, match=r"line 5 '9\.png'"):
        load_dataset(spec.model_copy(update={"factors": {}}), ArrayCache(tmp_path / "cache"))
    with pytest.raises(SpecError, match=r"has no file 'third\.csv'; name a CSV that lies beside the table"):
        load_dataset(spec.model_copy(update={"further": ("third.csv",)}), ArrayCache(tmp_path / "cache"))
