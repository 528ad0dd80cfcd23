"""Sums of losses: weights by epoch as published, the limits, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.training.losses.masks import Maps, value

from assay.plugin import Component, LossContext, Outputs, Progress, RecipeSpec, SpecError, build, lookup
from assay.testing.losses import PROGRESS, batch_of, lesions

CONTEXT = LossContext(1, 2, (9, 9), dense=True)


def weights(epochs: int, **changed: Any) -> list[float]:
    """The share of cross-entropy in its sum with Dice, by epoch."""
    logits, labels = example()
    objective = build("loss", "cross-entropy-dice", changed, CONTEXT)
    entropy, overlap = value("cross-entropy", (logits, labels)), value("dice", (logits, labels))
    outputs, batch = Outputs(torch.zeros(4, 1), logits), batch_of(labels)
    sums = [objective.loss(outputs, batch, Progress(0, 1, epoch, epochs)) for epoch in range(epochs)]
    return [round(float((total - overlap) / (entropy - overlap)), 9) for total in sums]


def component(name: str, **params: Any) -> Component:
    return Component(kind="loss", name=name, params=params)


def recipe(loss: Component, selection: Any) -> RecipeSpec:
    network = Component(kind="architecture", name="tests.training.objectives:dense_network")
    return RecipeSpec(task="segmentation", architecture=network, loss=loss, selection=selection)


def example() -> Maps:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(4, 2, 8, 8, generator=draws, dtype=torch.float64), lesions(4)


def test_the_published_weights() -> None:
    """Twelve epochs: alpha = 1 - e / 11; cross-entropy, then Dice in the last epoch."""
    assert weights(12, schedule="linear") == pytest.approx([1 - e / 11 for e in range(12)])
    assert weights(12, schedule="step") == [1.0] * 11 + [0.0]
    assert weights(12, schedule="step", at=0.75) == [1.0] * 9 + [0.0] * 3
    assert weights(3, weight=0.5) == [0.5] * 3


def test_cosine_by_hand() -> None:
    expected = [1.0, 1 - 0.75 * (1 - math.sqrt(0.5)) / 2, 0.625, 1 - 0.75 * (1 + math.sqrt(0.5)) / 2, 0.25]
    assert weights(5, schedule="cosine", start=1.0, end=0.25) == pytest.approx(expected)


@pytest.mark.parametrize(("epochs", "at"), [(2, 0.01), (2, 0.99), (3, 0.99), (7, 0.01), (50, 0.9)])
def test_a_step_leaves_at_least_an_epoch_on_either_side(epochs: int, at: float) -> None:
    found = weights(epochs, schedule="step", at=at)
    assert set(found) == {1.0, 0.0}
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("schedule", ["linear", "step", "cosine"])
def test_a_single_epoch_has_the_weight_at_the_start(schedule: str) -> None:
    assert weights(1, schedule=schedule) == [1.0]


def test_cross_entropy_and_dice_are_its_ends() -> None:
    at, options = example(), {"reduce": "batch", "smoothing": 10.0}
    entropy, overlap = value("cross-entropy", at), value("dice", at, **options)
    close = torch.testing.assert_close
    close(value("cross-entropy-dice", at, weight=1, **options), entropy)
    close(value("cross-entropy-dice", at, weight=0, **options), overlap)
    close(value("cross-entropy-dice", at, **options), (entropy + overlap) / 2)


def test_the_weight_is_that_of_the_epoch_at_hand() -> None:
    logits, labels = example()
    objective = build("loss", "cross-entropy-dice", {"schedule": "linear"}, CONTEXT)
    entropy, overlap = value("cross-entropy", (logits, labels)), value("dice", (logits, labels))
    outputs, batch = Outputs(torch.zeros(4, 1), logits), batch_of(labels)
    for epoch in range(5):
        for step in (5 * epoch, 5 * epoch + 4):
            found = objective.loss(outputs, batch, Progress(step, 25, epoch, 5))
            torch.testing.assert_close(found, (1 - epoch / 4) * entropy + epoch / 4 * overlap)


def test_a_weighted_sum_is_the_sum_of_what_it_names() -> None:
    at = example()
    terms = [
        {"loss": "cross-entropy"},
        {"loss": {"dice": {"reduce": "batch"}}, "weight": 0.5},
        {"loss": {"dice": {"smoothing": 100}}, "weight": 2},
        {"loss": "boundary", "schedule": "linear", "start": 0.25, "end": 1},
    ]
    expected = (
        value("cross-entropy", at)
        + 0.5 * value("dice", at, reduce="batch")
        + 2 * value("dice", at, smoothing=100.0)
        + 0.25 * value("boundary", at)
    )
    torch.testing.assert_close(value("weighted-sum", at, terms=terms), expected)


def test_each_image_is_weighed_where_every_term_has_a_loss_of_it() -> None:
    logits, labels = example()
    outputs, batch = Outputs(torch.zeros(4, 1), logits), batch_of(labels)
    for reduce in ("image", "batch"):
        objective = build("loss", "cross-entropy-dice", {"reduce": reduce}, CONTEXT)
        each = objective.each(outputs, batch, PROGRESS)
        assert (each is None) == (reduce == "batch")


def test_a_term_with_a_state_of_its_own_keeps_it() -> None:
    objective = build("loss", "weighted-sum", {"terms": [{"loss": "weighted-cross-entropy"}]}, CONTEXT)
    assert list(objective.state_dict()) == ["terms.0.weights"]


def test_names_on_an_axis_are_short() -> None:
    assert component("cross-entropy-dice").label == "cross-entropy-dice"
    assert component("cross-entropy-dice", weight=0.8).label == "cross-entropy-dice(weight=0.8)"
    assert component("cross-entropy-dice", schedule="linear").label == "cross-entropy-dice(schedule=linear)"
    assert component("cross-entropy-dice", schedule="step").label == "cross-entropy-dice(schedule=step)"


def test_the_code_of_a_users_own_term_enters_the_hash() -> None:
    own = component("weighted-sum", terms=[{"loss": "tests.training.objectives:ThreeSteps", "weight": 2}])
    (term,) = own.params["terms"]
    assert term["version"] == lookup("loss", "tests.training.objectives:ThreeSteps").source_hash
    assert Component.model_validate(own.model_dump(mode="json", context={"complete": True})) == own


@pytest.mark.parametrize(
    ("name", "params", "text"),
    [
        ("cross-entropy-dice", {"weight": 1.5}, "Input should be less than or equal to 1"),
        ("cross-entropy-dice", {"end": 0.5}, "end: 0.5 has no effect under `schedule: constant`: leave it out"),
        (
            "cross-entropy-dice",
            {"schedule": "linear", "weight": 0.7},
            "weight: 0.7 has no effect under `schedule: linear`: leave it out",
        ),
        (
            "cross-entropy-dice",
            {"schedule": "cosine", "at": 0.5},
            "at: 0.5 has no effect under `schedule: cosine`: leave it out",
        ),
        ("weighted-sum", {}, "Field required"),
        ("weighted-sum", {"terms": []}, "at least 1 item"),
        ("weighted-sum", {"terms": [{"loss": "dise"}]}, "unknown loss 'dise': did you mean 'dice'?"),
        ("weighted-sum", {"terms": [{"loss": {"dice": {"smooth": 1}}}]}, "dice.smooth: Extra inputs are not permitted"),
        (
            "weighted-sum",
            {"terms": [{"loss": "supcon"}]},
            "'supcon' compares images, not pixels: name a loss for segmentation",
        ),
        ("weighted-sum", {"terms": [{"loss": "dice", "weight": -1}]}, "Input should be greater than or equal to 0"),
    ],
)
def test_wrong_arguments_are_refused(name: str, params: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as error:
        lookup("loss", name).validate(params)
    assert text in str(error.value)


def test_a_term_of_two_views_is_refused() -> None:
    terms = [{"loss": "tests.training.objectives:MovingTeacher"}]
    with pytest.raises(SpecError) as error:
        build("loss", "weighted-sum", {"terms": terms}, CONTEXT)
    assert str(error.value) == (
        "MovingTeacher cannot be a term of a sum: it sees 2 views of an image or leaves the head to be fitted "
        "afterwards; use it alone"
    )


@pytest.mark.parametrize(
    "loss",
    [
        component("cross-entropy-dice", schedule="linear"),
        component("weighted-sum", terms=[{"loss": {"cross-entropy-dice": {"schedule": "step"}}}]),
    ],
)
def test_epochs_of_a_loss_that_changes_are_not_compared(loss: Component) -> None:
    with pytest.raises(ValidationError) as error:
        recipe(loss, "best-validation-loss")
    assert (
        f"selection 'best-validation-loss' compares epochs, and loss '{loss.name}' weighs its terms otherwise in each: "
        "use selection: last, or constant weights"
    ) in str(error.value)
    assert recipe(loss, "last").loss == loss
    constant = component("cross-entropy-dice", weight=0.3)
    assert recipe(constant, "best-validation-loss").loss == constant
