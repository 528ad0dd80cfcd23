"""Where a study's images come from and how patients are divided: the `data` part of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from assay.core.component import Component
from assay.core.frozen import Frozen, Share


class FactorSpec(Frozen):
    """What a column of the user's table means."""

    kind: Literal["categorical", "ordinal", "continuous"] = "continuous"
    unit: str = ""
    levels: tuple[str, ...] = ()
    high: tuple[str, ...] = ()
    column: str = ""  # where the column's name differs from the factor's


class SplitSpec(Frozen):
    """How patients are divided. Exactly one of: folds, shares, or a column that says it.

    folds: k-fold by patient, stratified by target, redrawn by every seed; each image is then tested once a seed, by a
    model that never saw its patient. The next fold serves as validation.
    """

    folds: Annotated[int, Field(ge=3, le=20)] | None = None
    train: Share = 0.6
    validation: Share = 0.2
    test: Share = 0.2
    column: str = ""


class DataSpec(Frozen):
    """Where images come from: exactly one of phantom, dataset, folder, classes, medmnist.

    phantom: a registered generator; `train`, `validation`, `test` are numbers of images.
    dataset: a public set as its makers publish it, whose columns Assay knows.
    folder: a CSV (`table`) beside images, columns named by `image`, `mask`, `target`, `patient`; or `images/` and
        `masks/` with equal stems when `table` is empty.
    classes: one folder per class.
    medmnist: a MedMNIST `.npz` (2-D).
    """

    phantom: Component | None = None
    dataset: Component | None = None
    folder: str = ""
    classes: str = ""
    medmnist: str = ""
    size: Annotated[int, Field(ge=8, le=1024)] = 64
    target: str = "malignant"
    # phantoms
    core: str = ""
    train: Annotated[int, Field(ge=1)] = 2000
    validation: Annotated[int, Field(ge=1)] = 500
    test: Annotated[int, Field(ge=1)] = 1000
    # images from files
    table: str = "data.csv"
    image: str = "image"
    mask: str = ""
    patient: str = ""
    positive: tuple[str, ...] = ()  # which values of the target column are the positive class, when it is not 0/1
    channels: Literal["auto", "grey", "colour"] = "auto"
    factors: Mapping[str, FactorSpec] = {}
    where: Mapping[str, Any] = {}  # column -> value(s) or {min, max}: rows of the table that the study uses at all
    split: SplitSpec = SplitSpec()
    pixel_size: str = ""  # the column that holds mm per pixel, if any

    def for_training(self) -> dict[str, Any]:
        """The canonical form without what only test images depend on."""
        return {name: value for name, value in self.canonical().items() if name != "test"}
