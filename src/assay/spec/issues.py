"""Issues of a study: what is wrong at which place, gathered, explained and rendered."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types as bound
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from assay.core.errors import SpecError, cut, nearest
from assay.spec.document import Document, Keys, dotted, mapping_of

# What is wrong with a spec, gathered and told at once: place, what was given, what is allowed, the nearest name.

MOST_TOLD = 5


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong. Up to three lines: `place: key = given`, what is expected, and what to do.

    unknown: whether the key itself means nothing, whatever the rest of the study says. by: what changed the study so
    that this is wrong (`--set`), where it stands elsewhere than the change.
    """

    keys: Keys
    given: str
    expected: str
    hint: str = ""
    unknown: bool = False
    by: str = ""

    def text(self, document: Document) -> str:
        """The lines, without a place where none is known."""
        place = document.place(self.keys)
        place += f", as {self.by} changed the study" if place and self.by else ""
        head = ": ".join(part for part in (place, cut(dotted(self.keys), 120)) if part) or "the study"
        lines = [f"{head} = {self.given}" if self.given else head, f"  {self.expected}"]
        return "\n".join([*lines, f"  {self.hint}"] if self.hint else lines)


@dataclass(frozen=True)
class Issues:
    """Collect the issues of one document.

    Attributes:
        origins: Places where the values of a grid point were written.
        later: Checks that import code, for a study in which nothing else is wrong.
    """

    document: Document
    found: list[Issue] = field(default_factory=list[Issue])
    origins: Mapping[Keys, Keys] = field(default_factory=dict[Keys, Keys])
    later: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def at(self, origins: Mapping[Keys, Keys]) -> Issues:
        """The same collection for one point of the grid."""
        return Issues(self.document, self.found, origins, self.later)

    def source(self, keys: Keys) -> Keys:
        """Where the value at `keys` of the grid point was written in the document."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.origins:
                return (*self.origins[keys[:end]], *keys[end:])
        return keys

    def add(self, keys: Keys, given: Any, expected: str, hint: str = "") -> None:
        """Note a issue of the value at `keys`, once however many grid points share it."""
        issue = Issue(self.source(keys), show(given), expected, hint)
        if issue not in self.found:
            self.found.append(issue)

    def unknown_key(self, keys: Keys, allowed: Iterable[str], what: str = "") -> None:
        """Note a key that means nothing here."""
        names = list(allowed)
        holder = self.source(keys[:-1])
        inside = what or (dotted(holder) or "a study")
        near = nearest(str(keys[-1]), names)
        meant = f": did you mean '{near}'?" if near else ""
        if keys[-1] == "true" and "on" in names:
            meant = ": YAML 1.1 reads the key `on` as true: write 'on' in quotes, or give the text itself or its path"
        issue = Issue(
            (*holder, keys[-1]),
            "",
            f"unknown key '{cut(str(keys[-1]))}' in {inside}{meant}",
            f"allowed: {shorten(sorted(names))}",
            unknown=True,
        )
        if issue not in self.found:
            self.found.append(issue)

    def stop(self) -> None:
        """Raise SpecIssues when anything was found: the first few by line, then what stands in no file."""
        if not self.found:
            return
        told = sorted(self.found, key=lambda issue: _line(self.document.place(issue.keys)))[:MOST_TOLD]
        texts = [issue.text(self.document) for issue in told]
        more = len(self.found) - MOST_TOLD
        raise SpecIssues("\n".join([*texts, f"and {more} more"] if more > 0 else texts), self)

    def brought_about(self, before: Sequence[Issue], by: str) -> Issues:
        """The same, of which those that were not there before the change `by` are told as brought about by it.

        What stands where the change was written needs no such word.
        """
        places = (self.document.place(issue.keys) for issue in self.found)
        found = [
            issue if issue in before or place.startswith(by) else replace(issue, by=by)
            for issue, place in zip(self.found, places, strict=True)
        ]
        return Issues(self.document, found, self.origins)

    def of_unknown_keys(self) -> Issues:
        """Those of keys that mean nothing."""
        return Issues(self.document, [issue for issue in self.found if issue.unknown], self.origins)


class SpecIssues(SpecError):
    """All that was found to be wrong with a spec, with the text of the first few."""

    def __init__(self, text: str, issues: Issues) -> None:
        super().__init__(text)
        self.issues = issues


def _line(place: str) -> float:
    """The line of a place such as `study.yaml:12`; beyond all lines where it names none."""
    number = place.rpartition(":")[2]
    return int(number) if number.isdigit() else math.inf


def show(value: Any) -> str:
    """A value on one short line, as YAML would have it."""
    if isinstance(value, str):
        return value if value == "" else f"'{cut(value)}'"
    if isinstance(value, float):
        return repr(value)
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def shorten(names: Sequence[str], most: int = 14) -> str:
    """Names joined by commas, the first ones when there are many."""
    rest = len(names) - most
    return ", ".join(cut(name) for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


# Pydantic's findings in Assay's words: what was given, what is allowed with range and unit, what to write instead.

ModelT = TypeVar("ModelT", bound=BaseModel)
AXES_ONLY = "a list is an axis only in recipe and environments.train"
QUOTES = "put it in quotes: without them YAML takes it for a number"


def checked(model: type[ModelT], values: Mapping[str, Any], keys: Keys, issues: Issues) -> ModelT | None:
    """The model made from these values, or None with every issue noted under `keys`."""
    wrong = [
        name
        for name, value in values.items()
        if name in model.model_fields and _misread(value, model.model_fields[name].annotation)
    ]
    for name in wrong:
        issues.add((*keys, name), values[name], f"expected {expected(model.model_fields[name])}")
    try:
        made = model.model_validate({k: v for k, v in values.items() if k not in wrong})
    except ValidationError as error:
        found = error.errors(include_url=False)
        for item in found:
            missed = item["type"] == "missing" and str(item["loc"][0]) in wrong
            emptied = item["type"] == "too_short" and any(_within(item["loc"], other["loc"]) for other in found)
            if not (missed or emptied):
                _explain(model, item["type"], item["loc"], item.get("input"), item["msg"], keys, issues)
        return None
    return None if wrong else made


_PARTED = re.compile(r"\s*[+-]?(?=[\d.]*_)[\d_.]+(e[+-]?[\d_]+)?\s*", re.IGNORECASE)


def _misread(value: Any, annotation: Any) -> bool:
    """Whether Pydantic would take a value for what nobody wrote: `true` for 1, or the text `1_0` for 10."""
    if isinstance(value, list):
        return any(isinstance(item, str) and _misread(item, annotation) for item in cast("list[object]", value))
    if isinstance(value, str):
        return _PARTED.fullmatch(value) is not None and not _takes(str, annotation)
    return isinstance(value, bool) and not _takes(bool, annotation)


def _plainly(message: str) -> str:
    """`Tuple should have at least 1 item after validation, not 0` without what is Python's."""
    return re.sub(r"^\w+ should", "it should", message).replace(" after validation", "")


def _within(outer: Keys, inner: Keys) -> bool:
    """Whether a mistake lies inside a list, which is short only because wrong items are not counted."""
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _explain(
    model: type[BaseModel], kind: str, loc: Keys, given: Any, message: str, keys: Keys, issues: Issues
) -> None:
    owner, field = _field_at(model, loc)
    if kind == "extra_forbidden":
        issues.unknown_key((*keys, *loc), owner.model_fields)
    elif kind == "missing":
        what = f": expected {expected(field)}" if field and expected(field) != "text" else ""
        issues.add((*keys, *loc[:-1]), "", f"'{loc[-1]}' is missing{what}")
    elif field is None or kind == "value_error":
        parts = [] if (mapping := mapping_of(given)) is None else list(mapping.values())
        made = any(isinstance(part, BaseModel) for part in parts)
        issues.add((*keys, *loc), "" if made else given, message.removeprefix("Value error, "))
    else:
        wanted = expected(field, inside=_inner(field.annotation, len(loc) - _depth(model, loc)))
        quoted = QUOTES if kind == "string_type" and isinstance(given, (int, float)) else hint(given, field)
        also = _plainly(message) if kind in _SAID_BY_PYDANTIC else quoted
        issues.add((*keys, *loc), given, f"expected {wanted}", also)


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
