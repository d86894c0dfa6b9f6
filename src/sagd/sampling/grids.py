"""Time grids: the times `1 >= t_0 > t_1 > ... > t_N = 0` a sampler visits.

The last step always ends at `t = 0`, where `sigma = 0`: it returns the denoised image. Grids that stop at a least noise
level spend their `N` points between `t_0` and that level.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError, check_whole
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.spec import Description

MOST_STEPS = 100_000
"""Steps of a grid: a hundred times what the slowest samplers take."""


class TimeGrid(Description, family="time grid"):
    """Base of all time grids; a subclass supplies `points`."""

    def times(self, steps: int, process: Process, statistics: DataStatistics | None = None) -> Tensor:
        """Times `(steps + 1,)`, float64, strictly decreasing to 0.

        Args:
            steps: Number of steps `N >= 1`.
            process: Forward process whose schedule is followed.
            statistics: Data statistics, for grids matched to the data.

        Raises:
            InputError: If `steps` is less than 1 or over `MOST_STEPS`, or the grid needs statistics and has none.
        """
        check_whole("steps", steps, 1, MOST_STEPS)
        points = self.points(steps, process, statistics)
        times = torch.cat([points, points.new_zeros(1)])
        if not (times.diff() < 0).all():
            raise InputError(
                f"time grid {str(self)!r} with {steps} steps does not decrease strictly under {process.schedule};"
                " use fewer steps or a range inside the schedule's"
            )
        return times

    def fitted(self, sampler: Description) -> TimeGrid:
        """The grid for a sampler; itself, unless it depends on how steps are made."""
        return self

    def settled(self, steps: int, process: Process, statistics: DataStatistics | None) -> TimeGrid:
        """The grid that it comes to, for who samples in batches; itself, unless it has to be looked for."""
        return self

    @abstractmethod
    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """The `steps` times before 0, decreasing, float64."""


@dataclass(frozen=True)
class UniformGrid(TimeGrid, kind="uniform"):
    """Equal steps in `t` from 1 to 0."""

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """`1 - i / steps`."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]


@dataclass(frozen=True)
class KarrasGrid(TimeGrid, kind="karras"):
    """Equal steps in `(sigma/alpha)^(1/rho)` between two noise levels, clamped to the process's range.

    Source: "Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al., 2022), equation 5.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(
                f"karras needs 0 < sigma_min < sigma_max, got sigma_min={self.sigma_min}, sigma_max={self.sigma_max}"
            )
        if not self.rho > 0:
            raise InputError(f"karras rho must be positive, got {self.rho}")

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """Times of Karras' noise levels."""
        return process.time_at(self.levels(steps, process))

    def levels(self, steps: int, process: Process) -> Tensor:
        """The `steps` noise levels, decreasing, float64."""
        highest = float(process.noise_level(torch.ones((), dtype=torch.float64)))
        first, last = (min(s, highest) ** (1 / self.rho) for s in (self.sigma_max, self.sigma_min))
        return torch.linspace(first, last, steps, dtype=torch.float64) ** self.rho


@dataclass(frozen=True)
class LogSNRGrid(TimeGrid, kind="log_snr"):
    """Equal steps in log-SNR between the schedule's noisiest level (at most `sigma_max`) and `sigma_min`."""

    sigma_min: float = 0.002
    sigma_max: float = 1000.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(
                f"log_snr needs 0 < sigma_min < sigma_max, got sigma_min={self.sigma_min}, sigma_max={self.sigma_max}"
            )

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """Times of geometrically spaced noise levels."""
        highest = float(process.noise_level(torch.ones((), dtype=torch.float64)))
        first, last = math.log(min(self.sigma_max, highest)), math.log(self.sigma_min)
        return process.time_at(torch.linspace(first, last, steps, dtype=torch.float64).exp())


@dataclass(frozen=True)
class MatchedGrid(TimeGrid, kind="matched"):
    """A Karras grid whose largest noise level is what the data needs, `margin * max_f sqrt(S(f)) / w(f)`.

    From a larger level on, noise drowns every frequency and steps are wasted; see `matched_range`.
    """

    margin: float = 8.0
    sigma_min: float = 0.002
    rho: float = 7.0

    def __post_init__(self) -> None:
        for name in ("margin", "sigma_min", "rho"):
            if not getattr(self, name) > 0:
                raise InputError(f"matched {name} must be positive, got {getattr(self, name)}")

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """Points of the Karras grid with the matched range."""
        if statistics is None:
            raise InputError(
                "the matched time grid needs the data's statistics; pass statistics=measure(data), or use karras"
            )
        low, high = matched_range(process, statistics, self.margin, self.sigma_min)
        return KarrasGrid(low, high, self.rho).points(steps, process, statistics)


def matched_range(
    process: Process, statistics: DataStatistics, margin: float = 8.0, sigma_min: float = 0.002
) -> tuple[float, float]:
    """Noise levels `(sigma_min, sigma_max)` between which the data is destroyed, at most those of the process.

    At `sigma_max` the noise exceeds the spread of the data about its mean by the factor `margin` at every frequency
    that carries noise; for a fixed covariance that is `margin * max_f sqrt(S(f)) / w(f)`.

    Raises:
        InputError: If the statistics are of another shape, or the data is constant.
    """
    require_shape(statistics, process)
    level = float(process.drowned_at(margin**2 * statistics.spectrum, statistics.basis).max())
    if level == 0:
        raise InputError(
            "the data does not vary at any frequency that carries noise; give sigma_max with a karras grid"
        )
    return sigma_min, max(level, 2 * sigma_min)


SIGNAL_LIMIT = 0.1
"""Largest SNR where sampling starts: the variance of the start is then wrong by a tenth at the worst frequency."""


def require_shape(statistics: DataStatistics, process: Process) -> None:
    """Raise `InputError` if the statistics are of data of another shape than the process."""
    if tuple(statistics.mean.shape) != process.shape:
        raise InputError(f"statistics are of data {tuple(statistics.mean.shape)}, the process of {process.shape}")
