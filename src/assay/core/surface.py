"""From the words of a study file to the models of `core.spec`: components, recipes, conditions, contrasts.

Each function notes what is wrong under its keys and returns None, so that independent mistakes are told together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from assay.core.axes import label
from assay.core.component import Component
from assay.core.document import Keys, mapping_of
from assay.core.errors import SpecError, nearest, unknown_name
from assay.core.explain import checked, hint
from assay.core.paths import begins_with_variable, filled, unset
from assay.core.problems import Problems, shorten
from assay.core.registry import KINDS, ComponentKind, Entry, Params, entries, lookup
from assay.core.spec import ContrastSpec, RecipeSpec


def component(kind: ComponentKind, value: Any, keys: Keys, problems: Problems) -> Component | None:
    """`supcon`, `{supcon: {temperature: 0.1}}` or a dotted path, with its arguments checked."""
    mapping = mapping_of(value)
    if isinstance(value, str) and value:
        name, given, inside = value, {}, keys
    elif mapping is not None and len(mapping) == 1:
        ((name, given),) = mapping.items()
        inside = (*keys, name)
    else:
        shape = f"expected the name of one {kind}, or {{name: {{argument: value}}}}"
        problems.add(keys, value, shape, hint(value))
        return None
    entry = entry_of(kind, name, name, keys, problems)
    arguments = {} if given is None else mapping_of(given)
    if entry is None:
        return None
    if arguments is None:
        known = shorten(list(entry.params.model_fields)) or "none"
        problems.add(inside, given, f"expected {{argument: value}}; arguments of {kind} '{name}': {known}")
        return None
    arguments = _with_paths(entry.params, arguments, inside, problems)
    if arguments is None or checked(entry.params, arguments, inside, problems) is None:
        return None
    return Component(kind=kind, name=name, params=arguments)


def _with_paths(
    params: type[Params], arguments: Mapping[str, Any], keys: Keys, problems: Problems
) -> dict[str, Any] | None:
    """The arguments with the paths of files among them as `located` gives them; None when one is not there."""
    paths = (*params.file_hashes, *params.folders)
    given = {name: arguments[name] for name in paths if arguments.get(name)}
    found = {name: located(value, (*keys, name), problems) for name, value in given.items()}
    return None if None in found.values() else {**arguments, **found}


def located(value: Any, keys: Keys, problems: Problems) -> str | None:
    """A path as it is to be read later: absolute, but as written where it begins with a variable.

    Relative paths start from the study file's folder. A path to nothing is noted, and None returned.
    """
    if not isinstance(value, str):
        problems.add(keys, value, "expected a path")
        return None
    missing = unset(value)
    for name in missing:
        problems.add(
            keys, value, f"the variable {name} is not set", f"export {name}=<folder>, or write the path itself"
        )
    if missing:
        return None
    path = filled(value, problems.document.folder)
    if not path.exists():
        near = _beside(path)
        problems.add(keys, value, "there is no such file or folder", f"did you mean '{near}'?" if near else "")
        return None
    return value if begins_with_variable(value) else str(path)


def _beside(path: Path) -> str | None:
    """What lies where a path points to that may have been meant: of files named alike one of its kind, or a folder."""
    there = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    there = [item for item in there if path.suffix or item.is_dir()]
    there.sort(key=lambda item: item.suffix.lower() == path.suffix.lower())  # of one name the last is kept
    alike = {item.stem: item.name for item in there}
    near = nearest(path.stem, alike)
    return alike[near] if near else None


def entry_of(kind: ComponentKind, name: str, given: str, keys: Keys, problems: Problems) -> Entry | None:
    """The registered component of that name, or the user's own at a dotted path."""
    try:
        return lookup(kind, name)
    except SpecError as error:
        names = [entry.name for entry in entries(kind)]
        near = nearest(name, names)
        meant = f": did you mean '{near}'?" if near else ""
        if ":" in name:
            problems.add(keys, given, str(error))
        else:
            own = f"allowed: {shorten(names, 20)}; your own as package.module:name"
            problems.add(keys, given, f"unknown {kind} '{name}'{meant}", own)
    except Exception as error:  # a user's module may fail in any way when it is imported
        problems.add(keys, given, f"importing it failed: {type(error).__name__}: {error}")
    return None


def components(kind: ComponentKind, value: Any, keys: Keys, problems: Problems) -> tuple[Component, ...] | None:
    """A list of components, each at most once."""
    if not isinstance(value, list):
        problems.add(keys, value, f"expected a list of {kind}s, such as [{_example(kind)}]")
        return None
    made = [component(kind, item, (*keys, i), problems) for i, item in enumerate(cast(list[Any], value))]
    for i, one in enumerate(made):
        if one is not None and one in made[:i]:
            problems.add((*keys, i), one.label, f"this {kind} stands twice; keep one")
    whole = tuple(one for one in made if one is not None)
    return whole if len(whole) == len(made) else None


def _example(kind: ComponentKind) -> str:
    return ", ".join(entry.name for entry in entries(kind)[:2])


def section(value: Any, keys: Keys, problems: Problems, what: str) -> dict[str, Any]:
    """A mapping; anything else is noted, nothing is an empty one."""
    mapping = {} if value is None else mapping_of(value)
    if mapping is None:
        problems.add(keys, value, f"expected {what}", hint(value))
        return {}
    return mapping


def recipe(value: Any, keys: Keys, problems: Problems) -> RecipeSpec | None:
    """A recipe at one point of the grid."""
    given = section(value, keys, problems, "`key: value` pairs such as {loss: cross-entropy, epochs: 20}")
    made: dict[str, Any] = {}
    for name, item in given.items():
        if name == "augmentation":
            made[name] = components("augmentation", item, (*keys, name), problems)
        elif name == "initialisation":
            made[name] = initialisation(item, (*keys, name), problems)
        elif name in KINDS and name in RecipeSpec.model_fields:
            made[name] = component(cast(ComponentKind, name), item, (*keys, name), problems)
        else:
            made[name] = item
    present = {name: item for name, item in made.items() if item is not None or given[name] is None}
    parsed = checked(RecipeSpec, present, keys, problems)
    return parsed if len(present) == len(made) else None


def initialisation(value: Any, keys: Keys, problems: Problems) -> Component | None:
    """A registered initialisation, or the name of one of the study's `sources`, trained or given a name there."""
    sources = mapping_of(problems.document.values.get("sources")) or {}
    if isinstance(value, str) and value in sources:
        named = mapping_of(sources[value]) or {}
        if "initialisation" in named:
            return named_start(value, named["initialisation"], problems)
        return Component(kind="initialisation", name="source", params={"name": value})
    near = nearest(value, sources) if isinstance(value, str) else None
    if near and value not in [entry.name for entry in entries("initialisation")]:
        problems.add(keys, value, f"unknown initialisation '{value}': did you mean the source '{near}'?")
        return None
    made = component("initialisation", value, keys, problems)
    if made is not None and made.name == "source":
        what = f"a source is named like any other start: {shorten(list(sources)) or 'this study has no `sources`'}"
        problems.add(keys, value, what)
        return None
    return _statistics(made, value, keys, problems)


def _statistics(made: Component | None, value: Any, keys: Keys, problems: Problems) -> Component | None:
    """`{random-statistics: {source: natural}}` as the start that is meant: of a source that the study trains. Every
    other initialisation as it is.
    """
    of = str(made.params.get("source", "")) if made is not None and made.name == "random-statistics" else ""
    if not of:
        return made
    sources = mapping_of(problems.document.values.get("sources")) or {}
    trained = [name for name, item in sources.items() if "initialisation" not in (mapping_of(item) or {})]
    beside = sorted(set(dict[str, Any](value["random-statistics"])) - {"source"})
    if of not in trained:
        what = unknown_name("source", of, trained) if trained else "this study trains no source; give a file's `path`"
        problems.add((*keys, "random-statistics", "source"), of, what)
    elif beside:
        what = f"a source says all of {beside[0]} itself; leave it out, or `source`"
        problems.add((*keys, "random-statistics", beside[0]), value["random-statistics"][beside[0]], what)
    else:
        return Component(kind="initialisation", name="source", params={"name": of, "statistics": True})
    return None


def named_start(name: str, value: Any, problems: Problems) -> Component | None:
    """The initialisation that `sources: {name: {initialisation: ...}}` gives a name to; never another such name."""
    keys: Keys = ("sources", name, "initialisation")
    made = component("initialisation", value, keys, problems)
    if made is not None and made.name == "source":
        problems.add(keys, value, "expected a start that is not trained here, such as {file: {path: weights.pt}}")
        return None
    return _statistics(made, value, keys, problems)


def as_number(value: Any) -> float | None:
    """A number, or text that is one (`1e-3` in quotes); None for all else, truth values included."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def conditions(value: Any, keys: Keys, problems: Problems) -> dict[str, Any]:
    """Row conditions as `factor -> list of values` or `factor -> {min, max}`; one value is a list of one."""
    given = section(value, keys, problems, "{factor: value, factor: [values] or factor: {min: 0, max: 1}}")
    made: dict[str, Any] = {}
    for name, item in given.items():
        bounds = mapping_of(item)
        if bounds is None:
            made[name] = item if isinstance(item, list) else [item]
            if item is None or made[name] == []:
                problems.add((*keys, name), item, "expected a value, a list of values, or {min: 0, max: 1}")
            continue
        made[name] = _bounds(bounds, (*keys, name), problems)
    return made


def _bounds(given: Mapping[str, Any], keys: Keys, problems: Problems) -> dict[str, Any]:
    """{min, max} with numbers, or with level names of an ordinal factor."""
    for name, item in given.items():
        if name not in ("min", "max"):
            problems.unknown_key((*keys, name), ("min", "max"))
        elif isinstance(item, bool) or not isinstance(item, (int, float, str)):
            problems.add((*keys, name), item, "expected a number, or a level of an ordinal factor", hint(item))
    least, most = as_number(given.get("min")), as_number(given.get("max"))
    if least is not None and most is not None and least > most:
        problems.add(keys, dict(given), "min lies above max, so that no row is left")
    return {name: item if as_number(item) is None else as_number(item) for name, item in given.items()}


def contrast(value: Any, keys: Keys, problems: Problems) -> ContrastSpec | None:
    """One stated comparison; labels may be written as the values they are."""
    given = dict(section(value, keys, problems, "{axis: loss, against: cross-entropy, measure: auroc}"))
    if "against" in given:
        given["against"] = label(given["against"])
    if isinstance(given.get("levels"), list):
        given["levels"] = [label(item) for item in cast(list[Any], given["levels"])]
    if "where" in given:
        where = section(given["where"], (*keys, "where"), problems, "{axis: value}")
        for name, item in where.items():
            if isinstance(item, list):
                problems.add((*keys, "where", name), item, "expected one value; leave it out to compare at every value")
        given["where"] = {name: label(item) for name, item in where.items() if not isinstance(item, list)}
    return checked(ContrastSpec, given, keys, problems)
