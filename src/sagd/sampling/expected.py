"""What a sampler makes of data in a number of steps, if no more than a Gaussian is to be learnt: in closed form.

Of Gaussian data with spectrum `S` the exact denoiser multiplies each frequency by a number, and so does any
deterministic sampler. The factor depends on the grid, on `S(f)` and on how the frequency's noise evolves, so that a
handful of frequencies stands for all. What comes out has the power of the start times

    |prod of the steps' factors|^2,    which should be S(f).

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

from sagd.errors import InputError
from sagd.model.condition import Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.operator import Diagonal
from sagd.noise.statistics import DataStatistics, by_radius
from sagd.process.base import Process, Time
from sagd.sampling.base import Run, Sampler
from sagd.sampling.grids import TimeGrid, require_shape

_FREQUENCIES = 48
"""Frequencies that stand for all, as many in each part of the radii."""
_EMPTY = 1e-10
"""Power over the largest below which a frequency holds nothing that anybody could miss."""


@dataclass(frozen=True)
class Expected:
    """The closed form for one process and data.

    Args:
        process: Forward process that is diagonal in the basis of the statistics.
        statistics: Spectrum of the data.

    Raises:
        InputError: If the process is of another shape or not diagonal there, or the data does not vary at any frequency
            that carries noise.
    """

    process: Process
    statistics: DataStatistics

    def __post_init__(self) -> None:
        require_shape(self.statistics, self.process)
        _ = self._few

    @property
    def spectrum(self) -> Tensor:
        """`S` of the frequencies that stand for all, `(K,)`, in the order in which they drown."""
        return self.statistics.spectrum.flatten()[self._which].double()

    def error(self, sampler: Sampler | str, steps: int, grid: TimeGrid | str) -> float:
        """Error of the power spectrum of samples, rms over radii, in dB.

        Args:
            sampler: A deterministic sampler.
            steps: Its steps.
            grid: Time grid.

        Raises:
            InputError: If the sampler draws noise, or the grid does not fit.
        """
        chosen = Sampler.parse(sampler)
        times = TimeGrid.parse(grid).fitted(chosen).times(steps, self.process, self.statistics)
        return float(self.errors(chosen, times[None], from_noise=False)[0])

    @torch.no_grad()
    def errors(
        self, sampler: Sampler, times: Tensor, spread: Sequence[float] = (0.0,), from_noise: bool = True
    ) -> Tensor:
        """The same for many grids at once, over data of several strengths.

        Args:
            sampler: A deterministic sampler.
            times: Grids `(G, steps + 1)`, each decreasing to 0.
            spread: Strengths of the data, in dB over what it is.
            from_noise: Start from noise alone; else from the law of the data and noise.

        Returns:
            `(G,)`, float64; infinite where a grid leads to no numbers.
        """
        if not sampler.is_deterministic:
            raise InputError(f"what {sampler} makes of data is not known in closed form; use one that draws no noise")
        strengths = torch.tensor([10 ** (d / 10) for d in spread], dtype=torch.float64)
        S = (strengths[:, None, None] * self.spectrum).repeat_interleave(len(times), 0)
        ratio = self._powers(sampler, times.repeat(len(spread), 1), S, from_noise) / S
        off = 10 * ratio.clamp(min=_EMPTY).log10().reshape(len(spread), len(times), -1)
        return off.square().mean((0, 2)).sqrt().nan_to_num(math.inf)

    def _powers(self, sampler: Sampler, times: Tensor, S: Tensor, from_noise: bool) -> Tensor:
        """Power of the output on grids `(G, steps + 1)` and data of spectra `(G, 1, K)`; of the shape of these."""
        few = self._few
        basis = few.reference.basis
        assert basis is not None
        denoiser = _Linear(few, Diagonal(S, basis))
        run = Run(few, lambda x_t, t: denoiser(x_t, t), steps=times.shape[1] - 1)
        ones = basis.inverse(torch.ones_like(S))
        a, s = few.diagonal(times[:, 0], ones, basis)
        x = (s if from_noise else (a**2 * Diagonal(S, basis) + s**2).sqrt()) * ones
        # Of a plain time processes know whether the data still shows.
        columns = [float(t[0]) if len(set(t.tolist())) == 1 else t for t in times.T[:-1]]
        for t, after in itertools.pairwise([*columns, 0.0]):
            x = sampler.step(run, x, t, after)
        return basis.forward(x).square()

    @functools.cached_property
    def _few(self) -> Process:
        return self.process.few(self._which, self.statistics.basis)

    @functools.cached_property
    def _which(self) -> Tensor:
        """Numbers of the frequencies that stand for all, sorted by the noise in which they drown."""
        S, basis = self.statistics.spectrum, self.statistics.basis
        drowned = self.process.drowned_at(S, basis).expand_as(S)
        kept = ((_EMPTY * S.max() < S) & (drowned > 0)).flatten().nonzero()[:, 0]
        if not len(kept):
            raise InputError("the data does not vary at any frequency that carries noise")
        order = kept[drowned.flatten()[kept].argsort(stable=True)]
        share = by_radius(basis).expand_as(S).flatten()[order].cumsum(0)
        wanted = (torch.arange(_FREQUENCIES, dtype=share.dtype) + 0.5) / _FREQUENCIES * share[-1]
        return order[torch.searchsorted(share, wanted).clamp(max=len(order) - 1)]


class _Linear(Denoiser):
    """The exact denoiser of Gaussian data of mean 0, where each field of a batch has a spectrum of its own."""

    def __init__(self, process: Process, spectra: Diagonal) -> None:
        super().__init__()
        self.process, self._spectra = process, spectra

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """`a S / (a^2 S + s^2) x_t`."""
        a, s = self.process.diagonal(t, x_t, self._spectra.basis)
        return (a * self._spectra / (a**2 * self._spectra + s**2)) * x_t
