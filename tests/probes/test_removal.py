"""What answers lose without the lesion, beside what is attributed to it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from tests.probes.test_attribution import PATCH, SIDE, Patches, PatchReader
from tests.worlds.environments import make_probe
from torch import Tensor

from assay.plugin import Environment, ExplainedNetwork, Measurement, Model, Reason, run_probes
from assay.probes.faithfulness import agreement, erasures, paint_over, remove_lesions
from assay.probes.lesion_maps import LesionSample, LesionSubset
from assay.report.sentences.reasons import reason_words
from assay.testing.data import ImagesInMemory, MasksInMemory
from assay.testing.probe import World

OPPOSITE = slice(SIDE - PATCH.stop, SIDE - PATCH.start)
NAMES = ("gradient", "input-x-gradient")


class DrawnIntervention(Patches):
    """Patches of which the images without can be drawn: black there, and of nothing in the masks. Classes overlap."""

    def environment(self, name: str) -> Environment:
        made = super().environment(name)
        pixels = made.images.read(np.arange(len(made)))
        bright = torch.linspace(0, 0.5, len(made))[
            torch.randperm(len(made), generator=torch.Generator().manual_seed(1))
        ]
        pixels[:, :, PATCH, PATCH] = pixels[:, :, PATCH, PATCH] / 2 + bright[:, None, None, None]
        return replace(made, images=ImagesInMemory(pixels))

    def counterfactual(self, factor: str, end: str) -> Environment:
        made = self.environment("neutral")
        pixels = made.images.read(np.arange(len(made)))
        pixels[:, :, PATCH, PATCH] = 0
        nothing = MasksInMemory(torch.zeros((len(made), 1, SIDE, SIDE), dtype=torch.bool))
        return replace(made, name=f"({factor} {end})", images=ImagesInMemory(pixels), masks=nothing)


def found(network: PatchReader, world: World, environment: str = "(neutral)") -> dict[tuple[str, str], Measurement]:
    probe = make_probe("attribution", explainers=NAMES, environment=environment)
    rows = run_probes(Model(network), world, {"it": probe}).measurements["it"]
    return {(m.measure, m.factor): m for m in rows if not (m.level or m.group)}


def test_what_an_additive_map_gives_to_the_lesion_is_what_a_sum_of_pixels_loses_without_it() -> None:
    values = found(PatchReader(), DrawnIntervention(n=40))
    effect, given = values["lesion-effect", ""], values["attributed-effect", "input-x-gradient"]
    assert effect.value == pytest.approx(given.value, rel=1e-4)
    assert effect.standard_error == pytest.approx(given.standard_error, rel=1e-4)
    assert (effect.n, effect.unit, effect.reason) == (40, "within-class sd", Reason())
    assert abs(effect.value) > 0.1


class Pair:
    """`DrawnLesions` of two kinds: the patch, and two single pixels that no model here reads; they overlap nowhere."""

    kinds = ("patch", "dot")

    def __init__(self, made: Environment) -> None:
        self.made = made

    def __len__(self) -> int:
        return len(self.made)

    def read(self, index: np.ndarray) -> torch.Tensor:
        planes = torch.zeros((len(index), 2, SIDE, SIDE), dtype=torch.bool)
        planes[:, 0, PATCH, PATCH] = planes[:, 1, 3, [3, 8]] = True
        return planes

    def without(self, kind: str, index: np.ndarray) -> ImagesInMemory:
        pixels = self.made.images.read(index)
        pixels[self.read(index)[:, [self.kinds.index(kind)]]] = 0
        return ImagesInMemory(pixels)


class TwoKinds(DrawnIntervention):
    """The patch and two dots are lesions; all are drawn away at the low end."""

    drawn = True

    def environment(self, name: str) -> Environment:
        made = super().environment(name)
        lesions = Pair(made)
        planes = lesions.read(np.arange(len(made)))
        masks = MasksInMemory(planes.any(1, keepdim=True))
        labels = (planes * torch.tensor([1, 2])[:, None, None]).amax(1, keepdim=True).to(torch.uint8)
        kinds = MasksInMemory(labels, lesions.kinds)
        return replace(made, masks=masks, lesions=lesions) if self.drawn else replace(made, masks=kinds)


class Labeled(TwoKinds):
    """The same of which the phantom cannot leave out a kind: it is cut out of the images without any."""

    drawn = False


@pytest.mark.parametrize("world", [TwoKinds, Labeled])
def test_what_each_kind_and_size_costs_is_told_apart(world: type[TwoKinds]) -> None:
    """A model that reads the patch alone loses all with it, which is the large lesion, and nothing with the dots."""
    rows = run_probes(
        Model(PatchReader()), world(n=40), {"it": make_probe("attribution", explainers=NAMES)}
    ).measurements["it"]
    effect = {(m.group, m.level): m for m in rows if m.measure == "lesion-effect"}
    whole = effect["", ""].value
    assert abs(whole) > 0.1
    assert {key: one.value for key, one in effect.items()} == {
        ("", ""): whole,
        ("patch", ""): pytest.approx(whole, rel=1e-5),
        ("dot", ""): 0,
        ("", "small"): 0,
        ("", "large"): pytest.approx(whole, rel=1e-5),
    }
    (over,) = (m for m in rows if m.measure == "lesion-effect-small-over-large")
    assert over.value == pytest.approx(-whole, rel=1e-5)
    assert over.standard_error == pytest.approx(effect["", ""].standard_error, rel=1e-5)
    (painted,) = (m for m in rows if m.measure == "erasure-effect-small-over-large")
    (large,) = (m for m in rows if (m.measure, m.level) == ("erasure-effect-over-elsewhere", "large"))
    assert painted.value == pytest.approx(-large.value, abs=1e-6)


def test_lesions_of_one_size_have_no_interaction_with_size() -> None:
    values = found(PatchReader(), DrawnIntervention(n=40))
    for name in ("lesion-effect-small-over-large", "erasure-effect-small-over-large"):
        assert reason_words(values[name, ""].reason) == "the lesions shown do not differ in size"


def test_each_pixel_that_changes_goes_with_the_lesion_that_is_nearest() -> None:
    images, gone = np.ones((1, 1, 5, 9), np.float32), np.zeros((1, 1, 5, 9), np.float32)
    lesion = np.zeros((1, 5, 9), bool)
    lesion[0, 2, [1, 6]] = True
    first = lesion & (np.arange(9) < 4)
    taken = remove_lesions(images, gone, lesion)(first)
    np.testing.assert_array_equal(taken[0, 0], np.repeat((np.arange(9) > 3)[None], 5, axis=0))
    np.testing.assert_array_equal(remove_lesions(images, gone, lesion)(lesion), gone)


def test_a_model_that_reads_elsewhere_loses_nothing() -> None:
    values = found(PatchReader(OPPOSITE, OPPOSITE), DrawnIntervention(n=40))
    assert values["lesion-effect", ""].value == 0
    assert reason_words(values["removal-agreement", "gradient"].reason).startswith(
        "all images have the same share, or lose the same amount"
    )
    assert values["erasure-effect", ""].value == pytest.approx(0, abs=1e-6)
    assert values["erasure-effect-over-elsewhere", ""].value == pytest.approx(-values["erasure-effect", ""].chance)


def test_painting_over_what_is_read_costs_more_than_painting_over_the_same_elsewhere() -> None:
    values = found(PatchReader(), DrawnIntervention(n=40))
    one, over = values["erasure-effect", ""], values["erasure-effect-over-elsewhere", ""]
    assert one.chance == pytest.approx(0, abs=1e-6)
    assert over.value == pytest.approx(one.value, abs=1e-6)
    assert abs(one.value) > 0.1


def test_what_cannot_be_taken_away_is_said() -> None:
    """A phantom that always shows a lesion, images that were not drawn, another environment than the neutral one."""
    always = found(PatchReader(), Patches(n=40))["lesion-effect", ""]
    assert reason_words(always.reason).startswith("the phantom cannot draw images without a lesion")
    files = found(PatchReader(), DrawnIntervention(n=40, changes=("tag",)))["lesion-effect", ""]
    assert (
        reason_words(files.reason)
        == "the images are not from a phantom: their lesions cannot be removed, only painted over"
    )
    other = found(PatchReader(), DrawnIntervention(n=40), "reversed")["removal-agreement", "gradient"]
    assert reason_words(other.reason) == "lesions are removed from neutral images only"


def test_an_answer_without_spread_has_no_unit() -> None:
    network = PatchReader()
    torch.nn.init.zeros_(network.copy.weight)
    values = found(network, DrawnIntervention(n=40))
    for key in (("lesion-effect", ""), ("erasure-effect", ""), ("attributed-effect", "input-x-gradient")):
        assert np.isnan(values[key].value)
        assert (
            reason_words(values[key].reason)
            == "the log-odds do not vary within a class on neutral images, so they have no unit"
        )


def test_agreement_is_spearmans() -> None:
    draw = np.random.default_rng(0)
    share, patient = np.round(draw.random(200), 1), np.arange(200)
    fall = share + draw.normal(size=200)
    one = agreement(share, fall, patient, Measurement("", 0.0))
    assert one.value == pytest.approx(spearmanr(share, fall).statistic)
    left_out = agreement(np.where(share == 0.5, np.nan, share), fall, patient, Measurement("", 0.0))
    assert left_out.n == (share != 0.5).sum()
    assert np.isnan(agreement(share[:3], fall[:3], patient[:3], Measurement("", 0.0)).value)


def test_the_error_of_agreement_is_its_spread_over_repeated_data() -> None:
    values: list[Measurement] = []
    for seed in range(300):
        draw = np.random.default_rng(seed)
        share = draw.random(80)
        values.append(agreement(share, share + draw.normal(size=80), np.arange(80), Measurement("", 0.0)))
    said = np.mean([one.standard_error for one in values])
    assert said == pytest.approx(np.std([one.value for one in values]), rel=0.15)  # the spread of 300: 4%


def test_what_is_painted_over_looks_like_what_is_beside_it() -> None:
    flat = torch.full((2, 3, 20, 30), 0.4)
    where = torch.zeros((2, 1, 20, 30), dtype=torch.bool)
    where[0, :, 5:12, 6:14] = True
    where[1] = True
    lesion = torch.where(where, 0.9, flat)
    torch.testing.assert_close(paint_over(lesion, where)[0], flat[0])
    assert torch.isfinite(paint_over(lesion, where)).all()
    torch.testing.assert_close(paint_over(flat, torch.zeros_like(where)), flat)
    slope = torch.linspace(0, 1, 30).expand(2, 3, 20, 30)
    assert (paint_over(slope, where)[0] - slope[0]).abs().max() < 0.15


class CountsChanges:
    """Its score falls by 1 for each pixel that was changed."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def score(self, pixels: Tensor, own: Tensor) -> Tensor:
        return -(pixels != self.images).sum(dim=(1, 2, 3)).float()


def test_a_lesion_and_its_opposite_are_compared_on_as_many_pixels() -> None:
    """Of the four pixels of one lesion, one lies opposite another lesion; painting costs the same everywhere."""
    pixels = torch.rand(3, 1, 12, 12)
    one, other = np.zeros((3, 12, 12), bool), np.zeros((3, 12, 12), bool)
    one[:, 2:4, 2:4] = True
    other[:, 8, 8] = True
    sample = LesionSample(ImagesInMemory(pixels), np.zeros(3, np.int64), np.arange(3), one | other, "cpu")
    place = Measurement("erasure-effect", 0.0)
    rows = list(
        erasures([LesionSubset("patch", "", one)], cast(ExplainedNetwork, CountsChanges(pixels)), sample, 1.0, place)
    )
    values = {row.measure: row for row in rows}
    assert values["erasure-effect"].value == 4
    assert values["erasure-effect"].chance == 3
    assert values["erasure-effect-over-elsewhere"].value == 0
