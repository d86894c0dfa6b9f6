"""Flicker noise: correlations that fall as a power of the distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import in_range, require_finite

_STEP = 0.1
"""Step of the trapezoidal rule in `log(rate)`: the integrand is analytic and falls at both ends, so that it is exact to
1e-8."""
_BELOW, _ABOVE = 16.0, 4.0
"""How far the integral goes below the lowest frequency, and above rates of one sample, in `log(rate)`."""


@dataclass(frozen=True)
class Flicker(Spectrum, kind="flicker"):
    """Noise of covariance `(d + 1)^-eta` between places `d` samples apart: `1/f^(n - eta)` at low frequencies.

    `w(f)^2` is the Fourier transform of that, up to a factor: since `(d + 1)^-eta` is a mixture of exponentials
    `exp(-rate d)` over rates of density `rate^(eta - 1) exp(-rate)`, it is

        w(f)^2 = integral of rate^eta exp(-rate) / (rate^2 + (2 pi |f|)^2)^((n + 1) / 2) d rate

    in `n` dimensions: positive everywhere, a power law with the exponent `eta - n` of frequencies well below one cycle
    in `2 pi` samples, and steeper above. `eta = 1` on images is pink noise, `1/f`. The radius of DC is floored at the
    lowest non-zero frequency of the grid, as by `power_law`.

    The published text calls the kernel one of "spatial correlation"; here it is the covariance. If white noise is to be
    filtered by it instead, the spectrum is `w^2`: `flicker(eta=1) * flicker(eta=1)`, which is `1/f^2` on images.

    Args:
        eta: How fast correlations fall: small is smooth, large is white.

    Source: "Flicker-DDPM: Accelerating Denoising Diffusion via 1/f Colored Noise Injection" (arXiv:2606.03393).
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        require_finite("flicker eta", self.eta)
        if not 0 < self.eta <= 20:
            raise InputError(f"flicker eta must lie in (0, 20], got {self.eta}; 1 is pink noise on images")

    def weights(self, frequencies: Tensor) -> Tensor:
        """The root of the transform of `(d + 1)^-eta`."""
        r = torch.linalg.vector_norm(frequencies.double(), dim=0)
        positive = r[r > 0]
        least = float(positive.min()) if len(positive) else 1.0
        square = (2 * math.pi * r.clamp(min=least)) ** 2
        power = torch.zeros_like(square)
        for u in torch.arange(math.log(least) - _BELOW, _ABOVE, _STEP, dtype=torch.float64).tolist():
            rate = math.exp(u)
            share = math.exp(u * (self.eta + 1) - rate)
            power += share / (rate**2 + square) ** ((len(frequencies) + 1) / 2)
        return in_range((_STEP * power).sqrt().to(frequencies), f"flicker eta={self.eta}")
