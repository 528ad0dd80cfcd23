"""The worst group and the worst environment of a recipe: chosen by the mean over its seeds, and then one place for all.

A mean over seeds of each seed's own worst lies below the worst place's value, the more so the more places there are and
the smaller: the least of several uncertain numbers is low for its uncertainty alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from assay.core.measures import WORST, WORST_ENVIRONMENT, WORST_GROUP
from assay.probes.groups import group_name
from assay.store.files import Row

Key = tuple[str, str, str, str, str, str]
"""measure, environment, factor, level, layer, group"""
BySeed = Mapping[int, Row]


def with_one_worst(every: Mapping[Key, BySeed], smallest_group: int) -> dict[Key, BySeed]:
    """The measurements of a recipe, the worst of each measure being those of one place, the same for every seed.

    every: measurement key -> seed -> measurement, among them what is to be chosen from. smallest_group: images that a
    group needs in every seed. Where no place has a value for every seed there is none, and a reason.
    """
    return {key: _worst(key, rows, every, smallest_group) if _is_worst(key) else rows for key, rows in every.items()}


def _is_worst(key: Key) -> bool:
    return key[5] in WORST


def chosen_place(key: Key, every: Mapping[Key, BySeed], smallest_group: int) -> Key | None:
    """The place whose mean over seeds is the worst, among those with a value for every seed; None where none has.

    key: of the worst place, whose seeds are meant.
    """
    seeds = every[key]
    places = {other: found for other, found in every.items() if _is_place(other, key)}
    least = smallest_group if key[5] == WORST_GROUP else 0
    means = {
        place: float(np.mean([found[seed]["value"] for seed in seeds]))
        for place, found in places.items()
        if set(found) >= set(seeds) and all(_counts(found[seed], least) for seed in seeds)
    }
    if not means:
        return None
    lower_is_worse = key[5] == WORST_GROUP or next(iter(seeds.values()))["direction"] == "higher"
    return (min if lower_is_worse else max)(means, key=lambda place: means[place])


def _worst(key: Key, rows: BySeed, every: Mapping[Key, BySeed], smallest_group: int) -> BySeed:
    chosen = chosen_place(key, every, smallest_group)
    if chosen is None:
        reason = next((row["reason"] for row in rows.values() if math.isnan(row["value"])), "")
        reason = reason or "no place has it for every seed"
        return {seed: {**row, "value": math.nan, "standard_error": math.nan, "reason": reason}
                for seed, row in rows.items()}  # fmt: skip
    where = chosen[1] if key[5] == WORST_ENVIRONMENT else group_name(chosen[2], chosen[3], chosen[5])
    named = {"environment": key[1], "factor": "", "level": key[3], "group": key[5]}
    return {seed: {**every[chosen][seed], **named, "reason": f"in {where}"} for seed in rows}


def _is_place(other: Key, key: Key) -> bool:
    """Whether a measurement is of one of the places that a worst one is chosen from."""
    measure, environment, factor, level, _, group = other
    if measure != key[0] or group in WORST:
        return False
    if key[5] == WORST_ENVIRONMENT:
        return bool(environment) and not factor and not group and level == key[3]
    return environment == key[1] and bool(factor)


def _counts(row: Row, least: int) -> bool:
    return row["n"] >= least and not math.isnan(row["value"])
