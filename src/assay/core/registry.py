"""Everything that a spec can name: where it lives, what it takes, one line about it.

A catalogue module declares components by name without importing what they need (no torch), so that listing them and
refusing a wrong spec stay fast. `Params` subclasses check arguments; the implementation is imported when it is built.
Assay's own catalogues and those of plug-in packages are found through the entry-point group `assay.catalogue`.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from assay.core.errors import SpecError, unknown_name
from assay.core.files import file_hash, filled

ComponentKind = Literal[
    "phantom",
    "dataset",
    "intervention",
    "distortion",
    "architecture",
    "initialisation",
    "loss",
    "optimiser",
    "schedule",
    "augmentation",
    "mitigation",
    "finetuning",
    "probe",
    "explainer",
]
KINDS: tuple[str, ...] = get_args(ComponentKind)


class Params(BaseModel):
    """The checked arguments of a component. Fields carry their default, range and unit (in the description).

    file_hashes: argument that is a file's path -> argument that holds its SHA-256. The latter is found from the file
    unless it is given, and alone it enters hashes: a changed file is another thing, a moved one is the same.
    folders: arguments that are paths of folders.
    environments: arguments that name a test environment, unless they have their default. A study that lacks it is
    refused, and what is looked at there is part of a probe's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    file_hashes: ClassVar[Mapping[str, str]] = {}
    folders: ClassVar[tuple[str, ...]] = ()
    environments: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_content(cls, given: Any) -> Any:
        if not cls.file_hashes or not isinstance(given, Mapping):
            return given
        made = dict(cast(Mapping[str, Any], given))
        for name, digest in cls.file_hashes.items():
            if isinstance(made.get(name), str) and made[name] and made.get(digest) in (None, ""):
                made[digest] = _content(made[name])
        return made


def _content(text: str) -> str:
    try:
        return file_hash(filled(text))
    except OSError as error:
        raise ValueError(f"'{text}' cannot be read: {error.strerror}; give the path of a file") from error


class NoParams(Params):
    """For a component that takes no arguments."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered component. `target` is `module:attribute`; `version` rises when its output changes.

    source_hash: of the whole module file of a dotted path, as this process imported it; empty for a registered name,
    which has a version.
    """

    kind: ComponentKind
    name: str
    target: str
    params: type[Params]
    summary: str
    version: int = 1
    source_hash: str = ""

    def load(self) -> Callable[..., Any]:
        """Import the implementation."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


_entries: dict[tuple[str, str], Entry] = {}
_imported: dict[str, str] = {}
"""The modules of dotted paths, with the hash of each one's file when it was first needed here: that is the code which
this process runs, whatever stands in the file later."""


def register(
    kind: ComponentKind,
    name: str,
    target: str,
    params: type[Params] = NoParams,
    *,
    summary: str,
    version: int = 1,
) -> None:
    """Declare a component. Called by catalogue modules; a name can be declared once per kind."""
    entry = Entry(kind, name, target, params, summary, version)
    if _entries.setdefault((kind, name), entry) != entry:
        raise ValueError(f"{kind} '{name}' is registered twice: {_entries[kind, name].target} and {target}")


_own_code_allowed = ContextVar("own_code_allowed", default=True)


@contextmanager
def own_code_refused(refused: bool = True) -> Generator[None]:
    """Refuse dotted paths and catalogues of other packages within this context.

    Args:
        refused: False changes nothing.
    """
    token = _own_code_allowed.set(_own_code_allowed.get() and not refused)
    try:
        yield
    finally:
        _own_code_allowed.reset(token)


@cache
def _load_catalogues(own_code: bool) -> None:
    for point in entry_points(group="assay.catalogue"):
        if point.value.startswith("assay."):
            importlib.import_module(point.value)
        elif own_code:
            _name_own_code(point.value, f"the entry point '{point.name}' of an installed package")
            importlib.import_module(point.value)


def entries(kind: ComponentKind | None = None) -> tuple[Entry, ...]:
    """All registered components, of one kind or of all, sorted by kind and name."""
    _load_catalogues(_own_code_allowed.get())
    return tuple(_entries[key] for key in sorted(_entries) if kind in (None, key[0]))


def lookup(kind: ComponentKind, name: str) -> Entry:
    """The component of that name, or of a dotted path `package.module:attribute` to the user's own.

    Raises SpecError with the nearest valid name.
    """
    _load_catalogues(_own_code_allowed.get())
    if (kind, name) in _entries:
        return _entries[kind, name]
    if ":" in name:
        if not _own_code_allowed.get():
            raise SpecError(
                f"{kind} '{name}' is code of your own, which --no-own-code refuses: read it, then run without"
            )
        return _dotted(kind, name)
    raise SpecError(unknown_name(kind, name, [known for of, known in _entries if of == kind]))


def build(kind: ComponentKind, name: str, params: Mapping[str, Any], *positional: Any) -> Any:
    """Make the object that a spec names: the implementation called with its checked arguments."""
    entry = lookup(kind, name)
    checked = entry.params.model_validate(dict(params))
    arguments = {field: getattr(checked, field) for field in type(checked).model_fields}
    return entry.load()(*positional, **arguments)


def _name_own_code(module: str, named_by: str) -> None:
    """Say on standard error, once, that a module from outside Assay is about to be imported."""
    if module not in sys.modules and parent_process() is None:
        print(f"importing {module}, which {named_by} names: its code runs", file=sys.stderr, flush=True)


@cache
def _dotted(kind: ComponentKind, name: str) -> Entry:
    module_name, _, attribute = name.partition(":")
    if module_name == "__main__":
        raise SpecError(f"{kind} '{name}' is in the script that runs: move it to a module of its own and name that")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise SpecError(f"{kind} '{name}' is no {kind}: it is of Python's own library; name a module of yours")
    _name_own_code(module_name, "the study")
    try:
        module = importlib.import_module(module_name)
        target = getattr(module, attribute)
    except SystemExit as error:
        raise SpecError(
            f"{kind} '{name}': module '{module_name}' ends Python (sys.exit) when it is imported"
        ) from error
    except (ImportError, AttributeError) as error:
        raise SpecError(f"{kind} '{name}' cannot be imported: {error}; expected package.module:attribute") from error
    if kind == "intervention" and inspect.isfunction(target) and not hasattr(target, "__wrapped__"):
        raise SpecError(
            f"intervention '{name}' is a bare function: write @assay.intervention on the line above it, or name a class"
        )
    if getattr(module, "__file__", None) is None:
        raise SpecError(
            f"{kind} '{name}': module '{module_name}' has no file that could be hashed; give a function or class of a "
            "module that is a Python file"
        )
    source = _imported.setdefault(module_name, _hash_of(module_name))
    return Entry(kind, name, name, _params_of(target), inspect.getdoc(target) or "", source_hash=source)


def own_code(document: str) -> tuple[tuple[str, str], ...]:
    """The modules of the dotted paths in a study's JSON text, each with the hash of its file.

    Raises SpecError for one that was edited since this process imported it: what runs would not be what is named.
    """
    found = {module: known for module, known in _imported.items() if f'"{module}:' in document}
    for module, known in found.items():
        if _hash_of(module) != known:
            raise SpecError(
                f"{module} was edited after this Python process had imported it, and the process still has the code "
                "from before: restart Python (in a notebook, its kernel) and run again"
            )
    return tuple(sorted(found.items()))


def require_code(planned: Iterable[tuple[str, str]]) -> None:
    """Raises SpecError where a module that this process imports is not the one that `own_code` told when planning."""
    for module, known in planned:
        importlib.import_module(module)
        if _imported.setdefault(module, _hash_of(module)) != known:
            raise SpecError(
                f"{module} was edited since this run began: run the same command again, which plans it anew"
            )


def _hash_of(module: str) -> str:
    """Of an imported module's file; empty when the file is gone."""
    try:
        return hashlib.sha256(Path(str(sys.modules[module].__file__)).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _params_of(target: Callable[..., Any]) -> type[Params]:
    """A checked-arguments class from the keyword-only parameters of a user's function or class."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(target, eval_str=True).parameters.values():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        annotation = Any if parameter.annotation is inspect.Parameter.empty else parameter.annotation
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (annotation, default)
    return create_model("DottedParams", __base__=Params, **fields)
