"""Weights of two levels, inside and outside a ring of radii."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.checks import in_range, require_band, require_weight, two_levels
from sagd.noise.spectra.geometry import band_mask


@dataclass(frozen=True)
class BandPass(Spectrum, kind="band_pass"):
    """`inside` on the band `[low, high)`, `outside` elsewhere.

    With the default `outside=0` the forward process leaves all other frequencies untouched: its covariance is singular,
    and samples hold there what they were started with, the mean of the data where it is known, else nothing.
    """

    measures: ClassVar[Mapping[str, str]] = {"low": "corner", "high": "corner"}
    low: float = 0.0
    high: float = 1.0
    inside: float = 1.0
    outside: float = 0.0

    def __post_init__(self) -> None:
        require_band("band_pass", self.low, self.high)
        require_weight("band_pass inside", self.inside)
        require_weight("band_pass outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        return two_levels(self.label, band_mask(frequencies, self.low, self.high), self.inside, self.outside)


@dataclass(frozen=True)
class TwoBand(Spectrum, kind="two_band"):
    """Two-band mixture: weight `gamma_low` on `[low_start, low_end)` plus `gamma_high` on `[high_start, high_end)`.

    Equal weights on adjoining bands that cover [0, 1] are white noise after calibration. Each field is drawn as one
    Gaussian, so where bands overlap the variances add: `w^2 = gamma_low^2 1_low + gamma_high^2 1_high`.

    Source: arXiv:2510.09660, section 4 (parameters `gamma_l, a_l, b_l, gamma_h, a_h, b_h`).
    """

    measures: ClassVar[Mapping[str, str]] = dict.fromkeys(("low_start", "low_end", "high_start", "high_end"), "corner")
    gamma_low: float = 0.5
    low_start: float = 0.0
    low_end: float = 0.5
    gamma_high: float = 0.5
    high_start: float = 0.5
    high_end: float = 1.0

    def __post_init__(self) -> None:
        require_band("two_band low band", self.low_start, self.low_end)
        require_band("two_band high band", self.high_start, self.high_end)
        require_weight("two_band gamma_low", self.gamma_low)
        require_weight("two_band gamma_high", self.gamma_high)

    def weights(self, frequencies: Tensor) -> Tensor:
        """Root of the summed band variances."""
        low = band_mask(frequencies, self.low_start, self.low_end)
        high = band_mask(frequencies, self.high_start, self.high_end)
        # Unlike the root of a sum of squares, hypot keeps to the range of numbers where the result does.
        w = torch.hypot(float(self.gamma_low) * low, float(self.gamma_high) * high)
        return in_range(w, self.label, (low > 0) & (self.gamma_low > 0) | (high > 0) & (self.gamma_high > 0))


@dataclass(frozen=True)
class BandStop(Spectrum, kind="band_stop"):
    """`inside` (default 0) on the band `[low, high)`, `outside` (default 1) elsewhere: the complement of `BandPass`."""

    measures: ClassVar[Mapping[str, str]] = {"low": "corner", "high": "corner"}
    low: float = 0.0
    high: float = 1.0
    inside: float = 0.0
    outside: float = 1.0

    def __post_init__(self) -> None:
        require_band("band_stop", self.low, self.high)
        require_weight("band_stop inside", self.inside)
        require_weight("band_stop outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        return two_levels(self.label, band_mask(frequencies, self.low, self.high), self.inside, self.outside)
