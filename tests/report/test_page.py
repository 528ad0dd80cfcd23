"""The page of a made-up study: whole, self-contained, escaped, and the same every time."""

from __future__ import annotations

import base64
import csv
import gzip
import html
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from PIL import Image
from tests.cases import first_of
from tests.report.reading import page_of, require_links
from tests.worlds.tables import StudyTables, make_run

from assay.plugin import Code, Reason, RunFolder, StoreError
from assay.report.context import PageContext, RunTables
from assay.report.glossary import GLOSSARY
from assay.report.page import write_page
from assay.report.sentences.reasons import reason_words
from assay.stats.doubts import study_findings
from assay.stats.findings import Finding, finding_row, parse_finding
from assay.store import schema
from assay.study.kind import STUDY
from assay.study.words import opening

NASTY = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_page(run).read_text(encoding="utf-8")


class ImageProperties(HTMLParser):
    """What a browser would make of a page: its tags, the names of its attributes, the sources of its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name == "src"]


def files(page: str) -> dict[str, bytes]:
    """Name -> content of every download."""
    found: dict[str, bytes] = {}
    for uri, name in re.findall(r'href="(data:[^"]+)" download="([^"]+)"', page):
        head, _, body = html.unescape(uri).partition(",")
        content = base64.b64decode(body) if head.endswith("base64") else unquote(body).encode()
        found[name] = gzip.decompress(content) if name.endswith(".gz") else content
    return found


def test_it_stands_by_itself(page: str) -> None:
    addresses = re.findall(r'(?:src|href|action|srcset|poster)="(?!data:|#)([^"]*)"', page)
    assert addresses == []
    bare = re.sub(r'"data:[^"]*"', "", page)
    assert not re.findall(r"url\(|@import|https?:|//[a-z0-9-]+\.[a-z]", bare.replace("http://www.w3.org/2000/svg", ""))
    assert "<script src" not in page
    assert "<link" not in page
    assert "default-src 'none'; img-src data:;" in page[: page.index("<title>")]  # nor would a browser fetch anything


def test_writing_twice_gives_the_same_bytes(run: Path, page: str) -> None:
    assert write_page(run).read_text(encoding="utf-8") == page


def test_every_table_is_there_and_whole(run: Path, page: str) -> None:
    carried = files(page)
    for name in ("trials", "seeds", "estimates", "contrasts", "environments", "findings", "provenance"):
        content = carried.get(f"{name}.csv") or carried[f"{name}.csv.gz"]
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        stored = RunFolder(run).table(name)
        assert list(rows[0]) == schema.TABLES[name].spread(stored)[0]
        assert len(rows) == len(stored)
    for part in (
        "contrasts",
        "performance",
        "measures",
        "worst",
        "reliance-table",
        "decodability-table",
        "trials",
        "reasons",
        "environments",
        "provenance",
    ):
        assert f'id="{part}"' in page


def test_every_link_leads_somewhere_and_no_id_occurs_twice(page: str) -> None:
    require_links(page)


def test_a_number_of_the_first_screen_leads_to_the_cell_that_holds_it(page: str) -> None:
    cited = re.findall(r'<a href="#(row-[^"]+)">([^<]+)</a>', page)
    assert len(cited) >= 1
    for anchor, numbers in cited:
        assert re.search(rf'<td id="{anchor}"[^>]*>{re.escape(numbers)}</td>', page)


def test_that_nothing_was_learned_is_the_first_chip(run: Path) -> None:
    tables = {**RunTables(run)}
    passed = [{**tables["contrasts"][0], "role": "positive-control", "decision": "detected"}] * 4
    small = Reason.of(Code.SMALL_GROUPS_OF, count=2, least=10, names=("F, ill", "M, ill"))
    found = [Finding("caution", one.codes[0].light, one) for one in (small, Reason.of(Code.ALL_AT_CHANCE, dosed=""))]
    chips = opening(run, PageContext({**tables, "contrasts": [*passed, *tables["contrasts"]]}, run, STUDY), found).chips
    assert chips[0].text == "no recipe above chance: train longer"


def test_labels_of_the_study_file_are_the_names_on_the_page(run: Path, page: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "labelled"))
    labels = {"supcon": "supervised contrastive", "reversed": "texture the other way"}
    rows = [
        {**row, "value": json.dumps({**json.loads(row["value"]), "labels": labels})} if row["key"] == "spec" else row
        for row in RunFolder(copy).table("provenance")
    ]
    RunFolder(copy).write_table("provenance", schema.PROVENANCE.names, rows)
    said = write_page(copy).read_text(encoding="utf-8")
    for name in labels.values():
        assert name not in page
        assert said.count(name) > 3


def test_no_table_has_more_columns_than_the_page_takes(page: str) -> None:
    tables = re.findall(r"<thead><tr>(.*?)</tr>", page)
    assert len(tables) > 8
    assert max(table.count("<th ") for table in tables) <= 8


def test_no_name_of_a_column_stands_where_words_should(tmp_path: Path) -> None:
    """Factors and axes whose names have underscores, in titles, heads, captions, and rows."""
    root = make_run(tmp_path, StudyTables(more=(("batch_size", ("32", "64")),)))
    folder = RunFolder(root)
    for table in ("estimates", "environments", "pictures"):
        rows = folder.table(table)
        renamed = [
            {
                **row,
                "factor": {"vessel attachment": "vessel_kind", "texture": "lung_texture"}.get(
                    row["factor"], row["factor"]
                ),
            }
            for row in rows
        ]
        folder.write_table(table, schema.TABLES[table].names, renamed)
    page = write_page(root).read_text(encoding="utf-8")
    seen = re.sub(r'"data:[^"]*"|<(style|script|pre)\b.*?</\1>|</?a\b[^>]*>', "", page, flags=re.DOTALL)
    assert "batch size 32" in seen
    assert "lung texture" in seen
    columns = {name for table in (schema.CONTRASTS, schema.ESTIMATES, schema.COLLAPSES) for name in table.names}
    of_ours = {"vessel_kind", "lung_texture", "batch_size", *columns}
    statements = {reason_words(parse_finding(row).reason) for row in folder.table("findings")}
    for text in statements:  # these are made by the statistics
        seen = seen.replace(html.escape(text), "").replace(text, "")
    assert {name for name in of_ours if "_" in name and re.search(rf"\b{name}\b", seen)} == set()


def test_what_went_wrong_is_shown(run: Path, page: str) -> None:
    text, folder = html.unescape(page), RunFolder(run)
    rows = [row for table in ("trials", "estimates", "contrasts") for row in folder.table(table)]
    reasons = {reason_words(row["reason"]).splitlines()[-1] for row in rows if row["reason"] and not row.get("group")}
    facts = {row["key"]: row["value"] for row in folder.table("provenance")}
    assert len(reasons) >= 4
    assert [words for words in reasons if words not in text] == []
    for words in (facts["rows left out"], facts["known faults"]):
        assert words in text


def test_every_drawing_can_be_opened_by_itself(page: str) -> None:
    drawings = {name: content for name, content in files(page).items() if name.endswith(".svg")}
    assert {"performance.svg", "budgets.svg", "decodability.svg", "contrasts.svg"} <= set(drawings)
    for content in drawings.values():
        root = ElementTree.fromstring(content)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert b"var(" not in content


def test_every_figure_is_told_in_words(page: str) -> None:
    drawings = re.findall(r'<svg class="(?:wide|narrow|logits|size)" role="img" aria-label="([^"]+)"', page)
    assert len(drawings) == page.count("<svg ")
    assert any("reversed: " in words and "cross-entropy 0." in words for words in drawings)


def test_the_text_as_markdown_says_the_same(page: str) -> None:
    words = files(page)["nodule-loss.md"].decode()
    assert words.startswith("# Which feature does each loss")
    assert "## Can it be trusted?" in words
    assert "| comparison | decision | difference |" in words


def test_text_from_data_is_escaped_everywhere(tmp_path: Path) -> None:
    losses = ("cross-entropy", NASTY, '"><img src=x onerror=alert(1)>')
    made = StudyTables(losses=losses, budgets=("10",), seeds=3, question=NASTY, environments=("same", "reversed"))
    root = make_run(tmp_path, made)
    folder = RunFolder(root)
    trials = [{**row, "reason": NASTY} for row in folder.table("trials")]
    folder.write_table("trials", schema.TRIALS.names, trials)
    page = write_page(root).read_text(encoding="utf-8")
    seen = ImageProperties()
    seen.feed(page)
    assert seen.tags.count("script") == 1
    assert {name for name in seen.attributes if name.startswith("on")} == set()
    assert all(source.startswith("data:image/png;base64,") for source in seen.sources)
    words = files(page)["nodule-loss.md"].decode()
    assert "<script" not in words.replace("\\<", "")
    for name, content in files(page).items():
        if name.endswith(".svg"):
            ElementTree.fromstring(content)


def test_formulas_are_harmless_in_files(tmp_path: Path) -> None:
    root = make_run(tmp_path, StudyTables(budgets=("10",), seeds=3, pictures=False, probes=()))
    folder = RunFolder(root)
    for start in ("=", "+", "-", "@"):
        trials = [{**row, "reason": f"{start}cmd|' /C calc'!A0"} for row in folder.table("trials")]
        folder.write_table("trials", schema.TRIALS.names, trials)
        rows = list(csv.DictReader(io.StringIO(files(write_page(root).read_text())["trials.csv"].decode())))
        assert {row["reason"][:2] for row in rows} == {"'" + start}


@pytest.mark.parametrize(
    ("made", "words"),
    first_of(
        [
            (StudyTables(contrasts=False, seeds=3), "No comparison was pre-specified"),
            (StudyTables(probes=(), contrasts=False), "No comparison was pre-specified"),
            (StudyTables(all_failed=True, contrasts=False), "75 failed, of 75 training runs"),
            (StudyTables(all_failed=True, contrasts=False), "<h1>No result: 75 of 75 training runs failed.</h1>"),
            (StudyTables(all_failed=True, contrasts=False), "were to be trained to predict"),
            (StudyTables(seeds=1), "there are no intervals"),
            (StudyTables(probes=("attribution",), contrasts=False), "What models attend to"),
            (StudyTables(probes=("reliance",), classes=("mild", "severe"), contrasts=False), "margin, severe"),
            (
                StudyTables(losses=tuple(f"loss {i}" for i in range(40)), budgets=("10",), seeds=3),
                "; the table has all.",
            ),
            (StudyTables(losses=("交叉エントロピー", "Größe", "потеря"), budgets=("10",)), "交叉エントロピー"),
        ],
        4,
    ),
    ids=[
        "no contrasts",
        "no probes",
        "all failed",
        "no results",
        "none trained",
        "one seed",
        "attribution alone",
        "several classes",
        "forty recipes",
        "unicode",
    ],
)
def test_it_can_be_made_of_any_study(tmp_path: Path, made: StudyTables, words: str) -> None:
    page = page_of(tmp_path, made)
    assert words in html.unescape(page)
    require_links(page)
    assert len(page.encode()) < 5_000_000


def test_small_intervals_share_an_axis_in_the_head_of_their_column(tmp_path: Path) -> None:
    """Differences in mm have an axis of their own, which no head can have for all."""
    folder = RunFolder(make_run(tmp_path, StudyTables()))
    page = write_page(folder.root).read_text()
    charts = re.findall(r'<svg class="size".*?</svg>', page)
    zeros = {zero for chart in charts[1:] for zero in re.findall(r'd="M([\d.]+) 0L\1 22"', chart)}
    assert len(charts) > 2
    assert len(zeros) == 1
    assert f'd="M{zeros.pop()} 17L' in charts[0]
    assert ">0</text>" in charts[0]
    assert re.search(r'class="size">Size: difference in AUROC<svg', page), "the axis names what it shows"
    rows = [{**row, "measure": "hd95"} if at == 0 else row for at, row in enumerate(folder.table("contrasts"))]
    folder.write_table("contrasts", schema.CONTRASTS.names, rows)
    assert "Size (a scale for each measure)</th>" in write_page(folder.root).read_text()


def test_a_contact_sheet_that_two_environments_share_is_shown_once(tmp_path: Path) -> None:
    folder = RunFolder(make_run(tmp_path, StudyTables(environments=("same", "neutral"))))
    sheets = [row for row in folder.table("pictures") if row["kind"] == "sheet"]
    contact = r'<figure class="picture">'
    counts: list[tuple[int, int]] = []
    for grays in ((60, 90), (60, 60)):
        for gray, row in zip(grays, sheets, strict=False):
            file = folder.root / "pictures" / row["file"]
            Image.new("L", Image.open(file).size, gray).save(file)
        page = write_page(folder.root).read_text()
        counts.append((len(re.findall(contact, page)), page.count("begins with the same images.")))
    (apart, none), (shared, one) = counts
    assert (shared, one - none) == (apart - 1, 1)


def test_methods_name_the_correction_and_call_a_margin_fixed_beforehand_where_the_study_is_registered(
    run: Path, tmp_path: Path
) -> None:
    folder = RunFolder(shutil.copytree(run, tmp_path / "run"))
    registered = {"scope": "study", "key": "registered", "value": "2026-01-01T00:00:00+00:00"}
    hashed = registered | {"key": "hash of the registration", "value": "0" * 64}
    said: list[str] = []
    for corrections, more in ((("holm",), []), (("holm", "fixed-order"), [registered, hashed])):
        rows = [
            {**row, "correction": corrections[at % len(corrections)], "equivalence_p": 0.01}
            for at, row in enumerate(folder.table("contrasts"))
        ]
        folder.write_table("contrasts", schema.CONTRASTS.names, rows)
        folder.write_table("provenance", schema.PROVENANCE.names, [*folder.table("provenance"), *more])
        page = html.unescape(write_page(folder.root).read_text(encoding="utf-8"))
        said += re.findall(r'id="paper-methods"[^>]*>(.*?)</pre>', page, re.S)
    assert "corrected by Holm's method within each family" in said[0]
    assert "corrected by Holm's method or tested in a fixed order within each family" in said[1]
    assert "against a margin." in said[0]
    assert "against a margin fixed before the study ran." in said[1]


def test_no_line_is_broken_within_an_interval(tmp_path: Path) -> None:
    page = page_of(tmp_path, StudyTables())
    shown = re.sub(r"<(script|style|pre|svg)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert re.search("\\d\xa0\\[0\\.\\d+,\xa00", shown)
    assert not re.search(r"\d \[-?[\d.]+, |\[-?[\d.]+, -?[\d.]+\]|\bp < 0", shown)
    assert "\xa0" not in "".join(re.findall(r"<pre\b.*?</pre>", page, flags=re.DOTALL))


def test_a_page_says_that_training_runs_collapsed(tmp_path: Path) -> None:
    """Where most did, the headline begins with it, and no value is no result; the text for a paper always has it."""
    folder = RunFolder(
        make_run(tmp_path, StudyTables(losses=("cross-entropy",), budgets=("10",), seeds=18, contrasts=False))
    )
    headline = "AUROC was 0.98 [0.96, 1.01] with texture as in training."
    gone = "16 of 18 training runs collapsed."
    most, none = f"<h1>{gone} {headline}</h1>", f"<h1>No result: {gone}</h1>"
    for lost, estimates, answer in ((6, 1, f'<p class="more">{headline}</p>'), (16, 1, most), (16, 0, none)):
        folder.write_table("estimates", schema.ESTIMATES.names, folder.table("estimates") if estimates else [])
        trials = [
            {**row, "status": "collapsed" if at < lost else "done"} for at, row in enumerate(folder.table("trials"))
        ]
        folder.write_table("trials", schema.TRIALS.names, trials)
        findings = study_findings([], folder.table("estimates"), trials, [])
        folder.write_table("findings", schema.FINDINGS.names, list(map(finding_row, findings)))
        page = html.unescape(write_page(folder.root).read_text()).replace("\xa0", " ")
        assert answer in page
        methods = re.findall(r'id="paper-methods"[^>]*>(.*?)</pre>', page)[0]
        assert f"{lost} training runs collapsed (cross-entropy): {lost} of 18 seeds left out of means." in methods


def test_a_missing_table_and_a_damaged_picture_are_named(run: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(run, tmp_path / "broken"))
    (broken / "pictures" / "sheet-same.png").write_bytes(b"no picture")
    with pytest.raises(StoreError, match=r"cannot read .*sheet-same\.png: "):
        write_page(broken)
    (broken / "tables" / "findings.parquet").unlink()
    with pytest.raises(StoreError, match="no table 'findings': run the study"):
        write_page(broken)


@pytest.mark.parametrize(
    ("format", "side", "reason"), [("EPS", 8, "cannot identify"), ("PNG", 8200, "it is 8200 x 8200 px")]
)
def test_a_picture_is_a_png_of_a_bounded_size(format: str, side: int, reason: str, run: Path, tmp_path: Path) -> None:
    """Other formats start programs, and a run folder may come from somebody else."""
    broken = Path(shutil.copytree(run, tmp_path / "broken"))
    Image.new("L", (side, side)).save(broken / "pictures" / "sheet-same.png", format)
    with pytest.raises(StoreError, match=rf"cannot read .*sheet-same\.png: {reason}"):
        write_page(broken)


def test_pictures_that_are_too_large_together_are_refused(run: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(run, tmp_path / "broken"))
    rows = [row | {"scale": 1} for row in RunFolder(broken).table("pictures")]
    RunFolder(broken).write_table("pictures", schema.PICTURES.names, rows)
    for file in sorted({row["file"] for row in rows})[:2]:
        Image.new("L", (1000, 40_000)).save(broken / "pictures" / str(file))
    with pytest.raises(StoreError, match="pictures are too large together"):
        write_page(broken)


def test_intervals_are_called_over_images_where_patients_are_not_named(run: Path, page: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "unnamed"))
    for table in ("estimates", "contrasts", "environments"):
        none = {"patients": 0, "paired_patients": 0}
        rows = [{name: none.get(name, value) for name, value in row.items()} for row in RunFolder(copy).table(table)]
        RunFolder(copy).write_table(table, schema.TABLES[table].names, rows)
    facts = [*RunFolder(copy).table("provenance"), {"key": "intervals over", "value": "images"}]
    RunFolder(copy).write_table("provenance", schema.PROVENANCE.names, facts)
    write_page(copy)
    said = (copy / "report.html").read_text(encoding="utf-8")
    assert "intervals are over images" in said
    assert "crossed images and seeds" in said
    assert "1,000 images." in said
    assert "1,000 patients" not in said
    assert "intervals are over images" not in page


def test_a_group_far_below_all_images_is_on_the_first_screen(run: Path, page: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "grouped"))
    rows = RunFolder(copy).table("estimates")
    worst = next(row for row in rows if row["group"] == "worst group" and row["environment"] == "same")
    whole = next(
        row
        for row in rows
        if not row["group"]
        and row["measure"] == "auroc"
        and not row["factor"]
        and (row["recipe"], row["environment"]) == (worst["recipe"], "same")
    )
    rows.append({**worst, "id": "grouped", "measure": "auroc", "value": 0.54, "low": 0.05, "high": 1.0})
    RunFolder(copy).write_table("estimates", schema.ESTIMATES.names, rows)
    said = html.unescape(write_page(copy).read_text(encoding="utf-8")).replace("\xa0", " ")
    require_links(said)
    first = said[: said.index('id="performance"')]
    assert f"AUROC 0.54 [0.05, 1.00], all images {whole['value']:.2f}" in first
    assert "Worst group (texture part-solid benign, texture as in training, cross-entropy, 10 epochs)" in first
    assert "Worst group (" not in page, "all others are near"


def test_texts_for_a_paper_say_what_was_done_and_found_and_how_to_cite(page: str) -> None:
    texts = {id: html.unescape(text) for id, text in re.findall(r'<pre id="paper-(\w+)"[^>]*>(.*?)</pre>', page, re.S)}
    question, verdict = re.findall(r'<p class="question">(.*?)</p>\s*<h1>(.*?)</h1>', page)[0]
    assert question
    assert "were trained to predict" in texts["methods"]
    assert "confidence intervals over patients and seeds" in texts["methods"]
    assert texts["results"].startswith(html.unescape(verdict))
    assert texts["bibtex"].startswith("@software{assay,")
    assert texts["bibtex"].count("{") == texts["bibtex"].count("}")
    assert all(f'data-copy="paper-{id}"' in page for id in texts)


def test_terms_are_explained_where_they_are_first_used(page: str) -> None:
    parts = re.findall(r'<details class="terms"><summary>Words used here: (.*?)</summary><dl>(.*?)</dl>', page)
    explained = [html.unescape(term) for _, inside in parts for term in re.findall(r"<dt>(.*?)</dt>", inside)]
    assert len(parts) >= 3
    assert len(explained) == len(set(explained)) >= 10
    assert set(explained) <= set(GLOSSARY)
    assert {"AUROC", "Environment", "Flip rate"} <= set(explained)
