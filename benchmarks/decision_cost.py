"""Processor seconds until a decision: the usual way, paired seeds, and Assay, at equal error.

    python benchmarks/decision_cost.py RUN [--worlds 2000] [--out docs/results/decision-cost.csv]

Known worlds: four recipes, each compared with a fifth, and a true difference (0, .02, .05, .1) that all four have.
How a measure varies (seeds that recipes share and do not share, patients) is taken from the outputs of a finished run,
a folder with several recipes and seeds; patients are drawn again in every world, from a normal distribution.

(a) the usual way: seeds of their own for every recipe, a number of seeds that is fixed, Student's t on means of seeds
(b) paired: the same seeds for all recipes, the same patients, paired t
(c) Assay: as (b), with two-way variance, spread of seeds pooled over recipes, and looks at 10, 20 and 40 seeds; a
    recipe that is decided gets no more seeds
(d) as (c), with a further look at 5 seeds, which Assay does not take

All correct by Holm over four comparisons. Equal error: a and b reject where their adjusted p is below the level that
claims something in 5 % of worlds without a difference, since neither t test knows that patients were drawn. A decision
is a difference that is shown, and of a difference of 0 equivalence within .05. Counted are trials times processor
seconds of one (`benchmarks/default_study.py`), at the least number of seeds up to 200 that decides four comparisons in
five; of Assay at the last look that it needs, with the mean number of seeds that were trained until then. `ratio` is
(a) over the way where (a) knows the true difference and takes just enough seeds; `ratio_planned` where it does not, and
takes those that a difference of .05 needs. Last comes what other numbers of test images would do to the variance of a
paired difference of means over ten seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from _shared import parser
from _simulation import CHUNK, _write
from decision_simulation import adjusted
from family_simulation import PATIENTS, tails
from look_simulation import spreads
from scipy import stats

from assay.core.files import default_cache_root
from assay.core.seeds import LOOKS, generator
from assay.execution.jobs import population_of
from assay.execution.workspace import Workspace
from assay.stats.decisions import LOOK_ALPHA
from assay.stats.estimate import VarianceComponents, two_way
from assay.stats.panel import evaluate
from assay.study.described import gather_records
from assay.study.gathered import Records
from assay.study.records import stored_study

MEASURES = ("auroc", "accuracy", "log-loss", "calibration-error")
TRUTHS = (0.0, 0.02, 0.05, 0.1)
MARGIN = 0.05
RECIPES = 4
"""Recipes that are compared with one more."""
FIXED = (3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 120, 160, 200)
"""Numbers of seeds of (a) and (b)."""
AT_ONCE = 50
"""Worlds whose patients are held at once."""
EARLY = (5, *LOOKS)
POWER, ALPHA = 0.8, 0.05
SECONDS = {"usual": 2.33, "paired": 2.33, "assay": 2.04, "look at 5": 2.04}
"""Processor seconds of a trial: the usual script, and Assay, of the default study."""
COLUMNS = (
    "measure", "truth", "way", "nominal_claims", "claims", "seeds", "decided", "trials", "seconds", "ratio",
    "ratio_planned",
)  # fmt: skip


@dataclass(frozen=True)
class Varies:
    """Standard deviations of a measure of one model, by what it varies with.

    Attributes:
        shared: Seeds, the same for all recipes.
        own: Seeds of a recipe.
        everyone: Patients, the same for all models.
        recipe: Patients and recipe.
        seed: Patients and seed, the same for all recipes.
        rest: Patients, recipe and seed.
    """

    shared: float
    own: float
    everyone: float
    recipe: float
    seed: float
    rest: float


def varies(records: Records, measure: str) -> Varies:
    """Estimate how a measure varies where the study compares first, by moments over all pairs of recipes."""
    environment = records.plan.spec.contrasts[0].environment
    points = [point for point in records.plan.spec.points if len(records.kept_seeds(point)) > 2]
    parts = [evaluate(panel, measure) for point in points if (panel := records.panel(point, environment))]
    seeds = min(len(part.values) for part in parts)
    values = np.stack([part.values[:seeds] for part in parts])
    of_patients = np.stack([part.contributions[:seeds] for part in parts])  # [r, s, p]
    products = np.einsum("rsp,qtp->rsqt", of_patients, of_patients)
    r, s = np.arange(len(parts)), np.arange(seeds)
    same_r, same_s = np.equal.outer(r, r)[:, None, :, None], np.equal.outer(s, s)[None, :, None, :]

    def mean(recipe: bool, seed: bool) -> float:
        return float(products[np.broadcast_to((same_r == recipe) & (same_s == seed), products.shape)].mean())

    everyone, total = mean(False, False), mean(True, True)
    recipe, seed = mean(True, False) - everyone, mean(False, True) - everyone
    rest = total - everyone - recipe - seed
    centered = values - values.mean(axis=1, keepdims=True)
    covariance = centered @ centered.T / (seeds - 1)
    together = float(np.mean([covariance[i, j] for i, j in permutations(range(len(parts)), 2)])) - seed
    alone = float(np.diag(covariance).mean()) - seed - rest - max(together, 0.0)
    return Varies(*(math.sqrt(max(one, 0.0)) for one in (together, alone, everyone, recipe, seed, rest)))


@dataclass(frozen=True)
class Worlds:
    """Values of a measure without a difference: per model [w, r, s], with seeds shared or not, and Assay's spreads."""

    unpaired: np.ndarray
    paired: np.ndarray
    spreads: Mapping[int, VarianceComponents]


def drawn(how: Varies, measure: str, worlds: int) -> Worlds:
    """Draw worlds; those of Assay's looks have patients, and spreads of differences to the first recipe."""
    rng, most, last, recipes = generator(0, "decision-cost", measure), max(FIXED), max(LOOKS), RECIPES + 1
    unpaired: list[np.ndarray] = []
    paired: list[np.ndarray] = []
    of_looks: list[dict[int, VarianceComponents]] = []

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal((AT_ONCE, *shape), dtype=np.float32)

    for _ in range(worlds // AT_ONCE):
        of_recipe = how.recipe * normal(recipes, 1, PATIENTS)
        of_seeds = how.seed * normal(1, last, PATIENTS) + how.rest * normal(recipes, last, PATIENTS)
        noise = (of_recipe + of_seeds) / math.sqrt(PATIENTS)
        recipe = of_recipe.sum(axis=-1) / math.sqrt(PATIENTS)
        seeds = how.shared * normal(1, most) + how.own * normal(recipes, most)
        first = noise.sum(axis=-1) + seeds[..., :last]
        late = how.seed * normal(1, most - last) + how.rest * normal(recipes, most - last)
        paired.append(np.concatenate([first, recipe + late + seeds[..., last:]], axis=-1))
        alone = math.sqrt(how.shared**2 + how.own**2 + how.seed**2 + how.rest**2)
        unpaired.append(recipe + alone * normal(recipes, most))
        noise -= noise.mean(axis=-1, keepdims=True)
        apart = (noise[:, 1:] - noise[:, :1]) * math.sqrt(PATIENTS / (PATIENTS - 1))
        values = first[:, 1:] - first[:, :1]
        of_looks.append({n: _spread(values[..., :n], apart[..., :n, :]) for n in EARLY})
    names = tuple(VarianceComponents.__dataclass_fields__)
    joined = {
        n: VarianceComponents(*(np.concatenate([getattr(one[n], x) for one in of_looks]) for x in names)) for n in EARLY
    }
    return Worlds(np.concatenate(unpaired), np.concatenate(paired), joined)


def _spread(values: np.ndarray, apart: np.ndarray) -> VarianceComponents:
    return two_way(values.astype(np.float64), apart.astype(np.float64))


def student(values: np.ndarray, truth: float, seeds: int, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return p-values [w, m] of a difference, and of one beyond the margin, by a t test on the first seeds."""
    some = values[..., :seeds].astype(np.float64)
    if paired:
        differences = some[:, 1:] - some[:, :1]
        variance, df = differences.var(axis=-1, ddof=1) / seeds, seeds - 1
    else:
        own = some.var(axis=-1, ddof=1) / seeds
        variance, df = own[:, 1:] + own[:, :1], 2 * seeds - 2
    mean = (some[:, 1:] - some[:, :1]).mean(axis=-1) + truth
    error = np.sqrt(variance)
    return 2 * stats.t.sf(np.abs(mean) / error, df), np.asarray(stats.t.sf((MARGIN - np.abs(mean)) / error, df))


def fixed(values: np.ndarray, truth: float, paired: bool) -> dict[str, object]:
    """Return the fewest seeds at which a t test decides; none where not even the most suffice."""
    row: dict[str, object] = {}
    for seeds in FIXED:
        null = adjusted(student(values, 0.0, seeds, paired)[0], "holm").min(axis=1)
        level = float(np.quantile(null, ALPHA))
        if truth:
            decided = adjusted(student(values, truth, seeds, paired)[0], "holm") < level
        else:  # the worst case of a false equivalence is a true difference of just the margin
            edge = adjusted(student(values, MARGIN, seeds, paired)[1], "holm").min(axis=1)
            decided = adjusted(student(values, 0.0, seeds, paired)[1], "holm") < float(np.quantile(edge, ALPHA))
        row = {"nominal_claims": float((null < ALPHA).mean()), "claims": ALPHA, "decided": float(decided.mean())}
        if decided.mean() >= POWER:
            return {**row, "seeds": seeds, "trials": float(seeds * (RECIPES + 1))}
    return {**row, "seeds": f"> {max(FIXED)}", "trials": math.inf}


@dataclass(frozen=True)
class Outcome:
    """Of each look: which comparisons are decided until then [w, m], and mean trials until then."""

    decided: list[np.ndarray]
    trials: list[float]


def looked(worlds: Worlds, looks: Sequence[int], truth: float, equivalence: bool) -> Outcome:
    """Carry out looks as Assay does."""
    different: np.ndarray = np.zeros((len(worlds.paired), RECIPES), dtype=bool)
    trials = np.zeros(len(different))
    found, counted, before = [], [], 0
    for seeds in looks:
        trials = trials + (seeds - before) * ((~different).sum(axis=1) + (~different).any(axis=1))
        before = seeds
        values = (worlds.paired[:, 1:] - worlds.paired[:, :1])[..., :seeds].astype(np.float64)
        spread = spreads(values, worlds.spreads[seeds], RECIPES, ~different)
        mean = values.mean(axis=-1) + truth
        p = tails(MARGIN - np.abs(mean), spread) if equivalence else 2 * tails(np.abs(mean), spread)
        different = different | (adjusted(np.where(different, 0.0, p), "holm") < LOOK_ALPHA)
        found.append(different)
        counted.append(float(trials.mean()))
    return Outcome(found, counted)


def adaptive(worlds: Worlds, looks: Sequence[int], truth: float) -> dict[str, object]:
    """Return the row of Assay at these looks; trials end at the first look that decides four in five."""
    claims = float(looked(worlds, looks, 0.0, False).decided[-1].any(axis=1).mean())
    outcome = looked(worlds, looks, truth, equivalence=not truth)
    row: dict[str, object] = {"nominal_claims": claims, "claims": claims}
    for seeds, decided, trials in zip(looks, outcome.decided, outcome.trials, strict=True):
        row |= {"decided": float(decided.mean()), "seeds": seeds, "trials": trials}
        if decided.mean() >= POWER:
            return row
    return {**row, "seeds": f"> {max(looks)}", "trials": math.inf}


def rows_of(measure: str, how: Varies, worlds: int) -> list[dict[str, object]]:
    """Return the rows of a measure."""
    found, rows = drawn(how, measure, worlds), list[dict[str, object]]()
    planned = SECONDS["usual"] * float(str(fixed(found.unpaired, MARGIN, paired=False)["trials"]))
    for truth in TRUTHS:
        ways = {
            "usual": fixed(found.unpaired, truth, paired=False),
            "paired": fixed(found.paired, truth, paired=True),
            "assay": adaptive(found, LOOKS, truth),
            "look at 5": adaptive(found, EARLY, truth),
        }
        spent = {way: SECONDS[way] * float(str(row["trials"])) for way, row in ways.items()}
        for way, row in ways.items():
            to = {"ratio": spent["usual"], "ratio_planned": planned}
            ratios = {name: one / spent[way] if math.isfinite(spent[way]) else math.nan for name, one in to.items()}
            rows.append({"measure": measure, "truth": truth, "way": way, **row, "seconds": spent[way], **ratios})
    return rows


def main() -> None:
    made = parser(__doc__)
    made.add_argument("run", type=Path, help="folder of a finished study")
    made.add_argument("--worlds", type=int, default=2000, help=f"a multiple of {CHUNK}")
    given = made.parse_args()
    study = stored_study(given.run)
    place, spec = Workspace(given.run, default_cache_root(), study.skip_bad_rows), study.plan.spec
    records = gather_records(study.plan, place.folder, population_of(spec.data, place))
    rows: list[dict[str, object]] = []
    found = {measure: varies(records, measure) for measure in MEASURES}
    for measure, how in found.items():
        print(measure, how, flush=True)
        rows += [
            {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}
            for row in rows_of(measure, how, given.worlds)
        ]
        for row in rows[-len(TRUTHS) * len(SECONDS) :]:
            print(*(row[name] for name in COLUMNS), sep="\t", flush=True)
        _write(given.out or Path("docs/results/decision-cost.csv"), COLUMNS, rows)
    print(summary(rows))
    for measure, how in found.items():
        less, more = (of_images(how, times) / of_images(how, 1) for times in (0.5, 2))
        print(f"{measure}: variance with half of the test images times {less:.2f}, with twice as many {more:.2f}")


def of_images(how: Varies, times: float, seeds: int = 10) -> float:
    """Return the variance of a paired difference of means over seeds, with so many times the test images."""
    return 2 * ((how.own**2 + how.rest**2 / times) / seeds + how.recipe**2 / times)


def summary(rows: Sequence[Mapping[str, object]]) -> str:
    """Return geometric means of the ratios where both ways decide, of each measure and of all."""
    lines = ["| way | ratio | " + " | ".join(MEASURES) + " | all |", "|---" * (len(MEASURES) + 3) + "|"]
    for way in ("paired", "assay", "look at 5"):
        for kind in ("ratio", "ratio_planned"):
            means = [_mean(rows, way, kind, own) for own in (*((one,) for one in MEASURES), MEASURES)]
            lines.append(f"| {way} | {kind} | {' | '.join(means)} |")
    return "\n".join(lines)


def _mean(rows: Sequence[Mapping[str, object]], way: str, kind: str, measures: Sequence[str]) -> str:
    of = [float(str(row[kind])) for row in rows if row["way"] == way and row["measure"] in measures]
    both = [ratio for ratio in of if math.isfinite(ratio)]
    return f"{math.exp(sum(map(math.log, both)) / len(both)):.2f} ({len(both)} of {len(of)})" if both else "none"


if __name__ == "__main__":
    main()
