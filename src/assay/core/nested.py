"""Components that stand in the arguments of another: `{intervention: {tag: {}}}`, `{loss: dice}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from assay.core.errors import SpecError
from assay.core.registry import ComponentKind, lookup


def named(kind: ComponentKind, given: Any) -> dict[str, Any]:
    """`tag`, `{tag: null}` and `{tag: {text: L}}` as `{name: arguments that differ from their default}`.

    Raises ValueError, whose text a Params class hands on.
    """
    written: Any = {given: {}} if isinstance(given, str) else given
    if not isinstance(written, Mapping) or len(cast(Mapping[str, Any], written)) != 1:
        raise ValueError(f"expected the name of one {kind}, or {{name: {{argument: value}}}}")
    ((name, arguments),) = cast(Mapping[str, Any], written).items()
    try:
        checked = lookup(kind, name).params.model_validate(arguments or {})
    except SpecError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(key) for key in (name, *first["loc"]))
        raise ValueError(f"{place}: {first['msg']}, not {first['input']!r}") from error
    return {name: checked.model_dump(mode="json", exclude_defaults=True)}


def code_of(kind: ComponentKind, component: Mapping[str, Any]) -> str:
    """What of a nested component's code enters a hash: a version other than 1, or the hash of a dotted path's file."""
    ((name, _),) = component.items()
    entry = lookup(kind, name)
    return entry.source_hash or (str(entry.version) if entry.version != 1 else "")
