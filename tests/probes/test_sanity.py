"""Networks with layers drawn anew, and how alike maps are then."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from tests.probes.test_attribution import SIDE, Patches
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.core.reasons import because
from assay.plugin import Code, Measurement, Model, Subject, library_draws, run_probes
from assay.probes.faithfulness import (
    dealt_anew,
    have_equal_weights,
    rank_correlations,
    redrawn,
    stages,
    structural_similarities,
    verdict,
)
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

    def refusal(self, subject: Subject) -> str:
        """None."""
        return ""

    def explain(self, subject: Subject, images: Tensor, own: Tensor) -> Tensor:
        """The first channel."""
        return images[:, 0]


def found(network: nn.Module, *explainers: str) -> list[Measurement]:
    probe = make_probe("attribution", explainers=explainers, images=20, sanity_images=8)
    return run_probes(Model(network), Patches(n=30), {"it": probe}).measurements["it"]


def overall(rows: list[Measurement], measure: str, explainer: str) -> Measurement:
    (one,) = (m for m in rows if (m.measure, m.factor, m.group, m.level) == (measure, explainer, "", ""))
    return one


def test_layers_are_drawn_anew_from_the_last_on_and_each_stage_alone() -> None:
    network = deep()
    subject = Subject.of(network, torch.rand(1, 1, SIDE, SIDE))
    assert [stage.down_to for stage in stages(subject)] == ["9", "3", "1", "0"]
    changed: list[tuple[str, set[str]]] = []
    for other in redrawn(subject):
        pairs = zip(network.named_parameters(), other.network.parameters(), strict=True)
        layers = {name.split(".")[0] for (name, own), new in pairs if not torch.equal(own, new)}
        changed.append((other.order, layers))
        for own, new in zip(network.parameters(), other.network.parameters(), strict=True):
            torch.testing.assert_close(own.flatten().sort().values, new.flatten().sort().values)
    assert changed == [  # layer 1 is a norm before training: its weights are all 1, its shifts all 0
        ("cascading", {"9"}),
        ("cascading", {"9", "5", "3"}),
        ("cascading", {"9", "5", "3"}),
        ("cascading", {"9", "5", "3", "0"}),
        ("independent", {"5", "3"}),
        ("independent", set()),
        ("independent", {"0"}),
    ]


def test_the_network_itself_stays_and_the_draw_is_the_same_each_time() -> None:
    network = deep()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one, two = (dealt_anew(network, {"9.weight"}) for _ in range(2))
    assert have_equal_weights(one, two)
    assert not have_equal_weights(one, network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(not module.training for module in one.modules())


def test_likenesses_are_those_of_scipy_and_scikit_image() -> None:
    draw = np.random.default_rng(0)
    ones, others = (draw.normal(size=(4, 20, 13)).astype(np.float32) for _ in range(2))
    others[1] = 0.7 * ones[1] + 0.3 * others[1]
    others[2] = np.round(others[2])  # ties
    ranks, structure = rank_correlations(ones, others), structural_similarities(ones, others)
    for i in range(4):
        x, y = np.abs(ones[i]), np.abs(others[i])
        assert ranks[i] == pytest.approx(spearmanr(x.ravel(), y.ravel()).statistic, abs=1e-9)
        wanted = structural_similarity(x / x.max(), y / y.max(), data_range=1.0, full=True)[1][3:-3, 3:-3].mean()
        assert structure[i] == pytest.approx(float(wanted), abs=1e-6)


def test_a_map_of_which_nothing_is_left_is_not_like_what_it_was() -> None:
    ones = np.random.default_rng(0).random((3, 9, 9))
    others = ones.copy()
    others[0] = 0
    ones[1] = 2
    others[2, 0, 0] = np.nan
    assert rank_correlations(ones, others)[0] == 0
    assert np.isnan(rank_correlations(ones, others)[1:]).all()
    np.testing.assert_allclose(rank_correlations(ones[:1], ones[:1]), 1)
    np.testing.assert_allclose(structural_similarities(ones[:1], ones[:1]), 1)


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

    said = because(Code.SANITY_SAME_WEIGHTS)
    assert overall(found(Mean(), "input-x-gradient"), "mass-accuracy", "input-x-gradient").reason == said
    one = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert overall(found(one, "input-x-gradient"), "mass-accuracy", "input-x-gradient").reason == said


def test_the_verdict() -> None:
    assert not verdict([0.2, 0.79], False)
    assert "its maps correlate by 0.50" in reason_words(verdict([0.2, 0.8], False))
    assert Code.FAILS_SANITY in verdict([0.9, np.nan], False)
    assert verdict([np.nan], False) == because(Code.SANITY_CONSTANT_MAPS)
