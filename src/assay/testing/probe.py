"""Conformance suite for probes, and the small world that they are tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.models.untyped import named_layers, tensor_of
from assay.plugin import (
    ComponentKind,
    Environment,
    Factor,
    FactorTable,
    Measurement,
    Model,
    Probe,
    ReadingError,
    Scope,
    SobolDesign,
    generator,
    lookup,
    row_uniform,
    run_probes,
)
from assay.testing.losses import NamedComponent

# A phantom whose every factor is one pixel, and a scene over it: the answer of a model is then known by construction.

SIDE = 8
MARGIN, TEXTURE, SIZE, TAG, NUISANCE = (0, 0), (0, 2), (2, 0), (2, 2), (4, 4)
PIXELS = {"margin": MARGIN, "texture": TEXTURE, "size": SIZE, "tag": TAG}
FACTORS = (
    Factor("margin", "categorical", "core", levels=("smooth", "spiculated"), high=("spiculated",)),
    Factor("texture", "ordinal", "associated", levels=("solid", "part-solid", "ground-glass")),
    Factor("size", "continuous", "nuisance", unit="mm", range=(4.0, 20.0)),
    Factor("tag", "categorical", "associated", levels=("absent", "present"), high=("present",)),
)
ENDS = {"margin": (0, 1), "texture": (0, 2), "size": (4.0, 20.0), "tag": (0, 1)}


def quantile(factor: str, u: np.ndarray) -> np.ndarray:
    """Neutral marginals: halves for the binary ones, thirds for the texture, uniform for the size."""
    if factor == "size":
        return 4.0 + 16.0 * u
    return np.floor(u * (3 if factor == "texture" else 2)).astype(np.int64)


def brightness(factor: str, values: np.ndarray) -> np.ndarray:
    """Return a factor's pixel in 0..1."""
    low, high = ENDS[factor]
    return (values - low) / (high - low)


@dataclass(frozen=True)
class PlantedImages:
    """`Images` [n, 1, 8, 8]: noise of amplitude 0.1 below the middle row, and one pixel per factor above it."""

    columns: Mapping[str, np.ndarray]
    nuisance: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, 8, 8)."""
        return (1, SIDE, SIDE)

    def __len__(self) -> int:
        return len(self.nuisance)

    def read(self, index: np.ndarray) -> Float[Tensor, "n 1 8 8"]:
        """See `Images`."""
        images = np.zeros((len(index), 1, SIDE, SIDE), np.float32)
        for column in range(SIDE):
            images[:, 0, SIDE // 2, column] = row_uniform(column, "noise", self.nuisance[index])
        for factor, (y, x) in PIXELS.items():
            images[:, 0, y, x] = brightness(factor, self.columns[factor][index])
        return tensor_of(images)


def table(
    n: int, seed: int = 0, tied: Mapping[str, float] | None = None, per_patient: int = 1, core: bool = True
) -> FactorTable:
    """n rows; the target is the margin (or, without `core`, a coin), and `tied` factors follow it at their strength."""
    rows = np.arange(n)
    columns = {name: quantile(name, row_uniform(seed, name, rows)) for name in PIXELS}
    target = columns["margin"] if core else (row_uniform(seed, "coin", rows) < 0.5).astype(np.int64)
    for name, strength in (tied or {}).items():
        follows = row_uniform(seed, f"{name} follows", rows) < abs(strength)
        half = target if strength > 0 else 1 - target
        u = row_uniform(seed, name, rows)
        columns[name] = quantile(name, np.where(follows, (half + u) / 2, u))
    return FactorTable(rows, target, rows // per_patient, ("benign", "malignant"), FACTORS, columns)


def environment(name: str, rows: FactorTable) -> Environment:
    """Return an environment of rows and their images."""
    return Environment(name, rows, PlantedImages(rows.columns, rows.row), None, ())


@dataclass
class World:
    """A `Scene`: `same` ties texture and tag to the target, `neutral` nothing, `reversed` the other way round.

    Attributes:
        missing: Factor -> share of rows, the first ones, whose value is not known (their images have one all the same).
    """

    n: int = 400
    per_patient: int = 1
    changes: tuple[str, ...] = ("margin", "texture", "size", "tag")
    has_phantom: bool = True
    tables: dict[str, FactorTable] = field(default_factory=dict[str, FactorTable])
    missing: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        for strength, name in ((0.9, "same"), (0.0, "neutral"), (-0.9, "reversed")):
            tied = {"texture": strength, "tag": strength}
            self.tables.setdefault(name, table(self.n, 0, tied, self.per_patient))
        self.tables.setdefault("independent", table(self.n, 1, per_patient=self.per_patient, core=False))

    @property
    def names(self) -> tuple[str, ...]:
        """The test environments."""
        return tuple(name for name in self.tables if name != "independent")

    @property
    def classes(self) -> tuple[str, ...]:
        """The two classes, the positive one last."""
        return self.tables["neutral"].classes

    def environment(self, name: str) -> Environment:
        """Return a test environment, or the independent rows."""
        test_environment = environment(name, self.tables[name])
        for factor, share in self.missing.items():
            test_environment = replace(test_environment, table=with_missing(test_environment.table, factor, share))
        return test_environment

    def neutral(self) -> Environment:
        """Rows whose texture, size and tag are not tied to the target."""
        return self.environment("neutral")

    def independent(self) -> Environment:
        """Rows whose target is a coin: no factor says anything of it."""
        return self.environment("independent")

    def changeable(self) -> tuple[str, ...]:
        """Return the factors that can be changed; `changes` as given."""
        return self.changes

    def counterfactual(self, factor: str, end: str) -> Environment:
        """Return the neutral rows with one factor at an end of its range."""
        rows = self.tables["neutral"]
        values = np.full(len(rows), ENDS[factor][end == "high"], rows.columns[factor].dtype)
        return environment(f"neutral, {factor} {end}", rows.with_column(rows.factor(factor), values))

    def at_quantile(self, factor: str, u: float) -> Environment | None:
        """Return the neutral rows with one factor at a quantile of its marginal, unless `has_phantom` is false."""
        if not self.has_phantom:
            return None
        rows = self.tables["neutral"]
        values = np.full(len(rows), quantile(factor, np.array([u]))[0])
        return environment(f"neutral, {factor} at {u:g}", rows.with_column(rows.factor(factor), values))

    def sobol(self, samples: int) -> SobolDesign | None:
        """Return a design over the four factors and the noise, unless `has_phantom` is false."""
        return design(samples) if self.has_phantom else None


def design(samples: int, seed: int = 0) -> SobolDesign:
    """Return a Saltelli design of plain independent draws."""
    inputs = (*PIXELS, "nuisance")
    draw = generator(seed, "sobol")
    a, b = draw.random((2, len(inputs), samples))
    pages = [a, b]
    for i in range(len(inputs)):
        page = a.copy()
        page[i] = b[i]
        pages.append(page)
    u = np.concatenate(pages, axis=1)
    columns = {name: quantile(name, u[i]) for i, name in enumerate(PIXELS)}
    return SobolDesign(inputs, samples, PlantedImages(columns, (u[-1] * 2**31).astype(np.int64)))


class PixelReader(nn.Module):
    """A network whose logit is a known function of known pixels: weights x pixels, plus one product of two pixels.

    It passes through a convolution-shaped layer `copy` (the image, on as many channels as pixels are named), so that a
    factor can be carried in a layer and ignored by the logit: `carried` names the content of the layer `vector`.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        product: tuple[str, str] | None = None,
        carried: tuple[str, ...] = tuple(PIXELS),
        offset: float = 0.0,
        outputs: int = 2,
    ) -> None:
        super().__init__()
        self.weights, self.product, self.carried, self.outputs = dict(weights or {}), product, carried, outputs
        self.offset = nn.Parameter(torch.tensor(offset))
        self.norm = nn.BatchNorm2d(1)
        self.copy, self.vector = nn.Identity(), nn.Identity()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, outputs]: -logit / 2 and logit / 2 where there are two."""
        self.passes += 1
        self.norm(images)  # would change its running statistics in training mode
        images = self.copy(images)
        noise = images[:, 0, SIDE // 2]
        self.vector(torch.cat([*(pixel(images, name)[:, None] for name in self.carried), noise], dim=1))
        logit = self.offset.expand(len(images)).clone()
        for name, weight in self.weights.items():
            logit = logit + weight * (pixel(images, name) - 0.5)
        if self.product:
            first, second = (pixel(images, name) - 0.5 for name in self.product)
            logit = logit + 4 * first * second
        if self.outputs == 0:
            return logit
        if self.outputs == 1:
            return logit[:, None]
        return torch.stack([-logit / 2, logit / 2], dim=1)


def pixel(images: Tensor, name: str) -> Tensor:
    """Return the pixel of a factor, or the mean noise."""
    if name == "noise":
        return images[:, 0, SIDE // 2].mean(dim=1)
    y, x = PIXELS[name]
    return images[:, 0, y, x]


def with_missing(rows: FactorTable, factor: str, share: float) -> FactorTable:
    """Return the same rows with the first `share` of a factor's values missing."""
    values = rows.columns[factor].copy()
    values[: int(share * len(rows))] = np.nan if values.dtype.kind == "f" else -1
    return replace(rows, columns={**rows.columns, factor: values})


# Suite of probes.

DRAW_FROM = "it draws from a global generator: take assay.plugin.generator(model.seed, 'purpose')"
WEIGHTS = {"tag": 1.0, "margin": 2.0, "noise": 1.0}


class WatchedNetwork(nn.Module):
    """A network of known answers that counts its passes and looks at how it is run."""

    def __init__(self, network: nn.Module, gradients: bool = False) -> None:
        super().__init__()
        self.network = network
        self.gradients = gradients
        self.vector = nn.Identity()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits; the layer `vector` carries them and the first pixels."""
        on = torch.is_grad_enabled() and not self.gradients
        assert not on, "a probe read the model with gradients on; read it through the reading"
        assert not self.training, "a probe read the model in training mode; read it through the reading"
        self.passes += 1
        logits = self.network(images)
        self.vector(torch.cat([logits, images.flatten(1)[:, :20]], dim=1))
        return logits


class ProbeConformance(NamedComponent):
    """Set `name` and `params`; `design_passes` is how many forward passes it makes over images of no environment, such
    as a Sobol' design (`Reading.logits`), or of its own: none unless said.

    Proven, on models whose answers are known (`assay.testing.probe`): every value is a finite number, or NaN with the
    reason, under a name of its own; two probes cause one reading; the same model gives the same numbers, without
    touching the global random state; nothing is kept from one model to the next, and nothing of the model is changed;
    it lives with factors that have no value, a single class and a constant model, and refuses a diverged one.

    Attributes:
        gradients: Whether it asks the network for gradients, in passes of its own. Override `world` where it needs more
            than `World` has, such as masks.
    """

    kind: ClassVar[ComponentKind] = "probe"
    design_passes: ClassVar[int] = 0
    gradients: ClassVar[bool] = False

    def make(self) -> Probe:
        """Return the probe."""
        return self.built()

    def world(self, n: int, missing: Mapping[str, float] | None = None) -> World:
        """Inputs: n images, of which some lack a factor's value (factor -> share)."""
        return World(n=n, missing=missing or {})

    def model(self, network: nn.Module, seed: int = 0) -> Model:
        """Return the network as a model that watches how it is read."""

        def untrained() -> nn.Module:
            return WatchedNetwork(PixelReader(), self.gradients)

        watched = WatchedNetwork(network, self.gradients)
        return Model(watched, layers=("vector",), untrained=untrained, threshold=0.5, seed=seed)

    def measured(self, network: nn.Module, world: World | None = None, seed: int = 0) -> list[Measurement]:
        """Findings of the probe about the network."""
        result = run_probes(self.model(network, seed), world or self.world(120), {self.name: self.make()})
        return result.measurements[self.name]

    def test_says_what_it_looks_at(self) -> None:
        scope, allowed = getattr(lookup("probe", self.name).load(), "scope", None), get_args(Scope)
        assert scope in allowed, f"scope is {scope!r}: set the class attribute `scope` to one of {', '.join(allowed)}"

    def test_measures_something_under_names_of_its_own_and_says_why_where_it_cannot(self) -> None:
        measurements = self.measured(PixelReader(WEIGHTS))
        self.check(measurements)
        names = [(m.measure, m.environment, m.factor, m.level, m.layer, m.group) for m in measurements]
        twice = sorted({name for name in names if names.count(name) > 1})
        assert not twice, f"measurements of one name: {twice}"

    def check(self, measurements: list[Measurement]) -> None:
        """Every measurement is a number of something, or NaN with the reason."""
        assert measurements, "it measured nothing: what is undefined is a measurement of NaN with the reason"
        for m in measurements:
            assert isinstance(m, Measurement)
            assert isinstance(m.value, float)
            assert isinstance(m.n, int)
            assert m.measure
            assert not np.isinf(m.value), f"{m.measure} is infinite"
            assert not np.isnan(m.value) or m.reason, f"{m.measure} is NaN without a reason"

    def test_a_second_probe_of_the_kind_causes_no_second_reading(self) -> None:
        once, twice = self.passes(1), self.passes(2)
        assert twice == once + self.design_passes, (
            f"two copies of the probe made {twice} passes over the model, one makes {once}: what is read must stand in "
            f"its requests (design_passes is {self.design_passes})"
        )

    def passes(self, copies: int) -> int:
        """Forward passes of the trained network when so many copies of the probe run together, on 50 images each."""
        model = self.model(PixelReader(WEIGHTS))
        run_probes(model, self.world(50), {str(copy): self.make() for copy in range(copies)})
        assert isinstance(model.network, WatchedNetwork)
        return model.network.passes

    def test_keeps_nothing_from_one_model_to_the_next(self) -> None:
        probe, world = self.make(), self.world(50)
        run_probes(self.model(PixelReader({"size": 9.0})), world, {"p": probe})
        second = run_probes(self.model(PixelReader(WEIGHTS)), world, {"p": probe}).measurements["p"]
        assert_equal(second, self.measured(PixelReader(WEIGHTS), world), "it kept something of the model before")

    def test_is_repeatable_and_draws_nothing_from_the_global_state(self) -> None:
        torch_state, numpy_state = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
        assert_equal(self.measured(PixelReader(WEIGHTS)), self.measured(PixelReader(WEIGHTS)), DRAW_FROM)
        assert torch.equal(torch.random.get_rng_state(), torch_state), DRAW_FROM
        assert repr(np.random.get_state()) == numpy_state, DRAW_FROM  # noqa: NPY002

    def test_changes_nothing_of_the_model(self) -> None:
        network = PixelReader(WEIGHTS).train()
        model = self.model(network)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        run_probes(model, self.world(50), {self.name: self.make()})
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())
        assert network.training
        hooked = [name for name, module in named_layers(model.network) if vars(module)["_forward_hooks"]]
        assert not hooked, f"forward hooks were left on {hooked}"

    @pytest.mark.parametrize("factor", ["size", "tag"])
    def test_lives_with_a_factor_that_has_no_value(self, factor: str) -> None:
        self.check(self.measured(PixelReader(WEIGHTS), self.world(60, {factor: 1.0})))
        self.check(self.measured(PixelReader(WEIGHTS), self.world(60, {factor: 0.3})))

    def test_lives_with_a_single_class_and_a_constant_model(self) -> None:
        world = self.world(60)
        rows = world.tables["same"]
        world.tables["same"] = rows.take(rows.target == 1)
        self.check(self.measured(PixelReader(), world))

    def test_a_diverged_model_is_refused_by_name(self) -> None:
        with pytest.raises(ReadingError, match="NaN or infinite logits"):
            self.measured(PixelReader({"tag": float("nan")}))


def assert_equal(first: list[Measurement], second: list[Measurement], otherwise: str) -> None:
    """The same measurements, NaN equal to NaN."""
    assert [repr(m) for m in first] == [repr(m) for m in second], otherwise
