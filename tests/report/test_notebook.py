"""Runs in notebooks: the verdict with two figures, and single figures as files."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from tests.worlds.studies import SMALL
from tests.worlds.tables import StudyTables, make_run

import assay
from assay.plugin import ExtraError, RunFolder, StoreError
from assay.report.notebook import chart, run_html
from assay.study.kind import STUDY

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    losses = ("cross-entropy", "<img src=x onerror=alert(1)>")
    return make_run(tmp_path_factory.mktemp("run"), StudyTables(losses=losses, seeds=3))


def drawings(html: str) -> list[ElementTree.Element]:
    """The drawings of a block, each parsed as XML of its own."""
    parts = html.split("<svg ")[1:]
    return [ElementTree.fromstring("<svg " + part.partition("</svg>")[0] + "</svg>") for part in parts]


def test_a_run_shows_its_verdict_and_two_figures_without_any_outside_request(run: Path) -> None:
    html = run_html(run)
    assert len(drawings(html)) == 2
    assert html.count("<tr>") >= 3, "the table of the first screen"
    assert "var(--" not in html
    assert "<img" not in html
    assert "<script" not in html
    assert "&lt;img src=x" in html
    assert "href=" not in html
    assert "src=" not in html.replace("&lt;img src=x", "")


def test_a_run_as_text_has_the_sentence_and_the_table_of_its_page(run: Path) -> None:
    lines = repr(assay.open_run(run)).splitlines()
    assert any(line.startswith("  result ") for line in lines)
    assert lines[-1].startswith("report: ")


def test_a_run_without_tables_says_so(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(STUDY, {})
    assert "No results yet." in run_html(tmp_path)


def test_a_study_shows_its_question_and_a_wrong_one_its_fault() -> None:
    study = assay.load({**SMALL, "question": "a < b?"})
    html = study._repr_html_()
    assert "a &lt; b?" in html
    assert "2 recipes × 3 seeds: 6 training runs" in html
    assert "loss: cross-entropy, supcon" in html
    assert "not on axis" in study.set("recipe.loss", ["focal"])._repr_html_()


def test_a_probed_model_shows_its_answer(run_copy: Path, tmp_path: Path) -> None:
    trial = next((run_copy / "trials").iterdir())
    probed = assay.probe(trial, SMALL["data"], out=tmp_path / "model", progress=False)
    html = probed._repr_html_()
    assert "AUROC is" in html
    assert len(drawings(html)) == 1
    assert probed.figure("auroc").title == "AUROC"
    with pytest.raises(StoreError, match="did you mean 'auroc'"):
        probed.figure("aurco")


def test_a_figure_shows_a_measure_in_every_environment(run: Path) -> None:
    made = chart(run, "auroc")
    (drawing,) = drawings(made._repr_html_())
    assert made._repr_svg_() == made.svg
    shown = {"".join(one.itertext()) for one in drawing.iter(f"{SVG}text")}
    assert "cross-entropy" in shown
    assert any(words.startswith("texture reversed") for words in shown)
    assert "AUROC" in made.title


def test_an_unknown_measure_is_answered_with_the_nearest_one_or_its_probe(run: Path) -> None:
    with pytest.raises(StoreError, match="unknown measure 'aurc': did you mean 'auroc'"):
        chart(run, "aurc")
    with pytest.raises(StoreError, match="has no dice: the probe segmentation measures it"):
        chart(run, "dice")


def test_a_figure_is_saved_as_svg_png_and_pdf(run: Path, tmp_path: Path) -> None:
    made = chart(run, "auroc")
    svg = ElementTree.fromstring(made.save(tmp_path / "new" / "a.svg").read_text(encoding="utf-8"))
    with Image.open(io.BytesIO(made.save(tmp_path / "a.png").read_bytes())) as image:
        assert image.size[0] == pytest.approx(2 * float(svg.attrib["width"]), abs=2)
        assert image.size[1] == pytest.approx(2 * float(svg.attrib["height"]), abs=2)
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20
    assert made.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(StoreError, match=r"ends in \.svg, \.png or \.pdf"):
        made.save(tmp_path / "a.gif")


def test_png_without_its_library_names_the_extra(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(ExtraError, match=r"assay-imaging\[figures\]"):
        chart(run, "auroc").save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
