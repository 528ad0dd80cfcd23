"""One model's answers: every environment is read once per network, however many probes ask."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.maps import AT_NATIVE
from assay.data.dataset import Images
from assay.maps import Streamed
from assay.maps.kinds import count_kinds
from assay.maps.summary import joined
from assay.probes.activations import Recorder
from assay.probes.native import native_columns
from assay.probes.network_output import ReadingError, finite, lesion_map, logits_of, paired
from assay.probes.probe import Model, Read, Request
from assay.probes.shared import SharedAnswers, answers_apart, hashes_of
from assay.recipes.segmenter import Segmenter
from assay.recipes.tiling import by_tiles
from assay.shifts.environment import Environment

BATCH = 64
"""Images per forward pass on a processor: at 64 px 256 take twice the time, since their maps outgrow the cache."""
ACCELERATOR_BATCH = 256
"""Images per forward pass elsewhere: enough to be busy, few enough for 1 GB of maps at 224 px."""


LARGE = 224
"""Above so many px a side, a batch holds as many pixels as one of images of that side."""


class ModelReading:
    """Implements `Reading` for any `torch.nn.Module` that gives logits [b, k], [b, 1] or [b], or of pixels
    [b, k, h, w].

    requests: what all probes together will read. The layers asked of an environment by different probes are collected
    in one pass, the first time that one of them reads it.
    known: answers that were kept earlier, by environment name, of the trained network. A request whose logits and
    layers are all known causes no forward pass.

    On a processor, where several environments are read without layers, an image that stands in more than one of them
    (as under p and under p = 0) is put through once. Batches are then filled up to one size, so that an answer depends
    on the pixels alone and not on what else is read. A network that does not answer every image by itself, and one
    that gives maps, is read environment by environment.

    Answers are float32. One logit z per image becomes the pair (0, z), which has the same softmax as z has sigmoid. Of
    a map of logits the image's logit is the greatest log-odds of lesion, and beside it the columns of `assay.maps` are
    kept; the map itself is not.
    Activations are pooled over space by the mean (`Recorder`). The module is read in eval mode and left exactly as it
    was found: weights, buffers, gradients, hooks and the mode of each submodule. It must stand on `model.device`.

    Raises ReadingError for logits of a wrong shape, for NaN or infinity in logits or layers, for an environment that
    nobody requested, for two different environments of one name, for known answers that do not fit their environment.
    """

    def __init__(self, model: Model, requests: Iterable[Request], known: Mapping[str, Read] | None = None) -> None:
        self.model = model
        self._environments: dict[str, Environment] = {}
        self._layers: dict[tuple[str, bool], tuple[str, ...]] = {}
        self._native: set[str] = set()
        self._answers: dict[tuple[str, bool], Read] = {}
        self._blank: nn.Module | None = None
        self._shared = SharedAnswers()
        for request in requests:
            self._register(request)
        for name, read in (known or {}).items():
            self._remember(name, read)

    def read(self, environment: Environment, *, untrained: bool = False) -> Read:
        """Answers for an environment that was requested, with the layers that anyone asked of it."""
        key = (environment.name, untrained)
        if key not in self._layers:
            what = "the untrained network on " if untrained else ""
            asked = ", ".join(sorted({name for name, of in self._layers if of == untrained})) or "nothing"
            raise ReadingError(f"{what}environment '{environment.name}' was not requested by any probe; asked: {asked}")
        self._same(environment)
        if key not in self._answers:
            where = f"environment '{environment.name}'"
            if self._shares and key in self._alike:
                self._answers[key] = Read(self._once(environment, where), {})
                return self._answers[key]
            network = self._untrained() if untrained else self.model.network
            read = self._pass(network, environment.images, self._layers[key], where, environment)
            logits = paired(read.logits, len(environment.table.classes), where)
            self._answers[key] = Read(logits, read.activations, read.maps)
        return self._answers[key]

    def logits(self, images: object) -> Float[np.ndarray, "n k"]:
        """Logits for images that belong to no environment. Read anew by every call."""
        if not isinstance(images, Images):
            raise ReadingError(f"expected images that can be read by position, got {type(images).__name__}")
        logits = self._pass(self.model.network, images, (), "images of a design").logits
        return paired(logits, max(2, logits.shape[1]), "images of a design")

    def answered(self) -> dict[str, Read]:
        """What the trained network said about every environment read so far, by name."""
        return {name: read for (name, untrained), read in self._answers.items() if not untrained}

    def _register(self, request: Request) -> None:
        self._environments.setdefault(request.environment.name, request.environment)
        self._same(request.environment)
        if request.native and request.environment.native is not None:
            self._native.add(request.environment.name)
        key = (request.environment.name, request.untrained)
        self._layers[key] = tuple(dict.fromkeys((*self._layers.get(key, ()), *request.layers)))

    def _same(self, environment: Environment) -> None:
        """Refuse a second environment of a name that already means another one: their answers would be mixed up."""
        first = self._environments[environment.name]
        if first is not environment and not _same_rows(first, environment):
            raise ReadingError(
                f"two environments are named '{environment.name}' ({len(first)} and {len(environment)} rows): "
                "every environment, counterfactuals too, needs a name of its own"
            )

    def _remember(self, name: str, read: Read) -> None:
        wanted = self._layers.get((name, False))
        if wanted is None or any(layer not in read.activations for layer in wanted):
            return
        if name in self._native and not any(column.startswith(AT_NATIVE) for column in read.maps):
            return
        environment = self._environments[name]
        where = f"environment '{name}'"
        if len(read.logits) != len(environment):
            raise ReadingError(f"known answers for {where} have {len(read.logits)} rows, it has {len(environment)}")
        finite(read.logits, "logits", where)
        classes = len(environment.table.classes)
        self._answers[name, False] = Read(paired(read.logits, classes, where), read.activations, read.maps)

    @property
    def _alike(self) -> list[tuple[str, bool]]:
        """The environments, as `_layers` names them, that the trained network reads without layers."""
        return [key for key, layers in self._layers.items() if not (key[1] or layers)]

    @cached_property
    def _shares(self) -> bool:
        """Whether answers to an image are taken over from one environment to others."""
        maps = isinstance(self.model.network, Segmenter)  # of images that may be too large for a pass that is not tiled
        if maps or self.model.device != "cpu" or len(self._alike) < 2:
            return False
        with evaluating(self.model.network):
            return answers_apart(self.model.network, self._environments[self._alike[0][0]].images)

    def _once(self, environment: Environment, where: str) -> Float[np.ndarray, "n k"]:
        """Logits for an environment of which only those images are put through that no other one had."""
        shared, step = self._shared, batch_of(self.model.device, environment.images.shape)
        for name, read in self.answered().items():
            if name not in shared.of:
                shared.keep(hashes_of(self._environments[name].images, step), read.logits)
                shared.of.add(name)
        hashes = hashes_of(environment.images, step)
        rows = shared.new(hashes)
        if len(rows) or not len(hashes):
            read = self._pass(self.model.network, environment.images, (), where, environment, rows)
            shared.keep(hashes[rows], paired(read.logits, len(environment.table.classes), where))
        shared.of.add(environment.name)
        return shared.to(hashes)

    def _untrained(self) -> nn.Module:
        if self.model.untrained is None:
            raise ReadingError("the untrained network was asked for, but the model says nothing of how to build it")
        if self._blank is None:
            self._blank = self.model.untrained().to(self.model.device)
        return self._blank

    def _pass(
        self,
        network: nn.Module,
        images: Images,
        layers: tuple[str, ...],
        where: str,
        of: Environment | None = None,
        rows: Int[np.ndarray, "m"] | None = None,
    ) -> Read:
        """One pass over all images, streamed by batch; only logits, pooled activations and columns of maps are kept.

        rows: those of the images that are put through; all of them for None.
        """
        n = len(images)
        if n == 0:
            raise ReadingError(f"{where} holds no image")
        logits: list[np.ndarray] = []
        maps, beside = Streamed(), list[dict[str, np.ndarray]]()
        step = batch_of(self.model.device, images.shape)
        forward = network if layers else by_tiles(network, images.shape)
        with evaluating(network), torch.inference_mode(), Recorder(network, layers, n) as recorder:
            places = np.arange(n) if rows is None else rows
            fill = of is not None and self._shares
            for start in range(0, len(places), step):
                index = places[start : start + step]
                recorder.at(start)
                batch = images.read(index).to(self.model.device)
                output = _filled(forward, batch, step) if fill else forward(batch)
                if isinstance(output, Tensor) and output.ndim == 4:
                    lesion = lesion_map(output, batch, where)
                    if of is not None and of.masks is not None:
                        labels = of.masks.read(index)[:, 0]
                        maps.append(lesion, labels, _pixel_size(of, index))
                        beside.append(self._beside(output, labels, of, index))
                    output = lesion.flatten(1).amax(dim=1)
                logits.append(logits_of(output, len(index), where))
                recorder.check()
        values = np.concatenate(logits)
        finite(values, "logits", where, places, n)
        for layer, activations in recorder.activations.items():
            finite(activations, f"activations of '{layer}'", where, places, n)
        columns = {**(maps.columns() if maps else {}), **(joined(beside) if beside else {})}
        return Read(values, recorder.activations, columns)

    def _beside(self, logits: Tensor, labels: Tensor, of: Environment, index: np.ndarray) -> dict[str, np.ndarray]:
        """Columns that need the logits of all kinds: of each kind, and at native size where that was asked."""
        found = count_kinds(logits, labels) if logits.shape[1] > 2 else {}
        if of.native is not None and of.name in self._native:
            found |= native_columns(logits, of.native, of, index)
        return found


def _filled(forward: Callable[[Tensor], object], batch: Tensor, size: int) -> object:
    """The answers to a batch, filled up with its last image: a library chooses its kernels, and last bits, by size."""
    missing = size - len(batch)
    if missing == 0:
        return forward(batch)
    output = forward(torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])]))
    return output[: len(batch)] if isinstance(output, Tensor) and output.ndim and len(output) == size else output


def batch_of(device: str, shape: tuple[int, int, int]) -> int:
    """How many images of a shape go through at once: fewer of large ones, whose maps would fill the memory."""
    most = BATCH if device == "cpu" else ACCELERATOR_BATCH
    return max(1, most * min(LARGE**2, shape[1] * shape[2]) // (shape[1] * shape[2]))


def _pixel_size(environment: Environment, index: np.ndarray) -> Float[np.ndarray, "b 2"] | None:
    """Height and width of the images' pixels in mm, where the data say them."""
    known = environment.millimetres
    return None if known is None else np.repeat(known[index, None], 2, axis=1)


@contextmanager
def evaluating(network: nn.Module) -> Generator[None]:
    """Eval mode, and afterwards the mode that each submodule had (some may be frozen in eval on purpose)."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _same_rows(a: Environment, b: Environment) -> bool:
    """Whether two environments hold the same rows with the same factors."""
    if len(a) != len(b) or a.table.columns.keys() != b.table.columns.keys():
        return False
    pairs = [(a.table.row, b.table.row), *((a.table.columns[c], b.table.columns[c]) for c in a.table.columns)]
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)
