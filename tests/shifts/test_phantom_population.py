"""A phantom's population: what seeds redraw, what environments share, counterfactuals, the design, the cache."""

import numpy as np
import pytest
import torch
from tests.worlds.environments import FACTORS, Toy

from assay.core.files import content_hash
from assay.plugin import ArrayCache, AssociationError, Component, DataSpec, Scene, SpecError
from assay.shifts.sources import open_population
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec

NUISANCE = "nuisance seed"

NAMES = [factor.name for factor in FACTORS]
ONE = 1  # image that tells the number of channels, once in a process


def data(**changes):
    phantom = Component(kind="phantom", name="tests.worlds.environments:Toy", params=changes.pop("params", {}))
    return DataSpec(
        **{"phantom": phantom, "core": "margin", "size": 8, "train": 60, "validation": 20, "test": 40, **changes}
    )


def tied(strength, **rest):
    return EnvironmentSpec(association={"texture": AssociationSpec(strength=strength)}, **rest)


def tag(share=0.5, **params):
    component = Component(kind="intervention", name="tag", params={"size": 0.5, "x": 0.5, "y": 0.6, **params})
    return InterventionSpec(component=component, share=share)


TESTS = {
    "same": tied(0.9),
    "neutral": tied(0.0),
    "reversed": tied(-0.9),
    "tagged": EnvironmentSpec(interventions={"tag": tag()}, association={"tag": AssociationSpec(strength=1)}),
}


@pytest.fixture
def cache(tmp_path):
    return ArrayCache(tmp_path)


@pytest.fixture
def population(cache):
    return open_population(data(), cache)


def all_of(environment):
    return environment.images.read(np.arange(len(environment)))


def test_the_facts_of_a_phantom(population, cache):
    assert population.classes == ("not malignant", "malignant")
    assert (population.channels, population.folds, population.dataset) == (1, 1, None)
    assert population.factors == FACTORS
    assert population.scale.mm_per_pixel == 5
    assert open_population(data(params={"channels": 3}), cache).channels == 3


def test_opening_planning_and_drawing_rows_render_nothing(population):
    before = Toy.rendered
    population.training(tied(0.9), 0)
    scene = population.scene(TESTS, 0)
    for name in scene.names:
        scene.environment(name)
        scene.identity(name)
    assert Toy.rendered - before <= ONE


def test_a_second_opening_renders_nothing_and_reads_the_same(cache):
    first = all_of(open_population(data(), cache).training(tied(0.9), 0)[0])
    before = Toy.rendered
    second = open_population(data(), cache).training(tied(0.9), 0)[0]
    assert torch.equal(all_of(second), first)
    assert Toy.rendered - before <= ONE


def test_images_are_the_phantoms_to_16_bits_and_masks_are_its_masks(population):
    train, _ = population.training(tied(0.9), 0)
    images, masks = all_of(train), train.masks.read(np.arange(len(train)))
    for j, factor in enumerate(FACTORS):
        low, high = factor.range or (0.0, float(len(factor.levels) - 1))
        expected = (train.table.columns[factor.name] - low) / (high - low)
        assert images[:, 0, 0, j].numpy() == pytest.approx(expected, abs=1 / 65535)
    assert masks.dtype == torch.uint8
    assert masks[:, :, 0, :6].all()
    assert not masks[:, :, 1:].any()


def test_seeds_redraw_training_and_validation_and_share_the_test(population):
    one, other = population.training(tied(0.9), 0), population.training(tied(0.9), 1)
    for mine, theirs in zip(one, other, strict=True):
        assert not torch.equal(all_of(mine), all_of(theirs))
        assert not np.array_equal(mine.table.columns["size"], theirs.table.columns["size"])
    tests = [population.scene(TESTS, seed).environment("same") for seed in (0, 1)]
    assert torch.equal(all_of(tests[0]), all_of(tests[1]))


def test_no_patient_is_on_two_sides(population):
    seen = [environment.table.patient for seed in range(3) for environment in population.training(tied(0.9), seed)]
    seen.append(population.scene(TESTS, 0).environment("same").table.patient)
    everyone = np.concatenate(seen)
    assert len(np.unique(everyone)) == len(everyone)


def test_environments_differ_in_the_tied_factor_and_nothing_else(population):
    scene = population.scene(TESTS, 0)
    same, back = scene.environment("same"), scene.environment("reversed")
    assert np.array_equal(same.table.target, back.table.target)
    differs = (all_of(same) != all_of(back)).any(dim=0)[0]
    assert differs.nonzero().tolist() == [[0, NAMES.index("texture")]]


def test_what_is_achieved_is_said_for_the_core_and_for_every_tie(population):
    scene = population.scene(TESTS, 0)
    assert [(a.factor, a.asked) for a in scene.environment("same").achieved] == [("margin", 1.0), ("texture", 0.9)]
    tagged = scene.environment("tagged")
    assert [(a.factor, a.asked) for a in tagged.achieved] == [("margin", 1), ("tag", 1), ("texture", None)]
    assert tagged.achieved[1].strength == 1
    assert np.array_equal(tagged.table.columns["tag"], tagged.table.target)


def test_an_intervention_changes_marked_rows_within_its_place_alone(population):
    scene = population.scene(TESTS, 0)
    tagged, clean = scene.environment("tagged"), scene.neutral()
    assert np.array_equal(tagged.table.columns["size"], clean.table.columns["size"])
    differs = (all_of(tagged) != all_of(clean)).flatten(1).any(dim=1).numpy()
    assert np.array_equal(differs, tagged.table.target == 1)


def test_neutral_is_clean_and_ties_the_core_alone_and_independent_ties_nothing(population):
    scene = population.scene(TESTS, 0)
    assert [(a.factor, a.asked) for a in scene.neutral().achieved] == [("margin", 1.0), ("texture", None)]
    assert scene.neutral().achieved[0].strength == 1
    assert "tag" not in scene.neutral().table.columns
    assert np.array_equal(
        scene.neutral().table.columns["texture"], scene.environment("neutral").table.columns["texture"]
    )
    alone = open_population(data(test=4000), population.cache).scene(TESTS, 0).independent()
    columns = np.stack([alone.table.numbers(name) for name in NAMES] + [alone.table.target])
    assert np.abs(np.corrcoef(columns) - np.eye(len(columns))).max() < 0.06


def test_neutral_keeps_what_all_tests_have_in_common(population):
    both = {
        "a": tied(0.9, difficulty={"margin": 0.5, "size": 1.5}, where={"size": 12}),
        "b": tied(-0.9, difficulty={"margin": 0.5}, where={"size": 12, "grade": "1"}),
    }
    neutral = population.scene(both, 0).neutral()
    margin = neutral.table.columns["margin"]
    assert all_of(neutral)[:, 0, 0, 0].numpy() == pytest.approx(margin / 2, abs=1e-4)
    assert set(neutral.table.columns["size"]) == {12.0}
    assert len(set(neutral.table.columns["grade"])) == 4


def everywhere(strength=0.2, share=1.0):
    component = Component(kind="intervention", name="tests.shifts.changes:Grain", params={"strength": strength})
    return InterventionSpec(component=component, share=share)


def test_an_intervention_that_lies_on_all_images_of_all_tests_lies_on_neutral_ones_and_all_made_from_them(population):
    with_grain = {
        name: spec.model_copy(update={"interventions": {**spec.interventions, "grain": everywhere()}})
        for name, spec in TESTS.items()
    }
    scene, plain = population.scene(with_grain, 0), population.scene(TESTS, 0)
    grainy = all_of(scene.neutral())
    assert (grainy != all_of(plain.neutral())).flatten(1).any(dim=1).all()
    assert scene.neutral().table.columns["grain"].all()
    assert torch.equal(all_of(scene.counterfactual("grain", "low")), all_of(plain.neutral()))
    assert torch.equal(all_of(scene.counterfactual("grain", "high")), grainy)
    on = scene.counterfactual("tag", "high")
    tagged = scene.environment("tagged")
    marked = tagged.table.columns["tag"] == 1
    assert torch.equal(all_of(on)[marked], all_of(tagged)[marked])  # in the same order: the tag lies over the grain
    assert torch.equal(all_of(scene.counterfactual("tag", "low")), grainy)
    for moved, bare in (
        (scene.counterfactual("size", "high"), plain.counterfactual("size", "high")),
        (scene.at_quantile("size", 0.5), plain.at_quantile("size", 0.5)),
    ):
        added = (all_of(moved) - all_of(bare)).abs().flatten(1).amax(dim=1)
        assert (added > 0).all()
        assert added.max() <= 0.1 + 1e-6
    design, clean = scene.sobol(16), plain.sobol(16)
    every = np.arange(len(design.images))
    added = design.images.read(every) - clean.images.read(every)
    assert (added.abs().flatten(1).amax(dim=1) > 0).all()
    first, _, *mixed = added.split(16)
    inside = (clean.images.read(every) > 0.11) & (clean.images.read(every) < 0.89)  # where nothing was cut
    for name, part, own in zip(design.inputs, mixed, inside.split(16)[2:], strict=True):
        kept = own & inside.split(16)[0]
        alike = torch.isclose(part[kept], first[kept], atol=1e-6).all()
        assert bool(alike) == (name != NUISANCE)  # AB_i is A but for input i, the noise of the change included


@pytest.mark.parametrize(
    "other",
    [
        {"interventions": {"grain": everywhere(0.3)}},
        {"interventions": {"grain": everywhere(share=0.5)}},
        {"interventions": {"grain": everywhere(share={"positive": 1, "negative": 1})}},
        {"interventions": {"grain": everywhere()}, "association": {"grain": AssociationSpec(strength=0.0)}},
        {},
    ],
    ids=["arguments", "share", "dose", "tied", "without"],
)
def test_an_intervention_that_tests_do_not_all_put_on_all_images_lies_on_no_neutral_one(population, other):
    tests = {"one": EnvironmentSpec(interventions={"grain": everywhere()}), "other": EnvironmentSpec(**other)}
    clean = population.scene({"one": EnvironmentSpec()}, 0).neutral()
    assert torch.equal(all_of(population.scene(tests, 0).neutral()), all_of(clean))


@pytest.mark.parametrize("factor", NAMES)
def test_a_counterfactual_changes_its_factor_and_nothing_else(population, factor):
    scene = population.scene(TESTS, 0)
    neutral, pixel = scene.neutral(), NAMES.index(factor)
    expected = {
        "margin": (0.1, 0.9),
        "texture": ("glass", "solid"),
        "size": (6.6, 27.4),
        "grade": ("0", "3"),
        "x": (-0.8, 0.8),
        "y": (-0.8, 0.8),
    }[factor]
    for end, value in zip(("low", "high"), expected, strict=True):
        moved = scene.counterfactual(factor, end)
        described = moved.table.factor(factor)
        wanted = described.levels.index(value) if described.levels else value
        assert moved.table.columns[factor] == pytest.approx(np.full(40, wanted))
        assert np.array_equal(moved.table.target, neutral.table.target)
        differs = (all_of(moved) != all_of(neutral)).any(dim=0)[0]
        assert differs.nonzero().tolist() == [[0, pixel]]
        for other in NAMES:
            if other != factor:
                assert np.array_equal(moved.table.columns[other], neutral.table.columns[other])


@pytest.mark.parametrize(
    ("factor", "at"),
    [("size", {0.05: 5.3, 0.5: 17.0}), ("x", {0.75: 0.5}), ("texture", {0.3: 2}), ("grade", {0.95: 3})],
)
def test_a_factor_is_set_to_a_quantile_and_nothing_else_changes(population, factor, at):
    """Values by the toy's own marginals: uniform from 4 to 30 and from -1 to 1, `part` from 0.2 to 0.5, four grades."""
    scene = population.scene(TESTS, 0)
    neutral, pixel = scene.neutral(), NAMES.index(factor)
    for u, value in at.items():
        moved = scene.at_quantile(factor, u)
        assert moved.table.columns[factor] == pytest.approx(np.full(40, value))
        assert np.array_equal(moved.table.target, neutral.table.target)
        assert (all_of(moved) != all_of(neutral)).any(dim=0)[0].nonzero().tolist() == [[0, pixel]]
    names = {scene.at_quantile(factor, u).name for u in (0.05, 0.25, 0.5)}
    assert len(names) == 3


def test_a_quantile_is_one_of_what_all_tests_allow(population):
    """Restricted to 10 to 20 in every test, the median of a uniform size is 15."""
    allowed = {name: EnvironmentSpec(where={"size": {"min": 10, "max": 20}}) for name in ("a", "b")}
    moved = population.scene(allowed, 0).at_quantile("size", 0.5)
    assert moved.table.columns["size"] == pytest.approx(np.full(40, 15.0))


def test_the_ends_of_an_intervention_are_nowhere_and_everywhere(population):
    scene = population.scene(TESTS, 0)
    assert scene.changeable() == (*NAMES, "tag")
    off, on = scene.counterfactual("tag", "low"), scene.counterfactual("tag", "high")
    assert torch.equal(all_of(off), all_of(scene.neutral()))
    assert not off.table.columns["tag"].any()
    assert on.table.columns["tag"].all()
    assert (all_of(on) != all_of(off)).flatten(1).any(dim=1).all()
    # marked rows look as they do in the test environment: parameters are drawn once
    tagged = scene.environment("tagged")
    marked = tagged.table.columns["tag"] == 1
    assert torch.equal(all_of(on)[marked], all_of(tagged)[marked])


def test_the_sobol_design_is_laid_out_as_a_then_b_then_each_input_from_b(population):
    design = population.scene(TESTS, 0).sobol(64)
    assert design.inputs == ("position", "margin", "texture", "size", "grade", "nuisance seed")
    images = design.images.read(np.arange(len(design.images)))
    assert len(images) == population.sobol_images(64) == (6 + 2) * 64
    a, b, *mixed = images.split(64)
    pixels = {"position": [4, 5], "margin": [0], "texture": [1], "size": [2], "grade": [3]}
    factors = set(range(6))
    for name, block in zip(design.inputs, mixed, strict=True):
        taken = pixels.get(name, [])
        kept = sorted(factors - set(taken))
        assert torch.equal(block[:, 0, 0, taken], b[:, 0, 0, taken])
        assert torch.equal(block[:, 0, 0, kept], a[:, 0, 0, kept])
        rest = b if name == "nuisance seed" else a
        assert torch.equal(block[:, :, 1:], rest[:, :, 1:])


def test_sobol_inputs_are_independent_and_cover_their_marginals(population):
    design = population.scene(TESTS, 0).sobol(1024)
    pixels = design.images.read(np.arange(2048))[:, 0, 0, : len(NAMES)].numpy()
    assert np.abs(np.corrcoef(pixels.T) - np.eye(len(NAMES))).max() < 0.05
    assert np.quantile(pixels[:, 2], [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.01)


def test_a_design_is_rendered_once_for_all_models(population, cache):
    first = population.scene(TESTS, 0).sobol(16).images
    first.read(np.arange(len(first)))
    before = Toy.rendered
    open_population(data(), cache).scene(TESTS, 3).sobol(16).images.read(np.arange(len(first)))
    assert Toy.rendered - before <= ONE


def test_difficulty_and_interventions_leave_rows_alone(population):
    tests = {"clear": tied(0.0), "faint": tied(0.0, difficulty={"margin": 0.5}), "tagged": TESTS["tagged"]}
    scene = population.scene(tests, 0)
    for name in NAMES:
        assert np.array_equal(
            scene.environment("clear").table.columns[name], scene.environment("faint").table.columns[name]
        )
    differs = (all_of(scene.environment("clear")) != all_of(scene.environment("faint"))).any(dim=0)[0]
    assert differs.nonzero().tolist() == [[0, 0]]


def test_difficulty_of_1_is_the_same_picture(population):
    before = Toy.rendered
    all_of(population.scene({"a": tied(0.3)}, 0).environment("a"))
    rendered = Toy.rendered
    assert rendered > before
    all_of(population.scene({"a": tied(0.3, difficulty={"margin": 1.0})}, 0).environment("a"))
    assert Toy.rendered == rendered


def test_identities_hold_what_decides_and_nothing_else(cache):
    def training(**changes):
        return content_hash(open_population(data(**changes), cache).identity(tied(0.9)))

    def testing(environment=None, name="a", **changes):
        scene = open_population(data(**changes), cache).scene({"a": environment or tied(0.9)}, 0)
        return content_hash(scene.identity(name))

    assert training(test=999) == training()
    assert (
        len(
            {
                training(),
                training(train=61),
                training(validation=21),
                training(size=16),
                training(core="size"),
                training(target="sick"),
                training(params={"channels": 3}),
            }
        )
        == 7
    )
    assert testing(train=999, validation=99) == testing()
    assert len({testing(), testing(tied(0.8)), testing(test=41), testing(core="size"), testing(size=16)}) == 5
    assert testing(name="(neutral)") == testing(tied(0.1), "(neutral)") == testing(name="neutral")
    assert testing(name="(neutral)") != testing(tied(0.9, difficulty={"margin": 2}), "(neutral)")
    assert testing(name="(neutral)") != testing(tied(0.9, interventions={"tag": tag()}), "(neutral)")


def test_the_neutral_identity_follows_the_core_strength_that_all_tests_agree_on(cache):
    """The core factor here is `margin`: neutral rows keep its strength, so their readings are others."""

    def neutral(*strengths):
        tests = {
            f"test{i}": EnvironmentSpec(association={"margin": AssociationSpec(strength=strength)})
            for i, strength in enumerate(strengths)
        }
        scene = open_population(data(), cache).scene(tests, 0)
        return content_hash(scene.identity("(neutral)")), scene.neutral().table.columns["margin"].tolist()

    assert neutral(0.9) == neutral(0.9, 0.9)
    assert neutral(0.9, 0.4) == neutral(0.4, 0.9)  # without agreement it is tied fully
    strong, weak = neutral(0.9), neutral(0.4)
    assert strong[1] != weak[1]
    assert strong[0] != weak[0]


def test_a_scene_follows_the_protocol(population):
    scene: Scene = population.scene(TESTS, 0)
    assert scene.names == tuple(TESTS)
    assert scene.environment("same") is scene.environment("same")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda p: p.scene(TESTS, 0).environment("sam"), SpecError, "unknown environment 'sam': did you mean 'same'?"),
        (lambda p: p.scene(TESTS, 0).identity("sam"), SpecError, "unknown environment 'sam': did you mean 'same'?"),
        (
            lambda p: p.scene(TESTS, 0).counterfactual("sise", "low"),
            SpecError,
            "unknown changeable factor 'sise': did you mean 'size'?",
        ),
        (
            lambda p: p.scene(TESTS, 0).at_quantile("sise", 0.5),
            SpecError,
            "unknown factor 'sise': did you mean 'size'?",
        ),
        (
            lambda p: p.scene(TESTS, 0).counterfactual("size", "lo"),
            SpecError,
            "unknown end of a factor 'lo': did you mean 'low'?",
        ),
        (
            lambda p: p.training(tied(0.5, difficulty={"sise": 0.5}), 0),
            SpecError,
            "unknown factor 'sise': did you mean 'size'?",
        ),
        (
            lambda p: p.scene({"odd": tied(0.5, where={"texture": "solid"})}, 0).environment("odd"),
            AssociationError,
            "environment 'odd': 'texture' cannot be tied to 'malignant' at +0.5 where it is held constant",
        ),
        (
            lambda p: open_population(data(core=""), p.cache).training(tied(0.5), 0),
            SpecError,
            "a phantom needs data.core, the factor that defines 'malignant': one of margin, texture, size, grade, x, y",
        ),
    ],
)
def test_refusals(population, call, error, text):
    with pytest.raises(error) as refused:
        call(population)
    assert text in str(refused.value)
