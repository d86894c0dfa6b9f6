"""Errors of the second-order statistics of samples, by radial frequency band.

The power spectrum is the centred one, `S(f) = E |U (x - mu)|^2`: the mean image (a face's outline, a digit's
bright middle) holds most of the energy of the low bands and would hide errors in what varies. The mean is
judged apart, in units of the data's standard deviation.

Of fields whose ends do not meet, powers are those of the cosine basis: in the Fourier basis the jump there has power at
all frequencies, and hides what steep fields hold at high ones.

Of masked fields, the mean of a place is that of its valid values, `x - mu` is zero elsewhere, and the power is
divided by the share of valid places: right for white fields, and for others as if seen through the window of the
mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.metrics.fields import Fields, FieldSet, everywhere, field_sets
from sagd.metrics.intervals import log_covariance, rms_interval
from sagd.noise.basis.base import Basis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import jumps, meets, radial_profile

_DECIBEL = 10 / math.log(10)


@dataclass(frozen=True)
class SpectralError:
    """Relative error of the radial power spectrum, `S_samples / S_reference - 1`.

    Attributes:
        edges: Band edges as fractions of the corner radius, `K + 1` of them.
        error: Per band, of the spectra averaged over channels; 0 is right, -1 an empty band. NaN where the band
            holds no frequency (or no power in either set), infinite where only the reference has no power.
        channel_error: The same for each channel: `C` rows of `K`.
        rms_db: Root mean square over bands of `10 log10(S_samples / S_reference)`; infinite if one set lacks a
            band entirely. Chance alone makes it larger than zero, the more the fewer images there are.
        rms_db_interval: 95 % interval of what it would be with infinitely many images (see `rms_interval`), which
            starts at zero where chance alone gives as much; None if `rms_db` is not finite.
        mean_error: Root-mean-square difference of the two mean images, over the reference's standard deviation.
        basis: In which powers were measured, "fourier", or "cosine" where the ends of the reference do not meet.
    """

    edges: tuple[float, ...]
    error: tuple[float, ...]
    channel_error: tuple[tuple[float, ...], ...]
    rms_db: float
    rms_db_interval: tuple[float, float] | None
    mean_error: float
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null stands for NaN and infinity."""
        return {
            "edges": list(self.edges),
            "error": [finite(e) for e in self.error],
            "channel_error": [[finite(e) for e in row] for row in self.channel_error],
            "rms_db": finite(self.rms_db),
            "rms_db_interval": None if self.rms_db_interval is None else list(self.rms_db_interval),
            "mean_error": finite(self.mean_error),
            "basis": self.basis,
        }


def spectral_error(
    samples: FieldSet,
    reference: FieldSet,
    bands: int = 10,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
) -> SpectralError:
    """Spectral error of fields `(N, C, *spatial)` against `(M, C, *spatial)`.

    Args:
        samples: Generated fields.
        reference: Real ones.
        bands: Radial bands.
        samples_mask: Their valid places, `(N, 1 | C, *spatial)`; None: all.
        reference_mask: The same of the reference.

    Raises:
        InputError: If the images' shapes differ, there are fewer than two of either, or values are not finite.

    >>> import torch
    >>> x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> spectral_error(2 * x, x, bands=2).error
    (3.0, 3.0)
    """
    pair = field_sets(samples, reference, samples_mask, reference_mask)
    basis = basis_for(pair[1])
    ours, theirs = (_measured(fields, basis, bands) for fields in pair)
    ratio = ours.profile.mean(0) / theirs.profile.mean(0)
    decibels = 10 * ratio.log10()
    known = ~ratio.isnan()
    seen = ours.seen & theirs.seen
    W = seen * theirs.weights
    difference = (W * torch.where(seen, ours.mean - theirs.mean, 0.0).square()).sum() / W.sum()
    return SpectralError(
        edges=tuple(theirs.edges.tolist()),
        error=tuple((ratio - 1).tolist()),
        channel_error=tuple(tuple(row) for row in (ours.profile / theirs.profile - 1).tolist()),
        rms_db=rms(decibels[known]),
        rms_db_interval=_interval(decibels[known], ours.chance(known), theirs.chance(known)),
        mean_error=float((difference / theirs.variance).sqrt()),
        basis=basis.kind,
    )


def basis_for(fields: Fields) -> Basis:
    """The Fourier basis where the ends of fields meet, by the first batch of them; else the cosine basis."""
    x, mask = next(fields.batches())
    closed = all(map(meets, jumps(x, mask)))
    return FourierBasis(fields.shape[1:]) if closed else CosineBasis(fields.shape[1:])


def rms(values: Tensor) -> float:
    """Root mean square; NaN of no values."""
    return float(values.square().mean().sqrt())


def finite(value: float) -> float | None:
    """A number as JSON has it."""
    return value if math.isfinite(value) else None


def _interval(decibels: Tensor, ours: Tensor, theirs: Tensor) -> tuple[float, float] | None:
    if not len(decibels) or not decibels.isfinite().all():
        return None
    return rms_interval(decibels, _DECIBEL**2 * (ours + theirs))


@dataclass(frozen=True)
class _Measured:
    """Second-order statistics of a set.

    Attributes:
        edges: Band edges, `(K + 1,)`.
        mean: Mean image `(C, *spatial)`.
        seen: Where it has a valid value, `(C, *spatial)`.
        weights: How much each place counts in means over places, likewise.
        variance: Mean variance of a value.
        profile: Power by channel and band, `(C, K)`.
        parts: Power of each field by band, channels averaged, `(N, K)`.
        shares: Share of its places that are valid, `(N, 1)`.
    """

    edges: Tensor
    mean: Tensor
    seen: Tensor
    weights: Tensor
    variance: Tensor
    profile: Tensor
    parts: Tensor
    shares: Tensor

    def chance(self, known: Tensor) -> Tensor:
        """Covariance of the logarithm of the power of some bands."""
        parts = self.parts[:, known]
        return log_covariance(parts, self.shares.expand_as(parts))


def _measured(fields: Fields, basis: Basis, bands: int) -> _Measured:
    mean, counts = field_means(fields)
    powers, shares, square = [], [], torch.zeros((), dtype=torch.float64)
    edges = torch.empty(0)
    W = torch.ones_like(mean) if fields.weight_field is None else fields.weight_field.expand_as(mean)
    for x, mask in fields.batches():
        valid = everywhere(x, mask)
        centred = torch.where(valid, x - mean, 0.0)
        profile = radial_profile(basis.forward(centred).abs().square(), basis, bands)
        edges = profile.edges
        powers.append(profile.values)
        shares.append(valid.double().flatten(2).mean(2))
        square += (W * centred.square()).sum()
    by_field, share, n = torch.cat(powers), torch.cat(shares), len(fields)
    # N - 1 fields are free, the mean being their own.
    free = share.mean(0) * (n - 1) / n
    return _Measured(
        edges=edges,
        mean=mean,
        seen=counts > 0,
        weights=W,
        variance=square / (W * counts).sum() * n / (n - 1),
        profile=by_field.mean(0) / free[:, None],
        parts=by_field.mean(1),
        shares=share.mean(1, keepdim=True),
    )


def field_means(fields: Fields) -> tuple[Tensor, Tensor]:
    """Mean over the valid values of each place (zero where there are none), and their number: `(C, *spatial)`."""
    total, counts = torch.zeros(fields.shape, dtype=torch.float64), torch.zeros(fields.shape, dtype=torch.float64)
    for x, mask in fields.batches():
        total += x.sum(0)
        counts += everywhere(x, mask).double().sum(0)
    return total / counts.clamp(min=1), counts
