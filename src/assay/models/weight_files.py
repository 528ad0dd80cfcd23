"""Read, download, find and export weights files."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import pickletools
import re
import socket
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import torch
from huggingface_hub.file_download import http_get  # pyright: ignore[reportUnknownVariableType]
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from assay.core.errors import StoreError, WeightsError, first_line, shorten
from assay.core.files import (
    assets_folder,
    cache_folder,
    default_cache_root,
    file_hash,
    file_lock,
    nearest_file,
    require_stored,
    stored_size,
    write_bytes,
)
from assay.data.cache import NO_ROOM_REMEDY, writing
from assay.models.confined import FULL, memory_limited
from assay.models.untyped import safetensors_of

# How keys, shapes and causes are put into a short sentence.

_LISTED = 8


def some(keys: Sequence[str]) -> str:
    """Return the first few of many names, and how many more there are."""
    rest = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(map(shorten, keys[:_LISTED])) + rest


def shape(value: Tensor) -> str:
    """Return a shape as 64x3x7x7."""
    return "x".join(map(str, value.shape)) or "a number"


# Tensors from files, whichever library wrote them. A pickle that could run code is never opened as one.

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
_PICKLES = (b"PK", b"\x80")
"""How a file of `torch.save` begins: an archive, or, before 2020, a pickle."""
_NAMED = ("Unsupported global", "unsupported GLOBAL", "unrecognized function", "Can only create", "Can only build")
"""Errors of torch for a pickle that names something which could be run."""


# Models of other libraries, which are recognized by their ending. None is opened.

_OF_KERAS = "with model.export('model.onnx', format='onnx') of Keras 3"
_OF_TORCH = "with torch.onnx.export of the network that it was made from"
_ITS_ONNX = "it is built from one"
_OTHER_FORMATS: Mapping[str, tuple[str, str]] = {
    ".keras": ("Keras", _OF_KERAS),
    ".h5": ("Keras", _OF_KERAS),
    ".hdf5": ("Keras", _OF_KERAS),
    ".tflite": ("TensorFlow Lite", "with python -m tf2onnx.convert --tflite {} --output model.onnx"),
    ".pb": ("TensorFlow", "with python -m tf2onnx.convert --saved-model {} --output model.onnx"),
    ".mlmodel": ("Core ML", _OF_TORCH),
    ".mlpackage": ("Core ML", _OF_TORCH),
    ".pte": ("ExecuTorch", _OF_TORCH),
    ".engine": ("TensorRT", _ITS_ONNX),
    ".plan": ("TensorRT", _ITS_ONNX),
    ".trt": ("TensorRT", _ITS_ONNX),
    ".xml": ("OpenVINO", "or the network that it was converted from"),
    ".pdmodel": ("PaddlePaddle", "with paddle2onnx"),
}
"""Ending -> the library that writes such models, and how its networks become ONNX files."""
_SAVED_MODEL = "saved_model.pb"
"""The file in a folder that TensorFlow wrote."""


def refuse_other_format(path: Path) -> None:
    """Raise WeightsError for a model of another library, with the library and the remedy.

    Args:
        path: A file or folder, of which neither need exist.
    """
    is_folder = (path / _SAVED_MODEL).is_file()
    library, way = _OTHER_FORMATS.get(".pb" if is_folder else path.suffix.lower(), ("", ""))
    if library:
        name = path.parent.name if path.name == _SAVED_MODEL else path.name
        raise WeightsError(
            f"{path.name} is a model of {library}, which Assay does not read: give an .onnx file ({way.format(name)})"
        )


_HEAD = 2**16
"""Bytes of a pickle in which the library of a model is named: its class comes first."""
_JOBLIB = ".joblib"
"""Ending of what joblib writes, which packs a pickle in several ways."""


def _refuse_scikit_learn(path: Path) -> None:
    """Raise WeightsError for a model of scikit-learn. Names in its pickle are read; nothing in it is built or run."""
    is_named = any(name.startswith("sklearn.") for name in _names_in(path))
    if is_named or path.suffix.lower() == _JOBLIB:
        kind = "a model of scikit-learn" if is_named else "a file of joblib, as scikit-learn writes"
        raise WeightsError(
            f"{path.name} is {kind}, in a pickle that could run code: it is not opened. Save the model's scores as a "
            "CSV with the columns image, target and score, and give that"
        )


def _names_in(path: Path) -> Iterator[str]:
    """Yield the names and texts at the beginning of a pickle, which joblib may have packed; none of other files."""
    with path.open("rb") as file:
        start = file.read(_HEAD)
    if start[:1] == b"x" or start[:2] == b"\x1f\x8b":  # zlib and gzip
        try:
            start = zlib.decompressobj(47).decompress(start, _HEAD)
        except zlib.error:
            return
    try:
        for _, value, _ in pickletools.genops(start):
            if isinstance(value, str):
                yield value
    except (ValueError, IndexError, OverflowError, MemoryError):  # no pickle, or one that goes on
        return


@dataclass(frozen=True)
class WeightsFile:
    """Tensors by key, floating ones as float32, and the file's own metadata (empty but for safetensors).

    Attributes:
        ignored: Entries of the file other than weights, not read, such as an optimizer's state.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    ignored: tuple[str, ...] = ()


def read_weights(path: Path, sha256: str = "") -> WeightsFile:
    """Tensors of a safetensors file, or of a PyTorch file that holds tensors and plain containers alone.

    The format is recognized by its first bytes. A checkpoint that nests its weights under `state_dict`,
    `model_state_dict`, `model`, `network` or `net` is unwrapped.

    Raises:
        WeightsError: A missing file, another checksum, truncated or unreadable content, a pickle with code in it.

    Examples:
        >>> from safetensors.torch import save_file
        >>> save_file({"weight": torch.ones(2)}, "weights.safetensors")
        >>> read_weights(Path("weights.safetensors")).tensors["weight"].tolist()
        [1.0, 1.0]
    """
    if not path.is_file():
        near = nearest_file(path)
        hint = f"did you mean '{path.parent / near}'?" if near else "give the path of a .safetensors, .pt or .pth file"
        raise WeightsError(f"weights file '{path}' does not exist; {hint}")
    require_stored(path)
    if sha256 and file_hash(path) != sha256:
        raise WeightsError(
            f"weights file '{path}' has SHA-256 {file_hash(path)}, expected {sha256}: it is another file"
        )
    with path.open("rb") as file:
        start = file.read(16)
    if path.suffix == ".safetensors":
        read = _read_safetensors(path)
    elif start.startswith(b"\x89HDF"):
        raise WeightsError(
            f"weights file '{path}' is one of HDF5, as Keras writes: give the network's weights as .safetensors or .pt"
        )
    else:
        read = _read_pickle(path, start)
    _refuse_unusable(path, read.tensors)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in read.tensors.items()}
    return WeightsFile(path, tensors, read.metadata, read.ignored)


def _read_safetensors(path: Path) -> WeightsFile:
    try:
        return WeightsFile(path, *safetensors_of(path))
    except SafetensorError as error:
        raise WeightsError(f"weights file '{path}' is truncated or not a safetensors file: {error}") from error


def _read_pickle(path: Path, start: bytes) -> WeightsFile:
    _refuse_scikit_learn(path)
    if start[8:9] == b"{":
        raise WeightsError(f"weights file '{path}' is a safetensors file by its content: name it .safetensors")
    if start and not start.startswith(_PICKLES):
        raise WeightsError(
            f"weights file '{path}' begins with {start!r}, as no file of PyTorch does: it may be a page that was "
            "downloaded in its place; fetch it again"
        )
    _refuse_unpacking(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of a damaged file; we report it ourselves
            content = load_tensors(path)
    except Exception as error:  # the reader raises almost anything on a damaged file
        if FULL.search(repr(error)):
            raise WeightsError(
                f"weights file '{path}' has {path.stat().st_size / 1e6:.1f} MB and asks for far more memory: refused; "
                "save the network's state_dict as .safetensors and give that"
            ) from None
        if _holds_more(error):
            raise WeightsError(
                f"weights file '{path}' is a pickle that holds more than tensors and could run code: refused. Save its "
                "state_dict as .safetensors and give that"
            ) from error
        raise WeightsError(
            f"weights file '{path}' is truncated or not a weights file: nothing in it was run; fetch it again, or save "
            "the network's state_dict as .safetensors and give that"
        ) from error
    others: list[str] = []
    while isinstance(content, dict):
        holds = cast("dict[Any, Any]", content)
        name = next((name for name in _WRAPPERS if isinstance(holds.get(name), dict)), None)
        if name is None:
            break
        others += [str(key) for key in holds if key != name]
        content = holds[name]
    if not isinstance(content, dict):
        raise WeightsError(f"weights file '{path}' holds a {type(content).__name__}, expected tensors by name")
    tensors = cast("dict[Any, Any]", content)
    strange = [str(key) for key, value in tensors.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if strange:
        raise WeightsError(f"weights file '{path}' holds entries that are no tensors: {some(strange)}")
    weights = cast(dict[str, Tensor], tensors)
    if packed := [key for key, value in weights.items() if value.layout != torch.strided or value.is_quantized]:
        raise WeightsError(
            f"weights file '{path}' holds {len(packed)} sparse or quantized tensors: {some(packed)}; save plain ones"
        )
    _refuse_size(path, sum(value.nbytes for value in weights.values() if not value.is_meta))
    return WeightsFile(path, weights, ignored=tuple(others))


_MOST_UNPACKED = 8
"""Times its size that a file may hold: PyTorch packs nothing, and tensors may share what they hold."""


def _refuse_unpacking(path: Path) -> None:
    """Refuse a file whose list of contents states far more than the file has, before anything is unpacked."""
    _refuse_size(path, sum(entry.file_size for entry in archive_entries(path)))


def archive_entries(path: Path) -> list[zipfile.ZipInfo]:
    """Return what a file lists as an archive: nothing where it is none, or a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return []


def _refuse_size(path: Path, size: int) -> None:
    if size > _MOST_UNPACKED * stored_size(path) + 2**20:
        raise WeightsError(
            f"weights file '{path}' has {path.stat().st_size / 1e6:.1f} MB and would take {size / 1e6:,.0f} MB: "
            "refused, since PyTorch packs no weights; save the network's state_dict as .safetensors and give that"
        )


def load_tensors(path: Path, start: int = 0) -> Any:
    """Return what `torch.save` wrote from a byte of a file on: tensors, numbers, texts and plain containers.

    Names are read before anything is built: torch lets `bytearray` pass, by which a few bytes take any memory. Others
    copy what they are given, as often as the file likes: what is built may take a multiple of the file and no more.

    Raises:
        UnpicklingError: It names anything else. PyTorch raises almost anything on a damaged file.
        MemoryError: It asks for far more memory than its size; PyTorch's own error says it in other words.
    """
    with path.open("rb") as file, memory_limited(_MOST_UNPACKED * stored_size(path) + _ROOM):
        file.seek(start)
        content = io.BytesIO(file.read()) if start else file
        for pickled in _pickles(content):
            for operation, name, _ in pickletools.genops(pickled):
                if operation.name == "GLOBAL" and name not in _PLAIN and not str(name).startswith("torch"):
                    raise pickle.UnpicklingError(f"Unsupported global: {name}")
        content.seek(0)
        return torch.load(content, map_location="cpu", weights_only=True)


_ROOM = 2**30
"""Bytes that reading a file may take beyond its contents, such as for what PyTorch loads of its own."""


_PLAIN = {f"{module} set" for module in ("builtins", "__builtin__")} | {
    "collections OrderedDict",
    "collections Counter",
    "_codecs encode",
}
"""Names outside of PyTorch that build plain containers; of its own, PyTorch knows the harmless ones."""
_OLD_PICKLES = 5
"""Pickles at the beginning of a file of `torch.save` from before 2020."""


def _pickles(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield each pickle of a file of `torch.save`, as PyTorch itself finds them."""
    archive = file.read(4) == b"PK\3\4"
    file.seek(0)
    if archive:
        yield io.BytesIO(torch._C.PyTorchFileReader(file).get_record("data.pkl"))  # pyright: ignore[reportPrivateUsage]
    else:
        yield from [file] * _OLD_PICKLES


def _holds_more(error: Exception) -> bool:
    """Return whether torch refused the contents of the file: functions, classes, or a program (TorchScript)."""
    if isinstance(error, pickle.UnpicklingError):
        return any(word in str(error) for word in _NAMED)
    return "TorchScript" in str(error)


def _refuse_unusable(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Tensors without content, of complex numbers, or with some that are not finite: never written by training."""
    for what, wrong in (
        ("without content", [key for key, value in tensors.items() if value.is_meta]),
        ("of complex numbers", [key for key, value in tensors.items() if value.is_complex()]),
        (
            "of over 64 dimensions or of packed numbers",
            [key for key, value in tensors.items() if not _is_unpacked(value)],
        ),
        ("with NaN or infinity", [key for key, value in tensors.items() if not _is_finite(value)]),
    ):
        if wrong:
            raise WeightsError(f"weights file '{path}' holds {len(wrong)} tensors {what}: {some(wrong)}; save it again")


def _is_unpacked(value: Tensor) -> bool:
    """Return whether PyTorch computes with the numbers of a tensor; those of four bits it only keeps."""
    if value.ndim > 64:  # it would be computed with for minutes
        return False
    try:
        if value.is_floating_point():
            torch.empty(1, dtype=value.dtype).isfinite()  # of one number: all are looked at once, by `_is_finite`
    except NotImplementedError:
        return False
    return True


def _is_finite(value: Tensor) -> bool:
    return value.is_meta or not (value.is_floating_point() and _is_unpacked(value)) or bool(value.isfinite().all())


# Files from public addresses: downloaded once by the hub's client, which resumes, retries and bounds a stall.
#
# pooch does neither resume nor bound a stall, torch.hub does not resume.

CONNECTING = 1.5
"""Seconds to wait for a connection before a host counts as unreachable."""
_AS_THEY_ARE = "%:/?#[]@!$&'()*+,;="
"""Marks of an address that are sent as they are; other letters, as in a folder's name, are encoded."""


def weights_cache() -> Path:
    """Return the folder of downloaded weights, within the cache that runs share (`ASSAY_CACHE`)."""
    return cache_folder(default_cache_root(), "weights")


def cached_path(url: str, sha256: str, folder: Path) -> Path:
    """Where the file of an address and a checksum is kept, or can be put by hand."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(Path(urlsplit(url).path).name)) or "weights"
    return folder / f"{sha256[:12]}-{name}"


def fetch(url: str, sha256: str, folder: Path, *, size: int | None = None) -> Path:
    """Return the file of an address, from the folder or downloaded into it.

    A download that is cut is resumed, now or at the next call, if the server allows it; else it starts again. Of two
    processes that ask at once, the second waits for the first. `HF_HUB_DOWNLOAD_TIMEOUT` sets the seconds without a
    byte after which a request is repeated.

    Args:
        url: Address, http or https.
        sha256: Checksum of the file.
        folder: Folder of downloads.
        size: Bytes of the file, if known.

    Raises:
        WeightsError: No connection (within 2 seconds), a failed download, or another checksum (nothing is kept then).
            The message says where to put a file that was fetched by hand.
        StoreError: The disk is full.
    """
    path = cached_path(url, sha256, folder)
    with file_lock(path.with_name(f"{path.name}.lock"), remedy=NO_ROOM_REMEDY):
        present = file_hash(path) if path.is_file() else ""
        if present == sha256:
            return path
        part = path.with_name(f"{path.name}.part")
        if not (part.is_file() and size is not None and part.stat().st_size == size):
            _connect(url, sha256, path, present)
            download(url, part, size, _placement_advice(path, sha256))
        digest = file_hash(part)
        if digest != sha256:
            part.unlink()
            raise WeightsError(
                f"the file from {url} has SHA-256 {digest}, expected {sha256}: refused and removed. Either it is "
                "another file, such as a web page, or it was changed on the way"
            )
        part.replace(path)
    return path


def reachable(url: str, patience: float = CONNECTING) -> bool:
    """Return whether something accepts a connection where this address, or the proxy for it, is. Answers within
    `patience`.
    """
    address = urlsplit(url)
    proxy = "" if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme, "")
    if proxy:
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")  # `proxy:3128` is as good to urllib
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
    except ValueError:  # the proxy's, which the environment names
        return False
    done, answered = Event(), Event()

    def knock() -> None:
        try:
            socket.create_connection((address.hostname or "", port), timeout=patience).close()
            answered.set()
        except OSError:
            pass
        finally:
            done.set()

    # Looking up a name has no time limit of its own, so it is done aside and not waited for.
    Thread(target=knock, daemon=True).start()
    done.wait(patience)
    return answered.is_set()


def _connect(url: str, sha256: str, path: Path, present: str) -> None:
    """present: the SHA-256 of the file at the path if it differs; empty for none."""
    if not _is_address(url):
        raise WeightsError(
            f"'{url}' is no address to download from; expected https:// or http://, a host, and a number if it has a "
            "port"
        )
    if not reachable(url):
        raise WeightsError(
            f"cannot reach {urlsplit(url).netloc}. Fetch {url} manually on a machine that can, and "
            + _placement_advice(path, sha256)
            + (f". The file that lies there has SHA-256 {present}" if present else "")
        )


def _placement_advice(path: Path, sha256: str) -> str:
    """Advice for a file that was fetched by hand."""
    return f"put it at {path} (SHA-256 {sha256}); or give its path with initialization: {{file: {{path: ...}}}}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its port is not a number, or none that there is
        return False


_APPENDED = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
MOST_BYTES = 10**10
"""Bytes of a download whose size nobody states; a server may send them without end."""


def download(url: str, part: Path, size: int | None, advice: str) -> None:
    """Download into a part file, behind the bytes that it holds.

    Args:
        advice: Advice for a file fetched by hand.
    """
    here, most = 0, MOST_BYTES if size is None else size
    try:
        with writing(part), _BoundedWriter(_open_part(part), most) as file:
            here = os.fstat(file.fileno()).st_size
            plain = {"Accept-Encoding": "identity"}  # positions in the file are then positions in the response
            http_get(quote(url, _AS_THEY_ARE), file, resume_size=here, expected_size=size, headers=plain)
            os.fsync(file.fileno())
    except (StoreError, WeightsError):
        raise
    except Exception as error:  # of the HTTP library that the hub's client uses
        stored = part.stat().st_size
        if _beyond(error) or stored > most:  # the part on disk is of another file
            part.unlink()
            if here:
                return download(url, part, size, advice)
            stored = 0
        progress = f" {stored:,} bytes are kept, and the same command continues from there." if stored else ""
        raise WeightsError(
            f"download of {url} stopped: {first_line(error).rstrip('.')}.{progress} Or download it manually and "
            f"{advice}"
        ) from error


class _BoundedWriter(io.BufferedWriter):
    """A file that takes no more than its size, since a server may send bytes without end."""

    def __init__(self, file: io.FileIO, size: int) -> None:
        super().__init__(file)
        self.size = size

    def write(self, content: Any, /) -> int:
        """Write bytes. Raises ValueError behind the last one that the file has."""
        written = super().write(content)
        if self.tell() > self.size:
            reason = "no size is stated for the file" if self.size == MOST_BYTES else "the file has no more"
            raise ValueError(f"the server sends more than {self.size:,} bytes: {reason}")
        return written


def _open_part(part: Path) -> io.FileIO:
    """Open a part file to append to it.

    Raises:
        WeightsError: It is a link, as who may write to a cache can make it. The opened file says so: a name may become
            another file's at any time.
    """
    text = f"{part} is a link, and a download is not written behind one: remove it"
    try:
        descriptor = os.open(part, _APPENDED, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise WeightsError(text) from error
        raise
    if os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        raise WeightsError(text)
    return io.FileIO(descriptor, "ab")


def _beyond(error: Exception) -> bool:
    """Return whether the server has no bytes where the download was to go on."""
    return getattr(getattr(error, "response", None), "status_code", None) == 416


# The trunk of a start that Assay trained, as a weights file for anyone: safetensors under timm's names.

_INPUTS = {
    ((0.5,), (0.5,)): "x*2-1",
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)): ("(x - [0.485,0.456,0.406]) / [0.229,0.224,0.225]"),
}
"""(mean, sd) per channel -> entry of the file's metadata, which `initialization: file` understands."""


def export_trunk(weights: Path, path: Path, about: Mapping[str, str]) -> None:
    """Write the trunk of kept weights under the names that its tensors have in its architecture; no head.

    Args:
        weights: Output of `save_weights`.
        path: A .safetensors file, replaced if it is there.
        about: Further metadata. `input` (how images x in [0, 1] were scaled) is always written, and `bn_eps` where
            batch norms have another epsilon than 1e-5.

    Raises:
        WeightsError: For another ending, and where images were scaled, or batch norms built, as no file can say.
    """
    if path.suffix != ".safetensors":
        raise WeightsError(f"'{path}' is to hold safetensors: give a name that ends in .safetensors")
    file = read_weights(weights)
    trunk = {
        key.removeprefix("trunk."): value.contiguous()
        for key, value in file.tensors.items()
        if key.startswith("trunk.")
    }
    metadata = {**about, "input": _input(file.tensors, path)}
    epsilons: dict[str, float] = json.loads(file.metadata.get("batch_norm_eps", "{}"))
    norms = sum(key.endswith("running_mean") for key in trunk)
    if epsilons and (len(set(epsilons.values())) > 1 or len(epsilons) != norms):
        raise WeightsError(f"'{path}': batch norms have epsilons of several sizes, which no file can say")
    if epsilons:
        metadata["bn_eps"] = f"{next(iter(epsilons.values())):g}"
    write_bytes(path, save(trunk, metadata))


def _input(tensors: Mapping[str, Tensor], path: Path) -> str:
    mean, sd = (tensors[f"scaling.{name}"].flatten() for name in ("mean", "sd"))
    for (means, sds), scaling in _INPUTS.items():
        if _is_close(mean, means) and _is_close(sd, sds):
            return scaling
    constants = [", ".join(f"{float(value):.6g}" for value in values) for values in (mean, sd)]
    raise WeightsError(
        f"'{path}': images were scaled by mean {constants[0]} and deviation {constants[1]}, which no file can say"
    )


def _is_close(values: Tensor, wanted: Sequence[float]) -> bool:
    """One number represents all channels."""
    return len(wanted) in (1, len(values)) and torch.allclose(values, torch.tensor(wanted).expand(len(values)))


# Which weights this machine has, and how to get those that it lacks. Imports no torch.

RADIMAGENET = "github.com/BMEII-AI/RadImageNet"


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Weights that studies name, or that papers compare with.

    Attributes:
        file: Its usual name.
        content: Architecture and training data.
        obtain: How to get it.
    """

    file: str
    content: str
    obtain: str


_ASSETS = "put the file into the folder weights/ of ASSAY_ASSETS"
_BY_HAND = f"fetch it from the authors ({RADIMAGENET}) and name its path: initialization: {{file: {{path: ...}}}}"

KNOWN_WEIGHTS: tuple[KnownWeights, ...] = (
    KnownWeights("tf_efficientnet_lite0.imagenet.safetensors", "EfficientNet-Lite0, ImageNet", _ASSETS),
    KnownWeights("legacy_xception.imagenet.safetensors", "Xception, ImageNet", _ASSETS),
    KnownWeights("legacy_xception.dermoscopy-ft.safetensors", "Xception, ImageNet then dermoscopy", _ASSETS),
    KnownWeights("ResNet50.pt", "ResNet-50, RadImageNet", _BY_HAND),
    KnownWeights("RadImageNet-ResNet50_notop.pth", "ResNet-50, RadImageNet, ported from Keras", _BY_HAND),
    KnownWeights("DenseNet121.pt", "DenseNet-121, RadImageNet", _BY_HAND),
    KnownWeights("InceptionV3.pt", "Inception v3, RadImageNet", _BY_HAND),
)

_SUFFIXES = (".safetensors", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class LocalWeights:
    """files: weights files of the assets, then of the cache. missing: known ones that are in neither."""

    files: tuple[Path, ...]
    missing: tuple[KnownWeights, ...]


def weights_here(cache: Path) -> LocalWeights:
    """Return the weights files of this machine, in the assets' folder `weights` and in `cache`, the folder of
    downloads.

    A file in a sub-folder counts too, such as RadImageNet's own archive as it unpacks.
    """
    files = tuple(path for folder in (assets_folder() / "weights", cache) for path in _weights_under(folder))
    names = {path.name for path in files}
    return LocalWeights(files, tuple(candidate for candidate in KNOWN_WEIGHTS if candidate.file not in names))


def _weights_under(folder: Path) -> list[Path]:
    here = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return sorted(path for path in here if path.suffix in _SUFFIXES)
