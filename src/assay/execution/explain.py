"""Why a trial is new: the fields that differ from the nearest trial that has a record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast


def reasons(new: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """One sentence per reason with the number of new trials that have it, most frequent first.

    new, known: canonical training specs. A trial's reason is what differs from the known one with the fewest
    differences (the first of them, in order).
    """
    flat_known = [flatten(spec) for spec in known]
    return Counter(_reason(flatten(spec), flat_known) for spec in new).most_common()


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(value, Mapping) or not value:
        return {prefix.removesuffix("."): value}
    flat: dict[str, Any] = {}
    for key, item in cast("Mapping[str, Any]", value).items():
        flat |= flatten(item, f"{prefix}{key}.")
    return flat


def _reason(new: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> str:
    if not known:
        return "nothing was trained here before"
    differing = min((_differences(new, old) for old in known), key=len)
    return "; ".join(differing) or "its record was removed"


def _differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    keys = sorted(new.keys() | old.keys())
    return [_change(key, new, old) for key in keys if new.get(key) != old.get(key)]


def _change(key: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    if key not in old:
        return f"{key} is {_short(new[key])} (not set before)"
    if key not in new:
        return f"{key} is not set (was {_short(old[key])})"
    return f"{key} is {_short(new[key])} (was {_short(old[key])})"


def _short(value: Any) -> str:
    text = "{}" if value == {} else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
