"""Many random numbers from one drawn seed per row, by the counter-based generator of the phantoms."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.counter import lattice_bits
from assay.shifts.confounders.noise_kernels import centre
from assay.shifts.confounders.processor import at_hand

_SQRT2 = 2.0**0.5


def uniforms(seed: Int[Tensor, "b"], count: int) -> Float[Tensor, "b count"]:
    """`count` float64 numbers in (0, 1) per row that depend on (the row's seed, position) alone; 32 bits each."""
    bits = lattice_bits(seed.to(torch.int32), count)
    return (bits ^ -(2**31)).double().add_(2.0**31 + 0.5).mul_(2.0**-32)  # the flipped sign makes them unsigned


def singles(seed: Int[Tensor, "b"], count: int) -> Float[Tensor, "b count"]:
    """`count` float32 numbers in [0, 1) per row that depend on (the row's seed, position) alone; 24 bits each."""
    bits = lattice_bits(seed.to(torch.int32), count)
    return (bits >> 8).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)


def normals(seed: Int[Tensor, "b"], count: int) -> Float[Tensor, "b count"]:
    """`count` float32 standard normal numbers per row, by the inverse of the normal distribution; none beyond 5.2."""
    bits = lattice_bits(seed.to(torch.int32), count)
    # 23 bits and a half: 2 u - 1 is then a float32 without rounding, and never 1
    if at_hand(bits):
        centred = torch.empty(bits.shape)
        centre(bits.flatten().numpy(), centred.flatten().numpy())
        return centred.erfinv_().mul_(_SQRT2)
    u = (bits >> 9).bitwise_and_(0x7FFFFF).float().add_(0.5)
    return u.mul_(2.0**-22).sub_(1).erfinv_().mul_(_SQRT2)
