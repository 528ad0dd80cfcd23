"""Check that a dotted path names a component of its kind, before a study is planned with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from assay.core.errors import SpecError
from assay.core.traits import ComponentKind

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
    "loss": ("loss", "read"),
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
    taken = _positional(kind, name, target)
    expected = POSITIONAL.get(kind, ())
    if taken is not None and len(taken) != len(expected):
        given = f"{len(expected)} positional parameter{'s' if len(expected) > 1 else ''} ({', '.join(expected)})"
        names = ", ".join(one.name for one in taken)
        raise SpecError(
            f"{kind} '{name}' is no {kind}: it takes {names or 'no positional parameter'}, and a {kind} "
            f"takes {given if expected else 'no positional parameter'}; arguments of your own are keyword-only"
        )
    for one, name_of in zip(taken or (), expected, strict=False):
        if not _is(one, name_of):
            raise SpecError(
                f"{kind} '{name}' is no {kind}: its parameter {one.name} is not the {name_of} that a {kind} is made "
                f"from; name it {name_of} if it is"
            )


def _is(parameter: inspect.Parameter, name: str) -> bool:
    """Whether a parameter is the one of this name: by its own name, unused (`_`), or by its annotation."""
    annotation = parameter.annotation
    written = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return parameter.name.strip("_") in ("", name) or name.capitalize() in written


def _positional(kind: ComponentKind, name: str, target: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return its positional parameters; None where any number may be passed or others wrap it."""
    if kind in ("intervention", "distortion") and hasattr(target, "__wrapped__"):
        return None
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError) as error:
        raise SpecError(f"{kind} '{name}' is no {kind}: Python cannot read which arguments it takes") from error
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one for one in parameters if one.kind in kinds]


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
