"""The `sources:` part of a study: starts by name, trained by the study itself on images of their own, or given.

sources:
  natural:
    data: {phantom: natural, size: 64, train: 4000, validation: 500, target: kind, core: kind}
    recipe: {epochs: 16, batch_size: 64}
  unlabelled:
    data: own                                            # the study's own training images
    recipe: {epochs: 50, loss: barlow-twins}
  radiology:
    initialisation: {file: {path: radimagenet.pt}}     # a short name for tables and pages
recipe:
  initialisation: [random, natural, radiology]         # a source is named like any other start
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.core.data_section import data_section
from assay.core.data_spec import DataSpec
from assay.core.document import Keys
from assay.core.environment_section import environment
from assay.core.environment_spec import EnvironmentSpec
from assay.core.problems import Problems
from assay.core.registry import entries
from assay.core.seeds import derive
from assay.core.spec import RecipeSpec, SourceSpec
from assay.core.surface import named_start, recipe, section

SECTION: Keys = ("sources",)
KEYS = ("data", "environment", "recipe", "initialisation")
OWN = "own"
"""What a source that is trained on the study's own training images has in the place of data."""


def sources_section(value: Any, problems: Problems) -> dict[str, SourceSpec]:
    """Name -> source that the study trains; those with a problem are left out and the problem is noted."""
    given = section(value, SECTION, problems, "{name: {data: {phantom: nodule, core: margin}, recipe: {epochs: 10}}}")
    made = {name: _source(name, item, (*SECTION, name), problems) for name, item in given.items()}
    whole = {name: source for name, source in made.items() if source is not None}
    for name in whole:
        _refuse_circle(name, whole, problems)
    return whole


def start_of(recipe: RecipeSpec) -> str:
    """The name of the source that a recipe starts from; empty where it starts otherwise."""
    start = recipe.initialisation
    return str(start.params.get("name", "")) if start.name == "source" else ""


def images_seed(seed: int) -> int:
    """The seed of the images of a source whose own seed is the trial's: another than any that a study counts up to.

    A phantom draws bodies from it. With the trial's own, a source of chests would have seen the very bodies that its
    trials are trained on, and no other source would. Below 2^30, within which patients have numbers.
    """
    return derive(seed, "images of a source") % 2**30


def _source(name: str, value: Any, keys: Keys, problems: Problems) -> SourceSpec | None:
    before = len(problems.found)
    fields = section(value, keys, problems, "{data: {...}, recipe: {...}}")
    for key in fields:
        if key not in KEYS:
            problems.unknown_key((*keys, key), KEYS)
    if name in [entry.name for entry in entries("initialisation")]:
        problems.add(keys, "", f"'{name}' is the name of an initialisation already; call the source something else")
    if "initialisation" in fields:
        _named(name, fields, keys, problems)
        return None
    own = fields.get("data") == OWN
    data = _own(problems) if own else data_section(fields.get("data"), problems, (*keys, "data"))
    drawn = environment(fields.get("environment"), (*keys, "environment"), problems)
    how = _recipe(fields.get("recipe"), (*keys, "recipe"), problems)
    if data is None or drawn is None or how is None or len(problems.found) > before:
        return None
    return SourceSpec(data=data, own=own, environment=_training(drawn), recipe=how)


def _own(problems: Problems) -> DataSpec | None:
    """The study's own data; what is wrong with them is told where they are written."""
    return data_section(problems.document.values.get("data"), Problems(problems.document))


def _named(name: str, fields: Mapping[str, Any], keys: Keys, problems: Problems) -> None:
    """A start that is given, not trained: what it is stands where recipes name it."""
    beside = [key for key in KEYS if key in fields and key != "initialisation"]
    if beside:
        what = "a source is either given (`initialisation`) or trained here (`data` and `recipe`); keep one"
        problems.add((*keys, beside[0]), fields[beside[0]], what)
    named_start(name, fields["initialisation"], problems)


def _training(drawn: EnvironmentSpec) -> EnvironmentSpec:
    return drawn.model_copy(update={"split": "train"})


def _recipe(value: Any, keys: Keys, problems: Problems) -> RecipeSpec | None:
    given = section(value, keys, problems, "`key: value` pairs such as {epochs: 10, batch_size: 64}")
    if "architecture" in given:
        what = "a source has the architecture of the recipe that starts from it; leave this out"
        problems.add((*keys, "architecture"), given["architecture"], what)
    return recipe({key: item for key, item in given.items() if key != "architecture"}, keys, problems)


def _refuse_circle(name: str, sources: Mapping[str, SourceSpec], problems: Problems) -> None:
    chain = [name]
    while (start := start_of(sources[chain[-1]].recipe)) in sources:
        if start in chain:
            if start == name == min(chain):  # told once, not by every source of the circle
                keys = (*SECTION, name, "recipe", "initialisation")
                problems.add(keys, start, f"sources start from each other in a circle: {' -> '.join([*chain, start])}")
            return
        chain.append(start)
