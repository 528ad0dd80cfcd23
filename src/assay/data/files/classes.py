"""Classes of a column of labels, and which of two is positive: by name, by a written list of words, or asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assay.core.errors import DataError, SpecError, key_text, shorten, unknown_name
from assay.data.files.kinds import doubtful
from assay.data.files.roles import separate_words, words_of
from assay.data.files.table import NEGATIVES, absent, fold, number, same_value, shown, sorted_values, spellings
from assay.spec.data import LESION

MOST_CLASSES = 100
_ANSWERS = (("0", "1"), ("no", "yes"), ("false", "true"))
"""Negative and positive answers that may be mixed in a column, whose classes are `not <name>` and `<name>`."""
_NO, _YES = map(frozenset, zip(*_ANSWERS, strict=True))
_PAIRS = (
    *_ANSWERS,
    ("-1", "1"),
    ("n", "y"),
    ("f", "t"),
    ("-", "+"),
    ("nein", "ja"),
    ("non", "oui"),
    ("no", "si"),
    ("no", "sí"),
)
"""Negative and positive answers."""
_NOT = re.compile(r"(without|not|non|no)[ _-]*(?=\w)")
"""Beginnings of the name of a negative class `not x`, whose positive class is `x` or `with x`."""
_WITH = re.compile(r"with[ _-]+(?=\w)")


@dataclass(frozen=True, slots=True)
class Target:
    """Classes of rows.

    Attributes:
        codes: Class codes [n], -1 where the row has none.
        classes: Names of the classes, the positive one of two last.
        rule: How they were found, as a sentence.
        positive: Which of two is positive, for readers; else empty.
        question: What must be known before a class is positive or an image has it; else empty.
    """

    codes: np.ndarray
    classes: tuple[str, ...]
    rule: str
    positive: str = ""
    question: str = ""


def positive_words(classes: Sequence[str]) -> str:
    """Return which of two classes is positive, for readers; empty for other numbers of classes.

    Args:
        classes: Names of the classes, the positive one of two last.
    """
    if len(classes) != 2:
        return ""
    if tuple(classes) == LESION.levels:
        return "lesion present, against absent"
    return f"{classes[1]}, against {classes[0]}"


def answers(name: str, classes: Sequence[str]) -> tuple[str, str] | None:
    """Return two answers such as 0 and 1 or no and yes, that of the positive class last; None of other classes.

    In a column that is named like the negative class, as `benign`, that is no.
    """
    folded = {_without_decimals(fold(value)): value for value in classes}
    no, yes = (next((value for word, value in folded.items() if word in words), "") for words in (_NO, _YES))
    if len(folded) != 2 or not (no and yes):
        return None
    return (yes, no) if called_negative(name) else (no, yes)


def in_order(classes: Sequence[str]) -> tuple[str, str] | None:
    """Return two classes, the positive one last, by the written list of words; None where it does not decide."""
    for negative, positive in (classes, classes[::-1]):
        no, yes = _without_decimals(fold(negative)), _without_decimals(fold(positive))
        named = (no in NEGATIVES or no.endswith("-free")) and yes not in NEGATIVES and number(yes) is None
        if (no, yes) in _PAIRS or named or (_NOT.match(no) and _NOT.sub("", no, 1) == _WITH.sub("", yes, 1)):
            return negative, positive
    return None


_CITED = 3
"""Images in folders of other classes that are named."""
_FEW_WRONG = 0.2
"""Share of images up to which folders with numbers for names are taken for classes."""


def in_other_folders(
    target: Target, images: Sequence[str], cite: Callable[[int], str], numbers: Sequence[int], table: str
) -> dict[str, str]:
    """Return a caution on images in a folder that is named after another class than theirs; empty without one.

    Folders are compared where they have the names of two classes at least, or of one of two classes and its opposite.
    Numbers as names are those of classes only if most images are in the folder of theirs.

    Args:
        target: The classes of the images.
        images: Paths of the images.
        cite: Return how a row is named, from its number.
        numbers: Numbers of the rows.
        table: Name of the table.
    """
    folders = [Path(image).parts[:-1] for image in images]
    named = {fold(part): part for parts in folders for part in parts}
    codes = {fold(name): code for code, name in enumerate(target.classes)}
    present = [key for key in codes if key in named]
    if len(codes) == 2 and len(present) == 1:
        opposites = (order for key in named if key not in codes and (order := in_order((key, present[0]))))
        codes = next(({fold(name): code for code, name in enumerate(order)} for order in opposites), codes)
    if sum(key in named for key in codes) < 2 or not len(target.codes):
        return {}
    of_folder = [next((key for part in reversed(parts) if (key := fold(part)) in codes), "") for parts in folders]
    compared = [at for at, key in enumerate(of_folder) if key and target.codes[at] >= 0]
    wrong = [at for at in compared if codes[of_folder[at]] != target.codes[at]]
    are_numbers = all(number(key) is not None for key in codes)  # such folders may be parts or series
    if not wrong or (are_numbers and len(wrong) > _FEW_WRONG * len(compared)):
        return {}
    cited = [
        f"{cite(numbers[at])} is {target.classes[int(target.codes[at])]} in {named[of_folder[at]]}/"
        for at in wrong[:_CITED]
    ]
    more = f" and {len(wrong) - _CITED:,} more" if len(wrong) > _CITED else ""
    return {
        "folders of other classes": f"{len(wrong):,} of {len(compared):,} images are in a folder of another class "
        f"than {table} says: {', '.join(cited)}{more}"
    }


_TARGET = key_text("data.target")


def target_column(
    name: str,
    positive: Sequence[str],
    cells: Sequence[str],
    place: str = _TARGET,
    named: Sequence[object] = (),
    option: str = "data.positive",
) -> Target:
    """Return the classes of a column of labels. Labels that differ in case or blanks alone are one class.

    With `positive`, those values are class 1 and all others class 0. Else 0/1, no/yes and false/true (in any case) are
    the classes `not <name>` and `<name>`; of two other values `in_order` decides which is class 1, or the target has a
    question. More values are sorted, numbers by size. A word among 0 and 1 is no third class: its code is -1. A value
    that usually means that the class is not known is a question too.

    Args:
        name: Name of the column.
        positive: Values that are positive.
        cells: A label per row.
        place: Where the column is named, for errors.
        named: Values that the user named as classes, which are no question.
        option: What names the positive class, for errors.

    Raises:
        SpecError: If there are over 100 values (a measured number is no class) or `positive` names an absent one,
            DataError when cells hold several labels, as in `a|b`.
    """
    spelled = spellings(cells)
    values = sorted_values(spelled.values())
    from assay.data.files.doubts import dates_among, several_labels  # here: it loads for tables alone

    if several := several_labels(values, positive):
        raise DataError(
            f"{place}: column '{name}' holds several labels in a cell, such as {shown(several)}; multi-label targets "
            "are not supported yet: add a column that is 1 where a cell has the label of interest and 0 elsewhere, and "
            "name that one. If each such cell is a class of its own, write it without that sign"
        )
    dates = [
        value for value in dates_among(values) if not any(same_value(value, other) for other in (*named, *positive))
    ]
    if dates:
        raise DataError(
            f"{place}: column '{name}' holds {shown(dates[0])}, a date, as spreadsheets make of 1-2 or 2/1: write the "
            "class as it was, with the column formatted as text; or, if dates are meant, give the classes names"
        )
    question = _of_unknown(name, cells, (*named, *positive), place)
    usual = _binary_classes(name, cells, values)
    if positive:
        chosen = _of_positive(name, positive, cells, spelled, values, option)
        if usual is not None and np.array_equal(chosen.codes, usual.codes):
            chosen = usual
        return replace(chosen, question=question)
    if usual is not None and len(values) == 2 and called_negative(name):
        question = which_is_positive(name, values, place, option)
        return replace(usual, positive=f"none is chosen: {name} may be the negative class", question=question)
    if usual is not None:
        return usual
    if len(values) > MOST_CLASSES:
        raise SpecError(
            f"{place}: column '{name}' has {len(values)} different values, over {MOST_CLASSES}; "
            f"name a column of classes, or say which values are positive with {key_text(option)}"
        )
    ordered = in_order(values) if len(values) == 2 else None
    classes = ordered or tuple(values)
    index = {value: classes.index(spelling) for value, spelling in spelled.items()}
    codes = np.array([index.get(cell, -1) for cell in cells], dtype=np.int64)
    if ordered:
        return Target(
            codes, classes, f"{classes[1]} is positive, {classes[0]} negative", positive_words(classes), question
        )
    rule = f"classes in sorted order: {', '.join(values)}"
    undecided = f"none is chosen: {' and '.join(values)} are treated alike" if len(values) == 2 else ""
    return Target(
        codes, classes, rule, undecided, question or (undecided and which_is_positive(name, classes, place, option))
    )


_NEGATED = re.compile(r"((without|not|non|no)[ _-]|nofinding|non(?!e)[a-z])")


def called_negative(name: str) -> bool:
    """Return whether a column is named like a negative class, such as `benign`, `no_finding` and `disease_free`."""
    negative = any(fold(word) in NEGATIVES or word == "free" for word in words_of(name))
    return negative != bool(_NEGATED.match(separate_words(name)))


_OPTION = "--positive"


def two_classes(name: str, positive: str, cells: Sequence[str]) -> Target:
    """Return the two classes of predictions.

    Args:
        name: Name of the column; may be empty.
        positive: The positive class; empty where it is not named.
        cells: A label per row, none blank.

    Raises:
        SpecError: There are not two classes, or it is not known which is positive.
    """
    if question := _of_unknown(name, cells, filter(None, (positive,)), "target", "of the file"):
        raise SpecError(question)
    values = sorted_values(spellings(cells).values())
    if len(values) != 2:
        count = "1 class" if len(values) == 1 else f"{len(values)} classes"
        remedy = f"give two, such as one class against the rest, and name the positive one with {key_text(_OPTION)}"
        if positive and len(values) > 2:
            remedy = f"add a column that is 1 for {shorten(positive)} and 0 for all others, and name it as the target"
        raise SpecError(f"the target{_quote(name)} has {count} ({shorten(', '.join(values[:MOST_NAMED]))}): {remedy}")
    target = target_column(name, (positive,) if positive else (), cells, "target", option=_OPTION)
    if target.question:
        raise SpecError(target.question)
    return target


def which_is_positive(
    name: str, classes: Sequence[str], place: str, option: str = "data.positive", why: str = ""
) -> str:
    """Return the question which of two classes is positive. Both answers stand there: none is likelier.

    Args:
        name: Name of the column; may be empty.
        classes: Both classes.
        place: Where the column is named.
        option: What names the positive class.
        why: What speaks against the usual answer.
    """
    names = [shlex.quote(shorten(class_name)) for class_name in classes]
    both, doubt = " and ".join(map(shorten, classes)), f" ({why})" if why else ""
    return (
        f"{place}: the classes{_quote(name, ' of')} are {both}, and neither is surely the positive one{doubt}: name it "
        f"with {' or '.join(key_text(option, class_name) for class_name in names)}"
    )


def _quote(name: str, before: str = "") -> str:
    return f"{before} '{shorten(name)}'" if name else ""


def _of_unknown(name: str, cells: Sequence[str], named: Iterable[object], place: str, out: str = "") -> str:
    """Return the question whether values that usually mean that the class is not known are classes; empty without one.

    Args:
        name: Name of the column.
        cells: A label per row.
        named: Values that the user named as classes.
        place: Where the column is named.
        out: What rows are left out of, where there is no `where`.
    """
    spelled, declared = spellings(cells), tuple(named)
    unclear = [
        value
        for value in doubtful(spelled, blank=any(map(absent, set(cells))))
        if not any(same_value(value, declared_value) for declared_value in declared)
    ]
    if not unclear:
        return ""
    words = ", ".join(f"'{shorten(value)}' ({cells.count(value):,} rows)" for value in unclear)
    usable = ", ".join(shorten(value) for value in sorted_values(spelled.values()) if value not in unclear)
    where = f" {out}" if out else f", by where: {{{name}: [{usable}]}} in `data` or in the table"
    too = "" if out else "name it in `where` too, or "
    return (
        f"{place}: column '{name}' holds {words}, which usually means that the class is not known. Either leave these "
        f"rows out{where}; or, if it is a class, {too}give it a name of its own "
        "in the table, such as 'class 9'"
    )


def _binary_classes(name: str, cells: Sequence[str], values: Sequence[str]) -> Target | None:
    """Return the classes of a column of 0/1, no/yes or false/true; None of another column."""
    told = {_without_decimals(fold(value)) for value in values}
    others = [value for value in values if _without_decimals(fold(value)) not in _NO | _YES]
    # Both answers stand there and the rest are words among numbers: a slip of the pen, not a third class.
    slips = told & _NO and told & _YES and others and all(number(value) is None for value in others)
    if not values or not (told <= _NO | _YES or slips):
        return None
    folded = {cell: _without_decimals(fold(cell)) for cell in set(cells)}
    code_of = {cell: 1 if word in _YES else 0 if word in _NO else -1 for cell, word in folded.items()}
    codes = np.array([code_of[cell] for cell in cells], dtype=np.int64)
    yes, no = ("/".join(sorted(told & words) or sorted(words)[:1]) for words in (_YES, _NO))
    of = f" in column {name}" if name else ""
    return Target(codes, (f"not {name}", name), f"{name} is 0/1, no/yes or false/true", f"{yes}{of}, against {no}")


def answered(cell: str, classes: Sequence[str]) -> str:
    """Return the class that a cell of answers is: of `not ill` and `ill` also no and yes, 0 and 1, false and true."""
    if len(classes) != 2 or classes[0] != f"not {classes[1]}":
        return cell
    word = _without_decimals(fold(cell))
    return classes[word in _YES] if word in _NO | _YES else cell


def _of_positive(
    name: str,
    positive: Sequence[str],
    cells: Sequence[str],
    spelled: dict[str, str],
    values: list[str],
    option: str,
) -> Target:
    wanted = {value for value in values for requested in positive if same_value(value, requested)}
    for requested in positive:
        if not any(same_value(value, requested) for value in values):
            raise SpecError(
                f"{key_text(option)}: "
                f"{unknown_name(f'value of {name}' if name else 'class', requested, values or ['(none)'])}"
            )
    rest = [value for value in values if value not in wanted]
    if not rest:
        raise SpecError(
            f"{key_text(option)} names every value of '{name}'; leave at least one out as the negative class"
        )
    codes = [-1 if absent(cell) else int(spelled[cell] in wanted) for cell in cells]
    names = (rest[0] if len(rest) == 1 else "other", " or ".join(sorted(wanted)))
    words = f"{names[1]}, against {', '.join(rest[:MOST_NAMED])}{' ...' if len(rest) > MOST_NAMED else ''}"
    return Target(np.array(codes, dtype=np.int64), names, f"{names[1]} is positive, {', '.join(rest)} negative", words)


MOST_NAMED = 6
"""Negative classes that are named, of several."""


def _without_decimals(text: str) -> str:
    value = number(text)
    return str(int(value)) if value is not None and value.is_integer() else text
