"""Networks with layers drawn anew, and how alike maps are then."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from tests.probes.test_attribution import Patches
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Code, ExplainedNetwork, Measurement, Model, Reason, library_draws, run_probes
from assay.report.sentences.reasons import reason_words

HERE = "tests.probes.test_sanity"


def deep() -> nn.Sequential:
    """Five layers with weights, the norm's among them."""
    with library_draws(1, "deep"):
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 2),
        ).eval()


class ImageItself:
    """An explainer that shows the image, whatever the network."""

    additive = False

    def refusal(self, subject: ExplainedNetwork) -> str:
        """None."""
        return ""

    def explain(self, subject: ExplainedNetwork, images: Tensor, own: Tensor) -> Tensor:
        """The first channel."""
        return images[:, 0]


def found(network: nn.Module, *explainers: str) -> list[Measurement]:
    probe = make_probe("attribution", explainers=explainers, images=20, sanity_images=8)
    return run_probes(Model(network), Patches(n=30), {"it": probe}).measurements["it"]


def overall(rows: list[Measurement], measure: str, explainer: str) -> Measurement:
    (one,) = (m for m in rows if (m.measure, m.factor, m.group, m.level) == (measure, explainer, "", ""))
    return one


class Watching(ImageItself):
    """Shows the first channel after the first layer, and keeps the weights and the maps of every call."""

    calls: ClassVar[list[tuple[dict[str, Tensor], Tensor]]] = []

    def explain(self, subject: ExplainedNetwork, images: Tensor, own: Tensor) -> Tensor:
        """The map of each image."""
        maps = self.shown(subject, images)
        weights = {name: value.detach().clone() for name, value in subject.network.named_parameters()}
        self.calls.append((weights, maps.detach().clone()))
        return maps

    def shown(self, subject: ExplainedNetwork, images: Tensor) -> Tensor:
        """What is shown."""
        with torch.no_grad():
            return subject.network.get_submodule("0")(images)[:, 0]

    @classmethod
    def watched(cls, network: nn.Module) -> list[Measurement]:
        """The measurements of one probe; its calls replace those of earlier ones."""
        Watching.calls.clear()
        return found(network, f"{HERE}:{cls.__name__}")


class Parted(Watching):
    """The image itself of the trained network, of others that of the first images alone, and nothing of the rest."""

    alike = 0

    def shown(self, subject: ExplainedNetwork, images: Tensor) -> Tensor:
        """What is shown."""
        trained = not self.calls or all(
            torch.equal(value, self.calls[0][0][name]) for name, value in subject.network.named_parameters()
        )
        return images[:, 0] if trained else images[:, 0] * (torch.arange(len(images)) < self.alike)[:, None, None]


class HalfAlike(Parted):
    alike = 4


class LessAlike(Parted):
    alike = 3


class Constant(Watching):
    def shown(self, subject: ExplainedNetwork, images: Tensor) -> Tensor:
        """What is shown."""
        return torch.ones_like(images[:, 0])


def test_layers_are_drawn_anew_from_the_last_on_and_each_stage_alone() -> None:
    network = deep()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Watching.watched(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items()), "it stays"
    changed: list[set[str]] = []
    for weights, _ in Watching.calls:
        changed.append({name.split(".")[0] for name, own in weights.items() if not torch.equal(own, before[name])})
        for name, own in weights.items():
            torch.testing.assert_close(own.flatten().sort().values, before[name].flatten().sort().values)
    assert changed[-7:] == [  # layer 1 is a norm before training: its weights are all 1, its shifts all 0
        {"9"},
        {"9", "5", "3"},
        {"9", "5", "3"},
        {"9", "5", "3", "0"},
        {"5", "3"},
        set(),
        {"0"},
    ]
    first = list(Watching.calls)
    Watching.watched(deep())
    assert all(
        torch.equal(one[name], other[name])
        for (one, _), (other, _) in zip(first, Watching.calls, strict=True)
        for name in one
    )


def test_likenesses_are_those_of_scipy_and_scikit_image() -> None:
    rows = {(m.measure, m.group, m.level): m.value for m in Watching.watched(deep())}
    (_, before), others = Watching.calls[0], [maps for _, maps in Watching.calls[-7:]]
    stages = [("cascading", level) for level in "9310"] + [("independent", level) for level in "310"]
    for stage, maps in zip(stages, others, strict=True):
        pairs = [(one.abs().numpy(), other.abs().numpy()) for one, other in zip(before, maps, strict=False)]
        ranks = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in pairs]
        structure = [
            structural_similarity(x / x.max(), y / y.max(), data_range=1.0, full=True)[1][3:-3, 3:-3].mean()
            for x, y in pairs
        ]
        assert len(pairs) == 8
        assert rows["sanity-rank-correlation", *stage] == pytest.approx(np.mean(ranks), abs=1e-6)
        assert rows["sanity-ssim", *stage] == pytest.approx(np.mean(structure), abs=1e-5)


def test_an_explainer_fails_where_half_of_its_map_does_not_depend_on_what_was_learned() -> None:
    """A map of which nothing is left has a correlation of 0 with what it was."""
    name = f"{HERE}:{HalfAlike.__name__}"
    failed, passed = HalfAlike.watched(deep()), LessAlike.watched(deep())
    assert overall(failed, "sanity-rank-correlation", name).value == pytest.approx(0.5)
    assert "its maps correlate by 0.50" in reason_words(overall(failed, "mass-accuracy", name).reason)
    name = f"{HERE}:{LessAlike.__name__}"
    assert overall(passed, "sanity-rank-correlation", name).value == pytest.approx(3 / 8)
    assert reason_words(overall(passed, "mass-accuracy", name).reason) == ""


def test_maps_of_one_value_are_not_judged() -> None:
    rows = Constant.watched(deep())
    assert overall(rows, "mass-accuracy", f"{HERE}:Constant").reason == Reason.of(Code.SANITY_CONSTANT_MAPS)


def test_an_explainer_that_shows_the_image_fails_and_its_scores_say_so() -> None:
    name = f"{HERE}:ImageItself"
    rows = found(deep(), name, "gradient")
    assert overall(rows, "sanity-rank-correlation", name).value == pytest.approx(1)
    assert overall(rows, "sanity-ssim", name).value == pytest.approx(1)
    said = "fails the sanity check: its maps correlate by 1.00 with those of randomized weights"
    assert all(
        reason_words(m.reason) == said
        for m in rows
        if m.factor == name and m.measure in ("mass-accuracy", "pointing-game")
    )
    assert overall(rows, "sanity-rank-correlation", "gradient").value < 0.5
    assert reason_words(overall(rows, "mass-accuracy", "gradient").reason) == ""


def test_every_stage_is_told() -> None:
    rows = [m for m in found(deep(), "gradient") if m.measure == "sanity-rank-correlation"]
    assert [(m.group, m.level) for m in rows] == [
        ("cascading", "9"),
        ("cascading", "3"),
        ("cascading", "1"),
        ("cascading", "0"),
        ("", ""),
        ("independent", "3"),
        ("independent", "1"),
        ("independent", "0"),
    ]
    assert all(m.n == 8 for m in rows)
    by_stage = {(m.group, m.level): m.value for m in rows}
    assert by_stage["independent", "1"] == pytest.approx(1)  # a norm before training has nothing to deal out
    assert by_stage["", ""] == by_stage["cascading", "0"]


def test_where_there_is_nothing_to_draw_anew_nothing_is_judged() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            """The logit [b]."""
            return images.mean(dim=(1, 2, 3))

    said = Reason.of(Code.SANITY_SAME_WEIGHTS)
    assert overall(found(Mean(), "input-x-gradient"), "mass-accuracy", "input-x-gradient").reason == said
    one = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert overall(found(one, "input-x-gradient"), "mass-accuracy", "input-x-gradient").reason == said
