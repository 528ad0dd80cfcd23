"""Sentences on a validation, from the tables of its folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from assay.core.measures import label_of
from assay.core.reasons import Code, reason_of
from assay.report.words import sentence_case
from assay.stats.format import number, p_value, unrounded, with_interval
from assay.stats.rows import MIN_SEEDS, Row, numeric

OUTCOMES = {"superior": "higher", "inferior": "lower", "inconclusive": "inconclusive"}
FEW_CASES = 20
_SHOWN = ("auroc", "sensitivity", "specificity", "ppv", "npv", "brier", "calibration-in-the-large",
          "calibration-slope")  # fmt: skip
_NAMES = {"ppv": "PPV", "npv": "NPV", "brier-miscalibration": "miscalibration (of the Brier score)",
          "brier-discrimination": "discrimination (of the Brier score)",
          "brier-uncertainty": "uncertainty (of the Brier score)"}  # fmt: skip


def measure_words(measure: str) -> str:
    """Return the name of a measure for readers."""
    return _NAMES.get(measure, label_of(measure))


def interval_words(row: Row) -> str:
    """Return a value with its interval."""
    return with_interval(numeric(row, "value"), numeric(row, "low"), numeric(row, "high"))


def outcome_words(row: Row) -> str:
    """Return the outcome of a difference and what the margin makes of it, such as `lower, but by less than ...`."""
    words, equivalence = OUTCOMES[row["outcome"]], row["equivalence"]
    if equivalence == "equivalent":
        equivalent_text = "equivalent within the margin"
        return equivalent_text if row["outcome"] == "inconclusive" else f"{words}, but by less than the margin"
    if equivalence == "non-inferior" and row["outcome"] == "inconclusive":
        return f"not lower by more than the margin of {unrounded(row['margin'])}"
    return words


def paired_words(row: Row) -> str:
    """Return the outcome of a difference with its numbers."""
    name = sentence_case(measure_words(row["measure"]))
    difference, value = f"{name} of {row['model']} minus that of {row['against']}", numeric(row, "value")
    if math.isnan(numeric(row, "p")) and not value:
        return f"{name}: the same for both, and nothing varies between patients"
    if math.isnan(numeric(row, "p")):
        return f"{difference}: {number(value)}, without an interval, since nothing varies between patients"
    return f"{difference}: {outcome_words(row)}, {interval_words(row)}, {p_value(numeric(row, 'p'))}"


def recalibration_words(row: Row) -> str:
    """Return a measure of a model before or after recalibration."""
    how = "as it is" if row["method"] == "none" else f"recalibrated ({row['method']})"
    return f"{row['model']} {how}: {measure_words(row['measure'])} {interval_words(row)}"


def plan_words(row: Row) -> str:
    """Return the patients that a further validation needs."""
    at = f" at prevalence {row['at']}" if row["at"] else ""
    return (
        f"{row['model']}, {row['goal']} {row['size']:g} of {measure_words(row['measure'])}{at}: a validation needs "
        f"{row['patients']:,} patients, {row['positives']:,} of them positive"
    )


def rejected_words(tables: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Return model -> its cases without a score, by class."""
    words: dict[str, str] = {}
    for name in dict.fromkeys(row["model"] for row in tables["rejected"]):
        counts = [
            f"{row['images']} of {row['actual']} ({100 * row['share']:.1f}%)"
            for row in tables["rejected"]
            if row["model"] == name
        ]
        words[name] = f"{name} has no score for {' and '.join(counts)}"
    return words


def validation_verdict(tables: Mapping[str, Sequence[Row]], facts: Mapping[str, str]) -> str:
    """Return the answer: how well the model separates and calls, or which of two is better."""
    by_measure = {(row["model"], row["measure"], row["at"]): row for row in tables["performance"]}
    if same := facts.get("same scores"):
        return (
            f"The scores of {same} are the same in every case, so nothing differs. If these are two models, check "
            "that one file is no copy of the other."
        )
    if tables["differences"]:
        row = tables["differences"][0]
        words = outcome_words(row)
        numbers = f": {interval_words(row)}" if not math.isnan(numeric(row, "low")) else ""
        return f"Compared with {row['against']}, {measure_words(row['measure'])} of {row['model']} is {words}{numbers}."
    name = tables["performance"][0]["model"]
    sensitivity, specificity = (
        interval_words(by_measure[name, measure, ""]) for measure in ("sensitivity", "specificity")
    )
    if facts["threshold from"] == "calls":
        return f"Sensitivity is {sensitivity} and specificity {specificity}."
    area = interval_words(by_measure[name, "auroc", ""])
    return (
        f"AUROC {area}. At threshold {facts['threshold']}, sensitivity is {sensitivity} and specificity {specificity}."
    )


def threshold_words(facts: Mapping[str, str]) -> str:
    """Return the threshold and where it comes from."""
    origin = {"stated": "as stated", "default": "the default, not chosen on any cases",
              "these cases": "set on the reported cases, so sensitivity and specificity are optimistic"}  # fmt: skip
    sources = facts["threshold from"].split("; ")
    if sources == ["calls"]:
        return "threshold: none, the calls are those of the file"
    return f"threshold: {facts['threshold']}, {'; '.join(origin.get(source, f'set on {source}') for source in sources)}"


class Caution(NamedTuple):
    """What to know of the numbers before trusting them: a few words, and a sentence."""

    short: str
    text: str


def validation_cautions(tables: Mapping[str, Sequence[Row]], facts: Mapping[str, str]) -> Iterator[Caution]:
    """Yield the cautions of a validation."""
    if "these cases" in facts["threshold from"].split("; "):
        yield Caution(
            "threshold set on these cases",
            "The threshold was set on the reported cases, so sensitivity "
            "and specificity are optimistic: set it on other rows with --threshold-from.",
        )
    if facts["intervals over"] == "images":
        yield Caution(
            "patients not named",
            "No column names patients: each case counts as one, and intervals are too narrow if patients have several.",
        )
    if joined := facts.get("models joined"):
        yield Caution(
            "rows of several models",
            f"Rows of several models ({joined}) are combined into one score per "
            f"case. To compare them: {facts['comparison']}",
        )
    if equal := facts.get("scores that are the target"):
        yield Caution(
            "scores are the target",
            f"Scores of {equal} are the target itself in all cases: check that no label was taken for a score.",
        )
    if scales := facts.get("scales of parts"):
        yield Caution("scores on several scales", scales)
    if in_order := facts.get("sorted scores"):
        yield Caution(
            "scores in order",
            f"Scores of {in_order} are in order from the first row to the last, and rank cases as chance does: check "
            "that they were not sorted apart from their cases.",
        )
    if repeated := facts.get("repeated scores"):
        yield Caution("one score in many cases", repeated)
    if twice := facts.get("scores of two softmaxes"):
        yield Caution(
            "scores after two softmaxes", f"There are {twice}: leave one out, since they are too near to each other."
        )
    if cut_off := facts.get("scores cut off"):
        yield Caution("scores at the end of a format", f"{cut_off}: compute them with 32 bits.")
    if shared := facts.get("patients of other cases"):
        yield Caution(
            "patients in both files",
            f"{shared} patients of the other cases are among the reported ones, so "
            "results fitted on them are too optimistic.",
        )
    positives, total = (int(facts[key].replace(",", "")) for key in ("positives", "images"))
    if (effective := facts.get("effective patients")) and facts["intervals over"] == "patients":
        yield Caution(
            "few patients of a class",
            f"A class has only {effective} effective patients: with so few, intervals can be too narrow.",
        )
    elif (least := min(positives, total - positives)) < FEW_CASES:
        yield Caution("few cases of a class", f"The smaller class has {least} cases: intervals are wide.")
    for name, words in rejected_words(tables).items():
        short = "cases without a score"
        yield Caution(
            f"{name}: {short}" if tables["differences"] else short,
            f"{words}: the values leave them out, and worst and best case count them as wrong and as right.",
        )
    large = [row for row in tables["performance"] if row["measure"] == "calibration-in-the-large"]
    for row in large:
        if numeric(row, "low") > 0 or numeric(row, "high") < 0:
            where = f"at prevalence {row['at']}" if row["at"] else "on these cases"
            side = "high" if numeric(row, "value") > 0 else "low"
            short = f"probabilities too {side}"
            yield Caution(
                f"{row['model']}: {short}" if len(large) > 1 else short,
                f"Probabilities of {row['model']} are too {side} {where}: on average by "
                f"{number(abs(numeric(row, 'value')))}.",
            )
    if left_out := facts.get("groups left out"):
        yield Caution("groups not compared", f"Not compared: {left_out}.")


def smallest_cell(rows: Sequence[Row]) -> str:
    """Return the smallest group that is compared, by cases of a class; empty without groups."""
    cells = [(min(row["positives"], row["images"] - row["positives"]), row) for row in rows]
    if not cells:
        return ""
    least, row = min(cells, key=lambda cell: cell[0])
    return f"the smallest group compared, {row['column']} {row['group']}, has {least} cases of its rarer class"


def weakest_groups(rows: Sequence[Row], model: str) -> Iterator[tuple[str, Row]]:
    """Yield the groups in which a model has the lowest sensitivity and the lowest specificity, each with its words."""
    for measure in ("sensitivity", "specificity"):
        of_measure = [row for row in rows if row["model"] == model and row["measure"] == measure]
        if row := min(of_measure, key=lambda row: row["value"], default=None):
            yield f"lowest {measure} of {model}: {row['column']} {row['group']}", row


def validation_lines(tables: Mapping[str, Sequence[Row]], facts: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of the terminal after those on what was read."""
    yield threshold_words(facts)
    if facts.get("groups"):
        yield f"groups: {facts['groups']}"
    yield validation_verdict(tables, facts)
    for name in dict.fromkeys(row["model"] for row in tables["performance"]):
        yield f"{name}, {facts['images']} cases of {facts['patients']} {facts['intervals over']}"
        for row in tables["performance"]:
            if row["model"] == name and row["measure"] in _SHOWN:
                at = f" at prevalence {row['at']}:" if row["at"] else ""
                worst = (
                    ""
                    if math.isnan(row["worst"])
                    else (f"; worst case {number(row['worst'])}, best case {number(row['best'])}")
                )
                yield f"  {measure_words(row['measure'])}{at} {interval_words(row)}{worst}"
    yield from (f"  {recalibration_words(row)}" for row in tables["recalibration"])
    for row in tables["differences"]:
        yield f"  {paired_words(row)}"
    yield from (f"  {plan_words(row)}" for row in tables["plan"])
    if tables["discordant"]:
        yield f"  {len(tables['discordant']):,} cases are called differently: table discordant"
    for name in dict.fromkeys(row["model"] for row in tables["performance"]):
        yield from (f"{words} {interval_words(row)}" for words, row in weakest_groups(tables["subgroups"], name))
    if words := smallest_cell(tables["subgroups"]):
        yield words
    yield from (f"caution: {caution.text}" for caution in validation_cautions(tables, facts))


ONE_NETWORK_EACH = (
    f"This holds for these models alone: of one network each, it cannot be said whether the way of training makes the "
    f"difference. That needs {MIN_SEEDS} seeds of each."
)
"""What a difference of models that were trained once does and does not show."""


def single_network_differences(tables: Mapping[str, Sequence[Row]]) -> Sequence[Row]:
    """Return the differences of models that were trained once, where no comparison of recipes could be tested."""
    contrasts, differences = tables.get("contrasts", ()), tables.get("differences", ())
    models = {row["model"] for row in differences}
    return () if any_tested(contrasts) or any(row["a"] not in models for row in contrasts) else differences


def any_tested(contrasts: Sequence[Row]) -> bool:
    """Return whether any comparison of recipes was tested, which takes several seeds."""
    return any(not math.isnan(numeric(row, "decision_p")) for row in contrasts)


def step_of_untested(contrasts: Sequence[Row], command: str) -> str:
    """Return what makes a comparison of recipes possible: seeds in common, or more of them, and the same command."""
    if any(Code.NO_COMMON_SEED in reason_of(row) for row in contrasts):
        return f"Next: give networks that belong together the same number in the column seed, then repeat: {command}"
    if all(Code.NO_VARIATION in reason_of(row) for row in contrasts):
        return f"Next: check whether these are the scores of different models: nothing varies. Then repeat: {command}"
    return f"Next: add rows of {MIN_SEEDS} or more seeds of each, with a column seed, then repeat: {command}"
