"""A population of files: what seeds and folds redraw, leakage, rows and marks chosen, identities."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.core.files import content_hash
from assay.data.cache import ArrayImages, ArrayMasks
from assay.plugin import (
    AssociationError,
    Card,
    Component,
    DataError,
    Dataset,
    DataSpec,
    Factor,
    FactorTable,
    PixelScale,
    SpecError,
    SplitSpec,
)
from assay.shifts.association import somers_d
from assay.shifts.file_rows import FilePopulation
from assay.spec.schema import AssociationSpec, EnvironmentSpec, InterventionSpec

COUNT = 900
FACTORS = (
    Factor("size", "continuous", unit="mm"),
    Factor("site", "categorical", levels=("a", "b"), high=("b",)),
    Factor("unused", "continuous"),
)


def dataset(seed=0, **columns):
    """Three images a patient; pixel (0, 0) tells the row."""
    draws = np.random.default_rng(seed)
    target = draws.integers(0, 2, COUNT)
    pixels = draws.integers(0, 65536, (COUNT, 1, 10, 12)).astype(np.uint16)
    pixels[:, 0, 0, 0] = np.arange(COUNT)
    masks = np.zeros((COUNT, 1, 10, 12), dtype=np.uint8)
    masks[np.arange(COUNT), 0, np.arange(COUNT) % 10, 0] = 1
    values = {
        "size": draws.normal(size=COUNT) + target,
        "site": draws.integers(0, 2, COUNT),
        "unused": draws.normal(size=COUNT),
        **columns,
    }
    table = FactorTable(np.arange(COUNT), target, np.arange(COUNT) // 3, ("no", "yes"), FACTORS, values)
    return Dataset(table, ArrayImages(pixels), ArrayMasks(masks), Card("made", "up"), PixelScale(), "c0ffee")


def population(made=None, **split):
    made = dataset() if made is None else made
    return FilePopulation(DataSpec(folder="somewhere", target="ill", split=SplitSpec(**split)), lambda: made)


def tied(**strengths):
    return EnvironmentSpec(association={name: AssociationSpec(strength=s) for name, s in strengths.items()})


def tag(share=0.5):
    return InterventionSpec(component=Component(kind="intervention", name="tag", params={"size": 0.6}), share=share)


PLAIN = EnvironmentSpec()
TESTS = {
    "found": PLAIN,
    "none": tied(size=0),
    "reversed": tied(size=-0.5),
    "tagged": EnvironmentSpec(interventions={"tag": tag()}, association={"tag": AssociationSpec(strength=1)}),
}


def rows(environment):
    return environment.table.row.tolist()


def together(environments):
    return sorted(row for environment in environments for row in rows(environment))


def test_images_masks_and_table_stay_aligned():
    train, validation = population().training(tied(size=0.5), 0)
    for environment in (train, validation):
        index = np.array([5, 2, 11])
        images = environment.images.read(index)
        assert (images[:, 0, 0, 0] * 65535).round().long().tolist() == environment.table.row[index].tolist()
        masks = environment.masks.read(index)
        assert masks[:, 0, :, 0].long().argmax(dim=1).tolist() == (environment.table.row[index] % 10).tolist()


def test_test_rows_are_common_to_all_seeds_and_the_others_are_redrawn():
    files = population(train=0.5, validation=0.25, test=0.25)
    scenes = [files.scene(TESTS, seed) for seed in (0, 1)]
    for name in TESTS:
        assert rows(scenes[0].environment(name)) == rows(scenes[1].environment(name))
    one, other = (set(rows(files.training(PLAIN, seed)[0])) for seed in (0, 1))
    assert one != other
    assert len(one) == pytest.approx(0.5 * COUNT, abs=9)
    everything = [*files.training(PLAIN, 0), scenes[0].environment("found")]
    assert together(everything) == list(range(COUNT))


@pytest.mark.parametrize("split", [{}, {"folds": 3}])
def test_a_test_environment_that_is_made_once_for_all_seeds_is_the_one_that_a_seed_makes_alone(split):
    shared = population(**split)
    for seed, fold in ((0, 0), (1, 0), (0, 1 if split else 0)):
        for name, spec in TESTS.items():
            found = shared.scene({**TESTS, "again": spec}, seed, fold)
            alone = population(**split).scene({name: spec}, seed, fold).environment(name)
            for other in (found.environment(name), found.environment("again")):
                assert rows(other) == rows(alone)
                assert other.achieved[: len(spec.association)] == alone.achieved[: len(spec.association)]
                assert torch.equal(other.images.read(np.arange(5)), alone.images.read(np.arange(5)))
            assert found.environment("again").name == "again"


def test_no_patient_is_on_two_sides():
    for files in (population(), population(folds=4)):
        for seed in range(2):
            train, validation = files.training(tied(size=0.5), seed)
            test = files.scene(TESTS, seed).environment("none")
            sides = [set(environment.table.patient) for environment in (train, validation, test)]
            assert len(sides[0] | sides[1] | sides[2]) == sum(len(side) for side in sides)


def test_folds_test_every_chosen_row_once_a_seed_and_the_choice_is_the_same_for_all_seeds():
    files = population(folds=4)
    assert files.folds == 4
    found = [
        together([files.scene(TESTS, seed, fold).environment("reversed") for fold in range(4)]) for seed in range(2)
    ]
    assert found[0] == found[1]
    assert len(set(found[0])) == len(found[0])
    parts = [files.scene(TESTS, 0, fold).environment("reversed") for fold in range(4)]
    assert all((part.table.fold == fold).all() for fold, part in enumerate(parts))
    for part in parts:
        assert part.achieved[0].strength == pytest.approx(-0.5, abs=0.02)
        assert part.achieved[0].kept == len(found[0])
    assert rows(parts[0]) != rows(files.scene(TESTS, 1, 0).environment("reversed"))


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_folds_test_a_row_with_the_same_mark_whatever_the_seed_and_all_together_at_the_exact_dose(share):
    files = population(folds=5)
    tests = {"some": EnvironmentSpec(interventions={"tag": tag({"positive": share, "negative": 0.0})})}
    found = []
    for seed in range(3):
        parts = [files.scene(tests, seed, fold).environment("some") for fold in range(5)]
        found.append({row for part in parts for row in part.table.row[part.table.columns["tag"] == 1]})
        clean = [files.scene(tests, seed, fold).counterfactual("tag", "low") for fold in range(5)]
        for part, bare in zip(parts, clean, strict=True):
            index = np.arange(len(part))
            differs = (part.images.read(index) != bare.images.read(index)).flatten(1).any(dim=1).numpy()
            assert np.array_equal(differs, part.table.columns["tag"] == 1)
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == round(share * int(dataset().table.target.sum()))


def test_the_association_as_found_stands_where_none_is_asked():
    found = population(folds=4).scene(TESTS, 0).environment("found")
    (size,) = found.achieved
    assert (size.factor, size.asked, size.kept) == ("size", None, COUNT)
    table = dataset().table
    assert size.strength == somers_d(table.columns["size"], table.target == 1)


def test_training_and_validation_both_have_the_association():
    for environment in population(folds=3).training(tied(size=0.7), 0, 1):
        assert environment.achieved[0].strength == pytest.approx(0.7, abs=0.03)
        assert environment.achieved[0].available > environment.achieved[0].kept


def test_where_chooses_rows_and_counts_what_there_was():
    environment = EnvironmentSpec(
        where={"site": "b", "size": {"min": 0}}, association={"size": AssociationSpec(strength=0)}
    )
    train, _ = population().training(environment, 0)
    assert set(train.table.columns["site"]) == {1}
    assert train.table.columns["size"].min() >= 0
    assert train.achieved[0].available == pytest.approx(0.6 * COUNT, abs=9)


def test_an_intervention_marks_rows_and_chooses_none():
    files = population()
    scene = files.scene(TESTS, 0)
    tagged, found = scene.environment("tagged"), scene.environment("found")
    assert rows(tagged) == rows(found)
    assert np.array_equal(tagged.table.columns["tag"], tagged.table.target)
    index = np.arange(len(found))
    differs = (tagged.images.read(index) != found.images.read(index)).flatten(1).any(dim=1).numpy()
    assert np.array_equal(differs, found.table.target == 1)


def test_marks_of_training_rows_are_nested_in_the_share_and_redrawn_by_seeds():
    def marked(share, seed):
        train, _ = population(folds=3).training(EnvironmentSpec(interventions={"tag": tag(share)}), seed)
        return set(train.table.row[train.table.columns["tag"] == 1])

    assert marked(0.2, 0) < marked(0.6, 0)
    assert marked(0.0, 0) == set()
    assert not marked(0.2, 1) <= marked(0.6, 0)


def test_neutral_ties_none_of_the_factors_that_a_test_ties_and_only_interventions_can_be_changed():
    scene = population().scene({**TESTS, "site": tied(site=0.5)}, 0)
    assert {a.factor: a.asked for a in scene.neutral().achieved} == {"site": 0.0, "size": 0.0}
    assert all(abs(a.strength) < 0.05 for a in scene.neutral().achieved)
    assert rows(scene.independent()) == rows(scene.neutral())
    assert scene.changeable() == ("tag",)
    assert scene.sobol(16) is None
    assert scene.population.sobol_images(16) == 0
    index = np.arange(len(scene.neutral()))
    off, on = (scene.counterfactual("tag", end).images.read(index) for end in ("low", "high"))
    assert torch.equal(off, scene.neutral().images.read(index))
    assert (on != off).flatten(1).any(dim=1).all()


def test_identities_follow_content_split_and_the_columns_in_use():
    def named(environment=None, made=None, **split):
        return content_hash(population(made, **split).identity(environment or tied(size=0.5)))

    base = dataset()
    moved = dataset(unused=np.arange(COUNT, dtype=float))
    assert named(made=moved) == named()
    others = [
        named(made=dataset(size=np.arange(COUNT, dtype=float))),
        named(made=replace(base, content="decaf")),
        named(folds=5),
        named(tied(site=0.5)),
    ]
    assert len({named(), *others}) == 5
    inside = EnvironmentSpec(association={"size": AssociationSpec(strength=0.5, given={"site": "b"})})
    assert named(inside) != named(inside, dataset(site=np.zeros(COUNT, dtype=np.int64)))


def test_a_scenes_identity_knows_the_fold_only_where_folds_decide():
    fixed, folded = population(), population(folds=3)
    assert fixed.scene(TESTS, 0).identity("none") == fixed.scene(TESTS, 7).identity("none")
    assert folded.scene(TESTS, 0, 0).identity("none") != folded.scene(TESTS, 0, 1).identity("none")
    assert fixed.scene(TESTS, 0).identity("none") != fixed.scene(TESTS, 0).identity("reversed")
    fewer = {name: spec for name, spec in TESTS.items() if name != "reversed"}
    assert fixed.scene(fewer, 0).identity("(neutral)") == fixed.scene(TESTS, 0).identity("(neutral)")


def test_a_scenes_identity_knows_every_factor_that_probes_may_read():
    """Trials are named by the columns that their environment uses, readings by all of them."""

    def named(made):
        files = population(made)
        scenes = [content_hash(files.scene(TESTS, 0).identity(name)) for name in ("none", "(neutral)")]
        return content_hash(files.identity(tied(size=0.5))), *scenes

    base = dataset()
    edited = dataset(unused=np.where(np.arange(COUNT) == 7, 0.25, base.table.columns["unused"]))
    added = replace(base, table=base.table.with_column(Factor("more", "continuous"), np.zeros(COUNT)))
    in_mm = replace(
        base, table=base.table.with_column(Factor("unused", "continuous", unit="mm"), base.table.columns["unused"])
    )
    found = [named(made) for made in (base, edited, added, in_mm)]
    assert len({trial for trial, *_ in found}) == 1
    assert len({test for _, test, _ in found}) == len({neutral for *_, neutral in found}) == 4


def test_a_patient_who_was_trained_on_is_found(monkeypatch):
    from assay.shifts import file_rows

    files = population()
    honest = file_rows.parts

    def leaky(table, spec, seed, fold):
        mine = honest(table, spec, seed, fold)
        return replace(mine, train=np.concatenate([mine.train, mine.test[:2]]))

    monkeypatch.setattr(file_rows, "parts", leaky)
    with pytest.raises(
        DataError, match=r"environment 'found': 2 images are in training and in test: rows \d+, \d+; choose test rows"
    ):
        files.scene(TESTS, 0).environment("found")


@pytest.mark.parametrize(
    ("environment", "error", "text"),
    [
        (tied(sise=0.5), SpecError, "unknown factor 'sise': did you mean 'size'?"),
        (
            EnvironmentSpec(difficulty={"size": 0.5}),
            SpecError,
            "`difficulty` is for phantoms: a factor of photographs cannot be made fainter",
        ),
        (
            EnvironmentSpec(where={"size": {"min": 99}}),
            DataError,
            "none of 540 rows has {'size': {'min': 99.0}}: loosen `where`",
        ),
        (
            EnvironmentSpec(where={"site": "a"}, association={"site": AssociationSpec(strength=0.5)}),
            AssociationError,
            "environment 'train': 'site' at +0.5 cannot be tied to 'yes': rows of 'yes' with site b: 0 there",
        ),
    ],
)
def test_refusals(environment, error, text):
    with pytest.raises(error) as refused:
        population().training(environment, 0)
    assert text in str(refused.value)


def test_a_part_without_a_share_is_named():
    with pytest.raises(DataError, match=r"environment 'validation': data\.split leaves no row for it: give this part"):
        population(train=0.8, validation=0, test=0.2).training(PLAIN, 0)


def test_patients_with_rows_that_are_tested_only_are_tested_whatever_the_seed():
    files = population(train=0.5, validation=0.5, test=0, test_only={"site": ["b"], "size": {"min": 2.5}})
    table = files.dataset.table
    wanted = (table.columns["site"] == 1) & (table.columns["size"] >= 2.5)
    held = set(table.patient[wanted].tolist())
    assert 0 < len(held) < COUNT / 3
    for seed in (0, 1):
        train, validation = files.training(PLAIN, seed)
        tested = files.scene({"found": PLAIN}, seed).environment("found")
        assert set(tested.table.patient.tolist()) == held
        assert together([train, validation, tested]) == list(range(COUNT))
    some = population(train=0.4, validation=0.2, test=0.4, test_only={"site": ["b"], "size": {"min": 2.5}})
    assert held < set(some.scene({"found": PLAIN}, 0).environment("found").table.patient.tolist())


def test_all_rows_cannot_be_tested_only():
    files = population(test_only={"site": ["a", "b"]})
    with pytest.raises(DataError, match=r"data\.split\.test_only: all 900 rows have .*, so no other row remains"):
        files.training(PLAIN, 0)


def test_what_test_only_asks_for_decides_training():
    plain, held = population(), population(test_only={"site": ["b"]})
    assert content_hash(plain.identity(PLAIN)) != content_hash(held.identity(PLAIN))
    assert "site" in held.identity(PLAIN)["columns"]


def test_a_factor_that_cannot_be_untied_stays_as_found_and_the_rest_is_probed():
    """Where the site is the target itself no rows have both; the size is untied all the same."""
    made = dataset()
    made = dataset(site=made.table.target)
    scene = population(made).scene({"found": PLAIN, "site": tied(site=1), "none": tied(size=0)}, 0)
    neutral = scene.neutral()
    assert {a.factor: a.asked for a in neutral.achieved if a.asked is not None} == {"size": 0.0}
    said, fewer = neutral.notes
    assert fewer.startswith(f"the neutral rows are {len(neutral)} of ")
    assert said.startswith("'site' cannot be untied from the target and stays as found in the neutral rows: ")
    assert "(neutral)" not in said
    assert rows(scene.independent()) == rows(neutral)
    assert scene.identity("(neutral)")["as found"] == ["site"]


def test_one_environment_does_not_take_most_rows_from_the_other_probes():
    """In one of ten rows the site is not what the target is; untying it leaves twice as many."""
    site = dataset().table.target.copy()
    site[:90] = 1 - site[:90]
    scene = population(dataset(site=site)).scene({"found": PLAIN, "view": tied(site=0)}, 0)
    few, all_rows = len(scene.environment("view")), len(scene.environment("found"))
    assert few < 0.25 * all_rows
    assert rows(scene.neutral()) == rows(scene.environment("found"))
    assert scene.neutral().notes == (
        f"'site' stays as found in the neutral rows: to untie it from the target would leave {few} of {all_rows}; "
        f"decodability is asked on these {few}",
    )
    assert len(scene.independent()) == few
    assert scene.independent().notes == ()


def test_a_factor_whose_untying_leaves_out_rows_says_how_many_the_neutral_rows_are():
    """The site is what the target is in four of five rows; untying it leaves two of five, enough to be asked on."""
    site = dataset().table.target.copy()
    site[:180] = 1 - site[:180]
    scene = population(dataset(site=site)).scene({"found": PLAIN, "view": tied(site=0)}, 0)
    few, all_rows = len(scene.neutral()), len(scene.environment("found"))
    assert 0.25 * all_rows <= few < 0.6 * all_rows
    assert scene.neutral().notes == (
        f"the neutral rows are {few} of {all_rows} test rows: to untie 'site' from the target leaves out the others; "
        f"every probe of neutral rows reads these {few}, unless the environments that tie 'site' are in a study of "
        "their own",
    )
    assert "as found" not in scene.identity("(neutral)")
    assert population(dataset(site=site)).scene({"found": PLAIN}, 0).neutral().notes == ()
