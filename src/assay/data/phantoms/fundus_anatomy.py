"""Anatomy of the fundus phantom: disc, vessels, lesions and grade."""

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
    Blobs,
    Capsules,
    Grid,
    Planes,
    Windows,
    along,
    colors,
    column,
    dab,
    direction,
    draw_capsules,
    ramp,
    within,
)
from assay.data.phantoms.noise import lattice, spline_zoom, spread, uniforms

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


def grades(seen: PhantomRows) -> Int[np.ndarray, "n"]:
    """Return the grades as they are shown: 0 for all at difficulty 0."""
    return seen.values["grade"] * (seen.difficulty["grade"] > 0)


def numbers(seen: PhantomRows, nuisance: Int[np.ndarray, "n"]) -> dict[str, Int[np.ndarray, "n"]]:
    """Count each kind: from the fewest to the most that the grade allows, by the square of its factor."""
    grade = grades(seen)
    bleeds = uniforms(nuisance, "fundus-leads", 1)[:, 0] < 0.5
    always = {"hemorrhages": (grade == 2) & bleeds, "exudates": (grade == 2) & ~bleeds}
    counted: dict[str, Int[np.ndarray, "n"]] = {}
    for kind, fewest in FEWEST.items():
        low = np.maximum(np.array(fewest)[grade], always.get(kind, np.zeros(1, dtype=bool)))
        part = seen[kind] * seen[kind] * (np.array(MOST[kind])[grade] - low)
        counted[kind] = low + np.floor(part + 0.5).astype(np.int64)
    return counted


def in_order(grade: Int[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n 4 9"]:
    """The turn in which each place of each quadrant bleeds.

    At grade 3 the first `SEVERE` of every quadrant come first. At grade 2 one quadrant, which the nuisance seed names,
    has its places from the `SEVERE`th on last, so that it never has as many.
    """
    turn = uniforms(nuisance, "fundus-turn", QUADRANTS * IN_A_QUADRANT).reshape(-1, QUADRANTS, IN_A_QUADRANT)
    turn = np.sort(turn, axis=2)
    spared = (uniforms(nuisance, "fundus-spared", 1) * QUADRANTS).astype(np.int64) == np.arange(QUADRANTS)
    place = np.arange(IN_A_QUADRANT)
    first = (grade == 3)[:, None, None] & (place < SEVERE)
    last = ((grade == 2)[:, None] & spared)[:, :, None] & (place >= SEVERE - 1)
    keys = (turn + last - first).reshape(len(grade), -1)
    ranks = np.argsort(np.argsort(keys, axis=1, kind="stable"), axis=1, kind="stable")
    return ranks.reshape(turn.shape)


# Where disc and fovea of a fundus lie, its color, and how disc, cup and macula look.
#
# Lengths are sides of the image, from its middle: x to the right, y down. Two eyes of a patient are the nuisance seeds
# 2k and 2k + 1: what a patient's eyes share is drawn from k.

DISC = 0.077
"""Radius of a usual disc."""
_BLOND, _MIDDLE, _DARK = (0.92, 0.45, 0.15), (0.74, 0.31, 0.07), (0.55, 0.235, 0.075)
_PALE_DISC = np.array([1.25, 0.80, 0.35])
_PALE_CUP = np.array([1.32, 1.0, 0.56])
_COARSE, _FINE, _CHOROID = 5, 44, 21


@dataclass(frozen=True, slots=True)
class Eye:
    """Anatomy of each image, float64 [n] unless stated.

    disc: its middle [n, 2]; radius: the disc's. fovea: [n, 2]. cup: radius over the disc's. nasal: 1 where the nose is
    to the right, -1 to the left. color: of the fundus [n, 3]; paleness: of the disc; dim: light that the macula takes;
    ring: brightness of the nerve fibers about the disc. choroid: how plain its vessels are.
    mottled: strength of coarse and fine changes [n, 2].
    blur: width of every edge.
    """

    disc: Float[np.ndarray, "n 2"]
    radius: np.ndarray
    oval: np.ndarray
    fovea: Float[np.ndarray, "n 2"]
    cup: np.ndarray
    nasal: np.ndarray
    color: Float[np.ndarray, "n 3"]
    paleness: np.ndarray
    dim: np.ndarray
    ring: np.ndarray
    choroid: np.ndarray
    mottled: Float[np.ndarray, "n 2"]
    blur: np.ndarray


def eye(seen: PhantomRows, nuisance: Int[np.ndarray, "n"], texture: float, blur: float) -> Eye:
    """The anatomy of each image. texture: strength of the mottling; blur: of defocus; 1 normal, 0 none."""
    patient = nuisance // 2

    def own(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"fundus-{name}", low, high, count)

    def shared(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(patient, f"fundus-patient-{name}", low, high, count)

    side = np.where((seen.values["side"] == 0) & (seen.difficulty["side"] > 0), -1.0, 1.0)
    radius = DISC * shared("disc", 0.9, 1.1)[:, 0] * own("disc", 0.97, 1.03)[:, 0]
    disc = np.stack([side * own("disc-x", 0.215, 0.285)[:, 0], own("disc-y", -0.045, 0.02)[:, 0]], axis=1)
    away = shared("fovea", 0.365, 0.405)[:, 0]
    fovea = disc + np.stack([-side * away, own("fovea-y", 0.01, 0.055)[:, 0]], axis=1)
    tint = 1 + shared("tint", -0.09, 0.09, 3) + own("tint", -0.02, 0.02, 3)
    base = along(np.array([_BLOND, _MIDDLE, _DARK]), seen["pigment"])
    defocus = own("defocus", 0.0, 1.0)[:, 0]
    return Eye(
        disc=disc,
        radius=radius,
        oval=own("oval", 1.0, 1.06)[:, 0],
        fovea=fovea,
        cup=seen["cup"],
        nasal=side,
        color=base * tint,
        paleness=own("paleness", 0.6, 1.0)[:, 0],
        dim=(0.32 + 0.25 * seen["pigment"]) * own("dim", 0.6, 1.3)[:, 0],
        ring=shared("ring", 0.05, 0.2)[:, 0],
        choroid=texture * (1 - seen["pigment"]) * shared("choroid", 0.0, 0.12)[:, 0],
        mottled=texture * own("mottled", 0.4, 1.0, 2) * np.array([0.05, 0.03]),
        blur=blur * 0.011 * defocus * defocus * defocus,
    )


def draw_fundus(shape: Eye, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Planes:
    """The back of the eye without vessels: pigment, choroid, macula, disc and cup, as colors in even light."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    x, y = grid.axes()
    coarse = lattice(nuisance, "fundus-coarse", _COARSE, shape.mottled[:, 0], grid)
    fine = lattice(nuisance, "fundus-fine", _FINE, shape.mottled[:, 1], grid)
    mottling = spline_zoom(fine.add_(spline_zoom(coarse, _FINE + 2)), grid.size)
    streaks = spline_zoom(lattice(nuisance, "fundus-choroid", _CHOROID, np.ones(len(nuisance)), grid), grid.size)
    streaks = (1 - streaks.abs_().mul_(1.6)).clamp_(min=0).mul_(put(shape.choroid))
    to_disc = _squared(x, y, shape.disc, grid)
    to_fovea = _squared(x, y, shape.fovea, grid)
    halo = 1 / (to_disc * (1 / 0.17**2)).add_(1)
    macula = 1 / (to_fovea * (1 / 0.1**2)).add_(1)
    macula.mul_(macula).mul_(put(shape.dim))
    streaks.mul_(1 - macula)
    planes = torch.empty(3, len(nuisance), grid.size, grid.size, device=grid.device)
    taken = ((0.35, 0.5, 0.9), (0.8, 1.0, 1.0), (1.0, 1.2, 1.0))
    for plane, (by_macula, by_mottling, by_choroid) in zip(planes, taken, strict=True):
        plane.copy_(macula).mul_(-by_macula).add_(1).add_(mottling * by_mottling).add_(streaks * by_choroid)
        plane.add_(halo * put(shape.ring))
    planes.mul_(colors(shape.color, grid.device))
    _draw_disc(planes, shape, grid)
    return planes


def _draw_disc(planes: Planes, shape: Eye, grid: Grid) -> None:
    n = len(shape.radius)
    soft = shape.blur + 1.1 * grid.pixel
    flat = np.zeros((n, 1))
    whole = Blobs(shape.disc[:, 0], shape.disc[:, 1], shape.radius, np.zeros(n), np.ones(n), shape.oval, flat, flat)
    reach = 1.25 * float(shape.radius.max(initial=0)) + float(soft.max(initial=0))
    windows = Windows.around(np.arange(n), whole.x, whole.y, reach, grid)
    share, depth, u, v = within(whole, windows, grid)
    cover = ramp(depth, column(soft + 0.006, grid.device))
    # The cup lies a little to the temple; u runs down and v to the left.
    aside = v.sub_(column(0.08 * shape.nasal, grid.device))
    from_cup = (u * u).add_(aside * aside).sqrt_()
    cup = ramp(
        (column(shape.cup, grid.device) - from_cup).mul_(column(shape.radius, grid.device)),
        column(soft + 0.018, grid.device),
    )
    under = shape.color
    rim = colors(under + shape.paleness[:, None] * (_PALE_DISC - under), grid.device)
    pit = colors(under + shape.paleness[:, None] * (_PALE_CUP - under), grid.device)
    shade = (share * share).mul_(-0.08).add_(1)
    dab(planes, windows, cover, (rim * shade).mul_(1 - cup).add_(pit * cup))


def _squared(x: Tensor, y: Tensor, center: Float[np.ndarray, "n 2"], grid: Grid) -> Float[Tensor, "n size size"]:
    dx, dy = x - column(center[:, 0], grid.device), y - column(center[:, 1], grid.device)
    return dx * dx + dy * dy


# Arteries and veins of a fundus: arcades from the disc around the macula, their branches and twigs.

RADIUS = {"artery": 0.0043, "vein": 0.0058}
"""Half the width of a usual trunk at the disc."""
_TRUNKS, _PIECES = 4, 12  # upper and lower, to the temple and to the nose
_FORKS = (2, 4, 6, 8)  # pieces of a trunk after which it branches
_BRANCH, _TWIG = 6, 4
_TWIGS_AT = (2, 4)


@dataclass(frozen=True, slots=True)
class Tree:
    """One kind of vessels: trunks, branches and twigs."""

    trunks: Capsules
    branches: Capsules
    twigs: Capsules


@dataclass(frozen=True, slots=True)
class _Course:
    """Paths of k vessels a row: points [n, k, steps + 1] and headings [n, k, steps] as unit vectors, and radii."""

    x: np.ndarray
    y: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray
    radius: np.ndarray


def tree(kind: str, seen: PhantomRows, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> Tree:
    """The arteries or the veins of each eye."""
    stream = f"fundus-{kind}"
    trunks = _trunks(kind, seen, shape, nuisance)
    branches = _offshoots(f"{stream}-branch", trunks, _FORKS, _BRANCH, 0.052, 0.62, nuisance)
    twigs = _offshoots(f"{stream}-twig", branches, _TWIGS_AT, _TWIG, 0.036, 0.55, nuisance)
    return Tree(*(_tubes(course, shape) for course in (trunks, branches, twigs)))


def draw_tree(canvas: Float[Tensor, "n pixels"], vessels: Tree, blur: Float[np.ndarray, "n"], grid: Grid) -> None:
    """Raise the canvas to the blood in the way, 0 to 1."""
    for tubes in (vessels.twigs, vessels.branches, vessels.trunks):
        draw_capsules(canvas, tubes, blur, grid)


def _trunks(kind: str, seen: PhantomRows, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> _Course:
    """Temporal trunks arch above and below the macula; nasal ones run outwards."""
    n, t = len(nuisance), np.arange(_PIECES + 1) / _PIECES

    def draw(name: str, low: float, high: float, count: int = _TRUNKS) -> np.ndarray:
        return spread(nuisance, f"fundus-{kind}-{name}", low, high, count)

    up = np.array([-1.0, 1.0, -1.0, 1.0])
    temporal = np.array([1.0, 1.0, 0.0, 0.0])
    wide = 1.0 if kind == "vein" else 0.88
    height = up * (temporal * wide * draw("height", 0.25, 0.31) + (1 - temporal) * draw("rise", 0.14, 0.36))
    reach = temporal * draw("reach", 0.62, 0.78) - (1 - temporal) * draw("nasal", 0.2, 0.34)
    bend = draw("bend", -0.05, 0.4)[:, :, None]
    start = draw("start", -0.2, 0.2) * shape.radius[:, None]
    swing = draw("swing", -1, 1, _TRUNKS * _PIECES).reshape(n, _TRUNKS, _PIECES)
    wander = np.concatenate([np.zeros((n, _TRUNKS, 1)), np.cumsum(swing, axis=2)], axis=2)
    wander = wander * (0.004 + 0.007 * spread(nuisance // 2, "fundus-patient-tortuous", 0, 1)[:, :, None])
    # To the temple u rises with the square of the way and v with its parabola; to the nose both are straight.
    nasal = (1 - temporal)[:, None]
    bow = temporal[:, None] * (0.75 * t * t + 0.25 * t * t * t) + nasal * t
    arch = temporal[:, None] * (2.25 * t - 1.25 * t * t - bend * (t * t * t)) + nasal * (1.2 * t - 0.2 * t * t)
    u = start[:, :, None] + reach[:, :, None] * bow + 0.5 * wander
    x = shape.disc[:, 0, None, None] - shape.nasal[:, None, None] * u
    y = shape.disc[:, 1, None, None] + height[:, :, None] * arch + wander
    radius = RADIUS[kind] * seen["caliber"][:, None] * (0.62 + 0.38 * temporal) * draw("radius", 0.85, 1.15)
    return _course(x, y, radius[:, :, None] * (1 - 0.55 * t))


def _offshoots(
    stream: str,
    parent: _Course,
    forks: tuple[int, ...],
    steps: int,
    step: float,
    thinner: float,
    nuisance: Int[np.ndarray, "n"],
) -> _Course:
    """Paths that leave their parents after these pieces, to one side and the other in turns."""
    n, own = parent.x.shape[0], parent.x.shape[1] * len(forks)
    at = list(forks)

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"{stream}-{name}", low, high, own * count).reshape(n, own, count)

    def begun(values: np.ndarray, shift: int) -> np.ndarray:
        return values[:, :, [k + shift for k in at]].reshape(n, own, 1)

    side = np.tile(np.where(np.arange(len(forks)) % 2 == 0, 1.0, -1.0), parent.x.shape[1])[None, :, None]
    turns = side * draw("leave", 0.08, 0.15) - side * 0.012 * np.arange(steps)
    turns = turns + np.cumsum(draw("turn", -0.035, 0.035, steps), axis=2)
    cosine, sine = direction(turns)
    from_x, from_y = begun(parent.along_x, -1), begun(parent.along_y, -1)
    length = step * draw("length", 0.6, 1.25, steps)
    x = begun(parent.x, 0) + _from_zero(length * (from_x * cosine - from_y * sine))
    y = begun(parent.y, 0) + _from_zero(length * (from_x * sine + from_y * cosine))
    radius = thinner * begun(parent.radius, 0) * draw("radius", 0.7, 1.15)
    return _course(x, y, radius * (1 - 0.6 * np.arange(steps + 1) / steps))


def _from_zero(steps: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((*steps.shape[:2], 1)), np.cumsum(steps, axis=2)], axis=2)


def _course(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> _Course:
    dx, dy = np.diff(x, axis=2), np.diff(y, axis=2)
    length = np.sqrt(dx * dx + dy * dy) + 1e-9
    return _Course(x, y, dx / length, dy / length, radius)


def _tubes(course: _Course, shape: Eye) -> Capsules:
    """Tubes that fade toward the fovea, which has no vessels."""
    n = len(shape.radius)
    dx, dy = course.x - shape.fovea[:, :1, None], course.y - shape.fovea[:, 1:, None]
    strength = ((np.sqrt(dx * dx + dy * dy) - 0.045) / 0.06).clip(0, 1)
    ends = [value[:, :, part].reshape(n, -1) for part in (slice(None, -1), slice(1, None)) for value in (
        course.x, course.y, course.radius, strength)]  # fmt: skip
    x0, y0, r0, s0, x1, y1, r1, s1 = ends
    return Capsules(x0, y0, x1, y1, r0, r1, s0, s1)


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
_RADII = {  # smallest, and what is added at the most
    "microaneurysms": (0.0042, 0.0025),
    "hemorrhages": (0.008, 0.028),
    "exudates": (0.0045, 0.0125),
    "cotton_wool": (0.015, 0.014),
    "new_vessels": (0.035, 0.02),
}
_UNEVEN = {"microaneurysms": 0.0, "hemorrhages": 0.12, "exudates": 0.13, "cotton_wool": 0.08, "new_vessels": 0.1}


@dataclass(frozen=True, slots=True)
class Spots:
    """k lesions of one kind a row, float64 [n, k] unless stated.

    shown: whether it is there. opacity: 0 to 1 and over. cosine, sine: direction of the long axis; stretch: root of
    long over short. even, odd: harmonics of the outline [n, k, 3].
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    opacity: np.ndarray
    even: Float[np.ndarray, "n k 3"]
    odd: Float[np.ndarray, "n k 3"]
    shown: Bool[np.ndarray, "n k"]


def lesions(seen: PhantomRows, shape: Eye, nuisance: Int[np.ndarray, "n"], least: float) -> dict[str, Spots]:
    """Return every fundus's lesions by kind, none with a radius below `least` at the usual size."""
    counted = numbers(seen, nuisance)
    placed = {
        "microaneurysms": _scattered("microaneurysms", 14, 0.06, 0.02, seen, shape, nuisance),
        "hemorrhages": _by_quadrant(seen, shape, nuisance),
        "exudates": _clustered(seen, shape, nuisance),
        "cotton_wool": _scattered("cotton_wool", 6, 0.125, 0.13, seen, shape, nuisance),
        "new_vessels": _at_disc(*_scattered("new_vessels", 4, 0.2, 0.15, seen, shape, nuisance), shape, nuisance),
    }
    spots: dict[str, Spots] = {}
    for kind, (x, y) in placed.items():
        turn = np.broadcast_to(np.arange(len(x.T)), x.shape)
        if kind == "hemorrhages":
            turn = in_order(grades(seen), nuisance).reshape(x.shape)
        spots[kind] = _spots(kind, x, y, turn < counted[kind][:, None], least, seen, shape, nuisance)
    return spots


def bleeding(seen: PhantomRows, counted: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"]) -> np.ndarray:
    """Count the hemorrhages of each quadrant, int64 [n, 4]."""
    return (in_order(grades(seen), nuisance) < counted["hemorrhages"][:, None, None]).sum(axis=2)


def _spots(
    kind: str,
    x: np.ndarray,
    y: np.ndarray,
    shown: np.ndarray,
    least: float,
    seen: PhantomRows,
    shape: Eye,
    nuisance: Int[np.ndarray, "n"],
) -> Spots:
    n, k = x.shape

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"{kind}-{name}", low, high, k * count)

    smallest, more = _RADII[kind]
    u = draw("radius", 0, 1)
    radius = np.maximum(smallest + more * u * u * u, least) * seen["lesion_size"][:, None]
    cosine, sine = direction(draw("axis", 0, 1))
    stretch = draw("stretch", 1.0, 1.0 if kind == "microaneurysms" else 1.25)
    if kind == "hemorrhages":  # flames lie along the nerve fibers, away from the disc
        flame = uniforms(nuisance, "hemorrhages-flame", k) < 0.25
        dx, dy = x - shape.disc[:, :1], y - shape.disc[:, 1:]
        away = np.sqrt(dx * dx + dy * dy) + 1e-9
        cosine, sine = np.where(flame, dx / away, cosine), np.where(flame, dy / away, sine)
        stretch = np.where(flame, 1.5 * stretch, stretch)
    opacity = draw("opacity", 0.75, 1.0) * (seen["lesion_contrast"] * min(seen.difficulty["grade"], 1.5))[:, None]
    waves = _UNEVEN[kind] * draw("waves", -1, 1, 6).reshape(n, k, 6)
    return Spots(x, y, radius, cosine, sine, stretch, opacity, waves[:, :, :3], waves[:, :, 3:], shown)


def _scattered(
    kind: str,
    cells: int,
    pitch: float,
    from_fovea: float,
    seen: PhantomRows,
    shape: Eye,
    nuisance: Int[np.ndarray, "n"],
) -> tuple[np.ndarray, np.ndarray]:
    """The first places of a jittered lattice in the order of their keys."""
    x, y, key = _places(kind, cells, pitch, from_fovea, seen, shape, nuisance)
    chosen = np.argsort(key, axis=1, kind="stable")[:, : max(MOST[kind])]
    return np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)


def _by_quadrant(seen: PhantomRows, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """The first places of each quadrant, all of one quadrant behind another."""
    x, y, key = _places("hemorrhages", 10, 0.085, 0.04, seen, shape, nuisance)
    quadrant = 2 * (y > 0) + (x > 0)
    order = np.argsort(key + 100 * quadrant, axis=1, kind="stable")
    per = x.shape[1] // QUADRANTS
    chosen = order.reshape(len(x), QUADRANTS, per)[:, :, :IN_A_QUADRANT].reshape(len(x), -1)
    return np.take_along_axis(x, chosen, axis=1), np.take_along_axis(y, chosen, axis=1)


def _places(
    kind: str,
    cells: int,
    pitch: float,
    from_fovea: float,
    seen: PhantomRows,
    shape: Eye,
    nuisance: Int[np.ndarray, "n"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on a jittered lattice about the middle, and keys: low ones come first, those off limits last."""
    line = (np.arange(cells) - 0.5 * (cells - 1)) * pitch
    middle_x, middle_y = np.tile(line, cells), np.repeat(line, cells)
    count = cells * cells
    x = middle_x + pitch * spread(nuisance, f"{kind}-x", -0.28, 0.28, count)
    y = middle_y + pitch * spread(nuisance, f"{kind}-y", -0.28, 0.28, count)
    dx, dy = x - shape.disc[:, :1], y - shape.disc[:, 1:]
    to_disc = np.sqrt(dx * dx + dy * dy)
    dx, dy = x - shape.fovea[:, :1], y - shape.fovea[:, 1:]
    to_fovea = np.sqrt(dx * dx + dy * dy)
    outside = (x * x + y * y > FIELD * FIELD) | (np.abs(y) > HEIGHT)
    off = outside | (to_disc < shape.radius[:, None] + 0.03) | (to_fovea < from_fovea)
    central = (seen["centrality"] - 0.5)[:, None]
    return x, y, uniforms(nuisance, f"{kind}-key", count) + 3 * central * to_fovea + 10 * off


def _clustered(seen: PhantomRows, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters about the fovea, each a sunflower's head that grows from its middle."""
    n, each = len(nuisance), max(MOST["exudates"]) // _FOCI

    def draw(name: str, low: float, high: float, count: int) -> np.ndarray:
        return spread(nuisance, f"exudates-{name}", low, high, count)

    first = draw("first", 0, 1, 1)
    cosine, sine = direction(first + np.arange(_FOCI) / _FOCI + draw("around", -0.04, 0.04, _FOCI))
    far = 0.1 + (0.02 + 0.08 * (1 - seen["centrality"])[:, None]) * draw("far", 0.4, 1, _FOCI)
    middle_x, middle_y = shape.fovea[:, :1] + far * cosine, shape.fovea[:, 1:] + far * sine
    inwards = np.minimum(1, _CLUSTERS / np.sqrt(middle_x * middle_x + middle_y * middle_y + 1e-9))
    middle_x, middle_y = middle_x * inwards, middle_y * inwards
    place = np.arange(each)
    turn = draw("turn", 0, 1, _FOCI)[:, :, None] + _GOLDEN * place
    cosine, sine = direction(turn + draw("stray", -0.03, 0.03, _FOCI * each).reshape(n, _FOCI, each))
    away = 0.0205 * np.sqrt(place + 0.5)
    x, y = middle_x[:, :, None] + away * cosine, middle_y[:, :, None] + away * sine
    # One cluster is filled before the next begins.
    return x.reshape(n, -1), y.reshape(n, -1)


def _at_disc(x: np.ndarray, y: np.ndarray, shape: Eye, nuisance: Int[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """The first tuft of two eyes in five grows on the disc's rim."""
    there = uniforms(nuisance, "new-vessels-at-disc", 1) < 0.4
    cosine, sine = direction(uniforms(nuisance, "new-vessels-around", 1))
    first = np.array([True] + [False] * (x.shape[1] - 1))
    on_x = shape.disc[:, :1] + 0.8 * shape.radius[:, None] * cosine
    on_y = shape.disc[:, 1:] + 0.8 * shape.radius[:, None] * sine
    return np.where(there & first, on_x, x), np.where(there & first, on_y, y)


# Drawing the lesions of a fundus, and scars of laser that are none: what they add to the picture, and their masks.

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

    blood: Float[Tensor, "n pixels"]
    exudates: Float[Tensor, "n pixels"]
    cotton_wool: Float[Tensor, "n pixels"]
    tufts: Float[Tensor, "n pixels"]
    masks: Bool[Tensor, "5 n pixels"]


def draw_lesions(spots: Mapping[str, Spots], shape: Eye, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Marks:
    """Draw all lesions that are shown.

    A mask holds the pixels whose middle is inside an outline. For a lesion too small for that it holds the nearest
    pixel.
    """
    n = len(nuisance)
    blood, exudates, cotton_wool, haze = (grid.blank(n) for _ in range(4))
    masks = torch.zeros(len(KINDS), n, grid.size * grid.size, device=grid.device)
    canvases = dict(zip(KINDS, (blood, blood, exudates, cotton_wool, haze), strict=True))
    for mask, kind in zip(masks, KINDS, strict=True):
        _draw_spots(canvases[kind], mask, spots[kind], shape.blur + 1.1 * grid.pixel + _SOFT[kind], grid)
    blood = torch.maximum(blood, haze.mul_(0.22))
    tufts = grid.blank(n)
    draw_capsules(tufts, _tufts(spots["new_vessels"], nuisance), shape.blur + 1.1 * grid.pixel, grid)
    return Marks(blood, exudates, cotton_wool, tufts, masks > 0)


def _draw_spots(
    canvas: Float[Tensor, "n pixels"],
    mask: Float[Tensor, "n pixels"],
    spots: Spots,
    blur: Float[np.ndarray, "n"],
    grid: Grid,
) -> None:
    """Raise the canvas to the spots' opacity and the mask to 1 inside them."""
    reach = spots.radius * spots.stretch
    there = spots.shown & (spots.opacity > 0)
    for low, high in pairwise(_CLASSES):
        chosen = np.flatnonzero(there & (reach > low) & (reach <= high))
        if len(chosen) > 0:
            _draw_some(canvas, mask, spots, chosen, blur, grid)


def _draw_some(
    canvas: Float[Tensor, "n pixels"],
    mask: Float[Tensor, "n pixels"],
    spots: Spots,
    chosen: Int[np.ndarray, "m"],
    blur: Float[np.ndarray, "n"],
    grid: Grid,
) -> None:
    row = chosen // spots.x.shape[1]
    wide, own = blur[row], spots.radius.ravel()[chosen]
    # A spot smaller than the blur is seen as wide as the blur and as much fainter as it is smaller.
    seen = np.maximum(own, 0.5 * wide)
    fainter = own / seen
    shape = Blobs(
        spots.x.ravel()[chosen],
        spots.y.ravel()[chosen],
        seen,
        spots.cosine.ravel()[chosen],
        spots.sine.ravel()[chosen],
        spots.stretch.ravel()[chosen],
        spots.even.reshape(-1, 3)[chosen],
        spots.odd.reshape(-1, 3)[chosen],
    )
    radius = float((shape.reach() + 0.5 * wide).max()) + grid.pixel
    windows = Windows.around(row, shape.x, shape.y, radius, grid)
    share, depth, _, _ = within(shape, windows, grid)
    opaque = ramp(depth, column(wide, grid.device))
    windows.draw(canvas, opaque.mul_(column(spots.opacity.ravel()[chosen] * fainter * fainter, grid.device)))
    dx, dy = windows.x - column(shape.x, grid.device), windows.y - column(shape.y, grid.device)
    nearest = (dx * dx + dy * dy) <= (_PIXEL * grid.pixel) ** 2
    windows.draw(mask, ((share <= column(fainter, grid.device)) | nearest).to(mask.dtype))


def _tufts(spots: Spots, nuisance: Int[np.ndarray, "n"]) -> Capsules:
    """Fans of fine vessels that wind from the middle of each tuft to near its outline."""
    n, k = spots.x.shape
    shape = (n, k, _FAN, _LENGTH)
    turns = uniforms(nuisance, "tuft-heading", k * _FAN).reshape(n, k, _FAN, 1)
    turns = turns + np.cumsum(spread(nuisance, "tuft-turn", -0.16, 0.16, k * _FAN * _LENGTH).reshape(shape), axis=3)
    cosine, sine = direction(turns)
    step = (0.85 / _LENGTH) * spots.radius[:, :, None, None] * np.ones(shape)
    zero = np.zeros((n, k, _FAN, 1))
    x = spots.x[:, :, None, None] + np.concatenate([zero, np.cumsum(step * cosine, axis=3)], axis=3)
    y = spots.y[:, :, None, None] + np.concatenate([zero, np.cumsum(step * sine, axis=3)], axis=3)
    plain = (spots.opacity * spots.shown)[:, :, None, None] * np.ones(shape)
    thin = np.full(shape, 0.0021)
    ends = (x[..., :-1], y[..., :-1], x[..., 1:], y[..., 1:], thin, thin, plain, plain)
    return Capsules(*(value.reshape(n, -1) for value in ends))


def draw_scars(shape: Eye, nuisance: Int[np.ndarray, "n"], scarred: float, grid: Grid) -> tuple[Tensor, Tensor]:
    """Scars of laser away from macula and disc, in this share of the images: pale rings [n, pixels], dark middles."""
    n = len(nuisance)
    treated = uniforms(nuisance, "scars", 1) < scarred
    u = uniforms(nuisance, "scar-away", _SCARS)
    away = 0.29 + 0.19 * u
    cosine, sine = direction(uniforms(nuisance, "scar-around", _SCARS))
    x, y = away * cosine, away * sine
    dx, dy = x - shape.disc[:, :1], y - shape.disc[:, 1:]
    there = treated & (dx * dx + dy * dy > 0.15**2) & (uniforms(nuisance, "scar", _SCARS) < spread(
        nuisance, "scars-amount", 0.3, 1.0))  # fmt: skip
    radius = spread(nuisance, "scar-radius", 0.008, 0.015, _SCARS)
    level = np.where(there, spread(nuisance, "scar-level", 0.2, 0.6, _SCARS), 0.0)
    dark = np.where(uniforms(nuisance, "scar-dark", _SCARS) < 0.5, level, 0.0)
    soft = shape.blur + 1.1 * grid.pixel + 0.004
    pale, middle = grid.blank(n), grid.blank(n)
    draw_capsules(pale, Capsules(x, y, x, y, radius, radius, level, level), soft, grid)
    draw_capsules(middle, Capsules(x, y, x, y, 0.45 * radius, 0.45 * radius, dark, dark), soft, grid)
    return pale, middle
