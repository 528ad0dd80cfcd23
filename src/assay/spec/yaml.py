"""Read YAML with the location of every value, within limits of size and depth."""

# ruamel.yaml has no complete types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from assay.core.errors import SpecError, nearest, shorten
from assay.core.files import is_stream
from assay.spec.document import Document, Keys, join_keys, mapping_of

# YAML as studies are written in it. ruamel.yaml scans and parses; scalars follow the core schema of YAML 1.2
# (https://yaml.org/spec/1.2.2/#103-core-schema), without the underscores in numbers and the dates that ruamel.yaml
# takes from 1.1. Keys are text as written.

LONGEST = 1_000_000  # characters of a study file
LONGEST_NUMBER = 300  # digits
LONGEST_TAG = 1_000  # characters; the library takes time that grows with the square of its length
DEEPEST = 40  # levels
MOST_VALUES = 20_000  # values after aliases are written out, so that a few lines cannot grow into gigabytes
_PREFIX = "tag:yaml.org,2002:"
_CORE_SCHEMA = tuple(
    (Tag(suffix=_PREFIX + name), re.compile(pattern))
    for name, pattern in (
        ("null", r"~|null|Null|NULL|"),
        ("bool", r"true|True|TRUE|false|False|FALSE"),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
        (
            "float",
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        ),
    )
)


_WRITTEN = {tag.suffix.removeprefix(_PREFIX): pattern for tag, pattern in _CORE_SCHEMA}
_HALF = re.compile("[\ud800-\udfff]")
_LONGEST_PROBLEM = 200  # characters of what the parser says


class _CoreSchema(VersionedResolver):
    """Resolver of plain scalars by the core schema of YAML 1.2."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Tag:
        plain_scalar = kind is ScalarNode and implicit[0]
        tags = (tag for tag, pattern in _CORE_SCHEMA if plain_scalar and pattern.fullmatch(value))
        return next(tags, None) or super().resolve(kind, None, (False, False))


class _BoundedComposer(Composer):
    """Composer that ends at bounds of its own, wherever Python's limit of recursion stands."""

    depth = count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        line = self.parser.peek_event().start_mark.line + 1
        if self.depth > DEEPEST:
            raise _BeyondBound(line, "nested too deeply; a study needs fewer than 20 levels")
        self.count += 1
        if self.count > 2 * MOST_VALUES:  # each may have a key
            raise _BeyondBound(line, f"over {MOST_VALUES:,} values, more than a study file has")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _BeyondBound(Exception):
    """A value beyond a bound; its arguments are the line and what is wrong."""


def read_yaml(path: Path, called: str = "") -> Document:
    """Read the study in a YAML file.

    Args:
        path: The file.
        called: The name of the file in messages. Its path by default.

    Raises:
        SpecError: The file cannot be read or is not one mapping. The text names file and line.
    """
    if is_stream(path):
        raise SpecError(f"{path}: a pipe or a device, which may have no end; give a file")
    try:
        with path.open("rb") as file:
            text = file.read(4 * LONGEST + 1).decode("utf-8-sig")  # also of a device that ends nowhere
    except FileNotFoundError:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")])
        hint = f"did you mean '{path.parent / near}'?" if near else "give the path of a YAML file"
        raise SpecError(f"{path}: there is no such file: {hint}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    values, locations = parse_yaml(text, called or str(path))
    tree = mapping_of(values)
    if tree is None:
        kind = {type(None): "nothing", list: "a list", str: f"the text '{shorten(str(values))}'"}.get(type(values))
        raise SpecError(
            f"{path}: holds {kind or f'the value {shorten(repr(values))}'}; expected a study: `key: value` lines from "
            "`name:` to `contrasts:`"
        )
    return Document(tree, locations, folder=str(path.parent.absolute()), file=str(path))


def parse_yaml(text: str, source: str) -> tuple[Any, dict[Keys, str]]:
    """Parse a YAML text.

    Args:
        text: The text.
        source: Its name in locations and messages.

    Returns:
        The value, and the location (`source:line`) of everything in it.

    Raises:
        SpecError: The text is not YAML, or holds something that a study may not.
    """
    if len(text) > LONGEST:
        raise SpecError(f"{source}: over {LONGEST:,} characters, more than a study file has")
    if any(len(word) > LONGEST_TAG and "!" in word[:-LONGEST_TAG] for word in text.split()):
        raise SpecError(f"{source}: over {LONGEST_TAG:,} characters without a blank after '!', as no tag has")
    reader = YAML(typ="safe", pure=True)
    reader.Resolver, reader.Composer = _CoreSchema, _BoundedComposer
    try:
        node: Node | None = reader.compose(text)
    except _BeyondBound as error:
        raise SpecError(f"{source}:{error.args[0]}: {error.args[1]}") from None
    except MarkedYAMLError as error:
        raise SpecError(_syntax(error, text, source)) from None
    except (YAMLError, ValueError) as error:  # a character or its code, or a version of YAML
        raise SpecError(f"{source}: holds what YAML forbids: {str(error).splitlines()[0]}") from None
    if node is None:
        return None, {}
    reading = _Reading(source)
    value = reading.value(node, ())
    if reading.duplicates:
        raise SpecError("\n".join(reading.duplicates[:5]))
    return value, reading.locations


class _Reading:
    """Plain values of composed YAML nodes, with their locations and the keys that appear twice."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.locations: dict[Keys, str] = {}
        self.duplicates: list[str] = []
        self.count = 0

    def value(self, node: Node, keys: Keys) -> Any:
        location = self.locations.setdefault(keys, self.location(node))
        self.count += 1
        if self.count > MOST_VALUES or len(keys) > DEEPEST:
            raise SpecError(
                f"{location}: aliases make this value endless or larger than {MOST_VALUES} values; write it out"
            )
        tag = str(node.tag)
        if isinstance(node, ScalarNode):
            return _scalar(tag, str(node.value), location)
        if tag not in (_PREFIX + "map", _PREFIX + "seq"):
            raise SpecError(_refused_tag(tag, location))
        return self.mapping(node, keys) if isinstance(node, MappingNode) else self.sequence(node, keys)

    def mapping(self, node: Node, keys: Keys) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            location = self.location(key_node)
            if not isinstance(key_node, ScalarNode):
                raise SpecError(f"{location}: a list or mapping cannot be a key; write `key: value`")
            _require_characters(str(key_node.value), location)
            at = (*keys, str(key_node.value))
            if key_node.value in values:
                twice = f"appears twice, first at {self.locations[at]}; keep one of the two"
                self.duplicates.append(f"{location}: key '{join_keys(at)}' {twice}")
                continue
            self.locations[at] = location
            values[key_node.value] = self.value(value_node, at)
        return values

    def sequence(self, node: Node, keys: Keys) -> list[Any]:
        return [self.value(item, (*keys, i)) for i, item in enumerate(node.value)]

    def location(self, node: Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}"


def _require_characters(text: str, location: str) -> None:
    if half := _HALF.search(text):
        raise SpecError(f"{location}: U+{ord(half[0]):04X} is half a character: write the whole one")


def _scalar(tag: str, text: str, location: str) -> Any:
    """Convert the text of a scalar by its tag."""
    kind = tag.removeprefix(_PREFIX)
    _require_characters(text, location)
    if kind in _WRITTEN and not _WRITTEN[kind].fullmatch(text):
        raise SpecError(f"{location}: '{shorten(text)}' has the tag of another kind: leave the tag out")
    if kind == "int":
        if len(text) > LONGEST_NUMBER:
            raise SpecError(
                f"{location}: a number of {len(text):,} digits; no field takes one of over {LONGEST_NUMBER}"
            )
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    others = {"str": text, "null": None, "bool": text.lower() == "true"}
    if kind not in others:
        raise SpecError(_refused_tag(tag, location))
    return others[kind]


def _refused_tag(tag: str, location: str) -> str:
    return f"{location}: tag '{shorten(tag)}' is not allowed: a study holds plain values only"


def _syntax(error: MarkedYAMLError, text: str, source: str) -> str:
    """Explain a syntax error, and show the correct form."""
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    location, problem = f"{source}:{line + 1}", shorten(error.problem or "not YAML", _LONGEST_PROBLEM)
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        return f"{location}: a tab indents this line; YAML allows spaces only: replace the tab by spaces"
    if "single document" in (error.context or ""):
        return f"{location}: a second document begins here (`---`); a study file holds one"
    if "alias" in problem:
        return f"{location}: {problem}; a text that begins with * or & needs quotes"
    since = f" ({error.context}, line {error.context_mark.line + 1})" if error.context and error.context_mark else ""
    return (
        f"{location}: not YAML: {problem}{since}\n  expected `key: value` lines with equal indentation; "
        "text that holds ': ' or begins with one of []{}#&*!|>'\"%@` needs quotes"
    )
