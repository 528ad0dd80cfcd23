"""The page's text as Markdown, read by another's parser: what comes from data is text there and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from tests.worlds.tables import StudyTables, make_run

from assay.report.page import as_text, collect

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
def content(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return collect(make_run(tmp_path_factory.mktemp("run"), StudyTables()))


def saying(part: Any, text: str) -> Any:
    """The content, or a part of it, with this text in place of every string of it; two rows of each table."""
    if isinstance(part, str):
        return text
    if is_dataclass(part):
        return replace(part, **{one.name: saying(getattr(part, one.name), text) for one in fields(part) if one.init})
    return tuple(saying(one, text) for one in part[:2]) if isinstance(part, tuple) else part


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


def skeleton(text: str) -> list[str]:
    """What a reader makes of the text: types of its blocks."""
    return [token.type for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)]


def inside(text: str) -> list[str]:
    return ["".join(one.content for one in token.children or ()) for token in tokens(text) if token.type == "inline"]


def check(content: Any, text: str) -> None:
    once, shown, plain = (" ".join(text.split()), *(as_text(saying(content, words)) for words in (text, "word")))
    assert kinds(shown) <= OWN | {"text_special"}
    assert skeleton(shown) == skeleton(plain)
    expected = sum(line.count("word") for line in inside(plain))
    assert expected > 50
    assert sum(line.count(once) for line in inside(shown)) >= expected


def test_the_parser_would_obey_what_is_not_escaped() -> None:
    assert {"image", "link", "html_inline"} <= kinds("a " + " ".join(HOSTILE[:4]))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_data_is_text(content: Any, text: str) -> None:
    check(content, text)
    check(content, f"before {text} after")


SIGNS = st.text(st.sampled_from("!#$&()*+-.:<=>@[\\]_`|~/1 ax\"'\n"), min_size=1, max_size=12).filter(str.strip)


def test_any_run_of_signs_is_text(content: Any) -> None:
    @given(SIGNS)
    def found(text: str) -> None:
        check(content, text)

    found()


@pytest.mark.parametrize("text", ["http://evil/p", "HTTPS://evil", "www.evil.org", "mailto:a@b.org"])
def test_addresses_are_not_such_that_a_reader_links_unasked(content: Any, text: str) -> None:
    assert text not in as_text(saying(content, text))
    check(content, text)


def test_numbers_in_tables_are_left_as_they_are(content: Any) -> None:
    assert "| -0.25 | -0.25 |" in as_text(saying(content, "-0.25"))
