from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.worlds.environments import part

from assay.plugin import SpecError, build, entries, lookup

SCHEDULES = [entry.name for entry in entries("schedule")]
OPTIMIZERS = [entry.name for entry in entries("optimizer")]


@pytest.mark.parametrize("steps", [30, 100, 937])
def test_one_cycle_is_torchs(steps):
    """torch's OneCycleLR at its default shape: rises for 30% of the steps, from a 25th, to a 25e4th."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=steps)
    ours = build("schedule", "one-cycle", {})
    for step in range(steps):
        assert ours(step, steps) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        theirs.step() if step + 1 < steps else None


@pytest.mark.parametrize(
    ("name", "params", "steps", "expected"),
    [
        ("constant", {}, 4, [1, 1, 1, 1]),
        ("constant", {"warmup": 0.5}, 4, [1 / 3, 2 / 3, 1, 1]),
        ("linear", {}, 5, [1, 0.75, 0.5, 0.25, 0]),
        ("linear", {"end": 0.5}, 3, [1, 0.75, 0.5]),
        ("cosine", {}, 5, [1, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2, 0]),
        ("step", {}, 8, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]),
    ],
)
def test_values_by_hand(name, params, steps, expected):
    schedule = build("schedule", name, params)
    assert [schedule(step, steps) for step in range(steps)] == pytest.approx(expected)


@given(name=st.sampled_from(SCHEDULES), steps=st.integers(1, 400), data=st.data())
def test_a_share_of_the_peak_at_every_step(name, steps, data):
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= build("schedule", name, {})(step, steps) <= 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_downhill(name):
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = build("optimizer", name, {"lr": 0.05}, [weight])
    for _ in range(400):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
    assert weight.detach().abs().max() < 0.05


def test_adamw_is_the_paper_by_hand():
    """First step: moments are corrected to the gradient itself, so the step is lr * sign, after the decay."""
    weight = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = build("optimizer", "adamw", {"lr": 0.1, "weight_decay": 0.5, "eps": 1e-12}, [weight])
    (3 * weight).sum().backward()
    optimizer.step()
    assert float(weight.detach()) == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(SpecError, match="optimizer sgd: nesterov needs momentum above 0, and momentum is 0"):
        build("optimizer", "sgd", {"nesterov": True, "momentum": 0}, [torch.nn.Parameter(torch.zeros(1))])


@pytest.mark.parametrize(
    ("kind", "name", "params"),
    [
        ("optimizer", "adamw", {"lr": 0}),
        ("optimizer", "adamw", {"lr": 101}),
        ("optimizer", "sgd", {"beta1": 0.9}),
        ("optimizer", "adam", {"beta2": 1.0}),
        ("schedule", "one-cycle", {"warmup": 1.0}),
        ("schedule", "step", {"at": [0.5, 1.5]}),
        ("augmentation", "flip", {"horizontal": 1.5}),
        ("augmentation", "shift", {"pixels": -1}),
        ("architecture", "small-cnn", {"width": 3}),
        ("architecture", "timm", {}),
        ("initialization", "file", {"path": ""}),
    ],
)
def test_arguments_are_checked(kind, name, params):
    with pytest.raises(ValidationError):
        part(kind, name, **params)


def test_every_argument_says_what_it_is():
    for kind in ("architecture", "initialization", "optimizer", "schedule", "augmentation"):
        for entry in entries(kind):
            assert lookup(kind, entry.name).summary
            assert all(field.description for field in entry.params.model_fields.values()), entry.name
