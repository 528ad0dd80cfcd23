from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.data.leakage import row_hashes
from assay.plugin import Environment, MapGrid, Model, ModelOutputs, ModelReading, ReadingError, Request, run_probes
from assay.probes.reader import read_ahead
from assay.testing.data import ImagesInMemory, squares
from assay.testing.probe import PixelReader, PlantedImages, World, design, environment, table

BATCH = 64


def fingerprint(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


class Logits(nn.Module):
    """Gives whatever `make` makes of the images."""

    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    def forward(self, images: Tensor) -> object:
        return self.make(images)


@pytest.fixture
def world() -> World:
    return World(n=300)


def test_layers_and_logits_of_several_probes_come_from_one_pass_per_environment(world: World) -> None:
    network = PixelReader({"tag": 1.0})
    neutral, same = world.neutral(), world.environment("same")
    requests = [
        Request(neutral),
        Request(neutral, ("copy",)),
        Request(world.neutral(), ("vector", "copy")),
        Request(same),
    ]
    reading = ModelReading(Model(network), requests)
    for _ in range(3):
        both = reading.read(neutral)
        reading.read(same)
    batches = -(-300 // BATCH)
    assert network.passes == 2 * batches
    assert both.activations.keys() == {"copy", "vector"}
    assert both.activations["vector"].shape == (300, 4 + 8)
    assert all(values.dtype == np.float32 for values in both.activations.values())


def test_maps_are_averaged_over_space_tokens_over_tokens_and_vectors_kept(world: World) -> None:
    network = nn.Sequential()
    network.add_module("map", nn.Conv2d(1, 3, 3))
    network.add_module("tokens", Logits(lambda maps: maps.flatten(2).transpose(1, 2)))
    network.add_module("last", Logits(lambda tokens: tokens.mean(1)))
    network.add_module("head", nn.Linear(3, 2))
    environment_ = world.neutral()
    read = ModelReading(Model(network), [Request(environment_, ("map", "tokens", "last"))]).read(environment_)
    images = environment_.images.read(np.arange(300))
    by_hand = network[0](images).mean(dim=(2, 3)).detach().numpy()
    for layer in ("map", "tokens", "last"):
        np.testing.assert_allclose(read.activations[layer], by_hand, atol=1e-6)


def test_answers_do_not_depend_on_the_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(world.neutral(), ("vector",))
    whole = ModelReading(Model(PixelReader({"tag": 1.0})), [request]).read(request.environment)
    monkeypatch.setattr("assay.probes.reader.BATCH", 7)
    parts = ModelReading(Model(PixelReader({"tag": 1.0})), [request]).read(request.environment)
    np.testing.assert_array_equal(whole.logits, parts.logits)
    np.testing.assert_array_equal(whole.activations["vector"], parts.activations["vector"])


def test_the_module_is_left_exactly_as_found(world: World) -> None:
    network = PixelReader({"tag": 1.0}).train()
    network.norm.eval()  # a submodule that someone froze on purpose
    images = world.neutral().images.read(np.arange(4))
    network(images).sum().backward()
    gradient, before = network.offset.grad, fingerprint(network)
    assert gradient is not None
    ModelReading(Model(network), [Request(world.neutral(), ("copy",))]).read(world.neutral())
    assert fingerprint(network) == before
    assert network.offset.grad is gradient
    assert (network.training, network.norm.training, network.copy.training) == (True, False, True)
    assert not network.copy._forward_hooks


def test_the_module_is_left_as_found_also_when_it_fails(world: World) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).train()
    with pytest.raises(RuntimeError):
        ModelReading(Model(network), [Request(world.neutral(), ("0",))]).read(world.neutral())
    assert network.training
    assert not network[0]._forward_hooks


@pytest.mark.parametrize("outputs", [0, 1, 2])
def test_one_logit_is_the_pair_zero_and_itself(world: World, outputs: int) -> None:
    reading = ModelReading(Model(PixelReader({"tag": 3.0}, outputs=outputs)), [Request(world.neutral())])
    logits = reading.read(world.neutral()).logits
    assert logits.shape == (300, 2)
    tag = world.neutral().table.columns["tag"]
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], 3.0 * (tag - 0.5), atol=1e-6)
    assert reading.logits(design(8).images).shape == (7 * 8, 2)


def test_known_answers_are_not_read_again_unless_a_layer_is_missing(world: World) -> None:
    network = PixelReader({"tag": 1.0})
    kept = {"neutral": ModelOutputs(np.ones((300, 2), np.float32), {})}
    reading = ModelReading(Model(network), [Request(world.neutral()), Request(world.neutral(), untrained=False)], kept)
    assert reading.read(world.neutral()).logits.max() == 1
    assert network.passes == 0
    ModelReading(Model(network), [Request(world.neutral(), ("copy",))], kept).read(world.neutral())
    assert network.passes > 0


def _of(world: World, name: str, rows: np.ndarray) -> Environment:
    """An environment of some of the world's images, each with whatever it shows."""
    made = world.neutral()
    return replace(made, name=name, table=made.table.take(rows), images=ImagesInMemory(made.images.read(rows)))


class Counting(nn.Module):
    """A small convolutional network that counts the images it is given and notes the sizes of batches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return cast(Tensor, self.net(images)) * (1 + len(images) * 1e-3)  # as last bits do, but to be seen


def test_an_image_that_stands_in_several_environments_is_put_through_once(world: World) -> None:
    rows = np.arange(300)
    first, second = _of(world, "first", rows[:200]), _of(world, "second", rows[::-1][:180])
    network = Counting()
    reading = ModelReading(Model(network), [Request(first), Request(second)])
    read = {one.name: reading.read(one).logits for one in (first, second)}
    distinct = len(np.unique(row_hashes(world.neutral().images.read(rows).numpy())))
    assert distinct == 300
    assert network.sizes == [2, 2, *[BATCH] * (-(-200 // BATCH) + -(-100 // BATCH))]  # first, whether answers are apart
    third = _of(world, "third", rows[250:280])
    for one in (first, second):
        elsewhere = ModelReading(Model(Counting()), [Request(third), Request(one)]).read(one)
        np.testing.assert_array_equal(elsewhere.logits, read[one.name])
    np.testing.assert_array_equal(read["first"][120:], read["second"][100:180][::-1])


@pytest.mark.parametrize("kept", [("first",), ("second",), ("third",), ("first", "third"), ("second", "third")])
def test_answers_are_the_same_bits_whatever_was_read_before(world: World, kept: tuple[str, ...]) -> None:
    """As after a run that was killed between two readings."""
    rows = np.arange(300)
    parts = {"first": rows[:90], "second": np.r_[rows[40:150], rows[:3]], "third": rows[100:]}
    environments = [_of(world, name, part) for name, part in parts.items()]
    requests = [Request(one) for one in environments]

    def answers(known: dict[str, ModelOutputs]) -> dict[str, ModelOutputs]:
        reading = ModelReading(Model(Counting()), requests, known)
        for one in environments:
            reading.read(one)
        return reading.trained_outputs()

    whole = answers({})
    again = answers({name: whole[name] for name in kept})
    for name, read in whole.items():
        np.testing.assert_array_equal(again[name].logits, read.logits)
        layered = [replace(one, layers=("net.0",)) if one.environment.name == name else one for one in requests]
        found = ModelReading(Model(Counting()), layered).read(_of(world, name, parts[name]))
        np.testing.assert_array_equal(found.logits, read.logits)


class Normalizing(nn.Module):
    """Its answer to an image depends on the batch that it comes in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(1, track_running_stats=False)
        self.net = nn.Sequential(norm, nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.net(images))


class Wavering(nn.Module):
    """It draws at random in eval mode, too."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2] + torch.rand(len(images), 1)


@pytest.mark.parametrize("network", [Normalizing, Wavering])
def test_a_network_whose_answers_are_not_apart_is_read_in_batches_as_they_come(
    network: type[nn.Module], world: World
) -> None:
    rows = np.arange(100)
    first, second = _of(world, "first", rows[:40]), _of(world, "second", rows[20:])
    made, plain = network().eval(), network().eval()
    reading = ModelReading(Model(made), [Request(first), Request(second)])
    torch.manual_seed(1)
    found = [reading.read(one).logits for one in (first, second)]
    torch.manual_seed(1)
    with torch.inference_mode():
        for _ in range(2):  # whether answers are apart is found out by two batches of two
            plain(first.images.read(np.arange(2)))
        parts = [np.split(np.arange(len(one)), range(BATCH, len(one), BATCH)) for one in (first, second)]
        expected = [
            np.concatenate([plain(one.images.read(part)) for part in own])
            for one, own in zip((first, second), parts, strict=True)
        ]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_single_environment_is_read_in_batches_as_they_come(world: World) -> None:
    network, one = Counting(), _of(world, "one", np.arange(70))
    ModelReading(Model(network), [Request(one)]).read(one)
    assert network.sizes == [BATCH, 6]


def test_copies_within_an_environment_are_answered_alike_and_in_place(world: World) -> None:
    rows = np.array([5, 1, 5, 5, 7, 1])
    one, other = _of(world, "one", rows), _of(world, "other", rows[::-1])
    reading = ModelReading(Model(Counting()), [Request(one), Request(other)])
    logits = reading.read(one).logits
    np.testing.assert_array_equal(reading.read(other).logits, logits[::-1])
    np.testing.assert_array_equal(logits[0], logits[2])


def test_maps_are_read_anew_in_every_environment_and_in_batches_as_they_come() -> None:
    sizes: list[int] = []

    class Maps(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return torch.cat([-images, images], dim=1)

    environments = [replace(squares(70), name=name) for name in ("one", "two")]
    reading = ModelReading(Model(Maps()), [Request(one) for one in environments])
    reads = [reading.read(one) for one in environments]
    assert sizes == [2, 2, BATCH, 6, BATCH, 6]  # first, whether it gives logits
    for name, column in reads[0].maps.items():
        np.testing.assert_array_equal(column, reads[1].maps[name])


@pytest.mark.parametrize("columns", [True, False])
def test_maps_of_an_image_that_a_kept_answer_had_are_read_all_the_same(columns: bool) -> None:
    class Maps(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.cat([-images, images], dim=1)

    environments = [replace(squares(20), name=name) for name in ("one", "two", "three")]
    environments[1] = replace(environments[1], images=ImagesInMemory(squares(20, seed=3).images.read(np.arange(20))))
    mixed = torch.cat([one.images.read(np.arange(10)) for one in environments[:2]])
    environments[2] = replace(environments[2], images=ImagesInMemory(mixed))
    requests = [Request(one) for one in environments]
    whole = ModelReading(Model(Maps()), requests).read(environments[2])
    first = ModelReading(Model(Maps()), requests).read(environments[0])
    kept = {"one": first if columns else ModelOutputs(first.logits, {})}
    again = ModelReading(Model(Maps()), requests, kept).read(environments[2])
    assert again.maps
    for name, column in whole.maps.items():
        np.testing.assert_array_equal(again.maps[name], column)


def test_the_untrained_network_is_built_once_and_read_apart(world: World) -> None:
    built: list[PixelReader] = []

    def untrained() -> nn.Module:
        built.append(PixelReader({"margin": 1.0}))
        return built[-1]

    environments = (world.neutral(), world.environment("same"))
    requests = [Request(e, ("copy",), untrained=u) for e in environments for u in (False, True)]
    reading = ModelReading(Model(PixelReader({"tag": 1.0}), untrained=untrained), requests)
    a, b = reading.read(environments[0]).logits, reading.read(environments[0], untrained=True).logits
    reading.read(environments[1], untrained=True)
    assert len(built) == 1
    assert not np.array_equal(a, b)
    assert reading.trained_outputs().keys() == {"neutral"}


def half_a_map(images: Tensor) -> Tensor:
    return images.expand(-1, 2, -1, -1)[..., :4]


REFUSED = {
    "shape": (lambda x: x[:, 0, 0, :3], (), r"gave 3 logits per image, environment 'neutral' has 2 classes"),
    "one image short": (lambda x: x[1:, 0, 0, :2], (), r"shape \[63, 2\] for 64 images of environment 'neutral'"),
    "map": (half_a_map, (), r"maps of shape \[64, 2, 8, 4\].*expected logits \[b, k, h, w\] of the images' own size"),
    "map of NaN": (lambda x: x.expand(-1, 2, -1, -1) / 0 * 0, (), r"NaN or infinite logits for 64 of 64 images"),
    "dict": (lambda x: {"logits": x}, (), r"gave a dict for environment 'neutral'.*wrap it in a module that returns"),
    "NaN": (lambda x: x[:, 0, 4, :2] / 0 - x[:, 0, 0, :2] / 0, (), r"NaN or infinite logits for \d+ of 300 images"),
    "layer": (lambda x: x[:, 0, 0, :2], ("mak",), r"unknown layer 'mak'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_reason(world: World, case: str) -> None:
    make, layers, text = REFUSED[case]
    reading = ModelReading(Model(Logits(make)), [Request(world.neutral(), layers)])
    with pytest.raises(Exception, match=text):
        reading.read(world.neutral())


def test_positions_of_non_finite_logits_are_named() -> None:
    def diverged(images: Tensor) -> Tensor:
        logits = images[:, 0, 0, :2].clone()
        logits[[1, 4]] = float("nan")
        return logits

    rows = environment("x", table(10))
    with pytest.raises(ReadingError, match=re.escape("for 2 of 10 images of environment 'x' (positions 1, 4)")):
        ModelReading(Model(Logits(diverged)), [Request(rows)]).read(rows)


def test_a_layer_that_overflows_is_named_though_the_logits_are_finite(world: World) -> None:
    network = nn.Sequential(Logits(lambda x: x.flatten(1) / 0), Logits(lambda x: torch.zeros(len(x), 2)))
    with pytest.raises(
        ReadingError, match=r"infinite activations of '0' for 300 of 300 images .*\(positions 0, 1, 2, 3, 4, \.\.\.\)"
    ):
        ModelReading(Model(network), [Request(world.neutral(), ("0",))]).read(world.neutral())


def test_a_layer_that_runs_twice_or_never_or_gives_no_tensor_is_refused(world: World) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.never = nn.ReLU(), nn.ReLU()
            self.pair = Logits(lambda x: (x, x))

        def forward(self, images: Tensor) -> Tensor:
            return self.twice(self.twice(self.pair(images)[0]))[:, 0, 0, :2]

    for layer, text in {"twice": "ran 2 times", "never": "ran 0 times", "pair": "gives tuple"}.items():
        with pytest.raises(Exception, match=f"layer '{layer}' {text}"):
            ModelReading(Model(Shared()), [Request(world.neutral(), (layer,))]).read(world.neutral())


def test_requests_are_kept_apart_by_name(world: World) -> None:
    reading = ModelReading(Model(PixelReader()), [Request(world.neutral())])
    with pytest.raises(ReadingError, match=r"'same' was not requested by any probe; asked: neutral"):
        reading.read(world.environment("same"))
    with pytest.raises(ReadingError, match=r"two environments are named 'neutral' \(300 and 20 rows\)"):
        reading.read(environment("neutral", table(20)))
    with pytest.raises(ReadingError, match=r"known answers for environment 'neutral' have 2 rows, it has 300"):
        ModelReading(
            Model(PixelReader()),
            [Request(world.neutral())],
            {"neutral": ModelOutputs(np.zeros((2, 2), np.float32), {})},
        )
    with pytest.raises(ReadingError, match="does not say how to build it"):
        ModelReading(Model(PixelReader()), [Request(world.neutral(), untrained=True)]).read(
            world.neutral(), untrained=True
        )
    with pytest.raises(ReadingError, match="expected images that can be read by position, got list"):
        reading.logits([1, 2])
    empty = environment("empty", table(0))
    with pytest.raises(ReadingError, match="environment 'empty' holds no image"):
        ModelReading(Model(PixelReader()), [Request(empty)]).read(empty)


def test_memory_holds_one_batch_of_maps(world: World) -> None:
    sizes: list[int] = []

    class Counting(PlantedImages):
        def read(self, index: np.ndarray) -> Tensor:
            sizes.append(len(index))
            return super().read(index)

    rows = table(1000)
    images = Counting(rows.columns, rows.row)
    ModelReading(Model(PixelReader()), []).logits(images)
    assert max(sizes) == BATCH
    assert sum(sizes) == 1000


def test_run_probes_reads_each_environment_once_for_all_probes(world: World) -> None:
    class Both:
        def requests(self, model, scene):
            return tuple(Request(scene.environment(name), ("vector",)) for name in scene.names)

        def measure(self, reading, scene):
            for name in scene.names:
                reading.read(scene.environment(name))
            return []

    network = PixelReader({"tag": 1.0})
    result = run_probes(Model(network), world, {"one": Both(), "two": Both()})
    assert network.passes == 3 * -(-300 // BATCH)
    assert result.reads.keys() == set(world.names)
    assert result.measurements == {"one": [], "two": []}
    assert torch.is_grad_enabled()


def test_a_map_of_logits_is_read_as_its_peak_and_its_columns() -> None:
    environment = squares(100, seed=3)

    def outlined(images: Tensor) -> Tensor:
        return torch.stack([torch.full_like(images[:, 0], 0.7), images[:, 0]], dim=1) * 20

    reading = ModelReading(Model(Logits(outlined)), [Request(environment)])
    read = reading.read(environment)
    rows = np.arange(100)
    pixels, masks = environment.images.read(rows)[:, 0], environment.masks.read(rows)[:, 0]  # type: ignore[union-attr]
    lesion = 20 * (pixels - 0.7)
    np.testing.assert_allclose(read.logits[:, 1], lesion.flatten(1).amax(1), rtol=1e-5)
    assert not read.logits[:, 0].any()
    half = MapGrid().thresholds.index(0.0)
    np.testing.assert_array_equal(read.maps["truth"], masks.flatten(1).sum(1))
    np.testing.assert_array_equal(read.maps["hit"][:, half], ((lesion >= 0) & masks.bool()).flatten(1).sum(1))
    without = replace(environment, name="without masks", masks=None)
    bare = ModelReading(Model(Logits(outlined)), [Request(without)]).read(without)
    np.testing.assert_array_equal(bare.logits, read.logits)
    assert bare.maps == {}


def test_surfaces_are_measured_in_millimeters_where_the_pixels_have_a_size() -> None:
    environment = squares(80, seed=3)  # more than a batch

    def shifted(images: Tensor) -> Tensor:
        lesion = (images[:, 0] - 0.7) * 20
        return torch.stack([torch.zeros_like(lesion), lesion.roll(1, dims=2)], dim=1)

    def lengths(environment: Environment) -> np.ndarray:
        return ModelReading(Model(Logits(shifted)), [Request(environment)]).read(environment).maps["surface_distance"]

    sizes = np.where(np.arange(80) % 3 == 0, np.nan, 0.25 + 0.01 * np.arange(80))
    expected = lengths(environment) * sizes
    assert np.isfinite(expected).sum() > 20
    np.testing.assert_allclose(lengths(replace(environment, millimeters=sizes)), expected)


def test_the_next_part_is_made_while_one_is_read_and_no_more_than_that() -> None:
    made: list[int] = []
    follows = [threading.Event() for _ in range(6)]

    def parts() -> Iterator[int]:
        for part in range(5):
            made.append(part)
            follows[part].set()
            yield part
        follows[5].set()

    def read(part: int) -> int:
        assert follows[part + 1].wait(10), "the next part was not made meanwhile"
        return part**2

    for part, found in read_ahead(read, parts()):
        assert found == part**2
        assert len(made) <= part + 2
    assert made == [0, 1, 2, 3, 4]


def test_what_a_reading_raises_comes_at_its_part() -> None:
    found = read_ahead(lambda one: 1 // (2 - one), range(5))
    assert [next(found), next(found)] == [(0, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(found)
