"""Losses without labels: against loops over plain numbers, by hand, and what their teachers and queues do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.environments import part, recipe
from torch import Tensor

from assay.plugin import Interrupted, LossContext, Progress, build, entries, fit
from assay.spec.recipe import looks_at_labels
from assay.testing.data import squares
from assay.testing.losses import batch_of, random_outputs
from assay.testing.models import same_state
from assay.training.losses import self_supervised
from assay.training.state import begin_training

TRAINING, VALIDATION = squares(70, seed=1), squares(30, seed=2)
SMALL: dict[str, dict[str, Any]] = {
    "vicreg": {"embedding": 16},
    "moco": {"embedding": 8, "queue": 20},
}
UNLABELED = sorted(SMALL)
"""The names of the losses without labels, and arguments under which they take no time."""
NOW = Progress(step=0, steps=5, epoch=0, epochs=1)


def pair(seed: int, n: int = 7, d: int = 4) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(n, d, dtype=torch.float64, generator=draws) for _ in range(2))
    return one, other


def begun(name: str, folder, **more):
    """A training at its first step."""
    chosen = recipe(name).model_copy(update={"loss": part("loss", name, **{**SMALL[name], **more})})
    return begin_training(chosen, TRAINING, VALIDATION, 2, 0, torch.device("cpu"), folder)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_vicreg_is_its_three_terms(seed: int) -> None:
    one, other = pair(seed)
    a, b = one.numpy(), other.numpy()
    hinge = sum(max(0.0, 1 - math.sqrt(z[:, i].var(ddof=1) + 1e-4)) for z in (a, b) for i in range(4)) / 8
    off = sum(np.cov(z.T)[i, j] ** 2 for z in (a, b) for i in range(4) for j in range(4) if i != j) / 4
    expected = 25 * ((a - b) ** 2).mean() + 24 * hinge + 2 * off
    got = self_supervised.vicreg(one, other, invariance=25, variance=24, covariance=2)
    assert float(got) == pytest.approx(expected, rel=1e-9)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_info_nce_is_a_log_loss_over_the_own_key_and_the_queue(seed: int) -> None:
    query, key = pair(seed)
    queue = torch.nn.functional.normalize(pair(seed + 1, 5)[0], dim=1)
    left_out = torch.rand(len(query), len(queue), generator=torch.Generator().manual_seed(seed)) < 0.3
    losses = []
    lengths = (np.linalg.norm(one.numpy(), axis=1, keepdims=True) for one in (query, key))
    units = (one.numpy() / length for one, length in zip((query, key), lengths, strict=True))
    for q, k, without in zip(*units, left_out.numpy(), strict=True):
        logits = np.array([q @ k, *(queue.numpy()[~without] @ q)]) / 0.2
        losses.append(np.log(np.exp(logits).sum()) - logits[0])
    assert float(self_supervised.info_nce(query, key, queue, left_out, temperature=0.2)) == pytest.approx(
        np.mean(losses), rel=1e-9
    )


def test_values_by_hand() -> None:
    alone = torch.tensor([[3.0, -1.0]])
    assert float(self_supervised.vicreg(alone, alone, invariance=1, variance=1, covariance=1)) == pytest.approx(
        0.99, abs=1e-6
    )
    far = 100 * torch.eye(2, dtype=torch.float64)[[0, 1, 0, 1]] - 50
    assert float(self_supervised.vicreg(far, far, invariance=25, variance=25, covariance=0)) == 0
    uniform = torch.zeros(3, 4, dtype=torch.float64)
    assert float(
        self_supervised.info_nce(uniform, uniform, uniform, torch.eye(3, dtype=torch.bool), temperature=1)
    ) == pytest.approx(math.log(3))


def test_no_loss_without_labels_is_left_out() -> None:
    here = {entry.name for entry in entries("loss") if ".self_supervised:" in entry.target}
    assert here == set(UNLABELED)
    assert not any(looks_at_labels(part("loss", name)) for name in [*UNLABELED, "nt-xent"])
    assert looks_at_labels(part("loss", "nt-xent", head="joint"))
    assert looks_at_labels(part("loss", "supcon"))


@pytest.mark.parametrize("name", UNLABELED)
def test_targets_decide_nothing_and_gradients_are_finite(name: str, tmp_path) -> None:
    run = begun(name, tmp_path)
    run.objective.eval()  # the queue stays
    run.network.eval()
    batch = run.views(run.training.batch(np.arange(16)), "augmentation", 0)
    outputs = run.outputs(batch)
    first = run.objective.loss(outputs, batch, NOW)
    other = batch_of(1 - batch.target)
    relabeled = run.objective.loss(outputs, type(batch)(batch.images, other.target, batch.row), NOW)
    assert torch.equal(first, relabeled)
    assert first.shape == ()
    first.backward()
    trained = [*run.network.trunk.parameters(), *run.objective.parameters()]
    grads = [parameter.grad for parameter in trained if parameter.requires_grad and parameter.grad is not None]
    assert all(bool(grad.isfinite().all()) for grad in grads)
    assert sum(float(grad.abs().sum()) for grad in grads) > 0
    assert run.network.head.weight.grad is None
    slope = sum(float(grad.square().sum()) for grad in grads)
    with torch.no_grad():
        for parameter in trained:
            if parameter.grad is not None:
                parameter.sub_(
                    1e-3 * float(first.detach()) / slope * parameter.grad
                )  # down by a thousandth, to first order
    lower = run.objective.loss(run.outputs(batch), batch, NOW)
    assert float(lower.detach()) < float(first.detach())


@pytest.mark.parametrize("name", UNLABELED)
def test_it_is_resumed_to_the_bit(name: str, tmp_path) -> None:
    chosen = recipe("cross-entropy", epochs=3, optimizer=part("optimizer", "adamw", lr=3e-3)).model_copy(
        update={"loss": part("loss", name, **SMALL[name])}
    )
    options: dict[str, Any] = {"classes": 2, "seed": 0}
    whole = fit(chosen, TRAINING, VALIDATION, folder=tmp_path / "whole", **options)
    counted = iter(range(100))
    with pytest.raises(Interrupted):
        fit(
            chosen,
            TRAINING,
            VALIDATION,
            folder=tmp_path / "cut",
            checkpoint_every=0,
            should_stop=lambda: next(counted) == 5,
            **options,
        )
    again = fit(chosen, TRAINING, VALIDATION, folder=tmp_path / "cut", **options)
    assert same_state(whole.network, again.network)
    assert [dict(row) for row in whole.curve] == [dict(row) for row in again.curve]
    assert {"rank", "spread", "knn_accuracy"} < whole.curve[0].keys()


def test_a_teacher_begins_as_the_network_follows_it_and_gets_no_gradient(tmp_path) -> None:
    run = begun("moco", tmp_path)
    objective = run.objective
    teacher = objective.averaged["network"]
    assert same_state(teacher, run.network)
    assert not any(parameter.requires_grad for parameter in objective.averaged.parameters())
    before = [parameter.clone() for parameter in teacher.parameters()]
    run.train_step()
    kept = objective.momentum
    for old, now, new in zip(before, teacher.parameters(), run.network.parameters(), strict=True):
        torch.testing.assert_close(now, kept * old + (1 - kept) * new)
    given = {id(parameter) for group in run.optimizer.param_groups for parameter in group["params"]}
    assert not given & {id(parameter) for parameter in objective.averaged.parameters()}


def test_an_image_is_not_told_from_its_own_earlier_keys(tmp_path) -> None:
    """Random keys, which are no image's, count, and so do those of other images; in evaluation mode all do."""
    run = begun("moco", tmp_path, queue=4)

    def loss_of(image: int) -> float:
        batch = run.views(run.training.batch(np.array([image])), "augmentation", 0)
        return float(run.objective.loss(run.outputs(batch), batch, NOW).detach())

    row = int(run.training.row[5])
    assert all(loss_of(5) > 0 for _ in range(4))
    assert run.objective.rows.tolist() == [row] * 4
    assert loss_of(5) == 0
    run.objective.eval()
    assert loss_of(5) > 0
    run.objective.train()
    assert loss_of(6) > 0


def test_a_queue_takes_the_keys_of_training_steps_in_the_place_of_the_oldest(tmp_path) -> None:
    run = begun("moco", tmp_path)
    start = run.objective.keys.clone()
    run.train_step()
    assert (int(run.objective.place), run.plan.batch) == (16, 16)
    assert torch.equal(run.objective.keys[16:], start[16:])
    assert not torch.equal(run.objective.keys[:16], start[:16])
    torch.testing.assert_close(run.objective.keys.norm(dim=1), torch.ones(20))
    run.train_step()
    assert int(run.objective.place) == (16 + 16) % 20
    kept = run.objective.keys.clone()
    run.end_epoch()
    assert torch.equal(run.objective.keys, kept)


def test_losses_of_two_views_hold_on_any_batch() -> None:
    """One image, and features that are all equal: a number, and finite gradients."""
    objective = build("loss", "vicreg", SMALL["vicreg"], LossContext(width=6, classes=2, counts=(1, 1)))
    for rows, scale in ((2, 1.0), (8, 0.0)):
        outputs = random_outputs(rows)
        outputs.features.data.mul_(scale)
        loss = objective.loss(outputs, batch_of(torch.zeros(rows, dtype=torch.long)), NOW)
        loss.backward()
        assert bool(loss.isfinite())
        assert outputs.features.grad is not None
        assert bool(outputs.features.grad.isfinite().all())
