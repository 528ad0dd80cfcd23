"""Look at the primary comparisons of a study at planned numbers of seeds, until they are decided.

A look is computed from the records of its seeds alone. It comes out the same however often a run was interrupted, and
however many seeds followed. A comparison that is closed at a look keeps its decision and gets no more seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.core.reasons import NO_REASON, Code, Reason, reason_of
from assay.execution.plan import Plan
from assay.spec.schema import StudySpec
from assay.stats.compare import untested_contrast
from assay.stats.decisions import DECIDING_COLUMNS, LOOK_ALPHA, Family, decide_families
from assay.stats.rows import COMPARISON_KEY, CONCLUSIVE, CONTROLS, DIFFERENT, PRIMARY, is_open
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.study.contrasts import carry_out_comparisons, compute_contrast
from assay.study.families import (
    PlannedComparison,
    families,
    family_key,
    family_of,
    pooling_group,
    study_comparisons,
    with_pooled_variances,
)
from assay.study.gathered import Records

RecordsReader = Callable[[Plan], tuple[Records, Sequence[Row]]]
"""Given the plan of a look, its records and the estimates of its recipes."""


@dataclass(frozen=True)
class InterimLook:
    """A look that all of its planned seeds were there for.

    Attributes:
        seeds: Its number of seeds.
        rows: Rows of `schema.CONTRASTS` of comparisons whose recipes have these seeds; at the first look all of them.
        closed: Comparison -> seeds of the look that closed it, this one included.
    """

    seeds: int
    rows: Sequence[Row]
    closed: Mapping[str, int]

    @property
    def primary(self) -> list[Row]:
        """Rows of the primary comparisons."""
        return [row for row in self.rows if row["role"] == PRIMARY and not row["exploratory"]]

    @property
    def open(self) -> list[Row]:
        """Rows of the primary comparisons that are not closed."""
        return [row for row in self.primary if row["id"] not in self.closed]


@dataclass(frozen=True)
class ComparisonGroup:
    """Primary comparisons that are decided together: the correction or the variance of one depends on the others.

    Attributes:
        ids: The comparisons, by `PlannedComparison.id`.
        recipes: Labels of the recipes that their decisions rest on, those of the controls of the study included.
    """

    ids: frozenset[str]
    recipes: frozenset[str]


def comparison_groups(spec: StudySpec) -> list[ComparisonGroup]:
    """Return the primary comparisons of a study in groups that can be decided without each other's networks.

    A family is corrected together, and a pooling group shares its variance over seeds, which secondary comparisons
    are part of. A control that fails withdraws every claim, so each group needs the controls.
    """
    linked: list[tuple[frozenset[tuple[str, ...]], list[PlannedComparison]]] = []
    for pair in study_comparisons(spec):
        if pair.contrast.exploratory:
            continue  # its family is apart, and its variance changes no other
        links = frozenset({("family", *family_key(pair)), ("variance", *pooling_group(pair.contrast))})
        joined = [group for group in linked if group[0] & links]
        linked = [group for group in linked if not group[0] & links]
        linked.append((links.union(*(keys for keys, _ in joined)), [*(p for _, pairs in joined for p in pairs), pair]))
    by_role = [({pair.contrast.role for pair in pairs}, pairs) for _, pairs in linked]
    controls = {
        label for roles, pairs in by_role if roles.intersection(CONTROLS) for pair in pairs for label in pair.recipes
    }
    return [
        ComparisonGroup(
            frozenset(pair.id for pair in pairs if pair.contrast.role == PRIMARY),
            frozenset(controls.union(*(pair.recipes for pair in pairs))),
        )
        for roles, pairs in by_role
        if PRIMARY in roles
    ]


def deciding_recipes(spec: StudySpec) -> set[str]:
    """Return the labels of the recipes that the decisions on primary comparisons rest on."""
    return {label for group in comparison_groups(spec) for label in group.recipes}


def order_groups(
    groups: Sequence[ComparisonGroup], looks: Sequence[InterimLook], missing_networks: Mapping[str, int]
) -> list[ComparisonGroup]:
    """Return groups in the order in which they can be decided.

    After a look it is that of the seeds which would settle their open comparisons, whatever the truth. Before the
    first, and where no number of seeds would, the group comes first whose networks are fewest.

    Args:
        groups: The groups.
        looks: The looks so far.
        missing_networks: Label of a recipe -> its networks that are missing.
    """
    needed = {row["id"]: row["seeds_needed"] for row in looks[-1].open} if looks else {}

    def order_key(group: ComparisonGroup) -> tuple[float, int]:
        settled_by = [needed[id] for id in group.ids if id in needed and not math.isnan(needed[id])]
        return min(settled_by, default=math.inf), sum(missing_networks.get(label, 0) for label in group.recipes)

    return sorted(groups, key=order_key)


def carry_out_looks(
    plan: Plan,
    folder: RunFolder,
    prespecified_ids: Collection[str],
    read_records: RecordsReader,
    known_looks: Sequence[InterimLook] = (),
    recipes: Collection[str] | None = None,
) -> list[InterimLook]:
    """Carry out the looks that the records suffice for.

    Args:
        plan: Plan of the study, with all seeds so far.
        folder: Its run folder.
        prespecified_ids: Comparisons that were specified before results existed, by `PlannedComparison.id`.
        read_records: Reads the records of a look.
        known_looks: Looks that were carried out before.
        recipes: Labels of the recipes whose records a look needs; None for those that all primary comparisons rest on.
    """
    looks = list(known_looks)
    needed = deciding_recipes(plan.spec) if recipes is None else recipes
    for seeds in plan.spec.looks[len(looks) :]:
        part = plan.of_first_seeds(seeds)
        deciding = part.of_recipes(needed)
        has_last_seed = any(trial.training.seed == plan.spec.first_seed + seeds - 1 for trial in deciding.trials)
        if not has_last_seed or deciding.missing_trials(folder) or deciding.missing_probes(folder):
            break
        looks.append(_carry_out_look(*read_records(part), seeds, prespecified_ids, looks))
    return looks


def _carry_out_look(
    records: Records,
    estimates: Sequence[Row],
    seeds: int,
    prespecified_ids: Collection[str],
    earlier_looks: Sequence[InterimLook],
) -> InterimLook:
    if not earlier_looks:
        rows = decide_families(carry_out_comparisons(records, prespecified_ids), estimates)
        closed: dict[str, int] = {}
    else:
        closed = dict(earlier_looks[-1].closed)
        closed_rows = {
            row["id"]: row for look in earlier_looks for row in look.primary if look.seeds == closed.get(row["id"])
        }
        planned_ids, families_decided = _primary_families(records, seeds, prespecified_ids, closed_rows)
        rows = [row for row in decide_families(families_decided, estimates) if row["id"] in planned_ids]
    look = InterimLook(seeds, rows, closed)
    return InterimLook(seeds, rows, closed | {row["id"]: seeds for row in look.open if not is_open(row)})


def _primary_families(
    records: Records, seeds: int, prespecified_ids: Collection[str], closed_rows: Mapping[str, Row]
) -> tuple[Collection[str], list[Family]]:
    """Return the primary comparisons whose recipes have these seeds, and families in which the others count too."""
    prespecified = [pair for pair in primary_comparisons(records.plan.spec) if pair.id in prespecified_ids]
    complete = [
        pair for pair in prespecified if all(_has_seeds(records, label, seeds) for label in labels_of_recipes(pair))
    ]
    results = {
        pair.id: result
        for pair, result in with_pooled_variances([(pair, compute_contrast(records, pair)) for pair in complete])
    }
    comparisons = [
        (pair, results.get(pair.id) or untested_contrast(NO_REASON, pair.contrast.margin)) for pair in prespecified
    ]
    return results.keys(), [family_of(name, family, LOOK_ALPHA, closed_rows) for name, family in families(comparisons)]


def _has_seeds(records: Records, recipe: str, seeds: int) -> bool:
    return records.plan.spec.first_seed + seeds - 1 in records.by_point[recipe]


def primary_comparisons(spec: StudySpec) -> list[PlannedComparison]:
    """Return the primary comparisons of a study."""
    return [pair for pair in study_comparisons(spec) if pair.contrast.role == PRIMARY and not pair.contrast.exploratory]


def labels_of_recipes(pair: PlannedComparison) -> list[str]:
    """Return the labels of the recipes that a comparison rests on, its reference included."""
    return list(dict.fromkeys(point.label for sides in pair.single_comparisons for point in (*sides.a, *sides.b)))


def next_seeds(spec: StudySpec, looks: Sequence[InterimLook]) -> dict[str, int]:
    """Return the seeds that recipes need for the looks so far and the next one.

    Returns:
        Label of a recipe -> its number of seeds, where it has more than the study's.
    """
    by_id = {pair.id: pair for pair in primary_comparisons(spec)}
    seeds_needed: dict[str, int] = {}
    for look, seeds in zip(looks, spec.looks[1:], strict=False):
        seeds_needed |= {label: seeds for row in look.open for label in labels_of_recipes(by_id[row["id"]])}
    return seeds_needed


def has_next_look(spec: StudySpec, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a look is to follow those in rows of `schema.LOOKS`."""
    last = max((row["look"] for row in rows), default=spec.most_seeds)
    return last < spec.most_seeds and any(row["look"] == last and math.isnan(row["closed_at"]) for row in rows)


def worst_case(spec: StudySpec) -> dict[str, int]:
    """Return the seeds of recipes if no comparison is closed before the last look."""
    return {label: spec.most_seeds for pair in primary_comparisons(spec) for label in labels_of_recipes(pair)}


def seeds_of(id: str, looks: Sequence[InterimLook]) -> int:
    """Return the seeds at which a comparison was decided: of the look that closed it, or of its last look."""
    return looks[-1].closed.get(id) or max(look.seeds for look in looks if any(row["id"] == id for row in look.rows))


# Tables of looks.


def look_rows(looks: Sequence[InterimLook]) -> list[Row]:
    """Return rows of `schema.LOOKS`: estimates of every look, with the decision at it or before it."""
    decided = {(row["id"], look.seeds): row for look in looks for row in look.primary}
    rows: list[Row] = []
    for look in looks:
        for row in look.primary:
            at = look.closed.get(row["id"], look.seeds)
            decision = decided[row["id"], at]
            rows.append(
                {
                    **{name: row[name] for name in ("id", *COMPARISON_KEY, *LOOK_COLUMNS)},
                    "look": look.seeds,
                    "alpha": LOOK_ALPHA,
                    **{name: decision[name] for name in DECISION_COLUMNS},
                    "closed_at": look.closed.get(row["id"], math.nan),
                }
            )
    return rows


LOOK_COLUMNS = ("family", "seeds", "value", "low", "high", "p")
"""Columns of contrasts that are of the look itself."""
DECISION_COLUMNS = ("decision", *DECIDING_COLUMNS, "seeds_needed", "reason")
"""Columns of contrasts that are of the look that closed a comparison, else of the last one."""


def contrasts_of(looks: Sequence[InterimLook], max_seeds: int) -> list[Row]:
    """Return rows of `schema.CONTRASTS`: primary ones as their look closed them, or as they are at the last look.

    All others rest on the seeds of the first look, since later seeds were spent by what primary comparisons showed.

    Args:
        looks: The looks, at least one.
        max_seeds: Seeds of the last look that was planned.
    """
    rows = {row["id"]: row for row in looks[0].rows}
    for look in looks[1:]:
        rows |= {row["id"]: row for row in look.primary if look.closed.get(row["id"], look.seeds) == look.seeds}
    closed = looks[-1].closed
    return [
        {**row, "reason": str(reason_of(row) + _early_decision_reason(row, looks, closed[id], max_seeds))}
        if closed.get(id, max_seeds) < max_seeds and row["decision"] in CONCLUSIVE
        else row
        for id, row in rows.items()
    ]


def _early_decision_reason(row: Row, looks: Sequence[InterimLook], seeds: int, max_seeds: int) -> Reason:
    """Return a reason that names a decision before the last look, with the estimate of the last seeds there are."""
    reason = Reason.of(Code.DECIDED_EARLY, seeds=seeds, most=max_seeds, differs=int(row["decision"] in DIFFERENT))
    later = [
        row_of_look
        for look in looks
        for row_of_look in look.primary
        if row_of_look["id"] == row["id"] and look.seeds > seeds
    ]
    if not later or math.isnan(later[-1]["low"]):
        return reason
    last = {name: later[-1][name] for name in ("value", "low", "high", "seeds")}
    return reason + Reason.of(Code.LATER_ESTIMATE, **last)
