"""Models from files of torch: weights of a named network, programs, and bundles of MONAI.

A file of tensors is data. A program (TorchScript, torch.export), a factory of the user's and a bundle with expressions
are code: they are read only where the user trusts them.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from assay.core.errors import SpecError, WeightsError, extra, first_line, key_text, shorten, unknown_name
from assay.core.files import at_home, content_hash, no_file, sha256
from assay.core.registry import own_object
from assay.models.external import OnnxModel
from assay.models.image_config import REFUSED, of_bundle, of_processor, read_config
from assay.models.onnx_session import FixedInput, output_names, require_rows
from assay.models.process import LIMIT, ModelFile
from assay.models.ref import FunctionOrigin, InMemory, ModelFacts, Origin, network_content, unwrap_scores
from assay.models.weight_files import WeightsFile, archive_entries, read_weights, refuse_other_format, some
from assay.models.weights import load_into

Factory = Callable[[], nn.Module]
Make = Callable[[int, int], nn.Module]
"""Builds a network with these numbers of channels and of outputs."""
_CHANNELS, _CLASSES = 5, 7
"""Numbers with which a network is built to see where the shapes of its weights depend on them."""

# Weights, and the function that builds their network.


@dataclass(frozen=True)
class StateDictModel(ModelFile):
    """Weights in a file that hold tensors alone, and a factory of the network that they belong to.

    Attributes:
        factory: Returns the network, called without arguments.
    """

    factory: Factory = field(kw_only=True)
    kind = "file"

    def _content(self) -> str:
        return content_hash({"network": network_content(self.loaded), "weights": sha256(self.path)})

    @cached_property
    def _file(self) -> WeightsFile:
        return read_weights(self.path)

    def _load(self) -> nn.Module:
        network = _build_network(self.factory)
        load_into(network, remove_prefix(self._file, list(network.state_dict()))[0])
        return network.eval()

    def _facts(self) -> ModelFacts:
        _, note = remove_prefix(self._file, list(self.loaded.state_dict()))
        return ModelFacts(outputs=output_names(self._file.metadata), notes=(note,) if note else ())


@dataclass(frozen=True)
class FunctionModel(ModelFile):
    """A network that a function of the user's returns with its weights. Its path is the function's name."""

    kind = "function that returns a network"

    def _content(self) -> str:
        return network_content(self.loaded)

    def _load(self) -> nn.Module:
        return _build_network(FunctionFactory(str(self.path))).eval()


def _build_network(factory: Factory) -> nn.Module:
    network = factory()
    if not isinstance(network, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SpecError(f"factory returned {type(network).__name__}; expected a torch.nn.Module")
    return network


def remove_prefix(file: WeightsFile, wanted: Sequence[str]) -> tuple[WeightsFile, str]:
    """Return the tensors of a network within those of a file, and a sentence on a prefix that was removed.

    A training framework saves the network as an attribute of its own module, next to losses and metrics.
    """
    tensors, needed = file.tensors, [key for key in wanted if not key.endswith("num_batches_tracked")]
    if not needed or needed[0] in tensors:
        return file, ""
    ends = [key.removesuffix(needed[0]) for key in tensors if key.endswith(f".{needed[0]}")]
    complete = [prefix for prefix in ends if all(prefix + key in tensors for key in needed)]
    if len(complete) != 1:
        return file, ""
    stripped = {key.removeprefix(complete[0]): value for key, value in tensors.items() if key.startswith(complete[0])}
    others = [key for key in tensors if not key.startswith(complete[0])]
    remainder = f", and {some(others)} left out" if others else ""
    return replace(file, tensors=stripped), f"the prefix '{complete[0]}' of the names of weights was removed{remainder}"


@dataclass(frozen=True)
class NamedFactory:
    """Builds a network of a library by its name, with the channels and outputs that the weights have.

    Attributes:
        library: One of `LIBRARIES`.
        network: Its name there.
        weights: The file of weights.
    """

    library: str
    network: str
    weights: Path

    def __call__(self) -> nn.Module:
        """Build the network. Raises SpecError where the library has none of this name."""
        make, file = LIBRARIES[self.library](self.network), read_weights(self.weights)
        try:
            guess = make(_CHANNELS, _CLASSES)
        except (ValueError, RuntimeError):  # some take images in color alone
            guess = make(3, _CLASSES)
        state = guess.state_dict()
        tensors = remove_prefix(file, list(state))[0].tensors
        differing = [
            (here, stored)
            for key, value in state.items()
            if key in tensors and tensors[key].ndim == value.ndim
            for here, stored in zip(value.shape, tensors[key].shape, strict=True)
            if here != stored
        ]
        channels, classes = (
            next((stored for here, stored in differing if here == probed), default)
            for probed, default in ((_CHANNELS, 3), (_CLASSES, _CLASSES))
        )
        return make(channels, classes)


@dataclass(frozen=True)
class FunctionFactory:
    """Calls a function of the user's, `module:function`, which returns a network."""

    name: str

    def __call__(self) -> nn.Module:
        """Import and call it. Raises SpecError where it cannot be imported."""
        return own_object("network", self.name)[0]()


def _of_timm(name: str) -> Make:
    import timm

    if not timm.is_model(name):
        raise SpecError(unknown_name("timm network", name, timm.list_models()))
    return lambda channels, classes: timm.create_model(name, False, num_classes=classes, in_chans=channels)  # pyright: ignore[reportUnknownMemberType]


def _of_smp(name: str) -> Make:
    with extra("smp"):
        import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingTypeStubs]
    architecture, _, encoder = name.partition("/")
    architectures = cast(Any, smp).MODEL_ARCHITECTURES_MAPPING
    if architecture not in architectures:
        raise SpecError(unknown_name("network of segmentation_models_pytorch", architecture, architectures))

    def make(channels: int, classes: int) -> nn.Module:
        create = cast(Any, smp).create_model
        try:
            return create(architecture, encoder or "resnet34", None, in_channels=channels, classes=classes)
        except KeyError as error:
            raise SpecError(
                f"segmentation_models_pytorch has no encoder '{shorten(encoder)}'; expected such as smp:unet/resnet34"
            ) from error

    return make


def _of_monai(name: str) -> Make:
    network_class = _monai_class(name)
    parameters = inspect.signature(network_class).parameters
    supplied = {"spatial_dims", "in_channels", "n_input_channels", "out_channels", "num_classes"}
    missing = [
        key
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty and key not in supplied and parameter.kind < 2
    ]
    if missing:
        raise SpecError(
            f"monai:{shorten(name)} needs {some(missing)}: give the folder of its bundle, or module:function with "
            f"{key_text('--trust', True)}"
        )

    def make(channels: int, classes: int) -> nn.Module:
        arguments = dict.fromkeys(("in_channels", "n_input_channels"), channels) | {"spatial_dims": 2}
        arguments |= dict.fromkeys(("out_channels", "num_classes"), classes)
        return network_class(**{key: value for key, value in arguments.items() if key in parameters})

    return make


def _monai_class(name: str) -> Callable[..., nn.Module]:
    with extra("monai"):
        from monai.networks import nets  # pyright: ignore[reportMissingTypeStubs]
    network_class = getattr(nets, name.removeprefix(_NETS), None)
    if not (isinstance(network_class, type) and issubclass(network_class, nn.Module)):
        names = [key for key, kind in vars(nets).items() if isinstance(kind, type) and issubclass(kind, nn.Module)]
        raise SpecError(unknown_name("network of monai.networks.nets", name, names))
    return network_class


LIBRARIES: Mapping[str, Callable[[str], Make]] = {"timm": _of_timm, "smp": _of_smp, "monai": _of_monai}
"""Libraries whose networks can be named."""


def names_library(model: object) -> bool:
    """Return whether a model is named by its library, which no file of that name in the working folder replaces."""
    return str(model).startswith(("hf:", *(f"{library}:" for library in LIBRARIES)))


# Programs.


@dataclass(frozen=True)
class TorchProgramModel(ModelFile):
    """A program of torch: TorchScript, or a file of torch.export. Loading it runs code of the file."""

    kind = "program"
    complete = True
    opaque = "a program"

    def _content(self) -> str:
        return sha256(self.path)

    def _load(self) -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if _is_exported(self.path):
                    return ExportedNetwork(self.path)
                return torch.jit.load(str(self.path), map_location="cpu").eval()  # pyright: ignore
            except Exception as error:
                raise WeightsError(f"{self.path} cannot be loaded: {first_line(error)}; export it again") from error

    def _facts(self) -> ModelFacts:
        return ModelFacts(self.loaded.taken.framing if isinstance(self.loaded, ExportedNetwork) else {})


class ExportedNetwork(nn.Module):
    """A program of torch.export, which may take one batch size only."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        program = torch.export.load(str(path))
        self.program = program.module()
        (name, *others) = program.graph_signature.user_inputs
        node = next(candidate for candidate in program.graph.nodes if candidate.name == name)
        sides = [side if isinstance(side, int) else None for side in node.meta["val"].shape]
        if others or len(sides) != 4:
            raise WeightsError(f"{path}: expected one input of images [b, c, h, w]")
        self.taken = FixedInput(path.name, sides[0], (sides[1], sides[2], sides[3]))

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the images. Raises SpecError where they are of another size."""
        return torch.cat([self._scores(part)[:count] for part, count in self.taken.parts(images)])

    def _scores(self, part: Tensor) -> Tensor:
        scores = unwrap_scores(self, (part,), self.program(part))
        require_rows(scores.shape, len(part))
        return scores


def _is_exported(path: Path) -> bool:
    return path.suffix.lower() == ".pt2"


def _is_program(path: Path) -> bool:
    if _is_exported(path):
        return True
    return any(entry.filename.endswith("/constants.pkl") for entry in archive_entries(path))


# Bundles of MONAI: a folder with configs/metadata.json, a config that describes the network, and weights.

_CONFIGS = ("inference", "evaluate", "train")
_NETS = "monai.networks.nets."
_DEFINED = ("network_def", "network", "net")
_KINDS = {1: "gray", 3: "color"}
_WEIGHTS = ("model.safetensors", "model.pt", "model.pth")
_MOST_VALUES = 10_000
"""Values of a network in a config, references followed."""


def is_bundle(folder: Path) -> bool:
    """Return whether a folder is a bundle of MONAI."""
    return (folder / "configs" / "metadata.json").is_file()


@dataclass(frozen=True)
class MonaiBundleModel(ModelFile):
    """A bundle of MONAI.

    Attributes:
        trust: Whether expressions of its config may run, and classes from outside `monai.networks.nets`.
    """

    trust: bool = field(default=False, kw_only=True)
    kind = "MONAI bundle"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @cached_property
    def _weights(self) -> Path:
        for name in _WEIGHTS:
            if (self.path / "models" / name).is_file():
                return self.path / "models" / name
        raise WeightsError(f"{self.path / 'models'} has none of {', '.join(_WEIGHTS)}; put the weights there")

    def _content(self) -> str:
        return content_hash({"network": network_content(self.loaded), "weights": sha256(self._weights)})

    @cached_property
    def _metadata(self) -> Mapping[str, Any]:
        return read_config(self.path / "configs" / "metadata.json")

    def _load(self) -> nn.Module:
        file = read_weights(self._weights)
        network = self._network()
        load_into(network, remove_prefix(file, list(network.state_dict()))[0])
        if config := of_bundle(self._metadata):
            network.pretrained_cfg = config  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        return network.eval()

    def _network(self) -> nn.Module:
        places = [self.path / "configs" / f"{name}.json" for name in _CONFIGS]
        config = next((read_config(place) for place in places if place.is_file()), None)
        if config is None:
            raise WeightsError(f"{self.path / 'configs'} has none of {', '.join(f'{name}.json' for name in _CONFIGS)}")
        key = next((name for name in _DEFINED if name in config), None)
        if key is None:
            raise WeightsError(f"the config of {self.path} describes no network ({', '.join(_DEFINED)})")
        if self.trust:
            with extra("monai"):
                from monai.bundle.config_parser import ConfigParser  # pyright: ignore[reportMissingTypeStubs]
            return cast(Any, ConfigParser(dict(config))).get_parsed_content(key)
        network = _resolve_value(config[key], config, (), count(1))
        if not isinstance(network, nn.Module):
            raise WeightsError(f"the config of {self.path} describes no network under {key}")
        return network

    @property
    def _framing(self) -> Mapping[str, Any]:
        channels, side, _ = of_bundle(self._metadata).get("input_size", (0, 0, 0))
        return {**({"channels": _KINDS[channels]} if channels in _KINDS else {}), **({"size": side} if side else {})}

    def _facts(self) -> ModelFacts:
        outputs = self._metadata.get("network_data_format", {}).get("outputs", {})
        first = next(iter(outputs.values()), None)
        return ModelFacts(self._framing, output_names({"names": first and first.get("channel_def")}))


def _resolve_value(value: Any, config: Mapping[str, Any], references: tuple[str, ...], values: Iterator[int]) -> Any:
    """Return a value of a config without running code of it: networks of MONAI, and references to plain values."""
    if next(values) > _MOST_VALUES:  # of references to many others
        raise WeightsError(f"the config of the bundle describes a network by more than {_MOST_VALUES:,} values")
    if isinstance(value, str) and value[:1] == "@":
        key = value[1:]
        if key in references or key not in config:
            raise WeightsError(f"the config of the bundle refers to '{shorten(key)}', which cannot be resolved")
        return _resolve_value(config[key], config, (*references, key), values)
    if isinstance(value, str) and ("$" in value or "@" in value or value[:1] == "%"):
        raise SpecError(
            f"the config of the bundle has the expression '{shorten(value)}', which is code: read it, then give "
            f"{key_text('--trust', True)}"
        )
    if isinstance(value, list):
        return [_resolve_value(part, config, references, values) for part in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    parts = cast("dict[str, Any]", value)
    arguments = {
        key: _resolve_value(part, config, references, values) for key, part in parts.items() if not key.startswith("_")
    }
    if "_target_" not in parts:
        return arguments
    target = str(parts["_target_"])
    if "." in target.removeprefix(_NETS):
        raise SpecError(
            f"the config of the bundle builds '{shorten(target)}', which is not of monai.networks.nets and may run any "
            f"code: read it, then give {key_text('--trust', True)}"
        )
    reaching = [key for key, part in arguments.items() if key.startswith("pretrained") and part]
    if reaching:
        raise SpecError(f"the config of the bundle loads other weights ({some(reaching)}): set it to false")
    return _monai_class(target)(**arguments)


# Models of transformers.


@dataclass(frozen=True)
class TransformersModel(ModelFile):
    """An image classifier of transformers: `owner/name` on the hub, or a folder. Only safetensors are read.

    Attributes:
        folder: Its files; None for those that are downloaded of a name.
    """

    folder: Path | None = field(default=None, kw_only=True)
    kind = "transformers"

    @property
    def name(self) -> str:
        """Last part of its name."""
        return self.path.name

    @cached_property
    def _local_folder(self) -> Path:
        from assay.models.hub import hub_folder

        return self.folder or hub_folder(str(self.path))

    @property
    def files(self) -> Sequence[Path]:
        """Files of its folder, or those that are downloaded of its name. Raises WeightsError where none can be had."""
        return [path for path in self._local_folder.rglob("*") if path.is_file()]

    @property
    def sent(self) -> TransformersModel:
        """See `ModelFile`; its files are here before its process is started, which has no network."""
        return replace(self, limit=0.0, folder=self._local_folder)

    def _content(self) -> str:
        return network_content(self.loaded)

    @property
    def _image_settings(self) -> Mapping[str, Any]:
        """The settings of its image processor, or why they cannot be used: a user may state a scaling in their place.

        See `REFUSED`.
        """
        from assay.models.hub import load_pretrained

        refused = f"hf:{self.path} cannot be loaded: "
        try:
            processor = load_pretrained(str(self.path), self._local_folder, "AutoImageProcessor")
            settings = of_processor(processor.to_dict())
            why = "" if settings else "its image processor states no image_mean"
        except (OSError, ValueError, WeightsError) as error:
            settings, why = dict[str, Any](), first_line(error).removeprefix(refused)
        return {REFUSED: f"{refused}{why}"} if why else settings

    def _load(self) -> nn.Module:
        from assay.models.hub import load_pretrained

        loaded, report = load_pretrained(
            str(self.path), self._local_folder, "AutoModelForImageClassification", output_loading_info=True
        )
        if missing := sorted(report["missing_keys"]):  # they would be random
            raise WeightsError(f"hf:{self.path} cannot be loaded: its weights lack {some(missing)}")
        loaded.pretrained_cfg = self._image_settings
        return loaded.eval()

    def _facts(self) -> ModelFacts:
        named: Any = cast(Any, self.loaded).config.id2label
        return ModelFacts({"channels": "color"}, output_names({"names": named}))


# The model that a user names.


def given_origin(
    model: object,
    factory: Factory | None = None,
    *,
    weights: str | Path = "",
    trust: bool = False,
    limit: float = LIMIT,
    output: str = "",
) -> Origin:
    """Return the origin of a model that the user names: a module, a function, a file, or a name with weights.

    Args:
        model: A module, a function, a path, or `timm:NAME`, `smp:ARCHITECTURE/ENCODER`, `monai:NAME`, `hf:OWNER/NAME`
            or `module:function`.
        factory: Returns the network of a file of weights.
        weights: File of weights of a name; a function may bring its own.
        trust: Whether code of the file, or a function that is named, may run.
        limit: Seconds that an image may take.
        output: The output that the user names, which may be one of several tensors.

    Raises:
        SpecError: It is none of these, or runs code that is not trusted.
        WeightsError: The file is missing, or a pickle that could run code.
    """
    if isinstance(model, str | Path):
        path = at_home(model)
        if factory is not None:
            return StateDictModel(path, factory=factory)
        if names_library(model) or (":" in str(model) and not path.exists()):
            return _origin_by_name(str(model), at_home(weights) if weights else None, trust, limit)
        if weights:
            raise SpecError(f"weights belong to a named network such as timm:resnet50, not to the file {path}")
        return _origin_by_path(path, trust, limit, output)
    if factory is not None:
        raise SpecError("factory: of a module or function nothing is built; leave it out")
    if isinstance(model, nn.Module):
        return InMemory(model)
    if callable(model):
        return FunctionOrigin(model)
    raise SpecError(
        f"model is {type(model).__name__}; expected a torch.nn.Module, a function of images, a file of weights or the "
        "folder of a training run"
    )


def _origin_by_name(text: str, weights: Path | None, trust: bool, limit: float) -> Origin:
    library, _, name = text.partition(":")
    if library == "hf":
        if weights is not None:
            raise SpecError(f"{shorten(text)} has its own weights; leave {key_text('--weights')} out")
        from assay.models.hub import hub_folder, is_local_folder

        return TransformersModel(at_home(name), limit, folder=hub_folder(name) if is_local_folder(name) else None)
    if library in LIBRARIES:
        LIBRARIES[library](name)  # report a misspelled name before asking for the weights
        if weights is None:
            raise SpecError(f"{shorten(text)} names a network; give its weights with {key_text('--weights', 'FILE')}")
        return StateDictModel(weights, limit, factory=NamedFactory(library, name, weights))
    if not trust:
        raise SpecError(f"'{shorten(text)}' is code: read it, then give {key_text('--trust', True)}")
    return (
        FunctionModel(Path(text), limit)
        if weights is None
        else StateDictModel(weights, limit, factory=FunctionFactory(text))
    )


def _origin_by_path(path: Path, trust: bool, limit: float, output: str) -> Origin:
    if is_bundle(path):
        return MonaiBundleModel(path, limit, trust=trust)
    if path.suffix.lower() == ".onnx":
        with extra("onnx"):  # before images are read, and a process is started
            importlib.import_module("onnxruntime")
        return OnnxModel(path, limit, output=output)
    if not path.is_file():
        raise WeightsError(no_file(path))
    refuse_other_format(path)
    if _is_program(path):
        if not trust:
            raise SpecError(
                f"{path.name} is a program (TorchScript or torch.export), which runs code when it is loaded: give "
                f"{key_text('--trust', True)} if you know who made it, else its weights as safetensors, or an "
                f".onnx file"
            )
        return TorchProgramModel(path, limit)
    read_weights(path)
    raise SpecError(
        f"{path.name} has weights and no network: name it, such as timm:resnet50 "
        f"{key_text('--weights', path.name)} (or smp:, "
        "monai:, module:function; in Python also factory=), or give an .onnx file"
    )
