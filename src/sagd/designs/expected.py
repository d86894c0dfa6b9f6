"""What a sampler makes of data in a number of steps, if no more than a Gaussian is to be learnt: in closed form.

Of Gaussian data with spectrum `S` and noise of one schedule, the exact denoiser multiplies each frequency by a number,
and so does any deterministic sampler. The factor depends on the grid and on `S / w^2` alone, so that a handful of
numbers stands for all frequencies. What comes out has the power of the start times

    |prod of the steps' factors|^2,    which should be S(f).

A start of Gaussian law is right for Gaussian data alone, where a single step from little noise would do. So grids are
looked for as if sampling started from noise alone, and begin where next to nothing of the data is left.

Networks behave so in few steps: their error of the power spectrum follows the closed form, where a denoiser that knows
the training data by heart makes no such error at all.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.designs.ends import SIGNAL_LIMIT
from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time, as_time
from sagd.process.scalar import ForwardProcess
from sagd.sampling.base import Sampler
from sagd.sampling.grids import KarrasGrid, MatchedGrid, TimeGrid, matched_range
from sagd.training.levels import by_radius

_RATIOS = 48
"""Frequencies that stand for all, as many in each part of the radii."""
_EMPTY = 1e-10
"""Power over the largest below which a frequency holds nothing that anybody could miss."""
_SPREAD = (-5.0, 0.0, 5.0)
"""Data is stronger in some fields than in others: spectra by which a grid is judged, in dB."""
_RHOS = (3.0, 7.0, 15.0, 30.0)
_LARGEST_RHO = 100.0
_CUTS = 4
"""Places at either end of the range at which the search begins."""
_ROUNDED = 1.001
"""More than the rounding of a level to four digits takes away."""
_MOST_CUT = 0.9
"""Share of the range, in its logarithm, that a grid may leave out."""
_REFINED = 4
"""Rounds in which the search looks at half the distance around the best so far."""

_Point = tuple[float, float, float]
"""How much a grid leaves out of the range at its lower and its upper end, in logarithms, and that of its `rho`."""


@dataclass(frozen=True)
class Expected:
    """The closed form for one process and data.

    Args:
        process: Forward process with one schedule for all frequencies, noise by frequency at most.
        statistics: Spectrum of the data, in the basis of the noise.

    Raises:
        InputError: If frequencies have schedules of their own, or some have no noise.
    """

    process: Process
    statistics: DataStatistics

    def __post_init__(self) -> None:
        if not isinstance(self.process, ForwardProcess) or self.process.covariance.is_singular:
            raise InputError(
                f"a design needs one schedule for all frequencies and noise at each, got {self.process.label}"
            )

    @functools.cached_property
    def ratios(self) -> Tensor:
        """`S / w^2` of some frequencies, `(K,)`, all radii alike."""
        S, basis = self.statistics.spectrum, self.statistics.basis
        ratio = S / self.process.covariance.power_range(basis)[0]
        weight = by_radius(basis).expand_as(ratio)
        kept = (_EMPTY * S.max() < S) & (ratio > 0)
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
        return self._error(Sampler.parse(sampler), steps, TimeGrid.parse(grid), (0.0,), noise_alone=False)

    def found(self, sampler: Sampler | str, steps: int) -> KarrasGrid:
        """The Karras grid of least error, within the range that the data needs, over spectra of some strengths.

        Its largest and least noise level and `rho` are looked for on a lattice, which is then refined around the best.
        It starts where the data is drowned as far as training asks for (`SIGNAL_LIMIT`), and is never worse than the
        matched grid, by the same error.
        """
        sampler = Sampler.parse(sampler)
        low, high = matched_range(self.process, self.statistics)
        _, least_high = matched_range(self.process, self.statistics, _ROUNDED * SIGNAL_LIMIT**-0.5)
        span, top = math.log(high / low), max(0.0, math.log(high / least_high))

        def grid(point: _Point) -> KarrasGrid:
            last, first, rho = point
            return KarrasGrid(low * math.exp(last), high * math.exp(-first), math.exp(rho))

        @functools.cache
        def error(point: _Point) -> float:
            last, first, rho = point
            inside = 0 <= first <= top and 0 <= last <= _MOST_CUT * span - first and 0 <= rho <= math.log(_LARGEST_RHO)
            return self._error(sampler, steps, grid(point), _SPREAD, noise_alone=True) if inside else math.inf

        usual = (0.0, 0.0, math.log(MatchedGrid().rho))
        below, above = ([k * most / _CUTS for k in range(_CUTS)] for most in (span / 2, top))
        best = min([usual, *itertools.product(below, above, map(math.log, _RHOS))], key=error)
        width = (below[1], above[1], math.log(2.0))
        for _ in range(_REFINED):
            width = (width[0] / 2, width[1] / 2, width[2] / 2)
            (a, b, c), (da, db, dc) = best, width
            around = itertools.product((a - da, a, a + da), (b - db, b, b + db), (c - dc, c, c + dc))
            best = min([best, *around], key=error)
        found = grid(best)
        return KarrasGrid(*(float(f"{v:.4g}") for v in (found.sigma_min, found.sigma_max, found.rho)))

    def _error(self, sampler: Sampler, steps: int, grid: TimeGrid, spread: Sequence[float], noise_alone: bool) -> float:
        times = grid.times(steps, self.process, self.statistics)[:-1]
        ratios = torch.cat([self.ratios * 10 ** (d / 10) for d in spread])
        process = ForwardProcess(self.process.schedule, IsotropicCovariance((1, len(ratios))))
        a, s = (f(float(times[0]), ratios) for f in (process.alpha, process.sigma))
        start = s * torch.ones_like(ratios) if noise_alone else (a**2 * ratios + s**2).sqrt()
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
