"""What the probe of attribution says of models and images whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.plugin import Environment, ExplainedNetwork, Measurement, Model, Probe, build, run_probes
from assay.probes.explainers import Gradient
from assay.report.sentences.reasons import reason_words
from assay.testing.data import ImagesInMemory, MasksInMemory
from assay.testing.probe import World

BATCH = 64
CENTER = "center-prior"
MEASURES = ("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision")

SIDE = 24
PATCH = slice(15, 20)
"""Rows and columns of the patch, off the middle."""


class Patches(World):
    """Noise in which a patch, always in the same place, is bright in one class; masks lie on it, or on two kinds."""

    masks: Tensor | None = None
    kinds: tuple[str, ...] = ("patch",)

    def environment(self, name: str) -> Environment:
        made = super().environment(name)
        pixels = torch.rand((len(made), 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0)) * 0.2 + 0.1
        pixels[:, :, PATCH, PATCH] += torch.as_tensor(made.table.target).float()[:, None, None, None] * 0.6
        labels = torch.zeros((len(made), 1, SIDE, SIDE), dtype=torch.uint8)
        labels[:, :, PATCH, PATCH] = 1
        given = labels if self.masks is None else self.masks
        return replace(made, images=ImagesInMemory(pixels), masks=MasksInMemory(given, self.kinds))


class PatchReader(nn.Module):
    """The mean of the patch, less a half, is its logit."""

    def __init__(self, rows: slice = PATCH, columns: slice = PATCH) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.rectifier = nn.ReLU(inplace=True)
        self.copy = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.copy.weight)

    def forward(self, images: Tensor) -> Tensor:
        """The logit [b, 1]."""
        seen = self.rectifier(self.copy(images))[:, :, self.rows, self.columns]
        return 10 * seen.mean(dim=(2, 3)) - 5


class OfConvolutions(Gradient):
    """An explainer for networks with a convolution only."""

    def refusal(self, subject: ExplainedNetwork) -> str:
        """Why it cannot explain a network; empty if it can."""
        return "" if any(isinstance(step.module, nn.Conv2d) for step in subject.steps) else "it has no convolution"


ALL = ("gradient", "input-x-gradient")
OWN = f"{__name__}:OfConvolutions"


def found(network: nn.Module, world: World, probe: Probe) -> dict[tuple[str, ...], Measurement]:
    made = run_probes(Model(network), world, {"it": probe}).measurements["it"]
    return {(m.measure, m.factor, m.group, m.level): m for m in made}


def test_maps_of_a_model_that_reads_a_known_patch_lie_on_it() -> None:
    values = found(PatchReader(), Patches(n=40), make_probe("attribution", explainers=ALL, images=30))
    area = 25 / SIDE**2
    for name in ALL:
        for measure in MEASURES:
            one = values[measure, name, "", ""]
            assert one.chance == pytest.approx(area)
            assert (one.n, one.patients, one.environment) == (30, 30, "neutral")
            assert one.value == pytest.approx(1, abs=1e-6), (name, measure)


def test_maps_of_a_model_that_reads_another_patch_do_not() -> None:
    elsewhere = PatchReader(slice(2, 7), slice(2, 7))
    values = found(elsewhere, Patches(n=40), make_probe("attribution", explainers=ALL))
    for name in ALL:
        for measure in ("mass-accuracy", "pointing-game"):
            assert values[measure, name, "", ""].value == 0


def test_a_model_that_looks_at_nothing_scores_chance_and_says_so() -> None:
    network = PatchReader()
    nn.init.zeros_(network.copy.weight)
    values = found(network, Patches(n=30), make_probe("attribution", explainers=["gradient"]))
    for measure in MEASURES:
        one = values[measure, "gradient", "", ""]
        assert one.value == pytest.approx(one.chance)
        assert reason_words(one.reason).startswith(
            "30 of 30 maps are 0 everywhere and count as uninformative; not checked for sanity"
        )


def test_the_center_prior_stands_beside_and_knows_no_image() -> None:
    values = found(PatchReader(), Patches(n=30), make_probe("attribution", explainers=["gradient"]))
    line = np.exp(-(((np.arange(SIDE) + 0.5) / SIDE - 0.5) ** 2) / (2 * 0.25**2))
    prior = np.outer(line, line)  # a normal density about the middle; its standard deviation is a quarter of the side
    wanted = prior[PATCH, PATCH].sum() / prior.sum()
    assert values["mass-accuracy", CENTER, "", ""].value == pytest.approx(wanted, rel=1e-5)
    assert values["pointing-game", CENTER, "", ""].value == 0


def test_kinds_and_sizes_are_scored_each_by_itself() -> None:
    """The patch is a large lesion of one kind; single and double pixels elsewhere are of another and smaller."""
    world = Patches(n=30)
    labels = torch.zeros((30, 1, SIDE, SIDE), dtype=torch.uint8)
    labels[:, :, PATCH, PATCH] = 1
    labels[:, :, 3, 3] = 2
    labels[:, :, 8, 8:10] = 2
    world.masks, world.kinds = labels, ("exudate", "microaneurysm")
    values = found(PatchReader(), world, make_probe("attribution", explainers=["gradient"]))
    mass = {key[2:]: one.value for key, one in values.items() if key[:2] == ("mass-accuracy", "gradient")}
    assert mass == {
        ("", ""): pytest.approx(1),
        ("exudate", ""): pytest.approx(1),
        ("microaneurysm", ""): pytest.approx(np.float64(3 / (SIDE**2 - 25))),  # nothing is left: chance
        ("", "small"): pytest.approx(1 / (SIDE**2 - 27)),
        ("", "medium"): pytest.approx(2 / (SIDE**2 - 26)),
        ("", "large"): pytest.approx(1),
    }
    areas = {level: one.value for (name, _, _, level), one in values.items() if name == "lesion-pixels"}
    assert areas == {"small": 1, "medium": 2, "large": 25}
    assert values["mass-accuracy", "gradient", "", "small"].chance == pytest.approx(1 / (SIDE**2 - 27))


class Broken(nn.Module):
    """Gives a logit, and a gradient of NaN where the image is 0."""

    def forward(self, images: Tensor) -> Tensor:
        """The logit [b]: a root's slope at 0 is infinite, and 0 times it no number."""
        return (images.sqrt() * 0).sum(dim=(1, 2, 3)) + images.mean(dim=(1, 2, 3))


def test_a_heat_map_with_nan_is_no_number_with_the_reason() -> None:
    class Black(Patches):
        def environment(self, name: str) -> Environment:
            made = super().environment(name)
            pixels = made.images.read(np.arange(len(made)))
            pixels[:3, 0, 0, 0] = 0
            return replace(made, images=ImagesInMemory(pixels))

    values = found(Broken(), Black(n=20), make_probe("attribution", explainers=["gradient"]))
    one = values["mass-accuracy", "gradient", "", ""]
    assert np.isnan(one.value)
    assert reason_words(one.reason) == "3 of 20 heat-maps hold NaN or infinity"


def test_what_cannot_be_scored_is_no_number_with_the_reason() -> None:
    probe = make_probe("attribution", explainers=[OWN, "gradient"])

    def reasons(network: nn.Module, world: World) -> dict[str, str]:
        values = found(network, world, probe)
        assert all(np.isnan(one.value) == bool(one.reason) for one in values.values())
        return {
            key[1]: reason_words(one.reason) for key, one in values.items() if key[0] == "rank-accuracy" and not key[3]
        }

    every = {CENTER, OWN, "gradient"}
    assert reasons(PatchReader(), World(n=30)) == dict.fromkeys(every, "the images have no masks")
    none = Patches(n=30)
    none.masks = torch.zeros((30, 1, SIDE, SIDE), dtype=torch.uint8)
    assert reasons(PatchReader(), none) == dict.fromkeys(every, "no image shows a lesion")
    pixels = nn.Conv2d(1, 2, 1)
    said = "the model gives pixel logits, whose map already shows where a lesion is"
    assert reasons(pixels, Patches(n=30)) == dict.fromkeys(every, said)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 2))
    assert reasons(flat, Patches(n=30)) == {CENTER: "", OWN: "it has no convolution", "gradient": ""}


def test_the_same_images_are_explained_for_every_model_and_no_more_than_asked() -> None:
    class Counting(PatchReader):
        seen = 0

        def forward(self, images: Tensor) -> Tensor:
            """Counts its images."""
            Counting.seen += len(images)
            return super().forward(images)

    found(Counting(), Patches(n=50), make_probe("attribution", explainers=["gradient"], images=10))
    told = 2 * 2 + 2 * BATCH  # whether answers are apart, then batches of 50 and of 10, filled up
    steps, gradients, drawn_anew = 1, 10, 1 + 10
    painted = 2 * 2 * 10
    assert Counting.seen == told + steps + gradients + drawn_anew + painted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"explainers": ["gradeint"]}, "did you mean 'gradient'"),
        ({"explainers": [{"gradient": {"window": 2}}]}, "gradient.window"),
        ({"explainers": ["gradient", "gradient"]}, "'gradient' is named twice: name each explainer once"),
        ({"images": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_arguments_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        build("probe", "attribution", given)
