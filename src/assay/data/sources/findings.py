"""Which radiographs of a set with many findings are positive and which negative: one finding against one other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.errors import DataError, SpecError, unknown_name
from assay.data.parameters import MinedParams, Policy

PRESENT, ABSENT, UNCERTAIN, BLANK = 1, 0, -1, -2
"""What a table says of one finding of one image."""
_SIDE = {"negative": ABSENT, "positive": PRESENT}


@dataclass(frozen=True, slots=True)
class Sides:
    """codes: int64 [n], the class of each row, -1 where the study does not use it. facts: for the card."""

    codes: np.ndarray
    classes: tuple[str, ...]
    facts: tuple[str, ...]


def check_finding(name: str, place: str, known: Sequence[str]) -> None:
    """Raise SpecError with the nearest name for a finding that the set does not have."""
    if name not in known:
        raise SpecError(f"data.dataset.{place}: {unknown_name('finding', name, known)}")


def compared(
    finding: str, against: str, has_finding: np.ndarray, has_against: np.ndarray, others: np.ndarray | None = None
) -> Sides:
    """Class 1 where the finding is present, class 0 where the other is; rows with both or with neither are not used.

    others: bool [n], rows to leave out because they show further findings.
    Raises DataError when a class would be empty.
    """
    both = has_finding & has_against
    codes = np.where(has_finding, 1, np.where(has_against, 0, -1)).astype(np.int64)
    codes[both] = -1
    facts = [f"{finding} is positive, {against} negative"]
    if both.any():
        facts.append(f"{int(both.sum()):,} images that are both were left out")
    if others is not None:
        apart = others & (codes >= 0)
        codes[apart] = -1
        facts.append(f"{int(apart.sum()):,} images with other findings beside were left out")
    for code, name in ((1, finding), (0, against)):
        if not (codes == code).any():
            raise DataError(
                f"no image is {name}; name findings that the chosen rows have (data.where and the policies choose rows)"
            )
    return Sides(codes, (against, finding), tuple(facts))


def mined(params: MinedParams, state: Callable[[str], np.ndarray]) -> Sides:
    """The classes of a set whose labels were mined with uncertainty.

    state: finding -> PRESENT, ABSENT, UNCERTAIN or BLANK [n]. Without `against` the negatives are the rows whose
    finding is absent, and what blank means must be said. With it they are the rows with that other finding, and a blank
    is just not a mention; where what is uncertain is left out, a row of which either is uncertain is in no class.
    Raises SpecError while uncertain or blank labels that matter are to be refused.
    """
    stated = _settled(params.finding, state(params.finding), UNCERTAIN, params.uncertain, "uncertain")
    if not params.against:
        stated = _settled(params.finding, stated, BLANK, params.blank, "blank")
        sides = compared(params.finding, f"not {params.finding}", stated == PRESENT, stated == ABSENT)
    else:
        other = _settled(params.against, state(params.against), UNCERTAIN, params.uncertain, "uncertain")
        sure = (stated != UNCERTAIN) & (other != UNCERTAIN)
        sides = compared(params.finding, params.against, sure & (stated == PRESENT), sure & (other == PRESENT))
    return Sides(sides.codes, sides.classes, (*sides.facts, *_told(params, state)))


def _settled(finding: str, state: np.ndarray, kind: int, policy: Policy, word: str) -> np.ndarray:
    """The states with one kind of doubt replaced as the policy says; what is dropped stays, and no class uses it."""
    doubtful = state == kind
    if policy == "refuse" and doubtful.any():
        written = "-1" if kind == UNCERTAIN else "an empty cell"
        raise SpecError(
            f"data.dataset.{word}: '{finding}' is {word} ({written}) in {int(doubtful.sum()):,} of {len(state):,} "
            f"images; say what that means: {word}: negative, positive or drop"
        )
    return np.where(doubtful, _SIDE[policy], state) if policy in _SIDE else state


def _told(params: MinedParams, state: Callable[[str], np.ndarray]) -> list[str]:
    """How many labels each policy touched, for the card."""
    doubts = [(params.finding, UNCERTAIN, "uncertain", params.uncertain)]
    if params.against:
        doubts.append((params.against, UNCERTAIN, "uncertain", params.uncertain))
    else:
        doubts.append((params.finding, BLANK, "blank", params.blank))
    counted = [(name, int((state(name) == kind).sum()), word, policy) for name, kind, word, policy in doubts]
    done = {"negative": "taken as negative", "positive": "taken as positive", "drop": "left out"}
    return [f"{count:,} {word} labels of {name} were {done[policy]}" for name, count, word, policy in counted if count]


def states(cells: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """States of a column of 1, 0, -1 and blank (also as 1.0), and the positions of cells that are none of these."""
    codes = {"": BLANK}
    for value in (PRESENT, ABSENT, UNCERTAIN):
        codes |= {str(value): value, f"{value}.0": value}
    found = [codes.get(cell) for cell in cells]
    wrong = [at for at, code in enumerate(found) if code is None]
    return np.array([BLANK if code is None else code for code in found], dtype=np.int64), wrong
