"""Match tensors of a weights file to a network; keep weights, checkpoints and the state of random numbers."""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import random
import re
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from assay.core.errors import WeightsError, first_line
from assay.core.files import write_bytes, write_whole
from assay.core.seeds import derive
from assay.models.untyped import fill_fresh_memory, fills_fresh_memory, fork_generators, named_layers, seed_torch
from assay.models.weight_files import WeightsFile, load_tensors, read_weights, shape, some
from assay.spec.document import mapping_of

# Position embeddings of a vision transformer, brought from the image size of a file to that of the network.

POSITIONS = "pos_embed"
"""timm's name of the embeddings [1, tokens, width]: those of the prefix (class, registers), then one a patch."""


def fitted_positions(trunk: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors with position embeddings for the trunk's grid of patches, and the change, as `14x14 to 4x4`.

    timm resamples them: bicubic, antialiased, those of prefix tokens as they are. They are left as they are when they
    fit, and where the grid that they were learned on is unknown: it is square in all weights that timm publishes.
    """
    here, stored = trunk.state_dict().get(POSITIONS), tensors.get(POSITIONS)
    grid: tuple[int, int] | None = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
    if here is None or stored is None or grid is None or here.shape == stored.shape or stored.ndim != 3:
        return dict(tensors), ""
    prefix = 0 if getattr(trunk, "no_embed_class", False) else int(getattr(trunk, "num_prefix_tokens", 0))
    side = math.isqrt(max(0, stored.shape[1] - prefix))
    square = side > 0 and prefix + side**2 == stored.shape[1]
    if not square or (1, prefix + grid[0] * grid[1], stored.shape[2]) != tuple(here.shape):
        return dict(tensors), ""
    from timm.layers.pos_embed import resample_abs_pos_embed  # takes a second and 0.2 GB, which few networks need

    resampled = resample_abs_pos_embed(stored, new_size=list(grid), num_prefix_tokens=prefix)
    return {**tensors, POSITIONS: resampled}, f"{side}x{side} to {grid[0]}x{grid[1]}"


# Names of layers in other libraries, and differences of their networks from timm's.


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to name the layers of a network.

    Attributes:
        name: Name in the record.
        mark: A key of every such file, without its prefix; empty for timm's own layout, whose mark is the first key of
            the network.
        names: Regular expressions and their replacement in timm's names; the first that is found counts.
        heads: Names of layers on top.
        port: The file is of Keras's ResNet: convolutions with biases, an epsilon of their own in batch norms, and a
            stride in the first convolution of a block (He et al. 2016), not in the 3x3 one as in timm.
        stem_stride: Of the first convolution, where it differs from timm's.
        input_hint: Hint when the file's input scaling is unknown; empty where timm's configuration of the architecture
            describes such files.
    """

    name: str
    mark: str = ""
    names: Mapping[str, str] | None = None
    heads: Sequence[str] = ()
    port: bool = False
    stem_stride: int | None = None
    input_hint: str = ""

    @property
    def epsilon(self) -> float | None:
        """Epsilon of batch norms where it differs from timm's."""
        return 1.001e-5 if self.port else None

    def rename(self, key: str) -> str:
        """Return timm's name of a key."""
        return rename_key(key, self.names or {})


def rename_key(key: str, names: Mapping[str, str]) -> str:
    """Return a key with the first pattern that is found in it replaced."""
    pattern = next((expression for expression in names if re.search(expression, key)), None)
    return key if pattern is None else re.sub(pattern, names[pattern], key, count=1)


def _child_names(children: str) -> Mapping[str, str]:
    """Return the names that the children of a `Sequential` had, in place of their numbers; - has no weights."""
    return {rf"^{number}\.": f"{name}." for number, name in enumerate(children.split())}


_NUMBERED_HINT = "symmetric for RadImageNet's .pt files, imagenet for most others"
_MONAI_HINT = "MONAI fixes none: take what the training used"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "Keras ResNet, ported to PyTorch",
        mark="layer1.0.conv1.bias",
        heads=("fc",),
        port=True,
        input_hint="caffe for Keras's own weights, caffe-255 for RadImageNet's",
    ),
    Layout(
        "numbered children of a ResNet",
        mark="4.0.conv1.weight",
        names=_child_names("conv1 bn1 - - layer1 layer2 layer3 layer4 - fc"),
        heads=("fc",),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "numbered children of a DenseNet",
        mark="0.denseblock1.denselayer1.norm1.weight",
        names=_child_names("features classifier"),
        heads=("classifier",),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "numbered children of an Inception v3",
        mark="7.branch1x1.conv.weight",
        names=_child_names(
            "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 - Conv2d_3b_1x1 Conv2d_4a_3x3 - Mixed_5b Mixed_5c Mixed_5d "
            "Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c"
        ),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "MONAI DenseNet",
        mark="features.denseblock1.denselayer1.layers.norm1.weight",
        names={r"(denselayer\d+)\.layers\.": r"\1.", r"^class_layers\.out\.": "classifier."},
        heads=("classifier",),
        input_hint=_MONAI_HINT,
    ),
    Layout(
        "torchvision DenseNet of before 2019",
        mark="features.denseblock1.denselayer1.norm.1.weight",
        names={r"(denselayer\d+\.(?:norm|conv))\.(\d)\.": r"\1\2."},
        heads=("classifier",),
    ),
    Layout("timm or torchvision", heads=("fc", "classifier", "head", "AuxLogits")),
)
"""Layouts that files show."""
SLUGS: Mapping[str, Layout] = {
    "monai-resnet": Layout(
        "MONAI ResNet", mark="layer1.0.conv1.weight", heads=("fc",), stem_stride=1, input_hint=_MONAI_HINT
    )
}
"""Layouts that files do not show, by their names in specs."""


# A weights file matched to a trunk: its layout and prefix found, every key accounted for.

_KNOWN_PARTS = frozenset(
    {
        *("fc", "classifier", "head", "heads", "linear_classifier", "online_classifier"),
        *("projector", "projection", "projection_head", "predictor", "prediction", "prediction_head"),
        *("student_head", "teacher_head", "queue", "queue_ptr", "memory_bank", "criterion"),
    }
)
_SECOND = ("momentum", "encoder_k")


@dataclass(frozen=True, slots=True)
class Match:
    """Tensors by the trunk's own keys.

    Attributes:
        left_out: Parts of the file that are not in the trunk, each with its number of tensors if it is a group.
        positions: As `fitted_positions` returns it.
    """

    tensors: Mapping[str, Tensor]
    layout: Layout
    prefix: str
    left_out: tuple[str, ...]
    positions: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A layout and a prefix under which a file may hold the trunk.

    Attributes:
        keys: Key of the file by timm's name.
    """

    layout: Layout
    prefix: str
    keys: Mapping[str, str]

    @classmethod
    def of(cls, file: WeightsFile, layout: Layout, prefix: str) -> _Candidate:
        inside = (key for key in file.tensors if key.startswith(prefix))
        return cls(layout, prefix, {layout.rename(key.removeprefix(prefix)): key for key in inside})

    def covers(self, wanted: Sequence[str]) -> int:
        return sum(key in self.keys for key in wanted)

    def on_top(self, heads: Sequence[str]) -> set[str]:
        """Return the file's keys of the layers on top."""
        return {key for name, key in self.keys.items() if any(_is_within(name, head) for head in heads)}


def match_tensors(
    trunk: nn.Module,
    file: WeightsFile,
    *,
    heads: Sequence[str] = (),
    prefix: str | None = None,
    layout: str = "auto",
    leave_out: Sequence[str] = (),
    architecture: str = "",
) -> Match:
    """Return the tensors of a file under the trunk's keys.

    Counters of batch-norm batches may be missing: they decide nothing.

    Args:
        heads: Names of the layers on top that the trunk does without.
        prefix, layout: Taken as given unless None or `auto`.
        leave_out: Names of further parts that the file may hold, in addition to those that are known (heads,
            projections, momentum copies, queues).
        architecture: Name of the trunk's network in the recipe.

    Raises:
        WeightsError: With every missing, unexpected and wrong-shaped key.
    """
    if prefix and not prefix.endswith("."):
        prefix = f"{prefix}."
    state = trunk.state_dict()
    wanted = [key for key in state if not key.endswith("num_batches_tracked")]
    allowed = LAYOUTS if layout == "auto" else (SLUGS[layout],)
    candidates = [
        _Candidate.of(file, allowed_layout, start)
        for allowed_layout in allowed
        for start in _prefixes(file, allowed_layout.mark or wanted[0])
    ]
    complete = [candidate for candidate in candidates if candidate.covers(wanted) == len(wanted)]
    chosen = _choose_candidate(file, complete, prefix) or _nearest_candidate(file, candidates, wanted, prefix)
    tensors = {name: file.tensors[key] for name, key in chosen.keys.items()}
    if chosen.layout.port:
        tensors = fold_biases(tensors, f"weights file '{file.path}' ({chosen.layout.name})")
    used = {key for name, key in chosen.keys.items() if name in state or name not in tensors}
    on_top = chosen.on_top((*chosen.layout.heads, *heads))
    for copy in (candidate for candidate in complete if candidate.prefix != chosen.prefix):
        on_top |= copy.on_top((*copy.layout.heads, *heads, *state))
    left_out, unexpected = dict[str, int](), list[str]()
    for key in (key for key in file.tensors if key not in used):
        part = _departure(key, chosen.prefix)
        last = part.rpartition(".")[2]
        is_known = last in _KNOWN_PARTS or any(second in last for second in _SECOND)
        if is_known or key in on_top or any(_is_within(key, name.rstrip(".")) for name in leave_out):
            left_out[part] = left_out.get(part, 0) + 1
        else:
            unexpected.append(key)
    tensors, positions = fitted_positions(trunk, {name: value for name, value in tensors.items() if name in state})
    refuse_misfit(file, state, tensors, unexpected, architecture)
    parts = (part if count == 1 else f"{part} ({count} tensors)" for part, count in left_out.items())
    return Match(tensors, chosen.layout, chosen.prefix, (*parts, *file.ignored), positions)


def _is_within(key: str, part: str) -> bool:
    return f"{key}.".startswith(f"{part}.")


def _prefixes(file: WeightsFile, mark: str) -> Iterator[str]:
    return (key.removesuffix(mark) for key in file.tensors if key == mark or key.endswith(f".{mark}"))


def _choose_candidate(file: WeightsFile, complete: Sequence[_Candidate], prefix: str | None) -> _Candidate | None:
    """Return the candidate that holds the whole trunk; of a momentum encoder and the one it follows, the latter."""
    by_prefix: dict[str, _Candidate] = {}
    for candidate in complete:
        if prefix in (None, candidate.prefix):
            by_prefix.setdefault(candidate.prefix, candidate)
    firsts = [entry for name, entry in by_prefix.items() if not any(second in name for second in _SECOND)]
    chosen = firsts or list(by_prefix.values())
    if len(chosen) > 1:
        names = ", ".join(f"'{candidate.prefix}'" for candidate in chosen)
        raise WeightsError(
            f"weights file '{file.path}' holds this network {len(chosen)} times, under the prefixes {names}; "
            "choose one with prefix"
        )
    return chosen[0] if chosen else None


def _nearest_candidate(
    file: WeightsFile, candidates: Sequence[_Candidate], wanted: Sequence[str], prefix: str | None
) -> _Candidate:
    """Candidate for comparison with the trunk when nothing fits, so that the misfit is short."""
    if prefix and not any(key.startswith(prefix) for key in file.tensors):
        raise WeightsError(
            f"weights file '{file.path}': no key begins with '{prefix}'; the first is '{next(iter(file.tensors), '')}'"
        )
    plain = _Candidate.of(file, LAYOUTS[-1], prefix or "")
    return max(
        (plain, *(candidate for candidate in candidates if prefix in (None, candidate.prefix))),
        key=lambda candidate: candidate.covers(wanted),
    )


def _departure(key: str, prefix: str) -> str:
    """Return a key up to the first name by which it leaves the prefix: `module.queue` of `module.encoder_q.`."""
    names, along = key.split("."), prefix.split(".")
    shared = next((i for i, name in enumerate(names) if i >= len(along) or name != along[i]), len(names) - 1)
    return ".".join(names[: shared + 1])


def renamed_file(file: WeightsFile, names: Mapping[str, str]) -> WeightsFile:
    """Return a file whose keys are renamed as the user asks.

    Raises:
        WeightsError: If two keys get one name, or an expression cannot be read.
    """
    try:
        tensors = {rename_key(key, names): value for key, value in file.tensors.items()}
    except re.error as error:
        raise WeightsError(f"weights file '{file.path}': rename holds no regular expression: {error}") from error
    if len(tensors) < len(file.tensors):
        raise WeightsError(f"weights file '{file.path}': rename gives two tensors the same name")
    return replace(file, tensors=tensors)


def fold_biases(tensors: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return the tensors with the biases of a ResNet's convolutions taken into the batch norms that follow them.

    Batch norm subtracts the mean of its input, so W x + b with the mean m is W x with the mean m - b: the same network,
    both in evaluation and in training, where the batch's own mean takes the bias away.

    Raises:
        WeightsError: If a bias has no batch norm after it.
    """
    folded = dict(tensors)
    for key, bias in tensors.items():
        mean, count = re.subn(r"(^|\.)(?:conv(\d)|downsample\.0)\.bias$", _mean_after, key)
        if count and (mean not in folded or folded[mean].shape != bias.shape):
            raise WeightsError(
                f"{what}: the bias '{key}' cannot be folded: no batch norm with a mean '{mean}' of its length"
            )
        if count:
            folded[mean] = (folded[mean].double() - folded.pop(key).double()).float()
    return folded


def _mean_after(pattern_match: re.Match[str]) -> str:
    return f"{pattern_match[1]}{f'bn{pattern_match[2]}' if pattern_match[2] else 'downsample.1'}.running_mean"


def refuse_misfit(
    file: WeightsFile,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    unexpected: Sequence[str],
    architecture: str = "",
) -> None:
    """Raises WeightsError, with every fault listed, unless `tensors` are those of a module's state, shapes and all."""
    missing = [key for key in state if key not in tensors and not key.endswith("num_batches_tracked")]
    fitting = {key: value for key, value in tensors.items() if key in state}
    misshapen = [key for key, value in fitting.items() if value.shape != state[key].shape]
    wrong = [f"{key} is {shape(tensors[key])}, expected {shape(state[key])}" for key in misshapen]
    faults = {"missing": missing, "unexpected": unexpected, "wrong shape": wrong}
    if not any(faults.values()):  # quantized weights mean nothing without their scales
        floats = (key for key in fitting if state[key].is_floating_point())
        if integers := [key for key in floats if not fitting[key].is_floating_point()]:
            raise WeightsError(
                f"weights file '{file.path}' holds whole numbers where weights are: {some(integers)}; save them as "
                "floats"
            )
        return
    called = f" '{architecture}'" if architecture else ""
    parts = [f"weights file '{file.path}' does not fit the architecture{called}"]
    parts += [f"{len(keys)} {what}: {some(keys)}" for what, keys in faults.items() if keys]
    if not missing and not unexpected and all(_hangs_on_size(key) for key in misshapen):
        raise WeightsError("; ".join([*parts, "they depend on the image size: set data.size to that of the file"]))
    if architecture:
        parts.append("name the architecture of the file in recipe.architecture, or give a file of this one")
    if architecture and not missing and not wrong:
        parts.append("parts of the file that are not wanted go into leave_out")
    raise WeightsError("; ".join(parts))


def _hangs_on_size(key: str) -> bool:
    """Return whether a tensor has one value a place of the image: position embeddings, absolute or relative."""
    return "pos_embed" in key or "relative_position" in key or "rel_pos" in key


# Tensors copied into a module of the same names, and a start copied into a trunk with all that belongs to it.


@dataclass(frozen=True, slots=True)
class WeightLoadReport:
    """Report on a weights file: printed in the log, kept with the trained weights.

    Attributes:
        file: Its name, or where it was published.
        layout: How its keys are named.
        prefix: Prefix of the keys.
        loaded: Number of tensors.
        left_out: Parts of the file that are not in the trunk, by name.
        drawn: Parts of the network other than the trunk, drawn from the seed.
        scaling: Scaling of an image in [0, 1].
        epsilon: Of the batch norms, when the file's network has another than the architecture.
        strides: Of the convolutions that stride otherwise than the architecture's.
        positions: How position embeddings of another image size were resampled, `14x14 to 4x4` patches; empty when they
            fitted or there are none.
    """

    file: str
    layout: str
    loaded: int
    drawn: tuple[str, ...]
    scaling: str
    prefix: str = ""
    left_out: tuple[str, ...] = ()
    epsilon: float | None = None
    strides: Mapping[str, int] = field(default_factory=dict[str, int])
    positions: str = ""

    def text(self) -> str:
        """As JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)


def start_of(network: nn.Module) -> WeightLoadReport | None:
    """Report on the weights file that a network was loaded from; None after a random start.

    Examples:
        >>> start_of(nn.Linear(2, 2)) is None
        True
    """
    start = getattr(network, "start", None)
    return start if isinstance(start, WeightLoadReport) else None


def load_into(module: nn.Module, file: WeightsFile) -> None:
    """Copy tensors into a module of the same keys. Counters of batch-norm batches may be missing: they decide nothing.

    Raises WeightsError that lists every missing, unexpected and wrong-shaped key.
    """
    state = module.state_dict()
    refuse_misfit(file, state, file.tensors, [key for key in file.tensors if key not in state])
    module.load_state_dict(dict(file.tensors), strict=False)


def load_trunk(trunk: nn.Module, matched: Match) -> dict[str, int]:
    """Copy a matched file into a trunk and make the trunk compute the same as the file's network.

    Returns:
        The strides that were changed, by the name of the convolution.

    Raises:
        WeightsError: If the architecture cannot compute it.
    """
    strides = _changed_strides(trunk, matched)
    trunk.load_state_dict(dict(matched.tensors), strict=False)
    set_strides(trunk, strides)
    if matched.layout.epsilon is not None:
        set_epsilon(trunk, matched.layout.epsilon)
    return strides


def _changed_strides(trunk: nn.Module, matched: Match) -> dict[str, int]:
    """Return the strides in which the file's network differs from the trunk. Raises WeightsError."""
    strides: dict[str, int] = {}
    if matched.layout.stem_stride is not None:
        strides[first_convolution(trunk)] = matched.layout.stem_stride
    if matched.layout.port:
        for stage in (2, 3, 4):
            first, second = (trunk.get_submodule(f"layer{stage}.0.conv{number}") for number in (1, 2))
            if _stride(first) != 1 or _stride(second) != 2:
                raise WeightsError(
                    f"weights of '{matched.layout.name}' need a ResNet with bottlenecks that stride by 2 in their 3x3 "
                    "convolution, which is then moved to the first one; use architecture: {timm: {model: resnet50}}"
                )
            strides |= {f"layer{stage}.0.conv1": 2, f"layer{stage}.0.conv2": 1}
    return strides


def set_strides(trunk: nn.Module, strides: Mapping[str, int]) -> None:
    """Let convolutions stride by these numbers of pixels, both ways."""
    for name, stride in strides.items():
        layer = trunk.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        layer.stride = (stride, stride)


def set_epsilon(trunk: nn.Module, epsilon: float) -> None:
    """Let every batch norm add this to the variance."""
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = epsilon


def first_convolution(trunk: nn.Module) -> str:
    """Return the name of the convolution that sees the image."""
    for name, layer in named_layers(trunk):
        if isinstance(layer, nn.Conv2d):
            return name
    raise WeightsError("the architecture has no convolution that sees the image")


def _stride(layer: nn.Module) -> int:
    assert isinstance(layer, nn.Conv2d)
    return layer.stride[0]


# How images are scaled for a start: exactly as its own training did it.

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Of red, green and blue, in units of 0 to 255, as `keras.applications.imagenet_utils` subtracts them."""


@dataclass(frozen=True, slots=True)
class PublishedScaling:
    """(x - mean) / sd of an image x in [0, 1] with channels red, green, blue. One number represents all channels.

    Attributes:
        words: As it is said in the record.
        bgr: The network was trained on channels in the order blue, green, red.
    """

    words: str
    mean: Sequence[float]
    sd: Sequence[float]
    bgr: bool = False


_CAFFE = "blue, green, red: 255 x - (103.939, 116.779, 123.68)"
_SHARES = tuple(mean / 255 for mean in CAFFE_MEAN)
SCALINGS: Mapping[str, PublishedScaling] = {
    "imagenet": PublishedScaling("(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)", IMAGENET_MEAN, IMAGENET_SD),
    "symmetric": PublishedScaling("2 x - 1", (0.5,), (0.5,)),
    "unit": PublishedScaling("x", (0.0,), (1.0,)),
    "caffe": PublishedScaling(_CAFFE, _SHARES, (1 / 255,), bgr=True),
    "caffe-255": PublishedScaling(f"({_CAFFE}) / 255", _SHARES, (1.0,), bgr=True),
}
_METADATA = {"x*2-1": "symmetric", "(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]": "imagenet"}


def scaling_by_name(name: str, file: WeightsFile, hint: str, layout: str) -> PublishedScaling | None:
    """Return the scaling of that name; for `auto` that of the file's metadata, or None where the network's own holds.

    Args:
        hint: Setting to suggest if it is unknown; empty where the network's own scaling is that of such files.
        layout: The file's layout, as errors name it.

    Raises:
        WeightsError: If nothing says how the file's training scaled images.
    """
    if name != "auto":
        return SCALINGS[name]
    stated_input = file.metadata.get("input", "")
    if not stated_input and not hint:
        return None
    if not stated_input:
        raise WeightsError(
            f"weights file '{file.path}' ({layout}) does not say how its images were scaled; set input: {hint}"
        )
    if stated_input not in _METADATA:
        raise WeightsError(
            f"weights file '{file.path}' says that its input is '{stated_input}', which Assay does not know; "
            f"set input to one of: {', '.join(SCALINGS)}"
        )
    return SCALINGS[_METADATA[stated_input]]


def take_rgb(trunk: nn.Module) -> None:
    """Turn a network that was trained on blue, green, red into one that takes red, green, blue and answers the same.

    Its first convolution sums over channels, so their order in the kernel is all that has to be turned round.
    """
    stem = trunk.get_submodule(first_convolution(trunk))
    assert isinstance(stem, nn.Conv2d)
    if stem.in_channels == 3:
        stem.weight.data = stem.weight.data.flip(1)


# Files of a training: written whole or not at all, read back without running any code in them.

_NAME = "checkpoint.pt"
_DIGEST = hashlib.sha256().digest_size
_FORMAT = "assay-network-1"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, strings and plain containers: to a temporary file, flushed, then renamed.

    The first bytes are the SHA-256 of the rest, as written by `torch.save`.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)

    write_whole(folder / _NAME, write)


def load_checkpoint(folder: Path, identity: str) -> dict[str, Any] | None:
    """Return the kept state, or None when there is none, it is of another training, it is damaged, or it cannot be
    read.

    Training is deterministic: starting again costs time and changes no result, so an unreadable file is no error.
    """
    path = folder / _NAME
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        if hashlib.sha256(memoryview(content)[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        state = mapping_of(load_tensors(path, _DIGEST))
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, MemoryError):
        return None
    return dict(state) if state and state.get("identity") == identity else None


def has_checkpoint(folder: Path) -> bool:
    """Return whether a training has left a checkpoint there, of whatever state."""
    return (folder / _NAME).is_file()


def remove_checkpoint(folder: Path) -> None:
    """Once the trial's record is complete."""
    (folder / _NAME).unlink(missing_ok=True)


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network as safetensors, whole; the same network is the same bytes.

    Epsilons of batch norms, and the report of a start from a file, are kept in the metadata.

    Examples:
        >>> network = nn.Linear(2, 2)
        >>> save_weights(network, Path("a.safetensors"))
        >>> save_weights(network, Path("b.safetensors"))
        >>> Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()
        True
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    own_metadata = {"format": _FORMAT, "batch_norm_eps": json.dumps(batch_norm_eps(network))}
    start = start_of(network)
    if start is not None:
        own_metadata["start"] = start.text()
    write_bytes(path, _sorted_header(save(state, {**own_metadata, **(metadata or {})})))


def load_weights(network: nn.Module, path: Path, parts: Sequence[str] = ()) -> Mapping[str, str]:
    """Load the output of `save_weights` into a network of the same recipe (`empty_network`); returns the metadata.

    Args:
        parts: Load these children of the network alone, and leave the others as they are.

    Examples:
        >>> network, other = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> save_weights(network, Path("network.safetensors"), {"note": "of today"})
        >>> load_weights(other, Path("network.safetensors"))["note"]
        'of today'
        >>> torch.equal(network.weight, other.weight)
        True
    """
    file = read_weights(path)
    if not parts:
        load_into(network, file)
    for part in parts:
        inside = {key: value for key, value in file.tensors.items() if key.startswith(f"{part}.")}
        named = {key.removeprefix(f"{part}."): value for key, value in inside.items()}
        load_into(network.get_submodule(part), replace(file, tensors=named))
    try:
        for name, eps in cast(dict[str, float], json.loads(file.metadata.get("batch_norm_eps", "{}"))).items():
            if not parts or name.partition(".")[0] in parts:
                cast(nn.BatchNorm2d, network.get_submodule(name)).eps = float(eps)
        start = cast(dict[str, Any], json.loads(file.metadata.get("start", "{}")))
        set_strides(network, {f"trunk.{name}": stride for name, stride in start.get("strides", {}).items()})
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"weights file '{path}' has notes that Assay does not write: {first_line(error)}") from error
    return file.metadata


def batch_norm_eps(network: nn.Module) -> dict[str, float]:
    """Return the epsilon of every batch norm that differs from torch's 1e-5, by name."""
    layers = ((name, layer) for name, layer in named_layers(network) if isinstance(layer, nn.BatchNorm2d))
    return {name: layer.eps for name, layer in layers if layer.eps != 1e-5}


def _sorted_header(content: bytes) -> bytes:
    """Safetensors with its metadata in one order: the library writes them in a random one."""
    length = int.from_bytes(content[:8], "little")
    header = cast(dict[str, Any], json.loads(content[8 : 8 + length]))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
    return content[:8] + text + content[8 + length :]


# Libraries draw from global state: it is seeded for a fit and restored afterward.


@contextmanager
def library_draws(seed: int, *purpose: str | int) -> Generator[None]:
    """Seed the global generators of torch, NumPy and Python for this block, and restore them after it.

    Examples:
        >>> with library_draws(0, "dropout"):
        ...     first = torch.rand(3)
        >>> with library_draws(0, "dropout"):
        ...     torch.equal(first, torch.rand(3))
        True
    """
    numpy_state = np.random.get_state()  # noqa: NPY002 - libraries draw from it
    python_state = random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with fork_generators(devices):
        reseed(seed, *purpose)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def reseed(seed: int, *purpose: str | int) -> None:
    """Set the global generators. Only within `library_draws`, which undoes it."""
    value = derive(seed, *purpose)
    seed_torch(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - libraries draw from it
    random.seed(value)


@contextmanager
def deterministic(threads: int, kernels: bool = True) -> Generator[None]:
    """A fixed number of threads for this block, and deterministic `kernels`, where the library has them.

    Sums on a CPU depend on the number of threads. Filling fresh memory, which torch adds to its deterministic mode, is
    left off: it guards against reading unwritten memory and costs a pass over every activation.

    Examples:
        >>> before = torch.get_num_threads()
        >>> with deterministic(1):
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode(), fills_fresh_memory()
    torch.set_num_threads(threads)
    # As `use_deterministic_algorithms`, which also imports the compiler: two seconds of every worker.
    torch.set_deterministic_debug_mode("warn" if kernels else "default")
    fill_fresh_memory(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        fill_fresh_memory(before[2])
