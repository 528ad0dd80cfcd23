"""References to models that can be probed: a model's name, inputs, outputs and loader."""

from __future__ import annotations

import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError, key_text
from assay.core.files import content_hash
from assay.core.log_odds import Ends, log_of
from assay.core.log_odds import log_odds_of as odds_of
from assay.core.reasons import NO_REASON, Reason
from assay.core.registry import own_object
from assay.core.request import Task
from assay.core.types import Inputs
from assay.models.networks import empty_network
from assay.models.onnx_session import output_names, require_rows
from assay.models.untyped import named_layers
from assay.models.weight_files import read_weights
from assay.models.weights import load_into
from assay.spec.document import mapping_of
from assay.spec.recipe import GivenSpec, RecipeSpec

# The input of probes: a network with its thresholds.


@dataclass(frozen=True)
class Model:
    """A loaded model: any module that maps float32 images in [0, 1] to logits [b, k], or [b, k, h, w] per pixel.

    Attributes:
        network: The module.
        layers: Dotted names of the modules to read activations from.
        untrained: Builds the same network before training.
        threshold: Threshold on the probability of the second of two classes; None for several classes.
        seed: Seed of a probe's own draws.
        device: Device of the network.
        operating: In segmentation, the logit at which each of the standard shares of validation lesions is found, NaN
            where none does.
        cut: Where classes are grades, the first that counts as positive when they are cut in two.
        specific: The log-odds of lying at or above the cut from which each of `stats.measures.grades.SPECIFICITIES` is
            reached on validation images.

    Examples:
        >>> model = Model(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), layers=("0",), threshold=0.5)
        >>> model.network(torch.zeros(3, 1, 2, 2)).shape
        torch.Size([3, 2])
    """

    network: nn.Module
    layers: tuple[str, ...] = ()
    untrained: Callable[[], nn.Module] | None = None
    threshold: float | None = None
    seed: int = 0
    device: str = "cpu"
    operating: tuple[float, ...] = ()
    cut: int | None = None
    specific: tuple[float, ...] = ()


Unit = Literal["trials", "sources", "models"]
"""The folder of a run folder that contains a model's record."""


class ModelRef(Protocol):
    """A model that can be probed. It is named and described without being loaded."""

    @property
    def unit(self) -> Unit:
        """Path of its record."""
        ...

    @property
    def id(self) -> str:
        """Hash of everything that determines its answers and calls; it names its records."""
        ...

    @property
    def seed(self) -> int:
        """Seed of its training where that is known, and of probes' own draws."""
        ...

    @property
    def fold(self) -> int:
        """The fold that it was not trained on; 0 where there is none."""
        ...

    def unusable(self) -> Reason:
        """Return why there is no network to read; no reason where there is one."""
        ...

    def open(self, device: str) -> AbstractContextManager[Model]:
        """Load the model for the duration of the context. A network in memory is left as it was found."""
        ...


# Models that were not trained by a study: a module, a function, a file.

Scores = Literal["logits", "probabilities", "percent"]
_OF_LIBRARIES = ("torch", "torchvision", "timm", "monai", "segmentation_models_pytorch", "builtins")
"""Packages whose classes are identified by name; of others the source is hashed."""


@dataclass(frozen=True)
class ModelFacts:
    """What a model states of its images and outputs.

    Attributes:
        framing: Keys of `data`, such as size and channels.
        outputs: Names of its outputs; empty where they are not known.
        notes: Sentences on assumptions of loading it.
        heads: Names of the tensors that it returns, the one that is read first; empty where there is one.
        integer: Whether its input is of whole numbers, which are 0..255.
    """

    framing: Mapping[str, Any] = field(default_factory=dict[str, Any])
    outputs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    integer: bool = False


class Origin(ABC):
    """Where the network of a model comes from.

    Attributes:
        kind: Word for it, such as module, file or training run.
        complete: Whether `content` determines the answers by itself. Code in memory can differ in ways that no hash
            shows.
        opaque: The kind with its article, where there are neither layers nor gradients; else empty.
    """

    kind: ClassVar[str]
    complete: ClassVar[bool] = False
    opaque: ClassVar[str] = ""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the model unless the user gives one."""

    @cached_property
    def content(self) -> str:
        """Hash of weights and code as far as they are known. Raises as `network` does."""
        return self._content()

    @property
    def facts(self) -> ModelFacts:
        """What it states of its images and outputs."""
        return ModelFacts()

    @abstractmethod
    def network(self, device: str) -> nn.Module:
        """Return the network on a device."""

    @abstractmethod
    def _content(self) -> str: ...


Preparation = Literal["", "bgr", "minmax", "zscore"]
"""A step before a scaling by channel: channels in the order blue, green, red, or all pixels of each image scaled."""


@dataclass(frozen=True)
class Scaling:
    """Per-channel scaling of images in [0, 1]: (x - mean) / sd.

    Attributes:
        mean: Per channel, or of all.
        sd: In the form of `mean`.
        preparation: The step before: `bgr`; `minmax`, to 0..1 in each image; `zscore`, to mean 0 and SD 1 in each.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    preparation: Preparation = ""

    def __call__(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the scaled images.

        Examples:
            >>> image = torch.tensor([0.25, 0.5, 0.75]).view(1, 1, 1, 3)
            >>> Scaling((0.0,), (1.0,), "minmax")(image).flatten().tolist()
            [0.0, 0.5, 1.0]
            >>> Scaling((0.0,), (1.0,), "zscore")(torch.full((1, 1, 1, 3), 0.2)).flatten().tolist()
            [0.0, 0.0, 0.0]
        """
        if self.preparation == "bgr":
            images = images.flip(1)
        elif self.preparation == "minmax":
            low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
            images = _divided(images - low, high - low)
        elif self.preparation == "zscore":
            centered = images - images.mean((1, 2, 3), keepdim=True)
            images = _divided(centered, centered.square().mean((1, 2, 3), keepdim=True).sqrt())
        mean, sd = (images.new_tensor(part).view(1, -1, 1, 1) for part in (self.mean, self.sd))
        return (images - mean) / sd

    @property
    def identity(self) -> list[Any]:
        """What determines it."""
        return [self.mean, self.sd, *([self.preparation] if self.preparation else [])]

    def for_channels(self, channels: int | None) -> Scaling:
        """Return the scaling of a network of so many input channels; of a single one the averages, as timm takes them.

        Raises:
            ChannelsError: The channels differ in another way.

        Examples:
            >>> Scaling((0.25, 0.5, 0.75), (0.125, 0.25, 0.375)).for_channels(1)
            Scaling(mean=(0.5,), sd=(0.25,), preparation='')
        """
        if channels is None or len(self.mean) in (1, channels):
            return self
        if channels != 1:
            raise ChannelsError(
                f"its mean and std have {len(self.mean)} values each, and the network takes {channels} channels"
            )
        return replace(self, mean=(float(np.mean(self.mean)),), sd=(float(np.mean(self.sd)),))


_FLAT = 1e-6
"""A spread of pixels in 0..1 below which an image is flat, and not divided by it."""


def _divided(images: Float[Tensor, "b c h w"], spread: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b c h w"]:
    return images / torch.where(spread > _FLAT, spread, torch.ones_like(spread))


class ChannelsError(SpecError):
    """A scaling does not fit the channels of a network."""


BYTES = Scaling((0.0,), (1 / 255,))
"""To 0..255."""


@dataclass(frozen=True)
class Output:
    """One of several outputs that are read as one classifier of two classes.

    Attributes:
        column: Its position.
        head: Whether outputs are independent (`sigmoid`) or exclude each other (`softmax`).
    """

    column: int
    head: Literal["sigmoid", "softmax"] = "sigmoid"

    def __call__(self, output_scores: Float[Tensor, "b k"], scores: Scores) -> Float[Tensor, "b 1"]:
        """Return the logit of the output less those of the others, or its score as it is where scores are no logits.

        Raises:
            SpecError: There are fewer outputs.
        """
        if output_scores.ndim != 2 or not 0 <= self.column < output_scores.shape[1]:
            raise SpecError(
                f"output {self.column}: the model gives scores {list(output_scores.shape)}; outputs count from 0"
            )
        selected = output_scores[:, [self.column]]
        if self.head == "sigmoid" or scores != "logits":
            return selected
        others = [at for at in range(output_scores.shape[1]) if at != self.column]
        return selected - output_scores[:, others].logsumexp(dim=1, keepdim=True)


@dataclass(frozen=True)
class GivenModel:
    """Implements `ModelRef` for a model that the user has.

    Attributes:
        origin: Where its network comes from.
        name: Its name on pages.
        task: Classification of images, or segmentation.
        inputs: The images that it takes and the number of classes that it gives.
        layers: Dotted names of the modules to read activations from.
        scaling: Scaling to apply before the network; None where the network takes images in [0, 1].
        scores: Whether the network gives logits, probabilities or percent.
        ends: Of probabilities, see `core.log_odds.Ends`; those of their precision where None.
        output: The output that is read; None where all are those of one softmax or there is one.
        order: Position of each class among the outputs; empty where it is that of the classes.
        inverted: Whether the one output is the score of the first of two classes.
        answers: Hash of its answers to a few images, where its content cannot be hashed.
        seed: Seed of probes' own draws.
        threshold: See `Model`.
        operating: See `Model`.
        specific: See `Model`.
        cut: See `Model`.
        untrained: See `Model`.
    """

    origin: Origin
    name: str
    task: Task
    inputs: Inputs
    layers: tuple[str, ...] = ()
    scaling: Scaling | None = None
    scores: Scores = "logits"
    ends: Ends | None = None
    output: Output | None = None
    order: tuple[int, ...] = ()
    inverted: bool = False
    answers: str = ""
    seed: int = 0
    threshold: float | None = None
    operating: tuple[float, ...] = ()
    specific: tuple[float, ...] = ()
    cut: int | None = None
    untrained: Callable[[], nn.Module] | None = field(default=None, compare=False)

    @property
    def unit(self) -> Unit:
        """`models`."""
        return "models"

    @property
    def fold(self) -> int:
        """0: every row is tested."""
        return 0

    @cached_property
    def content(self) -> str:
        """Hash of everything that determines its outputs, without the thresholds."""
        return content_hash(
            {
                "kind": self.origin.kind,
                "content": self.origin.content,
                "answers": self.answers,
                "scaling": None if self.scaling is None else self.scaling.identity,
                "scores": self.scores,
                "task": self.task,
                **({} if self.output is None else {"output": [self.output.column, self.output.head]}),
                **({"order": self.order} if self.order else {}),
                **({"inverted": True} if self.inverted else {}),
            }
        )

    @property
    def id(self) -> str:
        """Hash of everything that determines its outputs, calls and layers."""
        return content_hash({"model": self.content, **self._decisions, "layers": self.layers, "seed": self.seed})

    @property
    def _decisions(self) -> dict[str, Any]:
        """Thresholds as plain values; NaN becomes None."""
        numbers = {"operating": self.operating, "specific": self.specific}
        plain = {name: [None if value != value else value for value in values] for name, values in numbers.items()}
        return {"threshold": self.threshold, **plain, "cut": self.cut}

    def described(self) -> dict[str, Any]:
        """Return the facts that its record keeps."""
        scaling = self.scaling
        preparation = {} if scaling is None or not scaling.preparation else {"preparation": scaling.preparation}
        return {
            "kind": self.origin.kind,
            **{name: getattr(self, name) for name in ("name", "content", "task", "scores", "seed")},
            "channels": self.inputs.channels,
            "size": self.inputs.size,
            "classes": self.inputs.classes,
            "scaling": None if scaling is None else {"mean": scaling.mean, "sd": scaling.sd, **preparation},
            "layers": list(self.layers),
            **self._decisions,
        }

    def unusable(self) -> Reason:
        """Return no reason: there is a network."""
        return NO_REASON

    @contextmanager
    def open(self, device: str = "cpu") -> Generator[Model]:
        """Load the network, with scaling before it and log-odds after it, for the duration of the context."""
        network = self.origin.network(device)
        with ExitStack() as stack:
            if self.scaling is not None:
                stack.callback(network.register_forward_pre_hook(scaling_hook(self.scaling)).remove)
            stack.callback(network.register_forward_hook(unwrap_scores).remove)
            stack.callback(network.register_forward_hook(self._read).remove)
            yield Model(
                network,
                self.layers,
                untrained=self.untrained,
                threshold=self.threshold,
                seed=self.seed,
                device=device,
                operating=self.operating,
                cut=self.cut,
                specific=self.specific,
            )

    def _read(self, _: object, inputs: tuple[Any, ...], output: object) -> object:
        """Replace the scores of images by logits, as a hook after the network."""
        if not isinstance(output, Tensor):
            return output
        require_rows(output.shape, len(cast(Tensor, inputs[0])))
        return self.logits_of(output)

    def logits_of(self, scores: Tensor) -> Tensor:
        """Return logits of the classes, or of the output that is read, from scores as the network gives them."""
        if self.order:
            scores = scores[:, list(self.order)]
        if self.output is not None:
            scores = self.output(scores, self.scores)
        if self.scores != "logits":
            ends = self.ends or _ends_of(scores)  # of the network's precision, which a division would change
            scores = tensor_log_odds(scores.double() / 100 if self.scores == "percent" else scores, ends)
        return -scores if self.inverted else scores

    def identified(self, images: Float[Tensor, "b c h w"], device: str = "cpu") -> GivenModel:
        """Return the model with the hash of its answers to some images, where its content does not identify it."""
        if self.origin.complete:
            return self
        with self.open(device) as model, torch.inference_mode():
            modes = [(module, module.training) for _, module in named_layers(model.network)]
            model.network.eval()
            try:
                output: object = model.network(images.to(device))
            finally:
                for module, training in modes:
                    module.training = training
        values = output.detach().float().cpu().numpy() if isinstance(output, Tensor) else np.zeros(0, dtype=np.float32)
        digest = hashlib.sha256(f"{values.shape}".encode() + np.ascontiguousarray(values).tobytes())
        return replace(self, answers=digest.hexdigest())


def scaling_hook(scaling: Scaling) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    """Return a hook that scales images before a network sees them."""

    def scale(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (scaling(cast(Tensor, inputs[0])), *inputs[1:])

    return scale


_SCORES = ("logits", "out", "pred", "output", "scores")
"""Names of scores in a mapping of outputs."""


def unwrap_scores(_: object, inputs: tuple[Any, ...], output: Any) -> Any:
    """Return the scores among several outputs: by their name in a mapping, else the first tensor of numbers.

    Raises:
        SpecError: Another one without such a name has the same shape.
    """
    if isinstance(output, Mapping):
        named = cast("Mapping[str, object]", output)
        output = [named[name] for name in _SCORES if name in named][:1] or list(named.values())
    if not isinstance(output, list | tuple):
        return output
    count, parts = len(cast(Tensor, inputs[0])), cast("Sequence[object]", output)
    fitting = [tensor for tensor in parts if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim]
    fitting = [tensor for tensor in fitting if len(tensor) == count] or [cast(Any, output)]
    if same := [tensor for tensor in fitting[1:] if tensor.shape == fitting[0].shape]:
        raise SpecError(
            f"the model gives {len(same) + 1} outputs of the shape {list(same[0].shape)}: return the one "
            "with the scores, or name it logits in a dict"
        )
    return fitting[0]


def to_log_odds(_: nn.Module, inputs: tuple[Any, ...], output: object) -> object:
    """Replace probabilities by log-odds, as a hook after a network."""
    return tensor_log_odds(output).float() if isinstance(output, Tensor) else output


def tensor_log_odds(probabilities: Float[Tensor, "b *rest"], ends: Ends | None = None) -> Float[Tensor, "b *rest"]:
    """Return logits with the same probabilities, float64: log-odds of a single one, logarithms of one per class.

    Args:
        probabilities: Of images [b], [b, 1] or [b, k], or of pixels [b, 1, h, w] or [b, k, h, w].
        ends: See `stats.scores.Ends`; those of the precision of the probabilities where None.

    Raises:
        SpecError: A value is outside 0 to 1.
    """
    p = probabilities.double()
    if p.numel() and not bool(((p >= -1e-6) & (p <= 1 + 1e-6)).all()):
        raise SpecError(
            f"the model gave values from {float(p.min()):.3g} to {float(p.max()):.3g}, and probabilities are between 0 "
            "and 1: leave scores='probabilities' out where it gives logits"
        )
    ends = ends or _ends_of(probabilities)
    p, single = p.clamp(max=1), p.ndim == 1 or p.shape[1] == 1
    return odds_of(p, ends, torch) if single else log_of(p, ends[0], torch)


def _ends_of(scores: Tensor) -> Ends:
    """Return the ends of probabilities in the precision of scores; see `core.log_odds.Ends`."""
    precision = torch.finfo(scores.dtype if scores.is_floating_point() else torch.float32)
    return precision.tiny * precision.eps, precision.eps / 2


@dataclass(frozen=True)
class InMemory(Origin):
    """A module in memory. Its hash is of its tensors, its printed structure, and the source of its own classes."""

    module: nn.Module
    kind = "module"

    @property
    def name(self) -> str:
        """Name of its class."""
        return type(self.module).__name__

    @property
    def device(self) -> str:
        """Device of its first parameter or buffer."""
        first = next(iter([*self.module.parameters(), *self.module.buffers()]), None)
        return "cpu" if first is None else str(first.device)

    @property
    def facts(self) -> ModelFacts:
        """The names of its outputs, in a config of transformers or timm."""
        labels = getattr(getattr(self.module, "config", None), "id2label", None)
        config = mapping_of(getattr(self.module, "pretrained_cfg", None)) or {}
        names = output_names({"names": labels or config.get("label_names")})
        return ModelFacts(outputs=names if len(names) == getattr(self.module, "num_classes", len(names)) else ())

    def network(self, device: str) -> nn.Module:
        """Return the module itself, on the device on which it is."""
        return self.module

    def _content(self) -> str:
        return network_content(self.module)


@dataclass(frozen=True)
class FunctionOrigin(Origin):
    """A function of images [b, c, h, w] as float32 NumPy array in [0, 1], which returns scores as an array.

    Its hash is of its source, as far as Python has it.
    """

    function: Callable[[np.ndarray], object]
    kind = "function"
    opaque = "a function of images"

    @property
    def name(self) -> str:
        """Its name, or that of its class."""
        return str(getattr(self.function, "__name__", type(self.function).__name__)).strip("<>")

    def network(self, device: str) -> nn.Module:
        """Return a module that calls the function."""
        return FunctionNetwork(self.function)

    def _content(self) -> str:
        return content_hash({"name": self.name, "source": _class_source(self.function)})


class FunctionNetwork(nn.Module):
    """A function of NumPy arrays as a module. It has no layers, and nothing can be differentiated through it."""

    def __init__(self, function: Callable[[np.ndarray], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """Return the function's scores as a tensor.

        Raises:
            SpecError: If they are no numbers.
        """
        scores: Any = self.function(images.detach().float().cpu().numpy())
        if isinstance(scores, Mapping):
            scores = {name: torch.as_tensor(array) for name, array in cast("Mapping[str, Any]", scores).items()}
        elif (
            isinstance(scores, tuple)
            and scores
            and np.ndim(cast(Any, scores[0]))
            and len(cast(Any, scores[0])) == len(images)
        ):
            scores = [torch.as_tensor(array) for array in cast("tuple[Any, ...]", scores)]
        scores = unwrap_scores(self, (images,), scores)
        values = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
        if values.dtype.kind not in "fiub":
            raise SpecError(
                f"the function returned {type(scores).__name__}; expected an array of scores [b], [b, classes] or, of "
                "pixels, [b, kinds, h, w]"
            )
        wide = values.astype(np.float64 if values.dtype == np.float64 else np.float32)
        return torch.as_tensor(wide, device=images.device)


def network_content(network: nn.Module) -> str:
    """Hash a network's tensors, its printed structure and the source of its own classes."""
    digest = hashlib.sha256(repr(network).encode())
    tensors = {**dict(network.named_buffers()), **network.state_dict()}
    for name in sorted(tensors):
        value = tensors[name]
        if isinstance(value, Tensor):
            plain = value.detach().cpu().contiguous()
            digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\0".encode())
            digest.update(plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    kinds = {type(module) for _, module in named_layers(network)}
    for kind in sorted(kinds, key=lambda module_class: f"{module_class.__module__}.{module_class.__qualname__}"):
        digest.update(f"{kind.__module__}.{kind.__qualname__}".encode())
        if kind.__module__.partition(".")[0] not in _OF_LIBRARIES:
            digest.update(_class_source(kind).encode())
    return digest.hexdigest()


def _class_source(code: object) -> str:
    """Source of a function or class; empty where Python has none, as of code typed at its prompt."""
    try:
        return inspect.getsource(cast(Any, inspect.unwrap(code) if callable(code) else code))
    except (OSError, TypeError):
        return ""


def channels_of(network: nn.Module) -> int | None:
    """Return the channels of the first convolution's input; None for a network without one.

    A network in a process of its own states them as `channels`.
    """
    first = next((module.in_channels for _, module in named_layers(network) if isinstance(module, nn.Conv2d)), None)
    stated: object = getattr(network, "channels", None)
    return stated if first is None and isinstance(stated, int) else first


# Networks that were trained elsewhere: built by name, scaled as asked, alone or as an ensemble.


class Ensemble(nn.Module):
    """The mean probability of several networks, as logits."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """Return logits whose probabilities are the mean of the members'."""
        logits = torch.stack([member(images) for member in self.members])
        single = logits.ndim == 2 or logits.shape[2] == 1
        return tensor_log_odds((logits.sigmoid() if single else functional.softmax(logits, dim=2)).mean(0)).float()


def given_network(recipe: RecipeSpec, inputs: Inputs, files: Sequence[str] = ()) -> nn.Module:
    """Return the network of a recipe that was trained elsewhere, in evaluation mode.

    It takes images in [0, 1] and gives logits; the dotted names of its layers are its own.

    Args:
        recipe: The recipe, with `given`.
        inputs: The images that it takes and the number of classes.
        files: The weights, one file per member of an ensemble; without them those that its code sets.

    Raises:
        SpecError: The network cannot be built.
        WeightsError: A file does not fit the network.
    """
    settings = recipe.given
    assert settings is not None
    count = max(1, len(settings.weights))
    sizes = {"channels": inputs.channels, "size": inputs.size, "classes": inputs.classes}
    members = [_member(settings, inputs) if settings.network else empty_network(recipe, **sizes) for _ in range(count)]
    for member, path in zip(members, files, strict=False):
        load_into(member, read_weights(Path(path)))
    return (Ensemble(members) if settings.ensemble else members[0]).eval()


def scaling_of(network: nn.Module) -> Scaling | None:
    """Return the scaling in the config of a timm model, for the channels of the network; None for other modules.

    Raises:
        ChannelsError: The config is of other channels.
    """
    config = mapping_of(getattr(network, "pretrained_cfg", None)) or {}
    mean, sd = (tuple(float(part) for part in config.get(key) or ()) for key in ("mean", "std"))
    return Scaling(mean, sd).for_channels(channels_of(network)) if mean and len(mean) == len(sd) else None


def _member(settings: GivenSpec, inputs: Inputs) -> nn.Module:
    if ":" in settings.network:
        factory, _ = own_object("network", settings.network)
        network = factory()
        if not isinstance(network, nn.Module):
            raise SpecError(
                f"network '{settings.network}' returned {type(network).__name__}; expected a torch.nn.Module"
            )
    else:
        from assay.models.timm import whole_model  # a study that trains its models needs no timm

        network = whole_model(settings.network, inputs.channels, inputs.size, inputs.classes)
    try:
        scaling = scaling_of(network) if settings.preprocessing == "config" else None
    except ChannelsError as error:
        raise SpecError(
            f"network '{settings.network}': the config of this model does not fit: {error}; "
            f"give {key_text('models.preprocessing', 'none')} if it scales its images itself"
        ) from error
    if scaling is not None:
        network.register_forward_pre_hook(scaling_hook(scaling))
    if settings.scores == "probabilities":
        network.register_forward_hook(to_log_odds)
    return network
