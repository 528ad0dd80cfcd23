"""Pydantic's findings in Assay's words: what was given, what is allowed with range and unit, what to write instead."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types as bound
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from assay.core.document import Keys, mapping_of
from assay.core.errors import nearest
from assay.core.problems import Problems

ModelT = TypeVar("ModelT", bound=BaseModel)
AXES_ONLY = "a list is an axis only in recipe and environments.train"
QUOTES = "put it in quotes: without them YAML takes it for a number"


def checked(model: type[ModelT], values: Mapping[str, Any], keys: Keys, problems: Problems) -> ModelT | None:
    """The model made from these values, or None with every problem noted under `keys`."""
    wrong_booleans = [
        name
        for name, value in values.items()
        if isinstance(value, bool)
        and name in model.model_fields
        and not _takes(bool, model.model_fields[name].annotation)
    ]
    for name in wrong_booleans:
        problems.add((*keys, name), values[name], f"expected {expected(model.model_fields[name])}")
    try:
        made = model.model_validate({k: v for k, v in values.items() if k not in wrong_booleans})
    except ValidationError as error:
        found = error.errors(include_url=False)
        for item in found:
            missed = item["type"] == "missing" and str(item["loc"][0]) in wrong_booleans
            emptied = item["type"] == "too_short" and any(_within(item["loc"], other["loc"]) for other in found)
            if not (missed or emptied):
                _explain(model, item["type"], item["loc"], item.get("input"), item["msg"], keys, problems)
        return None
    return None if wrong_booleans else made


def _plainly(message: str) -> str:
    """`Tuple should have at least 1 item after validation, not 0` without what is Python's."""
    return re.sub(r"^\w+ should", "it should", message).replace(" after validation", "")


def _within(outer: Keys, inner: Keys) -> bool:
    """Whether a mistake lies inside a list, which is short only because wrong items are not counted."""
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _explain(
    model: type[BaseModel], kind: str, loc: Keys, given: Any, message: str, keys: Keys, problems: Problems
) -> None:
    owner, field = _field_at(model, loc)
    if kind == "extra_forbidden":
        problems.unknown_key((*keys, *loc), owner.model_fields)
    elif kind == "missing":
        what = f": expected {expected(field)}" if field and expected(field) != "text" else ""
        problems.add((*keys, *loc[:-1]), "", f"'{loc[-1]}' is missing{what}")
    elif field is None or kind == "value_error":
        parts = [] if (mapping := mapping_of(given)) is None else list(mapping.values())
        made = any(isinstance(part, BaseModel) for part in parts)
        problems.add((*keys, *loc), "" if made else given, message.removeprefix("Value error, "))
    else:
        wanted = expected(field, inside=_inner(field.annotation, len(loc) - _depth(model, loc)))
        quoted = QUOTES if kind == "string_type" and isinstance(given, (int, float)) else hint(given, field)
        also = _plainly(message) if kind in _SAID_BY_PYDANTIC else quoted
        problems.add((*keys, *loc), given, f"expected {wanted}", also)


def expected(field: FieldInfo, inside: Any = None) -> str:
    """What a field takes, in words: `a number above 0 (softmax temperature)`."""
    annotation = field.annotation if inside is None else inside
    metadata = list(field.metadata) if inside is None else []
    text = describe(annotation, metadata)
    return f"{text} ({field.description})" if field.description else text


_SAID_BY_PYDANTIC = frozenset(
    {"multiple_of", "too_short", "too_long", "string_too_short", "string_too_long", "string_pattern_mismatch"}
)
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def describe(annotation: Any, metadata: list[Any] | None = None) -> str:
    """A type with its range, in words."""
    extra = list(metadata or ())
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        extra += more
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part, extra) for part in arguments if part is not type(None))
    if origin is Literal:
        named = [str(part) for part in arguments if part != ""]
        return "one of " + ", ".join(named) if len(named) > 1 else f"'{named[0]}', or nothing"
    if origin in (tuple, list) or annotation in (tuple, list):
        inner = [part for part in arguments if part is not Ellipsis]
        return f"a list, each {describe(inner[0])}" if inner else "a list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "`key: value` pairs with " + ", ".join(annotation.model_fields)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"`name: value` pairs, each value {describe(arguments[1])}"
    return _WORDS.get(annotation, "a value") + _range(extra)


def _range(metadata: list[Any]) -> str:
    limits: dict[str, Any] = {}
    for item in metadata:
        parts = item.metadata if isinstance(item, FieldInfo) else [item]
        for part in parts:
            for name, kind in (("ge", bound.Ge), ("gt", bound.Gt), ("le", bound.Le), ("lt", bound.Lt)):
                if isinstance(part, kind):
                    limits[name] = f"{getattr(part, name):g}"
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    parts = [f"{words[name]} {limit}" for name, limit in limits.items()]
    return (" of " if parts and parts[0].startswith("at") else " " if parts else "") + ", ".join(parts)


def hint(given: Any, field: FieldInfo | None = None) -> str:
    """What to write instead, where it can be told."""
    if isinstance(given, list):
        return AXES_ONLY
    if not isinstance(given, str):
        return ""
    choices = _choices(field.annotation) if field else []
    near = nearest(given, choices)
    if near:
        return f"did you mean '{near}'?"
    text = given.strip()
    whole = field is not None and _takes(int, field.annotation) and not _takes(float, field.annotation)
    if re.fullmatch(r"[-+]?[0-9.]+ *%", text):
        return "" if whole else f"write {float(text.rstrip('% ')) / 100:g} for {text}"
    if re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text):
        if whole:
            return f"a whole number has no comma; two values are a list: [{text.replace(',', ', ')}]"
        return f"write {text.replace(',', '.')}: decimals take a point"
    unit = re.fullmatch(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?) *([A-Za-zµ°]+)", text)
    if unit:
        return f"write the number alone: {unit[1]}, without '{unit[2]}'"
    if text.lower() in ("yes", "no", "on", "off") and field and _takes(bool, field.annotation):
        return "in YAML 1.2 only true and false are truth values"
    return ""


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(part) for part in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _takes(kind: type, annotation: Any) -> bool:
    return annotation in (kind, Any) or any(_takes(kind, part) for part in get_args(annotation))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _field_at(model: type[BaseModel], loc: Keys) -> tuple[type[BaseModel], FieldInfo | None]:
    """The innermost model on the way to `loc`, and the field of it that `loc` lies in."""
    field = None
    for key in loc:
        if key in model.model_fields:
            field = model.model_fields[str(key)]
            deeper = _model_in(field.annotation)
            if deeper is not None and key != loc[-1]:
                model = deeper
    return model, field


def _depth(model: type[BaseModel], loc: Keys) -> int:
    """How many keys of `loc` lead to the field that it lies in."""
    last = 0
    for i, key in enumerate(loc, start=1):
        if key in model.model_fields:
            last = i
            model = _model_in(model.model_fields[str(key)].annotation) or model
    return last


def _inner(annotation: Any, levels: int) -> Any:
    """The item type `levels` deep inside lists and mappings; None for the annotation itself."""
    if levels <= 0:
        return None
    arguments = [part for part in get_args(annotation) if part is not Ellipsis]
    return arguments[-1] if arguments else None
