"""Populations drawn from a phantom, their environments and rendering."""

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

from assay.core.errors import AssociationError, SpecError, unknown_name
from assay.core.files import content_hash
from assay.core.registry import build
from assay.core.seeds import derive
from assay.core.types import Factor, FactorTable
from assay.data.cache import ArrayCache, ArrayImages, ArrayMasks
from assay.data.dataset import ONE_KIND, Card, DrawnLesions, Phantom, PixelScale, Rendered, TellsKinds
from assay.shifts.association import Marginal, achieved, also_achieved, marginal
from assay.shifts.environment import Environment, SobolDesign
from assay.shifts.intervention import ChangedLesions, changes_of, with_changes
from assay.shifts.sampling import (
    ROWS_VERSION,
    TEST_SEED,
    Patients,
    Question,
    change,
    draw_rows,
    drawn,
    enough,
    part_of,
    ties,
)
from assay.shifts.scene import INDEPENDENT, NEUTRAL, Tests, saltelli, switched
from assay.spec.schema import AssociationSpec, Component, DataSpec, EnvironmentSpec

# What a probe may look at on a phantom: test environments, counterfactuals of every factor, a Sobol' design.

NUISANCE = "nuisance seed"
"""The name of the last Sobol' input."""

_ENDS_U = {"low": 0.1, "high": 0.9}


@dataclass(frozen=True)
class PhantomScene:
    """See `Scene`. Environments share targets, nuisance and all that they do not change, row by row.

    In `neutral` only the core factor is tied to the target. It keeps the difficulty, the restrictions and the
    interventions on all images that all test environments have in common; no other intervention is on.
    """

    population: PhantomPopulation
    specs: Mapping[str, EnvironmentSpec]
    _made: dict[str, Environment] = field(default_factory=dict[str, Environment])

    @property
    def names(self) -> tuple[str, ...]:
        """The test environments, in the order of the spec."""
        return tuple(self.specs)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, the positive one of two last."""
        return self.population.classes

    @property
    def has_phantom(self) -> bool:
        """True: factors are drawn."""
        return True

    @property
    def tests(self) -> Tests:
        """The test environments' specs."""
        return Tests(self.specs)

    def identity(self, name: str) -> dict[str, Any]:
        """What decides an environment's images: the phantom, the question, the number of images, the environment.

        `(neutral)`, or `neutral` where no test environment has that name: all that the scene derives from its tests.
        """
        return {**self.population.test_identity(), **self.tests.described(name, self._neutral)}

    def environment(self, name: str) -> Environment:
        """A test environment. Raises SpecError for a name that the spec lacks."""
        return self._make(name, self.tests.named(name))

    def neutral(self) -> Environment:
        """Test rows in which the core factor alone is tied to the target (or is it), with the interventions alone that
        all tests put on all images.
        """
        return self._make(NEUTRAL, self._neutral)

    def independent(self) -> Environment:
        """Test rows in which no factor is tied to the target, nor to another; the target is then a coin's."""
        core = {self.population.data.core: AssociationSpec(strength=0.0)}
        return self._make(INDEPENDENT, self._neutral.model_copy(update={"association": core}))

    def changeable(self) -> tuple[str, ...]:
        """Every factor of the phantom, then every intervention of the test environments."""
        return (*(factor.name for factor in self.population.factors), *self.tests.interventions)

    def counterfactual(self, factor: str, end: str) -> Environment:
        """The neutral rows with one factor at its `low` or `high` end and everything else the same.

        A categorical factor moves to its first level that is not high, or to its first high one; an ordinal one to its
        first or last level; a continuous one to the 10th or 90th percentile of its neutral marginal; an intervention
        is on nowhere or everywhere. The target stays what it was. Raises SpecError for another factor or end.
        """
        self.tests.check_change(factor, end, self.changeable())
        if factor in self.tests.interventions:
            return switched(self.neutral(), factor, self.tests.interventions[factor], end, TEST_SEED)
        described, source = self._marginal(factor)
        return self._with(f"({factor} {end})", described, end_value(described, source, end))

    def at_quantile(self, factor: str, u: float) -> Environment:
        """The neutral rows with one of the phantom's factors set to a quantile, 0 <= u < 1, of its neutral marginal and
        everything else the same. Raises SpecError for another factor.
        """
        names = [known.name for known in self.population.factors]
        if factor not in names:
            raise SpecError(unknown_name("factor", factor, names))
        described, source = self._marginal(factor)
        return self._with(f"({factor} at {u:g})", described, float(source.values(np.array([u]))[0]))

    def sobol(self, samples: int) -> SobolDesign:
        """A Saltelli design over the phantom's groups, its other factors and the nuisance seed; of interventions those
        of the neutral rows are on.

        Inputs are independent draws from the neutral marginals, whatever is tied in training (Saltelli et al. 2010,
        with scrambled Sobol' points); `samples` is best a power of two. Rendered once and shared by all models.
        """
        inputs = self._inputs()
        columns = [name for members in inputs.values() for name in members]
        groups = [[columns.index(name) for name in members] for members in inputs.values()]
        u = saltelli(samples, groups, derive(0, "sobol"))
        where, phantom = self._neutral.where, self.population.phantom
        values = {
            factor.name: marginal(phantom, factor, where).values(u[:, columns.index(factor.name)])
            for factor in self.population.factors
        }
        nuisance = (u[:, columns.index(NUISANCE)] * 2.0**32).astype(np.int64)
        images = self.population.renderer.images(values, nuisance, self._neutral.difficulty)
        # Draws are named by the nuisance seed: AB_i is A in them too, unless the nuisance is what is mixed.
        every, shared = np.ones(len(u), dtype=bool), self.tests.shared.items()
        changes = [change(name, spec, every, nuisance, TEST_SEED, images.shape) for name, spec in shared]
        return SobolDesign(tuple(inputs), samples, with_changes(images, changes))

    @property
    def _neutral(self) -> EnvironmentSpec:
        """On a phantom nothing is tied unless it is said; the core factor is, as all tests agree or else fully."""
        return self.tests.neutral.model_copy(update={"association": self.tests.agreed(self.population.data.core)})

    def _marginal(self, factor: str) -> tuple[Factor, Marginal]:
        described = self.neutral().table.factor(factor)
        return described, marginal(self.population.phantom, described, self._neutral.where)

    def _with(self, name: str, factor: Factor, value: float) -> Environment:
        """The neutral rows, all with this value of a factor."""
        neutral = self.neutral()
        moved = neutral.table.with_column(factor, np.full_like(neutral.table.columns[factor.name], value))
        bare = self._neutral.model_copy(update={"interventions": {}})
        shown = self.population.show(name, bare, moved, TEST_SEED, {})
        changes, lesions = changes_of(neutral.images), shown.lesions
        if changes and isinstance(lesions, DrawnLesions):
            lesions = ChangedLesions(lesions, changes)
        return replace(shown, images=with_changes(shown.images, changes), lesions=lesions)

    def _inputs(self) -> dict[str, tuple[str, ...]]:
        """Sobol' inputs: name -> the factors that move together."""
        grouped = dict(self.population.phantom.groups())
        taken = {name for members in grouped.values() for name in members}
        alone = {factor.name: (factor.name,) for factor in self.population.factors if factor.name not in taken}
        return {**grouped, **alone, NUISANCE: (NUISANCE,)}

    def _make(self, name: str, spec: EnvironmentSpec) -> Environment:
        if name not in self._made:
            made = self.population.make(name, spec, self.population.data.test, TEST_SEED)
            self._made[name] = also_achieved(made, self.tests.ties)
        return self._made[name]


def end_value(factor: Factor, source: Marginal, end: str) -> float:
    """The value at an end: see `PhantomScene.counterfactual`."""
    if factor.kind == "categorical":
        wanted = [level for level in factor.levels if (level in factor.high) == (end == "high")]
        return float(factor.levels.index(wanted[0]))
    if factor.kind == "ordinal":
        return 0.0 if end == "low" else float(len(factor.levels) - 1)
    return float(source.values(np.array([_ENDS_U[end]]))[0])


# A phantom's images, rendered at first reading, kept in the cache and shared by all who ask for the same rows.

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


# A population that is drawn from a phantom: every row can be made, and remade with one factor changed.

_PATIENTS_PER_SPLIT = 2**31


@dataclass(frozen=True)
class PhantomPopulation:
    """See `Population`. Every image is a patient of its own, or one of two of a patient."""

    data: DataSpec
    cache: ArrayCache
    device: str = "cpu"

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
        """Whose the images are."""
        return Patients.of(self.phantom)

    @property
    def dataset(self) -> None:
        """There are no files."""
        return

    @property
    def question(self) -> Question:
        """Which factor defines the target, or is it. Raises SpecError when the spec names none, or no such factor."""
        if not self.data.core:
            names = ", ".join(factor.name for factor in self.phantom.factors)
            raise SpecError(f"a phantom needs data.core, the factor that defines '{self.data.target}': one of {names}")
        known = {factor.name: factor for factor in self.factors}
        if self.data.core not in known:
            raise SpecError(
                f"the core factor defines the target; {unknown_name('factor', self.data.core, list(known))}"
            )
        return Question.of(self.data.target, known[self.data.core])

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, the positive one of two last."""
        return self.question.classes

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a phantom's masks tell from background."""
        return ONE_KIND

    @property
    def channels(self) -> int:
        """1 for a grey phantom, 3 for a colour one."""
        return self.renderer.channels

    @property
    def factors(self) -> tuple[Factor, ...]:
        """The phantom's factors."""
        return self.phantom.factors

    @property
    def card(self) -> Card:
        """What to know of the phantom."""
        return self.phantom.card

    @property
    def scale(self) -> PixelScale:
        """What its pixels mean."""
        return self.phantom.scale(self.data.size)

    @property
    def folds(self) -> int:
        """1: images are drawn anew, there is nothing to be folded."""
        return 1

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> dict[str, Any]:
        """What of the data decides training: all but the number of test images; its factors are drawn from that."""
        return {**self._identity, "train": self.data.train, "validation": self.data.validation}

    def test_identity(self) -> dict[str, Any]:
        """What of the data decides a test environment: all but the numbers of training and validation images."""
        return {**self._identity, "test": self.data.test}

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """Training and validation images, drawn anew for every seed; the first training images where fewer are asked
        for, which hold every class alike. Raises as `draw_rows` and `drawn` do, and DataError when more are asked for.
        """
        first = (2 * seed + 1) * _PATIENTS_PER_SPLIT
        data = self.data
        count = enough("train", environment.rows, data.train, "in data.train")
        if environment.fraction is not None:
            each, what = self.patients.each, "images" if self.patients.each == 1 else "patients"
            there = -(-data.train // each)
            count = min(each * part_of("train", environment.fraction, there, what), data.train)
        return (
            self.make("train", environment, count, derive(seed, "train"), first),
            self.make(
                "validation", environment, data.validation, derive(seed, "validation"), first + _PATIENTS_PER_SPLIT
            ),
        )

    def scene(self, tests: Mapping[str, EnvironmentSpec], seed: int, fold: int = 0) -> PhantomScene:
        """The test environments; the same rows for every seed."""
        return PhantomScene(self, dict(tests))

    def make(
        self, name: str, environment: EnvironmentSpec, count: int, seed: int, first_patient: int = 0
    ) -> Environment:
        """An environment of `count` images drawn from `seed`, whose patients are numbered from `first_patient`."""
        rows = np.arange(count, dtype=np.int64)
        try:
            table = draw_rows(self.phantom, self.question, environment, rows, seed)
        except AssociationError as error:
            raise AssociationError(f"environment '{name}': {error}") from error
        table = replace(table, patient=table.patient + first_patient)
        marks = {key: tie for key, tie in environment.association.items() if key in environment.interventions}
        return self.show(name, environment, table, seed, {**ties(self.phantom, self.question, environment), **marks})

    def show(
        self,
        name: str,
        environment: EnvironmentSpec,
        table: FactorTable,
        seed: int,
        stated: Mapping[str, AssociationSpec],
    ) -> Environment:
        """The environment of these rows: images are rendered when read, then changed by its interventions.

        stated: the associations whose achieved strength is reported.
        """
        unknown = set(environment.difficulty) - {factor.name for factor in self.factors}
        if unknown:
            raise SpecError(unknown_name("factor", min(unknown), [factor.name for factor in self.factors]))
        nuisance = self.patients.nuisance(seed, table.row)
        images = self.renderer.images(table.columns, nuisance, environment.difficulty)
        masks = self.renderer.masks(table.columns, nuisance, environment.difficulty)
        lesions = self.renderer.lesions(table.columns, nuisance, environment.difficulty)
        changes, table = drawn(environment, table, seed, images.shape)
        shown = with_changes(images, changes)
        if changes and isinstance(lesions, DrawnLesions):
            lesions = ChangedLesions(lesions, changes)
        found = tuple(
            achieved(table, factor, asked=tie.strength, high=tie.high, given=tie.given)
            for factor, tie in stated.items()
        )
        return Environment(name, table, shown, masks, found, lesions=lesions)

    @property
    def _component(self) -> Component:
        if self.data.phantom is None:
            raise ValueError("a phantom population needs data.phantom")
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
