"""Completion on the command line: candidates by the place of the word, without heavy imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import typer


def studies(incomplete: str) -> list[str]:
    """Return built-in studies and the YAML files and folders that begin so."""
    from assay.spec.load import builtin_studies

    return [*_begin(builtin_studies(), incomplete), *_paths(incomplete, (".yaml", ".yml"))]


def scales(context: typer.Context, incomplete: str) -> list[str]:
    """Return the scales of the study that was named before."""
    return _begin(["default", *_mapping(_study(context).get("scales"))], incomplete)


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of run folders under --out, and folders that begin so."""
    out = Path(str(context.params.get("out") or "runs"))
    names = [folder.name for folder in sorted(out.iterdir()) if folder.is_dir()] if out.is_dir() else []
    return [*_begin(names, incomplete), *_paths(incomplete, ())]


def kinds(incomplete: str) -> list[str]:
    """Return the kinds of `assay list`."""
    from assay.cli.inspect import listed_kinds

    return _begin(listed_kinds(), incomplete)


def tables(incomplete: str) -> list[str]:
    """Return the names of tables of all runs."""
    from assay.audit.tables import EVERY_TABLE

    return _begin(EVERY_TABLE, incomplete)


def measures(incomplete: str) -> list[str]:
    """Return the names of measures."""
    from assay.core.measures import COMPARED

    return _begin(COMPARED, incomplete)


def domains(incomplete: str) -> list[str]:
    """Return the kinds of images that an audit knows."""
    from assay.audit.battery import DOMAINS

    return _begin(DOMAINS, incomplete)


def of(*values: str) -> Callable[[str], list[str]]:
    """Return a function that completes an option with few values."""

    def candidates(incomplete: str) -> list[str]:
        return _begin(values, incomplete)

    return candidates


def settings(context: typer.Context, incomplete: str) -> list[str]:
    """Return places for `--set`, such as `recipe.loss=`, and after `=` the components that fit there."""
    place, equals, value = incomplete.partition("=")
    if equals:
        return [f"{place}={name}" for name in _begin(_components(place), value)]
    return [f"{found}=" for found in _begin(_places(_study(context)), place)]


def _places(study: Mapping[str, Any]) -> Iterable[str]:
    from assay.spec.recipe import RecipeSpec
    from assay.spec.schema import DataSpec

    written = {f"{place}" for place in _leaves(study) if place.partition(".")[0] != "scales"}
    paths = {f"recipe.{name}" for name in RecipeSpec.model_fields} | {f"data.{name}" for name in DataSpec.model_fields}
    return sorted(written | paths | {"seeds", "first_seed", "keep", "probes", "contrasts"})


def _leaves(value: Mapping[str, Any], before: str = "") -> Iterable[str]:
    for key, inner in value.items():
        here = f"{before}{key}"
        if isinstance(inner, dict):
            yield from _leaves(cast("dict[str, Any]", inner), f"{here}.")
        else:
            yield here


def _components(place: str) -> Iterable[str]:
    from assay.core.registry import entries
    from assay.core.traits import KINDS

    last = place.rpartition(".")[2]
    kind = last if last in KINDS else last.removesuffix("s")
    return [entry.name for entry in entries() if entry.kind == kind]


def _study(context: typer.Context) -> Mapping[str, Any]:
    """Return the study named before, as written; empty where there is none that can be read."""
    from assay.core.errors import AssayError
    from assay.spec.parse import read_study

    # an option without its value, as at the cursor, ends the parser before it assigns arguments
    named = context.params.get("spec") or context.params.get("name") or next(iter(context.args), "")
    if not named:
        return {}
    try:
        return read_study(named).values
    except AssayError:
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Return folders, with a slash, and files of these endings."""
    folder, _, start = incomplete.rpartition("/")
    before = f"{folder}/" if folder or incomplete.startswith("/") else ""
    root = Path(before or ".").expanduser()
    if not root.is_dir():
        return []
    inside = [path for path in sorted(root.iterdir()) if path.name.startswith(start) and path.name[0] != "."]
    return [f"{before}{path.name}{'/' * path.is_dir()}" for path in inside if path.is_dir() or path.suffix in endings]
