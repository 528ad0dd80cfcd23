"""Read a model once per environment for all probes that need it, and check its outputs.

`run_probes` collects the requests of probes, reads by `ModelReading`, and lets each probe measure. The results of a
reading are logits, pooled activations (`Recorder`) and statistics of maps. Outputs of images that several environments
share are kept in an `OutputCache`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import TracebackType
from typing import Self, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d
from torch.utils.hooks import RemovableHandle

from assay.core.errors import AssayError, ReadingError, unknown_name
from assay.core.map_grid import AT_NATIVE
from assay.core.types import Measurement
from assay.data.dataset import Images, NativeMasks
from assay.data.files.fitting import unfitted
from assay.maps.summary import StreamedSummary, at_native, count_kinds, join_parts, label_probabilities, lesion_logits
from assay.models.external import AT_ONCE, starts_program
from assay.models.process import ProcessNetwork
from assay.models.ref import Model
from assay.probes.probe import KeepsActivations, ModelOutputs, Probe, Reading, Request, SampledActivations
from assay.shifts.environment import Environment, Scene
from assay.stats.influence import ModelPredictions
from assay.stats.metrics import is_varying, log_odds

# Outputs for images that occur in several environments, recognized by their pixels.


@dataclass
class OutputCache:
    """Outputs of one network for every image so far.

    Attributes:
        environments: Names of the environments that have these images.
    """

    environments: set[str] = field(default_factory=set[str])
    _logits: dict[int, Float[np.ndarray, "k"]] = field(default_factory=dict[int, Float[np.ndarray, "k"]])

    def missing(self, hashes: Int[np.ndarray, "n"]) -> Int[np.ndarray, "m"]:
        """Positions of the images without an answer, each image once, in ascending order."""
        _, first = np.unique(hashes, return_index=True)
        return np.array([row for row in np.sort(first) if int(hashes[row]) not in self._logits], dtype=np.int64)

    def keep(self, hashes: Int[np.ndarray, "n"], logits: Float[np.ndarray, "n k"]) -> None:
        """Take answers over; of an image that has one, the first stays."""
        for hash, answer in zip(hashes.tolist(), logits, strict=True):
            self._logits.setdefault(hash, answer)

    def outputs_for(self, hashes: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n k"]:
        """Return the answers to images, at least one, all of which have one."""
        return np.stack([self._logits[hash] for hash in hashes.tolist()])


def hashes_of(images: Images, batch_size: int) -> Int[np.ndarray, "n"]:
    """Hash the pixels of every image, `batch_size` of which are held, by Python's hash: for this process alone."""
    positions = np.arange(len(images))
    batches = (images.read(positions[i : i + batch_size]).numpy() for i in range(0, len(images), batch_size))
    return np.array([hash(row.tobytes()) for part in batches for row in part], dtype=np.int64)


def is_batch_independent(network: nn.Module, images: Images) -> bool:
    """Return whether the logits of an image do not depend on the other images of its batch.

    The network, in eval mode, must give the first image the same logits next to the second and next to the last. False
    for one that normalizes by the batch, draws at random or returns maps, and for fewer than three images.
    """
    if len(images) < 3:
        return False
    with torch.inference_mode():
        outputs = [network(images.read(np.array([0, other]))) for other in (1, len(images) - 1)]
    if not all(isinstance(output, Tensor) and output.ndim in (1, 2) and len(output) == 2 for output in outputs):
        return False
    return torch.equal(outputs[0][0], outputs[1][0])


# Checked outputs of a network: logits of images, maps of logits, or why they cannot be used.


def logits_of(output: object, images: int, source: str) -> Float[np.ndarray, "b k"]:
    """Return a network's output as [b, k], float64 where it is so and else float32; [b] becomes [b, 1]."""
    if not isinstance(output, Tensor):
        raise ReadingError(
            f"the model gave a {type(output).__name__} for {source}; expected a tensor of logits [b, k], [b, 1] or "
            "[b]: wrap it in a module that returns the logits"
        )
    if output.ndim == 1:
        output = output[:, None]
    if output.ndim != 2 or len(output) != images:
        raise ReadingError(
            f"the model gave logits of shape {list(output.shape)} for {images} images of {source}; "
            "expected [b, k], [b, 1] or [b]"
        )
    return (output if output.dtype == torch.float64 else output.float()).cpu().numpy()


def lesion_map(output: Tensor, batch: Tensor, source: str) -> Float[Tensor, "b h w"]:
    """Return the log-odds of lesion of every pixel of the images."""
    if len(output) != len(batch) or output.shape[2:] != batch.shape[2:]:
        raise ReadingError(
            f"the model gave maps of shape {list(output.shape)} for images {list(batch.shape)} of {source}; "
            "expected logits [b, k, h, w] of the images' own size"
        )
    lesion = lesion_logits(output)
    require_finite(lesion.flatten(1).cpu().numpy(), "logits", source)
    return lesion


def logits_per_class(logits: np.ndarray, classes: int, source: str) -> Float[np.ndarray, "n k"]:
    """Return logits with one column per class: a single logit z of two classes becomes (0, z)."""
    if logits.shape[1] == 1 and classes == 2:
        return np.concatenate([np.zeros_like(logits), logits], axis=1)
    if logits.shape[1] != classes:
        raise ReadingError(
            f"the model gave {logits.shape[1]} logits per image, {source} has {classes} classes; name classes "
            "without an image in `data: {factors: {<target>: {kind: ordinal, levels: [...]}}}`; for a model of other "
            "classes, append a module that picks or sums their logits"
        )
    return logits


def require_finite(
    values: np.ndarray,
    values_name: str,
    source: str,
    positions_of_rows: Int[np.ndarray, "m"] | None = None,
    images: int | None = None,
) -> None:
    """Raise ReadingError for NaN and infinity.

    Args:
        values: A row per image.
        values_name: Name of the values in the error.
        source: Name of the images in the error.
        positions_of_rows: Positions of the rows among all images; None where the rows are all images.
        images: Number of all images; None where the rows are all images.
    """
    not_finite = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(not_finite):
        positions = not_finite if positions_of_rows is None else positions_of_rows[not_finite]
        first = ", ".join(str(position) for position in cast("list[int]", positions[:5].tolist()))
        raise ReadingError(
            f"the model gave NaN or infinite {values_name} for {len(not_finite)} of {images or len(values)} images of "
            f"{source} (positions {first}{', ...' if len(not_finite) > 5 else ''}); it diverged, or its input is out "
            f"of range: check its weights and the scaling of images"
        )


# Activations of named layers, pooled and kept batch by batch while a network is read.


class LayerError(AssayError):
    """A layer that cannot be read."""


def pool(activation: Tensor) -> Float[Tensor, "b d"]:
    """Return one feature vector per image.

    A map [b, d, h, w] (or with more spatial axes) is averaged over space, tokens [b, t, d] over tokens, a vector [b, d]
    stays. Position within the image is therefore not decodable from a map beyond its mean.
    """
    if activation.ndim == 3:
        return activation.mean(dim=1)
    if activation.ndim > 3:
        return activation.flatten(2).mean(dim=2)
    return activation


class Recorder:
    """A context in which forward hooks write the pooled activations of `layers` into arrays of `n` rows; more are cut.

    Pooling happens inside the hook, so an in-place operation that follows does not change kept maps, and memory holds
    one batch of maps at most. Hooks are removed on leaving. Raises LayerError for an unknown layer, one that gives no
    tensor, and one that runs never or more than once in a pass.

    Args:
        network: the network that is read.
        layers: dotted names of its modules.
        n: images in all passes together.
        features: the numbers [b, d] that are kept of an activation.

    Examples:
        Maps are pooled over space, here a map of ones to 1 in each of two channels:

        >>> network = nn.Sequential(nn.Identity())
        >>> with Recorder(network, ("0",), n=3) as recorder:
        ...     network(torch.ones(3, 2, 4, 4)).shape
        torch.Size([3, 2, 4, 4])
        >>> recorder.activations["0"].tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(
        self,
        network: nn.Module,
        layers: tuple[str, ...],
        n: int,
        features: Callable[[Tensor], Float[Tensor, "b d"]] = pool,
    ) -> None:
        modules: dict[str, nn.Module] = dict(network.named_modules())  # pyright: ignore[reportUnknownArgumentType]
        for layer in layers:
            if layer not in modules:
                raise LayerError(unknown_name("layer", layer, [name for name in modules if name]))
        self.activations: dict[str, np.ndarray] = {}
        self._modules = {layer: modules[layer] for layer in layers}
        self._n = n
        self._features = features
        self._start = 0
        self._calls = dict.fromkeys(layers, 0)
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for layer, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def start_batch(self, start: int) -> None:
        """Set the position of the first image of the next pass."""
        self._start = start
        self._calls = dict.fromkeys(self._calls, 0)

    def check(self) -> None:
        """Refuse layers that did not run exactly once in the pass: which of their outputs to keep is not defined."""
        for layer, calls in self._calls.items():
            if calls != 1:
                raise LayerError(f"layer '{layer}' ran {calls} times in one pass; choose a module that runs once")

    def _hook(self, layer: str) -> Callable[[nn.Module, object, object], None]:
        def keep(_module: nn.Module, _inputs: object, output: object) -> None:
            self._calls[layer] += 1
            if not isinstance(output, Tensor) or output.ndim < 2:
                shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise LayerError(f"layer '{layer}' gives {shape}; expected a tensor [b, d], [b, t, d] or [b, d, h, w]")
            values = (
                self._features(output.float()).cpu().numpy()[: self._n - self._start]
            )  # the rest of a batch fills it up
            if layer not in self.activations:
                self.activations[layer] = np.empty((self._n, values.shape[1]), np.float32)
            self.activations[layer][self._start : self._start + len(values)] = values

        return keep


# Flattened maps of layers, standardized: inner products between images.

MAPS_AT_ONCE = 2**26
"""Numbers of maps held at once, as float32 (256 MB)."""
_FEATURES_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class GramMatrices:
    """Inner products of images in a layer.

    Attributes:
        varying: Numbers of its flattened map that are not constant.
    """

    products: Float[np.ndarray, "n n"]
    varying: int


def standardized_grams(
    network: nn.Module, layers: tuple[str, ...], images: Images, device: str
) -> dict[str, GramMatrices]:
    """Compute inner products of images over the flattened activations of each layer.

    Every number of an activation is standardized over the images: mean 0, standard deviation 1 with n in the
    denominator; constant ones are left out. Maps larger than `MAPS_AT_ONCE` are read in several passes, a slice of
    every layer in each, so that memory holds one slice of all images and one batch of whole maps.

    Args:
        network: the network that is read, in eval mode meanwhile.
        layers: dotted names of its modules.
        images: at least one image.
        device: where the network is.

    Returns:
        Layer -> inner products [n, n] in float64.
    """
    n = len(images)
    sizes = {
        name: x.shape[1] for name, x in _flattened_features(network, layers, images, device, slice(None), n=1).items()
    }
    width = max(1, MAPS_AT_ONCE // (n * max(1, len(layers))))
    products = {layer: np.zeros((n, n)) for layer in layers}
    varying = dict.fromkeys(layers, 0)
    for start in range(0, max(sizes.values(), default=0), width):
        layers_left = tuple(layer for layer in layers if sizes[layer] > start)
        for layer, values in _flattened_features(
            network, layers_left, images, device, slice(start, start + width), n
        ).items():
            require_finite(values, f"activations of '{layer}'", "the images whose maps are compared")
            for feature_start in range(0, values.shape[1], _FEATURES_AT_ONCE):
                part = values[:, feature_start : feature_start + _FEATURES_AT_ONCE]
                x = part[:, is_varying(part)].astype(np.float64)
                x = (x - x.mean(axis=0)) / x.std(axis=0)
                products[layer] += x @ x.T
                varying[layer] += x.shape[1]
    return {layer: GramMatrices(products[layer], varying[layer]) for layer in layers}


def _flattened_features(
    network: nn.Module, layers: tuple[str, ...], images: Images, device: str, part: slice, n: int
) -> dict[str, Float[np.ndarray, "n d"]]:
    """Return layer -> a slice of the flattened activations of the first `n` images."""
    step = batch_size_for(device, images.shape)
    recorder = Recorder(network, layers, n, lambda output: output.flatten(1)[:, part])
    with eval_mode(network), torch.inference_mode(), recorder:
        for start in range(0, n, step):
            recorder.start_batch(start)
            network(images.read(np.arange(start, min(start + step, n))).to(device))
            recorder.check()
    return recorder.activations


# Outputs of a model as predictions with targets, and as log-odds of images in memory.


def read_predictions(reading: Reading, environment: Environment) -> ModelPredictions:
    """Return the predictions of a model for an environment, with its thresholds and statistics of its maps."""
    model, outputs = reading.model, reading.read(environment)
    operating = (
        {"operating": np.tile(model.operating, (len(environment), 1))} if outputs.maps and model.operating else {}
    )
    return ModelPredictions(
        outputs.logits,
        environment.table.target,
        0.5 if model.threshold is None else model.threshold,
        maps={**outputs.maps, **operating},
        grade_cutoff=model.cut or 1,
        specificity_log_odds=np.tile(model.specific, (len(outputs.logits), 1)) if model.specific else None,
        class_names=environment.table.classes,
    )


MAX_CELLS = 48
"""Most cells per side of the grid to which maps of images in memory are reduced."""


def cells_of(maps: Float[Tensor, "n h w"]) -> Float[np.ndarray, "n r c"]:
    """Return the greatest value in each cell of a grid, of at most `MAX_CELLS` a side."""
    height, width = maps.shape[1:]
    return adaptive_max_pool2d(maps, (min(MAX_CELLS, height), min(MAX_CELLS, width))).cpu().numpy()


def scores_of(model: Model, images: Float[np.ndarray, "n c h w"], classes: int) -> Float[np.ndarray, "n ..."]:
    """Return log-odds of images in memory, as `log_odds`; the network is in eval mode. Raises ReadingError.

    Of maps they are the log-odds of lesion in the cells of `cells_of`.
    """
    where, scores = "images with exchanged content", list[np.ndarray]()
    sides = images.shape[1], images.shape[2], images.shape[3]
    step = len(images) if starts_program(model.network) else batch_size_for(model.device, sides)
    with torch.inference_mode():
        for start in range(0, len(images), step):
            part = torch.as_tensor(images[start : start + step], device=model.device)
            output = model.network(part)
            maps = isinstance(output, Tensor) and output.ndim == 4
            scores.append(cells_of(lesion_map(output, part, where)) if maps else logits_of(output, len(part), where))
    values = np.concatenate(scores)
    if values.ndim == 3:
        return values.astype(np.float64)
    require_finite(values, "logits", where)
    return log_odds(logits_per_class(values, classes, where).astype(np.float64))


# A batch of maps at the size of each image's own file, one image at a time.


def native_columns(
    logits: Float[Tensor, "b k h w"], masks: NativeMasks, environment: Environment, index: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the `native_` columns of these images of an environment (docs/reference/maps.md).

    One map is scaled and one mask read at a time, so that memory holds one image of native size whatever the batch.

    Raises:
        DataError: If a mask's file was changed or lost meanwhile.
    """
    return join_parts(
        [_native_columns_of_image(logits[i : i + 1], masks, environment, at) for i, at in enumerate(index.tolist())]
    )


def _native_columns_of_image(
    logits: Float[Tensor, "1 k h w"], masks: NativeMasks, environment: Environment, position: int
) -> dict[str, np.ndarray]:
    labels = torch.as_tensor(masks.read_one(position))
    height, width = labels.shape
    probabilities = unfitted(label_probabilities(logits)[0], height, width, masks.framing)
    spacing = environment.millimeters
    # The known size is that of pixels at study resolution, to which the longer side was scaled.
    millimeters = 1.0 if spacing is None else float(spacing[position]) * logits.shape[-1] / max(height, width)
    return at_native(probabilities, labels, millimeters)


# Outputs of one model: every environment is read once per network, for all probes.

BATCH = 64
"""Images per forward pass on a processor: at 64 px 256 take twice the time, since their maps outgrow the cache."""
ACCELERATOR_BATCH = 256
"""Images per forward pass elsewhere: enough to be busy, few enough for 1 GB of maps at 224 px."""


LARGE_SIDE = 224
"""Images with a longer side in px are read in smaller batches, of as many pixels as a batch of this side."""

Part = TypeVar("Part")
Result = TypeVar("Result")


def read_ahead(read: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[tuple[Part, Result]]:
    """Yield (part, result) in order. The next part is prepared while one is read."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque[tuple[Part, Future[Result]]]()
        for part in parts:
            waiting.append((part, thread.submit(read, part)))
            if len(waiting) > 1:  # one at work, and one that follows it at once
                first, pending = waiting.popleft()
                yield first, pending.result()
        for last, pending in waiting:
            yield last, pending.result()


class ModelReading:
    """Implements `Reading` for any `torch.nn.Module` that gives logits [b, k], [b, 1] or [b], or of pixels [b, k, h,
    w].

    On a processor, where several environments are read without layers, an image that is in more than one of them (as
    under p and under p = 0) is put through once. Batches are then filled up to one size, so that an answer depends on
    the pixels alone and not on other images. A network that does not answer every image by itself, and one that gives
    maps, is read environment by environment.

    Answers are float32, or float64 where the network gives these. One logit z per image becomes the pair (0, z), which
    has the same softmax as z has sigmoid. Of a map of logits the image's logit is the greatest log-odds of lesion, and
    the columns of `assay.maps.summary` are kept; the map itself is not. Activations are pooled over space by the mean
    (`Recorder`). The module is read in eval mode and left exactly as it was found: weights, buffers, gradients, hooks
    and the mode of each submodule. It must stand on `model.device`.

    Raises ReadingError for logits of a wrong shape, for NaN or infinity in logits or layers, for an environment that
    nobody requested, for two different environments of one name, for known answers that do not fit their environment.

    Args:
        requests: All readings that the probes require together. The layers asked of an environment by different probes
            are collected in one pass, the first time that one of them reads it.
        known: Answers that were kept earlier, by environment name, of the trained network. A request whose
            logits and layers are all known causes no forward pass.

    Examples:
        Answers are read once, whoever asks:

        >>> from assay.testing.probe import PixelReader, World
        >>> network, neutral = PixelReader({"tag": 4.0}), World().neutral()
        >>> reading = ModelReading(Model(network), [Request(neutral), Request(neutral, ("vector",))])
        >>> reading.read(neutral) is reading.read(neutral)
        True
        >>> reading.read(neutral).activations["vector"].shape
        (400, 12)
    """

    def __init__(
        self, model: Model, requests: Iterable[Request], known: Mapping[str, ModelOutputs] | None = None
    ) -> None:
        self.model = model
        self._environments: dict[str, Environment] = {}
        self._layers: dict[tuple[str, bool], tuple[str, ...]] = {}
        self._native: set[str] = set()
        self._outputs: dict[tuple[str, bool], ModelOutputs] = {}
        self._untrained_network: nn.Module | None = None
        self._shared = OutputCache()
        for request in requests:
            self._register(request)
        for name, read in (known or {}).items():
            self._add_known(name, read)

    def read(self, environment: Environment, *, untrained: bool = False) -> ModelOutputs:
        """Return the outputs for an environment that was requested, with all layers that were requested of it."""
        key = (environment.name, untrained)
        if key not in self._layers:
            prefix = "the untrained network on " if untrained else ""
            requested = (
                ", ".join(sorted({name for name, is_untrained in self._layers if is_untrained == untrained}))
                or "nothing"
            )
            raise ReadingError(
                f"{prefix}environment '{environment.name}' was not requested by any probe; asked: {requested}"
            )
        self._require_same(environment)
        if key not in self._outputs:
            where = f"environment '{environment.name}'"
            if self._shares and key in self._read_without_layers:
                self._outputs[key] = ModelOutputs(self._shared_logits(environment, where), {})
                return self._outputs[key]
            network = self._untrained() if untrained else self.model.network
            outputs = self._pass(network, environment.images, self._layers[key], where, environment)
            logits = logits_per_class(outputs.logits, len(environment.table.classes), where)
            self._outputs[key] = ModelOutputs(logits, outputs.activations, outputs.maps)
        return self._outputs[key]

    def logits(self, images: object, where: str = "images of a design") -> Float[np.ndarray, "n k"]:
        """Return logits for images that belong to no environment. Every call reads them again."""
        if not isinstance(images, Images):
            raise ReadingError(f"expected images that can be read by position, got {type(images).__name__}")
        logits = self._pass(self.model.network, images, (), where).logits
        return logits_per_class(logits, max(2, logits.shape[1]), where)

    def trained_outputs(self) -> dict[str, ModelOutputs]:
        """Return name -> outputs of the trained network, for every environment read so far."""
        return {name: read for (name, untrained), read in self._outputs.items() if not untrained}

    def _register(self, request: Request) -> None:
        self._environments.setdefault(request.environment.name, request.environment)
        self._require_same(request.environment)
        if request.native and request.environment.native is not None:
            self._native.add(request.environment.name)
        key = (request.environment.name, request.untrained)
        self._layers[key] = tuple(dict.fromkeys((*self._layers.get(key, ()), *request.layers)))

    def _require_same(self, environment: Environment) -> None:
        """Raise ReadingError for a second environment of the same name with other rows."""
        first = self._environments[environment.name]
        if first is not environment and not _have_same_rows(first, environment):
            raise ReadingError(
                f"two environments are named '{environment.name}' ({len(first)} and {len(environment)} rows): "
                "every environment, counterfactuals too, needs its own name"
            )

    def _add_known(self, name: str, outputs: ModelOutputs) -> None:
        layers = self._layers.get((name, False))
        if layers is None or any(layer not in outputs.activations for layer in layers):
            return
        if name in self._native and not any(column.startswith(AT_NATIVE) for column in outputs.maps):
            return
        environment = self._environments[name]
        where = f"environment '{name}'"
        if len(outputs.logits) != len(environment):
            raise ReadingError(f"known answers for {where} have {len(outputs.logits)} rows, it has {len(environment)}")
        require_finite(outputs.logits, "logits", where)
        classes = len(environment.table.classes)
        self._outputs[name, False] = ModelOutputs(
            logits_per_class(outputs.logits, classes, where), outputs.activations, outputs.maps
        )

    @property
    def _read_without_layers(self) -> list[tuple[str, bool]]:
        """The keys of `_layers` of environments that the trained network reads without layers."""
        return [key for key, layers in self._layers.items() if not (key[1] or layers)]

    @cached_property
    def _shares(self) -> bool:
        """Whether outputs for an image are reused in other environments."""
        if self.model.device != "cpu" or len(self._read_without_layers) < 2:
            return False
        with eval_mode(self.model.network):
            return is_batch_independent(self.model.network, self._environments[self._read_without_layers[0][0]].images)

    def _shared_logits(self, environment: Environment, where: str) -> Float[np.ndarray, "n k"]:
        """Return logits for an environment, of which only images are read that no earlier environment had."""
        shared, step = self._shared, batch_size_for(self.model.device, environment.images.shape)
        for name, outputs in self.trained_outputs().items():
            if name not in shared.environments:
                shared.keep(hashes_of(self._environments[name].images, step), outputs.logits)
                shared.environments.add(name)
        hashes = hashes_of(environment.images, step)
        rows = shared.missing(hashes)
        if len(rows) or not len(hashes):
            outputs = self._pass(self.model.network, environment.images, (), where, environment, rows)
            shared.keep(hashes[rows], logits_per_class(outputs.logits, len(environment.table.classes), where))
        shared.environments.add(environment.name)
        return shared.outputs_for(hashes)

    def _untrained(self) -> nn.Module:
        if self.model.untrained is None:
            raise ReadingError("the untrained network was asked for, but the model does not say how to build it")
        if self._untrained_network is None:
            self._untrained_network = self.model.untrained().to(self.model.device)
        return self._untrained_network

    def _pass(
        self,
        network: nn.Module,
        images: Images,
        layers: tuple[str, ...],
        where: str,
        environment: Environment | None = None,
        rows: Int[np.ndarray, "m"] | None = None,
    ) -> ModelOutputs:
        """Read images batch by batch; keep only logits, pooled activations and statistics of maps.

        Args:
            network: The network.
            images: The images.
            layers: Layers whose activations are kept.
            where: Name of the images in errors.
            environment: The environment of the images, with their masks; None for images of none.
            rows: Positions of the images that are read; all for None.
        """
        n = len(images)
        if n == 0:
            raise ReadingError(f"{where} holds no image")
        logits: list[np.ndarray] = []
        maps, map_columns = StreamedSummary(), list[dict[str, np.ndarray]]()
        step = AT_ONCE if starts_program(network) else batch_size_for(self.model.device, images.shape)
        with eval_mode(network), torch.inference_mode(), Recorder(network, layers, n) as recorder:
            positions = np.arange(n) if rows is None else rows
            fill = environment is not None and self._shares
            batches = (
                (start, images.read(positions[start : start + step]).to(self.model.device))
                for start in range(0, len(positions), step)
            )

            def forward(part: tuple[int, Tensor]) -> object:
                recorder.start_batch(part[0])
                return _filled_batch(network, part[1], step) if fill else network(part[1])

            runs_elsewhere = isinstance(network, ProcessNetwork)
            outputs = (
                read_ahead(forward, batches)
                if runs_elsewhere
                else ((numbered_batch, forward(numbered_batch)) for numbered_batch in batches)
            )
            for (start, batch), output_of_batch in outputs:
                index, output = positions[start : start + step], output_of_batch
                if isinstance(output, Tensor) and output.ndim == 4:
                    lesion = lesion_map(output, batch, where)
                    if environment is not None and environment.masks is not None:
                        labels = environment.masks.read(index)[:, 0]
                        maps.append(lesion, labels, _millimeters_of(environment, index))
                        map_columns.append(self._kind_and_native_columns(output, labels, environment, index))
                    output = lesion.flatten(1).amax(dim=1)
                logits.append(logits_of(output, len(index), where))
                recorder.check()
        values = np.concatenate(logits)
        require_finite(values, "logits", where, positions, n)
        for layer, activations in recorder.activations.items():
            require_finite(activations, f"activations of '{layer}'", where, positions, n)
        columns = {**(maps.columns() if maps else {}), **(join_parts(map_columns) if map_columns else {})}
        return ModelOutputs(values, recorder.activations, columns)

    def _kind_and_native_columns(
        self, logits: Tensor, labels: Tensor, environment: Environment, index: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the columns that need the logits of all kinds: counts by kind, and those at native size."""
        columns = count_kinds(logits, labels) if logits.shape[1] > 2 else {}
        if environment.native is not None and environment.name in self._native:
            columns |= native_columns(logits, environment.native, environment, index)
        return columns


def _filled_batch(forward: nn.Module, batch: Tensor, size: int) -> object:
    """Return the outputs for a batch that is padded with its last image to a fixed size.

    A library chooses its kernels by the size of a batch, and results differ in the last bits between kernels.
    """
    missing = size - len(batch)
    if missing == 0:
        return forward(batch)
    output = forward(torch.cat([batch, batch[-1:].expand(missing, *batch.shape[1:])]))
    return output[: len(batch)] if isinstance(output, Tensor) and output.ndim and len(output) == size else output


def batch_size_for(device: str, shape: tuple[int, int, int]) -> int:
    """Return the batch size for images of a shape: smaller for large ones, whose maps would fill the memory.

    Examples:
        >>> [batch_size_for("cpu", (3, side, side)) for side in (64, 224, 512, 2048)]
        [64, 64, 12, 1]
    """
    max_batch = BATCH if device == "cpu" else ACCELERATOR_BATCH
    return max(1, max_batch * min(LARGE_SIDE**2, shape[1] * shape[2]) // (shape[1] * shape[2]))


def _millimeters_of(environment: Environment, index: np.ndarray) -> Float[np.ndarray, "b 2"] | None:
    """Return the height and width of the images' pixels in mm; None where these are unknown."""
    spacing = environment.millimeters
    return None if spacing is None else np.repeat(spacing[index, None], 2, axis=1)


@contextmanager
def eval_mode(network: nn.Module) -> Generator[None]:
    """Set a network to eval mode, and restore the mode of each submodule afterward (some may be frozen in eval)."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _have_same_rows(a: Environment, b: Environment) -> bool:
    """Return whether two environments hold the same rows with the same factors."""
    if len(a) != len(b) or a.table.columns.keys() != b.table.columns.keys():
        return False
    pairs = [(a.table.row, b.table.row), *((a.table.columns[c], b.table.columns[c]) for c in a.table.columns)]
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)


# Several probes on one model: their requests are collected, each environment is read once, then each probe measures.


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Measurements of several probes on one model.

    Attributes:
        measurements: Name of a probe -> its measurements.
        reads: Name of an environment -> outputs of the trained network.
        sampled: Name of a probe -> the activations that it keeps, of probes that keep any.
        environments: Name of a probe -> the environments of `reads` that it requested.

    Examples:
        >>> from assay.plugin import build
        >>> from assay.testing.probe import PixelReader, World
        >>> probes = {"performance": build("probe", "performance", {})}
        >>> result = run_probes(Model(PixelReader({"tag": 4.0}), threshold=0.5), World(), probes)
        >>> result.environments
        {'performance': ('same', 'neutral', 'reversed')}
        >>> result.reads["same"].logits.shape
        (400, 2)
    """

    measurements: dict[str, list[Measurement]]
    reads: dict[str, ModelOutputs]
    sampled: dict[str, SampledActivations]
    environments: dict[str, tuple[str, ...]]


def run_probes(
    model: Model, scene: Scene, probes: Mapping[str, Probe], known: Mapping[str, ModelOutputs] | None = None
) -> ProbeResult:
    """Read a model once on all environments that probes request, and measure.

    Args:
        model: The model.
        scene: The environments.
        probes: Probes by name.
        known: Outputs of this model that were stored earlier, by environment name; these environments are not read
            again.

    Examples:
        The model of a trial and the environments of its study:

            result = run_probes(model, scene, {"performance": build("probe", "performance", {})})
            result.measurements["performance"]
    """
    requests = {name: list(probe.requests(model, scene)) for name, probe in probes.items()}
    reading = ModelReading(model, chain.from_iterable(requests.values()), known)
    measurements = {name: probe.measure(reading, scene) for name, probe in probes.items()}
    samples = {
        name: probe.kept(reading, scene) for name, probe in probes.items() if isinstance(probe, KeepsActivations)
    }
    sampled = {name: sample for name, sample in samples.items() if sample is not None}
    reads = reading.trained_outputs()
    requested_names = {
        name: dict.fromkeys(request.environment.name for request in requests_of_probe)
        for name, requests_of_probe in requests.items()
    }
    environments = {
        name: tuple(place for place in places if place in reads) for name, places in requested_names.items()
    }
    return ProbeResult(measurements, reads, sampled, environments)
