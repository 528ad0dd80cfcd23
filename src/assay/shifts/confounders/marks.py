"""Local marks: tags, lettering, rulers and frames, and objects on the body."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import AfterValidator, Field
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.drawing import (
    ADVANCE,
    BLACK,
    CHARACTERS,
    FLATNESS,
    HEIGHT,
    WHITE,
    WIDTH,
    Frame,
    Layer,
    Mark,
    RoundedBox,
    Rows,
    Shape,
    Stroke,
    Surround,
    Window,
    around,
    bent,
    code,
    curve,
    dots,
    draw_angle,
    image_change,
    line,
    place_center,
    strokes,
    uniforms,
    whole,
)
from assay.shifts.intervention import Draws, Parameters

# Arguments that marks share. Shares of an edge hold at every image size.

Share = Annotated[float, Field(ge=0, le=1)]
Opacity = Annotated[
    float, Field(ge=0, le=1, description="how far pixels move to the mark's own color: 0 (nothing changes) to 1")
]
X = Annotated[float, Field(ge=0, le=1, description="middle, as a share of the width from the left")]
Y = Annotated[float, Field(ge=0, le=1, description="middle, as a share of the height from the top")]
Jitter = Annotated[
    float, Field(ge=0, le=1, description="largest shift of the middle along each axis, as a share of the shorter side")
]


def _writable(text: str) -> str:
    strange = sorted(set(text) - set(CHARACTERS + "#"))
    if strange:
        raise ValueError(f"cannot draw {' '.join(map(repr, strange))}: use capitals, digits, space, : . - / + and #")
    return text


# The text tag.

_R = (
    "####.",
    "#...#",
    "#...#",
    "####.",
    "#.#..",
    "#..#.",
    "#...#",
)


@image_change("tag", "a bright, upright block letter R, or a box", extent="local")
class Tag:
    """A bright, upright letter or box, such as a sticker or a burnt-in code: pixels x become x + contrast (1 - x).

    The center is drawn within `jitter` of (x, y) and then moved as little as needed for the
    tag to lie within the image. Color images get it in every channel. A tag is 7 : 5, at least one pixel each way.

    Examples:
        A box of half the side, 7 x 5 of 14 x 14 pixels, at 60% of the way from black to white:

        >>> tag = Tag(size=0.5, contrast=0.6, shape="rectangle")
        >>> drawn = tag.draw(Draws(seed=0, name="tag", rows=np.arange(1)), (1, 14, 14))
        >>> changed = tag.apply(torch.zeros(1, 1, 14, 14), drawn)
        >>> int((changed > 0).sum()), round(float(changed.max()), 2)
        (35, 0.6)
    """

    size: Annotated[float, Field(gt=0, description="height of the tag, as a share of the image's shorter side")] = 0.11
    x: Annotated[Share, Field(description="center, as a share of the width from the left")] = 0.85
    y: Annotated[Share, Field(description="center, as a share of the height from the top")] = 0.12
    contrast: Annotated[float, Field(gt=0, le=1, description="how far its pixels move toward white (0 to 1)")] = 0.6
    jitter: Annotated[
        Share, Field(description="largest shift of the center along each axis, as a share of the shorter side")
    ] = 0.04
    shape: Annotated[
        Literal["letter", "rectangle"], Field(description="`letter`, an R, or `rectangle`, a filled box of its outline")
    ] = "letter"

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises SpecError when the tag is larger than the image."""
        _, height, width = shape
        tall, wide = self._extent(shape)
        if tall > height or wide > width:
            raise SpecError(
                f"a tag of size {self.size:g} is {tall} x {wide} px, larger than the image of {height} x {width} px: "
                "give a size of at most 1"
            )

    def draw(self, draws: Draws, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """`top` and `left`: the tag's first row and column, int64 [n]."""
        _, height, width = shape
        tall, wide = self._extent(shape)
        reach = 2 * self.jitter * min(height, width)
        top = self.y * height - tall / 2 + reach * (draws.uniform("y") - 0.5)
        left = self.x * width - wide / 2 + reach * (draws.uniform("x") - 0.5)
        return {
            "top": top.round().clamp(0, height - tall).long(),
            "left": left.round().clamp(0, width - wide).long(),
        }

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the tag on them."""
        pixels, (channels, height, width) = images.flatten(2), images.shape[1:]
        at = self._pixels(parameters, (channels, height, width)).expand(-1, channels, -1)
        covered = pixels.gather(2, at)
        return pixels.scatter(2, at, covered + self.contrast * (1 - covered)).view(images.shape)

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """The tag's pixels."""
        at = self._pixels(parameters, shape)
        covered = torch.zeros(len(at), 1, shape[1] * shape[2], dtype=torch.bool)
        return covered.scatter_(2, at, value=True).view(len(at), 1, *shape[1:])

    def letters(self, shape: tuple[int, int, int]) -> float:
        """See `Lettered`."""
        return float(self._extent(shape)[0]) if self.shape == "letter" else 0.0

    def _pixels(self, parameters: Parameters, shape: tuple[int, int, int]) -> Int[Tensor, "b 1 k"]:
        """Where the tag's pixels lie among an image's, row after row."""
        tall, wide = self._extent(shape)
        inside = np.ones((tall, wide), dtype=bool)
        if self.shape == "letter":
            line, cell = np.arange(tall) * len(_R) // tall, np.arange(wide) * len(_R[0]) // wide
            inside = np.array([[cell == "#" for cell in line] for line in _R])[line[:, None], cell]
        down, along = inside.nonzero()
        corner = parameters["top"] * shape[2] + parameters["left"]
        return corner[:, None, None] + torch.as_tensor(down * shape[2] + along)

    def _extent(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Height and width in pixels."""
        tall = self.size * min(shape[1:])
        return max(1, round(tall)), max(1, round(tall * len(_R[0]) / len(_R)))


# Letters in the image: the lead letter that tells the side, and a line of text burnt into the pixels.

_BOLD = 0.75  # half the width of a lead letter's strokes, in units of the glyphs' grid


@image_change(
    "laterality-marker", "a white lead letter L or R with smooth edges, slightly turned", extent="local", version=2
)
class LateralityMarker(Mark):
    """A lead letter, L or R, slightly turned, as it is laid on the detector.

    Examples:
        An R at the upper left of the image, which nothing changes outside of its mask:

        >>> marker = LateralityMarker(letter="R")
        >>> drawn = marker.draw(Draws(seed=0, name="marker", rows=np.arange(1)), (1, 64, 64))
        >>> changed = marker.apply(torch.zeros(1, 1, 64, 64), drawn)[0, 0]
        >>> bool(changed[:20, :20].any()), bool(changed[20:].any()), bool(changed[:, 20:].any())
        (True, False, False)
    """

    opacity: Opacity = 0.9
    size: Annotated[float, Field(gt=0, le=1, description="height of the letter, as a share of the shorter side")] = 0.1
    x: X = 0.12
    y: Y = 0.14
    jitter: Jitter = 0.04
    tilt: Annotated[float, Field(ge=0, le=180, description="largest turn either way, in degrees")] = 12.0
    letter: Annotated[Literal["L", "R", "either"], Field(description="which letter; `either`: drawn by row")] = "L"

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: its middle in px; cosine and sine of its `tilt`; `letter`: 0 for L, 1 for R."""
        half = self.size * min(shape[1:]) * math.hypot(WIDTH, HEIGHT) / HEIGHT / 2  # of a letter turned anyhow
        if self.letter == "either":
            letter = (draws.uniform("letter") >= 0.5).long()
        else:
            letter = torch.full((len(draws.rows),), int(self.letter == "R"))
        return {
            "x": place_center(draws, "x", self.x, self.jitter, half, shape[2], shape),
            "y": place_center(draws, "y", self.y, self.jitter, half, shape[1], shape),
            **draw_angle(draws, "tilt", -self.tilt, self.tilt),
            "letter": letter,
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """White strokes, as lead stops the rays."""
        unit = self.size * min(shape[1:]) / HEIGHT
        codes = np.array([code("L"), code("R")])[rows["letter"]]
        turn = rows["tilt cosine"], rows["tilt sine"]
        bold = _BOLD * unit
        x, y = rows["x"], rows["y"]
        within = around(shape, x, y, math.hypot(WIDTH, HEIGHT) / 2 * unit + bold)
        return [Layer(glyphs_around(codes[:, None], x, y, unit, bold, turn), within)]

    def letters(self, shape: Shape) -> float:
        """See `Lettered`."""
        return self.size * min(shape[1:])


@image_change("text-line", "a line of text burnt into the pixels, with digits drawn by row", extent="local", version=3)
class TextLine(Mark):
    """A line of text burnt into the pixels; every # of it is a digit of the row's own.

    Examples:
        Each # is a digit that the row draws, named by its place in the text:

        >>> line = TextLine(text="ID ##")
        >>> sorted(line.draw(Draws(seed=0, name="text", rows=np.arange(3)), (1, 64, 64)))
        ['digit 3', 'digit 4', 'x', 'y']
    """

    opacity: Opacity = 0.9
    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=40,
            description="capitals, digits, space and : . - / +; every # becomes a digit of the row's own",
        ),
        AfterValidator(_writable),
    ] = "ID ####### ##:##"
    size: Annotated[float, Field(gt=0, le=1, description="height of a letter, as a share of the shorter side")] = 0.045
    x: X = 0.36
    y: Y = 0.95
    jitter: Jitter = 0.0
    ink: Annotated[Ink, Field(description="color of the letters")] = "white"

    def check(self, shape: Shape) -> None:
        """Raises SpecError when the line is wider than the image."""
        wide = round(self._half_width(shape) * 2)
        if wide > shape[2]:
            raise SpecError(
                f"a line of {len(self.text)} letters of size {self.size:g} is {wide} px wide, wider than the image of "
                f"{shape[2]} px: give a smaller size or fewer letters"
            )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: the middle of the line in px; `digit i` for every # of the text, i being its place there."""
        half = self.size * min(shape[1:]) / 2
        digits = {
            f"digit {i}": (10 * draws.uniform(f"digit {i}")).long()
            for i, character in enumerate(self.text)
            if character == "#"
        }
        return {
            "x": place_center(draws, "x", self.x, self.jitter, self._half_width(shape), shape[2], shape),
            "y": place_center(draws, "y", self.y, self.jitter, half, shape[1], shape),
            **digits,
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Strokes of one color."""
        x, y = rows["x"], rows["y"]
        columns = [
            code("0") + rows[f"digit {i}"] if character == "#" else np.full(len(x), code(character))
            for i, character in enumerate(self.text)
        ]
        unit = self.size * min(shape[1:]) / HEIGHT
        within = around(shape, x, y, self._half_width(shape) + unit, (HEIGHT / 2 + 1) * unit)
        text = glyphs_around(np.stack(columns, axis=1), x, y, unit, 0.5 * unit)
        return [Layer(text, within, WHITE if self.ink == "white" else BLACK)]

    def letters(self, shape: Shape) -> float:
        """See `Lettered`."""
        return self.size * min(shape[1:])

    def _half_width(self, shape: Shape) -> float:
        """Half of the line's width in px."""
        unit = self.size * min(shape[1:]) / HEIGHT
        return unit * (ADVANCE * (len(self.text) - 1) + WIDTH) / 2


def glyphs_around(
    codes: Int[np.ndarray, "b n"],
    x: Float[np.ndarray, "b"],
    y: Float[np.ndarray, "b"],
    unit: float,
    radius: float,
    turn: tuple[np.ndarray, np.ndarray] | None = None,
) -> Stroke:
    """n characters around the point (x, y) px of each row; `unit` is a step of the glyphs' grid in px.

    radius: half the width of a stroke in px.
    """
    count = codes.shape[1]
    along = ADVANCE * (np.arange(count, dtype=np.float64) - (count - 1) / 2)
    x0, y0, x1, y1 = strokes(codes)
    x0, x1 = x0 + along[:, None], x1 + along[:, None]
    if turn is not None:
        cosine, sine = turn[0][:, None, None], turn[1][:, None, None]
        x0, y0 = x0 * cosine - y0 * sine, x0 * sine + y0 * cosine
        x1, y1 = x1 * cosine - y1 * sine, x1 * sine + y1 * cosine
    x0, x1 = ((x[:, None, None] + unit * part).reshape(len(x), -1) for part in (x0, x1))
    y0, y1 = ((y[:, None, None] + unit * part).reshape(len(y), -1) for part in (y0, y1))
    return line(x0, y0, x1, y1, radius)


# Things that somebody measured with: a graduated ruler at an edge, and a pair of calipers.

Ink = Literal["white", "black"]

_MARGIN = 0.03  # of the shorter side, between the ruler and the edge of the image
_TICKS = {1: 0.45, 5: 0.7, 10: 1.0}  # every how many ticks -> length as a share of the longest
_THIN = 0.004  # radius of a line, as a share of the shorter side
_CROSS = 0.03  # half of a caliper's cross, as a share of the shorter side


@image_change("ruler", "a graduated scale along one edge", extent="local", version=2)
class Ruler(Mark):
    """A graduated scale along one edge of the image; every fifth and tenth mark is longer.

    Examples:
        Ten intervals over 80 of 100 px: marks are 8 px apart. Each lies between two pixels, which share it.

        >>> ruler = Ruler(side="bottom", length=0.8, marks=10, jitter=0, size=0.1)
        >>> drawn = ruler.draw(Draws(seed=0, name="ruler", rows=np.arange(1)), (1, 100, 100))
        >>> row = ruler.apply(torch.zeros(1, 1, 100, 100), drawn)[0, 0, 94]  # 6 px above the edge
        >>> (row > 0.3).nonzero().flatten().diff().unique().tolist()
        [1, 7]
    """

    opacity: Opacity = 0.9
    side: Annotated[Literal["left", "right", "top", "bottom"], Field(description="the edge at which it is drawn")] = (
        "right"
    )
    length: Annotated[
        float, Field(gt=0, le=1, description="from the first mark to the last, as a share of the edge")
    ] = 0.8
    marks: Annotated[int, Field(ge=1, le=200, description="number of intervals between marks")] = 20
    size: Annotated[float, Field(gt=0, le=1, description="longest mark, as a share of the shorter side")] = 0.06
    jitter: Annotated[Share, Field(description="largest shift along the edge, as a share of the shorter side")] = 0.05
    ink: Annotated[Ink, Field(description="white, as on a scan, or black, as on a photograph")] = "white"

    def check(self, shape: Shape) -> None:
        """Raises SpecError when neighboring marks would fall into one pixel."""
        spacing = self.length * self._along(shape) / self.marks
        if spacing < 1:
            raise SpecError(
                f"a ruler of {self.marks} marks over {self.length * self._along(shape):.0f} px has {spacing:.2g} px "
                "between them: give fewer marks or a greater length"
            )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`along`: the ruler's middle along its edge in px."""
        edge = self._along(shape)
        return {"along": place_center(draws, "along", 0.5, self.jitter, self.length * edge / 2, edge, shape)}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The marks, and the line on which they stand."""
        middle, edge, short = rows["along"], self._along(shape), min(shape[1:])
        number = np.arange(self.marks + 1)
        reach = np.full(len(number), _TICKS[1])
        for every in (5, 10):
            reach[number % every == 0] = _TICKS[every]
        place = middle[:, None] + self.length * edge * (number / self.marks - 0.5)
        base = np.full_like(place, _MARGIN * short)
        tips = base + self.size * short * reach
        thin = _THIN * short
        x0, y0 = self._points(place, base, shape)
        marks = line(x0, y0, *self._points(place, tips, shape), thin)
        stand = line(x0[:, :1], y0[:, :1], x0[:, -1:], y0[:, -1:], thin)
        within = self._strip(shape, (_MARGIN + self.size + _THIN) * short + 2)
        return [Layer(marks + stand, within, WHITE if self.ink == "white" else BLACK)]

    def _along(self, shape: Shape) -> int:
        """The length in px of the edge at which it is placed."""
        return shape[1] if self.side in ("left", "right") else shape[2]

    def _points(self, place: np.ndarray, off: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """x and y in px of points given by their places along the edge and their distances from it."""
        if self.side in ("left", "right"):
            return shape[2] - off if self.side == "right" else off, place
        return place, shape[1] - off if self.side == "bottom" else off

    def _strip(self, shape: Shape, wide: float) -> Window:
        """The part of the image within so many px of the edge."""
        _, height, width = shape
        across = min(math.ceil(wide), width if self.side in ("left", "right") else height)
        return {
            "left": Window(0, 0, height, across),
            "right": Window(0, width - across, height, across),
            "top": Window(0, 0, across, width),
            "bottom": Window(height - across, 0, across, width),
        }[self.side]


@image_change("caliper", "two crosses joined by a dotted line", extent="local", version=3)
class Caliper(Mark):
    """Two crosses joined by a dotted line, as a reader measures a lesion on the screen.

    Examples:
        >>> caliper = Caliper(length=0.4)
        >>> drawn = caliper.draw(Draws(seed=0, name="caliper", rows=np.arange(100)), (1, 100, 100))
        >>> bool((drawn["length"] >= 28).all()), bool((drawn["length"] <= 40).all())  # px, 70 to 100% of the largest
        (True, True)
    """

    opacity: Opacity = 0.9
    length: Annotated[
        float, Field(gt=0, le=2, description="largest distance of the crosses, share of the shorter side")
    ] = 0.4
    x: X = 0.5
    y: Y = 0.5
    jitter: Jitter = 0.05
    ink: Annotated[Ink, Field(description="color of the lines")] = "white"

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: its middle in px; cosine and sine of its `turn`; `length` in px, 70 to 100% of the largest."""
        half = (self.length / 2 + _CROSS) * min(shape[1:])
        return {
            "x": place_center(draws, "x", self.x, self.jitter, half, shape[2], shape),
            "y": place_center(draws, "y", self.y, self.jitter, half, shape[1], shape),
            "length": self.length * min(shape[1:]) * (0.7 + 0.3 * draws.uniform("length")),
            **draw_angle(draws, "turn", 0.0, 180.0),
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Dots along the line and a cross at either end."""
        short = min(shape[1:])
        x, y, length, cosine, sine = (rows[name][:, None] for name in ("x", "y", "length", "turn cosine", "turn sine"))
        half = length / 2
        thin, arm = _THIN * short, _CROSS * short
        number = max(3, round(self.length * short / (8 * max(thin, 0.5))))
        t = np.linspace(-1, 1, number) * half
        dotted = dots(x + t * cosine, y + t * sine, thin)
        sign = np.array([-1.0, 1.0])
        end_x, end_y = x + sign * half * cosine, y + sign * half * sine
        level = line(end_x - arm, end_y, end_x + arm, end_y, thin)
        upright = line(end_x, end_y - arm, end_x, end_y + arm, thin)
        within = around(shape, rows["x"], rows["y"], self.length * short / 2 + arm + thin + 1)
        return [Layer(dotted + level + upright, within, WHITE if self.ink == "white" else BLACK)]


# Frames of the picture: a collimator's border, a dark vignette, the inset with the position of the scope.

_GREEN = (0.06, 0.64, 0.53)
_DARK_GREEN = (0.05, 0.16, 0.15)


@image_change("collimation-border", "black outside a rectangle", extent="local")
class CollimationBorder(Mark):
    """Black outside a rectangle that the collimator left, each side at a width of its own.

    Examples:
        >>> border = CollimationBorder(width=0.2)
        >>> drawn = border.draw(Draws(seed=0, name="border", rows=np.arange(1)), (1, 100, 100))
        >>> changed = border.apply(torch.ones(1, 1, 100, 100), drawn)[0, 0]
        >>> changed[0, 0].item(), changed[50, 50].item(), [bool(6 <= width <= 20) for width in drawn.values()]
        (0.0, 1.0, [True, True, True, True])
    """

    opacity: Opacity = 1.0
    width: Annotated[
        float, Field(gt=0, lt=0.5, description="largest width, share of the shorter side; 30-100% of it")
    ] = 0.1
    softness: Annotated[Share, Field(description="width of the penumbra, as a share of the shorter side")] = 0.015

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`left`, `right`, `top`, `bottom`: how far the border reaches in, px, 30 to 100% of the largest."""
        largest = self.width * min(shape[1:])
        return {side: largest * (0.3 + 0.7 * draws.uniform(side)) for side in ("left", "right", "top", "bottom")}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Black, with a penumbra as wide as `softness`."""
        right, bottom = shape[2] - rows["right"], shape[1] - rows["bottom"]
        softness = max(1.0, self.softness * min(shape[1:]))
        return [Layer(Frame(rows["left"], right, rows["top"], bottom, softness), whole(shape), BLACK)]


@image_change("vignette", "darkness outside a round field of view", extent="local")
class Vignette(Mark):
    """Darkness outside a round field of view, as a dermatoscope or a fundus camera leaves it.

    Examples:
        >>> vignette = Vignette(opacity=0.95, radius=0.5, softness=0.1)
        >>> drawn = vignette.draw(Draws(seed=0, name="vignette", rows=np.arange(1)), (1, 64, 64))
        >>> changed = vignette.apply(torch.ones(1, 1, 64, 64), drawn)[0, 0]
        >>> round(changed[0, 0].item(), 2), changed[32, 32].item()  # the corner, the middle
        (0.05, 1.0)
    """

    opacity: Opacity = 0.95
    radius: Annotated[float, Field(gt=0, le=2, description="of the field of view, as a share of the shorter side")] = (
        0.55
    )
    softness: Annotated[float, Field(ge=0, le=2, description="width of its edge, as a share of the shorter side")] = (
        0.18
    )
    jitter: Jitter = 0.03

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: the middle of the field of view in px."""
        return {
            "x": place_center(draws, "x", 0.5, self.jitter, 0.0, shape[2], shape),
            "y": place_center(draws, "y", 0.5, self.jitter, 0.0, shape[1], shape),
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Black, from nothing at `radius` less half the softness to all of it at half the softness beyond."""
        short = min(shape[1:])
        softness = max(1.0, self.softness * short)
        outside = Surround(rows["x"], rows["y"], self.radius * short, softness)
        return [Layer(outside, whole(shape), BLACK)]


@image_change("scope-inset", "the green panel of an endoscope's position", extent="local", version=2)
class ScopeInset(Mark):
    """The green panel in a corner of an endoscopy frame on which the scope's shape is drawn.

    Examples:
        >>> inset = ScopeInset(size=0.25, corner="lower left")
        >>> drawn = inset.draw(Draws(seed=0, name="inset", rows=np.arange(1)), (3, 64, 64))
        >>> changed = inset.apply(torch.zeros(1, 3, 64, 64), drawn)[0]
        >>> bool(changed[:, :40].any()), bool(changed[:, :, 20:].any())  # nothing above, nothing to the right
        (False, False)
        >>> bool(changed[1].max() > changed[0].max()), bool(changed[1].max() > changed[2].max())  # green
        (True, True)
    """

    opacity: Opacity = 1.0
    size: Annotated[float, Field(gt=0, le=0.5, description="edge of the panel, as a share of the shorter side")] = 0.28
    corner: Annotated[
        Literal["lower left", "lower right", "upper left", "upper right"], Field(description="its place")
    ] = "lower left"

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Where the scope's line starts, bends and ends, as shares of the panel, each drawn."""
        return {
            f"{point} {axis}": 0.1 + 0.8 * draws.uniform(f"{point} {axis}")
            for point in ("start", "bend", "end")
            for axis in ("x", "y")
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The panel, then the scope's line on it."""
        side = self.size * min(shape[1:])
        margin = 0.04 * min(shape[1:])
        left = margin if "left" in self.corner else shape[2] - margin - side
        top = margin if "upper" in self.corner else shape[1] - margin - side
        middle = np.full_like(rows["start x"], left + side / 2)
        lower = np.full_like(middle, top + side / 2)
        points = tuple(
            (left + side * rows[f"{point} x"][:, None], top + side * rows[f"{point} y"][:, None])
            for point in ("start", "bend", "end")
        )
        within = around(shape, middle, lower, side / 2 + 1)
        scope = curve(points, 0.012 * side)
        panel = RoundedBox(middle, lower, (side / 2, side / 2))
        return [Layer(panel, within, _GREEN), Layer(scope, within, _DARK_GREEN)]


# Things in and on the patient that a radiograph shows: a drain, a pacemaker, electrodes.

Side = Literal["left", "right", "either"]

_OUTSIDE = -0.02  # of the width: objects that enter at an edge begin here


def draw_side(draws: Draws, side: Side) -> Tensor:
    """0 for the left, 1 for the right edge of the image, int64 [n]."""
    if side == "either":
        return (draws.uniform("side") >= 0.5).long()
    return torch.full((len(draws.rows),), int(side == "right"))


def mirror(x: np.ndarray, side: np.ndarray, width: int) -> np.ndarray:
    """Return places along x, counted from the left edge, as seen from the row's own side."""
    return np.where(side == 1, width - x, x)


@image_change("chest-drain", "a tube with a radio-opaque stripe", extent="local", origin="patient", version=2)
class ChestDrain(Mark):
    """A tube that enters from one edge and climbs, with its radio-opaque stripe and the gap of its side hole.

    Examples:
        >>> drain = ChestDrain(side="left")
        >>> drawn = drain.draw(Draws(seed=0, name="drain", rows=np.arange(1)), (1, 64, 64))
        >>> changed = drain.apply(torch.zeros(1, 1, 64, 64), drawn)[0, 0]
        >>> bool(changed[:, 0].any()), bool(changed[:, -1].any())  # it enters from the left edge
        (True, False)
    """

    opacity: Opacity = 0.9
    width: Annotated[float, Field(gt=0, le=0.5, description="of the tube, as a share of the shorter side")] = 0.035
    side: Annotated[Side, Field(description="the edge from which it enters; `either`: drawn by row")] = "either"
    jitter: Annotated[Share, Field(description="largest shift of entry, bend and tip, as a share of the edge")] = 0.06

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`side`: 0 left, 1 right; entry, bend and tip in px as if from the left."""
        _, height, width = shape
        middle = {"entry": (_OUTSIDE, 0.78), "bend": (0.42, 0.80), "tip": (0.30, 0.22)}
        parameters = {
            f"{point} {axis}": length * share + 2 * self.jitter * length * (draws.uniform(f"{point} {axis}") - 0.5)
            for point, places in middle.items()
            for axis, share, length in (("x", places[0], width), ("y", places[1], height))
        }
        parameters["entry x"].clamp_(max=_OUTSIDE * width)  # however far it is moved, it comes in from the edge
        return {"side": draw_side(draws, self.side), **parameters}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The tube's faint body, its two walls by way of a fainter bore, and the stripe."""
        short = min(shape[1:])
        outer = 0.5 * self.width * short
        points = tuple(
            (mirror(rows[f"{name} x"], rows["side"], shape[2])[:, None], rows[f"{name} y"][:, None])
            for name in ("entry", "bend", "tip")
        )
        within = whole(shape)
        body = curve(points, outer)
        bore = Stroke(body.ends, 0.7 * body.radii)
        stripe = curve(points, 0.25 * outer, ((0.0, 0.80), (0.86, 1.0)))
        thinned = -0.2 / (1 - 0.45 * self.opacity)  # takes back so much of the body's 0.45 that a quarter is left
        return [
            Layer(body, within, strength=0.45),
            Layer(bore, within, strength=thinned),
            Layer(stripe, within, strength=0.9),
        ]


@image_change("pacemaker", "a metal case with a lead to the heart", extent="local", origin="patient", version=2)
class Pacemaker(Mark):
    """A metal case below a collar bone, with its header and a lead to the heart.

    Examples:
        >>> device = Pacemaker(side="right")
        >>> drawn = device.draw(Draws(seed=0, name="pacemaker", rows=np.arange(1)), (1, 64, 64))
        >>> changed = device.apply(torch.zeros(1, 1, 64, 64), drawn)[0, 0]
        >>> bool(changed[:32, 36:].any()), bool(changed[:, :28].any())  # the case and the lead, right of the middle
        (True, False)
    """

    opacity: Opacity = 0.95
    size: Annotated[float, Field(gt=0, le=0.5, description="width of the case, as a share of the shorter side")] = 0.15
    side: Annotated[Side, Field(description="the side of the image on which it is drawn; `either`: drawn by row")] = (
        "right"
    )
    jitter: Jitter = 0.04

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`side`: 0 left, 1 right; the case's middle in px as if from the left; cosine and sine of its `tilt`."""
        half = 0.75 * self.size * min(shape[1:])
        return {
            "side": draw_side(draws, self.side),
            "x": place_center(draws, "x", 0.22, self.jitter, half, shape[2], shape),
            "y": place_center(draws, "y", 0.24, self.jitter, half, shape[1], shape),
            "heart x": shape[2] * (0.50 + 0.08 * draws.uniform("heart x")),
            "heart y": shape[1] * (0.66 + 0.08 * draws.uniform("heart y")),
            **draw_angle(draws, "tilt", -20.0, 20.0),
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The lead, the case, the darker battery and circuit in it, and the header."""
        size = self.size * min(shape[1:])
        y, x = rows["y"], mirror(rows["x"], rows["side"], shape[2])
        turn = rows["tilt cosine"], rows["tilt sine"]
        case = around(shape, x, y, 0.85 * size)

        def part(along: float, down: float, wide: float, tall: float, corner: float) -> RoundedBox:
            """A box in the case's own axes, in units of its size."""
            across_x = x + size * (along * turn[0] - down * turn[1])
            across_y = y + size * (along * turn[1] + down * turn[0])
            return RoundedBox(across_x, across_y, (wide * size / 2, tall * size / 2), corner * size, turn)

        return [
            self._lead(rows, shape, x + size * 0.35 * turn[1], y - size * 0.35 * turn[0]),
            Layer(part(0.0, 0.08, 1.0, 0.84, 0.34), case, strength=0.92),
            Layer(part(-0.18, 0.12, 0.42, 0.5, 0.08), case, (0.45, 0.45, 0.45), 0.35),
            Layer(part(0.24, 0.14, 0.26, 0.4, 0.03), case, (0.55, 0.55, 0.55), 0.3),
            Layer(part(0.0, -0.42, 0.62, 0.22, 0.09), case, strength=0.7),
        ]

    def _lead(self, rows: Rows, shape: Shape, x: np.ndarray, y: np.ndarray) -> Layer:
        """A thin wire from the header toward the middle and down to the heart's apex."""
        thick = 0.004 * min(shape[1:])
        tip_x = mirror(rows["heart x"], rows["side"], shape[2])
        points = (
            (x[:, None], y[:, None]),
            (np.full((len(x), 1), 0.5 * shape[2]), np.full((len(x), 1), 0.12 * shape[1])),
            (tip_x[:, None], rows["heart y"][:, None]),
        )
        # a curve is within the hull of its three points
        every_x, every_y = (np.concatenate(axis) for axis in zip(*points, strict=True))
        return Layer(curve(points, thick), around(shape, every_x, every_y, thick + 2), strength=0.85)


@image_change("electrode", "electrodes on the chest, with their wires", extent="local", origin="patient", version=2)
class Electrode(Mark):
    """Adhesive electrodes on the chest, each with its snap and a wire out of the image.

    Examples:
        More electrodes cover more of the image:

        >>> rows = Draws(seed=0, name="electrode", rows=np.arange(1))
        >>> marks = [Electrode(count=count) for count in (1, 4, 16)]
        >>> images = [mark.apply(torch.zeros(1, 1, 64, 64), mark.draw(rows, (1, 64, 64))) for mark in marks]
        >>> covered = [int((image > 0).sum()) for image in images]
        >>> covered == sorted(set(covered))
        True
    """

    opacity: Opacity = 0.9
    count: Annotated[int, Field(ge=1, le=30, description="number of electrodes")] = 4
    size: Annotated[float, Field(gt=0, le=0.5, description="diameter of the pad, as a share of the shorter side")] = (
        0.075
    )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the places of the row's electrodes and the ends of their wires."""
        return {"seed": draws.seeds("electrodes")}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Wires, then the faint pads, then the bright snaps; electrodes lie in the outer thirds of the width."""
        _, height, width = shape
        short = min(height, width)
        u = uniforms(rows["seed"], 3 * self.count).reshape(-1, 3, self.count)
        right = u[:, 0] >= 0.5
        inward = 0.08 + 0.5 * np.where(right, u[:, 0] - 0.5, u[:, 0])
        x = width * np.where(right, 1 - inward, inward)
        y = height * (0.12 + 0.7 * u[:, 1])
        out_x = np.where(right, 1.02 * width, -0.02 * width)
        out_y = height * (0.3 + 0.7 * u[:, 2])
        points = ((x, y), (0.6 * x + 0.4 * out_x, y), (out_x, out_y))
        within = whole(shape)
        wires = curve(points, 0.0035 * short)
        outer, snap = 0.5 * self.size * short, 0.16 * self.size * short
        return [
            Layer(wires, within, strength=0.6),
            Layer(dots(x, y, outer), within, strength=0.22),
            Layer(dots(x, y, max(snap, 0.5)), within, strength=0.95),
        ]


# Marks on skin: a surgeon's pen, and hair.

_VIOLET = (0.30, 0.16, 0.52)  # gentian violet on skin
_BROWN = (0.13, 0.08, 0.06)
_LEAST, _MOST = 0.85, 1.15  # half axis of a pen's ring, in units of its radius
_WOBBLE = 0.03  # of the ring, as a share of its half axes


@image_change("surgical-pen", "strokes of a violet skin marker around the lesion", extent="local", version=3)
class SurgicalPen(Mark):
    """Strokes of a violet skin marker around the lesion, with gaps.

    Examples:
        On white skin the ink takes most of the green, 0.7 x (1 - 0.16):

        >>> pen = SurgicalPen(opacity=0.7)
        >>> drawn = pen.draw(Draws(seed=0, name="pen", rows=np.arange(1)), (3, 200, 200))
        >>> [round(value, 2) for value in pen.apply(torch.ones(1, 3, 200, 200), drawn).amin((0, 2, 3)).tolist()]
        [0.51, 0.41, 0.66]
    """

    opacity: Opacity = 0.7
    radius: Annotated[
        float, Field(gt=0, le=1, description="half axes of the ring, share of the shorter side, +-15%")
    ] = 0.38
    width: Annotated[float, Field(gt=0, le=0.5, description="of the line, as a share of the shorter side")] = 0.025
    strokes: Annotated[int, Field(ge=1, le=60, description="number of arcs; a quarter of each is a gap")] = 4
    x: X = 0.5
    y: Y = 0.5
    jitter: Jitter = 0.05

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: the ring's middle in px; `wide`, `tall`: its half axes in px; cosine and sine of its `turn`."""
        radius = self.radius * min(shape[1:])
        half = _MOST * (1 + _WOBBLE) * radius + self.width * min(shape[1:]) / 2
        return {
            "x": place_center(draws, "x", self.x, self.jitter, half, shape[2], shape),
            "y": place_center(draws, "y", self.y, self.jitter, half, shape[1], shape),
            "wide": radius * (_LEAST + (_MOST - _LEAST) * draws.uniform("wide")),
            "tall": radius * (_LEAST + (_MOST - _LEAST) * draws.uniform("tall")),
            **draw_angle(draws, "turn", 0.0, 360.0),
        }

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Arcs of three quarters of their share of the circle, swelling toward their middle."""
        across, down, radius = self._arcs(min(shape[1:]))
        x, y, wide, tall, cosine, sine = (
            rows[name][:, None, None] for name in ("x", "y", "wide", "tall", "turn cosine", "turn sine")
        )
        points = x + wide * (across * cosine - down * sine), y + tall * (across * sine + down * cosine)
        pieces = slice(-1), slice(1, None)
        ends = np.stack([axis[:, :, part].reshape(len(x), -1) for part in pieces for axis in points])
        radii = np.stack([radius[:, part].reshape(1, -1) for part in pieces])
        return [Layer(Stroke(ends, radii), whole(shape), _VIOLET)]

    def _arcs(self, short: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points of the arcs on the unit circle, [strokes, n], and the line's radius in px at each; as in all rows."""
        largest = _MOST * self.radius * short
        piece = math.sqrt(8 * FLATNESS * max(largest, 1.0) / 1.8)  # px; the wobble bends it 1.8 times as much
        pieces = math.ceil(1.5 * math.pi * largest / self.strokes / piece)
        t, number = np.arange(pieces + 1) / pieces, np.arange(self.strokes)[:, None]
        angle = (2 * math.pi / self.strokes) * (number + 0.75 * t)
        wobble = 1 + _WOBBLE * np.sin(5 * angle + number)
        radius = np.broadcast_to(0.5 * self.width * short * (0.7 + 0.3 * np.sin(math.pi * t)), angle.shape)
        return wobble * np.cos(angle), wobble * np.sin(angle), radius


@image_change("hair", "dark, bent hairs over the image", extent="local", origin="patient", version=2)
class Hair(Mark):
    """Dark, bent, tapering hairs scattered over the image.

    Examples:
        On white skin a hair of 85% opacity leaves 1 - 0.85 x (1 - 0.13) of the red:

        >>> hair = Hair(opacity=0.85, width=0.02)
        >>> drawn = hair.draw(Draws(seed=0, name="hair", rows=np.arange(1)), (3, 200, 200))
        >>> [round(value, 2) for value in hair.apply(torch.ones(1, 3, 200, 200), drawn).amin((0, 2, 3)).tolist()]
        [0.26, 0.22, 0.2]
    """

    opacity: Opacity = 0.85
    count: Annotated[int, Field(ge=1, le=200, description="number of hairs")] = 15
    width: Annotated[
        float, Field(gt=0, le=0.2, description="of a hair at its root, as a share of the shorter side")
    ] = 0.009
    length: Annotated[
        float, Field(gt=0, le=2, description="largest extent along each axis, share of the shorter side")
    ] = 0.6

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the places of the row's hairs."""
        return {"seed": draws.seeds("hairs")}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Each hair starts anywhere, ends anywhere within `length`, and bends by up to a fifth of that."""
        short = min(shape[1:])
        u = uniforms(rows["seed"], 6 * self.count).reshape(-1, 6, self.count)
        reach = self.length * short
        from_x, from_y = u[:, 0] * shape[2], u[:, 1] * shape[1]
        to_x, to_y = from_x + reach * (2 * u[:, 2] - 1), from_y + reach * (2 * u[:, 3] - 1)
        by_x = 0.5 * (from_x + to_x) + reach * (u[:, 4] - 0.5) * 0.4
        by_y = 0.5 * (from_y + to_y) + reach * (u[:, 5] - 0.5) * 0.4
        ends, t = bent(((from_x, from_y), (by_x, by_y), (to_x, to_y)))
        hairs = Stroke(ends, 0.5 * self.width * short * (1 - 0.6 * t))
        return [Layer(hairs, whole(shape), _BROWN)]
