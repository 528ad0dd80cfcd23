"""What every probe must do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from assay.plugin import ComponentKind, Measurement, Model, Probe, ReadingError, Scope, lookup, run_probes
from assay.recipes.untyped import named_layers
from assay.testing.named import NamedComponent
from assay.testing.world import Reader, World

DRAW_FROM = "it draws from a global generator: take assay.plugin.generator(model.seed, 'purpose')"
WEIGHTS = {"tag": 1.0, "margin": 2.0, "noise": 1.0}


class Watched(nn.Module):
    """A network of known answers that counts its passes and looks at how it is run."""

    def __init__(self, network: nn.Module, gradients: bool = False) -> None:
        super().__init__()
        self.network = network
        self.gradients = gradients
        self.vector = nn.Identity()
        self.passes = 0

    def forward(self, images: Tensor) -> Tensor:
        """The network's logits; the layer `vector` carries them and the first pixels."""
        on = torch.is_grad_enabled() and not self.gradients
        assert not on, "a probe read the model with gradients on; read it through the reading"
        assert not self.training, "a probe read the model in training mode; read it through the reading"
        self.passes += 1
        logits = self.network(images)
        self.vector(torch.cat([logits, images.flatten(1)[:, :20]], dim=1))
        return logits


class ProbeConformance(NamedComponent):
    """Set `name` and `params`; `design_passes` is how many forward passes it makes over images of no environment, such
    as a Sobol' design (`Reading.logits`), or of its own: none unless said. gradients: whether it asks the network for
    gradients, in passes of its own. Override `world` where it needs more than `World` has, such as masks.

    Proven, on models whose answers are known (`assay.testing.world`): every value is a finite number, or NaN with the
    reason, under a name of its own; two probes cause one reading; the same model gives the same numbers, without
    touching the global random state; nothing is kept from one model to the next, and nothing of the model is changed;
    it lives with factors that have no value, a single class and a constant model, and refuses a diverged one.
    """

    kind: ClassVar[ComponentKind] = "probe"
    design_passes: ClassVar[int] = 0
    gradients: ClassVar[bool] = False

    def make(self) -> Probe:
        """The probe."""
        return self.built()

    def world(self, n: int, missing: Mapping[str, float] | None = None) -> World:
        """What is looked at: n images, of which some lack a factor's value (factor -> share)."""
        return World(n=n, missing=missing or {})

    def model(self, network: nn.Module, seed: int = 0) -> Model:
        """The network as a model that watches how it is read."""

        def untrained() -> nn.Module:
            return Watched(Reader(), self.gradients)

        watched = Watched(network, self.gradients)
        return Model(watched, layers=("vector",), untrained=untrained, threshold=0.5, seed=seed)

    def measured(self, network: nn.Module, world: World | None = None, seed: int = 0) -> list[Measurement]:
        """What the probe finds about the network."""
        result = run_probes(self.model(network, seed), world or self.world(120), {self.name: self.make()})
        return result.measurements[self.name]

    def test_says_what_it_looks_at(self) -> None:
        scope, allowed = getattr(lookup("probe", self.name).load(), "scope", None), get_args(Scope)
        assert scope in allowed, f"scope is {scope!r}: set the class attribute `scope` to one of {', '.join(allowed)}"

    def test_measures_something_and_says_why_where_it_cannot(self) -> None:
        self.check(self.measured(Reader(WEIGHTS)))

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

    def test_no_two_measurements_have_one_name(self) -> None:
        names = [
            (m.measure, m.environment, m.factor, m.level, m.layer, m.group) for m in self.measured(Reader(WEIGHTS))
        ]
        twice = sorted({name for name in names if names.count(name) > 1})
        assert not twice, f"measurements of one name: {twice}"

    def test_a_second_probe_of_the_kind_causes_no_second_reading(self) -> None:
        once, twice = self.passes(1), self.passes(2)
        assert twice == once + self.design_passes, (
            f"two copies of the probe made {twice} passes over the model, one makes {once}: what is read must stand in "
            f"its requests (design_passes is {self.design_passes})"
        )

    def passes(self, copies: int) -> int:
        """Forward passes of the trained network when so many copies of the probe run together, on 50 images each."""
        model = self.model(Reader(WEIGHTS))
        run_probes(model, self.world(50), {str(copy): self.make() for copy in range(copies)})
        assert isinstance(model.network, Watched)
        return model.network.passes

    def test_keeps_nothing_from_one_model_to_the_next(self) -> None:
        probe, world = self.make(), self.world(50)
        run_probes(self.model(Reader({"size": 9.0})), world, {"p": probe})
        second = run_probes(self.model(Reader(WEIGHTS)), world, {"p": probe}).measurements["p"]
        assert_equal(second, self.measured(Reader(WEIGHTS), world), "it kept something of the model before")

    def test_is_repeatable_and_draws_nothing_from_the_global_state(self) -> None:
        torch_state, numpy_state = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
        assert_equal(self.measured(Reader(WEIGHTS)), self.measured(Reader(WEIGHTS)), DRAW_FROM)
        assert torch.equal(torch.random.get_rng_state(), torch_state), DRAW_FROM
        assert repr(np.random.get_state()) == numpy_state, DRAW_FROM  # noqa: NPY002

    def test_changes_nothing_of_the_model(self) -> None:
        network = Reader(WEIGHTS).train()
        model = self.model(network)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        run_probes(model, self.world(50), {self.name: self.make()})
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())
        assert network.training
        left = [name for name, module in named_layers(model.network) if vars(module)["_forward_hooks"]]
        assert not left, f"forward hooks were left on {left}"

    @pytest.mark.parametrize("factor", ["size", "tag"])
    def test_lives_with_a_factor_that_has_no_value(self, factor: str) -> None:
        self.check(self.measured(Reader(WEIGHTS), self.world(60, {factor: 1.0})))
        self.check(self.measured(Reader(WEIGHTS), self.world(60, {factor: 0.3})))

    def test_lives_with_a_single_class_and_a_constant_model(self) -> None:
        world = self.world(60)
        rows = world.tables["same"]
        world.tables["same"] = rows.take(rows.target == 1)
        self.check(self.measured(Reader(), world))

    def test_a_diverged_model_is_refused_by_name(self) -> None:
        with pytest.raises(ReadingError, match="NaN or infinite logits"):
            self.measured(Reader({"tag": float("nan")}))


def assert_equal(one: list[Measurement], two: list[Measurement], otherwise: str) -> None:
    """The same measurements, NaN equal to NaN."""
    assert [repr(m) for m in one] == [repr(m) for m in two], otherwise
