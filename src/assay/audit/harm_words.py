"""Title, sentences, rows and key figures of an audit, from its findings in order of harm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from assay.audit.harms import MIN_CUE_AUROC, WHOLE_IMAGE_FAMILIES, harms_of, has_own_finding, margin_of
from assay.audit.search.words import (
    REPORTED,
    carried_words,
    content_words,
    operating_point_words,
    power_sentences,
    region_evidence,
    region_sentences,
    region_title,
    searched_words,
    with_article,
)
from assay.audit.tables import NOT_TESTED
from assay.audit.words import (
    SHIFT_NAME,
    chip_of_check,
    factor_words,
    group_by_family,
    is_tied,
    reported_verdicts,
    side_words,
    verdict_title,
)
from assay.core.measures import label_of
from assay.report.account import KeyFigure, ResultLine
from assay.report.drawing import EffectSize
from assay.report.sentences.cues import added_words
from assay.report.sentences.reasons import cue_words
from assay.report.words import VERDICTS, difference_words, sentence_case, signed_text, value_text
from assay.stats.bounds import MARGIN
from assay.stats.format import count, in_words, join_words, number, unrounded, with_interval
from assay.stats.harms import COSTLY_LOSS, MAX_ON_FIRST_SCREEN, Harm, Rank, costly_harms
from assay.stats.rows import RegionVerdict, Row, Verdict, leading_region, numeric
from assay.store.data_tables import LARGE

Tables = Mapping[str, Sequence[Row]]
ANSWER_TABLES = ("regions", "verdicts", "added", "checks", "issues", "distorted", "groups", "gaps",
            "provenance", "shortcuts")  # fmt: skip
"""Tables that the answer of an audit is from."""
MAX_NAMED = 3
MAX_DRAWN_NAMED = 6
"""Drawn marks without a verified effect that a sentence names."""
_DEGREES = ("mild", "mild", "moderate", "strong", "strong")
"""Severity of a distortion from 1 on, in words."""
_TITLE_RANKS = (Rank.INVALID, Rank.SHORTCUT, Rank.CUE)
"""Classes of which the first finding is the title."""
_LIGHTS = {Rank.INVALID: "bad", Rank.SHORTCUT: "bad", Rank.CUE: "warn", Rank.SHIFT: "warn"}
_PERFORMANCE = ("auroc", "auroc-macro", "dice", "accuracy")


# Sentences.


def answer_words(tables: Tables) -> list[str]:
    """Return the answer of an audit in sentences, the title first: the same on the page, in the terminal and in files.

    The title is the first finding on invalid data, a shortcut or a cue; else that no shortcut was found, with the
    first finding of another kind.
    """
    return [text for _, text in _sentences(tables, harms_of(tables))]


def _sentences(tables: Tables, harms: Sequence[Harm]) -> list[tuple[str, str]]:
    """Return the sentences of the answer, each with its topic: "" where it is on no finding."""
    topics: dict[str, list[Harm]] = {}
    for harm in harms:
        topics.setdefault(_topic(harm), []).append(harm)
    title_sentences: list[tuple[str, str]] = []
    other_sentences: list[tuple[str, str]] = []
    for topic, members in topics.items():
        part = title_sentences if members[0].rank in _TITLE_RANKS else other_sentences
        part.extend((topic, text) for text in _SENTENCES[topic](members, tables))
        part.extend([("carried", carried_words(tables))] if topic == "relied" else [])
    if not any(harm.rank in (Rank.SHORTCUT, Rank.CUE) for harm in harms):
        shift_in_title = any(harm.rank == Rank.SHIFT for harm in harms) and not title_sentences
        worst = other_sentences.pop(0)[1] if shift_in_title else ""
        title_sentences += [("", text) for text in _no_shortcut_sentences(tables, worst)]
    drawn = [
        sentence for sentence in other_sentences if sentence[0] == "drawn"
    ]  # after what is known, since clean networks have them too
    other_sentences = [sentence for sentence in other_sentences if sentence[0] != "drawn"]
    if "cue" not in topics:
        other_sentences.append(("", added_words(tables.get("added", ()), cues=tables.get("shortcuts", ()))))
    return [
        (topic, text)
        for topic, text in (*title_sentences, *other_sentences, *_undecided_sentences(tables, harms), *drawn)
        if text
    ]


def _topic(harm: Harm) -> str:
    """Return which findings share a sentence."""
    if harm.kind == "mark":
        return {Rank.SHORTCUT: "relied", Rank.SHIFT: "distortion"}.get(harm.rank, "drawn")
    return harm.kind


def row_of(harm: Harm, tables: Tables) -> Row:
    """Return the row that a finding cites."""
    return tables[harm.table][harm.row]


def _check_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    for harm in harms:
        row = row_of(harm, tables)
        fields = {**row, "text": row["text"].rstrip(".")}
        yield f"{sentence_case(_CHECKS.get(harm.code, '{text}').format(**fields))}."


_CHECKS: Mapping[str, str] = {
    "repeatable": "{text}: switch off randomness, such as dropout, and repeat the audit",
    "ranking": "{measure} is {value:.2f} on these images: no better than chance",
    "training-copies": "{value:.0f} of these images are copies of training images",
    "training-patients": "{value:.0f} patients are in the training images too",
}
"""Check -> its sentence; its own text where it has none here."""


def _label_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    yield f"{count(int(harms[0].images), 'label')} may be wrong: predictions from other patients contradict them."


def _relied_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    rows = [row_of(harm, tables) for harm in harms]
    families = group_by_family(rows)
    row, flips = families[0][0], numeric(families[0][0], "flips")
    it = "it" if len(families) == 1 else with_article(row)
    calls = f": adding {it} changes {100 * flips:.0f}% of predictions" if flips >= MARGIN else ""
    verb = (
        "applied to" if any(row.get("family") in WHOLE_IMAGE_FAMILIES for row in rows) else "drew on"
    )  # noise or contrast is not drawn
    names = [with_article(first) + (" (and similar marks)" if like else "") for first, *like in families]
    yield f"This model relies on {_first_names(names, 'further marks')}, which this audit {verb} the images{calls}."


def _distorted_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    named = harms[:MAX_NAMED]
    names = [_distortion_words(harm, tables) for harm in named]
    losses, more = [number(harm.lost) for harm in named], len(harms) - len(named)
    verb = "reduces" if len(named) == 1 else "reduce"
    also = f"; so {'does' if more == 1 else 'do'} {more} more" if more else ""
    yield sentence_case(
        f"{join_words(names)} {verb} {_performance_measure(harms[0], tables)} by {join_words(losses)}{also}."
    )


def _distortion_words(harm: Harm, tables: Tables) -> str:
    """Return a distortion in words, with its severity: `mild X-ray noise`."""
    row = row_of(harm, tables)
    name = factor_words({"kind": "mark", **row})
    return f"{_DEGREES[int(row['severity']) - 1]} {name}" if harm.kind == "distortion" else name


def _performance_measure(harm: Harm, tables: Tables) -> str:
    return "AUROC" if math.isnan(numeric(row_of(harm, tables), "dice")) else "Dice"


def _group_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    for harm in harms[:1]:
        row = row_of(harm, tables)
        worse, better = _worse_first(row)
        lower = f"{number(abs(row['value']))} lower in {in_words(row['column'])} {worse} than in {better}"
        yield f"{sentence_case(label_of(row['measure']))} is {lower}."


def _worse_first(gap: Row) -> tuple[str, str]:
    """Return the two groups of a gap, the one with the lower performance first."""
    return (gap["a"], gap["b"]) if gap["value"] < 0 else (gap["b"], gap["a"])


def _threshold_sentences(_: Sequence[Harm], tables: Tables) -> Iterator[str]:
    yield from (f"At its threshold the model {does}." for does in operating_point_words(tables))


def _column_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    names = [factor_words(row_of(harm, tables)) for harm in harms]
    yield f"Scores differ with {_first_names(names, 'other columns')}."


def _drawn_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    """Yield the drawn marks that change predictions: nothing is claimed, since networks in general are moved."""
    names, change = [with_article(row_of(harm, tables)) for harm in harms], "changes" if len(harms) == 1 else "change"
    named = (
        names
        if len(names) <= MAX_DRAWN_NAMED + 1
        else [*names[:MAX_DRAWN_NAMED], f"{len(names) - MAX_DRAWN_NAMED} more marks"]
    )
    changed = f"{join_words(named)} {change} predictions, as such marks can in networks without a shortcut too."
    yield sentence_case(changed)


def _cue_sentences(harms: Sequence[Harm], tables: Tables) -> Iterator[str]:
    row = row_of(harms[0], tables)
    cue, alone = cue_words(row["kind"], row["name"]), number(row["cue"])
    less = "is worse than" if row["verdict"] == "below" else "is not shown to be better than"
    yield f"The model {less} {cue}: AUROC {number(row['network'])} against {alone}."
    if not math.isnan(numeric(row, "value")):
        yield f"Among images with similar values of this cue its AUROC is {value_text(row)}."


def _first_names(names: Sequence[str], rest: str) -> str:
    return join_words(list(names) if len(names) <= MAX_NAMED + 1 else [*names[:MAX_NAMED], rest])


_SENTENCES: Mapping[str, Callable[[Sequence[Harm], Tables], Iterator[str]]] = {
    "check": _check_sentences,
    "issue": _label_sentences,
    "region": lambda _, tables: iter(region_sentences(tables)),
    "relied": _relied_sentences,
    "cue": _cue_sentences,
    "distortion": _distorted_sentences,
    "group": _group_sentences,
    "threshold": _threshold_sentences,
    "column": _column_sentences,
    "drawn": _drawn_sentences,
}
"""Findings that share a sentence -> their sentences."""


def _no_shortcut_sentences(tables: Tables, worst: str) -> Iterator[str]:
    """Yield that no shortcut was found, with the worst finding of another kind, and what was searched."""
    regions = [row for row in tables["regions"] if row["verdict"] != NOT_TESTED and row["of"] in ("place", "whole")]
    tested = [row for row in tables["verdicts"] if row["verdict"] != NOT_TESTED]
    counts = {kind: sum(row["kind"] == kind for row in tested) for kind in ("mark", "column")}
    distortions = len({row["factor"] for row in tables.get("distorted", ())})
    images = "training images" if regions and regions[0]["trained"] else "images"
    facts = {row["key"]: row["value"] for row in tables.get("provenance", ())}
    images = "predictions" if facts.get("kind") == "predictions" else images
    parts = [f"the regions of these {images}"] if regions else []
    parts += [
        count(n, thing)
        for n, thing in ((counts["mark"], "drawn mark"), (counts["column"], "column"), (distortions, "distortion"))
        if n
    ]
    is_open = bool(regions or tested) and all(row["verdict"] == Verdict.INCONCLUSIVE for row in (*regions, *tested))
    other_finding = f", but {worst[:1].lower() if not worst[:2].isupper() else worst[:1]}{worst[1:]}" if worst else "."
    region = leading_region(tables["regions"])
    if region is not None:
        part = "" if region["of"] == "whole" or region["kind"] == "border" else "; it may be part of the disease"
        yield f"No shortcut was verified: whether this model relies on {content_words(region)} is inconclusive{part}."
        if worst:
            yield worst
    elif not regions and not tested:
        yield f"No shortcut was searched for: no mark or column was tested{other_finding}"
    elif is_open:
        yield f"Whether this model uses a shortcut is open: all that was tested is inconclusive{other_finding}"
    elif not regions and images != "predictions":
        drawn = [count(n, thing) for n, thing in ((counts["mark"], "drawn mark"), (counts["column"], "column")) if n]
        yield f"No shortcut was found with {join_words(drawn)}; regions of the images were not searched{other_finding}"
    else:
        yield f"No shortcut was found in these {images}{other_finding}"
    if parts and (region is not None or not is_open):
        lacking = "" if images == "training images" else " A shortcut that is absent from these images cannot be found."
        yield f"Searched: {join_words(parts)}.{lacking}"


def _undecided_sentences(tables: Tables, harms: Sequence[Harm]) -> Iterator[tuple[str, str]]:
    """Yield columns that are tied to the target, and how many factors are inconclusive, with their topics."""
    rows = _other_verdicts(tables, harms)
    if names := [factor_words(row) for row in rows if is_tied(row)]:
        are, them = ("is", "it") if len(names) == 1 else ("are", "them")
        tied = f"In these images {join_words(names)} {are} tied to the target"
        yield "", f"{tied}, so the effect of {them} on the model cannot be isolated."
    region = leading_region(tables["regions"])
    if (
        region is not None
        and region["verdict"] == RegionVerdict.INCONCLUSIVE
        and harms
        and harms[0].rank in _TITLE_RANKS
    ):
        yield "", f"Whether this model relies on {content_words(region)} is inconclusive."
    inconclusive = sum(row["verdict"] == Verdict.INCONCLUSIVE for row in rows)
    if inconclusive:
        are = "is" if inconclusive == 1 else "are"
        yield _INCONCLUSIVE_COUNT, f"{count(inconclusive, 'test')} of marks and columns {are} inconclusive."


_INCONCLUSIVE_COUNT = "counted"
"""Topic of the number of inconclusive tests."""


def _other_verdicts(tables: Tables, harms: Sequence[Harm]) -> list[Row]:
    """Return the verdicts on marks and columns that are no findings, and that the leading region does not explain."""
    finding_rows_at = {harm.row for harm in harms if harm.table == "verdicts"}
    return [
        row for at, row in enumerate(tables["verdicts"]) if at not in finding_rows_at and has_own_finding(row, tables)
    ]


# Rows of the first screen.


def harm_lines(tables: Tables, harms: Sequence[Harm], margin: float) -> Iterator[ResultLine]:
    """Yield the findings as rows of the first screen."""
    for harm in harms:
        numbers, size = _harm_size(harm, tables, margin)
        calls = "" if math.isnan(harm.calls) else f"{100 * harm.calls:.0f}%"
        images = "" if math.isnan(harm.images) else f"{harm.images:,.0f}"
        anchor = _ANCHORS.get(harm.table, harm.table)
        if harm.table == "verdicts" and _is_shift(harm):  # the cell with the same numbers
            anchor = f"row-verdicts-{harm.row}"
        yield ResultLine(
            f"{harm_name(harm, tables)}:",
            numbers,
            anchor,
            light=_LIGHTS.get(harm.rank, ""),
            size=size,
            harm=calls,
            images=images,
        )


_ANCHORS = {"checks": "trust"}
MAX_TERMINAL_NAMES = 3
"""So many marks of a verdict are named in the terminal."""
SEE_BELOW = "see below"
"""In place of the numbers of a finding that has none."""


def harm_name(harm: Harm, tables: Tables) -> str:
    """Return a finding as the head of a row."""
    row = row_of(harm, tables)
    match harm.kind:
        case "region":
            return region_title(row)
        case "mark" if harm.rank == Rank.SHIFT:
            return sentence_case(factor_words(row))
        case "mark" | "column":
            return verdict_title(row, "")
        case "distortion":
            return f"{sentence_case(factor_words({'kind': 'mark', **row}))}, severity {row['severity']} of 5"
        case "group":
            return f"{sentence_case(in_words(row['column']))} {' against '.join(_worse_first(row))}"
        case "threshold":
            return f"{sentence_case(row['measure'])} at the threshold"
        case "cue":
            less = "Worse than" if row["verdict"] == "below" else "Not shown to be better than"
            return f"{less} {cue_words(row['kind'], row['name'])}"
        case "issue":
            return "Suspected labels"
        case _:
            return _CHECK_NAMES.get(row["check"]) or sentence_case(chip_of_check(row) or row["text"])


_CHECK_NAMES = {
    "ranking": "No better than chance",
    "training-copies": "Copies of training images",
    "training-patients": "Patients of the training images",
    "expected": "Not the expected performance",
}


def _harm_size(harm: Harm, tables: Tables, margin: float) -> tuple[str, EffectSize | None]:
    """Return the numbers of a finding as words, and for the chart."""
    row = row_of(harm, tables)
    if harm.kind == "cue":
        return f"AUROC {number(row['network'])}, of the cue {number(row['cue'])}", None
    if harm.kind == "threshold":
        return value_text(row), None
    if harm.kind == "group":
        low, high = sorted(abs(numeric(row, end)) for end in ("low", "high"))
        size = abs(row["value"]), low, high
        measure = label_of(row["measure"])
        interval = None if math.isnan(harm.lost) else EffectSize(*size, f"{measure} gap", margin)
        return f"{measure} lower by {with_interval(*size)}", interval
    if math.isnan(harm.lost):
        value = number(row["value"], 3 if row["value"] < 1 else 0) if harm.table == "checks" else ""
        return (value if value not in ("", "undefined") else SEE_BELOW), None
    if _is_shift(harm):
        ends = ("g_low", "g_high") if harm.kind == "region" else ("low", "high")
        value, low, high = (numeric(row, name) for name in ("g", *ends))
        group = side_words(row) if harm.table == "verdicts" else ""
        words = f"{SHIFT_NAME} {difference_words(value, low, high)}{group}{_limit_words(row)}"
        return words, EffectSize(value, low, high, SHIFT_NAME, margin)
    unit = f"{_performance_measure(harm, tables)} lost"
    size = (harm.lost, harm.low, harm.high)
    limit = _limit_words(row) if harm.kind == "mark" else ""
    shift = f"; shift {signed_text(numeric(row, 'g'), 2)}{limit}" if limit else ""
    return f"{unit} {with_interval(*size)}{shift}", EffectSize(*size, unit, margin)


def _limit_words(row: Row) -> str:
    """Return the limit of reference networks for the shift by a mark; empty of others, and where it has none."""
    limit = numeric(row, "limit") if row.get("kind") == "mark" else math.nan
    return "" if math.isnan(limit) else f", limit {number(limit)}"


def _is_shift(harm: Harm) -> bool:
    """Return whether the size of a finding is the AUROC shift."""
    return harm.kind in ("region", "column") or (harm.kind == "mark" and harm.rank == Rank.SHORTCUT)


def terminal_lines(tables: Tables) -> Iterator[str]:
    """Yield the answer as lines of a terminal, each finding once.

    They are the title, the findings of the first screen, the costly ones that follow, and what is no finding.
    """
    harms = harms_of(tables)
    (_, headline), *sentences = _sentences(tables, harms)
    yield headline
    yield from (text for topic, text in sentences if topic in ("region", "carried"))
    for line in islice(harm_lines(tables, harms, margin_of(tables)), MAX_ON_FIRST_SCREEN):
        if line.numbers == SEE_BELOW:  # its sentence follows, or was the headline
            continue
        calls = f"; {line.harm} of predictions change" if line.harm else ""
        yield f"  {line.decision} {line.numbers}{calls}"
    if rest := further_words(tables, harms):
        yield f"  {rest}"
    yield from relation_words(tables, harms)
    yield from (text for topic, text in sentences if topic in ("", "drawn", "check", "issue"))
    yield from _search_words(tables)
    yield from _others_words(tables, harms)


def _search_words(tables: Tables) -> Iterator[str]:
    """Yield how sure the search of the images is: of the region that leads, else of the first search."""
    searched = [row for row in tables["regions"] if row["verdict"] != NOT_TESTED]
    row = leading_region(searched) or next(iter(searched), None)
    if row is None:
        return
    if row["verdict"] == RegionVerdict.NOTHING_FOUND:
        first, *_ = searched_words(searched)
        yield " ".join((first, *power_sentences(searched)))
    elif row["verdict"] in REPORTED:
        yield f"Evidence of the region: {region_evidence(row)}."
    else:
        yield f"{region_title(row)}; {region_evidence(row)}."


def _others_words(tables: Tables, harms: Sequence[Harm]) -> Iterator[str]:
    """Yield the number of marks and columns that are no findings, by their verdict, and the names of few.

    Harmless marks are counted only where the search found nothing within known limits, see `reported_verdicts`.
    """
    others, shown = _other_verdicts(tables, harms), reported_verdicts(tables)
    names: dict[str, list[str]] = {}
    for row in others:
        if row in shown:
            names.setdefault(VERDICTS[row["verdict"]].text, []).append(factor_words(row))
    parts = [
        f"{len(names_of_verdict)} {verdict}"
        + (f" ({', '.join(names_of_verdict)})" if len(names_of_verdict) <= MAX_TERMINAL_NAMES else "")
        for verdict, names_of_verdict in names.items()
    ]
    if parts:
        yield f"Other marks and columns: {', '.join(parts)}."


def finding_rows(tables: Tables) -> list[dict[str, Any]]:
    """Return the findings as rows of `verdicts.json`."""
    harms = harms_of(tables)
    lines = harm_lines(tables, harms, margin_of(tables))
    return [
        {
            **{key: None if value != value else value for key, value in asdict(harm).items()},
            "name": line.decision.removesuffix(":"),
            "numbers": line.numbers,
        }
        for harm, line in zip(harms, lines, strict=True)
    ]


def legend_words(tables: Tables, harms: Sequence[Harm]) -> str:
    """Return what limits, severities and sizes of the first screen mean; empty where it shows none to be told apart."""
    shown = [harm for harm in harms[:MAX_ON_FIRST_SCREEN] if not math.isnan(harm.lost)]
    lost = [harm for harm in shown if not _is_shift(harm) and harm.kind != "group"]
    parts: list[str] = []
    if any(_limit_words(row_of(harm, tables)) for harm in shown if harm.kind == "mark"):
        parts.append(
            "Limit: the largest shift in reference networks, which never saw the mark; beyond it a model "
            "relies on the mark."
        )
    if lost and any(map(_is_shift, shown)):
        measure = _performance_measure(lost[0], tables)
        parts.append(f"{measure} lost: the mark is on all images. {SHIFT_NAME}: it is on images of one class only.")
    if any(harm.kind == "distortion" for harm in shown):
        parts.append(f"Severity: the mildest that costs more than {unrounded(margin_of(tables))}.")
    return " ".join(parts)


def bounds_words(harms: Sequence[Harm]) -> str:
    """Return what the brackets of the first screen are; empty where it shows none."""
    kinds = {harm.kind for harm in harms[:MAX_ON_FIRST_SCREEN]}
    two_sided = (("cue", "cues"), ("group", "groups"), ("threshold", "the threshold"))
    together = [name for kind, name in two_sided if kind in kinds]
    one_sided = (
        "Brackets are 90% intervals (each end is a 95% bound)"
        if kinds & {"region", "mark", "column", "distortion"}
        else ""
    )
    if not together:
        return f"{one_sided}." if one_sided else ""
    return (
        f"{one_sided}. Those of {join_words(together)} are 95% intervals."
        if one_sided
        else "Brackets are 95% intervals."
    )


def further_words(tables: Tables, harms: Sequence[Harm]) -> str:
    """Return how many findings the first screen has no row for, and the costly ones of them; empty without any."""
    names, more = [harm_name(harm, tables) for harm in costly_harms(harms)], len(harms[MAX_ON_FIRST_SCREEN:])
    if not more:
        return ""
    cost = f"{len(names)} {'costs' if len(names) == 1 else 'cost'} {COSTLY_LOSS} or more: {'; '.join(names)}"
    return f"{count(more, 'more finding')}{f', of which {cost}' if names else ''}."


_RANK_NAMES = {
    Rank.INVALID: "what makes numbers invalid", Rank.SHORTCUT: "shortcuts", Rank.CUE: "cues",
    Rank.SHIFT: "losses (changed images, groups, threshold)", Rank.OTHER: "others",
}  # fmt: skip
"""Class of a finding -> its name in the order of the first screen."""


def notes_words(tables: Tables, harms: Sequence[Harm]) -> str:
    """Return the order of the findings, which belong together, what the brackets are, and what the rows mean."""
    parts = (
        _order_words(tables, harms),
        *relation_words(tables, harms),
        bounds_words(harms),
        legend_words(tables, harms),
    )
    return " ".join(filter(None, parts))


def relation_words(tables: Tables, harms: Sequence[Harm]) -> Iterator[str]:
    """Yield how several findings on one column of the table belong together, a sentence for each column.

    A column may predict the target, scores may differ with it within classes, and performance between its groups.
    """
    parts: dict[str, dict[str, str]] = {}
    for harm in harms:
        if harm.table not in ("verdicts", "gaps"):
            continue
        row = tables[harm.table][harm.row]
        if harm.table == "verdicts" and row["kind"] == "column":
            parts.setdefault(row["factor"], {})["shift"] = "scores differ with it within classes"
        elif harm.table == "gaps":
            words = f"{label_of(row['measure'])} differs between its groups"
            parts.setdefault(row["column"], {}).setdefault("gap", words)
    cues = [row for row in tables.get("added", ()) if numeric(row, "cue") >= MIN_CUE_AUROC]
    cues += [row for row in tables.get("shortcuts", ()) if row["strong"] and row["of"] != LARGE]
    for row in cues:
        if row["kind"] in ("column", "factor") and row["name"] in parts:
            auroc = numeric(row, "cue" if "cue" in row else "value")
            parts[row["name"]].setdefault("cue", f"it predicts the target (AUROC {number(auroc)})")
    for column, clauses_of_kind in parts.items():
        if len(clauses_of_kind) > 1:
            clauses = [clauses_of_kind[kind] for kind in ("cue", "shift", "gap") if kind in clauses_of_kind]
            yield f"Findings on {in_words(column)} may have one cause: {join_words(clauses)}."


def _order_words(tables: Tables, harms: Sequence[Harm]) -> str:
    """Return in which order the findings of the first screen are; empty of one alone."""
    kinds = list(dict.fromkeys(_RANK_NAMES[harm.rank] for harm in harms[:MAX_ON_FIRST_SCREEN]))
    if len(harms) < 2:
        return ""
    within = f"by the lower bound of {measure_name(tables)} lost or shifted"
    return f"Order: {', then '.join(kinds)}; within a kind {within}." if len(kinds) > 1 else f"Order: {within}."


def measure_name(tables: Tables) -> str:
    """Return the measure that is lost: Dice of a segmentation, else AUROC."""
    rows = (*tables["verdicts"], *tables.get("distorted", ()))
    return "AUROC" if all(math.isnan(numeric(row, "dice")) for row in rows) else "Dice"


# Key figures.


def audit_tiles(tables: Tables, facts: Mapping[str, str], harms: Sequence[Harm]) -> list[KeyFigure]:
    """Return performance, the two most harmful sizes, the threshold, and the worst group."""
    groups = [row for row in tables["groups"] if not math.isnan(numeric(row, "value"))]
    overall = {row["measure"]: row for row in groups if not row["column"]}
    main = next((name for name in _PERFORMANCE if name in overall), "")
    tiles: list[KeyFigure] = []
    if main:
        patients = f", {facts['patients']} patients" if facts.get("intervals over") == "patients" else ""
        of = f"{overall[main]['images']:,} images{patients}"
        tiles.append(_tile(f"{label_of(main)} on these images", overall[main], of))
    topics: dict[str, Harm] = {}
    for harm in harms:
        topics.setdefault(_topic(harm), harm)
    sized = [topics[topic] for topic in topics if topic in ("region", "relied", "distortion")]
    tiles += [_effect_tile(harm, tables) for harm in sized[:2]]
    harmful = {harm.code for harm in harms if harm.kind == "threshold"}
    if "sensitivity" in overall:
        worse = "specificity" if harmful == {"specificity"} else "sensitivity"
        other = "sensitivity" if worse == "specificity" else "specificity"
        of = (
            f"{other} {number(overall[other]['value'])}; threshold {facts.get('threshold', '')}"
            if other in overall
            else ""
        )
        tiles.append(_tile(f"{sentence_case(worse)} at the threshold", overall[worse], of, "warn" if harmful else ""))
    parts = [row for row in groups if row["column"] and row["measure"] == main]
    if parts:
        worst = min(parts, key=lambda row: row["value"])
        light = "warn" if any(harm.kind == "group" for harm in harms) else ""
        tiles.append(_tile("Worst group", worst, f"{in_words(worst['column'])} {worst['level']}", light))
    return tiles


def _tile(name: str, row: Row, of: str, light: str = "") -> KeyFigure:
    value, _, interval = value_text(row).partition(" ")
    return KeyFigure(name, value, interval, of, light)


def _effect_tile(harm: Harm, tables: Tables) -> KeyFigure:
    """Return the changed predictions of a mark or its shift of AUROC, or the loss under a distortion."""
    row, light = row_of(harm, tables), _LIGHTS.get(harm.rank, "")
    images = f"{harm.images:,.0f} images" if harm.images == harm.images else ""
    size = number(harm.lost), f"[{number(harm.low)}, {number(harm.high)}]", images, light
    if harm.rank == Rank.SHIFT:
        return KeyFigure(f"{_performance_measure(harm, tables)} lost, {_distortion_words(harm, tables)}", *size)
    what = (
        content_words(row)
        if harm.kind == "region"
        else f"{'applying' if row.get('family') in WHOLE_IMAGE_FAMILIES else 'adding'} {with_article(row)}"
    )
    if math.isnan(harm.calls):
        return KeyFigure(f"{_performance_measure(harm, tables)} shift by {what}", *size)
    ends = [number(100 * numeric(row, end), 0) for end in ("flips_low", "flips_high")]
    return KeyFigure(
        f"Predictions changed by {what}", f"{100 * harm.calls:.0f}%", f"[{', '.join(ends)}]", images, light
    )
