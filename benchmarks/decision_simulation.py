"""Do primary and secondary families claim what they promise, and does a settled question end in a decision?

    python benchmarks/decision_simulation.py --worlds 2000 --out docs/results/decision-simulation.csv

Families as a study names them: primary families of 1, 2 and 4 whose contrasts are of several measures (each alone in
its pooling group) or of one, and secondary families of 8. A mean over recipes has its own variance, as a family of 1.
Rules are those of records (`assay.stats.compare`, `assay.stats.decisions`), worlds those of `family_simulation`.
`claims`: some true null hypothesis is called a difference. `false_equivalence`: some true difference of just the margin
is called equivalent. `any_false`: either, where half of the contrasts differ by just a large margin and the others do
not differ at all. `power`: of the difference that `power.reachable` gives in one world, found in the next.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _simulation import promised_claims, tabulate
from family_simulation import PATIENTS, SEED_EFFECTS, draws, grouped, reaches, tails

from assay.stats.compare import Correction
from assay.stats.estimate import VarianceComponents, replace_seed_variance
from assay.stats.power import group_degrees_of_freedom
from assay.stats.rows import ALPHA

RATIOS = (1.0, 3.0, 6.0)
DESIGNS: dict[str, tuple[int, int, Correction]] = {
    "primary of 1": (1, 1, "holm"),
    "primary of 2, alone in their groups": (2, 1, "holm"),
    "primary of 4, alone in their groups": (4, 1, "holm"),
    "primary of 4, one group": (4, 4, "holm"),
    "primary of 4, fixed order": (4, 1, "fixed-order"),
    "secondary of 8, one group": (8, 8, "holm"),
    "secondary of 8, groups of 2": (8, 2, "holm"),
}
"""Design -> contrasts, contrasts of a pooling group, correction."""
COLUMNS = (
    "design", "seed_effects", "ratio", "seeds", "worlds", "claims", "false_equivalence", "any_false", "power", "met",
)  # fmt: skip


def cells() -> Iterator[tuple[str, str, float]]:
    """Yield every (design, seed effects, ratio) that is simulated."""
    for kind in SEED_EFFECTS:
        for design in DESIGNS:
            for ratio in RATIOS:
                yield design, kind, ratio


def adjusted(p: np.ndarray, correction: str) -> np.ndarray:
    """Return adjusted p-values of families [w, m]."""
    if correction == "fixed-order":
        return np.maximum.accumulate(p, axis=1)
    order = np.argsort(p, axis=1)
    steps: np.ndarray = np.take_along_axis(p, order, 1) * np.arange(p.shape[1], 0, -1)
    made = np.empty_like(p)
    np.put_along_axis(made, order, np.maximum.accumulate(steps, axis=1), 1)
    return made


def simulate(design: str, kind: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """Return one row of the table."""
    family, group, correction = DESIGNS[design]
    still, moved, without = draws(kind, seeds, worlds)
    error = np.sqrt(1.5 / PATIENTS)
    values = still + ratio * error / np.sqrt(2) * (moved[:, 1:] - moved[:, :1])
    kept = {name: getattr(without, name)[:, :family] for name in VarianceComponents.__dataclass_fields__}
    values = values[:, :family]
    a = values.var(axis=-1, ddof=1) / seeds
    own = replace_seed_variance(VarianceComponents(**kept), a, np.full_like(a, seeds - 1))
    spread = grouped(values, own, group)
    mean = values.mean(axis=-1)
    margin = 12 * float(np.median(np.sqrt(spread.variance)))

    def decided(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = mean + truth
        different = adjusted(2 * tails(np.abs(found), spread), correction) < ALPHA
        return different, adjusted(tails(margin - np.abs(found), spread), correction) < ALPHA

    none, all_ = np.zeros(values.shape[1]), np.full(values.shape[1], margin)
    half: np.ndarray = np.where(np.arange(values.shape[1]) % 2, margin, 0.0)
    claims = float(decided(none)[0].any(axis=1).mean())
    false_equivalence = float(decided(all_)[1].any(axis=1).mean())
    different, equal = decided(half)
    any_false = float(((different & (half == 0)) | (equal & (half > 0))).any(axis=1).mean())
    between, rest = a.mean(axis=1), np.maximum(own.patients - own.residual, 0.0).mean(axis=1)
    size = family if correction == "holm" else 1
    table = reaches(seeds, group, family, group_degrees_of_freedom(seeds, group), correction)
    figure: np.ndarray = np.sqrt(between + rest) * np.interp(between / (between + rest), *table)
    found = 2 * tails(np.abs(mean + np.roll(figure, 1)[:, None]), spread) < ALPHA / size
    return {
        "design": design,
        "seed_effects": kind,
        "ratio": ratio,
        "seeds": seeds,
        "worlds": worlds,
        "claims": claims,
        "false_equivalence": false_equivalence,
        "any_false": any_false,
        "power": float(found.mean()),
        "met": max(claims, false_equivalence) <= promised_claims(kind == "equal", worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/decision-simulation.csv", cells, simulate)
