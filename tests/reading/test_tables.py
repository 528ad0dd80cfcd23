"""Tables and their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tests.cli.asking import Asking
from tests.reading.situations import situation
from tests.reading.tables_for_tests import COUNT, audited, auroc, columns, images, looked, predictions, refused

import assay
from assay.plugin import DataError


def _right(ask: Asking, path: Path, frame: pd.DataFrame, *options: str) -> dict[str, Any]:
    """Check that the AUROC is that of scikit-learn, and return the verdicts."""
    found = audited(ask, path, *options)
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"], frame["score"]), abs=1e-9)
    assert found["audit"]["patients"] == str(frame["patient"].nunique())
    return found


@situation("a table in UTF-16, as Excel's Unicode text", "read, as pandas reads it")
def test_utf_16(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame.to_csv(tmp_path / "p.csv", index=False, encoding="utf-16")
    _right(ask, tmp_path / "p.csv", pd.read_csv(tmp_path / "p.csv", encoding="utf-16"))


@situation("a table in UTF-16 without a byte-order mark", "recognized by its zeros and read")
def test_utf_16_without_a_mark(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    for encoding in ("utf-16-le", "utf-16-be"):
        (tmp_path / "p.csv").write_bytes(frame.to_csv(index=False).encode(encoding))
        _right(ask, tmp_path / "p.csv", frame)


@situation("a table in UTF-16 given to `assay look`", "read by the same reader as everywhere")
def test_utf_16_of_images(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": [0, 1] * 12}), encoding="utf-16")
    assert "24 images" in looked(ask, path)


@situation("a table in UTF-8 with a byte-order mark", "read; the mark is no part of the first column's name")
def test_a_mark(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame[["target", "score", "patient"]].to_csv(tmp_path / "p.csv", index=False, encoding="utf-8-sig")
    _right(ask, tmp_path / "p.csv", frame)


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u200e", "\u00ad", " \u2060"])
@situation(
    "zero-width spaces and other signs that are not seen, in names of columns, classes and patients, and in scores",
    "taken out: no column, class or patient of its own",
)
def test_signs_that_are_not_seen(ask: Asking, tmp_path: Path, sign: str) -> None:
    frame = predictions(("benign", "malignant"))
    seen = frame[["patient", "target", "score"]].astype(str)
    hidden = seen.copy()
    for at in range(0, len(hidden), 3):
        hidden.iloc[at] = [f"{cell}{sign}" if at % 2 else f"{sign}{cell}" for cell in hidden.iloc[at]]
    hidden.iloc[1, 1] = f"m{sign.strip()}alignant"
    hidden.columns = [f"{name[:3]}{sign.strip()}{name[3:]}{sign}" for name in hidden]
    hidden.to_csv(tmp_path / "p.csv", index=False, encoding="utf-8")
    found = audited(ask, tmp_path / "p.csv")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"] == "malignant", frame["score"]), abs=1e-9)
    assert " 60 patients" in ask("validate", tmp_path / "p.csv", "--out", "validated").out


@pytest.mark.parametrize("sign", ["\u200b", "\ufeff", "\u00ad"])
@situation(
    "zero-width spaces and other signs that are not seen, in a name of a column that a user typed or copied",
    "taken out: names of columns match without them",
)
def test_signs_that_are_not_seen_in_typed_names(ask: Asking, tmp_path: Path, sign: str) -> None:
    frame = predictions().rename(columns={"target": "finding", "score": "risk", "patient": "person"})
    frame["site"] = ["A", "B"] * (len(frame) // 2)
    header = [f"{name[:2]}{sign}{name[2:]}" for name in frame]
    frame.to_csv(tmp_path / "p.csv", index=False, header=header)
    typed = [f"{name}{sign}" for name in ("finding", "risk", "person")]
    roles = [part for pair in zip(("--target", "--score", "--patient"), typed, strict=True) for part in pair]
    found = audited(ask, tmp_path / "p.csv", *roles, "--columns", f"{sign}si{sign}te")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["finding"], frame["risk"]), abs=1e-9)
    assert [row["factor"] for row in found["verdicts"]] == ["site"]
    answer = ask("validate", tmp_path / "p.csv", *roles, "--groups", f"site{sign}", "--out", "validated")
    assert answer.code == 0, answer.err
    assert f" {frame.person.nunique()} patients" in answer.out
    table = images(tmp_path / "set", frame, header=[*header, "image"])
    for typed_target in (f"fin{sign}ding", "finding"):
        assert looked(ask, table, "--target", typed_target, "--patient", typed[2])
    in_memory = frame.assign(image=[np.full((8, 8), at, dtype=np.uint8) for at in range(len(frame))])
    assay.look(in_memory.set_axis([*header, "image"], axis=1), target=f"finding{sign}", out=tmp_path / "page")
    written = ask("init", table, "--target", f"finding{sign}", "--patient", f"{sign}person")
    assert written.code == 0, written.err
    study = tmp_path / "set.yaml"
    Path("set.yaml").rename(study)
    study.write_text(study.read_text().replace("target: finding", f'target: "fin{sign}ding"'), encoding="utf-8")
    assert sign in study.read_text()
    previewed = ask("preview", study)
    assert previewed.code == 0, previewed.err


@situation(
    "a table in Windows-1252, as Excel saves CSV in western Europe",
    "read, and the assumed encoding is the first thing reported",
)
def test_windows_1252(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(Größe=["groß", "klein"] * (COUNT // 2))
    frame.to_csv(tmp_path / "p.csv", index=False, encoding="cp1252")
    found = _right(ask, tmp_path / "p.csv", frame, "--columns", "Größe")
    assert "Windows-1252" in found["audit"]["encoding"]
    assert columns(ask)["Größe"]["missing"] == 0


@pytest.mark.parametrize(("text", "encoding"), [("Диагноз", "cp1251"), ("διάγνωση", "cp1253"), ("診断", "shift-jis")])
@situation("a table in Cyrillic, Greek or Japanese code pages", "refused, since its encoding is not surely known")
def test_other_code_pages(ask: Asking, tmp_path: Path, text: str, encoding: str) -> None:
    predictions(**{text: [text] * COUNT}).to_csv(tmp_path / "p.csv", index=False, encoding=encoding)
    assert "UTF-8" in refused(ask, tmp_path / "p.csv")


@situation("a first line `sep=;`, as Excel writes it", "taken as the separator; line numbers stay those of the file")
def test_excel_line(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    (tmp_path / "p.csv").write_text("sep=;\n" + frame.to_csv(index=False, sep=";"))
    _right(ask, tmp_path / "p.csv", frame)
    frame.loc[3, "patient"] = ""
    (tmp_path / "p.csv").write_text("sep=;\n" + frame.to_csv(index=False, sep=";"))
    assert "(line 6)" in refused(ask, tmp_path / "p.csv", "--patient", "patient")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@situation("semicolons, tabs or bars between cells, and scores with a decimal comma", "read as numbers, as pandas does")
def test_separators_and_decimal_commas(ask: Asking, tmp_path: Path, separator: str) -> None:
    predictions().to_csv(tmp_path / "p.csv", index=False, sep=separator, decimal=",")
    _right(ask, tmp_path / "p.csv", pd.read_csv(tmp_path / "p.csv", sep=separator, decimal=","))


@pytest.mark.parametrize(("separator", "decimal", "mark"), [(",", ".", ","), (";", ".", ","), (";", ",", ".")])
@situation(
    "separators of thousands, 1,234 in a table with 0.5 and 1.234 in one with 0,5",
    "taken out, and the column is reported",
)
def test_thousands(ask: Asking, tmp_path: Path, separator: str, decimal: str, mark: str) -> None:
    volumes = np.random.default_rng(1).integers(500, 9000, COUNT)
    frame = predictions(volume=[f"{one:,}".replace(",", mark) for one in volumes])
    frame.to_csv(tmp_path / "p.csv", index=False, sep=separator, decimal=decimal)
    right = pd.read_csv(tmp_path / "p.csv", sep=separator, decimal=decimal, thousands=mark)["volume"]
    found = _right(ask, tmp_path / "p.csv", predictions(), "--columns", "volume")
    assert columns(ask)["volume"]["median"] == right.median()
    assert "separators in volume" in found["audit"]["thousands"]


@situation("999 and 1,234 in one column of whole numbers, and no other number", "of thousands, and reported")
@situation("1,234 and 2,345 in a table with semicolons and no other number", "decimal commas, as there")
def test_three_digits_after_a_comma(ask: Asking, tmp_path: Path) -> None:
    for first, most in (("999", 9.999e3), ("1,999", 9.999)):
        cells = [first, *(f"{1 + at % 9},{at:03d}" for at in range(COUNT - 2)), "9,999"]
        frame = predictions(volume=cells).assign(score=lambda one: (1000 * one["score"]).astype(int))
        frame.to_csv(tmp_path / "p.csv", index=False, sep=";")
        audited(ask, tmp_path / "p.csv", "--columns", "volume", "--scores", "logits")
        assert columns(ask)["volume"]["greatest"] == pytest.approx(most)


@situation("scores with three digits after a decimal comma", "read: 0,531 does not mean thousands")
def test_three_decimals(ask: Asking, tmp_path: Path) -> None:
    frame = predictions().round({"score": 3})
    text = [f"{one:.3f}".replace(".", ",") for one in frame["score"]]
    frame.assign(score=text).to_csv(tmp_path / "p.csv", index=False)
    _right(ask, tmp_path / "p.csv", frame)


@situation("commas in a quoted name of a column of a table with semicolons", "no separators: the header has most cells")
def test_a_separator_within_quotes(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(**{"a, b, c, d, e": ["x"] * COUNT})
    frame.to_csv(tmp_path / "p.csv", index=False, sep=";", quoting=1)
    _right(ask, tmp_path / "p.csv", frame)


@situation("an Excel workbook or a Parquet file in place of a CSV", "refused by what it is: save it as CSV")
def test_workbooks(ask: Asking, tmp_path: Path) -> None:
    for content, what in ((b"PK\x03\x04", "Excel"), (b"\xd0\xcf\x11\xe0", "Excel"), (b"PAR1", "Parquet")):
        (tmp_path / "p.csv").write_bytes(content + b"rest")
        assert what in (said := refused(ask, tmp_path / "p.csv"))
        assert "CSV" in said


@situation("ages with 17 different values, with a decimal comma", "continuous: intervals of ages, no level each")
def test_ages(ask: Asking, tmp_path: Path) -> None:
    ages = [20.5 + 3 * (at % 17) for at in range(COUNT)]
    predictions(Alter=ages).to_csv(tmp_path / "p.csv", index=False, sep=";", decimal=",")
    audited(ask, tmp_path / "p.csv", "--columns", "Alter")
    found = columns(ask)["Alter"]
    assert (found["kind"], found["median"]) == ("continuous", pytest.approx(np.median(ages)))


@situation("grades 0 to 4, or a site that is called 1 to 15", "levels")
def test_grades_are_levels(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(grade=[at % 5 for at in range(COUNT)], site=[1 + at % 15 for at in range(COUNT)])
    frame.to_csv(tmp_path / "p.csv", index=False)
    audited(ask, tmp_path / "p.csv", "--columns", "grade,site")
    assert {row["kind"] for name, row in columns(ask).items() if name in ("grade", "site")} == {"categorical"}


@situation("`nan` in a third of the ages and `NA` in sex, in predictions", "missing, as in pandas, and no levels")
def test_missing_words(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(
        age=["nan" if at % 3 == 0 else 20 + at % 40 for at in range(COUNT)],
        sex=[("F", "M", "NA", "N/A", "null", "", "<NA>", "None")[at % 8] for at in range(COUNT)],
    )
    frame.to_csv(tmp_path / "p.csv", index=False)
    right = pd.read_csv(tmp_path / "p.csv")
    audited(ask, tmp_path / "p.csv", "--columns", "age,sex")
    found = columns(ask)
    assert {name: found[name]["missing"] for name in ("age", "sex")} == dict(right[["age", "sex"]].isna().sum())
    assert found["age"]["kind"] == "continuous"
    assert found["sex"]["levels"] == right["sex"].nunique()


@situation("levels that differ in case or blanks: `M`, `m` and `F `", "read as one level, and reported")
def test_levels_in_several_spellings(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(sex=[("M", "m", "F", "F ")[at % 4] for at in range(COUNT)])
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--columns", "sex")
    assert columns(ask)["sex"]["levels"] == frame["sex"].str.strip().str.casefold().nunique()
    assert "'M' and 'm' in sex" in found["audit"]["read as one"]


@pytest.mark.parametrize(
    "word", ["not reported", "[Not Available]", "(null)", r"\N", "#VALUE!", "#NAME?", "B?", "B (?)"]
)
@situation(
    r"`not reported`, `[Not Available]`, `\N` of MySQL or `#VALUE!` of a spreadsheet among sites, or `B?` beside `B`",
    "a caution: such values usually mean unknown",
)
def test_other_words_for_unknown(ask: Asking, word: str) -> None:
    predictions(site=[("A", "B", word)[at % 3] for at in range(COUNT)]).to_csv("p.csv", index=False)
    assert f"may mean unknown: '{word}' in 40 rows of site" in ask("validate", "p.csv", "--out", "out").out
    predictions(site=["ABC"[at % 3] for at in range(COUNT)]).to_csv("p.csv", index=False)
    assert "may mean unknown" not in ask("validate", "p.csv", "--out", "out").out


@situation("`unk` among sexes, and 999 among ages", "a caution: such values usually mean unknown")
def test_values_that_may_mean_unknown(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(
        sex=[("M", "F", "unk")[at % 3] for at in range(COUNT)],
        age=[999 if at % 20 == 0 else 20 + at % 60 for at in range(COUNT)],
    )
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = ask("audit", tmp_path / "p.csv", "--columns", "sex,age", "--out", "out").out
    line = next(line for line in said.splitlines() if "may mean unknown" in line)
    assert line.startswith("caution:")
    assert "'unk' in 40 rows of sex" in line
    assert "'999' in 6 rows of age" in line


@situation("None as a level of smoking", "missing, as pandas reads it, with a caution that says in how many rows")
def test_none_as_a_level(ask: Asking, tmp_path: Path) -> None:
    predictions(smoking=[("None", "Current", "Former")[at % 3] for at in range(COUNT)]).to_csv(tmp_path / "p.csv")
    said = ask("audit", tmp_path / "p.csv", "--columns", "smoking", "--out", "out").out
    assert "'None' in 40 rows of smoking, read as missing" in said


@situation(
    "dates, ids and codes with leading zeros among the columns", "left out of the cues, and listed with the reason"
)
def test_columns_left_out(ask: Asking, tmp_path: Path) -> None:
    count = 48
    frame = pd.DataFrame(
        {
            "target": [0, 1] * (count // 2),
            "Datum": [f"{1 + at % 28:02d}.{1 + at % 12:02d}.2021" for at in range(count)],
            "zip": [f"0{1000 + at % 30}" for at in range(count)],
            "note": ["seen", "unseen"] * (count // 2),
        }
    )
    said = looked(ask, images(tmp_path / "set", frame), "--target", "target")
    line = next(line for line in said.splitlines() if line.startswith("columns left out"))
    assert "Datum (dates)" in line
    assert "zip (ids or codes)" in line
    assert "note" not in line


@situation(
    "sites with numbers of 17 digits, which are equal as floats", "levels of their own; pandas keeps them apart too"
)
def test_long_numbers_are_levels(ask: Asking, tmp_path: Path) -> None:
    predictions(site=[12345678901234567 + at % 2 for at in range(COUNT)]).to_csv(tmp_path / "p.csv", index=False)
    audited(ask, tmp_path / "p.csv", "--columns", "site")
    assert columns(ask)["site"]["levels"] == pd.read_csv(tmp_path / "p.csv")["site"].nunique() == 2


@situation(
    "a column `split` of train and test, in predictions and beside images", "all rows are read, which is reported"
)
def test_rows_of_training(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(split=["train"] * 80 + ["test"] * 40)
    frame.to_csv(tmp_path / "p.csv", index=False)
    line = "parts: all rows are read, of each value of split: test (40), train (80)"
    assert line in ask("audit", tmp_path / "p.csv", "--out", "out").out
    assert line in looked(ask, images(tmp_path / "set", frame))


SEVERAL = ("{}|{}", "{};{}", "{}, {}", "{}+{}", "{} / {}", "{} and {}", '["{}","{}"]', "['{}', '{}']")


@pytest.mark.parametrize("form", SEVERAL)
@situation(
    "cells of several labels in the target: `a|b`, `a;b`, `a, b`, `a+b`, `a/b` or `[a, b]`, beside `a` alone",
    "refused: a class of its own is written without the sign",
)
@situation("the same with `--positive` of a label that is in no such cell", "this class against the rest")
def test_several_labels(ask: Asking, tmp_path: Path, form: str) -> None:
    both = form.format("edema", "mass")
    frame = predictions(("edema", both))
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert "several labels" in refused(ask, tmp_path / "p.csv", "--positive", "edema")
    path = images(tmp_path / "set", pd.DataFrame({"label": ["edema", both, "well", "none of both"] * 6}))
    said = ask("look", path, "--out", "look")
    assert said.code == 2
    assert "several labels in a cell" in said.err
    assert both in said.err
    assert ask("look", path, "--out", "look", "--positive", "edema").code == 2
    assert "positive class: well" in looked(ask, path, "--positive", "well")


@pytest.mark.parametrize(
    "names",
    [("Nodule/Mass", "No finding"), ("Carcinoma, NOS", "Melanoma, NOS"), ("1+", "2+"), ("1/2", "3/4"), ("0,5", "1,5")],
)
@situation("classes such as `Nodule/Mass`, `Carcinoma, NOS` or 2+, no part of which is a class", "classes as they are")
def test_one_label_with_a_sign(ask: Asking, tmp_path: Path, names: tuple[str, str]) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"label": [*names] * 12}))
    assert 'target "label"' in looked(ask, path)


DATES = ("02. Jan", "2-Feb", "Jan 02", "2026-02-01", "01.02.2026", "1/2/2026", "04. Mrz", "2-Sept")


@pytest.mark.parametrize("date", DATES)
@situation(
    "dates among the classes, such as 02. Jan or 2026-02-01, as spreadsheets make of 1-2",
    "refused: the class is to be written as it was; among the levels of another column a caution",
)
def test_dates_as_grades(ask: Asking, tmp_path: Path, date: str) -> None:
    grades = ["0-1", date, "3-4"] * 8
    path = images(tmp_path / "set", pd.DataFrame({"grade": grades, "finding": [0, 1] * 12}))
    said = ask("look", path, "--out", "look", "--target", "grade")
    assert said.code == 2
    assert f"holds '{date}', a date, as spreadsheets make of 1-2" in said.err
    assert f"'{date}' in 8 rows of grade, a date" in looked(ask, path, "--target", "finding")
    with pytest.raises(DataError, match="a date"):
        assay.look({"folder": str(path.parent), "table": path.name, "target": "grade"}, progress=False)


@situation("classes such as Set 1, Marker 2, May or 1-2", "no dates")
def test_no_dates(ask: Asking, tmp_path: Path) -> None:
    for at, names in enumerate((["Set 1", "Marker 2", "May"], ["0-1", "1-2", "3-4"], ["1.5", "2.5", "10.1"])):
        path = images(tmp_path / f"{at}", pd.DataFrame({"grade": names * 8}))
        assert 'target "grade"' in looked(ask, path, "--out", f"look{at}")


@situation(
    'cells that a spreadsheet was to keep as text: ="001", also in quotes, and the apostrophe of \'001',
    "read as 001; in names of columns, images, patients and scores",
)
def test_cells_kept_as_text(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    rows = [
        [(f'="{at:03d}"', f"'{at:03d}", f'"=""{at:03d}"""')[at % 3], str(target), f'="{score}"']
        for at, (target, score) in enumerate(zip(frame["target"], frame["score"], strict=True))
    ]
    lines = ['="patient",target,score', *map(",".join, rows)]
    (tmp_path / "p.csv").write_text("\n".join(lines), encoding="utf-8")
    found = audited(ask, tmp_path / "p.csv", "--patient", "patient")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"], frame["score"]), abs=1e-9)
    assert "patients alike" not in found["audit"]
    path = images(tmp_path / "set", pd.DataFrame({"label": ["a", "'b'", "c's"] * 8}))
    path.write_text(path.read_text().replace("000.png", '="000.png"').replace("001.png", "'001.png"))
    assert "24 images" in looked(ask, path)


@situation("an archive of NumPy arrays (.npz), as of MedMNIST, in place of a table", "refused by what it is")
def test_an_archive_of_arrays(ask: Asking, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", train_images=np.zeros((4, 28, 28), np.uint8))
    for command in ("look", "init"):
        said = ask(command, tmp_path / "set.npz").err
        assert "set.npz is an archive of NumPy arrays" in said
        assert "{medmnist: set.npz}" in said


@situation("a row without a label, in predictions", "refused, with its line")
def test_a_label_is_missing(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame["target"] = frame["target"].astype(object)
    frame.loc[4, "target"] = ""
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert "line 6" in refused(ask, tmp_path / "p.csv")


@situation(
    "predictions without a class, a score or a patient in some rows",
    "refused with the lines; `--skip-bad-rows` leaves these rows out and counts them",
)
@pytest.mark.parametrize("column", ["target", "score", "patient"])
def test_blanks_in_predictions(ask: Asking, tmp_path: Path, column: str) -> None:
    frame = predictions()
    frame = frame.astype({column: object})
    frame.loc[[2, 7], column] = None
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv")
    assert "--skip-bad-rows" in said
    assert "lines 4, 9" in said or "p.csv:4: " in said
    found = audited(ask, tmp_path / "p.csv", "--skip-bad-rows")
    left = frame.dropna()
    assert auroc(found) == pytest.approx(roc_auc_score(left["target"].astype(int), left["score"].astype(float)))
    assert found["audit"]["left out"].startswith("2 of 120 rows")


@situation("scores of predictions such as 45.3%", "refused, with the first and its line, and what to write")
def test_scores_with_a_sign(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame.assign(score=[f"{100 * one:.1f}%" for one in frame["score"]]).to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv")
    assert f"p.csv:2: score '{100 * frame['score'][0]:.1f}%'" in said
    assert "take the sign % out" in said


@situation("predictions whose column of classes has an unusual name", "asked for, with the option and the columns")
def test_a_target_of_another_name(ask: Asking, tmp_path: Path) -> None:
    frame = predictions().rename(columns={"target": "quux"}).assign(sex=["f", "m"] * 60, age=range(120))
    frame = frame.assign(zig=[0, 1, 1] * 40)
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv")
    assert "--target COLUMN; its columns are patient, quux, score" in said
    assert "did you mean" not in said


@situation("predictions whose positive rows alone have a label", "refused: the other rows are blank")
def test_one_class_and_blanks(ask: Asking, tmp_path: Path) -> None:
    predictions(("yes", "")).to_csv(tmp_path / "p.csv", index=False)
    assert "has 1 class (yes), and the other 60 rows are blank" in refused(
        ask, tmp_path / "p.csv", "--target", "target"
    )


@situation(
    "predictions without a column to audit", "the AUROC is there, with its bounds, in the terminal and on the page"
)
def test_the_auroc_is_said(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = ask("audit", tmp_path / "p.csv", "--out", "out").out
    line = next(one for one in said.splitlines() if one.startswith("AUROC"))
    assert line.startswith(f"AUROC: {roc_auc_score(frame['target'], frame['score']):.2f} [")
    assert "on 120 images of 60 patients" in line
    assert "on 120 images of 60 patients" in Path("out/report.html").read_text()


@situation("a comparison of predictions in Python", "shows the lines of the terminal")
def test_a_comparison_is_shown(ask: Asking, tmp_path: Path) -> None:
    frame = predictions().assign(image=range(120), seed=0)
    both = pd.concat([frame.assign(loss="a"), frame.assign(loss="b", score=1 - frame["score"])])
    both.to_csv(tmp_path / "p.csv", index=False)
    said = ask("compare", tmp_path / "p.csv", "--by", "loss")
    *lines, step = said.out.splitlines()
    assert repr(assay.compare(both, "loss")).splitlines() == lines
    assert step.startswith("Next: add rows of 3 or more seeds of each")


@situation("a look at images of which some cannot be read", "the first lines say how many are left out, and why")
def test_images_left_out_are_said_first(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": [0, 1] * 12}))
    for at in range(3):
        (path.parent / f"{at:03d}.png").write_bytes(b"")
    first = looked(ask, path).splitlines()[:3]
    assert any(line.startswith("left out: 3 of 24 images") for line in first)


@pytest.mark.parametrize("line", ["MURA/train/p{}/image1.png", "p{}/study1_positive/,1", "{}.png,1", "x,a_{}.dcm"])
@situation("a table of file names without a header, as in MURA", "refused: its first line would be lost")
def test_file_names_without_a_header(ask: Asking, tmp_path: Path, line: str) -> None:
    lines = [line.format(at // 2).replace("p0", "p1") for at in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    for command in ("look", "init"):
        said = ask(command, tmp_path, "--out", "out.yaml")
        assert said.code == 2
        assert "t.csv has no header: its first line" in said.err
        assert "Put a line with the names of columns above it, such as " in said.err


@pytest.mark.parametrize(
    "lines",
    ["{}.png,1 {}.jpg,0", "{}.JPG,1 {}.jpg,0", "{}.jp2,1 {}.jp2,0", r"train\{}.png,1 train\{}.jpg,0",
     "ill/{}.png,1 well/{}.jpg,0", "{}.nii.gz,1 {}.nii,0", "case{}/image.png,1 case{}/image.png,0",
     "1,{}.png,mask 0,{}.jpg,mask"],
)  # fmt: skip
@situation("a table of file names with several endings and without a header", "refused as well")
def test_file_names_of_several_endings(ask: Asking, tmp_path: Path, lines: str) -> None:
    rows = [line.format(at) for at in range(6) for line in lines.split(" ")]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    assert "t.csv has no header: its first line" in ask("look", tmp_path, "--out", "out").err


@pytest.mark.parametrize(
    "lines",
    ["date/time,label 01/02/2020,ill", "id,image.png,mask.png 1,{}.png,m{}.png", "images/file,label images/{}.png,1",
     "img,label,train/mask x,1,train/{}", "number,img.png 1,{}.png", "a/b,label a/{}.png,1"],
)  # fmt: skip
@situation("a header that looks like a file, as `image.png` or `images/file`, above names of files", "a header")
def test_a_name_with_a_slash_or_a_point_is_a_header(ask: Asking, tmp_path: Path, lines: str) -> None:
    header, row = lines.split(" ")
    (tmp_path / "t.csv").write_text("\n".join([header, *(row.format(at, at) for at in range(24))]) + "\n")
    assert "has no header" not in ask("look", tmp_path, "--out", "out").err


@pytest.mark.parametrize("first", ["# exported 2026-01-01\n", "Predictions of model X,,\n\n", ""])
@situation("a first line that is a title, a comment or a row", "refused: it seems to be no header")
def test_a_first_line_that_is_no_header(ask: Asking, tmp_path: Path, first: str) -> None:
    text = predictions().to_csv(index=False, header=bool(first))
    (tmp_path / "p.csv").write_text(first + text)
    assert "its first line" in refused(ask, tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("lines", "usual"),
    [("img{},p{},0,0.73 img{},p{},1,0.25", "image,column2,target,score"), ("img{},0,0 img{},1,1", "image,target,"),
     ("c{},malignant c{},benign", "image,target"), ("ill,{},7 well,{},9", "target,"),
     ("p{};0;0,5 p{};1;0,7", "image,"), ("img{},0, img{},1,", "image,target"),
     ("p{},{}.5,nevus p{},{}.5,mel", "image,column2,target")],
)  # fmt: skip
@situation("a table of ids and numbers without a header", "refused, with the line to write above")
def test_rows_without_a_header(ask: Asking, tmp_path: Path, lines: str, usual: str) -> None:
    rows = [lines.split(" ")[at % 2].format(at, at) for at in range(1, 25)]
    (tmp_path / "p.csv").write_text("\n".join(rows) + "\n")
    text = refused(ask, tmp_path / "p.csv")
    assert "p.csv has no header: its first line" in text
    assert f"looks like those below. Put a line with the names of columns above it, such as {usual}" in text


@pytest.mark.parametrize(
    "lines",
    ["case1,score1 a{},0.{}", "0,1,2 {},5,0.5", "img,0,1 a{},1,0", "id,2019,2020 a{},1,0", "t0,t1,t2 x{},y,z",
     "name,kind x{},kind", "first,second x{},y{}", "feature1,feature2,truth 1,{},0", "p0,x,0 a,b{},c"],
)  # fmt: skip
@situation("a header with numbers, as `feature1` or 2019, above numbers and texts", "a header")
def test_numbers_in_a_header(ask: Asking, tmp_path: Path, lines: str) -> None:
    header, row = lines.split(" ")
    (tmp_path / "p.csv").write_text("\n".join([header, *(row.format(at, at) for at in range(24))]) + "\n")
    assert "has no header" not in refused(ask, tmp_path / "p.csv")


@situation("`StudyDate` as DICOM writes it, 20240115", "a date, and no number")
@situation("ages as DICOM writes them, 030Y and 018M", "numbers of years, and reported")
def test_dates_and_ages_of_dicom(ask: Asking, tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=120).strftime("%Y%m%d")
    ages = [f"{20 + at // 2:03d}Y" if at % 3 else f"{12 * (20 + at // 2):03d}M" for at in range(120)]
    predictions(StudyDate=list(days), age=ages).to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--columns", "age,StudyDate")
    assert found["audit"]["ages in years"] == "age ('240M' is 20)"
    rows = columns(ask)
    assert (rows["age"]["kind"], rows["StudyDate"]["kind"]) == ("continuous", "categorical")
    assert rows["age"]["median"] == np.median([20 + at // 2 for at in range(120)])


@pytest.mark.parametrize("infant", ["{} months", "{} mo", "{}m", "{} Monate", "{}M"])
@situation("ages as `13 months`, `8 mo` or `2 Jahre` among years, and `13m` beside `53y`", "years, with an example")
def test_ages_with_a_unit(ask: Asking, tmp_path: Path, infant: str) -> None:
    years = {"{}m": "{}y", "{}M": "{}J"}.get(infant, "{}")
    ages = [years.format(20 + at % 60) if at % 10 else infant.format(6 + at // 10) for at in range(120)]
    predictions(age=ages).to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--columns", "age")
    assert found["audit"]["ages in years"] == f"age ('{infant.format(6)}' is 0.5)"
    assert "units" not in found["audit"]
    assert "may mean unknown" not in found["audit"]
    row = columns(ask)["age"]
    assert (row["kind"], row["median"]) == (
        "continuous", np.median([20 + at % 60 if at % 10 else (6 + at // 10) / 12 for at in range(120)])
    )  # fmt: skip


@situation("a column of a model's scores or calls in a table of images", "named as left out, and no cue")
@situation("scores of patients, as `agatston_score` or `fev1_pred`", "columns like others")
def test_scores_of_a_model_beside_images(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(agatston_score=[3 * at % 97 for at in range(120)], Prediction=["no", "yes"] * 60)
    path = images(tmp_path / "set", frame.assign(fev1_pred=frame.score.to_numpy()[::-1]))
    said = looked(ask, path, "--target", "target")
    assert "columns left out: score, Prediction (scores of a model, as its name says" in said
    assert "agatston_score (continuous), fev1_pred (continuous)" in said
    assert "Prediction (cat" not in said
    assert "column 'score'" not in said


@situation("levels such as 2D and 3D, or lengths such as 13m without any years", "levels, and no ages")
def test_letters_that_are_no_months(ask: Asking, tmp_path: Path) -> None:
    predictions(mode=["2D" if at % 3 else "3D" for at in range(120)]).to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--columns", "mode")
    assert "ages in years" not in found["audit"]
    assert columns(ask)["mode"]["kind"] == "categorical"


@pytest.mark.parametrize("text", [">89", "unk"])
@situation(
    "`>89` or `unk` in a column of ages, in a tenth of its values at most", "numbers; these are missing, and said"
)
@situation("`unk` beside up to 10 different numbers, which may be levels", "a level, and a caution")
def test_a_few_texts_among_numbers(ask: Asking, tmp_path: Path, text: str) -> None:
    ages = [text if at in (3, 4, 5) else str(30 + at // 2) for at in range(120)]
    grades = [text if at == 3 else str(at % 5) for at in range(120)]
    predictions(age=ages, grade=grades).to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--columns", "age,grade")
    assert f"'{text}' in 3 rows of age, read as missing" in found["audit"]["may mean unknown"]
    assert ("in 1 row of grade" in found["audit"]["may mean unknown"]) == (text == "unk")
    rows = columns(ask)
    assert (rows["age"]["kind"], rows["grade"]["kind"]) == ("continuous", "categorical")
    assert rows["age"]["median"] == np.median([int(age) for age in ages if age != text])
    frame = predictions(age=ages).drop(columns=["score", "patient"])
    assert f"'{text}' in 3 rows of age, read as missing" in looked(ask, images(tmp_path / "images", frame))


@situation("a data frame whose index is called `image`", "read as a column, as pandas writes it")
def test_a_named_index_is_a_column() -> None:
    frame = pd.concat([predictions(loss=[name] * 120, image=range(120)) for name in "ab"])
    found = assay.compare(frame.set_index("image"), "loss")
    right = roc_auc_score(frame["target"], frame["score"])
    assert [row["value"] for row in found.estimates] == pytest.approx([right] * 2, abs=1e-9)


@pytest.mark.parametrize("name", ["sex", "scanner"])
@situation("a table whose columns of few values are of patients or images, such as sex", "none is proposed as target")
def test_no_attribute_is_proposed(ask: Asking, tmp_path: Path, name: str) -> None:
    path = images(tmp_path / "set", pd.DataFrame({name: ["a", "b"] * 12, "view": ["x", "x", "y"] * 8}))
    said = ask("look", path, "--out", "look")
    assert said.code == 2
    assert "--target" in said.err
    assert f"--target {name}" not in said.err
    assert "for example" not in said.err


SUMMARIES = {
    "Total,Total,1,0.51": 122, "Total (n = 120),,66,0.51": 122, "Mean,,0.55,0.51": 122, ",,,61.6": 122,
    ",,66,61.6": 122, ",,,0.51\nSumme:,,,61.6": 122, "\nMean,,,0.5": 123,
}  # fmt: skip


@pytest.mark.parametrize("last", SUMMARIES)
@situation(
    "a last row of totals, means or counts, by its word or without the name of a case",
    "no case: refused with its line; a look leaves it out, and says so",
)
def test_a_row_of_totals(ask: Asking, tmp_path: Path, last: str) -> None:
    frame = predictions().assign(image=[f"{at:03d}.png" for at in range(COUNT)])
    text = frame[["image", "patient", "target", "score"]].to_csv(index=False)
    (tmp_path / "p.csv").write_text(text + last + "\n")
    why = refused(ask, tmp_path / "p.csv")
    assert f"line {SUMMARIES[last]}: it seems to be no case but a summary of the table; take the line out" in why


@situation("a last row of totals in a table of images", "left out of a look, and refused elsewhere, with its line")
def test_totals_of_images(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": [0, 1] * 12}))
    path.write_text(path.read_text() + "12,Total\n")
    said = looked(ask, path)
    assert "24 images" in said
    assert "left out: 1 of 25 images, such as line 26: it seems to be no case but a summary" in said


@situation("a table joined of two, with the header again in the middle", "refused with the line that repeats it")
def test_a_second_header(ask: Asking, tmp_path: Path) -> None:
    lines = predictions().to_csv(index=False).splitlines()
    (tmp_path / "p.csv").write_text("\n".join([*lines[:60], lines[0], *lines[60:]]))
    assert "line 61: it repeats the header; take the line out" in refused(ask, tmp_path / "p.csv")


@situation(
    "a table in UTF-32, with the Control-Z of DOS at its end, or with the minus of Unicode before numbers",
    "read as what it is",
)
def test_rare_text(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    (tmp_path / "wide.csv").write_bytes(frame.to_csv(index=False).encode("utf-32"))
    (tmp_path / "dos.csv").write_text(frame.to_csv(index=False) + "\x1a")
    minus = frame.assign(score=np.round(np.log(frame["score"] / (1 - frame["score"])), 6))
    (tmp_path / "minus.csv").write_text(minus.to_csv(index=False).replace(",-", ",\u2212"))
    for name in ("wide", "dos", "minus"):
        _right(ask, tmp_path / f"{name}.csv", frame)


PACKED = {"p.csv.bz2": "packed with bzip2", "p.csv.xz": "packed with xz", "p.json": "JSON", "p.jsonl": "JSON"}


@pytest.mark.parametrize("name", PACKED)
@situation("predictions in .csv.bz2, .csv.xz, JSON or JSON lines", "refused by what they are, with what to write")
def test_no_csv(ask: Asking, tmp_path: Path, name: str) -> None:
    frame, path = predictions(), tmp_path / name
    if "json" in name:
        frame.to_json(path, orient="records", lines=name.endswith("l"))
    else:
        frame.to_csv(path, index=False)
    assert refused(ask, path).startswith(f"{name} is {PACKED[name]}; save the table as CSV (UTF-8)")


@pytest.mark.parametrize("name", ["labels.tsv", "labels.csv.gz", "labels.xlsx", "labels.json"])
@situation(
    "labels in .tsv, .csv.gz, .xlsx or .json beside images",
    "the folder is refused with the name of the table and what to write; a text table is read by its path",
)
def test_other_tables_in_a_folder(ask: Asking, tmp_path: Path, name: str) -> None:
    table = images(tmp_path / "set", pd.DataFrame({"target": [0, 1] * 12}))
    frame, other = pd.read_csv(table), table.with_name(name)
    table.unlink()
    if name.endswith((".tsv", ".gz")):
        frame.to_csv(other, index=False, sep="\t" if name.endswith("tsv") else ",")
        assert "24 images" in looked(ask, other)
    else:
        other.write_bytes(b"PK\x03\x04" if name.endswith("xlsx") else b"[{}]")
    assert f"holds {name}, and a table in a folder is read if it is called .csv" in ask("look", tmp_path / "set").err


@situation(
    "names 1.1 to 1.12 that a spreadsheet has shortened, so that 1.1 is there twice",
    "refused with the lines of the name",
)
def test_shortened_names(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": [0, 1] * 6}))
    for at in range(12):
        (tmp_path / "set" / f"{at:03d}.png").rename(tmp_path / "set" / f"1.{at + 1}.png")
    frame = pd.DataFrame({"image": [float(f"1.{at + 1}") for at in range(12)], "label": [0, 1] * 6})
    frame.to_csv(path, index=False)
    assert "'1.1' is in 2 lines of 'image' in data.csv (2, 11)" in ask("look", path).err


SEVERAL = [("label", "diagnosis"), ("target_label", "ground_truth"), ("dx_one", "dx_two")]


@pytest.mark.parametrize("names", SEVERAL)
@situation(
    "several columns named like a target that divide the rows otherwise, as `label` and `diagnosis`",
    "asked by name, for predictions and for images",
)
def test_several_targets(ask: Asking, tmp_path: Path, names: tuple[str, str]) -> None:
    first, second = names
    frame = predictions().rename(columns={"target": first})
    frame[second] = [at // 4 % 2 for at in range(len(frame))]
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert f"it may be {first} or {second}" in refused(ask, tmp_path / "p.csv")
    found = audited(ask, tmp_path / "p.csv", "--target", first)
    assert auroc(found) == pytest.approx(roc_auc_score(frame[first], frame["score"]), abs=1e-9)
    table = images(tmp_path / "set", frame[[first, second]])
    for command in ("look", "init"):
        answer = ask(command, table)
        assert answer.code == 2
        assert f"it has {first}, {second}" in answer.err


@pytest.mark.parametrize("other", ["finer", "same", "target", "compound"])
@situation(
    "`label` beside a finer `diagnosis`, the same in words, or `dx_type`; `target` beside another",
    "the surest name is taken, without a question",
)
def test_one_target(ask: Asking, tmp_path: Path, other: str) -> None:
    frame = predictions().rename(columns={"target": "target" if other == "target" else "label"})
    label = frame.iloc[:, 1]
    second = [at // 4 % 2 for at in range(len(frame))]
    finer = [f"{value}{more}" for value, more in zip(label, second, strict=True)]
    columns = {"finer": {"diagnosis": finer}, "same": {"diagnosis": label.map({0: "naevus", 1: "melanoma"})},
               "target": {"diagnosis": second}, "compound": {"dx_type": second}}  # fmt: skip
    frame.assign(**columns[other]).to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv")
    assert auroc(found) == pytest.approx(roc_auc_score(label, frame["score"]), abs=1e-9)


@situation(
    "scores from 0.05 to 0.93 in a column called risk_percent",
    "asked: percent or probabilities; both answers are read",
)
def test_percent_by_name(ask: Asking, tmp_path: Path) -> None:
    frame = predictions().rename(columns={"score": "risk_percent"})
    frame.to_csv(tmp_path / "p.csv", index=False)
    why = refused(ask, tmp_path / "p.csv")
    assert "'risk_percent' suggests percentages: give --scores percent, or --scores probabilities" in why
    right = roc_auc_score(frame["target"], frame["risk_percent"])
    for kind in ("percent", "probabilities"):
        assert auroc(audited(ask, tmp_path / "p.csv", "--scores", kind)) == pytest.approx(right, abs=1e-9)


@situation("`--threshold 0.5` for validated scores in percent", "refused: write it as the scores are, such as 50")
def test_a_threshold_of_per_cents(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame.assign(score=100 * frame["score"]).to_csv(tmp_path / "p.csv", index=False)
    options = ("--scores", "percent", "--out", "out")
    answer = ask("validate", tmp_path / "p.csv", "--threshold", "0.5", *options)
    assert answer.code == 2
    assert "in percent; write the threshold in percent, such as 50" in answer.err
    assert ask("validate", tmp_path / "p.csv", "--threshold", "50", *options).code == 0


@situation(
    "two files of scores in which the same images have other patients",
    "refused; patients of other names that divide the images alike are the same",
)
def test_patients_of_two_files(tmp_path: Path) -> None:
    frame = predictions().assign(image=[f"{at}.png" for at in range(120)])
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.assign(patient=[f"p{at // 3}" for at in range(120)]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="cases of one patient in a or b are of several in the other file"):
        assay.validate(tmp_path / "a.csv", other=tmp_path / "b.csv", out=tmp_path / "out")
    frame.assign(patient=frame["patient"].str.replace("p", "x-")).to_csv(tmp_path / "b.csv", index=False)
    tables = assay.validate(tmp_path / "a.csv", other=tmp_path / "b.csv", out=tmp_path / "out")
    assert {int(patients) for patients in tables["differences"]["patients"]} == {60}


@situation(
    "ages of 300 for over 89, as in MIMIC, or of 411, in a few rows", "a caution: such values usually mean unknown"
)
@situation("ages in months, or in a column named so, that go beyond 125", "no caution")
def test_ages_that_nobody_reaches(ask: Asking, tmp_path: Path) -> None:
    years = [20 + at % 60 for at in range(COUNT)]
    columns_of_age = {
        "age": ([300 if at % 20 == 0 else age for at, age in enumerate(years)], True),
        "Patient Age": ([411 if at == 7 else age for at, age in enumerate(years)], True),
        "age_months": ([300 if at % 20 == 0 else age for at, age in enumerate(years)], False),
        "ages": ([at * 2 for at in range(COUNT)], False),
        "alter": ([60 + at % 70 for at in range(COUNT)], False),
        "volume": ([300 if at % 20 == 0 else age for at, age in enumerate(years)], False),
    }
    for name, (cells, is_said) in columns_of_age.items():
        predictions(**{name: cells}).to_csv(tmp_path / "p.csv", index=False)
        said = ask("audit", tmp_path / "p.csv", "--columns", name, "--out", name).out
        assert ("may mean unknown" in said) == is_said, name
        assert f"'{max(cells)}' in {cells.count(max(cells))} row" in said or not is_said


_KILOGRAMS = np.random.default_rng(5).normal(75, 11, COUNT).round(1)


@pytest.mark.parametrize(
    ("name", "values", "factor", "words"),
    [
        ("age", np.random.default_rng(1).integers(30, 85, COUNT), 12, "months among years"),
        ("weight_kg", _KILOGRAMS, 2.2046, "lb among kg"),
        ("lesion_size", np.random.default_rng(2).lognormal(2.5, 0.3, COUNT).round(1), 0.1, "mm among cm"),
        ("height", np.random.default_rng(3).normal(170, 9, COUNT).round(), 1 / 2.54, "cm among inches"),
        ("tsh", np.random.default_rng(4).lognormal(1, 0.15, COUNT), 1000, "another unit"),
    ],
)
@situation(
    "numbers in two units in a column, as ages in years and months, kg and lb, mm and cm, or cm and inches",
    "a caution, with both groups and the units",
)
def test_two_units(ask: Asking, tmp_path: Path, name: str, values: np.ndarray, factor: float, words: str) -> None:
    mixed = np.where(np.arange(COUNT) % 4 == 0, values * factor, values)
    frame = predictions(**{name: mixed})
    frame.to_csv(tmp_path / "p.csv", index=False)
    less = [f"{COUNT // 4} from", f"{COUNT - COUNT // 4} from"][:: 1 if factor < 1 else -1]
    outputs = [
        looked(ask, images(tmp_path / "set", frame)),
        ask("audit", tmp_path / "p.csv", "--columns", name, "--out", "audited").out,
        ask("validate", tmp_path / "p.csv", "--groups", name, "--out", "validated").out,
    ]
    for said in outputs:
        line = next(line for line in said.splitlines() if line.startswith(f"caution: units: {name} has two groups"))
        assert f"as with {words}" in line
        assert [line.find(part) > 0 for part in less] == [True, True]
        assert "may mean unknown" not in said


def _ordinary(draw: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Return numbers of many distributions, in one unit each."""
    some = draw.random(rows) < 0.3
    return {
        "age": np.where(some, draw.uniform(1, 12, rows), draw.normal(60, 12, rows)).clip(0.1),
        "ages": draw.uniform(18, 95, rows).round(),
        "weight": np.where(some, draw.normal(20, 6, rows), draw.normal(72, 14, rows)).clip(3),
        "weight_kg": draw.normal(80, 18, rows).clip(35),
        "height": np.where(some, draw.normal(110, 20, rows), draw.normal(170, 9, rows)).clip(45),
        "diameter": draw.lognormal(2, 0.8, rows),
        "lesion_size": draw.lognormal(2, 1.6, rows),
        "thickness": draw.gamma(2, 3, rows) + 0.01,
        "volume": draw.lognormal(3, 2, rows),
        "area": draw.exponential(50, rows) + 0.01,
        "distance": draw.uniform(1, 100, rows),
        "length": 1 + draw.pareto(1.5, rows),
        "share": draw.beta(0.5, 0.5, rows) + 1e-3,
        "glucose": np.where(some, draw.normal(170, 40, rows), draw.normal(95, 12, rows)).clip(40),
        "temperature": draw.normal(37, 0.7, rows),
        "count": draw.poisson(4, rows) + 1.0,
        "exposure": np.exp(draw.uniform(0, 7, rows)),
        "depth": np.where(some, draw.normal(30, 3, rows), draw.normal(150, 15, rows)),
        "image_width": np.where(some, draw.integers(980, 1080, rows), draw.integers(2400, 2700, rows)),
        "short_axis_mm": np.where(some, draw.normal(15, 1.8, rows), draw.normal(6, 0.7, rows)),
    }


@situation("numbers of one unit: normal, uniform, skewed, or in groups as far apart as no two units", "no caution")
def test_one_unit(ask: Asking, tmp_path: Path) -> None:
    for seed in range(12):
        columns_of_numbers = _ordinary(np.random.default_rng(seed), COUNT)
        predictions(**columns_of_numbers).to_csv(tmp_path / "p.csv", index=False)
        said = ask("validate", tmp_path / "p.csv", "--groups", ",".join(columns_of_numbers), "--out", "validated")
        assert said.code == 0, said.err
        assert "units:" not in said.out, seed


@pytest.mark.parametrize("name", ["sample_weight", "weights", "weight"])
@situation("weights of cases in a table of scores, as `sample_weight`", "said: they are not used, and are no groups")
def test_weights_of_cases(ask: Asking, tmp_path: Path, name: str) -> None:
    predictions(**{name: [1.0, 2.5, 0.5, 4.0] * (COUNT // 4)}).to_csv(tmp_path / "p.csv", index=False)
    for command in ("validate", "audit"):
        said = ask(command, tmp_path / "p.csv", "--out", command).out
        assert f"columns left out: {name} (weights of cases, which are not used: each case counts once)" in said
        assert f"groups: {name}" not in said
    said = ask("validate", tmp_path / "p.csv", "--groups", name, "--out", "grouped").out
    assert f"groups: {name}" in said
    predictions(weight=_KILOGRAMS).to_csv(tmp_path / "p.csv", index=False)
    assert "weights of cases" not in ask("validate", tmp_path / "p.csv", "--out", "kilograms").out


@situation("sex as M, Male, F and female , or sides as L and left, in one column", "two levels, which is reported")
@situation("letters that are of neither sex nor side, as stages L and M beside `male`", "levels of their own")
@situation("water and fat of Dixon MRI as W and F, letters of women without any of men", "levels of their own")
def test_letters_of_sex_and_side(ask: Asking, tmp_path: Path) -> None:
    quarters = [at // 2 % 4 for at in range(COUNT)]
    sex, side, kind = (
        [words[quarter] for quarter in quarters]
        for words in (["M", "Male", "F", "female "], ["L", "R", "left", "right"], ["M", "male", "L", "N"])
    )
    frame = predictions(sex=sex, side=side, kind=kind, dixon=["WF"[quarter % 2] for quarter in quarters])
    frame["patient"] = range(COUNT)
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = ask("validate", tmp_path / "p.csv", "--out", "validated").out
    same = ["'F' and 'female'", "'M' and 'Male'", " in sex; ", "'L' and 'left'", "'R' and 'right'", " in side"]
    assert all(part in said for part in same)
    assert (" in kind" in said, " in dixon" in said) == (False, False)
    groups = assay.open_run("validated").table("subgroups")
    counts = groups.groupby("column")["group"].nunique()
    assert counts.to_dict() == {"sex": 2, "side": 2, "dixon": 2}
    said = looked(ask, images(tmp_path / "set", frame))
    assert all(part in said for part in same)


@situation("sex as 1 and 2 in some rows and F and M in others", "a caution: write all in one way")
@situation("grades such as 1, 2, 3 and X, stages 1, 2, X and is, or sites A, B and 1", "no caution")
def test_two_codings(ask: Asking, tmp_path: Path) -> None:
    columns_of_levels = {
        "sex": (["1", "2", "M", "F"], True),
        "grade": (["1", "2", "3", "X"], False),
        "site": (["A", "B", "1", "A"], False),
        "stage": (["I", "II", "III", "IV"], False),
        "T": (["1", "2", "X", "is"], False),
        "view": (["1", "2", "unknown", "3"], False),
    }
    for name, (levels, is_said) in columns_of_levels.items():
        frame = predictions(**{name: [levels[at // 2 % 4] for at in range(COUNT)]})
        frame.to_csv(tmp_path / "p.csv", index=False)
        said = ask("validate", tmp_path / "p.csv", "--out", name).out
        assert ("caution: two codings: " in said) == is_said, name


@situation("a part of a set, such as test, without an image of some class", "named in the line on the parts")
def test_classes_that_a_part_lacks(ask: Asking, tmp_path: Path) -> None:
    split = ["train" if at < COUNT // 2 else "test" for at in range(COUNT)]
    labels = [("ill", "well", "mild")[at % (3 if at < COUNT // 2 else 2)] for at in range(COUNT)]
    said = looked(ask, images(tmp_path / "set", pd.DataFrame({"label": labels, "split": split})))
    assert "train (60); no row of 'test' is 'mild'" in said
    whole = images(tmp_path / "whole", pd.DataFrame({"label": ["ill", "well"] * 60, "split": split}))
    said = ask("look", whole, "--out", "whole-look").out
    assert "train (60)" in said
    assert "no row of" not in said


@situation(
    "0 among weights, heights, BMI or glucose, as for missing ones, or among ages of adults",
    "a caution: such values usually mean unknown",
)
@situation(
    "true zeros, as of pack years, sizes of tumors, ages of children, weight loss, doses of insulin, heights of boxes "
    "and z scores of height",
    "no caution",
)
def test_zeros_for_missing(ask: Asking, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    zero = np.arange(COUNT) % 12 == 0
    ages, weights = draw.integers(20, 90, COUNT), draw.normal(75, 9, COUNT).round()
    frame = predictions(weight_kg=np.where(zero, 0, weights), age=np.where(zero, 0, ages))
    said = looked(ask, images(tmp_path / "set", frame))
    assert f"'0' in 10 rows of weight_kg, whose next number is {weights[~zero].min():g}" in said
    assert f"'0' in 10 rows of age, whose next number is {ages[~zero].min()}" in said
    frame = predictions(
        pack_years=np.where(zero, 0, ages), tumor_thickness=np.where(zero, 0, weights), age=ages - 20,
        weight_loss=np.where(zero, 0, weights), bbox_height=np.where(zero, 0, weights),
        insulin_dose=np.where(zero, 0, ages), thickness=np.where(zero, 0, weights),
        height_z=np.where(zero, 0, draw.normal(0, 1, COUNT).round(1)),
    )  # fmt: skip
    assert "may mean unknown" not in looked(ask, images(tmp_path / "other", frame), "--out", "again")


@situation(
    "numbers with a unit, as 70kg or 12.5 mm, or limits such as <5 in a tenth of a column and more",
    "a caution: they are read as levels",
)
@situation("codes such as 250.01, V45 and 12L beside 12R, stages such as T1a, and plain numbers", "no caution")
def test_numbers_with_units(ask: Asking, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    numbers = draw.gamma(2, 9, COUNT).round(1)
    frame = predictions(
        weight=[f"{at % 60 + 40}kg" for at in range(COUNT)],
        crp=[f"<{5}" if value < 12 else str(value) for value in numbers],
    )
    said = looked(ask, images(tmp_path / "set", frame))
    assert "numbers read as levels: weight has numbers with a unit or sign in 120 rows, such as '40kg'" in said
    assert f"crp has numbers with a unit or sign in {(numbers < 12).sum()} rows, such as '<5'" in said
    codes = [f"V{at % 20}" if at % 2 else f"{200 + at % 30}.0{at % 9}" for at in range(COUNT)]
    tooth = [f"{at // 2 % 20}{'LR'[at % 2]}" for at in range(COUNT)]
    frame = predictions(icd=codes, tooth=tooth, stage=[("T1", "T1a", "2m")[at % 3] for at in range(COUNT)], crp=numbers)
    assert "numbers read as levels" not in looked(ask, images(tmp_path / "other", frame), "--out", "again")


@situation(
    "a column of train and test with another name than `split`, such as `dataset`",
    "all rows are read, which is reported; a look names pictures in several parts",
)
def test_parts_by_their_values(ask: Asking, tmp_path: Path) -> None:
    parts = [("train", "train", "test")[at // 2 % 3] for at in range(COUNT)]
    frame = predictions(dataset=parts, group=["AB"[at // 60] for at in range(COUNT)])
    frame.to_csv("p.csv", index=False)
    read = "parts: all rows are read, of each value of dataset: test (40), train (80)"
    assert read in ask("validate", "p.csv", "--out", "out").out
    path = images(tmp_path / "set", frame)
    of_train, of_test = (path.parent / f"{parts.index(part):03d}.png" for part in ("train", "test"))
    of_test.write_bytes(of_train.read_bytes())
    said = looked(ask, path)
    assert read in said
    assert "several parts of 'dataset' have 1 picture in common" in said
