"""A model in a process of its own: what crashes there, or never ends, ends no audit without a word."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.core import errors
from assay.core.errors import AssayError, SpecError, UnfitError, key_text, shorten, visible
from assay.models.confined import MEMORY, memory_limit
from assay.models.onnx_session import OnnxFile
from assay.models.ref import ModelFacts, Origin, channels_of, unwrap_scores
from assay.models.untyped import tensor_of

LIMIT = 60.0
"""Seconds that an image may take."""
_LOADING = 300.0
"""Seconds that a model may take to load."""
_LONGEST_HEAD = 2**24
"""Bytes of the facts of a model, or of the form of its scores."""
_LONGEST_TEXT = 2_000
"""Characters of an error or a note of a model that are shown."""
_STALL = 60
"""Seconds that a message may come to a halt, which only code does that writes messages of its own."""


@dataclass(frozen=True)
class ModelFile(Origin):
    """A file with a model.

    Attributes:
        path: The file, or a folder of files.
        limit: Seconds that an image may take in a process of its own; 0 where the model is read in this process.
        memory: GB that this process may take beyond the model's own size.
    """

    path: Path
    limit: float = 0.0
    memory: float = field(default=MEMORY, kw_only=True)

    @property
    def name(self) -> str:
        """Name of the file without its ending."""
        return self.path.stem

    @cached_property
    def content(self) -> str:
        """Hash of weights and code as far as they are known. Raises as `network` does."""
        return self._apart("").content if self.limit else self._content()

    @property
    def facts(self) -> ModelFacts:
        """What the file states of its images and outputs. Raises as `network` does."""
        return self._apart("").facts if self.limit else self._facts()

    def network(self, device: str) -> nn.Module:
        """Return the network.

        Raises:
            AssayError: A library is missing, or the file is missing, damaged, or refused.
        """
        return self._apart(device) if self.limit else self.loaded.to(device)

    @property
    def files(self) -> Sequence[Path]:
        """Files that loading it reads."""
        return [self.path] if self.path.is_file() else [path for path in self.path.rglob("*") if path.is_file()]

    @cached_property
    def loaded(self) -> nn.Module:
        """The network in this process, on the CPU."""
        return self._load()

    @property
    def sent(self) -> ModelFile | OnnxFile:
        """What its process gets and serves."""
        return replace(self, limit=0.0)

    def served(self, device: str, threads: int) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]:
        """Return what the file states, and a function from images to scores."""
        torch.set_num_threads(threads)
        network = self.network(device)
        facts_of_file, config = self.facts, getattr(network, "pretrained_cfg", None)
        facts = {"content": self.content, "framing": dict(facts_of_file.framing), "outputs": facts_of_file.outputs,
                 "notes": facts_of_file.notes, "channels": channels_of(network), "config": config}  # fmt: skip

        def answers(images: np.ndarray) -> np.ndarray:
            inputs = tensor_of(images)
            with torch.inference_mode():
                output = unwrap_scores(network, (inputs,), network(inputs.to(device)))
            if not isinstance(output, Tensor):
                raise SpecError(f"the model gave a {type(output).__name__}; expected scores [b] or [b, classes]")
            values = output.detach().cpu()
            return (values if values.dtype == torch.float64 else values.float()).contiguous().numpy()

        return facts, answers

    def _apart(self, device: str) -> ProcessNetwork:
        """Return the process on a device, or any that runs; a new one in place of one that ended."""
        running = self._processes
        for ended in [name for name, process in running.items() if not process.runs]:
            del running[ended]
        if device not in running and (device or not running):
            running[device or "cpu"] = ProcessNetwork(self.sent, device or "cpu", self.limit)
        return running[device or next(iter(running))]

    @cached_property
    def _processes(self) -> dict[str, ProcessNetwork]:
        return {}

    def _facts(self) -> ModelFacts:
        return ModelFacts()

    @abstractmethod
    def _load(self) -> nn.Module: ...


_PASSED = re.compile(
    "(PATH|HOME|LANG|LC_.*|TZ|LD_LIBRARY_PATH|PYTHON.*|XDG_.*|ASSAY_.*|HF_HOME|TORCH.*|PYTORCH.*|CUDA.*|NVIDIA.*|HIP_.*|"
    "ROCR_.*|OMP_.*|MKL_.*|KMP_.*|OPENBLAS_.*|NUMBA_.*|MALLOC_.*)$"
)
"""Variables that a confined process gets: not those that hold keys and tokens."""


class ProcessNetwork(nn.Module):
    """A model file that is read in a process of its own. It has no layers, and nothing can be differentiated.

    Args:
        origin: The file. It is sent to the process and loaded there alone.
        device: Device of the network.
        limit: Seconds that an image may take.

    Raises:
        AssayError: The file cannot be loaded, as in this process; or loading ends its process, or needs more memory.
    """

    def __init__(self, origin: ModelFile | OnnxFile, device: str, limit: float) -> None:
        super().__init__()
        self.name, self.limit = origin.path.name, limit
        self._most = memory_limit(origin.files, origin.memory)
        ours, theirs = socket.socketpair()
        scratch = tempfile.mkdtemp(prefix="assay-")
        threads = str(torch.get_num_threads())  # each has a stack, and an arena of memory unless these are few
        environment = {
            "TMPDIR": scratch,
            "NUMBA_CACHE_DIR": scratch,
            "OMP_NUM_THREADS": threads,
            "MALLOC_ARENA_MAX": "2",
            "HF_HUB_OFFLINE": "1",
        }
        variables = {name: value for name, value in os.environ.items() if _PASSED.match(name)}
        for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, way, struct.pack("ll", _STALL, 0))
        with ours, theirs:
            of_process = str(theirs.fileno()), scratch
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "assay.models.confined", *of_process],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**variables, **environment},
            )
            self._connection = Connection(os.dup(ours.fileno()))
        printing = threading.Thread(target=_print_words, args=(self.name, self._process.stderr), daemon=True)
        printing.start()
        self._finalize = weakref.finalize(self, _end, self._process, self._connection, scratch, printing)
        request = pickle.dumps((sys.path, origin, device, torch.get_num_threads(), limit))
        try:
            facts, _ = self._answer((request,), _LOADING, "while it was loaded")
        except RuntimeError as error:
            raise SpecError(f"{self.name} cannot be loaded: {error}") from error
        try:
            self.content = str(facts["content"])
            framing = {key: facts["framing"][key] for key in ("size", "channels") if key in facts["framing"]}  # no more
            self.facts = ModelFacts(
                framing,
                tuple(facts["outputs"]),
                tuple(shorten(str(note), _LONGEST_TEXT) for note in facts["notes"]),
                tuple(facts.get("heads") or ()),
                bool(facts.get("integer")),
            )
        except (KeyError, TypeError) as error:  # code that writes messages of its own
            self._finalize()
            raise SpecError(f"{self.name} cannot be loaded: its process did not describe it") from error
        self.channels: int | None = facts.get("channels")
        self.pretrained_cfg: Mapping[str, Any] | None = facts.get("config")

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the images.

        Raises:
            SpecError: The process ended, or an image took longer than the limit.
            RuntimeError: The network cannot take these images.
        """
        values = np.ascontiguousarray(images.detach().float().cpu().numpy())
        where = f"on {len(values):,} image{'s' * (len(values) > 1)} of {list(values.shape[1:])}"
        parts = json.dumps(values.shape).encode(), values.tobytes()
        head, content = self._answer(parts, self.limit * len(values), where)
        try:
            scores = np.frombuffer(content, dtype=head["dtype"]).reshape(head["shape"])
        except (KeyError, TypeError, ValueError) as error:
            raise SpecError(f"{self.name} gave no scores {where}") from error
        return tensor_of(scores.copy()).to(images.device)

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def _answer(self, parts: Sequence[bytes], seconds: float, where: str) -> tuple[dict[str, Any], bytes]:
        """Send a request and return its answer. Raises the errors of `forward`."""
        try:
            for part in parts:
                self._connection.send_bytes(part)
            ends = time.monotonic() + seconds
            while not self._connection.poll(min(seconds, LOOK)):
                if time.monotonic() > ends:
                    self._finalize()
                    raise SpecError(
                        f"{self.name} took more than {seconds:.0f} s {where}; give {key_text('--time-limit')} "
                        f"for more per image, or "
                        f"a smaller {key_text('--size')}"
                    )
                if session_memory(self._process.pid) > self._most:  # on a GPU nothing else limits it
                    self._finalize()
                    raise SpecError(
                        f"{self.name} took more than {self._most / 1e9:.1f} GB {where}; give "
                        f"{key_text('--memory')} for more"
                    )
            head: dict[str, Any] = dict(json.loads(self._connection.recv_bytes(_LONGEST_HEAD)))
            content = self._connection.recv_bytes(self._most)
        except (EOFError, OSError, TypeError, ValueError, MemoryError) as error:
            is_closed = isinstance(error, EOFError | ConnectionError)  # else it goes on, and sends no message of ours
            try:
                code = self._process.wait(timeout=10 if is_closed else 0)
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
            self._finalize()
            ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise SpecError(
                f"{self.name} ended its process ({ended}) {where}; check that it answers one image in a script of its "
                f"own, or give that script with {key_text('--command')}"
            ) from error
        if "error" in head:
            kind = getattr(errors, str(head["error"]), None)
            text = shorten(str(head.get("text")), _LONGEST_TEXT)  # on one line: the model's code may have written it
            if isinstance(kind, type) and issubclass(kind, AssayError) and not issubclass(kind, UnfitError):
                raise kind(text)
            raise RuntimeError(text)
        return head, content


LOOK = 0.2
"""Seconds between two looks at the memory of a program."""


def session_memory(session: int) -> int:
    """Return the bytes that all processes of a session hold together; 0 where the system does not say.

    Memory that they share is counted once, libraries are not. Not what they could write to, of which CUDA reserves more
    than it takes.
    """
    size = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(folder.name)) == session:
                parts = _PARTS_OF_MEMORY.findall((folder / "smaps_rollup").read_text())
                size += 1024 * sum(map(int, parts))
    return size


_PARTS_OF_MEMORY = re.compile(r"Pss_(?:Anon|Shmem): *(\d+)")


def _print_words(name: str, output: IO[bytes]) -> None:
    """Print what a model prints: under its name, and without the control characters that a terminal obeys."""
    left = _MOST_PRINTED
    with io.TextIOWrapper(output, encoding="utf-8", errors="replace") as lines:
        for line in iter(lambda: lines.readline(_LONGEST_LINE), ""):
            last = left <= len(line)
            if left > 0 and (line.strip() or last) and sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
                more = f"prints over {_MOST_PRINTED:,} characters: the rest is not shown"
                print(name, more if last else f"prints: {visible(line.rstrip())}", file=sys.stderr, flush=True)
            left -= len(line)


_LONGEST_LINE, _MOST_PRINTED = 1_000, 100_000
"""Characters of a line, and of all lines, that a model may print; the rest is read and left out."""


def _end(process: subprocess.Popen[bytes], connection: Connection, scratch: str, printing: threading.Thread) -> None:
    """End a process with all that it started, and remove its folder."""
    connection.close()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    printing.join(timeout=1)  # a process that it left may hold its standard error open
    shutil.rmtree(scratch, ignore_errors=True)
