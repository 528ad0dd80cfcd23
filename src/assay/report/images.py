"""Images on the page: examples, pairs and confounders."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from markupsafe import Markup
from PIL import Image

from assay.core.errors import StoreError
from assay.core.files import is_file
from assay.report.account import Thumbnail
from assay.report.context import PageContext, coordinates, int_or_zero
from assay.report.drawing import AXIS_SIZE, AxisScale, Drawing, Style, line, marker, shorten, text, text_width
from assay.report.sentences.captions import caption, pair_ends
from assay.report.words import sentence_case
from assay.stats.format import in_words, join_words, number
from assay.stats.rows import CONFOUNDER, Row, json_object, numeric
from assay.store.schema import SHEET_GAP

# Logits of a counterfactual pair at each level: that of the first image and that of the second.

LogitPair = tuple[float, float]
LogitsByLevel = Mapping[str, Mapping[str, LogitPair]]
"""Level -> its dose in training, such as `p = 0.5`, empty where there is but one -> logits of both images."""

ROW_HEIGHT, TOP, LOGIT_LABEL, LOGIT_GAP = 18.0, 18.0, 92.0, 5.0
MAX_SIDE = 128
"""Longest side of a thumbnail, in CSS pixels."""
MIN_REACH = 1.0
"""A drawing reaches at least one standard deviation either way, so that what is small looks small."""


def recipes_by_level_and_dose(
    context: PageContext, factor: str, recipes: Collection[str]
) -> dict[tuple[str, str], str]:
    """Return (level, dose) -> the recipe whose logits are drawn next to a pair of this factor.

    The recipes are in the slice that charts show, with doses left free. For a pair of a confounder they are those that
    were trained with it. Failing these, they have the confounder of the slice, or else any.

    Args:
        context: The input of the page.
        factor: The factor of the pair.
        recipes: Recipes that have logits for the pair.
    """
    view = context.scope
    rows = {row["recipe"]: row for row in context.tables.get("trials", ()) if row["recipe"] in recipes}
    near = {recipe: row for recipe, row in rows.items() if view.is_in_slice(row, view.dose_axis, CONFOUNDER)}
    of_confounder = {
        recipe: row for recipe, row in near.items() if _trained_confounder(row) == factor.partition("(")[0]
    }
    in_slice = {recipe: row for recipe, row in near.items() if view.is_in_slice(row, view.dose_axis)}
    return {
        (context.level_label(row), coordinates(row).get(view.dose_axis, "") if view.dose_axis else ""): recipe
        for recipe, row in (of_confounder or in_slice or near).items()
    }


def _trained_confounder(row: Row) -> str:
    """Return the confounder that a recipe was trained with, without its arguments."""
    return coordinates(row).get(CONFOUNDER, "").partition("(")[0]


def logit_drawing(values: LogitsByLevel, styles: Mapping[str, Style], width: float) -> Drawing:
    """Draw a row per level and dose: from the logit of the first image (a stroke) to that of the second (its marker).

    Args:
        values: Logits of the pair, in standard deviations within class.
        styles: Level -> its color and marker.
        width: Width in CSS pixels.
    """
    each = [(level, dose) for level, doses in values.items() for dose in doses]
    aside = max((text_width(dose, AXIS_SIZE) for _, dose in each), default=0.0) + 4
    label = min(max(text_width(level, AXIS_SIZE) for level in values) + 8, width * 0.36)
    logits = [value for doses in values.values() for ends in doses.values() for value in ends if math.isfinite(value)]
    low, high = min([-MIN_REACH, *logits]), max([MIN_REACH, *logits])
    scale = AxisScale(low, high, label + aside + 8, width - LOGIT_LABEL - 8)
    zero, bottom = scale(0.0), TOP + ROW_HEIGHT * len(each) + LOGIT_GAP * (len(values) - 1)
    parts = [
        text(0, 11, "logit, in sd", size=AXIS_SIZE, color="var(--soft)"),
        text(zero, 11, "0", size=AXIS_SIZE, anchor="middle", color="var(--soft)"),
        text(width, 11, "first → second", size=AXIS_SIZE, anchor="end", color="var(--soft)"),
        line(zero, 15, zero, bottom, "var(--reference)"),
    ]
    y = TOP + ROW_HEIGHT / 2
    for level, doses_of_level in values.items():
        parts.append(text(0, y + 4, shorten(level, label, AXIS_SIZE), size=AXIS_SIZE, full=level))
        for dose, ends in doses_of_level.items():
            parts.append(text(label, y + 4, dose, size=AXIS_SIZE, color="var(--soft)"))
            parts.append(_draw_arrow(ends, scale, y, styles[level]))
            words = f"{number(ends[0], 1)} → {number(ends[1], 1)}"
            parts.append(text(width, y + 4, words, size=AXIS_SIZE, anchor="end"))
            y += ROW_HEIGHT
        y += LOGIT_GAP
    return Drawing(width, bottom + 4, "".join(parts))


def _draw_arrow(ends: LogitPair, scale: AxisScale, y: float, style: Style) -> str:
    """Draw the shift of a logit at a height: from a stroke to a marker; nothing where one is not finite."""
    if not all(map(math.isfinite, ends)):
        return ""
    before, after = map(scale, ends)
    shaft = line(before, y, after, y, style.color, 2.0) + line(before, y - 4, before, y + 4, style.color, 2.0)
    return shaft + marker(style.marker, after, y, 4.2, style.color)


def logit_words(values: LogitsByLevel) -> str:
    """Return the logits of a pair in words, as a description of the drawing."""
    return f"Logit in within-class sd of the first image, then of the second: {'; '.join(_value_words(values))}"


def _value_words(values: LogitsByLevel) -> Iterator[str]:
    """Yield both logits of each level and dose in words."""
    for level, doses_of_level in values.items():
        for dose, (low, high) in doses_of_level.items():
            where = f"{level}, trained at {dose}" if dose else level
            yield f"{where} {number(low, 1)}, {number(high, 1)}"


# Pictures for the page: at their own pixels, enlarged by the browser by whole multiples, without smoothing.

MAX_FIRST_PAIRS = 2
"""Factors of which a pair is seen at once."""
MAX_PICTURE_BYTES = 1_800_000
"""Bytes that all pictures of a page may take; above that they are compressed with loss, and the page says so."""
SHEET_ROOM, PAIR_ROOM, CASE_ROOM, PHONE, LOGIT_WIDTH = 1120, 480, 160, 350, 350.0
"""Widths in CSS pixels: at most of a sheet, a pair, a single image and a picture on a phone; of a drawing of logits."""
OUTCOMES: Mapping[str, str] = {
    "wrong": "most confident wrong answers",
    "missed": "lowest Dice",
    "false-mask": "no lesion, but a mask",
    "divided": "recipes differ most",
    "moved": "most affected by {mark}",
    "right": "most confident correct answers",
    "outlined": "highest Dice",
}
"""Outcome of single images -> its words."""
MAX_LEVELS_DRAWN = 8
"""Levels whose logits are drawn at most."""


@dataclass(frozen=True)
class PagePicture:
    """A picture of the page.

    Attributes:
        uri: The picture as a data URI.
        width: Its width in pixels.
        height: Its height in pixels.
        scale: CSS pixels for each of its pixels.
        phone_scale: The same on a phone.
        caption: Its caption.
        alt: Its description for readers who do not see it.
        logits: Drawing of the logits of a pair; empty where none are known.
        ends_text: Of a pair, the values of its factor in both images and the gain of the difference; else empty.
    """

    uri: str
    width: int
    height: int
    scale: int
    phone_scale: int
    caption: str
    alt: str
    logits: Markup
    ends_text: str = ""


@dataclass(frozen=True)
class PictureGroup:
    """Pictures of one kind.

    Attributes:
        title: Heading; empty for none.
        note: Sentences below the heading.
        pictures: The pictures.
        most: How many of them are seen at once. The others are folded.
        noun: Name of one that is folded.
    """

    title: str
    note: str
    pictures: tuple[PagePicture, ...]
    most: int
    noun: str


_MARKS = "Each mark, without and with it"
_OF_FIRST = "Models of the first seed"
_GROUPS: Mapping[str, tuple[str, str, int, str]] = {
    "sheet": ("", "", 1, "further environment"),
    "source": ("What sources are trained on", "", 1, "further source"),
    "copies": ("Copies, exact or near", "If one file is in training and another in test, results are too good.", 1,
               "further sheet"),
    "found": ("What stands out", "", 1, "further sheet"),
    "masks": ("Outlines of masks", "", 1, "further sheet"),
    "cue": ("Pixels that a simple cue counts", "", 1, "further sheet"),
    "outline": ("Predicted outlines on the same images", "Ranked by the mean over recipes: by Dice in images with a "
                f"lesion, by predicted area in the others. {_OF_FIRST}, threshold p = 0.5.", 0, "image"),
    "heat-map": ("Heat maps on the same images",
                 f"{_OF_FIRST}. A map shows what a model attends to, not what it uses.", 0, "image"),
    "confounder": (_MARKS, "", 0, "mark"),
    "mark": (_MARKS, "", 0, "mark"),
}  # fmt: skip
"""Kind of picture -> title, note, how many are seen at once, name of one of the rest."""


@dataclass(frozen=True)
class Gallery:
    """Pictures of a run.

    Attributes:
        groups: Pictures by kind, without pairs.
        pairs: Factor -> its pictures.
        scale_text: The size of a pixel in millimeters, and what was lost or reduced, in words.
        drawings_text: Explanation of the drawings next to pairs; empty where there are none.
        cases: Single images by test condition, where there are several, and outcome.
    """

    groups: tuple[PictureGroup, ...]
    pairs: Mapping[str, tuple[PagePicture, ...]]
    scale_text: str
    drawings_text: str
    cases: tuple[PictureGroup, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is a picture."""
        return bool(self.groups or self.pairs or self.cases)

    @property
    def single(self) -> int:
        """Number of single images."""
        return sum(len(group.pictures) for group in self.cases)

    @property
    def first_pairs(self) -> tuple[tuple[str, PagePicture], ...]:
        """The first pair of the first few factors."""
        return tuple((factor, pictures[0]) for factor, pictures in list(self.pairs.items())[:MAX_FIRST_PAIRS])

    @property
    def further_pairs(self) -> tuple[tuple[str, PagePicture], ...]:
        """All other pairs, a pair of every factor before a second one of any."""
        turns = [(i, factor, picture) for factor, pictures in self.pairs.items() for i, picture in enumerate(pictures)]
        ordered = tuple((factor, picture) for _, factor, picture in sorted(turns, key=lambda turn: turn[0]))
        return ordered[len(self.first_pairs) :]


def make_gallery(root: Path, context: PageContext, rows: Sequence[Row], *, all_shown: bool = False) -> Gallery:
    """Return the pictures of a run; marks are folded where there are pairs, unless all is to be seen at once.

    Raises:
        StoreError: A file is missing or no picture; the text names it.
    """
    images, reduced = _images_of_page(root, rows)
    uris = [data_uri(image, lossless=True) for image in images]
    loss = sum(map(len, uris)) > MAX_PICTURE_BYTES
    if loss:
        uris = [data_uri(image, lossless=False) for image in images]
    pictures = [_make_picture(row, image, uri, context) for row, image, uri in zip(rows, images, uris, strict=True)]
    rows, pictures = _merge_equal_sheets(rows, pictures, context)
    pairs: dict[str, tuple[PagePicture, ...]] = {}
    for row, picture in zip(rows, pictures, strict=True):
        if row["kind"] == "pair":
            name = in_words(row["factor"])
            pairs[name] = (*pairs.get(name, ()), picture)
    groups: list[PictureGroup] = []
    for kind, (title, note, most, noun) in _GROUPS.items():
        of_kind = tuple(picture for row, picture in zip(rows, pictures, strict=True) if row["kind"] == kind)
        whole_group = all_shown or (kind == "confounder" and not pairs)
        groups += [PictureGroup(title, note, of_kind, len(of_kind) if whole_group else most, noun)] if of_kind else []
    cases: dict[str, list[PagePicture]] = {}
    for row, picture in zip(rows, pictures, strict=True):
        if row["kind"] == "case":
            outcome = OUTCOMES[json_object(row["facts"])["outcome"]].format(mark=row["factor"].replace("-", " "))
            place = f"{context.names.condition(row['environment'])}: " if row["environment"] else ""
            cases.setdefault(sentence_case(f"{place}{outcome}"), []).append(picture)
    single = tuple(PictureGroup(title, "", tuple(of_case), len(of_case), "image") for title, of_case in cases.items())
    return Gallery(
        tuple(groups), pairs, _scale_words(rows, loss, reduced=reduced), _explain_drawings(pictures, context), single
    )


def _images_of_page(root: Path, rows: Sequence[Row]) -> tuple[list[Image.Image], bool]:
    """Return the picture of each row as it fits the page, and whether any was reduced.

    One is open at a time, since together they may be larger than the memory.

    Raises:
        StoreError: A file is missing or no picture, or all are too large together.
    """
    by_file: dict[tuple[str, int], Image.Image] = {}
    reduced, pixels = False, 0
    for row in rows:
        key = Path(row["file"]).name, int_or_zero(row, "scale")
        if key in by_file:
            continue
        image = original_pixels(root, row)
        by_file[key] = _reduced_to_fit(image)
        reduced |= by_file[key].width < image.width
        pixels += by_file[key].width * by_file[key].height
        if pixels > _MAX_PIXELS:
            raise StoreError(f"{root}: its pictures are too large together; {_REMEDY}")
    return [by_file[Path(row["file"]).name, int_or_zero(row, "scale")] for row in rows], reduced


def _merge_equal_sheets(
    rows: Sequence[Row], pictures: Sequence[PagePicture], context: PageContext
) -> tuple[list[Row], list[PagePicture]]:
    """Return a contact sheet that several environments have once, at the first, whose caption names the others."""
    first: dict[str, int] = {}
    rows_once: list[Row] = []
    pictures_once: list[PagePicture] = []
    for row, picture in zip(rows, pictures, strict=True):
        at = first.setdefault(picture.uri, len(rows_once)) if row["kind"] == "sheet" else len(rows_once)
        if at == len(rows_once):
            rows_once.append(row)
            pictures_once.append(picture)
        else:
            caption, place = pictures_once[at].caption, context.names.condition(row["environment"])
            caption += f" {sentence_case(place)} begins with the same images."
            pictures_once[at] = replace(pictures_once[at], caption=caption)
    return rows_once, pictures_once


def _explain_drawings(pictures: Sequence[PagePicture], context: PageContext) -> str:
    """Explain the drawings next to pairs; empty where there are none."""
    if not any(picture.logits for picture in pictures):
        return ""
    view = context.scope
    fixed = [
        context.names.level(axis, level)
        for axis, level in view.fixed.items()
        if axis not in (view.dose_axis, CONFOUNDER)
    ]
    fixed_text = f" ({join_words(fixed)})" if fixed else ""
    doses = ", trained at the smallest and at the largest p" if view.dose_axis else ""
    few = (
        f" The first {MAX_LEVELS_DRAWN} of {len(view.levels)} are drawn." if len(view.levels) > MAX_LEVELS_DRAWN else ""
    )
    return (
        f"At the right: the logit of each {in_words(view.axis) or 'recipe'}{fixed_text}{doses}, from the stroke (first "
        "image) to the marker (second). It is the mean of the seeds that tested the image, in standard deviations of "
        "the model's logit within a class. Above 0, the network considers the last class more likely than the "
        f"rest.{few}"
    )


def original_pixels(root: Path, row: Row) -> Image.Image:
    """Return a picture with one pixel per pixel of its images: the file, less the enlargement that its row states."""
    image = open_picture(root / "pictures" / Path(row["file"]).name)
    scale = max(1, int_or_zero(row, "scale"))
    return image.resize((max(1, image.width // scale), max(1, image.height // scale)), Image.Resampling.NEAREST)


_MAX_PIXELS = 1 << 26
"""Of a picture of a run folder, which may come from somebody else, and of all on a page as they fit it."""
_REMEDY = "run the study again to make the pictures again"


def open_picture(path: Path) -> Image.Image:
    """Return a picture of a run folder.

    Raises:
        StoreError: It is no PNG, damaged or far too large. Other formats are not tried: some start programs.
    """
    if not is_file(path):  # a pipe would be waited for
        raise StoreError(f"cannot read {path}: there is no such file; {_REMEDY}")
    try:
        with Image.open(path, formats=("PNG",)) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
                raise OSError(f"it is {opened.width} x {opened.height} px")
            return opened.copy()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StoreError(f"cannot read {path}: {error}; {_REMEDY}") from error


def sheet_images(root: Path, row: Row, count: int, columns: int) -> Iterator[Image.Image]:
    """Yield the `count` images of a sheet, which has them in `columns` columns."""
    grid = original_pixels(root, row)
    width, height = (grid.width + SHEET_GAP) // columns, (grid.height + SHEET_GAP) // math.ceil(count / columns)
    for at in range(count):
        x, y = at % columns * width, at // columns * height
        yield grid.crop((x, y, x + width - SHEET_GAP, y + height - SHEET_GAP))


def _reduced_to_fit(image: Image.Image) -> Image.Image:
    """Return an image that is wider than the page reduced by a whole number, so that none of a sheet is hidden."""
    factor = math.ceil(image.width / SHEET_ROOM)
    return image if factor == 1 else (image if image.mode in ("L", "RGB") else image.convert("RGB")).reduce(factor)


def data_uri(image: Image.Image, *, lossless: bool) -> str:
    """Return an image as a data URI."""
    buffer = io.BytesIO()
    if lossless:
        image.save(buffer, format="PNG", optimize=True)
    else:
        image.convert("RGB").save(buffer, format="WEBP", quality=60, method=4)
    kind = "png" if lossless else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def thumbnail(image: Image.Image, label: str, side: int = MAX_SIDE) -> Thumbnail:
    """Return an image of the first screen, reduced or enlarged by a whole number, to a side of at most `side`."""
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    image = image.reduce(max(1, math.ceil(max(image.size) / side)))
    times = max(1, side // max(image.size))
    return Thumbnail(data_uri(image, lossless=True), image.width * times, image.height * times, label)


def _make_picture(row: Row, image: Image.Image, uri: str, context: PageContext) -> PagePicture:
    """Make a picture; the caption of a sheet begins with the name of its test condition."""
    logits = _draw_pair_logits(row, context)
    room = PAIR_ROOM if row["kind"] == "pair" else SHEET_ROOM
    phone = PHONE
    if row["kind"] == "case":
        room = phone = CASE_ROOM
    scale, phone_scale = (max(1, min(4, wide // image.width)) for wide in (room, phone))
    named = context.names.condition(row["environment"]) if row["kind"] == "sheet" else ""
    text = caption(row, sentence_case(named) if named != row["environment"] else "")
    ends_text = pair_ends(row) if row["kind"] == "pair" else ""
    return PagePicture(uri, image.width, image.height, scale, phone_scale, text, text, logits, ends_text)


def _draw_pair_logits(row: Row, context: PageContext) -> Markup:
    """Draw the logits of a pair at the levels of the shown slice; empty where none are known."""
    logits = cast("dict[str, tuple[float, float]]", json.loads(row["logits"] or "{}"))
    ends = {
        place: logits[recipe] for place, recipe in recipes_by_level_and_dose(context, row["factor"], logits).items()
    }
    levels = [level for level in context.styles if any(level == name for name, _ in ends)][:MAX_LEVELS_DRAWN]
    found_doses = sorted({dose for _, dose in ends if dose}, key=float)
    doses = (found_doses[0], found_doses[-1]) if found_doses else ("",)
    by_level = {
        level: {f"p = {dose}" if dose else "": ends[level, dose] for dose in doses if (level, dose) in ends}
        for level in levels
    }
    if not by_level:
        return Markup()
    return Markup(logit_drawing(by_level, context.styles, LOGIT_WIDTH).inline(logit_words(by_level), "logits"))


def _scale_words(rows: Sequence[Row], loss: bool, *, reduced: bool) -> str:
    """Return the size of a pixel in words, with what was lost or reduced and whether patients are shown."""
    sizes = sorted({numeric(row, "pixel_size") for row in rows if numeric(row, "pixel_size") > 0})
    sizes_text = " or ".join(f"{number(size)} mm" for size in sizes)
    scale = f"One image pixel is {sizes_text}." if sizes_text else "The size of a pixel in mm is not known."
    more = " Compressed with loss; the exact pictures are in the run folder, under pictures/." if loss else ""
    if any(row["kind"] == "mark" or (row["kind"] == "case" and not json_object(row["facts"])["made"]) for row in rows):
        more += " If they are of patients, text in them may identify one."
    but = ", but sheets wider than the page are reduced" if reduced else ""
    return f"Every image pixel is shown as a square of screen pixels, without smoothing{but}. {scale}{more}"
