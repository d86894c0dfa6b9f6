"""What a sampler makes of data in a number of steps, if no more than a Gaussian is to be learnt: in closed form.

Of Gaussian data with spectrum `S` the exact denoiser multiplies each frequency by a number, and so does any
deterministic sampler. The factor depends on the grid, on `S(f)` and on how the frequency's noise evolves, so that a
handful of frequencies stands for all. What comes out has the power of the start times

    |prod of the steps' factors|^2,    which should be S(f).

Networks behave so in few steps: their error of the power spectrum follows the closed form, where a denoiser that knows
the training data by heart makes no such error at all.

Unless the items of the data are unequal, as speech is, loud or silent. A network has to tell from `x_t` how loud the
item will be, and does what the denoiser of a mixture does whose components are the powers that items have
(`noise.scales`), octave by octave: each value is still multiplied by a number, but one that depends on how much power
all of its octave has. Some hundred items are then followed, each by the powers of the frequencies that stand for all,
with chi-squares for those that each stands for.
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
from sagd.noise.scales import OCTAVES, Scales, octaves
from sagd.noise.statistics import DataStatistics, by_radius
from sagd.process.base import Process, Time
from sagd.random import generator_for
from sagd.sampling.base import Run, Sampler
from sagd.sampling.grids import TimeGrid, require_shape

_FREQUENCIES = 48
"""Frequencies that stand for all, as many in each part of the radii."""
_EMPTY = 1e-10
"""Power over the largest below which a frequency holds nothing that anybody could miss."""
_ITEMS = 256
"""Items of unequal data that are followed."""


@dataclass(frozen=True)
class Expected:
    """The error that is expected for one process and data.

    Args:
        process: Forward process that is diagonal in the basis of the statistics.
        statistics: Spectrum of the data, and the law of the powers of its items where they are unequal.

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
        few, energies = self._few, self._energies
        basis = few.reference.basis
        assert basis is not None
        items = len(energies)
        # One item after the other of each grid, whose values are those of a field by its frequencies' mean energy.
        times, spectra = times.repeat_interleave(items, 0), Diagonal(S.repeat_interleave(items, 0), basis)
        denoiser = self._denoiser(few, spectra, len(S))
        run = Run(few, lambda x_t, t: denoiser(x_t, t), steps=times.shape[1] - 1)
        ones = basis.inverse(torch.ones_like(spectra.values))
        a, s = few.diagonal(times[:, 0], ones, basis)
        x = (s if from_noise else (a**2 * spectra + s**2).sqrt()) * ones
        # Of a plain time processes know whether the data still shows.
        columns = [float(t[0]) if len(set(t.tolist())) == 1 else t for t in times.T[:-1]]
        for t, after in itertools.pairwise([*columns, 0.0]):
            x = sampler.step(run, x, t, after)
        return (basis.forward(x).square().reshape(len(S), items, 1, -1) * energies[:, None]).mean(1)

    def _denoiser(self, few: Process, spectra: Diagonal, grids: int) -> Denoiser:
        scales = self.statistics.scales
        if scales is None:
            return _Linear(few, spectra)
        return _Unequal(few, spectra, scales, self._octaves, self._counts, self._energies, grids)

    @functools.cached_property
    def _octaves(self) -> Tensor:
        """Octaves of the frequencies that stand for all, `(K,)`."""
        return octaves(self.statistics.basis).expand_as(self.statistics.spectrum).flatten()[self._which]

    @functools.cached_property
    def _counts(self) -> Tensor:
        """How many values each of these stands for, `(K,)`: those of an octave are shared alike."""
        S, basis = self.statistics.spectrum, self.statistics.basis
        kept = basis.multiplicity().expand_as(S) * (_EMPTY * S.max() < S)
        total = torch.zeros(OCTAVES, dtype=torch.float64)
        total.index_add_(0, octaves(basis).expand_as(S).flatten(), kept.flatten())
        return (total / self._octaves.bincount(minlength=OCTAVES).clamp(min=1))[self._octaves]

    @functools.cached_property
    def _energies(self) -> Tensor:
        """Power of the noise of each item over that which is expected, `(items, K)`, of mean 1; ones if all are alike.

        Chi-squares by the cube of a normal value, at quantiles that are spread evenly over items.

        Source: Wilson & Hilferty, "The distribution of chi-square" (1931).
        """
        if self.statistics.scales is None:
            return torch.ones(1, len(self._which), dtype=torch.float64)
        ranks = torch.stack(
            [generator_for(0, "expected", k).permutation(_ITEMS) for k in range(len(self._which))], dim=1
        )
        normal = torch.special.ndtri((ranks.double() + 0.5) / _ITEMS)
        width = 2 / (9 * self._counts)
        energies = (1 - width + width.sqrt() * normal).clamp(min=0) ** 3
        return energies / energies.mean(0)

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


class _Unequal(Denoiser):
    """The denoiser of items whose powers are unequal, by octave, where each field has one value for many of an item.

    Args:
        process: That of the frequencies that stand for all.
        spectra: Of the data, `(N, 1, K)`: `N` is `grids` times the number of items.
        scales: The law of the powers.
        octaves: Of the frequencies, `(K,)`.
        counts: How many values each stands for, `(K,)`.
        energies: Mean power of these in each item, over the square of its value in the field: `(items, K)`.
        grids: Number of grids, whose items stand one after the other and have their time in common.
    """

    def __init__(
        self,
        process: Process,
        spectra: Diagonal,
        scales: Scales,
        octaves: Tensor,
        counts: Tensor,
        energies: Tensor,
        grids: int,
    ) -> None:
        super().__init__()
        self.process, self._basis, self._scales, self._octaves = process, spectra.basis, scales, octaves
        self._spectra = spectra.values.reshape(grids, -1, len(octaves))[:, 0]
        self._member = torch.nn.functional.one_hot(octaves, OCTAVES).double()
        self._count, self._energies = counts * scales.evidence[octaves], energies

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The posterior mean of each value, given all of its octave."""
        c = self._basis.forward(x_t).reshape(len(self._spectra), -1, len(self._octaves))
        own = t.reshape(len(c), -1)[:, 0] if isinstance(t, Tensor) else t
        a, s = (v.values[:, 0, None] for v in self.process.diagonal(own, c[:, :1], self._basis))
        signal = self._spectra[:, None] * self._scales.powers[self._octaves].T  # (G, powers, K)
        variance = a**2 * signal + s**2
        gain = self._by_octave(a * signal / variance).mT
        weights = self._weights(c.square() * self._energies, variance).flatten(2)
        return self._basis.inverse((weights @ gain * c).reshape(x_t.shape))

    def _weights(self, power: Tensor, variance: Tensor) -> Tensor:
        """Probabilities of the powers `(G, items, powers, OCTAVES)` by that of each value `(G, items, K)`."""
        distance = (power @ self._by_octave(self._count / variance)).unflatten(2, (-1, OCTAVES))
        size = (self._count * variance.log()) @ self._member
        return (self._scales.weights.T.log() - (distance + size[:, None]) / 2).softmax(2)

    def _by_octave(self, of: Tensor) -> Tensor:
        """What is said of each power and value `(G, powers, K)`, zero for other octaves: `(G, K, powers OCTAVES)`."""
        return (of[..., None] * self._member).transpose(1, 2).flatten(2)
