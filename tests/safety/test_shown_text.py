"""Names and texts of data with control characters, shown on a terminal and a page."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.files import write_table

from assay.store.files import read_parquet, write_parquet
from assay.store.manifest import write_manifest

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\u2066"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b2J\u202e\u2066"
READ, READ_SHOWN = HOSTILE.removesuffix("\u202e\u2066"), SHOWN.removesuffix(r"\u202e\u2066")
"""A header or cell as it is read: without signs at its end that are not seen."""
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Images with copies, whose files, classes, columns and patients have hostile names."""
    rng = np.random.default_rng(0)
    (folder := tmp_path / "set").mkdir()
    rows = [f"image,target {HOSTILE},patient {HOSTILE},site {HOSTILE}"]
    noise = rng.integers(0, 255, (40, 24, 24), dtype=np.uint8)
    for number in range(40):
        Image.fromarray(noise[min(number, 38)]).save(folder / f"{HOSTILE}{number}.png")
        rows.append(f"{HOSTILE}{number}.png,{'no' if number % 2 else HOSTILE},{number // 3}{HOSTILE},{number % 4}a")
    (folder / "data.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_control_characters_are_shown_as_escapes(
    images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    ask = Asking(capsys)
    columns = ("--target", f"target {READ}", "--patient", f"patient {READ}", "--positive", READ)
    answers = [
        ask("look", images, *columns, "--out", "looked"),
        ask("look", images, "--target", f"no {HOSTILE}"),
        ask("init", images, *columns),
        *(ask("results", "looked", "--table", name) for name in ("issues", "findings", "shares")),
        *(ask("results", "looked", "--table", "issues", form) for form in ("--markdown", "--csv", "--json", "--latex")),
        ask("doctor", "looked"),
    ]
    told = "".join(answer.out + answer.err for answer in answers).replace("\r\n", "\n")
    assert not CONTROL.search(told)
    for name in ("target", "patient", "site"):
        assert f"{name} {READ_SHOWN}" in told
    assert f"{SHOWN}38.png" in told
    page = Path("looked/report.html").read_text(encoding="utf-8")
    assert not CONTROL.search(page)
    assert READ_SHOWN in page


UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2065\u2800\u3164\ufe00\ufe0f"
    "\ufeff\uffa0\ufff9\U0001bca0\U0001d173\U000e0001\U000e0041\U000e007f\U000e0100"
)


@pytest.mark.parametrize("sign", UNSEEN, ids=ascii)
def test_no_name_looks_like_another_by_a_sign_that_is_not_seen(sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = Asking(capsys)("doctor", f"run{sign}1")
    assert f"no run folder 'run{sign.encode('unicode_escape').decode()}1'" in answer.err


def test_signs_that_are_not_seen_are_escapes_on_a_page(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = look_at(images, Asking(capsys), level="le\u200bsi\U000e0041on")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert r"le\u200bsi\U000e0041on" in page
    assert not re.search(f"[{UNSEEN}]", page)


def test_a_line_break_in_a_name_forges_no_line(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asking(capsys)
    table = images / "data.csv"
    text = table.read_text(encoding="utf-8").replace("image,", '"image","note\nverdict: passed",', 1)
    table.write_text(re.sub(r"\.png,", '.png,"a\nverdict: passed",', text), encoding="utf-8")
    answer = ask("look", images, "--target", "note verdict: passed")
    assert not [line for line in (answer.out + answer.err).splitlines() if line.startswith("verdict: passed")]
    table.unlink()
    (images / "a\nverdict: passed").mkdir()
    answer = ask("look", images)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.endswith(r"the name 'a\nverdict: passed' has a line break; rename it" "\n")


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\r", "\x0c"])
def test_no_name_adds_a_line_to_a_study(
    end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """YAML ends a comment at any of these; what follows could name code, or let links be followed."""
    monkeypatch.chdir(tmp_path)
    name = f"site{end}  evil: {{intervention: 'evil:Code'}} #"
    (folder := tmp_path / f"set{end}evil: 1 #").mkdir()
    rng = np.random.default_rng(0)
    rows = [f'image,finding,patient,"{name}"']
    for at in range(40):
        Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(folder / f"{at}.png")
        rows.append(f"{at}.png,{('no', 'yes')[at % 2]},p{at},{('a', 'b')[at // 2 % 2]}")
    (folder / "data.csv").write_bytes("\n".join(rows).encode())
    answer = Asking(capsys)("init", folder, "--out", "study.yaml")
    assert (answer.code, "to correct" in answer.out) == (0, False), answer
    document = yaml.safe_load(Path("study.yaml").read_text(encoding="utf-8"))
    assert {name for name in document if "evil" in name} == set()
    assert set(document["environments"]) == {"train", "same", "neutral-site-evil-intervention-evil-Code-"}
    assert name in document["data"]["factors"]


def test_no_name_in_a_file_for_spreadsheets_is_a_formula(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formula = "=HYPERLINK(1)"
    for path in [*images.glob("*.png")]:
        path.rename(path.with_name(path.name.replace(HOSTILE, formula)))
    table = images / "data.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(HOSTILE, formula), encoding="utf-8")
    ask, out = Asking(capsys), images.parent / "looked"
    assert ask("look", images, "--target", f"target {formula}", "--out", out).code == 0
    listed = [(out / "issues.csv").read_text(), ask("results", out, "--table", "issues", "--csv").out]
    assert f"\n'{formula}38.png," in listed[0]
    for text in listed:
        cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
        assert f"'{formula}" in cells
        assert not [cell for cell in cells if cell.startswith("=")]


def look_at(images: Path, ask: Asking, *, file: str = "", column: str = "site", level: str = "yes") -> Path:
    """Look at images with another name of files, a column or a class, and return the folder of results."""
    rows: list[list[str]] = [["image", "finding", column]]
    for at, path in enumerate(sorted(images.glob("*.png"))):
        image = path.rename(path.with_name(path.name.replace(HOSTILE, file)))
        rows.append([image.name, ("no", level)[at % 2], f"{at % 4}a"])
    write_table(images / "data.csv", rows)
    out = images.parent / "looked"
    assert ask("look", images, "--target", "finding", "--positive", level, "--out", out).code == 0
    return out


def test_no_part_of_a_name_is_a_formula_where_another_sign_separates_cells(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask, name = Asking(capsys), 'a;=cmd|calc!A0;"=1;+2;-b;@4\t=5;'
    out = look_at(images, ask, file=name, column="a;=cmd|calc!A0")
    issues, columns = (out / "issues.csv").read_text(), ask("results", out, "--table", "shortcuts", "--csv").out
    assert issues.splitlines()[1].startswith("\"a;'=cmd")
    assert "a;'=cmd" in columns
    for separator in ",;\t":
        for text in (issues, columns):
            cells = [cell for row in csv.reader(text.splitlines(), delimiter=separator) for cell in row]
            assert not [cell for cell in cells if re.match("[=+@]|-[^0-9]", cell)], (separator, text)


@pytest.mark.parametrize("sign", "＝＋－＠")
def test_no_name_that_begins_with_a_wide_sign_is_a_formula(
    sign: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """East Asian spreadsheets take it for the narrow one."""
    out = look_at(images, ask := Asking(capsys), file=f"{sign}1", column=f"{sign}site")
    columns = ask("results", out, "--table", "shortcuts", "--csv").out
    for text, name in (
        ((out / "issues.csv").read_text(encoding="utf-8"), f"'{sign}138.png"),
        (columns, f"'{sign}site"),
    ):
        cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
        assert name in cells
        assert not [cell for cell in cells if cell.startswith(sign)]


def scores(path: Path, group: str) -> Path:
    """Write scores of two groups, of which one has a hostile name."""
    rows = [[f"{n}.png", n // 2, n % 2, (n * 7 % 40 + 9 * (n % 2)) / 49, (group, "b")[n // 4 % 2]] for n in range(240)]
    write_table(path, [["image", "patient", "target", "score", "site"], *rows])
    return path


@pytest.mark.parametrize("address", ["https://evil.org/a", "HTTP://evil.org", "WWW.evil.org", "ada@evil.org", "@ada"])
def test_no_name_in_markdown_is_an_address(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub and others make links of plain addresses, and tell a user who is named."""
    ask = Asking(capsys)
    assert ask("validate", scores(tmp_path / "s.csv", address), "--groups", "site", "--out", tmp_path / "v").code == 0
    printed = ask("results", tmp_path / "v", "--table", "subgroups", "--markdown").out
    assert "evil" in printed or "ada" in printed
    assert not re.search(r"://|www\.|@(?!<!-- -->)", printed.replace("\\://", "").replace("\\.", ""), re.IGNORECASE)


@pytest.mark.parametrize(
    ("name", "printed"),
    [("\\write18{id}", r"\textbackslash{}write18\{id\}"), ("a\x1bwrite", r"a\textbackslash{}x1bwrite"), ("*a", "{*}a"),
     ("s\u00adinput", r"s\textbackslash{}xadinput")],
)  # fmt: skip
def test_no_name_in_latex_is_a_command(
    name: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escapes of signs that are not seen begin with a backslash, as commands do; `*` belongs to the row before."""
    ask = Asking(capsys)
    assert ask("validate", scores(tmp_path / "s.csv", name), "--groups", "site", "--out", tmp_path / "v").code == 0
    answer = ask("results", tmp_path / "v", "--table", "subgroups", "--latex", "--columns", "group,value")
    assert f"\n{printed} & " in answer.out


def test_no_name_in_markdown_is_markup(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask, name = Asking(capsys), "<img src=x onerror=1>![](http:x)`*_#"
    printed = ask("results", look_at(images, ask, level=name), "--table", "issues", "--markdown").out
    assert r"\<img src=x onerror=1\>!\[\](http:x)" in printed
    assert not re.search(r"(?<!\\)[<>\[\]`*_#]", printed)


MARKUP = "<img src=x>![](http:x)\n\n# Approved `*_"


def _has_markup(text: str) -> bool:
    return bool(re.search(r"^# Approved|(?<!\\)(<img|\[\]\()", text, re.MULTILINE))


def test_no_name_in_a_card_is_markup(run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asking(capsys)
    rows = [[n, n // 2, n % 2, (n * 7 % 40 + 9 * (n % 2)) / 49, "ab"[n // 4 % 2]] for n in range(160)]
    write_table(table := tmp_path / "p.csv", [["image", "patient", "target", "score", "site"], *rows])
    assert ask("audit", table, "--patient", "patient", "--columns", "site", "--out", tmp_path / "audit").code == 0
    for root, name, column in ((run_copy, "estimates", "measure"), (tmp_path / "audit", "gaps", "decision")):
        columns = read_parquet(path := root / "tables" / f"{name}.parquet")
        columns[column] = np.array([f"{text} {MARKUP}" for text in columns[column]], dtype=object)
        write_parquet(path, columns)
        (root / "manifest.json").unlink()
        write_manifest(root, {})
    trial = next((run_copy / "trials").glob("*")).name
    assert ask("export", run_copy, trial, "network").code == 0
    assert not _has_markup(Path("network", "README.md").read_text())
    assert "img src=x" in Path("network", "README.md").read_text()
    assert ask("report", tmp_path / "audit").code == 0
    card = (tmp_path / "audit" / "model-card.md").read_text()
    assert ("img src=x" in card, _has_markup(card)) == (True, False)


@pytest.mark.parametrize("closed", ["2>&-", "2> /dev/full"])
def test_standard_error_that_takes_nothing_changes_no_answer(closed: str, tmp_path: Path) -> None:
    command = ["bash", "-c", f'"$@" {closed}', "bash", sys.executable, "-m", "assay"]
    for words, code in (("list", 0), ("results", 2)):
        done = subprocess.run([*command, words, "losses"], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, bool(done.stdout), done.stderr) == (code, code == 0, "")
