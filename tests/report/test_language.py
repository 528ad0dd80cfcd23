"""Withdrawn words come into no sentence that a user reads: of pages, terminal, help, errors and docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.docs.reading import PAGES, ROOT, name

from assay.report.glossary import GLOSSARY, first_used

SOURCE = ROOT / "src/assay"
WITHDRAWN = {
    r"li(?:ves?|ved|ving) by": "depends on, relies on",
    r"speaks? for": "raises the score for",
    r"swings?": "AUROC shift by the mark",
    r"flatter": "lower contrast",
    r"an? lead|Lead:": "finding without a verified limit",
    r"no shift": "in-distribution",
    r"(?:the )?same distribution as training": "in-distribution",
    r"adds? to this cue": "carries information beyond this cue",
    r"clears? (?:no|the) model|clears? nothing|not clear the model": "does not rule out a shortcut",
    r"held as in an image": "replaced by the content of an image without it",
    r"hardly mattered": "equivalent, of what was compared",
    r"marks? like it": "similar marks",
    r"called like": "named like",
    r"c[ao]mes? again": "was replicated",
    r"upside down": "inverted",
    r"per cents?": "percent",
    r"by heart": "memorized",
    r"hangs? on": "depends on",
    r"gives? away": "reveals",
    r"mend(?:s|ed)?": "correct, repair",
    r"anew": "again",
    r"none is called": "none is flagged",
    r"no fair sample": "a biased sample",
    r"means? nothing to": "is not an option of",
    r"gather near": "cluster near",
    r"(?:its|their) kin": "similar",
    r"stands? twice": "is named twice",
    r"says? nothing of": "does not say",
    r"goes? round in a circle": "is circular",
    r"the wrong way round": "inverted",
    r"(?:is|are) no (?:number|run length|run folder|whole numbers|sign of)": "is not a",
    r"stands? in (?:its|their) place": "replacement",
    r"says itself": "shows",
}
"""Pattern of a phrase -> what stands in its place."""
PHRASE = re.compile("|".join(rf"(?<![\w`-])(?:{phrase})(?![\w`-])" for phrase in WITHDRAWN))
PROSE = re.compile(r" .* ")
"""A text of three words or more: codes, columns and names of files are none."""
ALLOWED = ("lead letter", "a lead to the heart", "lead to a", "open: swing, loss", "swing or effect")  # fmt: skip
"""Other meanings: metal, a cable, a way to a place; lists of codes."""


@cache
def texts_of_code() -> list[tuple[str, int, str]]:
    """Return the texts of all code, each with its file and line."""
    return [
        (str(file.relative_to(ROOT)), line, text)
        for file in sorted(SOURCE.rglob("*.py"))
        for line, text in literals(ast.parse(file.read_text(encoding="utf-8")))
    ]


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield texts that are no docstrings, with their lines; of f-strings what is literal."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = (part.value if isinstance(part, ast.Constant) else 0 for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


MOST_WORDS = 25
"""Words of a sentence, or of a clause between semicolons."""
LONG = {"model data target positive patient image"}
"""Starts of texts that are no sentences: a list of fields."""


def long_sentences(text: str) -> list[str]:
    sentences = (sentence.strip() for sentence in re.split(r"[.:;?!](?=\s|$)", text))
    return [sentence for sentence in sentences if len(sentence.split()) > MOST_WORDS]


def withdrawn(text: str) -> list[str]:
    for words in ALLOWED:
        text = text.replace(words, "")
    return PHRASE.findall(text)


def test_no_sentence_of_the_code_has_a_withdrawn_phrase() -> None:
    wrong = [
        f"{file}:{line} {text!r}" for file, line, text in texts_of_code() if PROSE.search(text) and withdrawn(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_sentence_of_the_code_has_more_than_25_words() -> None:
    wrong = [
        f"{file}:{line} {sentence!r}"
        for file, line, text in texts_of_code()
        for sentence in long_sentences(text)
        if not sentence.startswith(tuple(LONG))
    ]
    assert not wrong, "\n".join(wrong)


FIRST = {
    "README.md",
    *(f"docs/{page}.md" for page in ("index", "install", "how-an-audit-works", "which-study", "glossary", "faq")),
}
"""Pages that a new user reads first, besides tutorials and instructions."""
FOR_USERS = [page for page in PAGES if name(page) in FIRST or page.parent.name in ("tutorials", "how-to")]
NO_PROSE = re.compile(r"^```.*?^```|<!--.*?-->|^\||^    .*?$|[*_]", flags=re.DOTALL | re.MULTILINE)
"""Code, comments, bars before tables, and marks of emphasis."""
ONE_WORD = re.compile(r"`[^`\n]+`|\[[^\]]*\]\([^)]*\)")
"""Code in a sentence, and links: names of pages."""


@pytest.mark.parametrize("page", FOR_USERS, ids=name)
def test_no_sentence_of_a_page_for_users_has_more_than_25_words(page: Path) -> None:
    text = ONE_WORD.sub("name", NO_PROSE.sub("", page.read_text(encoding="utf-8")))
    parts = re.split(r"\n\s*\n|\n(?=(?:[-#>]|\d+\.) )|\|", text)
    assert not [sentence for part in parts for sentence in long_sentences(part)]


RESULTS = [page for page in PAGES if page.parent.name == "results" or page.stem in ("claims", "audit-trials")]
"""Pages of results, whose tables are made by tools."""


@pytest.mark.parametrize("page", RESULTS, ids=name)
def test_no_sentence_of_a_page_of_results_has_more_than_25_words(page: Path) -> None:
    text = re.sub(r"^\|.*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = re.split(r"\n\s*\n|\n(?=(?:[-#>]|\d+\.) )", ONE_WORD.sub("name", NO_PROSE.sub("", text)))
    assert not [sentence for part in parts for sentence in long_sentences(part)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_of_the_docs_has_a_withdrawn_phrase(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not withdrawn(text)


def test_the_words_that_replace_them_are_explained_where_they_are_first_used() -> None:
    for text, term in (
        ("Tag: AUROC shift 0.25 [0.20, 0.30]", "AUROC shift"),
        ("A bright mark: finding without a verified limit", "Finding without a verified limit"),
    ):
        assert set(first_used([text], ())) >= {term} <= set(GLOSSARY)
