"""Match tensors of a weights file to a network: names, positions, scaling and layouts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from assay.core.errors import WeightsError
from assay.models.untyped import named_layers
from assay.models.weight_files import (
    WeightsFile,
    fold_biases,
    keras_densenet_name,
    keras_resnet_name,
    shape,
    some,
    to_torch_axes,
)

# Which network a weights file looks like, for the sentence that refuses it.

_RESNETS: Mapping[tuple[int, tuple[int, ...]], str] = {
    (2, (2, 2, 2, 2)): "ResNet-18",
    (2, (3, 4, 6, 3)): "ResNet-34",
    (3, (2, 2, 2, 2)): "ResNet-26",
    (3, (3, 4, 6, 3)): "ResNet-50",
    (3, (3, 4, 23, 3)): "ResNet-101",
    (3, (3, 8, 36, 3)): "ResNet-152",
}
"""By convolutions of a block and blocks of each stage."""
_RESNET_KEYS = (
    r"(?:^|\.)layer([1-4])\.(\d+)\.(.+)\.\w+$",
    r"(?:^|\.)([4-7])\.(\d+)\.(.+)\.\w+$",
    r"(?:^|\.)conv([2-5])_block(\d+)_(.+)\.\w+$",
)
"""Stage, block and part of a key: of timm and torchvision, numbered, of Keras."""
_PLAIN = re.compile(r"(conv|bn)[123]|downsample\.[01]|[0-3]_(conv|bn)")
"""The parts of a ResNet's blocks; its kin have others (attention, pooled shortcuts, batch norm first)."""
_WIDTH = 64
"""Of the first convolution of a ResNet's narrowest block."""
_DENSENETS: Mapping[tuple[int, ...], str] = {
    (6, 12, 24, 16): "DenseNet-121",
    (6, 12, 32, 32): "DenseNet-169",
    (6, 12, 48, 32): "DenseNet-201",
    (6, 12, 36, 24): "DenseNet-161",
}
_MARKS = (
    (r"(^|\.)block12\.(rep|conv3)|block14_sepconv2", "an Xception"),
    (r"(^|\.)Mixed_7c\.", "an Inception v3"),
    (r"relative_position_bias_table", "a Swin transformer"),
    (r"(^|\.)blocks\.\d+\.attn\.qkv\.", "a vision transformer"),
    (r"(^|\.)encoder\.layers\.encoder_layer_0\.", "torchvision's vision transformer"),
    (r"(^|\.)stages\.\d\.blocks\.\d+\.(gamma|conv_dw)", "a ConvNeXt"),
    (r"(^|\.)blocks\.\d\.\d\.conv_(pw|dw|pwl)\.|_blocks\.\d+\._depthwise_conv", "an EfficientNet or MobileNet"),
    (r"(^|[._])res2a_branch2a", "the Keras ResNet-50 of before 2019"),
    (
        r"^(mixed|batch_normalization|conv2d)(_\d+)?\.",
        "a Keras Inception, whose pooling timm does otherwise at the border",
    ),
    (r"(^|\.)features\.28\.weight|block5_conv1", "a VGG"),
    (r"(^|\.)(down|up|ups|downs|decoder)\d?\.", "a U-Net"),
)


def looks_like(tensors: Mapping[str, Tensor]) -> str:
    """Return the network that the keys and shapes are of, as `a ResNet-50`; empty when it cannot be known."""
    for family in (_resnet, _densenet):
        name = family(tensors)
        if name:
            return f"a {name}"
    return next((name for mark, name in _MARKS if any(re.search(mark, key) for key in tensors)), "")


def _resnet(tensors: Mapping[str, Tensor]) -> str:
    """By its name only where blocks have the parts and the width that it has; else by its blocks."""
    for pattern in _RESNET_KEYS:
        found = [(match, value) for key, value in tensors.items() if (match := re.search(pattern, key))]
        parts = {match[3] for match, _ in found}
        first = "conv1" if "conv1" in parts else "1_conv"
        blocks = {(int(match[1]), int(match[2])) for match, _ in found if first in parts}
        counts = tuple(sum(of == stage for of, _ in blocks) for stage in sorted({stage for stage, _ in blocks}))
        convolutions = 3 if {"conv3", "3_conv"} & parts else 2
        if len(counts) != 4 or (first == "1_conv" and convolutions == 2):  # Keras's DenseNets have two
            continue
        name = _RESNETS.get((convolutions, counts), "")
        widths = {value.shape[0 if first == "conv1" else -1] for match, value in found if match[3] == first}
        if name and min(widths) == _WIDTH and all(_PLAIN.fullmatch(part) for part in parts):
            return name
        told = f"{', '.join(map(str, counts[:-1]))} and {counts[-1]} blocks"
        return f"ResNet of {told} with {'three' if convolutions == 3 else 'two'} convolutions each"
    return ""


def _densenet(tensors: Mapping[str, Tensor]) -> str:
    counts = _blocks(tensors, r"denseblock(\d)\.denselayer(\d+)\.")
    counts = counts or _blocks(tensors, r"(?:^|\.)conv([2-5])_block(\d+)_2_conv\.")
    return _DENSENETS.get(tuple(counts), "")


def _blocks(keys: Iterable[str], pattern: str) -> list[int]:
    """Return the largest block number of each stage."""
    largest: dict[int, int] = {}
    for key in keys:
        found = re.search(pattern, key)
        if found:
            stage = int(found[1])
            largest[stage] = max(largest.get(stage, 0), int(found[2]))
    return [largest[stage] for stage in sorted(largest)]


# Position embeddings of a vision transformer, brought from the image size of a file to that of the network.

POSITIONS = "pos_embed"
"""timm's name of the embeddings [1, tokens, width]: those of the prefix (class, registers), then one a patch."""


def fitted_positions(trunk: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Return the tensors with position embeddings for the trunk's grid of patches, and the change, as `14x14 to 4x4`.

    They are resampled as timm does when it loads its own weights at another size: bicubic, antialiased, those of prefix
    tokens as they are. Left as they are, with nothing said, when they fit, and where the grid that they were learned on
    is unknown: it is square in all weights that timm publishes.
    """
    here, given = trunk.state_dict().get(POSITIONS), tensors.get(POSITIONS)
    grid: tuple[int, int] | None = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
    if here is None or given is None or grid is None or here.shape == given.shape:
        return dict(tensors), ""
    prefix = 0 if getattr(trunk, "no_embed_class", False) else int(getattr(trunk, "num_prefix_tokens", 0))
    side = math.isqrt(max(0, given.shape[1] - prefix)) if given.ndim == 3 else 0
    fits = prefix + grid[0] * grid[1] == here.shape[1]
    if not fits or side == 0 or prefix + side**2 != given.shape[1] or given.shape[2] != here.shape[2]:
        return dict(tensors), ""
    from timm.layers.pos_embed import resample_abs_pos_embed  # takes a second and 0.2 GB, which few networks need

    made = resample_abs_pos_embed(given, new_size=list(grid), num_prefix_tokens=prefix)
    return {**tensors, POSITIONS: made}, f"{side}x{side} to {grid[0]}x{grid[1]}"


# How libraries name the layers of the same networks, and what their networks do otherwise than timm's.
#
# A layout turns the keys of a file into timm's. It is chosen by a key that only such files hold, its mark.

KERAS_EPSILON = 1.001e-5
"""Of the batch norms of Keras's ResNets and DenseNets; torch's is 1e-5."""

Rename = Callable[[str], str]
Convert = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to name the layers of a network.

    name: as it is said in the record. mark: a key of every such file, without its prefix; empty for timm's own layout,
        whose mark is the first key of the network. rename: a key, without its prefix, to timm's. convert: values that
        timm's network stores otherwise, under timm's names. heads: names of layers on top.
    epsilon: of every batch norm, if it differs from timm's. stride_first: ResNets whose blocks stride in the first
        convolution (He et al. 2016), not in the 3x3 one as timm's do. stem_stride: of the first convolution.
    input_hint: hint when the file's input scaling is unknown; empty where timm's configuration of the
        architecture describes such files.
    by_name: never chosen by a file's content, since files do not show it.
    """

    name: str
    mark: str = ""
    rename: Rename = str
    convert: Convert = dict
    heads: Sequence[str] = ()
    epsilon: float | None = None
    stride_first: bool = False
    stem_stride: int | None = None
    input_hint: str = ""
    by_name: bool = False


def _by_rules(*rules: tuple[str, str]) -> Rename:
    """Return a renaming by the first regular expression that is found, else none."""
    compiled = [(re.compile(pattern), into) for pattern, into in rules]

    def rename(key: str) -> str:
        for pattern, into in compiled:
            if pattern.search(key):
                return pattern.sub(into, key, count=1)
        return key

    return rename


def _numbered(names: Mapping[int, str]) -> Rename:
    """Return a renaming of the children of a `Sequential`, which have numbers, to the names that they had."""
    return _by_rules(*((rf"^{number}\.", f"{name}.") for number, name in names.items()))


_INCEPTION = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "", "Conv2d_3b_1x1", "Conv2d_4a_3x3", ""),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
_NUMBERED_HINT = "symmetric for RadImageNet's .pt files, imagenet for most others"
_KERAS_HINT = "caffe for Keras's own ResNets, imagenet for its DenseNets, caffe-255 for RadImageNet's Keras files"
_MONAI_HINT = "MONAI fixes none: take what the training used"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "Keras ResNet, ported to PyTorch",
        mark="layer1.0.conv1.bias",
        convert=fold_biases,
        heads=("fc",),
        epsilon=KERAS_EPSILON,
        stride_first=True,
        input_hint=_KERAS_HINT,
    ),
    Layout(
        "Keras ResNet",
        mark="conv2_block1_1_conv.kernel",
        rename=keras_resnet_name,
        convert=lambda tensors: fold_biases(to_torch_axes(tensors)),
        heads=("probs", "predictions", "fc1000"),
        epsilon=KERAS_EPSILON,
        stride_first=True,
        input_hint=_KERAS_HINT,
    ),
    Layout(
        "Keras DenseNet",
        mark="conv2_block1_1_conv.kernel",
        rename=keras_densenet_name,
        convert=to_torch_axes,
        heads=("probs", "predictions", "fc1000"),
        epsilon=KERAS_EPSILON,
        input_hint=_KERAS_HINT,
    ),
    Layout(
        "numbered children of a ResNet",
        mark="4.0.conv1.weight",
        rename=_numbered({0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4", 9: "fc"}),
        heads=("fc",),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "numbered children of a DenseNet",
        mark="0.denseblock1.denselayer1.norm1.weight",
        rename=_numbered({0: "features", 1: "classifier"}),
        heads=("classifier",),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "numbered children of an Inception v3",
        mark="7.branch1x1.conv.weight",
        rename=_numbered({number: name for number, name in enumerate(_INCEPTION) if name}),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "MONAI DenseNet",
        mark="features.denseblock1.denselayer1.layers.norm1.weight",
        rename=_by_rules((r"(denselayer\d+)\.layers\.", r"\1."), (r"^class_layers\.out\.", "classifier.")),
        heads=("classifier",),
        input_hint=_MONAI_HINT,
    ),
    Layout(
        "MONAI ResNet",
        mark="layer1.0.conv1.weight",
        heads=("fc",),
        stem_stride=1,
        input_hint=_MONAI_HINT,
        by_name=True,
    ),
    Layout(
        "torchvision DenseNet of before 2019",
        mark="features.denseblock1.denselayer1.norm.1.weight",
        rename=_by_rules((r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.")),
        heads=("classifier",),
    ),
    Layout("timm or torchvision", heads=("fc", "classifier", "head", "AuxLogits")),
)

SLUGS: Mapping[str, str] = {"monai-resnet": "MONAI ResNet"}
"""Names in specs of layouts that files do not show."""


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
        tensors: By renamed key, values as in the file.
    """

    layout: Layout
    prefix: str
    tensors: Mapping[str, Tensor]

    def covers(self, wanted: Iterable[str]) -> int:
        return sum(key in self.tensors for key in wanted)


def match(
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

    Args:
        heads: Names of the layers on top that the trunk does without.
        prefix, layout: Taken as given unless None or `auto`.
        leave_out: Names of further parts that the file may hold, in addition to those that are known (heads,
            projections, momentum copies, queues).
        architecture: Name of the trunk's network in the recipe. Counters of batch-norm batches may be missing: they
            decide nothing. Raises WeightsError that lists every missing, unexpected and wrong-shaped key, and the most
            similar network.
    """
    if prefix and not prefix.endswith("."):
        prefix = f"{prefix}."
    state = trunk.state_dict()
    wanted = [key for key in state if not key.endswith("num_batches_tracked")]
    found = _candidates(file, wanted, layout)
    whole = [candidate for candidate in found if candidate.covers(wanted) == len(wanted)]
    chosen = _choose(file, whole, prefix) or _nearest(file, found, wanted, prefix)
    converted = _converted(file, chosen)
    folded = chosen.tensors.keys() - converted.keys()
    copies = tuple(candidate for candidate in whole if candidate.prefix != chosen.prefix)
    parts = _Parts((*chosen.layout.heads, *heads), copies, frozenset(state), tuple(leave_out))
    left_out, unexpected = _beside(file, chosen, state.keys() | folded, parts)
    tensors, positions = fitted_positions(trunk, {key: value for key, value in converted.items() if key in state})
    refuse_misfit(file, state, tensors, unexpected, architecture)
    return Match(tensors, chosen.layout, chosen.prefix, (*left_out, *file.ignored), positions)


def _candidates(file: WeightsFile, wanted: Sequence[str], layout: str) -> list[_Candidate]:
    """Return every layout whose mark is in the file, under every prefix that it has there; the surest layout first."""
    allowed = [one for one in LAYOUTS if (one.name == SLUGS.get(layout) if layout != "auto" else not one.by_name)]
    found: list[_Candidate] = []
    for one in allowed:
        mark = one.mark or wanted[0]
        ends = [key.removesuffix(mark) for key in file.tensors if key == mark or key.endswith(f".{mark}")]
        found += [_Candidate(one, prefix, _renamed(file, one, prefix)) for prefix in ends]
    return found


def _renamed(file: WeightsFile, layout: Layout, prefix: str) -> dict[str, Tensor]:
    under = ((key.removeprefix(prefix), value) for key, value in file.tensors.items() if key.startswith(prefix))
    return {layout.rename(key): value for key, value in under}


def _choose(file: WeightsFile, whole: Sequence[_Candidate], prefix: str | None) -> _Candidate | None:
    """Return the candidate that holds the whole trunk; of a momentum encoder and the one it follows, the latter."""
    by_prefix: dict[str, _Candidate] = {}
    for candidate in whole:
        if prefix in (None, candidate.prefix):
            by_prefix.setdefault(candidate.prefix, candidate)
    firsts = {name: one for name, one in by_prefix.items() if not any(second in name for second in _SECOND)}
    chosen = list((firsts or by_prefix).values())
    if len(chosen) > 1:
        names = ", ".join(f"'{candidate.prefix}'" for candidate in chosen)
        raise WeightsError(
            f"weights file '{file.path}' holds this network {len(chosen)} times, under the prefixes {names}; "
            "choose one with prefix"
        )
    return chosen[0] if chosen else None


def _nearest(file: WeightsFile, found: Sequence[_Candidate], wanted: Sequence[str], prefix: str | None) -> _Candidate:
    """Candidate for comparison with the trunk when nothing fits, so that the misfit is short."""
    if prefix and not any(key.startswith(prefix) for key in file.tensors):
        raise WeightsError(
            f"weights file '{file.path}': no key begins with '{prefix}'; the first is '{next(iter(file.tensors), '')}'"
        )
    plain = _Candidate(LAYOUTS[-1], prefix or "", _renamed(file, LAYOUTS[-1], prefix or ""))
    return max((plain, *(one for one in found if prefix in (None, one.prefix))), key=lambda one: one.covers(wanted))


def _converted(file: WeightsFile, chosen: _Candidate) -> dict[str, Tensor]:
    try:
        return chosen.layout.convert(chosen.tensors)
    except WeightsError as error:
        what = f"weights file '{file.path}' ({chosen.layout.name}): {error}"
        raise WeightsError("; ".join([what, *_like(file)])) from error


@dataclass(frozen=True, slots=True)
class _Parts:
    """Names allowed in addition to the trunk: heads by their timm names, other copies of it, names given by the user.

    Attributes:
        own: The trunk's keys, which a copy has too.
    """

    heads: tuple[str, ...]
    copies: tuple[_Candidate, ...]
    own: frozenset[str]
    named: tuple[str, ...]

    def may_go(self, key: str, part: str, renamed: str) -> bool:
        last = part.rpartition(".")[2]
        known = last in _KNOWN_PARTS or any(second in last for second in _SECOND)
        named = any(f"{key}.".startswith(f"{name.rstrip('.')}.") for name in self.named)
        return known or self._of_head(renamed) or named or any(self._of_copy(key, copy) for copy in self.copies)

    def _of_head(self, renamed: str) -> bool:
        return any(f"{renamed}.".startswith(f"{head}.") for head in self.heads)

    def _of_copy(self, key: str, copy: _Candidate) -> bool:
        renamed = copy.layout.rename(key.removeprefix(copy.prefix))
        return key.startswith(copy.prefix) and (renamed in self.own or self._of_head(renamed))


def _beside(
    file: WeightsFile, chosen: _Candidate, accounted: Iterable[str], parts: _Parts
) -> tuple[tuple[str, ...], list[str]]:
    """Parts of the file that are known and left out, with their numbers of tensors; keys that nobody expects."""
    accounted, counts, unexpected = set(accounted), dict[str, int](), list[str]()
    for key in file.tensors:
        inside = key.startswith(chosen.prefix)
        renamed = chosen.layout.rename(key.removeprefix(chosen.prefix)) if inside else ""
        if renamed in accounted:
            continue
        part = _departure(key, chosen.prefix)
        if parts.may_go(key, part, renamed):
            counts[part] = counts.get(part, 0) + 1
        else:
            unexpected.append(key)
    return tuple(part if count == 1 else f"{part} ({count} tensors)" for part, count in counts.items()), unexpected


def _departure(key: str, prefix: str) -> str:
    """Return a key up to the first name by which it leaves the prefix: `module.queue` of `module.encoder_q.`."""
    names, along = key.split("."), prefix.split(".")
    shared = next((i for i, name in enumerate(names) if i >= len(along) or name != along[i]), len(names) - 1)
    return ".".join(names[: shared + 1])


def refuse_misfit(
    file: WeightsFile,
    state: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    unexpected: Sequence[str],
    architecture: str = "",
) -> None:
    """Raises WeightsError, with every fault listed, unless `tensors` are those of a module's state, shapes and all."""
    missing = [key for key in state if key not in tensors and not key.endswith("num_batches_tracked")]
    misshapen = [key for key, value in tensors.items() if key in state and value.shape != state[key].shape]
    wrong = [f"{key} is {shape(tensors[key])}, expected {shape(state[key])}" for key in misshapen]
    if not missing and not unexpected and not wrong:
        _refuse_whole_numbers(file, state, tensors)
        return
    called = f" '{architecture}'" if architecture else ""
    parts = [f"weights file '{file.path}' does not fit the architecture{called}"]
    for what, keys in (("missing", missing), ("unexpected", unexpected), ("wrong shape", wrong)):
        if keys:
            parts.append(f"{len(keys)} {what}: {some(keys)}")
    if not missing and not unexpected and all(_hangs_on_size(key) for key in misshapen):
        raise WeightsError("; ".join([*parts, "they hang on the image size: set data.size to that of the file"]))
    parts += _like(file)
    if architecture:
        parts.append("name the architecture of the file in recipe.architecture, or give a file of this one")
    if architecture and not missing and not wrong:
        parts.append("parts of the file that are not wanted go into leave_out")
    raise WeightsError("; ".join(parts))


def _like(file: WeightsFile) -> tuple[str, ...]:
    """Phrase that names the most similar network; nothing when it cannot be known."""
    likeness = looks_like(file.tensors)
    return (f"the file looks like {likeness}",) if likeness else ()


def _refuse_whole_numbers(file: WeightsFile, state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Quantized weights mean nothing without their scales."""
    whole = [
        key
        for key, value in tensors.items()
        if key in state and state[key].is_floating_point() and not value.is_floating_point()
    ]
    if whole:
        raise WeightsError(
            f"weights file '{file.path}' holds whole numbers where weights are: {some(whole)}; save them as floats"
        )


def _hangs_on_size(key: str) -> bool:
    """Return whether a tensor has one value a place of the image: position embeddings, absolute or relative."""
    return "pos_embed" in key or "relative_position" in key or "rel_pos" in key


# Tensors copied into a module of the same names, and a start copied into a trunk with all that belongs to it.


@dataclass(frozen=True, slots=True)
class Start:
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
    prefix: str
    loaded: int
    left_out: tuple[str, ...]
    drawn: tuple[str, ...]
    scaling: str
    epsilon: float | None
    strides: Mapping[str, int]
    positions: str

    def text(self) -> str:
        """As JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)


def start_of(network: nn.Module) -> Start | None:
    """Report on the weights file that a network was loaded from; None after a random start."""
    start = getattr(network, "start", None)
    return start if isinstance(start, Start) else None


def load_into(module: nn.Module, file: WeightsFile) -> None:
    """Copy tensors into a module of the same keys. Counters of batch-norm batches may be missing: they decide nothing.

    Raises WeightsError that lists every missing, unexpected and wrong-shaped key.
    """
    state = module.state_dict()
    refuse_misfit(file, state, file.tensors, [key for key in file.tensors if key not in state])
    module.load_state_dict(dict(file.tensors), strict=False)


def load_trunk(trunk: nn.Module, found: Match) -> dict[str, int]:
    """Copy a matched file into a trunk and make the trunk compute the same as the file's network.

    Returns:
        The strides that were changed, by the name of the convolution.

    Raises:
        WeightsError: If the architecture cannot compute it.
    """
    strides = _changed_strides(trunk, found)
    trunk.load_state_dict(dict(found.tensors), strict=False)
    set_strides(trunk, strides)
    if found.layout.epsilon is not None:
        set_epsilon(trunk, found.layout.epsilon)
    return strides


def _changed_strides(trunk: nn.Module, found: Match) -> dict[str, int]:
    """Return the strides in which the file's network differs from the trunk. Raises WeightsError."""
    strides: dict[str, int] = {}
    if found.layout.stem_stride is not None:
        strides[first_convolution(trunk)] = found.layout.stem_stride
    if found.layout.stride_first:
        for stage in (2, 3, 4):
            first, second = (trunk.get_submodule(f"layer{stage}.0.conv{number}") for number in (1, 2))
            if _stride(first) != 1 or _stride(second) != 2:
                raise WeightsError(
                    f"weights of '{found.layout.name}' need a ResNet with bottlenecks that stride by 2 in their 3x3 "
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
class Scaling:
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
SCALINGS: Mapping[str, Scaling] = {
    "imagenet": Scaling("(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)", IMAGENET_MEAN, IMAGENET_SD),
    "symmetric": Scaling("2 x - 1", (0.5,), (0.5,)),
    "unit": Scaling("x", (0.0,), (1.0,)),
    "caffe": Scaling(_CAFFE, _SHARES, (1 / 255,), bgr=True),
    "caffe-255": Scaling(f"({_CAFFE}) / 255", _SHARES, (1.0,), bgr=True),
}
_METADATA = {"x*2-1": "symmetric", "(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]": "imagenet"}


def scaling_of(name: str, file: WeightsFile, hint: str, layout: str) -> Scaling | None:
    """Return the scaling of that name; for `auto` that of the file's metadata, or None where the network's own holds.

    Args:
        hint: Setting to suggest if it is unknown; empty where the network's own scaling is that of such files.
        layout: The file's layout, as errors name it.

    Raises:
        WeightsError: If nothing says how the file's training scaled images.
    """
    if name != "auto":
        return SCALINGS[name]
    said = file.metadata.get("input", "")
    if not said and not hint:
        return None
    if not said:
        raise WeightsError(
            f"weights file '{file.path}' ({layout}) does not say how its images were scaled; set input: {hint}"
        )
    if said not in _METADATA:
        raise WeightsError(
            f"weights file '{file.path}' says that its input is '{said}', which Assay does not know; "
            f"set input to one of: {', '.join(SCALINGS)}"
        )
    return SCALINGS[_METADATA[said]]


def take_rgb(trunk: nn.Module) -> None:
    """Turn a network that was trained on blue, green, red into one that takes red, green, blue and answers the same.

    Its first convolution sums over channels, so their order in the kernel is all that has to be turned round.
    """
    stem = trunk.get_submodule(first_convolution(trunk))
    assert isinstance(stem, nn.Conv2d)
    if stem.in_channels == 3:
        stem.weight.data = stem.weight.data.flip(1)
