"""What each fine-tuning leaves as it was, how fast it changes the rest, and that it goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.worlds.environments import part, recipe
from torch.nn import functional

from assay.core import registry
from assay.models.initialization import depths
from assay.plugin import Component, Interrupted, RecipeSpec, SpecError, as_network, build_network, fit, fit_head
from assay.testing.data import ImagesInMemory, squares
from assay.testing.models import same_state
from assay.training.feed import read_all
from assay.training.state import begin_training

TRAINING, VALIDATION = squares(70, seed=1), squares(30, seed=2)
BLOCKS = ("trunk.block1", "trunk.block2", "trunk.block3", "trunk.block4")


def tuned(name: str, **params: Any) -> RecipeSpec:
    return recipe(finetuning=part("finetuning", name, **params))


def at_start(chosen: RecipeSpec) -> dict[str, torch.Tensor]:
    return build_network(chosen, channels=1, size=TRAINING.images.shape[1], classes=2, seed=0).state_dict()


def trained(chosen: RecipeSpec, folder):
    return fit(chosen, TRAINING, VALIDATION, classes=2, seed=0, folder=folder)


def changed(network: torch.nn.Module, chosen: RecipeSpec) -> set[str]:
    """The parts of which any tensor changed, statistics of batch norms among them."""
    before = at_start(chosen)
    moved = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    return {".".join(key.split(".")[:2]) if key.startswith("trunk") else "head" for key in moved}


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        (tuned("full"), {*BLOCKS, "head"}),
        (tuned("last-layers", layers=0), {"head"}),
        (tuned("last-layers", layers=1), {"trunk.block4", "head"}),
        (tuned("last-layers", layers=3), {*BLOCKS[1:], "head"}),
        (tuned("last-layers", layers=9), {*BLOCKS, "head"}),
        (tuned("discriminative-rates"), {*BLOCKS, "head"}),
        (tuned("probe-then-full"), {*BLOCKS, "head"}),
        (tuned("linear-probe"), {"head"}),
    ],
    ids=lambda value: value.finetuning.label if isinstance(value, RecipeSpec) else "",
)
def test_what_is_frozen_stays_as_it_was_to_the_bit(chosen: RecipeSpec, parts: set[str], tmp_path) -> None:
    assert changed(trained(chosen, tmp_path).network, chosen) == parts


def test_rates_fall_by_layer_and_the_curve_tells_the_heads(tmp_path) -> None:
    chosen = tuned("discriminative-rates", decay=0.5)
    run = begin_training(chosen, TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path)
    of_parameter = {p: group["initial_lr"] for group in run.optimizer.param_groups for p in group["params"]}
    rates = [{of_parameter[parameter] for parameter in layer} for layer in depths(run.network)]
    top = of_parameter[as_network(run.network).head.weight]
    assert rates == [{top * 0.5**4}, {top * 0.5**3}, {top * 0.5**2}, {top * 0.5}]
    assert run.optimizer.param_groups[0]["initial_lr"] == top


def test_a_network_of_timm_is_parted_at_its_stages() -> None:
    chosen = recipe(architecture=part("architecture", "timm", model="resnet10t"))
    network = build_network(chosen, channels=3, size=32, classes=2, seed=0)
    parts = depths(network)
    names = {parameter: name for name, parameter in network.named_parameters()}
    assert sum(len(one) for one in parts) == sum(1 for name in names.values() if name.startswith("trunk."))
    assert [names[one[-1]].split(".")[1] for one in parts[-4:]] == ["layer1", "layer2", "layer3", "layer4"]


def test_a_linear_probe_is_the_head_fitted_on_the_features_of_the_start(tmp_path) -> None:
    chosen = tuned("linear-probe")
    done = trained(chosen, tmp_path)
    run = begin_training(chosen, TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path)
    run.network.eval()
    own = fit_head(read_all(run.network, run.training, 16).features, run.training.target, 2)
    seen = read_all(run.network, run.validation, 16).features
    assert done.validated is not None
    torch.testing.assert_close(done.validated.double(), own.logits(seen), rtol=1e-4, atol=1e-4)
    assert done.yardstick == pytest.approx(own.log_loss(seen, run.validation.target))
    assert (done.steps, done.selected_epoch, len(done.curve)) == (0, 0, 1)
    assert done.curve[0]["validation_loss"] == done.yardstick
    assert not done.collapsed


def test_a_probe_comes_before_the_first_step_of_what_follows(tmp_path) -> None:
    """The head is that of the features which training sees: the first step begins where the head was fitted."""
    run = begin_training(tuned("probe-then-full"), TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path)
    assert run.network.training
    batch = run.training.batch(np.arange(64))
    images = [batch.images[half] for half in (slice(0, 32), slice(32, 64))]
    with torch.no_grad():
        in_training = torch.cat([run.network(part) for part in images])
        tested = run.network.eval()(batch.images)
    losses = [float(functional.cross_entropy(logits, batch.target)) for logits in (in_training, tested)]
    assert losses[0] < 2 * losses[1] + 0.1
    again = begin_training(
        tuned("probe-then-full"), TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path / "again"
    )
    own = fit_head(read_all(again.network.eval(), again.training, 16).features, again.training.target, 2)
    torch.testing.assert_close(as_network(again.network).head.weight.double(), own.weight, rtol=1e-3, atol=1e-4)
    norms = [layer for layer in run.network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert norm.momentum == 0.1
        assert norm.running_mean is not None
        assert norm.running_mean.abs().max() > 0


@pytest.mark.parametrize("chosen", [tuned("last-layers", layers=2), tuned("probe-then-full")], ids=["last", "probe"])
def test_resumed_it_ends_as_it_would_have_ended(chosen: RecipeSpec, tmp_path) -> None:
    whole = trained(chosen, tmp_path / "whole")
    counted = iter(range(100))
    with pytest.raises(Interrupted):
        fit(
            chosen,
            TRAINING,
            VALIDATION,
            classes=2,
            seed=0,
            folder=tmp_path / "cut",
            checkpoint_every=0,
            should_stop=lambda: next(counted) == 4,
        )
    assert same_state(whole.network, trained(chosen, tmp_path / "cut").network)


def test_with_a_teacher_and_frozen_layers_it_ends_as_it_would_have_ended(tmp_path) -> None:
    chosen = RecipeSpec(
        epochs=3,
        batch_size=16,
        loss=part("loss", "moco", queue=64),
        finetuning=part("finetuning", "last-layers", layers=2),
    )
    whole, counted = trained(chosen, tmp_path / "whole"), iter(range(100))
    for _ in range(2):  # in the second epoch, after a validation, and once more
        with pytest.raises(Interrupted):
            fit(chosen, TRAINING, VALIDATION, classes=2, seed=0, folder=tmp_path / "cut", checkpoint_every=0,
                should_stop=lambda: next(counted) in (6, 9))  # fmt: skip
    assert same_state(whole.network, trained(chosen, tmp_path / "cut").network)


def test_a_checkpoint_of_the_same_rows_with_other_pixels_is_not_continued(tmp_path) -> None:
    chosen, other = tuned("full"), replace(TRAINING, images=ImagesInMemory(TRAINING.images.read(np.arange(70)) / 2))
    with pytest.raises(Interrupted):
        fit(chosen, TRAINING, VALIDATION, classes=2, seed=0, folder=tmp_path / "cut", checkpoint_every=0,
            should_stop=lambda: True)  # fmt: skip
    fresh, after = (
        fit(chosen, other, VALIDATION, classes=2, seed=0, folder=tmp_path / name) for name in ("fresh", "cut")
    )
    assert same_state(fresh.network, after.network)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"loss": part("loss", "focal")}, "takes no step, so loss 'focal' would have no effect: use cross-entropy"),
        ({"selection": "best-validation-loss"}, "so selection 'best-validation-loss' would have no effect: use last"),
        (
            {"mitigation": part("mitigation", "tests.training.mitigations.own:Reweighted"), "groups": "tag"},
            "Reweighted' would have no effect: use none",
        ),
        (
            {"task": "segmentation", "loss": part("loss", "dice")},
            "the recipe's task is segmentation: use full, or last-layers with layers: 0",
        ),
    ],
)
def test_what_has_no_effect_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RecipeSpec(finetuning=part("finetuning", "linear-probe"), **fields)


def test_a_head_that_is_fitted_afterwards_is_no_part_to_train_alone() -> None:
    with pytest.raises(ValueError, match="so that nothing would be trained: use linear-probe"):
        RecipeSpec(finetuning=part("finetuning", "last-layers", layers=0), loss=part("loss", "supcon"))


@pytest.mark.parametrize("chosen", [part("finetuning", "last-layers"), part("finetuning", "discriminative-rates")])
def test_a_network_without_separate_layers_is_not_trained_as_a_whole(chosen: Component) -> None:
    of_masks = {
        "task": "segmentation",
        "loss": part("loss", "dice"),
        "architecture": part("architecture", "small-unet"),
    }
    network = build_network(RecipeSpec(**of_masks), channels=1, size=32, classes=2, seed=0)
    with pytest.raises(SpecError, match="this network has no layers that can be trained apart"):
        registry.build("finetuning", chosen.name, {}).rates(network)
    assert set(registry.build("finetuning", "last-layers", {"layers": 0}).rates(network).values()) == {0.0}


def test_a_probe_before_training_serves_any_loss_on_a_linear_head() -> None:
    chosen = RecipeSpec(finetuning=part("finetuning", "probe-then-full"), loss=part("loss", "focal"))
    assert chosen.finetuning.name == "probe-then-full"
