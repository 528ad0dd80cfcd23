"""YAML as studies are written in it: safe, with the booleans of YAML 1.2, no duplicate keys, and every value's line.

PyYAML reads YAML 1.1, where `no` is false, `1e-3` is text and `12:30` a number in base 60. Here scalars follow the core
schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), and keys are text as written.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from assay.core.document import Document, Keys, dotted, mapping_of
from assay.core.errors import SpecError, nearest

LONGEST = 1_000_000  # characters of a study file
MOST_VALUES = 20_000  # values after aliases are written out, so that a few lines cannot grow into gigabytes
_PREFIX = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Only its scanner, parser and composer are used; values are made below."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own class attribute


_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
)
for _tag, _pattern, _first in _SCALARS:
    _starts = [*_first, ""] if _tag == "null" else list(_first)
    for _start in _starts:
        _Loader.yaml_implicit_resolvers.setdefault(_start, []).append(
            (_PREFIX + _tag, re.compile(rf"(?:{_pattern})\Z"))
        )


def read_yaml(path: Path, called: str = "") -> Document:
    """The document in a file, which messages call `called` or else by its path.

    Raises SpecError, naming file and line, when the file cannot be read or is not one mapping.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = nearest(path.name, [other.name for other in path.parent.glob("*.y*ml")])
        hint = f"did you mean '{path.parent / near}'?" if near else "give the path of a YAML file"
        raise SpecError(f"{path}: there is no such file: {hint}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    values, places = parse_yaml(text, called or str(path))
    tree = mapping_of(values)
    if tree is None:
        raise SpecError(
            f"{path}: holds {_kind(values)}; expected a study: `key: value` lines from `name:` to `contrasts:`"
        )
    return Document(tree, places, folder=str(path.parent.absolute()), stem=path.stem)


def parse_yaml(text: str, source: str) -> tuple[Any, dict[Keys, str]]:
    """The value of a YAML text, and the place (`source:line`) of everything in it. Raises SpecError."""
    if len(text) > LONGEST:
        raise SpecError(f"{source}: {len(text)} characters; a study file has at most {LONGEST}")
    try:
        node = yaml.compose(text, _Loader)
    except RecursionError:
        raise SpecError(f"{source}: nested too deeply; a study needs fewer than 20 levels") from None
    except yaml.MarkedYAMLError as error:
        raise SpecError(_syntax(error, text, source)) from None
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: holds a character that YAML forbids: {str(error).splitlines()[0]}") from None
    if node is None:
        return None, {}
    build = _Builder(source)
    value = build.value(node, ())
    if build.duplicates:
        raise SpecError("\n".join(build.duplicates[:5]))
    return value, build.places


class _Builder:
    """Turns composed nodes into plain values and notes their lines."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[Keys, str] = {}
        self.duplicates: list[str] = []
        self.count = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        place = self.places.setdefault(keys, self.place(node))
        self.count += 1
        if self.count > MOST_VALUES or id(node) in self.open or len(keys) > 40:
            raise SpecError(
                f"{place}: aliases make this value endless or larger than {MOST_VALUES} values; write it out"
            )
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, place)
        if node.tag not in (_PREFIX + "map", _PREFIX + "seq"):
            raise SpecError(f"{place}: tag '{node.tag}' is not allowed: a study holds plain values only")
        self.open.add(id(node))
        made = self.mapping(node, keys) if isinstance(node, yaml.MappingNode) else self.sequence(node, keys)
        self.open.discard(id(node))
        return made

    def mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError(f"{place}: a list or mapping cannot be a key; write `key: value`")
            key = key_node.value
            if key in out:
                first = self.places[(*keys, key)]
                self.duplicates.append(
                    f"{place}: key '{dotted((*keys, key))}' stands twice, first at {first}; keep one of the two"
                )
                continue
            self.places[(*keys, key)] = place
            out[key] = self.value(value_node, (*keys, key))
        return out

    def sequence(self, node: yaml.Node, keys: Keys) -> list[Any]:
        return [self.value(item, (*keys, i)) for i, item in enumerate(node.value)]

    def scalar(self, node: yaml.ScalarNode, place: str) -> Any:
        text, tag = node.value, node.tag.removeprefix(_PREFIX)
        if tag == "str":
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        if tag == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if tag == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        raise SpecError(f"{place}: tag '{node.tag}' is not allowed: a study holds plain values only")

    def place(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}"


def _syntax(error: yaml.MarkedYAMLError, text: str, source: str) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    place, problem = f"{source}:{line + 1}", error.problem or "not YAML"
    lines = text.splitlines()
    written = lines[line] if line < len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        return f"{place}: a tab indents this line; YAML allows spaces only: replace the tab by spaces"
    if "single document" in (error.context or ""):
        return f"{place}: a second document begins here (`---`); a study file holds one"
    if "alias" in problem:
        return f"{place}: {problem}; a text that begins with * or & needs quotes"
    since = f" ({error.context}, line {error.context_mark.line + 1})" if error.context and error.context_mark else ""
    return (
        f"{place}: not YAML: {problem}{since}\n  expected `key: value` lines with equal indentation; "
        "text that holds ': ' or begins with one of []{}#&*!|>'\"%@` needs quotes"
    )


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else f"the {'text' if isinstance(value, str) else 'value'} {value!r}"
