"""What a measured spectrum says: its power law, and the noise levels to train and sample at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sagd.designs.ends import ROUNDING
from sagd.errors import InputError
from sagd.noise.statistics import DataStatistics, RadialProfile, radial_profile
from sagd.process.base import Process
from sagd.sampling.grids import matched_range
from sagd.training.levels import training_levels


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


def inspect(statistics: DataStatistics, process: Process, bands: int = 10) -> Inspection:
    """Summarise a spectrum, measured in the basis of the noise, for `process`.

    Raises:
        InputError: If the data does not vary.
    """
    profile, fit = radial_profile(statistics.spectrum, statistics.basis, bands), fit_power_law(statistics)
    return Inspection(profile, fit, matched_range(process, statistics), *training_levels(statistics, process))


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
