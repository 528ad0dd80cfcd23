"""Models that do not run in torch: ONNX files, and commands that read images and write scores."""

from __future__ import annotations

import ast
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from assay.core.errors import DataError, SpecError, WeightsError, cut, extra, first_line
from assay.core.files import content_hash, is_file, sha256
from assay.data.files.table import number, read_table, require_whole
from assay.models.confined import MEMORY
from assay.models.process import LIMIT, LOOK, ModelFile, taken
from assay.models.ref import Facts, Origin, unwrapped


@dataclass(frozen=True)
class FixedInput:
    """The images that an exported network takes.

    Attributes:
        name: Name of its file.
        batch: The number of images that it takes at once; None where any will do.
        shape: Channels, height and width; None where any will do.
    """

    name: str
    batch: int | None
    shape: tuple[int | None, int | None, int | None]

    @property
    def framing(self) -> dict[str, Any]:
        """The size as a key of `data`, where it is fixed."""
        _, high, wide = self.shape
        return {"size": high} if high is not None and high == wide else {}

    def answers(self, images: Tensor, network: Callable[[Tensor], Any]) -> Tensor:
        """Return a network's answers, in batches of the size that it takes, the last filled up.

        Raises:
            SpecError: The images are of another size or have other channels.
        """
        self._require(tuple(images.shape[1:]))
        step = self.batch or len(images)
        found: list[Tensor] = []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            whole = torch.cat([part, part[-1:].expand(step - len(part), *part.shape[1:])])
            found.append(unwrapped(network, (whole,), network(whole))[: len(part)])
        return torch.cat(found)

    def _require(self, shape: tuple[int, ...]) -> None:
        channels, *sides = self.shape
        if channels is not None and channels != shape[0]:
            key = "gray" if channels == 1 else "color"
            raise SpecError(
                f"{self.name} takes images with {channels} channels, and these have {shape[0]}: give channels: {key}"
            )
        if any(side is not None and side != own for side, own in zip(sides, shape[1:], strict=True)):
            if len(set(sides)) > 1:
                raise SpecError(f"{self.name} takes images of {sides[0]} x {sides[1]} px, and Assay reads squares")
            raise SpecError(f"{self.name} takes images of {sides[0]} px, these have {shape[1]}: give size {sides[0]}")


# ONNX files. Their graph is data: no code of theirs runs. What could reach beyond the file is refused: tensors in files
# outside its folder, and operators that only a library of somebody else's could run.

_DOMAINS = (
    "", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "ai.onnx.training", "com.ms.internal.nhwc",
)  # fmt: skip
"""Domains of operators that onnxruntime has itself."""
_NAMES = ("names", "classes", "labels", "class_names", "id2label", "outputs")
"""Keys of metadata that hold the names of outputs."""
_EXTERNAL = 1
"""`TensorProto.EXTERNAL`."""
_TYPES: Mapping[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of input images."""
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class OfOnnx(ModelFile):
    """A network in an ONNX file, run by onnxruntime. Tensors may be in other files of its folder."""

    kind = "ONNX file"
    complete = True
    opaque = "an ONNX file"

    @property
    def files(self) -> Sequence[Path]:
        """The graph, and the files of its tensors."""
        return (self.path, *_tensor_files(self.path))

    def _content(self) -> str:
        return content_hash([sha256(path) for path in self.files])

    def _load(self) -> OnnxNetwork:
        _ = self.files  # refused where they lead out of the folder
        return OnnxNetwork(self.path)

    def _facts(self) -> Facts:
        network = cast(OnnxNetwork, self.loaded)
        return Facts(network.taken.framing, names_of(network.session.get_modelmeta().custom_metadata_map))


def names_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of outputs in the metadata of a file: a list, a mapping from numbers, or text of either.

    Returns:
        The names; empty where the metadata has none, such as a number of classes.
    """
    return next((names for key in _NAMES if (names := _listed(metadata.get(key)))), ())


def _listed(found: Any) -> tuple[str, ...]:
    if isinstance(found, str):
        try:
            found = ast.literal_eval(found)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            found = found.split(",") if "," in found else ()
    if isinstance(found, Mapping):
        numbered = {str(key): name for key, name in cast("Mapping[Any, Any]", found).items()}
        numbers = [str(at) for at in range(len(numbered))]
        found = [numbered[at] for at in numbers] if all(at in numbered for at in numbers) else ()
    return tuple(str(one).strip() for one in cast("Sequence[Any]", found)) if isinstance(found, list | tuple) else ()


class OnnxNetwork(nn.Module):
    """A session of onnxruntime as a module that maps images to scores. It has no layers and no gradients.

    Args:
        path: The file.
        output: Name of the output to return; the first of floating-point numbers where empty.
    """

    def __init__(self, path: Path, output: str = "") -> None:
        super().__init__()
        self.path = path
        self.session = self._opened(["CPUExecutionProvider"])
        inputs: list[Any] = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            shown = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise WeightsError(f"{path}: expected one input of images [b, c, h, w], not {cut(shown, 120)}")
        outputs = [one for one in self.session.get_outputs() if "float" in one.type or "double" in one.type]
        if not outputs or (output and output not in [one.name for one in outputs]):
            shown = ", ".join(one.name for one in self.session.get_outputs())
            raise WeightsError(f"{path}: no output of scores{f' named {output}' if output else ''}; it has {shown}")
        self._on_gpu: dict[int, Any] = {}
        self.input: Any = inputs[0]
        self.output: str = output or outputs[0].name
        fixed = [side if isinstance(side, int) and side > 0 else None for side in self.input.shape]
        self.channels_last = fixed[3] in (1, 3) and fixed[1] not in (1, 3)
        order = (3, 1, 2) if self.channels_last else (1, 2, 3)
        self.taken = FixedInput(path.name, fixed[0], (fixed[order[0]], fixed[order[1]], fixed[order[2]]))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """Return the output for the images, as float32, computed on their device.

        Raises:
            SpecError: The images are of another size or have other channels, or onnxruntime cannot use their device.
        """
        session = self.session_on(images.device)
        found = self.taken.answers(images.detach().float().cpu(), lambda part: self._run(part, session))
        return found.to(images.device)

    def session_on(self, device: torch.device) -> Any:
        """Return the session of a device.

        Raises:
            SpecError: It is a GPU, and this onnxruntime has no CUDA or cannot load it.
        """
        if device.type == "cpu":
            return self.session
        number = device.index or 0
        if number not in self._on_gpu:
            with extra("onnx"):
                import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
            made = None
            if _CUDA in cast("list[str]", onnxruntime.get_available_providers()):  # pyright: ignore[reportUnknownMemberType]
                made = self._opened([(_CUDA, {"device_id": number}), "CPUExecutionProvider"])
            if made is None or _CUDA not in made.get_providers():  # it goes on without one that it cannot load
                raise SpecError(
                    f"{self.path.name}: this onnxruntime has no CUDA that works; install onnxruntime-gpu in place of "
                    "onnxruntime, or give --device cpu"
                )
            self._on_gpu[number] = made
        return self._on_gpu[number]

    def _opened(self, providers: Sequence[str | tuple[str, dict[Any, Any]]]) -> Any:
        with extra("onnx"):
            import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
        options: Any = onnxruntime.SessionOptions()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # errors are raised, too
        onnxruntime.set_default_logger_severity(4)  # pyright: ignore[reportUnknownMemberType]
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=providers)
        except Exception as error:
            raise WeightsError(f"{self.path}: onnxruntime cannot load it: {first_line(error)}") from error

    def _run(self, images: Tensor, session: Any) -> Tensor:
        values = images.numpy()
        if self.channels_last:
            values = values.transpose(0, 2, 3, 1)
        kind = _TYPES[self.input.type]
        values = np.ascontiguousarray(values.round() if kind is np.uint8 else values).astype(kind)
        try:
            (found,) = session.run([self.output], {self.input.name: values})
        except Exception as error:
            raise SpecError(f"{self.path.name} failed on images {list(values.shape)}: {first_line(error)}") from error
        return torch.as_tensor(np.asarray(found).astype(np.float32))


def _tensor_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold tensors of a graph.

    Raises:
        ExtraError: onnx is not installed.
        WeightsError: The file is missing or damaged, names a file outside its folder, or has foreign operators.
    """
    with extra("onnx"):
        import onnx
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    try:
        model: Any = onnx.load(str(path), load_external_data=False)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:
        raise WeightsError(f"{path} is damaged, or no ONNX file: {first_line(error)}") from error
    own = {function.domain for function in model.functions}
    folder, found = path.parent.resolve(), dict[Path, None]()
    for graph in (model.graph, *model.functions):
        for node, tensors in _nodes(graph):
            if node is not None and node.domain not in (*_DOMAINS, *own):
                raise WeightsError(
                    f"{path.name} needs the operator '{cut(node.op_type)}' of '{cut(node.domain)}', which is a library "
                    "of its own and could run any code; export the model with standard operators"
                )
            for tensor in tensors:
                if tensor.data_location == _EXTERNAL:
                    found[_inside(folder, path, tensor)] = None
    return tuple(found)


def _inside(folder: Path, path: Path, tensor: Any) -> Path:
    """Return the file of a tensor, which must be in the folder of the graph, links resolved."""
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    file = (folder / location).resolve()
    if not location or not file.is_relative_to(folder):
        raise WeightsError(
            f"{path.name} keeps tensors in '{cut(location)}', which is outside its folder; put that file beside it"
        )
    if not file.is_file():
        raise WeightsError(f"{path.name} keeps tensors in '{cut(location)}', which is missing; copy it to {folder}")
    return file


def _nodes(graph: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield every node with its tensors, of subgraphs too, and None with the tensors of the graph itself."""
    yield None, [*getattr(graph, "initializer", ()), *_dense(getattr(graph, "sparse_initializer", ()))]
    for node in graph.node:
        plain = [one for attribute in node.attribute for one in (attribute.t, *attribute.tensors)]
        sparse = [one for attribute in node.attribute for one in (attribute.sparse_tensor, *attribute.sparse_tensors)]
        yield node, [*plain, *_dense(sparse)]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _dense(sparse: Any) -> list[Any]:
    """Return the values and positions of sparse tensors, each a tensor of its own."""
    return [part for one in sparse for part in (one.values, one.indices)]


# Commands: a folder of pictures in, a CSV of scores or a folder of masks out.

AT_ONCE = 512
"""Images of one call: each starts the user's program anew."""


@dataclass(frozen=True)
class OfCommand(Origin):
    """A command line of the user's, such as `python predict.py {images} {scores}`.

    It is called with a folder of PNG files and the path of a CSV to write: one row per file, with its name in the
    column `image` and one column per score. With `{masks}` in place of `{scores}` it gets a folder to write masks to,
    see `lesion_map`. No shell reads it. Its hash is of the words and of the files that they name.

    Attributes:
        command: The command line, with `{images}`, and `{scores}` or `{masks}`.
        limit: Seconds that an image may take.
        memory: GB that each of its processes may hold; looked at five times a second.
    """

    command: str
    limit: float = LIMIT
    memory: float = MEMORY
    kind = "command"
    opaque = "a command"

    @property
    def name(self) -> str:
        """The first file that it names, else its first word."""
        program, *words = shlex.split(self.command) or ["command"]
        return next((Path(word).stem for word in words if Path(word).is_file()), Path(program).stem)

    def network(self, device: str) -> nn.Module:
        """Return a module that calls the command."""
        return CommandNetwork(self.command, self.limit, self.memory)

    def _content(self) -> str:
        words = shlex.split(self.command)
        return content_hash([self.command, [sha256(Path(word)) for word in words if Path(word).is_file()]])


class CommandNetwork(nn.Module):
    """A command as a module. It has no layers, and nothing can be differentiated through it.

    Args:
        command: See `OfCommand`.
        limit: See `OfCommand`.
        memory: See `OfCommand`.

    Raises:
        SpecError: The command lacks `{images}`, or does not have one of `{scores}` and `{masks}`.
    """

    def __init__(self, command: str, limit: float = LIMIT, memory: float = MEMORY) -> None:
        super().__init__()
        self.limit, self.memory = limit, memory
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise SpecError(f"command '{cut(command)}' cannot be read: {error}") from error
        images, scores, masks = (
            any(f"{{{name}}}" in word for word in self.words) for name in ("images", SCORES, MASKS)
        )
        self.masks = masks
        if not images or scores == masks:
            raise SpecError(
                f"command '{cut(command)}': expected {{images}}, and one of {{scores}} and {{masks}}, such as "
                "'python predict.py {images} {scores}'"
            )

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """Return the scores, or the log-odds of a lesion in each pixel, that the command gives these images.

        Raises:
            SpecError: It fails, takes too long, or writes no score or mask for an image.
        """
        with tempfile.TemporaryDirectory(prefix="assay-") as name:
            folder = Path(name)
            (folder / "images").mkdir()
            (folder / MASKS).mkdir()
            files = [f"{at:06d}{FIRST_CHANNEL if self.masks else ''}.png" for at in range(len(images))]
            for file, image in zip(files, images, strict=True):
                picture_of(image).save(folder / "images" / file)
            scores = folder / "scores.csv"
            self._call({"{images}": folder / "images", "{scores}": scores, "{masks}": folder / MASKS}, len(files))
            if not self.masks:
                if not scores.is_file():
                    raise SpecError(f"the command wrote no {scores.name}")
                try:
                    return torch.as_tensor(read_scores(scores, files)[0].astype(np.float32))
                except DataError as error:
                    raise SpecError(f"of the command: {error}") from error
            found = {file: mask_of(folder / MASKS, file) for file in files}
            missing = [file for file, mask in found.items() if mask is None]
            if missing:
                raise SpecError(
                    f"the command wrote no mask of {len(missing)} of {len(files)} images, such as {missing[0]}"
                )
            sides = (images.shape[2], images.shape[3])
            return torch.stack([lesion_map(mask, sides) for mask in found.values() if mask is not None])

    def _call(self, places: Mapping[str, Path], count: int) -> None:
        words = list(self.words)
        for name, path in places.items():
            words = [word.replace(name, str(path)) for word in words]
        seconds = self.limit * (1 + count)
        with tempfile.TemporaryFile() as log:  # not a pipe, which a process that it left behind would keep open
            try:
                process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise SpecError(f"command '{cut(self.words[0])}' cannot be run: {error.strerror}") from error
            code, ends = None, time.monotonic() + seconds
            try:
                while code is None:
                    with suppress(subprocess.TimeoutExpired):
                        code = process.wait(LOOK)
                    if code is None and time.monotonic() > ends:
                        raise SpecError(
                            f"the command took more than {seconds:.0f} s for {count} images; give --time-limit for more"
                        )
                    if code is None and taken(process.pid) > self.memory * 1e9:
                        raise SpecError(f"the command took more than {self.memory:g} GB; give --memory for more")
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # it and all that it started
                process.wait()
            log.seek(0)
            last = next(reversed(log.read().decode(errors="replace").strip().splitlines()), "")
        if code:
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise SpecError(f"the command ended with {ended}{': ' + cut(last, 200) if last else ''}")


def starts_program(network: nn.Module) -> bool:
    """Return whether a network, or one in it, starts a program for each batch, which large batches spare."""
    return any(isinstance(one, CommandNetwork) for one in network.modules())


def picture_of(image: Float[Tensor, "c h w"]) -> Image.Image:
    """Return an image in [0, 1] as a picture of 8 bit."""
    pixels = (image.clamp(0, 1) * 255).round().byte().numpy()
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


# Masks that a program wrote.

SCORES, MASKS = "scores", "masks"
"""Names of what a program writes."""
FIRST_CHANNEL = "_0000"
"""End of the name of a picture whose mask is asked for: nnU-Net reads only such names, and leaves it out of its own."""
_CERTAIN = 20.0
"""Log-odds of a pixel that a mask of labels calls lesion."""


def mask_of(folder: Path, picture: str) -> Path | None:
    """Return the mask of a picture: a file of its name, with or without `_0000`; None where there is none.

    Raises:
        SpecError: There are several.
    """
    stem = Path(picture).stem
    stems = dict.fromkeys((stem.removesuffix(FIRST_CHANNEL), stem))
    there = [name for one in stems for name in (f"{one}.png", f"{one}.npy") if (folder / name).is_file()]
    if len(there) > 1:
        raise SpecError(f"{folder} has {len(there)} masks of one image: {', '.join(there)}")
    return folder / there[0] if there else None


def lesion_map(path: Path, sides: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """Return the log-odds of a lesion in each pixel.

    Args:
        path: A PNG of labels, of which 0 is background, or a `.npy` of probabilities of a lesion [h, w].
        sides: Height and width of the image.

    Raises:
        SpecError: The file cannot be read, is of another size, or holds no probabilities.
    """
    try:
        if path.suffix == ".npy":
            found = np.load(path, allow_pickle=False).astype(np.float64)
        else:
            with Image.open(path) as picture:
                found = np.asarray(picture if picture.mode in ("1", "L", "P", "I", "I;16") else picture.convert("L"))
    except (OSError, ValueError) as error:
        raise SpecError(f"the mask {path.name} cannot be read: {cut(str(error), 120)}") from error
    if found.shape != sides:
        raise SpecError(f"the mask {path.name} has the shape {list(found.shape)}, and its image {list(sides)}")
    if path.suffix != ".npy":
        return torch.as_tensor(np.where(found > 0, _CERTAIN, -_CERTAIN).astype(np.float32))[None]
    if not (found >= 0).all() or not (found <= 1).all():
        raise SpecError(f"the mask {path.name} has values outside 0 to 1: write the probability of a lesion")
    return torch.as_tensor(found).logit(eps=1e-9).float()[None]


def read_scores(path: Path, files: Sequence[str]) -> tuple[Float[np.ndarray, "n k"], int]:
    """Return the scores of pictures in a CSV with the column `image` and one column per score.

    Args:
        path: The table. Its names are those of the pictures, without a folder.
        files: Names of pictures.

    Returns:
        A row per picture in this order, and the number of rows of other pictures, which are not read.

    Raises:
        DataError: The file cannot be read, lacks a picture or has it twice, or a score is no number.
    """
    if not is_file(path):
        raise DataError(f"there is no file {path}")
    read = read_table(path, "image")
    require_whole(read)
    if "image" not in read.header or not (columns := [one for one in read.header if one and one != "image"]):
        raise DataError(f"{path.name} needs a column `image` and one column per score")
    names = read.column("image", "scores")
    at = {name: row for row, name in enumerate(names)}
    twice = len(names) - len(at)
    if twice:
        name = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"{path.name} has {twice:,} rows of images that it has already, such as {cut(name)}")
    missing = [name for name in files if name not in at]
    if missing:
        raise DataError(
            f"{path.name} has no row for {len(missing):,} of {len(files):,} images, such as {missing[0]}; the column "
            "`image` holds their names without a folder"
        )
    cells = ([number(cell, read.comma) for cell in read.column(one, "scores")] for one in columns)
    values = np.array(list(cells), dtype=np.float64).T[[at[name] for name in files]]
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        raise DataError(f"{path.name}: {len(wrong):,} images have a score that is no number, such as {files[wrong[0]]}")
    return values, len(names) - len(files)
