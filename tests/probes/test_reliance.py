from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.probes.test_performance import found
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Code, Component, Measurement, Model, SpecError, build, run_probes
from assay.report.sentences.reasons import reason_words
from assay.testing.probe import PIXELS, PixelReader, World, table

HIGH_TO_LOW = "high to low"
LOW_TO_HIGH = "low to high"

EVERY = (*PIXELS, "nuisance")
# Variances of the pixels in the design: two binary factors, thirds {0, 0.5, 1}, a uniform, the mean of 8 uniforms.
VARIANCE = {"margin": 1 / 4, "tag": 1 / 4, "texture": 1 / 6, "size": 1 / 12, "nuisance": 1 / 96}


def reliance(network: nn.Module, world: World | None = None, **settings: object) -> list[Measurement]:
    model = Model(network, **settings)  # type: ignore[arg-type]
    return run_probes(model, world or World(), {"r": make_probe("reliance")}).measurements["r"]


def index(measurements: list[Measurement], measure: str, factor: str) -> Measurement:
    return found(measurements, measure, factor=factor)


def effect(measurements: list[Measurement], measure: str, factor: str, group: str = "") -> Measurement:
    return found(measurements, measure, factor=factor, group=group, environment="neutral")


def weights_of(**weights: float) -> PixelReader:
    return PixelReader(weights)


ADDITIVE = {
    "only the tag": {"tag": 2.0, "noise": 0.5},
    "only the margin": {"margin": 2.0, "noise": 0.5},
    "both": {"tag": 1.0, "margin": 2.0, "noise": 0.5},
    "only the size": {"size": -3.0, "noise": 0.5},
    "all": {"tag": 1.0, "margin": 1.0, "texture": -1.0, "size": 1.0, "noise": 1.0},
}


@pytest.mark.parametrize("case", ADDITIVE)
def test_sobol_says_exactly_what_an_additive_model_reads(case: str) -> None:
    weights = {("nuisance" if name == "noise" else name): w for name, w in ADDITIVE[case].items()}
    measurements = reliance(PixelReader(ADDITIVE[case]))
    whole = sum(w**2 * VARIANCE[name] for name, w in weights.items())
    for name in EVERY:
        share = weights.get(name, 0.0) ** 2 * VARIANCE[name] / whole
        for measure in ("sobol-first", "sobol-total"):
            m = index(measurements, measure, name)
            assert abs(m.value - share) <= 4 * m.standard_error + 1e-9
            assert m.n == 1024
            if name not in weights:
                assert abs(m.value) < 1e-9


@pytest.mark.parametrize("case", ADDITIVE)
def test_interventions_say_exactly_what_an_additive_model_reads(case: str) -> None:
    """High minus low moves the logit by the weight; the unit is the logit's own spread within a class."""
    world, weights = World(), ADDITIVE[case]
    measurements = reliance(PixelReader(weights), world)
    rows = world.neutral().table
    images = world.neutral().images.read(np.arange(len(rows)))
    with torch.inference_mode():
        logits = PixelReader(weights)(images).double().numpy()
    score = logits[:, 1] - logits[:, 0]
    unit = np.sqrt(
        sum(((score[rows.target == c] - score[rows.target == c].mean()) ** 2).sum() for c in (0, 1)) / len(rows)
    )
    for name in PIXELS:
        expected = weights.get(name, 0.0) / unit
        assert effect(measurements, "logit-effect", name).value == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert effect(measurements, "logit-effect-absolute", name).value == pytest.approx(
            abs(expected), rel=1e-4, abs=1e-6
        )
        if name not in weights:
            assert effect(measurements, "flip-rate", name).value == 0


def test_flips_follow_the_threshold() -> None:
    """The tag moves the logit from -1.5 to 1.5 and decides alone, unless the threshold lies beyond both."""
    network = PixelReader({"tag": 3.0, "noise": 0.01})
    assert effect(reliance(network), "flip-rate", "tag").value == 1
    assert effect(reliance(network, threshold=0.95), "flip-rate", "tag").value == 0


def test_directions_start_from_the_rows_own_value() -> None:
    world = World()
    measurements = reliance(PixelReader({"tag": 3.0, "size": 1.0, "noise": 0.1}), world)
    present = world.neutral().table.columns["tag"] == 1
    up, down = (effect(measurements, "logit-effect", "tag", group) for group in (LOW_TO_HIGH, HIGH_TO_LOW))
    assert (up.n, down.n) == ((~present).sum(), present.sum())
    assert up.value == pytest.approx(-down.value, rel=1e-5)
    assert up.value == pytest.approx(effect(measurements, "logit-effect", "tag").value, rel=1e-5)
    # A continuous factor moves from where it is: on average three quarters of the range, not all of it.
    whole, part = (effect(measurements, "logit-effect", "size", group).value for group in ("", LOW_TO_HIGH))
    size = world.neutral().table.columns["size"]
    assert part / whole == pytest.approx((20 - size[size <= 12]).mean() / 16, rel=1e-4)


def test_directions_differ_where_the_model_is_not_symmetric() -> None:
    """An interaction: the tag matters on the side of high texture only, through its product with it."""
    measurements = reliance(PixelReader({"noise": 0.1}, product=("tag", "texture")))
    assert (
        abs(effect(measurements, "logit-effect", "tag").value)
        < 3 * effect(measurements, "logit-effect", "tag").standard_error
    )
    assert effect(measurements, "logit-effect-absolute", "tag").value > 0.5
    for name in ("tag", "texture"):
        first, total = index(measurements, "sobol-first", name), index(measurements, "sobol-total", name)
        assert abs(first.value) < 4 * first.standard_error
        assert total.value > 0.9
    assert abs(index(measurements, "sobol-total", "margin").value) < 1e-9


def test_an_intervention_that_neutral_rows_lack_is_off_in_all_of_them() -> None:
    class Clean(World):
        """Neutral rows have no tag, in the images or as a column."""

        def neutral(self):
            off = self.counterfactual("tag", "low")
            columns = {name: column for name, column in off.table.columns.items() if name != "tag"}
            return replace(off, name="neutral", table=replace(off.table, columns=columns))

    measurements = reliance(PixelReader({"tag": 3.0, "noise": 0.1}), Clean())
    up, both = (effect(measurements, "logit-effect", "tag", group) for group in (LOW_TO_HIGH, ""))
    assert up.n == 400
    assert up.value == both.value
    none = effect(measurements, "flip-rate", "tag", HIGH_TO_LOW)
    assert np.isnan(none.value)
    assert reason_words(none.reason) == "no neutral image is on that side"


def test_rows_without_a_value_are_on_neither_side() -> None:
    measurements = reliance(PixelReader({"tag": 3.0, "noise": 0.1}), World(missing={"tag": 0.5}))
    sides = [effect(measurements, "flip-rate", "tag", group).n for group in (LOW_TO_HIGH, HIGH_TO_LOW)]
    assert sum(sides) == 200
    assert effect(measurements, "flip-rate", "tag").n == 400


def test_a_constant_model_relies_on_nothing_that_can_be_named() -> None:
    measurements = reliance(PixelReader(offset=0.3))
    for measure in ("sobol-first", "sobol-total"):
        m = index(measurements, measure, "tag")
        assert np.isnan(m.value)
        assert reason_words(m.reason) == "the output is constant over the design"
    m = effect(measurements, "flip-rate", "tag")
    assert np.isnan(m.value)
    assert m.reason.codes == (Code.FAR_FROM_THRESHOLD,)
    m = effect(measurements, "logit-effect", "tag")
    assert reason_words(m.reason) == "the logit does not vary within a class on neutral images, so it has no unit"


def test_no_flip_is_no_finding_where_all_images_are_far_from_the_threshold() -> None:
    """The tag moves the logit by two thirds of its spread; 20 below the threshold nothing can flip."""
    network = PixelReader({"tag": 2.0, "noise": 10.0})
    assert effect(reliance(network), "flip-rate", "tag").value > 0
    far = reliance(PixelReader({"tag": 2.0, "noise": 10.0}, offset=-40.0))
    assert effect(far, "logit-effect", "tag").value > 0.5
    assert Code.FAR_FROM_THRESHOLD in effect(far, "flip-rate", "tag").reason


def test_a_carried_factor_that_the_logit_ignores_is_not_relied_on() -> None:
    measurements = reliance(PixelReader({"margin": 1.0, "noise": 1.0}, carried=("tag",)))
    assert abs(index(measurements, "sobol-total", "tag").value) < 1e-9
    assert effect(measurements, "flip-rate", "tag").value == 0
    assert abs(effect(measurements, "logit-effect-absolute", "tag").value) < 1e-6


# --- invariances ----------------------------------------------------------------------------------------------------


class Changed(nn.Module):
    """A model whose logits are changed by a function."""

    def __init__(self, network: nn.Module, change) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Tensor) -> Tensor:
        return self.change(self.network(images))


def without_pairs(measurements: list[Measurement]) -> list[Measurement]:
    """Logits of single pairs are kept for pictures; they are no effects."""
    return [m for m in measurements if m.measure != "pair-logit"]


def test_the_pictured_pairs_differ_by_the_effect_in_its_unit() -> None:
    """The tag adds the same to every image's logit, so each pair lies as far apart as the mean of all."""
    measurements = reliance(PixelReader({"tag": 2.0, "noise": 1.0}))
    effect = found(measurements, "logit-effect", environment="neutral", factor="tag").value
    by_end = pair_logits(measurements)
    assert list(by_end["low"]) == ["row 0", "row 1", "row 2"]
    for row, low in by_end["low"].items():
        assert by_end["high"][row] - low == pytest.approx(effect, rel=1e-3)


def test_the_pictured_pairs_are_those_of_a_model_of_another_scale() -> None:
    network = PixelReader({"tag": 2.0, "noise": 1.0})
    one, two = (pair_logits(reliance(model)) for model in (network, Changed(network, lambda logits: 8 * logits)))
    for end in ("low", "high"):
        assert one[end] == pytest.approx(two[end], abs=1e-6)


def pair_logits(measurements: list[Measurement]) -> dict[str, dict[str, float]]:
    pairs = [m for m in measurements if m.measure == "pair-logit" and m.factor == "tag"]
    assert {m.unit for m in pairs} == {"within-class sd"}
    return {end: {m.group: m.value for m in pairs if m.level == end} for end in ("low", "high")}


def test_the_logits_scale_changes_no_effect() -> None:
    weights = {"tag": 1.0, "size": 0.7, "noise": 1.0}
    one = without_pairs(reliance(PixelReader(weights)))
    two = without_pairs(reliance(Changed(PixelReader(weights), lambda logits: 8 * logits)))
    assert [m.measure for m in one] == [m.measure for m in two]
    for a, b in zip(one, two, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-6, nan_ok=True), a
        assert a.standard_error == pytest.approx(b.standard_error, abs=1e-6, nan_ok=True), a


def test_swapping_the_classes_turns_the_sign_of_effects_and_nothing_else() -> None:
    weights = {"tag": 1.0, "size": 0.7, "noise": 1.0}
    one = without_pairs(reliance(PixelReader(weights)))
    two = without_pairs(reliance(Changed(PixelReader(weights), lambda logits: logits.flip(1))))
    for a, b in zip(one, two, strict=True):
        sign = -1 if a.measure == "logit-effect" else 1
        assert a.value == pytest.approx(sign * b.value, abs=1e-6), a


def test_three_classes_are_explained_one_against_the_rest() -> None:
    """Class a reads the tag, class b the size; the flip rate is one, the effects are each class's."""
    world = World()
    for name, rows in world.tables.items():
        world.tables[name] = replace(rows, target=rows.row % 3, classes=("a", "b", "c"))

    class Three(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            tag, noise = images[:, 0, 2, 2], images[:, 0, 4].mean(1)
            return torch.stack([4 * tag, 0.1 * noise, torch.zeros_like(tag)], 1)

    measurements = reliance(Three(), world)
    effects = {
        level: found(measurements, "logit-effect", environment="neutral", factor="tag", level=level).value
        for level in "abc"
    }
    assert effects["a"] > 0 > effects["b"]
    assert effects["b"] == pytest.approx(effects["c"], rel=0.1)
    assert found(measurements, "sobol-total", factor="tag", level="a").value > 0.99
    assert len([m for m in measurements if m.measure == "flip-rate" and m.factor == "tag" and not m.group]) == 1
    high = [m.value for m in measurements if m.measure == "pair-logit" and m.factor == "tag" and m.level == "high"]
    low = [m.value for m in measurements if m.measure == "pair-logit" and m.factor == "tag" and m.level == "low"]
    assert max(high) < min(low)  # beside pictures stands the last class, from which the tag takes away


# --- errors of the effects ------------------------------------------------------------------------------------------


def test_errors_of_effects_are_those_of_repetition() -> None:
    """150 neutral tables of 100 patients x 2 images: the claimed error of each effect is its spread, within 25%."""
    runs: dict[str, list[Measurement]] = {}
    network = PixelReader({"tag": 1.0, "size": 2.0, "noise": 3.0}, product=("tag", "texture"))
    for seed in range(150):
        world = World(has_phantom=False, changes=("tag",), tables={"neutral": table(200, seed, per_patient=2)})
        for m in without_pairs(reliance(network, world)):
            runs.setdefault(f"{m.measure} {m.group}", []).append(m)
    for name, repeats in runs.items():
        spread = np.std([m.value for m in repeats])
        assert np.mean([m.standard_error for m in repeats]) == pytest.approx(spread, rel=0.25), name
        assert repeats[0].patients <= 100


# --- what the study asks for ----------------------------------------------------------------------------------------


def test_without_a_phantom_there_are_interventions_only() -> None:
    measurements = reliance(PixelReader({"tag": 1.0, "noise": 1.0}), World(has_phantom=False, changes=("tag",)))
    assert {m.measure for m in without_pairs(measurements)} == {"flip-rate", "logit-effect", "logit-effect-absolute"}
    assert {m.factor for m in measurements} == {"tag"}


def test_indices_can_be_left_out() -> None:
    asked = {"all": make_probe("reliance"), "interventions": make_probe("reliance", sobol=False)}
    found = run_probes(Model(PixelReader(ADDITIVE["all"])), World(), asked).measurements
    assert found["interventions"] == [m for m in found["all"] if not m.measure.startswith("sobol")]


def test_some_factors_can_be_chosen() -> None:
    asked = {"all": make_probe("reliance", sobol=False), "tag": make_probe("reliance", sobol=False, factors=("tag",))}
    found = run_probes(Model(PixelReader(ADDITIVE["all"])), World(), asked).measurements
    assert found["tag"] == [m for m in found["all"] if m.factor == "tag"] != []


def test_images_of_which_nothing_can_be_changed_say_so() -> None:
    (one,) = reliance(PixelReader({"tag": 1.0}), World(has_phantom=False, changes=()))
    assert reason_words(one.reason) == "no phantom and no intervention: no factor can be changed on its own"


def test_too_few_samples_say_that_they_have_not_converged() -> None:
    few = run_probes(
        Model(PixelReader(ADDITIVE["all"])), World(), {"r": make_probe("reliance", samples=64)}
    ).measurements["r"]
    m = index(few, "sobol-first", "margin")
    assert not np.isnan(m.value)
    assert reason_words(m.reason).startswith("not converged: standard error 0.")
    assert reason_words(m.reason).endswith("exceeds 0.05")


def test_default_samples_converge() -> None:
    measurements = [
        m for case in ADDITIVE.values() for m in reliance(PixelReader(case)) if m.measure.startswith("sobol")
    ]
    assert max(m.standard_error for m in measurements) < 0.05
    assert not any(m.reason for m in measurements)


def test_the_catalog_checks_its_arguments() -> None:
    assert build("probe", "reliance", {"samples": 256}).samples == 256
    assert Component(kind="probe", name="reliance", params={"samples": 1024}).canonical() is not None
    with pytest.raises(ValueError, match=r"1000 samples: .* 512 or 1024"):
        build("probe", "reliance", {"samples": 1000})
    with pytest.raises(SpecError, match="did you mean 'reliance'"):
        build("probe", "relience", {})
