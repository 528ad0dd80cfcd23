"""Layers put back: on networks of which it is known which layer the answers rest on."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Measurement, Model, run_probes
from assay.report.sentences.reasons import reason_words
from assay.testing.probe import PIXELS, World, pixel

LAYERS = ("first", "second", "second.inner")


class Chain(nn.Module):
    """Pixels through two layers that copy them, and a head that reads the first of them; a third that nobody hears."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Sequential()
        self.second.add_module("inner", nn.Linear(4, 4))
        self.second.add_module("outer", nn.BatchNorm1d(4))
        self.unheard, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        with torch.no_grad():
            for layer in (self.first, self.second.inner):
                layer.weight.copy_(torch.eye(4))  # pyright: ignore[reportArgumentType, reportCallIssue]
            self.unheard.weight.copy_(torch.arange(16.0).reshape(4, 4))
            self.unheard.bias.fill_(1)
            self.second.inner.bias.zero_()  # pyright: ignore[reportCallIssue]
            self.head.weight.copy_(torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]]))
            self.head.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, images: Tensor) -> Tensor:
        pixels = torch.stack([pixel(images, name) for name in PIXELS], dim=1)
        self.unheard(pixels)
        return self.head(self.second(self.first(pixels)))


def started(**changed: float) -> nn.Module:
    """The network before training: as it is now but for layers whose weights were these times theirs."""
    made = Chain()
    with torch.no_grad():
        for name, times in changed.items():
            for parameter in getattr(made, name).parameters():
                parameter.mul_(times)
    return made


def found(start: nn.Module, trained: nn.Module | None = None) -> dict[tuple[str, str], Measurement]:
    model = Model(trained or Chain(), LAYERS, untrained=lambda: copy.deepcopy(start), threshold=0.5)
    measured = run_probes(model, World(), {"r": make_probe("reinitialization")}).measurements["r"]
    return {(m.measure, m.layer): m for m in measured}


def test_parts_are_the_innermost_layers_and_what_lies_in_none() -> None:
    parts = dict.fromkeys(layer for _, layer in found(started()) if layer)
    assert list(parts) == ["first", "second.inner", "second (rest)", "unheard", "head"]


def test_nothing_is_lost_where_nothing_was_trained() -> None:
    by_name = found(started())
    for layer in ("first", "second.inner", "second (rest)", "unheard", "head", ""):
        assert by_name["auroc-lost-to-start", layer].value == 0
        assert by_name["accuracy-lost-to-start", layer].value == 0
        assert by_name["weight-change", layer].value == 0


def test_a_layer_that_training_turned_round_shows_and_no_other() -> None:
    """The head read the first pixel upside down before training: put back, every answer is the other one."""
    by_name = found(started(head=-1.0))
    head = by_name["auroc-lost-to-start", "head"]
    assert head.value == pytest.approx(1)  # an AUROC of 1, less one of 0
    assert by_name["accuracy-lost-to-start", "head"].value == pytest.approx(1)
    assert by_name["weight-change", "head"].value == pytest.approx(2)
    assert by_name["auroc-lost-to-start", ""].value == pytest.approx(head.value)
    for layer in ("first", "second.inner", "unheard"):
        assert by_name["auroc-lost-to-start", layer].value == 0
        assert by_name["weight-change", layer].value == 0


def test_a_layer_that_is_dealt_anew_shows_where_it_is_heard() -> None:
    by_name = found(started())
    heard = [by_name["auroc-lost-to-random", layer].value for layer in ("first", "second.inner", "head")]
    assert max(heard) > 0.2
    assert by_name["auroc-lost-to-random", "unheard"].value == 0
    assert by_name["accuracy-lost-to-random", "unheard"].value == 0


def test_a_trained_network_whose_last_layer_was_spoilt_gains_by_its_start() -> None:
    spoilt = started(head=-1.0)
    assert found(Chain(), spoilt)["auroc-lost-to-start", "head"].value < -0.9


def test_buffers_are_put_back_too() -> None:
    start = Chain()
    start.second.outer.running_mean.fill_(3.0)  # pyright: ignore[reportCallIssue]
    lost = {layer: one.value for (measure, layer), one in found(start).items() if measure == "accuracy-lost-to-start"}
    assert lost.pop("second (rest)") == lost.pop("") > 0.3, "every pixel is 3 darker, so that all answers are one class"
    assert set(lost.values()) == {0}


def test_what_cannot_be_measured_says_why() -> None:
    wide = Chain()
    wide.head = nn.Linear(4, 3)
    by_name = found(wide)
    said = "the network before training has another shape"
    assert reason_words(by_name["auroc-lost-to-start", "head"].reason) == f"{said}: head.weight"
    assert reason_words(by_name["weight-change", "head"].reason) == said
    zero = found(started(head=0.0))
    assert reason_words(zero["weight-change", "head"].reason) == "all values were 0 before training"
    spoilt = started(head=math.nan)
    assert "NaN" in reason_words(found(spoilt)["accuracy-lost-to-start", "head"].reason)
