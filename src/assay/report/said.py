"""The page's sentences with their numbers linked to the rows that they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from assay.report.tables import Tables
from assay.store.files import Row

SECTIONS = {"estimates": "reliance", "trials": "trials", "environments": "environments"}
"""What a sentence names as its evidence beside a contrast, and where that stands in the page."""
LIGHTS = {"ok": "fine", "warn": "caution", "bad": "problem"}
NUMBER = re.compile(r"-?\d*\.?\d+ \[[^\]]+\]")


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence: as HTML with its numbers linked, as plain text, and its light as a word ("" for none)."""

    html: Markup
    text: str
    light: str
    word: str


def anchors_of(tables: Tables) -> dict[str, str]:
    """Contrast -> the id of its row in the page."""
    return {row["id"]: f"contrast-{i}" for i, row in enumerate(tables.contrasts, start=1)}


def sentences(tables: Tables, anchors: dict[str, str]) -> dict[str, list[Said]]:
    """Part (answer, doubt, limit) -> its sentences in order."""
    found: dict[str, list[Said]] = {"answer": [], "doubt": [], "limit": []}
    for row in tables.sentences:
        found.setdefault(row["part"], []).append(_said(row, anchors))
    return found


def _said(row: Row, anchors: dict[str, str]) -> Said:
    evidence = row["evidence"]
    target = anchors.get(evidence) or SECTIONS.get(evidence, "")
    light = row["light"] if row["light"] in LIGHTS else ""
    return Said(_linked(row["text"], target), row["text"], light, LIGHTS.get(light, ""))


def _linked(text: str, target: str) -> Markup:
    """Every value with an interval becomes a link; where there is none, a link follows the sentence."""
    if not target:
        return Markup(escape(text))
    parts: list[str] = []
    end = 0
    for match in NUMBER.finditer(text):
        parts += [escape(text[end : match.start()]), f'<a href="#{target}">{escape(match[0])}</a>']
        end = match.end()
    parts.append(escape(text[end:]))
    if not end:
        parts.append(f' <a class="see" href="#{target}">see the table</a>')
    return Markup("".join(parts))
