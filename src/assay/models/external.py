"""Models that do not run in torch: ONNX files, and commands that read images and write scores."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from assay.core.errors import DataError, SpecError, key_text, shorten
from assay.core.files import content_hash, is_file, no_file, sha256
from assay.data.files.joins import match, such
from assay.data.files.table import LINKED_OUT, is_contained, number, read_table, require_whole, shown
from assay.models.confined import MEMORY
from assay.models.onnx_session import OnnxFile, OnnxSession
from assay.models.process import LIMIT, LOOK, ModelFile, session_memory
from assay.models.ref import ModelFacts, Origin

# ONNX files, see `onnx_session`.


@dataclass(frozen=True)
class OnnxModel(ModelFile):
    """A network in an ONNX file, run by onnxruntime. Tensors may be in other files of its folder.

    Attributes:
        output: See `OnnxSession`.
    """

    output: str = field(default="", kw_only=True)
    kind = "ONNX file"
    complete = True
    opaque = "an ONNX file"

    @property
    def sent(self) -> OnnxFile:
        """The file without torch."""
        return OnnxFile(self.path, self.memory, self.output)

    def _content(self) -> str:
        heads = cast(OnnxNetwork, self.loaded).session.heads
        return self.sent.content if len(heads) == 1 else content_hash([self.sent.content, heads[0]])

    def _load(self) -> OnnxNetwork:
        _ = self.sent.files  # refused where they lead out of the folder
        return OnnxNetwork(self.path, self.output)

    def _facts(self) -> ModelFacts:
        session = cast(OnnxNetwork, self.loaded).session
        return ModelFacts(session.taken.framing, session.names, heads=session.heads, integer=session.integer)


class OnnxNetwork(nn.Module):
    """A session of onnxruntime as a module that maps images to scores. It has no layers and no gradients.

    Args:
        path: The file.
        output: See `OnnxSession`.
    """

    def __init__(self, path: Path, output: str = "") -> None:
        super().__init__()
        self.session = OnnxSession(path, torch.get_num_threads(), output)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Tensor:
        """Return the output for the images, computed on their device. Raises as `OnnxSession.answers`."""
        output = self.session.answers(images.detach().float().cpu().numpy(), str(images.device))
        return torch.as_tensor(output).to(images.device)


# Commands: a folder of pictures in, a CSV of scores or a folder of masks out.

AT_ONCE = 512
"""Images of one call: each starts the user's program anew."""


@dataclass(frozen=True)
class CommandModel(Origin):
    """A command line of the user's, such as `python predict.py {images} {scores}`.

    It is called with a folder of PNG files and the path of a CSV to write: one row per file, with its name in the
    column `image` and one column per score. With `{masks}` in place of `{scores}` it gets a folder to write masks to,
    see `read_lesion_map`. No shell reads it. Its hash is of the words and of the files that they name.

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
        return CommandNetwork(self.command, self.limit, self.memory, self._names)

    @property
    def facts(self) -> ModelFacts:
        """The columns of the scores, once it was called."""
        return ModelFacts(outputs=tuple(self._names))

    @cached_property
    def _names(self) -> list[str]:
        return []

    def _content(self) -> str:
        words = shlex.split(self.command)
        return content_hash([self.command, [sha256(Path(word)) for word in words if Path(word).is_file()]])


class CommandNetwork(nn.Module):
    """A command as a module. It has no layers, and nothing can be differentiated through it.

    Args:
        command: See `CommandModel`.
        limit: See `CommandModel`.
        memory: See `CommandModel`.
        names: The columns of the scores, which the first call sets.

    Raises:
        SpecError: The command lacks `{images}`, or does not have one of `{scores}` and `{masks}`.
    """

    def __init__(
        self, command: str, limit: float = LIMIT, memory: float = MEMORY, names: list[str] | None = None
    ) -> None:
        super().__init__()
        self.limit, self.memory, self.names = limit, memory, [] if names is None else names
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise SpecError(f"command '{shorten(command)}' cannot be read: {error}") from error
        images, scores, masks = (
            any(f"{{{name}}}" in word for word in self.words) for name in ("images", SCORES, MASKS)
        )
        self.masks = masks
        if not images or scores == masks:
            raise SpecError(
                f"command '{shorten(command)}': expected {{images}}, and one of {{scores}} and {{masks}}, such as "
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
                    values, names, _ = read_scores(scores, files)
                except DataError as error:
                    raise SpecError(f"of the command: {error}") from error
                self.names[:] = self.names or names
                if sorted(names) != sorted(self.names):
                    raise SpecError(f"of the command: columns {', '.join(names)}, and before {', '.join(self.names)}")
                return torch.as_tensor(values[:, [names.index(column) for column in self.names]])
            masks = {file: mask_of(folder / MASKS, file) for file in files}
            missing = [file for file, mask in masks.items() if mask is None]
            if missing:
                raise SpecError(
                    f"the command wrote no mask of {len(missing)} of {len(files)} images, such as {missing[0]}"
                )
            sides = (images.shape[2], images.shape[3])
            return torch.stack([read_lesion_map(mask, sides) for mask in masks.values() if mask is not None])

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
                raise SpecError(f"command '{shorten(self.words[0])}' cannot be run: {error.strerror}") from error
            code, ends = None, time.monotonic() + seconds
            try:
                while code is None:
                    with suppress(subprocess.TimeoutExpired):
                        code = process.wait(LOOK)
                    if code is None and time.monotonic() > ends:
                        raise SpecError(
                            f"the command took more than {seconds:.0f} s for {count} images; give "
                            f"{key_text('--time-limit')} for more"
                        )
                    if code is None and session_memory(process.pid) > self.memory * 1e9:
                        raise SpecError(
                            f"the command took more than {self.memory:g} GB; give {key_text('--memory')} for more"
                        )
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # it and all that it started
                process.wait()
            log.seek(0)
            last = next(reversed(log.read().decode(errors="replace").strip().splitlines()), "")
        if code:
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise SpecError(f"the command ended with {ended}{': ' + shorten(last, 200) if last else ''}")


def starts_program(network: nn.Module) -> bool:
    """Return whether a network, or one in it, starts a program for each batch, which large batches spare."""
    return any(isinstance(module, CommandNetwork) for module in network.modules())


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
_MOST_LABELS = 32
_BLURRED = 0.1
"""A picture of more gray values, with a greater share of pixels between the ends, is a heat map; an edge is thinner."""


def mask_of(folder: Path, picture: str) -> Path | None:
    """Return the mask of a picture: a file of its name, with or without `_0000`; None where there is none.

    Raises:
        SpecError: There are several, or it is a link out of the folder.
    """
    stem = Path(picture).stem
    stems = dict.fromkeys((stem.removesuffix(FIRST_CHANNEL), stem))
    names = [
        name for candidate in stems for name in (f"{candidate}.png", f"{candidate}.npy") if (folder / name).is_file()
    ]
    if len(names) > 1:
        raise SpecError(f"{folder} has {len(names)} masks of one image: {', '.join(names)}")
    if names and not is_contained(folder, f"{folder}/{names[0]}"):
        raise SpecError(f"{folder.name}/{names[0]}: {LINKED_OUT}; copy the file there")
    return folder / names[0] if names else None


def read_lesion_map(path: Path, sides: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """Return the log-odds of a lesion in each pixel.

    Args:
        path: A PNG of labels, of which 0 is background, or a `.npy` of probabilities of a lesion [h, w].
        sides: Height and width of the image.

    Raises:
        SpecError: The file cannot be read, is of another size, or holds neither labels nor probabilities.
    """
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False).astype(np.float64)
        else:
            with Image.open(path, formats=("PNG",)) as picture:
                values = np.asarray(picture if picture.mode in ("1", "L", "P", "I", "I;16") else picture.convert("L"))
    except (OSError, ValueError) as error:
        raise SpecError(f"the mask {path.name} cannot be read: {shorten(str(error), 120)}") from error
    if values.shape != sides:
        raise SpecError(f"the mask {path.name} has the shape {list(values.shape)}, and its image {list(sides)}")
    if path.suffix != ".npy":
        levels = np.unique(values)
        between = float(((values > levels[0]) & (values < levels[-1])).mean())
        if len(levels) > _MOST_LABELS and between > _BLURRED:
            raise SpecError(
                f"the mask {path.name} has {len(levels)} gray values, as a heat map has: write labels, 0 for "
                "background, or a .npy of the probability of a lesion"
            )
        return torch.as_tensor(np.where(values > 0, _CERTAIN, -_CERTAIN).astype(np.float32))[None]
    if not (values >= 0).all() or not (values <= 1).all():
        raise SpecError(f"the mask {path.name} has values outside 0 to 1: write the probability of a lesion")
    return torch.as_tensor(values).logit(eps=1e-9).float()[None]


def read_scores(path: Path, files: Sequence[str]) -> tuple[Float[np.ndarray, "n k"], list[str], int]:
    """Return the scores of pictures in a CSV with the column `image` and one column per score.

    Args:
        path: The table. Its names are those of the pictures, with or without folders and endings.
        files: Names of pictures.

    Returns:
        A row per picture in this order, the names of the columns, and the number of rows of other pictures, which are
        not read.

    Raises:
        DataError: The file cannot be read, lacks a picture or has it twice, or a score is not a number.
    """
    if not is_file(path):
        raise DataError(no_file(path))
    read = read_table(path, "image")
    require_whole(read)
    if "image" not in read.header or not (
        columns := [column for column in read.header if column and column != "image"]
    ):
        raise DataError(f"{path.name} needs a column `image` and one column per score")
    names = read.column("image", "scores")
    twice = len(names) - len(set(names))
    if twice:
        name = next(name for name, times in Counter(names).items() if times > 1)
        raise DataError(f"{path.name} has {twice:,} rows of images that it has already, such as {shorten(name)}")
    matched = match(files, names)
    if missing := matched.left_over:
        others = such(shown(names[at]) for at in matched.right_over)
        more = "".join(f"; {sentence}{others}" for sentence in matched.strays("rows", "image"))
        raise DataError(
            f"{path.name} has no row for {len(missing):,} of {len(files):,} images, such as {files[missing[0]]}{more}; "
            "the column `image` holds their names"
        )
    cells = ([number(cell, read.comma) for cell in read.column(column, "scores")] for column in columns)
    values = np.array(list(cells), dtype=np.float64).T[list(matched.pairs.values())]
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        raise DataError(
            f"{path.name}: {len(wrong):,} images have a score that is not a number, such as {files[wrong[0]]}"
        )
    return values, columns, len(matched.right_over)
