from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from tests.worlds.environments import make_probe

from assay.plugin import Factor, FactorTable, Measurement, Model, ModelOutputs, Scene, build, estimated_mean, run_probes
from assay.probes.performance import overall
from assay.probes.probe import groups_of
from assay.report.sentences.reasons import reason_words
from assay.stats import ModelPredictions
from assay.testing.probe import PixelReader, World


def found(measurements: list[Measurement], measure: str, **where: str) -> Measurement:
    wanted = {"environment": "", "factor": "", "level": "", "group": "", **where}
    matches = [m for m in measurements if m.measure == measure and all(getattr(m, k) == v for k, v in wanted.items())]
    assert len(matches) == 1, (measure, where, len(matches))
    return matches[0]


def performance(
    network: PixelReader, world: World, known: dict[str, ModelOutputs] | None = None, threshold: float = 0.5
) -> list[Measurement]:
    """The measurements of the probe, and those that are made of the outputs that it read."""
    result = run_probes(Model(network, threshold=threshold), world, {"p": make_probe("performance")}, known or {})
    return of_all_images(result.reads, world, threshold) + result.measurements["p"]


def of_all_images(reads: Mapping[str, ModelOutputs], scene: Scene, threshold: float = 0.5) -> list[Measurement]:
    tables = {name: scene.environment(name).table for name in scene.names}
    return overall(
        {
            name: (ModelPredictions(reads[name].logits, one.target, threshold), one.patient)
            for name, one in tables.items()
        }
    )


def test_a_model_of_the_core_factor_is_perfect_everywhere() -> None:
    for m in performance(PixelReader({"margin": 20.0}), World()):
        if m.measure in ("auroc", "accuracy", "sensitivity", "specificity", "average-precision") and not np.isnan(
            m.value
        ):
            assert m.value == 1, m


def test_a_model_of_the_tag_falls_with_the_association() -> None:
    """AUROC is (1 + D) / 2 with D the tag's association, here read off the table's counts."""
    world = World(n=2000)
    measurements = performance(PixelReader({"tag": 3.0}), world)
    for name in world.names:
        rows = world.tables[name]
        tag, target = rows.columns["tag"], rows.target
        d = tag[target == 1].mean() - tag[target == 0].mean()
        assert found(measurements, "auroc", environment=name).value == pytest.approx((1 + d) / 2)
    worst = found(measurements, "auroc", group="worst environment")
    assert reason_words(worst.reason) == "in reversed"
    assert worst.value == found(measurements, "auroc", environment="reversed").value
    assert reason_words(found(measurements, "log-loss", group="worst environment").reason) == "in reversed"


def test_a_constant_model_is_at_chance_and_says_so_without_inventing() -> None:
    measurements = performance(PixelReader(), World())
    auroc = found(measurements, "auroc", environment="same")
    assert (auroc.value, auroc.chance) == (0.5, 0.5)
    precision = found(measurements, "average-precision", environment="same")
    assert precision.value == pytest.approx(precision.chance)
    assert found(measurements, "log-loss", environment="same").value == pytest.approx(np.log(2))


def test_worst_group_of_a_tag_model_is_the_conflict() -> None:
    world = World(n=1000)
    measurements = performance(PixelReader({"tag": 3.0}), world)
    worst = found(measurements, "accuracy", environment="same", group="worst group")
    assert worst.value == 0
    assert reason_words(worst.reason) in ("in tag absent malignant", "in tag present benign")
    cell = (world.tables["same"].columns["tag"] == 0) & (world.tables["same"].target == 1)
    absent = found(measurements, "accuracy", environment="same", factor="tag", level="absent", group="malignant")
    assert absent.n == cell.sum()
    by_tag = found(measurements, "auroc", environment="same", factor="tag", level="present")
    assert by_tag.value == 0.5  # the tag says nothing where it does not vary


def test_groups_too_small_to_count_are_measured_but_are_not_the_worst() -> None:
    world = World(n=60)
    probe = make_probe("performance", smallest_group=1000)
    measurements = run_probes(Model(PixelReader({"tag": 3.0})), world, {"p": probe}).measurements["p"]
    worst = found(measurements, "accuracy", environment="same", group="worst group")
    assert reason_words(worst.reason) == "no group of at least 1000 images has it"
    assert any(m.factor == "tag" and m.measure == "accuracy" for m in measurements)


def test_the_threshold_is_the_models_own() -> None:
    """Tag absent: probability 1 / (1 + e^1.5) = 0.18; present: 0.82."""
    world = World()
    strict = performance(PixelReader({"tag": 3.0}), world, threshold=0.9)
    lenient = performance(PixelReader({"tag": 3.0}), world, threshold=0.1)
    assert found(strict, "sensitivity", environment="same").value == 0
    assert found(strict, "specificity", environment="same").value == 1
    assert found(lenient, "sensitivity", environment="same").value == 1


def test_one_class_gives_nan_with_the_reason() -> None:
    world = World()
    rows = world.tables["same"]
    world.tables["malignant only"] = rows.take(rows.target == 1)
    measurements = performance(PixelReader({"tag": 3.0}), world)
    for measure in ("auroc", "average-precision", "specificity"):
        m = found(measurements, measure, environment="malignant only")
        assert np.isnan(m.value)
        assert reason_words(m.reason) == "no image of the negative class"
    assert found(measurements, "sensitivity", environment="malignant only").value > 0.5
    assert reason_words(found(measurements, "auroc", group="worst environment").reason) == "in reversed"


def test_several_classes_stand_each_and_as_stated_mean() -> None:
    world, draw = World(), np.random.default_rng(0)
    known: dict[str, ModelOutputs] = {}
    for name in world.names:
        rows = world.tables[name]
        world.tables[name] = replace(rows, target=rows.row % 3, classes=("a", "b", "c"))
        known[name] = ModelOutputs(draw.normal(size=(len(rows), 3)).astype(np.float32), {})
    measurements = performance(PixelReader(), world, known)
    logits = known["same"].logits.astype(float)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = world.tables["same"].target
    each = [roc_auc_score(target == c, p[:, c]) for c in range(3)]
    assert found(measurements, "auroc-macro", environment="same").value == pytest.approx(np.mean(each))
    for c, name in enumerate("abc"):
        assert found(measurements, "auroc", environment="same", level=name).value == pytest.approx(each[c])
        precision = found(measurements, "average-precision", environment="same", level=name)
        assert precision.value == pytest.approx(average_precision_score(target == c, p[:, c]))
    assert not any(m.measure == "sensitivity" for m in measurements)


def test_nothing_is_read_that_is_known() -> None:
    world, network = World(), PixelReader()
    known = {name: ModelOutputs(np.zeros((world.n, 2), np.float32), {}) for name in world.names}
    run_probes(Model(network), world, {"p": make_probe("performance")}, known)
    assert network.passes == 0


# --- standard errors ------------------------------------------------------------------------------------------------


def test_auroc_error_is_delongs_where_a_patient_has_one_image() -> None:
    """DeLong, DeLong and Clarke-Pearson (1988) by their definition, pair by pair."""
    world, draw = World(n=80), np.random.default_rng(1)
    target = world.tables["same"].target
    score = draw.normal(size=80) + target
    known = {"same": ModelOutputs(np.stack([np.zeros(80), score], axis=1), {})}
    measurements = performance(PixelReader(), world, known)
    pairs = (score[target == 1][:, None] > score[target == 0][None]).astype(float)
    by_hand = np.sqrt(sum(pairs.mean(axis).var(ddof=1) / pairs.shape[1 - axis] for axis in (0, 1)))
    assert found(measurements, "auroc", environment="same").standard_error == pytest.approx(by_hand)


def test_errors_are_over_patients() -> None:
    """Every patient's image four times over: the errors are those of one image each."""
    once = World(n=100)
    draw = np.random.default_rng(2)
    logits = {name: draw.normal(size=(100, 2)) for name in once.names}
    often = World(tables={name: rows.take(np.repeat(np.arange(100), 4)) for name, rows in once.tables.items()})
    results = [
        performance(
            PixelReader(), world, {k: ModelOutputs(np.repeat(v, copies, axis=0), {}) for k, v in logits.items()}
        )
        for world, copies in ((once, 1), (often, 4))
    ]
    for measure in ("auroc", "accuracy", "brier", "log-loss", "sensitivity"):
        one, four = (found(each, measure, environment="same") for each in results)
        assert four.value == pytest.approx(one.value)
        assert four.standard_error == pytest.approx(one.standard_error, rel=1e-6)
        assert (one.patients, four.patients, four.n) == (100, 100, 400)


def mean_with_error(values: np.ndarray, patient: np.ndarray) -> tuple[float, float]:
    found = estimated_mean(Measurement("flip-rate", 0.0), values, patient)
    return found.value, found.standard_error


def test_a_mean_with_one_image_per_patient_has_the_usual_error() -> None:
    values = np.random.default_rng(2).normal(size=50)
    assert mean_with_error(values, np.arange(50))[1] == pytest.approx(values.std(ddof=1) / np.sqrt(50))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(3, 30), st.integers(0, 2**32 - 1))
def test_copies_of_an_image_add_no_witness(copies: int, n: int, seed: int) -> None:
    """Each patient's image repeated: the error over patients stays, the one over images would shrink."""
    draw = np.random.default_rng(seed)
    values, patient = draw.normal(size=n), np.arange(n)
    once, often = (
        mean_with_error(values, patient),
        mean_with_error(np.repeat(values, copies), np.repeat(patient, copies)),
    )
    assert often == pytest.approx(once)


def test_the_error_over_patients_covers_patients_with_effects_of_their_own() -> None:
    """Means of 40 patients x 5 images with a patient effect: the average claimed error is the true one, within 10%."""
    draw = np.random.default_rng(3)
    patient = np.repeat(np.arange(40), 5)
    means, errors = zip(
        *(mean_with_error(draw.normal(size=40)[patient] + draw.normal(size=200), patient) for _ in range(2000)),
        strict=True,
    )
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


# --- groups ---------------------------------------------------------------------------------------------------------


def test_halves_are_cut_at_the_reference_median_and_missing_values_are_in_none() -> None:
    size = Factor("size", "continuous", unit="mm")
    reference = _column(size, np.array([1.0, 2.0, 3.0, np.nan]))
    groups = {g.level: g.rows.tolist() for g in groups_of(_column(size, np.array([9.0, 2.0, np.nan, 2.1])), reference)}
    assert groups == {"low half": [False, True, False, False], "high half": [True, False, False, True]}


def test_a_factor_that_does_not_vary_makes_no_groups() -> None:
    size = Factor("size", "continuous")
    assert groups_of(_column(size, np.ones(4)), _column(size, np.arange(4.0))) == []
    assert groups_of(_column(size, np.full(4, np.nan)), _column(size, np.full(4, np.nan))) == []


def _column(factor: Factor, values: np.ndarray) -> FactorTable:
    rows = np.arange(len(values))
    return FactorTable(rows, rows % 2, rows, ("no", "yes"), (factor,), {factor.name: values})


def test_the_catalog_builds_it() -> None:
    assert build("probe", "performance", {"smallest_group": 7}).smallest_group == 7


def test_two_numbers_are_two_groups_and_a_common_greatest_value_is_the_high_half() -> None:
    flag = Factor("flag", "continuous")
    ones = _column(flag, np.array([0.0, 1.0, 1.0, 1.0]))
    assert {g.level: g.rows.tolist() for g in groups_of(ones, ones)} == {
        "0": [True, False, False, False],
        "1": [False, True, True, True],
    }
    common = _column(flag, np.array([1.0, 2.0, 3.0, 3.0, 3.0]))
    assert {g.level: int(g.rows.sum()) for g in groups_of(common, common)} == {"low half": 2, "high half": 3}
