"""Masked autoencoding: what is hidden stays hidden, only that is asked for, and a common transformer is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.worlds.environments import part, recipe
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from assay.core.errors import SpecError
from assay.core.registry import build
from assay.data.dataset import Batch
from assay.models.initialization import FromSource
from assay.models.networks import ArchitectureContext, Classifier, InputScaling, Outputs, build_network
from assay.models.timm import transformer_of
from assay.models.weights import WEIGHTS_FILE, library_draws, save_weights
from assay.spec.recipe import RecipeSpec
from assay.testing.data import squares
from assay.testing.models import same_state
from assay.training.collapse import Collapsed
from assay.training.loop import Interrupted, begin, fit
from assay.training.losses.self_supervised import Masked, MaskedAutoencoder
from assay.training.objective import LossContext, Progress

NOW = Progress(step=0, steps=5, epoch=0, epochs=1)
SMALL = {"depth": 1, "width": 32}
WHICH = "plain vision transformers (such as vit_tiny_patch16_224 or deit_small_patch16_224)"
CHANGES: dict[str, dict[str, Any]] = {
    "class token": {},
    "mean over patches": {"class_token": False, "global_pool": "avg"},
    "registers": {"reg_tokens": 2},
}


def network_of(size: int = 16, channels: int = 1, **given: Any) -> Classifier:
    """A transformer of two blocks on patches of 4 px."""
    values = {"img_size": size, "patch_size": 4, "in_chans": channels, "num_classes": 0, "embed_dim": 32, "depth": 2}
    with library_draws(1, "small-vit"):
        trunk = VisionTransformer(**{**values, "num_heads": 2, **given})
        return Classifier(trunk, 32, (), InputScaling(channels), 2)


def objective_for(network: nn.Module, **given: Any) -> MaskedAutoencoder:
    made = build("loss", "masked-autoencoder", {**SMALL, **given}, LossContext(32, 2, (3, 5)))
    with library_draws(2, "decoder"):
        made.start(network)
    return made


def batch_of(size: int = 16, channels: int = 1, rows: int = 5) -> Batch:
    images = torch.rand((rows, channels, size, size), generator=torch.Generator().manual_seed(3))
    return Batch(images=images, target=torch.arange(rows) % 2, row=torch.arange(rows) + 7)


def read(objective: MaskedAutoencoder, network: Classifier, batch: Batch) -> Masked:
    outputs = objective.read(network, batch)
    assert isinstance(outputs, Masked)
    return outputs


def mask_of(outputs: Masked, seen: int, size: int) -> Tensor:
    """Pixels that were not shown, [b, h, w]."""
    mask = torch.zeros(len(outputs.order), size, size, dtype=torch.bool)
    for image, order in enumerate(outputs.order.tolist()):
        for place in order[seen:]:
            y, x = 4 * (place // outputs.grid[1]), 4 * (place % outputs.grid[1])
            mask[image, y : y + 4, x : x + 4] = True
    return mask


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_over_pixels_of_hidden_patches_alone() -> None:
    """Patch by patch, pixel by pixel."""
    network, batch = network_of(channels=3), batch_of(channels=3)
    objective = objective_for(network)
    outputs = read(objective, network, batch)
    told = objective._told(outputs, 4).detach()
    total, count = 0.0, 0
    for image in range(5):
        for place in outputs.order[image, 4:].tolist():
            y, x = 4 * (place // 4), 4 * (place % 4)
            own = batch.images[image, :, y : y + 4, x : x + 4].numpy().astype(np.float64)
            values = [own[c, v, u] for v in range(4) for u in range(4) for c in range(3)]
            mean, sd = np.mean(values), np.sqrt(np.var(values, ddof=1) + 1e-6)
            for value, said in zip(values, told[image, place].tolist(), strict=True):
                total, count = total + (said - (value - mean) / sd) ** 2, count + 1
    assert count == 5 * 12 * 48
    assert float(objective.loss(outputs, batch, NOW).detach()) == pytest.approx(total / count, rel=1e-5)


def test_pixels_that_were_shown_are_not_asked_for_and_hidden_ones_are() -> None:
    network, batch = network_of(), batch_of()
    objective = objective_for(network)
    outputs = read(objective, network, batch)
    mask = mask_of(outputs, 4, 16)[:, None]
    other = torch.rand_like(batch.images)
    first = objective.loss(outputs, batch, NOW)
    assert torch.equal(first, objective.loss(outputs, replace(batch, images=batch.images.where(mask, other)), NOW))
    assert not torch.equal(first, objective.loss(outputs, replace(batch, images=other.where(mask, batch.images)), NOW))


@pytest.mark.parametrize("name", CHANGES)
def test_hidden_pixels_never_reach_the_network(name: str) -> None:
    network, batch = network_of(**CHANGES[name]).eval(), batch_of()
    objective = objective_for(network).eval()
    first = read(objective, network, batch)
    mask = mask_of(first, 4, 16)[:, None]
    other = torch.rand_like(batch.images)
    again = read(objective, network, replace(batch, images=other.where(mask, batch.images)))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.features, again.features)
    assert not torch.equal(first.tokens, read(objective, network, replace(batch, images=other)).tokens)


def test_a_decoder_that_says_gray_everywhere_is_wrong_by_the_variance() -> None:
    """Standardized by n - 1, the mean square of 16 pixels is 15 / 16."""
    network, batch = network_of(), batch_of()
    objective = objective_for(network)
    nn.init.zeros_(cast(nn.Linear, objective.decoder["predict"]).weight)
    outputs = read(objective, network, batch)
    assert float(objective.loss(outputs, batch, NOW).detach()) == pytest.approx(15 / 16, rel=1e-3)
    flat = replace(batch, images=torch.full_like(batch.images, 0.3))
    assert float(objective.loss(outputs, flat, NOW).detach()) == pytest.approx(0, abs=1e-6)


# --- what is hidden --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_with_every_patch_shown_in_its_order_the_network_is_as_ever(name: str) -> None:
    network, batch = network_of(**CHANGES[name]).eval(), batch_of()
    transformer = transformer_of(network)
    assert transformer is not None
    whole = network.read(batch.images)
    with transformer.shown(torch.arange(16).expand(5, -1)) as seen:
        same = network.read(batch.images)
    torch.testing.assert_close(same.features, whole.features)
    tokens = transformer.trunk.fc_norm(transformer.trunk.forward_features(network.scaling(batch.images)))
    torch.testing.assert_close(seen[0], tokens)
    again = network.read(batch.images)
    assert torch.equal(again.features, whole.features)  # nothing is left on it


@pytest.mark.parametrize(("hidden", "seen"), [(0.75, 4), (0.5, 8), (0.99, 1), (0.01, 15)])
def test_so_many_patches_are_shown_and_at_least_one_is_and_one_is_not(hidden: float, seen: int) -> None:
    network = network_of()
    outputs = read(objective_for(network, hidden=hidden), network, batch_of())
    assert outputs.tokens.shape == (5, 1 + seen, 32)
    assert torch.equal(outputs.order.sort(dim=1).values, torch.arange(16).expand(5, -1))


def test_in_training_others_are_hidden_each_time_and_in_evaluation_those_of_the_row() -> None:
    network, batch = network_of(), batch_of()
    objective = objective_for(network)
    with library_draws(0, "a step"):
        first, second = (read(objective, network, batch).order for _ in range(2))
    with library_draws(0, "a step"):
        again = read(objective, network, batch).order
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    objective.eval()
    before = torch.random.get_rng_state()
    whole = read(objective, network, batch).order
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(whole[0], whole[1])
    part_of = Batch(images=batch.images[2:], target=batch.target[2:], row=batch.row[2:])
    assert torch.equal(read(objective, network, part_of).order, whole[2:])


def test_of_a_constant_network_all_images_have_the_mean_token_at_their_own_places() -> None:
    network, batch = network_of(), batch_of()
    outputs = read(objective_for(network), network, batch)
    constant = outputs.constant()
    torch.testing.assert_close(constant.tokens, outputs.tokens.mean(0, keepdim=True).expand_as(outputs.tokens))
    assert torch.equal(constant.order, outputs.order)
    plain = Outputs(features=torch.tensor([[1.0], [3.0]]), logits=torch.tensor([[0.0], [1.0]])).constant()
    assert plain.features.flatten().tolist() == [2, 2]
    assert plain.logits.flatten().tolist() == [0.5, 0.5]


# --- a training ------------------------------------------------------------------------------------------------------

TRAINING, VALIDATION = squares(40, seed=1, size=64), squares(20, seed=2, size=64)


def of_transformer(loss: str = "masked-autoencoder", **fields: Any) -> RecipeSpec:
    """timm's smallest transformer, of 16 patches of 16 px."""
    given: dict[str, Any] = {"epochs": 4, "optimizer": part("optimizer", "adamw", lr=3e-3), **fields}
    given["architecture"] = part("architecture", "timm", model="test_vit", in_chans=1)
    return recipe(**given).model_copy(update={"loss": part("loss", loss, **(SMALL if "masked" in loss else {}))})


def test_it_learns_is_resumed_to_the_bit_and_starts_a_trial(tmp_path, monkeypatch) -> None:
    options: dict[str, Any] = {"classes": 2, "seed": 0}
    whole = fit(of_transformer(), TRAINING, VALIDATION, folder=tmp_path / "whole", **options)
    losses = [row["validation_loss"] for row in whole.curve]
    assert losses[-1] < losses[0]
    assert {"rank", "spread", "knn_accuracy"} < whole.curve[0].keys()

    counted = iter(range(100))
    with pytest.raises(Interrupted):
        fit(of_transformer(), TRAINING, VALIDATION, folder=tmp_path / "cut", checkpoint_every=0,
            should_stop=lambda: next(counted) == 4, **options)  # fmt: skip
    again = fit(of_transformer(), TRAINING, VALIDATION, folder=tmp_path / "cut", **options)
    assert same_state(whole.network, again.network)
    assert whole.curve == again.curve

    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "sources" / "mae"
    kept.mkdir(parents=True)
    save_weights(whole.network, kept / WEIGHTS_FILE)
    trial = build_network(of_transformer("cross-entropy"), channels=1, size=64, classes=2, seed=5)
    FromSource(id="mae")(trial)
    images = VALIDATION.images.read(np.arange(4))
    with torch.no_grad():
        features = [one.eval().read(images).features for one in (cast(Classifier, whole.network), trial)]
    torch.testing.assert_close(*features, rtol=0, atol=2e-6)  # some processors round equal weights otherwise


def test_features_that_die_end_the_training(tmp_path) -> None:
    run = begin(of_transformer(), TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path)
    norm = cast(nn.LayerNorm, run.network.trunk.norm)
    nn.init.zeros_(norm.weight)
    for group in run.optimizer.param_groups:
        group["initial_lr"] = 0.0
    run.train_step()
    run.close_epoch()
    run.train_step()
    with pytest.raises(Collapsed, match="collapsed-features"):
        run.close_epoch()


def test_a_network_that_is_no_plain_transformer_is_refused_with_what_works() -> None:
    context = ArchitectureContext(channels=1, size=32, classes=2, seed=0)
    network = build("architecture", "resnet18", {"stem": "small"}, context)
    with pytest.raises(SpecError) as told:
        objective_for(network)
    assert str(told.value) == (
        f"loss 'masked-autoencoder' trains timm's {WHICH}, and this network has none: name one, such as architecture: "
        "{timm: {model: vit_tiny_patch16_224}}, or use another loss without labels"
    )
    with pytest.raises(ValidationError) as early:
        recipe("masked-autoencoder")
    assert (
        "loss 'masked-autoencoder' trains plain vision transformers of timm, and the architecture is 'small-cnn': use "
        "architecture: {timm: {model: vit_tiny_patch16_224}}, or another loss"
    ) in str(early.value)


@pytest.mark.parametrize("given", [{"hidden": 1.0}, {"hidden": 0.0}, {"depth": 0}, {"width": 48}])
def test_wrong_arguments_are_refused(given: dict[str, Any]) -> None:
    make: Callable[..., object] = build
    with pytest.raises(ValidationError):
        make("loss", "masked-autoencoder", given, LossContext(32, 2, (3, 5)))
