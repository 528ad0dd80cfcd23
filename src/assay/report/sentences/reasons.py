"""English of reasons, cautions and limits: the templates of `core.codes` with the fields of a cause."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.core.measures import label_of
from assay.core.reasons import Cause, Code, Reason, parse_reason
from assay.stats.format import count, in_words, join_words, number, p_value, with_interval

Fields = Mapping[str, Any]
FEW = 3
"""More recipes than this are counted in a sentence instead of named."""
MOST_PROPERTIES = 5
_CHOICE = re.compile(r"\[(\w+)\?([^\[\]|]*)(?:\|([^\[\]]*))?\]")
_SLOT = re.compile(r"\{([\w.*]+)(?::([^{}]+))?\}")
_STATUSES = {"collapsed": "collapsed", "diverged": "diverged", "failed": "failed", "pending": "not trained yet",
             "done": "without a value"}  # fmt: skip
"""Status of a training run -> its words."""


def reason_words(reason: object) -> str:
    """Return a reason in English, empty for no reason.

    Args:
        reason: A `Reason`, or its form in a row or a record.
    """
    text, link = "", ""
    for cause in _without_noise(parse_reason(reason)).causes:
        words = cause_words(cause)
        text, link = f"{text}{link}{words}", ": " if cause.code.leads else "; "
    return text


def place_words(reason: object, place: Callable[[str], str] = str) -> str:
    """Return where a worst value comes from: `sex F, class 2; age low half`.

    Args:
        reason: A `Reason`, or its form in a row.
        place: Gives an environment in words.
    """
    return "; ".join(
        _words_of_group(dict(cause.fields))
        if cause.code == Code.WORST_GROUP_PLACE
        else place(str(cause["environment"]))
        for cause in parse_reason(reason).causes
    )


def cause_words(cause: Cause) -> str:
    """Return one cause in English."""
    return fill_template(cause.code.sentence, dict(cause.fields)).removesuffix(":")


def chip_words(reason: Reason) -> str:
    """Return a caution in a few words; empty where its first code has none."""
    return fill_template(reason.causes[0].code.chip, dict(reason.causes[0].fields))


def fill_template(template: str, fields: Fields) -> str:
    """Return a template with its choices made and its slots filled.

    Examples:
        >>> fill_template("{a..b:seed}[c?: {c:few}|, none]", {"a": 1, "b": 1, "c": ()})
        '1 seed, none'
        >>> fill_template("{a..b:seed}[c?: {c:few}]", {"a": 1, "b": 1200, "c": ("x",)})
        '1 to 1,200 seeds: x'
        >>> fields = {"n": ("a", "b"), "k": ("2", "3"), "v": 0.5, "low": 0.45, "high": 0.55}
        >>> fill_template("{n*k:list}; {v:interval}", fields)
        'a (2) and b (3); 0.50 [0.45, 0.55]'
    """
    chosen = _CHOICE.sub(lambda match: match[2] if fields.get(match[1]) else match[3] or "", template)
    return _SLOT.sub(lambda match: _slot(match[1], match[2] or "", fields), chosen)


def _slot(name: str, form: str, fields: Fields) -> str:
    """Return the text of a slot: by a form of `_FORMS`, a format of numbers, or counted as the thing that it names."""
    if name == "statuses":
        return _status_words(fields)
    if form in _FORMS:
        return _FORMS[form](name, fields)
    first, _, last = name.partition("..")
    if not form or not re.fullmatch(r"[a-z][a-z ]+", form):
        return f"{fields[name]:{form}}"
    if last and fields[first] != fields[last]:
        return f"{fields[first]:,} to {count(fields[last], form)}"
    return count(fields[first], form)


def _numbers(name: str, fields: Fields) -> str:
    return " to ".join(dict.fromkeys(number(fields[end]) for end in name.split("..")))


def _list_names(name: str, fields: Fields) -> str:
    """List names, each with its count where there are two columns: `c (3) and d (5)`."""
    first, _, counts = name.partition("*")
    if counts:
        return join_words([f"{one} ({int(n):,})" for one, n in zip(fields[first], fields[counts], strict=True)])
    return join_words(list(fields[first]))


def _few_names(name: str, fields: Fields) -> str:
    more = len(fields[name]) - FEW
    return join_words([*fields[name][:FEW], *([count(more, "more recipe")] if more > 0 else [])])


def _interval_words(name: str, fields: Fields) -> str:
    value, low, high = (float(fields[field]) for field in (name, "low", "high"))
    return with_interval(value, low, high)


def _words_of_group(fields: Fields) -> str:
    """`texture part-solid benign`, `illumination low half, class 2`: a class that is a number is called one."""
    factor, level, target = (str(fields[name]) for name in ("factor", "level", "target"))
    place = f"{in_words(factor)} {in_words(level)}".strip()
    return f"{place}, class {target}" if target.isdigit() else f"{place} {in_words(target)}".strip()


def _properties(_: str, fields: Fields) -> str:
    """`factor 'view' (AUROC 0.84 [0.80, 0.88]) and 2 more`."""
    named = [
        f"{cue_words(kind, name)} (AUROC {with_interval(float(value), float(low), float(high))})"
        for kind, name, value, low, high in zip(
            *map(fields.__getitem__, ("kinds", "names", "values", "lows", "highs")), strict=True
        )
    ]
    more = [f"{len(named) - MOST_PROPERTIES} more"] if len(named) > MOST_PROPERTIES else []
    return join_words([*named[:MOST_PROPERTIES], *more])


def row_words(numbers: Sequence[str], word: str = "", where: str = "") -> str:
    """Return the name of rows: `line 5 of data.csv`, `files 3 and 8 in the listing of images/`, `rows 4 and 9`.

    Args:
        numbers: Their numbers.
        word: Word for a row.
        where: The table or folder that counts them.
    """
    listed = " in the listing of" if where.endswith("/") else " of"
    place = f"{listed} {where}" if where else ""
    return f"{word or 'row'}{'' if len(numbers) == 1 else 's'} {join_words(list(numbers))}{place}"


def _rows(name: str, fields: Fields) -> str:
    """`first` and `second` are of two sets, whose words are in fields of their own."""
    names = fields.get(f"{name}_names", (fields.get("word", ""), fields.get("where", "")))
    rows = row_words(fields[name], *names)
    listed, total = len(fields[name]), fields.get("count")
    return f"such as {rows}" if name == "rows" and isinstance(total, int) and total > listed else rows


CUES = {"baseline": "the {} alone", "image": "the image's {}", "factor": "factor '{}'", "column": "column '{}'",
        "filled": "whether '{}' is filled", "check": "whether the image is {}"}  # fmt: skip
"""Kind of a simple cue -> its name in a sentence."""


ISSUES = {"blank": "blank", "dark": "far darker than the others", "bright": "far brighter than the others",
          "blurry": "far blurrier than the others", "outlying": "unlike the others",
          "alike-embedding": "nearly the same embedding, possibly copies",
          "odd-embedding": "an embedding unlike the others",
          "suspected-label": "a label that predictions from other patients contradict (wrong, or of a difficult image)",
          "suspected-copy": "very similar, which may be copies",
         "marked": "more thin bright marks (letters, calipers) than the others"}  # fmt: skip
"""Kind of an odd image -> its words."""


def cue_words(kind: str, name: str) -> str:
    """Return the name of a simple cue in a sentence."""
    return CUES[kind].format(name)


def _first_cue(_: str, fields: Fields) -> str:
    return f"{cue_words(fields['kinds'][0], fields['names'][0])}: AUROC {number(float(fields['values'][0]))}"


def _status_words(fields: Fields) -> str:
    parts = [f"{fields[status]} {words}" for status, words in _STATUSES.items() if status in fields]
    return f": {join_words(parts)}" if parts else ""


_FORMS: Mapping[str, Callable[[str, Fields], str]] = {
    "number": _numbers,
    "list": _list_names,
    "few": _few_names,
    "interval": _interval_words,
    "group": lambda _, fields: _words_of_group(fields),
    "properties": _properties,
    "cue": _first_cue,
    "rows": _rows,
    "issue": lambda name, fields: ISSUES[str(fields[name])],
    "measure": lambda name, fields: label_of(str(fields[name])),
    "words": lambda name, fields: in_words(str(fields[name])),
    "p": lambda name, fields: p_value(fields[name]),
}
"""Form of a slot -> its text."""


def _without_noise(reason: Reason) -> Reason:
    """Leave out that no seed was kept where another cause says why."""
    rest = tuple(cause for cause in reason.causes if cause.code != Code.NO_SEED)
    return Reason(rest) if rest else Reason(reason.causes[:1])
