"""Fields of a study as they are written: components with their arguments, paths, row conditions and labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from assay.core.errors import CodeError, SpecError, nearest, shorten, unknown_name
from assay.core.files import begins_with_variable, fill_names, is_file, is_folder, label_of_path, nearest_file, unset
from assay.core.registry import Entry, Params, entries, lookup
from assay.core.traits import ComponentKind
from assay.spec.document import Document, Keys, mapping_of
from assay.spec.grid import label
from assay.spec.issues import (
    Issue,
    StudyContext,
    hint,
    invalid,
    issue,
    issues_of,
    join_first,
    unknown_key,
    validate_value,
)

# Components: `supcon`, `{supcon: {temperature: 0.1}}`, or a dotted path to the user's own.


def component_of(kind: ComponentKind) -> BeforeValidator:
    """Make the validator of a field that holds one component of this kind."""
    return BeforeValidator(partial(read_component, kind))


def components_of(kind: ComponentKind) -> WrapValidator:
    """Make the validator of a field that holds a list of components, each at most once."""
    return WrapValidator(partial(_distinct, kind))


def _distinct(kind: ComponentKind, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(value, (list, tuple)):
        names = ", ".join(entry.name for entry in entries(kind)[:2])
        raise invalid(issue((), value, f"expected a list of {kind}s, such as [{names}]"))
    components = handler(value)
    duplicates = [
        issue((i,), component.label, f"this {kind} appears twice; keep one")
        for i, component in enumerate(components)
        if component in components[:i]
    ]
    if duplicates:
        raise invalid(*duplicates)
    return components


def read_component(kind: ComponentKind, value: Any, info: ValidationInfo) -> Any:
    """Read a component as it is written.

    Args:
        kind: The kind of component.
        value: Its name, `{name: {argument: value}}`, or a component.
        info: Its context is a `StudyContext` of the study, from whose folder paths start.

    Returns:
        The fields of a `Component`, or the component that was given.

    Raises:
        ValidationError: The component is wrong. Its errors hold issues.
    """
    if _is_made(value, info):
        return value
    mapping = mapping_of(value)
    if isinstance(value, str) and value:
        return read_arguments(kind, value, None, info.context, text=value)
    if mapping is not None and len(mapping) == 1:
        ((name, arguments),) = mapping.items()
        return read_arguments(kind, name, arguments, info.context, (name,), name)
    raise invalid(issue((), value, f"expected the name of one {kind}, or {{name: {{argument: value}}}}", hint(value)))


def _is_made(value: Any, info: ValidationInfo) -> bool:
    """Return whether a value is a component, or, outside a study file, the complete form of one."""
    complete = info.context is None and {"kind", "name"} <= (mapping_of(value) or {}).keys()
    return isinstance(value, BaseModel) or complete


def read_arguments(
    kind: ComponentKind, name: str, value: Any, context: StudyContext | None, keys: Keys = (), text: str = ""
) -> dict[str, Any]:
    """Check the arguments of a component.

    Args:
        kind: The kind of component.
        name: Its name, or the dotted path to the user's own.
        value: The arguments as written.
        context: The study, from whose folder relative paths start. None leaves paths as they are.
        keys: Where the arguments are written, relative to the field.
        text: The name where it is written as a value, for messages.

    Returns:
        The fields of a `Component`.

    Raises:
        ValidationError: The name is unknown, or arguments are wrong. Its errors hold issues.
    """
    entry = find_component(kind, name, text)
    arguments = {} if value is None else mapping_of(value)
    if arguments is None:
        allowed = join_first(list(entry.params.model_fields)) or "none"
        raise invalid(issue(keys, value, f"expected {{argument: value}}; arguments of {kind} '{name}': {allowed}"))
    try:
        arguments = _with_paths(entry.params, arguments, context)
        compares = entry.indexed and bool(arguments) and entry.arguments().compares
        validate_value(
            entry.complete().model if compares and context and context.compare else entry.params, arguments, context
        )
        if compares and context and not context.compare:
            context.pending = True
    except ValidationError as error:
        raise invalid(*(replace(fault, keys=(*keys, *fault.keys)) for fault in issues_of(error))) from None
    return {"kind": kind, "name": name, "params": arguments}


def find_component(kind: ComponentKind, name: str, text: str = "") -> Entry:
    """Return the registered component of that name, or the user's own at a dotted path.

    Raises:
        ValidationError: There is none, or importing it failed. Its error holds an issue.
    """
    try:
        return lookup(kind, name)
    except CodeError:
        raise
    except SpecError as error:
        if ":" in name:
            raise invalid(issue((), text, str(error))) from None
        names = [entry.name for entry in entries(kind)]
        unknown = issue((), name, f"unknown {kind} '{shorten(name)}'", "your own as package.module:name", names, 20)
        raise invalid(unknown if text else replace(unknown, value="")) from None
    except Exception as error:  # a user's module may fail in any way when it is imported
        raise invalid(issue((), text, f"importing it failed: {type(error).__name__}: {error}")) from None


def _with_paths(params: type[Params], arguments: Mapping[str, Any], context: StudyContext | None) -> dict[str, Any]:
    """Return the arguments with the paths of files among them as `located` gives them."""
    paths, issues = dict(arguments), list[Issue]()
    for name in (*params.with_role("sha256").values(), *params.with_role("folder")):
        if context is not None and arguments.get(name):
            try:
                paths[name] = located(arguments[name], context.document)
            except ValidationError as error:
                issues += [replace(fault, keys=(name,)) for fault in issues_of(error)]
    if issues:
        raise invalid(*issues)
    return paths


# Initializations, which may be the name of one of the study's `sources`.


def _parse_start(value: Any, info: ValidationInfo) -> Any:
    """Read a registered initialization, or the name of a source that is trained or named by the study."""
    context: StudyContext | None = info.context
    if context is None or isinstance(value, BaseModel):
        return read_component("initialization", value, info)
    sources = mapping_of(context.document.values.get("sources")) or {}
    if isinstance(value, str) and value in sources:
        named = mapping_of(sources[value]) or {}
        if "initialization" not in named:
            return {"kind": "initialization", "name": "source", "params": {"name": value}}
        try:
            return given_start(named["initialization"], info)
        except ValidationError:  # which is reported where the name is given
            raise PydanticCustomError("told", "told where the name is given") from None
    near = nearest(value, sources) if isinstance(value, str) else None
    if near and value not in [entry.name for entry in entries("initialization")]:
        unknown = issue((), value, f"unknown initialization '{shorten(value)}'")
        raise invalid(replace(unknown, expected=f"{unknown.expected}: did you mean the source '{near}'?"))
    component = read_component("initialization", value, info)
    if component["name"] == "source":
        what = f"a source is named like any other start: {join_first(list(sources)) or 'this study has no `sources`'}"
        raise invalid(issue((), value, what))
    return _with_statistics(component, sources)


def given_start(value: Any, info: ValidationInfo) -> Any:
    """Read the initialization that `sources: {name: {initialization: ...}}` gives a name to."""
    component = read_component("initialization", value, info)
    if component["name"] == "source":
        expected = "expected a start that is not trained here, such as {file: {path: weights.pt}}"
        raise invalid(issue((), value, expected))
    context: StudyContext | None = info.context
    sources = None if context is None else mapping_of(context.document.values.get("sources"))
    return component if context is None else _with_statistics(component, sources or {})


def _with_statistics(component: dict[str, Any], sources: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `{random-statistics: {source: natural}}` by the trained source that is meant; keep any other start."""
    of = str(component["params"].get("source", "")) if component["name"] == "random-statistics" else ""
    if not of:
        return component
    trained = [name for name, item in sources.items() if "initialization" not in (mapping_of(item) or {})]
    others = sorted(set(component["params"]) - {"source"})
    if of not in trained:
        what = unknown_name("source", of, trained) if trained else "this study trains no source; give a file's `path`"
        raise invalid(issue(("random-statistics", "source"), of, what))
    if others:
        what = f"a source defines {others[0]} itself; leave it out, or `source`"
        raise invalid(issue(("random-statistics", others[0]), component["params"][others[0]], what))
    return {"kind": "initialization", "name": "source", "params": {"name": of, "statistics": True}}


Start = BeforeValidator(_parse_start)
GivenStart = BeforeValidator(given_start)


# Paths of files and folders.


def _path(value: Any, info: ValidationInfo) -> Any:
    return value if info.context is None or value == "" else located(value, info.context.document)


PathText = BeforeValidator(_path)


def located(value: Any, document: Document) -> str:
    """Return a path as it is read later: absolute, but as written where it begins with a variable.

    Args:
        value: The path. A relative one starts from the study file's folder.
        document: The study.

    Raises:
        ValidationError: Nothing is there. Its errors hold issues.
    """
    if not isinstance(value, str):
        raise invalid(issue((), value, "expected a path"))
    missing = [
        issue((), value, f"the variable {name} is not set", f"export {name}=<folder>, or write the path itself")
        for name in unset(value)
    ]
    if missing:
        raise invalid(*missing)
    path = fill_names(value, document.folder)
    if not (is_file(path) or is_folder(path)):
        near = nearest_file(path)
        raise invalid(issue((), value, "there is no such file or folder", f"did you mean '{near}'?" if near else ""))
    return value if begins_with_variable(value) else str(path)


# Numbers, row conditions and labels.


_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def as_number(value: Any) -> float | None:
    """Return a number, or the number that a text is in YAML (`1e-3` in quotes).

    Returns:
        None for all else: truth values, and `0.0_9`, which is a number to Python alone.
    """
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return None if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)


def _conditions(value: Any) -> dict[str, Any]:
    """Read row conditions as `factor -> list of values` or `factor -> {min, max}`; one value is a list of one."""
    if not isinstance(value, Mapping):
        shape = "expected {factor: value, factor: [values] or factor: {min: 0, max: 1}}"
        raise invalid(issue((), value, shape, hint(value)))
    conditions = dict(cast("Mapping[str, Any]", value))
    issues = [fault for name, item in conditions.items() for fault in _condition_issues(name, item)]
    if issues:
        raise invalid(*issues)
    return {name: _condition(item) for name, item in conditions.items()}


def _condition(item: Any) -> Any:
    bounds = mapping_of(item)
    if bounds is None:
        return list(cast("list[Any]", item)) if isinstance(item, (list, tuple)) else [item]
    return {name: bound if as_number(bound) is None else as_number(bound) for name, bound in bounds.items()}


def _condition_issues(name: str, item: Any) -> Iterator[Issue]:
    bounds = mapping_of(item)
    if bounds is None:
        if item is None or item == []:
            yield issue((name,), item, "expected a value, a list of values, or {min: 0, max: 1}")
        return
    for key, bound in bounds.items():
        if key not in ("min", "max"):
            yield unknown_key((name, key), ("min", "max"))
        elif isinstance(bound, bool) or not isinstance(bound, (int, float, str)):
            yield issue((name, key), bound, "expected a number, or a level of an ordinal factor", hint(bound))
    least, most = as_number(bounds.get("min")), as_number(bounds.get("max"))
    if least is not None and most is not None and least > most:
        yield issue((name,), bounds, "min is above max, so no row is left")


Conditions = BeforeValidator(_conditions)


def _parse_texts(value: Any) -> Any:
    """Read one value or a list as texts, as a table holds them."""
    items = cast(list[Any], value if isinstance(value, (list, tuple)) else [value])
    return [str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item for item in items]


Texts = BeforeValidator(_parse_texts)


def _labels(value: Any) -> Any:
    return [label(item) for item in cast(list[Any], value)] if isinstance(value, (list, tuple)) else value


def _held(value: Any) -> Any:
    """Read axis -> value as axis -> label."""
    where = mapping_of(value)
    if where is None:
        raise invalid(issue((), value, "expected {axis: value}", hint(value)))
    several = "expected one value; leave it out to compare at every value"
    issues = [issue((name,), item, several) for name, item in where.items() if isinstance(item, list)]
    if issues:
        raise invalid(*issues)
    return {name: label(item) for name, item in where.items()}


def _by_label(value: Any) -> Any:
    """Read value -> item as label -> item."""
    labels = mapping_of(value)
    return value if labels is None else {label(key): item for key, item in labels.items()}


ByLabel = BeforeValidator(_by_label)


def _mean_over(value: Any) -> Any:
    """Read `[axis]` and `{axis: [values]}` as axis -> labels, of which none means all values of the axis."""
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in cast(list[Any], value)):
        return {str(item): () for item in cast(list[Any], value)}
    axes = mapping_of(value)
    if axes is None:
        raise invalid(issue((), value, "expected a list of axes, or {axis: [values]}", hint(value)))
    single = "expected a list of values; give the list of axes alone to average over all of them"
    issues = [issue((name,), item, single) for name, item in axes.items() if not isinstance(item, (list, tuple))]
    if issues:
        raise invalid(*issues)
    return {name: tuple(label(level) for level in item) for name, item in axes.items()}


Label = BeforeValidator(partial(label, format_text=label_of_path))
Labels = BeforeValidator(_labels)
HeldLabels = BeforeValidator(_held)
MeanOver = BeforeValidator(_mean_over)
NamedFamily = BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)
