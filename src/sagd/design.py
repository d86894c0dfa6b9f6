"""What the data's spectrum says about the noise to train with: slope, noise range, training times.

Second moments alone do not decide which spectrum gives the best samples (full whitening makes Gaussian data exact in
one step and is not best on images), so nothing here picks a spectrum; it measures what a choice should know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from sagd.errors import InputError
from sagd.grid import matched_range
from sagd.process import ForwardProcess
from sagd.statistics import DataStatistics, RadialProfile, radial_profile

ROUNDING = 1e-12
"""Power relative to the largest below which a frequency holds nothing but the rounding of float32 data."""

TRANSITION_STD = 1.2
"""Standard deviation in `log(sigma/alpha)` over which one frequency goes from visible to drowned."""


@dataclass(frozen=True)
class PowerLawFit:
    """Least-squares line through `log S` against `log r`, every frequency counted with its multiplicity.

    Attributes:
        slope: Slope `p` of `S ~ r^p`; noise of the same shape has `alpha = p / 2`.
        intercept: `log S` at `r = 1` cycle per sample.
        r_squared: Share of the variance of `log S` that the line explains.
    """

    slope: float
    intercept: float
    r_squared: float


@dataclass(frozen=True)
class Inspection:
    """What `sagd inspect` reports.

    Attributes:
        profile: Power spectrum by radial band and channel, `values` `(C, K)`.
        fit: Power law through the channel-averaged spectrum, DC left out.
        sigma_range: Noise levels `(sigma_min, sigma_max)` that the matched time grid would use.
        log_sigma_mean: Suggested mean of `log(sigma/alpha)` while training.
        log_sigma_std: Suggested standard deviation of it.
    """

    profile: RadialProfile
    fit: PowerLawFit
    sigma_range: tuple[float, float]
    log_sigma_mean: float
    log_sigma_std: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; bands without frequencies hold None."""
        values = [[None if math.isnan(v) else v for v in row] for row in self.profile.values.tolist()]
        return {
            "band_edges": self.profile.edges.tolist(),
            "power": values,
            "slope": self.fit.slope,
            "intercept": self.fit.intercept,
            "r_squared": self.fit.r_squared,
            "sigma_min": self.sigma_range[0],
            "sigma_max": self.sigma_range[1],
            "log_sigma_mean": self.log_sigma_mean,
            "log_sigma_std": self.log_sigma_std,
        }


def inspect(statistics: DataStatistics, process: ForwardProcess, bands: int = 10) -> Inspection:
    """Summarise a measured spectrum for the noise of `process`.

    The suggested training law covers the levels at which frequencies go from visible to drowned. Its mean is that of
    `log(sqrt(S)/w)` over all frequencies; its variance is their spread plus that of one frequency's transition, for
    which 1.2 squared is taken, the width of the training law of Karras et al. (2022).

    Raises:
        InputError: If the data does not vary.
    """
    profile, fit = radial_profile(statistics.spectrum, statistics.basis, bands), fit_power_law(statistics)
    noise = process.covariance.power_spectrum(statistics.basis)
    weight = (statistics.basis.multiplicity() * (noise > 0)).expand_as(statistics.spectrum)
    ratio = statistics.spectrum / noise.clamp(min=torch.finfo(torch.float64).tiny)
    seen = (weight > 0) & (statistics.spectrum > 0)
    sigma_range = matched_range(process, statistics)
    # Below the least level that samplers visit nothing is drowned: frequencies that are all but empty count there.
    level, share = (ratio[seen].log() / 2).clamp(min=math.log(sigma_range[0])), weight[seen] / weight[seen].sum()
    mean = float((share * level).sum())
    std = math.sqrt(float((share * (level - mean) ** 2).sum()) + TRANSITION_STD**2)
    return Inspection(profile, fit, sigma_range, mean, std)


def fit_power_law(statistics: DataStatistics) -> PowerLawFit:
    """Fit `log S = intercept + slope log r` to the channel-averaged spectrum, DC left out.

    Raises:
        InputError: If fewer than two radii carry power.
    """
    r, power = statistics.basis.radius(), statistics.spectrum.mean(0)
    inside = (r > 0) & (power > ROUNDING * power.max())
    x, y, m = r[inside].log(), power[inside].log(), statistics.basis.multiplicity()[inside]
    if len(x) < 2 or float(x.max() - x.min()) == 0:
        raise InputError("a power law needs at least two radii with power; the data is constant or too small")
    m = m / m.sum()
    dx, dy = x - (m * x).sum(), y - (m * y).sum()
    slope = float((m * dx * dy).sum() / (m * dx**2).sum())
    residual = dy - slope * dx
    total = float((m * dy**2).sum())
    r_squared = 1 - float((m * residual**2).sum()) / total if total > 0 else 1.0
    return PowerLawFit(slope, float((m * y).sum() - slope * (m * x).sum()), r_squared)
