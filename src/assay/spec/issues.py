"""Issues of a study: collect problems with their places, explain errors of Pydantic, and render the text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from assay.core.errors import SpecError, cut, nearest
from assay.spec.document import Document, Keys, dotted, nodes

# One issue, the issues of a document, and their text.

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem of a study.

    Attributes:
        keys: Where the wrong value is written.
        given: The value on one short line. Empty where it is not shown.
        expected: The expected value, or the problem.
        remedy: The change to make.
        allowed: The names that are allowed, the first of many.
        meant: The most likely intention, such as "did you mean 'supcon'?".
        kind: `unknown key` where the key itself has no meaning, whatever the rest of the study holds, and `missing`
            where a key must be added.
        changed_by: The change (`--set`) that made this wrong, where the value is written elsewhere.
    """

    keys: Keys
    given: str
    expected: str
    remedy: str = ""
    allowed: str = ""
    meant: str = ""
    kind: Literal["wrong", "unknown key", "missing"] = "wrong"
    changed_by: str = ""

    def text(self, document: Document) -> str:
        """Render at most three lines: `place: key = given`, the expected value, the allowed values or the remedy."""
        place = document.place(self.keys)
        place += f", as {self.changed_by} changed the study" if place and self.changed_by else ""
        head = ": ".join(part for part in (place, cut(dotted(self.keys), 120)) if part) or "the study"
        expected = self.expected
        if self.kind == "unknown key":
            holder = expected or dotted(self.keys[:-1]) or "a study"
            expected = f"unknown key '{cut(str(self.keys[-1]))}' in {holder}"
        meant = f": {self.meant}" if self.meant else ""
        allowed = f"allowed: {self.allowed}" if self.allowed else ""
        key = self.keys[-1] if self.keys else 0
        given = "" if isinstance(key, str) and self.given == show(key) else self.given  # not the same text twice
        lines = [
            f"{head} = {given}" if given else head,
            f"  {expected}{meant}",
            f"  {'; '.join(part for part in (allowed, self.remedy) if part)}".rstrip(),
        ]
        return "\n".join(line for line in lines if line.strip())


@dataclass
class Issues:
    """The issues of one document.

    Attributes:
        document: The study as written.
        found: Every issue, each once however many grid points share it.
        origins: Keys of a grid point -> keys at which the value was written in the document.
        later: Checks that import code, for a study in which nothing else is wrong.
        with_code: Whether the checks that import code have begun.
    """

    document: Document
    found: list[Issue] = field(default_factory=list[Issue])
    origins: Mapping[Keys, Keys] = field(default_factory=dict[Keys, Keys])
    later: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    with_code: bool = False

    def at(self, origins: Mapping[Keys, Keys]) -> Issues:
        """Return the same collection for one point of the grid."""
        return Issues(self.document, self.found, origins, self.later)

    def source(self, keys: Keys) -> Keys:
        """Return the keys in the document at which the value of a grid point was written."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.origins:
                return (*self.origins[keys[:end]], *keys[end:])
        return keys

    def add(
        self, keys: Keys, given: Any, expected: str, remedy: str = "", names: Iterable[str] = (), most: int = 14
    ) -> None:
        """Add an issue.

        Args:
            keys: Where the value is, in the grid point.
            given: The value, or "" to show none.
            expected: The expected value, or the problem.
            remedy: The change to make.
            names: The names that are allowed. The nearest to `given` is named with them.
            most: How many of the names are shown.
        """
        self.note(issue(keys, given, expected, remedy, names, most))

    def note(self, found: Issue) -> None:
        """Add an issue whose keys are those of the grid point, unless it is there."""
        found = replace(found, keys=self.source(found.keys))
        if found not in self.found:
            self.found.append(found)

    def raise_found(self) -> None:
        """Raise the issues that were found, in the order of their lines.

        Raises:
            SpecIssues: There are any. The text holds the first five.
        """
        if not self.found:
            return
        shown = sorted(self.found, key=lambda one: _line(self.document.place(one.keys)))[:MOST_SHOWN]
        texts = [one.text(self.document) for one in shown]
        more = len(self.found) - MOST_SHOWN
        raise SpecIssues("\n".join([*texts, f"and {more} more"] if more > 0 else texts), self)

    def changed_by(self, change: str, before: Sequence[Issue]) -> Issues:
        """Mark the issues that a change brought about.

        Args:
            change: The place of the change, such as `--set`.
            before: The issues without it.

        Returns:
            A copy in which issues that are new, and written elsewhere than the change, name the change.
        """
        written = {one for one in self.found if self.document.place(one.keys).startswith(change)}
        found = [one if one in before or one in written else replace(one, changed_by=change) for one in self.found]
        return Issues(self.document, found, self.origins)

    def of_unknown_keys(self) -> Issues:
        """Return the issues of keys that mean nothing."""
        return Issues(self.document, [one for one in self.found if one.kind == "unknown key"], self.origins)


class SpecIssues(SpecError):
    """All issues of a study, with the text of the first five."""

    def __init__(self, text: str, issues: Issues) -> None:
        super().__init__(text)
        self.issues = issues


def issue(keys: Keys, given: Any, expected: str, remedy: str = "", names: Iterable[str] = (), most: int = 14) -> Issue:
    """Make an issue; the arguments are those of `Issues.add`."""
    allowed = list(names)
    near = nearest(str(given), allowed) if allowed else None
    return Issue(keys, show(given), expected, remedy, shorten(allowed, most), f"did you mean '{near}'?" if near else "")


def unknown_key(keys: Keys, names: Iterable[str], holder: str = "") -> Issue:
    """Make the issue of an unknown key.

    Args:
        keys: The keys of the grid point, the unknown one last.
        names: The keys that are allowed.
        holder: The name of the mapping that has the key. Its dotted keys by default.
    """
    key, allowed = str(keys[-1]), sorted(names)
    made = replace(issue(keys, key, holder, names=allowed), given="", kind="unknown key")
    if key == "true" and "on" in allowed:
        boolean = "YAML 1.1 reads the key `on` as true: write 'on' in quotes, or give the text itself or its path"
        return replace(made, meant=boolean)
    parts = key.split(".")
    if len(parts) > 1 and parts[0] in allowed:
        nested = ": {".join(parts) + ": ..." + "}" * (len(parts) - 1)
        return replace(made, meant=f"dotted keys are for --set and scales; write {nested}")
    return made


def _line(place: str) -> float:
    """Return the line of a place such as `study.yaml:12`, or infinity where it names none."""
    number = place.rpartition(":")[2]
    return int(number) if number.isdigit() else math.inf


def show(value: Any) -> str:
    """Format a value on one short line, as YAML would have it."""
    if isinstance(value, str):
        return value if value == "" else f"'{cut(value)}'"
    if isinstance(value, float):
        return repr(value)
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def shorten(names: Sequence[str], most: int = 14) -> str:
    """Join names by commas, the first ones when there are many."""
    rest = len(names) - most
    return ", ".join(cut(name) for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


# Validation by Pydantic. Its errors become issues: what is expected is read from the JSON schema of the model, which
# holds types, ranges, choices and descriptions in one form whatever annotation they were declared by.

T = TypeVar("T")
AXES_ONLY = "a list is an axis only in recipe and environments.train"
Schema = Mapping[str, Any]


@dataclass(slots=True)
class StudyContext:
    """The context in which a value of a study is validated.

    Attributes:
        document: The study.
        compare: Whether the code of components compares their arguments, beyond names, types and ranges.
        pending: Whether a component was found whose arguments wait for this.
    """

    document: Document
    compare: bool = False
    pending: bool = False


def validated(
    kind: type[T], value: Any, keys: Keys, issues: Issues, *, partial: bool = False, compare: bool = False
) -> T | None:
    """Validate a value of the study.

    Args:
        kind: A Pydantic model, or another type that Pydantic validates.
        value: The value. None is an empty mapping.
        keys: Where the value is, in the grid point.
        issues: The collection that issues are added to.
        partial: Whether missing fields are no issue, since they may be inherited from values that are not known here.
        compare: Whether the code of components compares their arguments. Otherwise this is left for later.

    Returns:
        The validated value, or None where anything is wrong.
    """
    context = StudyContext(issues.document, compare)
    try:
        made = validate(kind, {} if value is None else value, context)
    except ValidationError as error:
        for found in issues_of(error):
            if not (partial and found.kind == "missing" and not found.keys):
                here = found.keys[found.keys.index(_ROOT) + 1 :] if _ROOT in found.keys else (*keys, *found.keys)
                issues.note(replace(found, keys=here))
        return None
    if context.pending:
        issues.later.append(lambda: validated(kind, value, keys, issues, partial=partial, compare=True))
    return made


def validate(kind: type[T], value: Any, context: StudyContext | None) -> T:
    """Validate a value, and explain its problems.

    Raises:
        ValidationError: The value is wrong. Each of its errors holds an `Issue`.
    """
    misread = list(_misread(kind, value))
    if misread:
        raise invalid(*misread)
    try:
        return _adapter(kind).validate_python(value, context=context)
    except ValidationError as error:
        raise invalid(*_explained(kind, error)) from None


def invalid(*found: Issue) -> ValidationError:
    """Make the error by which a validator of a field refuses a value; keys are relative to the field."""
    lines = [
        InitErrorDetails(
            type=PydanticCustomError("issue", "{text}", {"text": one.text(Document({})), "issue": one}),
            loc=one.keys,
            input=one.given,
        )
        for one in found
    ]
    return ValidationError.from_exception_data("study", lines)


_ROOT = "\0"


def absolute(keys: Keys) -> Keys:
    """Mark keys as those of the whole document, for an issue that a field finds elsewhere."""
    return (_ROOT, *keys)


def issues_of(error: ValidationError) -> list[Issue]:
    """Return the issues that the error of `validate` or `invalid` holds, with keys relative to the field."""
    found = error.errors(include_url=False)
    return [replace(item["ctx"]["issue"], keys=item["loc"]) for item in found if "ctx" in item]


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


class _Schemas(GenerateJsonSchema):
    """JSON schemas in which a type of another library takes any value."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  Pydantic's own class attribute

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}


@cache
def _schema(kind: type[Any]) -> Schema:
    return _adapter(kind).json_schema(schema_generator=_Schemas)


def _explained(kind: type[Any], error: ValidationError) -> Iterator[Issue]:
    found = error.errors(include_url=False)
    for item in found:
        loc = item["loc"]
        if item["type"] == "issue" and "ctx" in item:
            yield replace(item["ctx"]["issue"], keys=loc)
            continue
        within = any(len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in found)
        if not (item["type"] == "too_short" and within):  # a list is short only because wrong items are not counted
            yield _explain(kind, item["type"], loc, item.get("input"), item["msg"])


_IN_ITS_WORDS = {
    "multiple_of", "too_short", "too_long", "string_too_short", "string_too_long", "string_pattern_mismatch",
}  # fmt: skip
"""Errors for which Pydantic's message says more than the type of the field."""


def _explain(kind: type[Any], error: str, loc: Keys, given: Any, message: str) -> Issue:
    """Explain one error of Pydantic by the field that it is in."""
    root = _schema(kind)
    found = _field(root, loc)
    if error == "extra_forbidden":
        return unknown_key(loc, _field(root, loc[:-1]).get("properties", {}))
    if error == "missing":
        words = describe(found, root)
        what = "" if words in ("text", "a value") else f": expected {words}"
        return Issue(loc[:-1], "", f"'{loc[-1]}' is missing{what}", kind="missing")
    if error == "value_error":
        return issue(loc, "" if "properties" in found else given, message.removeprefix("Value error, "))
    remedy = hint(given, found, root)
    if error in _IN_ITS_WORDS:
        remedy = re.sub(r"^\w+ should", "it should", message).replace(" after validation", "")
    elif error == "string_type" and isinstance(given, (int, float)):
        remedy = "put it in quotes: without them YAML takes it for a number"
    return issue(loc, given, f"expected {describe(found, root)}", remedy)


def _misread(kind: type[Any], value: Any) -> Iterator[Issue]:
    """Find values that Pydantic would convert silently: `true` to 1, or the text `1_0` to 10."""
    for keys, item in nodes(value):
        if isinstance(item, bool) or (isinstance(item, str) and _PARTED.fullmatch(item)):
            root = _schema(kind)
            found, exact = _descend(root, keys)
            types = {part.get("type") for part in _branches(found, root)}
            if (
                exact
                and types & {"integer", "number"}
                and ("boolean" if isinstance(item, bool) else "string") not in types
            ):
                yield issue(keys, item, f"expected {describe(found, root)}", hint(item, found, root))


_PARTED = re.compile(r"\s*[+-]?(?=[\d.]*_)[\d_.]+(e[+-]?[\d_]+)?\s*", re.IGNORECASE)


def _field(root: Schema, loc: Keys) -> Schema:
    """Return the schema at `loc`, where keys that Pydantic adds for unions are passed over."""
    return _descend(root, loc)[0]


def _descend(root: Schema, loc: Keys) -> tuple[Schema, bool]:
    here, exact = root, True
    for key in loc:
        inner = next((found for part in _branches(here, root) if (found := _step(part, key)) is not None), None)
        if inner is not None and isinstance(key, int) and "description" in here:
            inner = {"description": here["description"], **inner}  # that of a list is that of its items
        here, exact = (here, False) if inner is None else (inner, exact)
    return _opened(here, root), exact


def _step(schema: Schema, key: str | int) -> Schema | None:
    """Return the schema of one item or property, or None where there is none."""
    if isinstance(key, int):
        return schema.get("items")
    rest = schema.get("additionalProperties")
    return schema.get("properties", {}).get(key, cast(Schema, rest) if isinstance(rest, Mapping) else None)


def _opened(schema: Schema, root: Schema) -> Schema:
    """Follow a reference. The field's own description takes precedence over that of its model."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][str(schema["$ref"]).rpartition("/")[2]]
    own = {name: item for name, item in target.items() if name != "description"}
    return {**own, **{name: item for name, item in schema.items() if name != "$ref"}}


def _branches(schema: Schema, root: Schema) -> list[Schema]:
    """Return the alternatives of a union, without null."""
    whole = _opened(schema, root)
    parts = cast("Sequence[Schema]", whole.get("anyOf") or whole.get("oneOf") or [whole])
    return [_opened(part, root) for part in parts if part.get("type") != "null"]


def describe(schema: Schema, root: Schema) -> str:
    """Describe the values that a field takes: `a number above 0 (softmax temperature)`."""
    text = " or ".join(_described(part, root) for part in _branches(schema, root))
    return f"{text} ({schema['description']})" if "description" in schema and schema is not root else text


_WORDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}


def _described(schema: Schema, root: Schema) -> str:
    if choices := _choices(schema):
        named = [choice for choice in choices if choice]
        return "one of " + ", ".join(named) if len(named) > 1 else f"'{named[0]}', or nothing"
    kind = str(schema.get("type"))
    if kind == "array":
        items = schema.get("items")
        return f"a list, each {describe(items, root)}" if items else "a list"
    if examples := schema.get("examples"):
        return f"`key: value` pairs such as {examples[0]}"
    if properties := schema.get("properties"):
        return "`key: value` pairs with " + ", ".join(properties)
    if kind == "object":
        rest = schema.get("additionalProperties")
        each = describe(cast(Schema, rest), root) if isinstance(rest, Mapping) else "a value"
        return f"`name: value` pairs, each value {each}"
    return _WORDS.get(kind, "a value") + _range(schema)


def _choices(schema: Schema) -> list[str]:
    return [str(choice) for choice in schema.get("enum", [schema["const"]] if "const" in schema else [])]


def _range(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" from {schema['minimum']:g} to {schema['maximum']:g}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    parts = [f"{word} {schema[name]:g}" for name, word in words.items() if name in schema]
    return (" of " if parts and parts[0].startswith("at") else " " if parts else "") + ", ".join(parts)


def hint(given: Any, schema: Schema | None = None, root: Schema | None = None) -> str:
    """Guess the intention behind a wrong value and explain how to write it; empty where there is no guess."""
    if isinstance(given, list):
        return AXES_ONLY
    if not isinstance(given, str):
        return ""
    parts = [] if schema is None else _branches(schema, root or schema)
    near = nearest(given, [choice for part in parts for choice in _choices(part)])
    if near:
        return f"did you mean '{near}'?"
    text, types = given.strip(), {part.get("type") for part in parts}
    whole = "integer" in types and "number" not in types
    if re.fullmatch(r"[-+]?[0-9.]+ *%", text):
        return "" if whole else f"write {float(text.rstrip('% ')) / 100:g} for {text}"
    if re.fullmatch(r"[-+]?[0-9]+,[0-9]+", text):
        if whole:
            return f"a whole number has no comma; two values are a list: [{text.replace(',', ', ')}]"
        return f"write {text.replace(',', '.')}: decimals take a point"
    unit = re.fullmatch(r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?) *([A-Za-zµ°]+)", text)
    if unit:
        return f"write the number alone: {unit[1]}, without '{unit[2]}'"
    if text.lower() in ("yes", "no", "on", "off") and "boolean" in types:
        return "in YAML 1.2 only true and false are truth values"
    return ""
