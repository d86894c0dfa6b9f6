"""The guard around a damaged band: how far its damage leaks beside it, and how much of it stays outside.

A wave whose frequency lies `d` bins beside that of a window of `N` samples has the power of the Dirichlet kernel there,

    |sin(pi d) / (N sin(pi d / N))|^2,    at most 1 / (pi d)^2 far away,

so that damage between two bins, which is all real damage, is seen in bins far from its band. Of a field of spectrum
`P` windows have, on average, that spectrum smeared by this kernel along each axis (`through_window`). The guard reaches
as far as the excess over the clean spectrum does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError, argument
from sagd.noise.bands import mask
from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Guarded
from sagd.omission.detection.smooth import smooth_fit

UNDER = 0.5
"""Power over that of the clean spectrum, beside the band, at which a guard ends."""
_FAINT = 1.0
"""The same in the band, from which on there is damage that could leak."""
_LEAST = 4
"""Frequencies beside a band, at least, that say what its surroundings are."""
NEXT = 0.75
"""Bins of a window around a band that hold the nearest ones of any frequency in it, of two axes at least one."""


@dataclass(frozen=True)
class Guard:
    """A band with its guard.

    Attributes:
        band: Both, the band itself if no guard is needed.
        by: Width of the guard in cycles per sample.
        bins: The same in bins of the window.
        outside: Share of the damage's power that stays outside of both.
    """

    band: Spectrum
    by: float
    bins: float
    outside: float

    def line(self) -> str:
        """For people."""
        kept = f"the damage keeps {100 * self.outside:.2g} % of its power outside"
        if not self.by:
            return f"guard: none, {kept} of its band"
        return f"guard: {self.by:.4g} cycles per sample ({self.bins:.2g} bins) around the band, {kept} of both"


def through_window(power: Tensor, basis: FourierBasis, window: Sequence[int]) -> Tensor:
    """The mean power spectrum of windows of a stationary field.

    Args:
        power: That of the field, of one that is periodic: `(*, *coefficients)`.
        basis: Its basis.
        window: Sides of the windows, at most those of the basis.

    Returns:
        In the Fourier basis of the windows, `(*, *coefficients)`.

    Raises:
        InputError: If windows are larger than the field.
    """
    if any(n > side for n, side in zip(window, basis.spatial, strict=True)):
        raise InputError(f"windows of {tuple(window)} do not fit a field of {basis.spatial}")
    # Covariances of the field, counted as often as a window holds their lag.
    r = basis.inverse(power.double().to(torch.complex128))
    for axis, n in enumerate(window, start=r.ndim - len(window)):
        shape = (-1, *(1,) * (r.ndim - axis - 1))
        share = (torch.arange(n, dtype=r.dtype) / n).reshape(shape)
        later = r.narrow(axis, 0, n)
        earlier = r.narrow(axis, r.shape[axis] - n, n)
        r = (1 - share) * later + share * earlier
    own = FourierBasis(tuple(window))
    return own.forward(r).real * math.sqrt(own.size / basis.size)


def guard_of(band: Spectrum, damage: Tensor, smooth: Tensor, basis: FourierBasis) -> Guard:
    """The least guard beyond which the damage is under the clean spectrum, on the grid of a window.

    Args:
        band: The band as it is named, of any width, between bins too.
        damage: Power of the damage as the window shows it, `(*coefficients)`, not negative.
        smooth: That of clean data, likewise, positive.
        basis: Of the window.

    Raises:
        InputError: If the damage is over the clean spectrum at every frequency.
    """
    frequencies, weight = basis.frequencies(), _weight(basis)
    away = _rings(band, basis)
    noise, clean = (_sums(v.double() * weight, away) for v in (damage, smooth))
    loud = noise > UNDER * clean
    damaged = bool(noise[0] > _FAINT * clean[0])
    if damaged and loud.all():
        raise InputError(
            f"damage of {band.label} leaks over all frequencies of {' x '.join(map(str, basis.spatial))} samples; cut"
            f" windows of larger files ({argument('data.fit=crop')}), of which the band is split off whole"
        )
    bins = int((~loud).nonzero()[0]) - 1 if damaged else 0
    # The nearest bins are next to what lies between them, and may be beside the band.
    next_to = (away == 0) & ~(band.weights(frequencies) > 0)
    near, usual = (float((v.double() * weight)[next_to].sum()) for v in (damage, smooth))
    between = not (band.weights(frequencies) > 0).any() or (damaged and near > UNDER * usual)
    by = round((bins + NEXT) / min(basis.spatial), 6) if bins or between else 0.0
    whole = Guarded(band, by) if by else band
    total, kept = (float((weight * damage)[at].sum()) for at in (away >= 0, ~(whole.weights(frequencies) > 0)))
    return Guard(whole, by, by * min(basis.spatial), kept / total if damaged else 0.0)


def measured_excess(power: Tensor, band: Spectrum, basis: Basis) -> tuple[Tensor, Tensor]:
    """What a measured spectrum has over its smooth surroundings in a band and around it, and these.

    Ring by ring away from the band; beyond the first one that is under the clean spectrum, no more than the Dirichlet
    kernel leaves there. Around a band without edges, from which nothing has a distance, there is none.

    Args:
        power: Mean power, `(*coefficients)`.
        band: The band.
        basis: Of the power.

    Returns:
        Damage and clean spectrum, `(*coefficients)`.

    Raises:
        InputError: If the band leaves too few frequencies to measure by, or nothing has power.
    """
    if not power.max() > 0:
        raise InputError(f"the data does not vary, so nothing says what damage {band.label} holds; leave out such data")
    if not has_surroundings(band, basis):
        mask(band, basis)  # says so if it holds all
        raise InputError(
            f"band {band.label} leaves fewer than {_LEAST} frequencies of {' x '.join(map(str, basis.spatial))} samples"
            " beside it, by which its damage could be measured; narrow it, or set process.omission.guard none"
        )
    power = power.double().clamp(min=1e-12 * float(power.max()))
    away = _rings(band, basis)
    smooth = smooth_fit(power.log(), basis, _beside(band, basis)).exp()
    if not has_edges(band, basis.rank):
        return torch.where(away == 0, (power - smooth).clamp(min=0), 0.0), smooth
    mine, clean = (_sums(v * _weight(basis), away) for v in (power, smooth))
    over = (mine / clean.clamp(min=1e-300) - 1).clamp(min=0)
    quiet = (over <= UNDER).nonzero()
    first = max(1, int(quiet[0]) if len(quiet) else len(over))
    at = torch.arange(len(over), dtype=over.dtype)
    tail = over[min(first, len(over) - 1)] * (first / at.clamp(min=1)) ** 2
    over = torch.where(at > first, torch.minimum(over, tail), over)
    return torch.where(away == 0, (power - smooth).clamp(min=0), over[away] * smooth), smooth


def next_bins(band: Spectrum, window: Sequence[int]) -> Guarded:
    """A band on the grid of windows of whose split it is: with the bins on both sides of what lies between them."""
    return Guarded(band, round(NEXT / min(window), 6))


def unguarded(band: Spectrum) -> Spectrum:
    """A band as it was named, without its guard."""
    return band.band if isinstance(band, Guarded) else band


def _weight(basis: Basis) -> Tensor:
    return torch.where(basis.radius() > 0, basis.multiplicity(), 0.0)


def has_edges(band: Spectrum, rank: int) -> bool:
    """Whether a band is a shape from which frequencies have a distance."""
    try:
        band.distance(torch.zeros(rank, 1, dtype=torch.float64))
    except InputError:
        return False
    return True


def has_surroundings(band: Spectrum, basis: Basis) -> bool:
    """Whether a band leaves enough of the frequencies of a basis to tell what it holds more than these."""
    return int(_beside(band, basis).sum()) >= _LEAST


def _beside(band: Spectrum, basis: Basis) -> Tensor:
    return (_rings(band, basis) > 0) & (basis.radius() > 0)


def _rings(band: Spectrum, basis: Basis) -> Tensor:
    """How many bins frequencies are away from a band, `(*coefficients)`: 0 also of those next to what is between.

    Of a band without edges 0 inside and 1 outside.
    """
    if not has_edges(band, basis.rank):
        b = mask(band, basis) > 0
        return (~(b.any(0) if b.ndim > basis.rank else b)).long()
    distance = band.distance(basis.frequencies()).double() * min(basis.spatial)
    return (distance - NEXT - EDGE).ceil().clamp(min=0).long()


def _sums(v: Tensor, ring: Tensor) -> Tensor:
    return torch.zeros(int(ring.max()) + 1, dtype=v.dtype).index_add_(0, ring.flatten(), v.flatten())
