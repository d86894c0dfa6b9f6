"""Rings of radii, and frequencies on the torus: along an axis they repeat after one period, 1 cycle per sample.

Band edges `low`, `high` are fractions `rho = r / r_max` of the corner radius `r_max = sqrt(n)/2`, so [0, 1] covers
every frequency. Bands are closed below and open above, except that a band ending at 1 includes the corner; bands that
share an edge therefore share no frequency.
"""

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


def distance_on_torus(difference: Tensor, period: Tensor | float = 1.0) -> Tensor:
    """Length of the least of equal frequency differences, `(n, *coefficients)` to `(*coefficients)`."""
    # Faster than `vector_norm` over the first axis.
    return (difference - period * (difference / period).round()).square().sum(0).sqrt()


def other_sign(frequencies: Tensor, period: Tensor | float = 1.0) -> Tensor:
    """What frequencies stand for as well: those at Nyquist, half a period, for their negatives."""
    return torch.where(frequencies.abs() == 0.5 * period, -frequencies, frequencies)
