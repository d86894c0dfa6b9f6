"""Resampling chosen bands of images: what lies in a band is drawn anew given all else, which stays as it is.

Let `P` project on the frequencies of a band. A resampling model knows `p(P x | (1 - P) x)`: its network is shown the
noisy band `P x_t`, the clean rest `(1 - P) x_0` and how much of each radius the band takes, and is trained in the band
alone. With the high band this is super-resolution, with the low band layout from detail, with all frequencies an
ordinary model.

Since the coefficients of a process commute with `P`, the band of `x_t` moves by itself under every sampler: the plain
process serves, and what it does outside the band is never looked at.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.denoiser import NetworkDenoiser
from sagd.noise.bands import mask
from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Wedge
from sagd.process.base import Time

PROFILE = 8
"""Radial bands in which a network is told what share of the frequencies is to change."""
_ALL, _HIGH_PASS, _LOW_PASS, _WEDGE = 0.1, 0.2, 0.15, 0.1
"""Shares of random bands; the rest are rings."""
_WIDTHS = (0.05, 0.5)
"""Widths of random rings, in fractions of the corner radius."""


def input_channels(bands: str, channels: int) -> int:
    """Channels that a network is shown, of images of `channels`."""
    return channels if bands == "none" else 2 * channels + PROFILE


def random_bands(count: int, basis: Basis, generator: torch.Generator | None = None) -> Tensor:
    """Random bands, 0 or 1 and never empty, `(count, *coefficients)`, float32 on the generator's device.

    Rings, high-pass and low-pass bands, all frequencies, and of images also wedges, each bounded by a radius that the
    grid has.
    """
    device = generator.device if generator is not None else torch.device("cpu")
    u, low, width, angle, opening = torch.rand(5, count, 1, generator=generator, device=device)
    rho = basis.relative_radius().to(device, torch.float32)
    radii = rho.unique()
    low = radii[torch.searchsorted(radii, low).clamp(max=len(radii) - 1)]
    high = low + _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * width
    whole, high_pass = u < _ALL, (u >= _ALL) & (u < _ALL + _HIGH_PASS)
    low_pass = (u >= _ALL + _HIGH_PASS) & (u < _ALL + _HIGH_PASS + _LOW_PASS)
    high = torch.where(whole | high_pass, 2.0, torch.where(low_pass, low + EDGE, high))
    low = torch.where(whole | low_pass, 0.0, low)
    flat = rho.flatten()
    b = ((flat >= low - EDGE) & (flat <= high)).float().reshape(count, *basis.coefficients)
    inner = basis.inner if isinstance(basis, ChannelBasis) else basis
    if isinstance(inner, FourierBasis) and basis.rank == 2:
        frequencies = basis.frequencies()
        for i in (u > 1 - _WEDGE).flatten().nonzero().flatten().tolist():
            wedge = Wedge(180 * float(angle[i]), 20 + 70 * float(opening[i]), 0.9 * float(low[i]))
            w = wedge.weights(frequencies).to(b)
            b[i] = w if w.any() else b[i]
    return b


class BandDenoiser(NetworkDenoiser):
    """A denoiser that changes a band of given images. Unbound, one of `random` bands draws whole images.

    Args:
        network: Called as `network(x, timestep)` with `x` of `input_channels`, see `NetworkDenoiser`.
        process: Forward process, with noise at every frequency.
        bands: "random", or the one band, hard or soft, that the model changes.
        basis: Basis of the bands.
        arguments: Others of `NetworkDenoiser`.

    Raises:
        InputError: If the band is no band, or the noise leaves frequencies out.
    """

    def __init__(self, network: Any, process: Any, *arguments: Any, bands: str, basis: Basis, **named: Any) -> None:
        super().__init__(network, process, *arguments, **named)
        self.bands, self.basis = bands, basis
        if process.covariance.is_singular or process.hidden is not None:
            raise InputError(
                f"denoiser.bands {bands!r} needs noise at every frequency, got {process.label}; the band is chosen by"
                " denoiser.bands: leave it out of process.spectrum and process.omission"
            )
        self._band = None if bands == "random" else hard_mask(bands, basis)
        rho = torch.clamp((basis.relative_radius() + EDGE) * PROFILE, max=PROFILE - 1).long().flatten()
        weight = torch.zeros(PROFILE, rho.numel(), dtype=torch.float64)
        weight[rho, torch.arange(len(rho))] = basis.multiplicity().flatten()
        self._averages = (weight / weight.sum(1, keepdim=True).clamp(min=1)).float()
        self._bound: tuple[Diagonal, Tensor, Tensor] | None = None

    def given_images(self, x: Tensor, b: Tensor) -> BandDenoiser:
        """This denoiser, to change bands of these images.

        Args:
            x: `(B, C, *spatial)`.
            b: A band per image, 0 or 1, `(B, *coefficients)`.
        """
        bound = copy.copy(self)
        b = b.to(x.device, torch.float32)
        p = Diagonal(b[:, None], self.basis)
        shares = b.flatten(1) @ self._averages.to(b.device).T
        told = shares.reshape(*shares.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        bound._bound = (p, x - (p.on(x) * x).to(x.dtype), told.to(x.dtype))
        return bound

    def for_training(self, x_0: Tensor, generator: torch.Generator | None = None) -> BandDenoiser:
        """Bound to images, each with a band of the law."""
        if self._band is None:
            return self.given_images(x_0, random_bands(len(x_0), self.basis, generator))
        return self.given_images(x_0, self._band.expand(len(x_0), *self._band.shape))

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """`output - target` in the band, scaled so that its mean square is that per degree of freedom of the band."""
        p, _, _ = self._context(output)
        m = self.basis.multiplicity().to(p.values)
        share = (p.values * m).flatten(1).sum(1) / m.sum()
        scale = share.rsqrt().reshape(-1, *(1,) * (output.ndim - 1))
        return scale * (p.on(output) * (output - target)).to(output.dtype)

    def estimate(self, x_t: Tensor, t: Time, labels: Tensor | None = None) -> Tensor:
        """The clean rest, and the network's estimate of the band."""
        p, rest, _ = self._context(x_t)
        return rest + (p.on(x_t) * super().estimate(x_t, t, labels)).to(x_t.dtype)

    def _input(self, x_t: Tensor, t: Time) -> Tensor:
        p, rest, told = self._context(x_t)
        noisy = p.on(x_t) * super()._input(x_t, t)
        return torch.cat([noisy.to(x_t.dtype), rest.to(x_t.dtype), told.to(x_t.dtype)], dim=1)

    def _context(self, x: Tensor) -> tuple[Diagonal, Tensor, Tensor]:
        """Band, rest and what the network is told."""
        if self._bound is not None:
            return self._bound
        if self._band is not None:
            raise InputError(
                f"the model changes the band {self.bands!r} of given images and draws none of its own; use"
                " sagd resample, or train with --denoiser.bands random"
            )
        whole = self.given_images(torch.zeros_like(x), torch.ones(len(x), *self.basis.coefficients))._bound
        assert whole is not None
        return whole


def hard_mask(band: Spectrum | str, basis: Basis) -> Tensor:
    """Where a band is above 0, `(*coefficients)`, float32.

    Raises:
        InputError: If it holds no frequency or all, or differs between channels.
    """
    b = mask(band, basis)
    if b.ndim > basis.rank:
        raise InputError(f"a band to change must be alike in all channels, got {Spectrum.parse(band).label}")
    return (b > 0).float()
