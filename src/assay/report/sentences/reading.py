"""What was read: the first lines of every answer, in the terminal and on the page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.core.request import CommandRequest
from assay.stats.format import count
from assay.store.data_tables import ISSUES
from assay.store.folder import RunFolder

KEYS = (
    "positive class", "columns", "columns not tested", "rows joined", "matched", "masks", "lesions", "scores",
    "outputs", "scaling", "encoding", "thousands", "parts", "read as one", "folders of other classes", "ages in years",
    "names of files", "may mean unknown", "units", "two codings", "numbers read as levels", "shares as classes",
    "large patient", "patients alike", "patients by side", "patients by visit", "patients by site",
    "patients contradictory", "patients rounded", "smaller copies", "changed copies", "kinds of images", "gray values",
    "colors", "pixels", "columns left out", "left out", "AUROC",
)  # fmt: skip
"""Keys of the table `provenance` that are read out first, in this order."""
CAUTIONS = frozenset({
    "folders of other classes", "names of files", "may mean unknown", "units", "two codings", "numbers read as levels",
    "shares as classes", "large patient", "patients alike", "patients by side", "patients by visit",
    "patients by site", "patients contradictory", "patients rounded", "smaller copies", "changed copies",
    "kinds of images", "gray values", "colors", "pixels", "lesions",
})  # fmt: skip


def caution_lines(facts: Mapping[str, str]) -> list[str]:
    """Return a line for each fact on what was read that is a caution, without that word."""
    return [f"{key}: {facts[key]}" for key in KEYS if key in CAUTIONS and facts.get(key)]


def reading_lines(facts: Mapping[str, str]) -> list[str]:
    """Return a line for each fact on what was read, to be shown before the answer.

    Args:
        facts: Key -> value of the table `provenance`.
    """
    present = [key for key in KEYS if facts.get(key) and (key != "scaling" or " " in facts[key])]  # no usual name
    return [f"{'caution: ' if key in CAUTIONS else ''}{key}: {facts[key]}" for key in present]


_SENTENCES: Mapping[str, str] = {"positive class": "The positive class is {}", "columns": "These columns were read: {}"}
"""Key -> a sentence on its value; others have their key as a heading."""


@dataclass(frozen=True, slots=True)
class ReadingWords:
    """What was read, in sentences: the class that scores are of, what to check, and the rest."""

    target: str
    doubts: str
    rest: str


def reading_words(facts: Mapping[str, str]) -> ReadingWords:
    """Return what was read in sentences, for a page; the terminal has a line for each fact.

    Args:
        facts: Key -> value of the table `provenance`.
    """
    parts: dict[str, list[str]] = {"target": [], "doubts": [], "rest": []}
    for line in reading_lines(facts):
        key, _, value = line.removeprefix("caution: ").partition(": ")
        text = _SENTENCES[key].format(value) if key in _SENTENCES else line
        text = f"no positive class{value[4:]}" if key == "positive class" and value.startswith("none ") else text
        part = "target" if key == "positive class" else "doubts" if key in CAUTIONS or key == "AUROC" else "rest"
        sentence = f"{text[:1].upper()}{text[1:]}".rstrip(".")
        parts[part].append(sentence if sentence.endswith("?") else f"{sentence}.")
    return ReadingWords(**{part: " ".join(sentences) for part, sentences in parts.items()})


NO_OPTIONS_OF_RESULTS = frozenset({"out", "open", "as_json", "policy", "progress"})
"""Fields of requests on which no result depends."""


def replaced_lines(root: Path, request: type[CommandRequest]) -> list[str]:
    """Return a line on the options in which a result differs from the earlier one that it replaced; none without.

    Args:
        root: The run folder.
        request: The request, whose fields are options of the command.
    """
    options, replaced = request.options(), RunFolder(root).document().get("replaced", ())
    fields = [name for name in replaced if name in options and name not in NO_OPTIONS_OF_RESULTS]
    # The same file can be typed in several ways, so that arguments do not count.
    fields = [name for name in fields if not options[name].argument]
    spelled = [options[name].name or f"--{name.replace('_', '-')}" for name in fields]
    return (
        [
            f"caution: the earlier result in {root} had other options ({', '.join(spelled)}) and was replaced; --out "
            "keeps both"
        ]
        if spelled
        else []
    )


def where_issues_are(root: Path) -> list[str]:
    """Return a line on where all issues of images are listed; none without issues."""
    issues = RunFolder(root).table(ISSUES.name)
    where = f"assay results {shlex.quote(str(root))} --table {ISSUES.name}"
    return [issues_line(len(issues), where)] if issues else []


def issues_line(n: int, where: str) -> str:
    """Return where all issues are listed: `1 issue: issues.csv`."""
    return f"{'all ' if n > 1 else ''}{count(n, 'issue')}: {where}"
