"""Draw the example pictures of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

from assay.core.errors import foremost
from assay.core.files import write_whole
from assay.data.cache import image_values, mask_values
from assay.stats.format import in_words
from assay.store.files import Row
from assay.store.schema import SHEET_COLUMNS, SHEET_GAP

if TYPE_CHECKING:
    from assay.data.dataset import Dataset, PixelScale
    from assay.shifts.environment import Environment, Scene


# Images as they are drawn: as colors, enlarged, with the outlines of masks upon them.

Color = tuple[int, int, int]
Facts = Mapping[str, Any]
"""Facts of a picture by name, from which `sentences.captions` makes its caption."""
TRUE_MASK_COLOR: Color = (255, 255, 255)
COUNTED_COLOR: Color = (255, 140, 0)
MIN_SIDE = 160
"""Images of fewer pixels a side are doubled, so that an outline hides little of them."""


def to_colors(pixels: Float[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image with values in 0..1 as colors."""
    image = np.round(255 * pixels).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def enlarge(image: np.ndarray) -> np.ndarray:
    """Return the image with each pixel twice along both sides, unless it is large."""
    times = 1 if image.shape[0] >= MIN_SIDE else 2
    return image.repeat(times, axis=0).repeat(times, axis=1)


def draw_outlines(
    image: UInt8[np.ndarray, "h w 3"], masks: Mapping[Color, Bool[np.ndarray, "h w"]]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the image, enlarged, with the outline of each mask in its color, one pixel wide; the last is on top."""
    from scipy import ndimage  # here, since few pictures have masks

    canvas = enlarge(image).copy()
    for color, mask in masks.items():
        enlarged_mask = enlarge(mask)
        canvas[enlarged_mask & ~ndimage.binary_erosion(enlarged_mask)] = color
    return canvas


# Pictures for the page and the preview: sheets of every environment, and pairs that differ in one factor alone.

MIN_COLUMNS = 3
"""Fewest images in a row of a sheet of a confounder, however wide they are."""
MAX_PAIRS_SHOWN, MAX_PAIRS_SCANNED = 3, 24
"""Pairs of a factor that are drawn; images that are searched for those that the factor changes."""
MAX_MASKS_SCANNED = 200
"""Images that are searched for those with a mask."""
MAX_MARK_LETTERS = 40
"""Letters of a mark's name in the name of a file."""
MAX_COPIES_SHOWN = 24
"""Pictures that several files hold, of which so many are drawn at most, each from two files."""
CONTRADICTION_COLOR: Color = (213, 94, 0)
"""Color of the frame of copies with contradicting labels."""
GAINS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # that differences are multiplied by; at 0.5 any of them can be shown
SHEET_WIDTH = 1100  # screen pixels that a sheet may take
GAP_GRAY = 128
"""Gray level between the images of a sheet, which suits light and dark pages."""


@dataclass(frozen=True)
class PictureWriter:
    """Draw and write the pictures of a run.

    Attributes:
        folder: Folder that they are written into.
        scale: Size of a pixel in millimeters, where it is known.
        target: Name of the target.
        folds: Number of test folds.
        masks: Whether sheets show the outlines of masks.
    """

    folder: Path
    scale: PixelScale
    target: str
    folds: int = 1
    masks: bool = False

    def draw_sheet(self, environment: Environment, name: str, heading: str) -> Row:
        """Draw a sheet of one environment: one row of images per class, the first of each class.

        Of many classes the most frequent have a row each, and the others are counted together (`foremost`).

        Args:
            name: The environment's name in tables.
            heading: What the images are for, such as training.
        """
        target, classes = environment.table.target, environment.table.classes
        counts = {label: int(np.sum(target == k)) for k, label in enumerate(classes)}
        frequent_labels, other_labels = foremost(counts)
        labels = [label for label in frequent_labels if counts[label]]
        indices_of_rows = [np.flatnonzero(target == classes.index(label))[:SHEET_COLUMNS] for label in labels]
        draw_pixels = _pixels_with_outlines if self.masks and environment.masks is not None else _pixels
        facts = {
            "head": heading,
            "target": self.target,
            "rows": labels,
            "images": len(environment),
            "counts": {label: counts[label] for label in frequent_labels},
            "rest": {label: counts[label] for label in other_labels},
            "marks": _marked_images(environment, dict(zip(labels, indices_of_rows, strict=True))),
            # A test set of its own (`data.tests`) is not divided into folds.
            "folds": 1 if environment.data else self.folds,
            "masks": draw_pixels is _pixels_with_outlines,
        }
        rows = [draw_pixels(environment, index) for index in indices_of_rows]
        return self._write(f"sheet-{_file_stem(name)}.png", _grid(rows), "sheet", facts, environment=name)

    def draw_source_training_images(self, environment: Environment, name: str, epochs: int) -> Row:
        """Draw images that a source is trained on: the first of each of its classes, as many as two rows hold."""
        _, first = np.unique(environment.table.target, return_index=True)
        chosen = np.array_split(first[: 2 * SHEET_COLUMNS], 2) if len(first) > SHEET_COLUMNS else [first]
        facts = {
            "images": len(environment),
            "classes": len(environment.table.classes),
            "epochs": epochs,
            "shown": len(first[: 2 * SHEET_COLUMNS]),
        }
        rows = [_pixels(environment, index) for index in chosen]
        return self._write(f"source-{_file_stem(name)}.png", _grid(rows), "source", facts, environment=name)

    def draw_flagged_images(self, dataset: Dataset, rows: Int[np.ndarray, " m"], kind: str, **more: Any) -> Row:
        """Draw the first of some images, with the numbers of their rows and `more` facts."""
        shown: list[int] = rows[: 2 * SHEET_COLUMNS].tolist()
        images = image_values(dataset.images, np.array(shown))
        pictures = [to_colors(image) for image in images]
        numbers = _row_numbers(dataset)
        facts = {
            "kind": kind,
            "images": len(rows),
            "rows": [numbers[at] for at in shown],
            "classes": self._classes(dataset, shown),
            **_row_names(dataset),
            **more,
        }
        grid = _grid([pictures[start : start + SHEET_COLUMNS] for start in range(0, len(pictures), SHEET_COLUMNS)])
        return self._write(f"found-{kind}-{int(rows[0])}.png", grid, "found", facts)

    def draw_cue(self, dataset: Dataset, rows: Sequence[int], counted: Bool[np.ndarray, "n h w"], name: str) -> Row:
        """Draw images of which the first half has most of a property, with the outline of the pixels that it counts.

        Args:
            dataset: The images.
            rows: Their positions: those with most, then as many with least.
            counted: The pixels that the property counts, in the square of the dataset.
            name: The property.
        """
        images, half, numbers = image_values(dataset.images, np.array(rows)), len(rows) // 2, _row_numbers(dataset)
        drawn = [
            draw_outlines(to_colors(image), {COUNTED_COLOR: mask}) for image, mask in zip(images, counted, strict=True)
        ]
        facts = {
            "cue": name,
            "rows": [numbers[at] for at in rows],
            "classes": self._classes(dataset, rows),
            **_row_names(dataset),
        }
        return self._write("cue.png", _grid([drawn[:half], drawn[half:]]), "cue", facts)

    def draw_mask_outlines(self, dataset: Dataset) -> Iterator[Row]:
        """Draw the outlines of masks on the first images that have one, with the numbers of their rows."""
        if dataset.masks is None:
            return
        masks = mask_values(dataset.masks, np.arange(min(MAX_MASKS_SCANNED, len(dataset.table))))[:, 0] > 0
        indices = np.flatnonzero(masks.any(axis=(1, 2)))[: 2 * SHEET_COLUMNS]
        if not len(indices):
            return
        images = image_values(dataset.images, indices)
        drawn = [
            draw_outlines(to_colors(image), {TRUE_MASK_COLOR: masks[at]})
            for image, at in zip(images, indices, strict=True)
        ]
        numbers, positions = _row_numbers(dataset), [int(at) for at in indices]
        grid = _grid([drawn[start : start + SHEET_COLUMNS] for start in range(0, len(drawn), SHEET_COLUMNS)])
        facts = {"rows": [numbers[at] for at in positions], "images": len(dataset.table), **_row_names(dataset)}
        yield self._write("masks.png", grid, "masks", facts)

    def draw_copies(self, dataset: Dataset, clusters: Sequence[Int[np.ndarray, " m"]]) -> list[Row]:
        """Draw pictures that several files hold, eight a sheet: the first file of each above the second.

        Those with contradicting labels are framed and first. At most `MAX_COPIES_SHOWN` are drawn; facts count all.

        Args:
            dataset: The images.
            clusters: Positions of the files of each picture.
        """
        copy_pairs = np.array([files[:2] for files in clusters], dtype=np.int64).reshape(-1, 2)
        numbers = _row_numbers(dataset)
        contradict = np.array([np.ptp(dataset.table.target[files]) > 0 for files in clusters], dtype=bool)
        order = np.argsort(~contradict, kind="stable")
        rows_written: list[Row] = []
        for start in range(0, min(len(copy_pairs), MAX_COPIES_SHOWN), SHEET_COLUMNS):
            indices = order[start : min(start + SHEET_COLUMNS, MAX_COPIES_SHOWN)]
            framed = contradict[indices]
            rows = [
                [_frame(to_colors(image), is_framed) for image, is_framed in zip(images, framed.tolist(), strict=True)]
                for images in (image_values(dataset.images, copy_pairs[indices, side]) for side in (0, 1))
            ]
            pairs: list[list[int]] = copy_pairs[indices].T.tolist()
            facts = {
                "first": start + 1,
                "pictures": len(copy_pairs),
                "contradicting": int(contradict.sum()),
                "framed": framed.tolist(),
                "rows": [numbers[at] for side in pairs for at in side],
                "classes": self._classes(dataset, [at for side in pairs for at in side]),
                **_row_names(dataset),
            }
            rows_written.append(self._write(f"copies-{start // SHEET_COLUMNS + 1}.png", _grid(rows), "copies", facts))
        return rows_written

    def draw_confounder_sheet(self, number: int, label: str, clean: Environment, changed: Environment) -> Row:
        """Draw a sheet of one confounder: the same images without it, with it, and the difference.

        Args:
            number: Number of the confounder within its study, since two labels may be alike but for punctuation.
            label: Its name on pages.
            clean: Images without it.
            changed: The same images with it.
        """
        columns = max(MIN_COLUMNS, min(SHEET_COLUMNS, SHEET_WIDTH // (clean.images.shape[2] + SHEET_GAP)))
        index = np.argsort(clean.table.target[:columns], kind="stable")
        before, after = _pixels(clean, index), _pixels(changed, index)
        gain = amplification(before, after)
        rows = [before, after, [_difference(a, b, gain) for a, b in zip(before, after, strict=True)]]
        facts = {"images": len(index), "times": gain}
        name = f"confounder-{number}-{_file_stem(label)}.png"
        return self._write(name, _grid(rows), "confounder", facts, factor=label)

    def draw_pairs(
        self, scene: Scene, factor: str, logits: Mapping[str, Mapping[int, tuple[float, float]]], display_name: str = ""
    ) -> list[Row]:
        """Draw pairs of one factor: the same images with it low, with it high, and the difference.

        The first images that it changes are taken, since for example lesion size changes nothing where there is no
        lesion.

        Args:
            logits: Recipe -> row -> (logit when low, logit when high), where models have been read.
            display_name: The factor's name for readers; by default its name in tables.
        """
        display_name = display_name or factor
        low, high = scene.counterfactual(factor, "low"), scene.counterfactual(factor, "high")
        index = np.arange(min(MAX_PAIRS_SCANNED, len(low)))
        before, after = _pixels(low, index), _pixels(high, index)
        is_changed = [bool((image != other).any()) for image, other in zip(before, after, strict=True)]
        pairs: list[Row] = []
        for i in sorted(index.tolist(), key=lambda at: not is_changed[at])[:MAX_PAIRS_SHOWN]:
            gain = amplification([before[i]], [after[i]])
            images = [before[i], after[i], _difference(before[i], after[i], gain)]
            ends = [_factor_value_text(environment, factor, i) for environment in (low, high)]
            facts = {"low": ends[0], "high": ends[1], "times": gain}
            row = int(low.table.row[i])
            logits_of_pair = {recipe: list(by_row[row]) for recipe, by_row in logits.items() if row in by_row}
            name = f"pair-{_file_stem(display_name)}-{i}.png"
            pairs.append(self._write(name, _grid([images]), "pair", facts, factor=display_name, logits=logits_of_pair))
        return pairs

    def write_outlines(self, image: np.ndarray, facts: Facts, name: str, environment: str) -> Row:
        """Write a picture of the outlines of recipes on one image."""
        return self._write(f"outline-{_file_stem(name)}.png", image, "outline", facts, environment=environment)

    def write_case(
        self, images_by_mark: Mapping[str, tuple[Environment, int]], facts: Facts, environment_name: str
    ) -> Row:
        """Write one image, of a segmentation with the outline of its mask; beside it the same image with a mark.

        Its file is named after outcome, mark, environment and row, such as `wrong-reversed-line-75.png`.

        Args:
            images_by_mark: Mark, empty of the image as it is -> environment, and the position of the image in it.
            facts: Facts of the image, with its outcome.
            environment_name: The environment's name in tables.
        """
        pictures = [
            (_pixels_with_outlines if self.masks and environment.masks is not None else _pixels)(
                environment, np.array([at])
            )[0]
            for environment, at in images_by_mark.values()
        ]
        *_, mark = images_by_mark
        first, at = images_by_mark[""]
        row, row_labels = int(first.table.row[at]), first.table.places
        facts = {
            **facts,
            "row": row_labels.numbers[row] if row_labels else row + 1,
            **(row_labels.names if row_labels else {}),
        }
        parts = (
            facts["outcome"],
            mark[:MAX_MARK_LETTERS],
            environment_name,
            row_labels.word if row_labels else "row",
            str(facts["row"]),
        )
        name = f"{_file_stem('-'.join(filter(None, parts)))}.png"
        return self._write(name, _grid([pictures]), "case", facts, environment=environment_name, factor=mark)

    def write_heat_maps(self, image: np.ndarray, facts: Facts, name: str, environment: str, explainer: str) -> Row:
        """Write a picture of recipes' heat maps of one image."""
        file = f"heat-map-{_file_stem(name)}.png"
        return self._write(file, image, "heat-map", facts, environment=environment, factor=explainer)

    def _classes(self, dataset: Dataset, rows: Sequence[int]) -> list[str]:
        """Return the class of every image in words, a number with the target's name: `label 1`."""
        names = [dataset.table.classes[int(dataset.table.target[at])] for at in rows]
        return [f"{in_words(self.target)} {name}" if name.isdigit() else in_words(name) for name in names]

    def _write(self, name: str, image: np.ndarray, kind: str, facts: Facts, **more: Any) -> Row:
        """Write a picture, enlarged 1 to 4 times as far as the width of a sheet allows, and return its row."""
        pixel_scale = max(1, min(4, SHEET_WIDTH // image.shape[1]))
        enlarged = image.repeat(pixel_scale, axis=0).repeat(pixel_scale, axis=1)
        write_whole(self.folder / name, lambda path: Image.fromarray(enlarged).save(path, format="PNG"))
        return {
            "file": name,
            "kind": kind,
            "facts": json.dumps(facts),
            "environment": more.get("environment", ""),
            "factor": more.get("factor", ""),
            "logits": json.dumps(more.get("logits", {}), sort_keys=True),
            "pixel_size": self.scale.mm_per_pixel or 0.0,
            "scale": pixel_scale,
        }


def _row_numbers(dataset: Dataset) -> Sequence[int]:
    """Return the number of every row, as its user counts them."""
    row_labels = dataset.table.places
    return row_labels.numbers if row_labels else range(1, len(dataset.table) + 1)


def _row_names(dataset: Dataset) -> dict[str, str]:
    """Return the words for rows of a table."""
    return dataset.table.places.names if dataset.table.places else {}


def _marked_images(environment: Environment, images: Mapping[str, np.ndarray]) -> dict[str, dict[str, list[bool]]]:
    """Return mark or other intervention -> class -> whether each of its shown images has the mark.

    Args:
        environment: The environment of the images.
        images: Class -> positions of its images, in the order of the sheet.
    """
    from assay.shifts.intervention import mark_factor

    table = environment.table
    return {
        factor.name: {label: (table.columns[factor.name][index] == 1).tolist() for label, index in images.items()}
        for factor in table.factors
        if factor == mark_factor(factor.name)  # an intervention, and no column of the data with its name
    }


def _pixels(environment: Environment, index: np.ndarray) -> list[np.ndarray]:
    """Return images at these positions as uint8 [h, w] or [h, w, 3]."""
    images = environment.images.read(index).mul(255).round().byte().numpy().transpose(0, 2, 3, 1)
    return [image[..., 0] if image.shape[-1] == 1 else image for image in images]


def _pixels_with_outlines(environment: Environment, index: np.ndarray) -> list[np.ndarray]:
    """Return images at these positions as uint8 [h, w, 3], with the outlines of their masks."""
    assert environment.masks is not None
    images, masks = environment.images.read(index).numpy(), environment.masks.read(index)[:, 0].numpy() > 0
    return [draw_outlines(to_colors(image), {TRUE_MASK_COLOR: mask}) for image, mask in zip(images, masks, strict=True)]


def amplification(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """Return the largest of `GAINS` at which 99 of 100 changed values are between black and white; 1 without any."""
    change = np.abs(np.stack(after).astype(np.float64) - np.stack(before))
    if not change.any():
        return 1.0
    reach = float(np.quantile(change[change > 0], 0.99))
    return max((factor for factor in GAINS if factor * reach <= 127.5), default=GAINS[0])


def _difference(before: np.ndarray, after: np.ndarray, gain: float) -> np.ndarray:
    """Return the difference, times the gain, around mid-gray; clipped at black and white."""
    change = after.astype(np.float64) - before.astype(np.float64)
    return (127.5 + gain * change).round().clip(0, 255).astype(np.uint8)


def _grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return rows of equally sized images as one image, with a gray gap between them."""
    first = rows[0][0]
    height, width = first.shape[:2]
    columns = max(len(row) for row in rows)
    canvas = np.full(
        (len(rows) * (height + SHEET_GAP) - SHEET_GAP, columns * (width + SHEET_GAP) - SHEET_GAP, *first.shape[2:]),
        GAP_GRAY,
        np.uint8,
    )
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            y, x = r * (height + SHEET_GAP), c * (width + SHEET_GAP)
            canvas[y : y + height, x : x + width] = image
    return canvas


def _frame(image: UInt8[np.ndarray, "h w 3"], is_visible: bool) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the image with a frame around it, as gray as a gap unless it is visible."""
    canvas = np.full((image.shape[0] + 2 * SHEET_GAP, image.shape[1] + 2 * SHEET_GAP, 3), GAP_GRAY, np.uint8)
    if is_visible:
        canvas[:] = CONTRADICTION_COLOR
    canvas[SHEET_GAP:-SHEET_GAP, SHEET_GAP:-SHEET_GAP] = image
    return canvas


def _factor_value_text(environment: Environment, factor: str, i: int) -> str:
    """Return the value of a factor for the image at a position, with its unit."""
    return environment.table.factor(factor).text(float(environment.table.columns[factor][i]))


def _file_stem(name: str) -> str:
    """Return a name with letters, digits and hyphens only, in lower case."""
    return "".join(letter if letter.isalnum() else "-" for letter in name).strip("-").lower()
