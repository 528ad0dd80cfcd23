"""Read study files: YAML with line numbers, overrides from the command line, and the built-in studies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from assay.core.errors import SpecError, nearest, unknown_name, unknown_of_few
from assay.spec.document import Document, Keys, dotted, mapping_of, plain, shorten, show

# YAML as studies are written in it: safe, with the booleans of YAML 1.2, no duplicate keys, and every value's line.
#
# PyYAML reads YAML 1.1, where `no` is false, `1e-3` is text and `12:30` a number in base 60. Here scalars follow the
# core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), and keys are text as written.

LONGEST = 1_000_000  # characters of a study file
LONGEST_NUMBER = 300  # digits
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
            if len(text) > LONGEST_NUMBER:
                raise SpecError(
                    f"{place}: a number of {len(text):,} digits; no field takes one of over {LONGEST_NUMBER}"
                )
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


# Dotted overrides: what `--set a.b=c`, a `scales:` entry and `--seeds` change in a study before it is checked.


def apply_scale(document: Document, scale: str | None) -> Document:
    """The study at one of its `scales`; None or `default` is the study as written."""
    scales = mapping_of(document.values.get("scales", {}))
    if scales is None:
        raise SpecError(f"{document.place(('scales',))}: scales: expected `name: {{dotted.key: value}}` entries")
    if scale is None or scale == "default":
        return document
    if scale not in scales:
        raise SpecError(unknown_of_few("scale", scale, ["default", *scales]))
    changes = mapping_of(scales[scale])
    if changes is None:
        raise SpecError(
            f"{document.place(('scales', scale))}: scales.{scale} = {show(scales[scale])}\n"
            "  expected dotted overrides, such as {seeds: 2, recipe.epochs: 5}"
        )
    for key, value in changes.items():
        source: Keys = ("scales", scale, key)
        document = put(document, key, value, document.place(source), _below(document.places, source))
    return document


_BY_NAME = ("environments", "sources")
"""What holds parts under names of the study's own: a field of one that is not there is a slip of the pen."""
Override = str | tuple[str, Any]
"""A change: `a.b=c` of the command line, whose value is read as YAML, or a dotted key with a value of Python's."""


def apply_sets(document: Document, overrides: Sequence[Override]) -> Document:
    """The study with each change, in order."""
    for change in overrides:
        key, value = _written(change) if isinstance(change, str) else change
        document = put(document, key, value, "--set" if isinstance(change, str) else f"set '{key}'")
    return document


def _written(text: str) -> tuple[str, Any]:
    key, equals, written = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"--set {text}: expected a dotted key, `=` and a value, such as --set recipe.epochs=10")
    value, _ = parse_yaml(written, f"--set {key.strip()}")
    return key.strip(), value


def put(document: Document, key: str, value: Any, place: str, places: Mapping[Keys, str] | None = None) -> Document:
    """The document with one value replaced. A component named by a word alone becomes a mapping when an argument of it
    is set; an item of a list is named by its number or, for components, by its name. None unsets a key of `data`.
    """
    values = plain(document.values)
    keys = _walk(values, key.split("."), place)
    target: Any = values
    for part in keys[:-1]:
        target = target[part]
    if value is None and "data" in keys[:-1] and isinstance(target, dict):
        cast("dict[str, Any]", target).pop(str(keys[-1]), None)  # `data.mask=null` unsets: the default holds again
    else:
        target[keys[-1]] = plain(value, keys)
    kept = {at: where for at, where in document.places.items() if at[: len(keys)] != keys}
    below = {(*keys, *at): where for at, where in (places or {}).items()}
    return Document(values, {**kept, keys: place, **below}, document.folder, document.stem)


def _walk(values: dict[str, Any], parts: list[str], place: str) -> Keys:
    """The keys that a dotted path means; mappings on the way are made where they are missing."""
    keys: list[str | int] = []
    here: Any = values
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        named = isinstance(here, list) and not part.isdigit()
        key = _item(here, part, tuple(keys), place) if isinstance(here, list) else part
        keys.append(key)
        if not following:
            break
        here = _opened(here, key, part if named else following, tuple(keys), place)
        if named:  # `probes.reliance.samples`: the item is found by the component's name, which is then its key
            keys.append(part)
            here = _opened(here, part, following, tuple(keys), place)
    return tuple(keys)


def _opened(holder: Any, key: str | int, following: str, keys: Keys, place: str) -> Any:
    """What `holder` has at `key` as a mapping or list to go on in: `loss: supcon` becomes `loss: {supcon: {}}`."""
    inside: Any = holder[key] if isinstance(key, int) else holder.get(key)
    if len(keys) == 2 and keys[0] in _BY_NAME and holder and key not in {*holder, "train"}:
        what = unknown_of_few(str(keys[0]).removesuffix("s"), str(key), list(holder))
        raise SpecError(f"{place}: {what}\n  {dotted(keys)}={{...}} makes a new one")
    if inside is None or inside == following:
        holder[key] = {} if inside is None else {following: {}}
    elif not isinstance(inside, (dict, list)):
        raise SpecError(f"{place}: {dotted(keys)} is {show(inside)}, in which there is no '{following}' to set")
    return holder[key]


def _item(items: Any, part: str, keys: Keys, place: str) -> int:
    names = [_item_name(item) for item in cast(list[Any], items)]
    if part.isdigit() and int(part) < len(names):
        return int(part)
    if part in names:
        return names.index(part)
    known = shorten([name for name in names if name]) or f"0 to {len(names) - 1}"
    raise SpecError(f"{place}: {dotted(keys)} has no item '{part}'; items: {known}")


def _item_name(item: Any) -> str:
    mapping = mapping_of(item)
    if mapping is not None:
        return next(iter(mapping)) if len(mapping) == 1 else ""
    return item if isinstance(item, str) else ""


def _below(places: Mapping[Keys, str], source: Keys) -> dict[Keys, str]:
    return {at[len(source) :]: where for at, where in places.items() if at[: len(source)] == source and at != source}


# The studies that come with Assay: YAML files in the package, found without importing anything.

STUDIES = Path(__file__).parent.parent / "studies"


def study_files() -> dict[str, Path]:
    """Name -> file of every built-in study: those on phantoms, the examples on real images, the tuning of both."""
    folders = (STUDIES / folder for folder in (".", "examples", "tuning"))
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"), key=lambda file: file.stem)}


def builtin_studies() -> dict[str, str]:
    """Name -> one line about each built-in study: its first comment."""
    return {name: _first_line(file.read_text(encoding="utf-8")) for name, file in study_files().items()}


def _first_line(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ").rstrip()


def study_yaml(name: str) -> str:
    """A built-in study as YAML with its comments, ready to edit. Raises SpecError with the nearest valid name."""
    files = study_files()
    if name not in files:
        raise SpecError(unknown_name("study", name, list(files)))
    return files[name].read_text(encoding="utf-8")


def load_study_mapping(name: str) -> dict[str, Any]:
    """A built-in study as plain values: change any of them, then give it to `parse_study`.

    >>> study = load_study_mapping("nodule-loss")
    >>> study["recipe"]["epochs"] = 5
    """
    study_yaml(name)  # refuses an unknown name
    return read_yaml(study_files()[name]).values
