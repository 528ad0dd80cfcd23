"""Findings in order of harm: what a page, the terminal and `verdicts.json` say first. Defined in docs/statistics.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Literal

MAX_ON_FIRST_SCREEN = 8
"""Findings on the first screen."""
COSTLY_LOSS = 0.1
"""AUROC or Dice that a further finding loses to be named there."""

Kind = Literal["check", "issue", "region", "mark", "cue", "condition", "distortion", "group", "threshold", "column"]


@unique
class Rank(StrEnum):
    """Class of a finding, the gravest first."""

    INVALID = "invalid"
    SHORTCUT = "shortcut"
    CUE = "cue"
    SHIFT = "shift"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Harm:
    """A finding with its cost. It cites its evidence, a row of a table, and copies nothing else of it.

    Attributes:
        rank: Its class.
        kind: What it is about.
        code: The verdict, decision or check.
        table: Table of its row.
        row: Position of the row.
        lost: AUROC (Dice of a segmentation) that is lost; NaN if not measured.
        low: Lower end of its interval.
        high: Upper end.
        calls: Share of calls that change; NaN if not measured.
        images: Images that are affected, or that it was measured on; NaN if not known.
    """

    rank: Rank
    kind: Kind
    code: str
    table: str
    row: int
    lost: float = math.nan
    low: float = math.nan
    high: float = math.nan
    calls: float = math.nan
    images: float = math.nan


def rank_harms(harms: Iterable[Harm]) -> list[Harm]:
    """Return findings by class; within it by the lower bound of what is lost, then by changed calls, unknown last.

    Examples:
        >>> def harm(rank, low, calls=math.nan):
        ...     return Harm(rank, "mark", "", "verdicts", 0, low + 0.1, low, low + 0.2, calls)
        >>> order = [harm(Rank.INVALID, math.nan), harm(Rank.SHORTCUT, 0.1), harm(Rank.CUE, 0.9), harm(Rank.SHIFT, 0.5),
        ...          harm(Rank.SHIFT, 0.2, 0.9), harm(Rank.SHIFT, 0.2, 0.1), harm(Rank.SHIFT, math.nan, 0.8),
        ...          harm(Rank.OTHER, 0.9)]
        >>> rank_harms(order[::-1]) == order, rank_harms([*order[1::2], *order[::2]]) == order
        (True, True)
    """

    def order(harm: Harm) -> tuple[int, float, float]:
        low, calls = (math.inf if math.isnan(value) else -value for value in (harm.low, harm.calls))
        return list(Rank).index(harm.rank), low, calls

    return sorted(harms, key=order)


def costly_harms(harms: Sequence[Harm]) -> list[Harm]:
    """Return the costly ones of the ranked findings that are not on the first screen.

    Examples:
        >>> def harm(lost):
        ...     return Harm(Rank.SHIFT, "mark", "", "verdicts", 0, lost, lost, lost)
        >>> first = [harm(0.5)] * MAX_ON_FIRST_SCREEN
        >>> costly_harms(first), [further.lost for further in costly_harms([*first, harm(0.2), harm(0.05), harm(0.1)])]
        ([], [0.2, 0.1])
    """
    return [harm for harm in harms[MAX_ON_FIRST_SCREEN:] if harm.lost >= COSTLY_LOSS]
