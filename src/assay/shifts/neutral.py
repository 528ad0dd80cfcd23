"""What a scene derives from its test environments: the neutral environment, and the ends of a factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.core.spec import AssociationSpec, EnvironmentSpec

ENDS = ("low", "high")


def neutral_spec(tests: Mapping[str, EnvironmentSpec]) -> EnvironmentSpec:
    """The environment in which nothing is tied and no intervention is on.

    What all test environments agree on stays: a difficulty, or a restriction to some values, that every one of them
    has is a property of the study and not a shift. Files choose rows, so every factor that any test ties is stated
    with strength 0.
    """
    named = {name: tie for test in tests.values() for name, tie in test.association.items()}
    return EnvironmentSpec(
        association={name: AssociationSpec(strength=0.0, high=tie.high) for name, tie in sorted(named.items())},
        where=_common([test.where for test in tests.values()]),
        difficulty=_common([test.difficulty for test in tests.values()]),
    )


def without(environment: EnvironmentSpec, names: frozenset[str]) -> EnvironmentSpec:
    """The environment without the associations of these names."""
    kept = {name: tie for name, tie in environment.association.items() if name not in names}
    return environment.model_copy(update={"association": kept})


def _common(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The entries that all parts have in common."""
    first: Mapping[str, Any] = parts[0] if parts else dict[str, Any]()
    return {key: value for key, value in first.items() if all(key in part and part[key] == value for part in parts)}
