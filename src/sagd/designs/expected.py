"""What a sampler makes of data in a number of steps, if no more than a Gaussian is to be learnt: in closed form.

Of Gaussian data with spectrum `S` and noise of one schedule, the exact denoiser multiplies each frequency by a number,
and so does any deterministic sampler. The factor depends on the grid and on `S / w^2` alone, so that a handful of
numbers stands for all frequencies. Sampling starts from noise alone, and what comes out has the power

    P_N(f) = |prod of the steps' factors|^2,    which should be S(f).

Networks behave so in few steps: their error of the power spectrum follows the closed form, where a denoiser that knows
the training data by heart makes no such error at all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time, as_time
from sagd.process.scalar import ForwardProcess
from sagd.sampling.base import Sampler
from sagd.sampling.grids import KarrasGrid, MatchedGrid, TimeGrid, matched_range

_RATIOS = 48
"""Frequencies that stand for all, as many in each part of the radii."""
_EMPTY = 1e-10
"""Power over the largest below which a frequency holds nothing that anybody could miss."""
_SPREAD = (-5.0, 0.0, 5.0)
"""Data is stronger in some fields than in others: spectra by which a grid is judged, in dB."""
_RHOS = (3.0, 7.0, 15.0, 30.0)
_STARTS, _ENDS = 4, 4
_REFINED = 4
"""Rounds in which the search looks at half the distance around the best so far."""


@dataclass(frozen=True)
class Expected:
    """The closed form for one process and data.

    Args:
        process: Forward process with one schedule for all frequencies, noise by frequency at most.
        statistics: Spectrum of the data, in the basis of the noise.

    Raises:
        InputError: If frequencies have schedules of their own.
    """

    process: Process
    statistics: DataStatistics

    def __post_init__(self) -> None:
        if not isinstance(self.process, ForwardProcess):
            raise InputError(f"only processes with one schedule are designed, got {self.process.label}")

    @cached_property
    def ratios(self) -> Tensor:
        """`S / w^2` of some frequencies, `(K,)`, all radii alike."""
        S, basis = self.statistics.spectrum, self.statistics.basis
        ratio = self.process.drowned_at(S, basis).square()
        radius = basis.radius()
        least = float(radius[radius > 0].min()) if (radius > 0).any() else 1.0
        weight = (basis.multiplicity() / radius.clamp(min=least) ** (basis.rank - 1)).expand_as(ratio)
        kept = (S > _EMPTY * S.max()) & (ratio > 0)
        ratio, order = ratio[kept].sort()
        share = weight[kept][order].cumsum(0)
        wanted = (torch.arange(_RATIOS, dtype=share.dtype) + 0.5) / _RATIOS * share[-1]
        return ratio[torch.searchsorted(share, wanted).clamp(max=len(ratio) - 1)]

    def error(self, sampler: Sampler | str, steps: int, grid: TimeGrid | str) -> float:
        """Error of the power spectrum of samples, rms over radii, in dB.

        Args:
            sampler: A deterministic sampler.
            steps: Its steps.
            grid: Time grid.
        """
        return self._error(Sampler.parse(sampler), steps, TimeGrid.parse(grid), (0.0,))

    def found(self, sampler: Sampler | str, steps: int) -> KarrasGrid:
        """The Karras grid of least error, within the range that the data needs, over spectra of some strengths.

        Its largest and least noise level and `rho` are looked for on a lattice, which is then refined around the best.
        It is never worse than the matched grid, by the same error.
        """
        sampler = Sampler.parse(sampler)
        low, high = matched_range(self.process, self.statistics)
        usual = MatchedGrid()
        best = self._error(sampler, steps, KarrasGrid(low, high, usual.rho), _SPREAD), (0.0, 0.0, math.log(usual.rho))
        span = math.log(high / low)
        up, down = span / (2 * _STARTS), span / (2 * _ENDS)
        lattice = itertools.product(
            (k * up for k in range(_STARTS)), (k * down for k in range(_ENDS)), map(math.log, _RHOS)
        )
        tried: dict[tuple[float, float, float], float] = {}

        def at(point: tuple[float, float, float]) -> float:
            if point not in tried:
                first, last, rho = point
                if first < 0 or last < 0 or first + last > 0.9 * span or not 0 <= rho <= math.log(100):
                    return math.inf
                grid = KarrasGrid(low * math.exp(last), high * math.exp(-first), math.exp(rho))
                tried[point] = self._error(sampler, steps, grid, _SPREAD)
            return tried[point]

        best = min([best, *((at(point), point) for point in lattice)])
        width = (up, down, math.log(2.0))
        for _ in range(_REFINED):
            width = tuple(w / 2 for w in width)
            moves = itertools.product(*((-w, 0.0, w) for w in width))
            around = (tuple(c + m for c, m in zip(best[1], move, strict=True)) for move in moves)
            best = min([best, *((at(point), point) for point in around)])  # type: ignore[arg-type]
        first, last, rho = best[1]
        return KarrasGrid(*(float(f"{v:.4g}") for v in (low * math.exp(last), high * math.exp(-first), math.exp(rho))))

    def _error(self, sampler: Sampler, steps: int, grid: TimeGrid, spread: Sequence[float]) -> float:
        times = grid.times(steps, self.process, self.statistics)[:-1]
        ratios = torch.cat([self.ratios * 10 ** (d / 10) for d in spread])
        process = ForwardProcess(self.process.schedule, IsotropicCovariance((1, len(ratios))))
        start = process.sigma(float(times[0]), ratios) * torch.ones_like(ratios)
        drawn = sampler.sample(
            _Linear(process, ratios),
            1,
            steps=steps,
            grid=_Given(tuple(times.tolist())),
            start=start[None, None],
            dtype=torch.float64,
        )[0, 0]
        off = 10 * torch.log10((drawn.square() / ratios).clamp(min=_EMPTY))
        return float(off.square().mean().sqrt()) if off.isfinite().all() else math.inf


class _Linear(Denoiser):
    """The exact denoiser of independent values of the given variances, `(K,)`."""

    def __init__(self, process: ForwardProcess, variances: Tensor) -> None:
        super().__init__()
        self.process, self._variances = process, variances

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """`a S / (a^2 S + s^2) x_t`."""
        time = as_time(t, x_t)
        a, s = self.process.schedule.alpha(time), self.process.schedule.sigma(time)
        return a * self._variances / (a**2 * self._variances + s**2) * x_t


@dataclass(frozen=True)
class _Given(TimeGrid):
    """Times that are known."""

    given: tuple[float, ...] = ()

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """Those."""
        return torch.tensor(self.given, dtype=torch.float64)
