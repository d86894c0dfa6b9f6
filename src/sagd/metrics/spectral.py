"""Errors of the second-order statistics of samples, by radial frequency band.

The power spectrum is the centred one, `S(f) = E |U (x - mu)|^2`: the mean image (a face's outline, a digit's
bright middle) holds most of the energy of the low bands and would hide errors in what varies. The mean is
judged apart, in units of the data's standard deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sagd.metrics.checks import field_pair
from sagd.noise.statistics import measure, radial_profile


@dataclass(frozen=True)
class SpectralError:
    """Relative error of the radial power spectrum, `S_samples / S_reference - 1`.

    Attributes:
        edges: Band edges as fractions of the corner radius, `K + 1` of them.
        error: Per band, of the spectra averaged over channels; 0 is right, -1 an empty band. NaN where the band
            holds no frequency (or no power in either set), infinite where only the reference has no power.
        channel_error: The same for each channel: `C` rows of `K`.
        rms_db: Root mean square over bands of `10 log10(S_samples / S_reference)`; infinite if one set lacks a
            band entirely.
        mean_error: Root-mean-square difference of the two mean images, over the reference's standard deviation.
    """

    edges: tuple[float, ...]
    error: tuple[float, ...]
    channel_error: tuple[tuple[float, ...], ...]
    rms_db: float
    mean_error: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null stands for NaN and infinity."""
        return {
            "edges": list(self.edges),
            "error": [_finite(e) for e in self.error],
            "channel_error": [[_finite(e) for e in row] for row in self.channel_error],
            "rms_db": _finite(self.rms_db),
            "mean_error": _finite(self.mean_error),
        }


def spectral_error(samples: Tensor, reference: Tensor, bands: int = 10) -> SpectralError:
    """Spectral error of fields `(N, C, *spatial)` against `(M, C, *spatial)`.

    Raises:
        InputError: If the images' shapes differ, there are fewer than two of either, or values are not finite.

    >>> import torch
    >>> x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> spectral_error(2 * x, x, bands=2).error
    (3.0, 3.0)
    """
    field_pair(samples, reference)
    ours, theirs = measure(samples.detach().cpu()), measure(reference.detach().cpu())
    profile, target = (radial_profile(s.spectrum, s.basis, bands) for s in (ours, theirs))
    ratio = profile.values.mean(0) / target.values.mean(0)
    decibels = 10 * ratio[~ratio.isnan()].log10()
    difference = (ours.mean - theirs.mean).square().mean()
    return SpectralError(
        edges=tuple(target.edges.tolist()),
        error=tuple((ratio - 1).tolist()),
        channel_error=tuple(tuple(row) for row in (profile.values / target.values - 1).tolist()),
        rms_db=float(decibels.square().mean().sqrt()),
        mean_error=float((difference / theirs.variance).sqrt()),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
