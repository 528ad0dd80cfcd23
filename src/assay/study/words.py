"""Words on a study: verdict, first screen with status chips and small pictures, and primary comparisons."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.codes import Code
from assay.core.files import typed_parent, typed_path
from assay.core.measures import WORST_GROUP, better, label_of
from assay.report.account import (
    SIGNS,
    FirstScreen,
    KeyFigure,
    PageText,
    ResultLine,
    StatusChip,
    caution_chips,
    caution_sentence,
)
from assay.report.blocks import anchor, interval_ends
from assay.report.context import PageContext, coordinates, distinct_values, int_or_zero, networks
from assay.report.drawing import EffectSize, difference_scale
from assay.report.sentences.cues import added_words, best_added, may_be_no_shortcut
from assay.report.sentences.reasons import place_words, reason_words
from assay.report.words import (
    common_axes,
    comparison_line,
    comparison_name,
    control_name,
    control_words,
    decision_numbers,
    difference_words,
    display_name,
    fixed_words,
    headline,
    model_headline,
    sentence_case,
    shorten_comparison,
    side_labels,
    subject,
    title_comparison,
    value_text,
    verdict_words,
)
from assay.spec.recipe import RecipeSpec
from assay.spec.schema import DataSpec
from assay.stats.bounds import MARGIN
from assay.stats.estimate import degrees_of_freedom, interval
from assay.stats.findings import Finding, parse_finding
from assay.stats.format import count, in_words, join_words, number, with_interval
from assay.stats.rows import CONCLUSIVE, CONTROLS, FAILED, MIN_SEEDS, PASSED, PRIMARY, Row, numeric
from assay.study.methods_words import methods_sentences, places_of
from assay.study.titles import (
    chance_words,
    change_words,
    performance_words,
    performances,
    segmented_words,
    set_change,
    shared_harms,
    shared_words,
    transfer_words,
)
from assay.validate.words import (
    ONE_NETWORK_EACH,
    any_tested,
    interval_words,
    measure_words,
    outcome_words,
    paired_words,
    single_network_differences,
    step_of_untested,
)

OF_ONE_MODEL = (
    "whether the model has seen these images before",
    "how another model made in the same way would answer; the difference can exceed these intervals",
)
"""Limits of the results of one model."""
COARSE = 0.2
"""A run that cannot detect a smaller difference than this gets a caution."""
SEEDS = 10
"""Seeds that give narrow intervals."""
LONGER = 4
"""Times as many epochs are tried where networks stay at chance."""
MOST_CHIPS = 4
MOST_FLIPS = 3
"""Factors on the first screen of one model."""


def study_account(context: PageContext) -> PageText:
    """Return the words on a study, on compared predictions, or on one model."""
    root, tables, facts = context.root, context.tables, context.facts
    name = facts.get("study") or facts.get("model") or root.name
    findings = [
        replace(finding, reason=context.in_words(finding.reason))
        for finding in map(parse_finding, tables.get("findings", ()))
    ]
    return PageText(
        name=name,
        question=facts.get("question") or (f"What has {name} learned?" if "contrasts" not in tables else name),
        meta=_meta(root.name if root.name.startswith(f"{name}-") else name, tables),
        verdict=next(iter(answer_sentences(context)), ""),
        opening=opening(root, context, findings),
        doubts=tuple(map(caution_sentence, (finding for finding in findings if finding.kind != "limit"))),
        limits=tuple(reason_words(finding.reason) for finding in findings if finding.kind == "limit")
        or (() if networks(tables) else OF_ONE_MODEL),
    )


def _meta(name: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """`nodule-loss-quick · 6 recipes · 18 training runs · 3 seeds`: of a scale, the run folder's name tells it."""
    trials = networks(tables)
    if not trials:
        places = distinct_values(row["environment"] for row in tables.get("environments", ()))
        return f"{name} · {count(len(places), 'test condition')}"
    seeds, recipes = len({row["seed"] for row in trials}), len(distinct_values(row["recipe"] for row in trials))
    return f"{name} · {count(recipes, 'recipe')} · {count(len(trials), 'training run')} · {count(seeds, 'seed')}"


def verdict(context: PageContext) -> str:
    """Return the answer of a study, of compared predictions, or of one model, in one text."""
    return " ".join(answer_sentences(context))


def answer_sentences(context: PageContext) -> list[str]:
    """Return the answer in parts, the title first.

    Of a study: the training runs that failed or collapsed where most did; the effect that all recipes share; that no
    network is shown to be better than chance; the decisions on what was asked, or of one without a primary comparison,
    how well it does on other sets, or its only recipe on images as those of training; the performance of
    segmentations; and the best simple cue.
    """
    if "contrasts" not in context.tables:
        text = model_headline(context.tables["estimates"], context.scope.measure, context.names)
        return [sentence for sentence in (segmented_words(context), text) if sentence]
    if once := single_network_differences(context.tables):
        return [f"{paired_words(row)}." for row in once[:1]] + [ONE_NETWORK_EACH]
    statuses, contrasts = [row.get("status") for row in networks(context.tables)], context.tables["contrasts"]
    is_question = any(row["role"] in (PRIMARY, *CONTROLS) for row in contrasts)
    segmented = segmented_words(context)
    answer = (
        ""
        if is_question
        else segmented or transfer_sentence(context) or ("" if contrasts else performance_words(context))
    )
    chance = chance_words(context)
    answer = ("" if chance and not contrasts else answer) or headline(contrasts, context.names)
    without_result = [status for status in statuses if status in ("failed", "collapsed", "diverged")]
    if 2 * len(without_result) > len(statuses):
        ways = " or ".join(distinct_values(without_result))
        failures = f"{len(without_result)} of {count(len(statuses), 'training run')} {ways}."
        has_values = any(not math.isnan(numeric(row, "value")) for row in context.tables["estimates"])
        if not has_values:
            return [f"No result: {failures}"]
        answer, chance = f"{failures} {answer}", ""
    failed = any(row["decision"] in FAILED for row in contrasts)
    harms = [] if failed or 2 * len(without_result) > len(statuses) else shared_harms(context)
    sets = {row["environment"]: row.get("set", "") for row in context.tables.get("environments", ())}
    answered = answer == transfer_sentence(context) and any(sets.get(harm.code) for harm in harms[:1])
    shared_effect = "" if answered else shared_words(context, harms)
    added = context.tables.get("added", ())
    cue, best = added_words(added, context.names.in_condition, context.tables.get("shortcuts", ())), best_added(added)
    if best is not None and not contrasts:
        cue = f"{cue} {may_be_no_shortcut(best, numeric(best, 'cue'))}".rstrip()
    changes = "" if contrasts or chance else change_words(context)
    return [text for text in dict.fromkeys((shared_effect, chance, answer, segmented, changes, cue)) if text]


def transfer_sentence(context: PageContext) -> str:
    """Return whether networks do as well in other sets, with the first recipe's performance in each and in their own.

    Empty without both.
    """
    sets = {row["environment"]: row.get("set", "") for row in context.tables.get("environments", ())}
    measure, by_environment = context.scope.measure, dict[str, Row]()
    for row in context.tables["estimates"]:
        if row["measure"] == measure and not any(row[name] for name in ("factor", "level", "layer", "group")):
            by_environment.setdefault(row["environment"], row)
    of_training_set = next((row for name, row in by_environment.items() if sets.get(name) == ""), None)
    others = [
        f"{value_text(row, 2)} in {sets[name]}{_undefined_suffix(row)}"
        for name, row in by_environment.items()
        if sets.get(name)
    ]
    if of_training_set is None or not others:
        return ""
    recipe = context.names.recipe(coordinates(of_training_set), context.scope.axes)
    values_text = f"{join_words(others)}, and {value_text(of_training_set, 2)} in held-out images of the training set"
    seeds = int(numeric(of_training_set, "seeds"))
    unsure = f" ({count(seeds, 'seed')}, so no interval)" if 0 < seeds < MIN_SEEDS else ""
    transfer = transfer_words(context, {name: of for name, of in sets.items() if of})
    changes = [(sets[name], set_change(of_training_set, row)) for name, row in by_environment.items() if sets.get(name)]
    words_of = [
        f"{difference_words(*change)}{f' in {of}' if len(changes) > 1 else ''}"
        for of, change in changes
        if not math.isnan(change[1])
    ]
    differences = f" (difference: {join_words(words_of)})" if words_of else ""
    values_text = f"{label_of(measure)}{f' of {recipe}' if recipe else ''} was {values_text}{unsure}{differences}."
    return f"{transfer}: {values_text}" if transfer else sentence_case(values_text)


def _undefined_suffix(row: Row) -> str:
    return f" ({reason_words(row['reason'])})" if math.isnan(numeric(row, "value")) else ""


def opening(root: Path, context: PageContext, findings: Sequence[Finding]) -> FirstScreen:
    """Return the parts of the first screen.

    Args:
        root: The run folder; a name that ends in `-quick` marks a quick look.
        context: Its tables.
        findings: Its cautions and limits.
    """
    quick = is_quick(root)
    contrasts = context.tables.get("contrasts", ())
    reach = detectable(context, quick=quick)
    chips = [_control(row, context) for row in contrasts if row["role"] in CONTROLS] + caution_chips(findings)
    chips.sort(key=lambda chip: chip.light != "bad")
    first = title_comparison(contrasts)
    compared = primary_rows(context) or (contrasts if "predictions" in context.facts else ())
    rows = sorted(compared, key=lambda row: row is not first)
    about = {subject(row, context.names) + fixed_words(row, context.names) for row in rows}
    bases = {side_labels(row, context.names)[1] for row in rows}
    common = common_axes(rows) if rows else {}
    lines = [
        ResultLine(
            f"{comparison_line(row, context.names)}:",
            decision_numbers(row),
            anchor(row),
            f"{side_labels(row, context.names)[0]}: {verdict_words(row)}:"
            if len(about) == len(bases) == 1
            else f"{comparison_name(short := shorten_comparison(row, common), context.names)}: {verdict_words(short)}:",
            size=_difference_size(row),
        )
        for row in rows
    ] or list(_measurement_lines(context))
    once = single_network_differences(context.tables)
    if once:
        lines = [
            ResultLine(f"{row['model']}: {outcome_words(row)}", interval_words(row), "differences") for row in once
        ]
    lines += _worst_group(context, common)
    chips_shown = [*reach, *chips][:MOST_CHIPS] if quick else [*chips[: MOST_CHIPS - len(reach)], *reach]
    called = "Primary comparisons" if primary_rows(context) else "Comparisons"
    heading = f"{called}{fixed_words({'where': common}, context.names)}" if rows else "What was measured"
    if once:
        heading = (
            f"{sentence_case(measure_words(once[0]['measure']))} of these models, minus that of {once[0]['against']}"
        )
    elif len(about) == len(bases) == 1:
        heading = f"{about.pop()}, against {bases.pop()}"
    return FirstScreen(
        tuple(chips_shown),
        methods_sentences(context),
        places_of(root, context),
        tuple(lines),
        heading,
        more=(" ".join(answer_sentences(context)[1:]),),
        tiles=tuple(study_tiles(context)),
        next=next_step(context, context.folder_for_commands),
    )


def next_step(context: PageContext, root: str) -> str:
    """Return the next step that is possible after a study, as a command; empty where nothing is known.

    Failed training runs are tried again, and a quick look is followed by the whole study. Where nothing was compared,
    see `_step_without_comparisons`. Inconclusive comparisons need fresh seeds, and decided ones are repeated.

    Args:
        context: Its tables.
        root: The run folder as it is typed in a command.
    """
    facts, contrasts = context.facts, context.tables.get("contrasts", ())
    command, trials = facts.get("command", ""), context.tables.get("trials", ())
    parent, seeds = typed_parent(root), len({row["seed"] for row in trials})
    out = "" if parent in ("", "runs") else f" --out {parent}"
    if "predictions" in facts and command:
        return _step_of_predictions(contrasts, facts, root)
    if context.kind.name == "model":
        return "Next: search images of your own for what it depends on: assay audit MODEL --images IMAGES"
    if not trials or "models" in facts:
        return ""
    if any(row["status"] == "failed" for row in trials):
        return f"Next: train the failed runs again: {command}{out}" if command else ""
    if 2 * sum(row["status"] in ("collapsed", "diverged") for row in trials) > len(trials):
        return f"Next: train longer, or with a lower learning rate{_twice_as_long(facts, command, out)}"
    if " --scale quick" in command:
        return f"Next: this was a quick part; run the whole study: {command.partition(' --scale quick')[0]}{out}"
    findings = map(parse_finding, context.tables.get("findings", ()))
    if chance_words(context) or any(Code.ALL_AT_CHANCE in finding.reason.codes for finding in findings):
        return _step_from_chance(context, out)
    if not contrasts:
        return _step_without_comparisons(context, seeds, root, out)
    if context.tables.get("looks") or "replication of" in facts:
        return ""
    undecided = [row for row in primary_rows(context) if row["decision"] not in CONCLUSIVE]
    needed, patients = (_numbers(undecided, name) for name in ("seeds_needed", "patients_needed"))
    every = "every primary comparison"
    if patients:
        again = f", so run it again with both: {with_seeds(command, 40)}{out}" if "assay run" in command else "."
        decided = _decided_words(len(patients) + sum(fresh <= 40 for fresh in needed), undecided, every)
        return f"Next: add patients. With {max(patients):,.0f}, 40 seeds would decide {decided}{again}"
    if needed:
        by = f"{max(needed):.0f} fresh seeds, which would decide {_decided_words(len(needed), undecided, every)}"
        return f"Next: {by}: assay replicate {root} --seeds {max(needed):.0f}{out}"
    if (undecided or seeds < MIN_SEEDS) and seeds < SEEDS and "assay run" in command:
        few = f"few can be decided with {count(seeds, 'seed')}"
        return f"Next: train more seeds, since {few}: {with_seeds(command, SEEDS)}{out}"
    return f"Next: repeat it with fresh seeds: assay replicate {root}{out}"


def _numbers(rows: Sequence[Row], name: str) -> list[float]:
    """Return the numbers above 0 of a column."""
    return [numeric(row, name) for row in rows if numeric(row, name) > 0]


def _decided_words(decided: int, undecided: Sequence[Row], every: str) -> str:
    return every if decided == len(undecided) else f"{decided} of {len(undecided)} open comparisons"


def _twice_as_long(facts: Mapping[str, str], command: str, out: str) -> str:
    """Return the command that trains twice as long; a period where it, or one number of epochs, is not known."""
    usual = RecipeSpec.model_fields["epochs"].default
    points = json.loads(facts.get("spec") or "{}").get("points", ())
    epochs = {point["recipe"].get("epochs", usual) for point in points}
    if not command or len(epochs) != 1:
        return "."
    return f", such as twice as long: {command} --set recipe.epochs={2 * epochs.pop()}{out}"


def with_seeds(command: str, seeds: int) -> str:
    """Return a command with so many seeds in place of those, or of looks, that it names.

    Examples:
        >>> with_seeds("assay run lungs.yaml --seeds 1 --set recipe.epochs=2", 10)
        'assay run lungs.yaml --set recipe.epochs=2 --seeds 10'
        >>> with_seeds("assay run lungs.yaml --until decided --max-seeds 20", 40)
        'assay run lungs.yaml --seeds 40'
    """
    return f"{re.sub(r' --(?:seeds|until|max-seeds)(?: |=)[^ ]+', '', command)} --seeds {seeds}"


def _step_without_comparisons(context: PageContext, seeds: int, root: str, out: str) -> str:
    """Return what follows a study that compares nothing: what its widest interval lacks, or fresh seeds.

    An interval that is narrower than the margin either way lacks nothing. A wider one lacks seeds if these have more of
    its variance than patients; else it lacks patients, and seeds too where no number of patients is enough.
    """
    command, measure = context.facts.get("command", ""), context.scope.measure
    again = f": {with_seeds(command, SEEDS)}{out}" if command else "."
    if seeds < MIN_SEEDS:
        return f"Next: intervals, from {SEEDS} seeds{again}"
    rows = [row for listed in performances(context, measure).values() for _, row in listed]
    widest = max(rows, key=_half_width, default=None)
    if widest is not None and _half_width(widest) > MARGIN:
        values = [numeric(row, "value") for row in context.tables.get("values", ()) if row["id"] == widest["id"]]
        between = float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else math.nan
        if between > 0.5 * numeric(widest, "standard_error") ** 2:
            return f"Next: narrower intervals, from {SEEDS} seeds{again}" if seeds < SEEDS else ""
        patients = _enough_patients(widest, between, len(values))
        if math.isnan(patients):
            return ""
        if math.isinf(patients):
            both = f", and train {SEEDS} seeds{again}" if seeds < SEEDS else " and train more seeds."
            return f"Next: add images of other patients{both}"
        return (
            f"Next: add images of other patients. About {patients:,.0f} patients give intervals of "
            f"{number(MARGIN)} either way"
        )
    return _step_of_repetition(context.facts, root, out)


def _enough_patients(row: Row, between: float, seeds: int) -> float:
    """Return patients with whom an interval reaches `MARGIN` either way; infinite where the seeds' part alone is wider.

    NaN where patients or parts of the variance are not known. More patients make the patients' part smaller; the
    seeds' part stays, and the fewer seeds there are, the larger is t the more of the variance it has.

    Args:
        row: The estimate, with its standard error and degrees of freedom.
        between: The seeds' part of its variance.
        seeds: Their number.
    """
    variance, patients = numeric(row, "standard_error") ** 2, int_or_zero(row, "patients")
    share = between / variance if variance > 0 else math.nan
    if not patients or math.isnan(share):
        return math.nan
    of_rest = 1 / numeric(row, "df") - share / (seeds - 1)  # see `degrees`
    df_patients = (1 - share) / of_rest if of_rest > 0 else math.inf
    value, more = numeric(row, "value"), np.append(np.geomspace(1, 10_000, 400), np.inf)
    variances = between + (variance - between) / more
    df = degrees_of_freedom(np.full(len(more), between), variances, seeds - 1.0, df_patients)
    bounds = (0.0, 1.0) if 0 < value < 1 else (-math.inf, math.inf)
    by_size = zip(np.sqrt(variances).tolist(), df.tolist(), strict=True)
    halves = np.diff([interval(value, error, of, bounds) for error, of in by_size])[:, 0] / 2
    enough = np.flatnonzero(halves[:-1] <= MARGIN)
    if len(enough) and not enough[0]:
        return math.nan  # the interval is on another scale
    return math.inf if halves[-1] > MARGIN or not len(enough) else math.ceil(patients * more[enough[0]])


def _step_of_repetition(facts: Mapping[str, str], root: str, out: str) -> str:
    """Return fresh seeds, and the test on images of another site for those who have some; empty after a repetition."""
    if "replication of" in facts:
        return ""
    command = _test_on_site(facts)
    alternative = f", or test on images of another site, if you have some ({command})" if command else ""
    return f"Next: repeat it with fresh seeds{alternative}: assay replicate {root}{out}"


def _test_on_site(facts: Mapping[str, str]) -> str:
    """Return the command that tests on another set; empty where images are none of files, or others are tested."""
    data, words = json.loads(facts.get("study file") or "{}").get("data", {}), shlex.split(facts.get("command", ""))
    folder = data.get("classes") or data.get("folder")
    several = isinstance(data.get("positive"), list) and len(data["positive"]) > 1  # which no option takes
    if data.get("tests") or not folder or len(words) < 3 or several:
        return ""
    data |= {"positive": data["positive"][0]} if isinstance(data.get("positive"), list) and data["positive"] else {}
    place = Path(words[2]).parent / folder / ("" if data.get("classes") else data.get("table", ""))
    columns = ("positive",) if data.get("classes") else ("target", "positive", "patient", "image", "mask", "unmasked")
    usual = {"image": DataSpec.model_fields["image"].default}
    values = (
        (name, data[name])
        for name in columns
        if isinstance(data.get(name), str) and data[name] not in ("", usual.get(name))
    )
    named = "".join(f" --{name} {shlex.quote(value)}" for name, value in values)
    out = shlex.quote(f"{facts['study']}-elsewhere.yaml")
    return f"assay init {typed_path(place)}{named} --test FOLDER --out {out}"


def _half_width(row: Row) -> float:
    width = numeric(row, "high") - numeric(row, "low")
    return 0.0 if math.isnan(width) else width / 2


def _step_from_chance(context: PageContext, out: str) -> str:
    """Return what follows networks that are at chance: longer training, or other images if they fit only theirs.

    They do if the loss of training images is less than half of that of validation images.
    """
    losses = [(numeric(row, "train_loss"), numeric(row, "validation_loss")) for row in networks(context.tables)]
    if 2 * sum(0 < 2 * train < validation for train, validation in losses) > len(losses):
        return "Next: add images, or start from pretrained weights, since networks fit only the training images"
    recipes = [point["recipe"] for point in json.loads(context.facts.get("spec") or "{}").get("points", ())]
    usual, command = RecipeSpec.model_fields["epochs"].default, context.facts.get("command", "")
    values = (recipe.get("epochs", usual) for recipe in recipes)  # of a received folder, of any type
    epochs = LONGER * max((value for value in values if isinstance(value, int)), default=usual)
    how = f", such as for {epochs} epochs: {command} --set recipe.epochs={epochs}{out}" if command else "."
    return f"Next: train longer, since no network was shown to be better than chance{how}"


def _step_of_predictions(contrasts: Sequence[Row], facts: Mapping[str, str], root: str) -> str:
    """Return what follows compared predictions: more seeds where these would decide, else other images, OTHER.csv."""
    undecided = [row for row in contrasts if row["decision"] not in CONCLUSIVE]
    command, needed = facts["command"], _numbers(undecided, "seeds_needed")
    again = f"{command} --out {root}"
    if not any_tested(contrasts):
        return step_of_untested(contrasts, again)
    if all(math.isnan(row["margin"]) for row in contrasts):
        margin = f"{command} --margin 0.05 --out {root}"
        return f"Next: test equivalence too, within the largest difference that does not matter: {margin}"
    if needed:
        decided = _decided_words(len(needed), undecided, "what is open")
        return f"Next: add predictions of fresh seeds. About {max(needed):.0f} of each would decide {decided}: {again}"
    other = command.replace(facts.get("path", "FILE"), "OTHER.csv", 1)
    return f"Next: compare them on images of another site: {other} --out {root}-other"


def study_tiles(context: PageContext) -> Iterator[KeyFigure]:
    """Yield the leading measure in the first test condition and in the worst, and the number of networks."""
    measure, by_name = context.scope.measure, dict[str, list[Row]]()
    for row in context.tables["estimates"]:
        whole_row = row["environment"] and not any(row[name] for name in ("factor", "level", "layer", "group"))
        if row["measure"] == measure and whole_row and context.scope.is_in_slice(row) and row["value"] == row["value"]:
            by_name.setdefault(row["environment"], []).append(row)
    sign = -1 if better(measure) == "lower" else 1
    means = {place: sign * sum(numeric(row, "value") for row in rows) / len(rows) for place, rows in by_name.items()}
    first, worst = next(iter(by_name), ""), min(means, key=lambda place: means[place], default="")
    for place in dict.fromkeys(filter(None, (first, worst))):
        values, row = sorted(numeric(row, "value") for row in by_name[place]), by_name[place][0]
        called = context.names.measure(measure, place)
        name, level = (
            f"{sentence_case(called)}{context.names.in_condition_if_needed(measure, place)}",
            numeric(row, "chance"),
        )
        loss, chance = means[first] - means[place], "" if math.isnan(level) else f"chance {number(level)}"
        bounds = [sign * numeric(row, end) for row in by_name[place] for end in ("value", "low", "high")]
        best = max(bound for bound in bounds if not math.isnan(bound))
        light = "" if loss < MARGIN else "bad" if sign * level > best else "warn"
        ends = list(map(number, dict.fromkeys((values[0], values[-1]))))
        if len(values) == 1:
            value, _, interval = with_interval(values[0], numeric(row, "low"), numeric(row, "high")).partition(" ")
            yield KeyFigure(name, value, interval, chance, light)
        else:
            kinds = count(len(values), in_words(context.scope.axis) or "recipe")
            yield KeyFigure(name, " to ".join(dict.fromkeys(ends)), "", ", ".join(filter(None, (kinds, chance))), light)
    trials = networks(context.tables)
    patients = max((int_or_zero(row, "patients") for rows in by_name.values() for row in rows), default=0)
    if trials:
        tested = f", {count(patients, 'patient')}" if patients else ""
        recipes, seeds = (count(len({row[name] for row in trials}), name) for name in ("recipe", "seed"))
        yield KeyFigure("Networks", f"{len(trials):,}", of=f"{recipes}, {seeds}{tested}")


def _difference_size(row: Row) -> EffectSize | None:
    """Return a difference with the interval that decided, and the margin."""
    value, margin = numeric(row, "value"), numeric(row, "margin")
    if math.isnan(value):
        return None
    unit, scale = f"difference in {label_of(row['measure'])}", difference_scale(row["measure"])
    return EffectSize(value, *interval_ends(row, "value"), unit, max(0.0, margin or 0.0), scale)


def primary_rows(context: PageContext) -> list[Row]:
    """Return the primary comparisons that were pre-specified."""
    rows = context.tables.get("contrasts", ())
    return [row for row in rows if row["role"] == PRIMARY and not row["exploratory"]]


def _measurement_lines(context: PageContext) -> Iterator[ResultLine]:
    """Yield of one model its leading measure in each test condition, and the factors that change most answers."""
    if "contrasts" in context.tables:
        return
    rows = [row for row in context.tables["estimates"] if not (row["level"] or row["layer"] or row["group"])]
    measure = context.scope.measure
    for row in rows:
        if row["measure"] == measure and row["environment"] and not row["factor"]:
            inside = context.names.in_condition(row["environment"])
            yield ResultLine(f"{sentence_case(label_of(measure))}{inside}:", value_text(row), "performance")
    flips = [row for row in rows if row["measure"] == "flip-rate" and row["factor"] and numeric(row, "value") > 0]
    for row in sorted(flips, key=lambda row: -numeric(row, "value"))[:MOST_FLIPS]:
        yield ResultLine(f"Answers that change with {display_name(row['factor'])}:", value_text(row), "reliance-table")


def _worst_group(context: PageContext, common: Mapping[str, str]) -> Iterator[ResultLine]:
    """Yield the group that is furthest below all images of its recipe and test condition, if by `MARGIN` or more.

    common: Axis -> value that the heading names.
    """
    measure = context.scope.measure
    if better(measure) != "higher":
        return
    rows = [
        row
        for row in context.tables["estimates"]
        if row["measure"] == measure
        and row["environment"]
        and not (row["factor"] or row["layer"])
        and not math.isnan(numeric(row, "value"))
    ]
    all_images = {(row["recipe"], row["environment"]): row for row in rows if not row["group"]}
    pairs = [
        (row, all_images[key])
        for row in rows
        if row["group"] == WORST_GROUP and (key := (row["recipe"], row["environment"])) in all_images
    ]
    gaps = [numeric(overall, "value") - numeric(row, "value") for row, overall in pairs]
    if max(gaps, default=0.0) < MARGIN:
        return
    row, overall = pairs[gaps.index(max(gaps))]
    own_axes = {axis: value for axis, value in coordinates(row).items() if common.get(axis) != value}
    recipe, place = context.names.recipe(own_axes, context.scope.axes), context.names.condition(row["environment"])
    where = ", ".join(filter(None, (place_words(row["where"], context.names.condition), place, recipe)))
    value = f"{label_of(measure)} {value_text(row)}, all images {number(numeric(overall, 'value'))}"
    yield ResultLine(f"Worst group ({where}):", value, "worst")


def is_quick(root: Path) -> bool:
    """Return whether a run folder is of a quick look: a scale such as `quick`, or a pilot."""
    return root.name.endswith(("-quick", "-pilot"))


# Chips: controls, cautions, and the smallest difference that the design can show.


def _control(row: Row, context: PageContext) -> StatusChip:
    decision = row["decision"]
    light = "ok" if decision in PASSED else "warn" if decision == "untested" else "bad"
    whole_words = f"{sentence_case(control_words(row, context.names))}: {decision_numbers(row)}"
    text = f"{control_name(row)} passed" if light == "ok" else control_words(row)
    return StatusChip(light, SIGNS[light], sentence_case(text), whole_words)


def detectable(context: PageContext, *, quick: bool) -> list[StatusChip]:
    """Return the smallest difference in performance that the design detects; `quick look` where the scale is quick."""
    rows = [row for row in context.tables.get("contrasts", ()) if numeric(row, "detectable") > 0]
    rows = [row for row in rows if row["role"] == PRIMARY] or rows
    rows = [row for row in rows if row["measure"] == context.scope.measure] or rows[:1]
    seeds = len({row["seed"] for row in networks(context.tables)})
    if not rows:
        text = quick_look("", None, seeds)
        return [StatusChip("warn", SIGNS["warn"], text, text)] if quick else []
    least = min(numeric(row, "detectable") for row in rows)
    measure, coarse = rows[0]["measure"], least >= COARSE
    detect = f"{count(seeds, 'seed')} detect {number(least)} in {label_of(measure)}{': add seeds' if coarse else ''}"
    text = quick_look(measure, least, seeds, "run") if quick else detect
    light = "warn" if quick or coarse else "ok"
    return [StatusChip(light, SIGNS[light], text, f"{text} (the smallest difference found with 80% power)")]


def quick_look(measure: str, least: float | None, seeds: int, how: str = "planned") -> str:
    """Return the limit of a quick look: the smallest difference it detects as planned or run, or that it shows none."""
    if least is None:
        return f"quick look: {count(seeds, 'seed')} cannot show a difference; use the default scale"
    return f"quick look as {how}: finds differences from {number(least)} in {label_of(measure)} on"
