"""The confounders as people write them: one image at a time, each in its fastest way.

`PEERS` are written with NumPy, SciPy and Pillow; `with_opencv` has those for which OpenCV has a call of its own.

Every function takes one gray image, float32 [h, w] in 0..1, the intervention's arguments, and the numbers that Assay
drew for the row, and gives the changed image, float32 [h, w] in 0..1. Marks are drawn by Pillow's ImageDraw four times
as large, which is how its lines get smooth edges, within the rectangle that holds them; text by its own fonts.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import fft, ndimage

Row = Mapping[str, float]
Points = Sequence[tuple[float, float]]
Peer = Callable[[np.ndarray, Any, Row], np.ndarray]

FINER = 4
VIOLET, GREEN, DARK_GREEN, BROWN = 0.243, 0.454, 0.126, 0.093  # luminances of the marks' colors
RNG = np.random.default_rng(0)
LETTER = ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#")


class Canvas:
    """A mask four times as fine as a rectangle of the image, in which things are drawn in px of the image."""

    def __init__(self, image: np.ndarray, left: float, top: float, right: float, bottom: float) -> None:
        height, width = image.shape
        self.left, self.top = max(0, math.floor(left)), max(0, math.floor(top))
        self.right, self.bottom = min(width, math.ceil(right)), min(height, math.ceil(bottom))
        size = FINER * max(1, self.right - self.left), FINER * max(1, self.bottom - self.top)
        self.mask = Image.new("L", size)
        self.pen = ImageDraw.Draw(self.mask)

    def fine(self, points: Points) -> list[tuple[float, float]]:
        return [(FINER * (x - self.left), FINER * (y - self.top)) for x, y in points]

    def line(self, points: Points, width: float) -> None:
        self.pen.line(self.fine(points), fill=255, width=max(1, round(FINER * width)), joint="curve")

    def polygon(self, points: Points) -> None:
        self.pen.polygon(self.fine(points), fill=255)

    def disc(self, x: float, y: float, radius: float) -> None:
        self.pen.ellipse(self.fine([(x - radius, y - radius), (x + radius, y + radius)]), fill=255)

    def coverage(self) -> np.ndarray:
        return np.asarray(self.mask.reduce(FINER), dtype=np.float32) / 255

    def onto(self, image: np.ndarray, strength: float, color: float = 1.0) -> None:
        """Blend with a part of the image, in place."""
        part = image[self.top : self.bottom, self.left : self.right]
        part += (strength * self.coverage()) * (color - part)


def everywhere(image: np.ndarray) -> Canvas:
    return Canvas(image, 0, 0, image.shape[1], image.shape[0])


def bent(points: Points, steps: int = 24, first: float = 0.0, last: float = 1.0) -> list[tuple[float, float]]:
    """Places on a quadratic Bezier curve."""
    (x0, y0), (x1, y1), (x2, y2) = points
    ts = [first + (last - first) * i / steps for i in range(steps + 1)]
    return [
        ((1 - t) ** 2 * x0 + 2 * t * (1 - t) * x1 + t * t * x2, (1 - t) ** 2 * y0 + 2 * t * (1 - t) * y1 + t * t * y2)
        for t in ts
    ]


def smooth(depth: np.ndarray, softness: float) -> np.ndarray:
    t = np.clip(depth / np.float32(softness) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def tag(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    tall = max(1, round(made.size * min(image.shape)))
    wide = max(1, round(made.size * min(image.shape) * 5 / 7))
    glyph = np.array([[cell == "#" for cell in line] for line in LETTER])
    covered = glyph[np.arange(tall)[:, None] * 7 // tall, np.arange(wide)[None] * 5 // wide]
    top, left = int(row["top"]), int(row["left"])
    out = image.copy()
    part = out[top : top + tall, left : left + wide]
    part[covered] += made.contrast * (1 - part[covered])
    return out


@lru_cache
def font(size: int) -> Any:
    return ImageFont.load_default(size)


def text(
    image: np.ndarray,
    written: str,
    middle: tuple[float, float],
    size: float,
    strength: float,
    turn: float = 0,
    bold: int = 0,
) -> np.ndarray:
    """Pillow's own letters, which have smooth edges, in white around a middle; turned if asked for."""
    letters = font(max(1, round(size / 0.72)))  # capitals are so much lower than the font's size
    left, top, right, bottom = letters.getbbox(written, stroke_width=bold)
    margin = 4 if turn else 1
    mask = Image.new("L", (math.ceil(right - left) + 2 * margin, math.ceil(bottom - top) + 2 * margin))
    ImageDraw.Draw(mask).text((margin - left, margin - top), written, fill=255, font=letters, stroke_width=bold)
    if turn:
        mask = mask.rotate(turn, Image.Resampling.BICUBIC)
    out = image.copy()
    first_x = min(max(0, round(middle[0] - mask.width / 2)), image.shape[1] - 1)
    first_y = min(max(0, round(middle[1] - mask.height / 2)), image.shape[0] - 1)
    part = out[first_y : first_y + mask.height, first_x : first_x + mask.width]
    part += (strength / 255 * np.asarray(mask, dtype=np.float32)[: part.shape[0], : part.shape[1]]) * (1 - part)
    return out


def laterality_marker(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    turn = -math.degrees(math.atan2(row["tilt sine"], row["tilt cosine"]))
    size = made.size * min(image.shape)
    return text(image, "LR"[int(row["letter"])], (row["x"], row["y"]), size, made.opacity, turn, bold=1)


def text_line(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    digits = iter(str(int(row[name])) for name in row if name.startswith("digit"))
    written = "".join(next(digits) if character == "#" else character for character in made.text)
    return text(image, written, (row["x"], row["y"]), made.size * min(image.shape), made.opacity)


def ruler(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    height, width = image.shape
    short, thin = min(image.shape), max(1.0, 0.008 * min(image.shape))
    foot, long = width - 0.03 * short, made.size * short
    canvas = Canvas(image, foot - long - 2, 0, foot + 2, height)
    for i in range(made.marks + 1):
        y = row["along"] + made.length * height * (i / made.marks - 0.5)
        reach = 1.0 if i % 10 == 0 else 0.7 if i % 5 == 0 else 0.45
        canvas.line([(foot, y), (foot - long * reach, y)], thin)
    ends = [row["along"] + sign * made.length * height / 2 for sign in (-1, 1)]
    canvas.line([(foot, ends[0]), (foot, ends[1])], thin)
    out = image.copy()
    canvas.onto(out, made.opacity)
    return out


def caliper(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    short, x, y, half = min(image.shape), row["x"], row["y"], row["length"] / 2
    thin, arm = 0.004 * short, 0.03 * short
    across, down = half * row["turn cosine"], half * row["turn sine"]
    canvas = Canvas(image, x - half - arm - 2, y - half - arm - 2, x + half + arm + 2, y + half + arm + 2)
    dots = max(3, round(made.length * short / (8 * max(thin, 0.5))))
    for t in np.linspace(-1, 1, dots).tolist():
        canvas.disc(x + t * across, y + t * down, thin)
    for sign in (-1, 1):
        end_x, end_y = x + sign * across, y + sign * down
        canvas.line([(end_x - arm, end_y), (end_x + arm, end_y)], 2 * thin)
        canvas.line([(end_x, end_y - arm), (end_x, end_y + arm)], 2 * thin)
    out = image.copy()
    canvas.onto(out, made.opacity)
    return out


def surgical_pen(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    short, cosine, sine = min(image.shape), row["turn cosine"], row["turn sine"]
    canvas = everywhere(image)
    for arc in range(made.strokes):
        previous: tuple[float, float] | None = None
        for i in range(33):
            t = i / 32
            angle = 2 * math.pi / made.strokes * (arc + 0.75 * t)
            wobble = 1 + 0.03 * math.sin(5 * angle + arc)
            across, down = wobble * math.cos(angle), wobble * math.sin(angle)
            here = (
                row["x"] + row["wide"] * (across * cosine - down * sine),
                row["y"] + row["tall"] * (across * sine + down * cosine),
            )
            radius = 0.5 * made.width * short * (0.7 + 0.3 * math.sin(math.pi * t))
            canvas.disc(*here, radius)
            if previous is not None:
                canvas.line([previous, here], 2 * radius)
            previous = here
    out = image.copy()
    canvas.onto(out, made.opacity, VIOLET)
    return out


def hair(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    """Hairs in places of its own: Assay's come from its own generator."""
    height, width = image.shape
    reach, wide = made.length * min(image.shape), made.width * min(image.shape)
    canvas = everywhere(image)
    for u in RNG.random((made.count, 6)).tolist():
        x0, y0 = u[0] * width, u[1] * height
        x2, y2 = x0 + reach * (2 * u[2] - 1), y0 + reach * (2 * u[3] - 1)
        x1, y1 = (x0 + x2) / 2 + reach * (u[4] - 0.5) * 0.4, (y0 + y2) / 2 + reach * (u[5] - 0.5) * 0.4
        points = bent([(x0, y0), (x1, y1), (x2, y2)])
        for i in range(0, 24, 3):  # tapering: each piece is thinner than the one before
            canvas.line(points[i : i + 4], wide * (1 - 0.6 * (i + 1.5) / 24))
    out = image.copy()
    canvas.onto(out, made.opacity, BROWN)
    return out


def mirrored(x: float, row: Row, width: int) -> float:
    return width - x if row["side"] == 1 else x


def chest_drain(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    wide = made.width * min(image.shape)
    points = [(mirrored(row[f"{p} x"], row, image.shape[1]), row[f"{p} y"]) for p in ("entry", "bend", "tip")]
    body, bore, stripe = everywhere(image), everywhere(image), everywhere(image)
    body.line(bent(points), wide)
    bore.line(bent(points), 0.7 * wide)
    stripe.line(bent(points, first=0.0, last=0.8), 0.25 * wide)
    stripe.line(bent(points, steps=6, first=0.86, last=1.0), 0.25 * wide)
    out = image.copy()
    out += (made.opacity * (0.45 * body.coverage() - 0.2 * bore.coverage())) * (1 - out)
    stripe.onto(out, 0.9 * made.opacity)
    return out


def rounded(wide: float, tall: float, corner: float) -> list[tuple[float, float]]:
    """The outline of a box with round corners around (0, 0)."""
    points: list[tuple[float, float]] = []
    for quarter, (right, down) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        middle = right * (wide / 2 - corner), down * (tall / 2 - corner)
        for i in range(7):
            angle = math.pi / 2 * (quarter + i / 6)
            points.append((middle[0] + corner * math.cos(angle), middle[1] + corner * math.sin(angle)))
    return points


def pacemaker(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    height, width = image.shape
    short, size = min(image.shape), made.size * min(image.shape)
    x, y, cosine, sine = mirrored(row["x"], row, width), row["y"], row["tilt cosine"], row["tilt sine"]
    tip = mirrored(row["heart x"], row, width), row["heart y"]
    out, lead = image.copy(), everywhere(image)
    points = [(x + size * 0.35 * sine, y - size * 0.35 * cosine), (width / 2, 0.12 * height), tip]
    lead.line(bent(points), 0.008 * short)
    lead.onto(out, 0.85 * made.opacity)
    for along, down, wide, tall, corner, strength, color in (
        (0.0, 0.08, 1.0, 0.84, 0.34, 0.92, 1.0),
        (-0.18, 0.12, 0.42, 0.5, 0.08, 0.35, 0.45),
        (0.24, 0.14, 0.26, 0.4, 0.03, 0.3, 0.55),
        (0.0, -0.42, 0.62, 0.22, 0.09, 0.7, 1.0),
    ):
        part_x, part_y = x + size * (along * cosine - down * sine), y + size * (along * sine + down * cosine)
        reach = size * math.hypot(wide, tall) / 2 + 1
        canvas = Canvas(image, part_x - reach, part_y - reach, part_x + reach, part_y + reach)
        outline = rounded(wide * size, tall * size, corner * size)
        canvas.polygon([(part_x + px * cosine - py * sine, part_y + px * sine + py * cosine) for px, py in outline])
        canvas.onto(out, strength * made.opacity, color)
    return out


def electrode(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    """Electrodes in places of its own: Assay's come from its own generator."""
    height, width = image.shape
    short, places = min(image.shape), RNG.random((made.count, 3)).tolist()
    outer, snap = 0.5 * made.size * short, max(0.5, 0.16 * made.size * short)
    out, wires, middles = image.copy(), everywhere(image), []
    for u in places:
        right = u[0] >= 0.5
        inward = 0.08 + 0.5 * (u[0] - 0.5 if right else u[0])
        x, y = width * (1 - inward if right else inward), height * (0.12 + 0.7 * u[1])
        out_x = 1.02 * width if right else -0.02 * width
        wires.line(bent([(x, y), (0.6 * x + 0.4 * out_x, y), (out_x, height * (0.3 + 0.7 * u[2]))]), 0.007 * short)
        middles.append((x, y))
    wires.onto(out, 0.6 * made.opacity)
    for radius, strength in ((outer, 0.22), (snap, 0.95)):
        for x, y in middles:
            canvas = Canvas(image, x - radius - 1, y - radius - 1, x + radius + 1, y + radius + 1)
            canvas.disc(x, y, radius)
            canvas.onto(out, strength * made.opacity)
    return out


def collimation_border(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    height, width = image.shape
    x, y = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5
    open_x = np.minimum(x - np.float32(row["left"]), np.float32(width - row["right"]) - x)
    open_y = np.minimum(y - np.float32(row["top"]), np.float32(height - row["bottom"]) - y)
    softness = max(1.0, made.softness * min(image.shape))
    dark = np.maximum(smooth(-open_x, softness)[None], smooth(-open_y, softness)[:, None])
    return image * (1 - np.float32(made.opacity) * dark)


def vignette(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    height, width = image.shape
    x, y = np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5
    square_x, square_y = (x - np.float32(row["x"])) ** 2, (y - np.float32(row["y"])) ** 2
    beyond = np.sqrt(square_x[None] + square_y[:, None]) - np.float32(made.radius * min(image.shape))
    return image * (1 - np.float32(made.opacity) * smooth(beyond, max(1.0, made.softness * min(image.shape))))


def scope_inset(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    side, margin = made.size * min(image.shape), 0.04 * min(image.shape)
    left, top = margin, image.shape[0] - margin - side
    out = image.copy()
    panel, scope = (Canvas(image, left - 1, top - 1, left + side + 1, top + side + 1) for _ in range(2))
    panel.polygon([(left, top), (left + side, top), (left + side, top + side), (left, top + side)])
    panel.onto(out, made.opacity, GREEN)
    points = [(left + side * row[f"{p} x"], top + side * row[f"{p} y"]) for p in ("start", "bend", "end")]
    scope.line(bent(points), 0.024 * side)
    scope.onto(out, made.opacity, DARK_GREEN)
    return out


@lru_cache
def disc_of_frequencies(height: int, width: int, cutoff: float) -> np.ndarray:
    down, along = fft.fftfreq(height, 0.5), fft.rfftfreq(width, 0.5)
    return ((down**2)[:, None] + (along**2)[None] <= cutoff**2).astype(np.float32)


def low_pass(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    kept = disc_of_frequencies(*image.shape, made.cutoff)
    return np.clip(fft.irfft2(fft.rfft2(image) * kept, s=image.shape), 0, 1)


def blur(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    return ndimage.gaussian_filter(image, made.sigma * min(image.shape), mode="reflect")


def resample(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    height, width = image.shape
    coarse = max(1, round(width / made.factor)), max(1, round(height / made.factor))
    small = Image.fromarray(image).resize(coarse, Image.Resampling.BILINEAR)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def poisson_noise(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    """The published formula with its levels."""
    units = (image + RNG.random(image.shape) / 255) * 2000 - 1200
    expected = made.photons * np.exp(-(units * (0.1837 - 0.1662) / 1000 + 0.1837))
    seen = -np.log(np.maximum(RNG.poisson(expected) / made.photons, 1e-8))
    noisy = ((seen - 0.1837) * 1000 / (0.1837 - 0.1662) + 1200) / 2000
    return (np.floor(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)


def gaussian_noise(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    noise = RNG.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + np.float32(made.sigma) * noise, 0, 1)


@lru_cache
def legendre(length: int) -> np.ndarray:
    return np.polynomial.legendre.legvander((np.arange(length) + 0.5) * 2 / length - 1, 3).astype(np.float32)


def bias_field(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    coefficients = np.zeros((4, 4), dtype=np.float32)
    for name, value in row.items():
        coefficients[int(name[4]), int(name[1])] = made.amplitude * value
    field = legendre(image.shape[0]) @ coefficients @ legendre(image.shape[1]).T
    return np.clip(image * np.exp(field), 0, 1)


def gamma(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    return image ** np.float32(made.gamma)


def contrast(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    return np.clip(np.float32(made.factor) * (image - np.float32(made.pivot)) + np.float32(made.pivot), 0, 1)


def jpeg(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    file = BytesIO()
    Image.fromarray((image * 255).round().astype(np.uint8)).save(file, "JPEG", quality=made.quality)
    with Image.open(file) as saved:
        return np.asarray(saved).astype(np.float32) / 255


def scanner_histogram(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
    level = (image * 65535).round().astype(np.int64)
    counts = np.bincount(level.ravel(), minlength=65536)
    darker = counts.cumsum() - counts
    rank = darker / max(1, int(darker[int(level.max())]))
    target = np.interp(rank, np.linspace(0, 1, len(made.quantiles)), made.quantiles).astype(np.float32)
    return np.clip(image + np.float32(made.strength) * (target[level] - image), 0, 1)


PEERS: dict[str, Peer] = {
    peer.__name__.replace("_", "-"): peer
    for peer in (
        tag,
        laterality_marker,
        text_line,
        ruler,
        caliper,
        surgical_pen,
        hair,
        chest_drain,
        pacemaker,
        electrode,
        collimation_border,
        vignette,
        scope_inset,
        low_pass,
        blur,
        resample,
        poisson_noise,
        gaussian_noise,
        bias_field,
        gamma,
        contrast,
        jpeg,
        scanner_histogram,
    )
}


def with_opencv() -> dict[str, Peer]:
    """The confounders that OpenCV computes by calls of its own, in float32; none where it is not installed.

    Parameters are those of Assay; pixels are not compared. Lines have smooth edges by OpenCV's own fixed filter.
    """
    if importlib.util.find_spec("cv2") is None:
        return {}
    import cv2

    cv2.setNumThreads(1)

    def blur(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), made.sigma * min(image.shape), borderType=cv2.BORDER_REFLECT)

    def gamma(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        return cv2.pow(image, made.gamma)

    def contrast(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        changed = cv2.addWeighted(image, made.factor, image, 0.0, made.pivot * (1 - made.factor))
        return cv2.min(cv2.max(changed, 0.0), 1.0)

    def jpeg(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        coded = cv2.convertScaleAbs(image, alpha=255)
        _, file = cv2.imencode(".jpg", coded, [cv2.IMWRITE_JPEG_QUALITY, made.quality])
        return cv2.imdecode(file, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255

    def resample(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        height, width = image.shape
        coarse = max(1, round(width / made.factor)), max(1, round(height / made.factor))
        small = cv2.resize(image, coarse, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    def gaussian_noise(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        noise = np.empty_like(image)
        cv2.randn(noise, 0, made.sigma)
        return cv2.min(cv2.max(cv2.add(image, noise), 0.0), 1.0)

    def low_pass(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        kept = both_sides_of_frequencies(*image.shape, made.cutoff)
        spectrum = cv2.dft(image, flags=cv2.DFT_COMPLEX_OUTPUT)
        found = cv2.dft(spectrum * kept, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
        return cv2.min(cv2.max(found, 0.0), 1.0)

    def line(mask: np.ndarray, points: Points, width: float) -> None:
        places = np.round(16 * np.array(points)).astype(np.int32)
        cv2.polylines(mask, [places], False, 255, max(1, round(width)), cv2.LINE_AA, 4)

    def onto(image: np.ndarray, mask: np.ndarray, strength: float, color: float) -> None:
        image += (strength / 255 * mask.astype(np.float32)) * (color - image)

    def hair(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        height, width = image.shape
        reach, wide = made.length * min(image.shape), made.width * min(image.shape)
        mask, out = np.zeros(image.shape, np.uint8), image.copy()
        for u in RNG.random((made.count, 6)).tolist():
            x0, y0 = u[0] * width, u[1] * height
            x2, y2 = x0 + reach * (2 * u[2] - 1), y0 + reach * (2 * u[3] - 1)
            x1, y1 = (x0 + x2) / 2 + reach * (u[4] - 0.5) * 0.4, (y0 + y2) / 2 + reach * (u[5] - 0.5) * 0.4
            points = bent([(x0, y0), (x1, y1), (x2, y2)])
            for i in range(0, 24, 3):
                line(mask, points[i : i + 4], wide * (1 - 0.6 * (i + 1.5) / 24))
        onto(out, mask, made.opacity, BROWN)
        return out

    def chest_drain(image: np.ndarray, made: Any, row: Row) -> np.ndarray:
        wide = made.width * min(image.shape)
        points = [(mirrored(row[f"{p} x"], row, image.shape[1]), row[f"{p} y"]) for p in ("entry", "bend", "tip")]
        body, bore, stripe = (np.zeros(image.shape, np.uint8) for _ in range(3))
        line(body, bent(points), wide)
        line(bore, bent(points), 0.7 * wide)
        line(stripe, bent(points, first=0.0, last=0.8), 0.25 * wide)
        line(stripe, bent(points, steps=6, first=0.86, last=1.0), 0.25 * wide)
        out = image.copy()
        out += (made.opacity / 255 * (0.45 * body.astype(np.float32) - 0.2 * bore)) * (1 - out)
        onto(out, stripe, 0.9 * made.opacity, 1.0)
        return out

    made = (blur, gamma, contrast, jpeg, resample, gaussian_noise, low_pass, hair, chest_drain)
    return {peer.__name__.replace("_", "-"): peer for peer in made}


@lru_cache
def both_sides_of_frequencies(height: int, width: int, cutoff: float) -> np.ndarray:
    down, along = fft.fftfreq(height, 0.5), fft.fftfreq(width, 0.5)
    return ((down**2)[:, None] + (along**2)[None] <= cutoff**2).astype(np.float32)[:, :, None]
