"""Whose a phantom's images are."""

import numpy as np
import pytest

from assay.plugin import ArrayCache, Component, DataSpec, SpecError
from assay.shifts.phantom_rows import PhantomPopulation
from assay.shifts.sampling import Patients
from assay.spec.schema import AssociationSpec, EnvironmentSpec


def population(tmp_path, eyes=2, train=200, target="grade"):
    phantom = Component(kind="phantom", name="fundus", params={"eyes": eyes})
    data = DataSpec(phantom=phantom, size=64, train=train, validation=20, test=100, target=target, core="grade")
    return PhantomPopulation(data, ArrayCache(tmp_path))


def test_both_eyes_are_of_one_patient_and_of_one_camera(tmp_path):
    table = population(tmp_path).training(EnvironmentSpec(), 0)[0].table
    left, right = table.take(np.arange(0, 200, 2)), table.take(np.arange(1, 200, 2))
    assert np.array_equal(left.patient, right.patient)
    assert len(np.unique(table.patient)) == 100
    for name in ("camera", "pigment", "cup", "caliber"):
        assert np.array_equal(left.columns[name], right.columns[name]), name
    assert (left.columns["side"] + right.columns["side"] == 1).all()
    assert (left.columns["illumination"] != right.columns["illumination"]).all()


@pytest.mark.parametrize(
    "environment",
    [
        EnvironmentSpec(where={"side": "left"}),
        EnvironmentSpec(association={"side": AssociationSpec(strength=0.4)}),
        EnvironmentSpec(association={"side": AssociationSpec(strength=0.0, share={"positive": 0.3, "negative": 0.3})}),
    ],
)
def test_no_patient_is_given_two_left_eyes(tmp_path, environment):
    with pytest.raises(SpecError) as refused:
        population(tmp_path).training(environment, 0)
    assert str(refused.value) == (
        "'side' differs between a patient's two images, so neither `where` nor an association can choose it: have "
        "one image a patient, or leave 'side' to chance"
    )
    population(tmp_path, eyes=1).training(environment, 0)
    population(tmp_path).training(EnvironmentSpec(association={"side": AssociationSpec(strength=0.0)}), 0)


def test_only_images_of_patients_with_one_eye_have_nothing_in_common(tmp_path):
    told = [" ".join(population(tmp_path, eyes=eyes).card.known_faults) for eyes in (1, 2)]
    assert ["one eye a patient" in faults for faults in told] == [True, False]


def test_images_of_a_patient_have_what_two_eyes_share(tmp_path):
    own = Patients.of(population(tmp_path).phantom)
    seeds = own.nuisance(3, np.arange(10))
    assert np.array_equal(seeds[::2] + 1, seeds[1::2])
    assert (seeds[::2] % 2 == 0).all()
    assert len(np.unique(seeds)) == 10


@pytest.mark.parametrize(("count", "alike"), [(5, 0.68), (2, 0.8), (3, 1 - 0.8 / 3)])
def test_classes_are_as_frequent_in_either_eye_and_mostly_alike(count, alike):
    both = Patients(2).classes(np.arange(count), np.arange(20_000 * count), 1)
    first, second = both[::2], both[1::2]
    for eye in (first, second):  # of `count` patients in turn one has each class, in either eye
        assert (np.sort(eye.reshape(-1, count), axis=1) == np.arange(count)).all()
    assert abs((first == second).mean() - alike) < 0.01
    assert np.abs(first - second).max() == 1


def test_one_eye_each_is_as_before_and_draws_alone(tmp_path):
    table = population(tmp_path, eyes=1).training(EnvironmentSpec(), 0)[0].table
    assert len(np.unique(table.patient)) == len(table)
    assert len(np.unique(table.columns["pigment"])) == len(table)


def test_a_tied_factor_goes_with_the_class_of_its_own_image(tmp_path):
    tie = EnvironmentSpec(association={"camera": AssociationSpec(strength=1.0)})
    table = population(tmp_path, target="referable").training(tie, 0)[0].table
    assert np.array_equal(table.columns["camera"], table.target)
    assert (table.target[::2] != table.target[1::2]).any()


@pytest.mark.parametrize(
    ("train", "fraction", "images", "patients"), [(200, 0.1, 20, 10), (201, 1, 201, 101), (5, 0.7, 4, 2)]
)
def test_a_share_is_of_patients_with_both_eyes(tmp_path, train, fraction, images, patients):
    table = population(tmp_path, train=train).training(EnvironmentSpec(fraction=fraction), 0)[0].table
    assert (len(table), len(np.unique(table.patient))) == (images, patients)


def test_parts_and_seeds_have_patients_of_their_own(tmp_path):
    made = population(tmp_path)
    parts = [made.training(EnvironmentSpec(), seed)[part].table.patient for seed in (0, 1) for part in (0, 1)]
    parts.append(made.scene({"same": EnvironmentSpec()}, 0).environment("same").table.patient)
    every = np.concatenate([np.unique(part) for part in parts])
    assert len(np.unique(every)) == len(every)
