"""Requests: models whose fields are the options of a command and the arguments of a function."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Number
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from assay.core.errors import SpecError, as_written, key_text, remove_unseen, shorten
from assay.core.files import hide_paths, hide_paths_within, typed_path

Task = Literal["classification", "segmentation"]
"""A class for each image, or a class for each pixel."""
ScoreScale = Literal["auto", "probabilities", "percent", "logits"]
"""What a user calls scores; `auto` finds it from all of them. Types are here, since the command line
must not wait for NumPy."""


def _text(value: Any) -> Any:
    return str(cast("Any", value)) if isinstance(value, os.PathLike | Number) else value


def _tuple(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(cast("Iterable[Any]", value)) if isinstance(value, Iterable) else value


def _without_unseen(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(remove_unseen, texts))


Text = Annotated[str, BeforeValidator(_text)]
"""Text, or a path or number in Python."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
"""Texts, or one by itself in Python."""
ColumnName = Annotated[str, AfterValidator(remove_unseen)]
"""Name of a column, as a header has it."""
ColumnNames = Annotated[tuple[str, ...], BeforeValidator(_tuple), AfterValidator(_without_unseen)]
"""Names of columns, or one by itself in Python."""
Numbers = Annotated[tuple[float, ...], BeforeValidator(_tuple)]


@dataclass(frozen=True)
class Option:
    """How the command line shows a field of a request.

    Attributes:
        help: Text for `--help`.
        metavar: Name of the value in `--help`; empty for a flag.
        name: Name on the command line, such as `--no-pictures`; by default that of the field.
        short: A second name, such as `-o`.
        argument: Whether it is an argument, without a name.
        parse: Makes the value from text; raises ValueError with what was expected.
        text: The default as text, where `parse` is not its own inverse.
        shown: Whether `--help` shows the default.
    """

    help: str
    metavar: str = ""
    name: str = ""
    short: str = ""
    argument: bool = False
    parse: Callable[[str], Any] | None = None
    text: str | None = None
    shown: bool = True


IN_MEMORY = "in memory"
"""Data that was given in memory, in the request that a run folder keeps."""


class CommandRequest(BaseModel):
    """A request: all that a user asks of one command or function, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="wrap")
    @classmethod
    def _named(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise SpecError("\n".join(_words(cls, dict(fault)) for fault in error.errors())) from error

    def with_changes(self, **changes: Any) -> Self:
        """Return the request with some fields changed."""
        return self.model_copy(update=changes)

    def without_data(self, *fields: str) -> Self:
        """Return the request as a run folder keeps it: paths as they are, and of data in memory only that they are.

        Args:
            fields: Names of the fields that may hold data.
        """
        sources = {name: getattr(self, name) for name in fields}
        return self.with_changes(
            **{
                name: source if source is None or isinstance(source, str | Path) else IN_MEMORY
                for name, source in sources.items()
            }
        )

    def paths_of(self, *fields: str) -> tuple[Path, ...]:
        """Return the files and folders that these fields name; none where one holds data in memory."""
        sources = [getattr(self, name) for name in fields]
        named = [source for source in sources if source not in (None, "")]
        paths = [Path(source).expanduser() for source in named if source != IN_MEMORY]
        return tuple(paths) if len(paths) == len(named) and all(map(os.path.exists, paths)) else ()

    def require_used(self, unused: Collection[str], why: str) -> None:
        """Refuse options that are given and mean nothing here.

        Args:
            unused: Fields that are not used.
            why: What does not use them, as the end of a sentence.

        Raises:
            SpecError: One of them differs from its default.
        """
        for name, option in self.options().items():
            if name in unused and getattr(self, name) != type(self).model_fields[name].default:
                raise SpecError(f"{key_text(option.name or '--' + name.replace('_', '-'))} {why}")

    def typed(self, *unwanted: str) -> str:
        """Return the arguments and options of the command that differ from their defaults, as a terminal takes them.

        Data in memory, and what a file held, are placeholders: the names of their values in `--help`.

        Args:
            unwanted: Names of fields that are left out.
        """
        words: list[str] = []
        options = self.options()
        for name, option in sorted(options.items(), key=lambda pair: not pair[1].argument):
            value, default = getattr(self, name), type(self).model_fields[name].get_default()
            if name in unwanted or (type(value) is type(default) and value == default):
                continue
            flag = () if option.argument else (option.name or f"--{name.replace('_', '-')}",)
            words += [*flag, *([_typed_value(value, option)] if option.metavar else [])]
        return " ".join(words)

    @classmethod
    def as_option(cls, key: str, value: str) -> str:
        """Spell a key of an error as an option of the command: `--fit pad` for `data.fit: pad`."""
        option = cls.options().get(field_of(key))
        if option is None or key.startswith("--"):
            return as_written(key, value)
        name = option.name or f"--{field_of(key).replace('_', '-')}"
        return f"{name} {value}" if value and option.metavar else name

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the fields that are options of the command line."""
        every = ((name, option_of(field)) for name, field in cls.model_fields.items())
        return {name: option for name, option in every if option is not None}


class DataRequest(CommandRequest):
    """A request of images, with the names of their columns and classes."""

    target: Annotated[ColumnName, Option("Column of the class; by default found by its name.", "COLUMN")] = ""
    positive: Annotated[str, Option("The positive class.", "CLASS")] = ""
    patient: Annotated[ColumnName, Option("Column of the patient; by default found by its name.", "COLUMN")] = ""
    image: Annotated[ColumnName, Option("Column of the image file; by default found by its content.", "COLUMN")] = ""
    mask: Annotated[ColumnName, Option("Column of the mask file; by default found by its name.", "COLUMN")] = ""
    unmatched: Annotated[
        Literal["refuse", "drop"],
        Option("Many images without a label, or masks without an image: refuse or drop.", "HOW"),
    ] = "refuse"
    unmasked: Annotated[
        Literal["refuse", "lesion-free", "leave-out"],
        Option(
            "Images without a mask: lesion-free or leave-out; by default Assay asks if there are any.",
            "HOW",
            shown=False,
        ),
    ] = "refuse"

    @property
    def named(self) -> dict[str, Any]:
        """What is named of the images, as arguments of `data_of`."""
        named = {name: getattr(self, name) for name in DataRequest.model_fields}
        return {**named, "links": "follow"} if getattr(self, "follow_links", False) else named


def _typed_value(value: Any, option: Option) -> str:
    """Return a value as a terminal takes it; its name in `--help` where it has no text."""
    match value:
        case float() if option.parse is seconds:
            return f"{value:g}s"
        case int() | float():
            return f"{value:g}"
        case Path():
            return typed_path(value)
        case str() if value != IN_MEMORY:
            hide = hide_paths if value.startswith("hf:") else hide_paths_within
            return typed_path(value) if value and Path(value).exists() else shlex.quote(hide(value))
        case tuple():
            parts = cast("tuple[Any, ...]", value)
            return ",".join(_typed_value(part, replace(option, parse=None)) for part in parts)
        case _:
            return option.metavar.partition("|")[0]  # the first of what it may be


def option_of(field: FieldInfo) -> Option | None:
    """Return how the command line shows a field; None where it does not."""
    return next((option for option in field.metadata if isinstance(option, Option)), None)


def values_of(annotation: Any) -> tuple[str, ...]:
    """Return the values that a field may have; empty where there are no few."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def one_of(values: Sequence[str]) -> Callable[[str], str]:
    """Return a function that refuses all but a few values."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"expected {_join_alternatives(values)}, not {shorten(text)}")
        return text

    return parse


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a function that makes a whole number of text."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text.strip()) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}, not {shorten(text)}")
        return int(text)

    return parse


def names(text: str) -> tuple[str, ...]:
    """Return the names in a list such as `view,sex`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """Return a time such as `90s`, `10m` or `1h`. Raises ValueError for others."""
    number, unit = text[:-1], _SECONDS.get(text[-1:])
    if unit is None or not number.replace(".", "", 1).isdecimal() or not float(number):
        raise ValueError(f"expected a time such as 90s, 10m or 1h, not {shorten(text)}")
    return float(number) * unit


def _join_alternatives(values: Sequence[str]) -> str:
    return " or ".join(filter(None, values))


def _words(cls: type[CommandRequest], error: dict[str, Any]) -> str:
    place = ".".join(map(str, error["loc"])) or cls.__name__
    field = cls.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    values = () if field is None else values_of(field.annotation)
    expected = f"expected {_join_alternatives(values)}" if values else error["msg"][:1].lower() + error["msg"][1:]
    return f"{place}: {expected}, not {shorten(str(error['input']))}"


DEVICES = "auto, cpu, cuda or cuda:N"


def is_device(text: str) -> bool:
    """Return whether a text has the form of a device, there or not."""
    return re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", text) is not None


def device_in(text: str) -> str:
    """Return the name of a device. Raises ValueError for a word that names none."""
    if not is_device(text):
        raise ValueError(f"expected {DEVICES}, not {shorten(text)}")
    return text


def field_of(key: str) -> str:
    """Return the field of a request that a key in an error is of, see `errors.key`."""
    name = key.removeprefix("--").removeprefix("data.").replace("-", "_")
    return {"links": "follow_links", "images": "data"}.get(name, name)
