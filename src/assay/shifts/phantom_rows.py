"""Rows that a phantom renders: images kept in the cache, and the row source of studies on phantoms."""

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

from assay.core.errors import SpecError, unknown_name
from assay.core.files import content_hash
from assay.core.registry import build
from assay.core.seeds import derive
from assay.core.types import Factor, FactorTable
from assay.data.cache import ArrayCache, ArrayImages, ArrayMasks
from assay.data.dataset import ONE_KIND, Card, Phantom, PixelScale, Rendered, TellsKinds
from assay.shifts.environment import IndependentFactors, Part, Pixels, SelectedRows, SobolDesign, naming
from assay.shifts.marginals import marginal
from assay.shifts.population import Population, TestEnvironments, saltelli
from assay.shifts.sampling import (
    ROWS_VERSION,
    Patients,
    TargetRequest,
    draw_rows,
    enough,
    part_of,
    ties,
)
from assay.spec.recipe import Component
from assay.spec.schema import AssociationSpec, DataSpec, EnvironmentSpec

NUISANCE = "nuisance seed"
"""The name of the last Sobol' input."""

# A phantom's images, rendered at first reading, kept in the cache and shared by all who ask for the same rows.

_GLANCED = 0.1
"""Up to such a share of its rows a set that is not in the cache is read from without drawing all of it."""
_PIXELS = 2**22  # pixels of a call: a phantom divides them further as suits it, this bounds the memory


@dataclass(frozen=True)
class Renderer:
    """A phantom at one image size on one device, with the cache that keeps rendered images."""

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
        """1 for a gray phantom, 3 for a color one, as found by rendering one small image."""
        values = {factor.name: self.phantom.quantile(factor.name, np.array([0.5])) for factor in self.phantom.factors}
        return self.phantom.render(values, np.zeros(1, dtype=np.int64), self.size, {}).images.shape[1]

    def key(self, what: str, rows: Content) -> str:
        """Return the name in the cache: phantom with its version, size, content of the rows, and the kind of device.

        Devices round differently in the last bit: a CPU never reads images that a GPU rendered.
        """
        kind = "" if self.device == "cpu" else f"-{self.device.partition(':')[0]}"
        made_of = {"phantom": self.component.model_dump(), "size": self.size, "rows": rows.content}
        return f"{what}{kind}-{content_hash(made_of, 32)}"

    def fill(self, rows: Content, out: np.ndarray, select: Callable[[Rendered], Tensor]) -> None:
        """Render all rows, chunk by chunk, and write what is shown of each chunk."""
        step = max(1, _PIXELS // self.size**2)
        for start in range(0, len(rows.nuisance), step):
            part = slice(start, start + step)
            values = {name: column[part] for name, column in rows.values.items()}
            request = values, rows.nuisance[part], self.size, rows.difficulty, self.device
            if rows.without and isinstance(self.phantom, TellsKinds):
                rendered = self.phantom.without(rows.without, *request)
            else:
                rendered = self.phantom.render(*request)
            out[part] = select(rendered).cpu().numpy()


@dataclass(frozen=True)
class Content:
    """Inputs that decide a phantom's pixels, except the phantom and the size.

    Attributes:
        without: A kind of lesion that is left out.
    """

    values: Mapping[str, np.ndarray]
    nuisance: Int[np.ndarray, "n"]
    difficulty: Mapping[str, float] = field(default_factory=dict[str, float])
    without: str = ""

    def at(self, index: np.ndarray) -> Content:
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
    rows: Content
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
            self.renderer.fill(self.rows.at(index), few, _sixteen_bits)
            return ArrayImages(few).read(np.arange(len(index)))
        return self._images.read(index)

    def _is_glance(self, index: np.ndarray) -> bool:
        few = sum(self._glances) + len(index) <= _GLANCED * len(self)
        return few and "_images" not in self.__dict__ and not self.renderer.cache.holds(self._key)

    @property
    def _key(self) -> str:
        return self.renderer.key("phantom", self.rows)

    @cached_property
    def _images(self) -> ArrayImages:
        def fill(out: np.ndarray) -> None:
            self.renderer.fill(self.rows, out, _sixteen_bits)

        return ArrayImages(self.renderer.cache.get(self._key, (len(self), *self.shape), np.uint16, fill))


def _sixteen_bits(rendered: Rendered) -> Tensor:
    return rendered.images.clamp(0, 1).mul(65535).round().to(torch.int32)


@dataclass(frozen=True)
class RenderedMasks:
    """`Masks` of a phantom. Few readers want them, so they are kept apart from the images."""

    renderer: Renderer
    rows: Content
    kinds: tuple[str, ...] = ONE_KIND

    def __len__(self) -> int:
        return len(self.rows.nuisance)

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Label maps at these positions, in this order."""
        return self._masks.read(index)

    @cached_property
    def _masks(self) -> ArrayMasks:
        shape = (len(self), 1, self.renderer.size, self.renderer.size)
        key = self.renderer.key("phantom-mask", self.rows)

        def fill(out: np.ndarray) -> None:
            self.renderer.fill(self.rows, out, lambda rendered: rendered.masks)

        return ArrayMasks(self.renderer.cache.get(key, shape, np.uint8, fill))


@dataclass(frozen=True)
class RenderedLesions:
    """`DrawnLesions` of a phantom. Masks are asked for once a model, of few images, and drawn again each time."""

    renderer: Renderer
    phantom: TellsKinds
    rows: Content

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        return self.phantom.kinds

    def __len__(self) -> int:
        return len(self.rows.nuisance)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """Return a plane per kind at these positions, in this order, on the CPU."""
        chosen, renderer = self.rows.at(index), self.renderer
        rendered = self.phantom.masks_by_kind(
            chosen.values, chosen.nuisance, renderer.size, chosen.difficulty, renderer.device
        )
        return rendered.cpu()

    def without(self, kind: str, index: np.ndarray) -> RenderedImages:
        """Return the images at these positions, drawn without the lesions of this kind and all else the same."""
        return RenderedImages(self.renderer, replace(self.rows.at(index), without=kind))


# Rows that are drawn from a phantom: every row can be made, and remade with one factor changed.

_PATIENTS_PER_SPLIT = 2**31


@dataclass(frozen=True)
class PhantomPopulation(Population):
    """Rows and images that a phantom renders.

    Every image is a patient of its own, or one of two of a patient. Test rows are those of `data.population`, the same
    for every seed.
    """

    data: DataSpec
    cache: ArrayCache
    device: str = "cpu"
    sets: Mapping[str, Population] = field(default_factory=dict[str, Population])

    @cached_property
    def renderer(self) -> Renderer:
        """The phantom at the study's image size."""
        return Renderer(self._component, self.data.size, self.cache, self.device)

    @property
    def phantom(self) -> Phantom:
        """The generator."""
        return self.renderer.phantom

    @property
    def patients(self) -> Patients:
        """The patients of the rows."""
        return Patients.of(self.phantom)

    @property
    def question(self) -> TargetRequest:
        """The factor that defines the target, or is it.

        Raises:
            SpecError: If the spec names none.
        """
        if not self.data.core:
            names = ", ".join(factor.name for factor in self.phantom.factors)
            raise SpecError(f"a phantom needs data.core, the factor that defines '{self.data.target}': one of {names}")
        by_name = {factor.name: factor for factor in self.factors}
        if self.data.core not in by_name:
            raise SpecError(
                f"the core factor defines the target; {unknown_name('factor', self.data.core, list(by_name))}"
            )
        return TargetRequest.of(self.data.target, by_name[self.data.core])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the positive one of two last."""
        return self.question.classes

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of lesion in the phantom's masks."""
        return ONE_KIND

    @property
    def channels(self) -> int:
        """1 for a gray phantom, 3 for a color one."""
        return self.renderer.channels

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The phantom's factors."""
        return self.phantom.factors

    @property
    def card(self) -> Card:
        """Description of the phantom and its known faults."""
        return self.phantom.card

    @property
    def scale(self) -> PixelScale:
        """The meaning of its pixel values and sizes."""
        return self.phantom.scale(self.data.size)

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> dict[str, Any]:
        """Return all of the data but the number of test images; factors are drawn from it."""
        return {**self._identity, "train": self.data.train, "validation": self.data.validation}

    def test_identity(self, environment: EnvironmentSpec, seed: int, fold: int) -> dict[str, Any]:
        """Return all of the data but the numbers of training and validation images."""
        population = {"population": self.data.population} if self.data.population else {}
        return {**self._identity, "test": self.data.test, **population}

    def choose(self, name: str, part: Part, environment: EnvironmentSpec, seed: int, fold: int) -> SelectedRows:
        """Draw the rows of an environment.

        Training and validation images are new for every seed. Of the training images the first ones are taken where
        fewer are asked for; they hold every class in the same proportion.

        Raises:
            SpecError: As `draw_rows` does.
            AssociationError: A tied factor is held constant.
            DataError: More training images are asked for than there are.
        """
        first = (2 * seed + 1) * _PATIENTS_PER_SPLIT
        drawn_from = self.test_seed if part == "test" else derive(seed, part)
        first_patient = {"train": first, "validation": first + _PATIENTS_PER_SPLIT, "test": 0}[part]
        count = {"train": self.data.train, "validation": self.data.validation, "test": self.data.test}[part]
        if part == "train":
            count = self._amount(environment)
        with naming(name):
            rows = np.arange(count, dtype=np.int64)
            table = draw_rows(self.phantom, self.question, environment, rows, drawn_from)
        table = replace(table, patient=table.patient + first_patient)
        marks = {key: tie for key, tie in environment.association.items() if key in environment.interventions}
        return SelectedRows(table, drawn_from, {**ties(self.phantom, self.question, environment), **marks})

    def pixels(self, environment: EnvironmentSpec, table: FactorTable, seed: int) -> Pixels:
        """Return the images of these rows, rendered when they are read."""
        unknown = set(environment.difficulty) - {factor.name for factor in self.factors}
        if unknown:
            raise SpecError(unknown_name("factor", min(unknown), [factor.name for factor in self.factors]))
        renderer, phantom = self.renderer, self.phantom
        rows = Content(table.columns, self.patients.nuisance(seed, table.row), environment.difficulty)
        lesions = RenderedLesions(renderer, phantom, rows) if isinstance(phantom, TellsKinds) else None
        return Pixels(table, RenderedImages(renderer, rows), RenderedMasks(renderer, rows), lesions)

    def neutral(self, tests: TestEnvironments) -> EnvironmentSpec:
        """Return the common part of the test environments, in which the core factor alone is tied to the target.

        It is tied as all tests agree, or else fully.
        """
        return tests.neutral.model_copy(update={"association": tests.common_association(self.data.core)})

    def independent(self, neutral: EnvironmentSpec, seed: int, fold: int) -> IndependentFactors:
        """Return the environment in which the core factor too is independent of the target, then a coin flip."""
        core = {self.data.core: AssociationSpec(strength=0.0)}
        return IndependentFactors(neutral.model_copy(update={"association": core}), {})

    def sobol(self, samples: int, neutral: EnvironmentSpec) -> tuple[SobolDesign, Int[np.ndarray, "rows"]]:
        """Return a Saltelli design over the phantom's groups, its other factors and the nuisance seed.

        Inputs are independent draws from the neutral marginals, whatever is tied in training (Saltelli et al. 2010,
        with scrambled Sobol' points). It is rendered once and shared by all models.
        """
        inputs = self._inputs()
        columns = [name for members in inputs.values() for name in members]
        groups = [[columns.index(name) for name in members] for members in inputs.values()]
        u = saltelli(samples, groups, derive(self.data.population, "sobol"))
        values = {
            factor.name: marginal(self.phantom, factor, neutral.where).values(u[:, columns.index(factor.name)])
            for factor in self.factors
        }
        nuisance = (u[:, columns.index(NUISANCE)] * 2.0**32).astype(np.int64)
        images = RenderedImages(self.renderer, Content(values, nuisance, neutral.difficulty))
        return SobolDesign(tuple(inputs), samples, images), nuisance

    def sobol_images(self, samples: int) -> int:
        """Return the number of images of such a design: A, B and a block per input."""
        return (len(self._inputs()) + 2) * samples

    def _amount(self, environment: EnvironmentSpec) -> int:
        """Return the number of training images that an environment takes."""
        count = enough("train", environment.rows, self.data.train, "in data.train")
        if environment.fraction is None:
            return count
        each, what = self.patients.each, "images" if self.patients.each == 1 else "patients"
        patients = -(-self.data.train // each)
        return min(each * part_of("train", environment.fraction, patients, what), self.data.train)

    def _inputs(self) -> dict[str, tuple[str, ...]]:
        """Sobol' inputs: name -> the factors that move together."""
        grouped = dict(self.phantom.groups())
        grouped_names = {name for members in grouped.values() for name in members}
        alone = {factor.name: (factor.name,) for factor in self.factors if factor.name not in grouped_names}
        return {**grouped, **alone, NUISANCE: (NUISANCE,)}

    @property
    def _component(self) -> Component:
        if self.data.phantom is None:
            raise ValueError("rows of a phantom need data.phantom")
        return self.data.phantom

    @property
    def _identity(self) -> dict[str, Any]:
        return {
            "phantom": self._component.model_dump(),
            "rows": ROWS_VERSION,
            "size": self.data.size,
            "target": self.data.target,
            "core": self.data.core,
        }
