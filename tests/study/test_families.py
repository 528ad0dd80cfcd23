"""Families, roles and means of contrasts, from the study file to rows of comparisons."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.worlds.studies import SMALL

from assay.plugin import Reason, SpecError
from assay.report.words import comparison_name
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.stats.compare import untested_contrast
from assay.stats.decisions import decide_families
from assay.study.contrasts import carry_out_comparisons
from assay.study.families import comparison_columns, families, study_comparisons
from assay.study.registration import read_prespecified, state

AXIS = {"axis": "loss", "against": "cross-entropy"}
LOSSES = ["cross-entropy", "supcon", "triplet", "arcface"]


def study(*contrasts: dict[str, Any], **changes: Any) -> StudySpec:
    recipe = {**SMALL["recipe"], "loss": LOSSES}
    environments = {**SMALL["environments"], "neutral": {"association": {"texture": 0}}}
    whole = {**SMALL, "recipe": recipe, "environments": environments, "contrasts": list(contrasts)}
    return parse_study({**whole, **changes})


def of(environment: str, **more: Any) -> dict[str, Any]:
    return {**AXIS, "environment": environment, **more}


def test_a_mean_over_recipes_is_one_comparison(snapshot: SnapshotAssertion) -> None:
    spec = study(of("reversed", mean_over=["loss"]), of("same", mean_over={"loss": ["supcon", "triplet"]}))
    first, second = study_comparisons(spec)
    assert [len(pair.members) for pair in (first, second)] == [3, 2]
    assert comparison_name(comparison_columns(second)) == snapshot
    assert {point.coordinates["loss"] for point in second.b} == {"cross-entropy"}


def test_a_mean_over_factors_has_a_member_for_each() -> None:
    words = {**AXIS, "levels": ["supcon"], "measure": "decodability", "layer": "trunk"}
    probes = ["performance", "decodability"]
    spec = study({**words, "mean_over": {"factor": ["position_x", "position_y"]}}, probes=probes)
    (pair,) = study_comparisons(spec)
    assert [one.contrast.factor for one in pair.members] == ["position_x", "position_y"]
    assert "Mean decodability of position x and y" in comparison_name(comparison_columns(pair))
    with pytest.raises(SpecError, match="no such factor"):
        study({**words, "mean_over": {"factor": ["position_x", "position_z"]}}, probes=probes)
    with pytest.raises(SpecError, match="the factors are those of `mean_over`"):
        study({**words, "factor": "size", "mean_over": {"factor": ["position_x", "position_y"]}}, probes=probes)


DOSED: dict[str, Any] = {
    "environments": {
        "train": {"dose": {"confounder": ["tag", "low-pass", "sex"], "p": [0, 0.2, 0.5, 1]}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
    },
    "data": {"phantom": "chest", "size": 64, "train": 60, "validation": 30, "test": 60, "core": "mass"},
    "probes": ["performance", {"reliance": {"sobol": False}}],
}


def test_a_mean_over_doses_and_confounders_keeps_p_of_zero() -> None:
    over = {"confounder": ["tag", "low-pass"], "p": [0.2, 0.5]}
    spec = study(of("reversed", levels=["supcon"], at="dose-response", mean_over=over), **DOSED)
    (pair,) = study_comparisons(spec)
    assert len(pair.members) == 2
    for member, confounder in zip(pair.members, ("tag", "low-pass"), strict=True):
        assert [point.coordinates["p"] for point in member.a] == ["0", "0.2", "0.5"]
        assert {point.coordinates["confounder"] for point in (*member.a, *member.b)} == {confounder}


def test_a_mean_that_the_grid_lacks_is_refused() -> None:
    grid = {"only": [{"texture": 0.9}, {"texture": 0.5, "loss": ["cross-entropy", "supcon"]}]}
    train = {"association": {"texture": [0.9, 0.5]}}
    environments = {**SMALL["environments"], "train": train}
    with pytest.raises(SpecError, match="lacks some"):
        study(of("same", levels=["triplet"], mean_over=["texture"]), grid=grid, environments=environments)


def test_primary_families_come_first_and_are_corrected_on_their_own() -> None:
    spec = study(
        of("same"),
        of("reversed", levels=["supcon"], role="primary", margin=0.05, family="b"),
        of("reversed", levels=["triplet"], role="primary", margin=0.05),
        of("neutral", levels=["arcface"], role="positive-control", expected="lower"),
        of("neutral", levels=["supcon"], family="side"),
    )
    found = [(pair, untested_contrast(Reason())) for pair in study_comparisons(spec)]
    made = [(name, [pair.level_a for pair, _ in family]) for name, family in families(found)]
    assert made == [
        ("b", ["supcon"]),
        ("primary", ["triplet"]),
        ("stated", ["supcon", "triplet", "arcface"]),
        ("side", ["supcon"]),
        ("positive-control", ["arcface"]),
    ]


def nothing(point: Any, environment: str) -> None:
    """No panel of any recipe."""


def no_seed(point: Any) -> list[int]:
    return []


@pytest.mark.parametrize("change", [{"margin": 0.1}, {"role": "secondary"}, {"family": "other"}])
def test_a_margin_role_or_family_that_is_changed_after_results_is_exploratory(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    words = of("reversed", levels=["supcon"], role="primary", margin=0.05, family="main")
    before, after = study(words), study({**words, **change})
    state(tmp_path, before, results_exist=False)
    state(tmp_path, after, results_exist=True)
    assert read_prespecified(tmp_path, after).pairs == frozenset()
    none: Any = SimpleNamespace(plan=SimpleNamespace(spec=after), panel=nothing, kept_seeds=no_seed)
    (row,) = decide_families(carry_out_comparisons(none, read_prespecified(tmp_path, after).pairs), [])
    assert (row["family"], row["exploratory"]) == ("exploratory", True)
