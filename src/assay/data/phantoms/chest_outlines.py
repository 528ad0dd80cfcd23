"""The outlines of a chest, line by line of the image: half widths of body and lungs, borders of the mediastinum.

One number per row and line, in exactly defined float64 arithmetic, so that drawing an outline costs its pixels one
comparison with a border.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.data.phantoms.chest_anatomy import Anatomy

Lines = Float[np.ndarray, "n lines"]


@dataclass(frozen=True, slots=True)
class Outlines:
    """Distances from the midline in mm at each line, [n, lines].

    body: the skin. thickness: of the trunk in the middle, as a share of the chest's. lung_right, lung_left: the rib
    cage's inner border. lung_cosine: of the border's slope, so that a distance along the line becomes one across the
    border. apical: how deep the lung is at this height, 0 at the apex to 1. right, left: borders of heart and vessels.
    """

    body: Lines
    thickness: Lines
    lung_right: Lines
    lung_left: Lines
    lung_cosine: Lines
    apical: Lines
    right: Lines
    left: Lines


def outlines(build: Anatomy, y: Lines) -> Outlines:
    """The outlines at these heights (mm from the middle of the chest, down)."""
    lung = _lung(build, y)
    right, left = lung * build.asymmetry[:, None], lung * (2 - build.asymmetry)[:, None]
    return Outlines(
        body=_body(build, y),
        thickness=_thickness(y),
        lung_right=right,
        lung_left=left,
        lung_cosine=_cosine(lung, y),
        apical=_arc(((y - build.apex[:, None]) / 95).clip(0, 1)),
        right=_right(build, y) - build.turned[:, None],
        left=_left(build, y) + build.turned[:, None],
    )


def smooth(t: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth step between."""
    t = t.clip(0, 1)
    return t * t * (3 - 2 * t)


def _arc(t: np.ndarray) -> np.ndarray:
    """A quarter of a circle that rises from 0 at t = 0 to 1 at t = 1."""
    return np.sqrt((t * (2 - t)).clip(0))


def _cosine(border: Lines, y: Lines) -> Lines:
    """Of the angle between a border and the vertical, from the difference between lines."""
    slope = np.zeros_like(border)
    slope[:, 1:-1] = (border[:, 2:] - border[:, :-2]) / (y[:, 2:] - y[:, :-2])
    return 1 / np.sqrt(1 + slope * slope)


def _lung(build: Anatomy, y: Lines) -> Lines:
    """Narrow at the apex, widest near the diaphragm, then slightly narrower."""
    t = ((y - build.apex[:, None]) / 190).clip(0, 1)
    below = ((y - build.apex[:, None] - 190) / 130).clip(0, 1)
    wide = build.width[:, None] * (1 - 0.05 * below * below)
    return np.where(t > 0, 20 + (wide - 20) * (0.84 * _arc(t) + 0.16 * t), 0.0)


def _body(build: Anatomy, y: Lines) -> Lines:
    """Neck, slope of the shoulders, then the trunk below the armpits."""
    t = ((y + 216) / 96).clip(0, 1)
    shoulders = build.neck[:, None] + 200 * t * (0.35 + 0.65 * t)
    trunk = (build.width + build.wall)[:, None] * (1 + 0.03 * smooth((y - 40) / 120))
    return np.minimum(shoulders, trunk + 130 * (1 - smooth((y + 85) / 90)))


def _thickness(y: Lines) -> Lines:
    """Neck and shoulders are thinner than the chest, the belly thicker."""
    return 0.62 + 0.38 * smooth((y + 190) / 110) + 0.25 * smooth((y - 30) / 110)


def _right(build: Anatomy, y: Lines) -> Lines:
    """Vena cava, then the right atrium, then its angle with the diaphragm."""
    vessels = build.mediastinum[:, None] * (1 + 0.08 * smooth((y + 100) / 60)) + 12 * (1 - smooth((y + 170) / 60))
    atrium = 43 * build.heart[:, None] * _bulge(y - build.heart_y[:, None] + 10, 62 * build.tall[:, None], 58)
    return np.maximum(vessels, atrium)


def _left(build: Anatomy, y: Lines) -> Lines:
    """Subclavian vessels, aortic knob, then the heart."""
    vessels = build.mediastinum[:, None] * 0.92 + 14 * (1 - smooth((y + 170) / 70))
    below_knob = smooth((y + 78) / 25)
    vessels = vessels + build.unfolding[:, None].clip(0) * below_knob
    knob = 14 + build.knob[:, None] * _bulge(y + 76, build.knob[:, None], build.knob[:, None])
    knob = np.where(_bulge(y + 76, build.knob[:, None], build.knob[:, None]) > 0, knob, 0)
    return np.maximum(np.maximum(vessels, knob), left_heart(build, y))


def left_heart(build: Anatomy, y: Lines) -> Lines:
    """Pulmonary trunk and left ventricle: what of the left border does not change with age."""
    trunk = 21 + 12 * _bulge(y + 32, 34, 40)
    t = ((y - build.heart_y[:, None] - 8) / (92 * build.tall[:, None])).clip(-1, 0)
    upper = 0.75 * (1 - t * t) + 0.25 * np.sqrt((1 - t * t).clip(0))
    lower = _bulge(y - build.heart_y[:, None] - 8, 1e6, 62)
    ventricle = (18 + 66 * build.heart[:, None]) * np.where(t < 0, upper, lower)
    return np.maximum(trunk, ventricle)


def _bulge(y: Lines, above: np.ndarray | float, below: np.ndarray | float) -> Lines:
    """Half an ellipse of height 1 about y = 0 that reaches so far up and so far down."""
    t = y / np.where(y < 0, above, below)
    return np.sqrt((1 - t * t).clip(0))
