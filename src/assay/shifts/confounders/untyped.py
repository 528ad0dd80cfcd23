"""The Fourier transforms of torch, which come without types."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

_fft: Any = torch.fft


def squared_frequency(height: int, width: int, device: torch.device) -> Float64[Tensor, "h k"]:
    """How far each coefficient of a real image's spectrum lies from its centre, squared; 1 is the Nyquist frequency."""
    down: Tensor = _fft.fftfreq(height, 0.5, dtype=torch.float64, device=device)
    along: Tensor = _fft.rfftfreq(width, 0.5, dtype=torch.float64, device=device)
    return (down * down)[:, None] + (along * along)[None, :]


def filtered(images: Float64[Tensor, "b c h w"], kept: Float64[Tensor, "h k"]) -> Float64[Tensor, "b c h w"]:
    """The images with each coefficient of their spectra multiplied. kept: not zero throughout."""
    columns = int(kept.any(dim=0).nonzero().max()) + 1  # those beyond are all zero: neither made nor read
    spectrum: Tensor = _fft.fft(_fft.rfft(images)[..., :columns], dim=2)
    made: Tensor = _fft.irfft(_fft.ifft(spectrum * kept[:, :columns], dim=2), n=images.shape[3])
    return made


def spectrum_of(kernel: Float64[Tensor, "h w"]) -> Float64[Tensor, "h k"]:
    """The half spectrum of a kernel around the first pixel that is the same turned by half a turn: it is real."""
    made: Tensor = _fft.rfft2(kernel)
    return made.real.contiguous()
