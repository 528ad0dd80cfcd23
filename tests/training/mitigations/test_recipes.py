"""What a recipe with a mitigation is called, what it may know, and what is refused."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.training.mitigations import own
from tests.training.test_train import train
from tests.worlds.environments import AGE, mitigated, part, tagged, with_column

from assay.core import registry
from assay.plugin import DataError, Interrupted, LossContext, LossTraits, MitigationTraits, RecipeSpec, build, entries
from assay.spec.recipe import training_labels
from assay.testing.models import same_state, stopping
from assay.training.losses.classification import ImageObjective
from assay.training.mitigations import build_mitigation
from assay.training.state import TrainingState, begin_training

TRAINING, VALIDATION = tagged(70, seed=1, tied=0.5), tagged(40, seed=2, tied=0.5)
OWN = "tests.training.mitigations.own"
HOOKS = [f"{OWN}:{name}" for name in ("Reweighted", "Balanced", "Lenient", "Twice", "Retrained", "Tagged")]
NAMES = ["none", *HOOKS]
ALL = [mitigated(name) for name in NAMES]


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mitigations under names of their own, as a plug-in declares them."""
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    for name, made, traits in (
        ("weighs", own.Reweighted, MitigationTraits(weighs_images=True)),
        ("predicts", own.Twice, MitigationTraits(needs_head=True)),
        ("retrains", own.Retrained, MitigationTraits()),
    ):
        registry.component("mitigation", name, traits, summary="for tests")(made)


def test_plain_training_is_the_recipe_it_always_was():
    assert RecipeSpec().canonical() == {}
    assert mitigated(recipe={"epochs": 20, "batch_size": 128}).canonical() == {"augmentation": []}
    assert RecipeSpec(groups="tag").groups == ""
    assert RecipeSpec(groups="tag", selection="best-worst-group").groups == "tag"


@pytest.mark.parametrize(("name", "labels"), [("weighs", "training"), ("predicts", "none"), ("retrains", "validation")])
@pytest.mark.usefixtures("named")
def test_what_the_spec_says_of_group_labels_is_what_the_mitigation_asks_for(name, labels):
    recipe = mitigated(name)
    assert training_labels(recipe.mitigation) == build_mitigation(recipe).group_labels == labels
    assert bool(recipe.groups) == (labels != "none")


@pytest.mark.parametrize("recipe", ALL, ids=NAMES)
def test_the_record_says_whose_labels_were_used_for_what(recipe, tmp_path):
    said = train(tmp_path, recipe, TRAINING, VALIDATION).mitigation
    assert said["name"] == recipe.mitigation.name
    labels = build_mitigation(recipe).group_labels
    assert said["group_labels"] == {"training": labels, "selection": "none"}
    if labels != "none":
        rows = {"training": TRAINING, "validation": VALIDATION}[said["group_labels"]["training"]]
        assert (said["groups"], sum(said["rows"]["trained"].values())) == ("tag", len(rows))


@pytest.mark.parametrize("name", ["none", f"{OWN}:Twice", f"{OWN}:Tagged", f"{OWN}:Retrained"])
def test_group_labels_that_are_not_asked_for_have_no_way_in(name, tmp_path):
    """Training rows of other groups, or of none: not a weight, not a number moves."""
    recipe = mitigated(name)
    unknown = with_column(TRAINING, "tag", np.full(70, -1))
    first, second = (train(tmp_path / str(i), recipe, rows, VALIDATION) for i, rows in enumerate((TRAINING, unknown)))
    assert first.curve == second.curve
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True))


def test_losses_that_are_said_to_be_of_single_images_are():
    for entry in entries("loss"):
        traits = cast(LossTraits, entry.traits)
        if "classification" not in traits.tasks:
            continue
        made = build("loss", entry.name, {}, LossContext(4, 2, (3, 5)))
        assert isinstance(made, ImageObjective) == traits.per_image, entry.name


@pytest.mark.parametrize("loss", ["supcon", "triplet", "cross-entropy-supcon", "arcface"])
@pytest.mark.usefixtures("named")
def test_a_loss_of_pairs_is_not_weighed(loss):
    allowed = "use one of cross-entropy"
    text = f"mitigation 'weighs' weighs images, and loss '{loss}' has no term for a single image: {allowed}"
    with pytest.raises(ValidationError, match=text):
        mitigated("weighs", loss=loss)


@pytest.mark.usefixtures("named")
def test_predictions_during_training_need_a_head_that_is_trained():
    with pytest.raises(ValidationError, match="'predicts' looks at predictions during training, and loss 'supcon'"):
        mitigated("predicts", loss="supcon")
    with pytest.raises(
        ValidationError, match=r"'best-worst-group' looks at predictions .*: give the loss `head: joint`"
    ):
        mitigated(loss="supcon", recipe={"selection": "best-worst-group"})
    joint = part("loss", "supcon", head="joint")
    assert RecipeSpec(loss=joint, groups="tag", selection="best-worst-group").groups == "tag"


@pytest.mark.parametrize("name", HOOKS)
def test_labels_need_the_name_of_their_factor(name):
    with pytest.raises(ValidationError, match=f"mitigation '{name}' needs `groups`, the factor that makes groups"):
        mitigated(name, recipe={"groups": ""})


@pytest.mark.parametrize("name", [f"{OWN}:Reweighted", f"{OWN}:Balanced", f"{OWN}:Retrained"])
def test_a_group_without_rows_is_refused_before_anything_is_trained(name, tmp_path):
    full = with_column(TRAINING, "tag", TRAINING.table.target), with_column(VALIDATION, "tag", VALIDATION.table.target)
    what, count = ("validation", 20) if name.endswith(":Retrained") else ("training", 35)
    with pytest.raises(
        DataError, match=f"'{name}' needs at least 1 {what} row in every group .* square, with: {count}"
    ):
        train(tmp_path, mitigated(name), *full)


def test_a_mitigation_may_do_without_full_groups(tmp_path):
    full = with_column(TRAINING, "tag", TRAINING.table.target), with_column(VALIDATION, "tag", VALIDATION.table.target)
    assert train(tmp_path, mitigated(f"{OWN}:Lenient"), *full).steps == 8


def test_selection_by_the_worst_group_takes_the_epoch_where_it_does_best(tmp_path, monkeypatch):
    recipe = mitigated(recipe={"selection": "best-worst-group", "epochs": 6})
    groups = 2 * VALIDATION.table.target + VALIDATION.table.columns["tag"]
    scores, plain = [], TrainingState._score

    def noting(run, loss):
        scores.append(plain(run, loss))
        return scores[-1]

    monkeypatch.setattr(TrainingState, "_score", noting)
    fitted = train(tmp_path, recipe, TRAINING, VALIDATION)
    assert fitted.selected_epoch == 1 + scores.index(max(scores))
    with torch.no_grad():
        logits = fitted.network.read(VALIDATION.images.pixels).logits
    right = logits.argmax(1).numpy() == VALIDATION.table.target
    worst = min(right[groups == group].mean() for group in range(4))
    assert worst == pytest.approx(max(scores)[0])
    assert fitted.mitigation["group_labels"] == {"training": "none", "selection": "validation"}
    assert sum(fitted.mitigation["rows"]["selected"].values()) == 40


def test_selection_needs_validation_rows_of_every_group(tmp_path):
    few = with_column(VALIDATION, "tag", VALIDATION.table.target)
    with pytest.raises(DataError, match="selection 'best-worst-group' needs at least 1 validation row in every group"):
        train(tmp_path, mitigated(recipe={"selection": "best-worst-group"}), TRAINING, few)


@pytest.mark.parametrize("name", NAMES)
def test_validation_losses_are_the_recipes_own_whatever_the_mitigation(name, tmp_path):
    """Before the first step, every mitigation's network is the plain one, and so is its validation loss."""
    runs = [
        begin_training(
            mitigated(chosen),
            TRAINING,
            VALIDATION,
            2,
            0,
            torch.device("cpu"),
            tmp_path / chosen,
        )
        for chosen in ("none", name)
    ]
    assert runs[0]._validation_loss() == runs[1]._validation_loss()


@pytest.mark.parametrize("recipe", ALL, ids=NAMES)
def test_stopped_in_the_middle_of_an_epoch_it_continues_to_the_same_end(recipe, tmp_path):
    whole = train(tmp_path / "whole", recipe, TRAINING, VALIDATION)
    for _ in range(2):
        calls = iter(range(1, 99))
        with pytest.raises(Interrupted):
            train(tmp_path / "parts", recipe, TRAINING, VALIDATION, should_stop=stopping(calls, 3))
    rest = train(tmp_path / "parts", recipe, TRAINING, VALIDATION)
    assert same_state(rest.network, whole.network)
    assert (rest.curve, rest.mitigation) == (whole.curve, whole.mitigation)


def test_every_mitigation_works_with_halves_of_a_continuous_factor(tmp_path):
    said = train(tmp_path, mitigated(f"{OWN}:Balanced", recipe={"groups": AGE.name}), TRAINING, VALIDATION)
    assert list(said.mitigation["rows"]["trained"])[:2] == ["no square, low half", "no square, high half"]


def test_the_catalog_holds_plain_training_alone():
    (entry,) = entries("mitigation")
    assert (entry.name, cast(MitigationTraits, entry.traits).group_labels) == ("none", "none")
