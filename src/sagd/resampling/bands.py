"""Resampling chosen bands of images: what lies in a band is drawn anew given all else, which stays as it is.

Let `P` project on the frequencies of a band. A resampling model knows `p(P x | (1 - P) x)`: its network is shown the
noisy band `P x_t` and, as its condition `image`, the clean rest `(1 - P) x_0` and how much of each radius the band
takes; it is trained in the band alone. With the high band this is super-resolution, with the low band layout from
detail, with all frequencies an ordinary model.

Since the coefficients of a process commute with `P`, the band of `x_t` moves by itself under every sampler: the plain
process serves, and what it does outside the band is never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.model.wrappers import GivenBand, Wrapper, in_band
from sagd.noise.bands import mask
from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Wedge
from sagd.process.base import Process, Time
from sagd.random import Generator, rand

PROFILE = 8
"""Radial bands in which a network is told what share of the frequencies is to change."""
_ALL, _HIGH_PASS, _LOW_PASS, _WEDGE = 0.1, 0.2, 0.15, 0.1
"""Shares of random bands; the rest are rings."""
_WIDTHS = (0.05, 0.5)
"""Widths of random rings, in fractions of the corner radius."""


def image_channels(channels: int) -> int:
    """Channels of the `image` that the network of a resampling model is shown, of images of `channels`."""
    return channels + PROFILE


def shown_channels(bands: object | None, channels: int) -> int:
    """Channels that the network of a model of images of `channels` is shown beside its input; `bands` is its law."""
    return 0 if bands is None else image_channels(channels)


def random_bands(count: int, basis: Basis, generator: Generator | None = None) -> Tensor:
    """Random bands, 0 or 1 and never empty, `(count, *coefficients)`, float32 on the generator's device.

    Rings, high-pass and low-pass bands, all frequencies, and of images also wedges, each bounded by a radius that the
    grid has.
    """
    u, low, width, angle, opening = rand((5, count, 1), generator, torch.float32)
    rho = basis.relative_radius().to(u.device, torch.float32)
    radii = rho.unique()
    low = radii[torch.searchsorted(radii, low).clamp(max=len(radii) - 1)]
    high = low + _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * width
    whole, high_pass = u < _ALL, (u >= _ALL) & (u < _ALL + _HIGH_PASS)
    low_pass = (u >= _ALL + _HIGH_PASS) & (u < _ALL + _HIGH_PASS + _LOW_PASS)
    high = torch.where(whole | high_pass, 2.0, torch.where(low_pass, low + EDGE, high))
    low = torch.where(whole | low_pass, 0.0, low)
    flat = rho.flatten()
    b = ((flat >= low - EDGE) & (flat <= high)).float().reshape(count, *basis.coefficients)
    if basis.is_fourier and basis.rank == 2:
        frequencies = basis.frequencies()
        for i in (u > 1 - _WEDGE).flatten().nonzero().flatten().tolist():
            wedge = Wedge(180 * float(angle[i]), 20 + 70 * float(opening[i]), 0.9 * float(low[i]))
            w = wedge.weights(frequencies).to(b)
            b[i] = w if w.any() else b[i]
    return b


@dataclass(frozen=True)
class BandLaw:
    """The law of the bands that a model is trained to change.

    Args:
        bands: "random", or the one band, hard or soft.
        basis: Basis of the bands.

    Raises:
        InputError: If the band is no band.
    """

    bands: str
    basis: Basis

    def __post_init__(self) -> None:
        _ = self.only

    @cached_property
    def only(self) -> Tensor | None:
        """The one band, `(*coefficients)`, 0 or 1, if there is but one."""
        return None if self.bands == "random" else hard_mask(self.bands, self.basis)

    def sample(self, count: int, generator: Generator | None = None) -> Tensor:
        """A band per image, `(count, *coefficients)`, float32, 0 or 1."""
        if self.only is None:
            return random_bands(count, self.basis, generator)
        return self.only.expand(count, *self.only.shape)

    def split(self, x: Tensor, b: Tensor) -> tuple[Diagonal, Tensor, Tensor]:
        """What a model is given of images whose bands are unknown.

        Args:
            x: `(B, C, *spatial)`.
            b: A band per image, 0 or 1, `(B, *coefficients)`.

        Returns:
            The projectors `P` on the bands, the rest `(1 - P) x`, and the `image` that shows the rest and, by channels
            that are alike everywhere, what share of each radius is to change.
        """
        b = b.to(x.device, torch.float32)
        p = Diagonal(b[:, None], self.basis)
        rest = x - in_band(p, x)
        shares = b.flatten(1) @ self._averages.to(b.device).T
        told = shares.reshape(*shares.shape, *(1,) * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
        return p, rest, torch.cat([rest, told.to(x.dtype)], dim=1)

    def check(self, process: Process) -> None:
        """Refuse a process that leaves frequencies out.

        Raises:
            InputError: If it does.
        """
        if process.covariance.is_singular or process.unseen:
            raise InputError(
                f"denoiser.bands {self.bands!r} needs noise at every frequency, got {process.label}; the band is chosen"
                " by denoiser.bands: leave it out of process.spectrum and process.omission"
            )

    @cached_property
    def _averages(self) -> Tensor:
        """Means over the frequencies of each radial band, `(PROFILE, coefficients)`."""
        rho = torch.clamp((self.basis.relative_radius() + EDGE) * PROFILE, max=PROFILE - 1).long().flatten()
        weight = torch.zeros(PROFILE, rho.numel(), dtype=torch.float64)
        weight[rho, torch.arange(len(rho))] = self.basis.multiplicity().flatten()
        return (weight / weight.sum(1, keepdim=True).clamp(min=1)).float()


class BandModel(Wrapper):
    """A model that changes a band of given images; one of `random` bands draws whole images as well.

    Args:
        denoiser: Denoiser that was trained by `BandLoss`, guided or not; its condition `image` has `image_channels`.
        law: The bands that it was trained with.

    Raises:
        InputError: If the noise leaves frequencies out.
    """

    def __init__(self, denoiser: Denoiser, law: BandLaw) -> None:
        super().__init__(denoiser)
        law.check(self.process)
        self.names = None if self.names is None else tuple(name for name in self.names if name != "image")
        self.law = law

    def given_images(self, x: Tensor, b: Tensor) -> GivenBand:
        """The denoiser that changes bands `b` of images `x`, see `BandLaw.split`."""
        return GivenBand(self.denoiser, *self.law.split(x, b))

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The estimate of whole images.

        Raises:
            InputError: If the model knows one band only.
        """
        if self.law.only is not None:
            raise InputError(
                f"the model changes the band {self.law.bands!r} of given images and draws none of its own; use"
                f" {argument('Model.resample')}, or train with {argument('denoiser.bands')} random"
            )
        everything = torch.ones(len(x_t), *self.law.basis.coefficients)
        return self.given_images(torch.zeros_like(x_t), everything).estimate(x_t, t, condition)


def hard_mask(band: Spectrum | str, basis: Basis) -> Tensor:
    """Where a band is above 0, `(*coefficients)`, float32.

    Raises:
        InputError: If it holds no frequency or all, or differs between channels.
    """
    b = mask(band, basis)
    if b.ndim > basis.rank:
        raise InputError(f"a band to change must be alike in all channels, got {Spectrum.parse(band).label}")
    return (b > 0).float()
