"""Where initial weights come from. An initialisation is called with a freshly built network and changes its trunk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from assay.core.errors import WeightsError
from assay.core.paths import filled
from assay.core.seeds import derive
from assay.recipes.models import WithTrunk
from assay.recipes.weights.download import fetch, weights_cache
from assay.recipes.weights.files import WeightsFile, read_weights
from assay.recipes.weights.load import Start, load_trunk, set_epsilon
from assay.recipes.weights.match import match
from assay.recipes.weights.scaling import scaling_of, take_rgb

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Random:
    """The library's own law, drawn when the network was built."""

    def __call__(self, network: nn.Module) -> None:
        """Leaves the network as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFile:
    """Weights from a file: the trunk is loaded, all that stands beside it in the file is named in the log and left out.

    layout: how the file names its layers; `auto` finds it. prefix: what stands before the trunk's keys; found when
    None. leave_out: parts of the file that are not wanted, beyond heads, projections, momentum copies and queues.
    input: how images are scaled for these weights; `auto` takes what the file's metadata say (`input`), else leaves
    timm's own configuration, or refuses where that does not describe such files. Metadata `bn_eps` sets the epsilon of
    every batch norm.
    """

    path: str
    prefix: str | None = None
    layout: str = "auto"
    leave_out: Sequence[str] = ()
    input: str = "auto"
    sha256: str = ""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError when any key is not accounted for, or the scaling of images is not known."""
        self.load(network, filled(self.path))

    def load(self, network: nn.Module, path: Path) -> None:
        """Load the file at a place of its own."""
        target = with_trunk(network)
        file = read_weights(path, self.sha256)
        goal, beside = target.published()
        found = match(
            goal,
            file,
            heads=beside,
            prefix=self.prefix,
            layout=self.layout,
            leave_out=self.leave_out,
            architecture=target.architecture,
        )
        scaling = scaling_of(self.input, file, found.layout.input_hint or target.input_hint, found.layout.name)
        changed = load_trunk(goal, found)
        epsilon = _epsilon(file) if "bn_eps" in file.metadata else found.layout.epsilon
        if epsilon is not None:
            set_epsilon(goal, epsilon)
        if scaling is not None:
            target.scaling.set(scaling.mean, scaling.sd)
        if scaling is not None and scaling.bgr:
            take_rgb(goal)
        strides = target.take(goal, changed)
        target.start = Start(
            file=path.name,
            layout=found.layout.name,
            prefix=found.prefix,
            loaded=len(found.tensors),
            left_out=found.left_out,
            drawn=target.drawn,
            scaling=target.scaling.words() if scaling is None else scaling.words,
            epsilon=epsilon,
            strides=strides,
            positions=found.positions,
        )
        _log.info("%s: %s", path, target.start.text())


def _epsilon(file: WeightsFile) -> float:
    """What the metadata say batch norms add to a variance. Raises WeightsError."""
    try:
        found = float(file.metadata["bn_eps"])
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise WeightsError(
            f"weights file '{file.path}' says in its metadata bn_eps = '{file.metadata['bn_eps']}': give a small "
            "number, such as 1e-5"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """Weights from a public address, fetched once into the cache and checked, then loaded as `FromFile` does.

    size: of the file in bytes; 0 when not known.
    """

    url: str
    sha256: str
    size: int = 0
    prefix: str | None = None
    layout: str = "auto"
    leave_out: Sequence[str] = ()
    input: str = "auto"

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError as `fetch` and `FromFile` do."""
        with_trunk(network)
        path = fetch(self.url, self.sha256, weights_cache(), size=self.size or None)
        FromFile(
            path=str(path), prefix=self.prefix, layout=self.layout, leave_out=self.leave_out, input=self.input
        ).load(network, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomStatistics:
    """Random weights with the means and variances of pretrained layers (Raghu et al. 2019, `Mean Var`).

    Every weight and bias of the trunk is drawn from a normal distribution with the mean and the variance of the tensor
    that it stands in. Running statistics of batch norms start afresh: they describe activations, which random weights
    do not have in common with the pretrained ones. Images are scaled as the pretrained weights want them.
    path: the weights file; empty takes the weights that timm publishes. source: empty; where a study names one of its
    own, a `FromSource` stands in the place of this. The others as in `FromFile`.
    """

    path: str = ""
    source: str = ""
    prefix: str | None = None
    layout: str = "auto"
    leave_out: Sequence[str] = ()
    input: str = "auto"
    sha256: str = ""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError as the weights' own initialisation does."""
        target = with_trunk(network)
        self._pretrained()(target)
        redraw(target.trunk, int(torch.randint(2**62, ())))

    def _pretrained(self) -> Callable[[nn.Module], None]:
        if not self.path:
            from assay.recipes.pretrained import PretrainedByTimm

            return PretrainedByTimm()
        return FromFile(
            path=self.path,
            prefix=self.prefix,
            layout=self.layout,
            leave_out=self.leave_out,
            input=self.input,
            sha256=self.sha256,
        )


def redraw(trunk: nn.Module, seed: int) -> None:
    """Replace every parameter by normal draws with its mean and its (population) variance, from (seed, its name).

    Running statistics of batch norms are reset to mean 0 and variance 1.
    """
    with torch.no_grad():
        for name, parameter in trunk.named_parameters():
            generator = torch.Generator().manual_seed(derive(seed, "statistics", name))
            values = parameter.double()
            draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values.mean() + draws * values.std(correction=0))
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.reset_running_stats()


def with_trunk(network: nn.Module) -> WithTrunk:
    """The network as one whose trunk can be loaded. Raises WeightsError."""
    if not isinstance(network, WithTrunk):
        raise WeightsError(f"pretrained weights need a network with a trunk; {type(network).__name__} has none")
    return network
