"""Where a frequency lies: rings of radii, directions, distances on the frequency torus."""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.noise.basis.base import EDGE, corner_radius


def band_mask(frequencies: Tensor, low: float, high: float) -> Tensor:
    """1 where `low <= rho < high` (`<= 1` when `high = 1`), else 0; `(*coefficients)`."""
    rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
    inside = rho >= low - EDGE
    if high < 1:
        inside &= rho < high - EDGE
    return inside.to(frequencies.dtype)


def torus_distance(difference: Tensor) -> Tensor:
    """Length of frequency differences `(n, *coefficients)`, frequencies being periodic with period 1."""
    return torch.linalg.vector_norm(difference - difference.round(), dim=0)


def signs(frequency: Tensor) -> tuple[Tensor, Tensor]:
    """A frequency, and what it stands for as well: at Nyquist, its negative."""
    return frequency, torch.where(frequency.abs() == 0.5, -frequency, frequency)
