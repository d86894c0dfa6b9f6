"""What pictures of a process show: its noise's spectrum, and an image that drowns in it."""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.grid import Grid
from sagd.noise.statistics import radial_profile
from sagd.process.base import Process
from sagd.random import generator_for

_MOST_EXACT, _BATCHES, _BATCH = 64 * 64, 16, 16
"""Values of a field up to which the Fourier spectrum of noise of another basis is exact; beyond, draws that show it."""


def forward_images(process: Process, image: Tensor, levels: Tensor, labels: Tensor | None, seed: int = 0) -> Tensor:
    """One field `(1, C, *spatial)` with one draw of noise at every level, `(L, C, *spatial)`.

    Divided by `sqrt(alpha^2 + sigma^2)`, which shows every schedule on one scale. `labels` begin with the field's.
    """
    noise = process.given(None if labels is None else labels[:1]).noise(image, generator_for(seed, "noise"))
    times, x = process.time_at(levels), image.expand(len(levels), *image.shape[1:])
    return process.perturb(x, times, noise.expand_as(x)) / process.rms(times, x)


def power_curve(noise: Covariance, rings: Grid | None) -> Tensor:
    """Its power over frequency: `(2, K)`, radii as fractions of the corner, and power.

    Of records every frequency, so that narrow lines stay; else the mean of each ring, as many as the shortest axis can
    tell apart.

    Args:
        noise: The noise.
        rings: Grid whose radii are meant; None: those of the samples.
    """
    basis, power = FourierBasis(noise.shape[1:]), shown_power(noise)
    if basis.rank == 1:
        return torch.stack([basis.relative_radius().flatten(), power.flatten()])
    profile = radial_profile(power, basis, max(2, min(side for side in basis.spatial if side > 1) // 2), rings)
    held = profile.degrees_of_freedom > 0
    return torch.stack([profile.centres[held], profile.values[held]])


def shown_power(noise: Covariance) -> Tensor:
    """Power spectrum in the Fourier basis, channels (and classes) averaged, `(*coefficients)`, float64.

    From 256 draws where the exact one would take long: noise of another basis on large fields.
    """
    if noise.depends_on_class:
        return torch.stack([shown_power(member) for member in noise.members]).mean(0)
    basis = FourierBasis(noise.shape[1:])
    if isinstance(noise, SpectralCovariance) and noise.basis.channels is None and noise.weights.ndim == basis.rank:
        noise = SpectralCovariance(noise.spectrum, (1, *basis.spatial), noise.basis, noise.calibration)
    if noise.size <= _MOST_EXACT or noise.has_closed_power(basis):
        return noise.mean_power(basis).mean(0)
    draws = (noise.sample(_BATCH, generator_for(0, "pictures", i)) for i in range(_BATCHES))
    return torch.stack([basis.forward(x).abs().square().double().mean((0, 1)) for x in draws]).mean(0)
