"""The sections under `environments`: from the words of a study file to an `EnvironmentSpec`."""

from __future__ import annotations

from typing import Any

from assay.core.component import Component
from assay.core.document import Keys, mapping_of
from assay.core.environment_spec import AssociationSpec, EnvironmentSpec, InterventionSpec
from assay.core.explain import checked, hint
from assay.core.problems import Problems
from assay.core.surface import as_number, component, conditions, entry_of, section

ENVIRONMENT_KEYS = (
    "association", "interventions", "dose", "where", "difficulty", "rows", "fraction", "crop", "split", "like",
)  # fmt: skip


def environment(value: Any, keys: Keys, problems: Problems) -> EnvironmentSpec | None:
    """One environment, its `like` already resolved; None where a part of it is wrong, which is noted."""
    given = section(value, keys, problems, "`key: value` pairs such as {association: {texture: 0.9}}")
    made: dict[str, Any] = {}
    for name, item in given.items():
        at = (*keys, name)
        if name == "association":
            made[name] = _associations(item, at, problems)
        elif name == "interventions":
            made[name] = _interventions(item, at, problems)
        elif name == "where":
            made[name] = conditions(item, at, problems)
        elif name in ENVIRONMENT_KEYS:
            made[name] = item
        else:
            problems.unknown_key(at, ENVIRONMENT_KEYS)
    spec = checked(EnvironmentSpec, made, keys, problems)
    parts = ((mapping_of(given.get(name)) or {}, made.get(name, {})) for name in ("association", "interventions"))
    return spec if all(len(whole) == len(written) for written, whole in parts) else None


def _associations(value: Any, keys: Keys, problems: Problems) -> dict[str, AssociationSpec]:
    given = section(value, keys, problems, "{factor: strength}, each strength a number from -1 to 1")
    made: dict[str, AssociationSpec] = {}
    for factor, item in given.items():
        at = (*keys, factor)
        fields = dict(open_association(item))
        if "given" in fields:
            fields["given"] = conditions(fields["given"], (*at, "given"), problems)
        short = mapping_of(item) is None
        spec = _strength(item, at, problems) if short else checked(AssociationSpec, fields, at, problems)
        if spec is not None:
            made[factor] = spec
    return made


def _strength(value: Any, keys: Keys, problems: Problems) -> AssociationSpec | None:
    """`texture: 0.9`, whose problems are told of `texture` and not of a `strength` that was not written."""
    number = as_number(value)
    if number is None or not -1 <= number <= 1:
        problems.add(
            keys, value, "expected a number from -1 to 1 (Somers' D of the factor given the target)", hint(value)
        )
        return None
    return AssociationSpec(strength=number)


def open_association(value: Any) -> dict[str, Any]:
    """`0.9` as `{strength: 0.9}`."""
    mapping = mapping_of(value)
    return {"strength": value} if mapping is None else mapping


def _interventions(value: Any, keys: Keys, problems: Problems) -> dict[str, InterventionSpec]:
    given = section(value, keys, problems, "{intervention: {argument: value, share: 0.5}}")
    made: dict[str, InterventionSpec] = {}
    for name, item in given.items():
        at = (*keys, name)
        fields = dict(section(open_intervention(item), at, problems, "{argument: value, share: 0.5}"))
        share = _share(fields.pop("share", 0.5), (*at, "share"), problems)
        if "component" in fields:
            what = component("intervention", fields.pop("component"), (*at, "component"), problems)
            for extra in fields:
                problems.unknown_key((*at, extra), ("component", "share"))
        else:
            entry = entry_of("intervention", name, "", at, problems)
            known = entry is not None and checked(entry.params, fields, at, problems) is not None
            what = Component(kind="intervention", name=name, params=fields) if known else None
        if what is not None and share is not None:
            made[name] = InterventionSpec(component=what, share=share)
    return made


def open_intervention(value: Any) -> Any:
    """`0.5` as `{share: 0.5}`."""
    return {"share": value} if as_number(value) is not None else value


def _share(value: Any, keys: Keys, problems: Problems) -> float | dict[str, float] | None:
    mapping = mapping_of(value)
    if mapping is not None:
        made = {name: _share(item, (*keys, name), problems) for name, item in mapping.items()}
        return {name: item for name, item in made.items() if isinstance(item, float)}
    number = as_number(value)
    if number is None or not 0 <= number <= 1:
        problems.add(
            keys,
            value,
            "expected a number from 0 to 1, or one per class such as {positive: 0.9, negative: 0.1}",
            hint(value),
        )
        return None
    return number
