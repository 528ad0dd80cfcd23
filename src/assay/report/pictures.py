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

if TYPE_CHECKING:
    from assay.data.dataset import Dataset, PixelScale
    from assay.shifts.environment import Environment, Scene


# Images as they are drawn: as colors, enlarged, with the outlines of masks upon them.

Color = tuple[int, int, int]
Facts = Mapping[str, Any]
"""Facts of a picture by name, from which `report` makes its caption."""
TRUTH: Color = (255, 255, 255)
COUNTED: Color = (255, 140, 0)
LEAST_SIDE = 160
"""Images of fewer pixels a side are doubled, so that an outline hides little of them."""


def to_colors(pixels: Float[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image in 0..1 as colors."""
    image = np.round(255 * pixels).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def enlarge(image: np.ndarray) -> np.ndarray:
    """Each pixel twice along both sides, unless the image is large."""
    times = 1 if image.shape[0] >= LEAST_SIDE else 2
    return image.repeat(times, axis=0).repeat(times, axis=1)


def outline(
    image: UInt8[np.ndarray, "h w 3"], masks: Mapping[Color, Bool[np.ndarray, "h w"]]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image, enlarged, with the outline of each mask in its color, one pixel wide; the last is on top."""
    from scipy import ndimage  # here, since few pictures have masks

    canvas = enlarge(image).copy()
    for color, mask in masks.items():
        whole = enlarge(mask)
        canvas[whole & ~ndimage.binary_erosion(whole)] = color
    return canvas


# Pictures for the page and the preview: sheets of every environment, and pairs that differ in one factor alone.

COLUMNS = 8  # images a row of a sheet, one row per class
LEAST_COLUMNS = 3
SHOWN_PAIRS, LOOKED_AT, LOOKED_AT_MASKS = 3, 24, 200
MOST_LETTERS = 40
"""Letters of a mark's name in the name of a file."""
MOST_COPIES = 24
CONTRADICTING: Color = (213, 94, 0)
FACTORS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # that differences are multiplied by; at 0.5 any of them can be shown
SHEET_WIDTH = 1100  # screen pixels that a sheet may take
GAP, BETWEEN = 2, 128
"""Pixels between the images of a sheet, and their gray, which suits light and dark pages."""


@dataclass(frozen=True)
class PictureSettings:
    """Settings of pictures: folder, value of a pixel, target, number of test folds, and whether sheets show masks."""

    folder: Path
    scale: PixelScale
    target: str
    folds: int = 1
    masks: bool = False

    def sheet(self, environment: Environment, name: str, head: str) -> Row:
        """Draw a sheet of one environment: one row of images per class, the first of each class.

        Of many classes the most frequent have a row each, and the others are counted together (`foremost`).

        Args:
            name: The environment's name in tables.
            head: The reader's role.
        """
        target, classes = environment.table.target, environment.table.classes
        rows_of = {label: int(np.sum(target == k)) for k, label in enumerate(classes)}
        named, rest = foremost(rows_of)
        labels = [label for label in named if rows_of[label]]
        chosen = [np.flatnonzero(target == classes.index(label))[:COLUMNS] for label in labels]
        draw_pixels = _with_masks if self.masks and environment.masks is not None else _pixels
        facts = {
            "head": head,
            "target": self.target,
            "rows": labels,
            "images": len(environment),
            "counts": {label: rows_of[label] for label in named},
            "rest": {label: rows_of[label] for label in rest},
            "marks": _marked_images(environment, dict(zip(labels, chosen, strict=True))),
            "folds": 1 if environment.data else self.folds,
            "masks": draw_pixels is _with_masks,
        }
        rows = [draw_pixels(environment, index) for index in chosen]
        return self._write(f"sheet-{_safe(name)}.png", _grid(rows), "sheet", facts, environment=name)

    def source(self, environment: Environment, name: str, epochs: int) -> Row:
        """Draw images that a source is trained on: the first of each of its classes, as many as two rows hold."""
        _, first = np.unique(environment.table.target, return_index=True)
        chosen = np.array_split(first[: 2 * COLUMNS], 2) if len(first) > COLUMNS else [first]
        facts = {
            "images": len(environment),
            "classes": len(environment.table.classes),
            "epochs": epochs,
            "shown": len(first[: 2 * COLUMNS]),
        }
        rows = [_pixels(environment, index) for index in chosen]
        return self._write(f"source-{_safe(name)}.png", _grid(rows), "source", facts, environment=name)

    def suspects(self, dataset: Dataset, rows: Int[np.ndarray, " m"], kind: str, **more: Any) -> Row:
        """Draw the first of some images, with the numbers of their rows and `more` facts."""
        shown: list[int] = rows[: 2 * COLUMNS].tolist()
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
        grid = _grid([pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)])
        return self._write(f"found-{kind}-{int(rows[0])}.png", grid, "found", facts)

    def cue(self, dataset: Dataset, rows: Sequence[int], counted: Bool[np.ndarray, "n h w"], name: str) -> Row:
        """Draw images of which the first half has most of a property, with the outline of the pixels that it counts.

        Args:
            dataset: The images.
            rows: Their positions: those with most, then as many with least.
            counted: The pixels that the property counts, in the square of the dataset.
            name: The property.
        """
        images, half, numbers = image_values(dataset.images, np.array(rows)), len(rows) // 2, _row_numbers(dataset)
        drawn = [outline(to_colors(image), {COUNTED: mask}) for image, mask in zip(images, counted, strict=True)]
        facts = {
            "cue": name,
            "rows": [numbers[at] for at in rows],
            "classes": self._classes(dataset, rows),
            **_row_names(dataset),
        }
        return self._write("cue.png", _grid([drawn[:half], drawn[half:]]), "cue", facts)

    def mask_outlines(self, dataset: Dataset) -> Iterator[Row]:
        """Draw the outlines of masks on the first images that have one, with the numbers of their rows."""
        if dataset.masks is None:
            return
        masks = mask_values(dataset.masks, np.arange(min(LOOKED_AT_MASKS, len(dataset.table))))[:, 0] > 0
        some = np.flatnonzero(masks.any(axis=(1, 2)))[: 2 * COLUMNS]
        if not len(some):
            return
        images = image_values(dataset.images, some)
        drawn = [outline(to_colors(image), {TRUTH: masks[at]}) for image, at in zip(images, some, strict=True)]
        numbers, positions = _row_numbers(dataset), [int(at) for at in some]
        grid = _grid([drawn[start : start + COLUMNS] for start in range(0, len(drawn), COLUMNS)])
        facts = {"rows": [numbers[at] for at in positions], "images": len(dataset.table), **_row_names(dataset)}
        yield self._write("masks.png", grid, "masks", facts)

    def copies(self, dataset: Dataset, clusters: Sequence[Int[np.ndarray, " m"]]) -> list[Row]:
        """Draw pictures that several files hold, eight a sheet: the first file of each above the second.

        Those with contradicting labels are framed and come first. At most `MOST_COPIES` are drawn; facts count all.

        Args:
            dataset: The images.
            clusters: Positions of the files of each picture.
        """
        places = np.array([files[:2] for files in clusters], dtype=np.int64).reshape(-1, 2)
        numbers = _row_numbers(dataset)
        contradict = np.array([np.ptp(dataset.table.target[files]) > 0 for files in clusters], dtype=bool)
        order = np.argsort(~contradict, kind="stable")
        rows_written: list[Row] = []
        for start in range(0, min(len(places), MOST_COPIES), COLUMNS):
            some = order[start : min(start + COLUMNS, MOST_COPIES)]
            framed = contradict[some]
            rows = [
                [_frame(to_colors(image), on) for image, on in zip(images, framed.tolist(), strict=True)]
                for images in (image_values(dataset.images, places[some, side]) for side in (0, 1))
            ]
            pairs: list[list[int]] = places[some].T.tolist()
            facts = {
                "first": start + 1,
                "pictures": len(places),
                "contradicting": int(contradict.sum()),
                "framed": framed.tolist(),
                "rows": [numbers[at] for side in pairs for at in side],
                "classes": self._classes(dataset, [at for side in pairs for at in side]),
                **_row_names(dataset),
            }
            rows_written.append(self._write(f"copies-{start // COLUMNS + 1}.png", _grid(rows), "copies", facts))
        return rows_written

    def contact(self, number: int, label: str, clean: Environment, changed: Environment) -> Row:
        """Draw a sheet of one confounder: the same images without it, with it, and the difference.

        Args:
            number: Number of the confounder within its study, since two labels may be alike but for signs.
            label: Its name on pages.
            clean: Images without it.
            changed: The same images with it.
        """
        columns = max(LEAST_COLUMNS, min(COLUMNS, SHEET_WIDTH // (clean.images.shape[2] + GAP)))
        index = np.argsort(clean.table.target[:columns], kind="stable")
        before, after = _pixels(clean, index), _pixels(changed, index)
        factor = amplification(before, after)
        rows = [before, after, [_difference(a, b, factor) for a, b in zip(before, after, strict=True)]]
        facts = {"images": len(index), "times": factor}
        name = f"confounder-{number}-{_safe(label)}.png"
        return self._write(name, _grid(rows), "confounder", facts, factor=label)

    def pairs(
        self, scene: Scene, factor: str, logits: Mapping[str, Mapping[int, tuple[float, float]]], called: str = ""
    ) -> list[Row]:
        """Draw pairs of one factor: the same images with it low, with it high, and the difference.

        The first images that it changes are taken, since for example lesion size changes nothing where there is no
        lesion.

        Args:
            logits: Recipe -> row -> (logit when low, logit when high), where models have been read.
            called: The factor's name for readers, where it is another.
        """
        called = called or factor
        low, high = scene.counterfactual(factor, "low"), scene.counterfactual(factor, "high")
        index = np.arange(min(LOOKED_AT, len(low)))
        before, after = _pixels(low, index), _pixels(high, index)
        differs = [bool((image != other).any()) for image, other in zip(before, after, strict=True)]
        pairs: list[Row] = []
        for i in sorted(index.tolist(), key=lambda at: not differs[at])[:SHOWN_PAIRS]:
            by = amplification([before[i]], [after[i]])
            images = [before[i], after[i], _difference(before[i], after[i], by)]
            ends = [_factor_text(environment, factor, i) for environment in (low, high)]
            facts = {"low": ends[0], "high": ends[1], "times": by}
            row = int(low.table.row[i])
            logits_of_pair = {recipe: list(by_row[row]) for recipe, by_row in logits.items() if row in by_row}
            name = f"pair-{_safe(called)}-{i}.png"
            pairs.append(self._write(name, _grid([images]), "pair", facts, factor=called, logits=logits_of_pair))
        return pairs

    def outlines(self, image: np.ndarray, facts: Facts, name: str, environment: str) -> Row:
        """Write the outlines of recipes on one image, at its final pixel size."""
        return self._write(f"outline-{_safe(name)}.png", image, "outline", facts, environment=environment)

    def case(self, environments: Mapping[str, tuple[Environment, int]], facts: Facts, place: str) -> Row:
        """Write one image, of a segmentation with the outline of its mask; beside it the same image with a mark.

        Its file is named after outcome, mark, environment and row, such as `wrong-reversed-line-75.png`.

        Args:
            environments: Mark, empty of the image as it is -> environment and position in it.
            facts: With its outcome.
            place: The environment's name in tables.
        """
        pictures = [
            (_with_masks if self.masks and environment.masks is not None else _pixels)(environment, np.array([at]))[0]
            for environment, at in environments.values()
        ]
        *_, mark = environments
        first, at = environments[""]
        row, places = int(first.table.row[at]), first.table.places
        facts = {**facts, "row": places.numbers[row] if places else row + 1, **(places.names if places else {})}
        parts = (facts["outcome"], mark[:MOST_LETTERS], place, places.word if places else "row", str(facts["row"]))
        name = f"{_safe('-'.join(filter(None, parts)))}.png"
        return self._write(name, _grid([pictures]), "case", facts, environment=place, factor=mark)

    def heat_map(self, image: np.ndarray, facts: Facts, name: str, environment: str, explainer: str) -> Row:
        """Write recipes' heat maps of one image, at its final pixel size."""
        file = f"heat-map-{_safe(name)}.png"
        return self._write(file, image, "heat-map", facts, environment=environment, factor=explainer)

    def _classes(self, dataset: Dataset, rows: Sequence[int]) -> list[str]:
        """Return the class of every image in words, a number with the target's name: `label 1`."""
        names = [dataset.table.classes[int(dataset.table.target[at])] for at in rows]
        return [f"{in_words(self.target)} {name}" if name.isdigit() else in_words(name) for name in names]

    def _write(self, name: str, image: np.ndarray, kind: str, facts: Facts, **more: Any) -> Row:
        scale = max(1, min(4, SHEET_WIDTH // image.shape[1]))
        big = image.repeat(scale, axis=0).repeat(scale, axis=1)
        write_whole(self.folder / name, lambda path: Image.fromarray(big).save(path, format="PNG"))
        return {
            "file": name,
            "kind": kind,
            "facts": json.dumps(facts),
            "environment": more.get("environment", ""),
            "factor": more.get("factor", ""),
            "logits": json.dumps(more.get("logits", {}), sort_keys=True),
            "pixel_size": self.scale.mm_per_pixel or 0.0,
            "scale": scale,
        }


def _row_numbers(dataset: Dataset) -> Sequence[int]:
    """Return the number of every row, as its user counts them."""
    places = dataset.table.places
    return places.numbers if places else range(1, len(dataset.table) + 1)


def _row_names(dataset: Dataset) -> dict[str, str]:
    """Return the words for rows of a table."""
    return dataset.table.places.names if dataset.table.places else {}


def _marked_images(environment: Environment, images: Mapping[str, np.ndarray]) -> dict[str, dict[str, list[bool]]]:
    """Return mark -> class -> whether each of its shown images has the mark.

    Args:
        environment: The environment of the images.
        images: Class -> positions of its images, in the order of the sheet.
    """
    from assay.shifts.intervention import mark_factor

    table = environment.table
    return {
        factor.name: {label: (table.columns[factor.name][index] == 1).tolist() for label, index in images.items()}
        for factor in table.factors
        if factor == mark_factor(factor.name)
    }


def _pixels(environment: Environment, index: np.ndarray) -> list[np.ndarray]:
    """Images at these positions as uint8 [h, w] or [h, w, 3]."""
    images = environment.images.read(index).mul(255).round().byte().numpy().transpose(0, 2, 3, 1)
    return [image[..., 0] if image.shape[-1] == 1 else image for image in images]


def _with_masks(environment: Environment, index: np.ndarray) -> list[np.ndarray]:
    """Images at these positions as uint8 [h, w, 3], with the outlines of their masks."""
    assert environment.masks is not None
    images, masks = environment.images.read(index).numpy(), environment.masks.read(index)[:, 0].numpy() > 0
    return [outline(to_colors(image), {TRUTH: mask}) for image, mask in zip(images, masks, strict=True)]


def amplification(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """The largest of `FACTORS` at which 99 of 100 changed values still lie between black and white; 1 of none."""
    change = np.abs(np.stack(after).astype(np.float64) - np.stack(before))
    if not change.any():
        return 1.0
    reach = float(np.quantile(change[change > 0], 0.99))
    return max((factor for factor in FACTORS if factor * reach <= 127.5), default=FACTORS[0])


def _difference(before: np.ndarray, after: np.ndarray, factor: float) -> np.ndarray:
    """Return the difference, times a factor, around mid-gray; cut at black and white."""
    change = after.astype(np.float64) - before.astype(np.float64)
    return (127.5 + factor * change).round().clip(0, 255).astype(np.uint8)


def _grid(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Rows of equally sized images as one, with a gray gap between them."""
    first = rows[0][0]
    height, width = first.shape[:2]
    columns = max(len(row) for row in rows)
    canvas = np.full(
        (len(rows) * (height + GAP) - GAP, columns * (width + GAP) - GAP, *first.shape[2:]), BETWEEN, np.uint8
    )
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            y, x = r * (height + GAP), c * (width + GAP)
            canvas[y : y + height, x : x + width] = image
    return canvas


def _frame(image: UInt8[np.ndarray, "h w 3"], on: bool) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image with a frame around it, as gray as a gap unless `on`."""
    canvas = np.full((image.shape[0] + 2 * GAP, image.shape[1] + 2 * GAP, 3), BETWEEN, np.uint8)
    if on:
        canvas[:] = CONTRADICTING
    canvas[GAP:-GAP, GAP:-GAP] = image
    return canvas


def _factor_text(environment: Environment, factor: str, i: int) -> str:
    return environment.table.factor(factor).text(float(environment.table.columns[factor][i]))


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name).strip("-").lower()
