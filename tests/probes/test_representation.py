"""The probe of geometry: on models whose layers are known, its rows and their reasons."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from tests.worlds.environments import make_probe
from torch import Tensor, nn

from assay.core.measures import COMPARED
from assay.data.cache import ArrayImages
from assay.plugin import Measurement, Model, Probe, build, run_probes
from assay.probes import reader
from assay.probes.reader import GramMatrices, standardized_grams
from assay.probes.representation import eigenvalues_of_maps, map_condition_number
from assay.report.sentences.reasons import reason_words
from assay.testing.probe import PIXELS, PixelReader, World, pixel


class Layered(nn.Module):
    """Layers that are known: the pixels, a turned and scaled copy, one direction, a constant."""

    def __init__(self, turn: int = 0) -> None:
        super().__init__()
        self.pixels, self.copy, self.line, self.dead = (nn.Identity() for _ in range(4))
        draw = torch.Generator().manual_seed(turn)
        self.turn = torch.linalg.qr(torch.randn(4, 4, generator=draw, dtype=torch.float64)).Q.float()

    def forward(self, images: Tensor) -> Tensor:
        values = self.pixels(torch.stack([pixel(images, name) for name in PIXELS], dim=1) + 1)
        copy = self.copy(5 * values @ self.turn)
        self.line(copy[:, :1] * torch.ones(7))
        self.dead(torch.zeros_like(copy))
        return torch.stack([-values[:, 0], values[:, 0]], dim=1)


LAYERS = ("pixels", "copy", "line", "dead")


def measured(world: World | None = None, probe: Probe | None = None, turn: int = 1) -> list[Measurement]:
    model = Model(Layered(), layers=LAYERS, untrained=lambda: Layered(turn))
    return run_probes(model, world or World(), {"r": probe or make_probe("representation")}).measurements["r"]


def one(found: list[Measurement], measure: str, layer: str, group: str = "trained", **more: str) -> Measurement:
    (m,) = [
        m
        for m in found
        if (m.measure, m.layer, m.group) == (measure, layer, group)
        and all(getattr(m, key) == value for key, value in more.items())
    ]
    assert m.environment == "neutral"
    return m


def test_a_turned_copy_is_the_same_layer() -> None:
    found = measured()
    assert one(found, "cka", "pixels", level="copy").value == pytest.approx(1, abs=1e-6)
    assert one(found, "cka", "pixels", "untrained", level="copy").value == pytest.approx(1, abs=1e-6)
    assert one(found, "cka-to-untrained", "copy").value == pytest.approx(1, abs=0.01)
    for measure in ("effective-rank", "participation-ratio", "class-separation", "intrinsic-dimension"):
        values = [one(found, measure, layer).value for layer in ("pixels", "copy")]
        assert values[0] == pytest.approx(values[1], rel=1e-3), measure


def test_a_line_has_one_dimension_and_moves_when_it_is_another_one() -> None:
    found = measured()
    for measure in ("effective-rank", "participation-ratio", "components-90"):
        assert one(found, measure, "line").value == pytest.approx(1, abs=0.02), measure
    assert one(found, "eigenvalue-share", "line", level="1").value == pytest.approx(1)
    assert (
        reason_words(one(found, "condition-number", "line").reason)
        == "the least eigenvalue is 0: 1 of 7 directions vary"
    )
    assert one(found, "cka-to-untrained", "line").value < 0.9
    assert one(measured(turn=0), "cka-to-untrained", "line").value == pytest.approx(1)


def test_separation_by_each_factor_is_its_share_of_the_variance() -> None:
    """The squares of pixels: two of two levels (variance 1/4), three levels (1/6), a uniform (1/12, 3/4 by halves)."""
    found = measured(World(n=1000))
    total = 1 / 4 + 1 / 4 + 1 / 6 + 1 / 12
    for factor, variance in {"margin": 1 / 4, "tag": 1 / 4, "texture": 1 / 6, "size": 1 / 16}.items():
        m = one(found, "factor-separation", "copy", factor=factor)
        assert abs(m.value - variance / total) < 4 * m.standard_error
        assert m.chance == 0
    assert (
        one(found, "class-separation", "copy").value == one(found, "factor-separation", "copy", factor="margin").value
    )


def test_no_class_is_separated_where_the_target_is_a_coin() -> None:
    found = measured(probe=make_probe("representation", environment="(independent)"))
    (m,) = [m for m in found if (m.measure, m.layer, m.group) == ("class-separation", "copy", "trained")]
    assert m.environment == "independent"
    assert abs(m.value) < 4 * m.standard_error


def test_a_dead_layer_is_told_as_such() -> None:
    found = [m for m in measured() if m.layer == "dead" or m.level == "dead"]
    assert one(found, "constant-units", "dead").value == 1
    assert {m.measure for m in found if not math.isnan(m.value)} == {"constant-units"}
    assert reason_words(one(found, "cka-to-untrained", "dead").reason) == "the layer is constant"
    assert reason_words(one(found, "cka", "pixels", level="dead").reason) == "the layer is constant"
    assert reason_words(one(found, "effective-rank", "dead").reason) == "the layer is constant"
    assert reason_words(one(found, "rankme", "dead").reason) == "the layer is constant"


def test_fewer_images_than_units_are_stated() -> None:
    few = World(n=6)
    found = measured(few)
    assert reason_words(one(found, "effective-rank", "line").reason) == "6 images for 7 units: it cannot exceed 5"
    assert reason_words(one(found, "rankme", "line").reason) == "6 images for 7 units: it cannot exceed 6"
    assert reason_words(one(found, "effective-rank", "pixels").reason) == ""


@pytest.mark.parametrize("n", [1, 2, 3])
def test_hardly_any_images_are_no_crash(n: int) -> None:
    found = measured(World(n=n))
    assert reason_words(one(found, "participation-ratio", "pixels").reason) == f"{n} images, at least 4 are needed"
    assert reason_words(one(found, "cka", "pixels", level="copy").reason) == f"{n} images, at least 4 are needed"


def test_every_model_is_described_on_the_same_images() -> None:
    """A sample depends on the rows alone: not on the trial's seed, nor on what other rows there are."""
    small, whole = make_probe("representation", images=50), World(n=300)
    model = Model(Layered(), layers=("pixels",), seed=0)
    other = Model(Layered(), layers=("pixels",), seed=7)
    first, second = (run_probes(m, whole, {"r": small}).measurements["r"] for m in (model, other))
    assert [repr(m) for m in first] == [repr(m) for m in second]
    assert one(first, "effective-rank", "pixels").n == 50
    everything = make_probe("representation", images=300)._rows(whole.neutral(), 300)
    np.testing.assert_array_equal(everything.index, np.arange(300))


def test_one_image_of_each_patient_speaks_of_the_intrinsic_dimension() -> None:
    found = measured(World(n=200, per_patient=4))
    assert one(found, "intrinsic-dimension", "pixels").n == 50
    assert one(found, "effective-rank", "pixels").n == 200
    assert one(found, "effective-rank", "pixels").patients == 50
    assert math.isnan(one(found, "class-separation", "pixels").chance)  # images of a patient are alike by themselves


def test_shares_its_reading_with_other_probes() -> None:
    network = PixelReader({"tag": 1.0})
    model = Model(network, layers=("vector",))
    run_probes(
        model, World(), {"d": make_probe("decodability", environment="neutral"), "r": make_probe("representation")}
    )
    alone = PixelReader({"tag": 1.0})
    run_probes(Model(alone, layers=("vector",)), World(), {"d": make_probe("decodability", environment="neutral")})
    assert network.passes == alone.passes


def test_without_an_untrained_network_nothing_is_said_of_it() -> None:
    model = Model(Layered(), layers=LAYERS)
    found = run_probes(model, World(), {"r": make_probe("representation")}).measurements["r"]
    assert {m.group for m in found} == {"trained"}
    assert not [m for m in found if m.measure.endswith("untrained")]


def test_a_model_that_names_no_layers() -> None:
    (m,) = run_probes(Model(Layered()), World(), {"r": make_probe("representation")}).measurements["r"]
    assert reason_words(m.reason) == "the model names no layers to read"


def test_what_a_contrast_can_name_is_measured() -> None:
    """Of each measure that a spec can name there is a row of the trained network with no level, which is compared."""
    there = {
        m.measure
        for m in measured(probe=make_probe("representation", maps=120))
        if m.level == "" and m.group == "trained"
    }
    assert there == {name for name, measure in COMPARED.items() if measure.probe == "representation"}


def test_looks_where_it_is_told() -> None:
    probe = build("probe", "representation", {"environment": "same", "images": 60})
    found = run_probes(Model(Layered(), layers=("pixels",)), World(), {"r": probe}).measurements["r"]
    assert {m.environment for m in found} == {"same"}
    assert {m.n for m in found if m.measure == "effective-rank"} == {60}


def test_activations_of_the_same_rows_are_kept_for_every_model() -> None:
    """Those described, from the smallest draws on, as the trained network has them; and nothing where none is asked."""
    world = World(n=300)
    few, whole = make_probe("representation", images=50, kept=20), make_probe("representation", images=20)
    model = Model(Layered(), layers=LAYERS)
    found = run_probes(model, world, {"few": few, "whole": whole, "none": make_probe("representation", kept=0)}).sampled
    assert list(found) == ["few", "whole"]
    np.testing.assert_array_equal(found["few"].row, found["whole"].row)
    assert len(found["few"].row) == 20
    assert list(found["few"].layers) == list(LAYERS)
    images = world.neutral().images.read(np.flatnonzero(np.isin(world.neutral().table.row, found["few"].row)))
    seen = torch.stack([pixel(images, name) for name in PIXELS], dim=1) + 1
    np.testing.assert_array_equal(found["few"].layers["pixels"], seen.numpy())
    assert found["few"].layers["line"].dtype == np.float32
    assert run_probes(Model(Layered()), world, {"r": whole}).sampled == {}


class Mapped(nn.Module):
    """Maps that are known: the image in two channels, one a multiple of the other, and one that is the same for all."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.small, self.dead = (nn.Identity() for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(torch.cat([images, 3 * images + 1], dim=1))
        self.small(images[:, :, :2, :2])
        self.dead(torch.ones_like(images))
        return torch.stack([-maps.mean((1, 2, 3)), maps.mean((1, 2, 3))], dim=1)


def _of_maps(n: int, side: int = 16, at_once: int | None = None) -> tuple[np.ndarray, dict[str, GramMatrices]]:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, side, side), dtype=np.uint8)
    pixels[:, :, 0] = 7  # a row of pixels without variation
    pixels[:, :, 1] = pixels[:, :, 2]
    with pytest.MonkeyPatch.context() as patch:
        if at_once:
            patch.setattr(reader, "MAPS_AT_ONCE", at_once)
            patch.setattr(reader, "_FEATURES_AT_ONCE", 7)
        return pixels, standardized_grams(Mapped(), ("maps", "small", "dead"), ArrayImages(pixels), "cpu")


@pytest.mark.parametrize("at_once", [None, 130 * 3 * 10])
def test_the_condition_number_of_maps_equals_that_of_another_implementation(at_once: int | None) -> None:
    pixels, grams = _of_maps(130, at_once=at_once)
    images = pixels.astype(np.float32) / 255
    maps = np.concatenate([images, 3 * images + 1], axis=1).reshape(130, -1)
    found = PCA(100, svd_solver="full").fit(StandardScaler().fit_transform(maps.astype(np.float64))).explained_variance_
    expected = np.percentile(found, 99.9) / np.percentile(found, 90)
    assert map_condition_number(grams["maps"]).value == pytest.approx(expected, rel=1e-6)
    assert grams["maps"].varying == 2 * 15 * 16
    np.testing.assert_allclose(eigenvalues_of_maps(grams["maps"]), found, rtol=1e-6)
    assert np.trace(grams["maps"].products) / 129 == pytest.approx(2 * 15 * 16 * 130 / 129)


def test_maps_of_the_first_convolution_are_measured_by_rank() -> None:
    class Convolved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 60, 1), nn.Conv2d(60, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.second(self.first(images)).mean((2, 3))

    world = World()
    found = run_probes(
        Model(Convolved(), layers=("second",)), world, {"r": make_probe("representation", maps=400)}
    ).measurements["r"]
    assert {m.layer for m in found if m.measure == "condition-number-maps"} == {"first", "second"}
    shares = {int(m.level): m.value for m in found if (m.measure, m.layer) == ("eigenvalue-share-maps", "first")}
    pixels = world.neutral().images.read(np.arange(400)).flatten(1).double().numpy()
    pixels = pixels[:, pixels.std(axis=0) > 0]  # a channel is each pixel times a number, which standardizing removes
    expected = np.linalg.eigvalsh(np.corrcoef(pixels.T))[::-1] / pixels.shape[1]
    assert shares == pytest.approx({rank: expected[rank - 1] for rank in (1, 2, 4, 8)}, rel=1e-4)


def test_the_condition_number_of_maps_is_small_for_noise_and_undefined_for_few_images_or_numbers() -> None:
    _, grams = _of_maps(101)
    assert 1 < map_condition_number(grams["maps"]).value < 3
    for gram, few in (
        (_of_maps(100)[1]["maps"], "100 images and 480 numbers"),
        (grams["small"], "101 images and 2 nu"),
        (grams["dead"], "101 images and 0 numbers"),
    ):
        scalar = map_condition_number(gram)
        assert math.isnan(scalar.value)
        assert reason_words(scalar.reason).startswith(few)
    line = GramMatrices(np.outer(np.arange(200.0), np.arange(200.0)), 500)
    assert (
        reason_words(map_condition_number(line).reason)
        == "the 90th percentile of the eigenvalues is 0: 1 of 100 directions vary"
    )


def test_maps_are_measured_where_asked_for_and_change_nothing_else() -> None:
    plain = measured()
    found = measured(probe=make_probe("representation", maps=120))
    assert repr(found[: len(plain)]) == repr(plain)
    added = found[len(plain) :]
    assert {(m.measure, m.layer, m.group) for m in added} == {
        ("condition-number-maps", layer, group) for layer in LAYERS for group in ("trained", "untrained")
    }
    assert all("numbers of a map that vary" in reason_words(m.reason) for m in added)  # four pixels
