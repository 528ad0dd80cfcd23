"""Lesions of a fundus: how many make a grade, where they lie, and their drawing with masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.base import PhantomRows
from assay.data.phantoms.drawing import (
    Canvas,
    Capsules,
    Draw,
    Grid,
    Numbers,
    Windows,
    direction,
    draw_capsules,
    ramp,
    reach,
    wander,
    within,
)

# How many lesions a fundus has, and its grade: the international scale of retinopathy as far as counts can follow it.
#
# The scale (Wilkinson et al., Ophthalmology 2003, 110:1677): 0, no abnormality; 1, microaneurysms only; 2, more than
# those but less than 3; 3, any of more than 20 hemorrhages in each of four quadrants, venous beading in two, prominent
# intraretinal microvascular abnormalities in one; 4, new vessels or a vitreous or preretinal hemorrhage.
SEVERE = 4
"""Hemorrhages in each quadrant from which on the grade is 3. The scale's more than 20 are those of the whole retina;
a photograph of 45 degrees shows about a fifth of it.
"""
QUADRANTS, IN_A_QUADRANT = 4, 9
"""Quadrants of the photograph about its middle (upper left, upper right, lower left, lower right), and the most
hemorrhages in one.
"""
FEWEST: Mapping[str, tuple[int, ...]] = {
    "microaneurysms": (0, 1, 0, 2, 0),
    "hemorrhages": (0, 0, 0, QUADRANTS * SEVERE, 0),
    "exudates": (0, 0, 0, 0, 0),
    "cotton_wool": (0, 0, 0, 0, 0),
    "new_vessels": (0, 0, 0, 0, 1),
}
"""Numbers of each kind, by grade. Grade 2 always has a hemorrhage or an exudate, by the nuisance seed."""
MOST: Mapping[str, tuple[int, ...]] = {
    "microaneurysms": (0, 12, 16, 20, 20),
    "hemorrhages": (0, 0, 12, 30, 30),
    "exudates": (0, 0, 18, 30, 30),
    "cotton_wool": (0, 0, 4, 8, 8),
    "new_vessels": (0, 0, 0, 0, 3),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Lesions of each fundus, int64 [n]; hemorrhages by quadrant, [n, 4]."""

    microaneurysms: Int[np.ndarray, "n"]
    hemorrhages: Int[np.ndarray, "n 4"]
    exudates: Int[np.ndarray, "n"]
    cotton_wool: Int[np.ndarray, "n"]
    new_vessels: Int[np.ndarray, "n"]


def grade_of(counts: Counts) -> Int[np.ndarray, "n"]:
    """The grade, 0 to 4, that these lesions make.

    4 with new vessels; else 3 with at least `SEVERE` hemorrhages in each quadrant; else 2 with any hemorrhage,
    exudate or cotton-wool spot; else 1 with any microaneurysm; else 0.
    """
    further = (counts.hemorrhages.sum(axis=1) + counts.exudates + counts.cotton_wool) > 0
    severe = (counts.hemorrhages >= SEVERE).all(axis=1)
    return np.select([counts.new_vessels > 0, severe, further, counts.microaneurysms > 0], [4, 3, 2, 1], 0)


def grades(rows: PhantomRows) -> Int[np.ndarray, "n"]:
    """Return the grades as they are shown: 0 for all at difficulty 0."""
    return rows.values["grade"] * (rows.difficulty["grade"] > 0)


def lesion_counts(rows: PhantomRows) -> dict[str, Int[np.ndarray, "n"]]:
    """Count each kind: from the fewest to the most that the grade allows, by the square of its factor."""
    grade, bleeds = grades(rows), rows.draw()("fundus-leads") < 0.5
    always = {"hemorrhages": (grade == 2) & bleeds, "exudates": (grade == 2) & ~bleeds}
    counted: dict[str, Int[np.ndarray, "n"]] = {}
    for kind, fewest in FEWEST.items():
        low = np.maximum(np.array(fewest)[grade], always.get(kind, np.zeros(1, dtype=bool)))
        part = rows[kind] * rows[kind] * (np.array(MOST[kind])[grade] - low)
        counted[kind] = low + np.floor(part + 0.5).astype(np.int64)
    return counted


def bleeding_order(rows: PhantomRows) -> Int[np.ndarray, "n 4 9"]:
    """The turn in which each place of each quadrant bleeds.

    At grade 3 the first `SEVERE` of every quadrant come first. At grade 2 one quadrant, which the nuisance seed names,
    has its places from the `SEVERE`th on last, so that it never has as many.
    """
    grade, draw = grades(rows)[:, None, None], rows.draw("fundus-")
    turn = np.sort(draw("turn", 0, 1, QUADRANTS, IN_A_QUADRANT), axis=2)
    spared = ((draw("spared", 0, 1, 1) * QUADRANTS).astype(np.int64) == np.arange(QUADRANTS))[:, :, None]
    place = np.arange(IN_A_QUADRANT)
    first = (grade == 3) & (place < SEVERE)
    last = (grade == 2) & spared & (place >= SEVERE - 1)
    keys = (turn + last - first).reshape(len(grade), -1)
    ranks = np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1, kind="stable")
    return ranks.reshape(turn.shape)


# Where the lesions of a fundus lie and how large they are: every place is drawn, the first so many are shown.
#
# Places of one kind do not depend on how many are shown, nor on another kind, so that one lesion more is that one
# alone.
KINDS = ("microaneurysms", "hemorrhages", "exudates", "cotton_wool", "new_vessels")
"""The kinds of lesions, in the order of `FundusPhantom.masks_by_kind`."""
FIELD, HEIGHT = 0.43, 0.36
"""Lesions lie within this distance of the middle and of the middle line: in the view of both cameras."""
_GOLDEN = 0.38196601125010515  # of a turn
_FOCI, _CLUSTERS = 3, 0.33  # clusters of exudates, and how far from the image's middle theirs lie at the most
_RADII = {  # smallest, and the most that is added
    "microaneurysms": (0.0042, 0.0025),
    "hemorrhages": (0.008, 0.028),
    "exudates": (0.0045, 0.0125),
    "cotton_wool": (0.015, 0.014),
    "new_vessels": (0.035, 0.02),
}
_LATTICES = {  # of places: cells a side, their pitch, and the first one's distance from the fovea
    "microaneurysms": (14, 0.06, 0.02),
    "hemorrhages": (10, 0.085, 0.04),
    "cotton_wool": (6, 0.125, 0.13),
    "new_vessels": (4, 0.2, 0.15),
}
_UNEVEN = {"microaneurysms": 0.0, "hemorrhages": 0.12, "exudates": 0.13, "cotton_wool": 0.08, "new_vessels": 0.1}


def lesions_by_kind(rows: PhantomRows, shape: Numbers, least: float) -> dict[str, Numbers]:
    """Return every fundus's lesions by kind, none with a radius below `least` at the usual size."""
    counted = lesion_counts(rows)
    placed = {
        "microaneurysms": _scatter("microaneurysms", rows, shape),
        "hemorrhages": _by_quadrant(rows, shape),
        "exudates": _cluster(rows, shape),
        "cotton_wool": _scatter("cotton_wool", rows, shape),
        "new_vessels": _at_disc(*_scatter("new_vessels", rows, shape), shape, rows),
    }
    spots: dict[str, Numbers] = {}
    for kind, (x, y) in placed.items():
        turn = bleeding_order(rows).reshape(x.shape) if kind == "hemorrhages" else np.arange(len(x.T))
        spots[kind] = _spots(kind, x, y, turn < counted[kind][:, None], least, rows, shape)
    return spots


def bleeding(rows: PhantomRows, counted: Mapping[str, np.ndarray]) -> np.ndarray:
    """Count the hemorrhages of each quadrant, int64 [n, 4]."""
    return (bleeding_order(rows) < counted["hemorrhages"][:, None, None]).sum(axis=2)


def _spots(
    kind: str, x: np.ndarray, y: np.ndarray, visible: np.ndarray, least: float, rows: PhantomRows, shape: Numbers
) -> Numbers:
    """k lesions a row, [n, k]: place, looks, harmonics of the outline [n, k, 3] and whether each is there."""
    k, draw = x.shape[1], rows.draw(f"{kind}-")
    smallest, more = _RADII[kind]
    u = draw("radius", 0, 1, k)
    cosine, sine = draw.heading("axis", k)
    stretch = draw("stretch", 1.0, 1.0 if kind == "microaneurysms" else 1.25, k)
    if kind == "hemorrhages":  # flames lie along the nerve fibers, away from the disc
        flame = draw("flame", 0, 1, k) < 0.25
        dx, dy, far = _from(shape.disc, x, y)
        away = far + 1e-9
        cosine, sine = np.where(flame, dx / away, cosine), np.where(flame, dy / away, sine)
        stretch = np.where(flame, 1.5 * stretch, stretch)
    faint = rows["lesion_contrast"] * min(rows.difficulty["grade"], 1.5)
    waves = _UNEVEN[kind] * draw("waves", -1, 1, k, 6)
    return Numbers(
        x=x,
        y=y,
        radius=np.maximum(smallest + more * u * u * u, least) * rows["lesion_size"][:, None],
        cosine=cosine,
        sine=sine,
        stretch=stretch,
        opacity=draw("opacity", 0.75, 1.0, k) * faint[:, None],
        even=waves[:, :, :3],
        odd=waves[:, :, 3:],
        visible=visible,
    )


def _from(center: Float[np.ndarray, "n 2"], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and distance of points [n, k] from a point of each row."""
    dx, dy = x - center[:, :1], y - center[:, 1:]
    return dx, dy, np.sqrt(dx * dx + dy * dy)


def _scatter(kind: str, rows: PhantomRows, shape: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """The first places of a jittered lattice in the order of their keys."""
    x, y, key = _lesion_places(kind, rows, shape)
    chosen = np.argsort(key, axis=1, kind="stable")[:, : max(MOST[kind])]
    return np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)


def _by_quadrant(rows: PhantomRows, shape: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """The first places of each quadrant, all of one quadrant behind another."""
    x, y, key = _lesion_places("hemorrhages", rows, shape)
    order = np.argsort(key + 100 * (2 * (y > 0) + (x > 0)), axis=1, kind="stable")
    chosen = order.reshape(len(x), QUADRANTS, -1)[:, :, :IN_A_QUADRANT].reshape(len(x), -1)
    return np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)


def _lesion_places(kind: str, rows: PhantomRows, shape: Numbers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on a jittered lattice about the middle, and keys: low ones come first, those off limits last."""
    cells, pitch, from_fovea = _LATTICES[kind]
    line = (np.arange(cells) - 0.5 * (cells - 1)) * pitch
    count, draw = cells * cells, rows.draw(f"{kind}-")
    x = np.tile(line, cells) + pitch * draw("x", -0.28, 0.28, count)
    y = np.repeat(line, cells) + pitch * draw("y", -0.28, 0.28, count)
    to_disc, to_fovea = _from(shape.disc, x, y)[2], _from(shape.fovea, x, y)[2]
    outside = (x * x + y * y > FIELD * FIELD) | (np.abs(y) > HEIGHT)
    off = outside | (to_disc < shape.radius[:, None] + 0.03) | (to_fovea < from_fovea)
    central = (rows["centrality"] - 0.5)[:, None]
    return x, y, draw("key", 0, 1, count) + 3 * central * to_fovea + 10 * off


def _cluster(rows: PhantomRows, shape: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters about the fovea, each a sunflower's head that grows from its middle, filled one by one."""
    place, draw = np.arange(max(MOST["exudates"]) // _FOCI), rows.draw("exudates-")
    cosine, sine = direction(draw("first", 0, 1, 1) + np.arange(_FOCI) / _FOCI + draw("around", -0.04, 0.04, _FOCI))
    far = 0.1 + (0.02 + 0.08 * (1 - rows["centrality"])[:, None]) * draw("far", 0.4, 1, _FOCI)
    middle_x, middle_y = shape.fovea[:, :1] + far * cosine, shape.fovea[:, 1:] + far * sine
    inwards = np.minimum(1, _CLUSTERS / np.sqrt(middle_x * middle_x + middle_y * middle_y + 1e-9))
    turn = draw("turn", 0, 1, _FOCI)[:, :, None] + _GOLDEN * place
    cosine, sine = direction(turn + draw("stray", -0.03, 0.03, _FOCI, len(place)))
    away = 0.0205 * np.sqrt(place + 0.5)
    x, y = (middle_x * inwards)[:, :, None] + away * cosine, (middle_y * inwards)[:, :, None] + away * sine
    return x.reshape(len(x), -1), y.reshape(len(y), -1)


def _at_disc(x: np.ndarray, y: np.ndarray, shape: Numbers, rows: PhantomRows) -> tuple[np.ndarray, np.ndarray]:
    """The first tuft of two eyes in five grows on the disc's rim."""
    draw = rows.draw("new-vessels-")
    on_rim = (draw("at-disc", 0, 1, 1) < 0.4) & (np.arange(len(x.T)) == 0)
    on_x, on_y = (
        shape.disc[:, axis, None] + 0.8 * shape.radius[:, None] * way
        for axis, way in enumerate(draw.heading("around", 1))
    )
    return np.where(on_rim, on_x, x), np.where(on_rim, on_y, y)


# Drawing the lesions of a fundus with their masks, and scars of laser, which are no lesions.
_SOFT = {"microaneurysms": 0.0, "hemorrhages": 0.007, "exudates": 0.002, "cotton_wool": 0.024, "new_vessels": 0.03}
"""Width of each kind's edge beside what the picture blurs."""
_CLASSES = (0.0, 0.012, 0.022, np.inf)
"""Radii between which spots are drawn in windows of one width."""
_PIXEL = 0.7072
"""Half the diagonal of a pixel: within it of any point lies the middle of some pixel."""
_FAN, _LENGTH = 9, 4  # of a tuft: vessels, and pieces of each
_SCARS = 90


@dataclass(frozen=True, slots=True)
class Marks:
    """Lesions on each fundus, flat canvases [n, pixels] of 0 to 1: blood outside vessels, its hard exudates,
    cotton-wool, vessels of new tufts; and which pixels each kind of lesion holds [5, n, pixels].
    """

    blood: Canvas
    exudates: Canvas
    cotton_wool: Canvas
    tufts: Canvas
    masks: Bool[Tensor, "5 n pixels"]


def draw_lesions(spots: Mapping[str, Numbers], shape: Numbers, draw: Draw, grid: Grid) -> Marks:
    """Draw all lesions that are shown.

    A mask holds the pixels whose middle is inside an outline. For a lesion too small for that it holds the nearest
    pixel.
    """
    n, soft = len(shape.blur), shape.blur + 1.1 * grid.pixel
    blood, exudates, cotton_wool, haze, tufts = (grid.blank(n) for _ in range(5))
    masks = torch.zeros(len(KINDS), n, grid.size * grid.size, device=grid.device)
    for mask, kind, canvas in zip(masks, KINDS, (blood, blood, exudates, cotton_wool, haze), strict=True):
        _draw_spots(canvas, mask, spots[kind], soft + _SOFT[kind], grid)
    draw_capsules(tufts, _tufts(spots["new_vessels"], draw), soft, grid)
    return Marks(torch.maximum(blood, haze.mul_(0.22)), exudates, cotton_wool, tufts, masks > 0)


def _draw_spots(canvas: Canvas, mask: Canvas, spots: Numbers, blur: Float[np.ndarray, "n"], grid: Grid) -> None:
    """Raise the canvas to the spots' opacity and the mask to 1 inside them."""
    extent = spots.radius * spots.stretch
    visible = spots.visible & (spots.opacity > 0)
    for low, high in pairwise(_CLASSES):
        row, place = np.nonzero(visible & (extent > low) & (extent <= high))
        if len(row) > 0:
            _draw_spot_class(canvas, mask, row, spots.take((row, place)).but(blur=blur[row]), grid)


def _draw_spot_class(canvas: Canvas, mask: Canvas, row: Int[np.ndarray, "m"], spots: Numbers, grid: Grid) -> None:
    # A spot smaller than the blur is seen as wide as the blur and as much fainter as it is smaller.
    widened = spots.but(radius=np.maximum(spots.radius, 0.5 * spots.blur))
    fainter = spots.radius / widened.radius
    windows = Windows.around(row, spots.x, spots.y, float((reach(widened) + 0.5 * spots.blur).max()) + grid.pixel, grid)
    share, depth, _, _ = within(widened, windows, grid)
    opaque = ramp(depth, grid.tensor(spots.blur))
    windows.draw(canvas, opaque.mul_(grid.tensor(spots.opacity * fainter * fainter)))
    dx, dy = windows.x - grid.tensor(spots.x), windows.y - grid.tensor(spots.y)
    nearest = (dx * dx + dy * dy) <= (_PIXEL * grid.pixel) ** 2
    windows.draw(mask, ((share <= grid.tensor(fainter)) | nearest).to(mask.dtype))


def _tufts(spots: Numbers, draw: Draw) -> Capsules:
    """Fans of fine vessels that wind from the middle of each tuft to near its outline."""
    k = spots.x.shape[1]
    tufts = spots.take(np.s_[:, :, None])
    turns = draw("tuft-turn", -0.16, 0.16, k, _FAN, _LENGTH)
    step = (0.85 / _LENGTH) * tufts.radius[..., None] * np.ones(turns.shape)
    x, y, _ = wander((tufts.x, tufts.y, draw("tuft-heading", 0, 1, k, _FAN)), turns, step)
    return Capsules.along(x, y, np.array(0.0021), (tufts.opacity * tufts.visible)[..., None])


def draw_scars(shape: Numbers, draw: Draw, scarred: float, grid: Grid) -> tuple[Canvas, Canvas]:
    """Scars of laser away from macula and disc, in this share of the images: pale rings and dark middles."""
    cosine, sine = draw.heading("scar-around", _SCARS)
    away = 0.29 + 0.19 * draw("scar-away", 0, 1, _SCARS)
    x, y = away * cosine, away * sine
    dx, dy, _ = _from(shape.disc, x, y)
    present = (draw("scars", 0, 1, 1) < scarred) & (dx * dx + dy * dy > 0.15**2)
    present &= draw("scar", 0, 1, _SCARS) < draw("scars-amount", 0.3, 1.0, 1)
    radius = draw("scar-radius", 0.008, 0.015, _SCARS)
    level = np.where(present, draw("scar-level", 0.2, 0.6, _SCARS), 0.0)
    dark = np.where(draw("scar-dark", 0, 1, _SCARS) < 0.5, level, 0.0)
    soft = shape.blur + 1.1 * grid.pixel + 0.004
    pale, middle = grid.blank(len(x)), grid.blank(len(x))
    draw_capsules(pale, Capsules.even(x, y, x, y, radius, level), soft, grid)
    draw_capsules(middle, Capsules.even(x, y, x, y, 0.45 * radius, dark), soft, grid)
    return pale, middle
