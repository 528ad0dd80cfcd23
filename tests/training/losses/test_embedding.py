"""How an embedding loss is made into an objective: head, projection, weights, views."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from tests.training.losses.batches import criterion
from torch import nn
from torch.nn.functional import cross_entropy

from assay.plugin import LossContext, Objective, build, initialize_by_name
from assay.testing.losses import PROGRESS, batch_of, random_outputs

CONTEXT = LossContext(width=6, classes=2, counts=(10, 10))
EMBEDDING = (
    "pairwise-contrastive", "triplet", "n-pair", "lifted-structure", "supcon", "nt-xent", "arcface",
    "normalized-softmax", "circle",
)  # fmt: skip
Y = torch.arange(8) % 2


def make(loss: str, **params: Any) -> Any:
    return build("loss", loss, params, CONTEXT)


def value(objective: Objective) -> float:
    return objective.loss(random_outputs(len(Y)), batch_of(Y), PROGRESS).item()


@pytest.mark.parametrize("name", EMBEDDING)
def test_joint_adds_the_weighted_cross_entropy(name: str) -> None:
    after = make(name)
    joint = make(name, head="joint", weight=0.25)
    joint.load_state_dict(after.state_dict())
    assert (after.trains_head, joint.trains_head) == (False, True)
    expected = value(after) + 0.25 * cross_entropy(random_outputs(len(Y)).logits, Y).item()
    assert value(joint) == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_supcon_is_the_sum_of_its_parts() -> None:
    outputs = random_outputs(len(Y))
    parts = cross_entropy(outputs.logits, Y) + 0.3 * criterion("supcon", temperature=0.2)(outputs.features, Y)
    objective = make("cross-entropy-supcon", weight=0.3, temperature=0.2)
    assert objective.trains_head
    assert value(objective) == pytest.approx(parts.item(), rel=1e-6)
    assert value(make("cross-entropy-supcon", weight=0)) == pytest.approx(cross_entropy(outputs.logits, Y).item())


def test_cross_entropy_supcon_keeps_its_cross_entropy_where_supcon_is_undefined() -> None:
    outputs, lone = random_outputs(1), torch.tensor([1])
    loss = make("cross-entropy-supcon").loss(outputs, batch_of(lone), PROGRESS)
    assert loss.item() == pytest.approx(cross_entropy(outputs.logits, lone).item())


@pytest.mark.parametrize("name", EMBEDDING)
def test_only_nt_xent_sees_two_views(name: str) -> None:
    assert make(name).views == (2 if name == "nt-xent" else 1)


@pytest.mark.parametrize(
    ("params", "kinds", "out"),
    [
        ({}, [], 6),
        ({"projection": "linear"}, [(6, 6)], 6),
        ({"projection": "linear", "embedding": 3}, [(6, 3)], 3),
        ({"projection": "mlp", "embedding": 4}, [(6, 6), (6, 4)], 4),
    ],
)
def test_projection(params: dict[str, Any], kinds: list[tuple[int, int]], out: int) -> None:
    projection = make("supcon", **params).projection
    linear = [m for m in projection.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == kinds
    assert projection(torch.zeros(2, 6)).shape == (2, out)


def test_the_loss_sees_the_projected_features() -> None:
    objective = make("pairwise-contrastive", projection="linear", embedding=2, normalize=False)
    z = objective.projection(random_outputs(len(Y)).features)
    expected = criterion("pairwise-contrastive", normalize=False)(z, Y).item()
    assert value(objective) == pytest.approx(expected, rel=1e-6)


def test_nt_xent_does_not_look_at_labels() -> None:
    objective, outputs = make("nt-xent"), random_outputs(len(Y))
    first, second = (objective.loss(outputs, batch_of(y), PROGRESS) for y in (Y, torch.zeros_like(Y)))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["arcface", "normalized-softmax"])
def test_class_directions_belong_to_the_objective(name: str) -> None:
    objective = make(name, projection="linear", embedding=3)
    assert {key: tuple(t.shape) for key, t in objective.state_dict().items()} == {
        "projection.weight": (3, 6),
        "projection.bias": (3,),
        "criterion.loss.W": (3, 2),
    }


@pytest.mark.parametrize("name", ["arcface", "normalized-softmax"])
def test_class_directions_are_drawn_from_the_seed_alone(name: str) -> None:
    def drawn(seed: int) -> torch.Tensor:
        objective = make(name)
        initialize_by_name(objective, seed)
        return objective.state_dict()["criterion.loss.W"]

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert drawn(1).abs().max() <= 6**-0.5


def test_the_library_is_imported_for_its_own_losses_only() -> None:
    code = (
        "import sys\nfrom assay.core.registry import build\nfrom assay.training.objective import LossContext\n"
        "for name in ('cross-entropy', 'supcon'):\n"
        "    build('loss', name, {}, LossContext(4, 2, (5, 5)))\n"
        "    print(name, 'pytorch_metric_learning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["cross-entropy False", "supcon True"]
