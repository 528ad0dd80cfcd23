"""Letters and digits as straight strokes, so that they can be drawn at any size, turned, and chosen per row."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.shifts.confounders.strokes import NOWHERE

WIDTH, HEIGHT = 5.0, 7.0
"""Of a letter with its strokes, in units of the grid on which it is written (strokes are one unit wide)."""

ADVANCE = 6.0
"""From one letter to the next, in the same units."""

LEGIBLE = HEIGHT
"""px: the height from which a letter has a row of pixels for each of its grid; of a lower one only a spot is left."""


# Polylines through points "xy" of a grid, x 0..4 to the right, y 0..6 downward.
_GLYPHS = {
    " ": "",
    "A": "06 20 46,14 34",
    "B": "00 06 36 45 44 33 03,00 30 41 42 33",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00",
    "E": "40 00 06 46,03 33",
    "F": "40 00 06,03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06,40 46,03 43",
    "I": "10 30,20 26,16 36",
    "J": "40 45 36 16 05",
    "K": "00 06,40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10,24 46",
    "R": "06 00 30 41 42 33 03,23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40,20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46,40 06",
    "Y": "00 23 40,23 26",
    "Z": "00 40 06 46",
    "0": "10 30 41 45 36 16 05 01 10",
    "1": "11 20 26,16 36",
    "2": "01 10 30 41 42 06 46",
    "3": "01 10 30 41 42 33 44 45 36 16 05,13 33",
    "4": "36 30 04 44",
    "5": "40 00 03 33 44 45 36 16 05",
    "6": "41 30 10 01 05 16 36 45 44 33 03",
    "7": "00 40 16",
    "8": "13 02 01 10 30 41 42 33 44 45 36 16 05 04 13 33",
    "9": "43 13 02 01 10 30 41 45 36 16 05",
    ":": "22 22,25 25",
    ".": "26 26",
    "-": "13 33",
    "/": "06 40",
    "+": "13 33,22 24",
}
CHARACTERS = "".join(_GLYPHS)


@runtime_checkable
class Lettered(Protocol):
    """An intervention that writes."""

    def letters(self, shape: tuple[int, int, int]) -> float:
        """How many px high its letters are; 0 where it has none. shape: (channels, height, width) of the images."""
        ...


def code(character: str) -> int:
    """The place of a character in `CHARACTERS`."""
    return CHARACTERS.index(character)


def strokes(codes: Int[Tensor, "b n"]) -> tuple[Float[Tensor, "b n s"], ...]:
    """x0, y0, x1, y1 of every stroke of these characters, from their middle, in units of the grid.

    Characters with fewer strokes than others have strokes far outside any image instead.
    """
    table = _table(str(codes.device))[codes]
    return tuple(table[..., i] for i in range(4))


@lru_cache(maxsize=8)
def _table(device: str) -> Float[Tensor, "characters strokes 4"]:
    written = [_segments(text) for text in _GLYPHS.values()]
    most = max(map(len, written))
    padded = [segments + [(NOWHERE,) * 4] * (most - len(segments)) for segments in written]
    return torch.tensor(padded, device=device)


def _segments(text: str) -> list[tuple[float, float, float, float]]:
    """Straight pieces of polylines, moved so that (0, 0) is the middle of the letter."""
    found: list[tuple[float, float, float, float]] = []
    for polyline in filter(None, text.split(",")):
        points = [(float(point[0]) - 2, float(point[1]) - 3) for point in polyline.split()]
        found += [(*first, *second) for first, second in pairwise(points)]
    return found
