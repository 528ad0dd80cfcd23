"""Sentences and page of a comparison of two audits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.report.evidence import numeric, whole
from assay.report.page import rendered, written
from assay.report.sentences.audit import factor_words
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, Line, Sheet, amount, figure, sheet, words
from assay.report.words import difference_words
from assay.report.words import measure_words as measure_name
from assay.stats.format import in_words, number
from assay.store.audit_tables import COMPARED
from assay.store.files import Row, write_json
from assay.store.schema import SCHEMA_VERSION

FILE = "comparison.json"


@dataclass(frozen=True)
class ComparisonContent:
    """Everything that the template shows."""

    title: str
    meta: str
    answer: tuple[str, ...]
    sheet: Sheet


def write_comparison(root: Path, rows: Sequence[Row], names: tuple[str, str]) -> Path:
    """Write `comparison.json` and `report.html` of two audits, and return the path of the page.

    Args:
        root: The folder.
        rows: Rows of `audit_tables.COMPARED`.
        names: The audits.
    """
    complete = [{name: row[name] for name in COMPARED.names} for row in rows]
    write_json(root / FILE, {"schema": SCHEMA_VERSION, "a": names[0], "b": names[1], "compared": complete})
    most = max(whole(row, "images") for row in rows)
    content = ComparisonContent(
        f"How do {names[0]} and {names[1]} differ?",
        f"{most:,} images that both audits read, paired by image",
        tuple(comparison_lines(rows, names)),
        _sheet(rows, names),
    )
    return written(root, rendered("comparison.html", content), "compare fewer marks")


def comparison_lines(rows: Sequence[Row], names: tuple[str, str]) -> list[str]:
    """Return the comparison as sentences: performance, then every factor whose swing or verdict differs."""
    made = [f"{_subject(row)}: {_values(row, names)}." for row in rows if row["kind"] == "performance"]
    factors = list(dict.fromkeys(row["factor"] for row in rows if row["kind"] != "performance"))
    alike, without = list[str](), list[str]()
    for factor in factors:
        own = [row for row in rows if row["factor"] == factor]
        known = [row for row in own if not math.isnan(numeric(row, "value"))]
        leading = max(known, key=lambda row: abs(row["value"]), default=None)
        verdicts = own[0].get("verdict_a", ""), own[0].get("verdict_b", "")
        if leading is None or (verdicts[0] == verdicts[1] and leading["low"] <= 0 <= leading["high"]):
            (without if leading is None else alike).append(factor_words(own[0]))
            continue
        both = [f"{_verdict(code)} ({name})" for code, name in zip(verdicts, names, strict=True)]
        changed = "" if verdicts[0] == verdicts[1] else f" Verdicts: {', '.join(both)}."
        made.append(f"{_subject(leading)}: {_values(leading, names)}.{changed}")
    if alike:
        made.append(f"No difference shown: {', '.join(alike)}.")
    if without:
        made.append(f"Not compared: {', '.join(without)}.")
    return [text[:1].upper() + text[1:] for text in made]


def _subject(row: Row) -> str:
    of = f" ({row['class']} against the rest)" if row["class"] else ""
    name = "swing" if row["measure"] == "swing" else measure_name(row["measure"])
    return f"{factor_words(row)} ({row['dose']}), {name}{of}" if row["factor"] else f"{name}{of}"


def _values(row: Row, names: tuple[str, str]) -> str:
    return (
        f"{number(row['a'], 3)} for {names[0]} and {number(row['b'], 3)} for {names[1]}, difference "
        f"{difference_words(row['value'], row['low'], row['high'])}"
    )


def _verdict(code: str) -> str:
    return in_words(code.replace("-", " ")) or "not tested"


def _sheet(rows: Sequence[Row], names: tuple[str, str]) -> Sheet:
    lines = [
        Line(
            (
                words(factor_words(row) if row["factor"] else measure_name(row["measure"])),
                words(" ".join(filter(None, (row["dose"], row["class"]))) or NONE),
                figure(numeric(row, "a"), 3),
                figure(numeric(row, "b"), 3),
                words(_interval(row)),
                words(_verdict(row["verdict_a"]) if row["factor"] else NONE),
                words(_verdict(row["verdict_b"]) if row["factor"] else NONE),
                amount(whole(row, "images")) if whole(row, "images") else figure(math.nan),
            )
        )
        for row in rows
    ]
    heads = ("mark or column", "strength or group", names[0], names[1], "difference [95% CI]", f"verdict, {names[0]}",
             f"verdict, {names[1]}", "images")  # fmt: skip
    return sheet("compared", "Performance, and the swing of marks and columns", heads, lines, (rows, COMPARED))


def _interval(row: Row) -> str:
    if math.isnan(numeric(row, "value")):
        return reason_words(row["reason"]) if row["reason"] else NONE
    return difference_words(row["value"], row["low"], row["high"])
