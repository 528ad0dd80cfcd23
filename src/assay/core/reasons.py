"""Reasons as codes with fields: why a value is missing, doubtful, or of a certain place.

No reason is a sentence. `assay.report.sentences.reasons` makes the English, for pages and terminals alone. Decision
0013 has the rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from assay.core.codes import Code
from assay.core.files import hide_paths_within

Field = str | int | float | tuple[str, ...]
"""A text, a number, or names."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One code with its fields."""

    code: Code
    fields: tuple[tuple[str, Field], ...] = ()

    def __getitem__(self, name: str) -> Field:
        """The field of that name."""
        return dict(self.fields)[name]


@dataclass(frozen=True, slots=True)
class Reason:
    """Causes in order, one that another explains before it; false where there is none.

    `str(reason)` is its stored form, the JSON list `[{"code": "few-seeds", "seeds": 2}]`, or the empty text.

    Examples:
        >>> reason = Reason.of(Code.FEW_SEEDS, seeds=2)
        >>> bool(reason), str(reason)
        (True, '[{"code": "few-seeds", "seeds": 2}]')
    """

    causes: tuple[Cause, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.causes)

    def __add__(self, other: Reason) -> Reason:
        return Reason(self.causes + other.causes)

    def __contains__(self, code: Code) -> bool:
        return any(cause.code == code for cause in self.causes)

    @classmethod
    def of(cls, code: Code, **fields: Field) -> Reason:
        """A reason of one code."""
        return cls((Cause(code, tuple(fields.items())),))

    def __str__(self) -> str:
        causes = [{"code": str(cause.code), **dict(cause.fields)} for cause in self.causes]
        return json.dumps(causes, ensure_ascii=False) if causes else ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """The codes in order."""
        return tuple(cause.code for cause in self.causes)

    def first(self, *codes: Code) -> Cause | None:
        """The first cause with one of these codes, or None."""
        return next((cause for cause in self.causes if cause.code in codes), None)


NO_REASON = Reason()
"""No reason: there is a value, and nothing to know about it."""


def reason_in_words(text: str) -> Reason:
    """A reason in the words of a plug-in, an error or a file; no reason without words."""
    return Reason.of(Code.FREE_TEXT, text=hide_paths_within(text)) if text else NO_REASON


def parse_reason(value: object) -> Reason:
    """Read a reason from a row or a record, which holds a reason, its stored form, or a user's own words."""
    if isinstance(value, Reason):
        return value
    return _parse_cached("" if value is None else str(value))


@lru_cache(maxsize=1024)
def _parse_cached(text: str) -> Reason:
    """Cached: thousands of rows hold few texts."""
    if not text.startswith('[{"code": '):
        return reason_in_words(text)
    causes = cast("list[dict[str, Any]]", json.loads(text))
    if not all(cause.get("code") in set(Code) for cause in causes):
        return reason_in_words(text)
    return Reason(
        tuple(
            Cause(Code(cause.pop("code")), tuple((k, _freeze_field(v)) for k, v in cause.items())) for cause in causes
        )
    )


def _freeze_field(value: Any) -> Field:
    return tuple(map(str, cast("list[object]", value))) if isinstance(value, list) else value


def reason_of(row: Mapping[str, Any]) -> Reason:
    """The reason of a row of any table; none where the row has no such column."""
    return parse_reason(row.get("reason"))


def split_places(reason: Reason) -> tuple[Reason, Reason]:
    """Part a reason into the places that a worst value is of, and the rest."""
    places = [cause for cause in reason.causes if cause.code in (Code.WORST_GROUP_PLACE, Code.WORST_ENVIRONMENT_PLACE)]
    return Reason(tuple(places)), Reason(tuple(cause for cause in reason.causes if cause not in places))


def combine_reasons(reasons: Iterable[Reason]) -> Reason:
    """Several reasons as one, each different one once, in order."""
    return sum(dict.fromkeys(reason for reason in reasons if reason), NO_REASON)
