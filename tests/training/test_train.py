from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.worlds.environments import CountedImages, part, recipe
from torch import Tensor

from assay.data.cache import ArrayImages
from assay.models.weights import load_checkpoint, remove_checkpoint, save_checkpoint
from assay.plugin import (
    Batch,
    Diverged,
    Environment,
    Interrupted,
    LossContext,
    Objective,
    Outputs,
    Progress,
    SpecError,
    fit,
    fit_head,
)
from assay.testing.data import squares
from assay.testing.models import same_state
from assay.training import feed
from assay.training.state import TrainingState, begin_training

TRAINING, VALIDATION = squares(70, seed=1), squares(30, seed=2)


def train(folder, chosen=None, training=TRAINING, validation=VALIDATION, **options):
    chosen = recipe() if chosen is None else chosen
    return fit(chosen, training, validation, **{"classes": 2, "seed": 0, "folder": folder, **options})


class Witness(Objective):
    """Cross-entropy that keeps what each step saw."""

    views = 1

    def __init__(self, context: LossContext) -> None:
        super().__init__()
        self.saw: list[tuple[Tensor, Tensor]] = []

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        if self.training:
            self.saw.append((batch.row.clone(), batch.images.clone()))
        return torch.nn.functional.cross_entropy(outputs.logits, batch.target)


class OtherWitness(Witness):
    """Another loss, with weights of its own."""

    views = 2

    def __init__(self, context: LossContext) -> None:
        super().__init__(context)
        self.projection = torch.nn.Linear(context.width, 7)

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        return super().loss(outputs, batch, progress) + self.projection(outputs.features).square().mean()


def steps_of(name, tmp_path, steps=5):
    run = begin_training(
        recipe(f"tests.training.test_train:{name}"), TRAINING, VALIDATION, 2, 3, torch.device("cpu"), tmp_path
    )
    start = {key: value.clone() for key, value in run.network.state_dict().items()}
    for _ in range(steps):
        run.train_step()
    return start, run.objective.saw


def test_two_losses_of_a_seed_are_paired(tmp_path):
    """Same initial weights, rows, batch order and augmentation draws; the second view draws apart from the first."""
    first, saw = steps_of("Witness", tmp_path)
    second, saw_other = steps_of("OtherWitness", tmp_path)
    assert all(torch.equal(first[key], second[key]) for key in first)
    for (rows, images), (other_rows, other_images) in zip(saw, saw_other, strict=True):
        half = len(rows)
        assert torch.equal(rows, other_rows[:half])
        assert torch.equal(rows, other_rows[half:])
        assert torch.equal(images, other_images[:half])
        assert not torch.equal(images, other_images[half:])


def test_an_epoch_sees_whole_batches_of_fresh_order(tmp_path):
    _, saw = steps_of("Witness", tmp_path, steps=8)
    epochs = [torch.cat([rows for rows, _ in saw[:4]]), torch.cat([rows for rows, _ in saw[4:]])]
    assert all(len(rows) == 64 == len(rows.unique()) for rows in epochs)
    assert not torch.equal(*epochs)
    assert set(epochs[0].tolist()) <= set(TRAINING.table.row.tolist())


def test_it_is_the_same_twice_and_leaves_no_trace(tmp_path):
    before = torch.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    first = train(tmp_path / "a")
    np.random.default_rng(0)
    second = train(tmp_path / "b")
    assert same_state(first.network, second.network)
    assert (first.curve, first.threshold, first.yardstick) == (second.curve, second.threshold, second.yardstick)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_another_seed_is_another_training(tmp_path):
    assert not same_state(train(tmp_path / "a").network, train(tmp_path / "b", seed=1).network)


def test_read_from_disk_it_is_the_same_as_preloaded(tmp_path, monkeypatch):
    whole = train(tmp_path / "a")
    monkeypatch.setattr(feed, "PRELOADED_BYTES", 0)
    counted = CountedImages(TRAINING.images)
    streamed = train(tmp_path / "b", training=replace(TRAINING, images=counted))
    assert same_state(whole.network, streamed.network)
    assert max(counted.reads) <= 16


def test_test_rows_have_no_way_in():
    """`fit` takes two environments, and what it decides with is named for what it is."""
    taken = inspect.get_annotations(fit, eval_str=True)
    assert [name for name, kind in taken.items() if kind is Environment] == ["training", "validation"]


def test_selection_rests_on_validation_rows_alone(tmp_path):
    """Other validation rows move threshold and yardstick, never the weights of the last epoch."""
    first = train(tmp_path / "a")
    other = train(tmp_path / "b", validation=squares(30, seed=9))
    assert same_state(first.network, other.network)
    assert first.threshold != other.threshold
    assert first.yardstick != other.yardstick


def test_best_validation_loss_selects_the_epoch_of_the_least(tmp_path):
    best = train(tmp_path / "a", recipe(epochs=6, selection="best-validation-loss"))
    losses = [row["validation_loss"] for row in best.curve]
    assert best.selected_epoch == 1 + int(np.argmin(losses))
    outputs = best.network.read(VALIDATION.images.pixels)
    loss = torch.nn.functional.cross_entropy(outputs.logits, torch.from_numpy(VALIDATION.table.target))
    assert float(loss.detach()) == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("losses", "selected"), [([np.nan, 0.5, 0.4, 0.6], 3), ([np.inf, np.nan, 0.7, np.nan], 3), ([np.nan] * 4, 4)]
)
def test_a_validation_loss_that_is_no_number_is_never_the_best(tmp_path, monkeypatch, losses, selected):
    """Nothing is less than NaN: in the first epoch it would stay the best. Without any number the last epoch stays."""
    told = iter(losses)
    monkeypatch.setattr(TrainingState, "_validation_loss", lambda run: next(told))
    assert train(tmp_path, recipe(epochs=4, selection="best-validation-loss")).selected_epoch == selected


EARLY = [0.9, 0.8, 0.85, 0.7, 0.75, 0.7, 0.1, 0.1]
"""With patience 2: best in epochs 1, 2 and 4; epochs 5 and 6 (equal, not better) are the two without a better one."""


def early(patience: int, epochs: int = 8, **fields):
    return recipe(epochs=epochs, selection="best-validation-loss", patience=patience, **fields)


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "selected"),
    [
        (EARLY, 1, 3, 2),
        (EARLY, 2, 6, 4),
        (EARLY, 3, 8, 7),
        ([np.nan, np.nan, 0.1, 0.1], 2, 2, 2),
        ([0.5, np.nan, np.nan, 0.1], 2, 3, 1),
        ([0.4, 0.3, 0.2, 0.1], 1, 4, 4),
    ],
)
def test_patience_ends_training_after_epochs_without_a_better_score(
    tmp_path, monkeypatch, losses, patience, epochs, selected
):
    monkeypatch.setattr(TrainingState, "_validation_loss", lambda run: losses[run.epoch])
    reports = []
    fitted = train(tmp_path, early(patience, len(losses)), on_progress=reports.append)
    assert [row["epoch"] for row in fitted.curve] == [*range(1, epochs + 1)]
    assert (fitted.selected_epoch, fitted.steps) == (selected, 4 * epochs)
    assert reports[-1].step == fitted.steps


def test_patience_changes_neither_the_steps_before_the_end_nor_the_schedule(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingState, "_validation_loss", lambda run: EARLY[run.epoch])
    rated = {"schedule": part("schedule", "cosine")}
    short = train(tmp_path / "a", early(2, **rated))
    whole = train(tmp_path / "b", recipe(epochs=8, selection="best-validation-loss", **rated))
    assert short.curve == whole.curve[:6]
    assert short.curve[-1]["lr"] > whole.curve[-1]["lr"]


def test_early_stopping_resumed_after_any_step_ends_the_same(tmp_path, monkeypatch):
    """Stopped after each step in turn, also after the one that ends training, whose checkpoint is then all there is."""
    monkeypatch.setattr(TrainingState, "_validation_loss", lambda run: EARLY[run.epoch])
    whole = train(tmp_path / "whole", early(2), checkpoint_every=0)
    again = train(tmp_path / "whole", early(2))
    interruptions = 0
    while True:
        try:
            resumed = train(tmp_path / "resumed", early(2), should_stop=lambda: True)
            break
        except Interrupted:
            interruptions += 1
    assert interruptions == 23
    for other in (again, resumed):
        assert same_state(other.network, whole.network)
        assert (other.curve, other.steps, other.selected_epoch) == (whole.curve, 24, 4)


def test_patience_counts_by_the_worst_group_too(tmp_path, monkeypatch):
    scores = iter([(0.5, -1.0), (0.5, -0.9), (0.4, -0.1), (0.5, -1.2)])
    monkeypatch.setattr(TrainingState, "_score", lambda run, loss: next(scores))
    fitted = train(tmp_path, recipe(epochs=6, patience=2, selection="best-validation-loss"))
    assert (len(fitted.curve), fitted.selected_epoch) == (4, 2)


def test_patience_is_of_the_last_phase(tmp_path, monkeypatch):
    """A first training has all of its epochs, whatever the validation loss does."""
    monkeypatch.setattr(TrainingState, "_validation_loss", lambda run: float(run.epoch))
    twice = part("mitigation", "tests.training.mitigations.own:Twice", epochs=3, upweight=2)
    fitted = train(tmp_path, early(1, epochs=5, mitigation=twice, groups="tag"))
    assert [row["epoch"] for row in fitted.curve] == [1, 2, 3, 4, 5]
    assert (fitted.selected_epoch, fitted.steps) == (4, 20)


def test_curve_has_a_row_per_epoch(tmp_path):
    fitted = train(tmp_path, recipe(epochs=3, schedule=part("schedule", "constant")))
    assert [row["epoch"] for row in fitted.curve] == [1, 2, 3]
    assert all(row["lr"] == 2e-3 for row in fitted.curve)
    assert fitted.steps == 12
    assert not fitted.network.training


def test_an_encoder_ends_with_a_head_fitted_on_frozen_features(tmp_path):
    fitted = train(tmp_path, recipe("supcon"))
    with torch.no_grad():
        training = fitted.network.read(TRAINING.images.pixels)
        validation = fitted.network.read(VALIDATION.images.pixels)
    head = fit_head(training.features, torch.from_numpy(TRAINING.table.target), 2)
    assert torch.allclose(fitted.network.head.weight.double(), head.weight, atol=1e-3)
    assert torch.allclose(validation.logits.double(), head.logits(validation.features), atol=1e-3)
    assert fitted.yardstick == pytest.approx(
        head.log_loss(validation.features, torch.from_numpy(VALIDATION.table.target)), abs=1e-3
    )


class NotANumber(Objective):
    """NaN at its sixth step."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        return outputs.logits.sum() * (float("nan") if progress.step == 5 else 1.0)


def test_a_loss_that_is_not_finite_is_diverged_at_its_step(tmp_path):
    with pytest.raises(Diverged) as error:
        train(tmp_path, recipe("tests.training.test_train:NotANumber"))
    assert (error.value.step, str(error.value)) == (6, "diverged: the loss is nan at step 6; try a lower learning rate")


def test_a_rate_out_of_bounds_diverges(tmp_path):
    chosen = recipe(
        "tests.training.test_train:Runaway",
        epochs=20,
        optimizer=part("optimizer", "sgd", lr=10.0),
        schedule=part("schedule", "constant"),
    )
    with pytest.raises(Diverged, match="try a lower learning rate"):
        train(tmp_path, chosen)


class Runaway(Objective):
    """Minus the squared logits: without a minimum."""

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        return -outputs.logits.square().sum()


def test_stopping_says_where_and_keeps_a_checkpoint(tmp_path):
    with pytest.raises(Interrupted, match="stopped after step 1; a checkpoint is kept"):
        train(tmp_path, should_stop=lambda: True)
    assert (tmp_path / "checkpoint.pt").exists()
    remove_checkpoint(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_training_is_not_continued(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, should_stop=lambda: True)
    expected = train(tmp_path / "fresh", seed=1)
    assert same_state(train(tmp_path, seed=1).network, expected.network)


def test_a_damaged_checkpoint_costs_time_alone(tmp_path):
    save_checkpoint(tmp_path, {"identity": "x", "step": 1})
    assert load_checkpoint(tmp_path, "x") == {"identity": "x", "step": 1}
    assert load_checkpoint(tmp_path, "y") is None
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    assert load_checkpoint(tmp_path, "x") is None


def test_classes_that_do_not_match_are_said(tmp_path):
    with pytest.raises(SpecError, match="environment 'squares' holds target 2 and there are 2 classes; targets are"):
        train(tmp_path, training=squares(40, classes=3))
    none = replace(VALIDATION, table=VALIDATION.table.take(np.zeros(30, dtype=bool)))
    with pytest.raises(SpecError, match="the validation environment 'squares' has no rows"):
        train(tmp_path, validation=none)


def test_fewer_rows_than_a_batch_are_one_batch(tmp_path):
    assert train(tmp_path, recipe(batch_size=512)).steps == 2


def test_three_classes_have_no_threshold(tmp_path):
    fitted = train(tmp_path, training=squares(60, classes=3), validation=squares(40, seed=3, classes=3), classes=3)
    assert fitted.threshold is None
    assert np.isfinite(fitted.yardstick)


def test_bfloat16_agrees_with_float32_to_its_precision(tmp_path):
    whole = train(tmp_path / "a", recipe(epochs=8))
    half = train(tmp_path / "b", recipe(epochs=8, precision="bfloat16"))
    assert half.curve[0]["train_loss"] == pytest.approx(whole.curve[0]["train_loss"], abs=0.05)
    assert next(half.network.parameters()).dtype == torch.float32


def test_tf32_is_float32_on_a_cpu_and_another_recipe(tmp_path):
    plain, rounded = recipe(), recipe(precision="tf32", deterministic=True)
    assert rounded.canonical() == plain.canonical() | {"precision": "tf32", "deterministic": True}
    assert same_state(train(tmp_path / "a", plain).network, train(tmp_path / "b", rounded).network)


def test_8_bits_hold_images_only_where_they_are_the_same():
    encoded = np.random.default_rng(0).integers(0, 256, (70, 1, 8, 8), dtype=np.uint8)
    images = ArrayImages(encoded)
    preloaded = feed._preload(replace(TRAINING, images=images), torch.device("cpu"), torch.uint8)
    assert preloaded.dtype == torch.uint8
    assert torch.equal(feed._to_unit_range(preloaded), images.read(np.arange(70)))
    finer = ArrayImages(encoded.astype(np.uint16))
    assert feed._preload(replace(TRAINING, images=finer), torch.device("cpu"), torch.uint8) is None
