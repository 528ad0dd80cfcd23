"""ONNX files by onnxruntime alone: a process that reads one does not import torch, which takes seconds and memory."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from assay.core.errors import SpecError, WeightsError, extra, first_line, key_text, shorten
from assay.core.files import content_hash, no_file, require_stored, sha256
from assay.models.confined import MEMORY, memory_limit, memory_limited


@dataclass(frozen=True)
class FixedInput:
    """The images that an exported network takes.

    Attributes:
        name: Name of its file.
        batch: The number of images that it takes at once; None where any will do.
        shape: Channels, height and width; None where any will do.

    Raises:
        SpecError: They are no squares.
    """

    name: str
    batch: int | None
    shape: tuple[int | None, int | None, int | None]

    def __post_init__(self) -> None:
        _, high, wide = self.shape
        if high is not None and wide is not None and high != wide:
            raise SpecError(
                f"{self.name} takes images of {high} x {wide} px, and Assay reads squares: give the squares of "
                "`assay audit prepare` to it in its size, and its scores to `assay audit score`"
            )

    @property
    def framing(self) -> dict[str, Any]:
        """The size as a key of `data`, where it is fixed."""
        _, high, wide = self.shape
        side = high if high is not None else wide
        return {} if side is None else {"size": side}

    def parts(self, images: Any) -> Iterator[tuple[Any, int]]:
        """Yield an array or tensor in batches of the size that it takes, and how many are no repetition of the last.

        Raises:
            SpecError: The images are of another size or have other channels.
        """
        self._require(tuple(images.shape[1:]))
        step, last = self.batch or len(images), len(images) - 1
        for start in range(0, len(images), step):
            yield images[[min(at, last) for at in range(start, start + step)]], min(step, last + 1 - start)

    def _require(self, shape: tuple[int, ...]) -> None:
        channels, *sides = self.shape
        if channels is not None and channels != shape[0]:
            raise SpecError(
                f"{self.name} takes images with {channels} channel{'s' * (channels > 1)}, and these have {shape[0]}: "
                f"{channels_remedy(channels)}"
            )
        if any(side is not None and side != actual for side, actual in zip(sides, shape[1:], strict=True)):
            side = next(side for side in sides if side is not None)
            raise SpecError(
                f"{self.name} takes images of {side} px, these have {shape[1]}: give {key_text('data.size', side)}"
            )


def channels_remedy(channels: int) -> str:
    """Return what to do where a network takes so many channels and its images have another number."""
    if channels in (1, 3):
        return f"give {key_text('data.channels', 'gray' if channels == 1 else 'color')}"
    return "Assay gives 1 (gray) or 3 (color); put what makes the others into the model, and export it again"


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
_TYPES: Mapping[str, type[np.generic[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
"""Types of input images. Those of whole numbers take 0..255."""
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class OnnxFile:
    """A network in an ONNX file, as a process of its own gets it.

    Attributes:
        path: The file. Tensors may be in other files of its folder.
        memory: GB that the process may take beyond the model's own size.
        output: See `OnnxSession`.
    """

    path: Path
    memory: float = MEMORY
    output: str = ""

    @property
    def files(self) -> Sequence[Path]:
        """The graph, and the files of its tensors. Raises WeightsError where they lead out of the folder."""
        return (self.path, *_tensor_files(self.path))

    @property
    def content(self) -> str:
        """Hash of the files."""
        return content_hash([sha256(path) for path in self.files])

    def served(self, device: str, threads: int) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]:
        """Return what the file states, and a function from images to scores."""
        content, session = self.content, OnnxSession(self.path, threads, self.output)
        content = content if len(session.heads) == 1 else content_hash([content, session.output])
        facts = {"content": content, "framing": session.taken.framing, "outputs": session.names, "heads": session.heads,
                 "integer": session.integer}  # fmt: skip
        return facts, lambda images: session.answers(images, device)


def output_names(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of outputs in the metadata of a file: a list, a mapping from numbers, or text of either.

    Returns:
        The names; empty where the metadata has none, such as a number of classes.
    """
    return next((names for key in _NAMES if (names := _as_names(metadata.get(key)))), ())


MOST_LETTERS = 1 << 20
"""Letters that a text of names may have; to parse one takes several hundred times its size."""


def _as_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if len(value) <= MOST_LETTERS else ()
        except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
            value = value.split(",") if "," in value else ()
    if isinstance(value, Mapping):
        numbered = {str(key): name for key, name in cast("Mapping[Any, Any]", value).items()}
        numbers = [str(at) for at in range(len(numbered))]
        value = [numbered[at] for at in numbers] if all(at in numbered for at in numbers) else ()
    return tuple(str(name).strip() for name in cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else ()


def head_of(heads: Sequence[str], requested: str, name: str) -> str:
    """Return which of several tensors that a model returns has the scores: the one asked for, or named like them.

    Args:
        heads: Their names.
        requested: The name that the user gives, if it is one of them; what follows a colon is a column.
        name: Name of the model.

    Raises:
        WeightsError: There is none.
        SpecError: It is not clear which one.
    """
    if not heads:
        raise WeightsError(f"{name}: no output of scores")
    alike = [head for head in heads if head == requested.partition(":")[0]]
    alike = alike or [head for head in heads if len(heads) == 1 or re.search("logit|score|prob", head.lower())]
    if len(alike) != 1:
        raise SpecError(
            f"{name} has the outputs {', '.join(map(shorten, heads))}: name the one with the scores, such as "
            f"{key_text('--output')} "
            f"{shorten(heads[0])}"
        )
    return alike[0]


def require_rows(shape: Sequence[int], images: int) -> None:
    """Check that a model gives a row of scores for each image. Raises SpecError."""
    if not shape or shape[0] != images:
        raise SpecError(
            f"the model gives scores of the shape {list(shape)} for {images} images; expected {images} rows, one for "
            "each image in their order"
        )


class OnnxSession:
    """A session of onnxruntime that maps images to scores.

    Args:
        path: The file.
        threads: Threads that an operator may use.
        output: Name of the output to return; what follows a colon is not read here.
    """

    def __init__(self, path: Path, threads: int, output: str = "") -> None:
        self.path, self._threads = path, threads
        self.session = self._opened(["CPUExecutionProvider"])
        inputs: list[Any] = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _TYPES:
            described = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in inputs)
            raise WeightsError(f"{path}: expected one input of images [b, c, h, w], not {shorten(described, 120)}")
        heads = [entry.name for entry in self.session.get_outputs() if "float" in entry.type or "double" in entry.type]
        self.output: str = head_of(heads, output, path.name)
        self.heads = (self.output, *(name for name in heads if name != self.output))
        self._on_gpu: dict[int, Any] = {}
        self.names = output_names(self.session.get_modelmeta().custom_metadata_map)
        self.input: Any = inputs[0]
        self.integer = issubclass(_TYPES[self.input.type], np.integer)
        fixed = [side if isinstance(side, int) and side > 0 else None for side in self.input.shape]
        self.channels_last = fixed[3] in (1, 3) and fixed[1] not in (1, 3)
        order = (3, 1, 2) if self.channels_last else (1, 2, 3)
        self.taken = FixedInput(path.name, fixed[0], (fixed[order[0]], fixed[order[1]], fixed[order[2]]))

    def answers(self, images: np.ndarray, device: str = "cpu") -> np.ndarray:
        """Return the output for the images, as float32, or float64 where it is so.

        Raises:
            SpecError: The images are of another size or have other channels, or onnxruntime cannot use the device.
        """
        session = self.on(device)
        return np.concatenate([self._run(part, session)[:count] for part, count in self.taken.parts(images)])

    def on(self, device: str) -> Any:
        """Return the session of a device.

        Raises:
            SpecError: It is a GPU, and this onnxruntime has no CUDA or cannot load it.
        """
        if device == "cpu":
            return self.session
        number = int(device.partition(":")[2] or 0)
        if number not in self._on_gpu:
            session = None
            if _CUDA in _onnxruntime().get_available_providers():
                session = self._opened([(_CUDA, {"device_id": number}), "CPUExecutionProvider"])
            if session is None or _CUDA not in session.get_providers():  # it goes on without one that it cannot load
                raise SpecError(
                    f"{self.path.name}: this onnxruntime has no CUDA that works; install onnxruntime-gpu in place of "
                    f"onnxruntime, or give {key_text('--device', 'cpu')}"
                )
            self._on_gpu[number] = session
        return self._on_gpu[number]

    def _opened(self, providers: Sequence[str | tuple[str, dict[Any, Any]]]) -> Any:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 4  # errors are raised, too
        onnxruntime.set_default_logger_severity(4)
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=providers)
        except Exception as error:
            raise WeightsError(f"{self.path}: onnxruntime cannot load it: {first_line(error)}") from error

    def _run(self, values: np.ndarray, session: Any) -> np.ndarray:
        if self.channels_last:
            values = values.transpose(0, 2, 3, 1)
        if self.integer:
            values = values.round().clip(0, 255)
        values = np.ascontiguousarray(values).astype(_TYPES[self.input.type])
        try:
            (output,) = session.run([self.output], {self.input.name: values})
        except Exception as error:
            raise SpecError(f"{self.path.name} failed on images {list(values.shape)}: {first_line(error)}") from error
        scores = np.asarray(output)
        require_rows(scores.shape, len(values))
        return scores if scores.dtype == np.float64 else scores.astype(np.float32)


def _onnxruntime() -> Any:
    """Return the library, whose types are partly unknown. Raises ExtraError where it is not installed."""
    with extra("onnx"):
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    return onnxruntime


MOST_PARTS = 1_000_000
"""Operators and tensors of a graph: one of two bytes takes hundreds, and a large network has thousands."""


def _tensor_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold tensors of a graph.

    Raises:
        ExtraError: onnx is not installed.
        WeightsError: The file is missing or damaged, names a file outside its folder, or has foreign operators.
    """
    with extra("onnx"):
        import onnx
    if not path.is_file():
        raise WeightsError(no_file(path))
    try:
        require_stored(path)
        with memory_limited(memory_limit([path], MEMORY)):
            model: Any = onnx.load(str(path), load_external_data=False)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:
        raise WeightsError(f"{path} is damaged, or no ONNX file: {first_line(error)}") from error
    functions = {function.domain for function in islice(model.functions, MOST_PARTS)}
    folder, files = path.parent.resolve(), dict[Path, None]()
    for count, part in enumerate(chain.from_iterable(map(_graph_parts, chain([model.graph], model.functions)))):
        if count > MOST_PARTS:
            raise WeightsError(f"{path.name} has over {MOST_PARTS:,} operators and tensors, more than a network has")
        if isinstance(part, onnx.NodeProto):
            if part.domain not in (*_DOMAINS, *functions):
                raise WeightsError(
                    f"{path.name} needs the operator '{shorten(part.op_type)}' of '{shorten(part.domain)}', which is a "
                    "library of its own and could run any code; export the model with standard operators"
                )
        elif isinstance(part, onnx.TensorProto) and part.data_location == _EXTERNAL:
            places = [entry.value for entry in part.external_data if entry.key == "location"]
            files |= {_file_inside(folder, path, place): None for place in places or [""]}
    return tuple(files)


def _file_inside(folder: Path, path: Path, location: str) -> Path:
    """Return the file of a tensor, which must be in the folder of the graph, links resolved."""
    file = (folder / location).resolve()
    if not location or not file.is_relative_to(folder):
        raise WeightsError(
            f"{path.name} keeps tensors in '{shorten(location)}', which is outside its folder; put that file beside it"
        )
    if not file.is_file():
        raise WeightsError(f"{path.name} keeps tensors in '{shorten(location)}', which is missing; copy it to {folder}")
    return file


def _graph_parts(graph: Any) -> Iterator[Any]:
    """Yield a graph or function, and its nodes and tensors, of subgraphs too, one at a time: a file may have millions.

    Tensors of a function are the defaults of its attributes.
    """
    yield graph
    yield from getattr(graph, "initializer", ())
    yield from _dense(getattr(graph, "sparse_initializer", ()))
    yield from _parts_of_attributes(getattr(graph, "attribute_proto", ()))
    for node in graph.node:
        yield node
        yield from _parts_of_attributes(node.attribute)


def _parts_of_attributes(attributes: Any) -> Iterator[Any]:
    """Yield the tensors and the parts of the subgraphs of attributes."""
    for attribute in attributes:
        yield from chain([attribute.t], attribute.tensors)
        yield from _dense(chain([attribute.sparse_tensor], attribute.sparse_tensors))
        for inner in chain([attribute.g], attribute.graphs):
            yield from _graph_parts(inner)


def _dense(sparse: Any) -> Iterator[Any]:
    """Yield the values and positions of sparse tensors, each a tensor of its own."""
    for sparse_tensor in sparse:
        yield from (sparse_tensor.values, sparse_tensor.indices)
