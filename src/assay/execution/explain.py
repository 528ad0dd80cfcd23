"""Why a trial is new, by the fields that differ from the nearest trial that has a record, and why a probe is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from assay.core.axes import label
from assay.core.hashing import canonical_json
from assay.execution.study import Plan, ProbeUnit
from assay.store.folder import RunFolder


def reasons(new: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """One sentence per reason with the number of new trials that have it, most frequent first.

    new, known: canonical training specs. A trial's reason is what differs from the known one with the fewest
    differences (the first of them, in the order of their seeds).
    """
    flat_known = sorted(map(flatten, known), key=lambda spec: spec.get("seed", 0))
    return Counter(_reason(flatten(spec), flat_known) for spec in new).most_common()


def probe_reasons(plan: Plan, new: Sequence[ProbeUnit], folder: RunFolder) -> list[tuple[str, int]]:
    """One sentence per reason why probes of trials that have a record are new, most frequent first.

    A probe is new where its trial was never asked it, or because the images that it looks at are others.
    """
    asked = {_question(record) for id in folder.ids("probes") for record in [folder.record("probes", id)]}
    units = [unit for unit in new if folder.complete("trials", unit.trial.id)]
    return Counter(_probe_reason(unit, plan, folder, asked) for unit in units).most_common()


def _probe_reason(unit: ProbeUnit, plan: Plan, folder: RunFolder, asked: set[str]) -> str:
    question = {"trial": unit.trial.id, "probe": unit.component.name, "params": dict(unit.component.params)}
    if _question(question) not in asked:
        return f"probe {unit.component.label} was not asked before"
    label, id = unit.trial.point.label, unit.trial.id
    unread = [
        name for name in unit.trial.point.tests if not folder.complete("readings", plan.readings[label, id, name])
    ]
    looked_at = f"environment {', '.join(unread)} is new or changed" if unread else "its images or environments changed"
    return f"probe {unit.component.label}: {looked_at}"


def _question(record: Mapping[str, Any]) -> str:
    return canonical_json({name: record[name] for name in ("trial", "probe", "params")})


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
    text = "{}" if value == {} else label(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
