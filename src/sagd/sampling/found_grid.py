"""The time grid of least expected error for a sampler, a number of steps, a process and the data's spectrum.

A start of Gaussian law is right for Gaussian data alone, where a single step from little noise would do. So grids are
looked for as if sampling started from noise alone, and begin where next to nothing of the data is left. All times free,
the search would fit the Gaussian, which data is not; three numbers, the ends of a Karras grid and its `rho`, do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.sampling.base import Sampler
from sagd.sampling.expected import Expected
from sagd.sampling.grids import SIGNAL_LIMIT, KarrasGrid, MatchedGrid, TimeGrid, matched_range
from sagd.spec import Description

_SPREAD = (-5.0, 0.0, 5.0)
"""Data is stronger in some fields than in others: spectra by which a grid is judged, in dB; that of the data alone
where the powers of items are known."""
_RHOS = (3.0, 7.0, 15.0, 30.0)
_LARGEST_RHO = 100.0
_CUTS = 4
"""Places at either end of the range at which the search begins."""
_MARGIN = 2.0
"""Power of the noise over what training asks for where a grid starts: of the same data, more of it may be stronger."""
_MOST_CUT = 0.9
"""Share of the range, in its logarithm, that a grid may leave out."""
_REFINED = 4
"""Rounds in which the search looks at half the distance around the best so far."""

_Point = tuple[float, float, float]
"""How much a grid leaves out of the range at its lower and its upper end, in logarithms, and that of its `rho`."""


@dataclass(frozen=True)
class FoundGrid(TimeGrid, kind="found"):
    """The Karras grid of least expected error for the sampler, its steps, the noise and the data's spectrum.

    By what it is looked for, the error of the power spectrum (`Expected`) from noise alone, it is never worse than
    `matched`. Samplers that draw noise, and noise that is not diagonal in a basis, take the matched grid.

    Args:
        sampler: Deterministic sampler for which it is looked for; samplers put themselves here.
    """

    sampler: str = "heun"

    def fitted(self, sampler: Description) -> FoundGrid:
        """For that sampler."""
        return FoundGrid(str(sampler))

    def points(self, steps: int, process: Process, statistics: DataStatistics | None) -> Tensor:
        """Points of the grid that was found."""
        return self.settled(steps, process, statistics).points(steps, process, statistics)

    def settled(self, steps: int, process: Process, statistics: DataStatistics | None) -> TimeGrid:
        """The grid that was found."""
        if statistics is None:
            raise InputError(
                "a time grid is found from the data's statistics; pass statistics=measure(data), or use karras"
            )
        sampler = Sampler.parse(self.sampler)
        if not sampler.is_deterministic or not process.is_diagonal_in(statistics.basis):
            return MatchedGrid()
        return find_grid(Expected(process, statistics), sampler, steps)


def find_grid(expected: Expected, sampler: Sampler, steps: int) -> KarrasGrid:
    """The grid of least error, within the range that the data needs, over spectra of some strengths.

    Its largest and least noise level and `rho` are looked for on a lattice, which is then refined around the best. It
    starts where the data is drowned further than training asks for (`SIGNAL_LIMIT`).
    """
    process, statistics = expected.process, expected.statistics
    low, high = matched_range(process, statistics)
    _, least_high = matched_range(process, statistics, (_MARGIN / SIGNAL_LIMIT) ** 0.5)
    span, top = math.log(high / low), max(0.0, math.log(high / least_high))
    known: dict[_Point, float] = {}

    def grid(point: _Point) -> KarrasGrid:
        last, first, rho = point
        return KarrasGrid(low * math.exp(last), high * math.exp(-first), math.exp(rho))

    def best(points: Iterable[_Point]) -> _Point:
        new = [p for p in dict.fromkeys(points) if p not in known and _inside(p, span, top)]
        if new:
            known.update(zip(new, _errors(expected, sampler, steps, map(grid, new)), strict=True))
        return min(known, key=known.__getitem__)

    usual = MatchedGrid()
    below, above = ([k * most / _CUTS for k in range(_CUTS)] for most in (span / 2, top))
    found = best([(0.0, 0.0, math.log(usual.rho)), *itertools.product(below, above, map(math.log, _RHOS))])
    width = (below[1], above[1], math.log(2.0))
    for _ in range(_REFINED):
        width = (width[0] / 2, width[1] / 2, width[2] / 2)
        (a, b, c), (da, db, dc) = found, width
        found = best(itertools.product((a - da, a, a + da), (b - db, b, b + db), (c - dc, c, c + dc)))
    return _rounded(grid(found))


def _inside(point: _Point, span: float, top: float) -> bool:
    last, first, rho = point
    return 0 <= first <= top and 0 <= last <= _MOST_CUT * span - first and 0 <= rho <= math.log(_LARGEST_RHO)


def _errors(expected: Expected, sampler: Sampler, steps: int, grids: Iterable[KarrasGrid]) -> list[float]:
    """Those of grids whose times decrease, infinite for others."""
    process = expected.process
    points = process.time_at(torch.stack([g.levels(steps, process) for g in grids]))
    times = torch.cat([points, torch.zeros(len(points), 1, dtype=torch.float64)], 1)
    falling = (times.diff() < 0).all(1)
    errors = torch.full((len(times),), math.inf, dtype=torch.float64)
    if falling.any():
        spread = _SPREAD if expected.statistics.scales is None else (0.0,)
        errors[falling] = expected.errors(sampler, times[falling], spread)
    return errors.tolist()


def _rounded(grid: KarrasGrid) -> KarrasGrid:
    return KarrasGrid(*(float(f"{v:.4g}") for v in (grid.sigma_min, grid.sigma_max, grid.rho)))
