"""Looks at primary comparisons: which recipes get more seeds, and what remains of a decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.worlds.studies import SMALL

from assay.core.reasons import reason_of
from assay.plugin import Code, RunFolder, SpecError
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.stats import Contrast, linear_contrast, measure_by_seed
from assay.study.families import PlannedComparison, study_comparisons
from assay.study.interim import carry_out_looks, contrasts_of, look_rows, next_seeds

LOOK_ALPHA = 0.02

LOSSES = ["cross-entropy", "supcon", "triplet", "arcface"]
LOOKS = (4, 8, 16)
AXIS: dict[str, Any] = {"axis": "loss", "against": "cross-entropy", "environment": "reversed"}
PRIMARY = {**AXIS, "role": "primary", "margin": 0.5}
ZERO = np.resize([1.0, -1.0], LOOKS[-1])
"""Values of seeds without an effect: their mean is 0 at every look."""


def study(*contrasts: dict[str, Any], looks: Sequence[int] = LOOKS, **changes: Any) -> StudySpec:
    recipe = {**SMALL["recipe"], "loss": LOSSES}
    return parse_study({**SMALL, "recipe": recipe, "contrasts": list(contrasts), **changes}, looks=looks)


class Records:
    """A plan whose units are all complete: recipe -> its seeds."""

    def __init__(self, spec: StudySpec, seeds: Mapping[str, int], lost: int | None = None) -> None:
        self.spec, self.lost = spec, lost
        self.seeds = {point.label: seeds.get(point.label, spec.seeds) for point in spec.points}
        self.trials = [
            SimpleNamespace(training=SimpleNamespace(seed=spec.first_seed + n)) for n in range(max(self.seeds.values()))
        ]

    def of_first_seeds(self, seeds: int) -> Records:
        kept = {label: min(seeds, own) for label, own in self.seeds.items()}
        return Records(self.spec.model_copy(update={"seeds": min(seeds, self.spec.seeds)}), kept, self.lost)

    def of_recipes(self, labels: Collection[str]) -> Records:
        return Records(self.spec, {label: n if label in labels else 0 for label, n in self.seeds.items()}, self.lost)

    def missing_trials(self, _: RunFolder) -> list[int]:
        return [self.lost] if self.lost is not None and self.lost < max(self.seeds.values()) else []

    def missing_probes(self, _: RunFolder) -> list[int]:
        return []


def carry_out_all(
    monkeypatch: pytest.MonkeyPatch, spec: StudySpec, values: Mapping[str, np.ndarray], lost: int | None = None
) -> tuple[list[Any], Records]:
    """Carry out looks on differences per seed that are known, with as many seeds as looks ask for."""

    def carry_out(records: Any, pair: PlannedComparison) -> Contrast:
        plan = records.plan
        number = min(plan.seeds[pair.a[0].label], plan.seeds[pair.b[0].label])
        where = f" {pair.contrast.environment}" if pair.contrast.environment != AXIS["environment"] else ""
        own, seeds = values[f"{pair.level_a}{where}"][:number], np.arange(number)
        return linear_contrast([measure_by_seed(own, seeds)], np.ones(1), pair.contrast.margin)

    def read(plan: Records) -> tuple[Any, list[Any]]:
        records = plan
        by_point = {label: dict.fromkeys(range(n)) for label, n in records.seeds.items()}
        return SimpleNamespace(plan=records, by_point=by_point), []

    for module in ("contrasts", "interim"):
        monkeypatch.setattr(f"assay.study.{module}.compute_contrast", carry_out)
    beforehand = {pair.id for pair in study_comparisons(spec)}
    records, looks, folder = Records(spec, {}, lost), list[Any](), None
    for _ in spec.looks:
        looks = carry_out_looks(records, folder, beforehand, read, looks)
        records = Records(spec, next_seeds(spec, looks), lost)
    return looks, records


def primary(*losses: str) -> dict[str, Any]:
    return {**PRIMARY, "levels": list(losses)}


def test_only_recipes_of_open_primary_comparisons_get_more_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study(primary("supcon", "triplet"), {**AXIS, "levels": ["arcface"], "environment": "same"})
    values = {"supcon": ZERO + 50, "triplet": ZERO * 2, "arcface same": ZERO}
    looks, records = carry_out_all(monkeypatch, spec, values)
    assert records.seeds == {"cross-entropy": 16, "supcon": 4, "triplet": 16, "arcface": 4}
    assert [[row["a"] for row in look.open] for look in looks] == [["triplet"], ["triplet"], ["triplet"]]
    rows = {row["a"]: row for row in contrasts_of(looks, spec.most_seeds)}
    assert (rows["supcon"]["decision"], rows["supcon"]["seeds"]) == ("higher-beyond", 4)
    assert (rows["triplet"]["decision"], rows["triplet"]["seeds"]) == ("inconclusive", 16)
    assert (rows["arcface"]["role"], rows["arcface"]["seeds"]) == ("secondary", 4)


def test_a_decision_remains_where_a_later_look_would_reverse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of the decided comparison gets more seeds through the other one."""
    spec = study(primary("supcon"), {**primary("supcon"), "environment": "same"})
    turned = np.concatenate([ZERO[:4] * 0.1 + 5, ZERO[4:] * 0.1 - 5])
    values = {"supcon": turned, "supcon same": ZERO * 3}
    looks, records = carry_out_all(monkeypatch, spec, values)
    assert records.seeds["supcon"] == 16
    rows = [row for row in look_rows(looks) if row["id"] == study_comparisons(spec)[0].id]
    assert [round(row["value"], 3) for row in rows] == [5, 0, -2.5]
    assert [(row["decision"], row["closed_at"]) for row in rows] == [("higher-beyond", 4)] * 3
    (row,) = (row for row in contrasts_of(looks, spec.most_seeds) if row["environment"] == "reversed")
    assert (row["decision"], row["seeds"], row["value"]) == ("higher-beyond", 4, 5)
    early, later = reason_of(row).causes
    assert (early.code, early["seeds"], early["most"], early["differs"]) == (Code.DECIDED_EARLY, 4, 16, 1)
    assert (later.code, later["seeds"], later["value"]) == (Code.LATER_ESTIMATE, 16, pytest.approx(-2.5))


def test_a_comparison_that_was_decided_leaves_the_correction_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study(primary("supcon", "triplet", "arcface"))
    values = {"supcon": ZERO + 50, "triplet": ZERO * 2, "arcface": ZERO * 2}
    looks, _ = carry_out_all(monkeypatch, spec, values)
    for look, others in ((looks[0], 2), (looks[1], 2)):
        levels = {row["a"]: row["decision_level"] for row in look.open}
        assert levels["triplet"] == pytest.approx(1 - LOOK_ALPHA / others), "one of three is rejected"


def test_a_level_between_that_of_a_look_and_a_fixed_test_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """p is 0.03 at the first look: shown at 0.05, not at 0.02."""
    spec = study({**primary("supcon"), "margin": 0.01}, {**AXIS, "levels": ["supcon"], "environment": "same"})
    values = {"supcon": np.resize([1.0, -1.0], 16) + 2.2, "supcon same": np.resize([1.0, -1.0], 16) + 2.2}
    looks, _ = carry_out_all(monkeypatch, spec, values)
    first = {row["role"]: row for row in looks[0].rows}
    assert LOOK_ALPHA < first["primary"]["p"] < 0.05
    assert first["primary"]["decision"] == "inconclusive"
    assert first["secondary"]["decision"] == "higher"


def test_a_failed_control_ends_all_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    control = {**AXIS, "levels": ["triplet"], "role": "positive-control", "expected": "higher"}
    spec = study(primary("supcon"), control)
    looks, records = carry_out_all(monkeypatch, spec, {"supcon": ZERO * 2, "triplet": ZERO})
    assert [look.seeds for look in looks] == [4]
    assert set(records.seeds.values()) == {4}
    assert Code.CONTROL_FAILED in reason_of(looks[0].primary[0])


def test_a_look_waits_for_all_of_its_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study(primary("supcon"))
    looks, records = carry_out_all(monkeypatch, spec, {"supcon": ZERO * 2}, lost=6)
    assert [look.seeds for look in looks] == [4]
    assert records.seeds["supcon"] == 8, "planned, and one of them is missing"


def test_a_study_without_a_primary_comparison_is_refused() -> None:
    with pytest.raises(SpecError, match="has no primary comparison that more seeds could decide"):
        study({**AXIS, "levels": ["arcface"]})


@pytest.mark.parametrize("looks", [(2, 4), (4, 4), (8, 4), (3, 4, 5, 6)])
def test_other_looks_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match="give one to 3 rising numbers from 3 on"):
        study(primary("supcon"), looks=looks)


def test_one_that_is_equivalent_still_counts_among_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = study(primary("supcon"), {**primary("triplet"), "environment": "same"})
    values = {"supcon": ZERO * 1e-3, "triplet same": ZERO * 2}
    looks, _ = carry_out_all(monkeypatch, spec, values)
    assert {row["decision"] for row in look_rows(looks) if row["a"] == "supcon"} == {"equivalent"}
    (row,) = looks[1].open
    assert row["decision_level"] == pytest.approx(1 - LOOK_ALPHA / 2)
