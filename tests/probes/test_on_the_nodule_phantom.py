"""All probes on the real phantom: a network that measures brightness in the middle relies on what brightens it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.probes.test_performance import found, of_all_images
from torch import Tensor, nn

from assay.plugin import ArrayCache, Component, DataSpec, Measurement, Model, build, run_probes
from assay.shifts.sources import open_population
from assay.spec.schema import AssociationSpec, EnvironmentSpec

PROBES = {name: {"samples": 256} if name == "reliance" else {} for name in ("performance", "reliance", "decodability")}


class Brightness(nn.Module):
    """Its logit is the mean brightness of the middle half of the image, its layer the same on a 4 x 4 grid."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        middle = images[:, :, 8:24, 8:24]
        self.grid(nn.functional.adaptive_avg_pool2d(middle, 4))
        return 40 * (middle.mean(dim=(1, 2, 3)) - 0.3)


@pytest.fixture(scope="module")
def measurements(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Measurement]]:
    cache: Path = tmp_path_factory.mktemp("cache")
    phantom = Component(kind="phantom", name="nodule")
    data = DataSpec(phantom=phantom, size=32, core="margin", train=20, validation=20, test=200)
    tests = {
        name: EnvironmentSpec(association={"texture": AssociationSpec(strength=strength)})
        for name, strength in (("same", 0.9), ("neutral", 0.0), ("reversed", -0.9))
    }
    scene = open_population(data, ArrayCache(cache)).scene(tests, 0, 0)
    model = Model(Brightness(), ("grid",), Brightness, 0.5)
    result = run_probes(model, scene, {name: build("probe", name, params) for name, params in PROBES.items()})
    return {**result.measurements, "performance": of_all_images(result.reads, scene)}


def test_it_relies_on_size_and_contrast_and_hardly_on_the_rest(measurements: dict[str, list[Measurement]]) -> None:
    """Larger and denser nodules are brighter; where the lesion is, within the middle, tells little."""
    total = {m.factor: m.value for m in measurements["reliance"] if m.measure == "sobol-total"}
    assert list(total)[-1] == "nuisance seed"
    lesion = total["size"] + total["contrast"] + total["texture"]
    assert lesion > 5 * (total["margin"] + total["vessel"])
    effect = {m.factor: m for m in measurements["reliance"] if m.measure == "logit-effect" and not m.group}
    assert effect["size"].value > 5 * effect["size"].standard_error
    assert effect["size"].value > 5 * abs(effect["vessel"].value)


def test_its_performance_follows_the_association(measurements: dict[str, list[Measurement]]) -> None:
    """Whatever brightness tells of texture helps in one environment and harms in the other."""
    same, reversed_ = (found(measurements["performance"], "auroc", environment=e) for e in ("same", "reversed"))
    assert abs(same.value - reversed_.value) > 3 * np.hypot(same.standard_error, reversed_.standard_error)
    neutral = found(measurements["performance"], "auroc", environment="neutral").value
    assert min(same.value, reversed_.value) < neutral < max(same.value, reversed_.value)


def test_what_it_carries_is_what_its_untrained_twin_carries(measurements: dict[str, list[Measurement]]) -> None:
    """The network has no weights: training changed nothing, so the reference says the same."""
    by_group: dict[str, dict[str, float]] = {}
    for m in measurements["decodability"]:
        by_group.setdefault(m.group, {})[m.factor] = m.value
    assert by_group["trained"] == by_group["untrained"]
    assert by_group["trained"]["size"] > 0.7
    assert abs(by_group["shuffled"]["size"] - 0.5) < 0.2
    assert not any(np.isnan(value) for group in by_group.values() for value in group.values())
