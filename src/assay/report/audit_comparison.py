"""Words of a comparison of two audits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.core.measures import label_of
from assay.report.evidence import Evidence, whole
from assay.report.opening import Account, Opening
from assay.report.sentences.audit import factor_words
from assay.report.sentences.leads import SOUGHT
from assay.report.words import difference_words, sentence_case
from assay.results.audit_blocks import DIFFERENCES
from assay.stats.format import in_words, listed, number
from assay.stats.rows import Row


def comparison_account(evidence: Evidence) -> Account:
    """Return the words on a comparison of two audits."""
    rows, names = evidence.tables["compared"], (evidence.facts["first"], evidence.facts["second"])
    most = max(whole(row, "images") for row in rows)
    return Account(
        name="comparison",
        question=f"How do {names[0]} and {names[1]} differ?",
        meta=f"{most:,} images that both audits read, paired by image; first: {names[0]}, second: {names[1]}",
        verdict=_headline(rows, names),
        opening=Opening((), tuple(comparison_lines(rows, names)), (), ()),
        doubts=(),
        limits=(),
        methods=(DIFFERENCES.note,),
    )


def _headline(rows: Sequence[Row], names: tuple[str, str]) -> str:
    differing = [row for row in rows if row["decision"] == "differs" and not math.isnan(row["p"])]
    overall = [label_of(row["measure"]) for row in differing if not row["factor"]]
    factors = list(dict.fromkeys(factor_words(row) for row in differing if row["factor"]))
    parts = [*dict.fromkeys(overall), *([f"the swing of {listed(factors)}"] if factors else [])]
    if not parts:
        return f"No difference between {names[0]} and {names[1]} is shown."
    return f"{names[0]} and {names[1]} differ in {listed(parts)}."


def comparison_lines(rows: Sequence[Row], names: tuple[str, str]) -> list[str]:
    """Return the comparison as sentences: performance, then every factor whose swing or verdict differs."""
    on = f" on the {max(whole(row, 'images') for row in rows):,} images that both read"
    made = [f"{_subject(row)}{on}: {_values(row, names)}." for row in rows if row["kind"] == "performance"]
    made += [
        f"{SOUGHT[row['factor']]}: {_verdicts(row, names)}; effect {number(row['a'], 2)} and {number(row['b'], 2)} sd"
        for row in rows
        if row["kind"] == "region"
    ]
    alike, without = list[str](), list[str]()
    for factor in dict.fromkeys(row["factor"] for row in rows if row["kind"] not in ("performance", "region")):
        own = [row for row in rows if row["factor"] == factor]
        leading = next((row for row in own if not math.isnan(row["p"])), None)
        verdicts = own[0].get("verdict_a", ""), own[0].get("verdict_b", "")
        if leading is None or (verdicts[0] == verdicts[1] and leading["decision"] == "inconclusive"):
            (without if leading is None else alike).append(factor_words(own[0]))
            continue
        changed = "" if verdicts[0] == verdicts[1] else f" Verdicts: {_verdicts(own[0], names)}."
        made.append(f"{_subject(leading)}: {_values(leading, names)}.{changed}")
    if alike:
        made.append(f"No difference shown: {', '.join(alike)}.")
    if without:
        made.append(f"Not compared: {', '.join(without)}.")
    return list(map(sentence_case, made))


def _verdicts(row: Row, names: tuple[str, str]) -> str:
    codes = (str(row.get(f"verdict_{side}", "")) for side in "ab")
    return ", ".join(
        f"{in_words(code.replace('-', ' ')) or 'not tested'} ({name})" for code, name in zip(codes, names, strict=True)
    )


def _subject(row: Row) -> str:
    of = f" ({row['class']} against the rest)" if row["class"] else ""
    name = label_of(row["measure"])
    return f"{factor_words(row)} ({row['dose']}), {name}{of}" if row["factor"] else f"{name}{of}"


def _values(row: Row, names: tuple[str, str]) -> str:
    return (
        f"{number(row['a'], 3)} for {names[0]} and {number(row['b'], 3)} for {names[1]}, difference "
        f"{difference_words(row['value'], row['low'], row['high'])}"
    )
