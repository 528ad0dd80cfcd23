"""The reasons to doubt a study, each a light in words: trials, collapses, leakage, associations, seeds, gaps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Literal

from assay.stats.doses import uneven_rows
from assay.stats.estimate import MINIMUM_SEEDS
from assay.stats.format import count, in_words, listed, number, p_value
from assay.stats.rows import (
    FIRST_SIGN_UNDER,
    LOUD,
    SHOWN,
    SILENT,
    Row,
    Sentence,
    ends,
    label,
    mapping,
    numeric,
    text_of,
    under_seeds,
    where,
)

WIDE_UNDER_SEEDS = 8
FAR = 0.001
"""A p-value under this lies beyond what was simulated: whether p = .05 holds is what docs/statistics.md shows."""
FAR_UNDER_SEEDS = 5
"""Under so many seeds p may rest on a variance that is small by chance, and on many degrees of freedom for it."""
LARGE_FAMILY = 8
"""From so many comparisons on, one that is not pooled is doubted (docs/statistics.md, families)."""
OUTLYING = 4
"""Robust standard deviations from the other seeds of its recipe from which on a seed is doubted."""
NORMAL_QUARTILE = 0.6745
"""The median distance of normal values from their median, in standard deviations."""
FEWEST_DISTANCES = 8
"""Fewer distances than this give no robust standard deviation."""
FOLDED = 0.0833
"""The greatest share of true null hypotheses with p < .05 in simulated repeated k-fold (docs/statistics.md)."""
Split = Literal["", "shares", "column"]
"""How training rows of all seeds come from one pool; empty where each seed has rows of its own, or folds."""
ONE_POOL: dict[Split, float] = {"shares": 0.0612, "column": 0.0617}
"""The same share of such splits, simulated."""
ASSOCIATION_TOLERANCE = 0.05
AREAS = ("auroc", "auroc-macro", "auroc-referable")
"""Measures of which chance is .5 whatever the data."""
LOOKED_FOR = "turned, mirrored, cropped to 90 %, re-encoded"
"""The near copies whose recall docs/reference/data.md states."""
CONTRADICT = "their labels contradict"
"""Part of the sentence on a pair of near copies with different labels."""
NAMED = 3
"""More recipes than this are counted in a light instead of named."""


def doubts(
    contrasts: Sequence[Row],
    estimates: Sequence[Row],
    trials: Sequence[Row],
    environments: Sequence[Row],
    leakage: Sequence[str] | None,
    seeds: tuple[int, int] | None = None,
    dosed: str = "",
    cautions: Sequence[str] = (),
    unnamed: str = "",
    drawn: bool = False,
    split: Split = "",
) -> list[Sentence]:
    """The lights of the first screen, each in words, in the order in which they are read.

    dosed: the axis of the doses; empty where there is none. cautions: on the data, each a light of its own. unnamed:
    what the data say where no column names patients, else empty. drawn: images come from a phantom, each for itself.
    split: how training rows are taken from one pool.
    """
    return [
        *_trials(trials),
        *_unnamed(unnamed),
        *_leakage(leakage, unnamed, drawn),
        *(Sentence("doubt", text, "warn") for text in cautions),
        *_associations(environments),
        *_uneven_rows(environments, trials, dosed),
        *_at_chance(estimates, dosed),
        *_ends_of_scale(contrasts),
        *_few_seeds(contrasts, estimates),
        *_other_seeds(seeds),
        *_far(contrasts),
        *_alone(contrasts),
        *_folds(contrasts, trials),
        *_one_pool(contrasts, trials, split),
        *_undefined(contrasts),
    ]


def _trials(trials: Sequence[Row]) -> list[Sentence]:
    if not trials:
        return []
    kinds = ("failed", "pending", "collapsed", "diverged")
    by_status = {status: [row for row in trials if row.get("status") == status] for status in kinds}
    missing = [f"{len(by_status[status])} {status}" for status in ("failed", "pending") if by_status[status]]
    lost = [_lost(status, by_status[status]) for status in ("collapsed", "diverged") if by_status[status]]
    finished: list[Sentence] = []
    if missing:
        text = f"{listed(missing)} of {count(len(trials), 'trial')}: left out"
        finished = [Sentence("doubt", text, "bad", "trials")]
    elif not lost:
        finished = [Sentence("doubt", f"all {count(len(trials), 'trial')} finished", "ok", "trials")]
    done = any(row.get("status") == "done" for row in trials)
    none = [Sentence("doubt", "none collapsed or diverged", "ok", "trials")] if done else []
    unsound = [*by_status["collapsed"], *by_status["diverged"]]
    left = {text_of(row, "recipe") for row in trials if row not in unsound}
    if gone := [row for row in unsound if text_of(row, "recipe") not in left]:
        text = f"no seed is left of {_named(gone)}, so that nothing is said of what they learned"
        lost = [*lost, Sentence("doubt", text, "bad", "trials")]
    return [*finished, *(lost or none), *_extreme(trials, SILENT, "any"), *_extreme(trials, LOUD, "every")]


def _extreme(trials: Sequence[Row], what: str, where: str) -> list[Sentence]:
    """Segmentations that call nothing or nearly everything: quiet, or loud, without telling lesions from the rest."""
    rows = [row for row in trials if row.get("status") == "done" and text_of(row, "reason").startswith(what)]
    if not rows:
        return []
    text = (
        f"{len(rows)} of {count(len(trials), 'trial')} ({_named(rows)}): the network {what} in {where} validation "
        "image at p = .5; kept in means"
    )
    return [Sentence("doubt", text, "warn", "trials")]


def _lost(status: str, rows: Sequence[Row]) -> Sentence:
    text = f"{count(len(rows), 'trial')} {status} ({_named(rows)}): left out of means"
    return Sentence("doubt", text, "warn", "trials")


def _named(rows: Sequence[Row]) -> str:
    """The recipes of trials, the first few by name."""
    names = sorted({text_of(row, "recipe") for row in rows})
    more = len(names) - NAMED
    return listed([*names[:NAMED], count(more, "more recipe")] if more > 0 else names)


def _unnamed(unnamed: str) -> list[Sentence]:
    """Report that patients are unknown: images of one may be on both sides, and intervals are over images."""
    if not unnamed:
        return []
    text = f"intervals are over images, too narrow where a patient has several, and leakage was not checked: {unnamed}"
    return [Sentence("doubt", text, "bad")]


def _leakage(leakage: Sequence[str] | None, unnamed: str, drawn: bool) -> list[Sentence]:
    if drawn:
        return [Sentence("doubt", "every image is drawn for itself, so that no copies were looked for", "ok")]
    if leakage is None:
        text = "leakage between patients was not checked: no column names them"
        return [] if unnamed else [Sentence("doubt", text, "bad")]
    if not leakage:
        return [Sentence("doubt", f"no exact copy and no near copy ({LOOKED_FOR}) across patients", "ok")]
    contradicting = sum(CONTRADICT in text for text in leakage)
    of = f", {contradicting} with contradicting labels" if contradicting else ""
    return [Sentence("doubt", f"{count(len(leakage), 'pair')} of near copies{of}: {leakage[0]}", "bad")]


def _associations(environments: Sequence[Row]) -> list[Sentence]:
    asked = [row for row in environments if not math.isnan(numeric(row, "asked"))]
    if not asked:
        return []
    off = [row for row in asked if not abs(numeric(row, "strength") - numeric(row, "asked")) <= ASSOCIATION_TOLERANCE]
    if not off:
        return [Sentence("doubt", "associations achieved as asked", "ok", "environments")]
    worst = max(off, key=lambda row: abs(numeric(row, "strength") - numeric(row, "asked")))
    text = (
        f"{len(off)} of {count(len(asked), 'association')} not achieved within {number(ASSOCIATION_TOLERANCE)}: "
        f"{in_words(text_of(worst, 'factor'))} in {text_of(worst, 'environment')} is "
        f"{number(numeric(worst, 'strength'))}, asked {number(numeric(worst, 'asked'))}"
    )
    return [Sentence("doubt", text, "warn", "environments")]


def _uneven_rows(environments: Sequence[Row], trials: Sequence[Row], dosed: str) -> list[Sentence]:
    """Recipes that share a trial, as confounders share p = 0, were trained on the environment of the first of them."""
    images = {
        text_of(row, "recipe"): int(numeric(row, "images"))
        for row in environments
        if text_of(row, "environment") == f"train ({text_of(row, 'recipe')})"
    }
    of_trial = {text_of(row, "trial"): images[text_of(row, "recipe")] for row in trials if row["recipe"] in images}
    trained = {
        text_of(row, "recipe"): (mapping(row.get("coordinates")), rows)
        for row in trials
        if (rows := images.get(text_of(row, "recipe"), of_trial.get(text_of(row, "trial")))) is not None
    }
    text = uneven_rows(trained.values(), dosed)
    return [Sentence("doubt", text, "warn", "environments")] if text else []


def _at_chance(estimates: Sequence[Row], dosed: str) -> list[Sentence]:
    """Whether nothing was learned that any test sees: of a dose-response, of what was trained without a dose."""
    rows = [
        row
        for row in estimates
        if text_of(row, "measure") in AREAS
        and not any(text_of(row, part) for part in ("factor", "level", "group"))
        and (not dosed or mapping(row.get("coordinates")).get(dosed) == "0")
        and not math.isnan(ends(row)[0])
    ]
    if not rows or any(ends(row)[0] > 0.5 for row in rows):
        return []
    without, so = (" without a dose", "a change from there says little") if dosed else ("", "differences say little")
    return [Sentence("doubt", f"no recipe is clear of chance (AUROC .50){without}: {so}", "warn", "estimates")]


def _ends_of_scale(contrasts: Sequence[Row]) -> list[Sentence]:
    """Report comparisons whose recipes all lie at one end of the scale."""
    spent = [row for row in contrasts if text_of(row, "exhausted")]
    if not spent:
        return []
    first = spent[0]
    text = (
        f"scale exhausted in {len(spent)} of {count(len(contrasts), 'comparison')}: neither a difference nor its "
        f"absence says much there; the first: {label(first)}{where(first)}, all values {text_of(first, 'exhausted')}"
    )
    return [Sentence("doubt", text, "warn", text_of(first, "id"))]


def _few_seeds(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[Sentence]:
    """On how many seeds comparisons rest, or estimates where none was stated. What lacks seeds is told here alone."""
    thing, rows = ("comparison", contrasts) if contrasts else ("estimate", estimates)
    few = [row for row in rows if under_seeds(row)]
    kept = [int(numeric(row, "seeds")) for row in rows if numeric(row, "seeds") >= MINIMUM_SEEDS]
    shown = any(row.get("conclusion") in SHOWN and numeric(row, "seeds") < FIRST_SIGN_UNDER for row in contrasts)
    return [*_under(few, len(rows), thing), *_how_many(kept, thing, shown)]


def _under(few: Sequence[Row], of: int, thing: str) -> list[Sentence]:
    if not few:
        return []
    fewest, most = (int(end(numeric(row, "seeds") for row in few)) for end in (min, max))
    seeds = count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    some = f" in {len(few):,} of {count(of, thing)}" if len(few) < of else ""
    text = f"{seeds}{some}: under {MINIMUM_SEEDS} no interval is drawn and nothing is ranked"
    unmatched = any(row.get("at") == "matched-fit" and numeric(row, "left_out") > 0 for row in few)
    why = "; the others reach no fit that both recipes come to, which more budgets or more seeds mend"
    return [Sentence("doubt", text + (why if unmatched else ""), "bad" if len(few) == of else "warn")]


def _how_many(kept: Sequence[int], thing: str, shown: bool) -> list[Sentence]:
    if not kept:
        return []
    fewest = min(kept)
    if fewest < WIDE_UNDER_SEEDS:
        at_least = "" if fewest == max(kept) else "as few as "
        text = f"{at_least}{fewest} seeds: how they vary is known only roughly"
        first = ": a difference shown with so few is a first sign, to be seen again with more"
        return [Sentence("doubt", text + (first if shown else ""), "warn")]
    return [Sentence("doubt", f"{count(fewest, 'seed')} or more in every {thing}", "ok")]


def _other_seeds(seeds: tuple[int, int] | None) -> list[Sentence]:
    """Who looks and then takes more seeds may stop when a p suits: the tests hold for a number that was planned."""
    if seeds is None or seeds[0] == seeds[1]:
        return []
    planned, now = seeds
    way = "raised" if now > planned else "lowered"
    return [Sentence("doubt", f"seeds were {way} from {planned} to {now} after results existed", "warn")]


def _far(contrasts: Sequence[Row]) -> list[Sentence]:
    """What is claimed with a p-value that lies further out than so few seeds were ever tried at."""
    far = [
        row
        for row in contrasts
        if row.get("conclusion") in SHOWN and numeric(row, "seeds") < FAR_UNDER_SEEDS and numeric(row, "p_holm") < FAR
    ]
    if not far:
        return []
    seeds = [int(numeric(row, "seeds")) for row in far]
    at_least = "" if min(seeds) == max(seeds) else "as few as "
    flips = [least for row in far if not math.isnan(least := numeric(row, "sign_flip_min_p"))]
    beside = f"; the sign-flip test beside it cannot give less than {p_value(max(flips))}" if flips else ""
    text = (
        f"{count(len(far), 'difference')} with p < {number(FAR, 3)} on {at_least}{count(min(seeds), 'seed')}: the "
        f"simulation behind p stops at .05{beside}"
    )
    return [Sentence("doubt", text, "warn", text_of(far[0], "id"))]


def _alone(contrasts: Sequence[Row]) -> list[Sentence]:
    """Claims of large families on few seeds by a variance that no other comparison moderates."""
    groups = Counter(map(_pooling_group, contrasts))
    found = [
        row
        for row in contrasts
        if row.get("conclusion") in (*SHOWN, "equivalent")
        and MINIMUM_SEEDS <= numeric(row, "seeds") < FAR_UNDER_SEEDS
        and groups[_pooling_group(row)] == 1
    ]
    if not found or len(contrasts) < LARGE_FAMILY:
        return []
    text = (
        f"{count(len(found), 'claim')} of {len(contrasts)} comparisons with under {FAR_UNDER_SEEDS} seeds: no other "
        "comparison has the same measure, environment and reference, so that a small variance may be chance"
    )
    return [Sentence("doubt", text, "warn", text_of(found[0], "id"))]


def _pooling_group(row: Row) -> tuple[str, ...]:
    return tuple(text_of(row, key) for key in ("measure", "factor", "layer", "environment", "axis", "b", "at"))


def outlying_seeds(seeds: Sequence[Row], contrasts: Sequence[Row]) -> list[str]:
    """Caution about seeds that lie far from the others of their recipe, in what is compared.

    A recipe that fails with one seed in five looks better than it is in most sets of 3 to 5 seeds, and one that did
    fail is not described by a mean. The spread is robust and of all recipes together, since 3 seeds have none to speak
    of: the median distance from the recipe's median, without one distance of 0 per recipe.
    """
    keys = ("measure", "environment", "factor", "layer")
    asked = {tuple(text_of(row, key) for key in keys) for row in contrasts}
    groups: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for row in seeds:
        key = tuple(text_of(row, name) for name in keys)
        if key in asked and not text_of(row, "level") and text_of(row, "group") in ("", "trained"):
            groups.setdefault(key, {}).setdefault(text_of(row, "recipe"), []).append(row)
    found: list[tuple[float, Row, float]] = []
    for by_recipe in groups.values():
        away: list[tuple[float, Row, float]] = []
        distances: list[float] = []
        for rows in by_recipe.values():
            values = [numeric(row, "value") for row in rows]
            if len(rows) < MINIMUM_SEEDS or any(map(math.isnan, values)):
                continue
            middle = median(values)
            away += [(abs(value - middle), row, middle) for value, row in zip(values, rows, strict=True)]
            distances += sorted(abs(value - middle) for value in values)[1:]
        if len(distances) < FEWEST_DISTANCES:
            continue
        # Few distances give an uncertain median: normal seeds would be called outlying in .05 of groups instead of .03.
        spread = median(distances) / NORMAL_QUARTILE * (1 + 2 / len(distances))
        found += [one for one in away if spread > 0 and one[0] > OUTLYING * spread]
    if not found:
        return []
    _, worst, middle = max(found, key=lambda one: one[0])
    place = f" in {text_of(worst, 'environment')}" if text_of(worst, "environment") else ""
    named = f"{text_of(worst, 'recipe')} with seed {int(numeric(worst, 'seed'))}: {text_of(worst, 'measure')}{place}"
    return [
        f"{count(len(found), 'value')} of single seeds over {OUTLYING} robust standard deviations from the other seeds "
        f"of the recipe ({named} is {number(numeric(worst, 'value'))}, the median {number(middle)}): a mean over few "
        "seeds flatters recipes that sometimes fail"
    ]


def _folds(contrasts: Sequence[Row], trials: Sequence[Row]) -> list[Sentence]:
    """Models of several folds share training rows, whose variance no seed shows."""
    folds = len({row.get("fold", 0) for row in trials})
    if folds < 2 or all(math.isnan(numeric(row, "p")) for row in contrasts):
        return []
    text = (
        f"{folds} folds share training rows, so that p is higher than stated: where nothing differed, p < .05 came in "
        f"up to {number(FOLDED)} of simulated comparisons"
    )
    return [Sentence("doubt", text, "warn")]


def _one_pool(contrasts: Sequence[Row], trials: Sequence[Row], split: Split) -> list[Sentence]:
    """Seeds that redraw little of the training rows show little of what another training set would change."""
    if not split or all(math.isnan(numeric(row, "p")) for row in contrasts):
        return []
    redraws = {
        "shares": "draw their training rows from one pool, most of which they share",
        "column": "train on the rows that a column of the table names and redraw weights and order alone",
    }[split]
    text = (
        f"seeds {redraws}, so that p is of this training set and may be higher than stated: where nothing differed, "
        f"p < .05 came in up to {number(ONE_POOL[split], 3)} of simulated comparisons"
    )
    return [Sentence("doubt", text, "warn")]


def _undefined(contrasts: Sequence[Row]) -> list[Sentence]:
    lost = [row for row in contrasts if row.get("conclusion") == "undefined" and not under_seeds(row)]
    if not lost:
        return []
    text = f"{len(lost)} of {count(len(contrasts), 'comparison')} undefined: {text_of(lost[0], 'reason') or 'no value'}"
    return [Sentence("doubt", text, "warn", text_of(lost[0], "id"))]
