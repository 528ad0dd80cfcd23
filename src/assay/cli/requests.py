"""Commands from requests: every field with an option becomes an option of the command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from inspect import Parameter, signature
from typing import Annotated, Any

import typer

from assay.core.errors import AssayError, SpecError
from assay.core.request import CommandRequest, Option, one_of, values_of
from assay.study.request import RunRequest

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print failures and the answer only.")]
TrustCode = Annotated[bool, typer.Option("--trust-code", help=RunRequest.options()["trust_code"].help)]
Act = Callable[..., None]


def taking(kind: type[CommandRequest], fields: str = "", **help: str) -> Callable[[Act], Act]:
    """Return a decorator that gives a command the options of a request in place of its parameter `request`.

    Args:
        kind: The class of the request.
        fields: Names of the fields that are options of this command, in order; all by default.
        help: Texts of `--help` of fields that mean something else in this command.
    """
    options = kind.options()
    options |= {name: replace(options[name], help=text) for name, text in help.items()}
    chosen = {name: options[name] for name in fields.split() or options}
    negated = {name for name in chosen if kind.model_fields[name].default is True}  # flags such as --no-pictures

    def decorate(act: Act) -> Act:
        def command(**arguments: Any) -> None:
            wanted = {name: arguments.pop(name) for name in chosen}
            try:
                request = kind(**{name: not value if name in negated else value for name, value in wanted.items()})
            except SpecError as error:
                raise typer.BadParameter(str(error)) from error
            with AssayError.spelled(kind.as_option):
                act(request=request, **arguments)

        parameters: list[Parameter] = []
        for name, parameter in signature(act, eval_str=True).parameters.items():
            options = [_parameter(kind, field, option) for field, option in chosen.items()]
            parameters += options if name == "request" else [parameter.replace(kind=Parameter.KEYWORD_ONLY)]
        command.__name__, command.__doc__ = act.__name__, act.__doc__
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__dict__["__signature__"] = signature(act).replace(parameters=parameters)
        return command

    return decorate


def _parameter(request: type[CommandRequest], name: str, option: Option) -> Parameter:
    """Return a field as a parameter of a command."""
    field = request.model_fields[name]
    values = values_of(field.annotation)
    parse = option.parse or (one_of(values) if values else None)
    default = field.get_default(call_default_factory=True)
    more: dict[str, Any] = {"help": option.help}
    if option.metavar:
        more["metavar"] = option.metavar
    if parse is not None:
        more["parser"] = partial(_parse, parse)
    if values:
        more["autocompletion"] = _completion(values)
    flags = (option.name or f"--{name.replace('_', '-')}", *filter(None, (option.short,)))
    info = typer.Argument(**more) if option.argument else typer.Option(*flags, show_default=option.shown, **more)
    kind: Any = str if parse is not None or values or field.annotation is Any else field.annotation
    kind = list[str] if kind == tuple[str, ...] else kind
    default = Parameter.empty if field.is_required() else default if default is not True else False
    default = default if option.text is None else option.text
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def _completion(values: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the function that Typer asks for values that begin so."""

    def candidates(incomplete: str) -> list[str]:
        return [value for value in values if value and value.startswith(incomplete)]

    return candidates


def _parse(parse: Callable[[str], Any], text: str) -> Any:
    """Return the value of text. Raises typer.BadParameter for text that has none."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
