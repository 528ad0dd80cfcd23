"""The page's sentences with their numbers linked to the rows that they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from assay.report.tables import Tables
from assay.store.files import Row

LIGHTS = {"ok": ("✓", "fine"), "warn": ("!", "caution"), "bad": ("✕", "problem")}
NUMBER = re.compile(r"-?\d*\.?\d+ \[[^\]]+\]")


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence: as HTML with its numbers linked, as plain text, and its light: name, sign and word, "" for none."""

    html: Markup
    text: str
    light: str = ""
    sign: str = ""
    word: str = ""


def anchors_of(tables: Tables) -> dict[str, str]:
    """Contrast -> the id of its row in the page."""
    return {row["id"]: f"contrast-{i}" for i, row in enumerate(tables.contrasts, start=1)}


def sentences(tables: Tables, anchors: dict[str, str], sections: dict[str, str]) -> dict[str, list[Said]]:
    """Part (answer, doubt, limit) -> its sentences in order.

    anchors, sections: what a sentence may name as its evidence, a contrast or a table, -> the id in the page.
    """
    found: dict[str, list[Said]] = {"answer": [], "doubt": [], "limit": []}
    for row in tables.sentences:
        found.setdefault(row["part"], []).append(_said(row, {**sections, **anchors}.get(row["evidence"], "")))
    return {**found, "limit": _gathered(found["limit"])}


def _said(row: Row, target: str) -> Said:
    light = row["light"] if row["light"] in LIGHTS else ""
    return Said(_linked(row["text"], target), row["text"], light, *LIGHTS.get(light, ("", "")))


def _linked(text: str, target: str) -> Markup:
    """Every value with an interval becomes a link; where there is none, the sentence does."""
    if not target:
        return Markup(escape(text))
    parts: list[str] = []
    end = 0
    for match in NUMBER.finditer(text):
        parts += [escape(text[end : match.start()]), f'<a href="#{target}">{escape(match[0])}</a>']
        end = match.end()
    parts.append(escape(text[end:]))
    return Markup("".join(parts)) if end else Markup(f'<a href="#{target}">{escape(text)}</a>')


def _gathered(said: Sequence[Said]) -> list[Said]:
    """Sentences that begin alike, up to a colon, as one with its parts set off by semicolons."""
    heads = {one.text.partition(": ")[0] for one in said}
    if len(said) < 2 or len(heads) != 1:
        return list(said)
    head = heads.pop() + ": "
    tails = [one.text.removeprefix(head).rstrip(".") for one in said]
    text = head + "; ".join(tails) + "."
    return [Said(Markup(escape(text)), text)]
