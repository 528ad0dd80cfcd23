"""The account of a study: who was trained on what, and what changes between test conditions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from assay.core.measures import MEASURES, PROBES_OF_MAPS
from assay.report.account import MAX_CONDITIONS, ConditionPictures, Thumbnail
from assay.report.context import PageContext, distinct_values, int_or_zero, networks
from assay.report.images import original_pixels, thumbnail
from assay.report.sentences.reasons import reason_words
from assay.report.words import (
    REVERSED,
    TRAINING,
    UNCHANGED,
    UNINFORMATIVE_BELOW,
    UNSHIFTED,
    WHOLE_SET,
    association_strengths,
    bare_name,
    display_name,
    relations,
    sentence_case,
)
from assay.spec.recipe import RecipeSpec
from assay.stats.findings import parse_finding
from assay.stats.format import count, in_words, join_words, plural
from assay.stats.rows import CONCLUSIVE, PRIMARY, Row, json_object, numeric
from assay.store.schema import SHEET_COLUMNS, SHEET_GAP


def methods_sentences(context: PageContext) -> tuple[str, ...]:
    """Return sentences on models and images, on what was tied to the target, and on the registration."""
    facts, trials = context.facts, networks(context.tables)
    target = next((row["target"] for row in context.tables.get("environments", ()) if row["target"]), "")
    masks = MEASURES[context.scope.measure].probe in PROBES_OF_MAPS
    named = "masks" if masks else _classes_words(context) or (f'"{in_words(target)}"' if target else "the target")
    images = f' on "{facts["data"]}"' if facts.get("data") else ""
    others = [
        name for name in distinct_values(row.get("set", "") for row in context.tables.get("environments", ())) if name
    ]
    if not trials:
        counts = [int_or_zero(row, "images") for row in context.tables.get("environments", ())]
        if not counts:
            return ()
        first = f"One model ({facts.get('kind', 'model')}) was read unchanged on {count(max(counts), 'image')}"
        return tuple(part for part in (f"{first} to predict {named}.", association_text(context)) if part)
    keys = [(row["recipe"], row["seed"], row.get("fold")) for row in trials]
    by_key = {key: row.get("trial", key) for key, row in zip(reversed(keys), reversed(trials), strict=True)}
    trained = len(set(by_key.values()))  # recipes share trainings, and an ensemble of folds, which comes last, is none
    recipes, seeds, folds = (len({row.get(key) for row in trials}) for key in ("recipe", "seed", "fold"))
    axis = in_words(context.scope.axis)
    kinds = plural(axis) if recipes == len(context.scope.levels) and axis else "recipes"
    levels = f"{recipes} {kinds}, " if recipes > 1 else ""
    parts = f", {folds} folds" if folds > 1 else ""
    joint = "; there the networks of a seed are averaged (mean probability)" if folds > 1 else ""
    images += f", and tested on {join_words(others)} too{joint}" if others else ""
    is_external = facts.get("models") or facts.get("predictions")
    were = "was" if trained == 1 else "were"
    planned = "to be " if all(row.get("status") == "failed" for row in trials) else ""
    verb = f"that {were} trained elsewhere predicted" if is_external else f"{were} {planned}trained to predict"
    first = f"{count(trained, 'network')} ({levels}{count(seeds, 'seed')}{parts}) {verb} {named}"
    return tuple(
        part
        for part in (
            " ".join(filter(None, (f"{first}{images}.", "" if is_external else _recipe_text(facts)))),
            association_text(context),
            _registration_text(facts),
            _replication_text(context),
        )
        if part
    )


_MOST_NAMED = 3
"""So many different values are named; more are counted."""


def _classes_words(context: PageContext) -> str:
    """Return the classes that are told apart, of more than two; empty of two."""
    levels = [
        row["level"]
        for row in context.tables["estimates"]
        if row["measure"] == "auroc" and row["level"] and not row["factor"]
    ]
    rows = context.tables.get("environments", ())
    counted = [target for row in rows for target, *_ in json.loads(row.get("counts") or "[]")]  # also without a network
    classes = distinct_values([*levels, *counted])
    if len(classes) < 3:
        return ""
    return f"the classes {join_words(classes)}" if len(classes) <= _MOST_NAMED else f"{len(classes)} classes"


_OF_RECIPE = {"architecture": "Architecture", "initialization": "initial weights", "augmentation": "augmentation"}
"""Key of a recipe -> its name for readers."""


def _recipe_text(facts: Mapping[str, str]) -> str:
    """Return what was trained: network, initial weights, augmentation and epochs; empty where they are not known."""
    points = json.loads(facts.get("spec") or "{}").get("points", ())
    if not points:
        return ""
    usual, recipes = RecipeSpec(), [point.get("recipe", {}) for point in points]
    parts: list[str] = []
    for key, name in _OF_RECIPE.items():
        values = distinct_values(_component_words(recipe.get(key, getattr(usual, key))) for recipe in recipes)
        named = join_words(values) if len(values) <= _MOST_NAMED else f"{len(values)} different"
        parts.append(f"{name}: {named}")
    epochs = sorted({recipe.get("epochs", usual.epochs) for recipe in recipes})
    of_epochs = count(epochs[0], "epoch") if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
    parts.append(of_epochs)
    return f"{'; '.join(parts)}."


def _component_words(component: Any) -> str:
    """Return the name of a component of a recipe in words, without its arguments; of several all names."""
    if isinstance(component, str):
        return display_name(component)
    if isinstance(component, Mapping):
        return display_name(next(iter(cast("Mapping[str, Any]", component)), "none"))
    if isinstance(component, list | tuple):
        return join_words(list(map(_component_words, cast("Sequence[Any]", component)))) or "none"
    return display_name(component.name)


def _registration_text(facts: Mapping[str, str]) -> str:
    if "registered" not in facts:
        return "Not registered."
    place = f"hash deposited: {facts['deposit']}" if "deposit" in facts else "registered locally"
    commit = f", commit {facts['commit of the registration']}" if "commit of the registration" in facts else ""
    used = (
        f" The registration {facts['registration']} next to the run folder is used." if "registration" in facts else ""
    )
    text = f"Registered {facts['registered']}, SHA-256 {facts['hash of the registration']} ({place}{commit})"
    if "registration from" not in facts:
        return f"{text}.{used}"
    return f"{text}, as its file states: it comes from {facts['registration from']}.{used}"


def _replication_text(context: PageContext) -> str:
    """Return what is replicated, and how many decisions and differences came again; empty of no replication."""
    facts, rows = context.facts, context.tables.get("replications", ())
    if not rows:
        return ""
    decided = [row for row in rows if row["first_decision"] in CONCLUSIVE]
    again = sum(row["decision"] == row["first_decision"] for row in decided)
    compared, inside = [row for row in rows if row["within"]], [row for row in rows if row["within"] == "yes"]
    parts = [
        f"{again} of {count(len(decided), 'decision')} were replicated"
        if decided
        else "the first run had decided nothing"
    ]
    parts += (
        [f"{len(inside)} of {count(len(compared), 'difference')} fell in the prediction interval"] if compared else []
    )
    return f"Replication of {facts['replication of']}, with {facts['repeated with']}: {join_words(parts)}."


def association_text(context: PageContext) -> str:
    """Return what was tied to the target in training, and the test conditions."""
    tied = {
        factor: abs(of.get(TRAINING, 0))
        for factor, of in association_strengths(context.tables.get("environments", ())).items()
    }
    factor = max(tied, key=lambda name: tied[name], default="")
    factor = factor if tied.get(factor, 0) >= UNINFORMATIVE_BELOW else ""
    names = distinct_values(row["environment"] for row in context.tables.get("environments", ()))
    tests = distinct_values(context.names.condition(name) for name in names if bare_name(name) != TRAINING)
    if not tests or names == [WHOLE_SET]:
        return ""
    tense = "is" if context.kind.name == "preview" else "was"
    training = f"In training, {in_words(factor)} {tense} tied to the target. " if factor else ""
    return training + (
        f"Test condition{'s' if len(tests) > 1 else ''}: {join_words(tests)}."
        if len(tests) <= 6
        else f"{len(tests)} test conditions."
    )


def places_of(root: Path, context: PageContext) -> tuple[ConditionPictures, ...]:
    """Return two small pictures of training and of the test conditions that differ from it, equal ones once."""
    sheets: dict[str, Row] = {}
    for row in context.tables.get("pictures", ()):
        if row["kind"] == "sheet" and json_object(row["facts"]).get("rows"):
            sheets.setdefault(bare_name(row["environment"]), row)
    primary_environments = {
        bare_name(row["environment"]) for row in context.tables.get("contrasts", ()) if row["role"] == PRIMARY
    }
    ties = relations(context.tables.get("environments", ())).values()
    related = {
        name: {relations_of_factor[name] for relations_of_factor in ties if name in relations_of_factor}
        for name in sheets
    }
    order = [
        name for name in sheets if related[name] != {UNCHANGED} and context.names.conditions.get(name) != UNSHIFTED
    ]
    order.sort(key=lambda name: (name != TRAINING, name not in primary_environments, REVERSED not in related[name]))
    names_by_pictures: dict[tuple[Thumbnail, ...], list[str]] = {}
    for name in order:
        names_by_pictures.setdefault(_small(root, sheets[name]), []).append(context.names.condition(name))
    alike = (
        (join_words(names) + (": the same images" if len(names) > 1 else ""), pictures)
        for pictures, names in names_by_pictures.items()
    )
    return tuple(ConditionPictures(words, pictures) for words, pictures in alike)[:MAX_CONDITIONS]


def _small(root: Path, row: Row) -> tuple[Thumbnail, ...]:
    """Return the first image of the first and of the last class of a sheet."""
    facts = json_object(row["facts"])
    labels = [str(label) for label in facts["rows"]]
    whole_sheet = original_pixels(root, row)
    height = (whole_sheet.height + SHEET_GAP) // len(labels) - SHEET_GAP
    square = (whole_sheet.width + SHEET_GAP) % (height + SHEET_GAP) == 0
    width = min(
        whole_sheet.width, height if square else max(1, (whole_sheet.width + SHEET_GAP) // SHEET_COLUMNS - SHEET_GAP)
    )
    if height < 1:
        return ()
    target = str(facts.get("target", ""))
    pictures: list[Thumbnail] = []
    for number_of in dict.fromkeys((0, len(labels) - 1)):
        top = number_of * (height + SHEET_GAP)
        image = whole_sheet.crop((0, top, width, top + height))
        label = labels[number_of]
        pictures.append(thumbnail(image, f"{in_words(target)} {label}" if label.isdigit() else label))
    return tuple(pictures)


def paper_methods(context: PageContext) -> list[str]:
    """Return sentences on failures, on comparisons and on tests of equivalence, for a paper."""
    rows, unit = context.tables.get("contrasts", ()), context.interval_unit
    findings = (parse_finding(row) for row in context.tables.get("findings", ()))
    failures = (context.in_words(cause.reason) for cause in findings if cause.kind == "failure" and cause.light != "ok")
    methods = [f"{sentence_case(reason_words(cause))}." for cause in failures]
    if rows:
        how = {"holm": "corrected by Holm's method", "fixed-order": "tested in a fixed order"}
        corrections = dict.fromkeys(how[row.get("correction") or "holm"] for row in rows)
        methods.append(
            f"Comparisons were paired by seed and {unit[:-1]}. Intervals are confidence intervals over {unit} and "
            f"seeds; p-values were {' or '.join(corrections)} within each family of comparisons."
        )
    if any(not math.isnan(numeric(row, "equivalence_p")) for row in rows):
        is_registered = "registered" in context.facts and "registration from" not in context.facts
        fixed = " fixed before the study ran" if is_registered else ""
        methods.append(f"Equivalence was tested by two one-sided tests against a margin{fixed}.")
    return methods
