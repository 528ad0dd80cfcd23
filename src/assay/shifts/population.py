"""Where a study's rows come from, whatever the data: training environments by seed and fold, and test scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.dataset import Card, Dataset, Phantom, PixelScale
from assay.shifts.environment import Environment, Scene
from assay.spec.schema import DataSpec, EnvironmentSpec


class NamedScene(Scene, Protocol):
    """A scene that can say what decides the images of its environments."""

    def identity(self, name: str) -> Mapping[str, Any]:
        """What decides the rows and the images of a test environment: it names the records of its readings."""
        ...


class Population(Protocol):
    """All the images that a study can draw on."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; associations are stated for the last one."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """What masks tell from background, in the order of their labels; empty without masks."""
        ...

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        ...

    @property
    def factors(self) -> tuple[Factor, ...]:
        """What is known of every image."""
        ...

    @property
    def card(self) -> Card:
        """What to know of the data before believing a number from it."""
        ...

    @property
    def scale(self) -> PixelScale:
        """What pixels mean."""
        ...

    @property
    def folds(self) -> int:
        """In how many folds every seed trains; 1 when the split is not k-fold."""
        ...

    @property
    def phantom(self) -> Phantom | None:
        """The generator, when images are made."""
        ...

    @property
    def dataset(self) -> Dataset | None:
        """The decoded files, when images are read."""
        ...

    def identity(self, environment: EnvironmentSpec, groups: str = "") -> Mapping[str, Any]:
        """Exactly what of the data decides training in this environment: it names trials (`TrainingSpec.data`).

        groups: the factor whose values a recipe uses, beside those that the environment does.
        """
        ...

    def training(self, environment: EnvironmentSpec, seed: int, fold: int = 0) -> tuple[Environment, Environment]:
        """The training rows and the validation rows of a seed and fold, both from the training distribution.

        Raises SpecError and AssociationError as `preview` shows them.
        """
        ...

    def scene(self, tests: Mapping[str, EnvironmentSpec], seed: int, fold: int = 0) -> NamedScene:
        """The test environments and their counterfactuals, of rows whose patients this seed and fold never trained on.

        Test rows are common to all seeds but for k-fold data, where each seed and fold sees its own part of them.
        """
        ...


def open_population(
    data: DataSpec,
    cache: ArrayCache,
    *,
    skip_bad_rows: bool = False,
    device: str = "cpu",
    all_tested: bool = False,
) -> Population:
    """The population that a study's `data` names. Nothing is read, decoded or rendered before it is asked for.

    skip_bad_rows: leave out rows that cannot be read, and list them on the card, in place of raising DataError.
    device: where a phantom is rendered; images are handed out on the CPU.
    all_tested: every row of files is a test row, for a model that was trained elsewhere.
    """
    if data.phantom is not None:
        from assay.shifts.phantom_population import PhantomPopulation

        return PhantomPopulation(data, cache, device)
    from assay.data.files.load import load_dataset
    from assay.shifts.file_population import AllTested, FilePopulation

    kind = AllTested if all_tested else FilePopulation
    return kind(data, lambda: load_dataset(data, cache, skip_bad_rows=skip_bad_rows))
