"""Spectral weights `w(f) >= 0` of the forward noise, as small serialisable descriptions.

A spectrum is a function of frequency only: it is evaluated on the frequencies of a basis, `(n, *coefficients)` in
cycles per sample, and returns raw weights `(*coefficients)`. The noise `T_w xi = U* diag(w) U xi` then has power
spectrum `w^2`. How the level is set (calibration) is the covariance's business, not the spectrum's: shape and level are
separate knobs.

Band edges `low`, `high` are fractions `rho = r / r_max` of the corner radius `r_max = sqrt(n)/2`, so [0, 1] covers
every frequency. Bands are closed below and open above, except that a band ending at 1 includes the corner; bands that
share an edge therefore share no frequency.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.basis import EDGE, corner_radius
from sagd.description import Description
from sagd.errors import InputError


class Spectrum(Description, family="spectrum"):
    """Base of all spectral weights; a subclass supplies `weights`."""

    @abstractmethod
    def weights(self, frequencies: Tensor) -> Tensor:
        """Raw weights `w(f)`.

        Args:
            frequencies: Frequency vectors in cycles per sample, `(n, *coefficients)`.

        Returns:
            Weights `(*coefficients)`, non-negative, of the dtype of `frequencies`.
        """


def band_mask(frequencies: Tensor, low: float, high: float) -> Tensor:
    """1 where `low <= rho < high` (`<= 1` when `high = 1`), else 0; `(*coefficients)`."""
    rho = torch.linalg.vector_norm(frequencies, dim=0) / corner_radius(len(frequencies))
    inside = rho >= low - EDGE
    if high < 1:
        inside &= rho < high - EDGE
    return inside.to(frequencies.dtype)


@dataclass(frozen=True)
class Flat(Spectrum, kind="flat"):
    """White noise, `w = 1`."""

    def weights(self, frequencies: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(frequencies[0])


@dataclass(frozen=True)
class PowerLaw(Spectrum, kind="power_law"):
    """Power law `w = (r + epsilon)^alpha`; the noise's log PSD has slope `2 alpha` in log r.

    Negative `alpha` puts noise into low frequencies, positive into high ones. By default (`epsilon=None`) the radius of
    DC is floored at the lowest non-zero frequency of the grid. The paper's raw `epsilon=1e-10` makes the DC weight
    explode for negative `alpha` (1e5 at -0.5) and is available by stating it.

    Source: "Learning What Matters: Steering Diffusion via Spectrally Anisotropic Forward Noise" (arXiv:2510.09660),
    section 4.
    """

    alpha: float = 0.0
    epsilon: float | None = None

    def __post_init__(self) -> None:
        _require_finite("power_law alpha", self.alpha)
        if self.epsilon is not None:
            _require_finite("power_law epsilon", self.epsilon)
            if self.epsilon <= 0:
                raise InputError(f"power_law epsilon must be positive, got {self.epsilon}; leave it out to floor DC")

    def weights(self, frequencies: Tensor) -> Tensor:
        """`max(r, r_min)^alpha`, or `(r + epsilon)^alpha` when `epsilon` is given."""
        r = torch.linalg.vector_norm(frequencies, dim=0)
        positive = r[r > 0]
        floored = torch.clamp(r, min=positive.min() if len(positive) else 1.0)
        w = (floored if self.epsilon is None else r + self.epsilon) ** self.alpha
        if not (torch.isfinite(w) & (w > 0)).all():
            raise InputError(f"power_law alpha={self.alpha} leaves the range of numbers on this grid; use a milder one")
        return w


@dataclass(frozen=True)
class BandPass(Spectrum, kind="band_pass"):
    """`inside` on the band `[low, high)`, `outside` elsewhere.

    With the default `outside=0` the forward process leaves all other frequencies untouched: its covariance is singular,
    and samples hold there what they were started with, the mean of the data where it is known, else nothing.
    """

    low: float = 0.0
    high: float = 1.0
    inside: float = 1.0
    outside: float = 0.0

    def __post_init__(self) -> None:
        _require_band("band_pass", self.low, self.high)
        _require_weight("band_pass inside", self.inside)
        _require_weight("band_pass outside", self.outside)

    def weights(self, frequencies: Tensor) -> Tensor:
        """`inside` or `outside`, by band."""
        mask = band_mask(frequencies, self.low, self.high)
        return self.inside * mask + self.outside * (1 - mask)


@dataclass(frozen=True)
class TwoBand(Spectrum, kind="two_band"):
    """Two-band mixture: weight `gamma_low` on `[low_start, low_end)` plus `gamma_high` on `[high_start, high_end)`.

    Equal weights on adjoining bands that cover [0, 1] are white noise after calibration. Each field is drawn as one
    Gaussian, so where bands overlap the variances add: `w^2 = gamma_low^2 1_low + gamma_high^2 1_high`.

    Source: arXiv:2510.09660, section 4 (parameters `gamma_l, a_l, b_l, gamma_h, a_h, b_h`).
    """

    gamma_low: float = 0.5
    low_start: float = 0.0
    low_end: float = 0.5
    gamma_high: float = 0.5
    high_start: float = 0.5
    high_end: float = 1.0

    def __post_init__(self) -> None:
        _require_band("two_band low band", self.low_start, self.low_end)
        _require_band("two_band high band", self.high_start, self.high_end)
        _require_weight("two_band gamma_low", self.gamma_low)
        _require_weight("two_band gamma_high", self.gamma_high)

    def weights(self, frequencies: Tensor) -> Tensor:
        """Root of the summed band variances."""
        low = band_mask(frequencies, self.low_start, self.low_end)
        high = band_mask(frequencies, self.high_start, self.high_end)
        return torch.sqrt(self.gamma_low**2 * low + self.gamma_high**2 * high)


def _require_finite(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, got {value!r}")


def _require_weight(name: str, value: float) -> None:
    _require_finite(name, value)
    if value < 0:
        raise InputError(f"{name} must not be negative, got {value}; weights are amplitudes")


def _require_band(name: str, low: float, high: float) -> None:
    _require_finite(f"{name} low edge", low)
    _require_finite(f"{name} high edge", high)
    if not 0 <= low < high <= 1:
        raise InputError(
            f"{name} needs 0 <= low < high <= 1 (fractions of the corner radius), got low={low}, high={high}"
        )
