"""Lines of a comparison of predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from assay.core.reasons import Code, reason_of
from assay.report.sentences.reasons import reason_words
from assay.report.words import verdict_words
from assay.stats.format import count, p_value, with_interval
from assay.stats.rows import Row, is_undefined
from assay.validate.words import ONE_NETWORK_EACH, paired_words, single_network_differences


def decision_lines(contrasts: Sequence[Row], differences: Sequence[Row], width: int) -> Iterator[str]:
    """Yield a line for each comparison with the reference.

    Args:
        contrasts: Rows of the table `contrasts`.
        differences: Rows of the table `differences`, of models that were trained once.
        width: Characters of the longest name of a recipe.
    """
    once = single_network_differences({"contrasts": contrasts, "differences": differences})
    for row in contrasts:
        if not once or Code.NO_COMMON_SEED in reason_of(row):
            yield f"  {row['a']:<{width}}  {decision_words(row)}"
    yield from (f"  {paired_words(row)}" for row in differences)
    if once:
        yield ONE_NETWORK_EACH


def value_lines(estimates: Sequence[Row]) -> Iterator[str]:
    """Yield a line for the value of each recipe."""
    width = max(len(str(row["recipe"])) for row in estimates)
    for row in estimates:
        value = with_interval(row["value"], row["low"], row["high"])
        images, patients = count(row["images"], "image"), count(row["patients"], "patient")
        counted = f"{count(row['seeds'], 'seed')}, {images} of {patients}"
        yield f"  {row['recipe']:<{width}}  {value}, {counted}"


def decision_words(row: Row) -> str:
    """Return the decision in words, with the interval and the p-value that decided."""
    if is_undefined(row):
        return f"not tested: {reason_words(row['reason'])}"
    value = with_interval(row["value"], row["decision_low"], row["decision_high"])
    text = f"{verdict_words(row)}: {value}, {100 * row['decision_level']:.3g}% CI, {p_value(row['decision_p'])}"
    if row["decision"] == "inconclusive" and not math.isnan(row["seeds_needed"]):
        return f"{text}; about {row['seeds_needed']:.0f} seeds would settle it"
    return text
