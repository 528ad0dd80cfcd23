"""Shapes that several phantoms draw."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Number = TypeVar("Number", np.ndarray, Tensor)


def uneven_outline(
    cosine: Number, sine: Number, cosine3: Number, sine3: Number, cosine5: Number, sine5: Number
) -> Number:
    """1 + the third and fifth harmonic of the polar angle whose cosine and sine are given, without its arc tangent."""
    double_c, double_s = cosine * cosine - sine * sine, 2 * (cosine * sine)
    triple_c, triple_s = double_c * cosine - double_s * sine, double_s * cosine + double_c * sine
    fifth_c, fifth_s = triple_c * double_c - triple_s * double_s, triple_s * double_c + triple_c * double_s
    return 1 + (triple_c * cosine3 + triple_s * sine3) + 0.6 * (fifth_c * cosine5 + fifth_s * sine5)
