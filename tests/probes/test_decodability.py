from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.probes.test_performance import found
from tests.worlds.environments import make_probe
from torch import nn

from assay.core.seeds import folds_by_patient
from assay.plugin import Code, Factor, FactorTable, Measurement, Model, Probe, Reason, build, run_probes
from assay.probes.decodability import FeatureSpace, decoding_tasks, mean_pixels, score_spaces
from assay.report.sentences.reasons import reason_words
from assay.testing.probe import FACTORS, PixelReader, PlantedImages, World, table

BATCH = 64

NAMES = tuple(factor.name for factor in FACTORS)


def decodability(network: nn.Module, world: World | None = None, probe: Probe | None = None, **settings: object):
    model = Model(network, layers=("vector",), **settings)  # type: ignore[arg-type]
    return run_probes(model, world or World(), {"d": probe or make_probe("decodability")}).measurements["d"]


def at(
    measurements: list[Measurement], factor: str, group: str = "trained", environment: str = "independent"
) -> Measurement:
    layer = "" if group == "pixels" else "vector"
    (one,) = [
        m for m in measurements if (m.measure, m.factor, m.group, m.layer) == ("decodability", factor, group, layer)
    ]
    assert one.environment == environment
    return one


# --- known truths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carried", [("tag",), ("margin",), ("tag", "margin"), NAMES, ()])
def test_exactly_what_a_layer_carries_is_decoded_from_it(carried: tuple[str, ...]) -> None:
    measurements = decodability(PixelReader({"margin": 1.0}, carried=carried))
    for name in NAMES:
        m = at(measurements, name)
        if name in carried:
            assert m.value > 0.999
        else:
            assert abs(m.value - 0.5) < 4 * m.standard_error
            assert m.standard_error < 0.04


def test_encoded_is_not_used() -> None:
    """A layer carries the tag, the logit ignores it: decodability is full and reliance is nothing."""
    model = Model(PixelReader({"margin": 1.0, "noise": 1.0}, carried=("tag",)), layers=("vector",))
    both = run_probes(
        model, World(), {"decodability": make_probe("decodability"), "reliance": make_probe("reliance")}
    ).measurements
    assert at(both["decodability"], "tag").value > 0.999
    assert abs(found(both["reliance"], "sobol-total", factor="tag").value) < 1e-9
    assert found(both["reliance"], "flip-rate", factor="tag", environment="neutral").value == 0


def test_used_is_not_encoded_in_that_layer() -> None:
    """The logit reads the tag around the layer: reliance is full, and the layer knows nothing of it."""
    model = Model(PixelReader({"tag": 2.0, "noise": 0.1}, carried=("margin",)), layers=("vector",))
    both = run_probes(
        model, World(), {"decodability": make_probe("decodability"), "reliance": make_probe("reliance")}
    ).measurements
    m = at(both["decodability"], "tag")
    assert abs(m.value - 0.5) < 4 * m.standard_error
    assert found(both["reliance"], "sobol-total", factor="tag").value > 0.9


def test_references_untrained_shuffled_and_pixels() -> None:
    network = PixelReader({"margin": 1.0}, carried=("tag",))
    measurements = decodability(network, untrained=lambda: PixelReader(carried=("size",)))
    assert at(measurements, "tag", "trained").value > 0.999
    assert at(measurements, "size", "untrained").value > 0.999
    for name in NAMES:
        assert at(measurements, name, "pixels").value > 0.99
        shuffled = at(measurements, name, "shuffled")
        assert abs(shuffled.value - 0.5) < 4 * shuffled.standard_error
    untrained = at(measurements, "tag", "untrained")
    assert abs(untrained.value - 0.5) < 4 * untrained.standard_error
    assert {m.chance for m in measurements} == {0.5}


def test_a_shortcut_through_the_patient_does_not_pass_for_decoding() -> None:
    """A layer that knows who the patient is, a factor drawn per patient: chance on new patients."""
    n, per = 300, 6
    rows = np.arange(n)
    patient = rows // per
    value = (np.random.default_rng(0).random(n // per) < 0.5).astype(np.int64)[patient]
    sex = Factor("sex", "categorical", "patient", levels=("f", "m"), high=("m",))
    rows_of = FactorTable(rows, rows % 2, patient, ("a", "b"), (sex,), {"sex": value})
    identity = np.eye(n // per)[patient] + 0.01 * np.random.default_rng(1).normal(size=(n, n // per))
    (score,) = score_spaces(
        [FeatureSpace("trained", "x", identity)],
        decoding_tasks(rows_of, 5, False),
        folds_by_patient(patient, 5, 0),
        patient,
        0,
    )["sex"]
    assert abs(score.value - 0.5) < 4 * score.error
    by_image = score_spaces(
        [FeatureSpace("trained", "x", identity)], decoding_tasks(rows_of, 5, False), rows % 5, patient, 0
    )["sex"][0]
    assert by_image.value > 0.95  # what folds over images would have claimed


def test_a_factor_tied_to_the_target_is_decoded_within_a_class() -> None:
    """The layer carries the class alone. Over all rows the tag, tied to the class, would seem encoded."""
    world = World()
    probe = make_probe("decodability", environment="same")
    measurements = decodability(PixelReader(carried=("margin",)), world, probe)
    tag = at(measurements, "tag", environment="same")
    assert tag.unit == "AUROC within class"
    assert abs(tag.value - 0.5) < 4 * tag.standard_error
    assert at(measurements, "size", environment="same").unit == "AUROC within class"  # untied, and the same question
    margin = at(measurements, "margin", environment="same")
    assert margin.reason == Reason.of(Code.CONSTANT_WITHIN_CLASS, folds=5)
    carried = decodability(PixelReader(carried=("tag",)), world, probe)
    assert at(carried, "tag", environment="same").value > 0.999


def test_the_question_hangs_on_how_rows_came_about_and_never_on_a_tie_that_is_measured() -> None:
    """Images from files: every fold and seed asks within a class, whether a factor happens to be tied there or not."""
    files, drawn = World(has_phantom=False), World()
    assert {row.unit for row in decodability(PixelReader(), files) if row.measure == "decodability"} == {
        "AUROC within class"
    }
    assert {row.unit for row in decodability(PixelReader(), drawn) if row.measure == "decodability"} == {"AUROC"}


# --- what is undefined, and what is left out ------------------------------------------------------------------------


def test_constant_factor_and_constant_layer_give_nan_with_the_reason() -> None:
    world = World()
    rows = world.tables["independent"]
    world.tables["independent"] = rows.with_column(rows.factor("size"), np.full(len(rows), 7.0))
    size = at(decodability(PixelReader(), world), "size")
    assert np.isnan(size.value)
    assert reason_words(size.reason) == "constant: no two values that 5 patients have"

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vector = nn.Identity()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.vector(torch.full((len(images), 3), 0.1))
            return images[:, 0, 0, :2]

    assert at(decodability(Constant()), "tag").reason == Reason.of(Code.CONSTANT_LAYER)


def test_missing_values_are_left_out_and_counted() -> None:
    measurements = decodability(PixelReader(), World(missing={"size": 0.25, "tag": 1.0}))
    assert at(measurements, "size").n == 300
    assert at(measurements, "size").value > 0.999
    assert at(measurements, "margin").n == 400
    assert reason_words(at(measurements, "tag").reason) == "no image has a value"
    missing = {m.factor: m.value for m in measurements if m.measure == "missing"}
    assert missing == {"size": 100, "tag": 400}


def test_fewer_patients_than_folds_is_said() -> None:
    world = World(n=12, per_patient=4)
    assert at(decodability(PixelReader(), world), "tag").reason == Reason.of(Code.FEW_PATIENTS, patients=3, folds=5)


def test_a_model_without_layers_says_so() -> None:
    (one,) = run_probes(Model(PixelReader()), World(), {"d": make_probe("decodability")}).measurements["d"]
    assert reason_words(one.reason) == "the model names no layers to read"


def test_fewer_images_than_features() -> None:
    """Sixty images, 3,000 features of which one carries the factor strongly: decoded, and noise is at chance."""
    draw = np.random.default_rng(0)
    rows = table(60, core=False)
    noise = draw.normal(size=(60, 3000))
    with_tag = np.concatenate([noise, np.repeat(20 * rows.columns["tag"][:, None], 200, axis=1)], axis=1)
    fold = folds_by_patient(rows.patient, 5, 0)
    spaces = [FeatureSpace("trained", "noise", noise), FeatureSpace("trained", "tag", with_tag)]
    without, carried = score_spaces(spaces, decoding_tasks(rows, 5, False), fold, rows.patient, 0)["tag"]
    assert abs(without.value - 0.5) < 4 * without.error
    assert carried.value > 0.95


# --- questions ------------------------------------------------------------------------------------------------------


def question_of(factor: Factor, values: np.ndarray, folds: int = 2):
    rows = np.arange(len(values))
    (task,) = decoding_tasks(
        FactorTable(rows, 0 * rows, rows, ("a", "b"), (factor,), {factor.name: values}), folds, False
    )
    return task


def test_halves_are_the_most_even_cut_and_any_monotone_scale_gives_the_same() -> None:
    grades = Factor("grade", "ordinal", levels=("1", "2", "3", "4", "5"))
    values = np.array([0, 0, 1, 2, 2, 2, 2, 3, 4, 4, 1, 1])
    (question,) = question_of(grades, values).targets
    np.testing.assert_array_equal(question.positive[:, 0], values > 1)
    size = Factor("size", "continuous")
    (one,), (two,) = (question_of(size, v).targets for v in (values + 1.0, np.exp(values)))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.positive, two.positive)


def test_levels_are_asked_one_against_the_rest_and_rare_ones_not_at_all() -> None:
    maker = Factor("maker", "categorical", levels=("a", "b", "c", "d"), high=("a",))
    values = np.array([0, 1, 2] * 10 + [3])
    (question,) = question_of(maker, values).targets
    assert question.positive.shape == (31, 3)
    np.testing.assert_array_equal(question.positive.sum(0), [10, 10, 10])
    (pair,) = question_of(maker, np.array([0, 3] * 5)).targets
    assert pair.positive.shape == (10, 1)
    assert question_of(maker, np.array([0] * 9 + [1])).reason == Reason.of(Code.CONSTANT_FACTOR, folds=2)


def test_three_levels_are_the_mean_of_three_aurocs() -> None:
    """A layer that knows level 0 only: one AUROC is 1, the others are those of what knowing level 0 leaves, 3 / 4."""
    n = 600
    rows = np.arange(n)
    levels = np.random.default_rng(0).integers(0, 3, n)
    maker = Factor("maker", "categorical", levels=("a", "b", "c"), high=("a",))
    table_ = FactorTable(rows, rows % 2, rows, ("a", "b"), (maker,), {"maker": levels})
    layer = (levels == 0).astype(float)[:, None]
    (score,) = score_spaces(
        [FeatureSpace("trained", "x", layer)], decoding_tasks(table_, 5, False), folds_by_patient(rows, 5, 0), rows, 0
    )["maker"]
    assert score.value == pytest.approx((1 + 0.75 + 0.75) / 3, abs=0.02)


def test_folds_hold_whole_patients_in_equal_numbers_and_follow_the_seed() -> None:
    patient = np.repeat(np.arange(50), 3)
    fold = folds_by_patient(patient, 5, 0)
    assert all(len(set(fold[patient == p])) == 1 for p in range(50))
    assert np.bincount(fold).tolist() == [30] * 5
    assert not np.array_equal(fold, folds_by_patient(patient, 5, 1))
    part = patient < 40
    np.testing.assert_array_equal(folds_by_patient(patient, 5, 0), fold)
    assert len(np.unique(folds_by_patient(patient[part], 5, 0))) == 5


# --- errors, speed, pixels, catalog -------------------------------------------------------------------------------


def test_errors_are_those_of_repetition() -> None:
    """200 tables of 75 patients x 2 images with noisy features: the claimed error is the spread, within 25%."""
    values, errors = [], []
    for seed in range(200):
        rows = table(150, seed, per_patient=2, core=False)
        draw = np.random.default_rng(seed)
        layer = draw.normal(size=(150, 4)) + rows.columns["tag"][:, None] * 0.5
        space = FeatureSpace("trained", "x", layer)
        (score,) = score_spaces(
            [space], decoding_tasks(rows, 5, False), folds_by_patient(rows.patient, 5, seed), rows.patient, seed
        )["tag"]
        values.append(score.value)
        errors.append(score.error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)


def test_pixels_are_block_means() -> None:
    class Big:
        shape = (2, 32, 32)

        def __len__(self) -> int:
            return 300

        def read(self, index: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.random.default_rng(0).random((300, 2, 32, 32), dtype=np.float32)[index])

    blocks = Big().read(np.arange(300)).reshape(300, 2, 8, 4, 8, 4).mean((3, 5)).flatten(1).numpy()
    np.testing.assert_allclose(mean_pixels(Big()), blocks, atol=1e-6)
    rows = table(3)
    assert mean_pixels(PlantedImages(rows.columns, rows.row)).shape == (3, 64)


def test_the_catalog_checks_its_arguments() -> None:
    assert build("probe", "decodability", {"folds": 3}).folds == 3
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        build("probe", "decodability", {"folds": 1})


def test_one_pass_for_each_network() -> None:
    networks = [PixelReader(), PixelReader()]
    model = Model(networks[0], layers=("vector", "copy"), untrained=lambda: networks[1])
    run_probes(model, World(n=200), {"a": make_probe("decodability"), "b": make_probe("decodability", folds=2)})
    assert [network.passes for network in networks] == [-(-200 // BATCH)] * 2
