"""`like:` between environments: one inherits another at each point of the grid, then overrides parts of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assay.core.document import Keys, mapping_of
from assay.core.environment_section import open_association, open_intervention
from assay.core.errors import nearest
from assay.core.problems import Problems, shorten

_OPEN: Mapping[str, Callable[[Any], Any]] = {
    "association": open_association,
    "interventions": open_intervention,
    "where": lambda value: value,
    "difficulty": lambda value: value,
    "dose": lambda value: value,
}


_AMOUNTS = {"strength", "share"}
"""How strongly a factor is tied is said by one of these: whoever gives one drops the other."""


def resolve_environments(
    environments: Mapping[str, Any], problems: Problems
) -> tuple[dict[str, Any], dict[Keys, Keys]]:
    """Environments without `like`, and where inherited parts were written.

    An environment inherits the other's association, interventions, dose, `where` and difficulty by factor or name, and
    overrides those it names itself: {like: train, association: {texture: -0.9}} keeps every other association. Of an
    association or intervention that both name, only the arguments given here change; null drops it. `split` is not
    inherited.
    """
    made: dict[str, Any] = {}
    origins: dict[Keys, Keys] = {}
    for name in environments:
        chain = _chain(name, environments, problems)
        merged = _without_like(environments[chain[-1]])
        for heir, parent in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
            merged = _inherit(merged, environments[heir], name, parent, origins)
        made[name] = merged
    return made, origins


def _chain(name: str, environments: Mapping[str, Any], problems: Problems) -> list[str]:
    """The environment, the one it is like, the one that is like, and so on."""
    chain = [name]
    while (like := (mapping_of(environments[chain[-1]]) or {}).get("like")) is not None:
        keys: Keys = ("environments", chain[-1], "like")
        if not isinstance(like, str) or like not in environments:
            near = nearest(str(like), environments)
            hint = f"did you mean '{near}'?" if near else ""
            problems.add(keys, like, f"no such environment: {shorten(list(environments))}", hint)
            break
        if like in chain:
            if name == min(chain):  # told once, not by every environment of the circle
                circle = " -> ".join([*chain, like])
                problems.add(keys, like, f"environments are like each other in a circle: {circle}")
            break
        chain.append(like)
    return chain


def not_inherited(problems: Problems) -> set[str]:
    """The environments of which it is not known what they inherit, since a `like` in their chain names nothing."""
    written = mapping_of(problems.document.values.get("environments")) or {}
    told = (one.keys for one in problems.found if one.keys[:1] == ("environments",) and one.keys[-1] == "like")
    broken = {str(keys[1]) for keys in told}
    while True:
        heirs = {name for name, own in written.items() if _like(own) in broken} - broken
        if not heirs:
            return broken
        broken |= heirs


def _like(environment: Any) -> str:
    like = (mapping_of(environment) or {}).get("like")
    return like if isinstance(like, str) else ""


def _without_like(value: Any) -> Any:
    mapping = mapping_of(value)
    return value if mapping is None else {key: item for key, item in mapping.items() if key != "like"}


def _inherit(base: Any, own: Any, name: str, parent: str, origins: dict[Keys, Keys]) -> Any:
    before, after = mapping_of(base), mapping_of(own)
    if before is None or after is None:
        return own
    merged = _without_like(after)
    for part, opened in _OPEN.items():
        inherited, given = mapping_of(before.get(part)), mapping_of(after.get(part) or {})
        if inherited is None or given is None:
            continue
        merged[part] = {
            key: _entry(inherited.get(key), given.get(key), opened)
            for key in {**inherited, **given}
            if given.get(key, "inherited") is not None  # `texture: null` drops what is inherited
        }
        for key in inherited:
            if key not in given:
                origins.setdefault(("environments", name, part, key), ("environments", parent, part, key))
    return merged


def _entry(inherited: Any, given: Any, opened: Callable[[Any], Any]) -> Any:
    if given is None or inherited is None:
        return inherited if given is None else given
    before, after = mapping_of(opened(inherited)), mapping_of(opened(given))
    if before is None or after is None or opened not in (open_association, open_intervention):
        return given
    if opened is open_association and _AMOUNTS & after.keys():
        before = {key: item for key, item in before.items() if key not in _AMOUNTS}
    return {**before, **after}
