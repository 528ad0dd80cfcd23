"""Where a study's images come from and how patients are divided: the `data` part of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from assay.core.component import Component
from assay.core.frozen import Frozen, Share

Part = Literal["train", "validation", "test"]
MaskValue = Annotated[int, Field(ge=0, le=65535)]
REFERABLE = 2
"""The grade from which an image counts as positive where grades are cut in two, unless a study says otherwise."""
BACKGROUND = "background"
"""The kind in `mask_values` that is no lesion."""


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
    means: what values of the column mean where they say it otherwise: `{validation: test}`.
    test_only: factor -> value, list of values, or {min, max}: all rows of patients with such a row are test rows,
        whatever else divides the others. Not with folds, which test every row anyway.
    """

    folds: Annotated[int, Field(ge=3, le=20)] | None = None
    train: Share = 0.6
    validation: Share = 0.2
    test: Share = 0.2
    column: str = ""
    means: Mapping[str, Part] = {}
    test_only: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _go_together(self) -> SplitSpec:
        if self.means and not self.column:
            raise ValueError("means says what the values of `column` mean; name the column too")
        if self.test_only and self.folds is not None:
            raise ValueError("test_only is for shares and a column: with folds every row is tested once a seed")
        return self


class BoxesSpec(Frozen):
    """Boxes of lesions, for heat-maps to be held against: a CSV of the folder with the columns `image` (as the table
    names it), `kind`, `x0`, `y0`, `x1`, `y1` (px of the file).

    kinds: those that are lesions; all that the file has where empty.
    """

    table: str
    kinds: tuple[str, ...] = ()


class DataSpec(Frozen):
    """Where images come from: exactly one of phantom, dataset, folder, classes, medmnist.

    phantom: a registered generator; `train`, `validation`, `test` are numbers of images.
    dataset: a public set as its makers publish it, whose columns Assay knows.
    folder: a CSV (`table`) beside images, columns named by `image`, `mask`, `target`, `patient`; or `images/` and
        `masks/` with equal stems when `table` is empty; or a COCO file (`table: annotations.json`).
        further: other CSV files of the same folder, such as another clinic's, whose rows follow those of `table`.
    classes: one folder per class.
    medmnist: a MedMNIST `.npz` (2-D).

    referable: the class, counted from 0, from which an image counts as positive where classes are grades that are cut
        in two; saying it says that they are grades. `REFERABLE` for grades where it is not said.

    With masks, `target: lesion` is whether an image shows any (absent, present), unless the table has such a column.
    mask_format: what a cell of the mask's column is: a file, or runs (`assay.data.sources.runs`).
    mask_values: value in a mask (of COCO: number of a category) -> name of the kind of lesion, `background` for none;
        empty: lesion where a mask is above half of its range. Kinds are in the order of their least value.
    mask_inverted: lesion is where masks are dark.
    preprocessing: what is done to photographs of the retina before they are kept: `circle-crop`, or that and
        `ben-graham` (`assay.data.sources.retouch`).
    unmasked: what an image without a mask is: an error, free of lesions, or left out.
    """

    phantom: Component | None = None
    dataset: Component | None = None
    folder: str = ""
    classes: str = ""
    medmnist: str = ""
    size: Annotated[int, Field(ge=8, le=1024)] = 64
    target: str = "malignant"
    referable: Annotated[int, Field(ge=1, le=99)] | None = None
    # phantoms
    core: str = ""
    train: Annotated[int, Field(ge=1)] = 2000
    validation: Annotated[int, Field(ge=1)] = 500
    test: Annotated[int, Field(ge=1)] = 1000
    # images from files
    table: str = "data.csv"
    further: tuple[str, ...] = ()
    image: str = "image"
    mask: str = ""
    mask_format: Literal["file", "kaggle-rle", "kaggle-rle-rows", "coco-rle"] = "file"
    mask_values: Mapping[MaskValue, Annotated[str, Field(min_length=1)]] = {}
    mask_inverted: bool = False
    unmasked: Literal["refuse", "lesion-free", "leave-out"] = "refuse"
    patient: str = ""
    positive: tuple[str, ...] = ()  # which values of the target column are the positive class, when it is not 0/1
    channels: Literal["auto", "grey", "colour"] = "auto"
    factors: Mapping[str, FactorSpec] = {}
    where: Mapping[str, Any] = {}  # column -> value(s) or {min, max}: rows of the table that the study uses at all
    split: SplitSpec = SplitSpec()
    preprocessing: tuple[Literal["circle-crop", "ben-graham"], ...] = ()
    boxes: BoxesSpec | None = None  # of a folder with a CSV
    pixel_size: str = ""  # the column that holds mm per pixel, if any

    @model_validator(mode="after")
    def _images_alone(self) -> DataSpec:
        if self.preprocessing and (self.mask or self.pixel_size or self.medmnist or self.masked_set):
            raise ValueError("preprocessing cuts images, and masks and mm per pixel would not follow; leave one out")
        if "ben-graham" in self.preprocessing and self.preprocessing != ("circle-crop", "ben-graham"):
            raise ValueError("ben-graham needs the circle that circle-crop finds: write [circle-crop, ben-graham]")
        return self

    @model_validator(mode="after")
    def _boxes_of_a_table(self) -> DataSpec:
        if self.boxes and not (self.folder and self.table.endswith(".csv")):
            raise ValueError("boxes are of images that a folder's CSV names; leave them out")
        if self.boxes and self.preprocessing:
            raise ValueError("preprocessing cuts images, and boxes would not follow; leave one out")
        return self

    @property
    def masked_set(self) -> bool:
        """Whether images are cut by their own layout or come with masks in folders: LIDC, `images/` and `masks/`."""
        return bool(self.folder and not self.table) or bool(self.dataset and self.dataset.name == "lidc")

    @model_validator(mode="after")
    def _masks_mean_something(self) -> DataSpec:
        if self.mask_values and set(self.mask_values.values()) == {BACKGROUND}:
            raise ValueError("mask_values names the background alone; name at least one kind of lesion")
        if self.mask_values and self.mask_inverted:
            raise ValueError("mask_inverted is for masks of one kind; mask_values says what every value means")
        return self

    def for_training(self) -> dict[str, Any]:
        """The canonical form without what only test images, or measures of them, depend on."""
        return {name: value for name, value in self.canonical().items() if name not in ("test", "referable")}
