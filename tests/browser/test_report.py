"""The page in Chromium: nothing is fetched, nothing overflows, everyone can read it.

Skipped where there is no Chromium; ASSAY_REQUIRE_BROWSER=1 makes that a failure.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from tests.look.test_look import planted_set
from tests.worlds.audits import audited, images, run, shortcut
from tests.worlds.studies import SMALL
from tests.worlds.tables import StudyTables, make_run

import assay
from assay.audit.labels import write_labels
from assay.plugin import Code, Reason, RunFolder
from assay.report.charts import draw_rows
from assay.report.drawing import ChartPanel, EstimateMark, Plot, styles_by_level
from assay.report.index_page import write_index
from assay.report.page import write_page
from assay.store.manifest import write_manifest
from assay.store.schema import TABLES

pytestmark = [pytest.mark.acceptance, pytest.mark.browser]

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(make_run(tmp_path_factory.mktemp("run"), StudyTables(budgets=("10", "20"))))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a page of every part, but few rows: axe looks at each."""
    made = StudyTables(
        losses=("cross-entropy", "supcon", "arcface"), budgets=("10",), seeds=3, environments=("same", "reversed")
    )
    return write_page(make_run(tmp_path_factory.mktemp("short"), made))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with the words of `make demo`: its question, recipes, test conditions, comparisons and a worst group."""
    spec = assay.load("nodule-loss", scale="quick").spec
    made = StudyTables(
        losses=tuple(dict.fromkeys(one.coordinates["loss"] for one in spec.points)),
        budgets=("20",),
        seeds=spec.seeds,
        environments=tuple(spec.points[0].tests),
        question=spec.question,
        more=(("texture", ("0.9", "0.8")),),
    )
    folder = RunFolder(make_run(tmp_path_factory.mktemp("demo") / "nodule-loss-quick", made))
    first = folder.table("contrasts")[0]
    decided = {"decision_low": -0.039, "decision_high": -0.002, "decision_p": 0.008}
    rows = [
        {
            **first,
            **decided,
            "id": f"c-{one.role}-{one.measure}",
            "role": one.role,
            "axis": one.axis,
            "a": a,
            "b": one.against,
            "measure": one.measure,
            "layer": one.layer,
            "environment": one.environment,
            "value": -0.02,
            "decision_level": 0.9 if decision == "equivalent" else 0.95,
            "where": json.dumps(dict(one.where)),
            "pooled": json.dumps(one.mean_over),
            "decision": decision,
            "detectable": 0.034,
            "seeds_needed": float("nan"),
            "exploratory": False,
            "reason": "",
        }
        for one, a, decision in zip(
            spec.contrasts,
            ("arcface", "triplet", "0.8", "1"),
            ("equivalent", "higher", "detected", "none detected"),
            strict=True,
        )
    ]
    folder.write_table("contrasts", TABLES["contrasts"].names, rows)
    known = {row["key"]: row["value"] for row in folder.table("provenance")} | {
        "spec": json.dumps(spec.model_dump(mode="json", exclude_defaults=True))
    }
    folder.write_table(
        "provenance", TABLES["provenance"].names, [{"key": key, "value": text} for key, text in known.items()]
    )
    rows = folder.table("estimates")
    worst = next(row for row in rows if row["group"] == "worst group" and row["environment"] == "same")
    place = str(Reason.of(Code.WORST_GROUP_PLACE, factor="texture", level="part-solid", target=""))
    rows.append({**worst, "id": "w", "measure": "auroc", "value": 0.5, "low": 0.4, "high": 0.6, "where": place})
    folder.write_table("estimates", TABLES["estimates"].names, rows)
    return write_page(folder.root)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    return audited(shortcut, images(folder / "set"), folder / "out").report()


DISTORTIONS = ("gaussian-blur", "motion-blur", "brightness", "contrast", "jpeg", "pixelate", "saturate")


@pytest.fixture(scope="module")
def harmful(audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit with more findings than the first screen has rows for: its own and those of seven distortions."""
    folder = RunFolder(shutil.copytree(audit.parent, tmp_path_factory.mktemp("harmful") / "out"))
    rows = folder.table("distorted")
    losses = {name: 0.4 - at / 30 for at, name in enumerate(DISTORTIONS)}
    sizes = {"decision": "beyond", "severity": 1, "flips": 0.3, "reason": ""}
    more = [
        {**rows[0], **sizes, "factor": name, "loss": loss, "loss_low": loss - 0.1, "loss_high": loss + 0.1}
        for name, loss in losses.items()
    ]
    folder.write_table("distorted", tuple(rows[0]), [*rows, *more])
    write_manifest(folder.root, {})
    return write_page(folder.root)


@pytest.fixture(scope="module")
def labels(audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all labels, one of which could not be audited."""
    page, found = (
        tmp_path_factory.mktemp("labels") / "report.html",
        "Depends on a bright mark in the upper right corner",
    )
    row = {"auroc": 0.95, "value": 1.9, "value_low": 1.7, "limit": 0.9, "p": 1e-4, "reason": ""}
    bare = {**dict.fromkeys(row, float("nan")), "reason": "nothing is decided with fewer than 20 images of a class"}
    write_labels(
        [
            {**row, "label": "finding", "verdict": "relies-on-region", "found": found, "folder": str(audit.parent)},
            {**bare, "label": "rare", "verdict": "not-tested", "found": "", "folder": ""},
        ],
        page,
    )
    return page


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look")
    planted_set(folder / "set", True)
    assay.look(folder / "set", out=folder / "out")
    return folder / "out" / "report.html"


OTHERS = (
    "validation",
    "two-models",
    "comparison",
    "audits",
    "predictions",
    "preview",
    "probed",
    "index",
    "index-3",
    "index-2",
)
"""Kinds of runs without a fixture of their own, and indexes of ten, of three and of two runs."""
MOST_WORDS, LISTED = 25, 10
"""Words of a sentence on a first screen; below it, so many more where it lists names of images, cues or conditions."""


@pytest.fixture(scope="module")
def others(
    planted: Path,
    finished_run: Path,
    looked: Path,
    audit: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """The pages of `OTHERS`."""
    root, draw = tmp_path_factory.mktemp("others"), np.random.default_rng(3)
    cases = pd.DataFrame({"image": range(240), "patient": np.arange(240) // 2, "ill": np.arange(240) % 2,
                          "site": np.where(np.arange(240) % 3, "A", "B")})  # fmt: skip
    for name, skill in (("ours", 2.0), ("theirs", 1.5)):
        odds = skill * (cases["ill"] - 0.5) + draw.normal(size=240)
        cases.assign(score=1 / (1 + np.exp(-odds))).to_csv(root / f"{name}.csv", index=False)
    seeds = [
        cases.assign(loss=loss, seed=seed, score=1 / (1 + np.exp(-draw.normal(skill * cases["ill"], 1))))
        for loss, skill in (("plain", 1.5), ("new", 2.5))
        for seed in range(3)
    ]
    pd.concat(seeds).to_csv(root / "seeds.csv", index=False)
    for words in (
        f"validate {root}/ours.csv --out {root}/validation",
        f"validate {root}/ours.csv {root}/theirs.csv --prevalence 0.02,0.1 --out {root}/two-models",
        f"compare {root}/seeds.csv --by loss --out {root}/comparison",
        f"audit compare {planted}/reader {planted}/clean --out {root}/audits",
        f"audit {root}/ours.csv --columns site --out {root}/predictions",
    ):
        assert run(words.split()) == 0
    (root / "small.yaml").write_text(json.dumps(SMALL))
    assert run(["preview", str(root / "small.yaml"), "--out", str(root / "preview")]) == 0
    trial = min((finished_run / "trials").iterdir())
    assay.probe(trial, SMALL["data"], out=root / "probed", progress=False)
    pages = {name: next(root.glob(f"{name}/**/report.html")) for name in OTHERS[:-3]}
    folders = [*(page.parent for page in pages.values()), looked.parent, audit.parent, finished_run]
    few = [looked.parent, audit.parent, pages["comparison"].parent]
    indexes = {
        name: write_index(runs, root / f"{name}.html", {})
        for name, runs in (("index", folders), ("index-3", few), ("index-2", few[:2]))
    }
    return {**pages, **indexes}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        if os.environ.get("ASSAY_REQUIRE_BROWSER") == "1":
            pytest.fail("ASSAY_REQUIRE_BROWSER=1, but there is no Chromium: apt install chromium")
        pytest.skip("no Chromium: the page is not looked at")
    with sync_playwright() as player:
        started = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


def opened(browser: Browser, report: Path, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        accept_downloads=True,
    )
    page = context.new_page()
    page.goto(report.as_uri())
    return page


def test_no_error_and_no_request(browser: Browser, report: Path) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(report.as_uri(), wait_until="load")
    assert errors == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280])
def test_nothing_overflows(browser: Browser, report: Path, width: int) -> None:
    page = opened(browser, report, width)
    assert page.evaluate(OVERFLOW) <= 0
    page.evaluate("document.querySelector('.done p').append(' ' + '0'.repeat(64))")  # the hash of a registration
    assert page.evaluate(OVERFLOW) <= 0
    page.context.close()


CELLS_SEEN = """() => { const box = document.querySelector(".box").getBoundingClientRect();
    return [...document.querySelectorAll("tr:first-child > *")].map((one) => one.getBoundingClientRect())
        .filter((one) => one.width && one.right <= box.right + 1).length; }"""
"""Cells of the heads and of the first row that are within the box of the table."""


@pytest.mark.parametrize(("width", "seen"), [(390, 4), (1280, 7)])
def test_the_page_of_all_labels_shows_its_findings(browser: Browser, labels: Path, width: int, seen: int) -> None:
    page = opened(browser, labels, width)
    found = "1 of 2 labels: depends on a bright mark in the upper right corner; 1: not tested."
    assert page.locator("h1").inner_text() == found
    assert page.evaluate(CELLS_SEEN) == 2 * seen
    assert page.evaluate(OVERFLOW) <= 0
    page.emulate_media(media="print")
    assert page.get_by_role("cell", name="0.95").is_visible()
    assert page.get_by_text("95% lower bound").is_visible(), "heads are buttons, which are not printed elsewhere"
    boxes = """[...document.querySelectorAll("th button")].map((one) => getComputedStyle(one).display)"""
    assert set(page.evaluate(boxes)) == {"contents"}, "a box in a head is printed on the first sheet of a table alone"
    page.context.close()


@pytest.mark.parametrize("of", ["report", "audit", "looked"])
def test_no_heading_is_printed_bare(browser: Browser, request: pytest.FixtureRequest, of: str) -> None:
    page = opened(browser, request.getfixturevalue(of))
    page.emulate_media(media="print")
    bare = """[...document.querySelectorAll("section:has(>h2)")].filter((one) => one.checkVisibility() &&
        one.innerText.trim() === one.querySelector("h2").innerText.trim()).map((one) => one.innerText)"""
    assert page.evaluate(bare) == []
    assert page.locator("#source").is_visible()
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_pairs_without_logits_do_not_overflow(browser: Browser, report: Path, width: int) -> None:
    page = opened(browser, report, width)
    bare = """() => { const pairs = [...document.querySelectorAll(".counterfactual")];
        for (const pair of pairs) { pair.querySelector(".drawing").remove(); pair.classList.add("alone"); }
        return pairs.length; }"""
    assert page.evaluate(bare) > 0
    assert page.evaluate(OVERFLOW) <= 0
    page.context.close()


ONE_ROW = 30
"""Most CSS pixels of a navigation that takes one row."""
TILE, MOST_BLANK = 64, 0.2
"""Side of the squares in pixels in which a first screen is divided, and share of them that may be blank."""


def blank(page: Page) -> float:
    """Return the share of squares in the column of the page that hold nothing."""
    image = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).astype(int)
    box = page.locator("main > :last-child").bounding_box()
    assert box is not None
    column = image[:, int(box["x"]) : int(box["x"] + box["width"])]
    squares = [
        column[y : y + TILE, x : x + TILE]
        for y in range(0, column.shape[0] - TILE + 1, TILE)
        for x in range(0, column.shape[1] - TILE + 1, TILE)
    ]
    return sum(int(np.ptp(square)) < 8 for square in squares) / len(squares)


@pytest.mark.parametrize("of", ["report", "demo", "audit", "looked"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_first_screen_has_the_navigation_and_the_answer_and_is_not_blank(
    browser: Browser, request: pytest.FixtureRequest, of: str, width: int, height: int
) -> None:
    page = opened(browser, request.getfixturevalue(of), width, height)
    for what in ("nav", "h1"):
        box = page.locator(what).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height, what
        assert what == "h1" or box["height"] <= ONE_ROW
    tops = "[...document.querySelectorAll('.screen .card')].map((card) => card.getBoundingClientRect().top)"
    assert min(page.evaluate(tops)) <= height - 100
    assert blank(page) <= MOST_BLANK
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    box = page.locator("nav").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 60, "it stays in reach"
    page.context.close()


ROWS_SEEN = """[...document.querySelectorAll(".results tbody tr, .results table + .note")]
    .filter((one) => one.getBoundingClientRect().bottom <= innerHeight).map((one) => one.innerText)"""
"""Rows of results, and the line on further ones, that end within the first screen."""


def test_eight_findings_and_the_costly_ones_that_follow_are_on_the_first_screen(
    browser: Browser, harmful: Path
) -> None:
    page = opened(browser, harmful, 1280, 800)
    *rows, more = page.evaluate(ROWS_SEEN)
    assert len(rows) == 8 == page.locator(".results tbody tr").count()
    assert "more findings, of which" in more
    assert blank(page) <= MOST_BLANK
    page.context.close()


@pytest.mark.parametrize("of", ["audit", "harmful"])
def test_the_first_finding_of_an_audit_is_on_the_first_screen_of_a_phone(
    browser: Browser, request: pytest.FixtureRequest, of: str
) -> None:
    page = opened(browser, request.getfixturevalue(of), 390, 844)
    rows = page.evaluate(ROWS_SEEN)
    assert rows[:1] == [page.locator(".results tbody tr").first.inner_text()]
    assert page.locator(".results tbody td").first.bounding_box() is not None
    answer, finding = (page.locator(what).first.bounding_box() for what in (".more", ".results"))
    assert answer
    assert finding
    assert finding["y"] < answer["y"], "the sentences follow the findings"
    page.set_viewport_size({"width": 1280, "height": 800})
    answer, finding = (page.locator(what).first.bounding_box() for what in (".more", ".results"))
    assert answer
    assert finding
    assert answer["y"] < finding["y"], "there is room for both"
    page.context.close()


def test_the_axis_of_findings_names_its_measures(browser: Browser, audit: Path) -> None:
    page = opened(browser, audit)
    assert page.locator(".results th.size").inner_text().startswith("Size: AUROC shift or AUROC lost")
    page.context.close()


@pytest.mark.parametrize("of", OTHERS)
def test_pages_of_every_kind_use_their_first_screen(browser: Browser, others: dict[str, Path], of: str) -> None:
    for width, height in ((1280, 800), (390, 844)):
        page = opened(browser, others[of], width, height)
        for what in ("nav", "h1"):
            box = page.locator(what).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= height, what
            assert what == "h1" or box["height"] <= ONE_ROW
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(TOUCHING) == []
        assert blank(page) <= MOST_BLANK
        page.context.close()
    page = opened(browser, others[of], dark=True)
    assert [one["id"] for one in Axe().run(page).response["violations"]] == []
    page.emulate_media(media="print")
    assert page.evaluate(OVERFLOW) <= 0
    page.context.close()


SHEET = (688, 1017)
"""What the margins leave of a sheet of A4, in CSS pixels."""
UNBROKEN = """(most) => [...document.querySelectorAll("figure, .card, tr, .trust, svg, img")]
    .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height > most
        && (getComputedStyle(one).breakInside === "avoid" || ["svg", "IMG"].includes(one.tagName)))
    .map((one) => `${one.tagName} ${one.id} ${one.className} ${one.getBoundingClientRect().height}`)"""
"""What is kept whole in print, and taller than a height."""


@pytest.mark.parametrize("of", ["report", "demo", "audit", "looked", *OTHERS])
def test_what_is_kept_whole_in_print_leaves_no_page_half_empty(
    browser: Browser, request: pytest.FixtureRequest, others: dict[str, Path], of: str
) -> None:
    page = opened(browser, others[of] if of in OTHERS else request.getfixturevalue(of), *SHEET)
    page.emulate_media(media="print")
    assert page.evaluate(UNBROKEN, SHEET[1] / 2) == []
    page.context.close()


@pytest.mark.parametrize(("of", "sheets"), [("index-2", 1), ("index-3", 1), ("index", 3)])
def test_cards_of_runs_fill_the_sheets(browser: Browser, others: dict[str, Path], of: str, sheets: int) -> None:
    page = opened(browser, others[of])
    assert page.pdf(format="A4").count(b"/Type /Page\n") <= sheets
    page.context.close()


EVERY_SENTENCE = """[...document.querySelectorAll("main p, main li, main h2, main h3, summary, figcaption, dd, dt")]
    .filter((one) => !one.closest("pre, code, .files") && !one.querySelector("p, li"))
    .flatMap((one) => one.textContent.split(/[.:;?!](?=\\s|$)/))"""
"""Sentences, and clauses between semicolons, of a page; neither commands nor tables, which quote the data."""
SENTENCES = """[...document.querySelectorAll("h1, .first p, .first figcaption, #runs td p")].map((one) => one.innerText)
    .flatMap((text) => text.split(/[.:;?!](?=\\s|$)/))"""
"""Sentences, and clauses between semicolons, of a first screen."""


@pytest.mark.parametrize("of", ["report", "demo", "audit", "looked", *OTHERS])
def test_sentences_of_first_screens_are_short(
    browser: Browser, request: pytest.FixtureRequest, others: dict[str, Path], of: str
) -> None:
    page = opened(browser, others[of] if of in OTHERS else request.getfixturevalue(of))
    assert [text for text in page.evaluate(SENTENCES) if len(text.split()) > MOST_WORDS] == []
    page.context.close()


@pytest.mark.parametrize("of", ["report", "demo", "audit", "looked", *OTHERS])
def test_sentences_below_the_first_screen_are_short(
    browser: Browser, request: pytest.FixtureRequest, others: dict[str, Path], of: str
) -> None:
    page = opened(browser, others[of] if of in OTHERS else request.getfixturevalue(of))
    assert [text for text in page.evaluate(EVERY_SENTENCE) if len(text.split()) > MOST_WORDS + LISTED] == []
    page.context.close()


def test_an_index_is_sorted_and_filtered(browser: Browser, others: dict[str, Path]) -> None:
    page = opened(browser, others["index"])
    page.get_by_role("button", name="kind").click()
    kinds = page.locator("#runs tbody td:nth-child(2)").all_inner_texts()
    assert len(kinds) == 10
    assert kinds == sorted(kinds)
    page.fill("#runs input", "look")
    assert page.locator("#runs tbody tr:visible").count() < 10
    page.context.close()


def test_small_intervals_can_be_read(browser: Browser, audit: Path) -> None:
    for width in (1280, 390):
        page = opened(browser, audit, width)
        sizes = [one.bounding_box() for one in page.locator(".results svg.size").all()]
        assert len(sizes) > 1
        assert {box["width"] for box in sizes if box} == {148}
        assert len({box["x"] for box in sizes if box}) == 1, "the axis stands above the charts"
        page.context.close()


@pytest.mark.parametrize("of", ["audit", "demo", "looked"])
def test_key_figures_come_directly_after_the_title_on_a_phone(
    browser: Browser, request: pytest.FixtureRequest, of: str
) -> None:
    page = opened(browser, request.getfixturevalue(of), 390)
    title, tiles, shown = (page.locator(what).first.bounding_box() for what in ("h1", ".tiles", ".shown .card"))
    assert title
    assert tiles
    assert shown
    assert 0 <= tiles["y"] - title["y"] - title["height"] < 20
    assert tiles["y"] + tiles["height"] <= shown["y"]
    page.context.close()


def test_verdicts_stand_before_pictures_on_a_phone(browser: Browser, audit: Path) -> None:
    page = opened(browser, audit, 390)
    tops = [page.locator(what).bounding_box() for what in (".results", ".places >> nth=0")]
    assert tops[0]
    assert tops[1]
    assert tops[0]["y"] < tops[1]["y"]
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_figures_are_legible_and_no_word_of_theirs_is_cut_off(browser: Browser, report: Path, width: int) -> None:
    """Text in a figure is drawn at 10 pixels or more at either width."""
    page = opened(browser, report, width)
    least = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll("svg text")]
            .filter((text) => text.getClientRects().length)
            .map((text) => parseFloat(text.getAttribute("font-size")) * text.ownerSVGElement.getScreenCTM().a))"""
    )
    assert least >= 9.9
    cut = page.evaluate(
        """() => [...document.querySelectorAll("svg text")].filter((text) => {
            const box = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
            return box.width && (box.left < all.left - 1 || box.right > all.right + 1 || box.bottom > all.bottom + 2);
        }).map((text) => text.textContent)"""
    )
    assert cut == []
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    shortened = page.evaluate(
        """() => [...document.querySelectorAll("svg text")].filter((text) => text.getClientRects().length)
            .map((text) => text.textContent).filter((words) => words.includes("…"))"""
    )
    assert shortened == [], "long names are wrapped, not cut"
    page.context.close()


TOUCHING = """() => [...document.querySelectorAll("svg")].flatMap((drawing) => {
    const all = [...drawing.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()])
        .filter(([, box]) => box.width);
    const beside = (a, b) => a.left < b.right && b.left < a.right;
    const touch = (a, b) => beside(a, b) && a.top + 3 < b.bottom && b.top + 3 < a.bottom;
    return all.flatMap(([x, a], i) => all.slice(i + 1).filter(([, b]) => touch(a, b)).map(([y]) => [x, y]));
})"""
"""Pairs of labels of a drawing that overlap."""


@pytest.mark.parametrize("of", ["report", "demo", "audit", "looked"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_label_of_a_figure_overlaps_another(
    browser: Browser, request: pytest.FixtureRequest, of: str, width: int
) -> None:
    page = opened(browser, request.getfixturevalue(of), width)
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert page.evaluate(TOUCHING) == []
    page.context.close()


@pytest.mark.parametrize("width", [800.0, 350.0])
def test_titles_of_panels_do_not_touch(browser: Browser, width: float) -> None:
    """The comparisons of a study whose places take many words, in the faces of this machine."""
    places = [
        f"{where}, epochs 30, association {tie}, {how}"
        for where, tie in (("reversed-view", "view=0.8"), ("reversed-sex", "sex=0.8"))
        for how in ("equal budget", "matched fit")
    ]
    panels = tuple(ChartPanel(place, (EstimateMark("supcon", -0.02, -0.05, 0.01, position="all"),)) for place in places)
    plot = Plot(panels, ("supcon",), styles_by_level(("supcon",)), "difference in AUROC", (-0.1, 0.1), ("all",))
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_content(draw_rows(plot, width).inline("", "wide"))
    assert page.evaluate(TOUCHING) == []
    page.close()


def test_folded_tables_open_by_the_keyboard(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    assert page.locator("#measures table").is_hidden()
    page.locator("details:has(#measures) summary").focus()
    page.keyboard.press("Enter")
    assert page.locator("#measures table").is_visible()
    page.context.close()


@pytest.mark.parametrize(
    ("of", "width", "dark"),
    [("short", 1280, False), ("short", 1280, True), ("short", 390, False), ("audit", 1280, False),
     ("looked", 1280, False), ("labels", 390, False)],
)  # fmt: skip
def test_axe_finds_no_violation(
    browser: Browser, request: pytest.FixtureRequest, of: str, width: int, dark: bool
) -> None:
    page = opened(browser, request.getfixturevalue(of), width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found] == []
    page.context.close()


def test_headings_are_in_order(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((head) => +head.tagName[1])")
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    page.context.close()


def test_files_can_be_saved(browser: Browser, report: Path, tmp_path: Path) -> None:
    page = opened(browser, report)
    for selector, start in (
        ("#files-performance a[download$='.csv']", "id,recipe,coordinates,measure,"),
        ("#files-performance a[download$='.svg']", "<svg xmlns"),
        ("#words", "# Which feature"),
    ):
        with page.expect_download() as saving:
            page.click(selector)
        path = tmp_path / saving.value.suggested_filename
        saving.value.save_as(path)
        assert path.read_text(encoding="utf-8").startswith(start)
    page.context.close()


def test_a_table_is_sorted_by_a_click_and_by_the_keyboard(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    page.locator("details:has(#contrasts) summary").click()
    head = page.locator("#contrasts th", has_text="difference").locator("button")
    column = "[...document.querySelectorAll('#contrasts tbody tr')].map((row) => row.cells[2].dataset.sort ?? '')"
    head.click()
    rising = [float(value) for value in page.evaluate(column) if value]
    assert rising == sorted(rising)
    head.focus()
    page.keyboard.press("Enter")
    falling = [float(value) for value in page.evaluate(column) if value]
    assert falling == sorted(falling, reverse=True)
    page.context.close()


def test_a_table_is_filtered(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    page.locator("details:has(#measures) summary").click()
    page.fill("#measures input", "AUROC arcface")
    rows = page.evaluate(
        "[...document.querySelectorAll('#measures tbody tr')].filter((r) => !r.hidden).map((r) => r.innerText)"
    )
    assert [row.split("\t")[:2] for row in rows] == [[name, "ArcFace, 10 epochs"] for name in ("AUROC", "macro AUROC")]
    page.context.close()


def test_a_table_that_is_wider_than_the_page_is_scrolled_by_the_keyboard(browser: Browser, report: Path) -> None:
    page = opened(browser, report, 390)
    page.locator("details:has(#performance) summary").click()
    page.locator("#performance .box").focus()
    page.keyboard.press("ArrowRight")
    # Scrolling is smooth. `wait_for_function` polls by `eval`, which the page's own policy forbids.
    page.evaluate(
        """() => new Promise((resolve, reject) => {
            const box = document.querySelector('#performance .box');
            box.addEventListener('scroll', () => resolve(box.scrollLeft));
            if (box.scrollLeft > 0) resolve(box.scrollLeft);
            setTimeout(() => reject(new Error('the table did not move')), 60000);
        })"""
    )
    page.context.close()


def test_it_reads_without_a_script(browser: Browser, report: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.as_uri())
    assert page.locator("#contrasts tbody tr").count() > 3
    assert page.locator("[data-copy=words]").is_hidden()
    assert page.locator("#words").is_visible()
    page.context.close()


def test_the_skip_link_and_focus_are_seen(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    box = page.locator(".skip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.context.close()


def test_in_print_everything_is_open_and_no_control_is_left(browser: Browser, report: Path) -> None:
    page = opened(browser, report, 720)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
    assert page.evaluate(OVERFLOW) <= 0
    assert page.locator("nav").is_hidden()
    assert page.locator(".filter").first.is_hidden()
    tall = page.evaluate(
        "[...document.querySelectorAll('.box')].filter((b) => b.scrollHeight > b.clientHeight + 1).length"
    )
    assert tall == 0
    assert len(page.pdf(format="A4")) > 10_000
    page.context.close()


def test_one_color_scheme_for_each_wish(browser: Browser, report: Path) -> None:
    grounds = set()
    for dark in (False, True):
        page = opened(browser, report, dark=dark)
        grounds.add(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
        page.context.close()
    assert grounds == {"rgb(244, 246, 248)", "rgb(14, 16, 18)"}


def test_a_page_takes_at_most_nine_screens_and_prints_on_at_most_ten_sheets(browser: Browser, short: Path) -> None:
    page = opened(browser, short, 1440)
    assert page.evaluate("document.documentElement.scrollHeight") <= 9 * 900
    sheets = page.pdf(format="A4").count(b"/Type /Page\n")
    assert 3 <= sheets <= 10
    page.context.close()


def test_pointing_at_a_recipe_fades_the_others_in_every_figure(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    page.locator("#figure-performance svg.wide [data-level]").first.hover(force=True)
    assert page.evaluate("document.documentElement.classList.contains('faded')")
    same = page.evaluate("new Set([...document.querySelectorAll('.same')].map((one) => one.dataset.level)).size")
    assert same == 1
    page.context.close()


def test_pointing_at_a_mark_says_its_value_at_once(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    assert page.locator("#hint").is_hidden()
    page.locator("#figure-performance svg.wide g [data-level]").first.hover(force=True)
    assert "cross-entropy 0." in page.locator("#hint").inner_text()
    page.context.close()


def test_suspect_images_are_a_grid_on_the_first_screen_of_a_look_and_open_large(browser: Browser, looked: Path) -> None:
    page = opened(browser, looked, 1280, 800)
    images = page.locator(".screen .places img")
    boxes = [images.nth(at).bounding_box() for at in range(images.count())]
    assert len(boxes) >= 5
    assert all(box and box["width"] >= 80 and box["y"] + box["height"] <= 800 for box in boxes)
    images.first.click()
    caption = page.locator("dialog[open] figcaption").inner_text()
    assert caption.startswith("copy, ")
    assert caption.endswith(", line 12")
    page.context.close()


def swipe(page: Page, by: int) -> None:
    """Drag over the large image."""
    page.mouse.move(640, 440)
    page.mouse.down()
    page.mouse.move(640 + by, 440)
    page.mouse.up()


def test_single_images_open_large_by_the_keyboard_or_a_finger_and_are_not_printed(
    browser: Browser, report: Path
) -> None:
    page = opened(browser, report)
    images = page.locator("#cases .cases button")
    assert 24 <= images.count() <= 60
    assert images.first.is_hidden()
    page.locator("#cases > summary").click()
    images.first.focus()
    page.keyboard.press("Enter")
    shown = page.locator("dialog[open] img")
    assert shown.bounding_box()["width"] >= 400  # type: ignore[index]
    first = shown.get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog[open] figcaption").inner_text() == "malignant, predicted benign (0.93)"
    page.keyboard.press("ArrowLeft")
    assert shown.get_attribute("src") == first
    for by in (-200, 200):  # the images of these made-up rows are alike: another element shows that it went on
        shown.evaluate("image => image.dataset.seen = ''")
        swipe(page, by)
        assert shown.get_attribute("data-seen") is None
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.emulate_media(media="print")
    assert page.locator("#cases .cases").first.is_hidden()
    page.context.close()
