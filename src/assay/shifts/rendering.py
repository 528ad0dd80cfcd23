"""A phantom's images, rendered at first reading, kept in the cache and shared by all who ask for the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from assay.core.component import Component
from assay.core.hashing import content_hash
from assay.core.registry import build
from assay.data.cache import ArrayCache, ArrayImages, ArrayMasks
from assay.data.dataset import ONE_KIND, Phantom, Rendered, TellsKinds

_GLANCED = 0.1
"""Up to such a share of its rows a set that is not in the cache is read from without drawing all of it."""
_PIXELS = 2**22  # pixels of a call: a phantom divides them further as suits it, this bounds the memory


@dataclass(frozen=True)
class Renderer:
    """A phantom at one image size on one device, with the cache that keeps what it rendered."""

    component: Component
    size: int
    cache: ArrayCache
    device: str = "cpu"

    @cached_property
    def phantom(self) -> Phantom:
        """The generator itself."""
        return build("phantom", self.component.name, self.component.params)

    @cached_property
    def channels(self) -> int:
        """1 for a grey phantom, 3 for a colour one, as found by rendering one small image."""
        values = {factor.name: self.phantom.quantile(factor.name, np.array([0.5])) for factor in self.phantom.factors}
        return self.phantom.render(values, np.zeros(1, dtype=np.int64), self.size, {}).images.shape[1]

    def images(
        self, values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"], difficulty: Mapping[str, float]
    ) -> RenderedImages:
        """Images of these factor values and nuisance seeds; nothing is rendered before one is read."""
        return RenderedImages(self, Rows(values, nuisance, difficulty))

    def masks(
        self, values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"], difficulty: Mapping[str, float]
    ) -> RenderedMasks:
        """Their lesion masks; nothing is rendered before one is read."""
        return RenderedMasks(self, Rows(values, nuisance, difficulty))

    def lesions(
        self, values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"], difficulty: Mapping[str, float]
    ) -> RenderedLesions | None:
        """Their lesions by kind, of a phantom that has several; nothing is rendered before one is read."""
        if not isinstance(self.phantom, TellsKinds):
            return None
        return RenderedLesions(self, self.phantom, Rows(values, nuisance, difficulty))

    def key(self, what: str, rows: Rows) -> str:
        """The name in the cache: phantom with its version, size, content of the rows, and the kind of device.

        Devices round differently in the last bit: a processor never reads what a GPU rendered.
        """
        kind = "" if self.device == "cpu" else f"-{self.device.partition(':')[0]}"
        made_of = {"phantom": self.component.model_dump(), "size": self.size, "rows": rows.content}
        return f"{what}{kind}-{content_hash(made_of, 32)}"

    def fill(self, rows: Rows, write: Callable[[slice, Rendered], None]) -> None:
        """Render all rows, chunk by chunk."""
        step = max(1, _PIXELS // self.size**2)
        for start in range(0, len(rows.nuisance), step):
            part = slice(start, start + step)
            values = {name: column[part] for name, column in rows.values.items()}
            asked = values, rows.nuisance[part], self.size, rows.difficulty, self.device
            if rows.without and isinstance(self.phantom, TellsKinds):
                write(part, self.phantom.without(rows.without, *asked))
            else:
                write(part, self.phantom.render(*asked))


@dataclass(frozen=True)
class Rows:
    """What decides a phantom's pixels but for the phantom and the size. without: a kind of lesion that is left out."""

    values: Mapping[str, np.ndarray]
    nuisance: Int[np.ndarray, "n"]
    difficulty: Mapping[str, float] = field(default_factory=dict[str, float])
    without: str = ""

    def at(self, index: np.ndarray) -> Rows:
        """These rows alone, in this order."""
        values = {name: column[index] for name, column in self.values.items()}
        return replace(self, values=values, nuisance=self.nuisance[index])

    @cached_property
    def content(self) -> str:
        """A hash of factor values, nuisance seeds, the difficulties that are not 1 and the kind that is left out."""
        digest = hashlib.sha256(np.ascontiguousarray(self.nuisance, dtype=np.int64).tobytes())
        for name in sorted(self.values):
            digest.update(name.encode() + b"\0")
            digest.update(np.ascontiguousarray(self.values[name], dtype=np.float64).tobytes())
        visible: dict[str, Any] = {name: value for name, value in self.difficulty.items() if value != 1}
        digest.update(content_hash(visible).encode())
        digest.update(self.without.encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class RenderedImages:
    """`Images` of a phantom, kept with 16 bits a pixel."""

    renderer: Renderer
    rows: Rows
    _glances: list[int] = field(default_factory=list[int], compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.renderer.channels, self.renderer.size, self.renderer.size

    def __len__(self) -> int:
        return len(self.rows.nuisance)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Float32 images in [0, 1] at these positions, in this order, on the CPU.

        A picture for a page needs a few of thousands: the first few such readings draw those rows alone.
        """
        if self._is_glance(index):
            self._glances.append(len(index))
            few = np.empty((len(index), *self.shape), dtype=np.uint16)
            _render(self.renderer, self.rows.at(index), few)
            return ArrayImages(few).read(np.arange(len(index)))
        return self._kept.read(index)

    def _is_glance(self, index: np.ndarray) -> bool:
        few = sum(self._glances) + len(index) <= _GLANCED * len(self)
        return few and "_kept" not in self.__dict__ and not self.renderer.cache.holds(self._key)

    @property
    def _key(self) -> str:
        return self.renderer.key("phantom", self.rows)

    @cached_property
    def _kept(self) -> ArrayImages:
        shape = (len(self), *self.shape)

        def fill(out: np.ndarray) -> None:
            _render(self.renderer, self.rows, out)

        return ArrayImages(self.renderer.cache.get(self._key, shape, np.uint16, fill))


def _render(renderer: Renderer, rows: Rows, out: np.ndarray) -> None:
    def write(part: slice, rendered: Rendered) -> None:
        out[part] = rendered.images.clamp(0, 1).mul(65535).round().to(torch.int32).cpu().numpy()

    renderer.fill(rows, write)


@dataclass(frozen=True)
class RenderedMasks:
    """`Masks` of a phantom. Few readers want them, so they are kept apart from the images."""

    renderer: Renderer
    rows: Rows
    kinds: tuple[str, ...] = ONE_KIND

    def __len__(self) -> int:
        return len(self.rows.nuisance)

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Label maps at these positions, in this order."""
        return self._kept.read(index)

    @cached_property
    def _kept(self) -> ArrayMasks:
        shape = (len(self), 1, self.renderer.size, self.renderer.size)
        key = self.renderer.key("phantom-mask", self.rows)
        return ArrayMasks(self.renderer.cache.get(key, shape, np.uint8, self._render))

    def _render(self, out: np.ndarray) -> None:
        def write(part: slice, rendered: Rendered) -> None:
            out[part] = rendered.masks.cpu().numpy()

        self.renderer.fill(self.rows, write)


@dataclass(frozen=True)
class RenderedLesions:
    """`DrawnLesions` of a phantom. Masks are asked for once a model, of few images, and drawn anew each time."""

    renderer: Renderer
    phantom: TellsKinds
    rows: Rows

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        return self.phantom.kinds

    def __len__(self) -> int:
        return len(self.rows.nuisance)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """A plane per kind at these positions, in this order, on the CPU."""
        chosen, made = self.rows.at(index), self.renderer
        drawn = self.phantom.masks_by_kind(chosen.values, chosen.nuisance, made.size, chosen.difficulty, made.device)
        return drawn.cpu()

    def without(self, kind: str, index: np.ndarray) -> RenderedImages:
        """The images at these positions, drawn without the lesions of this kind and all else the same."""
        return RenderedImages(self.renderer, replace(self.rows.at(index), without=kind))
