"""Do looks at 10, 20 and 40 seeds claim what they promise?

    python benchmarks/look_simulation.py --worlds 2000 --out docs/results/look-simulation.csv

Primary families of 1, 2 and 4 in the worlds of `family_simulation`, tested at each look at the nominal level
`assay.stats.decisions.LOOK_ALPHA`. A comparison that is decided gets no more seeds, keeps its decision, and leaves its
pooling group; those that are shown to differ, or to be equivalent, leave Holm's correction of that question.
`claims`: some true null hypothesis is called a difference at some look, where equivalence ends no comparison.
`false_equivalence`: some true difference of just a large margin is called equivalent, where differences end none.
`any_false`: either, where half of the contrasts differ by just a margin and both kinds of decision end comparisons.
`decided`: share of the comparisons that are decided there. `mean_seeds`: seeds that they took. One core, a few minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from _simulation import CHUNK, effects, promised_claims, tabulate
from decision_simulation import RATIOS, adjusted
from family_simulation import PATIENTS, SEED_EFFECTS, grouped, tails

from assay.core.seeds import LOOKS, generator
from assay.stats.decisions import LOOK_ALPHA
from assay.stats.estimate import VarianceComponents, replace_seed_variance, two_way

DESIGNS = {
    "primary of 1": (1, 1, "holm"),
    "primary of 2, alone in their groups": (2, 1, "holm"),
    "primary of 4, alone in their groups": (4, 1, "holm"),
    "primary of 4, one group": (4, 4, "holm"),
    "primary of 4, fixed order": (4, 1, "fixed-order"),
}
"""Design -> contrasts, contrasts of a pooling group, correction."""
FIELDS = tuple(VarianceComponents.__dataclass_fields__)
COLUMNS = (
    "design", "seed_effects", "ratio", "seeds", "worlds", "claims", "false_equivalence", "any_false", "decided",
    "mean_seeds", "met",
)  # fmt: skip


def cells() -> Iterator[tuple[str, str, float]]:
    """Yield every (design, seed effects, ratio) that is simulated."""
    for kind in SEED_EFFECTS:
        for design in DESIGNS:
            for ratio in RATIOS:
                yield design, kind, ratio


@dataclass(frozen=True)
class Look:
    """Values [w, m, s] of the contrasts at a look, and their spread without seed effects."""

    still: np.ndarray
    moved: np.ndarray
    spread: VarianceComponents


@lru_cache(maxsize=1)
def draws(kind: str, worlds: int) -> list[Look]:
    """Draw the first seeds of each look; a later look has the seeds of the earlier ones."""
    rng, recipes = generator(0, "look-simulation", kind), 1 + max(family for family, _, _ in DESIGNS.values())
    chunks: list[list[Look]] = []
    for _ in range(worlds // CHUNK):
        _, noise = effects(rng, (CHUNK, recipes, max(LOOKS), PATIENTS), 0.0)
        mean = noise.mean(axis=-1)
        noise = (noise - mean[..., None]) / np.sqrt(PATIENTS * (PATIENTS - 1))
        moved = SEED_EFFECTS[kind](rng, mean.shape)
        still, apart = mean[:, 1:] - mean[:, :1], noise[:, 1:] - noise[:, :1]
        differences = moved[:, 1:] - moved[:, :1]
        chunks.append(
            [Look(still[..., :n], differences[..., :n], two_way(still[..., :n], apart[..., :n, :])) for n in LOOKS]
        )
    return [
        Look(
            np.concatenate([one.still for one in looks]),
            np.concatenate([one.moved for one in looks]),
            VarianceComponents(*(np.concatenate([getattr(one.spread, name) for one in looks]) for name in FIELDS)),
        )
        for looks in zip(*chunks, strict=True)
    ]


def spreads(values: np.ndarray, own: VarianceComponents, group: int, left: np.ndarray) -> VarianceComponents:
    """Return the spreads [w, m] of contrasts; those that are left [w, m] are pooled with each other."""
    if group == 1:
        return grouped(values, own, 1)
    found = {name: np.array(getattr(own, name)) for name in FIELDS}
    for pattern in np.unique(left, axis=0):
        worlds, members = np.flatnonzero((left == pattern).all(axis=1)), np.flatnonzero(pattern)
        if len(members):
            at = np.ix_(worlds, members)
            pooled = grouped(values[at], VarianceComponents(*(getattr(own, name)[at] for name in FIELDS)), len(members))
            for name in FIELDS:
                found[name][at] = getattr(pooled, name)
    return VarianceComponents(**found)


@dataclass(frozen=True)
class Outcome:
    """Decisions [w, m] on contrasts over all looks, and the seeds that each took."""

    different: np.ndarray
    equal: np.ndarray
    seeds: np.ndarray


def followed(looks: list[Look], design: str, scale: float, truth: np.ndarray, margin: float, ends: str) -> Outcome:
    """Carry out the looks.

    Args:
        looks: Draws of a world's looks.
        design: Key of `DESIGNS`.
        scale: Standard deviation of seeds.
        truth: True differences [m].
        margin: Margin of equivalence; 0 for none.
        ends: Which decisions end a comparison: `different`, `equal` or `both`.
    """
    family, group, correction = DESIGNS[design]
    shape = len(looks[0].still), family
    different: np.ndarray = np.zeros(shape, dtype=bool)
    equal: np.ndarray = different
    ended: np.ndarray = different
    seeds = np.zeros(shape)
    for look, number in zip(looks, LOOKS, strict=True):
        values = (look.still + scale * look.moved)[:, :family]
        a = values.var(axis=-1, ddof=1) / number
        kept = VarianceComponents(*(getattr(look.spread, name)[:, :family] for name in FIELDS))
        spread = spreads(values, replace_seed_variance(kept, a, np.full_like(a, number - 1)), group, ~ended)
        found = values.mean(axis=-1) + truth
        tests = 2 * tails(np.abs(found), spread), tails(margin - np.abs(found), spread) if margin else np.ones(shape)
        shown: list[np.ndarray] = [
            adjusted(np.where(ended, np.where(was, 0.0, 1.0), p), correction) < LOOK_ALPHA
            for was, p in zip((different, equal), tests, strict=True)
        ]
        seeds = np.where(ended, seeds, number)
        different = np.where(ended, different, different | shown[0])
        equal = np.where(ended, equal, equal | shown[1])
        ended = np.logical_or(different & (ends != "equal"), equal & (ends != "different"))
    return Outcome(different, equal, seeds)


def simulate(design: str, kind: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """Return one row of the table. seeds: those of the last look."""
    family, looks = DESIGNS[design][0], draws(kind, worlds)
    error = np.sqrt(1.5 / PATIENTS)
    scale = ratio * error / np.sqrt(2)
    second = float(error * np.sqrt(1 + ratio**2 / LOOKS[1]))  # standard error at the second look
    none = np.zeros(family)
    claims = followed(looks, design, scale, none, 0.0, "different").different.any(axis=1).mean()
    far = 12 * second
    false_equivalence = followed(looks, design, scale, none + far, far, "equal").equal.any(axis=1).mean()
    near = 4 * second
    half: np.ndarray = np.where(np.arange(family) % 2, near, 0.0)
    both = followed(looks, design, scale, half, near, "both")
    any_false = ((both.different & (half == 0)) | (both.equal & (half > 0))).any(axis=1).mean()
    return {
        "design": design,
        "seed_effects": kind,
        "ratio": ratio,
        "seeds": "/".join(map(str, LOOKS)),
        "worlds": worlds,
        "claims": float(claims),
        "false_equivalence": float(false_equivalence),
        "any_false": float(any_false),
        "decided": float((both.different | both.equal).mean()),
        "mean_seeds": float(both.seeds.mean()),
        "met": max(float(claims), float(false_equivalence)) <= promised_claims(kind == "equal", worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/look-simulation.csv", cells, simulate, (max(LOOKS),))
