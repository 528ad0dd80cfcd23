from __future__ import annotations

import pytest
import torch
from tests.models.weights.networks import filled, network, recipe_of
from tests.worlds.environments import part
from torch import nn

from assay.models import initialization
from assay.plugin import WeightsError, build_network
from assay.testing.models import same_state


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A trunk with statistics of its own, in a file."""
    path = tmp_path_factory.mktemp("source") / "source.pt"
    trunk = filled(network(seed=5).trunk)
    with torch.no_grad():
        trunk.conv1.weight.mul_(3).add_(0.4)
    torch.save(trunk.state_dict(), path)
    return trunk, path


def drawn(path, seed=0, model="resnet18", classes=2):
    begun = part("initialization", "random-statistics", path=str(path), input="symmetric")
    return build_network(recipe_of(model, begun), channels=3, size=32, classes=classes, seed=seed)


def test_every_tensor_has_the_mean_and_the_variance_of_its_model(source):
    """Of n normal draws the mean strays by sd / sqrt(n) and the standard deviation by sd / sqrt(2 n): within 5 each."""
    trunk, path = source
    loaded = drawn(path).trunk
    for name, parameter in loaded.named_parameters():
        of = trunk.get_parameter(name).detach().double()
        sd, n = float(of.std(correction=0)), of.numel()
        found = parameter.detach().double()
        assert abs(float(found.mean() - of.mean())) <= 5 * sd / n**0.5, name
        assert abs(float(found.std(correction=0)) - sd) <= 5 * sd / (2 * n) ** 0.5, name
        assert not torch.equal(found, of), name


def test_draws_are_independent_of_the_model_and_normal(source):
    trunk, path = source
    of, found = trunk.layer4[1].conv2.weight.detach().flatten(), drawn(path).trunk.layer4[1].conv2.weight.flatten()
    n = len(of)
    assert abs(float(torch.corrcoef(torch.stack([of, found.detach()]))[0, 1])) < 5 / n**0.5
    z = ((found - found.mean()) / found.std()).detach()
    assert abs(float((z**3).mean())) < 5 * (6 / n) ** 0.5
    assert abs(float((z**4).mean()) - 3) < 5 * (24 / n) ** 0.5  # torch's own law is uniform: 1.8


def test_running_statistics_start_afresh(source):
    norms = [layer for layer in drawn(source[1]).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(torch.equal(layer.running_mean, torch.zeros_like(layer.running_mean)) for layer in norms)
    assert all(torch.equal(layer.running_var, torch.ones_like(layer.running_var)) for layer in norms)


def test_it_is_drawn_from_the_seed_alone(source):
    _, path = source
    torch.manual_seed(1)
    first = drawn(path, seed=3)
    torch.manual_seed(2)
    assert same_state(first, drawn(path, seed=3))
    assert same_state(first.trunk, drawn(path, seed=3, classes=5).trunk)
    assert not same_state(first.trunk, drawn(path, seed=4).trunk)


def test_images_are_scaled_as_for_the_model(source):
    loaded = drawn(source[1])
    assert loaded.start.scaling == "2 x - 1"
    assert loaded.scaling.mean.flatten().tolist() == [0.5] * 3


def test_a_constant_tensor_stays_what_it_is(tmp_path):
    path = tmp_path / "w.pt"
    torch.save(network().trunk.state_dict(), path)  # fresh batch norms: all ones, all zeros
    assert torch.equal(drawn(path).trunk.bn1.weight, torch.ones(64))


def test_without_a_file_the_model_is_what_timm_publishes(monkeypatch, source):
    trunk, _ = source
    monkeypatch.setattr(initialization, "_is_cached", lambda configuration: True)
    monkeypatch.setattr("assay.models.timm.download_published", lambda trunk, channels: source[0].state_dict())
    begun = part("initialization", "random-statistics")
    loaded = build_network(recipe_of("resnet18", begun), channels=3, size=32, classes=2, seed=0)
    assert float(loaded.trunk.conv1.weight.detach().mean()) == pytest.approx(
        float(trunk.conv1.weight.detach().mean()), abs=0.1
    )
    assert loaded.start.file.startswith("timm/resnet18.")


def test_weights_that_do_not_fit_are_refused(source):
    with pytest.raises(WeightsError, match=r"does not fit the architecture '.+'; .* missing"):
        drawn(source[1], model="resnet34")
