"""The page's text as Markdown, read by another's parser: what comes from data is text there and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tests.worlds.tables import Made, make_run

from assay.report.account import Said
from assay.report.blocks import Figure, RenderedBlock
from assay.report.page import PageContent, PageSection, as_text, collect
from assay.report.sheets import Cell, Sheet, SheetRow

OWN = {
    "heading",
    "paragraph",
    "inline",
    "text",
    "bullet_list",
    "list_item",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
}
"""What the text itself is made of."""
HOSTILE = (
    "![x](http://evil/p.png)",
    "[a](javascript:alert(1))",
    "[a][b]",
    "<img src=x onerror=alert(1)>",
    "<http://evil>",
    "&lt;script&gt;",
    "# heading",
    "1. listed",
    "2) listed",
    "- listed",
    "+ listed",
    "> quoted",
    "---",
    "===",
    "~~~ python",
    "``` python",
    "~~struck~~",
    "**strong** __strong__ _em_ *em* `code`",
    "a | b",
    "a\\",
    "\\[a](b)",
    "[a]: http://evil",
)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> PageContent:
    return collect(make_run(tmp_path_factory.mktemp("run"), Made()))


def saying(content: PageContent, text: str) -> PageContent:
    """The content with this text in every place that can come from data."""
    said = Said(text, "", "", text, "")
    sheet = Sheet("a", text, (text, text), (SheetRow((Cell(text), Cell(text))),), None, text)
    figure = Figure("a", text, text, text, "", "", None, None)
    sections = (
        PageSection("a", text, text, (RenderedBlock(figure, sheet),), False, text),
        PageSection("b", text, text, (), False, text),
    )
    return replace(
        content,
        account=replace(content.account, question=text, meta=text, verdict=text, doubts=(said,)),
        limits=text,
        sections=sections,
        failures=(sheet,),
        environments=sheet,
        provenance=sheet,
    )


def tokens(text: str) -> list[Token]:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader.validateLink = lambda url: True  # other readers do not refuse `javascript:`
    return list(_all(reader.parse(text)))


def _all(found: Sequence[Token]) -> Iterator[Token]:
    for token in found:
        yield token
        yield from _all(token.children or ())


def kinds(text: str) -> set[str]:
    return {token.type.removesuffix("_open").removesuffix("_close") for token in tokens(text)}


def check(content: PageContent, text: str) -> None:
    once, shown = " ".join(text.split()), as_text(saying(content, text))
    assert kinds(shown) <= OWN | {"text_special"}
    read = [
        "".join(child.content for child in token.children or ()) for token in tokens(shown) if token.type == "inline"
    ]
    # The question, the verdict, the meta line, the limits, the line of the doubt; two titles, two words, the figure;
    # four tables of a caption, two heads, two cells and a note.
    assert sum(said.count(once) for said in read) >= 4 + 2 + 6 + 4 * 6
    assert shown.count("\n## ") == 2 + 2


def test_the_parser_would_obey_what_is_not_escaped() -> None:
    assert {"image", "link", "html_inline"} <= kinds("a " + " ".join(HOSTILE[:4]))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_data_is_text(content: PageContent, text: str) -> None:
    check(content, text)
    check(content, f"before {text} after")


SIGNS = st.text(st.sampled_from("!#$&()*+-.:<=>@[\\]_`|~/1 ax\"'\n"), min_size=1, max_size=12).filter(str.strip)


def test_any_run_of_signs_is_text(content: PageContent) -> None:
    @given(SIGNS)
    def found(text: str) -> None:
        check(content, text)

    found()


@pytest.mark.parametrize("text", ["http://evil/p", "HTTPS://evil", "www.evil.org", "mailto:a@b.org"])
def test_addresses_are_not_such_that_a_reader_links_unasked(content: PageContent, text: str) -> None:
    assert text not in as_text(saying(content, text))
    check(content, text)


def test_numbers_in_tables_are_left_as_they_are(content: PageContent) -> None:
    assert "| -0.25 | -0.25 |" in as_text(saying(content, "-0.25"))
