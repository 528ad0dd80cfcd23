"""Registry of everything that a spec can name: its code, its arguments, its traits.

A component is declared where its code is: `@component(kind, name, summary=...)` above a class or a function, whose
keyword-only parameters are its arguments. The generated index (`assay.core.index`) repeats the declarations of Assay's
own components, so that listing them and refusing a wrong spec import none of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import entry_points
from multiprocessing import parent_process
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, cast, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from assay.core.errors import CodeError, SpecError, key_text, shorten, unknown_name
from assay.core.files import file_hash, fill_names
from assay.core.measures import index
from assay.core.traits import KINDS, TRAITS, ComponentKind, Traits

Registered = TypeVar("Registered", bound=Callable[..., Any])

# Arguments: their roles, and the model that checks them.


@dataclass(frozen=True, slots=True)
class Role:
    """Role of an argument, where that decides how a study is read.

    Attributes:
        name: `folder`: the path of a folder. `file`: that of a file. `sha256`: the hash of the file whose path is
            argument `of`, found from the file unless it is given; it alone enters hashes, so that a changed file is
            another thing and a moved one is the same. `environment`: the name of a test environment, unless it is the
            default; a study that lacks it is refused, and the images tested there are part of a probe's name.
            `component`, `components`: another component, or a list of them, of kind `of`, with its arguments. `code`:
            the part of the code of the components in argument `of` enters hashes, found when left out.
        of: An argument or a kind, see `name`.

    Examples:
        >>> class Reading(Params):
        ...     images: Annotated[str, Role("folder")]
        ...     size: int = 64
        >>> Reading.with_role("folder")
        {'images': ''}
    """

    name: Literal["folder", "sha256", "environment", "component", "components", "code"]
    of: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of the value, nested components being named first."""
        if self.name in ("component", "components"):
            return core_schema.no_info_before_validator_function(self._named, handler(source))
        return handler(source)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON schema of the value with the role."""
        return {**handler(schema), "role": [self.name, self.of]}

    def _named(self, value: Any) -> Any:
        if self.name == "component":
            return named(cast(ComponentKind, self.of), value)
        listed = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else [value]
        return [named(cast(ComponentKind, self.of), component) for component in listed]


class Params(BaseModel):
    """Arguments of a component: frozen, without unknown ones.

    Attributes:
        roles: Argument -> its role, of those that have one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    roles: ClassVar[Mapping[str, Role]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        every = cls.model_fields.items()
        cls.roles = {name: role for name, field in every for role in field.metadata if isinstance(role, Role)}

    @classmethod
    def with_role(cls, role: str) -> dict[str, str]:
        """Return the arguments that have a role, each with what the role is of."""
        return {name: named_role.of for name, named_role in cls.roles.items() if named_role.name == role}

    @model_validator(mode="before")
    @classmethod
    def _with_content(cls, value: Any) -> Any:
        if not cls.roles or not isinstance(value, Mapping):
            return value
        content = dict(cast(Mapping[str, Any], value))
        for digest, name in cls.with_role("sha256").items():
            if isinstance(content.get(name), str) and content[name] and content.get(digest) in (None, ""):
                content[digest] = _content(content[name])
        return content

    @model_validator(mode="after")
    def _with_code(self) -> Params:
        for name, argument in self.with_role("code").items():
            nested, kind = getattr(self, argument), cast(ComponentKind, self.roles[argument].of)
            if isinstance(nested, Mapping):
                object.__setattr__(self, name, code_of(kind, cast(Mapping[str, Any], nested)))
            else:
                code = tuple(code_of(kind, component) for component in nested)
                object.__setattr__(self, name, code if any(code) else ())
        return self


def _content(text: str) -> str:
    try:
        return file_hash(fill_names(text))
    except OSError as error:
        raise ValueError(f"'{text}' cannot be read: {error.strerror}; give the path of a file") from error


@dataclass(frozen=True, slots=True)
class Arguments:
    """The checked arguments of a component.

    Attributes:
        model: Every argument with its type, range and default.
        compares: Whether the code checks more than names, types and ranges.
        groups: Parameter of the component -> dataclass that holds some of the arguments.
    """

    model: type[Params]
    compares: bool = False
    groups: Mapping[str, type] = field(default_factory=dict[str, type])

    def call_arguments(self, checked: Params) -> dict[str, Any]:
        """Return the keyword arguments that the component is called with."""
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        for parameter, group in self.groups.items():
            values[parameter] = group(
                **{attribute.name: values.pop(attribute.name) for attribute in dataclasses.fields(group)}
            )
        return values


def load_object(target: str) -> Any:
    """Import what `module:attribute` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True, slots=True)
class Entry:
    """One component that a spec can name.

    Attributes:
        target: `module:attribute` of the code.
        arguments: Returns its arguments. Of an indexed component it holds names, types, ranges and defaults alone.
        version: Rises when the output changes.
        traits: Facts about it that other parts need before it is built; None for a dotted path, of which none is known.
        varies: Trait -> argument that decides it, with the trait for each of the argument's values.
        source_hash: Hash of the module file of a dotted path, as this process imported it. Empty for a registered name,
            which has a version.
        indexed: Whether it is known from the index, without its code.

    Examples:
        >>> entry = lookup("loss", "dice")
        >>> entry.name, entry.traits.tasks, entry.version
        ('dice', ('segmentation',), 1)
    """

    kind: ComponentKind
    name: str
    target: str
    arguments: Callable[[], Arguments]
    summary: str
    version: int = 1
    traits: Traits | None = None
    varies: Mapping[str, tuple[str, Mapping[Any, Any]]] = field(default_factory=dict[str, Any])
    source_hash: str = ""
    indexed: bool = False

    @property
    def params(self) -> type[Params]:
        """The model that checks its arguments. Of an indexed component it imports no code."""
        return self.arguments().model

    def load(self) -> Callable[..., Any]:
        """Import the implementation."""
        return load_object(self.target)

    def complete(self) -> Arguments:
        """Return the arguments with the checks that compare them, which need the code."""
        if not self.indexed:
            return self.arguments()
        self.load()
        return _declared[self.kind, self.name].arguments()

    def validate(self, params: Mapping[str, Any]) -> Params:
        """Arguments after all checks, of which those that compare them import the code.

        Raises:
            ValidationError: An argument is wrong, or arguments contradict each other.
        """
        checked = self.params.model_validate(dict(params))
        return self.complete().model.model_validate(checked.model_dump()) if self.indexed else checked

    def traits_with(self, params: Mapping[str, Any]) -> Traits | None:
        """Return its traits under these arguments."""
        if self.traits is None or not self.varies:
            return self.traits
        checked = self.params.model_validate(dict(params))
        changed = {trait: by[getattr(checked, argument)] for trait, (argument, by) in self.varies.items()}
        return dataclasses.replace(self.traits, **changed)


_declared: dict[tuple[str, str], Entry] = {}
_imported: dict[str, str] = {}
"""The modules of dotted paths, with the hash of each one's file when it was first needed here: that is the code which
this process runs, whatever the file holds later."""


def component(
    kind: ComponentKind,
    name: str,
    traits: Traits | None = None,
    *,
    summary: str,
    version: int = 1,
    varies: Mapping[str, tuple[str, Mapping[Any, Any]]] | None = None,
) -> Callable[[Registered], Registered]:
    """Declare a class or function as a component that specs can name.

    Its arguments are its keyword-only parameters, with types, ranges and descriptions (`Annotated[float, Field(gt=0,
    description="...")] = 1.0`). A keyword-only parameter whose type is a dataclass represents the dataclass's fields;
    comparisons of arguments are checked in its `__post_init__`, by ValueError.

    Args:
        kind: Its kind.
        name: Name in specs; unique within its kind.
        traits: Facts about it that other parts need before it is built, of the kind's class of traits. Those in
            `by_class` are taken from a class's own attributes.
        summary: One line for `assay list`.
        version: Rises when its output changes; enters the names of trials.
        varies: Traits that an argument decides: trait -> (argument, {value of the argument: trait}).

    Examples:
        A module of your own declares it once:

            @component("intervention", "border", summary="a dark border")
            class Border:
                def __init__(self, *, width: Annotated[float, Field(gt=0, description="share of the side")] = 0.1): ...
    """
    base_traits = traits or TRAITS.get(kind, Traits)()

    def declare(definition: Registered) -> Registered:
        target = f"{definition.__module__}:{definition.__qualname__}"
        arguments = cache(partial(arguments_of, definition))
        traits_of_class = {
            trait: getattr(definition, trait) for trait in base_traits.by_class if hasattr(definition, trait)
        }
        entry = Entry(
            kind,
            name,
            target,
            arguments,
            summary,
            version,
            dataclasses.replace(base_traits, **traits_of_class),
            varies or {},
        )
        before = _declared.setdefault((kind, name), entry)
        if before.target != target:
            raise ValueError(f"{kind} '{name}' is registered twice: {before.target} and {target}")
        _declared[kind, name] = entry
        return definition

    return declare


def declared_entries() -> Mapping[tuple[str, str], Entry]:
    """Return all components whose code has been imported."""
    return _declared


CodeRule = Literal["run", "trusted", "remembered", "refused"]
"""Which code from outside Assay runs: what a study file names, what a folder names too, of a folder only what this user
has run here before, or none.
"""
_code_rule: ContextVar[CodeRule] = ContextVar("code_rule", default="run")


@contextmanager
def _code_ruled(rule: CodeRule) -> Generator[None]:
    token = _code_rule.set(rule)
    try:
        yield
    finally:
        _code_rule.reset(token)


def own_code_refused(refused: bool = True) -> AbstractContextManager[None]:
    """Refuse dotted paths and catalogs of other packages within this context.

    Args:
        refused: False changes nothing.
    """
    return _code_ruled("refused" if refused else _code_rule.get())


def code_trusted(trusted: bool = True) -> AbstractContextManager[None]:
    """Run also the code that folders name within this context.

    Args:
        trusted: False changes nothing.
    """
    return _code_ruled("trusted" if trusted and _code_rule.get() == "run" else _code_rule.get())


def code_of_folder() -> AbstractContextManager[None]:
    """Read what a folder has within this context: of its code runs only what this user has run here, or trusts."""
    return _code_ruled("remembered" if _code_rule.get() == "run" else _code_rule.get())


@cache
def _import_catalogs(own_code: bool) -> None:
    for point in entry_points(group="assay.catalog"):
        if own_code and not point.value.startswith("assay."):
            _name_own_code(point.value, f"the entry point '{point.name}' of an installed package")
            importlib.import_module(point.value)


def _all_entries() -> Mapping[tuple[str, str], Entry]:
    """Components by kind and name: those of the index, and those of plug-ins."""
    _import_catalogs(_code_rule.get() != "refused")
    return {**_declared, **_indexed_entries()}


def entries(kind: ComponentKind | None = None) -> tuple[Entry, ...]:
    """Return all registered components, of one kind or of all, sorted by kind and name.

    Examples:
        >>> [entry.name for entry in entries("optimizer")]
        ['adam', 'adamw', 'nadam', 'sgd']
    """
    by_key = _all_entries()
    return tuple(by_key[key] for key in sorted(by_key) if kind in (None, key[0]))


def lookup(kind: ComponentKind, name: str) -> Entry:
    """Return the component of that name, or of a dotted path `package.module:attribute` to the user's own.

    Raises:
        SpecError: The name is unknown; the text gives the nearest valid one.

    Examples:
        >>> lookup("intervention", "blur").name
        'blur'
        >>> lookup("intervention", "bluz")
        Traceback (most recent call last):
        assay.core.errors.SpecError: unknown intervention 'bluz': did you mean 'blur'?
    """
    if (kind, name) in _indexed_entries():
        return _indexed_entries()[kind, name]
    by_key = _all_entries()
    if (kind, name) in by_key:
        return by_key[kind, name]
    if ":" in name:
        return _own_entry(kind, name)
    raise SpecError(unknown_name(kind, name, [other for of, other in by_key if of == kind]))


def build(kind: ComponentKind, name: str, params: Mapping[str, Any], *positional: Any) -> Any:
    """Make the object that a spec names: the implementation called with its checked arguments.

    Raises:
        ValidationError: An argument is wrong, or arguments contradict each other.

    Examples:
        >>> build("intervention", "blur", {"sigma": 0.05}).sigma
        0.05
    """
    entry = lookup(kind, name)
    checked = entry.validate(params)
    return entry.load()(*positional, **entry.complete().call_arguments(checked))


def _name_own_code(module: str, named_by: str) -> None:
    """Say on standard error, once, that a module from outside Assay is about to be imported."""
    if module not in sys.modules and parent_process() is None:
        print(f"importing {module}, which {named_by} names: its code runs", file=sys.stderr, flush=True)


def _not_trusted(text: str) -> CodeError:
    trust = f"{key_text('--trust-code', True)} (of `assay audit`: --trust)"
    return CodeError(f"{text}: if that is not by you, read it, then give {trust}")


def require_trusted_address(url: str) -> None:
    """Raise CodeError for an address that a folder of somebody else names, unless the user trusts such folders."""
    if _code_rule.get() != "trusted":
        raise _not_trusted(f"weights would be downloaded from {shorten(url, 200)}, an address that a folder names")


def own_object(kind: str, name: str) -> tuple[Any, str]:
    """Import an object of the user's by its dotted path.

    Args:
        kind: Its kind, for messages.
        name: `package.module:attribute`.

    Returns:
        The object, and the hash of its module's file.

    Raises:
        SpecError: Code of the user's is refused, or it cannot be imported.
        CodeError: A folder names it, and this user has not run it here.
    """
    from assay.core.own_code import has_run, has_run_same, import_named, module_files, remember_code

    rule = _code_rule.get()
    if rule == "refused":
        raise SpecError(f"{kind} '{name}' is code of your own, which --no-own-code refuses: read it, then run without")
    module_name, _, attribute = name.partition(":")
    if module_name == "__main__":
        raise SpecError(f"{kind} '{name}' is in the script that runs: move it to a module of its own and name that")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise SpecError(f"{kind} '{name}' is no {kind}: it is of Python's own library; name a module of yours")
    files = module_files(module_name)
    if rule == "remembered" and not has_run_same(name, files):
        where = f" in {files[-1]}" if files else ""
        new = "was changed since you ran it" if has_run(name, files) else "you have not run on this machine"
        raise _not_trusted(f"{kind} '{name}' is code{where} that a folder names and that {new}")
    _name_own_code(module_name, f"{kind} '{name}'")
    try:
        module = import_named(module_name)
        target = getattr(module, attribute)
    except SystemExit as error:
        raise SpecError(
            f"{kind} '{name}': module '{module_name}' ends Python (sys.exit) when it is imported"
        ) from error
    except (ImportError, AttributeError) as error:
        raise SpecError(f"{kind} '{name}' cannot be imported: {error}; expected package.module:attribute") from error
    if getattr(module, "__file__", None) is None:
        raise SpecError(
            f"{kind} '{name}': module '{module_name}' has no file that could be hashed; give a function or class of a "
            "module that is a Python file"
        )
    if files and parent_process() is None:
        remember_code(name, files)
    return target, _imported.setdefault(module_name, _hash_of(module_name))


@cache
def _own_entry(kind: ComponentKind, name: str) -> Entry:
    target, source = own_object(kind, name)
    if kind == "intervention" and inspect.isfunction(target) and not hasattr(target, "__wrapped__"):
        raise SpecError(
            f"intervention '{name}' is a bare function: write @assay.intervention on the line above it, or name a class"
        )
    check_own(kind, name, target)
    arguments = cache(partial(arguments_of, target))
    try:
        arguments()
    except Exception as error:  # annotations are code of the user's, and may name anything
        why = str(error).partition("\n")[0]
        raise SpecError(f"{kind} '{name}': the types of its arguments cannot be read: {why}") from error
    return Entry(kind, name, name, arguments, inspect.getdoc(target) or "", source_hash=source)


def own_code(document: str) -> tuple[tuple[str, str], ...]:
    """Return the modules of the dotted paths in a study's JSON text, each with the hash of its file.

    Raises:
        SpecError: For one that was edited since this process imported it: the running code would differ from the named
            one.
    """
    named_modules = {module: digest for module, digest in _imported.items() if f'"{module}:' in document}
    for module, digest in named_modules.items():
        if _hash_of(module) != digest:
            raise SpecError(
                f"{module} was edited after this Python process had imported it, and the process still has the code "
                "from before: restart Python (in a notebook, its kernel) and run again"
            )
    return tuple(sorted(named_modules.items()))


def require_code(planned: Iterable[tuple[str, str]]) -> None:
    """Check that this process imports the module that planning named by `own_code`.

    Raises:
        SpecError: Another module is imported.
    """
    from assay.core.own_code import import_named  # here, as few runs have such code

    for module, hash in planned:
        import_named(module)
        if _imported.setdefault(module, _hash_of(module)) != hash:
            raise SpecError(
                f"{module} was edited since this run began: run the same command again, which plans it again"
            )


def _hash_of(module: str) -> str:
    """Of an imported module's file; empty when the file is gone."""
    try:
        return hashlib.sha256(Path(str(sys.modules[module].__file__)).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def arguments_of(target: Callable[..., Any]) -> Arguments:
    """Return the arguments of a function or class: its keyword-only parameters, dataclasses among them taken apart."""
    of_fields = dataclasses.is_dataclass(cast(Any, target))
    hints = get_type_hints(target, include_extras=True) if of_fields else None
    fields: dict[str, Any] = {}
    groups: dict[str, type] = {}
    for name, parameter in inspect.signature(target, eval_str=hints is None).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        annotation: Any = hints[name] if hints else parameter.annotation
        group = cast("type[Any]", annotation)
        if isinstance(annotation, type) and dataclasses.is_dataclass(group):
            groups[name] = group
            fields |= _fields_of(group)
            continue
        field_type = Any if annotation is inspect.Parameter.empty else annotation
        fields[name] = (field_type, ... if parameter.default is inspect.Parameter.empty else parameter.default)

    def compare(checked: Params) -> Params:
        Arguments(type(checked), groups=groups).call_arguments(checked)
        for name, role in checked.roles.items():
            for part in getattr(checked, name) if role.name == "components" else (getattr(checked, name),):
                if role.name in ("component", "components"):
                    compare_nested(cast(ComponentKind, role.of), part)
        return checked

    validators: dict[str, Any] = {"_compare": model_validator(mode="after")(compare)}
    model = create_model("Arguments", __base__=Params, __validators__=validators, **fields)
    return Arguments(
        model,
        any(_compares(argument_type) for argument_type in (*groups.values(), *(kind for kind, _ in fields.values()))),
        groups,
    )


def _compares(annotation: Any) -> bool:
    """Return whether a type has checks of its own: of a dataclass's fields, or of the value."""
    return (
        isinstance(annotation, AfterValidator)
        or hasattr(annotation, "__post_init__")
        or any(_compares(part) for part in (*get_args(annotation), *getattr(annotation, "__metadata__", ())))
        or (
            isinstance(annotation, type)
            and dataclasses.is_dataclass(annotation)
            and any(_compares(kind) for kind, _ in _fields_of(annotation).values())
        )
    )


def _fields_of(group: type) -> dict[str, Any]:
    hints = get_type_hints(group, include_extras=True)
    return {
        attribute.name: (hints[attribute.name], ... if attribute.default is dataclasses.MISSING else attribute.default)
        for attribute in dataclasses.fields(cast("Any", group))
    }


# Components in the arguments of another: `{intervention: {tag: {}}}`, `{loss: dice}`.


def named(kind: ComponentKind, value: Any) -> dict[str, Any]:
    """`tag`, `{tag: null}` and `{tag: {text: L}}` as `{name: arguments that differ from their default}`.

    Raises:
        ValueError: The name or an argument is wrong.
    """
    written: Any = {value: {}} if isinstance(value, str) else value
    if not isinstance(written, Mapping) or len(cast(Mapping[str, Any], written)) != 1:
        raise ValueError(f"expected the name of one {kind}, or {{name: {{argument: value}}}}")
    ((name, arguments),) = cast(Mapping[str, Any], written).items()
    try:
        checked = lookup(kind, name).params.model_validate(arguments or {})
    except SpecError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        raise _nested_error(name, error) from error
    return {name: checked.model_dump(mode="json", exclude_defaults=True)}


def compare_nested(kind: ComponentKind, component: Mapping[str, Any]) -> None:
    """Compare the arguments of a component among the arguments of another, which imports its code.

    Raises:
        ValueError: They contradict each other.
    """
    ((name, arguments),) = component.items()
    try:
        lookup(kind, name).complete().model.model_validate(arguments)
    except ValidationError as error:
        raise _nested_error(name, error) from error


def _nested_error(name: str, error: ValidationError) -> ValueError:
    first = error.errors()[0]
    place = ".".join(str(key) for key in (name, *first["loc"]))
    return ValueError(f"{place}: {first['msg']}, not {first['input']!r}")


def code_of(kind: ComponentKind, component: Mapping[str, Any]) -> str:
    """Part of a nested component's code in a hash: a version other than 1, or the hash of a dotted path's file."""
    ((name, _),) = component.items()
    entry = lookup(kind, name)
    return entry.source_hash or (str(entry.version) if entry.version != 1 else "")


# The index: declarations of Assay's own components as JSON, read without importing them.


@cache
def _indexed_entries() -> Mapping[tuple[str, str], Entry]:
    entries = (_entry(cast(ComponentKind, kind), name, body) for kind in KINDS for name, body in index()[kind].items())
    return {(entry.kind, entry.name): entry for entry in entries}


@cache
def _reader_of(traits: type[Traits]) -> TypeAdapter[Traits]:
    return TypeAdapter(traits)


def _entry(kind: ComponentKind, name: str, body: Mapping[str, Any]) -> Entry:
    traits = TRAITS.get(kind, Traits)
    entry_traits = _reader_of(traits).validate_python(body["traits"]) if "traits" in body else traits()
    return Entry(
        kind,
        name,
        body["target"],
        cache(lambda: Arguments(_params_model(body.get("arguments", {})), "compares" in body)),
        body["summary"],
        body.get("version", 1),
        entry_traits,
        {trait: (argument, dict(values)) for trait, (argument, values) in body.get("varies", {}).items()},
        indexed=True,
    )


_TYPES: Mapping[str, Any] = {"number": float, "integer": int, "string": str, "boolean": bool, "null": None}
_RANGES = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}


def _params_model(fields: Mapping[str, Any]) -> type[Params]:
    definitions: dict[str, Any] = {}
    for name, schema in fields.items():
        annotation = Annotated[_annotation(schema), Field(description=schema["description"])]
        adapter = TypeAdapter[Any](cast(Any, annotation))
        default: Any = adapter.validate_python(schema["default"]) if "default" in schema else ...
        definitions[name] = (annotation, default)
    return create_model("Arguments", __base__=Params, **definitions)


def _annotation(schema: Mapping[str, Any]) -> Any:
    limits = {_RANGES[key]: value for key, value in schema.items() if key in _RANGES}
    roles = [Role(*schema["role"])] if "role" in schema else []
    annotation = _type(schema)
    for part in (*roles, *([Field(**limits)] if limits else [])):
        annotation = Annotated[annotation, part]
    return annotation


def _type(schema: Mapping[str, Any]) -> Any:
    if "anyOf" in schema:
        return Union[tuple(_annotation(part) for part in schema["anyOf"])]  # noqa: UP007 - of a computed tuple
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if schema.get("type") == "array":
        return tuple[_annotation(schema["items"]), ...]
    if "properties" in schema:
        return _params_model(schema["properties"])
    if schema.get("type") == "object":
        return Mapping[str, Any]
    return _TYPES[schema["type"]]


# Own code: a dotted path is checked to name a component of its kind, before a study is planned with it.

POSITIONAL: Mapping[str, tuple[str, ...]] = {
    "loss": ("context",),
    "architecture": ("context",),
    "optimizer": ("parameters",),
    "dataset": ("spec", "cache", "skip_bad_rows"),
}
"""What components of a kind are called with besides their keyword-only arguments; other kinds with nothing."""
METHODS: Mapping[str, tuple[str, ...]] = {
    "phantom": ("render",),
    "intervention": ("check", "draw", "apply", "mask"),
    "distortion": ("check", "draw", "apply"),
    "loss": ("loss",),
    "schedule": ("__call__",),
    "initialization": ("__call__",),
    "augmentation": ("draw", "apply"),
    "mitigation": ("phases", "objective"),
    "probe": ("scope", "requests", "measure"),
    "explainer": ("refusal", "explain"),
}
"""What a class of a kind must have. A function may return any object of that kind."""


def check_own(kind: ComponentKind, name: str, target: Any) -> None:
    """Refuse an object that cannot be a component of this kind.

    Args:
        kind: The kind.
        name: The dotted path, for messages.
        target: The object at that path.

    Raises:
        SpecError: It cannot be called, its signature cannot be read, it takes other positional parameters than
            components of its kind are called with, or it is a class without the methods of its kind.
    """
    if not callable(target):
        raise SpecError(f"{kind} '{name}' is no {kind}: it is {_a(type(target).__name__)}, not a class or a function")
    if inspect.isclass(target):
        lacking = [method for method in METHODS.get(kind, ()) if not hasattr(target, method)]
        if lacking:
            raise SpecError(f"{kind} '{name}' is no {kind}: the class has no {' and no '.join(lacking)}")
    parameters, expected = _positional(kind, name, target), POSITIONAL.get(kind, ())
    if parameters is not None and len(parameters) != len(expected):
        signature = f"{len(expected)} positional parameter{'s' if len(expected) > 1 else ''} ({', '.join(expected)})"
        names = ", ".join(parameter.name for parameter in parameters) or "no positional parameter"
        raise SpecError(
            f"{kind} '{name}' is no {kind}: it takes {names}, and a {kind} takes "
            f"{signature if expected else 'no positional parameter'}; arguments of your own are keyword-only"
        )
    for actual, due in zip(parameters or (), expected, strict=False):
        written = (
            actual.annotation if isinstance(actual.annotation, str) else getattr(actual.annotation, "__name__", "")
        )
        if actual.name.strip("_") not in ("", due) and due.capitalize() not in written:
            raise SpecError(
                f"{kind} '{name}' is no {kind}: its parameter {actual.name} is not the {due} that a {kind} is made from"
                f"; name it {due} if it is"
            )


def _positional(kind: ComponentKind, name: str, target: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return its positional parameters; None where any number may be passed or others wrap it."""
    if kind in ("intervention", "distortion") and hasattr(target, "__wrapped__"):
        return None
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError) as error:
        raise SpecError(f"{kind} '{name}' is no {kind}: Python cannot read which arguments it takes") from error
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind in kinds]


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
